//! Regression tests of rare cases: receipts replaced while a mutation runs,
//! permissions missing late, fields that are no records, the largest tokens.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    AttemptError, Builder, Cause, Corrupt, ReadError,
    clock::{SystemClock, within},
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
    test_util::{Hooked, MemoryChain, VaultHooks},
    vault::{
        MutateError, MutationId, PurgeError, Stored, TokenId, TokenVault, VaultPolicy, View,
        store::{
            Applied, Attempt, Diff, Fence, ForeignLockWait, Load, Loaded, Observed, VaultStore,
        },
    },
};

use crate::support::{client, raw, run, server};

fn token(name: &str) -> TokenId {
    TokenId::new(name).unwrap()
}

/// `count` mutations of other processes.
async fn others<S: VaultStore>(store: &S, first: u64, count: u64) {
    let read = BTreeMap::new();
    let diff: Diff = [(token("other"), Some(Stored::from("x")))]
        .into_iter()
        .collect();
    for number in first..first + count {
        let mut id = [0xee; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let begun = store
            .load(Load::Some(&[]), &Observed::default())
            .await
            .unwrap()
            .receipt_seq;
        let attempt = Attempt {
            mutation: MutationId::from_bytes(id),
            number: 1,
            begun,
            fence: Fence::Values,
            read: &read,
            diff: &diff,
            foreign_lock_wait: ForeignLockWait::Exhausted,
        };
        let applied = store.apply(&attempt, &Observed::default()).await.unwrap();
        assert!(matches!(applied, Applied::Committed { .. }), "{applied:?}");
    }
}

/// Loses the reply of the first load and of the first apply, with so many
/// mutations of others behind each.
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
    let counter = token("counter");
    let before = view.get(&counter).map_or(0, |stored| {
        String::from_utf8_lossy(stored.bytes())
            .parse::<u64>()
            .unwrap()
    });
    view.set(&counter, (before + 1).to_string());
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
    let counter: String = redis::cmd("HGET")
        .arg("haechi:tv:tokens")
        .arg("counter")
        .query_async(&mut raw(&server).await)
        .await
        .unwrap();
    (ended, counter)
}

/// The open receipt of a whole-vault mutation whose first load's reply was
/// lost is older than `begun`: it goes while the mutation still passes for
/// remembered.
#[tokio::test]
async fn a_mutation_is_not_applied_twice_after_a_lost_load() {
    let (ended, counter) = losing_mutation(false).await;
    println!("{ended:?}, counter {counter}");
    assert_eq!(counter, "1");
}

#[tokio::test]
async fn not_applied_is_not_said_of_what_was_applied_after_a_lost_load() {
    let (ended, counter) = losing_mutation(true).await;
    println!("{ended:?}, counter {counter}");
    assert!(
        !(counter == "1" && matches!(ended, Err(MutateError::NotApplied(_)))),
        "{ended:?}, but counter is {counter}"
    );
}

/// `note` uses HGET once 10,000 receipts are there; nobody asks whether the
/// user may.
#[tokio::test]
async fn a_missing_hget_leaves_nothing_behind() {
    let server = server();
    let mut connection = raw(&server).await;
    run(
        &mut connection,
        &[
            "HSET",
            "haechi:tv:receipts",
            "#next",
            "10000",
            "#0",
            "old",
            "old",
            "done 1 1 0",
        ],
    )
    .await;
    run(
        &mut connection,
        &[
            "ACL",
            "SETUSER",
            "few",
            "reset",
            "on",
            ">pw",
            "~haechi:tv:*",
            "+@all",
            "-hget",
        ],
    )
    .await;
    let url = format!("redis://few:pw@127.0.0.1:{}", server.port());
    let builder = Builder::new();
    let tokens = builder.token_store(builder.vault_store(redis::Client::open(url).unwrap()));
    let ended = tokens.transaction([], count).await;
    let left: (Option<String>, Option<String>, u64) = redis::pipe()
        .cmd("HGET")
        .arg("haechi:tv:tokens")
        .arg("counter")
        .cmd("GET")
        .arg("haechi:tv:version")
        .cmd("HLEN")
        .arg("haechi:tv:receipts")
        .query_async(&mut connection)
        .await
        .unwrap();
    println!("{ended:?}; counter, version, receipts: {left:?}");
    assert_eq!((left.0, left.1), (None, None), "{ended:?}");
}

type Vault<S> = TokenVault<S, LocalKeys<MemoryKeys, SystemClock, SystemEntropy>>;

