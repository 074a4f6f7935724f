//! Whether a sink or a vault serves, as its last attempts show. It asks nothing of
//! Redis: [`ready`](crate::redis::RedisAuditStore::ready) does.

use std::time::Duration;

use crate::error::Cause;

/// Whether a sink or a vault serves, as its last attempts show.
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
    /// The sink was closed.
    Closed,
}

impl Health {
    /// Whether calls are served.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        matches!(self, Self::Serving)
    }
}

/// What the last attempt showed; `None` if it was answered.
#[derive(Debug, Default)]
pub(crate) struct LastAttempt(Option<Trouble>);

#[derive(Debug)]
struct Trouble {
    since: Duration,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Waits(Cause),
    Refuses(String),
}

impl LastAttempt {
    pub(crate) fn answered(&mut self) {
        self.0 = None;
    }

    pub(crate) fn failed(&mut self, now: Duration, cause: Cause) {
        let since = match &self.0 {
            Some(Trouble {
                since,
                kind: Kind::Waits(_),
            }) => *since,
            _ => now,
        };
        let kind = Kind::Waits(cause);
        self.0 = Some(Trouble { since, kind });
    }

    pub(crate) fn refused(&mut self, now: Duration, reason: String) {
        let since = match &self.0 {
            Some(Trouble {
                since,
                kind: Kind::Refuses(_),
            }) => *since,
            _ => now,
        };
        let kind = Kind::Refuses(reason);
        self.0 = Some(Trouble { since, kind });
    }

    pub(crate) fn health(&self, now: Duration) -> Health {
        let Some(Trouble { since, kind }) = &self.0 else {
            return Health::Serving;
        };
        let lasting = now.saturating_sub(*since);
        match kind {
            Kind::Waits(cause) => Health::Waiting {
                lasting,
                cause: cause.clone(),
            },
            Kind::Refuses(reason) => Health::Refusing {
                lasting,
                reason: reason.clone(),
            },
        }
    }
}
