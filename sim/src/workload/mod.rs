//! Workloads: what the processes of a run do. One file each; an operation of a
//! schedule names the workload that carries it out.
//!
//! It must not know of faults, or of what a process runs on: that is beneath
//! `Host`.

mod audit;
mod cancellation;
mod foreign;
mod host;
mod process;
mod token_store;
mod token_vault;
mod vault_client;

use std::time::Duration;

pub(crate) use host::Host;
pub(crate) use vault_client::SharedKeys;

use crate::{
    mutants::StoreUnderTest,
    plan::{Action, Knobs},
};
use process::Process;
use rand_chacha::ChaCha8Rng;

/// One workload in one process: it starts with the process, and a crash takes
/// it. It carries out operations, several at a time, and records each from
/// its invocation to its end.
trait Actor {
    /// What it carries out.
    type Operation;

    /// Carries out one operation, on behalf of one of the process's callers.
    async fn act(&self, caller: usize, operation: &Self::Operation);

    /// Tries an operation that has to succeed when no fault is left; whether it
    /// did.
    async fn make_progress(&self, rng: &mut ChaCha8Rng) -> bool;
}

/// How long a process waits before it tries something again that is not the
/// store's to repeat.
const AGAIN: Duration = Duration::from_millis(100);

/// A process from its start to the end of the run, or to its crash.
pub(crate) async fn run<H: Host>(host: H, knobs: Knobs, number: usize, store: StoreUnderTest) {
    let process = Process::start(&host, &knobs, number, &store);
    if number < knobs.replicas {
        run_replica(&process).await;
    } else {
        foreign::run(&process).await;
    }
}

/// A process that runs the production store: its callers, and then the proof
/// that it makes progress.
async fn run_replica<H: Host>(process: &Process<'_, H>) {
    process
        .recorder
        .trace(|| format!("{} starts", process.name));
    let vault = token_store::TokenStoreActor::start(process).await;
    let token_vault = vault.as_ref().and_then(token_vault::TokenVaultActor::over);
    let audit = audit::AuditActor::start(process).await;
    let cancellation =
        cancellation::CancellationActor::over(process, audit.as_ref(), token_vault.as_ref());

    let callers = (0..process.knobs.writers).map(async |caller| {
        while let Some(operation) = process.next_operation().await {
            match operation.action {
                Action::Audit(operation) => act(audit.as_ref(), caller, &operation).await,
                Action::TokenStore(operation) => act(vault.as_ref(), caller, &operation).await,
                Action::TokenVault(operation) => {
                    act(token_vault.as_ref(), caller, &operation).await;
                }
                Action::Cancelled(operation) => cancellation.act(caller, &operation).await,
                // Only processes that follow the reference's protocol do.
                Action::Foreign(_) => {}
            }
        }
    });
    futures::future::join_all(callers).await;

    if process.knobs.settles {
        prove_progress(process, vault.as_ref()).await;
        prove_progress(process, token_vault.as_ref()).await;
        prove_progress(process, audit.as_ref()).await;
    }
    process.stay().await;
}

/// Has an actor carry out an operation; a schedule may name one that the
/// process does not have.
async fn act<A: Actor>(actor: Option<&A>, caller: usize, operation: &A::Operation) {
    if let Some(actor) = actor {
        actor.act(caller, operation).await;
    }
}

/// Waits until no fault is left, and then until an actor has made progress.
async fn prove_progress<H: Host>(process: &Process<'_, H>, actor: Option<&impl Actor>) {
    let Some(actor) = actor else { return };
    let mut rng = process.generator("liveness");
    while !process.recorder.is_healed() || !actor.make_progress(&mut rng).await {
        process.host.sleep(AGAIN / 5).await;
    }
}
