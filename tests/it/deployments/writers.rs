//! Writers of chain and vault, and what is left of what they were told.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    Builder, Durability, DurabilityStatus,
    audit::Pages,
    clock::{Clock, SystemClock},
    redis::{AuditPrefix, Endpoint, VaultPrefix},
    vault::{Stored, TokenId, View},
};
use tokio::task::JoinHandle;

use crate::support::{event, verified};

/// The hash tag of the store's prefixes.
pub(super) const SLOT: &str = "{haechi}";

/// Between two questions.
pub(super) async fn pause() {
    SystemClock::new().sleep(Duration::from_millis(5)).await;
}

pub(super) fn builder() -> Builder {
    Builder::new()
        .audit_prefix(AuditPrefix::new(format!("{SLOT}:audit:")))
        .vault_prefix(VaultPrefix::new(format!("{SLOT}:tv:")))
        .deadline(Duration::from_secs(20))
}

pub(super) fn token(name: usize) -> TokenId {
    TokenId::new(&format!("tok_email_{name:032x}")).unwrap()
}

/// Counts the mutations that are applied.
pub(super) fn counter() -> TokenId {
    TokenId::new("counter").unwrap()
}

fn counted(value: Option<&Stored>) -> usize {
    value.map_or(0, |value| {
        std::str::from_utf8(value.bytes()).unwrap().parse().unwrap()
    })
}

/// A mutation that would show if it was applied twice.
pub(super) fn write(name: usize) -> impl Fn(&mut View) + Clone + Send + Sync + 'static {
    move |view| {
        view.set(&token(name), Stored::from(b"{}".to_vec()));
        let count = counted(view.get(&counter()).as_ref()) + 1;
        view.set(&counter(), Stored::from(count.to_string().into_bytes()));
    }
}

/// What is in chain and vault, or what writers were told is there, by its names.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Names {
    pub(super) events: BTreeSet<usize>,
    pub(super) tokens: BTreeSet<usize>,
}

impl Names {
    /// What is not in `kept`.
    pub(super) fn lost(&self, kept: &Self) -> Self {
        Self {
            events: self.events.difference(&kept.events).copied().collect(),
            tokens: self.tokens.difference(&kept.tokens).copied().collect(),
        }
    }
}

/// What is there; nothing is repeated.
pub(super) async fn kept(endpoint: &Endpoint) -> Names {
    let store = builder().audit_store(endpoint.clone());
    verified(&store).await;
    let mut kept = Names::default();
    let mut pages = Pages::open(&store).await.unwrap().0;
    loop {
        let page = pages.next().await.unwrap();
        if page.is_empty() {
            break;
        }
        for record in page {
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
            let name = record["id"].as_str().unwrap().parse().unwrap();
            assert!(kept.events.insert(name), "{name} is repeated");
        }
    }
    let tokens = builder().token_store(builder().vault_store(endpoint.clone()));
    let entries = tokens.read(View::entries).await.unwrap();
    let mut count = 0;
    for (token, value) in entries {
        match token.as_str().strip_prefix("tok_email_") {
            Some(name) => drop(kept.tokens.insert(usize::from_str_radix(name, 16).unwrap())),
            None => count = counted(Some(&value)),
        }
    }
    assert_eq!(kept.tokens.len(), count, "a mutation is repeated");
    kept
}

pub(super) fn is_rollback(error: &impl ToString) -> bool {
    error.to_string().contains("rolled back")
}

/// What all writers share.
#[derive(Clone, Default)]
struct Shared {
    clock: SystemClock,
    stop: Arc<AtomicBool>,
    appended: Arc<AtomicUsize>,
    mutated: Arc<AtomicUsize>,
}

/// What one writer was told.
struct Told {
    /// What is as durable as asked.
    durable: BTreeSet<usize>,
    /// When it learned of a rollback.
    rolled_back: Option<Duration>,
}

