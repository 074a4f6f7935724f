//! The sessions that documents show, in their `console` blocks, run as they are shown: a line
//! that begins with `$ ` is a command, what follows is its output, in which `…` stands for
//! anything, as a line by itself for any lines. Of stderr only errors are shown, after what a
//! command prints on stdout. The blocks of one document are one session in
//! bash, with a redis-server and an empty folder of its own. Commands that begin with `cargo`
//! or `haechi-sim` are not run, nor is their output compared.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use haechi_store_redis::{
    chain::{Event, Head},
    redis::NotReady,
};

use super::program;

/// A command and what it prints, both as lines.
#[derive(Debug, PartialEq)]
struct Step<'a> {
    command: Vec<&'a str>,
    output: Vec<&'a str>,
}

/// The steps of a document.
fn steps(document: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let (mut inside, mut continued) = (false, false);
    for line in document.lines() {
        match (line, line.strip_prefix("$ ")) {
            ("```console", _) => inside = true,
            ("```", _) => inside = false,
            _ if !inside => {}
            (_, Some(command)) => {
                steps.push(Step {
                    command: vec![command],
                    output: Vec::new(),
                });
                continued = command.ends_with('\\');
            }
            (line, None) => {
                let step = steps.last_mut().expect("a block begins with a command");
                if continued {
                    step.command.push(line);
                    continued = line.ends_with('\\');
                } else {
                    step.output.push(line);
                }
            }
        }
    }
    steps.retain(|step| {
        let first = step.command[0].split(' ').next();
        !matches!(first, Some("cargo" | "haechi-sim"))
    });
    steps
}

/// Whether a line is as shown.
fn is_like(line: &str, shown: &str) -> bool {
    match shown.split_once('…') {
        None => line == shown,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            let mut ends = rest
                .char_indices()
                .map(|(index, _)| index)
                .chain([rest.len()]);
            ends.any(|index| is_like(&rest[index..], after))
        }),
    }
}

/// Whether lines are as shown.
fn are_like(lines: &[&str], shown: &[&str]) -> bool {
    match shown {
        [] => lines.is_empty(),
        ["…", rest @ ..] => (0..=lines.len()).any(|skipped| are_like(&lines[skipped..], rest)),
        [first, rest @ ..] => {
            lines.first().is_some_and(|line| is_like(line, first)) && are_like(&lines[1..], rest)
        }
    }
}

/// Between the outputs of two commands.
const MARK: &str = "--- the next command ---\n";

/// Runs the steps of a document, and compares.
fn run(document: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = fs::read_to_string(path).unwrap();
    let steps = steps(&text);
    let is_rust = text.contains("\n```rust");
    assert!(is_rust || !steps.is_empty(), "{document} shows nothing");
    let server = crate::support::server();
    let folder = tempfile::tempdir().unwrap();
    let mut script = format!(
        "redis-cli() {{ command redis-cli -u {} \"$@\"; }}\n",
        server.url()
    );
    for step in &steps {
        script += &step.command.join("\n");
        script += "\nstatus=$?; grep '^error' $ERRORS; : > $ERRORS\n";
        script += &format!("printf %s '{MARK}'; (exit $status)\n");
    }
    let folders = [Path::new(program(&[]).get_program())
        .parent()
        .unwrap()
        .to_owned()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)));
    let errors = tempfile::NamedTempFile::new().unwrap();
    // A session that waits for ever is a failure.
    let output = Command::new("timeout")
        .args(["60", "bash"])
        .args(["-c", &format!("exec 2>> $ERRORS\n{script}")])
        .env("ERRORS", errors.path())
        .current_dir(folder.path())
        .env("PATH", path.unwrap())
        .env("REDIS_URL", server.url())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut printed = printed.split(MARK);
    for step in &steps {
        let lines: Vec<&str> = printed.next().unwrap().lines().collect();
        let command = step.command.join("\n");
        let shown = &step.output;
        assert!(
            are_like(&lines, shown),
            "{document}\n$ {command}\n{}\n\nbut it shows\n\n{}",
            lines.join("\n"),
            shown.join("\n")
        );
    }
}

/// Would catch a session in README that does not work, or prints something else.
#[test]
fn readme() {
    run("README.md");
}

/// Would catch the same in the pages of docs/cookbook, and a page that is not tested.
#[test]
fn cookbook() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cookbook");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name();
        run(&format!("docs/cookbook/{}", name.to_str().unwrap()));
    }
}

