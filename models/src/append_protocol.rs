//! The fence protocol of the chain: the production sinks and append loops of
//! two replicas over one chain, each of whose commands is one atomic step,
//! while a third thread makes the lock expire and delivers a late copy.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions and two
//! appends per replica, each in a batch of its own, where the first attempt of
//! one replica is answered, loses its reply, or arrives at any later moment:
//! the chain is linear, every append is acknowledged and is in it exactly once,
//! and no late attempt adds a second copy. It cannot show that Redis runs a
//! script as one step, anything about a chain that is rolled back or trimmed,
//! or more than one lost reply.

use haechi_store_redis::{
    audit::{AuditConfig, AuditSink},
    test_util::{Fault, InstantClock, SplitMixEntropy},
};
use loom::{future::block_on, thread};

use crate::{
    chain::{Chain, Flaw},
    explore::{Shown, catches, proves, show},
    inputs::{append_id, event},
};

/// The maximum number of preemptions in a schedule.
const PREEMPTIONS: usize = 3;

/// Two replicas append events, one per batch; `lapses` with the third thread.
fn two_replicas(flaw: Flaw, first: Fault, appends: u8, lapses: bool) -> Shown {
    let chain = Chain::new(first);
    let third = lapses.then(|| {
        let chain = chain.clone();
        thread::spawn(move || {
            chain.lapse();
            chain.deliver();
        })
    });
    let mut outcomes = Vec::new();
    let mut loops = Vec::new();
    for (number, replica) in [(1, chain.struck(1, flaw)), (2, chain.other(2, flaw))] {
        let mut config = AuditConfig::default();
        // Three quarters of it are for ever, too.
        config.deadline = 2 * InstantClock::FOREVER;
        config.batch_records = 1;
        let (sink, append_loop) = AuditSink::new(
            replica,
            InstantClock,
            SplitMixEntropy::new(u64::from(number)),
            config,
            None,
        );
        for id in (0..appends).map(|append| 10 * append + number) {
            outcomes.push((append_id(id), sink.record_as(append_id(id), event()?)));
        }
        loops.push(append_loop);
    }
    // The sinks are dropped, so a loop ends with its events. Boxed: a model's threads have
    // small stacks.
    let mine = loops.pop();
    let others: Vec<_> = loops
        .into_iter()
        .map(|append_loop| thread::spawn(move || block_on(Box::pin(append_loop.run()))))
        .collect();
    if let Some(append_loop) = mine {
        block_on(Box::pin(append_loop.run()));
    }
    for thread in others.into_iter().chain(third) {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    chain.deliver();
    let outcomes: Vec<_> = outcomes
        .into_iter()
        .map(|(append_id, outcome)| (append_id, block_on(outcome)))
        .collect();
    chain.matches(&outcomes)?;
    show!(
        outcomes.iter().all(|(_, outcome)| outcome.is_ok()),
        "an append was not acknowledged"
    );
    Ok(())
}

/// Would catch a fence that allows two records on one head.
#[test]
fn two_replicas_make_one_chain() {
    proves("append: answered", PREEMPTIONS, || {
        two_replicas(Flaw::None, Fault::None, 2, true)
    });
}

/// Would catch an append that is repeated after it was applied.
#[test]
fn a_lost_reply_makes_no_second_copy() {
    proves("append: reply lost", PREEMPTIONS, || {
        two_replicas(Flaw::None, Fault::ReplyLost, 2, true)
    });
}

/// Would catch an event that is sealed again while a copy of it is in flight.
#[test]
fn a_late_copy_makes_no_second_copy() {
    proves("append: late copy", PREEMPTIONS, || {
        two_replicas(Flaw::None, Fault::Late, 2, true)
    });
}

/// For one append each, the lock alone would do if it never lapsed: what
/// breaks it is the third thread, which the models above have too.
#[test]
fn planted_a_lock_that_is_trusted_breaks_when_it_lapses() {
    proves("append, lock trusted, no lapse", PREEMPTIONS, || {
        two_replicas(Flaw::TrustsLock, Fault::None, 1, false)
    });
    catches("append, lock trusted", PREEMPTIONS, "not linear", || {
        two_replicas(Flaw::TrustsLock, Fault::None, 1, true)
    });
}

#[test]
fn planted_a_lost_reply_taken_for_a_refusal() {
    catches("append, loss is refusal", PREEMPTIONS, "twice", || {
        two_replicas(Flaw::LossIsRefusal, Fault::ReplyLost, 2, true)
    });
    catches(
        "append, loss is refusal, late",
        PREEMPTIONS,
        "twice",
        || two_replicas(Flaw::LossIsRefusal, Fault::Late, 2, true),
    );
}

#[test]
fn planted_a_conflict_that_does_not_report_the_applied_copy() {
    catches(
        "append, landed batch not reported",
        PREEMPTIONS,
        "twice",
        || two_replicas(Flaw::OmitsAppliedCopy, Fault::ReplyLost, 2, true),
    );
}
