//! The pages that `--report` writes, in a browser without a window.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use haechi_history::{Appended, ChainEntry, FinalState, Function, Outcome, Recorder, Text};
use redis_sim::server_process::skip;

/// A page in a folder of its own.
struct Page {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn sim(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haechi-sim"))
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

/// The page that a command writes.
fn page(words: &[&str]) -> Page {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let output = sim(&[words, &["--report", path.to_str().unwrap()]].concat());
    assert!(path.exists(), "{}", String::from_utf8_lossy(&output.stderr));
    Page { folder, path }
}

/// A page of a history.
fn checked(history: &haechi_history::History) -> Page {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    haechi_history::write(history, fs::File::create(&file).unwrap()).unwrap();
    page(&["check", file.to_str().unwrap()])
}

/// A Chromium: `$CHROMIUM`, or one on the path.
fn chromium() -> Option<PathBuf> {
    let given = env::var_os("CHROMIUM").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut found = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    given.or_else(|| found.find(|program| program.is_file()))
}

impl Page {
    /// The elements once the page has drawn itself, and `script` has run after it;
    /// `None` where there is no browser.
    fn dom(&self, hash: &str, script: &str) -> Option<String> {
        let Some(chromium) = chromium() else {
            skip("there is no chromium (apt-get install chromium, or set CHROMIUM)");
            return None;
        };
        let text = fs::read_to_string(&self.path).unwrap();
        let with = self.folder.path().join("with_script.html");
        let text = text.replace(
            "\n</html>",
            &format!("\n<script>{script}</script>\n</html>"),
        );
        fs::write(&with, text).unwrap();
        let output = Command::new(chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--window-size=1280,800",
            ])
            .args(["--virtual-time-budget=5000", "--dump-dom"])
            .arg(format!(
                "--user-data-dir={}",
                self.folder.path().join("profile").display()
            ))
            .arg(format!("file://{}#{hash}", with.display()))
            .output()
            .unwrap();
        let dom = String::from_utf8(output.stdout).unwrap();
        // Without the data and the scripts.
        let shown = dom.split("<script").next().unwrap().to_owned();
        let rest = String::from_utf8_lossy(&output.stderr);
        assert!(dom.contains("data-drawn=\"yes\""), "{shown}\n{rest}");
        assert!(!shown.contains("js-error"), "{shown}");
        Some(shown)
    }
}

/// What a user can do, one after the other.
const USE: &str = r#"
const press = (key) => window.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
for (const key of ["+", "+", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "-", "g", "0", "v", "n", "p", "t", "t"]) press(key);
const canvas = document.querySelector("canvas");
const at = (x, y) => ({ clientX: x, clientY: y, offsetX: x, offsetY: y, pointerId: 1, bubbles: true });
canvas.setPointerCapture = () => {};
canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -200, ...at(400, 60) }));
canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: 30, shiftKey: true, ...at(400, 60) }));
canvas.dispatchEvent(new WheelEvent("wheel", { deltaX: 30, ...at(400, 60) }));
for (const [type, x] of [["pointerdown", 300], ["pointermove", 350], ["pointerup", 350]]) canvas.dispatchEvent(new PointerEvent(type, at(x, 60)));
for (let x = 100; x < 900; x += 7) for (let y = 20; y < 250; y += 9) canvas.dispatchEvent(new PointerEvent("pointermove", at(x, y)));
panes.forEach((pane) => pane.items.forEach((item) => select(item, pane)));
document.body.dataset.details = [...document.querySelectorAll("dt")].length;
const query = document.getElementById("query");
query.value = "append"; search(); step(1); step(1);
panes.forEach(draw);
document.body.dataset.found = document.getElementById("found").textContent;
press("Escape");
document.body.dataset.after = matches === null && selected === null;
"#;

/// Catches a page of a planted bug that lacks what fails, who did it, or a lane, and
/// any error of its script, whatever a user does.
#[test]
fn a_planted_bug_is_shown_beside_the_correct_store() {
    let page = page(&["replay", "corpus/no_append_id.json"]);
    let Some(dom) = page.dom("theme=dark&op=3", USE) else {
        return;
    };
    for expected in [
        "data-theme=\"dark\"",
        "<span class=\"name\" title=\"an acknowledged append is not in the chain\">lost_append</span>",
        "append 3 was acknowledged at position 2",
        "data-ops=\"3 2\"",
        "data-op=\"3\"",
        "data-lane=\"redis\"",
        "data-lane=\"chain\">chain: 2<",
        "data-lane=\"chain\">chain: 3<",
        "data-lane=\"r0\">r0: 2<",
        "data-lane=\"r1\">r1: 1<",
        "data-event=\"33\"",
        "data-after=\"true\"",
        "data-found=\"6 found",
    ] {
        assert!(dom.contains(expected), "{expected} is not in\n{dom}");
    }
}

/// Catches text of a history that the page takes for markup or for script.
#[test]
fn text_of_a_history_stays_text() {
    let hostile = "</script><img src=x onerror=\"throw 1\"><!--";
    let mut recorder = Recorder::new();
    let op = recorder
        .invoke(0, hostile, Function::Append, Some(hostile))
        .unwrap();
    recorder
        .end(9, op, Outcome::Failed(None), Some(hostile))
        .unwrap();
    let chain = vec![ChainEntry {
        op: Some(op),
        sequence: 1,
        previous_hash: None,
        event_hash: Text::from(hostile),
        audit: None,
    }];
    let state = FinalState {
        chain: Some(chain),
        ..FinalState::default()
    };
    recorder.final_state(state).unwrap();
    let page = checked(&recorder.into_history());
    let Some(dom) = page.dom("op=1", "") else {
        return;
    };
    assert!(dom.contains("phantom_append"), "{dom}");
    assert!(dom.contains("&lt;/script&gt;&lt;img src=x"), "{dom}");
    assert!(!dom.contains("<img"), "{dom}");
}

