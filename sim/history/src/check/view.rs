//! What every checker looks up: positions, owners and losses by hash, in tables
//! built by one pass.

use std::collections::HashMap;

use crate::{Appended, ChainEntry, Function, History, Loss, OpId, Operation, Outcome, Symbol};

use super::invariant::Invariant;
use super::losses;
use super::verdict::Violation;

const NONE: u32 = u32::MAX;

/// What the chain says of an acknowledged append.
pub(super) enum Standing<'h> {
    /// It has the record at the position, or a loss excuses that it has not.
    AsAcknowledged,
    /// A loss took it that its durability covers.
    Taken(&'h Loss),
    /// The position has this record, of another append and the same hash; its own
    /// append has none.
    OtherContent(usize),
    /// The position has this other record.
    OtherRecord(usize),
    /// The chain has no such position, and its record elsewhere.
    OtherPosition,
    /// The chain has neither the position nor the record.
    Absent,
}

pub(super) struct View<'h> {
    pub(super) history: &'h History,
    pub(super) chain: &'h [ChainEntry],
    /// Chain record → index of the append it names, if that is in the history.
    owner: Vec<u32>,
    /// Append → its first chain record.
    record: Vec<u32>,
    /// Hash → first chain record of that hash.
    position: Vec<u32>,
    /// Hash → index of the append that it is the record of: the chain's word, or
    /// else an acknowledgement's.
    append: Vec<u32>,
    /// Hash → the last loss that names it. Empty without losses.
    lost: Vec<u32>,
    /// Stated sequence → chain record; only where they are not 1, 2, 3 and so on.
    by_sequence: Option<HashMap<u64, u32>>,
}

impl<'h> View<'h> {
    pub(super) fn new(history: &'h History, chain: &'h [ChainEntry]) -> Self {
        let symbols = history.symbols().len();
        let mut position = vec![NONE; symbols];
        let mut append = vec![NONE; symbols];
        let mut owner = vec![NONE; chain.len()];
        let mut first = vec![NONE; history.operations().len()];
        for (index, record) in chain.iter().enumerate() {
            let at = record.event_hash.index();
            if position[at] == NONE {
                position[at] = index as u32;
            }
            let Some(op) = record.op.and_then(|op| history.index_of(op)) else {
                continue;
            };
            if history.operations()[op].f == Function::Append {
                owner[index] = op as u32;
                append[at] = op as u32;
                first[op] = first[op].min(index as u32);
            }
        }
        for (index, operation) in history.operations().iter().enumerate() {
            if let Some(Appended { event_hash, .. }) = operation.appended()
                && append[event_hash.index()] == NONE
            {
                append[event_hash.index()] = index as u32;
            }
        }
        let mut lost = Vec::new();
        if !history.losses().is_empty() {
            lost = vec![NONE; symbols];
            for (number, loss) in history.losses().iter().enumerate() {
                for hash in &loss.hashes {
                    lost[hash.index()] = number as u32;
                }
            }
        }
        let in_order = chain
            .iter()
            .zip(1..)
            .all(|(record, at)| record.sequence == at);
        let by_sequence = (!in_order).then(|| {
            // The first record of a sequence counts.
            let records = chain.iter().enumerate().rev();
            records
                .map(|(index, record)| (record.sequence, index as u32))
                .collect()
        });
        Self {
            history,
            chain,
            owner,
            record: first,
            position,
            append,
            lost,
            by_sequence,
        }
    }

