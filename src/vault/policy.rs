//! The policy of a vault: revealing, retention, deterministic tokens.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime},
};

use super::token::TokenType;
use crate::clock::{epoch_millis, from_epoch_millis};

/// How a vault makes, keeps and reveals tokens. Every field has a default.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VaultPolicy {
    /// How long a token lives after it was created or refreshed.
    pub retention: Retention,
    /// For which types the same plaintext gives the same token.
    pub deterministic: Deterministic,
    /// Whether plaintexts are revealed.
    pub reveal: RevealPolicy,
}

/// The longest plaintext, in bytes: 1 MiB.
pub const MAX_PLAINTEXT: usize = 1 << 20;

/// How long a token lives, in whole milliseconds: at least one, at most
/// 365,000 days. Default: 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retention(Duration);

/// A retention out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a retention is more than 0 and at most 365000 days, fractions allowed")]
pub struct InvalidRetention;

const MILLIS_A_DAY: f64 = 86_400_000.0;
const MAX_RETENTION: Duration = Duration::from_secs(365_000 * 86_400);

/// The last time that has a four-digit year in every time zone: in UTC, two
/// hours before the last day of 9999. Milliseconds since the epoch.
const LAST: u64 = 253_402_207_200_999;

impl Retention {
    /// This long; fractions of a millisecond are cut off.
    ///
    /// # Errors
    ///
    /// [`InvalidRetention`] for less than a millisecond and for more than
    /// 365,000 days.
    pub fn new(life: Duration) -> Result<Self, InvalidRetention> {
        if life > MAX_RETENTION || life.as_millis() == 0 {
            return Err(InvalidRetention);
        }
        let millis = u64::try_from(life.as_millis()).map_err(|_| InvalidRetention)?;
        Ok(Self(Duration::from_millis(millis)))
    }

    /// This many days; fractions are allowed, down to a millisecond.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and for NaN.
    pub fn from_days(days: f64) -> Result<Self, InvalidRetention> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; NaN and what is negative become 0"
        )]
        let millis = (days * MILLIS_A_DAY) as u64;
        Self::new(Duration::from_millis(millis))
    }

    /// Its length.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }

    /// The expiry of a token kept from `now` on, in whole milliseconds.
    pub(super) fn end(self, now: SystemTime) -> SystemTime {
        let end = from_epoch_millis(epoch_millis(now)).checked_add(self.0);
        let last = from_epoch_millis(LAST);
        end.map_or(last, |end| end.min(last))
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self(Duration::from_secs(30 * 86_400))
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

/// Whether [`reveal`](super::TokenVault::reveal) returns plaintexts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RevealPolicy {
    /// It refuses, and records that in the audit chain.
    #[default]
    Disabled,
    /// It reveals; the name, such as `local-dev`, is `revealPolicy` in the records
    /// of the audit chain.
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
    /// overflows or exceeds the year 9999.
    #[test]
    fn retention_has_milliseconds_and_an_upper_bound() {
        let now = from_epoch_millis(1_760_000_000_120);
        let expires = |days| Retention::from_days(days).map(|kept| epoch_millis(kept.end(now)));
        assert_eq!(expires(0.5), Ok(1_760_043_200_120));
        assert_eq!(expires(1.0 / MILLIS_A_DAY), Ok(1_760_000_000_121));
        for days in [0.0, -1.0, f64::NAN, f64::INFINITY, 365_001.0] {
            assert_eq!(expires(days), Err(InvalidRetention), "{days}");
        }
        let last =
            Retention::new(MAX_RETENTION).map(|kept| iso8601(kept.end(from_epoch_millis(LAST))));
        assert_eq!(last.as_deref(), Ok("9999-12-30T22:00:00.999Z"));
    }
}
