//! Error conditions, made in a real server and switched on in the simulated one.

use super::pair::Pair;
use redis_sim::Redis;

fn ask(pair: &mut Pair, what: &str, lines: &[&str]) {
    for line in lines {
        let words: Vec<Vec<u8>> = match line.split_once(" | ") {
            // A script has blanks.
            Some((script, rest)) => {
                let rest = rest.split(' ').map(|word| word.as_bytes().to_vec());
                [b"EVAL".to_vec(), script.as_bytes().to_vec()]
                    .into_iter()
                    .chain(rest)
                    .collect()
            }
            None => line
                .split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect(),
        };
        pair.check(&words, what);
    }
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

fn under(what: &str, args: &[&str], prepare: fn(&mut Redis)) {
    let mut pair = Pair::start_with(args, prepare);
    ask(&mut pair, what, QUESTIONS);
}

#[test]
fn on_a_replica() {
    under("readonly", &["--replicaof", "127.0.0.1 1"], |redis| {
        redis.modes().readonly = true;
    });
}

#[test]
fn over_the_memory_limit() {
    under("oom", &["--maxmemory", "1"], |redis| {
        redis.modes().oom = true;
    });
}

#[test]
fn with_too_few_replicas() {
    under("noreplicas", &["--min-replicas-to-write", "1"], |redis| {
        redis.modes().no_replicas = true;
    });
}

#[test]
fn without_permission() {
    let rules = [
        "--user",
        "default",
        "on",
        "nopass",
        "~*",
        "&*",
        "+@all",
        "-set",
        "-script|load",
        "-flushall",
    ];
    under("noperm", &rules, |redis| {
        redis.modes().denied = ["set", "script|load", "flushall"].map(str::to_owned).into();
    });
}

#[test]
fn with_a_password() {
    let mut pair = Pair::start_with(
        &[
            "--requirepass",
            "secret",
            "--user",
            "bob",
            "on",
            ">pw",
            "~*",
            "&*",
            "+@all",
        ],
        |redis| {
            redis.modes().requirepass = Some("secret".to_owned());
            redis
                .modes()
                .users
                .insert("bob".to_owned(), "pw".to_owned());
        },
    );
    ask(
        &mut pair,
        "auth",
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
