//! Output for people: a plan, a trace, the help.

use std::process::Command;

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
    assert_eq!(ask(&["man", "/dev/null/x"]).0, Some(2));
}
