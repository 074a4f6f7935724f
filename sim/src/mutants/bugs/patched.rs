//! Bugs that are a patch of the Lua, with or without trust in the lock.

use std::time::Duration;

use haechi_store_redis::{
    AttemptError, Cause,
    audit::store::{Batch, Reply},
    redis::{
        LockPolicy, LockTimes,
        script::{APPEND, Script, VAULT_APPLY, append_call, append_reply, apply_call, apply_reply},
    },
    vault::store::{Applied, Attempt, Observed},
};

use crate::mutants::{
    bug::{PlantedBug, RedisAudit, RedisVault},
    patch::{StalePatch, patched, replaced},
};

/// Appends by a script with one passage replaced.
pub(in crate::mutants) struct PatchedAppend(Script);

impl PatchedAppend {
    pub(in crate::mutants) fn new(passage: &'static str, by: &str) -> Result<Self, StalePatch> {
        patched(APPEND, passage, by).map(Self)
    }

    pub(super) async fn run<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        let Some(call) = append_call(&self.0, next.keys(), batch) else {
            return Err(AttemptError::Denied(Cause::new("an empty batch")));
        };
        let reply = next.run(&self.0, &call).await?;
        append_reply(reply, next.keys(), batch.seen)
    }
}

impl PlantedBug for PatchedAppend {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        self.run(next, batch).await
    }
}

/// Applies by a script with one passage replaced.
pub(in crate::mutants) struct PatchedApply(pub(super) Script);

impl PatchedApply {
    pub(in crate::mutants) fn new(passage: &'static str, by: &str) -> Result<Self, StalePatch> {
        patched(VAULT_APPLY, passage, by).map(Self)
    }

    /// With two passages left out.
    pub(in crate::mutants) fn without(passages: [&'static str; 2]) -> Result<Self, StalePatch> {
        let [first, second] = passages;
        patched(&replaced(VAULT_APPLY, first, "")?, second, "").map(Self)
    }

    async fn run<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let call = apply_call(&self.0, next.keys(), next.deadline(), attempt, observed);
        let reply = next.run(&self.0, &call).await?;
        apply_reply(reply, next.keys(), attempt, observed)
    }
}

impl PlantedBug for PatchedApply {
    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        self.run(next, attempt, observed).await
    }
}

/// Writes without the fence, by the patched script, as soon as it holds the
/// lock.
pub(in crate::mutants) struct LockTrusted<P>(pub(in crate::mutants) P);

/// Short enough to lapse in a pause.
fn short_lock() -> LockTimes {
    let mut times = LockTimes::default();
    times.ttl = Duration::from_millis(60);
    times.wait = Duration::from_millis(200);
    times.retry = Duration::from_millis(10);
    times
}

impl<P: PlantedBug> PlantedBug for LockTrusted<P> {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        self.0.append(next, batch).await
    }

    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        self.0.apply(next, attempt, observed).await
    }

    fn lock(&self) -> Option<LockPolicy> {
        Some(LockPolicy::Always(short_lock()))
    }

    fn needs_lock(&self) -> bool {
        true
    }
}
