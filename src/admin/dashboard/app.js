// The page at /: asks the API once a second and writes what it says as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const EVERY = 1000, PATIENCE = 5000, ROWS = 40;

// Who owns a phase: twelve colours nobody can tell apart, four they can.
const OWNER = {
  receive: "client", send_client: "client", body_client: "client",
  admit: "proxy", backoff: "proxy", pick: "proxy",
  dns: "connect", connect: "connect", tls: "connect",
  send_upstream: "upstream", wait: "upstream", body_upstream: "upstream",
};
const OWNER_NAME = { client: "client", proxy: "proxy", connect: "connecting", upstream: "upstream" };
const OUTCOMES = ["served", "client_closed", "http_request_error", "http_request_denied", "rate_limited", "overloaded",
  "destination_not_found", "destination_unavailable", "dns_error", "connection_refused", "connection_terminated",
  "connection_timeout", "connection_limit_reached", "connection_read_timeout", "connection_write_timeout",
  "destination_ip_unroutable", "tls_certificate_error", "tls_protocol_error", "tls_alert_received",
  "http_protocol_error", "http_response_incomplete", "http_response_timeout", "http_response_header_section_size", "proxy_loop_detected", "proxy_internal_error"];

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
const go = (changes) => { location.hash = link(changes); };

// === Charts ===

function chart(keys, unit) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 300 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const part = (tag, name) => {
    const element = document.createElementNS(SVG, tag);
    element.setAttribute("class", name);
    svg.append(element);
    return element;
  };
  const grid = part("line", "grid");
  for (const [name, value] of [["x1", 0], ["x2", 300], ["y1", 50], ["y2", 50]]) grid.setAttribute(name, value);
  const paths = keys.map((key) => part("path", key));
  const labels = keys.map((key) => el("span", { class: "key " + key }, key));
  const y = [el("span"), el("span"), el("span")];
  const x = ["−5 min", "−4", "−3", "−2", "−1", "now"].map((text) => el("span", {}, text));
  const caption = el("figcaption", {}, ...labels);
  const figure = el("figure", { class: "chart" }, caption, el("div", { class: "y", "aria-hidden": "true" }, ...y), svg,
    el("div", { class: "x", "aria-hidden": "true" }, ...x));
  const state = { series: [], at: null };
  const say = () => {
    const { series, at } = state;
    keys.forEach((key, index) => {
      const values = series[index] || [];
      const place = at == null ? null : Math.min(values.length - 1, Math.floor(at * values.length));
      write(labels[index], place == null ? key : key + " " + unit(values[place]));
    });
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    state.at = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    say();
  });
  svg.addEventListener("pointerleave", () => { state.at = null; say(); });
  const draw = (series, isArea, label) => {
    state.series = series;
    const most = topOf(Math.max(0, ...series.flat().filter((value) => value != null)));
    series.forEach((values, index) => paths[index].setAttribute("d", isArea ? area(values, most) : line(values, most)));
    [most, most / 2, 0].forEach((value, index) => write(y[index], unit(value).replace(/\.0+ | (?=\/s)/, " ")));
    svg.setAttribute("aria-label", label);
    say();
  };
  return { figure, draw };
}

// The next of 1, 2, 5 times a power of ten: an axis that does not tremble.
function topOf(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 4, 5, 10].find((step) => step * power >= value);
}
function area(values, most) {
  const step = 300 / values.length;
  const points = values.map((value, index) => `L${(index * step).toFixed(1)} ${(100 - 100 * value / most).toFixed(1)}h${step.toFixed(1)}`);
  return "M0 100" + points.join("") + "L300 100Z";
}
function line(values, most) {
  const step = 300 / values.length;
  let path = "", pen = "M";
  values.forEach((value, index) => {
    if (value == null) { pen = "M"; return; }
    path += `${pen}${((index + .5) * step).toFixed(1)} ${(100 - 100 * value / most).toFixed(1)}`;
    // A slot alone is a dash, not an invisible point.
    if (pen === "M" && values[index + 1] == null) path += "h2";
    pen = "L";
  });
  return path;
}
function means(values, size) {
  const out = [];
  for (let at = 0; at < values.length; at += size) out.push(values.slice(at, at + size).reduce((sum, value) => sum + value, 0) / size);
  return out;
}

