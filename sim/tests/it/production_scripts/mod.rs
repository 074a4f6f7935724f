//! Differential tests of the store's own scripts: the same calls to the simulated server and to redis-server, and the
//! replies compared.
//!
//! `cargo test -p haechi-sim --test it production_scripts` sends 10,000
//! commands; with `-- --ignored` 100,000, and `CONFORMANCE_COMMANDS` sets
//! another number. `DIFFERENTIAL_SEED` selects other seeds.

mod chain;
mod vault;

use chain::Chain;
use haechi_store_redis::redis::script;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redis_sim::differential::{Comparison, Effect, How, Known, Words, words};
use vault::Vault;

const ALL: &[&str] = &[
    script::APPEND,
    script::TAIL,
    script::PAGE,
    script::READY,
    script::STATE,
    script::REPAIR,
    script::CONFIRM,
    script::ACQUIRE,
    script::RELEASE,
    script::VAULT_LOAD,
    script::VAULT_APPLY,
    script::VAULT_SETTLE,
    script::VAULT_DUE,
    script::VAULT_INDEX,
    script::VAULT_SCAN,
    script::VAULT_CONFIRM,
    script::VAULT_READY,
    script::VAULT_ACQUIRE,
];

/// Commands per seed, and commands per batch.
const BODY: usize = 1000;
const BATCH: usize = 200;

/// Would catch a production script whose simulated replies differ from
/// redis-server's.
#[test]
fn ten_thousand_commands() {
    conform(10_000);
}

#[test]
#[ignore = "takes a minute or two"]
fn a_hundred_thousand_commands() {
    conform(100_000);
}

fn conform(commands: usize) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<usize>().ok())
    };
    let commands = number("CONFORMANCE_COMMANDS").unwrap_or(commands);
    let mut seed = number("DIFFERENTIAL_SEED").unwrap_or(0);
    let mut comparison = Comparison::start().unwrap_or_else(|error| panic!("{error}"));
    comparison.add_valkey().unwrap();
    comparison.compare_by(how);
    comparison.allow(RESUMED);
    while comparison.summary().commands < commands {
        comparison.reset().unwrap();
        for (index, batch) in body(seed as u64).chunks(BATCH).enumerate() {
            let differences = comparison.send(batch).unwrap();
            if let Some(first) = differences.first() {
                let count = differences.len();
                panic!("seed {seed}, batch {index}: {count} differences, the first\n{first}");
            }
        }
        seed += 1;
    }
    let summary = comparison.summary();
    eprintln!("{summary}");
    assert!(
        summary.errors * 2 < summary.commands,
        "a body of errors shows little"
    );
}

/// The commands of one seed: mostly calls as a store makes them, with other
/// commands in between.
fn body(seed: u64) -> Vec<Words> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let (mut chain, mut vault) = (Chain::default(), Vault::default());
    let mut body = load();
    while body.len() < BODY {
        match rng.random_range(0..100) {
            0..44 => body.extend(chain.next(rng)),
            44..88 => body.extend(vault.next(rng)),
            88..92 => {
                let line = pick(
                    rng,
                    &["HELLO 2", "HELLO 3", "RESET", "SET s1 text", "LPUSH l1 a"],
                );
                body.push(words(line));
            }
            92..98 => {
                body.push(words("MULTI"));
                body.extend(chain.next(rng));
                body.extend(vault.next(rng));
                body.push(words("EXEC"));
            }
            98 => {
                body.push(words("SCRIPT FLUSH"));
                body.extend(chain.next(rng));
                body.extend(load());
            }
            _ => body.push(words("FLUSHALL")),
        }
    }
    body
}

fn pick<'a, T: ?Sized>(rng: &mut ChaCha8Rng, from: &[&'a T]) -> &'a T {
    from.choose(rng).unwrap()
}

/// Loads every script.
fn load() -> Vec<Words> {
    let load = |text: &&str| {
        let words = [b"SCRIPT".as_ref(), b"LOAD", text.as_bytes()];
        words.map(<[u8]>::to_vec).into()
    };
    ALL.iter().map(load).collect()
}

fn sha(text: &str) -> Vec<u8> {
    sha1_smol::Sha1::from(text)
        .digest()
        .to_string()
        .into_bytes()
}

fn calls(words: &[Vec<u8>], text: &str) -> bool {
    words[0].starts_with(b"EVAL") && (words[1] == text.as_bytes() || words[1] == sha(text))
}

fn how(words: &[Vec<u8>]) -> Option<How> {
    if calls(words, script::VAULT_ACQUIRE) {
        // Whether the lock is free depends on the millisecond.
        Some(How::ErrorOrNot)
    } else if [
        script::VAULT_LOAD,
        script::VAULT_SCAN,
        script::VAULT_APPLY,
        script::VAULT_SETTLE,
    ]
    .iter()
    .any(|script| calls(words, script))
        || words[0].eq_ignore_ascii_case(b"EXEC")
    {
        // They say what time it is, or when a receipt was written.
        Some(How::UnorderedWithoutTimes)
    } else {
        None
    }
}

const RESUMED: Known = Known {
    server: "*",
    why: "a scan of the vault that does not begin at cursor 0",
    effect: Effect::ReplyOnly,
    applies: |exchange| {
        calls(exchange.words, script::VAULT_SCAN)
            && exchange.words.get(4).is_some_and(|cursor| cursor != b"0")
            && !exchange.simulated.is_error()
            && !exchange.real.is_error()
    },
};

/// A call by SHA-1 or by text; sometimes with an argument changed or missing,
/// or a key of the wrong type.
fn call(rng: &mut ChaCha8Rng, text: &str, keys: &[&str], arguments: &[String]) -> Words {
    let mut all = if rng.random_bool(0.9) {
        vec![b"EVALSHA".to_vec(), sha(text)]
    } else {
        vec![b"EVAL".to_vec(), text.as_bytes().to_vec()]
    };
    all.push(keys.len().to_string().into_bytes());
    let mut keys: Vec<&str> = keys.to_vec();
    let mut arguments: Words = arguments
        .iter()
        .map(|word| word.clone().into_bytes())
        .collect();
    match rng.random_range(0..40) {
        0 if !arguments.is_empty() => {
            let at = rng.random_range(0..arguments.len());
            // 70000 is also a TTL that lasts for the test.
            let broken: &[&[u8]] = &[
                b"",
                b"x",
                b"-1",
                b"70000",
                b"1.5",
                b"nan",
                b"\xff\x00",
                b"0x2",
            ];
            arguments[at] = pick(rng, broken).to_vec();
        }
        1 => drop(arguments.pop()),
        2 => {
            let at = rng.random_range(0..keys.len());
            keys[at] = pick(
                rng,
                // Not a hash: receipts in it would differ by their times.
                &["c:chain", "c:head", "v:expiry", "s1", "l1", "\u{e9}"],
            );
        }
        3 => all[2] = b"1".to_vec(),
        _ => {}
    }
    all.extend(keys.iter().map(|key| key.as_bytes().to_vec()));
    all.extend(arguments);
    all
}
