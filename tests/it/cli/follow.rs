//! `audit follow`: what it prints, and how it ends.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use super::{
    events,
    interrupted::{signal, stderr_of},
    on, program, tell, with_chain,
};

/// Would catch records that are printed late or not at all, an interruption
/// that counts as a failure, and a rollback that goes unnoticed.
#[test]
fn records_are_printed_as_they_are_appended() {
    let server = with_chain(2);
    let start = |args: &[&str]| {
        let mut child = program(&[&["audit", "follow", "--interval", "0.05"], args].concat())
            .env("REDIS_URL", server.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        (child, stdout.lines().map(Result::unwrap))
    };
    let append = || on(&server, &["audit", "append"], events(1).as_bytes()).exits(0);
    let (mut one, mut of_one) = start(&["--from", "1"]);
    let (mut two, mut of_two) = start(&["--from", "2"]);
    let mut printed: Vec<String> = of_one.by_ref().take(2).collect();
    append();
    printed.extend(of_one.next());
    let exported = on(&server, &["audit", "export"], b"").exits(0).stdout;
    assert_eq!(printed.join("\n") + "\n", exported);
    assert_eq!(of_two.by_ref().take(2).collect::<Vec<_>>(), printed[1..]);

    signal("-INT", one.id());
    assert_eq!(one.wait().unwrap().code(), Some(0));
    assert_eq!(stderr_of(&mut one), "");
    tell(&server, &["FLUSHALL"]);
    assert_eq!(two.wait().unwrap().code(), Some(1));
    let stderr = stderr_of(&mut two);
    assert!(stderr.contains("rolled back: sequence 3 "), "{stderr}");
}
