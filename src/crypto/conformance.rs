//! A conformance test for implementations of `CryptoProvider`.
//!
//! ```
//! # use haechi_store_redis::{clock::SystemClock, crypto::*, entropy::SystemEntropy};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (storage, clock, entropy) = (MemoryKeys::new(), SystemClock::new(), SystemEntropy);
//! # manage::init(&storage, &clock, &entropy).await?;
//! # let provider = LocalKeys::open(storage, clock, entropy, Counting::Persisted).await?;
//! let violations = conformance::check(&provider).await;
//! assert!(violations.is_empty(), "{violations:#?}");
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Aad, CryptoProvider, DecryptError, Envelope, MacError, envelope::encode};

/// Encryptions whose vectors are compared.
const ENCRYPTIONS: usize = 100;
/// The longest plaintext that the vault encrypts, in bytes.
const MAX_PLAINTEXT: usize = 1 << 20;
/// Searched for in envelopes: too long for a random match.
const SECRET: &str = "conformance-plaintext-ada@example.org";

/// A requirement of the vault that the provider does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which check: `round trip`, `aad`, `members`, `expiry`,
    /// `vectors`, `secrecy` or `hmac`.
    pub check: &'static str,
    /// What was called, and its result.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.detail)
    }
}

impl std::error::Error for Violation {}

