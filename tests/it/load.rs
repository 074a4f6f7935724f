//! Thousands of callers at once, on redis-server.

use std::collections::BTreeMap;

use haechi_store_redis::{
    AppendError, Builder, NotApplied,
    chain::Event,
    vault::{MutateError, TokenId, View},
};

use crate::support::{client, raw, run, server};

/// Would catch callers whose replies are late because of the others that were sent
/// before them, and mutations that are unknown on a server that answers.
#[tokio::test]
async fn thousands_of_mutations_at_once_are_all_applied() {
    let server = server();
    let builder = Builder::new();
    let store = builder.token_store(builder.vault_store(client(&server)));
    let mut tasks = Vec::new();
    for caller in 0..3000 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let token = TokenId::new(&format!("t{caller}")).unwrap();
            let set = |view: &mut View| view.set(&token, "1");
            store.transaction([token.clone()], set).await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(store.stats().committed, 3000);
    assert_eq!(store.stats().lost_replies, 0);
}

/// Would catch a read that holds Redis for as long as a vault of any size takes.
#[tokio::test]
async fn a_large_vault_is_not_read_as_a_whole() {
    let server = server();
    let store = Builder::new().vault_store(client(&server));
    let store = Builder::new().token_store(store);
    let mut connection = raw(&server).await;
    for first in (0..100_001).step_by(10_000) {
        let mut set = redis::cmd("HSET");
        set.arg("haechi:tv:tokens");
        for number in first..(first + 10_000).min(100_001) {
            set.arg(format!("t{number}")).arg("1");
        }
        set.exec_async(&mut connection).await.unwrap();
    }
    let read = store.read(|view| view.entries().len()).await.unwrap_err();
    assert!(read.to_string().contains("100001 tokens"), "{read}");
    let mutated = store.mutate(|view: &mut View| view.entries().len()).await;
    assert!(matches!(mutated, Err(MutateError::NotApplied(_))));
    let token = TokenId::new("t7").unwrap();
    let set = |view: &mut View| view.set(&token, "2");
    store.transaction([token.clone()], set).await.unwrap();
    run(&mut connection, "HDEL haechi:tv:tokens t7").await;
    let read = store.read(|view| view.entries().len()).await.unwrap();
    assert_eq!(read, 100_000);
}

/// Would catch a queue that holds 500 MB, and a caller that is told anything but that it
/// was appended, or at once that the process is overloaded.
#[tokio::test]
async fn callers_beyond_the_bytes_of_the_queue_are_refused_at_once() {
    let server = server();
    let sink = Builder::new().open_audit(client(&server)).await.unwrap();
    let text = "x".repeat(100_000);
    let mut tasks = Vec::new();
    for caller in 0..5000 {
        let event = Event::from_json(&format!(r#"{{"id":"e{caller}","operation":"{text}"}}"#));
        let (sink, event) = (sink.clone(), event.unwrap());
        tasks.push(tokio::spawn(async move { sink.record(event).await }));
    }
    let mut told = BTreeMap::<_, u64>::new();
    for task in tasks {
        let what = match task.await.unwrap() {
            Ok(_) => "appended",
            Err(AppendError::NotApplied(NotApplied::Overloaded)) => "overloaded",
            Err(error) => panic!("{error}"),
        };
        *told.entry(what).or_default() += 1;
    }
    println!("of 5000 callers with 100 kB each: {told:?}");
    assert!(told["appended"] >= 600, "{told:?}");
}
