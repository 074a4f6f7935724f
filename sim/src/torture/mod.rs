//! The workloads of the worlds and their checks against real redis-server
//! processes. Nothing here is deterministic but what is drawn: operations and
//! the plan of faults.
//!
//! Time is cut into rounds. A round is to torture what a world is to a
//! simulation: a seed, knobs drawn from it, a server with no data, faults, a
//! time in which all is well again and every replica has to get something
//! done, and a judgement.
//!
//! It must not know what a replica does, or what has to hold: both are the
//! worlds'.

mod frame;
mod nemesis;
mod plan;
mod proxy;
mod replica;
mod server;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    audit::AuditStats,
    clock::{Clock, SystemClock},
    redis::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix},
    vault::VaultStats,
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    mutants::Variant,
    schedule,
    world::{Config, Ledger, Outcomes, Source, Workload, WorldOptions, generator, judge},
};
use haechi_history::History;
use haechi_history::check::Violation;
use plan::{Plan, Tally};
use proxy::Way;
use redis_sim::Reply;
use replica::{Real, Replica};
use server::Server;

/// How long faults strike in a round.
const ROUND: Duration = Duration::from_secs(5);

/// A round that would be shorter is not begun.
const LEAST: Duration = Duration::from_millis(500);

/// The most operations of a replica in a round: what is left of a chain is
/// read and judged as a whole.
const MOST_OPS: usize = 4_000;

/// How often the state of a round is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What the person who runs torture decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub redis_server: PathBuf,
    /// How long faults strike, in all.
    pub length: Duration,
    /// The seed of the first round; each round has the next.
    pub seed: u64,
    /// Replicas; drawn from 2 to 5 if not given.
    pub replicas: Option<usize>,
    /// What the replicas do.
    pub workload: Workload,
    /// The store that is tested.
    pub variant: Variant,
}

/// What came of one round.
#[derive(Debug)]
pub struct Round {
    /// Its seed.
    pub seed: u64,
    /// What does not hold; empty if all does.
    pub violations: Vec<Violation>,
    /// How the operations ended.
    pub outcomes: Outcomes,
    /// How those of the vault ended.
    pub vault_outcomes: Outcomes,
    /// How often each fault struck.
    pub faults: BTreeMap<&'static str, u64>,
    /// What the sinks counted, all together.
    pub stats: AuditStats,
    /// What the token stores counted, all together.
    pub vault_stats: VaultStats,
    /// What the replicas asked and were told.
    pub history: History,
}

/// Tortures the store until the time is over or a round has shown a violation;
/// `each` is given every round.
///
/// # Errors
///
/// When there is no redis-server, or the system refuses what torture needs.
pub async fn torture(options: &Options, mut each: impl FnMut(Round)) -> io::Result<()> {
    let clock = SystemClock::new();
    let mut seed = options.seed;
    let mut left = options.length;
    while left >= LEAST {
        // The last round takes what would be too short for one more.
        let length = if left < ROUND + LEAST { left } else { ROUND };
        let config = loop {
            let config = Config::draw(seed, &world(options));
            // Time-outs of seconds leave nothing of a round.
            if !config.production_times {
                break config;
            }
            seed = seed.wrapping_add(1);
        };
        let round = Box::pin(round(config, options, length, &clock)).await?;
        let is_ok = round.violations.is_empty();
        each(round);
        if !is_ok {
            break;
        }
        left = left.saturating_sub(length);
        seed = seed.wrapping_add(1);
    }
    Ok(())
}

fn world(options: &Options) -> WorldOptions {
    WorldOptions {
        replicas: options.replicas,
        ops: MOST_OPS,
        workload: options.workload,
        ..WorldOptions::default()
    }
}

/// What replicas do until they are told that it is enough.
fn sources(config: &Config, goes_on: &Arc<AtomicBool>) -> Vec<Source> {
    let source = |process| {
        let goes_on = goes_on.clone();
        let operations =
            schedule::drawn(config, process).take_while(move |_| goes_on.load(Ordering::Relaxed));
        Source::Drawn(Box::new(operations))
    };
    (0..config.processes()).map(source).collect()
}

async fn round(
    mut config: Config,
    options: &Options,
    length: Duration,
    clock: &SystemClock,
) -> io::Result<Round> {
    config.quiet = false;
    let mut server = Server::start(&options.redis_server)?;
    let tally = Tally::default();
    let goes_on = Arc::new(AtomicBool::new(true));
    let began = clock.now();
    let time = {
        let clock = clock.clone();
        Box::new(move || clock.now() - began)
    };
    let ledger = Ledger::in_time(time, sources(&config, &goes_on));

    let mut proxies = JoinSet::new();
    let (mut ways, mut ports) = (Vec::new(), Vec::new());
    for process in 0..config.processes() {
        let rng = generator(config.seed, &format!("way of r{process}"));
        let way = Way::new(rng, clock.clone(), tally.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        ports.push(listener.local_addr()?.port());
        proxies.spawn(proxy::run(listener, server.port(), way.clone()));
        ways.push(way);
    }
    let host = Real::new(ledger.clone(), &ports, clock.clone())?;
    let store = options.variant.plant().map_err(io::Error::other)?;
    let replicas = (0..config.processes())
        .map(|process| Replica::start(host.clone(), config.clone(), process, store.clone()))
        .collect::<io::Result<Vec<_>>>()?;

    let plan = Plan::draw(&config, length);
    let locks = locks(options.workload);
    let (struck, (), ()) = tokio::join!(
        nemesis::strike_server(&mut server, &plan.server, &locks, &tally, clock),
        nemesis::strike_replicas(&replicas, &ways, &plan.replicas, &tally, clock),
        nemesis::until(clock, began + length),
    );
    struck?;

    goes_on.store(false, Ordering::Relaxed);
    ways.iter().for_each(Way::heal);
    server.heal(clock).await?;
    ledger.heal();
    let stuck = progress(&ledger, &config, clock).await;
    for replica in replicas {
        replica.end()?;
    }
    proxies.shutdown().await;
    // What was sent runs before the state is looked at.
    let patience = clock.now() + Duration::from_secs(5);
    while !server.is_quiet() && clock.now() < patience {
        clock.sleep(LOOK).await;
    }
    let mut failed = None;
    let mut ask = |words: &[&str]| match server.run(words) {
        Ok(value) => server::reply(value),
        Err(error) => {
            failed = Some(error);
            Reply::Nil
        }
    };
    let (closed, violations) = judge(&ledger, &mut ask, options.workload, stuck);
    if let Some(error) = failed {
        return Err(io::Error::other(error));
    }
    Ok(Round {
        seed: config.seed,
        violations,
        outcomes: closed.outcomes,
        vault_outcomes: closed.vault_outcomes,
        faults: tally.counts(),
        stats: closed.stats,
        vault_stats: closed.vault_stats,
        history: closed.history,
    })
}

fn locks(workload: Workload) -> Arc<[String]> {
    let mut locks = Vec::new();
    if workload.has_chain() {
        locks.push(AuditKeys::new(AuditPrefix::default()).lock);
    }
    if workload.has_vault() {
        locks.push(VaultKeys::new(VaultPrefix::default()).lock);
    }
    locks.into()
}

/// Waits until every replica has got something done; says who does not.
async fn progress(ledger: &Ledger, config: &Config, clock: &SystemClock) -> Option<String> {
    let healed = ledger.now();
    loop {
        if (0..config.processes()).all(|process| ledger.is_alive(process)) {
            return None;
        }
        let stuck = ledger.stuck(healed, config);
        if stuck.is_some() {
            return stuck;
        }
        clock.sleep(LOOK).await;
    }
}
