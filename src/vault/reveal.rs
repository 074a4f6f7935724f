//! Reveals a token's plaintext, after an audit record of it.

use super::{
    audit_event::{Decision, Operation, audit_id},
    object::JsonObject,
    plaintext::Plaintext,
    policy::RevealPolicy,
    record::TokenRecord,
    store::VaultStore,
    token::{Stored, TokenId},
    token_vault::{DetokenizeError, Refusal, Restored, RevealError, TokenVault},
};
use crate::{
    clock::Clock,
    crypto::{Aad, CryptoProvider, DecryptError, Envelope},
    entropy::Entropy,
    error::AppendError,
};

/// Tokens read in one request by a bulk restore: each envelope may be larger
/// than 1 MiB.
const RESTORED_AT_ONCE: usize = 32;

impl<S, P, C, E> TokenVault<S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    /// The plaintext of `token`, if the policy allows it. With `context`, the
    /// envelope is opened under that context instead of the stored one.
    ///
    /// # Errors
    ///
    /// [`RevealError`].
    pub async fn reveal(
        &self,
        token: &str,
        context: Option<&JsonObject>,
    ) -> Result<Plaintext, RevealError> {
        let (revealed, token_type) = match self.policy.reveal {
            RevealPolicy::Disabled => (Err(Refusal::PolicyDisabled), None),
            RevealPolicy::Allowed(_) => self.look_up(token, context).await,
        };
        let (decision, reason) = match &revealed {
            Ok(_) => ("reveal_allowed", None),
            Err(refusal @ Refusal::PolicyDisabled) => ("reveal_denied", Some(refusal.reason())),
            Err(refusal) => ("reveal_failed", Some(refusal.reason())),
        };
        self.record(Decision {
            operation: Operation::Reveal,
            decision,
            reason: reason.map(str::to_owned),
            token: audit_id(&*self.crypto, token).await,
            token_type,
            count: None,
        })
        .await?;
        Ok(revealed?)
    }

    /// The plaintext, and the token's type if known.
    async fn look_up(
        &self,
        token: &str,
        context: Option<&JsonObject>,
    ) -> (Result<Plaintext, Refusal>, Option<String>) {
        let Ok(token) = TokenId::new(token) else {
            return (Err(Refusal::UnknownToken), None);
        };
        let loaded = match self.tokens.read_tokens(std::slice::from_ref(&token)).await {
            Ok(loaded) => loaded,
            Err(error) => return (Err(Refusal::Unavailable(error)), None),
        };
        let Some(Some(stored)) = loaded.tokens.get(&token) else {
            return (Err(Refusal::UnknownToken), None);
        };
        match TokenRecord::parse(stored) {
            Err(detail) => {
                let corrupt = self.corrupt_token(&token, detail);
                (Err(Refusal::Unreadable(corrupt.to_string())), None)
            }
            Ok(record) => {
                let revealed = self.open(&record, context).await;
                (revealed, Some(record.token_type))
            }
        }
    }

    async fn open(
        &self,
        record: &TokenRecord,
        context: Option<&JsonObject>,
    ) -> Result<Plaintext, Refusal> {
        if record.is_expired(self.clock.wall()) {
            return Err(Refusal::Expired);
        }
        let unreadable = |what: &str| Refusal::Unreadable(format!("the token's {what}"));
        let aad = match context {
            None => record.aad.get().to_owned(),
            Some(context) => JsonObject::from_json(record.aad.get())
                .map_err(|error| unreadable(&format!("aad is {error}")))?
                .with("context", context.raw())
                .raw()
                .get()
                .to_owned(),
        };
        let aad = Aad::from_json(aad).map_err(|error| unreadable(&format!("aad: {error}")))?;
        let envelope = Envelope::from_json(record.envelope.get())
            .map_err(|error| unreadable(&format!("envelope: {error}")))?;
        let plaintext = self.crypto.decrypt(&envelope, &aad).await;
        let plaintext = plaintext.map_err(|error| match error {
            DecryptError::Expired { .. } => Refusal::EnvelopeExpired,
            error => Refusal::Decrypt(error),
        })?;
        Plaintext::from_utf8(plaintext).ok_or_else(|| unreadable("plaintext is not UTF-8"))
    }

    /// Restores many tokens, in their order, independent of the reveal policy:
    /// for the service that tokenized them. Missing, expired or undecryptable
    /// ones have no plaintext.
    ///
    /// # Errors
    ///
    /// [`DetokenizeError`]; then no plaintext is returned.
    pub async fn detokenize(&self, tokens: &[String]) -> Result<Vec<Restored>, DetokenizeError> {
        let mut restored = Vec::with_capacity(tokens.len());
        for some in tokens.chunks(RESTORED_AT_ONCE) {
            match self.restore(some, &mut restored).await {
                Err(DetokenizeError::Keys(error)) => {
                    self.record_restore(0, Some("keys_unavailable".to_owned()))
                        .await?;
                    return Err(DetokenizeError::Keys(error));
                }
                other => other?,
            }
        }
        let missing = restored
            .iter()
            .filter(|restored| restored.plaintext.is_none())
            .count();
        let reason = (missing > 0).then(|| format!("{missing} tokens not restored"));
        self.record_restore((restored.len() - missing) as u64, reason)
            .await?;
        Ok(restored)
    }

    async fn record_restore(&self, count: u64, reason: Option<String>) -> Result<(), AppendError> {
        self.record(Decision {
            operation: Operation::Detokenize,
            decision: "detokenize",
            reason,
            token: None,
            token_type: None,
            count: Some(count),
        })
        .await
    }

    async fn restore(
        &self,
        tokens: &[String],
        restored: &mut Vec<Restored>,
    ) -> Result<(), DetokenizeError> {
        let ids: Vec<TokenId> = tokens
            .iter()
            .filter_map(|token| TokenId::new(token).ok())
            .collect();
        let loaded = self.tokens.read_tokens(&ids).await?;
        for token in tokens {
            let stored = TokenId::new(token)
                .ok()
                .and_then(|id| loaded.tokens.get(&id).cloned().flatten());
            restored.push(Restored {
                token: token.clone(),
                plaintext: match stored {
                    Some(stored) => self.open_stored(&stored).await?,
                    None => None,
                },
            });
        }
        Ok(())
    }

    /// `None` if it does not decrypt; an outage is an error.
    async fn open_stored(&self, stored: &Stored) -> Result<Option<Plaintext>, DetokenizeError> {
        let Ok(record) = TokenRecord::parse(stored) else {
            return Ok(None);
        };
        match self.open(&record, None).await {
            Ok(plaintext) => Ok(Some(plaintext)),
            Err(Refusal::Decrypt(error @ DecryptError::Unavailable(_))) => {
                Err(DetokenizeError::Keys(error))
            }
            Err(_) => Ok(None),
        }
    }

    /// Writes a decision to the audit chain.
    pub(super) async fn record(&self, decision: Decision) -> Result<(), AppendError> {
        let event = decision.event(&self.policy.reveal, &self.clock, &self.entropy)?;
        self.audit.record(event).await.map(drop)
    }
}
