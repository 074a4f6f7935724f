//! Torture: the program against a real redis-server, for some seconds.

use std::{
    net::{Ipv4Addr, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
};

use haechi_sim::{
    plan::{FaultClass, FaultKind},
    torture::is_supported,
};
use haechi_store_redis::clock::{Clock, SystemClock};
use redis_sim::server_process::{NO_VALKEY, skip};
use serde_json::Value;

/// Runs `haechi-sim torture` with these arguments.
fn torture(words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haechi-sim"))
        .arg("torture")
        .args(words.split(' '))
        .output()
        .unwrap()
}

/// The last line of the output.
fn verdict(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last();
    serde_json::from_str(last.unwrap_or_else(|| panic!("no verdict: {said}"))).unwrap()
}

/// Supported faults that a run of some seconds may miss: those of a lock that has
/// to be held, and one that needs large replies.
const RARE: [&str; 5] = [
    "limited_bandwidth",
    "lock_deleted",
    "lock_holder_dead",
    "lock_lapsed",
    "lock_stolen",
];

/// Runs a workload for 5 s, and checks its history again; up to three times, until every
/// fault has struck: on a busy machine one may find no command to strike.
fn holds(workload: &str, seed: u64) {
    let expected = FaultKind::all().filter(|kind| is_supported(*kind));
    // One round in four loses data.
    let expected = expected.filter(|kind| kind.class() != FaultClass::DataLoss);
    let names = expected.map(FaultKind::name);
    let mut missed: Vec<&str> = names.filter(|name| !RARE.contains(name)).collect();
    for seed in seed..seed + 3 {
        let directory = tempfile::tempdir().unwrap();
        let history = directory.path().join("history.jsonl");
        let words = format!(
            "--seconds 5 --seed {seed} --workload {workload} --history {}",
            history.display()
        );
        let output = torture(&words);
        let verdict = verdict(&output);
        assert_eq!(output.status.code(), Some(0), "{verdict}");
        assert_eq!(verdict["verdict"], "ok", "{verdict}");
        assert!(verdict["ops"]["ok"].as_u64() > Some(30), "{verdict}");
        assert!(verdict["lostReplies"].as_u64() > Some(0), "{verdict}");
        assert_eq!(check(&history), Some(0), "the history that was written");
        missed.retain(|fault| verdict["faults"].get(fault).is_none());
        if missed.is_empty() {
            return;
        }
    }
    panic!("{missed:?} never struck");
}

fn check(history: &Path) -> Option<i32> {
    let mut check = Command::new(env!("CARGO_BIN_EXE_haechi-sim"));
    check.arg("check").arg(history).stdout(Stdio::null());
    check.stderr(Stdio::null()).status().unwrap().code()
}

/// Would catch a chain that fails on a real server and network, a fault that no
/// longer strikes, and a false violation.
#[test]
fn the_chain_holds_against_a_real_server() {
    holds("audit", 12);
}

/// The same for the vault.
#[test]
fn the_vault_holds_against_a_real_server() {
    holds("vault", 12);
}

/// Loses data by each of these faults.
fn loses(faults: &[&str]) {
    let mut said = 0;
    for fault in faults {
        let output = torture(&format!("--seconds 3 --seed 2 --faults {fault}"));
        let verdict = verdict(&output);
        assert_eq!(output.status.code(), Some(0), "{verdict}");
        assert!(verdict["faults"][fault].as_u64() > Some(0), "{verdict}");
        assert!(verdict["ops"]["ok"].as_u64() > Some(30), "{verdict}");
        let loss = &verdict["losses"][fault];
        assert_ne!(loss["silent"].as_u64(), Some(1), "{verdict}");
        said += loss["said"].as_u64().unwrap_or(0);
    }
    assert!(said > 0, "no process has said that something was lost");
}

/// Would catch a fault that loses no data or more than the history says, a rollback that is
/// not found on a real server, and processes that do not go on after it.
#[test]
fn a_server_that_starts_again_without_its_data_is_noticed() {
    loses(&[
        "crash_without_aof",
        "snapshot_restored",
        "unsynced_tail_lost",
    ]);
}

/// The same for a failover and a flush.
#[test]
fn a_failover_and_a_flush_are_noticed() {
    loses(&["lagging_replica_promoted", "flushall"]);
}

/// The same for keys that are lost one by one, which the operator repairs.
#[test]
fn keys_that_are_lost_one_by_one_are_noticed() {
    loses(&["key_deleted", "key_restored", "keys_evicted"]);
}

/// How many writes were acknowledged as this durable, in a run that found nothing wrong.
fn acknowledged(durability: &str, words: &str) -> u64 {
    let output = torture(&format!("--seconds 4 --durability {durability} {words}"));
    let verdict = verdict(&output);
    assert_eq!(output.status.code(), Some(0), "{verdict}");
    let loss = verdict["losses"].as_object().unwrap();
    assert!(!loss.is_empty(), "nothing was lost: {verdict}");
    verdict["acknowledged"][durability].as_u64().unwrap_or(0)
}

/// Would catch a write that is acknowledged as replicated and is gone after a failover, or
/// with one that nothing waits for.
#[test]
fn what_a_replica_has_survives_its_promotion() {
    let faults = "--seed 2 --faults lagging_replica_promoted";
    assert!(acknowledged("replicas:1", faults) > 30);
    let faults = "--seconds 60 --durability replicas:1 --faults lagging_replica_promoted";
    let output = torture(&format!("{faults} --store shortfall_ignored"));
    let verdict = verdict(&output);
    assert_eq!(verdict["verdict"], "violation", "{verdict}");
}

/// The same for what is synced, and a loss of power. Needs valkey-server (`VALKEY_SERVER`).
#[test]
fn what_is_synced_survives_a_loss_of_power() {
    let output = torture("--seconds 1 --durability fsync");
    let said = String::from_utf8_lossy(&output.stderr);
    // redis-server 7.0 cannot tell; later ones can.
    assert!(
        output.status.success() || said.contains("WAITAOF"),
        "{said}"
    );
    let Ok(valkey) = std::env::var("VALKEY_SERVER") else {
        skip(NO_VALKEY);
        return;
    };
    let faults = format!("--seed 2 --faults unsynced_tail_lost --redis-server {valkey}");
    assert!(acknowledged("fsync", &faults) > 30);
    let faults = format!("--seconds 60 --durability fsync {faults} --store shortfall_ignored");
    let verdict = verdict(&torture(&faults));
    assert_eq!(verdict["verdict"], "violation", "{verdict}");
}

/// Would catch torture that finds nothing, whatever the store does, and a replica
/// of Redis that does not lag.
#[test]
fn torture_finds_planted_bugs() {
    for (store, words) in [
        ("blind_retry", "--workload audit"),
        ("vault_no_fence", "--workload vault"),
        (
            "vault_replica_believed",
            "--workload vault --faults lagging_replica",
        ),
        (
            "rollback_accepted",
            "--workload audit --faults flushall,snapshot_restored",
        ),
    ] {
        let output = torture(&format!(
            "--seconds 60 --replicas 4 {words} --store {store}"
        ));
        let verdict = verdict(&output);
        assert_eq!(output.status.code(), Some(1), "{store}: {verdict}");
        assert_eq!(verdict["verdict"], "violation");
    }
}

/// Would catch a check that trusts the history about the content of Redis.
#[test]
fn a_record_missing_at_the_end_is_detected() {
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history.jsonl");
    let output = torture(&format!(
        "--seconds 1 --workload audit --history {}",
        history.display()
    ));
    assert_eq!(output.status.code(), Some(0));
    let text = std::fs::read_to_string(&history).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let mut last: Value = serde_json::from_str(lines.pop().unwrap()).unwrap();
    last["chain"].as_array_mut().unwrap().pop().unwrap();
    let last = last.to_string();
    lines.push(&last);
    std::fs::write(&history, lines.join("\n")).unwrap();
    assert_eq!(check(&history), Some(1));
}

/// Would catch a missing server that is reported as a verdict.
#[test]
fn a_missing_server_is_an_error() {
    let output = torture("--redis-server /nonexistent/redis-server --seconds 1");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("apt-get install redis-server"), "{said}");
}

