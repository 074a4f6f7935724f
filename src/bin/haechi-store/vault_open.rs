//! Shared by the vault's commands: opens keys, chain and vault, and maps their
//! errors to exit codes.

use std::sync::Arc;

use haechi_store_redis::{
    AppendError, OpenError, RedisTokenVault,
    audit::AuditSink,
    clock::SystemClock,
    crypto::{Counting, KeyFile, LocalKeys},
    entropy::SystemEntropy,
    redis::{Endpoint, RedisVaultStore},
    vault::{Identity, JsonObject, MutateError, VaultPolicy},
};

use crate::{
    args::Global,
    connection::place,
    console::{self, Console},
    exit::Failure,
    key_file::KeyFileArg,
};

/// The vault in Redis, with the keys of a file.
pub(crate) type Vault = RedisTokenVault<LocalKeys, Endpoint>;

/// The object in an option's value. It may be secret, so errors do not repeat
/// it.
pub(crate) fn object(option: &str, text: Option<&str>) -> Result<JsonObject, Failure> {
    match text.map(JsonObject::from_json) {
        None => Ok(JsonObject::default()),
        Some(Ok(object)) => Ok(object),
        Some(Err(error)) => Err(Failure::error(format!("{option}: {error}"))),
    }
}

/// Who asks.
#[derive(clap::Args, Debug)]
pub(crate) struct IdentityArg {
    /// Who this is for, as the audit record names them: an id rather than a name
    #[arg(long, value_name = "ID")]
    identity: Option<Identity>,
}

/// An open vault, which has to be closed.
pub(crate) struct Open {
    pub(crate) client: Endpoint,
    pub(crate) vault: Vault,
    keys: Arc<LocalKeys>,
    audit: AuditSink,
}

impl Open {
    /// Opens the key file and checks whether Redis is suitable, for a command whose audit records
    /// name who asks.
    pub(crate) async fn identified(
        keys: &KeyFileArg,
        global: &Global,
        policy: VaultPolicy,
        who: &IdentityArg,
    ) -> Result<Self, Failure> {
        let mut open = Self::new(keys, global, policy).await?;
        if let Some(identity) = &who.identity {
            open.vault = open.vault.on_behalf_of(identity.clone());
        }
        Ok(open)
    }

    /// Opens the key file and checks whether Redis is suitable.
    pub(crate) async fn new(
        keys: &KeyFileArg,
        global: &Global,
        policy: VaultPolicy,
    ) -> Result<Self, Failure> {
        let client = global.client()?;
        let keys = open_keys(keys.open()).await?;
        let place = place(&client);
        let builder = global.seeing_builder()?;
        let opened = builder.open(client.clone(), keys.clone(), policy);
        let (audit, vault) = opened.await.map_err(|OpenError { reason, cause, .. }| {
            Failure::negative(format!(
                "Redis at {place} is not fit for a vault, nothing was done: {reason}: {cause}"
            ))
        })?;
        Ok(Self {
            client,
            vault,
            keys,
            audit,
        })
    }

    /// Returns reserved encryptions. A failure only wastes them.
    pub(crate) async fn close(self, global: &Global, console: &Console) {
        self.vault.close(global.deadline).await;
        self.audit.close(global.deadline).await;
        if let Err(error) = self.keys.close().await {
            console.warn(&format!(
                "the key file's count of encryptions is higher than it need be: {error}"
            ));
        }
    }
}

pub(crate) async fn open_keys(file: KeyFile) -> Result<Arc<LocalKeys>, Failure> {
    let keys = LocalKeys::open(file, SystemClock::new(), SystemEntropy, Counting::Persisted).await;
    Ok(Arc::new(keys?))
}

/// The vault's store without keys.
pub(crate) fn store(global: &Global, client: &Endpoint) -> RedisVaultStore<Endpoint> {
    global.builder().vault_store(client.clone())
}

/// The failure of a mutation. If its outcome is unknown, the handle is printed
/// on stdout.
pub(crate) fn mutate_failure(client: &Endpoint, error: &MutateError) -> Failure {
    match error {
        MutateError::Unknown { handle, .. } => console::unknown(handle.to_string(), error),
        MutateError::NotApplied(_) => {
            Failure::negative(format!("Redis at {}: {error}", place(client)))
        }
        MutateError::Corrupt(_) => Failure::negative(error.to_string()),
    }
}

/// As [`mutate_failure`], for an audit event that is not known to be applied.
pub(crate) fn append_failure(client: &Endpoint, error: &AppendError, what: &str) -> Failure {
    match error {
        AppendError::Unknown { handle, .. } => console::unknown(handle.to_string(), what),
        _ => Failure::negative(format!("Redis at {}: {what}", place(client))),
    }
}
