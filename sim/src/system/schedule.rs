//! The schedule of one run: every operation and every fault, drawn from the seed before it begins,
//! so that a part can be left out and the rest stays.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use rand::{Rng, RngExt};

use super::{Random, Setup, System, setup::millis};
use crate::{
    plan::{Fault, FaultKind, generator},
    record::replica_name,
};

/// The longest that a packet takes without a fault, in milliseconds.
const LATENCY_MS: u64 = 15;

/// What happens in one run.
#[derive(Clone, Debug)]
pub struct Schedule<O> {
    /// The seed that it was drawn from.
    pub seed: u64,
    /// How many processes there are.
    pub processes: usize,
    /// Operations and faults, in the order of their times.
    pub events: Vec<Event<O>>,
}

/// An operation or a fault.
#[derive(Clone, Debug)]
pub struct Event<O> {
    /// Its number among all that were drawn, from 1; that of an operation is its call's.
    pub number: usize,
    /// What it is.
    pub what: What<O>,
}

/// What an event is.
#[derive(Clone, Debug)]
pub enum What<O> {
    /// A process carries out an operation.
    Operation {
        /// When, in milliseconds, or once the one before it has ended.
        at: u64,
        /// Which process.
        process: usize,
        /// What it does.
        operation: O,
    },
    /// A fault strikes.
    Fault {
        /// What, when, whom, and how strong.
        fault: Fault,
        /// The server, or the server at the other end; `None` for all of them, and for faults of a
        /// process alone.
        server: Option<usize>,
    },
}

impl<O> Event<O> {
    /// When it begins, in milliseconds.
    #[must_use]
    pub fn at(&self) -> u64 {
        match &self.what {
            What::Operation { at, .. } => *at,
            What::Fault { fault, .. } => fault.at,
        }
    }

    pub(super) fn at_mut(&mut self) -> &mut u64 {
        match &mut self.what {
            What::Operation { at, .. } => at,
            What::Fault { fault, .. } => &mut fault.at,
        }
    }

    /// Whether it is a fault.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(self.what, What::Fault { .. })
    }
}

impl<O: Clone + fmt::Debug> Schedule<O> {
    /// Draws the schedule of a seed.
    pub(super) fn draw<S: System<Operation = O>>(system: &S, setup: &Setup, seed: u64) -> Self {
        let mut rng = generator(seed, "system");
        let processes = pick(&mut rng, &setup.processes).max(1);

        let (kinds, scale) = (setup.kinds(), setup.scale());
        let mut faults = generator(seed, "faults");
        let mut drawn = Fault::draw_some(&mut faults, &kinds, processes, scale);
        let mut losses = generator(seed, "losses");
        drawn.extend(Fault::draw_losses(&mut losses, &kinds, processes, scale));
        let mut servers = generator(seed, "servers");
        let mut events: Vec<What<O>> = drawn
            .into_iter()
            .map(|fault| draw_server(&mut servers, setup, fault))
            .collect();

        for process in 0..processes {
            let name = replica_name(process);
            let mut random = Random::new(generator(seed, &format!("operations of {name}")));
            for _ in 0..pick(&mut rng, &setup.operations) {
                events.push(What::Operation {
                    at: random.below(millis(setup.span)),
                    process,
                    operation: system.draw(&mut random),
                });
            }
        }
        let mut events: Vec<_> = events
            .into_iter()
            .map(|what| Event { number: 0, what })
            .collect();
        events.sort_by_key(Event::at);
        for (place, event) in events.iter_mut().enumerate() {
            event.number = place + 1;
        }
        Self {
            seed,
            processes,
            events,
        }
    }

    /// The same with only these events, which need not be in order.
    #[must_use]
    pub fn with(&self, mut events: Vec<Event<O>>) -> Self {
        events.sort_by_key(|event| (event.at(), event.number));
        Self {
            events,
            ..self.clone()
        }
    }

    /// The same with only these events, at these times.
    #[must_use]
    pub fn keep(&self, kept: &[Kept]) -> Self {
        let kept = kept.iter().filter_map(|kept| {
            let mut events = self.events.iter();
            let mut event = events.find(|event| event.number == kept.number)?.clone();
            if let Some(begins) = kept.at {
                *event.at_mut() = begins;
            }
            Some(event)
        });
        self.with(kept.collect())
    }

    /// What is to be kept of the whole schedule of the seed to have this one.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        let kept = self.events.iter().map(|event| Kept {
            number: event.number,
            at: Some(event.at()),
        });
        kept.collect()
    }
}

/// An event that is kept of a schedule; as text `3` or, at another time, `3@120`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub number: usize,
    /// When it begins, in milliseconds, if not when it was drawn to.
    pub at: Option<u64>,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        self.at.map_or(Ok(()), |at| write!(f, "@{at}"))
    }
}

impl FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, at) = match text.split_once('@') {
            Some((number, at)) => (number.parse().ok(), at.parse().ok().map(Some)),
            None => (text.parse().ok(), Some(None)),
        };
        let kept = number.zip(at).map(|(number, at)| Self { number, at });
        kept.ok_or_else(|| format!("{text:?} is neither as 3 nor as 3@120"))
    }
}

/// A fault, with the server that it strikes, or to which it strikes the link: one in three times
/// that to all.
fn draw_server<O>(rng: &mut impl Rng, setup: &Setup, mut fault: Fault) -> What<O> {
    let one = rng.random_range(0..setup.servers.max(1));
    let server = match fault.kind {
        FaultKind::ProcessFault(_) => None,
        FaultKind::LinkFault(_) if rng.random_ratio(1, 3) => None,
        _ => Some(one),
    };
    // Which command it strikes does not change as others are left out.
    fault.once = fault.kind.strikes_commands();
    What::Fault { fault, server }
}

fn pick(rng: &mut impl Rng, range: &RangeInclusive<usize>) -> usize {
    if range.is_empty() {
        return *range.start();
    }
    rng.random_range(range.clone())
}

/// How long a packet takes between a process and a server where no fault delays it. It is constant,
/// so that nothing else changes where an event is left out.
pub(super) fn latency(seed: u64, process: usize, server: usize) -> Duration {
    let purpose = format!("latency {process} {server}");
    Duration::from_millis(generator(seed, &purpose).random_range(1..=LATENCY_MS))
}

/// The name of a server.
pub(super) fn server_name(server: usize) -> String {
    format!("redis{server}")
}

/// A fault in words.
pub(super) fn describe(fault: &Fault, server: Option<usize>) -> String {
    let server = server.map_or_else(String::new, |server| format!(" at {}", server_name(server)));
    format!("{fault}{server}")
}

impl<O: fmt::Debug> fmt::Display for Event<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}", self.number)?;
        match &self.what {
            What::Operation {
                at,
                process,
                operation,
            } => {
                let name = replica_name(*process);
                write!(f, " {at:>6} ms               {operation:?} by {name}")
            }
            What::Fault { fault, server } => write!(f, " {}", describe(fault, *server)),
        }
    }
}

impl<O: fmt::Debug> fmt::Display for Schedule<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, event) in self.events.iter().enumerate() {
            let end = if place > 0 { "\n" } else { "" };
            write!(f, "{end}{event}")?;
        }
        Ok(())
    }
}
