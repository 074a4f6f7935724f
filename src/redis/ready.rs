//! The readiness check: whether this Redis is suitable for the store, before
//! the first write.

use std::{borrow::Cow, fmt, time::Duration};

use futures_util::future::join;
use redis::{Cmd, Value, aio::ConnectionLike, cmd};

use super::{
    audit_store::RedisAuditStore,
    connect::Connect,
    durable::wait,
    link::Link,
    outcome::{Stage, classify, spoils_connection},
    reply,
    script::SCRIPTS,
    vault_store::RedisVaultStore,
};
use crate::{
    audit::{AuditSink, store::once_more},
    clock::Clock,
    durability::Durability,
    entropy::Entropy,
    error::{AttemptError, Cause, Corrupt},
    health::Health,
    vault::{
        TokenStore,
        store::{Load, Observed, VaultStore},
    },
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
    /// Fewer replicas are connected than a write has to reach.
    InsufficientReplicas,
    /// A write has to reach the disk, and this server cannot tell whether it has:
    /// it has no WAITAOF, or no append-only file, or never forces that to disk.
    FsyncUnavailable,
    /// The sink or the vault refuses calls: it met a rollback or a corrupt state, or was
    /// closed.
    Refusing,
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
            Self::InsufficientReplicas => "insufficient_replicas",
            Self::FsyncUnavailable => "fsync_unavailable",
            Self::Refusing => "refusing",
        }
    }

    /// Whether a store refuses to open because of it, by default: the reasons
    /// that lose or fork data, rather than delay it.
    #[must_use]
    pub fn forbids_start(self) -> bool {
        match self {
            Self::Diverged
            | Self::CrossSlot
            | Self::Evicting
            | Self::InsufficientReplicas
            | Self::FsyncUnavailable => true,
            Self::RedisUnreachable | Self::RedisNotWritable | Self::WrongType | Self::Refusing => {
                false
            }
        }
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
    /// The same, and not ready if a sink or a vault of this process does not serve:
    /// pass what [`AuditSink::probe`] or [`TokenStore::probe`] returned, as
    /// [`RedisAuditStore::ready_with`] and [`TokenStore::ready`] do.
    #[must_use]
    pub fn and(mut self, health: &Health) -> Self {
        self.faults.extend(match health {
            Health::Serving | Health::Unwatched { .. } => None,
            Health::Waiting { cause, .. } => Some((NotReady::RedisUnreachable, cause.clone())),
            Health::Refusing { reason, .. } => {
                Some((NotReady::Refusing, Cause::new(reason.clone())))
            }
            Health::Closed => Some((NotReady::Refusing, Cause::new("it was closed"))),
        });
        self
    }

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
    /// without changing them: one script, and the server's INFO. It knows nothing of what a
    /// process has seen: [`ready_with`](Self::ready_with) does.
    pub async fn ready(&self) -> Readiness {
        let keys = self.keys();
        let mut call = SCRIPTS.ready.call(&keys.fenced());
        call.arg(self.lock_key());
        let answer = match once_more(|| self.link().run(&SCRIPTS.ready, &call)).await {
            Ok(value) => reply::ready(value, keys),
            Err(error) => Err(error),
        };
        readiness(
            self.link(),
            answer,
            keys.prefix.crosses_slots(),
            self.level(),
        )
        .await
    }

    /// As [`ready`](Self::ready), and not ready if `sink`, a sink over this chain, does not
    /// serve, for example after a rollback: for a readiness probe.
    pub async fn ready_with<D: Clock, F: Entropy>(&self, sink: &AuditSink<D, F>) -> Readiness {
        let (ready, health) = join(self.ready(), sink.probe()).await;
        ready.and(&health)
    }
}

impl<N: Connect, C: Clock, E: Entropy> TokenStore<RedisVaultStore<N, C, E>, C, E> {
    /// As [`RedisVaultStore::ready`], and not ready if this token store does not serve, for
    /// example after a rollback: for a readiness probe.
    pub async fn ready(&self) -> Readiness {
        let (ready, health) = join(self.store().ready(), self.probe()).await;
        ready.and(&health)
    }
}

