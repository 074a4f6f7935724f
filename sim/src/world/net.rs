//! How a simulated replica reaches the simulated Redis: the real client over
//! turmoil's TCP.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use haechi_store_redis::redis::Connect;
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::AbortHandle,
};
use turmoil::net::TcpStream;

use super::clock::PauseGate;

/// The host name of the simulated Redis.
pub(crate) const REDIS_HOST: &str = "redis";
/// Its port.
pub(crate) const REDIS_PORT: u16 = 6379;

/// Connects one simulated process.
#[derive(Clone)]
pub(crate) struct SimConnect {
    pub(crate) gate: PauseGate,
    pub(crate) power: Power,
    pub(crate) connections: Connections,
}

/// How many connections a process has, and the most that it had, at a time.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<(usize, usize)>>);

impl Connections {
    pub(crate) fn most(&self) -> usize {
        self.0.lock().1
    }

    /// One that begins to open.
    fn dial(&self) -> OpenConnection {
        let (open, most) = &mut *self.0.lock();
        *open += 1;
        *most = (*most).max(*open);
        OpenConnection(self.clone())
    }
}

struct OpenConnection(Connections);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.lock().0 -= 1;
    }
}

/// Simulates a loss of power: the sockets of the process close without sending
/// a packet.
///
/// A crash drops tasks in the order of their ids, which all worlds of the
/// process share: if each socket sent a FIN when dropped, the network's draws
/// would depend on other worlds.
#[derive(Clone, Default)]
pub(crate) struct Power(Arc<Mutex<PowerState>>);

#[derive(Default)]
struct PowerState {
    lost: bool,
    silenced: Vec<TcpStream>,
}

impl Power {
    /// From here on, dropped sockets are kept and send nothing.
    pub(crate) fn cut(&self) {
        self.0.lock().lost = true;
    }

    /// Drops the kept sockets outside of any host, where they send nothing.
    pub(crate) fn restore(&self) {
        let silenced = {
            let mut state = self.0.lock();
            state.lost = false;
            std::mem::take(&mut state.silenced)
        };
        drop(silenced);
    }
}

impl Connect for SimConnect {
    type Connection = SimConnection;

    async fn connect(&self) -> RedisResult<SimConnection> {
        let open = self.connections.dial();
        let stream = match TcpStream::connect((REDIS_HOST, REDIS_PORT)).await {
            Ok(stream) => stream,
            // turmoil refuses at once across a partition; a real partition
            // drops the packet, and the caller's own timeout ends the wait.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::future::pending().await
            }
            Err(error) => return Err(error.into()),
        };
        let stream = ProcessStream {
            stream: Some(stream),
            gate: self.gate.clone(),
            power: self.power.clone(),
        };
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        // The store's own clock bounds every wait.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&info, stream, config).await?;
        let driver = tokio::spawn(driver).abort_handle();
        Ok(SimConnection {
            connection,
            _driver: Arc::new(AbortOnDrop(driver)),
            _open: Arc::new(open),
        })
    }
}

/// A connection whose socket closes with its last clone.
#[derive(Clone)]
pub(crate) struct SimConnection {
    connection: MultiplexedConnection,
    _driver: Arc<AbortOnDrop>,
    _open: Arc<OpenConnection>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ConnectionLike for SimConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.connection.req_packed_command(cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

/// A stream that is pending while its process is paused, and closes without a
/// packet after a loss of power.
struct ProcessStream {
    /// `None` only while it is dropped.
    stream: Option<TcpStream>,
    gate: PauseGate,
    power: Power,
}

impl ProcessStream {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.stream {
            Some(stream) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for ProcessStream {
    fn drop(&mut self) {
        let mut power = self.power.0.lock();
        if power.lost {
            power.silenced.extend(self.stream.take());
        }
    }
}

impl AsyncRead for ProcessStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_running(cx));
        self.stream()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for ProcessStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.gate.poll_running(cx));
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
