//! What a planted bug may change of the store. It must not know any bug.

use std::{
    future::Future,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use haechi_store_redis::{
    AppendError, AttemptError, DurabilityStatus, ReadError,
    audit::{
        AnchorSink, Appended, AuditSink, LossKeys, Resolution,
        store::{AuditStore, Batch, Reply, Tail},
    },
    chain::{AppendId, Event, Position},
    clock::Clock,
    crypto::{Aad, CryptoProvider, DecryptError, EncryptError, Envelope, Zeroizing},
    entropy::Entropy,
    redis::{
        AuditKeys, Connect, Lease, LockPolicy, RedisAuditStore, RedisVaultStore, SentinelTimes,
        VaultKeys, script::Script,
    },
    test_util::MemoryChain,
    vault::{
        MutationId,
        store::{
            Applied, Attempt, Due, Fate, Load, Loaded, Observed, Page, ReceiptSeq, VaultStore,
        },
    },
};
use redis::{Arg, Cmd, RedisError, Value};

/// The words of a command.
pub(super) fn words(command: &Cmd) -> Vec<&[u8]> {
    let words = command.args_iter();
    words
        .filter_map(|word| match word {
            Arg::Simple(word) => Some(word),
            _ => None,
        })
        .collect()
}

/// A way to Redis beneath a store: what broken stores send by themselves.
pub(super) trait Sends: Sync {
    /// Sends one command.
    fn send(&self, call: &Cmd) -> impl Future<Output = Result<Value, AttemptError>> + Send;

    /// Sends one command on a new connection, with the time that writes wait for
    /// replicas and disk as its last argument.
    fn send_anew(&self, wait: Cmd) -> impl Future<Output = Result<Value, AttemptError>> + Send;

    /// Runs a script, which is loaded first where it is not yet.
    fn run(
        &self,
        script: &Script,
        call: &Cmd,
    ) -> impl Future<Output = Result<Value, AttemptError>> + Send;
}

/// The production store of the chain, whatever it runs on.
pub(super) trait RedisAudit: AuditStore<Lease = Option<Lease>> + Sends {
    fn keys(&self) -> &AuditKeys;
}

/// The production store of the vault, whatever it runs on.
pub(super) trait RedisVault: VaultStore<Lease = Option<Lease>> + Sends {
    fn keys(&self) -> &VaultKeys;
    /// The longest deadline of mutations.
    fn deadline(&self) -> Duration;
    /// What its process's wall clock says.
    fn wall(&self) -> SystemTime;
}

macro_rules! over_redis {
    ($store:ident, $part:ident, $keys:ty $(, $clock:ident)?) => {
        impl<N: Connect, C: Clock, E: Entropy> Sends for $store<N, C, E> {
            fn send(&self, call: &Cmd) -> impl Future<Output = Result<Value, AttemptError>> + Send {
                self.link().send(call)
            }

            async fn send_anew(&self, mut wait: Cmd) -> Result<Value, AttemptError> {
                let link = self.link().another();
                let patience = link.timeouts().durability.as_millis();
                wait.arg(u64::try_from(patience).unwrap_or(u64::MAX));
                link.send(&wait).await
            }

            fn run(
                &self,
                script: &Script,
                call: &Cmd,
            ) -> impl Future<Output = Result<Value, AttemptError>> + Send {
                self.link().run(script, call)
            }
        }

        impl<N: Connect, C: Clock, E: Entropy> $part for $store<N, C, E> {
            fn keys(&self) -> &$keys {
                self.keys()
            }

            $(fn wall(&self) -> SystemTime {
                self.$clock().wall()
            }

            fn deadline(&self) -> Duration {
                self.deadline()
            })?
        }
    };
}

over_redis!(RedisAuditStore, RedisAudit, AuditKeys);
over_redis!(RedisVaultStore, RedisVault, VaultKeys, clock);

/// The seams at which a bug can be planted. Every default is production; one
/// value serves all processes of a world.
pub(super) trait PlantedBug: Send + Sync + 'static {
    /// Appends a batch.
    fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> impl Future<Output = Result<Reply, AttemptError>> + Send {
        next.append(batch)
    }

    /// Reads the chain's end.
    fn tail<S: RedisAudit>(
        &self,
        next: &S,
        seen: Option<Position>,
    ) -> impl Future<Output = Result<Tail, AttemptError>> + Send {
        next.tail(seen)
    }

    /// Reads records.
    fn read<S: RedisAudit>(
        &self,
        next: &S,
        start: u64,
        end: u64,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, ReadError>> + Send {
        next.read(start, end)
    }

    /// Makes sure that a record is as durable as asked.
    fn confirm<S: RedisAudit>(
        &self,
        next: &S,
        position: Position,
    ) -> impl Future<Output = Result<DurabilityStatus, AttemptError>> + Send {
        next.confirm(position)
    }

    /// Records an event, on the callers' side of the sink.
    fn record<C: Clock, E: Entropy>(
        &self,
        sink: &AuditSink<C, E>,
        append_id: AppendId,
        event: Event,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send {
        sink.record_as(append_id, event)
    }

    /// What a process is told that became of a write of unknown outcome.
    fn resolution<T>(&self, found: Resolution<T>) -> Resolution<T> {
        found
    }

    /// The identity of an append for which `drawn` was drawn.
    fn append_id(&self, drawn: AppendId) -> AppendId {
        drawn
    }

    /// Syncs anchors.
    fn sync_anchors(&self, next: &mut impl AnchorSink) -> io::Result<()> {
        next.sync()
    }

    /// The last anchor, from which the others are written.
    fn last_anchor(&self, next: &impl AnchorSink) -> Option<Position> {
        next.last()
    }

    /// By which keys a process goes on after accepted losses, if not by those of production.
    fn loss_keys(&self) -> Option<Arc<dyn LossKeys>> {
        None
    }

    /// Whether a process begins with what it has kept of what it had seen.
    fn reads_seen(&self) -> bool {
        true
    }

    /// When the locks are taken, if that is not left to the world.
    fn lock(&self) -> Option<LockPolicy> {
        None
    }

    /// How many mutations a process has under way at a time, instead of `given`.
    fn at_once(&self, given: usize) -> usize {
        given
    }

    /// How many bytes callers may bring while they wait, instead of `given`.
    fn queue_bytes(&self, given: usize) -> usize {
        given
    }

    /// Whether every command goes over a connection of its own.
    fn dials_each(&self) -> bool {
        false
    }

    /// When Sentinels are asked.
    fn sentinel_times(&self, given: SentinelTimes) -> SentinelTimes {
        given
    }

    /// What is sent instead of a command.
    fn instead(&self, _: &Cmd) -> Option<Cmd> {
        None
    }

    /// Whether a script that a node of a cluster refuses is sent to the one that it names.
    fn sends_on(&self) -> bool {
        false
    }

    /// Whether it is asked at every new connection if its Redis evicts.
    fn checks_connections(&self) -> bool {
        true
    }

    /// Whether a lock is released without comparing whose it is.
    fn releases_any(&self) -> bool {
        false
    }

    /// Whether nothing is written without the lock.
    fn needs_lock(&self) -> bool {
        false
    }

    /// Reads tokens.
    fn load<S: RedisVault>(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Loaded, AttemptError>> + Send {
        next.load(what, observed)
    }

    /// Applies an attempt.
    fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Applied, AttemptError>> + Send {
        next.apply(attempt, observed)
    }

    /// Ends a mutation.
    fn settle<S: RedisVault>(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> impl Future<Output = Result<Option<Fate>, AttemptError>> + Send {
        next.settle(mutation, begun, observed)
    }

    /// Reads the index.
    fn due<S: RedisVault>(
        &self,
        next: &S,
        own: SystemTime,
        limit: usize,
    ) -> impl Future<Output = Result<Due, AttemptError>> + Send {
        next.due(own, limit)
    }

    /// Reads a slice of all tokens.
    fn scan<S: RedisVault>(
        &self,
        next: &S,
        cursor: u64,
        count: usize,
    ) -> impl Future<Output = Result<Page, AttemptError>> + Send {
        next.scan(cursor, count)
    }

    /// Makes sure that mutations are as durable as asked.
    fn confirm_mutations<S: RedisVault>(
        &self,
        next: &S,
        mutations: &[MutationId],
    ) -> impl Future<Output = Result<Vec<DurabilityStatus>, AttemptError>> + Send {
        next.confirm(mutations)
    }

    /// Whether what a caller has begun goes on when it has left.
    fn goes_on(&self) -> bool {
        true
    }

    /// The chain that a vault records in, rather than the one it was given.
    fn vault_audit(&self, given: MemoryChain) -> MemoryChain {
        given
    }

    /// An error that a connection returns.
    fn error(&self, error: RedisError) -> RedisError {
        error
    }

    /// Encrypts a plaintext.
    fn encrypt<P: CryptoProvider>(
        &self,
        next: &P,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> impl Future<Output = Result<Envelope, EncryptError>> + Send {
        next.encrypt(plaintext, aad, expires_at)
    }

    /// Decrypts an envelope.
    fn decrypt<P: CryptoProvider>(
        &self,
        next: &P,
        envelope: &Envelope,
        aad: &Aad,
    ) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, DecryptError>> + Send {
        next.decrypt(envelope, aad)
    }
}

/// The store without a bug.
pub(super) struct Correct;

impl PlantedBug for Correct {}
