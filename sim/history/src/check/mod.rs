//! Checkers: what a history proves about the store.
//!
//! The final chain gives the order of appends away, so no search is needed: an
//! append that ended unknown is resolved by whether the chain holds it, and what
//! remains are scans.
//! On small histories the [`oracle`], a general search after Wing & Gong (1993)
//! with Lowe's (2017) cache, must agree.
//!
//! *Before* is strict: A is before B only if A's end time is smaller than B's
//! start time; equal times are concurrent.
//!
//! # Which name
//!
//! - An acknowledged append whose position the chain gives to another record is
//!   [`Fork`](Invariant::Fork) and not also `lost_append`; one whose position is
//!   past the chain's end is `lost_append`; so is one whose record the chain
//!   holds as another append's, or nobody's, content. Two acknowledgements of one position past
//!   the end are both: a fork, and two lost appends.
//! - What a loss line names is exempt if the append began before the loss and its
//!   durability did not cover the fault; if it did cover it, `lost_append`, also
//!   where the position has since been given to another record: its data was lost,
//!   not forked off.
//! - A record of an append that definitely failed is `phantom_append` *and*
//!   `wrong_outcome`: the chain holds what it must not, and the error was wrong.
//! - A read that shows an acknowledged record which the chain does not hold is no
//!   violation of its own: the `fork` or `lost_append` is.
//! - A record that attests a vault's operation belongs to that operation: it is no
//!   phantom, though no append names it.
//! - Operations of foreign processes are ignored if they ended after the first loss.
//! - While two servers take writes (`split`), reads of those whose writes were lost are
//!   not judged, and their writes have no place among the others'.
//! - Where records are told that accept losses, who has said that one is gone goes on only after a record that accepts its loss,
//!   unless it may have been there again. A record that accepts less than was lost is
//!   `silent_rollback`; one that accepts the loss of what stands before it, `false_rollback`.
//! - After a loss of keys one by one (`keyByKey`), the vault's versions count on from any
//!   number, and only acknowledgements show what a process had seen.

mod accepted_loss;
mod chain_integrity;
mod duplicate_append;
mod early_purge;
mod false_rollback;
mod fork;
mod invariant;
mod loss_account;
mod losses;
mod lost_append;
pub mod oracle;
mod oracle_vault;
mod phantom_append;
mod realtime_order;
mod silent_rollback;
mod stale_read;
mod tree;
mod unaudited;
mod vault;
mod verdict;
mod view;
mod wrong_outcome;
mod wrong_plaintext;

use thiserror::Error;

use crate::{Function, History};

pub use invariant::{Half, Invariant};
pub use loss_account::{LossAccount, account};
pub use verdict::{Verdict, Violation};

/// Why a history cannot be checked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// There are too many orders to try, or nothing tells them apart.
    #[error("this history could not be decided: {0}")]
    Undecided(String),
    /// There are operations on the vault and no final tokens.
    #[error(
        "the final state holds no tokens, so nothing tells what became of the mutates; add \
         \"tokens\" to the final line"
    )]
    NoTokens,
    /// There are operations on the chain and no final chain.
    #[error(
        "the final state holds no chain, so nothing tells what became of the appends; add \
         \"chain\" to the final line"
    )]
    NoChain,
}

/// Checks a history of the audit chain, of the vault, or of both.
///
/// The chain: O(n log n) at worst in operations, chain records and different prefixes
/// read, linear without reads. The vault: linear in what was read and written where
/// acknowledged mutates bear versions and unknown ones are seldom; a search with a
/// bound where they do not. Memory is linear.
///
/// # Errors
/// The history cannot be decided. If one half of it shows a violation, that is the
/// verdict even where the other half cannot be decided.
pub fn check(history: &History) -> Result<Verdict, CheckError> {
    let is_chains = |f| matches!(f, Function::Append | Function::ReadChain);
    let concerns_chain =
        history.chain().is_some() || history.operations().iter().any(|op| is_chains(op.f));
    let concerns_vault = vault::concerns(history);
    let mut violations = Vec::new();
    unaudited::check(history, &mut violations);
    wrong_plaintext::check(history, &mut violations);
    early_purge::check(history, &mut violations);
    false_rollback::check(history, &mut violations);
    if concerns_chain || !concerns_vault {
        check_chain(history, &mut violations)?;
    }
    if concerns_vault {
        match vault::check(history, &mut violations) {
            Err(CheckError::Undecided(_)) if !violations.is_empty() => {}
            checked => checked?,
        }
    }
    Ok(Verdict { violations })
}

fn check_chain(history: &History, violations: &mut Vec<Violation>) -> Result<(), CheckError> {
    let Some(chain) = history.chain() else {
        return Err(CheckError::NoChain);
    };
    let view = view::View::new(history, chain);
    chain_integrity::check(&view, violations);
    fork::check(&view, violations);
    lost_append::check(&view, violations);
    duplicate_append::check(&view, violations);
    phantom_append::check(&view, violations);
    wrong_outcome::check(&view, violations);
    realtime_order::check(&view, violations);
    let tree = tree::Tree::new(&view);
    stale_read::check(&view, &tree, violations);
    silent_rollback::check(&view, &tree, violations);
    accepted_loss::check(&view, violations);
    Ok(())
}
