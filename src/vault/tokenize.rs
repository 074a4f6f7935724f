//! Tokenizes a plaintext.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    object::JsonObject,
    policy::MAX_PLAINTEXT,
    record::TokenRecord,
    store::VaultStore,
    token::{TokenId, TokenType},
    token_store::Mutation,
    token_vault::{Details, InvalidInput, TokenVault, TokenizeError, Tokenized},
    view::View,
};
use crate::{
    clock::{Clock, iso8601},
    crypto::{Aad, CryptoProvider},
    entropy::Entropy,
    error::NotApplied,
};

/// The domain of the codes that name deterministic tokens.
const DETERMINISTIC_DOMAIN: &str = "haechi:token-vault:deterministic:v1";

/// Members that metadata loses: they would be plaintext beside the envelope.
const NOT_METADATA: [&str; 3] = ["value", "plaintext", "payload"];

impl<S, P, C, E> TokenVault<S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    /// The token that stands for `plaintext`, which may be empty.
    ///
    /// Where the policy makes the type deterministic, the same plaintext gives
    /// the same token as long as it lives, and renews its retention. The cost
    /// does not depend on how many tokens there are.
    ///
    /// # Errors
    ///
    /// [`TokenizeError`].
    pub async fn tokenize(
        &self,
        token_type: &TokenType,
        plaintext: &str,
        details: Details,
    ) -> Result<Tokenized, TokenizeError> {
        if plaintext.len() > MAX_PLAINTEXT {
            let bytes = plaintext.len();
            return Err(InvalidInput::TooLong { bytes }.into());
        }
        let candidates = if self.policy.deterministic.holds_for(token_type) {
            self.names(token_type, plaintext).await?
        } else {
            vec![self.draw(token_type)?]
        };
        let now = self.clock.wall();
        let tokenize = Tokenize {
            vault: self,
            token_type,
            plaintext,
            context: details.context,
            metadata: details.metadata.without(&NOT_METADATA).raw(),
            now,
            expires: self.policy.retention.end(now),
            candidates: candidates.clone(),
            sealed: None,
        };
        self.tokens.transaction(candidates, tokenize).await?.output
    }

    /// The names that `plaintext` has under every key, the newest first.
    async fn names(
        &self,
        token_type: &TokenType,
        plaintext: &str,
    ) -> Result<Vec<TokenId>, TokenizeError> {
        let data = zeroize::Zeroizing::new(format!("{token_type}:{plaintext}"));
        let codes = self.crypto.hmacs(data.as_bytes(), DETERMINISTIC_DOMAIN);
        let names = codes.await?.into_iter().map(|code| {
            let mut bits = [0; 16];
            bits.copy_from_slice(&code.mac[..16]);
            TokenId::made(token_type, bits)
        });
        Ok(names.collect())
    }

    fn draw(&self, token_type: &TokenType) -> Result<TokenId, TokenizeError> {
        let mut bits = [0; 16];
        self.entropy
            .fill(&mut bits)
            .map_err(|error| TokenizeError::NotApplied(NotApplied::Entropy(error.to_string())))?;
        Ok(TokenId::made(token_type, bits))
    }
}

/// One call of `tokenize`, run until it has been applied.
struct Tokenize<'a, S, P, C, E> {
    vault: &'a TokenVault<S, P, C, E>,
    token_type: &'a TokenType,
    plaintext: &'a str,
    context: JsonObject,
    metadata: Box<RawValue>,
    now: SystemTime,
    expires: SystemTime,
    /// Names of a deterministic token, or one drawn name.
    candidates: Vec<TokenId>,
    /// The last envelope, and what it was made for: another run mostly needs
    /// the same one.
    sealed: Option<(String, SystemTime, Box<RawValue>)>,
}

