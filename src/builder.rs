//! Assembles the parts, for programs, tests and the simulation alike.

use std::{num::NonZeroU64, time::Duration};

use crate::{
    audit::{
        self, AnchorSink, Appended, AuditConfig, AuditSink, IfOpen, Resolution, ResolveError,
        resolve,
        store::{AuditStore, Tail},
    },
    blocking::RunBlocking,
    chain::{Checkpoints, Head, LostRange, Position},
    clock::{Clock, SystemClock},
    crypto::CryptoProvider,
    durability::Durability,
    entropy::{Entropy, SystemEntropy},
    error::{Handle, ReadError},
    redis::{
        AuditPrefix, Connect, Link, LockPolicy, NotReady, OpenError, RedisAuditConfig,
        RedisAuditStore, RedisVaultConfig, RedisVaultStore, Timeouts, Unfit, VaultPrefix,
        client::Client,
    },
    resume::{self, ResumeError, SharedKeys},
    seen::{SeenEntry, SeenFile},
    sync::Arc,
    telemetry::Telemetry,
    vault::{
        ReceiptHandle, Spawn, TokenStore, TokenVault, VaultConfig, VaultPolicy, Version,
        resolve as resolve_mutation, store::VaultStore,
    },
};

/// A token vault in Redis, as returned by [`Builder::open`].
pub type RedisTokenVault<P, N = Client, C = SystemClock, E = SystemEntropy> =
    TokenVault<RedisVaultStore<N, C, E>, P, C, E>;

/// Assembles an audit sink and a token vault; every part has a default.
///
/// [`open`](Self::open) returns both, [`open_audit`](Self::open_audit) only the
/// sink. The other methods that return a part are for tests, tools and other
/// backends.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use haechi_store_redis::{
///     Builder,
///     clock::SystemClock,
///     crypto::{Counting, KeyFile, LocalKeys},
///     entropy::SystemEntropy,
///     redis::Endpoint,
///     vault::{Details, TokenType, VaultPolicy},
/// };
///
/// let redis: Endpoint = "redis://127.0.0.1:6379".parse()?;
/// let file = KeyFile::new("vault.keys");
/// let keys = LocalKeys::open(file, SystemClock::new(), SystemEntropy, Counting::Persisted).await?;
/// let keys = Arc::new(keys);
/// let (audit, vault) = Builder::new()
///     .open(redis, keys.clone(), VaultPolicy::default())
///     .await?;
///
/// let email = TokenType::new("email")?;
/// let made = vault.tokenize(&email, "anna@example.com", Details::default()).await?;
/// println!("{}", made.token);
///
/// vault.close(std::time::Duration::from_secs(5)).await;
/// audit.close(std::time::Duration::from_secs(5)).await;
/// keys.close().await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Builder<C = SystemClock, E = SystemEntropy> {
    clock: C,
    entropy: E,
    parts: Parts,
}

/// The parts that do not depend on clock and entropy.
#[derive(Default)]
struct Parts {
    audit_prefix: AuditPrefix,
    vault_prefix: VaultPrefix,
    lock: LockPolicy,
    timeouts: Timeouts,
    durability: Durability,
    audit: AuditConfig,
    vault: VaultConfig,
    anchors: Option<(Box<dyn AnchorSink>, NonZeroU64)>,
    blocking: Option<RunBlocking>,
    seen_file: Option<SeenFile>,
    tolerated: Vec<NotReady>,
}

