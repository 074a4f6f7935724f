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
for (const key of ["+", "+", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "-", "g", "0", "v", "n", "p", "j", "l", "h", "k", "t", "t"]) press(key);
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

/// Tells what the page shows, by the names of `data-…`.
const SEE: &str = r#"
const tell = (name, value) => (document.body.dataset[name] = value);
const pane = panes[0], { canvas } = pane;
canvas.setPointerCapture = () => {};
const press = (key) => window.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const pointer = (type, x, y) => {
  const box = canvas.getBoundingClientRect();
  const [clientX, clientY] = [box.left + canvas.clientLeft + x, box.top + canvas.clientTop + y];
  canvas.dispatchEvent(new PointerEvent(type, { clientX, clientY, pointerId: 1, bubbles: true }));
};
const middle = (item) => [(edges(pane, item)[0] + edges(pane, item)[1]) / 2, item.row.y + item.row.height / 2 - pane.scroll];
const pixels = (x, y, w, h) => {
  draw(pane);
  return canvas.getContext("2d").getImageData(x, y, w, h).data.join();
};
const opItem = (id) => pane.byOp.get(id).find((item) => item.kind === "op");
const found = (query) => {
  document.getElementById("query").value = query;
  search();
  return [...matches].filter((item) => item.pane === pane).map((item) => `${item.kind} ${item.op}`).sort().join(", ");
};
"#;

/// Catches a tooltip without the outcome, a click that selects nothing, a drag that selects,
/// a key that leaves the axis as it is, and themes that look the same.
#[test]
fn what_a_user_does_has_its_effect() {
    let page = page(&["replay", "corpus/no_append_id.json"]);
    let acts = r##"
        const [x, y] = middle(opItem(3));
        pointer("pointermove", x, y);
        tell("tip", document.getElementById("tip").innerText.split("\n").join("; "));
        pointer("pointerdown", x, y);
        pointer("pointermove", x - 60, y);
        pointer("pointerup", x - 60, y);
        tell("dragged", String(selected?.op));
        fit();
        pointer("pointerdown", x, y);
        pointer("pointerup", x, y);
        tell("clicked", `${selected?.op}: ${document.querySelector("#details h2").textContent}`);
        const before = [shown.to - shown.from, pixels(GUTTER, 0, 500, RULER)];
        press("+");
        const after = [shown.to - shown.from, pixels(GUTTER, 0, 500, RULER)];
        tell("zoomed", `${after[0] < before[0]} ${after[1] !== before[1]}`);
        press("0");
        tell("whole", String(pixels(GUTTER, 0, 500, RULER) === before[1]));
        const themes = ["light", "dark"].map((theme) => {
          setTheme(theme);
          return [pixels(2, RULER + 30, 1, 1), getComputedStyle(document.body).backgroundColor, colours.text];
        });
        tell("themes", themes[0].map((colour, i) => colour !== themes[1][i]).join(" "));
        const record = pane.view.chain[1];
        tell("byHash", `${found(record.hash)} of ${record.op}`);
        tell("byOp", found("op 1"));
    "##;
    let Some(dom) = page.dom("", &[SEE, acts].concat()) else {
        return;
    };
    for expected in [
        "data-tip=\"op 3 append of r0: ok; 4435 ms to 4465 ms; at 2 8XTJ",
        "data-dragged=\"undefined\"",
        "data-clicked=\"3: op 3 append\"",
        "data-zoomed=\"true true\"",
        "data-whole=\"true\"",
        "data-themes=\"true true true\"",
        // The lost append was told the same hash.
        "data-by-hash=\"op 2, op 3, record 2 of 2\"",
        "data-by-op=\"op 1\"",
    ] {
        assert!(dom.contains(expected), "{expected} is not in\n{dom}");
    }
}

/// Catches keys that do nothing before something is selected, an operation or a lane that they do
/// not reach, and a violation without operations that is not brought into sight.
#[test]
fn keys_reach_every_operation() {
    let page = page(&["replay", "corpus/no_fence.json"]);
    let acts = r##"
        const ids = (key, times) => Array.from({ length: times }, () => press(key) && selected.op).join(" ");
        const rows = () => [selected.kind, selected.lane].join(" ");
        tell("next", ids("n", 4));
        press("Escape");
        tell("previous", ids("p", 4));
        press("Escape");
        press("n");
        press("k");
        const above = rows();
        press("l");
        const beside = selected.op;
        press("j");
        tell("lanes", `${above}, ${beside}, ${rows()}`);
        press("v");
        tell("first", `${selected} ${document.querySelector(".violation.current").textContent}`);
        press("v");
        tell("second", selected.op);
        const more = document.querySelector("#violations .more");
        tell("more", more.hidden ? "" : more.textContent);
    "##;
    let Some(dom) = page.dom("", &[SEE, acts].concat()) else {
        return;
    };
    for expected in [
        "data-next=\"1 2 3 1\"",
        "data-previous=\"3 2 1 3\"",
        "data-lanes=\"record chain, 2, op r0\"",
        "data-first=\"null chain_integrity: the chain does not verify",
        "data-second=\"3\"",
        "data-more=\"▾ 1 more below\"",
    ] {
        assert!(dom.contains(expected), "{expected} is not in\n{dom}");
    }
}

