//! Where Redis is, by a URL: one server, the primary of a Sentinel group, or the node of
//! a cluster that serves the store's keys.
//!
//! The store above it knows only [`Connect`].

mod cluster;
mod guarded;
mod heard;
mod nodes;
mod sentinel;

use std::{fmt, str::FromStr, sync::Arc};

use redis::{ErrorKind, IntoConnectionInfo, RedisError, RedisResult, aio::MultiplexedConnection};

use super::connect::Connect;
use crate::{clock::SystemClock, health::Health};

pub use cluster::Cluster;
pub use guarded::Guarded;
use nodes::ServerNodes;
pub use nodes::{Credentials, NodeAddress, Nodes};
pub use sentinel::{Sentinel, SentinelTimes};

/// The URL unless another is given.
const DEFAULT_URL: &str = "redis://127.0.0.1:6379";

/// A variable of the environment. Some supervisors set an omitted one to the empty string.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What is asked for certificates at each dial.
#[cfg(feature = "tls")]
type AskCertificates = Arc<dyn Fn() -> RedisResult<redis::TlsCertificates> + Send + Sync>;

/// Where Redis is.
///
/// | URL | What is connected to |
/// |---|---|
/// | `redis://host:port/db` | one server |
/// | `redis+unix:///path` | one server, by a socket |
/// | `redis+sentinel://host:port,host:port/name/db` | the primary of the group `name`, watched for ([`Sentinel`]) |
/// | `redis+cluster://host:port,host:port` | the node that serves the slot of the store's keys ([`Cluster`]) |
///
/// `rediss` in place of `redis` is TLS, with the feature `tls`. A user and a password
/// stand before the hosts: `redis://user:password@…`; they are for the data nodes, not
/// for Sentinels.
///
/// ```
/// # fn main() -> Result<(), redis::RedisError> {
/// use haechi_store_redis::redis::Endpoint;
///
/// let endpoint: Endpoint = "redis+sentinel://a:26379,b:26379,c:26379/mymaster".parse()?;
/// assert_eq!(endpoint.to_string(), "mymaster of Sentinels at a:26379,b:26379,c:26379");
/// # Ok(())
/// # }
/// ```
///
/// It is deserialized from the URL:
///
/// ```
/// use haechi_store_redis::{
///     Durability,
///     redis::{AuditPrefix, Endpoint},
/// };
///
/// #[derive(serde::Deserialize)]
/// struct Config {
///     redis: Endpoint,
///     prefix: AuditPrefix,
///     durability: Durability,
/// }
///
/// let text = r#"{"redis": "redis://h:6380", "prefix": "{shop}:audit:", "durability": "fsync"}"#;
/// let config: Config = serde_json::from_str(text)?;
/// assert_eq!(config.redis.to_string(), "h:6380");
/// assert_eq!(config.prefix, AuditPrefix::new("{shop}:audit:"));
/// assert_eq!(config.durability, Durability::Fsync);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(Way);

#[derive(Clone)]
enum Way {
    Server(ServerNodes),
    Sentinel(Box<Sentinel<ServerNodes, SystemClock>>),
    Cluster(Cluster<ServerNodes, SystemClock>),
}

impl Endpoint {
    /// Asks `ask` for the user and the password at each dial, in place of those in the
    /// URL: for passwords that are rotated while the process runs.
    #[must_use]
    pub fn credentials(mut self, ask: impl Fn() -> Credentials + Send + Sync + 'static) -> Self {
        self.nodes_mut().credentials = Some(Arc::new(ask));
        self
    }

    /// The server at the URL in `$REDIS_URL`, or at `redis://127.0.0.1:6379`, with
    /// [`credentials_from_env`](Self::credentials_from_env).
    ///
    /// # Errors
    ///
    /// If the URL cannot be used.
    pub fn from_env() -> RedisResult<Self> {
        let url = variable("REDIS_URL").unwrap_or_else(|| DEFAULT_URL.to_owned());
        Ok(url.parse::<Self>()?.credentials_from_env())
    }

    /// Takes the user and the password that the URL lacks from `$REDIS_USERNAME` and
    /// `$REDIS_PASSWORD`, once.
    #[must_use]
    pub fn credentials_from_env(self) -> Self {
        let credentials = Credentials {
            username: variable("REDIS_USERNAME").filter(|_| self.username().is_none()),
            password: variable("REDIS_PASSWORD").filter(|_| !self.has_password()),
        };
        self.credentials(move || credentials.clone())
    }

    /// Asks `ask` for the user and the password for Sentinels at each connection to one of
    /// them. Default: none.
    #[must_use]
    pub fn sentinel_credentials(
        mut self,
        ask: impl Fn() -> Credentials + Send + Sync + 'static,
    ) -> Self {
        if let Way::Sentinel(sentinel) = &mut self.0 {
            sentinel.sentinels.credentials = Some(Arc::new(ask));
        }
        self
    }

