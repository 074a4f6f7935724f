//! What the store tells [`tracing`](https://docs.rs/tracing), under the feature of that
//! name, and the [`metrics`](https://docs.rs/metrics) facade, under that name: all of it is
//! here, and without the features every function is empty.
//!
//! Spans are `append`, `batch`, `mutation` and `dial`, at level `DEBUG`. Events are how they
//! ended and conflicts, at `DEBUG`, lost replies, failed dials, missing anchors, Sentinels that
//! do not answer and writes that are not yet durable, at `WARN`, and rollbacks, at `ERROR`. Neither spans, events nor labels
//! hold a token, a plaintext, or the content of an event: they name appends by `appendId`, and
//! chains and vaults by the prefix of their keys.
//!
//! It knows nothing of stores and queues: they call it with what happened, and hold no lock
//! then: a subscriber or recorder may ask them for their health.

#![cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    allow(unused_variables, dead_code)
)]

use std::{fmt::Display, future::Future, time::Duration};

use crate::error::{AttemptError, Cause};

/// A metric that the store emits, with the feature `metrics`.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What changes it.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says, with its unit.
    pub help: &'static str,
}

/// What kind of metric it is.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
}

macro_rules! metrics {
    ($($metric:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        /// The index of a metric in [`METRICS`].
        #[cfg(feature = "metrics")]
        #[derive(Clone, Copy)]
        enum Index {
            $($metric),*
        }

        /// All metrics that the store emits. The label `store` is the prefix of the keys.
        #[cfg(feature = "metrics")]
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: MetricKind::$kind,
            labels: &[$($label),*],
            help: $help,
        }),*];
    };
}

metrics! {
    Appends = "haechi_appends_total", Counter, ["store", "outcome"],
        "Appends that ended: applied, not_applied, unknown, invalid or corrupt";
    AppendSeconds = "haechi_append_seconds", Histogram, ["store", "outcome"],
        "How long an append took, in seconds, waiting in the process included";
    BatchRecords = "haechi_batch_records", Histogram, ["store"],
        "Records in a batch that was applied";
    BatchAttempts = "haechi_batch_attempts", Histogram, ["store"],
        "How often a batch was sealed before it was applied";
    BatchSeconds = "haechi_batch_seconds", Histogram, ["store"],
        "From a batch's first attempt to its reply, in seconds";
    QueueEvents = "haechi_queue_events", Gauge, ["store"],
        "Events that wait in the process";
    QueueBytes = "haechi_queue_bytes", Gauge, ["store"],
        "Bytes of the events that wait in the process";
    InFlightEvents = "haechi_in_flight_events", Gauge, ["store"],
        "Events that were sent and whose outcome is not known yet";
    ChainHead = "haechi_chain_head", Gauge, ["store"],
        "The sequence of the last record that this process has seen";
    ChainRecords = "haechi_chain_records", Gauge, ["store"],
        "Records in the list in Redis, as last read, with those that this process appended since";
    AnchoredHead = "haechi_anchored_head", Gauge, ["store"],
        "The sequence of the last anchor that is durable in the sink";
    UnanchoredRecords = "haechi_unanchored_records", Gauge, ["store"],
        "Records that this process has seen after the last anchor that is durable in its sink";
    AnchorFailures = "haechi_anchor_failures_total", Counter, ["store"],
        "Failures to write anchors, or to read the chain for missing ones";
    NotYetDurable = "haechi_not_yet_durable_total", Counter, ["store"],
        "Writes that were applied, and not confirmed to be as durable as asked";
    Conflicts = "haechi_conflicts_total", Counter, ["store", "kind"],
        "Attempts that a fence refused: head, value, version or foreign_lock";
    LostReplies = "haechi_lost_replies_total", Counter, ["store"],
        "Attempts whose reply was lost";
    Rollbacks = "haechi_rollbacks_total", Counter, ["store"],
        "Times that a rollback was met";
    Mutations = "haechi_mutations_total", Counter, ["store", "outcome"],
        "Mutations that ended: applied, unchanged, not_applied, unknown or corrupt";
    MutationSeconds = "haechi_mutation_seconds", Histogram, ["store", "outcome"],
        "How long a mutation took, in seconds, waiting in the process included";
    InFlightMutations = "haechi_in_flight_mutations", Gauge, ["store"],
        "Mutations that have begun and not ended, those that wait in the process included";
    RoundTripSeconds = "haechi_round_trip_seconds", Histogram, ["store", "kind"],
        "How long a round trip to Redis took, in seconds, until its reply or the end of the wait \
         for it, with WAIT or WAITAOF if more durability than memory is asked for; the kind is the name of the script, or command";
    Dials = "haechi_dials_total", Counter, ["store", "outcome"],
        "Connections to Redis that were tried: opened or failed";
    DialSeconds = "haechi_dial_seconds", Histogram, ["store", "outcome"],
        "How long a dial took, in seconds";
    LockWaitSeconds = "haechi_lock_wait_seconds", Histogram, ["store", "outcome"],
        "How long the lock was waited for, in seconds: acquired, or given_up";
}

