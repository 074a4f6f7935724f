//! What the store tells [`tracing`](https://docs.rs/tracing), under the feature of that
//! name, and the [`metrics`](https://docs.rs/metrics) facade, under that name: all of it is
//! here, and without the features every function is empty.
//!
//! Spans are `append`, `batch`, `mutation` and `dial`, at level `DEBUG`. Events are how they
//! ended and conflicts, at `DEBUG`, lost replies, failed dials, missing anchors and writes that
//! are not yet durable, at `WARN`, and rollbacks, at `ERROR`. Neither spans, events nor labels
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
    ($($constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        $(#[cfg(feature = "metrics")] const $constant: &str = $name;)*

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
    APPENDS = "haechi_appends_total", Counter, ["store", "outcome"],
        "Appends that ended: applied, not_applied, unknown, invalid or corrupt";
    APPEND_SECONDS = "haechi_append_seconds", Histogram, ["store", "outcome"],
        "How long an append took, in seconds, waiting in the process included";
    BATCH_RECORDS = "haechi_batch_records", Histogram, ["store"],
        "Records in a batch that was applied";
    BATCH_ATTEMPTS = "haechi_batch_attempts", Histogram, ["store"],
        "How often a batch was sealed before it was applied";
    BATCH_SECONDS = "haechi_batch_seconds", Histogram, ["store"],
        "From a batch's first attempt to its reply, in seconds";
    QUEUE_EVENTS = "haechi_queue_events", Gauge, ["store"],
        "Events that wait in the process";
    QUEUE_BYTES = "haechi_queue_bytes", Gauge, ["store"],
        "Bytes of the events that wait in the process";
    IN_FLIGHT = "haechi_in_flight_events", Gauge, ["store"],
        "Events that were sent and whose outcome is not known yet";
    HEAD = "haechi_chain_head", Gauge, ["store"],
        "The sequence of the last record that this process has seen";
    RECORDS = "haechi_chain_records", Gauge, ["store"],
        "Records in the list in Redis, as last read";
    ANCHORED_HEAD = "haechi_anchored_head", Gauge, ["store"],
        "The sequence of the last anchor that is durable in the sink";
    ANCHOR_FAILURES = "haechi_anchor_failures_total", Counter, ["store"],
        "Failures to write anchors, or to read the chain for missing ones";
    NOT_YET_DURABLE = "haechi_not_yet_durable_total", Counter, ["store"],
        "Writes that were applied, and not confirmed to be as durable as asked";
    CONFLICTS = "haechi_conflicts_total", Counter, ["store", "kind"],
        "Attempts that a fence refused: head, value, version or foreign_lock";
    LOST_REPLIES = "haechi_lost_replies_total", Counter, ["store"],
        "Attempts whose reply was lost";
    ROLLBACKS = "haechi_rollbacks_total", Counter, ["store"],
        "Times that a rollback was met";
    MUTATIONS = "haechi_mutations_total", Counter, ["store", "outcome"],
        "Mutations that ended: applied, unchanged, not_applied, unknown or corrupt";
    MUTATION_SECONDS = "haechi_mutation_seconds", Histogram, ["store", "outcome"],
        "How long a mutation took, in seconds, waiting in the process included";
    DIALS = "haechi_dials_total", Counter, ["outcome"],
        "Connections to Redis that were tried: opened or failed";
    DIAL_SECONDS = "haechi_dial_seconds", Histogram, ["outcome"],
        "How long a dial took, in seconds";
    LOCK_SECONDS = "haechi_lock_wait_seconds", Histogram, ["outcome"],
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
    ($name:ident $(, $label:literal => $value:expr)*) => {
        #[cfg(feature = "metrics")]
        metrics::counter!($name $(, $label => $value)*).increment(1);
    };
}

macro_rules! set {
    ($name:ident, $number:expr $(, $label:literal => $value:expr)*) => {
        #[cfg(feature = "metrics")]
        metrics::gauge!($name $(, $label => $value)*).set($number as f64);
    };
}

macro_rules! change {
    ($name:ident, $before:expr, $now:expr $(, $label:literal => $value:expr)*) => {
        #[cfg(feature = "metrics")]
        if $before != $now {
            metrics::gauge!($name $(, $label => $value)*).increment($now as f64 - $before as f64);
        }
    };
}

macro_rules! observe {
    ($name:ident, $number:expr $(, $label:literal => $value:expr)*) => {
        #[cfg(feature = "metrics")]
        metrics::histogram!($name $(, $label => $value)*).record($number);
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

/// What one sink or token store tells. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telemetry {
    /// The prefix of its keys.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    store: std::sync::Arc<str>,
}

impl Telemetry {
    pub(crate) fn of(prefix: &str) -> Self {
        Self {
            #[cfg(any(feature = "metrics", feature = "tracing"))]
            store: prefix.into(),
        }
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
        add!(APPENDS, "store" => self.store.clone(), "outcome" => outcome.name());
        observe!(APPEND_SECONDS, took(), "store" => self.store.clone(), "outcome" => outcome.name());
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
        observe!(BATCH_RECORDS, batch.records as f64, "store" => self.store.clone());
        observe!(BATCH_ATTEMPTS, batch.attempts as f64, "store" => self.store.clone());
        observe!(BATCH_SECONDS, batch.took, "store" => self.store.clone());
    }

    /// The queue had `before`, and has `now`. The changes are added up, so that they may be
    /// told in any order.
    pub(crate) fn queue(&self, before: Depth, now: Depth) {
        change!(QUEUE_EVENTS, before.events, now.events, "store" => self.store.clone());
        change!(QUEUE_BYTES, before.bytes, now.bytes, "store" => self.store.clone());
        change!(IN_FLIGHT, before.in_flight, now.in_flight, "store" => self.store.clone());
    }

    pub(crate) fn head(&self, sequence: u64) {
        set!(HEAD, sequence, "store" => self.store.clone());
    }

    pub(crate) fn records(&self, records: u64) {
        set!(RECORDS, records, "store" => self.store.clone());
    }

    pub(crate) fn anchored(&self, sequence: u64) {
        set!(ANCHORED_HEAD, sequence, "store" => self.store.clone());
    }

    pub(crate) fn anchors_missing(&self, why: &str) {
        event!(WARN, "anchors are missing", store = self.store, why = why);
        add!(ANCHOR_FAILURES, "store" => self.store.clone());
    }

    pub(crate) fn not_yet_durable(&self) {
        event!(
            WARN,
            "applied, and not yet as durable as asked",
            store = self.store
        );
        add!(NOT_YET_DURABLE, "store" => self.store.clone());
    }

    pub(crate) fn conflict(&self, kind: &'static str) {
        event!(DEBUG, "conflict", store = self.store, kind = kind);
        add!(CONFLICTS, "store" => self.store.clone(), "kind" => kind);
    }

    pub(crate) fn lost_reply(&self, cause: &Cause) {
        event!(
            WARN,
            "a reply was lost; asking again",
            store = self.store,
            cause = cause
        );
        add!(LOST_REPLIES, "store" => self.store.clone());
    }

    pub(crate) fn rolled_back(&self, what: &impl Display) {
        event!(ERROR, "rolled back", store = self.store, what = what);
        add!(ROLLBACKS, "store" => self.store.clone());
    }

    pub(crate) fn mutation(&self) -> Span {
        span!("mutation", store = self.store)
    }

    pub(crate) fn mutation_ended(&self, outcome: CallOutcome, took: Duration) {
        event!(DEBUG, "mutation ended", outcome = outcome.name());
        add!(MUTATIONS, "store" => self.store.clone(), "outcome" => outcome.name());
        observe!(MUTATION_SECONDS, took, "store" => self.store.clone(), "outcome" => outcome.name());
    }
}

pub(crate) fn dial() -> Span {
    span!("dial")
}

pub(crate) fn dialled<T>(result: &Result<T, AttemptError>, took: Duration) {
    let outcome = if result.is_ok() { "opened" } else { "failed" };
    if let Err(error) = result {
        event!(WARN, "no connection to Redis", why = error);
    }
    add!(DIALS, "outcome" => outcome);
    observe!(DIAL_SECONDS, took, "outcome" => outcome);
}

/// From now on failovers are not noticed.
pub(crate) fn sentinels_silent(why: &Cause) {
    event!(WARN, "no Sentinel answers", why = why);
}

pub(crate) fn waited_for_lock(is_acquired: bool, waited: Duration) {
    observe!(LOCK_SECONDS, waited, "outcome" => if is_acquired { "acquired" } else { "given_up" });
}
