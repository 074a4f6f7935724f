//! The scripts that run inside Redis, and their replies.
//!
//! Their texts are public, so that tests run the same ones on a simulated
//! Redis.

use std::{borrow::Cow, sync::LazyLock, time::Duration};

use redis::{Cmd, Value, cmd};

use super::{
    keys::{AuditKeys, VaultKeys},
    reply, vault_reply,
};
use crate::{
    audit::store::{Batch, Reply, Tail, VerifiedList},
    chain::{Position, Record},
    clock::{epoch_micros, epoch_millis},
    error::AttemptError,
    vault::{
        Stored, TokenId,
        store::{Applied, Attempt, Change, Fence, ForeignLockWait, Observed},
    },
};

/// A Lua script and its SHA-1.
#[derive(Clone, Debug)]
pub struct Script {
    name: &'static str,
    text: Cow<'static, str>,
    sha1: String,
}

impl Script {
    /// A script with this text.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self {
            name: "script",
            sha1: sha1_smol::Sha1::from(text.as_bytes()).digest().to_string(),
            text,
        }
    }

    fn named(name: &'static str, text: &'static str) -> Self {
        Self {
            name,
            ..Self::new(text)
        }
    }

    /// What metrics call it.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// `EVALSHA` of the script on `keys`; the arguments are to be added.
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
pub const APPEND: &str = concat!(
    include_str!("lua/guard.lua"),
    include_str!("lua/tail.lua"),
    include_str!("lua/append.lua")
);
/// Reads the end of the chain.
pub const TAIL: &str = concat!(
    include_str!("lua/guard.lua"),
    include_str!("lua/tail.lua"),
    include_str!("lua/tail_reply.lua")
);
/// Reads a page of the chain, bounded in bytes.
pub const PAGE: &str = concat!(
    include_str!("lua/guard.lua"),
    include_str!("lua/tail.lua"),
    include_str!("lua/page.lua")
);
/// Checks whether an append would be accepted.
pub const READY: &str = concat!(
    include_str!("lua/guard.lua"),
    include_str!("lua/tail.lua"),
    include_str!("lua/ready.lua")
);
/// Reads the keys of a chain, also if they disagree.
pub const STATE: &str = concat!(
    include_str!("lua/guard.lua"),
    include_str!("lua/tail.lua"),
    include_str!("lua/state.lua")
);
/// Rebuilds the head of a chain from its list.
pub const REPAIR: &str = concat!(
    include_str!("lua/guard.lua"),
    include_str!("lua/tail.lua"),
    include_str!("lua/repair.lua")
);
/// Looks for a record whose durability is waited for next.
pub const CONFIRM: &str = concat!(
    include_str!("lua/guard.lua"),
    include_str!("lua/tail.lua"),
    include_str!("lua/confirm.lua")
);
/// Takes the contention lock.
pub const ACQUIRE: &str = include_str!("lua/acquire.lua");
/// Releases the contention lock.
pub const RELEASE: &str = include_str!("lua/release.lua");

macro_rules! vault_script {
    ($file:literal) => {
        concat!(
            include_str!("lua/guard.lua"),
            include_str!("lua/vault/state.lua"),
            include_str!(concat!("lua/vault/", $file))
        )
    };
}

/// Reads tokens.
pub const VAULT_LOAD: &str = vault_script!("load.lua");
/// Compare-and-apply.
pub const VAULT_APPLY: &str = vault_script!("apply.lua");
/// Finds out how a mutation ended, or drops it.
pub const VAULT_SETTLE: &str = vault_script!("settle.lua");
/// Reads the expiry index.
pub const VAULT_DUE: &str = vault_script!("due.lua");
/// Corrects the expiry index.
pub const VAULT_INDEX: &str = vault_script!("index.lua");
/// Reads a slice of all tokens.
pub const VAULT_SCAN: &str = vault_script!("scan.lua");
/// Looks for receipts of mutations whose durability is waited for next.
pub const VAULT_CONFIRM: &str = vault_script!("confirm.lua");
/// Checks whether a mutation would be accepted.
pub const VAULT_READY: &str = concat!(
    include_str!("lua/guard.lua"),
    include_str!("lua/vault_ready.lua")
);
/// Takes the vault's contention lock.
pub const VAULT_ACQUIRE: &str = include_str!("lua/vault/acquire.lua");

