//! Shared by the commands for keys: the argument for the file, how a key is
//! printed, and exit codes for errors of the file.

use std::path::PathBuf;

use haechi_store_redis::crypto::{KeyFile, KeyStatus, KeysError};
use serde::Serialize;

use crate::{
    console::Console,
    exit::{Exit, Failure},
};

/// The option for the key file.
#[derive(clap::Args, Debug)]
pub(crate) struct KeyFileArg {
    /// The key file; only its owner may be able to read it (mode 600)
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
}

impl KeyFileArg {
    pub(crate) fn open(&self) -> KeyFile {
        KeyFile::new(&self.key_file)
    }

    /// The path, for messages.
    pub(crate) fn shown(&self) -> std::path::Display<'_> {
        self.key_file.display()
    }
}

/// As [`KeyFileArg`], where a key is not required.
#[derive(clap::Args, Debug)]
pub(crate) struct OptionalKeyFile {
    /// The key file that the replicas share, by which they recognize each other's records of a loss
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl OptionalKeyFile {
    pub(crate) fn open(&self) -> Option<KeyFile> {
        self.key_file.as_ref().map(KeyFile::new)
    }
}

/// The printed properties of a key, without the key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownKey<'a> {
    kid: &'a str,
    status: &'static str,
    created_at: Option<&'a str>,
    used: u64,
    limit: u64,
}

impl<'a> From<&'a KeyStatus> for ShownKey<'a> {
    fn from(key: &'a KeyStatus) -> Self {
        Self {
            kid: key.kid.as_str(),
            status: key.status.as_str(),
            created_at: key.created_at.as_deref(),
            used: key.used,
            limit: key.limit,
        }
    }
}

/// Warns if the active key, the first one, should be replaced soon.
pub(crate) fn warn_if_worn(keys: &[KeyStatus], console: &Console) {
    if let Some(key) = keys.first().filter(|key| key.is_worn()) {
        console.warn(&format!(
            "the key {} has made {} of its {} encryptions, and none after the last; \
             run `haechi-store keys rotate` before that",
            key.kid, key.used, key.limit
        ));
    }
}

/// A refusal has exit code 1; a file that cannot be opened has 2.
impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        let exit = match error {
            KeysError::Exists { .. } | KeysError::Exposed { .. } | KeysError::Corrupt { .. } => {
                Exit::Negative
            }
            KeysError::Unsettled { .. } => Exit::Unknown,
            _ => Exit::Error,
        };
        Self::Message {
            exit,
            message: error.to_string(),
        }
    }
}
