//! `cargo xtask deps`: compares the dependencies between crates, and between
//! the top-level modules of a crate, with the blocks in ARCHITECTURE.md.
//!
//! A line of a block is `name → what it uses`. A line may only use lines above
//! it, so a block cannot contain a cycle.

mod modules;

use std::{collections::BTreeMap, env, fs, process::Command};

const DOCUMENT: &str = "ARCHITECTURE.md";

/// The first line of a block, followed by its title.
const FENCE: &str = "```text dependencies: ";

/// Crates whose modules have a block.
const ROOTS: &[&str] = &["src", "sim/history/src", "sim/src"];

/// The dependencies found, and where each occurs first.
type Found = BTreeMap<String, BTreeMap<String, String>>;

/// Runs the command.
pub(crate) fn run() -> bool {
    let problems = check().unwrap_or_else(|error| vec![error]);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() {
        println!("dependencies are as {DOCUMENT} states them");
    } else {
        eprintln!(
            "error: {} dependencies are not as {DOCUMENT} states them",
            problems.len()
        );
    }
    problems.is_empty()
}

fn check() -> Result<Vec<String>, String> {
    let document = fs::read_to_string(DOCUMENT).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    let mut problems = compare("crates", &document, &crates()?);
    for root in ROOTS {
        problems.extend(compare(root, &document, &modules::read(root)?));
    }
    Ok(problems)
}

/// The dependencies between the packages of this repository, from their
/// manifests; those for tests and benches under the name `… (dev)`.
fn crates() -> Result<Found, String> {
    let mut found = Found::new();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version=1"])
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        found.entry(name.to_owned()).or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // Only packages of this repository have a path.
            let (Some(used), Some(_)) = (dependency["name"].as_str(), dependency["path"].as_str())
            else {
                continue;
            };
            // A package may depend on itself, for a feature in tests.
            if used == name {
                continue;
            }
            let user = match dependency["kind"].as_str() {
                Some("dev") => format!("{name} (dev)"),
                _ => name.to_owned(),
            };
            let place = package["manifest_path"].as_str().unwrap_or_default();
            let uses = found.entry(user).or_default();
            uses.insert(used.to_owned(), place.to_owned());
        }
    }
    Ok(found)
}

/// The differences between a block of the document and the dependencies found.
fn compare(title: &str, document: &str, found: &Found) -> Vec<String> {
    let fence = format!("{FENCE}{title}");
    let mut lines = document.lines().skip_while(|line| *line != fence).skip(1);
    let mut problems = Vec::new();
    let mut stated: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines.by_ref().take_while(|line| !line.starts_with("```")) {
        let (name, used) = line.split_once('→').unwrap_or((line, ""));
        let name = name.trim();
        let used: Vec<&str> = used
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        for used in &used {
            if !stated.contains_key(used) {
                problems.push(format!(
                    "{title}: {name} → {used}: a line may only use what stands above it, and {used} does not"
                ));
            }
            if found
                .get(name)
                .is_some_and(|uses| !uses.contains_key(*used))
            {
                problems.push(format!(
                    "{title}: {name} → {used} is stated and no longer there"
                ));
            }
        }
        if !found.contains_key(name) {
            problems.push(format!("{title}: {name} is stated and not there"));
        }
        stated.insert(name, used);
    }
    if stated.is_empty() {
        let expected = in_order(found);
        return vec![format!(
            "{title}: {DOCUMENT} lacks this block:\n{fence}\n{expected}```"
        )];
    }
    for (name, uses) in found {
        let Some(stated) = stated.get(&**name) else {
            problems.push(format!("{title}: {name} has no line"));
            continue;
        };
        for (used, place) in uses {
            if !stated.contains(&&**used) {
                problems.push(format!("{title}: {name} → {used} is not stated ({place})"));
            }
            if name < used && found.get(used).is_some_and(|uses| uses.contains_key(name)) {
                problems.push(format!(
                    "{title}: {name} and {used} use each other ({place})"
                ));
            }
        }
    }
    problems
}

/// The dependencies found as lines of a block; cycles come last.
fn in_order(found: &Found) -> String {
    let mut left: Vec<_> = found.iter().collect();
    let mut text = String::new();
    while !left.is_empty() {
        let names: Vec<&String> = left.iter().map(|(name, _)| *name).collect();
        let waits =
            |uses: &BTreeMap<String, String>| names.iter().any(|name| uses.contains_key(*name));
        let next = left.iter().position(|(_, uses)| !waits(uses)).unwrap_or(0);
        let (name, uses) = left.remove(next);
        let uses: Vec<&str> = uses.keys().map(String::as_str).collect();
        let arrow = if uses.is_empty() { "" } else { " → " };
        text += &format!("{name}{arrow}{}\n", uses.join(", "));
    }
    text
}

#[cfg(test)]
mod tests;
