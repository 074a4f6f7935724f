//! Going on after a rollback: which losses a process accepts, and the search for
//! the record that says so.
//!
//! A process that has seen what is gone goes on only when the chain has a record
//! that accepts the loss, so that the chain itself tells of it. Who can write
//! Redis can write such a record, too: it counts only with a code under a key
//! that the replicas share, or if the same loss was accepted for this process.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    // Not `crate::sync`: it shares what has its own synchronization.
    sync::Arc,
};

use super::store::{AuditStore, Seen, Tail};
use crate::{
    chain::{AcceptedLoss, Checkpoints, Loss, LostRange, Position, StoredRecord},
    error::{Corrupt, ReadError, RolledBack},
};

/// The keys that the replicas of a service share, by which they recognize each
/// other's acceptance of a loss.
pub trait LossKeys: Send + Sync {
    /// Whether `mac` is a code of `loss` under one of the keys. A failure counts
    /// as no.
    fn verifies<'a>(
        &'a self,
        loss: &'a Loss,
        mac: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
}

/// The losses that a process accepts, once the chain has a record of them.
#[derive(Clone, Default)]
pub struct AcceptedLosses {
    /// Those that were accepted for this process.
    pub ranges: Vec<LostRange>,
    /// With keys, also those whose record was made under one of them.
    pub keys: Option<Arc<dyn LossKeys>>,
}

impl fmt::Debug for AcceptedLosses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptedLosses")
            .field("ranges", &self.ranges)
            .field("keys", &self.keys.is_some())
            .finish()
    }
}

/// Whether a process goes on from a record that accepts a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    /// It would, but for the record's code, which is of no key that is known now.
    Unverified,
    Other,
}

impl AcceptedLosses {
    fn are_none(&self) -> bool {
        self.ranges.is_empty() && self.keys.is_none()
    }

    /// Whether `accepted` is a loss of what stood after `standing`, of `gone` and of what
    /// followed that up to `seen`, which this process accepts.
    async fn include(
        &self,
        accepted: &AcceptedLoss,
        standing: Option<Position>,
        gone: Position,
        seen: Position,
    ) -> Verdict {
        let AcceptedLoss { loss, mac, .. } = accepted;
        let first = loss.range.first();
        if !loss.covers(seen)
            || standing.is_some_and(|standing| first <= standing.sequence)
            || first > gone.sequence
        {
            return Verdict::Other;
        }
        if self.ranges.contains(&loss.range) {
            return Verdict::Accepted;
        }
        let names_seen = loss.range.last() == seen.sequence;
        // Without anything that stands, it may be the record of an earlier loss,
        // which this process has seen, unless it names what is gone now.
        if standing.is_none() && !names_seen {
            return Verdict::Other;
        }
        match (&self.keys, mac) {
            (Some(keys), Some(mac)) => match keys.verifies(loss, mac).await {
                true => Verdict::Accepted,
                false => Verdict::Unverified,
            },
            _ => Verdict::Other,
        }
    }
}

/// Pages of the chain that one look reads at most; the next look goes on from
/// there.
const PAGES: usize = 64;
/// Records in a page at most.
const PAGE: u64 = 256;
/// Records whose code is checked again at each look.
const UNVERIFIED: usize = 64;

/// How far the chain was searched for the record that accepts a loss.
#[derive(Clone, Debug, Default)]
pub(super) struct Searched {
    up_to: Option<Position>,
    /// The newest that would accept it, but for their code: the key may come later.
    unverified: Vec<AcceptedLoss>,
}

/// What was found.
pub(super) enum Found {
    /// The loss is accepted: these checkpoints stand, the accepting record and
    /// the head among them.
    Accepted(Checkpoints),
    /// Not as far as this.
    NotYet(Searched),
}

