//! `vault purge` and `vault purge-expired`: delete tokens, audited.

use haechi_store_redis::vault::{PurgeError, VaultPolicy};
use redis::Client;

use crate::{
    args::Global,
    connection::read_failure,
    console::{self, Console},
    exit::{Exit, Failure},
    key_file::KeyFileArg,
    vault_open::{Open, append_failure, mutate_failure},
};

/// Delete a token; the audit chain says so
#[derive(clap::Args)]
#[command(after_help = "\
Prints {\"purged\":true}, or {\"purged\":false} for a token that was not there. The key file names what
is no token in the audit chain.

Example:
  haechi-store vault purge tok_email_5f8e… --key-file vault.keys")]
pub(crate) struct Args {
    /// The token
    #[arg(value_name = "TOKEN")]
    token: String,

    #[command(flatten)]
    keys: KeyFileArg,
}

/// The argument may be a plaintext.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").finish_non_exhaustive()
    }
}

/// Delete every token whose retention has ended; the audit chain says so
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"purged\":N}.

Example:
  haechi-store vault purge-expired --key-file vault.keys")]
pub(crate) struct ExpiredArgs {
    #[command(flatten)]
    keys: KeyFileArg,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let open = Open::new(&args.keys, global, VaultPolicy::default()).await?;
    let purged = open.vault.purge(&args.token).await;
    end(open, purged, global, console).await
}

pub(crate) async fn run_expired(
    args: ExpiredArgs,
    global: &Global,
    console: &Console,
) -> Result<Exit, Failure> {
    let open = Open::new(&args.keys, global, VaultPolicy::default()).await?;
    let purged = open.vault.purge_expired().await;
    end(open, purged, global, console).await
}

async fn end(
    open: Open,
    purged: Result<impl Into<serde_json::Value>, PurgeError>,
    global: &Global,
    console: &Console,
) -> Result<Exit, Failure> {
    let client = open.client.clone();
    open.close(global, console).await;
    let purged = purged.map_err(|error| failure(&client, &error))?;
    console::answer(&serde_json::json!({"purged": purged.into()}))?;
    Ok(Exit::Success)
}

fn failure(client: &Client, error: &PurgeError) -> Failure {
    match error {
        PurgeError::Mutate(error) => mutate_failure(client, error),
        PurgeError::Read(error) => read_failure(client, error),
        PurgeError::NotAudited { cause, .. } => append_failure(client, cause, &error.to_string()),
    }
}
