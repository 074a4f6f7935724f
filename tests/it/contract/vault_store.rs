//! The contract of `VaultStore`, and of a token store over it.

use std::time::{Duration, UNIX_EPOCH};

use haechi_store_redis::{
    Builder,
    test_util::MemoryVault,
    vault::{
        Stored, TokenId, Version, View,
        store::{
            Applied, Attempt, Diff, Fate, Fence, Indexed, Load, Loaded, Moved, Observed, VaultStore,
        },
    },
};

use crate::vault::{self, Read, add, diff, token};

fn read(values: &[(&str, Option<&str>)]) -> Read {
    values
        .iter()
        .map(|(name, value)| (token(name), value.map(Stored::from)))
        .collect()
}

fn attempt<'a>(id: u8, read: &'a Read, diff: &'a Diff) -> Attempt<'a> {
    vault::attempt([id; 16], read, diff)
}

async fn apply<S: VaultStore>(store: &S, attempt: &Attempt<'_>) -> Applied {
    store.apply(attempt, &Observed::default()).await.unwrap()
}

async fn everything<S: VaultStore>(store: &S) -> (u64, Vec<(String, String)>) {
    let loaded = store
        .load(Load::All { intent: None }, &Observed::default())
        .await
        .unwrap();
    let text = |value: Stored| String::from_utf8(value.bytes().to_vec()).unwrap();
    let tokens = loaded.tokens.into_iter();
    let mut tokens: Vec<_> = tokens
        .map(|(token, value)| (token.to_string(), text(value.unwrap())))
        .collect();
    tokens.sort();
    (loaded.version.get(), tokens)
}

fn owned(tokens: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    tokens.iter().map(owned).collect()
}

/// Catches a fence that does not compare, a diff applied in part, and a
/// version that a delete-only diff does not move.
async fn a_diff_lands_whole_or_not_at_all<S: VaultStore>(store: S) {
    let first = diff(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]);
    let absent = read(&[("a", None), ("b", None), ("c", None)]);
    let Applied::Committed { version, .. } = apply(&store, &attempt(1, &absent, &first)).await
    else {
        panic!("nothing stands in the way");
    };
    assert_eq!(version, Version::new(1));

    // One of two values differs, and one that should be absent stands.
    let second = diff(&[("a", None), ("b", Some("4"))]);
    for stale in [
        read(&[("a", Some("1")), ("b", Some("0"))]),
        read(&[("a", Some("1")), ("c", None)]),
        read(&[("a", Some("1")), ("d", Some("1"))]),
    ] {
        let Applied::Conflict { moved, now } = apply(&store, &attempt(2, &stale, &second)).await
        else {
            panic!("what was read has moved");
        };
        assert_eq!(moved, Moved::Value);
        assert_eq!(now.version, Version::new(1));
        let fresh: Vec<_> = now.tokens.keys().collect();
        assert_eq!(fresh, stale.keys().collect::<Vec<_>>());
        assert_eq!(now.tokens[&token("a")], Some(Stored::from("1")));
    }
    let whole = owned(&[("a", "1"), ("b", "2"), ("c", "3")]);
    assert_eq!(everything(&store).await, (1, whole));

    let fresh = read(&[("a", Some("1")), ("b", Some("2"))]);
    let applied = apply(&store, &attempt(2, &fresh, &second)).await;
    assert!(matches!(applied, Applied::Committed { version, .. } if version.get() == 2));
    let deletes = diff(&[("c", None)]);
    let nothing_read = read(&[]);
    apply(&store, &attempt(3, &nothing_read, &deletes)).await;
    assert_eq!(everything(&store).await, (3, owned(&[("b", "4")])));
}

/// Catches a mutation applied twice: a purge repeated after its lost reply
/// would delete the token that was created in between.
async fn a_mutation_is_applied_once<S: VaultStore>(store: S) {
    let nothing_read = read(&[]);
    let set = diff(&[("a", Some("1"))]);
    apply(&store, &attempt(1, &nothing_read, &set)).await;
    let stood = read(&[("a", Some("1"))]);
    let purge = diff(&[("a", None)]);
    let first = attempt(2, &stood, &purge);
    let Applied::Committed { version, receipt } = apply(&store, &first).await else {
        panic!("nothing stands in the way");
    };
    apply(&store, &attempt(3, &nothing_read, &set)).await;
    // The very same token stands again, so values alone would let it through;
    // and a later attempt of the same mutation learns which one was applied.
    for number in [1, 2] {
        let again = Attempt { number, ..first };
        let ended = Fate::Applied {
            version,
            number: 1,
            receipt: Some(receipt),
        };
        assert_eq!(apply(&store, &again).await, Applied::Settled(ended));
        let settled = store
            .settle(first.mutation, first.begun, &Observed::default())
            .await;
        assert_eq!(settled.unwrap(), Some(ended));
    }
    assert_eq!(everything(&store).await, (3, owned(&[("a", "1")])));
}

/// Catches "not applied" said of a mutation whose attempt arrives later.
async fn a_dropped_mutation_is_never_applied<S: VaultStore>(store: S) {
    let nothing_read = read(&[]);
    let set = diff(&[("a", Some("1"))]);
    let late = attempt(1, &nothing_read, &set);
    for _ in 0..2 {
        let settled = store
            .settle(late.mutation, late.begun, &Observed::default())
            .await;
        assert_eq!(settled.unwrap(), Some(Fate::Dropped));
    }
    let answer = apply(&store, &late).await;
    assert_eq!(answer, Applied::Settled(Fate::Dropped));
    assert_eq!(everything(&store).await, (0, Vec::new()));
}

