// The endpoints beside each other: what sets one apart from its upstream's others is said in words, and one can be taken out.
"use strict";

// Of fewer attempts or failures in the last minute nothing is said, and an upstream shows so many endpoints before it is
// opened.
const FEW_ATTEMPTS = 10, FEW_FAILURES = 5, MOST_ENDPOINTS = 20;

const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)];

// What sets it apart from the others of its upstream; empty where nothing does.
function apart(it, others) {
  const told = others.filter((other) => other.count >= FEW_ATTEMPTS);
  if (!it || it.count < FEW_ATTEMPTS || told.length === 0) return "";
  const failing = it.errors / it.count, usual = middle(told.map((other) => other.errors / other.count));
  if (it.errors >= FEW_FAILURES && failing >= 0.02 && failing > 3 * usual) return `${share(it.errors, it.count)} failing, the others ${share(usual, 1)}`;
  const times = it.p99_ms / Math.max(1, middle(told.map((other) => other.p99_ms)));
  if (it.p99_ms > 20 && times >= 3) return `p99 ${digits(times, times < 10 ? 1 : 0)} times the others'`;
  return "";
}

function holdButton(upstream, endpoint) {
  const isOut = endpoint.state !== "ready";
  const button = el("button", { type: "button" }, isOut ? "Put back" : "Take out");
  button.setAttribute("aria-label", `${button.textContent} ${endpoint.endpoint} of ${upstream.upstream}`);
  button.addEventListener("click", () => go({ hold: upstream.upstream + " " + endpoint.endpoint }));
  return button;
}

function meter(value, most, text, isWorst) {
  const bar = el("i");
  bar.style.width = 100 * Math.min(1, value / most) + "%";
  bar.hidden = !(value > 0);
  return el("div", { class: "meter" + (isWorst ? " worst" : "") }, el("span", isWorst ? { class: "bad" } : {}, text), bar);
}

function endpointRow(upstream, endpoint, figures, word, most) {
  const cell = (name, label, ...inside) => el("td", { role: "cell", class: name, ...(label ? { "data-label": label } : {}) }, ...inside);
  const { endpoint: address, weight, state, health, who, until_unix_seconds: until } = endpoint;
  const isOut = state !== "ready", count = figures ? figures.count : 0;
  return el("tr", { role: "row" },
    cell("address", "", el("a", { href: link({ filter: `endpoint=="${address}"`, route: "" }) }, shown(address)), weight > 1 ? ` (weight ${weight})` : "",
      word ? el("div", { class: "bad" }, word) : null),
    cell(isOut ? "bad" : "dim", "state", isOut ? `${state} until ${clock(new Date(1000 * until))} UTC, by ${shown(who)}` : health),
    cell("number", "attempts", figures ? rate(figures.rate) : "none"),
    cell("number", "in flight", whole(endpoint.active_requests)),
    cell("number lost" + (figures && figures.errors > 0 ? " bad" : ""), "failing", count > 0 ? `${whole(figures.errors)} · ${share(figures.errors, count)}` : "–"),
    cell("number", "p50", figures ? millis(figures.p50_ms) : "–"),
    cell("wide", "p99", meter(figures ? figures.p99_ms : 0, most, figures ? millis(figures.p99_ms) : "–", word.startsWith("p99"))),
    cell("act", "", holdButton(upstream, endpoint)));
}

let knownUpstreams = [];

