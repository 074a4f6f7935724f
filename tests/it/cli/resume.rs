//! `--seen`, `audit resume` and `vault resume`.

use serde_json::json;

use super::{Ran, on, program, run, tell};

/// Would catch a restart that does not notice a rollback, a message whose next step
/// does not work, and processes that do not go on afterwards.
#[test]
fn a_rolled_back_chain_is_resumed() {
    let server = crate::support::server();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (seen, anchors) = (path("seen.json"), path("anchors.jsonl"));
    let events = b"{\"id\":\"1\"}\n{\"id\":\"2\"}\n";
    let append = |more: &[&str]| on(&server, &[&["audit", "append"], more].concat(), events);
    let anchored: &[&str] = &["--anchor", &anchors];
    append(&["--seen", &seen]).exits(0);
    append(anchored).exits(0);
    on(&server, &["audit", "head", "--seen", &seen], b"").exits(0);
    tell(&server, &["FLUSHALL"]);

    let says = |ran: Ran, what: &str| {
        let ran = ran.exits(1);
        assert!(
            ran.stderr.contains(what) || ran.stdout.contains(what),
            "{ran:?}"
        );
        ran
    };
    let refused = says(append(&["--seen", &seen]), "rolled back");
    let next = "haechi-store audit resume --accept 1..4 --head-hash ";
    assert!(refused.stderr.contains(next), "{refused:?}");
    says(append(anchored), "rolled back");
    for command in ["head", "export", "verify"] {
        let read = on(&server, &["audit", command, "--seen", &seen], b"");
        says(read, "rolled back");
    }
    let resume = |more: &[&str]| on(&server, &[&["audit", "resume"], more].concat(), b"");
    says(
        resume(&["--accept", "1..3", "--seen", &seen]),
        "--accept 1..4",
    );
    let resumed = resume(&["--accept", "1..4", "--seen", &seen]).exits(0);
    let answer = resumed.answer();
    assert_eq!(
        (&answer["sequence"], &answer["lost"]),
        (&json!(1), &json!("1..4"))
    );

    append(&["--seen", &seen]).exits(0);
    let again = resume(&["--accept", "1..4", "--seen", &seen, "--anchors", &anchors]);
    says(again, "has gone on from the loss of 1..4 already");
    // It has no file of its own, so the loss is accepted for it, too.
    says(append(anchored), "rolled back");
    append(&[anchored, &["--accept", "1..4"]].concat()).exits(0);
    // Its anchors have begun anew.
    append(anchored).exits(0);
    let lines = std::fs::read_to_string(&anchors).unwrap();
    let anchored: Vec<u64> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(anchored, [3, 4, 4, 5, 6, 7]);
    on(&server, &["audit", "verify", "--seen", &seen], b"").exits(0);
    let verify = |more: &[&str]| {
        let command = ["audit", "verify", "--anchors", &anchors];
        on(&server, &[&command, more].concat(), b"")
    };
    says(verify(&[]), "anchor hash mismatch at sequence 3");
    says(
        verify(&["--accept", "1..3"]),
        "anchor hash mismatch at sequence 3",
    );
    let accepted = verify(&["--accept", "1..4"]).exits(0).answer();
    let losses = &accepted["acceptedLosses"][0];
    assert_eq!((&losses["from"], &losses["to"]), (&json!(1), &json!(4)));
    // A record that says so is needed, too.
    tell(&server, &["FLUSHALL"]);
    says(verify(&["--accept", "1..4"]), "tail truncation");
}

/// Would catch a process of the chain alone that cannot recognize the record which another
/// replica left under the keys that they share, and one that goes on by other keys.
#[test]
fn a_record_under_shared_keys_is_recognized() {
    let server = super::with_chain(2);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (own, other) = (path("own"), path("other"));
    let (keys, strange) = (path("keys"), path("strange"));
    for file in [&keys, &strange] {
        run(program(&["keys", "init", "--key-file", file]), b"").exits(0);
    }
    let append = |more: &[&str]| {
        let args = ["audit", "append", "--seen", &own];
        on(&server, &[&args, more].concat(), b"{}\n")
    };
    append(&[]).exits(0);
    on(&server, &["audit", "head", "--seen", &other], b"").exits(0);
    tell(&server, &["FLUSHALL"]);
    let resume = ["audit", "resume", "--accept", "1..3", "--seen", &other];
    on(
        &server,
        &[&resume[..], &["--key-file", &keys]].concat(),
        b"",
    )
    .exits(0);
    for refused in [&[][..], &["--key-file", &strange]] {
        let refused = append(refused).exits(1);
        assert!(refused.stderr.contains("rolled back"), "{refused:?}");
    }
    append(&["--key-file", &keys]).exits(0);
    append(&[]).exits(0);
}

