//! Connects to Redis by options and environment. No message contains a
//! password.

use haechi_store_redis::{
    Builder, Corrupt, ReadError, SeenFile,
    audit::store::Tail,
    chain::Position,
    redis::{AuditPrefix, RedisAuditStore, Timeouts, VaultPrefix},
};
use redis::{Client, IntoConnectionInfo};

use crate::{args::Global, exit::Failure};

const DEFAULT_URL: &str = "redis://127.0.0.1:6379";

impl Global {
    /// The client; nothing is sent yet.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let url = self.redis.as_ref().map(|url| url.0.as_str());
        // Some supervisors set an omitted variable to the empty string.
        let url = url.filter(|url| !url.is_empty()).unwrap_or(DEFAULT_URL);
        open(url).map_err(|error| {
            // The client's messages for a bad URL do not repeat it.
            Failure::error(format!(
                "the URL of Redis cannot be used: {error}; give --redis or $REDIS_URL as \
                 redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS"
            ))
        })
    }

    /// A builder with the options.
    pub(crate) fn builder(&self) -> Builder {
        let mut timeouts = Timeouts::default();
        // After a lost reply, time is needed to find out the outcome.
        let most = self.deadline / 4;
        timeouts.connect = timeouts.connect.min(most);
        timeouts.reply = timeouts.reply.min(most);
        timeouts.durability = timeouts.durability.min(most);
        Builder::new()
            .audit_prefix(AuditPrefix::new(self.audit_prefix.as_str()))
            .vault_prefix(VaultPrefix::new(self.vault_prefix.as_str()))
            .deadline(self.deadline)
            .timeouts(timeouts)
            .durability(self.durability)
    }

    /// A builder with the options, and what this process has seen.
    pub(crate) fn seeing_builder(&self) -> Result<Builder, Failure> {
        let builder = self.builder();
        Ok(match self.seen_file()? {
            Some(file) => builder.seen_file(file),
            None => builder,
        })
    }

    /// Whether there is a file of what this process has seen.
    pub(crate) fn keeps_seen(&self) -> bool {
        self.seen.is_some()
    }

    /// What this process has seen of the chain.
    pub(crate) fn seen_positions(&self) -> Result<Vec<Position>, Failure> {
        let file = self.seen_file()?;
        Ok(file.map_or_else(Vec::new, |file| file.positions(&self.audit_prefix)))
    }

    fn seen_file(&self) -> Result<Option<SeenFile>, Failure> {
        let Some(path) = &self.seen else {
            return Ok(None);
        };
        // One that cannot be written would find no later rollback.
        let opened = SeenFile::open(path).and_then(|file| file.rewrite().map(|()| file));
        opened.map(Some).map_err(|error| {
            Failure::error(format!(
                "the file {} of what this process has seen cannot be used: {error}; nothing was \
                 done. Restore it, or move it away, if a rollback before now need not be found",
                path.display()
            ))
        })
    }

    /// The end of the chain, if it has what this process has seen of it.
    pub(crate) async fn seen_tail(
        &self,
        client: &Client,
        store: &RedisAuditStore,
    ) -> Result<Tail, Failure> {
        let tail = self.seeing_builder()?.check_seen(store).await;
        tail.map_err(|error| read_failure(client, &error))
    }

    /// The chain, for reading.
    pub(crate) fn store(&self, client: &Client) -> RedisAuditStore {
        self.builder().audit_store(client.clone())
    }
}

fn open(url: &str) -> redis::RedisResult<Client> {
    let info = url.into_connection_info()?;
    let mut settings = info.redis_settings().clone();
    if settings.username().is_none()
        && let Some(username) = variable("REDIS_USERNAME")
    {
        settings = settings.set_username(username);
    }
    if settings.password().is_none()
        && let Some(password) = variable("REDIS_PASSWORD")
    {
        settings = settings.set_password(password);
    }
    // Without a default provider the TLS library panics; one that is already
    // installed is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::open(info.set_redis_settings(settings))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The address of Redis: host and port, without the rest of the URL.
pub(crate) fn place(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// The failure of a command whose read failed.
pub(crate) fn read_failure(client: &Client, error: &ReadError) -> Failure {
    match error {
        ReadError::Unavailable(cause) => Failure::error(format!(
            "Redis at {} could not be read: {cause}",
            place(client)
        )),
        ReadError::Corrupt(corrupt) => corrupt_failure(corrupt),
    }
}

/// The failure of a command that found a corrupt state.
pub(crate) fn corrupt_failure(corrupt: &Corrupt) -> Failure {
    Failure::negative(corrupt.to_string())
}
