//! Hooks that lose and delay commands and replies: the next calls fail as
//! planned.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{Future, pending},
    sync::{Mutex as StdMutex, MutexGuard as StdMutexGuard, PoisonError},
};

use super::{AuditHooks, VaultHooks};
use crate::{
    audit::store::{AuditStore, Batch, Reply},
    chain::{Head, Position, Record},
    error::{AttemptError, Cause},
    sync::{Arc, Mutex, lock},
    vault::{
        MutationId, Stored, TokenId,
        store::{
            Applied, Attempt, Diff, Fate, Fence, ForeignLockWait, Load, Loaded, Observed,
            ReceiptSeq, VaultStore,
        },
    },
};

/// The fault of one call of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// None.
    #[default]
    None,
    /// The command never arrives, and the sender sees a broken connection.
    RequestLost,
    /// It runs, and its reply is lost.
    ReplyLost,
    /// The sender sees a broken connection, and the command arrives later; see
    /// [`Faults::deliver_batch`] and [`Faults::deliver_attempt`].
    Late,
    /// As [`Fault::Late`], but the sender gets no error.
    LateAndSilent,
    /// It is refused permanently, without effect.
    Denied,
}

/// Faults for the calls of one store or of several. Clones share the plan and
/// the late calls.
///
/// Appends are affected; of the vault's calls, applies, or loads and settles
/// too. A load or settle that is late never arrives.
#[derive(Clone, Default)]
pub struct Faults {
    spares_reads: bool,
    /// Not the module's own mutex: a model checker need not see it, because
    /// only one thread uses a plan.
    plan: Arc<StdMutex<Plan>>,
    late: Arc<Mutex<Late>>,
}

#[derive(Default)]
struct Plan {
    next: VecDeque<Fault>,
    then: Fault,
}

#[derive(Default)]
struct Late {
    batches: VecDeque<LateBatch>,
    attempts: VecDeque<LateAttempt>,
}

struct LateBatch {
    base: Head,
    records: Vec<Record>,
    seen: Option<Position>,
    resent: bool,
}

struct LateAttempt {
    mutation: MutationId,
    number: u32,
    begun: ReceiptSeq,
    fence: Fence,
    read: BTreeMap<TokenId, Option<Stored>>,
    diff: Diff,
    observed: Observed,
}

fn lost<T>() -> Result<T, AttemptError> {
    Err(AttemptError::Ambiguous(Cause::new("the reply was lost")))
}

fn denied<T>() -> Result<T, AttemptError> {
    Err(AttemptError::Denied(Cause::new("denied")))
}

impl Faults {
    /// The faults of the next calls, one after the other, and of all calls
    /// after them.
    pub fn new(next: impl IntoIterator<Item = Fault>, then: Fault) -> Self {
        let faults = Self::default();
        faults.plan(next, then);
        faults
    }

    /// As [`Faults::new`], only for appends and applies.
    pub fn of_writes(next: impl IntoIterator<Item = Fault>, then: Fault) -> Self {
        Self {
            spares_reads: true,
            ..Self::new(next, then)
        }
    }

    /// As [`Faults::new`], from now on.
    pub fn plan(&self, next: impl IntoIterator<Item = Fault>, then: Fault) {
        *self.planned() = Plan {
            next: next.into_iter().collect(),
            then,
        };
    }

    fn planned(&self) -> StdMutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Fault {
        let mut plan = self.planned();
        let then = plan.then;
        plan.next.pop_front().unwrap_or(then)
    }

    /// Delivers the oldest late batch to `store`; `None` if there is none.
    pub async fn deliver_batch<S: AuditStore>(
        &self,
        store: &S,
    ) -> Option<Result<Reply, AttemptError>> {
        let late = lock(&self.late).batches.pop_front()?;
        let batch = Batch {
            base: late.base,
            records: &late.records,
            seen: late.seen,
            resent: late.resent,
        };
        Some(store.append(&batch).await)
    }

    /// Delivers the oldest late attempt to `store`; `None` if there is none.
    pub async fn deliver_attempt<S: VaultStore>(
        &self,
        store: &S,
    ) -> Option<Result<Applied, AttemptError>> {
        let late = lock(&self.late).attempts.pop_front()?;
        let attempt = Attempt {
            mutation: late.mutation,
            number: late.number,
            begun: late.begun,
            fence: late.fence,
            read: &late.read,
            diff: &late.diff,
            foreign_lock_wait: ForeignLockWait::Exhausted,
        };
        Some(store.apply(&attempt, &late.observed).await)
    }

    /// Applies the next fault to a call; `keep` stores it if it is late.
    async fn strike<T>(
        &self,
        call: impl Future<Output = Result<T, AttemptError>> + Send,
        keep: impl FnOnce(&mut Late) + Send,
    ) -> Result<T, AttemptError> {
        match self.next() {
            Fault::None => call.await,
            Fault::RequestLost => lost(),
            Fault::ReplyLost => {
                // The answer is discarded.
                let _ = call.await;
                lost()
            }
            fault @ (Fault::Late | Fault::LateAndSilent) => {
                keep(&mut lock(&self.late));
                if fault == Fault::LateAndSilent {
                    pending::<()>().await;
                }
                lost()
            }
            Fault::Denied => denied(),
        }
    }
}

impl<S: AuditStore> AuditHooks<S> for Faults {
    async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let keep = |late: &mut Late| {
            late.batches.push_back(LateBatch {
                base: batch.base,
                records: batch.records.to_vec(),
                seen: batch.seen,
                resent: batch.resent,
            });
        };
        self.strike(next.append(batch), keep).await
    }
}

impl<S: VaultStore> VaultHooks<S> for Faults {
    async fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        if self.spares_reads {
            return next.load(what, observed).await;
        }
        self.strike(next.load(what, observed), |_| ()).await
    }

    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let keep = |late: &mut Late| {
            late.attempts.push_back(LateAttempt {
                mutation: attempt.mutation,
                number: attempt.number,
                begun: attempt.begun,
                fence: attempt.fence,
                read: attempt.read.clone(),
                diff: attempt.diff.clone(),
                observed: *observed,
            });
        };
        self.strike(next.apply(attempt, observed), keep).await
    }

    async fn settle(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        if self.spares_reads {
            return next.settle(mutation, begun, observed).await;
        }
        self.strike(next.settle(mutation, begun, observed), |_| ())
            .await
    }
}
