//! Verification, record by record, in memory that does not grow with the chain.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::anchor::Anchors;
use super::canonical::{Members, Renderer};
use super::loss::{AcceptedLoss, Loss, LostRange, explain};
use super::position::{EventHash, Head, Position, Sequence};
use super::record::{INTEGRITY, Links, Previous};
use super::verdict::{AnchorSummary, Fault, InvalidLine, Reason, Verdict};

/// How deep a record may nest before it is reported as unsupported.
///
/// Other writers have no limit. One is needed because a record whose members
/// are out of order at every level costs a copy per level.
const MAX_DEPTH: usize = 1024;

/// Verifies a chain, given one record's text after the other.
///
/// Each record costs one reading, one canonical text and one SHA-256.
///
/// ```
/// use haechi_store_redis::chain::{Event, Head, Verifier};
///
/// let event = Event::from_json(r#"{"id":"evt-1"}"#)?;
/// let first = event.seal(None, &Head::Empty)?;
/// let second = event.seal(None, &Head::At(first.position()))?;
///
/// let mut verifier = Verifier::new();
/// for record in [&first, &second] {
///     assert_eq!(verifier.line(record.text().as_bytes()), []);
/// }
/// let verdict = verifier.finish();
/// assert!(verdict.is_valid());
/// assert_eq!(verdict.head, Head::At(second.position()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Verifier {
    renderer: Renderer,
    max_depth: usize,
    keep_going: bool,
    anchors: Option<Anchors>,
    /// The last record whose sequence and hash could be read.
    head: Head,
    /// Unreadable records since then, whose sequences are unknown.
    gap: u64,
    highest: u64,
    lines: u64,
    records: u64,
    good: u64,
    faults: u64,
    first: Option<Fault>,
    /// Conflicts reported so far.
    conflicts_met: BTreeSet<Sequence>,
    /// Losses that the caller accepts.
    accepts: Vec<LostRange>,
    /// Losses that the chain accepts.
    accepted: Vec<AcceptedLoss>,
    /// Faults of anchors that count unless the chain accepts the loss.
    excused: Vec<Excused>,
}

/// A fault of an anchor that an accepted loss may explain.
struct Excused {
    sequence: Sequence,
    /// The hash of the chain's record there.
    stored: Option<EventHash>,
    fault: Fault,
    /// How many records were good before it.
    good: u64,
}

impl Default for Verifier {
    fn default() -> Verifier {
        Verifier::new()
    }
}

impl Verifier {
    /// Verifies from the first record, without anchors, to the first fault.
    pub fn new() -> Verifier {
        Verifier {
            renderer: Renderer::default(),
            max_depth: MAX_DEPTH,
            keep_going: false,
            anchors: None,
            head: Head::Empty,
            gap: 0,
            highest: 0,
            lines: 0,
            records: 0,
            good: 0,
            faults: 0,
            first: None,
            conflicts_met: BTreeSet::new(),
            accepts: Vec::new(),
            accepted: Vec::new(),
            excused: Vec::new(),
        }
    }

    /// Starts after `head`, a position known to be valid. Anchors up to there
    /// are not compared.
    pub fn starting_after(mut self, head: Head) -> Verifier {
        self.head = head;
        self.highest = head.len();
        self
    }

    /// Compares the chain with `anchors` too.
    pub fn with_anchors(mut self, anchors: Anchors) -> Verifier {
        self.anchors = Some(anchors);
        self
    }

    /// Accepts that anchors of these records attest others, or more than there are, if
    /// the chain has a record that accepts just this loss. For each loss that is one other
    /// record of a sequence; of the last one, the one with the hash that the record names.
    pub fn accepting(mut self, lost: impl IntoIterator<Item = LostRange>) -> Verifier {
        self.accepts.extend(lost);
        self
    }

    /// Goes on after the first fault, from the sequence and hash that the
    /// faulty record claims, and reports every fault.
    pub fn keep_going(mut self) -> Verifier {
        self.keep_going = true;
        self
    }

    /// Verifies records nested to `max_depth` open containers; by default 1024.
    /// The time for a record can grow by one copy of it per level.
    pub fn with_max_depth(mut self, max_depth: usize) -> Verifier {
        self.max_depth = max_depth;
        self
    }

