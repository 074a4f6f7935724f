//! One test for each defect that was found after its release; the names say
//! what went wrong.

mod outages;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use haechi_store_redis::{
    AttemptError, Builder, Cause, Corrupt, ReadError,
    clock::{SystemClock, within},
    test_util::{Hooked, MemoryChain, VaultHooks},
    vault::{
        Deterministic, MutateError, PurgeError, Purged, View,
        store::{Applied, Attempt, Load, Loaded, Observed, VaultStore},
    },
};

use super::{Vault, add, attempt, diff, keys, new_keys, token, tokens, vault};
use crate::support::{ask, client, raw, run, server};

/// `count` mutations of other processes.
async fn others<S: VaultStore>(store: &S, first: u64, count: u64) {
    let read = BTreeMap::new();
    let diff = diff(&[("other", Some("x"))]);
    for number in first..first + count {
        let mut id = [0xee; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let begun = store
            .load(Load::Some(&[]), &Observed::default())
            .await
            .unwrap()
            .receipt_seq;
        let attempt = Attempt {
            begun,
            ..attempt(id, &read, &diff)
        };
        let applied = store.apply(&attempt, &Observed::default()).await.unwrap();
        assert!(matches!(applied, Applied::Committed { .. }), "{applied:?}");
    }
}

/// Loses the reply of the first load and of the first apply, with this number
/// of foreign mutations after each.
struct Losing {
    loads: AtomicU32,
    applies: AtomicU32,
    after_load: u64,
    after_apply: u64,
    /// Every later apply fails, so that the mutation is settled.
    then_down: bool,
}

fn lost<T>() -> Result<T, AttemptError> {
    Err(AttemptError::Ambiguous(Cause::new("reply lost")))
}

impl<S: VaultStore> VaultHooks<S> for Losing {
    async fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        let loaded = next.load(what, observed).await;
        if self.loads.fetch_add(1, Ordering::SeqCst) == 0 {
            others(next, 0, self.after_load).await;
            return lost();
        }
        loaded
    }

    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let nth = self.applies.fetch_add(1, Ordering::SeqCst);
        if nth > 0 && self.then_down {
            return Err(AttemptError::Denied(Cause::new("down")));
        }
        let applied = next.apply(attempt, observed).await;
        if nth == 0 {
            assert!(matches!(applied, Ok(Applied::Committed { .. })));
            others(next, 1_000_000, self.after_apply).await;
            return lost();
        }
        applied
    }
}

fn count(view: &mut View) {
    add(view, 1);
}

async fn losing_mutation(then_down: bool) -> (Result<(), MutateError>, String) {
    let server = server();
    let store = Builder::new().vault_store(client(&server));
    let losing = Losing {
        loads: AtomicU32::new(0),
        applies: AtomicU32::new(0),
        after_load: 6_000,
        after_apply: 4_500,
        then_down,
    };
    let tokens = Builder::new()
        .deadline(Duration::from_secs(300))
        .token_store(Hooked::new(store, losing));
    let ended = tokens.mutate(count).await.map(drop);
    let counter: String = ask(&mut raw(&server).await, "HGET haechi:tv:tokens counter").await;
    (ended, counter)
}

/// The open receipt of a whole-vault mutation whose first load's reply was lost
/// is older than `begun`: it is removed while the mutation is still within the
/// range of kept receipts.
#[tokio::test]
async fn a_mutation_is_not_applied_twice_after_a_lost_load() {
    let (ended, counter) = losing_mutation(false).await;
    assert_eq!(counter, "1", "{ended:?}");
}

#[tokio::test]
async fn an_applied_mutation_is_not_reported_as_not_applied_after_a_lost_load() {
    let (ended, counter) = losing_mutation(true).await;
    assert!(
        !(counter == "1" && matches!(ended, Err(MutateError::NotApplied(_)))),
        "{ended:?}, but counter is {counter}"
    );
}

async fn over<S: VaultStore>(store: S) -> Vault<S, SystemClock> {
    let clock = SystemClock::new();
    let keys = keys(&new_keys(&clock).await, &clock).await;
    vault(store, MemoryChain::new(), keys, &clock, Deterministic::None)
}

