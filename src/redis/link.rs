//! One connection, opened on demand and dropped after any error or timeout.
//!
//! The client crate's own reconnection supports only real TCP and draws its own
//! randomness; and a connection cannot decide whether a command may be
//! repeated. So this link sends nothing twice, except a script after NOSCRIPT.

use std::{pin::Pin, time::Duration};

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use super::{
    connect::Connect,
    outcome::{Stage, classify, spoils_connection},
    ready::refuse_evicting,
    script::Script,
};
use crate::{
    clock::{Clock, within},
    error::{AttemptError, Cause},
    sync::{Arc, Mutex, lock},
};

/// The timeouts of a link.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// For a connection to open and be checked. Default: 2 s.
    pub connect: Duration,
    /// For a reply. Default: 2 s.
    pub reply: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            reply: Duration::from_secs(2),
        }
    }
}

/// A connection to one Redis that reconnects. Clones share it.
///
/// Callers that meet no open connection wait for one dial. It goes on while one
/// of them waits, and they share its failure.
#[derive(Clone)]
pub struct Link<N: Connect, C> {
    connect: N,
    clock: C,
    timeouts: Timeouts,
    refuses_eviction: bool,
    slot: Arc<Mutex<Slot<N::Connection>>>,
    /// The dial that is under way. Whoever has locked it polls it.
    dial: Arc<tokio::sync::Mutex<Option<Dial<N::Connection>>>>,
}

type Dial<T> = Pin<Box<dyn Future<Output = Result<T, AttemptError>> + Send>>;

struct Slot<T> {
    open: Option<T>,
    /// Counts connections, so that a late failure does not close a newer one.
    generation: u64,
    /// Counts replies, to tell a silent connection from a busy one.
    replies: u64,
    /// Counts dials that ended.
    dials: u64,
    /// How the last one failed.
    failed: Option<AttemptError>,
}

impl<T: Clone> Slot<T> {
    fn open(&self) -> Option<Open<T>> {
        Some(Open {
            connection: self.open.clone()?,
            generation: self.generation,
            replies: self.replies,
        })
    }
}

/// An open connection, and what the slot counted when it was taken from there.
struct Open<T> {
    connection: T,
    generation: u64,
    replies: u64,
}

impl<N: Connect, C: Clock> Link<N, C> {
    /// A link that connects at its first use.
    pub fn new(connect: N, clock: C, timeouts: Timeouts) -> Self {
        Self {
            connect,
            clock,
            timeouts,
            refuses_eviction: false,
            slot: Arc::new(Mutex::new(Slot {
                open: None,
                generation: 0,
                replies: 0,
                dials: 0,
                failed: None,
            })),
            dial: Arc::default(),
        }
    }

    /// The same link, which from now on opens no connection to a Redis that
    /// [evicts](super::NotReady::Evicting): commands are then denied, and the next
    /// one looks again.
    pub(crate) fn refusing_eviction(mut self) -> Self {
        self.refuses_eviction = true;
        self
    }

    /// Sends `command`, at most once, and returns its reply.
    ///
    /// Dropping the future withdraws nothing that was sent. It closes the
    /// connection if nothing was answered on it in the meantime.
    ///
    /// # Errors
    ///
    /// [`AttemptError::Ambiguous`] unless the command certainly did not run and
    /// will not.
    pub async fn send(&self, command: &Cmd) -> Result<Value, AttemptError> {
        match self.try_send(command).await? {
            Ok(value) => Ok(value),
            Err(error) => Err(classify(&error, Stage::Sent)),
        }
    }

