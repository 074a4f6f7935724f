//! The program's commands, one file each.

pub mod check;
pub mod diff;
pub mod documents;
mod ending;
pub mod merge;
pub mod mutants;
mod progress;
pub mod replay;
mod report;
pub mod run;
pub mod serve;
pub mod shrink;
mod source;
pub mod torture;

use std::ops::RangeInclusive;

use clap::{Args, builder::TypedValueParser, value_parser};

use crate::{
    mutants::Variant,
    plan::{Faults, Topology, Workload, WorldOptions},
    record::Verdict,
};

/// How a command ends; the program's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and nothing is wrong.
    Success = 0,
    /// A negative result: a violation, a planted bug that survived, traces that
    /// differ.
    Violation = 1,
    /// A usage or I/O error, or an error of the harness itself.
    Error = 2,
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Success,
            Verdict::Violation => Self::Violation,
            Verdict::HarnessError => Self::Error,
        }
    }
}

/// A number of this range.
fn within(range: RangeInclusive<u64>) -> impl TypedValueParser<Value = usize> {
    value_parser!(u64)
        .range(range)
        .map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// The parameters of a world besides its seed.
#[derive(Args, Clone, Debug)]
pub struct WorldArgs {
    /// Replicas in a world; drawn from 2 to 5 if not given
    #[arg(long, value_name = "N", value_parser = within(1..=64))]
    pub replicas: Option<usize>,
    /// Operations a replica
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = within(0..=10_000))]
    pub ops: usize,
    /// What the replicas do: append to the chain, change the vault, or both on
    /// one Redis
    #[arg(
        long,
        value_name = "audit|vault|mixed",
        default_value = "mixed",
        hide_possible_values = true
    )]
    pub workload: Workload,
    /// Faults that strike: none, all, or a list of classes (network, replica,
    /// lock, redis, data_loss) and of single faults by the names in reports
    #[arg(long, value_name = "none|all|CLASS,…", default_value = "all")]
    pub faults: Faults,
    /// Callers that the first replica has at once at its begin, on a server whose scripts take
    /// time; such a world has no faults. Drawn if not given, in one world of 40
    #[arg(long, value_name = "N", value_parser = within(0..=1_000_000))]
    pub load: Option<usize>,
    /// Tokens that a vault has before its world begins, at most 99000, in worlds without
    /// --load; no data is lost in such a world, and no process follows the reference's
    /// protocol. Drawn if not given: in one world of 300 a large vault, of 10000 or more
    #[arg(long, value_name = "N", value_parser = within(0..=99_000))]
    pub loaded: Option<usize>,
    /// The way to Redis in worlds without --load and --loaded: server, sentinel or cluster.
    /// Drawn if not given: one server in four worlds of five
    #[arg(long, value_name = "WAY", hide_possible_values = true)]
    pub topology: Option<Topology>,
    /// The store that is tested: correct, or one with a planted bug (see mutants)
    #[arg(long, value_name = "correct|VARIANT", default_value = "correct")]
    pub store: Variant,
}

impl WorldArgs {
    /// The options of a world.
    #[must_use]
    pub fn options(&self) -> WorldOptions {
        WorldOptions {
            replicas: self.replicas,
            ops: self.ops,
            workload: self.workload,
            faults: self.faults.0.clone(),
            load: self.load,
            loaded: self.loaded,
            topology: self.topology,
            ..WorldOptions::default()
        }
    }

    /// Whether these are the defaults of `run`.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.store == Variant::Correct && self.options() == WorldOptions::default()
    }

    /// The arguments that give a command the same options.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = String::new();
        if let Some(replicas) = self.replicas {
            words += &format!(" --replicas {replicas}");
        }
        words += &format!(" --ops {} --workload {}", self.ops, self.workload);
        let faults = self.faults.to_string();
        if faults != "all" {
            words += &format!(" --faults {faults}");
        }
        if let Some(loaded) = self.loaded {
            words += &format!(" --loaded {loaded}");
        }
        if let Some(topology) = self.topology {
            words += &format!(" --topology {}", <&str>::from(topology));
        }
        if let Some(load) = self.load {
            words += &format!(" --load {load}");
        }
        if self.store != Variant::Correct {
            words += &format!(" --store {}", self.store);
        }
        words
    }
}
