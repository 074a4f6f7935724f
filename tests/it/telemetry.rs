//! What the store tells `tracing` and `metrics`: everything it says it does, and no secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    num::{NonZeroU32, NonZeroU64},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::poll_immediate;

use haechi_store_redis::{
    AppendError, Builder, Durability, Health, METRICS, MetricKind, NotApplied,
    audit::{AnchorStatus, AuditSink, FileAnchors},
    chain::{Anchor, Event},
    clock::{Clock, SystemClock},
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    describe_metrics,
    entropy::SystemEntropy,
    redis::{
        self, AuditPrefix, Endpoint, LockPolicy, LockTimes, NotReady, SentinelTimes, Timeouts,
    },
    test_util::{Fault, Faults, Hooked},
    vault::{Details, TokenId, TokenType, VaultPolicy, View},
};
use metrics_util::{
    MetricKind as EmittedKind,
    debugging::{DebugValue, DebuggingRecorder, Snapshotter},
};
use redis_sim::server_process::RedisServer;
use tracing::{
    dispatcher::{self, Dispatch},
    subscriber::NoSubscriber,
};
use tracing_subscriber::fmt::format::FmtSpan;

use crate::support::{client, event, raw, run, server};

const SECRETS: [&str; 3] = ["anna@example.com", "the-operation", "tok_email_"];
const PASSWORD: &str = "correct-horse";

/// Everything that telemetry tells of happens here, to a chain and a vault.
async fn everything_happens(server: &RedisServer, asked: &OnceLock<AuditSink>) {
    let directory = tempfile::tempdir().unwrap();
    let event = || Event::from_json(r#"{"id":"e","operation":"the-operation"}"#).unwrap();
    let mut timeouts = Timeouts::default();
    timeouts.durability = Duration::from_millis(10);
    let builder = || {
        Builder::new()
            .lock(LockPolicy::Always(LockTimes::default()))
            .timeouts(timeouts)
    };
    let faults = Faults::new([Fault::ReplyLost], Fault::None);
    let anchors = FileAnchors::open(directory.path().join("anchors")).unwrap();
    let losing = builder()
        .anchors(anchors, NonZeroU64::MIN)
        .audit_sink(Hooked::new(
            builder().audit_store(client(server)),
            faults.clone(),
        ));
    assert!(asked.set(losing.clone()).is_ok());
    losing.record(event()).await.unwrap();

    let full = |_: &Anchor| Err(io::Error::other("the disk is full"));
    let other = builder()
        .durability(Durability::Replicas(NonZeroU32::MIN))
        .tolerate(NotReady::InsufficientReplicas)
        .anchors(full, NonZeroU64::MIN)
        .open_audit(client(server))
        .await
        .unwrap();
    other.record(event()).await.unwrap();
    let conflicting = losing.record(event()).await.unwrap();
    assert_eq!(conflicting.position.sequence.get(), 3);
    drop(other);

    let (storage, clock, entropy) = (MemoryKeys::new(), SystemClock::new(), SystemEntropy);
    manage::init(&storage, &clock, &entropy).await.unwrap();
    let keys = LocalKeys::open(storage, clock, entropy, Counting::PerProcess);
    let vault = builder().token_vault(
        builder().vault_store(client(server)),
        keys.await.unwrap().into(),
        losing.clone(),
        VaultPolicy::default(),
    );
    let email = TokenType::new("email").unwrap();
    let made = vault.tokenize(&email, SECRETS[0], Details::default()).await;
    assert!(made.unwrap().token.as_str().starts_with(SECRETS[2]));
    let tokens = builder().token_store(builder().vault_store(client(server)));
    let token = TokenId::new("tok_email_x").unwrap();
    let mut commands = raw(server).await;
    let mutated = tokens.mutate(|view: &mut View| view.set(&token, "1")).await;
    mutated.unwrap();

    run(&mut commands, "FLUSHALL").await;
    let refused = losing.record(event()).await;
    assert!(
        matches!(refused, Err(AppendError::Corrupt(_))),
        "{refused:?}"
    );

    let nobody = redis::client::Client::open(format!("redis://:{PASSWORD}@127.0.0.1:1")).unwrap();
    let unreachable = Builder::new().deadline(Duration::from_millis(100));
    let store = unreachable.audit_store(nobody);
    let refused = unreachable.audit_sink(store).record(event()).await;
    let expected = matches!(
        refused,
        Err(AppendError::NotApplied(NotApplied::Deadline(_)))
    );
    assert!(expected, "{refused:?}");
}

type Emitted = BTreeMap<String, (EmittedKind, BTreeSet<String>)>;

fn emitted(snapshotter: &Snapshotter) -> Emitted {
    let snapshot = snapshotter.snapshot().into_vec();
    let metrics = snapshot.into_iter().map(|(composite, ..)| {
        let labels = composite.key().labels().map(|label| label.key().to_owned());
        let name = composite.key().name().to_owned();
        (name, (composite.kind(), labels.collect()))
    });
    metrics.collect()
}

/// Would catch a metric that is documented and not emitted, one that is emitted and not
/// documented, and one of another kind or with other labels.
#[tokio::test]
async fn the_metrics_are_those_in_the_list() {
    let server = server();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let recording = metrics::set_default_local_recorder(&recorder);
    describe_metrics();
    everything_happens(&server, &OnceLock::new()).await;
    drop(recording);
    let expected: Emitted = METRICS
        .iter()
        .map(|metric| {
            let kind = match metric.kind {
                MetricKind::Counter => EmittedKind::Counter,
                MetricKind::Gauge => EmittedKind::Gauge,
                MetricKind::Histogram => EmittedKind::Histogram,
            };
            let labels = metric.labels.iter().map(|label| (*label).to_owned());
            (metric.name.to_owned(), (kind, labels.collect()))
        })
        .collect();
    assert_eq!(emitted(&snapshotter), expected);
}

/// What was told since the last snapshot, by metric and labels: counters and gauges as they are,
/// of histograms how many values.
fn told(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let snapshot = snapshotter.snapshot().into_vec().into_iter();
    let told = snapshot.map(|(composite, _, _, value)| {
        let key = composite.key();
        let labels: Vec<&str> = key.labels().map(|label| label.value()).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(gauge) => gauge.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        };
        let name = key.name().strip_prefix("haechi_").unwrap();
        (format!("{name} {}", labels.join(" ")), value)
    });
    told.collect()
}

