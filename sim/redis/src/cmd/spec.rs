//! The description of a command: COMMAND INFO returns it, and
//! [`super::dispatch`] decides by it.

use super::Ctx;
use crate::durable::ServerKind;
use crate::reply::Outcome;
use bytes::Bytes;

/// The function that runs a command. It gets all words, the name first; their number has been checked.
pub(super) type Run = fn(&mut Ctx<'_>, &[Bytes]) -> Outcome;

/// One command.
pub(super) struct Spec {
    /// Lower case; a subcommand has its container in front: `script|load`.
    pub(super) name: &'static str,
    /// The number of words with the name; negative: at least so many.
    pub(super) arity: i32,
    pub(super) flags: u32,
    /// The first and the last word that is a key, and the step between keys; zeros if there are none.
    pub(super) keys: (i32, i32, i32),
    pub(super) run: Run,
    /// The only servers that have it, if not all do.
    pub(super) only: Option<ServerKind>,
    /// The subcommands of a container, which does not run itself.
    pub(super) subs: &'static [Spec],
}

pub(super) const WRITE: u32 = 1;
pub(super) const READONLY: u32 = 1 << 1;
pub(super) const DENYOOM: u32 = 1 << 2;
pub(super) const ADMIN: u32 = 1 << 3;
pub(super) const NOSCRIPT: u32 = 1 << 4;
pub(super) const LOADING: u32 = 1 << 5;
pub(super) const STALE: u32 = 1 << 6;
pub(super) const SKIP_MONITOR: u32 = 1 << 7;
pub(super) const SKIP_SLOWLOG: u32 = 1 << 8;
pub(super) const FAST: u32 = 1 << 9;
pub(super) const NO_AUTH: u32 = 1 << 10;
pub(super) const ALLOW_BUSY: u32 = 1 << 11;
pub(super) const NO_MANDATORY_KEYS: u32 = 1 << 12;
pub(super) const MOVABLEKEYS: u32 = 1 << 13;

pub(super) const PUBSUB_FLAG: u32 = 1 << 14;
pub(super) const BLOCKING: u32 = 1 << 15;

/// The names of the flags, in the order in which COMMAND INFO answers them.
pub(super) const FLAGS: &[(u32, &str)] = &[
    (WRITE, "write"),
    (READONLY, "readonly"),
    (DENYOOM, "denyoom"),
    (ADMIN, "admin"),
    (PUBSUB_FLAG, "pubsub"),
    (NOSCRIPT, "noscript"),
    (BLOCKING, "blocking"),
    (LOADING, "loading"),
    (STALE, "stale"),
    (SKIP_MONITOR, "skip_monitor"),
    (SKIP_SLOWLOG, "skip_slowlog"),
    (FAST, "fast"),
    (NO_AUTH, "no_auth"),
    (ALLOW_BUSY, "allow_busy"),
    (NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (MOVABLEKEYS, "movablekeys"),
];

/// The flags of commands that only concern their own connection.
pub(super) const CONNECTION: u32 = NOSCRIPT | LOADING | STALE;

impl Spec {
    pub(super) const fn new(name: &'static str, arity: i32, flags: u32, run: Run) -> Spec {
        Spec {
            name,
            arity,
            flags,
            keys: (0, 0, 0),
            run,
            only: None,
            subs: &[],
        }
    }

    /// The first word is the only key.
    pub(super) const fn one_key(self) -> Spec {
        Spec {
            keys: (1, 1, 1),
            ..self
        }
    }

    /// The first and the second word are keys.
    pub(super) const fn two_keys(self) -> Spec {
        Spec {
            keys: (1, 2, 1),
            ..self
        }
    }

    /// All words but the last are keys.
    pub(super) const fn keys_before_last(self) -> Spec {
        Spec {
            keys: (1, -2, 1),
            ..self
        }
    }

    /// From the first word on, each `step`th is a key.
    pub(super) const fn all_keys(self, step: i32) -> Spec {
        Spec {
            keys: (1, -1, step),
            ..self
        }
    }

    /// Not all servers have it.
    pub(super) const fn only_on(self, kind: ServerKind) -> Spec {
        Spec {
            only: Some(kind),
            ..self
        }
    }

    /// Whether this server has it.
    pub(super) fn is_on(&self, kind: ServerKind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }

    pub(super) const fn container(name: &'static str, subs: &'static [Spec]) -> Spec {
        Spec {
            subs,
            ..Spec::new(name, -2, 0, |_, _| Err(super::args::SYNTAX))
        }
    }

    pub(super) const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn takes(&self, words: usize) -> bool {
        let least = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity < 0 {
            words >= least
        } else {
            words == least
        }
    }

    /// The name within its container: `load` of `script|load`.
    pub(super) fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, sub)| sub)
    }
}
