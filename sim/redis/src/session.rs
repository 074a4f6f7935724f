//! The state of a connection.

use super::durable::Waiting;
use super::reply::Protocol;
use super::resp::Command;
use bytes::Bytes;

/// The state of a connection, created by [`super::Redis::connect`].
#[derive(Debug, Default)]
pub struct Session {
    pub(super) id: u64,
    pub(super) name: Bytes,
    pub(super) user: String,
    pub(super) authenticated: bool,
    /// The commands of an open transaction.
    pub(super) queue: Option<Vec<Command>>,
    /// A command could not be queued, so EXEC will fail.
    pub(super) broken: bool,
    /// The selected database.
    pub(super) db: i64,
    /// Watched keys with their databases, and the number of the last change of each.
    pub(super) watching: Vec<(i64, Bytes, u64)>,
    /// How many channels and patterns it has subscribed to.
    pub(super) subscriptions: usize,
    pub(super) closing: bool,
    pub(super) protocol: Protocol,
    /// How often the server had started when this connection opened.
    pub(super) life: u64,
    /// The last write that WAIT waits for.
    pub(super) offset: u64,
    /// What WAIT waits for.
    pub(super) waiting: Option<Waiting>,
    /// It waits for an element.
    pub(super) blocked: bool,
    /// It is a script.
    pub(super) scripted: bool,
}

impl Session {
    /// The number that CLIENT ID answers. It counts from 1 when the server starts.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether the connection is to be closed after the last reply, as after QUIT.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether it waits, as after WAIT or BLPOP: its next command runs once [`super::Redis::waited`] has returned a reply.
    pub fn is_waiting(&self) -> bool {
        self.blocked || self.waiting.is_some()
    }

    /// Whether it has subscribed to a channel: [`super::Redis::messages`] has what it is to be sent.
    pub fn is_subscribed(&self) -> bool {
        self.subscriptions > 0
    }

    /// How its replies are encoded.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn end_transaction(&mut self) -> Option<Vec<Command>> {
        self.broken = false;
        self.queue.take()
    }
}