    /// When Sentinels are asked.
    #[must_use]
    pub fn sentinel_times(mut self, times: SentinelTimes) -> Self {
        if let Way::Sentinel(sentinel) = &mut self.0 {
            **sentinel = (**sentinel).clone().times(times);
        }
        self
    }

    /// Asks `ask` for the certificates at each dial, in place of the system's
    /// authorities: an authority of one's own, a certificate of the client, both as PEM.
    ///
    /// `ask` must not block for long: it is called on the runtime's thread.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn certificates(
        mut self,
        ask: impl Fn() -> RedisResult<redis::TlsCertificates> + Send + Sync + 'static,
    ) -> Self {
        let ask: AskCertificates = Arc::new(ask);
        if let Way::Sentinel(sentinel) = &mut self.0 {
            sentinel.sentinels.certificates = Some(ask.clone());
        }
        self.nodes_mut().certificates = Some(ask);
        self
    }

    /// The user in the URL, if there is one.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.nodes().info.redis_settings().username()
    }

    /// Whether the URL has a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.nodes().info.redis_settings().password().is_some()
    }

    fn nodes(&self) -> &ServerNodes {
        match &self.0 {
            Way::Server(nodes) => nodes,
            Way::Sentinel(sentinel) => &sentinel.nodes,
            Way::Cluster(cluster) => &cluster.nodes,
        }
    }

    fn nodes_mut(&mut self) -> &mut ServerNodes {
        match &mut self.0 {
            Way::Server(nodes) => nodes,
            Way::Sentinel(sentinel) => &mut sentinel.nodes,
            Way::Cluster(cluster) => &mut cluster.nodes,
        }
    }
}

impl FromStr for Endpoint {
    type Err = RedisError;

    /// Parses a URL. No message repeats it: it may contain a password.
    fn from_str(url: &str) -> RedisResult<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let (tls, way) = match scheme.split_once('+') {
            Some((tls @ ("redis" | "rediss"), way @ ("sentinel" | "cluster"))) => (tls, way),
            _ => {
                return Ok(Self(Way::Server(ServerNodes::new(
                    url.into_connection_info()?,
                ))));
            }
        };
        let wrong = |what| RedisError::from((ErrorKind::InvalidClientConfig, what));
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (format!("{user}@"), rest),
            None => (String::new(), rest),
        };
        // Options of the connections, for the client to parse.
        let (rest, options) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let default_port = if way == "sentinel" { 26379 } else { 6379 };
        let addresses: Option<Vec<NodeAddress>> = hosts
            .split(',')
            .map(|host| NodeAddress::parse(host, default_port))
            .collect();
        let addresses = addresses.ok_or_else(|| wrong("a host or port cannot be used"))?;
        let (name, database) = match way {
            "sentinel" => path.split_once('/').unwrap_or((path, "")),
            _ => ("", path),
        };
        // The client parses what remains; the host stands for any node's.
        let info = |user: &str, database: &str| {
            let url = format!("{tls}://{user}localhost/{database}{options}");
            url.as_str().into_connection_info().map(ServerNodes::new)
        };
        let nodes = info(&user, database)?;
        Ok(Self(match way {
            "sentinel" if name.is_empty() => {
                return Err(wrong(
                    "the name of the group is missing after the Sentinels",
                ));
            }
            "sentinel" => Way::Sentinel(Box::new(Sentinel::new(
                nodes,
                info("", "")?,
                addresses,
                name,
                SystemClock::new(),
            ))),
            _ if !matches!(database, "" | "0") => {
                return Err(wrong("a cluster has only database 0"));
            }
            _ => Way::Cluster(Cluster::new(nodes, addresses, SystemClock::new())),
        }))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = RedisError;

    fn try_from(url: String) -> RedisResult<Self> {
        url.parse()
    }
}

/// Hosts and ports, without a user or a password.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Server(nodes) => nodes.info.addr().fmt(f),
            Way::Sentinel(sentinel) => sentinel.fmt(f),
            Way::Cluster(cluster) => cluster.fmt(f),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl Connect for Endpoint {
    type Connection = Guarded<MultiplexedConnection>;

    fn serving(self, key: &str) -> Self {
        Self(match self.0 {
            Way::Cluster(cluster) => Way::Cluster(cluster.serving(key)),
            way => way,
        })
    }

    async fn connect(&self) -> RedisResult<Self::Connection> {
        match &self.0 {
            Way::Server(nodes) => {
                let connection = nodes.open(nodes.info.addr().clone()).await?;
                Ok(Guarded::plain(connection))
            }
            Way::Sentinel(sentinel) => sentinel.connect().await,
            Way::Cluster(cluster) => cluster.connect().await,
        }
    }

    fn health(&self) -> Health {
        match &self.0 {
            Way::Sentinel(sentinel) => sentinel.health(),
            Way::Server(_) | Way::Cluster(_) => Health::Serving,
        }
    }
}

#[cfg(test)]
mod tests;
