//! Recording a history in process.

use super::Text;
use super::event::{
    Accept, End, Event, FinalState, Function, Invoke, Known, Knows, Loss, OpId, Outcome, Rollback,
    Seen,
};
use super::history::{History, Malformed};

/// Records what a simulation's processes ask and are told.
///
/// Times are the simulation's, in nanoseconds. A simulated clock does not advance
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
        let invoke = Invoke {
            time,
            process,
            op,
            f,
            id,
            foreign,
        };
        self.history.push(&Event::Invoke(invoke))?;
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
    /// Linear in the outcome.
    pub fn end(
        &mut self,
        time: u64,
        op: OpId,
        outcome: Outcome<Text<'_>>,
        error: Option<&str>,
    ) -> Result<(), Malformed> {
        let time = self.at(time);
        let index = self.history.index_of(op);
        let index = index.ok_or(Malformed::EndWithoutInvoke(op))?;
        let process = self.history.operations()[index].process;
        let process = self.history.text(process).to_owned().into();
        let error = error.map(Into::into);
        self.history.push(&Event::End(End {
            time,
            process,
            op,
            outcome,
            error,
        }))
    }

    /// A fault took data; the loss's own time is ignored.
    pub fn loss(&mut self, time: u64, loss: Loss<Text<'_>>) -> Result<(), Malformed> {
        let time = self.at(time);
        self.history.push(&Event::Loss(Loss { time, ..loss }))
    }

    /// A process reports that what it had seen is gone.
    pub fn rollback(
        &mut self,
        time: u64,
        process: &str,
        seen: Seen<Text<'_>>,
    ) -> Result<(), Malformed> {
        let time = self.at(time);
        let process = process.into();
        self.history.push(&Event::Rollback(Rollback {
            time,
            process,
            seen,
        }))
    }

    /// A process begins with this, which it had seen before.
    pub fn knows(
        &mut self,
        time: u64,
        process: &str,
        what: Known<Text<'_>>,
    ) -> Result<(), Malformed> {
        let time = self.at(time);
        let process = process.into();
        self.history.push(&Event::Knows(Knows {
            time,
            process,
            what,
        }))
    }

    /// A process goes on after the loss of these sequences, or after any that a shared key
    /// accepts, once the chain has a record of it.
    pub fn accept(
        &mut self,
        time: u64,
        process: &str,
        lost: Option<(u64, u64)>,
    ) -> Result<(), Malformed> {
        let time = self.at(time);
        let process = process.into();
        self.history.push(&Event::Accept(Accept {
            time,
            process,
            lost,
        }))
    }

    /// The state found at the end; nothing can be recorded after it.
    pub fn final_state(&mut self, state: FinalState<Text<'_>>) -> Result<(), Malformed> {
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
