//! The store that the processes of a world run: production, with a planted
//! bug in between or none. Whoever uses it need not know which.

use std::{io, sync::Arc, time::SystemTime};

use haechi_store_redis::{
    AppendError, AttemptError, Builder, DurabilityStatus, OpenError, ReadError,
    audit::{
        AnchorSink, Appended, AuditConfig, AuditSink, Resolution,
        store::{Batch, Reply, Tail},
    },
    chain::{Anchor, AppendId, Event, Position},
    clock::Clock,
    crypto::{
        Aad, CryptoProvider, DecryptError, EncryptError, Envelope, KeyedMac, MacError, Zeroizing,
    },
    entropy::Entropy,
    redis::{Connect, LockPolicy, RedisAuditStore, RedisVaultStore, SentinelTimes},
    test_util::{AuditHooks, Hooked, MemoryChain, VaultHooks},
    vault::{
        MutationId,
        store::{Applied, Attempt, Due, Fate, Load, Loaded, Observed, Page, ReceiptSeq},
    },
};
use redis::{Cmd, RedisError, cmd};
use tokio::task::JoinHandle;

use super::{
    bug::{Correct, PlantedBug, RedisAudit, RedisVault},
    connect::ConnectUnderTest,
    table::{Bug, each},
};

/// The chain's store of one process.
pub(crate) type AuditUnderTest<N, C, E> = Hooked<RedisAuditStore<N, C, E>, StoreUnderTest>;
/// The vault's store of one process.
pub(crate) type VaultUnderTest<N, C, E> = Hooked<RedisVaultStore<N, C, E>, StoreUnderTest>;

/// The store under test, the same for all processes of one world.
#[derive(Clone)]
pub(crate) struct StoreUnderTest(Arc<Bug>);

impl Default for StoreUnderTest {
    fn default() -> Self {
        Self::new(Bug::Correct(Correct))
    }
}

impl StoreUnderTest {
    pub(super) fn new(bug: Bug) -> Self {
        Self(Arc::new(bug))
    }

    /// The way of a process to Redis.
    pub(crate) fn connect<N: Connect>(&self, connect: N) -> ConnectUnderTest<N> {
        ConnectUnderTest {
            connect,
            store: self.clone(),
        }
    }

    /// What the store makes of an error of a connection.
    pub(super) fn error(&self, error: RedisError) -> RedisError {
        each!(&*self.0, bug => bug.error(error))
    }

    /// Starts a sink.
    pub(crate) async fn open_audit<N: Connect, C: Clock, E: Entropy>(
        &self,
        builder: Builder<C, E>,
        connect: N,
    ) -> Result<AuditSink<C, E>, OpenError> {
        if matches!(*self.0, Bug::Correct(_)) {
            return builder.open_audit(connect).await;
        }
        let builder = match each!(&*self.0, bug => bug.lock()) {
            Some(lock) => builder.lock(lock),
            None => builder,
        };
        let store = builder.audit_store(connect);
        // As the production store starts, so that the worlds of the two part
        // where the bug is.
        store.ready().await.require(&[])?;
        let store = Hooked::new(builder.checked_audit(&store), self.clone());
        Ok(builder.audit_sink(store))
    }

    /// The chain's store by itself, to read.
    pub(crate) fn open_reader<N: Connect, C: Clock, E: Entropy>(
        &self,
        builder: &Builder<C, E>,
        connect: N,
    ) -> AuditUnderTest<N, C, E> {
        Hooked::new(builder.audit_store(connect), self.clone())
    }

    /// The chain's store by itself, to write: over connections that are suitable.
    pub(crate) fn open_writer<N: Connect, C: Clock, E: Entropy>(
        &self,
        builder: &Builder<C, E>,
        connect: N,
    ) -> AuditUnderTest<N, C, E> {
        let store = builder.audit_store(connect);
        Hooked::new(builder.checked_audit(&store), self.clone())
    }

    /// The vault's store, to write: over connections that are suitable.
    pub(crate) fn open_vault<N: Connect, C: Clock, E: Entropy>(
        &self,
        builder: &Builder<C, E>,
        connect: N,
    ) -> VaultUnderTest<N, C, E> {
        let store = builder.vault_store(connect);
        Hooked::new(builder.checked_vault(&store), self.clone())
    }

