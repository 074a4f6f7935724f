//! Faults of single commands and replies, carried out on the server's side.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::BytesMut;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use redis_sim::{
    Command, Reply,
    server::{After, Before, ConnId, Gate},
};
use tokio::sync::Notify;

use super::{handle::WorldHandle, net::DATA_HOSTS};
use crate::{
    plan::{CommandFault, Fault, FaultKind, LinkFault, ServerFault, TICK_MS, Topology},
    record::{CoverageRecorder, Situation, nanos},
};

/// How long a fault that strikes one command waits for it: leaving out parts of
/// a schedule can delay the command.
const STRIKE_WINDOW_MS: u64 = 4 * TICK_MS;

/// The active faults of commands, and how often each fault struck.
pub(crate) struct CommandFaults {
    active: Vec<Fault>,
    rng: ChaCha8Rng,
    /// Whose each connection is, to which node it leads, and how to cut it.
    connections: BTreeMap<u64, (usize, usize, Arc<Notify>)>,
    /// The connections whose node was replaced.
    replaced: BTreeMap<u64, Fault>,
    /// How many connections there were.
    connected: u64,
    counts: BTreeMap<FaultKind, u64>,
    /// What struck single commands, one fault each.
    strikes: Vec<Fault>,
    coverage: CoverageRecorder,
    /// In nanoseconds.
    now: u64,
    /// Until when a slow script blocks the server, in milliseconds.
    busy_until: u64,
    /// Whether scripts take time.
    is_loaded: bool,
    /// When the server is done with the scripts that have arrived, in nanoseconds.
    worked_until: u64,
    /// When the last of the late commands runs, in milliseconds.
    late_until: u64,
    /// Until when the server is stopped, in milliseconds.
    stopped_until: u64,
}

/// What a script takes where scripts take time, and each byte of its arguments.
const SCRIPT_NANOS: u64 = 100_000;
const BYTE_NANOS: u64 = 20;

/// Applies the faults to one replica's connection.
pub(crate) struct FaultGate {
    world: WorldHandle,
    replica: usize,
    node: usize,
    connection: u64,
    /// When the last command was replied to.
    replied_at: Option<Duration>,
    /// Until when the server works on it, in nanoseconds.
    works_until: u64,
    /// Whether the last command was ASKING.
    asking: bool,
    /// Until when commands wait behind one, in milliseconds.
    stalled_until: u64,
    /// Whether another server than the primary is at the other end.
    is_elsewhere: bool,
    /// Whether the current command was delayed by a fault.
    late: bool,
}

/// What becomes of a command, for the trace.
pub(crate) fn what_of_command(verdict: &Before) -> String {
    match verdict {
        Before::Run => String::new(),
        Before::Delay(delay) => format!("runs {} ms late", delay.as_millis()),
        Before::Cut => "connection cut before it runs".to_owned(),
        Before::Refuse(error) => format!("refused: {error}"),
    }
}

/// What becomes of a reply, for the trace.
pub(crate) fn what_of_reply(verdict: &After) -> String {
    match verdict {
        After::Send => String::new(),
        After::Delay(delay) => format!(", reply {} ms late", delay.as_millis()),
        After::Replace(error) => format!(", replied instead: {error}"),
        After::Cut => ", connection cut before the reply".to_owned(),
        After::CutMidReply => ", connection cut in the reply".to_owned(),
    }
}

impl Gate for FaultGate {
    fn opened(&mut self, _: ConnId) -> Option<Arc<Notify>> {
        let (replica, node) = (self.replica, self.node);
        let opened = self
            .world
            .command_faults(|faults| faults.open(replica, node));
        self.connection = opened.0;
        Some(opened.1)
    }

    fn before(&mut self, _: ConnId, command: &Command) -> Before {
        let now = u64::try_from(self.world.now().as_millis()).unwrap_or(u64::MAX);
        let (replica, connection) = (self.replica, self.connection);
        // What waits behind another command was sent earlier.
        if now > self.stalled_until + 2 * TICK_MS {
            self.world.deposed_write(replica, self.node, command);
        }
        let verdict = self.world.command_faults(|faults| {
            faults.coverage.arrives(replica, connection, command);
            faults.arrival(replica, connection, command, now)
        });
        self.late = matches!(verdict, Before::Delay(_));
        if let Before::Delay(delay) = verdict {
            self.stalls(now, delay);
        }
        if verdict != Before::Run {
            self.trace(command, &what_of_command(&verdict));
            return verdict;
        }
        // What has arrived on this connection by the time of the reply before runs next, as
        // the server reads all of it at once.
        let is_next = self.replied_at == Some(self.world.now());
        let behind = is_next.then_some(self.works_until);
        let (queued, until) = self
            .world
            .command_faults(|faults| faults.queue(command, behind));
        self.works_until = until;
        match queued {
            queued if queued < Duration::from_millis(TICK_MS) => Before::Run,
            queued => Before::Delay(queued),
        }
    }