    /// Checks the next line and returns its faults; a valid line allocates
    /// nothing. Blank lines are skipped. After the first fault, unless set to
    /// [keep going](Verifier::keep_going), further lines are ignored.
    pub fn line(&mut self, line: &[u8]) -> Vec<Fault> {
        if self.is_settled() {
            return Vec::new();
        }
        self.lines += 1;
        if is_blank(line) {
            return Vec::new();
        }
        self.records += 1;
        let (sequence, mut reasons) = match self.read(line) {
            Ok(Some((links, computed))) => (links.sequence, self.check(&links, computed)),
            Ok(None) => (None, self.unreadable(Reason::MissingIntegrity)),
            Err(reason) => (None, self.unreadable(reason)),
        };
        let at = Some(self.lines);
        let faults = reasons.drain(..).map(|reason| Fault {
            line: at,
            sequence,
            reason,
        });
        let stored = self.head.event_hash();
        let mut faults = self.unexcused(faults.collect(), stored);
        if faults.is_empty() {
            self.accepted.extend(AcceptedLoss::of_record(line));
        }
        if !self.keep_going {
            faults.truncate(1);
        }
        self.count(&faults);
        if self.first.is_none() {
            self.good += 1;
        }
        faults
    }

    /// Whether no further line can change the verdict.
    pub fn is_settled(&self) -> bool {
        self.first.is_some() && !self.keep_going
    }

    /// The last record whose sequence and hash could be read: in a valid chain,
    /// equal to the stored head.
    pub fn position(&self) -> Head {
        self.head
    }

    /// How many lines were read.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The verdict, after all lines.
    pub fn finish(mut self) -> Verdict {
        let mut closing = Vec::new();
        if !self.is_settled() {
            closing = self.closing();
            closing = self.unexcused(closing, None);
        }
        if !self.keep_going {
            closing.truncate(1);
        }
        self.count(&closing);
        let losses = self.accepted_losses();
        let mut excused = std::mem::take(&mut self.excused);
        excused.retain(|excused| {
            let attested = self.anchors.iter();
            let attested = attested.flat_map(|anchors| anchors.hashes(excused.sequence));
            let missing = attested.filter(|hash| excused.stored != Some(*hash));
            !explain(&losses, excused.sequence, missing)
        });
        if !self.keep_going {
            excused.truncate(1);
        }
        let place = |fault: &Fault| fault.line.unwrap_or(u64::MAX);
        if let Some(excused) = excused.first()
            && self
                .first
                .is_none_or(|first| place(&excused.fault) < place(&first))
        {
            (self.first, self.good) = (Some(excused.fault), excused.good);
        }
        self.faults += excused.len() as u64;
        closing.extend(excused.iter().map(|excused| excused.fault));
        let anchored = self.anchors.as_ref().map(|anchors| AnchorSummary {
            count: anchors.len() as u64,
            last_sequence: anchors.last_sequence(),
        });
        Verdict {
            records: self.good,
            read: self.records,
            lines: self.lines,
            head: self.head,
            fault: self.first,
            faults: self.faults,
            closing,
            anchored,
            torn_anchors: self.anchors.as_ref().map_or(0, Anchors::torn),
            accepted: self.accepted,
        }
    }

    /// The losses that both the chain and the caller accept.
    pub(crate) fn accepted_losses(&self) -> Vec<Loss> {
        let losses = self.accepted.iter().map(|accepted| accepted.loss);
        losses
            .filter(|loss| self.accepts.contains(&loss.range))
            .collect()
    }

    /// Those of `faults` that no accepted loss explains; the others are kept until
    /// the chain is known to accept it. `stored` is the hash of the chain's record.
    fn unexcused(&mut self, mut faults: Vec<Fault>, stored: Option<EventHash>) -> Vec<Fault> {
        faults.retain(|fault| {
            let sequence = match fault.reason {
                Reason::AnchorHashMismatch(sequence) | Reason::AnchorConflict(sequence) => sequence,
                Reason::TailTruncation { attested, .. } => attested,
                _ => return true,
            };
            let may_be_lost = self.accepts.iter().any(|range| range.contains(sequence));
            if may_be_lost {
                self.excused.push(Excused {
                    sequence,
                    stored,
                    fault: *fault,
                    good: self.good,
                });
            }
            !may_be_lost
        });
        faults
    }

