//! Error conditions, caused in a real server and set in the simulated one.

use redis_sim::differential::{Comparison, Words, words};
use redis_sim::{Config, Modes};

/// Starts both servers in one condition and sends the lines to both. A line
/// with ` | ` is a script and its arguments.
fn same_under(modes: Modes, args: &[&str], lines: &[&str]) {
    let command = |line: &&str| match line.split_once(" | ") {
        Some((script, rest)) => {
            let eval = [b"EVAL".to_vec(), script.as_bytes().to_vec()];
            [eval.to_vec(), words(rest)].concat()
        }
        None => words(line),
    };
    let batch: Vec<Words> = lines.iter().map(command).collect();
    let config = Config {
        modes,
        ..Config::wall_clock()
    };
    let mut comparison =
        Comparison::start_with(args, config).unwrap_or_else(|error| panic!("{error}"));
    super::same(&mut comparison, &batch, &args.join(" "));
}

const QUESTIONS: &[&str] = &[
    "GET a",
    "SET a 1",
    "DEL a",
    "PING",
    "RPUSH l x",
    "EXISTS a",
    "FLUSHALL",
    "return redis.call('GET', 'a') | 0",
    "return redis.call('SET', 'a', '1') | 0",
    "return redis.pcall('SET', 'a', '1') | 0",
    "redis.call('DEL', 'a') return redis.call('SET', 'a', '1') | 0",
    "return redis.pcall('DEL', 'a') | 0",
    "return {redis.acl_check_cmd('SET', 'a', '1'), redis.acl_check_cmd('GET', 'a')} | 0",
    "#!lua\nreturn redis.call('SET', 'a', '1') | 0",
    "#!lua flags=no-writes\nreturn redis.call('GET', 'a') | 0",
    "#!lua flags=no-writes\nreturn redis.call('SET', 'a', '1') | 0",
    "#!lua flags=allow-oom\nreturn redis.call('SET', 'a', '1') | 0",
    "EVAL_RO return 0",
    "SCRIPT EXISTS x",
    "SCRIPT LOAD return",
    "MULTI",
    "SET a 1",
    "GET a",
    "EXEC",
    "MULTI",
    "GET a",
    "EXEC",
];

/// Would catch a reply, or a time of it, that differs from a replica's.
#[test]
fn on_a_replica() {
    let modes = Modes {
        readonly: true,
        ..Modes::default()
    };
    same_under(modes, &["--replicaof", "127.0.0.1 1"], QUESTIONS);
}

/// Would catch a script that is stopped where redis-server continues it, or the
/// reverse.
#[test]
fn over_the_memory_limit() {
    let modes = Modes {
        oom: true,
        ..Modes::default()
    };
    same_under(modes, &["--maxmemory", "1"], QUESTIONS);
}

#[test]
fn with_too_few_replicas() {
    let modes = Modes {
        no_replicas: true,
        ..Modes::default()
    };
    same_under(modes, &["--min-replicas-to-write", "1"], QUESTIONS);
}

#[test]
fn without_permission() {
    let rules = words("--user default on nopass ~* &* +@all -set -script|load -flushall");
    let rules: Vec<&str> = rules
        .iter()
        .map(|word| std::str::from_utf8(word).unwrap())
        .collect();
    let modes = Modes {
        denied: ["set", "script|load", "flushall"].map(str::to_owned).into(),
        ..Modes::default()
    };
    same_under(modes, &rules, QUESTIONS);
}

/// Would catch a command that runs before its connection has logged in.
#[test]
fn with_a_password() {
    let args = [
        "--requirepass",
        "secret",
        "--user",
        "bob",
        "on",
        ">pw",
        "~*",
        "&*",
        "+@all",
    ];
    let modes = Modes {
        requirepass: Some("secret".to_owned()),
        users: [("bob".to_owned(), "pw".to_owned())].into(),
        ..Modes::default()
    };
    same_under(
        modes,
        &args,
        &[
            "PING",
            "FOO",
            "GET",
            "GET a",
            "MULTI",
            "HELLO",
            "HELLO 2",
            "HELLO 2 AUTH default wrong",
            "AUTH wrong",
            "AUTH bob wrong",
            "AUTH nobody pw",
            "AUTH a b c",
            "AUTH secret",
            "ACL WHOAMI",
            "PING",
            "AUTH bob pw",
            "ACL WHOAMI",
            "AUTH bob wrong",
            "ACL WHOAMI",
            "RESET",
            "PING",
            "AUTH bob pw",
            "ACL DRYRUN bob get a",
            "ACL DRYRUN nobody get a",
            "ACL DRYRUN bob get",
            "ACL DRYRUN bob foo",
        ],
    );
}