/// Tells the recorder of the process what the metrics mean, and their kinds. Call it after
/// the recorder is installed.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    for Metric {
        name, kind, help, ..
    } in METRICS
    {
        match kind {
            MetricKind::Counter => metrics::describe_counter!(*name, *help),
            MetricKind::Gauge => metrics::describe_gauge!(*name, *help),
            MetricKind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}

/// Work as `tracing` sees it.
pub(crate) struct Span(#[cfg(feature = "tracing")] tracing::Span);

impl Span {
    /// `future`, inside of the span.
    pub(crate) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        #[cfg(feature = "tracing")]
        let future = tracing::Instrument::instrument(future, self.0);
        future
    }
}

macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)*) => {
        Span(
            #[cfg(feature = "tracing")]
            tracing::debug_span!($name $(, $field = %$value)*),
        )
    };
}

macro_rules! event {
    ($level:ident, $message:literal $(, $field:ident = $value:expr)*) => {
        #[cfg(feature = "tracing")]
        tracing::event!(tracing::Level::$level $(, $field = %$value)*, $message);
    };
}

macro_rules! add {
    ($telemetry:expr, $metric:ident $(, $value:expr)?) => {
        #[cfg(feature = "metrics")]
        $telemetry.series(Index::$metric, [$($value)?], |recorder, key| {
            recorder.register_counter(key, &METADATA).increment(1);
        });
    };
}

macro_rules! set {
    ($telemetry:expr, $metric:ident, $number:expr) => {
        #[cfg(feature = "metrics")]
        $telemetry.series(Index::$metric, [], |recorder, key| {
            recorder.register_gauge(key, &METADATA).set($number as f64);
        });
    };
}

macro_rules! change {
    ($telemetry:expr, $metric:ident, $before:expr, $now:expr) => {
        #[cfg(feature = "metrics")]
        if $before != $now {
            $telemetry.series(Index::$metric, [], |recorder, key| {
                let change = $now as f64 - $before as f64;
                recorder.register_gauge(key, &METADATA).increment(change);
            });
        }
    };
}

macro_rules! observe {
    ($telemetry:expr, $metric:ident, $number:expr $(, $value:expr)?) => {
        #[cfg(feature = "metrics")]
        $telemetry.series(Index::$metric, [$($value)?], |recorder, key| {
            let number = metrics::IntoF64::into_f64($number);
            recorder.register_histogram(key, &METADATA).record(number);
        });
    };
}

/// What a call came to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallOutcome {
    Applied,
    /// A mutation that changed nothing.
    Unchanged,
    NotApplied,
    Unknown,
    Invalid,
    Corrupt,
}

impl CallOutcome {
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::NotApplied => "not_applied",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
            Self::Corrupt => "corrupt",
        }
    }
}

/// How much waits in a queue, and how much of it is in flight.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Depth {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) in_flight: usize,
}

/// A batch that was applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchApplied {
    pub(crate) records: usize,
    pub(crate) attempts: u64,
    pub(crate) took: Duration,
}

#[cfg(feature = "metrics")]
static METADATA: metrics::Metadata<'_> =
    metrics::Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()));

/// The keys of one metric of one store, by the value of its label besides `store`. Each is made
/// once: a key with labels allocates, also if nobody records.
#[cfg(feature = "metrics")]
#[derive(Default)]
struct Keys(std::sync::OnceLock<Box<(&'static str, metrics::Key, Keys)>>);

#[cfg(feature = "metrics")]
impl Keys {
    fn of(&self, value: &'static str, make: impl Fn() -> metrics::Key) -> &metrics::Key {
        let mut keys = self;
        loop {
            let first = || Box::new((value, make(), Keys::default()));
            let (known, key, others) = &**keys.0.get_or_init(first);
            if *known == value {
                return key;
            }
            keys = others;
        }
    }
}

/// What one store tells, or who uses it. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Telemetry {
    /// The prefix of its keys.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    store: std::sync::Arc<str>,
    /// Those of each metric.
    #[cfg(feature = "metrics")]
    keys: std::sync::Arc<[Keys]>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::of("")
    }
}

impl Telemetry {
    pub(crate) fn of(prefix: &str) -> Self {
        Self {
            #[cfg(any(feature = "metrics", feature = "tracing"))]
            store: prefix.into(),
            #[cfg(feature = "metrics")]
            keys: METRICS.iter().map(|_| Keys::default()).collect(),
        }
    }

