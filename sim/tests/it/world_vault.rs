//! Worlds with a vault: what must hold beside the verdict.

use haechi_history::{History, Operation, Outcome};
use haechi_sim::{
    fault::FaultClass,
    mutants::Variant,
    runner::run_seed,
    world::{Workload, WorldOptions},
};

fn vault(faults: &[FaultClass]) -> WorldOptions {
    WorldOptions {
        workload: Workload::Vault,
        faults: faults.to_vec(),
        ..WorldOptions::default()
    }
}

fn foreign(history: &History) -> impl Iterator<Item = &Operation> {
    history
        .operations()
        .iter()
        .filter(|operation| history.is_foreign(operation.process))
}

/// Catches a replica that crowds out one that follows the reference's
/// protocol: by ignoring its lock, by holding the lock itself, or by moving
/// the version 65 times in a row.
#[test]
fn foreign_writers_never_fail_in_a_quiet_world() {
    let mut acknowledged = 0;
    for seed in 0..40 {
        let world = run_seed(seed, &vault(&[]), Variant::Correct).world;
        assert!(
            world.violations.is_empty(),
            "seed {seed}: {:?}",
            world.violations
        );
        for operation in foreign(&world.history) {
            assert!(
                matches!(operation.outcome, Outcome::Mutated(_)),
                "seed {seed}: {operation:?}"
            );
            acknowledged += 1;
        }
    }
    assert!(acknowledged > 100, "only {acknowledged} foreign mutations");
}

/// Tokens that nobody else deletes, deleted: only expiry does that.
fn expired(history: &History) -> usize {
    let mutations = history.operations().iter().filter_map(|operation| {
        let Outcome::Mutated(number) = operation.outcome else {
            return None;
        };
        Some(history.mutation(number))
    });
    mutations
        .flat_map(|mutation| &mutation.writes)
        .filter(|(token, value)| value.is_none() && history.text(*token).starts_with("own-"))
        .count()
}

/// Catches a clock jump that changes nothing: tokens live for half a day at
/// least, and a world lasts for seconds.
#[test]
fn tokens_expire_when_and_only_when_clocks_jump() {
    let count = |faults: &[FaultClass]| -> usize {
        (0..12)
            .map(|seed| run_seed(seed, &vault(faults), Variant::Correct).world)
            .map(|world| expired(&world.history))
            .sum()
    };
    assert_eq!(count(&[]), 0);
    assert!(count(&[FaultClass::Replica]) > 0);
}

/// Catches a history that hears only of the good ends: without failures and
/// open ends a checker has nothing to doubt, and without versions nothing to
/// order by.
#[test]
fn every_end_of_a_mutation_is_told() {
    let (mut ok, mut open, mut unknown, mut idle) = (0, 0, 0, 0);
    for seed in 0..30 {
        let world = run_seed(seed, &vault(&FaultClass::ALL), Variant::Correct).world;
        for operation in world.history.operations() {
            match operation.outcome {
                Outcome::Mutated(number) => {
                    let mutation = world.history.mutation(number);
                    if mutation.writes.is_empty() {
                        idle += 1;
                    } else {
                        assert!(mutation.version.is_some(), "seed {seed}: {operation:?}");
                        ok += 1;
                    }
                }
                Outcome::Unknown(Some(_)) => unknown += 1,
                Outcome::Unknown(None) => open += 1,
                _ => {}
            }
        }
    }
    assert!(
        ok > 1000 && idle > 100 && unknown > 10 && open > 5,
        "{ok} applied, {idle} without changes, {unknown} of known and {open} of unknown intent"
    );
}
