//! One world: replicas that run the production store, a simulated Redis that
//! runs the production Lua, and a nemesis, all from one seed.
//!
//! Inside a world there is no thread, no wall clock and no unseeded randomness:
//! one seed, one trace. It uses no other world, no files and no terminal.

mod clock;
mod cluster;
mod command_faults;
mod data_loss;
mod data_nodes;
mod failovers;
mod handle;
mod link_faults;
mod loader;
mod lock_watch;
mod nemesis;
mod net;
mod operator;
mod operator_host;
mod sentinels;
mod server;
mod server_faults;
mod state;
mod tenures;

use std::time::{Duration, UNIX_EPOCH};

use haechi_store_redis::redis::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix};
use redis_sim::Reply;

use crate::{
    mutants::{StoreUnderTest, Variant},
    plan::{Fault, Knobs, Schedule, TICK_MS, Topology, WorldOptions},
    record::{HarnessError, Marks, RunReport, evaluate, replica_name},
    workload,
};
pub(crate) use clock::{EPOCH, PauseGate, elapsed, sleep};
pub(crate) use command_faults::{CommandFaults, brief, what_of_command, what_of_reply};
pub(crate) use data_loss::take_data;
pub(crate) use data_nodes::PROMOTED;
pub(crate) use link_faults::{calm_link, strike_link};
pub use net::SimConnection;
pub(crate) use net::{Power, REDIS_HOST, REDIS_PORT, SimNodes};
pub(crate) use server_faults::{disturb, switch_mode};
pub(crate) use tenures::Tenure;

use handle::WorldHandle;
use lock_watch::LockWatch;
use nemesis::Nemesis;
use operator::Operator;

/// The report of one world.
#[derive(Debug)]
pub struct WorldReport {
    /// The run's report.
    pub run: RunReport,
    /// The knobs that were drawn.
    pub knobs: Knobs,
    /// When each process began each of its operations, in milliseconds.
    pub begun: Vec<Vec<Option<u64>>>,
    /// What struck single commands, each as a fault of its own.
    pub strikes: Vec<Fault>,
    /// Who had which lock, and whether that is the vault's.
    pub(crate) tenures: Vec<(bool, Vec<Tenure>)>,
    /// The state after the event that was to be observed.
    pub observed: Option<String>,
    /// The coverage marks reached, and how often.
    pub marks: Marks,
    /// Simulated time.
    pub simulated: Duration,
    /// A hash of everything that happened, in order.
    pub trace_hash: u64,
    /// Everything that happened, if it was to be kept.
    pub trace: Vec<String>,
}

/// What to keep of a world besides its report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capture {
    /// The trace's lines.
    pub trace: bool,
    /// The state of the world after this event of the trace, counted from 1.
    pub state_after: Option<u64>,
}

/// Runs the world of a seed.
#[must_use]
pub fn run(seed: u64, options: &WorldOptions, variant: Variant, capture: Capture) -> WorldReport {
    carry_out(&Schedule::draw(seed, options), variant, capture)
}

