//! What operators do by the store's own means: accept the loss of what a process has seen,
//! and repair a chain whose keys disagree.

use std::{io, sync::Arc, time::Duration};

use haechi_history::OpId;
use haechi_store_redis::{
    AppendError, Builder, ResumeError,
    audit::{Evidence, Examination, Repair, RepairError},
    chain::{AppendId, LostRange, Position},
    clock::Clock,
    crypto::CryptoProvider,
    entropy::Entropy,
    redis::Connect,
};

use crate::record::{Gone, OperatorEnd, RunRecorder};

/// How often an operator tries again after an outcome is unknown, or was not what it takes.
const TRIES: usize = 4;

/// Entropy from which the identity of a record is known.
#[derive(Clone)]
pub(crate) struct KnownEntropy<E> {
    pub(crate) entropy: E,
    pub(crate) recorder: RunRecorder,
    pub(crate) op: OpId,
}

impl<E: Entropy> Entropy for KnownEntropy<E> {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.entropy.fill(bytes)?;
        if let Ok(id) = <[u8; 16]>::try_from(&*bytes) {
            let append_id = AppendId::from_bytes(id);
            self.recorder.operator_appends_as(self.op, append_id);
        }
        Ok(())
    }
}

/// Accepts the loss of what a process says is gone, under `keys` if there are any; returns
/// what was accepted, or `None` if nothing is known to have been. `builder` makes one for
/// each try.
pub(crate) async fn accept<N, P, C, E>(
    recorder: &RunRecorder,
    builder: impl Fn(OpId) -> Builder<C, E>,
    connect: &N,
    gone: &Gone,
    keys: Option<(Arc<P>, bool)>,
) -> Option<LostRange>
where
    N: Connect,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    let (keys, is_shared) = keys.unzip();
    let mut lost = gone.range();
    for _ in 0..TRIES {
        let op = recorder.operator_invokes()?;
        if is_shared == Some(true) {
            recorder.operator_uses_shared_keys(op);
        }
        let mut builder = builder(op).seen(gone.seen);
        if let Some(standing) = gone.standing {
            builder = builder.seen(standing);
        }
        let resumed = builder.resume(connect.clone(), lost?, keys.clone()).await;
        let error = match resumed {
            Ok(appended) => {
                recorder.operator_ends(op, OperatorEnd::Applied(appended.position));
                return lost;
            }
            Err(error) => error,
        };
        let said = error.to_string();
        match error {
            ResumeError::Append(AppendError::Unknown { .. }) => {
                recorder.operator_ends(op, OperatorEnd::Unknown(said));
            }
            ResumeError::NotTheFirst { first, seen, .. } => {
                recorder.operator_ends(op, OperatorEnd::NotApplied(said));
                lost = LostRange::new(first, seen);
            }
            ResumeError::Read(_) | ResumeError::Append(_) => {
                recorder.operator_ends(op, OperatorEnd::NotApplied(said));
            }
            _ => {
                recorder.operator_ends(op, OperatorEnd::NotApplied(said));
                return None;
            }
        }
    }
    None
}

/// How a repair ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repaired {
    /// The keys agree: by this repair, or before.
    Agree,
    /// The store refuses it: the list does not verify, or it is not known what is lost.
    Refused,
    /// It is not known, or the server did not answer, or the chain changed.
    Open,
}

/// Repairs the chain whose keys disagree, accepting what is lost with them. `builder` and
/// `entropy` make one for an operator's append.
pub(crate) async fn repair<N, C, E>(
    recorder: &RunRecorder,
    builder: impl Fn(OpId) -> Builder<C, E>,
    entropy: impl Fn(OpId) -> E,
    connect: &N,
    clock: &C,
    deadline: Duration,
) -> Repaired
where
    N: Connect,
    C: Clock,
    E: Entropy,
{
    let Some(op) = recorder.operator_invokes() else {
        return Repaired::Open;
    };
    let store = builder(op).audit_store(connect.clone());
    let carry_out = async |repair: Repair| {
        let entropy = entropy(op);
        let carried_out = repair.carry_out(&store, clock, &entropy, deadline);
        carried_out.await.map(|repaired| Some(repaired.position))
    };
    let mut evidence = Evidence::default();
    let repaired: Result<Option<Position>, RepairError> = loop {
        match Repair::examine(&store, &evidence).await {
            Ok(Examination::Whole(_)) => break Ok(None),
            Ok(Examination::Diverged(repair)) => break carry_out(repair).await,
            Err(RepairError::Loss { lost, .. }) if evidence.accepted_loss.is_none() => {
                evidence.accepted_loss = Some(lost.range);
            }
            Err(error) => break Err(error),
        }
    };
    let (ended, repaired) = match repaired {
        Ok(Some(position)) => (OperatorEnd::Applied(position), Repaired::Agree),
        Ok(None) => {
            let why = "the chain is whole".to_owned();
            (OperatorEnd::NotApplied(why), Repaired::Agree)
        }
        Err(error) => {
            let said = error.to_string();
            match error {
                RepairError::Unknown { .. } => (OperatorEnd::Unknown(said), Repaired::Open),
                RepairError::Loss { .. }
                | RepairError::OtherLoss { .. }
                | RepairError::RolledBack(_)
                | RepairError::Invalid { .. } => (OperatorEnd::NotApplied(said), Repaired::Refused),
                _ => (OperatorEnd::NotApplied(said), Repaired::Open),
            }
        }
    };
    recorder.operator_ends(op, ended);
    repaired
}
