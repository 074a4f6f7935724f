//! The scripts that run inside Redis, and their replies.
//!
//! Their texts are public, so that a simulated Redis can be shown to run the
//! same ones.

use redis::{Cmd, cmd};

/// A Lua script and the name Redis caches it under.
#[derive(Clone, Debug)]
pub struct Script {
    text: &'static str,
    sha1: String,
}

impl Script {
    /// A script of this text.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        Self {
            text,
            sha1: sha1_smol::Sha1::from(text).digest().to_string(),
        }
    }

    /// The script's text.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// `EVALSHA` of the script on `keys`; its arguments are to follow.
    #[must_use]
    pub fn call(&self, keys: &[&str]) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.sha1).arg(keys.len());
        for key in keys {
            call.arg(*key);
        }
        call
    }

    /// `SCRIPT LOAD` of the script.
    #[must_use]
    pub fn load(&self) -> Cmd {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(self.text);
        load
    }
}

/// Compare-and-append.
pub const APPEND: &str = concat!(include_str!("lua/tail.lua"), include_str!("lua/append.lua"));
/// Reads the end of the chain.
pub const TAIL: &str = concat!(
    include_str!("lua/tail.lua"),
    include_str!("lua/tail_reply.lua")
);
/// Reads a page of the chain, bounded in bytes.
pub const PAGE: &str = include_str!("lua/page.lua");
/// Asks whether an append would be let through.
pub const READY: &str = concat!(include_str!("lua/tail.lua"), include_str!("lua/ready.lua"));
/// Takes the contention lock.
pub const ACQUIRE: &str = include_str!("lua/acquire.lua");
/// Releases the contention lock.
pub const RELEASE: &str = include_str!("lua/release.lua");
