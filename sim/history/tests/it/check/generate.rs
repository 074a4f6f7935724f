//! Small histories of one log: valid by construction, then mutated.

use std::fmt::Write as _;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Few different times, so that equal times occur.
const TIMES: u64 = 24;

enum Kind {
    Acknowledged { sequence: u64, hash: String },
    Unknown,
    Open,
    Failed,
    Read(Vec<String>),
}

struct Operation {
    start: u64,
    end: u64,
    kind: Kind,
}

pub(super) struct History {
    random: ChaCha8Rng,
    operations: Vec<Operation>,
    /// Append (its number, from 1; 0 for none), stated sequence, hash.
    chain: Vec<(usize, u64, String)>,
}

impl History {
    /// At most seven operations, each taking effect at a time within its interval.
    pub(super) fn valid(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = random.random_range(1..=7usize);
        let mut plan: Vec<(u64, u64, u64, usize)> = (1..=count)
            .map(|op| {
                let start = random.random_range(0..TIMES);
                let end = random.random_range(start..=TIMES);
                (random.random_range(start..=end), start, end, op)
            })
            .collect();
        // Effects at one time happen in any order: equal times are concurrent.
        plan.sort_by_key(|(effect, _, _, op)| (*effect, *op));
        let mut operations: Vec<Operation> = (0..count)
            .map(|_| Operation {
                start: 0,
                end: 0,
                kind: Kind::Open,
            })
            .collect();
        let mut chain: Vec<(usize, u64, String)> = Vec::new();
        for (_, start, end, op) in plan {
            let kind = match random.random_range(0..10u32) {
                0..4 => {
                    chain.push((op, chain.len() as u64 + 1, format!("h{op}")));
                    Kind::Acknowledged {
                        sequence: chain.len() as u64,
                        hash: format!("h{op}"),
                    }
                }
                uncertain @ 4..7 => {
                    if random.random_bool(0.5) {
                        chain.push((op, chain.len() as u64 + 1, format!("h{op}")));
                    }
                    if uncertain == 6 {
                        Kind::Open
                    } else {
                        Kind::Unknown
                    }
                }
                7 => Kind::Failed,
                _ => Kind::Read(chain.iter().map(|record| record.2.clone()).collect()),
            };
            operations[op - 1] = Operation { start, end, kind };
        }
        Self {
            random,
            operations,
            chain,
        }
    }

    /// Mutates one thing; often, not always, the history is then invalid.
    pub(super) fn mutate(&mut self) {
        let random = &mut self.random;
        let at = random.random_range(0..self.operations.len());
        let record = random.random_range(0..self.chain.len().max(1));
        let other = random.random_range(0..self.chain.len().max(1));
        let mut renumber = true;
        match random.random_range(0..12u32) {
            0 if !self.chain.is_empty() => self.chain.swap(record, other),
            1 if !self.chain.is_empty() => {
                self.chain.remove(record);
            }
            2 if !self.chain.is_empty() => {
                let (op, sequence, _) = self.chain[record];
                self.chain.insert(other, (op, sequence, "copy".into()));
            }
            3 if !self.chain.is_empty() => {
                self.chain[record].0 = random.random_range(0..self.operations.len() + 2);
            }
            4 if !self.chain.is_empty() => {
                self.chain[record].1 += 1;
                renumber = false;
            }
            5 if !self.chain.is_empty() => self.chain[record].2 = format!("h{}", other + 1),
            6 => {
                let operation = &mut self.operations[at];
                operation.start = random.random_range(0..TIMES);
                operation.end = random.random_range(operation.start..=TIMES);
            }
            7 => self.operations[at].kind = Kind::Failed,
            8 => {
                let length = random.random_range(0..=self.chain.len());
                let hashes = self.chain[..length]
                    .iter()
                    .map(|record| record.2.clone())
                    .collect();
                self.operations[at].kind = Kind::Read(hashes);
            }
            _ => match &mut self.operations[at].kind {
                Kind::Acknowledged { sequence, hash } => {
                    if random.random_bool(0.5) {
                        *sequence = random.random_range(0..=self.chain.len() as u64 + 1);
                    } else {
                        *hash = format!("h{}", random.random_range(1..8u32));
                    }
                }
                Kind::Read(hashes) => {
                    let hash = format!("h{}", random.random_range(1..8u32));
                    let place = random.random_range(0..=hashes.len());
                    hashes.truncate(place);
                    if random.random_bool(0.7) {
                        hashes.push(hash);
                    }
                }
                kind => *kind = Kind::Unknown,
            },
        }
        if renumber {
            for (record, sequence) in self.chain.iter_mut().zip(1..) {
                record.1 = sequence;
            }
        }
    }

    pub(super) fn text(&self) -> String {
        let mut lines: Vec<(u64, u32, String)> = Vec::new();
        for (operation, op) in self.operations.iter().zip(1u64..) {
            let process = op % 3;
            let line = |time: u64, rest: &str| {
                format!("{{\"time\":{time},\"process\":\"r{process}\",\"op\":{op},{rest}}}\n")
            };
            let is_read = matches!(operation.kind, Kind::Read(_));
            let f = if is_read { "read_chain" } else { "append" };
            let start = line(
                operation.start,
                &format!("\"type\":\"invoke\",\"f\":\"{f}\""),
            );
            lines.push((operation.start, 0, start));
            let rest = match &operation.kind {
                Kind::Open => continue,
                Kind::Unknown => "\"type\":\"unknown\"".to_owned(),
                Kind::Failed => "\"type\":\"fail\"".to_owned(),
                Kind::Acknowledged { sequence, hash } => format!(
                    "\"type\":\"ok\",\"value\":{{\"sequence\":{sequence},\"eventHash\":\"{hash}\"}}"
                ),
                Kind::Read(hashes) => {
                    format!("\"type\":\"ok\",\"value\":{{\"hashes\":{hashes:?}}}")
                }
            };
            lines.push((operation.end, 1, line(operation.end, &rest)));
        }
        lines.sort_by_key(|(time, order, _)| (*time, *order));
        let mut text: String = lines.into_iter().map(|(_, _, line)| line).collect();
        text.push_str("{\"type\":\"final\",\"chain\":[");
        let mut previous = "null".to_owned();
        for (index, (op, sequence, hash)) in self.chain.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let op = if *op == 0 {
                "null".to_owned()
            } else {
                op.to_string()
            };
            let _ = write!(text, "{comma}{{\"op\":{op},\"sequence\":{sequence},");
            let _ = write!(
                text,
                "\"previousHash\":{previous},\"eventHash\":\"{hash}\"}}"
            );
            previous = format!("\"{hash}\"");
        }
        text.push_str("]}\n");
        text
    }
}
