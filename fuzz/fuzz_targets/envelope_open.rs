//! See `haechi_sim::fuzzing::envelope_open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| haechi_sim::fuzzing::envelope_open(data));
