//! What the benchmarks have in common: replicas, callers, and their figures.
//!
//! Each replica has a connection of its own, as separate processes would have.
//! The keys are the benchmark's own and are deleted at the end.

use std::{
    fmt::Display,
    future::Future,
    num::{NonZeroU64, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::ValueEnum;
use haechi_store_redis::{
    Builder, Durability,
    clock::{Clock, SystemClock},
    entropy::{Entropy, SystemEntropy},
    redis::{AuditPrefix, Endpoint, LockPolicy, LockTimes, VaultPrefix},
};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    args::Global,
    connection::place,
    console::{self, Console},
    exit::{Exit, Failure},
    interrupt::interrupted,
};

// Each benchmark explains them in its own words.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    #[arg(long, value_name = "R", default_value = "1")]
    pub(crate) replicas: NonZeroUsize,

    #[arg(long, value_name = "W", default_value = "16")]
    writers: NonZeroUsize,

    #[arg(long, value_enum, default_value = "none")]
    lock: Lock,

    #[arg(long, value_name = "N", default_value = "10000")]
    ops: NonZeroU64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lock {
    None,
    Always,
}

/// One process of those that a benchmark stands for.
pub(crate) trait Replica: Clone + Send + Sync + 'static {
    /// Prepares an operation; only the future is timed.
    fn operation(&self, number: u64) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Adds what it met, after the last operation.
    async fn count(&self, counts: &mut Counts);
}

/// How a benchmark speaks of its operations.
pub(crate) struct Words {
    pub(crate) operations: &'static str,
    pub(crate) begun: &'static str,
    pub(crate) done: &'static str,
    pub(crate) counted: &'static str,
    pub(crate) rate: &'static str,
}

/// Why an operation did not succeed.
pub(crate) struct Fault {
    pub(crate) is_unknown: bool,
    pub(crate) error: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// Where operations share batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batches: Option<u64>,
    pub(crate) conflicts: u64,
    pub(crate) retries: u64,
    pub(crate) lock_waits: u64,
    /// Where more than memory was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_yet_durable: Option<u64>,
}

/// One run of a benchmark.
pub(crate) struct Bench<'a> {
    pub(crate) global: &'a Global,
    pub(crate) console: &'a Console,
    pub(crate) client: Endpoint,
    pub(crate) options: &'a Options,
    durability: Durability,
    prefix: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ops_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    committed: u64,
    #[serde(flatten)]
    counts: Counts,
    failed: u64,
    unknown: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    vault_size: Option<u64>,
    seconds: f64,
    #[serde(flatten)]
    price: Option<Price>,
}

/// What more durability than memory costs, in this run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Price {
    durability: String,
    /// The same operations, just before, with memory.
    memory_ops_per_second: f64,
    memory_p50_ms: f64,
    /// Operations a second, compared with memory.
    rate_ratio: f64,
    /// The median time of an operation, compared with memory.
    p50_ratio: f64,
}

/// What writers met.
#[derive(Default)]
struct Tally {
    /// Of the operations that succeeded, in microseconds.
    latencies: Vec<u32>,
    failed: u64,
    unknown: u64,
    error: Option<String>,
    was_interrupted: bool,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(
        options: &'a Options,
        global: &'a Global,
        console: &'a Console,
    ) -> Result<Self, Failure> {
        let client = global.client()?;
        let prefix = random_prefix()?;
        Ok(Self {
            global,
            console,
            client,
            options,
            durability: global.durability,
            prefix,
        })
    }

    /// The same with memory, over keys of its own.
    fn in_memory(&self) -> Self {
        Self {
            client: self.client.clone(),
            durability: Durability::Memory,
            prefix: format!("{}memory:", self.prefix),
            ..*self
        }
    }

    /// Builds over the benchmark's own keys.
    pub(crate) fn builder(&self) -> Builder {
        let lock = match self.options.lock {
            Lock::None => LockPolicy::None,
            Lock::Always => LockPolicy::Always(LockTimes::default()),
        };
        self.global
            .builder()
            .audit_prefix(AuditPrefix::new(&*self.prefix))
            .vault_prefix(VaultPrefix::new(&*self.prefix))
            .lock(lock)
            .durability(self.durability)
    }

    pub(crate) fn cannot_measure(&self, error: impl Display) -> Failure {
        let place = place(&self.client);
        Failure::negative(format!("Redis at {place} cannot be measured: {error}"))
    }

