//! What a server knows of one connection.

use super::reply::Protocol;
use super::resp::Command;
use bytes::Bytes;

/// One connection's state. Made by [`super::Redis::connect`].
#[derive(Debug, Default)]
pub struct Session {
    pub(super) id: u64,
    pub(super) name: Bytes,
    pub(super) user: String,
    pub(super) authenticated: bool,
    /// The commands of an open MULTI.
    pub(super) queue: Option<Vec<Command>>,
    /// A command could not be queued: EXEC will refuse.
    pub(super) broken: bool,
    /// Watched keys, and the stamp each had.
    pub(super) watching: Vec<(Bytes, u64)>,
    pub(super) closing: bool,
    pub(super) protocol: Protocol,
    /// The server's life that this connection belongs to.
    pub(super) life: u64,
}

impl Session {
    /// The number that CLIENT ID answers; they count up from 1 over the server's life.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether the server closes this connection once the last reply is sent, as after QUIT.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// How replies to it are written.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn end_transaction(&mut self) -> Option<Vec<Command>> {
        self.broken = false;
        self.queue.take()
    }
}
