// What the timelines say in words, and how they are moved: violations, details, search,
// pointer and keys.

const SHOWN_VIOLATIONS = 200;
const KEYS = [["← → ↑ ↓", "move"], ["+ −", "zoom"], ["0", "show everything"], ["v", "next violation"],
  ["n p", "next, previous operation, or of what was found"], ["l h", "next, previous in its lane"], ["j k", "to the lane below, above"], ["g", "short or full idle time"], ["/", "search"], ["Esc", "unselect"], ["t", "light, dark"]];
let blame = -1;

function showTimeline(views) {
  byId("timeline").hidden = byId("search").hidden = false;
  for (const view of views) view.trace = view.trace?.map(([millis, text]) => [millis, unpadded(text)]);
  axis = makeAxis(views);
  panes = views.map(build);
  for (const pane of panes) addPane(pane);
  if (typeof data.parting === "number") showParting(views, data.parting);
  showViolations();
  restyled.push(restyle);
  fit();
  byId("tools").prepend(button("fit", fit, "show everything (0)"), button("idle", toggleIdle, "short or full idle time (g)"));
  byId("search").addEventListener("submit", (event) => event.preventDefault() || step(1));
  if (!hasStore()) byId("query").placeholder = "operation  ( / )";
  byId("query").addEventListener("input", search);
  window.addEventListener("keydown", key);
  window.addEventListener("resize", resize);
  if (asked.get("q")) { byId("query").value = asked.get("q"); search(); }
  resize();
  restyle();
  const op = asked.get("op") && panes[0].byOp.get(Number(asked.get("op")));
  select(op ? op.find((item) => item.kind === "op") : null, panes[0]);
}

/** Whether it is the store that ran, not a system of one's own. */
const hasStore = () => panes.some(({ view }) => view.chain || view.version !== null);

/** The text of an event, of a fault without the spaces that align it in a list. */
const unpadded = (text) => (text.startsWith("fault ") ? text.replace(/ +/g, " ") : text);

/** A fault's text without its times. */
const faultName = (text) => text.replace(/^\s*\d+ ms\s+(for\s+\d+ ms\s+)?/, "");

function restyle() {
  const names = "bg panel line band text dim ok fail unknown open record bad hit network replica lock redis data_loss on";
  for (const name of names.split(" ")) colours[name] = colour(name);
  showDetails();
  paint();
}

function addPane(pane) {
  const { view } = pane;
  stack(pane);
  // What is drawn, for those who do not see it.
  const lanes = pane.lanes.map((lane) => make("li", { "data-lane": visible(lane.name) }, `${lane.name}: ${lane.count}`));
  pane.canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": `timeline of ${view.name}` },
    make("ul", { class: "lanes" }, ...lanes));
  const bad = view.violations.length, chain = view.chain ? `, ${count(view.chain.length, "record")}` : "";
  const lead = view.version !== null ? `, version ${number(view.version)} of the vault` : "";
  byId("panes").append(make("section", { class: "pane" },
    make("h2", {}, view.name, make("span", { class: "dim" },
      `${count(view.ops.length, "operation")}${chain}${lead}: ${bad ? count(bad, "violation") : "no violation"}`)),
    pane.canvas));
  listen(pane);
}

function resize() {
  const above = byId("panes").getBoundingClientRect().top + window.scrollY;
  const free = Math.max(window.innerHeight - above - 34 * panes.length - 10, 430 * panes.length);
  // With the border.
  for (const pane of panes) pane.canvas.style.height = `${Math.min(pane.height + 2, free / panes.length)}px`;
  countBelow();
  paint();
}

function showViolations() {
  const [{ view }] = panes, box = byId("violations");
  const bad = view.violations.length + (view.errors ?? []).length;
  // Of many runs, the summary has said it.
  if (!data.summary) byId("verdict").replaceWith(make("span", { id: "verdict", class: `badge ${bad ? "bad" : "ok"}` },
    bad ? count(view.violations.length, "violation") : "no violation"));
  box.hidden = bad === 0;
  for (const error of view.errors ?? []) box.append(make("p", {}, `error of the harness, not of the store: ${error}`));
  for (const { invariant, means, ops, reason } of view.violations.slice(0, SHOWN_VIOLATIONS)) {
    const links = [...new Set(ops)].slice(0, 30).map((id) => opButton(panes[0], id));
    box.append(make("p", { class: "violation", "data-ops": ops.join(" ") },
      make("span", { class: "name", title: means }, invariant), ": ", reason, " ", ...links));
  }
  const left = view.violations.length - SHOWN_VIOLATIONS;
  if (left > 0) box.append(make("p", { class: "dim" }, `and ${number(left)} more, which are not listed`));
  box.append(make("div", { class: "more", hidden: "" }));
  box.addEventListener("scroll", countBelow);
}

