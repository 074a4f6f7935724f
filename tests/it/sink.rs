//! Callers of a sink that drop futures, are numerous, or close it.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use haechi_store_redis::{
    AppendError, AttemptError, Builder, Cause, Corrupt, Handle, NotApplied,
    audit::{
        AnchorStatus, AuditConfig, AuditSink,
        store::{AuditStore, Batch, Reply},
    },
    chain::{Anchor, Head},
    clock::Clock,
    entropy::SystemEntropy,
    test_util::{AuditHooks, AutoClock, ChainModel, Hooked, MemoryChain},
};
use tokio::sync::Semaphore;

use crate::support::{client, event, server, verified};

/// Appends wait for a permit each; for the sink they have been sent.
#[derive(Clone)]
struct Permits {
    permits: Arc<Semaphore>,
    sent: Arc<Semaphore>,
}

impl Permits {
    /// Waits until the sink has sent a batch.
    async fn sent(&self) {
        self.sent.acquire().await.unwrap().forget();
    }

    fn let_through(&self) {
        self.permits.add_permits(1_000);
    }
}

impl<S: AuditStore> AuditHooks<S> for Permits {
    async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        self.sent.add_permits(1);
        self.permits.acquire().await.unwrap().forget();
        next.append(batch).await
    }
}

type Held = Hooked<MemoryChain, Permits>;

fn held() -> Held {
    let none = || Arc::new(Semaphore::new(0));
    let permits = Permits {
        permits: none(),
        sent: none(),
    };
    Hooked::new(MemoryChain::new(), permits)
}

fn sink(store: &Held, config: AuditConfig) -> AuditSink {
    Builder::new()
        .audit_config(config)
        .audit_sink(store.clone())
}

/// Would catch a dropped call that cancels an append in flight, or whose event
/// is sent although the caller has left.
#[tokio::test]
async fn a_caller_may_drop_its_future_at_any_time() {
    let store = held();
    let sink = sink(&store, AuditConfig::default());
    let in_flight = tokio::spawn(sink.record(event("in flight")));
    store.hooks().sent().await;
    let withdrawn = sink.record(event("withdrawn"));
    let kept = sink.record(event("kept"));
    drop(withdrawn);
    in_flight.abort();
    let _ = in_flight.await;
    store.hooks().let_through();
    assert_eq!(kept.await.unwrap().position.sequence.get(), 2);
    assert_eq!(verified(&store).await.len(), 2);
}

/// Would catch a deadline that reports *not applied* for an event in flight, or
/// *unknown* for one never sent; and a sink that is stuck afterwards.
#[tokio::test]
async fn a_deadline_distinguishes_sent_events_from_others() {
    let store = held();
    let mut config = AuditConfig::default();
    config.deadline = Duration::from_millis(50);
    config.queue_capacity = 1;
    let sink = sink(&store, config);
    let in_flight = tokio::spawn(sink.record(event("in flight")));
    store.hooks().sent().await;
    let queued = tokio::spawn(sink.record(event("queued")));
    let crowded = tokio::spawn(sink.record(event("no room")));
    let Err(AppendError::Unknown { handle, .. }) = in_flight.await.unwrap() else {
        panic!("what is in flight is unknown");
    };
    assert_eq!(handle.position.sequence.get(), 1);
    assert_eq!(handle.to_string().parse::<Handle>().as_ref(), Ok(&*handle));
    assert!(matches!(
        queued.await.unwrap(),
        Err(AppendError::NotApplied(NotApplied::Deadline(_)))
    ));
    assert!(matches!(
        crowded.await.unwrap(),
        Err(AppendError::NotApplied(NotApplied::QueueFull))
    ));
    store.hooks().let_through();
    assert_eq!(
        sink.record(event("next"))
            .await
            .unwrap()
            .position
            .sequence
            .get(),
        2
    );
    let chain = verified(&store).await;
    assert_eq!(
        chain[0].position, handle.position,
        "the handle named its place"
    );
}

/// Would catch a record at another position than its handle's: the caller has
/// left, and then the batch conflicts.
#[tokio::test]
async fn a_record_is_at_its_handles_position_or_not_in_the_chain() {
    let store = held();
    let mut config = AuditConfig::default();
    config.deadline = Duration::from_millis(50);
    let sink = sink(&store, config);
    let call = tokio::spawn(sink.record(event("left")));
    store.hooks().sent().await;
    let Err(AppendError::Unknown { handle, .. }) = call.await.unwrap() else {
        panic!("what is in flight is unknown");
    };
    let other = Builder::new().audit_sink(store.store().clone());
    other.record(event("other")).await.unwrap();
    store.hooks().let_through();
    sink.record(event("next")).await.unwrap();
    let chain = verified(&store).await;
    assert_eq!(
        chain.len(),
        2,
        "the event of the caller that left is not sent again"
    );
    assert!(
        chain
            .iter()
            .all(|record| record.append_id != Some(handle.append_id))
    );
}

/// Refuses the first attempt of every batch, 8 s later.
struct RefusedLate(AutoClock);

impl<S: AuditStore> AuditHooks<S> for RefusedLate {
    async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        if self.0.now() < Duration::from_secs(8) {
            self.0.sleep(Duration::from_secs(8)).await;
            return Err(AttemptError::Refused(Cause::new("busy")));
        }
        next.append(batch).await
    }
}

