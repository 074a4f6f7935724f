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
//!   `wrong_outcome`: the chain holds what it must not, and an error lied.
//! - A read that shows a record which an acknowledgement vouches for, but which
//!   the chain does not hold, is not accused for it: the `fork` or `lost_append` is.
//! - Operations of foreign processes are not judged if they ended after the first
//!   loss, nor is anyone judged by them.

mod appends;
mod integrity;
mod losses;
pub mod oracle;
mod reads;
mod realtime;
mod rollback;
mod tree;
mod verdict;
mod view;

use thiserror::Error;

use crate::history::{Function, History};

pub use verdict::{Invariant, Verdict, Violation};

/// Why a history cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The history says something about the vault.
    #[error(
        "vault histories are not checked by this version ({0}); check a history of append and \
         read_chain with a final chain"
    )]
    Vault(String),
    /// There are operations on the chain and no final chain.
    #[error(
        "the final state holds no chain, so nothing tells what became of the appends; add \
         \"chain\" to the final line"
    )]
    NoChain,
}

/// Judges a history of the audit chain. O(n log n) at worst in operations, chain
/// records and different prefixes read, linear without reads; memory is linear.
///
/// # Errors
/// A history that this version cannot judge: never a silent pass.
pub fn check(history: &History) -> Result<Verdict, CheckError> {
    for operation in history.operations() {
        if matches!(operation.f, Function::Mutate | Function::Read) {
            let (op, f) = (operation.id, operation.f);
            return Err(CheckError::Vault(format!("op {op} is a {f}")));
        }
    }
    if history
        .final_tokens()
        .is_some_and(|tokens| !tokens.is_empty())
    {
        return Err(CheckError::Vault("the final state holds tokens".into()));
    }
    let Some(chain) = history.chain() else {
        return Err(CheckError::NoChain);
    };
    let view = view::View::new(history, chain);
    let mut violations = Vec::new();
    integrity::check(&view, &mut violations);
    appends::check(&view, &mut violations);
    realtime::check(&view, &mut violations);
    let tree = tree::Tree::new(&view);
    reads::check(&view, &tree, &mut violations);
    rollback::check(&view, &tree, &mut violations);
    Ok(Verdict { violations })
}
