//! The token store: mutations and reads of stored tokens, over a [`VaultStore`].

use std::future::Future;

use super::{
    admission::Admission,
    clocks::Clocks,
    context::{Context, FAILURE_WAIT, Memory, VaultConfig, VaultStats},
    driver::{self, Scope},
    mutation::{Done, MutateError, Mutation},
    store::{
        Due, Indexed, Load, Loaded, MutationId, Observed, Page, ReceiptHandle, ServerTime,
        VaultStore,
    },
    token::TokenId,
    view::View,
};
use crate::{
    clock::{Clock, SystemClock, within},
    durability::Confirmations,
    entropy::{Entropy, Jitter, SystemEntropy},
    error::{AttemptError, Cause, Corrupt, NotApplied, ReadError},
    health::Health,
    sync::{Arc, Mutex, lock},
    telemetry::CallOutcome,
};

/// Changes and reads a vault that other processes change too. Cheap to clone;
/// clones share what they have observed of the vault.
pub struct TokenStore<S, C = SystemClock, E = SystemEntropy> {
    context: Context<S, C, E>,
}

impl<S, C: Clone, E: Clone> Clone for TokenStore<S, C, E> {
    fn clone(&self) -> Self {
        Self {
            context: self.context.clone(),
        }
    }
}

impl<S, C, E> std::fmt::Debug for TokenStore<S, C, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenStore").finish_non_exhaustive()
    }
}

impl<S: VaultStore, C: Clock, E: Entropy> TokenStore<S, C, E> {
    /// A token store over `store`.
    pub fn new(store: S, clock: C, entropy: E, config: VaultConfig) -> Self {
        let context = Context {
            store: Arc::new(store),
            clock,
            entropy,
            mutations: Admission::new(config.at_once, config.queue_bytes),
            reads: Admission::new(config.at_once, usize::MAX),
            memory: Arc::new(Mutex::new(Memory::of(config.kept.clone()))),
            config,
            confirmations: Confirmations::default(),
        };
        Self { context }
    }

    /// The store beneath it.
    pub fn store(&self) -> &S {
        &self.context.store
    }

    /// The store's counters.
    #[must_use]
    pub fn stats(&self) -> VaultStats {
        lock(&self.context.memory).stats
    }

    /// Whether it serves, as the last attempts of mutations show, and behind Sentinel whether
    /// failovers would be noticed. It is closed with the [vault](super::TokenVault::close)
    /// over it, of which purges and restores are then refused.
    #[must_use]
    pub fn health(&self) -> Health {
        let now = self.context.clock.now();
        let memory = lock(&self.context.memory);
        let attempts = match memory.closing {
            true => Health::Closed,
            false => memory.last_attempt.health(now),
        };
        drop(memory);
        attempts.over(|| self.context.store.health())
    }

    /// Asks Redis, compares the vault with what this process has seen, and says whether it
    /// serves: for a readiness probe. A mutation of nothing, within the deadline of one.
    pub async fn probe(&self) -> Health {
        // The health has its result.
        let _ = self.transaction([], |_: &mut View| ()).await;
        self.health()
    }