/** Says how many violations go on below the edge of their box. */
function countBelow() {
  const box = byId("violations"), more = box.querySelector(".more");
  const end = box.scrollTop + box.clientHeight;
  const below = [...box.querySelectorAll("p")].filter((text) => text.offsetTop + text.offsetHeight > end + 2).length;
  more.hidden = below === 0;
  more.textContent = `▾ ${number(below)} more below`;
}

function opButton(pane, id) {
  const item = (pane.byOp.get(id) ?? []).find((it) => it.kind === "op");
  const act = () => item && select(item, pane);
  return make("button", { type: "button", click: act, "data-op": id }, `op ${id}`);
}

/** The event in which the two traces part. */
function showParting([one, other], at) {
  const [a, b] = [one.trace ?? [], other.trace ?? []];
  const differs = (i) => a[i]?.[0] !== b[i]?.[0] || a[i]?.[1] !== b[i]?.[1];
  const when = Math.min(a[at]?.[0] ?? Infinity, b[at]?.[0] ?? Infinity) * 1e6;
  panes.forEach((pane) => (pane.partsAt = when));
  const listing = (trace) => {
    const lines = [];
    for (let i = Math.max(0, at - 6); i < Math.min(trace.length, at + 14); i += 1) {
      const text = `${String(i + 1).padStart(4)} ${String(trace[i][0]).padStart(5)} ms  ${trace[i][1]}`;
      lines.push(make(i >= at && differs(i) ? "mark" : "div", {}, text));
    }
    return make("pre", {}, ...lines);
  };
  const column = (view) => make("div", {}, make("h2", {}, view.name), listing(view.trace ?? []));
  const section = byId("parting");
  section.hidden = false;
  section.dataset.event = at + 1;
  section.append(make("h2", {}, `The traces part at event ${at + 1}, at ${time(when)} (dashed line)`),
    make("div", { class: "two" }, column(one), column(other)));
}

function showDetails() {
  const box = byId("details");
  box.replaceChildren(...(selected ? describe(selected, selected.pane) : legend()));
  box.scrollTop = 0;
}

/** A colour or a form that is drawn, and what it means. */
const swatch = (name, text, form = "") =>
  make("div", { class: "entry" }, make("span", { class: `swatch ${form}`, style: `--hue: var(--${name})` }), text);

/** What the page has, in words, and the keys. */
function legend() {
  const items = panes.flatMap((pane) => pane.items), has = (fits) => items.some(fits);
  const outcomes = new Set(items.filter((item) => item.kind === "op").map((item) => item.it.outcome));
  const kinds = new Set(items.map((item) => item.kind)), gone = new Set(items.map((item) => item.it.gone));
  const classes = new Set(items.map((item) => item.it.class ?? (item.kind === "loss" ? "data_loss" : "")));
  const ends = new Set(items.map((item) => item.it.ended));
  const made = kinds.has("version") ? "a record, or a version of the vault" : "a record";
  const entries = [
    ["Operations", [
      outcomes.has("ok") && swatch("ok", "ok"),
      outcomes.has("fail") && swatch("fail", "fail: not applied"),
      outcomes.has("unknown") && swatch("unknown", "unknown: applied or not"),
      outcomes.has("open") && swatch("open", "open: never ended", "dashed"),
      has((item) => item.blamed) && swatch("bad", "has to do with a violation", "frame"),
      kinds.has("rollback") && swatch("data_loss", "a process reports a rollback", "diamond"),
      has((item) => item.lane === "operators") && make("div", {}, "operators: who repair the chain after a loss"),
      has((item) => item.told?.length) && make("p", { class: "dim" },
        "Marks in a bar: at the bottom, what a server did for it; at the top, what its client gave up."),
    ]],
    ["Store", [
      (kinds.has("record") || kinds.has("version")) && swatch("record", made),
      gone.has("lost") && swatch("bad", "one that a fault took", "dashed"),
      gone.has("missing") && swatch("bad", "a record that is missing in the final chain", "dashed"),
      kinds.has("primary") && swatch("record", "primary: which server it is"),
    ]],
    ["Locks", [
      kinds.has("tenure") && swatch("lock", "a lock and its holder, released"),
      ends.has("lapsed") && swatch("unknown", "at its end: lapsed"),
      (ends.has("deleted") || ends.has("stolen")) && swatch("bad", "at its end: deleted or stolen"),
      ends.has("held") && swatch("open", "at its end: still held"),
    ]],
    ["Faults", [
      ...["network", "replica", "lock", "redis", "data_loss"].map((name) => classes.has(name) && swatch(name, name.replace("_", " "))),
      has((item) => item.kind === "fault" && item.it.lane) && make("div", {}, "behind a lane: a fault of its process"),
    ]],
    ["Dashed lines", [
      has((item) => item.kind === "primary" && item.start > 0) && swatch("record", "a server becomes the primary", "moment"),
      panes.some((pane) => pane.partsAt !== undefined) && swatch("bad", "the traces part", "moment"),
    ]],
  ];
  const parts = entries.map(([title, list]) => [title, list.filter(Boolean)]).filter(([, list]) => list.length);
  const keys = (names) => names.split(" ").flatMap((name) => [make("kbd", {}, name), " "]);
  return [...parts.flatMap(([title, list]) => [make("h2", {}, title), ...list]),
    make("h2", {}, "Keys"),
    make("dl", {}, ...KEYS.flatMap(([names, text]) => [make("dt", {}, ...keys(names)), make("dd", {}, text)])),
    make("p", { class: "dim" }, "Wheel: zoom. Drag: move. Shift and wheel: scroll. Click: details."
      + (axis.gaps.length ? " Dotted: nothing happens, drawn short." : "")),
    make("p", {}, make("code", {}, data.command))];
}

