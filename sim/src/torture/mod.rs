//! The workloads and checks of the worlds against real redis-server processes.
//! Only operations and the plan of faults are deterministic.
//!
//! Time is divided into rounds: one seeded run each on an empty redis-server,
//! with knobs drawn from the seed, faults, a time without faults in which every
//! replica has to make progress, and an evaluation.

mod frame;
mod loss;
mod nemesis;
mod operator;
mod plan;
mod proxy;
mod replica;
mod server;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use haechi_history::Durability;
use haechi_store_redis::{
    clock::{Clock, SystemClock},
    redis::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix},
};
use redis_sim::Reply;
use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
    task::JoinSet,
};

pub use plan::is_supported;

use crate::{
    mutants::Variant,
    plan::{
        DurabilityKnobs, FaultKind, Knobs, LossFault, Topology, Workload, WorldOptions, drawn,
        generator,
    },
    record::{RunRecorder, RunReport, Source, StoreKeys, evaluate},
};
use loss::Servers;
use nemesis::{Nemesis, until};
use operator::Operator;
use plan::{Plan, Tally};
use proxy::ProxyLink;
use replica::{RealHost, Replica};
use server::Server;

/// How long faults strike in a round.
const ROUND: Duration = Duration::from_secs(5);

/// The minimum length of a round.
const MIN_ROUND: Duration = Duration::from_millis(500);

/// The most operations of a replica in a round: the history is checked as a
/// whole.
const MAX_OPS: usize = 4_000;

/// The operations of a replica in a round in which keys are lost one by one.
const SPARING_OPS: usize = 40;

/// How long a write waits for replicas or the disk, in milliseconds.
const PATIENCE_MS: u64 = 300;

/// Why nothing can be as durable as fsync.
const NO_WAITAOF: &str = "the server has no WAITAOF, so nothing can be asked to be on its disk; give \
                          redis 7.2 or later, or valkey, as --redis-server";

/// How often the state of a round is polled.
const POLL: Duration = Duration::from_millis(10);

/// What the caller decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// The redis-server program.
    pub redis_server: PathBuf,
    /// The total time with faults.
    pub length: Duration,
    /// The seed of the first round; each round has the next.
    pub seed: u64,
    /// Replicas; drawn from 2 to 5 if not given.
    pub replicas: Option<usize>,
    /// What the replicas do.
    pub workload: Workload,
    /// Faults that may strike; those that torture cannot carry out are left
    /// out.
    pub faults: Vec<FaultKind>,
    /// How durable an append or a mutation must be, if more than the primary's memory.
    pub durability: Option<Durability>,
    /// The store that is tested.
    pub variant: Variant,
}

/// Runs rounds until the time is over or a round has shown a violation; passes
/// each report to `each`.
///
/// # Errors
///
/// When there is no redis-server, or starting processes, threads or sockets
/// fails.
pub async fn torture(options: &Options, mut each: impl FnMut(RunReport)) -> io::Result<()> {
    let clock = SystemClock::new();
    let mut seed = options.seed;
    let mut left = options.length;
    while let Some(length) = round_of(left) {
        let knobs = loop {
            let knobs = Knobs::draw(seed, &world(options));
            // Timeouts of seconds are too long for a round.
            if !knobs.production_times {
                break knobs;
            }
            seed = seed.wrapping_add(1);
        };
        let round = Box::pin(round(knobs, options, length, &clock)).await?;
        let is_ok = round.is_ok();
        each(round);
        if !is_ok {
            break;
        }
        left = left.saturating_sub(length);
        seed = seed.wrapping_add(1);
    }
    Ok(())
}

/// The length of the next round, if there is one: the last includes a remainder too short for a
/// round.
fn round_of(left: Duration) -> Option<Duration> {
    match left {
        _ if left < MIN_ROUND => None,
        _ if left < ROUND + MIN_ROUND => Some(left),
        _ => Some(ROUND),
    }
}

/// How many rounds [`torture`] runs in this time, if none shows a violation.
#[must_use]
pub fn rounds(length: Duration) -> u64 {
    let next = |left: &Duration| round_of(*left).map(|round| left.saturating_sub(round));
    std::iter::successors(Some(length), next).count() as u64 - 1
}

fn world(options: &Options) -> WorldOptions {
    WorldOptions {
        replicas: options.replicas,
        ops: MAX_OPS,
        workload: options.workload,
        load: Some(0),
        durability: false,
        topology: Some(Topology::Server),
        ..WorldOptions::default()
    }
}

/// The operations of the processes, until `goes_on` is false.
fn sources(knobs: &Knobs, goes_on: &Arc<AtomicBool>) -> Vec<Source> {
    let source = |process| {
        let goes_on = goes_on.clone();
        let operations = drawn(knobs, process).take_while(move |_| goes_on.load(Ordering::Relaxed));
        Source::Drawn(Box::new(operations))
    };
    (0..knobs.processes()).map(source).collect()
}

