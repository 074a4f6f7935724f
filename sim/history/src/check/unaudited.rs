//! `unaudited`: a token was revealed or purged by a caller that stayed, and no
//! audit record says so.

use std::collections::BTreeMap;

use super::{Invariant, Violation};
use crate::OpId;

/// What is audited before it happens: an operation on one token, by the names
/// that audit events have for both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Audited {
    /// The operation, such as `token-vault:reveal`.
    pub operation: String,
    /// The token.
    pub token: String,
}

/// Every operation that its caller was told of needs a record of its own; more
/// records are no fault: an operation may end unknown after its record.
/// O(n log n) in both.
#[must_use]
pub fn check(done: &[(OpId, Audited)], records: &[Audited]) -> Vec<Violation> {
    let mut unused: BTreeMap<&Audited, usize> = BTreeMap::new();
    for record in records {
        *unused.entry(record).or_default() += 1;
    }
    let mut violations = Vec::new();
    for (op, audited) in done {
        match unused.get_mut(audited) {
            Some(left) if *left > 0 => *left -= 1,
            _ => violations.push(Violation {
                invariant: Invariant::Unaudited,
                ops: vec![*op],
                reason: format!(
                    "{} of {} was told as done, and no record is left that says so",
                    audited.operation, audited.token
                ),
            }),
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audited(operation: &str, token: &str) -> Audited {
        Audited {
            operation: operation.to_owned(),
            token: token.to_owned(),
        }
    }

    /// Would catch a record that vouches for two operations, for another token
    /// or for another operation, and a record without an operation that is
    /// taken for a violation.
    #[test]
    fn each_operation_needs_a_record_of_its_own() {
        let done = [
            (OpId(1), audited("reveal", "a")),
            (OpId(2), audited("reveal", "a")),
            (OpId(3), audited("purge", "b")),
        ];
        let records = [
            audited("reveal", "a"),
            audited("reveal", "b"),
            audited("purge", "c"),
        ];
        let ops = |violations: Vec<Violation>| -> Vec<OpId> {
            violations
                .iter()
                .flat_map(|found| found.ops.clone())
                .collect()
        };
        assert_eq!(ops(check(&done, &records)), [OpId(2), OpId(3)]);
        let all: Vec<_> = done.iter().map(|(_, audited)| audited.clone()).collect();
        assert_eq!(check(&done, &all), []);
    }
}