    /// Runs a script; `call` is [`Script::call`] with its arguments.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub async fn run(&self, script: &Script, call: &Cmd) -> Result<Value, AttemptError> {
        match self.try_send(call).await? {
            Ok(value) => Ok(value),
            // The script did not run, so it can be loaded and called again.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                match self.send(&script.load()).await {
                    Ok(_) => self.send(call).await,
                    Err(AttemptError::Ambiguous(cause)) => Err(AttemptError::Refused(cause)),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(classify(&error, Stage::Sent)),
        }
    }

    /// The reply, or the connection's error.
    async fn try_send(&self, command: &Cmd) -> Result<Result<Value, RedisError>, AttemptError> {
        let mut open = self.connection().await?;
        let mut request = Request {
            link: self,
            generation: open.generation,
            replies: open.replies,
            end: End::GivenUp,
        };
        let reply = within(
            &self.clock,
            self.timeouts.reply,
            command.query_async::<Value>(&mut open.connection),
        )
        .await;
        match reply {
            Some(Err(error)) if spoils_connection(&error) => {
                request.end = End::Spoiled;
                Ok(Err(error))
            }
            Some(reply) => {
                request.end = End::Answered;
                Ok(reply)
            }
            // The command may still run and its reply arrive.
            None => {
                request.end = End::Spoiled;
                Err(AttemptError::Ambiguous(Cause::new(format!(
                    "no reply within {} ms",
                    self.timeouts.reply.as_millis()
                ))))
            }
        }
    }

    /// The open connection, or the one that is dialled.
    async fn connection(&self) -> Result<Open<N::Connection>, AttemptError> {
        let dials = {
            let slot = lock(&self.slot);
            if let Some(open) = slot.open() {
                return Ok(open);
            }
            slot.dials
        };
        // Dropped after the lock on the dial.
        let _waiter = Waiter(self);
        let mut dial = self.dial.lock().await;
        {
            let slot = lock(&self.slot);
            if let Some(open) = slot.open() {
                return Ok(open);
            }
            // A dial ended while this caller waited.
            if let Some(failed) = &slot.failed
                && slot.dials != dials
            {
                return Err(failed.clone());
            }
        }
        let dialled = dial.get_or_insert_with(|| self.dial()).await;
        *dial = None;
        let mut slot = lock(&self.slot);
        slot.dials += 1;
        match dialled {
            Ok(connection) => {
                slot.failed = None;
                slot.generation += 1;
                slot.open = Some(connection.clone());
                Ok(Open {
                    connection,
                    generation: slot.generation,
                    replies: slot.replies,
                })
            }
            Err(failed) => {
                slot.failed = Some(failed.clone());
                Err(failed)
            }
        }
    }

    fn dial(&self) -> Dial<N::Connection> {
        let (connect, clock, timeouts) = (self.connect.clone(), self.clock.clone(), self.timeouts);
        let refuses_eviction = self.refuses_eviction;
        Box::pin(async move {
            let dialled = async {
                let opened = connect.connect().await;
                let mut connection = opened.map_err(|error| classify(&error, Stage::Connecting))?;
                if refuses_eviction {
                    refuse_evicting(&mut connection).await?;
                }
                Ok(connection)
            };
            match within(&clock, timeouts.connect, dialled).await {
                Some(dialled) => dialled,
                None => Err(AttemptError::Refused(Cause::new(format!(
                    "no connection within {} ms (check that Redis runs there and can be reached)",
                    timeouts.connect.as_millis()
                )))),
            }
        })
    }
}

/// A caller that waits for a connection. The last one to leave ends the dial:
/// one that nobody polls would exceed its timeout.
struct Waiter<'a, N: Connect, C>(&'a Link<N, C>);

impl<N: Connect, C> Drop for Waiter<'_, N, C> {
    fn drop(&mut self) {
        // Fails if another caller polls the dial or is next to.
        if let Ok(mut dial) = self.0.dial.try_lock() {
            *dial = None;
        }
    }
}

/// A command that was sent.
struct Request<'a, N: Connect, C> {
    link: &'a Link<N, C>,
    generation: u64,
    /// What the slot had counted when it was sent.
    replies: u64,
    end: End,
}

enum End {
    Answered,
    /// The connection broke, or must not be used again.
    Spoiled,
    /// The future was dropped, at a caller's deadline for example.
    GivenUp,
}

