//! Callers that leave: two threads record through one production sink whose
//! deadline is over at once, so that each gives up at any state of its event,
//! while the append loop runs on a third and a late copy arrives from a fourth.
//! In a second model one caller leaves while another replica takes the position
//! that its event was sealed for.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions, and
//! [`INTRUDED`] in the second: the result that a caller gets when it leaves
//! stays true. An event that was reported as not applied is never in the chain,
//! one of unknown outcome is at the position in its handle or not in the chain,
//! and none is there twice. It cannot show anything about the duration of a
//! deadline, or about callers that are dropped rather than timed out.

use std::time::Duration;

use haechi_store_redis::{
    audit::{AppendLoop, AuditConfig, AuditSink},
    test_util::{Fault, InstantClock, SplitMixEntropy},
};
use loom::{future::block_on, thread};

use crate::{
    chain::{Chain, Flaw, Replica},
    explore::{Shown, catches, proves},
    inputs::{append_id, event},
};

/// The maximum number of preemptions in a schedule.
const PREEMPTIONS: usize = 2;

/// The same with one caller.
const INTRUDED: usize = 3;

type Sink = AuditSink<InstantClock, SplitMixEntropy>;

fn sink(chain: &Chain, flaw: Flaw) -> (Sink, AppendLoop<Replica, InstantClock, SplitMixEntropy>) {
    let mut config = AuditConfig::default();
    config.deadline = Duration::ZERO;
    AuditSink::new(
        chain.struck(1, flaw),
        InstantClock,
        SplitMixEntropy::new(1),
        config,
        None,
    )
}

fn two_callers(flaw: Flaw, first: Fault) -> Shown {
    let chain = Chain::new(first);
    let (sink, append_loop) = sink(&chain, flaw);
    let appending = thread::spawn(move || block_on(Box::pin(append_loop.run())));
    let late = (first == Fault::Late).then(|| {
        let chain = chain.clone();
        thread::spawn(move || chain.deliver())
    });
    let others = event()?;
    let other = {
        let sink = sink.clone();
        thread::spawn(move || block_on(sink.record_as(append_id(2), others)))
    };
    let mine = block_on(sink.record_as(append_id(1), event()?));
    drop(sink);
    let other = other.join().map_err(|_| "a thread panicked")?;
    for thread in [Some(appending), late].into_iter().flatten() {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    chain.deliver();
    chain.matches(&[(append_id(1), mine), (append_id(2), other)])
}

/// One caller, and another replica that takes the position its event was sealed
/// for.
fn one_caller(flaw: Flaw, first: Fault) -> Shown {
    let chain = Chain::new(first);
    let (sink, append_loop) = sink(&chain, flaw);
    let appending = thread::spawn(move || block_on(Box::pin(append_loop.run())));
    let intruding = {
        let chain = chain.clone();
        let event = event()?;
        thread::spawn(move || {
            let intruded = chain.intrude(append_id(9), &event);
            chain.deliver();
            intruded
        })
    };
    let mine = block_on(sink.record_as(append_id(1), event()?));
    drop(sink);
    intruding.join().map_err(|_| "a thread panicked")??;
    appending.join().map_err(|_| "a thread panicked")?;
    chain.matches(&[(append_id(1), mine)])
}

/// Would catch an event that is sent, or sent again, after it was reported as
/// not applied, and one whose handle names a wrong position.
#[test]
fn a_result_stays_true_after_the_caller_has_left() {
    for (name, first) in [
        ("answered", Fault::None),
        ("reply lost", Fault::ReplyLost),
        ("late copy", Fault::Late),
    ] {
        proves(&format!("impatient: {name}"), PREEMPTIONS, move || {
            two_callers(Flaw::None, first)
        });
        proves(
            &format!("impatient, intruder: {name}"),
            INTRUDED,
            move || one_caller(Flaw::None, first),
        );
    }
}

/// A temporary refusal is retried, a permanent one is reported.
#[test]
fn planted_a_lost_reply_taken_for_a_refusal() {
    catches("impatient, loss is refusal", PREEMPTIONS, "twice", || {
        two_callers(Flaw::LossIsRefusal, Fault::ReplyLost)
    });
    catches(
        "impatient, loss is denial",
        PREEMPTIONS,
        "reported as not applied",
        || two_callers(Flaw::LossIsDenial, Fault::ReplyLost),
    );
}
