//! The costs of an append and a verification, each compared with the minimum
//! for the same bytes, measured in the same run: the figures are ratios.
//!
//! `cargo bench --bench append`; it starts a redis-server of its own.
#![allow(missing_docs, clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use haechi_store_redis::{
    Builder,
    audit::{AuditSink, store::Batch},
    chain::{AppendId, Event, Head, Record, Verifier},
    redis::{
        AuditKeys, AuditPrefix,
        script::{APPEND, Script, append_call},
    },
};
use redis::aio::MultiplexedConnection;
use redis_sim::server_process::RedisServer;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

/// The event of the operator's benchmark.
const EVENT: &str = r#"{"id":"evt-0001","timestamp":"2026-01-01T00:00:00.000Z","protocol":"openai","operation":"chat","mode":"enforce","enforced":true,"blocked":false,"decision":"allow","summary":{"detectionCount":2,"byType":{"email":1,"card":1},"byAction":{"tokenize":2}}}"#;

/// Nanoseconds per iteration of every sample, by name.
#[derive(Default)]
struct Samples(RefCell<BTreeMap<&'static str, Vec<f64>>>);

impl Samples {
    fn add(&self, name: &'static str, iterations: u64, took: Duration) -> Duration {
        let each = took.as_secs_f64() * 1e9 / iterations as f64;
        self.0.borrow_mut().entry(name).or_default().push(each);
        took
    }

    /// `None` if a filter on the command line excluded it.
    fn median(&self, name: &str) -> Option<f64> {
        let mut samples = self.0.borrow().get(name)?.clone();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    }

    /// Prints our speed relative to the bare one's.
    fn compare(&self, ours: &str, bare: &str) {
        if let (Some(ours_ns), Some(bare_ns)) = (self.median(ours), self.median(bare)) {
            println!(
                "{ours}: {:.0}% of the speed of {bare} ({:.2} against {:.2} µs each)\n",
                100.0 * bare_ns / ours_ns,
                ours_ns / 1e3,
                bare_ns / 1e3
            );
        }
    }
}

/// A redis-server, a runtime, and a counter for unused prefixes.
struct Bench {
    server: RedisServer,
    runtime: Runtime,
    prefixes: RefCell<u64>,
}

impl Bench {
    fn prefix(&self) -> AuditPrefix {
        *self.prefixes.borrow_mut() += 1;
        AuditPrefix::new(format!("bench:{}:", self.prefixes.borrow()))
    }

    fn client(&self) -> redis::Client {
        redis::Client::open(self.server.url()).unwrap()
    }

    async fn connection(&self) -> MultiplexedConnection {
        let client = self.client();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    async fn flush(&self) {
        let mut connection = self.connection().await;
        let flush = redis::cmd("FLUSHALL");
        flush.query_async::<()>(&mut connection).await.unwrap();
    }

    async fn sink(&self) -> AuditSink {
        self.flush().await;
        let builder = Builder::new().audit_prefix(self.prefix());
        let sink = builder.open_audit(self.client()).await.unwrap();
        // The first append reads the head and loads the script.
        sink.record(event()).await.unwrap();
        sink
    }
}

fn event() -> Event {
    Event::from_json(EVENT).unwrap()
}

fn chain(length: u64) -> Vec<Record> {
    let mut head = Head::Empty;
    (0..length)
        .map(|number| {
            let id = AppendId::from_bytes(u128::from(number).to_be_bytes());
            let record = event().seal(Some(&id), &head).unwrap();
            head = Head::At(record.position());
            record
        })
        .collect()
}

/// One caller, one append at a time; compared with the append script with
/// prepared arguments.
fn one_by_one(criterion: &mut Criterion, bench: &Bench, samples: &Samples) {
    let mut group = criterion.benchmark_group("1x1");
    group.bench_function("append", |bencher| {
        bencher.iter_custom(|iterations| {
            bench.runtime.block_on(async {
                let sink = bench.sink().await;
                let started = Instant::now();
                for _ in 0..iterations {
                    black_box(sink.record(event()).await.unwrap());
                }
                samples.add("appends at 1x1", iterations, started.elapsed())
            })
        });
    });
    group.bench_function("bare script", |bencher| {
        bencher.iter_custom(|iterations| {
            bench.runtime.block_on(async {
                bench.flush().await;
                let mut connection = bench.connection().await;
                let script = Script::new(APPEND);
                let load = script.load();
                load.query_async::<()>(&mut connection).await.unwrap();
                let keys = AuditKeys::new(bench.prefix());
                let mut base = Head::Empty;
                let calls: Vec<_> = chain(iterations)
                    .iter()
                    .map(|record| {
                        let batch = Batch {
                            base,
                            records: std::slice::from_ref(record),
                            seen: base.position(),
                            resent: false,
                        };
                        base = Head::At(record.position());
                        append_call(&script, &keys, &batch).unwrap()
                    })
                    .collect();
                let started = Instant::now();
                for call in &calls {
                    let reply: redis::Value = call.query_async(&mut connection).await.unwrap();
                    black_box(reply);
                }
                samples.add("the bare script", iterations, started.elapsed())
            })
        });
    });
    group.finish();
    samples.compare("appends at 1x1", "the bare script");
}

/// 64 callers of one sink; compared with the same bytes pushed in pipelines of
/// 64.
fn sixty_four(criterion: &mut Criterion, bench: &Bench, samples: &Samples) {
    const CALLERS: u64 = 64;
    let mut group = criterion.benchmark_group("1x64");
    group.throughput(Throughput::Elements(CALLERS));
    group.bench_function("append", |bencher| {
        bencher.iter_custom(|iterations| {
            bench.runtime.block_on(async {
                let sink = bench.sink().await;
                let started = Instant::now();
                let callers: Vec<_> = (0..CALLERS)
                    .map(|_| {
                        let sink = sink.clone();
                        tokio::spawn(async move {
                            for _ in 0..iterations {
                                black_box(sink.record(event()).await.unwrap());
                            }
                        })
                    })
                    .collect();
                for caller in callers {
                    caller.await.unwrap();
                }
                samples.add("appends at 1x64", iterations * CALLERS, started.elapsed())
            })
        });
    });
    group.bench_function("pipelined RPUSH", |bencher| {
        let records = chain(CALLERS);
        bencher.iter_custom(|iterations| {
            bench.runtime.block_on(async {
                bench.flush().await;
                let mut connection = bench.connection().await;
                let started = Instant::now();
                for _ in 0..iterations {
                    let mut pipeline = redis::pipe();
                    for record in &records {
                        pipeline.cmd("RPUSH").arg("list").arg(record.text());
                    }
                    let reply: redis::Value = pipeline.query_async(&mut connection).await.unwrap();
                    black_box(reply);
                }
                samples.add("pipelined RPUSH", iterations * CALLERS, started.elapsed())
            })
        });
    });
    group.finish();
    samples.compare("appends at 1x64", "pipelined RPUSH");
}

/// Verifying a chain; compared with SHA-256 over the same bytes.
fn verify(criterion: &mut Criterion, samples: &Samples) {
    const RECORDS: u64 = 1000;
    let records = chain(RECORDS);
    let bytes: usize = records.iter().map(|record| record.text().len()).sum();
    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("verify", |bencher| {
        bencher.iter_custom(|iterations| {
            let started = Instant::now();
            for _ in 0..iterations {
                let mut verifier = Verifier::new();
                for record in &records {
                    black_box(verifier.line(record.text().as_bytes()));
                }
                assert!(verifier.finish().is_valid());
            }
            samples.add("verifying", iterations * RECORDS, started.elapsed())
        });
    });
    group.bench_function("sha256", |bencher| {
        bencher.iter_custom(|iterations| {
            let started = Instant::now();
            for _ in 0..iterations {
                for record in &records {
                    black_box(Sha256::digest(record.text()));
                }
            }
            samples.add("SHA-256 alone", iterations * RECORDS, started.elapsed())
        });
    });
    group.finish();
    samples.compare("verifying", "SHA-256 alone");
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let bench = Bench {
        server: RedisServer::start().unwrap(),
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap(),
        prefixes: RefCell::new(0),
    };
    let samples = Samples::default();
    one_by_one(&mut criterion, &bench, &samples);
    sixty_four(&mut criterion, &bench, &samples);
    verify(&mut criterion, &samples);
    criterion.final_summary();
}
