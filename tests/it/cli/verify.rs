//! `audit verify` on damaged chains.

use serde_json::json;

use super::{on, program, run, tell, with_chain};

/// The exported chain of `count` records.
fn export(count: usize) -> String {
    on(&with_chain(count), &["audit", "export"], b"")
        .exits(0)
        .stdout
}

fn verify(args: &[&str], input: &str) -> super::Ran {
    let args = [&["audit", "verify", "--file", "-"], args].concat();
    run(program(&args), input.as_bytes())
}

/// Would catch a changed byte that is accepted, or reported for another record.
#[test]
fn a_changed_byte_is_reported_at_its_record() {
    let chain = export(10);
    let mut lines: Vec<_> = chain.lines().map(str::to_owned).collect();
    lines[4] = lines[4].replacen("protect", "protecd", 1);
    lines[7] = lines[7].replacen("evt-8", "evt-9", 1);
    let changed = lines.join("\n\n") + "\n";
    let first = json!({"valid": false, "records": 4, "reason": "event hash mismatch",
        "line": 9, "sequence": 5});
    assert_eq!(verify(&[], &changed).exits(1).answer(), first);

    let all = verify(&["--all"], &changed).exits(1).json();
    assert_eq!(all.len(), 3);
    assert_eq!(
        all[0],
        json!({"line": 9, "sequence": 5, "reason": "event hash mismatch"})
    );
    assert_eq!(
        all[1],
        json!({"line": 15, "sequence": 8, "reason": "event hash mismatch"})
    );
    assert_eq!(all[2]["faults"], 2);
}

/// Would catch a truncated file that is accepted as a shorter one.
#[test]
fn a_truncated_file_is_reported_with_its_line() {
    let chain = export(10);
    let ran = verify(&[], &chain[..chain.len() - 40]).exits(1);
    let answer = ran.answer();
    assert_eq!(
        (&answer["line"], &answer["records"]),
        (&json!(10), &json!(9))
    );
    assert!(
        answer["reason"]
            .as_str()
            .unwrap()
            .starts_with("invalid: not JSON at byte")
    );
    assert!(
        ran.stderr.contains("the file was cut off"),
        "{}",
        ran.stderr
    );
    // Only the newline is missing.
    verify(&[], &chain[..chain.len() - 1]).exits(0);
}

/// Would catch a verification that ends early because the head is damaged.
#[test]
fn with_a_damaged_head_the_list_is_still_verified() {
    let server = with_chain(10);
    let verify = |code| {
        on(&server, &["audit", "verify", "--all"], b"")
            .exits(code)
            .json()
    };
    tell(&server, &["DEL", "haechi:audit:head"]);
    let found = verify(1);
    assert_eq!(found[1]["records"], 10);
    assert_eq!(
        found[1]["reason"],
        "diverged: head is absent, but the list holds 10 records"
    );

    tell(&server, &["LSET", "haechi:audit:chain", "2", "{}"]);
    let found = verify(1);
    assert_eq!(
        found[0],
        json!({"element": 3, "reason": "missing auditIntegrity"})
    );
    assert_eq!(found.last().unwrap()["faults"], 2);
    // The remaining records can still be exported.
    let ran = on(&server, &["audit", "export"], b"").exits(1);
    assert_eq!(ran.json().len(), 10);
}

/// Would catch a key of another type that is reported as an empty chain.
#[test]
fn a_key_of_another_type_is_named() {
    let server = crate::support::server();
    tell(&server, &["SET", "haechi:audit:chain", "x"]);
    let answer = on(&server, &["audit", "verify"], b"").exits(1).answer();
    assert_eq!(
        answer["reason"],
        "wrong type: the key haechi:audit:chain holds a string"
    );
    let ready = on(&server, &["ready"], b"").exits(1).answer();
    assert_eq!(ready["reason"], "wrong_type");
    on(&server, &["audit", "head"], b"").exits(1);
    on(&server, &["audit", "export"], b"").exits(1);
    let append = on(&server, &["audit", "append"], b"{}\n").exits(1).answer();
    assert_eq!(append["outcome"], "not_applied");
}

/// Would catch an absent file that is reported as valid.
#[test]
fn files_that_cannot_be_opened_are_errors() {
    let nowhere = "/nonexistent/chain.jsonl";
    for args in [
        &["audit", "verify", "--file", nowhere][..],
        &["audit", "verify", "--file", "-", "--anchors", nowhere],
        &["audit", "append", "--anchor", nowhere],
        &["audit", "verify", "--file", "/"],
    ] {
        let ran = run(program(args), b"").exits(2);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.contains(args.last().unwrap()), "{}", ran.stderr);
    }
}

/// Would catch a rewritten history that is valid because one anchor file of
/// several was read last, or that is reported as something else.
#[test]
fn anchor_files_that_contradict_each_other_are_a_conflict() {
    let directory = tempfile::tempdir().unwrap();
    let server = with_chain(4);
    let chain = on(&server, &["audit", "export"], b"").exits(0).json();
    let file = |name: &str, anchors: &[(u64, &str)]| {
        let lines = anchors.iter().map(|(sequence, hash)| {
            json!({"sequence": sequence, "eventHash": hash, "timestamp": ""}).to_string() + "\n"
        });
        let path = directory.path().join(name);
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let hash = |sequence: usize| {
        chain[sequence - 1]["auditIntegrity"]["eventHash"]
            .as_str()
            .unwrap()
    };
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let another = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let one = file("one", &[(2, hash(2)), (3, hash(3))]);
    let same = file("same", &[(3, hash(3)), (4, hash(4))]);
    let contradicts = file("contradicts", &[(3, other)]);
    let beyond = file("beyond", &[(6, other), (9, other)]);
    let also_beyond = file("also beyond", &[(6, another)]);
    for (files, reason, records) in [
        (&[&one, &same][..], None, 4),
        (
            &[&one, &contradicts],
            Some("anchor conflict at sequence 3"),
            2,
        ),
        (
            &[&contradicts, &one],
            Some("anchor conflict at sequence 3"),
            2,
        ),
        (
            &[&contradicts],
            Some("anchor hash mismatch at sequence 3"),
            2,
        ),
        (
            &[&one, &beyond, &also_beyond],
            Some("anchor conflict at sequence 6"),
            4,
        ),
        (
            &[&one, &beyond],
            Some("tail truncation: chain has 4 records but anchor attests sequence 9"),
            4,
        ),
    ] {
        let mut args = vec!["audit", "verify"];
        for file in files {
            args.extend(["--anchors", file]);
        }
        let code = i32::from(reason.is_some());
        let answer = on(&server, &args, b"").exits(code).answer();
        assert_eq!(answer["reason"].as_str(), reason, "{files:?}");
        assert_eq!(answer["records"], records, "{files:?}");
    }
    let args = ["audit", "verify", "--anchors", &one, "--anchors", &same];
    let answer = on(&server, &args, b"").exits(0).answer();
    assert_eq!(answer["anchored"]["count"], 3, "a duplicate counts once");
}

/// Would catch a verification that waits for ever for the other end of a FIFO.
#[test]
fn anchors_in_a_fifo_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let mut limited = std::process::Command::new("timeout");
    limited.args(["20", env!("CARGO_BIN_EXE_haechi-store"), "audit", "verify"]);
    limited.args(["--file", "-", "--anchors"]).arg(&fifo);
    let ran = super::run(limited, b"").exits(2);
    assert!(ran.stderr.contains("not a regular file"), "{ran:?}");
}
