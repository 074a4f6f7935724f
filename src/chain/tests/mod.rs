//! The chain math, against vectors, an independent implementation and itself:
//! all through the module's public face.

mod events;
mod properties;
mod vectors;
mod verdicts;