/// A file of the package.
fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What is between `begin` and `end`.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).expect(begin);
    rest.split_once(end).expect(end).0
}

/// Every second part of `text` that is split at `mark`: what stands between two of them.
fn quoted<'a>(text: &'a str, mark: &str) -> BTreeSet<&'a str> {
    text.split(mark).skip(1).step_by(2).collect()
}

/// Would catch a member that is removed from events and that the documents do not name, and
/// one that they name and that is kept.
#[test]
fn removed_members_are_documented() {
    let code = file("src/chain/sanitize.rs");
    let removed = quoted(between(&code, "matches!(", "\n    )"), "\"");
    assert!(removed.contains("plaintext"), "{removed:?}");

    let page = file("docs/guarantees.md");
    let page = between(&page, "<!-- removed:begin -->", "<!-- removed:end -->");
    assert_eq!(quoted(page, "`"), removed, "docs/guarantees.md");
    let event = file("src/chain/event.rs");
    let comment = between(
        &event,
        "after the same checks as all others: ",
        ". So is the",
    );
    assert_eq!(quoted(comment, "`"), removed, "Event::from_json");

    for name in removed {
        let event = format!(r#"{{"id":"e","a":[{{"{name}":1,"{name}_":1}}]}}"#);
        let record = Event::from_json(&event).unwrap().seal(None, &Head::Empty);
        let text = record.unwrap().into_text();
        assert!(
            text.contains(&format!(r#""a":[{{"{name}_":1}}]"#)),
            "{text}"
        );
    }
}

/// Would catch a reason of readiness that is added, or forbids a start or no longer does, and is
/// not documented so.
#[test]
fn reasons_are_documented() {
    let page = file("docs/deployment.md");
    let table = between(&page, "<!-- reasons:begin -->", "<!-- reasons:end -->");
    let documented: BTreeSet<_> = table
        .lines()
        .skip(3)
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`'), cells[3] == "yes")
        })
        .collect();
    let all = [
        NotReady::RedisUnreachable,
        NotReady::RedisNotWritable,
        NotReady::WrongType,
        NotReady::Diverged,
        NotReady::CrossSlot,
        NotReady::Evicting,
        NotReady::InsufficientReplicas,
        NotReady::FsyncUnavailable,
        NotReady::Refusing,
    ];
    let reasons = all.map(|reason| (reason.name(), reason.forbids_start()));
    assert_eq!(documented, BTreeSet::from(reasons));

    let code = file("src/redis/ready.rs");
    let names = between(&code, "pub fn name(self)", "\n    }");
    assert_eq!(quoted(names, "\"").len(), all.len(), "{names}");
}

/// Would catch a test that docs/guarantees.md names and that is not there, or that its command
/// does not build.
#[test]
fn named_tests_are_there() {
    let list = Command::new(std::env::current_exe().unwrap())
        .args(["--list", "--format", "terse"])
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let tests: Vec<_> = list
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect();
    let page = file("docs/guarantees.md").replace('\n', " ");
    let (mut command, mut count) = ("", 0);
    for code in page.split('`').skip(1).step_by(2) {
        let filter = if code.starts_with("cargo test") {
            command = code;
            code.split_once("--test it ").map(|(_, filter)| filter)
        } else {
            code.strip_prefix("… ")
        };
        let name = filter.and_then(|filter| {
            let mut words = filter.split_whitespace();
            words.find(|word| !word.starts_with('-'))
        });
        let Some(name) = name.filter(|_| command.contains("--test it")) else {
            continue;
        };
        let has_program = command.contains("--features cli") || command.contains("--all-features");
        let is_built =
            |test: &&str| test.contains(name) && (has_program || !test.starts_with("cli::"));
        assert!(tests.iter().any(is_built), "{command}: {name}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// Would catch a comparison that accepts anything.
#[test]
fn what_is_shown_is_compared() {
    let document = "```console\n$ echo a \\\n    b\na b\n$ cargo test\nok\n```\n$ no\n";
    let step = Step {
        command: vec!["echo a \\", "    b"],
        output: vec!["a b"],
    };
    assert_eq!(steps(document), [step]);
    assert!(is_like("{\"a\":1}", "{\"a\":…}") && !is_like("{\"a\":1}", "{\"a\":…]"));
    assert!(are_like(&["a", "b", "c"], &["…", "c"]) && are_like(&["c"], &["…", "c"]));
    assert!(!are_like(&["a", "c"], &["c"]) && !are_like(&["c", "a"], &["…", "c"]));
}
