//! The three operations that contend at a fence.

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use haechi_store_redis::{
    Builder,
    audit::{AuditConfig, AuditSink},
    chain::Event,
    clock::Clock,
    entropy::Entropy,
    redis::{AuditPrefix, Connect, LockPolicy, LockTimes, RedisVaultStore, VaultPrefix},
    vault::{Mutation, TokenId, TokenStore, View},
};

/// As large as the events of the operator's benchmark.
const EVENT: &str = r#"{"id":"evt-0001","timestamp":"2026-01-01T00:00:00.000Z","protocol":"openai","operation":"chat","mode":"enforce","enforced":true,"blocked":false,"decision":"allow","summary":{"detectionCount":2,"byType":{"email":1,"card":1},"byAction":{"tokenize":2}}}"#;

/// Tokens in the vault.
pub(crate) const TOKENS: u32 = 100;

/// The kind of conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Replicas append to one chain.
    StaleHead,
    /// Replicas change the same token.
    ValueMoved,
    /// Replicas change a vault of [`TOKENS`] after reading all of it.
    VersionMoved,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::StaleHead, Self::ValueMoved, Self::VersionMoved];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StaleHead => "stale head",
            Self::ValueMoved => "value moved",
            Self::VersionMoved => "version moved",
        }
    }
}

pub(crate) const REPLICAS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

pub(crate) fn policies() -> [LockPolicy; 2] {
    [LockPolicy::None, LockPolicy::Always(LockTimes::default())]
}

pub(crate) fn policy_name(policy: LockPolicy) -> &'static str {
    match policy {
        LockPolicy::None => "none",
        LockPolicy::Always(_) => "always",
    }
}

/// One process of a service.
pub(crate) enum Replica<N: Connect, C, E> {
    Chain(AuditSink<C, E>),
    Vault(Kind, TokenStore<RedisVaultStore<N, C, E>, C, E>),
}

/// A future to run beside a replica.
pub(crate) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<N: Connect, C: Clock, E: Entropy> Replica<N, C, E> {
    pub(crate) fn new(
        kind: Kind,
        policy: LockPolicy,
        prefix: &str,
        connect: N,
        (clock, entropy): (C, E),
    ) -> (Self, Option<Driver>) {
        let builder = Builder::new()
            .clock(clock.clone())
            .entropy(entropy.clone())
            .audit_prefix(AuditPrefix::new(prefix))
            .vault_prefix(VaultPrefix::new(prefix))
            .lock(policy);
        if kind == Kind::StaleHead {
            let store = builder.audit_store(connect);
            let (sink, append_loop) =
                AuditSink::new(store, clock, entropy, AuditConfig::default(), None);
            (Self::Chain(sink), Some(Box::pin(append_loop.run())))
        } else {
            let tokens = builder.token_store(builder.vault_store(connect));
            (Self::Vault(kind, tokens), None)
        }
    }

    /// Creates what the others contend for.
    pub(crate) async fn create(&self) {
        if let Self::Vault(_, tokens) = self {
            let all = tokens.transaction((0..TOKENS).map(token), |view: &mut View| {
                (0..TOKENS).for_each(|number| view.set(&token(number), record(0)));
            });
            all.await.unwrap();
        }
    }

    /// Runs one operation; returns its number of attempts, or `None` if it was
    /// given up.
    pub(crate) async fn operate(&self) -> Option<u64> {
        let before = self.conflicts();
        let committed = match self {
            Self::Chain(sink) => sink.record(event()).await.is_ok(),
            Self::Vault(Kind::VersionMoved, tokens) => tokens.mutate(change_whole).await.is_ok(),
            Self::Vault(_, tokens) => tokens.transaction([token(0)], change_one).await.is_ok(),
        };
        // The replica runs nothing else, so all conflicts are this operation's.
        committed.then(|| self.conflicts() - before + 1)
    }

    fn conflicts(&self) -> u64 {
        match self {
            Self::Chain(sink) => sink.stats().conflicts,
            Self::Vault(_, tokens) => {
                let stats = tokens.stats();
                stats.value_conflicts + stats.version_conflicts
            }
        }
    }
}

