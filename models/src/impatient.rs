//! Callers that leave: two threads record through one production sink whose
//! deadline is over at once, so that each gives up wherever its event has got
//! to, while the append loop runs on a third and a late copy arrives from a
//! fourth. In a second model one caller leaves while another replica takes the
//! place that its event was sealed for.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions, and
//! [`INTRUDED`] in the second: what a
//! caller is told when it leaves stays true. What is said not to be applied
//! never comes to stand in the chain, what is of unknown outcome stands at
//! the place that its handle names or nowhere, and nothing stands there twice.
//! It cannot show anything about the time that a deadline takes, or about
//! callers that are dropped rather than timed out.

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

/// Preemptions that a schedule may hold.
const PREEMPTIONS: usize = 2;

/// The same where there is one caller.
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
    let appending = thread::spawn(move || block_on(append_loop.run()));
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
    chain.bears_out(&[(append_id(1), mine), (append_id(2), other)])
}

/// One caller, and another replica that takes the place its event was sealed
/// for.
fn one_caller(flaw: Flaw, first: Fault) -> Shown {
    let chain = Chain::new(first);
    let (sink, append_loop) = sink(&chain, flaw);
    let appending = thread::spawn(move || block_on(append_loop.run()));
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
    chain.bears_out(&[(append_id(1), mine)])
}

/// Catches an event that is sent, or sent again, after its caller was told
/// that it is not, and one whose handle names a place it does not stand at.
#[test]
fn what_a_caller_was_told_stays_true() {
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

/// One that is said to pass is tried again, one that is not is told.
#[test]
fn planted_a_lost_reply_taken_for_a_refusal() {
    catches("impatient, loss is refusal", PREEMPTIONS, "twice", || {
        two_callers(Flaw::LossIsRefusal, Fault::ReplyLost)
    });
    catches(
        "impatient, loss is denial",
        PREEMPTIONS,
        "said not to be",
        || two_callers(Flaw::LossIsDenial, Fault::ReplyLost),
    );
}
