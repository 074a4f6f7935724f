//! How a simulated replica reaches the simulated Redis, its Sentinels, or its cluster:
//! the real client over turmoil's TCP.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use haechi_store_redis::redis::{
    Cluster, Connect, Guarded, NodeAddress, Nodes, Sentinel, SentinelTimes,
};
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

use super::{
    clock::{PauseGate, SimClock},
    handle::WorldHandle,
};
use crate::{plan::Topology, record::command_of};

/// The host name of the simulated Redis.
pub(crate) const REDIS_HOST: &str = "redis";
/// Its port.
pub(crate) const REDIS_PORT: u16 = 6379;
/// The hosts that have data, the first one as the primary at the begin.
pub(super) const DATA_HOSTS: [&str; 2] = [REDIS_HOST, "redis2"];
/// The hosts of the Sentinels.
pub(super) const SENTINEL_HOSTS: [&str; 3] = ["sentinel1", "sentinel2", "sentinel3"];
/// Their port.
pub(super) const SENTINEL_PORT: u16 = 26379;
/// The name of the group that they watch.
pub(super) const GROUP: &str = "mymaster";

/// The hosts of Redis in a world.
pub(super) fn hosts(topology: Topology) -> impl Iterator<Item = &'static str> {
    let (data, sentinels) = match topology {
        Topology::Server => (1, 0),
        Topology::Sentinel => (2, 3),
        Topology::Cluster => (2, 0),
    };
    let data = DATA_HOSTS.into_iter().take(data);
    data.chain(SENTINEL_HOSTS.into_iter().take(sentinels))
}

/// An address of a host.
pub(super) fn address(host: &str, port: u16) -> NodeAddress {
    NodeAddress {
        host: host.to_owned(),
        port,
    }
}

/// Connects one simulated process.
#[derive(Clone)]
pub(crate) enum SimConnect {
    Server(SimNodes),
    Sentinel(Box<Sentinel<SimNodes, SimClock>>),
    Cluster(Cluster<SimNodes, SimClock>),
}

/// The hosts, as one simulated process reaches them.
#[derive(Clone)]
pub(crate) struct SimNodes {
    pub(crate) gate: PauseGate,
    pub(crate) power: Power,
    pub(crate) connections: Connections,
    /// After which a reply is given up; `None` where the caller bounds every wait.
    pub(crate) reply_timeout: Option<Duration>,
    /// `None` where the trace does not say which requests are given up.
    pub(crate) client: Option<Client>,
}

/// A process of a world, whose trace is told which requests it gives up.
#[derive(Clone)]
pub(crate) struct Client {
    pub(super) world: WorldHandle,
    pub(super) process: usize,
}

/// Waits for a reply to `command`, or without one for a connection; the trace says so if
/// that is given up.
struct Wait<'a> {
    client: Option<&'a Client>,
    power: &'a Power,
    host: &'a str,
    command: Option<&'a Cmd>,
    has_begun: bool,
}

impl Wait<'_> {
    async fn until<T>(mut self, reply: impl Future<Output = T>) -> T {
        self.has_begun = true;
        let reply = reply.await;
        self.client = None;
        reply
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let Some(Client { world, process }) = self.client.filter(|_| self.has_begun) else {
            return;
        };
        // A crash and the end of the world drop tasks in the order of their ids.
        if self.power.0.lock().lost || world.is_over() {
            return;
        }
        let what = match self.command.and_then(command_of) {
            Some(command) => world.log().describe(&command, *process),
            None => format!("connection of r{process}"),
        };
        world.trace(|| format!("{}: {what}: given up by r{process}", self.host));
    }
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

