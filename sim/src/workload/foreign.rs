//! A process that follows the reference's whole-snapshot protocol: lock, read
//! everything, run, apply if the version is unchanged, unlock.
//!
//! It shares only the connection with the vault's code: no receipts, no fences
//! on values.

use std::time::Duration;

use haechi_store_redis::{
    AttemptError,
    clock::Clock,
    redis::{Connect, Link, VaultKeys, VaultPrefix, script::Script},
};
use rand::Rng;
use redis::{Value, cmd};

use super::{Host, Process};
use crate::{
    mutants::ConnectUnderTest,
    plan::{Action, ForeignOperation},
    record::{RunRecorder, Values},
};
use haechi_history::{Function, Mutation, OpId, Outcome, Text};

/// The reference's defaults.
const LOCK_TTL_MS: u64 = 10_000;
const LOCK_RETRY: Duration = Duration::from_millis(20);
const LOCK_WAIT: Duration = Duration::from_secs(5);
const MAX_RETRIES: usize = 64;

const SNAPSHOT: &str = "return {redis.call('GET', KEYS[2]) or '0', redis.call('HGETALL', KEYS[1])}";
const APPLY: &str = "
if (redis.call('GET', KEYS[2]) or '0') ~= ARGV[1] then return 0 end
local sets = tonumber(ARGV[2])
for place = 0, sets - 1 do redis.call('HSET', KEYS[1], ARGV[3 + 2 * place], ARGV[4 + 2 * place]) end
for place = 3 + 2 * sets, #ARGV do redis.call('HDEL', KEYS[1], ARGV[place]) end
redis.call('SET', KEYS[2], string.format('%.0f', tonumber(ARGV[1]) + 1))
return 1";
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// One foreign process.
struct Foreign<H: Host> {
    link: Link<ConnectUnderTest<H::Connect>, H::Clock>,
    clock: H::Clock,
    keys: VaultKeys,
    snapshot: Script,
    apply: Script,
    release: Script,
}

/// How a mutation failed.
enum Failed {
    /// It changed nothing.
    NotApplied(String),
    /// Its reply was lost.
    Unknown {
        reads: Values,
        writes: Values,
        error: String,
    },
}

/// The vault as it was read.
struct Snapshot {
    version: u64,
    tokens: Values,
}

/// Runs a process until its operations are done, or until it crashes.
pub(super) async fn run<H: Host>(process: &Process<'_, H>) {
    let (recorder, number, name) = (process.recorder, process.number, process.name.as_str());
    let mut rng = process.generator("foreign");
    let timeouts = process.knobs.store_timeouts();
    let keys = VaultKeys::new(VaultPrefix::default());
    let connect = process.connect.clone().serving(&keys.version);
    let foreign = Foreign::<H> {
        link: Link::new(connect, process.clock.clone(), timeouts),
        clock: process.clock.clone(),
        keys,
        snapshot: Script::new(SNAPSHOT),
        apply: Script::new(APPLY),
        release: Script::new(RELEASE),
    };
    recorder.trace(|| format!("{name} starts, and follows the reference's protocol"));
    // Progress is promised only in runs without faults.
    if !process.knobs.quiet {
        recorder.prove_progress(number);
    }
    while let Some(operation) = process.next_operation().await {
        match operation.action {
            Action::Foreign(operation) => {
                let token = format!("{name}-{:016x}", rng.next_u64());
                foreign
                    .mutate(recorder, &operation, number, name, &token)
                    .await;
            }
            Action::Audit(_)
            | Action::TokenStore(_)
            | Action::TokenVault(_)
            | Action::Cancelled(_) => {}
        }
    }
    process.stay().await;
}

impl<H: Host> Foreign<H> {
    async fn mutate(
        &self,
        recorder: &RunRecorder,
        operation: &ForeignOperation,
        replica: usize,
        process: &str,
        token: &str,
    ) {
        let Some(op) = recorder.invoke_as(replica, process, Function::Mutate, None, true) else {
            return;
        };
        let done = match self.lock(token).await {
            Err(why) => Err(Failed::NotApplied(why)),
            Ok(()) => {
                let sends = |sent| recorder.foreign_sends(replica, op, sent);
                let done = self.attempts(op, operation, sends).await;
                self.release(token).await;
                done
            }
        };
        match done {
            Ok(mutation) => {
                let version = mutation.version.unwrap_or_default();
                recorder.end(replica, op, Outcome::Mutated(mutation), None, || {
                    format!(
                        "{process} op {op} ok at version {version}, by the reference's protocol"
                    )
                });
            }
            Err(Failed::NotApplied(error)) => {
                recorder.foreign_failed(process, &error);
                recorder.end(replica, op, Outcome::Failed(None), Some(&error), || {
                    format!("{process} op {op}: {error}")
                });
            }
            Err(Failed::Unknown {
                reads,
                writes,
                error,
            }) => {
                let unknown = Outcome::Unknown(Some(mutation(reads, writes, None)));
                recorder.foreign_failed(process, &error);
                recorder.end(replica, op, unknown, Some(&error), || {
                    format!("{process} op {op}: {error}")
                });
            }
        }
    }

