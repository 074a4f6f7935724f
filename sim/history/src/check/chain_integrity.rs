//! `chain_integrity`: the final chain's sequences and links.

use std::fmt::Write as _;

use crate::Symbol;

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::{View, violation};

/// Linear in the chain. One break is reported once, where it is, and not again at
/// every record after it.
pub(super) fn check(view: &View<'_>, violations: &mut Vec<Violation>) {
    let mut before: Option<(u64, Symbol)> = None;
    for (index, record) in view.chain.iter().enumerate() {
        let mut reason = String::new();
        let expected = before.map_or(Some(1), |(sequence, _)| sequence.checked_add(1));
        if Some(record.sequence) != expected {
            let _ = write!(reason, "states sequence {}", record.sequence);
            if let Some(expected) = expected {
                let _ = write!(reason, " where {expected} follows");
            }
        }
        let previous = before.map(|(_, hash)| hash);
        if record.previous_hash != previous {
            let name = |hash: Option<Symbol>| hash.map_or("null", |hash| view.text(hash));
            let (states, follows) = (name(record.previous_hash), name(previous));
            let and = if reason.is_empty() { "" } else { ", and " };
            let _ = write!(reason, "{and}states previous hash {states}, not {follows}");
        }
        if let Some(first) = view
            .position(record.event_hash)
            .filter(|first| *first != index)
        {
            let and = if reason.is_empty() { "" } else { ", and " };
            let _ = write!(reason, "{and}has the hash of record {}", first + 1);
        }
        if !reason.is_empty() {
            let mut ops = view.owner_ids(index);
            if let Some(before) = index.checked_sub(1) {
                ops.extend(view.owner_ids(before));
            }
            let reason = format!("record {} of the final chain {reason}", index + 1);
            violations.push(violation(Invariant::ChainIntegrity, ops, reason));
        }
        before = Some((record.sequence, record.event_hash));
    }
}
