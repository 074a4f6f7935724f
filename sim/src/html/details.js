// What the timelines say in words, and how they are moved: violations, details, search,
// pointer and keys.

const KEYS = [["← → ↑ ↓", "move"], ["+ −", "zoom"], ["0", "show everything"], ["v", "next violation"],
  ["n p", "next, previous in its row"], ["g", "short or full idle time"], ["/", "search"], ["Esc", "unselect"], ["t", "light, dark"]];
let blame = -1;

function showTimeline(views) {
  byId("timeline").hidden = byId("search").hidden = false;
  axis = makeAxis(views);
  panes = views.map(build);
  for (const pane of panes) addPane(pane);
  if (typeof data.parting === "number") showParting(views, data.parting);
  showViolations();
  restyled.push(restyle);
  fit();
  byId("tools").prepend(button("fit", fit, "show everything (0)"), button("idle", toggleIdle, "short or full idle time (g)"));
  byId("search").addEventListener("submit", (event) => event.preventDefault() || step(1));
  if (!views.some((it) => it.chain || it.version !== null)) byId("query").placeholder = "operation  ( / )";
  byId("query").addEventListener("input", search);
  window.addEventListener("keydown", key);
  window.addEventListener("resize", resize);
  if (asked.get("q")) { byId("query").value = asked.get("q"); search(); }
  resize();
  restyle();
  const op = asked.get("op") && panes[0].byOp.get(Number(asked.get("op")));
  select(op ? op.find((item) => item.kind === "op") : null, panes[0]);
}

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
  const lanes = pane.lanes.map((lane) => make("li", { "data-lane": lane.name }, `${lane.name}: ${lane.count}`));
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
  for (const { invariant, means, ops, reason } of view.violations.slice(0, 200)) {
    const links = ops.slice(0, 30).map((id) => opButton(panes[0], id));
    box.append(make("p", { class: "violation", "data-ops": ops.join(" ") },
      make("span", { class: "name", title: means }, invariant), ": ", reason, " ", ...links));
  }
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
    const pre = make("pre", {});
    for (let i = Math.max(0, at - 6); i < Math.min(trace.length, at + 14); i += 1) {
      const text = `${String(i + 1).padStart(5)} ${String(trace[i][0]).padStart(6)} ms  ${trace[i][1]}\n`;
      pre.append(i >= at && differs(i) ? make("mark", {}, text) : text);
    }
    return pre;
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

