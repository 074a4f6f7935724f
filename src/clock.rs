//! The clock, for time and timers: injected, so that a simulation can skew,
//! freeze or speed it up.
//!
//! This is the only module of the store that may ask the system for the time.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// A source of time.
///
/// The two readings are unrelated: [`now`](Clock::now) never goes back and is
/// what every time-out is measured with; [`wall`](Clock::wall) may jump in
/// either direction and only ever ends up in text that people read.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Monotonic time since an origin of the clock's own choosing.
    fn now(&self) -> Duration;

    /// Time since the Unix epoch; zero if the clock stands before it.
    fn wall(&self) -> Duration;

    /// Completes once [`now`](Clock::now) has advanced by `duration`, or later.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The system's clock, with tokio's timers.
#[derive(Clone, Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is this call.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock the lint points to"
    )]
    pub fn new() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock the lint points to"
)]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> Duration {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Runs `future` for at most `limit`; `None` if it had not finished by then.
///
/// The future is polled first at every wake-up, so a result that is there
/// wins over a limit that has just passed.
pub async fn within<C: Clock, F: Future>(
    clock: &C,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut limit = pin!(clock.sleep(limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        limit.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// `wall` as ISO-8601 in UTC with milliseconds, the form of every time that
/// the store writes: `2026-01-31T09:30:00.000Z`.
#[must_use]
pub fn iso8601(wall: Duration) -> String {
    let millis = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .unwrap_or(jiff::Timestamp::MAX)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch a dropped trailing zero, which JavaScript never drops.
    #[test]
    fn times_always_carry_three_decimals() {
        assert_eq!(iso8601(Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            iso8601(Duration::from_millis(1_760_000_000_120)),
            "2025-10-09T08:53:20.120Z"
        );
    }
}
