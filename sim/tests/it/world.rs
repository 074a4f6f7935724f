//! Whole worlds: determinism first, then their results.

use std::collections::BTreeSet;

use haechi_history::{Function, Outcome, check::Invariant};
use haechi_sim::{
    mutants::Variant,
    plan::{FaultClass, FaultKind, Topology, Workload, WorldOptions},
    runner::{Summary, run_seeds},
    world::{self, Capture, WorldReport},
};
use strum::VariantArray;

const WORKLOADS: [Workload; 3] = [Workload::Audit, Workload::Vault, Workload::Mixed];

/// A world of the correct store, with its trace.
fn traced(seed: u64, workload: Workload) -> WorldReport {
    let options = WorldOptions {
        workload,
        ..WorldOptions::default()
    };
    let capture = Capture {
        trace: true,
        ..Capture::default()
    };
    world::run(seed, &options, Variant::Correct, capture)
}

/// Every other result depends on this one. Would catch hash map order, a wall
/// clock or an unseeded draw in a world; reports the first difference.
#[test]
fn a_one_seed_gives_one_trace() {
    for seed in 0..12 {
        let workload = WORKLOADS[seed as usize % 3];
        let [first, second] = [(); 2].map(|()| traced(seed, workload));
        for (number, (one, other)) in first.trace.iter().zip(&second.trace).enumerate() {
            assert_eq!(one, other, "seed {seed} differs at event {number}");
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert!(first.trace.len() > 100, "seed {seed} has a short trace");
    }
}

/// Would catch a trace that does not depend on the run, with which the test
/// above would always pass.
#[test]
fn two_seeds_give_two_traces() {
    for workload in WORKLOADS {
        let [one, other] = [1, 2].map(|seed| traced(seed, workload));
        assert_ne!(one.trace_hash, other.trace_hash);
    }
}

/// Would catch a false violation of the correct store, and a fault that is
/// drawn but never carried out. Worlds of both on one Redis are run by `cargo xtask test`.
#[test]
fn the_correct_store_has_no_violations_and_every_fault_strikes() {
    for (workload, seeds) in [(Workload::Audit, 200), (Workload::Vault, 140)] {
        let options = WorldOptions {
            workload,
            ..WorldOptions::default()
        };
        let mut summary = Summary::default();
        run_seeds(
            1000..1000 + seeds,
            2,
            5,
            &options,
            Variant::Correct,
            |report| {
                assert!(
                    report.world.run.is_ok(),
                    "{workload:?}: {:?}",
                    report.world.run
                );
                summary.add(&report);
                true
            },
        );
        assert_eq!(summary.unexercised(&options), [], "{workload:?}");
        assert!(
            !workload.has_chain() || summary.settled_by_reading > 0,
            "no outcome was found by reading back"
        );
        let vault = summary.vault_stats;
        assert!(
            !workload.has_vault()
                || vault.settled_by_receipt > 0
                    && vault.foreign_locked > 0
                    && vault.version_conflicts > 0,
            "the vault was not exercised: {vault:?}"
        );
        assert!(summary.outcomes.ok > summary.outcomes.fail + summary.outcomes.unknown);
    }
}

/// Would catch callers that never drop a future, or always too early or too
/// late to matter: without faults, only they leave an append or a mutation
/// unknown.
#[test]
fn cancelled_calls_are_applied_or_not() {
    let options = WorldOptions {
        faults: Vec::new(),
        ..WorldOptions::default()
    };
    let (mut applied, mut not_applied, mut tokenizings) = (0, 0, 0);
    for seed in 0..40 {
        let world = world::run(seed, &options, Variant::Correct, Capture::default());
        let history = &world.run.history;
        let chain = history.chain().unwrap();
        let unknown = history.operations().iter();
        for operation in unknown.filter(|op| matches!(op.outcome, Outcome::Unknown(_))) {
            match operation.f {
                Function::Append if chain.iter().any(|record| record.op == Some(operation.id)) => {
                    applied += 1;
                }
                Function::Append => not_applied += 1,
                _ => tokenizings += 1,
            }
        }
    }
    assert!(
        applied > 10 && not_applied > 10 && tokenizings > 10,
        "{applied} cancelled appends applied, {not_applied} not, {tokenizings} tokenizings"
    );
}

/// Would catch a class that strikes although it was excluded.
#[test]
fn only_the_given_classes_strike() {
    for class in FaultClass::VARIANTS.iter().copied() {
        let options = WorldOptions {
            faults: class.kinds().collect(),
            ..WorldOptions::default()
        };
        for seed in 0..5 {
            let world = world::run(seed, &options, Variant::Correct, Capture::default());
            let foreign: Vec<&FaultKind> = world
                .run
                .faults
                .keys()
                .filter(|kind| kind.class() != class)
                .collect();
            assert!(foreign.is_empty(), "{foreign:?} in a world of {class:?}");
        }
    }
}

/// For each invariant a planted bug, and a seed whose world reports that
/// invariant before any other.
const FIRST_REPORTED: &[(Invariant, Variant, u64)] = &[
    (Invariant::ChainIntegrity, Variant::NoFence, 0),
    (Invariant::Fork, Variant::UnknownAcknowledged, 1),
    (Invariant::LostAppend, Variant::NoAppendId, 2),
    (Invariant::DuplicateAppend, Variant::BlindRetry, 48),
    (Invariant::PhantomAppend, Variant::LostReplyNotApplied, 17),
    (Invariant::RealtimeOrder, Variant::IdentityInherited, 1),
    (Invariant::StaleRead, Variant::FirstPageKept, 2),
    (Invariant::LostToken, Variant::DeletesAfterSets, 0),
    (Invariant::ResurrectedToken, Variant::PurgedNameCut, 4),
    (Invariant::PartialDiff, Variant::DiffInTwoScripts, 0),
    (Invariant::StaleWrite, Variant::VaultNoFence, 1),
    (Invariant::UndecryptableToken, Variant::EnvelopeEndKept, 15),
    (Invariant::Unaudited, Variant::AuditElsewhere, 1),
    (Invariant::WrongPlaintext, Variant::CopiedRecordBelieved, 0),
    (Invariant::EarlyPurge, Variant::OwnClockRules, 0),
    (Invariant::QualityOfService, Variant::LockNotCompared, 0),
    (Invariant::Overload, Variant::NoAdmission, 0),
    (Invariant::NoProgress, Variant::CachedHeadKept, 0),
    (Invariant::FalseRollback, Variant::ReplicaBelieved, 0),
    (Invariant::SilentRollback, Variant::RollbackAccepted, 0),
    (Invariant::DeposedWrite, Variant::DeposedPrimaryKept, 0),
    (
        Invariant::WrongOutcome,
        Variant::VaultLostReplyNotApplied,
        43,
    ),
    (Invariant::Leak, Variant::PlaintextInEnvelope, 0),
    (Invariant::Nondeterminism, Variant::AmbientRandomness, 0),
];

/// Would catch a false violation behind Sentinels or in a cluster, a draw there that is not
/// seeded, and a way to Redis whose faults do not strike.
#[test]
fn sentinels_and_clusters_are_one_trace_a_seed_without_violations() {
    for (topology, faults) in [
        (Topology::Sentinel, vec!["sentinel_failover"]),
        (
            Topology::Cluster,
            vec!["cluster_failover", "slot_migration"],
        ),
    ] {
        let options = WorldOptions {
            topology: Some(topology),
            ..WorldOptions::default()
        };
        let mut summary = Summary::default();
        run_seeds(0..40, 2, 1, &options, Variant::Correct, |report| {
            assert!(report.world.run.is_ok(), "{:?}", report.world.run);
            summary.add(&report);
            true
        });
        for fault in faults {
            let strikes = summary.faults.iter();
            let count: u64 = strikes
                .filter(|(kind, _)| kind.name() == fault)
                .map(|(_, count)| count)
                .sum();
            assert!(count > 10, "{fault} struck {count} times");
        }
    }
}

/// Catches an invariant that no planted bug violates, or that another always
/// hides: nothing would show that its check can fail.
#[test]
fn every_invariant_is_the_first_reported_for_a_planted_bug() {
    let listed = FIRST_REPORTED.iter().map(|(invariant, ..)| invariant);
    let listed: BTreeSet<_> = listed.collect();
    assert_eq!(listed, Invariant::ALL.iter().collect());
    for (invariant, variant, seed) in FIRST_REPORTED {
        let mut first = BTreeSet::new();
        // The world of the seed, or one that follows if draws have changed.
        run_seeds(
            *seed..*seed + 100,
            2,
            variant.twice(),
            &variant.options(),
            *variant,
            |report| {
                let violation = report.world.run.violations.first();
                first.extend(violation.map(|violation| violation.invariant));
                !first.contains(invariant)
            },
        );
        assert!(
            first.contains(invariant),
            "from seed {seed} on, {variant} reports these first, but not {invariant}: {first:?}"
        );
    }
}
