//! The builder that programs, tests and the simulation assemble the store with.

use std::{num::NonZeroU64, time::Duration};

use crate::{
    audit::{AnchorSink, AuditSink, SinkConfig, store::AuditStore},
    chain::Position,
    clock::{Clock, SystemClock},
    crypto::CryptoProvider,
    entropy::{Entropy, SystemEntropy},
    error::Cause,
    redis::{
        AuditPrefix, Connect, LockPolicy, NotReady, RedisAuditConfig, RedisAuditStore,
        RedisVaultConfig, RedisVaultStore, Timeouts, VaultPrefix,
    },
    sync::Arc,
    vault::{TokenStore, TokenStoreConfig, TokenVault, VaultPolicy, store::VaultStore},
};

/// Assembles an [`AuditSink`] from its parts; every part has a default.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use haechi_store_redis::{Builder, chain::Event};
///
/// let redis = redis::Client::open("redis://127.0.0.1:6379")?;
/// let sink = Builder::new().start(redis).await?;
/// let event = Event::from_json(r#"{"id":"e1","operation":"protect"}"#)?;
/// let appended = sink.record(event).await?;
/// println!("{}", appended.position.sequence);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Builder<C = SystemClock, E = SystemEntropy> {
    clock: C,
    entropy: E,
    redis: RedisAuditConfig,
    vault_prefix: VaultPrefix,
    tokens: TokenStoreConfig,
    sink: SinkConfig,
    anchors: Option<(Box<dyn AnchorSink>, NonZeroU64)>,
    tolerated: Vec<NotReady>,
}

/// Why a sink would not start.
#[derive(Clone, Debug, thiserror::Error)]
#[error("refused to start: {reason}: {cause}")]
pub struct StartError {
    /// What stands in the way; [`Builder::tolerate`] overrides it.
    pub reason: NotReady,
    /// What was heard.
    pub cause: Cause,
}

