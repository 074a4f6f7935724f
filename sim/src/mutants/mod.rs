//! Stores with one planted bug each, to show that the checks can fail.
//!
//! A mutant is built from the production parts, driven by the production
//! append loop, and differs from the real store in one thing. Nothing of this
//! is known to the store crate.

mod store;

use std::{fmt, str::FromStr};

use haechi_store_redis::{Builder, StartError, audit::AuditSink, redis::LockPolicy};

use crate::world::{SeededEntropy, SimClock, SimConnect};
use store::{Mutant, MutantStore};

/// Which store the replicas of a world run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// The production store.
    #[default]
    Correct,
    /// One with a planted bug.
    Planted(Mutant),
}

impl Variant {
    /// Every planted bug.
    pub fn planted() -> impl Iterator<Item = Self> {
        Mutant::ALL.iter().copied().map(Self::Planted)
    }

    /// The name in reports and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Planted(mutant) => mutant.name(),
        }
    }

    /// What is wrong with it, for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Correct => "the production store",
            Self::Planted(mutant) => mutant.describe(),
        }
    }

    /// Starts a sink over the store.
    pub(crate) async fn start(
        self,
        builder: Builder<SimClock, SeededEntropy>,
        connect: SimConnect,
    ) -> Result<AuditSink<SimClock, SeededEntropy>, StartError> {
        match self {
            Self::Correct => builder.start(connect).await,
            Self::Planted(mutant) => {
                let builder = match mutant {
                    Mutant::LockTrusted => builder.lock(LockPolicy::Always(store::SHORT_LOCK)),
                    _ => builder,
                };
                let store = MutantStore::new(mutant, builder.store(connect));
                Ok(builder.start_over(store))
            }
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        std::iter::once(Self::Correct)
            .chain(Self::planted())
            .find(|variant| variant.name() == name)
            .ok_or_else(|| {
                let known: Vec<_> = Self::planted().map(Self::name).collect();
                format!(
                    "{name:?} is no store; there are correct, {}",
                    known.join(", ")
                )
            })
    }
}
