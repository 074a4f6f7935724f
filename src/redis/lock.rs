//! The contention lock: it lowers the rate of fence conflicts, and nothing
//! else. It may lapse, be stolen, be deleted or never be granted; whoever
//! does not get it goes ahead under the fence.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::Value;

use super::{
    connect::Connect,
    link::Link,
    script::{SCRIPTS, Script},
};
use crate::{
    clock::Clock,
    entropy::{Entropy, Jitter},
    sync::{Arc, Mutex, lock},
};

/// When to take the lock before writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockPolicy {
    /// Never: batches, fences on values and jitter keep contention low enough.
    #[default]
    None,
    /// Before every batch or mutation, for at most this long.
    Always(LockTimes),
}

/// How long the lock is asked for, held and respected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockTimes {
    /// Life of a lock that is not released. Default: 10 s.
    pub ttl: Duration,
    /// Wait for another holder, in all, before going ahead. Default: 250 ms.
    pub wait: Duration,
    /// Average time between two tries. Default: 20 ms.
    pub retry: Duration,
}

impl Default for LockTimes {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(10),
            wait: Duration::from_millis(250),
            retry: Duration::from_millis(20),
        }
    }
}

/// A held lock; its random token proves whose it is.
pub struct Lease(String);

/// How many batches had to wait for another holder of the lock, whether they
/// got it in the end or not. A clone goes on counting with the store.
#[derive(Clone, Debug, Default)]
pub struct LockWaits(Arc<Mutex<u64>>);

impl LockWaits {
    /// The count so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        *lock(&self.0)
    }
}

/// The lock of one store.
pub(crate) struct ContentionLock {
    policy: LockPolicy,
    key: String,
    acquire: &'static Script,
    /// What its tokens begin with.
    mark: &'static str,
    waits: LockWaits,
    /// A holder that was waited for in vain, and is not waited for again.
    outlived: Mutex<Option<Vec<u8>>>,
}

impl ContentionLock {
    /// A lock at `key`, taken by the script `acquire` with tokens that begin
    /// with `mark`.
    pub(crate) fn new(
        policy: LockPolicy,
        key: String,
        acquire: &'static Script,
        mark: &'static str,
    ) -> Self {
        Self {
            policy,
            key,
            acquire,
            mark,
            waits: LockWaits::default(),
            outlived: Mutex::new(None),
        }
    }

    pub(crate) fn waits(&self) -> &LockWaits {
        &self.waits
    }

    /// Takes the lock, or gives up after the policy's wait.
    pub(crate) async fn acquire<N: Connect, C: Clock, E: Entropy>(
        &self,
        link: &Link<N, C>,
        clock: &C,
        entropy: &E,
    ) -> Option<Lease> {
        let LockPolicy::Always(times) = self.policy else {
            return None;
        };
        let mut token = [0; 16];
        entropy.fill(&mut token).ok()?;
        let token = format!("{}{}", self.mark, URL_SAFE_NO_PAD.encode(token));
        let mut call = self.acquire.call(&[&self.key]);
        call.arg(&token)
            .arg(u64::try_from(times.ttl.as_millis()).unwrap_or(u64::MAX));

        let until = clock.now().saturating_add(times.wait);
        let mut jitter = Jitter::new(times.retry / 2, times.retry * 2);
        let mut has_waited = false;
        loop {
            // Whatever goes wrong here, the fence still stands.
            let holder = match link.run(self.acquire, &call).await.ok()? {
                Value::Array(reply) => match reply.as_slice() {
                    [Value::Int(1)] => return Some(Lease(token)),
                    [Value::Int(0), Value::BulkString(holder)] => Some(holder.clone()),
                    // It lapsed between the script's two commands.
                    _ => None,
                },
                _ => return None,
            };
            if let Some(holder) = holder {
                let mut outlived = lock(&self.outlived);
                if outlived.as_ref() == Some(&holder) {
                    return None;
                }
                if clock.now() >= until {
                    *outlived = Some(holder);
                    return None;
                }
            } else if clock.now() >= until {
                return None;
            }
            if !std::mem::replace(&mut has_waited, true) {
                *lock(&self.waits.0) += 1;
            }
            let left = until.saturating_sub(clock.now());
            clock.sleep(jitter.next(entropy).min(left)).await;
        }
    }

    /// Gives the lock back, if it still is ours. Failing is harmless: the
    /// lock lapses.
    pub(crate) async fn release<N: Connect, C: Clock>(&self, link: &Link<N, C>, lease: Lease) {
        let mut call = SCRIPTS.release.call(&[&self.key]);
        call.arg(lease.0);
        let _ = link.run(&SCRIPTS.release, &call).await;
    }
}
