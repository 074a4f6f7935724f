//! Callers of a sink that drop futures, are numerous, or close it.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    AppendError, AttemptError, Builder, Cause, Corrupt, Handle, Health, NotApplied,
    audit::{
        AnchorSink, AnchorStatus, Appended, AuditConfig, AuditSink,
        store::{AuditStore, Batch, Reply, Tail},
    },
    chain::{Anchor, Head, Position},
    clock::Clock,
    entropy::SystemEntropy,
    test_util::{AuditHooks, AutoClock, ChainModel, Fault, Faults, Hooked, MemoryChain},
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
    assert_eq!(handle.position.unwrap().sequence.get(), 1);
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
        Some(chain[0].position),
        handle.position,
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

/// Would catch an event that is sent again for another position although its
/// caller has dropped the future: nobody would know that position.
#[tokio::test]
async fn a_dropped_event_in_flight_is_not_sent_again() {
    let store = held();
    let sink = sink(&store, AuditConfig::default());
    let call = sink.record(event("dropped"));
    store.hooks().sent().await;
    drop(call);
    let other = Builder::new().audit_sink(store.store().clone());
    other.record(event("other")).await.unwrap();
    store.hooks().let_through();
    let next = sink.record(event("next")).await.unwrap();
    assert_eq!(next.position.sequence.get(), 2);
}

/// Would catch a record that is appended again after its reply was lost, alone in
/// its batch.
#[tokio::test]
async fn a_lost_reply_appends_once() {
    let chain = MemoryChain::new();
    let faults = Faults::new([Fault::ReplyLost], Fault::None);
    let sink = Builder::new().audit_sink(Hooked::new(chain.clone(), faults));
    let appended = sink.record(event("e")).await.unwrap();
    let head = chain.with(|chain| chain.head());
    assert_eq!(head, Head::At(appended.position));
    assert_eq!(head.len(), 1);
}

/// What `calls` returns, which uses a sink on this clock.
fn alone<S: AuditStore, T>(
    clock: &AutoClock,
    store: S,
    config: AuditConfig,
    calls: impl AsyncFnOnce(&AuditSink<AutoClock>) -> T,
) -> T {
    let (sink, append_loop) = AuditSink::new(store, clock.clone(), SystemEntropy, config, None);
    let calls = async {
        let result = calls(&sink).await;
        sink.close(Duration::ZERO).await;
        result
    };
    let both = async { tokio::join!(calls, append_loop.run()).0 };
    clock.run(both).unwrap()
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
    let refused = alone(&clock, store, config, async |sink| {
        sink.record(event("refused")).await
    });
    assert!(
        matches!(
            refused,
            Err(AppendError::NotApplied(NotApplied::Deadline(_)))
        ),
        "{refused:?}"
    );
    assert!(chain.with(|chain| chain.head().is_empty()));
}

/// Every read takes a number of seconds.
struct SlowReads(AutoClock, Arc<AtomicU64>);

impl<S: AuditStore> AuditHooks<S> for SlowReads {
    async fn tail(&self, next: &S, seen: Option<Position>) -> Result<Tail, AttemptError> {
        let seconds = self.1.load(Ordering::SeqCst);
        self.0.sleep(Duration::from_secs(seconds)).await;
        next.tail(seen).await
    }
}

/// Would catch a rollback that is never told, because the looks, or the search for the
/// record that accepts it, take longer than the 7.5 s in which an event can be sent; a
/// sink that looks healthy meanwhile; and one that tells what it found before the data
/// was restored.
#[test]
fn a_rollback_is_told_within_the_deadline() {
    for seconds in [2, 3, 4, 7] {
        let clock = AutoClock::default();
        let before = MemoryChain::new();
        let seen = alone(
            &clock,
            before.clone(),
            AuditConfig::default(),
            async |sink| {
                let mut positions = Vec::new();
                for _ in 0..9 {
                    positions.push(sink.record(event("seen")).await.unwrap().position);
                }
                positions
            },
        );
        let mut config = AuditConfig::default();
        config.seen = seen.into_iter().collect();
        let chain = MemoryChain::new();
        let reads = Arc::new(AtomicU64::new(seconds));
        let store = Hooked::new(chain.clone(), SlowReads(clock.clone(), reads.clone()));
        alone(&clock, store, config, async |sink| {
            let first = sink.record(event("refused")).await;
            let told = |end: &Result<Appended, AppendError>| {
                matches!(end, Err(AppendError::Corrupt(Corrupt::RolledBack(_))))
            };
            // Two looks, which are not done in time if one takes 4 s.
            assert_eq!(told(&first), seconds < 4, "{seconds}: {first:?}");
            // Until the search has ended, which goes on without a caller.
            clock.sleep(Duration::from_secs(100)).await;
            let health = sink.health();
            assert!(matches!(health, Health::Refusing { .. }), "{health:?}");
            let second = sink.record(event("refused")).await;
            assert!(told(&second), "{seconds}: {second:?}");
            clock.sleep(Duration::from_secs(100)).await;

            let lost = before.with(|chain| chain.records().to_vec());
            chain.with(|chain| chain.append_unfenced(&lost));
            reads.store(8, Ordering::SeqCst);
            let late = sink.record(event("late")).await;
            assert!(
                matches!(late, Err(AppendError::NotApplied(NotApplied::Deadline(_)))),
                "{seconds}: {late:?}"
            );
            clock.sleep(Duration::from_secs(100)).await;
            let restored = sink.record(event("restored")).await.unwrap();
            assert_eq!(restored.position.sequence.get(), 10);
        });
    }
}

