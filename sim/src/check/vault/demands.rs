//! What was seen that no acknowledged write explains: a search tries first, for an
//! empty slot, whatever would explain it. Only an order of trying: no verdict
//! depends on it.

use super::plan::{Plan, Slot};

/// How many empty slots a demand is noted at.
const SPREAD: usize = 64;

pub(super) struct Demands {
    /// Slot, the slot by which it was seen, token, value; sorted.
    seen: Vec<(u32, u32, u32, u32)>,
}

impl Demands {
    /// Linear in what was read and written, but for sorting.
    pub(super) fn new(plan: &Plan<'_>) -> Self {
        let is_gap = |index: &usize| matches!(plan.slots[*index].0, Slot::Gap { .. });
        let gaps: Vec<u32> = (0..plan.slots.len())
            .filter(is_gap)
            .map(|index| index as u32)
            .collect();
        let mut seen = Vec::new();
        if gaps.is_empty() || plan.writers.is_empty() {
            return Demands { seen };
        }
        let mut cells = vec![(0u32, 0u32); plan.names.len()];
        let mut note = |(value, from): &mut (u32, u32), token: u32, found: u32, slot: u32| {
            if *value == found {
                return;
            }
            let first = gaps.partition_point(|gap| *gap < *from);
            let within = gaps[first..].iter().take_while(|gap| **gap < slot);
            for gap in within.take(SPREAD) {
                seen.push((*gap, slot, token, found));
            }
            (*value, *from) = (found, slot);
        };
        for ((slot, _), index) in plan.slots.iter().zip(0u32..) {
            let Slot::Pinned(mv) = *slot else { continue };
            for (token, value) in plan.reads(mv) {
                note(&mut cells[token as usize], token, value, index);
            }
            for (token, value) in plan.writes(mv) {
                cells[token as usize] = (value, index + 1);
            }
        }
        for (value, token) in plan.found.iter().zip(0u32..) {
            let slot = plan.slots.len() as u32;
            note(&mut cells[token as usize], token, *value, slot);
        }
        seen.sort_unstable();
        Demands { seen }
    }

    /// Who might fill a slot, by what was seen soonest after it.
    pub(super) fn likely(&self, plan: &Plan<'_>, slot: u32) -> Vec<u32> {
        let from = self.seen.partition_point(|demand| demand.0 < slot);
        let here = self.seen[from..]
            .iter()
            .take_while(|demand| demand.0 == slot);
        let mut likely = Vec::new();
        for (_, _, token, value) in here {
            for mv in plan.writers.get(&(*token, *value)).into_iter().flatten() {
                if !likely.contains(mv) {
                    likely.push(*mv);
                }
            }
        }
        likely
    }
}