// === Routes ===

const cards = new Map();

function routeCard(name) {
  const title = el("a", {}, shown(name));
  const figures = ["requests", "errors", "p50", "p99"].map((word) => [word, el("dd")]);
  const rates = chart(["requests", "errors"], rate), latency = chart(["p99", "p50"], millis);
  const card = el("div", { class: "route" },
    el("div", {}, el("h3", {}, title), el("dl", {}, ...figures.flatMap(([word, dd]) => [el("dt", {}, word), dd]))),
    rates.figure, latency.figure);
  return { card, title, rates, latency, dd: Object.fromEntries(figures) };
}

function drawRoutes({ routes }) {
  const order = [...routes].sort((a, b) => (a.route === "_unmatched") - (b.route === "_unmatched") || (a.route < b.route ? -1 : 1));
  for (const route of order) {
    if (!cards.has(route.route)) cards.set(route.route, routeCard(route.route));
    const { card, title, rates, latency, dd } = cards.get(route.route);
    const isChosen = view.route === route.route;
    title.href = link({ route: isChosen ? "" : route.route });
    title.title = isChosen ? "show the exchanges of all routes" : "show this route's exchanges only";
    if (isChosen) title.setAttribute("aria-current", "true"); else title.removeAttribute("aria-current");
    write(dd.requests, rate(route.rate));
    write(dd.errors, route.rate > 0 ? `${rate(route.error_rate)} · ${share(route.error_rate, route.rate)}` : rate(0));
    dd.errors.className = route.error_rate > 0 ? "bad" : "";
    write(dd.p50, millis(route.p50_ms));
    write(dd.p99, millis(route.p99_ms));
    rates.draw([means(route.requests, 5), means(route.errors, 5)], true,
      `requests and errors a second of ${route.route}: now ${rate(route.rate)} and ${rate(route.error_rate)}`);
    // The present slot has seen little yet: the figures of the last 10 s stand in for it.
    const latest = (slots, now) => [...slots.slice(0, -1), now];
    latency.draw([latest(route.p99, route.p99_ms), latest(route.p50, route.p50_ms)], false,
      `latency of ${route.route}: now p50 ${millis(route.p50_ms)}, p99 ${millis(route.p99_ms)}`);
    if (card.parentNode !== $("routes")) $("routes").append(card);
  }
  for (const [name, { card }] of cards) {
    if (!routes.some((route) => route.route === name)) { card.remove(); cards.delete(name); }
  }
  drawSummary(routes);
}

function drawSummary(routes) {
  const sum = (key) => routes.reduce((all, route) => all + route[key], 0);
  const [requests, errors] = [sum("rate"), sum("error_rate")];
  const worst = routes.filter((route) => route.p99_ms != null).sort((a, b) => b.p99_ms - a.p99_ms)[0];
  const failing = routes.filter((route) => route.error_rate > 0).sort((a, b) => b.error_rate - a.error_rate)[0];
  const matched = routes.filter((route) => route.route !== "_unmatched").length;
  const figure = (title, value, note, isBad) => el("dl", {}, el("dt", {}, title), el("dd", isBad ? { class: "bad" } : {}, value), el("dd", { class: "note" }, note));
  $("summary").replaceChildren(
    figure("requests", rate(requests), `on ${matched} route${matched === 1 ? "" : "s"}, last 10 s`),
    figure("errors", rate(errors), failing ? `most on ${shown(failing.route)}` : "none in the last 10 s", errors > 0),
    figure("share of errors", share(errors, requests), "5xx or not served"),
    figure("slowest p99", worst ? millis(worst.p99_ms) : "–", worst ? `on ${shown(worst.route)}` : "nothing in the last 10 s"));
}

// === Exchanges ===

const rows = new Map();
let isHeld = false;

function stack(phases, duration) {
  const bar = el("div", { class: "stack" });
  for (const [phase, ms] of Object.entries(phases)) {
    const piece = el("i", { class: OWNER[phase] || "proxy", title: `${phase} ${millis(ms)}` });
    piece.style.flexGrow = String(ms / Math.max(duration, 0.001));
    bar.append(piece);
  }
  bar.title = Object.entries(phases).map(([phase, ms]) => `${phase} ${millis(ms)}`).join(", ");
  return bar;
}

