//! README's list of commands.

use std::collections::BTreeMap;

const README: &str = include_str!("../../README.md");

/// Would catch a command that is missing in README, and one in README that does
/// not exist.
#[test]
fn lists_every_command() {
    let mut lines: BTreeMap<char, String> = BTreeMap::new();
    for command in redis_sim::commands() {
        let line = lines.entry(command.chars().next().unwrap()).or_default();
        *line += &format!("`{command}` ");
    }
    let expected: String = lines
        .into_values()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    let listed = README.split_once("<!-- commands -->\n").unwrap().1;
    let listed = listed.split_once("<!-- /commands -->").unwrap().0;
    assert!(listed == expected, "README should list\n{expected}");
}
