//! What the wall clocks of a world said, over time.

use std::{collections::BTreeMap, time::Duration};

use haechi_history::Clock;

/// How much later than recorded a clock may have been read: hosts are ahead of the
/// world by less than two steps.
const STEPS: Duration = Duration::from_millis(10);

/// The wall clocks of the server and of each process. Empty in real time.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    /// The time at which the world began, since the Unix epoch.
    epoch: Option<Duration>,
    server: Skews,
    processes: BTreeMap<usize, Skews>,
}

/// How far a clock is off, in milliseconds, and since when.
#[derive(Debug, Default)]
struct Skews(Vec<(Duration, i64)>);

impl Clocks {
    /// Clocks that are right when the world begins at `epoch`.
    pub(crate) fn from(epoch: Duration) -> Self {
        Self {
            epoch: Some(epoch),
            ..Self::default()
        }
    }

    /// The server's clock is off by so much from now on.
    pub(super) fn server_jumped(&mut self, now: Duration, skew: i64) {
        self.server.0.push((now, skew));
    }

    /// A process's clock is off by so much from now on.
    pub(super) fn jumped(&mut self, now: Duration, process: usize, skew: i64) {
        let skews = self.processes.entry(process).or_default();
        skews.0.push((now, skew));
    }

    /// The latest that the clocks said since then; `None` in real time.
    pub(super) fn latest(&self, process: usize, since: Duration, now: Duration) -> Option<Clock> {
        let epoch = self.epoch?;
        Some(Clock {
            server: self.server.latest(epoch, since, now),
            own: self.of(process).latest(epoch, since, now),
        })
    }

    /// The earliest that the clocks said since then; `None` in real time.
    pub(super) fn earliest(&self, process: usize, since: Duration, now: Duration) -> Option<Clock> {
        let epoch = self.epoch?;
        Some(Clock {
            server: self.server.earliest(epoch, since, now),
            own: self.of(process).earliest(epoch, since, now),
        })
    }

    fn of(&self, process: usize) -> &Skews {
        const RIGHT: &Skews = &Skews(Vec::new());
        self.processes.get(&process).unwrap_or(RIGHT)
    }
}

impl Skews {
    fn earliest(&self, epoch: Duration, since: Duration, now: Duration) -> u64 {
        let (mut earliest, mut began, mut skew) = (u64::MAX, Duration::ZERO, 0);
        for (end, next) in self.0.iter().copied().chain([(Duration::MAX, 0)]) {
            if end >= since && began <= now {
                let millis = (epoch + began.max(since)).as_millis();
                let millis = u64::try_from(millis).unwrap_or(u64::MAX);
                earliest = earliest.min(millis.saturating_add_signed(skew));
            }
            (began, skew) = (end, next);
        }
        earliest
    }

    fn latest(&self, epoch: Duration, since: Duration, now: Duration) -> u64 {
        // When each skew ended, and what it was.
        let (mut spans, mut skew) = (Vec::new(), 0);
        for (at, next) in self.0.iter().take_while(|(at, _)| *at <= now) {
            spans.push((*at, skew));
            skew = *next;
        }
        spans.push((now, skew));
        let read_in = |(end, skew): (Duration, i64)| {
            let millis = (epoch + end + STEPS).as_millis();
            let millis = u64::try_from(millis).unwrap_or(u64::MAX);
            (end >= since).then(|| millis.saturating_add_signed(skew))
        };
        spans.into_iter().filter_map(read_in).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch a reading that is missed because the clock jumped before or
    /// after it.
    #[test]
    fn the_latest_reading_of_a_span_counts() {
        let at = Duration::from_millis;
        let mut clocks = Clocks::from(at(1_000_000));
        let latest = |clocks: &Clocks, since, now| {
            let clock = clocks.latest(0, at(since), at(now)).unwrap();
            (clock.server - 1_000_010, clock.own - 1_000_010)
        };
        assert_eq!(latest(&clocks, 10, 20), (20, 20));
        clocks.jumped(at(100), 0, 5000);
        clocks.jumped(at(200), 0, -3000);
        clocks.server_jumped(at(150), 700);
        assert_eq!(latest(&clocks, 50, 60), (60, 60));
        assert_eq!(latest(&clocks, 50, 120), (120, 5120));
        assert_eq!(latest(&clocks, 160, 300), (1000, 5200));
        let after = clocks.latest(0, at(250), at(4000)).unwrap();
        assert_eq!((after.server, after.own), (1_004_710, 1_001_010));
        let earliest = |since, now| {
            let clock = clocks.earliest(0, at(since), at(now)).unwrap();
            (clock.server - 1_000_000, clock.own.wrapping_sub(1_000_000))
        };
        assert_eq!(earliest(50, 60), (50, 50));
        assert_eq!(earliest(120, 130), (120, 5120));
        assert_eq!(earliest(120, 160), (120, 5120));
        assert_eq!(earliest(120, 300), (120, 2800_u64.wrapping_neg()));
        assert_eq!(Clocks::default().latest(0, at(0), at(1)), None);
    }
}
