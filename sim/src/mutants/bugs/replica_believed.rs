//! What a replica of Redis answers to an append is believed, and to the second look
//! that follows a rollback.

use haechi_store_redis::{
    AttemptError,
    audit::store::{Batch, Reply, Tail},
    chain::Position,
    redis::script::{Script, TAIL, tail_call, tail_reply},
};

use super::PatchedAppend;
use crate::mutants::{
    bug::{PlantedBug, RedisAudit},
    patch::{StalePatch, patched},
};

pub(in crate::mutants) struct ReplicaBelieved {
    append: PatchedAppend,
    tail: Script,
}

impl ReplicaBelieved {
    /// `passage` finds out whether this is a replica.
    pub(in crate::mutants) fn new(passage: &'static str) -> Result<Self, StalePatch> {
        Ok(Self {
            append: PatchedAppend::new(passage, "false")?,
            tail: patched(TAIL, passage, "false")?,
        })
    }
}

impl PlantedBug for ReplicaBelieved {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        self.append.append(next, batch).await
    }

    async fn tail<S: RedisAudit>(
        &self,
        next: &S,
        seen: Option<Position>,
    ) -> Result<Tail, AttemptError> {
        let call = tail_call(&self.tail, next.keys(), seen);
        let reply = next.run(&self.tail, &call).await?;
        tail_reply(reply, next.keys(), seen)
    }
}
