//! The simulated server behind a stream of bytes, and the place where faults strike one connection.
//!
//! A [`Gate`] is asked around every command, so that a connection can break before a command ran, after it ran but
//! before its reply, or in the middle of the reply: the three that a client cannot tell apart.

use super::{Command, Reply, Session, SharedRedis, next_command};
use bytes::BytesMut;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// Locks it also after a panic elsewhere: that panic is what a test should show, not a second one.
pub(super) fn lock<T: ?Sized>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection: which life of the server it belongs to, and its number within it, as CLIENT ID answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// Counts the server's restarts, from 1.
    pub life: u64,
    /// Counts connections from 1.
    pub id: u64,
}

/// What to do with a command that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Run it.
    Run,
    /// Run it so much later, even if its client is gone by then: a late command.
    Delay(Duration),
    /// Drop the connection; the command does not run.
    Cut,
    /// Answer this error, code first, and do not run it.
    Refuse(String),
}

/// What to do with the reply of a command that has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Send it.
    Send,
    /// Send it so much later.
    Delay(Duration),
    /// Drop the connection instead.
    Cut,
    /// Send about half of it, then drop the connection.
    CutMidReply,
}

/// What strikes one server's connections. The default is that nothing does.
pub trait Gate {
    /// A connection has opened. What this answers cuts it when notified, at once if it waits for a command; a command
    /// already read still runs, and its reply is lost.
    fn opened(&mut self, _conn: ConnId) -> Option<Arc<Notify>> {
        None
    }

    /// A command has arrived and has not run.
    fn before(&mut self, _conn: ConnId, _command: &Command) -> Before {
        Before::Run
    }

    /// A command has run, and its reply is not sent.
    fn after(&mut self, _conn: ConnId, _command: &Command, _reply: &Reply) -> After {
        After::Send
    }

    /// The connection has ended, whoever ended it.
    fn closed(&mut self, _conn: ConnId) {}
}

/// A gate that lets everything through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Gate for Open {}

/// Serves one connection until either side ends it.
///
/// Commands of a connection run one after the other, in order, however many were sent at once. `sleep` is the world's
/// clock; it is used for the gate's delays only. Dropping the future is a crash of the server: a delayed command is
/// lost with it.
///
/// # Errors
/// None that matter: a connection that breaks is the ordinary end of one. The error is for a log.
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

/// Whether a connection goes on.
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
                if self.one(stream, &command, &mut output).await? == Next::Close {
                    return Ok(());
                }
            }
            // Replies to what was sent at once go out at once.
            if !output.is_empty() {
                stream.write_all(&output).await?;
                stream.flush().await?;
                output.clear();
            }
            if self.session.is_closing() {
                return stream.shutdown().await;
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

    /// Runs one command, as far as the gate lets it.
    async fn one<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
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
        let reply = {
            let mut redis = lock(self.redis);
            if !redis.is_current(&self.session) {
                return Ok(Next::Close);
            }
            redis.execute(&mut self.session, command)
        };
        let after = lock(self.gate).after(self.conn, command, &reply);
        match after {
            After::Send => reply.encode_as(self.session.protocol(), output),
            After::Delay(delay) => {
                // What was answered before is not held up with it.
                stream.write_all(output).await?;
                output.clear();
                (self.sleep)(delay).await;
                reply.encode_as(self.session.protocol(), output);
            }
            After::Cut => {
                // Earlier replies of the same batch were sent; only this one is lost.
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
}
