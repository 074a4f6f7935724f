//! The contention lock: it only reduces the rate of fence conflicts. It may
//! expire, be stolen, be deleted or never be granted; a writer that does not
//! get it proceeds under the fence.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::Value;

use super::{
    connect::Connect,
    link::Link,
    script::{SCRIPTS, Script},
};
use crate::{
    clock::{Clock, deserialize_duration},
    entropy::{Entropy, Jitter},
    sync::{Arc, Mutex, lock},
};

/// When to take the lock before writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockPolicy {
    /// Never: batches, fences on values and jitter keep contention low enough.
    #[default]
    None,
    /// Before every batch or mutation, for at most these times.
    Always(LockTimes),
}

/// The times of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LockTimes {
    /// TTL of a lock that is not released. Default: 10 s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub ttl: Duration,
    /// Total wait for another holder. Default: 250 ms.
    #[serde(deserialize_with = "deserialize_duration")]
    pub wait: Duration,
    /// Average time between two attempts. Default: 20 ms.
    #[serde(deserialize_with = "deserialize_duration")]
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

/// A lock that was granted; the random token identifies the holder.
pub struct Lease(String);

/// How many batches waited for another holder of the lock, with or without
/// success. A clone keeps counting with the store.
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
    /// The prefix of its tokens.
    prefix: &'static str,
    waits: LockWaits,
    /// A holder that outlasted a wait, and is not waited for again.
    outlived: Mutex<Option<Vec<u8>>>,
}

impl ContentionLock {
    /// A lock at `key`, taken by the script `acquire` with tokens that begin
    /// with `prefix`.
    pub(crate) fn new(
        policy: LockPolicy,
        key: String,
        acquire: &'static Script,
        prefix: &'static str,
    ) -> Self {
        Self {
            policy,
            key,
            acquire,
            prefix,
            waits: LockWaits::default(),
            outlived: Mutex::new(None),
        }
    }

