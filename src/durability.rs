//! How durable a write must be before it counts as done, and whether it is.
//!
//! A write is applied first and confirmed afterwards: one confirmation covers
//! all writes before it, so those of many callers share one. This module does
//! not depend on how a store confirms.

use std::{fmt, future::Future, num::NonZeroU32, pin::Pin, str::FromStr, time::Duration};

use futures_util::future::{FutureExt as _, Shared, WeakShared};

use crate::{
    clock::Clock,
    entropy::{Entropy, Jitter},
    error::AttemptError,
    sync::{Arc, Mutex, lock},
};

/// What has to have a write before it counts as done.
///
/// Each level narrows the window in which an acknowledged write can be lost; none
/// makes Redis consistent: a failover may promote a replica that has not
/// acknowledged, and two primaries may take writes at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum Durability {
    /// The primary's memory: an acknowledged write is lost if that process ends
    /// before it has saved or replicated it.
    #[default]
    Memory,
    /// The primary's disk (`WAITAOF`): survives the end of its process and a loss
    /// of power, not a failover. Needs an append-only file, and a server with the
    /// command: redis 7.2 or later, or valkey.
    /// With `appendfsync everysec`, redis 7.4 and valkey 9.1.2 confirm a write before
    /// they sync it: set `always` there.
    Fsync,
    /// The memory of so many replicas (`WAIT`): survives the end of the primary if
    /// one of those that acknowledged is promoted.
    Replicas(NonZeroU32),
}

impl FromStr for Durability {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("replicas:")) {
            ("memory", _) => Ok(Self::Memory),
            ("fsync", _) => Ok(Self::Fsync),
            (_, Some(count)) => count
                .parse()
                .map(Self::Replicas)
                .map_err(|_| "replicas: takes a number above 0, as in replicas:2"),
            _ => Err("give memory, fsync or replicas:N"),
        }
    }
}

impl TryFrom<String> for Durability {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The form that [`FromStr`] reads.
impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Fsync => f.write_str("fsync"),
            Self::Replicas(count) => write!(f, "replicas:{count}"),
        }
    }
}

/// Whether a write that was applied is as durable as was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurabilityStatus {
    /// It is.
    AsAsked,
    /// It is applied, and must not be repeated, but was not confirmed to be as
    /// durable as asked; why. It may become so later.
    NotYet(String),
}

impl DurabilityStatus {
    /// Whether it is as durable as asked.
    #[must_use]
    pub fn is_as_asked(&self) -> bool {
        matches!(self, Self::AsAsked)
    }

    /// The status of two writes together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::AsAsked => other,
            not_yet @ Self::NotYet(_) => not_yet,
        }
    }

    /// That of a write whose caller's deadline came first.
    pub(crate) fn deadline() -> Self {
        Self::NotYet("it was not confirmed by the deadline".to_owned())
    }
}

/// Waits after a confirmation that failed.
const FAILURE_WAIT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// Repeats the confirmation of `count` writes until it is answered, or for at most
/// `limit`.
pub(crate) async fn confirmed<F>(
    clock: &impl Clock,
    entropy: &impl Entropy,
    limit: Duration,
    count: usize,
    confirm: impl Fn() -> F,
) -> Vec<DurabilityStatus>
where
    F: Future<Output = Result<Vec<DurabilityStatus>, AttemptError>>,
{
    let until = clock.now().saturating_add(limit);
    let mut failures = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
    loop {
        let (is_final, why) = match confirm().await {
            Ok(statuses) => return statuses,
            Err(AttemptError::Refused(cause) | AttemptError::Ambiguous(cause)) => {
                (clock.now() >= until, cause.to_string())
            }
            Err(AttemptError::Denied(cause)) => (true, cause.to_string()),
            Err(AttemptError::Corrupt(corrupt)) => (true, corrupt.to_string()),
        };
        if is_final {
            return vec![DurabilityStatus::NotYet(why); count];
        }
        clock.sleep(failures.next(entropy)).await;
    }
}

type Statuses = std::sync::Arc<Vec<DurabilityStatus>>;
type Group = Pin<Box<dyn Future<Output = Statuses> + Send>>;

/// Writes that are confirmed together: while one group waits for its
/// confirmation, the next one forms.
///
/// A group is driven by whichever of its callers is polled, and by those of the
/// next group: a caller that is not polled holds up nobody.
pub(crate) struct Confirmations<K>(Arc<Mutex<State<K>>>);

struct State<K> {
    /// The writes of the group that forms, if one does.
    forming: Option<Vec<K>>,
    /// The group begun last. Only those who wait for it keep it.
    newest: Option<WeakShared<Group>>,
}

/// One write's part in a group.
#[derive(Clone)]
pub(crate) struct Confirming {
    group: Shared<Group>,
    place: usize,
}

