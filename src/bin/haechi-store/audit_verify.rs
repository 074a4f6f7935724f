//! `audit verify`: every record, link and hash, in Redis or in a file.

use std::{
    io::{BufWriter, Read, StdoutLock, Write},
    path::{Path, PathBuf},
};

use haechi_store_redis::{
    Builder, Corrupt, ReadError,
    audit::{Pages, store::AuditStore},
    chain::{Fault, Head, Loss, LostRange, Verifier},
    redis::Endpoint,
};
use serde::Serialize;

use crate::{
    anchor_files::read_anchors,
    args::Global,
    connection::read_failure,
    console::{self, Console},
    exit::{Exit, Failure},
    input::{self, Lines},
    reading::{self, ReadFrom, Reading},
};

/// Check every record, link and hash, in Redis or in a file
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"valid\":true,\"records\", \"headHash\"}, or {\"valid\":false,\"records\", \"reason\", …} and exits 1; \
`records` counts the good ones before the first fault. In Redis the stored head is compared too. A \
replica of Redis, which may be behind, is read too, and labelled: \"readFrom\":\"replica\". \
`acceptedLosses` lists what the chain's own records say was lost in rollbacks.

Example:
  haechi-store audit verify --anchors anchors-a.jsonl --anchors anchors-b.jsonl
  haechi-store audit verify --all --file export.jsonl")]
pub(crate) struct Args {
    /// Verify this file of JSON lines instead of Redis; - is stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Compare with the anchors in this file as well; may be given several times
    #[arg(long, value_name = "FILE")]
    anchors: Vec<PathBuf>,

    /// Accept that anchors of these records attest others, or more than there are, if the chain has
    /// a record that accepts just this loss; as in 120..134, both included
    #[arg(long, value_name = "A..B")]
    accept: Vec<LostRange>,

    /// Go on past the first fault and print every one, each on a line before the result
    #[arg(long)]
    all: bool,
}

/// The longest text that Redis can store, so the longest record in a file.
const MAX_RECORD: usize = 512 << 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    valid: bool,
    records: u64,
    /// `Some(None)`: the hash of an empty chain, null.
    #[serde(skip_serializing_if = "Option::is_none")]
    head_hash: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchored: Option<AnchorCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_from: ReadFrom,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accepted_losses: Vec<Accepted>,
}

/// A loss that a record of the chain accepts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    sequence: u64,
    #[serde(flatten)]
    loss: Loss,
}

/// The location of a fault.
#[derive(Clone, Copy, Default, Serialize)]
struct Place {
    /// The line of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The element of the list, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    element: Option<u64>,
    /// The sequence that the record claims, or the anchor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnchorCounts {
    count: u64,
    last_sequence: Option<u64>,
    torn: u64,
}

#[derive(Serialize)]
struct FaultLine {
    #[serde(flatten)]
    place: Place,
    reason: String,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let mut verifier = Verifier::new().accepting(args.accept);
    if !args.anchors.is_empty() {
        verifier = verifier.with_anchors(read_anchors(&args.anchors)?);
    }
    if args.all {
        verifier = verifier.keep_going();
    }
    let mut verification = Verification {
        verifier,
        out: console::stdout(),
        lists_all: args.all,
        in_file: args.file.is_some(),
        besides: Vec::new(),
        hint: None,
        read_from: None,
    };
    match &args.file {
        Some(path) => verification.file(path, console)?,
        None => verification.redis(global, console).await?,
    }
    verification.finish(console)
}

/// A verification in progress.
struct Verification {
    verifier: Verifier,
    out: BufWriter<StdoutLock<'static>>,
    lists_all: bool,
    in_file: bool,
    /// Faults outside of records.
    besides: Vec<String>,
    /// A hint on the first fault.
    hint: Option<&'static str>,
    read_from: ReadFrom,
}