/// Catches a lost version that is drawn as one that the vault still has, a number that is not
/// found, and a record or version that is found before the operation of a bare number.
#[test]
fn lost_versions_are_told_apart_and_numbers_found() {
    let page = page(&["replay", "--topology", "sentinel", "--seed", "4"]);
    let acts = r##"
        const versions = pane.items.filter((item) => item.kind === "version");
        const lost = versions.filter((item) => item.it.gone === "lost");
        const live = versions.filter((item) => !lost.includes(item)).sort((a, b) => a.it.version - b.it.version);
        const inOrder = live.every((item, i) => i === 0
          || (live[i - 1].it.version < item.it.version && live[i - 1].start <= item.start));
        tell("versions", `${lost.map((item) => item.it.version).sort().join(" ")}; ${inOrder} ${live.at(-1).it.version === pane.view.version}`);
        select(lost[0], pane);
        tell("lost", document.getElementById("details").textContent.includes("taken by a fault"));
        select(null);
        tell("legend", document.getElementById("details").textContent.includes("one that a fault took"));
        const kinds = (query) => found(query) && [...matches].map(({ kind, it }) => `${kind} ${it.id && kind === "op" ? it.id : it.sequence ?? it.version}`);
        tell("record", kinds("record 12").join(", "));
        tell("version", kinds("version 3").join(", "));
        tell("bare", kinds("12").join(", "));
        step(1);
        tell("opFirst", `${selected.kind} ${selected.op}`);
    "##;
    let Some(dom) = page.dom("", &[SEE, acts].concat()) else {
        return;
    };
    for expected in [
        "data-versions=\"1 2 3 4 5; true true\"",
        "data-lost=\"true\"",
        "data-legend=\"true\"",
        "data-record=\"record 12\"",
        "data-version=\"version 3, version 3\"",
        "data-bare=\"op 12, record 12, version 12\"",
        "data-op-first=\"op 12\"",
    ] {
        assert!(dom.contains(expected), "{expected} is not in\n{dom}");
    }
}

/// Catches a long name that is squeezed or is not told whole, and a character in a name that turns
/// the text around it.
#[test]
fn long_names_and_turned_text_can_be_read() {
    let mut recorder = Recorder::new();
    for name in ["the-process-with-the-long-name", "turned\u{202e}eman", "w1"] {
        let op = recorder.invoke(0, name, Function::Append, Some("e"));
        recorder
            .end(9, op.unwrap(), Outcome::Failed(None), Some("refused"))
            .unwrap();
    }
    let state = FinalState {
        chain: Some(Vec::new()),
        ..FinalState::default()
    };
    recorder.final_state(state).unwrap();
    let page = checked(&recorder.into_history());
    let acts = r##"
        draw(pane);
        const c = canvas.getContext("2d");
        tell("names", pane.lanes.map((lane) => lane.shown).filter(Boolean).join("; "));
        tell("fits", pane.lanes.every((lane) => c.measureText(lane.shown).width <= GUTTER - 14));
        const { rows: [row] } = pane.lanes.find((lane) => lane.name.startsWith("the-"));
        pointer("pointermove", 20, row.y + row.height / 2);
        tell("tip", document.getElementById("tip").innerText);
        select(row.items[0], pane);
        tell("details", document.querySelector("#details dd").textContent);
    "##;
    let Some(dom) = page.dom("", &[SEE, acts].concat()) else {
        return;
    };
    for expected in [
        "turned\u{fffd}eman",
        "…; ",
        "data-fits=\"true\"",
        "data-tip=\"the-process-with-the-long-name\"",
        "data-details=\"the-process-with-the-long-name\"",
    ] {
        assert!(dom.contains(expected), "{expected} is not in\n{dom}");
    }
    assert!(!dom.contains('\u{202e}'), "{dom}");
}

