//! `bench sweep`: what contention costs, by the number of contenders, the lock policy and the
//! kind of conflict.

use std::{num::NonZeroUsize, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use clap::ValueEnum;
use haechi_store_redis::{
    Builder,
    audit::AuditSink,
    chain::Event,
    clock::{Clock, SystemClock},
    entropy::SystemEntropy,
    redis::{AuditPrefix, Endpoint, LockPolicy, LockTimes, RedisVaultStore, VaultPrefix},
    vault::{TokenId, TokenStore, View},
};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    args::{Global, seconds},
    bench::{clean_up, quantile, random_prefix},
    connection::place,
    console::{self, Console},
    contention_plot::{self, Point},
    exit::{Exit, Failure},
    interrupt::interrupted,
};

/// Measure what contention costs, and draw it
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Contenders have a connection each and one operation in flight: appends to one chain (the head is \
stale), changes of one token (its value moved), changes of a vault of 100 tokens after reading all \
of it (its version moved); each without and with the contention lock. Every cell is measured in 5 \
rounds, among the others. Prints {\"cells\":[{\"conflict\", \"lock\", \"contenders\", \"rate\", \"p99Ms\", …}]}; \
a rate of 1 is that of one contender without the lock. Its keys have a random prefix and are \
deleted, also after Ctrl-C.

Example:
  haechi-store bench sweep --svg contention.svg")]
pub(crate) struct Args {
    /// Numbers of contenders, separated by commas
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "1,2,4,8,16,32,64"
    )]
    contenders: Vec<NonZeroUsize>,

    /// How long each cell is measured, in all
    #[arg(long, value_name = "SECONDS", default_value = "1.5", value_parser = seconds)]
    window: Duration,

    /// Draw rate and tail latency as an SVG into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Rounds of a cell, so that a slow moment of the machine does not strike only one of them.
const ROUNDS: u32 = 5;

/// Tokens in the vault.
const TOKENS: u32 = 100;

/// What contenders do, by the conflict that they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Conflict {
    StaleHead,
    ValueMoved,
    VersionMoved,
}

impl Conflict {
    const ALL: [Self; 3] = [Self::StaleHead, Self::ValueMoved, Self::VersionMoved];

