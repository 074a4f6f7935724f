//! Rebuilding `head` and `head:hash` from the list, when the three disagree.
//!
//! [`examine`](Repair::examine) verifies the list and decides; nothing else does.
//! [`carry_out`](Repair::carry_out) appends a record that states the repair and
//! makes it the head, in one step that is fenced on everything that was examined:
//! if a writer appends meanwhile, or a key changes, nothing is written.

use std::time::Duration;

use serde::Serialize;

use super::{
    read::Pages,
    sink::{AnchorStatus, Appended},
    store::{ChainState, RepairReply, RepairStore, VerifiedList},
};
use crate::{
    chain::{
        Anchor, Anchors, AppendId, Event, EventHash, Fault, Head, Loss, LostRange, Position,
        REPAIRED, Reason, Record, Sequence, StoredRecord, Verifier, explain,
    },
    clock::{Clock, iso8601},
    durability::{Durability, DurabilityStatus, confirmed},
    entropy::{Entropy, Jitter},
    error::{AttemptError, Cause, Handle, NotApplied, ReadError, from_cause},
};

/// What a chain must still hold, and what may be missing.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Hashes attested outside of Redis.
    pub anchors: Anchors,
    /// Positions that processes have seen.
    pub seen: Vec<Position>,
    /// Losses that are not missed: those of these sequences that a record of the list
    /// accepts, as in [`Verifier::accepting`].
    pub accepted: Vec<LostRange>,
    /// The sequences whose loss is accepted: exactly those that the head, an anchor or
    /// a seen position attests and the list does not hold, or nothing is repaired. The
    /// records before the first are in the list, as far as anything attests them; there
    /// may have been more after the last.
    pub accepted_loss: Option<LostRange>,
}

/// The result of an examination.
#[derive(Debug)]
pub enum Examination {
    /// The keys name one record, the end of a list that verifies, and nothing is
    /// lost.
    Whole(Head),
    /// The list verifies, and the other two keys can be rebuilt from it.
    Diverged(Repair),
}

/// A repair that was found to be possible.
#[derive(Debug)]
pub struct Repair {
    state: ChainState,
    last: Vec<u8>,
    head: Head,
    disagreement: String,
    lost: Option<Loss>,
}

/// Why a chain was not repaired. Nothing was written, unless the outcome is
/// unknown.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// Redis could not be read, or a key has another type.
    #[error("{0}; nothing was written")]
    Read(ReadError),

    /// The list does not verify.
    #[error(
        "the list does not verify: element {}{}: {}; the {good} before it are good, and nothing was \
         written: compare with anchors and exports, and restore the list",
        fault.line.unwrap_or_default(), says(fault.sequence), fault.reason
    )]
    Invalid {
        /// The first fault; its line is the element of the list, from 1.
        fault: Fault,
        /// How many records before it are good.
        good: u64,
    },

    /// Anchors attest different hashes for one sequence.
    #[error(
        "anchor conflict at sequence {0}: the anchors, or the positions seen, attest two chains; \
         nothing was written: find out which of their files belongs to another chain"
    )]
    AnchorConflict(Sequence),

    /// Something attests more than the list holds.
    #[error(
        "the list holds {held} records, and lacks what is attested up to sequence {} with hash {}: \
         restore the records, or accept that sequences {range} are lost (--accept-loss {range}), or \
         name the loss that a record of the list accepts already (--accept FROM..TO); nothing was \
         written",
        lost.range.last(), lost.head_hash, range = lost.range
    )]
    Loss {
        /// What is lost.
        lost: Loss,
        /// Records in the list.
        held: u64,
    },

    /// The accepted loss is not what is lost.
    #[error(
        "{accepted} was accepted as lost, but {}; nothing was written",
        found.map_or_else(
            || "nothing is lost: repair without --accept-loss".to_owned(),
            |lost| format!("what is lost is {}", lost.range),
        )
    )]
    OtherLoss {
        /// The sequences accepted.
        accepted: LostRange,
        /// What is lost.
        found: Option<Loss>,
    },

    /// The keys agree, but the chain lacks what was attested.
    #[error(
        "the keys agree, so there is nothing to repair; but the chain lacks what is attested up to \
         sequence {} with hash {}: it was rolled back. Restore the records, or accept the loss of a \
         rollback (`haechi-store audit resume`)",
        .0.range.last(), .0.head_hash
    )]
    RolledBack(Loss),

    /// The keys changed since they were read.
    #[error(
        "the chain changed while it was verified, so a writer appends to it, or somebody restores \
         it; nothing was written: stop every writer, and repair again"
    )]
    Changed,

    /// The repair was refused, or the deadline passed.
    #[error("nothing was written: {0}")]
    NotApplied(NotApplied),

    /// The repair may have been carried out, or may still be.
    #[error(
        "outcome unknown: the repair may or may not have been carried out ({cause}); repair again \
         to find out: a repaired chain is left as it is"
    )]
    Unknown {
        /// Identifies the record of the repair.
        handle: Box<Handle>,
        /// The last failure.
        cause: Cause,
    },
}

