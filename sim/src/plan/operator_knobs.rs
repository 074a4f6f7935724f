//! The operators of a world, who see to a loss by the store's own means.

use std::fmt;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::LONGEST_MS;

/// The most operators.
const MAX_OPERATORS: usize = 4;

/// Under which keys operators accept losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OperatorKeys {
    /// Those of the processes.
    Shared,
    /// Others, by mistake.
    Foreign,
    /// Under none.
    None,
}

/// Operators, each a process of its own, who accept losses that processes complain of.
/// Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorKnobs {
    /// How many see to each complaint, at the same time.
    pub operators: usize,
    /// Under which keys.
    pub keys: OperatorKeys,
    /// The replicas that go on from what was accepted under shared keys.
    pub sharing: Vec<usize>,
    /// How long after it has begun with its first task the first operator loses power.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed_after: Option<u64>,
    /// How long after that its connections are cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_after: Option<u64>,
    /// How long after that more is lost: the keys of the chain, or of the vault whose loss a
    /// process accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_after: Option<u64>,
}

impl OperatorKnobs {
    /// In one of two worlds whose chain may lose data.
    pub(super) fn draw(rng: &mut impl Rng, replicas: usize) -> Option<Self> {
        if rng.random_bool(0.5) {
            return None;
        }
        let keys = match rng.random_range(0..5) {
            0 => OperatorKeys::Foreign,
            1 => OperatorKeys::None,
            _ => OperatorKeys::Shared,
        };
        let operators = 1 + usize::from(rng.random_ratio(1, 3));
        let sharing = (0..replicas).filter(|_| rng.random_ratio(2, 3)).collect();
        let is_killed = rng.random_ratio(1, 6);
        let is_cut = rng.random_ratio(1, 4);
        let after = rng.random_range(5..=120);
        let loses_more = rng.random_ratio(1, 3);
        let lost_after = rng.random_range(1..=60);
        Some(Self {
            operators,
            keys,
            sharing,
            killed_after: is_killed.then_some(after),
            cut_after: is_cut.then_some(after),
            lost_after: loses_more.then_some(lost_after),
        })
    }

    /// Why no world can be built from this; what was drawn has no reason.
    pub(super) fn wrong(&self, replicas: usize) -> Option<&'static str> {
        if self.operators == 0 || self.operators > MAX_OPERATORS {
            return Some("there is no operator, or more than 4");
        }
        if self.sharing.iter().any(|replica| *replica >= replicas) {
            return Some("a replica that does not exist shares keys");
        }
        let mut times = [self.killed_after, self.cut_after, self.lost_after]
            .into_iter()
            .flatten();
        times
            .any(|time| time > LONGEST_MS)
            .then_some("an operator works for longer than a day")
    }
}

impl fmt::Display for OperatorKnobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: &str = self.keys.into();
        let sharing = self.sharing.iter().map(|replica| format!("r{replica}"));
        let sharing: Vec<_> = sharing.collect();
        write!(
            f,
            "{} operators with {keys} keys, which {} share",
            self.operators,
            match sharing.is_empty() {
                true => "none".to_owned(),
                false => sharing.join(", "),
            }
        )?;
        if let Some(after) = self.killed_after {
            write!(f, "; one loses power after {after} ms")?;
        }
        if let Some(after) = self.cut_after {
            write!(f, "; its connections are cut after {after} ms")?;
        }
        if let Some(after) = self.lost_after {
            write!(f, "; more is lost after {after} ms")?;
        }
        Ok(())
    }
}