/// What was told of one store, without its prefix; what is 0 is left out, since it was told
/// earlier.
fn told_of(snapshotter: &Snapshotter, store: &str) -> Vec<(String, f64)> {
    let told = told(snapshotter)
        .into_iter()
        .filter(|(_, value)| *value != 0.0);
    let of_it = told.map(|(series, value)| (series.replacen(store, "", 1), value));
    let trimmed = of_it.map(|(series, value)| (series.replace("  ", " ").trim().to_owned(), value));
    trimmed.collect()
}

fn counts<const N: usize>(expected: [(&str, u64); N]) -> Vec<(String, f64)> {
    let expected = expected.map(|(series, count)| (series.to_owned(), count as f64));
    expected.into()
}

/// Would catch a value that does not say what was done: a length of the chain that stands still
/// while a sole writer appends, records that no anchor attests and that are not told because no
/// anchor was ever written, a round trip that is not counted, or twice, and a queue that is not
/// empty at its end.
#[tokio::test]
async fn the_values_of_a_sink_are_what_it_did() {
    let server = server();
    // Redis knows the scripts from now on.
    let first = Builder::new().audit_prefix(AuditPrefix::new("first:"));
    let first = first.open_audit(client(&server)).await.unwrap();
    let event = || Event::from_json("{}").unwrap();
    first.record(event()).await.unwrap();
    first.close(Duration::from_secs(5)).await;

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let recording = metrics::set_default_local_recorder(&recorder);
    let is_full = Arc::new(AtomicBool::new(true));
    let full = is_full.clone();
    let anchors = move |_: &Anchor| match full.load(Ordering::Relaxed) {
        true => Err(io::Error::other("the disk is full")),
        false => Ok(()),
    };
    let sink = || {
        let builder = Builder::new();
        let store = builder.audit_store(client(&server));
        builder
            .anchors(anchors.clone(), NonZeroU64::MIN)
            .audit_sink(store)
    };
    let audit = sink();
    for _ in 0..3 {
        audit.record(event()).await.unwrap();
    }
    let at_three = counts([
        ("anchor_failures_total", 3),
        ("append_seconds applied", 3),
        ("appends_total applied", 3),
        ("batch_attempts", 3),
        ("batch_records", 3),
        ("batch_seconds", 3),
        ("chain_head", 3),
        ("chain_records", 3),
        ("dial_seconds opened", 1),
        ("dials_total opened", 1),
        ("round_trip_seconds append", 3),
        ("round_trip_seconds tail", 1),
        ("unanchored_records", 3),
    ]);
    assert_eq!(told_of(&snapshotter, "haechi:audit:"), at_three);

    is_full.store(false, Ordering::Relaxed);
    let mut commands = raw(&server).await;
    run(&mut commands, "ACL SETUSER default -evalsha").await;
    audit.record(event()).await.unwrap_err();
    run(&mut commands, "ACL SETUSER default +evalsha").await;
    let unanchored = audit.record(event()).await.unwrap();
    assert_eq!(unanchored.anchor, AnchorStatus::Written);
    let at_four = counts([
        ("anchored_head", 4),
        ("append_seconds applied", 1),
        ("append_seconds not_applied", 1),
        ("appends_total applied", 1),
        ("appends_total not_applied", 1),
        ("batch_attempts", 1),
        ("batch_records", 1),
        ("batch_seconds", 1),
        ("chain_head", 4),
        ("chain_records", 4),
        ("round_trip_seconds append", 2),
        // The script for pages was not known.
        ("round_trip_seconds command", 1),
        ("round_trip_seconds page", 2),
        ("round_trip_seconds tail", 1),
    ]);
    assert_eq!(told_of(&snapshotter, "haechi:audit:"), at_four);
    audit.close(Duration::from_secs(5)).await;
    assert_eq!(told_of(&snapshotter, "haechi:audit:"), counts([]));

    // Of a sink that has no anchor yet, no record is attested.
    is_full.store(true, Ordering::Relaxed);
    let another = sink();
    another.record(event()).await.unwrap();
    let told = told_of(&snapshotter, "haechi:audit:");
    assert!(
        told.contains(&("unanchored_records".to_owned(), 5.0)),
        "{told:?}"
    );
    assert!(
        told.contains(&("chain_records".to_owned(), 5.0)),
        "{told:?}"
    );
    drop(recording);
}

