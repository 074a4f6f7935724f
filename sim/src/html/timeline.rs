//! One run as data for its timeline.

use haechi_history::{
    ChainEntry, History, Loss, Mutation, Operation, Outcome, Rollback, Seen, Symbol, VaultRead,
    check::Violation,
};
use serde_json::{Value, json};

use super::kind;
use crate::{
    plan::{Fault, Topology},
    record::{OPERATOR, RunReport, nanos, replica_name},
    world::{PROMOTED, REDIS_HOST, Tenure, WorldReport},
};

/// The most tokens of an operation that are shown and found.
const TOKENS: usize = 40;
/// The most characters of a value that are shown.
const VALUE: usize = 300;

/// What is shown of one run.
pub(crate) struct View<'a> {
    /// The store that ran, or the file.
    name: &'a str,
    history: &'a History,
    violations: &'a [Violation],
    world: Option<&'a WorldReport>,
}

/// A fault that struck for a while.
struct Span {
    fault: Fault,
    /// In milliseconds.
    begins: u64,
    /// `None`: at the end of the run.
    ends: Option<u64>,
}

impl<'a> View<'a> {
    /// A history, wherever it is from.
    pub(crate) fn of(name: &'a str, history: &'a History, violations: &'a [Violation]) -> Self {
        Self {
            name,
            history,
            violations,
            world: None,
        }
    }

    /// A world; its faults are shown if it has kept its trace.
    pub(crate) fn of_world(name: &'a str, world: &'a WorldReport) -> Self {
        Self {
            name,
            history: &world.run.history,
            violations: &world.run.violations,
            world: Some(world),
        }
    }

    /// The same, with what was found in this run of the world.
    pub(crate) fn of_run(self, run: &'a RunReport) -> Self {
        Self {
            violations: &run.violations,
            ..self
        }
    }

    /// As data. Times are in nanoseconds since the run began.
    pub(super) fn value(&self) -> Value {
        let history = self.history;
        let first = history.operations().first().map_or(0, |first| first.start);
        // A world begins at 0; the times of another history have any origin.
        let origin = if self.world.is_some() { 0 } else { first };
        let operations = history.operations().iter();
        let ops: Vec<_> = operations.map(|op| self.operation(op, origin)).collect();
        let chain = history
            .chain()
            .map(|chain| chain.iter().map(|entry| self.record(entry)));
        let violations = self.violations.iter().map(|violation| {
            json!({
                "invariant": violation.invariant.name(),
                "means": violation.invariant.describe(),
                "ops": violation.ops,
                "reason": violation.reason,
            })
        });
        let rollbacks = history
            .rollbacks()
            .iter()
            .map(|told| self.rollback(told, origin));
        json!({
            "name": self.name,
            "ops": ops,
            "chain": chain.map(Iterator::collect::<Vec<_>>),
            "version": history.final_version(),
            "violations": violations.collect::<Vec<_>>(),
            "errors": self.world.map(|world| texts(&world.run.harness_errors)),
            "losses": self.losses(origin),
            "rollbacks": rollbacks.collect::<Vec<_>>(),
            "faults": self.world.map(faults),
            "strikes": self.world.map(strikes),
            "trace": self.world.map(trace),
            "tenures": self.world.map(tenures),
            "primaries": self.world.map(primaries),
        })
    }

    /// The lines of its trace.
    pub(super) fn trace(&self) -> &[String] {
        self.world.map_or(&[], |world| &world.trace)
    }

    fn text(&self, symbol: Symbol) -> &str {
        self.history.text(symbol)
    }

    fn operation(&self, op: &Operation, origin: u64) -> Value {
        let process = self.text(op.process);
        let mut of = Texts::default();
        let mut value = json!({
            "id": op.id,
            "process": process,
            "lane": lane(process),
            "f": op.f.name(),
            "start": op.start - origin.min(op.start),
            "outcome": if op.is_open() { "open" } else { op.outcome.kind() },
        });
        if !op.is_open() {
            value["end"] = json!(op.end - origin.min(op.end));
        }
        match &op.outcome {
            Outcome::Appended(appended) => {
                let hash = self.text(appended.event_hash);
                value["sequence"] = json!(appended.sequence);
                value["hash"] = json!(hash);
                of.lines.push(format!("at {} {hash}", appended.sequence));
                of.lines.extend(
                    appended
                        .durability
                        .map(|promised| format!("durable: {promised}")),
                );
            }
            Outcome::Chain(path) => {
                let paths = self.history.paths();
                let last = paths.last(*path).map(|(_, last)| self.text(last));
                let last = last.map_or(String::new(), |last| format!(", the last one {last}"));
                of.lines
                    .push(format!("{} records{last}", paths.length(*path)));
            }
            Outcome::Tokens(read) => self.read(read, &mut of),
            Outcome::Mutated(_) | Outcome::Failed(_) | Outcome::Unknown(_) => {}
        }
        if let Some(mutation) = op.outcome.mutation() {
            self.mutation(mutation, &mut of);
            if op.outcome.is_ok() {
                value["version"] = json!(mutation.version);
            }
            let took = |version| {
                let mut losses = self.history.losses().iter();
                losses.any(|loss| self.took(loss, op, version))
            };
            if op.outcome.is_ok() && mutation.version.is_some_and(took) {
                value["lost"] = json!(true);
            }
        }
        let optional = [("event", op.event_id), ("error", op.error)];
        for (name, text) in optional {
            if let Some(text) = text {
                value[name] = json!(self.text(text));
            }
        }
        if self.history.is_foreign(op.process) {
            of.lines
                .push("the process follows the reference's protocol".to_owned());
        }
        value["lines"] = json!(of.lines);
        value["tokens"] = json!(of.tokens);
        value
    }