    async fn lock(&self, token: &str) -> Result<(), String> {
        let until = self.clock.now() + LOCK_WAIT;
        let mut set = cmd("SET");
        set.arg(&self.keys.lock).arg(token);
        set.arg("NX").arg("PX").arg(LOCK_TTL_MS);
        loop {
            match self.link.send(&set).await {
                Ok(Value::Okay) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
            if self.clock.now() >= until {
                return Err("the lock was not granted within 5 s".to_owned());
            }
            self.clock.sleep(LOCK_RETRY).await;
        }
    }

    async fn release(&self, token: &str) {
        let mut call = self.release.call(&[&self.keys.lock]);
        call.arg(token);
        let _ = self.link.run(&self.release, &call).await;
    }

    /// Reads, runs and applies until there is no version conflict.
    async fn attempts(
        &self,
        op: OpId,
        operation: &ForeignOperation,
        sends: impl Fn(Mutation<Text<'static>>),
    ) -> Result<Mutation<Text<'static>>, Failed> {
        for run in 0..=MAX_RETRIES {
            let snapshot = self.read().await.map_err(Failed::NotApplied)?;
            let writes = writes(&snapshot, operation, &format!("{op}.{run}"));
            if writes.is_empty() {
                return Ok(mutation(snapshot.tokens, writes, None));
            }
            let is_set = |write: &(String, Option<String>)| write.1.is_some();
            let sets = writes.iter().take_while(|write| is_set(write)).count();
            let mut call = self.apply.call(&[&self.keys.tokens, &self.keys.version]);
            call.arg(snapshot.version).arg(sets);
            for (token, value) in &writes {
                call.arg(token).arg(value.as_deref());
            }
            sends(mutation(snapshot.tokens.clone(), writes.clone(), None));
            match self.link.run(&self.apply, &call).await {
                Ok(Value::Int(1)) => {
                    let version = Some(snapshot.version + 1);
                    return Ok(mutation(snapshot.tokens, writes, version));
                }
                Ok(_) => {}
                Err(AttemptError::Ambiguous(cause)) => {
                    return Err(Failed::Unknown {
                        reads: snapshot.tokens,
                        writes,
                        error: cause.to_string(),
                    });
                }
                Err(error) => return Err(Failed::NotApplied(error.to_string())),
            }
        }
        Err(Failed::NotApplied("64 version conflicts".to_owned()))
    }

    async fn read(&self) -> Result<Snapshot, String> {
        let call = self.snapshot.call(&[&self.keys.tokens, &self.keys.version]);
        let reply = self.link.run(&self.snapshot, &call).await;
        let Value::Array(parts) = reply.map_err(|error| error.to_string())? else {
            return Err("an unexpected snapshot".to_owned());
        };
        let [version, Value::Array(pairs)] = parts.as_slice() else {
            return Err("an unexpected snapshot".to_owned());
        };
        let words: Vec<String> = pairs.iter().filter_map(word).collect();
        Ok(Snapshot {
            version: word(version)
                .and_then(|version| version.parse().ok())
                .ok_or("the version is not a number")?,
            tokens: words
                .chunks_exact(2)
                .map(|pair| (pair[0].clone(), Some(pair[1].clone())))
                .collect(),
        })
    }
}

/// What an operation writes, the sets first.
fn writes(snapshot: &Snapshot, operation: &ForeignOperation, run: &str) -> Values {
    let tokens = &snapshot.tokens;
    match operation {
        ForeignOperation::Mutate { sets, deletes } => {
            let changed = format!("t{sets}");
            let value =
                format!(r#"{{"expiresAt":"2026-01-01T00:00:00.000Z","by":"{run}","count":1}}"#);
            let deleted = deletes.map(|deletes| format!("t{deletes}"));
            let is_present = |token: &String| tokens.iter().any(|(other, _)| other == token);
            let deleted = deleted.filter(|token| *token != changed && is_present(token));
            let deleted = deleted.map(|token| (token, None));
            [(changed, Some(value))]
                .into_iter()
                .chain(deleted)
                .collect()
        }
        ForeignOperation::Copy { from, to } => {
            let mut made: Vec<_> = tokens
                .iter()
                .filter(|(token, _)| token.starts_with("tok_"))
                .collect();
            made.sort();
            let at = |number: &usize| made.get(number % made.len().max(1)).copied();
            match (at(from), at(to)) {
                (Some((from, value)), Some((to, _))) if from != to => {
                    vec![(to.clone(), value.clone())]
                }
                _ => Vec::new(),
            }
        }
    }
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

fn mutation(reads: Values, writes: Values, version: Option<u64>) -> Mutation<Text<'static>> {
    let values = |values: Values| {
        values
            .into_iter()
            .map(|(token, value)| (token.into(), value.map(Into::into)))
            .collect()
    };
    Mutation {
        reads: values(reads),
        writes: values(writes),
        version,
        durability: None,
    }
}
