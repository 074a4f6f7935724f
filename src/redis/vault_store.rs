//! The token vault in Redis: five keys, and the scripts that change them
//! together.

use std::time::{Duration, SystemTime};

use redis::Client;

use super::{
    connect::Connect,
    durable::DurableLink,
    keys::{VaultKeys, VaultPrefix},
    link::{Link, Timeouts},
    lock::{ContentionLock, Lease, LockPolicy, LockWaits},
    script::{SCRIPTS, add_observed, add_receipts, apply_call, apply_reply, compared, number},
    vault_reply::{self, Ended},
};
use crate::{
    clock::{Clock, SystemClock, epoch_millis},
    durability::{Durability, DurabilityStatus},
    entropy::{Entropy, SystemEntropy},
    error::AttemptError,
    health::Health,
    telemetry::Telemetry,
    vault::{
        MutationId, VaultConfig,
        store::{
            Applied, Attempt, Due, Fate, Indexed, Load, Loaded, Observed, Page, Receipt,
            ReceiptSeq, VaultStore,
        },
    },
};

/// The configuration of a Redis vault.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RedisVaultConfig {
    /// The prefix of its keys.
    pub prefix: VaultPrefix,
    /// Timeouts of the connection.
    pub timeouts: Timeouts,
    /// When to take the contention lock.
    pub lock: LockPolicy,
    /// How durable a write must be before it counts as done.
    pub durability: Durability,
    /// The longest deadline of mutations: Redis keeps all receipts at least so long, from
    /// then on and at most an hour. A receipt takes some 190 bytes.
    pub deadline: Duration,
}

impl Default for RedisVaultConfig {
    fn default() -> Self {
        Self {
            prefix: VaultPrefix::default(),
            timeouts: Timeouts::default(),
            lock: LockPolicy::default(),
            durability: Durability::default(),
            deadline: VaultConfig::default().deadline,
        }
    }
}

/// A token vault in Redis.
///
/// A mutation is two scripts and two round trips, one to read its tokens and
/// one to apply its changes, independent of the size of the vault. A conflict's
/// reply contains what the next attempt has to read.
pub struct RedisVaultStore<N: Connect = Client, C = SystemClock, E = SystemEntropy> {
    link: Link<N, C>,
    durable: DurableLink<N, C>,
    clock: C,
    entropy: E,
    keys: VaultKeys,
    lock: ContentionLock,
    deadline: Duration,
}

impl<N: Connect, C: Clock, E: Entropy> RedisVaultStore<N, C, E> {
    /// A vault that connects at its first use.
    pub fn new(connect: N, config: RedisVaultConfig, clock: C, entropy: E) -> Self {
        let connect = connect.serving(&VaultKeys::new(config.prefix.clone()).version);
        let link = Link::new(connect, clock.clone(), config.timeouts);
        Self::over(link, config, clock, entropy)
    }

    /// A vault that shares a connection; the link's timeouts apply.
    pub fn over(link: Link<N, C>, config: RedisVaultConfig, clock: C, entropy: E) -> Self {
        let keys = VaultKeys::new(config.prefix);
        let link = link.told_as(Telemetry::of(&keys.prefix.to_string()));
        Self {
            durable: DurableLink::new(&link, config.durability),
            link,
            clock,
            entropy,
            lock: ContentionLock::new(
                config.lock,
                keys.lock.clone(),
                &SCRIPTS.vault_acquire,
                // By this, apply.lua distinguishes own locks from foreign ones.
                "own:",
            ),
            keys,
            deadline: config.deadline,
        }
    }

    /// The names of its keys.
    #[must_use]
    pub fn keys(&self) -> &VaultKeys {
        &self.keys
    }

    /// Its connection.
    #[must_use]
    pub fn link(&self) -> &Link<N, C> {
        &self.link
    }

    /// The longest deadline of mutations.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// How durable its writes must be.
    pub(super) fn level(&self) -> Durability {
        self.durable.level()
    }

    /// A counter of the waits for its own lock.
    #[must_use]
    pub fn lock_waits(&self) -> LockWaits {
        self.lock.waits().clone()
    }
}

impl<N: Connect, C: Clock, E: Entropy> RedisVaultStore<N, C, E> {
    async fn confirm_ended(
        &self,
        mutations: &[MutationId],
        expected: Ended,
    ) -> Result<Vec<DurabilityStatus>, AttemptError> {
        let mut call = SCRIPTS.vault_confirm.call(&self.keys.fenced());
        for mutation in mutations {
            call.arg(mutation.to_string());
        }
        let (reply, status) = self.durable.run(&SCRIPTS.vault_confirm, &call).await?;
        let found = vault_reply::confirmed(reply, &self.keys, mutations.len())?;
        let status_of = |ended: Option<Ended>| match ended == Some(expected) {
            true => status.clone(),
            false => DurabilityStatus::NotYet(
                "the Redis that is the primary now does not have the mutation's receipt: it was \
                 rolled back; the next mutation will say so"
                    .to_owned(),
            ),
        };
        Ok(found.into_iter().map(status_of).collect())
    }
}

