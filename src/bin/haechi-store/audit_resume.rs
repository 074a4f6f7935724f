//! `audit resume`: accepts what a rollback lost, and leaves a record of it.

use std::path::PathBuf;

use haechi_store_redis::{
    AppendError, ReadError, ResumeError,
    chain::{EventHash, LostRange, Position},
    crypto::LocalKeys,
    redis::Endpoint,
};
use serde::Serialize;

use crate::{
    anchor_files::read_anchors,
    args::Global,
    connection::{place, read_failure},
    console::{self, Console},
    exit::{Exit, Failure},
    key_file::OptionalKeyFile,
    vault_open::{append_failure, open_keys},
};

/// Go on after a rollback; leaves a record of what was lost
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"sequence\", \"eventHash\", \"lost\"} of the record that it appends: operation \
audit:rollback-accepted, lost {from,to,headHash}. What was lost is known from --seen, from --anchors, \
or from the message of a process that met the rollback (--head-hash). The processes that have seen \
it go on when they meet the record, if --key-file is also theirs, or if they were given the same \
--accept. Nothing is done if what was seen still stands, or the range is another.

Example:
  haechi-store audit resume --accept 120..134 --seen seen.json \\
    --key-file vault.keys
  haechi-store audit resume --accept 120..134 --anchors anchors.jsonl")]
pub(crate) struct Args {
    /// The first and the last lost sequence, both included
    #[arg(long, value_name = "A..B")]
    accept: LostRange,

    /// Anchors of the chain before the rollback; may be given several times
    #[arg(long, value_name = "FILE")]
    anchors: Vec<PathBuf>,

    /// The hash of the last lost record
    #[arg(long, value_name = "HASH", value_parser = hash, allow_hyphen_values = true)]
    head_hash: Option<EventHash>,

    #[command(flatten)]
    keys: OptionalKeyFile,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    sequence: u64,
    event_hash: String,
    lost: String,
}

fn hash(text: &str) -> Result<EventHash, &'static str> {
    EventHash::parse(text).ok_or("give a SHA-256 as 43 characters of base64url")
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let client = global.client()?;
    let mut builder = global.seeing_builder()?;
    let anchors = read_anchors(&args.anchors)?;
    let last: Vec<_> = anchors.hashes(args.accept.last()).collect();
    if let ([one, other, ..], None) = (&last[..], args.head_hash) {
        return Err(Failure::negative(format!(
            "the anchors attest several records of sequence {}, {one} and {other} among them; \
             nothing was done: give the one that was lost as --head-hash",
            args.accept.last()
        )));
    }
    for seen in anchors.positions_up_to(args.accept.last()) {
        builder = builder.seen(seen);
    }
    if let Some(event_hash) = args.head_hash {
        builder = builder.seen(Position {
            sequence: args.accept.last(),
            event_hash,
        });
    }
    let keys = match args.keys.open() {
        Some(file) => Some(open_keys(file).await?),
        None => None,
    };
    if keys.is_none() {
        console.warn(
            "without --key-file, processes that have seen what was lost go on only if they are \
             given the same --accept",
        );
    }
    let resumed = builder
        .resume::<_, LocalKeys>(client.clone(), args.accept, keys)
        .await;
    let appended = resumed.map_err(|error| failure(&client, &error))?;
    console::answer(&Answer {
        sequence: appended.position.sequence.get(),
        event_hash: appended.position.event_hash.to_text(),
        lost: args.accept.to_string(),
    })?;
    console.warn_unless_durable(&appended.durability);
    Ok(Exit::Success)
}

fn failure(client: &Endpoint, error: &ResumeError) -> Failure {
    match error {
        ResumeError::Read(error @ ReadError::Unavailable(_)) => read_failure(client, error),
        ResumeError::Append(error @ AppendError::Unknown { .. }) => {
            append_failure(client, error, &error.to_string())
        }
        ResumeError::Keys(error) => Failure::error(error.to_string()),
        error => Failure::negative(format!("Redis at {}: {error}", place(client))),
    }
}
