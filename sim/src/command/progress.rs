//! A progress bar on standard error.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

/// A progress bar, shown if standard error is a terminal and the command takes longer than a
/// second.
pub(super) struct Progress {
    total: u64,
    unit: &'static str,
    shown: bool,
    started: Instant,
    /// When the last of what is done was.
    last: Duration,
    done: u64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "wall time is measured around what is run"
)]
impl Progress {
    /// Of so many worlds, rounds or others.
    pub(super) fn new(total: u64, unit: &'static str) -> Self {
        Self {
            total,
            unit,
            shown: false,
            started: Instant::now(),
            last: Duration::ZERO,
            done: 0,
        }
    }

    /// Shows that so many are done.
    pub(super) fn show(&mut self, done: u64) {
        let elapsed = self.started.elapsed();
        if done > self.done {
            (self.done, self.last) = (done, elapsed);
        }
        if elapsed.as_secs() >= 1 && io::stderr().is_terminal() {
            self.shown = true;
            eprint!("\r{:<78}\r{}", "", self.line(elapsed));
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let (done, total, unit) = (self.done, self.total, self.unit);
        let bar = usize::try_from(done * 20 / total.max(1)).unwrap_or(20);
        let mut line = format!("[{:<20}] {done}/{total} {unit}", "#".repeat(bar.min(20)));
        let took = self.last.as_secs_f64();
        if done > 0 && took > 0.0 {
            let rate = done as f64 / took;
            // What began after the last has taken some of its time already.
            let left = total as f64 / rate - elapsed.as_secs_f64();
            if rate >= 1.0 {
                line += &format!(", {rate:.0} a second");
            }
            line += &format!(", {:.0} s left", left.max(0.0));
        }
        line
    }

    /// Removes the bar, so that other text can be written.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r{:<78}\r", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a bar that counts what is under way as done, a time left that stands still between
    /// two rounds, and a line that a terminal of 80 columns breaks.
    #[test]
    fn the_time_left_follows_from_what_is_done() {
        let mut progress = Progress::new(12, "rounds");
        let second = Duration::from_secs(1);
        assert_eq!(
            progress.line(3 * second),
            "[                    ] 0/12 rounds"
        );
        (progress.done, progress.last) = (3, 18 * second);
        assert_eq!(
            progress.line(20 * second),
            "[#####               ] 3/12 rounds, 52 s left"
        );
        let mut progress = Progress::new(100_000, "worlds");
        (progress.done, progress.last) = (90_000, 1000 * second);
        let line = progress.line(1000 * second);
        assert_eq!(
            line,
            "[##################  ] 90000/100000 worlds, 90 a second, 111 s left"
        );
        assert!(line.len() < 78);
    }
}