impl SimConnect {
    /// The way of a process, which asks Sentinels, where there are any, at these times.
    pub(super) fn new(
        nodes: SimNodes,
        clock: SimClock,
        topology: Topology,
        times: SentinelTimes,
    ) -> Self {
        match topology {
            Topology::Server => Self::Server(nodes),
            Topology::Sentinel => {
                let sentinels = SimNodes {
                    connections: Connections::default(),
                    ..nodes.clone()
                };
                let addresses = SENTINEL_HOSTS.map(|host| address(host, SENTINEL_PORT));
                let sentinel = Sentinel::new(nodes, sentinels, addresses.into(), GROUP, clock);
                Self::Sentinel(Box::new(sentinel.times(times)))
            }
            Topology::Cluster => {
                let seeds = DATA_HOSTS.map(|host| address(host, REDIS_PORT));
                Self::Cluster(Cluster::new(nodes, seeds.into(), clock))
            }
        }
    }
}

impl Connect for SimConnect {
    type Connection = SimLink;

    fn serving(self, key: &str) -> Self {
        match self {
            Self::Cluster(cluster) => Self::Cluster(cluster.serving(key)),
            way => way,
        }
    }

    async fn connect(&self) -> RedisResult<SimLink> {
        Ok(match self {
            Self::Server(nodes) => {
                SimLink::Plain(nodes.connect_to(&address(REDIS_HOST, REDIS_PORT)).await?)
            }
            Self::Sentinel(sentinel) => SimLink::Guarded(sentinel.connect().await?),
            Self::Cluster(cluster) => SimLink::Guarded(cluster.connect().await?),
        })
    }
}

/// A connection of a process to Redis.
#[derive(Clone)]
pub(crate) enum SimLink {
    Plain(SimConnection),
    Guarded(Guarded<SimConnection>),
}

impl ConnectionLike for SimLink {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Plain(connection) => connection.req_packed_command(cmd),
            Self::Guarded(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Plain(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Guarded(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Plain(connection) => connection.get_db(),
            Self::Guarded(connection) => connection.get_db(),
        }
    }
}

impl Nodes for SimNodes {
    type Connection = SimConnection;

    async fn connect_to(&self, node: &NodeAddress) -> RedisResult<SimConnection> {
        self.dial(&node.host, node.port).await
    }
}

impl SimNodes {
    fn wait<'a>(&'a self, host: &'a str, command: Option<&'a Cmd>) -> Wait<'a> {
        Wait {
            client: self.client.as_ref(),
            power: &self.power,
            host,
            command,
            has_begun: false,
        }
    }

    /// Connects to a host; waits for ever if there is no answer.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> RedisResult<SimConnection> {
        let open = self.connections.dial();
        let stream = self.wait(host, None).until(async {
            match TcpStream::connect((host, port)).await {
                // turmoil refuses at once across a partition; a real partition
                // drops the packet, and the caller's own timeout ends the wait.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::future::pending().await
                }
                connected => connected,
            }
        });
        let stream = stream.await?;
        let stream = ProcessStream {
            stream: Some(stream),
            gate: self.gate.clone(),
            power: self.power.clone(),
        };
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(self.reply_timeout);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&info, stream, config).await?;
        let driver = tokio::spawn(driver).abort_handle();
        Ok(SimConnection {
            connection,
            nodes: self.clone(),
            host: host.into(),
            _driver: Arc::new(AbortOnDrop(driver)),
            _open: Arc::new(open),
        })
    }
}

/// A connection of a simulated process: a [`ConnectionLike`], for `query_async` and pipelines. Its
/// socket closes with its last clone; it is not opened again.
#[derive(Clone)]
pub struct SimConnection {
    connection: MultiplexedConnection,
    nodes: SimNodes,
    host: Arc<str>,
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
        let wait = self.nodes.wait(&self.host, Some(cmd));
        Box::pin(wait.until(self.connection.req_packed_command(cmd)))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        // Before the last one stands ASKING, or another question to a Sentinel.
        let wait = self.nodes.wait(&self.host, pipeline.cmd_iter().last());
        Box::pin(wait.until(self.connection.req_packed_commands(pipeline, offset, count)))
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