    /// Passes the recorder and the key of a series of this store to `tell`.
    #[cfg(feature = "metrics")]
    fn series<const N: usize>(
        &self,
        index: Index,
        value: [&'static str; N],
        tell: impl FnOnce(&dyn metrics::Recorder, &metrics::Key),
    ) {
        let index = index as usize;
        let (Some(metric), Some(keys)) = (METRICS.get(index), self.keys.get(index)) else {
            return;
        };
        let value = value.first().copied().unwrap_or_default();
        let key = keys.of(value, || {
            let values = [self.store.clone().into(), value.into()];
            let labels = metric
                .labels
                .iter()
                .zip::<[metrics::SharedString; 2]>(values);
            let labels = labels.map(|(name, value)| metrics::Label::new(*name, value));
            metrics::Key::from_parts(metric.name, labels.collect::<Vec<_>>())
        });
        metrics::with_recorder(|recorder| tell(recorder, key));
    }

    /// Without an identity if it was refused.
    pub(crate) fn append(&self, append_id: Option<&impl Display>) -> Span {
        match append_id {
            Some(append_id) => span!("append", store = self.store, append_id = append_id),
            None => span!("append", store = self.store),
        }
    }

    pub(crate) fn append_ended(&self, outcome: CallOutcome, took: impl FnOnce() -> Duration) {
        event!(DEBUG, "append ended", outcome = outcome.name());
        add!(self, Appends, outcome.name());
        observe!(self, AppendSeconds, took(), outcome.name());
    }

    pub(crate) fn batch(&self) -> Span {
        span!("batch", store = self.store)
    }

    pub(crate) fn batch_applied(&self, batch: BatchApplied) {
        event!(
            DEBUG,
            "batch applied",
            records = batch.records,
            attempts = batch.attempts
        );
        observe!(self, BatchRecords, batch.records as f64);
        observe!(self, BatchAttempts, batch.attempts as f64);
        observe!(self, BatchSeconds, batch.took);
    }

    /// The queue had `before`, and has `now`. The changes are added up, so that they may be
    /// told in any order.
    pub(crate) fn queue(&self, before: Depth, now: Depth) {
        change!(self, QueueEvents, before.events, now.events);
        change!(self, QueueBytes, before.bytes, now.bytes);
        change!(self, InFlightEvents, before.in_flight, now.in_flight);
    }

    pub(crate) fn head(&self, sequence: u64) {
        set!(self, ChainHead, sequence);
    }

    pub(crate) fn records(&self, records: u64) {
        set!(self, ChainRecords, records);
    }

    pub(crate) fn anchored(&self, sequence: u64) {
        set!(self, AnchoredHead, sequence);
    }

    pub(crate) fn unanchored(&self, records: u64) {
        set!(self, UnanchoredRecords, records);
    }

    pub(crate) fn anchors_missing(&self, why: &str) {
        event!(WARN, "anchors are missing", store = self.store, why = why);
        add!(self, AnchorFailures);
    }

    pub(crate) fn not_yet_durable(&self) {
        event!(
            WARN,
            "applied, and not yet as durable as asked",
            store = self.store
        );
        add!(self, NotYetDurable);
    }

    pub(crate) fn conflict(&self, kind: &'static str) {
        event!(DEBUG, "conflict", store = self.store, kind = kind);
        add!(self, Conflicts, kind);
    }

    pub(crate) fn lost_reply(&self, cause: &Cause) {
        event!(
            WARN,
            "a reply was lost; asking again",
            store = self.store,
            cause = cause
        );
        add!(self, LostReplies);
    }

    pub(crate) fn rolled_back(&self, what: &impl Display) {
        event!(ERROR, "rolled back", store = self.store, what = what);
        add!(self, Rollbacks);
    }

    pub(crate) fn mutation(&self) -> Span {
        span!("mutation", store = self.store)
    }

    /// A mutation is in flight until this is dropped.
    pub(crate) fn mutation_begun(&self) -> MutationBegun<'_> {
        change!(self, InFlightMutations, 0, 1);
        MutationBegun(self)
    }

    pub(crate) fn mutation_ended(&self, outcome: CallOutcome, took: Duration) {
        event!(DEBUG, "mutation ended", outcome = outcome.name());
        add!(self, Mutations, outcome.name());
        observe!(self, MutationSeconds, took, outcome.name());
    }

    pub(crate) fn dial(&self) -> Span {
        span!("dial", store = self.store)
    }

    pub(crate) fn dialled<T>(&self, result: &Result<T, AttemptError>, took: Duration) {
        let outcome = if result.is_ok() { "opened" } else { "failed" };
        if let Err(error) = result {
            event!(
                WARN,
                "no connection to Redis",
                store = self.store,
                why = error
            );
        }
        add!(self, Dials, outcome);
        observe!(self, DialSeconds, took, outcome);
    }

    /// A round trip ended, with a reply or without.
    pub(crate) fn round_trip(&self, kind: &'static str, took: impl FnOnce() -> Duration) {
        observe!(self, RoundTripSeconds, took(), kind);
    }

    pub(crate) fn waited_for_lock(&self, is_acquired: bool, waited: Duration) {
        let outcome = if is_acquired { "acquired" } else { "given_up" };
        observe!(self, LockWaitSeconds, waited, outcome);
    }
}

/// See [`Telemetry::mutation_begun`].
pub(crate) struct MutationBegun<'a>(&'a Telemetry);

impl Drop for MutationBegun<'_> {
    fn drop(&mut self) {
        let telemetry = self.0;
        change!(telemetry, InFlightMutations, 1, 0);
    }
}

/// From now on failovers are not noticed.
pub(crate) fn sentinels_silent(why: &Cause) {
    event!(WARN, "no Sentinel answers", why = why);
}
