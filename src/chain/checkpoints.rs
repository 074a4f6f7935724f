//! Positions of the chain that a process has seen.

use super::{Loss, Position};

/// Some of the positions that a process has seen, in order: the highest, and
/// fewer and fewer before it. After a rollback they show what still stands. At
/// most about 54, whatever the chain's length. And the losses from which it went on:
/// none is accepted a second time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoints {
    positions: Vec<Position>,
    losses: Vec<Loss>,
}

impl Checkpoints {
    /// The highest position.
    #[must_use]
    pub fn last(&self) -> Option<Position> {
        self.positions.last().copied()
    }

    /// All of them, in order.
    #[must_use]
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// Whether a chain that has all of these has all of `other`'s, too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other
            .last()
            .is_none_or(|last| self.positions.contains(&last))
    }

    /// The losses from which the process went on.
    #[must_use]
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// The process went on from `loss`.
    pub(crate) fn went_on(&mut self, loss: Loss) {
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    /// Adds a position of the same chain. One that is not higher than the last
    /// changes nothing.
    pub fn add(&mut self, position: Position) {
        if self
            .last()
            .is_some_and(|last| last.sequence >= position.sequence)
        {
            return;
        }
        self.positions.push(position);
        // The oldest of those whose distance from the highest is between two
        // powers of two.
        let mut kept = None;
        self.positions.retain(|earlier| {
            let distance = position.sequence.get() - earlier.sequence.get();
            let class = distance.checked_ilog2();
            let is_first = kept != Some(class);
            kept = Some(class);
            is_first
        });
    }

    /// Adds what `other` has of the same chain; where the two differ, this one counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        let mut positions = self.positions.clone();
        positions.extend(&other.positions);
        // Stable: of one sequence, this one's comes first.
        positions.sort_by_key(|position| position.sequence);
        let losses = std::mem::take(&mut self.losses);
        *self = Self::from_iter(positions);
        for loss in losses.into_iter().chain(other.losses.iter().copied()) {
            self.went_on(loss);
        }
    }

    /// Keeps the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.positions.truncate(count);
    }
}

impl FromIterator<Position> for Checkpoints {
    fn from_iter<I: IntoIterator<Item = Position>>(positions: I) -> Self {
        let mut checkpoints = Self::default();
        positions
            .into_iter()
            .for_each(|position| checkpoints.add(position));
        checkpoints
    }
}

impl From<Position> for Checkpoints {
    fn from(position: Position) -> Self {
        Self::from_iter([position])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{EventHash, Sequence};

    /// Would catch checkpoints that grow with the chain, and gaps near the head
    /// or in proportion to the distance.
    #[test]
    fn checkpoints_are_dense_near_the_head() {
        let position = |sequence| Position {
            sequence: Sequence::new(sequence).unwrap(),
            event_hash: EventHash::from_bytes([0; 32]),
        };
        let mut checkpoints = Checkpoints::default();
        for head in 1..=10_000 {
            checkpoints.add(position(head));
            checkpoints.add(position(head.div_ceil(2)));
            let kept: Vec<u64> = checkpoints
                .positions()
                .iter()
                .map(|kept| kept.sequence.get())
                .collect();
            assert_eq!((kept[0], kept[kept.len() - 1]), (1, head));
            assert!(kept.len() < 20, "{kept:?}");
            for pair in kept.windows(2) {
                let distance = head - pair[0];
                assert!(pair[1] - pair[0] <= (distance * 7 / 8).max(1), "{kept:?}");
            }
        }
    }
}
