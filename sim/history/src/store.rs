//! A whole history in memory: about 200 bytes an operation, texts interned.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

use super::event::{
    Answer, ChainEntry, Durability, End, Event, FinalState, Function, Loss, Mutation, OpId,
};
use super::paths::{PathId, Paths};
use super::symbols::{Symbol, Symbols};

/// A process of one history: an index into [`History::process_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub(crate) u32);

impl ProcessId {
    /// The process's number, counted from 0 in the order of first appearance.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How an operation ended, as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It never ended; as good as unknown.
    Open,
    /// An append was acknowledged.
    Appended {
        /// The position it was given.
        sequence: u64,
        /// The event hash it was given.
        event_hash: Symbol,
        /// What the acknowledgement promised.
        durability: Durability,
    },
    /// A read of the chain returned this.
    Chain(PathId),
    /// A mutate was acknowledged; see [`History::mutation`].
    Mutated(u32),
    /// A read of the vault returned this; see [`History::vault_read`].
    Tokens(u32),
    /// Certainly not applied, ever.
    Failed,
    /// May or may not have been applied; a mutate's decided effect, if it said.
    Unknown(Option<u32>),
}

/// One operation, from its invoke to its end.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its number in the history.
    pub id: OpId,
    /// Who asked.
    pub process: ProcessId,
    /// What was asked.
    pub f: Function,
    /// When it began, in nanoseconds.
    pub start: u64,
    /// When it ended, in nanoseconds; `u64::MAX` where it never did.
    pub end: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Of an append: the event's `id`.
    pub event_id: Option<Symbol>,
    /// The error's text.
    pub error: Option<Symbol>,
}

/// A record of the final chain, as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainRecord {
    /// The append that the content came from.
    pub op: Option<OpId>,
    /// The position that the record states.
    pub sequence: u64,
    /// The predecessor's hash that the record states.
    pub previous_hash: Option<Symbol>,
    /// The record's own hash.
    pub event_hash: Symbol,
}

/// A loss, as kept.
#[derive(Clone, Debug)]
pub struct LossRecord {
    /// When, in nanoseconds.
    pub time: u64,
    /// The fault's name.
    pub fault: Symbol,
    /// The records that went.
    pub hashes: Vec<Symbol>,
    /// The tokens whose last writes went.
    pub tokens: Vec<Symbol>,
    /// The vault versions that went.
    pub versions: Vec<u64>,
    /// The durabilities that cover the fault, where the line said so.
    pub covered_by: Option<Vec<Durability>>,
}

/// A process's word that what it had seen is gone, as kept.
#[derive(Clone, Copy, Debug)]
pub struct RollbackRecord {
    /// When, in nanoseconds.
    pub time: u64,
    /// Who.
    pub process: ProcessId,
    /// The position it had seen.
    pub sequence: u64,
    /// The hash it had seen there.
    pub event_hash: Symbol,
}

/// A process's word that a version of the vault it had seen is gone, as kept.
#[derive(Clone, Copy, Debug)]
pub struct VaultRollbackRecord {
    /// When, in nanoseconds.
    pub time: u64,
    /// Who.
    pub process: ProcessId,
    /// The version it had seen.
    pub version: u64,
}

/// A line of the history, by the index of what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// The operation of that index began.
    Invoke(u32),
    /// The operation of that index ended.
    End(u32),
    /// The loss of that index happened.
    Loss(u32),
    /// The rollback of that index was reported.
    Rollback(u32),
    /// The vault's rollback of that index was reported.
    VaultRollback(u32),
}

