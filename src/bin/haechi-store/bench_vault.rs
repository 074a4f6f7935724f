//! `bench vault`: replicas that tokenize into one vault at the same time.
//!
//! Each replica is a vault with a connection of its own, as separate processes
//! would have; the keys are in memory. The vault is the benchmark's own and is
//! deleted at the end.

use std::{
    io::Write,
    num::{NonZeroU64, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    RedisTokenVault,
    audit::AuditSink,
    clock::{Clock, SystemClock},
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
    redis::{LockWaits, VaultPrefix},
    test_util::MemoryChain,
    vault::{
        Details, Deterministic, TokenType, TokenizeError, VaultPolicy, VaultStats,
        store::{Load, Observed, VaultStore},
    },
};
use redis::Client;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    args::Global,
    bench_audit::{Lock, own_prefix, quantile},
    connection::place,
    console::{self, Console},
    exit::{Exit, Failure},
    interrupt::interrupted,
};

/// Measure replicas that tokenize into one vault at the same time
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Tokenizes N values that are new to a vault of S tokens, deterministically. Prints
{\"opsPerSecond\",\"p50Ms\",\"p99Ms\",\"committed\",\"conflicts\",\"retries\",\"lockWaits\",\"failed\", …}.
Its keys have a random prefix and are deleted at the end, also after Ctrl-C.

Example:
  haechi-store bench vault --vault-size 1000000 --ops 1000")]
pub(crate) struct Args {
    /// Vaults with a connection each, as so many processes would have
    #[arg(long, value_name = "R", default_value = "1")]
    replicas: NonZeroUsize,

    /// Callers in each replica, every one with one plaintext in flight
    #[arg(long, value_name = "W", default_value = "16")]
    writers: NonZeroUsize,

    /// Whether to take the contention lock before each mutation
    #[arg(long, value_enum, default_value = "none")]
    lock: Lock,

    /// Plaintexts in all
    #[arg(long, value_name = "N", default_value = "10000")]
    ops: NonZeroU64,

    /// Tokens that the vault holds before the first
    #[arg(long, value_name = "S", default_value = "1000")]
    vault_size: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ops_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    committed: u64,
    conflicts: u64,
    retries: u64,
    lock_waits: u64,
    failed: u64,
    unknown: u64,
    vault_size: u64,
    seconds: f64,
}

/// What one writer met.
#[derive(Default)]
struct Tally {
    /// Of the tokens that were made, in microseconds.
    latencies: Vec<u32>,
    failed: u64,
    unknown: u64,
    error: Option<TokenizeError>,
}

type Vault = RedisTokenVault<LocalKeys<MemoryKeys>>;

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let client = global.client()?;
    let prefix = VaultPrefix::new(own_prefix()?.to_string());
    let outcome = measure(&args, global, &client, &prefix, console).await;
    // Whatever happened, nothing is left behind.
    let cleaned = clean_up(global, &client, &prefix).await;
    let (answer, error, was_interrupted) = outcome?;

    let mut out = console::stdout();
    console::json_line(&mut out, &answer)?;
    out.flush()?;
    console.note(&table(&args, &answer));
    if let Some(error) = &error {
        console.error(&format!(
            "{} plaintexts failed and {} are unknown; the benchmark ended there: {error}",
            answer.failed, answer.unknown
        ));
    }
    if was_interrupted {
        console.error("interrupted: the figures are of what was tokenized until then");
    }
    cleaned?;
    Ok(match error.is_some() || was_interrupted {
        true => Exit::Negative,
        false => Exit::Success,
    })
}

