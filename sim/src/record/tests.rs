//! Harness errors are not reported as violations.

use std::{collections::BTreeMap, time::Duration};

use haechi_history::{ChainRead, Function, OpId, Outcome};
use redis_sim::Reply;

use super::{HarnessError, Log, RunRecorder, RunReport, Verdict, evaluate};
use crate::{
    command::Exit,
    plan::{Knobs, Workload, WorldOptions},
};

/// The report of a run with only what `record` records.
fn report(record: impl FnOnce(&RunRecorder)) -> RunReport {
    let options = WorldOptions {
        workload: Workload::Vault,
        ..WorldOptions::default()
    };
    let knobs = Knobs::draw(1, &options);
    let recorder = RunRecorder::new(Log::new(false), [super::Source::Listed(Vec::new())]);
    recorder.log().set_now(Duration::from_secs(1));
    record(&recorder);
    let mut query = |_: &[&str]| Reply::Nil;
    evaluate(&recorder, &mut query, &knobs, BTreeMap::new(), None).report
}

/// Would catch an attempt outside of any call that is ignored, or reported as a
/// violation.
#[test]
fn a_stray_attempt_is_a_harness_error() {
    let report = report(|recorder| recorder.in_call(None, |_| {}));
    assert_eq!(report.harness_errors, [HarnessError::StrayAttempts(1)]);
    assert_eq!(report.violations, []);
    assert_eq!(report.verdict(), Verdict::HarnessError);
    assert_eq!(Exit::from(report.verdict()), Exit::Error);
}

/// Would catch a malformed recording that is ignored, or reported as a
/// violation.
#[test]
fn a_malformed_recording_is_a_harness_error() {
    let report = report(|recorder| {
        let read = Outcome::Chain(ChainRead { hashes: Vec::new() });
        recorder.end(0, OpId(7), read, None, String::new);
    });
    assert!(
        matches!(report.harness_errors[..], [HarnessError::Malformed(_)]),
        "{:?}",
        report.harness_errors
    );
    assert_eq!(report.violations, []);
}

/// Would catch a harness error for a valid recording.
#[test]
fn a_run_of_nothing_is_ok() {
    let report = report(|recorder| {
        let op = recorder.invoke(0, "r0", Function::Read, None);
        recorder.end(0, op.unwrap(), Outcome::Failed(None), None, String::new);
    });
    assert_eq!(report.harness_errors, []);
    assert!(report.is_ok(), "{:?}", report.violations);
}