/// Tests all that the vault requires of `provider`: some 130 encryptions, the
/// largest of 1 MiB. Returns the violations.
pub async fn check<P: CryptoProvider>(provider: &P) -> Vec<Violation> {
    let mut check = Check {
        provider,
        violations: Vec::new(),
    };
    let (Some(aad), Some(other)) = (
        aad(r#"{"purpose":"conformance","type":"email","context":{"n":1}}"#),
        aad(r#"{"purpose":"conformance","type":"phone","context":{"n":1}}"#),
    ) else {
        return Vec::new();
    };
    check.round_trips(&aad).await;
    check.aad_is_bound(&aad, &other).await;
    check.changed_members(&aad).await;
    check.expiry(&aad).await;
    check.vectors_and_secrecy(&aad).await;
    check.hmacs().await;
    check.violations
}

fn aad(json: &str) -> Option<Aad> {
    Aad::from_json(json).ok()
}

struct Check<'a, P> {
    provider: &'a P,
    violations: Vec<Violation>,
}

impl<P: CryptoProvider> Check<'_, P> {
    fn violated(&mut self, check: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        self.violations.push(Violation { check, detail });
    }

    async fn encrypt(
        &mut self,
        check: &'static str,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> Option<Envelope> {
        match self.provider.encrypt(plaintext, aad, expires_at).await {
            Ok(envelope) => Some(envelope),
            Err(error) => {
                let bytes = plaintext.len();
                self.violated(check, format!("{bytes} bytes were not encrypted: {error}"));
                None
            }
        }
    }

    async fn decrypts(&mut self, check: &'static str, what: &str, of: (&Envelope, &Aad, &[u8])) {
        let (envelope, aad, plaintext) = of;
        match self.provider.decrypt(envelope, aad).await {
            Ok(decrypted) if decrypted.as_slice() == plaintext => {}
            Ok(_) => self.violated(check, format!("{what} decrypted to something else")),
            Err(error) => self.violated(check, format!("{what} was not decrypted: {error}")),
        }
    }

    /// An outage is not a refusal: the caller would retry.
    async fn is_refused(&mut self, check: &'static str, what: &str, of: (&Envelope, &Aad)) {
        match self.provider.decrypt(of.0, of.1).await {
            Ok(_) => self.violated(check, format!("{what} was decrypted")),
            Err(error @ DecryptError::Unavailable(_)) => {
                self.violated(check, format!("{what} was reported as an outage: {error}"));
            }
            Err(_) => {}
        }
    }

    async fn round_trips(&mut self, aad: &Aad) {
        let every_byte: Vec<u8> = (0..=u8::MAX).collect();
        let longest = every_byte.repeat(MAX_PLAINTEXT / every_byte.len());
        for (what, plaintext) in [
            ("an empty plaintext", &[][..]),
            ("text", "é 日本語 👩‍👩‍👧 \u{2028}\0".as_bytes()),
            ("every byte", &every_byte),
            ("1 MiB", &longest),
        ] {
            let Some(envelope) = self.encrypt("round trip", plaintext, aad, None).await else {
                continue;
            };
            self.decrypts("round trip", what, (&envelope, aad, plaintext))
                .await;
            match Envelope::from_json(envelope.to_json()) {
                Ok(read) if read == envelope => {}
                _ => self.violated(
                    "round trip",
                    format!("{what}: its JSON is another envelope"),
                ),
            }
        }
    }

    async fn aad_is_bound(&mut self, aad_: &Aad, other: &Aad) {
        let plaintext = SECRET.as_bytes();
        let Some(envelope) = self.encrypt("aad", plaintext, aad_, None).await else {
            return;
        };
        self.is_refused("aad", "an envelope under other AAD", (&envelope, other))
            .await;
        // Another order of members, other white space, full-width letters.
        let respelled = aad(
            r#"{ "context" : {"n":1}, "type":"\uff45\uff4d\uff41\uff49\uff4c","purpose":"conformance"}"#,
        );
        if let Some(respelled) = respelled {
            self.decrypts(
                "aad",
                "an envelope under equal AAD",
                (&envelope, &respelled, plaintext),
            )
            .await;
        }
    }

    async fn changed_members(&mut self, aad: &Aad) {
        let Some(envelope) = self.encrypt("members", SECRET.as_bytes(), aad, None).await else {
            return;
        };
        type Change = fn(&mut Envelope);
        let changes: [(&str, Change); 10] = [
            ("v", |envelope| envelope.version = Some(3)),
            ("alg", |envelope| envelope.alg.push('x')),
            ("kid", |envelope| {
                envelope.kid = format!("{}x", envelope.kid.as_str()).into();
            }),
            ("iv", |envelope| change(&mut envelope.iv)),
            ("ct", |envelope| change(&mut envelope.ct)),
            ("tag", |envelope| change(&mut envelope.tag)),
            ("aadHash", |envelope| change(&mut envelope.aad_hash)),
            ("aadEncoding", |envelope| {
                envelope.aad_encoding = Some("other".to_owned());
            }),
            ("expiresAt", |envelope| {
                envelope.expires_at = Some("1970-01-01T00:00:00.000Z".to_owned());
            }),
            ("expiresAt", |envelope| {
                envelope.expires_at = Some("soon".to_owned());
            }),
        ];
        for (member, change) in changes {
            let mut changed = envelope.clone();
            change(&mut changed);
            // A member that the provider leaves empty is not checked by it.
            if changed != envelope {
                let what = format!("an envelope with another `{member}`");
                self.is_refused("members", &what, (&changed, aad)).await;
            }
        }
    }

    async fn expiry(&mut self, aad: &Aad) {
        let plaintext = SECRET.as_bytes();
        if let Some(past) = self
            .encrypt("expiry", plaintext, aad, Some(UNIX_EPOCH))
            .await
        {
            match self.provider.decrypt(&past, aad).await {
                Err(DecryptError::Expired { .. }) => {}
                Ok(_) => self.violated("expiry", "an expired envelope was decrypted"),
                Err(error) => self.violated(
                    "expiry",
                    format!("an expired envelope was refused for another reason: {error}"),
                ),
            }
        }
        // In the year 2128, with a fraction of a millisecond.
        let far = UNIX_EPOCH + Duration::new(5_000_000_000, 123_999_999);
        if let Some(envelope) = self.encrypt("expiry", plaintext, aad, Some(far)).await {
            if envelope.expires_at()
                != Ok(Some(UNIX_EPOCH + Duration::from_millis(5_000_000_000_123)))
            {
                self.violated(
                    "expiry",
                    "the envelope's `expiresAt` is not the requested one",
                );
            }
            let what = "an envelope that has not expired";
            self.decrypts("expiry", what, (&envelope, aad, plaintext))
                .await;
        }
    }

    async fn vectors_and_secrecy(&mut self, aad: &Aad) {
        let plaintext = SECRET.as_bytes();
        let (mut vectors, mut texts) = (BTreeSet::new(), BTreeSet::new());
        let hex: String = plaintext.iter().map(|byte| format!("{byte:02x}")).collect();
        for _ in 0..ENCRYPTIONS {
            let Some(envelope) = self.encrypt("vectors", plaintext, aad, None).await else {
                return;
            };
            let json = envelope.to_json();
            let shown = format!("{envelope:?}");
            for form in [SECRET, &hex, &encode(plaintext)] {
                if json.contains(form) || shown.contains(form) {
                    return self.violated("secrecy", "the envelope holds its plaintext");
                }
            }
            let is_new = envelope.iv.is_empty() || vectors.insert(envelope.iv);
            if !is_new || !texts.insert(envelope.ct) {
                return self.violated("vectors", "two encryptions have the same `iv` or `ct`");
            }
        }
    }

    async fn hmacs(&mut self) {
        let mut seen = Vec::new();
        // The third pair would equal the second if data and domain were
        // concatenated.
        for (data, domain) in [("x", "a:v1"), ("y", "a:v1"), (":v1y", "a"), ("x", "b:v1")] {
            let first = self.provider.hmacs(data.as_bytes(), domain).await;
            let again = self.provider.hmacs(data.as_bytes(), domain).await;
            let Ok(macs) = first else {
                return self.violated("hmac", "there is none");
            };
            if macs.is_empty() {
                return self.violated("hmac", "there is none, not even the active key's");
            }
            if again.as_ref() != Ok(&macs) {
                self.violated("hmac", "the same data and domain gave another");
            }
            let kids: BTreeSet<_> = macs.iter().map(|mac| &mac.kid).collect();
            if kids.len() != macs.len() {
                self.violated("hmac", "two of them name the same key");
            }
            seen.extend(macs.iter().map(|mac| mac.mac));
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        if distinct.len() != seen.len() {
            self.violated(
                "hmac",
                "other data, another domain or another key gave the same",
            );
        }
        match self.provider.hmacs(b"x", "").await {
            Err(MacError::EmptyDomain) => {}
            _ => self.violated("hmac", "an empty domain is not refused as one"),
        }
    }
}

/// Changes the first of the bytes that `text` encodes in base64url.
fn change(text: &mut String) {
    if let Some(first) = text.chars().next() {
        let other = if first == 'A' { "B" } else { "A" };
        text.replace_range(..first.len_utf8(), other);
    }
}