/// Looks for a record of `tail`'s chain that accepts the loss of the highest of
/// `checkpoints`, of which `stand` [stand](standing); `searched` is how far an earlier
/// look came. A look costs a few reads, at most [`PAGES`] pages.
pub(super) async fn look<S: AuditStore>(
    store: &S,
    losses: &AcceptedLosses,
    checkpoints: &Checkpoints,
    (stand, after): (usize, Option<Position>),
    tail: Tail,
    searched: Searched,
) -> Result<Option<Found>, ReadError> {
    let (false, Some(seen), Some(head)) =
        (losses.are_none(), checkpoints.last(), tail.head.position())
    else {
        return Ok(None);
    };
    // The first checkpoint that is gone.
    let gone = checkpoints.positions().get(stand).copied().unwrap_or(seen);
    let go_on = |accepted: &AcceptedLoss| {
        let mut going_on = checkpoints.clone();
        going_on.truncate(stand);
        going_on.went_on(accepted.loss);
        going_on.add(accepted.position);
        going_on.add(head);
        Ok(Some(Found::Accepted(going_on)))
    };
    let mut searched = match searched.up_to {
        // It may have been lost, too, and another record stands there.
        Some(position) if store.tail(Some(position)).await?.seen == Seen::Stands => searched,
        _ => Searched {
            up_to: after,
            unverified: Vec::new(),
        },
    };
    for accepted in &searched.unverified {
        if losses.include(accepted, after, gone, seen).await == Verdict::Accepted {
            return go_on(accepted);
        }
    }
    let trimmed = tail.head.len().saturating_sub(tail.length);
    let read = searched.up_to.map_or(0, |up_to| up_to.sequence.get());
    let mut start = read.saturating_sub(trimmed);
    for _ in 0..PAGES {
        let page = store
            .read(start, tail.length.min(start.saturating_add(PAGE)))
            .await?;
        if page.is_empty() {
            break;
        }
        start += page.len() as u64;
        for record in page {
            let stored = StoredRecord::parse(&record).ok();
            searched.up_to = stored.map(|stored| stored.position).or(searched.up_to);
            let Some(accepted) = AcceptedLoss::of_record(&record) else {
                continue;
            };
            // Of what was lost since, it tells nothing.
            if checkpoints.losses().contains(&accepted.loss) {
                continue;
            }
            match losses.include(&accepted, after, gone, seen).await {
                Verdict::Accepted => return go_on(&accepted),
                Verdict::Unverified => {
                    if searched.unverified.len() == UNVERIFIED {
                        searched.unverified.remove(0);
                    }
                    searched.unverified.push(accepted);
                }
                Verdict::Other => {}
            }
        }
    }
    Ok(Some(Found::NotYet(searched)))
}

/// The end of the chain, if it has the highest of `checkpoints`.
///
/// # Errors
///
/// [`Corrupt::RolledBack`], twice looked at, if it has not.
pub(crate) async fn check<S: AuditStore>(
    store: &S,
    checkpoints: &Checkpoints,
) -> Result<Tail, ReadError> {
    let seen = checkpoints.last();
    let mut tail = store.tail(seen).await?;
    if matches!(tail.seen, Seen::Gone { .. }) {
        tail = store.tail(seen).await?;
    }
    match rolled_back(tail, seen) {
        Some(mut rolled_back) => {
            rolled_back.standing = standing(store, checkpoints).await?.1;
            Err(Corrupt::RolledBack(rolled_back).into())
        }
        None => Ok(tail),
    }
}

/// The rollback that `tail` tells of to a process that has seen `seen`.
pub(super) fn rolled_back(tail: Tail, seen: Option<Position>) -> Option<Box<RolledBack>> {
    let (Seen::Gone { found }, Some(seen)) = (tail.seen, seen) else {
        return None;
    };
    Some(Box::new(RolledBack {
        seen,
        found,
        met: tail.head,
        standing: None,
    }))
}

/// How many of the checkpoints stand, and the highest of them. One that stands
/// proves those before it, so a few reads are enough.
pub(crate) async fn standing<S: AuditStore>(
    store: &S,
    checkpoints: &Checkpoints,
) -> Result<(usize, Option<Position>), ReadError> {
    let positions = checkpoints.positions();
    let (mut stand, mut gone) = (0, positions.len());
    while stand < gone {
        let middle = stand + (gone - stand) / 2;
        let tail = store.tail(Some(positions[middle])).await;
        match tail.map_err(ReadError::from)?.seen {
            // What was trimmed is not known to be gone.
            Seen::Stands | Seen::Trimmed => stand = middle + 1,
            Seen::Gone { .. } => gone = middle,
        }
    }
    Ok((stand, stand.checked_sub(1).map(|last| positions[last])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{EventHash, Sequence};

    fn position(sequence: u64, hash: u8) -> Position {
        Position {
            sequence: Sequence::new(sequence).unwrap(),
            event_hash: EventHash::from_bytes([hash; 32]),
        }
    }

    /// Would catch a loss that is taken for another one: of another history with the
    /// same end, of what still stands, of less than is gone, or of what was not seen.
    #[tokio::test]
    async fn a_loss_is_of_what_was_seen_and_is_gone() {
        let losses = AcceptedLosses {
            ranges: vec!["5..9".parse().unwrap()],
            keys: None,
        };
        let accepted = AcceptedLoss {
            position: position(5, 1),
            loss: Loss {
                range: "5..9".parse().unwrap(),
                head_hash: position(9, 9).event_hash,
            },
            mac: None,
        };
        for (standing, gone, seen, expected) in [
            (Some(position(4, 4)), 9, position(9, 9), true),
            (None, 9, position(9, 9), true),
            (Some(position(4, 4)), 7, position(7, 7), true),
            (None, 5, position(9, 9), true),
            (None, 4, position(9, 9), false),
            (Some(position(4, 4)), 9, position(9, 8), false),
            (Some(position(5, 5)), 9, position(9, 9), false),
            (Some(position(4, 4)), 10, position(10, 9), false),
            (None, 4, position(4, 4), false),
        ] {
            let first = position(gone, 1);
            let included = losses.include(&accepted, standing, first, seen).await;
            let is_accepted = included == Verdict::Accepted;
            assert_eq!(is_accepted, expected, "{standing:?} {gone} {seen:?}");
        }
    }
}