    /// The vault's store, to read.
    pub(crate) fn open_vault_reader<N: Connect, C: Clock, E: Entropy>(
        &self,
        builder: &Builder<C, E>,
        connect: N,
    ) -> VaultUnderTest<N, C, E> {
        Hooked::new(builder.vault_store(connect), self.clone())
    }

    /// When the vault's lock is taken, by what the world has drawn.
    pub(crate) fn vault_lock(&self, drawn: LockPolicy) -> LockPolicy {
        each!(&*self.0, bug => bug.lock()).unwrap_or(drawn)
    }

    /// How many mutations a process has under way at a time, by what the world says.
    pub(crate) fn at_once(&self, given: usize) -> usize {
        each!(&*self.0, bug => bug.at_once(given))
    }

    /// The anchors of a process.
    pub(crate) fn anchors<A: AnchorSink>(&self, sink: A) -> AnchorsUnderTest<A> {
        AnchorsUnderTest {
            sink,
            store: self.clone(),
        }
    }

    /// Whether a process begins with what it has kept of what it had seen.
    pub(crate) fn reads_seen(&self) -> bool {
        each!(&*self.0, bug => bug.reads_seen())
    }

    /// A builder of sinks that go on from what was accepted under these keys; `config`: their
    /// limits.
    pub(crate) fn loss_keys<C: Clock, E: Entropy, P: CryptoProvider>(
        &self,
        builder: Builder<C, E>,
        mut config: AuditConfig,
        keys: Arc<P>,
    ) -> Builder<C, E> {
        match each!(&*self.0, bug => bug.loss_keys()) {
            Some(keys) => {
                config.accepted.keys = Some(keys);
                builder.audit_config(config)
            }
            None => builder.loss_keys(keys),
        }
    }

    /// How many bytes callers may bring while they wait, by what the world says.
    pub(crate) fn queue_bytes(&self, given: usize) -> usize {
        each!(&*self.0, bug => bug.queue_bytes(given))
    }

    /// Whether every command goes over a connection of its own.
    pub(super) fn dials_each(&self) -> bool {
        each!(&*self.0, bug => bug.dials_each())
    }

    /// When Sentinels are asked.
    pub(crate) fn sentinel_times(&self, given: SentinelTimes) -> SentinelTimes {
        each!(&*self.0, bug => bug.sentinel_times(given))
    }

    /// What is sent instead of a command.
    pub(super) fn instead(&self, command: &Cmd) -> Option<Cmd> {
        each!(&*self.0, bug => bug.instead(command))
    }

    /// Whether a script that a node of a cluster refuses is sent to the one that it names.
    pub(super) fn sends_on(&self) -> bool {
        each!(&*self.0, bug => bug.sends_on())
    }

    /// Whether it is asked at every new connection if its Redis evicts.
    pub(super) fn checks_connections(&self) -> bool {
        each!(&*self.0, bug => bug.checks_connections())
    }

    /// The keys of the vault.
    pub(crate) fn keys<P: CryptoProvider>(&self, provider: P) -> KeysUnderTest<P> {
        KeysUnderTest {
            provider,
            store: self.clone(),
        }
    }

    /// The chain that a vault records in, where it was given this one.
    pub(crate) fn vault_audit(&self, given: MemoryChain) -> MemoryChain {
        each!(&*self.0, bug => bug.vault_audit(given))
    }

    /// Whether a task goes on though the caller that started it has left; if not, it
    /// is stopped.
    pub(crate) fn goes_on(&self, task: &JoinHandle<()>) -> bool {
        let goes_on = each!(&*self.0, bug => bug.goes_on());
        if !goes_on {
            task.abort();
        }
        goes_on
    }

    /// What a process is told that became of a write of unknown outcome.
    pub(crate) fn resolution<T>(&self, found: Resolution<T>) -> Resolution<T> {
        each!(&*self.0, bug => bug.resolution(found))
    }

    /// The identity of an append for which `drawn` was drawn.
    pub(crate) fn append_id(&self, drawn: AppendId) -> AppendId {
        each!(&*self.0, bug => bug.append_id(drawn))
    }

    /// Records an event.
    pub(crate) async fn record<C: Clock, E: Entropy>(
        &self,
        sink: &AuditSink<C, E>,
        append_id: AppendId,
        event: Event,
    ) -> Result<Appended, AppendError> {
        each!(&*self.0, bug => bug.record(sink, append_id, event).await)
    }
}

