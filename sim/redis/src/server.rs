//! Serves a connection over any stream of bytes, and injects faults into it.
//!
//! A [`Gate`] is called before and after every command. It can break the
//! connection before the command runs, after it ran but before its reply, or in
//! the middle of the reply: three cases that a client cannot distinguish.

use super::{Command, Reply, Session, SharedRedis, next_command};
use bytes::BytesMut;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// How often a connection that waits looks whether there is a reply.
const WAIT_INTERVAL: Duration = Duration::from_millis(5);

/// Locks, also after a panic of another thread: a test should report that panic, not a second one.
pub(super) fn lock<T: ?Sized>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection, among all that a server ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// How often the server had started, from 1.
    pub life: u64,
    /// The connection's number since that start, as CLIENT ID answers it, from 1.
    pub id: u64,
}

/// What to do with a command that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Run it.
    Run,
    /// Run it after this time, even if the client is gone by then.
    Delay(Duration),
    /// Close the connection without running it.
    Cut,
    /// Reply this error, which begins with its code, without running it.
    Refuse(String),
}

/// What to do with the reply to a command that has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Send it.
    Send,
    /// Send it after this time.
    Delay(Duration),
    /// Send this error, which begins with its code, instead.
    Replace(String),
    /// Close the connection without sending it.
    Cut,
    /// Send about half of it, then close the connection.
    CutMidReply,
}

/// Injects faults into connections. By default there are none.
pub trait Gate {
    /// A connection has opened. Notifying the [`Notify`] that is returned closes it: at once while it waits for a command,
    /// otherwise after the commands that were already read, whose replies may be lost.
    fn opened(&mut self, _conn: ConnId) -> Option<Arc<Notify>> {
        None
    }

    /// A command has arrived and is about to run.
    fn before(&mut self, _conn: ConnId, _command: &Command) -> Before {
        Before::Run
    }

    /// A command runs now. A reply is that of a node that does not run it, as one of a
    /// cluster that sends its clients elsewhere.
    fn instead(&mut self, _conn: ConnId, _command: &Command) -> Option<Reply> {
        None
    }

    /// A command has run, and its reply is about to be sent.
    fn after(&mut self, _conn: ConnId, _command: &Command, _reply: &Reply) -> After {
        After::Send
    }

    /// The connection has ended, from either side.
    fn closed(&mut self, _conn: ConnId) {}
}

/// A gate without faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Gate for Open {}

/// Serves a connection until either side closes it.
///
/// Its commands run one after the other, also if they were sent at once. `sleep` is only used for the gate's delays.
/// Dropping the future closes the connection; a delayed command then does not run.
///
/// # Errors
/// When the stream breaks. That is an ordinary way for a connection to end; the error is for logs.
pub async fn serve_connection<S, G, Sleep, Slept>(
    stream: S,
    redis: SharedRedis,
    gate: Arc<Mutex<G>>,
    sleep: Sleep,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    G: Gate + ?Sized,
    Sleep: Fn(Duration) -> Slept,
    Slept: Future<Output = ()>,
{
    let mut stream = stream;
    let session = lock(&redis).connect();
    let session = match session {
        Ok(session) => session,
        Err(refusal) => {
            let mut out = BytesMut::new();
            refusal.encode(&mut out);
            stream.write_all(&out).await?;
            return stream.shutdown().await;
        }
    };
    let conn = ConnId {
        life: session.life,
        id: session.id,
    };
    let cut = lock(&gate).opened(conn);
    let mut connection = Connection {
        redis: &redis,
        gate: &gate,
        sleep: &sleep,
        conn,
        session,
        cut,
    };
    let ended = connection.serve(&mut stream).await;
    lock(&redis).disconnect(&connection.session);
    lock(&gate).closed(conn);
    ended
}

struct Connection<'a, G: ?Sized, Sleep> {
    redis: &'a SharedRedis,
    gate: &'a Arc<Mutex<G>>,
    sleep: &'a Sleep,
    conn: ConnId,
    session: Session,
    cut: Option<Arc<Notify>>,
}

/// Whether the connection goes on.
#[derive(PartialEq)]
enum Next {
    Continue,
    Close,
}