impl Verification {
    fn file(&mut self, path: &Path, console: &Console) -> Result<(), Failure> {
        let unreadable = |error| {
            Failure::error(format!(
                "the file {} cannot be read: {error}; name a file that `audit export` wrote",
                path.display()
            ))
        };
        let mut lines =
            Lines::<Box<dyn Read + Send>>::new(input::open(path).map_err(unreadable)?, MAX_RECORD);
        let mut progress = console.progress("lines verified");
        while !self.verifier.is_settled() {
            let Some(line) = lines.next().map_err(unreadable)? else {
                break;
            };
            if line.cut {
                self.besides.push(format!(
                    "invalid: line {} is longer than the 512 MiB that Redis can hold",
                    line.number
                ));
                break;
            }
            let faults = self.verifier.line(line.text);
            if !faults.is_empty() && !line.ended {
                self.hint = Some("the last line does not end in a newline: the file was cut off");
            }
            self.list(&faults)?;
            progress.at(line.number, None);
        }
        Ok(())
    }

    async fn redis(&mut self, global: &Global, console: &Console) -> Result<(), Failure> {
        let client = global.client()?;
        let (reading, read_from) = reading::open(global, &client, console).await?;
        self.read_from = read_from;
        match reading {
            Reading::Scripts(store) => {
                let key = &store.keys().chain;
                let seeing = global.reading_builder()?;
                self.stored(&store, key, seeing, &client, console).await
            }
            Reading::Plain(store) => {
                let key = &store.keys().chain;
                let seeing = global.plain_builder(read_from)?;
                self.stored(&store, key, seeing, &client, console).await
            }
        }
    }

    /// Verifies the chain whose list is at `list`.
    async fn stored(
        &mut self,
        store: &impl AuditStore,
        list: &str,
        seeing: Builder,
        client: &Endpoint,
        console: &Console,
    ) -> Result<(), Failure> {
        // The list is verified even if the head disagrees, to show how far it
        // is valid.
        let (mut pages, tail) = match seeing.check_seen(store).await {
            Ok(tail) => (Pages::over(store, 0, tail.length), Some(tail)),
            Err(ReadError::Corrupt(corrupt)) => {
                let is_list = !matches!(&corrupt, Corrupt::WrongType { key, .. } if key == list);
                if let Corrupt::Diverged { .. } = corrupt {
                    self.hint =
                        Some("`haechi-store audit repair` rebuilds the head if the list verifies");
                }
                self.besides.push(reason_of(&corrupt));
                let end = if is_list { u64::MAX } else { 0 };
                (Pages::over(store, 0, end), None)
            }
            Err(error) => return Err(read_failure(client, &error)),
        };
        let mut progress = console.progress("records verified");
        while !self.verifier.is_settled() {
            let page = pages.next().await;
            let page = page.map_err(|error| read_failure(client, &error))?;
            if page.is_empty() {
                break;
            }
            for record in page {
                let faults = self.verifier.line(&record);
                self.list(&faults)?;
            }
            progress.at(self.verifier.lines(), tail.map(|tail| tail.length));
        }
        if let Some(tail) = tail
            && !self.verifier.is_settled()
            && self.verifier.position() != tail.head
        {
            self.besides.push(format!(
                "diverged: head names sequence {}, but the list ends at {}",
                tail.head.len(),
                self.verifier.position().len()
            ));
        }
        Ok(())
    }

    /// Prints faults, with `--all`.
    fn list(&mut self, faults: &[Fault]) -> Result<(), Failure> {
        if self.lists_all {
            for fault in faults {
                let line = FaultLine {
                    place: place(fault, self.in_file),
                    reason: fault.reason.to_string(),
                };
                console::json_line(&mut self.out, &line)?;
            }
        }
        Ok(())
    }