    /// Its key, if it is taken at all.
    pub(crate) fn key(&self) -> Option<&str> {
        match self.policy {
            LockPolicy::None => None,
            LockPolicy::Always(_) => Some(&self.key),
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
        let began = clock.now();
        let lease = self.wait_for(times, link, clock, entropy).await;
        let waited = clock.now().saturating_sub(began);
        link.telemetry().waited_for_lock(lease.is_some(), waited);
        lease
    }

    async fn wait_for<N: Connect, C: Clock, E: Entropy>(
        &self,
        times: LockTimes,
        link: &Link<N, C>,
        clock: &C,
        entropy: &E,
    ) -> Option<Lease> {
        let mut token = [0; 16];
        entropy.fill(&mut token).ok()?;
        let token = format!("{}{}", self.prefix, URL_SAFE_NO_PAD.encode(token));
        let mut call = self.acquire.call(&[&self.key]);
        call.arg(&token)
            .arg(u64::try_from(times.ttl.as_millis()).unwrap_or(u64::MAX));

        let until = clock.now().saturating_add(times.wait);
        let mut jitter = Jitter::new(times.retry / 2, times.retry * 2);
        let mut has_waited = false;
        loop {
            // On any error the fence is enough.
            let holder = match link.run(self.acquire, &call).await.ok()? {
                Value::Array(reply) => match reply.as_slice() {
                    [Value::Int(1)] => return Some(Lease(token)),
                    [Value::Int(0), Value::BulkString(holder)] => Some(holder.clone()),
                    // The lock expired between the script's two commands.
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

    /// Releases the lock, if it is still ours. On failure it expires.
    pub(crate) async fn release<N: Connect, C: Clock>(&self, link: &Link<N, C>, lease: Lease) {
        let mut call = SCRIPTS.release.call(&[&self.key]);
        call.arg(lease.0);
        let _ = link.run(&SCRIPTS.release, &call).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::link::Timeouts, *};
    use crate::test_util::{Answer, AutoClock, FixedEntropy, ScriptedServer};

    const TIMES: LockTimes = LockTimes {
        ttl: Duration::from_secs(10),
        wait: Duration::from_millis(250),
        retry: Duration::from_millis(20),
    };

    struct Bench {
        server: ScriptedServer,
        clock: AutoClock,
        link: Link<ScriptedServer, AutoClock>,
        lock: ContentionLock,
    }

    impl Bench {
        fn new(policy: LockPolicy, replies: impl IntoIterator<Item = Answer>) -> Self {
            let server = ScriptedServer::scripted(replies);
            let clock = AutoClock::default();
            // A missing reply times out at once, so that only the lock advances
            // the clock.
            let timeouts = Timeouts {
                connect: Duration::ZERO,
                reply: Duration::ZERO,
                ..Timeouts::default()
            };
            Self {
                link: Link::new(server.clone(), clock.clone(), timeouts),
                lock: ContentionLock::new(policy, "the-lock".to_owned(), &SCRIPTS.acquire, "own:"),
                server,
                clock,
            }
        }

        fn run<F: Future>(&self, future: F) -> F::Output {
            self.clock.run(future).unwrap()
        }

        /// The token of the lease, if there is one.
        fn acquire(&self, byte: Option<u8>) -> Option<String> {
            let entropy = FixedEntropy(byte);
            let lease = self.run(self.lock.acquire(&self.link, &self.clock, &entropy));
            lease.map(|lease| lease.0)
        }
    }

    fn granted() -> Answer {
        Answer::Reply(Value::Array(vec![Value::Int(1)]))
    }

    fn held_by(holder: &str) -> Answer {
        let holder = Value::BulkString(holder.as_bytes().to_vec());
        Answer::Reply(Value::Array(vec![Value::Int(0), holder]))
    }

    /// The lock expired before the script read its holder.
    fn lapsed() -> Answer {
        Answer::Reply(Value::Array(vec![Value::Int(0), Value::Nil]))
    }

    fn always(replies: impl IntoIterator<Item = Answer>) -> Bench {
        Bench::new(LockPolicy::Always(TIMES), replies)
    }

    /// Would catch a guessable token, one without its prefix, and a release of
    /// another token.
    #[test]
    fn a_lease_is_a_token_and_its_release_names_it() {
        let bench = always([granted(), Answer::Reply(Value::Int(1))]);
        let token = bench.acquire(Some(255)).unwrap();
        assert_eq!(token, "own:_____________________w");
        bench.run(bench.lock.release(&bench.link, Lease(token.clone())));
        let asked = bench.server.received();
        let [acquire, release] = asked.as_slice() else {
            panic!("{asked:?}");
        };
        for asked in [acquire, release] {
            assert!(
                asked.contains("the-lock") && asked.contains(&token),
                "{asked}"
            );
        }
        assert!(acquire.contains("\r\n10000\r\n"), "{acquire}");
        assert_eq!(bench.lock.waits().count(), 0);
        assert_eq!(bench.clock.waits(), []);
    }

    #[test]
    fn without_a_policy_or_randomness_nothing_is_sent() {
        let bench = Bench::new(LockPolicy::None, [granted()]);
        assert_eq!(bench.acquire(Some(7)), None);
        let unlucky = always([granted()]);
        assert_eq!(unlucky.acquire(None), None);
        assert!(bench.server.received().is_empty() && unlucky.server.received().is_empty());
    }

    /// Would catch an endless wait for a holder, a wait counted per attempt,
    /// and another wait for a dead holder at every batch.
    #[test]
    fn a_holder_is_waited_for_only_once() {
        let bench = always((0..200).map(|_| held_by("another")));
        assert_eq!(bench.acquire(Some(0)), None);
        let waited: Duration = bench.clock.waits().iter().sum();
        assert_eq!(waited, TIMES.wait);
        assert_eq!(bench.lock.waits().count(), 1);

        let asked = bench.server.received().len();
        assert_eq!(bench.acquire(Some(0)), None);
        assert_eq!(bench.server.received().len(), asked + 1);
        assert_eq!(bench.clock.waits().iter().sum::<Duration>(), TIMES.wait);
        assert_eq!(bench.lock.waits().count(), 1);
    }

    /// Would catch a lock that does not wait for the holder after a dead one.
    #[test]
    fn the_next_holder_is_waited_for_again() {
        let silent = (0..200).map(|_| held_by("dead"));
        let bench = always(silent);
        assert_eq!(bench.acquire(Some(0)), None);
        let tries = bench.server.received().len();

        let replies = (0..tries).map(|_| held_by("dead"));
        let bench = always(replies.chain([held_by("alive"), granted()]));
        assert_eq!(bench.acquire(Some(0)), None);
        assert!(bench.acquire(Some(0)).is_some());
        assert_eq!(bench.lock.waits().count(), 2);
    }

    /// Would catch an endless wait for a lock that keeps expiring.
    #[test]
    fn the_wait_for_an_expiring_lock_is_bounded() {
        let bench = always((0..200).map(|_| lapsed()));
        assert_eq!(bench.acquire(Some(0)), None);
        assert_eq!(bench.clock.waits().iter().sum::<Duration>(), TIMES.wait);
        let bench = always([lapsed(), granted()]);
        assert!(bench.acquire(Some(0)).is_some());
        assert_eq!(bench.lock.waits().count(), 1);
    }

    /// Would catch attempts at too high or too low a rate: they are half to
    /// twice the policy's interval apart.
    #[test]
    fn attempts_are_spread_around_the_policys_interval() {
        for (byte, all_but_the_last) in [(0, TIMES.retry / 2), (255, TIMES.retry * 2)] {
            let bench = always((0..200).map(|_| held_by("another")));
            assert_eq!(bench.acquire(Some(byte)), None);
            let waits = bench.clock.waits();
            // The first two are shorter, the last is the remaining time.
            for wait in &waits[2..waits.len() - 1] {
                assert_eq!(*wait, all_but_the_last, "{byte}");
            }
            let bounds = TIMES.retry / 2..=TIMES.retry * 2;
            assert!(
                waits[..waits.len() - 1]
                    .iter()
                    .all(|wait| bounds.contains(wait))
            );
        }
    }

    /// Would catch a failure of the lock that stops an append.
    #[test]
    fn after_any_error_the_write_proceeds_without_a_lease() {
        for answer in [
            Answer::error("OOM", "no"),
            Answer::Silence,
            Answer::Reply(Value::Okay),
        ] {
            let bench = always([answer, granted()]);
            assert_eq!(bench.acquire(Some(0)), None);
            assert_eq!(bench.server.received().len(), 1);
        }
    }
}
