//! The connection slot of a link: two threads share one production link over
//! simulated connections, while a third stalls the connection that is open.
//!
//! Proves, for the schedules with at most [`PREEMPTIONS`] preemptions: every
//! reply is the one to its caller's command; who heard nothing is heard over
//! another connection the next time; and a failure of the stalled connection
//! that is noticed late does not close its successor. It cannot show how the
//! client keeps the replies of one connection apart, or that it closes one
//! that is dropped: the simulated server does both by construction.
//!
//! The slot is private to the link and no fault of a connection can make it
//! forget its generation. So that bug is planted in a stand-in, which is shown
//! to hold without it.

use std::future::{Future, pending, poll_fn, ready};

use haechi_store_redis::redis::{Connect, Link, Timeouts};
use loom::{
    future::block_on,
    sync::{Arc, Mutex, MutexGuard},
    thread,
};
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value, aio::ConnectionLike};

use crate::{
    explore::{Shown, catches, proves, show},
    inputs::InstantClock,
};

/// Preemptions that a schedule may hold.
const PREEMPTIONS: usize = 3;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[derive(Default)]
struct Server {
    opened: u64,
    /// Connections up to this one give no reply.
    stalled: u64,
}

/// Opens connections to the server.
#[derive(Clone)]
struct Connector {
    server: Arc<Mutex<Server>>,
    /// Planted: the connection that is open already is given out again.
    pools: bool,
}

#[derive(Clone)]
struct Wire {
    server: Arc<Mutex<Server>>,
    number: u64,
}

impl Connect for Connector {
    type Connection = Wire;

    fn connect(&self) -> impl Future<Output = RedisResult<Wire>> + Send {
        let mut server = lock(&self.server);
        if server.opened == 0 || !self.pools {
            server.opened += 1;
        }
        ready(Ok(Wire {
            server: self.server.clone(),
            number: server.opened,
        }))
    }
}

impl ConnectionLike for Wire {
    /// Replies with the command and the connection it came over.
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            if lock(&self.server).stalled >= self.number {
                return pending().await;
            }
            let said = Value::BulkString(command.get_packed_command());
            let number = i64::try_from(self.number).unwrap_or(i64::MAX);
            Ok(Value::Array(vec![said, Value::Int(number)]))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(pending())
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// What the model asks of a link.
trait Sends: Clone + Send + 'static {
    fn over(connector: Connector) -> Self;

    /// The reply; `None` if it did not come in time.
    fn ask(&self, command: &Cmd) -> Option<Value>;
}

impl Sends for Link<Connector, InstantClock> {
    fn over(connector: Connector) -> Self {
        Self::new(connector, InstantClock, Timeouts::default())
    }

    fn ask(&self, command: &Cmd) -> Option<Value> {
        block_on(self.send(command)).ok()
    }
}

/// The link's slot in few words, with or without its generation.
#[derive(Clone)]
struct StandIn<const COUNTS: bool> {
    connector: Connector,
    slot: Arc<Mutex<(Option<Wire>, u64)>>,
}

impl<const COUNTS: bool> Sends for StandIn<COUNTS> {
    fn over(connector: Connector) -> Self {
        Self {
            connector,
            slot: Arc::new(Mutex::new((None, 0))),
        }
    }

    fn ask(&self, command: &Cmd) -> Option<Value> {
        let open = {
            let slot = lock(&self.slot);
            slot.0.clone().map(|wire| (wire, slot.1))
        };
        let (mut wire, generation) = match open {
            Some(open) => open,
            None => {
                let wire = block_on(self.connector.connect()).ok()?;
                let mut slot = lock(&self.slot);
                *slot = (Some(wire.clone()), slot.1 + 1);
                (wire, slot.1)
            }
        };
        let mut reply = wire.req_packed_command(command);
        let reply = block_on(poll_fn(|cx| {
            // Whatever is not there at once is overdue.
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

/// What a caller heard: nothing, or the number of the connection.
type Heard = Option<i64>;

fn ask(link: &impl Sends, name: &str) -> Result<Heard, String> {
    let mut command = redis::cmd("ECHO");
    command.arg(name);
    let Some(reply) = link.ask(&command) else {
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

fn ask_twice(link: &impl Sends, names: [&str; 2]) -> Result<[Heard; 2], String> {
    Ok([ask(link, names[0])?, ask(link, names[1])?])
}

fn two_threads<L: Sends>(pools: bool) -> Shown {
    let server = Arc::new(Mutex::new(Server::default()));
    let link = L::over(Connector {
        server: server.clone(),
        pools,
    });
    show!(ask(&link, "first")? == Some(1), "no first reply");
    let third = {
        let server = server.clone();
        thread::spawn(move || {
            let mut server = lock(&server);
            server.stalled = server.opened;
        })
    };
    let other = {
        let link = link.clone();
        thread::spawn(move || ask_twice(&link, ["a", "b"]))
    };
    let mine = ask_twice(&link, ["c", "d"])?;
    let other = other.join().map_err(|_| "a thread panicked")??;
    third.join().map_err(|_| "a thread panicked")?;

    let opened = lock(&server).opened;
    for heard in [mine, other] {
        show!(heard != [None, None], "heard nothing, and nothing again");
        if heard[1].is_some_and(|number| number > 1) {
            show!(ask(&link, "last")?.is_some(), "not heard at last");
            show!(
                lock(&server).opened == opened,
                "a connection that works was closed"
            );
        }
    }
    Ok(())
}

/// Catches a reply taken for another's, a stalled connection that is kept, and
/// one that works closed for the failure of the one before.
#[test]
fn a_failed_connection_makes_way_and_its_successor_stays() {
    proves("link", PREEMPTIONS, || {
        two_threads::<Link<Connector, InstantClock>>(false)
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
        "nothing again",
        || two_threads::<Link<Connector, InstantClock>>(true),
    );
}
