//! The store's own scripts, with the arguments the store gives them, and with others.

use super::corpus::Words;
use super::generate::pick;
use haechi_store_redis::redis::script;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const ALL: &[&str] = &[
    script::APPEND,
    script::TAIL,
    script::PAGE,
    script::READY,
    script::ACQUIRE,
    script::RELEASE,
    script::VAULT_LOAD,
    script::VAULT_APPLY,
    script::VAULT_SETTLE,
    script::VAULT_DUE,
    script::VAULT_INDEX,
    script::VAULT_SCAN,
    script::VAULT_ACQUIRE,
];

const CHAIN_KEYS: &[&str] = &["c:chain", "c:head", "c:head:hash", "c:probe"];
pub(super) const VAULT_KEYS: &[&str] =
    &["v:tokens", "v:version", "v:lock", "v:receipts", "v:expiry"];

/// Makes every script known.
pub(super) fn load() -> Vec<Words> {
    let load = |text: &&str| {
        vec![
            b"SCRIPT".to_vec(),
            b"LOAD".to_vec(),
            text.as_bytes().to_vec(),
        ]
    };
    ALL.iter().map(load).collect()
}

pub(super) fn words(words: &[&str]) -> Words {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// A call by name, or by text; at times with an argument broken or missing, or a key of the wrong type.
pub(super) fn call(rng: &mut ChaCha8Rng, text: &str, keys: &[&str], arguments: &[String]) -> Words {
    let mut all = if rng.random_bool(0.9) {
        vec![
            b"EVALSHA".to_vec(),
            sha1_smol::Sha1::from(text)
                .digest()
                .to_string()
                .into_bytes(),
        ]
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
            let broken: &[&[u8]] = &[b"", b"x", b"-1", b"7", b"1.5", b"nan", b"\xff\x00", b"0x2"];
            arguments[at] = pick(rng, broken).to_vec();
        }
        1 => drop(arguments.pop()),
        2 => {
            let at = rng.random_range(0..keys.len());
            keys[at] = pick(
                rng,
                &[
                    "c:chain", "c:head", "v:tokens", "v:expiry", "s1", "l1", "\u{e9}",
                ],
            );
        }
        3 => all[2] = b"1".to_vec(),
        _ => {}
    }
    all.extend(keys.iter().map(|key| key.as_bytes().to_vec()));
    all.extend(arguments);
    all
}

/// An audit chain, as its writer believes it to be.
#[derive(Default)]
pub(super) struct Chain {
    last: u64,
    hash: String,
    round: u64,
}

impl Chain {
    pub(super) fn next(&mut self, rng: &mut ChaCha8Rng) -> Vec<Words> {
        let keys = &CHAIN_KEYS[..3];
        let one = match rng.random_range(0..100) {
            0..55 => self.append(rng),
            55..68 => {
                let seen = rng.random_range(0..=self.last + 1).to_string();
                call(rng, script::TAIL, keys, &[seen])
            }
            68..78 => {
                let from = rng.random_range(0..=self.last);
                let to = from + rng.random_range(0..40);
                let budget = [1, 500, 5000, 100_000][rng.random_range(0..4)];
                call(
                    rng,
                    script::PAGE,
                    &keys[..1],
                    &[from, to, budget].map(|number: u64| number.to_string()),
                )
            }
            78..84 => call(rng, script::READY, CHAIN_KEYS, &[]),
            84..88 => call(
                rng,
                script::ACQUIRE,
                &["c:lock"],
                &["me".to_owned(), "100000".to_owned()],
            ),
            88..92 => {
                let token = pick(rng, &["me", "you"]).to_owned();
                call(rng, script::RELEASE, &["c:lock"], &[token])
            }
            92..96 => words(&["LRANGE", "c:chain", "-3", "-1"]),
            _ => return self.damage(rng),
        };
        vec![one]
    }

    fn append(&mut self, rng: &mut ChaCha8Rng) -> Words {
        let count = rng.random_range(1..5);
        let (stale, again) = (rng.random_bool(0.15), rng.random_bool(0.1));
        let (mut last, mut hash) = (self.last, self.hash.clone());
        let (mut records, mut head) = (Vec::new(), String::new());
        self.round += 1;
        for _ in 0..count {
            last += 1;
            let previous = if hash.is_empty() {
                "null".to_owned()
            } else {
                format!("\"{hash}\"")
            };
            hash = format!("{:016x}{last:048x}", self.round);
            head = format!(
                r#"{{"algorithm":"sha256","eventHash":"{hash}","previousHash":{previous},"sequence":{last}}}"#
            );
            let filler = "é/x".repeat(rng.random_range(0..100));
            records.push(format!(r#"{{"id":"{filler}","auditIntegrity":{head}}}"#));
        }
        let base = if stale {
            "0".repeat(64)
        } else {
            self.hash.clone()
        };
        let mut arguments = vec![
            base,
            self.last.to_string(),
            count.to_string(),
            if again { self.last + 1 } else { 0 }.to_string(),
            hash.clone(),
            head,
        ];
        arguments.extend(records);
        if !stale {
            (self.last, self.hash) = (last, hash);
        }
        call(rng, script::APPEND, &CHAIN_KEYS[..3], &arguments)
    }

    /// Breaks the chain, asks what is thought of it, and begins another.
    fn damage(&mut self, rng: &mut ChaCha8Rng) -> Vec<Words> {
        let damage = match rng.random_range(0..9) {
            0 => words(&["DEL", "c:head"]),
            1 => words(&["DEL", "c:head:hash"]),
            2 => words(&["DEL", "c:chain"]),
            3 => words(&["RPOP", "c:chain"]),
            4 => words(&["LTRIM", "c:chain", "2", "-1"]),
            5 => words(&["SET", "c:chain", "text"]),
            6 => words(&["SET", "c:head", "{not json"]),
            7 => words(&["SET", "c:head", r#"{"eventHash":"abc","sequence":"x"}"#]),
            _ => words(&["RPUSH", "c:chain", r#"{"deep":[[[]]],"auditIntegrity":5}"#]),
        };
        let tail = call(rng, script::TAIL, &CHAIN_KEYS[..3], &["1".to_owned()]);
        let mut all = vec![
            damage,
            tail,
            call(rng, script::READY, CHAIN_KEYS, &[]),
            self.append(rng),
        ];
        all.push(words(&[
            "DEL",
            "c:chain",
            "c:head",
            "c:head:hash",
            "c:lock",
        ]));
        (self.last, self.hash) = (0, String::new());
        all
    }
}
