//! `--durability`: what is refused, and what is applied but not as durable as asked.

use redis_sim::server_process::RedisServer;

use super::{events, length, on, tell};

const REPLICAS_1: [&str; 2] = ["--durability", "replicas:1"];

fn replica(primary: &RedisServer) -> RedisServer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (replica, _) = runtime.block_on(crate::replica::replica_of(primary));
    replica
}

/// Would catch a readiness probe, a start or a benchmark that passes although this
/// Redis cannot make writes so durable.
#[test]
fn a_redis_without_replicas_is_refused_by_name() {
    let server = crate::support::server();
    let ready = on(&server, &[&["ready"], &REPLICAS_1[..]].concat(), b"").exits(1);
    assert_eq!(ready.answer()["reason"], "insufficient_replicas");
    let ready = on(&server, &["ready", "--vault", "--durability", "fsync"], b"").exits(1);
    assert_eq!(ready.answer()["reason"], "fsync_unavailable");
    for what in [
        &["audit", "append"][..],
        &["bench", "audit"],
        &["bench", "vault"],
    ] {
        let args = [what, &REPLICAS_1].concat();
        let ran = on(&server, &args, events(1).as_bytes()).exits(1);
        assert!(
            ran.stderr
                .contains("insufficient_replicas: 0 replicas are online"),
            "{ran:?}"
        );
    }
    assert_eq!(length(&server), redis::Value::Int(0));
}

/// Would catch a shortfall that is told as a failure, or not at all.
#[test]
fn a_shortfall_is_a_warning() {
    let primary = crate::support::server();
    let replica = replica(&primary);
    let args = [&["audit", "append"], &REPLICAS_1[..]].concat();
    let ran = on(&primary, &args, events(2).as_bytes()).exits(0);
    assert!(
        ran.json()
            .iter()
            .all(|line| line.get("durability").is_none()),
        "{ran:?}"
    );

    replica.stop().unwrap();
    let args = [&args[..], &["--deadline", "1", "--json"]].concat();
    let ran = on(&primary, &args, events(3).as_bytes()).exits(0);
    let (lines, summary) = (ran.json(), ran.json().pop().unwrap());
    for line in &lines[..3] {
        assert_eq!(line["durability"], "not_yet");
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.starts_with("0 of 1 replicas had it"), "{reason}");
    }
    assert_eq!(summary["summary"]["notYetDurable"], 3);
    assert!(
        ran.stderr
            .contains("3 records are applied, but not yet as durable"),
        "{ran:?}"
    );
    assert_eq!(length(&primary), redis::Value::Int(5));
    replica.resume().unwrap();
}

/// Would catch a price without its comparison, and keys that are left.
#[test]
fn a_benchmark_compares_the_level_with_memory() {
    let primary = crate::support::server();
    let _replica = replica(&primary);
    for what in ["audit", "vault"] {
        let args = [&["bench", what, "--ops", "300"], &REPLICAS_1[..]].concat();
        let answer = on(&primary, &args, b"").exits(0).answer();
        assert_eq!(answer["committed"], 300);
        assert_eq!(answer["durability"], "replicas:1");
        assert_eq!(answer["notYetDurable"], 0);
        assert!(answer["rateRatio"].as_f64() > Some(0.0), "{answer}");
        assert!(
            answer["memoryOpsPerSecond"].as_f64() > Some(0.0),
            "{answer}"
        );
        assert_eq!(tell(&primary, &["DBSIZE"]), redis::Value::Int(0));
    }
}
