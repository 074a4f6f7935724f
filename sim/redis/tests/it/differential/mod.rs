//! Differential tests: the same commands to the simulated server and to redis-server, and the replies compared.

mod cases;
mod conformance;
mod corpus;
mod generate;
mod modes;
mod texts;

use redis_sim::differential::{Comparison, How, WireReply, Words, words};
use std::time::Duration;

fn start() -> Comparison {
    Comparison::start().unwrap_or_else(|error| panic!("{error}"))
}

/// Fails if the servers reply differently, or if a known difference occurs.
fn same(comparison: &mut Comparison, batch: &[Words], what: &str) {
    let differences = comparison.send(batch).unwrap();
    if let Some(first) = differences.first() {
        panic!(
            "{what}: {} differences, the first\n{first}",
            differences.len()
        );
    }
    assert!(
        comparison.summary().known.is_empty(),
        "{what}: {}",
        comparison.summary()
    );
}

/// Would catch options and errors of single commands that differ.
#[test]
fn cases_written_by_hand() {
    same(&mut start(), &cases::commands(), "cases");
}

/// Would catch shapes of replies that differ in RESP3.
#[test]
fn cases_written_by_hand_in_resp3() {
    let mut batch = vec![words("HELLO 3")];
    for words in cases::commands() {
        let resets = words[0] == b"RESET";
        if words[0] != b"HELLO" {
            batch.push(words);
        }
        if resets {
            batch.push(batch[0].clone());
        }
    }
    same(&mut start(), &batch, "cases");
}

/// Would catch differences in Lua, its libraries and its errors, and writes
/// before an error that are undone.
#[test]
fn scripts_written_by_hand() {
    let mut comparison = start();
    for text in cases::SCRIPTS {
        let mut batch = vec![
            words("FLUSHALL"),
            words("SET string text"),
            words("RPUSH list a b c"),
            words("HSET hash f 1"),
        ];
        let mut script = words("EVAL - 2 string list 10");
        script[1] = text.as_bytes().to_vec();
        script.extend([b"x y".to_vec(), b"\xff\0\r\n".to_vec()]);
        batch.push(script);
        batch.extend([words("LRANGE list 0 -1"), words("GET string")]);
        same(&mut comparison, &batch, text);
    }
}

/// Would catch a set of integers in another order than redis-server's.
#[test]
fn a_small_set_of_integers_is_in_order() {
    let mut comparison = start();
    comparison.compare_by(|words| (words[0] == b"SMEMBERS").then_some(How::Exact));
    let many: Vec<String> = (0..512)
        .map(|number| (number * 7919 % 512).to_string())
        .collect();
    let lines = [
        "SADD t 10 9 -1 0 9223372036854775807 -9223372036854775808",
        "SMEMBERS t",
        "SREM t 9",
        "SMEMBERS t",
        "HELLO 3",
        "SMEMBERS t",
        &format!("SADD many {}", many.join(" ")),
        "SMEMBERS many",
    ];
    same(&mut comparison, &lines.map(words), "in order");
}

/// Would catch sums that are rounded or printed in another way than those of 80 bits.
#[test]
fn sums_of_floats_are_those_of_80_bits() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(first_seed());
    let mut number = || {
        let digits = rng.random_range(1..25);
        let point = rng.random_range(0..=digits);
        let mut text = String::from(if rng.random() { "" } else { "-" });
        for place in 0..digits {
            if place == point {
                text.push('.');
            }
            text.push(char::from(rng.random_range(b'0'..=b'9')));
        }
        match rng.random_range(0..6) {
            0 => text + &format!("e{}", rng.random_range(-30..30)),
            1 => text + &format!("E{}", rng.random_range(-5000..5000)),
            _ => text,
        }
    };
    let mut batch: Vec<Words> = Vec::new();
    for _ in 0..3000 {
        batch.push(words(&format!("SET f {}", number())));
        batch.push(words(&format!("INCRBYFLOAT f {}", number())));
        batch.push(words(&format!("INCRBYFLOAT f {}", number())));
    }
    same(&mut start(), &batch, "sums");
}

