// What may be used up: objectives with their budgets, limits and retries of each route, and the configuration in force.
"use strict";

const seconds = (value) => value % 86400 === 0 ? value / 86400 + " d" : value % 3600 === 0 ? value / 3600 + " h" : value % 60 === 0 ? value / 60 + " min" : digits(value, value < 1 ? 2 : 0) + " s";
const cellOf = (name, label, ...inside) => el("td", { role: "cell", class: name, "data-label": label }, ...inside);

function objectiveRow(it) {
  const burns = Object.entries(it.windows).map(([window, burn]) => burn ? `${window} ${digits(burn.burn_rate, burn.burn_rate < 10 ? 1 : 0)}` : null).filter(Boolean);
  const left = it.budget.remaining;
  const says = it.within_seconds ? `${share(it.objective, 1)} within ${millis(1000 * it.within_seconds)}` : `${share(it.objective, 1)} served`;
  return el("tr", { role: "row" }, cellOf("fact", "", el("a", { href: link({ show: "", route: it.route }) }, shown(it.route))),
    cellOf("", "objective", `${says}, over ${seconds(it.window_seconds)}`),
    cellOf(it.is_burning ? "bad" : "", "burn rate", burns.length ? burns.join(" · ") + (it.is_burning ? " · burns fast" : "") : "too young to say"),
    cellOf("wide", "budget left", left == null ? "–" : meter(Math.max(0, left), 1, left < 0 ? `spent ${digits(1 - left, 1 - left < 10 ? 1 : 0)} ×` : share(left, 1), left < 0.1)),
    cellOf("number", "bad", `${whole(it.budget.bad)} of ${whole(it.budget.good + it.budget.bad)}`));
}

function limitRow(route, history, map, inside) {
  const failures = (history.routes.find((it) => it.route === route.name) || { failures: {} }).failures;
  const refused = (word) => (failures[word] || []).reduce((sum, [, count]) => sum + count, 0);
  const attempts = map.route_endpoints.filter((it) => it.route === route.name).reduce((sum, it) => sum + it.count, 0);
  const requests = (map.routes.find((it) => it.route === route.name) || { count: 0 }).count;
  const told = (count, word) => count > 0 ? el("a", { class: "bad", href: link({ show: "", route: route.name, outcome: word }) }, `${whole(count)} refused in the last hour`) : el("span", { class: "dim" }, "none refused");
  const limited = route.rate_limit, lives = inside.get(route.name) || 0;
  return el("tr", { role: "row" }, cellOf("fact", "", el("a", { href: link({ show: "", route: route.name }) }, shown(route.name))),
    cellOf("", "rate limit", ...(limited ? [`${limited.rate}, burst ${limited.burst}, by ${limited.key} · `, told(refused("rate_limited"), "rate_limited")] : ["none"])),
    cellOf("", "concurrency", ...(route.concurrency ? [meter(lives, route.concurrency, `${whole(lives)} of ${whole(route.concurrency)}`, lives >= 0.9 * route.concurrency), told(refused("overloaded"), "overloaded")] : ["no limit"])),
    cellOf("", "retries", route.retry ? `up to ${route.retry.attempts} attempts; budget ${route.retry.budget.ratio} and ${route.retry.budget.min_per_second} /s` : "none"),
    cellOf("number", "attempts a request", requests > 0 && attempts > 0 ? digits(attempts / requests, 2) : "–"));
}

async function drawLimits() {
  if (viewName() !== "limits") return;
  try {
    const [slo, config, history, map, inFlight] = await Promise.all(["slo", "config", "history", "map", "inflight?limit=10000"].map((page) => ask("/api/v1/" + page)));
    $("objectives-table").hidden = slo.objectives.length === 0;
    write($("objectives-note"), slo.objectives.length === 0 ? "No route has an objective: set routes.slo to see how fast its error budget burns." :
      "burn rate: 1 spends the budget exactly within its window; by how long it was looked at");
    $("objectives").replaceChildren(...slo.objectives.map(objectiveRow));
    const inside = new Map();
    for (const { route } of inFlight.exchanges) inside.set(route, (inside.get(route) || 0) + 1);
    $("limits").replaceChildren(...config.config.routes.map((route) => limitRow(route, history, map, inside)));
  } catch (error) {
    write($("objectives-note"), shown(error.message));
  }
}

// === Configuration ===

const isEmpty = (value) => value === null || (typeof value === "object" && Object.values(value).every(isEmpty));

// What a key says, indented like the file; keys without a value are left out.
function written(value, depth) {
  const indent = "  ".repeat(depth), isPlain = (one) => one === null || typeof one !== "object";
  const lines = [];
  if (Array.isArray(value)) {
    for (const one of value) {
      const inner = isPlain(one) ? String(one) : written(one, depth + 1).trimStart();
      lines.push(`${indent}- ${inner}`);
    }
  } else {
    const keys = Object.entries(value).sort(([a], [b]) => (b === "name") - (a === "name"));
    for (const [key, one] of keys) {
      if (isEmpty(one)) continue;
      if (isPlain(one)) lines.push(`${indent}${key}: ${one}`);
      else if (Array.isArray(one) && one.every(isPlain)) lines.push(`${indent}${key}: [${one.join(", ")}]`);
      else lines.push(`${indent}${key}:`, written(one, depth + 1));
    }
  }
  return lines.join("\n");
}

async function drawConfiguration() {
  if (viewName() !== "config") return;
  try {
    const [config, happened] = await Promise.all([ask("/api/v1/config"), ask("/api/v1/events")]);
    write($("config-note"), `generation ${config.generation} (${config.hash}), in force since ${new Date(1000 * config.loaded_unix_seconds).toISOString().slice(0, 19)}Z; defaults filled in, secrets masked`);
    write($("config-text"), shown(written(config.config, 0)).replaceAll("\\u000a", "\n"));
    const { events, lost } = happened;
    write($("events-note"), (events.length === 0 ? "Nothing has happened." : `${whole(events.length)} since the process began, the newest first`) + (lost > 0 ? `; ${whole(lost)} older ones are gone` : ""));
    $("events").replaceChildren(...events.map((it) => el("tr", { role: "row" },
      cellOf("", "at", new Date(1000 * it.unix_seconds).toISOString().slice(0, 19) + "Z"),
      cellOf(it.level === "info" ? "dim" : "bad", "level", it.level),
      cellOf("fact", "", shown(it.message)),
      cellOf("", "", Object.entries(it.fields).map(([name, value]) => `${name} ${shown(value)}`).join(" · ")))));
    $("events-table").hidden = events.length === 0;
  } catch (error) {
    write($("config-note"), shown(error.message));
  }
}
