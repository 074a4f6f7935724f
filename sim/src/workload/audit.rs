//! Callers that append events to the chain, and read it as an auditor would.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use haechi_history::{Function, OpId};
use haechi_store_redis::{
    AppendError, Builder,
    audit::{
        AnchorSink as _, AnchorStatus, Appended, AuditSink, FileAnchors, Pages, store::AuditStore,
    },
    chain::{AppendId, Event, Position, StoredRecord},
    entropy::Entropy,
    redis::NotReady,
};
use parking_lot::Mutex;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Actor, Host, Process, RETRY_DELAY, resolving::Resolving, vault_client::shared_keys};
use crate::{
    mutants::{AuditUnderTest, ConnectUnderTest},
    plan::AuditOperation,
};

/// The sink of one process.
pub(super) struct AuditActor<'a, H: Host> {
    process: &'a Process<'a, H>,
    sink: Mutex<Sink<H>>,
    /// How many sinks were opened after the first.
    opened: AtomicU64,
    reader: AuditUnderTest<ConnectUnderTest<H::Connect>, H::Clock, H::Entropy>,
    resolving: Resolving<'a, H>,
    /// The last position whose anchor was due, and the file that it goes to.
    last_due: Mutex<Option<(String, Position)>>,
}

/// A sink, and the name that it has in the history: what was seen goes with the sink.
struct Sink<H: Host> {
    sink: AuditSink<H::Clock, H::Entropy>,
    name: String,
    /// Of those that the process opened after its first.
    number: u64,
}

impl<'a, H: Host> AuditActor<'a, H> {
    /// Opens the sink, retrying until it succeeds; `None` if there is no chain.
    pub(super) async fn start(process: &'a Process<'a, H>) -> Option<Self> {
        if !process.knobs.workload.has_chain() {
            return None;
        }
        let reader = process
            .store
            .open_reader(&process.builder(), process.connect.clone());
        Some(Self {
            process,
            sink: Mutex::new(Sink {
                sink: open_sink(process, &process.name, Some(&process.anchor_file(0))).await,
                name: process.name.clone(),
                number: 0,
            }),
            opened: AtomicU64::new(0),
            reader,
            resolving: Resolving::over(process),
            last_due: Mutex::default(),
        })
    }

    /// Opens another sink, and closes the one before within so many milliseconds.
    async fn reopen(&self, within: u64) {
        // Callers may open sinks at the same time.
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        let file = self.process.anchor_file(number);
        let name = format!("{}/{number}", self.process.name);
        let sink = open_sink(self.process, &name, Some(&file)).await;
        let before = {
            let mut open = self.sink.lock();
            std::mem::replace(&mut *open, Sink { sink, name, number })
        };
        let closed = before.sink.close(Duration::from_millis(within)).await;
        let (name, unknown) = (before.name.as_str(), closed.unknown.len());
        let trace = || format!("{name} closed a sink, {unknown} appends in flight");
        self.process.recorder.trace(trace);
        self.process.recorder.add_stats(before.sink.stats());
    }

    /// Begins to record an event: the one with this number or, for `None`, one
    /// that is identical in all processes.
    pub(super) fn invoke(
        &self,
        number: Option<u32>,
    ) -> Option<(
        OpId,
        String,
        impl Future<Output = Result<Appended, AppendError>>,
    )> {
        let (process, name) = (self.process, self.process.name.as_str());
        let text = match number {
            None => r#"{"operation":"heartbeat"}"#.to_owned(),
            Some(number) => {
                let padding = match process.number {
                    0 => " ".repeat(process.knobs.padding),
                    _ => String::new(),
                };
                format!(
                    r#"{{"id":"{name}-{number:08x}","operation":"protect{padding}","message":"secret"}}"#
                )
            }
        };
        let event = Event::from_json(&text).ok()?;
        let mut id = [0; 16];
        process.entropy.fill(&mut id).ok()?;
        let append_id = process.store.append_id(AppendId::from_bytes(id));
        let (sink, name, file) = {
            let open = self.sink.lock();
            let file = process.anchor_file(open.number);
            (open.sink.clone(), open.name.clone(), file)
        };
        let op =
            process
                .recorder
                .invoke(process.number, &name, Function::Append, Some(append_id))?;
        let appending = async move {
            let outcome = process.store.record(&sink, append_id, event).await;
            if let Ok(appended) = &outcome {
                self.applied(&file, appended);
            }
            outcome
        };
        Some((op, name, appending))
    }

    /// An append was applied whose anchor goes to this file.
    fn applied(&self, file: &str, appended: &Appended) {
        let process = self.process;
        if appended.anchor == AnchorStatus::NotDue {
            return;
        }
        let media = process.host.anchor_media(process.number);
        let is_durable = media.is_durable(file, appended.position);
        let recorder = process.recorder;
        recorder.anchor(file, appended, is_durable, media.is_held());
        *self.last_due.lock() = Some((file.to_owned(), appended.position));
    }