from_cause! { RepairError: Read(ReadError), NotApplied(NotApplied) }

fn says(sequence: Option<Sequence>) -> String {
    sequence.map_or_else(String::new, |sequence| {
        format!(", which says it is sequence {sequence}")
    })
}

/// Waits between attempts.
const FAILURE_WAIT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

impl Repair {
    /// Verifies the list of `store`, a page at a time, and decides whether its
    /// head can be rebuilt. O(records); writes nothing.
    ///
    /// # Errors
    ///
    /// [`RepairError`], if the list does not verify or lacks what `evidence`, the
    /// head or `head:hash` attest.
    pub async fn examine<S: RepairStore>(
        store: &S,
        evidence: &Evidence,
    ) -> Result<Examination, RepairError> {
        let mut attested = Attested::new(evidence)?;
        let state = store.state().await.map_err(ReadError::from)?;
        attested.head = state
            .head
            .as_deref()
            .and_then(|text| Some(StoredRecord::parse_integrity(text).ok()?.position));
        attested.head_hash = state
            .head_hash
            .as_deref()
            .and_then(|text| EventHash::parse(std::str::from_utf8(text).ok()?));
        let verifier = Verifier::new().accepting(evidence.accepted.iter().copied());
        let (verifier, last) = verify(store, state.length, &mut attested, verifier).await?;
        let head = verifier.position();
        let lost = attested.lost(head, &verifier.accepted_losses())?;
        let (Some(disagreement), accepted) = (state.disagreement.clone(), evidence.accepted_loss)
        else {
            return match (lost, evidence.accepted_loss) {
                (Some(lost), _) => Err(RepairError::RolledBack(lost)),
                (None, Some(accepted)) => Err(RepairError::OtherLoss {
                    accepted,
                    found: None,
                }),
                (None, None) => Ok(Examination::Whole(head)),
            };
        };
        match (lost, accepted) {
            (None, None) => {}
            (Some(lost), Some(accepted)) if lost.range == accepted => {}
            (Some(lost), None) => {
                let held = state.length;
                return Err(RepairError::Loss { lost, held });
            }
            (found, Some(accepted)) => return Err(RepairError::OtherLoss { accepted, found }),
        }
        Ok(Examination::Diverged(Self {
            state,
            last,
            head,
            disagreement,
            lost,
        }))
    }

    /// The end of the verified list.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// How the keys disagree, without any record's content.
    #[must_use]
    pub fn disagreement(&self) -> &str {
        &self.disagreement
    }

    /// What is lost, and was accepted.
    #[must_use]
    pub fn lost(&self) -> Option<Loss> {
        self.lost
    }

