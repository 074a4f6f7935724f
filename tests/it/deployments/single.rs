//! One server: the ways to it, and its end.

use std::{sync::Arc, time::Duration};

use haechi_store_redis::{
    Builder, Durability,
    clock::SystemClock,
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
    redis::Endpoint,
    vault::{Details, RevealPolicy, TokenType, VaultPolicy},
};
use redis_sim::server_process::RedisServer;

use super::writers::Writers;
use crate::{
    refusals::{rules, user},
    support::{ask, event, raw, run, verified},
};

/// Would catch a part of a URL that is not used, or that chain, vault or readiness cannot do
/// with: a socket, a database, a user, RESP3.
#[tokio::test]
async fn every_way_to_one_server_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s").to_string_lossy().into_owned();
    let server = RedisServer::start_with(&["--unixsocket", &socket]).unwrap();
    let [chain, vault, _] = rules();
    // Another database than 0 needs one command more.
    let by_user = user(&server, &format!("{chain} {vault} +select")).await;
    let mut commands = raw(&server).await;
    // So that only the user's password opens a connection.
    let by_default = format!("redis://:other@127.0.0.1:{}", server.port());
    let ways = [
        (by_default.clone(), 0),
        (format!("{by_default}/3"), 3),
        (format!("{by_default}/4?protocol=resp3"), 4),
        (format!("{by_user}/5"), 5),
        (format!("{by_user}/6?protocol=resp3"), 6),
        (format!("redis+unix://{socket}?db=7&pass=other"), 7),
    ];
    run(&mut commands, "CONFIG SET requirepass other").await;
    for (url, database) in ways {
        println!("{url}");
        let endpoint: Endpoint = url.parse().unwrap();
        serves(&endpoint).await;
        run(&mut commands, &format!("SELECT {database}")).await;
        // What chain and vault consist of.
        assert_eq!(ask::<usize>(&mut commands, "DBSIZE").await, 7, "{url}");
    }
}

/// A chain, a vault with keys of its own, and the readiness of both.
async fn serves(endpoint: &Endpoint) {
    let builder = || Builder::new().deadline(Duration::from_secs(20));
    let (storage, clock) = (MemoryKeys::new(), SystemClock::new());
    let made = manage::init(&storage, &clock, &SystemEntropy).await;
    made.unwrap();
    let keys = LocalKeys::open(storage, clock, SystemEntropy, Counting::Persisted).await;
    let sink = builder().open_audit(endpoint.clone()).await.unwrap();
    sink.record(event("e")).await.unwrap();
    let (chain, store) = (
        builder().audit_store(endpoint.clone()),
        builder().vault_store(endpoint.clone()),
    );
    for readiness in [chain.ready().await, store.ready().await] {
        assert!(readiness.is_ready(), "{readiness:?}");
    }
    let mut policy = VaultPolicy::default();
    policy.reveal = RevealPolicy::Allowed("test".to_owned());
    let vault = builder().token_vault(store, Arc::new(keys.unwrap()), sink, policy);
    let email = TokenType::new("email").unwrap();
    let made = vault.tokenize(&email, "a@example.com", Details::default());
    let token = made.await.unwrap().token;
    let shown = vault.reveal(token.as_str(), None).await.unwrap();
    assert_eq!(shown.expose(), "a@example.com");
    // The first record, and that of the reveal.
    assert!(verified(&chain).await.len() >= 2);
}

/// Would catch a write that is repeated, or told as lost, because the server was killed
/// between the write and its reply.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_by_kill_9_and_a_restart() {
    let aof = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = RedisServer::start_with(&aof).unwrap();
    let endpoint: Endpoint = server.url().parse().unwrap();
    let writers = Writers::start(vec![endpoint.clone(); 3], Durability::Memory).await;
    for _ in 0..3 {
        writers.go_on(50).await;
        server.restart().unwrap();
    }
    writers.go_on(50).await;
    writers.lose_nothing(&endpoint).await;
}