impl Builder {
    /// The system's clock and randomness, the default keys, no lock, no
    /// anchors.
    pub fn new() -> Self {
        Self {
            clock: SystemClock::new(),
            entropy: SystemEntropy,
            redis: RedisAuditConfig::default(),
            vault_prefix: VaultPrefix::default(),
            tokens: TokenStoreConfig::default(),
            sink: SinkConfig::default(),
            anchors: None,
            tolerated: Vec::new(),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock, E: Entropy> Builder<C, E> {
    /// Takes the time from `clock`.
    pub fn clock<D: Clock>(self, clock: D) -> Builder<D, E> {
        Builder {
            clock,
            entropy: self.entropy,
            redis: self.redis,
            vault_prefix: self.vault_prefix,
            tokens: self.tokens,
            sink: self.sink,
            anchors: self.anchors,
            tolerated: self.tolerated,
        }
    }

    /// Takes randomness from `entropy`.
    pub fn entropy<F: Entropy>(self, entropy: F) -> Builder<C, F> {
        Builder {
            clock: self.clock,
            entropy,
            redis: self.redis,
            vault_prefix: self.vault_prefix,
            tokens: self.tokens,
            sink: self.sink,
            anchors: self.anchors,
            tolerated: self.tolerated,
        }
    }

    /// Begins the names of the chain's keys with `prefix`.
    pub fn audit_prefix(mut self, prefix: AuditPrefix) -> Self {
        self.redis.prefix = prefix;
        self
    }

    /// Begins the names of the vault's keys with `prefix`.
    pub fn vault_prefix(mut self, prefix: VaultPrefix) -> Self {
        self.vault_prefix = prefix;
        self
    }

    /// The deadline of mutations, and how long they wait for foreign locks.
    pub fn tokens(mut self, config: TokenStoreConfig) -> Self {
        self.tokens = config;
        self
    }

    /// When to take the contention locks.
    pub fn lock(mut self, policy: LockPolicy) -> Self {
        self.redis.lock = policy;
        self
    }

    /// How long to wait for a connection and for a reply.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.redis.timeouts = timeouts;
        self
    }

    /// How long one [`AuditSink::record`] may take, or one mutation of the
    /// vault.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.sink.deadline = deadline;
        self.tokens.deadline = deadline;
        self
    }

    /// Queue and batch sizes, and the deadline.
    pub fn sink(mut self, config: SinkConfig) -> Self {
        self.sink = config;
        self
    }

    /// Anchors every record whose sequence is a multiple of `every`. The last
    /// anchor that the sink already holds counts as seen: a chain that lacks
    /// it is reported as rolled back.
    pub fn anchors(mut self, sink: impl AnchorSink + 'static, every: NonZeroU64) -> Self {
        self.anchors = Some((Box::new(sink), every));
        self
    }

    /// The highest position already known of this chain.
    pub fn seen(mut self, seen: Position) -> Self {
        self.sink.seen = Some(seen);
        self
    }

    /// Starts in spite of `reason`, which [forbids
    /// starting](NotReady::forbids_start) otherwise.
    pub fn tolerate(mut self, reason: NotReady) -> Self {
        self.tolerated.push(reason);
        self
    }

    /// The store alone: to read, verify, or ask whether Redis is ready.
    pub fn store<N: Connect>(&self, connect: N) -> RedisAuditStore<N, C, E> {
        RedisAuditStore::new(
            connect,
            self.redis.clone(),
            self.clock.clone(),
            self.entropy.clone(),
        )
    }

    /// The vault's store alone, without keys to its envelopes.
    pub fn vault_store<N: Connect>(&self, connect: N) -> RedisVaultStore<N, C, E> {
        let config = RedisVaultConfig {
            prefix: self.vault_prefix.clone(),
            timeouts: self.redis.timeouts,
            lock: self.redis.lock,
        };
        RedisVaultStore::new(connect, config, self.clock.clone(), self.entropy.clone())
    }

    /// Mutations of stored tokens over any store.
    pub fn token_store<S: VaultStore>(&self, store: S) -> TokenStore<S, C, E> {
        TokenStore::new(
            store,
            self.clock.clone(),
            self.entropy.clone(),
            self.tokens.clone(),
        )
    }

    /// A vault over any store, audited by `audit`.
    pub fn vault<S: VaultStore, P: CryptoProvider>(
        &self,
        store: S,
        crypto: Arc<P>,
        audit: AuditSink<C, E>,
        policy: VaultPolicy,
    ) -> TokenVault<S, P, C, E> {
        TokenVault::new(
            self.token_store(store),
            crypto,
            audit,
            self.clock.clone(),
            self.entropy.clone(),
            policy,
        )
    }

    /// Asks Redis whether it can be trusted with a chain, then starts.
    ///
    /// A Redis that cannot be reached, or refuses writes at the moment, is no
    /// reason not to start: events wait for it, each up to its deadline. Must
    /// be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`] for what would lose or fork data.
    pub async fn start<N: Connect>(self, connect: N) -> Result<AuditSink<C, E>, StartError> {
        let store = self.store(connect);
        let readiness = store.ready().await;
        for (reason, cause) in readiness.faults {
            if reason.forbids_start() && !self.tolerated.contains(&reason) {
                return Err(StartError { reason, cause });
            }
        }
        Ok(self.start_over(store))
    }

    /// Starts over any store, asking nothing. Must be called within a tokio
    /// runtime.
    pub fn start_over<S: AuditStore>(self, store: S) -> AuditSink<C, E> {
        let mut config = self.sink;
        if let Some((anchors, _)) = &self.anchors {
            let last = anchors.last();
            if last.map(|last| last.sequence) > config.seen.map(|seen| seen.sequence) {
                config.seen = last;
            }
        }
        let (sink, append_loop) =
            AuditSink::new(store, self.clock, self.entropy, config, self.anchors);
        tokio::spawn(append_loop.run());
        sink
    }
}
