//! Writes the vault's audit events to the chain.

use super::{
    audit_event::{Decision, Operation, Undone, audit_id},
    store::VaultStore,
    tasks::Task,
    token::TokenId,
    token_vault::TokenVault,
};
use crate::{clock::Clock, crypto::CryptoProvider, entropy::Entropy, error::AppendError};

impl<S, P, C, E> TokenVault<S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    pub(super) fn decision(&self, operation: Operation, decision: &'static str) -> Decision {
        let mut decision = Decision::new(operation, decision, &self.entropy);
        decision.identity.clone_from(&self.identity);
        decision
    }

    /// Writes a decision to the audit chain.
    pub(super) async fn record(&self, decision: &Decision) -> Result<(), AppendError> {
        let event = decision.event(&self.policy.reveal, &self.clock)?;
        self.audit.record(event).await.map(drop)
    }

    /// The names of tokens in audit events.
    pub(super) async fn audit_ids(&self, tokens: &[TokenId]) -> Vec<String> {
        let mut names = Vec::with_capacity(tokens.len());
        for token in tokens {
            names.extend(audit_id(&*self.crypto, token.as_str()).await);
        }
        names
    }

    /// Records that `decisions` are not carried out, because the last of them could
    /// not be recorded; `None` if no record can be in the chain.
    pub(super) fn withdrawal(
        &self,
        mut decisions: Vec<Decision>,
        error: &AppendError,
    ) -> Option<Task> {
        if !matches!(error, AppendError::Unknown { .. }) {
            decisions.pop();
        }
        if decisions.is_empty() {
            return None;
        }
        let vault = self.clone();
        Some(Box::pin(async move {
            for decision in decisions {
                let undone = decision.undone(Undone::NotApplied, None, &vault.entropy);
                // Its caller knows that nothing was done; the chain may say otherwise.
                let _ = vault.record(&undone).await;
            }
        }))
    }
}