    /// Whether a loss took the version that an operation was told to have made.
    fn took(&self, loss: &Loss, op: &Operation, version: u64) -> bool {
        // Of the operations under way at its time, the loss names those that it took.
        let named = loss.ops.as_deref().unwrap_or_default();
        let is_named = named.contains(&(op.id, version));
        let had = loss.versions.contains(&version) && (is_named || op.end <= loss.time);
        let Some(split) = &loss.split else {
            return had;
        };
        let had = had && op.end >= split.since && split.processes.contains(&op.process);
        if !split.moving || is_named {
            return had;
        }
        // It names those that ended, too, but for processes that follow the reference's protocol:
        // of theirs it took one if the version was made again.
        had && self.history.is_foreign(op.process)
            && named.iter().all(|(_, taken)| *taken != version)
            && self.history.operations().iter().any(|later| {
                let made = later.outcome.mutation().and_then(|made| made.version);
                later.end > op.end && later.outcome.is_ok() && made == Some(version)
            })
    }

    fn mutation(&self, mutation: &Mutation, of: &mut Texts) {
        of.lines.extend(
            mutation
                .version
                .map(|version| format!("makes version {version}")),
        );
        of.lines.extend(
            mutation
                .durability
                .map(|promised| format!("durable: {promised}")),
        );
        for (what, pairs) in [("reads", &mutation.reads), ("writes", &mutation.writes)] {
            let pairs = pairs.iter().map(|(token, value)| (*token, *value));
            self.pairs(what, pairs, of);
        }
    }

    fn read(&self, read: &VaultRead, of: &mut Texts) {
        let pairs = read
            .tokens
            .iter()
            .map(|(token, value)| (*token, Some(*value)));
        self.pairs("", pairs, of);
        for token in &read.undecryptable {
            of.lines
                .push(format!("{} did not reveal", self.text(*token)));
        }
        if let Some(clock) = read.clock {
            let (server, own) = (clock.server, clock.own);
            of.lines
                .push(format!("clocks: the server's {server}, its own {own}"));
        }
    }

    fn pairs(
        &self,
        what: &str,
        pairs: impl ExactSizeIterator<Item = (Symbol, Option<Symbol>)>,
        of: &mut Texts,
    ) {
        let more = pairs.len().saturating_sub(TOKENS);
        for (token, value) in pairs.take(TOKENS) {
            let (token, value) = (self.text(token), value.map(|value| self.text(value)));
            let shown: String = match value {
                Some(value) => value.chars().take(VALUE).collect(),
                None => "nothing".to_owned(),
            };
            of.lines
                .push(format!("{what} {token} = {shown}").trim_start().to_owned());
            if !of.tokens.iter().any(|known| known == token) {
                of.tokens.push(token.to_owned());
            }
        }
        if more > 0 {
            of.lines
                .push(format!("and {more} tokens more, which are not searched"));
        }
    }

    fn record(&self, entry: &ChainEntry) -> Value {
        let audit = entry.audit.as_ref().map(|audit| {
            let tokens = audit.tokens.iter().map(|token| self.text(*token));
            let tokens: Vec<_> = tokens.take(TOKENS).collect();
            format!("{} {}", self.text(audit.operation), tokens.join(" "))
        });
        json!({
            "op": entry.op.or(entry.audit.as_ref().and_then(|audit| audit.op)),
            "sequence": entry.sequence,
            "hash": self.text(entry.event_hash),
            "previous": entry.previous_hash.map(|hash| self.text(hash)),
            "audit": audit,
        })
    }

    fn losses(&self, origin: u64) -> Vec<Value> {
        let list = |symbols: &[Symbol]| -> Vec<String> {
            let texts = symbols.iter().map(|symbol| self.text(*symbol).to_owned());
            texts.collect()
        };
        let losses = self.history.losses().iter();
        let value = |loss: &Loss| {
            json!({
                "time": loss.time - origin.min(loss.time),
                "since": loss.begins() - origin.min(loss.begins()),
                "fault": self.text(loss.fault),
                "hashes": list(&loss.hashes),
                "tokens": list(&loss.tokens),
                "versions": loss.versions,
            })
        };
        losses.map(value).collect()
    }

