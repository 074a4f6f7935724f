//! Writes anchors beside the append loop, which a slow medium must not delay.
//!
//! The loop passes on what it has appended; the writer gives it to the
//! [`AnchorSink`] on another thread, in order. Anchors that the sink lacks (it
//! failed, the queue was full, or the chain grew while it was not in use) are
//! read from the stored chain, link by link, before the next ones are written.

use std::{io, num::NonZeroU64};

use tokio::sync::{mpsc, oneshot};

use super::{
    AnchorSink, AnchorStatus, Pages,
    queue::Queue,
    store::{AuditStore, Seen},
};
use crate::{
    blocking::{RunBlocking, on_thread, returned},
    chain::{Anchor, Head, Position, Sequence, Verifier},
    clock::{Clock, iso8601},
    durability::{Confirming, Durability, DurabilityStatus},
    error::ReadError,
    sync::{Arc, Mutex, lock},
    telemetry::Telemetry,
};

/// Batches whose anchors may wait; those of further ones are missing until the
/// writer reads the chain.
const WAITING: usize = 64;

/// An anchor and the caller that waits for it.
pub(super) type Due = (Anchor, oneshot::Sender<AnchorStatus>);

/// What was appended in one batch and is to be anchored.
struct DueBatch {
    /// The chain's end before it.
    base: Head,
    /// Whether there are more anchors due after `base` than these.
    has_gap: bool,
    /// Whether it is the first after a loss that was accepted: what the sink has may
    /// be of what was lost, so its anchors begin anew.
    begins_anew: bool,
    due: Vec<Due>,
    /// An anchor is written only once its record is as durable as asked.
    confirming: Option<Confirming>,
}

/// The append loop's end of the queue; dropping it ends the writer.
pub(super) struct AnchorQueue {
    every: NonZeroU64,
    batches: mpsc::Sender<DueBatch>,
    /// The chain's end before the first batch that was not passed on.
    left_out: Option<Head>,
    begins_anew: bool,
    read: ReadAnchor,
}

/// The last missing anchor that was read from the chain and written, until the append loop
/// takes it: it may not have met that record.
type ReadAnchor = Arc<Mutex<Option<Position>>>;

/// The other end; see [`AnchorWriter::run`].
pub(super) struct AnchorWriter {
    /// `None` while a thread has it, and once it has panicked there.
    sink: Option<Box<dyn AnchorSink>>,
    every: NonZeroU64,
    batches: mpsc::Receiver<DueBatch>,
    /// The last anchor in the sink.
    last: Option<Position>,
    /// Anchors after this position are missing.
    behind: Option<Head>,
    /// The first of them, if the sink refused it.
    refused: Option<Anchor>,
    read: ReadAnchor,
    telemetry: Telemetry,
    pub(super) run_blocking: RunBlocking,
}

pub(super) fn anchoring(
    sink: Box<dyn AnchorSink>,
    every: NonZeroU64,
    telemetry: Telemetry,
) -> (AnchorQueue, AnchorWriter) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let last = sink.last();
    let read = ReadAnchor::default();
    let queue = AnchorQueue {
        every,
        batches: sender,
        left_out: None,
        begins_anew: false,
        read: read.clone(),
    };
    let writer = AnchorWriter {
        sink: Some(sink),
        every,
        batches: receiver,
        last,
        behind: last.map(Head::At),
        refused: None,
        read,
        telemetry,
        run_blocking: std::sync::Arc::new(on_thread),
    };
    (queue, writer)
}

fn is_due(position: Position, every: NonZeroU64) -> bool {
    position.sequence.get().is_multiple_of(every.get())
}

fn anchor(position: Position, clock: &impl Clock) -> Anchor {
    Anchor {
        sequence: position.sequence,
        event_hash: position.event_hash,
        timestamp: iso8601(clock.wall()),
    }
}

impl AnchorQueue {
    /// The anchor of the record at `position`, and how its caller hears of it;
    /// `None` if it is not due.
    pub(super) fn due(
        &self,
        position: Position,
        clock: &impl Clock,
    ) -> Option<(Due, oneshot::Receiver<AnchorStatus>)> {
        is_due(position, self.every).then(|| {
            let (told, status) = oneshot::channel();
            ((anchor(position, clock), told), status)
        })
    }

