//! One run: the hosts, and what they share.

use std::{
    any::Any,
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::{
        Arc, Mutex as StdMutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, UNIX_EPOCH},
};

use parking_lot::Mutex;
use redis_sim::{Config, Redis, SharedRedis};

use super::{
    Call, Failure, Process, Report, Run, Schedule, Setup, System, Violation, What,
    gate::Gate,
    nemesis::Nemesis,
    schedule::{latency, server_name},
    setup::millis,
};
use crate::{
    plan::{FaultKind, ServerFault, TICK_MS, generator},
    record::{Ending, Mark, Trace, nanos, replica_name},
    world::{CommandFaults, EPOCH, PauseGate, Power, REDIS_PORT, elapsed, sleep},
};

/// What the parts of a run share.
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) servers: Vec<Server>,
    pub(super) processes: Vec<Control>,
    pub(super) reply_timeout: Duration,
    now: Mutex<Duration>,
    trace: Mutex<Trace>,
    /// What a process said when it panicked.
    panicked: Mutex<Option<String>>,
    /// Situations that the system has marked, and how often.
    pub(super) situations: Mutex<BTreeMap<String, u64>>,
}

/// A simulated server, and the faults that strike its commands.
pub(super) struct Server {
    pub(super) redis: SharedRedis,
    pub(super) faults: Mutex<CommandFaults>,
    /// How far its clock is off, in milliseconds.
    pub(super) skew: AtomicI64,
}

/// What the nemesis can do to a process.
#[derive(Default)]
pub(super) struct Control {
    pub(super) gate: PauseGate,
    pub(super) power: Power,
    /// How far its wall clock is off, in milliseconds.
    pub(super) skew: AtomicI64,
    lives: Mutex<u64>,
    /// The call under way; 0 for none.
    pub(super) call: AtomicUsize,
}

impl Shared {
    fn new(seed: u64, processes: usize, servers: usize, reply_timeout: Duration) -> Self {
        let server = |number| Server {
            redis: Arc::new(StdMutex::new(Redis::new(Config::default()))),
            faults: Mutex::new(CommandFaults::new(
                generator(seed, &format!("command faults {number}")),
                false,
            )),
            skew: AtomicI64::new(0),
        };
        Self {
            seed,
            servers: (0..servers.max(1)).map(server).collect(),
            processes: (0..processes).map(|_| Control::default()).collect(),
            reply_timeout,
            now: Mutex::default(),
            trace: Mutex::new(Trace::new(true)),
            panicked: Mutex::default(),
            situations: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        *self.now.lock()
    }

    /// Sets the time that everything from here on happens at.
    pub(super) fn set_now(&self, now: Duration) {
        *self.now.lock() = now;
        for server in &self.servers {
            server.faults.lock().set_now(now);
            let skew = server.skew.load(Ordering::Relaxed);
            server
                .redis()
                .set_now(millis(EPOCH + now).saturating_add_signed(skew));
        }
    }

    pub(super) fn trace(&self, line: &str) {
        let line = line.replace('\n', " ");
        let now = self.now().as_millis();
        self.trace.lock().event(&format!("{now:>6} {line}"));
    }

    /// The trace so far.
    fn take_trace(&self) -> (u64, Vec<String>) {
        std::mem::replace(&mut *self.trace.lock(), Trace::new(false)).finish()
    }

    /// Counts a fault of a process, or of a link to several servers, at the first one.
    pub(super) fn struck(&self, kind: FaultKind, server: Option<usize>) {
        if let Some(server) = self.servers.get(server.unwrap_or(0)) {
            server.faults.lock().struck(kind);
        }
    }

    /// Whether a late command may still run.
    fn is_awaited(&self) -> bool {
        let now = millis(self.now());
        let mut servers = self.servers.iter();
        servers.any(|server| server.faults.lock().is_awaited(now))
    }
}

impl Server {
    pub(super) fn redis(&self) -> MutexGuard<'_, Redis> {
        self.redis.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calls so far, and how many operations each process has taken.
struct Book<S: System> {
    calls: Vec<Call<S::Operation, S::Answer>>,
    taken: Vec<usize>,
    /// When a call ended for the last time.
    last: Duration,
}

impl<S: System> Book<S> {
    fn open(&mut self, process: usize) -> Option<&mut Call<S::Operation, S::Answer>> {
        let mut calls = self.calls.iter_mut().rev();
        calls.find(|call| call.process == process && call.ended.is_none())
    }

