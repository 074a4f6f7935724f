//! One simulated process: the production sink, the production token store, and
//! callers that keep them busy.

use std::time::Duration;

use haechi_store_redis::{
    Builder,
    audit::{AuditSink, Pages, SinkConfig},
    chain::{AppendId, Event, StoredRecord},
    clock::Clock,
    entropy::Entropy,
    redis::AuditPrefix,
};
use rand::Rng;

use super::{
    clock::generator,
    config::Config,
    host::Host,
    ledger::Ledger,
    vault::{self, Caller, Secrets, Tokens},
};
use crate::{
    mutants::StoreUnderTest,
    schedule::{Act, Operation},
};
use haechi_history::Function;

/// How long a process waits before it tries something again that is not the
/// store's to repeat.
const AGAIN: Duration = Duration::from_millis(100);

/// What the simulated store is called in Redis.
pub(crate) fn prefix() -> AuditPrefix {
    AuditPrefix::default()
}

/// The store's parts as this process has them.
pub(crate) fn builder<C: Clock, E: Entropy>(
    config: &Config,
    clock: C,
    entropy: E,
) -> Builder<C, E> {
    Builder::new()
        .clock(clock)
        .entropy(entropy)
        .audit_prefix(prefix())
        .lock(config.lock_policy())
        .timeouts(config.store_timeouts())
        .sink(SinkConfig {
            deadline: Duration::from_millis(config.deadline),
            queue_capacity: config.queue_capacity,
            batch_records: config.batch_records,
            ..SinkConfig::default()
        })
}

/// A process from its start to the end of the world, or to its crash.
pub(crate) async fn run<H: Host>(host: H, config: Config, replica: usize, store: StoreUnderTest) {
    let shared = host.ledger();
    let life = shared.start_process(replica);
    let process = if life == 1 {
        format!("r{replica}")
    } else {
        format!("r{replica}.{life}")
    };
    let process = process.as_str();
    let draw = |purpose: &str| generator(config.seed, &format!("{purpose} {process}"));
    let clock = host.clock(replica);
    let entropy = host.entropy(process);
    let connect = host.connect(replica);
    shared.trace(|| format!("{process} starts"));

    let open_vault = || {
        let (connect, entropy) = (connect.clone(), entropy.clone());
        vault::open::<H>(shared, &config, &store, connect, clock.clone(), entropy)
    };
    let tokens = config.workload.has_vault().then(open_vault);
    let secrets = match (&tokens, &config.vault) {
        (Some(tokens), Some(knobs)) => {
            let (retention, store) = (knobs.retention, &store);
            let (clock, entropy) = (clock.clone(), entropy.clone());
            Secrets::<H>::open(host.safe(), tokens, retention, store, clock, entropy).await
        }
        _ => None,
    };
    let sink = loop {
        if !config.workload.has_chain() {
            break None;
        }
        let builder = builder(&config, clock.clone(), entropy.clone());
        match store.open_audit(builder, connect.clone()).await {
            Ok(sink) => break Some(sink),
            Err(error) => {
                shared.trace(|| format!("{process}: {error}"));
                host.sleep(AGAIN).await;
            }
        }
    };
    let stats = StatsOnDrop::<H>(shared, sink.as_ref(), tokens.as_ref());
    let builder = builder(&config, clock.clone(), entropy.clone());
    let reader = store.open_reader(&builder, connect.clone());
    let caller = |writer| {
        Some(Caller {
            shared,
            tokens: tokens.as_ref()?,
            secrets: secrets.as_ref(),
            clock: &clock,
            knobs: config.vault.as_ref()?,
            replica,
            process,
            writer,
        })
    };

    let writers = (0..config.writers).map(|writer| {
        let (host, store, sink, reader) = (&host, &store, &sink, &reader);
        let entropy = entropy.clone();
        let caller = caller(writer);
        async move {
            while let Some((number, operation)) = shared.take_operation(replica) {
                begins(host, replica, number, &operation).await;
                match (&operation.act, sink, &caller) {
                    (Act::Append { event: number }, Some(sink), _) => {
                        let event = event(*number, process);
                        append(shared, replica, (process, store), sink, &entropy, event).await;
                    }
                    (Act::ReadChain, Some(_), _) => read(shared, replica, process, reader).await,
                    (act, _, Some(caller)) => caller.act(act).await,
                    _ => {}
                }
            }
        }
    });
    join_all(writers).await;

    // The liveness phase: nothing counts but that it succeeds.
    if !config.settles {
        shared.prove_alive(replica);
    }
    let caller = caller(0);
    let (mut appends, mut mutates) = (sink.is_none(), caller.is_none());
    while !shared.is_alive(replica) {
        let mut rng = draw("liveness");
        let event = event(Some(rng.next_u32()), process);
        if shared.is_healed() {
            if let Some(caller) = caller.as_ref().filter(|_| !mutates) {
                mutates = caller.prove_alive(&mut rng).await;
            }
            if let Some(sink) = sink.as_ref().filter(|_| !appends) {
                appends = append(shared, replica, (process, &store), sink, &entropy, event).await;
            }
        }
        if appends && mutates {
            shared.prove_alive(replica);
        } else {
            host.sleep(AGAIN / 5).await;
        }
    }
    drop(stats);
    std::future::pending::<()>().await;
}

