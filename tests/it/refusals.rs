//! A Redis that refuses commands: nothing is appended, and the error includes
//! the next step.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use haechi_store_redis::{
    AppendError, Builder, Cause, Durability, NotApplied, OpenError,
    audit::{AuditSink, Evidence, Examination, Repair},
    clock::SystemClock,
    entropy::SystemEntropy,
    redis::{AuditPrefix, LockPolicy, LockTimes, NotReady},
};
use redis_sim::server_process::{NO_VALKEY, RedisServer, skip};

use crate::{
    replica::replica_of,
    support::{ask, client, event, raw, run, server, store, verified},
};

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

/// The README's ACL rules: for the chain, for the vault, and for the benchmark.
pub(crate) fn rules() -> [&'static str; 3] {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme
        .split_once("<!-- rules:begin -->\n```text\n")
        .unwrap();
    let (rules, _) = rest.split_once("\n```\n<!-- rules:end -->").unwrap();
    let rules: Vec<&str> = rules.lines().collect();
    rules.try_into().unwrap()
}

/// The commands that a rule grants.
pub(crate) fn granted(rule: &str) -> impl Iterator<Item = &str> {
    rule.split(' ').filter_map(|word| word.strip_prefix('+'))
}

/// The URL of a user with this rule.
pub(crate) async fn user(server: &RedisServer, rule: &str) -> String {
    let command = format!("ACL SETUSER app reset on >pass {rule}");
    run(&mut raw(server).await, &command).await;
    format!("redis://app:pass@127.0.0.1:{}", server.port())
}

/// A user of chain and vault by the README's rules, except `denied`.
async fn user_without(server: &RedisServer, denied: &str) -> String {
    let [chain, vault, _] = rules();
    let rules = format!("{chain} {vault}");
    let words: Vec<&str> = rules
        .split(' ')
        .filter(|word| word.strip_prefix('+') != Some(denied))
        .collect();
    user(server, &words.join(" ")).await
}

/// Would catch a README that lists too few permissions.
#[tokio::test]
async fn the_permissions_in_the_readme_are_enough() {
    let server = server();
    let url = user_without(&server, "").await;
    sink(&url).await.record(event("e")).await.unwrap();
    assert_eq!(verified(&store(&server)).await.len(), 1);
}

/// Would catch a repair that needs more than the README lists.
#[tokio::test]
async fn the_permissions_in_the_readme_are_enough_to_repair() {
    let server = server();
    let url = user_without(&server, "").await;
    sink(&url).await.record(event("e")).await.unwrap();
    run(&mut raw(&server).await, "DEL haechi:audit:head:hash").await;
    let limited = Builder::new().audit_store(redis::Client::open(url).unwrap());
    let examined = Repair::examine(&limited, &Evidence::default()).await;
    let Ok(Examination::Diverged(repair)) = examined else {
        panic!("{examined:?}");
    };
    let (clock, deadline) = (SystemClock::new(), Duration::from_secs(60));
    let done = repair.carry_out(&limited, &clock, &SystemEntropy, deadline);
    assert_eq!(done.await.unwrap().position.sequence.get(), 2);
    assert_eq!(verified(&store(&server)).await.len(), 2);
}

/// Would catch a script that fails in the middle: RPUSH done, SET denied; and a
/// check that calls this ready.
#[tokio::test]
async fn a_missing_permission_is_found_before_the_first_write() {
    for denied in ["rpush", "set", "evalsha", "llen", "get"] {
        let server = server();
        let url = user_without(&server, denied).await;
        let store = Builder::new().audit_store(redis::Client::open(url.as_str()).unwrap());
        let faults = store.ready().await.faults;
        assert!(
            matches!(faults[..], [(NotReady::RedisNotWritable, _)]),
            "{denied}: {faults:?}"
        );
        let said = refusal(&sink(&url).await).await;
        assert!(
            said.contains("grant the user") || said.contains("grant the Redis user"),
            "{said}"
        );
        assert!(!said.contains("pass"), "{said}");
        let keys: Vec<String> = ask(&mut raw(&server).await, "KEYS haechi:audit:*").await;
        assert!(keys.is_empty(), "{denied}: {keys:?}");
    }
}