impl<G, Sleep, Slept> Connection<'_, G, Sleep>
where
    G: Gate + ?Sized,
    Sleep: Fn(Duration) -> Slept,
    Slept: Future<Output = ()>,
{
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        let mut input = BytesMut::with_capacity(4096);
        let mut output = BytesMut::with_capacity(4096);
        loop {
            loop {
                let command = match next_command(&mut input) {
                    Ok(Some(command)) => command,
                    Ok(None) => break,
                    Err(text) => {
                        Reply::error(text).encode(&mut output);
                        stream.write_all(&output).await?;
                        return stream.shutdown().await;
                    }
                };
                if self.one(stream, &mut input, &command, &mut output).await? == Next::Close {
                    return Ok(());
                }
            }
            // Replies to commands that were sent together are sent together.
            if !output.is_empty() {
                stream.write_all(&output).await?;
                stream.flush().await?;
                output.clear();
            }
            if self.session.is_closing() {
                return stream.shutdown().await;
            }
            if self.session.is_subscribed() {
                match self.listen(stream, &mut input).await? {
                    Some(messages) => output.unsplit(messages),
                    None => return Ok(()),
                }
                continue;
            }
            let read = match &self.cut {
                None => stream.read_buf(&mut input).await?,
                Some(cut) => tokio::select! {
                    biased;
                    () = cut.notified() => return Ok(()),
                    read = stream.read_buf(&mut input) => read?,
                },
            };
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// Runs a command, unless the gate decides otherwise.
    async fn one<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        input: &mut BytesMut,
        command: &Command,
        output: &mut BytesMut,
    ) -> io::Result<Next> {
        let before = lock(self.gate).before(self.conn, command);
        match before {
            Before::Run => {}
            Before::Delay(delay) => (self.sleep)(delay).await,
            Before::Cut => return Ok(Next::Close),
            Before::Refuse(text) => {
                Reply::error(text).encode(output);
                return Ok(Next::Continue);
            }
        }
        if !lock(self.redis).is_current(&self.session) {
            return Ok(Next::Close);
        }
        let instead = lock(self.gate).instead(self.conn, command);
        let reply = match instead {
            Some(reply) => reply,
            None => lock(self.redis).execute(&mut self.session, command),
        };
        let reply = if self.session.is_waiting() {
            // Replies to earlier commands do not wait with it.
            stream.write_all(output).await?;
            output.clear();
            match self.wait(stream, input).await? {
                Some(reply) => reply,
                None => return Ok(Next::Close),
            }
        } else {
            reply
        };
        if self.session.is_subscribed() {
            self.encode_messages(output);
        }
        let after = lock(self.gate).after(self.conn, command, &reply);
        match after {
            After::Send => reply.encode_as(self.session.protocol(), output),
            After::Delay(delay) => {
                // Replies to earlier commands are not delayed with it.
                stream.write_all(output).await?;
                output.clear();
                (self.sleep)(delay).await;
                reply.encode_as(self.session.protocol(), output);
            }
            After::Replace(text) => Reply::error(text).encode(output),
            After::Cut => {
                // Replies to earlier commands are sent; only this one is lost.
                stream.write_all(output).await?;
                return Ok(Next::Close);
            }
            After::CutMidReply => {
                let whole = output.len();
                reply.encode_as(self.session.protocol(), output);
                let half = whole + (output.len() - whole) / 2;
                stream.write_all(&output[..half]).await?;
                return Ok(Next::Close);
            }
        }
        if self.session.is_closing() {
            stream.write_all(output).await?;
            output.clear();
            stream.shutdown().await?;
            return Ok(Next::Close);
        }
        Ok(Next::Continue)
    }

    /// Waits for a command, or for messages of the channels; `None` if the connection ends before that.
    async fn listen<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        input: &mut BytesMut,
    ) -> io::Result<Option<BytesMut>> {
        if !self.goes_on(stream, input).await? || !lock(self.redis).is_current(&self.session) {
            return Ok(None);
        }
        let mut messages = BytesMut::new();
        self.encode_messages(&mut messages);
        Ok(Some(messages))
    }

    fn encode_messages(&self, output: &mut BytesMut) {
        for message in lock(self.redis).messages(&self.session) {
            message.encode_as(self.session.protocol(), output);
        }
    }

    /// Waits for the reply to a command that waits; `None` if the connection ends before that. What the client sends
    /// meanwhile is kept.
    async fn wait<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        input: &mut BytesMut,
    ) -> io::Result<Option<Reply>> {
        while self.goes_on(stream, input).await? {
            let mut redis = lock(self.redis);
            if !redis.is_current(&self.session) {
                return Ok(None);
            }
            if let Some(reply) = redis.waited(&mut self.session) {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Waits for what the client sends, or for a while; whether the connection goes on.
    async fn goes_on<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        input: &mut BytesMut,
    ) -> io::Result<bool> {
        let cut = self.cut.clone().unwrap_or_default();
        tokio::select! {
            biased;
            () = cut.notified() => Ok(false),
            read = stream.read_buf(input) => Ok(read? > 0),
            () = (self.sleep)(WAIT_INTERVAL) => Ok(true),
        }
    }
}
