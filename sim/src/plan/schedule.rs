//! A schedule: the knobs, faults and operations of a world. Drawn during the
//! run are only the network's jitter, identities, and which commands a fault
//! strikes at random.

use super::{Knobs, Operation, WorldOptions, generator};

/// What a world does.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its knobs, the faults among them.
    pub knobs: Knobs,
    /// The operations of each process, in the order in which its callers take
    /// them; the next free caller takes the next one.
    pub operations: Vec<Vec<Operation>>,
}

impl Schedule {
    /// Draws what the world of a seed does.
    #[must_use]
    pub fn draw(seed: u64, options: &WorldOptions) -> Self {
        let knobs = Knobs::draw(seed, options);
        let operations = (0..knobs.processes())
            .map(|process| drawn(&knobs, process).collect())
            .collect();
        Self { knobs, operations }
    }

    /// How many operations there are.
    #[must_use]
    pub fn operation_count(&self) -> usize {
        self.operations.iter().map(Vec::len).sum()
    }

    /// Faults and operations together; the proof of progress counts as one
    /// operation of each replica.
    #[must_use]
    pub fn events(&self) -> usize {
        let settling = if self.knobs.settles {
            self.knobs.replicas
        } else {
            0
        };
        self.knobs.faults.len() + self.operation_count() + settling
    }
}

/// Draws the operations of one process, lazily.
pub(crate) fn drawn(knobs: &Knobs, process: usize) -> impl Iterator<Item = Operation> + use<> {
    let mut rng = generator(knobs.seed, &format!("operations of r{process}"));
    let knobs = knobs.clone();
    (0..knobs.ops_of(process)).map(move |_| Operation::draw(&mut rng, &knobs, process))
}
