//! `bench audit`: replicas that append to one chain at the same time.
//!
//! Each replica is a sink with a connection of its own, as separate processes
//! would have. The chain is the benchmark's own and is deleted at the end.

use std::{
    io::Write,
    num::{NonZeroU64, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::ValueEnum;
use haechi_store_redis::{
    AppendError, Builder,
    audit::{AuditSink, AuditStats},
    chain::Event,
    clock::{Clock, SystemClock, iso8601},
    entropy::{Entropy, SystemEntropy},
    redis::{AuditPrefix, LockPolicy, LockTimes, LockWaits, NotReady},
};
use redis::Client;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    args::Global,
    connection::place,
    console::{self, Console},
    exit::{Exit, Failure},
    interrupt::interrupted,
};

/// Measure replicas that append to one chain at the same time
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"opsPerSecond\",\"p50Ms\",\"p99Ms\",\"committed\",\"conflicts\",\"retries\",\"lockWaits\",\"failed\", …}.
Its keys have a random prefix and are deleted at the end, also after Ctrl-C.

Example:
  haechi-store bench audit --replicas 4 --writers 16 --ops 50000")]
pub(crate) struct Args {
    /// Sinks with a connection each, as so many processes would have
    #[arg(long, value_name = "R", default_value = "1")]
    replicas: NonZeroUsize,

    /// Callers in each replica, every one with one append in flight
    #[arg(long, value_name = "W", default_value = "16")]
    writers: NonZeroUsize,

    /// Whether to take the contention lock before each batch
    #[arg(long, value_enum, default_value = "none")]
    lock: Lock,

    /// Appends in all
    #[arg(long, value_name = "N", default_value = "10000")]
    ops: NonZeroU64,
}

/// Whether benchmarks take the contention lock.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Lock {
    None,
    Always,
}

impl Lock {
    pub(crate) fn policy(self) -> LockPolicy {
        match self {
            Self::None => LockPolicy::None,
            Self::Always => LockPolicy::Always(LockTimes::default()),
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::None => "no lock",
            Self::Always => "lock always",
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ops_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    committed: u64,
    batches: u64,
    conflicts: u64,
    retries: u64,
    lock_waits: u64,
    failed: u64,
    unknown: u64,
    seconds: f64,
}

/// What one writer met.
#[derive(Default)]
struct Tally {
    /// Of the appends that were committed, in microseconds.
    latencies: Vec<u32>,
    failed: u64,
    unknown: u64,
    error: Option<AppendError>,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let client = global.client()?;
    let prefix = own_prefix()?;
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
            "{} appends failed and {} are unknown; the benchmark ended there: {error}",
            answer.failed, answer.unknown
        ));
    }
    if was_interrupted {
        console.error("interrupted: the figures are of what was appended until then");
    }
    cleaned?;
    Ok(match error.is_some() || was_interrupted {
        true => Exit::Negative,
        false => Exit::Success,
    })
}

/// A prefix that nobody else has, with a hash tag, so that a cluster keeps
/// its keys together.
pub(crate) fn own_prefix() -> Result<AuditPrefix, Failure> {
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random).map_err(|error| {
        Failure::error(format!(
            "the system gives no randomness: {error}; nothing was measured"
        ))
    })?;
    let random = u64::from_le_bytes(random);
    Ok(AuditPrefix::new(format!("haechi:bench:{{{random:016x}}}:")))
}

