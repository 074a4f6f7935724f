//! What callers do to a vault, one operation at a time.

use std::time::Duration;

use haechi_store_redis::{
    clock::{Clock, iso8601},
    vault::{Done, MutateError, Stored, TokenId, View},
};
use rand::Rng;
use serde::Deserialize;

use super::{
    Tokens,
    knobs::{Action, VaultKnobs},
    noted::CALL,
    notes::{Values as Seen, text},
    secrets::Secrets,
};
use crate::{
    schedule::{Act, Change},
    world::{host::Host, ledger::Ledger},
};
use haechi_history::{Function, OpId};

const MINUTE: Duration = Duration::from_secs(60);

/// One task of one process that calls the vault.
pub(crate) struct Caller<'a, H: Host> {
    pub(crate) shared: &'a Ledger,
    pub(crate) tokens: &'a Tokens<H>,
    pub(crate) secrets: Option<&'a Secrets<H>>,
    pub(crate) clock: &'a H::Clock,
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

impl<H: Host> Caller<'_, H> {
    /// Does one thing to the vault.
    pub(crate) async fn act(&self, act: &Act) {
        match act {
            Act::Read => self.read().await,
            Act::Peek { tokens } => self.peek(tokens).await,
            Act::Secret {
                action,
                coin,
                number,
            } => {
                if let Some(secrets) = self.secrets {
                    self.act_on_secrets(secrets, *action, *coin, *number).await;
                }
            }
            Act::Change(change) => {
                self.change(change).await;
            }
            Act::Append { .. } | Act::ReadChain | Act::Foreign { .. } => {}
        }
    }

    /// Changes one contended token; whether that worked.
    pub(crate) async fn prove_alive(&self, rng: &mut impl Rng) -> bool {
        let change = Change::draw(rng, self.knobs, Action::Count);
        self.change(&change).await
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
    async fn peek(&self, tokens: &[usize]) {
        let contended = contended(tokens);
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

    async fn change(&self, to_do: &Change) -> bool {
        let action = to_do.action;
        let Some(op) = self.shared.call(self.replica, self.process) else {
            return false;
        };
        let wall = self.clock.wall();
        let mut values = Values {
            op,
            run: 0,
            made: 0,
            expires_at: iso8601(wall + MINUTE * u32::try_from(to_do.lifetime).unwrap_or(0)),
        };
        let now = iso8601(wall);
        let contended = match (action, to_do.own) {
            (Action::Own, Some(own)) => {
                let name = format!("own-{}-{}-{own}", self.process, self.writer);
                token(&name).into_iter().collect()
            }
            (Action::Own, None) => {
                let name = format!("own-{}-{op}", self.process);
                token(&name).into_iter().collect()
            }
            _ => contended(&to_do.tokens),
        };
        let named = if to_do.unforeseen {
            Vec::new()
        } else {
            contended.clone()
        };
        let mutation = |view: &mut View| {
            values.run();
            let mut seen = Vec::new();
            if action == Action::Sweep {
                sweep(view, &now, &mut seen);
            }
            for (number, token) in contended.iter().enumerate() {
                let deletes = to_do.deletes.get(number).copied().unwrap_or(false);
                change(action, view, token, deletes, &mut values, &mut seen);
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
}

/// The contended tokens of these numbers.
fn contended(numbers: &[usize]) -> Vec<TokenId> {
    numbers
        .iter()
        .filter_map(|number| token(&format!("t{number}")))
        .collect()
}

fn token(name: &str) -> Option<TokenId> {
    TokenId::new(name).ok()
}

/// Deletes what has expired; adds what it has read to `seen`.
fn sweep(view: &mut View, now: &str, seen: &mut Seen) {
    for (token, value) in view.entries() {
        if kept(&value).is_some_and(|kept| kept.expires_at.as_str() <= now) {
            view.delete(&token);
        }
        seen.push((token.as_str().to_owned(), Some(text(&value))));
    }
}

/// What one action does to one of its tokens; adds what it has read to `seen`.
fn change(
    action: Action,
    view: &mut View,
    token: &TokenId,
    deletes: bool,
    values: &mut Values,
    seen: &mut Seen,
) {
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
