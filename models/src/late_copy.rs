//! A mutation that was given up, and its attempt that arrives later: the
//! production token store sends one attempt and gets no reply until the
//! deadline, or loses the reply and is denied the next one, and settles the
//! mutation, while another thread delivers the attempt at any point. In some of
//! the models another replica changes the same token and restores it.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions: a
//! mutation reported as not applied never is, however late its attempt; one
//! reported as applied is, once; and none ends as unknown, since settling is
//! answered. It cannot show what happens once all kept receipts have been
//! replaced, or that a connection delivers late at all.

use haechi_store_redis::{test_util::Fault, vault::MutateError};
use loom::thread;

use crate::{
    counters::{add, count, counter, tokens},
    explore::{Shown, catches, proves, show},
    vault::{Flaw, Vault},
};

/// The maximum number of preemptions in a schedule.
const PREEMPTIONS: usize = 3;

/// The first attempt is late, and its sender gets no reply.
const SILENT: (Fault, Fault) = (Fault::LateAndSilent, Fault::None);
/// It is late, and every further attempt is denied, for example because the
/// permission to write was revoked.
const LATE_THEN_DENIED: (Fault, Fault) = (Fault::Late, Fault::Denied);
/// It runs, its reply is lost, and every further attempt is denied.
const LOST_THEN_DENIED: (Fault, Fault) = (Fault::ReplyLost, Fault::Denied);

fn given_up(flaw: Flaw, (first, then): (Fault, Fault), others: bool) -> Shown {
    let vault = Vault::new(flaw, 100, first, then);
    let token = counter("n")?;
    let third = {
        let vault = vault.clone();
        thread::spawn(move || vault.deliver())
    };
    let other = others.then(|| {
        let (vault, token) = (vault.clone(), token.clone());
        thread::spawn(move || {
            let tokens = tokens(vault.other(2), 2);
            add(&tokens, &token, 5).is_ok() && add(&tokens, &token, -5).is_ok()
        })
    });
    let outcome = add(&tokens(vault.struck(1), 1), &token, 1);
    if let Some(other) = other {
        let other = other.join().map_err(|_| "a thread panicked")?;
        show!(other, "the other replica was not acknowledged");
    }
    third.join().map_err(|_| "a thread panicked")?;
    vault.deliver();
    let sum = count(&vault, &token);
    match outcome {
        Ok(_) => show!(sum == 1, "reported as applied, but counts as {sum}"),
        Err(MutateError::NotApplied(_)) => {
            show!(sum == 0, "reported as not applied, but counts as {sum}");
        }
        Err(error) => return Err(format!("neither applied nor not applied: {error}")),
    }
    Ok(())
}

/// Would catch a "not applied" that does not stay true.
#[test]
fn not_applied_stays_true() {
    for (name, first) in [
        ("silent", SILENT),
        ("then denied", LATE_THEN_DENIED),
        ("lost, then denied", LOST_THEN_DENIED),
    ] {
        proves(&format!("late copy, {name}"), PREEMPTIONS, move || {
            given_up(Flaw::None, first, false)
        });
        proves(
            &format!("late copy, {name}, there and back"),
            PREEMPTIONS,
            move || given_up(Flaw::None, first, true),
        );
    }
}

#[test]
fn planted_a_drop_without_a_tombstone() {
    catches(
        "late copy, no tombstone",
        PREEMPTIONS,
        "reported as not applied",
        || given_up(Flaw::NoTombstone, SILENT, false),
    );
}

#[test]
fn planted_receipts_that_are_ignored() {
    catches(
        "late copy, receipts ignored",
        PREEMPTIONS,
        "reported as not applied",
        || given_up(Flaw::IgnoresReceipts, SILENT, false),
    );
}

#[test]
fn planted_a_lost_reply_taken_for_a_refusal() {
    for first in [LATE_THEN_DENIED, LOST_THEN_DENIED] {
        catches(
            "late copy, loss is refusal",
            PREEMPTIONS,
            "reported as not applied",
            move || given_up(Flaw::LossIsRefusal, first, false),
        );
    }
}
