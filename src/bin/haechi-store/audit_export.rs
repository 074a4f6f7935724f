//! `audit export`: the records as they are stored, a page at a time.

use std::io::Write;

use haechi_store_redis::{
    Builder, Corrupt, ReadError,
    audit::{
        Pages,
        store::{AuditStore, Seen, Tail},
    },
    redis::Endpoint,
};

use crate::{
    args::Global,
    connection::read_failure,
    console::{self, Console},
    exit::{Exit, Failure},
    reading::{self, Reading},
    stored::one_line,
};

/// Print the records as JSON lines
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Reads in pages: neither Redis nor this program ever holds the whole list in one reply. What is \
printed can be verified with `audit verify --file`. A replica of Redis, which may be behind, is read \
too; a warning, and \"readFrom\":\"replica\" in the summary of --json, say so.

Example:
  haechi-store audit export --from 1001 --to 2000 > page.jsonl
  haechi-store audit export | haechi-store audit verify --file -")]
pub(crate) struct Args {
    /// The first sequence, by default the first that the list holds
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,

    /// The last sequence, itself included, by default the last there is
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::error(format!(
            "--from {from} is after --to {to}; give the smaller sequence as --from"
        )));
    }
    let client = global.client()?;
    let (reading, read_from) = reading::open(global, &client, console).await?;
    let printed = match reading {
        Reading::Scripts(store) => {
            let seeing = global.reading_builder()?;
            export(&args, &store, seeing, &client, console).await?
        }
        Reading::Plain(store) => {
            let seeing = global.plain_builder(read_from)?;
            export(&args, &store, seeing, &client, console).await?
        }
    };
    if console.json() {
        let mut summary = serde_json::json!({ "records": printed });
        if let Some(read_from) = read_from {
            summary["readFrom"] = read_from.into();
        }
        console::answer(&serde_json::json!({ "summary": summary }))?;
    }
    Ok(Exit::Success)
}

/// Prints the records asked for; their number.
async fn export(
    args: &Args,
    store: &impl AuditStore,
    seeing: Builder,
    client: &Endpoint,
    console: &Console,
) -> Result<u64, Failure> {
    let before = match seeing.check_seen(store).await {
        Ok(tail) => tail,
        // The list can still be read, but not by sequence.
        Err(ReadError::Corrupt(corrupt @ Corrupt::Diverged { .. }))
            if args.from.is_none() && args.to.is_none() =>
        {
            let pages = Pages::over(store, 0, u64::MAX);
            print(pages, None, client, console).await?;
            return Err(Failure::negative(format!(
                "the list was printed whole, but {corrupt}"
            )));
        }
        Err(error) => return Err(read_failure(client, &error)),
    };
    let range = elements(args, &before)?;
    let count = range.1 - range.0;
    let pages = Pages::over(store, range.0, range.1);
    let printed = print(pages, Some(count), client, console).await?;
    check_unmoved(store, client, &before, count == printed).await?;
    console.note(&format!(
        "{printed} records printed of {} in the chain",
        before.head.len()
    ));
    Ok(printed)
}

/// The elements of the list, from 0, end exclusive, with the requested
/// sequences: computed from the end, because the list may have been trimmed.
fn elements(args: &Args, tail: &Tail) -> Result<(u64, u64), Failure> {
    let last = tail.head.len();
    let trimmed = last.saturating_sub(tail.length);
    let from = args.from.unwrap_or(trimmed + 1);
    if from <= trimmed {
        return Err(Failure::negative(format!(
            "the list begins at sequence {}: the records before it were trimmed away; \
             begin there, or look for them where they were sealed",
            trimmed + 1
        )));
    }
    let to = args.to.unwrap_or(last).min(last);
    // The range may be empty: `from` may be the next sequence.
    let start = (from - 1 - trimmed).min(tail.length);
    let end = to.saturating_sub(trimmed);
    Ok((start, end.max(start)))
}

async fn print(
    mut pages: Pages<'_, impl AuditStore>,
    all: Option<u64>,
    client: &Endpoint,
    console: &Console,
) -> Result<u64, Failure> {
    let mut out = console::stdout();
    let mut progress = console.progress("records printed");
    let mut printed = 0;
    loop {
        let page = pages
            .next()
            .await
            .map_err(|error| read_failure(client, &error))?;
        if page.is_empty() {
            break;
        }
        for mut record in page {
            one_line(&mut record);
            out.write_all(&record)?;
            printed += 1;
        }
        progress.at(printed, all);
    }
    out.flush()?;
    Ok(printed)
}

/// Elements are read by index: if the list was trimmed or replaced meanwhile,
/// wrong records were printed.
async fn check_unmoved(
    store: &impl AuditStore,
    client: &Endpoint,
    before: &Tail,
    complete: bool,
) -> Result<(), Failure> {
    let after = store.tail(before.head.position()).await;
    let after = after.map_err(|error| read_failure(client, &ReadError::from(error)))?;
    let trimmed = |tail: &Tail| tail.head.len().saturating_sub(tail.length);
    let stands = after.seen == Seen::Stands;
    if complete && stands && trimmed(before) == trimmed(&after) {
        return Ok(());
    }
    Err(Failure::negative(
        "the list was trimmed or replaced while it was read: discard what was printed, \
         and export again",
    ))
}
