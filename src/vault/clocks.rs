//! Whether a token is past its end, by two clocks: the server's and this
//! process's. Where they disagree, a token is neither revealed nor destroyed.

use std::time::SystemTime;

/// A time of the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerTime(SystemTime);

impl ServerTime {
    /// The server's clock said this.
    #[must_use]
    pub fn new(time: SystemTime) -> Self {
        Self(time)
    }

    /// The time.
    #[must_use]
    pub fn get(self) -> SystemTime {
        self.0
    }
}

impl Default for ServerTime {
    fn default() -> Self {
        Self(SystemTime::UNIX_EPOCH)
    }
}

/// The ends of a token: its record and its envelope each have one, and a replica
/// that follows the whole-snapshot protocol changes only the record's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// From here on it does not reveal.
    pub(super) first: SystemTime,
    /// From here on it may be destroyed.
    pub(super) last: SystemTime,
}

/// Two readings for one decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    server: SystemTime,
    own: SystemTime,
}

impl Clocks {
    pub(super) fn new(server: ServerTime, own: SystemTime) -> Self {
        let server = server.get();
        Self { server, own }
    }

    /// Whether both clocks are before the token's end: it may be revealed.
    pub(super) fn is_live(self, ends: Ends) -> bool {
        self.server.max(self.own) < ends.first
    }

    /// Whether both clocks are past the token's end: it may be destroyed.
    pub(super) fn is_past(self, ends: Ends) -> bool {
        ends.last <= self.server.min(self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_epoch_millis;

    /// Would catch one clock that decides alone, and an end that is off by a
    /// millisecond.
    #[test]
    fn both_clocks_decide() {
        let at = from_epoch_millis;
        let ends = |first, last| Ends {
            first: at(first),
            last: at(last),
        };
        let state = |server, own, ends| {
            let clocks = Clocks::new(ServerTime::new(at(server)), at(own));
            (clocks.is_live(ends), clocks.is_past(ends))
        };
        assert_eq!(state(99, 99, ends(100, 100)), (true, false));
        assert_eq!(state(100, 99, ends(100, 100)), (false, false));
        assert_eq!(state(99, 100, ends(100, 100)), (false, false));
        assert_eq!(state(100, 100, ends(100, 100)), (false, true));
        assert_eq!(state(100, 100, ends(100, 101)), (false, false));
        assert_eq!(state(101, 101, ends(100, 101)), (false, true));
    }
}
