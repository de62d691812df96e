// The last exchanges as a table, their filters, and one of them with its attempts in time.
"use strict";

const ROWS = 40;

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
    cell("route-name", shown(exchange.route || UNMATCHED)),
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
  for (const [name, value] of [["route", view.route], ["outcome", view.outcome], ["min_duration", view.min], ["filter", view.filter], ["order", view.order]]) if (value) query.set(name, value);
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
  fill(form.elements.route, [...routes, UNMATCHED], view.route);
  fill(form.elements.outcome, OUTCOMES, view.outcome);
  if (document.activeElement !== form.elements.order) form.elements.order.value = view.order || "";
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
    facts([["trace id", el("code", {}, exchange.trace_id)], ["", copy],
      ["", away("Open the trace", exchange.sampled ? links.trace : null, { trace_id: exchange.trace_id, span_id: exchange.span_id })], ["time", exchange.time], ["route", exchange.route || UNMATCHED],
      ["upstream", exchange.upstream], ...attempts, ["client", exchange.client], ["peer", exchange.peer], ["host", exchange.host], ["query", exchange.query],
      ["protocol", exchange.protocol], ["request body", `${whole(exchange.bytes_in)} B`], ["response body", `${whole(exchange.bytes_out)} B`],
      ["user agent", exchange.user_agent], ["request id", exchange.request_id], ["kept as a trace", exchange.sampled ? exchange.sampling_reason || "yes" : "no"],
      ["configuration", `generation ${exchange.config_generation}`], ["connection", exchange.connection]]),
  ].filter(Boolean);
}

// Why it went where it went, by the configuration that it ran under.
function ruling({ because, generation, generation_in_force: inForce, others, others_left_out: leftOut, attempts, limits }) {
  const lost = others.slice(0, 8).map((it) => [it.route, `${it.reason.replaceAll("_", " ")}: ${it.detail}`]);
  const more = others.length - lost.length + leftOut;
  const picked = attempts.map((it) => [`attempt ${it.attempt}`, it.because]);
  const told = limits.map((it) => [it.limit.replaceAll("_", " "), it.state]);
  return el("div", { class: "ruling" }, el("h3", {}, "Why it went this way"),
    el("p", {}, shown(because), generation === inForce ? "" : ` (by generation ${generation}; ${inForce} is in force now)`),
    facts([...picked, ...told]), lost.length > 0 ? el("h3", {}, "Why no other route") : null, facts(lost),
    more > 0 ? el("p", { class: "dim" }, `and ${whole(more)} more`) : null);
}

async function drawRuling(trace) {
  try {
    const told = await ask(`/api/v1/exchanges/${encodeURIComponent(trace)}/explain`);
    if (opened === trace) $("detail").append(ruling(told));
  } catch { /* the rest of the exchange stands without it */ }
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
  await drawRuling(trace);
}
