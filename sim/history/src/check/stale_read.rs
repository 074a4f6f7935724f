//! `stale_read` on the chain: a read that misses what was acknowledged before it
//! began, shrinks or rewrites an earlier read, or shows what was not there.
//!
//! Reads and appends of a log are linearizable exactly if every pair that time
//! orders is in the order of positions: an append ranks at its position, a read
//! just behind the last record it shows. So it is enough to carry along, in order
//! of time, the highest acknowledged position and the longest result so far, both
//! cut back where a loss took data.

use std::ops::Range;

use crate::{Appended, LogEntry, Operation, Outcome, PathId};

use super::invariant::Invariant;
use super::losses;
use super::tree::Tree;
use super::verdict::Violation;
use super::view::{View, violation};

/// Linear in the history and in the different prefixes read; at each loss, and for
/// each read that spans one, linear in what it took. At most one violation a read.
pub(super) fn check(view: &View<'_>, tree: &Tree, violations: &mut Vec<Violation>) {
    let is_read = |operation: &Operation| matches!(operation.outcome, Outcome::Chain(_));
    if !view.operations().iter().any(is_read) {
        return;
    }
    let log = view.history.log();
    let mut sweep = Sweep::new(view, tree);
    let mut from = 0;
    while from < log.len() {
        let time = time_of(view, log[from]);
        let same = log[from..]
            .iter()
            .take_while(|entry| time_of(view, **entry) == time)
            .count();
        let group = &log[from..from + same];
        // At one time everything is concurrent: what begins must not meet what
        // ends, and an end not a loss.
        for entry in group {
            if let LogEntry::Invoke(index) = entry {
                violations.extend(sweep.begins(view.operation(*index as usize)));
            }
        }
        for entry in group {
            if let LogEntry::End(index) = entry {
                sweep.ends(*index as usize);
            }
        }
        for entry in group {
            if let LogEntry::Loss(index) = entry {
                sweep.loses(*index as usize);
            }
        }
        from += same;
    }
}

fn time_of(view: &View<'_>, entry: LogEntry) -> u64 {
    match entry {
        LogEntry::Invoke(index) => view.operation(index as usize).start,
        LogEntry::End(index) => view.operation(index as usize).end,
        LogEntry::Loss(index) => view.history.losses()[index as usize].time,
        LogEntry::Rollback(index) => view.history.rollbacks()[index as usize].time,
        LogEntry::Knows(index) => view.history.known()[index as usize].time,
        LogEntry::Accept(index) => view.history.accepts()[index as usize].time,
    }
}

const NONE: u32 = u32::MAX;

struct Sweep<'v, 'h> {
    view: &'v View<'h>,
    tree: &'v Tree,
    /// Position → index of the append acknowledged there.
    acknowledged: Vec<u32>,
    /// The highest acknowledged position that no loss has taken.
    top: usize,
    /// The longest result so far, and the read that returned it.
    longest: PathId,
    reader: Option<usize>,
    /// The lowest position that each loss took.
    cuts: Vec<usize>,
}

impl<'v, 'h> Sweep<'v, 'h> {
    fn new(view: &'v View<'h>, tree: &'v Tree) -> Self {
        // No position of a correct store is past this; others are reported as
        // forks, and must not size a table.
        let most = view.operations().len() + view.chain.len();
        let cut = |loss: &crate::Loss| {
            let mut lowest = usize::MAX;
            if loss.split.is_some() {
                return lowest; // What others were told still stands.
            }
            for hash in &loss.hashes {
                let told = view.append_of(*hash);
                let told = told.and_then(|append| view.operation(append).appended());
                let told = told.and_then(|told| usize::try_from(told.sequence).ok());
                let read = tree
                    .node(*hash)
                    .map(|node| view.history.paths().length(node));
                lowest = lowest
                    .min(told.unwrap_or(usize::MAX))
                    .min(read.unwrap_or(usize::MAX));
            }
            lowest
        };
        Self {
            view,
            tree,
            acknowledged: vec![NONE; most + 1],
            top: 0,
            longest: PathId::EMPTY,
            reader: None,
            cuts: view.history.losses().iter().map(cut).collect(),
        }
    }

    /// The losses that happened while an operation was open.
    fn spanned(&self, operation: &Operation) -> Range<usize> {
        let losses = self.view.history.losses();
        let from = losses.partition_point(|loss| loss.time < operation.start);
        from..losses
            .partition_point(|loss| loss.time <= operation.end)
            .max(from)
    }

    fn begins(&self, read: &Operation) -> Option<Violation> {
        let Outcome::Chain(path) = read.outcome else {
            return None;
        };
        if !self.is_judged(read) {
            return None;
        }
        let found = self.invents(read, path);
        let found = found.or_else(|| self.misses(read, path));
        let found = found.or_else(|| self.rewrites(read, path));
        found.map(|(other, reason)| {
            let ops = [
                Some(read.id),
                other.map(|other| self.view.operation(other).id),
            ];
            violation(Invariant::StaleRead, ops.into_iter().flatten(), reason)
        })
    }