/// Adds the stores' counts to the world's when the process ends, however it
/// ends.
struct StatsOnDrop<'a, H: Host>(
    &'a Ledger,
    Option<&'a AuditSink<H::Clock, H::Entropy>>,
    Option<&'a Tokens<H>>,
);

impl<H: Host> Drop for StatsOnDrop<'_, H> {
    fn drop(&mut self) {
        if let Some(sink) = self.1 {
            self.0.add_stats(sink.stats());
        }
        if let Some(tokens) = self.2 {
            self.0.add_vault_stats(tokens.stats());
        }
    }
}

/// Waits until an operation that was taken is to begin.
pub(super) async fn begins<H: Host>(
    host: &H,
    replica: usize,
    number: usize,
    operation: &Operation,
) {
    if operation.think > 0 {
        host.sleep(Duration::from_millis(operation.think)).await;
    }
    let now = host.ledger().now();
    if let Some(early) = Duration::from_millis(operation.at).checked_sub(now)
        && !early.is_zero()
    {
        host.sleep(early).await;
    }
    host.ledger().begins(replica, number);
}

/// Records one event; whether it was applied.
async fn append<C: Clock, E: Entropy>(
    shared: &Ledger,
    replica: usize,
    (process, store): (&str, &StoreUnderTest),
    sink: &AuditSink<C, E>,
    entropy: &E,
    event: Option<Event>,
) -> bool {
    let mut id = [0; 16];
    let (Some(event), Ok(())) = (event, entropy.fill(&mut id)) else {
        return false;
    };
    let append_id = store.append_id(AppendId::from_bytes(id));
    let Some(op) = shared.invoke(replica, process, Function::Append, Some(append_id)) else {
        return false;
    };
    let outcome = store.record(sink, append_id, event).await;
    shared.end_append(replica, process, op, &outcome);
    outcome.is_ok()
}

/// Reads the whole chain, as an auditor would.
async fn read(
    shared: &Ledger,
    replica: usize,
    process: &str,
    store: &impl haechi_store_redis::audit::AuditStore,
) {
    let Some(op) = shared.invoke(replica, process, Function::ReadChain, None) else {
        return;
    };
    let hashes = async {
        let (mut pages, _) = Pages::open(store)
            .await
            .map_err(|error| error.to_string())?;
        let mut hashes = Vec::new();
        loop {
            let page = pages.next().await.map_err(|error| error.to_string())?;
            if page.is_empty() {
                return Ok(hashes);
            }
            for record in page {
                let record = StoredRecord::parse(&record).map_err(|error| error.to_string())?;
                hashes.push(record.position.event_hash.to_string());
            }
        }
    };
    shared.end_read(replica, process, op, hashes.await);
}

/// An event: the one of this number, or the one that all processes record,
/// byte for byte.
fn event(number: Option<u32>, process: &str) -> Option<Event> {
    let text = match number {
        None => r#"{"operation":"heartbeat"}"#.to_owned(),
        Some(number) => {
            format!(r#"{{"id":"{process}-{number:08x}","operation":"protect","message":"secret"}}"#)
        }
    };
    Event::from_json(&text).ok()
}

/// Runs futures side by side on this task: no thread, no hash map, and the
/// same order at every run.
async fn join_all<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut futures: Vec<_> = futures.map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(|cx| {
        let mut done = true;
        for slot in &mut futures {
            if let Some(future) = slot {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(()) => *slot = None,
                    std::task::Poll::Pending => done = false,
                }
            }
        }
        if done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}
