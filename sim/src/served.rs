//! Carries out a plan of faults on a served Redis, command by command, and says what it
//! did to which command of which connection.
//!
//! It must not know where the plan comes from, nor what the clients are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use redis_sim::{
    Command, Redis, Reply, SharedRedis, Snapshot,
    server::{After, Before, ConnId, Gate},
};
use tokio::sync::Notify;

use crate::plan::{CommandFault, CountedFault, CountedPlan, FaultKind, LossFault, ServerFault};

/// The faults of a served Redis.
pub struct CountedGate {
    redis: SharedRedis,
    faults: Vec<Pending>,
    /// Each open connection's number, and what closes it.
    connections: BTreeMap<ConnId, (u64, Arc<Notify>)>,
    connected: u64,
    /// The fault that strikes the reply to the command that a connection runs.
    struck: BTreeMap<ConnId, usize>,
    /// The faults that last, and for how many commands more.
    lasting: Vec<(usize, u64)>,
    writes: LastWrites,
    /// Commands that were asked for and are not simulated.
    unknown: BTreeSet<String>,
    log: Box<dyn Write + Send>,
}

/// A fault of the plan, and how many commands it has counted.
struct Pending {
    fault: CountedFault,
    counted: u64,
    has_struck: bool,
}

impl Pending {
    fn is_due(&self) -> bool {
        self.counted >= self.fault.nth && !self.has_struck
    }
}

/// The last writes, and the data before each.
#[derive(Default)]
struct LastWrites {
    /// As many as a promotion may lose.
    kept: usize,
    writes: VecDeque<(String, Snapshot)>,
    data: Snapshot,
    changes: u64,
}

impl LastWrites {
    /// A command has run.
    fn has_run(&mut self, redis: &Redis, command: &Command) {
        let changes = redis.keyspace().changes();
        if self.kept == 0 || self.changes == changes {
            return;
        }
        self.changes = changes;
        let before = std::mem::replace(&mut self.data, redis.snapshot());
        self.writes.push_back((described(command), before));
        if self.writes.len() > self.kept {
            self.writes.pop_front();
        }
    }

    /// Takes the data back to before the last writes, and says which.
    fn lose(&mut self, redis: &mut Redis, count: usize) -> Vec<String> {
        let lost = self
            .writes
            .split_off(self.writes.len().saturating_sub(count));
        if let Some((_, before)) = lost.front() {
            redis.restore(before);
            self.data = before.clone();
        }
        self.changes = redis.keyspace().changes();
        lost.into_iter().map(|(write, _)| write).collect()
    }
}

impl CountedGate {
    /// The faults of a plan on this server. What they do is written to `log`, one line each.
    pub fn new(plan: CountedPlan, redis: SharedRedis, log: Box<dyn Write + Send>) -> Self {
        let loses = plan.faults.iter().filter_map(|fault| fault.loses).max();
        let kept = usize::try_from(loses.unwrap_or(0)).unwrap_or(usize::MAX);
        let pending = |fault| Pending {
            fault,
            counted: 0,
            has_struck: false,
        };
        let mut writes = LastWrites {
            kept,
            ..LastWrites::default()
        };
        let now = lock(&redis);
        writes.data = now.snapshot();
        writes.changes = now.keyspace().changes();
        drop(now);
        Self {
            redis,
            faults: plan.faults.into_iter().map(pending).collect(),
            connections: BTreeMap::new(),
            connected: 0,
            struck: BTreeMap::new(),
            lasting: Vec::new(),
            writes,
            unknown: BTreeSet::new(),
            log,
        }
    }

    /// Says which faults have not struck, at the end.
    pub fn end(&mut self) {
        for number in 0..self.faults.len() {
            let pending = &self.faults[number];
            if !pending.has_struck {
                let counted = pending.counted;
                let text = format!("has not struck: {counted} such commands were sent");
                self.say(number, &text);
            }
        }
    }

    fn say(&mut self, number: usize, text: &str) {
        let fault = &self.faults[number].fault;
        let of = fault.of.as_deref().unwrap_or("command");
        // A log that nobody reads is no reason to stop.
        let _ = writeln!(
            self.log,
            "fault {} {} at {of} {}: {text}",
            number + 1,
            fault.kind,
            fault.nth
        );
    }

