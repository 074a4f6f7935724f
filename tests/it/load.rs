//! Thousands of callers at once, on redis-server.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use tokio::task::JoinHandle;

use haechi_store_redis::{
    AppendError, AttemptError, Builder, NotApplied,
    chain::Event,
    clock::{Clock, SystemClock},
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
    redis::Timeouts,
    test_util::{AutoClock, Hooked, MemoryChain, MemoryVault, VaultHooks},
    vault::{
        Details, MutateError, TokenId, TokenStore, TokenType, VaultConfig, VaultPolicy, View,
        store::{Load, Loaded, Observed, VaultStore},
    },
};

use crate::support::{ask, client, raw, run, server, store, verified};

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
    let mut tasks = Vec::new();
    for caller in 0..5000 {
        let (sink, event) = (sink.clone(), large_event(caller, 100_000));
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

fn large_event(number: u32, size: usize) -> Event {
    let text = "x".repeat(size);
    Event::from_json(&format!(r#"{{"id":"e{number}","operation":"{text}"}}"#)).unwrap()
}

/// Memory of this process in MB, where the system tells: now, and its peak since the last
/// call.
fn memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let megabytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes / 1024)
    };
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    let (now, peak) = (megabytes("VmRSS:")?, megabytes("VmHWM:")?);
    Some(format!("memory {now} MB, at its peak {peak} MB"))
}

/// How long PINGs take while `busy` goes on.
async fn pings<T>(connection: &mut MultiplexedConnection, busy: &JoinHandle<T>) -> String {
    let (clock, mut pings) = (SystemClock::new(), Vec::new());
    while !busy.is_finished() {
        let sent = clock.now();
        run(connection, "PING").await;
        pings.push(clock.now() - sent);
        clock.sleep(Duration::from_millis(1)).await;
    }
    pings.sort();
    let [median, p99, longest] = [50, 99, 100].map(|part| pings[(pings.len() - 1) * part / 100]);
    let count = pings.len();
    format!("{count} PINGs: median {median:?}, p99 {p99:?}, longest {longest:?}")
}

/// Would catch a caller that is told *unknown* by a Redis that answers, however many
/// call at once, and a verification that holds up the other clients of Redis:
/// `cargo test --release --all-features --test it -- --ignored --nocapture heavy_load`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn nothing_is_unknown_under_a_heavy_load() {
    let server = server();
    let storage = MemoryKeys::new();
    let (clock, entropy) = (SystemClock::new(), SystemEntropy);
    manage::init(&storage, &clock, &entropy).await.unwrap();
    let keys = LocalKeys::open(storage, clock, entropy, Counting::PerProcess);
    let builder = || Builder::new().deadline(Duration::from_secs(60));
    let vault = builder().token_vault(
        builder().vault_store(client(&server)),
        keys.await.unwrap().into(),
        builder().audit_sink(MemoryChain::new()),
        VaultPolicy::default(),
    );
    println!("before: {:?}", memory());
    let (vault, email) = (Arc::new(vault), TokenType::new("email").unwrap());
    let callers = (0..30_000).map(|caller| {
        let (vault, email) = (vault.clone(), email.clone());
        tokio::spawn(async move {
            let plaintext = format!("{caller}@example.com");
            vault.tokenize(&email, &plaintext, Details::default()).await
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap().unwrap();
    }
    let mut connection = raw(&server).await;
    let stored: u64 = ask(&mut connection, "HLEN haechi:tv:tokens").await;
    assert_eq!(stored, 30_000);
    println!("30000 tokenize at once: all applied; {:?}", memory());

    let sink = builder().open_audit(client(&server)).await.unwrap();
    let callers = (0..5_000).map(|caller| {
        let sink = sink.clone();
        tokio::spawn(async move { sink.record(large_event(caller, 100_000)).await })
    });
    let mut told = BTreeMap::<_, u64>::new();
    for caller in callers.collect::<Vec<_>>() {
        let what = match caller.await.unwrap() {
            Ok(_) => "appended",
            Err(AppendError::NotApplied(NotApplied::Overloaded)) => "overloaded",
            Err(error) => panic!("{error}"),
        };
        *told.entry(what).or_default() += 1;
    }
    println!("5000 appends of 100 kB at once: {told:?}; {:?}", memory());

    run(&mut connection, "FLUSHALL").await;
    let sink = builder().open_audit(client(&server)).await.unwrap();
    for record in 0..200 {
        sink.record(large_event(record, 1_000_000)).await.unwrap();
    }
    println!("before: {:?}", memory());
    let idle = tokio::spawn(async { SystemClock::new().sleep(Duration::from_secs(2)).await });
    println!("idle: {}", pings(&mut connection, &idle).await);
    let chain = store(&server);
    let verifying = tokio::spawn(async move { verified(&chain).await.len() });
    println!(
        "while 200 records of 1 MB are verified: {}",
        pings(&mut connection, &verifying).await
    );
    assert_eq!(verifying.await.unwrap(), 200);
    println!("verified; {:?}", memory());
}
