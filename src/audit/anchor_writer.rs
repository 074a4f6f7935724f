//! Writes anchors beside the append loop, which a slow medium must not delay.
//!
//! The loop passes on what it has appended; the writer gives it to the
//! [`AnchorSink`] on another thread, in order. Anchors that the sink lacks (it
//! failed, the queue was full, or the chain grew while it was not in use) are
//! read from the stored chain before the next ones are written: link by link, up
//! to the record that those were appended to, so that nothing is anchored which
//! the loop does not know.

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
    durability::{Confirming, DurabilityStatus},
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
    /// The chain's end before the first batch that was not passed on, if there are any
    /// before this one.
    left_out: Option<Head>,
    /// Whether it is the first after a loss that was accepted: what the sink has may
    /// be of what was lost, so its anchors begin anew.
    begins_anew: bool,
    due: Vec<Due>,
    /// An anchor is written only once its record is as durable as asked.
    confirming: Option<Confirming>,
}

/// Tells how many records follow the last anchor in the sink.
#[derive(Clone)]
struct Unanchored {
    telemetry: Telemetry,
    ends: Arc<Mutex<Ends>>,
}

/// The last sequences of the chain, as this process has seen it, and in the sink.
struct Ends {
    chain: u64,
    sink: u64,
}

impl Unanchored {
    fn tell(&self, change: impl FnOnce(&mut Ends)) {
        let mut ends = lock(&self.ends);
        change(&mut ends);
        let records = ends.chain.saturating_sub(ends.sink);
        drop(ends);
        self.telemetry.unanchored(records);
    }
}

/// The append loop's end of the queue; dropping it ends the writer.
pub(super) struct AnchorQueue {
    every: NonZeroU64,
    batches: mpsc::Sender<DueBatch>,
    /// Whether the sink has anchors, so that it may lack those of what was appended
    /// while it was not in use.
    pub(super) may_lack: bool,
    /// The chain's end before the first batch that was not passed on.
    left_out: Option<Head>,
    begins_anew: bool,
    unanchored: Unanchored,
}

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
    telemetry: Telemetry,
    unanchored: Unanchored,
    pub(super) run_blocking: RunBlocking,
}

pub(super) fn anchoring(
    sink: Box<dyn AnchorSink>,
    every: NonZeroU64,
    telemetry: Telemetry,
) -> (AnchorQueue, AnchorWriter) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let last = sink.last();
    let unanchored = Unanchored {
        telemetry: telemetry.clone(),
        ends: Arc::new(Mutex::new(Ends {
            chain: 0,
            sink: last.map_or(0, |last| last.sequence.get()),
        })),
    };
    let queue = AnchorQueue {
        every,
        batches: sender,
        may_lack: last.is_some(),
        left_out: None,
        begins_anew: false,
        unanchored: unanchored.clone(),
    };
    let writer = AnchorWriter {
        sink: Some(sink),
        every,
        batches: receiver,
        last,
        behind: last.map(Head::At),
        refused: None,
        telemetry,
        unanchored,
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

    /// The chain ends at `position` now.
    pub(super) fn saw(&self, position: Position) {
        let sequence = position.sequence.get();
        self.unanchored.tell(|ends| ends.chain = sequence);
    }

    /// The loss of what may be in the sink was accepted; the chain ends at `head` now.
    pub(super) fn begin_anew(&mut self, head: Head) {
        self.left_out = None;
        self.begins_anew = true;
        self.unanchored.tell(|ends| {
            ends.chain = head.len();
            ends.sink = ends.sink.min(ends.chain);
        });
    }

    /// Passes on what is due of a batch that was appended to `base`.
    pub(super) fn push(&mut self, base: Head, due: Vec<Due>, confirming: Option<Confirming>) {
        if !due.is_empty() {
            self.pass_on(base, due, confirming);
        }
    }

    /// Asks for the anchors that the sink lacks, up to the record at `end`.
    pub(super) fn catch_up(&mut self, end: Position, confirming: Option<Confirming>) {
        self.pass_on(Head::At(end), Vec::new(), confirming);
    }

    fn pass_on(&mut self, base: Head, due: Vec<Due>, confirming: Option<Confirming>) {
        let batch = DueBatch {
            base,
            left_out: self.left_out.take(),
            begins_anew: std::mem::take(&mut self.begins_anew),
            due,
            confirming,
        };
        let Err(refused) = self.batches.try_send(batch) else {
            return;
        };
        let batch = refused.into_inner();
        self.left_out = batch.left_out.or(Some(batch.base));
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
    /// Writes what is passed on, each after what is missing before it, until the
    /// queue's other end is dropped. Counts in `stats`.
    pub(super) async fn run(mut self, store: &impl AuditStore, clock: &impl Clock, stats: &Queue) {
        while let Some(batch) = self.batches.recv().await {
            if batch.begins_anew {
                (self.last, self.behind, self.refused) = (None, None, None);
            }
            self.behind = self.behind.or(batch.left_out);
            let durability = match batch.confirming {
                Some(confirming) => confirming.status().await,
                None => DurabilityStatus::AsAsked,
            };
            let caught_up = match durability {
                DurabilityStatus::AsAsked => self.catch_up(batch.base, store, clock, stats).await,
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
            tell(batch.due, |anchor| match &written {
                Err(why) if !self.has(anchor.sequence) => AnchorStatus::Missing(why.clone()),
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

    /// Writes the anchors after `behind`, up to `until`, which is as durable as asked: as
    /// far as the stored records link to it. What cannot be linked to it (the chain was
    /// trimmed, or is damaged) stays without anchors.
    async fn catch_up(
        &mut self,
        until: Head,
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
        let missing = |why: &str| format!("earlier anchors are missing: {why}");
        let unread = |error: ReadError| missing(&error.to_string());
        // The records before the list, if the chain has `until`.
        let trimmed = async || {
            let tail = store.tail(until.position()).await;
            let tail = tail.map_err(|error| unread(error.into()))?;
            match tail.seen {
                Seen::Gone { .. } => Err(missing("the chain lacks the records after them")),
                Seen::Stands | Seen::Trimmed => Ok(tail.head.len().saturating_sub(tail.length)),
            }
        };
        let before = trimmed().await?;
        let end = until.len().saturating_sub(before);
        let start = from.len().checked_sub(before).unwrap_or(end);
        let mut is_linked = start < end || from == until;
        let mut verifier = Verifier::new().starting_after(from);
        let mut pages = Pages::over(store, start, end);
        let mut linked = from;
        while is_linked && linked != until {
            let page = pages.next().await.map_err(unread)?;
            let mut anchors = Vec::new();
            if page.is_empty() {
                return Err(missing("the chain became shorter while it was read"));
            }
            for record in page {
                is_linked = verifier.line(&record).is_empty();
                if !is_linked {
                    break;
                }
                let before = std::mem::replace(&mut linked, verifier.position());
                if let Head::At(position) = linked
                    && linked != before
                    && is_due(position, self.every)
                {
                    anchors.push(anchor(position, clock));
                }
            }
            if linked.len() >= until.len() && linked != until {
                return Err(missing("the chain changed while it was read"));
            }
            self.write(anchors, stats).await?;
            self.behind = Some(linked);
        }
        if start < end && !is_linked && trimmed().await? != before {
            return Err(missing("the list moved while it was read"));
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
            let sequence = last.sequence.get();
            self.telemetry.anchored(sequence);
            self.unanchored.tell(|ends| ends.sink = sequence);
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
