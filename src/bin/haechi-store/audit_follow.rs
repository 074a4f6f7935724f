//! `audit follow`: records as they are appended.

use std::{io::Write, time::Duration};

use haechi_store_redis::{
    ReadError,
    audit::{Follow, FollowError},
    chain::Sequence,
    clock::{Clock, SystemClock},
};

use crate::{
    args::{Global, seconds},
    connection::{place, read_failure},
    console::{self, Console},
    exit::{Exit, Failure},
    interrupt::interrupted,
    stored::one_line,
};

/// Print records as JSON lines as they are appended, until Ctrl-C
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Begins after the present head, or with --from, and looks for new records every --interval seconds. \
If what was printed is no longer in the chain, it was rolled back: that is an error, exit code 1. \
While Redis cannot be read, it warns once and goes on trying. Ctrl-C ends it with exit code 0.

Example:
  haechi-store audit follow --from 1 | jq -r .operation")]
pub(crate) struct Args {
    /// Begin with this sequence instead of the next one
    #[arg(long, value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..=Sequence::MAX))]
    from: Option<u64>,

    /// How long to wait before looking again
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    interval: Duration,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    tokio::select! {
        biased;
        () = interrupted() => Ok(Exit::Success),
        ended = print_all(args, global, console) => ended,
    }
}

/// Never ends without a failure.
async fn print_all(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let client = global.client()?;
    let store = global.store(&client);
    if global.seen.is_some() {
        let seen = global.comparing_builder()?.check_seen(&store).await;
        seen.map_err(|error| read_failure(&client, &error))?;
    }
    let clock = SystemClock::new();
    let mut follow = match args.from.and_then(Sequence::new) {
        Some(first) => Follow::from(&store, first),
        None => Follow::from_head(&store)
            .await
            .map_err(|error| read_failure(&client, &error))?,
    };
    // Only what was reached before is waited for.
    let mut is_readable = args.from.is_none();
    let mut warned = false;
    loop {
        let page = match follow.next().await {
            Ok(page) => {
                (is_readable, warned) = (true, false);
                page
            }
            Err(FollowError::Read(ReadError::Unavailable(cause))) if is_readable => {
                if !std::mem::replace(&mut warned, true) {
                    console.warn(&format!(
                        "Redis at {} could not be read: {cause}; trying again",
                        place(&client)
                    ));
                }
                Vec::new()
            }
            Err(FollowError::Read(error)) => return Err(read_failure(&client, &error)),
            Err(error) => return Err(Failure::negative(error.to_string())),
        };
        if page.is_empty() {
            clock.sleep(args.interval).await;
            continue;
        }
        let mut out = console::stdout();
        for mut record in page {
            one_line(&mut record);
            out.write_all(&record)?;
        }
        out.flush()?;
    }
}
