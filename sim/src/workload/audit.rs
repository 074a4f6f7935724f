//! Callers that append events to the chain, and read it as an auditor would.

use std::{future::Future, time::Duration};

use haechi_history::{Function, OpId};
use haechi_store_redis::{
    AppendError,
    audit::{Appended, AuditSink, Pages, store::AuditStore},
    chain::{AppendId, Event, StoredRecord},
    entropy::Entropy,
};
use parking_lot::Mutex;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Actor, Host, Process, RETRY_DELAY};
use crate::{
    mutants::{AuditUnderTest, ConnectUnderTest},
    plan::AuditOperation,
};

/// The sink of one process.
pub(super) struct AuditActor<'a, H: Host> {
    process: &'a Process<'a, H>,
    sink: Mutex<AuditSink<H::Clock, H::Entropy>>,
    reader: AuditUnderTest<ConnectUnderTest<H::Connect>, H::Clock, H::Entropy>,
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
            sink: Mutex::new(open_sink(process).await),
            reader,
        })
    }

    /// Opens another sink, and closes the one before within so many milliseconds.
    async fn reopen(&self, within: u64) {
        let next = open_sink(self.process).await;
        let before = std::mem::replace(&mut *self.sink.lock(), next);
        let closed = before.close(Duration::from_millis(within)).await;
        let (name, unknown) = (self.process.name.as_str(), closed.unknown.len());
        let trace = || format!("{name} closed a sink, {unknown} appends in flight");
        self.process.recorder.trace(trace);
        self.process.recorder.add_stats(before.stats());
    }

    /// Begins to record an event: the one with this number or, for `None`, one
    /// that is identical in all processes.
    pub(super) fn invoke(
        &self,
        number: Option<u32>,
    ) -> Option<(OpId, impl Future<Output = Result<Appended, AppendError>>)> {
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
        let op =
            process
                .recorder
                .invoke(process.number, name, Function::Append, Some(append_id))?;
        let sink = self.sink.lock().clone();
        let appending = async move { process.store.record(&sink, append_id, event).await };
        Some((op, appending))
    }

    /// Records one event; returns whether it was applied.
    async fn append(&self, number: Option<u32>) -> bool {
        let Some((op, appending)) = self.invoke(number) else {
            return false;
        };
        let outcome = appending.await;
        let process = self.process;
        process
            .recorder
            .end_append(process.number, &process.name, op, &outcome);
        outcome.is_ok()
    }

    async fn read_chain(&self) {
        let (process, recorder) = (self.process, self.process.recorder);
        let (number, name) = (process.number, process.name.as_str());
        let Some(op) = recorder.invoke(number, name, Function::ReadChain, None) else {
            return;
        };
        let hashes = event_hashes(&self.reader).await;
        recorder.end_read(number, name, op, hashes);
    }
}

impl<H: Host> Actor for AuditActor<'_, H> {
    type Operation = AuditOperation;

    async fn act(&self, _: usize, operation: &AuditOperation) {
        match operation {
            AuditOperation::Append { event } => {
                self.append(*event).await;
            }
            AuditOperation::ReadChain => self.read_chain().await,
            AuditOperation::Reopen { within } => self.reopen(*within).await,
        }
    }

    async fn make_progress(&self, rng: &mut ChaCha8Rng) -> bool {
        self.append(Some(rng.next_u32())).await
    }
}

impl<H: Host> Drop for AuditActor<'_, H> {
    fn drop(&mut self) {
        self.process.recorder.add_stats(self.sink.lock().stats());
    }
}

/// Opens a sink, retrying until it succeeds.
pub(super) async fn open_sink<H: Host>(
    process: &Process<'_, H>,
) -> AuditSink<H::Clock, H::Entropy> {
    loop {
        let (builder, connect) = (process.builder(), process.connect.clone());
        match process.store.open_audit(builder, connect).await {
            Ok(sink) => return sink,
            Err(error) => {
                let trace = || format!("{}: {error}", process.name);
                process.recorder.trace(trace);
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
