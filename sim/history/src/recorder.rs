//! Recording a history in process.

use super::event::{Answer, End, Event, FinalState, Function, Loss, Mutation, OpId, TokenValues};
use super::store::{History, Malformed};

/// A mutation from plain texts; `None` is an absent token (read) or a delete (written).
pub fn mutation<'a>(
    reads: &[(&'a str, Option<&'a str>)],
    writes: &[(&'a str, Option<&'a str>)],
    version: Option<u64>,
) -> Mutation<'a> {
    let values = |values: &[(&'a str, Option<&'a str>)]| -> TokenValues<'a> {
        let one =
            |(token, value): &(&'a str, Option<&'a str>)| ((*token).into(), value.map(Into::into));
        values.iter().map(one).collect()
    };
    Mutation {
        reads: values(reads),
        writes: values(writes),
        version,
        durability: None,
    }
}

/// Records what a simulation's processes ask and are told.
///
/// Times are the simulation's, in nanoseconds. A simulated clock stands still
/// while a process runs, so an end and the next invoke often bear one time, and
/// a checker would have to take them for concurrent. The recorder is called in
/// the order in which things happen, and keeps that order: a time not past the
/// previous one is moved to one nanosecond past it.
#[derive(Debug, Default)]
pub struct Recorder {
    history: History,
    next: u64,
    last: Option<u64>,
}

impl Recorder {
    /// An empty recording.
    pub fn new() -> Self {
        Self::default()
    }

    fn at(&mut self, time: u64) -> u64 {
        let time = self.last.map_or(time, |last| time.max(last + 1));
        self.last = Some(time);
        time
    }

    /// An operation of `process` begins; `id` is an append's event id, for people.
    /// The process is marked as foreign, now and before, if `foreign` is set.
    pub fn invoke_as(
        &mut self,
        time: u64,
        process: &str,
        f: Function,
        id: Option<&str>,
        foreign: bool,
    ) -> Result<OpId, Malformed> {
        let time = self.at(time);
        self.next += 1;
        let op = OpId(self.next);
        let (process, id) = (process.into(), id.map(Into::into));
        self.history.push(&Event::Invoke {
            time,
            process,
            op,
            f,
            id,
            foreign,
        })?;
        Ok(op)
    }

    /// An operation of a replica of our own begins. Fails only after
    /// [`Recorder::final_state`].
    pub fn invoke(
        &mut self,
        time: u64,
        process: &str,
        f: Function,
        id: Option<&str>,
    ) -> Result<OpId, Malformed> {
        self.invoke_as(time, process, f, id, false)
    }

    /// An operation ends. An end that does not fit its operation is refused.
    /// Linear in the answer.
    pub fn end(&mut self, time: u64, op: OpId, end: End<'_>) -> Result<(), Malformed> {
        self.end_with(time, op, end, None)
    }

    /// A mutate is acknowledged. Its version is the vault's after it.
    pub fn mutate_ok(
        &mut self,
        time: u64,
        op: OpId,
        mutation: Mutation<'_>,
    ) -> Result<(), Malformed> {
        self.end(time, op, End::Ok(Answer::Mutated(mutation)))
    }

    /// A mutate was certainly not applied; `attempt` is what it would have done,
    /// if it got as far as deciding that.
    pub fn mutate_fail(
        &mut self,
        time: u64,
        op: OpId,
        attempt: Option<Mutation<'_>>,
        error: &str,
    ) -> Result<(), Malformed> {
        let error = Some(error.into());
        self.end_with(time, op, End::Fail { error }, attempt)
    }

    /// A mutate may or may not have been applied; `mutation` is what it would have
    /// done, if it got as far as deciding that. Without it, a checker has to let
    /// the mutate explain any one version.
    pub fn mutate_unknown(
        &mut self,
        time: u64,
        op: OpId,
        mutation: Option<Mutation<'_>>,
        error: &str,
    ) -> Result<(), Malformed> {
        let error = Some(error.into());
        self.end(time, op, End::Unknown { error, mutation })
    }

    /// A read of the whole vault returns `tokens`, of which `undecryptable` live
    /// ones did not reveal.
    pub fn read_ok(
        &mut self,
        time: u64,
        op: OpId,
        tokens: &[(&str, &str)],
        undecryptable: &[&str],
    ) -> Result<(), Malformed> {
        let tokens = tokens.iter().map(|(t, v)| ((*t).into(), (*v).into()));
        let answer = Answer::Tokens {
            tokens: tokens.collect(),
            undecryptable: undecryptable.iter().map(|t| (*t).into()).collect(),
        };
        self.end(time, op, End::Ok(answer))
    }

    /// A process says that the version of the vault that it had seen is gone.
    pub fn vault_rollback(
        &mut self,
        time: u64,
        process: &str,
        version: u64,
    ) -> Result<(), Malformed> {
        let time = self.at(time);
        let process = process.into();
        self.history.push(&Event::VaultRollback {
            time,
            process,
            version,
        })
    }

    fn end_with(
        &mut self,
        time: u64,
        op: OpId,
        end: End<'_>,
        attempt: Option<Mutation<'_>>,
    ) -> Result<(), Malformed> {
        let time = self.at(time);
        let index = self
            .history
            .index_of(op)
            .ok_or(Malformed::EndWithoutInvoke(op))?;
        let process = self.history.operations()[index].process;
        let process = self.history.process_name(process).to_owned().into();
        self.history.push(&Event::End {
            time,
            process,
            op,
            end,
            attempt,
        })
    }

    /// A fault took data.
    pub fn loss(&mut self, time: u64, loss: Loss<'_>) -> Result<(), Malformed> {
        let time = self.at(time);
        self.history.push(&Event::Loss { time, loss })
    }

    /// A process says that the record it had seen at `sequence` is gone.
    pub fn rollback(
        &mut self,
        time: u64,
        process: &str,
        sequence: u64,
        event_hash: &str,
    ) -> Result<(), Malformed> {
        let time = self.at(time);
        let (process, event_hash) = (process.into(), event_hash.into());
        self.history.push(&Event::Rollback {
            time,
            process,
            sequence,
            event_hash,
        })
    }

    /// The state found at the end; nothing can be recorded after it.
    pub fn final_state(&mut self, state: FinalState<'_>) -> Result<(), Malformed> {
        self.history.push(&Event::Final(state))
    }

    /// What was recorded so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The recording, done.
    pub fn into_history(self) -> History {
        self.history
    }
}