async fn faults_of(builder: &Builder, url: &str) -> [Vec<(NotReady, Cause)>; 2] {
    let client = || redis::Client::open(url).unwrap();
    let (chain, vault) = (
        builder.audit_store(client()).ready().await,
        builder.vault_store(client()).ready().await,
    );
    [chain.faults, vault.faults]
}

/// Whether a message says that this command, as in a rule, is missing.
pub(crate) fn names(message: &str, command: &str) -> bool {
    let by_script = format!("may not run {} on", command.to_uppercase());
    let by_redis = format!("no permissions to run the '{command}' command");
    message.contains(&by_script) || message.contains(&by_redis)
}

/// Would catch a permission that is not asked for, because an empty chain or vault needs
/// it only later; and a rule in the README that grants too much.
#[tokio::test]
async fn readiness_names_every_command_of_the_rules() {
    let server = server();
    let locking = Builder::new().lock(LockPolicy::Always(LockTimes::default()));
    let faults = faults_of(&locking, &user_without(&server, "").await).await;
    assert!(faults.iter().all(Vec::is_empty), "{faults:?}");
    let [chain, vault, _] = rules();
    let commands: BTreeSet<&str> = granted(chain).chain(granted(vault)).collect();
    for command in commands {
        let url = user_without(&server, command).await;
        run(&mut raw(&server).await, "SCRIPT FLUSH").await;
        let faults = faults_of(&locking, &url).await;
        let named = faults.each_ref().map(|faults| {
            matches!(&faults[..], [(NotReady::RedisNotWritable, cause)] if names(&cause.to_string(), command))
        });
        let needed = [chain, vault].map(|rule| granted(rule).any(|granted| granted == command));
        // What it tells is not known then.
        let needed = needed.map(|needed| needed && command != "info");
        assert_eq!(named, needed, "{command}: {faults:?}");
    }
    let url = user_without(&server, "del").await;
    let faults = faults_of(&Builder::new(), &url).await;
    assert!(
        faults.iter().all(Vec::is_empty),
        "no lock, no DEL: {faults:?}"
    );
}

/// Would catch a readiness check that passes although no write can be confirmed: the wait for
/// replicas, or for the disk, is no part of a script.
#[tokio::test]
async fn readiness_asks_for_the_wait_of_the_durability() {
    let primary = server();
    let _replica = replica_of(&primary).await;
    let valkey = RedisServer::start_valkey(&["--appendonly", "yes"]).unwrap();
    let replicas_1 = Durability::Replicas(NonZeroU32::MIN);
    let cases = [
        (Some(primary), replicas_1, "wait"),
        (valkey, Durability::Fsync, "waitaof"),
    ];
    for (server, level, command) in cases {
        let Some(server) = server else {
            skip(NO_VALKEY);
            continue;
        };
        let [chain, vault, _] = rules();
        let url = user(&server, &format!("{chain} {vault} +config|get")).await;
        let memory = faults_of(&Builder::new(), &url).await;
        assert!(memory.iter().all(Vec::is_empty), "{memory:?}");
        let builder = Builder::new().durability(level);
        for faults in faults_of(&builder, &url).await {
            assert!(
                matches!(&faults[..], [(NotReady::RedisNotWritable, cause)]
                    if names(&cause.to_string(), command)),
                "{command}: {faults:?}"
            );
        }
        let grant = format!("ACL SETUSER app +{command}");
        run(&mut raw(&server).await, &grant).await;
        let faults = faults_of(&builder, &url).await;
        assert!(faults.iter().all(Vec::is_empty), "{command}: {faults:?}");
    }
}

