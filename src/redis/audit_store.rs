//! The audit chain in Redis: three keys, and the scripts that change them
//! together.

use redis::{Client, Value};

use super::{
    connect::Connect,
    durable::DurableLink,
    keys::{AuditKeys, AuditPrefix},
    link::{Link, Timeouts},
    lock::{ContentionLock, Lease, LockPolicy, LockWaits},
    reply,
    script::{SCRIPTS, append_call, append_reply, repair_call, tail_call, tail_reply},
};
use crate::{
    audit::store::{
        AuditStore, Batch, ChainState, RepairReply, RepairStore, Reply, Seen, Tail, VerifiedList,
        once_more,
    },
    chain::{Position, Record},
    clock::{Clock, SystemClock},
    durability::{Durability, DurabilityStatus},
    entropy::{Entropy, SystemEntropy},
    error::{AttemptError, Cause, ReadError},
    health::Health,
    telemetry::Telemetry,
};

/// The configuration of a Redis store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RedisAuditConfig {
    /// The prefix of its keys.
    pub prefix: AuditPrefix,
    /// Timeouts of the connection.
    pub timeouts: Timeouts,
    /// When to take the contention lock.
    pub lock: LockPolicy,
    /// How durable a write must be before it counts as done.
    pub durability: Durability,
}

/// An audit chain in Redis.
///
/// An append is one script and one round trip, independent of the batch's size
/// and the chain's length. Processes that share the chain, in any language, are
/// synchronized by the fence inside the script.
pub struct RedisAuditStore<N: Connect = Client, C = SystemClock, E = SystemEntropy> {
    link: Link<N, C>,
    durable: DurableLink<N, C>,
    clock: C,
    entropy: E,
    keys: AuditKeys,
    lock: ContentionLock,
}

/// Bytes of records in one reply, unless a single record is larger.
pub(super) const PAGE_BYTES: usize = 1 << 20;

impl<N: Connect, C: Clock, E: Entropy> RedisAuditStore<N, C, E> {
    /// A store that connects at its first use.
    pub fn new(connect: N, config: RedisAuditConfig, clock: C, entropy: E) -> Self {
        let connect = connect.serving(&AuditKeys::new(config.prefix.clone()).head);
        let link = Link::new(connect, clock.clone(), config.timeouts);
        Self::over(link, config, clock, entropy)
    }

    /// A store that shares a connection; the link's timeouts apply.
    pub fn over(link: Link<N, C>, config: RedisAuditConfig, clock: C, entropy: E) -> Self {
        let keys = AuditKeys::new(config.prefix);
        let link = link.told_as(Telemetry::of(&keys.prefix.to_string()));
        Self {
            durable: DurableLink::new(&link, config.durability),
            link,
            clock,
            entropy,
            lock: ContentionLock::new(config.lock, keys.lock.clone(), &SCRIPTS.acquire, ""),
            keys,
        }
    }

    /// The names of its keys.
    #[must_use]
    pub fn keys(&self) -> &AuditKeys {
        &self.keys
    }

    /// Its connection.
    #[must_use]
    pub fn link(&self) -> &Link<N, C> {
        &self.link
    }

    /// The key of its lock, if it is taken at all.
    pub(super) fn lock_key(&self) -> Option<&str> {
        self.lock.key()
    }

    /// How durable its writes must be.
    pub(super) fn level(&self) -> Durability {
        self.durable.level()
    }

    /// A counter of the waits for its lock, which can be kept.
    #[must_use]
    pub fn lock_waits(&self) -> LockWaits {
        self.lock.waits().clone()
    }
}

impl<N: Connect, C: Clock, E: Entropy> AuditStore for RedisAuditStore<N, C, E> {
    type Lease = Option<Lease>;

    async fn append(&self, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let Some(call) = append_call(&SCRIPTS.append, &self.keys, batch) else {
            return Err(AttemptError::Denied(Cause::new("an empty batch")));
        };
        let reply = self.link.run(&SCRIPTS.append, &call).await?;
        append_reply(reply, &self.keys, batch.seen)
    }

    async fn tail(&self, seen: Option<Position>) -> Result<Tail, AttemptError> {
        let call = tail_call(&SCRIPTS.tail, &self.keys, seen);
        let reply = self.link.run(&SCRIPTS.tail, &call).await?;
        tail_reply(reply, &self.keys, seen)
    }

    async fn read(&self, start: u64, end: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut call = SCRIPTS.page.call(&self.keys.fenced());
        call.arg(start).arg(end).arg(PAGE_BYTES);
        match once_more(|| self.link.run(&SCRIPTS.page, &call)).await? {
            Value::Array(page) => Ok(page
                .into_iter()
                .filter_map(|record| match record {
                    Value::BulkString(text) => Some(text),
                    _ => None,
                })
                .collect()),
            _ => Err(ReadError::Unavailable(Cause::new(
                "the reply to a page of the chain has another shape than the script's",
            ))),
        }
    }

    fn durability(&self) -> Durability {
        self.durable.level()
    }

    fn health(&self) -> Health {
        self.link.health()
    }

    async fn confirm(&self, position: Position) -> Result<DurabilityStatus, AttemptError> {
        let keys = &self.keys;
        let mut call = SCRIPTS.confirm.call(&keys.fenced());
        call.arg(position.sequence.get())
            .arg(position.event_hash.to_string());
        let (reply, status) = self.durable.run(&SCRIPTS.confirm, &call).await?;
        let not_yet = |why: &str| DurabilityStatus::NotYet(why.to_owned());
        Ok(match reply::tail(reply, keys, Some(position))?.seen {
            Seen::Stands => status,
            Seen::Gone { .. } => not_yet(
                "the Redis that is the primary now does not have the record: it was rolled back; \
                 the next append will say so",
            ),
            Seen::Trimmed => not_yet("the chain was trimmed past the record meanwhile"),
        })
    }

    async fn lease(&self) -> Option<Lease> {
        self.lock
            .acquire(&self.link, &self.clock, &self.entropy)
            .await
    }

    async fn release(&self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            self.lock.release(&self.link, lease).await;
        }
    }
}

impl<N: Connect, C: Clock, E: Entropy> RepairStore for RedisAuditStore<N, C, E> {
    async fn state(&self) -> Result<ChainState, AttemptError> {
        let call = SCRIPTS.state.call(&self.keys.fenced());
        let reply = once_more(|| self.link.run(&SCRIPTS.state, &call)).await?;
        reply::state(reply, &self.keys)
    }

    async fn repair(
        &self,
        verified: &VerifiedList<'_>,
        record: &Record,
    ) -> Result<RepairReply, AttemptError> {
        let call = repair_call(&SCRIPTS.repair, &self.keys, verified, record);
        reply::repair(self.link.run(&SCRIPTS.repair, &call).await?, &self.keys)
    }
}

impl<N: Connect, C, E> std::fmt::Debug for RedisAuditStore<N, C, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisAuditStore")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