    fn instead(&mut self, _: ConnId, command: &Command) -> Option<Reply> {
        if self.world.topology() != Topology::Cluster {
            return None;
        }
        let is_asking = command.is("ASKING");
        let asked = std::mem::replace(&mut self.asking, is_asking);
        if is_asking {
            return Some(Reply::OK);
        }
        let redirection = self.world.redirection(self.node, asked, command);
        let moves = self.world.is_moving();
        if moves && asked && redirection.is_none() && command.is("EVALSHA") {
            self.world.meets(Situation::AskFollowed);
        }
        redirection
    }

    fn after(&mut self, _: ConnId, command: &Command, reply: &Reply) -> After {
        let is_elsewhere = self.is_elsewhere();
        self.replied_at = Some(self.world.now());
        self.world.check_size(command, reply);
        let verdict = self.world.command_faults(|faults| {
            faults.coverage.ran(command, reply, self.late);
            faults.departure(self.replica, reply, is_elsewhere)
        });
        let now = u64::try_from(self.world.now().as_millis()).unwrap_or(u64::MAX);
        match verdict {
            After::Delay(delay) => self.stalls(now, delay),
            _ if command.is("WAIT") || command.is("WAITAOF") => self.stalls(now, Duration::ZERO),
            _ => {}
        }
        let late = if self.late { "late: " } else { "" };
        let told = self.world.log().answer(command, reply);
        let reply = told.map_or_else(|| brief(reply), str::to_owned);
        let then = what_of_reply(&verdict);
        self.trace(command, &format!("{late}{reply}{then}"));
        if !is_elsewhere && !self.world.is_moving() {
            self.world.check_locks(self.replica);
        }
        verdict
    }

    fn closed(&mut self, _: ConnId) {
        let connection = self.connection;
        self.world.command_faults(|faults| faults.close(connection));
    }
}

impl FaultGate {
    pub(crate) fn new(world: WorldHandle, replica: usize, node: usize) -> Self {
        Self {
            is_elsewhere: world.is_elsewhere(replica),
            world,
            replica,
            node,
            connection: 0,
            replied_at: None,
            works_until: 0,
            asking: false,
            stalled_until: 0,
            late: false,
        }
    }

    /// Whether another server than the primary is at the other end, by now.
    fn is_elsewhere(&self) -> bool {
        self.is_elsewhere || self.world.primary_node() != self.node
    }

    /// The next command waits for so long.
    fn stalls(&mut self, now: u64, delay: Duration) {
        let until = now + u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.stalled_until = self.stalled_until.max(until);
    }

    fn trace(&self, command: &Command, what: &str) {
        let said = self.world.log().describe(command, self.replica);
        let host = DATA_HOSTS[self.node];
        self.world.trace(|| format!("{host}: {said}: {what}"));
    }
}

/// The beginning of a reply.
pub(crate) fn brief(reply: &Reply) -> String {
    match reply {
        Reply::Status(text)
        | Reply::Error(text)
        | Reply::Bulk(text)
        | Reply::BigNumber(text)
        | Reply::Verbatim(_, text) => {
            // One event, one line.
            let line = text.split(|byte| byte.is_ascii_control()).next();
            let line = String::from_utf8_lossy(line.unwrap_or_default());
            let sentence = line.split(". ").next().unwrap_or_default();
            sentence
                .chars()
                .take(40)
                .collect::<String>()
                .trim_end()
                .to_owned()
        }
        Reply::Integer(value) => value.to_string(),
        Reply::Nil | Reply::NilArray => "nil".to_owned(),
        Reply::Array(parts)
        | Reply::Map(parts)
        | Reply::Keyed(parts)
        | Reply::Set(parts)
        | Reply::Push(parts)
        | Reply::Several(parts) => parts.first().map_or_else(|| "empty".to_owned(), brief),
        Reply::Scored(_) | Reply::Double(_) | Reply::Boolean(_) => format!("{reply:?}"),
    }
}

impl CommandFaults {
    pub(crate) fn new(rng: ChaCha8Rng, is_loaded: bool) -> Self {
        Self {
            is_loaded,
            worked_until: 0,
            active: Vec::new(),
            rng,
            connections: BTreeMap::new(),
            replaced: BTreeMap::new(),
            connected: 0,
            counts: BTreeMap::new(),
            strikes: Vec::new(),
            coverage: CoverageRecorder::default(),
            now: 0,
            busy_until: 0,
            late_until: 0,
            stopped_until: 0,
        }
    }

