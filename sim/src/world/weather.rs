//! What happens to single commands on their way into and out of the simulated
//! Redis: the part of a plan that only the server's side can carry out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;

use super::{TICK_MS, coverage::Watch, log::nanos, shared::Shared};
use crate::fault::{Fault, FaultKind};
use redis_sim::{
    Command, Reply,
    server::{After, Before, ConnId, Gate},
};

/// How long a strike that is spelled out waits for its command: whatever is
/// left out of a schedule may move the command a little.
const AROUND_MS: u64 = 4 * TICK_MS;

/// The faults that strike commands now.
pub(crate) struct Weather {
    active: Vec<Fault>,
    rng: ChaCha8Rng,
    /// How to cut each connection.
    connections: BTreeMap<ConnId, Arc<Notify>>,
    struck: BTreeMap<FaultKind, u64>,
    /// What struck single commands, spelled out.
    strikes: Vec<Fault>,
    watch: Watch,
    /// In nanoseconds.
    now: u64,
    /// Until when a slow script keeps everybody waiting, in milliseconds.
    busy_until: u64,
}

/// The way of one replica's connection through the weather.
pub(crate) struct Path {
    pub(crate) shared: Shared,
    pub(crate) replica: usize,
    /// Whether the command on its way was held back by a fault.
    pub(crate) late: bool,
}

impl Gate for Path {
    fn opened(&mut self, connection: ConnId) -> Option<Arc<Notify>> {
        let cut = Arc::new(Notify::new());
        self.shared.weather(|weather| {
            weather.connections.insert(connection, cut.clone());
        });
        Some(cut)
    }

    fn before(&mut self, _: ConnId, command: &Command) -> Before {
        let now = u64::try_from(self.shared.now().as_millis()).unwrap_or(u64::MAX);
        let verdict = self
            .shared
            .weather(|weather| weather.arrival(self.replica, command, now));
        self.late = matches!(verdict, Before::Delay(_));
        if verdict != Before::Run {
            self.note(command, &format!("{verdict:?}"));
        }
        verdict
    }

    fn after(&mut self, _: ConnId, command: &Command, reply: &Reply) -> After {
        let verdict = self.shared.weather(|weather| {
            weather.watch.ran(command, reply, self.late);
            weather.departure(self.replica, reply)
        });
        self.note(command, &format!("{} {verdict:?}", brief(reply)));
        verdict
    }

    fn closed(&mut self, connection: ConnId) {
        self.shared.weather(|weather| {
            weather.connections.remove(&connection);
        });
    }
}

impl Path {
    fn note(&self, command: &Command, what: &str) {
        let name = String::from_utf8_lossy(command.name());
        self.shared
            .trace(|| format!("redis: {name} of r{}: {what}", self.replica));
    }
}

/// What a reply says, in a word.
fn brief(reply: &Reply) -> String {
    match reply {
        Reply::Status(text)
        | Reply::Error(text)
        | Reply::Bulk(text)
        | Reply::BigNumber(text)
        | Reply::Verbatim(_, text) => {
            // One event, one line.
            let line = text.split(|byte| byte.is_ascii_control()).next();
            let line = line.unwrap_or_default();
            String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned()
        }
        Reply::Integer(value) => value.to_string(),
        Reply::Nil | Reply::NilArray => "nil".to_owned(),
        Reply::Array(parts) | Reply::Map(parts) | Reply::Set(parts) => {
            parts.first().map_or_else(|| "empty".to_owned(), brief)
        }
        Reply::Scored(_) | Reply::Double(_) | Reply::Boolean(_) => format!("{reply:?}"),
    }
}