async fn vault<S: VaultStore>(store: S) -> Vault<S> {
    let storage = MemoryKeys::new();
    manage::init(&storage, &SystemClock::new(), &SystemEntropy)
        .await
        .unwrap();
    let keys = LocalKeys::open(
        storage,
        SystemClock::new(),
        SystemEntropy,
        Counting::Persisted,
    );
    let audit = Builder::new().audit_sink(MemoryChain::new());
    Builder::new().token_vault(
        store,
        Arc::new(keys.await.unwrap()),
        audit,
        VaultPolicy::default(),
    )
}

/// A field that is no record, but has an `expiresAt` that has passed, is
/// indexed as due for ever.
#[tokio::test]
async fn fields_that_are_no_records_do_not_hold_up_purging() {
    let server = server();
    let mut connection = raw(&server).await;
    for number in 0..256 {
        let field = format!("garbage-{number}");
        let text = r#"{"expiresAt":"2001-01-01T00:00:00.000Z"}"#;
        run(&mut connection, &["HSET", "haechi:tv:tokens", &field, text]).await;
    }
    run(&mut connection, &["SET", "haechi:tv:version", "1"]).await;
    let vault = vault(Builder::new().vault_store(client(&server))).await;
    assert_eq!(vault.purge_expired().await.unwrap(), 0);
    let one = vault.prune(1).await.unwrap();
    println!("prune(1): {one:?}");
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

/// version lost (evicted, deleted), receipts kept: `version - #own` is below
/// zero.
#[tokio::test]
async fn purging_works_or_says_why_when_version_is_behind_own() {
    let server = server();
    let mut connection = raw(&server).await;
    {
        let tokens = Builder::new().token_store(Builder::new().vault_store(client(&server)));
        for _ in 0..3 {
            tokens.transaction([], count).await.unwrap();
        }
    }
    run(&mut connection, &["DEL", "haechi:tv:version"]).await;
    let builder = Builder::new().deadline(Duration::from_secs(2));
    let store = builder.token_store(builder.vault_store(client(&server)));
    let written = store.transaction([], count).await;
    println!("a new process writes: {written:?}");
    let vault = vault(
        Builder::new()
            .deadline(Duration::from_secs(2))
            .vault_store(client(&server)),
    )
    .await;
    let purged = vault.purge_expired().await;
    println!("and purges: {purged:?}");
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
    let taken = AtomicU64::new(0);
    for number in 0..256 {
        run(
            &mut connection,
            &[
                "HSET",
                "haechi:tv:tokens",
                &format!("tok_t_{number:032x}"),
                &text,
            ],
        )
        .await;
        taken.fetch_add(1, Ordering::Relaxed);
    }
    run(&mut connection, &["SET", "haechi:tv:version", "1"]).await;
    let vault = vault(Builder::new().vault_store(client(&server))).await;
    let listed = vault.tokens().export_metadata(None).await;
    println!("list: {:?}", listed.map(|listing| listing.tokens.len()));
    let purged = vault.purge_expired().await;
    println!("purged: {purged:?}");
    assert!(matches!(purged, Ok(256)), "{purged:?}");
}

/// What a process had read of others is gone, and the vault has grown to the
/// same version again: it writes on without a word.
#[tokio::test]
async fn a_lost_foreign_mutation_that_was_seen_is_noticed_after_regrowth() {
    let server = server();
    let mut connection = raw(&server).await;
    let open = || Builder::new().token_store(Builder::new().vault_store(client(&server)));
    let (seer, other) = (open(), open());
    seer.transaction([], count).await.unwrap();
    for key in ["tokens", "version", "receipts", "expiry"] {
        let (key, copy) = (format!("haechi:tv:{key}"), format!("copy:{key}"));
        let _: i64 = redis::cmd("COPY")
            .arg(&key)
            .arg(&copy)
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    other
        .transaction([], |view: &mut View| view.set(&token("theirs"), "1"))
        .await
        .unwrap();
    let seen = seer.read_tokens(&[token("theirs")]).await.unwrap();
    assert!(seen.tokens[&token("theirs")].is_some());
    // Failover to a replica that lagged by one mutation.
    for key in ["tokens", "version", "receipts", "expiry"] {
        let (key, copy) = (format!("haechi:tv:{key}"), format!("copy:{key}"));
        let _: i64 = redis::cmd("COPY")
            .arg(&copy)
            .arg(&key)
            .arg("REPLACE")
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    open()
        .transaction([], |view: &mut View| view.set(&token("new"), "1"))
        .await
        .unwrap();
    let read = seer.read_tokens(&[token("theirs")]).await;
    let written = seer.transaction([], count).await;
    println!("it reads {read:?} and writes {written:?}");
    assert!(written.is_err(), "a rollback accepted without a word");
}