async fn measure(
    args: &Args,
    global: &Global,
    client: &Client,
    prefix: &VaultPrefix,
    console: &Console,
) -> Result<(Answer, Option<TokenizeError>, bool), Failure> {
    let builder = global
        .builder()
        .vault_prefix(prefix.clone())
        .lock(args.lock.policy());
    let keys = keys().await?;
    // Tokenizing is not audited.
    let audit: AuditSink = builder_over_memory(global);
    let policy = VaultPolicy {
        deterministic: Deterministic::All,
        ..VaultPolicy::default()
    };
    let mut replicas: Vec<(Vault, LockWaits)> = Vec::with_capacity(args.replicas.get());
    for _ in 0..args.replicas.get() {
        let store = builder.vault_store(client.clone());
        // Also opens the connection, so that nothing is timed with it.
        let met = store.load(Load::Some(&[]), &Observed::default()).await;
        met.map_err(|error| cannot_be_measured(client, &error))?;
        let waits = store.lock_waits();
        let vault = builder.token_vault(store, keys.clone(), audit.clone(), policy.clone());
        replicas.push((vault, waits));
    }
    if let Some((vault, _)) = replicas.first() {
        fill(vault, args.vault_size, client, console).await?;
    }

    let clock = SystemClock::new();
    let left = Arc::new(AtomicU64::new(args.ops.get()));
    let mut writers = JoinSet::new();
    for (vault, _) in &replicas {
        for _ in 0..args.writers.get() {
            writers.spawn(write(vault.clone(), clock.clone(), left.clone()));
        }
    }
    let mut total = Tally::default();
    let was_interrupted = gather(&mut writers, &mut total, &left, args, console).await;
    let took = clock.now();
    let (mut stats, mut lock_waits) = (VaultStats::default(), 0);
    for (vault, waits) in &replicas {
        stats.add(vault.tokens().stats());
        lock_waits += waits.count();
    }
    let error = total.error.take();
    Ok((
        answer(args, total, &stats, lock_waits, took),
        error,
        was_interrupted,
    ))
}

fn builder_over_memory(global: &Global) -> AuditSink {
    global.builder().audit_sink(MemoryChain::new())
}

async fn keys() -> Result<Arc<LocalKeys<MemoryKeys, SystemClock, SystemEntropy>>, Failure> {
    let (storage, clock) = (MemoryKeys::new(), SystemClock::new());
    let failed = |error| Failure::error(format!("{error}; nothing was measured"));
    manage::init(&storage, &clock, &SystemEntropy)
        .await
        .map_err(failed)?;
    LocalKeys::open(storage, clock, SystemEntropy, Counting::Persisted)
        .await
        .map(Arc::new)
        .map_err(failed)
}

fn cannot_be_measured(client: &Client, error: &impl std::fmt::Display) -> Failure {
    Failure::negative(format!(
        "Redis at {} cannot be measured: {error}",
        place(client)
    ))
}

/// Tokens written in one command while the vault is filled.
const FILLED_AT_ONCE: u64 = 500;

/// Fills the vault with copies of one token's record.
async fn fill(vault: &Vault, size: u64, client: &Client, console: &Console) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| cannot_be_measured(client, &error);
    let Ok(token_type) = TokenType::new("bench") else {
        return Ok(());
    };
    let first = vault.tokenize(&token_type, "the first", Details::default());
    let first = first.await.map_err(|error| failed(&error))?.token;
    let store = vault.tokens().store();
    let record = store
        .load(
            Load::Some(std::slice::from_ref(&first)),
            &Observed::default(),
        )
        .await
        .map_err(|error| failed(&error))?;
    let Some(Some(record)) = record.tokens.get(&first).cloned() else {
        return Err(failed(&"a token that was just made is gone"));
    };
    let mut progress = console.progress("tokens to begin with");
    let mut filled = 1;
    while filled < size {
        let until = size.min(filled + FILLED_AT_ONCE);
        let mut set = redis::cmd("HSET");
        set.arg(&store.keys().tokens);
        for number in filled..until {
            set.arg(format!("tok_bench_{number:032x}"))
                .arg(record.bytes());
        }
        store
            .link()
            .send(&set)
            .await
            .map_err(|error| failed(&error))?;
        filled = until;
        progress.at(filled, Some(size));
    }
    Ok(())
}

