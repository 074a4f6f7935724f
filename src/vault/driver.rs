//! Drives a mutation of the vault to its end: applied exactly once or not at all.
//!
//! The rules for this, even if replies are lost, are all in [`MutationDriver`].

use std::{collections::BTreeSet, time::Duration};

use super::{
    context::{Context, FAILURE_WAIT},
    mutation::{Done, MutateError, Mutation},
    store::{
        Applied, Attempt, Fate, Fence, ForeignLockWait, Load, Loaded, Moved, MutationId, Observed,
        ReceiptHandle, ReceiptSeq, VaultStore,
    },
    token::TokenId,
    view::{Lacking, Run, View},
};
use crate::{
    clock::{Clock, within},
    durability::{Durability, DurabilityStatus},
    entropy::{Entropy, Jitter},
    error::{AttemptError, Cause, Corrupt, NotApplied},
    sync::lock,
};

/// Waits between attempts after a conflict.
const CONFLICT_WAIT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// Waits for a foreign lock: short, because it is held briefly.
const FOREIGN_LOCK_RETRY: (Duration, Duration) =
    (Duration::from_millis(4), Duration::from_millis(16));

/// Runs a mutation to its end.
pub(super) async fn run<S: VaultStore, C: Clock, E: Entropy, M: Mutation>(
    context: &Context<S, C, E>,
    scope: Scope,
    ticket: Option<MutationId>,
    mutation: M,
) -> Result<Done<M::Output>, MutateError> {
    let began = context.clock.now();
    let deadline = began.saturating_add(context.config.deadline);
    let attempts_until = deadline.saturating_sub(context.config.deadline / 4);
    let limit = attempts_until.saturating_sub(began);
    let admitted = context
        .mutations
        .enter(&context.clock, limit, mutation.bytes());
    let admitted = admitted.await?;
    if let Some(corrupt) = context.rolled_back(limit).await {
        return Err(corrupt.into());
    }
    let driver = MutationDriver {
        context,
        id: ticket.map_or_else(|| context.new_mutation(), Ok)?,
        is_named: ticket.is_some(),
        begun: None,
        number: 0,
        open: Vec::new(),
        deadline,
        attempts_until,
        foreign_lock_until: None,
        failures: Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1),
        last_cause: Cause::new("no answer"),
    };
    // The lock is never needed, so waiting for it is limited.
    let share = context.config.deadline / 4;
    let lease = within(&context.clock, share, context.store.lease()).await;
    // On the heap: the future is large, and part of its callers' futures.
    let done = Box::pin(driver.run(scope, mutation)).await;
    if let Some(lease) = lease {
        let left = deadline.saturating_sub(context.clock.now());
        within(&context.clock, left, context.store.release(lease)).await;
    }
    // Others need not wait for the confirmation.
    drop(admitted);
    let mut done = done?;
    if let Some(mutation) = done.mutation
        && context.store.durability() != Durability::Memory
    {
        let left = deadline.saturating_sub(context.clock.now());
        let status = context.confirming(mutation).status();
        done.durability = within(&context.clock, left, status)
            .await
            .unwrap_or_else(DurabilityStatus::deadline);
        if !done.durability.is_as_asked() {
            lock(&context.memory).stats.not_yet_durable += 1;
            context.config.telemetry.not_yet_durable();
        }
    }
    Ok(done)
}

/// What a mutation reads before it runs.
pub(super) enum Scope {
    Tokens(BTreeSet<TokenId>),
    Everything,
}

/// One mutation in progress.
///
/// An attempt whose reply was lost is *open*: it may have been applied, or may
/// still be. It is sent again unchanged until a reply resolves it. If another
/// attempt of the same mutation is made, the mutation's receipt ensures that at
/// most one is applied, and tells which. A mutation is reported as not applied
/// only after a receipt that stops every late attempt.
struct MutationDriver<'a, S, C, E, T> {
    context: &'a Context<S, C, E>,
    id: MutationId,
    /// Whether its caller has named it, and knows it by that name.
    is_named: bool,
    begun: Option<ReceiptSeq>,
    number: u32,
    /// The outputs of attempts that may have been applied.
    open: Vec<(u32, T)>,
    deadline: Duration,
    attempts_until: Duration,
    /// Until when foreign locks are waited for, from the first one that was met.
    foreign_lock_until: Option<Duration>,
    failures: Jitter,
    /// The last failure.
    last_cause: Cause,
}

/// The outcome of one attempt, copies of it included.
enum Attempted {
    Ended(Fate),
    Moved(Loaded),
    ReceiptExpired,
    /// The time is over, or Redis refuses permanently.
    GivenUp(GivenUp),
}

enum GivenUp {
    Deadline,
    Denied(Cause),
    Corrupt(Corrupt),
}

