//! See `haechi_sim::fuzzing::canonical_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| haechi_sim::fuzzing::canonical_json(data));