    /// A record's links and the hash of its content; `None` without
    /// `auditIntegrity`.
    fn read(&mut self, line: &[u8]) -> Result<Option<(Links, EventHash)>, Reason> {
        let text = std::str::from_utf8(line).map_err(|error| {
            Reason::Invalid(InvalidLine::NotJson {
                offset: error.valid_up_to(),
            })
        })?;
        let mut stored = Stored { links: None };
        self.renderer
            .render(text, self.max_depth, &mut stored)
            .map_err(|refusal| Reason::of_refusal(refusal, self.max_depth))?;
        let Some(links) = stored.links else {
            return Ok(None);
        };
        let digest = Sha256::digest(self.renderer.text());
        Ok(Some((links, EventHash::from_bytes(digest.into()))))
    }

    fn check(&mut self, links: &Links, computed: EventHash) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let next = self.head.len() + 1;
        match links.sequence.map(Sequence::get) {
            Some(sequence) if sequence == next => {
                let expected = self
                    .head
                    .event_hash()
                    .map_or(Previous::None, Previous::Hash);
                if links.previous != expected {
                    reasons.push(Reason::PreviousHashMismatch);
                }
            }
            // Its predecessor may be an unreadable record.
            Some(sequence)
                if sequence
                    .checked_sub(next)
                    .is_some_and(|unread| unread <= self.gap) => {}
            _ => reasons.push(Reason::SequenceMismatch),
        }
        if links.event_hash != Some(computed) {
            reasons.push(Reason::EventHashMismatch);
        }
        if let Some(sequence) = links.sequence {
            reasons.extend(self.check_anchor(sequence, links.event_hash));
        }
        match (links.sequence, links.event_hash) {
            (Some(sequence), Some(event_hash)) => {
                self.head = Head::At(Position {
                    sequence,
                    event_hash,
                });
                self.highest = self.highest.max(sequence.get());
                self.gap = 0;
            }
            _ => self.gap += 1,
        }
        reasons
    }

    fn check_anchor(&mut self, sequence: Sequence, stored: Option<EventHash>) -> Option<Reason> {
        let mut attested = self.anchors.as_ref()?.hashes(sequence);
        let event_hash = attested.next()?;
        if attested.next().is_some() {
            self.conflicts_met.insert(sequence);
            return Some(Reason::AnchorConflict(sequence));
        }
        (stored != Some(event_hash)).then_some(Reason::AnchorHashMismatch(sequence))
    }

    fn unreadable(&mut self, reason: Reason) -> Vec<Reason> {
        self.gap += 1;
        vec![reason]
    }

    /// Faults of the chain's end: conflicts on no record's sequence, then
    /// truncation.
    fn closing(&mut self) -> Vec<Fault> {
        let Some(anchors) = &self.anchors else {
            return Vec::new();
        };
        let unmet = |sequence: &Sequence| !self.conflicts_met.contains(sequence);
        let conflicts = anchors.conflicts().filter(unmet).map(|sequence| Fault {
            line: None,
            sequence: Some(sequence),
            reason: Reason::AnchorConflict(sequence),
        });
        let outside = anchors.last_outside(&self.accepts);
        let last = anchors
            .last_sequence()
            .filter(|last| Some(*last) != outside);
        let beyond = [last, outside].into_iter().flatten();
        let truncations = beyond
            .filter(|last| last.get() > self.highest)
            .map(|attested| Fault {
                line: None,
                sequence: Some(attested),
                reason: Reason::TailTruncation {
                    records: self.highest,
                    attested,
                },
            });
        conflicts.chain(truncations).collect()
    }

    fn count(&mut self, faults: &[Fault]) {
        self.faults += faults.len() as u64;
        if self.first.is_none() {
            self.first = faults.first().copied();
        }
    }
}

/// Removes `eventHash` from `auditIntegrity` and keeps its links.
struct Stored {
    links: Option<Links>,
}

impl Members for Stored {
    fn keep(&mut self, depth: usize, name: &[u8], out: &mut String, value: usize) -> bool {
        if depth == 1 && name == INTEGRITY.as_bytes() {
            // An error means that auditIntegrity is not an object: the text is
            // canonical, so it is JSON and repeats no name.
            self.links = Links::read(&out[value..]).ok();
            if let Some(member) = self
                .links
                .as_ref()
                .and_then(|l| l.event_hash_member.as_ref())
            {
                let (mut start, mut end) = (value + member.start, value + member.end);
                if out.as_bytes().get(end) == Some(&b',') {
                    end += 1;
                } else if out.as_bytes().get(start - 1) == Some(&b',') {
                    start -= 1;
                }
                out.replace_range(start..end, "");
            }
        }
        true
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter()
        .all(|byte| byte.is_ascii_whitespace() || *byte == 0x0b)
}
