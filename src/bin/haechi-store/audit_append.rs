//! `audit append`: events from stdin into the chain, results in input order.
//! A bounded number of appends is in flight. Their outcomes are awaited in
//! order and printed, one line each; an event that was not sent has no line.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    pin::{Pin, pin},
    task::Poll,
};

use haechi_store_redis::{
    AppendError, NotApplied, OpenError, ReadError,
    audit::{Appended, AuditSink, FileAnchors, store::AuditStore},
    chain::{Event, Head, LostRange},
    redis::Endpoint,
};

use crate::{
    append_report::{Report, Stop},
    args::Global,
    connection::{place, read_failure},
    console::Console,
    exit::{Exit, Failure},
    input::Events,
    interrupt::interrupted,
    key_file::OptionalKeyFile,
    tickets::Tickets,
    vault_open::open_keys,
};

/// Append events from stdin, one JSON object a line
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"sequence\", \"eventHash\"} for each event, in the order of the input. At a line that is no \
event it stops: the lines before it stand, none after it is tried. From the first append that fails \
on, every line printed carries its \"line\" in the input and, unless applied, its \"outcome\": \
not_applied, or unknown with the \"handle\", for `audit resolve`.

A record that is applied, but not yet as durable as --durability asks, has \"durability\":\"not_yet\" \
and the \"reason\"; this is no failure, and is summed up on stderr.

With --tickets, if this process or its machine stops half way, `audit resolve --settle` tells for \
each event that was sent whether it is in the chain.

Example:
  echo '{\"id\":\"evt-1\",\"operation\":\"protect\"}' | haechi-store audit append
  haechi-store audit append --anchor /mnt/worm/anchors.jsonl \\
    --anchor-every 100 < events.jsonl")]
pub(crate) struct Args {
    /// At most so many appends in flight
    #[arg(long, value_name = "N", default_value = "64")]
    writers: NonZeroUsize,

    /// Append anchors to this file, best kept where Redis' operators cannot write
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,

    /// Anchor every K-th sequence
    #[arg(long, value_name = "K", default_value = "1", requires = "anchor")]
    anchor_every: NonZeroU64,

    /// Append {"line","handle"} to this file for each event, on disk before the event is sent
    #[arg(long, value_name = "FILE")]
    tickets: Option<PathBuf>,

    /// Go on after the loss of these records, once `audit resume` has left a record of it; as in
    /// 120..134, both included
    #[arg(long, value_name = "A..B")]
    accept: Vec<LostRange>,

    #[command(flatten)]
    keys: OptionalKeyFile,
}

/// How an append ended.
pub(crate) type Ending = Result<Appended, AppendError>;

/// Appends in flight with their lines, oldest first.
type InFlight = VecDeque<(u64, Pin<Box<dyn Future<Output = Ending>>>)>;

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let client = global.client()?;
    let mut report = Report::new(place(&client));
    let sink = start(&args, global, client).await?;
    let mut progress = console.progress("events appended");
    let tickets = args
        .tickets
        .as_deref()
        .map(Tickets::open_first)
        .transpose()?;
    let mut events = Events::from_stdin();
    let mut in_flight = InFlight::with_capacity(args.writers.get().min(1 << 16));
    // Events that were read and not sent yet.
    let mut next = Vec::new();
    // Why no more events are read.
    let mut stop = None;
    let mut interrupt = pin!(interrupted());

    loop {
        while stop.is_none() && in_flight.len() + next.len() < args.writers.get() {
            let Some(event) = events.ready() else {
                break;
            };
            next.push(event);
        }
        if let Err(failed) = send(&mut in_flight, &sink, &mut next, tickets.as_ref()).await {
            stop.get_or_insert(failed);
        }
        if let Some((line, ending)) = now(oldest(&mut in_flight)).await {
            report.ended(line, ending);
            if report.has_failure() {
                stop.get_or_insert(Stop::Failed);
            }
            if report.is_long() && report.flush().await.is_err() {
                stop.get_or_insert(Stop::StdoutGone);
            }
            continue;
        }
        if in_flight.is_empty() && stop.is_some() {
            break;
        }
        // Before waiting, print what is there.
        progress.at(report.count(), None);
        if report.flush().await.is_err() {
            stop.get_or_insert(Stop::StdoutGone);
        }
        let takes = stop.is_none();
        let has_room = takes && in_flight.len() < args.writers.get();
        tokio::select! {
            biased;
            (line, ending) = oldest(&mut in_flight) => report.ended(line, ending),
            read = events.next(), if has_room => match read {
                Ok(Some(event)) => next.push(event),
                Ok(None) => stop = Some(Stop::End),
                Err(bad) => stop = Some(Stop::Bad(bad)),
            },
            () = &mut interrupt, if takes => stop = Some(Stop::Interrupted),
            else => {}
        }
        if report.has_failure() {
            stop.get_or_insert(Stop::Failed);
        }
    }
    drop(progress);
    // Nothing is in flight; this waits for the anchors, and until the sink has
    // closed its connection.
    sink.close(global.deadline).await;
    report.anchors_failed(sink.stats().anchor_failures > 0);
    report.finish(&stop.unwrap_or(Stop::End), console).await
}