/// A line that does not fit what stood before it. Nothing a store can do wrong
/// looks like this: whoever recorded the history did.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// `time` is smaller than on an earlier line.
    #[error("time goes back from {before} to {now}; sort the lines by time")]
    TimeGoesBack {
        /// The largest time so far.
        before: u64,
        /// This line's.
        now: u64,
    },
    /// Two operations of one number.
    #[error("op {0} was invoked before; give every operation a number of its own")]
    DuplicateOp(OpId),
    /// An end without its beginning.
    #[error("op {0} ends here but was never invoked; put its invoke line before its end")]
    EndWithoutInvoke(OpId),
    /// A second end of one operation.
    #[error("op {0} ended before; keep the first of its ends")]
    EndedTwice(OpId),
    /// The end of another process's operation.
    #[error("op {op} was invoked by {invoked_by} but ends in {ended_by}; name one process on both")]
    OtherProcess {
        /// The operation.
        op: OpId,
        /// Who began it.
        invoked_by: String,
        /// Who ended it.
        ended_by: String,
    },
    /// An answer that another function gives.
    #[error("op {op} is a {f}, and this is not the answer of one")]
    WrongAnswer {
        /// The operation.
        op: OpId,
        /// What it asked for.
        f: Function,
    },
    /// A line after the last line.
    #[error("a line stands after the final line; final must be the last")]
    AfterFinal,
}

/// A token and its value, as kept; `None` is absent or deleted.
pub type KeptTokens = Vec<(Symbol, Option<Symbol>)>;

/// A mutation, as kept.
#[derive(Clone, Debug)]
pub struct KeptMutation {
    /// What it read.
    pub reads: KeptTokens,
    /// What it wrote.
    pub writes: KeptTokens,
    /// The version after it.
    pub version: Option<u64>,
    /// What the acknowledgement promised.
    pub durability: Option<Durability>,
}

/// What a read of the vault returned, as kept.
#[derive(Clone, Debug, Default)]
pub struct KeptRead {
    /// Every token and its value.
    pub tokens: Vec<(Symbol, Symbol)>,
    /// The live tokens that did not reveal.
    pub undecryptable: Vec<Symbol>,
}

/// A well-formed history.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub(super) symbols: Symbols,
    pub(super) paths: Paths,
    pub(super) operations: Vec<Operation>,
    pub(super) log: Vec<LogEntry>,
    pub(super) losses: Vec<LossRecord>,
    pub(super) rollbacks: Vec<RollbackRecord>,
    pub(super) vault_rollbacks: Vec<VaultRollbackRecord>,
    pub(super) mutations: Vec<KeptMutation>,
    pub(super) token_sets: Vec<KeptRead>,
    /// What failed mutates would have done, by the index of the operation.
    pub(super) attempts: BTreeMap<u32, u32>,
    pub(super) chain: Option<Vec<ChainRecord>>,
    pub(super) final_tokens: Option<Vec<(Symbol, Symbol)>>,
    pub(super) final_version: Option<u64>,
    pub(super) ended: bool,
    processes: Vec<(Symbol, bool)>,
    process_of: HashMap<Symbol, ProcessId>,
    /// Operations whose number is not the first one's plus their index.
    scattered: HashMap<OpId, u32>,
    last_time: u64,
}

