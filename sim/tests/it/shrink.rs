//! Schedules: written, read, shrunk; and the corpus of those that once failed.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use haechi_sim::{
    mutants::Variant,
    plan::{Document, Schedule, Workload, WorldOptions},
    runner::run_seeds,
    shrink::{shrink, violates},
    world::{self, Capture},
};
use proptest::prelude::*;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn documents() -> Vec<(String, String, Document)> {
    let mut documents: Vec<_> = std::fs::read_dir(corpus())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let document = Document::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, text, document)
        })
        .collect();
    documents.sort_by(|one, other| one.0.cmp(&other.0));
    documents
}

/// Would catch a check that no longer finds its bug, and a false violation of
/// the correct store: every schedule here once failed with the store it names.
#[test]
fn the_corpus_fails_only_with_the_planted_bugs() {
    let mut sizes = Vec::new();
    let mut stores = BTreeSet::new();
    for (name, text, document) in documents() {
        let Document {
            store,
            violates: invariant,
            schedule,
        } = &document;
        assert_eq!(document.to_text().unwrap(), text, "{name}");
        let correct = world::carry_out(schedule, Variant::Correct, Capture::default());
        assert_eq!(correct.run.violations, [], "{name}");
        // Some are former false violations of the correct store.
        let Some(invariant) = *invariant else {
            assert_eq!(store, Variant::Correct.name(), "{name}");
            continue;
        };
        let broken = world::carry_out(schedule, store.parse().unwrap(), Capture::default());
        assert!(
            violates(&broken, invariant),
            "{name}: {store} does not violate {} any more: {:?}",
            invariant.name(),
            broken.run.violations
        );
        sizes.push(schedule.events());
        stores.insert(store.clone());
    }
    // Two runs of such a schedule differ, so there is none in the corpus.
    let planted: BTreeSet<_> = Variant::planted()
        .filter(|bug| bug.twice() == 0)
        .map(|bug| bug.name().to_owned())
        .collect();
    assert_eq!(stores, planted);
    sizes.sort_unstable();
    assert!(sizes[sizes.len() / 2] <= 10, "{sizes:?}");
}

/// Would catch a draw of a world that is not written to its schedule.
#[test]
fn a_written_schedule_gives_the_same_world() {
    for seed in 0..12 {
        let options = WorldOptions {
            workload: [Workload::Audit, Workload::Vault, Workload::Mixed][seed as usize % 3],
            ..WorldOptions::default()
        };
        let drawn = Document {
            store: Variant::Correct.name().to_owned(),
            violates: None,
            schedule: Schedule::draw(seed, &options),
        };
        let read = Document::parse(&drawn.to_text().unwrap()).unwrap();
        let [first, second] = [&drawn, &read].map(|document| {
            world::carry_out(&document.schedule, Variant::Correct, Capture::default())
        });
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
    }
}

/// Would catch a shrinker that stops early, and one whose result does not fail.
#[test]
fn three_planted_bugs_shrink_to_a_minimum() {
    for name in ["batch_cut_in_two", "purge_again", "lost_reply_not_applied"] {
        let variant: Variant = name.parse().unwrap();
        let options = variant.options();
        let mut failing = None;
        run_seeds(164..500, 2, 0, &options, variant, |report| {
            let found = report.world.run.violations.first();
            failing = found.map(|found| (report.world.run.seed, found.invariant));
            failing.is_none()
        });
        let (seed, invariant) = failing.unwrap();
        let drawn = Schedule::draw(seed, &options);
        let before = drawn.events();
        let shrunk = shrink(drawn, variant, invariant, 3000, &mut |_, _, _| {});
        assert!(!shrunk.is_exhausted, "{name}");
        let left = shrunk.schedule;
        assert!(
            left.events() <= 12,
            "{name}: {} of {before} events left",
            left.events()
        );
        let fails = |schedule: &Schedule| {
            violates(
                &world::carry_out(schedule, variant, Capture::default()),
                invariant,
            )
        };
        assert!(fails(&left), "{name}");
        for fault in 0..left.knobs.faults.len() {
            let mut less = left.clone();
            less.knobs.faults.remove(fault);
            assert!(!fails(&less), "{name} does not need fault {fault}");
        }
        for process in 0..left.operations.len() {
            for operation in 0..left.operations[process].len() {
                let mut less = left.clone();
                less.operations[process].remove(operation);
                assert!(
                    !fails(&less),
                    "{name} does not need operation {operation} of r{process}"
                );
            }
        }
    }
}

fn sim(words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_haechi-sim"))
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = [output.stdout, b"\n--- stderr\n".to_vec(), output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Would catch a change of the readable output of a schedule, a trace or a
/// state.
#[test]
fn a_shrunk_schedule_can_be_followed() {
    let file = "corpus/no_append_id.json";
    insta::assert_snapshot!(
        "shrunk_schedule",
        std::fs::read_to_string(corpus().join("no_append_id.json")).unwrap()
    );
    let (code, replayed) = sim(&["replay", file]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!("shrunk_replay", replayed);
    let events = replayed.lines().take_while(|line| !line.is_empty()).count();
    let (code, state) = sim(&["replay", file, "--until", &events.to_string()]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!("shrunk_state", state);
    let (code, parting) = sim(&["diff", file, file, "--with", "correct"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!("shrunk_diff", parting);
    assert_eq!(sim(&["diff", file, file]).0, Some(0));
}

/// Would catch a file that is accepted as a schedule, but is none.
#[test]
fn other_files_are_refused() {
    let (code, said) = sim(&["replay", "Cargo.toml"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("no schedule that haechi-sim can replay"),
        "{said}"
    );
    assert_eq!(sim(&["diff", "nowhere", "nowhere"]).0, Some(2));
    assert_eq!(
        sim(&["replay", "corpus/no_fence.json", "--until", "99999"]).0,
        Some(2)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Would catch a number in a file that crashes a world: a schedule is
    /// refused, or can be run.
    #[test]
    fn any_number_in_a_schedule_is_refused_or_carried_out(
        file in 0..23_usize,
        place: prop::sample::Index,
        number in prop_oneof![Just(0), Just(u64::MAX), 0..100_u64],
    ) {
        let documents = documents();
        let text = &documents[file % documents.len()].1;
        let digits: Vec<_> = text
            .char_indices()
            .filter(|(at, digit)| {
                digit.is_ascii_digit() && !text[..*at].ends_with(|before: char| before.is_ascii_alphanumeric())
            })
            .map(|(at, _)| at)
            .collect();
        let at = *place.get(&digits);
        let end = at + text[at..].find(|next: char| !next.is_ascii_digit()).unwrap();
        let changed = format!("{}{number}{}", &text[..at], &text[end..]);
        if let Ok(document) = Document::parse(&changed) {
            let _ = world::carry_out(&document.schedule, Variant::Correct, Capture::default());
        }
    }
}
