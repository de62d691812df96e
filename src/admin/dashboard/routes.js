// The routes: a card each with its rate, errors and latency, and the figures of all on top.
"use strict";

const cards = new Map();

function routeCard(name) {
  const title = el("a", {}, shown(name));
  const figures = ["requests", "errors", "p50", "p99"].map((word) => [word, el("dd")]);
  const rates = chart(["requests", "errors"], rate), latency = chart(["p99", "p50"], millis);
  const card = el("div", { class: "route" },
    el("div", {}, el("h3", {}, title), el("dl", {}, ...figures.flatMap(([word, dd]) => [el("dt", {}, word), dd]))),
    rates.figure, latency.figure);
  const board = el("p", { class: "dim" });
  card.firstChild.append(board);
  return { card, title, rates, latency, board, dd: Object.fromEntries(figures) };
}

function drawRoutes({ routes }) {
  const order = [...routes].sort((a, b) => (a.route === UNMATCHED) - (b.route === UNMATCHED) || (a.route < b.route ? -1 : 1));
  for (const route of order) {
    if (!cards.has(route.route)) cards.set(route.route, routeCard(route.route));
    const { card, title, rates, latency, board, dd } = cards.get(route.route);
    const isChosen = view.route === route.route;
    title.href = link({ route: isChosen ? "" : route.route });
    title.title = isChosen ? "show the exchanges of all routes" : "show this route's exchanges only";
    if (isChosen) title.setAttribute("aria-current", "true"); else title.removeAttribute("aria-current");
    const now = Date.now(), leads = away("Dashboard", route.route === UNMATCHED ? null : links.dashboard, { route: route.route, from_ms: now - 3600000, to_ms: now });
    if (leads && !board.firstChild) board.append(leads); else if (leads) board.firstChild.href = leads.href;
    write(dd.requests, rate(route.rate));
    write(dd.errors, route.rate > 0 ? `${rate(route.error_rate)} · ${share(route.error_rate, route.rate)}` : rate(0));
    dd.errors.className = failureRate(route) > 0 ? "bad" : "";
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

// What found no route counts as a request and not as a failure: it is told apart.
const failureRate = (route) => route.error_rate - route.unrouted_rate;

function drawSummary(routes) {
  const sum = (of) => routes.reduce((all, route) => all + of(route), 0);
  const [requests, errors, unrouted] = [sum((route) => route.rate), sum(failureRate), sum((route) => route.unrouted_rate)];
  const matched = routes.filter((route) => route.route !== UNMATCHED);
  const worst = routes.filter((route) => route.p99_ms != null).sort((a, b) => b.p99_ms - a.p99_ms)[0];
  const failing = routes.filter((route) => failureRate(route) > 0).sort((a, b) => failureRate(b) - failureRate(a));
  const figure = (title, value, note, isBad) => el("dl", {}, el("dt", {}, title), el("dd", isBad ? { class: "bad" } : {}, value), el("dd", { class: "note" }, note));
  $("summary").replaceChildren(
    figure("requests", rate(requests), `on ${matched.length} route${matched.length === 1 ? "" : "s"}, last 10 s`),
    figure("errors", rate(errors), failing.length ? `${failing.length > 1 ? "most " : ""}on ${shown(failing[0].route)}` : "none in the last 10 s", errors > 0),
    figure("share of errors", share(errors, requests), unrouted > 0 ? `5xx or not served; ${rate(unrouted)} more found no route` : "5xx or not served"),
    figure("slowest p99", worst ? millis(worst.p99_ms) : "–", worst ? `on ${shown(worst.route)}` : "nothing in the last 10 s"));
}