impl<N: Connect, C: Clock, E: Entropy> RedisVaultStore<N, C, E> {
    /// Checks whether this vault can be changed, with its real keys and without
    /// changing them: two scripts, and the server's INFO. The permissions for
    /// its own lock are not checked. It knows nothing of what a process has seen:
    /// [`TokenStore::ready`] does.
    pub async fn ready(&self) -> Readiness {
        let keys = self.keys();
        let mut call = SCRIPTS.vault_ready.call(&keys.fenced());
        call.arg(&keys.lock);
        let observed = Observed::default();
        let answer = match once_more(|| self.load(Load::Some(&[]), &observed)).await {
            Ok(_) => match self.link().run(&SCRIPTS.vault_ready, &call).await {
                Ok(value) => reply::vault_ready(value, keys),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        readiness(
            self.link(),
            answer,
            keys.prefix.crosses_slots(),
            self.level(),
        )
        .await
    }
}

/// What a script answered, and what the server tells. `crosses_slots`: why this
/// must not be a cluster; `durability`: of the writes.
async fn readiness<N: Connect, C: Clock>(
    link: &Link<N, C>,
    answer: Result<(), AttemptError>,
    crosses_slots: Option<String>,
    durability: Durability,
) -> Readiness {
    let mut faults = Vec::new();
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
    let [info, config] = questions();
    let asked = link.generation();
    let mut untold = None;
    let info = unless_error(link.send(&info).await, &mut untold);
    let crossed = faults
        .iter()
        .any(|(reason, _)| *reason == NotReady::CrossSlot);
    if let Some(why) = crosses_slots
        && text(&info).is_some_and(|info| info.contains("cluster_enabled:1"))
        && !crossed
    {
        faults.insert(0, (NotReady::CrossSlot, Cause::new(why)));
    }
    let policy = match policy(&info) {
        Some(policy) => Some(policy),
        None => policy(&unless_error(link.send(&config).await, &mut untold)),
    };
    if let (None, Some(cause)) = (&policy, untold) {
        faults.push((NotReady::RedisUnreachable, policy_unknown(cause)));
    }
    faults.extend(policy.as_deref().and_then(evicting));
    let told = text(&info).and_then(|info| insufficient(&info, durability));
    if faults.is_empty() && told.is_none() {
        link.found_fit(asked);
    }
    faults.extend(match told {
        None => cannot_wait(link, durability).await,
        told => told,
    });
    Readiness {
        faults,
        eviction: policy.map_or(Eviction::Unknown, Eviction::Policy),
    }
}

/// The reply to a question, nothing after an error, which is kept unless it is a denial.
fn unless_error(reply: Result<Value, AttemptError>, untold: &mut Option<Cause>) -> Value {
    match reply {
        Ok(reply) => return reply,
        Err(AttemptError::Refused(cause) | AttemptError::Ambiguous(cause)) => *untold = Some(cause),
        Err(AttemptError::Denied(_) | AttemptError::Corrupt(_)) => {}
    }
    Value::Nil
}

/// The cause, and for the reply of a proxy, for example, what to do if it is always that.
fn policy_unknown(cause: Cause) -> Cause {
    if cause.code().is_none() {
        return cause;
    }
    Cause::new(format!(
        "neither INFO nor CONFIG GET told whether this Redis evicts: {cause}; if they never do \
         here, and it does not evict, open with Builder::tolerate(NotReady::Evicting)"
    ))
}

/// What a new connection is refused for: of the faults that [forbid a
/// start](NotReady::forbids_start), those that neither Redis nor a script reports to
/// a write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unfit {
    /// The server [evicts](NotReady::Evicting).
    pub(crate) evicting: bool,
    /// The server cannot make a write so durable, as far as INFO tells.
    pub(crate) durability: Durability,
}

impl Unfit {
    /// Whether anything is refused.
    pub(super) fn any(self) -> bool {
        self.evicting || self.durability != Durability::Memory
    }

