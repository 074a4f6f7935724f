// Timelines: lanes of faults, of the primary, of locks, of the chain, of the vault's versions and of each process,
// for one or several stores on one axis of time.

const GUTTER = 96, RULER = 22, ROW = 16, LANE_GAP = 7;
const SHOWN_LINES = 150;
/** The colours of the ends of locks that were not released. */
const ENDS = { lapsed: "unknown", deleted: "bad", stolen: "bad", held: "open" };
let panes = [], axis, shown, selected = null, hovered = null, matches = null, scheduled = false;
let skipsIdle = true, colours = {};

/** The axis of time: stretches in which nothing happens are drawn short. */
function makeAxis(views) {
  const busy = [];
  const add = (from, to = from) => busy.push([from, Math.max(from, to)]);
  for (const view of views) {
    for (const op of view.ops) add(op.start, op.end);
    for (const fault of [...(view.faults ?? []), ...(view.strikes ?? [])]) {
      add(fault.start);
      if (fault.end) add(fault.end);
    }
    for (const loss of view.losses) add(loss.time);
    for (const tenure of view.tenures ?? []) add(tenure.start, tenure.end);
    for (const primary of view.primaries ?? []) add(primary.start);
  }
  if (busy.length === 0) add(0, 1e9);
  busy.sort((a, b) => a[0] - b[0]);
  const merged = [busy[0].slice()];
  for (const [from, to] of busy) {
    const last = merged[merged.length - 1];
    if (from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  const first = merged[0][0], end = merged[merged.length - 1][1];
  const worked = merged.reduce((sum, [from, to]) => sum + to - from, 0);
  const most = Math.max(worked / 10, (end - first) / 150, 1);
  const knots = [[first, 0]], gaps = [];
  merged.forEach(([from, to], index) => {
    const [before, at] = knots[knots.length - 1];
    const gap = from - before;
    const isCut = skipsIdle && index > 0 && gap > 2 * most;
    if (isCut) gaps.push([before, from]);
    knots.push([from, at + (isCut ? most : gap)]);
    knots.push([to, at + (isCut ? most : gap) + to - from]);
  });
  const convert = (x, from, to) => {
    let low = 1, high = knots.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (knots[middle][from] < x) low = middle + 1; else high = middle;
    }
    while (low > 1 && knots[low][from] === knots[low - 1][from]) low -= 1;
    const [a, b] = [knots[low - 1], knots[low]];
    const span = b[from] - a[from];
    if (x < knots[0][from] || span === 0) return a[to] + (x - a[from]);
    if (x > b[from]) return b[to] + (x - b[from]);
    return a[to] + ((x - a[from]) / span) * (b[to] - a[to]);
  };
  const length = Math.max(knots[knots.length - 1][1], 1);
  return { first, end, gaps, length, at: (t) => convert(t, 0, 1), time: (u) => convert(u, 1, 0) };
}

/** When each of a list of writes took effect: within its operation, and in their order, if
 * that can be; those for which the same is known are apart. */
function place(list, opOf) {
  let least = 0, most = Infinity;
  const early = list.map((entry) => (least = Math.max(least, opOf(entry)?.start ?? 0)));
  const late = new Array(list.length);
  for (let i = list.length - 1; i >= 0; i -= 1) {
    const op = opOf(list[i]);
    late[i] = most = Math.min(most, op?.outcome === "ok" ? op.end : Infinity);
  }
  let before = 0;
  return list.map((entry, i) => {
    const op = opOf(entry);
    if (late[i] === Infinity) {
      // Nothing says by when it did: nor does it for those after it.
      const left = Math.max(axis.end - before, 0) / (list.length - i);
      const apart = Math.min((axis.end - axis.first) / 100, left);
      return (before = Math.max(i > 0 ? before + apart : 0, early[i]));
    }
    if (early[i] > late[i]) return op ? op.end ?? op.start : before;
    const isAlike = (j) => late[j] === late[i] && early[j] === early[i];
    let left = 1;
    while (i + left < list.length && isAlike(i + left)) left += 1;
    const from = Math.max(before, early[i]);
    return (before = from + (late[i] - from) / (left + 1));
  });
}

/** Items that overlap go to rows below each other. */
function pack(items, least) {
  const rows = [];
  items.sort((a, b) => a.start - b.start);
  for (const item of items) {
    let row = rows.find((other) => other.until <= item.start);
    if (!row) rows.push((row = { items: [] }));
    row.until = Math.max(item.stop, item.start + least);
    row.items.push(item);
  }
  return rows;
}

/** A view as lanes of items. */
function build(view) {
  const ops = new Map(view.ops.map((op) => [op.id, op]));
  const blamed = new Set(view.violations.flatMap((violation) => violation.ops));
  const lanes = [], items = [];
  const least = (axis.end - axis.first) / 3000;
  const lane = (name, kind, list) => {
    // Records are drawn beside each other, but for those that no zoom takes apart.
    const rows = pack(list, kind === "chain" ? least / 10 : least);
    if (rows.length === 0) rows.push({ items: [] });
    rows.forEach((row) => row.items.forEach((item) => Object.assign(item, { lane: name, row })));
    lanes.push({ name, kind, rows, items: list, count: list.length });
    items.push(...list);
  };
  const classes = ["network", "replica", "lock", "redis", "data_loss"];
  const faults = (view.faults ?? []).map((it) => ({ kind: "fault", it, start: it.start, stop: it.end ?? axis.end }));
  faults.push(...(view.strikes ?? []).map((it) => ({ kind: "strike", it, start: it.start, stop: it.start })));
  faults.push(...view.losses.map((it) => ({ kind: "loss", it, start: it.since, stop: it.time })));
  const classOf = (item) => item.it.class ?? "data_loss";
  for (const name of [...new Set([...classes, ...faults.map(classOf)])]) {
    const list = faults.filter((item) => classOf(item) === name);
    if (list.length > 0) lane(name.replace("_", " "), "faults", list);
  }
  const primaries = (view.primaries ?? []).map((it, i, all) =>
    ({ kind: "primary", it, start: it.start, stop: all[i + 1]?.start ?? axis.end }));
  if (primaries.length > 0) lane("primary", "faults", primaries);
  const tenures = (view.tenures ?? []).map((it) => ({ kind: "tenure", it, start: it.start, stop: it.end }));
  for (const name of new Set(tenures.map((item) => item.it.lock))) {
    lane(name, "faults", tenures.filter((item) => item.it.lock === name));
  }
  if (view.chain) {
    const hashes = new Set(view.chain.map((record) => record.hash));
    const lost = new Set(view.losses.flatMap((loss) => loss.hashes));
    const times = place(view.chain, (record) => ops.get(record.op));
    const records = view.chain.map((it, i) => ({ kind: "record", it, op: it.op, start: times[i], stop: times[i] }));
    const from = view.chain.length > 0 ? view.chain[0].sequence : 0;
    for (const op of view.ops) {
      if (op.hash === undefined || hashes.has(op.hash) || op.sequence < from) continue;
      const it = { op: op.id, sequence: op.sequence, hash: op.hash, gone: lost.has(op.hash) ? "lost" : "missing" };
      records.push({ kind: "record", it, op: op.id, start: op.end, stop: op.end });
    }
    lane("chain", "chain", records);
  }
  const made = view.ops.filter((op) => op.version !== undefined && op.version !== null);
  if (made.length > 0) {
    const live = made.filter((op) => !op.lost).sort((a, b) => a.version - b.version);
    const times = place(live, (op) => op);
    const versions = live.map((it, i) => ({ kind: "version", it, op: it.id, start: times[i], stop: times[i] }));
    for (const op of made.filter((it) => it.lost)) {
      versions.push({ kind: "version", it: { ...op, gone: "lost" }, op: op.id, start: op.end, stop: op.end });
    }
    lane("vault", "chain", versions);
  }
  const told = attempts(view.trace ?? []);
  const names = [...new Set([...view.ops, ...view.rollbacks].map((it) => it.lane))];
  names.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  for (const name of names) {
    const own = view.ops.filter((op) => op.lane === name);
    const list = own.map((it) =>
      ({ kind: "op", it, op: it.id, start: it.start, stop: it.end ?? cutOff(it, own), told: told.get(it.id) ?? [] }));
    list.push(...view.rollbacks.filter((it) => it.lane === name)
      .map((it) => ({ kind: "rollback", it, start: it.time, stop: it.time })));
    lane(name, "process", list);
  }
  const byOp = new Map();
  for (const item of items.filter((it) => it.op !== undefined && it.op !== null)) {
    byOp.set(item.op, [...(byOp.get(item.op) ?? []), item]);
    item.blamed = blamed.has(item.op) || item.it.gone === "missing";
  }
  const inTime = items.filter((item) => item.kind === "op").sort((a, b) => a.start - b.start);
  return { view, lanes, items, inTime, byOp, blamed, scroll: 0 };
}

/** The events of a trace that name the operations (calls, of a system of one's own) they are for, by operation. */
function attempts(trace) {
  const told = new Map();
  for (const [millis, text] of trace) {
    const ranges = /\bfor (?:ops?|call) ([\d, -]+)/.exec(text)?.[1].split(",").map((range) => range.split("-").map(Number)) ?? [];
    const ids = ranges.flatMap(([first, last = first]) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
    const event = { time: millis * 1e6, text, isGivenUp: text.includes(": given up by ") };
    for (const id of ids) {
      if (!told.has(id)) told.set(id, []);
      told.get(id).push(event);
    }
  }
  return told;
}

/** Where an operation that never ended stops: its process starts anew, or the run ends. */
function cutOff(op, own) {
  const next = own.find((other) => other.start > op.start && other.process !== op.process);
  return next ? next.start : axis.end;
}

/** Gives lanes and rows their places. */
function stack(pane) {
  let y = RULER;
  for (const lane of pane.lanes) {
    lane.y = y;
    const height = lane.kind === "faults" ? ROW - 2 : ROW + (lane.kind === "chain" ? 2 : 0);
    for (const row of lane.rows) {
      Object.assign(row, { y: y + 1, height: height - 2 });
      y += height;
    }
    y += LANE_GAP;
    lane.height = y - lane.y;
  }
  pane.height = y + 4;
}

// As last drawn: asking the canvas takes long, and each item is asked for.
const width = (pane) => (pane.wide ?? pane.canvas.clientWidth) - GUTTER - 8;
const xOf = (pane, t) => GUTTER + ((axis.at(t) - shown.from) / (shown.to - shown.from)) * width(pane);
const tOf = (pane, x) => axis.time(shown.from + ((x - GUTTER) / width(pane)) * (shown.to - shown.from));

/** The left and right edge of an item, wide enough to be seen. */
function edges(pane, item) {
  const from = xOf(pane, item.start), to = xOf(pane, item.stop);
  if (item.kind === "record" || item.kind === "version") return [from - 9, from + 9];
  return to - from < 4 ? [(from + to) / 2 - 2, (from + to) / 2 + 2] : [from, to];
}

function paint() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    panes.forEach(draw);
  });
}