/// An invalid field with an `expiresAt` in the past would be due for ever in
/// the index.
#[tokio::test]
async fn fields_that_are_no_records_do_not_hold_up_purging() {
    let server = server();
    let mut connection = raw(&server).await;
    for number in 0..256 {
        let field = format!("garbage-{number}");
        let text = r#"{"expiresAt":"2001-01-01T00:00:00.000Z"}"#;
        run(
            &mut connection,
            &format!("HSET haechi:tv:tokens {field} {text}"),
        )
        .await;
    }
    run(&mut connection, "SET haechi:tv:version 1").await;
    let vault = over(Builder::new().vault_store(client(&server))).await;
    assert_eq!(vault.purge_expired().await.unwrap().purged, 0);
    vault.prune(1).await.unwrap();
    let again = within(
        &SystemClock::new(),
        Duration::from_secs(5),
        Box::pin(vault.purge_expired()),
    )
    .await;
    assert!(
        again.is_some_and(|again| again.is_ok()),
        "purge_expired does not end"
    );
}

/// The version was lost (evicted, deleted) and the receipts kept: `version -
/// #own` is below zero.
#[tokio::test]
async fn purging_works_or_reports_when_version_is_behind_own() {
    let server = server();
    let mut connection = raw(&server).await;
    for _ in 0..3 {
        tokens(&server).transaction([], count).await.unwrap();
    }
    run(&mut connection, "DEL haechi:tv:version").await;
    let builder = Builder::new().deadline(Duration::from_secs(2));
    let store = builder.token_store(builder.vault_store(client(&server)));
    let written = store.transaction([], count).await;
    let vault = over(builder.vault_store(client(&server))).await;
    let purged = vault.purge_expired().await;
    assert!(
        matches!(
            purged,
            Err(PurgeError::Read(ReadError::Corrupt(
                Corrupt::Unreadable { .. }
            )))
        ),
        "{purged:?}"
    );
    assert!(
        matches!(written, Err(MutateError::Corrupt(_))),
        "{written:?}"
    );
}

/// 256 records of the longest plaintext are some 360 MB in one reply.
#[tokio::test]
async fn large_tokens_can_be_listed_and_purged() {
    let server = server();
    let mut connection = raw(&server).await;
    let ct = "A".repeat(1_398_102);
    let text = format!(
        r#"{{"type":"t","createdAt":"2001-01-01T00:00:00.000Z","expiresAt":"2001-01-02T00:00:00.000Z","metadata":{{}},"envelope":{{"ct":"{ct}"}},"aad":{{}}}}"#
    );
    for number in 0..256 {
        run(
            &mut connection,
            &format!("HSET haechi:tv:tokens tok_t_{number:032x} {text}"),
        )
        .await;
    }
    run(&mut connection, "SET haechi:tv:version 1").await;
    let vault = over(Builder::new().vault_store(client(&server))).await;
    let listed = vault.tokens().export_metadata(None).await;
    assert!(listed.is_ok(), "{listed:?}");
    let purged = vault.purge_expired().await;
    assert!(
        matches!(purged, Ok(Purged { purged: 256, .. })),
        "{purged:?}"
    );
}

/// Mutations of others that a process had observed are lost, and the vault has
/// regrown to the same version: the process must not write on.
#[tokio::test]
async fn a_lost_foreign_mutation_is_detected_after_regrowth() {
    let server = server();
    let mut connection = raw(&server).await;
    let (seer, other) = (tokens(&server), tokens(&server));
    seer.transaction([], count).await.unwrap();
    for key in ["tokens", "version", "receipts", "expiry"] {
        run(&mut connection, &format!("COPY haechi:tv:{key} copy:{key}")).await;
    }
    other
        .transaction([], |view: &mut View| view.set(&token("theirs"), "1"))
        .await
        .unwrap();
    let seen = seer.read_tokens(&[token("theirs")]).await.unwrap();
    assert!(seen.tokens[&token("theirs")].is_some());
    // Failover to a replica that lagged by one mutation.
    for key in ["tokens", "version", "receipts", "expiry"] {
        let back = format!("COPY copy:{key} haechi:tv:{key} REPLACE");
        run(&mut connection, &back).await;
    }
    tokens(&server)
        .transaction([], |view: &mut View| view.set(&token("new"), "1"))
        .await
        .unwrap();
    let read = seer.read_tokens(&[token("theirs")]).await;
    let written = seer.transaction([], count).await;
    assert!(written.is_err(), "a rollback accepted after {read:?}");
}
