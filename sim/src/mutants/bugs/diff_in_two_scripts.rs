//! The second half of a diff travels as a script of its own.

use haechi_store_redis::{
    AttemptError,
    vault::store::{Applied, Attempt, Change, Diff, Observed},
};
use redis::cmd;

use crate::mutants::bug::{PlantedBug, RedisVault};

pub(in crate::mutants) struct DiffInTwoScripts;

impl PlantedBug for DiffInTwoScripts {
    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let mut changes = attempt.diff.iter();
        let mut first = Diff::new();
        if let Some((token, change)) = changes.next() {
            match change {
                Change::Set(value) => first.set(token.clone(), value.clone()),
                Change::Delete => first.delete(token.clone()),
            }
        }
        let half = Attempt {
            diff: &first,
            ..*attempt
        };
        let applied = next.apply(&half, observed).await?;
        if matches!(applied, Applied::Committed { .. }) {
            for (token, change) in changes {
                let mut change_one = match change {
                    Change::Set(_) => cmd("HSET"),
                    Change::Delete => cmd("HDEL"),
                };
                change_one.arg(&next.keys().tokens).arg(token.as_str());
                if let Change::Set(value) = change {
                    change_one.arg(value.bytes());
                }
                next.send(&change_one).await?;
            }
        }
        Ok(applied)
    }
}
