//! `audit append`; its effects are read by `audit export` and `audit head`.

use std::process::Stdio;

use super::{Ran, events, length, on, program, tell};
use crate::support::server;

/// Would catch results out of order, records out of order, and commands that
/// disagree about one chain.
#[test]
fn a_chain_is_appended_verified_and_exported() {
    let server = server();
    let input = events(1000);
    let appended = on(&server, &["audit", "append"], input.as_bytes()).exits(0);
    let results = appended.json();
    assert_eq!(results.len(), 1000);

    let exported = on(&server, &["audit", "export"], b"").exits(0);
    let records = exported.json();
    assert_eq!(records.len(), 1000);
    for (index, (result, record)) in results.iter().zip(&records).enumerate() {
        assert_eq!(result["sequence"], index + 1);
        assert_eq!(record["id"], format!("evt-{}", index + 1));
        assert_eq!(result["eventHash"], record["auditIntegrity"]["eventHash"]);
    }

    let head = on(&server, &["audit", "head"], b"").exits(0).answer();
    assert_eq!(head["sequence"], 1000);
    assert_eq!(head["eventHash"], results[999]["eventHash"]);
    for (args, input) in [
        (&["audit", "verify"][..], ""),
        (&["audit", "verify", "--file", "-"][..], &*exported.stdout),
    ] {
        let verdict = on(&server, args, input.as_bytes()).exits(0).answer();
        assert_eq!(verdict["valid"], true);
        assert_eq!(verdict["records"], 1000);
        assert_eq!(verdict["headHash"], head["eventHash"]);
    }
}

/// Would catch off-by-one ranges, and positions counted from the beginning of a
/// trimmed list.
#[test]
fn a_range_is_exported_by_sequence() {
    let server = super::with_chain(20);
    let sequences = |args: &[&str], code: i32| -> Vec<u64> {
        let args = [&["audit", "export"], args].concat();
        let records = on(&server, &args, b"").exits(code).json();
        let sequence = |record: &serde_json::Value| record["auditIntegrity"]["sequence"].as_u64();
        records.iter().filter_map(sequence).collect()
    };
    assert_eq!(sequences(&["--from", "5", "--to", "7"], 0), [5, 6, 7]);
    assert_eq!(sequences(&["--from", "20"], 0), [20]);
    assert_eq!(sequences(&["--to", "1"], 0), [1]);
    assert_eq!(sequences(&["--from", "19", "--to", "99"], 0), [19, 20]);
    assert_eq!(sequences(&["--from", "21"], 0), [0_u64; 0]);
    assert_eq!(sequences(&["--from", "7", "--to", "5"], 2), [0_u64; 0]);

    tell(&server, &["LTRIM", "haechi:audit:chain", "10", "-1"]);
    assert_eq!(sequences(&["--from", "12", "--to", "13"], 0), [12, 13]);
    assert_eq!(sequences(&["--to", "12"], 0), [11, 12]);
    assert_eq!(sequences(&["--from", "10"], 1), [0_u64; 0]);
}

/// Would catch a bad line that affects the lines before it, or does not stop
/// those after it.
#[test]
fn a_bad_line_stops_the_input() {
    let server = server();
    let bomb = "[".repeat(100_000) + &"]".repeat(100_000);
    let bad = [
        "[1,2]".to_owned(),
        "\"text\"".to_owned(),
        "{\"id\":".to_owned(),
        "{\"id\":1,\"id\":2}".to_owned(),
        format!("{{\"a\":{bomb}}}"),
        bomb,
        "{\"n\":9007199254740993}".to_owned(),
        format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20)),
    ];
    for (round, bad) in bad.iter().enumerate() {
        let input = format!("{}\n{bad}\n{}", events(100), events(100));
        let ran = on(&server, &["audit", "append"], input.as_bytes()).exits(1);
        let sequences: Vec<_> = ran.json().iter().map(|r| r["sequence"].as_u64()).collect();
        let first = round as u64 * 100 + 1;
        let expected: Vec<_> = (first..first + 100).map(Some).collect();
        assert_eq!(sequences, expected);
        // A blank line is skipped, and counted.
        assert!(ran.stderr.contains("line 102: "), "{}", ran.stderr);
        assert_eq!(length(&server), redis::Value::Int((first + 99) as i64));
    }
    on(&server, &["audit", "verify"], b"").exits(0);
}

/// Would catch a last line that is lost if it has no newline.
#[test]
fn the_last_line_needs_no_newline() {
    let server = server();
    let ran = on(
        &server,
        &["audit", "append", "--json"],
        b"{\"id\":1}\r\n{\"id\":2}",
    )
    .exits(0);
    let lines = ran.json();
    assert_eq!(lines[1]["sequence"], 2);
    assert_eq!(lines[2]["summary"]["appended"], 2);
    let torn = on(&server, &["audit", "append"], b"{\"id\":3}\n{\"id\":").exits(1);
    assert_eq!(torn.json().len(), 1);
}