function draw(pane) {
  const { canvas } = pane, ratio = window.devicePixelRatio || 1;
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  pane.wide = w;
  if (canvas.width !== w * ratio) canvas.width = w * ratio;
  if (canvas.height !== h * ratio) canvas.height = h * ratio;
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.fillStyle = colours.bg;
  c.fillRect(0, 0, w, h);
  c.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  c.textBaseline = "middle";
  pane.scroll = Math.max(0, Math.min(pane.scroll, pane.height - h));
  c.save();
  c.beginPath();
  c.rect(0, RULER, w, h - RULER);
  c.clip();
  c.translate(0, -pane.scroll);
  pane.lanes.forEach((lane, index) => {
    c.fillStyle = index % 2 ? colours.bg : colours.band;
    c.fillRect(0, lane.y - LANE_GAP / 2, w, lane.height);
  });
  c.save();
  c.beginPath();
  c.rect(GUTTER, 0, w - GUTTER, pane.height);
  c.clip();
  drawBackground(c, pane);
  drawTies(c, pane);
  for (const lane of pane.lanes) {
    for (const row of lane.rows) {
      if (row.y + row.height >= pane.scroll && row.y <= pane.scroll + h) drawRow(c, pane, row);
    }
  }
  c.restore();
  c.fillStyle = colours.text;
  c.textAlign = "right";
  for (const lane of pane.lanes) {
    lane.shown ??= shortened(c, visible(lane.name), GUTTER - 14);
    c.fillText(lane.shown, GUTTER - 10, lane.rows[0].y + lane.rows[0].height / 2);
  }
  c.restore();
  drawRuler(c, pane, w);
  drawMore(c, pane, w, h);
}

