//! The checkers: golden histories, and the general search as their oracle.

#[allow(dead_code)] // The example's `main`.
#[path = "../../examples/big_history.rs"]
mod big_history;
mod generate;
mod generate_vault;

use std::fs;
use std::path::{Path, PathBuf};

use haechi_history::check::{CheckError, Invariant, Verdict, check, oracle};
use haechi_history::read;

fn golden(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/histories")
        .join(folder);
    let entries = fs::read_dir(&folder).expect("the golden histories are there");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "jsonl"))
        .collect();
    paths.sort();
    assert!(paths.len() > 10, "{} golden histories", paths.len());
    paths
}

fn verdict_of(path: &Path) -> Verdict {
    let text = fs::read(path).expect("a readable file");
    let history = read(&text[..]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    check(&history).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn valid_histories_have_no_violations() {
    for path in golden("valid") {
        let verdict = verdict_of(&path);
        assert!(verdict.is_ok(), "{}: {verdict:?}", path.display());
    }
}

/// Each invalid history has a sibling `.expect`: a line for each violation, its
/// invariant and its operations, in any order.
#[test]
fn invalid_histories_have_exactly_the_expected_violations() {
    let mut seen = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    for path in golden("invalid") {
        let expected = fs::read_to_string(path.with_extension("expect")).unwrap();
        let mut expected: Vec<String> = expected.lines().map(str::to_owned).collect();
        expected.sort();
        let verdict = verdict_of(&path);
        seen.extend(
            verdict
                .violations
                .iter()
                .map(|violation| violation.invariant),
        );
        let line = |violation: &haechi_history::check::Violation| {
            let ops: Vec<String> = violation.ops.iter().map(ToString::to_string).collect();
            format!("{} {}", violation.invariant, ops.join(","))
        };
        let mut found: Vec<String> = verdict.violations.iter().map(line).collect();
        found.sort();
        if found != expected {
            wrong.push(format!(
                "{}: {verdict:#?}, expected {expected:?}",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let shown = [
        Invariant::ChainIntegrity,
        Invariant::Fork,
        Invariant::LostAppend,
        Invariant::DuplicateAppend,
        Invariant::PhantomAppend,
        Invariant::RealtimeOrder,
        Invariant::StaleRead,
        Invariant::LostToken,
        Invariant::ResurrectedToken,
        Invariant::PartialDiff,
        Invariant::StaleWrite,
        Invariant::UndecryptableToken,
        Invariant::Unaudited,
        Invariant::WrongPlaintext,
        Invariant::EarlyPurge,
        Invariant::FalseRollback,
        Invariant::SilentRollback,
        Invariant::WrongOutcome,
    ];
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        shown,
        "each has failed at least once"
    );
}

#[test]
fn every_invariant_has_one_name() {
    for invariant in Invariant::ALL {
        assert_eq!(invariant.name().parse(), Ok(*invariant));
        let is_one_line = !invariant.describe().contains('\n');
        assert!(is_one_line && !invariant.describe().is_empty());
    }
    assert_eq!(Invariant::ChainIntegrity.name(), "chain_integrity");
}

#[test]
fn a_history_without_a_final_line_is_refused() {
    let of = |text: &str| check(&read(text.as_bytes()).unwrap());
    let mutate = "{\"time\":1,\"process\":\"r\",\"op\":1,\"type\":\"invoke\",\"f\":\"mutate\"}\n";
    let chain = "{\"type\":\"final\",\"chain\":[]}";
    assert_eq!(of(&format!("{mutate}{chain}")), Err(CheckError::NoTokens));
    let append = mutate.replace("mutate", "append");
    let tokens = "{\"type\":\"final\",\"tokens\":{}}";
    assert_eq!(of(&format!("{append}{tokens}")), Err(CheckError::NoChain));
    assert_eq!(of(tokens).map(|verdict| verdict.is_ok()), Ok(true));
}

/// The number of small histories on which the checkers are compared, or
/// HAECHI_HISTORIES (`cargo xtask soak` sets a million).
fn histories(usually: u64) -> u64 {
    let given = std::env::var("HAECHI_HISTORIES").ok();
    given.map_or(usually, |given| given.parse::<u64>().unwrap() / 2)
}

/// Compares the chain's checker with the general search. Would catch a
/// violation that is missed, and a false one.
#[test]
fn cross_check_of_the_chain() {
    for seed in 0..histories(4_000) {
        let mut generated = generate::History::valid(seed);
        for _ in 0..seed % 3 {
            generated.mutate();
        }
        let text = generated.text();
        let history = read(text.as_bytes()).unwrap();
        let verdict = check(&history).unwrap();
        let expected = oracle::is_one_log(&history).unwrap();
        assert_eq!(verdict.is_ok(), expected, "{seed}: {verdict:?}\n{text}");
        assert!(
            seed % 3 > 0 || expected,
            "{seed}: the generator is wrong\n{text}"
        );
    }
}

/// Compares the vault's checker with the general search. Would catch a
/// violation that is missed, and a false one where another assignment of the
/// missing versions is valid. With a mutate of unknown effect the checker is
/// lenient: then only false violations are errors.
#[test]
fn cross_check_of_the_vault() {
    let (mut valid, mut compared) = (0u64, 0u64);
    let histories = histories(15_000);
    for seed in 0..histories {
        let mut generated = generate_vault::History::valid(seed);
        for _ in 0..seed % 3 {
            generated.mutate();
        }
        let text = generated.text();
        let history = read(text.as_bytes()).unwrap();
        let verdict = check(&history).unwrap_or_else(|error| panic!("{seed}: {error}\n{text}"));
        let Some(expected) = oracle::is_one_vault(&history) else {
            continue;
        };
        compared += 1;
        valid += u64::from(expected);
        assert!(
            seed % 3 > 0 || expected,
            "{seed}: the generator is wrong\n{text}"
        );
        let agrees = verdict.is_ok() == expected || (generated.has_open() && verdict.is_ok());
        assert!(agrees, "{seed}: expected {expected}, {verdict:?}\n{text}");
    }
    assert!(
        compared * 15 > histories * 14 && valid * 4 > compared,
        "{valid} of {compared}"
    );
    assert!(
        (compared - valid) * 4 > compared,
        "{valid} of {compared} are valid"
    );
}

#[test]
fn a_large_history_is_checked() {
    let mut text = Vec::new();
    big_history::write_history(200_000, 0, &mut text).unwrap();
    let history = read(&text[..]).unwrap();
    assert_eq!(history.operations().len(), 200_000);
    assert_eq!(check(&history).map(|verdict| verdict.is_ok()), Ok(true));
}

/// Would catch an exponential search although versions are known: each of the
/// 600 unknown mutates has to be resolved by its version.
#[test]
fn a_large_vault_history_is_checked() {
    let mut text = Vec::new();
    big_history::write_vault_history(20_000, true, &mut text).unwrap();
    let history = read(&text[..]).unwrap();
    assert_eq!(check(&history).map(|verdict| verdict.is_ok()), Ok(true));
}

/// Without versions the checker may give up, and must report that. Would catch
/// a search that does not end, or that reports a verdict when it stops.
#[test]
fn an_exhausted_search_is_undecided() {
    let mut text = String::new();
    let line = |op: u32, rest: &str| {
        format!("{{\"time\":{op},\"process\":\"r{op}\",\"op\":{op},\"type\":{rest}}}\n")
    };
    for op in 1..=40 {
        text += &line(op, "\"invoke\",\"f\":\"mutate\"");
    }
    for op in 1..=40 {
        let value = format!("{{\"reads\":{{}},\"writes\":{{\"t{op}\":\"v\"}}}}");
        let end = format!("\"ok\",\"value\":{value}");
        text += &line(op, &end).replace(&format!("\"time\":{op},"), "\"time\":99,");
    }
    let end = |tokens: &str| format!("{{\"type\":\"final\",\"tokens\":{{{tokens}}}}}");
    let all: Vec<String> = (1..=40).map(|op| format!("\"t{op}\":\"v\"")).collect();
    let of = |tokens: &str| check(&read(format!("{text}{}", end(tokens)).as_bytes()).unwrap());
    assert_eq!(of(&all.join(",")).map(|verdict| verdict.is_ok()), Ok(true));
    let read_of_nobody = line(41, "\"invoke\",\"f\":\"read\"").replace(":41,\"p", ":99,\"p")
        + &line(
            41,
            "\"ok\",\"value\":{\"tokens\":{\"t1\":\"v\",\"t2\":\"w\"}}",
        )
        .replace(":41,\"p", ":99,\"p");
    let whole = format!("{text}{read_of_nobody}{}", end(&all.join(",")));
    let verdict = check(&read(whole.as_bytes()).unwrap());
    assert!(
        matches!(verdict, Err(CheckError::Undecided(_))),
        "{verdict:?}"
    );
}

#[test]
fn many_long_reads_need_no_more_memory_than_the_chain() {
    let mut text = Vec::new();
    big_history::write_history(2_000, 500, &mut text).unwrap();
    let history = read(&text[..]).unwrap();
    assert!(history.paths().count() <= history.chain().unwrap().len() + 1);
    assert_eq!(check(&history).map(|verdict| verdict.is_ok()), Ok(true));
}

#[test]
fn the_generator_makes_both_kinds() {
    let is_ok = |seed: &u64| {
        let mut generated = generate::History::valid(*seed);
        generated.mutate();
        check(&read(generated.text().as_bytes()).unwrap())
            .unwrap()
            .is_ok()
    };
    let valid = (0..500).filter(is_ok).count();
    assert!(
        (50..450).contains(&valid),
        "{valid} of 500 mutated histories are still valid"
    );
}
