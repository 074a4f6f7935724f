//! A whole history in memory: about 300 bytes an operation, texts interned.

use std::collections::{BTreeSet, HashMap};

use thiserror::Error;

use super::event::{
    Accept, AcceptedLoss, Appended, ChainEntry, ChainRead, End, Event, FinalState, Function,
    Invoke, Knows, Loss, OpId, Outcome, Rollback, Text,
};
use super::paths::{PathId, Paths};
use super::symbols::{Symbol, Symbols};

/// One operation, from its invoke to its end.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its number in the history.
    pub id: OpId,
    /// The process that invoked it.
    pub process: Symbol,
    /// What it does.
    pub f: Function,
    /// When it began, in nanoseconds.
    pub start: u64,
    /// When it ended, in nanoseconds; `u64::MAX` where it never did.
    pub end: u64,
    /// How it ended; unknown where it never did.
    pub outcome: Outcome<Symbol, PathId>,
    /// Of an append: the event's `id`.
    pub event_id: Option<Symbol>,
    /// The error's text.
    pub error: Option<Symbol>,
}

impl Operation {
    /// Where an acknowledged append put its record.
    pub fn appended(&self) -> Option<Appended> {
        match self.outcome {
            Outcome::Appended(appended) => Some(appended),
            _ => None,
        }
    }

    /// Whether it never ended.
    pub fn is_open(&self) -> bool {
        self.end == u64::MAX
    }
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
    /// A process goes on after losses, by the acceptance of that index.
    Accept(u32),
    /// A process begins with what it had seen, by the entry of that index.
    Knows(u32),
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
    /// A time that means "never".
    #[error(
        "a time of {} is too large; give times from an origin near the run's start",
        u64::MAX
    )]
    TimeTooLarge,
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
    #[error("a line follows the final line; final must be the last")]
    AfterFinal,
}

/// A well-formed history.
#[derive(Clone, Debug, Default)]
pub struct History {
    symbols: Symbols,
    paths: Paths,
    operations: Vec<Operation>,
    log: Vec<LogEntry>,
    losses: Vec<Loss>,
    rollbacks: Vec<Rollback>,
    accepts: Vec<Accept>,
    known: Vec<Knows>,
    end: Option<FinalState>,
    processes: BTreeSet<Symbol>,
    /// Those that follow the reference's protocol.
    foreign: BTreeSet<Symbol>,
    /// Operations whose number is not the first one's plus their index.
    scattered: HashMap<OpId, u32>,
    last_time: u64,
}

impl History {
    /// Adds the next line. On an error nothing was added.
    pub fn push(&mut self, event: &Event<Text<'_>>) -> Result<(), Malformed> {
        if self.end.is_some() {
            return Err(Malformed::AfterFinal);
        }
        match event {
            Event::Invoke(invoke) => self.invoke(invoke),
            Event::End(end) => self.end(end),
            Event::Loss(loss) => {
                self.advance(loss.time)?;
                self.log.push(LogEntry::Loss(self.losses.len() as u32));
                self.losses.push(loss.map(&mut intern(&mut self.symbols)));
                Ok(())
            }
            Event::Rollback(rollback) => {
                self.advance(rollback.time)?;
                self.log
                    .push(LogEntry::Rollback(self.rollbacks.len() as u32));
                let rollback = rollback.map(&mut intern(&mut self.symbols));
                self.processes.insert(rollback.process);
                self.rollbacks.push(rollback);
                Ok(())
            }
            Event::Accept(accept) => {
                self.advance(accept.time)?;
                self.log.push(LogEntry::Accept(self.accepts.len() as u32));
                let accept = accept.map(&mut intern(&mut self.symbols));
                self.processes.insert(accept.process);
                self.accepts.push(accept);
                Ok(())
            }
            Event::Knows(knows) => {
                self.advance(knows.time)?;
                self.log.push(LogEntry::Knows(self.known.len() as u32));
                let knows = knows.map(&mut intern(&mut self.symbols));
                self.processes.insert(knows.process);
                self.known.push(knows);
                Ok(())
            }
            Event::Final(state) => {
                self.end = Some(state.map(&mut intern(&mut self.symbols)));
                Ok(())
            }
        }
    }

    fn invoke(&mut self, invoke: &Invoke<Text<'_>>) -> Result<(), Malformed> {
        let op = invoke.op;
        if self.index_of(op).is_some() {
            return Err(Malformed::DuplicateOp(op));
        }
        self.advance(invoke.time)?;
        let process = self.symbols.intern(&invoke.process);
        self.processes.insert(process);
        if invoke.foreign {
            self.foreign.insert(process);
        }
        let index = self.operations.len() as u32;
        let base = self.operations.first().map_or(op.0, |first| first.id.0);
        if base.checked_add(u64::from(index)) != Some(op.0) {
            self.scattered.insert(op, index);
        }
        self.operations.push(Operation {
            id: op,
            process,
            f: invoke.f,
            start: invoke.time,
            end: u64::MAX,
            outcome: Outcome::Unknown(None),
            event_id: invoke.id.as_deref().map(|id| self.symbols.intern(id)),
            error: None,
        });
        self.log.push(LogEntry::Invoke(index));
        Ok(())
    }

    fn end(&mut self, end: &End<Text<'_>>) -> Result<(), Malformed> {
        let index = self.index_of(end.op);
        let index = index.ok_or(Malformed::EndWithoutInvoke(end.op))?;
        self.check_end(&self.operations[index], end)?;
        self.advance(end.time)?;
        let outcome = self.keep(&end.outcome);
        let operation = &mut self.operations[index];
        operation.end = end.time;
        operation.outcome = outcome;
        operation.error = end.error.as_deref().map(|text| self.symbols.intern(text));
        self.log.push(LogEntry::End(index as u32));
        Ok(())
    }

