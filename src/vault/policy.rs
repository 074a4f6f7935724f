//! The policy of a vault: revealing, retention, deterministic tokens.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::token::TokenType;

/// How a vault makes, keeps and reveals tokens. Every field has a default.
#[derive(Clone, Debug, Default)]
pub struct VaultPolicy {
    /// How long a token lives after it was made or refreshed.
    pub retention: Retention,
    /// For which types the same plaintext gives the same token.
    pub deterministic: Deterministic,
    /// Who may have plaintexts back.
    pub reveal: RevealPolicy,
}

/// The longest plaintext, in bytes: 1 MiB.
pub const MAX_PLAINTEXT: usize = 1 << 20;

/// A token's life. Default: 30 days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention(f64);

/// A number of days that is no retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a retention is more than 0 and at most 365000 days, fractions allowed")]
pub struct InvalidRetention;

const MILLIS_A_DAY: f64 = 86_400_000.0;

/// The last time that can be written with four digits of a year, in whatever
/// zone: in UTC, two hours before the last day of 9999.
const LAST: Duration = Duration::from_millis(253_402_207_200_999);

impl Retention {
    /// This many days; fractions are allowed, down to a millisecond.
    ///
    /// # Errors
    ///
    /// [`InvalidRetention`] for less than a millisecond, more than 365,000
    /// days, and what is no number.
    pub fn days(days: f64) -> Result<Self, InvalidRetention> {
        if days * MILLIS_A_DAY >= 1.0 && days <= 365_000.0 {
            Ok(Self(days))
        } else {
            Err(InvalidRetention)
        }
    }

    /// When what is kept from `now` on expires, both since the epoch.
    pub(super) fn from(self, now: Duration) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 3.2e13"
        )]
        let life = Duration::from_millis((self.0 * MILLIS_A_DAY) as u64);
        let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        now.saturating_add(life).min(LAST)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self(30.0)
    }
}

/// For which types the same plaintext gives the same token, while it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Deterministic {
    /// For none: every token is random.
    #[default]
    None,
    /// For these.
    Types(BTreeSet<TokenType>),
    /// For all.
    All,
}

impl Deterministic {
    pub(super) fn holds_for(&self, token_type: &TokenType) -> bool {
        match self {
            Self::None => false,
            Self::Types(types) => types.contains(token_type),
            Self::All => true,
        }
    }
}

/// Whether [`reveal`](super::TokenVault::reveal) gives plaintexts out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RevealPolicy {
    /// It denies, and says so in the audit chain.
    #[default]
    Disabled,
    /// It reveals; the name is what the audit chain says of why it may, such
    /// as `local-dev`.
    Allowed(String),
}

impl fmt::Display for RevealPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "disabled",
            Self::Allowed(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::iso8601;

    /// Would catch a fraction that is rounded to whole days, and a sum that
    /// wraps or leaves the years that can be written.
    #[test]
    fn a_life_is_counted_in_milliseconds_and_has_an_end() {
        let now = Duration::from_millis(1_760_000_000_120);
        let expires = |days| Retention::days(days).map(|kept| kept.from(now).as_millis());
        assert_eq!(expires(0.5), Ok(1_760_043_200_120));
        assert_eq!(expires(1.0 / MILLIS_A_DAY), Ok(1_760_000_000_121));
        for days in [0.0, -1.0, f64::NAN, f64::INFINITY, 365_001.0] {
            assert_eq!(expires(days), Err(InvalidRetention), "{days}");
        }
        let last = Retention::days(365_000.0).map(|kept| iso8601(kept.from(LAST)));
        assert_eq!(last.as_deref(), Ok("9999-12-30T22:00:00.999Z"));
    }
}