impl History {
    /// Takes the next line in. On an error nothing was taken in.
    pub fn push(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        if self.ended {
            return Err(Malformed::AfterFinal);
        }
        match event {
            Event::Invoke {
                time,
                process,
                op,
                f,
                id,
                foreign,
            } => {
                self.check_time(*time)?;
                if self.index_of(*op).is_some() {
                    return Err(Malformed::DuplicateOp(*op));
                }
                let process = self.process(process);
                self.processes[process.index()].1 |= foreign;
                let index = self.operations.len() as u32;
                let base = self.operations.first().map_or(op.0, |first| first.id.0);
                if base.checked_add(u64::from(index)) != Some(op.0) {
                    self.scattered.insert(*op, index);
                }
                let event_id = id.as_deref().map(|id| self.symbols.intern(id));
                self.operations.push(Operation {
                    id: *op,
                    process,
                    f: *f,
                    start: *time,
                    end: u64::MAX,
                    outcome: Outcome::Open,
                    event_id,
                    error: None,
                });
                self.log.push(LogEntry::Invoke(index));
                self.last_time = *time;
            }
            Event::End {
                time,
                process,
                op,
                end,
                attempt,
            } => {
                self.check_time(*time)?;
                let index = self.index_of(*op).ok_or(Malformed::EndWithoutInvoke(*op))?;
                self.check_end(index, process, end, attempt.is_some())?;
                if let Some(attempt) = attempt {
                    let number = self.keep_mutation(attempt);
                    self.attempts.insert(index as u32, number);
                }
                let (outcome, error) = self.outcome(end);
                let error = error.as_deref().map(|text| self.symbols.intern(text));
                let operation = &mut self.operations[index];
                operation.end = *time;
                operation.outcome = outcome;
                operation.error = error;
                self.log.push(LogEntry::End(index as u32));
                self.last_time = *time;
            }
            Event::Loss { time, loss } => {
                self.check_time(*time)?;
                self.log.push(LogEntry::Loss(self.losses.len() as u32));
                let loss = self.keep_loss(*time, loss);
                self.losses.push(loss);
                self.last_time = *time;
            }
            Event::Rollback {
                time,
                process,
                sequence,
                event_hash,
            } => {
                self.check_time(*time)?;
                self.log
                    .push(LogEntry::Rollback(self.rollbacks.len() as u32));
                let process = self.process(process);
                let event_hash = self.symbols.intern(event_hash);
                let (time, sequence) = (*time, *sequence);
                self.rollbacks.push(RollbackRecord {
                    time,
                    process,
                    sequence,
                    event_hash,
                });
                self.last_time = time;
            }
            Event::VaultRollback {
                time,
                process,
                version,
            } => {
                self.check_time(*time)?;
                let index = self.vault_rollbacks.len() as u32;
                self.log.push(LogEntry::VaultRollback(index));
                let process = self.process(process);
                let (time, version) = (*time, *version);
                self.vault_rollbacks.push(VaultRollbackRecord {
                    time,
                    process,
                    version,
                });
                self.last_time = time;
            }
            Event::Final(state) => self.keep_final(state),
        }
        Ok(())
    }

    fn check_time(&self, now: u64) -> Result<(), Malformed> {
        if now < self.last_time {
            return Err(Malformed::TimeGoesBack {
                before: self.last_time,
                now,
            });
        }
        Ok(())
    }

    fn check_end(
        &self,
        index: usize,
        process: &str,
        end: &End<'_>,
        has_attempt: bool,
    ) -> Result<(), Malformed> {
        let operation = &self.operations[index];
        if !matches!(operation.outcome, Outcome::Open) {
            return Err(Malformed::EndedTwice(operation.id));
        }
        let invoked_by = self.process_name(operation.process);
        if invoked_by != process {
            return Err(Malformed::OtherProcess {
                op: operation.id,
                invoked_by: invoked_by.to_owned(),
                ended_by: process.to_owned(),
            });
        }
        let fits = match end {
            End::Ok(Answer::Appended { .. }) => operation.f == Function::Append,
            End::Ok(Answer::Chain(_)) => operation.f == Function::ReadChain,
            End::Ok(Answer::Mutated(_)) => operation.f == Function::Mutate,
            End::Ok(Answer::Tokens { .. }) => operation.f == Function::Read,
            End::Unknown {
                mutation: Some(_), ..
            } => operation.f == Function::Mutate,
            End::Fail { .. } | End::Unknown { .. } => true,
        };
        let is_failed_mutate = operation.f == Function::Mutate && matches!(end, End::Fail { .. });
        if fits && (is_failed_mutate || !has_attempt) {
            Ok(())
        } else {
            Err(Malformed::WrongAnswer {
                op: operation.id,
                f: operation.f,
            })
        }
    }

