//! One world: replicas that run the production store, a simulated Redis that
//! runs the production Lua, and a nemesis, all from one seed.
//!
//! Inside a world there is no thread, no wall clock and no unseeded randomness:
//! one seed, one trace. A world knows nothing of other worlds, of files or of
//! terminals.

mod clock;
mod config;
mod coverage;
mod host;
mod judge;
mod ledger;
mod log;
mod nemesis;
mod net;
mod record;
mod replica;
mod server;
mod shared;
mod state;
mod trace;
mod vault;
mod weather;

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use haechi_store_redis::{
    audit::AuditStats,
    redis::{AuditKeys, VaultKeys},
    vault::VaultStats,
};

pub use config::{Config, WorldOptions};
pub use coverage::{Mark, Marks};
pub use log::Outcomes;
pub use vault::{Action, VaultKnobs, Workload};

pub(crate) use clock::generator;
pub(crate) use config::LONGEST_MS;
pub(crate) use host::Host;
pub(crate) use judge::judge;
pub(crate) use ledger::{Ledger, Source};
pub(crate) use replica::run as run_replica;
pub(crate) use shared::replica_name;
pub(crate) use vault::{Safe, run_foreign};

use crate::{
    fault::{Fault, FaultKind},
    mutants::{StoreUnderTest, Variant},
    schedule::Schedule,
};
use haechi_history::History;
use haechi_history::check::{Invariant, Violation};
use nemesis::Nemesis;
use redis_sim::{self, Redis, Reply};
use shared::Shared;

/// Simulated time between two looks at the world, in milliseconds. Every host is polled at
/// every tick, so a finer one costs time and buys nothing: latencies are
/// whole milliseconds.
const TICK_MS: u64 = 5;

/// What came of one world.
#[derive(Debug)]
pub struct WorldReport {
    /// What the seed had drawn.
    pub config: Config,
    /// When each process began each of its operations, in milliseconds.
    pub begun: Vec<Vec<Option<u64>>>,
    /// What struck single commands, each as a fault of its own.
    pub strikes: Vec<Fault>,
    /// The state after the event that was to be looked at.
    pub seen: Option<String>,
    /// What does not hold; empty if all does.
    pub violations: Vec<Violation>,
    /// How the operations ended.
    pub outcomes: Outcomes,
    /// How those of the vault ended.
    pub vault_outcomes: Outcomes,
    /// How often each fault struck.
    pub faults: BTreeMap<FaultKind, u64>,
    /// What was met, and how often.
    pub marks: Marks,
    /// What the sinks counted, all together.
    pub stats: AuditStats,
    /// What the token stores counted, all together.
    pub vault_stats: VaultStats,
    /// Simulated time.
    pub simulated: Duration,
    /// A hash of everything that happened, in order.
    pub trace_hash: u64,
    /// Everything that happened, if it was to be kept.
    pub trace: Vec<String>,
    /// What the processes asked and were told.
    pub history: History,
}

/// What is to be kept of a world besides its report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// The trace's lines.
    pub keep_trace: bool,
    /// The state of the world after this event of the trace, counted from 1.
    pub until: Option<u64>,
}

/// Runs the world of a seed.
#[must_use]
pub fn run(seed: u64, options: &WorldOptions, variant: Variant) -> WorldReport {
    let watch = Watch {
        keep_trace: options.keep_trace,
        until: None,
    };
    carry_out(&Schedule::draw(seed, options), variant, watch)
}

/// Runs the world of a schedule.
#[must_use]
pub fn carry_out(schedule: &Schedule, variant: Variant, watch: Watch) -> WorldReport {
    let config = schedule.config.clone();
    let audit_keys = AuditKeys::new(replica::prefix());
    let vault_keys = VaultKeys::new(vault::prefix());
    let workload = config.workload;
    let (store, stale) = match variant.plant() {
        Ok(store) => (store, None),
        Err(stale) => (StoreUnderTest::default(), Some(stale)),
    };
    let shared = Shared::new(schedule, Redis::new(redis_sim::Config::default()), watch);
    let mut sim = turmoil::Builder::new()
        .epoch(UNIX_EPOCH + Duration::from_secs(1_760_000_000))
        .rng_seed(config.seed)
        .tick_duration(Duration::from_millis(TICK_MS))
        .simulation_duration(Duration::MAX)
        .min_message_latency(Duration::from_millis(config.latency.0))
        .max_message_latency(Duration::from_millis(config.latency.1))
        .tcp_capacity(4096)
        .build();
    {
        let shared = shared.clone();
        sim.host(net::REDIS_HOST, move || server::run(shared.clone()));
    }
    for replica in 0..config.processes() {
        let (shared, config, store) = (shared.clone(), config.clone(), store.clone());
        sim.host(replica_name(replica), move || {
            let (shared, config, store) = (shared.clone(), config.clone(), store.clone());
            async move {
                if replica < config.replicas {
                    replica::run(shared, config, replica, store).await;
                } else {
                    vault::run_foreign(shared, config, replica).await;
                }
                Ok(())
            }
        });
    }

    let mut locks = Vec::new();
    locks.extend(workload.has_chain().then(|| audit_keys.lock.clone()));
    locks.extend(workload.has_vault().then(|| vault_keys.lock.clone()));
    let mut nemesis = Nemesis::new(&config, locks);
    let mut stuck = None;
    let mut healed_at = None;
    loop {
        let now = sim.elapsed();
        shared.set_now(now);
        if healed_at.is_none() {
            nemesis.step(&mut sim, &shared, millis(now));
            // Nothing is left to disturb, or nothing is left to disturb with.
            if shared.is_idle() || nemesis.is_done() {
                nemesis.heal(&mut sim, &shared);
                shared.heal();
                healed_at = Some(now);
            }
        }
        if let Err(error) = sim.step() {
            stuck = Some(format!("a host of the simulation failed: {error}"));
            break;
        }
        if (0..config.processes()).all(|replica| shared.is_alive(replica)) {
            break;
        }
        if let Some(healed) = healed_at {
            stuck = shared.stuck(healed, &config);
            if stuck.is_some() {
                break;
            }
        }
    }

    let simulated = sim.elapsed();
    // The hosts go first: what they hold must not outlive the world.
    drop(sim);
    let watch = shared.weather(weather::Weather::take_watch);
    let mut ask = |words: &[&str]| {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        shared.run(&words).unwrap_or(Reply::Nil)
    };
    let (closed, mut violations) = judge::judge(&shared, &mut ask, workload, stuck);
    let marks = watch.close(&closed.history, &closed.stats, &closed.vault_stats);
    violations.extend(stale.map(|stale| Violation {
        invariant: Invariant::ChainIntegrity,
        ops: Vec::new(),
        reason: format!("the harness: {stale}"),
    }));
    // Beside replicas at full load, and with nothing wrong.
    if config.quiet {
        violations.extend(closed.foreign_failures.iter().map(|failure| Violation {
            invariant: Invariant::NoProgress,
            ops: Vec::new(),
            reason: format!("a foreign writer failed though nothing was wrong: {failure}"),
        }));
    }
    WorldReport {
        config,
        begun: shared.begun(),
        strikes: shared.weather(weather::Weather::take_strikes),
        seen: closed.seen,
        violations,
        outcomes: closed.outcomes,
        vault_outcomes: closed.vault_outcomes,
        faults: shared.weather(|weather| weather.strikes().clone()),
        marks,
        stats: closed.stats,
        vault_stats: closed.vault_stats,
        simulated,
        trace_hash: closed.trace_hash,
        trace: closed.trace,
        history: closed.history,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