/** An item in words, for the panel. */
function describe(item, pane) {
  const { kind, it } = item, rows = [];
  const row = (name, ...values) => rows.push(make("dt", {}, name), make("dd", {}, ...values));
  let heading = labelOf(item);
  if (kind === "op") {
    heading = `op ${it.id} ${it.f}`;
    row("process", it.process);
    row("outcome", it.outcome);
    row("from", time(it.start));
    row("to", it.end === undefined ? "never ended" : `${time(it.end)} (${time(it.end - it.start)})`);
    if (it.event !== undefined) row("event", it.event);
    if (it.error !== undefined) row("error", it.error);
    const givenUp = item.told.filter((event) => event.isGivenUp).length;
    if (item.told.length) row("in the trace", `${count(item.told.length - givenUp, "time")} at a server, ${number(givenUp)} given up`);
    for (const line of it.lines) row("", make("span", { class: "mono" }, line));
    const made = (pane.byOp.get(it.id) ?? []).filter((other) => other !== item);
    for (const other of made) row(other.kind, button(labelOf(other), () => select(other, pane)), ` ${other.it.gone ?? ""}`);
    for (const { invariant, ops, reason } of pane.view.violations) if (ops.includes(it.id)) row(invariant, reason);
  } else if (kind === "record") {
    heading = `record ${it.sequence}`;
    row("hash", make("span", { class: "mono" }, it.hash));
    if (it.previous !== undefined) row("after", make("span", { class: "mono" }, it.previous ?? "nothing"));
    if (it.gone) row("state", it.gone === "lost" ? "acknowledged, and taken by a fault" : "acknowledged, and not in the final chain");
    if (it.audit) row("attests", it.audit);
    row("made by", it.op === null || it.op === undefined ? "no recorded operation" : opButton(pane, it.op));
  } else if (kind === "version") {
    heading = `version ${it.version} of the vault`;
    if (it.gone) row("state", "acknowledged, and taken by a fault");
    row("made by", opButton(pane, it.id));
    for (const line of it.lines) row("", make("span", { class: "mono" }, line));
  } else if (kind === "primary") {
    heading = `${it.host} is the primary`;
    row("from", time(item.start));
    row("to", time(item.stop));
  } else if (kind === "tenure") {
    heading = it.text;
    row("from", time(item.start));
    row("to", `${time(item.stop)} (${time(item.stop - item.start)})`);
  } else if (kind === "rollback") {
    heading = "a rollback is reported";
    row("by", it.process);
    row("at", time(it.time));
    row("had seen", it.seen);
  } else if (kind === "loss") {
    heading = `data lost by ${it.fault}`;
    row("at", time(it.time));
    for (const name of ["hashes", "versions", "tokens"]) {
      if (it[name].length) row(name, make("span", { class: "mono" }, it[name].slice(0, 50).join(" ")));
    }
  } else {
    heading = kind === "strike" ? `${it.kind} strikes ${it.lane ?? "all"}` : faultName(it.text);
    row("class", it.class.replace("_", " "));
    row(item.stop > item.start ? "from" : "at", time(item.start));
    if (item.stop > item.start) row("for", time(item.stop - item.start));
  }
  return [make("h2", {}, heading), make("dl", {}, ...rows), ...traceWithin(item, pane)];
}

