//! Applies the faults of the plan to redis-server, the links to it, and the
//! replicas.

use std::{collections::VecDeque, future::Future, io, sync::Arc, time::Duration};

use haechi_store_redis::clock::{Clock, SystemClock};
use redis::{Connection, RedisResult, Value};
use tokio::sync::{Mutex, watch};

use super::{
    loss::{Kept, Servers, lead_time},
    plan::Tally,
    proxy::ProxyLink,
    replica::{Order, Replica},
    server::{Server, query},
};
use crate::{
    plan::{Fault, FaultKind, LinkFault, LockFault, LossFault, ProcessFault, ServerFault},
    record::{RunRecorder, StoreKeys},
};

/// How long the server may take to answer the nemesis.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a lock that is never granted is taken again.
const RETAKE: Duration = Duration::from_millis(20);

/// How long a replica of the server may take to catch up, and how often that is
/// checked.
const CATCHING_UP: Duration = Duration::from_secs(1);
const CHECK: Duration = Duration::from_millis(20);

/// A primary that does not exist: its replica keeps its data.
pub(super) const NO_PRIMARY: [&str; 3] = ["REPLICAOF", "127.0.0.1", "1"];

/// Blocks the server for about so many milliseconds: the clock of scripts
/// stands still while they run.
const SPIN: &str = "for _ = 1, tonumber(ARGV[1]) * 100000 do end";

/// What the nemesis uses in a round.
pub(super) struct Nemesis<'a> {
    pub(super) locks: Arc<[String]>,
    pub(super) keys: StoreKeys,
    pub(super) links: &'a [ProxyLink],
    pub(super) recorder: &'a RunRecorder,
    pub(super) tally: &'a Tally,
    pub(super) clock: &'a SystemClock,
    /// The port of the primary.
    pub(super) primary: watch::Sender<u16>,
    /// Held by who changes the data of the server besides the replicas.
    pub(super) alone: Mutex<()>,
}

/// What is to be kept for later faults of a plan, and what was.
#[derive(Default)]
struct Keeping {
    /// When, for which fault.
    due: VecDeque<(u64, LossFault, Fault)>,
    kept: Vec<(Fault, Kept)>,
}

impl Keeping {
    fn new(plan: &[Fault]) -> Self {
        let due = plan.iter().filter_map(|fault| {
            let FaultKind::LossFault(kind) = fault.kind else {
                return None;
            };
            let at = fault.at.saturating_sub(lead_time(kind, fault)?);
            Some((at, kind, *fault))
        });
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(at, ..)| *at);
        Self {
            due: due.into(),
            kept: Vec::new(),
        }
    }

    /// The next that is to be kept by this time.
    fn next_until(&mut self, time: u64) -> Option<(u64, LossFault, Fault)> {
        let is_due = self.due.front().is_some_and(|(at, ..)| *at <= time);
        is_due.then(|| self.due.pop_front()).flatten()
    }

    /// What was kept for this fault.
    fn take(&mut self, fault: &Fault) -> Option<Kept> {
        let place = self.kept.iter().position(|(other, _)| other == fault)?;
        Some(self.kept.swap_remove(place).1)
    }
}

