//! `wrong_plaintext`: a token reveals what was not tokenized under it.

use std::collections::BTreeSet;

use crate::{Function, History, Outcome, Symbol};

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::violation;

/// O(n log n) in the tokens made and revealed. A token without an acknowledged
/// tokenize is not checked: it may come from one whose outcome is unknown.
pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let answers = |f: Function| {
        let operations = history.operations().iter();
        operations.filter_map(move |operation| match &operation.outcome {
            Outcome::Tokens(read) if operation.f == f => Some((operation.id, read)),
            _ => None,
        })
    };
    let mut made: BTreeSet<(Symbol, Symbol)> = BTreeSet::new();
    let mut tokens: BTreeSet<Symbol> = BTreeSet::new();
    for (_, read) in answers(Function::Tokenize) {
        for (token, plaintext) in &read.tokens {
            made.insert((*token, *plaintext));
            tokens.insert(*token);
        }
    }
    for (op, read) in answers(Function::Reveal).chain(answers(Function::Detokenize)) {
        for (token, plaintext) in &read.tokens {
            if tokens.contains(token) && !made.contains(&(*token, *plaintext)) {
                let token = history.text(*token);
                let reason = format!("{op} reveals as {token} what was never tokenized under it");
                violations.push(violation(Invariant::WrongPlaintext, [op], reason));
            }
        }
    }
}
