//! `audit repair`: rebuilds `head` and `head:hash` from the verified list.

use std::{
    io::{IsTerminal, Write, stdin},
    path::PathBuf,
};

use haechi_store_redis::{
    audit::{Appended, Evidence, Examination, Repair, RepairError},
    chain::{Head, Loss, LostRange},
    clock::SystemClock,
    entropy::SystemEntropy,
};
use serde::Serialize;

use crate::{
    anchor_files::read_anchors,
    args::Global,
    connection::read_failure,
    console::{self, Console},
    exit::{Exit, Failure},
};

/// Rebuild the head from the verified list, when the keys disagree
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Verifies the whole list, then appends a record {\"operation\":\"audit:repaired\", …} and sets head and \
head:hash to it, in one step that changes nothing if a writer appended meanwhile. For keys that were \
deleted, evicted or restored apart from each other, a write that was cut in the middle, and a chain \
of version 0.1.1, which had no head:hash. Give every anchor file there is: a list that lacks \
what one of them, or the present head, attests is refused, unless that loss is accepted by name. \
Prints {\"repaired\":true,\"sequence\", \"eventHash\", \"disagreement\"}, or {\"repaired\":false,\"records\"} \
if nothing is to be repaired.

Example:
  haechi-store audit repair --anchors anchors.jsonl
  haechi-store audit repair --anchors anchors.jsonl --yes \\
    --accept-loss 1001..1003")]
pub(crate) struct Args {
    /// Compare with the anchors in this file as well; may be given several times
    #[arg(long, value_name = "FILE")]
    anchors: Vec<PathBuf>,

    /// Accept that these sequences are lost, both included
    #[arg(long, value_name = "FROM..TO")]
    accept_loss: Option<LostRange>,

    /// Do not miss what was lost before, if the list has a record that accepts just this loss;
    /// both included, may be given several times
    #[arg(long, value_name = "FROM..TO")]
    accept: Vec<LostRange>,

    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    repaired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_hash: Option<String>,
    /// Records in the list, this one included.
    records: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    disagreement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<Loss>,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let evidence = Evidence {
        anchors: read_anchors(&args.anchors)?,
        seen: global.seen_positions()?,
        accepted: args.accept,
        accepted_loss: args.accept_loss,
    };
    let client = global.client()?;
    let store = global.builder().checked_audit(&global.store(&client));
    let failure = |error: RepairError| match &error {
        RepairError::Read(error) => read_failure(&client, error),
        RepairError::Unknown { handle, .. } => console::unknown(handle.to_string(), &error),
        _ => Failure::negative(format!("not repaired: {error}")),
    };
    let repair = match Repair::examine(&store, &evidence).await.map_err(failure)? {
        Examination::Diverged(repair) => repair,
        Examination::Whole(head) => return whole(head, console),
    };
    if !args.yes && !agreed(&repair, console)? {
        return Err(Failure::negative("not repaired, and nothing was written"));
    }
    let (clock, entropy) = (SystemClock::new(), SystemEntropy);
    let done = repair.carry_out(&store, &clock, &entropy, global.deadline);
    let Appended {
        position,
        durability,
        ..
    } = done.await.map_err(failure)?;
    let answer = Answer {
        repaired: true,
        sequence: Some(position.sequence.get()),
        event_hash: Some(position.event_hash.to_text()),
        records: position.sequence.get(),
        disagreement: Some(repair.disagreement().to_owned()),
        lost: repair.lost(),
    };
    console::unless_closed(console::answer(&answer))?;
    console.note(&format!(
        "repaired: sequence {} says so in the chain, and is its head",
        position.sequence
    ));
    console.warn_unless_durable(&durability);
    Ok(Exit::Success)
}

fn whole(head: Head, console: &Console) -> Result<Exit, Failure> {
    let answer = Answer {
        repaired: false,
        sequence: None,
        event_hash: head.event_hash().map(|hash| hash.to_text()),
        records: head.len(),
        disagreement: None,
        lost: None,
    };
    console::unless_closed(console::answer(&answer))?;
    console.note("nothing to repair: head, head:hash and the verified list agree");
    Ok(Exit::Success)
}

/// Asks on the terminal.
fn agreed(repair: &Repair, console: &Console) -> Result<bool, Failure> {
    let loses = repair.lost().map_or_else(String::new, |lost| {
        format!(", and records that sequences {} are lost", lost.range)
    });
    let what = format!(
        "{}. The list verifies, {} records. Repairing appends a record to it and makes that the \
         head{loses}",
        repair.disagreement(),
        repair.head().len()
    );
    if !stdin().is_terminal() {
        return Err(Failure::error(format!(
            "{what}; nothing was written: give --yes to do so, since there is no terminal to ask on"
        )));
    }
    console.note(&what);
    let _ = write!(std::io::stderr(), "Repair? [y/N] ");
    let mut reply = String::new();
    stdin().read_line(&mut reply).map_err(|error| {
        Failure::error(format!(
            "the terminal could not be read: {error}; nothing was written: give --yes instead"
        ))
    })?;
    Ok(matches!(reply.trim(), "y" | "Y" | "yes"))
}
