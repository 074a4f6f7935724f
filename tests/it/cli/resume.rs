//! `--seen`, `audit resume` and `vault resume`.

use serde_json::json;

use super::{Ran, on, tell};

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
    let next = "haechi-store audit resume --accept FIRST..4 --head-hash ";
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
