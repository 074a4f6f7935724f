//! Tests of the chain through its public API, against vectors, an independent
//! implementation and itself.

mod events;
mod properties;
mod vectors;
mod verdicts;
