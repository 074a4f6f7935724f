//! `cargo xtask deployments`: the table of docs/deployment.md, row by row, on real servers.

use std::{collections::BTreeMap, env, fs};

use clap::Args;

use crate::{
    Outcome,
    process::{cargo_stdout, redis_server},
};

/// Run the tests that docs/deployment.md names, and print its table with what passed
///
/// On redis-server ($REDIS_SERVER), and, but for those of TLS, on the server that
/// $VALKEY_SERVER names, if it is set.
#[derive(Args)]
pub(crate) struct DeploymentsArgs {
    /// How often each test runs on each server
    #[arg(long, value_name = "N", default_value_t = 5)]
    times: u32,
}

const TABLE: &str = "docs/deployment.md";

const TESTS: &str = "test --all-features --test it --";

/// The module whose tests all run, in the table or not.
const DEPLOYMENTS: &str = "deployments::";

/// The tests that need a server with TLS.
const TLS: &str = "deployments::tls";

/// A row of the table.
struct Row {
    topology: String,
    event: String,
    /// Within `tests/it`.
    test: String,
}

/// The rows whose last column names a test.
fn rows(document: &str) -> Vec<Row> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [topology, event, _, test] = cells[..] else {
            return None;
        };
        let test = test.strip_prefix('`')?.strip_suffix('`')?;
        Some(Row {
            topology: topology.to_owned(),
            event: event.to_owned(),
            test: test.to_owned(),
        })
    };
    document.lines().filter_map(row).collect()
}

/// The arguments of cargo that run [`DEPLOYMENTS`], and the tests that rows name elsewhere.
fn words(rows: &[Row], skipped: &str) -> String {
    let elsewhere = rows.iter().map(|row| row.test.as_str());
    let elsewhere = elsewhere.filter(|test| !test.starts_with(DEPLOYMENTS));
    let mut words = vec![TESTS, DEPLOYMENTS];
    words.extend(elsewhere);
    if !skipped.is_empty() {
        words.extend(["--skip", skipped]);
    }
    words.join(" ")
}

/// How often a test ran and passed.
#[derive(Default)]
struct Runs {
    passed: u32,
    all: u32,
}

/// Adds what the test harness printed.
fn count(printed: &str, runs: &mut BTreeMap<String, Runs>) {
    for line in printed.lines() {
        let result = line
            .strip_prefix("test ")
            .and_then(|line| line.split_once(" ... "));
        let Some((name, result)) = result else {
            continue;
        };
        let of_test = runs.entry(name.to_owned()).or_default();
        of_test.all += 1;
        of_test.passed += u32::from(result == "ok");
    }
}

/// Runs the command.
pub(crate) fn run(args: &DeploymentsArgs) -> Outcome {
    let document = match fs::read_to_string(TABLE) {
        Ok(document) => document,
        Err(error) => {
            eprintln!("error: {TABLE}: {error}");
            return Outcome::NotRun;
        }
    };
    if !redis_server() {
        return Outcome::NotRun;
    }
    let rows = rows(&document);
    let mut servers = vec![("redis", Vec::new(), "")];
    match env::var_os("VALKEY_SERVER") {
        // The one on PyPI is built without TLS.
        Some(valkey) => servers.push(("valkey", vec![("REDIS_SERVER", valkey)], TLS)),
        None => println!("valkey: not run; name a valkey-server in VALKEY_SERVER"),
    }
    let (mut all_passed, mut lines) = (true, Vec::new());
    for (server, environment, skipped) in servers {
        let mut runs = BTreeMap::new();
        for _ in 0..args.times {
            count(
                &cargo_stdout(&words(&rows, skipped), &environment),
                &mut runs,
            );
        }
        let mut line = |what: &str, Runs { passed, all }: Runs| {
            let verdict = if passed == args.times { "pass" } else { "FAIL" };
            all_passed &= verdict == "pass";
            lines.push(format!("{verdict} {passed}/{all} {server:<6} {what}"));
        };
        for row in &rows {
            let what = format!("{:<8} {} ({})", row.topology, row.event, row.test);
            match runs.remove(&row.test) {
                None if !skipped.is_empty() && row.test.starts_with(skipped) => {}
                of_test => line(&what, of_test.unwrap_or_default()),
            }
        }
        for (test, of_test) in runs {
            line(&test, of_test);
        }
    }
    println!("{}", lines.join("\n"));
    all_passed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch a row that is not found, one that names a test which is not there, and
    /// one whose test is not run.
    #[test]
    fn the_table_is_read() {
        let document = include_str!("../../docs/deployment.md");
        let rows = rows(document);
        assert!(rows.len() > 10, "{}", rows.len());
        let words = words(&rows, "");
        let filters: Vec<&str> = words[TESTS.len()..].split_whitespace().collect();
        for row in rows {
            let (module, name) = row.test.rsplit_once("::").unwrap();
            let file = format!("../tests/it/{}.rs", module.replace("::", "/"));
            let source = fs::read_to_string(&file).unwrap();
            assert!(source.contains(&format!("fn {name}()")), "{}", row.test);
            let is_run = filters.iter().any(|filter| row.test.contains(filter));
            assert!(is_run, "{} is not run", row.test);
        }
    }

    /// Would catch a failure that counts as a pass, and a test that did not run.
    #[test]
    fn runs_are_counted() {
        let mut runs = BTreeMap::new();
        count(
            "test a ... ok\ntest b ... FAILED\n\ntest a ... ok\ntest result: ok.",
            &mut runs,
        );
        let counted = |name| runs.get(name).map(|runs| (runs.passed, runs.all));
        assert_eq!(counted("a"), Some((2, 2)));
        assert_eq!(counted("b"), Some((0, 1)));
        assert_eq!(runs.len(), 2);
    }
}
