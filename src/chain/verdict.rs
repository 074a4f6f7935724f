//! The result of a verification, with texts that programs may compare.

use std::fmt;

use super::json::{Refusal, RefusalKind};
use super::loss::AcceptedLoss;
use super::position::{Head, Sequence};

/// Why a record, or the chain as a whole, does not verify.
///
/// `Display` prints the reason's fixed text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The line is not a JSON object, or has no `auditIntegrity` object.
    MissingIntegrity,
    /// The sequence is not the one after the record before.
    SequenceMismatch,
    /// The previous hash is not the hash of the record before.
    PreviousHashMismatch,
    /// The record's content does not have the hash in it.
    EventHashMismatch,
    /// An anchor attests another hash for this sequence.
    AnchorHashMismatch(Sequence),
    /// Anchors attest different hashes for this sequence.
    AnchorConflict(Sequence),
    /// An anchor attests a record beyond the chain's last.
    TailTruncation {
        /// How many records the chain has.
        records: u64,
        /// The highest anchored sequence.
        attested: Sequence,
    },
    /// The line is not JSON that a record can have.
    Invalid(InvalidLine),
    /// The record is nested deeper than the limit of this verification. It may
    /// be valid; a higher limit can be set.
    Unsupported {
        /// The limit.
        max_depth: usize,
    },
}

/// Why a line cannot be a record, with a byte offset in the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidLine {
    /// It is not JSON in UTF-8.
    NotJson {
        /// Where reading stopped.
        offset: usize,
    },
    /// It names a member twice.
    RepeatedMember {
        /// The second occurrence of the name.
        offset: usize,
    },
    /// Reading one of its numbers would change it.
    NumberChanges {
        /// The offset of the number.
        offset: usize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::MissingIntegrity => f.write_str("missing auditIntegrity"),
            Reason::SequenceMismatch => f.write_str("sequence mismatch"),
            Reason::PreviousHashMismatch => f.write_str("previous hash mismatch"),
            Reason::EventHashMismatch => f.write_str("event hash mismatch"),
            Reason::AnchorHashMismatch(sequence) => {
                write!(f, "anchor hash mismatch at sequence {sequence}")
            }
            Reason::AnchorConflict(sequence) => {
                write!(f, "anchor conflict at sequence {sequence}")
            }
            Reason::TailTruncation { records, attested } => write!(
                f,
                "tail truncation: chain has {records} records but anchor attests sequence {attested}"
            ),
            Reason::Invalid(why) => write!(f, "invalid: {why}"),
            Reason::Unsupported { max_depth } => {
                write!(f, "unsupported: nested deeper than {max_depth}")
            }
        }
    }
}

impl fmt::Display for InvalidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidLine::NotJson { offset } => write!(f, "not JSON at byte {offset}"),
            InvalidLine::RepeatedMember { offset } => {
                write!(f, "repeated member name at byte {offset}")
            }
            InvalidLine::NumberChanges { offset } => {
                write!(f, "number that reading changes at byte {offset}")
            }
        }
    }
}

impl Reason {
    pub(crate) fn of_refusal(refusal: Refusal, max_depth: usize) -> Reason {
        let offset = refusal.offset;
        match refusal.kind {
            RefusalKind::TooDeep => Reason::Unsupported { max_depth },
            RefusalKind::NotJson => Reason::Invalid(InvalidLine::NotJson { offset }),
            RefusalKind::Repeated => Reason::Invalid(InvalidLine::RepeatedMember { offset }),
            RefusalKind::NumberChanges | RefusalKind::NumberOverflows => {
                Reason::Invalid(InvalidLine::NumberChanges { offset })
            }
        }
    }
}

/// One fault and its location.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The line, counted from 1 with blank lines; `None` if the fault concerns
    /// the chain's end.
    pub line: Option<u64>,
    /// The sequence in the record on that line, if readable, or the one that an
    /// anchor attests.
    pub sequence: Option<Sequence>,
    /// What is wrong.
    pub reason: Reason,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.reason),
            None => fmt::Display::fmt(&self.reason, f),
        }
    }
}

/// A summary of the anchors given to a verification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnchorSummary {
    /// How many sequences are anchored.
    pub count: u64,
    /// The highest of them; `None` when there is none.
    pub last_sequence: Option<Sequence>,
}

/// The result of a verification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// How many records were valid before the first fault; in a valid chain,
    /// all of them.
    pub records: u64,
    /// How many records were read, valid or not.
    pub read: u64,
    /// How many lines were read, including blank ones.
    pub lines: u64,
    /// The last record whose sequence and hash could be read.
    pub head: Head,
    /// The first fault; `None` in a valid chain.
    pub fault: Option<Fault>,
    /// How many faults there are in all; at most 1 unless the verification
    /// kept going.
    pub faults: u64,
    /// The faults of the chain's end, which no line returned.
    pub closing: Vec<Fault>,
    /// The anchors; `None` if none were given.
    pub anchored: Option<AnchorSummary>,
    /// How many lines of the anchor files were skipped as invalid.
    pub torn_anchors: u64,
    /// The losses that records of the chain accept.
    pub accepted: Vec<AcceptedLoss>,
}

impl Verdict {
    /// Whether the chain verifies.
    pub fn is_valid(&self) -> bool {
        self.fault.is_none()
    }
}