    fn finish(mut self, console: &Console) -> Result<Exit, Failure> {
        let verdict = std::mem::take(&mut self.verifier).finish();
        self.list(&verdict.closing)?;
        if self.lists_all {
            for reason in &self.besides {
                let line = FaultLine {
                    place: Place::default(),
                    reason: reason.clone(),
                };
                console::json_line(&mut self.out, &line)?;
            }
        }
        let reason = match &verdict.fault {
            Some(fault) => Some(fault.reason.to_string()),
            None => self.besides.first().cloned(),
        };
        let answer = Answer {
            valid: reason.is_none(),
            records: verdict.records,
            head_hash: reason.is_none().then(|| match verdict.head {
                Head::Empty => None,
                Head::At(position) => Some(position.event_hash.to_text()),
            }),
            reason,
            place: verdict
                .fault
                .as_ref()
                .map(|fault| place(fault, self.in_file))
                .unwrap_or_default(),
            faults: self
                .lists_all
                .then_some(verdict.faults + self.besides.len() as u64),
            anchored: verdict.anchored.map(|anchored| AnchorCounts {
                count: anchored.count,
                last_sequence: anchored.last_sequence.map(|last| last.get()),
                torn: verdict.torn_anchors,
            }),
            read_from: self.read_from,
            accepted_losses: verdict
                .accepted
                .iter()
                .map(|accepted| Accepted {
                    sequence: accepted.position.sequence.get(),
                    loss: accepted.loss,
                })
                .collect(),
        };
        let written = console::json_line(&mut self.out, &answer).and_then(|()| self.out.flush());
        console::unless_closed(written)?;
        Ok(self.print(&answer, console))
    }

    /// The same as text.
    fn print(&self, answer: &Answer, console: &Console) -> Exit {
        let torn = answer.anchored.as_ref().map_or(0, |anchored| anchored.torn);
        if torn > 0 {
            console.warn(&format!(
                "{torn} lines of the anchor files are torn and attest nothing; give another \
                 copy of the files if there is one"
            ));
        }
        let Some(reason) = &answer.reason else {
            let anchors = answer
                .anchored
                .as_ref()
                .map_or_else(String::new, |anchored| {
                    let but = match answer.accepted_losses.is_empty() {
                        true => "",
                        false => ", but for those of accepted losses",
                    };
                    format!(", {} anchors agree{but}", anchored.count)
                });
            console.note(&format!("valid: {} records{anchors}", answer.records));
            for lost in &answer.accepted_losses {
                console.warn(&format!(
                    "sequence {} accepts that the records {} of another history were lost",
                    lost.sequence, lost.loss.range
                ));
            }
            return Exit::Success;
        };
        let Place {
            line,
            element,
            sequence,
        } = answer.place;
        let mut at = match (line, element) {
            (Some(line), _) => format!(" at line {line}"),
            (None, Some(element)) => format!(" at element {element} of the list"),
            (None, None) => String::new(),
        };
        if let (Some(sequence), true) = (sequence, line.or(element).is_some()) {
            at.push_str(&format!(", which says it is sequence {sequence}"));
        }
        let hint = self
            .hint
            .map_or_else(String::new, |hint| format!(" ({hint})"));
        let good = match (line.or(element), answer.records) {
            (_, 0) => String::new(),
            (Some(_), good) => format!(" The {good} records before it are good."),
            (None, good) => format!(" The list's own {good} records are good."),
        };
        let all = if self.lists_all {
            ""
        } else {
            "; --all lists every fault"
        };
        console.error(&format!(
            "the chain is not valid{at}: {reason}{hint}.{good} Keep what there is, stop every \
             writer, and compare with anchors and earlier exports{all}"
        ));
        Exit::Negative
    }
}

fn place(fault: &Fault, in_file: bool) -> Place {
    Place {
        line: fault.line.filter(|_| in_file),
        element: fault.line.filter(|_| !in_file),
        sequence: fault.sequence.map(|sequence| sequence.get()),
    }
}

fn reason_of(corrupt: &Corrupt) -> String {
    match corrupt {
        Corrupt::WrongType { key, found } => {
            format!("wrong type: the key {key} holds a {found}")
        }
        Corrupt::Diverged { detail, .. } => format!("diverged: {detail}"),
        corrupt => corrupt.to_string(),
    }
}
