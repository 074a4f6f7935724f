//! A chain that replicas share, each of its commands one atomic step, with one
//! lost reply, a late copy, and a lock that expires. Only the [`Flaw`] is
//! broken in it.

use haechi_store_redis::{
    AppendError, AttemptError, Cause,
    audit::{
        Appended,
        store::{AuditStore, Batch, Reply},
    },
    chain::{AppendId, Event, Position, Record, Verifier},
    test_util::{AuditHooks, Fault, Faults, Hooked, MemoryChain},
};
use loom::{future::block_on, sync::Arc};

use crate::{
    explore::{Shown, show},
    lock::{Lock, LockOf},
};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Waits for the lock and ignores the fence.
    TrustsLock,
    /// A lost reply is reported as a temporary refusal.
    LossIsRefusal,
    /// A lost reply is reported as a permanent refusal.
    LossIsDenial,
    /// A conflict with a batch that was sent before does not report whether
    /// that copy was applied.
    OmitsAppliedCopy,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Chain {
    records: MemoryChain,
    lock: Arc<Lock>,
    faults: Faults,
}

/// One replica's store: its lock, the faults of its commands, then the server.
pub(crate) type Replica = Hooked<Hooked<Hooked<MemoryChain, Flaw>, Faults>, Client>;

/// A replica's handling of the server's answers.
pub(crate) struct Client {
    flaw: Flaw,
    lock: LockOf,
}

impl Chain {
    /// The first append has the fault `first`.
    pub(crate) fn new(first: Fault) -> Self {
        Self {
            records: MemoryChain::new(),
            lock: Lock::new(),
            faults: Faults::of_writes([first], Fault::None),
        }
    }

    /// The replica whose first append has the fault.
    pub(crate) fn struck(&self, number: u8, flaw: Flaw) -> Replica {
        self.replica(number, flaw, self.faults.clone())
    }

    /// Another replica.
    pub(crate) fn other(&self, number: u8, flaw: Flaw) -> Replica {
        self.replica(number, flaw, Faults::default())
    }

    fn replica(&self, number: u8, flaw: Flaw, faults: Faults) -> Replica {
        let client = Client {
            flaw,
            lock: Lock::of(&self.lock, number, flaw == Flaw::TrustsLock),
        };
        let server = Hooked::new(self.records.clone(), flaw);
        Hooked::new(Hooked::new(server, faults), client)
    }

    /// Makes the lock expire.
    pub(crate) fn lapse(&self) {
        self.lock.lapse();
    }

    /// Delivers the late copy, if it has been sent.
    pub(crate) fn deliver(&self) {
        block_on(self.faults.deliver_batch(&self.records));
    }

    /// Another replica, not modelled, appends a record.
    pub(crate) fn intrude(&self, append_id: AppendId, event: &Event) -> Shown {
        self.records.with(|chain| {
            let record = event
                .seal(Some(&append_id), &chain.head())
                .map_err(|_| "the chain is full")?;
            chain.append_unfenced(&[record]);
            Ok(())
        })
    }

    /// Whether the chain is linear, and matches the outcomes: each acknowledged
    /// append is there once, at its position; none that was not applied; none
    /// of unknown outcome twice.
    pub(crate) fn matches(&self, outcomes: &[(AppendId, Result<Appended, AppendError>)]) -> Shown {
        let records = self.records.with(|chain| chain.records().to_vec());
        let mut verifier = Verifier::new();
        for record in &records {
            verifier.line(record.text().as_bytes());
        }
        show!(verifier.finish().is_valid(), "the chain is not linear");
        for (append_id, outcome) in outcomes {
            let name = append_id.to_string();
            let places: Vec<Position> = records
                .iter()
                .filter(|record| record.text().contains(&name))
                .map(Record::position)
                .collect();
            show!(places.len() <= 1, "an append is in the chain twice");
            match outcome {
                Ok(end) => show!(
                    places == [end.position],
                    "an acknowledged append is not at its position"
                ),
                Err(AppendError::Unknown { handle, .. }) => show!(
                    places.is_empty()
                        || Some(&places[..]) == handle.position.as_ref().map(std::slice::from_ref),
                    "an append of unknown outcome is not at its position"
                ),
                Err(_) => show!(places.is_empty(), "applied, but reported as not applied"),
            }
        }
        Ok(())
    }
}

/// The server's part of a flaw.
impl AuditHooks<MemoryChain> for Flaw {
    async fn append(&self, next: &MemoryChain, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        if *self == Self::TrustsLock {
            next.with(|chain| chain.append_unfenced(batch.records));
            return Ok(Reply::Committed);
        }
        let resent = batch.resent && *self != Self::OmitsAppliedCopy;
        next.append(&Batch { resent, ..*batch }).await
    }
}

impl<S: AuditStore<Lease = ()>> AuditHooks<S> for Client {
    async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let known: fn(Cause) -> AttemptError = match self.flaw {
            Flaw::LossIsRefusal => AttemptError::Refused,
            Flaw::LossIsDenial => AttemptError::Denied,
            _ => return next.append(batch).await,
        };
        next.append(batch).await.map_err(|error| match error {
            AttemptError::Ambiguous(cause) => known(cause),
            other => other,
        })
    }

    async fn lease(&self, _: &S) {
        self.lock.lease();
    }

    async fn release(&self, _: &S, (): ()) {
        self.lock.release();
    }
}
