//! Replicas of the npm package haechi-store-redis 0.1.2 beside ours, on one Redis.
//!
//! Skipped, with a message, where there is no node, npm or network.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    Builder,
    clock::{Clock, SystemClock},
    crypto::{Counting, KeyFile, LocalKeys, manage},
    entropy::SystemEntropy,
    redis::{LockPolicy, LockTimes},
    vault::{Details, RevealPolicy, TokenType, VaultPolicy},
};
use redis_sim::server_process::{RedisServer, skip};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{ask, client, event, raw, server, store, verified};

/// The package, installed once for all runs; `None`, and a message, without node or network.
fn package() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm-fleet");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/npm");
    std::fs::create_dir_all(&place).unwrap();
    for file in ["package.json", "replica.mjs", "stable.mjs", "core.mjs"] {
        std::fs::copy(sources.join(file), place.join(file)).unwrap();
    }
    if !place.join("node_modules/haechi-store-redis").exists() {
        // The core is its peer, and optional here: core.mjs stands for it.
        let arguments = ["install", "--legacy-peer-deps", "--no-audit", "--no-fund"];
        let mut install = Command::new("npm");
        install.args(arguments).current_dir(&place);
        // A network that does not answer does not hold up the tests.
        install.args(["--fetch-timeout=20000", "--fetch-retries=1"]);
        match install.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                skip(format!("npm cannot install the package: {said}"));
                return None;
            }
            Err(error) => {
                skip(format!("there is no npm: {error}"));
                return None;
            }
        }
    }
    Some(place)
}

struct NpmReplica(Child);

/// What a replica was told.
struct Told {
    appended: Vec<String>,
    mutated: u64,
    /// The core that it tokenizes with.
    core: String,
    /// The plaintexts of the tokens that it made.
    made: Tokens,
    /// What it revealed of tokens of others.
    revealed: Tokens,
}

/// Plaintexts by their tokens.
type Tokens = BTreeMap<String, String>;

impl NpmReplica {
    /// With a key file, it tokenizes and reveals, too.
    fn start(
        package: &Path,
        server: &RedisServer,
        name: &str,
        work: &str,
        keys: Option<&Path>,
    ) -> Self {
        let mut node = Command::new("node");
        node.args(["replica.mjs", &server.url(), name, work])
            .args(keys);
        node.current_dir(package);
        node.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(node.spawn().unwrap())
    }

    /// Which must not have failed.
    fn end(self) -> Told {
        // Dropping its stdin ends it.
        let output = self.0.wait_with_output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["failures"], serde_json::json!([]));
        let appended = told["appended"].as_array().unwrap().iter();
        let tokens = |told: &Value| serde_json::from_value(told.clone()).unwrap();
        Told {
            appended: appended.map(|id| id.as_str().unwrap().to_owned()).collect(),
            mutated: told["mutated"].as_u64().unwrap(),
            core: told["core"].as_str().unwrap().to_owned(),
            made: tokens(&told["made"]),
            revealed: tokens(&told["revealed"]),
        }
    }
}

fn builder() -> Builder {
    Builder::new().lock(LockPolicy::Always(LockTimes::default()))
}

