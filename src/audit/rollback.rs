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

impl AcceptedLosses {
    fn are_none(&self) -> bool {
        self.ranges.is_empty() && self.keys.is_none()
    }

    /// Whether `accepted` is a loss of what stood after `standing` up to `seen`,
    /// which this process accepts.
    async fn include(
        &self,
        accepted: &AcceptedLoss,
        standing: Option<Position>,
        seen: Position,
    ) -> bool {
        let AcceptedLoss { loss, mac, .. } = accepted;
        let names_seen = loss.range.last() == seen.sequence && loss.head_hash == seen.event_hash;
        if !loss.range.contains(seen.sequence)
            || loss.range.last() == seen.sequence && !names_seen
            || standing.is_some_and(|standing| loss.range.first() <= standing.sequence)
        {
            return false;
        }
        if self.ranges.contains(&loss.range) {
            return true;
        }
        // Without anything that stands, it may be the record of an earlier loss,
        // which this process has seen, unless it names what is gone now.
        if standing.is_none() && !names_seen {
            return false;
        }
        match (&self.keys, mac) {
            (Some(keys), Some(mac)) => keys.verifies(loss, mac).await,
            _ => false,
        }
    }
}

/// Pages of the chain that one look reads at most; the next look goes on from
/// there.
const PAGES: usize = 64;
/// Records in a page at most.
const PAGE: u64 = 256;

/// What was found.
pub(super) enum Found {
    /// The loss is accepted: these checkpoints stand, the accepting record and
    /// the head among them.
    Accepted(Checkpoints),
    /// Not up to this record.
    NotYet(Option<Position>),
}

/// Looks for a record of `tail`'s chain that accepts the loss of the highest of
/// `checkpoints`; `searched` is how far an earlier look came. A look costs a few
/// reads, at most [`PAGES`] pages.
pub(super) async fn look<S: AuditStore>(
    store: &S,
    losses: &AcceptedLosses,
    checkpoints: &Checkpoints,
    tail: Tail,
    searched: Option<Position>,
) -> Result<Option<Found>, ReadError> {
    let (false, Some(seen), Some(head)) =
        (losses.are_none(), checkpoints.last(), tail.head.position())
    else {
        return Ok(None);
    };
    let (standing, after) = standing(store, checkpoints).await?;
    let mut searched = match searched {
        // It may have been lost, too, and another record stands there.
        Some(position) if store.tail(Some(position)).await?.seen == Seen::Stands => Some(position),
        _ => after,
    };
    let trimmed = tail.head.len().saturating_sub(tail.length);
    let read = searched.map_or(0, |searched| searched.sequence.get());
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
            searched = stored.map(|stored| stored.position).or(searched);
            let Some(accepted) = AcceptedLoss::of_record(&record) else {
                continue;
            };
            // Of what was lost since, it tells nothing.
            if checkpoints.losses().contains(&accepted.loss) {
                continue;
            }
            if losses.include(&accepted, after, seen).await {
                let mut stand = checkpoints.clone();
                stand.truncate(standing);
                stand.went_on(accepted.loss);
                stand.add(accepted.position);
                stand.add(head);
                return Ok(Some(Found::Accepted(stand)));
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
        Some(corrupt) => Err(corrupt.into()),
        None => Ok(tail),
    }
}

/// The rollback that `tail` tells of to a process that has seen `seen`.
pub(super) fn rolled_back(tail: Tail, seen: Option<Position>) -> Option<Corrupt> {
    let (Seen::Gone { found }, Some(seen)) = (tail.seen, seen) else {
        return None;
    };
    Some(Corrupt::RolledBack(Box::new(RolledBack {
        seen,
        found,
        met: tail.head,
    })))
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
    /// same end, of what still stands, or of what was not seen.
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
        for (standing, seen, expected) in [
            (Some(position(4, 4)), position(9, 9), true),
            (None, position(9, 9), true),
            (Some(position(4, 4)), position(7, 7), true),
            (Some(position(4, 4)), position(9, 8), false),
            (Some(position(5, 5)), position(9, 9), false),
            (Some(position(4, 4)), position(10, 9), false),
            (None, position(4, 4), false),
        ] {
            let included = losses.include(&accepted, standing, seen).await;
            assert_eq!(included, expected, "{standing:?} {seen:?}");
        }
    }
}
