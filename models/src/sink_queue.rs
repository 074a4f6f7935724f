//! The sink's queue and its append loop, over a chain in memory.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions: two
//! callers and the loop on three threads never deadlock, no wake-up is lost,
//! and each caller gets its own position; and closing the sink under a caller
//! leaves no one waiting, and a caller that leaves while the loop ends is settled
//! once. It cannot show anything about Redis, about time (the clock stands still),
//! or about more callers.
//!
//! The queue is private to the sink, and no store can make it lose a waker. So
//! that bug is planted in the thread that polls the future: its waker does
//! nothing.

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
    explore::{Shown, catches_deadlock, proves, show},
    inputs::event,
};

/// The maximum number of preemptions in a schedule.
const PREEMPTIONS: usize = 2;

type Sink = AuditSink<InstantClock, SplitMixEntropy>;
type AppendLoop = haechi_store_redis::audit::AppendLoop<MemoryChain, InstantClock, SplitMixEntropy>;

fn sink() -> (Sink, AppendLoop) {
    let mut config = AuditConfig::default();
    // Three quarters of it are for ever, too.
    config.deadline = 2 * InstantClock::FOREVER;
    AuditSink::new(
        MemoryChain::new(),
        InstantClock,
        SplitMixEntropy::new(1),
        config,
        None,
    )
}

/// The thread whose waker does nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unwoken {
    Nobody,
    TheLoop,
    TheCaller,
}

/// Runs `future`; if `unwoken`, its waker does nothing.
fn run<F: Future>(future: F, unwoken: bool) -> F::Output {
    let mut future = pin!(future);
    block_on(poll_fn(|cx| {
        if unwoken {
            future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        } else {
            future.as_mut().poll(cx)
        }
    }))
}

fn two_callers(unwoken: Unwoken) -> Shown {
    let (sink, append_loop) = sink();
    let appending =
        thread::spawn(move || run(Box::pin(append_loop.run()), unwoken == Unwoken::TheLoop));
    let others = event()?;
    let other = {
        let sink = sink.clone();
        thread::spawn(move || block_on(sink.record(others)))
    };
    let mine = run(sink.record(event()?), unwoken == Unwoken::TheCaller);
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

fn closing(unwoken: Unwoken) -> Shown {
    let (sink, append_loop) = sink();
    let event = event()?;
    let caller = {
        let sink = sink.clone();
        thread::spawn(move || run(sink.record(event), unwoken == Unwoken::TheCaller))
    };
    let appending =
        thread::spawn(move || run(Box::pin(append_loop.run()), unwoken == Unwoken::TheLoop));
    let report = block_on(sink.close(InstantClock::FOREVER));
    // Applied, or not because the sink is closed: either is an answer.
    let _ = caller.join().map_err(|_| "a thread panicked")?;
    appending.join().map_err(|_| "a thread panicked")?;
    show!(report.unknown.is_empty(), "closing left something unknown");
    Ok(())
}

fn leaving() -> Shown {
    let (sink, append_loop) = sink();
    let call = sink.record(event()?);
    let caller = thread::spawn(move || drop(call));
    drop(append_loop);
    caller.join().map_err(|_| "the caller panicked".into())
}

/// Would catch an event that both the caller who leaves and the end of the loop take out of
/// the queue.
#[test]
fn a_caller_leaves_while_the_loop_ends() {
    proves("queue, leaving", PREEMPTIONS, leaving);
}

/// Would catch a waker registered after the state was read, and an entry that
/// is settled twice or never.
#[test]
fn two_callers_get_two_places() {
    proves("queue", PREEMPTIONS, || two_callers(Unwoken::Nobody));
}

/// Would catch a caller left waiting for ever when the sink is closed.
#[test]
fn closing_settles_every_caller() {
    proves("queue, closing", PREEMPTIONS, || closing(Unwoken::Nobody));
}

#[test]
fn planted_a_loop_that_is_not_woken() {
    let test = "sink_queue::planted_a_loop_that_is_not_woken";
    catches_deadlock(test, "queue, unwoken loop", PREEMPTIONS, || {
        two_callers(Unwoken::TheLoop)
    });
    catches_deadlock(test, "queue, closing, unwoken loop", PREEMPTIONS, || {
        closing(Unwoken::TheLoop)
    });
}

#[test]
fn planted_a_caller_that_is_not_woken() {
    let test = "sink_queue::planted_a_caller_that_is_not_woken";
    catches_deadlock(test, "queue, unwoken caller", PREEMPTIONS, || {
        two_callers(Unwoken::TheCaller)
    });
    catches_deadlock(test, "queue, closing, unwoken caller", PREEMPTIONS, || {
        closing(Unwoken::TheCaller)
    });
}