/// The scripts, hashed once per process.
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) tail: Script,
    pub(super) page: Script,
    pub(super) ready: Script,
    pub(super) state: Script,
    pub(super) repair: Script,
    pub(super) confirm: Script,
    pub(super) acquire: Script,
    pub(super) release: Script,
    pub(super) vault_load: Script,
    pub(super) vault_apply: Script,
    pub(super) vault_settle: Script,
    pub(super) vault_due: Script,
    pub(super) vault_index: Script,
    pub(super) vault_scan: Script,
    pub(super) vault_confirm: Script,
    pub(super) vault_ready: Script,
    pub(super) vault_acquire: Script,
}

pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    append: Script::named("append", APPEND),
    tail: Script::named("tail", TAIL),
    page: Script::named("page", PAGE),
    ready: Script::named("ready", READY),
    state: Script::named("state", STATE),
    repair: Script::named("repair", REPAIR),
    confirm: Script::named("confirm", CONFIRM),
    acquire: Script::named("acquire", ACQUIRE),
    release: Script::named("release", RELEASE),
    vault_load: Script::named("load", VAULT_LOAD),
    vault_apply: Script::named("apply", VAULT_APPLY),
    vault_settle: Script::named("settle", VAULT_SETTLE),
    vault_due: Script::named("due", VAULT_DUE),
    vault_index: Script::named("index", VAULT_INDEX),
    vault_scan: Script::named("scan", VAULT_SCAN),
    vault_confirm: Script::named("confirm", VAULT_CONFIRM),
    vault_ready: Script::named("ready", VAULT_READY),
    vault_acquire: Script::named("acquire", VAULT_ACQUIRE),
});

