//! Begins and ends the faults of a schedule as simulated time passes.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use redis_sim::{Redis, Snapshot};
use turmoil::Sim;

use super::{
    Schedule, What,
    schedule::{describe, latency, server_name},
    world::Shared,
};
use crate::{
    plan::{Fault, FaultClass, FaultKind, LossFault, ProcessFault, ServerFault},
    record::replica_name,
    world::{calm_link, disturb, strike_link, switch_mode, take_data},
};

/// A fault, and the server that it is at.
type Planned = (Fault, Option<usize>);

/// A fault that struck for a while.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) fault: Fault,
    pub(super) server: Option<usize>,
    pub(super) begins: Duration,
    pub(super) ends: Option<Duration>,
}

/// Injects the faults of a schedule.
pub(super) struct Nemesis {
    plan: Vec<Planned>,
    next: usize,
    active: Vec<Planned>,
    /// What a server had when the data was kept that a fault leaves, by the fault's place.
    older: BTreeMap<usize, Snapshot>,
    spans: Vec<Span>,
}

impl Nemesis {
    pub(super) fn new<O>(schedule: &Schedule<O>) -> Self {
        let events = schedule.events.iter();
        let mut plan: Vec<Planned> = events
            .filter_map(|event| match event.what {
                What::Fault { fault, server } => Some((fault, server)),
                What::Operation { .. } => None,
            })
            .collect();
        plan.sort_by_key(|(fault, _)| fault.at);
        Self {
            plan,
            next: 0,
            active: Vec::new(),
            older: BTreeMap::new(),
            spans: Vec::new(),
        }
    }