impl<S, P, C, E> Mutation for Tokenize<'_, S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    type Output = Result<Tokenized, TokenizeError>;

    async fn run(&mut self, view: &mut View) -> Self::Output {
        if !self.vault.policy.deterministic.holds_for(self.token_type) {
            return self.make_random(view).await;
        }
        // All of them belong to what was read, the absent ones included: were
        // one to appear meanwhile, it would be the answer.
        let mut live = None;
        for candidate in &self.candidates {
            let Some(stored) = view.get(candidate) else {
                continue;
            };
            let record = TokenRecord::parse(&stored)
                .map_err(|detail| self.vault.corrupt_token(candidate, detail))?;
            if !record.is_expired(self.vault.clock.wall()) {
                live.get_or_insert((candidate.clone(), record));
            }
        }
        match live {
            Some((token, record)) => self.refresh(view, token, record).await,
            None => match self.candidates.first().cloned() {
                Some(token) => self.make(view, token).await,
                None => Err(TokenizeError::NotApplied(NotApplied::Refused(
                    crate::error::Cause::new("the provider holds no key"),
                ))),
            },
        }
    }
}

impl<S, P, C, E> Tokenize<'_, S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    /// A name that is taken, expired or not, is drawn again and never reused:
    /// somebody may still hold it.
    async fn make_random(&mut self, view: &mut View) -> Result<Tokenized, TokenizeError> {
        let token = match self.candidates.first() {
            Some(token) if view.get(token).is_none() => token.clone(),
            _ => {
                let drawn = self.vault.draw(self.token_type)?;
                self.candidates = vec![drawn.clone()];
                drawn
            }
        };
        // If it has not been read yet, touching it makes that happen.
        view.get(&token);
        self.make(view, token).await
    }

    async fn make(&mut self, view: &mut View, token: TokenId) -> Result<Tokenized, TokenizeError> {
        #[derive(Serialize)]
        struct StoredAad<'a> {
            purpose: &'a str,
            token: &'a str,
            r#type: &'a str,
            context: Box<RawValue>,
        }
        let aad = serde_json::value::to_raw_value(&StoredAad {
            purpose: "token-vault",
            token: token.as_str(),
            r#type: self.token_type.as_str(),
            context: self.context.raw(),
        })
        .unwrap_or_default();
        let record = TokenRecord {
            token_type: self.token_type.to_string(),
            created_at: iso8601(self.now),
            expires_at: iso8601(self.expires),
            metadata: self.metadata.clone(),
            envelope: self.seal(&aad, self.expires).await?,
            aad,
        };
        view.set(&token, record.stored());
        Ok(Tokenized {
            token,
            reused: false,
        })
    }

    /// Renews retention and envelope together: an envelope that kept its old
    /// end would stop opening while the token lives. Nothing is shortened.
    async fn refresh(
        &mut self,
        view: &mut View,
        token: TokenId,
        record: TokenRecord,
    ) -> Result<Tokenized, TokenizeError> {
        let expires = self.expires.max(record.expires());
        let record = TokenRecord {
            expires_at: iso8601(expires),
            envelope: self.seal(&record.aad, expires).await?,
            ..record
        };
        view.set(&token, record.stored());
        Ok(Tokenized {
            token,
            reused: true,
        })
    }

    /// The plaintext's envelope under `aad`, made once.
    async fn seal(
        &mut self,
        aad: &RawValue,
        expires: SystemTime,
    ) -> Result<Box<RawValue>, TokenizeError> {
        if let Some((sealed_under, until, envelope)) = &self.sealed
            && sealed_under == aad.get()
            && *until == expires
        {
            return Ok(envelope.clone());
        }
        let bound = Aad::from_json(aad.get()).map_err(InvalidInput::from)?;
        let plaintext = self.plaintext.as_bytes();
        let envelope = self
            .vault
            .crypto
            .encrypt(plaintext, &bound, Some(expires))
            .await?;
        let envelope = RawValue::from_string(envelope.to_json()).unwrap_or_default();
        self.sealed = Some((aad.get().to_owned(), expires, envelope.clone()));
        Ok(envelope)
    }
}
