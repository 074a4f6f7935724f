//! See `haechi_sim::fuzzing::diff_apply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| haechi_sim::fuzzing::diff_apply(data));