    /// Whether the last anchor that was due is written, or there are none.
    fn is_anchored(&self) -> bool {
        let process = self.process;
        if process.knobs.anchored_every(process.number).is_none() {
            return true;
        }
        let media = process.host.anchor_media(process.number);
        let last = self.last_due.lock();
        last.as_ref()
            .is_some_and(|(file, position)| media.is_durable(file, *position))
    }

    /// Records one event; returns whether it was applied.
    async fn append(&self, number: Option<u32>) -> bool {
        let Some((op, name, appending)) = self.invoke(number) else {
            return false;
        };
        let outcome = appending.await;
        let process = self.process;
        process
            .recorder
            .end_append(process.number, &name, op, &outcome);
        if let Err(AppendError::Unknown { .. }) = outcome {
            self.resolving.resolve_append().await;
        }
        outcome.is_ok()
    }

    async fn read_chain(&self) {
        let (process, recorder) = (self.process, self.process.recorder);
        // An auditor of its own: no sink knows what it has seen.
        let (number, name) = (process.number, format!("{}/reader", process.name));
        let Some(op) = recorder.invoke(number, &name, Function::ReadChain, None) else {
            return;
        };
        let hashes = event_hashes(&self.reader).await;
        recorder.end_read(number, &name, op, hashes);
    }
}

impl<H: Host> Actor for AuditActor<'_, H> {
    type Operation = AuditOperation;

    async fn act(&self, _: usize, operation: &AuditOperation) {
        match operation {
            AuditOperation::Append { event } => {
                self.append(*event).await;
            }
            AuditOperation::ReadChain => {
                self.read_chain().await;
                self.resolving.resolve_append().await;
            }
            AuditOperation::Reopen { within } => self.reopen(*within).await,
        }
    }

    async fn make_progress(&self, rng: &mut ChaCha8Rng) -> bool {
        // An anchor waits until its record is as durable as asked: past any deadline, where
        // replicas and disk take longer than writes wait for them.
        let is_due = self.process.knobs.durability.is_none();
        self.append(Some(rng.next_u32())).await && (!is_due || self.is_anchored())
    }
}

impl<H: Host> Drop for AuditActor<'_, H> {
    fn drop(&mut self) {
        let open = self.sink.lock();
        self.process.recorder.add_stats(open.sink.stats());
    }
}

/// A builder of a sink of this name, with the losses after which it goes on.
async fn accepting<H: Host>(process: &Process<'_, H>, name: &str) -> Builder<H::Clock, H::Entropy> {
    let mut builder = process.builder();
    if process.knobs.shares_loss_keys(process.number) {
        let keys = Arc::new(shared_keys(process).await);
        builder = process
            .store
            .loss_keys(builder, process.audit_config(), keys);
        process.recorder.accepts(name, None);
    }
    if let Some((seen, lost)) = process.host.accepted(process.number) {
        process.recorder.knows(name, seen);
        builder = builder.seen(seen).accept(lost);
        process.recorder.accepts(name, Some(lost));
    }
    builder
}

/// Opens a sink, retrying until it succeeds. `name`: its own in the history; `anchors`: that
/// of the file of its anchors, if the process has any.
pub(super) async fn open_sink<H: Host>(
    process: &Process<'_, H>,
    name: &str,
    anchors: Option<&str>,
) -> AuditSink<H::Clock, H::Entropy> {
    loop {
        let mut builder = accepting(process, name).await;
        let connect = process.connect.clone();
        // The vault's sink has neither.
        if let (Some(_), Some(seen)) = (anchors, &process.seen) {
            if let Some(known) = process.known(seen) {
                process.recorder.knows(name, known);
            }
            builder = builder.seen_file(seen.clone());
        }
        let every = process.knobs.anchored_every(process.number);
        if let (Some(name), Some(every)) = (anchors, every) {
            let media = process.host.anchor_media(process.number);
            match FileAnchors::over(media.open(name)) {
                Ok(file) => {
                    let last = file.last().map(|last| last.sequence);
                    process.recorder.opened_anchors(name, last);
                    builder = builder
                        .anchors(process.store.anchors(file), every)
                        .blocking(media.run_blocking(process.clock.clone()));
                }
                Err(error) => process.recorder.misused(format!("{name}: {error}")),
            }
        }
        match process.store.open_audit(builder, connect).await {
            Ok(sink) => return sink,
            Err(error) => {
                let trace = || format!("{}: {error}", process.name);
                process.recorder.trace(trace);
                if error.reason == NotReady::Diverged {
                    process.recorder.cannot_open(process.number);
                }
                process.host.sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// The hashes of all records, page by page.
async fn event_hashes(store: &impl AuditStore) -> Result<Vec<String>, String> {
    let opened = Pages::open(store).await;
    let (mut pages, _) = opened.map_err(|error| error.to_string())?;
    let mut hashes = Vec::new();
    loop {
        let page = pages.next().await.map_err(|error| error.to_string())?;
        if page.is_empty() {
            return Ok(hashes);
        }
        for record in page {
            let record = StoredRecord::parse(&record).map_err(|error| error.to_string())?;
            hashes.push(record.position.event_hash.to_string());
        }
    }
}
