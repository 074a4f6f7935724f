//! Thousands of callers at once, on redis-server.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    AppendError, AttemptError, Builder, NotApplied,
    chain::Event,
    clock::{Clock, SystemClock},
    entropy::SystemEntropy,
    redis::Timeouts,
    test_util::{AutoClock, Hooked, MemoryVault, VaultHooks},
    vault::{
        MutateError, TokenId, TokenStore, VaultConfig, View,
        store::{Load, Loaded, Observed, VaultStore},
    },
};

use crate::support::{client, raw, run, server};

/// Counts the requests that are under way.
#[derive(Default)]
struct UnderWay {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl<S: VaultStore> VaultHooks<S> for UnderWay {
    async fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let loaded = next.load(what, observed).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        loaded
    }
}

/// Would catch a limit that is not kept, or not for reads, a place that is given back
/// before the mutation has ended, and one that is not given back by a caller that leaves.
#[tokio::test]
async fn a_store_has_a_limited_number_of_requests_under_way() {
    let mut config = VaultConfig::default();
    config.at_once = 4;
    let store = Hooked::new(MemoryVault::new(), UnderWay::default());
    let store = TokenStore::new(store, SystemClock::new(), SystemEntropy, config);
    let token = TokenId::new("t").unwrap();
    let store = Arc::new(store);
    for reads in [false, true] {
        let call = || {
            let (store, token) = (store.clone(), token.clone());
            async move {
                if reads {
                    let read = store.read_tokens(std::slice::from_ref(&token)).await;
                    read.unwrap();
                } else {
                    let set = |view: &mut View| view.set(&token, "1");
                    store.transaction([token.clone()], set).await.unwrap();
                }
            }
        };
        for _ in 0..4 {
            let left = tokio::spawn(call());
            tokio::task::yield_now().await;
            left.abort();
            assert!(left.await.is_err());
            store.store().hooks().now.store(0, Ordering::SeqCst);
        }
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..50 {
            callers.spawn(call());
        }
        callers.join_all().await;
        let most = store.store().hooks().most.swap(0, Ordering::SeqCst);
        assert_eq!(most, 4, "reads: {reads}");
    }
}

/// Requests that never end.
struct Silent;

impl<S: VaultStore> VaultHooks<S> for Silent {
    async fn load(&self, _: &S, _: Load<'_>, _: &Observed) -> Result<Loaded, AttemptError> {
        std::future::pending().await
    }
}

/// Would catch a caller that waits for a place past its deadline.
#[test]
fn waiting_for_a_place_ends_by_the_deadline() {
    let clock = AutoClock::default();
    let mut config = VaultConfig::default();
    config.at_once = 1;
    let deadline = config.deadline;
    let store = Hooked::new(MemoryVault::new(), Silent);
    let store = TokenStore::new(store, clock.clone(), SystemEntropy, config);
    let token = TokenId::new("t").unwrap();
    let call = || store.transaction([token.clone()], |_: &mut View| ());
    let (first, second) = clock.run(async { tokio::join!(call(), call()) }).unwrap();
    for told in [first, second] {
        assert!(matches!(
            told,
            Err(MutateError::NotApplied(NotApplied::Deadline(_)))
        ));
    }
    assert!(clock.now() <= deadline, "{:?}", clock.now());
}

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
    // On a busy machine such a reply can take seconds.
    let mut timeouts = Timeouts::default();
    timeouts.reply = Duration::from_secs(60);
    let builder = Builder::new().timeouts(timeouts);
    let builder = builder.deadline(Duration::from_secs(120));
    let store = builder.token_store(builder.vault_store(client(&server)));
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
