//! See `haechi_sim::fuzzing::diff_apply`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| haechi_sim::fuzzing::diff_apply(data));

/// The Lua engine keeps a reference of its own to every script; the leak
/// detector takes that for a leak, once a script, and would end every run.
#[unsafe(no_mangle)]
extern "C" fn __lsan_is_turned_off() -> i32 {
    1
}
