//! An operator, who reads what processes say about the state of Redis, and sees to it
//! after a while, on the primary.
//!
//! A process that says *rolled back* is started again, without what it has seen: its
//! anchors and its file of what was seen are moved elsewhere. Where there are operators
//! with hosts of their own, they accept the loss first, by the store's own means. Then the
//! process goes on by itself, as it shares their keys, or is started again with the
//! acceptance; if it still says so a while later, it is started without what it has seen.
//! Keys of the chain that disagree are made from the list, as far as it goes, directly in
//! Redis; where there are such operators, only if the store's `Repair` refuses. A version
//! that was lost alone is set to the number that receipts count.

use std::collections::BTreeMap;

use haechi_store_redis::{
    chain::LostRange,
    redis::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use redis_sim::Reply;
use turmoil::Sim;

use super::{
    handle::WorldHandle,
    nemesis::Nemesis,
    operator_host::{Done, Job, operator_name},
};
use crate::{
    plan::{Knobs, OperatorKeys, OperatorKnobs, Workload, generator},
    record::{Complaint, Gone, Situation},
    workload::{Host, Left, operating::Repaired},
};

/// How long an operator takes, and a process to start again, in milliseconds.
const REACTION_MS: std::ops::RangeInclusive<u64> = 20..=200;
const START_MS: u64 = 10;
/// How long a process may go on saying that a loss is not accepted, once it was seen to, and
/// how long operators may take with it.
const PATIENCE_MS: u64 = 1500;
const LONGEST_TASK_MS: u64 = 10_000;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Stop this incarnation of a process.
    Stop(usize, u64),
    Start(usize),
    /// Accept what this incarnation of a process says is gone.
    Accept(usize, u64, Gone),
    /// Have this incarnation of a process accept what its vault has lost.
    AcceptVault(usize, u64),
    /// Stop it, and start it with the acceptance.
    Resume(usize, u64, Gone, LostRange),
    /// Have the chain repaired.
    Repair,
    MendChain,
    MendVault,
}

/// A loss of which a process complains, and which operators see to.
struct Case {
    process: usize,
    incarnation: u64,
    gone: Gone,
    /// Until when the process may complain of it.
    until: u64,
    /// How many operators have not seen to it yet.
    open: usize,
}

/// Sees to what processes complain about.
pub(super) struct Operator {
    rng: ChaCha8Rng,
    /// What is to be done, and when.
    tasks: Vec<(u64, Task)>,
    /// Operators with hosts of their own.
    knobs: Option<OperatorKnobs>,
    /// What is drawn for them.
    own_rng: ChaCha8Rng,
    cases: Vec<Case>,
    /// Until when a process, in one incarnation, may complain of a loss of its vault.
    vault_cases: BTreeMap<(usize, u64), u64>,
    /// How many operators are repairing the chain.
    repairs: usize,
    is_cut: bool,
    is_killed: bool,
    /// Whether more is lost of the chain, and of the vault.
    has_lost_more: [bool; 2],
    /// When the operator that was killed starts again.
    starts: Option<u64>,
}

impl Operator {
    pub(super) fn new(knobs: &Knobs) -> Self {
        Self {
            rng: generator(knobs.seed, "operator"),
            tasks: Vec::new(),
            knobs: knobs.operators.clone(),
            own_rng: generator(knobs.seed, "operators at work"),
            cases: Vec::new(),
            vault_cases: BTreeMap::new(),
            repairs: 0,
            is_cut: false,
            is_killed: false,
            has_lost_more: [false; 2],
            starts: None,
        }
    }

    /// What is to be done about a loss of which a process complains; `None` if that is
    /// under way.
    fn loss(&mut self, process: usize, incarnation: u64, gone: Gone, now: u64) -> Option<Task> {
        let is_same = |case: &&mut Case| {
            (case.process, case.incarnation, case.gone.seen) == (process, incarnation, gone.seen)
        };
        match self.cases.iter_mut().find(is_same) {
            Some(case) if now <= case.until => None,
            Some(_) => Some(Task::Stop(process, incarnation)),
            None => {
                self.cases.push(Case {
                    process,
                    incarnation,
                    gone,
                    until: now + LONGEST_TASK_MS,
                    open: self.knobs.as_ref().map_or(0, |knobs| knobs.operators),
                });
                Some(Task::Accept(process, incarnation, gone))
            }
        }
    }

    /// The same, about a loss of its vault.
    fn vault_loss(&mut self, process: usize, incarnation: u64, now: u64) -> Option<Task> {
        let stop = Task::Stop(process, incarnation);
        match self.vault_cases.get(&(process, incarnation)) {
            Some(until) if now <= *until => None,
            Some(_) => Some(stop),
            None => {
                let until = now + PATIENCE_MS;
                self.vault_cases.insert((process, incarnation), until);
                Some(match self.own_rng.random_ratio(1, 4) {
                    true => stop,
                    false => Task::AcceptVault(process, incarnation),
                })
            }
        }
    }

