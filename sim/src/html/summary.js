// The summary of a run: figures, failing seeds, and how faults and outcomes met.

function showSummary(sum) {
  const box = byId("summary");
  box.hidden = false;
  const isOk = sum.verdict === "ok";
  byId("verdict").replaceWith(make("span", { id: "verdict", class: `badge ${isOk ? "ok" : "bad"}` },
    isOk ? "no violation" : sum.verdict === "violation" ? `violations in ${count(sum.failed, "world")}` : "error of the harness"));
  const all = ({ ok, fail, unknown }) => ok + fail + unknown;
  const figures = [
    [number(sum.worlds), "worlds"], [number(sum.worlds / Math.max(sum.wallMs / 1000, 1e-3)), "worlds a second"],
    ...(sum.perCore ? [[number(sum.perCore), "a second a core"]] : []), [number(all(sum.ops)), "operations"],
    ...(sum.vaultOps ? [[number(all(sum.vaultOps)), "of them on the vault"]] : []), [number(sum.ops.ok), "ok"], [number(sum.ops.fail), "fail"], [number(sum.ops.unknown), "unknown"],
    sum.simulatedMs < 3.6e5 ? [number(sum.simulatedMs / 1e3), "simulated seconds"] : [(sum.simulatedMs / 3.6e6).toFixed(1), "simulated hours"], [`${(sum.wallMs / 1000).toFixed(1)} s`, "wall time"],
  ];
  box.append(make("div", { class: "figures" }, ...figures.map(([value, text]) => make("div", {}, make("b", {}, value), text))));
  const detections = Object.entries(sum.detections);
  if (detections.length) box.append(detectionTable(detections));
  const [first, ...more] = sum.failures.map(failure);
  if (more.length) box.append(make("details", {}, make("summary", {}, `${more.length} more of the seeds that fail`), ...more));
  if (first) box.append(first);
  const tables = byId("tables");
  tables.hidden = false;
  const unmet = sum.situations.filter(([, n]) => n === 0);
  tables.append(make("div", { class: "columns" },
    make("div", {}, make("h2", {}, "Operations during which a fault struck, by how they ended"), faultTable(sum.faults)),
    make("div", {},
      ...(sum.crossed ? [make("h2", {}, "Operations and the classes of faults"), crossedTable(sum.crossed)] : []),
      make("h2", {}, `Situations${unmet.length ? `, ${unmet.length} of them never met` : ""}`), situationTable(sum.situations),
      ...(sum.losses.length ? [make("h2", {}, "Data lost, and what processes did that had seen it"), lossTable(sum.losses)] : []))));
  if (!sum.marks) return;
  const { met, unmet: never } = sum.marks;
  tables.append(make("p", { class: "dim" }, `${met} of ${met + never.length} marks met. ${never.length ? `Never: ${never.join(", ")}` : ""}`));
}

function failure({ seed, reasons, commands }, index) {
  // Those of the first are above its timeline.
  const shown = data.views && index === 0 ? [] : reasons.slice(0, 20);
  return make("div", { class: "failure", "data-seed": seed }, make("h2", {}, `seed ${seed} fails`),
    ...shown.map((reason) => make("div", {}, reason)), make("pre", {}, commands.join("\n")));
}

/** A cell as dark as its count is large, on a scale of logarithms; its text can be read on all. */
function heat(value, most, hue) {
  if (value === null) return make("td", { class: "n dim" }, "–");
  const cell = make("td", { class: value ? "n heat" : "n never" }, value ? number(value) : "never");
  const share = value ? 10 + (45 * Math.log1p(value)) / Math.log1p(Math.max(most, 1)) : 0;
  cell.style.setProperty("--cell", `var(--${hue})`);
  cell.style.setProperty("--share", `${share}%`);
  return cell;
}

function table(head, rows) {
  const cell = (text, i) => make("th", rows[0]?.children[i].classList.contains("n") ? { class: "n" } : {}, text);
  const all = make("table", {}, make("thead", {}, make("tr", {}, ...head.map(cell))), make("tbody", {}, ...rows));
  return make("div", { class: "scroll" }, all);
}

const most = (rows) => Math.max(1, ...rows.flatMap(({ counts }) => counts.map((n) => n ?? 0)));

function faultTable(faults) {
  const top = most(faults);
  let before = "";
  const drawn = faults.filter(({ struck, counts }) => struck || counts.some((n) => n !== null));
  const rows = drawn.map(({ kind, class: of, struck, counts }) => {
    const group = of === before ? "" : of.replace("_", " ");
    before = of;
    const hues = ["ok", "fail", "unknown"];
    return make("tr", { "data-fault": kind }, make("td", { class: "group" }, group), make("td", {}, kind.replaceAll("_", " ")),
      make("td", { class: "n" }, struck ? number(struck) : "–"), ...counts.map((n, i) => heat(n, top, hues[i])));
  });
  return table(["", "fault", "struck", "ok", "fail", "unknown"], rows);
}

function detectionTable(detections) {
  return table(["violation", "first seed", "seeds to detection", "worlds"], detections.map(([name, found]) => make("tr", { "data-violation": name },
    make("td", {}, name), ...[found.firstSeed, found.seedsToDetection, found.worlds].map((n) => make("td", { class: "n" }, String(n))))));
}

function crossedTable({ classes, rows }) {
  const top = most(rows);
  const drawn = rows.filter(({ f }) => rows.some((row) => row.f === f && row.counts.some((n) => n !== null)));
  const shown = drawn.map(({ f, ending, counts }, i) => make("tr", {},
    make("td", {}, i % 3 ? "" : f.replace("_", " ")), make("td", { class: "group" }, ending),
    ...counts.map((n) => heat(n, top, ending))));
  return table(["", "", ...classes.map((name) => name.replace("_", " "))], shown);
}

function situationTable(situations) {
  const top = Math.max(1, ...situations.map(([, n]) => n ?? 0));
  return table(["situation", "met"], situations.map(([name, n]) => make("tr", {},
    make("td", {}, name.replaceAll("_", " ")), heat(n, top, "record"))));
}

function lossTable(losses) {
  const names = ["struck", "seen", "said", "idle", "silent"];
  return table(["fault", "struck", "seen by", "said so", "idle", "silent"], losses.map((row) => make("tr", {},
    make("td", {}, row.fault.replaceAll("_", " ")), ...names.map((name) => make("td", { class: "n" }, number(row[name]))))));
}