/// Would catch results in the order of the chain, or of replies, instead of the
/// input's.
#[test]
fn two_processes_share_a_chain_and_each_keeps_its_order() {
    let server = server();
    let start = || {
        let mut input = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut input, events(3000).as_bytes()).unwrap();
        program(&["audit", "append"])
            .env("REDIS_URL", server.url())
            .stdin(input.reopen().unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (one, other) = (start(), start());
    let mut taken = Vec::new();
    for child in [one, other] {
        let ran = Ran::from(child.wait_with_output().unwrap());
        let sequences: Vec<_> = ran
            .exits(0)
            .json()
            .iter()
            .map(|result| result["sequence"].as_u64().unwrap())
            .collect();
        assert!(sequences.is_sorted());
        taken.extend(sequences);
    }
    taken.sort_unstable();
    assert!(taken.into_iter().eq(1..=6000));
    on(&server, &["audit", "verify"], b"").exits(0);
}

/// Would catch anchors at the wrong sequences, and invalid ones.
#[test]
fn anchors_are_written_and_attest() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    let path = path.to_str().unwrap();
    let append = ["audit", "append", "--anchor", path, "--anchor-every", "10"];
    on(&server, &append, events(25).as_bytes()).exits(0);
    on(&server, &append, events(10).as_bytes()).exits(0);

    let verify = ["audit", "verify", "--anchors", path];
    let verdict = on(&server, &verify, b"").exits(0).answer();
    assert_eq!(verdict["anchored"]["count"], 3);
    assert_eq!(verdict["anchored"]["lastSequence"], 30);

    let export = on(&server, &["audit", "export", "--to", "29"], b"").exits(0);
    let verify = [&verify[..], &["--file", "-"]].concat();
    let verdict = on(&server, &verify, export.stdout.as_bytes())
        .exits(1)
        .answer();
    assert_eq!(
        verdict["reason"],
        "tail truncation: chain has 29 records but anchor attests sequence 30"
    );

    // A chain without its last anchor is not appended to.
    tell(&server, &["FLUSHALL"]);
    let ran = on(&server, &append, events(1).as_bytes()).exits(1);
    assert!(ran.stderr.contains("rolled back"), "{}", ran.stderr);
    assert_eq!(length(&server), redis::Value::Int(0));
}

/// Would catch records without anchors for ever, since a run forgot the file;
/// and a loss of records that cannot be accepted by what the message says.
#[test]
fn a_run_with_the_anchor_file_anchors_what_one_without_appended() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    let path = path.to_str().unwrap();
    let append = ["audit", "append", "--anchor", path];
    on(&server, &append, events(2).as_bytes()).exits(0);
    on(&server, &["audit", "append"], events(1_000).as_bytes()).exits(0);
    on(&server, &append, b"").exits(0);
    let verify = ["audit", "verify", "--anchors", path];
    let verdict = on(&server, &verify, b"").exits(0).answer();
    assert_eq!(verdict["anchored"]["count"], 1_002);

    tell(&server, &["FLUSHALL"]);
    let refused = on(&server, &append, events(1).as_bytes()).exits(1);
    assert!(refused.stderr.contains("audit resume --accept"));
    std::fs::rename(path, format!("{path}.evidence")).unwrap();
    on(&server, &append, events(1).as_bytes()).exits(0);
}

/// Would catch an applied record that is reported as failed, so that its event
/// would be appended twice.
#[cfg(target_os = "linux")]
#[test]
fn an_anchor_that_cannot_be_written_leaves_its_record_applied() {
    let server = server();
    let append = [
        "audit",
        "append",
        "--anchor",
        "/dev/full",
        "--anchor-every",
        "2",
    ];
    let ran = on(&server, &append, events(3).as_bytes()).exits(0);
    let results = ran.json();
    assert_eq!(results.len(), 3);
    assert_eq!(results[1]["anchor"], "missing");
    assert_eq!(results[2].get("anchor"), None);
    assert!(
        ran.stderr.contains("1 records are applied"),
        "{}",
        ran.stderr
    );
}

/// Would catch a second chain that begins unnoticed after Redis lost the first.
#[test]
fn an_empty_chain_is_not_begun_again_if_an_anchor_attests_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    let path = path.to_str().unwrap();
    let server = server();
    let append = ["audit", "append", "--anchor", path];
    on(&server, &append, events(3).as_bytes()).exits(0);
    tell(&server, &["FLUSHALL"]);
    for _ in 0..2 {
        let refused = on(&server, &append, events(1).as_bytes()).exits(1);
        assert!(
            refused.stderr.contains("rolled back: ") && refused.stderr.contains("is empty now"),
            "{}",
            refused.stderr
        );
        assert_eq!(length(&server), redis::Value::Int(0));
    }
}