impl Shared {
    /// Writes one after the other, until told to stop or of a rollback.
    async fn write<E: ToString, W: Future<Output = Result<DurabilityStatus, E>>>(
        self,
        done: Arc<AtomicUsize>,
        writer: usize,
        write: impl Fn(usize) -> W,
    ) -> Told {
        let (mut durable, mut rolled_back) = (BTreeSet::new(), None);
        for name in writer * 1_000_000.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            match write(name).await {
                Ok(status) if status.is_as_asked() => drop(durable.insert(name)),
                Ok(_) => {}
                Err(error) if is_rollback(&error) => {
                    rolled_back = Some(self.clock.now());
                    break;
                }
                Err(error) => panic!("{}", error.to_string()),
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
        Told {
            durable,
            rolled_back,
        }
    }
}

/// What all writers were told.
#[derive(Default)]
pub(super) struct Written {
    pub(super) durable: Names,
    /// When the writers of the chain that were rolled back learned of it.
    pub(super) chains: Vec<Duration>,
    /// The same of the vault.
    pub(super) vaults: Vec<Duration>,
}

impl Written {
    pub(super) fn rolled_back(&self) -> usize {
        self.chains.len() + self.vaults.len()
    }
}

/// Processes, each of which writes chain and vault at the same time.
pub(super) struct Writers {
    chains: Vec<JoinHandle<Told>>,
    vaults: Vec<JoinHandle<Told>>,
    shared: Shared,
}

impl Writers {
    /// One for each endpoint.
    pub(super) async fn start(
        endpoints: impl IntoIterator<Item = Endpoint>,
        durability: Durability,
    ) -> Self {
        let shared = Shared::default();
        let (mut chains, mut vaults) = (Vec::new(), Vec::new());
        for (writer, endpoint) in endpoints.into_iter().enumerate() {
            let builder = builder().durability(durability);
            let tokens = builder.token_store(builder.vault_store(endpoint.clone()));
            let sink = builder.open_audit(endpoint).await.unwrap();
            let append = move |name: usize| {
                let appended = sink.record(event(&name.to_string()));
                async { appended.await.map(|appended| appended.durability) }
            };
            let tokens = Arc::new(tokens);
            let mutate = move |name| {
                let tokens = tokens.clone();
                async move {
                    let reads = [token(name), counter()];
                    let done = tokens.transaction(reads, write(name)).await;
                    done.map(|done| done.durability)
                }
            };
            let done = shared.appended.clone();
            chains.push(tokio::spawn(shared.clone().write(done, writer, append)));
            let done = shared.mutated.clone();
            vaults.push(tokio::spawn(shared.clone().write(done, writer, mutate)));
        }
        Self {
            chains,
            vaults,
            shared,
        }
    }

    /// What their times are of.
    pub(super) fn clock(&self) -> SystemClock {
        self.shared.clock.clone()
    }

    /// Waits until so many more appends and mutations are done, or the writers have ended.
    pub(super) async fn go_on(&self, more: usize) {
        for (done, tasks) in [
            (&self.shared.appended, &self.chains),
            (&self.shared.mutated, &self.vaults),
        ] {
            let until = done.load(Ordering::Relaxed) + more;
            while done.load(Ordering::Relaxed) < until && !tasks.iter().all(JoinHandle::is_finished)
            {
                pause().await;
            }
        }
    }

    /// Waits until all of them were told of a rollback, or this long.
    pub(super) async fn are_told(&self, longest: Duration) {
        let until = self.shared.clock.now() + longest;
        let tasks = self.chains.iter().chain(&self.vaults);
        while self.shared.clock.now() < until && !tasks.clone().all(JoinHandle::is_finished) {
            pause().await;
        }
    }

    /// Stops them.
    pub(super) async fn end(self) -> Written {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut written = Written::default();
        for task in self.chains {
            let mut told = task.await.unwrap();
            written.durable.events.append(&mut told.durable);
            written.chains.extend(told.rolled_back);
        }
        for task in self.vaults {
            let mut told = task.await.unwrap();
            written.durable.tokens.append(&mut told.durable);
            written.vaults.extend(told.rolled_back);
        }
        written
    }

    /// All that they were told is durable is there: more than `least` of each kind.
    pub(super) async fn lose_nothing_durable(self, endpoint: &Endpoint, least: usize) {
        let written = self.end().await;
        let (durable, kept) = (&written.durable, kept(endpoint).await);
        println!(
            "{} and {} durable, {} and {} kept, {} told of a rollback",
            durable.events.len(),
            durable.tokens.len(),
            kept.events.len(),
            kept.tokens.len(),
            written.rolled_back()
        );
        assert_eq!(durable.lost(&kept), Names::default());
        assert!(durable.events.len() > least && durable.tokens.len() > least);
    }

    /// All that they have written is there, and once; how many appends and mutations.
    pub(super) async fn lose_nothing(self, endpoint: &Endpoint) -> (usize, usize) {
        let written = self.end().await;
        assert_eq!(written.rolled_back(), 0);
        assert_eq!(written.durable, kept(endpoint).await);
        (written.durable.events.len(), written.durable.tokens.len())
    }
}