    /// A connection of a replica to a node opens; what is returned is its number, and cuts it.
    pub(crate) fn open(&mut self, replica: usize, node: usize) -> (u64, Arc<Notify>) {
        let cut = Arc::new(Notify::new());
        self.connected += 1;
        let connection = (replica, node, cut.clone());
        self.connections.insert(self.connected, connection);
        (self.connected, cut)
    }

    pub(crate) fn close(&mut self, connection: u64) {
        self.connections.remove(&connection);
        self.replaced.remove(&connection);
    }

    pub(crate) fn begin(&mut self, fault: Fault) {
        if !fault.kind.is_instant() {
            self.active.push(fault);
        }
    }

    pub(crate) fn end(&mut self, fault: Fault) {
        if let Some(index) = self.active.iter().position(|other| *other == fault) {
            self.active.remove(index);
        }
    }

    pub(crate) fn struck(&mut self, kind: FaultKind) {
        *self.counts.entry(kind).or_default() += 1;
        self.coverage.struck(kind, self.now);
    }

    pub(crate) fn set_now(&mut self, now: Duration) {
        self.now = nanos(now);
    }

    pub(super) fn met(&mut self, situation: Situation) {
        self.coverage.met(situation);
    }

    /// The coverage so far.
    pub(crate) fn take_coverage(&mut self) -> CoverageRecorder {
        std::mem::take(&mut self.coverage)
    }

