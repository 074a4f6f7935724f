//! Small histories of one vault: valid by construction, then mutated.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Few different times, so that equal times occur.
const TIMES: u64 = 24;
const TOKENS: [&str; 3] = ["a", "b", "c"];

type Values = BTreeMap<&'static str, Option<String>>;

#[derive(Clone, Debug, Default)]
struct Mutation {
    reads: Values,
    writes: Values,
    version: Option<u64>,
}

#[derive(Clone, Debug)]
enum Kind {
    Acknowledged(Mutation),
    Unknown(Mutation),
    Open,
    Failed,
    Read(BTreeMap<&'static str, String>),
}

#[derive(Clone, Debug)]
struct Operation {
    start: u64,
    end: u64,
    kind: Kind,
}

pub(super) struct History {
    random: ChaCha8Rng,
    operations: Vec<Operation>,
    tokens: BTreeMap<&'static str, String>,
    version: Option<u64>,
}

impl History {
    /// At most eight operations, each taking effect at a time within its
    /// interval; at random, all acknowledgements have versions, some, or none.
    pub(super) fn valid(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = random.random_range(1..=8usize);
        let versioned = random.random_range(0..3u32);
        let few = random.random_bool(0.3);
        let mut plan: Vec<(u64, u64, u64, usize)> = (0..count)
            .map(|op| {
                let start = random.random_range(0..TIMES);
                let end = random.random_range(start..=TIMES);
                (random.random_range(start..=end), start, end, op)
            })
            .collect();
        plan.sort_by_key(|(effect, _, _, op)| (*effect, *op));
        let blank = Operation {
            start: 0,
            end: 0,
            kind: Kind::Open,
        };
        let mut operations = vec![blank; count];
        let mut tokens: BTreeMap<&'static str, String> = BTreeMap::new();
        let mut version = 0;
        for (_, start, end, op) in plan {
            let mut mutation = draw(&mut random, &tokens, op, few);
            let draw = random.random_range(0..12u32);
            let applied = draw < 6 || (draw < 9 && random.random_bool(0.6));
            if applied {
                version += u64::from(!mutation.writes.is_empty());
                for (token, value) in &mutation.writes {
                    match value {
                        Some(value) => tokens.insert(token, value.clone()),
                        None => tokens.remove(token),
                    };
                }
            }
            let kind = match draw {
                0..6 => {
                    let says = match versioned {
                        0 => true,
                        1 => random.random_bool(0.5),
                        _ => false,
                    };
                    mutation.version = says.then_some(version);
                    Kind::Acknowledged(mutation)
                }
                8 if random.random_bool(0.4) && !mutation.writes.is_empty() => Kind::Open,
                6..9 => Kind::Unknown(mutation),
                9 => Kind::Failed,
                _ => Kind::Read(tokens.clone()),
            };
            operations[op] = Operation { start, end, kind };
        }
        let version = random.random_bool(0.6).then_some(version);
        Self {
            random,
            operations,
            tokens,
            version,
        }
    }

    /// Whether it contains a mutate of unknown effect.
    pub(super) fn has_open(&self) -> bool {
        let open = |operation: &Operation| matches!(operation.kind, Kind::Open);
        self.operations.iter().any(open)
    }

