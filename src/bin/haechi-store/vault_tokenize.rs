//! `vault tokenize`: plaintexts from stdin, their tokens in input order.

use std::{collections::VecDeque, io::Write, path::PathBuf, sync::Arc};

use haechi_store_redis::{
    Cause, DurabilityStatus, NotApplied,
    vault::{
        Details, Deterministic, ReceiptHandle, Retention, TokenType, TokenizeError, Tokenized,
        VaultPolicy,
    },
};
use tokio::task::JoinHandle;

use crate::{
    args::Global,
    console::{self, Console},
    exit::{Exit, Failure},
    input::{BadText, Texts},
    key_file::KeyFileArg,
    tickets::Tickets,
    vault_open::{Open, Vault, mutate_failure, object},
};

/// Turn plaintexts from stdin into tokens
#[derive(clap::Args, Debug)]
#[command(after_help = "\
One plaintext a line, of at most 1 MiB; its newline is not part of it, everything else is. Prints one \
token for each, in the order of the input. At the first that fails it stops: the tokens before it \
stand, and the line's number is on stderr.

With --tickets, if this process or its machine stops half way, `vault resolve --settle` tells for \
each plaintext that was sent whether it has a token.

Example:
  haechi-store keys init --key-file vault.keys
  printf 'anna@example.com\\n' | haechi-store vault tokenize --type email \\
    --deterministic \\
    --key-file vault.keys")]
pub(crate) struct Args {
    /// What the plaintexts are: a to z, 0 to 9 and _
    #[arg(long = "type", value_name = "T", value_parser = TokenType::new)]
    token_type: TokenType,

    /// The same plaintext gives the same token while that lives
    #[arg(long)]
    deterministic: bool,

    /// How long the tokens live, in days, fractions allowed
    #[arg(long, value_name = "D", default_value = "30", value_parser = retention)]
    retention_days: Retention,

    /// A JSON object that is kept readable beside each token
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,

    /// A JSON object that each envelope is bound to
    #[arg(long, value_name = "JSON")]
    context: Option<String>,

    /// Append {"line","handle"} to this file for each plaintext, on disk before its token is sent
    #[arg(long, value_name = "FILE")]
    tickets: Option<PathBuf>,

    #[command(flatten)]
    keys: KeyFileArg,
}

/// Plaintexts tokenized concurrently.
const IN_FLIGHT: usize = 32;

fn retention(text: &str) -> Result<Retention, String> {
    let days: f64 = text.parse().map_err(|_| "give a number of days")?;
    Retention::from_days(days).map_err(|error| error.to_string())
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let mut policy = VaultPolicy::default();
    policy.retention = args.retention_days;
    policy.deterministic = if args.deterministic {
        Deterministic::All
    } else {
        Deterministic::None
    };
    let mut details = Details::default();
    details.context = object("--context", args.context.as_deref())?;
    details.metadata = object("--metadata", args.metadata.as_deref())?;
    let tickets = args
        .tickets
        .as_deref()
        .map(Tickets::open_first)
        .transpose()?;
    let tickets = tickets.map(Arc::new);
    let open = Open::new(&args.keys, global, policy).await?;
    let ended = tokenize(&args, &details, tickets, &open, console).await;
    open.close(global, console).await;
    ended
}

/// A ticket for this line, which is on disk.
async fn ticket(
    tickets: &Tickets,
    vault: &Vault,
    line: u64,
) -> Result<ReceiptHandle, TokenizeError> {
    let ticket = vault.tokens().ticket().await?;
    let written = tickets.write(&[(line, ticket)]).await;
    written.map_err(|error| {
        let path = tickets.path().display();
        let cause = Cause::new(format!("the ticket cannot be written: {path}: {error}"));
        TokenizeError::NotApplied(NotApplied::Refused(cause))
    })?;
    Ok(ticket)
}

type Ending = Result<Tokenized, TokenizeError>;