    /// The last missing anchor that was read and written since the last call.
    pub(super) fn take_read(&self) -> Option<Position> {
        lock(&self.read).take()
    }

    /// The loss of what may be in the sink was accepted.
    pub(super) fn begin_anew(&mut self) {
        self.left_out = None;
        self.begins_anew = true;
    }

    /// Passes on what is due of a batch that was appended to `base`.
    pub(super) fn push(&mut self, base: Head, due: Vec<Due>, confirming: Option<Confirming>) {
        if due.is_empty() {
            return;
        }
        let left_out = self.left_out.take();
        let batch = DueBatch {
            base: left_out.unwrap_or(base),
            has_gap: left_out.is_some(),
            begins_anew: std::mem::take(&mut self.begins_anew),
            due,
            confirming,
        };
        let Err(refused) = self.batches.try_send(batch) else {
            return;
        };
        let batch = refused.into_inner();
        self.left_out = Some(batch.base);
        self.begins_anew = batch.begins_anew;
        let why = "the anchor sink is slow, and too many anchors wait for it";
        tell(batch.due, |_| AnchorStatus::Missing(why.to_owned()));
    }
}

fn tell(due: Vec<Due>, status: impl Fn(&Anchor) -> AnchorStatus) {
    for (anchor, told) in due {
        // The caller may have left.
        let _ = told.send(status(&anchor));
    }
}

impl AnchorWriter {
    /// Writes what is missing, then what is passed on, until the queue's other
    /// end is dropped. Counts in `stats`.
    pub(super) async fn run(mut self, store: &impl AuditStore, clock: &impl Clock, stats: &Queue) {
        if let Err(why) = self.catch_up(store, clock, stats).await {
            self.failed(stats, &why);
        }
        while let Some(batch) = self.batches.recv().await {
            if batch.begins_anew {
                (self.last, self.behind, self.refused) = (None, None, None);
            }
            if batch.has_gap {
                self.behind.get_or_insert(batch.base);
            }
            let had = self.last;
            if let Some(last) = had
                && let Some((first, _)) = batch.due.first()
                && self.has(first.sequence)
            {
                // What was read may have been lost before these records were appended:
                // they are anchored if the record of the last anchor still stands.
                self.behind = Some(Head::At(last));
            }
            let durability = match batch.confirming {
                Some(confirming) => confirming.status().await,
                None => DurabilityStatus::AsAsked,
            };
            let caught_up = match durability {
                DurabilityStatus::AsAsked => self.catch_up(store, clock, stats).await,
                DurabilityStatus::NotYet(why) => Err(why),
            };
            let written = match caught_up {
                Ok(()) => {
                    let due = batch.due.iter().map(|(anchor, _)| anchor.clone());
                    self.write(due.collect(), stats).await
                }
                Err(why) => Err(why),
            };
            if let Err(why) = &written {
                self.behind.get_or_insert(batch.base);
                self.failed(stats, why);
            }
            let is_new = |anchor: &Anchor| had.is_none_or(|had| had.sequence < anchor.sequence);
            tell(batch.due, |anchor| match &written {
                Err(why) if !is_new(anchor) || !self.has(anchor.sequence) => {
                    AnchorStatus::Missing(why.clone())
                }
                _ => AnchorStatus::Written,
            });
        }
    }

    fn failed(&self, stats: &Queue, why: &str) {
        stats.count(|stats| stats.anchor_failures += 1);
        self.telemetry.anchors_missing(why);
    }

    fn has(&self, sequence: Sequence) -> bool {
        self.last.is_some_and(|last| sequence <= last.sequence)
    }

