//! `audit verify` and `audit export` on a replica of Redis, and with permission
//! to read only.

use redis_sim::server_process::RedisServer;
use serde_json::json;

use super::{Ran, events, on, program, run, tell, with_chain};

/// A replica of `primary`, with all its data.
fn replica_of(primary: &RedisServer) -> RedisServer {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (replica, _) = runtime.block_on(crate::replica::replica_of(primary));
    replica
}

/// Permission to read only.
fn reader(server: &RedisServer, rules: &str) -> String {
    let mut user = vec!["ACL", "SETUSER", "reader", "on", ">pass", "~haechi:audit:*"];
    user.extend(rules.split(' '));
    tell(server, &user);
    format!("redis://reader:pass@127.0.0.1:{}", server.port())
}

fn at(url: &str, args: &[&str]) -> Ran {
    run(program(&[&["--redis", url], args].concat()), b"")
}

/// Would catch a replica that is refused, that is read as if it was the primary,
/// and pages that leave out a record.
#[test]
fn a_replica_is_read_with_a_label() {
    let primary = with_chain(1500);
    let replica = replica_of(&primary);
    let of_primary = on(&primary, &["audit", "export"], b"").exits(0).stdout;
    let verdict = on(&primary, &["audit", "verify"], b"").exits(0).answer();
    assert_eq!(verdict.get("readFrom"), None);
    for url in [replica.url(), reader(&replica, "+@read +info")] {
        let ran = at(&url, &["audit", "verify"]).exits(0);
        let mut labelled = verdict.clone();
        labelled["readFrom"] = json!("replica");
        assert_eq!(ran.answer(), labelled);
        assert!(ran.stderr.contains("may be behind"), "{}", ran.stderr);
        let ran = at(&url, &["audit", "export"]).exits(0);
        assert_eq!(ran.stdout, of_primary);
        assert!(ran.stderr.contains("may be behind"), "{}", ran.stderr);
        let ran = at(&url, &["audit", "export", "--from", "1500", "--json"]).exits(0);
        let summary = json!({"summary": {"records": 1, "readFrom": "replica"}});
        assert_eq!(ran.json()[1], summary);
        // Nothing else believes it.
        at(&url, &["audit", "head"]).exits(2);
    }
    // Behind, it verifies as what it has.
    tell(&replica, &["REPLICAOF", "127.0.0.1", "1"]);
    on(&primary, &["audit", "append"], events(1).as_bytes()).exits(0);
    let behind = at(&replica.url(), &["audit", "verify"]).exits(0).answer();
    assert_eq!(behind["records"], 1500);
}

/// Would catch a reader that needs the permissions of a writer, and one that
/// takes disagreeing keys for a chain.
#[test]
fn permission_to_read_only_is_enough() {
    let server = with_chain(5);
    let url = reader(&server, "+@read +info");
    let verify = |code| at(&url, &["audit", "verify"]).exits(code).answer();
    assert_eq!(
        verify(0),
        on(&server, &["audit", "verify"], b"").exits(0).answer()
    );
    tell(&server, &["DEL", "haechi:audit:head"]);
    let found = verify(1);
    assert!(
        found["reason"].as_str().unwrap().starts_with("diverged: "),
        "{found}"
    );
    assert_eq!(found["records"], 5);
    assert_eq!(at(&url, &["audit", "export"]).exits(1).json().len(), 5);
    tell(&server, &["SET", "haechi:audit:chain", "x"]);
    assert_eq!(
        verify(1)["reason"],
        "wrong type: the key haechi:audit:chain holds a string"
    );
    // Where INFO is denied, too, that is said.
    tell(&server, &["FLUSHALL"]);
    let blind = reader(&server, "-info");
    let ran = at(&blind, &["audit", "verify"]).exits(0);
    assert_eq!(ran.answer()["readFrom"], "unknown");
}
