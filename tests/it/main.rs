//! Everything that is tested through the public face, in one binary.

mod chain;