/** As much of a text as there is room for. */
function shortened(c, text, room) {
  if (c.measureText(text).width <= room) return text;
  const letters = [...text];
  while (letters.length > 1 && c.measureText(`${letters.join("")}…`).width > room) letters.pop();
  return `${letters.join("")}…`;
}

/** Says how many lanes go on below the edge. */
function drawMore(c, pane, w, h) {
  const below = pane.lanes.filter((lane) => lane.y + lane.height - LANE_GAP > pane.scroll + h).length;
  pane.canvas.dataset.below = below;
  if (below === 0) return;
  c.fillStyle = colours.panel;
  c.fillRect(0, h - 18, w, 18);
  c.fillStyle = colours.text;
  c.textAlign = "left";
  c.fillText(`▾ ${count(below, "lane")} on below: ↓, or shift and wheel`, 10, h - 9);
}

/** Idle stretches, the faults of each replica in its lane, and where traces part. */
function drawBackground(c, pane) {
  for (const [from, to] of axis.gaps) {
    const [a, b] = [xOf(pane, from), xOf(pane, to)];
    c.strokeStyle = colours.line;
    c.beginPath();
    for (let x = a + 3; x < b - 2; x += 6) {
      c.moveTo(x, RULER);
      c.lineTo(x, pane.height);
    }
    c.stroke();
  }
  c.globalAlpha = 0.13;
  for (const item of pane.items) {
    const lane = item.kind === "fault" && item.it.lane && pane.lanes.find((it) => it.name === item.it.lane);
    if (!lane) continue;
    const [a, b] = edges(pane, item);
    c.fillStyle = colours[item.it.class] ?? colours.fail;
    c.fillRect(a, lane.y - 2, b - a, lane.height - 3);
  }
  c.globalAlpha = 1;
  for (const item of pane.items.filter((it) => it.kind === "primary" && it.start > 0)) {
    drawMoment(c, pane, item.start, colours.record);
  }
  if (pane.partsAt !== undefined) drawMoment(c, pane, pane.partsAt, colours.bad);
}

