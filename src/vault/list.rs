//! Lists the metadata of tokens; this needs no key.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    record::TokenRecord,
    slice::SliceSize,
    store::VaultStore,
    token::{TokenId, TokenType},
    token_store::TokenStore,
};
use crate::{clock::Clock, entropy::Entropy, error::ReadError};

/// A token without its envelope. As JSON it is `{ token, type, createdAt,
/// expiresAt, metadata }`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenMetadata {
    /// The token.
    pub token: String,
    /// Its stored type.
    #[serde(rename = "type")]
    pub token_type: String,
    /// When it was created, ISO-8601.
    pub created_at: String,
    /// When it expires, ISO-8601.
    pub expires_at: String,
    /// Its metadata, a JSON object as stored.
    pub metadata: Box<RawValue>,
}

/// A field of the vault that is not a token record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// The field's name, as far as it can be shown.
    pub field: String,
    /// What is wrong, without the field's content.
    pub detail: String,
}

/// The vault's live tokens.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// In the order of their names.
    pub tokens: Vec<TokenMetadata>,
    /// Fields that are not token records.
    pub quarantined: Vec<Quarantined>,
}

impl<S: VaultStore, C: Clock, E: Entropy> TokenStore<S, C, E> {
    /// Every token that is not past its end, or those of one type, without their
    /// envelopes. O(all
    /// tokens), in slices; a token created or purged in the meantime may be
    /// included or not.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn export_metadata(
        &self,
        token_type: Option<&TokenType>,
    ) -> Result<Listing, ReadError> {
        // A token may be in two slices.
        let mut tokens = BTreeMap::<TokenId, Result<TokenMetadata, Quarantined>>::new();
        let mut unnameable = Vec::new();
        let (mut cursor, mut size) = (0, SliceSize::default());
        loop {
            let page = self.scan(cursor, size.tokens()).await?;
            size.adapt(
                page.tokens
                    .iter()
                    .map(|(_, stored)| stored.bytes().len())
                    .sum(),
            );
            let clocks = self.clocks(page.server_time);
            for (token, stored) in page.tokens {
                let listed = match TokenRecord::parse(&stored) {
                    Ok(record) if clocks.is_past(record.ends()) => continue,
                    Ok(record)
                        if token_type
                            .is_some_and(|wanted| wanted.as_str() != record.token_type) =>
                    {
                        continue;
                    }
                    Ok(record) => Ok(TokenMetadata {
                        token: token.to_string(),
                        token_type: record.token_type,
                        created_at: record.created_at,
                        expires_at: record.expires_at,
                        metadata: record.metadata,
                    }),
                    Err(detail) => Err(Quarantined {
                        field: token.to_string(),
                        detail,
                    }),
                };
                tokens.insert(token, listed);
            }
            unnameable.extend(page.unnameable);
            cursor = page.cursor;
            if cursor == 0 {
                break;
            }
        }
        let mut listing = Listing::default();
        for listed in tokens.into_values() {
            match listed {
                Ok(token) => listing.tokens.push(token),
                Err(field) => listing.quarantined.push(field),
            }
        }
        listing
            .quarantined
            .extend(unnameable.into_iter().map(|field| Quarantined {
                field,
                detail: "the field's name is not a token's".to_owned(),
            }));
        Ok(listing)
    }
}