/// Would catch an event that is sent again in the last quarter of its caller's
/// 10 s: too late to wait for the outcome.
#[test]
fn nothing_is_sent_in_the_last_quarter() {
    let clock = AutoClock::default();
    let chain = MemoryChain::new();
    let store = Hooked::new(chain.clone(), RefusedLate(clock.clone()));
    let config = AuditConfig::default();
    let (sink, append_loop) = AuditSink::new(store, clock.clone(), SystemEntropy, config, None);
    let recording = async {
        let refused = sink.record(event("refused")).await;
        sink.close(Duration::from_secs(10)).await;
        refused
    };
    let both = async { tokio::join!(recording, append_loop.run()).0 };
    let refused = clock.run(both).unwrap();
    assert!(
        matches!(
            refused,
            Err(AppendError::NotApplied(NotApplied::Deadline(_)))
        ),
        "{refused:?}"
    );
    assert!(chain.with(|chain| chain.head().is_empty()));
}

/// Loses the reply to the second record, and then the whole chain.
struct RolledBack;

impl AuditHooks<MemoryChain> for RolledBack {
    async fn append(&self, next: &MemoryChain, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let reply = next.append(batch).await;
        if batch.base == Head::Empty || batch.resent {
            return reply;
        }
        next.with(|chain| *chain = ChainModel::default());
        Err(AttemptError::Ambiguous(Cause::new("the reply was lost")))
    }
}

/// Would catch *not applied* said of a batch in flight during a rollback: the
/// records may come back with the rest of the chain.
#[tokio::test]
async fn what_was_in_flight_during_a_rollback_is_unknown() {
    let store = Hooked::new(MemoryChain::new(), RolledBack);
    let sink = Builder::new().audit_sink(store);
    sink.record(event("first")).await.unwrap();
    let in_flight = sink.record(event("in flight")).await;
    assert!(
        matches!(in_flight, Err(AppendError::Unknown { .. })),
        "{in_flight:?}"
    );
    let next = sink.record(event("next")).await;
    assert!(
        matches!(next, Err(AppendError::Corrupt(Corrupt::RolledBack(_)))),
        "{next:?}"
    );
}

/// Would catch overflows with extreme times and sizes.
#[tokio::test]
async fn extreme_settings_are_bounded() {
    let server = server();
    let mut config = AuditConfig::default();
    config.deadline = Duration::MAX;
    config.batch_records = usize::MAX;
    config.batch_bytes = usize::MAX;
    config.queue_capacity = usize::MAX;
    let sink = Builder::new()
        .audit_config(config)
        .open_audit(client(&server))
        .await
        .unwrap();
    let calls: Vec<_> = (0..9000).map(|_| sink.record(event("e"))).collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(verified(&crate::support::store(&server)).await.len(), 9000);
}

/// Would catch a close that hangs, or that leaves a caller without a result.
#[tokio::test]
async fn closing_settles_every_caller() {
    let store = held();
    let sink = sink(&store, AuditConfig::default());
    let in_flight = tokio::spawn(sink.record(event("in flight")));
    store.hooks().sent().await;
    let queued = tokio::spawn(sink.record(event("queued")));
    tokio::task::yield_now().await;
    let report = sink.close(Duration::from_millis(50)).await;
    assert_eq!(report.unknown.len(), 1);
    let Err(AppendError::Unknown { handle, .. }) = in_flight.await.unwrap() else {
        panic!("what is in flight is unknown");
    };
    assert_eq!(report.unknown[0], *handle);
    assert!(matches!(
        queued.await.unwrap(),
        Err(AppendError::NotApplied(NotApplied::Closed))
    ));
}

/// Would catch a sink whose loop ends with its last handle, before its work.
#[tokio::test]
async fn dropping_the_last_handle_finishes_what_is_queued() {
    let store = held();
    let sink = sink(&store, AuditConfig::default());
    let calls: Vec<_> = (0..10)
        .map(|_| tokio::spawn(sink.record(event("e"))))
        .collect();
    drop(sink);
    store.hooks().let_through();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(verified(&store).await.len(), 10);
}

/// Would catch an anchor for the wrong sequence, and an anchor that could not
/// be written reported as an append that was not applied.
#[tokio::test]
async fn every_kth_record_is_anchored_or_reported_without_anchor() {
    let store = held();
    store.hooks().let_through();
    let mut written = 0;
    let anchors = move |_: &Anchor| {
        written += 1;
        if written < 3 {
            Ok(())
        } else {
            Err(std::io::Error::other("the disk is full"))
        }
    };
    let every = NonZeroU64::new(3).unwrap();
    let sink = Builder::new()
        .anchors(anchors, every)
        .audit_sink(store.clone());
    let mut ends = Vec::new();
    for _ in 0..9 {
        ends.push(sink.record(event("e")).await.unwrap().anchor);
    }
    let missing = AnchorStatus::Missing("the disk is full".to_owned());
    assert_eq!(ends[2], AnchorStatus::Written);
    assert_eq!(ends[5], AnchorStatus::Written);
    assert_eq!(ends[8], missing);
    assert_eq!(
        ends.iter()
            .filter(|end| **end == AnchorStatus::NotDue)
            .count(),
        6
    );
    assert_eq!(verified(&store).await.len(), 9);
}
