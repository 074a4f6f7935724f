//! The sink's queue and its append loop, over a chain in memory.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions: two
//! callers and the loop on three threads never deadlock, no wake-up is lost,
//! and each caller gets a place of its own; and closing the sink under a
//! caller leaves nobody waiting. It cannot show anything about Redis, about
//! time (the clock never moves), or about more callers.
//!
//! The queue is private to the sink, and no store can make it forget to wake
//! somebody. So that bug is planted in the thread that drives the future: it
//! is polled with a waker that wakes nobody, which is what it sees of a queue
//! that has lost its waker.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Waker},
};

use haechi_store_redis::{
    audit::{AuditConfig, AuditSink},
    test_util::{InstantClock, MemoryChain, SplitMixEntropy},
};
use loom::{future::block_on, thread};

use crate::{
    explore::{Shown, catches_standstill, proves, show},
    inputs::event,
};

/// Preemptions that a schedule may hold.
const PREEMPTIONS: usize = 2;

type Sink = AuditSink<InstantClock, SplitMixEntropy>;
type AppendLoop = haechi_store_redis::audit::AppendLoop<MemoryChain, InstantClock, SplitMixEntropy>;

fn sink() -> (Sink, AppendLoop) {
    let mut config = AuditConfig::default();
    config.deadline = InstantClock::FOREVER;
    AuditSink::new(
        MemoryChain::new(),
        InstantClock,
        SplitMixEntropy::new(1),
        config,
        None,
    )
}

/// Who does not hear a wake-up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deaf {
    Nobody,
    TheLoop,
    TheCaller,
}

/// Runs `future`, as if nothing that it waits for ever woke it if `deaf`.
fn run<F: Future>(future: F, deaf: bool) -> F::Output {
    let mut future = pin!(future);
    block_on(poll_fn(|cx| {
        if deaf {
            future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        } else {
            future.as_mut().poll(cx)
        }
    }))
}

fn two_callers(deaf: Deaf) -> Shown {
    let (sink, append_loop) = sink();
    let appending = thread::spawn(move || run(append_loop.run(), deaf == Deaf::TheLoop));
    let others = event()?;
    let other = {
        let sink = sink.clone();
        thread::spawn(move || block_on(sink.record(others)))
    };
    let mine = run(sink.record(event()?), deaf == Deaf::TheCaller);
    let other = other.join().map_err(|_| "a thread panicked")?;
    drop(sink);
    appending.join().map_err(|_| "a thread panicked")?;
    let mut places = Vec::new();
    for told in [mine, other] {
        places.push(
            told.map_err(|error| error.to_string())?
                .position
                .sequence
                .get(),
        );
    }
    places.sort_unstable();
    show!(places == [1, 2], "two callers were given {places:?}");
    Ok(())
}

fn closing(deaf: Deaf) -> Shown {
    let (sink, append_loop) = sink();
    let event = event()?;
    let caller = {
        let sink = sink.clone();
        thread::spawn(move || run(sink.record(event), deaf == Deaf::TheCaller))
    };
    let appending = thread::spawn(move || run(append_loop.run(), deaf == Deaf::TheLoop));
    let report = block_on(sink.close(InstantClock::FOREVER));
    // Applied, or told that the sink is closed: either, but an answer.
    let _ = caller.join().map_err(|_| "a thread panicked")?;
    appending.join().map_err(|_| "a thread panicked")?;
    show!(report.unknown.is_empty(), "closing left something unknown");
    Ok(())
}

/// Catches a waker registered after the state was looked at, and a slot that
/// is settled twice or never.
#[test]
fn two_callers_get_two_places() {
    proves("queue", PREEMPTIONS, || two_callers(Deaf::Nobody));
}

/// Catches a caller left waiting for ever when the sink is closed under it.
#[test]
fn closing_settles_every_caller() {
    proves("queue, closing", PREEMPTIONS, || closing(Deaf::Nobody));
}

#[test]
fn planted_a_loop_that_is_not_woken() {
    let test = "sink_queue::planted_a_loop_that_is_not_woken";
    catches_standstill(test, "queue, deaf loop", PREEMPTIONS, || {
        two_callers(Deaf::TheLoop)
    });
    catches_standstill(test, "queue, closing, deaf loop", PREEMPTIONS, || {
        closing(Deaf::TheLoop)
    });
}

#[test]
fn planted_a_caller_that_is_not_woken() {
    let test = "sink_queue::planted_a_caller_that_is_not_woken";
    catches_standstill(test, "queue, deaf caller", PREEMPTIONS, || {
        two_callers(Deaf::TheCaller)
    });
    catches_standstill(test, "queue, closing, deaf caller", PREEMPTIONS, || {
        closing(Deaf::TheCaller)
    });
}