const isBad = (exchange) => exchange.outcome !== "served" || exchange.status >= 500;

function row(exchange) {
  const cell = (name, ...inside) => el("td", { role: "cell", class: name }, ...inside);
  const request = shown((exchange.path || "") + (exchange.query ? "?" + exchange.query : ""));
  const open = el("a", { href: link({ trace: exchange.trace_id }) }, el("bdi", {}, request || "–"));
  const bad = exchange.status >= 500 ? " bad" : "";
  const tr = el("tr", { role: "row" },
    cell("time", exchange.time.slice(11, 23)),
    cell("route-name", shown(exchange.route || "_unmatched")),
    cell("request", el("span", { class: "method" }, shown(exchange.method)), " ", open),
    cell("number" + bad, String(exchange.status)),
    cell("outcome" + (exchange.outcome === "served" ? "" : " bad"), exchange.outcome),
    cell("number attempts", String((exchange.attempts || []).length)),
    cell("number duration", millis(exchange.duration_ms)),
    cell("phases", stack(exchange.phases_ms, exchange.duration_ms)));
  tr.querySelector(".request").title = request;
  tr.addEventListener("click", (event) => { if (!event.target.closest("a")) go({ trace: exchange.trace_id }); });
  return { tr, open, exchange };
}

function drawExchanges({ exchanges }) {
  const body = $("rows"), seen = new Set();
  let before = null;
  for (const exchange of exchanges) {
    seen.add(exchange.span_id);
    if (!rows.has(exchange.span_id)) rows.set(exchange.span_id, row(exchange));
    const { tr, open } = rows.get(exchange.span_id);
    open.href = link({ trace: exchange.trace_id });
    const place = before ? before.nextSibling : body.firstChild;
    if (place !== tr) body.insertBefore(tr, place);
    before = tr;
  }
  for (const [id, { tr }] of rows) if (!seen.has(id)) { tr.remove(); rows.delete(id); }
  $("no-rows").hidden = exchanges.length > 0;
}

const asked = () => {
  const query = new URLSearchParams({ limit: String(ROWS) });
  for (const [name, value] of [["route", view.route], ["outcome", view.outcome], ["min_duration", view.min], ["filter", view.filter]]) if (value) query.set(name, value);
  return "/api/v1/exchanges?" + query;
};

function fillFilters(routes) {
  const form = $("filters");
  const fill = (select, all, chosen) => {
    const wanted = ["", ...new Set([...all, ...(chosen ? [chosen] : [])])];
    if (wanted.join() !== [...select.options].map((option) => option.value).join()) {
      select.replaceChildren(...wanted.map((value) => el("option", { value }, value ? shown(value) : "all")));
    }
    if (document.activeElement !== select) select.value = chosen || "";
  };
  fill(form.elements.route, [...routes, "_unmatched"], view.route);
  fill(form.elements.outcome, OUTCOMES, view.outcome);
  for (const name of ["min", "filter"]) if (document.activeElement !== form.elements[name]) form.elements[name].value = view[name] || "";
}

// === One exchange ===

function facts(pairs) {
  return el("dl", { class: "facts" }, ...pairs.filter(([, value]) => value != null && value !== "").flatMap(([name, value]) =>
    [el("dt", {}, name), el("dd", {}, value instanceof Node ? value : el("bdi", {}, shown(value)))]));
}