async fn measure(
    args: &Args,
    global: &Global,
    client: &Client,
    prefix: &AuditPrefix,
    console: &Console,
) -> Result<(Answer, Option<AppendError>, bool), Failure> {
    let builder = || -> Builder {
        global
            .builder()
            .audit_prefix(prefix.clone())
            .lock(args.lock.policy())
    };
    let mut replicas: Vec<(AuditSink, LockWaits)> = Vec::with_capacity(args.replicas.get());
    for _ in 0..args.replicas.get() {
        let store = builder().audit_store(client.clone());
        // Also opens the connection, so that no append is timed with it.
        for (reason, cause) in store.ready().await.faults {
            // An evicting policy loses nothing that a benchmark would miss.
            if reason != NotReady::Evicting {
                return Err(Failure::negative(format!(
                    "Redis at {} cannot be measured: {reason}: {cause}",
                    place(client)
                )));
            }
        }
        let waits = store.lock_waits();
        replicas.push((builder().audit_sink(store), waits));
    }

    let clock = SystemClock::new();
    let left = Arc::new(AtomicU64::new(args.ops.get()));
    let mut writers = JoinSet::new();
    for (sink, _) in &replicas {
        for _ in 0..args.writers.get() {
            writers.spawn(write(sink.clone(), clock.clone(), left.clone()));
        }
    }
    let mut total = Tally::default();
    let was_interrupted = gather(&mut writers, &mut total, &left, args, console).await;
    let took = clock.now();

    let (mut stats, mut lock_waits) = (AuditStats::default(), 0);
    for (sink, waits) in &replicas {
        sink.close(global.deadline).await;
        let of_sink = sink.stats();
        stats.batches += of_sink.batches;
        stats.conflicts += of_sink.conflicts;
        stats.retries += of_sink.retries;
        lock_waits += waits.count();
    }
    let error = total.error.take();
    let answer = answer(total, &stats, lock_waits, took);
    Ok((answer, error, was_interrupted))
}

/// One caller: the next append begins when the last has ended.
async fn write(sink: AuditSink, clock: SystemClock, left: Arc<AtomicU64>) -> Tally {
    let mut tally = Tally::default();
    let take = |left: u64| left.checked_sub(1);
    while let Ok(number) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
        let event = match Event::from_json(&typical(number, &clock)) {
            Ok(event) => event,
            Err(error) => {
                tally.failed += 1;
                tally.error = Some(error.into());
                break;
            }
        };
        let began = clock.now();
        match sink.record(event).await {
            Ok(_) => {
                let micros = (clock.now() - began).as_micros();
                tally
                    .latencies
                    .push(u32::try_from(micros).unwrap_or(u32::MAX));
            }
            Err(error) => {
                match error {
                    AppendError::Unknown { .. } => tally.unknown += 1,
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

/// An event such as a service writes.
fn typical(number: u64, clock: &SystemClock) -> String {
    format!(
        concat!(
            r#"{{"id":"bench-{:012}","timestamp":"{}","protocol":"openai","operation":"chat","#,
            r#""mode":"enforce","enforced":true,"blocked":false,"decision":"allow","#,
            r#""summary":{{"detectionCount":2,"byType":{{"email":1,"card":1}},"#,
            r#""byAction":{{"tokenize":2}}}}}}"#
        ),
        number,
        iso8601(clock.wall())
    )
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
    let mut progress = console.progress("appends begun");
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

/// Which of the sorted microseconds `per_mille` of them reach, in milliseconds.
pub(crate) fn quantile(latencies: &[u32], per_mille: usize) -> f64 {
    let rank = (latencies.len() * per_mille).div_ceil(1000).max(1) - 1;
    f64::from(latencies.get(rank).copied().unwrap_or(0)) / 1000.0
}

fn answer(total: Tally, stats: &AuditStats, lock_waits: u64, took: Duration) -> Answer {
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
        batches: stats.batches,
        conflicts: stats.conflicts,
        retries: stats.retries,
        lock_waits,
        failed: total.failed,
        unknown: total.unknown,
        seconds: (seconds * 1000.0).round() / 1000.0,
    }
}

fn table(args: &Args, answer: &Answer) -> String {
    let lock = args.lock.words();
    format!(
        "{} replicas × {} writers, {lock}: {} appends in {:.2} s\n\
         {:>12} appends a second\n\
         {:>12.3} ms half of them, {:.3} ms 99 in 100, {:.3} ms all\n\
         {:>12} batches, {} conflicts, {} retries, {} waits for the lock",
        args.replicas,
        args.writers,
        answer.committed,
        answer.seconds,
        answer.ops_per_second,
        answer.p50_ms,
        answer.p99_ms,
        answer.max_ms,
        answer.batches,
        answer.conflicts,
        answer.retries,
        answer.lock_waits,
    )
}

/// Deletes the benchmark's keys.
async fn clean_up(global: &Global, client: &Client, prefix: &AuditPrefix) -> Result<(), Failure> {
    let store = global
        .builder()
        .audit_prefix(prefix.clone())
        .audit_store(client.clone());
    let keys = store.keys();
    let mut delete = redis::cmd("DEL");
    for key in [
        &keys.chain,
        &keys.head,
        &keys.head_hash,
        &keys.lock,
        &keys.ready_probe,
    ] {
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
