// The traffic map: listeners, routes, upstreams and endpoints in columns, and what went from each to each in the last minute.
"use strict";

const COLUMNS = [["listeners", "Listeners"], ["routes", "Routes"], ["upstreams", "Upstreams"], ["endpoints", "Endpoints"]];
// A column shows so many: those that fail first, then the busiest, in the configuration's order.
const MOST_NODES = 12;
// From this share on a way is drawn as failing, unless its failures are few.
const FAILING = 0.01;

const nodes = new Map();
let mapLines = [], slow = new Set();

// What no route takes is seldom news, since strangers ask for what never was: nothing is called failing for it.
const failed = (figures) => figures ? figures.errors - (figures.unrouted || 0) : 0;
const isFailing = (figures) => failed(figures) >= FEW_FAILURES && failed(figures) / figures.count >= FAILING;

function node(id) {
  if (nodes.has(id)) return nodes.get(id);
  const name = el("a", {}), load = el("span"), pace = el("span", { class: "dim" }), note = el("span", { class: "bad" });
  const item = el("li", { class: "node" }, name, load, pace, note);
  nodes.set(id, { item, name, load, pace, note });
  return nodes.get(id);
}

function drawNode({ id, name, href, figures, state, word }) {
  const it = node(id), isBad = isFailing(figures) || state || word, isUnrouted = name === UNMATCHED && figures && figures.unrouted > 0;
  write(it.name, shown(name));
  it.name.title = name;
  if (href) it.name.href = href; else it.name.removeAttribute("href");
  write(it.load, figures ? rate(figures.rate) : "no traffic");
  write(it.pace, figures ? `p50 ${millis(figures.p50_ms)} · p99 ${millis(figures.p99_ms)}` : "");
  const errors = failed(figures) > 0 ? `${share(failed(figures), figures.count)} failing` : "";
  const unrouted = isUnrouted ? `${share(figures.unrouted, figures.count)} found no route` : "";
  write(it.note, [word && !isFailing(figures) ? word : errors, unrouted, state || ""].filter(Boolean).join(" · "));
  it.note.className = isBad ? "bad" : "dim";
  it.item.className = "node" + (isBad ? " failing" : "") + (figures ? "" : " idle");
  return it.item;
}

// The places of each column, from what is configured and what was seen.
function placesOf(map, upstreams, process) {
  const by = (list, ...keys) => new Map(list.map((it) => [keys.map((key) => it[key]).join(" "), it]));
  const [listeners, routes, targets, endpoints] = [by(map.listeners, "listener"), by(map.routes, "route"), by(map.upstreams, "upstream"), by(map.endpoints, "upstream", "endpoint")];
  const names = (known, seen) => [...new Set([...known, ...seen])];
  return {
    listeners: names(process.listeners.map((it) => it.listener), listeners.keys()).map((name) => ({ name, figures: listeners.get(name), href: link({ filter: `listener=="${name}"`, route: "" }) })),
    routes: names(process.routes, routes.keys()).map((name) => ({ name, figures: routes.get(name), href: link({ route: name, filter: "" }) })),
    upstreams: upstreams.map(({ upstream: name }) => ({ name, figures: targets.get(name), href: link({ filter: `upstream=="${name}"`, route: "" }) })),
    endpoints: upstreams.flatMap(({ upstream, endpoints: all }) => {
      const told = all.map(({ endpoint }) => endpoints.get(upstream + " " + endpoint)).filter(Boolean);
      return all.map(({ endpoint, state }) => {
        const key = upstream + " " + endpoint, figures = endpoints.get(key), word = apart(figures, told.filter((other) => other !== figures));
        return {
          name: endpoint, key, figures, href: link({ filter: `endpoint=="${endpoint}"`, route: "" }),
          // What it fails stands there already.
          state: state === "ready" ? "" : state, word: word.startsWith("p99") ? word : "",
        };
      });
    }),
  };
}

function chosen(places) {
  if (places.length <= MOST_NODES) return places;
  const weight = ({ figures, state, word }) => (state || word ? 1e12 : 0) + (figures ? failed(figures) * 1e6 + figures.count : -1);
  const most = new Set([...places].sort((a, b) => weight(b) - weight(a)).slice(0, MOST_NODES));
  return places.filter((place) => most.has(place));
}

function drawMap(map, { upstreams }, process) {
  const places = placesOf(map, upstreams, process), seen = new Set();
  for (const [kind, title] of COLUMNS) {
    const all = places[kind], some = chosen(all), list = $("map-" + kind);
    const items = some.map((place) => {
      const id = kind + " " + (place.key || place.name);
      seen.add(id);
      return drawNode({ ...place, id });
    });
    if (items.length !== list.children.length || items.some((item, at) => list.children[at] !== item)) list.replaceChildren(...items);
    write($("map-" + kind + "-title"), all.length > some.length ? `${title}: ${some.length} of ${all.length}` : title);
  }
  for (const id of nodes.keys()) if (!seen.has(id)) nodes.delete(id);
  write($("map-note"), `the last ${map.seconds} s; listeners and routes count exchanges, upstreams and endpoints attempts; a dashed line fails for 1 % or more, or is far slower than its neighbours`);
  const between = new Map();
  for (const way of map.route_endpoints) {
    const key = `routes ${way.route}|upstreams ${way.upstream}`, sum = between.get(key) || { count: 0, errors: 0, rate: 0 };
    for (const part of ["count", "errors", "rate"]) sum[part] += way[part];
    between.set(key, sum);
  }
  mapLines = [
    ...map.listener_routes.map((way) => ({ from: "listeners " + way.listener, to: "routes " + way.route, figures: way })),
    ...[...between].map(([key, figures]) => ({ from: key.split("|")[0], to: key.split("|")[1], figures })),
    ...map.endpoints.map((it) => ({ from: "upstreams " + it.upstream, to: `endpoints ${it.upstream} ${it.endpoint}`, figures: it })),
  ];
  slow = new Set(places.endpoints.filter((it) => it.word).map((it) => "endpoints " + it.key));
  drawLines();
}

// The lines lie behind the columns, from the right of one place to the left of the next; where columns stand one below
// the other there are none.
function drawLines() {
  const svg = $("map-lines"), box = svg.getBoundingClientRect();
  if (box.width === 0) return;
  svg.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
  const most = Math.max(0.1, ...mapLines.map(({ figures }) => figures.rate));
  svg.replaceChildren(...mapLines.flatMap(({ from, to, figures }) => {
    if (!nodes.has(from) || !nodes.has(to)) return [];
    const [left, right] = [nodes.get(from).item.getBoundingClientRect(), nodes.get(to).item.getBoundingClientRect()];
    if (right.left < left.right) return [];
    const [x1, y1, x2, y2] = [left.right - box.left, left.top + left.height / 2 - box.top, right.left - box.left, right.top + right.height / 2 - box.top];
    const bend = (x2 - x1) / 2, path = document.createElementNS(SVG, "path");
    path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
    path.setAttribute("class", isFailing(figures) || slow.has(to) ? "way failing" : "way");
    path.setAttribute("stroke-width", String(1 + 7 * Math.log1p(figures.rate) / Math.log1p(most)));
    return [path];
  }));
}

addEventListener("resize", drawLines);
