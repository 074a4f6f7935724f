//! Records that accept a loss: what they name, and who may go on from them.

use std::collections::HashMap;

use crate::{AcceptedLoss, Operation, Symbol};

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::{View, violation};

/// Linear in the records that accept a loss.
pub(super) fn check(view: &View<'_>, violations: &mut Vec<Violation>) {
    for record in view.history.accepted() {
        let AcceptedLoss {
            sequence, from, to, ..
        } = record;
        let at = view.position(record.event_hash);
        let ops = at.map(|at| view.owner_ids(at)).unwrap_or_default();
        let named = format!("the record at {sequence} accepts the loss of {from}..{to}");
        if from > sequence {
            let reason = format!("{named}, and {sequence} was lost, too: it stands there itself");
            violations.push(violation(Invariant::SilentRollback, ops, reason));
        } else if let (Some(at), Some(lost)) = (at, view.position(record.head_hash))
            && lost < at
        {
            let reason = format!("{named}, which ends with what stands at {}", lost + 1);
            violations.push(violation(Invariant::FalseRollback, ops, reason));
        }
    }
}

/// Who goes on after which losses.
pub(super) struct Acceptances<'v> {
    view: &'v View<'v>,
    /// In how many losses each record is, if the history tells of records that accept one;
    /// in others, who has said that something is gone may go on.
    losses: HashMap<Symbol, usize>,
}

impl<'v> Acceptances<'v> {
    pub(super) fn new(view: &'v View<'v>) -> Self {
        let mut losses = HashMap::new();
        let history = view.history;
        if !history.accepted().is_empty() {
            let hashes = history.losses().iter().flat_map(|loss| &loss.hashes);
            for hash in hashes {
                *losses.entry(*hash).or_default() += 1;
            }
        }
        Self { view, losses }
    }

    /// Whether a record that is not in the final chain is gone since a loss, for good: of
    /// one in several losses it is not known when it was there again.
    pub(super) fn is_gone_for_good(&self, hash: Symbol) -> bool {
        self.losses.get(&hash) == Some(&1)
    }

    /// Whether the process of `write` goes on from a record before it that accepts the loss
    /// of what had this sequence.
    pub(super) fn excuse(&self, write: &Operation, lost: u64) -> bool {
        let Some(appended) = write.appended() else {
            return false;
        };
        let accepts = self.view.history.accepts().iter();
        let mut accepts =
            accepts.filter(|accept| accept.process == write.process && accept.time <= write.end);
        accepts.any(|accept| {
            let goes_on_from = |record: &&AcceptedLoss| match accept.lost {
                Some(range) => range == (record.from, record.to),
                None => record.keyed,
            };
            let mut records = self.view.history.accepted().iter().filter(goes_on_from);
            records.any(|record| {
                record.sequence < appended.sequence && (record.from..=record.to).contains(&lost)
            })
        })
    }
}
