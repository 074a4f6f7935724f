//! What a checker says.

use crate::OpId;

use super::invariant::Invariant;

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// What does not hold.
    pub invariant: Invariant,
    /// The operations that show it, the one to blame first.
    pub ops: Vec<OpId>,
    /// Why, in a sentence.
    pub reason: String,
}

/// What a checker found. The order of violations is the same at every run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Everything that does not hold; nothing if all does.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Whether everything holds.
    pub fn is_ok(&self) -> bool {
        self.violations.is_empty()
    }

    /// `ok` or `violation`.
    pub fn name(&self) -> &'static str {
        if self.is_ok() { "ok" } else { "violation" }
    }
}

impl serde::Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut verdict = serializer.serialize_struct("Verdict", 2)?;
        verdict.serialize_field("verdict", self.name())?;
        verdict.serialize_field("violations", &self.violations)?;
        verdict.end()
    }
}
