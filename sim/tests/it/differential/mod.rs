//! The simulated server sits redis-server's exam: the same commands to both, over the wire, and the same replies back.
//!
//! What one cannot be asked to repeat is left out or compared loosely: the order of keys and of large hashes, and times
//! to live, as the two are asked a moment apart.

mod cases;
mod conformance;
mod corpus;
mod generate;
mod known;
mod modes;
mod pair;
mod scripts;
mod texts;
mod vault;
mod wire;

use pair::Pair;
pub(crate) use pair::pause;
use wire::Item;

#[test]
fn cases_written_by_hand() {
    let mut pair = Pair::start();
    let differences: Vec<String> = cases::commands()
        .iter()
        .filter_map(|words| pair.difference(words))
        .collect();
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn cases_written_by_hand_in_resp3() {
    let mut pair = Pair::start();
    let mut differences: Vec<String> = Vec::new();
    let hello: [&[u8]; 2] = [b"HELLO", b"3"];
    pair.both(&hello);
    for words in cases::commands() {
        if words[0] == b"HELLO" {
            continue;
        }
        differences.extend(pair.difference(&words));
        if words[0] == b"RESET" {
            pair.both(&hello);
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn scripts_written_by_hand() {
    let mut pair = Pair::start();
    let mut differences = Vec::new();
    for text in cases::SCRIPTS {
        pair.both(&[b"FLUSHALL"]);
        pair.both(&[b"SET", b"string", b"text"]);
        pair.both(&[b"RPUSH", b"list", b"a", b"b", b"c"]);
        pair.both(&[b"HSET", b"hash", b"f", b"1"]);
        let words = [
            b"EVAL".as_ref(),
            text.as_bytes(),
            b"2",
            b"string",
            b"list",
            b"10",
            b"x y",
            b"\xff\0\r\n",
        ];
        differences.extend(pair.difference(&words));
        // What a script did before it failed stays done, on both.
        differences.extend(pair.difference(&[b"LRANGE".as_ref(), b"list", b"0", b"-1"]));
        differences.extend(pair.difference(&[b"GET".as_ref(), b"string"]));
    }
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// Where seeds begin: `DIFFERENTIAL_SEED` moves on to sequences not tried before.
fn first_seed() -> u64 {
    std::env::var("DIFFERENTIAL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0)
}

#[test]
fn generated_sequences() {
    let mut pair = Pair::start();
    for seed in first_seed()..first_seed() + 40 {
        let mut generator = generate::Generator::new(seed);
        pair.both(&[b"FLUSHALL"]);
        for step in 0..150 {
            let words = generator.command();
            pair.check(&words, &format!("seed {seed}, step {step}"));
        }
        pair.both(&[b"RESET"]);
        pair.check_all_keys(&format!("seed {seed}"));
    }
}

#[test]
fn generated_values_through_lua_and_json() {
    let mut pair = Pair::start();
    for seed in first_seed() * 100..first_seed() * 100 + 1500 {
        let text = generate::lua_value(seed);
        let script = format!("local v = {text} return {{cjson.encode(v), v}}");
        pair.check(
            &[b"EVAL".to_vec(), script.clone().into_bytes(), b"0".to_vec()],
            &script,
        );
        let json = generate::json(seed);
        let again = "local ok, v = pcall(cjson.decode, ARGV[1]) return {ok and 1 or v, ok and cjson.encode(v)}";
        let words = [
            b"EVAL".to_vec(),
            again.as_bytes().to_vec(),
            b"0".to_vec(),
            json.clone(),
        ];
        pair.check(&words, &String::from_utf8_lossy(&json));
    }
}

#[test]
fn every_command_is_described_alike() {
    let mut pair = Pair::start();
    described_alike(&mut pair);
    pair.both(&[b"HELLO", b"3"]);
    described_alike(&mut pair);
}

fn described_alike(pair: &mut Pair) {
    let Item::Array(Some(ours)) = pair.ours(&[b"COMMAND"]) else {
        panic!("COMMAND answers an array")
    };
    let describe = |item: &Item| -> Vec<Item> {
        let Item::Array(Some(parts)) = item else {
            return vec![item.clone()];
        };
        let mut parts = parts[..6].to_vec();
        parts[2].sort();
        parts
    };
    for item in &ours {
        let Item::Array(Some(parts)) = item else {
            panic!("a command is an array")
        };
        let Item::Bulk(Some(name)) = &parts[0] else {
            panic!("a name is a string")
        };
        let Item::Array(Some(theirs)) = pair.theirs(&[b"COMMAND", b"INFO", name]) else {
            panic!("an array")
        };
        assert_eq!(
            describe(item),
            describe(&theirs[0]),
            "{}",
            String::from_utf8_lossy(name)
        );
        let (subs, known) = (parts[9].items(), theirs[0].part(9).items());
        assert_eq!(
            std::mem::discriminant(&parts[9]),
            std::mem::discriminant(theirs[0].part(9))
        );
        for sub in subs
            .iter()
            .map(describe)
            .filter(|sub| sub[0] != Item::Bulk(Some(b"client|setinfo".to_vec())))
        {
            assert!(
                known.iter().map(describe).any(|theirs| theirs == sub),
                "{sub:?}"
            );
        }
    }
}

#[test]
fn keys_expire_alike() {
    let mut pair = Pair::start();
    pair.both(&[b"MSET", b"a", b"1", b"b", b"2"]);
    for words in [
        vec![b"PEXPIRE".to_vec(), b"a".to_vec(), b"30".to_vec()],
        vec![
            b"SET".to_vec(),
            b"c".to_vec(),
            b"3".to_vec(),
            b"PX".to_vec(),
            b"30".to_vec(),
        ],
        vec![
            b"SET".to_vec(),
            b"d".to_vec(),
            b"3".to_vec(),
            b"PX".to_vec(),
            b"30".to_vec(),
        ],
        vec![b"PERSIST".to_vec(), b"d".to_vec()],
        vec![b"WATCH".to_vec(), b"c".to_vec()],
    ] {
        pair.check(&words, "before");
    }
    pause(80);
    let script = "return {redis.call('EXISTS', 'a', 'b', 'c', 'd'), redis.call('PTTL', 'a'), redis.call('GET', 'c')}";
    for words in [
        vec![
            b"EXISTS".to_vec(),
            b"a".to_vec(),
            b"b".to_vec(),
            b"c".to_vec(),
            b"d".to_vec(),
        ],
        vec![b"TTL".to_vec(), b"d".to_vec()],
        vec![b"EVAL".to_vec(), script.as_bytes().to_vec(), b"0".to_vec()],
        vec![b"MULTI".to_vec()],
        vec![b"GET".to_vec(), b"b".to_vec()],
        vec![b"EXEC".to_vec()],
    ] {
        pair.check(&words, "after");
    }
}
