//! The trait `Nodes`: how a connection to one named server is opened. A simulation
//! replaces the network here. It knows nothing of Sentinel and Cluster.

use std::{fmt, future::Future, sync::Arc};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, RedisResult, aio::ConnectionLike,
    aio::MultiplexedConnection,
};

use crate::redis::connect::Connect;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl NodeAddress {
    /// `host:port`, `[address]:port`, or either without the port.
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // A colon within brackets is the address's own.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (text, default_port),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        (!host.is_empty()).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl NodeAddress {
    /// Where this node refers to, by `MOVED` or `ASK`: `host:port`, `address:port` without
    /// brackets, or a port of its own host.
    pub(super) fn redirected(&self, to: &str) -> Option<Self> {
        match to.rsplit_once(':')? {
            // The second is one whose name the node does not know.
            ("" | "?", port) => Some(Self {
                host: self.host.clone(),
                port: port.parse().ok()?,
            }),
            _ => Self::parse(to, self.port),
        }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Addresses in one line.
pub(super) fn list(addresses: &[NodeAddress]) -> String {
    let texts: Vec<String> = addresses.iter().map(NodeAddress::to_string).collect();
    texts.join(",")
}

/// Opens connections to servers by their addresses.
pub trait Nodes: Clone + Send + Sync + 'static {
    /// A connection; see [`Connect::Connection`].
    type Connection: ConnectionLike + Clone + Send + Sync + 'static;

    /// Opens a connection. The caller limits the time.
    fn connect_to(
        &self,
        node: &NodeAddress,
    ) -> impl Future<Output = RedisResult<Self::Connection>> + Send;
}

/// A user and a password.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The user; without one, `default`.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// What is asked for the credentials at each dial.
pub(super) type AskCredentials = Arc<dyn Fn() -> Credentials + Send + Sync>;

/// Servers that are reached alike: by TCP or TLS, as the same user.
#[derive(Clone)]
pub(super) struct ServerNodes {
    pub(super) info: ConnectionInfo,
    pub(super) credentials: Option<AskCredentials>,
    #[cfg(feature = "tls")]
    pub(super) certificates: Option<super::AskCertificates>,
}

impl ServerNodes {
    /// The servers of this `info`, but for its address.
    pub(super) fn new(info: ConnectionInfo) -> Self {
        Self {
            info,
            credentials: None,
            #[cfg(feature = "tls")]
            certificates: None,
        }
    }

    /// Opens a connection to one of them.
    pub(super) async fn open(&self, to: ConnectionAddr) -> RedisResult<MultiplexedConnection> {
        let mut info = self.info.clone().set_addr(to);
        if let Some(ask) = &self.credentials {
            let credentials = ask();
            let mut settings = info.redis_settings().clone();
            if let Some(username) = credentials.username {
                settings = settings.set_username(username);
            }
            if let Some(password) = credentials.password {
                settings = settings.set_password(password);
            }
            info = info.set_redis_settings(settings);
        }
        #[cfg(feature = "tls")]
        if let Some(ask) = &self.certificates {
            return Client::build_with_tls(info, ask()?)?.connect().await;
        }
        Client::open(info)?.connect().await
    }
}

impl Nodes for ServerNodes {
    type Connection = MultiplexedConnection;

    async fn connect_to(&self, node: &NodeAddress) -> RedisResult<Self::Connection> {
        let (host, port) = (node.host.clone(), node.port);
        self.open(match self.info.addr() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch a port that is taken from an IPv6 address, and a host that is lost.
    #[test]
    fn addresses_are_parsed_and_printed() {
        for (text, host, port, printed) in [
            ("a", "a", 7, "a:7"),
            ("a:8", "a", 8, "a:8"),
            ("[::1]", "::1", 7, "[::1]:7"),
            ("[::1]:8", "::1", 8, "[::1]:8"),
        ] {
            let parsed = NodeAddress::parse(text, 7).unwrap();
            assert_eq!((&*parsed.host, parsed.port), (host, port), "{text}");
            assert_eq!(parsed.to_string(), printed);
        }
        for text in ["", ":8", "a:b", "a:99999", "[]:8"] {
            assert_eq!(NodeAddress::parse(text, 7), None, "{text}");
        }
    }

    /// Would catch an IPv6 address that is taken for a port without a host, and a host whose
    /// name is a question mark.
    #[test]
    fn redirections_are_parsed() {
        let from = NodeAddress {
            host: "a".to_owned(),
            port: 7,
        };
        for (to, host, port) in [
            ("b:8", "b", 8),
            (":8", "a", 8),
            ("?:8", "a", 8),
            ("::1:8", "::1", 8),
            ("::ffff:10.0.0.1:8", "::ffff:10.0.0.1", 8),
            ("[::1]:8", "::1", 8),
        ] {
            let to = from.redirected(to).unwrap();
            assert_eq!((&*to.host, to.port), (host, port));
        }
        for to in ["", "b", ":", "?:x", "b:99999"] {
            assert_eq!(from.redirected(to), None, "{to}");
        }
    }
}
