//! A mutation that was given up, and its attempt that arrives all the same:
//! the production token store sends one attempt and hears nothing until the
//! deadline, or loses the reply and is denied the next one, and settles the
//! mutation, while another thread delivers the attempt at any point. In some
//! of the models another replica moves the same token there and back.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions: what is
//! said not to be applied never is, however late its attempt; what is said to
//! be applied is, once; and the mutation never ends as unknown, since settling
//! is answered. It cannot show what happens once the receipts that are kept
//! have all been replaced, or that a connection delivers late at all.

use haechi_store_redis::{test_util::Fault, vault::MutateError};
use loom::thread;

use crate::{
    counters::{add, count, counter, tokens},
    explore::{Shown, catches, proves, show},
    vault::{Flaw, Vault},
};

/// Preemptions that a schedule may hold.
const PREEMPTIONS: usize = 3;

/// The first attempt comes late, and its sender hears nothing.
const SILENT: (Fault, Fault) = (Fault::LateAndSilent, Fault::None);
/// It comes late, and every further attempt is denied: say, because the
/// permission to write was taken away.
const LATE_THEN_DENIED: (Fault, Fault) = (Fault::Late, Fault::Denied);
/// It runs unheard, and every further attempt is denied.
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
    let told = add(&tokens(vault.struck(1), 1), &token, 1);
    if let Some(other) = other {
        let other = other.join().map_err(|_| "a thread panicked")?;
        show!(other, "the other replica was not acknowledged");
    }
    third.join().map_err(|_| "a thread panicked")?;
    vault.deliver();
    let sum = count(&vault, &token);
    match told {
        Ok(_) => show!(sum == 1, "said to be applied, and counts as {sum}"),
        Err(MutateError::NotApplied(_)) => {
            show!(sum == 0, "said not to be applied, and counts as {sum}");
        }
        Err(error) => return Err(format!("told neither: {error}")),
    }
    Ok(())
}

/// Catches a "not applied" that does not last.
#[test]
fn what_is_not_applied_never_will_be() {
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
        "said not to be applied",
        || given_up(Flaw::NoTombstone, SILENT, false),
    );
}

#[test]
fn planted_receipts_that_are_ignored() {
    catches(
        "late copy, receipts ignored",
        PREEMPTIONS,
        "said not to be applied",
        || given_up(Flaw::IgnoresReceipts, SILENT, false),
    );
}

#[test]
fn planted_a_lost_reply_taken_for_a_refusal() {
    for first in [LATE_THEN_DENIED, LOST_THEN_DENIED] {
        catches(
            "late copy, loss is refusal",
            PREEMPTIONS,
            "said not to be applied",
            move || given_up(Flaw::LossIsRefusal, first, false),
        );
    }
}
