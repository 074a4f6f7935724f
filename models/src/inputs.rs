//! Clocks, entropy and events for the models.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use haechi_store_redis::{
    chain::{AppendId, Event},
    clock::Clock,
    entropy::Entropy,
};

/// A wait that is never over.
pub(crate) const FOREVER: Duration = Duration::from_secs(3600);

/// A clock that stands still. A wait is over at once, whatever else is going
/// on, but for those of [`FOREVER`] and more: a time-out of less strikes
/// whenever what it bounds is not ready, and a pause between two attempts
/// lasts as long as the schedule likes.
#[derive(Clone)]
pub(crate) struct InstantClock;

impl Clock for InstantClock {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        std::future::poll_fn(move |_| {
            if duration < FOREVER {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
    }
}

/// Bytes that no two replicas, and no two calls of one replica, get alike.
#[derive(Clone)]
pub(crate) struct Numbered {
    replica: u8,
    /// Not loom's: which number a call gets decides nothing.
    next: Arc<AtomicU8>,
}

impl Numbered {
    pub(crate) fn of(replica: u8) -> Self {
        Self {
            replica,
            next: Arc::default(),
        }
    }
}

impl Entropy for Numbered {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(self.next.fetch_add(1, Ordering::Relaxed));
        if let Some(first) = bytes.first_mut() {
            *first = self.replica;
        }
        Ok(())
    }
}

pub(crate) fn event() -> Result<Event, String> {
    Event::from_json(r#"{"id":"e"}"#).map_err(|error| error.to_string())
}

pub(crate) fn append_id(number: u8) -> AppendId {
    AppendId::from_bytes([number; 16])
}
