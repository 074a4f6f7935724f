//! Worlds with a vault: properties besides the verdict.

use haechi_history::{Function, History, Operation, Outcome};
use haechi_sim::{
    mutants::Variant,
    plan::{FaultClass, Workload, WorldOptions},
    record::{Mark, RunReport, Situation},
    world::{self, Capture},
};
use strum::VariantArray;

/// The world of a seed, with a vault alone and faults of these classes.
fn run(seed: u64, faults: &[FaultClass]) -> RunReport {
    let options = WorldOptions {
        workload: Workload::Vault,
        faults: faults.iter().flat_map(|class| class.kinds()).collect(),
        ..WorldOptions::default()
    };
    world::run(seed, &options, Variant::Correct, Capture::default()).run
}

/// Would catch a record of the vault that is tied to no call, or to one that wrote no such record.
#[test]
fn records_of_the_vault_are_tied_to_their_calls() {
    let options = WorldOptions {
        workload: Workload::Mixed,
        ..WorldOptions::default()
    };
    let (mut tied, mut named) = (0, 0);
    for seed in 0..10 {
        let run = world::run(seed, &options, Variant::Correct, Capture::default()).run;
        let history = &run.history;
        for entry in history.chain().unwrap() {
            let Some(audit) = &entry.audit else { continue };
            let name = history.text(audit.operation);
            // That a loss is accepted is written by whoever goes on, outside of a call.
            if name.contains("rollback") {
                continue;
            }
            let op = audit
                .op
                .unwrap_or_else(|| panic!("seed {seed}: {entry:?} {name}"));
            let call = &history.operations()[history.index_of(op).unwrap()];
            assert!(
                call.f != Function::Append,
                "seed {seed}: {name} by {call:?}"
            );
            // What a call deletes, its first record names.
            let deletes = call
                .outcome
                .mutation()
                .into_iter()
                .flat_map(|it| &it.writes);
            let deleted: Vec<_> = deletes.filter(|(_, value)| value.is_none()).collect();
            let is_named = deleted
                .iter()
                .all(|(token, _)| audit.tokens.contains(token));
            assert!(
                is_named || name.ends_with("_failed"),
                "seed {seed}: {name} by {call:?}"
            );
            named += deleted.len();
            tied += 1;
        }
    }
    assert!(tied > 50 && named > 20, "{tied} {named}");
}

fn foreign(history: &History) -> impl Iterator<Item = &Operation> {
    history
        .operations()
        .iter()
        .filter(|operation| history.is_foreign(operation.process))
}

/// Would catch a replica that starves one that follows the reference's
/// protocol: by ignoring its lock, by keeping the lock, or by changing the
/// version 65 times in a row.
#[test]
fn foreign_writers_never_fail_in_a_quiet_world() {
    let mut acknowledged = 0;
    for seed in 0..40 {
        let run = run(seed, &[]);
        assert!(
            run.violations.is_empty(),
            "seed {seed}: {:?}",
            run.violations
        );
        for operation in foreign(&run.history) {
            assert!(
                matches!(operation.outcome, Outcome::Mutated(_)),
                "seed {seed}: {operation:?}"
            );
            acknowledged += 1;
        }
    }
    assert!(acknowledged > 100, "only {acknowledged} foreign mutations");
}

/// The number of deleted tokens that only expiry deletes.
fn expired(history: &History) -> usize {
    let mutations = history.operations().iter().filter_map(|operation| {
        operation
            .outcome
            .mutation()
            .filter(|_| operation.outcome.is_ok())
    });
    mutations
        .flat_map(|mutation| &mutation.writes)
        .filter(|(token, value)| value.is_none() && history.text(*token).starts_with("own-"))
        .count()
}

/// Would catch a clock jump without effect: tokens live at least half a day,
/// and a world takes seconds.
#[test]
fn tokens_expire_when_and_only_when_clocks_jump() {
    let count = |faults: &[FaultClass]| -> usize {
        (0..12)
            .map(|seed| expired(&run(seed, faults).history))
            .sum()
    };
    assert_eq!(count(&[]), 0);
    assert!(count(&[FaultClass::Replica]) > 0);
}

/// Would catch a history with only successful mutations: a checker needs
/// failures, unknown outcomes, and versions.
#[test]
fn every_outcome_of_a_mutation_is_recorded() {
    let (mut ok, mut open, mut unknown, mut idle) = (0, 0, 0, 0);
    for seed in 0..30 {
        let run = run(seed, FaultClass::VARIANTS);
        for operation in run.history.operations() {
            match &operation.outcome {
                Outcome::Mutated(mutation) => {
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

/// Would catch loaded tokens that the history, the checkers or the store do not know: a
/// vault of which nothing is read, listed in slices, or purged.
#[test]
fn a_loaded_vault_is_read_listed_and_purged() {
    let options = WorldOptions {
        workload: Workload::Vault,
        faults: Vec::new(),
        load: Some(0),
        loaded: Some(11_000),
        ..WorldOptions::default()
    };
    let world = world::run(0, &options, Variant::Correct, Capture::default());
    let run = world.run;
    assert!(
        run.violations.is_empty() && run.harness_errors.is_empty(),
        "{:?} {:?}",
        run.violations,
        run.harness_errors
    );
    for situation in [Situation::LargeVaultRead, Situation::ScanContinued] {
        let mark = Mark::Met(situation);
        assert!(world.marks.contains_key(&mark), "{situation:?}");
    }
    let history = &run.history;
    let (mut unused, mut reads, mut purged) = (0, 0, 0);
    for operation in history.operations() {
        let (read, written) = match &operation.outcome {
            Outcome::Mutated(mutation) => (&mutation.reads[..], &mutation.writes[..]),
            _ => continue,
        };
        reads += read.len();
        for (token, _) in read {
            unused += usize::from(history.text(*token) == "unused");
        }
        for (token, value) in written {
            let is_due = history.text(*token).starts_with("tok_due_");
            purged += usize::from(is_due && value.is_none());
        }
    }
    assert!(unused > 2 && reads < 20_000, "{unused} of {reads} reads");
    assert_eq!(purged, 300);
}
