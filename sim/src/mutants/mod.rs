//! Stores with one planted bug each, to show that the checks can fail.
//!
//! A mutant is built from the production parts, driven by the production
//! append loop, and differs from the real store in one thing. Nothing of this
//! is known to the store crate.

macro_rules! planted {
    ($(#[$doc:meta])* $name:ident {
        $($mutant:ident = $text:literal: $what:literal;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = $what] $mutant,)+
        }

        impl $name {
            pub(super) const ALL: &'static [Self] = &[$(Self::$mutant,)+];

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$mutant => $text,)+ }
            }

            pub(super) fn describe(self) -> &'static str {
                match self { $(Self::$mutant => $what,)+ }
            }
        }
    };
}
use planted;

mod store;
mod vault;
mod vault_scripts;

use std::{fmt, str::FromStr};

use haechi_store_redis::{
    Builder, StartError,
    audit::AuditSink,
    chain::AppendId,
    clock::Clock,
    entropy::Entropy,
    redis::{Connect, LockPolicy},
};

use crate::{
    fault::FaultClass,
    world::{Workload, WorldOptions},
};
use store::{Mutant, MutantStore};
use vault::VaultMutant;

pub(crate) use vault::VaultUnderTest;

/// Which store the replicas of a world run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// The production store.
    #[default]
    Correct,
    /// One with a planted bug in what keeps the chain.
    Planted(Mutant),
    /// One with a planted bug in what keeps the vault.
    PlantedInVault(VaultMutant),
}

impl Variant {
    /// Every planted bug.
    pub fn planted() -> impl Iterator<Item = Self> {
        let chain = Mutant::ALL.iter().copied().map(Self::Planted);
        let vault = VaultMutant::ALL.iter().copied().map(Self::PlantedInVault);
        chain.chain(vault)
    }

    /// The worlds in which the bug shows soon.
    #[must_use]
    pub fn options(self) -> WorldOptions {
        let workload = match self {
            Self::Correct => Workload::Mixed,
            Self::Planted(_) => Workload::Audit,
            Self::PlantedInVault(_) => Workload::Vault,
        };
        let options = WorldOptions {
            workload,
            ..WorldOptions::default()
        };
        match self {
            // It takes a command that is late, of a token that nobody changes
            // in the meantime.
            Self::PlantedInVault(VaultMutant::NoTombstone) => WorldOptions {
                faults: vec![FaultClass::Network],
                ops: 200,
                ..options
            },
            // It takes clocks that are days apart.
            Self::PlantedInVault(VaultMutant::EnvelopeEndKept) => WorldOptions {
                faults: vec![FaultClass::Replica],
                ..options
            },
            _ => options,
        }
    }

    /// When the vault's lock is taken, by what the world has drawn.
    pub(crate) fn vault_lock(self, drawn: LockPolicy) -> LockPolicy {
        match self {
            Self::PlantedInVault(VaultMutant::VaultLockTrusted) => {
                LockPolicy::Always(store::SHORT_LOCK)
            }
            _ => drawn,
        }
    }

    /// The name in reports and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Planted(mutant) => mutant.name(),
            Self::PlantedInVault(mutant) => mutant.name(),
        }
    }

    /// What is wrong with it, for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Correct => "the production store",
            Self::Planted(mutant) => mutant.describe(),
            Self::PlantedInVault(mutant) => mutant.describe(),
        }
    }

    /// Whether a refreshed token keeps the end of its first envelope.
    pub(crate) fn keeps_envelope_ends(self) -> bool {
        matches!(self, Self::PlantedInVault(VaultMutant::EnvelopeEndKept))
    }

    /// The identity that an append gets, rather than the one that was drawn.
    pub(crate) fn identity(self, drawn: AppendId) -> AppendId {
        match self {
            Self::Planted(Mutant::NoAppendId) => AppendId::from_bytes([0; 16]),
            _ => drawn,
        }
    }

    /// Starts a sink over the store.
    pub(crate) async fn start<N: Connect, C: Clock, E: Entropy>(
        self,
        builder: Builder<C, E>,
        connect: N,
    ) -> Result<AuditSink<C, E>, StartError> {
        match self {
            Self::Correct | Self::PlantedInVault(_) => builder.start(connect).await,
            Self::Planted(mutant) => {
                let builder = match mutant {
                    Mutant::LockTrusted => builder.lock(LockPolicy::Always(store::SHORT_LOCK)),
                    _ => builder,
                };
                let store = builder.store(connect);
                // As the production store starts, so that the worlds of the two
                // part where the bug is.
                for (reason, cause) in store.ready().await.faults {
                    if reason.forbids_start() {
                        return Err(StartError { reason, cause });
                    }
                }
                Ok(builder.start_over(MutantStore::new(mutant, store)))
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