    /// Appends the record of the repair, makes it the head, and returns its position and
    /// whether it is as durable as asked. Sends the same record again after a lost reply, for
    /// at most `deadline`; then it may be confirmed for as long again. Dropping the future
    /// leaves the outcome open; another examination finds it out.
    ///
    /// # Errors
    ///
    /// [`RepairError::Changed`] if anything changed since the examination.
    pub async fn carry_out<S: RepairStore>(
        &self,
        store: &S,
        clock: &impl Clock,
        entropy: &impl Entropy,
        deadline: Duration,
    ) -> Result<Appended, RepairError> {
        let (record, handle) = self.record(clock, entropy)?;
        let verified = VerifiedList {
            state: &self.state,
            last: &self.last,
        };
        let end = clock.now().saturating_add(deadline);
        let mut failures = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
        // Whether a copy was sent whose reply was lost.
        let mut open = false;
        loop {
            let (cause, permanent) = match store.repair(&verified, &record).await {
                Ok(RepairReply::Repaired) => {
                    let position = record.position();
                    let confirming = confirmed(clock, entropy, deadline, 1, || async {
                        Ok(vec![store.confirm(position).await?])
                    });
                    let durability = match store.durability() {
                        Durability::Memory => None,
                        Durability::Fsync | Durability::Replicas(_) => confirming.await.pop(),
                    };
                    return Ok(Appended {
                        position,
                        durability: durability.unwrap_or(DurabilityStatus::AsAsked),
                        anchor: AnchorStatus::NotDue,
                    });
                }
                // It tells that no copy was applied; and none can be, since the
                // list only grows.
                Ok(RepairReply::Changed) => return Err(RepairError::Changed),
                Err(AttemptError::Corrupt(corrupt)) if !open => {
                    return Err(ReadError::Corrupt(corrupt).into());
                }
                Err(AttemptError::Corrupt(corrupt)) => (Cause::new(corrupt.to_string()), true),
                Err(AttemptError::Denied(cause)) if !open => {
                    return Err(NotApplied::Refused(cause).into());
                }
                Err(AttemptError::Denied(cause)) => (cause, true),
                Err(AttemptError::Refused(cause)) => (cause, false),
                Err(AttemptError::Ambiguous(cause)) => {
                    open = true;
                    (cause, false)
                }
            };
            if !permanent && clock.now() < end {
                clock.sleep(failures.next(entropy)).await;
                continue;
            }
            if !open {
                return Err(NotApplied::Deadline(cause).into());
            }
            return Err(RepairError::Unknown {
                handle: Box::new(handle),
                cause,
            });
        }
    }

    /// The record that states the repair, and what identifies it.
    fn record(
        &self,
        clock: &impl Clock,
        entropy: &impl Entropy,
    ) -> Result<(Record, Handle), NotApplied> {
        #[derive(Serialize)]
        struct Text<'a> {
            timestamp: String,
            operation: &'static str,
            disagreement: &'a str,
            /// Records in the list before this one.
            records: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            lost: Option<Loss>,
        }
        let text = Text {
            timestamp: iso8601(clock.wall()),
            operation: REPAIRED,
            disagreement: &self.disagreement,
            records: self.state.length,
            lost: self.lost,
        };
        let mut id = [0; 16];
        entropy
            .fill(&mut id)
            .map_err(|error| NotApplied::Entropy(error.to_string()))?;
        let event = Event::from_serialize(&text)
            .map_err(|error| NotApplied::Refused(Cause::new(error.to_string())))?;
        let append_id = AppendId::from_bytes(id);
        let record = event
            .seal(Some(&append_id), &self.head)
            .map_err(|_| NotApplied::ChainFull)?;
        let handle = Handle {
            append_id,
            base: self.head,
            position: Some(record.position()),
        };
        Ok((record, handle))
    }
}

