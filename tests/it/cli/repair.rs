//! `audit repair`: what it asks, refuses and prints.

use serde_json::json;

use super::{events, length, on, tell, with_chain};

/// Would catch a next step in the message of a diverged chain that does not
/// lead back to appending.
#[test]
fn the_message_of_a_diverged_chain_names_what_repairs_it() {
    let server = with_chain(3);
    tell(&server, &["DEL", "haechi:audit:head:hash"]);
    let refused = on(&server, &["audit", "append"], events(1).as_bytes()).exits(1);
    assert!(
        refused.stderr.contains("run `haechi-store audit repair`"),
        "{}",
        refused.stderr
    );
    // Without a terminal it does not ask, and does nothing.
    let asked = on(&server, &["audit", "repair"], b"y\n").exits(2);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert_eq!(length(&server), redis::Value::Int(3));

    let repaired = on(&server, &["audit", "repair", "--yes"], b"").exits(0);
    let answer = repaired.answer();
    assert_eq!(
        [&answer["repaired"], &answer["sequence"], &answer["records"]],
        [&json!(true), &json!(4), &json!(4)]
    );
    on(&server, &["audit", "append"], events(1).as_bytes()).exits(0);
    let valid = on(&server, &["audit", "verify"], b"").exits(0).answer();
    assert_eq!(valid["records"], 5);
    let again = on(&server, &["audit", "repair", "--yes"], b"").exits(0);
    let answer = again.answer();
    assert_eq!(answer["repaired"], false);
    assert_eq!(answer["eventHash"], valid["headHash"]);
    assert_eq!(length(&server), redis::Value::Int(5));
}

/// Would catch a loss that is accepted without its name, or an anchor file that
/// is not read.
#[test]
fn what_an_anchor_attests_is_lost_only_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    let path = path.to_str().unwrap();
    let server = crate::support::server();
    let append = ["audit", "append", "--anchor", path];
    on(&server, &append, events(5).as_bytes()).exits(0);
    tell(&server, &["RPOP", "haechi:audit:chain", "2"]);
    tell(
        &server,
        &["DEL", "haechi:audit:head", "haechi:audit:head:hash"],
    );
    let repair = ["audit", "repair", "--yes", "--anchors", path];
    let refused = on(&server, &repair, b"").exits(1);
    assert!(
        refused.stderr.contains("--accept-loss 4..5"),
        "{}",
        refused.stderr
    );
    on(
        &server,
        &[&repair[..], &["--accept-loss", "4..4"]].concat(),
        b"",
    )
    .exits(1);
    on(
        &server,
        &[&repair[..], &["--accept-loss", "4-5"]].concat(),
        b"",
    )
    .exits(2);
    let absent = ["audit", "repair", "--yes", "--anchors", "/none"];
    on(&server, &absent, b"").exits(2);
    assert_eq!(length(&server), redis::Value::Int(3));
    let named = [&repair[..], &["--accept-loss", "4..5"]].concat();
    let answer = on(&server, &named, b"").exits(0).answer();
    assert_eq!(
        (&answer["lost"]["from"], &answer["lost"]["to"]),
        (&json!(4), &json!(5))
    );
    on(&server, &["audit", "append"], events(1).as_bytes()).exits(0);
    on(&server, &["audit", "verify"], b"").exits(0);
    // The anchors still prove the loss.
    let invalid = on(&server, &["audit", "verify", "--anchors", path], b"").exits(1);
    assert_eq!(
        invalid.answer()["reason"],
        "anchor hash mismatch at sequence 4"
    );
    let accept = ["--anchors", path, "--accept", "4..5"];
    let valid = on(&server, &[&["audit", "verify"], &accept[..]].concat(), b"").exits(0);
    assert_eq!(valid.answer()["acceptedLosses"][0]["sequence"], 4);
    // The process with these anchors goes on when the loss is accepted for it.
    on(&server, &append, events(1).as_bytes()).exits(1);
    let accepting = [&append[..], &["--accept", "4..5"]].concat();
    on(&server, &accepting, events(1).as_bytes()).exits(0);
    on(&server, &append, events(1).as_bytes()).exits(0);
}

/// Would catch a repair that forgets what a process has seen.
#[test]
fn what_a_process_has_seen_is_lost_only_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let seen = ["--seen", path.to_str().unwrap()];
    let server = crate::support::server();
    let append = [&["audit", "append"], &seen[..]].concat();
    on(&server, &append, events(5).as_bytes()).exits(0);
    tell(&server, &["RPOP", "haechi:audit:chain"]);
    tell(
        &server,
        &["DEL", "haechi:audit:head", "haechi:audit:head:hash"],
    );
    let repair = [&["audit", "repair", "--yes"], &seen[..]].concat();
    let refused = on(&server, &repair, b"").exits(1);
    assert!(refused.stderr.contains("--accept-loss 5..5"), "{refused:?}");
    let named = [&repair[..], &["--accept-loss", "5..5"]].concat();
    on(&server, &named, b"").exits(0);
    on(&server, &append, events(1).as_bytes()).exits(1);
    let accepting = [&append[..], &["--accept", "5..5"]].concat();
    on(&server, &accepting, events(1).as_bytes()).exits(0);
    on(&server, &append, events(1).as_bytes()).exits(0);
}