function waterfall(exchange) {
  const total = Math.max(exchange.duration_ms, 0.001);
  const piece = (name, from, to, title) => {
    const bar = el("i", { class: name, title });
    bar.style.left = 100 * from / total + "%";
    bar.style.width = Math.max(0, 100 * (Math.min(to, total) - from) / total) + "%";
    return bar;
  };
  const line = (name, label, bars, value) => [el("div", { class: name }, label), el("div", { class: "track" }, ...bars), el("div", { class: "value" }, value)];
  const axis = [0, .25, .5, .75, 1].map((part) => el("span", {}, millis(total * part)));
  const out = [el("div"), el("div", { class: "axis" }, ...axis), el("div"),
    ...line("", "exchange", [piece("whole", 0, total, millis(total))], millis(total))];
  (exchange.attempt_phases || []).forEach((attempt, index) => {
    const about = (exchange.attempts || [])[index] || {};
    const how = about.outcome === "served" ? `${about.status}` : about.outcome;
    const bad = about.outcome !== "served" || about.status >= 500 ? " bad" : "";
    out.push(...line("attempt" + bad, `attempt ${index + 1}: ${how}`,
      [piece("whole", attempt.started_ms, attempt.ended_ms, "whole attempt")], millis(attempt.ended_ms - attempt.started_ms)));
    const entered = Object.entries(attempt.entered_ms).sort((a, b) => a[1] - b[1]);
    entered.forEach(([phase, from], place) => {
      const to = place + 1 < entered.length ? entered[place + 1][1] : attempt.ended_ms;
      out.push(...line("phase", phase, [piece(OWNER[phase] || "proxy", from, to, `from ${millis(from)}`)], millis(Math.max(0, to - from))));
    });
  });
  return el("div", { class: "fall" }, ...out);
}

function detail(exchange) {
  const close = el("button", { type: "button" }, "Close");
  close.addEventListener("click", () => $("detail").close());
  const copy = el("button", { type: "button" }, "Copy trace id");
  copy.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(exchange.trace_id); write(copy, "Copied"); } catch { write(copy, "Select it below"); }
  });
  const { outcome, status } = exchange;
  const phases = Object.entries(exchange.phases_ms);
  const attempts = (exchange.attempts || []).map((attempt, index) =>
    [`attempt ${index + 1}`, `${attempt.endpoint} · ${attempt.status || "no answer"} · ${attempt.outcome} · ${millis(attempt.duration_ms)} · ${attempt.reused ? "reused" : "new"} connection`]);
  return [
    el("div", { class: "top" }, el("h2", { id: "detail-title" }, shown(`${exchange.method} ${exchange.path || ""}`)), close),
    el("p", isBad(exchange) ? { class: "bad" } : {}, `${status} · ${outcome}${exchange.side ? ` (${exchange.side} side)` : ""} · ${millis(exchange.duration_ms)}`),
    exchange.detail ? el("p", {}, shown(exchange.detail)) : null,
    MEANING[outcome] ? el("p", { class: "dim" }, MEANING[outcome]) : null,
    el("h3", {}, "Attempts in time"), waterfall(exchange),
    el("h3", {}, "Where the time went"), stack(exchange.phases_ms, exchange.duration_ms),
    facts(phases.map(([phase, ms]) => [phase, `${millis(ms)} · ${share(ms, exchange.duration_ms)} · ${OWNER_NAME[OWNER[phase] || "proxy"]}`])),
    el("h3", {}, "Facts"),
    facts([["trace id", el("code", {}, exchange.trace_id)], ["", copy], ["time", exchange.time], ["route", exchange.route || "_unmatched"],
      ["upstream", exchange.upstream], ...attempts, ["client", exchange.client], ["peer", exchange.peer], ["host", exchange.host], ["query", exchange.query],
      ["protocol", exchange.protocol], ["request body", `${whole(exchange.bytes_in)} B`], ["response body", `${whole(exchange.bytes_out)} B`],
      ["user agent", exchange.user_agent], ["request id", exchange.request_id], ["kept as a trace", exchange.sampled ? exchange.sampling_reason || "yes" : "no"],
      ["configuration", `generation ${exchange.config_generation}`], ["connection", exchange.connection]]),
  ].filter(Boolean);
}

let opened = null;
async function drawDetail() {
  const dialog = $("detail"), trace = view.trace || "";
  if (trace === opened) return;
  opened = trace;
  if (!trace) { if (dialog.open) dialog.close(); return; }
  let inside;
  try {
    const known = [...rows.values()].find(({ exchange }) => exchange.trace_id === trace);
    inside = detail(known ? known.exchange : await ask("/api/v1/exchanges/" + encodeURIComponent(trace)));
  } catch (error) {
    const close = el("button", { type: "button" }, "Close");
    close.addEventListener("click", () => dialog.close());
    inside = [el("div", { class: "top" }, el("h2", { id: "detail-title" }, "No such exchange"), close), el("p", {}, shown(error.message)), el("p", {}, el("code", {}, shown(trace)))];
  }
  if (opened !== trace) return;
  dialog.replaceChildren(...inside);
  if (!dialog.open) dialog.showModal();
}

