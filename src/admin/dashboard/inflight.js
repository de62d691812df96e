// What is in the proxy now: the exchanges that have lasted longest, where they stand, and what the connections do.
"use strict";

const MOST_IN_FLIGHT = 60;
async function drawInFlight() {
  const isOpen = viewName() === "inflight";
  if (!isOpen) return;
  const query = new URLSearchParams({ limit: "1000", ...(view.filter ? { filter: view.filter } : {}) });
  try {
    const { total, matched, exchanges, connections, holders, silent_workers: silent } = await ask("/api/v1/inflight?" + query);
    const states = new Map();
    for (const { state } of connections) states.set(state, (states.get(state) || 0) + 1);
    const counted = [...states].map(([state, count]) => `${whole(count)} ${state}`).join(", ");
    write($("inflight-none"), exchanges.length > 0 ? "" : view.filter ? "Nothing that is in flight matches." : "Nothing is in the proxy at this moment.");
    write($("inflight-note"), `${whole(total.exchanges)} exchanges in flight${view.filter ? `, ${whole(matched)} match ${shown(view.filter)}` : ""} · ${whole(total.connections)} connections of clients` +
      (counted ? ` (of ${whole(connections.length)}: ${counted})` : "") + (silent.length ? ` · ${silent.length} workers did not answer within a second` : ""));
    // Where they stand, all together: one phase that holds most of them is the cause as a rule.
    const stands = new Map();
    for (const { phase, upstream } of exchanges) {
      const key = phase + (upstream ? " at " + upstream : "");
      stands.set(key, (stands.get(key) || 0) + 1);
    }
    const most = [...stands].sort((a, b) => b[1] - a[1]).slice(0, 6);
    $("inflight-phases").replaceChildren(...most.map(([key, count]) => el("li", {}, el("span", {}, key), meter(count, exchanges.length, whole(count), false))));
    const cell = (name, label, ...inside) => el("td", { role: "cell", class: name, "data-label": label }, ...inside);
    $("inflight-rows").replaceChildren(...exchanges.slice(0, MOST_IN_FLIGHT).map((it) => el("tr", { role: "row" },
      cell("number", "for", millis(it.age_ms)),
      cell("", "in", `${it.phase} for ${millis(it.in_phase_ms)}`),
      cell("", "route", shown(it.route || UNMATCHED)),
      cell("", "endpoint", it.endpoint ? shown(it.endpoint) : "none yet"),
      cell("fact", "", el("span", { class: "method" }, shown(it.method)), " ", el("bdi", {}, shown(it.path || ""))),
      cell("", "client", shown(it.client)),
      cell("number", "attempts", whole(it.attempts)),
      cell("phases", "", stack(it.phases_ms, it.age_ms)))));
    $("inflight-table").hidden = exchanges.length === 0;
    // Who leaks connections, or eats a limit, stands out.
    const lines = holders.map((it) => el("tr", { role: "row" },
      cell("fact", "", shown(it.peer)), cell("wide", "connections", meter(it.connections, total.connections, whole(it.connections), false)), cell("number", "of all", share(it.connections, total.connections)),
      cell("", "", `${whole(it.idle)} idle, ${whole(it.active)} active`), cell("number", "the oldest", millis(it.oldest_ms))));
    const more = total.peers - lines.length;
    if (more > 0) lines.push(el("tr", { role: "row" }, cell("fact dim", "", `and ${whole(more)} more`)));
    $("holders").replaceChildren(...lines);
  } catch (error) {
    write($("inflight-note"), shown(error.message));
  }
}