    async fn run<M: Mutation>(
        &self,
        scope: Scope,
        name: Option<MutationId>,
        mutation: M,
    ) -> Result<Done<M::Output>, MutateError> {
        let telemetry = &self.context.config.telemetry;
        let _begun = telemetry.mutation_begun();
        let began = self.context.clock.now();
        let running = driver::run(&self.context, scope, name, mutation);
        let done = telemetry.mutation().around(running).await;
        let now = self.context.clock.now();
        let outcome = match &done {
            Ok(done) if done.version.is_none() => CallOutcome::Unchanged,
            Ok(_) => CallOutcome::Applied,
            Err(MutateError::NotApplied(_)) => CallOutcome::NotApplied,
            Err(MutateError::Unknown { .. }) => CallOutcome::Unknown,
            Err(MutateError::Corrupt(corrupt)) => {
                if let Corrupt::VaultRolledBack { .. } = corrupt {
                    telemetry.rolled_back(corrupt);
                }
                CallOutcome::Corrupt
            }
        };
        telemetry.mutation_ended(outcome, now.saturating_sub(began));
        let last = &mut lock(&self.context.memory).last_attempt;
        match &done {
            Ok(done) if done.version.is_none() => last.answered(),
            // The reply to its last attempt was kept already; Redis may have failed since.
            Ok(_) => {}
            Err(
                MutateError::NotApplied(NotApplied::Deadline(cause))
                | MutateError::Unknown { cause, .. },
            ) => last.failed(now, cause.clone()),
            Err(error @ MutateError::Corrupt(_)) => last.refused(now, error.to_string()),
            // By Redis; one that is too large is refused without a code.
            Err(error @ MutateError::NotApplied(NotApplied::Refused(cause)))
                if cause.code().is_some() =>
            {
                last.refused(now, error.to_string());
            }
            Err(MutateError::NotApplied(_)) => {}
        }
        done
    }

    /// Runs `mutation` over the whole vault and applies its changes exactly
    /// once.
    ///
    /// It is fenced on the tokens that it used, or on the whole vault if it
    /// called [`View::entries`]. O(tokens in the vault), of at most 100,000 tokens; see
    /// [`transaction`](Self::transaction).
    ///
    /// # Errors
    ///
    /// [`MutateError`]: its variant tells whether it may be retried.
    pub async fn mutate<M: Mutation>(&self, mutation: M) -> Result<Done<M::Output>, MutateError> {
        self.run(Scope::Everything, None, mutation).await
    }

    /// Runs `mutation` over `tokens` and applies its changes exactly once. The
    /// cost does not depend on the other tokens in the vault.
    ///
    /// After dropping the future, the changes may or may not be applied.
    ///
    /// # Errors
    ///
    /// [`MutateError`]: its variant tells whether it may be retried.
    pub async fn transaction<M: Mutation>(
        &self,
        tokens: impl IntoIterator<Item = TokenId>,
        mutation: M,
    ) -> Result<Done<M::Output>, MutateError> {
        let tokens = tokens.into_iter().collect();
        self.run(Scope::Tokens(tokens), None, mutation).await
    }

    /// A handle for a mutation that is still to be made, by
    /// [`transaction_as`](Self::transaction_as). Whoever keeps it in a durable place first
    /// can [`resolve`](super::resolve) the mutation even if this process ends before its
    /// outcome is known, as long as all receipts from now on are kept. One read.
    ///
    /// # Errors
    ///
    /// [`MutateError::NotApplied`], and [`MutateError::Corrupt`] if the vault is.
    pub async fn ticket(&self) -> Result<ReceiptHandle, MutateError> {
        let mutation = self.context.new_mutation()?;
        let loaded = self.read_tokens(&[]).await.map_err(|error| match error {
            ReadError::Unavailable(cause) => MutateError::from(NotApplied::Refused(cause)),
            ReadError::Corrupt(corrupt) => corrupt.into(),
        })?;
        Ok(ReceiptHandle::new(
            mutation,
            loaded.receipt_seq,
            &self.observed(),
        ))
    }

    /// As [`transaction`](Self::transaction), under the name of a
    /// [`ticket`](Self::ticket), which is for one mutation: another one under the same
    /// name is not applied, and ends as the first one did.
    ///
    /// # Errors
    ///
    /// As for [`transaction`](Self::transaction).
    pub async fn transaction_as<M: Mutation>(
        &self,
        ticket: &ReceiptHandle,
        tokens: impl IntoIterator<Item = TokenId>,
        mutation: M,
    ) -> Result<Done<M::Output>, MutateError> {
        let (tokens, name) = (tokens.into_iter().collect(), Some(ticket.mutation));
        self.run(Scope::Tokens(tokens), name, mutation).await
    }