/// Would catch a record that the npm package refuses or that breaks the chain of both, a write
/// that is lost between the two, a token of one that the other cannot reveal, and a replica of
/// the package that fails because ours are faster.
async fn share_one_redis(seconds: u64) {
    let Some(package) = package() else { return };
    let server = server();
    let clock = SystemClock::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    let storage = KeyFile::new(&file);
    let made = manage::init(&storage, &clock, &SystemEntropy).await;
    made.unwrap();
    let names = ["npm1", "npm2"];
    let start = |name: &str| {
        // The core counts encryptions in it, and does not lock it.
        let keys = directory.path().join(name);
        std::fs::copy(&file, &keys).unwrap();
        NpmReplica::start(&package, &server, name, "chain,vault", Some(&keys))
    };
    let npm = names.map(start);
    let stopped = Arc::new(AtomicBool::new(false));
    let keys = LocalKeys::open(storage, clock.clone(), SystemEntropy, Counting::PerProcess);
    let keys = Arc::new(keys.await.unwrap());
    let email = TokenType::new("email").unwrap();

    let mut ours = JoinSet::new();
    let mut vaults = Vec::new();
    for replica in 0..2 {
        let sink = builder().open_audit(client(&server)).await.unwrap();
        let mut policy = VaultPolicy::default();
        policy.reveal = RevealPolicy::Allowed("test".to_owned());
        let tokens = builder().vault_store(client(&server));
        let vault = Arc::new(builder().token_vault(tokens, keys.clone(), sink.clone(), policy));
        vaults.push(vault.clone());
        for caller in 0..4 {
            let (sink, stopped) = (sink.clone(), stopped.clone());
            ours.spawn(async move {
                let mut appended = Vec::new();
                while !stopped.load(Ordering::SeqCst) {
                    let id = format!("ours{replica}-{caller}-{}", appended.len());
                    sink.record(event(&id)).await.unwrap();
                    appended.push(id);
                }
                (appended, Tokens::new())
            });
        }
        let (email, stopped, clock) = (email.clone(), stopped.clone(), clock.clone());
        ours.spawn(async move {
            let mut made = Tokens::new();
            while !stopped.load(Ordering::SeqCst) && made.len() < 200 {
                let plaintext = format!("{replica}-{}@example.com", made.len());
                let details = Details::default();
                let token = vault.tokenize(&email, &plaintext, details).await.unwrap();
                made.insert(token.token.to_string(), plaintext);
                clock.sleep(Duration::from_millis(20)).await;
            }
            (Vec::new(), made)
        });
    }
    clock.sleep(Duration::from_secs(seconds)).await;
    stopped.store(true, Ordering::SeqCst);
    let npm = npm.map(NpmReplica::end);
    let (mut acknowledged, mut made) = (Vec::new(), Tokens::new());
    for (appended, tokens) in ours.join_all().await {
        acknowledged.extend(appended);
        made.extend(tokens);
    }
    let our_appends = acknowledged.len();
    let npm_appends: usize = npm.iter().map(|told| told.appended.len()).sum();
    acknowledged.extend(npm.iter().flat_map(|told| told.appended.clone()));

    let records = verified(&store(&server)).await;
    let texts: Vec<String> = ask_texts(&server).await;
    let ids: Vec<String> = texts.iter().filter_map(|text| id(text)).collect();
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(ids.len(), distinct.len(), "a record stands twice");
    assert!(acknowledged.iter().all(|id| distinct.contains(id)));

    let mut connection = raw(&server).await;
    let mut written_back = 0;
    let of_npm = npm.iter().flat_map(|told| &told.made);
    for (token, plaintext) in made.iter().chain(of_npm) {
        let shown = vaults[0].reveal(token, None).await.unwrap();
        assert_eq!(shown.expose(), plaintext);
        let record: String = redis::cmd("HGET")
            .arg("haechi:tv:tokens")
            .arg(token)
            .query_async(&mut connection)
            .await
            .unwrap();
        written_back += usize::from(record.contains("seenBy"));
    }
    assert!(
        written_back > 0,
        "the npm package has written back no token"
    );
    let mut of_ours = 0;
    for (one, other) in [(0, 1), (1, 0)] {
        for (token, plaintext) in &npm[one].revealed {
            let known = made.get(token).inspect(|_| of_ours += 1);
            assert_eq!(known.or(npm[other].made.get(token)), Some(plaintext));
        }
    }
    assert!(
        of_ours > 0,
        "the npm package has revealed none of our tokens"
    );
    for (name, told) in names.iter().zip(&npm) {
        let count = format!("HGET haechi:tv:tokens count-{name}");
        let count: String = ask(&mut connection, &count).await;
        assert_eq!(count, format!(r#"{{"count":{}}}"#, told.mutated));
    }
    println!(
        "{seconds} s: {npm_appends} appends of two npm replicas, {our_appends} of two of ours, {} \
         records; {:?} mutations of the npm replicas; {} tokens of ours and {:?} of theirs, made \
         with {}: all revealed by ours, {:?} by theirs, {written_back} written back by theirs",
        records.len(),
        npm.each_ref().map(|told| told.mutated),
        made.len(),
        npm.each_ref().map(|told| told.made.len()),
        npm[0].core,
        npm.each_ref().map(|told| told.revealed.len()),
    );
}

async fn ask_texts(server: &RedisServer) -> Vec<String> {
    ask(&mut raw(server).await, "LRANGE haechi:audit:chain 0 -1").await
}

fn id(record: &str) -> Option<String> {
    let record: Value = serde_json::from_str(record).unwrap();
    record["id"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_the_npm_package_share_one_redis() {
    share_one_redis(5).await;
}

/// As above, longer: `cargo test --all-features --test it -- --ignored mixed_fleet`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn replicas_of_the_npm_package_share_one_redis_long() {
    share_one_redis(60).await;
}

/// How much one npm replica appends in this time beside four others: npm replicas too, or
/// ours with four callers each.
async fn appends_beside_four(package: &Path, are_ours: bool, seconds: u64) -> usize {
    let server = server();
    let one = NpmReplica::start(package, &server, "one", "chain", None);
    let names = ["a", "b", "c", "d"];
    let (mut npm, mut ours) = (Vec::new(), JoinSet::new());
    for name in names {
        if !are_ours {
            npm.push(NpmReplica::start(package, &server, name, "chain", None));
            continue;
        }
        let sink = builder().open_audit(client(&server)).await.unwrap();
        for caller in 0..4 {
            let sink = sink.clone();
            ours.spawn(async move {
                for number in 0_u64.. {
                    let id = format!("{name}-{caller}-{number}");
                    sink.record(event(&id)).await.unwrap();
                }
            });
        }
    }
    SystemClock::new().sleep(Duration::from_secs(seconds)).await;
    let appended = one.end().appended.len();
    ours.shutdown().await;
    npm.into_iter().for_each(|replica| drop(replica.end()));
    appended
}

/// Would catch replicas of ours that cost an npm replica more of the chain than its own kind
/// does, or make it fail. Prints how much it appends beside either:
/// `cargo test --release --all-features --test it -- --ignored --nocapture beside_four`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn an_npm_replica_beside_four() {
    let Some(package) = package() else { return };
    for _ in 0..3 {
        let of_its_kind = appends_beside_four(&package, false, 8).await;
        let of_ours = appends_beside_four(&package, true, 8).await;
        println!(
            "appends in 8 s: {of_its_kind} beside four of its kind, {of_ours} beside four of ours"
        );
        // Two short runs of one and the same load differ by less than that.
        assert!(10 * of_ours >= 9 * of_its_kind);
    }
}