async fn tokenize(
    args: &Args,
    details: &Details,
    tickets: Option<Arc<Tickets>>,
    open: &Open,
    console: &Console,
) -> Result<Exit, Failure> {
    let mut texts = Texts::from_stdin();
    let mut in_flight: VecDeque<(u64, JoinHandle<Ending>)> = VecDeque::new();
    let mut progress = console.progress("tokenized");
    let (mut made, mut reused) = (0_u64, 0_u64);
    let (mut not_yet_durable, mut why_not_yet) = (0_u64, String::new());
    let mut bad = None;
    let mut is_open = true;
    loop {
        while is_open && in_flight.len() < IN_FLIGHT {
            match texts.next().await {
                Ok(Some((line, text))) => {
                    let (vault, mut details) = (open.vault.clone(), details.clone());
                    let (token_type, tickets) = (args.token_type.clone(), tickets.clone());
                    let task = tokio::spawn(async move {
                        if let Some(tickets) = tickets {
                            details.ticket = Some(ticket(&tickets, &vault, line).await?);
                        }
                        vault.tokenize(&token_type, &text, details).await
                    });
                    in_flight.push_back((line, task));
                }
                Ok(None) => is_open = false,
                Err(error) => {
                    bad = Some(error);
                    is_open = false;
                }
            }
        }
        let Some((line, task)) = in_flight.pop_front() else {
            break;
        };
        match task.await {
            Ok(Ok(tokenized)) => {
                made += 1;
                reused += u64::from(tokenized.reused);
                if let DurabilityStatus::NotYet(why) = tokenized.durability {
                    not_yet_durable += 1;
                    why_not_yet = why;
                }
                let mut out = console::stdout();
                let written = writeln!(out, "{}", tokenized.token).and_then(|()| out.flush());
                if let Err(error) = written {
                    drop(out);
                    return Err(unread(line, &error, in_flight).await);
                }
                progress.at(made, None);
            }
            Ok(Err(error)) => {
                return Err(failed(open, line, &error, in_flight).await);
            }
            Err(_) => return Err(Failure::negative(format!("line {line}: interrupted"))),
        }
    }
    drop(progress);
    if console.json() {
        let summary = serde_json::json!({"summary": {
            "tokenized": made, "reused": reused, "notYetDurable": not_yet_durable,
        }});
        console::answer(&summary)?;
    }
    if not_yet_durable > 0 {
        console.warn(&format!(
            "{not_yet_durable} tokens are stored, but not yet as durable as asked; the last, \
             because: {why_not_yet}"
        ));
    }
    console.note(&format!(
        "{made} tokenized: {} new tokens, {reused} that existed",
        made - reused
    ));
    match bad {
        None => Ok(Exit::Success),
        Some(bad) => {
            console.error(&bad.to_string());
            Ok(match bad {
                BadText::Read { after: 0, .. } => Exit::Error,
                _ => Exit::Negative,
            })
        }
    }
}

/// A token that was not printed is unused, and expires.
async fn unread(
    line: u64,
    error: &std::io::Error,
    in_flight: VecDeque<(u64, JoinHandle<Ending>)>,
) -> Failure {
    let mut last = line;
    for (behind, task) in in_flight {
        let _ = task.await;
        last = behind;
    }
    Failure::negative(format!(
        "stdout was closed or cannot be written: {error}; the tokens of lines {line} to {last} were \
         made and not printed, and expire; no line after {last} was tried"
    ))
}

/// Waits for the plaintexts after the failed one: they may have tokens already.
async fn failed(
    open: &Open,
    line: u64,
    error: &TokenizeError,
    in_flight: VecDeque<(u64, JoinHandle<Ending>)>,
) -> Failure {
    let mut last = line;
    for (behind, task) in in_flight {
        let _ = task.await;
        last = behind;
    }
    let failure = match error {
        TokenizeError::Unknown(unknown) => mutate_failure(&open.client, unknown),
        _ => Failure::negative(error.to_string()),
    };
    let Failure::Message { exit, message } = failure else {
        return failure;
    };
    let behind = match last - line {
        0 => format!("no line after {line} was tried"),
        _ => format!(
            "lines {} to {last} were under way and may have tokens that were not printed; \
             they expire",
            line + 1
        ),
    };
    Failure::Message {
        exit,
        message: format!("line {line}: {message}; {behind}"),
    }
}