/// Verifies the first `length` elements; the verifier after it, and the last one's text.
async fn verify<S: RepairStore>(
    store: &S,
    length: u64,
    attested: &mut Attested,
    mut verifier: Verifier,
) -> Result<(Verifier, Vec<u8>), RepairError> {
    let mut pages = Pages::over(store, 0, length);
    let mut last = Vec::new();
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            let before = verifier.position();
            let faults = verifier.line(&record);
            // A verification of a file skips blank lines; here every element counts.
            let is_blank = faults.is_empty() && verifier.position() == before;
            let blank = is_blank.then(|| Fault {
                line: Some(verifier.lines()),
                sequence: None,
                reason: Reason::MissingIntegrity,
            });
            if let Some(fault) = faults.first().copied().or(blank) {
                let good = before.len();
                return Err(RepairError::Invalid { fault, good });
            }
            if let Head::At(position) = verifier.position() {
                attested.compare(position);
            }
            last = record;
        }
    }
    match verifier.lines() == length {
        true => Ok((verifier, last)),
        false => Err(RepairError::Changed),
    }
}

/// What is attested, compared with the list as it is read.
struct Attested {
    /// The positions seen are among them.
    anchors: Anchors,
    /// What `head` names, until the list is found to hold it.
    head: Option<Position>,
    /// What `head:hash` names, likewise.
    head_hash: Option<EventHash>,
    /// What the list does not hold.
    missing: Vec<Position>,
}

impl Attested {
    fn new(evidence: &Evidence) -> Result<Self, RepairError> {
        let mut anchors = evidence.anchors.clone();
        anchors.extend(evidence.seen.iter().map(|seen| Anchor {
            sequence: seen.sequence,
            event_hash: seen.event_hash,
            timestamp: String::new(),
        }));
        let conflict = anchors.conflicts().next();
        if let Some(sequence) = conflict.filter(|_| evidence.accepted.is_empty()) {
            return Err(RepairError::AnchorConflict(sequence));
        }
        Ok(Self {
            anchors,
            head: None,
            head_hash: None,
            missing: Vec::new(),
        })
    }

    /// Compares the record at `position`.
    fn compare(&mut self, position: Position) {
        // By hash: it covers the sequence, whatever head claims.
        self.head
            .take_if(|head| head.event_hash == position.event_hash);
        self.head_hash.take_if(|hash| *hash == position.event_hash);
        let sequence = position.sequence;
        let attested = self.anchors.hashes(sequence);
        let missing = attested.filter(|hash| *hash != position.event_hash);
        self.missing.extend(missing.map(|event_hash| Position {
            sequence,
            event_hash,
        }));
    }

    /// What a list that ends at `end` does not hold, after all comparisons, but for what
    /// `accepted` losses explain.
    fn lost(mut self, end: Head, accepted: &[Loss]) -> Result<Option<Loss>, RepairError> {
        let next = end.next_sequence().ok_or(NotApplied::ChainFull)?;
        let beyond = self.anchors.positions();
        self.missing
            .extend(beyond.filter(|position| position.sequence >= next));
        let of_one = |one: &Position, other: &Position| one.sequence == other.sequence;
        let mut missing = Vec::new();
        for positions in self.missing.chunk_by(of_one) {
            let hashes = positions.iter().map(|position| position.event_hash);
            let sequence = positions[0].sequence;
            if explain(accepted, sequence, hashes) {
                continue;
            }
            if positions.len() > 1 {
                return Err(RepairError::AnchorConflict(sequence));
            }
            missing.extend(positions);
        }
        missing.extend(self.head);
        let highest = |missing: &[Position]| {
            let by_sequence = |position: &&Position| position.sequence;
            missing.iter().max_by_key(by_sequence).copied()
        };
        // It names a record without its sequence: at least one record is lost.
        if let Some(event_hash) = self.head_hash
            && highest(&missing).is_none_or(|highest| highest.event_hash != event_hash)
        {
            missing.push(Position {
                sequence: next,
                event_hash,
            });
        }
        let lowest = missing.iter().map(|position| position.sequence).min();
        Ok(lowest.zip(highest(&missing)).and_then(|(lowest, highest)| {
            Some(Loss {
                range: LostRange::new(lowest.min(next), highest.sequence)?,
                head_hash: highest.event_hash,
            })
        }))
    }
}