/** The events of the trace between the ends of an item. */
function traceWithin(item, pane) {
  const trace = pane.view.trace ?? [];
  const first = trace.findIndex(([t]) => t * 1e6 >= Math.floor(item.start / 1e6) * 1e6);
  if (trace.length === 0 || first < 0) return [];
  let last = first;
  while (last < trace.length && trace[last][0] * 1e6 <= item.stop) last += 1;
  const name = item.it.lane, op = item.op, isOwn = (text) =>
    (name && new RegExp(`\\b${name}\\b`).test(text)) || (op !== undefined && new RegExp(`\\bops? .*\\b${op}\\b`).test(text));
  const lines = trace.slice(first, Math.min(last, first + SHOWN_LINES)).map(([t, text], i) =>
    make("li", isOwn(text) ? { class: "own mono" } : { class: "mono" }, `${first + i + 1}  ${t} ms  ${text}`));
  const more = last - first - lines.length;
  return [make("h2", {}, `Trace, events ${first + 1} to ${last}`), make("ol", { class: "trace" }, ...lines),
    ...(more > 0 ? [make("p", { class: "dim" }, `and ${number(more)} more`)] : [])];
}

function search() {
  const query = byId("query").value.trim().toLowerCase();
  matches = null;
  byId("found").textContent = "";
  if (query) {
    // A bare number: the operation first, then the record and the version.
    const [, what, digits] = /^(?:(op|call|record|version) )?(\d+)$/.exec(query) ?? [];
    const kinds = { op: ["op"], call: ["op"], record: ["record"], version: ["version"] }[what] ?? ["op", "record", "version"];
    const numberOf = ({ kind, it }) => ({ op: it.id, record: it.sequence, version: it.version })[kind];
    const has = (text) => text !== undefined && text !== null && String(text).toLowerCase().includes(query);
    const fits = ({ kind, it }) => {
      if (digits) return kinds.includes(kind) && numberOf({ kind, it }) === Number(digits);
      if (kind === "op") return [it.f, it.process, it.event, it.hash, it.error, it.outcome, ...it.tokens].some(has);
      return [it.hash, it.kind, it.fault, it.audit, it.host, it.text, ...(it.tokens ?? []), ...(it.hashes ?? [])].some(has);
    };
    const found = panes.flatMap((pane) => pane.items.filter((item) => fits(item) && (item.pane = pane)));
    const place = ({ kind }) => (digits ? kinds.indexOf(kind) : 0);
    matches = new Set(found.sort((a, b) => place(a) - place(b) || a.start - b.start));
    byId("found").textContent = matches.size ? `${number(matches.size)} found; Enter: next` : "nothing found";
  }
  paint();
}

/** Selects the next of what was found, or of the operations in order of time. */
function step(by) {
  const pane = selected?.pane ?? panes[0];
  if (matches) selectBeside([...matches], by, pane);
  else selectBeside(pane.inTime, by, pane);
}

/** The lanes that have items, with their panes, and which of them has what is selected. */
function filledLanes() {
  const lanes = panes.flatMap((pane) => pane.lanes.filter((it) => it.items.length).map((lane) => ({ lane, pane })));
  return [lanes, lanes.findIndex(({ lane }) => selected && lane.rows.includes(selected.row))];
}

/** Selects the next of the lane of what is selected. */
function stepInLane(by) {
  const [lanes, at] = filledLanes();
  if (at < 0) step(by);
  else selectBeside(lanes[at].lane.items, by, lanes[at].pane);
}

/** Selects what is nearest in time in the next lane. */
function stepToLane(by) {
  const [lanes, at] = filledLanes(), next = lanes[at + by];
  if (at < 0) step(by);
  if (at < 0 || !next) return;
  const far = (item) => Math.max(item.start - selected.stop, selected.start - item.stop, 0);
  select(next.lane.items.reduce((best, item) => (far(item) < far(best) ? item : best)), next.pane);
}

/** Selects the next of a list, from its end on again; if none of it is selected, that which is next
 * in time. */