    /// Measures what `replicas` connects, and prints the figures. More durability
    /// than memory is compared with memory.
    pub(crate) async fn run<R: Replica>(
        self,
        replicas: impl AsyncFn(&Bench<'_>) -> Result<Vec<R>, Failure>,
        words: &Words,
        vault_size: Option<u64>,
    ) -> Result<Exit, Failure> {
        let compared = match self.durability {
            Durability::Memory => None,
            Durability::Fsync | Durability::Replicas(_) => {
                let memory = self.in_memory();
                Some(memory.run_once(&replicas, words, vault_size).await?)
            }
        };
        let run = match compared {
            // It failed or was interrupted.
            Some(run) if run.1.is_some() || run.2 => run,
            compared => {
                let mut run = self.run_once(&replicas, words, vault_size).await?;
                run.0.price = compared.map(|(memory, ..)| Price::new(&self, &memory, &run.0));
                run
            }
        };
        let (answer, error, was_interrupted) = run;
        console::answer(&answer)?;
        self.console.note(&self.table(words, &answer));
        if let Some(error) = &error {
            self.console.error(&format!(
                "{} {} failed and {} are unknown; the benchmark ended there: {error}",
                answer.failed, words.operations, answer.unknown
            ));
        }
        if was_interrupted {
            self.console.error(&format!(
                "interrupted: the figures are of what was {} until then",
                words.done
            ));
        }
        Ok(match error.is_some() || was_interrupted {
            true => Exit::Negative,
            false => Exit::Success,
        })
    }

    async fn run_once<R: Replica>(
        &self,
        replicas: &impl AsyncFn(&Bench<'_>) -> Result<Vec<R>, Failure>,
        words: &Words,
        vault_size: Option<u64>,
    ) -> Result<(Answer, Option<String>, bool), Failure> {
        let outcome = match replicas(self).await {
            Ok(replicas) => Ok(self.measure(&replicas, words, vault_size).await),
            Err(failure) => Err(failure),
        };
        // Whatever happened, nothing is left behind.
        let cleaned = self.clean_up().await;
        let outcome = outcome?;
        cleaned?;
        Ok(outcome)
    }

    async fn measure<R: Replica>(
        &self,
        replicas: &[R],
        words: &Words,
        vault_size: Option<u64>,
    ) -> (Answer, Option<String>, bool) {
        let clock = SystemClock::new();
        let left = Arc::new(AtomicU64::new(self.options.ops.get()));
        let mut writers = JoinSet::new();
        for replica in replicas {
            for _ in 0..self.options.writers.get() {
                writers.spawn(write(replica.clone(), clock.clone(), left.clone()));
            }
        }
        let mut total = self.gather(writers, &left, words).await;
        let seconds = clock.now().as_secs_f64();

        let mut counts = Counts::default();
        for replica in replicas {
            replica.count(&mut counts).await;
        }
        if self.durability == Durability::Memory {
            counts.not_yet_durable = None;
        }
        total.latencies.sort_unstable();
        let committed = total.latencies.len() as u64;
        let answer = Answer {
            ops_per_second: (committed as f64 / seconds).round(),
            p50_ms: quantile(&total.latencies, 500),
            p99_ms: quantile(&total.latencies, 990),
            max_ms: quantile(&total.latencies, 1000),
            committed,
            counts,
            failed: total.failed,
            unknown: total.unknown,
            vault_size,
            seconds: (seconds * 1000.0).round() / 1000.0,
            price: None,
        };
        (answer, total.error, total.was_interrupted)
    }

    /// Waits for all writers.
    async fn gather(&self, mut writers: JoinSet<Tally>, left: &AtomicU64, words: &Words) -> Tally {
        let mut total = Tally::default();
        let mut interrupt = std::pin::pin!(interrupted());
        let mut progress = self.console.progress(words.begun);
        let clock = SystemClock::new();
        loop {
            tokio::select! {
                ended = writers.join_next() => match ended {
                    None => return total,
                    Some(Ok(tally)) => {
                        total.latencies.extend(tally.latencies);
                        total.failed += tally.failed;
                        total.unknown += tally.unknown;
                        total.error = total.error.take().or(tally.error);
                    }
                    // A writer neither panics nor is aborted.
                    Some(Err(_)) => total.failed += 1,
                },
                () = &mut interrupt, if !total.was_interrupted => {
                    total.was_interrupted = true;
                    left.store(0, Ordering::Relaxed);
                }
                () = clock.sleep(Duration::from_millis(200)) => {
                    let ops = self.options.ops.get();
                    progress.at(ops - left.load(Ordering::Relaxed), Some(ops));
                }
            }
        }
    }

    fn table(&self, words: &Words, answer: &Answer) -> String {
        let lock = match self.options.lock {
            Lock::None => "no lock",
            Lock::Always => "lock always",
        };
        let into = answer
            .vault_size
            .map(|size| format!(", into {size} tokens"));
        let Counts {
            conflicts,
            retries,
            lock_waits,
            ..
        } = answer.counts;
        let conflicts = match answer.counts.batches {
            Some(batches) => format!("{batches:>12} batches, {conflicts} conflicts"),
            None => format!("{conflicts:>12} conflicts"),
        };
        let price = answer.price.as_ref().map(|price| {
            format!(
                "\n{:>12.4} times the rate of memory, {:.2} times its median time, with {}; {} not \
                 yet so durable",
                price.rate_ratio,
                price.p50_ratio,
                price.durability,
                answer.counts.not_yet_durable.unwrap_or_default(),
            )
        });
        format!(
            "{} replicas × {} writers, {lock}{}: {} {} in {:.2} s\n\
             {:>12} {}\n\
             {:>12.3} ms half of them, {:.3} ms 99 in 100, {:.3} ms all\n\
             {conflicts}, {retries} retries, {lock_waits} waits for the lock{}",
            self.options.replicas,
            self.options.writers,
            into.unwrap_or_default(),
            answer.committed,
            words.counted,
            answer.seconds,
            answer.ops_per_second,
            words.rate,
            answer.p50_ms,
            answer.p99_ms,
            answer.max_ms,
            price.unwrap_or_default(),
        )
    }

    async fn clean_up(&self) -> Result<(), Failure> {
        clean_up(&self.builder(), &self.client, &self.prefix).await
    }
}

/// What the names of a benchmark's keys begin with.
pub(crate) fn random_prefix() -> Result<String, Failure> {
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random).map_err(|error| {
        Failure::error(format!(
            "the system gives no randomness: {error}; nothing was measured"
        ))
    })?;
    // With a hash tag, so that a cluster keeps the keys together.
    Ok(format!(
        "haechi:bench:{{{:016x}}}:",
        u64::from_le_bytes(random)
    ))
}

/// Deletes the benchmark's keys, a large one without stopping Redis.
pub(crate) async fn clean_up(
    builder: &Builder,
    client: &Endpoint,
    prefix: &str,
) -> Result<(), Failure> {
    let audit = builder.audit_store(client.clone());
    let vault = builder.vault_store(client.clone());
    let mut delete = redis::cmd("UNLINK");
    delete.arg(&audit.keys().fenced());
    delete.arg(&vault.keys().fenced());
    audit.link().send(&delete).await.map_err(|error| {
        Failure::negative(format!(
            "the benchmark's keys may be left in Redis at {}: {error}; delete {prefix}*",
            place(client)
        ))
    })?;
    Ok(())
}

impl Price {
    fn new(bench: &Bench<'_>, memory: &Answer, asked: &Answer) -> Self {
        let ratio = |asked: f64, memory: f64| (asked / memory * 10_000.0).round() / 10_000.0;
        Self {
            durability: bench.durability.to_string(),
            memory_ops_per_second: memory.ops_per_second,
            memory_p50_ms: memory.p50_ms,
            rate_ratio: ratio(asked.ops_per_second, memory.ops_per_second),
            p50_ratio: ratio(asked.p50_ms, memory.p50_ms),
        }
    }
}

/// One caller: the next operation begins when the last has ended.
async fn write<R: Replica>(replica: R, clock: SystemClock, left: Arc<AtomicU64>) -> Tally {
    let mut tally = Tally::default();
    let take = |left: u64| left.checked_sub(1);
    while let Ok(number) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
        let operation = replica.operation(number);
        let began = clock.now();
        match operation.await {
            Ok(()) => {
                let micros = (clock.now() - began).as_micros();
                let micros = u32::try_from(micros).unwrap_or(u32::MAX);
                tally.latencies.push(micros);
            }
            Err(fault) => {
                match fault.is_unknown {
                    true => tally.unknown += 1,
                    false => tally.failed += 1,
                }
                tally.error = Some(fault.error);
                // Figures of a Redis that fails say nothing: all end here.
                left.store(0, Ordering::Relaxed);
            }
        }
    }
    tally
}

/// Which of the sorted microseconds `per_mille` of them reach, in milliseconds.
pub(crate) fn quantile(latencies: &[u32], per_mille: usize) -> f64 {
    let rank = (latencies.len() * per_mille).div_ceil(1000).max(1) - 1;
    f64::from(latencies.get(rank).copied().unwrap_or(0)) / 1000.0
}
