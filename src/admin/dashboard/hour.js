// The last hour of a route, or of all: requests and failures, latency, where the latency lay, and what the failures were.
// Drawn when its view is open (#hour=all or #hour=ROUTE), asked every ten seconds, which is the step of its slots.
"use strict";

const HOUR_EVERY = 10000;
// Shades of one hue, the lightest for one exchange and the strongest for the fullest cell: read without telling colours apart.
const SHADES = 6;

let hourAsked = null, hourAt = 0, hourCharts = null;

function hourChart(keys, unit) {
  const drawn = chart(keys, unit);
  drawn.figure.querySelectorAll(".x span").forEach((mark, index) => write(mark, ["−60 min", "−48", "−36", "−24", "−12", "now"][index]));
  return drawn;
}

// Adds up the slots of several routes.
const added = (lists) => lists.reduce((sum, list) => sum.map((value, at) => value + list[at]), new Array(lists[0].length).fill(0));

function heatMap({ heat }, scale) {
  const figure = $("hour-heat");
  const counts = heat.flatMap((slot) => slot || []), most = Math.max(0, ...counts);
  const used = scale.map((_, at) => at).concat(scale.length).filter((at) => heat.some((slot) => slot && slot[at] > 0));
  figure.hidden = used.length === 0;
  if (used.length === 0) return;
  const low = Math.max(0, used[0] - 1), high = Math.min(scale.length, used[used.length - 1] + 1), lines = high - low + 1;
  const svg = figure.querySelector("svg");
  svg.setAttribute("viewBox", `0 0 ${heat.length} ${lines}`);
  svg.setAttribute("aria-label", `how long exchanges took, by ten seconds: from ${millis(scale[low])} to ${millis(scale[Math.min(high, scale.length - 1)])}`);
  const shade = (count) => Math.min(SHADES, 1 + Math.floor(SHADES * Math.log(count) / Math.max(Math.log(most + 1), 1e-9)));
  const paths = new Array(SHADES + 1).fill("");
  heat.forEach((slot, x) => slot && slot.forEach((count, at) => {
    if (count > 0 && at >= low && at <= high) paths[shade(count)] += `M${x} ${high - at}h1v1h-1z`;
  }));
  svg.replaceChildren(...paths.slice(1).map((d, index) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", "shade shade-" + (index + 1));
    path.setAttribute("d", d);
    return path;
  }));
  const bound = (at) => at >= scale.length ? "> " + millis(scale[scale.length - 1]) : millis(scale[at]);
  [high, Math.round((high + low) / 2), low].forEach((at, index) => write(figure.querySelectorAll(".y span")[index], bound(at)));
  write($("hour-heat-note"), `darker is more: up to ${whole(most)} exchanges in ten seconds`);
}

// The failures of the hour by word: how many, when first and last, and what to read.
function failureRows(routes, from, step) {
  const found = new Map();
  for (const { route, failures } of routes) for (const [word, slots] of Object.entries(failures)) {
    const count = slots.reduce((sum, [, some]) => sum + some, 0);
    if (count > 0) found.set(route + " " + word, { route, word, count, first: slots[0][0], last: slots[slots.length - 1][0] });
  }
  const moment = (slot) => clock(new Date(1000 * (from + slot * step)));
  const cell = (name, label, ...inside) => el("td", { role: "cell", class: name, "data-label": label }, ...inside);
  return [...found.values()].sort((a, b) => b.count - a.count).map(({ route, word, count, first, last }) => el("tr", { role: "row" },
    cell("fact", "", OUTCOMES.includes(word) ? el("a", { href: link({ hour: "", outcome: word, route, filter: "", min: "" }) }, word) : word),
    cell("", "route", shown(route)), cell("number", "count", whole(count)), cell("number", "first", moment(first)), cell("number", "last", moment(last)),
    cell("meaning", "", MEANING[word] || (word.startsWith("status_") ? "The service itself answered so: the request reached it and its answer went through." :
      word.startsWith("grpc_") ? "The service itself ended the call with this gRPC status." : ""))));
}

async function drawHour() {
  const isOpen = view.hour != null && view.hour !== "";
  if (!isOpen) { hourAsked = null; return; }
  if (hourAsked === view.hour && performance.now() - hourAt < HOUR_EVERY) return;
  const asked = view.hour, isAll = asked === "all";
  [hourAsked, hourAt] = [asked, performance.now()];
  try {
    const answer = await ask("/api/v1/history" + (isAll ? "" : "?" + new URLSearchParams({ route: asked })));
    if (view.hour !== asked) return;
    if (!hourCharts) {
      hourCharts = [hourChart(["requests", "errors"], rate), hourChart(["p99", "p50"], millis)];
      $("hour-charts").replaceChildren(...hourCharts.map(({ figure }) => figure));
    }
    const routes = answer.routes, [counts, latency] = hourCharts, lived = answer.now % answer.step + 1;
    // The present slot is not over: what it has seen is of the seconds that it has lived.
    const perSecond = (slots) => slots.map((count, at) => count / (at + 1 < slots.length ? answer.step : lived));
    $("hour-names").replaceChildren(...["all", ...[...cards.keys()]].map((name) =>
      el("a", { href: link({ hour: name }), ...(name === asked ? { "aria-current": "true" } : {}) }, name === "all" ? "all routes" : shown(name))));
    write($("hour-note"), routes.length === 0 ? (isAll ? "Nothing has come through in the last hour." : `${shown(asked)} has had no request in the last hour.`) :
      `by ten seconds, from ${clock(new Date(1000 * answer.from))} UTC on; a slot without a request has no latency`);
    for (const id of ["hour-charts", "hour-failures"]) $(id).hidden = routes.length === 0;
    $("hour-heat").hidden = true;
    if (routes.length === 0) return;
    const requests = perSecond(added(routes.map((route) => route.requests))), errors = perSecond(added(routes.map((route) => route.errors)));
    counts.draw([requests, errors], true, `requests and errors a second in the last hour of ${isAll ? "all routes" : asked}`);
    // Percentiles of several routes do not add up: they are drawn for one.
    latency.figure.hidden = routes.length > 1;
    if (routes.length === 1) {
      latency.draw([routes[0].p99, routes[0].p50], false, `latency in the last hour of ${routes[0].route}`);
      if (routes[0].heat) heatMap(routes[0], answer.scale_ms);
    }
    const rows = failureRows(routes, answer.from, answer.step);
    $("hour-words").replaceChildren(...rows);
    $("hour-failures").hidden = rows.length === 0;
  } catch (error) {
    write($("hour-note"), shown(error.message));
  }
}