    fn rollback(&self, told: &Rollback, origin: u64) -> Value {
        let process = self.text(told.process);
        let seen = match told.seen {
            Seen::Record {
                sequence,
                event_hash,
            } => {
                format!("record {sequence} {}", self.text(event_hash))
            }
            Seen::Version { version } => format!("version {version} of the vault"),
        };
        json!({
            "time": told.time - origin.min(told.time),
            "process": process,
            "lane": lane(process),
            "seen": seen,
        })
    }
}

/// What is said of an operation, and the tokens by which it is found.
#[derive(Default)]
struct Texts {
    lines: Vec<String>,
    tokens: Vec<String>,
}

/// Several names of one replica, `r0`, `r0.2` after a restart, are one lane, and so are the
/// attempts of operators, `operator.0`, `operator.1`.
fn lane(process: &str) -> &str {
    let first = process.split(['.', '/']).next().unwrap_or(process);
    let digits = first.strip_prefix('r').unwrap_or_default();
    let is_replica = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    match (is_replica, process.starts_with(OPERATOR)) {
        (true, _) => first,
        (_, true) => "operators",
        _ => process,
    }
}

fn texts(errors: &[impl ToString]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// The events of a trace: each its time in milliseconds, and its text.
fn events(lines: &[String]) -> impl Iterator<Item = (u64, &str)> {
    lines.iter().map(|line| {
        let line = line.trim_start();
        let (time, text) = line.split_once(' ').unwrap_or(("", line));
        (time.parse().unwrap_or(0), text)
    })
}

fn trace(world: &WorldReport) -> Vec<(u64, &str)> {
    events(&world.trace).collect()
}

/// The faults that began, each when it did and until it ended.
fn spans(world: &WorldReport) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let told = |fault: &Fault| {
        [
            format!("fault begins: {fault}"),
            format!("fault ends: {fault}"),
        ]
    };
    let faults: Vec<_> = world
        .knobs
        .faults
        .iter()
        .map(|fault| (*fault, told(fault)))
        .collect();
    for (time, text) in events(&world.trace).filter(|(_, text)| text.starts_with("fault ")) {
        for (fault, [begins, ends]) in &faults {
            if text == begins {
                let ends = fault.kind.is_instant().then_some(time);
                spans.push(Span {
                    fault: *fault,
                    begins: time,
                    ends,
                });
                break;
            }
            let open = |span: &&mut Span| span.fault == *fault && span.ends.is_none();
            if text == ends
                && let Some(span) = spans.iter_mut().find(open)
            {
                span.ends = Some(time);
                break;
            }
        }
    }
    spans
}

fn faults(world: &WorldReport) -> Vec<Value> {
    let span = |span: &Span| {
        let mut value = kind(span.fault.kind);
        value["lane"] = json!(span.fault.replica.map(|replica| format!("r{replica}")));
        value["start"] = json!(span.begins * 1_000_000);
        value["end"] = json!(span.ends.map(|ends| ends * 1_000_000));
        value["text"] = json!(span.fault.to_string().trim_start());
        value
    };
    spans(world).iter().map(span).collect()
}

/// What struck single commands.
fn strikes(world: &WorldReport) -> Vec<Value> {
    let strike = |fault: &Fault| {
        let mut value = kind(fault.kind);
        value["lane"] = json!(fault.replica.map(|replica| format!("r{replica}")));
        value["start"] = json!(fault.at * 1_000_000);
        value
    };
    world.strikes.iter().map(strike).collect()
}

/// Who had which lock.
fn tenures(world: &WorldReport) -> Vec<Value> {
    let value = |is_vault: bool, tenure: &Tenure| {
        let end: &str = tenure.end.into();
        let lock = if is_vault { "vault lock" } else { "chain lock" };
        let holder = tenure.holder.map(replica_name);
        let had = holder.as_deref().unwrap_or("another");
        json!({
            "lock": lock,
            "lane": holder,
            "start": nanos(tenure.begins),
            "end": nanos(tenure.ends),
            "ended": end,
            "text": format!("{lock} of {had}: {end}"),
        })
    };
    let locks = world.tenures.iter();
    locks
        .flat_map(|(is_vault, tenures)| tenures.iter().map(|tenure| value(*is_vault, tenure)))
        .collect()
}

/// Which server was the primary from when on, where there are several.
fn primaries(world: &WorldReport) -> Vec<Value> {
    if world.knobs.topology == Topology::Server {
        return Vec::new();
    }
    let promoted =
        events(&world.trace).filter_map(|(time, text)| Some((time, text.strip_suffix(PROMOTED)?)));
    std::iter::once((0, REDIS_HOST))
        .chain(promoted)
        .map(|(time, host)| json!({ "host": host, "start": time * 1_000_000 }))
        .collect()
}
