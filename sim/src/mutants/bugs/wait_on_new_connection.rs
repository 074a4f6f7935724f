use haechi_store_redis::{
    AttemptError, Durability, DurabilityStatus, chain::Position, vault::MutationId,
};
use redis::{Value, cmd};

use crate::mutants::bug::{PlantedBug, RedisAudit, RedisVault, Sends};

/// Waits on a connection that has written nothing.
pub(in crate::mutants) struct WaitOnNewConnection;

async fn waited(next: &impl Sends, level: Durability) -> Result<DurabilityStatus, AttemptError> {
    let (name, counts, asked) = match level {
        Durability::Memory => return Ok(DurabilityStatus::AsAsked),
        Durability::Fsync => ("WAITAOF", vec![1, 0], 1),
        Durability::Replicas(count) => ("WAIT", vec![count.get()], count.get().into()),
    };
    let mut wait = cmd(name);
    wait.arg(counts);
    let count = match next.send_anew(wait).await? {
        Value::Int(count) => count,
        Value::Array(counts) => match counts.first() {
            Some(Value::Int(local)) => *local,
            _ => 0,
        },
        _ => 0,
    };
    Ok(if count >= asked {
        DurabilityStatus::AsAsked
    } else {
        DurabilityStatus::NotYet(format!("{count} of {asked}"))
    })
}

impl PlantedBug for WaitOnNewConnection {
    async fn confirm<S: RedisAudit>(
        &self,
        next: &S,
        _: Position,
    ) -> Result<DurabilityStatus, AttemptError> {
        waited(next, next.durability()).await
    }

    async fn confirm_mutations<S: RedisVault>(
        &self,
        next: &S,
        mutations: &[MutationId],
    ) -> Result<Vec<DurabilityStatus>, AttemptError> {
        let status = waited(next, next.durability()).await?;
        Ok(vec![status; mutations.len()])
    }
}
