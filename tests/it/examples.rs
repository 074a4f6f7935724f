//! The examples, run as they are: the service over HTTP as a process of its own.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    Builder,
    clock::{Clock, SystemClock, within},
};
use redis_sim::server_process::RedisServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{ask, event, raw, run, server, store, verified};

#[path = "../../examples/axum_service/main.rs"]
mod axum_service;
#[allow(dead_code, reason = "its main")]
#[path = "../../examples/custom_connect.rs"]
mod custom_connect;
#[allow(dead_code, reason = "its main")]
#[path = "../../examples/tenants.rs"]
mod tenants;

/// The service: the tests below start this program again, with this test alone.
#[test]
#[ignore = "runs until it is told to end"]
fn the_service() {
    axum_service::main().unwrap();
}

/// The service as a process.
struct Service {
    process: Child,
    address: String,
    log: Arc<Mutex<String>>,
    keys: tempfile::TempDir,
}

impl Service {
    fn start(server: &RedisServer) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let file = keys.path().join("vault.keys");
        let made = Command::new(env!("CARGO_BIN_EXE_haechi-store"))
            .args(["keys", "init", "--key-file"])
            .arg(&file)
            .output();
        assert!(made.unwrap().status.success());
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "examples::the_service"])
            .env("REDIS_URL", server.url())
            .env("KEY_FILE", file)
            .env("LISTEN", "127.0.0.1:0")
            .env("DEADLINE_MS", "1000")
            .env("REVEAL", "test")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, address)) = line.split_once("listening on ") {
                break address.to_owned();
            }
        };
        let log = Arc::new(Mutex::new(String::new()));
        let writer = log.clone();
        #[allow(clippy::disallowed_methods, reason = "a pipe of a real process")]
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                writer.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self {
            process,
            address,
            log,
            keys,
        }
    }

    /// How many its key counts, of which some may be taken in advance.
    fn encryptions(&self) -> usize {
        let status = Command::new(env!("CARGO_BIN_EXE_haechi-store"))
            .args(["keys", "status", "--key-file"])
            .arg(self.keys.path().join("vault.keys"))
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        serde_json::from_value(status["keys"][0]["used"].clone()).unwrap()
    }

    /// SIGTERM, as by an orchestrator.
    fn terminate(&self) {
        let mut kill = Command::new("kill");
        let killed = kill.arg(self.process.id().to_string()).status();
        assert!(killed.unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// The id of its record, if it has one.
    id: Option<String>,
    body: String,
}

/// One request, on a connection of its own; `None` if it was not answered.
async fn send(address: &str, line: &str, body: &str) -> Option<Answer> {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let header = |name| head.lines().find_map(|line| line.strip_prefix(name));
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        id: header("x-request-id: ").map(str::to_owned),
        body: body.to_owned(),
    })
}

async fn pass(millis: u64) {
    SystemClock::new()
        .sleep(Duration::from_millis(millis))
        .await;
}

