//! `haechi-sim serve`, as a program: with redis-cli, the real client, and the
//! reference's adapters on node-redis.

use haechi_store_redis::chain::Verifier;
use redis::{AsyncCommands, Client};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

pub(crate) struct Served {
    child: Child,
    pub(crate) port: u16,
}

impl Served {
    pub(crate) fn start() -> Served {
        Served::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Served {
        let mut served = serve("0");
        served.args(arguments).stdout(Stdio::piped());
        let mut child = served.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let port = u16::try_from(said["port"].as_u64().unwrap()).unwrap();
        Served { child, port }
    }

    fn client(&self, options: &str) -> Client {
        Client::open(format!("redis://127.0.0.1:{}/{options}", self.port)).unwrap()
    }

    /// The output of redis-cli; words with blanks are passed in `last`.
    fn cli(&self, words: &str, last: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words.split(' '))
            .args(last)
            .output()
            .expect("redis-cli is needed (Debian: apt-get install redis-tools)");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// Ends it. What it said on stderr after it listened.
    pub(crate) fn log(mut self) -> Vec<String> {
        assert_eq!(self.end("-TERM").code(), Some(0));
        let said = BufReader::new(self.child.stderr.take().unwrap());
        said.lines().skip(1).map(Result::unwrap).collect()
    }

    fn end(&mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn serve(port: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haechi-sim"));
    command
        .args(["serve", "--port", port])
        .stderr(Stdio::piped());
    command
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test)
}

#[allow(
    clippy::disallowed_methods,
    reason = "a real server's keys expire in real time"
)]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// Would catch a server that redis-cli cannot use.
#[test]
fn redis_cli_works_with_it() {
    let served = Served::start();
    assert_eq!(served.cli("PING", &[]), "PONG");
    assert_eq!(served.cli("SET text", &["two\nlines"]), "OK");
    assert_eq!(served.cli("GET text", &[]), "two\nlines");
    assert!(served.cli("INFO server", &[]).contains("redis_version:7.0"));
    let sha = served.cli(
        "SCRIPT LOAD",
        &["return {KEYS[1], 2, {'deep'}, redis.call('GET', KEYS[1])}"],
    );
    assert_eq!(sha.len(), 40);
    let reply = served.cli(&format!("EVALSHA {sha} 1 text"), &[]);
    assert_eq!(reply, "text\n2\ndeep\ntwo\nlines");
    assert!(served.cli("LPUSH text x", &[]).starts_with("WRONGTYPE"));
    assert_eq!(served.cli("HSET h a 1 b 2", &[]), "2");
    assert_eq!(
        served.cli("-3 --no-raw HGETALL h", &[]),
        "1# \"a\" => \"1\"\n2# \"b\" => \"2\""
    );
    assert_eq!(served.cli("--no-raw GET none", &[]), "(nil)");
    assert_eq!(served.cli("SET short x PX 30", &[]), "OK");
    pause();
    assert_eq!(
        served.cli("EXISTS short", &[]),
        "0",
        "keys expire by the wall clock"
    );
}

/// Would catch connections that do not share one server, and RESP3 that the
/// real client cannot read.
#[test]
fn the_real_client_works_with_it_in_both_protocols() {
    let served = Served::start();
    run(async {
        let mut old = served
            .client("")
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let newer = served.client("?protocol=resp3");
        let mut new = newer.get_multiplexed_async_connection().await.unwrap();
        let () = old
            .hset_multiple("h", &[("a", "1"), ("b", "2")])
            .await
            .unwrap();
        let () = old.zadd("z", "m", 1.5).await.unwrap();
        for client in [&mut old, &mut new] {
            let all: BTreeMap<String, i64> = client.hgetall("h").await.unwrap();
            assert_eq!(
                all,
                BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)])
            );
            assert_eq!(
                client.zscore::<_, _, Option<f64>>("z", "m").await.unwrap(),
                Some(1.5)
            );
            assert_eq!(client.get::<_, Option<String>>("none").await.unwrap(), None);
            let counted: (i64, Vec<String>) = redis::pipe()
                .atomic()
                .incr("n", 1)
                .ignore()
                .hlen("h")
                .hkeys("h")
                .query_async(client)
                .await
                .unwrap();
            assert_eq!(counted, (2, vec!["a".to_owned(), "b".to_owned()]));
        }
        assert_eq!(new.get::<_, i64>("n").await.unwrap(), 2);
        let script = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
        let mut load = redis::cmd("SCRIPT");
        let sha: String = load
            .arg("LOAD")
            .arg(script)
            .query_async(&mut old)
            .await
            .unwrap();
        let mut call = redis::cmd("EVALSHA");
        call.arg(sha).arg(1).arg("n").arg(40);
        let sum: i64 = call.query_async(&mut new).await.unwrap();
        assert_eq!(sum, 42);
    });
}

/// Would catch a server that does not end, or not with exit code 0.
#[test]
fn it_ends_on_signals_and_reports_a_port_in_use() {
    for signal in ["-TERM", "-INT"] {
        let mut served = Served::start();
        assert_eq!(served.cli("PING", &[]), "PONG");
        let refused = serve(&served.port.to_string()).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            said.contains("in use") && said.contains("--port 0"),
            "{said}"
        );
        assert_eq!(served.end(signal).code(), Some(0), "{signal}");
    }
}

/// Would catch what only the reference's code requires: its adapters, on
/// node-redis 5 in RESP2 and RESP3, four writers on one chain, and its token
/// store. The chain they build is then verified, and continued in the same
/// Redis.
#[test]
#[ignore = "needs node, npm and its registry: cargo test -p haechi-sim --test it reference -- --ignored"]
fn the_reference_s_adapters_build_a_chain_on_it() {
    let served = Served::start();
    let directory = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    for file in ["package.json", "drive.mjs"] {
        std::fs::copy(source.join(file), directory.path().join(file)).unwrap();
    }
    // The adapters have the reference's core as a peer dependency, which is on
    // no public registry.
    let install = [
        "install",
        "--legacy-peer-deps",
        "--no-audit",
        "--no-fund",
        "--silent",
    ];
    let installed = Command::new("npm")
        .args(install)
        .current_dir(&directory)
        .status();
    assert!(installed.expect("npm is needed").success());
    let output = Command::new("node")
        .arg("drive.mjs")
        .env("REDIS_URL", format!("redis://127.0.0.1:{}", served.port))
        .current_dir(&directory)
        .output()
        .expect("node is needed");
    std::io::stderr().write_all(&output.stderr).unwrap();
    assert!(output.status.success());
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();

    let (records, hash, tokens): (Vec<Vec<u8>>, String, usize) = run(async {
        let mut client = served
            .client("")
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        (
            client.lrange("haechi:audit:chain", 0, -1).await.unwrap(),
            client.get("haechi:audit:head:hash").await.unwrap(),
            client.hlen("haechi:tv:tokens").await.unwrap(),
        )
    });
    assert_eq!(said["records"], records.len());
    assert_eq!(said["tokens"], tokens);
    let mut verifier = Verifier::new();
    for record in &records {
        assert_eq!(verifier.line(record), []);
    }
    let verdict = verifier.finish();
    assert!(verdict.is_valid());
    assert_eq!(verdict.head.hash_text(), hash);
}