    /// Says once that a command is not there, which a client may hide.
    fn note_unknown(&mut self, command: &Command, reply: &Reply) {
        let Reply::Error(error) = reply else { return };
        let is_subcommand = error.starts_with(b"ERR unknown subcommand");
        if !redis_sim::is_not_simulated(command) {
            return;
        }
        let words = command.words().iter().take(1 + usize::from(is_subcommand));
        let words = words.map(|word| String::from_utf8_lossy(word));
        let name = words.collect::<Vec<_>>().join(" ").to_uppercase();
        if self.unknown.insert(name.clone()) {
            let _ = writeln!(
                self.log,
                "{name} is not simulated; redis-sim's README lists what is"
            );
        }
    }

    fn connection(&self, conn: ConnId) -> u64 {
        self.connections.get(&conn).map_or(0, |(number, _)| *number)
    }

    fn cut_all(&self) {
        self.connections
            .values()
            .for_each(|(_, cut)| cut.notify_one());
    }

    /// A command arrives while faults last: the last of their commands may be over.
    fn pass_lasting(&mut self) {
        let (mut go_on, mut over) = (Vec::new(), Vec::new());
        for (number, left) in std::mem::take(&mut self.lasting) {
            match left.checked_sub(1) {
                Some(left) => go_on.push((number, left)),
                None => over.push(number),
            }
        }
        self.lasting = go_on;
        for number in over {
            self.say(number, "is over");
        }
    }

    /// Sets the server's modes to those of the faults that last.
    fn set_modes(&mut self, command: &Command) {
        let kinds: Vec<_> = self
            .lasting
            .iter()
            .map(|(number, _)| self.faults[*number].fault.kind)
            .collect();
        let lasts = |kind: ServerFault| kinds.contains(&kind.into());
        let mut redis = lock(&self.redis);
        let modes = redis.modes();
        modes.busy = lasts(ServerFault::Busy);
        modes.loading = lasts(ServerFault::Loading);
        modes.readonly = lasts(ServerFault::Readonly);
        modes.oom = lasts(ServerFault::Oom);
        modes.misconf = lasts(ServerFault::Misconf);
        if !lasts(ServerFault::Noperm) {
            modes.denied.clear();
        } else if modes.denied.is_empty() {
            let name = String::from_utf8_lossy(command.name());
            modes.denied.insert(name.to_ascii_lowercase());
        }
    }

    /// A fault of the server strikes now. Whether it closes all connections.
    fn strike_server(&mut self, number: usize, place: &str) -> bool {
        let fault = self.faults[number].fault.clone();
        let cuts = match fault.kind {
            FaultKind::ServerFault(ServerFault::RedisRestart) => {
                lock(&self.redis).restart();
                self.say(
                    number,
                    &format!("{place}: closed before it runs; the server has restarted"),
                );
                true
            }
            FaultKind::ServerFault(ServerFault::ScriptFlush) => {
                lock(&self.redis).flush_scripts();
                self.say(
                    number,
                    &format!("{place}: all scripts are removed before it"),
                );
                false
            }
            FaultKind::ServerFault(ServerFault::ClientsKilled) => {
                self.say(
                    number,
                    &format!("{place}: all connections are closed before it runs"),
                );
                true
            }
            FaultKind::LossFault(LossFault::LaggingReplicaPromoted) => {
                let count = usize::try_from(fault.loses.unwrap_or(0)).unwrap_or(usize::MAX);
                let mut redis = lock(&self.redis);
                let lost = self.writes.lose(&mut redis, count);
                redis.restart();
                drop(redis);
                let lost = match lost.is_empty() {
                    true => "no write".to_owned(),
                    false => lost.join(", "),
                };
                let text = format!(
                    "{place}: closed before it runs; a replica is promoted that lacks {lost}"
                );
                self.say(number, &text);
                true
            }
            _ => {
                let lasts = fault.lasts.unwrap_or(1);
                self.lasting.push((number, lasts.saturating_sub(1)));
                self.say(
                    number,
                    &format!("{place}: begins with it, for {lasts} commands"),
                );
                false
            }
        };
        if cuts {
            self.cut_all();
        }
        cuts
    }
}

