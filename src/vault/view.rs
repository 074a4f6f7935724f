//! The vault as one run of a mutation sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    diff::{Change, Diff},
    store::{Loaded, Version},
    token::{Stored, TokenId},
};

/// What a mutation reads and changes. It sees its own changes.
///
/// A view may know some tokens only. When a mutation touches another one, the
/// run is thrown away, the token is read too, and the mutation runs again.
#[derive(Debug)]
pub struct View {
    loaded: Loaded,
    is_whole: bool,
    touched: BTreeSet<TokenId>,
    saw_all: bool,
    diff: Diff,
}

/// What a run touched that had not been read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lacking {
    Nothing,
    Tokens,
    Everything,
}

impl View {
    pub(super) fn new(loaded: Loaded, is_whole: bool) -> Self {
        Self {
            loaded,
            is_whole,
            touched: BTreeSet::new(),
            saw_all: false,
            diff: Diff::new(),
        }
    }

    /// What is stored for `token`; `None` if it is absent.
    pub fn get(&mut self, token: &TokenId) -> Option<Stored> {
        self.touched.insert(token.clone());
        match self.diff.change(token) {
            Some(Change::Set(value)) => Some(value.clone()),
            Some(Change::Delete) => None,
            None => self.loaded.tokens.get(token).cloned().flatten(),
        }
    }

    /// Stores `value` for `token`.
    pub fn set(&mut self, token: &TokenId, value: impl Into<Stored>) {
        self.touched.insert(token.clone());
        self.diff.set(token.clone(), value.into());
    }

    /// Deletes `token` and tells whether it was there.
    pub fn delete(&mut self, token: &TokenId) -> bool {
        let was_there = self.get(token).is_some();
        if was_there {
            self.diff.delete(token.clone());
        }
        was_there
    }

    /// Every token and what is stored for it. The mutation is then fenced on
    /// the whole vault, and conflicts with every other one.
    pub fn entries(&mut self) -> Vec<(TokenId, Stored)> {
        self.saw_all = true;
        let mut entries: BTreeMap<TokenId, Stored> = self
            .loaded
            .tokens
            .iter()
            .filter_map(|(token, value)| Some((token.clone(), value.clone()?)))
            .collect();
        for (token, change) in &self.diff {
            match change {
                Change::Set(value) => {
                    entries.insert(token.clone(), value.clone());
                }
                Change::Delete => {
                    entries.remove(token);
                }
            }
        }
        entries.into_iter().collect()
    }

    /// The version of the vault that this is a view of.
    #[must_use]
    pub fn version(&self) -> Version {
        self.loaded.version
    }

    pub(super) fn lacking(&self) -> Lacking {
        if self.is_whole {
            Lacking::Nothing
        } else if self.saw_all {
            Lacking::Everything
        } else if self
            .touched
            .iter()
            .any(|token| !self.loaded.tokens.contains_key(token))
        {
            Lacking::Tokens
        } else {
            Lacking::Nothing
        }
    }

    pub(super) fn end(self) -> Run {
        let Self {
            mut loaded,
            touched,
            saw_all,
            diff,
            ..
        } = self;
        let read = if saw_all {
            BTreeMap::new()
        } else {
            touched
                .into_iter()
                .map(|token| {
                    let value = loaded.tokens.remove(&token).flatten();
                    (token, value)
                })
                .collect()
        };
        Run {
            version: loaded.version,
            read,
            saw_all,
            diff,
        }
    }

    pub(super) fn into_touched(self) -> BTreeSet<TokenId> {
        self.touched
    }
}

/// What a run of a mutation came to.
pub(super) struct Run {
    pub(super) version: Version,
    /// What it depends on, unless it depends on everything.
    pub(super) read: BTreeMap<TokenId, Option<Stored>>,
    pub(super) saw_all: bool,
    pub(super) diff: Diff,
}
