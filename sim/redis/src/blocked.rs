//! Connections that wait for an element, as BLPOP does, or for an entry of a stream, as XREAD does.
//!
//! They are served after the command, transaction or script that brings it, in the order in which they began to wait.

use super::cmd::Ctx;
use super::durable::UNBLOCKED;
use super::reply::{Protocol, Reply};
use super::session::Session;
use super::state::State;
use bytes::Bytes;

/// Takes an element for a command of these words, if there is one.
pub(super) type Take = fn(&mut Ctx<'_>, &[Bytes]) -> Result<Option<Reply>, Reply>;

/// A connection that waits.
pub(super) struct Blocked {
    pub(super) id: u64,
    pub(super) db: i64,
    pub(super) protocol: Protocol,
    pub(super) words: Vec<Bytes>,
    pub(super) take: Take,
    /// Until when, in microseconds; `None`: for ever.
    pub(super) until: Option<u64>,
}

/// Serves those that wait, as far as there are elements.
pub(super) fn serve(state: &mut Box<State>) {
    let mut waiting = std::mem::take(&mut state.blocked);
    let mut is_served = true;
    // What BLMOVE takes can be what another connection waits for.
    while is_served {
        is_served = false;
        waiting.retain(|blocked| {
            state.switch_to(blocked.db);
            let session = &mut Session::default();
            // A key of another type is not what it waits for.
            let Ok(Some(reply)) = (blocked.take)(&mut Ctx { state, session }, &blocked.words)
            else {
                return true;
            };
            let reply = match blocked.protocol {
                Protocol::Resp2 => reply.in_resp2(),
                Protocol::Resp3 => reply,
            };
            state.served.insert(blocked.id, reply);
            is_served = true;
            false
        });
    }
    state.blocked = waiting;
}

impl State {
    /// The reply to the command that this connection waits with, once there is one.
    pub(super) fn answer_blocked(&mut self, session: &mut Session) -> Option<Reply> {
        let reply = self.served.remove(&session.id).or_else(|| {
            let waiting = self.blocked.iter();
            let at = waiting
                .take_while(|blocked| blocked.id != session.id)
                .count();
            let until = self.blocked.get(at)?.until;
            let reply = if self.modes.readonly {
                session.closing = true;
                UNBLOCKED
            } else if until.is_some_and(|until| until <= self.micros) {
                Reply::NilArray
            } else {
                return None;
            };
            self.blocked.remove(at);
            Some(reply)
        })?;
        session.blocked = false;
        Some(reply)
    }

    /// The connection does not wait.
    pub(super) fn unblock(&mut self, id: u64) {
        self.blocked.retain(|blocked| blocked.id != id);
        self.served.remove(&id);
    }
}
