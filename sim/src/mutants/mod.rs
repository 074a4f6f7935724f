//! Stores with one planted bug each, to show that the checks can fail.
//!
//! Each is the production store with one hook overridden or one passage of its
//! Lua replaced, under the production append loop and token store. Nothing of
//! this is known to the store crate, and nothing outside of this module knows
//! which bug is planted.
//!
//! A new one is a row of `table`, and, unless it is a patch of the Lua, a
//! file in `bugs` with a type that implements `bug::PlantedBug`.

mod bug;
mod bugs;
mod connect;
mod patch;
mod table;
mod under_test;

use std::{fmt, str::FromStr};

use crate::plan::{WorldOptions, in_lines};

pub(crate) use connect::ConnectUnderTest;
pub use patch::StalePatch;
pub use table::Variant;
pub(crate) use under_test::{AuditUnderTest, KeysUnderTest, StoreUnderTest, VaultUnderTest};

impl Variant {
    /// Every planted bug.
    pub fn planted() -> impl Iterator<Item = Self> {
        Self::PLANTED.iter().copied()
    }

    /// Every how many seeds have to run a second time so that the bug shows; 0
    /// for none.
    #[must_use]
    pub fn twice(self) -> u64 {
        u64::from(self == Self::AmbientRandomness)
    }

    /// The worlds in which the bug shows soon.
    #[must_use]
    pub fn options(self) -> WorldOptions {
        let mut options = WorldOptions::default();
        self.worlds()(&mut options);
        options
    }

    /// The store of one world.
    ///
    /// # Errors
    ///
    /// [`StalePatch`].
    pub(crate) fn plant(self) -> Result<StoreUnderTest, StalePatch> {
        self.bug().map(StoreUnderTest::new)
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
                let known = in_lines(Self::planted().map(Self::name));
                format!("{name:?} is no store; there are correct and{known}\n")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a patch that a change of the Lua has left without its passage.
    #[test]
    fn every_patch_of_the_table_applies() {
        for variant in Variant::planted() {
            if let Err(stale) = variant.plant() {
                panic!("{variant}: {stale}");
            }
        }
    }

    /// Catches two bugs of one name, of which only one could be chosen.
    #[test]
    fn names_are_unique() {
        for variant in Variant::planted() {
            assert_eq!(variant.name().parse(), Ok(variant));
        }
    }
}
