//! The real client against the simulated server, over a stream in memory.

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncCommands, AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, ServerErrorKind,
};
use redis_sim::server::{After, Before, ConnId, Gate, Open, serve_connection};
use redis_sim::{Command, Config, Redis, Reply, SharedRedis};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, test);
}

#[allow(
    clippy::disallowed_methods,
    reason = "the test's clock is tokio's, paused"
)]
async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

async fn connect<G: Gate + 'static>(
    redis: &SharedRedis,
    gate: &Arc<Mutex<G>>,
) -> MultiplexedConnection {
    let (near, far) = tokio::io::duplex(16 * 1024);
    tokio::task::spawn_local(serve_connection(far, redis.clone(), gate.clone(), sleep));
    let info = RedisConnectionInfo::default().set_skip_set_lib_name();
    let config = AsyncConnectionConfig::new();
    let (connection, driver) = MultiplexedConnection::new_with_config(&info, near, config)
        .await
        .unwrap();
    tokio::task::spawn_local(driver);
    connection
}

/// Would catch replies that the client cannot convert, and scripts that it
/// cannot load.
#[test]
fn commands_pipelines_and_scripts() {
    run(async {
        let redis = Arc::new(Mutex::new(Redis::new(Config::default())));
        let mut client = connect(&redis, &Arc::new(Mutex::new(Open))).await;
        let () = client.set("a", 1).await.unwrap();
        assert_eq!(client.incr::<_, _, i64>("a", 41).await.unwrap(), 42);
        let (length, all): (usize, Vec<String>) = redis::pipe()
            .rpush("l", &["x", "y"])
            .lrange("l", 0, -1)
            .query_async(&mut client)
            .await
            .unwrap();
        assert_eq!((length, all), (2, vec!["x".to_owned(), "y".to_owned()]));

        let text = "return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}";
        let sha: String = redis::cmd("SCRIPT")
            .arg("LOAD")
            .arg(text)
            .query_async(&mut client)
            .await
            .unwrap();
        let mut call = redis::cmd("EVALSHA");
        call.arg(sha).arg(1).arg("a").arg("b");
        assert_eq!(
            call.query_async::<Vec<String>>(&mut client).await.unwrap(),
            ["a", "b", "42"]
        );
        redis.lock().unwrap().flush_scripts();
        let error = call.query_async::<()>(&mut client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoScript));
    });
}

/// Would catch an error whose code the client does not recognize, or that ends
/// the connection.
#[test]
fn error_conditions_have_the_codes_that_the_client_knows() {
    run(async {
        let redis = Arc::new(Mutex::new(Redis::new(Config::default())));
        let mut client = connect(&redis, &Arc::new(Mutex::new(Open))).await;
        let code = |error: redis::RedisError| error.code().unwrap_or_default().to_owned();
        redis.lock().unwrap().modes().loading = true;
        assert_eq!(code(client.get::<_, ()>("a").await.unwrap_err()), "LOADING");
        redis.lock().unwrap().modes().loading = false;
        redis.lock().unwrap().modes().readonly = true;
        assert_eq!(
            code(client.set::<_, _, ()>("a", 1).await.unwrap_err()),
            "READONLY"
        );
        let mut script = redis::cmd("EVAL");
        script
            .arg("redis.call('SET', KEYS[1], 'x') return 1")
            .arg(1)
            .arg("a");
        assert_eq!(
            code(script.query_async::<()>(&mut client).await.unwrap_err()),
            "READONLY"
        );
        redis.lock().unwrap().modes().readonly = false;
        redis
            .lock()
            .unwrap()
            .modes()
            .denied
            .insert("set".to_owned());
        assert_eq!(
            code(client.set::<_, _, ()>("a", 1).await.unwrap_err()),
            "NOPERM"
        );
        let error = client
            .hget::<_, _, ()>("a", "b")
            .await
            .err()
            .map(|error| error.kind());
        assert!(
            !matches!(error, Some(ErrorKind::Io)),
            "the connection survives errors"
        );
    });
}

/// Injects a fault at each SET.
struct FaultySet(Fault);

enum Fault {
    Before(Before),
    After(After),
}

impl Gate for FaultySet {
    fn before(&mut self, _: ConnId, command: &Command) -> Before {
        match &self.0 {
            Fault::Before(before) if command.is("SET") => before.clone(),
            _ => Before::Run,
        }
    }

    fn after(&mut self, _: ConnId, command: &Command, _: &Reply) -> After {
        match &self.0 {
            Fault::After(after) if command.is("SET") => after.clone(),
            _ => After::Send,
        }
    }
}

async fn set_under(fault: Fault) -> (Result<(), redis::RedisError>, SharedRedis) {
    let redis = Arc::new(Mutex::new(Redis::new(Config::default())));
    let gate = Arc::new(Mutex::new(FaultySet(fault)));
    let mut client = connect(&redis, &gate).await;
    let result = client.set("a", "1").await;
    drop(client);
    (result, redis)
}

fn is_set(redis: &SharedRedis) -> bool {
    redis.lock().unwrap().keyspace().peek(b"a").is_some()
}

/// Would catch a cut at the wrong moment, and one that the client takes for an
/// error of the server.
#[test]
fn cuts_before_and_after_a_command_look_alike_to_the_client() {
    run(async {
        for (fault, ran) in [
            (Fault::Before(Before::Cut), false),
            (Fault::After(After::Cut), true),
            (Fault::After(After::CutMidReply), true),
        ] {
            let (result, redis) = set_under(fault).await;
            let kind = result.unwrap_err().kind();
            assert!(!matches!(kind, ErrorKind::Server(_)), "{kind:?}");
            assert_eq!(is_set(&redis), ran);
        }
    });
}

/// Would catch a late command that is dropped with its connection.
#[test]
fn a_delayed_command_runs_after_its_client_has_gone() {
    run(async {
        let (result, redis) = set_under(Fault::Before(Before::Delay(Duration::from_secs(5)))).await;
        assert!(result.unwrap_err().is_timeout());
        assert!(!is_set(&redis));
        sleep(Duration::from_secs(6)).await;
        assert!(is_set(&redis));
    });
}

/// Would catch a refused connection without its error, and an old connection
/// that still works.
#[test]
fn refused_and_outdated_connections() {
    run(async {
        let redis = Arc::new(Mutex::new(Redis::new(Config::default())));
        redis.lock().unwrap().modes().max_clients = Some(1);
        let gate = Arc::new(Mutex::new(Open));
        let mut first = connect(&redis, &gate).await;
        let () = first.set("a", 1).await.unwrap();
        let (mut near, far) = tokio::io::duplex(1024);
        tokio::task::spawn_local(serve_connection(far, redis.clone(), gate.clone(), sleep));
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut near, &mut text)
            .await
            .unwrap();
        assert_eq!(text, "-ERR max number of clients reached\r\n");
        redis.lock().unwrap().restart();
        assert!(
            first
                .get::<_, i64>("a")
                .await
                .unwrap_err()
                .is_connection_dropped()
        );
        assert_eq!(
            connect(&redis, &gate)
                .await
                .get::<_, i64>("a")
                .await
                .unwrap(),
            1
        );
    });
}
