//! Tokenizes a plaintext.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    mutation::Mutation,
    object::JsonObject,
    policy::MAX_PLAINTEXT,
    record::TokenRecord,
    store::{ServerTime, VaultStore},
    token::{TokenId, TokenType},
    token_vault::{Details, InvalidInput, TokenVault, TokenizeError, Tokenized},
    view::View,
};
use crate::{
    clock::{Clock, iso8601},
    crypto::{Aad, CryptoProvider},
    durability::DurabilityStatus,
    entropy::Entropy,
    error::NotApplied,
};

/// The HMAC domain for names of deterministic tokens.
const DETERMINISTIC_DOMAIN: &str = "haechi:token-vault:deterministic:v1";

/// Members removed from metadata: they would be plaintext beside the envelope.
const NOT_METADATA: [&str; 3] = ["value", "plaintext", "payload"];

impl<S, P, C, E> TokenVault<S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    /// The token for `plaintext`, which may be empty.
    ///
    /// If the policy makes the type deterministic, the same plaintext has the
    /// same token as long as that lives, and the retention is renewed. The cost
    /// does not depend on the number of tokens.
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
        let ticket = details.ticket;
        let tokenize = Tokenize {
            vault: self,
            token_type,
            plaintext,
            context: details.context,
            metadata: details.metadata.without(&NOT_METADATA).raw(),
            begun: None,
            candidates: candidates.clone(),
            sealed: None,
        };
        let done = match ticket {
            Some(ticket) => {
                self.tokens
                    .transaction_as(&ticket, candidates, tokenize)
                    .await
            }
            None => self.tokens.transaction(candidates, tokenize).await,
        }?;
        Ok(Tokenized {
            durability: done.durability,
            ..done.output?
        })
    }

    /// The names of `plaintext` under every key, the newest first.
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
    /// The server's time at the first run.
    begun: Option<ServerTime>,
    /// The names of a deterministic token, or one random name.
    candidates: Vec<TokenId>,
    /// The last envelope and what it was made for: another run usually needs
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

    fn bytes(&self) -> usize {
        // The envelope is as long as the plaintext, and a third more in base64; the context is
        // bound, and stored in the record.
        let brought = self
            .plaintext
            .len()
            .saturating_add(self.context.raw().get().len());
        let made = brought.saturating_mul(3);
        made.saturating_add(self.metadata.get().len())
    }

    async fn run(&mut self, view: &mut View) -> Self::Output {
        self.begin(view.server_time());
        if !self.vault.policy.deterministic.holds_for(self.token_type) {
            return self.make_random(view).await;
        }
        // All candidates are read, absent ones included: if one appears
        // meanwhile, it has to be the result.
        let clocks = self.vault.tokens.clocks(view.server_time());
        let mut live = None;
        for candidate in &self.candidates {
            let Some(stored) = view.get(candidate) else {
                continue;
            };
            let record = TokenRecord::parse(&stored)
                .map_err(|detail| self.vault.corrupt_token(candidate, detail))?;
            // Where the clocks disagree, it is refreshed and not replaced.
            if !clocks.is_past(record.ends()) {
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
    /// A name that exists, expired or not, is drawn again and never reused: a
    /// caller may still have it.
    async fn make_random(&mut self, view: &mut View) -> Result<Tokenized, TokenizeError> {
        let token = match self.candidates.first() {
            Some(token) if view.get(token).is_none() => token.clone(),
            _ => {
                let drawn = self.vault.draw(self.token_type)?;
                self.candidates = vec![drawn.clone()];
                drawn
            }
        };
        // A name that is not loaded yet is loaded, and the mutation runs again.
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
            #[serde(rename = "expiresAt")]
            expires_at: &'a str,
        }
        let (now, expires) = self.life();
        let expires_at = iso8601(expires);
        let aad = serde_json::value::to_raw_value(&StoredAad {
            purpose: "token-vault",
            token: token.as_str(),
            r#type: self.token_type.as_str(),
            context: self.context.raw(),
            expires_at: &expires_at,
        })
        .unwrap_or_default();
        let record = TokenRecord {
            token_type: self.token_type.to_string(),
            created_at: iso8601(now),
            expires_at,
            metadata: self.metadata.clone(),
            envelope: self.seal(&aad, expires).await?,
            aad,
        };
        view.set(&token, record.stored());
        Ok(Tokenized {
            token,
            reused: false,
            durability: DurabilityStatus::AsAsked,
        })
    }

    /// Begins the token's life at the first run, so that another run needs no other
    /// envelope, unless the server's clock has jumped out of that life.
    fn begin(&mut self, now: ServerTime) {
        let retention = &self.vault.policy.retention;
        let is_within =
            |begun: &ServerTime| *begun <= now && now.get() < retention.end(begun.get());
        self.begun = Some(self.begun.filter(is_within).unwrap_or(now));
    }

    /// When a token that is made or refreshed now begins and ends, by the server's
    /// clock.
    fn life(&self) -> (SystemTime, SystemTime) {
        let now = self.begun.unwrap_or_default().get();
        (now, self.vault.policy.retention.end(now))
    }

    /// Renews retention and envelope together: otherwise the envelope would
    /// expire while the token is live. Nothing is shortened.
    async fn refresh(
        &mut self,
        view: &mut View,
        token: TokenId,
        record: TokenRecord,
    ) -> Result<Tokenized, TokenizeError> {
        let aad = record.aad_fields();
        if aad.token.as_deref() != Some(token.as_str()) {
            let detail = "its aad names another token".to_owned();
            return Err(self.vault.corrupt_token(&token, detail).into());
        }
        let expires = self.life().1.max(record.ends().last);
        let expires_at = iso8601(expires);
        let mut bound = record.aad;
        if aad.expires_at.is_some() {
            let end = serde_json::value::to_raw_value(&expires_at).unwrap_or_default();
            bound = JsonObject::from_json(bound.get())
                .map_err(InvalidInput::from)?
                .with("expiresAt", end)
                .raw();
        }
        let record = TokenRecord {
            expires_at,
            envelope: self.seal(&bound, expires).await?,
            aad: bound,
            ..record
        };
        view.set(&token, record.stored());
        Ok(Tokenized {
            token,
            reused: true,
            durability: DurabilityStatus::AsAsked,
        })
    }

    /// The plaintext's envelope under `aad`, reused if possible.
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
