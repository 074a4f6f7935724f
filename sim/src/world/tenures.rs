//! Who had a contention lock, from when to when, and how that ended.

use std::time::Duration;

/// One tenure of a lock. Times are since the world began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenure {
    /// The process that took the lock; `None`: a fault did, or it is not known.
    pub(crate) holder: Option<usize>,
    pub(crate) begins: Duration,
    pub(crate) ends: Duration,
    pub(crate) end: TenureEnd,
}

/// How a tenure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum TenureEnd {
    /// By its holder.
    Released,
    /// Its TTL ended.
    Lapsed,
    /// Something other than its holder deleted the lock.
    Deleted,
    /// Another one had the lock before the TTL ended.
    Stolen,
    /// It has not, by the end of the world.
    Held,
}

/// When a lock is looked at.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// Since the world began.
    pub(super) now: Duration,
    /// By the server's clock, in Unix milliseconds.
    pub(super) server: u64,
}

/// The tenures of one lock, in order.
#[derive(Default)]
pub(super) struct Tenures {
    ended: Vec<Tenure>,
    open: Option<Open>,
}

struct Open {
    token: Vec<u8>,
    holder: Option<usize>,
    begins: Duration,
    /// When it expires, by the server's clock.
    until: u64,
}

impl Tenures {
    /// The lock has this token and expires then, or is free; `by` may have changed that.
    pub(super) fn see(&mut self, found: Option<(&[u8], u64)>, by: Option<usize>, at: Moment) {
        if let (Some(open), Some((token, until))) = (&mut self.open, found) {
            // A fault takes the lock again and again, with another token each time.
            let is_fault = open.holder.is_none() && by.is_none() && at.server < open.until;
            if is_fault || open.token == token {
                open.token = token.to_vec();
                open.until = until;
                return;
            }
        }
        let end = |open: &Open| match found {
            None if open.holder.is_some() && open.holder == by => TenureEnd::Released,
            None => TenureEnd::Deleted,
            Some(_) => TenureEnd::Stolen,
        };
        self.close(at, end);
        self.open = found.map(|(token, until)| Open {
            token: token.to_vec(),
            holder: by,
            begins: at.now,
            until,
        });
    }

    /// All of them, at the end of the world.
    pub(super) fn finish(&mut self, at: Moment) -> Vec<Tenure> {
        self.close(at, |_| TenureEnd::Held);
        std::mem::take(&mut self.ended)
    }

    /// Ends the one that is open, in this way unless its TTL is over.
    fn close(&mut self, at: Moment, end: impl Fn(&Open) -> TenureEnd) {
        let Some(open) = self.open.take() else { return };
        let (ends, end) = match at.server.checked_sub(open.until) {
            None => (at.now, end(&open)),
            Some(since) => {
                let ends = at.now.saturating_sub(Duration::from_millis(since));
                (ends.max(open.begins), TenureEnd::Lapsed)
            }
        };
        self.ended.push(Tenure {
            holder: open.holder,
            begins: open.begins,
            ends,
            end,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment {
            now: Duration::from_millis(millis),
            server: 1000 + millis,
        }
    }

    /// Catches a tenure that ends at the wrong time or is said to have ended otherwise than
    /// it did.
    #[test]
    fn tenures_end_as_they_do() {
        let mut tenures = Tenures::default();
        let lock = |token: &'static str, until: u64| Some((token.as_bytes(), 1000 + until));
        tenures.see(lock("a", 100), Some(0), at(10));
        tenures.see(lock("a", 100), Some(1), at(20));
        tenures.see(None, Some(0), at(30));
        tenures.see(lock("b", 100), Some(1), at(40));
        tenures.see(lock("c", 300), Some(2), at(200));
        tenures.see(lock("d", 215), None, at(210));
        tenures.see(lock("d2", 400), None, at(213));
        tenures.see(None, Some(1), at(220));
        tenures.see(lock("e", 900), Some(3), at(500));
        let found = tenures.finish(at(600));
        let found = found.iter().map(|tenure| {
            let (begins, ends) = (tenure.begins.as_millis(), tenure.ends.as_millis());
            (tenure.holder, begins, ends, tenure.end)
        });
        let expected = [
            (Some(0), 10, 30, TenureEnd::Released),
            (Some(1), 40, 100, TenureEnd::Lapsed),
            (Some(2), 200, 210, TenureEnd::Stolen),
            (None, 210, 220, TenureEnd::Deleted),
            (Some(3), 500, 600, TenureEnd::Held),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
