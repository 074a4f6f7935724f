//! The harness for a system of your own: a protocol over one or several Redis servers, run under
//! faults, one seed one trace.
//!
//! A [`System`] says what its processes do and what has to hold; everything else comes with it:
//! simulated servers and network, faults of links, commands, processes and servers, a schedule
//! drawn from a seed, the smallest part of it that still fails, and a page that shows it. The
//! [crate's page](crate) has an example, `docs/own-system.md` a walkthrough.
//!
//! # What is simulated
//!
//! - **Servers.** [`Setup::servers`] of them, each a `redis-sim` with data of its own; the host
//!   names are `redis0`, `redis1`, … A process reaches them by [`Process::connect`], with the real
//!   `redis` client over turmoil's TCP.
//! - **Processes.** Each carries out its operations one after the other, each not before its time.
//!   A process that is killed loses [`System::Client`] and all its connections, and starts again by
//!   [`System::start`]; the operation under way ends as [`Failure::Unknown`].
//! - **Time.** Starts at 0 and moves in ticks of 5 ms. [`Process::now`], [`Process::sleep`] and
//!   tokio's timers follow it. Times of calls are those of their tick; equal times are concurrent.
//! - **Faults.** [`Setup::supported`] lists them; a seed draws which are enabled, how many strike,
//!   when and for how long. Faults that lose data strike only where [`Setup::faults`] has them. All
//!   end before a run does.
//!
//! # Determinism
//!
//! One seed gives one trace, as long as a system uses no clock but the simulated one, no randomness
//! but [`Process::random`], no thread, and does not let the order of a hash map decide anything.
//! [`Harness::search`] runs every tenth seed twice and reports `nondeterminism` where the traces
//! differ. `tokio::select!` chooses by the seed only if everything is built with
//! `--cfg tokio_unstable`, as this repository's `.cargo/config.toml` has it.
//!
//! A panic of a process is a violation, `panicked`, and ends the run.
//!
//! A pause holds all that runs within [`System::start`] and [`System::act`], and what arrives at
//! its connections; tasks that they spawn go on.

mod args;
mod gate;
mod harness;
mod history;
mod nemesis;
mod page;
mod process;
mod random;
mod schedule;
mod setup;
mod shrink;
mod world;

use std::fmt;

pub use crate::{
    plan::{Fault, FaultClass, FaultKind},
    record::{Detection, Outcomes},
    world::SimConnection as Connection,
};
pub use args::Args;
pub use haechi_history::check::CheckError;
pub use harness::{Harness, Report, Summary};
pub use history::{Call, Failure, Run, Violation};
pub use process::Process;
pub use random::Random;
pub use redis_sim::{Keyspace, Reply};
pub use schedule::{Event, Kept, Schedule, What};
pub use setup::Setup;
pub use shrink::Shrunk;

/// A system under test.
pub trait System: 'static {
    /// What a process can be asked to do, as data. `Debug` is how it is shown, best in a few words.
    type Operation: Clone + fmt::Debug;
    /// What it answers.
    type Answer: Clone + fmt::Debug;
    /// What a process has in memory: made by [`System::start`], gone when it is killed.
    type Client;

    /// How large a run is, and which faults strike.
    fn setup(&self) -> Setup {
        Setup::default()
    }

    /// Draws an operation.
    fn draw(&self, random: &mut Random) -> Self::Operation;

    /// A process starts, for the first time or after it was killed.
    fn start(&self, process: Process) -> impl Future<Output = Self::Client>;

    /// A process carries out an operation.
    ///
    /// # Errors
    ///
    /// Says whether it was [not applied](Failure::NotApplied), for certain and for ever, or whether
    /// that is [unknown](Failure::Unknown); errors of the client become unknown by `?`.
    fn act(
        &self,
        client: &mut Self::Client,
        operation: Self::Operation,
    ) -> impl Future<Output = Result<Self::Answer, Failure>>;

    /// Whether what happened is right: by [`Run::linearizable`] with a sequential model, or by any
    /// other look at the calls and at what is on the servers.
    ///
    /// # Errors
    ///
    /// It cannot be decided. That is reported as an error of the harness, not as a violation.
    fn check(&self, run: &Run<Self>) -> Result<Vec<Violation>, CheckError>;
}
