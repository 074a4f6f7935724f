//! A schedule: everything that a world is to do, spelled out: its knobs, its
//! faults, and every operation of every process. Only what nobody wants to
//! read stays drawn from a seed: the network's jitter, identities, and which
//! commands the weather strikes.
//!
//! A schedule knows nothing of how it is carried out, or of how it is cut
//! down.

mod document;
mod operation;

pub use document::{Document, Unreadable};
pub use operation::{Act, Change, Operation};

use crate::world::{Config, WorldOptions, generator};

/// What a world is to do.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its knobs, and the faults.
    pub config: Config,
    /// The operations of each process, in the order in which its callers take
    /// them; whichever caller is free takes the next.
    pub operations: Vec<Vec<Operation>>,
}

impl Schedule {
    /// Draws what the world of a seed does.
    #[must_use]
    pub fn draw(seed: u64, options: &WorldOptions) -> Self {
        let config = Config::draw(seed, options);
        let operations = (0..config.processes())
            .map(|process| drawn(&config, process).collect())
            .collect();
        Self { config, operations }
    }

    /// How many operations there are.
    #[must_use]
    pub fn operation_count(&self) -> usize {
        self.operations.iter().map(Vec::len).sum()
    }

    /// Faults and operations together. Where every process has to show at the
    /// end that it gets on, that is an operation of each.
    #[must_use]
    pub fn events(&self) -> usize {
        let settling = if self.config.settles {
            self.config.replicas
        } else {
            0
        };
        self.config.plan.len() + self.operation_count() + settling
    }
}

/// Draws the operations of one process, as they are taken.
pub(crate) fn drawn(config: &Config, process: usize) -> impl Iterator<Item = Operation> + use<> {
    let mut rng = generator(config.seed, &format!("operations of r{process}"));
    let config = config.clone();
    (0..config.ops_of(process)).map(move |_| Operation::draw(&mut rng, &config, process))
}