/// Would catch a mutation that is counted with another outcome than its own, that stays in
/// flight when its caller has left, or that is not in flight while it waits.
#[tokio::test]
async fn the_values_of_a_vault_are_what_it_did() {
    let server = server();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let builder = Builder::new();
    let tokens = builder.token_store(builder.vault_store(client(&server)));
    let token = TokenId::new("tok_email_x").unwrap();
    let mut value = 0;
    let mut set = || {
        value += 1;
        let (token, value) = (token.clone(), value.to_string());
        let written = token.clone();
        let write = move |view: &mut View| view.set(&written, value.as_str());
        tokens.transaction([token], write)
    };
    // Redis knows the scripts from now on.
    set().await.unwrap();
    let recording = metrics::set_default_local_recorder(&recorder);
    set().await.unwrap();
    tokens.transaction([], |_: &mut View| ()).await.unwrap();
    let mut commands = raw(&server).await;
    run(&mut commands, "ACL SETUSER default -evalsha").await;
    set().await.unwrap_err();
    run(&mut commands, "ACL SETUSER default +evalsha").await;
    let expected = counts([
        ("mutation_seconds applied", 1),
        ("mutation_seconds not_applied", 1),
        ("mutation_seconds unchanged", 1),
        ("mutations_total applied", 1),
        ("mutations_total not_applied", 1),
        ("mutations_total unchanged", 1),
        ("round_trip_seconds apply", 1),
        ("round_trip_seconds load", 3),
    ]);
    assert_eq!(told_of(&snapshotter, "haechi:tv:"), expected);

    server.stop().unwrap();
    let mut mutations = [Box::pin(set()), Box::pin(set())];
    for mutation in &mut mutations {
        assert!(poll_immediate(mutation).await.is_none());
    }
    let in_flight = |change: i32| [("in_flight_mutations".to_owned(), f64::from(change))];
    assert_eq!(told_of(&snapshotter, "haechi:tv:"), in_flight(2));
    let [left, waited] = mutations;
    drop(left);
    assert_eq!(told(&snapshotter)["in_flight_mutations haechi:tv:"], -1.0);
    server.resume().unwrap();
    waited.await.unwrap();
    assert_eq!(told(&snapshotter)["in_flight_mutations haechi:tv:"], -1.0);
    drop(recording);
}

