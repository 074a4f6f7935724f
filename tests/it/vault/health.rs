//! When a token store says that it waits, on a virtual clock.

use std::time::Duration;

use futures_util::future::join;
use haechi_store_redis::{
    AttemptError, Builder, Cause, Health,
    clock::Clock,
    test_util::{AutoClock, Hooked, MemoryVault, VaultHooks},
    vault::{
        MutateError, MutationId, TokenStore, View,
        store::{Applied, Attempt, Fate, Load, Loaded, Observed, ReceiptSeq, VaultStore},
    },
};

use super::token;

const SECOND: Duration = Duration::from_secs(1);

/// A server whose every answer takes a second, and that is away for a while.
#[derive(Default)]
struct Outage {
    clock: AutoClock,
    from: Duration,
    until: Duration,
    /// Loads are answered at once all the same.
    spares_loads: bool,
    /// A mutation ends so long after it was applied.
    release: Duration,
}

impl Outage {
    async fn answer(&self) -> Result<(), AttemptError> {
        self.clock.sleep(SECOND).await;
        match (self.from..self.until).contains(&self.clock.now()) {
            true => Err(AttemptError::Ambiguous(Cause::new("away"))),
            false => Ok(()),
        }
    }
}

impl<S: VaultStore> VaultHooks<S> for Outage {
    async fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        if !self.spares_loads {
            self.answer().await?;
        }
        next.load(what, observed).await
    }

    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        self.answer().await?;
        next.apply(attempt, observed).await
    }

    async fn settle(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        self.answer().await?;
        next.settle(mutation, begun, observed).await
    }

    async fn release(&self, next: &S, lease: S::Lease) {
        self.clock.sleep(self.release).await;
        next.release(lease).await;
    }
}

type Tokens = TokenStore<Hooked<MemoryVault, Outage>, AutoClock>;

fn tokens(outage: Outage) -> (AutoClock, Tokens) {
    let clock = outage.clock.clone();
    let builder = Builder::new().clock(clock.clone()).deadline(20 * SECOND);
    let tokens = builder.token_store(Hooked::new(MemoryVault::new(), outage));
    (clock, tokens)
}

async fn set(tokens: &Tokens) -> Result<(), MutateError> {
    let set = |view: &mut View| view.set(&token("a"), "1");
    tokens.transaction([token("a")], set).await.map(drop)
}

/// For how long it waits, `at` that time; `None` if it serves.
async fn waits(clock: &AutoClock, tokens: &Tokens, at: Duration) -> Option<Duration> {
    clock.sleep(at - clock.now()).await;
    match tokens.health() {
        Health::Serving => None,
        Health::Waiting { lasting, cause } => {
            assert_eq!(cause.to_string(), "away");
            Some(lasting)
        }
        health => panic!("{health:?}"),
    }
}

/// Would catch a vault that says that it serves, during an outage, until its first mutation
/// has ended; one that counts the outage from there; and one that goes on saying that it waits
/// once Redis has answered. The mutation meets the outage when it reads, when it writes, or when
/// it finds out its outcome.
#[test]
fn a_vault_waits_from_its_first_failed_attempt() {
    // When it begins, when the mutation notices it, and when it ends.
    for (spares_loads, from, noticed) in [(false, 0, 1), (true, 0, 1), (false, 2, 2)] {
        let (clock, tokens) = tokens(Outage {
            from: from * SECOND,
            until: 12 * SECOND,
            spares_loads,
            ..Outage::default()
        });
        let looked = async {
            let half = SECOND / 2;
            let mut lasting = Vec::new();
            for second in [0, noticed, 8] {
                lasting.push(waits(&clock, &tokens, second * SECOND + half).await);
            }
            lasting
        };
        let (ended, lasting) = clock.run(join(set(&tokens), looked)).unwrap();
        ended.unwrap();
        let half = SECOND / 2;
        let expected = [None, Some(half), Some((8 - noticed) * SECOND + half)];
        assert_eq!(lasting, expected, "{spares_loads} {from}");
        assert_eq!(tokens.health(), Health::Serving);
    }
    let (clock, tokens) = tokens(Outage {
        until: 18 * SECOND,
        spares_loads: true,
        ..Outage::default()
    });
    // No attempt is made in the last quarter, in which its outcome is found out.
    let looked = waits(&clock, &tokens, 17 * SECOND);
    let (ended, lasting) = clock.run(join(set(&tokens), looked)).unwrap();
    assert!(
        matches!(ended, Err(MutateError::NotApplied(_))),
        "{ended:?}"
    );
    assert_eq!(lasting, Some(16 * SECOND));
}

/// Would catch a mutation that was applied before an outage, and says that Redis answers when
/// it ends during it.
#[test]
fn what_was_applied_before_an_outage_does_not_end_it() {
    let (clock, tokens) = tokens(Outage {
        from: 4 * SECOND,
        until: 14 * SECOND,
        release: 6 * SECOND,
        ..Outage::default()
    });
    let first = async {
        set(&tokens).await.unwrap();
        assert_eq!(clock.now(), 8 * SECOND);
        assert!(!tokens.health().is_serving());
    };
    let second = async {
        clock.sleep(3 * SECOND).await;
        set(&tokens).await.unwrap();
    };
    clock.run(join(first, second)).unwrap();
    assert_eq!(tokens.health(), Health::Serving);
}