impl Builder {
    /// The system's clock and randomness, the default key prefixes, no lock, no
    /// anchors.
    pub fn new() -> Self {
        Self {
            clock: SystemClock::new(),
            entropy: SystemEntropy,
            parts: Parts::default(),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock, E: Entropy> Builder<C, E> {
    /// Uses this clock.
    pub fn clock<D: Clock>(self, clock: D) -> Builder<D, E> {
        let Self { entropy, parts, .. } = self;
        Builder {
            clock,
            entropy,
            parts,
        }
    }

    /// Uses this source of randomness.
    pub fn entropy<F: Entropy>(self, entropy: F) -> Builder<C, F> {
        let Self { clock, parts, .. } = self;
        Builder {
            clock,
            entropy,
            parts,
        }
    }

    /// The prefix of the chain's keys.
    pub fn audit_prefix(mut self, prefix: AuditPrefix) -> Self {
        self.parts.audit_prefix = prefix;
        self
    }

    /// The prefix of the vault's keys.
    pub fn vault_prefix(mut self, prefix: VaultPrefix) -> Self {
        self.parts.vault_prefix = prefix;
        self
    }

    /// The sink's deadline, queue and batch sizes.
    pub fn audit_config(mut self, config: AuditConfig) -> Self {
        self.parts.audit = config;
        self
    }

    /// The deadline of mutations, and how long they wait for foreign locks.
    pub fn vault_config(mut self, config: VaultConfig) -> Self {
        self.parts.vault = config;
        self
    }

    /// How long one [`AuditSink::record`] may take, or one mutation of the
    /// vault.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.parts.audit.deadline = deadline;
        self.parts.vault.deadline = deadline;
        self
    }

    /// When to take the contention locks.
    pub fn lock(mut self, policy: LockPolicy) -> Self {
        self.parts.lock = policy;
        self
    }

    /// How long to wait for a connection and for a reply.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.parts.timeouts = timeouts;
        self
    }

    /// How durable an append or a mutation must be before it counts as done; by
    /// default [`Durability::Memory`].
    ///
    /// What was applied is confirmed over a connection of its own, together with all
    /// that was applied meanwhile; later writes do not wait for it. What is not
    /// confirmed within [`Timeouts::durability`], or by the deadline, has been applied
    /// all the same, and its result says
    /// [`NotYet`](crate::DurabilityStatus::NotYet).
    pub fn durability(mut self, durability: Durability) -> Self {
        self.parts.durability = durability;
        self
    }

    /// Anchors every record that is appended here and whose sequence is a multiple of
    /// `every`, and those that anybody appended after the sink's last anchor while it
    /// was not in use.
    ///
    /// The last anchor counts as seen: a chain that lacks it is reported as
    /// rolled back, at every start with this sink.
    ///
    /// The sink is used on a thread for blocking work, or as [`blocking`](Self::blocking)
    /// says. An append waits for its anchor at most until its deadline.
    pub fn anchors(mut self, sink: impl AnchorSink + 'static, every: NonZeroU64) -> Self {
        self.parts.anchors = Some((Box::new(sink), every));
        self
    }

    /// Uses the sink of [`anchors`](Self::anchors) by `run`, on threads of the caller's for
    /// example, rather than on tokio's: a medium that hangs keeps the thread it is used on,
    /// and a tokio runtime waits for its threads when it is dropped. If `run` drops its
    /// work unused, the sink is dropped with it, and anchors are missing from then on.
    pub fn blocking(mut self, run: RunBlocking) -> Self {
        self.parts.blocking = Some(run);
        self
    }

    /// The highest known position of this chain: a chain that lacks it is
    /// reported as rolled back.
    pub fn seen(mut self, seen: Position) -> Self {
        self.parts.audit.seen.add(seen);
        self
    }

    /// Keeps what this process sees of chain and vault in `file`, and begins with
    /// what it holds: a rollback is then found after a restart, too. Sinks and token
    /// stores of one process that share it look for what any of them has seen; keys with
    /// one prefix are for one Redis.
    pub fn seen_file(mut self, file: SeenFile) -> Self {
        self.parts.seen_file = Some(file);
        self
    }

    /// Goes on after the loss of these records of the chain, once the chain has a
    /// record that accepts just this loss. With [`open`](Self::open), also after
    /// losses whose record was made under one of the vault's keys.
    pub fn accept(mut self, lost: LostRange) -> Self {
        self.parts.audit.accepted.ranges.push(lost);
        self
    }

    /// Goes on also after losses whose record was made under one of these keys, which the
    /// replicas share. [`open`](Self::open) uses the vault's, unless others are given here.
    pub fn loss_keys<P: CryptoProvider>(mut self, keys: Arc<P>) -> Self {
        let keyed = SharedKeys(keys);
        self.parts.audit.accepted.keys = Some(std::sync::Arc::new(keyed));
        self
    }

    /// Opens in spite of `reason`, which otherwise [prevents
    /// it](NotReady::forbids_start).
    pub fn tolerate(mut self, reason: NotReady) -> Self {
        self.parts.tolerated.push(reason);
        self
    }

    /// Opens the audit chain and, audited by it, the token vault, each over a
    /// connection of its own. `keys` encrypts and decrypts for the vault.
    ///
    /// Checks first whether Redis is suitable, by the keys of both. A Redis that
    /// is unreachable, or temporarily refuses writes, does not prevent opening:
    /// calls wait for it up to their deadlines. Every later connection is asked
    /// first whether its Redis evicts; a call that meets such a Redis ends at
    /// once, as not applied unless a copy was sent before, and the next one looks
    /// again. If [more durability](Self::durability) is asked for, it is also asked for
    /// its replicas or its append-only file; calls wait for those up to their deadlines.
    ///
    /// Must be called within a tokio runtime, which then runs the append loop,
    /// and what of the vault goes on when its caller has left.
    /// Dropping the future has no effects. At the end, close the vault, then the sink, then
    /// the keys.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if data would be lost or forked.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn open<N: Connect, P: CryptoProvider>(
        mut self,
        connect: N,
        keys: Arc<P>,
        policy: VaultPolicy,
    ) -> Result<(AuditSink<C, E>, RedisTokenVault<P, N, C, E>), OpenError> {
        let (chain, store) = (self.audit_store(connect.clone()), self.vault_store(connect));
        let (chain_ready, vault_ready) = tokio::join!(chain.ready(), store.ready());
        chain_ready.require(&self.parts.tolerated)?;
        vault_ready.require(&self.parts.tolerated)?;
        if self.parts.audit.accepted.keys.is_none() {
            self = self.loss_keys(keys.clone());
        }
        let tokens = self.token_store(self.checked_vault(&store));
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        let audit = self.checked_sink(&chain);
        let vault = TokenVault::new(
            tokens,
            keys,
            audit.clone(),
            clock,
            entropy,
            policy,
            on_runtime(),
        );
        Ok((audit, vault))
    }

