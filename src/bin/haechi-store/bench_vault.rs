//! `bench vault`: replicas that tokenize into one vault at the same time. The
//! keys are in memory.

use std::{future::Future, slice, sync::Arc};

use haechi_store_redis::{
    RedisTokenVault,
    clock::SystemClock,
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
    redis::Endpoint,
    redis::{LockWaits, NotReady},
    vault::{
        Details, Deterministic, TokenId, TokenType, TokenizeError, VaultPolicy,
        store::{Load, Observed, VaultStore},
    },
};

use crate::{
    args::Global,
    bench::{Bench, Counts, Fault, Options, Replica, Words},
    console::Console,
    exit::{Exit, Failure},
};

/// Measure replicas that tokenize into one vault at the same time
#[derive(clap::Args, Debug)]
#[command(
    mut_arg("replicas", |arg| arg.help("Vaults with a connection each, as so many processes would have")),
    mut_arg("writers", |arg| arg.help("Callers in each replica, every one with one plaintext in flight")),
    mut_arg("lock", |arg| arg.help("Whether to take the contention lock before each mutation")),
    mut_arg("ops", |arg| arg.help("Plaintexts in all")),
    after_help = "\
Tokenizes N values that are new to a vault of S tokens, deterministically. Prints \
{\"opsPerSecond\", \"p50Ms\", \"p99Ms\", \"committed\", \"conflicts\", \"retries\", \"lockWaits\", \"failed\", …}. \
Its keys have a random prefix and are deleted at the end, also after Ctrl-C. With --durability fsync \
or replicas:N the same is measured with memory first, and both are compared.

Example:
  haechi-store bench vault --vault-size 1000000 --ops 1000")]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,

    /// Tokens that the vault holds before the first
    #[arg(long, value_name = "S", default_value = "1000")]
    vault_size: u64,
}

const WORDS: Words = Words {
    operations: "plaintexts",
    begun: "plaintexts begun",
    done: "tokenized",
    counted: "tokenized",
    rate: "a second",
};

#[derive(Clone)]
struct Tokenizer {
    vault: RedisTokenVault<LocalKeys<MemoryKeys>, Endpoint>,
    waits: LockWaits,
    token_type: TokenType,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let bench = Bench::new(&args.options, global, console)?;
    let replicas = async |bench: &Bench<'_>| replicas(bench, args.vault_size).await;
    bench.run(replicas, &WORDS, Some(args.vault_size)).await
}

async fn replicas(bench: &Bench<'_>, vault_size: u64) -> Result<Vec<Tokenizer>, Failure> {
    let keys = keys().await?;
    let builder = bench.builder();
    // Tokenizing is not audited: nothing is sent to this one.
    let audit = bench
        .builder()
        .audit_sink(builder.audit_store(bench.client.clone()));
    let mut policy = VaultPolicy::default();
    policy.deterministic = Deterministic::All;
    let token_type = TokenType::new("email").map_err(|error| bench.cannot_measure(error))?;
    let mut replicas = Vec::new();
    for _ in 0..bench.options.replicas.get() {
        let store = builder.vault_store(bench.client.clone());
        // Also opens the connection, so that nothing is timed with it.
        for (reason, cause) in store.ready().await.faults {
            // An evicting policy loses nothing that a benchmark would miss.
            if reason != NotReady::Evicting {
                return Err(bench.cannot_measure(format!("{reason}: {cause}")));
            }
        }
        replicas.push(Tokenizer {
            waits: store.lock_waits(),
            vault: builder.token_vault(store, keys.clone(), audit.clone(), policy.clone()),
            token_type: token_type.clone(),
        });
    }
    if let Some(first) = replicas.first() {
        first.fill(vault_size, bench).await?;
    }
    Ok(replicas)
}

async fn keys() -> Result<Arc<LocalKeys<MemoryKeys, SystemClock, SystemEntropy>>, Failure> {
    let (storage, clock) = (MemoryKeys::new(), SystemClock::new());
    let failed = |error| Failure::error(format!("{error}; nothing was measured"));
    manage::init(&storage, &clock, &SystemEntropy)
        .await
        .map_err(failed)?;
    LocalKeys::open(storage, clock, SystemEntropy, Counting::Persisted)
        .await
        .map(Arc::new)
        .map_err(failed)
}

/// Tokens written in one command while the vault is filled.
const FILLED_AT_ONCE: u64 = 500;

impl Tokenizer {
    async fn tokenize(&self, plaintext: &str) -> Result<TokenId, TokenizeError> {
        let details = Details::default();
        let made = self.vault.tokenize(&self.token_type, plaintext, details);
        Ok(made.await?.token)
    }

    /// Fills the vault with copies of one token's record.
    async fn fill(&self, size: u64, bench: &Bench<'_>) -> Result<(), Failure> {
        let first = self.tokenize("the first").await;
        let first = first.map_err(|error| bench.cannot_measure(error))?;
        let store = self.vault.tokens().store();
        let (wanted, observed) = (Load::Some(slice::from_ref(&first)), Observed::default());
        let loaded = store.load(wanted, &observed).await;
        let loaded = loaded.map_err(|error| bench.cannot_measure(error))?;
        let Some(Some(record)) = loaded.tokens.get(&first) else {
            return Err(bench.cannot_measure("a token that was just made is gone"));
        };
        let mut progress = bench.console.progress("tokens to begin with");
        let mut filled = 1;
        while filled < size {
            let until = size.min(filled + FILLED_AT_ONCE);
            let mut set = redis::cmd("HSET");
            set.arg(&store.keys().tokens);
            for number in filled..until {
                set.arg(format!("tok_bench_{number:032x}"))
                    .arg(record.bytes());
            }
            let sent = store.link().send(&set).await;
            sent.map_err(|error| bench.cannot_measure(error))?;
            filled = until;
            progress.at(filled, Some(size));
        }
        Ok(())
    }
}

impl Replica for Tokenizer {
    fn operation(&self, number: u64) -> impl Future<Output = Result<(), Fault>> + Send {
        let plaintext = format!("bench-{number:012}@example.com");
        async move {
            let made = self.tokenize(&plaintext).await;
            made.map(drop).map_err(|error| Fault {
                is_unknown: matches!(error, TokenizeError::Unknown(_)),
                error: error.to_string(),
            })
        }
    }

    async fn count(&self, counts: &mut Counts) {
        let met = self.vault.tokens().stats();
        counts.conflicts += met.value_conflicts + met.version_conflicts;
        counts.retries += met.retries;
        counts.lock_waits += self.waits.count();
        *counts.not_yet_durable.get_or_insert(0) += met.not_yet_durable;
    }
}
