//! A chain that replicas share, each of its commands one atomic step, with
//! one reply lost, a copy that comes late, and a lock that lapses.
//!
//! It must not know how appends are driven. What is broken in it is named by
//! a [`Flaw`], and nothing else is.

use haechi_store_redis::{
    AppendError, AttemptError, Cause, ReadError,
    audit::{
        Appended,
        store::{AuditStore, Batch, Reply, Seen, Tail},
    },
    chain::{AppendId, Event, Head, Position, Record, Verifier},
};
use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::explore::{Shown, show};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Waits for the lock and trusts it: the fence is not looked at.
    TrustsLock,
    /// A reply that is lost is reported as a refusal.
    LossIsRefusal,
    /// A reply that is lost is reported as a refusal for good.
    LossIsDenial,
    /// A conflict with a batch that was sent before does not tell whether
    /// that copy landed.
    ForgetsLanded,
}

/// What becomes of a replica's first append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// It is answered.
    Answered,
    /// It runs, and its reply is lost.
    ReplyLost,
    /// It is on its way for as long as it likes; see [`Chain::deliver`].
    Late,
}

/// The server.
pub(crate) struct Chain {
    state: Mutex<State>,
    unlocked: Condvar,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    lock: Option<u8>,
    /// A batch on its way, with its base.
    adrift: Option<(Head, Vec<Record>)>,
}

impl Chain {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::default()),
            unlocked: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whoever holds the lock does no longer.
    pub(crate) fn lapse(&self) {
        self.state().lock = None;
        self.unlocked.notify_all();
    }

    /// The copy that was on its way arrives, if it has been sent.
    pub(crate) fn deliver(&self) {
        let mut state = self.state();
        if let Some((base, records)) = state.adrift.take()
            && state.head() == base
        {
            state.records.extend(records);
        }
    }

    /// A replica that is not modelled appends a record.
    pub(crate) fn intrude(&self, append_id: AppendId, event: &Event) -> Shown {
        let mut state = self.state();
        let record = event
            .seal(Some(&append_id), &state.head())
            .map_err(|_| "the chain is full")?;
        state.records.push(record);
        Ok(())
    }

    /// Whether the chain is linear, and holds what callers were told it does:
    /// each acknowledged append once, at its place; none that is said not to
    /// be applied; none of unknown outcome twice.
    pub(crate) fn bears_out(&self, told: &[(AppendId, Result<Appended, AppendError>)]) -> Shown {
        let state = self.state();
        let mut verifier = Verifier::new();
        for record in &state.records {
            verifier.line(record.text().as_bytes());
        }
        show!(verifier.finish().is_valid(), "the chain is not linear");
        for (append_id, outcome) in told {
            let name = append_id.to_string();
            let places: Vec<Position> = state
                .records
                .iter()
                .filter(|record| record.text().contains(&name))
                .map(Record::position)
                .collect();
            show!(places.len() <= 1, "an append stands in the chain twice");
            match outcome {
                Ok(end) => show!(
                    places == [end.position],
                    "an acknowledged append is not at its place"
                ),
                Err(AppendError::Unknown { handle, .. }) => show!(
                    places.is_empty() || places == [handle.position],
                    "an append of unknown outcome is not at its place"
                ),
                Err(_) => show!(places.is_empty(), "applied, and said not to be"),
            }
        }
        Ok(())
    }
}

impl State {
    fn head(&self) -> Head {
        self.records
            .last()
            .map_or(Head::Empty, |record| Head::At(record.position()))
    }

    fn at(&self, sequence: u64) -> Option<Position> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.records.get(index).map(Record::position)
    }

    fn tail(&self, seen: Option<Position>) -> Tail {
        let seen = match seen.map(|seen| (seen, self.at(seen.sequence.get()))) {
            Some((seen, found)) if found != Some(seen) => Seen::Gone {
                found: found.map(|found| found.event_hash),
            },
            _ => Seen::Stands,
        };
        Tail {
            head: self.head(),
            length: self.records.len() as u64,
            seen,
        }
    }

    fn append(&mut self, batch: &Batch<'_>, flaw: Flaw) -> Reply {
        if flaw == Flaw::TrustsLock || self.head() == batch.base {
            self.records.extend_from_slice(batch.records);
            return Reply::Committed;
        }
        let tells = batch.resent && flaw != Flaw::ForgetsLanded;
        Reply::Conflict {
            tail: self.tail(batch.seen),
            landed: batch
                .records
                .iter()
                .take_while(|_| tells)
                .map_while(|record| self.at(record.position().sequence.get()))
                .collect(),
        }
    }
}

/// One replica's way to the chain.
pub(crate) struct Replica {
    pub(crate) chain: Arc<Chain>,
    pub(crate) number: u8,
    pub(crate) flaw: Flaw,
    /// Taken by the first append. Not loom's: one thread uses it.
    first: std::sync::Mutex<First>,
}

impl Replica {
    pub(crate) fn new(chain: &Arc<Chain>, number: u8, flaw: Flaw, first: First) -> Self {
        Self {
            chain: chain.clone(),
            number,
            flaw,
            first: std::sync::Mutex::new(first),
        }
    }

    fn fate(&self) -> First {
        let mut first = self
            .first
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut first, First::Answered)
    }
}

impl AuditStore for Replica {
    type Lease = ();

    async fn append(&self, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let lost = || match self.flaw {
            Flaw::LossIsRefusal => AttemptError::Refused(Cause::new("lost")),
            Flaw::LossIsDenial => AttemptError::Denied(Cause::new("lost")),
            _ => AttemptError::Ambiguous(Cause::new("lost")),
        };
        let mut state = self.chain.state();
        match self.fate() {
            First::Answered => Ok(state.append(batch, self.flaw)),
            First::ReplyLost => {
                state.append(batch, self.flaw);
                Err(lost())
            }
            First::Late => {
                state.adrift = Some((batch.base, batch.records.to_vec()));
                Err(lost())
            }
        }
    }

    async fn tail(&self, seen: Option<Position>) -> Result<Tail, AttemptError> {
        Ok(self.chain.state().tail(seen))
    }

    async fn read(&self, _: u64, _: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        Err(ReadError::Unavailable(Cause::new("not modelled")))
    }

    /// Takes the lock if it is free, and goes ahead if not.
    async fn lease(&self) {
        let mut state = self.chain.state();
        while self.flaw == Flaw::TrustsLock && state.lock.is_some() {
            state = self
                .chain
                .unlocked
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.lock.get_or_insert(self.number);
    }

    async fn release(&self, (): ()) {
        let mut state = self.chain.state();
        if state.lock == Some(self.number) {
            state.lock = None;
            self.chain.unlocked.notify_all();
        }
    }
}
