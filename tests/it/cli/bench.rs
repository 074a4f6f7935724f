//! `bench audit` and `bench vault`.

use serde_json::Value;

use super::{on, tell};

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