/// Would catch an approximate trim that removes something else than redis-server's, also after deletions.
#[test]
fn streams_are_trimmed_by_hundreds() {
    let mut comparison = start();
    let mut batch: Vec<Words> = Vec::new();
    for key in ["a", "b", "c"] {
        for number in 1..=350 {
            batch.push(words(&format!("XADD {key} {number}-1 f {number}")));
        }
    }
    // One block is half empty, one is gone, one ends with what was deleted.
    for number in (1..50).chain(101..=200).chain(290..=300) {
        batch.push(words(&format!("XDEL b {number}-1")));
    }
    let lines = [
        "XTRIM a MAXLEN ~ 251",
        "XTRIM a MAXLEN ~ 250",
        "XTRIM a MINID ~ 200-2 LIMIT 99",
        "XTRIM a MINID ~ 200-1 LIMIT 100",
        "XTRIM a MINID ~ 200-2 LIMIT 100",
        "XADD a MAXLEN ~ 10 400-1 f 0",
        "XTRIM a MAXLEN = 20",
        "XTRIM a MAXLEN ~ 0",
        "XADD a 401-1 f 0",
        "XTRIM b MAXLEN ~ 140 LIMIT 50",
        "XTRIM b MAXLEN ~ 140 LIMIT 51",
        "XTRIM b MINID ~ 295",
        "XTRIM b MINID ~ 301",
        "XTRIM b MINID 320",
        "XTRIM b MAXLEN ~ 0 LIMIT 0",
        "XTRIM c MAXLEN ~ 0 LIMIT 250",
        "XTRIM c MAXLEN 120",
        "XDEL c 350-1",
        "XADD c MINID ~ 349-2 360-1 f 0",
    ];
    batch.extend(lines.map(words));
    comparison.compare_by(|words| (words[0] == b"XINFO").then_some(How::Exact));
    for key in ["a", "b", "c"] {
        batch.push(words(&format!("XRANGE {key} - +")));
        batch.push(words(&format!("XINFO STREAM {key}")));
    }
    same(&mut comparison, &batch, "trimmed");
}

