//! How far a server's writes have got to its replicas and to its disk, as WAIT,
//! WAITAOF and INFO report it.
//!
//! A write has a number, the offset, as in redis-server. Where it is besides the
//! server is not simulated, only when that is acknowledged: after a delay, and not
//! at all while a place is held.

use std::collections::VecDeque;
use std::time::Duration;

use super::reply::Reply;
use super::session::Session;
use super::state::State;

/// Which server is simulated, where servers differ: whether it has WAITAOF, which writes
/// WAIT waits for, and what scripts are told. Everything else is as in redis-server 7.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerKind {
    /// redis-server 7.0. WAIT waits for all that the server had written when this
    /// connection ran its last command, of whatever kind.
    #[default]
    Redis70,
    /// valkey-server 9. WAIT and WAITAOF wait for all up to the last write of this
    /// connection; commands that change nothing do not count.
    Valkey9,
    /// redis-server 6.2: scripts cannot ask for permissions, and have other error texts.
    Redis62,
}

/// A place besides the server that gets its writes, in order: a replica, or a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// How long after a write it is acknowledged, in microseconds.
    delay: u64,
    /// It gets nothing that is written from now on.
    held: bool,
    /// What is acknowledged.
    acknowledged: u64,
    /// What it has got and will acknowledge, and when.
    pending: VecDeque<(u64, u64)>,
}

impl Place {
    pub(super) fn new(delay: Duration) -> Self {
        let delay = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        Self {
            delay,
            ..Self::default()
        }
    }

    /// What it has acknowledged by now.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(super) fn hold(&mut self, is_held: bool) {
        self.held = is_held;
    }

    /// It connects anew, and gets everything.
    fn reconnect(&mut self) {
        self.acknowledged = 0;
        self.pending.clear();
    }

    /// At `now`, the server has written up to `offset`.
    fn advance(&mut self, now: u64, offset: u64) {
        let last = self.pending.back().map_or(self.acknowledged, |last| last.1);
        if !self.held && last < offset {
            self.pending
                .push_back((now.saturating_add(self.delay), offset));
        }
        while let Some((_, offset)) = self.pending.front().filter(|(due, _)| *due <= now) {
            self.acknowledged = *offset;
            self.pending.pop_front();
        }
    }
}

/// What WAIT or WAITAOF waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// The last write that counts.
    pub(super) offset: u64,
    /// Of WAITAOF: whether on the server's disk. `None`: it is WAIT.
    pub(super) disk: Option<bool>,
    /// On how many replicas.
    pub(super) replicas: i64,
    /// Until when, in microseconds; `None`: for ever.
    pub(super) until: Option<u64>,
}

impl State {
    /// Passes the writes so far on to replicas and disk.
    pub(super) fn pass_on(&mut self) {
        let (now, offset) = (self.micros, self.keyspace.changes());
        for place in self.replicas.iter_mut().chain([&mut self.disk]) {
            place.advance(now, offset);
        }
    }

    /// A command of this connection has run; before it, the server had written up to
    /// `before`.
    pub(super) fn has_run(&mut self, session: &mut Session, before: u64) {
        let offset = self.keyspace.changes();
        if self.kind != ServerKind::Valkey9 || offset != before {
            session.offset = offset;
        }
    }

    /// What the wait answers now, and whether that is what it waits for.
    pub(super) fn reached(&self, waiting: Waiting) -> (Reply, bool) {
        let has = |place: &Place| place.acknowledged() >= waiting.offset;
        let Some(disk) = waiting.disk else {
            let replicas = self.replicas.iter().filter(|replica| has(replica)).count();
            let is_met = i64::try_from(replicas).is_ok_and(|count| count >= waiting.replicas);
            return (Reply::count(replicas), is_met);
        };
        let local = self.setting("appendonly") == "yes" && has(&self.disk);
        // The replicas' disks are not simulated: none has anything.
        let reply = vec![Reply::Integer(local.into()), Reply::Integer(0)];
        (
            Reply::Array(reply),
            (local || !disk) && waiting.replicas <= 0,
        )
    }

    /// The reply to the wait of this connection, once there is one.
    pub(super) fn waited(&mut self, session: &mut Session) -> Option<Reply> {
        if session.blocked {
            return self.answer_blocked(session);
        }
        let waiting = session.waiting?;
        if self.modes.readonly {
            session.waiting = None;
            session.closing = true;
            return Some(UNBLOCKED);
        }
        let (reply, is_met) = self.reached(waiting);
        let is_over = waiting.until.is_some_and(|until| until <= self.micros);
        (is_met || is_over).then(|| {
            session.waiting = None;
            reply
        })
    }

    /// The server starts again: its replicas connect anew; its disk has what it loads.
    pub(super) fn reconnect_replicas(&mut self) {
        for replica in &mut self.replicas {
            replica.reconnect();
        }
    }
}

pub(super) const UNBLOCKED: Reply = Reply::fail(
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
);