/// Would catch waits for the locks of chain and vault that are told as one, or a wait that is
/// counted once for each attempt.
#[tokio::test]
async fn a_wait_for_the_lock_is_counted_once_and_by_store() {
    let server = server();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let recording = metrics::set_default_local_recorder(&recorder);
    let mut times = LockTimes::default();
    times.wait = Duration::from_millis(50);
    times.retry = Duration::from_millis(2);
    let builder = || Builder::new().lock(LockPolicy::Always(times));
    let sink = builder().open_audit(client(&server)).await.unwrap();
    let tokens = builder().token_store(builder().vault_store(client(&server)));
    let mut commands = raw(&server).await;
    run(&mut commands, "SET haechi:audit:lock another").await;
    sink.record(Event::from_json("{}").unwrap()).await.unwrap();
    tokens.transaction([], |_: &mut View| ()).await.unwrap();
    let waits: Vec<(String, f64)> = told(&snapshotter)
        .into_iter()
        .filter(|(series, _)| series.starts_with("lock_wait_seconds"))
        .collect();
    let expected = counts([
        ("lock_wait_seconds haechi:audit: given_up", 1),
        ("lock_wait_seconds haechi:tv: acquired", 1),
    ]);
    assert_eq!(waits, expected);
    drop(recording);
}

/// Would catch a queue that is told of only when a batch is tried: while Redis does not
/// answer, it fills, and its callers leave.
#[tokio::test]
async fn the_queue_is_told_of_while_redis_does_not_answer() {
    let server = server();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let recording = metrics::set_default_local_recorder(&recorder);
    let names = ["queue_events", "queue_bytes", "in_flight_events"];
    let mut told = [0.0; 3];
    let mut depth = || {
        // A snapshot has what gauges were changed by since the one before.
        for (composite, _, _, value) in snapshotter.snapshot().into_vec() {
            let metric = composite.key().name().strip_prefix("haechi_");
            let place = names.iter().position(|name| metric == Some(*name));
            if let (Some(place), DebugValue::Gauge(change)) = (place, value) {
                told[place] += change.into_inner();
            }
        }
        told
    };
    let sink: AuditSink = Builder::new().open_audit(client(&server)).await.unwrap();
    let event = || Event::from_json("{}").unwrap();
    sink.record(event()).await.unwrap();
    assert_eq!(depth(), [0.0; 3]);
    server.stop().unwrap();
    let sent = sink.record(event());
    while depth()[2] != 1.0 {
        tokio::task::yield_now().await;
    }
    let waiting = [sink.record(event()), sink.record(event())];
    let [events, bytes, in_flight] = depth();
    assert_eq!((events, in_flight), (2.0, 1.0));
    assert!(bytes > 0.0);
    drop(waiting);
    assert_eq!(depth(), [0.0, 0.0, 1.0]);
    server.resume().unwrap();
    sent.await.unwrap();
    assert_eq!(depth(), [0.0; 3]);
    server.stop().unwrap();
    let last = [sink.record(event()), sink.record(event())];
    while depth()[2] != 2.0 {
        tokio::task::yield_now().await;
    }
    let waiting = sink.record(event());
    assert_eq!(depth()[0], 1.0);
    sink.close(Duration::ZERO).await;
    assert_eq!(depth(), [0.0; 3]);
    drop((last, waiting, recording));
    server.resume().unwrap();
}