    /// Opens only the audit chain; see [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// [`OpenError`] if data would be lost or forked.
    pub async fn open_audit<N: Connect>(self, connect: N) -> Result<AuditSink<C, E>, OpenError> {
        let store = self.audit_store(connect);
        store.ready().await.require(&self.parts.tolerated)?;
        Ok(self.checked_sink(&store))
    }

    /// Accepts the loss of the records `lost` after a rollback: appends a record
    /// {operation: "audit:rollback-accepted", lost: {from, to, headHash}}, and
    /// returns its position. What was seen is given by [`seen`](Self::seen) or
    /// [`seen_file`](Self::seen_file), and the file is brought up to date.
    ///
    /// Processes that have seen what was lost go on when they meet the record, if
    /// the loss was [accepted](Self::accept) for them, too, or if `keys` are also
    /// theirs: who can write Redis could forge the record, but not its code. If more is
    /// lost before the record is appended, it is not, and this ends as
    /// [rolled back](crate::Corrupt::RolledBack). A
    /// process that met a second rollback of the same sequences just before may take
    /// the first one's record for it.
    ///
    /// Refused, as [`open_audit`](Self::open_audit) is, on a Redis that is unsuitable.
    ///
    /// # Errors
    ///
    /// [`ResumeError`]. After an unknown outcome this can be called again.
    pub async fn resume<N: Connect, P: CryptoProvider>(
        mut self,
        connect: N,
        lost: LostRange,
        keys: Option<Arc<P>>,
    ) -> Result<Appended, ResumeError> {
        let kept = self.kept_chain();
        let mut sources = self.seen_sources();
        sources.sort_by_key(|seen| std::cmp::Reverse(seen.last().map(|last| last.sequence)));
        let mut sources = sources.into_iter();
        let mut seen = sources.next().unwrap_or_default();
        sources.for_each(|other| seen.merge(&other));
        self.parts.seen_file = None;
        let store = self.checked_audit(&self.audit_store(connect));
        let looked = resume::look(&store, &seen, lost).await?;
        self.parts.audit.seen = looked.head.position().into_iter().collect();
        let (keys, clock) = (keys.map(SharedKeys), self.clock.clone());
        let deadline = self.parts.audit.deadline;
        let sink = self.audit_sink(store);
        let accepted = looked.accept(&sink, &clock, keys.as_ref()).await;
        sink.close(deadline).await;
        let (appended, stand) = accepted?;
        if let Some(kept) = kept {
            kept.set_chain(&stand);
            kept.file.save_last().await;
        }
        Ok(appended)
    }

    /// The end of the chain, if it still has what was seen, as given by
    /// [`seen`](Self::seen) or [`seen_file`](Self::seen_file), which is brought up
    /// to date: for those who only read.
    ///
    /// # Errors
    ///
    /// [`ReadError::Corrupt`] with [`Corrupt::RolledBack`](crate::Corrupt::RolledBack)
    /// after a rollback.
    pub async fn check_seen<S: AuditStore>(&self, store: &S) -> Result<Tail, ReadError> {
        let kept = self.kept_chain();
        let mut sources = self.seen_sources().into_iter();
        let mut seen = sources.next().unwrap_or_default();
        let mut tail = audit::check(store, &seen).await?;
        for other in sources {
            tail = audit::check(store, &other).await?;
            seen.merge(&other);
        }
        if let (Some(kept), Head::At(met)) = (kept, tail.head) {
            seen.add(met);
            kept.set_chain(&seen);
            kept.file.save_last().await;
        }
        Ok(tail)
    }

