//! Output for people: a plan, a trace, the help.

use std::process::Command;

use haechi_sim::plan::{Knobs, WorldOptions};

/// Would catch a knob that is drawn but not printed.
#[test]
fn a_world_says_what_it_is_made_of() {
    let knobs = Knobs::draw(7, &WorldOptions::default());
    insta::assert_snapshot!("world", knobs.to_string());
}

/// Would catch a command or an option that disappears.
#[test]
fn the_help_names_every_command_and_option() {
    for command in [
        "", "run", "replay", "shrink", "diff", "check", "mutants", "merge", "serve", "torture",
    ] {
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
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}
