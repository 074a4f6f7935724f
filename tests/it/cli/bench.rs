//! `bench audit`, `bench vault` and `bench sweep`.

use serde_json::Value;

use redis_sim::server_process::RedisServer;

use super::{Ran, on, program, run, tell};
use crate::refusals::{granted, names, rules};

/// What the benchmark answers, without the lock and with it.
fn measured(what: &[&str], ops: u64) -> [Value; 2] {
    let server = crate::support::server();
    ["none", "always"].map(|lock| {
        let ops_given = ops.to_string();
        let args = ["--replicas", "3", "--writers", "4", "--ops", &ops_given];
        let args = [&["bench"], what, &args, &["--lock", lock]].concat();
        let answer = on(&server, &args, b"").exits(0).answer();
        assert_eq!(answer["committed"], ops);
        assert_eq!(answer["failed"], 0);
        assert!(answer["opsPerSecond"].as_f64().unwrap() > 0.0);
        assert!(answer["p50Ms"].as_f64() <= answer["p99Ms"].as_f64());
        assert_eq!(tell(&server, &["DBSIZE"]), redis::Value::Int(0));
        answer
    })
}

/// Would catch a benchmark that measures less than it reports, or leaves keys.
#[test]
fn every_operation_is_committed_and_no_key_is_left() {
    for answer in measured(&["audit"], 500) {
        let contended =
            answer["conflicts"].as_u64() > Some(0) || answer["lockWaits"].as_u64() > Some(0);
        assert!(contended, "{answer}");
    }
    measured(&["vault", "--vault-size", "1200"], 300);
}

/// Would catch a sweep that leaves out a cell or keys, or draws no line for one.
#[test]
fn a_sweep_measures_and_draws_every_cell() {
    let server = crate::support::server();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("contention.svg");
    let drawn = file.to_str().unwrap();
    let args = [
        "bench",
        "sweep",
        "--contenders",
        "1,3",
        "--window",
        "0.2",
        "--svg",
        drawn,
    ];
    let answer = on(&server, &args, b"").exits(0).answer();
    let cells = answer["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 3 * 2 * 2);
    for cell in cells {
        assert!(cell["opsPerSecond"].as_f64() > Some(0.0), "{cell}");
        assert!(cell["p50Ms"].as_f64() <= cell["p99Ms"].as_f64(), "{cell}");
        let is_one = cell["contenders"] == 1 && cell["lock"] == "none";
        assert!(!is_one || cell["rate"] == 1.0, "{cell}");
        assert_eq!(cell["givenUp"], 0, "{cell}");
    }
    assert_eq!(tell(&server, &["DBSIZE"]), redis::Value::Int(0));
    let svg = std::fs::read_to_string(&file).unwrap();
    assert_eq!(svg.matches("<circle").count(), 2 * cells.len());
    assert!(svg.contains("prefers-color-scheme: dark"));
    let refused = [
        "bench",
        "sweep",
        "--contenders",
        "1",
        "--window",
        "0.01",
        "--svg",
        "/dev/null/x",
    ];
    let said = on(&server, &refused, b"").exits(2);
    assert!(
        said.stderr.contains("name another file with --svg"),
        "{}",
        said.stderr
    );
}

/// Would catch a benchmark that needs more than its rule in the README, or less, or does
/// not say what it lacks.
#[test]
fn every_permission_of_the_rule_is_needed_and_named() {
    let server = crate::support::server();
    let [_, _, rule] = rules();
    let both = |server: &RedisServer, denied: &str| -> [Ran; 2] {
        let words = rule
            .split(' ')
            .filter(|word| word.strip_prefix('+') != Some(denied));
        let user = ["ACL", "SETUSER", "app", "reset", "on", ">pass"];
        tell(server, &user.into_iter().chain(words).collect::<Vec<_>>());
        tell(server, &["SCRIPT", "FLUSH"]);
        let bench = |what: &[&str]| {
            let mut command =
                program(&[&["bench"], what, &["--ops", "20", "--lock", "always"]].concat());
            let url = format!("redis://app:pass@127.0.0.1:{}", server.port());
            command.env("REDIS_URL", url);
            run(command, b"")
        };
        [bench(&["audit"]), bench(&["vault", "--vault-size", "1"])]
    };
    for ran in both(&server, "") {
        ran.exits(0);
    }
    let mut sweep = program(&["bench", "sweep", "--contenders", "2", "--window", "0.05"]);
    sweep.env(
        "REDIS_URL",
        format!("redis://app:pass@127.0.0.1:{}", server.port()),
    );
    run(sweep, b"").exits(0);
    for command in granted(rule) {
        let ran = both(&server, command);
        // What INFO tells is not known then.
        let named = ran.iter().any(|ran| names(&ran.stderr, command));
        assert_eq!(named, command != "info", "{command}: {ran:?}");
    }
}
