//! See `haechi_sim::fuzzing::chain_verify`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| haechi_sim::fuzzing::chain_verify(data));
