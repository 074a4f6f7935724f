//! The vault's checker: whether acknowledged mutates, in the order of their
//! versions, and reads of the whole vault are those of one map, each at one moment
//! while it ran, and whether that map is what was found at the end.
//!
//! The algorithm is a linearizability checker for one map whose versions give the
//! order away. [`plan`] and [`versions`] give every acknowledged version its place,
//! which a sort does: polynomial, and linear in what was read and written. What is
//! left is to find which mutates of unknown outcome explain the versions between,
//! and, where acknowledgements bear no version, any order at all: [`search`], the
//! depth-first search of Wing & Gong ("Testing and Verifying Concurrent Objects",
//! 1993) with Lowe's cache of states ("Testing for Linearizability", 2017), a bound
//! on its steps, and [`lookahead`] to prune candidates by later reads. [`definite`]
//! says when a contradiction holds whatever the unexplained versions are;
//! [`backtrack`] keeps the candidates that are left at each place.
//!
//! The search stays beside the general one of [`oracle`](super::oracle): the
//! harness's acknowledgements always bear versions, but mutates of unknown outcome
//! and of foreign processes leave runs of versions that only a search explains, and
//! the general search, which knows no versions, gives up on most of those.
//!
//! # Which name
//!
//! - `stale_write`: a mutate that did not read the values before its version; two
//!   at one version; one acknowledged before another began, with the later version;
//!   a version that no mutate explains (one applied twice counts twice).
//! - `stale_read`: a read that shows no state there was while it ran, or an earlier
//!   one than a read that ended before it.
//! - `lost_token`, `resurrected_token`: the final state has another value, or a value
//!   where there is none; or an acknowledged version is past the final one.
//! - `partial_diff`: whatever of these shows some of one mutate's writes, not all.
//! - `wrong_outcome`: whatever of these shows the write of a mutate that failed, or a
//!   version that only a failed one explains.
//! - `silent_rollback`, `undecryptable_token`: see their modules.
//!
//! What a loss names is exempt: its versions are cut off, and its tokens, where that
//! does not give them an old value back, may have any until written again. Versions
//! named without acknowledgement may have been anyone's.

mod backtrack;
mod definite;
mod explain;
mod ids;
mod lookahead;
mod plan;
mod search;
mod silent_rollback;
mod state;
mod undecryptable_token;
mod versions;

use crate::{Function, History, Symbol};

use self::search::Found;
use super::CheckError;
use super::loss_account::Sights;
use super::verdict::Violation;

/// Whether a history says anything of the vault.
pub(super) fn concerns(history: &History) -> bool {
    let of_vault = |f| matches!(f, Function::Mutate | Function::Read);
    history.final_tokens().is_some() || history.operations().iter().any(|op| of_vault(op.f))
}

/// What became of each sight of something that a loss took; nothing if there is no
/// final state.
pub(super) fn sights(history: &History) -> Sights {
    match history.final_tokens() {
        Some(tokens) => silent_rollback::sights(&plan::Plan::new(history, tokens, &mut Vec::new())),
        None => Sights::new(),
    }
}

/// Checks the vault's half of a history.
///
/// # Errors
/// The final state is missing, or the search was given up.
pub(super) fn check(history: &History, out: &mut Vec<Violation>) -> Result<(), CheckError> {
    let tokens: &[(Symbol, Symbol)] = history.final_tokens().ok_or(CheckError::NoTokens)?;
    let before = out.len();
    let plan = plan::Plan::new(history, tokens, out);
    undecryptable_token::check(history, out);
    silent_rollback::check(&plan, out);
    let takes = |loss: &crate::Loss| !loss.versions.is_empty() || !loss.tokens.is_empty();
    if !plan.unversioned.is_empty() && history.losses().iter().any(takes) {
        let why = "a loss took vault data, and not every acknowledged mutate has a version, so \
                   nothing tells which were lost; record \"version\"";
        return undecided(out.len() > before, why);
    }
    // First pass, heuristic: it is fast and nearly always finds an order that is
    // there.
    let first = out.len();
    let mut heuristic = search::Search::new(&plan, true);
    let mut found = heuristic.run(out);
    if found != Found::Order && heuristic.choices {
        out.truncate(first);
        drop(heuristic);
        found = search::Search::new(&plan, false).run(out);
    }
    match found {
        Found::Order | Found::Nothing => Ok(()),
        Found::GaveUp => {
            let why = "too many orders of the vault's mutates are possible; record \"version\" on \
                       every acknowledged mutate, and the value on every unknown one";
            undecided(out.len() > before, why)
        }
    }
}

/// Violations found so far are reported even where the rest is undecided.
fn undecided(found: bool, why: &str) -> Result<(), CheckError> {
    if found {
        Ok(())
    } else {
        Err(CheckError::Undecided(why.to_owned()))
    }
}