    /// What the file holds of the chain.
    fn kept_chain(&self) -> Option<SeenEntry> {
        let file = self.parts.seen_file.as_ref()?;
        Some(file.entry(self.parts.audit_prefix.to_string()))
    }

    /// What was seen of the chain, by the file and as given.
    fn seen_sources(&self) -> Vec<Checkpoints> {
        let kept = self.kept_chain().map(|kept| kept.chain());
        let sources = [kept.unwrap_or_default(), self.parts.audit.seen.clone()];
        let known = sources.into_iter().filter(|seen| seen.last().is_some());
        known.collect()
    }

    /// A sink over the connections of `store`, if their Redis was found suitable.
    fn checked_sink<N: Connect>(self, store: &RedisAuditStore<N, C, E>) -> AuditSink<C, E> {
        let store = self.checked_audit(store);
        self.audit_sink(store)
    }

    /// `store`, over connections only whose Redis was found suitable, as with
    /// [`open_audit`](Self::open_audit), the one that it has open included: for those who wrap a
    /// store before they give it to [`audit_sink`](Self::audit_sink). Sends nothing.
    ///
    /// ```no_run
    /// use haechi_store_redis::{Builder, redis::Endpoint};
    ///
    /// async fn start() -> Result<(), Box<dyn std::error::Error>> {
    ///     let endpoint: Endpoint = "redis://127.0.0.1:6379".parse()?;
    ///     let builder = Builder::new();
    ///     let store = builder.audit_store(endpoint);
    ///     store.ready().await.require(&[])?;
    ///     // Here with a wrapper of your own around it.
    ///     let store = builder.checked_audit(&store);
    ///     let sink = builder.audit_sink(store);
    ///     Ok(())
    /// }
    /// ```
    pub fn checked_audit<N: Connect>(
        &self,
        store: &RedisAuditStore<N, C, E>,
    ) -> RedisAuditStore<N, C, E> {
        let (link, config) = (self.checked(store.link()), self.audit_redis_config());
        RedisAuditStore::over(link, config, self.clock.clone(), self.entropy.clone())
    }

    /// As [`checked_audit`](Self::checked_audit), for
    /// [`token_vault`](Self::token_vault) and [`token_store`](Self::token_store).
    pub fn checked_vault<N: Connect>(
        &self,
        store: &RedisVaultStore<N, C, E>,
    ) -> RedisVaultStore<N, C, E> {
        let (link, config) = (self.checked(store.link()), self.vault_redis_config());
        RedisVaultStore::over(link, config, self.clock.clone(), self.entropy.clone())
    }

    fn checked<N: Connect>(&self, link: &Link<N, C>) -> Link<N, C> {
        let tolerates = |reason| self.parts.tolerated.contains(&reason);
        let is_shortfall_tolerated =
            tolerates(NotReady::InsufficientReplicas) || tolerates(NotReady::FsyncUnavailable);
        link.clone().refusing(Unfit {
            evicting: !tolerates(NotReady::Evicting),
            durability: match is_shortfall_tolerated {
                true => Durability::Memory,
                false => self.parts.durability,
            },
        })
    }

