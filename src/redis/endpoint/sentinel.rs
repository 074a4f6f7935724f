//! The primary that Redis Sentinel names, watched for as long as it is written to.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{ErrorKind, RedisResult, aio::ConnectionLike, cmd, pipe};
use tokio::sync::watch;

use super::{
    guarded::{Cut, Guarded},
    nodes::{NodeAddress, Nodes, list},
};
use crate::{
    clock::{Clock, within},
    redis::connect::Connect,
};

/// When Sentinels are asked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SentinelTimes {
    /// How often they are asked for the primary while it is written to. Default: 1 s.
    pub every: Duration,
    /// How long one of them may take to answer. Default: 500 ms.
    pub answer: Duration,
    /// After which time without any answer the connection to the primary is cut, so that
    /// nothing is written to one that may have been deposed. Default: never.
    pub stop_after: Option<Duration>,
}

impl Default for SentinelTimes {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            answer: Duration::from_millis(500),
            stop_after: None,
        }
    }
}

/// The primary of a group that Redis Sentinel watches.
///
/// All Sentinels are asked at each dial, and every second while a connection is open.
/// The answer of the highest configuration epoch counts: a Sentinel that has not heard of
/// a failover yet is overruled by one that has. When one names another primary, the
/// connection is cut. A node that they name and that says that it is a replica is left for
/// its primary, if `INFO` is permitted.
#[derive(Clone)]
pub struct Sentinel<N, C> {
    /// The data nodes.
    pub(super) nodes: N,
    /// The Sentinels, who have users of their own.
    pub(super) sentinels: N,
    addresses: Arc<[NodeAddress]>,
    name: Arc<str>,
    pub(super) times: SentinelTimes,
    clock: C,
}

/// What a Sentinel says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Primary {
    /// Counts failovers.
    epoch: u64,
    node: NodeAddress,
}

impl<N: Nodes, C: Clock> Sentinel<N, C> {
    /// The group `name`, as the Sentinels at `addresses` know it.
    pub fn new(
        nodes: N,
        sentinels: N,
        addresses: Vec<NodeAddress>,
        name: impl Into<Arc<str>>,
        clock: C,
    ) -> Self {
        Self {
            nodes,
            sentinels,
            addresses: addresses.into(),
            name: name.into(),
            times: SentinelTimes::default(),
            clock,
        }
    }

    /// When they are asked.
    #[must_use]
    pub fn times(mut self, times: SentinelTimes) -> Self {
        self.times = times;
        self
    }

    /// Asks one Sentinel, over `known` if that is open.
    async fn ask(
        &self,
        address: &NodeAddress,
        known: &mut Option<N::Connection>,
    ) -> RedisResult<Primary> {
        let mut connection = match known.take() {
            Some(connection) => connection,
            None => self.sentinels.connect_to(address).await?,
        };
        // The one that leads a failover has its epoch, and still the old address among the
        // fields, until all replicas follow the new primary.
        let mut questions = pipe();
        questions.cmd("SENTINEL").arg("MASTER").arg(&*self.name);
        let address = questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME");
        address.arg(&*self.name);
        let answers = questions.query_async(&mut connection).await?;
        let (fields, address): (HashMap<String, String>, Option<(String, u16)>) = answers;
        let primary = || {
            let (host, port) = address?;
            Some(Primary {
                epoch: fields.get("config-epoch")?.parse().ok()?,
                node: NodeAddress { host, port },
            })
        };
        let nameless = (ErrorKind::UnexpectedReturnType, "a Sentinel names no node");
        let primary = primary().ok_or(nameless)?;
        *known = Some(connection);
        Ok(primary)
    }

    /// Asks all Sentinels at once; the last word of those that answer in time.
    async fn ask_all(&self, known: &mut [Option<N::Connection>]) -> RedisResult<Primary> {
        let asked = self.addresses.iter().zip(known).map(|(address, known)| {
            within(&self.clock, self.times.answer, self.ask(address, known))
        });
        let mut last: Option<Primary> = None;
        let mut failed = None;
        for answer in join_all(asked).await.into_iter().flatten() {
            match answer {
                Ok(primary) => {
                    let later = last.take().filter(|last| last.epoch >= primary.epoch);
                    last = Some(later.unwrap_or(primary));
                }
                Err(error) => failed = Some(error),
            }
        }
        let silent = || (ErrorKind::Io, "no Sentinel answers in time").into();
        last.ok_or_else(|| failed.unwrap_or_else(silent))
    }

    /// A connection to the node that Sentinels name, or to its primary if it is a replica:
    /// `FAILOVER` was used, of which Sentinels learn half a minute later.
    async fn follow(&self, named: &mut NodeAddress) -> RedisResult<N::Connection> {
        let mut connection = self.nodes.connect_to(named).await?;
        if let Some(primary) = primary_of(&mut connection).await
            && let Ok(mut followed) = self.nodes.connect_to(&primary).await
            && primary_of(&mut followed).await.is_none()
        {
            *named = primary;
            return Ok(followed);
        }
        Ok(connection)
    }

    /// Asks from time to time, and says why the connection to `primary` must be cut.
    async fn watch(
        self,
        primary: Primary,
        mut known: Vec<Option<N::Connection>>,
        cut: watch::Sender<Cut>,
    ) {
        let mut answered = self.clock.now();
        let why = loop {
            tokio::select! {
                biased;
                () = cut.closed() => return,
                () = self.clock.sleep(self.times.every) => {}
            }
            match self.ask_all(&mut known).await {
                Ok(now) if now.epoch > primary.epoch && now.node != primary.node => {
                    break format!(
                        "Sentinel names {} as the primary now, not {}",
                        now.node, primary.node
                    );
                }
                Ok(_) => answered = self.clock.now(),
                Err(error) => {
                    let silence = self.clock.now().saturating_sub(answered);
                    if self.times.stop_after.is_some_and(|most| silence >= most) {
                        break format!(
                            "no Sentinel has answered for {} s: {error}",
                            silence.as_secs()
                        );
                    }
                }
            }
        };
        let _ = cut.send(Some(why.into()));
    }
}

/// The primary of a node that says that it is a replica.
async fn primary_of(connection: &mut impl ConnectionLike) -> Option<NodeAddress> {
    let mut question = cmd("INFO");
    question.arg("replication");
    // Where INFO is denied, the store's own commands find out.
    let info: String = question.query_async(connection).await.ok()?;
    let field = |name| info.lines().find_map(|line| line.strip_prefix(name));
    (field("role:") == Some("slave")).then_some(())?;
    Some(NodeAddress {
        host: field("master_host:")?.to_owned(),
        port: field("master_port:")?.parse().ok()?,
    })
}

impl<N, C> fmt::Display for Sentinel<N, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of Sentinels at {}", self.name, list(&self.addresses))
    }
}

impl<N: Nodes, C: Clock> Connect for Sentinel<N, C> {
    type Connection = Guarded<N::Connection>;

    async fn connect(&self) -> RedisResult<Self::Connection> {
        let mut known = vec![None; self.addresses.len()];
        let mut primary = self.ask_all(&mut known).await?;
        let connection = self.follow(&mut primary.node).await?;
        let (cut, is_cut) = watch::channel(None);
        // Ends when the connection is dropped.
        tokio::spawn(self.clone().watch(primary, known, cut));
        Ok(Guarded::until(connection, is_cut))
    }
}
