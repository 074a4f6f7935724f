//! The example `axum_service` as a system under simulated faults: its own handlers, on a
//! simulated Redis and clock. Requests come in below HTTP. `service.rs` is a symbolic link to the
//! example's, so that the package of this crate has it, too.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Response, header::CONTENT_TYPE},
};
use haechi_sim::system::{
    CheckError, Connection, Failure, Harness, Process, Random, Run, Setup, Summary, System,
    Violation,
};
use haechi_store_redis::{
    Builder,
    chain::Verifier,
    clock::Clock,
    crypto::{Counting, KeyStorage, MemoryKeys, manage},
    entropy::Entropy,
    redis::{Connect, client::RedisResult},
    test_util::{FixedEntropy, ManualClock},
    vault::{Deterministic, RevealPolicy, VaultPolicy},
};
use metrics_exporter_prometheus::PrometheusBuilder;
use redis_sim::Reply;
use serde_json::{Value, json};
use tower::ServiceExt;

#[allow(dead_code, reason = "a process that is killed does not close it")]
mod service;

/// What the service runs on here.
mod platform {
    pub(crate) use super::{Randomness, Redis, Time};
    pub(crate) use haechi_store_redis::crypto::MemoryKeys as KeyPlace;
}

#[derive(Clone)]
pub(crate) struct Time(Process);

impl Clock for Time {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.0.wall()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

#[derive(Clone)]
pub(crate) struct Randomness(Process);

impl Entropy for Randomness {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.random().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[derive(Clone)]
pub(crate) struct Redis(Process);

impl Connect for Redis {
    type Connection = Connection;

    async fn connect(&self) -> RedisResult<Connection> {
        self.0.connect(0).await
    }
}

/// The replicas of the service, with the text of the key file that they share.
struct Replicas {
    keys: String,
}

#[derive(Clone, Debug)]
enum Ask {
    /// Puts a customer's address into the vault.
    Add(u64),
    /// Gets it, by the token that this replica gave out last for it.
    Show(u64),
}

/// A status that is not an error of the server.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    /// The id of the request's record.
    id: String,
    body: Value,
}

/// A replica that serves.
struct Serving {
    router: Router,
    tokens: BTreeMap<u64, String>,
}

fn address(customer: u64) -> String {
    format!("customer{customer}@example.com")
}

impl Replicas {
    fn new() -> Self {
        let keys = MemoryKeys::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let text = runtime.unwrap().block_on(async {
            manage::init(
                &keys,
                &ManualClock::at(Duration::ZERO),
                &FixedEntropy(Some(7)),
            )
            .await
            .unwrap();
            keys.load().await.unwrap().unwrap()
        });
        Self {
            keys: text.to_string(),
        }
    }
}

async fn open(process: &Process, text: &str) -> Option<service::Service> {
    let (time, randomness) = (Time(process.clone()), Randomness(process.clone()));
    let keys = MemoryKeys::from_text(text);
    let keys = service::Keys::open(keys, time.clone(), randomness.clone(), Counting::Persisted);
    let mut policy = VaultPolicy::default();
    policy.deterministic = Deterministic::All;
    policy.reveal = RevealPolicy::Allowed("test".to_owned());
    let builder = Builder::new()
        .clock(time.clone())
        .entropy(randomness.clone());
    let builder = builder.deadline(Duration::from_secs(3));
    let platform = (Redis(process.clone()), time, randomness);
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let opened = service::Service::open(platform, builder, keys.await.ok()?, policy, metrics);
    opened.await.ok()
}

impl System for Replicas {
    type Operation = Ask;
    type Answer = Answer;
    type Client = Serving;

    fn setup(&self) -> Setup {
        Setup {
            patience: Duration::from_secs(60),
            ..Setup::default()
        }
    }

    fn draw(&self, random: &mut Random) -> Ask {
        match random.one_in(3) {
            true => Ask::Show(random.below(4)),
            false => Ask::Add(random.below(4)),
        }
    }

    async fn start(&self, process: Process) -> Serving {
        // As what restarts a service that cannot start.
        let service = loop {
            if let Some(service) = open(&process, &self.keys).await {
                break service;
            }
            process.mark("not_started");
            process.sleep(Duration::from_millis(100)).await;
        };
        Serving {
            router: service.router(),
            tokens: BTreeMap::new(),
        }
    }

