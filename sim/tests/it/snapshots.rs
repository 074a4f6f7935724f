//! Output for people: a plan, a trace, the help.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use haechi_sim::plan::{Knobs, WorldOptions};

/// Would catch a knob that is drawn but not printed.
#[test]
fn a_world_says_what_it_is_made_of() {
    let knobs = Knobs::draw(7, &WorldOptions::default());
    insta::assert_snapshot!("world", knobs.to_string());
}

const COMMANDS: [&str; 12] = [
    "",
    "run",
    "replay",
    "shrink",
    "diff",
    "check",
    "mutants",
    "merge",
    "serve",
    "torture",
    "completions",
    "man",
];

/// Would catch a command or an option that disappears, and a text that a terminal of 80 columns breaks.
#[test]
fn the_help_names_every_command_and_option() {
    for command in COMMANDS {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_haechi-sim"))
            .args(words)
            .env("COLUMNS", "100")
            .output()
            .unwrap();
        let name = format!(
            "help_{}",
            if command.is_empty() {
                "program"
            } else {
                command
            }
        );
        let text = String::from_utf8(output.stdout).unwrap();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{command} --help: {line}");
        }
        insta::assert_snapshot!(name, text);
    }
}

/// Runs the program; what it prints on stdout and stderr, and its exit code.
fn sim(words: &str) -> (String, String, Option<i32>) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_haechi-sim"));
    let output = program.args(words.split(' ')).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

/// Lines of text, not commands, that a terminal of 80 columns breaks.
fn too_long(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines
        .filter(|line| line.chars().count() > 80 && !line.starts_with("haechi-sim "))
        .collect()
}

/// Would catch a run whose last lines are not what fails and how to go on, and commands that do not
/// show the violation, or whose output a terminal breaks.
#[test]
fn a_run_that_fails_ends_with_how_to_go_on() {
    let words = "--store vault_no_fence --workload vault";
    let (told, _, code) = sim(&format!("run --seeds 0..20 {words}"));
    assert_eq!(code, Some(1), "{told}");
    let lines: Vec<_> = told.lines().collect();
    let [.., replay, shrink] = *lines else {
        panic!("{told}");
    };
    let fails = lines.iter().rposition(|line| line.starts_with("seed "));
    let seed = lines[fails.unwrap()].strip_suffix(" fails:").unwrap();
    let violation = lines[fails.unwrap() + 1].trim_start();
    let (invariant, _) = violation.split_once(": ").unwrap();
    assert!(too_long(&told).is_empty(), "{told}");
    // The same as JSON: after how many seeds it was found.
    let (lines, ..) = sim(&format!("run --json --seeds 0..20 {words}"));
    let summary: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let found = &summary["summary"]["detections"][invariant];
    assert_eq!(found["worlds"], 1, "{summary}");
    assert_eq!(found["seedsToDetection"], summary["summary"]["seeds"]);
    assert_eq!(seed, format!("seed {}", found["firstSeed"]));

    let seed = seed.strip_prefix("seed ").unwrap();
    let rest = format!(" --seed {seed} --ops 40 --workload vault --store vault_no_fence");
    let replay = replay.strip_prefix("haechi-sim ").unwrap();
    assert_eq!(replay, format!("replay{rest}"));
    let (_, told, code) = sim(replay);
    assert!(code == Some(1) && told.contains(invariant), "{told}");

    let shrink = shrink.strip_prefix("haechi-sim ").unwrap();
    assert_eq!(shrink, format!("shrink{rest}"));
    let (_, told, code) = sim(&format!("{shrink} --budget 5"));
    assert!(code == Some(1) && told.contains(invariant), "{told}");
    assert!(too_long(&told).is_empty(), "{told}");
}

/// Would catch a summary of a history whose reasons a terminal breaks.
#[test]
fn the_summary_of_a_check_is_wrapped() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/history/tests/histories/invalid"
    );
    let mut wrapped = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path().display().to_string();
        if file.ends_with(".jsonl") {
            let (_, told, code) = sim(&format!("check {file}"));
            assert_eq!(code, Some(1), "{file}: {told}");
            assert!(too_long(&told).is_empty(), "{told}");
            wrapped += usize::from(told.contains("\n    "));
        }
    }
    assert!(wrapped > 0);
}

/// Would catch a table among the lines of JSON: `mutants 2>&1` is one stream.
#[test]
fn planted_bugs_are_printed_as_json_alone_where_nobody_looks() {
    let (json, told, code) = sim("mutants --store no_fence --ranges 1");
    assert_eq!((told.as_str(), code), ("", Some(0)));
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["variant"], "no_fence");
}

/// Would catch an interrupted run whose worlds are in no summary.
#[cfg(unix)]
#[test]
fn an_interrupted_run_is_summed_up() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_haechi-sim"));
    let run = program
        .args(["run", "--json", "--seeds", "0..1000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut run = run.spawn().unwrap();
    let mut out = BufReader::new(run.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    let mut kill = Command::new("kill");
    kill.args(["-INT", &run.id().to_string()]).status().unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(rest.contains("{\"summary\":"), "{rest}");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(told.contains("interrupted after"), "{told}");
}

/// Would catch a command without a page, and completions that lack one.
#[test]
fn every_command_has_a_man_page_and_completions() {
    let ask = |args: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_haechi-sim"));
        let output = program.args(args).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("man1");
    assert_eq!(ask(&["man", directory.to_str().unwrap()]).0, Some(0));
    let (code, completions) = ask(&["completions", "bash"]);
    assert_eq!(code, Some(0));
    for command in COMMANDS {
        let name = match command {
            "" => "haechi-sim.1".to_owned(),
            command => format!("haechi-sim-{command}.1"),
        };
        let page = std::fs::read_to_string(directory.join(&name)).unwrap();
        assert!(page.contains(".SH NAME"), "{name}");
        assert!(completions.contains(command), "{command}");
    }
    // Bash asks for the options of a command under the name that it has given it.
    let named = completions
        .lines()
        .filter_map(|line| line.trim().strip_prefix("cmd=\""));
    for name in named.map(|name| name.trim_end_matches('"')) {
        let label = format!("\n        {name})\n");
        assert!(name.is_empty() || completions.contains(&label), "{name}");
    }
    assert_eq!(ask(&["man", "/dev/null/x"]).0, Some(2));
}