impl<S: RedisAudit> AuditHooks<S> for StoreUnderTest {
    async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        each!(&*self.0, bug => bug.append(next, batch).await)
    }

    async fn tail(&self, next: &S, seen: Option<Position>) -> Result<Tail, AttemptError> {
        each!(&*self.0, bug => bug.tail(next, seen).await)
    }

    async fn read(&self, next: &S, start: u64, end: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        each!(&*self.0, bug => bug.read(next, start, end).await)
    }

    async fn confirm(
        &self,
        next: &S,
        position: Position,
    ) -> Result<DurabilityStatus, AttemptError> {
        each!(&*self.0, bug => bug.confirm(next, position).await)
    }

    async fn lease(&self, next: &S) -> S::Lease {
        loop {
            let lease = next.lease().await;
            if lease.is_some() || !each!(&*self.0, bug => bug.needs_lock()) {
                return lease;
            }
        }
    }

    async fn release(&self, next: &S, lease: S::Lease) {
        if lease.is_some() && each!(&*self.0, bug => bug.releases_any()) {
            let _ = next.send(cmd("DEL").arg(&next.keys().lock)).await;
        } else {
            next.release(lease).await;
        }
    }
}

impl<S: RedisVault> VaultHooks<S> for StoreUnderTest {
    async fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        each!(&*self.0, bug => bug.load(next, what, observed).await)
    }

    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        each!(&*self.0, bug => bug.apply(next, attempt, observed).await)
    }

    async fn settle(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        each!(&*self.0, bug => bug.settle(next, mutation, begun, observed).await)
    }

    async fn due(&self, next: &S, own: SystemTime, limit: usize) -> Result<Due, AttemptError> {
        each!(&*self.0, bug => bug.due(next, own, limit).await)
    }

    async fn scan(&self, next: &S, cursor: u64, count: usize) -> Result<Page, AttemptError> {
        each!(&*self.0, bug => bug.scan(next, cursor, count).await)
    }

    async fn confirm(
        &self,
        next: &S,
        mutations: &[MutationId],
    ) -> Result<Vec<DurabilityStatus>, AttemptError> {
        each!(&*self.0, bug => bug.confirm_mutations(next, mutations).await)
    }

    async fn lease(&self, next: &S) -> S::Lease {
        loop {
            let lease = next.lease().await;
            if lease.is_some() || !each!(&*self.0, bug => bug.needs_lock()) {
                return lease;
            }
        }
    }

    async fn release(&self, next: &S, lease: S::Lease) {
        if lease.is_some() && each!(&*self.0, bug => bug.releases_any()) {
            let _ = next.send(cmd("DEL").arg(&next.keys().lock)).await;
        } else {
            next.release(lease).await;
        }
    }
}

/// The anchors of a process, with the store's bug in between.
pub(crate) struct AnchorsUnderTest<A> {
    sink: A,
    store: StoreUnderTest,
}

impl<A: AnchorSink> AnchorSink for AnchorsUnderTest<A> {
    fn write(&mut self, anchor: &Anchor) -> io::Result<()> {
        self.sink.write(anchor)
    }

    fn sync(&mut self) -> io::Result<()> {
        each!(&*self.store.0, bug => bug.sync_anchors(&mut self.sink))
    }

    fn last(&self) -> Option<Position> {
        each!(&*self.store.0, bug => bug.last_anchor(&self.sink))
    }
}

/// The keys of the vault, with the store's bug in between.
pub(crate) struct KeysUnderTest<P> {
    provider: P,
    store: StoreUnderTest,
}

impl<P: CryptoProvider> CryptoProvider for KeysUnderTest<P> {
    async fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> Result<Envelope, EncryptError> {
        let next = &self.provider;
        each!(&*self.store.0, bug => bug.encrypt(next, plaintext, aad, expires_at).await)
    }

    async fn decrypt(
        &self,
        envelope: &Envelope,
        aad: &Aad,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let next = &self.provider;
        each!(&*self.store.0, bug => bug.decrypt(next, envelope, aad).await)
    }

    async fn hmacs(&self, data: &[u8], domain: &str) -> Result<Vec<KeyedMac>, MacError> {
        self.provider.hmacs(data, domain).await
    }
}
