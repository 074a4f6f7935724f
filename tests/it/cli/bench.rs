//! `bench audit`.

use super::{on, tell};

/// Would catch a benchmark that measures less than it says, or leaves keys.
#[test]
fn everything_is_committed_and_nothing_left() {
    let server = crate::support::server();
    for lock in ["none", "always"] {
        let args = [
            "bench",
            "audit",
            "--replicas",
            "3",
            "--writers",
            "4",
            "--ops",
            "500",
            "--lock",
            lock,
        ];
        let answer = on(&server, &args, b"").exits(0).answer();
        assert_eq!(answer["committed"], 500);
        assert_eq!(answer["failed"], 0);
        assert!(answer["opsPerSecond"].as_f64().unwrap() > 0.0);
        assert!(answer["p50Ms"].as_f64() <= answer["p99Ms"].as_f64());
        let contended =
            answer["conflicts"].as_u64() > Some(0) || answer["lockWaits"].as_u64() > Some(0);
        assert!(contended, "{answer}");
        assert_eq!(tell(&server, &["DBSIZE"]), redis::Value::Int(0));
    }
}
