//! The store's own scripts, with the arguments the store gives them, and with others.

use super::corpus::Words;
use super::generate::pick;
use haechi_store_redis::redis::script;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

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
const VAULT_KEYS: &[&str] = &["v:tokens", "v:version", "v:lock", "v:receipts", "v:expiry"];

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

fn words(words: &[&str]) -> Words {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// A call by name, or by text; at times with an argument broken or missing, or a key of the wrong type.
fn call(rng: &mut ChaCha8Rng, text: &str, keys: &[&str], arguments: &[String]) -> Words {
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

/// A vault, as its writer believes it to be.
#[derive(Default)]
pub(super) struct Vault {
    tokens: BTreeMap<String, String>,
    version: u64,
    mutations: u64,
}

impl Vault {
    pub(super) fn next(&mut self, rng: &mut ChaCha8Rng) -> Vec<Words> {
        let one = match rng.random_range(0..100) {
            0..45 => self.apply(rng),
            45..60 => self.load(rng),
            60..70 => {
                let mutation = self.mutation(rng);
                let mark = rng.random_range(0..3).to_string();
                self.call(rng, script::VAULT_SETTLE, vec![mutation, mark])
            }
            70..77 => call(
                rng,
                script::VAULT_DUE,
                VAULT_KEYS,
                &["5000".to_owned(), "10".to_owned()],
            ),
            77..84 => {
                let token = self.token(rng);
                let value = self.tokens.get(&token).cloned();
                let found = if value.is_some() { "1" } else { "0" }.to_owned();
                let expires = pick(rng, &["", "1000", "7000"]).to_owned();
                let arguments = [
                    pick(rng, &["", "", "3"]).to_owned(),
                    token,
                    found,
                    value.unwrap_or_default(),
                    expires,
                ];
                call(rng, script::VAULT_INDEX, VAULT_KEYS, &arguments)
            }
            84..88 => call(
                rng,
                script::VAULT_SCAN,
                &VAULT_KEYS[..1],
                &["0".to_owned(), "10000".to_owned()],
            ),
            88..91 => return self.lock(rng),
            91..94 => words(&["ZRANGE", "v:expiry", "0", "-1", "WITHSCORES"]),
            94..97 => words(&["HGETALL", "v:tokens"]),
            _ => return self.damage(rng),
        };
        vec![one]
    }

    fn token(&self, rng: &mut ChaCha8Rng) -> String {
        format!("tok_{}", rng.random_range(0..12))
    }

    fn mutation(&mut self, rng: &mut ChaCha8Rng) -> String {
        if rng.random_bool(0.8) {
            self.mutations += 1;
        }
        format!("{:032x}", self.mutations)
    }

    /// Most callers have seen nothing; some believe too much.
    fn call(&self, rng: &mut ChaCha8Rng, text: &str, arguments: Vec<String>) -> Words {
        let belief = match rng.random_range(0..10) {
            0 => ["1000000", "", "0"].map(str::to_owned),
            1 => [
                "1".to_owned(),
                format!("{:032x}", self.mutations),
                "1".to_owned(),
            ],
            _ => ["0", "", "0"].map(str::to_owned),
        };
        call(
            rng,
            text,
            VAULT_KEYS,
            &[belief.to_vec(), arguments].concat(),
        )
    }

    fn load(&mut self, rng: &mut ChaCha8Rng) -> Words {
        let mutation = if rng.random_bool(0.3) {
            self.mutation(rng)
        } else {
            String::new()
        };
        let mut arguments = vec![mutation];
        if rng.random_bool(0.3) {
            arguments.push("all".to_owned());
        } else {
            arguments.push("some".to_owned());
            arguments.extend((0..rng.random_range(0..5)).map(|_| self.token(rng)));
        }
        self.call(rng, script::VAULT_LOAD, arguments)
    }

    fn apply(&mut self, rng: &mut ChaCha8Rng) -> Words {
        let fence = if rng.random_bool(0.1) {
            self.version.to_string()
        } else {
            String::new()
        };
        let patience = pick(rng, &["", "*", "own:1"]).to_owned();
        let mut arguments = vec![
            self.mutation(rng),
            "1".to_owned(),
            "0".to_owned(),
            patience,
            fence,
        ];
        let set: BTreeMap<String, String> = (0..rng.random_range(0..4))
            .map(|_| {
                (
                    self.token(rng),
                    format!(r#"{{"value":"{}"}}"#, "y".repeat(rng.random_range(0..300))),
                )
            })
            .collect();
        let gone: Vec<String> = (0..rng.random_range(0..3))
            .map(|_| self.token(rng))
            .filter(|token| !set.contains_key(token))
            .collect();
        arguments.extend([set.len(), set.len(), gone.len()].map(|count| count.to_string()));
        for token in set.keys() {
            let value = self.tokens.get(token);
            arguments.push(token.clone());
            arguments.push(if value.is_some() { "1" } else { "0" }.to_owned());
            arguments.push(value.cloned().unwrap_or_default());
        }
        for (token, value) in &set {
            arguments.extend([token.clone(), value.clone()]);
            arguments.push(pick(rng, &["", "1000", "9000", "x"]).to_owned());
        }
        arguments.extend(gone.iter().cloned());
        for token in &gone {
            self.tokens.remove(token);
        }
        self.tokens.extend(set);
        self.version += 1;
        self.call(rng, script::VAULT_APPLY, arguments)
    }

    /// The lock's script goes by the clock; a lock that is held is answered alike at any time.
    fn lock(&self, rng: &mut ChaCha8Rng) -> Vec<Words> {
        let holder = pick(rng, &["own:1", "foreign"]);
        let arguments = ["own:2".to_owned(), "5000".to_owned()];
        let sha = sha1_smol::Sha1::from(script::VAULT_ACQUIRE)
            .digest()
            .to_string();
        let mut acquire = words(&["EVALSHA", &sha, "1", "v:lock"]);
        acquire.extend(arguments.map(String::into_bytes));
        let mut all = vec![
            words(&["SET", "v:lock", holder]),
            acquire,
            self.clone_apply(rng),
        ];
        all.push(words(&["DEL", "v:lock"]));
        all
    }

    fn clone_apply(&self, rng: &mut ChaCha8Rng) -> Words {
        let mut copy = Vault {
            tokens: self.tokens.clone(),
            ..Vault::default()
        };
        copy.mutations = self.mutations + 1_000_000;
        copy.apply(rng)
    }

    fn damage(&mut self, rng: &mut ChaCha8Rng) -> Vec<Words> {
        let damage = match rng.random_range(0..6) {
            0 => words(&["SET", "v:version", "abc"]),
            1 => words(&["SET", "v:version", "99999999999999"]),
            2 => words(&["SET", "v:tokens", "text"]),
            3 => words(&["HSET", "v:receipts", "#next", "x"]),
            4 => words(&["SET", "v:expiry", "text"]),
            _ => words(&[
                "HSET",
                "v:receipts",
                "#next",
                "10005",
                "#5",
                "old",
                "old",
                "done 1 1 5",
            ]),
        };
        let all = vec![
            damage,
            self.load(rng),
            self.apply(rng),
            words(&["HGETALL", "v:receipts"]),
        ];
        *self = Vault {
            mutations: self.mutations,
            ..Vault::default()
        };
        [all, vec![[words(&["DEL"]), words(VAULT_KEYS)].concat()]].concat()
    }
}
