//! The primary that Redis Sentinel names, watched for as long as it is written to.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::{ErrorKind, RedisError, RedisResult, aio::ConnectionLike, cmd, pipe};

use super::{
    guarded::Guarded,
    heard::{Heard, Primary, Teller},
    nodes::{NodeAddress, Nodes, list},
};
use crate::{
    clock::{Clock, deserialize_duration, deserialize_optional_duration, within},
    error::Cause,
    health::Health,
    redis::connect::Connect,
    sync::{Mutex, lock},
    telemetry,
};

/// When Sentinels are asked.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SentinelTimes {
    /// How often they are asked for the primary while it is written to. Default: 1 s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub every: Duration,
    /// How long one of them may take to answer. Default: 500 ms.
    #[serde(deserialize_with = "deserialize_duration")]
    pub answer: Duration,
    /// When a round of questions fails and none was answered for this long, the connections
    /// to the primary are cut, so that nothing is written to one that may have been deposed:
    /// at most `every` and `answer` later than this. Default: never.
    #[serde(deserialize_with = "deserialize_optional_duration")]
    pub stop_after: Option<Duration>,
    /// How long most Sentinels have to name another primary than one of them did, without a
    /// later epoch, until they are believed: they were set up anew, or will never hear of
    /// that failover. Default: 10 s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub forget: Duration,
}

impl Default for SentinelTimes {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            answer: Duration::from_millis(500),
            stop_after: None,
            forget: Duration::from_secs(10),
        }
    }
}

/// The primary of a group that Redis Sentinel watches.
///
/// All Sentinels are asked at each dial, and every second while a connection of this value
/// or of a clone of it is open. The answer of the highest configuration epoch that was heard
/// counts: a Sentinel that has not heard of a failover yet is overruled by one that has.
/// When another primary counts, the connections are cut. A node that is named and that says
/// that it is a replica is left for its primary, if `INFO` is permitted.
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
    heard: Arc<Mutex<Heard>>,
}

/// How long a dial waits for further answers, once most Sentinels have answered: this part
/// of the time that one of them may take.
const REST: u32 = 5;

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
            heard: Arc::default(),
        }
    }

    /// When they are asked. It shares nothing with its clones of before.
    #[must_use]
    pub fn times(self, times: SentinelTimes) -> Self {
        let heard = Arc::default();
        Self {
            times,
            heard,
            ..self
        }
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

    /// Asks all Sentinels at once, over those that are `known`, and returns what counts then.
    /// With `rest`, it waits only so long for further answers once most have answered.
    async fn ask_all(
        &self,
        known: &mut [Option<N::Connection>],
        rest: Option<Duration>,
    ) -> RedisResult<Primary> {
        let asked = self.addresses.iter().zip(known).map(|(address, known)| {
            within(&self.clock, self.times.answer, self.ask(address, known))
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut answers = Vec::new();
        let mut failed: Option<RedisError> = None;
        loop {
            let next = match rest {
                Some(rest) if 2 * answers.len() > self.addresses.len() => {
                    within(&self.clock, rest, asked.next()).await.flatten()
                }
                _ => asked.next().await,
            };
            match next {
                None => break,
                Some(None) => {}
                Some(Some(Ok(primary))) => answers.push(primary),
                // What a Sentinel says tells more than that another one is down.
                Some(Some(Err(error))) => {
                    failed = Some(
                        failed
                            .filter(|failed| failed.code().is_some())
                            .unwrap_or(error),
                    );
                }
            }
        }
        let (now, times) = (self.clock.now(), self.times);
        let counts = lock(&self.heard).answered(&answers, self.addresses.len(), now, times.forget);
        if let Some(primary) = counts {
            return Ok(primary);
        }
        let silent = || (ErrorKind::Io, "no Sentinel answers in time").into();
        let error = failed.unwrap_or_else(silent);
        let why = Cause::new(error.to_string());
        let is_new = lock(&self.heard).silent(why.clone(), now, times.stop_after);
        if is_new {
            telemetry::sentinels_silent(&why);
        }
        Err(error)
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

    /// Asks from time to time, while there is a connection.
    async fn watch(self, mut known: Vec<Option<N::Connection>>, teller: Teller) {
        loop {
            tokio::select! {
                biased;
                () = teller.is_idle() => {
                    if teller.end(&mut lock(&self.heard)) {
                        return;
                    }
                }
                () = self.clock.sleep(self.times.every) => {
                    // It is kept, and told.
                    let _ = self.ask_all(&mut known, None).await;
                }
            }
        }
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
        let rest = self.times.answer / REST;
        let named = self.ask_all(&mut known, Some(rest)).await?;
        let mut node = named.node.clone();
        let connection = self.follow(&mut node).await?;
        let (watched, teller) = lock(&self.heard).watch(named, node);
        if let Some(teller) = teller {
            tokio::spawn(self.clone().watch(known, teller));
        }
        Ok(Guarded::until(connection, watched))
    }

    fn health(&self) -> Health {
        lock(&self.heard).health(self.clock.now())
    }
}