/// Catches a message that the test harness captures: a test that is skipped then counts as passed
/// without a word.
#[test]
fn a_test_that_is_skipped_says_so() {
    let test = "report::text_of_a_history_stays_text";
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test])
        .env("PATH", "")
        .env_remove("CHROMIUM")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(&format!("skipped: {test}: there is no chromium")),
        "{said}"
    );
}

/// Catches a page that takes long to draw: of 5,000 operations, each frame, while it is
/// moved and zoomed.
#[test]
fn five_thousand_operations_are_drawn_in_time() {
    let mut recorder = Recorder::new();
    let (mut chain, mut now) = (Vec::new(), 0);
    for number in 0..1000_u64 {
        let ops: Vec<_> = (0..5)
            .map(|process| {
                now += 1_000_000;
                recorder
                    .invoke(now, &format!("r{process}"), Function::Append, Some("e"))
                    .unwrap()
            })
            .collect();
        for op in ops {
            now += 1_000_000;
            let hash = format!("h{now}");
            let sequence = chain.len() as u64 + 1;
            let event_hash = Text::from(hash.clone());
            let appended = Appended {
                sequence,
                event_hash,
                durability: None,
            };
            recorder
                .end(now, op, Outcome::Appended(appended), None)
                .unwrap();
            let previous = (number > 0 || sequence > 1).then(|| format!("h{}", now - 1));
            chain.push(ChainEntry {
                op: Some(op),
                sequence,
                previous_hash: previous.map(Text::from),
                event_hash: Text::from(hash),
                audit: None,
            });
        }
    }
    let state = FinalState {
        chain: Some(chain),
        ..FinalState::default()
    };
    recorder.final_state(state).unwrap();
    let page = checked(&recorder.into_history());
    let script = r#"
        const begun = performance.now();
        let frames = 0;
        for (let i = 0; i < 20; i += 1) {
          zoom(0.7); panes.forEach(draw); pan(0.2); panes.forEach(draw); frames += 2;
        }
        fit(); panes.forEach(draw); frames += 1;
        const { canvas } = panes[0];
        canvas.getContext("2d").getImageData(0, 0, 1, 1);
        document.body.dataset.frame = Math.round((performance.now() - begun) / frames);
    "#;
    let Some(dom) = page.dom("", script) else {
        return;
    };
    let (_, frame) = dom.split_once("data-frame=\"").unwrap();
    let frame: u64 = frame.split('"').next().unwrap().parse().unwrap();
    eprintln!("{frame} ms a frame");
    // Half a second for slow machines that run other tests.
    assert!(frame < 500, "a frame takes {frame} ms");
}

/// Catches a summary that lacks a fault, a failing seed, or how to go on with it.
#[test]
fn a_run_is_summed_up() {
    let ok = page(&["run", "--seeds", "0..4"]);
    let failing = [
        "run",
        "--store",
        "purge_again",
        "--workload",
        "vault",
        "--seeds",
        "0..50",
    ];
    let failing = page(&failing);
    let Some(dom) = ok.dom("", "") else { return };
    for expected in [
        "data-fault=\"late_command\"",
        "no violation",
        "noscript met",
    ] {
        assert!(dom.contains(expected), "{expected} is not in\n{dom}");
    }
    let dom = failing
        .dom("", USE.replace("\"append\"", "\"mutate\"").as_str())
        .unwrap();
    for expected in [
        "class=\"failure\"",
        "haechi-sim replay --seed",
        "haechi-sim shrink --seed",
        "class=\"violation\"",
        "data-lane=\"vault\"",
        "data-lane=\"r0\"",
    ] {
        assert!(dom.contains(expected), "{expected} is not in\n{dom}");
    }
}

/// Catches an error that is not said when a page cannot be written.
#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let nowhere = Path::new("nowhere").join("page.html");
    for words in [
        &["replay", "corpus/no_fence.json"][..],
        &["run", "--seed", "1"],
    ] {
        let output = sim(&[words, &["--report", nowhere.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be written"));
    }
}

/// Catches a page of a system of one's own that lacks the violation, a lane or the trace, and any error
/// of its script.
#[test]
fn a_system_of_ones_own_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let naive = super::system::naive_lock::NaiveLock;
    let words = ["--seed", "16", "--report", path.to_str().unwrap()];
    let (told, code) = super::system::told(naive, &words);
    assert_eq!(code, 1, "{told}");
    let Some(dom) = (Page { folder, path }).dom("op=16", USE) else {
        return;
    };
    for expected in [
        "<title>NaiveLock, seed 16</title>",
        "title=\"\">not_linearizable</span>",
        "data-ops=\"17 16\"",
        "data-lane=\"replica\">replica: 1<",
        "data-lane=\"r1\">r1: 1<",
        "data-lane=\"r3\">r3: 1<",
        "data-after=\"true\"",
    ] {
        assert!(dom.contains(expected), "{expected} is not in {dom}");
    }
}
