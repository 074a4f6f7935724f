//! A chain for reading, from whatever server the URL leads to.

use haechi_store_redis::{
    AttemptError,
    audit::store::AuditStore,
    redis::{ChainReader, Endpoint, RedisAuditStore, ServerRole},
};

use crate::{args::Global, connection::read_failure, console::Console, exit::Failure};

/// Where a chain is read.
pub(crate) enum Reading {
    /// By scripts, which find out that this is a primary.
    Scripts(RedisAuditStore<Endpoint>),
    /// By plain commands: on a replica, or under a permission to read only.
    Plain(ChainReader<Endpoint>),
}

/// A label for output: where it was read, unless from a primary.
pub(crate) type ReadFrom = Option<&'static str>;

/// Finds out what the server is. A replica is read, but labelled.
pub(crate) async fn open(
    global: &Global,
    client: &Endpoint,
    console: &Console,
) -> Result<(Reading, ReadFrom), Failure> {
    let store = global.store(client);
    let role = store.role().await;
    let role = role.map_err(|error| read_failure(client, &error))?;
    let label = match role {
        ServerRole::Primary => None,
        ServerRole::Replica => {
            console.warn(
                "this is a replica of Redis, which may be behind: what it lacks may be in the primary",
            );
            return Ok((Reading::Plain(store.into_reader()), Some("replica")));
        }
        ServerRole::Unknown => {
            console.warn(
                "INFO does not tell whether this is a primary or a replica of Redis, which may be \
                 behind: permit INFO to know",
            );
            Some("unknown")
        }
    };
    // With permission to read only, scripts are denied.
    let reading = match store.tail(None).await {
        Err(AttemptError::Denied(cause)) if cause.code() == Some("NOPERM") => {
            Reading::Plain(store.into_reader())
        }
        _ => Reading::Scripts(store),
    };
    Ok((reading, label))
}