    pub(super) fn operations(&self) -> &'h [Operation] {
        self.history.operations()
    }

    pub(super) fn operation(&self, index: usize) -> &'h Operation {
        &self.history.operations()[index]
    }

    /// The index of the append that a chain record's content came from.
    pub(super) fn owner(&self, record: usize) -> Option<usize> {
        some(self.owner[record])
    }

    /// The first chain record of an append.
    pub(super) fn record_of(&self, append: usize) -> Option<usize> {
        some(self.record[append])
    }

    /// Every acknowledged append that is checked, and what the chain says of it.
    pub(super) fn acknowledged(
        &self,
    ) -> impl Iterator<Item = (&'h Operation, Appended, Standing<'h>)> {
        let operations = self.operations().iter().enumerate();
        let checked = operations.filter(|(_, operation)| self.is_checked(operation));
        checked.filter_map(|(index, operation)| {
            let appended = operation.appended()?;
            Some((
                operation,
                appended,
                self.standing(index, operation, appended),
            ))
        })
    }

    fn standing(&self, index: usize, operation: &Operation, appended: Appended) -> Standing<'h> {
        let held = self.at_sequence(appended.sequence);
        let same_hash = |held: &usize| self.chain[*held].event_hash == appended.event_hash;
        let matching = held.filter(same_hash);
        if matching.is_some_and(|held| self.chain[held].op == Some(operation.id))
            || self.is_excused(operation)
        {
            return Standing::AsAcknowledged;
        }
        let is_present = self.record_of(index).is_some();
        match (matching, held, self.taken_by(operation)) {
            (None, _, Some(loss)) => Standing::Taken(loss),
            (Some(held), ..) if !is_present => Standing::OtherContent(held),
            (_, Some(held), _) => Standing::OtherRecord(held),
            (_, None, _) if is_present => Standing::OtherPosition,
            (_, None, _) => Standing::Absent,
        }
    }

    /// Appends that failed and have a record all the same, the first of each.
    pub(super) fn failed_but_present(
        &self,
    ) -> impl Iterator<Item = (&'h Operation, &'h ChainEntry)> {
        let appends = self.operations().iter().zip(&self.record);
        appends.filter_map(|(operation, record)| {
            let failed = matches!(operation.outcome, Outcome::Failed(_));
            let record = some(*record).filter(|_| failed && self.is_checked(operation))?;
            Some((operation, &self.chain[record]))
        })
    }

    /// The chain record of a hash.
    pub(super) fn position(&self, hash: Symbol) -> Option<usize> {
        some(self.position[hash.index()])
    }

    /// The chain record that states a sequence.
    pub(super) fn at_sequence(&self, sequence: u64) -> Option<usize> {
        match &self.by_sequence {
            Some(table) => table.get(&sequence).map(|index| *index as usize),
            None => {
                let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
                (index < self.chain.len()).then_some(index)
            }
        }
    }

    /// The index of the append that a hash is the record of.
    pub(super) fn append_of(&self, hash: Symbol) -> Option<usize> {
        some(self.append[hash.index()])
    }

    /// The number of the last loss that names a hash.
    pub(super) fn loss_of(&self, hash: Symbol) -> Option<usize> {
        self.lost.get(hash.index()).copied().and_then(some)
    }

    /// The loss that took an acknowledged append's record, if one did: it names
    /// the hash and did not happen before the append began.
    pub(super) fn taken_by(&self, operation: &Operation) -> Option<&'h Loss> {
        let hash = operation.appended()?.event_hash;
        let loss = &self.history.losses()[self.loss_of(hash)?];
        (loss.time >= operation.start).then_some(loss)
    }

    /// Whether the loss of an acknowledged append is excused.
    pub(super) fn is_excused(&self, operation: &Operation) -> bool {
        let (appended, loss) = (operation.appended(), self.taken_by(operation));
        appended.zip(loss).is_some_and(|(appended, loss)| {
            !losses::covers(self.history, loss, appended.durability())
        })
    }

    /// Whether an operation is checked: not if it is foreign and
    /// ended after the first loss.
    pub(super) fn is_checked(&self, operation: &Operation) -> bool {
        !self.history.is_foreign(operation.process)
            || losses::first_begins(self.history).is_none_or(|begins| operation.end < begins)
    }

    pub(super) fn text(&self, symbol: Symbol) -> &'h str {
        self.history.text(symbol)
    }

    /// The number of the append that a chain record's content came from, as a list.
    pub(super) fn owner_ids(&self, record: usize) -> Vec<OpId> {
        self.owner(record)
            .map(|op| self.operation(op).id)
            .into_iter()
            .collect()
    }
}

fn some(index: u32) -> Option<usize> {
    (index != NONE).then_some(index as usize)
}

pub(super) fn violation(
    invariant: Invariant,
    ops: impl IntoIterator<Item = OpId>,
    reason: String,
) -> Violation {
    Violation {
        invariant,
        ops: ops.into_iter().collect(),
        reason,
    }
}
