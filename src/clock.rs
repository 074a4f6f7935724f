//! The clock, for time and timers: injected, so that a simulation can skew,
//! freeze or speed it up.
//!
//! This is the only module of the store that uses the system's clock, and the
//! only one that converts between [`SystemTime`] and text.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize as _, Deserializer, de::Error as _};

/// Reads a duration of a configuration, such as `250ms`, `10s`, `1m 30s` or `PT10S`.
pub(crate) fn deserialize_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = text.parse::<jiff::SignedDuration>();
    let duration = duration.and_then(Duration::try_from);
    duration.map_err(|error| {
        D::Error::custom(format!(
            "{error}; give a duration as text, such as 250ms or 10s"
        ))
    })
}

/// As [`deserialize_duration`], or null.
pub(crate) fn deserialize_optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    #[derive(serde::Deserialize)]
    struct Text(#[serde(deserialize_with = "deserialize_duration")] Duration);
    let text = Option::<Text>::deserialize(deserializer)?;
    Ok(text.map(|Text(duration)| duration))
}

/// A source of time.
///
/// The two readings are unrelated: [`now`](Clock::now) never goes back, and all
/// timeouts use it; [`wall`](Clock::wall) may jump in either direction, and is
/// only used for expiry and for times in records.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Monotonic time since an arbitrary origin.
    fn now(&self) -> Duration;

    /// The time of day. The store writes and compares it in whole milliseconds.
    fn wall(&self) -> SystemTime;

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
    #[expect(clippy::disallowed_methods, reason = "the injected clock")]
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

#[expect(clippy::disallowed_methods, reason = "the injected clock")]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Runs `future` for at most `limit`; `None` if it is not ready by then.
///
/// The future is polled before the limit is checked.
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

/// Always three decimals.
const MILLISECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// `time` as ISO-8601 in UTC with milliseconds, the format of all times that
/// the store writes: `2026-01-31T09:30:00.000Z`. Times before the epoch or
/// after the year 9999 are clamped.
#[must_use]
pub fn iso8601(time: SystemTime) -> String {
    let millis = i64::try_from(epoch_millis(time)).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    MILLISECONDS.timestamp_to_string(&time)
}

/// The time in an ISO-8601 text, as JavaScript's `Date` writes it, cut to
/// milliseconds; times before the epoch become the epoch. `None` for any other
/// text.
#[must_use]
pub fn parse_iso8601(text: &str) -> Option<SystemTime> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(from_epoch_millis(
        u64::try_from(time.as_millisecond()).unwrap_or(0),
    ))
}

/// Whole milliseconds since the epoch; 0 for times before it.
pub(crate) fn epoch_millis(time: SystemTime) -> u64 {
    u64::try_from(since_epoch(time).as_millis()).unwrap_or(u64::MAX)
}

/// The inverse of [`epoch_millis`]; the epoch if [`SystemTime`] overflows.
pub(crate) fn from_epoch_millis(millis: u64) -> SystemTime {
    from_epoch(Duration::from_millis(millis))
}

/// Whole microseconds since the epoch; 0 for times before it.
pub(crate) fn epoch_micros(time: SystemTime) -> u64 {
    u64::try_from(since_epoch(time).as_micros()).unwrap_or(u64::MAX)
}

/// The inverse of [`epoch_micros`]; the epoch if [`SystemTime`] overflows.
pub(crate) fn from_epoch_micros(micros: u64) -> SystemTime {
    from_epoch(Duration::from_micros(micros))
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn from_epoch(since: Duration) -> SystemTime {
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch a dropped trailing zero, which JavaScript never drops.
    #[test]
    fn times_always_carry_three_decimals() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_760_000_000_120, "2025-10-09T08:53:20.120Z"),
        ] {
            assert_eq!(iso8601(from_epoch_millis(millis)), text);
            assert_eq!(parse_iso8601(text), Some(from_epoch_millis(millis)));
        }
    }

    /// Would catch an envelope that does not decrypt because its end is in local
    /// time, or whose end is moved by the offset.
    #[test]
    fn a_time_may_have_an_offset() {
        let time = from_epoch_millis(1_760_000_000_120);
        assert_eq!(parse_iso8601("2025-10-09T10:53:20.120+02:00"), Some(time));
        assert_eq!(parse_iso8601("2025-10-09T08:53:20.120"), None);
    }

    /// Would catch a time that panics, overflows or changes its precision at
    /// the limits of the format.
    #[test]
    fn times_beyond_the_limits_are_clamped() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(iso8601(before), "1970-01-01T00:00:00.000Z");
        let text = "1969-12-31T23:59:59.000Z";
        assert_eq!(parse_iso8601(text), Some(UNIX_EPOCH));
        let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert!(iso8601(far).starts_with("9999-12-30T"), "{}", iso8601(far));
        let fine = UNIX_EPOCH + Duration::from_nanos(1_999_999);
        assert_eq!(iso8601(fine), "1970-01-01T00:00:00.001Z");
        assert_eq!(
            parse_iso8601("1970-01-01T00:00:00.0019Z"),
            Some(from_epoch_millis(1))
        );
        assert_eq!(parse_iso8601("soon"), None);
    }
}