/// The first seed: `DIFFERENTIAL_SEED` selects others.
fn first_seed() -> u64 {
    std::env::var("DIFFERENTIAL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0)
}

/// Would catch commands whose data differs from redis-server's: all of it is
/// compared after each sequence.
#[test]
fn generated_sequences() {
    let mut comparison = start();
    for seed in first_seed()..first_seed() + 40 {
        let mut generator = generate::Generator::new(seed);
        let batch: Vec<Words> = (0..150).map(|_| generator.command()).collect();
        comparison.reset().unwrap();
        let mut differences = comparison.send(&batch).unwrap();
        comparison.send(&[words("RESET")]).unwrap();
        differences.extend(comparison.compare_data().unwrap());
        if let Some(first) = differences.first() {
            panic!(
                "seed {seed}: {} differences, the first\n{first}",
                differences.len()
            );
        }
    }
}

/// Would catch different conversions between Lua, JSON and replies.
#[test]
fn generated_values_through_lua_and_json() {
    const RECODED: &str =
        "local ok, v = pcall(cjson.decode, ARGV[1]) return {ok and 1 or v, ok and cjson.encode(v)}";
    let mut comparison = start();
    let from = first_seed() * 100;
    let eval = |text: &str, arguments: &[Vec<u8>]| {
        let fixed = [b"EVAL".to_vec(), text.as_bytes().to_vec(), b"0".to_vec()];
        [&fixed, arguments].concat()
    };
    let batch: Vec<Words> = (from..from + 1500)
        .flat_map(|seed| {
            let value = generate::lua_value(seed);
            let script = format!("local v = {value} return {{cjson.encode(v), v}}");
            [eval(&script, &[]), eval(RECODED, &[generate::json(seed)])]
        })
        .collect();
    same(&mut comparison, &batch, "values");
}

/// Would catch a command whose arity, flags or keys differ from redis-server's
/// COMMAND INFO.
#[test]
fn every_command_is_described_alike() {
    let mut comparison = start();
    described_alike(&mut comparison);
    same(&mut comparison, &[words("HELLO 3")], "RESP3");
    described_alike(&mut comparison);
}

fn described_alike(comparison: &mut Comparison) {
    // Name, arity, flags in any order, and where the keys are.
    let describe = |command: &WireReply| {
        let mut parts = command.items()[..6].to_vec();
        let mut flags = parts[2].items().to_vec();
        flags.sort();
        parts[2] = WireReply::Array(Some(flags));
        parts
    };
    let commands = comparison.send_simulated(&words("COMMAND")).unwrap();
    assert!(commands.items().len() > 80);
    for ours in commands.items() {
        let name = ours.items()[0].bulk().unwrap();
        let info = [&words("COMMAND INFO")[..], &[name.to_vec()]].concat();
        let theirs = comparison.send_real(&info).unwrap();
        let theirs = &theirs.items()[0];
        assert_eq!(describe(ours), describe(theirs));
        let (subs, known) = (&ours.items()[9], &theirs.items()[9]);
        assert_eq!(std::mem::discriminant(subs), std::mem::discriminant(known));
        for sub in subs.items().iter().map(describe) {
            assert!(
                // Newer than redis-server 7.0.
                sub[0].bulk() == Some(b"client|setinfo")
                    || known.items().iter().any(|known| describe(known) == sub),
                "{sub:?}"
            );
        }
    }
}

/// Would catch a command that exists, may not run in a script, and is called unknown there.
#[test]
fn scripts_are_told_what_may_not_run_in_them() {
    let mut comparison = start();
    let commands = comparison.send_real(&words("COMMAND")).unwrap();
    let mut batch = Vec::new();
    for command in commands.items() {
        let subs = command.items()[9].items();
        for one in [command].into_iter().chain(subs) {
            let parts = one.items();
            let no_script = parts[2]
                .items()
                .iter()
                .any(|flag| flag.line() == b"+noscript");
            if !no_script {
                continue;
            }
            let name = String::from_utf8(parts[0].bulk().unwrap().to_vec()).unwrap();
            let arity = std::str::from_utf8(&parts[1].line()[1..]).unwrap();
            let least = arity.parse::<i64>().unwrap().unsigned_abs();
            let named = name.split('|').count();
            for words in [usize::try_from(least).unwrap(), named, 9] {
                let script = "return redis.pcall(unpack(ARGV))";
                let mut eval = vec![b"EVAL".to_vec(), script.into(), b"0".to_vec()];
                eval.extend(name.split('|').map(|word| word.as_bytes().to_vec()));
                eval.extend((named..words.max(named)).map(|_| b"x".to_vec()));
                batch.push(eval);
            }
        }
    }
    assert!(batch.len() > 250, "{}", batch.len());
    for nothing in ["NOTHING", "CONFIG FOO", "LATENCY FOO", "CLIENT FOO x"] {
        let mut eval = words("EVAL - 0");
        eval[1] = b"return redis.pcall(unpack(ARGV))".to_vec();
        eval.extend(words(nothing));
        batch.push(eval);
    }
    same(&mut comparison, &batch, "not from scripts");
}

#[allow(
    clippy::disallowed_methods,
    reason = "a real server's keys expire in real time"
)]
fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Would catch a key that expires too late or too early.
#[test]
fn keys_expire_alike() {
    let mut comparison = start();
    let before = [
        "MSET a 1 b 2",
        "PEXPIRE a 30",
        "SET c 3 PX 30",
        "SET d 3 PX 30",
        "PERSIST d",
        "WATCH c",
    ];
    same(&mut comparison, &before.map(words), "before");
    pause(80);
    let script = "return {redis.call('EXISTS', 'a', 'b', 'c', 'd'), redis.call('PTTL', 'a'), redis.call('GET', 'c')}";
    let eval = vec![b"EVAL".to_vec(), script.as_bytes().to_vec(), b"0".to_vec()];
    let mut after = ["EXISTS a b c d", "TTL d", "MULTI", "GET b", "EXEC"]
        .map(words)
        .to_vec();
    after.insert(2, eval);
    same(&mut comparison, &after, "after");
}