/// Would catch callers that left and whose events, removed from the queue, still
/// take up its room.
#[test]
fn events_of_callers_that_left_take_up_no_room() {
    let store = held();
    let mut config = AuditConfig::default();
    config.queue_capacity = 1;
    let clock = AutoClock::default();
    let refused = alone(&clock, store.clone(), config, async |sink| {
        let in_flight = sink.record(event("in flight"));
        store.hooks().sent().await;
        // So many that they are removed before their turn.
        let left: Vec<_> = (0..65).map(|_| sink.record(event("left"))).collect();
        drop(left);
        let refused = sink.record(event("queued")).await;
        drop(in_flight);
        refused
    });
    assert!(
        matches!(
            refused,
            Err(AppendError::NotApplied(NotApplied::Deadline(_)))
        ),
        "{refused:?}"
    );
}

/// The output of `future` if it is ready.
async fn now<F: Future>(future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

fn is_overloaded(ended: &Option<Result<Appended, AppendError>>) -> bool {
    matches!(
        ended,
        Some(Err(AppendError::NotApplied(NotApplied::Overloaded)))
    )
}

/// Would catch callers that wait for room and whose events fill the memory, and
/// events of callers that left or were answered that still count.
#[tokio::test]
async fn the_bytes_that_wait_are_bounded() {
    let store = held();
    let mut config = AuditConfig::default();
    config.queue_capacity = 1;
    config.queue_bytes = 1 << 20;
    let sink = sink(&store, config);
    let large = || event(&"x".repeat(100_000));
    let in_flight = sink.record(large());
    store.hooks().sent().await;
    for _ in 0..2 {
        let waiting: Vec<_> = (0..10).map(|_| sink.record(large())).collect();
        assert!(is_overloaded(&now(sink.record(large())).await));
        drop(waiting);
    }
    let waiting: Vec<_> = (0..10).map(|_| sink.record(large())).collect();
    assert!(is_overloaded(&now(sink.record(large())).await));
    store.hooks().let_through();
    in_flight.await.unwrap();
    for call in waiting {
        call.await.unwrap();
    }
    sink.record(large()).await.unwrap();
    assert_eq!(verified(&store).await.len(), 12);
}

/// Would catch an event that is larger than the limit and can never be appended,
/// and one of whose size a second one is let in.
#[tokio::test]
async fn an_event_larger_than_the_bytes_that_may_wait_waits_alone() {
    let store = held();
    let mut config = AuditConfig::default();
    config.queue_bytes = 1;
    let sink = sink(&store, config);
    let in_flight = sink.record(event("in flight"));
    store.hooks().sent().await;
    let waiting = sink.record(event("waiting"));
    assert!(is_overloaded(&now(sink.record(event("refused"))).await));
    store.hooks().let_through();
    in_flight.await.unwrap();
    waiting.await.unwrap();
}

/// Would catch a failure that is named as the cause long after it has passed.
#[test]
fn a_success_ends_the_last_cause() {
    let faults = Faults::new([Fault::RequestLost, Fault::None], Fault::LateAndSilent);
    let store = Hooked::new(MemoryChain::new(), faults);
    let clock = AutoClock::default();
    let silent = alone(&clock, store, AuditConfig::default(), async |sink| {
        sink.record(event("first")).await.unwrap();
        sink.record(event("silent")).await
    });
    let Err(AppendError::Unknown { cause, .. }) = silent else {
        panic!("what is in flight is unknown: {silent:?}");
    };
    assert_eq!(cause.to_string(), "no reply yet");
}

/// Would catch a batch that was returned and not counted: with what has been
/// queued meanwhile it would be larger than the limit.
#[tokio::test]
async fn a_returned_batch_counts_towards_the_next() {
    let store = held();
    let mut config = AuditConfig::default();
    // Room for one record, and not for two.
    config.batch_bytes = 400;
    let sink = sink(&store, config);
    let first = sink.record(event("first"));
    store.hooks().sent().await;
    let other = Builder::new().audit_sink(store.store().clone());
    other.record(event("other")).await.unwrap();
    let second = sink.record(event("second"));
    store.hooks().let_through();
    first.await.unwrap();
    second.await.unwrap();
    let stats = sink.stats();
    assert_eq!((stats.conflicts, stats.batches), (1, 2));
}

/// Would catch records of others, met at a conflict, whose loss is not noticed.
#[tokio::test]
async fn what_a_conflict_showed_is_seen() {
    let chain = MemoryChain::new();
    let faults = Faults::new([Fault::None, Fault::None, Fault::Denied], Fault::None);
    let sink = Builder::new().audit_sink(Hooked::new(chain.clone(), faults));
    sink.record(event("ours")).await.unwrap();
    let before = chain.with(|chain| chain.clone());
    let other = Builder::new().audit_sink(chain.clone());
    other.record(event("theirs")).await.unwrap();
    sink.record(event("denied")).await.unwrap_err();
    assert_eq!(sink.stats().conflicts, 1);
    chain.with(|chain| *chain = before);
    assert!(is_rolled_back(&sink.record(event("next")).await));
}

fn is_rolled_back(ended: &Result<Appended, AppendError>) -> bool {
    matches!(ended, Err(AppendError::Corrupt(Corrupt::RolledBack(_))))
}

/// After the first record the chain is corrupt.
#[derive(Clone, Default)]
struct Diverging(Arc<AtomicU32>);

impl Diverging {
    fn diverged<T>() -> Result<T, AttemptError> {
        let (prefix, detail) = (String::new(), String::new());
        Err(AttemptError::Corrupt(Corrupt::Diverged { prefix, detail }))
    }
}

impl<S: AuditStore> AuditHooks<S> for Diverging {
    async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => next.append(batch).await,
            _ => Self::diverged(),
        }
    }

    async fn tail(&self, next: &S, seen: Option<Position>) -> Result<Tail, AttemptError> {
        match self.0.load(Ordering::SeqCst) {
            0 => next.tail(seen).await,
            _ => Self::diverged(),
        }
    }
}