    /// Whether the whole history tells what a read has to show: not while two servers
    /// took writes, of one whose were lost.
    fn is_judged(&self, read: &Operation) -> bool {
        self.view.is_checked(read) && losses::splits_of(self.view.history, read).next().is_none()
    }

    /// It shows what was appended only after it ended, what a loss took before it
    /// began, or what never was in the chain.
    fn invents(&self, read: &Operation, path: PathId) -> Option<(Option<usize>, String)> {
        let (view, op) = (self.view, read.id);
        if let Some(append) = self.tree.youngest(path) {
            let append_op = view.operation(append);
            if append_op.start > read.end {
                let other = append_op.id;
                let reason = format!("read {op} ended before append {other} began, and shows it");
                return Some((Some(append), reason));
            }
        }
        let stray = self.tree.stray(path)?;
        if let Some(loss) = self.tree.losses(path).max() {
            let loss = &view.history.losses()[loss];
            let fault = view.text(loss.fault);
            let late = read.start > loss.time;
            return late.then(|| {
                (
                    None,
                    format!("read {op} shows what {fault} took before it began"),
                )
            });
        }
        let (_, hash) = view.history.paths().last(stray)?;
        let append = view.append_of(hash);
        if let Some(append) = append
            && view.position(hash).is_none()
            && view.operation(append).appended().is_some()
        {
            return None; // The append is accused of it.
        }
        let at = view.history.paths().length(stray);
        let holds = view
            .chain
            .get(at - 1)
            .map_or("nothing", |r| view.text(r.event_hash));
        let hash = view.text(hash);
        Some((
            append,
            format!("read {op} shows {hash} at position {at}, where the chain holds {holds}"),
        ))
    }

    /// It is shorter than what was acknowledged before it began.
    fn misses(&self, read: &Operation, path: PathId) -> Option<(Option<usize>, String)> {
        let cut = self
            .spanned(read)
            .map(|loss| self.cuts[loss])
            .min()
            .unwrap_or(usize::MAX);
        let mut top = self.top.min(cut.saturating_sub(1));
        while top > 0 && self.acknowledged[top] == NONE {
            top -= 1;
        }
        let length = self.view.history.paths().length(path);
        if length >= top {
            return None;
        }
        let append = self.acknowledged[top] as usize;
        let (op, other) = (read.id, self.view.operation(append).id);
        let reason = format!(
            "read {op} shows {length} records; append {other} was acknowledged at position {top} \
             before it began"
        );
        Some((Some(append), reason))
    }

    /// It does not begin with what an earlier read returned.
    fn rewrites(&self, read: &Operation, path: PathId) -> Option<(Option<usize>, String)> {
        let earlier = self.cut_back(self.longest, self.spanned(read));
        if self.tree.is_prefix(earlier, path) {
            return None;
        }
        let op = read.id;
        let other = self
            .reader
            .map_or(op, |reader| self.view.operation(reader).id);
        let reason = if self.tree.is_prefix(path, earlier) {
            let paths = self.view.history.paths();
            let (shows, showed) = (paths.length(path), paths.length(earlier));
            format!("read {op} shows {shows} records, and read {other} before it {showed}")
        } else {
            format!("read {op} does not begin with what read {other} before it showed")
        };
        Some((self.reader, reason))
    }

    fn ends(&mut self, index: usize) {
        let operation = self.view.operation(index);
        if !self.view.is_checked(operation) {
            return;
        }
        match operation.outcome {
            Outcome::Appended(Appended { sequence, .. }) => {
                // Taken while the reply was under way: no later read has to show it.
                if self
                    .view
                    .taken_by(operation)
                    .is_some_and(|loss| loss.begins() < operation.end)
                {
                    return;
                }
                let Ok(at) = usize::try_from(sequence) else {
                    return;
                };
                if let Some(slot) = self.acknowledged.get_mut(at) {
                    *slot = index as u32;
                    self.top = self.top.max(at);
                }
            }
            Outcome::Chain(path) if self.is_judged(operation) => {
                let path = self.cut_back(path, self.spanned(operation));
                if self.tree.is_prefix(self.longest, path) && path != self.longest {
                    self.longest = path;
                    self.reader = Some(index);
                }
            }
            _ => {}
        }
    }

    fn loses(&mut self, loss: usize) {
        let cut = self.cuts[loss];
        while self.top > 0 && (self.top >= cut || self.acknowledged[self.top] == NONE) {
            self.acknowledged[self.top] = NONE;
            self.top -= 1;
        }
        self.longest = self.cut_back(self.longest, loss..loss + 1);
    }

    /// What is left of a result when these losses took their records, and with
    /// each all that stood behind it.
    fn cut_back(&self, mut path: PathId, losses: Range<usize>) -> PathId {
        for loss in losses {
            for hash in &self.view.history.losses()[loss].hashes {
                if let Some(node) = self.tree.node(*hash)
                    && self.tree.is_prefix(node, path)
                    && let Some((parent, _)) = self.view.history.paths().last(node)
                {
                    path = parent;
                }
            }
        }
        path
    }
}
