//! The tables of `docs/harness.md` are equal to those of the code, and README's count of faults.

use haechi_history::check::Invariant;
use haechi_sim::{mutants::Variant, plan::FaultKind, system::Setup};

/// A document of the repository. Read when the test runs: the package of this crate has no
/// such file, and its tests compile all the same.
pub(crate) fn document(name: &str) -> String {
    let path = format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The text between the two comments of a block.
fn block(name: &str) -> String {
    let harness = document("docs/harness.md");
    let (begin, end) = (
        format!("<!-- {name}:begin -->\n"),
        format!("<!-- {name}:end -->"),
    );
    let (_, rest) = harness.split_once(&*begin).expect("the block begins");
    let (block, _) = rest.split_once(&*end).expect("the block ends");
    block.to_owned()
}

/// Would catch an invariant that is added or changed, and not documented.
#[test]
fn invariants_are_documented() {
    let mut table = String::from("| invariant | of | a violation is |\n| --- | --- | --- |\n");
    for invariant in Invariant::ALL {
        let half = format!("{:?}", invariant.half()).to_lowercase();
        table += &format!("| `{invariant}` | {half} | {} |\n", invariant.describe());
    }
    assert_eq!(block("invariants"), table, "the block should be:\n{table}");
}

/// Would catch a planted bug that is added or changed, and not documented; the
/// columns between the first and the last are measured.
#[test]
fn planted_bugs_are_documented() {
    let block = block("planted bugs");
    let rows = block.lines().skip(2);
    let documented: Vec<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0], cells[cells.len() - 1])
        })
        .collect();
    let names: Vec<_> = Variant::planted()
        .map(|variant| (format!("`{}`", variant.name()), variant.describe()))
        .collect();
    let expected: Vec<_> = names.iter().map(|(name, what)| (&**name, *what)).collect();
    assert_eq!(documented, expected);
}

/// Would catch a fault that is added, and a README that counts one less, or one that a system of
/// one's own is said to meet and does not.
#[test]
fn faults_are_counted() {
    let (all, supported) = (FaultKind::all().count(), Setup::supported().count());
    for (page, counted) in [
        ("README.md", format!("under {all} faults")),
        ("README.md", format!("under {supported} of these faults")),
        (
            "sim/README.md",
            format!("under {supported} of the {all} faults"),
        ),
    ] {
        assert!(document(page).contains(&counted), "{page}: {counted}");
    }
}

/// Would catch a page that says of a fault that it strikes a system of one's own, or that it does
/// not, when that has changed.
#[test]
fn faults_of_own_systems_are_named() {
    let page = document("docs/own-system.md");
    let (before, rest) = page.split_once("The faults `lagging_replica`").unwrap();
    let (unsupported, _) = rest.split_once("only.").unwrap();
    let unsupported = format!("`lagging_replica`{unsupported}");
    let (_, table) = before.split_once("| class | faults |").unwrap();
    let supported: Vec<_> = Setup::supported().collect();
    for fault in FaultKind::all() {
        let (name, group) = (format!("`{fault}`"), fault.to_string());
        let group = format!("`{}_`", group.split('_').next().unwrap());
        let is_named = unsupported.contains(&name) || unsupported.contains(&group);
        assert_eq!(is_named, !supported.contains(&fault), "{fault}");
        assert_eq!(
            table.contains(&name),
            supported.contains(&fault),
            "the table: {fault}"
        );
    }
}

/// Would catch a ceiling that is changed, and not in the pages.
#[test]
fn ceilings_are_documented() {
    let code = document("sim/src/record/quality.rs");
    let number = |before: &str| {
        let (_, rest) = code.split_once(before).expect(before);
        let digits = rest.split(|digit: char| !digit.is_ascii_digit());
        digits.take(1).collect::<String>()
    };
    let least = format!("{} round trips or more", number("ROUND_TRIPS: u64 = "));
    let percent = |class: &str| number(&format!("FaultClass::{class} => "));
    assert_eq!(percent("Lock"), "0");
    let ceilings = format!(
        "{} with faults of replicas, {} of the network, {} of Redis and {} with lost data",
        percent("Replica"),
        percent("Network"),
        percent("Redis"),
        percent("DataLoss")
    );
    let unwrapped = |page| document(page).replace("\n  ", " ").replace('\n', " ");
    for (page, said) in [
        ("docs/harness.md", &least),
        ("docs/guarantees.md", &least),
        ("docs/harness.md", &ceilings),
    ] {
        assert!(unwrapped(page).contains(said), "{page}: {said}");
    }
}