/// Sixteen clients, each of which sends one request after the other, as long as they are
/// answered and until it is told to stop.
struct Load {
    clients: JoinSet<Vec<Answer>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn on(service: &Service) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..16 {
            let (address, stop) = (service.address.clone(), stop.clone());
            clients.spawn(async move {
                let mut answers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let number = answers.len();
                    let body = format!(r#"{{"email":"user{number}@client{client}.example"}}"#);
                    match send(&address, "POST /customers", &body).await {
                        Some(answer) => answers.push(answer),
                        None => break,
                    }
                }
                answers
            });
        }
        Self { clients, stop }
    }

    /// The answers, once every client has stopped.
    async fn ended(self) -> Vec<Answer> {
        self.clients
            .join_all()
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Compares the answers with the chain, which must verify: what is answered as recorded is
/// there once, with this status, and what is not there was not answered so. Returns how many
/// succeeded.
async fn compare(server: &RedisServer, answers: &[Answer]) -> usize {
    let mut records = BTreeMap::new();
    let verified = verified(&store(server)).await.len();
    let all = "LRANGE haechi:audit:chain 0 -1";
    for record in ask::<Vec<String>>(&mut raw(server).await, all).await {
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        let status = record["status"].as_u64().unwrap();
        let id = record["id"].as_str().unwrap().to_owned();
        let earlier = records.insert(id, status);
        assert_eq!(earlier, None, "two records of one request: {record}");
    }
    assert_eq!(records.len(), verified);
    let (mut succeeded, mut unknown) = (0, 0);
    for answer in answers {
        match &answer.id {
            Some(id) => assert_eq!(records.remove(id), Some(answer.status.into())),
            None => unknown += usize::from(answer.status == 500),
        }
        assert!(matches!(answer.status, 201 | 500 | 503), "{answer:?}");
        assert!(answer.status != 201 || answer.id.is_some(), "{answer:?}");
        succeeded += usize::from(answer.status == 201);
    }
    let answered = answers.len();
    println!("{answered} answers, {succeeded} of them 201, {unknown} unknown; {verified} records");
    assert!(records.len() <= unknown, "{records:?}");
    succeeded
}

/// Would catch an answer that came before its record, a record that is written twice because
/// its reply was lost, and a service that does not go on when its Redis is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_loses_nothing_when_its_redis_is_killed() {
    let args = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = RedisServer::start_with(&args).unwrap();
    let service = Service::start(&server);
    let load = Load::on(&service);
    pass(1000).await;
    server.kill().unwrap();
    // Longer than the deadline: some requests fail.
    pass(1500).await;
    let down = send(&service.address, "GET /health", "").await.unwrap();
    assert_eq!(down.status, 503, "{down:?}");
    assert!(down.body.contains("Waiting"), "{down:?}");
    let down = send(&service.address, "GET /ready", "").await.unwrap();
    assert_eq!(down.status, 503, "{down:?}");
    assert!(down.body.contains("unreachable"), "{down:?}");
    server.restart().unwrap();
    let mut healthy = false;
    while !healthy {
        healthy = send(&service.address, "GET /health", "")
            .await
            .unwrap()
            .status
            == 200;
    }
    pass(500).await;
    load.stop.store(true, Ordering::Relaxed);
    let answers = load.ended().await;
    let succeeded = compare(&server, &answers).await;
    assert!(succeeded > 0 && succeeded < answers.len());
    let body = r#"{"email":"user0@client0.example"}"#;
    let made = send(&service.address, "POST /customers", body)
        .await
        .unwrap();
    let made: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    let show = format!("GET /customers/{}", made["token"].as_str().unwrap());
    let shown = send(&service.address, &show, "").await.unwrap();
    assert_eq!((shown.status, shown.body.as_str()), (200, body));
    let metrics = send(&service.address, "GET /metrics", "").await.unwrap();
    for metric in ["haechi_appends_total", "haechi_append_seconds_bucket"] {
        assert!(metrics.body.contains(metric), "{}", metrics.body);
    }
    let log = service.log.lock().unwrap().clone();
    assert!(log.contains("WARN"), "{log}");
    assert!(!log.contains(".example") && !log.contains("tok_"), "{log}");
}

/// Would catch a request that was carried out and whose answer or record is lost at the end
/// of the process, and a process that does not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_ends_in_order_under_load() {
    let server = server();
    let mut service = Service::start(&server);
    let load = Load::on(&service);
    pass(500).await;
    service.terminate();
    let answers = load.ended().await;
    assert!(service.process.wait().unwrap().success());
    let succeeded = compare(&server, &answers).await;
    assert_eq!(succeeded, answers.len());
    assert!(succeeded > 0);
    // What was taken of the key in advance was given back.
    assert_eq!(service.encryptions(), succeeded);
}