/// Would catch a file that is taken for one of nothing seen, and secrets in it.
#[test]
fn a_damaged_file_is_refused() {
    let server = crate::support::server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    std::fs::write(&path, "{}").unwrap();
    let ran = on(
        &server,
        &["audit", "append", "--seen", path.to_str().unwrap()],
        b"{}\n",
    )
    .exits(2);
    assert!(ran.stderr.contains("nothing was done"), "{ran:?}");
    assert_eq!(tell(&server, &["DBSIZE"]), redis::Value::Int(0));
}

/// Would catch what was seen hidden by the head that tickets begin from, a file that cannot
/// be written and so finds no rollback, a hash taken for an option,
/// and a range that leaves out what is gone, too.
#[test]
fn what_was_seen_is_neither_hidden_nor_lost() {
    let server = crate::support::server();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (seen, tickets, absent) = (path("seen"), path("tickets"), path("absent/seen"));
    let event = b"{\"id\":\"1\"}\n";
    let append = |more: &[&str]| on(&server, &[&["audit", "append"], more].concat(), event);
    append(&["--seen", &seen]).exits(0);
    tell(&server, &["FLUSHALL"]);
    append(&[]).exits(0);
    append(&[]).exits(0);
    let hidden = append(&["--seen", &seen, "--tickets", &tickets]).exits(1);
    assert!(hidden.stderr.contains("rolled back"), "{hidden:?}");

    let unwritable = append(&["--seen", &absent]).exits(2);
    assert!(
        unwritable.stderr.contains("cannot be used"),
        "{unwritable:?}"
    );

    let hash = format!("-{}", "A".repeat(42));
    let resume = ["audit", "resume", "--accept", "5..9", "--head-hash", &hash];
    let taken = on(&server, &resume, b"").exits(1);
    assert!(taken.stderr.contains("--accept 3..9"), "{taken:?}");
}

/// Would catch a command that ignores --seen: one that reads what is gone as if nothing
/// were, or settles a write by beginning another chain or vault; and one that only reads and
/// writes the file.
#[test]
fn every_command_compares_with_what_was_seen() {
    let server = crate::support::server();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (seen, keys, tickets) = (path("seen"), path("keys"), path("tickets"));
    let on = |args: &[&str], input: &[u8]| on(&server, args, input);
    on(&["keys", "init", "--key-file", &keys], b"").exits(0);
    let handle = || {
        let lines = std::fs::read_to_string(&tickets).unwrap();
        let ticket: serde_json::Value =
            serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        ticket["handle"].as_str().unwrap().to_owned()
    };
    let append = ["audit", "append", "--seen", &seen, "--tickets", &tickets];
    on(&append, b"{}\n").exits(0);
    let appended = handle();
    let tokenize = ["vault", "tokenize", "--type", "email", "--key-file", &keys];
    let tokenize = [&tokenize[..], &["--seen", &seen, "--tickets", &tickets]].concat();
    on(&tokenize, b"a@example.com\n").exits(0);
    let tokenized = handle();
    let before = std::fs::read(&seen).unwrap();
    let all: [(&[&str], i32); 8] = [
        (&["ready", "--vault"], 1),
        (&["audit", "follow"], 1),
        (&["audit", "verify"], 1),
        (&["audit", "export"], 1),
        (&["vault", "list"], 1),
        (&["audit", "resolve", &appended], 3),
        (&["audit", "resolve", &appended, "--settle"], 3),
        (&["vault", "resolve", &tokenized, "--settle"], 3),
    ];
    on(&["ready", "--vault", "--seen", &seen], b"").exits(0);
    on(&["vault", "list", "--seen", &seen], b"").exits(0);
    let resolve = ["audit", "resolve", &appended, "--seen", &seen];
    assert_eq!(on(&resolve, b"").exits(0).stdout, "applied at 1\n");
    // Another prefix, of which nothing tells.
    let other = ["--audit-prefix", "b:", "--vault-prefix", "c:"];
    for resolve in &all[6..] {
        let empty = on(&[resolve.0, &other].concat(), b"").exits(3);
        assert!(empty.stderr.contains("nothing under"), "{empty:?}");
    }
    tell(&server, &["FLUSHALL"]);
    for (args, code) in all {
        let ran = on(&[args, &["--seen", &seen]].concat(), b"").exits(code);
        let says = |what| ran.stderr.contains(what) || ran.stdout.contains(what);
        assert!(says("rolled back") || says("nothing under"), "{ran:?}");
    }
    let written = ["EXISTS", "haechi:audit:chain", "haechi:tv:receipts"];
    assert_eq!(tell(&server, &written), redis::Value::Int(0));
    assert_eq!(std::fs::read(&seen).unwrap(), before);
}

