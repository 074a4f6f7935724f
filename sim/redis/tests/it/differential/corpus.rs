//! The commands of one seed, valid and invalid.

use super::generate::{Generator, pick};
use super::texts::{BINARY, BROKEN, LINES, SCRIPTS, sha};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redis_sim::differential::Words;
use std::collections::VecDeque;

/// The next step.
pub(super) enum Step {
    /// A command.
    Send(Words),
    /// Wait until keys with a TTL below [`SHORT`] have expired.
    Wait,
}

/// Loads every script.
fn load() -> impl Iterator<Item = Step> {
    SCRIPTS.iter().map(|text| {
        let words = [b"SCRIPT".as_ref(), b"LOAD", text.as_bytes()];
        Step::Send(words.map(<[u8]>::to_vec).into())
    })
}

/// The TTL, in milliseconds, of keys whose expiry is waited for, and the wait.
pub(super) const SHORT: (u64, u64) = (40, 65);

pub(super) struct Corpus {
    rng: ChaCha8Rng,
    shapes: Generator,
    pending: VecDeque<Step>,
    /// Whether a transaction is open, and whether MULTI or WATCH may occur
    /// within one.
    open: bool,
    nests: bool,
}

impl Corpus {
    pub(super) fn new(seed: u64) -> Corpus {
        Corpus {
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0xc0f0),
            shapes: Generator::new(seed),
            open: false,
            nests: seed.is_multiple_of(5),
            pending: load().collect(),
        }
    }

    pub(super) fn next(&mut self) -> Step {
        while let Some(step) = self.pending.pop_front() {
            if let Step::Send(words) = &step {
                match words[0].to_ascii_uppercase().as_slice() {
                    b"MULTI" | b"WATCH" if self.open && !self.nests => continue,
                    b"MULTI" => self.open = true,
                    b"EXEC" | b"DISCARD" | b"RESET" => self.open = false,
                    _ => {}
                }
            }
            return step;
        }
        match self.rng.random_range(0..1000) {
            0..640 => self.shape(),
            640..820 => self.script(),
            820..910 => self.line(),
            910..960 => self.transaction(),
            960..975 => self.big(),
            975..980 => self.expiry(),
            980..984 => self.pending.extend(load()),
            984..986 => self.send([b"FLUSHALL".as_ref()]),
            _ => self.broken_name(),
        }
        self.next()
    }

    /// Whether the next command does not depend on the last one.
    pub(super) fn is_at_rest(&self) -> bool {
        self.pending.is_empty()
    }

    fn send<const N: usize>(&mut self, words: [&[u8]; N]) {
        self.pending
            .push_back(Step::Send(words.map(<[u8]>::to_vec).into()));
    }

    /// A command of the other generator; sometimes with a binary key or value,
    /// or a word changed, missing or added.
    fn shape(&mut self) {
        let mut words = self.shapes.command();
        // Fewer transactions that stay open: they affect all following
        // commands.
        if words[0] == b"MULTI" && self.rng.random_bool(0.8) {
            words = vec![b"PING".to_vec()];
        }
        // In valkey-server this one aborts the transaction.
        if !self.nests
            && words[0] == b"EVAL"
            && words
                .last()
                .is_some_and(|word| word == b"9223372036854775807")
        {
            words.pop();
            words.push(b"12".to_vec());
        }
        let rng = &mut self.rng;
        if words.len() < 2 {
            return self.pending.push_back(Step::Send(words));
        }
        let scripted = words[0] == b"EVAL";
        let at = if scripted { 3 } else { 1 };
        match rng.random_range(0..20) {
            0..3 if words.len() > at => words[at] = pick(rng, BINARY).to_vec(),
            3 if words.len() > at => *words.last_mut().unwrap() = pick(rng, BINARY).to_vec(),
            4 if words.len() > at => {
                let place = rng.random_range(at..words.len());
                words[place] = pick(rng, BROKEN).to_vec();
            }
            5 => drop(words.pop()),
            6 => words.push(pick(rng, BROKEN).to_vec()),
            _ => {}
        }
        self.pending.push_back(Step::Send(words));
    }

    fn script(&mut self) {
        let rng = &mut self.rng;
        let text = pick(rng, SCRIPTS).as_bytes().to_vec();
        let keys: [&[u8]; 2] = [
            pick(rng, &[b"h1".as_ref(), b"s1", b"l1", b"h2", b"\xff\xfe"]),
            pick(rng, &[b"z1".as_ref(), b"z2", b"s2"]),
        ];
        let argument = match rng.random_range(0..4) {
            0 => super::generate::json(rng.random()),
            1 => pick(rng, BINARY).to_vec(),
            _ => pick(rng, BROKEN).to_vec(),
        };
        let mut words = vec![b"EVAL".to_vec(), text, b"2".to_vec()];
        words.extend(keys.map(<[u8]>::to_vec));
        words.push(argument);
        words.push(if rng.random_bool(0.9) {
            b"100000".to_vec()
        } else {
            pick(rng, BROKEN).to_vec()
        });
        if words[1].ends_with(b"KEYS[1])") && words[1].starts_with(b"return redis.pcall(ARGV") {
            // A name of a command with one key, or of none.
            words[5] = pick(
                rng,
                &[
                    b"GET".as_ref(),
                    b"HGET",
                    b"NOPE",
                    b"MULTI",
                    b"EVAL",
                    b"\xff",
                    b"type",
                ],
            )
            .to_vec();
        }
        if rng.random_bool(0.3) {
            let text = String::from_utf8_lossy(&words[1]);
            (words[0], words[1]) = (b"EVALSHA".to_vec(), sha(&text));
        }
        self.pending.push_back(Step::Send(words));
    }

    fn line(&mut self) {
        let line = pick(&mut self.rng, LINES);
        let words = line.split(' ').map(|word| word.as_bytes().to_vec());
        self.pending.push_back(Step::Send(words.collect()));
        if line == "SCRIPT FLUSH" {
            self.script();
            self.pending.extend(load());
        }
    }

    fn transaction(&mut self) {
        if self.rng.random_bool(0.3) {
            self.send([b"WATCH", b"s1"]);
            if self.rng.random_bool(0.5) {
                self.send([b"SET", b"s1", b"watched"]);
            }
        }
        self.send([b"MULTI".as_ref()]);
        for _ in 0..self.rng.random_range(0..6) {
            self.shape();
        }
        let executes = self.rng.random_bool(0.9);
        self.send([if executes {
            b"EXEC".as_ref()
        } else {
            b"DISCARD"
        }]);
    }

    /// Values larger than one read.
    fn big(&mut self) {
        let rng = &mut self.rng;
        let size = rng.random_range(100 * 1024..300 * 1024);
        let mut value = vec![0; size];
        rng.fill(&mut value[..]);
        match rng.random_range(0..6) {
            0 => self.send([b"SET", b"big", &value]),
            1 => self.send([b"HSET", b"bighash", b"f", &value]),
            2 => self.send([b"RPUSH", b"biglist", &value, b"small"]),
            3 => self.send([b"EVAL", b"return ARGV[1]", b"0", &value]),
            4 => self.send([
                b"EVAL",
                b"redis.call('SET', KEYS[1], ARGV[1]) return #ARGV[1]",
                b"1",
                b"big",
                &value,
            ]),
            _ => self.send([b"APPEND", b"big", b"tail"]),
        }
        self.send([b"GET", b"big"]);
        self.send([b"LRANGE", b"biglist", b"-2", b"-1"]);
        if self.rng.random_bool(0.5) {
            self.send([b"UNLINK", b"big", b"biglist", b"bighash"]);
        }
    }

    /// Keys that expire without being accessed.
    fn expiry(&mut self) {
        let life = SHORT.0.to_string();
        let life = life.as_bytes();
        self.send([b"RESET".as_ref()]);
        self.send([b"MSET", b"e1", b"1", b"e3", b"3"]);
        self.send([b"RPUSH", b"e4", b"a", b"b"]);
        self.send([b"SET", b"e2", b"2", b"PX", life]);
        self.send([b"PEXPIRE", b"e1", life]);
        self.send([b"WATCH", b"e2", b"e3"]);
        self.send([b"PEXPIRE", b"e4", life]);
        self.send([
            b"EVAL",
            b"return redis.call('SET', KEYS[1], 'x', 'NX', 'PX', ARGV[1])",
            b"1",
            b"e5",
            life,
        ]);
        self.pending.push_back(Step::Wait);
        self.send([b"EXISTS", b"e1", b"e2", b"e3", b"e4", b"e5"]);
        self.send([
            b"EVAL",
            b"return {redis.call('GET', 'e1'), redis.call('PTTL', 'e2'), redis.call('TYPE', 'e4')}",
            b"0",
        ]);
        self.send([b"SET", b"e5", b"y", b"NX", b"GET"]);
        self.send([b"MULTI".as_ref()]);
        self.send([b"PTTL", b"e3"]);
        self.send([b"EXEC".as_ref()]);
        self.send([b"RENAME", b"e1", b"e3"]);
        self.send([b"DEL", b"e1", b"e2", b"e3", b"e4", b"e5"]);
    }

    /// An unknown command whose name and arguments are echoed in the error as
    /// bytes.
    fn broken_name(&mut self) {
        let rng = &mut self.rng;
        let containers: &[&[u8]] = &[
            b"SCRIPT", b"CLIENT", b"CONFIG", b"ACL", b"COMMAND", b"HELLO",
        ];
        let mut words = Vec::new();
        if rng.random_bool(0.5) {
            words.push(pick(rng, containers).to_vec());
            if words[0] == b"HELLO" {
                words.push(b"2".to_vec());
            }
        }
        for _ in 0..rng.random_range(1..4) {
            let length = rng.random_range(1..200);
            let mut word: Vec<u8> = (0..length).map(|_| rng.random()).collect();
            if rng.random_bool(0.7) {
                word.retain(|byte| *byte != 0);
            }
            if word.is_empty() || rng.random_bool(0.3) {
                word = pick(rng, BROKEN).to_vec();
            }
            words.push(word);
        }
        self.pending.push_back(Step::Send(words));
    }
}
