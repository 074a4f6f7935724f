//! Writes of unknown outcome, found out by the process that made them, a later life of it,
//! or another one.

use std::time::Duration;

use haechi_history::OpId;
use haechi_store_redis::{
    AttemptError, Handle,
    audit::{
        IfOpen, resolve,
        store::{AuditStore, Batch, Reply},
    },
    chain::StoredRecord,
    test_util::{AuditHooks, Hooked},
    vault::{self, ReceiptHandle},
};
use parking_lot::Mutex;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::{Host, Process};
use crate::{
    mutants::{AuditUnderTest, ConnectUnderTest, VaultUnderTest},
    record::{RunRecorder, UnknownWrite},
};

type ConnectOf<H> = ConnectUnderTest<<H as Host>::Connect>;
type AuditOf<H> = AuditUnderTest<ConnectOf<H>, <H as Host>::Clock, <H as Host>::Entropy>;
type VaultOf<H> = VaultUnderTest<ConnectOf<H>, <H as Host>::Clock, <H as Host>::Entropy>;

/// Asks what became of writes.
pub(super) struct Resolving<'a, H: Host> {
    process: &'a Process<'a, H>,
    audit: ByIfOpen<Hooked<AuditOf<H>, RecordFences>>,
    vault: ByIfOpen<VaultOf<H>>,
    rng: Mutex<ChaCha8Rng>,
}

/// The stores for each [`IfOpen`]: as in production, only to settle, which writes, is an
/// unsuitable Redis refused.
struct ByIfOpen<S> {
    leave: S,
    settle: S,
}

impl<S> ByIfOpen<S> {
    fn get(&self, if_open: IfOpen) -> &S {
        match if_open {
            IfOpen::Leave => &self.leave,
            IfOpen::Settle => &self.settle,
        }
    }
}

impl<'a, H: Host> Resolving<'a, H> {
    pub(super) fn over(process: &'a Process<'a, H>) -> Self {
        let (builder, connect) = (process.builder(), &process.connect);
        let hooked = |audit| {
            let fences = RecordFences {
                recorder: process.recorder.clone(),
                process: process.name.clone(),
            };
            Hooked::new(audit, fences)
        };
        let store = &process.store;
        Self {
            process,
            audit: ByIfOpen {
                leave: hooked(store.open_reader(&builder, connect.clone())),
                settle: hooked(store.open_writer(&builder, connect.clone())),
            },
            vault: ByIfOpen {
                leave: store.open_vault_reader(&builder, connect.clone()),
                settle: store.open_vault(&builder, connect.clone()),
            },
            rng: Mutex::new(process.generator("resolve")),
        }
    }

    /// Asks for one append, if there is one, and records the answer.
    pub(super) async fn resolve_append(&self) {
        let Some((op, handle, if_open)) = self.draw() else {
            return;
        };
        let process = self.process;
        let (clock, entropy) = (&process.clock, &process.entropy);
        let deadline = Duration::from_millis(process.knobs.deadline);
        let audit = self.audit.get(if_open);
        let found = resolve(audit, clock, entropy, deadline, &handle, if_open).await;
        let found = found.map(|found| found.map(|position| position.sequence.get()));
        let told = found.map(|found| process.store.resolution(found));
        process
            .recorder
            .resolved::<Handle>(&process.name, op, &told);
    }

    /// Asks for one mutation, if there is one, and records the answer.
    pub(super) async fn resolve_mutation(&self) {
        let Some((op, handle, if_open)) = self.draw() else {
            return;
        };
        let process = self.process;
        let (clock, entropy) = (&process.clock, &process.entropy);
        let deadline = Duration::from_millis(process.knobs.deadline);
        let vault = self.vault.get(if_open);
        let found = vault::resolve(vault, clock, entropy, deadline, &handle, if_open).await;
        let told = found.map(|found| process.store.resolution(found));
        process
            .recorder
            .resolved::<ReceiptHandle>(&process.name, op, &told);
    }

    /// A write of unknown outcome, and what is done if it is open.
    fn draw<W: UnknownWrite>(&self) -> Option<(OpId, W, IfOpen)> {
        let (settles, choice) = {
            let mut rng = self.rng.lock();
            (rng.random_bool(0.5), rng.next_u64())
        };
        let if_open = if settles {
            IfOpen::Settle
        } else {
            IfOpen::Leave
        };
        let (op, handle) = self.process.recorder.unknown_write(choice)?;
        Some((op, handle, if_open))
    }
}

/// Records the fences as the appends that they are.
struct RecordFences {
    recorder: RunRecorder,
    process: String,
}

impl<S: AuditStore> AuditHooks<S> for RecordFences {
    async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let record = batch.records.first();
        let fence = record.and_then(|record| StoredRecord::parse(record.text().as_bytes()).ok());
        let Some((fence, append_id)) = fence.and_then(|fence| Some((fence, fence.append_id?)))
        else {
            return next.append(batch).await;
        };
        // What one call of `resolve` has seen, no other one knows.
        let name = format!("{}/resolver.{append_id}", self.process);
        let op = self.recorder.begin_fence(&name, append_id);
        let reply = next.append(batch).await;
        if let Some(op) = op {
            self.recorder.end_fence(&name, op, fence.position, &reply);
        }
        reply
    }
}
