//! What callers do to a vault, one operation at a time.

use std::time::Duration;

use haechi_store_redis::{
    clock::{Clock, iso8601},
    vault::{Done, MutateError, Stored, TokenId, View},
};
use rand::{Rng, RngExt};
use serde::Deserialize;

use super::{
    Tokens,
    knobs::{Action, VaultKnobs},
    noted::CALL,
    notes::{Values as Seen, text},
    secrets::Secrets,
};
use crate::{
    history::{Function, OpId},
    world::{clock::SimClock, shared::Shared},
};

const DAY: Duration = Duration::from_secs(86_400);

/// One task of one process that calls the vault.
pub(crate) struct Caller<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) tokens: &'a Tokens,
    pub(crate) secrets: Option<&'a Secrets>,
    pub(crate) clock: &'a SimClock,
    pub(crate) knobs: &'a VaultKnobs,
    pub(crate) replica: usize,
    pub(crate) process: &'a str,
    pub(crate) writer: usize,
}

/// What a stored value says. Every write makes another one: a value tells
/// which run of which operation wrote it.
#[derive(Deserialize)]
struct Kept {
    #[serde(rename = "expiresAt")]
    expires_at: String,
    count: u64,
}

/// Makes the values of one operation.
struct Values {
    op: OpId,
    run: u32,
    made: u32,
    expires_at: String,
}

impl Values {
    /// A run of the mutation begins.
    fn run(&mut self) {
        self.run += 1;
        self.made = 0;
    }

    /// The next value of this run, over what stood before.
    fn next(&mut self, before: Option<&Stored>) -> String {
        self.made += 1;
        let count = before.and_then(kept).map_or(0, |kept| kept.count) + 1;
        format!(
            r#"{{"expiresAt":"{}","by":"{}.{}.{}","count":{count}}}"#,
            self.expires_at, self.op, self.run, self.made
        )
    }
}

fn kept(value: &Stored) -> Option<Kept> {
    serde_json::from_slice(value.bytes()).ok()
}

impl Caller<'_> {
    /// Does what the dice say.
    pub(crate) async fn act(&self, rng: &mut impl Rng) {
        match self.knobs.action(rng) {
            Action::Read => self.read().await,
            Action::Peek => self.peek(rng).await,
            action @ (Action::Tokenize
            | Action::Reveal
            | Action::PurgeKnown
            | Action::PurgeExpired) => {
                if let Some(secrets) = self.secrets {
                    self.act_on_secrets(secrets, action, rng).await;
                }
            }
            action => {
                self.change(action, rng).await;
            }
        }
    }

    /// Changes one contended token; whether that worked.
    pub(crate) async fn prove_alive(&self, rng: &mut impl Rng) -> bool {
        self.change(Action::Count, rng).await
    }

    async fn read(&self) {
        let Some(op) = self
            .shared
            .invoke(self.replica, self.process, Function::Read, None)
        else {
            return;
        };
        let outcome = match self.tokens.read(View::entries).await {
            Ok(entries) => {
                let closed = match self.secrets {
                    Some(secrets) => secrets.undecryptable(&entries).await,
                    None => Vec::new(),
                };
                let tokens = entries
                    .iter()
                    .map(|(token, value)| (token.as_str().to_owned(), Some(text(value))))
                    .collect();
                Ok((tokens, closed))
            }
            Err(error) => Err(error),
        };
        self.shared
            .end_vault_read(self.replica, self.process, op, outcome);
    }

    /// Reads some tokens: in the history, a mutate without writes.
    async fn peek(&self, rng: &mut impl Rng) {
        let contended = self.contended(rng);
        let Some(op) = self.shared.call(self.replica, self.process) else {
            return;
        };
        let outcome = self.tokens.read_tokens(&contended).await.map(|loaded| {
            let tokens = loaded.tokens.iter();
            tokens
                .map(|(token, value)| (token.as_str().to_owned(), value.as_ref().map(text)))
                .collect()
        });
        self.shared.end_peek(self.process, op, outcome);
    }

    async fn change(&self, action: Action, rng: &mut impl Rng) -> bool {
        // All that is drawn is drawn before the mutation runs, and runs again.
        let mut contended = self.contended(rng);
        let deletes: Vec<bool> = contended.iter().map(|_| rng.random_bool(0.4)).collect();
        let lifetime = DAY.mul_f64(rng.random_range(0.5..6.0));
        let unforeseen = rng.random_ratio(1, 8);
        let own = rng.random_range(0..4_u32);

        let Some(op) = self.shared.call(self.replica, self.process) else {
            return false;
        };
        let wall = self.clock.wall();
        let mut values = Values {
            op,
            run: 0,
            made: 0,
            expires_at: iso8601(wall + lifetime),
        };
        let now = iso8601(wall);
        if !matches!(action, Action::Several | Action::Drop) {
            contended.truncate(1);
        }
        if action == Action::Own {
            // One of two that it has had, or a new one: what was given up as not
            // applied would still be, if it came late.
            let name = match own {
                0 | 1 => format!("own-{}-{}-{own}", self.process, self.writer),
                _ => format!("own-{}-{op}", self.process),
            };
            contended = token(&name).into_iter().collect();
        }
        let named = if unforeseen {
            &[]
        } else {
            contended.as_slice()
        };
        let named = named.to_vec();
        let mutation = |view: &mut View| {
            values.run();
            let mut seen = Vec::new();
            for (token, deletes) in contended.iter().zip(&deletes) {
                change(action, view, token, *deletes, &mut values, &now, &mut seen);
            }
            seen
        };
        let call = async {
            if action == Action::Sweep {
                self.tokens.mutate(mutation).await
            } else {
                self.tokens.transaction(named, mutation).await
            }
        };
        let outcome: Result<Done<Seen>, MutateError> = CALL.scope(op, call).await;
        let is_ok = outcome.is_ok();
        self.shared.end_mutate(self.process, op, outcome);
        is_ok
    }

    /// A few of the contended tokens, in the order they were drawn.
    fn contended(&self, rng: &mut impl Rng) -> Vec<TokenId> {
        let mut numbers: Vec<usize> = (0..self.knobs.tokens).collect();
        let count = rng.random_range(1..=numbers.len().min(4));
        (0..count)
            .filter_map(|_| {
                let drawn = numbers.swap_remove(rng.random_range(0..numbers.len()));
                token(&format!("t{drawn}"))
            })
            .collect()
    }
}

fn token(name: &str) -> Option<TokenId> {
    TokenId::new(name).ok()
}

/// What one action does to one of its tokens; adds what it has read to `seen`.
fn change(
    action: Action,
    view: &mut View,
    token: &TokenId,
    deletes: bool,
    values: &mut Values,
    now: &str,
    seen: &mut Seen,
) {
    if action == Action::Sweep {
        for (token, value) in view.entries() {
            if kept(&value).is_some_and(|kept| kept.expires_at.as_str() <= now) {
                view.delete(&token);
            }
            seen.push((token.as_str().to_owned(), Some(text(&value))));
        }
        return;
    }
    let before = view.get(token);
    seen.push((token.as_str().to_owned(), before.as_ref().map(text)));
    let sets = match action {
        Action::Count | Action::Own => true,
        Action::Several => !deletes,
        Action::Create => before.is_none(),
        Action::Refresh => before.is_some(),
        _ => false,
    };
    if sets {
        view.set(token, values.next(before.as_ref()));
    } else if deletes && action == Action::Several || matches!(action, Action::Drop | Action::Purge)
    {
        view.delete(token);
    }
}
