//! Writes a valid history of N operations on stdout, always the same for one N:
//!
//! ```text
//! cargo run --release -p haechi-history --example big_history -- 200000 > /tmp/h.jsonl
//! time target/release/haechi-sim check /tmp/h.jsonl
//! ```
//!
//! `--vault N` writes one of the vault: 100 tokens, with a read of all of them
//! in every 200 operations.
//!
//! 64 processes with one open operation each; 3 in 100 appends end unknown,
//! half of them applied. A second argument R adds R reads of the whole chain so
//! far.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PROCESSES: u64 = 64;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("--vault").is_some()
        && let Some(Ok(operations)) = arguments.next().map(|text| text.parse())
    {
        let mut output = BufWriter::with_capacity(1 << 20, io::stdout().lock());
        write_vault_history(operations, true, &mut output)?;
        return output.flush();
    }
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Some(Ok(operations)), reads) = (numbers.next(), numbers.next().and_then(Result::ok))
    else {
        eprintln!("usage: big_history OPERATIONS [READS] | --vault OPERATIONS, all numbers");
        std::process::exit(2);
    };
    let mut output = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    write_history(operations, reads.unwrap_or(0), &mut output)?;
    output.flush()
}

/// Writes the history; also used by the tests.
pub(crate) fn write_history(
    operations: u64,
    reads: u64,
    output: &mut impl Write,
) -> io::Result<()> {
    let every = (reads > 0).then(|| (operations / reads.max(1)).max(1));
    let mut random = ChaCha8Rng::seed_from_u64(operations);
    let mut chain: Vec<u64> = Vec::new();
    // The open operation of each process, and its position or length read.
    let mut open: Vec<Option<(u64, Taken)>> = (0..PROCESSES).map(|_| None).collect();
    let (mut next, mut ended, mut time) = (1, 0, 0u64);
    while ended < operations {
        time += random.random_range(1..1_000u64);
        let process = random.random_range(0..PROCESSES);
        let start = format!("{{\"time\":{time},\"process\":\"r{process}\",\"op\":");
        match open[process as usize].take() {
            None if next <= operations => {
                let op = next;
                next += 1;
                let is_read = every.is_some_and(|every| op % every == 0);
                let f = if is_read { "read_chain" } else { "append" };
                write!(output, "{start}{op},\"type\":\"invoke\",\"f\":\"{f}\"")?;
                if !is_read {
                    write!(output, ",\"value\":{{\"id\":\"e{op}\"}}")?;
                }
                writeln!(output, "}}")?;
                let taken = if is_read {
                    Taken::Read(0)
                } else {
                    Taken::Nothing
                };
                open[process as usize] = Some((op, taken));
            }
            None => {}
            Some((op, Taken::Nothing)) => {
                // It takes effect between its invoke and its end, or never.
                let unknown = random.random_range(0..100) < 3;
                if unknown && random.random_bool(0.5) {
                    open[process as usize] = Some((op, Taken::Unknown));
                    continue;
                }
                chain.push(op);
                let taken = if unknown {
                    Taken::Unknown
                } else {
                    Taken::At(chain.len())
                };
                open[process as usize] = Some((op, taken));
            }
            Some((op, Taken::Read(0))) if !chain.is_empty() => {
                open[process as usize] = Some((op, Taken::Read(chain.len())));
            }
            Some((op, Taken::At(at))) => {
                ended += 1;
                write!(
                    output,
                    "{start}{op},\"type\":\"ok\",\"value\":{{\"sequence\":{at},"
                )?;
                writeln!(output, "\"eventHash\":\"{}\"}}}}", hash(op))?;
            }
            Some((op, Taken::Unknown)) => {
                ended += 1;
                writeln!(
                    output,
                    "{start}{op},\"type\":\"unknown\",\"error\":\"reply lost\"}}"
                )?;
            }
            Some((op, Taken::Read(length))) => {
                ended += 1;
                write!(
                    output,
                    "{start}{op},\"type\":\"ok\",\"value\":{{\"hashes\":["
                )?;
                for (index, op) in chain[..length].iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(output, "{comma}\"{}\"", hash(*op))?;
                }
                writeln!(output, "]}}}}")?;
            }
        }
    }
    write!(output, "{{\"type\":\"final\",\"chain\":[")?;
    for (index, op) in chain.iter().enumerate() {
        let previous = match index {
            0 => "null".to_owned(),
            _ => format!("\"{}\"", hash(chain[index - 1])),
        };
        let (comma, sequence) = (if index > 0 { "," } else { "" }, index + 1);
        write!(output, "{comma}{{\"op\":{op},\"sequence\":{sequence},")?;
        write!(
            output,
            "\"previousHash\":{previous},\"eventHash\":\"{}\"}}",
            hash(*op)
        )?;
    }
    writeln!(output, "]}}")
}

