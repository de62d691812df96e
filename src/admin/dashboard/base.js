// What every part of the page is made of: elements, texts, figures with their units, the view in the URL, and questions
// to the API. Whatever comes from traffic is written as text, never as markup. Loaded first.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const PATIENCE = 5000;
// The name under which stands what has no route.
const UNMATCHED = "_unmatched";

// === Text ===

// Control and bidirectional characters could make a path look like another one: they are spelt out.
const ODD = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const shown = (text) => String(text).replace(ODD, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

const digits = (value, places) => value.toLocaleString("en", { maximumFractionDigits: places, minimumFractionDigits: places });
const whole = (value) => value.toLocaleString("en");
function millis(value) {
  if (value == null) return "–";
  if (value >= 10000) return digits(value / 1000, 1) + " s";
  if (value >= 1000) return digits(value / 1000, 2) + " s";
  if (value >= 100) return digits(value, 0) + " ms";
  return digits(value, value >= 10 ? 1 : 2) + " ms";
}
const rate = (value) => digits(value, value >= 100 ? 0 : 1) + " /s";
const share = (part, all) => all > 0 ? digits(100 * part / all, part > 0 && part / all < 0.1 ? 2 : 1) + " %" : "–";
function ago(seconds) {
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  if (seconds < 172800) return Math.round(seconds / 3600) + " h";
  return Math.round(seconds / 86400) + " d";
}
const clock = (date) => date.toISOString().slice(11, 19);

// An element with text or other elements in it.
function el(tag, attributes, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...inside.filter((one) => one != null));
  return element;
}
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// === The view, in the fragment of the URL ===

let view = {};
const readView = () => { view = Object.fromEntries(new URLSearchParams(location.hash.slice(1))); };
function link(changes) {
  const next = new URLSearchParams({ ...view, ...changes });
  for (const [name, value] of [...next]) if (!value) next.delete(name);
  return "#" + next;
}
// Which of the views is open.
const viewName = () => view.hour ? "hour" : view.show || "now";
const go = (changes) => { location.hash = link(changes); };

// === Links to what else a team has ===

// The templates of the configuration; null where there is none.
let links = { trace: null, dashboard: null };
const filled = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name]));
const away = (text, template, values) => template ? el("a", { href: filled(template, values), target: "_blank", rel: "noreferrer" }, text) : null;

// === Questions ===

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail || answer.statusText), { status: answer.status });
  return body;
}
