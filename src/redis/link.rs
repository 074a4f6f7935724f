//! One connection, opened on demand and dropped after any error or timeout.
//!
//! The client crate's own reconnection supports only real TCP and draws its own
//! randomness; and a connection cannot decide whether a command may be
//! repeated. So this link sends nothing twice, except a script after NOSCRIPT.

use std::{pin::Pin, time::Duration};

use futures_util::future::{FutureExt as _, Shared, WeakShared, join};
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};

use super::{
    connect::Connect,
    outcome::{Stage, classify, raised, spoils_connection},
    ready::Unfit,
    script::Script,
};
use crate::{
    clock::{Clock, deserialize_duration, within},
    error::{AttemptError, Cause},
    health::Health,
    sync::{Arc, Mutex, lock},
    telemetry::Telemetry,
};

/// The timeouts of a link.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Timeouts {
    /// For a connection to open and be checked. Default: 2 s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub connect: Duration,
    /// For a reply. Default: 2 s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub reply: Duration,
    /// For disk or replicas, if a write must be [durable](crate::Durability): the
    /// time-out of `WAIT` and `WAITAOF`. Default: 2 s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub durability: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            reply: Duration::from_secs(2),
            durability: Duration::from_secs(2),
        }
    }
}

/// The kind of a round trip that runs no script.
const COMMAND: &str = "command";

/// A connection to one Redis that reconnects. Clones share it.
///
/// Callers that meet no open connection wait for one dial, and share its
/// failure. Whichever of them is polled drives it; it ends when the last of them
/// leaves.
#[derive(Clone)]
pub struct Link<N: Connect, C> {
    connect: N,
    clock: C,
    timeouts: Timeouts,
    refuses: Unfit,
    telemetry: Telemetry,
    slot: Arc<Mutex<Slot<N::Connection>>>,
}

struct Slot<T> {
    open: Option<T>,
    /// Counts connections, so that a late failure does not close a newer one.
    generation: u64,
    /// The connection that was checked last.
    fit: u64,
    /// Counts replies, to tell a silent connection from a busy one.
    replies: u64,
    /// The dial under way. Only those who wait for it keep it: one that nobody
    /// polls would exceed its timeout.
    dial: Option<WeakShared<Dial<T>>>,
}

type Dial<T> = Pin<Box<dyn Future<Output = Result<Open<T>, AttemptError>> + Send>>;

impl<T: Clone> Slot<T> {
    fn open(&self) -> Option<Open<T>> {
        Some(Open {
            connection: self.open.clone()?,
            generation: self.generation,
            replies: self.replies,
        })
    }

    fn opened(&mut self, connection: T, is_checked: bool) -> Open<T> {
        self.generation += 1;
        if is_checked {
            self.fit = self.generation;
        }
        self.open = Some(connection.clone());
        Open {
            connection,
            generation: self.generation,
            replies: self.replies,
        }
    }
}

/// An open connection, and what the slot counted when it was taken from there.
#[derive(Clone)]
struct Open<T> {
    connection: T,
    generation: u64,
    replies: u64,
}

impl<N: Connect, C: Clock> Link<N, C> {
    /// A link that connects at its first use. Where keys are on different servers,
    /// `connect` has to know one ([`Connect::serving`]).
    pub fn new(connect: N, clock: C, timeouts: Timeouts) -> Self {
        Self {
            connect,
            clock,
            timeouts,
            refuses: Unfit::default(),
            telemetry: Telemetry::default(),
            slot: Arc::new(Mutex::new(Slot {
                open: None,
                generation: 0,
                fit: 0,
                replies: 0,
                dial: None,
            })),
        }
    }

    /// The same link, which from now on uses no connection to a Redis that is unfit in one
    /// of these ways: commands are then refused, and the next one looks again.
    pub(crate) fn refusing(mut self, refuses: Unfit) -> Self {
        self.refuses = refuses;
        self
    }

    /// The same link, which tells of its dials and round trips as those of this store.
    pub(super) fn told_as(mut self, store: Telemetry) -> Self {
        self.telemetry = store;
        self
    }

    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The connection that was opened last.
    pub(super) fn generation(&self) -> u64 {
        lock(&self.slot).generation
    }

    /// That connection need not be checked any more.
    pub(super) fn found_fit(&self, generation: u64) {
        let mut slot = lock(&self.slot);
        slot.fit = slot.fit.max(generation);
    }

    /// A link with a connection of its own.
    #[must_use]
    pub fn another(&self) -> Self {
        let another = Self::new(self.connect.clone(), self.clock.clone(), self.timeouts);
        another
            .refusing(self.refuses)
            .told_as(self.telemetry.clone())
    }

    /// What is known of the way to Redis beside what commands show.
    pub(super) fn health(&self) -> Health {
        self.connect.health()
    }

    /// The timeouts.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
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
        match self.try_send(COMMAND, command).await? {
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
        match self.try_send(script.name(), call).await? {
            Ok(value) => Ok(value),
            // The script did not run, so it can be loaded and called again.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                match self.send(&script.load()).await {
                    Ok(_) => self
                        .try_send(script.name(), call)
                        .await?
                        .map_err(|error| classify(&error, Stage::Sent)),
                    Err(AttemptError::Ambiguous(cause)) => Err(AttemptError::Refused(cause)),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(classify(&error, Stage::Sent)),
        }
    }