async fn round(
    mut knobs: Knobs,
    options: &Options,
    length: Duration,
    clock: &SystemClock,
) -> io::Result<RunReport> {
    knobs.quiet = false;
    knobs.anchors = None;
    if let Some(vault) = &mut knobs.vault {
        vault.loaded = 0;
    }
    knobs.real_time = true;
    let mut plan = Plan::draw(&knobs, &options.faults, length);
    if let Some(vault) = knobs.vault.as_mut().filter(|_| plan.losses().count() > 0) {
        vault.keep_all_receipts();
    }
    if plan.losses().any(|(kind, _)| kind.strikes_keys()) {
        be_sparing(&mut knobs, length);
    }
    let server = Server::start(&options.redis_server)?;
    let promotes = |(kind, _)| kind == LossFault::LaggingReplicaPromoted;
    let count = match options.durability {
        Some(Durability::Replicas(count)) => count as usize,
        _ => usize::from(plan.losses().any(promotes)),
    };
    if options.durability == Some(Durability::Fsync) && !server.has_waitaof()? {
        return Err(io::Error::new(io::ErrorKind::Unsupported, NO_WAITAOF));
    }
    knobs.durability = options.durability.map(|level| DurabilityKnobs {
        level,
        valkey: level == Durability::Fsync,
        replicas: count,
        delay: 0,
        patience: PATIENCE_MS,
    });
    let mut standbys = Vec::new();
    for _ in 0..count {
        standbys.push(server.start_standby(&options.redis_server)?);
    }
    if count > 0 {
        // Who promotes counts on all replicas.
        plan.lagging.clear();
    }
    let redis_replica = match plan.lagging[..] {
        [] => None,
        _ => Some(server.start_replica(&options.redis_server)?),
    };
    let primary = server.port();
    let lagging = redis_replica.as_ref().map_or(0, Server::port);
    if let Some(vault) = &knobs.vault {
        let (keys, kept) = (
            VaultKeys::new(VaultPrefix::default()),
            vault.receipts.to_string(),
        );
        let stored = server.run(&["HSET", &keys.receipts, "#kept", &kept]);
        stored.map_err(io::Error::other)?;
    }
    let tally = Tally::default();
    let goes_on = Arc::new(AtomicBool::new(true));
    let began = clock.now();
    let time = {
        let clock = clock.clone();
        Box::new(move || clock.now() - began)
    };
    let recorder = RunRecorder::in_time(time, sources(&knobs, &goes_on));
    recorder.log().durability = options.durability;

    let mut proxies = JoinSet::new();
    let (mut links, mut ports) = (Vec::new(), Vec::new());
    for process in 0..knobs.processes() {
        let rng = generator(knobs.seed, &format!("link of r{process}"));
        let link = ProxyLink::new(rng, primary, lagging, clock.clone(), tally.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        ports.push(listener.local_addr()?.port());
        proxies.spawn(proxy::run(listener, link.clone()));
        links.push(link);
    }
    let host = RealHost::new(recorder.clone(), &ports, clock.clone())?;
    let store = options.variant.plant().map_err(io::Error::other)?;
    let replicas = (0..knobs.processes())
        .map(|process| Replica::start(host.clone(), knobs.clone(), process, store.clone()))
        .collect::<io::Result<Vec<_>>>()?;

    let mut servers = Servers {
        primary: server,
        standbys,
    };
    let nemesis = Nemesis {
        locks: locks(options.workload),
        keys: StoreKeys::new(&knobs),
        links: &links,
        recorder: &recorder,
        tally: &tally,
        clock,
        primary: watch::channel(primary).0,
        alone: Mutex::new(()),
    };
    let operator = Operator {
        nemesis: &nemesis,
        replicas: &replicas,
    };
    let strike = async {
        let (struck, disturbed, (), ()) = tokio::join!(
            nemesis.strike_server(&mut servers, &plan.server),
            nemesis.strike_replicas(&replicas, &plan.replicas),
            nemesis.lead_to_replica(redis_replica.as_ref(), &plan.lagging),
            until(clock, began + length),
        );
        struck.and(disturbed)?;
        goes_on.store(false, Ordering::Relaxed);
        links.iter().for_each(ProxyLink::heal);
        servers.primary.heal(clock).await?;
        servers.follow()?;
        recorder.heal();
        Ok(progress(&recorder, &knobs, clock).await)
    };
    let stuck = tokio::select! {
        stuck = strike => stuck,
        never = operator.run(knobs.seed) => match never {},
    };
    let stuck: Option<String> = stuck.map_err(|error: io::Error| error)?;
    drop(redis_replica);
    servers.standbys.clear();
    let server = servers.primary;
    for replica in replicas {
        replica.end()?;
    }
    proxies.shutdown().await;
    // Commands already sent run before the state is read.
    let end = clock.now() + Duration::from_secs(5);
    while !server.is_quiet() && clock.now() < end {
        clock.sleep(POLL).await;
    }
    let mut failed = None;
    let mut query = |words: &[&str]| match server.run(words) {
        Ok(value) => server::reply(value),
        Err(error) => {
            failed = Some(error);
            Reply::Nil
        }
    };
    let closed = evaluate(&recorder, &mut query, &knobs, tally.counts(), stuck);
    match failed {
        Some(error) => Err(io::Error::other(error)),
        None => Ok(closed.report),
    }
}

/// Has as many operations as a world, spread over the round: where versions do not go back
/// together with the values, the order of more could not be decided.
fn be_sparing(knobs: &mut Knobs, length: Duration) {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    knobs.ops = SPARING_OPS;
    knobs.think = 2 * length * knobs.writers as u64 / SPARING_OPS as u64;
    if let Some(vault) = &mut knobs.vault {
        vault.foreign_ops = SPARING_OPS / 4;
    }
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

/// Waits until every replica has made progress; returns which did not.
async fn progress(recorder: &RunRecorder, knobs: &Knobs, clock: &SystemClock) -> Option<String> {
    let healed = recorder.now();
    loop {
        if (0..knobs.processes()).all(|process| recorder.has_proved_progress(process)) {
            return None;
        }
        let stuck = recorder.stuck(healed, knobs.longest_deadline());
        if stuck.is_some() {
            return stuck;
        }
        clock.sleep(POLL).await;
    }
}