async fn start(args: &Args, global: &Global, client: Endpoint) -> Result<AuditSink, Failure> {
    let accepted = args.accept.iter();
    let builder = global.seeing_builder()?;
    let mut builder = accepted.fold(builder, |builder, lost| builder.accept(*lost));
    if let Some(file) = args.keys.open() {
        builder = builder.loss_keys(open_keys(file).await?);
    }
    if args.tickets.is_some() {
        // What is resolved later is searched from here on.
        let tail = global.store(&client).tail(None).await;
        let tail = tail.map_err(|error| read_failure(&client, &ReadError::from(error)))?;
        if let Head::At(head) = tail.head {
            builder = builder.seen(head);
        }
    }
    if let Some(path) = &args.anchor {
        let anchors = FileAnchors::open(path).map_err(|error| {
            Failure::error(format!(
                "the anchor file {} cannot be opened: {error}; nothing was appended",
                path.display()
            ))
        })?;
        builder = builder.anchors(anchors, args.anchor_every);
    }
    let place = place(&client);
    builder
        .open_audit(client)
        .await
        .map_err(|OpenError { reason, cause, .. }| {
            Failure::negative(format!(
                "Redis at {place} is not fit for a chain, nothing was appended: {reason}: {cause}"
            ))
        })
}

/// Sends `events`, once their tickets are on disk.
async fn send(
    in_flight: &mut InFlight,
    sink: &AuditSink,
    events: &mut Vec<(u64, Event)>,
    tickets: Option<&Tickets>,
) -> Result<(), Stop> {
    let Some(tickets) = tickets.filter(|_| !events.is_empty()) else {
        for (line, event) in events.drain(..) {
            in_flight.push_back((line, Box::pin(sink.record(event))));
        }
        return Ok(());
    };
    let events = std::mem::take(events);
    let handles: Result<Vec<_>, _> = events
        .iter()
        .map(|(line, _)| Ok((*line, sink.ticket()?)))
        .collect();
    let handles = handles.map_err(|error: NotApplied| Stop::Tickets(error.to_string()))?;
    let written = tickets.write(&handles).await;
    written.map_err(|error| Stop::Tickets(format!("{}: {error}", tickets.path().display())))?;
    for ((line, event), (_, handle)) in events.into_iter().zip(handles) {
        let append = sink.record_as(handle.append_id, event);
        in_flight.push_back((line, Box::pin(append)));
    }
    Ok(())
}

/// Waits until the oldest append has ended. Its deadline is the earliest.
async fn oldest(in_flight: &mut InFlight) -> (u64, Ending) {
    poll_fn(|cx| {
        let Some((line, append)) = in_flight.front_mut() else {
            return Poll::Pending;
        };
        let line = *line;
        let ending = std::task::ready!(append.as_mut().poll(cx));
        in_flight.pop_front();
        Poll::Ready((line, ending))
    })
    .await
}

/// The output of `future` if it is ready.
async fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