/// Would catch a server, possibly a stopped one, that survives the program when
/// that is killed.
#[cfg(unix)]
#[test]
fn the_server_is_killed_with_the_program() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let (script, servers) = (
        directory.path().join("server"),
        directory.path().join("servers"),
    );
    let real = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
    // The port is the second argument of a server.
    let text = format!(
        "#!/bin/sh\necho $2 $$ >> '{}'\nexec {real} \"$@\"\n",
        servers.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_haechi-sim"))
        .args(["torture", "--seconds", "60", "--redis-server"])
        .arg(&script)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let listens = || {
        let servers = std::fs::read_to_string(&servers).unwrap_or_default();
        servers.lines().any(|server| {
            let (port, pid) = server.split_once(' ').unwrap_or_default();
            let port: u16 = port.parse().unwrap_or_default();
            // Another test's server may listen on the same port by then.
            let is_alive = Command::new("kill").args(["-0", pid]).output();
            is_alive.is_ok_and(|output| output.status.success())
                && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        })
    };
    eventually(listens);
    program.kill().unwrap();
    program.wait().unwrap();
    eventually(|| !listens());
}

/// Waits up to 20 s until a condition holds.
#[cfg(unix)]
fn eventually(is_so: impl Fn() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let clock = SystemClock::new();
    while !is_so() {
        assert!(clock.now().as_secs() < 20);
        runtime.block_on(clock.sleep(std::time::Duration::from_millis(20)));
    }
}
