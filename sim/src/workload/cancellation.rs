//! Callers that drop the futures of appends and of calls of the vault before they
//! are ready. The operation may have been applied, or may still be.

use std::{future::Future, pin::pin, task::Poll};

use futures::future::LocalBoxFuture;
use haechi_history::{Function, Outcome};
use rand_chacha::ChaCha8Rng;

use super::{Actor, Host, Process, audit::AuditActor, token_vault::TokenVaultActor};
use crate::{
    plan::CancelledOperation,
    record::{CALL, CANCELLED, Failure},
};

/// Calls of the other workloads, dropped before they are ready.
pub(super) struct CancellationActor<'a, H: Host> {
    process: &'a Process<'a, H>,
    audit: Option<&'a AuditActor<'a, H>>,
    token_vault: Option<&'a TokenVaultActor<'a, H>>,
}

impl<'a, H: Host> CancellationActor<'a, H> {
    /// Callers of the same sink and vault.
    pub(super) fn over(
        process: &'a Process<'a, H>,
        audit: Option<&'a AuditActor<'a, H>>,
        token_vault: Option<&'a TokenVaultActor<'a, H>>,
    ) -> Self {
        Self {
            process,
            audit,
            token_vault,
        }
    }

    async fn append(&self, audit: &AuditActor<'_, H>, event: u32, polls: u32) {
        let Some((op, name, appending)) = audit.invoke(Some(event)) else {
            return;
        };
        let number = self.process.number;
        let recorder = self.process.recorder;
        match polled(appending, polls).await {
            Some(outcome) => recorder.end_append(number, &name, op, &outcome),
            None => {
                recorder.end(number, op, Outcome::Unknown(None), Some(CANCELLED), || {
                    format!("{name} op {op}: {CANCELLED}")
                });
            }
        }
    }

    /// Carries out a call of the vault.
    async fn vault_call(&self, vault: &TokenVaultActor<'_, H>, operation: &CancelledOperation) {
        let recorder = self.process.recorder;
        let f = match operation {
            CancelledOperation::Tokenize { .. } => Function::Tokenize,
            CancelledOperation::Purge { .. } => Function::Purge,
            CancelledOperation::PurgeExpired { .. } => Function::PurgeExpired,
            CancelledOperation::Reveal { .. } => Function::Reveal,
            CancelledOperation::Detokenize { .. } => Function::Detokenize,
            CancelledOperation::Append { .. } => return,
        };
        let Some(call) = recorder.call(self.process.number, &self.process.name, f) else {
            return;
        };
        let (acting, polls): (LocalBoxFuture<'_, _>, u32) = match *operation {
            CancelledOperation::Tokenize {
                random,
                number,
                polls,
            } => (Box::pin(vault.tokenize(call, random, number)), polls),
            CancelledOperation::Purge { number, polls } => {
                (Box::pin(vault.purge(call, number)), polls)
            }
            CancelledOperation::PurgeExpired { polls } => {
                (Box::pin(vault.purge_expired(call)), polls)
            }
            CancelledOperation::Reveal { number, polls } => {
                (Box::pin(vault.reveal(call, number)), polls)
            }
            CancelledOperation::Detokenize { polls } => (Box::pin(vault.detokenize(call)), polls),
            CancelledOperation::Append { .. } => return,
        };
        let ended = polled(CALL.scope(call, acting), polls).await;
        if ended.is_none() {
            vault.finish(call).await;
        }
        let ended = ended.unwrap_or_else(|| {
            Err(Failure {
                is_unknown: true,
                error: CANCELLED.to_owned(),
                corrupt: None,
            })
        });
        recorder.end_vault_call(&self.process.name, call, ended);
    }
}

impl<H: Host> Actor for CancellationActor<'_, H> {
    type Operation = CancelledOperation;

    async fn act(&self, _: usize, operation: &CancelledOperation) {
        // What needs a store that the process does not have is skipped.
        match (operation, self.audit, self.token_vault) {
            (CancelledOperation::Append { event, polls }, Some(audit), _) => {
                self.append(audit, *event, *polls).await;
            }
            (CancelledOperation::Append { .. }, None, _) | (_, _, None) => {}
            (operation, _, Some(vault)) => self.vault_call(vault, operation).await,
        }
    }

    /// Cancelled calls prove no progress; the other workloads do.
    async fn make_progress(&self, _: &mut ChaCha8Rng) -> bool {
        true
    }
}

/// Polls a future at most `polls` times; `None` if it is not ready by then.
async fn polled<F: Future>(future: F, polls: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
