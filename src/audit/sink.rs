//! `AuditSink`, the interface for callers.

// `crate::sync::Arc` is loom's in the models, and has no `Weak`.
use std::{future::Future, sync::Arc as StdArc, time::Duration};

use super::{
    AcceptedLosses, AppendLoop,
    anchor_writer::anchoring,
    append_loop::QueueEnd,
    known::Known,
    queue::{Applied, BatchLimits, Queue, Ticket},
    store::AuditStore,
};
use crate::{
    chain::{AppendId, Checkpoints, Event, Head, Position},
    clock::{Clock, SystemClock, deserialize_duration, within},
    durability::{Confirmations, DurabilityStatus},
    entropy::{Entropy, SystemEntropy},
    error::{AppendError, Handle, NotApplied},
    health::Health,
    seen::SeenEntry,
    sync::Arc,
    telemetry::{CallOutcome, Telemetry},
};

/// An event's position in the chain, how durable it is, and the state of its anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The record's position.
    pub position: Position,
    /// Whether it is as durable as asked.
    pub durability: DurabilityStatus,
    /// Whether it is anchored.
    pub anchor: AnchorStatus,
}

/// The state of an applied record's anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorStatus {
    /// This sequence is not anchored.
    NotDue,
    /// The anchor was written and is durable.
    Written,
    /// The record is applied, but its anchor could not be written by the
    /// deadline, or not before the record is as durable as asked; why. It is written
    /// later if that becomes possible.
    Missing(String),
}

/// The limits of a sink. Every field has a default.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AuditConfig {
    /// How long a call of [`AuditSink::record`] may take, including the wait
    /// for room in the queue, for durability and for an anchor. In the last quarter nothing is sent any more, and
    /// the outcome of what was sent is waited for. Default: 10 s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub deadline: Duration,
    /// Events that may be queued before callers wait for room. Default: 4096.
    pub queue_capacity: usize,
    /// Bytes of record text that may wait, in the queue and for room in it. A
    /// call past that ends at once, as [`NotApplied::Overloaded`]; a larger
    /// event is taken if nothing waits. The batch in flight comes on top.
    /// Default: 64 MiB.
    pub queue_bytes: usize,
    /// Records in one batch, at most 4096, a limit of Lua. Default: 256.
    pub batch_records: usize,
    /// Bytes of record text in one batch; a larger record is sent alone.
    /// Default: 1 MiB.
    pub batch_bytes: usize,
    /// The positions of this chain that the caller knows, for example from an
    /// anchor: a chain without the highest is reported as rolled back.
    #[serde(skip)]
    pub seen: Checkpoints,
    /// The losses after which appending goes on, once the chain has a record that
    /// accepts them.
    #[serde(skip)]
    pub accepted: AcceptedLosses,
    #[serde(skip)]
    pub(crate) telemetry: Telemetry,
    /// Where what is seen is kept; see [`Builder::seen_file`](crate::Builder::seen_file).
    #[serde(skip)]
    pub(crate) kept: Option<SeenEntry>,
}

const NOT_DURABLE: &str = "its record is not yet as durable as asked";

/// Lua 5.1 unpacks at most 8,000 values.
const MAX_BATCH_RECORDS: usize = 4096;

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            queue_capacity: 4096,
            queue_bytes: 64 << 20,
            batch_records: 256,
            batch_bytes: 1 << 20,
            seen: Checkpoints::default(),
            telemetry: Telemetry::default(),
            accepted: AcceptedLosses::default(),
            kept: None,
        }
    }
}

/// Counters of a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditStats {
    /// Records acknowledged.
    pub appended: u64,
    /// Batches applied.
    pub batches: u64,
    /// Batches that were refused because the head was not their base.
    pub conflicts: u64,
    /// Attempts repeated after a failure.
    pub retries: u64,
    /// Attempts whose reply was lost.
    pub lost_replies: u64,
    /// Batches whose outcome was found by reading the chain.
    pub settled_by_reading: u64,
    /// The most times that one batch was sealed before it was applied.
    pub most_attempts: u64,
    /// Records acknowledged to their callers as applied, but not as durable as asked.
    pub not_yet_durable: u64,
    /// Anchors written.
    pub anchored: u64,
    /// Failures to write anchors, or to read the chain for those that were
    /// missed.
    pub anchor_failures: u64,
}

impl AuditStats {
    /// Adds the counts of another sink.
    pub fn add(&mut self, other: Self) {
        self.appended += other.appended;
        self.batches += other.batches;
        self.conflicts += other.conflicts;
        self.retries += other.retries;
        self.lost_replies += other.lost_replies;
        self.settled_by_reading += other.settled_by_reading;
        self.most_attempts = self.most_attempts.max(other.most_attempts);
        self.not_yet_durable += other.not_yet_durable;
        self.anchored += other.anchored;
        self.anchor_failures += other.anchor_failures;
    }
}

/// The result of [`AuditSink::close`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Appends that were in flight when the time was up; their callers got
    /// *unknown*.
    pub unknown: Vec<Handle>,
}

