//! README's list of commands.

use redis_sim::{Command, server_process::RedisServer};
use std::collections::{BTreeMap, BTreeSet};

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

/// Would catch a command that is simulated and told to be missing, and one of redis-server that is
/// neither.
#[test]
fn every_command_of_redis_server_is_simulated_or_known_to_be_missing() {
    let server = RedisServer::start().unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let names: Vec<String> = redis::cmd("COMMAND")
        .arg("LIST")
        .query(&mut connection)
        .unwrap();
    let simulated: BTreeSet<_> = redis_sim::commands().collect();
    let containers = simulated.iter().filter_map(|name| name.split_once(' '));
    let containers: BTreeSet<_> = containers.map(|(container, _)| container).collect();
    for name in names {
        let words: Vec<_> = name.split('|').map(str::to_uppercase).collect();
        let is_simulated = simulated.contains(&words.join(" "))
            || words.len() == 1 && containers.contains(&*words[0]);
        let command = Command::new(words.into_iter().map(String::into_bytes)).unwrap();
        let is_missing = redis_sim::is_not_simulated(&command);
        assert_ne!(is_simulated, is_missing, "{name}");
    }
}
