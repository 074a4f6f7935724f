//! One world: replicas that run the production store, a simulated Redis that
//! runs the production Lua, and a nemesis, all from one seed.
//!
//! Inside a world there is no thread, no wall clock and no unseeded chance:
//! one seed, one trace. A world knows nothing of other worlds, of files or of
//! terminals.

mod clock;
mod config;
mod coverage;
mod judge;
mod log;
mod nemesis;
mod net;
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
    audit::Stats,
    redis::{AuditKeys, VaultKeys},
    vault::VaultStats,
};

pub use config::{Config, WorldOptions};
pub use coverage::{Mark, Marks};
pub use log::Outcomes;
pub use vault::{Action, VaultKnobs, Workload};

pub(crate) use clock::{SeededEntropy, SimClock, generator};
pub(crate) use config::LONGEST_MS;
pub(crate) use net::SimConnect;

use crate::{
    check::{Invariant, Violation},
    fault::{Fault, FaultKind},
    history::{FinalState, History},
    mutants::Variant,
    redis::{self, Redis},
    schedule::Schedule,
};
use nemesis::Nemesis;
use shared::{Shared, replica_name};

/// Simulated time between two looks at the world, in milliseconds. Every host is polled at
/// every tick, so a finer one costs time and buys nothing: latencies are
/// whole milliseconds.
const TICK_MS: u64 = 5;

/// How long a replica of a healed world may go without getting anything done,
/// beyond the deadlines it was drawn with.
const PROGRESS_BOUND: Duration = Duration::from_secs(30);

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
    pub stats: Stats,
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
    let shared = Shared::new(schedule, Redis::new(redis::Config::default()), watch);
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
        let (shared, config) = (shared.clone(), config.clone());
        sim.host(replica_name(replica), move || {
            let (shared, config) = (shared.clone(), config.clone());
            async move {
                if replica < config.replicas {
                    replica::run(shared, config, replica, variant).await;
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
        let deadline = config
            .vault
            .as_ref()
            .map_or(config.deadline, |vault| vault.deadline);
        let bound = PROGRESS_BOUND + Duration::from_millis(deadline) * 3;
        // What it was to do anyway may take longer, as long as it gets on.
        let waits = |replica: &usize| {
            let since = healed_at.map(|healed| healed.max(shared.got_on(*replica)));
            !shared.is_alive(*replica) && since.is_some_and(|since| now > since + bound)
        };
        let waiting: Vec<_> = (0..config.processes())
            .filter(waits)
            .map(replica_name)
            .collect();
        if !waiting.is_empty() {
            stuck = Some(format!(
                "for {} ms after the last fault healed, {} got nothing done",
                millis(bound),
                waiting.join(", ")
            ));
            break;
        }
    }

    let simulated = sim.elapsed();
    // The hosts go first: what they hold must not outlive the world.
    drop(sim);
    let mut violations = Vec::new();
    let mut state = FinalState::default();
    if workload.has_chain() {
        let (chain, broken) = judge::chain(&shared, &audit_keys);
        violations.extend(broken);
        state.chain = Some(chain);
    }
    if workload.has_vault() {
        let vault = vault::final_vault(&shared, &vault_keys);
        for (token, value) in &vault.tokens {
            if token.contains(vault::PLAINTEXT) || value.contains(vault::PLAINTEXT) {
                violations.push(Violation {
                    invariant: Invariant::Leak,
                    ops: Vec::new(),
                    reason: format!("{token} holds a plaintext outside of its envelope"),
                });
            }
        }
        let tokens = vault.tokens.into_iter();
        state.tokens = Some(
            tokens
                .map(|(token, value)| (token.into(), value.into()))
                .collect(),
        );
        state.version = Some(vault.version);
    }
    shared.final_state(state);
    let watch = shared.weather(weather::Weather::take_watch);
    let closed = shared.close();
    let marks = watch.close(&closed.history, &closed.stats, &closed.vault_stats);
    match crate::check::check(&closed.history) {
        Ok(verdict) => violations.extend(verdict.violations),
        Err(error) => violations.push(Violation {
            invariant: Invariant::ChainIntegrity,
            ops: Vec::new(),
            reason: format!("the history cannot be judged: {error}"),
        }),
    }
    if let Some(reason) = stuck {
        violations.push(Violation {
            invariant: Invariant::NoProgress,
            ops: Vec::new(),
            reason,
        });
    }
    // Beside replicas at full load, and with nothing wrong.
    if config.quiet {
        violations.extend(closed.foreign_failures.iter().map(|failure| Violation {
            invariant: Invariant::NoProgress,
            ops: Vec::new(),
            reason: format!("a foreign writer failed though nothing was wrong: {failure}"),
        }));
    }
    violations.extend(closed.undecryptable.into_iter().map(|reason| Violation {
        invariant: Invariant::UndecryptableToken,
        ops: Vec::new(),
        reason,
    }));
    if closed.stray_attempts > 0 {
        violations.push(Violation {
            invariant: Invariant::PhantomAppend,
            ops: Vec::new(),
            reason: format!(
                "the harness lost sight of {} attempts",
                closed.stray_attempts
            ),
        });
    }
    if let Some(malformed) = closed.malformed {
        violations.push(Violation {
            invariant: Invariant::ChainIntegrity,
            ops: Vec::new(),
            reason: format!("the harness recorded a malformed history: {malformed}"),
        });
    }
    WorldReport {
        config,
        begun: shared.begun(),
        strikes: shared.weather(weather::Weather::take_strikes),
        seen: closed.seen,
        violations,
        outcomes: closed.outcomes,
        vault_outcomes: closed.vault_outcomes,
        faults: closed.faults,
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