/// Would catch a user whose patterns leave out a key that is needed only later.
#[tokio::test]
async fn readiness_asks_for_every_key() {
    let server = server();
    let locking = Builder::new().lock(LockPolicy::Always(LockTimes::default()));
    let mut commands = raw(&server).await;
    let url = user_without(&server, "").await;
    let of_chain = ["chain", "head", "head:hash", "lock"].map(|key| ("audit", key));
    let of_vault = ["tokens", "version", "lock", "receipts", "expiry"].map(|key| ("tv", key));
    let keys = [&of_chain[..], &of_vault].concat();
    for (store, key) in &keys {
        let others = keys.iter().filter(|other| **other != (*store, *key));
        let patterns: Vec<String> = others
            .map(|(store, key)| format!("~haechi:{store}:{key}"))
            .collect();
        let patterns = format!("ACL SETUSER app resetkeys {}", patterns.join(" "));
        run(&mut commands, &patterns).await;
        let faults = faults_of(&locking, &url).await;
        let denied = faults.each_ref().map(|faults| {
            matches!(&faults[..], [(NotReady::RedisNotWritable, cause)]
                if cause.to_string().contains("keys"))
        });
        let expected = ["audit", "tv"].map(|of| of == *store);
        assert_eq!(denied, expected, "{store}:{key}: {faults:?}");
    }
}

/// Would catch a vault that opens on keys that hold something else.
#[tokio::test]
async fn readiness_looks_at_the_keys_of_the_vault() {
    for (command, expected) in [
        ("SET haechi:tv:tokens x", NotReady::WrongType),
        ("SADD haechi:tv:receipts x", NotReady::WrongType),
        ("SET haechi:tv:expiry x", NotReady::WrongType),
        ("SET haechi:tv:version 007", NotReady::Diverged),
    ] {
        let server = server();
        run(&mut raw(&server).await, command).await;
        let [chain, vault] = faults_of(&Builder::new(), &server.url()).await;
        assert!(chain.is_empty(), "{chain:?}");
        assert!(
            matches!(vault[..], [(reason, _)] if reason == expected),
            "{command}: {vault:?}"
        );
    }
}

/// Would catch a denied read that is classified as a lost reply: an empty chain
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

/// Would catch a password in a message, and a wrong one that is retried.
#[tokio::test]
async fn a_refused_password_is_reported_at_once_and_not_shown() {
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

/// Would catch an unreachable Redis that is reported as an unknown outcome.
#[tokio::test]
async fn an_unreachable_redis_is_not_applied() {
    let said = refusal(&sink("redis://127.0.0.1:1").await).await;
    assert!(said.contains("check that Redis runs there"), "{said}");
}

/// Would catch a store that starts on a Redis which evicts its records, by any
/// policy, or if only CONFIG tells.
#[tokio::test]
async fn an_evicting_redis_is_refused_unless_tolerated() {
    let server = server();
    let mut commands = raw(&server).await;
    let without_info = user_without(&server, "info").await;
    run(&mut commands, "ACL SETUSER app +config|get").await;
    let evicting = async |url: &str| {
        let client = redis::Client::open(url).unwrap();
        let opened = Builder::new().open_audit(client).await;
        let Err(OpenError { reason, .. }) = opened else {
            panic!("must not start");
        };
        assert_eq!(reason, NotReady::Evicting);
    };
    for policy in ["lru", "lfu", "random"] {
        let set = format!("CONFIG SET maxmemory-policy allkeys-{policy}");
        run(&mut commands, &set).await;
        evicting(&server.url()).await;
    }
    evicting(&without_info).await;
    evicting(&format!("{without_info}?protocol=resp3")).await;
    // Also after a fault that is no reason.
    run(&mut commands, "SADD haechi:audit:chain x").await;
    evicting(&server.url()).await;
    run(&mut commands, "DEL haechi:audit:chain").await;
    let tolerant = Builder::new().tolerate(NotReady::Evicting);
    let sink = tolerant.open_audit(client(&server)).await.unwrap();
    sink.record(event("e")).await.unwrap();
}

/// Would catch a cluster in which the keys are in different slots, and a tagged
/// prefix that is refused nevertheless.
#[tokio::test]
async fn a_cluster_needs_a_hash_tag() {
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
    // This cluster serves no slot; that is temporary.
    assert!(
        readiness
            .faults
            .iter()
            .all(|(reason, _)| !reason.forbids_start())
    );
}
