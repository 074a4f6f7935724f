//! The sink's queue and its append loop, over a chain in memory.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions: two
//! callers and the loop on three threads never deadlock, no wake-up is lost,
//! and each caller gets a place of its own. It cannot show anything about
//! Redis, about time (the clock never moves), or about more callers.

use std::{
    future::{Future, pending},
    io,
    time::Duration,
};

use haechi_store_redis::{
    audit::{AuditSink, MemoryStore, SinkConfig},
    chain::Event,
    clock::Clock,
    entropy::Entropy,
};
use loom::{future::block_on, thread};

/// Preemptions that a schedule may hold; see loom's documentation.
const PREEMPTIONS: usize = 2;

/// A clock that stands still: no deadline ever passes.
#[derive(Clone)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> impl Future<Output = ()> + Send {
        pending()
    }
}

#[derive(Clone)]
struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(0);
        Ok(())
    }
}

fn event() -> Event {
    Event::from_json(r#"{"id":"e"}"#).unwrap()
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

/// Catches a waker registered after the state was looked at, and a slot that
/// is settled twice or never.
#[test]
fn two_callers_get_two_places() {
    check(|| {
        let (sink, append_loop) = AuditSink::new(
            MemoryStore::new(),
            Still,
            Zeros,
            SinkConfig::default(),
            None,
        );
        let appending = thread::spawn(move || block_on(append_loop.run()));
        let other = {
            let sink = sink.clone();
            thread::spawn(move || block_on(sink.record(event())).unwrap())
        };
        let mine = block_on(sink.record(event())).unwrap();
        let other = other.join().unwrap();
        let mut places = [mine, other].map(|end| end.position.sequence.get());
        places.sort_unstable();
        assert_eq!(places, [1, 2]);
        drop(sink);
        appending.join().unwrap();
    });
}

/// Catches a caller left waiting for ever when the sink is closed under it.
#[test]
fn closing_settles_every_caller() {
    check(|| {
        let (sink, append_loop) = AuditSink::new(
            MemoryStore::new(),
            Still,
            Zeros,
            SinkConfig::default(),
            None,
        );
        let caller = {
            let sink = sink.clone();
            thread::spawn(move || block_on(sink.record(event())).is_ok())
        };
        let appending = thread::spawn(move || block_on(append_loop.run()));
        let report = block_on(sink.close(Duration::ZERO));
        assert!(report.unknown.is_empty());
        // Applied, or told that the sink is closed: either, but an answer.
        let _ = caller.join().unwrap();
        appending.join().unwrap();
    });
}