    fn name(self) -> &'static str {
        match self {
            Self::StaleHead => "stale head",
            Self::ValueMoved => "value moved",
            Self::VersionMoved => "version moved",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
enum Lock {
    None,
    Always,
}

impl Lock {
    const ALL: [Self; 2] = [Self::None, Self::Always];

    fn policy(self) -> LockPolicy {
        match self {
            Self::None => LockPolicy::None,
            Self::Always => LockPolicy::Always(LockTimes::default()),
        }
    }
}

/// The figures of one cell.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cell {
    conflict: Conflict,
    lock: Lock,
    contenders: usize,
    ops_per_second: f64,
    /// Compared with one contender without the lock.
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    conflicts: u64,
    given_up: u64,
}

impl Cell {
    fn point(&self) -> Point {
        Point {
            conflict: self.conflict.name(),
            has_lock: self.lock == Lock::Always,
            contenders: self.contenders,
            rate: self.rate,
            p99_ms: self.p99_ms,
        }
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    cells: Vec<Cell>,
}

/// What was met in the rounds of a cell.
#[derive(Default)]
struct Tally {
    latencies: Vec<u32>,
    /// Operations that ended within their round.
    in_time: u64,
    conflicts: u64,
    given_up: u64,
}

/// One contender.
enum Contender {
    Chain(AuditSink),
    Vault(
        Conflict,
        TokenStore<RedisVaultStore<Endpoint, SystemClock, SystemEntropy>>,
    ),
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let (client, prefix) = (global.client()?, random_prefix()?);
    let mut cells = Vec::new();
    for conflict in Conflict::ALL {
        for contenders in &args.contenders {
            cells.extend(Lock::ALL.map(|lock| (conflict, lock, *contenders, Tally::default())));
        }
    }
    let mut interrupt = pin!(interrupted());
    let mut progress = console.progress("rounds begun");
    let rounds = u64::from(ROUNDS) * cells.len() as u64;
    let mut begun = 0;
    for _ in 0..ROUNDS {
        for (conflict, lock, contenders, tally) in &mut cells {
            begun += 1;
            progress.at(begun, Some(rounds));
            let builder = || {
                global
                    .builder()
                    .audit_prefix(AuditPrefix::new(&*prefix))
                    .vault_prefix(VaultPrefix::new(&*prefix))
                    .lock(lock.policy())
            };
            let window = args.window / ROUNDS;
            let mut was_interrupted = false;
            let outcome = {
                let round = contend(
                    &builder,
                    &client,
                    *conflict,
                    contenders.get(),
                    window,
                    tally,
                );
                let mut round = pin!(round);
                loop {
                    tokio::select! {
                        outcome = &mut round => break outcome,
                        // What is in flight ends first, so that nothing is left behind.
                        () = &mut interrupt, if !was_interrupted => was_interrupted = true,
                    }
                }
            };
            clean_up(&builder(), &client, &prefix).await?;
            outcome.map_err(|error| {
                let place = place(&client);
                Failure::negative(format!("Redis at {place} cannot be measured: {error}"))
            })?;
            if was_interrupted {
                return Err(Failure::negative(
                    "interrupted: nothing was measured to the end; run it again".to_owned(),
                ));
            }
        }
    }
    let answer = Answer {
        cells: figures(cells, args.window),
    };
    if let Some(file) = &args.svg {
        let points: Vec<_> = answer.cells.iter().map(Cell::point).collect();
        std::fs::write(file, contention_plot::svg(&points)).map_err(|error| {
            Failure::error(format!(
                "{} cannot be written: {error}; name another file with --svg",
                file.display()
            ))
        })?;
    }
    console::answer(&answer)?;
    console.note(&table(&answer.cells));
    Ok(Exit::Success)
}

/// Contenders during `window`. What was begun by then is completed, so that slow operations are
/// among the latencies; the rate counts those that ended in time.
async fn contend(
    builder: &impl Fn() -> Builder,
    client: &Endpoint,
    conflict: Conflict,
    contenders: usize,
    window: Duration,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut all = Vec::new();
    for number in 0..contenders {
        let contender = Contender::new(builder(), client.clone(), conflict);
        if number == 0 {
            contender.create().await?;
        }
        // Connects, and reads the head.
        contender.operate().await?;
        all.push(Arc::new(contender));
    }
    let clock = SystemClock::new();
    let mut running = JoinSet::new();
    for contender in &all {
        let (contender, clock) = (contender.clone(), clock.clone());
        running.spawn(async move {
            let mut met = Tally::default();
            loop {
                let began = clock.now();
                if began >= window {
                    return met;
                }
                match contender.operate().await {
                    Ok(()) => {
                        let now = clock.now();
                        let micros = u32::try_from((now - began).as_micros());
                        met.latencies.push(micros.unwrap_or(u32::MAX));
                        met.in_time += u64::from(now <= window);
                    }
                    Err(_) => met.given_up += 1,
                }
            }
        });
    }
    let before: u64 = all.iter().map(|contender| contender.conflicts()).sum();
    while let Some(met) = running.join_next().await {
        let met = met.map_err(|error| error.to_string())?;
        tally.latencies.extend(met.latencies);
        tally.in_time += met.in_time;
        tally.given_up += met.given_up;
    }
    let after: u64 = all.iter().map(|contender| contender.conflicts()).sum();
    tally.conflicts += after - before;
    for contender in &all {
        if let Contender::Chain(sink) = &**contender {
            sink.close(window).await;
        }
    }
    Ok(())
}

fn figures(cells: Vec<(Conflict, Lock, NonZeroUsize, Tally)>, window: Duration) -> Vec<Cell> {
    let alone = |conflict| {
        let cells = cells
            .iter()
            .filter(|cell| cell.0 == conflict && cell.1 == Lock::None);
        // The fewest contenders: one, unless others were asked for.
        let first = cells.min_by_key(|cell| cell.2);
        first.map_or(1, |cell| cell.3.in_time.max(1)) as f64
    };
    let alone = Conflict::ALL.map(|conflict| (conflict, alone(conflict)));
    cells
        .into_iter()
        .map(|(conflict, lock, contenders, mut tally)| {
            tally.latencies.sort_unstable();
            let in_time = tally.in_time as f64;
            let one = alone.iter().find(|(other, _)| *other == conflict);
            let one = one.map_or(1.0, |(_, one)| *one);
            Cell {
                conflict,
                lock,
                contenders: contenders.get(),
                ops_per_second: (in_time / window.as_secs_f64()).round(),
                rate: (in_time / one * 100.0).round() / 100.0,
                p50_ms: quantile(&tally.latencies, 500),
                p99_ms: quantile(&tally.latencies, 990),
                max_ms: quantile(&tally.latencies, 1000),
                conflicts: tally.conflicts,
                given_up: tally.given_up,
            }
        })
        .collect()
}

fn table(cells: &[Cell]) -> String {
    let mut lines = vec!["conflict       contenders    lock   rate    p50 ms    p99 ms".to_owned()];
    for cell in cells {
        let lock = match cell.lock {
            Lock::None => "none",
            Lock::Always => "always",
        };
        lines.push(format!(
            "{:<14} {:>10}  {lock:>6} {:>6.2} {:>9.2} {:>9.2}",
            cell.conflict.name(),
            cell.contenders,
            cell.rate,
            cell.p50_ms,
            cell.p99_ms
        ));
    }
    lines.join("\n")
}

impl Contender {
    fn new(builder: Builder, client: Endpoint, conflict: Conflict) -> Self {
        match conflict {
            Conflict::StaleHead => {
                let store = builder.audit_store(client);
                Self::Chain(builder.audit_sink(store))
            }
            Conflict::ValueMoved | Conflict::VersionMoved => {
                let store = builder.vault_store(client);
                Self::Vault(conflict, builder.token_store(store))
            }
        }
    }