    fn end(&mut self, shared: &Shared, process: usize, result: Result<S::Answer, Failure>) {
        let now = shared.now();
        self.last = now;
        shared.processes[process].call.store(0, Ordering::Relaxed);
        if let Some(call) = self.open(process) {
            call.ended = Some(now);
            call.result = Some(result);
            shared.trace(&format!("{} ends: {call}", replica_name(process)));
        }
    }
}

/// Runs a schedule.
pub(super) fn carry_out<S: System>(
    system: &Rc<S>,
    setup: &Setup,
    schedule: &Schedule<S::Operation>,
) -> Report<S> {
    let processes = schedule.processes;
    let shared = Arc::new(Shared::new(
        schedule.seed,
        processes,
        setup.servers,
        setup.reply_timeout,
    ));
    let book = Rc::new(RefCell::new(Book::<S> {
        calls: Vec::new(),
        taken: vec![0; processes],
        last: Duration::ZERO,
    }));
    let mut sim = turmoil::Builder::new()
        .epoch(UNIX_EPOCH + EPOCH)
        .rng_seed(schedule.seed)
        .tick_duration(Duration::from_millis(TICK_MS))
        .simulation_duration(Duration::MAX)
        .tcp_capacity(4096)
        .build();
    for server in 0..shared.servers.len() {
        let shared = shared.clone();
        sim.host(server_name(server), move || serve(shared.clone(), server));
    }
    for process in 0..processes {
        let (system, shared, book) = (system.clone(), shared.clone(), book.clone());
        let own = schedule
            .events
            .iter()
            .filter_map(|event| match &event.what {
                What::Operation {
                    at,
                    process: of,
                    operation,
                } if *of == process => Some((event.number, *at, operation.clone())),
                _ => None,
            });
        let own: Rc<Vec<_>> = Rc::new(own.collect());
        sim.host(replica_name(process), move || {
            let control = &shared.processes[process];
            let gate = control.gate.clone();
            let life = {
                let mut lives = control.lives.lock();
                *lives += 1;
                *lives
            };
            let host = Process::new(shared.clone(), process, life);
            let life = live(system.clone(), host, own.clone(), book.clone());
            let panicked = shared.clone();
            async move {
                let mut life = pin!(life);
                // While it is paused, nothing of it runs.
                std::future::poll_fn(|cx| {
                    std::task::ready!(gate.poll_running(cx));
                    let polled = catch_unwind(AssertUnwindSafe(|| life.as_mut().poll(cx)));
                    polled.unwrap_or_else(|panic| {
                        *panicked.panicked.lock() = Some(said(&*panic));
                        Poll::Pending
                    })
                })
                .await;
                Ok(())
            }
        });
    }

    for process in 0..processes {
        for server in 0..shared.servers.len() {
            let latency = latency(schedule.seed, process, server);
            sim.set_link_latency(replica_name(process), server_name(server), latency);
        }
    }
    let count = schedule.events.iter().filter(|e| !e.is_fault()).count();
    let mut nemesis = Nemesis::new(schedule);
    let mut violations = Vec::new();
    let mut error = None;
    let mut healed_at = None;
    loop {
        let now = sim.elapsed();
        shared.set_now(now);
        let is_idle = {
            let book = book.borrow();
            let ended = book.calls.iter().filter(|call| call.ended.is_some());
            ended.count() == count
        };
        if healed_at.is_none() {
            let killed = nemesis.step(&mut sim, &shared, millis(now));
            if is_idle || nemesis.is_done() {
                nemesis.heal(&mut sim, &shared);
                healed_at = Some(now);
            }
            for process in killed {
                let failure = Failure::unknown("the process was killed");
                book.borrow_mut().end(&shared, process, Err(failure));
            }
        }
        if let Err(failed) = sim.step() {
            error = Some(format!("a host of the simulation failed: {failed}"));
            break;
        }
        if let Some(reason) = shared.panicked.lock().take() {
            let open = book.borrow();
            let open = open.calls.iter().filter(|call| call.ended.is_none());
            let open = open.map(|call| call.id).collect();
            violations.push(Violation::new("panicked", open, reason));
            break;
        }
        let Some(healed) = healed_at else { continue };
        if is_idle && !shared.is_awaited() {
            break;
        }
        let since = healed.max(book.borrow().last);
        if !is_idle && now.saturating_sub(since) > setup.patience {
            let book = book.borrow();
            let open = book.calls.iter().filter(|call| call.ended.is_none());
            let open: Vec<_> = open.map(|call| call.id).collect();
            let reason = format!(
                "nothing ended for {} s although no fault is left",
                setup.patience.as_secs()
            );
            violations.push(Violation::new("no_progress", open, reason));
            break;
        }
    }
    let simulated = sim.elapsed();
    drop(sim);
    let calls = std::mem::take(&mut book.borrow_mut().calls);
    let servers = shared.servers.iter();
    let run = Run {
        calls,
        servers: servers.map(|server| server.redis.clone()).collect(),
    };
    match system.check(&run) {
        Ok(found) => violations.extend(found),
        Err(undecided) => error = error.or_else(|| Some(undecided.to_string())),
    }
    let (marks, faults) = coverage(&shared, &run);
    let (trace_hash, trace) = shared.take_trace();
    let strikes = shared.servers.iter();
    Report {
        seed: schedule.seed,
        violations,
        error,
        marks,
        faults,
        simulated,
        trace_hash,
        trace,
        spans: nemesis.into_spans(),
        strikes: strikes
            .flat_map(|server| server.faults.lock().take_strikes())
            .collect(),
        run,
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a process panicked").to_owned()
}

/// Situations that were met, and how often each fault struck.
fn coverage<S: System>(
    shared: &Shared,
    run: &Run<S>,
) -> (BTreeMap<String, u64>, BTreeMap<FaultKind, u64>) {
    let mut marks = std::mem::take(&mut *shared.situations.lock());
    let mut counts: BTreeMap<FaultKind, u64> = BTreeMap::new();
    for server in &shared.servers {
        let mut faults = server.faults.lock();
        for (kind, count) in faults.counts() {
            *counts.entry(*kind).or_default() += count;
        }
        let coverage = faults.take_coverage();
        for call in &run.calls {
            let ending = match call.result {
                Some(Ok(_)) => Ending::Ok,
                Some(Err(Failure::NotApplied(_))) => Ending::Fail,
                Some(Err(Failure::Unknown(_))) | None => Ending::Unknown,
            };
            let ended = call.ended.map_or(u64::MAX, nanos);
            for kind in coverage.struck_within(nanos(call.began), ended) {
                let mark = Mark::During(kind, ending).to_string();
                *marks.entry(mark).or_default() += 1;
            }
        }
    }
    (marks, counts)
}

/// A server accepts connections for as long as the run lasts.
async fn serve(shared: Arc<Shared>, number: usize) -> turmoil::Result {
    let hosts = (0..shared.processes.len()).map(|process| turmoil::lookup(replica_name(process)));
    let hosts: Vec<IpAddr> = hosts.collect();
    let admit = |peer: SocketAddr| {
        let process = hosts.iter().position(|host| *host == peer.ip())?;
        let server = &shared.servers[number];
        if server.faults.lock().is_down() {
            return None;
        }
        if server.redis().modes().max_clients.is_some() {
            shared.struck(ServerFault::MaxClients.into(), Some(number));
        }
        let gate = Gate::new(shared.clone(), number, process);
        Some((server.redis.clone(), Arc::new(StdMutex::new(gate))))
    };
    redis_sim::turmoil::serve(REDIS_PORT, admit).await?;
    Ok(())
}

/// A process from its start to the end of the run, or until it is killed.
async fn live<S: System>(
    system: Rc<S>,
    host: Process,
    own: Rc<Vec<(usize, u64, S::Operation)>>,
    book: Rc<RefCell<Book<S>>>,
) {
    let (process, life) = (host.number(), host.life());
    let shared = host.shared().clone();
    shared.trace(&format!("{} starts", host.name()));
    let mut client = system.start(host).await;
    loop {
        let taken = book.borrow().taken[process];
        let Some((id, at, operation)) = own.get(taken).cloned() else {
            break;
        };
        let early = Duration::from_millis(at).saturating_sub(elapsed());
        if !early.is_zero() {
            sleep(early).await;
        }
        {
            let mut book = book.borrow_mut();
            book.taken[process] += 1;
            let call = Call {
                id,
                process,
                life,
                operation: operation.clone(),
                began: shared.now(),
                ended: None,
                result: None,
            };
            shared.trace(&format!(
                "{} begins: call {id}: {operation:?}",
                replica_name(process)
            ));
            shared.processes[process].call.store(id, Ordering::Relaxed);
            book.calls.push(call);
        }
        let result = system.act(&mut client, operation).await;
        book.borrow_mut().end(&shared, process, result);
    }
    // Its connections stay open until the run is over.
    std::future::pending::<()>().await;
}
