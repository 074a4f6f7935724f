//! What a process knows of the chain, and its comparison with the chain: before a head is
//! appended onto, the chain has all that is known of it, or accepts the loss of it.

use super::{
    append_loop::{AppendLoop, BatchOutcome, Retry},
    rollback::{self, Found, Searched},
    store::{AuditStore, Seen, Tail},
};
use crate::{
    chain::{Checkpoints, Head, Loss, Position},
    clock::Clock,
    durability::Confirmations,
    entropy::Entropy,
    error::{AttemptError, Corrupt, NotApplied, RolledBack},
};

/// What is known of the chain from one source.
#[derive(Default)]
pub(super) struct Known {
    pub(super) seen: Checkpoints,
    /// The rollback that was found, until what was seen is there again or its
    /// loss is accepted.
    pub(super) rolled_back: Option<Box<RolledBack>>,
    /// How far the chain was searched for the record that accepts its loss.
    searched: Searched,
}

impl From<Checkpoints> for Known {
    fn from(seen: Checkpoints) -> Self {
        Self {
            seen,
            ..Self::default()
        }
    }
}

impl<S: AuditStore, C: Clock, E: Entropy> AppendLoop<S, C, E> {
    /// The cached head, or else the one that is read, if the chain has what is known
    /// of it.
    pub(super) async fn find_head(&mut self) -> Result<Head, BatchOutcome> {
        self.learn();
        if let Some(head) = self.head {
            return Ok(head);
        }
        let mut head = self.compare(&[]).await?;
        while !self.others.is_empty() {
            let went_on = self.known.seen.losses().to_vec();
            self.swap_known();
            let compared = self.compare(&went_on).await;
            self.swap_known();
            if compared.is_err() {
                self.head = None;
            }
            let compared = compared?;
            if let Some(other) = self.others.pop() {
                self.known.seen.merge(&other.seen);
            }
            if compared != head {
                // What was compared with an earlier end may be gone from this one.
                head = self.compare(&[]).await?;
            }
            self.keep_seen();
        }
        Ok(head)
    }

    /// Whether there is news of what another sink of this process has seen, to be compared
    /// before the next batch.
    pub(super) fn learn(&mut self) -> bool {
        let kept = self.kept.as_ref().filter(|_| self.others.is_empty());
        let Some(theirs) = kept.and_then(|kept| kept.learn(&self.known.seen)) else {
            return false;
        };
        self.others.push(theirs.into());
        self.head = None;
        true
    }

    /// Exchanges what is compared with the chain for the last of the others.
    fn swap_known(&mut self) {
        if let Some(other) = self.others.last_mut() {
            std::mem::swap(&mut self.known, other);
        }
    }

    /// The chain's end, if it has what is known, or accepts the loss of it; or if it is
    /// of a loss from which this process `went_on` already.
    async fn compare(&mut self, went_on: &[Loss]) -> Result<Head, BatchOutcome> {
        // A rollback is looked at again before it is told; this look may be the second.
        let mut looked = self.known.rolled_back.is_some();
        let (tail, mut rolled_back) = loop {
            let tail = self.read_tail().await?;
            match self.adopt(tail) {
                Ok(()) => return Ok(tail.head),
                Err(rolled_back) if looked => break (tail, rolled_back),
                Err(_) => looked = true,
            }
        };
        let is_known = went_on.iter().any(|loss| loss.covers(rolled_back.seen));
        if !is_known {
            // The search for the record that accepts it may take longer than callers wait.
            let refusal = Corrupt::RolledBack(rolled_back.clone());
            self.queue.0.set_refusal(Some(refusal));
        }
        let going_on = match is_known {
            true => Some(tail.head.position().into_iter().collect()),
            false => self.accepted(tail, &mut rolled_back).await,
        };
        let Some(going_on) = going_on else {
            self.known.rolled_back = Some(rolled_back.clone());
            return Err(BatchOutcome::Fatal(Corrupt::RolledBack(rolled_back).into()));
        };
        self.known = going_on.into();
        self.keep_seen();
        if let Some(anchors) = &mut self.anchors {
            anchors.begin_anew(tail.head);
        }
        self.head = Some(tail.head);
        Ok(tail.head)
    }

    /// What is known from then on, if a record of `tail`'s chain accepts the loss.
    async fn accepted(&mut self, tail: Tail, rolled_back: &mut RolledBack) -> Option<Checkpoints> {
        let seen = &self.known.seen;
        let stand = rollback::standing(&*self.store, seen).await.ok()?;
        rolled_back.standing = stand.1;
        let searched = std::mem::take(&mut self.known.searched);
        let (store, accepted) = (&*self.store, &self.accepted);
        let found = rollback::look(store, accepted, seen, stand, tail, searched.clone()).await;
        self.known.searched = match found {
            Ok(Some(Found::Accepted(going_on))) => return Some(going_on),
            Ok(Some(Found::NotYet(searched))) => searched,
            Ok(None) | Err(_) => searched,
        };
        None
    }

    async fn read_tail(&mut self) -> Result<Tail, BatchOutcome> {
        match self.store.tail(self.known.seen.last()).await {
            Ok(tail) => Ok(tail),
            Err(AttemptError::Refused(cause) | AttemptError::Ambiguous(cause)) => {
                Err(BatchOutcome::NotApplied(Retry::AfterFailure(cause)))
            }
            Err(AttemptError::Denied(cause)) => {
                Err(BatchOutcome::Fatal(NotApplied::Refused(cause).into()))
            }
            Err(AttemptError::Corrupt(corrupt)) => Err(BatchOutcome::Fatal(corrupt.into())),
        }
    }

    /// Adopts the chain's end, unless the chain was rolled back.
    pub(super) fn adopt(&mut self, tail: Tail) -> Result<(), Box<RolledBack>> {
        // What was trimmed cannot be compared: no answer ends a rollback.
        if tail.seen != Seen::Trimmed {
            self.known.rolled_back = rollback::rolled_back(tail, self.known.seen.last());
        }
        if let Some(rolled_back) = self.known.rolled_back.clone() {
            // Compared again at the next append: an operator may restore the data.
            self.head = None;
            // What is appended from then on need not be linked to what was.
            self.confirmations = Confirmations::default();
            return Err(rolled_back);
        }
        self.known.searched = Searched::default();
        self.head = Some(tail.head);
        self.set_length(tail.length);
        if let Head::At(met) = tail.head {
            self.saw(met);
        }
        Ok(())
    }

    /// The list in Redis has so many records now.
    pub(super) fn set_length(&mut self, length: u64) {
        self.length = length;
        self.telemetry.records(length);
    }

    /// The chain ends at `position` now.
    pub(super) fn saw(&mut self, position: Position) {
        self.head = Some(Head::At(position));
        self.telemetry.head(position.sequence.get());
        if let Some(anchors) = &self.anchors {
            anchors.saw(position);
        }
        if self.known.seen.last() != Some(position) {
            self.known.seen.add(position);
            self.keep_seen();
        }
    }

    /// Keeps what is known, once all of it was compared.
    fn keep_seen(&self) {
        if let Some(kept) = self.kept.as_ref().filter(|_| self.others.is_empty()) {
            kept.set_chain(&self.known.seen);
        }
    }
}
