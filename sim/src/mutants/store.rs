//! The production store with one thing broken.

use std::time::Duration;

use haechi_store_redis::{
    AttemptError, Cause, ReadError,
    audit::{AuditStore, Batch, Reply, Seen, Tail},
    chain::{Head, Position},
    clock::Clock,
    entropy::Entropy,
    redis::{
        Connect, Lease, LockTimes, RedisAuditStore,
        script::{APPEND, Script, append_call, append_reply},
    },
};
use redis::{Value, cmd};

super::planted! {
    /// A planted bug of the chain.
    Mutant {
        NoFence = "no_fence": "the append script does not compare the head";
        FenceInTwoCommands = "fence_in_two_commands": "the head is compared by one command and moved by another";
        HeadHashNotAdvanced = "head_hash_not_advanced": "head moves without head:hash";
        LockTrusted = "lock_trusted": "whoever holds the lock appends without the fence";
        BlindRetry = "blind_retry": "a lost reply is taken for a refusal, and the batch is built anew";
        LostReplyNotApplied = "lost_reply_not_applied": "a lost reply is reported as not applied";
        CachedHeadKept = "cached_head_kept": "the head met in a conflict is not taken over";
        NoAppendId = "no_append_id": "appends have no identity: a head of the same hash is taken for one's own";
        BatchCutInTwo = "batch_cut_in_two": "a batch travels as two scripts";
    }
}

/// The lock of the variant that trusts it: short enough to lapse in a pause.
pub(super) const SHORT_LOCK: LockTimes = LockTimes {
    ttl: Duration::from_millis(60),
    wait: Duration::from_millis(200),
    retry: Duration::from_millis(10),
};

/// A store with a planted bug.
pub(super) struct MutantStore<N: Connect, C, E> {
    mutant: Mutant,
    store: RedisAuditStore<N, C, E>,
    /// The production script with one line of it broken.
    script: Script,
}

impl<N: Connect, C: Clock, E: Entropy> MutantStore<N, C, E> {
    pub(super) fn new(mutant: Mutant, store: RedisAuditStore<N, C, E>) -> Self {
        let script = match mutant {
            Mutant::NoFence | Mutant::FenceInTwoCommands | Mutant::LockTrusted => {
                APPEND.replace("if tail.hash ~= ARGV[1] then", "if false then")
            }
            Mutant::HeadHashNotAdvanced => {
                APPEND.replace("redis.call('SET', KEYS[3], ARGV[5])", "")
            }
            _ => APPEND.to_owned(),
        };
        Self {
            mutant,
            store,
            script: Script::new(script),
        }
    }

    /// Appends with the variant's own script.
    async fn append_broken(&self, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let Some(call) = append_call(&self.script, self.store.keys(), batch) else {
            return Err(AttemptError::Denied(Cause::new("an empty batch")));
        };
        let reply = self.store.link().run(&self.script, &call).await?;
        append_reply(reply, self.store.keys(), batch.seen)
    }

    async fn append_if_head_is(&self, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let mut get = cmd("GET");
        get.arg(&self.store.keys().head_hash);
        let expected = batch.base.hash_text();
        match self.store.link().send(&get).await {
            Ok(Value::Nil) if expected.is_empty() => self.append_broken(batch).await,
            Ok(Value::BulkString(hash)) if hash == expected.as_bytes() => {
                self.append_broken(batch).await
            }
            Ok(_) => self.store.append(batch).await,
            Err(AttemptError::Ambiguous(cause)) => Err(AttemptError::Refused(cause)),
            Err(error) => Err(error),
        }
    }

    async fn append_in_two(&self, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let (first, second) = batch.records.split_at(batch.records.len() / 2);
        let (Some(last), false) = (first.last(), batch.resent) else {
            return self.store.append(batch).await;
        };
        let half = Batch {
            records: first,
            ..*batch
        };
        match self.store.append(&half).await? {
            Reply::Committed => {
                let rest = Batch {
                    base: Head::At(last.position()),
                    records: second,
                    ..*batch
                };
                self.store.append(&rest).await
            }
            conflict => Ok(conflict),
        }
    }
}

impl<N: Connect, C: Clock, E: Entropy> AuditStore for MutantStore<N, C, E> {
    /// Held by this writer, or not.
    type Lease = Option<Lease>;

    async fn append(&self, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        match self.mutant {
            Mutant::NoFence | Mutant::HeadHashNotAdvanced | Mutant::LockTrusted => {
                self.append_broken(batch).await
            }
            Mutant::FenceInTwoCommands => self.append_if_head_is(batch).await,
            Mutant::BlindRetry => match self.store.append(batch).await {
                Err(AttemptError::Ambiguous(cause)) => Err(AttemptError::Refused(cause)),
                other => other,
            },
            Mutant::LostReplyNotApplied => match self.store.append(batch).await {
                Err(AttemptError::Ambiguous(cause)) => Err(AttemptError::Denied(cause)),
                other => other,
            },
            Mutant::CachedHeadKept => match self.store.append(batch).await {
                Ok(Reply::Conflict { tail, landed }) => Ok(Reply::Conflict {
                    tail: Tail {
                        head: batch.base,
                        seen: Seen::Stands,
                        ..tail
                    },
                    landed,
                }),
                other => other,
            },
            Mutant::BatchCutInTwo => self.append_in_two(batch).await,
            Mutant::NoAppendId => self.store.append(batch).await,
        }
    }

    async fn tail(&self, seen: Option<Position>) -> Result<Tail, AttemptError> {
        self.store.tail(seen).await
    }

    async fn read(&self, start: u64, end: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        self.store.read(start, end).await
    }

    async fn lease(&self) -> Option<Lease> {
        loop {
            let lease = self.store.lease().await;
            // The one that trusts the lock has to have it.
            if lease.is_some() || self.mutant != Mutant::LockTrusted {
                return lease;
            }
        }
    }

    async fn release(&self, lease: Option<Lease>) {
        self.store.release(lease).await;
    }
}
