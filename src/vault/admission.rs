//! How much work one process has under way, and how much waits for it.
//!
//! It does not know what the work is.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    clock::{Clock, within},
    error::{Cause, NotApplied},
};

/// What a place under way has room for; larger work takes several.
const PLACE_BYTES: usize = 64 << 10;

/// What a caller that waits takes besides the bytes that it brings.
const CALLER_BYTES: usize = 1 << 10;

/// Lets a limited amount of work in, in the order in which it came. Clones share the
/// limits.
#[derive(Clone)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
    most_places: u32,
    bytes: Arc<Semaphore>,
    most_bytes: usize,
}

/// Work that was let in; it ends when this is dropped.
pub(super) struct Admitted {
    _places: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Admission {
    /// Lets in this much work at a time, at least one; callers hold this many bytes
    /// while they wait or work.
    pub(super) fn new(at_once: usize, bytes: usize) -> Self {
        let most_places = at_once.clamp(1, 1 << 20);
        let most_bytes = bytes.clamp(CALLER_BYTES, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most_places)),
            most_places: u32::try_from(most_places).unwrap_or(1),
            bytes: Arc::new(Semaphore::new(most_bytes)),
            most_bytes,
        }
    }

    /// Waits at most `limit` for a place for work of `bytes`. Dropping the future gives
    /// up the place in the queue.
    ///
    /// # Errors
    ///
    /// [`NotApplied::Refused`] if there can never be room,
    /// [`NotApplied::Overloaded`] at once if there is none to wait,
    /// [`NotApplied::Deadline`] if the time is over.
    pub(super) async fn enter(
        &self,
        clock: &impl Clock,
        limit: Duration,
        bytes: usize,
    ) -> Result<Admitted, NotApplied> {
        let held = bytes.saturating_add(CALLER_BYTES);
        if held > self.most_bytes {
            return Err(NotApplied::Refused(Cause::new(format!(
                "it brings {bytes} bytes, more than all callers together may (queue_bytes)"
            ))));
        }
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        let held = self.bytes.clone().try_acquire_many_owned(held);
        let held = held.map_err(|_| NotApplied::Overloaded)?;
        let places = u32::try_from(bytes / PLACE_BYTES).unwrap_or(u32::MAX);
        let places = places.saturating_add(1).min(self.most_places);
        let acquired = self.places.clone().acquire_many_owned(places);
        match within(clock, limit, acquired).await {
            Some(Ok(places)) => Ok(Admitted {
                _places: places,
                _bytes: held,
            }),
            _ => Err(NotApplied::Deadline(Cause::new(
                "earlier requests of this process were under way all the time",
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::test_util::AutoClock;

    const SECOND: Duration = Duration::from_secs(1);

    /// Would catch work that is let in beyond a limit, a place that is not given back,
    /// and one that is given to somebody who came later.
    #[test]
    fn work_waits_for_its_turn() {
        let clock = AutoClock::default();
        let admission = Admission::new(4, 1 << 20);
        let enter = |bytes| admission.enter(&clock, SECOND, bytes);
        let small = clock
            .run(pin!(enter(0)))
            .unwrap()
            .unwrap_or_else(|_| panic!());
        // Three places of four.
        let _large = clock
            .run(pin!(enter(2 * PLACE_BYTES)))
            .unwrap()
            .unwrap_or_else(|_| panic!());
        assert!(matches!(
            clock.run(pin!(enter(0))),
            Some(Err(NotApplied::Deadline(_)))
        ));
        drop(small);
        assert!(matches!(clock.run(pin!(enter(0))), Some(Ok(_))));
    }

    /// Would catch callers that wait with more bytes than the limit.
    #[test]
    fn callers_without_room_are_refused_at_once() {
        let clock = AutoClock::default();
        let admission = Admission::new(4, 10 * CALLER_BYTES);
        let _first = clock
            .run(pin!(admission.enter(&clock, SECOND, 8 * CALLER_BYTES)))
            .unwrap();
        let refused = clock.run(pin!(admission.enter(&clock, SECOND, 8 * CALLER_BYTES)));
        assert!(matches!(refused, Some(Err(NotApplied::Overloaded))));
        let never = clock.run(pin!(admission.enter(&clock, SECOND, 10 * CALLER_BYTES)));
        assert!(matches!(never, Some(Err(NotApplied::Refused(_)))));
        assert!(matches!(
            clock.run(pin!(admission.enter(&clock, SECOND, 0))),
            Some(Ok(_))
        ));
    }
}