    /// Creates what the others contend for.
    async fn create(&self) -> Result<(), String> {
        let Self::Vault(_, tokens) = self else {
            return Ok(());
        };
        let names: Vec<_> = (0..TOKENS).map(token).collect::<Result<_, _>>()?;
        let set = |view: &mut View| names.iter().for_each(|name| view.set(name, record(0)));
        let all = tokens.transaction(names.clone(), set);
        all.await.map(drop).map_err(|error| error.to_string())
    }

    async fn operate(&self) -> Result<(), String> {
        match self {
            Self::Chain(sink) => {
                let event = Event::from_json(EVENT).map_err(|error| error.to_string())?;
                let appended = sink.record(event).await;
                appended.map(drop).map_err(|error| error.to_string())
            }
            Self::Vault(Conflict::VersionMoved, tokens) => {
                let name = token(0)?;
                let change = move |view: &mut View| {
                    let first = view
                        .entries()
                        .first()
                        .map(|(_, stored)| count(stored.bytes()));
                    view.set(&name, record(first.unwrap_or(0) + 1));
                };
                let done = tokens.mutate(change).await;
                done.map(drop).map_err(|error| error.to_string())
            }
            Self::Vault(_, tokens) => {
                let name = token(0)?;
                let change = |view: &mut View| {
                    let read = view.get(&name).map_or(0, |stored| count(stored.bytes()));
                    view.set(&name, record(read + 1));
                };
                let done = tokens.transaction([name.clone()], change).await;
                done.map(drop).map_err(|error| error.to_string())
            }
        }
    }

    fn conflicts(&self) -> u64 {
        match self {
            Self::Chain(sink) => sink.stats().conflicts,
            Self::Vault(_, tokens) => {
                let stats = tokens.stats();
                stats.value_conflicts + stats.version_conflicts
            }
        }
    }
}

const EVENT: &str = concat!(
    r#"{"id":"evt-0001","timestamp":"2026-01-01T00:00:00.000Z","protocol":"openai","#,
    r#""operation":"chat","mode":"enforce","enforced":true,"blocked":false,"decision":"allow","#,
    r#""summary":{"detectionCount":2,"byType":{"email":1,"card":1},"byAction":{"tokenize":2}}}"#
);

fn token(number: u32) -> Result<TokenId, String> {
    TokenId::new(&format!("tok_email_{number:032x}")).map_err(|error| error.to_string())
}

/// A record of about the length of a real one; a count stands in for the ciphertext, so that every
/// change differs.
fn record(count: u64) -> String {
    format!(
        concat!(
            r#"{{"type":"email","createdAt":"2026-01-01T00:00:00.000Z","#,
            r#""expiresAt":"2036-01-01T00:00:00.000Z","metadata":{{}},"envelope":{{"v":1,"#,
            r#""alg":"A256GCM","kid":"k-0123456789abcdef","iv":"AAAAAAAAAAAAAAAA","#,
            r#""tag":"AAAAAAAAAAAAAAAAAAAAAA","ct":"{:020}"}},"aad":{{"type":"email"}}}}"#
        ),
        count
    )
}

fn count(record: &[u8]) -> u64 {
    let text = std::str::from_utf8(record).unwrap_or_default();
    let digits = text
        .split_once(r#""ct":""#)
        .and_then(|(_, rest)| rest.get(..20));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