/// Catches a mutation of the whole vault that is applied over one it has not
/// seen.
async fn a_snapshot_is_fenced_on_every_change<S: VaultStore>(store: S) {
    let nothing_read = read(&[]);
    let (set, other) = (diff(&[("a", Some("1"))]), diff(&[("b", Some("1"))]));
    apply(&store, &attempt(1, &nothing_read, &set)).await;
    let fenced = |version| Attempt {
        fence: Fence::Snapshot(version),
        ..attempt(2, &nothing_read, &other)
    };
    let intent = Some(fenced(Version::new(0)).mutation);
    let load = async || -> Loaded {
        store
            .load(Load::All { intent }, &Observed::default())
            .await
            .unwrap()
    };
    let stale = load().await.version;
    let delete = diff(&[("z", None)]);
    apply(&store, &attempt(3, &nothing_read, &delete)).await;
    let met = apply(&store, &fenced(stale)).await;
    assert!(
        matches!(&met, Applied::Conflict { moved: Moved::Version, now } if now.version.get() == 2),
        "{met:?}"
    );
    let fresh = load().await.version;
    let applied = apply(&store, &fenced(fresh)).await;
    assert!(matches!(applied, Applied::Committed { version, .. } if version.get() == 3));
}

/// Catches pages that leave tokens out, and an index that misses what expired
/// or reports what did not.
async fn tokens_are_found_again<S: VaultStore>(store: S) {
    let expiring = |millis: u64| {
        format!(
            r#"{{"expiresAt":"1970-01-01T00:00:{:02}.000Z"}}"#,
            millis / 1000
        )
    };
    let mut all = Diff::new();
    for number in 0..300_u64 {
        let value = expiring(if number < 20 {
            1000 + 1000 * number
        } else {
            59_000
        });
        all.set(token(&format!("t{number:03}")), value.into());
    }
    let nothing_read = read(&[]);
    apply(&store, &attempt(1, &nothing_read, &all)).await;

    let (mut cursor, mut found) = (0, Vec::new());
    loop {
        let page = store.scan(cursor, 32).await.unwrap();
        found.extend(page.tokens.into_iter().map(|(token, _)| token));
        cursor = page.cursor;
        if cursor == 0 {
            break;
        }
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 300);

    let five = UNIX_EPOCH + Duration::from_secs(5);
    let due_at_5_s = async |limit| store.due(five, limit).await.unwrap();
    let due = due_at_5_s(3).await;
    let first: Vec<_> = ["t000", "t001", "t002"].map(token).into();
    assert_eq!(due.tokens, first);
    let due = due_at_5_s(100).await;
    assert_eq!(due.tokens.len(), 5);
    // Whether the index was ever built is the store's own affair; once it is
    // noted as whole it stays so under the store's own changes.
    store.index(&[], Some(due.drift)).await.unwrap();
    let purge = diff(&[("t000", None), ("t001", Some(&expiring(59_000)))]);
    apply(&store, &attempt(2, &nothing_read, &purge)).await;
    let due = due_at_5_s(100).await;
    assert!(due.is_whole);
    assert_eq!(due.tokens, ["t002", "t003", "t004"].map(token));
    // A correction that read something else than what stands is none.
    let wrong = Indexed {
        token: token("t002"),
        read: Some(Stored::from("something else")),
        expires: None,
    };
    store.index(&[wrong], None).await.unwrap();
    let due = due_at_5_s(100).await;
    assert_eq!(due.tokens.len(), 3);
}

/// Catches a diff that is cut, or refused, because Lua passes on some 8,000
/// values at once.
async fn a_large_diff_lands_whole<S: VaultStore>(store: S) {
    const TOKENS: usize = 9_000;
    let names: Vec<TokenId> = (0..TOKENS)
        .map(|number| token(&format!("t{number}")))
        .collect();
    let set: Diff = names
        .iter()
        .map(|name| (name.clone(), Some(Stored::from("1"))))
        .collect();
    let absent: Read = names.iter().map(|name| (name.clone(), None)).collect();
    let applied = apply(&store, &attempt(1, &absent, &set)).await;
    assert!(matches!(applied, Applied::Committed { .. }), "{applied:?}");
    assert_eq!(everything(&store).await.1.len(), TOKENS);
    let stand: Read = names
        .iter()
        .map(|name| (name.clone(), Some(Stored::from("1"))))
        .collect();
    let delete: Diff = names.into_iter().map(|name| (name, None)).collect();
    let applied = apply(&store, &attempt(2, &stand, &delete)).await;
    assert!(matches!(applied, Applied::Committed { .. }), "{applied:?}");
    assert_eq!(everything(&store).await, (2, Vec::new()));
}

/// Catches increments lost or doubled between replicas, by transactions and by
/// mutations of the whole vault together.
async fn racing_counters_count_exactly<S: VaultStore>(open: impl Fn() -> S) {
    let mut tasks = Vec::new();
    for number in 0..3 {
        let store = Builder::new().token_store(open());
        for _ in 0..4 {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..10 {
                    if number == 0 {
                        let increment = |view: &mut View| {
                            view.entries();
                            add(view, 1);
                        };
                        store.mutate(increment).await.unwrap();
                    } else {
                        // It has to find out what it touches by itself.
                        let increment = |view: &mut View| add(view, 1);
                        store.transaction([], increment).await.unwrap();
                    }
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(
        everything(&open()).await,
        (120, owned(&[("counter", "120")]))
    );
}

contract!(
    MemoryVault,
    vault_store,
    [
        a_diff_lands_whole_or_not_at_all,
        a_mutation_is_applied_once,
        a_dropped_mutation_is_never_applied,
        a_snapshot_is_fenced_on_every_change,
        tokens_are_found_again,
        a_large_diff_lands_whole
    ],
    [racing_counters_count_exactly]
);
