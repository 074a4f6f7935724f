//! A closed pipe or a signal during a command.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
};

use super::{events, on, program};
use crate::support::server;

pub(crate) fn signal(name: &str, process: u32) {
    let status = Command::new("kill")
        .args([name, &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// The program with pipes for all its streams.
fn start(url: &str, args: &[&str]) -> Child {
    program(args)
        .env("REDIS_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn stderr_of(child: &mut Child) -> String {
    let mut text = String::new();
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Would catch an outcome that is guessed, and a result that is delayed until
/// there are more.
#[test]
fn a_reply_that_never_comes_leaves_the_outcome_unknown() {
    let server = server();
    let mut child = start(&server.url(), &["audit", "append", "--deadline", "1"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdin.write_all(b"{\"id\":1}\n").unwrap();
    stdout.read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"sequence\":1,"), "{first}");

    signal("-STOP", server.pid());
    stdin.write_all(b"{\"id\":2}\n").unwrap();
    let mut second = String::new();
    stdout.read_line(&mut second).unwrap();
    signal("-CONT", server.pid());
    let second: serde_json::Value = serde_json::from_str(&second).unwrap();
    assert_eq!(second["line"], 2);
    assert_eq!(second["outcome"], "unknown");
    let handle = second["handle"].as_str().unwrap();
    assert!(handle.contains(".2."), "{handle}");
    // The input is still open: a program that waits for it would hang here.
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(stderr_of(&mut child).contains(": outcome unknown"));
}

/// Would catch an interrupted input whose last lines are not reported.
#[test]
fn ctrl_c_waits_for_appends_in_flight() {
    let server = server();
    let mut child = start(&server.url(), &["audit", "append"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdin.write_all(b"{\"id\":1}\n").unwrap();
    stdout.read_line(&mut first).unwrap();
    signal("-INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let stderr = stderr_of(&mut child);
    assert!(stderr.contains("no line after 1 was tried"), "{stderr}");
}

/// Would catch a panic when `head` closes the pipe.
#[test]
fn a_closed_stdout_is_no_panic() {
    let server = super::with_chain(5000);
    for (args, code) in [
        (&["audit", "export"][..], 0),
        (&["audit", "verify"][..], 0),
        (&["audit", "head"][..], 0),
        // Events may be left, so the result is not "all appended".
        (&["audit", "append"][..], 1),
    ] {
        let input = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(input.path(), events(5000)).unwrap();
        let mut child = program(args)
            .env("REDIS_URL", server.url())
            .stdin(input.reopen().unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let stderr = stderr_of(&mut child);
        assert_eq!(
            child.wait().unwrap().code(),
            Some(code),
            "{args:?}: {stderr}"
        );
    }
    on(&server, &["audit", "verify"], b"").exits(0);
}
