//! Calls of the vault's scripts, mostly as a store makes them.

use super::{call, pick, sha};
use haechi_store_redis::redis::script;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use redis_sim::differential::{Words, words};
use std::collections::BTreeMap;

const VAULT_KEYS: &[&str] = &["v:tokens", "v:version", "v:receipts", "v:expiry"];

/// A vault, as its writer last read it.
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
                let look = pick(rng, &["", "look"]).to_owned();
                self.call(rng, script::VAULT_SETTLE, vec![mutation, mark, look])
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
            91 => call(rng, script::VAULT_READY, VAULT_KEYS, &["v:lock".to_owned()]),
            92 => {
                let mutations = [self.mutation(rng), self.mutation(rng)];
                call(rng, script::VAULT_CONFIRM, VAULT_KEYS, &mutations)
            }
            93 => words("ZRANGE v:expiry 0 -1 WITHSCORES"),
            94..97 => words("HGETALL v:tokens"),
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

    /// Most callers have observed nothing; some have observed more than there
    /// is.
    fn call(&self, rng: &mut ChaCha8Rng, text: &str, arguments: Vec<String>) -> Words {
        let deadline = pick(rng, &["0", "10000"]);
        let receipt = format!("{:032x} 1764500000000000", self.mutations);
        let (version, receipts) = match rng.random_range(0..10) {
            0 => ("1000000", vec![]),
            1 => (
                "1",
                vec!["1".to_owned(), receipt.clone(), "0".to_owned(), receipt],
            ),
            _ => ("0", vec![]),
        };
        let count = (receipts.len() / 2).to_string();
        let seen = vec![version.to_owned(), count, deadline.to_owned()];
        call(rng, text, VAULT_KEYS, &[seen, arguments, receipts].concat())
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
        let foreign_lock_wait = pick(rng, &["", "*", "own:1"]).to_owned();
        let mut arguments = vec![
            self.mutation(rng),
            "1".to_owned(),
            "0".to_owned(),
            "v:lock".to_owned(),
            foreign_lock_wait,
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

    /// The lock's script depends on the clock; with a lock that is taken, the
    /// reply does not.
    fn lock(&self, rng: &mut ChaCha8Rng) -> Vec<Words> {
        let holder = pick(rng, &["own:1", "foreign"]);
        let arguments = ["own:2".to_owned(), "5000".to_owned()];
        let mut acquire = words("EVALSHA - 1 v:lock");
        acquire[1] = sha(script::VAULT_ACQUIRE);
        acquire.extend(arguments.map(String::into_bytes));
        let mut all = vec![
            words(&format!("SET v:lock {holder}")),
            acquire,
            self.clone_apply(rng),
        ];
        all.push(words("DEL v:lock"));
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
            0 => words("SET v:version abc"),
            1 => words("SET v:version 99999999999999"),
            2 => words("SET v:tokens text"),
            3 => words("HSET v:receipts #next x"),
            4 => words("SET v:expiry text"),
            _ => {
                let mut receipts = words("HSET v:receipts #next 10005 #5 old old");
                receipts.push(b"done 1 1 5".to_vec());
                receipts
            }
        };
        let all = vec![
            damage,
            self.load(rng),
            self.apply(rng),
            // Not the times at which receipts were written.
            words("HLEN v:receipts"),
            words("HMGET v:receipts #next #own #kept #span"),
        ];
        *self = Vault {
            mutations: self.mutations,
            ..Vault::default()
        };
        [
            all,
            vec![words(&format!("DEL v:lock {}", VAULT_KEYS.join(" ")))],
        ]
        .concat()
    }
}
