//! Going on after the vault was rolled back: an explicit act, recorded in the
//! audit chain.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::{
    audit_event::uuid,
    store::{Load, Observed, VaultStore, Version},
    token_store::TokenStore,
    token_vault::TokenVault,
};
use crate::{
    chain::{Event, InvalidEvent},
    clock::{Clock, iso8601},
    crypto::CryptoProvider,
    entropy::Entropy,
    error::{AppendError, Corrupt, ReadError, from_cause},
    sync::lock,
};

/// Why the loss of mutations was not accepted. The vault is as it was.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultResumeError {
    /// Nothing that this process has seen is gone.
    #[error(
        "nothing to accept: version {0} of the vault and the mutations seen up to there stand; \
         mutations go on"
    )]
    NothingLost(Version),

    /// This process has seen nothing yet.
    #[error(
        "it is not known what was lost: this process has seen nothing of the vault; give the file \
         of what it had seen (--seen)"
    )]
    NothingSeen,

    /// The range is not that of the lost versions.
    #[error(
        "version {seen} was seen, and version is {met} now; accept from at most {first} up to {seen}"
    )]
    NotThese {
        /// The highest version seen.
        seen: Version,
        /// The version now.
        met: Version,
        /// The highest version that the range may begin with.
        first: Version,
    },

    /// The vault could not be read.
    #[error(transparent)]
    Read(ReadError),

    /// The audit record is not known to be in the chain.
    #[error("the acceptance could not be audited, so nothing was done: {0}")]
    NotAudited(AppendError),
}

from_cause! { VaultResumeError: Read(ReadError), NotAudited(AppendError) }

impl<S: VaultStore, C: Clock, E: Entropy> TokenStore<S, C, E> {
    /// The version seen and the present one, if some of what was seen is gone.
    async fn lost(&self) -> Result<(Version, Version), VaultResumeError> {
        let observed = self.observed();
        if observed == Observed::default() {
            return Err(VaultResumeError::NothingSeen);
        }
        match self.load_seeing(Load::Some(&[]), &observed).await {
            Ok(_) => Err(VaultResumeError::NothingLost(observed.version)),
            Err(ReadError::Corrupt(Corrupt::VaultRolledBack { seen, .. })) => {
                // More may be lost than when the rollback was found.
                let nothing = Observed::default();
                let now = self.load_seeing(Load::Some(&[]), &nothing).await?;
                Ok((Version::new(seen), now.version))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Goes on from the vault as it is now, if it still has the version `met`.
    async fn restart(&self, met: Version) -> Result<(), ReadError> {
        let observed = Observed {
            version: met,
            ..Observed::default()
        };
        let loaded = self.load_seeing(Load::Some(&[]), &observed).await?;
        lock(self.memory()).restart_from(&loaded);
        Ok(())
    }
}

impl<S, P, C, E> TokenVault<S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    /// Accepts that the mutations of the versions `lost` are gone, and goes on from
    /// the vault as it is now; for this process only, and for its
    /// [file](crate::Builder::seen_file) of what it has seen. First appends a record
    /// {operation: "token-vault:rollback-accepted", lost: {from, to}}.
    ///
    /// Dropping the future may leave the record without the effect: call it again. So does
    /// another loss meanwhile, which is then told.
    ///
    /// # Errors
    ///
    /// [`VaultResumeError`].
    pub async fn resume(&self, lost: RangeInclusive<Version>) -> Result<(), VaultResumeError> {
        let (seen, met) = self.tokens.lost().await?;
        let first = seen.min(Version::new(met.get().saturating_add(1)));
        if *lost.end() != seen || *lost.start() > first || lost.start().get() == 0 {
            return Err(VaultResumeError::NotThese { seen, met, first });
        }
        let event = accepted(&lost, &self.clock, &self.entropy).map_err(AppendError::from)?;
        self.audit.record(event).await?;
        self.tokens.restart(met).await?;
        Ok(())
    }
}

fn accepted(
    lost: &RangeInclusive<Version>,
    clock: &impl Clock,
    entropy: &impl Entropy,
) -> Result<Event, InvalidEvent> {
    #[derive(Serialize)]
    struct Text {
        id: String,
        timestamp: String,
        protocol: &'static str,
        operation: &'static str,
        lost: Lost,
    }
    #[derive(Serialize)]
    struct Lost {
        from: u64,
        to: u64,
    }
    Event::from_serialize(&Text {
        id: uuid(entropy),
        timestamp: iso8601(clock.wall()),
        protocol: "token-vault",
        operation: "token-vault:rollback-accepted",
        lost: Lost {
            from: lost.start().get(),
            to: lost.end().get(),
        },
    })
}
