//! Callers of the production token store, which contend for few tokens.

use std::time::Duration;

use haechi_history::{Function, OpId};
use haechi_store_redis::{
    clock::{Clock, iso8601},
    vault::{Done, MutateError, Stored, TokenId, TokenStore, VaultConfig, View},
};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::{Actor, Host, Process, resolving::Resolving, vault_client::VaultClient};
use crate::{
    mutants::{ConnectUnderTest, VaultUnderTest},
    plan::{Change, ChangeKind, TokenStoreOperation, VaultKnobs},
    record::{CALL, RecordAttempts, RecordingStore, Values as Seen, in_metadata, listed, text},
};

/// How many mutations a process has under way at a time: as the times, fewer than in
/// production.
const AT_ONCE: usize = 16;

const MINUTE: Duration = Duration::from_secs(60);

/// The store of one process.
pub(super) type Tokens<H> =
    TokenStore<RecordingStore<StoreOf<H>>, <H as Host>::Clock, <H as Host>::Entropy>;

/// The store beneath it.
pub(super) type StoreOf<H> = VaultUnderTest<
    ConnectUnderTest<<H as Host>::Connect>,
    <H as Host>::Clock,
    <H as Host>::Entropy,
>;

/// The token store of one process.
pub(super) struct TokenStoreActor<'a, H: Host> {
    pub(super) process: &'a Process<'a, H>,
    knobs: &'a VaultKnobs,
    tokens: Tokens<H>,
    /// The `TokenVault` over the same store.
    pub(super) client: Option<VaultClient<H>>,
    resolving: Resolving<'a, H>,
}

impl<'a, H: Host> TokenStoreActor<'a, H> {
    /// Opens the token store and the `TokenVault` over it; `None` if there is
    /// no vault.
    pub(super) async fn start(process: &'a Process<'a, H>) -> Option<Self> {
        let knobs = process.knobs.vault.as_ref()?;
        let lock = process.store.vault_lock(process.knobs.lock_policy());
        let deadline = Duration::from_millis(knobs.deadline);
        let redis = process.builder().lock(lock).deadline(deadline);
        let store = process.store.open_vault(&redis, process.connect.clone());
        let mut config = VaultConfig::default();
        config.deadline = deadline;
        if !process.knobs.production_times {
            config.at_once = process.store.at_once(AT_ONCE);
        }
        config.queue_bytes = process.queue_bytes(config.queue_bytes);
        config.foreign_lock_wait = Duration::from_millis(knobs.foreign_lock_wait);
        let mut builder = process.builder().vault_config(config);
        if let Some(seen) = &process.seen {
            if let Some(mutation) = process.known_receipt {
                process.recorder.knows_receipt(&process.name, mutation);
            }
            builder = builder.seen_file(seen.clone());
        }
        let attempts = RecordAttempts(process.recorder.clone());
        let tokens = builder.token_store(RecordingStore::new(store, attempts));
        Some(Self {
            process,
            knobs,
            client: VaultClient::open(process, &tokens, knobs.retention).await,
            tokens,
            resolving: Resolving::over(process),
        })
    }

    async fn read_all(&self) {
        let (recorder, number) = (self.process.recorder, self.process.number);
        let name = self.process.name.as_str();
        let Some(op) = recorder.invoke(number, name, Function::Read, None) else {
            return;
        };
        let outcome = match self.tokens.read(View::entries).await {
            Ok(entries) => {
                let undecryptable = match &self.client {
                    Some(client) => client.undecryptable(&entries).await,
                    None => Vec::new(),
                };
                let tokens = entries.iter();
                let tokens = tokens.map(|(token, value)| (token.as_str(), Some(value.bytes())));
                Ok((listed(tokens), undecryptable))
            }
            Err(error) => Err(error),
        };
        recorder.end_vault_read(number, name, op, outcome);
        if self.knobs.loaded > 0 {
            self.list().await;
        }
    }

    /// Lists the vault, slice by slice: of its tokens, those that nothing changes are in
    /// every list.
    async fn list(&self) {
        let recorder = self.process.recorder;
        let Some(op) = recorder.call(self.process.number, &self.process.name, Function::Read)
        else {
            return;
        };
        let listed = self.tokens.export_metadata(None).await;
        let outcome = listed.map(|listing| in_metadata(&listing.tokens));
        recorder.end_read_tokens(&self.process.name, op, outcome);
    }

    /// Reads some tokens: in the history, a mutate without writes.
    async fn read_tokens(&self, tokens: &[usize]) {
        let recorder = self.process.recorder;
        let Some(op) = recorder.call(self.process.number, &self.process.name, Function::Read)
        else {
            return;
        };
        let contended = contended(tokens);
        let outcome = self.tokens.read_tokens(&contended).await.map(|loaded| {
            let tokens = loaded.tokens.iter();
            tokens
                .map(|(token, value)| (token.as_str().to_owned(), value.as_ref().map(text)))
                .collect()
        });
        recorder.end_read_tokens(&self.process.name, op, outcome);
    }