    fn advance(&mut self, now: u64) -> Result<(), Malformed> {
        let before = self.last_time;
        if now < before {
            return Err(Malformed::TimeGoesBack { before, now });
        }
        if now == u64::MAX {
            return Err(Malformed::TimeTooLarge);
        }
        self.last_time = now;
        Ok(())
    }

    fn check_end(&self, operation: &Operation, end: &End<Text<'_>>) -> Result<(), Malformed> {
        let op = operation.id;
        if !operation.is_open() {
            return Err(Malformed::EndedTwice(op));
        }
        let invoked_by = self.text(operation.process);
        if *invoked_by != *end.process {
            return Err(Malformed::OtherProcess {
                op,
                invoked_by: invoked_by.to_owned(),
                ended_by: end.process.to_string(),
            });
        }
        let f = operation.f;
        let fits = match &end.outcome {
            Outcome::Appended(_) => f == Function::Append,
            Outcome::Chain(_) => f == Function::ReadChain,
            Outcome::Mutated(_) | Outcome::Failed(Some(_)) | Outcome::Unknown(Some(_)) => {
                f == Function::Mutate
            }
            Outcome::Tokens(_) => f.answers_tokens(),
            Outcome::Failed(None) | Outcome::Unknown(None) => true,
        };
        if fits {
            Ok(())
        } else {
            Err(Malformed::WrongAnswer { op, f })
        }
    }

    fn keep(&mut self, outcome: &Outcome<Text<'_>>) -> Outcome<Symbol, PathId> {
        let Self { symbols, paths, .. } = self;
        if let Outcome::Chain(read) = outcome {
            let step = |path, hash: &Text<'_>| paths.step(path, hash, symbols);
            return Outcome::Chain(read.hashes.iter().fold(PathId::EMPTY, step));
        }
        outcome.map(&mut intern(symbols), |_| PathId::EMPTY)
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
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Every reported rollback, in order of time.
    pub fn rollbacks(&self) -> &[Rollback] {
        &self.rollbacks
    }

    /// Which processes go on after which losses, in order of time.
    pub fn accepts(&self) -> &[Accept] {
        &self.accepts
    }

    /// What processes began with that they had seen before, in order of time.
    pub fn known(&self) -> &[Knows] {
        &self.known
    }

    /// The records that accept a loss, if the final line carried them.
    pub fn accepted(&self) -> &[AcceptedLoss] {
        self.end.as_ref().map_or(&[], |end| &end.accepted)
    }

    /// The final line, if there was one.
    pub fn final_state(&self) -> Option<&FinalState> {
        self.end.as_ref()
    }

    /// The final chain, if the final line carried one.
    pub fn chain(&self) -> Option<&[ChainEntry]> {
        self.end.as_ref()?.chain.as_deref()
    }

    /// The vault's final tokens, if the final line carried them.
    pub fn final_tokens(&self) -> Option<&[(Symbol, Symbol)]> {
        self.end.as_ref()?.tokens.as_deref()
    }

    /// The vault's final version, if the final line carried it.
    pub fn final_version(&self) -> Option<u64> {
        self.end.as_ref()?.version
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

    /// Whether a process follows the reference's protocol.
    pub fn is_foreign(&self, process: Symbol) -> bool {
        self.foreign.contains(&process)
    }

    /// Every line, the final one last.
    pub fn events(&self) -> impl Iterator<Item = Event<Text<'_>>> {
        let lines = self.log.iter().map(|entry| self.event(*entry));
        let text = |symbol: &Symbol| Text::from(self.text(*symbol));
        let end = self.end.as_ref();
        lines.chain(end.map(move |end| Event::Final(end.map(&mut { text }))))
    }

    fn event(&self, entry: LogEntry) -> Event<Text<'_>> {
        let text = |symbol: &Symbol| Text::from(self.text(*symbol));
        match entry {
            LogEntry::Invoke(index) => {
                let operation = &self.operations[index as usize];
                Event::Invoke(Invoke {
                    time: operation.start,
                    process: text(&operation.process),
                    op: operation.id,
                    f: operation.f,
                    id: operation.event_id.as_ref().map(text),
                    foreign: self.is_foreign(operation.process),
                })
            }
            LogEntry::End(index) => {
                let operation = &self.operations[index as usize];
                Event::End(End {
                    time: operation.end,
                    process: text(&operation.process),
                    op: operation.id,
                    outcome: operation.outcome.map(&mut { text }, |path| ChainRead {
                        hashes: self.paths.hashes(*path).iter().map(text).collect(),
                    }),
                    error: operation.error.as_ref().map(text),
                })
            }
            LogEntry::Loss(index) => Event::Loss(self.losses[index as usize].map(&mut { text })),
            LogEntry::Rollback(index) => {
                Event::Rollback(self.rollbacks[index as usize].map(&mut { text }))
            }
            LogEntry::Knows(index) => Event::Knows(self.known[index as usize].map(&mut { text })),
            LogEntry::Accept(index) => {
                Event::Accept(self.accepts[index as usize].map(&mut { text }))
            }
        }
    }
}

fn intern(symbols: &mut Symbols) -> impl FnMut(&Text<'_>) -> Symbol {
    |text| symbols.intern(text)
}