impl Confirming {
    /// The write's status. May be dropped at any time.
    pub(crate) async fn status(self) -> DurabilityStatus {
        let statuses = self.group.await;
        let status = statuses.get(self.place).cloned();
        status.unwrap_or_else(|| DurabilityStatus::NotYet("it was not confirmed".to_owned()))
    }
}

impl<K> Clone for Confirmations<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Confirmations<K> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            forming: None,
            newest: None,
        })))
    }
}

impl<K: Send + 'static> Confirmations<K> {
    /// Adds `write`, which has been applied, to the group that forms. If it begins
    /// one, `confirm` will confirm the whole group: it returns a status for each.
    pub(crate) fn join<F>(
        &self,
        write: K,
        confirm: impl FnOnce(Vec<K>) -> F + Send + 'static,
    ) -> Confirming
    where
        F: Future<Output = Vec<DurabilityStatus>> + Send + 'static,
    {
        let mut state = lock(&self.0);
        let newest = state.newest.as_ref().and_then(WeakShared::upgrade);
        if let (Some(group), Some(forming)) = (&newest, &mut state.forming) {
            forming.push(write);
            return Confirming {
                group: group.clone(),
                place: forming.len() - 1,
            };
        }
        let shared = self.0.clone();
        let group: Group = Box::pin(async move {
            if let Some(previous) = newest {
                previous.await;
            }
            let writes = lock(&shared).forming.take().unwrap_or_default();
            confirm(writes).await.into()
        });
        let group = group.shared();
        state.newest = group.downgrade();
        // Those of a group whose callers have all left are dropped with it.
        state.forming = Some(vec![write]);
        Confirming { group, place: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex as TestMutex;
    use futures_util::task::noop_waker;
    use std::task::{Context, Poll};
    use tokio::sync::oneshot;

    type Asked = (Vec<u32>, oneshot::Sender<()>);

    /// A store that answers each confirmation when told to.
    #[derive(Clone, Default)]
    struct Answers(Arc<TestMutex<Vec<Asked>>>);

    impl Answers {
        fn join(&self, confirmations: &Confirmations<u32>, write: u32) -> Confirming {
            let asked = self.0.clone();
            confirmations.join(write, move |writes| {
                let (answer, answered) = oneshot::channel();
                let status = |write: &u32| match write % 2 {
                    0 => DurabilityStatus::AsAsked,
                    _ => DurabilityStatus::NotYet(write.to_string()),
                };
                let statuses = writes.iter().map(status).collect();
                lock(&asked).push((writes, answer));
                async move {
                    let _ = answered.await;
                    statuses
                }
            })
        }

        /// Answers the last confirmation, and returns its writes.
        fn answer(&self) -> Option<Vec<u32>> {
            let (writes, answer) = lock(&self.0).pop()?;
            let _ = answer.send(());
            Some(writes)
        }
    }

    fn polled<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(&noop_waker())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Would catch one confirmation for each write, a write that is told another's
    /// status, and one that is confirmed by a request sent before it was applied.
    #[test]
    fn writes_share_the_confirmation_after_them() {
        let (answers, confirmations) = (Answers::default(), Confirmations::default());
        let mut first = Box::pin(answers.join(&confirmations, 2).status());
        assert_eq!(polled(first.as_mut()), None);
        let mut second = Box::pin(answers.join(&confirmations, 3).status());
        let mut third = Box::pin(answers.join(&confirmations, 4).status());
        assert_eq!(polled(second.as_mut()), None);
        assert_eq!(polled(third.as_mut()), None);

        assert_eq!(answers.answer(), Some(vec![2]));
        assert_eq!(polled(second.as_mut()), None);
        assert_eq!(polled(first.as_mut()), Some(DurabilityStatus::AsAsked));
        assert_eq!(answers.answer(), Some(vec![3, 4]));
        assert_eq!(polled(third.as_mut()), Some(DurabilityStatus::AsAsked));
        let not_yet = DurabilityStatus::NotYet("3".to_owned());
        assert_eq!(polled(second.as_mut()), Some(not_yet));
    }

    /// Would catch a confirmation that waits for a caller who has left, or who is
    /// not polled.
    #[test]
    fn a_caller_that_leaves_or_sleeps_holds_up_nobody() {
        let (answers, confirmations) = (Answers::default(), Confirmations::default());
        let mut first = Box::pin(answers.join(&confirmations, 2).status());
        assert_eq!(polled(first.as_mut()), None);
        let _asleep = answers.join(&confirmations, 4);
        drop(answers.join(&confirmations, 6).status());
        let mut last = Box::pin(answers.join(&confirmations, 8).status());
        assert_eq!(polled(last.as_mut()), None);
        // `first` is not polled again.
        assert_eq!(answers.answer(), Some(vec![2]));
        assert_eq!(polled(last.as_mut()), None);
        assert_eq!(answers.answer(), Some(vec![4, 6, 8]));
        assert_eq!(polled(last.as_mut()), Some(DurabilityStatus::AsAsked));
    }
}