/// Catches lanes that lack a promotion or a lock's tenure, tenures that overlap, marks of
/// attempts that are not drawn or of other operations, and a token that is not found.
#[test]
fn a_world_shows_promotions_locks_and_attempts() {
    let page = page(&["replay", "--topology", "sentinel", "--seed", "5"]);
    let acts = r##"
        const of = (kind) => pane.items.filter((item) => item.kind === kind);
        tell("primaries", of("primary").map((item) => item.it.host).join(" "));
        const chain = of("tenure").filter((item) => item.it.lock === "chain lock");
        const apart = chain.every((item, i) => i === 0 || chain[i - 1].stop <= item.start);
        const ends = new Set(chain.map((item) => item.it.ended));
        tell("tenures", `${apart} ${ends.has("released")} ${ends.has("lapsed")}`);
        const trace = pane.view.trace;
        const granted = trace.filter(([, text]) => /: acquire of r\d: (late: )?granted/.test(text)).length;
        tell("granted", `${chain.filter((item) => item.it.lane).length - granted}`);
        const given = of("op").find((item) => item.told.some((event) => event.isGivenUp));
        const lines = trace.filter(([, text]) => new RegExp(`for ops? ([0-9]+, )*${given.op}\\b`).test(text));
        tell("told", `${given.told.length - lines.length} ${given.told.length > 1}`);
        const [a, b] = edges(pane, given).map(Math.round);
        const bar = () => pixels(a, Math.round(given.row.y - pane.scroll), b - a, given.row.height);
        const marked = bar();
        given.told = [];
        tell("marked", String(marked !== bar()));
        tell("ranged", [...attempts([[1, "append of r1 for ops 21, 28-30: committed"]]).keys()].join(" "));
        const token = pane.view.ops.flatMap((op) => op.tokens)[0];
        const having = pane.view.ops.filter((op) => op.tokens.includes(token)).map((op) => op.id);
        found(token);
        const ids = new Set([...matches].filter((item) => item.kind === "op").map((item) => item.op));
        tell("byToken", `${having.every((id) => ids.has(id))} ${ids.size < pane.view.ops.length}`);
    "##;
    let Some(dom) = page.dom("", &[SEE, acts].concat()) else {
        return;
    };
    for expected in [
        "data-lane=\"primary\">primary: 2<",
        "data-lane=\"vault lock\"",
        "data-primaries=\"redis redis2\"",
        "data-tenures=\"true true true\"",
        "data-granted=\"0\"",
        "data-told=\"0 true\"",
        "data-ranged=\"21 28 29 30\"",
        "data-marked=\"true\"",
        "data-by-token=\"true true\"",
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

/// Catches a frame that measures or writes a label for each of 5,000 operations and their records, or
/// draws them for each other: it has about two calls of the canvas for each, most of them bars.
#[test]
fn a_frame_takes_few_calls_an_operation() {
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
        const c = canvas.getContext("2d");
        let calls = 0;
        for (const name of ["fillRect", "strokeRect", "fillText", "measureText", "moveTo", "lineTo", "stroke", "fill"]) {
          const call = c[name].bind(c);
          c[name] = (...given) => { calls += 1; return call(...given); };
        }
        const frame = (move) => {
          move();
          calls = 0;
          panes.forEach(draw);
          return calls;
        };
        const moved = [];
        for (let i = 0; i < 15; i += 1) moved.push(frame(() => zoom(0.7)), frame(() => pan(0.2)));
        tell("items", panes[0].items.length);
        tell("whole", frame(fit));
        tell("moved", Math.max(...moved));
    "#;
    let Some(dom) = page.dom("", &[SEE, script].concat()) else {
        return;
    };
    let [items, whole, moved] = ["items", "whole", "moved"].map(|name| -> u64 {
        let (_, rest) = dom.split_once(&format!("data-{name}=\"")).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    });
    eprintln!("{items} items: {whole} calls a frame of the whole, at most {moved} while it moves");
    let most = 3 * items;
    assert!(whole < most && moved < most, "{whole} or {moved} calls");
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
        "data-violation=\"stale_write\"",
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
        // Before the worlds, which would take hours.
        &["run", "--seeds", "0..1000000"],
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
        "data-violation=\"not_linearizable\"",
        "data-fault=\"pause\"",
        "title=\"\">not_linearizable</span>",
        "data-ops=\"17 16\"",
        "data-lane=\"replica\">replica: 1<",
        "data-lane=\"r1\">r1: 1<",
        "data-lane=\"r3\">r3: 1<",
        "data-after=\"true\"",
        "placeholder=\"operation  ( / )\"",
    ] {
        assert!(dom.contains(expected), "{expected} is not in {dom}");
    }
    let (_, timeline) = dom.split_once("<main").unwrap();
    let (timeline, _) = timeline.split_once("</main>").unwrap();
    for foreign in ["vault", "chain", "Store", "record"] {
        assert!(!timeline.contains(foreign), "{foreign} is in {timeline}");
    }
}