/** A dashed line through all lanes. */
function drawMoment(c, pane, at, style) {
  const x = xOf(pane, at);
  c.strokeStyle = style;
  c.setLineDash([5, 4]);
  c.beginPath();
  c.moveTo(x, RULER);
  c.lineTo(x, pane.height);
  c.stroke();
  c.setLineDash([]);
}

/** Lines from an operation to the records and versions that it made. */
function drawTies(c, pane) {
  const of = new Set([...pane.blamed].slice(0, 40));
  for (const item of [selected, hovered]) if (item?.pane === pane && item.op !== undefined) of.add(item.op);
  c.lineWidth = 1;
  for (const id of of) {
    const made = pane.byOp.get(id) ?? [], op = made.find((item) => item.kind === "op");
    for (const item of op ? made.filter((it) => it !== op) : []) {
      const [a, b] = edges(pane, op), x = xOf(pane, item.start);
      c.strokeStyle = pane.blamed.has(id) ? colours.bad : colours.hit;
      c.beginPath();
      c.moveTo(x, item.row.y + item.row.height);
      c.lineTo(Math.max(a, Math.min(b, x)), op.row.y);
      c.stroke();
    }
  }
}

function drawRow(c, pane, row) {
  const { items, y, height } = row;
  const [first, last] = [tOf(pane, GUTTER - 20), tOf(pane, pane.wide + 20)];
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].stop < first) low = middle + 1; else high = middle;
  }
  let drawn = -1, before = -Infinity;
  for (let i = low; i < items.length && items[i].start <= last; i += 1) {
    const item = items[i];
    let [a, b] = edges(pane, item);
    const isMarked = item.blamed || item === selected || item === hovered || matches?.has(item);
    if (item.kind === "record" || item.kind === "version") {
      // Narrower where another is near.
      const x = (a + b) / 2, next = i + 1 < items.length ? xOf(pane, items[i + 1].start) : Infinity;
      const half = (room) => Math.max(1.5, Math.min(9, room / 2 - 0.5));
      [a, b] = [x - half(x - before), x + half(next - x)];
      before = x;
    }
    if (b - drawn < 0.7 && !isMarked) continue;
    drawn = b;
    a = Math.max(a, GUTTER - 9);
    b = Math.min(b, pane.wide + 9);
    c.globalAlpha = matches && !matches.has(item) ? 0.25 : 1;
    drawItem(c, item, a, y, b - a, height);
    if (item.told && b - a > 12) drawAttempts(c, pane, item, y, height);
    c.globalAlpha = 1;
    if (!isMarked) continue;
    c.lineWidth = item === hovered ? 1 : 2;
    c.strokeStyle = matches?.has(item) || item === selected ? colours.hit : item.blamed ? colours.bad : colours.text;
    c.strokeRect(a - 0.5, y - 0.5, b - a + 1, height + 1);
    c.lineWidth = 1;
  }
}

