//! One incarnation of a process: its name, its inputs, and the operations that
//! its callers take.

use std::time::Duration;

use haechi_store_redis::{Builder, audit::AuditConfig};
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
        Self {
            host,
            knobs,
            store,
            number,
            recorder,
            clock: host.clock(number),
            entropy: host.entropy(&name),
            connect: store.connect(host.connect(number, store.watches())),
            name,
        }
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

    /// A builder with this process's inputs.
    pub(super) fn builder(&self) -> Builder<H::Clock, H::Entropy> {
        let mut config = AuditConfig::default();
        config.deadline = Duration::from_millis(self.knobs.deadline);
        config.queue_capacity = self.knobs.queue_capacity;
        config.batch_records = self.knobs.batch_records;
        config.queue_bytes = self.queue_bytes(config.queue_bytes);
        Builder::new()
            .clock(self.clock.clone())
            .entropy(self.entropy.clone())
            .lock(self.knobs.lock_policy())
            .timeouts(self.knobs.store_timeouts())
            .durability(self.knobs.store_durability())
            .audit_config(config)
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
