//! The chain math, against vectors, an independent implementation and itself.

mod events;
mod properties;
mod vectors;
mod verdicts;
