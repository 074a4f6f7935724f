//! URLs; and Sentinels and nodes that say what a test lets them say.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, ErrorKind, Pipeline, RedisFuture, RedisResult, Value, aio::ConnectionLike, cmd};

use super::{Cluster, Endpoint, NodeAddress, Nodes, Sentinel, SentinelTimes, cluster::PATIENCE};
use crate::{
    clock::{Clock, SystemClock, within},
    health::Health,
    redis::connect::Connect,
};

/// What the server at a port answers to the words of a command, of which those before
/// it in a pipeline are a part.
type Answer = Arc<dyn Fn(&str) -> RedisResult<Value> + Send + Sync>;

#[derive(Clone, Default)]
struct Servers(Arc<Mutex<BTreeMap<u16, Answer>>>);

impl Servers {
    fn set(&self, port: u16, answer: impl Fn(&str) -> RedisResult<Value> + Send + Sync + 'static) {
        self.0.lock().unwrap().insert(port, Arc::new(answer));
    }

    /// A Sentinel that names the node at `primary`.
    fn sentinel(&self, port: u16, epoch: u64, primary: u16) {
        self.failing_over(port, epoch, primary, primary);
    }

    /// A Sentinel that has promoted the node at `primary`, and not yet ended its failover
    /// from the node at `old`.
    fn failing_over(&self, port: u16, epoch: u64, primary: u16, old: u16) {
        self.set(port, move |words| {
            assert_eq!(
                words,
                "SENTINEL MASTER m; SENTINEL GET-MASTER-ADDR-BY-NAME m"
            );
            let text = |field: &str| Value::BulkString(field.as_bytes().to_vec());
            let (old, epoch) = (old.to_string(), epoch.to_string());
            let fields = ["ip", "h", "port", &old, "config-epoch", &epoch].map(text);
            let address = ["h", &primary.to_string()].map(text);
            let all = [fields.to_vec(), address.to_vec()];
            Ok(Value::Array(all.map(Value::Array).to_vec()))
        });
    }

    /// A node that answers with its port, and to INFO that it replicates another.
    fn replica(&self, port: u16, of: u16) {
        self.set(port, move |words| match words {
            "INFO replication" => {
                let info = format!("role:slave\r\nmaster_host:h\r\nmaster_port:{of}\r\n");
                Ok(Value::BulkString(info.into_bytes()))
            }
            _ => Ok(Value::Int(port.into())),
        });
    }

    /// A node that answers with its port.
    fn node(&self, port: u16) {
        self.set(port, move |_| Ok(Value::Int(port.into())));
    }

    fn down(&self, port: u16) {
        self.0.lock().unwrap().remove(&port);
    }
}

#[derive(Clone)]
struct Connection(Servers, u16);

