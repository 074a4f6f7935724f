//! Connects to Redis by options and environment. No message contains a
//! password.

use std::{
    io,
    path::{Path, PathBuf},
};

use haechi_store_redis::{
    Builder, Corrupt, ReadError, SeenFile,
    audit::store::Tail,
    chain::Position,
    redis::{AuditPrefix, Endpoint, RedisAuditStore, SentinelTimes, Timeouts, VaultPrefix},
};
use redis::{ClientTlsConfig, ErrorKind, RedisError, RedisResult, TlsCertificates};

use crate::{args::Global, exit::Failure, reading::ReadFrom};

const DEFAULT_URL: &str = "redis://127.0.0.1:6379";

impl Global {
    /// The client; nothing is sent yet.
    pub(crate) fn client(&self) -> Result<Endpoint, Failure> {
        let url = self.redis.as_ref().map(|url| url.0.as_str());
        // Some supervisors set an omitted variable to the empty string.
        let url = url.filter(|url| !url.is_empty()).unwrap_or(DEFAULT_URL);
        let endpoint: Endpoint = url.parse().map_err(|error| {
            // The client's messages for a bad URL do not repeat it.
            Failure::error(format!(
                "the URL of Redis cannot be used: {error}; give --redis or $REDIS_URL as \
                 redis://USER:PASSWORD@HOST:PORT/DB, rediss:// for TLS, \
                 redis+sentinel://HOST:PORT,HOST:PORT/NAME or redis+cluster://HOST:PORT,HOST:PORT"
            ))
        })?;
        let mut sentinels = SentinelTimes::default();
        // Most of them may hang, and the primary has to be connected to after that.
        sentinels.answer = sentinels.answer.min(self.timeouts().connect / 2);
        let endpoint = endpoint.credentials_from_env().sentinel_times(sentinels);
        if self.tls_ca.is_none() && self.tls_cert.is_none() {
            return Ok(endpoint);
        }
        let certificates = self.certificates();
        certificates().map_err(|error| Failure::error(error.to_string()))?;
        Ok(endpoint.certificates(certificates))
    }

    /// Reads the certificates, at each dial: they may be renewed while the process runs.
    fn certificates(&self) -> impl Fn() -> RedisResult<TlsCertificates> + Send + Sync + 'static {
        let (ca, cert, key) = (
            self.tls_ca.clone(),
            self.tls_cert.clone(),
            self.tls_key.clone(),
        );
        let read = |path: &Option<PathBuf>| {
            let read = |path: &PathBuf| {
                std::fs::read(path).map_err(|error| {
                    let said = format!("{} cannot be read: {error}", path.display());
                    RedisError::from((ErrorKind::InvalidClientConfig, "certificates", said))
                })
            };
            path.as_ref().map(read).transpose()
        };
        move || {
            let client_tls = read(&cert)?.zip(read(&key)?);
            Ok(TlsCertificates {
                client_tls: client_tls.map(|(client_cert, client_key)| ClientTlsConfig {
                    client_cert,
                    client_key,
                }),
                root_cert: read(&ca)?,
            })
        }
    }

    fn timeouts(&self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        // After a lost reply, time is needed to find out the outcome.
        let most = self.deadline / 4;
        timeouts.connect = timeouts.connect.min(most);
        timeouts.reply = timeouts.reply.min(most);
        timeouts.durability = timeouts.durability.min(most);
        timeouts
    }

    /// A builder with the options.
    pub(crate) fn builder(&self) -> Builder {
        Builder::new()
            .audit_prefix(AuditPrefix::new(self.audit_prefix.as_str()))
            .vault_prefix(VaultPrefix::new(self.vault_prefix.as_str()))
            .deadline(self.deadline)
            .timeouts(self.timeouts())
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

    /// As [`seeing_builder`](Self::seeing_builder), for a command that only reads: while
    /// another process has the file, what is read is compared with it, and not kept.
    pub(crate) fn reading_builder(&self) -> Result<Builder, Failure> {
        let Some(path) = &self.seen else {
            return Ok(self.builder());
        };
        let opened = SeenFile::open(path).err();
        match opened.map(|error| error.kind()) {
            Some(io::ErrorKind::ResourceBusy) => self.comparing_builder(),
            _ => self.seeing_builder(),
        }
    }

    /// A builder with the options, which compares with what this process has seen, and
    /// keeps nothing.
    pub(crate) fn comparing_builder(&self) -> Result<Builder, Failure> {
        let builder = self.builder();
        Ok(match &self.seen {
            Some(path) => {
                let read = SeenFile::read(path);
                builder.seen_file(read.map_err(|error| unusable(path, &error))?)
            }
            None => builder,
        })
    }

    /// As [`comparing_builder`](Self::comparing_builder), for a chain that is read by
    /// plain commands from there.
    pub(crate) fn plain_builder(&self, read_from: ReadFrom) -> Result<Builder, Failure> {
        match (read_from, &self.seen) {
            // It may be behind.
            (Some(_), Some(_)) => Err(Failure::error(
                "--seen is not compared with what may be a replica of Redis, which may be behind: \
                 read the primary, with permission to use INFO, or leave out --seen",
            )),
            _ => self.comparing_builder(),
        }
    }

    /// What this process has seen of the chain.
    pub(crate) fn seen_positions(&self) -> Result<Vec<Position>, Failure> {
        let Some(path) = &self.seen else {
            return Ok(Vec::new());
        };
        let file = SeenFile::read(path).map_err(|error| unusable(path, &error))?;
        Ok(file.positions(&self.audit_prefix))
    }

    fn seen_file(&self) -> Result<Option<SeenFile>, Failure> {
        let Some(path) = &self.seen else {
            return Ok(None);
        };
        // One that cannot be written would find no later rollback.
        let opened = SeenFile::open(path).and_then(|file| file.rewrite().map(|()| file));
        opened.map(Some).map_err(|error| unusable(path, &error))
    }

    /// The end of the chain, if it has what this process has seen of it.
    pub(crate) async fn seen_tail(
        &self,
        client: &Endpoint,
        store: &RedisAuditStore<Endpoint>,
    ) -> Result<Tail, Failure> {
        let tail = self.reading_builder()?.check_seen(store).await;
        tail.map_err(|error| read_failure(client, &error))
    }

    /// The chain, for reading.
    pub(crate) fn store(&self, client: &Endpoint) -> RedisAuditStore<Endpoint> {
        self.builder().audit_store(client.clone())
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    let next = match error.kind() {
        io::ErrorKind::ResourceBusy => {
            "Give each process a file of its own. To accept a loss (`audit resume`, `vault resume`), \
             end that process first; or leave out --seen and give --head-hash: a running process \
             goes on when it meets the record, and keeps its file itself"
        }
        _ => "Restore it, or move it away, if a rollback before now need not be found",
    };
    Failure::error(format!(
        "the file {} of what this process has seen cannot be used: {error}; nothing was done. {next}",
        path.display()
    ))
}

/// The address of Redis: host and port, without the rest of the URL.
pub(crate) fn place(client: &Endpoint) -> String {
    client.to_string()
}

/// The failure of a command whose read failed.
pub(crate) fn read_failure(client: &Endpoint, error: &ReadError) -> Failure {
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
