//! The operator's program: arguments and stdin in; exit code, stdout and stderr
//! out; with a redis-server for each test.

mod append;
mod bench;
mod documents;
mod durability;
mod follow;
mod help;
mod holding;
mod interrupted;
mod keys;
mod messages;
mod refusals;
mod repair;
mod replica;
mod resolve;
mod resume;
mod vault;
mod verify;

use std::{
    io::{Seek, SeekFrom, Write},
    process::{Command, Output, Stdio},
};

use redis_sim::server_process::RedisServer;
use serde_json::Value;

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// The lines of stdout, which must all be JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap();
        self.stdout.lines().map(parse).collect()
    }

    /// The only line of stdout.
    pub(crate) fn answer(&self) -> Value {
        let [answer] = &self.json()[..] else {
            panic!("not one line: {self:?}");
        };
        answer.clone()
    }

    /// Asserts the exit code; prints everything on failure.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }
}

/// The program, without the environment variables that it reads.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haechi-store"));
    for name in ["REDIS_URL", "REDIS_USERNAME", "REDIS_PASSWORD"] {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs the program on `input` to its end.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Ran {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    command.stdin(file).output().unwrap().into()
}

/// Runs the program against `server`.
pub(crate) fn on(server: &RedisServer, args: &[&str], input: &[u8]) -> Ran {
    let mut command = program(args);
    command.env("REDIS_URL", server.url());
    run(command, input)
}

/// Sends one command directly to `server`.
pub(crate) fn tell(server: &RedisServer, args: &[&str]) -> redis::Value {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut command = redis::cmd(args[0]);
        command.arg(&args[1..]);
        let mut connection = crate::support::raw(server).await;
        command.query_async(&mut connection).await.unwrap()
    })
}

/// Elements in the chain's list.
pub(crate) fn length(server: &RedisServer) -> redis::Value {
    tell(server, &["LLEN", "haechi:audit:chain"])
}

/// `count` events as JSON lines, `{"id":"evt-1"}` first.
pub(crate) fn events(count: usize) -> String {
    (1..=count)
        .map(|number| format!("{{\"id\":\"evt-{number}\",\"operation\":\"protect\"}}\n"))
        .collect()
}

/// A server with a chain of `count` records.
pub(crate) fn with_chain(count: usize) -> RedisServer {
    let server = crate::support::server();
    on(&server, &["audit", "append"], events(count).as_bytes()).exits(0);
    server
}
