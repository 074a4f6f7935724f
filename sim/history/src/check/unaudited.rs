//! `unaudited`: a token was revealed, restored or purged, and no audit record attests
//! it.

use std::collections::BTreeMap;

use crate::{Audit, Function, History, Outcome, Symbol};

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::violation;

/// Every token of an operation needs a record of its own. More records are no
/// violation: an operation may fail or end unknown after its record. O(n log n).
pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let Some(state) = history.final_state() else {
        return;
    };
    let mut unused: BTreeMap<(&str, Symbol), usize> = BTreeMap::new();
    let entries = state.chain.iter().flatten();
    for audit in entries
        .filter_map(|entry| entry.audit.as_ref())
        .chain(&state.audits)
    {
        for token in &audit.tokens {
            *unused
                .entry((operation(history, audit), *token))
                .or_default() += 1;
        }
    }
    for done in history
        .operations()
        .iter()
        .filter(|done| done.f.is_audited())
    {
        let Outcome::Tokens(read) = &done.outcome else {
            continue;
        };
        for (token, _) in &read.tokens {
            match unused.get_mut(&(done.f.name(), *token)) {
                Some(left) if *left > 0 => *left -= 1,
                _ => {
                    let (op, f, token) = (done.id, done.f, history.text(*token));
                    let reason =
                        format!("no audit record is left that attests the {f} {op} of {token}");
                    violations.push(violation(Invariant::Unaudited, [op], reason));
                }
            }
        }
    }
}

/// The operation that a record attests, by its name in `f`.
fn operation<'h>(history: &'h History, audit: &Audit) -> &'h str {
    match history.text(audit.operation) {
        "token-vault:reveal" => Function::Reveal.name(),
        "token-vault:detokenize" => Function::Detokenize.name(),
        "token-vault:purge" => Function::Purge.name(),
        "token-vault:purge-expired" => Function::PurgeExpired.name(),
        other => other,
    }
}