function drawEndpoints({ upstreams }, { endpoints: figures }) {
  knownUpstreams = upstreams;
  const out = [], of = new Map(figures.map((it) => [it.upstream + " " + it.endpoint, it]));
  for (const upstream of upstreams) {
    const all = upstream.endpoints.map((endpoint) => ({ endpoint, figures: of.get(upstream.upstream + " " + endpoint.endpoint) }));
    const told = all.map((it) => it.figures).filter(Boolean), most = Math.max(1, ...told.map((it) => it.p99_ms));
    const lines = all.map((it) => ({ ...it, word: apart(it.figures, told.filter((other) => other !== it.figures)) }));
    const isOpen = view.upstream === upstream.upstream, isLong = lines.length > MOST_ENDPOINTS;
    const notable = ({ word, endpoint, figures: it }) => (word ? 2e9 : 0) + (endpoint.state !== "ready" ? 1e9 : 0) + (it ? it.errors * 1e3 + it.rate : 0);
    const some = isLong && !isOpen ? [...lines].sort((a, b) => notable(b) - notable(a)).slice(0, MOST_ENDPOINTS) : lines;
    const { active, idle } = upstream.connections;
    out.push(el("tr", { role: "row", class: "group" }, el("th", { role: "rowheader", scope: "rowgroup", colspan: "8" },
      el("strong", {}, upstream.upstream), ` ${upstream.balance}, ${upstream.protocol}, connections: ${whole(active)} active, ${whole(idle)} idle`,
      isLong ? el("a", { href: link({ upstream: isOpen ? "" : upstream.upstream }) }, isOpen ? " · fewer" : ` · all ${lines.length}`) : null)));
    out.push(...some.map((it) => endpointRow(upstream, it.endpoint, it.figures, it.word, most)));
  }
  // A person who is on a button stays there although the rows are new each second.
  const focused = $("endpoints").contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  $("endpoints").replaceChildren(...out);
  if (focused) [...$("endpoints").querySelectorAll("button")].find((button) => button.getAttribute("aria-label") === focused)?.focus();
}

// === Taking one out ===

let heldOpen = null;

async function put(upstream, endpoint, body) {
  const path = `/api/v1/upstreams/${encodeURIComponent(upstream)}/endpoints/${encodeURIComponent(endpoint)}`;
  const answer = await fetch(path, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Error((await answer.json()).detail || answer.statusText);
}

function drawHold() {
  const dialog = $("hold-endpoint"), asked = view.hold || "";
  if (asked === heldOpen) return;
  heldOpen = asked;
  if (!asked) { if (dialog.open) dialog.close(); return; }
  const [upstream, endpoint] = asked.split(" ");
  const known = knownUpstreams.find((it) => it.upstream === upstream)?.endpoints.find((it) => it.endpoint === endpoint);
  const isOut = Boolean(known) && known.state !== "ready";
  const problem = el("p", { class: "problem", role: "alert", hidden: "" });
  const form = el("form", { method: "dialog" });
  const choice = (name, options) => el("select", { name }, ...options.map(([value, text]) => el("option", { value }, text)));
  const close = el("button", { type: "button" }, "Cancel");
  close.addEventListener("click", () => go({ hold: "" }));
  form.append(el("h2", { id: "hold-title" }, `${isOut ? "Put back" : "Take out"} ${shown(endpoint)} of ${shown(upstream)}`),
    ...(isOut ? [el("p", { class: "dim" }, `It is ${known.state} until ${clock(new Date(1000 * known.until_unix_seconds))} UTC, asked for by ${known.who}.`)] : [
      el("p", {}, el("label", {}, "how ", choice("state", [["drain", "drain: no new attempts, what runs may end"], ["off", "off: no new attempts, idle connections closed"]]))),
      el("p", {}, el("label", {}, "for ", choice("for", [["5m", "5 min"], ["10m", "10 min"], ["30m", "30 min"], ["1h", "1 h"], ["4h", "4 h"]]))),
      el("p", { class: "dim" }, "It comes back by itself. Everybody who looks sees it meanwhile, with your address; it is refused for the last endpoint of an upstream."),
    ]), problem, el("div", { class: "bar" }, el("button", { type: "submit" }, isOut ? "Put it back" : "Take it out"), close));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = isOut ? { state: "ready" } : { state: form.elements.state.value, for: form.elements.for.value };
    try {
      await put(upstream, endpoint, body);
      go({ hold: "" });
      tick();
    } catch (error) {
      problem.hidden = false;
      write(problem, shown(error.message));
    }
  });
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
}

$("hold-endpoint").addEventListener("close", () => { if (view.hold) go({ hold: "" }); });
