//! Reveals or restores plaintexts, after an audit record of it.

use super::{
    audit_event::{NAMED, Operation, audit_id},
    clocks::Clocks,
    object::JsonObject,
    plaintext::Plaintext,
    policy::RevealPolicy,
    record::TokenRecord,
    store::VaultStore,
    tasks::Task,
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
    /// After dropping the future, the audit chain may say that the token was
    /// revealed.
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
        let (name, reason) = match &revealed {
            Ok(_) => ("reveal_allowed", None),
            Err(refusal @ Refusal::PolicyDisabled) => ("reveal_denied", Some(refusal.reason())),
            Err(refusal) => ("reveal_failed", Some(refusal.reason())),
        };
        let mut decision = self.decision(Operation::Reveal, name);
        decision.reason = reason.map(str::to_owned);
        decision.token = audit_id(&*self.crypto, token).await;
        decision.token_type = token_type;
        self.record(&decision).await?;
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
                let clocks = self.tokens.clocks(loaded.server_time);
                let revealed = self.open(&token, &record, clocks, context).await;
                (revealed, Some(record.token_type))
            }
        }
    }

    async fn open(
        &self,
        token: &TokenId,
        record: &TokenRecord,
        clocks: Clocks,
        context: Option<&JsonObject>,
    ) -> Result<Plaintext, Refusal> {
        if !clocks.is_live(record.end()) {
            return Err(Refusal::Expired);
        }
        if record.aad_fields().token.as_deref() != Some(token.as_str()) {
            return Err(Refusal::OtherToken);
        }
        // The envelope's own, which another may have been put before.
        if !clocks.is_live(record.ends()) {
            return Err(Refusal::EnvelopeExpired);
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
    /// Once the first of its audit records was sent, all are written whether or not
    /// the future is dropped.
    ///
    /// # Errors
    ///
    /// [`DetokenizeError`]; then no plaintext is returned.
    pub async fn detokenize(&self, tokens: &[String]) -> Result<Vec<Restored>, DetokenizeError> {
        let mut restored = Vec::with_capacity(tokens.len());
        for some in tokens.chunks(RESTORED_AT_ONCE) {
            match self.restore(some, &mut restored).await {
                Err(DetokenizeError::Keys(error)) => {
                    self.audit_restore(&[], tokens.len()).await?;
                    return Err(DetokenizeError::Keys(error));
                }
                other => other?,
            }
        }
        let found = restored
            .iter()
            .filter(|restored| restored.plaintext.is_some());
        let found: Vec<&str> = found.map(|restored| restored.token.as_str()).collect();
        self.audit_restore(&found, tokens.len() - found.len())
            .await?;
        Ok(restored)
    }

    /// Records that these tokens are restored, and how many others are not.
    async fn audit_restore(&self, tokens: &[&str], missing: usize) -> Result<(), DetokenizeError> {
        let mut names = Vec::with_capacity(tokens.len());
        for token in tokens {
            names.extend(audit_id(&*self.crypto, token).await);
        }
        let vault = self.clone();
        let audit = async move { vault.record_restore(names, missing).await };
        Ok(self.tasks.run(Box::pin(audit)).await??)
    }

    async fn record_restore(
        &self,
        names: Vec<String>,
        missing: usize,
    ) -> (Result<(), AppendError>, Option<Task>) {
        // An empty restore is audited too.
        let events = names.len().div_ceil(NAMED).max(1);
        let mut recorded = Vec::with_capacity(events);
        for event in 0..events {
            let named = names.iter().skip(event * NAMED).take(NAMED).cloned();
            let named: Vec<String> = named.collect();
            let mut decision = self.decision(Operation::Detokenize, "detokenize");
            decision.count = Some(named.len() as u64);
            decision.tokens = Some(named);
            if missing > 0 && event + 1 == events {
                decision.reason = Some(format!("{missing} tokens not restored"));
            }
            let audited = self.record(&decision).await;
            recorded.push(decision);
            if let Err(error) = audited {
                // Nothing is given out, of which the first events say otherwise.
                let withdrawal = self.withdrawal(recorded, &error);
                return (Err(error), withdrawal);
            }
        }
        (Ok(()), None)
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
        let clocks = self.tokens.clocks(loaded.server_time);
        for token in tokens {
            let stored = TokenId::new(token)
                .ok()
                .and_then(|id| Some((loaded.tokens.get(&id)?.clone()?, id)));
            restored.push(Restored {
                token: token.clone(),
                plaintext: match stored {
                    Some((stored, id)) => self.open_stored(&id, &stored, clocks).await?,
                    None => None,
                },
            });
        }
        Ok(())
    }

    /// `None` if it does not decrypt; an outage is an error.
    async fn open_stored(
        &self,
        token: &TokenId,
        stored: &Stored,
        clocks: Clocks,
    ) -> Result<Option<Plaintext>, DetokenizeError> {
        let Ok(record) = TokenRecord::parse(stored) else {
            return Ok(None);
        };
        match self.open(token, &record, clocks, None).await {
            Ok(plaintext) => Ok(Some(plaintext)),
            Err(Refusal::Decrypt(error @ DecryptError::Unavailable(_))) => {
                Err(DetokenizeError::Keys(error))
            }
            Err(_) => Ok(None),
        }
    }
}