// === Endpoints and books ===

let counted = new Map(), countedAt = 0;

function drawEndpoints({ upstreams }) {
  const now = performance.now(), passed = (now - countedAt) / 1000, next = new Map(), out = [];
  for (const upstream of upstreams) {
    const total = (endpoint) => Object.values(endpoint.requests).reduce((sum, count) => sum + count, 0);
    const asked = upstream.endpoints.filter((endpoint) => total(endpoint) > 0);
    const most = Math.max(0.001, ...asked.map((endpoint) => endpoint.latency_ewma_seconds));
    const { active, idle } = upstream.connections;
    out.push(el("tr", { role: "row", class: "group" }, el("th", { role: "rowheader", scope: "rowgroup", colspan: "6" },
      el("strong", {}, upstream.upstream), ` ${upstream.balance}, ${upstream.protocol}, connections: ${whole(active)} active, ${whole(idle)} idle`)));
    upstream.endpoints.forEach((endpoint) => {
      const key = upstream.upstream + " " + endpoint.endpoint, all = total(endpoint), lost = all - (endpoint.requests.served || 0);
      next.set(key, all);
      const speed = counted.has(key) && passed > 0 ? rate(Math.max(0, all - counted.get(key)) / passed) : "–";
      const latency = endpoint.latency_ewma_seconds;
      const others = asked.filter((other) => other !== endpoint).map((other) => other.latency_ewma_seconds).sort((a, b) => a - b);
      const isWorst = all > 0 && others.length > 0 && latency > 0.02 && latency > 3 * others[Math.floor((others.length - 1) / 2)];
      const bar = el("i");
      bar.style.width = 100 * latency / most + "%";
      bar.hidden = all === 0;
      const cell = (name, text, label) => el("td", { role: "cell", class: name, ...(label ? { "data-label": label } : {}) }, text);
      out.push(el("tr", { role: "row" },
        cell("address", `${endpoint.endpoint}${endpoint.weight > 1 ? ` (weight ${endpoint.weight})` : ""}`),
        cell(endpoint.state === "ready" ? "dim" : "bad", endpoint.state === "ready" ? endpoint.health : `${endpoint.state} until ${clock(new Date(1000 * endpoint.until_unix_seconds))}, by ${shown(endpoint.who)}`, "health"), cell("number", speed, "attempts"), cell("number", whole(endpoint.active_requests), "in flight"),
        cell("number lost" + (lost > 0 ? " bad" : ""), all > 0 ? `${whole(lost)} · ${share(lost, all)}` : "–", "not served"),
        el("td", { role: "cell", class: "wide" }, el("div", { class: "meter" + (isWorst ? " worst" : "") },
          el("span", isWorst ? { class: "bad" } : {}, all > 0 ? millis(latency * 1000) : "not asked"), bar))));
    });
  }
  [counted, countedAt] = [next, now];
  $("endpoints").replaceChildren(...out);
}

function drawBooks({ signals }) {
  $("books").replaceChildren(...signals.map((signal) => {
    const dropped = Object.entries(signal.dropped), lost = dropped.reduce((sum, [, count]) => sum + count, 0);
    const why = dropped.map(([reason, count]) => `${whole(count)} ${reason}`).join(", ");
    const last = signal.last_error;
    return el("li", {}, el("strong", {}, signal.signal), ` ${whole(signal.created)} created = ${whole(signal.exported)} exported + `,
      el("span", lost > 0 ? { class: "bad" } : {}, `${whole(lost)} dropped${why ? ` (${why})` : ""}`), ` + ${whole(signal.queued)} queued`,
      last ? el("span", { class: "dim" }, ` · last error at ${clock(new Date(last.at_unix_seconds * 1000))} UTC: ${shown(last.what)}`) : null);
  }));
}

