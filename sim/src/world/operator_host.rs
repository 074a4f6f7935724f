//! The host of an operator: a process of its own, which reaches Redis as replicas do, and
//! sees to what it is given to do by the store's own means.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use haechi_store_redis::{
    Builder,
    chain::LostRange,
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
};

use super::{
    clock::{SeededEntropy, SimClock, sleep},
    handle::WorldHandle,
};
use crate::{
    mutants::StoreUnderTest,
    plan::{Knobs, OperatorKeys},
    record::Gone,
    workload::{
        Host,
        operating::{KnownEntropy, Repaired, accept, repair},
    },
};

/// How often one looks whether there is something to do.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// The host of an operator.
pub(super) fn operator_name(number: usize) -> String {
    format!("operator{number}")
}

/// What an operator has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Accept what a process says is gone.
    Accept(Gone),
    /// Repair the chain whose keys disagree.
    Repair,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// What was accepted, if anything was.
    Accepted(Gone, Option<LostRange>),
    Repaired(Repaired),
    /// A process has accepted what its vault has lost.
    VaultLossAccepted(usize),
}

/// What is to be done by operators, and what was.
#[derive(Default)]
pub(super) struct Tasks {
    /// Of each operator, in order; the first is under way.
    open: BTreeMap<usize, VecDeque<Job>>,
    /// Since when the first operator works, and since when a process accepts what its vault
    /// has lost, in milliseconds.
    pub(super) began: Option<u64>,
    pub(super) began_with_vault: Option<u64>,
    /// The processes that are to accept what their vaults have lost, and in which incarnation.
    pub(super) vault_losses: BTreeSet<(usize, u64)>,
    pub(super) done: Vec<Done>,
}

impl Tasks {
    pub(super) fn add(&mut self, operator: usize, job: Job) {
        self.open.entry(operator).or_default().push_back(job);
    }

    fn first(&self, operator: usize) -> Option<Job> {
        self.open.get(&operator)?.front().copied()
    }

    fn end(&mut self, operator: usize, done: Done) {
        self.open.get_mut(&operator).and_then(VecDeque::pop_front);
        self.done.push(done);
    }
}

/// Works for as long as the world lasts; after a loss of power it begins again with what
/// was under way.
pub(super) async fn run(world: WorldHandle, knobs: Knobs, number: usize, store: StoreUnderTest) {
    let Some(operators) = &knobs.operators else {
        return;
    };
    loop {
        let Some(job) = world.tasks(|tasks| tasks.first(number)) else {
            sleep(POLL).await;
            continue;
        };
        if number == 0 {
            let now = u64::try_from(world.now().as_millis()).unwrap_or(u64::MAX);
            world.tasks(|tasks| _ = tasks.began.get_or_insert(now));
        }
        let process = world.process_count() + number;
        let times = store.sentinel_times(knobs.sentinel_times());
        let connect = store.connect(world.connect(process, times));
        let (clock, deadline) = (world.clock(process), Duration::from_millis(knobs.deadline));
        let entropy = |op| KnownEntropy {
            entropy: world.entropy(&format!("operator op {op}")),
            recorder: (*world).clone(),
            op,
        };
        let builder = |op| {
            Builder::new()
                .clock(clock.clone())
                .entropy(entropy(op))
                .lock(knobs.lock_policy())
                .timeouts(knobs.store_timeouts())
                .durability(knobs.store_durability())
                .deadline(deadline)
        };
        let done = match job {
            Job::Accept(gone) => {
                let keys = match operators.keys {
                    OperatorKeys::Shared => keys(&world, process, world.keys(0).0).await,
                    OperatorKeys::Foreign => keys(&world, process, MemoryKeys::new()).await,
                    OperatorKeys::None => None,
                };
                let is_shared = operators.keys == OperatorKeys::Shared;
                let keys = keys.map(|keys| (keys, is_shared));
                Done::Accepted(gone, accept(&world, builder, &connect, &gone, keys).await)
            }
            Job::Repair => {
                Done::Repaired(repair(&world, builder, entropy, &connect, &clock, deadline).await)
            }
        };
        world.tasks(|tasks| tasks.end(number, done));
    }
}

/// The keys in this storage, a new one if there is none.
async fn keys(
    world: &WorldHandle,
    process: usize,
    storage: MemoryKeys,
) -> Option<Arc<LocalKeys<MemoryKeys, SimClock, SeededEntropy>>> {
    let clock = world.clock(process);
    let entropy = world.entropy(&format!("keys of operator {process}"));
    // A process may have made one.
    let _ = manage::init(&storage, &clock, &entropy).await;
    let opened = LocalKeys::open(storage, clock, entropy, Counting::Persisted);
    opened.await.ok().map(Arc::new)
}