impl<N: Connect, C: Clock, E: Entropy> VaultStore for RedisVaultStore<N, C, E> {
    type Lease = Option<Lease>;

    fn tokens_key(&self) -> &str {
        &self.keys.tokens
    }

    async fn load(&self, what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError> {
        let mut call = SCRIPTS.vault_load.call(&self.keys.fenced());
        add_observed(&mut call, observed, self.deadline);
        let tokens = match what {
            Load::Some(tokens) => {
                call.arg("").arg("some");
                for token in tokens {
                    call.arg(token.as_str());
                }
                Some(tokens)
            }
            Load::All { intent } => {
                let intent = intent.map(|mutation| mutation.to_string());
                call.arg(intent.unwrap_or_default()).arg("all");
                None
            }
        };
        add_receipts(&mut call, observed);
        let reply = self.link.run(&SCRIPTS.vault_load, &call).await?;
        vault_reply::loaded(reply, &self.keys, tokens, observed)
    }

    async fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let call = apply_call(
            &SCRIPTS.vault_apply,
            &self.keys,
            self.deadline,
            attempt,
            observed,
        );
        let reply = self.link.run(&SCRIPTS.vault_apply, &call).await?;
        apply_reply(reply, &self.keys, attempt, observed)
    }

    async fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        let mut call = SCRIPTS.vault_settle.call(&self.keys.fenced());
        add_observed(&mut call, observed, self.deadline);
        call.arg(mutation.to_string()).arg(begun.get()).arg("");
        add_receipts(&mut call, observed);
        let reply = self.link.run(&SCRIPTS.vault_settle, &call).await?;
        vault_reply::settled(reply, &self.keys, mutation, observed)
    }

    async fn receipt(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Receipt, AttemptError> {
        let mut call = SCRIPTS.vault_settle.call(&self.keys.fenced());
        add_observed(&mut call, observed, self.deadline);
        call.arg(mutation.to_string()).arg(begun.get()).arg("look");
        add_receipts(&mut call, observed);
        let reply = self.link.run(&SCRIPTS.vault_settle, &call).await?;
        vault_reply::receipt(reply, &self.keys, mutation, observed)
    }

    async fn due(&self, own: SystemTime, limit: usize) -> Result<Due, AttemptError> {
        let mut call = SCRIPTS.vault_due.call(&self.keys.fenced());
        call.arg(epoch_millis(own)).arg(limit);
        let reply = self.link.run(&SCRIPTS.vault_due, &call).await?;
        vault_reply::due(reply, &self.keys)
    }

    async fn index(&self, tokens: &[Indexed], whole: Option<u64>) -> Result<(), AttemptError> {
        let mut call = SCRIPTS.vault_index.call(&self.keys.fenced());
        number(&mut call, whole);
        for indexed in tokens {
            compared(&mut call, &indexed.token, indexed.read.as_ref());
            number(&mut call, indexed.expires.map(epoch_millis));
        }
        let reply = self.link.run(&SCRIPTS.vault_index, &call).await?;
        vault_reply::indexed(reply, &self.keys)
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<Page, AttemptError> {
        let mut call = SCRIPTS.vault_scan.call(&self.keys.fenced());
        call.arg(cursor).arg(count.max(1));
        let reply = self.link.run(&SCRIPTS.vault_scan, &call).await?;
        vault_reply::page(reply, &self.keys)
    }

    fn durability(&self) -> Durability {
        self.durable.level()
    }

    fn health(&self) -> Health {
        self.link.health()
    }

    async fn confirm(
        &self,
        mutations: &[MutationId],
    ) -> Result<Vec<DurabilityStatus>, AttemptError> {
        self.confirm_ended(mutations, Ended::Applied).await
    }

    async fn confirm_dropped(
        &self,
        mutation: MutationId,
    ) -> Result<DurabilityStatus, AttemptError> {
        let statuses = self.confirm_ended(&[mutation], Ended::Dropped).await?;
        Ok(statuses
            .into_iter()
            .fold(DurabilityStatus::AsAsked, DurabilityStatus::and))
    }

    async fn lease(&self) -> Option<Lease> {
        self.lock
            .acquire(&self.link, &self.clock, &self.entropy)
            .await
    }

    async fn release(&self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            self.lock.release(&self.link, lease).await;
        }
    }
}

impl<N: Connect, C, E> std::fmt::Debug for RedisVaultStore<N, C, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisVaultStore")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