/** Small marks in an operation's bar: at the bottom what a server did for it, at the top
 * what its client gave up. */
function drawAttempts(c, pane, item, y, height) {
  c.fillStyle = item.it.outcome === "open" ? colours.text : colours.on;
  for (const { time: at, isGivenUp } of item.told) {
    if (at < item.start || at > item.stop) continue;
    c.fillRect(xOf(pane, at) - 1, isGivenUp ? y : y + height - 4, 2, 4);
  }
}

function drawItem(c, item, x, y, w, h) {
  const { kind, it } = item;
  const isOpen = kind === "op" && it.outcome === "open", isGone = it.gone !== undefined;
  let fill = kind === "op" ? it.outcome : kind === "fault" || kind === "strike" ? it.class : "data_loss";
  if (kind === "record" || kind === "version") fill = isGone ? "bad" : "record";
  if (kind === "primary") fill = "record";
  if (kind === "tenure") fill = "lock";
  c.fillStyle = colours[fill] ?? colours.fail;
  if (kind === "rollback") {
    c.beginPath();
    c.moveTo(x + w / 2, y);
    c.lineTo(x + w / 2 + 7, y + h / 2);
    c.lineTo(x + w / 2, y + h);
    c.lineTo(x + w / 2 - 7, y + h / 2);
    c.fill();
    return;
  }
  if (isOpen || isGone) {
    c.strokeStyle = c.fillStyle;
    c.setLineDash([3, 3]);
    c.strokeRect(x + 0.5, y + 0.5, Math.max(w - 1, 1), h - 1);
    c.setLineDash([]);
  } else c.fillRect(x, y, w > 6 ? w - 1 : w, h);
  if (kind === "tenure" && ENDS[it.ended]) {
    c.fillStyle = colours[ENDS[it.ended]];
    c.fillRect(x + Math.max(w - 5, 0), y, Math.min(w, 4), h);
  }
  // No label fits, and measuring one takes longer than all the rest.
  if (w < 8) return;
  const label = visible(labelOf(item));
  c.fillStyle = isOpen || isGone ? colours.text : colours.on;
  if (c.measureText(label).width <= w - 3) {
    c.textAlign = "center";
    c.fillText(label, x + w / 2, y + h / 2 + 0.5);
  } else if (w > 26 && kind !== "record" && kind !== "version") {
    c.save();
    c.beginPath();
    c.rect(x, y, w - 2, h);
    c.clip();
    c.textAlign = "left";
    c.fillText(label, x + 3, y + h / 2 + 0.5);
    c.restore();
  }
}

function labelOf({ kind, it }) {
  if (kind === "op") return `${it.id} ${it.f}`;
  if (kind === "record") return String(it.sequence);
  if (kind === "version") return String(it.version);
  if (kind === "primary") return it.host;
  if (kind === "tenure") return it.lane ?? "another";
  if (kind === "loss") return `lost by ${it.fault}`;
  return it.lane && kind === "fault" ? `${it.kind} ${it.lane}` : it.kind ?? "";
}

/** The units of time, the least last, with their lengths. */
const UNITS = [["s", 1e9, 1e10], ["ms", 1e6, 1e6], ["µs", 1e3, 1e3], ["ns", 1, 0]];