    /// Gives a job to every operator; returns how many there are.
    fn give(&self, world: &WorldHandle, job: Job) -> usize {
        let operators = self.knobs.as_ref().map_or(0, |knobs| knobs.operators);
        (0..operators).for_each(|operator| world.tasks(|tasks| tasks.add(operator, job)));
        operators
    }

    /// Goes on with the losses that operators have seen to.
    fn step_cases(&mut self, world: &WorldHandle, now: u64) {
        let Some(knobs) = &self.knobs else { return };
        for done in world.tasks(|tasks| std::mem::take(&mut tasks.done)) {
            let (gone, accepted) = match done {
                Done::Accepted(gone, accepted) => (gone, accepted),
                Done::Repaired(repaired) => {
                    self.repairs = self.repairs.saturating_sub(1);
                    match repaired {
                        Repaired::Agree => world.meets(Situation::ChainRepaired),
                        Repaired::Refused => self.tasks.push((now, Task::MendChain)),
                        Repaired::Open => {}
                    }
                    continue;
                }
                Done::VaultLossAccepted(process) => {
                    let incarnation = world.incarnation(process);
                    self.vault_cases.remove(&(process, incarnation));
                    continue;
                }
            };
            if accepted.is_some() {
                world.meets(Situation::LossAccepted);
            }
            let cases = self.cases.iter_mut();
            for case in cases.filter(|case| case.gone == gone && case.open > 0) {
                case.open -= 1;
                let Case {
                    process,
                    incarnation,
                    ..
                } = *case;
                if case.open > 0 {
                    continue;
                }
                let goes_on =
                    knobs.keys == OperatorKeys::Shared && knobs.sharing.contains(&process);
                let task = match accepted {
                    Some(_) if goes_on => None,
                    // Perhaps by the keys, which must not be enough.
                    Some(_) if self.own_rng.random_ratio(1, 4) => None,
                    Some(lost) if self.own_rng.random_ratio(3, 4) => {
                        Some(Task::Resume(process, incarnation, gone, lost))
                    }
                    _ => Some(Task::Stop(process, incarnation)),
                };
                case.until = now + PATIENCE_MS;
                self.tasks.extend(task.map(|task| (now, task)));
            }
        }
    }

    /// Cuts the connections of the first operator, kills it, and loses more, half-way.
    fn disturb(&mut self, sim: &mut Sim<'_>, world: &WorldHandle, nemesis: &mut Nemesis, now: u64) {
        let Some(knobs) = &self.knobs else { return };
        let (began, with_vault) = world.tasks(|tasks| (tasks.began, tasks.began_with_vault));
        let process = world.process_count();
        let is_after = |began: Option<u64>, after: Option<u64>| {
            began
                .zip(after)
                .is_some_and(|(began, after)| began + after <= now)
        };
        let is_due = |after| is_after(began, after);
        if is_due(knobs.cut_after) && !self.is_cut {
            self.is_cut = true;
            world.trace(|| "connections of an operator are cut".to_owned());
            world.command_faults(|faults| faults.cut_all_of(process));
        }
        if is_due(knobs.killed_after) && !self.is_killed {
            self.is_killed = true;
            world.trace(|| "an operator loses power".to_owned());
            world.power(process).cut();
            sim.crash(operator_name(0));
            world.power(process).restore();
            self.starts = Some(now + START_MS);
        }
        let halves = [(began, Workload::Audit), (with_vault, Workload::Vault)];
        for ((began, half), has_lost) in halves.into_iter().zip(&mut self.has_lost_more) {
            if is_after(began, knobs.lost_after) && !*has_lost && !world.is_healed() {
                *has_lost = true;
                nemesis.lose_also(world, now, half);
            }
        }
        if self.starts.is_some_and(|starts| starts <= now) {
            self.starts = None;
            sim.bounce(operator_name(0));
        }
    }

