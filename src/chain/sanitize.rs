//! The names of members that are removed from events.

/// Whether a member called `name` is removed from an event, at every depth.
///
/// The names are those of plain text, credentials and identities. They are
/// compared after decoding escapes.
pub(crate) fn is_removed(name: &[u8]) -> bool {
    matches!(
        name,
        b"value"
            | b"plaintext"
            | b"payload"
            | b"content"
            | b"message"
            | b"prompt"
            | b"secret"
            | b"access_token"
            | b"id_token"
            | b"refresh_token"
            | b"code"
            | b"code_verifier"
            | b"client_secret"
            | b"state"
            | b"nonce"
            | b"claims"
            | b"subject"
            | b"issuer"
            | b"credential"
            | b"authorization"
            | b"signature"
            | b"entry"
            | b"scopes"
            | b"labels"
    )
}
