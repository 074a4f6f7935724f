//! A Redis that is unreachable or refuses commands.

use redis_sim::server_process::RedisServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Ran, events, length, on, program, run, tell};

const PASSWORD: &str = "s3cret-Pa55";

fn no_secret(ran: Ran) -> Ran {
    assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:#?}");
    ran
}

/// Would catch an unreachable Redis that is reported as an empty chain.
#[test]
fn unreachable() {
    let url = format!("redis://user:{PASSWORD}@127.0.0.1:1");
    let ran = |args: &[&str], input: &[u8]| {
        let args = [&["--redis", &url, "--deadline", "0.5"], args].concat();
        no_secret(run(program(&args), input))
    };
    for args in [["audit", "verify"], ["audit", "export"], ["audit", "head"]] {
        let ran = ran(&args, b"").exits(2);
        assert_eq!(ran.stdout, "");
        assert!(
            ran.stderr.contains("127.0.0.1:1 could not be read"),
            "{ran:?}"
        );
    }
    let ready = ran(&["ready"], b"").exits(1).answer();
    assert_eq!(
        (&ready["ok"], &ready["reason"]),
        (&false.into(), &"redis_unreachable".into())
    );

    // All events in flight are reported, and no other was tried.
    let append = ran(
        &["audit", "append", "--writers", "3"],
        events(10).as_bytes(),
    )
    .exits(1);
    let lines: Vec<_> = append
        .json()
        .iter()
        .map(|line| (line["line"].as_u64(), line["outcome"] == "not_applied"))
        .collect();
    assert_eq!(lines, [(Some(1), true), (Some(2), true), (Some(3), true)]);
    ran(&["bench", "audit", "--ops", "10"], b"").exits(1);
}

/// Would catch text of Redis, or a name of a file, that controls the terminal or
/// forges lines of a log.
#[tokio::test(flavor = "multi_thread")]
async fn control_characters_are_escaped() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = client.read(&mut buffer).await {
                    let commands = buffer[..length].iter().filter(|b| **b == b'*').count();
                    let replies = "-NOPERM \x1b[2J\u{9b}31m no\x07\r\n".repeat(commands);
                    if client.write_all(replies.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let head = run(program(&["--redis", &url, "audit", "head"]), b"").exits(2);
    let file = ["keys", "status", "--key-file", "\x1b[2J\u{9b}31m no\x07"];
    let status = run(program(&file), b"").exits(2);
    for ran in [head, status] {
        let escaped = "\\u{1b}[2J\\u{9b}31m no\\u{7}";
        assert!(ran.stderr.contains(escaped), "{ran:?}");
        let printed = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            printed.chars().all(|c| c == '\n' || !c.is_control()),
            "{ran:?}"
        );
    }
}

/// Would catch a password in a message, and a wrong one that is retried.
#[test]
fn refused_password() {
    let server = RedisServer::start_with(&["--requirepass", PASSWORD]).unwrap();
    let wrong = format!("redis://:not-{PASSWORD}@127.0.0.1:{}", server.port());
    for url in [&wrong, &server.url()] {
        let ran = |args: &[&str], input: &[u8]| {
            let args = [&["--redis", url], args].concat();
            no_secret(run(program(&args), input))
        };
        ran(&["audit", "head"], b"").exits(2);
        ran(&["audit", "append"], events(1).as_bytes()).exits(1);
        let ready = ran(&["ready"], b"").exits(1).answer();
        assert_eq!(ready["reason"], "redis_not_writable");
    }
    let mut head = program(&["audit", "head"]);
    head.env("REDIS_URL", server.url())
        .env("REDIS_PASSWORD", PASSWORD);
    no_secret(run(head, b"")).exits(0);
    // A URL with a password in the wrong argument, or in the environment.
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port());
    no_secret(run(program(&["audit", "head", &url]), b"")).exits(2);
    no_secret(run(
        program(&["--redis", &format!("redus://:{PASSWORD}@h"), "ready"]),
        b"",
    ))
    .exits(2);
    let mut help = program(&["--help"]);
    help.env("REDIS_URL", &url).env("REDIS_PASSWORD", PASSWORD);
    no_secret(run(help, b"")).exits(0);
}

