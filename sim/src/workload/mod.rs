//! Workloads: what the processes of a run do. One file each; an operation of a
//! schedule names the workload that carries it out.
//!
//! Workloads do not depend on faults, nor on the environment behind `Host`.

mod anchors;
mod audit;
mod cancellation;
mod foreign;
mod host;
mod keys;
pub(crate) mod operating;
mod process;
mod resolving;
mod seen;
mod token_store;
mod token_vault;
mod vault_client;

use std::time::Duration;

pub(crate) use anchors::{AnchorMedia, Left};
pub(crate) use host::Host;
pub(crate) use keys::{KeyFaults, SharedKeys};
pub(crate) use seen::SeenMedia;
pub(crate) use token_vault::plaintext_hash;
pub(crate) use vault_client::{LOADED_TOKENS, loaded_token};

use crate::{
    mutants::StoreUnderTest,
    plan::{Action, AuditOperation, Knobs, TokenVaultOperation},
};
use process::Process;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// One workload in one process. It carries out several operations at a time,
/// and records each from its invocation to its end.
trait Actor {
    /// What it carries out.
    type Operation;

    /// Carries out one operation, on behalf of one of the process's callers.
    async fn act(&self, caller: usize, operation: &Self::Operation);

    /// Tries an operation that has to succeed once all faults have ended;
    /// returns whether it did.
    async fn make_progress(&self, rng: &mut ChaCha8Rng) -> bool;
}

/// How long a process waits before it repeats what the store does not retry.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// A proof of progress that has failed more often waits at random.
const FAILURES_IN_STEP: u32 = 20;

/// How many fifths of the delay it then waits for, at most.
const MOST_STEPS: u32 = 100;

/// Runs a process until the end of the run, or until it crashes.
pub(crate) async fn run<H: Host>(host: H, knobs: Knobs, number: usize, store: StoreUnderTest) {
    let process = Process::start(&host, &knobs, number, &store);
    if number < knobs.replicas {
        run_replica(&process).await;
    } else {
        foreign::run(&process).await;
    }
}

/// Runs the callers of a process with the production store, then proves that it
/// makes progress.
async fn run_replica<H: Host>(process: &Process<'_, H>) {
    process
        .recorder
        .trace(|| format!("{} starts", process.name));
    let audit = audit::AuditActor::start(process).await;
    let vault = token_store::TokenStoreActor::start(process).await;
    let token_vault = vault.as_ref().and_then(token_vault::TokenVaultActor::over);
    let cancellation =
        cancellation::CancellationActor::over(process, audit.as_ref(), token_vault.as_ref());

    let accepts_losses = async {
        match &token_vault {
            Some(vault) => vault.accept_losses().await,
            None => std::future::pending().await,
        }
    };
    let works = async {
        if process.number == 0 {
            burst(process, audit.as_ref(), token_vault.as_ref()).await;
        }
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
    };
    futures::future::join(works, accepts_losses).await;
}

/// Every second caller appends, the others tokenize, all at once.
async fn burst<H: Host>(
    process: &Process<'_, H>,
    audit: Option<&audit::AuditActor<'_, H>>,
    vault: Option<&token_vault::TokenVaultActor<'_, H>>,
) {
    let callers = (0..process.knobs.load).map(async |caller| {
        let event = AuditOperation::Append {
            event: u32::try_from(caller).ok(),
        };
        let tokenize = TokenVaultOperation::Tokenize {
            random: true,
            number: 0,
        };
        match (audit, vault) {
            (Some(audit), Some(_)) if caller % 2 == 0 => audit.act(caller, &event).await,
            (_, Some(vault)) => vault.act(caller, &tokenize).await,
            (Some(audit), None) => audit.act(caller, &event).await,
            (None, None) => {}
        }
    });
    futures::future::join_all(callers).await;
}

/// Carries out an operation, unless the schedule names an actor that the
/// process does not have.
async fn act<A: Actor>(actor: Option<&A>, caller: usize, operation: &A::Operation) {
    if let Some(actor) = actor {
        actor.act(caller, operation).await;
    }
}

/// Waits until no fault is left, and then until an actor has made progress. Like a caller
/// should, one that keeps failing waits for longer, and at random: with a deadline of less than
/// three round trips, replicas that retry in step can all be too late for ever.
async fn prove_progress<H: Host>(process: &Process<'_, H>, actor: Option<&impl Actor>) {
    let Some(actor) = actor else { return };
    let mut rng = process.generator("liveness");
    let mut backoff = process.generator("backoff");
    let mut failures = 0;
    loop {
        if process.recorder.is_healed() {
            if actor.make_progress(&mut rng).await {
                return;
            }
            failures = (failures + 1).min(MOST_STEPS);
        }
        let steps = match failures {
            0..=FAILURES_IN_STEP => 1,
            _ => backoff.random_range(1..=failures),
        };
        process.host.sleep(RETRY_DELAY / 5 * steps).await;
    }
}