    async fn act(&self, client: &mut Serving, asked: Ask) -> Result<Answer, Failure> {
        let request = match &asked {
            Ask::Add(customer) => Request::post("/customers")
                .header(CONTENT_TYPE, "application/json")
                .body(Body::from(json!({"email": address(*customer)}).to_string())),
            Ask::Show(customer) => {
                let token = client.tokens.get(customer).map_or("none", String::as_str);
                Request::get(format!("/customers/{token}")).body(Body::empty())
            }
        };
        let request = request.map_err(Failure::not_applied)?;
        let response: Response<Body> = match client.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        if head.status.is_server_error() {
            return Err(Failure::unknown(head.status));
        }
        let id = head
            .headers
            .get("x-request-id")
            .and_then(|id| id.to_str().ok());
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let answer = Answer {
            status: head.status.as_u16(),
            id: id.unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        if let (Ask::Add(customer), Some(token)) = (asked, answer.body["token"].as_str()) {
            client.tokens.insert(customer, token.to_owned());
        }
        Ok(answer)
    }

    fn check(&self, run: &Run<Self>) -> Result<Vec<Violation>, CheckError> {
        let violation = |name, calls, reason| Ok(vec![Violation::new(name, calls, reason)]);
        let Reply::Array(chain) = run.command(0, &["LRANGE", "haechi:audit:chain", "0", "-1"])
        else {
            return violation("no_chain", Vec::new(), "there is no list".to_owned());
        };
        let (mut verifier, mut records) = (Verifier::new(), BTreeMap::<String, usize>::new());
        for record in &chain {
            let Reply::Bulk(record) = record else {
                continue;
            };
            if let Some(fault) = verifier.line(record).first() {
                return violation("invalid_chain", Vec::new(), format!("{fault:?}"));
            }
            let record: Value = serde_json::from_slice(record).unwrap_or_default();
            let id = record["id"].as_str().unwrap_or_default();
            *records.entry(id.to_owned()).or_default() += 1;
        }
        for call in &run.calls {
            let Some(answer) = call.answer() else {
                continue;
            };
            let calls = vec![call.id];
            match records.get(&answer.id) {
                Some(1) => {}
                Some(_) => return violation("repeated_record", calls, answer.id.clone()),
                None => return violation("lost_record", calls, answer.id.clone()),
            }
            let (expected, is_right) = match &call.operation {
                Ask::Add(_) => {
                    let token = answer.body["token"].as_str().unwrap_or_default();
                    let kept = run.command(0, &["HEXISTS", "haechi:tv:tokens", token]);
                    ([201, 201], kept == Reply::Integer(1))
                }
                Ask::Show(customer) => {
                    let is_right = answer.body["email"] == address(*customer);
                    ([200, 404], is_right || answer.status == 404)
                }
            };
            if !expected.contains(&answer.status) || !is_right {
                return violation("wrong_answer", calls, format!("{answer:?}"));
            }
        }
        Ok(Vec::new())
    }
}

fn search(seeds: std::ops::Range<u64>) -> Summary {
    let summary = Harness::new(Replicas::new()).search(seeds, |report| {
        let violations = &report.violations;
        assert!(
            violations.is_empty(),
            "seed {}: {violations:?}",
            report.seed
        );
        assert_eq!(report.error, None, "seed {}", report.seed);
        true
    });
    println!("{} runs, {:?}", summary.runs, summary.outcomes);
    println!(
        "{:?}, {:?}, never {:?}",
        summary.faults, summary.marks, summary.never
    );
    assert!(summary.outcomes.ok > summary.runs, "{:?}", summary.outcomes);
    summary
}

/// Would catch a request that is answered before its record or its token is kept, one that is
/// recorded twice, and a service that does not go on after a fault.
#[test]
fn what_is_answered_is_recorded_once() {
    search(0..100);
}

/// The same, and that every fault strikes.
#[test]
#[ignore = "takes minutes"]
fn what_is_answered_is_recorded_once_long() {
    assert_eq!(search(0..2000).never, []);
}