/// A history of the vault, with or without versions.
pub(crate) fn write_vault_history(
    operations: u64,
    versions: bool,
    output: &mut impl Write,
) -> io::Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(operations);
    let mut tokens: BTreeMap<u64, u64> = BTreeMap::new();
    let mut version = 0u64;
    let text = |value: Option<&u64>| value.map_or("null".into(), |value| format!("\"v{value}\""));
    let all = |tokens: &BTreeMap<u64, u64>| {
        let one = |(token, value): (&u64, &u64)| format!("\"t{token}\":\"v{value}\"");
        tokens.iter().map(one).collect::<Vec<_>>().join(",")
    };
    // The open operation of each process, and its end once it has taken effect.
    let mut open: Vec<Option<(u64, Option<String>)>> = (0..PROCESSES).map(|_| None).collect();
    let (mut next, mut ended, mut time) = (1, 0, 0u64);
    while ended < operations {
        time += random.random_range(1..1_000u64);
        let process = random.random_range(0..PROCESSES);
        let start = format!("{{\"time\":{time},\"process\":\"r{process}\",\"op\":");
        match open[process as usize].take() {
            None if next <= operations => {
                let f = if next % 200 == 0 { "read" } else { "mutate" };
                writeln!(output, "{start}{next},\"type\":\"invoke\",\"f\":\"{f}\"}}")?;
                open[process as usize] = Some((next, None));
                next += 1;
            }
            None => {}
            Some((op, None)) if op % 200 == 0 => {
                let end = format!("\"ok\",\"value\":{{\"tokens\":{{{}}}}}", all(&tokens));
                open[process as usize] = Some((op, Some(end)));
            }
            Some((op, None)) => {
                let unknown = random.random_range(0..100) < 3;
                let first = random.random_range(0..100u64);
                let mut both = vec![first, (first + random.random_range(0..3)) % 100];
                both.dedup();
                let pairs = |tokens: &BTreeMap<u64, u64>| {
                    let one = |token: &u64| format!("\"t{token}\":{}", text(tokens.get(token)));
                    both.iter().map(one).collect::<Vec<_>>().join(",")
                };
                let reads = pairs(&tokens);
                let mut after = tokens.clone();
                for token in &both {
                    if random.random_range(0..4) == 0 {
                        after.remove(token);
                    } else {
                        after.insert(*token, op);
                    }
                }
                let writes = pairs(&after);
                if !unknown || random.random_bool(0.5) {
                    tokens = after;
                    version += 1;
                }
                let mut end = if unknown { "\"unknown\"" } else { "\"ok\"" }.to_owned();
                end += &format!(",\"value\":{{\"reads\":{{{reads}}},\"writes\":{{{writes}}}");
                if !unknown && versions {
                    end += &format!(",\"version\":{version}");
                }
                open[process as usize] = Some((op, Some(end + "}")));
            }
            Some((op, Some(end))) => {
                ended += 1;
                writeln!(output, "{start}{op},\"type\":{end}}}")?;
            }
        }
    }
    let tokens = all(&tokens);
    write!(output, "{{\"type\":\"final\",\"tokens\":{{{tokens}}}")?;
    if versions {
        write!(output, ",\"version\":{version}")?;
    }
    writeln!(output, "}}")
}

/// The effect of an open operation so far.
enum Taken {
    Nothing,
    At(usize),
    Unknown,
    Read(usize),
}

/// A text of the length of a real event hash, 43 characters, different for each.
fn hash(op: u64) -> String {
    let mixed = op.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("{mixed:016x}{op:016x}{:011x}", mixed >> 20)
}
