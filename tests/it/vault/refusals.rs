//! Operations that the vault refuses, and that change nothing.

use haechi_store_redis::{
    Builder, Corrupt, NotApplied,
    test_util::ManualClock,
    vault::{MutateError, View, store::VaultStore},
};
use std::time::{Duration, UNIX_EPOCH};

use super::{token, tokens};
use crate::support::{ask, client, raw, run, server};

fn increment(view: &mut View) {
    view.set(&token("a"), "new");
    view.delete(&token("b"));
}

/// Would catch a version that is read as another number, and a diff that is
/// half applied before the version is found to be invalid.
#[tokio::test]
async fn a_version_that_is_no_plain_decimal_is_corrupt() {
    let server = server();
    let mut connection = raw(&server).await;
    for version in [
        "abc",
        "007",
        "0x10",
        "1e3",
        "",
        " 1",
        "-1",
        "1.0",
        "90000000000000",
        "100000000000000",
        "99999999999999999999999999",
    ] {
        run(&mut connection, "FLUSHALL").await;
        let mut set = redis::cmd("SET");
        set.arg("haechi:tv:version").arg(version);
        set.exec_async(&mut connection).await.unwrap();
        run(&mut connection, "HSET haechi:tv:tokens b 1").await;
        let refused = tokens(&server)
            .transaction([], increment)
            .await
            .unwrap_err();
        let MutateError::Corrupt(Corrupt::Unreadable { key, .. }) = &refused else {
            panic!("{version:?}: {refused:?}");
        };
        assert_eq!(key, "haechi:tv:version");
        assert!(refused.to_string().contains("nothing was applied"));
        let left: Vec<String> = ask(&mut connection, "KEYS *").await;
        assert_eq!(left.len(), 2, "{left:?}");
        let stored: Vec<String> = ask(&mut connection, "HGETALL haechi:tv:tokens").await;
        assert_eq!(stored, ["b", "1"]);
    }
    // The highest valid one.
    run(&mut connection, "SET haechi:tv:version 89999999999999").await;
    let done = tokens(&server).transaction([], increment).await.unwrap();
    assert_eq!(
        done.version.map(|version| version.get()),
        Some(90_000_000_000_000)
    );
    let refused = tokens(&server).transaction([], increment).await;
    refused.unwrap_err();
}

/// Would catch keys of another type that are overwritten, a diff that is half
/// applied before they are detected, and a failure because of an advisory key.
#[tokio::test]
async fn keys_of_another_type_are_named_and_kept() {
    let server = server();
    let mut connection = raw(&server).await;
    for key in ["tokens", "version", "receipts"] {
        run(&mut connection, "FLUSHALL").await;
        let key = format!("haechi:tv:{key}");
        run(&mut connection, &format!("SADD {key} x")).await;
        let refused = tokens(&server)
            .transaction([], increment)
            .await
            .unwrap_err();
        assert!(
            matches!(&refused, MutateError::Corrupt(Corrupt::WrongType { key: named, found })
                if *named == key && found == "set"),
            "{key}: {refused:?}"
        );
    }
    for key in ["lock", "expiry"] {
        run(&mut connection, "FLUSHALL").await;
        let key = format!("haechi:tv:{key}");
        run(&mut connection, &format!("SADD {key} x")).await;
        let set =
            |view: &mut View| view.set(&token("a"), r#"{"expiresAt":"2030-01-01T00:00:00.000Z"}"#);
        tokens(&server).transaction([], set).await.unwrap();
    }
}

/// Would catch a diff that is half applied when the user lacks a permission.
#[tokio::test]
async fn a_missing_permission_leaves_nothing_behind() {
    let server = server();
    let mut connection = raw(&server).await;
    let builder = Builder::new();
    for missing in ["hset", "hdel", "incr", "hmget", "get"] {
        run(&mut connection, "FLUSHALL").await;
        run(&mut connection, "HSET haechi:tv:tokens b 1").await;
        let receipts = "HSET haechi:tv:receipts #next 10000 #0 old old dropped";
        run(&mut connection, receipts).await;
        run(
            &mut connection,
            &format!("ACL SETUSER few reset on >pw ~haechi:tv:* +@all -{missing}"),
        )
        .await;
        let url = format!("redis://few:pw@127.0.0.1:{}", server.port());
        let store = builder.vault_store(redis::Client::open(url).unwrap());
        let tokens = builder.token_store(store);
        let refused = tokens.transaction([], increment).await.unwrap_err();
        assert!(
            matches!(&refused, MutateError::NotApplied(NotApplied::Refused(cause))
                if cause.to_string().contains(&missing.to_uppercase())),
            "{missing}: {refused:?}"
        );
        let left: Vec<String> = ask(&mut connection, "KEYS *").await;
        assert_eq!(left.len(), 2, "{missing}: {left:?}");
        let receipts: u64 = ask(&mut connection, "HLEN haechi:tv:receipts").await;
        assert_eq!(receipts, 3, "{missing}");
        let stored: Vec<String> = ask(&mut connection, "HGETALL haechi:tv:tokens").await;
        assert_eq!(stored, ["b", "1"], "{missing}");
    }
}

/// Would catch an index that counts as complete although a write to it was
/// denied: what it lacks would never be purged.
#[tokio::test]
async fn a_write_without_the_index_causes_a_rebuild() {
    let server = server();
    let mut connection = raw(&server).await;
    run(
        &mut connection,
        "ACL SETUSER few on >pw ~haechi:tv:* +@all -zadd",
    )
    .await;
    let store = Builder::new().vault_store(client(&server));
    store.index(&[], Some(0)).await.unwrap();
    let due = async || store.due(UNIX_EPOCH, 1).await.unwrap();
    tokens(&server).transaction([], increment).await.unwrap();
    assert!(due().await.is_whole);
    let url = format!("redis://few:pw@127.0.0.1:{}", server.port());
    let few = Builder::new().vault_store(redis::Client::open(url).unwrap());
    let set =
        |view: &mut View| view.set(&token("a"), r#"{"expiresAt":"2030-01-01T00:00:00.000Z"}"#);
    let few = Builder::new().token_store(few);
    few.transaction([], set).await.unwrap();
    let due = due().await;
    assert_eq!((due.is_whole, due.drift), (false, 1));
}

/// Would catch a writer that fails under a foreign lock, waits again for each
/// of its tokens, or does not wait at all.
#[tokio::test]
async fn a_foreign_lock_is_waited_for_once() {
    let server = server();
    let mut connection = raw(&server).await;
    run(&mut connection, "SET haechi:tv:lock theirs PX 30000").await;
    let clock = ManualClock::default();
    let builder = Builder::new().clock(clock.clone());
    let tokens = builder.token_store(builder.vault_store(client(&server)));
    for _ in 0..100 {
        tokens.transaction([], increment).await.unwrap();
    }
    let slept = clock.slept();
    // On a busy machine a wait is longer than it says.
    assert!(!slept.is_zero());
    assert!(slept <= Duration::from_millis(400), "{slept:?}");
    // There is no wait for an own lock: the fence is enough.
    run(&mut connection, "SET haechi:tv:lock own:x PX 30000").await;
    tokens.transaction([], increment).await.unwrap();
    assert_eq!(clock.slept(), slept);
}
