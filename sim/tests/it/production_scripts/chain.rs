//! Calls of the chain's scripts, mostly as a store makes them.

use super::{call, pick};
use haechi_store_redis::redis::script;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use redis_sim::differential::{Words, words};

const CHAIN_KEYS: &[&str] = &["c:chain", "c:head", "c:head:hash"];

/// An audit chain, as its writer last read it.
#[derive(Default)]
pub(super) struct Chain {
    last: u64,
    hash: String,
    /// The last record and its head, as stored.
    record: String,
    head: String,
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
                    keys,
                    &[from, to, budget].map(|number: u64| number.to_string()),
                )
            }
            78..81 => call(rng, script::READY, CHAIN_KEYS, &[]),
            81..84 => {
                let (seen, hash) = (self.last.to_string(), self.hash.clone());
                call(rng, script::CONFIRM, CHAIN_KEYS, &[seen, hash])
            }
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
            92..96 => words("LRANGE c:chain -3 -1"),
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
        if !stale {
            (self.record, self.head) = (records.last().cloned().unwrap_or_default(), head.clone());
        }
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

    /// Reads the keys, and repairs the chain: as if nothing was damaged, or head,
    /// or head:hash; and once more.
    fn repairs(&self, rng: &mut ChaCha8Rng) -> Vec<Words> {
        let keys = &CHAIN_KEYS[..3];
        let hash = format!("{:064x}", self.last + 1);
        let head = format!(
            r#"{{"algorithm":"sha256","eventHash":"{hash}","previousHash":"{}","sequence":{}}}"#,
            self.hash,
            self.last + 1
        );
        let record = format!(r#"{{"auditIntegrity":{head}}}"#);
        let absent = || ["0".to_owned(), String::new()];
        let stored = |text: &str| ["1".to_owned(), text.to_owned()];
        let mut all = vec![call(rng, script::STATE, keys, &[])];
        for [of_head, of_hash] in [
            [stored(&self.head), stored(&self.hash)],
            [absent(), stored(&self.hash)],
            [stored(&self.head), absent()],
            [stored(&self.head), absent()],
        ] {
            let mut arguments = vec![self.last.to_string(), self.record.clone()];
            arguments.extend(of_head.into_iter().chain(of_hash));
            arguments.extend([hash.clone(), head.clone(), record.clone()]);
            all.push(call(rng, script::REPAIR, keys, &arguments));
        }
        all.push(call(rng, script::STATE, keys, &[]));
        all
    }

    /// Damages the chain, calls the scripts on it, and starts another.
    fn damage(&mut self, rng: &mut ChaCha8Rng) -> Vec<Words> {
        let repairs = self.repairs(rng);
        let damage = match rng.random_range(0..9) {
            0 => words("DEL c:head"),
            1 => words("DEL c:head:hash"),
            2 => words("DEL c:chain"),
            3 => words("RPOP c:chain"),
            4 => words("LTRIM c:chain 2 -1"),
            5 => words("SET c:chain text"),
            6 => words("SET c:head {not-json"),
            7 => words(r#"SET c:head {"eventHash":"abc","sequence":"x"}"#),
            _ => words(r#"RPUSH c:chain {"deep":[[[]]],"auditIntegrity":5}"#),
        };
        let tail = call(rng, script::TAIL, &CHAIN_KEYS[..3], &["1".to_owned()]);
        let mut all = vec![
            damage,
            tail,
            call(rng, script::READY, CHAIN_KEYS, &[]),
            self.append(rng),
        ];
        all.extend(repairs);
        all.push(words("DEL c:chain c:head c:head:hash c:lock"));
        (self.last, self.hash) = (0, String::new());
        all
    }
}