    /// The strikes on single commands, each as a fault that strikes one command
    /// at about the same time.
    pub(crate) fn take_strikes(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.strikes)
    }

    /// How often each fault struck.
    pub(crate) fn counts(&self) -> &BTreeMap<FaultKind, u64> {
        &self.counts
    }

    /// Cuts every connection.
    pub(crate) fn cut_all(&mut self) {
        for (.., cut) in self.connections.values() {
            cut.notify_one();
        }
    }

    /// Cuts every connection to one node.
    pub(crate) fn cut_all_at(&mut self, node: usize) {
        let connections = self.connections.values();
        for (.., cut) in connections.filter(|(_, at, _)| *at == node) {
            cut.notify_one();
        }
    }

    /// Cuts the connections of one replica.
    pub(crate) fn cut_all_of(&mut self, replica: usize) {
        let connections = self.connections.values();
        for (.., cut) in connections.filter(|(owner, ..)| *owner == replica) {
            cut.notify_one();
        }
    }

    /// The open connections of one replica lead to a node that serves it no more.
    pub(crate) fn replace_node(&mut self, replica: usize, fault: Fault) {
        let connections = self.connections.iter();
        let of_replica = connections.filter(|(_, (owner, ..))| *owner == replica);
        self.replaced
            .extend(of_replica.map(|(connection, _)| (*connection, fault)));
    }

    /// Whether the server accepts no connections now.
    pub(crate) fn is_down(&self) -> bool {
        let down = [ServerFault::RedisRestart, ServerFault::RedisKilled].map(FaultKind::from);
        let is_down = |kind| match kind {
            FaultKind::LossFault(kind) => kind.restarts(),
            _ => down.contains(&kind),
        };
        self.active.iter().any(|fault| is_down(fault.kind))
    }

    /// No command runs until then, in milliseconds.
    pub(crate) fn stop_until(&mut self, end: u64) {
        self.stopped_until = self.stopped_until.max(end);
    }

    /// Whether a late command may still run.
    pub(crate) fn is_awaited(&self, now: u64) -> bool {
        now <= self.late_until + TICK_MS
    }

    /// A fault of this kind that strikes a command of this replica now.
    fn strikes_now(&mut self, kind: impl Into<FaultKind>, owner: usize) -> Option<Fault> {
        let kind = kind.into();
        let index = self.active.iter().position(|fault| {
            fault.kind == kind && fault.replica.is_none_or(|replica| replica == owner)
        })?;
        let fault = self.active[index];
        let (percent, spelled_out) = match kind {
            FaultKind::CommandFault(command) if command.cuts() => (fault.amount, Some(0)),
            // Half of the commands, so that later ones overtake late ones, and that
            // one can succeed after an error.
            FaultKind::CommandFault(
                CommandFault::LateCommand | CommandFault::ErrorAfterExecution,
            ) => (50, Some(fault.amount)),
            FaultKind::CommandFault(_) => (100, Some(fault.amount)),
            FaultKind::LinkFault(_)
            | FaultKind::ProcessFault(_)
            | FaultKind::LockFault(_)
            | FaultKind::ServerFault(_)
            | FaultKind::LossFault(_) => (100, None),
        };
        let percent = match fault.once {
            true => 100,
            false => u32::try_from(percent).unwrap_or(0).min(100),
        };
        if !self.rng.random_ratio(percent, 100) {
            return None;
        }
        if fault.once {
            self.active.remove(index);
        }
        self.strikes.extend(spelled_out.map(|amount| Fault {
            at: self.now / 1_000_000,
            lasts: STRIKE_WINDOW_MS,
            replica: Some(owner),
            amount,
            once: true,
            ..fault
        }));
        self.struck(kind);
        Some(fault)
    }

    /// How long a script waits for those before it, of all connections or of its own until
    /// `behind`; and until when the server works on it, in nanoseconds.
    fn queue(&mut self, command: &Command, behind: Option<u64>) -> (Duration, u64) {
        let began = behind.unwrap_or(self.worked_until).max(self.now);
        if !self.is_loaded || !command.is("EVALSHA") {
            return (Duration::ZERO, began);
        }
        let bytes: usize = command.words().iter().map(|word| word.len()).sum();
        let takes = SCRIPT_NANOS + BYTE_NANOS * bytes as u64;
        self.worked_until = self.worked_until.max(began) + takes;
        (Duration::from_nanos(began - self.now), began + takes)
    }

    /// What becomes of a command that arrives `now`, in milliseconds.
    pub(crate) fn arrival(
        &mut self,
        replica: usize,
        connection: u64,
        command: &Command,
        now: u64,
    ) -> Before {
        let replaced = self.replaced.get(&connection);
        if let Some(refusal) = replaced.and_then(|fault| fault.refusal(command.is("EVALSHA"))) {
            self.struck(LinkFault::NodeReplaced.into());
            return Before::Refuse(refusal.to_owned());
        }
        if self
            .strikes_now(CommandFault::ResetBeforeExecution, replica)
            .is_some()
        {
            return Before::Cut;
        }
        if let Some(fault) = self.strikes_now(CommandFault::LateCommand, replica) {
            let delay = fault.amount.unsigned_abs();
            self.late_until = self.late_until.max(now + delay);
            return Before::Delay(Duration::from_millis(delay));
        }
        if command.is("EVALSHA")
            && now >= self.busy_until
            && let Some(fault) = self.strikes_now(ServerFault::SlowScript, replica)
        {
            self.busy_until = now + fault.amount.unsigned_abs();
        }
        let waits_until = self.busy_until.max(self.stopped_until);
        if now < waits_until {
            return Before::Delay(Duration::from_millis(waits_until - now));
        }
        Before::Run
    }

    /// What becomes of a reply.
    pub(crate) fn departure(&mut self, replica: usize, reply: &Reply, is_elsewhere: bool) -> After {
        if let Reply::Error(message) = reply
            && !is_elsewhere
        {
            self.count_error(message);
        }
        // A missing permission is found by the script, which says so.
        if let Reply::Array(parts) = reply
            && parts.first() == Some(&Reply::text("denied"))
        {
            self.struck(ServerFault::Noperm.into());
        }
        if self
            .strikes_now(CommandFault::ResetAfterExecution, replica)
            .is_some()
        {
            return After::Cut;
        }
        if self
            .strikes_now(CommandFault::ResetMidReply, replica)
            .is_some()
        {
            return After::CutMidReply;
        }
        if let Some(fault) = self.strikes_now(CommandFault::ErrorAfterExecution, replica) {
            return After::Replace(fault.error().to_owned());
        }
        if let Some(fault) = self.strikes_now(CommandFault::LateReply, replica) {
            return After::Delay(Duration::from_millis(fault.amount.unsigned_abs()));
        }
        if let Some(fault) = self.strikes_now(CommandFault::LimitedBandwidth, replica) {
            let mut bytes = BytesMut::new();
            reply.encode(&mut bytes);
            return After::Delay(fault.transfer_time(bytes.len()));
        }
        After::Send
    }

    /// A mode of the server has struck when a reply says so.
    fn count_error(&mut self, message: &[u8]) {
        let kind = [
            (&b"BUSY"[..], ServerFault::Busy),
            (b"LOADING", ServerFault::Loading),
            (b"READONLY", ServerFault::Readonly),
            (b"OOM", ServerFault::Oom),
            (b"MISCONF", ServerFault::Misconf),
            (b"NOPERM", ServerFault::Noperm),
        ]
        .into_iter()
        .find(|(code, _)| message.starts_with(code));
        if let Some((_, kind)) = kind {
            self.struck(kind.into());
        }
    }
}
