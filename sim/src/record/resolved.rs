//! Writes of unknown outcome, and what processes find out about them: what they call
//! applied, or not, is compared with the state at the end.

use std::fmt::Display;

use haechi_history::{
    Appended, ChainEntry, Function, OpId, Outcome, Text,
    check::{Invariant, Violation},
};
use haechi_store_redis::{
    AttemptError, Handle,
    audit::{Resolution, ResolveError, store::Reply},
    chain::{AppendId, Position},
    vault::{MutationId, ReceiptHandle, Version},
};

use super::{
    Situation,
    log::{Log, nanos},
    recorder::RunRecorder,
};

/// Writes of one kind with the handles that name them.
pub(crate) struct Unknown<H, T> {
    open: Vec<(OpId, H)>,
    /// What was found out, and by whom: where it was applied, if it was.
    resolved: Vec<(String, OpId, H, Option<T>)>,
}

impl<H, T> Default for Unknown<H, T> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            resolved: Vec::new(),
        }
    }
}

impl<H: Copy, T: Copy + Display> Unknown<H, T> {
    pub(super) fn add(&mut self, op: OpId, handle: H) {
        self.open.push((op, handle));
    }

    /// One of them, by `choice`.
    fn pick(&self, choice: u64) -> Option<(OpId, H)> {
        let count = u64::try_from(self.open.len()).ok()?;
        let place = usize::try_from(choice.checked_rem(count)?).ok()?;
        self.open.get(place).copied()
    }

    fn resolve(&mut self, process: &str, op: OpId, resolution: Resolution<T>) {
        if matches!(resolution, Resolution::Open) {
            return;
        }
        let Some(place) = self.open.iter().position(|(unknown, _)| *unknown == op) else {
            return;
        };
        let (op, handle) = self.open.remove(place);
        let applied = resolution.applied();
        self.resolved
            .push((process.to_owned(), op, handle, applied));
    }
}

/// A handle, by which writes are told apart.
pub(crate) trait UnknownWrite: Copy {
    /// Where such a write is applied.
    type At: Copy + Display + PartialEq;

    /// The writes of this kind in a log.
    fn among(log: &mut Log) -> &mut Unknown<Self, Self::At>;
}

impl UnknownWrite for Handle {
    type At = u64;

    fn among(log: &mut Log) -> &mut Unknown<Self, u64> {
        &mut log.unknown_appends
    }
}

impl UnknownWrite for ReceiptHandle {
    type At = Version;

    fn among(log: &mut Log) -> &mut Unknown<Self, Version> {
        &mut log.unknown_mutations
    }
}

impl RunRecorder {
    /// One of the writes of unknown outcome, by `choice`.
    pub(crate) fn unknown_write<H: UnknownWrite>(&self, choice: u64) -> Option<(OpId, H)> {
        H::among(&mut self.log()).pick(choice)
    }

    /// A process has asked what became of a write.
    pub(crate) fn resolved<H: UnknownWrite>(
        &self,
        process: &str,
        op: OpId,
        resolution: &Result<Resolution<H::At>, ResolveError>,
    ) {
        let mut log = self.log();
        if let Ok(resolution) = resolution {
            H::among(&mut log).resolve(process, op, *resolution);
            log.situations.push(match resolution {
                Resolution::Applied(_) => Situation::FoundApplied,
                Resolution::NotApplied => Situation::FoundNotApplied,
                Resolution::Open => Situation::FoundOpen,
            });
        }
        log.event(|| match resolution {
            Ok(Resolution::Applied(at)) => format!("{process} resolves op {op} as applied at {at}"),
            Ok(Resolution::NotApplied) => format!("{process} resolves op {op} as not applied"),
            Ok(Resolution::Open) => format!("{process} resolves op {op} as open"),
            Err(error) => format!("{process} resolves op {op}: {error}"),
        });
    }

    /// A fence is sent; nobody waits for its end.
    pub(crate) fn begin_fence(&self, process: &str, append_id: AppendId) -> Option<OpId> {
        let mut log = self.log();
        let now = nanos(log.now());
        let invoked = log.recorder.invoke(now, process, Function::Append, None);
        let op = log.accept(invoked)?;
        log.appends.entry(append_id).or_default().push(op);
        log.event(|| format!("{process} op {} sends a fence", op.0));
        Some(op)
    }

    /// A fence is answered.
    pub(crate) fn end_fence(
        &self,
        process: &str,
        op: OpId,
        position: Position,
        reply: &Result<Reply, AttemptError>,
    ) {
        let event_hash = position.event_hash.to_string();
        let sequence = position.sequence.get();
        let (outcome, told) = match reply {
            Ok(Reply::Committed) => {
                let appended = Appended {
                    sequence,
                    event_hash: event_hash.as_str().into(),
                    durability: None,
                };
                (Outcome::Appended(appended), "applied".to_owned())
            }
            Ok(Reply::Conflict { .. }) => (Outcome::Failed(None), "a conflict".to_owned()),
            Err(AttemptError::Ambiguous(cause)) => (Outcome::Unknown(None), cause.to_string()),
            Err(error) => (Outcome::Failed(None), error.to_string()),
        };
        let mut log = self.log();
        let now = nanos(log.now());
        let ended = log.recorder.end(now, op, outcome, None);
        log.accept(ended);
        log.event(|| format!("{process} op {} at {sequence}: {told}", op.0));
    }
    /// The appends of which another outcome was found out than the chain shows.
    pub(super) fn check_resolved_appends(
        &self,
        chain: &[ChainEntry<Text<'static>>],
    ) -> Vec<Violation> {
        self.check_resolved(|op, handle: Handle| {
            // A broken store may have given two appends one identity, and so one record.
            let hash = handle.position.map(|at| at.event_hash.to_string());
            let stands = |entry: &&ChainEntry<Text<'static>>| {
                entry.op == Some(op) || Some(&*entry.event_hash) == hash.as_deref()
            };
            Some(chain.iter().find(stands).map(|entry| entry.sequence))
        })
    }

    /// The mutations of which another outcome was found out than their receipts, read by
    /// `receipt`, say at the end.
    pub(super) fn check_resolved_mutations(
        &self,
        mut receipt: impl FnMut(MutationId) -> Option<String>,
    ) -> Vec<Violation> {
        self.check_resolved(|_, handle: ReceiptHandle| {
            let receipt = receipt(handle.mutation)?;
            let mut words = receipt.split(' ');
            match words.next() {
                Some("done") => Some(words.next()?.parse().ok().map(Version::new)),
                Some("dropped") => Some(None),
                _ => None,
            }
        })
    }

    /// Compares what was found out with where each write `stands`; `None` if nothing tells.
    fn check_resolved<H: UnknownWrite>(
        &self,
        mut stands: impl FnMut(OpId, H) -> Option<Option<H::At>>,
    ) -> Vec<Violation> {
        let place = |place: Option<H::At>| {
            place.map_or("not applied".to_owned(), |at| format!("applied at {at}"))
        };
        let resolved = std::mem::take(&mut H::among(&mut self.log()).resolved);
        let wrong = resolved
            .into_iter()
            .filter_map(|(process, op, handle, told)| {
                let stands = stands(op, handle)?;
                (stands != told).then(|| Violation {
                    invariant: Invariant::WrongOutcome,
                    ops: vec![op],
                    reason: format!(
                        "{process} found the write {}, but it is {}",
                        place(told),
                        place(stands)
                    ),
                })
            });
        wrong.collect()
    }
}