    /// Mutates one thing; often, not always, the history is then invalid.
    pub(super) fn mutate(&mut self) {
        let random = &mut self.random;
        let at = random.random_range(0..self.operations.len());
        let other = random.random_range(0..self.operations.len());
        let token = TOKENS[random.random_range(0..TOKENS.len())];
        let value = format!("v{}", random.random_range(0..8u32));
        match random.random_range(0..9u32) {
            // A final token lost, altered or added.
            0 => {
                if self.tokens.remove(token).is_none() || random.random_bool(0.3) {
                    self.tokens.insert(token, value);
                }
            }
            1 => {
                let more = random.random_range(0..3);
                self.version = self.version.map(|v| (v + more).max(1) - 1);
            }
            // Two operations exchange their mutations: versions out of order,
            // among others.
            2 => {
                let (left, right) = (
                    self.operations[at].kind.clone(),
                    self.operations[other].kind.clone(),
                );
                self.operations[at].kind = right;
                self.operations[other].kind = left;
            }
            3 => {
                let operation = &mut self.operations[at];
                operation.start = random.random_range(0..TIMES);
                operation.end = random.random_range(operation.start..=TIMES);
            }
            4 => self.operations[at].kind = Kind::Failed,
            5 => {
                self.operations[at].kind = Kind::Read(self.tokens.clone());
            }
            _ => match &mut self.operations[at].kind {
                Kind::Acknowledged(mutation) => match random.random_range(0..5u32) {
                    0 => {
                        mutation.writes.remove(token);
                    }
                    1 => {
                        mutation.writes.insert(token, Some(value));
                    }
                    2 => {
                        mutation
                            .reads
                            .insert(token, random.random_bool(0.6).then_some(value));
                    }
                    3 => mutation.version = mutation.version.map(|v| v.div_ceil(2) * 2),
                    _ => {
                        let mutation = mutation.clone();
                        self.operations[at].kind = Kind::Unknown(mutation);
                    }
                },
                Kind::Read(tokens) => {
                    if tokens.remove(token).is_none() || random.random_bool(0.5) {
                        tokens.insert(token, value);
                    }
                }
                Kind::Unknown(mutation) => {
                    let mutation = mutation.clone();
                    self.operations[at].kind = Kind::Acknowledged(mutation);
                }
                kind => *kind = Kind::Failed,
            },
        }
    }

    pub(super) fn text(&self) -> String {
        let mut lines: Vec<(u64, u32, String)> = Vec::new();
        for (operation, op) in self.operations.iter().zip(1u64..) {
            let line = |time: u64, rest: &str| {
                format!("{{\"time\":{time},\"process\":\"r{op}\",\"op\":{op},{rest}}}\n")
            };
            let is_read = matches!(operation.kind, Kind::Read(_));
            let f = if is_read { "read" } else { "mutate" };
            let start = format!("\"type\":\"invoke\",\"f\":\"{f}\"");
            lines.push((operation.start, 0, line(operation.start, &start)));
            let rest = match &operation.kind {
                Kind::Open => continue,
                Kind::Unknown(mutation) => format!("\"type\":\"unknown\",{}", value(mutation)),
                Kind::Acknowledged(mutation) => format!("\"type\":\"ok\",{}", value(mutation)),
                Kind::Failed => "\"type\":\"fail\"".to_owned(),
                Kind::Read(tokens) => {
                    format!("\"type\":\"ok\",\"value\":{{\"tokens\":{tokens:?}}}")
                }
            };
            lines.push((operation.end, 1, line(operation.end, &rest)));
        }
        lines.sort_by_key(|(time, order, _)| (*time, *order));
        let mut text: String = lines.into_iter().map(|(_, _, line)| line).collect();
        let _ = write!(text, "{{\"type\":\"final\",\"tokens\":{:?}", self.tokens);
        if let Some(version) = self.version {
            let _ = write!(text, ",\"version\":{version}");
        }
        text.push_str("}\n");
        text
    }
}

/// A mutation of the present tokens.
fn draw(
    random: &mut ChaCha8Rng,
    tokens: &BTreeMap<&'static str, String>,
    op: usize,
    few: bool,
) -> Mutation {
    let mut mutation = Mutation::default();
    for token in TOKENS {
        if random.random_bool(0.4) {
            mutation.reads.insert(token, tokens.get(token).cloned());
        }
        if random.random_bool(0.45) {
            let number = if few { random.random_range(0..2) } else { op };
            let value = random.random_bool(0.75).then(|| format!("v{number}"));
            mutation.writes.insert(token, value);
        }
    }
    mutation
}

fn value(mutation: &Mutation) -> String {
    let values = |values: &Values| {
        let one = |(token, value): (&&str, &Option<String>)| match value {
            Some(value) => format!("\"{token}\":\"{value}\""),
            None => format!("\"{token}\":null"),
        };
        values.iter().map(one).collect::<Vec<_>>().join(",")
    };
    let (reads, writes) = (values(&mutation.reads), values(&mutation.writes));
    let version = mutation
        .version
        .map_or(String::new(), |v| format!(",\"version\":{v}"));
    format!("\"value\":{{\"reads\":{{{reads}}},\"writes\":{{{writes}}}{version}}}")
}