/// Appends events to a chain that other processes append to as well.
///
/// Cheap to clone; all clones share one queue and one [`AppendLoop`]. When the
/// last clone is dropped, the loop finishes what is queued and ends. A runtime that ends does
/// not wait for it: [`close`](Self::close) first.
///
/// Concurrent calls share batches: while one batch is in flight, the next one
/// forms. A caller's events are appended in the order in which it called
/// [`record`](Self::record).
#[derive(Clone)]
pub struct AuditSink<C = SystemClock, E = SystemEntropy> {
    clock: C,
    entropy: E,
    deadline: Duration,
    telemetry: Telemetry,
    shared: Arc<CloseOnDrop>,
}

struct CloseOnDrop {
    queue: Arc<Queue>,
    /// What is known of the connection beneath.
    connection: Box<dyn Fn() -> Health + Send + Sync>,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl<C: Clock, E: Entropy> AuditSink<C, E> {
    /// A sink over `store`, and the loop that must be run for it.
    ///
    /// Programs use [`Builder`](crate::Builder), which spawns the loop.
    pub fn new<S: AuditStore>(
        store: S,
        clock: C,
        entropy: E,
        config: AuditConfig,
        anchors: Option<(Box<dyn super::AnchorSink>, std::num::NonZeroU64)>,
    ) -> (Self, AppendLoop<S, C, E>) {
        let anchored = anchors.as_ref().and_then(|(anchors, _)| anchors.last());
        let kept = config.kept.as_ref().map(SeenEntry::chain);
        let mut sources = [
            kept.unwrap_or_default(),
            config.seen,
            anchored.into_iter().collect(),
        ]
        .into_iter()
        .filter(|seen| seen.last().is_some());
        let seen: Checkpoints = sources.next().unwrap_or_default();
        let others: Vec<Checkpoints> = sources.collect();
        let highest = others.iter().chain([&seen]).filter_map(Checkpoints::last);
        let base = highest
            .max_by_key(|position| position.sequence)
            .map_or(Head::Empty, Head::At);
        let queue = Arc::new(Queue::new(
            config.queue_capacity,
            config.queue_bytes,
            base,
            config.telemetry.clone(),
        ));
        let store = StdArc::new(store);
        let beneath = StdArc::downgrade(&store);
        let connection = move || {
            let store = beneath.upgrade();
            store.map_or(Health::Serving, |store| store.health())
        };
        let sink = Self {
            clock: clock.clone(),
            entropy: entropy.clone(),
            deadline: config.deadline,
            telemetry: config.telemetry.clone(),
            shared: Arc::new(CloseOnDrop {
                queue: queue.clone(),
                connection: Box::new(connection),
            }),
        };
        let (anchors, anchor_writer) = anchors
            .map(|(sink, every)| anchoring(sink, every, config.telemetry.clone()))
            .unzip();
        let append_loop = AppendLoop {
            store,
            clock,
            entropy,
            queue: QueueEnd(queue),
            limits: BatchLimits {
                records: config.batch_records.clamp(1, MAX_BATCH_RECORDS),
                bytes: config.batch_bytes,
            },
            anchors,
            anchor_writer,
            head: None,
            length: 0,
            known: seen.into(),
            others: others.into_iter().map(Known::from).collect(),
            confirmations: Confirmations::default(),
            deadline: config.deadline,
            accepted: config.accepted,
            kept: config.kept,
            telemetry: config.telemetry,
        };
        (sink, append_loop)
    }

    /// Appends `event` exactly once, and returns its position.
    ///
    /// The event is queued when this is called, not when the future is first
    /// polled. Dropping the future withdraws the event if nothing of it has
    /// been sent. An event that was sent is still resolved: it is at the
    /// position that it was sealed for, or not in the chain.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: its variant tells whether the event may be recorded
    /// again.
    pub fn record(
        &self,
        event: Event,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<C, E> {
        let entered = new_append(&self.entropy)
            .map_err(AppendError::from)
            .and_then(|append_id| self.enter(event, append_id));
        self.told(entered)
    }

    /// A handle for an append that is still to be made, by
    /// [`record_as`](Self::record_as) with its `append_id`. Whoever keeps it in a durable
    /// place first can [`resolve`](super::resolve) the append even if this process ends
    /// before its outcome is known.
    ///
    /// The record will stand after the handle's base, the last head that this process
    /// has appended to, or [`AuditConfig::seen`]: what is resolved is searched from
    /// there on, in a process that knows neither from the chain's beginning.
    ///
    /// # Errors
    ///
    /// [`NotApplied::Entropy`].
    pub fn ticket(&self) -> Result<Handle, NotApplied> {
        Ok(Handle {
            append_id: new_append(&self.entropy)?,
            base: self.shared.queue.base(),
            position: None,
        })
    }

    /// As [`record`](Self::record), with an identity given by the caller.
    ///
    /// The identity is part of the record. It does not deduplicate calls: give each
    /// append a new one, also after an earlier one was not applied. Of an identity
    /// given twice, [`resolve`](super::resolve) tells of one of the two only.
    ///
    /// # Errors
    ///
    /// As for [`record`](Self::record).
    pub fn record_as(
        &self,
        append_id: AppendId,
        event: Event,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<C, E> {
        let entered = self.enter(event, append_id);
        self.told(entered)
    }

    fn enter(&self, event: Event, append_id: AppendId) -> Result<Ticket, AppendError> {
        Queue::enter(&self.shared.queue, event, append_id)
    }

    /// The append's end, told to telemetry.
    fn told(
        &self,
        entered: Result<Ticket, AppendError>,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<C, E> {
        let (clock, telemetry) = (self.clock.clone(), self.telemetry.clone());
        let began = clock.now();
        let span = telemetry.append(entered.as_ref().ok().map(Ticket::append_id));
        let settled = self.settled(entered, began);
        span.around(async move {
            let ended = settled.await;
            let outcome = match &ended {
                Ok(_) => CallOutcome::Applied,
                Err(AppendError::NotApplied(_)) => CallOutcome::NotApplied,
                Err(AppendError::Unknown { .. }) => CallOutcome::Unknown,
                Err(AppendError::Invalid(_)) => CallOutcome::Invalid,
                Err(AppendError::Corrupt(_)) => CallOutcome::Corrupt,
            };
            telemetry.append_ended(outcome, || clock.now().saturating_sub(began));
            ended
        })
    }

    fn settled(
        &self,
        entered: Result<Ticket, AppendError>,
        began: Duration,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<C, E> {
        let clock = self.clock.clone();
        let deadline = began.saturating_add(self.deadline);
        let attempts_until = began.saturating_add(self.deadline / 4 * 3);
        let (queue, telemetry) = (self.shared.queue.clone(), self.telemetry.clone());
        async move {
            let ticket = entered?;
            let settled = async |until: Duration| {
                let left = until.saturating_sub(clock.now());
                let settled = std::future::poll_fn(|cx| ticket.poll_settled(cx));
                within(&clock, left, settled).await
            };
            let mut outcome = settled(attempts_until).await;
            if outcome.is_none() {
                outcome = ticket.stop_attempts();
            }
            if outcome.is_none() {
                outcome = settled(deadline).await;
            }
            let outcome = outcome.unwrap_or_else(|| ticket.give_up());
            // With it goes the event.
            drop(ticket);
            let Applied {
                position,
                confirming,
                anchor,
            } = outcome?;
            let left = || deadline.saturating_sub(clock.now());
            let durability = match confirming {
                None => DurabilityStatus::AsAsked,
                Some(confirming) => within(&clock, left(), confirming.status())
                    .await
                    .unwrap_or_else(DurabilityStatus::deadline),
            };
            if !durability.is_as_asked() {
                queue.count(|stats| stats.not_yet_durable += 1);
                telemetry.not_yet_durable();
            }
            let missing = |why: &str| AnchorStatus::Missing(why.to_owned());
            let anchor = match (anchor, &durability) {
                (None, _) => AnchorStatus::NotDue,
                (Some(_), DurabilityStatus::NotYet(_)) => missing(NOT_DURABLE),
                (Some(told), DurabilityStatus::AsAsked) => {
                    match within(&clock, left(), told).await {
                        Some(Ok(status)) => status,
                        Some(Err(_)) => missing("the sink was closed before it was written"),
                        None => missing("it was not written by the deadline"),
                    }
                }
            };
            Ok(Appended {
                position,
                durability,
                anchor,
            })
        }
    }

    /// The sink's counters.
    #[must_use]
    pub fn stats(&self) -> AuditStats {
        self.shared.queue.stats()
    }

    /// Whether it serves, as its last attempts show, and behind Sentinel whether failovers
    /// would be noticed.
    #[must_use]
    pub fn health(&self) -> Health {
        let attempts = self.shared.queue.health(self.clock.now());
        attempts.over(&self.shared.connection)
    }

    /// Asks Redis, compares the chain with what this process has seen, and says whether
    /// the sink serves: for a readiness probe. One round trip, behind the batch under way;
    /// after the deadline of an append, [`health`](Self::health) as it is.
    pub async fn probe(&self) -> Health {
        let probed = self.shared.queue.probe();
        within(&self.clock, self.deadline, probed).await;
        self.health()
    }

    /// Refuses new events, and waits at most `deadline` until the queued ones
    /// have ended and the anchors are written. Those still in flight then end as
    /// unknown, those not sent as not applied.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        let queue = &self.shared.queue;
        queue.close();
        let unknown = match within(&self.clock, deadline, queue.ended()).await {
            Some(open) => open,
            None => {
                queue.abandon();
                queue.ended().await
            }
        };
        CloseReport { unknown }
    }
}

/// A new append's identity.
pub(super) fn new_append(entropy: &impl Entropy) -> Result<AppendId, NotApplied> {
    let mut id = [0; 16];
    entropy
        .fill(&mut id)
        .map_err(|error| NotApplied::Entropy(error.to_string()))?;
    Ok(AppendId::from_bytes(id))
}
