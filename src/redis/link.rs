//! One connection, opened on demand and dropped after any error or timeout.
//!
//! The client crate's own reconnection supports only real TCP and draws its own
//! randomness; and a connection cannot decide whether a command may be
//! repeated. So this link sends nothing twice, except a script after NOSCRIPT.

use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use super::{
    connect::Connect,
    outcome::{Stage, classify, spoils_connection},
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
    /// For a connection to open. Default: 2 s.
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
#[derive(Clone)]
pub struct Link<N: Connect, C> {
    connect: N,
    clock: C,
    timeouts: Timeouts,
    slot: Arc<Mutex<Slot<N::Connection>>>,
}

struct Slot<T> {
    open: Option<T>,
    /// Counts connections, so that a late failure does not close a newer one.
    generation: u64,
}

impl<N: Connect, C: Clock> Link<N, C> {
    /// A link that connects at its first use.
    pub fn new(connect: N, clock: C, timeouts: Timeouts) -> Self {
        Self {
            connect,
            clock,
            timeouts,
            slot: Arc::new(Mutex::new(Slot {
                open: None,
                generation: 0,
            })),
        }
    }

    /// Sends `command`, at most once, and returns its reply.
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
        let (mut connection, generation) = self.connection().await?;
        // Also if this future is dropped at the caller's deadline: an
        // unresponsive connection must not be reused.
        let mut answered = DropUnlessAnswered {
            link: self,
            generation,
            is_answered: false,
        };
        let reply = within(
            &self.clock,
            self.timeouts.reply,
            command.query_async::<Value>(&mut connection),
        )
        .await;
        match reply {
            Some(reply) => {
                answered.is_answered = !reply.as_ref().is_err_and(spoils_connection);
                Ok(reply)
            }
            // The command may still run and its reply arrive: on this
            // connection it would be taken for another command's.
            None => Err(AttemptError::Ambiguous(Cause::new(format!(
                "no reply within {} ms",
                self.timeouts.reply.as_millis()
            )))),
        }
    }

    async fn connection(&self) -> Result<(N::Connection, u64), AttemptError> {
        {
            let slot = lock(&self.slot);
            if let Some(open) = &slot.open {
                return Ok((open.clone(), slot.generation));
            }
        }
        match within(&self.clock, self.timeouts.connect, self.connect.connect()).await {
            Some(Ok(connection)) => {
                let mut slot = lock(&self.slot);
                slot.generation += 1;
                slot.open = Some(connection.clone());
                Ok((connection, slot.generation))
            }
            Some(Err(error)) => Err(classify(&error, Stage::Connecting)),
            None => Err(AttemptError::Refused(Cause::new(format!(
                "no connection within {} ms (check that Redis runs there and can be reached)",
                self.timeouts.connect.as_millis()
            )))),
        }
    }
}

/// Drops a connection that has not answered.
struct DropUnlessAnswered<'a, N: Connect, C> {
    link: &'a Link<N, C>,
    generation: u64,
    is_answered: bool,
}

impl<N: Connect, C> Drop for DropUnlessAnswered<'_, N, C> {
    fn drop(&mut self) {
        let mut slot = lock(&self.link.slot);
        // A late failure does not close a newer connection.
        if !self.is_answered && slot.generation == self.generation {
            slot.open = None;
        }
    }
}

#[cfg(test)]
mod tests {
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
        drop(DropUnlessAnswered {
            link: &link,
            generation: late.1,
            is_answered: false,
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
