//! What the processes were asked and what they answered, and whether some order explains it.

use std::{error::Error, fmt, hash::Hash, time::Duration};

use haechi_history::check::{
    CheckError,
    oracle::{self, Model},
};
use redis::RedisError;
use redis_sim::{Command, Keyspace, Reply, SharedRedis};

use super::System;
use crate::record::replica_name;

/// Of how many calls those are named that contradict each other, rather than the last.
const MOST_EXPLAINED: usize = 12;

/// Why an operation has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It was not applied, and never will be.
    #[error("not applied: {0}")]
    NotApplied(String),
    /// It may or may not have been applied, and may still be.
    #[error("unknown: {0}")]
    Unknown(String),
}

impl Failure {
    /// Not applied, and never will be, because of this error.
    pub fn not_applied(error: impl fmt::Display) -> Self {
        Self::NotApplied(error.to_string())
    }

    /// Unknown, because of this error.
    pub fn unknown(error: impl fmt::Display) -> Self {
        Self::Unknown(error.to_string())
    }
}

/// The client's errors do not say whether the command ran.
impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        // Some say more than the first line, differently each time.
        match error.source() {
            Some(source) => Self::Unknown(source.to_string()),
            None => Self::unknown(error),
        }
    }
}

/// A call: an operation of a process, from its invocation to its end.
#[derive(Clone, Debug)]
pub struct Call<O, A> {
    /// The number of its event in the schedule.
    pub id: usize,
    /// The process.
    pub process: usize,
    /// How often the process had started, from 1.
    pub life: u64,
    /// What it was asked.
    pub operation: O,
    /// When it began, since the run did.
    pub began: Duration,
    /// When it ended; `None` if it never did.
    pub ended: Option<Duration>,
    /// How it ended: unknown if the process was killed. `None` if it never did.
    pub result: Option<Result<A, Failure>>,
}

impl<O, A> Call<O, A> {
    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&A> {
        self.result.as_ref()?.as_ref().ok()
    }

    /// Whether it may have been applied, or may still be.
    pub fn may_be_applied(&self) -> bool {
        !matches!(self.result, Some(Err(Failure::NotApplied(_))))
    }
}

impl<O: fmt::Debug, A: fmt::Debug> fmt::Display for Call<O, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, began) = (replica_name(self.process), self.began.as_millis());
        write!(f, "call {}: {:?} by {name}", self.id, self.operation)?;
        match (&self.ended, &self.result) {
            (Some(ended), Some(result)) => {
                write!(f, ", {began} to {} ms: ", ended.as_millis())?;
                match result {
                    Ok(answer) => write!(f, "{answer:?}"),
                    Err(failure) => write!(f, "{failure}"),
                }
            }
            _ => write!(f, ", from {began} ms, never ended"),
        }
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name, as `lost_update`: shrinking keeps to one name.
    pub name: String,
    /// The calls that show it, by their ids.
    pub calls: Vec<usize>,
    /// What is wrong, in words.
    pub reason: String,
}