/// Would catch a panel of the dashboard that shows nothing, since no metric has that name,
/// and a metric that no panel shows.
#[test]
fn the_dashboard_shows_these_metrics() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/grafana-dashboard.json");
    let text = std::fs::read_to_string(path).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let words = query.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
            for word in words.filter(|word| word.starts_with("haechi_")) {
                let series = ["_bucket", "_count"].iter();
                let mut histogram = series.filter_map(|series| word.strip_suffix(series));
                shown.insert(histogram.next().unwrap_or(word).to_owned());
            }
        }
    }
    let emitted: BTreeSet<String> = METRICS
        .iter()
        .map(|metric| metric.name.to_owned())
        .collect();
    assert_eq!(shown, emitted);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Writes all to `log`, and asks the sink for its health at each event, as one that shows
/// them side by side.
fn subscriber(log: &Log, asked: &Arc<OnceLock<AuditSink>>) -> Dispatch {
    let (log, asked) = (log.clone(), asked.clone());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || {
            let _ = asked.get().map(|sink| (sink.health(), sink.stats()));
            log.clone()
        });
    Dispatch::new(subscriber.finish())
}

/// Would catch Sentinels that fall silent without a word, or with one at each round; and a
/// word under a lock that the health of the sink takes.
#[tokio::test]
async fn sentinels_that_fall_silent_are_told_once() {
    let primary = server();
    let configuration = format!("sentinel monitor m 127.0.0.1 {} 1\n", primary.port());
    let sentinel = RedisServer::start_sentinel(&configuration).unwrap();
    let url = format!("redis+sentinel://127.0.0.1:{}/m", sentinel.port());
    let mut times = SentinelTimes::default();
    times.every = Duration::from_millis(20);
    let endpoint = url.parse::<Endpoint>().unwrap().sentinel_times(times);
    let (log, asked) = (Log::default(), Arc::new(OnceLock::new()));
    let subscriber = subscriber(&log, &asked);
    let _second = Dispatch::new(NoSubscriber::new());
    let subscribed = dispatcher::set_default(&subscriber);
    let sink = Builder::new().open_audit(endpoint).await.unwrap();
    sink.record(event("1")).await.unwrap();
    let sink = asked.get_or_init(|| sink);
    let told = || log.text().matches("no Sentinel answers why=").count();
    assert_eq!(told(), 0);
    drop(sentinel);
    let clock = SystemClock::new();
    // Far longer than it takes.
    let mut looks = 0..10_000;
    while sink.health() == Health::Serving {
        looks.next().unwrap();
        clock.sleep(Duration::from_millis(1)).await;
    }
    clock.sleep(10 * times.every).await;
    assert_eq!(told(), 1, "{}", log.text());
    drop(subscribed);
}

/// Would catch a token, a plaintext, a password or an event's content in a span or an event,
/// and a failure of which nothing is said; and one told under a lock, so that whoever asks
/// the sink meanwhile waits for ever.
#[tokio::test]
async fn the_trace_tells_what_happened_and_no_secret() {
    let server = server();
    let (log, asked) = (Log::default(), Arc::new(OnceLock::new()));
    let subscriber = subscriber(&log, &asked);
    // As long as there is only one, what another test's thread meets first is disabled for
    // this one, too.
    let _second = Dispatch::new(NoSubscriber::new());
    let subscribed = dispatcher::set_default(&subscriber);
    everything_happens(&server, &asked).await;
    drop(subscribed);
    let log = log.text();
    for secret in SECRETS.iter().chain([&PASSWORD]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} was told");
    }
    for told in [
        "append{store=haechi:audit: append_id=",
        "batch{store=haechi:audit:",
        "mutation{store=haechi:tv:",
        "dial{store=haechi:audit:",
        "append ended outcome=applied",
        "conflict store=haechi:audit: kind=",
        "a reply was lost; asking again store=haechi:audit:",
        "anchors are missing store=haechi:audit: why=",
        "applied, and not yet as durable as asked",
        "rolled back store=haechi:audit: what=",
        "no connection to Redis store=haechi:audit: why=",
    ] {
        assert!(log.contains(told), "not told: {told}");
    }
}
