use super::*;

/// A crate in which `audit` uses `chain`, and `lib.rs` exports `Record` of
/// `chain`.
const LIB: &str = "
    pub mod audit;
    mod chain;
    #[cfg(test)]
    mod support;
    pub use chain::{Record, Hash as Digest};
    pub struct Own;
";

const BLOCK: &str = "
# A document

```text dependencies: fixture
chain
audit → chain
```

audit → nothing, as this is outside of the block
";

fn read(files: &[(&str, &str)]) -> Result<Found, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    modules::read(folder.path().to_str().unwrap())
}

/// The modules that `audit` uses with this text.
fn uses(audit: &str) -> Vec<String> {
    let found = read(&[("lib.rs", LIB), ("audit.rs", audit), ("chain.rs", "")]).unwrap();
    found["audit"].keys().cloned().collect()
}

fn problems(audit: &str, chain: &str, block: &str) -> Vec<String> {
    let found = read(&[
        ("lib.rs", LIB),
        ("audit/mod.rs", audit),
        ("chain.rs", chain),
    ])
    .unwrap();
    let mut problems = compare("fixture", block, &found);
    for problem in &mut problems {
        // Without the location, whose folder differs each time.
        let end = problem.find(" (").unwrap_or(problem.len());
        problem.truncate(end);
    }
    problems
}

#[test]
fn stated_dependencies_pass() {
    assert_eq!(problems("use crate::chain::Link;", "", BLOCK), [""; 0]);
}

#[test]
fn a_dependency_that_is_not_stated_fails() {
    let found = problems("use crate::chain::Link;", "fn f() { crate::Own; }", BLOCK);
    assert_eq!(
        found,
        [
            "fixture: chain → lib is not stated",
            "fixture: lib has no line"
        ]
    );
}

#[test]
fn a_stated_dependency_that_is_gone_fails() {
    let found = problems("", "", BLOCK);
    assert_eq!(
        found,
        ["fixture: audit → chain is stated and no longer there"]
    );
}

#[test]
fn two_modules_that_use_each_other_fail() {
    let found = problems("use crate::chain::Link;", "use super::audit::Sink;", BLOCK);
    let expected = [
        "fixture: audit and chain use each other",
        "fixture: chain → audit is not stated",
    ];
    assert_eq!(found, expected);
    let stated = BLOCK.replace("chain\naudit", "chain → audit\naudit");
    let found = problems(
        "use crate::chain::Link;",
        "use super::audit::Sink;",
        &stated,
    );
    let expected = [
        "fixture: chain → audit: a line may only use what stands above it, and audit does not",
        "fixture: audit and chain use each other",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_module_without_a_line_and_a_line_without_a_module_fail() {
    let block = BLOCK.replace("chain\naudit", "chains\naudit");
    let found = problems("use crate::chain::Link;", "", &block);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.contains(&"fixture: chains is stated and not there".to_owned()));
    assert!(found.contains(&"fixture: chain has no line".to_owned()));
}

#[test]
fn a_missing_block_fails_and_is_printed() {
    let found = problems("use crate::chain::Link;", "", "# No block");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].ends_with("chain\naudit → chain\n```"),
        "{}",
        found[0]
    );
}

#[test]
fn paths_are_found_everywhere() {
    for audit in [
        "use crate::{chain::{Link, Seal}};",
        "use crate::Record;",
        "use crate::{Digest};",
        "fn f() -> crate::chain::Link {}",
        "fn f() { println!(\"{}\", crate::chain::LENGTH) }",
        "mod inner { use super::super::chain::Link; }",
        "mod inner { use super::{super::chain::Link}; }",
        "pub(in crate::chain) struct Visible;",
    ] {
        assert_eq!(uses(audit), ["chain"], "{audit}");
    }
}

#[test]
fn tests_comments_and_texts_are_skipped() {
    for audit in [
        "/// Like [`crate::chain::Link`].\nfn f() {} // crate::chain",
        "const TEXT: &str = \"crate::chain::Link\";",
        "#[cfg(test)] mod tests { use crate::chain::Link; }",
        "#[cfg(test)] use crate::chain::Link; fn f() {}",
        "#[cfg(test)] mod tests;",
        "mod inner { use super::Sink; }",
        "use crate::audit::Sink;",
    ] {
        assert_eq!(uses(audit), [""; 0], "{audit}");
    }
}

#[test]
fn modules_of_modules_count_as_the_outermost() {
    let files = [
        ("lib.rs", LIB),
        ("audit/mod.rs", "mod queue;"),
        ("audit/queue.rs", "mod slot;"),
        (
            "audit/queue/slot.rs",
            "use super::super::super::chain::Link;",
        ),
        ("chain.rs", ""),
    ];
    assert_eq!(in_order(&read(&files).unwrap()), "chain\naudit → chain\n");
}

#[test]
fn the_names_of_lib_are_a_module_of_their_own() {
    assert_eq!(uses("use crate::Own;"), ["lib"]);
}

#[test]
fn a_module_without_a_file_is_an_error() {
    assert!(
        read(&[("lib.rs", "mod absent;")])
            .unwrap_err()
            .contains("absent")
    );
}
