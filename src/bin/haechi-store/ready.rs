//! `ready`: whether this Redis is suitable for the store.

use haechi_store_redis::redis::Eviction;
use serde::Serialize;

use crate::{
    args::Global,
    connection::place,
    console::{self, Console},
    exit::{Exit, Failure},
    vault_open,
};

/// Whether this Redis can be written to and trusted with a chain
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"ok\":true}, or {\"ok\":false,\"reason\",\"detail\"} and exits 1. Reasons: redis_unreachable
redis_not_writable wrong_type diverged cross_slot evicting, and for --durability
insufficient_replicas fsync_unavailable. Neither chain nor vault is changed.

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
