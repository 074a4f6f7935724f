//! A Redis that refuses commands: nothing is appended, and the error says what
//! to do.

use std::time::Duration;

use haechi_store_redis::{
    AppendError, Builder, NotApplied, OpenError,
    audit::AuditSink,
    redis::{AuditPrefix, NotReady},
};
use redis_sim::server_process::RedisServer;

use crate::support::{ask, client, event, raw, run, server, store, verified};

async fn sink(url: &str) -> AuditSink {
    let builder = Builder::new().deadline(Duration::from_millis(300));
    builder
        .open_audit(redis::Client::open(url).unwrap())
        .await
        .unwrap()
}

async fn refusal(sink: &AuditSink) -> String {
    match sink.record(event("e")).await {
        Err(AppendError::NotApplied(why @ (NotApplied::Refused(_) | NotApplied::Deadline(_)))) => {
            why.to_string()
        }
        other => panic!("expected a refusal: {other:?}"),
    }
}

/// A user who may do everything that the README lists, but for `denied`.
async fn user_without(server: &RedisServer, denied: &str) -> String {
    let rules = "~haechi:audit:* +evalsha +script|load +get +set +rpush +lindex +llen +lrange +type +info +del";
    let mut command = format!("ACL SETUSER app on >pass {rules}");
    if !denied.is_empty() {
        command += &format!(" -{denied}");
    }
    run(&mut raw(server).await, &command).await;
    format!("redis://app:pass@127.0.0.1:{}", server.port())
}

/// Catches a README that lists too few permissions.
#[tokio::test]
async fn what_the_readme_lists_is_enough() {
    let server = server();
    let url = user_without(&server, "").await;
    sink(&url).await.record(event("e")).await.unwrap();
    assert_eq!(verified(&store(&server)).await.len(), 1);
}

/// Catches a script that finds out in the middle: RPUSH done, SET denied.
#[tokio::test]
async fn a_missing_permission_is_found_before_the_first_write() {
    for denied in ["rpush", "set", "evalsha", "llen", "get"] {
        let server = server();
        let url = user_without(&server, denied).await;
        let said = refusal(&sink(&url).await).await;
        assert!(
            said.contains("grant the user") || said.contains("grant the Redis user"),
            "{said}"
        );
        assert!(!said.contains("pass"), "{said}");
        let keys: Vec<String> = ask(&mut raw(&server).await, "KEYS haechi:audit:*").await;
        let left: Vec<_> = keys
            .iter()
            .filter(|key| !key.ends_with("ready:probe"))
            .collect();
        assert!(left.is_empty(), "{denied}: {left:?}");
    }
}

/// Catches a denied reading that is taken for a lost reply: an empty chain
/// needs no LINDEX, the next append does.
#[tokio::test]
async fn a_missing_permission_to_read_is_named() {
    let server = server();
    let url = user_without(&server, "lindex").await;
    let sink = sink(&url).await;
    sink.record(event("first")).await.unwrap();
    let said = refusal(&sink).await;
    assert!(said.contains("LINDEX"), "{said}");
    assert_eq!(verified(&store(&server)).await.len(), 1);
}

/// Catches a password in a message, and a wrong one that is retried for ever.
#[tokio::test]
async fn a_refused_password_is_said_at_once_and_never_shown() {
    let server = RedisServer::start_with(&["--requirepass", "right-one"]).unwrap();
    for url in [
        format!("redis://:wrong-one@127.0.0.1:{}", server.port()),
        server.url(),
    ] {
        let said = refusal(&sink(&url).await).await;
        assert!(said.contains("password"), "{said}");
        assert!(
            !said.contains("wrong-one") && !said.contains("right-one"),
            "{said}"
        );
    }
}

/// Catches an unreachable Redis reported as an unknown outcome.
#[tokio::test]
async fn an_unreachable_redis_is_not_applied() {
    let said = refusal(&sink("redis://127.0.0.1:1").await).await;
    assert!(said.contains("check that Redis runs there"), "{said}");
}

/// Catches a store that starts on a Redis which deletes its records.
#[tokio::test]
async fn an_evicting_redis_is_refused_unless_tolerated() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]).unwrap();
    let Err(OpenError { reason, .. }) = Builder::new().open_audit(client(&server)).await else {
        panic!("must not start");
    };
    assert_eq!(reason, NotReady::Evicting);
    let tolerant = Builder::new().tolerate(NotReady::Evicting);
    let sink = tolerant.open_audit(client(&server)).await.unwrap();
    sink.record(event("e")).await.unwrap();
}

/// Catches a cluster in which the keys would part, and a tagged prefix that
/// is refused all the same.
#[tokio::test]
async fn a_cluster_wants_a_hash_tag() {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]).unwrap();
    let Err(OpenError { reason, cause, .. }) = Builder::new().open_audit(client(&server)).await
    else {
        panic!("must not start");
    };
    assert_eq!(reason, NotReady::CrossSlot);
    assert!(cause.to_string().contains("hash tag"), "{cause}");
    let tagged = AuditPrefix::default().tagged();
    assert!(tagged.is_tagged());
    let readiness = Builder::new()
        .audit_prefix(tagged)
        .audit_store(client(&server))
        .ready()
        .await;
    // This cluster serves no slot, but that will pass.
    assert!(
        readiness
            .faults
            .iter()
            .all(|(reason, _)| !reason.forbids_start())
    );
}