    /// One round trip, two if INFO does not tell the policy. If both are denied, nothing is
    /// refused; if one ends with another error, eviction is.
    pub(super) async fn check(
        self,
        connection: &mut impl ConnectionLike,
    ) -> Result<(), AttemptError> {
        if !self.any() {
            return Ok(());
        }
        let mut untold = None;
        for question in questions() {
            let reply = match question.query_async::<Value>(connection).await {
                // It may answer the next connection.
                Err(error) if spoils_connection(&error) => {
                    return Err(classify(&error, Stage::Connecting));
                }
                reply => reply.map_err(|error| classify(&error, Stage::Sent)),
            };
            if let Err(AttemptError::Refused(_)) = reply {
                return reply.map(drop);
            }
            let reply = unless_error(reply, &mut untold);
            let told = text(&reply).and_then(|info| insufficient(&info, self.durability));
            if let Some((_, cause)) = told {
                // A replica may connect again.
                return Err(AttemptError::Refused(cause));
            }
            if let Some(policy) = policy(&reply) {
                return match evicting(&policy) {
                    Some((_, cause)) if self.evicting => Err(AttemptError::Denied(cause)),
                    _ => Ok(()),
                };
            }
        }
        match untold {
            Some(cause) if self.evicting => Err(AttemptError::Refused(policy_unknown(cause))),
            _ => Ok(()),
        }
    }
}

/// Why writes cannot be so durable, if `info`, the reply to INFO, tells.
fn insufficient(info: &str, durability: Durability) -> Option<(NotReady, Cause)> {
    match durability {
        Durability::Replicas(asked) if info.contains("connected_slaves:") => {
            let is_online = |line: &&str| {
                let number = line
                    .strip_prefix("slave")
                    .and_then(|line| line.split_once(':'));
                number.is_some_and(|(number, state)| {
                    number.parse::<u32>().is_ok() && state.contains("state=online")
                })
            };
            let online = info.lines().filter(is_online).count();
            let is_enough = u32::try_from(online).is_ok_and(|online| online >= asked.get());
            (!is_enough).then(|| {
                let message = format!(
                    "{online} replicas are online, and a write has to reach {asked}: connect more \
                     to this primary, or ask for less durability"
                );
                (NotReady::InsufficientReplicas, Cause::new(message))
            })
        }
        Durability::Fsync if info.contains("aof_enabled:0") => Some(no_fsync(
            "appendonly is off: set appendonly to yes, or ask for less durability",
        )),
        Durability::Memory | Durability::Fsync | Durability::Replicas(_) => None,
    }
}

fn no_fsync(why: &str) -> (NotReady, Cause) {
    (NotReady::FsyncUnavailable, Cause::new(why))
}

/// Why the server cannot tell that a write is so durable, by what INFO does not say. Where
/// the question for `appendfsync` is denied, each write finds out.
async fn cannot_wait<N: Connect, C: Clock>(
    link: &Link<N, C>,
    durability: Durability,
) -> Option<(NotReady, Cause)> {
    // For nothing: it is answered at once.
    let wait = match durability {
        Durability::Memory => return None,
        Durability::Replicas(_) => wait("WAIT", &[0], Duration::ZERO),
        Durability::Fsync => wait("WAITAOF", &[0, 0], Duration::ZERO),
    };
    match (link.send(&wait).await, durability) {
        (Err(AttemptError::Denied(cause)), _) if cause.code() == Some("NOPERM") => {
            return Some((NotReady::RedisNotWritable, cause));
        }
        (Err(AttemptError::Denied(_)), Durability::Fsync) => {
            return Some(no_fsync(
                "this server has no WAITAOF: use redis 7.2 or later, or valkey, or ask for \
                 replicas:N or memory",
            ));
        }
        (Err(AttemptError::Denied(cause)), _) => {
            return Some((NotReady::InsufficientReplicas, cause));
        }
        (_, Durability::Fsync) => {}
        _ => return None,
    }
    let mut config = cmd("CONFIG");
    config.arg("GET").arg("appendfsync");
    let policy = policy(&link.send(&config).await.unwrap_or(Value::Nil));
    (policy.as_deref() == Some("no")).then(|| {
        no_fsync(
            "appendfsync is no: set it to always, or to everysec where WAITAOF waits for its sync \
             (redis 8; valkey and redis 7 answer before it), or ask for less durability",
        )
    })
}

/// The commands that tell the maxmemory-policy. The second one is for where the
/// first is denied.
fn questions() -> [Cmd; 2] {
    let mut config = cmd("CONFIG");
    config.arg("GET").arg("maxmemory-policy");
    [cmd("INFO"), config]
}

/// The maxmemory-policy in the reply to one of them, or the value that CONFIG GET
/// returned.
fn policy(reply: &Value) -> Option<String> {
    let pair = match reply {
        Value::Array(pair) => match pair.as_slice() {
            [_, policy] => policy,
            _ => return None,
        },
        // In RESP3.
        Value::Map(pairs) => match pairs.as_slice() {
            [(_, policy)] => policy,
            _ => return None,
        },
        info => {
            return text(info)?
                .lines()
                .find_map(|line| line.strip_prefix("maxmemory_policy:"))
                .map(str::to_owned);
        }
    };
    text(pair).map(Cow::into_owned)
}

/// The text of a reply.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::BulkString(text) => Some(String::from_utf8_lossy(text)),
        Value::VerbatimString { text, .. } => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

fn evicting(policy: &str) -> Option<(NotReady, Cause)> {
    policy.starts_with("allkeys-").then(|| {
        let message = format!(
            "maxmemory-policy is {policy}: Redis deletes audit records when memory is short; \
             set it to noeviction"
        );
        (NotReady::Evicting, Cause::new(message))
    })
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
