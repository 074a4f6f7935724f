//! `ready`: whether this Redis is suitable for the store.

use haechi_store_redis::{
    ReadError,
    redis::{Endpoint, Eviction},
};
use serde::Serialize;

use crate::{
    args::Global,
    connection::{place, read_failure},
    console::{self, Console},
    exit::{Exit, Failure},
    vault_open,
};

/// Whether this Redis can be written to and trusted with a chain
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"ok\":true}, or {\"ok\":false,\"reason\", \"detail\"} and exits 1. Reasons: redis_unreachable \
redis_not_writable wrong_type diverged cross_slot evicting, and for --durability \
insufficient_replicas fsync_unavailable, and with --seen rolled_back. Neither chain nor vault is \
changed, nor the file of --seen.

Example, as a readiness probe:
  haechi-store ready --deadline 2")]
pub(crate) struct Args {
    /// Check the keys and permissions of the token vault too
    #[arg(long)]
    vault: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Further reasons, less severe.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<&'a str>,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let client = global.client()?;
    let mut readiness = global.store(&client).ready().await;
    if args.vault {
        let vault = vault_open::store(global, &client).ready().await;
        for fault in vault.faults {
            if !readiness.faults.contains(&fault) {
                readiness.faults.push(fault);
            }
        }
    }
    let lost = match readiness.is_ready() {
        true => lost(&args, global, &client).await?,
        false => None,
    };
    if let Some(lost) = lost {
        let answer = Answer {
            ok: false,
            reason: Some("rolled_back"),
            detail: Some(lost.clone()),
            also: Vec::new(),
        };
        console::unless_closed(console::answer(&answer))?;
        console.error(&format!("Redis at {} is not ready: {lost}", place(&client)));
        return Ok(Exit::Negative);
    }
    let first = readiness.faults.first();
    let answer = Answer {
        ok: readiness.is_ready(),
        reason: first.map(|(reason, _)| reason.name()),
        detail: first.map(|(_, cause)| cause.to_string()),
        also: readiness
            .faults
            .iter()
            .skip(1)
            .map(|(reason, _)| reason.name())
            .collect(),
    };
    console::unless_closed(console::answer(&answer))?;
    for (reason, cause) in &readiness.faults {
        console.error(&format!(
            "Redis at {} is not ready: {reason}: {cause}",
            place(&client)
        ));
    }
    if readiness.is_ready() && readiness.eviction == Eviction::Unknown {
        console.warn(
            "neither INFO nor CONFIG tells the maxmemory-policy: make sure that it is noeviction, \
             or Redis may delete audit records",
        );
    }
    Ok(match readiness.is_ready() {
        true => Exit::Success,
        false => Exit::Negative,
    })
}

/// What was seen of chain and vault, and is gone.
async fn lost(args: &Args, global: &Global, client: &Endpoint) -> Result<Option<String>, Failure> {
    if global.seen.is_none() {
        return Ok(None);
    }
    let builder = global.comparing_builder()?;
    let mut seen = builder.check_seen(&global.store(client)).await.map(drop);
    if seen.is_ok() && args.vault {
        let tokens = builder.token_store(vault_open::store(global, client));
        seen = tokens.read_tokens(&[]).await.map(drop);
    }
    match seen {
        Ok(()) => Ok(None),
        Err(ReadError::Corrupt(corrupt)) => Ok(Some(corrupt.to_string())),
        Err(error) => Err(read_failure(client, &error)),
    }
}