/// Would catch a service that does not wait for what it does for clients that have left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_ends_with_the_records_of_clients_that_left() {
    let server = server();
    let mut service = Service::start(&server);
    // So that all of them are under way when the service is told to end.
    server.stop().unwrap();
    let mut clients = JoinSet::new();
    for number in 0..20 {
        let address = service.address.clone();
        clients.spawn(async move {
            let body = format!(r#"{{"email":"user{number}@left.example"}}"#);
            let request = send(&address, "POST /customers", &body);
            within(&SystemClock::new(), Duration::from_millis(200), request).await
        });
    }
    assert!(clients.join_all().await.iter().all(Option::is_none));
    service.terminate();
    pass(100).await;
    server.resume().unwrap();
    assert!(service.process.wait().unwrap().success());
    let mut commands = raw(&server).await;
    let tokens: usize = ask(&mut commands, "HLEN haechi:tv:tokens").await;
    assert_eq!(tokens, 20);
    assert_eq!(verified(&store(&server)).await.len(), 20);
}

/// Would catch a record that does not say who asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_records_who_asked() {
    let server = server();
    let service = Service::start(&server);
    let address = &service.address;
    let body = r#"{"email":"anna@example.com"}"#;
    // A line of the request, and a header below it.
    let as_user = |line: &str| format!("{line} HTTP/1.1\r\nx-user: u-17\r\nx-line:");
    let made = send(address, &as_user("POST /customers"), body).await;
    let made: serde_json::Value = serde_json::from_str(&made.unwrap().body).unwrap();
    let show = format!("GET /customers/{}", made["token"].as_str().unwrap());
    let shown = send(address, &as_user(&show), "").await.unwrap();
    assert!(shown.body.contains("anna@example.com"), "{shown:?}");
    send(address, &show, "").await.unwrap();
    let all = "LRANGE haechi:audit:chain 0 -1";
    let records = ask::<Vec<String>>(&mut raw(&server).await, all).await;
    let said = records.iter().map(|record| {
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        match record.get("identity") {
            Some(who) => format!("{}: {who}", record["decision"]),
            None => format!("{}: {}", record["operation"], record["user"]),
        }
    });
    let said: Vec<_> = said.collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    "POST /customers": "u-17"
    "reveal_allowed": "u-17"
    "GET /customers/{token}": "u-17"
    "reveal_allowed": null
    "GET /customers/{token}": null
    "#);
}

/// Would catch an address that is asked for only once, and a chain that is begun anew at
/// another server instead of continued.
#[tokio::test]
async fn a_connect_of_ones_own_leads_to_the_server_of_today() {
    let (mut first, second) = (server(), server());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("redis.url");
    std::fs::write(&path, first.url()).unwrap();
    let connect = custom_connect::UrlInFile::new(&path);
    let sink = Builder::new().open_audit(connect).await.unwrap();
    sink.record(event("1")).await.unwrap();

    let mut commands = raw(&second).await;
    let follow = format!("REPLICAOF 127.0.0.1 {}", first.port());
    run(&mut commands, &follow).await;
    while ask::<u64>(&mut commands, "LLEN haechi:audit:chain").await < 1 {
        pass(10).await;
    }
    run(&mut commands, "REPLICAOF NO ONE").await;
    first.kill().unwrap();
    std::fs::write(&path, second.url()).unwrap();
    let appended = sink.record(event("2")).await.unwrap();
    assert_eq!(appended.position.sequence.get(), 2);
}

/// Would catch chains that get into each other's way in one process, and a cluster of which
/// only some nodes are used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chains_of_many_tenants_are_on_all_primaries() {
    let (servers, endpoint) = tenants::start_cluster(3).unwrap();
    let mut tenants = tenants::Tenants::default();
    assert_eq!(tenants.open(&endpoint, 12).await.unwrap(), 12);
    let loaded = tenants.load(24, Duration::from_millis(300)).await.unwrap();
    tenants.close().await;
    let mut records = 0;
    for tenant in 0..12 {
        let builder = Builder::new().audit_prefix(tenants::prefix(tenant));
        let store = builder.audit_store(endpoint.clone());
        records += verified(&store).await.len();
    }
    assert_eq!(records, loaded + 12);
    for server in &servers {
        let keys: u64 = ask(&mut raw(server).await, "DBSIZE").await;
        assert!(keys > 0, "nothing is on {}", server.url());
    }
}
