// The page's round: what is told or asked each second, and what the person does. Loaded last.
"use strict";

const EVERY = 1000;

let lostSince = null, hasTraffic = false;

// The sections of the open view, and nothing of the others.
function drawViews() {
  const name = viewName(), known = [...document.querySelectorAll("#views a")];
  for (const tab of known) {
    const of = tab.dataset.view;
    tab.href = link({ show: ["now", "hour"].includes(of) ? "" : of, hour: of === "hour" ? view.route || "all" : "", trace: "", hold: "" });
    if (of === name) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
  }
  for (const section of document.querySelectorAll("section[data-view]")) section.hidden = section.dataset.view !== name;
  if (name !== "now") return;
  $("empty").hidden = hasTraffic;
  for (const id of ["map-section", "routes-section", "exchanges-section"]) $(id).hidden = !hasTraffic;
}

async function drawNow(round) {
  const exchanges = isHeld || viewName() !== "now" ? null : ask(asked()).then((found) => ({ found }), (error) => ({ error }));
  const { routes, upstreams, telemetry, process, verdict, map } = round;
  hasTraffic = routes.routes.length > 0;
  $("summary").hidden = !hasTraffic;
  drawViews();
  drawProcess(process);
  drawVerdict(verdict);
  drawRoutes(routes);
  fillFilters(process.routes);
  drawMap(map, upstreams, process);
  drawEndpoints(upstreams, map);
  drawBooks(telemetry);
  const answer = await exchanges;
  if (answer && answer.found) drawExchanges(answer.found);
  if (answer && answer.error && answer.error.status !== 400) throw answer.error;
  const problem = answer && answer.error ? answer.error.message : "";
  if (answer) { write($("filter-problem"), shown(problem)); $("filter-problem").hidden = !problem; }
  const errors = routes.routes.reduce((all, route) => all + failureRate(route), 0);
  document.title = errors > 0 ? `${rate(errors)} errors · sightglass` : "sightglass";
}

const ROUND = ["routes", "upstreams", "telemetry", "process", "verdict", "map"];

// === Live ===

// The proxy tells a round a second for as long as the page is looked at. Where it does not (too many look, or something
// between does not let events through) the page asks for the same by itself.
const FRESH = 2500, AGAIN = 10000;
let live = null, told = null, toldAt = 0;

function listen() {
  if (document.hidden || (live && live.readyState !== EventSource.CLOSED)) return;
  live = new EventSource("/api/v1/live");
  live.addEventListener("round", ({ data }) => {
    [told, toldAt] = [JSON.parse(data), performance.now()];
    tick();
  });
  live.addEventListener("error", () => {
    told = null;
    if (live.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN);
  });
}

const isTold = () => told !== null && performance.now() - toldAt < FRESH;

async function askRound() {
  if (isTold()) return told;
  const answers = await Promise.all(ROUND.map((page) => ask("/api/v1/" + page)));
  return Object.fromEntries(ROUND.map((page, at) => [page, answers[at]]));
}

async function askAll() {
  try {
    await drawNow(await askRound());
    lostSince = null;
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
  drawHold();
  await Promise.all([drawDetail(), drawHour(), drawInFlight(), drawLimits(), drawConfiguration()]);
}

let timer = null, isAsking = false;
async function tick() {
  clearTimeout(timer);
  if (isAsking) return;
  isAsking = true;
  const begun = performance.now();
  try { await askAll(); } finally { isAsking = false; }
  if (!document.hidden) timer = setTimeout(tick, isTold() ? FRESH : Math.max(100, EVERY - (performance.now() - begun)));
}

addEventListener("hashchange", () => { readView(); drawViews(); drawDetail(); drawHold(); drawWhy(); drawHour(); tick(); });
document.addEventListener("visibilitychange", () => { if (document.hidden) { live?.close(); told = null; } else { listen(); tick(); } });
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
drawViews();
drawWhy();
listen();
tick();