/// The call of an [`APPEND`] script for `batch`; `None` for an empty one.
#[must_use]
pub fn append_call(script: &Script, keys: &AuditKeys, batch: &Batch<'_>) -> Option<Cmd> {
    let (first, last) = (batch.records.first()?, batch.records.last()?);
    let mut call = script.call(&keys.fenced());
    call.arg(batch.base.hash_text())
        .arg(sequence_or_zero(batch.seen))
        .arg(hash_or_empty(batch.seen))
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
/// [`AttemptError`], for the faults that the script reports and for a reply in
/// no known format.
pub fn append_reply(
    reply: Value,
    keys: &AuditKeys,
    seen: Option<Position>,
) -> Result<Reply, AttemptError> {
    reply::append(reply, keys, seen)
}

/// The call of a [`REPAIR`] script.
#[must_use]
pub fn repair_call(
    script: &Script,
    keys: &AuditKeys,
    verified: &VerifiedList<'_>,
    record: &Record,
) -> Cmd {
    let state = verified.state;
    let mut call = script.call(&keys.fenced());
    call.arg(state.length).arg(verified.last);
    for text in [&state.head, &state.head_hash] {
        compared_text(&mut call, text.as_deref());
    }
    call.arg(record.position().event_hash.to_string())
        .arg(record.integrity())
        .arg(record.text());
    call
}

/// The call of a [`TAIL`] script for a reader that has seen `seen`.
#[must_use]
pub fn tail_call(script: &Script, keys: &AuditKeys, seen: Option<Position>) -> Cmd {
    let mut call = script.call(&keys.fenced());
    call.arg(sequence_or_zero(seen)).arg(hash_or_empty(seen));
    call
}

/// Reads the reply of a [`TAIL`] script.
///
/// # Errors
///
/// As for [`append_reply`].
pub fn tail_reply(
    reply: Value,
    keys: &AuditKeys,
    seen: Option<Position>,
) -> Result<Tail, AttemptError> {
    reply::tail(reply, keys, seen)
}

/// The call of a [`VAULT_APPLY`] script for `attempt`.
#[must_use]
pub fn apply_call(
    script: &Script,
    keys: &VaultKeys,
    deadline: Duration,
    attempt: &Attempt<'_>,
    observed: &Observed,
) -> Cmd {
    let mut call = script.call(&keys.fenced());
    add_observed(&mut call, observed, deadline);
    call.arg(attempt.mutation.to_string())
        .arg(attempt.number)
        .arg(attempt.begun.get())
        .arg(&keys.lock);
    match attempt.foreign_lock_wait {
        ForeignLockWait::Respects { outlived } => call.arg(outlived.unwrap_or_default()),
        ForeignLockWait::Exhausted => call.arg("*"),
    };
    match attempt.fence {
        Fence::Values => call.arg(""),
        Fence::Snapshot(version) => call.arg(version.get()),
    };
    let deletes = |change: &Change| *change == Change::Delete;
    let deleted = attempt
        .diff
        .iter()
        .filter(|(_, change)| deletes(change))
        .count();
    call.arg(attempt.read.len())
        .arg(attempt.diff.len() - deleted)
        .arg(deleted);
    for (token, value) in attempt.read {
        compared(&mut call, token, value.as_ref());
    }
    for (token, change) in attempt.diff {
        if let Change::Set(value) = change {
            call.arg(token.as_str()).arg(value.bytes());
            number(&mut call, change.expires_at().map(epoch_millis));
        }
    }
    for (token, _) in attempt.diff.iter().filter(|(_, change)| deletes(change)) {
        call.arg(token.as_str());
    }
    add_receipts(&mut call, observed);
    call
}

/// Reads the reply of a [`VAULT_APPLY`] script.
///
/// # Errors
///
/// [`AttemptError`], for the faults that the script reports and for a reply in
/// no known format.
pub fn apply_reply(
    reply: Value,
    keys: &VaultKeys,
    attempt: &Attempt<'_>,
    observed: &Observed,
) -> Result<Applied, AttemptError> {
    vault_reply::applied(reply, keys, attempt, observed)
}

/// Receipts are kept no longer for their age alone, whatever the deadlines: what one
/// process asks for holds for all, from then on.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);

/// Adds the arguments of what this process has observed, and for how long its
/// mutations need their receipts.
pub(super) fn add_observed(call: &mut Cmd, observed: &Observed, deadline: Duration) {
    let receipts = observed.receipts.iter().flatten().count();
    let millis = deadline.min(LONGEST_LIFE).as_millis();
    call.arg(observed.version.get())
        .arg(receipts)
        .arg(u64::try_from(millis).unwrap_or_default());
}

/// Adds the receipts that this process has observed, which come last: the number of each,
/// and what the vault has for it.
pub(super) fn add_receipts(call: &mut Cmd, observed: &Observed) {
    for seen in observed.receipts.iter().flatten() {
        let written = epoch_micros(seen.written.get());
        call.arg(seen.seq.get())
            .arg(format!("{} {written}", seen.mutation));
    }
}

/// Adds a token and the value to compare.
pub(super) fn compared(call: &mut Cmd, token: &TokenId, value: Option<&Stored>) {
    call.arg(token.as_str());
    compared_text(call, value.map(Stored::bytes));
}

/// Adds whether a value is there, and the value.
fn compared_text(call: &mut Cmd, value: Option<&[u8]>) {
    match value {
        Some(value) => call.arg("1").arg(value),
        None => call.arg("0").arg(""),
    };
}

/// Adds a number, or an empty argument.
pub(super) fn number(call: &mut Cmd, number: Option<u64>) {
    match number {
        Some(number) => call.arg(number),
        None => call.arg(""),
    };
}

/// A position's hash as an argument, empty for none.
pub(super) fn hash_or_empty(position: Option<Position>) -> String {
    position.map_or_else(String::new, |position| position.event_hash.to_string())
}

/// A position's sequence as an argument, 0 for none.
pub(super) fn sequence_or_zero(position: Option<Position>) -> u64 {
    position.map_or(0, |position| position.sequence.get())
}