    /// Runs a script and, pipelined behind it on the same connection, `wait`, which
    /// has `patience` beyond the timeout for a reply. Returns both replies.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), of the script.
    pub(super) async fn run_and_wait(
        &self,
        script: &Script,
        call: &Cmd,
        wait: &Cmd,
        patience: Duration,
    ) -> Result<(Value, Result<Value, RedisError>), AttemptError> {
        let patience = self.timeouts.reply.saturating_add(patience);
        let both = || {
            self.exchange(script.name(), patience, |mut connection| async move {
                let mut behind = connection.clone();
                // In this order: the first is polled first.
                let (reply, waited) = join(
                    call.query_async::<Value>(&mut connection),
                    wait.query_async::<Value>(&mut behind),
                )
                .await;
                match waited {
                    // Asked again, on another connection.
                    Err(error) if reply.is_ok() && spoils_connection(&error) => Err(error),
                    waited => Ok((reply?, waited)),
                }
            })
        };
        let error = match both().await? {
            Ok(replies) => return Ok(replies),
            Err(error) => error,
        };
        // The script did not run: what `wait` answered says nothing about it.
        if error.kind() != ErrorKind::Server(ServerErrorKind::NoScript) {
            return Err(classify(&error, Stage::Sent));
        }
        self.send(&script.load()).await?;
        both().await?.map_err(|error| classify(&error, Stage::Sent))
    }

    /// The reply, or the connection's error.
    async fn try_send(
        &self,
        kind: &'static str,
        command: &Cmd,
    ) -> Result<Result<Value, RedisError>, AttemptError> {
        self.exchange(kind, self.timeouts.reply, |mut connection| async move {
            command.query_async::<Value>(&mut connection).await
        })
        .await
    }

    /// What `exchange` returns, which sends to the open connection, within `patience`: one
    /// round trip of this kind.
    async fn exchange<T, F>(
        &self,
        kind: &'static str,
        patience: Duration,
        exchange: impl FnOnce(N::Connection) -> F,
    ) -> Result<Result<T, RedisError>, AttemptError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let open = self.connection().await?;
        let mut request = Request {
            link: self,
            generation: open.generation,
            replies: open.replies,
            kind,
            began: self.clock.now(),
            end: End::GivenUp,
        };
        let replied = within(&self.clock, patience, exchange(open.connection)).await;
        match replied.map(|reply| reply.map_err(raised)) {
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
                    patience.as_millis()
                ))))
            }
        }
    }

    /// The open connection, or the one that is dialled.
    async fn connection(&self) -> Result<Open<N::Connection>, AttemptError> {
        let may_use = |slot: &Slot<_>, generation| !self.refuses.any() || slot.fit == generation;
        loop {
            let dial = {
                let mut slot = lock(&self.slot);
                if let Some(open) = slot.open()
                    && may_use(&slot, open.generation)
                {
                    return Ok(open);
                }
                match slot.dial.as_ref().and_then(WeakShared::upgrade) {
                    Some(dial) => dial,
                    None => {
                        let dial = self.dial();
                        slot.dial = dial.downgrade();
                        dial
                    }
                }
            };
            let mut open = dial.await?;
            let slot = lock(&self.slot);
            // A link that refuses nothing may have dialled.
            if may_use(&slot, open.generation) {
                // Others that waited may have had replies since.
                open.replies = slot.replies;
                return Ok(open);
            }
        }
    }

    fn dial(&self) -> Shared<Dial<N::Connection>> {
        let (connect, clock, timeouts) = (self.connect.clone(), self.clock.clone(), self.timeouts);
        let refuses = self.refuses;
        let (slot, telemetry) = (self.slot.clone(), self.telemetry.clone());
        let dial: Dial<N::Connection> = Box::pin(async move {
            let dialled = async {
                let opened = connect.connect().await;
                let mut connection = opened.map_err(|error| classify(&error, Stage::Connecting))?;
                refuses.check(&mut connection).await?;
                Ok(connection)
            };
            let began = clock.now();
            let dialled = within(&clock, timeouts.connect, telemetry.dial().around(dialled)).await;
            let dialled = dialled.unwrap_or_else(|| {
                Err(AttemptError::Refused(Cause::new(format!(
                    "no connection within {} ms (check that Redis runs there and can be reached)",
                    timeouts.connect.as_millis()
                ))))
            });
            telemetry.dialled(&dialled, clock.now().saturating_sub(began));
            let mut slot = lock(&slot);
            slot.dial = None;
            dialled.map(|connection| slot.opened(connection, refuses.any()))
        });
        dial.shared()
    }
}

/// A command that was sent.
struct Request<'a, N: Connect, C: Clock> {
    link: &'a Link<N, C>,
    generation: u64,
    /// What the slot had counted when it was sent.
    replies: u64,
    kind: &'static str,
    began: Duration,
    end: End,
}

enum End {
    Answered,
    /// The connection broke, or must not be used again.
    Spoiled,
    /// The future was dropped, at a caller's deadline for example.
    GivenUp,
}

impl<N: Connect, C: Clock> Drop for Request<'_, N, C> {
    fn drop(&mut self) {
        let took = || self.link.clock.now().saturating_sub(self.began);
        self.link.telemetry.round_trip(self.kind, took);
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
mod tests;