    /// Changes tokens; returns whether that was applied.
    async fn change(&self, caller: usize, to_do: &Change) -> bool {
        let (process, recorder) = (self.process, self.process.recorder);
        let Some(op) = recorder.call(process.number, &process.name, Function::Mutate) else {
            return false;
        };
        let wall = process.clock.wall();
        let mut values = Values {
            op,
            run: 0,
            made: 0,
            expires_at: iso8601(wall + MINUTE * u32::try_from(to_do.lifetime).unwrap_or(0)),
        };
        let now = iso8601(wall);
        let tokens = match (to_do.kind, to_do.own) {
            (ChangeKind::Own, Some(own)) => token(&format!("own-{}-{caller}-{own}", process.name)),
            (ChangeKind::Own, None) => token(&format!("own-{}-{op}", process.name)),
            _ => contended(&to_do.tokens),
        };
        let named = if to_do.unforeseen {
            Vec::new()
        } else {
            tokens.clone()
        };
        let mutation = |view: &mut View| {
            values.run();
            let mut seen = Vec::new();
            if to_do.kind == ChangeKind::Sweep {
                sweep(view, &now, &mut seen);
            }
            for (place, token) in tokens.iter().enumerate() {
                let deletes = to_do.deletes.get(place).copied().unwrap_or(false);
                change(to_do.kind, view, token, deletes, &mut values, &mut seen);
            }
            seen
        };
        let call = async {
            if to_do.kind == ChangeKind::Sweep {
                self.tokens.mutate(mutation).await
            } else {
                self.tokens.transaction(named, mutation).await
            }
        };
        let outcome: Result<Done<Seen>, MutateError> = CALL.scope(op, call).await;
        let is_ok = outcome.is_ok();
        let is_unknown = matches!(outcome, Err(MutateError::Unknown { .. }));
        recorder.end_mutate(&process.name, op, outcome);
        if is_unknown {
            self.resolving.resolve_mutation().await;
        }
        is_ok
    }
}

impl<H: Host> Actor for TokenStoreActor<'_, H> {
    type Operation = TokenStoreOperation;

    async fn act(&self, caller: usize, operation: &TokenStoreOperation) {
        match operation {
            TokenStoreOperation::ReadAll => self.read_all().await,
            TokenStoreOperation::ReadTokens { tokens } => {
                self.read_tokens(tokens).await;
                self.resolving.resolve_mutation().await;
            }
            TokenStoreOperation::Change(change) => {
                self.change(caller, change).await;
            }
        }
    }

    async fn make_progress(&self, rng: &mut ChaCha8Rng) -> bool {
        for kind in [ChangeKind::Count, ChangeKind::Sweep] {
            if !self.change(0, &Change::draw(rng, self.knobs, kind)).await {
                return false;
            }
        }
        true
    }
}

impl<H: Host> Drop for TokenStoreActor<'_, H> {
    fn drop(&mut self) {
        self.process.recorder.add_vault_stats(self.tokens.stats());
    }
}

/// A stored value. Each is unique: it names the run of the operation that wrote
/// it.
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

    /// The next value of this run, with the count of `before` plus one.
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

/// The contended tokens of these numbers.
fn contended(numbers: &[usize]) -> Vec<TokenId> {
    numbers
        .iter()
        .flat_map(|number| token(&format!("t{number}")))
        .collect()
}

fn token(name: &str) -> Vec<TokenId> {
    TokenId::new(name).into_iter().collect()
}

/// Deletes what has expired; adds what it has read to `seen`.
fn sweep(view: &mut View, now: &str, seen: &mut Seen) {
    let entries = view.entries();
    for (token, value) in &entries {
        if kept(value).is_some_and(|kept| kept.expires_at.as_str() <= now) {
            view.delete(token);
        }
    }
    let entries = entries.iter();
    let read = entries.map(|(token, value)| (token.as_str(), Some(value.bytes())));
    seen.extend(listed(read));
}

/// Changes one token as `kind` says; adds what it has read to `seen`.
fn change(
    kind: ChangeKind,
    view: &mut View,
    token: &TokenId,
    deletes: bool,
    values: &mut Values,
    seen: &mut Seen,
) {
    let before = view.get(token);
    seen.push((token.as_str().to_owned(), before.as_ref().map(text)));
    let (sets, deletes) = match kind {
        ChangeKind::Count | ChangeKind::Own => (true, false),
        ChangeKind::Several => (!deletes, deletes),
        ChangeKind::Create => (before.is_none(), false),
        ChangeKind::Refresh => (before.is_some(), false),
        ChangeKind::Drop | ChangeKind::Purge => (false, true),
        // It has no tokens of its own.
        ChangeKind::Sweep => (false, false),
    };
    if sets {
        view.set(token, values.next(before.as_ref()));
    } else if deletes {
        view.delete(token);
    }
}
