//! Whether a sink or a vault serves, as its last attempts show, and behind Sentinel
//! whether failovers would be noticed. It asks nothing of
//! Redis: [`ready`](crate::redis::RedisAuditStore::ready) does.

use std::{mem::discriminant, time::Duration};

use crate::error::Cause;

/// Whether a sink or a vault serves, as its last attempts show, and behind Sentinel
/// whether failovers would be noticed.
///
/// One that nobody uses keeps its last state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Redis answers; or nothing has been asked of it yet.
    Serving,
    /// Attempts fail for a reason that can pass. Calls wait until their deadlines, and
    /// are then *not applied*, or *unknown*.
    Waiting {
        /// For how long.
        lasting: Duration,
        /// The last failure, with the next step.
        cause: Cause,
    },
    /// Calls are refused: a rollback, a corrupt state, a missing permission. Someone has
    /// to act; the next call looks again.
    Refusing {
        /// For how long.
        lasting: Duration,
        /// What is wrong, with the next step.
        reason: String,
    },
    /// Calls are served, but no Sentinel answers: a process would not notice that the
    /// primary was deposed, and could go on writing to it.
    Unwatched {
        /// For how long.
        lasting: Duration,
        /// The last failure, with the next step.
        cause: Cause,
    },
    /// The sink or the vault was closed.
    Closed,
}

impl Health {
    /// Whether calls are served.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        matches!(self, Self::Serving | Self::Unwatched { .. })
    }

    /// The same; of one that serves, what is known of its `connection`.
    pub(crate) fn over(self, connection: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Serving => connection(),
            met => met,
        }
    }
}

/// What the last attempt met, and since when attempts meet such; `None` if it was
/// answered.
#[derive(Debug, Default)]
pub(crate) struct LastAttempt(Option<(Duration, Trouble)>);

#[derive(Debug)]
enum Trouble {
    Waits(Cause),
    Refuses(String),
}

impl LastAttempt {
    pub(crate) fn answered(&mut self) {
        self.0 = None;
    }

    pub(crate) fn failed(&mut self, now: Duration, cause: Cause) {
        self.met(now, Trouble::Waits(cause));
    }

    pub(crate) fn refused(&mut self, now: Duration, reason: String) {
        self.met(now, Trouble::Refuses(reason));
    }

    fn met(&mut self, now: Duration, trouble: Trouble) {
        let since = match &self.0 {
            Some((since, earlier)) if discriminant(earlier) == discriminant(&trouble) => *since,
            _ => now,
        };
        self.0 = Some((since, trouble));
    }

    pub(crate) fn health(&self, now: Duration) -> Health {
        let Some((since, trouble)) = &self.0 else {
            return Health::Serving;
        };
        let lasting = now.saturating_sub(*since);
        match trouble {
            Trouble::Waits(cause) => Health::Waiting {
                lasting,
                cause: cause.clone(),
            },
            Trouble::Refuses(reason) => Health::Refusing {
                lasting,
                reason: reason.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch an outage whose length begins anew at each attempt, and a refusal
    /// that takes over the length of the outage before it.
    #[test]
    fn it_lasts_from_the_first_attempt_of_its_kind() {
        let at = Duration::from_secs;
        let lasting = |last: &LastAttempt| match last.health(at(100)) {
            Health::Waiting { lasting, .. } | Health::Refusing { lasting, .. } => lasting,
            health => panic!("{health:?}"),
        };
        let mut last = LastAttempt::default();
        last.failed(at(10), Cause::new("a"));
        last.failed(at(20), Cause::new("b"));
        assert_eq!(lasting(&last), at(90));
        last.refused(at(30), "c".to_owned());
        last.refused(at(40), "d".to_owned());
        assert_eq!(lasting(&last), at(70));
        last.answered();
        assert_eq!(last.health(at(100)), Health::Serving);
        last.failed(at(50), Cause::new("e"));
        assert_eq!(lasting(&last), at(50));
    }
}
