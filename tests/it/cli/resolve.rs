//! `audit resolve`: a process sends and learns nothing, a new one finds out.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use redis_sim::server_process::RedisServer;
use serde_json::Value;

use super::{
    Ran, events,
    holding::{Catch, Holding},
    length, on, program, tell, with_chain,
};
use crate::support::server;

/// A process that appends what it is given.
struct Appending {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Appending {
    fn start(url: &str, args: &[&str]) -> Self {
        let mut child = program(&[&["audit", "append"], args].concat())
            .env("REDIS_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn give(&mut self, id: &str) {
        writeln!(self.stdin, "{{\"id\":\"{id}\"}}").unwrap();
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// As by kill -9.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn resolve(server: &RedisServer, handle: &str, args: &[&str]) -> Ran {
    on(server, &[&["audit", "resolve", handle], args].concat(), b"")
}

/// Asserts the answer and the exit code.
fn answers(ran: Ran, answer: &str, code: i32) {
    assert_eq!(ran.exits(code).stdout, format!("{answer}\n"));
}

fn tickets(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let handle = |line| {
        let ticket: Value = serde_json::from_str(line).unwrap();
        ticket["handle"].as_str().unwrap().to_owned()
    };
    text.lines().map(handle).collect()
}

fn ticket_file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tickets.jsonl");
    (directory, file)
}

/// Would catch an answer that is wrong in one of the three cases, given the handle that the
/// process printed when its time was over.
#[test]
fn a_printed_handle_is_resolved_by_another_process() {
    for case in ["applied", "not applied", "open", "settled"] {
        let server = with_chain(1);
        let catch = match case {
            "applied" => Catch::Reply,
            _ => Catch::Command,
        };
        let proxy = Holding::new(&server, "evt-late", catch);
        let mut process = Appending::start(&proxy.url, &["--deadline", "1"]);
        process.give("evt-2");
        process.line();
        process.give("evt-late");
        let command = proxy.caught();
        let unknown = process.line();
        assert_eq!(unknown["outcome"], "unknown");
        assert_eq!(process.child.wait().unwrap().code(), Some(3));
        let handle = unknown["handle"].as_str().unwrap();
        match case {
            "applied" => answers(resolve(&server, handle, &[]), "applied at 3", 0),
            "not applied" => {
                on(&server, &["audit", "append"], events(1).as_bytes()).exits(0);
                answers(resolve(&server, handle, &[]), "not applied", 1);
                assert!(proxy.deliver(&command).contains("conflict"));
                answers(resolve(&server, handle, &[]), "not applied", 1);
            }
            "open" => {
                answers(resolve(&server, handle, &[]), "still open", 3);
                assert!(proxy.deliver(&command).contains("committed"));
                answers(resolve(&server, handle, &[]), "applied at 3", 0);
            }
            _ => {
                answers(resolve(&server, handle, &["--settle"]), "not applied", 1);
                assert!(proxy.deliver(&command).contains("conflict"));
                assert_eq!(length(&server), redis::Value::Int(3));
            }
        }
        let verdict = on(&server, &["audit", "verify"], b"").exits(0).answer();
        assert_eq!(verdict["records"], 3, "{case}");
    }
}

/// Would catch a ticket that is not on disk when its event is sent, and a wrong answer after
/// kill -9 between the send and the reply.
#[test]
fn after_kill_9_a_ticket_is_resolved() {
    for catch in [Catch::Reply, Catch::Command] {
        let (_directory, file) = ticket_file();
        // A torn line of an earlier process.
        fs::write(&file, "{\"line\":1,\"han").unwrap();
        let server = with_chain(1);
        let proxy = Holding::new(&server, "evt-late", catch);
        let path = file.to_str().unwrap();
        let mut process = Appending::start(&proxy.url, &["--tickets", path]);
        process.give("evt-2");
        process.line();
        process.give("evt-late");
        let command = proxy.caught();
        process.kill();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.split_once('\n').unwrap().1).unwrap();
        let [applied, late] = &tickets(&file)[..] else {
            panic!("one ticket for each event: {text}");
        };
        answers(resolve(&server, applied, &[]), "applied at 2", 0);
        if catch == Catch::Reply {
            while length(&server) != redis::Value::Int(3) {
                std::thread::yield_now();
            }
            answers(resolve(&server, late, &[]), "applied at 3", 0);
            answers(resolve(&server, late, &["--settle"]), "applied at 3", 0);
            continue;
        }
        answers(resolve(&server, late, &[]), "still open", 3);
        let settled = resolve(&server, late, &["--settle", "--json"]).exits(1);
        assert_eq!(
            settled.stdout,
            "not applied\n{\"summary\":{\"outcome\":\"not_applied\"}}\n"
        );
        assert!(proxy.deliver(&command).contains("conflict"));
        assert_eq!(length(&server), redis::Value::Int(3));
        answers(resolve(&server, late, &["--settle"]), "not applied", 1);
    }
}

/// Would catch events that are sent though their tickets cannot be written, and a
/// file that is not private.
#[test]
fn tickets_come_before_events() {
    let server = server();
    let (directory, file) = ticket_file();
    let append = |path: &Path, count| {
        let args = ["audit", "append", "--tickets", path.to_str().unwrap()];
        on(&server, &args, events(count).as_bytes())
    };
    append(&file, 300).exits(0);
    let handles = tickets(&file);
    assert_eq!(handles.len(), 300);
    for (index, handle) in handles.iter().enumerate().step_by(97) {
        let answer = format!("applied at {}", index + 1);
        answers(resolve(&server, handle, &[]), &answer, 0);
    }
    append(directory.path(), 1).exits(2);
    let full = append(Path::new("/dev/full"), 1).exits(1);
    assert!(
        full.stderr.contains("no line after 0 was tried"),
        "{full:?}"
    );
    assert_eq!(length(&server), redis::Value::Int(300));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// Would catch a wrong answer about a mutation after kill -9 between the send and the
/// reply, and a ticket that is not on disk by then.
#[test]
fn after_kill_9_a_mutation_is_resolved() {
    for case in ["applied", "open", "settled"] {
        let server = server();
        let (directory, file) = ticket_file();
        let keys = directory.path().join("vault.keys");
        let (keys, path) = (keys.to_str().unwrap(), file.to_str().unwrap());
        on(&server, &["keys", "init", "--key-file", keys], b"").exits(0);
        let tokenize = ["vault", "tokenize", "--type", "email", "--key-file", keys];
        on(&server, &tokenize, b"bob@example.com\n").exits(0);
        let catch = match case {
            "applied" => Catch::Reply,
            _ => Catch::Command,
        };
        let proxy = Holding::new(&server, "aadHash", catch);
        let mut process = program(&[&tokenize[..], &["--tickets", path]].concat())
            .env("REDIS_URL", &proxy.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(b"anna@example.com\n").unwrap();
        let command = proxy.caught();
        process.kill().unwrap();
        process.wait().unwrap();
        let [receipt] = &tickets(&file)[..] else {
            panic!("one ticket");
        };
        let resolve = |args: &[&str]| {
            let ran = on(
                &server,
                &[&["vault", "resolve", receipt], args].concat(),
                b"",
            );
            (ran.stdout, ran.code)
        };
        let answer = |text: &str, code| (format!("{text}\n"), code);
        match case {
            "applied" => {
                while tell(&server, &["HLEN", "haechi:tv:tokens"]) != redis::Value::Int(2) {
                    std::thread::yield_now();
                }
                assert_eq!(resolve(&[]), answer("applied at 2", 0));
                assert_eq!(resolve(&["--settle"]), answer("applied at 2", 0));
            }
            "open" => {
                assert_eq!(resolve(&[]), answer("still open", 3));
                assert!(proxy.deliver(&command).contains("committed"));
                assert_eq!(resolve(&[]), answer("applied at 2", 0));
            }
            _ => {
                assert_eq!(resolve(&["--settle"]), answer("not applied", 1));
                assert!(proxy.deliver(&command).contains("dropped"));
                assert_eq!(resolve(&[]), answer("not applied", 1));
            }
        }
        tell(&server, &["FLUSHALL"]);
        let ran = on(&server, &["vault", "resolve", receipt], b"").exits(3);
        assert_eq!(ran.answer()["outcome"], "unknown");
        on(&server, &["vault", "resolve", "nothing"], b"").exits(2);
    }
}

/// Would catch a conclusion from a chain that has lost what the handle names, and a
/// handle that is no handle taken for an append that is not there.
#[test]
fn what_cannot_be_known_is_unknown() {
    let server = with_chain(3);
    let (_directory, file) = ticket_file();
    let args = ["audit", "append", "--tickets", file.to_str().unwrap()];
    on(&server, &args, events(1).as_bytes()).exits(0);
    let handle = &tickets(&file)[0];
    tell(&server, &["FLUSHALL"]);
    on(&server, &["audit", "append"], events(9).as_bytes()).exits(0);
    let ran = resolve(&server, handle, &["--settle"]).exits(3);
    assert_eq!(ran.answer()["outcome"], "unknown");
    assert_eq!(ran.answer()["handle"], handle.as_str());
    assert!(ran.stderr.contains("rolled back"), "{}", ran.stderr);
    let none = resolve(&server, "nothing", &[]).exits(2);
    assert!(none.stderr.contains("not a handle"), "{}", none.stderr);
    tell(&server, &["DEL", "haechi:audit:head"]);
    resolve(&server, handle, &[]).exits(1);
}