impl Gate for CountedGate {
    fn opened(&mut self, conn: ConnId) -> Option<Arc<Notify>> {
        self.connected += 1;
        let cut = Arc::new(Notify::new());
        self.connections.insert(conn, (self.connected, cut.clone()));
        Some(cut)
    }

    fn before(&mut self, conn: ConnId, command: &Command) -> Before {
        self.pass_lasting();
        for pending in &mut self.faults {
            pending.counted += u64::from(pending.fault.counts(command));
        }
        let place = format!(
            "connection {}, {}",
            self.connection(conn),
            described(command)
        );
        let mut verdict = Before::Run;
        for number in 0..self.faults.len() {
            let fault = &self.faults[number].fault;
            if !self.faults[number].is_due() || !fault.counts(command) {
                continue;
            }
            let delay = Duration::from_millis(fault.ms.unwrap_or(0));
            let FaultKind::CommandFault(kind) = fault.kind else {
                self.faults[number].has_struck = true;
                if self.strike_server(number, &place) {
                    verdict = Before::Cut;
                }
                continue;
            };
            // One fault a command: another one waits for the next.
            if verdict != Before::Run || self.struck.contains_key(&conn) {
                continue;
            }
            self.faults[number].has_struck = true;
            match kind {
                CommandFault::ResetBeforeExecution => {
                    verdict = Before::Cut;
                    self.say(number, &format!("{place}: closed before it runs"));
                }
                CommandFault::LateCommand => {
                    verdict = Before::Delay(delay);
                    self.say(
                        number,
                        &format!("{place}: runs {} ms late", delay.as_millis()),
                    );
                }
                _ => {
                    self.struck.insert(conn, number);
                }
            }
        }
        self.set_modes(command);
        verdict
    }

    fn after(&mut self, conn: ConnId, command: &Command, reply: &Reply) -> After {
        let redis = self.redis.clone();
        self.writes.has_run(&lock(&redis), command);
        self.note_unknown(command, reply);
        let Some(number) = self.struck.remove(&conn) else {
            return After::Send;
        };
        let fault = self.faults[number].fault.clone();
        let (verdict, what) = match fault.kind {
            FaultKind::CommandFault(CommandFault::ResetAfterExecution) => {
                (After::Cut, "closed before its reply".to_owned())
            }
            FaultKind::CommandFault(CommandFault::ResetMidReply) => (
                After::CutMidReply,
                "closed in the middle of its reply".to_owned(),
            ),
            FaultKind::CommandFault(CommandFault::ErrorAfterExecution) => {
                let error = fault.error.unwrap_or_default();
                let what = format!("replied instead: {error}");
                (After::Replace(error), what)
            }
            _ => {
                let delay = Duration::from_millis(fault.ms.unwrap_or(0));
                let what = format!("replied {} ms late", delay.as_millis());
                (After::Delay(delay), what)
            }
        };
        let text = format!(
            "connection {}, {}: ran ({}), {what}",
            self.connection(conn),
            described(command),
            first_line(reply)
        );
        self.say(number, &text);
        verdict
    }

    fn closed(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
        self.struck.remove(&conn);
    }
}

fn lock(redis: &SharedRedis) -> MutexGuard<'_, Redis> {
    redis.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The beginning of a command, on one line and without passwords.
fn described(command: &Command) -> String {
    const WORDS: usize = 5;
    const LETTERS: usize = 24;
    let words = command.words();
    let shown = match command.is("AUTH") || command.is("HELLO") {
        true => &words[..1],
        false => &words[..words.len().min(WORDS)],
    };
    let mut parts: Vec<String> = shown
        .iter()
        .map(|word| {
            let text = String::from_utf8_lossy(word);
            let mut short: String = text
                .chars()
                .take(LETTERS)
                .flat_map(char::escape_debug)
                .collect();
            if text.chars().nth(LETTERS).is_some() {
                short.push('…');
            }
            short
        })
        .collect();
    if shown.len() < words.len() {
        parts.push("…".to_owned());
    }
    parts.join(" ")
}

/// The first line of a reply, as it is sent in RESP2.
fn first_line(reply: &Reply) -> String {
    let mut bytes = BytesMut::new();
    reply.encode(&mut bytes);
    let line = bytes.as_ref().split(|byte| *byte == b'\r').next();
    String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
}