function drawProcess(process) {
  const at = process.listeners.map(({ listener, address }) => `${listener} ${address}`).join(", ");
  write($("process"), `${at} · up ${ago(process.uptime_seconds)} · configuration ${process.config_generation} (${process.config_hash}) · ${process.version}`);
  write($("state"), process.ready ? "serving" : process.reasons[0].split(":")[0]);
  $("state").className = "state " + (process.ready ? "good" : "bad");
  const tries = process.listeners.map(({ address }) => `curl -i http://${address.replace(/^0\.0\.0\.0|^\[::\]/, "127.0.0.1")}/`);
  write($("try"), tries.join("\n"));
}

// === The second's round ===

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail || answer.statusText), { status: answer.status });
  return body;
}

let lostSince = null;
async function askAll() {
  try {
    const exchanges = isHeld ? null : ask(asked()).then((found) => ({ found }), (error) => ({ error }));
    const [routes, upstreams, books, process, verdict] = await Promise.all(["routes", "upstreams", "telemetry", "process", "verdict"].map((page) => ask("/api/v1/" + page)));
    drawProcess(process);
    drawVerdict(verdict);
    const hasTraffic = routes.routes.length > 0;
    $("empty").hidden = hasTraffic;
    for (const id of ["summary", "routes-section", "exchanges-section"]) $(id).hidden = !hasTraffic;
    for (const id of ["endpoints-section", "books-section"]) $(id).hidden = false;
    drawRoutes(routes);
    fillFilters(process.routes);
    drawEndpoints(upstreams);
    drawBooks(books);
    const answer = await exchanges;
    if (answer && answer.found) drawExchanges(answer.found);
    if (answer && answer.error && answer.error.status !== 400) throw answer.error;
    const problem = answer && answer.error ? answer.error.message : "";
    if (answer) { write($("filter-problem"), shown(problem)); $("filter-problem").hidden = !problem; }
    lostSince = null;
    const errors = routes.routes.reduce((all, route) => all + route.error_rate, 0);
    document.title = errors > 0 ? `${rate(errors)} errors · sightglass` : "sightglass";
  } catch (error) {
    lostSince = lostSince || new Date();
    const since = `since ${clock(lostSince)} UTC (${ago((Date.now() - lostSince) / 1000)})`;
    write($("banner"), error.status ? `The proxy refuses to answer ${since}: ${error.message}` : `The proxy cannot be reached ${since}. What is below is from before; it is asked again each second.`);
    write($("state"), error.status ? "refused" : "not reachable");
    $("state").className = "state bad";
    document.title = "not reachable · sightglass";
  }
  $("banner").hidden = !lostSince;
  document.body.classList.toggle("stale", Boolean(lostSince));
  $("hour-open").href = link({ hour: "all" });
  await Promise.all([drawDetail(), drawHour()]);
}

let timer = null, isAsking = false;
async function tick() {
  clearTimeout(timer);
  if (isAsking) return;
  isAsking = true;
  const begun = performance.now();
  try { await askAll(); } finally { isAsking = false; }
  if (!document.hidden) timer = setTimeout(tick, Math.max(100, EVERY - (performance.now() - begun)));
}

addEventListener("hashchange", () => { readView(); drawDetail(); drawWhy(); drawHour(); tick(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
$("detail").addEventListener("close", () => { if (view.trace) go({ trace: "" }); });
$("detail").addEventListener("click", (event) => { if (event.target === $("detail") && event.offsetX < 0) $("detail").close(); });
$("filters").addEventListener("change", (event) => go({ [event.target.name]: event.target.value.trim() }));
$("filters").addEventListener("submit", (event) => { event.preventDefault(); document.activeElement.blur(); });
$("why-ask").addEventListener("click", () => go({ why: view.filter || "all" }));
$("hold").addEventListener("click", () => {
  isHeld = !isHeld;
  $("hold").setAttribute("aria-pressed", String(isHeld));
  write($("hold"), isHeld ? "Held: go on" : "Hold");
  tick();
});
// Not by the fragment: that is the view.
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); $("exchanges").focus(); });
readView();
drawWhy();
tick();