impl Weather {
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        Self {
            active: Vec::new(),
            rng,
            connections: BTreeMap::new(),
            struck: BTreeMap::new(),
            strikes: Vec::new(),
            watch: Watch::default(),
            now: 0,
            busy_until: 0,
        }
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
        *self.struck.entry(kind).or_default() += 1;
        self.watch.struck(kind, self.now);
    }

    pub(crate) fn set_now(&mut self, now: Duration) {
        self.now = nanos(now);
    }

    /// What was met until now.
    pub(super) fn take_watch(&mut self) -> Watch {
        std::mem::take(&mut self.watch)
    }

    /// Everything that struck single commands: each as a fault that strikes
    /// one command, at about the same time.
    pub(super) fn take_strikes(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.strikes)
    }

    /// How often each fault struck.
    pub(crate) fn strikes(&self) -> &BTreeMap<FaultKind, u64> {
        &self.struck
    }

    /// Cuts every connection.
    pub(crate) fn cut_all(&mut self) {
        for cut in self.connections.values() {
            cut.notify_one();
        }
    }

    /// Whether the server accepts nobody at the moment.
    pub(crate) fn is_down(&self) -> bool {
        self.active
            .iter()
            .any(|fault| fault.kind == FaultKind::RedisRestart)
    }

    /// A fault of this kind that strikes a command of this replica now.
    fn strikes_now(&mut self, kind: FaultKind, owner: usize) -> Option<Fault> {
        let index = self.active.iter().position(|fault| {
            fault.kind == kind && fault.replica.is_none_or(|replica| replica == owner)
        })?;
        let fault = self.active[index];
        let odds = match kind {
            _ if fault.once => 100,
            _ if kind.cuts() => u32::try_from(fault.amount).unwrap_or(0).min(100),
            // Half of the commands, so that later ones overtake late ones.
            FaultKind::LateCommand => 50,
            _ => 100,
        };
        if !self.rng.random_ratio(odds, 100) {
            return None;
        }
        if fault.once {
            self.active.remove(index);
        }
        if kind.strikes_commands() {
            self.strikes.push(Fault {
                at: self.now / 1_000_000,
                lasts: AROUND_MS,
                replica: Some(owner),
                amount: if kind.cuts() { 0 } else { fault.amount },
                once: true,
                ..fault
            });
        }
        self.struck(kind);
        Some(fault)
    }

    fn arrival(&mut self, replica: usize, command: &Command, now: u64) -> Before {
        if self
            .strikes_now(FaultKind::ResetBeforeExecution, replica)
            .is_some()
        {
            return Before::Cut;
        }
        if let Some(fault) = self.strikes_now(FaultKind::LateCommand, replica) {
            return Before::Delay(Duration::from_millis(fault.amount.unsigned_abs()));
        }
        if command.is("EVALSHA")
            && now >= self.busy_until
            && let Some(fault) = self.strikes_now(FaultKind::SlowScript, replica)
        {
            self.busy_until = now + fault.amount.unsigned_abs();
        }
        if now < self.busy_until {
            return Before::Delay(Duration::from_millis(self.busy_until - now));
        }
        Before::Run
    }

    fn departure(&mut self, replica: usize, reply: &Reply) -> After {
        if let Reply::Error(message) = reply {
            self.count_error(message);
        }
        // A missing permission is found by the script, which says so.
        if let Reply::Array(parts) = reply
            && parts.first() == Some(&Reply::text("denied"))
        {
            self.struck(FaultKind::NoPerm);
        }
        if self
            .strikes_now(FaultKind::ResetAfterExecution, replica)
            .is_some()
        {
            return After::Cut;
        }
        if self
            .strikes_now(FaultKind::ResetMidReply, replica)
            .is_some()
        {
            return After::CutMidReply;
        }
        match self.strikes_now(FaultKind::LateReply, replica) {
            Some(fault) => After::Delay(Duration::from_millis(fault.amount.unsigned_abs())),
            None => After::Send,
        }
    }

    /// A mode of the server has struck when a reply says so.
    fn count_error(&mut self, message: &[u8]) {
        let kind = [
            (&b"BUSY"[..], FaultKind::Busy),
            (b"LOADING", FaultKind::Loading),
            (b"READONLY", FaultKind::ReadOnly),
            (b"OOM", FaultKind::OutOfMemory),
            (b"MISCONF", FaultKind::MisConf),
            (b"NOPERM", FaultKind::NoPerm),
        ]
        .into_iter()
        .find(|(code, _)| message.starts_with(code));
        if let Some((_, kind)) = kind {
            self.struck(kind);
        }
    }
}