fn words(command: &Cmd) -> String {
    let text = String::from_utf8(command.get_packed_command()).unwrap();
    let words = text
        .split("\r\n")
        .filter(|word| !word.starts_with(['*', '$']));
    words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

impl Connection {
    fn answer(&self, words: &str) -> RedisResult<Value> {
        let answer = self.0.0.lock().unwrap().get(&self.1).cloned();
        answer.ok_or((ErrorKind::Io, "down"))?(words)
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let answer = self.answer(&words(command));
        Box::pin(async { answer })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        _: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let all: Vec<String> = pipeline.cmd_iter().map(words).collect();
        let answer = self.answer(&all.join("; "));
        Box::pin(async move {
            Ok(match answer? {
                Value::Array(answers) if count > 1 => answers,
                answer => vec![answer],
            })
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

impl Nodes for Servers {
    type Connection = Connection;

    async fn connect_to(&self, node: &NodeAddress) -> RedisResult<Connection> {
        let is_up = self.0.lock().unwrap().contains_key(&node.port);
        let down = (ErrorKind::Io, "connection refused").into();
        is_up
            .then(|| Connection(self.clone(), node.port))
            .ok_or(down)
    }
}

fn at(ports: &[u16]) -> Vec<NodeAddress> {
    let address = |port: &u16| NodeAddress {
        host: "h".to_owned(),
        port: *port,
    };
    ports.iter().map(address).collect()
}

fn group(servers: &Servers, sentinels: &[u16]) -> Sentinel<Servers, SystemClock> {
    let times = SentinelTimes {
        every: Duration::from_millis(1),
        ..SentinelTimes::default()
    };
    let clock = SystemClock::new();
    Sentinel::new(servers.clone(), servers.clone(), at(sentinels), "m", clock).times(times)
}

/// What the server says, which is its port.
async fn who<C: ConnectionLike + Send>(connection: &mut C) -> RedisResult<u16> {
    cmd("WHO").query_async(connection).await
}

/// Asks until the connection is cut; why.
async fn cut<C: ConnectionLike + Send>(connection: &mut C) -> String {
    // Far longer than it takes.
    for _ in 0..10_000 {
        match who(connection).await {
            Ok(_) => SystemClock::new().sleep(Duration::from_millis(1)).await,
            Err(error) => return error.to_string(),
        }
    }
    panic!("it was not cut");
}

/// Would catch the first answer being believed, or one Sentinel's silence ending it: one
/// that has not heard of the failover names the deposed primary.
#[tokio::test]
async fn a_sentinel_that_has_not_heard_of_a_failover_is_overruled() {
    let servers = Servers::default();
    servers.node(7);
    servers.node(8);
    for later in [1, 2, 3] {
        for sentinel in [1, 2, 3] {
            servers.sentinel(sentinel, 5, 7);
        }
        servers.sentinel(later, 6, 8);
        servers.down(later % 3 + 1);
        let mut connection = group(&servers, &[1, 2, 3]).connect().await.unwrap();
        assert_eq!(who(&mut connection).await.unwrap(), 8, "{later}");
    }
}

/// Would catch a primary that is written to after it was deposed.
#[tokio::test]
async fn the_connection_to_a_deposed_primary_is_cut() {
    let servers = Servers::default();
    servers.node(7);
    servers.node(8);
    servers.sentinel(1, 5, 7);
    servers.sentinel(2, 5, 7);
    let group = group(&servers, &[1, 2]);
    let mut connection = group.connect().await.unwrap();
    assert_eq!(who(&mut connection).await.unwrap(), 7);
    servers.sentinel(2, 6, 8);
    let why = cut(&mut connection).await;
    assert!(
        why.contains("Sentinel names h:8 as the primary now, not h:7"),
        "{why}"
    );
    assert!(who(&mut connection.clone()).await.is_err(), "it stays cut");
    let mut connection = group.connect().await.unwrap();
    assert_eq!(who(&mut connection).await.unwrap(), 8);
}

/// Would catch a dial that returns to the deposed primary, since the only Sentinel that has
/// heard of the failover is gone.
#[tokio::test]
async fn what_a_sentinel_has_said_counts_after_it_is_gone() {
    let servers = Servers::default();
    servers.node(7);
    servers.node(8);
    for sentinel in [2, 3] {
        servers.sentinel(sentinel, 5, 7);
    }
    servers.sentinel(1, 6, 8);
    let group = group(&servers, &[1, 2, 3]);
    let dialled = async || who(&mut group.connect().await.unwrap()).await.unwrap();
    assert_eq!(dialled().await, 8);
    servers.down(1);
    assert_eq!(dialled().await, 8);
}

/// Would catch a connection that is kept for ever to the primary of before, when Sentinels
/// were set up anew and count from 0.
#[tokio::test(start_paused = true)]
async fn sentinels_that_were_set_up_anew_are_believed() {
    let servers = Servers::default();
    servers.node(7);
    servers.node(8);
    servers.sentinel(1, 5, 7);
    let group = group(&servers, &[1]);
    let mut connection = group.connect().await.unwrap();
    servers.sentinel(1, 0, 8);
    let clock = SystemClock::new();
    clock.sleep(group.times.forget / 2).await;
    assert_eq!(who(&mut connection).await.unwrap(), 7);
    clock.sleep(group.times.forget).await;
    let why = who(&mut connection).await.unwrap_err().to_string();
    assert!(why.contains("Sentinel names h:8"), "{why}");
}

/// Would catch a dial that takes as long as a Sentinel that hangs: with a short deadline
/// none would end.
#[tokio::test(start_paused = true)]
async fn a_sentinel_that_hangs_is_not_waited_for() {
    let servers = Servers::default();
    servers.node(7);
    for sentinel in [1, 2, 3] {
        servers.sentinel(sentinel, 5, 7);
    }
    let clock = SystemClock::new();
    let sentinels = OneSilent(servers.clone(), 2);
    let nodes = OneSilent(servers, 0);
    let group = Sentinel::new(nodes, sentinels, at(&[1, 2, 3]), "m", clock.clone());
    let began = clock.now();
    let mut connection = group.connect().await.unwrap();
    assert!(clock.now() - began < group.times.answer);
    assert_eq!(who(&mut connection).await.unwrap(), 7);
}

/// Would catch Sentinels that each connection asks for itself, and a watch that goes on
/// without connections, or not again with new ones.
#[tokio::test(start_paused = true)]
async fn connections_share_one_watch() {
    let servers = Servers::default();
    servers.node(7);
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, answers) = (asked.clone(), Servers::default());
    answers.sentinel(1, 5, 7);
    servers.set(1, move |words| {
        counted.fetch_add(1, Ordering::Relaxed);
        Connection(answers.clone(), 1).answer(words)
    });
    let clock = SystemClock::new();
    let group = group(&servers, &[1]).times(SentinelTimes::default());
    let second = group.times.every;
    let asked_in = async |seconds: u32| {
        asked.store(0, Ordering::Relaxed);
        clock.sleep(second * seconds).await;
        asked.load(Ordering::Relaxed)
    };
    for _ in 0..2 {
        let connections = [
            group.connect().await.unwrap(),
            group.clone().connect().await.unwrap(),
        ];
        let asked = asked_in(10).await;
        assert!((9..=10).contains(&asked), "{asked}");
        drop(connections);
        assert_eq!(asked_in(10).await, 0);
        let tasks = tokio::runtime::Handle::current().metrics();
        assert_eq!(tasks.num_alive_tasks(), 0);
    }
}

/// Would catch a connection to the old primary, in the new one's epoch, that is never cut.
#[tokio::test]
async fn the_promoted_node_is_named_before_the_failover_is_over() {
    let servers = Servers::default();
    servers.node(7);
    servers.node(8);
    servers.failing_over(1, 6, 8, 7);
    let mut connection = group(&servers, &[1]).connect().await.unwrap();
    assert_eq!(who(&mut connection).await.unwrap(), 8);
}

/// Would catch a store that stays at a replica until the Sentinels have learned of a
/// failover that they did not do; one that leaves a node for another replica; and one that
/// is cut off when they have learned of it.
#[tokio::test]
async fn a_replica_that_sentinels_name_is_left_for_its_primary() {
    let servers = Servers::default();
    servers.sentinel(1, 5, 7);
    servers.replica(7, 8);
    let group = group(&servers, &[1]);
    let named = async || who(&mut group.connect().await.unwrap()).await.unwrap();
    assert_eq!(named().await, 7, "its primary is down");
    servers.replica(8, 7);
    assert_eq!(named().await, 7, "its primary is a replica");
    servers.node(8);
    let mut connection = group.connect().await.unwrap();
    assert_eq!(who(&mut connection).await.unwrap(), 8);
    servers.sentinel(1, 6, 8);
    SystemClock::new().sleep(Duration::from_millis(20)).await;
    assert_eq!(who(&mut connection).await.unwrap(), 8);
    servers.node(9);
    servers.sentinel(1, 7, 9);
    cut(&mut connection).await;
}

/// Would catch writes that go on while nobody can tell whether the primary was deposed,
/// though that was asked for; writes that stop although it was not, or for ever.
#[tokio::test]
async fn writes_stop_without_sentinels_if_that_is_asked_for() {
    let servers = Servers::default();
    servers.node(7);
    servers.sentinel(1, 5, 7);
    let group = group(&servers, &[1]);
    let mut goes_on = group.connect().await.unwrap();
    let mut times = group.times;
    times.stop_after = Some(Duration::from_millis(20));
    let stopping = group.clone().times(times);
    let mut stops = stopping.connect().await.unwrap();
    assert_eq!(group.health(), Health::Serving);
    servers.down(1);
    let why = cut(&mut stops).await;
    assert!(why.contains("no Sentinel has answered"), "{why}");
    assert_eq!(who(&mut goes_on).await.unwrap(), 7);
    let health = group.health();
    assert!(matches!(health, Health::Unwatched { .. }), "{health:?}");
    servers.sentinel(1, 5, 7);
    // Far longer than it takes.
    let mut rounds = 0..10_000;
    while group.health() != Health::Serving {
        rounds.next().unwrap();
        SystemClock::new().sleep(Duration::from_millis(1)).await;
    }
    // The one that was cut is still there.
    let mut goes_on = stopping.connect().await.unwrap();
    assert_eq!(who(&mut goes_on).await.unwrap(), 7);
    drop(stops);
}

fn redirected(code: &str, to: u16) -> RedisResult<Value> {
    let line = format!("-{code} 7 h:{to}\r\n");
    redis::parse_redis_value(line.as_bytes())?.extract_error()
}

/// Would catch a redirection that is not followed, `ASKING` that is not sent before each
/// command, and a cluster that is lost with the only node that was given.
#[tokio::test]
async fn a_slot_is_followed() {
    let servers = Servers::default();
    let cluster = Cluster::new(servers.clone(), at(&[1]), SystemClock::new()).serving("{s}:head");
    servers.set(1, |words| {
        assert_eq!(words, "GET {s}:head");
        redirected("MOVED", 2)
    });
    servers.node(2);
    let mut connection = cluster.connect().await.unwrap();
    assert_eq!(who(&mut connection).await.unwrap(), 2);

    // It is being moved.
    servers.set(2, |_| redirected("ASK", 3));
    servers.set(3, |words| match words.strip_prefix("ASKING; ") {
        Some(_) => Ok(Value::Array(vec![Value::Okay, Value::Int(3)])),
        None => redirected("MOVED", 2),
    });
    let mut connection = cluster.connect().await.unwrap();
    for _ in 0..2 {
        assert_eq!(who(&mut connection).await.unwrap(), 3);
    }

    // The user may not say ASKING.
    let behind_asking = |replies: &'static [u8]| {
        servers.set(3, move |words| match words.starts_with("ASKING; ") {
            true => redis::parse_redis_value(replies),
            false => redirected("MOVED", 2),
        });
    };
    behind_asking(b"*2\r\n-NOPERM asking is denied\r\n-MOVED 7 h:2\r\n");
    let mut connection = cluster.connect().await.unwrap();
    let why = who(&mut connection).await.unwrap_err().to_string();
    assert!(why.contains("asking is denied"), "{why}");
    // The slot is this node's by now: the command ran.
    behind_asking(b"*2\r\n-NOPERM asking is denied\r\n:3\r\n");
    assert_eq!(who(&mut connection).await.unwrap(), 3);

    // A key that has not been moved yet is not absent.
    behind_asking(b"*2\r\n+OK\r\n$-1\r\n");
    let mut connection = cluster.connect().await.unwrap();
    let mut read = async |command| cmd(command).query_async::<Value>(&mut connection).await;
    assert_eq!(read("LRANGE").await.unwrap_err().code(), Some("TRYAGAIN"));
    assert_eq!(read("WAIT").await.unwrap(), Value::Nil);

    // It has been moved; the node that was given is gone.
    servers.node(3);
    servers.set(2, |_| redirected("MOVED", 3));
    servers.down(1);
    let mut connection = cluster.connect().await.unwrap();
    assert_eq!(who(&mut connection).await.unwrap(), 3);

    // A store that has not said what its keys are.
    let keyless = Cluster::new(servers.clone(), at(&[3]), SystemClock::new());
    assert!(keyless.connect().await.is_err());

    // Two nodes that refer to each other.
    servers.set(3, |_| redirected("MOVED", 2));
    let error = cluster.connect().await.err().unwrap().to_string();
    assert!(error.contains("refer to each other"), "{error}");
}

/// Nodes of which one takes connections and never answers.
#[derive(Clone)]
struct OneSilent(Servers, u16);

impl Nodes for OneSilent {
    type Connection = Connection;

    async fn connect_to(&self, node: &NodeAddress) -> RedisResult<Connection> {
        if node.port == self.1 {
            std::future::pending::<()>().await;
        }
        self.0.connect_to(node).await
    }
}

/// Would catch a dial that each time ends while it waits for one and the same node.
#[tokio::test]
async fn a_silent_node_is_asked_last_at_the_next_dial() {
    let servers = Servers::default();
    servers.node(2);
    let clock = SystemClock::new();
    let nodes = OneSilent(servers, 1);
    let cluster = Cluster::new(nodes, at(&[1, 2]), clock.clone()).serving("{s}:head");
    let dial = || within(&clock, Duration::from_millis(20), cluster.connect());
    assert!(dial().await.is_none());
    let mut connection = dial().await.unwrap().unwrap();
    assert_eq!(who(&mut connection).await.unwrap(), 2);
}

/// Nodes that take this long to be connected to.
#[derive(Clone)]
struct Far(Servers, Duration);

impl Nodes for Far {
    type Connection = Connection;

    async fn connect_to(&self, node: &NodeAddress) -> RedisResult<Connection> {
        SystemClock::new().sleep(self.1).await;
        self.0.connect_to(node).await
    }
}

/// Would catch a time that all nodes of a redirection share: where one takes most of it, no
/// dial by way of another one would end.
#[tokio::test(start_paused = true)]
async fn each_node_has_its_time() {
    let servers = Servers::default();
    servers.set(1, |_| redirected("MOVED", 2));
    servers.node(2);
    let nodes = Far(servers, PATIENCE * 3 / 4);
    let cluster = Cluster::new(nodes, at(&[1]), SystemClock::new()).serving("{s}:head");
    let mut connection = cluster.connect().await.unwrap();
    assert_eq!(who(&mut connection).await.unwrap(), 2);
}

/// Would catch a URL that means another server, or is refused without a reason.
#[test]
fn urls_are_parsed() {
    for (url, printed) in [
        ("redis://u:p@h:7/2", "h:7"),
        ("redis+unix:///run/redis.sock?db=1", "/run/redis.sock"),
        (
            "redis+sentinel://u:p@a,b:7,[::1]:8/m/3",
            "m of Sentinels at a:26379,b:7,[::1]:8",
        ),
        ("redis+cluster://a,b:7", "cluster of a:6379,b:7"),
        (
            "redis+sentinel://a/m?protocol=resp3",
            "m of Sentinels at a:26379",
        ),
        ("redis+cluster://a?protocol=resp3", "cluster of a:6379"),
        ("redis+cluster://a/0?protocol=resp3", "cluster of a:6379"),
        ("rediss+cluster://a/#insecure", "cluster of a:6379"),
    ] {
        assert_eq!(
            url.parse::<Endpoint>().unwrap().to_string(),
            printed,
            "{url}"
        );
    }
    for (url, why) in [
        ("redis+sentinel://a:1", "name of the group"),
        ("redis+sentinel://a:x/m", "host or port"),
        ("redis+cluster://", "host or port"),
        ("redis+cluster://a/2", "database 0"),
        ("http://a", "URL"),
    ] {
        let error = url.parse::<Endpoint>().unwrap_err().to_string();
        assert!(error.contains(why), "{url}: {error}");
    }
}

/// Would catch a password in a log.
#[test]
fn no_password_is_printed() {
    for url in [
        "redis://u:geheim@h",
        "redis+sentinel://:geheim@a/m",
        "redis+cluster://:geheim@a",
    ] {
        let endpoint = url.parse::<Endpoint>().unwrap();
        assert!(endpoint.has_password());
        assert!(!format!("{endpoint} {endpoint:?}").contains("geheim"));
    }
    let refused = serde_json::from_str::<Endpoint>(r#""redis+cluster://:geheim@a/2""#);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("database 0") && !refused.contains("geheim"));
}