    fn outcome<'e>(&mut self, end: &'e End<'_>) -> (Outcome, &'e Option<Cow<'e, str>>) {
        match end {
            End::Ok(Answer::Appended {
                sequence,
                event_hash,
                durability,
            }) => {
                let outcome = Outcome::Appended {
                    sequence: *sequence,
                    event_hash: self.symbols.intern(event_hash),
                    durability: durability.unwrap_or(Durability::Memory),
                };
                (outcome, &None)
            }
            End::Ok(Answer::Chain(hashes)) => {
                let mut path = PathId::EMPTY;
                for hash in hashes {
                    path = self.paths.step(path, hash, &mut self.symbols);
                }
                (Outcome::Chain(path), &None)
            }
            End::Ok(Answer::Mutated(mutation)) => {
                (Outcome::Mutated(self.keep_mutation(mutation)), &None)
            }
            End::Ok(Answer::Tokens {
                tokens,
                undecryptable,
            }) => {
                let tokens = self.keep_tokens(tokens);
                let unread = undecryptable.iter();
                let undecryptable = unread.map(|token| self.symbols.intern(token)).collect();
                self.token_sets.push(KeptRead {
                    tokens,
                    undecryptable,
                });
                (Outcome::Tokens(self.token_sets.len() as u32 - 1), &None)
            }
            End::Fail { error } => (Outcome::Failed, error),
            End::Unknown { error, mutation } => {
                let kept = mutation
                    .as_ref()
                    .map(|mutation| self.keep_mutation(mutation));
                (Outcome::Unknown(kept), error)
            }
        }
    }

    fn keep_mutation(&mut self, mutation: &Mutation<'_>) -> u32 {
        let symbols = &mut self.symbols;
        let mut keep = |values: &super::event::TokenValues<'_>| -> KeptTokens {
            let one = |(token, value): &(Cow<'_, str>, Option<Cow<'_, str>>)| {
                (
                    symbols.intern(token),
                    value.as_deref().map(|value| symbols.intern(value)),
                )
            };
            values.iter().map(one).collect()
        };
        let (reads, writes) = (keep(&mutation.reads), keep(&mutation.writes));
        let (version, durability) = (mutation.version, mutation.durability);
        self.mutations.push(KeptMutation {
            reads,
            writes,
            version,
            durability,
        });
        self.mutations.len() as u32 - 1
    }

    fn keep_tokens(&mut self, tokens: &[(Cow<'_, str>, Cow<'_, str>)]) -> Vec<(Symbol, Symbol)> {
        let symbols = &mut self.symbols;
        tokens
            .iter()
            .map(|(token, value)| (symbols.intern(token), symbols.intern(value)))
            .collect()
    }

    fn keep_loss(&mut self, time: u64, loss: &Loss<'_>) -> LossRecord {
        let symbols = &mut self.symbols;
        LossRecord {
            time,
            fault: symbols.intern(&loss.fault),
            hashes: loss
                .hashes
                .iter()
                .map(|hash| symbols.intern(hash))
                .collect(),
            tokens: loss
                .tokens
                .iter()
                .map(|token| symbols.intern(token))
                .collect(),
            versions: loss.versions.clone(),
            covered_by: loss.covered_by.clone(),
        }
    }

    fn keep_final(&mut self, state: &FinalState<'_>) {
        self.chain = state.chain.as_ref().map(|chain| {
            let mut previous = None;
            let keep = |entry| {
                let record = self.keep_entry(entry, previous);
                previous = Some(record.event_hash);
                record
            };
            chain.iter().map(keep).collect()
        });
        self.final_tokens = state.tokens.as_ref().map(|tokens| self.keep_tokens(tokens));
        self.final_version = state.version;
        self.ended = true;
    }

    /// A record's hashes are nearly always its predecessor's and its append's own:
    /// comparing those texts first saves most look-ups of the longest line.
    fn keep_entry(&mut self, entry: &ChainEntry<'_>, previous: Option<Symbol>) -> ChainRecord {
        let told = entry.op.and_then(|op| self.index_of(op)).and_then(|index| {
            match self.operations[index].outcome {
                Outcome::Appended { event_hash, .. } => Some(event_hash),
                _ => None,
            }
        });
        let symbols = &mut self.symbols;
        let mut keep = |text: &str, likely: Option<Symbol>| {
            let likely = likely.filter(|likely| symbols.text(*likely) == text);
            likely.unwrap_or_else(|| symbols.intern(text))
        };
        ChainRecord {
            op: entry.op,
            sequence: entry.sequence,
            previous_hash: entry
                .previous_hash
                .as_deref()
                .map(|hash| keep(hash, previous)),
            event_hash: keep(&entry.event_hash, told),
        }
    }

    /// The process of that name, new or known.
    fn process(&mut self, name: &str) -> ProcessId {
        let symbol = self.symbols.intern(name);
        let next = ProcessId(self.processes.len() as u32);
        let known = *self.process_of.entry(symbol).or_insert(next);
        if known == next {
            self.processes.push((symbol, false));
        }
        known
    }

    /// The index in [`History::operations`] of an operation, if it was invoked.
    /// Constant time.
    pub fn index_of(&self, op: OpId) -> Option<usize> {
        let base = self.operations.first()?.id.0;
        if let Some(index) =
            op.0.checked_sub(base)
                .and_then(|index| usize::try_from(index).ok())
            && self
                .operations
                .get(index)
                .is_some_and(|operation| operation.id == op)
        {
            return Some(index);
        }
        self.scattered.get(&op).map(|index| *index as usize)
    }

    /// Every operation, in the order of its invoke line.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Every line but the final one, in order.
    pub fn log(&self) -> &[LogEntry] {
        &self.log
    }

    /// Every loss, in order of time.
    pub fn losses(&self) -> &[LossRecord] {
        &self.losses
    }

    /// Every reported rollback, in order of time.
    pub fn rollbacks(&self) -> &[RollbackRecord] {
        &self.rollbacks
    }

    /// Every reported rollback of the vault, in order of time.
    pub fn vault_rollbacks(&self) -> &[VaultRollbackRecord] {
        &self.vault_rollbacks
    }

    /// The final chain, if the final line carried one.
    pub fn chain(&self) -> Option<&[ChainRecord]> {
        self.chain.as_deref()
    }

    /// The vault's final tokens, if the final line carried them.
    pub fn final_tokens(&self) -> Option<&[(Symbol, Symbol)]> {
        self.final_tokens.as_deref()
    }

    /// The vault's final version, if the final line carried it.
    pub fn final_version(&self) -> Option<u64> {
        self.final_version
    }

    /// Whether the final line was met.
    pub fn is_complete(&self) -> bool {
        self.ended
    }

    /// What a mutate did: the number is an [`Outcome`]'s.
    pub fn mutation(&self, number: u32) -> &KeptMutation {
        &self.mutations[number as usize]
    }

    /// What a read of the vault returned: the number is an [`Outcome`]'s.
    pub fn vault_read(&self, number: u32) -> &KeptRead {
        &self.token_sets[number as usize]
    }

    /// What the failed mutate of that index would have done, if it said.
    pub fn attempt(&self, index: usize) -> Option<&KeptMutation> {
        let number = self.attempts.get(&u32::try_from(index).ok()?)?;
        Some(self.mutation(*number))
    }

    /// What reads of the chain returned.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The table that every symbol here is of.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// A symbol's text.
    pub fn text(&self, symbol: Symbol) -> &str {
        self.symbols.text(symbol)
    }

    /// How many processes there are.
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    /// A process's name.
    pub fn process_name(&self, process: ProcessId) -> &str {
        self.text(self.processes[process.index()].0)
    }

    /// Whether a process follows the reference's protocol.
    pub fn is_foreign(&self, process: ProcessId) -> bool {
        self.processes[process.index()].1
    }

    /// The time of the last line that had one.
    pub fn last_time(&self) -> u64 {
        self.last_time
    }
}