    /// Does what is due at `now`.
    pub(super) fn step(
        &mut self,
        sim: &mut Sim<'_>,
        world: &WorldHandle,
        nemesis: &mut Nemesis,
        now: u64,
    ) {
        self.disturb(sim, world, nemesis, now);
        self.step_cases(world, now);
        for (process, complaint) in world.take_complaints() {
            let incarnation = world.incarnation(process);
            let task = match complaint {
                Complaint::RolledBack(gone) if self.knobs.is_some() => {
                    match self.loss(process, incarnation, gone, now) {
                        Some(task) => task,
                        None => continue,
                    }
                }
                Complaint::VaultRolledBack if self.knobs.is_some() => {
                    match self.vault_loss(process, incarnation, now) {
                        Some(task) => task,
                        None => continue,
                    }
                }
                Complaint::RolledBack(_) | Complaint::VaultRolledBack => {
                    Task::Stop(process, incarnation)
                }
                Complaint::ChainDiverged if self.knobs.is_some() => match self.repairs {
                    0 => Task::Repair,
                    _ => continue,
                },
                Complaint::ChainDiverged => Task::MendChain,
                Complaint::VaultUnreadable => Task::MendVault,
            };
            if self.tasks.iter().all(|(_, other)| *other != task) {
                let due = now + self.rng.random_range(REACTION_MS);
                self.tasks.push((due, task));
            }
        }
        let (due, later) = self.tasks.drain(..).partition(|(due, _)| *due <= now);
        self.tasks = later;
        let due: Vec<(u64, Task)> = due;
        for (_, task) in due {
            match task {
                Task::Stop(process, incarnation) if world.incarnation(process) == incarnation => {
                    world.trace(|| format!("the operator restarts r{process}"));
                    nemesis.crash(sim, world, process, Left::Any);
                    // The last anchor counts as seen.
                    world.anchor_media(process).set_aside();
                    if let Some(seen) = world.seen_media(process) {
                        seen.set_aside();
                    }
                    world.set_accepted(process, None);
                    self.tasks.push((now + START_MS, Task::Start(process)));
                }
                Task::Accept(process, incarnation, gone)
                    if world.incarnation(process) == incarnation =>
                {
                    self.give(world, Job::Accept(gone));
                }
                Task::AcceptVault(process, incarnation)
                    if world.incarnation(process) == incarnation =>
                {
                    world.trace(|| format!("r{process} is to accept the loss of its vault"));
                    world.tasks(|tasks| {
                        tasks.vault_losses.insert((process, incarnation));
                        tasks.began_with_vault.get_or_insert(now);
                    });
                }
                Task::Repair => self.repairs = self.give(world, Job::Repair),
                Task::Resume(process, incarnation, gone, lost)
                    if world.incarnation(process) == incarnation =>
                {
                    world.trace(|| format!("r{process} is restarted, {lost} accepted"));
                    nemesis.crash(sim, world, process, Left::Any);
                    world.set_accepted(process, Some((gone.seen, lost)));
                    self.tasks.push((now + START_MS, Task::Start(process)));
                }
                Task::Stop(..) | Task::Accept(..) | Task::AcceptVault(..) | Task::Resume(..) => {}
                Task::Start(process) => nemesis.bounce(sim, world, process),
                Task::MendChain => mend_chain(world),
                Task::MendVault => mend_vault(world),
            }
        }
    }
}

/// Makes head and head:hash from the end of the list.
fn mend_chain(world: &WorldHandle) {
    let keys = AuditKeys::new(AuditPrefix::default());
    let last = world.ask(&["LINDEX", &keys.chain, "-1"]);
    let integrity = last.as_ref().and_then(|last| {
        let record: serde_json::Value = serde_json::from_slice(last).ok()?;
        let integrity = record.get("auditIntegrity")?;
        Some((
            integrity.to_string(),
            integrity.get("eventHash")?.as_str()?.to_owned(),
        ))
    });
    match integrity {
        Some((head, hash)) => {
            world.ask(&["SET", &keys.head, &head]);
            world.ask(&["SET", &keys.head_hash, &hash]);
        }
        None => {
            world.ask(&["DEL", &keys.head, &keys.head_hash]);
        }
    }
    world.trace(|| "the operator makes head and head:hash from the list".to_owned());
}

/// Sets the version to the number that receipts count, if it is below.
fn mend_vault(world: &WorldHandle) {
    let keys = VaultKeys::new(VaultPrefix::default());
    let number = |text: Option<Vec<u8>>| {
        let text = String::from_utf8(text.unwrap_or_default()).unwrap_or_default();
        text.parse::<u64>().unwrap_or(0)
    };
    let own = number(world.ask(&["HGET", &keys.receipts, "#own"]));
    if number(world.ask(&["GET", &keys.version])) < own {
        world.ask(&["SET", &keys.version, &own.to_string()]);
        world.trace(|| format!("the operator sets the version to {own}"));
    }
}

impl WorldHandle {
    /// Runs a command of the operator; returns the reply if it is a string.
    fn ask(&self, words: &[&str]) -> Option<Vec<u8>> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        match self.run(&words) {
            Some(Reply::Bulk(text)) => Some(text.to_vec()),
            _ => None,
        }
    }
}
