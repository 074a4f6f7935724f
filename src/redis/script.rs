//! The scripts that run inside Redis, and their replies.
//!
//! Their texts are public, so that a simulated Redis can be shown to run the
//! same ones.

use std::{borrow::Cow, sync::LazyLock};

use redis::{Cmd, Value, cmd};

use super::{keys::AuditKeys, reply};
use crate::{
    audit::{AttemptError, Batch, Reply},
    chain::Position,
};

/// A Lua script and the name Redis caches it under.
#[derive(Clone, Debug)]
pub struct Script {
    text: Cow<'static, str>,
    sha1: String,
}

impl Script {
    /// A script of this text.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self {
            sha1: sha1_smol::Sha1::from(text.as_bytes()).digest().to_string(),
            text,
        }
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
        load.arg("LOAD").arg(self.text.as_ref());
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

/// The scripts, hashed once a process.
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) tail: Script,
    pub(super) page: Script,
    pub(super) ready: Script,
    pub(super) acquire: Script,
    pub(super) release: Script,
}

pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    append: Script::new(APPEND),
    tail: Script::new(TAIL),
    page: Script::new(PAGE),
    ready: Script::new(READY),
    acquire: Script::new(ACQUIRE),
    release: Script::new(RELEASE),
});

/// The call of an [`APPEND`] script for `batch`; `None` for an empty one.
#[must_use]
pub fn append_call(script: &Script, keys: &AuditKeys, batch: &Batch<'_>) -> Option<Cmd> {
    let (first, last) = (batch.records.first()?, batch.records.last()?);
    let mut call = script.call(&keys.fenced());
    call.arg(batch.base.hash_text())
        .arg(sequence_or_zero(batch.seen))
        .arg(batch.records.len())
        .arg(if batch.resent {
            first.position().sequence.get()
        } else {
            0
        })
        .arg(last.position().event_hash.to_string())
        .arg(last.integrity());
    for record in batch.records {
        call.arg(record.text());
    }
    Some(call)
}

/// Reads the reply of an [`APPEND`] script.
///
/// # Errors
///
/// [`AttemptError`], for the faults that the script reports and for a reply
/// that is none of its own.
pub fn append_reply(
    reply: Value,
    keys: &AuditKeys,
    seen: Option<Position>,
) -> Result<Reply, AttemptError> {
    reply::append(reply, keys, seen)
}

/// How the scripts are told of a position that was seen.
pub(super) fn sequence_or_zero(position: Option<Position>) -> u64 {
    position.map_or(0, |position| position.sequence.get())
}