/** Times as the ruler says them: in the axis's unit, with the digits that a step needs. */
function ticks(step) {
  const [unit, length] = UNITS.find(([, , from]) => Math.abs(axis.end) >= from);
  const digits = Math.max(0, Math.ceil(-Math.log10(step / length) - 1e-9));
  return (t) => `${(t / length).toFixed(digits)} ${unit}`;
}

function drawRuler(c, pane, w) {
  c.fillStyle = colours.panel;
  c.fillRect(0, 0, w, RULER);
  c.fillStyle = colours.dim;
  c.strokeStyle = colours.line;
  c.textAlign = "left";
  const least = Math.max(1, (100 / width(pane)) * (shown.to - shown.from));
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least);
  const end = tOf(pane, w), told = ticks(step);
  let free = GUTTER, t = Math.ceil(tOf(pane, GUTTER) / step) * step;
  for (let i = 0; t <= end && i < 400; i += 1, t += step) {
    const gap = axis.gaps.find(([from, to]) => from < t && t < to);
    // On behind what is left out.
    if (gap && gap[1] - t > step) t = Math.floor(gap[1] / step) * step;
    if (gap && t < gap[1]) continue;
    const text = told(t), wide = c.measureText(text).width;
    // The last label stands to the left of its tick if there is no room.
    const x = xOf(pane, t), from = Math.min(x + 3, w - wide - 4);
    if (x < free || from + 3 < free) continue;
    c.fillRect(x, RULER - 5, 1, 5);
    c.fillText(text, from, RULER / 2 - 1);
    free = from + wide + 11;
  }
}

/** The lane whose name is under a point of a pane. */
function laneNamedAt(pane, x, y) {
  const inY = y + pane.scroll;
  if (x >= GUTTER || y < RULER) return undefined;
  return pane.lanes.find((lane) => inY >= lane.y && inY < lane.y + lane.height);
}

/** The item under a point of a pane. */
function itemAt(pane, x, y) {
  const inY = y + pane.scroll;
  if (x < GUTTER || y < RULER) return null;
  for (const lane of pane.lanes) {
    const row = lane.rows.find((it) => inY >= it.y - 1 && inY <= it.y + it.height + 1);
    let best = null, distance = 5;
    for (const item of row?.items ?? []) {
      const [a, b] = edges(pane, item), d = Math.max(a - x, x - b, 0);
      const middle = Math.abs((a + b) / 2 - x) / 1000;
      if (d + middle < distance) [best, distance] = [item, d + middle];
    }
    if (row) return best;
  }
  return null;
}

/** Shows this part of the axis. */
function view(from, to) {
  const length = Math.max(to - from, axis.length / 1e6), margin = axis.length * 0.02;
  const whole = Math.min(length, axis.length + 2 * margin);
  const start = Math.max(-margin, Math.min(from, axis.length + margin - whole));
  shown = { from: start, to: start + whole };
  paint();
}

const fit = () => view(-axis.length, 2 * axis.length);
const pan = (share) => view(shown.from + share * (shown.to - shown.from), shown.to + share * (shown.to - shown.from));

function zoom(factor, at = 0.5) {
  const length = shown.to - shown.from, fixed = shown.from + at * length;
  view(fixed - at * length * factor, fixed + (1 - at) * length * factor);
}

/** Selects an item, brings it into sight, and says what is known of it. */
function select(item, pane) {
  selected = item && Object.assign(item, { pane });
  if (item) {
    const [from, to] = [axis.at(item.start), axis.at(item.stop)];
    if (to < shown.from || from > shown.to) view(from - (shown.to - shown.from) / 2, from + (shown.to - shown.from) / 2);
    const least = item.row.y + item.row.height + 24 - pane.canvas.clientHeight;
    if (item.row.y < pane.scroll + RULER) pane.scroll = item.row.y - RULER - 20;
    else pane.scroll = Math.max(pane.scroll, least);
  }
  showDetails();
  paint();
  // Below the timeline, where there is no room beside it.
  const box = byId("details"), { top, bottom } = box.getBoundingClientRect();
  if (item && (top > window.innerHeight - 120 || bottom < 40)) box.scrollIntoView({ block: "nearest" });
}
