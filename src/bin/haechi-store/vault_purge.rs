//! `vault purge` and `vault purge-expired`: delete tokens, audited.

use haechi_store_redis::{
    DurabilityStatus,
    redis::Endpoint,
    vault::{PurgeError, Purged, PurgedToken, VaultPolicy},
};

use crate::{
    args::Global,
    connection::read_failure,
    console::{self, Console},
    exit::{Exit, Failure},
    key_file::KeyFileArg,
    vault_open::{IdentityArg, Open, append_failure, mutate_failure},
};

/// Delete a token; recorded in the audit chain
#[derive(clap::Args)]
#[command(after_help = "\
Prints {\"purged\":true}, or {\"purged\":false} for a token that was not there. The key file names what \
is no token in the audit chain.

Example:
  haechi-store vault purge tok_email_5f8e… --key-file vault.keys")]
pub(crate) struct Args {
    /// The token
    #[arg(value_name = "TOKEN")]
    token: String,

    #[command(flatten)]
    who: IdentityArg,

    #[command(flatten)]
    keys: KeyFileArg,
}

/// The argument may be a plaintext.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").finish_non_exhaustive()
    }
}

/// Delete every token whose retention has ended; recorded in the audit chain
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"purged\":N,\"disputed\":M}: a token is deleted once the clocks of both Redis and this \
machine are past its end; M more are past it by one of them only.

Example:
  haechi-store vault purge-expired --key-file vault.keys")]
pub(crate) struct ExpiredArgs {
    #[command(flatten)]
    who: IdentityArg,

    #[command(flatten)]
    keys: KeyFileArg,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let open = Open::identified(&args.keys, global, VaultPolicy::default(), &args.who).await?;
    let purged = open.vault.purge(&args.token).await;
    let PurgedToken {
        existed,
        durability,
    } = end(open, purged, global, console).await?;
    warn_not_durable(&durability, console);
    console::answer(&serde_json::json!({"purged": existed}))?;
    Ok(Exit::Success)
}

pub(crate) async fn run_expired(
    args: ExpiredArgs,
    global: &Global,
    console: &Console,
) -> Result<Exit, Failure> {
    let open = Open::identified(&args.keys, global, VaultPolicy::default(), &args.who).await?;
    let purged = open.vault.purge_expired().await;
    let Purged {
        purged,
        disputed,
        durability,
    } = end(open, purged, global, console).await?;
    warn_not_durable(&durability, console);
    if disputed > 0 {
        console.warn(&format!(
            "{disputed} tokens are past their end by one clock only, and were kept: the clocks of \
             Redis and of this machine disagree; correct the one that is wrong"
        ));
    }
    console::answer(&serde_json::json!({"purged": purged, "disputed": disputed}))?;
    Ok(Exit::Success)
}

fn warn_not_durable(durability: &DurabilityStatus, console: &Console) {
    if let DurabilityStatus::NotYet(why) = durability {
        console.warn(&format!(
            "purged, but not yet as durable as asked: {why}. A failover or a restart of Redis may \
             bring tokens back; purge them again then"
        ));
    }
}

async fn end<T>(
    open: Open,
    purged: Result<T, PurgeError>,
    global: &Global,
    console: &Console,
) -> Result<T, Failure> {
    let client = open.client.clone();
    open.close(global, console).await;
    purged.map_err(|error| failure(&client, &error))
}

fn failure(client: &Endpoint, error: &PurgeError) -> Failure {
    match error {
        PurgeError::Mutate(error) => mutate_failure(client, error),
        PurgeError::Read(error) => read_failure(client, error),
        PurgeError::NotAudited(cause) | PurgeError::OutcomeNotAudited { cause, .. } => {
            append_failure(client, cause, &error.to_string())
        }
        PurgeError::Closed | PurgeError::Abandoned => Failure::error(error.to_string()),
    }
}
