//! The fence protocol of the vault: the production token stores of two replicas
//! add to one token of one vault, each of whose commands is one atomic step,
//! while a third thread makes the lock expire and delivers a late copy.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions, or
//! [`THERE_AND_BACK`] if the other replica changes the value and restores it,
//! where the first attempt of one replica is answered, loses its reply, or
//! arrives at any later moment: every addition is acknowledged and counted
//! exactly once, the two return different sums, and no late attempt adds again,
//! even if the value is then the one it was fenced on. If its receipt has been
//! replaced meanwhile, the addition may end as unknown, and is still counted at
//! most once. It cannot show that Redis runs a script as one step, that the
//! store's Lua matches the backend here, or anything about mutations of the
//! whole vault.

use haechi_store_redis::{test_util::Fault, vault::MutateError};
use loom::thread;

use crate::{
    counters::{add, count, counter, tokens},
    explore::{Shown, catches, proves, show},
    vault::{Flaw, Vault},
};

/// The maximum number of preemptions in a schedule.
const PREEMPTIONS: usize = 3;

/// The same if the value is changed and restored.
const THERE_AND_BACK: usize = 4;

/// More receipts than a model writes.
const ALL: u64 = 100;

fn two_replicas(flaw: Flaw, first: Fault, lapses: bool) -> Shown {
    let vault = Vault::new(flaw, ALL, first, Fault::None);
    let token = counter("n")?;
    let third = lapses.then(|| {
        let vault = vault.clone();
        thread::spawn(move || {
            vault.lapse();
            vault.deliver();
        })
    });
    let other = {
        let (vault, token) = (vault.clone(), token.clone());
        thread::spawn(move || add(&tokens(vault.other(2), 2), &token, 1))
    };
    let mine = add(&tokens(vault.struck(1), 1), &token, 1);
    let other = other.join().map_err(|_| "a thread panicked")?;
    if let Some(third) = third {
        third.join().map_err(|_| "a thread panicked")?;
    }
    let (mine, other) = match (mine, other) {
        (Ok(mine), Ok(other)) => (mine, other),
        (mine, other) => return Err(format!("not acknowledged: {mine:?}, {other:?}")),
    };
    vault.deliver();
    let sum = count(&vault, &token);
    show!(sum == 2, "two additions count as {sum}");
    show!(
        mine.output + other.output == 3,
        "two additions returned {} and {}",
        mine.output,
        other.output
    );
    show!(
        mine.version != other.version,
        "two mutations made one version"
    );
    Ok(())
}

/// The other replica adds and subtracts again: a later attempt finds the value
/// that it was fenced on. It arrives directly after that or at the end.
fn there_and_back(flaw: Flaw) -> Shown {
    let vault = Vault::new(flaw, ALL, Fault::Late, Fault::None);
    let token = counter("n")?;
    let other = {
        let (vault, token) = (vault.clone(), token.clone());
        thread::spawn(move || {
            let tokens = tokens(vault.other(2), 2);
            let there = add(&tokens, &token, 5).is_ok();
            let back = add(&tokens, &token, -5).is_ok();
            vault.deliver();
            there && back
        })
    };
    let mine = add(&tokens(vault.struck(1), 1), &token, 1);
    let other = other.join().map_err(|_| "a thread panicked")?;
    show!(mine.is_ok() && other, "not acknowledged: {mine:?}");
    vault.deliver();
    let sum = count(&vault, &token);
    show!(sum == 1, "one addition counts as {sum}");
    Ok(())
}

/// The other replica continues until the receipt of the late attempt is
/// replaced: then the outcome is no longer known, and nothing may be retried.
fn receipt_replaced(flaw: Flaw) -> Shown {
    let vault = Vault::new(flaw, 2, Fault::Late, Fault::None);
    let token = counter("n")?;
    let other = {
        let (vault, token) = (vault.clone(), token.clone());
        thread::spawn(move || {
            let tokens = tokens(vault.other(2), 2);
            let there = add(&tokens, &token, 5).is_ok();
            let back = add(&tokens, &token, -5).is_ok();
            vault.deliver();
            let on = [-3, 2].map(|amount| add(&tokens, &token, amount).is_ok());
            there && back && on == [true, true]
        })
    };
    let mine = add(&tokens(vault.struck(1), 1), &token, 1);
    let other = other.join().map_err(|_| "a thread panicked")?;
    show!(other, "the other replica was not acknowledged");
    vault.deliver();
    let sum = count(&vault, &token);
    match mine {
        Ok(_) => show!(sum == 0, "one addition to -1 gives {sum}"),
        Err(MutateError::Unknown { .. }) => {
            show!(sum == 0 || sum == -1, "one addition to -1 gives {sum}");
        }
        Err(error) => return Err(error.to_string()),
    }
    Ok(())
}

/// Would catch an addition that overwrites another.
#[test]
fn two_replicas_count_to_two() {
    proves("apply: answered", PREEMPTIONS, || {
        two_replicas(Flaw::None, Fault::None, true)
    });
}

/// Would catch an addition that is repeated after it was applied.
#[test]
fn a_lost_reply_adds_nothing() {
    proves("apply: reply lost", PREEMPTIONS, || {
        two_replicas(Flaw::None, Fault::ReplyLost, true)
    });
}

/// Would catch two attempts of one mutation that are both applied.
#[test]
fn a_late_attempt_adds_nothing() {
    proves("apply: late copy", PREEMPTIONS, || {
        two_replicas(Flaw::None, Fault::Late, true)
    });
    proves("apply: late copy, there and back", THERE_AND_BACK, || {
        there_and_back(Flaw::None)
    });
    proves("apply: late copy, receipt replaced", THERE_AND_BACK, || {
        receipt_replaced(Flaw::None)
    });
}

/// The lock alone is enough if it never expires; the third thread, which the
/// models above have too, breaks it.
#[test]
fn planted_a_lock_that_is_trusted_breaks_when_it_lapses() {
    proves("apply, lock trusted, no lapse", PREEMPTIONS, || {
        two_replicas(Flaw::TrustsLock, Fault::None, false)
    });
    catches("apply, lock trusted", PREEMPTIONS, "count as 1", || {
        two_replicas(Flaw::TrustsLock, Fault::None, true)
    });
}

#[test]
fn planted_receipts_that_are_ignored() {
    catches("apply, receipts ignored", PREEMPTIONS, "count as 3", || {
        two_replicas(Flaw::IgnoresReceipts, Fault::ReplyLost, true)
    });
    catches(
        "apply, receipts ignored, there and back",
        THERE_AND_BACK,
        "counts as 2",
        || there_and_back(Flaw::IgnoresReceipts),
    );
}

#[test]
fn planted_a_receipt_replaced_counts_as_none() {
    catches(
        "apply, replaced receipts ignored",
        THERE_AND_BACK,
        "gives 1",
        || receipt_replaced(Flaw::IgnoresExpiry),
    );
}
