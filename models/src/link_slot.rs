//! The connection slot of a link: two threads share one production link over
//! simulated connections, while a third stalls the open connection.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions: every
//! reply is the one to its caller's command; a caller without a reply gets one
//! over another connection the next time; and a late failure of the stalled
//! connection does not close a newer one. It cannot show how the client matches
//! the replies of one connection, or that it closes a dropped one: the
//! simulated server does both by construction.
//!
//! The slot is private to the link, and no fault of a connection can make it
//! ignore its generation. So that bug is planted in a stand-in, for which the
//! model holds without the bug.

use std::future::{pending, poll_fn};

use haechi_store_redis::{
    redis::{Connect, Link, Timeouts},
    test_util::{Answers, FakeConnection, FakeServer, InstantClock},
};
use loom::{
    future::block_on,
    sync::{Arc, Mutex, MutexGuard},
    thread,
};
use redis::{Cmd, RedisResult, Value, aio::ConnectionLike};

use crate::explore::{Shown, catches, proves, show};

/// The maximum number of preemptions in a schedule.
const PREEMPTIONS: usize = 3;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Replies with the command and the connection it came over.
#[derive(Default)]
struct Server {
    state: Mutex<State>,
    /// Planted: the open connection is returned again.
    pools: bool,
}

#[derive(Default)]
struct State {
    opened: u64,
    /// Connections up to this one give no reply.
    stalled: u64,
}

impl Answers for Server {
    fn open(&self) -> RedisResult<u64> {
        let mut state = lock(&self.state);
        if state.opened == 0 || !self.pools {
            state.opened += 1;
        }
        Ok(state.opened)
    }

    async fn answer(&self, connection: u64, command: &Cmd) -> RedisResult<Value> {
        if lock(&self.state).stalled >= connection {
            return pending().await;
        }
        let said = Value::BulkString(command.get_packed_command());
        let number = i64::try_from(connection).unwrap_or(i64::MAX);
        Ok(Value::Array(vec![said, Value::Int(number)]))
    }
}

/// The model's interface to a link.
trait Sends: Clone + Send + 'static {
    fn over(server: FakeServer<Server>) -> Self;

    /// The reply; `None` if it did not come in time.
    fn request(&self, command: &Cmd) -> Option<Value>;
}

impl Sends for Link<FakeServer<Server>, InstantClock> {
    fn over(server: FakeServer<Server>) -> Self {
        Self::new(server, InstantClock, Timeouts::default())
    }

    fn request(&self, command: &Cmd) -> Option<Value> {
        block_on(self.send(command)).ok()
    }
}

/// A minimal link slot, with or without its generation.
#[derive(Clone)]
struct StandIn<const COUNTS: bool> {
    server: FakeServer<Server>,
    slot: Arc<Mutex<(Option<FakeConnection<Server>>, u64)>>,
}

impl<const COUNTS: bool> Sends for StandIn<COUNTS> {
    fn over(server: FakeServer<Server>) -> Self {
        Self {
            server,
            slot: Arc::new(Mutex::new((None, 0))),
        }
    }

    fn request(&self, command: &Cmd) -> Option<Value> {
        let open = {
            let slot = lock(&self.slot);
            slot.0.clone().map(|wire| (wire, slot.1))
        };
        let (mut wire, generation) = match open {
            Some(open) => open,
            None => {
                let wire = block_on(self.server.connect()).ok()?;
                let mut slot = lock(&self.slot);
                *slot = (Some(wire.clone()), slot.1 + 1);
                (wire, slot.1)
            }
        };
        let mut reply = wire.req_packed_command(command);
        let reply = block_on(poll_fn(|cx| {
            // A reply that is not ready counts as overdue.
            std::task::Poll::Ready(match reply.as_mut().poll(cx) {
                std::task::Poll::Ready(reply) => reply.ok(),
                std::task::Poll::Pending => None,
            })
        }));
        if reply.is_none() {
            let mut slot = lock(&self.slot);
            if !COUNTS || slot.1 == generation {
                slot.0 = None;
            }
        }
        reply
    }
}

/// A caller's reply: none, or the number of the connection.
type Replied = Option<i64>;

fn request(link: &impl Sends, name: &str) -> Result<Replied, String> {
    let mut command = redis::cmd("ECHO");
    command.arg(name);
    let Some(reply) = link.request(&command) else {
        return Ok(None);
    };
    match reply {
        Value::Array(parts) => match parts.as_slice() {
            [Value::BulkString(said), Value::Int(number)]
                if *said == command.get_packed_command() =>
            {
                Ok(Some(*number))
            }
            _ => Err("another's reply".to_owned()),
        },
        _ => Err("another's reply".to_owned()),
    }
}

fn request_twice(link: &impl Sends, names: [&str; 2]) -> Result<[Replied; 2], String> {
    Ok([request(link, names[0])?, request(link, names[1])?])
}

fn two_threads<L: Sends>(pools: bool) -> Shown {
    let server = FakeServer::new(Server {
        pools,
        ..Server::default()
    });
    let link = L::over(server.clone());
    show!(request(&link, "first")? == Some(1), "no first reply");
    let third = {
        let server = server.clone();
        thread::spawn(move || {
            let mut state = lock(&server.answers().state);
            state.stalled = state.opened;
        })
    };
    let other = {
        let link = link.clone();
        thread::spawn(move || request_twice(&link, ["a", "b"]))
    };
    let mine = request_twice(&link, ["c", "d"])?;
    let other = other.join().map_err(|_| "a thread panicked")??;
    third.join().map_err(|_| "a thread panicked")?;

    let opened = lock(&server.answers().state).opened;
    for replies in [mine, other] {
        show!(replies != [None, None], "no reply twice");
        if replies[1].is_some_and(|number| number > 1) {
            show!(request(&link, "last")?.is_some(), "no reply at the end");
            show!(
                lock(&server.answers().state).opened == opened,
                "a working connection was closed"
            );
        }
    }
    Ok(())
}

/// Would catch a reply taken for another's, a stalled connection that is
/// reused, and a working one that is closed by the failure of the one before.
#[test]
fn a_failed_connection_is_replaced_once() {
    proves("link", PREEMPTIONS, || {
        two_threads::<Link<FakeServer<Server>, InstantClock>>(false)
    });
    proves("link, stand-in", PREEMPTIONS, || {
        two_threads::<StandIn<true>>(false)
    });
}

#[test]
fn planted_a_slot_without_a_generation() {
    catches(
        "link, stand-in without generation",
        PREEMPTIONS,
        "was closed",
        || two_threads::<StandIn<false>>(false),
    );
}

#[test]
fn planted_a_connection_that_is_given_out_again() {
    catches(
        "link, pooled connections",
        PREEMPTIONS,
        "no reply twice",
        || two_threads::<Link<FakeServer<Server>, InstantClock>>(true),
    );
}