function selectBeside(list, by, pane) {
  if (list.length === 0) return;
  let at = list.indexOf(selected);
  if (at < 0) {
    const later = selected && !matches ? list.findIndex((item) => item.start >= selected.start) : 0;
    at = by > 0 ? later - 1 : later;
  }
  const next = list[(at + by + list.length) % list.length];
  select(next, matches?.has(next) ? next.pane : pane);
}

function nextViolation() {
  const { violations } = panes[0].view;
  if (violations.length === 0) return;
  blame = (blame + 1) % violations.length;
  const box = byId("violations"), texts = [...box.querySelectorAll(".violation")];
  texts.forEach((text, i) => text.classList.toggle("current", i === blame));
  box.scrollTop = (texts[blame]?.offsetTop ?? 0) - 6;
  const items = violations[blame].ops.flatMap((id) => panes[0].byOp.get(id) ?? []);
  if (items.length === 0) {
    select(null);
    box.scrollIntoView({ block: "nearest" });
    return;
  }
  const from = Math.min(...items.map((it) => axis.at(it.start))), to = Math.max(...items.map((it) => axis.at(it.stop)));
  view(from - (to - from) * 0.3 - axis.length / 100, to + (to - from) * 0.3 + axis.length / 100);
  select(items.find((it) => it.kind === "op") ?? items[0], panes[0]);
}

function toggleIdle() {
  skipsIdle = !skipsIdle;
  axis = makeAxis(panes.map((pane) => pane.view));
  fit();
  showDetails();
}

function unselect() {
  byId("query").value = "";
  byId("query").blur();
  search();
  select(null);
}

function key(event) {
  const isTyping = event.target.tagName === "INPUT";
  if (event.key === "Escape") return unselect();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const scroll = (by) => panes.forEach((pane) => (pane.scroll += by)) || paint();
  const acts = {
    ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15), ArrowUp: () => scroll(-40), ArrowDown: () => scroll(40),
    "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), 0: fit, v: nextViolation, g: toggleIdle,
    n: () => step(1), p: () => step(-1), l: () => stepInLane(1), h: () => stepInLane(-1),
    j: () => stepToLane(1), k: () => stepToLane(-1), t: toggleTheme, "/": () => byId("query").focus(),
  };
  if (!Object.hasOwn(acts, event.key)) return undefined;
  event.preventDefault();
  return acts[event.key]();
}

function listen(pane) {
  const { canvas } = pane;
  let drag = null;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const isAcross = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (event.shiftKey) pane.scroll += event.deltaY || event.deltaX;
    else if (isAcross) pan(event.deltaX / width(pane));
    else zoom(Math.exp(event.deltaY / 400), Math.max(0, (event.offsetX - GUTTER) / width(pane)));
    paint();
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, from: { ...shown }, scroll: pane.scroll, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return hover(pane, event);
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    drag.moved ||= Math.hypot(dx, dy) > 4;
    if (!drag.moved) return undefined;
    canvas.classList.add("dragged");
    const by = (-dx / width(pane)) * (drag.from.to - drag.from.from);
    pane.scroll = drag.scroll - dy;
    return view(drag.from.from + by, drag.from.to + by);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved) select(itemAt(pane, event.offsetX, event.offsetY), pane);
    drag = null;
    canvas.classList.remove("dragged");
  });
  canvas.addEventListener("pointerleave", () => hover(pane, null));
}

/** An item in few words. */
function inShort(item) {
  const { kind, it } = item;
  const what = kind === "op" ? `op ${it.id} ${it.f} of ${it.process}: ${it.outcome}` : faultName(it.text ?? labelOf(item));
  const when = item.stop > item.start ? `${time(item.start)} to ${time(item.stop)}` : time(item.start);
  return [what, when, it.error ?? it.lines?.[0] ?? it.hash ?? it.seen ?? ""];
}

/** Says in short what is under the pointer. */
function hover(pane, event) {
  const item = event && itemAt(pane, event.offsetX, event.offsetY), tip = byId("tip");
  if (item !== hovered) {
    hovered = item && Object.assign(item, { pane });
    paint();
  }
  const lane = event && laneNamedAt(pane, event.offsetX, event.offsetY);
  tip.hidden = !item && !lane;
  if (tip.hidden) return;
  const texts = item ? inShort(item) : [lane.name];
  tip.replaceChildren(...texts.filter(Boolean).map((text) => make("div", {}, text.slice(0, 200))));
  tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 16, window.innerHeight - tip.offsetHeight - 8)}px`;
}

