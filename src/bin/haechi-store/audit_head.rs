//! `audit head`: the end of the chain.

use haechi_store_redis::chain::Head;
use serde::Serialize;

use crate::{
    args::Global,
    console::{self, Console},
    exit::{Exit, Failure},
};

/// Print the last record's sequence and hash
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"sequence\", \"eventHash\", \"length\"}; 0 and null for an empty chain. `length` counts the \
records that the list in Redis still holds.

Example:
  haechi-store audit head")]
pub(crate) struct Args {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    sequence: u64,
    event_hash: Option<String>,
    length: u64,
}

pub(crate) async fn run(_: Args, global: &Global, _: &Console) -> Result<Exit, Failure> {
    let client = global.client()?;
    let tail = global.seen_tail(&client, &global.store(&client)).await?;
    let answer = Answer {
        sequence: tail.head.len(),
        event_hash: match tail.head {
            Head::Empty => None,
            Head::At(position) => Some(position.event_hash.to_text()),
        },
        length: tail.length,
    };
    console::answer(&answer)?;
    Ok(Exit::Success)
}
