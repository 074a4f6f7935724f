//! How a mutation and a read divide their time, 8 s, in memory.

use std::time::Duration;

use haechi_store_redis::{
    AttemptError, Builder, Cause, NotApplied, ReadError,
    clock::Clock,
    test_util::{AutoClock, Hooked, MemoryVault, VaultHooks},
    vault::{
        Done, MutateError, MutationId, TokenStore, View,
        store::{
            Applied, Attempt, Fate, ForeignLockWait, Load, Loaded, Observed, ReceiptSeq, VaultStore,
        },
    },
};

use super::token;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Every call takes a time.
#[derive(Default)]
struct Slow {
    clock: AutoClock,
    lease: Duration,
    load: Duration,
    settle: Duration,
    release: Duration,
    /// Loads are refused at their end.
    refuses_loads: bool,
    /// No attempt arrives.
    loses_attempts: bool,
    /// A foreign replica never releases its lock.
    is_locked: bool,
    /// An attempt takes so long.
    apply: Duration,
}

impl<S: VaultStore> VaultHooks<S> for Slow {
    async fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        self.clock.sleep(self.load).await;
        if self.refuses_loads {
            return Err(AttemptError::Refused(Cause::new("busy")));
        }
        next.load(what, observed).await
    }

    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        self.clock.sleep(self.apply).await;
        if self.loses_attempts {
            return Err(AttemptError::Ambiguous(Cause::new("lost")));
        }
        if self.is_locked
            && let ForeignLockWait::Respects { outlived } = attempt.foreign_lock_wait
            && outlived != Some(b"theirs")
        {
            let holder = b"theirs".to_vec();
            return Ok(Applied::ForeignLocked { holder });
        }
        next.apply(attempt, observed).await
    }

    async fn settle(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        self.clock.sleep(self.settle).await;
        next.settle(mutation, begun, observed).await
    }

    async fn lease(&self, next: &S) -> S::Lease {
        self.clock.sleep(self.lease).await;
        next.lease().await
    }

    async fn release(&self, next: &S, lease: S::Lease) {
        self.clock.sleep(self.release).await;
        next.release(lease).await;
    }
}

fn tokens(slow: Slow) -> (AutoClock, TokenStore<Hooked<MemoryVault, Slow>, AutoClock>) {
    tokens_within(8 * SECOND, slow)
}

fn tokens_within(
    deadline: Duration,
    slow: Slow,
) -> (AutoClock, TokenStore<Hooked<MemoryVault, Slow>, AutoClock>) {
    let clock = slow.clock.clone();
    let builder = Builder::new().clock(clock.clone()).deadline(deadline);
    let tokens = builder.token_store(Hooked::new(MemoryVault::new(), slow));
    (clock, tokens)
}

/// The result of a mutation, and when it came.
fn set(slow: Slow) -> (Result<Done<()>, MutateError>, Duration) {
    let (clock, tokens) = tokens(slow);
    let set = tokens.transaction([], |view: &mut View| view.set(&token("a"), "1"));
    (clock.run(set).unwrap(), clock.now())
}

/// Would catch a lock that uses up a mutation's time, before it or after it.
#[test]
fn the_lock_is_waited_for_a_quarter_and_released_within_the_deadline() {
    let taken = set(Slow {
        lease: HOUR,
        ..Slow::default()
    });
    assert!(
        matches!(taken, (Ok(_), now) if now == 2 * SECOND),
        "{taken:?}"
    );
    let released = set(Slow {
        release: HOUR,
        ..Slow::default()
    });
    assert!(
        matches!(released, (Ok(_), now) if now == 8 * SECOND),
        "{released:?}"
    );
}

/// Would catch a foreign lock that is waited for shorter than configured, longer,
/// or again.
#[test]
fn a_foreign_lock_takes_its_wait_once() {
    let (clock, tokens) = tokens(Slow {
        is_locked: true,
        ..Slow::default()
    });
    for _ in 0..2 {
        let set = |view: &mut View| view.set(&token("a"), "1");
        clock.run(tokens.transaction([], set)).unwrap().unwrap();
        assert_eq!(clock.now(), Duration::from_millis(250));
    }
}

/// Would catch a foreign lock that uses up a short deadline, so that nothing is applied for
/// as long as a replica that crashed has it; a refused attempt that is settled as if its
/// reply were lost; and one that is made when the time for attempts is over: if no reply
/// comes, both are unknown.
#[test]
fn a_foreign_lock_takes_at_most_a_quarter_of_the_deadline() {
    for apply in [0, 20, 60] {
        let (clock, tokens) = tokens_within(
            Duration::from_millis(200),
            Slow {
                is_locked: true,
                apply: Duration::from_millis(apply),
                settle: HOUR,
                ..Slow::default()
            },
        );
        let set = |view: &mut View| view.set(&token("a"), "1");
        let ended = clock.run(tokens.transaction([], set)).unwrap();
        match ended {
            Ok(_) if apply < 60 => {}
            Err(MutateError::NotApplied(NotApplied::Deadline(_))) if apply == 60 => {}
            _ => panic!("{apply} ms: {ended:?}"),
        }
        assert!(clock.now() <= Duration::from_millis(150));
    }
}

/// Would catch attempts in the last quarter, after which no time is left to find
/// out the outcome.
#[test]
fn the_outcome_is_found_out_in_the_last_quarter() {
    let ended = set(Slow {
        loses_attempts: true,
        settle: SECOND,
        ..Slow::default()
    });
    assert!(
        matches!(ended, (Err(MutateError::NotApplied(NotApplied::Deadline(_))), now)
            if now == 7 * SECOND),
        "{ended:?}"
    );
}

/// Would catch a deadline that begins after the wait for the lock, or anew for
/// the outcome or for another read.
#[test]
fn nothing_lasts_longer_than_the_deadline() {
    let ended = set(Slow {
        lease: HOUR,
        loses_attempts: true,
        settle: HOUR,
        ..Slow::default()
    });
    assert!(
        matches!(ended, (Err(MutateError::Unknown { .. }), now) if now == 8 * SECOND),
        "{ended:?}"
    );
    let (clock, tokens) = tokens(Slow {
        load: 5 * SECOND,
        refuses_loads: true,
        ..Slow::default()
    });
    let read = clock.run(tokens.read_tokens(&[token("a")])).unwrap();
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    assert_eq!(clock.now(), 8 * SECOND);
}