    /// A sink over any store, without checks. Must be called within a tokio
    /// runtime, which then runs the append loop.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn audit_sink<S: AuditStore>(mut self, store: S) -> AuditSink<C, E> {
        self.parts.audit.kept = self.kept_chain();
        self.parts.audit.telemetry = Telemetry::of(&self.parts.audit_prefix.to_string());
        let Parts {
            audit,
            anchors,
            blocking,
            ..
        } = self.parts;
        let (sink, mut append_loop) =
            AuditSink::new(store, self.clock, self.entropy, audit, anchors);
        if let Some(run) = blocking {
            append_loop = append_loop.blocking(run);
        }
        tokio::spawn(append_loop.run());
        sink
    }

    /// A vault over any store, audited by `audit`. Must be called within a tokio
    /// runtime, which then runs what goes on when its caller has left.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn token_vault<S: VaultStore, P: CryptoProvider>(
        &self,
        store: S,
        keys: Arc<P>,
        audit: AuditSink<C, E>,
        policy: VaultPolicy,
    ) -> TokenVault<S, P, C, E> {
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        let tokens = self.token_store(store);
        TokenVault::new(tokens, keys, audit, clock, entropy, policy, on_runtime())
    }

    /// Mutations of stored tokens over any store.
    pub fn token_store<S: VaultStore>(&self, store: S) -> TokenStore<S, C, E> {
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        let mut config = self.parts.vault.clone();
        let file = self.parts.seen_file.as_ref();
        config.kept = file.map(|file| file.entry(self.parts.vault_prefix.to_string()));
        config.telemetry = Telemetry::of(&self.parts.vault_prefix.to_string());
        TokenStore::new(store, clock, entropy, config)
    }

    /// Finds out what became of an append, within the deadline and over a connection of its
    /// own; see [`resolve`]. With [`IfOpen::Settle`], which writes, a Redis that is
    /// unsuitable is refused, as in [`open_audit`](Self::open_audit). A chain that lacks what
    /// was [`seen`](Self::seen), or what the [file](Self::seen_file) holds, tells of no append
    /// that is not in it, and nothing is written to it.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]; asking again is always safe.
    pub async fn resolve_append<N: Connect>(
        &self,
        connect: N,
        handle: &Handle,
        if_open: IfOpen,
    ) -> Result<Resolution<Position>, ResolveError> {
        let mut store = self.audit_store(connect);
        if if_open == IfOpen::Settle {
            store = self.checked_audit(&store);
        }
        let (clock, entropy) = (&self.clock, &self.entropy);
        let deadline = self.parts.audit.deadline;
        let resolved =
            async |if_open| resolve(&store, clock, entropy, deadline, handle, if_open).await;
        if !self.seen_sources().is_empty() {
            match self.check_seen(&store).await {
                Err(ReadError::Corrupt(corrupt)) => {
                    // A record that is there was applied, whatever is gone.
                    return match resolved(IfOpen::Leave).await {
                        Ok(resolution @ Resolution::Applied(_)) => Ok(resolution),
                        _ => Err(ResolveError::Corrupt(corrupt)),
                    };
                }
                Err(ReadError::Unavailable(cause)) => return Err(ResolveError::Unavailable(cause)),
                Ok(_) => {}
            }
        }
        resolved(if_open).await
    }

    /// Finds out what became of a mutation; as [`resolve_append`](Self::resolve_append).
    ///
    /// # Errors
    ///
    /// [`ResolveError`]; asking again is always safe.
    pub async fn resolve_mutation<N: Connect>(
        &self,
        connect: N,
        handle: &ReceiptHandle,
        if_open: IfOpen,
    ) -> Result<Resolution<Version>, ResolveError> {
        let mut store = self.vault_store(connect);
        if if_open == IfOpen::Settle {
            store = self.checked_vault(&store);
        }
        let tokens = self.token_store(store);
        if self.parts.seen_file.is_some() {
            tokens.read_tokens(&[]).await.map_err(|error| match error {
                ReadError::Corrupt(corrupt) => ResolveError::Corrupt(corrupt),
                ReadError::Unavailable(cause) => ResolveError::Unavailable(cause),
            })?;
        }
        let (clock, entropy) = (&self.clock, &self.entropy);
        let deadline = self.parts.vault.deadline;
        resolve_mutation(tokens.store(), clock, entropy, deadline, handle, if_open).await
    }

    /// Only the chain in Redis: to read, verify, or check readiness.
    pub fn audit_store<N: Connect>(&self, connect: N) -> RedisAuditStore<N, C, E> {
        let config = self.audit_redis_config();
        RedisAuditStore::new(connect, config, self.clock.clone(), self.entropy.clone())
    }

    fn audit_redis_config(&self) -> RedisAuditConfig {
        RedisAuditConfig {
            prefix: self.parts.audit_prefix.clone(),
            timeouts: self.parts.timeouts,
            lock: self.parts.lock,
            durability: self.parts.durability,
        }
    }

    /// Only the vault in Redis, without keys.
    pub fn vault_store<N: Connect>(&self, connect: N) -> RedisVaultStore<N, C, E> {
        let config = self.vault_redis_config();
        RedisVaultStore::new(connect, config, self.clock.clone(), self.entropy.clone())
    }

    fn vault_redis_config(&self) -> RedisVaultConfig {
        RedisVaultConfig {
            prefix: self.parts.vault_prefix.clone(),
            timeouts: self.parts.timeouts,
            lock: self.parts.lock,
            durability: self.parts.durability,
            deadline: self.parts.vault.deadline,
        }
    }
}

/// Spawns on the current runtime.
fn on_runtime() -> Spawn {
    let runtime = tokio::runtime::Handle::current();
    std::sync::Arc::new(move |task| drop(runtime.spawn(task)))
}
