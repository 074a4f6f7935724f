//! The writes of one mutation, applied all or none.

use std::{
    collections::{BTreeMap, btree_map},
    time::SystemTime,
};

use super::{
    record::expires_at,
    token::{Stored, TokenId},
};

/// The change of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is set to this value.
    Set(Stored),
    /// It is deleted.
    Delete,
}

impl Change {
    /// When the index is to find the token expired; `None` for a delete, and
    /// for a value without an expiry.
    pub(crate) fn expires_at(&self) -> Option<SystemTime> {
        match self {
            Self::Set(value) => expires_at(value.bytes()),
            Self::Delete => None,
        }
    }
}

/// Sets and deletes: one change per token, the last one requested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff(BTreeMap<TokenId, Change>);

impl Diff {
    /// A diff that changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `token`, replacing any earlier change of it.
    pub fn set(&mut self, token: TokenId, value: Stored) {
        self.0.insert(token, Change::Set(value));
    }

    /// Deletes `token`, replacing any earlier change of it.
    pub fn delete(&mut self, token: TokenId) {
        self.0.insert(token, Change::Delete);
    }

    /// The change of `token`, if any.
    #[must_use]
    pub fn change(&self, token: &TokenId) -> Option<&Change> {
        self.0.get(token)
    }

    /// The changes, in the order of their tokens.
    pub fn iter(&self) -> btree_map::Iter<'_, TokenId, Change> {
        self.0.iter()
    }

    /// How many tokens change.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Diff {
    type Item = (&'a TokenId, &'a Change);
    type IntoIter = btree_map::Iter<'a, TokenId, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// From each token to its new value, or to `None` for a delete.
impl FromIterator<(TokenId, Option<Stored>)> for Diff {
    fn from_iter<I: IntoIterator<Item = (TokenId, Option<Stored>)>>(changes: I) -> Self {
        let mut diff = Self::new();
        for (token, value) in changes {
            match value {
                Some(value) => diff.set(token, value),
                None => diff.delete(token),
            }
        }
        diff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::epoch_millis;

    fn id(name: &str) -> TokenId {
        TokenId::new(name).unwrap()
    }

    /// Would catch a diff with two changes of one token, or with an older one:
    /// the script applies sets and deletes separately.
    #[test]
    fn the_last_change_of_a_token_counts() {
        let mut diff = Diff::new();
        assert!(diff.is_empty());
        diff.set(id("b"), "1".into());
        diff.set(id("b"), "2".into());
        diff.set(id("a"), "1".into());
        diff.delete(id("a"));
        assert!(!diff.is_empty());
        assert_eq!(diff.len(), 2);
        assert_eq!(diff.change(&id("a")), Some(&Change::Delete));
        assert_eq!(diff.change(&id("b")), Some(&Change::Set("2".into())));
        assert_eq!(diff.change(&id("c")), None);
        let tokens: Vec<_> = diff.iter().map(|(token, _)| token.as_str()).collect();
        assert_eq!(tokens, ["a", "b"]);
        let collected = [(id("a"), None), (id("b"), Some("2".into()))]
            .into_iter()
            .collect();
        assert_eq!(diff, collected);
        assert_eq!((&diff).into_iter().count(), 2);
    }

    /// Would catch a token that the expiry index never finds, or finds too
    /// early.
    #[test]
    fn a_set_tells_the_index_when_its_value_expires() {
        let at = |value: &str| Change::Set(value.into()).expires_at().map(epoch_millis);
        let record = r#"{"expiresAt":"1970-01-01T00:00:02.500Z"}"#;
        assert_eq!(at(record), Some(2500));
        assert_eq!(at("{}"), None);
        assert_eq!(Change::Delete.expires_at(), None);
    }
}