/// Two replicas of one store, and one of another.
pub(crate) struct Duel<N: Connect, C, E> {
    pub(crate) ours: Replica<N, C, E>,
    pub(crate) rival: Replica<N, C, E>,
    pub(crate) elsewhere: Replica<N, C, E>,
}

impl<N: Connect, C: Clock, E: Entropy> Duel<N, C, E> {
    /// Opens the connections and creates what is contended for.
    pub(crate) async fn ready(&self) {
        self.ours.create().await;
        self.elsewhere.create().await;
        self.elsewhere.operate().await.unwrap();
        self.rival.operate().await.unwrap();
        self.ours.operate().await.unwrap();
    }

    /// The duration of an operation with one conflict or none, without the time
    /// of other replicas. They do the same work in both cases, so that caches
    /// are equally warm.
    pub(crate) async fn operate(&self, conflict: bool) -> Duration {
        if !conflict {
            self.elsewhere.operate().await.unwrap();
        } else if let Replica::Chain(_) = self.rival {
            self.rival.operate().await.unwrap();
        }
        let before = self.ours.conflicts();
        let started = Instant::now();
        let mut spent_by_rival = Duration::ZERO;
        match &self.ours {
            Replica::Vault(kind, tokens) if conflict => {
                let disturbed = Disturbed {
                    kind: *kind,
                    rival: Some(&self.rival),
                    spent: Duration::ZERO,
                };
                let done = if *kind == Kind::VersionMoved {
                    tokens.mutate(disturbed).await
                } else {
                    tokens.transaction([token(0)], disturbed).await
                };
                spent_by_rival = done.unwrap().output;
            }
            ours => drop(ours.operate().await.unwrap()),
        }
        let took = started.elapsed() - spent_by_rival;
        assert_eq!(self.ours.conflicts() - before, u64::from(conflict));
        took
    }
}

/// A mutation during whose first run another replica commits.
struct Disturbed<'a, N: Connect, C, E> {
    kind: Kind,
    rival: Option<&'a Replica<N, C, E>>,
    spent: Duration,
}

impl<N: Connect, C: Clock, E: Entropy> Mutation for Disturbed<'_, N, C, E> {
    type Output = Duration;

    async fn run(&mut self, view: &mut View) -> Duration {
        if self.kind == Kind::VersionMoved {
            change_whole(view);
        } else {
            change_one(view);
        }
        if let Some(rival) = self.rival.take() {
            let started = Instant::now();
            rival.operate().await.unwrap();
            self.spent += started.elapsed();
        }
        self.spent
    }
}

fn change_one(view: &mut View) {
    let read = view.get(&token(0));
    let count = read.map_or(0, |stored| count(stored.bytes()));
    view.set(&token(0), record(count + 1));
}

fn change_whole(view: &mut View) {
    let entries = view.entries();
    let first = entries
        .first()
        .map_or(0, |(_, stored)| count(stored.bytes()));
    view.set(&token(0), record(first + 1));
}

fn event() -> Event {
    Event::from_json(EVENT).unwrap()
}

fn token(number: u32) -> TokenId {
    TokenId::new(&format!("tok_email_{number:032x}")).unwrap()
}

/// A token record with the members and about the length of a real one; a count
/// stands in for the envelope, so that every change differs.
fn record(count: u64) -> String {
    format!(
        r#"{{"type":"email","createdAt":"2026-01-01T00:00:00.000Z","expiresAt":"2036-01-01T00:00:00.000Z","metadata":{{}},"envelope":{{"v":1,"alg":"A256GCM","kid":"k-0123456789abcdef","iv":"AAAAAAAAAAAAAAAA","tag":"AAAAAAAAAAAAAAAAAAAAAA","ct":"{count:020}"}},"aad":{{"type":"email"}}}}"#
    )
}

fn count(record: &[u8]) -> u64 {
    let text = std::str::from_utf8(record).unwrap();
    let (_, rest) = text.split_once(r#""ct":""#).unwrap();
    rest[..20].parse().unwrap()
}
