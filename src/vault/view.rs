//! The view that one run of a mutation reads and writes.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    diff::{Change, Diff},
    store::{Loaded, ServerTime, Version},
    token::{Stored, TokenId},
};

/// Tokens that a mutation reads and changes. It sees its own changes.
///
/// A view may contain only some tokens. If a mutation uses another one, the run
/// is discarded, the token is loaded too, and the mutation runs again.
#[derive(Debug)]
pub struct View {
    loaded: Loaded,
    is_whole: bool,
    touched: BTreeSet<TokenId>,
    saw_all: bool,
    diff: Diff,
}

/// What a run used that is not loaded.
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

    /// The value of `token`; `None` if it is absent.
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

    /// Deletes `token` and returns whether it existed.
    pub fn delete(&mut self, token: &TokenId) -> bool {
        let was_there = self.get(token).is_some();
        if was_there {
            self.diff.delete(token.clone());
        }
        was_there
    }

    /// Every token and its value. The mutation is then fenced on the whole
    /// vault, and conflicts with every other one.
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

    /// The version of the vault in this view.
    #[must_use]
    pub fn version(&self) -> Version {
        self.loaded.version
    }

    /// The server's time in this view.
    #[must_use]
    pub fn server_time(&self) -> ServerTime {
        self.loaded.server_time
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

/// The result of one run of a mutation.
pub(super) struct Run {
    pub(super) version: Version,
    /// The tokens that it depends on, unless it depends on all.
    pub(super) read: BTreeMap<TokenId, Option<Stored>>,
    pub(super) saw_all: bool,
    pub(super) diff: Diff,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(name: &str) -> TokenId {
        TokenId::new(name).unwrap()
    }

    /// A view that has read `a`, which exists, and `b`, which is absent.
    fn view(is_whole: bool) -> View {
        let loaded = Loaded {
            version: Version::new(7),
            receipt_seq: crate::vault::store::ReceiptSeq::default(),
            newest: None,
            server_time: ServerTime::default(),
            tokens: [(id("a"), Some("old".into())), (id("b"), None)].into(),
            unnameable: Vec::new(),
        };
        View::new(loaded, is_whole)
    }

    /// Would catch a run that is accepted although it used tokens that were not
    /// loaded, and one that is discarded without reason.
    #[test]
    fn used_tokens_that_are_not_loaded_are_reported() {
        let after = |touch: fn(&mut View)| {
            let mut view = view(false);
            touch(&mut view);
            view.lacking()
        };
        assert_eq!(after(|_| {}), Lacking::Nothing);
        assert_eq!(
            after(|view| {
                view.get(&id("a"));
                view.set(&id("b"), "new");
            }),
            Lacking::Nothing
        );
        assert_eq!(after(|view| drop(view.get(&id("c")))), Lacking::Tokens);
        assert_eq!(after(|view| view.set(&id("c"), "new")), Lacking::Tokens);
        assert_eq!(after(|view| _ = view.delete(&id("c"))), Lacking::Tokens);
        assert_eq!(after(|view| drop(view.entries())), Lacking::Everything);
        let mut whole = view(true);
        whole.get(&id("c"));
        whole.entries();
        assert_eq!(whole.lacking(), Lacking::Nothing);
    }

    /// Would catch a run that is fenced on less than it depends on.
    #[test]
    fn a_run_is_fenced_on_all_tokens_that_it_used() {
        let mut run = view(false);
        run.set(&id("a"), "new");
        run.get(&id("b"));
        assert_eq!(run.version(), Version::new(7));
        let touched = run.touched.clone();
        let run = run.end();
        assert_eq!(run.version, Version::new(7));
        assert!(!run.saw_all);
        assert_eq!(
            run.read,
            [(id("a"), Some("old".into())), (id("b"), None)].into()
        );
        assert_eq!(touched, [id("a"), id("b")].into());
        let mut run = view(false);
        run.get(&id("b"));
        assert_eq!(run.into_touched(), [id("b")].into());

        let mut all = view(true);
        all.set(&id("c"), "new");
        all.entries();
        let all = all.end();
        assert!(all.saw_all && all.read.is_empty());
        assert_eq!(all.diff.len(), 1);
    }

    proptest! {
        /// Compares a view with a map under the same changes, and its diff with
        /// the difference of the maps. Would catch a change that the mutation
        /// does not see, or that is not written.
        #[test]
        fn a_view_is_a_map(
            stored in prop::collection::btree_map("[a-d]", "[x-z]", 0..4),
            steps in prop::collection::vec(("[a-d]", prop::option::of("[x-z]")), 0..12),
        ) {
            let stored: BTreeMap<TokenId, Stored> = stored
                .iter()
                .map(|(name, value)| (id(name), value.as_str().into()))
                .collect();
            let mut view = view(true);
            view.loaded.tokens = stored.iter().map(|(id, value)| (id.clone(), Some(value.clone()))).collect();
            let mut map = stored.clone();
            for (name, value) in steps {
                let token = id(&name);
                prop_assert_eq!(view.get(&token), map.get(&token).cloned());
                match value {
                    Some(value) => {
                        view.set(&token, value.as_str());
                        map.insert(token.clone(), value.as_str().into());
                    }
                    None => prop_assert_eq!(view.delete(&token), map.remove(&token).is_some()),
                }
                prop_assert_eq!(view.get(&token), map.get(&token).cloned());
            }
            let entries: BTreeMap<_, _> = view.entries().into_iter().collect();
            prop_assert_eq!(&entries, &map);

            let mut applied = stored;
            for (token, change) in &view.end().diff {
                match change {
                    Change::Set(value) => {
                        applied.insert(token.clone(), value.clone());
                    }
                    Change::Delete => {
                        applied.remove(token);
                    }
                }
            }
            prop_assert_eq!(applied, map);
        }
    }
}
