//! The readiness check: whether this Redis is suitable for the store, before
//! the first write.

use std::fmt;

use redis::{Value, cmd};

use super::{audit_store::RedisAuditStore, connect::Connect, reply, script::SCRIPTS};
use crate::{
    clock::Clock,
    entropy::Entropy,
    error::{AttemptError, Cause, Corrupt},
};

/// Why a Redis is not ready. The names are printed by programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// No connection, or no reply in time.
    RedisUnreachable,
    /// A write would be refused: permissions, a replica, a full disk or memory.
    RedisNotWritable,
    /// A key holds another type than the store's.
    WrongType,
    /// The keys do not identify one record.
    Diverged,
    /// The keys would be in different slots of a cluster.
    CrossSlot,
    /// `maxmemory-policy` allows Redis to delete keys without a TTL.
    Evicting,
}

impl NotReady {
    /// The reason's name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RedisUnreachable => "redis_unreachable",
            Self::RedisNotWritable => "redis_not_writable",
            Self::WrongType => "wrong_type",
            Self::Diverged => "diverged",
            Self::CrossSlot => "cross_slot",
            Self::Evicting => "evicting",
        }
    }

    /// Whether a store refuses to open because of it, by default: the reasons
    /// that lose or fork data, rather than delay it.
    #[must_use]
    pub fn forbids_start(self) -> bool {
        matches!(self, Self::Diverged | Self::CrossSlot | Self::Evicting)
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why nothing was opened: data would be lost or forked. This is permanent
/// until the configuration or data is corrected.
#[derive(Clone, Debug, thiserror::Error)]
#[error("refused to start: {reason}: {cause}")]
#[non_exhaustive]
pub struct OpenError {
    /// The reason; [`Builder::tolerate`](crate::Builder::tolerate) overrides
    /// it.
    pub reason: NotReady,
    /// The failure.
    pub cause: Cause,
}

/// What the server does when its memory is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// `maxmemory-policy`.
    Policy(String),
    /// Neither INFO nor CONFIG returned it.
    Unknown,
}

/// The result of the readiness check.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// The faults, most severe first, each with its cause.
    pub faults: Vec<(NotReady, Cause)>,
    /// What the server does when its memory is full.
    pub eviction: Eviction,
}

impl Readiness {
    /// Whether there are no faults.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether a store may be opened.
    ///
    /// # Errors
    ///
    /// The first fault that [forbids](NotReady::forbids_start) it and is not
    /// `tolerated`.
    pub fn require(self, tolerated: &[NotReady]) -> Result<(), OpenError> {
        let stands_in_the_way =
            |reason: &NotReady| reason.forbids_start() && !tolerated.contains(reason);
        match self
            .faults
            .into_iter()
            .find(|(reason, _)| stands_in_the_way(reason))
        {
            Some((reason, cause)) => Err(OpenError { reason, cause }),
            None => Ok(()),
        }
    }
}

impl<N: Connect, C: Clock, E: Entropy> RedisAuditStore<N, C, E> {
    /// Checks whether this chain can be appended to, with its real keys and
    /// without changing them: one script that also writes the probe key, and
    /// the server's INFO.
    pub async fn ready(&self) -> Readiness {
        let mut faults = Vec::new();
        let keys = self.keys();
        let call =
            SCRIPTS
                .ready
                .call(&[&keys.chain, &keys.head, &keys.head_hash, &keys.ready_probe]);

        let answer = match self.link().run(&SCRIPTS.ready, &call).await {
            Ok(value) => reply::ready(value, keys),
            Err(error) => Err(error),
        };
        if let Err(error) = answer {
            let (reason, cause) = not_ready(error);
            faults.push((reason, cause));
            if reason == NotReady::RedisUnreachable {
                return Readiness {
                    faults,
                    eviction: Eviction::Unknown,
                };
            }
        }
        let info = self.info().await;
        let crossed = faults
            .iter()
            .any(|(reason, _)| *reason == NotReady::CrossSlot);
        if info.contains("cluster_enabled:1") && !keys.prefix.is_tagged() && !crossed {
            faults.insert(
                0,
                (
                    NotReady::CrossSlot,
                    Cause::new(format!(
                        "the keys under {} lie in different slots of this cluster; \
                         use a prefix with a hash tag, such as {}",
                        keys.prefix,
                        keys.prefix.tagged()
                    )),
                ),
            );
        }
        let eviction = match info
            .lines()
            .find_map(|line| line.strip_prefix("maxmemory_policy:"))
        {
            Some(policy) => Eviction::Policy(policy.to_owned()),
            // INFO is denied; CONFIG may be allowed.
            None => self.configured_eviction().await,
        };
        if let Eviction::Policy(policy) = &eviction
            && policy.starts_with("allkeys-")
        {
            faults.push((
                NotReady::Evicting,
                Cause::new(format!(
                    "maxmemory-policy is {policy}: Redis deletes audit records when memory is short; \
                     set it to noeviction"
                )),
            ));
        }
        Readiness { faults, eviction }
    }

    /// The server's INFO; empty if denied.
    async fn info(&self) -> String {
        match self.link().send(&cmd("INFO")).await {
            Ok(Value::BulkString(text)) => String::from_utf8_lossy(&text).into_owned(),
            Ok(Value::VerbatimString { text, .. }) => text,
            _ => String::new(),
        }
    }

    async fn configured_eviction(&self) -> Eviction {
        let mut ask = cmd("CONFIG");
        ask.arg("GET").arg("maxmemory-policy");
        match self.link().send(&ask).await {
            Ok(Value::Array(pair)) => match pair.as_slice() {
                [_, Value::BulkString(policy)] => {
                    Eviction::Policy(String::from_utf8_lossy(policy).into_owned())
                }
                _ => Eviction::Unknown,
            },
            _ => Eviction::Unknown,
        }
    }
}

fn not_ready(error: AttemptError) -> (NotReady, Cause) {
    match error {
        AttemptError::Corrupt(corrupt) => {
            let reason = match corrupt {
                Corrupt::WrongType { .. } => NotReady::WrongType,
                Corrupt::Diverged { .. }
                | Corrupt::RolledBack(_)
                | Corrupt::Unreadable { .. }
                | Corrupt::Token { .. }
                | Corrupt::VaultRolledBack { .. } => NotReady::Diverged,
            };
            (reason, Cause::new(corrupt.to_string()))
        }
        AttemptError::Denied(cause) if cause.code() == Some("CROSSSLOT") => {
            (NotReady::CrossSlot, cause)
        }
        AttemptError::Denied(cause) | AttemptError::Refused(cause) if cause.code().is_some() => {
            (NotReady::RedisNotWritable, cause)
        }
        AttemptError::Denied(cause)
        | AttemptError::Refused(cause)
        | AttemptError::Ambiguous(cause) => (NotReady::RedisUnreachable, cause),
    }
}