impl Violation {
    /// A violation.
    pub fn new(name: &str, calls: Vec<usize>, reason: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            calls,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

/// What happened in a run, once it is over.
#[derive(Debug)]
pub struct Run<S: System + ?Sized> {
    /// All calls, in the order in which they began.
    pub calls: Vec<Call<S::Operation, S::Answer>>,
    pub(super) servers: Vec<SharedRedis>,
}

impl<S: System + ?Sized> Run<S> {
    /// Looks at the data of a server.
    pub fn data<T>(&self, server: usize, look: impl FnOnce(&Keyspace) -> T) -> Option<T> {
        let redis = self.servers.get(server)?.lock().ok()?;
        Some(look(redis.keyspace()))
    }

    /// Runs a command on a server, as `["GET", "counter"]`; an error if there is no such server.
    pub fn command(&self, server: usize, words: &[&str]) -> Reply {
        let words = words.iter().map(|word| word.as_bytes().to_vec());
        let run = || {
            let command = Command::new(words)?;
            let mut redis = self.servers.get(server)?.lock().ok()?;
            let mut session = redis.connect().ok()?;
            Some(redis.execute(&mut session, &command))
        };
        run().unwrap_or_else(|| Reply::error("ERR no such server or command"))
    }

    /// Whether the calls could have been carried out one after the other, each at some moment
    /// between its begin and its end, with these answers: a violation `not_linearizable` if not.
    ///
    /// `step` is the sequential model: the state after an operation, or `None` if this answer is
    /// wrong in this state. Without an answer, the operation was applied and nobody knows what it
    /// answered. Calls that were not applied are left out; those of which that is unknown may be
    /// applied at any later time, or never.
    ///
    /// # Errors
    ///
    /// There are more than 64 calls, or too many orders to try; fewer [operations](super::Setup)
    /// of a process make both fewer.
    pub fn linearizable<State: Clone + Eq + Hash>(
        &self,
        initial: State,
        step: impl Fn(&State, &S::Operation, Option<&S::Answer>) -> Option<State>,
    ) -> Result<Vec<Violation>, CheckError> {
        let fits = |known: &[&Call<_, _>]| self.is_sequence(initial.clone(), &step, known);
        let mut known: Vec<_> = self.calls.iter().filter(|c| c.answer().is_some()).collect();
        if fits(&known)? {
            return Ok(Vec::new());
        }
        // Up to the first answer that no order explains.
        known.sort_by_key(|call| (call.ended, call.id));
        for count in 1..known.len() {
            if !fits(&known[..count])? {
                known.truncate(count);
                break;
            }
        }
        // Of few, those that no order explains together.
        let mut core = known;
        if self.calls.len() > MOST_EXPLAINED {
            core.drain(..core.len().saturating_sub(1));
        }
        for call in core.clone() {
            let mut left = core.clone();
            left.retain(|other| other.id != call.id);
            if !left.is_empty() && !fits(&left)? {
                core = left;
            }
        }
        let answers = core.iter().filter_map(|call| {
            let answer = call.answer()?;
            Some(format!("{answer:?} to call {}", call.id))
        });
        let answers = answers.collect::<Vec<_>>().join(" and ");
        let reason = format!("no order of the calls so far explains the answer {answers}");
        let ids = core.iter().map(|call| call.id).collect();
        Ok(vec![Violation::new("not_linearizable", ids, reason)])
    }

    /// Whether some order explains the answers of these calls; nobody knows the others.
    fn is_sequence<State: Clone + Eq + Hash>(
        &self,
        initial: State,
        step: &impl Fn(&State, &S::Operation, Option<&S::Answer>) -> Option<State>,
        known: &[&Call<S::Operation, S::Answer>],
    ) -> Result<bool, CheckError> {
        let calls = self.calls.iter().filter(|call| call.may_be_applied());
        let is_known = |id| known.iter().any(|known| known.id == id);
        let calls: Vec<_> = calls
            .map(|call| (call, call.answer().filter(|_| is_known(call.id))))
            .collect();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let intervals: Vec<_> = calls
            .iter()
            .map(|(call, answer)| oracle::Call {
                start: nanos(call.began),
                end: answer.and(call.ended).map(nanos),
            })
            .collect();
        let next = |state: &State, index: usize| {
            let (call, answer) = calls[index];
            step(state, &call.operation, answer)
        };
        let model = Steps {
            next,
            state: std::marker::PhantomData,
        };
        let undecided = || {
            let reason = format!("{} calls have too many orders", intervals.len());
            CheckError::Undecided(reason)
        };
        oracle::search(&model, &intervals, initial).ok_or_else(undecided)
    }
}

/// A closure as a model.
struct Steps<F, State> {
    next: F,
    state: std::marker::PhantomData<State>,
}

impl<F, State> Model for Steps<F, State>
where
    F: Fn(&State, usize) -> Option<State>,
    State: Clone + Eq + Hash,
{
    type State = State;

    fn step(&self, state: &State, call: usize) -> Vec<State> {
        (self.next)(state, call).into_iter().collect()
    }

    fn accepts(&self, _: &State) -> bool {
        true
    }
}
