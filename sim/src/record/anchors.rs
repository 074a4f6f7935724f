//! What processes are told of their anchors, and whether it is so.

use std::collections::BTreeSet;

use haechi_history::check::{Invariant, Violation};
use haechi_store_redis::{
    audit::{AnchorStatus, Appended},
    chain::{Anchors, Sequence},
};

use super::{coverage::Situation, final_state::violation, recorder::RunRecorder};
use crate::plan::Knobs;

/// What is recorded of anchors.
#[derive(Default)]
pub(super) struct AnchorLog {
    /// Anchors said to be written that a loss of power would have taken.
    not_durable: Vec<String>,
    /// Anchors that were due, by the name of their file, and whether they were said to be
    /// missing.
    due: Vec<(String, Sequence, bool)>,
    /// For each time that a file was opened: its last anchor, and the last record that was
    /// acknowledged to any process by then.
    opened: Vec<(String, u64, u64)>,
    last_acknowledged: u64,
    /// What is left of each file.
    files: Vec<(String, Vec<u8>)>,
}

impl AnchorLog {
    /// A record was acknowledged.
    pub(super) fn acknowledged(&mut self, sequence: u64) {
        self.last_acknowledged = self.last_acknowledged.max(sequence);
    }
}

impl RunRecorder {
    /// An append was applied. `is_durable`: whether its anchor outlives a loss of power
    /// now; `is_held`: whether the medium was held up by a fault.
    pub(crate) fn anchor(&self, file: &str, appended: &Appended, is_durable: bool, is_held: bool) {
        let sequence = appended.position.sequence;
        let mut log = self.log();
        let anchors = &mut log.anchors;
        let is_missing = appended.anchor != AnchorStatus::Written;
        if !is_missing && !is_durable {
            let reason = format!("the anchor of {sequence} in {file} was said to be written");
            anchors.not_durable.push(reason);
        }
        if is_missing && is_held {
            log.situations.push(Situation::AppliedWhileMediumHeld);
        }
        let anchors = &mut log.anchors;
        anchors.due.push((file.to_owned(), sequence, is_missing));
        log.event(|| format!("{file} anchor of {sequence}: {:?}", appended.anchor));
    }

    /// A file with this last anchor was opened, to go on with it.
    pub(crate) fn opened_anchors(&self, file: &str, last: Option<Sequence>) {
        let Some(last) = last else { return };
        let anchors = &mut self.log().anchors;
        let opened = (file.to_owned(), last.get(), anchors.last_acknowledged);
        anchors.opened.push(opened);
    }

    /// What is left of the files of all processes.
    pub(crate) fn anchor_files(&self, files: impl IntoIterator<Item = (String, Vec<u8>)>) {
        self.log().anchors.files.extend(files);
    }

    /// The anchors of all processes together.
    pub(super) fn all_anchors(&self) -> Anchors {
        let mut all = Anchors::new();
        for (_, text) in &self.log().anchors.files {
            all.read_text(text);
        }
        all
    }

    /// Checks each file by itself. `is_whole`: whether no data of the chain was lost.
    pub(super) fn check_anchors(&self, knobs: &Knobs, is_whole: bool) -> Vec<Violation> {
        let mut log = self.log();
        let mut met = Vec::new();
        let told = &mut log.anchors;
        let not_durable = told.not_durable.drain(..).take(1);
        let mut violations: Vec<_> = not_durable
            .map(|reason| {
                let reason = format!("{reason}, and it was not synced");
                violation(Invariant::WrongOutcome, reason)
            })
            .collect();
        let every = knobs
            .anchors
            .as_ref()
            .map_or(1, |anchors| anchors.every.get());
        for (name, text) in &told.files {
            let mut anchors = Anchors::new();
            anchors.read_text(text);
            if anchors.torn() > 0 && text.ends_with(b"}\n") {
                met.push(Situation::AnchorAfterTornLine);
            }
            let due = told.due.iter().filter(|(file, ..)| file == name);
            let mut expected: BTreeSet<u64> = BTreeSet::new();
            for (_, sequence, was_missing) in due {
                expected.insert(sequence.get());
                if *was_missing && anchors.get(*sequence).is_some() {
                    met.push(Situation::MissingAnchorWrittenLater);
                }
            }
            for (_, last, end) in told.opened.iter().filter(|(file, ..)| file == name) {
                expected.extend((last + 1..=*end).filter(|sequence| sequence % every == 0));
            }
            let Some(last) = anchors.last_sequence().filter(|_| is_whole) else {
                continue;
            };
            let sequences = anchors.positions_up_to(last);
            let sequences: Vec<u64> = sequences.map(|at| at.sequence.get()).collect();
            // Those before its first were not caught up with, and those after its last may
            // be of a sink that was closed.
            let (first, last) = (sequences[0], last.get());
            let mut expected = expected.range(first..=last);
            let is_missing = |sequence: &&u64| sequences.binary_search(sequence).is_err();
            if let Some(missing) = expected.find(is_missing) {
                let reason = format!(
                    "{name} has no anchor of {missing}, though those of {first} and {last}"
                );
                violations.push(violation(Invariant::NoProgress, reason));
            }
            if sequences.iter().any(|sequence| sequence % every != 0) {
                let reason = format!("{name} has an anchor of a record that is not due");
                violations.push(violation(Invariant::ChainIntegrity, reason));
            }
        }
        log.situations.extend(met);
        violations
    }
}