/// Runs the world of a schedule.
#[must_use]
pub fn carry_out(schedule: &Schedule, variant: Variant, capture: Capture) -> WorldReport {
    let knobs = schedule.knobs.clone();
    let (store, stale) = match variant.plant() {
        Ok(store) => (store, None),
        Err(stale) => (StoreUnderTest::default(), Some(stale)),
    };
    let world = WorldHandle::new(schedule, capture);
    let mut sim = turmoil::Builder::new()
        .epoch(UNIX_EPOCH + Duration::from_secs(1_760_000_000))
        .rng_seed(knobs.seed)
        .tick_duration(Duration::from_millis(TICK_MS))
        .simulation_duration(Duration::MAX)
        .min_message_latency(Duration::from_millis(knobs.latency.0))
        .max_message_latency(Duration::from_millis(knobs.latency.1))
        .tcp_capacity(4096)
        .build();
    for node in 0..world.all_servers().len() {
        let world = world.clone();
        sim.host(net::DATA_HOSTS[node], move || {
            server::run(world.clone(), node)
        });
    }
    if knobs.topology == Topology::Sentinel {
        for (number, host) in net::SENTINEL_HOSTS.into_iter().enumerate() {
            let world = world.clone();
            sim.host(host, move || sentinels::run(world.clone(), number));
        }
    }
    for process in 0..knobs.processes() {
        let (world, knobs, store) = (world.clone(), knobs.clone(), store.clone());
        sim.host(replica_name(process), move || {
            let life = workload::run(world.clone(), knobs.clone(), process, store.clone());
            async move {
                Box::pin(life).await;
                Ok(())
            }
        });
    }

    for operator in 0..knobs.operator_count() {
        let (world, knobs, store) = (world.clone(), knobs.clone(), store.clone());
        sim.host(operator_host::operator_name(operator), move || {
            let life = operator_host::run(world.clone(), knobs.clone(), operator, store.clone());
            async move {
                life.await;
                Ok(())
            }
        });
    }

    let mut locks = Vec::new();
    let mut watched = Vec::new();
    let ttl = knobs.lock.map_or(0, |(ttl, ..)| ttl);
    if knobs.workload.has_chain() {
        locks.push(AuditKeys::new(AuditPrefix::default()).lock);
        watched.push(LockWatch::new(locks[0].clone(), false, ttl));
    }
    if knobs.workload.has_vault() {
        let lock = VaultKeys::new(VaultPrefix::default()).lock;
        watched.push(LockWatch::new(lock.clone(), true, ttl));
        locks.push(lock);
    }
    world.watch_locks(watched);
    if let Some(vault) = &knobs.vault {
        let (keys, kept) = (
            VaultKeys::new(VaultPrefix::default()),
            vault.receipts.to_string(),
        );
        world.run(&[b"HSET", keys.receipts.as_bytes(), b"#kept", kept.as_bytes()]);
        loader::load(&world, vault);
    }
    let mut nemesis = Nemesis::new(&knobs, locks);
    let mut operator = Operator::new(&knobs);
    let mut stuck = None;
    let mut healed_at = None;
    loop {
        let now = sim.elapsed();
        world.set_now(now);
        if healed_at.is_none() {
            nemesis.step(&mut sim, &world, millis(now));
            // No operation is left, or no fault.
            if world.is_idle() || nemesis.is_done() {
                nemesis.heal(&mut sim, &world);
                world.heal();
                healed_at = Some(now);
            }
        }
        operator.step(&mut sim, &world, &mut nemesis, millis(now));
        if let Err(error) = sim.step() {
            stuck = Some(format!("a host of the simulation failed: {error}"));
            break;
        }
        if (0..knobs.processes()).all(|process| world.has_proved_progress(process)) {
            if world.command_faults(|faults| faults.is_awaited(millis(now))) {
                continue;
            }
            break;
        }
        if let Some(healed) = healed_at {
            stuck = world.stuck(healed, knobs.longest_deadline());
            if stuck.is_some() {
                break;
            }
        }
    }

    let simulated = sim.elapsed();
    world.end();
    // Dropped first: actors add their statistics when they are dropped.
    drop(sim);
    let coverage = world.command_faults(CommandFaults::take_coverage);
    world.keep_anchor_files();
    let mut query = |words: &[&str]| {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        world.run(&words).unwrap_or(Reply::Nil)
    };
    let faults = world.command_faults(|faults| faults.counts().clone());
    world.check_connections();
    let closed = evaluate(&world, &mut query, &knobs, faults, stuck);
    let mut run = closed.report;
    let stale = stale.map(|stale| HarnessError::PlantedBug(stale.to_string()));
    run.harness_errors.extend(stale);
    WorldReport {
        marks: coverage.close(
            &run.history,
            &world.called(),
            &world.situations(),
            &run.stats,
            &run.vault_stats,
        ),
        run,
        knobs,
        begun: world.begun(),
        strikes: world.command_faults(CommandFaults::take_strikes),
        tenures: world.tenures(),
        observed: closed.observed,
        simulated,
        trace_hash: closed.trace_hash,
        trace: closed.trace,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
