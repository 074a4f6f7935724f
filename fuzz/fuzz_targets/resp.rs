//! See `haechi_sim::fuzzing::resp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| haechi_sim::fuzzing::resp(data));