    /// The whole vault at one moment. O(tokens), also in Redis, which a vault of more
    /// than 100,000 tokens would hold for too long: it is refused. See [`scan`](Self::scan).
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn read<T>(&self, read: impl FnOnce(&mut View) -> T) -> Result<T, ReadError> {
        let loaded = self.load(Load::All { intent: None }).await?;
        Ok(read(&mut View::new(loaded, true)))
    }

    /// These tokens at one moment.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn read_tokens(&self, tokens: &[TokenId]) -> Result<Loaded, ReadError> {
        self.load(Load::Some(tokens)).await
    }

    /// A slice of all tokens; see [`VaultStore::scan`].
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn scan(&self, cursor: u64, count: usize) -> Result<Page, ReadError> {
        self.reading(|| self.context.store.scan(cursor, count))
            .await
    }

    /// The clocks for a decision about what the server answered at this time.
    pub(super) fn clocks(&self, server: ServerTime) -> Clocks {
        Clocks::new(server, self.context.clock.wall())
    }

    pub(super) async fn due(&self, limit: usize) -> Result<Due, ReadError> {
        let own = self.context.clock.wall();
        self.reading(|| self.context.store.due(own, limit)).await
    }

    pub(super) async fn index(
        &self,
        tokens: &[Indexed],
        whole: Option<u64>,
    ) -> Result<(), ReadError> {
        self.reading(|| self.context.store.index(tokens, whole))
            .await
    }

    async fn load(&self, what: Load<'_>) -> Result<Loaded, ReadError> {
        let is_rolled_back = lock(&self.context.memory).rolled_back.is_some();
        let observed = match is_rolled_back {
            false => self.observed(),
            // After a rollback was detected, reads are still allowed.
            true => Observed::default(),
        };
        let loaded = self.load_seeing(what, &observed).await?;
        lock(&self.context.memory).saw(loaded.version, loaded.newest, &observed);
        Ok(loaded)
    }

    /// As for a process that has seen `observed`.
    pub(super) async fn load_seeing(
        &self,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, ReadError> {
        self.reading(|| self.context.store.load(what, observed))
            .await
    }

    pub(super) fn observed(&self) -> Observed {
        lock(&self.context.memory).observed()
    }

    pub(super) fn memory(&self) -> &Mutex<Memory> {
        &self.context.memory
    }

    /// Repeats a request until it is answered or the deadline has passed.
    async fn reading<T, F>(&self, request: impl Fn() -> F) -> Result<T, ReadError>
    where
        F: Future<Output = Result<T, AttemptError>> + Send,
    {
        let until = self
            .context
            .clock
            .now()
            .saturating_add(self.context.config.deadline);
        let (clock, limit) = (&self.context.clock, self.context.config.deadline);
        let admitted = self.context.reads.enter(clock, limit, 0).await;
        let _admitted =
            admitted.map_err(|busy| ReadError::Unavailable(Cause::new(busy.to_string())))?;
        let mut jitter = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
        let mut last = Cause::new("no answer");
        loop {
            let left = until.saturating_sub(self.context.clock.now());
            match within(&self.context.clock, left, request()).await {
                None => return Err(ReadError::Unavailable(last)),
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(AttemptError::Denied(cause))) => {
                    return Err(ReadError::Unavailable(cause));
                }
                Some(Err(AttemptError::Corrupt(corrupt))) => {
                    last = Cause::new(corrupt.to_string());
                    if let Some(corrupt) = self.context.believed(corrupt, left).await {
                        return Err(ReadError::Corrupt(corrupt));
                    }
                }
                Some(Err(AttemptError::Refused(cause) | AttemptError::Ambiguous(cause))) => {
                    last = cause;
                }
            }
            let left = until.saturating_sub(self.context.clock.now());
            if left.is_zero() {
                return Err(ReadError::Unavailable(last));
            }
            self.context
                .clock
                .sleep(jitter.next(&self.context.entropy).min(left))
                .await;
        }
    }
}