    /// Writes the anchors after `behind`, as far as the stored records link to
    /// it. What cannot be linked to it (the chain was trimmed, or is damaged)
    /// stays without anchors.
    async fn catch_up(
        &mut self,
        store: &impl AuditStore,
        clock: &impl Clock,
        stats: &Queue,
    ) -> Result<(), String> {
        let Some(from) = self.behind else {
            return Ok(());
        };
        if let Some(refused) = self.refused.clone() {
            // Before the chain is read in vain.
            self.write(vec![refused], stats).await?;
        }
        let unread = |error: ReadError| format!("earlier anchors are missing: {error}");
        let tail = store.tail(from.position()).await;
        let tail = tail.map_err(|error| unread(error.into()))?;
        if let (Some(end), true) = (
            tail.head.position(),
            store.durability() != Durability::Memory,
        ) {
            let confirmed = store.confirm(end).await;
            if let DurabilityStatus::NotYet(why) =
                confirmed.map_err(|error| unread(error.into()))?
            {
                return Err(format!("earlier anchors are missing: {why}"));
            }
        }
        let trimmed = tail.head.len().saturating_sub(tail.length);
        let start = match (tail.seen, from.len().checked_sub(trimmed)) {
            (Seen::Gone { .. }, _) => {
                return Err("the chain lacks the record of the last anchor".to_owned());
            }
            (Seen::Stands, Some(start)) => start,
            (Seen::Trimmed, _) | (Seen::Stands, None) => tail.length,
        };
        let mut is_linked = start < tail.length || tail.head == from;
        let mut verifier = Verifier::new().starting_after(from);
        let mut pages = Pages::over(store, start, tail.length);
        while is_linked {
            let page = pages.next().await.map_err(unread)?;
            if page.is_empty() {
                break;
            }
            let mut anchors = Vec::new();
            let mut end = verifier.position();
            for record in page {
                is_linked = verifier.line(&record).is_empty();
                if !is_linked {
                    break;
                }
                let before = std::mem::replace(&mut end, verifier.position());
                if let Head::At(position) = end
                    && end != before
                    && is_due(position, self.every)
                {
                    anchors.push(anchor(position, clock));
                }
            }
            let written = self.write(anchors, stats).await;
            *lock(&self.read) = self.last;
            written?;
            self.behind = Some(end);
        }
        if is_linked && verifier.position() != tail.head {
            let why = "earlier anchors are missing: the chain became shorter while it was read";
            return Err(why.to_owned());
        }
        if start < tail.length && !is_linked {
            let last_linked = self.behind.and_then(|end| end.position());
            let now = store.tail(last_linked).await;
            let now = now.map_err(|error| unread(error.into()))?;
            let has_moved = now.head.len().saturating_sub(now.length) != trimmed;
            if has_moved || matches!(now.seen, Seen::Gone { .. }) {
                return Err(
                    "earlier anchors are missing: the list moved while it was read".to_owned(),
                );
            }
        }
        self.behind = None;
        if !is_linked {
            self.failed(
                stats,
                "earlier records do not link to the last anchor, or were trimmed",
            );
        }
        Ok(())
    }

    /// Gives the sink those of the anchors that it lacks, in order, on another
    /// thread, up to the first that it refuses.
    async fn write(&mut self, mut anchors: Vec<Anchor>, stats: &Queue) -> Result<(), String> {
        anchors.retain(|anchor| !self.has(anchor.sequence));
        if anchors.is_empty() {
            return Ok(());
        }
        let Some(mut sink) = self.sink.take() else {
            return Err("the anchor sink has panicked".to_owned());
        };
        let done = returned(&self.run_blocking, move || {
            let (written, ended) = write_all(&mut *sink, &anchors);
            (sink, anchors, written, ended)
        });
        let (sink, mut anchors, written, ended) = done
            .await
            .ok_or("the anchor sink has panicked, or the runtime ends")?;
        self.sink = Some(sink);
        stats.count(|stats| stats.anchored += written as u64);
        self.refused = anchors.drain(written..).next();
        if let Some(last) = anchors.last() {
            self.telemetry.anchored(last.sequence.get());
            self.last = Some(last.position());
        }
        ended.map_err(|error| error.to_string())
    }
}

/// How many anchors are durable in the sink, and why not all.
fn write_all(sink: &mut dyn AnchorSink, anchors: &[Anchor]) -> (usize, io::Result<()>) {
    let mut written = 0;
    let ended = anchors.iter().try_for_each(|anchor| {
        sink.write(anchor)?;
        written += 1;
        Ok(())
    });
    match sink.sync() {
        Ok(()) => (written, ended),
        Err(error) => (0, ended.and(Err(error))),
    }
}