impl Nemesis<'_> {
    /// Applies the server's faults one after the other, until the plan is done.
    pub(super) async fn strike_server(
        &self,
        servers: &mut Servers,
        plan: &[Fault],
    ) -> io::Result<()> {
        let began = self.clock.now();
        let mut keeping = Keeping::new(plan);
        for (place, fault) in plan.iter().enumerate() {
            while let Some((at, kind, loss)) = keeping.next_until(fault.at) {
                until(self.clock, began + millis(at)).await;
                let kept = self.keep(servers, kind, &loss).await;
                keeping.kept.extend(kept.map(|kept| (loss, kept)));
            }
            until(self.clock, began + millis(fault.at)).await;
            if let FaultKind::LossFault(kind) = fault.kind {
                let kept = keeping.take(fault);
                if self.lose(servers, kind, fault, kept).await? {
                    self.tally.struck(fault.kind);
                    // What was kept of before is not put in place later: a replica does not
                    // have it any more.
                    servers.follow()?;
                    keeping = Keeping::new(&plan[place + 1..]);
                }
                continue;
            }
            let server = &mut servers.primary;
            let lasts = millis(fault.lasts);
            match fault.kind {
                FaultKind::ServerFault(ServerFault::RedisKilled) => {
                    server.kill()?;
                    self.tally.struck(fault.kind);
                    self.clock.sleep(lasts).await;
                    server.restart()?;
                }
                FaultKind::ServerFault(ServerFault::RedisRestart) => {
                    server.shut_down()?;
                    self.tally.struck(fault.kind);
                    self.clock.sleep(lasts).await;
                    server.restart()?;
                }
                FaultKind::ServerFault(ServerFault::RedisStopped) => {
                    server.stop()?;
                    self.tally.struck(fault.kind);
                    self.clock.sleep(lasts).await;
                    server.resume()?;
                }
                FaultKind::ServerFault(kind) => self.by_command(server, fault, kind).await?,
                FaultKind::LockFault(LockFault::LockNeverGranted) => {
                    let end = self.clock.now() + lasts;
                    while self.clock.now() < end {
                        self.change_locks(server, fault, LockFault::LockNeverGranted)
                            .await;
                        self.clock.sleep(RETAKE).await;
                    }
                }
                FaultKind::LockFault(kind) => self.change_locks(server, fault, kind).await,
                FaultKind::LinkFault(_)
                | FaultKind::CommandFault(_)
                | FaultKind::ProcessFault(_)
                | FaultKind::LossFault(_) => return Err(misplaced(fault)),
            }
        }
        Ok(())
    }

    /// Applies a fault by commands, and undoes it.
    async fn by_command(
        &self,
        server: &mut Server,
        fault: &Fault,
        kind: ServerFault,
    ) -> io::Result<()> {
        let spin = fault.amount.to_string();
        let kill: &[&str] = &["CLIENT", "KILL", "TYPE", "normal"];
        let (begin, end): (&[&[&str]], &[&str]) = match kind {
            ServerFault::ScriptFlush => (&[&["SCRIPT", "FLUSH"]], &[]),
            ServerFault::Oom => (
                &[&["CONFIG", "SET", "maxmemory", "1"]],
                &["CONFIG", "SET", "maxmemory", "0"],
            ),
            ServerFault::Readonly => (&[&NO_PRIMARY], &["REPLICAOF", "NO", "ONE"]),
            ServerFault::MaxClients => (
                &[&["CONFIG", "SET", "maxclients", "1"], kill],
                &["CONFIG", "SET", "maxclients", "10000"],
            ),
            ServerFault::SlowScript => (&[&["EVAL", SPIN, "0", &spin]], &[]),
            ServerFault::ClientsKilled => (&[kill], &[]),
            ServerFault::Busy
            | ServerFault::Loading
            | ServerFault::Misconf
            | ServerFault::Noperm
            | ServerFault::RedisRestart
            | ServerFault::RedisKilled
            | ServerFault::RedisStopped
            | ServerFault::SlotMigration
            | ServerFault::SentinelsKilled
            | ServerFault::ServerClockJump => return Err(misplaced(fault)),
        };
        let begin: Vec<Vec<String>> = begin.iter().map(|words| owned(words)).collect();
        let begun = self.on_server(server, move |connection| {
            for words in &begin {
                query(connection, &borrowed(words))?;
            }
            Ok(true)
        });
        let Some(mut connection) = begun.await else {
            return Ok(());
        };
        self.tally.struck(fault.kind);
        if !end.is_empty() {
            self.clock.sleep(millis(fault.lasts)).await;
            if query(&mut connection, end).is_err() {
                server.heal(self.clock).await?;
            }
        }
        Ok(())
    }

    /// Applies a fault to every lock's key.
    async fn change_locks(&self, server: &Server, fault: &Fault, kind: LockFault) {
        let (locks, ttl) = (self.locks.clone(), fault.lasts.max(500).to_string());
        let changed = self.on_server(server, move |connection| {
            let mut changed = false;
            for lock in locks.iter() {
                let words: &[&str] = match kind {
                    LockFault::LockDeleted => &["DEL", lock],
                    LockFault::LockStolen => &["SET", lock, "foreign-thief", "XX", "PX", &ttl],
                    LockFault::LockLapsed => &["PEXPIRE", lock, "1"],
                    LockFault::LockNeverGranted => &["SET", lock, "foreign-holder", "PX", &ttl],
                    LockFault::LockHolderDead => &["SET", lock, "foreign-dead", "PX", &ttl],
                };
                let answer = query(connection, words)?;
                changed |= matches!(answer, Value::Int(1) | Value::Okay);
            }
            Ok(changed)
        });
        if changed.await.is_some() {
            self.tally.struck(fault.kind);
        }
    }

    /// Sends commands to the server on another thread; returns the connection
    /// if they changed anything. If the server refuses the connection, the
    /// fault does not count.
    async fn on_server(
        &self,
        server: &Server,
        talk: impl FnOnce(&mut Connection) -> RedisResult<bool> + Send + 'static,
    ) -> Option<Connection> {
        let mut connection = server.connect(ANSWER_TIMEOUT).ok()?;
        let talked = tokio::task::spawn_blocking(move || {
            let changed = talk(&mut connection);
            (connection, changed)
        });
        match talked.await {
            Ok((connection, Ok(true))) => Some(connection),
            _ => None,
        }
    }

    /// Applies the faults of replicas and their links, until the plan is done.
    pub(super) async fn strike_replicas(
        &self,
        replicas: &[Replica],
        plan: &[Fault],
    ) -> io::Result<()> {
        let links = self.links;
        let began = self.clock.now();
        let mut open: Vec<Fault> = Vec::new();
        for fault in plan {
            while let Some(next) = first_to_end(&open)
                && open[next].at + open[next].lasts <= fault.at
            {
                let over = open.swap_remove(next);
                until(self.clock, began + millis(over.at + over.lasts)).await;
                links[over.replica.unwrap_or_default()].end(over);
            }
            until(self.clock, began + millis(fault.at)).await;
            let replica = fault.replica.unwrap_or_default();
            match fault.kind {
                FaultKind::ProcessFault(kind) => {
                    replicas[replica].order(match kind {
                        ProcessFault::Crash => Order::Crash(millis(fault.lasts)),
                        ProcessFault::Pause => Order::Pause(millis(fault.lasts)),
                        ProcessFault::ClockJump
                        | ProcessFault::ClockDrift
                        | ProcessFault::KeyRotation
                        | ProcessFault::KeyStorageDown
                        | ProcessFault::KeyStorageSlow
                        | ProcessFault::AnchorMediumSlow
                        | ProcessFault::AnchorMediumFull
                        | ProcessFault::AnchorTorn
                        | ProcessFault::AnchorUnsynced => return Err(misplaced(fault)),
                    });
                    self.tally.struck(fault.kind);
                }
                FaultKind::LinkFault(LinkFault::LaggingReplica)
                | FaultKind::LockFault(_)
                | FaultKind::ServerFault(_)
                | FaultKind::LossFault(_) => return Err(misplaced(fault)),
                FaultKind::LinkFault(_) | FaultKind::CommandFault(_) => {
                    links[replica].begin(*fault);
                    open.push(*fault);
                }
            }
        }
        Ok(())
    }

    /// Lets links lead to a replica of the server that lags, one after the
    /// other, until the plan is done.
    pub(super) async fn lead_to_replica(&self, redis_replica: Option<&Server>, plan: &[Fault]) {
        let Some(redis_replica) = redis_replica else {
            return;
        };
        let (links, primary) = (self.links, *self.primary.borrow());
        let began = self.clock.now();
        for fault in plan {
            let lag = millis(fault.amount.unsigned_abs());
            until(self.clock, (began + millis(fault.at)).saturating_sub(lag)).await;
            let end = self.clock.now() + CATCHING_UP;
            while !self.follows(redis_replica, primary).await && self.clock.now() < end {
                self.clock.sleep(CHECK).await;
            }
            let cut_off = self.on_server(redis_replica, |connection| {
                query(connection, &NO_PRIMARY).map(|_| true)
            });
            if cut_off.await.is_some() {
                self.clock.sleep(lag).await;
                let link = &links[fault.replica.unwrap_or_default()];
                link.begin(*fault);
                self.clock.sleep(millis(fault.lasts)).await;
                link.end(*fault);
            }
            self.follows(redis_replica, primary).await;
        }
    }

    /// Makes a server a replica of this primary; returns whether it has the
    /// data.
    async fn follows(&self, redis_replica: &Server, primary: u16) -> bool {
        let primary = primary.to_string();
        let follows = self.on_server(redis_replica, move |connection| {
            query(connection, &["REPLICAOF", "127.0.0.1", &primary])?;
            let role =
                redis::cmd("ROLE").query::<(String, String, u16, String, i64)>(connection)?;
            Ok(role.3 == "connected")
        });
        follows.await.is_some()
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// An error for a fault in the wrong half of a plan.
pub(super) fn misplaced(fault: &Fault) -> io::Error {
    io::Error::other(format!("torture cannot do this: {fault}"))
}

fn first_to_end(open: &[Fault]) -> Option<usize> {
    (0..open.len()).min_by_key(|number| open[*number].at + open[*number].lasts)
}

/// Waits until this time.
pub(super) fn until(clock: &SystemClock, at: Duration) -> impl Future<Output = ()> {
    let left = at.saturating_sub(clock.now());
    let clock = clock.clone();
    async move {
        if !left.is_zero() {
            clock.sleep(left).await;
        }
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