/// Would catch two processes that write one file, a reader that is refused meanwhile, and
/// one that writes.
#[test]
fn a_file_in_use_is_compared_and_not_written() {
    let server = super::with_chain(2);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen");
    let seen = path.to_str().unwrap();
    on(&server, &["audit", "head", "--seen", seen], b"").exits(0);
    let before = std::fs::read(&path).unwrap();
    on(&server, &["audit", "append"], b"{}\n").exits(0);
    let running = haechi_store_redis::SeenFile::open(&path).unwrap();
    for command in ["head", "verify", "export"] {
        on(&server, &["audit", command, "--seen", seen], b"").exits(0);
    }
    let resume = ["audit", "resume", "--accept", "1..2", "--seen", seen];
    for args in [&["audit", "append", "--seen", seen][..], &resume] {
        let busy = on(&server, args, b"{}\n").exits(2);
        assert!(busy.stderr.contains("keeps it locked"), "{busy:?}");
    }
    tell(&server, &["FLUSHALL"]);
    for command in ["head", "verify", "export"] {
        on(&server, &["audit", command, "--seen", seen], b"").exits(1);
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    drop(running);
    let busy = on(&server, &["audit", "append", "--seen", seen], b"{}\n").exits(1);
    assert!(busy.stderr.contains("rolled back"), "{busy:?}");
}

/// Would catch a repair that takes what was lost, and accepted, before for lost now; one that
/// needs no record of that; and a resume that picks one of two conflicting anchors.
#[test]
fn what_was_accepted_before_is_not_missed() {
    let server = super::with_chain(2);
    let directory = tempfile::tempdir().unwrap();
    let anchors = directory.path().join("anchors.jsonl");
    let anchors = anchors.to_str().unwrap();
    let append = |accept: &[&str]| {
        let args = ["audit", "append", "--anchor", anchors];
        on(&server, &[&args, accept].concat(), b"{}\n{}\n{}\n{}\n").exits(0)
    };
    append(&[]);
    tell(&server, &["FLUSHALL"]);
    on(&server, &["audit", "append"], b"{}\n{}\n").exits(0);
    let accept = ["--accept", "1..6"];
    let resume = ["audit", "resume", "--anchors", anchors];
    let resume = |accept: &[&str]| on(&server, &[&resume, accept].concat(), b"");
    resume(&accept).exits(0);
    append(&accept);
    // The anchors of 4 to 6 are in conflict now.
    let ambiguous = resume(&["--accept", "4..6"]).exits(1);
    assert!(ambiguous.stderr.contains("--head-hash"), "{ambiguous:?}");
    let verify = |accept: &[&str]| {
        let args = ["audit", "verify", "--anchors", anchors];
        on(&server, &[&args, accept].concat(), b"")
    };
    verify(&accept).exits(0);
    verify(&[]).exits(1);
    tell(&server, &["DEL", "haechi:audit:head"]);
    let repair = |accept: &[&str]| {
        let args = ["audit", "repair", "--yes", "--anchors", anchors];
        on(&server, &[&args, accept].concat(), b"")
    };
    for missed in [&[][..], &["--accept", "1..5"], &["--accept-loss", "1..6"]] {
        repair(missed).exits(1);
    }
    let repaired = repair(&accept).exits(0).answer();
    assert_eq!(
        (&repaired["repaired"], &repaired["lost"]),
        (&json!(true), &json!(null))
    );
    verify(&accept).exits(0);
    // What has been lost since is missed.
    on(&server, &["audit", "append"], b"{}\n").exits(0);
    tell(&server, &["RPOP", "haechi:audit:chain"]);
    repair(&accept).exits(1);
}