function legend() {
  const swatch = (name, text) => make("div", {}, Object.assign(make("span", { class: "swatch" }), { style: `background: var(--${name})` }), text);
  const kinds = new Set(panes.flatMap((pane) => pane.items.map((item) => item.it.class ?? item.it.outcome ?? item.kind)));
  const outcomes = [["ok", "ok"], ["fail", "fail: not applied"], ["unknown", "unknown: applied or not"], ["open", "open: never ended"]];
  const faults = ["network", "replica", "lock", "redis", "data_loss"].filter((name) => kinds.has(name) || (name === "data_loss" && kinds.has("loss")));
  return [make("h2", {}, "Operations"), ...outcomes.map(([name, text]) => swatch(name, text)),
    ...(kinds.has("record") || kinds.has("version") ? [swatch("record", "a record, or a version of the vault")] : []),
    swatch("bad", kinds.has("record") ? "a violation, or a record that is missing" : "a violation"),
    make("p", { class: "dim" }, "Marks in a bar: at the bottom, what a server did for it; at the top, what its client gave up."),
    ...(kinds.has("tenure") ? [make("h2", {}, "Locks"), swatch("lock", "a lock and its holder, released"), swatch("unknown", "at its end: lapsed"),
      swatch("bad", "at its end: deleted or stolen"), swatch("open", "at its end: still held")] : []),
    ...(faults.length ? [make("h2", {}, "Faults"), ...faults.map((name) => swatch(name, `${name.replace("_", " ")}`))] : []),
    make("h2", {}, "Keys"),
    make("dl", {}, ...KEYS.flatMap(([keys, text]) => [make("dt", {}, ...keys.split(" ").flatMap((key) => [make("kbd", {}, key), " "])), make("dd", {}, text)])),
    make("p", { class: "dim" }, "Wheel: zoom. Drag: move. Shift and wheel: scroll. Click: details. Dotted: nothing happens, drawn short."),
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
    const records = (pane.byOp.get(it.id) ?? []).filter((other) => other.kind === "record");
    for (const other of records) row("record", button(other.it.sequence, () => select(other, pane)), ` ${other.it.gone ?? ""}`);
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
    heading = kind === "strike" ? `${it.kind} strikes ${it.lane ?? "all"}` : it.text;
    row("class", it.class.replace("_", " "));
    row("from", time(item.start));
    row("to", time(item.stop));
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
    const number = /^(op )?(\d+)$/.exec(query)?.[2];
    const has = (text) => text !== undefined && text !== null && String(text).toLowerCase().includes(query);
    const fits = ({ kind, it }) => {
      if (number) return kind === "op" && it.id === Number(number);
      if (kind === "op") return [it.f, it.process, it.event, it.hash, it.error, it.outcome, ...it.tokens].some(has);
      return [it.hash, it.kind, it.fault, it.audit, it.host, it.text, ...(it.tokens ?? []), ...(it.hashes ?? [])].some(has);
    };
    matches = new Set(panes.flatMap((pane) => pane.items.filter((item) => fits(item) && (item.pane = pane))));
    byId("found").textContent = matches.size ? `${number ? "" : matches.size + " found; "}Enter: next` : "nothing found";
  }
  paint();
}

/** Selects the next of what was found, or of the row of what is selected. */
function step(by) {
  const list = matches ? [...matches].sort((a, b) => a.start - b.start) : selected?.row.items ?? [];
  if (list.length === 0) return;
  const at = list.indexOf(selected);
  const next = at < 0 && by > 0 ? 0 : (at + by + list.length) % list.length;
  select(list[next], list[next].pane ?? selected?.pane ?? panes[0]);
}

function nextViolation() {
  const { violations } = panes[0].view;
  if (violations.length === 0) return;
  blame = (blame + 1) % violations.length;
  const items = violations[blame].ops.flatMap((id) => panes[0].byOp.get(id) ?? []);
  if (items.length === 0) return;
  const from = Math.min(...items.map((it) => axis.at(it.start))), to = Math.max(...items.map((it) => axis.at(it.stop)));
  view(from - (to - from) * 0.3 - axis.length / 100, to + (to - from) * 0.3 + axis.length / 100);
  select(items.find((it) => it.kind === "op") ?? items[0], panes[0]);
}

function toggleIdle() {
  skipsIdle = !skipsIdle;
  axis = makeAxis(panes.map((pane) => pane.view));
  fit();
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
    n: () => step(1), p: () => step(-1), t: toggleTheme, "/": () => byId("query").focus(),
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

/** Says in short what is under the pointer. */
function hover(pane, event) {
  const item = event && itemAt(pane, event.offsetX, event.offsetY), tip = byId("tip");
  if (item !== hovered) {
    hovered = item && Object.assign(item, { pane });
    paint();
  }
  tip.hidden = !item;
  if (!item) return;
  const { kind, it } = item;
  const texts = [kind === "op" ? `op ${it.id} ${it.f} of ${it.process}: ${it.outcome}` : it.text ?? labelOf(item)];
  texts.push(item.stop > item.start ? `${time(item.start)} to ${time(item.stop)}` : time(item.start));
  texts.push(it.error ?? it.lines?.[0] ?? it.hash ?? it.seen ?? "");
  tip.replaceChildren(...texts.filter(Boolean).map((text) => make("div", {}, text.slice(0, 200))));
  tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 16, window.innerHeight - tip.offsetHeight - 8)}px`;
}

