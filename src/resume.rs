//! Going on after data was lost: an explicit act, recorded in the chain.

use std::{future::Future, pin::Pin};

use subtle::ConstantTimeEq as _;

use crate::{
    audit::{Appended, AuditSink, LossKeys, standing, store::AuditStore, store::Seen},
    chain::{Checkpoints, Head, Loss, LostRange, Position, Sequence},
    clock::{Clock, iso8601},
    crypto::{CryptoProvider, MacError},
    entropy::Entropy,
    error::{AppendError, ReadError},
    sync::Arc,
};

/// Separates the codes of accepted losses from all others under the same keys.
const DOMAIN: &str = "haechi:audit:rollback-accepted:v1";

/// Why no loss was accepted. But for [`ResumeError::Append`], nothing was
/// appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// Nothing that was seen is known to be gone.
    #[error(
        "nothing to accept: sequence {0} is as it was seen, or was trimmed away; appending goes on"
    )]
    NothingLost(Sequence),

    /// This process went on from that loss already.
    #[error(
        "nothing to accept: this process has gone on from the loss of {0} already; appending goes on"
    )]
    AlreadyAccepted(LostRange),

    /// It is not known what was seen.
    #[error(
        "it is not known what was lost: give the file of what this process had seen (--seen), its \
         anchors (--anchors), or the hash from its error message (--head-hash)"
    )]
    NothingSeen,

    /// The range does not end with the last sequence that was seen.
    #[error("sequence {seen} was seen and is gone; accept up to it: --accept {first}..{seen}")]
    NotTheLast {
        /// The highest sequence seen.
        seen: Sequence,
        /// The first of the range.
        first: Sequence,
    },

    /// The range begins with what still stands, or after what is gone, too.
    #[error("{what}; accept from the first lost one on, as in --accept {first}..{seen}")]
    NotTheFirst {
        /// What is wrong.
        what: String,
        /// Where the range has to begin.
        first: Sequence,
        /// The highest sequence seen.
        seen: Sequence,
    },

    /// The chain could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),

    /// The keys could not be used.
    #[error(transparent)]
    Keys(#[from] MacError),

    /// The record was not appended, or its outcome is unknown.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// The keys that the replicas share.
pub(crate) struct SharedKeys<P>(pub(crate) Arc<P>);

impl<P: CryptoProvider> SharedKeys<P> {
    /// The codes of `loss`, by the active key first.
    async fn codes(&self, loss: &Loss) -> Result<Vec<String>, MacError> {
        let data = loss.authenticated();
        let codes = self.0.hmacs(data.as_bytes(), DOMAIN);
        Ok(codes
            .await?
            .iter()
            .map(crate::crypto::KeyedMac::hex)
            .collect())
    }
}

impl<P: CryptoProvider> LossKeys for SharedKeys<P> {
    fn verifies<'a>(
        &'a self,
        loss: &'a Loss,
        mac: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            let codes = self.codes(loss).await.unwrap_or_default();
            codes
                .iter()
                .any(|code| bool::from(code.as_bytes().ct_eq(mac.as_bytes())))
        })
    }
}

/// A loss, and what was found when it was looked at.
pub(crate) struct Looked {
    loss: Loss,
    /// What was seen and stands.
    stand: Checkpoints,
    /// The end of the chain: as long as it stands, no more is lost.
    pub(crate) head: Head,
}

/// Looks whether `lost` is what is gone of what was `seen`.
pub(crate) async fn look<S: AuditStore>(
    store: &S,
    seen: &Checkpoints,
    lost: LostRange,
) -> Result<Looked, ResumeError> {
    let last = seen.last().ok_or(ResumeError::NothingSeen)?;
    if let Some(known) = seen.losses().iter().find(|loss| loss.covers(last)) {
        return Err(ResumeError::AlreadyAccepted(known.range));
    }
    gone(store, seen, last, lost).await
}

impl Looked {
    /// Appends, through `sink`, the record that accepts the loss; with `keys`, one that the
    /// other replicas with these keys go on from. Returns its position, and what was seen
    /// and stands, the record included. `sink` must know of the head that was looked at, so
    /// that it appends nothing once more is lost, and not of what was lost.
    pub(crate) async fn accept<P: CryptoProvider, C: Clock, E: Entropy>(
        self,
        sink: &AuditSink<C, E>,
        clock: &C,
        keys: Option<&SharedKeys<P>>,
    ) -> Result<(Appended, Checkpoints), ResumeError> {
        let mac = match keys {
            Some(keys) => keys.codes(&self.loss).await?.into_iter().next(),
            None => None,
        };
        let event = self.loss.accepted(&iso8601(clock.wall()), mac.as_deref());
        let appended = sink.record(event.map_err(AppendError::from)?).await?;
        let mut stand = self.stand;
        stand.went_on(self.loss);
        stand.add(appended.position);
        Ok((appended, stand))
    }
}

/// The loss, if `lost` names what is gone.
async fn gone<S: AuditStore>(
    store: &S,
    seen: &Checkpoints,
    last: Position,
    lost: LostRange,
) -> Result<Looked, ResumeError> {
    let tail = store.tail(Some(last)).await.map_err(ReadError::from)?;
    if !matches!(tail.seen, Seen::Gone { .. }) {
        return Err(ResumeError::NothingLost(last.sequence));
    }
    let (stand, standing) = standing(store, seen).await?;
    let end = tail.head.len();
    let gone = seen.positions().get(stand).map(|gone| gone.sequence);
    if lost.last() != last.sequence {
        let begins = standing.and_then(|standing| standing.sequence.next());
        let latest = gone.into_iter().chain(Sequence::new(end + 1)).min();
        let first = lost.first().max(begins.unwrap_or(Sequence::FIRST));
        return Err(ResumeError::NotTheLast {
            seen: last.sequence,
            first: first.min(latest.unwrap_or(last.sequence)),
        });
    }
    let not_the_first = |what: String, first| ResumeError::NotTheFirst {
        what,
        first,
        seen: last.sequence,
    };
    if let Some(standing) = standing
        && standing.sequence >= lost.first()
    {
        let first = standing.sequence.next().unwrap_or(standing.sequence);
        return Err(not_the_first(
            format!("sequence {} still stands", standing.sequence),
            first,
        ));
    }
    if let Some(gone) = gone
        && gone < lost.first()
    {
        let what = format!("sequence {gone} is gone, too, and what is before it may be");
        return Err(not_the_first(what, gone));
    }
    if let Some(first_gone) = Sequence::new(end + 1)
        && first_gone < lost.first()
    {
        let what = format!("the chain ends at sequence {end}");
        return Err(not_the_first(what, first_gone));
    }
    let mut standing = seen.clone();
    standing.truncate(stand);
    Ok(Looked {
        loss: Loss {
            range: lost,
            head_hash: last.event_hash,
        },
        stand: standing,
        head: tail.head,
    })
}
