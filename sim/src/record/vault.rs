//! The vault's part of the history: how calls into it begin and end.

use std::fmt::Write;

use haechi_store_redis::{
    Corrupt, DurabilityStatus, ReadError,
    test_util::MemoryChain,
    vault::{Done, MutateError, store::Attempt},
};

use super::{
    Situation,
    call_trace::{CallTrace, Values},
    log::nanos,
    quality::DIED,
    recorder::RunRecorder,
};
use crate::plan::fnv1a;
use haechi_history::{Durability, Function, Malformed, Mutation, OpId, Outcome, Text, VaultRead};

/// How a call that changes tokens ended.
pub(crate) enum Ended<'a> {
    /// Applied, and what made this version; what its acknowledgement promises.
    Done(u64, Option<Durability>),
    /// Nothing was written, after this was read.
    Idle(Values),
    /// Not applied.
    NotApplied(&'a str),
    /// Unknown.
    Unknown(&'a str),
}

/// Why a call of the `TokenVault` failed.
pub(crate) struct Failure {
    pub(crate) is_unknown: bool,
    pub(crate) error: String,
    /// What it says about the state of Redis.
    pub(crate) corrupt: Option<Corrupt>,
}

impl RunRecorder {
    /// A call that changes tokens, or may, begins: `f` is what the caller asked for.
    pub(crate) fn call(&self, replica: usize, process: &str, f: Function) -> Option<OpId> {
        let op = self.invoke(replica, process, Function::Mutate, None)?;
        let mut log = self.log();
        let now = log.now();
        log.called.insert(op, f);
        let trace = CallTrace::new(replica, process, op, now);
        log.calls.insert(op, trace);
        Some(op)
    }

    /// Records something about a call.
    pub(crate) fn in_call(&self, call: Option<OpId>, record: impl FnOnce(&mut CallTrace)) {
        let mut log = self.log();
        match call.and_then(|call| log.calls.get_mut(&call)) {
            Some(trace) => record(trace),
            // Its effects would not be checked.
            None => log.stray_attempts += 1,
        }
    }

    /// An attempt is sent. If the call has applied a mutation already, its next
    /// operation begins.
    pub(crate) fn attempt(&self, call: Option<OpId>, attempt: &Attempt<'_>) {
        let next = {
            let log = self.log();
            let trace = call.and_then(|call| log.calls.get(&call));
            trace
                .filter(|trace| trace.is_next(attempt.mutation))
                .map(|trace| (trace.replica, trace.process.clone()))
        };
        if let (Some(call), Some((replica, process))) = (call, next) {
            // What it was told meanwhile is not known.
            self.end_applied(call, None, None);
            if let Some(op) = self.invoke(replica, &process, Function::Mutate, None) {
                let mut log = self.log();
                if let Some(f) = log.called.get(&call).copied() {
                    log.called.insert(op, f);
                }
                drop(log);
                self.in_call(Some(call), |trace| trace.go_on(op));
            }
        }
        let mut op = None;
        self.in_call(call, |trace| {
            trace.sent(attempt);
            op = Some(trace.op);
        });
        if let Some(op) = op {
            let mutation = attempt.mutation.to_string();
            self.log().mutations.insert(mutation, op);
        }
    }

    /// Ends the current operation of a call as applied, at the version returned
    /// to the caller or else the recorded one.
    fn end_applied(&self, call: OpId, version: Option<u64>, durability: Option<Durability>) {
        let mut log = self.log();
        let Some(trace) = log.calls.remove(&call) else {
            return;
        };
        let (replica, process, op) = (trace.replica, trace.process.clone(), trace.op);
        let applied = trace.applied();
        if let Some(mutation) = &applied {
            log.applied(&trace, mutation);
        }
        log.calls.insert(call, trace);
        drop(log);
        match applied {
            Some(mut mutation) => {
                mutation.version = version.or(mutation.version);
                mutation.durability = durability;
                let line = format!(
                    "{process} op {op} ok at version {}:{}",
                    mutation.version.unwrap_or_default(),
                    brief(&mutation)
                );
                self.end(replica, op, Outcome::Mutated(mutation), None, || line);
            }
            None => self.log().malformed(Malformed::EndWithoutInvoke(op)),
        }
    }

    /// Registers the audit chain of a process's vault.
    pub(crate) fn audits(&self, process: &str, chain: MemoryChain) {
        self.log().audits.push((process.to_owned(), chain));
    }

    /// A call ends.
    pub(crate) fn end_call(&self, call: OpId, ended: Ended<'_>) {
        if let Ended::Done(version, durability) = ended {
            self.end_applied(call, Some(version), durability);
            self.log().calls.remove(&call);
            return;
        }
        let mut log = self.log();
        let Some(trace) = log.calls.remove(&call) else {
            return;
        };
        log.unsettled(&trace);
        if matches!(ended, Ended::Idle(_)) && trace.has_lost_reply() {
            log.situations.push(Situation::NothingToDoAfterLostReply);
        }
        drop(log);
        let (replica, process, op) = (trace.replica, trace.process.as_str(), trace.op);
        match ended {
            Ended::Done(..) => {}
            Ended::Idle(seen) => {
                let seen = Mutation {
                    reads: seen
                        .into_iter()
                        .map(|(token, value)| (token.into(), value.map(Into::into)))
                        .collect(),
                    ..Mutation::default()
                };
                self.end(replica, op, Outcome::Mutated(seen), None, || {
                    format!("{process} op {op} has nothing to do")
                });
            }
            Ended::NotApplied(error) => {
                self.end(
                    replica,
                    op,
                    Outcome::Failed(trace.last()),
                    Some(error),
                    || format!("{process} op {op}: {error}"),
                );
            }
            Ended::Unknown(error) => {
                let unknown = Outcome::Unknown(trace.maybe_applied());
                self.end(replica, op, unknown, Some(error), || {
                    format!("{process} op {op}: {error}")
                });
            }
        }
    }

    /// A call of the token store ends.
    pub(crate) fn end_mutate(
        &self,
        process: &str,
        call: OpId,
        outcome: Result<Done<Values>, MutateError>,
    ) {
        let error = match outcome {
            Ok(done) => {
                let ended = match done.version {
                    Some(version) => Ended::Done(version.get(), self.promised(&done.durability)),
                    None => Ended::Idle(done.output),
                };
                return self.end_call(call, ended);
            }
            Err(error) => error,
        };
        if let MutateError::Corrupt(corrupt) = &error {
            self.corrupt(process, corrupt);
        }
        if let MutateError::Unknown { handle, .. } = &error {
            self.log().unknown_mutations.add(call, **handle);
        }
        let text = error.to_string();
        let ended = match error {
            MutateError::Unknown { .. } => Ended::Unknown(&text),
            _ => Ended::NotApplied(&text),
        };
        self.end_call(call, ended);
    }

    /// A call of the `TokenVault` ends, with the last mutation that it applied,
    /// if any.
    pub(crate) fn end_vault_call(
        &self,
        process: &str,
        call: OpId,
        ended: Result<DurabilityStatus, Failure>,
    ) {
        if let Err(Failure {
            corrupt: Some(corrupt),
            ..
        }) = &ended
        {
            match corrupt {
                // Its audit chain has a sink of its own.
                Corrupt::RolledBack(_) => self.corrupt(&format!("{process}/vault"), corrupt),
                _ => self.corrupt(process, corrupt),
            }
        }
        let has_applied = {
            let log = self.log();
            let trace = log.calls.get(&call);
            trace.is_some_and(|trace| trace.applied().is_some())
        };
        match ended {
            ended if has_applied => {
                let status = ended.ok();
                let durability = status.and_then(|status| self.promised(&status));
                self.end_applied(call, None, durability);
                self.log().calls.remove(&call);
            }
            Ok(_) => self.end_call(call, Ended::Idle(Vec::new())),
            Err(failure) if failure.is_unknown => {
                self.end_call(call, Ended::Unknown(&failure.error));
            }
            Err(failure) => self.end_call(call, Ended::NotApplied(&failure.error)),
        }
    }

    /// A read of some tokens ends.
    pub(crate) fn end_read_tokens(
        &self,
        process: &str,
        call: OpId,
        outcome: Result<Values, ReadError>,
    ) {
        match outcome {
            Ok(seen) => self.end_call(call, Ended::Idle(seen)),
            Err(error) => {
                if let ReadError::Corrupt(corrupt) = &error {
                    self.corrupt(process, corrupt);
                }
                self.end_call(call, Ended::NotApplied(&error.to_string()));
            }
        }
    }

    /// A read of the whole vault ends.
    pub(crate) fn end_vault_read(
        &self,
        replica: usize,
        process: &str,
        op: OpId,
        outcome: Result<(Values, Vec<String>), ReadError>,
    ) {
        match outcome {
            Ok((tokens, undecryptable)) => {
                let count = tokens.len();
                let read = VaultRead {
                    tokens: tokens
                        .into_iter()
                        .filter_map(|(token, value)| Some((token.into(), value?.into())))
                        .collect(),
                    undecryptable: undecryptable.into_iter().map(Into::into).collect(),
                    clock: None,
                };
                self.end(replica, op, Outcome::Tokens(read), None, || {
                    format!("{process} op {op} read {count} tokens")
                });
            }
            Err(error) => {
                if let ReadError::Corrupt(corrupt) = &error {
                    self.corrupt(process, corrupt);
                }
                let error = error.to_string();
                self.end(replica, op, Outcome::Failed(None), Some(&error), || {
                    format!("{process} op {op}: {error}")
                });
            }
        }
    }

    /// Ends the calls of a process that died as unknown.
    pub(crate) fn abandon_calls(&self, replica: usize) {
        let mut log = self.log();
        let calls: Vec<OpId> = log
            .calls
            .iter()
            .filter(|(_, trace)| trace.replica == replica)
            .map(|(call, _)| *call)
            .collect();
        let now = nanos(log.now());
        if let Some((op, sent)) = log.foreign_sent.remove(&replica) {
            let unknown = Outcome::Unknown(Some(sent));
            let ended = log.recorder.end(now, op, unknown, Some(DIED));
            log.accept(ended);
        }
        for call in calls {
            let Some(trace) = log.calls.remove(&call) else {
                continue;
            };
            log.dead.insert(trace.process.clone());
            log.unsettled(&trace);
            let mutation = match trace.applied() {
                Some(applied) => {
                    log.applied(&trace, &applied);
                    Some(Mutation {
                        version: None,
                        ..applied
                    })
                }
                None => trace.maybe_applied(),
            };
            log.vault_outcomes.unknown += 1;
            let unknown = Outcome::Unknown(mutation);
            let error = Some(DIED);
            let ended = log.recorder.end(now, trace.op, unknown, error);
            log.accept(ended);
        }
    }
}

/// The writes of a mutation; values by their hash.
fn brief(mutation: &Mutation<Text<'_>>) -> String {
    let mut words = String::new();
    for (token, value) in &mutation.writes {
        let _ = match value {
            Some(value) => write!(words, " {token}=#{:08x}", fnv1a(value.as_bytes()) as u32),
            None => write!(words, " {token} gone"),
        };
    }
    words
}
