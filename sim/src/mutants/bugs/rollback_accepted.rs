//! A rollback of the chain is not told: never, or not where the head is as high as what
//! was seen.

use haechi_store_redis::{
    AttemptError,
    audit::store::{Batch, Reply, Seen, Tail},
    chain::{Head, Position},
};

use crate::mutants::bug::{PlantedBug, RedisAudit};

pub(in crate::mutants) struct RollbackAccepted {
    /// Whether it is told where the head is lower than what was seen.
    tells_of_lower: bool,
}

impl RollbackAccepted {
    pub(in crate::mutants) const fn always() -> Self {
        Self {
            tells_of_lower: false,
        }
    }

    pub(in crate::mutants) const fn where_regrown() -> Self {
        Self {
            tells_of_lower: true,
        }
    }

    fn tail(&self, tail: Tail, seen: Option<Position>) -> Tail {
        let is_lower = match (tail.head, seen) {
            (Head::At(head), Some(seen)) => head.sequence < seen.sequence,
            (Head::Empty, _) => true,
            (Head::At(_), None) => false,
        };
        match tail.seen {
            Seen::Gone { .. } if !(self.tells_of_lower && is_lower) => Tail {
                seen: Seen::Stands,
                ..tail
            },
            _ => tail,
        }
    }
}

impl PlantedBug for RollbackAccepted {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        Ok(match next.append(batch).await? {
            Reply::Committed => Reply::Committed,
            Reply::Conflict { tail, applied } => Reply::Conflict {
                tail: self.tail(tail, batch.seen),
                applied,
            },
        })
    }

    async fn tail<S: RedisAudit>(
        &self,
        next: &S,
        seen: Option<Position>,
    ) -> Result<Tail, AttemptError> {
        Ok(RollbackAccepted::tail(self, next.tail(seen).await?, seen))
    }
}
