//! `bench audit`: replicas that append to one chain at the same time.

use std::{future::Future, time::Duration};

use haechi_store_redis::{
    AppendError,
    audit::AuditSink,
    chain::Event,
    clock::{Clock, SystemClock, iso8601},
    redis::{LockWaits, NotReady},
};

use crate::{
    args::Global,
    bench::{Bench, Counts, Fault, Options, Replica, Words},
    console::Console,
    exit::{Exit, Failure},
};

/// Measure replicas that append to one chain at the same time
#[derive(clap::Args, Debug)]
#[command(
    mut_arg("replicas", |arg| arg.help("Sinks with a connection each, as so many processes would have")),
    mut_arg("writers", |arg| arg.help("Callers in each replica, every one with one append in flight")),
    mut_arg("lock", |arg| arg.help("Whether to take the contention lock before each batch")),
    mut_arg("ops", |arg| arg.help("Appends in all")),
    after_help = "\
Prints {\"opsPerSecond\", \"p50Ms\", \"p99Ms\", \"committed\", \"conflicts\", \"retries\", \"lockWaits\", \"failed\", …}. \
Its keys have a random prefix and are deleted at the end, also after Ctrl-C. With --durability fsync \
or replicas:N the same is measured with memory first, and both are compared.

Example:
  haechi-store bench audit --replicas 4 --writers 16 --ops 50000")]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,

    /// Bytes of each event, if that is more than a typical one has
    #[arg(long, value_name = "B", default_value_t = 0)]
    event_bytes: usize,
}

const WORDS: Words = Words {
    operations: "appends",
    begun: "appends begun",
    done: "appended",
    counted: "appends",
    rate: "appends a second",
};

#[derive(Clone)]
struct Appender {
    sink: AuditSink,
    waits: LockWaits,
    clock: SystemClock,
    deadline: Duration,
    event_bytes: usize,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let bench = Bench::new(&args.options, global, console)?;
    let replicas = async |bench: &Bench<'_>| replicas(bench, args.event_bytes).await;
    bench.run(replicas, &WORDS, None).await
}

async fn replicas(bench: &Bench<'_>, event_bytes: usize) -> Result<Vec<Appender>, Failure> {
    let mut replicas = Vec::new();
    for _ in 0..bench.options.replicas.get() {
        let store = bench.builder().audit_store(bench.client.clone());
        // Also opens the connection, so that no append is timed with it.
        for (reason, cause) in store.ready().await.faults {
            // An evicting policy loses nothing that a benchmark would miss.
            if reason != NotReady::Evicting {
                return Err(bench.cannot_measure(format!("{reason}: {cause}")));
            }
        }
        replicas.push(Appender {
            waits: store.lock_waits(),
            sink: bench.builder().audit_sink(store),
            clock: SystemClock::new(),
            deadline: bench.global.deadline,
            event_bytes,
        });
    }
    Ok(replicas)
}

impl Replica for Appender {
    fn operation(&self, number: u64) -> impl Future<Output = Result<(), Fault>> + Send {
        let event = Event::from_json(&typical(number, &self.clock, self.event_bytes));
        async move {
            let appended = match event {
                Ok(event) => self.sink.record(event).await,
                Err(error) => Err(error.into()),
            };
            appended.map(drop).map_err(|error| Fault {
                is_unknown: matches!(error, AppendError::Unknown { .. }),
                error: error.to_string(),
            })
        }
    }

    async fn count(&self, counts: &mut Counts) {
        self.sink.close(self.deadline).await;
        let met = self.sink.stats();
        *counts.batches.get_or_insert(0) += met.batches;
        counts.conflicts += met.conflicts;
        counts.retries += met.retries;
        counts.lock_waits += self.waits.count();
        *counts.not_yet_durable.get_or_insert(0) += met.not_yet_durable;
    }
}

/// An event such as a service writes, of at least so many bytes.
fn typical(number: u64, clock: &SystemClock, bytes: usize) -> String {
    let event = |more: usize| {
        format!(
            concat!(
                r#"{{"id":"bench-{:012}","timestamp":"{}","protocol":"openai","operation":"chat{}","#,
                r#""mode":"enforce","enforced":true,"blocked":false,"decision":"allow","#,
                r#""summary":{{"detectionCount":2,"byType":{{"email":1,"card":1}},"#,
                r#""byAction":{{"tokenize":2}}}}}}"#
            ),
            number,
            iso8601(clock.wall()),
            // The audit chain keeps no white space outside of strings.
            format_args!("{:more$}", "")
        )
    };
    let typical = event(0);
    match bytes.saturating_sub(typical.len()) {
        0 => typical,
        more => event(more),
    }
}
