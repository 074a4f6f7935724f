//! A vault that is full before its world begins.
//!
//! Most of its tokens are *unused*: no operation names one, they are all alike, and none
//! expires. A history has them as one token, whose value is how many there are, so that its
//! length, and the checkers' time, do not depend on them.

use haechi_history::{Function, Mutation, Outcome, Text, VaultRead};
use haechi_store_redis::vault::TokenMetadata;

use super::{Situation, call_trace::Values, log::nanos, recorder::RunRecorder};

/// All unused tokens, in the history.
const UNUSED: &str = "unused";
const PREFIX: &str = "tok_unused_";
const END: &str = "2099-01-01T00:00:00.000Z";

/// An unused token.
pub(crate) fn unused(number: usize) -> (String, String) {
    let record = bare_record("unused", END);
    (format!("{PREFIX}{number:032x}"), record)
}

/// The record of a token that is never revealed.
pub(crate) fn bare_record(token_type: &str, end: &str) -> String {
    format!(
        r#"{{"type":"{token_type}","createdAt":"2001-01-01T00:00:00.000Z","expiresAt":"{end}","metadata":{{}},"envelope":{{}},"aad":{{}}}}"#
    )
}

/// Whether this is an unused token.
pub(crate) fn is_unused(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// The tokens as the history has them; the unused ones count if they are as they were
/// loaded.
pub(crate) fn listed<'a, V: AsRef<[u8]>>(
    tokens: impl IntoIterator<Item = (&'a str, Option<V>)>,
) -> Values {
    let (mut values, mut count) = (Values::new(), 0);
    let (_, record) = unused(0);
    for (token, value) in tokens {
        let value = value.as_ref().map(AsRef::as_ref);
        if is_unused(token) {
            count += usize::from(value == Some(record.as_bytes()));
        } else {
            let text = value.map(|value| String::from_utf8_lossy(value).into_owned());
            values.push((token.to_owned(), text));
        }
    }
    values.extend(counted(count));
    values
}

/// The unused tokens in a list of metadata.
pub(crate) fn in_metadata(tokens: &[TokenMetadata]) -> Values {
    let is_whole = |token: &&TokenMetadata| is_unused(&token.token) && token.expires_at == END;
    counted(tokens.iter().filter(is_whole).count())
        .into_iter()
        .collect()
}

fn counted(count: usize) -> Option<(String, Option<String>)> {
    (count > 0).then(|| (UNUSED.to_owned(), Some(count.to_string())))
}

impl RunRecorder {
    /// A situation was met.
    pub(super) fn met(&self, situation: Situation) {
        self.log().situations.push(situation);
    }

    /// Version 1 of the vault was written before the run begins, with these tokens;
    /// `plaintexts` stand in for those of the tokens that can be revealed.
    pub(crate) fn loaded(&self, tokens: Values, plaintexts: Values) {
        let text = |(token, value): (String, Option<String>)| (token.into(), value.map(Text::from));
        let mut log = self.log();
        let now = nanos(log.now());
        let read = VaultRead {
            tokens: plaintexts
                .into_iter()
                .filter_map(|(token, value)| Some((token.into(), value?.into())))
                .collect(),
            ..VaultRead::default()
        };
        let mutation = Mutation {
            writes: tokens.into_iter().map(text).collect(),
            version: Some(1),
            ..Mutation::default()
        };
        for (f, outcome) in [
            (Function::Mutate, Outcome::Mutated(mutation)),
            (Function::Tokenize, Outcome::Tokens(read)),
        ] {
            let invoked = log.recorder.invoke(now, "loader", f, None);
            if let Some(op) = log.accept(invoked) {
                let ended = log.recorder.end(now, op, outcome, None);
                log.accept(ended);
            }
        }
    }
}
