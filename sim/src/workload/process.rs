//! One incarnation of a process: its name, its inputs, and the operations that
//! its callers take.

use std::time::Duration;

use haechi_store_redis::{
    Builder, SeenFile,
    audit::AuditConfig,
    chain::Position,
    redis::{AuditPrefix, VaultPrefix},
    vault::MutationId,
};
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;

use super::Host;
use crate::{
    mutants::{ConnectUnderTest, StoreUnderTest},
    plan::{Knobs, Operation, generator},
    record::RunRecorder,
};

/// A process that has started.
pub(super) struct Process<'a, H: Host> {
    pub(super) host: &'a H,
    pub(super) knobs: &'a Knobs,
    /// The store that it runs.
    pub(super) store: &'a StoreUnderTest,
    pub(super) number: usize,
    /// Differs for each incarnation.
    pub(super) name: String,
    pub(super) recorder: &'a RunRecorder,
    pub(super) clock: H::Clock,
    pub(super) entropy: H::Entropy,
    pub(super) connect: ConnectUnderTest<H::Connect>,
    /// Where it keeps what it sees of the chain and of the vault.
    pub(super) seen: Option<SeenFile>,
    /// The highest position in it that earlier incarnations had seen, until a sink is opened.
    known: Mutex<Option<Position>>,
    /// The mutation in it whose receipt they had seen last.
    pub(super) known_receipt: Option<MutationId>,
}

fn last_seen(file: &SeenFile) -> Option<Position> {
    let prefix = AuditPrefix::default().to_string();
    file.positions(&prefix).last().copied()
}

impl<'a, H: Host> Process<'a, H> {
    pub(super) fn start(
        host: &'a H,
        knobs: &'a Knobs,
        number: usize,
        store: &'a StoreUnderTest,
    ) -> Self {
        let recorder = host.recorder();
        let name = match recorder.start_process(number) {
            1 => format!("r{number}"),
            life => format!("r{number}.{life}"),
        };
        let clock = host.clock(number);
        let open = |is_read| {
            let opened = host.seen_media(number)?.open(clock.clone(), is_read);
            opened
                .map_err(|error| recorder.misused(format!("{name}: {error}")))
                .ok()
        };
        let times = store.sentinel_times(knobs.sentinel_times());
        let kept = open(true);
        let known = kept.as_ref().and_then(last_seen);
        let prefix = VaultPrefix::default().to_string();
        let receipt = kept.as_ref().and_then(|kept| kept.newest_receipt(&prefix));
        let seen = match store.reads_seen() {
            true => kept,
            false => open(false),
        };
        Self {
            host,
            knobs,
            store,
            number,
            recorder,
            clock,
            seen,
            known: Mutex::new(known),
            known_receipt: receipt.map(MutationId::from_bytes),
            entropy: host.entropy(&name),
            connect: store.connect(host.connect(number, times)),
            name,
        }
    }

    /// The last position of those that it keeps and a sink begins with that is opened now.
    pub(super) fn known(&self, seen: &SeenFile) -> Option<Position> {
        let known = self.known.lock().take();
        known.or_else(|| last_seen(seen))
    }

    /// A generator for one purpose of this process.
    pub(super) fn generator(&self, purpose: &str) -> ChaCha8Rng {
        generator(self.knobs.seed, &format!("{purpose} {}", self.name))
    }

    /// How many bytes callers may bring while they wait, or else `usual`.
    pub(super) fn queue_bytes(&self, usual: usize) -> usize {
        let drawn = match self.knobs.queue_bytes {
            0 => usual,
            drawn => drawn,
        };
        self.store.queue_bytes(drawn)
    }

    /// The limits of its sinks.
    pub(super) fn audit_config(&self) -> AuditConfig {
        let mut config = AuditConfig::default();
        config.deadline = Duration::from_millis(self.knobs.deadline);
        config.queue_capacity = self.knobs.queue_capacity;
        config.batch_records = self.knobs.batch_records;
        config.queue_bytes = self.queue_bytes(config.queue_bytes);
        config
    }

    /// A builder with this process's inputs.
    pub(super) fn builder(&self) -> Builder<H::Clock, H::Entropy> {
        Builder::new()
            .clock(self.clock.clone())
            .entropy(self.entropy.clone())
            .lock(self.knobs.lock_policy())
            .timeouts(self.knobs.store_timeouts())
            .durability(self.knobs.store_durability())
            .audit_config(self.audit_config())
    }

    /// The file of the anchors of this sink of the process; those of later incarnations go
    /// on with it.
    pub(super) fn anchor_file(&self, sink: u64) -> String {
        match sink {
            0 => format!("r{}", self.number),
            _ => format!("r{}/{sink}", self.number),
        }
    }

    /// Records that the process made progress, and keeps its connections open
    /// until the run is over.
    pub(super) async fn stay(&self) {
        self.recorder.prove_progress(self.number);
        std::future::pending::<()>().await;
    }

    /// Takes the next operation, and waits until it is due; `None` if none is
    /// left.
    pub(super) async fn next_operation(&self) -> Option<Operation> {
        let (number, operation) = self.recorder.take_operation(self.number)?;
        if operation.think > 0 {
            self.host
                .sleep(Duration::from_millis(operation.think))
                .await;
        }
        let early = Duration::from_millis(operation.at).checked_sub(self.recorder.now());
        if let Some(early) = early.filter(|early| !early.is_zero()) {
            self.host.sleep(early).await;
        }
        self.recorder.begins(self.number, number);
        Some(operation)
    }
}