impl<S: VaultStore, C: Clock, E: Entropy, T: Send> MutationDriver<'_, S, C, E, T> {
    async fn run<M: Mutation<Output = T>>(
        mut self,
        mut scope: Scope,
        mut mutation: M,
    ) -> Result<Done<T>, MutateError> {
        let mut conflicts = Jitter::new(CONFLICT_WAIT.0, CONFLICT_WAIT.1);
        let mut met: Option<Loaded> = None;
        loop {
            let loaded = match met.take() {
                Some(loaded) => loaded,
                None => match self.load(&scope).await {
                    Ok(loaded) => loaded,
                    Err(given_up) => return self.give_up(given_up).await,
                },
            };
            let begun = *self.begun.get_or_insert(loaded.receipt_seq);

            let mut view = View::new(loaded, matches!(scope, Scope::Everything));
            let ran = self.by(self.attempts_until, mutation.run(&mut view)).await;
            let output = match ran {
                Ok(output) => output,
                Err(given_up) => {
                    self.last_cause = Cause::new("what decides on the changes took too long");
                    return self.give_up(given_up).await;
                }
            };
            match (view.lacking(), &mut scope) {
                (Lacking::Tokens, Scope::Tokens(tokens)) => {
                    tokens.extend(view.into_touched());
                    continue;
                }
                (Lacking::Nothing, _) => {}
                _ => {
                    scope = Scope::Everything;
                    continue;
                }
            }
            let run = view.end();
            if run.diff.is_empty() {
                return self.nothing_to_do(output).await;
            }

            self.number += 1;
            self.open.push((self.number, output));
            match self.attempt(begun, &run).await {
                Attempted::Ended(outcome) => return self.ended(outcome),
                Attempted::GivenUp(why) => return self.give_up(why).await,
                Attempted::ReceiptExpired if self.open.is_empty() => {
                    // No attempt was applied.
                    if !self.is_named {
                        self.id = self.context.new_mutation()?;
                    }
                    self.begun = None;
                }
                Attempted::ReceiptExpired => {
                    return Err(self.unknown(Cause::new(
                        "the mutation took so long that its receipt is no longer kept",
                    )));
                }
                Attempted::Moved(now) => {
                    // A mutation of the whole vault reads it again.
                    if matches!(scope, Scope::Tokens(_)) {
                        met = Some(now);
                    }
                    // The first retry follows at once.
                    if self.number > 1 {
                        let wait = conflicts.next(&self.context.entropy);
                        self.context.clock.sleep(wait.min(self.left())).await;
                    }
                    if self.left().is_zero() {
                        self.last_cause = Cause::new(
                            "other writers changed the same tokens before every attempt",
                        );
                        return self.give_up(GivenUp::Deadline).await;
                    }
                }
            }
        }
    }

    async fn load(&mut self, scope: &Scope) -> Result<Loaded, GivenUp> {
        let named: Vec<TokenId>;
        let what = match scope {
            Scope::Tokens(tokens) => {
                named = tokens.iter().cloned().collect();
                Load::Some(&named)
            }
            Scope::Everything => Load::All {
                intent: Some(self.id),
            },
        };
        loop {
            let observed = lock(&self.context.memory).observed();
            let request = self.context.store.load(what, &observed);
            match self.by(self.attempts_until, request).await? {
                Ok(loaded) => {
                    lock(&self.context.memory).saw(loaded.version, loaded.newest, &observed);
                    return Ok(loaded);
                }
                Err(error) => self.failed(error).await?,
            };
        }
    }

    /// Sends one attempt until its outcome is known.
    async fn attempt(&mut self, begun: ReceiptSeq, run: &Run) -> Attempted {
        let mut reply_lost = false;
        let mut last_took = Duration::ZERO;
        let mut retries = Jitter::new(FOREIGN_LOCK_RETRY.0, FOREIGN_LOCK_RETRY.1);
        let fence = if run.saw_all {
            Fence::Snapshot(run.version)
        } else {
            Fence::Values
        };
        loop {
            // The reply to it would come too late.
            if self.left() <= last_took {
                if !reply_lost {
                    self.open.pop();
                }
                return Attempted::GivenUp(GivenUp::Deadline);
            }
            let (observed, outlived) = {
                let memory = lock(&self.context.memory);
                (memory.observed(), memory.outlived.clone())
            };
            let attempt = Attempt {
                mutation: self.id,
                number: self.number,
                begun,
                fence,
                read: &run.read,
                diff: &run.diff,
                foreign_lock_wait: match self.foreign_lock_until {
                    Some(until) if until <= self.context.clock.now() => ForeignLockWait::Exhausted,
                    _ => ForeignLockWait::Respects {
                        outlived: outlived.as_deref(),
                    },
                },
            };
            let sent = self.context.clock.now();
            let request = self.context.store.apply(&attempt, &observed);
            let reply = match self.by(self.attempts_until, request).await {
                Ok(reply) => reply,
                // The wait was cut off: the attempt may still arrive.
                Err(given_up) => return Attempted::GivenUp(given_up),
            };
            last_took = self.context.clock.now().saturating_sub(sent);
            match reply {
                Ok(Applied::Committed { version, receipt }) => {
                    let mut memory = lock(&self.context.memory);
                    memory.saw(version, Some(receipt), &observed);
                    memory.last_attempt.answered();
                    drop(memory);
                    return Attempted::Ended(Fate::Applied {
                        version,
                        number: self.number,
                        receipt: Some(receipt),
                    });
                }
                Ok(Applied::Settled(outcome)) => {
                    self.settled_by_receipt(outcome);
                    return Attempted::Ended(outcome);
                }
                Ok(Applied::Conflict { moved, now }) => {
                    self.conflicted(moved, &now, &observed);
                    if !reply_lost {
                        self.open.pop();
                    }
                    return Attempted::Moved(now);
                }
                Ok(Applied::ReceiptExpired) => {
                    if !reply_lost {
                        self.open.pop();
                    }
                    return Attempted::ReceiptExpired;
                }
                Ok(Applied::ForeignLocked { holder }) => self.wait_for(holder, &mut retries).await,
                Err(error) => {
                    if let AttemptError::Ambiguous(cause) = &error {
                        reply_lost = true;
                        lock(&self.context.memory).stats.lost_replies += 1;
                        self.context.config.telemetry.lost_reply(cause);
                    }
                    if let Err(given_up) = self.failed(error).await {
                        if !reply_lost {
                            self.open.pop();
                        }
                        return Attempted::GivenUp(given_up);
                    }
                }
            }
        }
    }

    /// The time that is left for attempts.
    fn left(&self) -> Duration {
        self.attempts_until.saturating_sub(self.context.clock.now())
    }

    fn settled_by_receipt(&self, outcome: Fate) {
        let mut memory = lock(&self.context.memory);
        memory.last_attempt.answered();
        memory.stats.settled_by_receipt += 1;
        if let Fate::Applied {
            version, receipt, ..
        } = outcome
        {
            // What else was seen was not looked for.
            memory.saw(version, receipt, &Observed::default());
        }
    }

    fn conflicted(&self, moved: Moved, now: &Loaded, sent: &Observed) {
        let mut memory = lock(&self.context.memory);
        memory.last_attempt.answered();
        memory.saw(now.version, now.newest, sent);
        let (count, kind) = match moved {
            Moved::Value => (&mut memory.stats.value_conflicts, "value"),
            Moved::Version => (&mut memory.stats.version_conflicts, "version"),
        };
        *count += 1;
        drop(memory);
        self.context.config.telemetry.conflict(kind);
    }

    /// Waits before the next attempt after a foreign lock, which leaves time for the attempt.
    async fn wait_for(&mut self, holder: Vec<u8>, retries: &mut Jitter) {
        lock(&self.context.memory).stats.foreign_locked += 1;
        self.context.config.telemetry.conflict("foreign_lock");
        self.last_cause = Cause::new("another replica had the lock of the vault all the time");
        let (config, now) = (&self.context.config, self.context.clock.now());
        let limit = config.foreign_lock_wait.min(config.deadline / 4);
        let until = *self
            .foreign_lock_until
            .get_or_insert(now.saturating_add(limit));
        let wait = retries
            .next(&self.context.entropy)
            .min(until.saturating_sub(now))
            .min(self.left());
        self.context.clock.sleep(wait).await;
        if until <= self.context.clock.now() {
            lock(&self.context.memory).outlived = Some(holder);
        }
    }

    /// The result of `request` if it comes by `until`; if that is past, it is not made.
    async fn by<R>(&self, until: Duration, request: impl Future<Output = R>) -> Result<R, GivenUp> {
        let left = until.saturating_sub(self.context.clock.now());
        if left.is_zero() {
            return Err(GivenUp::Deadline);
        }
        within(&self.context.clock, left, request)
            .await
            .ok_or(GivenUp::Deadline)
    }

    /// Keeps why an attempt failed, for its caller and for the health.
    fn failed_by(&mut self, cause: Cause) {
        let now = self.context.clock.now();
        let mut memory = lock(&self.context.memory);
        memory.last_attempt.failed(now, cause.clone());
        self.last_cause = cause;
    }

    /// Waits after a temporary failure.
    async fn failed(&mut self, error: AttemptError) -> Result<(), GivenUp> {
        match error {
            AttemptError::Denied(cause) => return Err(GivenUp::Denied(cause)),
            AttemptError::Corrupt(corrupt) => {
                self.last_cause = Cause::new(corrupt.to_string());
                if let Some(corrupt) = self.context.believed(corrupt, self.left()).await {
                    return Err(GivenUp::Corrupt(corrupt));
                }
            }
            AttemptError::Refused(cause) | AttemptError::Ambiguous(cause) => self.failed_by(cause),
        }
        lock(&self.context.memory).stats.retries += 1;
        let wait = self.failures.next(&self.context.entropy);
        self.context.clock.sleep(wait.min(self.left())).await;
        Ok(())
    }

    /// Returns the output of a run that changes nothing, unless an earlier
    /// attempt may have been applied.
    async fn nothing_to_do(mut self, output: T) -> Result<Done<T>, MutateError> {
        if self.open.is_empty() {
            return Ok(Done::unchanged(output));
        }
        match self.settle().await {
            Ok(Fate::Dropped) => Ok(Done::unchanged(output)),
            Ok(outcome) => self.ended(outcome),
            Err(unknown) => Err(unknown),
        }
    }

    async fn give_up(mut self, why: GivenUp) -> Result<Done<T>, MutateError> {
        if !self.open.is_empty() {
            match (&why, self.settle().await) {
                (_, Ok(Fate::Dropped)) => {}
                (_, Ok(outcome)) => return self.ended(outcome),
                (GivenUp::Corrupt(corrupt), Err(_)) => {
                    return Err(self.unknown(Cause::new(corrupt.to_string())));
                }
                (_, Err(unknown)) => return Err(unknown),
            }
        }
        Err(match why {
            GivenUp::Deadline => NotApplied::Deadline(self.last_cause).into(),
            GivenUp::Denied(cause) => NotApplied::Refused(cause).into(),
            GivenUp::Corrupt(corrupt) => corrupt.into(),
        })
    }

    /// Finds out how the mutation ended, and drops it if it has not.
    async fn settle(&mut self) -> Result<Fate, MutateError> {
        let Some(begun) = self.begun else {
            return Ok(Fate::Dropped);
        };
        let mut jitter = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
        loop {
            let observed = lock(&self.context.memory).observed();
            let request = self.context.store.settle(self.id, begun, &observed);
            match self.by(self.deadline, request).await {
                Ok(Ok(Some(outcome))) => {
                    self.settled_by_receipt(outcome);
                    return Ok(outcome);
                }
                Ok(Ok(None)) => {
                    return Err(self.unknown(Cause::new("its receipt is no longer kept")));
                }
                Ok(Err(AttemptError::Corrupt(corrupt))) => {
                    self.last_cause = Cause::new(corrupt.to_string());
                    let left = self.deadline.saturating_sub(self.context.clock.now());
                    if let Some(corrupt) = self.context.believed(corrupt, left).await {
                        return Err(self.unknown(Cause::new(corrupt.to_string())));
                    }
                }
                Ok(Err(AttemptError::Denied(cause))) => return Err(self.unknown(cause)),
                Ok(Err(AttemptError::Refused(cause) | AttemptError::Ambiguous(cause))) => {
                    self.failed_by(cause);
                }
                Err(_) => return Err(self.unknown(self.last_cause.clone())),
            }
            let left = self.deadline.saturating_sub(self.context.clock.now());
            if left.is_zero() {
                return Err(self.unknown(self.last_cause.clone()));
            }
            let wait = jitter.next(&self.context.entropy).min(left);
            self.context.clock.sleep(wait).await;
        }
    }

    fn ended(mut self, outcome: Fate) -> Result<Done<T>, MutateError> {
        let Fate::Applied {
            version, number, ..
        } = outcome
        else {
            return Err(NotApplied::Refused(Cause::new(
                "the mutation was ended by another request",
            ))
            .into());
        };
        let mut memory = lock(&self.context.memory);
        memory.stats.committed += 1;
        memory.stats.most_attempts = memory.stats.most_attempts.max(u64::from(self.number));
        drop(memory);
        match self.open.iter().position(|(open, _)| *open == number) {
            Some(place) => Ok(Done {
                output: self.open.swap_remove(place).1,
                version: Some(version),
                durability: DurabilityStatus::AsAsked,
                mutation: Some(self.id),
            }),
            None => Err(self.unknown(Cause::new("a receipt names an attempt that was never made"))),
        }
    }

    fn unknown(&self, cause: Cause) -> MutateError {
        MutateError::Unknown {
            handle: Box::new(ReceiptHandle::new(
                self.id,
                self.begun.unwrap_or_default(),
                &lock(&self.context.memory).observed(),
            )),
            cause,
        }
    }
}