/// One caller: the next plaintext begins when the last has ended.
async fn write(vault: Vault, clock: SystemClock, left: Arc<AtomicU64>) -> Tally {
    let mut tally = Tally::default();
    let Ok(token_type) = TokenType::new("email") else {
        return tally;
    };
    let take = |left: u64| left.checked_sub(1);
    while let Ok(number) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
        let plaintext = format!("bench-{number:012}@example.com");
        let began = clock.now();
        let ended = vault.tokenize(&token_type, &plaintext, Details::default());
        match ended.await {
            Ok(_) => {
                let micros = (clock.now() - began).as_micros();
                tally
                    .latencies
                    .push(u32::try_from(micros).unwrap_or(u32::MAX));
            }
            Err(error) => {
                match error {
                    TokenizeError::Unknown(_) => tally.unknown += 1,
                    _ => tally.failed += 1,
                }
                tally.error = Some(error);
                // Figures of a Redis that fails say nothing: all end here.
                left.store(0, Ordering::Relaxed);
            }
        }
    }
    tally
}

/// Waits for all writers; tells whether they were interrupted.
async fn gather(
    writers: &mut JoinSet<Tally>,
    total: &mut Tally,
    left: &AtomicU64,
    args: &Args,
    console: &Console,
) -> bool {
    let mut was_interrupted = false;
    let mut interrupt = std::pin::pin!(interrupted());
    let mut progress = console.progress("plaintexts begun");
    let clock = SystemClock::new();
    loop {
        tokio::select! {
            ended = writers.join_next() => match ended {
                None => return was_interrupted,
                Some(Ok(tally)) => {
                    total.latencies.extend(tally.latencies);
                    total.failed += tally.failed;
                    total.unknown += tally.unknown;
                    total.error = total.error.take().or(tally.error);
                }
                // A writer neither panics nor is aborted.
                Some(Err(_)) => total.failed += 1,
            },
            () = &mut interrupt, if !was_interrupted => {
                was_interrupted = true;
                left.store(0, Ordering::Relaxed);
            }
            () = clock.sleep(Duration::from_millis(200)) => {
                let ops = args.ops.get();
                progress.at(ops - left.load(Ordering::Relaxed), Some(ops));
            }
        }
    }
}

fn answer(
    args: &Args,
    total: Tally,
    stats: &VaultStats,
    lock_waits: u64,
    took: Duration,
) -> Answer {
    let mut latencies = total.latencies;
    latencies.sort_unstable();
    let committed = latencies.len() as u64;
    let seconds = took.as_secs_f64();
    Answer {
        ops_per_second: (committed as f64 / seconds).round(),
        p50_ms: quantile(&latencies, 500),
        p99_ms: quantile(&latencies, 990),
        max_ms: quantile(&latencies, 1000),
        committed,
        conflicts: stats.value_conflicts + stats.version_conflicts,
        retries: stats.retries,
        lock_waits,
        failed: total.failed,
        unknown: total.unknown,
        vault_size: args.vault_size,
        seconds: (seconds * 1000.0).round() / 1000.0,
    }
}

fn table(args: &Args, answer: &Answer) -> String {
    format!(
        "{} replicas × {} writers, {}, into {} tokens: {} tokenized in {:.2} s\n\
         {:>12} a second\n\
         {:>12.3} ms half of them, {:.3} ms 99 in 100, {:.3} ms all\n\
         {:>12} conflicts, {} retries, {} waits for the lock",
        args.replicas,
        args.writers,
        args.lock.words(),
        args.vault_size,
        answer.committed,
        answer.seconds,
        answer.ops_per_second,
        answer.p50_ms,
        answer.p99_ms,
        answer.max_ms,
        answer.conflicts,
        answer.retries,
        answer.lock_waits,
    )
}

/// Deletes the benchmark's keys, the large one without stopping Redis.
async fn clean_up(global: &Global, client: &Client, prefix: &VaultPrefix) -> Result<(), Failure> {
    let store = global
        .builder()
        .vault_prefix(prefix.clone())
        .vault_store(client.clone());
    let mut delete = redis::cmd("UNLINK");
    for key in store.keys().all() {
        delete.arg(key);
    }
    match store.link().send(&delete).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::negative(format!(
            "the benchmark's keys may be left in Redis at {}: {error}; delete {prefix}*",
            place(client)
        ))),
    }
}
