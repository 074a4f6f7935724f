//! Whole worlds: determinism first, then their results.

use std::collections::BTreeSet;

use haechi_history::{Function, Outcome, check::Invariant};
use haechi_sim::{
    mutants::Variant,
    plan::{FaultClass, FaultKind, Topology, Workload, WorldOptions},
    runner::run_seeds,
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
    (Invariant::DuplicateAppend, Variant::BlindRetry, 77),
    (Invariant::PhantomAppend, Variant::LostReplyNotApplied, 29),
    (Invariant::RealtimeOrder, Variant::IdentityInherited, 1),
    (Invariant::StaleRead, Variant::FirstPageKept, 3),
    (Invariant::LostToken, Variant::DeletesAfterSets, 27),
    (Invariant::ResurrectedToken, Variant::PurgedNameCut, 5),
    (Invariant::PartialDiff, Variant::DiffInTwoScripts, 6),
    (Invariant::StaleWrite, Variant::VaultNoFence, 1),
    (Invariant::UndecryptableToken, Variant::EnvelopeEndKept, 58),
    (Invariant::Unaudited, Variant::AuditElsewhere, 1),
    (Invariant::WrongPlaintext, Variant::CopiedRecordBelieved, 60),
    (Invariant::EarlyPurge, Variant::OwnClockRules, 4),
    (Invariant::QualityOfService, Variant::LockNotCompared, 5),
    (Invariant::Overload, Variant::NoAdmission, 15),
    (Invariant::NoProgress, Variant::CachedHeadKept, 0),
    (Invariant::FalseRollback, Variant::ReplicaBelieved, 6),
    (Invariant::SilentRollback, Variant::RollbackAccepted, 1),
    (Invariant::DeposedWrite, Variant::DeposedPrimaryKept, 0),
    (
        Invariant::WrongOutcome,
        Variant::VaultLostReplyNotApplied,
        80,
    ),
    (Invariant::Leak, Variant::PlaintextInEnvelope, 1),
    (Invariant::Nondeterminism, Variant::AmbientRandomness, 0),
];

/// Would catch a false violation of the correct store, and a draw that is not seeded, on each
/// way to Redis. `cargo xtask test` runs many more worlds, and sees that every fault strikes.
#[test]
fn the_correct_store_has_no_violations_and_one_trace_a_seed() {
    for topology in [Topology::Server, Topology::Sentinel, Topology::Cluster] {
        let options = WorldOptions {
            topology: Some(topology),
            ..WorldOptions::default()
        };
        run_seeds(0..12, 2, 1, &options, Variant::Correct, |report| {
            assert!(report.world.run.is_ok(), "{:?}", report.world.run);
            true
        });
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