/// Would catch a list that is written although the user may not write the head.
#[test]
fn missing_permission() {
    for missing in ["-set", "-rpush"] {
        let server = crate::support::server();
        let rules = [
            "ACL", "SETUSER", "u", "on", ">p", "~*", "&*", "+@all", missing,
        ];
        tell(&server, &rules);
        let mut append = program(&["audit", "append"]);
        append
            .env("REDIS_URL", server.url())
            .env("REDIS_USERNAME", "u")
            .env("REDIS_PASSWORD", "p");
        let ran = run(append, events(3).as_bytes()).exits(1);
        assert!(ran.stderr.contains("NOPERM"), "{}", ran.stderr);
        assert_eq!(length(&server), redis::Value::Int(0));
    }
}

/// Would catch a chain in a Redis that evicts it when memory is short.
#[test]
fn evicting_policy() {
    let server =
        RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"])
            .unwrap();
    let ready = on(&server, &["ready"], b"").exits(1).answer();
    assert_eq!(ready["reason"], "evicting");
    on(&server, &["audit", "append"], events(3).as_bytes()).exits(1);
    assert_eq!(length(&server), redis::Value::Int(0));
    on(&server, &["audit", "head"], b"").exits(0);
    // A chain that was begun before, and has lost its last record and its head.
    let policy = |policy| tell(&server, &["CONFIG", "SET", "maxmemory-policy", policy]);
    policy("noeviction");
    let appended = on(&server, &["audit", "append"], events(2).as_bytes()).exits(0);
    let hash = appended.json()[1]["eventHash"].as_str().unwrap().to_owned();
    tell(&server, &["DEL", "haechi:audit:head"]);
    policy("allkeys-lru");
    let repair = ["audit", "repair", "--yes"];
    let resume = ["audit", "resume", "--accept", "1..2", "--head-hash", &hash];
    let refused = on(&server, &repair, b"").exits(2);
    assert!(refused.stderr.contains("allkeys-lru"), "{}", refused.stderr);
    assert_eq!(length(&server), redis::Value::Int(2));
    tell(&server, &["FLUSHALL"]);
    let refused = on(&server, &resume, b"").exits(2);
    assert!(refused.stderr.contains("allkeys-lru"), "{}", refused.stderr);
    assert_eq!(length(&server), redis::Value::Int(0));
    policy("noeviction");
    on(&server, &resume, b"").exits(0);
}

/// Would catch a probe of the vault that looks only at the chain, and one of the
/// chain that fails because of the vault.
#[test]
fn a_corrupt_vault_is_not_ready() {
    let server = crate::support::server();
    tell(&server, &["SET", "haechi:tv:version", "007"]);
    on(&server, &["ready"], b"").exits(0);
    let ready = on(&server, &["ready", "--vault"], b"").exits(1).answer();
    assert_eq!(ready["reason"], "diverged");
    tell(
        &server,
        &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"],
    );
    let ready = on(&server, &["ready", "--vault"], b"").exits(1).answer();
    let also = serde_json::json!(["diverged"]);
    assert_eq!(
        (&ready["reason"], &ready["also"]),
        (&"evicting".into(), &also)
    );
}

/// Would catch an option whose wrong value is ignored.
#[test]
fn a_wrong_command_line_is_refused() {
    for args in [
        &["audit"][..],
        &["audit", "appendd"],
        &["--durability", "replicas", "audit", "head"],
        &["--durability", "replicas:0", "audit", "head"],
        &["--deadline", "0", "audit", "head"],
        &["--deadline", "-1", "audit", "head"],
        &["audit", "append", "--writers", "0"],
        &["audit", "append", "--anchor-every", "5"],
        &["audit", "export", "--from", "0"],
    ] {
        run(program(args), b"").exits(2);
    }
}

/// Would catch a program that exits with 0 because stdout is closed.
#[test]
fn the_answer_is_in_the_exit_code_also_when_stdout_is_closed() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_haechi-store"))
        .args(["--redis", "redis://127.0.0.1:1", "ready"])
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("redis_unreachable"), "{said}");
}
