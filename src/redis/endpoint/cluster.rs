//! The node of a Redis Cluster that serves the slot of a store's keys.

use std::{fmt, sync::Arc, time::Duration};

use redis::{ErrorKind, RedisResult, ServerErrorKind, Value, cmd};

use super::{
    guarded::Guarded,
    nodes::{NodeAddress, Nodes, list},
};
use crate::{
    clock::{Clock, within},
    redis::connect::Connect,
    sync::{Mutex, lock},
};

/// How many redirections are followed at one dial.
const REDIRECTIONS: usize = 5;

/// How many of the nodes that served the slot are remembered.
const REMEMBERED: usize = 16;

/// The node that serves the slot of a store's keys.
///
/// The slot is found by asking for a key of the store, and following MOVED and ASK. A
/// connection to a node that the slot is being moved to sends `ASKING` before each
/// command. When the slot has moved on, the node says so, and the next dial finds the
/// new one.
#[derive(Clone)]
pub struct Cluster<N, C> {
    pub(super) nodes: N,
    seeds: Arc<[NodeAddress]>,
    /// A key of the store, once there is one.
    key: Option<Arc<str>>,
    /// Nodes that have served the slot, the last one first.
    served: Arc<Mutex<Vec<NodeAddress>>>,
    /// Nodes that were asked and have not answered, the first one asked first: a dial can
    /// end while it waits for one, and the next one must not begin with the same.
    silent: Arc<Mutex<Vec<NodeAddress>>>,
    clock: C,
}

/// What a node says when it is asked for the key.
enum Answer<T> {
    Serves(Guarded<T>),
    /// For a reason that has nothing to do with the slot.
    Refuses(Guarded<T>),
    Refers {
        to: NodeAddress,
        by_ask: bool,
    },
}

impl<N: Nodes, C: Clock> Cluster<N, C> {
    /// The cluster that these nodes belong to.
    pub fn new(nodes: N, seeds: Vec<NodeAddress>, clock: C) -> Self {
        Self {
            nodes,
            seeds: seeds.into(),
            key: None,
            served: Arc::new(Mutex::new(Vec::new())),
            silent: Arc::new(Mutex::new(Vec::new())),
            clock,
        }
    }

    /// The node that serves the slot, asking `node` first; `None` if one does not answer in
    /// time.
    async fn follow(
        &self,
        key: &str,
        mut node: NodeAddress,
    ) -> Option<RedisResult<Guarded<N::Connection>>> {
        let mut asking = false;
        for hop in 0..=REDIRECTIONS {
            let answer = within(&self.clock, PATIENCE, self.ask(key, &node, asking)).await?;
            if hop == 0 {
                self.is_silent(&node, false);
            }
            match answer {
                Ok(Answer::Serves(connection)) => {
                    self.remember(node);
                    return Some(Ok(connection));
                }
                Ok(Answer::Refuses(connection)) => return Some(Ok(connection)),
                Ok(Answer::Refers { to, by_ask }) => (node, asking) = (to, by_ask),
                Err(error) => return Some(Err(error)),
            }
        }
        let why = "the nodes of the cluster refer to each other";
        Some(Err((ErrorKind::Io, why).into()))
    }

    /// Asks one node for the key.
    async fn ask(
        &self,
        key: &str,
        node: &NodeAddress,
        asking: bool,
    ) -> RedisResult<Answer<N::Connection>> {
        let connection = self.nodes.connect_to(node).await?;
        let mut connection = match asking {
            true => Guarded::asking(connection),
            false => Guarded::plain(connection),
        };
        let reply: RedisResult<Value> = cmd("GET").arg(key).query_async(&mut connection).await;
        let Err(error) = reply else {
            return Ok(Answer::Serves(connection));
        };
        if let Some((to, _)) = error.redirect_node() {
            let nowhere = (ErrorKind::UnexpectedReturnType, "a redirection to nowhere");
            return Ok(Answer::Refers {
                to: node.redirected(to).ok_or(nowhere)?,
                by_ask: error.kind() == ErrorKind::Server(ServerErrorKind::Ask),
            });
        }
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::BusyLoading) => {
                Err(error)
            }
            // The store's own commands meet it too, and tell the next step.
            ErrorKind::Server(_) | ErrorKind::Extension => Ok(Answer::Refuses(connection)),
            _ => Err(error),
        }
    }

    fn remember(&self, node: NodeAddress) {
        let mut served = lock(&self.served);
        served.retain(|known| *known != node);
        served.insert(0, node);
        served.truncate(REMEMBERED);
    }

    /// The nodes to ask, the last one that served the slot first, and those that have not
    /// answered last.
    fn candidates(&self) -> Vec<NodeAddress> {
        let mut all = lock(&self.served).clone();
        for seed in self.seeds.iter() {
            if !all.contains(seed) {
                all.push(seed.clone());
            }
        }
        let mut silent = lock(&self.silent);
        silent.retain(|node| all.contains(node));
        all.sort_by_key(|node| silent.iter().position(|other| other == node));
        all
    }

    /// A node is asked, or has answered.
    fn is_silent(&self, node: &NodeAddress, is_silent: bool) {
        let mut silent = lock(&self.silent);
        silent.retain(|other| other != node);
        if is_silent {
            silent.push(node.clone());
        }
    }
}

impl<N, C> fmt::Display for Cluster<N, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster of {}", list(&self.seeds))
    }
}

/// How long one node may take before the next one is asked.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

impl<N: Nodes, C: Clock> Connect for Cluster<N, C> {
    type Connection = Guarded<N::Connection>;

    fn serving(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    async fn connect(&self) -> RedisResult<Self::Connection> {
        let keyless = (
            ErrorKind::InvalidClientConfig,
            "a slot needs a key; see Connect::serving",
        );
        let key = self.key.as_deref().ok_or(keyless)?;
        let mut failed = None;
        for node in self.candidates() {
            self.is_silent(&node, true);
            let Some(answer) = self.follow(key, node).await else {
                continue;
            };
            match answer {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let silent = || (ErrorKind::Io, "no node of the cluster answers in time").into();
        Err(failed.unwrap_or_else(silent))
    }
}