/// Would catch an event that is sent to a chain known to be corrupt: the head has
/// to be read first.
#[tokio::test]
async fn nothing_is_sent_to_a_corrupt_chain() {
    let diverging = Diverging::default();
    let store = Hooked::new(MemoryChain::new(), diverging.clone());
    let sink = Builder::new().audit_sink(store);
    sink.record(event("first")).await.unwrap();
    for _ in 0..2 {
        let refused = sink.record(event("refused")).await;
        assert!(
            matches!(refused, Err(AppendError::Corrupt(Corrupt::Diverged { .. }))),
            "{refused:?}"
        );
    }
    assert_eq!(diverging.0.load(Ordering::SeqCst), 2);
}

/// Its last anchor is this one.
struct LastAnchor(Position);

impl AnchorSink for LastAnchor {
    fn write(&mut self, _: &Anchor) -> std::io::Result<()> {
        Ok(())
    }

    fn last(&self) -> Option<Position> {
        Some(self.0)
    }
}

/// Would catch a chain that lacks the highest position known, from an anchor or
/// from the caller, and is continued.
#[tokio::test]
async fn the_highest_known_position_counts_as_seen() {
    let chain = MemoryChain::new();
    let sink = Builder::new().audit_sink(chain.clone());
    let first = sink.record(event("first")).await.unwrap().position;
    let before = chain.with(|chain| chain.clone());
    let second = sink.record(event("second")).await.unwrap().position;
    chain.with(|chain| *chain = before);
    for (anchored, seen) in [(first, second), (second, first)] {
        let sink = Builder::new()
            .seen(seen)
            .anchors(LastAnchor(anchored), NonZeroU64::MIN)
            .audit_sink(chain.clone());
        assert!(is_rolled_back(&sink.record(event("next")).await));
    }
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
    assert!(is_rolled_back(&sink.record(event("next")).await));
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
    config.queue_bytes = usize::MAX;
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