impl<N: Connect, C> Drop for Request<'_, N, C> {
    fn drop(&mut self) {
        let mut slot = lock(&self.link.slot);
        // A late failure does not close a newer connection.
        if slot.generation != self.generation {
            return;
        }
        match self.end {
            End::Answered => slot.replies += 1,
            // Others are still answered on this connection.
            End::GivenUp if slot.replies != self.replies => {}
            End::GivenUp | End::Spoiled => slot.open = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use redis::cmd;

    use super::*;
    use crate::test_util::{
        Answer, AutoClock, FakeConnection, Script as FakeScript, ScriptedServer,
    };

    fn link(server: &ScriptedServer) -> Link<ScriptedServer, AutoClock> {
        Link::new(server.clone(), AutoClock::default(), Timeouts::default())
    }

    fn run<F: Future>(link: &Link<ScriptedServer, AutoClock>, future: F) -> F::Output {
        link.clock.run(future).unwrap()
    }

    fn no_script() -> Answer {
        let kind = ErrorKind::Server(ServerErrorKind::NoScript);
        Answer::Error((kind, "NOSCRIPT", "no matching script".to_owned()).into())
    }

    fn ok() -> Answer {
        Answer::Reply(Value::Okay)
    }

    /// Would catch a new connection for each command, and one that is reused
    /// although an old reply may still arrive.
    #[test]
    fn a_connection_is_reused_until_an_error() {
        let server = ScriptedServer::scripted([
            ok(),
            Answer::error("OOM", "no"),
            ok(),
            Answer::Silence,
            ok(),
            Answer::Error((ErrorKind::Server(ServerErrorKind::ReadOnly), "demoted").into()),
            ok(),
        ]);
        let link = link(&server);
        let ping = cmd("PING");
        let mut opened = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..7 {
            ends.push(match run(&link, link.send(&ping)) {
                Ok(Value::Okay) => "ok",
                Ok(_) => "another reply",
                Err(AttemptError::Refused(_)) => "refused",
                Err(AttemptError::Ambiguous(_)) => "ambiguous",
                Err(_) => "another error",
            });
            opened.push(server.opened());
        }
        assert_eq!(
            ends,
            ["ok", "refused", "ok", "ambiguous", "ok", "refused", "ok"]
        );
        assert_eq!(opened, [1, 1, 1, 1, 2, 2, 3]);
        assert_eq!(server.received().len(), 7, "nothing is sent twice");
    }

    /// Would catch a late failure of a connection that closes a newer one.
    #[test]
    fn a_late_failure_does_not_close_the_next_connection() {
        let server = ScriptedServer::scripted([Answer::Silence, ok()]);
        let link = link(&server);
        let late = run(&link, link.connection()).unwrap();
        let failed = run(&link, link.send(&cmd("PING")));
        assert!(matches!(failed, Err(AttemptError::Ambiguous(_))));
        assert_eq!(run(&link, link.send(&cmd("PING"))).unwrap(), Value::Okay);
        drop(Request {
            link: &link,
            generation: late.generation,
            replies: late.replies,
            end: End::Spoiled,
        });
        run(&link, link.connection()).unwrap();
        assert_eq!(server.opened(), 2);
    }

    /// Would catch a script that is never loaded, one that is loaded each time,
    /// and one that is sent again after another error.
    #[test]
    fn only_an_unknown_script_is_loaded_and_sent_again() {
        let script = Script::new("return 1");
        let call = script.call(&[]);
        let names = |server: &ScriptedServer| -> Vec<bool> {
            let is_load = |asked: &String| asked.contains("LOAD");
            server.received().iter().map(is_load).collect()
        };

        let server =
            ScriptedServer::scripted([no_script(), ok(), Answer::Reply(Value::Int(1)), ok()]);
        let known = link(&server);
        assert_eq!(
            run(&known, known.run(&script, &call)).unwrap(),
            Value::Int(1)
        );
        assert_eq!(run(&known, known.run(&script, &call)).unwrap(), Value::Okay);
        assert_eq!(names(&server), [false, true, false, false]);

        let server =
            ScriptedServer::scripted([Answer::error("ERR", "upstream failure"), ok(), ok()]);
        let link = self::link(&server);
        let failed = run(&link, link.run(&script, &call));
        assert!(matches!(failed, Err(AttemptError::Ambiguous(_))));
        assert_eq!(names(&server), [false]);

        // Loading may have failed, but the call certainly did not run.
        let server = ScriptedServer::scripted([no_script(), Answer::Silence, ok()]);
        let link = self::link(&server);
        let failed = run(&link, link.run(&script, &call));
        assert!(matches!(failed, Err(AttemptError::Refused(_))));
        assert_eq!(names(&server), [false, true]);
    }

    /// A server to which no connection opens.
    #[derive(Clone)]
    struct Unreachable;

    impl Connect for Unreachable {
        type Connection = FakeConnection<FakeScript>;

        async fn connect(&self) -> redis::RedisResult<Self::Connection> {
            std::future::pending().await
        }
    }

    /// Would catch a connection that is waited for as long as a reply, or the
    /// other way round.
    #[test]
    fn connections_and_replies_have_timeouts_of_their_own() {
        let timeouts = Timeouts {
            connect: Duration::from_secs(1),
            reply: Duration::from_secs(3),
        };
        let clock = AutoClock::default();
        let link = Link::new(Unreachable, clock.clone(), timeouts);
        let failed = clock.run(link.send(&cmd("PING"))).unwrap();
        assert!(matches!(failed, Err(AttemptError::Refused(_))));
        assert_eq!(clock.now(), timeouts.connect);

        let clock = AutoClock::default();
        let server = ScriptedServer::scripted([Answer::Silence]);
        let link = Link::new(server, clock.clone(), timeouts);
        let failed = clock.run(link.send(&cmd("PING"))).unwrap();
        assert!(matches!(failed, Err(AttemptError::Ambiguous(_))));
        assert_eq!(clock.now(), timeouts.reply);
    }

    /// Runs all of them concurrently.
    async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
        let mut futures: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
        poll_fn(|cx| {
            for (future, output) in &mut futures {
                if output.is_none()
                    && let Poll::Ready(ready) = future.as_mut().poll(cx)
                {
                    *output = Some(ready);
                }
            }
            match futures.iter().all(|(_, output)| output.is_some()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        futures
            .into_iter()
            .filter_map(|(_, output)| output)
            .collect()
    }

    /// A server that takes `dial` to open a connection.
    #[derive(Clone)]
    struct Slow {
        server: ScriptedServer,
        clock: AutoClock,
        dial: Duration,
        dials: Arc<Mutex<u32>>,
    }

    impl Slow {
        fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
            Self {
                server: ScriptedServer::scripted(answers),
                clock: AutoClock::default(),
                dial: Duration::from_millis(100),
                dials: Arc::default(),
            }
        }

        fn link(&self) -> Link<Self, AutoClock> {
            Link::new(self.clone(), self.clock.clone(), Timeouts::default())
        }

        fn dials(&self) -> u32 {
            *lock(&self.dials)
        }
    }

    impl Connect for Slow {
        type Connection = FakeConnection<FakeScript>;

        async fn connect(&self) -> redis::RedisResult<Self::Connection> {
            *lock(&self.dials) += 1;
            self.clock.sleep(self.dial).await;
            self.server.connect().await
        }
    }

    const CALLERS: usize = 100;

    /// Would catch callers that each dial after a connection was cut, and those
    /// that dial one after the other where none opens.
    #[test]
    fn callers_wait_for_one_connection() {
        let cut = Answer::Error((ErrorKind::Io, "cut").into());
        let oks = (0..CALLERS).map(|_| ok());
        let slow = Slow::new(std::iter::once(cut).chain(oks));
        let link = slow.link();
        slow.clock.run(link.connection()).unwrap().unwrap();
        let ping = cmd("PING");
        let callers = (0..CALLERS).map(|_| async {
            // The first one meets the cut.
            while link.send(&ping).await.is_err() {}
        });
        slow.clock.run(all(callers)).unwrap();
        assert_eq!(slow.dials(), 2);

        let away = Slow::new([Answer::Away((ErrorKind::Io, "away").into())]);
        let link = away.link();
        let callers = (0..CALLERS).map(|_| link.send(&ping));
        for end in away.clock.run(all(callers)).unwrap() {
            assert!(matches!(end, Err(AttemptError::Refused(_))), "{end:?}");
        }
        assert_eq!(away.dials(), 1);
    }

    /// Would catch a dial that begins again whenever a caller leaves, and one
    /// that is kept, with its timeout, when nobody waits for it.
    #[test]
    fn a_dial_goes_on_while_a_caller_waits() {
        let slow = Slow::new([ok()]);
        let (link, clock) = (slow.link(), slow.clock.clone());
        let ping = cmd("PING");
        let send = async |begin: u64, patience: u64| {
            clock.sleep(Duration::from_millis(begin)).await;
            within(&clock, Duration::from_millis(patience), link.send(&ping)).await
        };
        let [left, stayed] = [(0, 60), (30, 1000)].map(|(begin, patience)| send(begin, patience));
        let ends = clock.run(all([left, stayed])).unwrap();
        assert!(ends[0].is_none());
        assert_eq!(ends[1].clone().unwrap().unwrap(), Value::Okay);
        assert_eq!(slow.dials(), 1);
        assert_eq!(clock.now(), slow.dial);

        let slow = Slow::new([ok()]);
        let (link, clock) = (slow.link(), slow.clock.clone());
        let send = async |patience: u64| {
            within(&clock, Duration::from_millis(patience), link.send(&ping)).await
        };
        let both = async {
            assert!(send(50).await.is_none());
            clock.sleep(Duration::from_secs(10)).await;
            send(1000).await
        };
        let end = clock.run(both).unwrap();
        assert_eq!(end.unwrap().unwrap(), Value::Okay);
        assert_eq!(slow.dials(), 2);
    }

    /// Would catch callers that lose a working connection because one of them
    /// has a short deadline, and one that reuses a silent connection.
    #[test]
    fn a_caller_that_gives_up_closes_only_a_silent_connection() {
        let give_up = |answers: [Answer; 3], then_answered: bool| {
            let server = ScriptedServer::scripted(answers);
            let link = link(&server);
            let ping = cmd("PING");
            let [patience, pause] = [20, 10].map(Duration::from_millis);
            let gives_up = within(&link.clock, patience, link.send(&ping));
            let other = async {
                link.clock.sleep(pause).await;
                match then_answered {
                    true => link.send(&ping).await.map(Some),
                    false => Ok(None),
                }
            };
            let (given_up, answered) = run(&link, async { tokio::join!(gives_up, other) });
            assert!(given_up.is_none());
            assert_eq!(answered.unwrap().is_some(), then_answered);
            assert_eq!(run(&link, link.send(&ping)).unwrap(), Value::Okay);
            server.opened()
        };
        assert_eq!(give_up([Answer::Silence, ok(), ok()], true), 1);
        assert_eq!(give_up([Answer::Silence, ok(), ok()], false), 2);
    }

    /// Would catch a check that is skipped, one that refuses a user who may run
    /// neither INFO nor CONFIG, and "may have run" when the check fails.
    #[test]
    fn a_connection_is_checked_before_it_is_used() {
        let info = |policy: &str| {
            let text = format!("# Memory\r\nmaxmemory_policy:{policy}\r\n");
            Answer::Reply(Value::BulkString(text.into_bytes()))
        };
        let denied = || Answer::error("NOPERM", "no");
        for (answers, expected) in [
            (vec![info("noeviction"), ok()], "ok"),
            (vec![info("allkeys-lru")], "denied"),
            (vec![denied(), denied(), ok()], "ok"),
            (vec![Answer::error("BUSY", "a script runs")], "refused"),
            (vec![Answer::Silence], "refused"),
            (
                vec![Answer::Error((ErrorKind::Io, "cut").into())],
                "refused",
            ),
        ] {
            let case = format!("{answers:?}");
            let server = ScriptedServer::scripted(answers);
            let link = link(&server).refusing_eviction();
            let ended = match run(&link, link.send(&cmd("PING"))) {
                Ok(_) => "ok",
                Err(AttemptError::Denied(_)) => "denied",
                Err(AttemptError::Refused(_)) => "refused",
                Err(_) => "another error",
            };
            assert_eq!(ended, expected, "{case}");
            let is_sent = server.received().iter().any(|sent| sent.contains("PING"));
            assert_eq!(is_sent, expected == "ok", "{case}");
        }
    }

    /// Would catch "may have run" although nothing was sent.
    #[test]
    fn a_server_that_cannot_be_reached_refuses() {
        let server = ScriptedServer::scripted([Answer::Away((ErrorKind::Io, "away").into()), ok()]);
        let link = link(&server);
        let failed = run(&link, link.send(&cmd("PING")));
        assert!(matches!(failed, Err(AttemptError::Refused(_))));
        assert_eq!(server.received(), Vec::<String>::new());
        assert_eq!(run(&link, link.send(&cmd("PING"))).unwrap(), Value::Okay);
    }
}