    /// Whether nothing is active and nothing is to come.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.plan.len() && self.active.is_empty()
    }

    pub(super) fn into_spans(self) -> Vec<Span> {
        self.spans
    }

    /// Begins and ends what is due; returns the processes that were killed.
    pub(super) fn step(&mut self, sim: &mut Sim<'_>, shared: &Shared, now: u64) -> Vec<usize> {
        let mut killed = Vec::new();
        self.keep_data(shared, now);
        while let Some(planned) = self.plan.get(self.next).copied() {
            if planned.0.at > now {
                break;
            }
            killed.extend(self.begin(sim, shared, planned));
            self.next += 1;
        }
        let is_over = |(fault, _): &Planned| fault.at + fault.lasts <= now;
        let (over, active) = self.active.drain(..).partition(is_over);
        self.active = active;
        let over: Vec<Planned> = over;
        for planned in over {
            self.end(sim, shared, planned);
        }
        for (fault, _) in &self.active {
            if fault.kind == ProcessFault::ClockDrift.into() {
                skew(shared, fault);
            }
        }
        killed
    }

    /// Ends everything, for good.
    pub(super) fn heal(&mut self, sim: &mut Sim<'_>, shared: &Shared) {
        self.next = self.plan.len();
        while let Some(planned) = self.active.pop() {
            self.end(sim, shared, planned);
        }
    }

    /// Keeps the data that later faults leave.
    fn keep_data(&mut self, shared: &Shared, now: u64) {
        for (place, (fault, server)) in self.plan.iter().enumerate().skip(self.next) {
            let since = fault.at.saturating_sub(fault.amount.unsigned_abs());
            let server = server.and_then(|server| shared.servers.get(server));
            if let Some(server) = server
                && fault.kind.class() == FaultClass::DataLoss
                && since <= now
            {
                let kept = self.older.entry(place);
                kept.or_insert_with(|| server.redis().snapshot());
            }
        }
    }

    /// Begins a fault; returns the process that it killed.
    fn begin(&mut self, sim: &mut Sim<'_>, shared: &Shared, planned: Planned) -> Option<usize> {
        let (fault, number) = planned;
        let process = fault.replica.unwrap_or_default();
        let mut killed = None;
        let server = number.and_then(|number| shared.servers.get(number));
        let control = &shared.processes[process];
        shared.trace(&format!("fault begins: {}", describe(&fault, number)));
        let strikes = match fault.kind {
            FaultKind::LinkFault(kind) => {
                let host = replica_name(process);
                for server in struck(shared, number) {
                    strike_link(sim, &host, &server_name(server), kind, fault);
                }
                true
            }
            // Counted when they strike a command.
            FaultKind::CommandFault(_) | FaultKind::LockFault(_) => false,
            FaultKind::ProcessFault(ProcessFault::Crash) => {
                if !self.is_active(planned) {
                    control.power.cut();
                    sim.crash(replica_name(process));
                    control.power.restore();
                    killed = Some(process);
                }
                true
            }
            FaultKind::ProcessFault(kind) => {
                match kind {
                    ProcessFault::Pause => control.gate.pause(),
                    ProcessFault::ClockJump => skew(shared, &fault),
                    // At every step; and of no other system.
                    _ => {}
                }
                true
            }
            FaultKind::ServerFault(kind) => server.is_some_and(|server| {
                match kind {
                    ServerFault::ServerClockJump => {
                        add(&server.skew, fault.amount);
                        return true;
                    }
                    ServerFault::ScriptFlush => server.redis().flush_scripts(),
                    ServerFault::RedisRestart | ServerFault::RedisKilled => {
                        server.redis().restart();
                    }
                    _ => {}
                }
                switch_mode(&mut server.redis(), kind, Some(fault));
                disturb(&mut server.faults.lock(), kind, fault)
            }),
            FaultKind::LossFault(kind) => {
                let older = self.older.remove(&self.next);
                server.is_some_and(|server| {
                    take(&mut server.redis(), kind, fault, older);
                    if kind.restarts() || kind == LossFault::LaggingReplicaPromoted {
                        server.faults.lock().cut_all();
                    }
                    true
                })
            }
        };
        if let Some(server) = server {
            server.faults.lock().begin(fault);
        }
        if strikes {
            shared.struck(fault.kind, number);
        }
        let is_instant = fault.kind.is_instant();
        if !is_instant {
            self.active.push(planned);
        }
        self.spans.push(Span {
            fault,
            server: number,
            begins: shared.now(),
            ends: is_instant.then(|| shared.now()),
        });
        killed
    }

    fn end(&mut self, sim: &mut Sim<'_>, shared: &Shared, planned: Planned) {
        let (fault, number) = planned;
        let process = fault.replica.unwrap_or_default();
        let server = number.and_then(|number| shared.servers.get(number));
        let again = self.is_active(planned);
        match fault.kind {
            FaultKind::LinkFault(kind) => {
                let host = replica_name(process);
                for server in struck(shared, number) {
                    let latency = latency(shared.seed, process, server);
                    let name = server_name(server);
                    calm_link(sim, &host, &name, kind, (latency, latency));
                }
            }
            FaultKind::ProcessFault(ProcessFault::Crash) if !again => {
                sim.bounce(replica_name(process));
            }
            FaultKind::ProcessFault(ProcessFault::Pause) if !again => {
                shared.processes[process].gate.resume();
            }
            FaultKind::ServerFault(kind) if !again => {
                if let Some(server) = server {
                    switch_mode(&mut server.redis(), kind, None);
                }
            }
            _ => {}
        }
        if let Some(server) = server {
            server.faults.lock().end(fault);
        }
        shared.trace(&format!("fault ends: {}", describe(&fault, number)));
        let is_this =
            |span: &&mut Span| span.fault == fault && span.server == number && span.ends.is_none();
        if let Some(span) = self.spans.iter_mut().find(is_this) {
            span.ends = Some(shared.now());
        }
    }

    /// Whether a fault of this kind is active at the same place.
    fn is_active(&self, (fault, server): Planned) -> bool {
        let is_same = |(other, at): &Planned| {
            (other.kind, other.replica, *at) == (fault.kind, fault.replica, server)
        };
        self.active.iter().any(is_same)
    }
}

/// The servers to which a fault strikes the link.
fn struck(shared: &Shared, server: Option<usize>) -> std::ops::Range<usize> {
    match server {
        Some(server) => server..server + 1,
        None => 0..shared.servers.len(),
    }
}

/// Moves the wall clock of a fault's process.
fn skew(shared: &Shared, fault: &Fault) {
    let process = fault.replica.unwrap_or_default();
    add(&shared.processes[process].skew, fault.amount);
}

/// Adds seconds to a skew in milliseconds.
fn add(skew: &AtomicI64, seconds: i64) {
    skew.fetch_add(seconds.saturating_mul(1000), Ordering::Relaxed);
}

/// Takes data from a server.
fn take(redis: &mut Redis, kind: LossFault, fault: Fault, older: Option<Snapshot>) {
    let older = older.unwrap_or_else(|| redis.snapshot());
    let amount = fault.amount.unsigned_abs();
    let keys: Vec<_> = redis
        .keyspace()
        .iter()
        .map(|(key, _)| key.clone())
        .collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let one = keys.get(amount as usize % keys.len().max(1));
    let one = one.copied().unwrap_or_default();
    take_data(redis, kind, amount, &older, &keys, one);
}
