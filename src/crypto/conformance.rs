//! Whether a provider does what the vault relies on: for the tests of those
//! who write one.
