//! What a process has observed of the vault, shared by two threads that change
//! it through clones of one production token store, over a vault that keeps
//! only its last receipt and refuses a process that has observed more than it
//! contains.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions: no
//! thread claims to have observed what is not there, so that no false rollback
//! is reported; and both threads' additions count. It cannot show that a true
//! rollback is detected, or a replica that reads from another server.

use haechi_store_redis::test_util::Fault;
use loom::thread;

use crate::{
    counters::{add, count, counter, tokens},
    explore::{Shown, catches, proves, show},
    vault::{Flaw, Vault},
};

/// The maximum number of preemptions in a schedule.
const PREEMPTIONS: usize = 3;

fn two_threads(flaw: Flaw, kept: u64) -> Shown {
    let vault = Vault::new(flaw, kept, Fault::None, Fault::None);
    let (token, others) = (counter("n")?, counter("m")?);
    let tokens = tokens(vault.other(1), 1);
    let other = {
        let (tokens, others) = (tokens.clone(), others.clone());
        thread::spawn(move || {
            let first = add(&tokens, &others, 1);
            first.and_then(|_| add(&tokens, &others, 1))
        })
    };
    let mine = add(&tokens, &token, 1).and_then(|_| add(&tokens, &token, 1));
    let other = other.join().map_err(|_| "a thread panicked")?;
    for result in [mine, other] {
        if let Err(error) = result {
            return Err(error.to_string());
        }
    }
    let sums = [count(&vault, &token), count(&vault, &others)];
    show!(sums == [2, 2], "four additions count as {sums:?}");
    // A last request with everything observed so far.
    let last = add(&tokens, &token, 1);
    show!(last.is_ok(), "afterwards: {last:?}");
    Ok(())
}

/// Would catch an `Observed` combined from two, or one that is sent after the
/// vault has dropped its receipt.
#[test]
fn no_false_rollback_is_reported() {
    proves("observed, one receipt kept", PREEMPTIONS, || {
        two_threads(Flaw::None, 1)
    });
    proves("observed, all receipts kept", PREEMPTIONS, || {
        two_threads(Flaw::None, 100)
    });
}

/// Needs one thread's observation to be as old as the other's last receipt.
#[test]
fn planted_a_receipt_no_longer_kept_counts_as_lost() {
    catches(
        "observed, trimming ignored",
        PREEMPTIONS,
        "rolled back",
        || two_threads(Flaw::IgnoresTrimming, 1),
    );
}
