//! What a process remembers of the vault, shared by two threads that change
//! it through clones of one production token store, over a vault that keeps
//! only its last receipt and refuses whoever has seen more than it holds.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions: no
//! thread, whatever it remembers while the other goes on, claims to have seen
//! what is not there, so that no rollback is reported that was none; and both
//! threads' additions count. It cannot show that a true rollback is noticed,
//! or a replica that reads from another server.

use haechi_store_redis::test_util::Fault;
use loom::thread;

use crate::{
    counters::{add, count, counter, tokens},
    explore::{Shown, catches, proves, show},
    vault::{Flaw, Vault},
};

/// Preemptions that a schedule may hold.
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
    for told in [mine, other] {
        if let Err(error) = told {
            return Err(error.to_string());
        }
    }
    let sums = [count(&vault, &token), count(&vault, &others)];
    show!(sums == [2, 2], "four additions count as {sums:?}");
    // A last look with all that is remembered by now.
    let last = add(&tokens, &token, 1);
    show!(last.is_ok(), "afterwards: {last:?}");
    Ok(())
}

/// Catches an `Observed` made of halves of two, or read before and sent after the
/// vault forgot what it names.
#[test]
fn nothing_is_claimed_that_was_not_seen() {
    proves("observed, one receipt kept", PREEMPTIONS, || {
        two_threads(Flaw::None, 1)
    });
    proves("observed, all receipts kept", PREEMPTIONS, || {
        two_threads(Flaw::None, 100)
    });
}

/// Needs one thread's memory to be as old as the other's last receipt.
#[test]
fn planted_a_receipt_no_longer_kept_counts_as_lost() {
    catches(
        "observed, trimming ignored",
        PREEMPTIONS,
        "rolled back",
        || two_threads(Flaw::ForgetsTrimming, 1),
    );
}
