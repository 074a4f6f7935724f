//! `early_purge`: a token was purged as expired before its end by the clocks that
//! rule, of which the earlier decides.

use crate::{Function, History, Outcome};

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::violation;

/// Linear in the tokens that were purged. Values that are no time are skipped.
pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    for purge in history.operations() {
        let Outcome::Tokens(purged) = &purge.outcome else {
            continue;
        };
        let Some(clock) = purged.clock.filter(|_| purge.f == Function::PurgeExpired) else {
            continue;
        };
        let now = clock.server.min(clock.own);
        for (token, end) in &purged.tokens {
            let Ok(end) = history.text(*end).parse::<u64>() else {
                continue;
            };
            if end > now {
                let (op, token, early) = (purge.id, history.text(*token), end - now);
                let reason = format!(
                    "purge_expired {op} deleted {token} {early} ms before its end: the server's \
                     clock said {}, the process's {}",
                    clock.server, clock.own
                );
                violations.push(violation(Invariant::EarlyPurge, [op], reason));
            }
        }
    }
}
