//! Scripts, in a real Lua 5.1.
//!
//! Creating a Lua engine takes longer than a short simulation. Each thread
//! therefore has one ([`engine`]) that all its servers use. Between scripts it
//! contains only compiled functions, which depend only on their text. A script
//! owns the server's [`State`] while it runs.

mod answer;
mod cjson;
mod convert;
mod engine;
pub(super) mod library;
mod raise;

use super::cmd::{Ctx, ScriptCaller};
use super::modes::text;
use super::reply::{Outcome, Reply};
use super::session::Session;
use super::state::State;
use bytes::Bytes;
use std::collections::BTreeMap;

pub(super) const NOSCRIPT: Reply = Reply::fail("NOSCRIPT No matching script. Please use EVAL.");

/// A script's SHA-1, in 40 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sha([u8; 40]);

impl Sha {
    /// The SHA-1 of this text.
    pub(super) fn of(text: &[u8]) -> Sha {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut sha = Sha([0; 40]);
        for (pair, byte) in sha
            .0
            .chunks_exact_mut(2)
            .zip(sha1_smol::Sha1::from(text).digest().bytes())
        {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        sha
    }

    /// Reads 40 characters in either case. Characters that are not hex digits are kept; they match no script.
    pub(super) fn parse(word: &[u8]) -> Option<Sha> {
        let mut sha = Sha(word.try_into().ok()?);
        sha.0.make_ascii_lowercase();
        Some(sha)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The flags of a script whose first line is `#!lua flags=...`. Without that line, each of its commands is checked.
#[derive(Clone, Copy, Debug, Default)]
struct Declared {
    no_writes: bool,
    allow_oom: bool,
}

struct Script {
    text: Bytes,
    declared: Option<Declared>,
}

/// The scripts that were loaded into a server.
#[derive(Default)]
pub(super) struct Scripts(BTreeMap<Sha, Script>);

impl Scripts {
    pub(super) fn contains(&self, sha: &Sha) -> bool {
        self.0.contains_key(sha)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Compiles a script and stores it for EVALSHA.
pub(super) fn load(state: &mut State, text: &Bytes) -> Result<Sha, Reply> {
    let sha = Sha::of(text);
    if !state.scripts.contains(&sha) {
        let (declared, body) = declaration(text)?;
        engine::with(|engine| engine.compile(sha, body).map(drop))??;
        state.scripts.0.insert(
            sha,
            Script {
                text: Bytes::copy_from_slice(text),
                declared,
            },
        );
    }
    Ok(sha)
}

/// Splits a first line `#!…` off, but for its line break: line numbers stay the same.
fn declaration(text: &[u8]) -> Result<(Option<Declared>, &[u8]), Reply> {
    if !text.starts_with(b"#!") {
        return Ok((None, text));
    }
    let Some(end) = text.iter().position(|byte| *byte == b'\n') else {
        return Err(Reply::fail("ERR Invalid script shebang"));
    };
    let line = String::from_utf8_lossy(&text[..end]);
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or_default();
    if engine != "#!lua" {
        return Err(Reply::error(format!(
            "ERR Unexpected engine in script shebang: {engine}"
        )));
    }
    let mut declared = Declared::default();
    for word in words {
        let Some(flags) = word.strip_prefix("flags=") else {
            return Err(Reply::error(format!(
                "ERR Unknown lua shebang option: {word}"
            )));
        };
        for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
            match flag {
                "no-writes" => declared.no_writes = true,
                "allow-oom" => declared.allow_oom = true,
                "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                _ => {
                    return Err(Reply::error(format!(
                        "ERR Unexpected flag in script shebang: {flag}"
                    )));
                }
            }
        }
    }
    Ok((Some(declared), &text[end..]))
}

/// Runs a script that was stored by [`load`].
pub(super) fn run(
    ctx: &mut Ctx<'_>,
    sha: Sha,
    keys: &[Bytes],
    arguments: &[Bytes],
    read_only: bool,
) -> Outcome {
    let Some(script) = ctx.state.scripts.0.get(&sha) else {
        return Err(NOSCRIPT);
    };
    if let Some(declared) = script.declared {
        refuse_declared(ctx.state, declared, read_only)?;
    }
    let (text, declared) = (script.text.clone(), script.declared.unwrap_or_default());
    engine::with(|engine| {
        // It is compiled, unless that was on another thread or the engine has dropped it since.
        let function = match engine.compiled(&sha) {
            Some(function) => function,
            None => engine.compile(sha, declaration(&text)?.1)?,
        };
        let caller = ScriptCaller {
            session: Session {
                user: ctx.session.user.clone(),
                authenticated: true,
                id: ctx.session.id,
                db: ctx.session.db,
                scripted: true,
                ..Session::default()
            },
            wrote: false,
            read_only: read_only || declared.no_writes,
            allow_oom: declared.allow_oom,
        };
        let outcome = engine.run(ctx.state, caller, &function, sha, keys, arguments);
        // What a script selects is only for itself.
        ctx.state.switch_to(ctx.session.db);
        outcome
    })?
}

/// Refuses a script with flags before it starts, as a command with those flags
/// would be.
fn refuse_declared(state: &State, declared: Declared, read_only: bool) -> Result<(), Reply> {
    if declared.no_writes {
        return Ok(());
    }
    if state.modes.oom && !declared.allow_oom {
        return Err(text::OOM);
    }
    if let Some(refusal) = state.modes.refuses_write() {
        return Err(refusal);
    }
    if read_only {
        return Err(Reply::fail(
            "ERR Can not execute a script with write flag using *_ro command.",
        ));
    }
    Ok(())
}
