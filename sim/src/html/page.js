// What every page has: errors, elements, themes. All text becomes text nodes.

const byId = (id) => document.getElementById(id);
window.addEventListener("error", (event) => {
  byId("errors").hidden = false;
  byId("errors").append(make("p", { class: "js-error" }, `error of this page: ${event.message}`));
});
const data = JSON.parse(byId("data").textContent);
// Of the address: #theme=dark&op=3
const asked = new URLSearchParams(location.hash.slice(1));
const restyled = [];

/** A text in which no character changes how the others are drawn: control characters, and those
 * that turn the direction of text, are replaced. */
const visible = (text) => text.replace(/(?![\n\t])[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");

/** An element with attributes, of which functions are handlers, and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  const given = children.filter((child) => child !== null && child !== undefined);
  element.append(...given.map((child) => (typeof child === "string" ? visible(child) : child)));
  return element;
}

const button = (text, act, title = "") => make("button", { type: "button", click: act, title }, text);
const number = (value) => Math.round(value).toLocaleString("en-US");
const count = (n, what) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;

/** A time in nanoseconds, as people write it. */
function time(ns) {
  const round = (value) => String(Math.round(value * 1000) / 1000);
  if (Math.abs(ns) >= 1e10) return `${round(ns / 1e9)} s`;
  if (Math.abs(ns) >= 1e6 || ns === 0) return `${round(ns / 1e6)} ms`;
  return Math.abs(ns) >= 1e3 ? `${round(ns / 1e3)} µs` : `${ns} ns`;
}

/** A colour of the theme, as canvas takes it. */
function colour(name) {
  const probe = byId("tip");
  probe.style.outlineColor = `var(--${name})`;
  return getComputedStyle(probe).outlineColor;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  restyled.forEach((restyle) => restyle());
}

function toggleTheme() {
  const isDark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  setTheme(isDark ? "light" : "dark");
}

function show() {
  document.title = data.title;
  byId("title").textContent = visible(data.title);
  byId("title").title = data.command;
  if (asked.get("theme")) setTheme(asked.get("theme"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => restyled.forEach((it) => it()));
  byId("tools").append(button("◐", toggleTheme, "light or dark (t)"));
  if (data.summary) showSummary(data.summary);
  if (data.views) showTimeline(data.views);
  document.body.dataset.drawn = "yes";
}

