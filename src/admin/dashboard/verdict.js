// What is wrong, and what sets failing exchanges apart: the parts of the page that app.js calls each second and at each
// change of the view.
"use strict";

// Each clause leads to the figures behind it: where a view shows what a path of the API has, to that.
const VIEWS = { "/api/v1/inflight": "inflight", "/api/v1/config": "config" };
function clause({ text, filter, hour, path }) {
  const href = filter ? link({ filter, route: "", outcome: "", min: "", show: "", hour: "" }) : hour ? link({ hour, show: "" })
    : VIEWS[path] ? link({ show: VIEWS[path], hour: "" }) : path;
  const [, before, words] = /^([;,(\s]*)(.*)$/.exec(shown(text));
  return [before, href ? el("a", { href }, words) : words];
}

function drawVerdict({ findings }) {
  $("verdict-section").hidden = findings.length === 0;
  $("verdict").replaceChildren(...findings.map((it) => {
    const { bad, of, usual_share: usual } = it.evidence;
    const figures = of > 0 ? `${whole(bad)} of ${whole(of)} in the last minute; usual: ${share(usual, 1)}` : "";
    const links = it.filter ? [" · ", el("a", { href: link({ filter: it.filter, route: "", outcome: "", min: "" }) }, "its exchanges"),
      " · ", el("a", { href: link({ why: it.filter }) }, "why")] : it.kind === "connections" ? [el("a", { href: link({ show: "inflight", hour: "" }) }, "who holds them")] : [];
    return el("li", {}, el("strong", {}, ...it.clauses.flatMap(clause)), el("div", { class: "dim" }, figures, ...links));
  }));
}

let whyAsked = null;
async function drawWhy() {
  const isOpen = view.why != null;
  $("why-section").hidden = !isOpen;
  if (!isOpen) { whyAsked = null; return; }
  if (whyAsked === view.why) return;
  whyAsked = view.why;
  $("why-close").href = link({ why: "" });
  const isAll = view.why === "all";
  write($("why-asked"), isAll ? "failed and slow exchanges, beside the others of the same ten minutes" : `${shown(view.why)}, beside the others of the same ten minutes`);
  write($("why-note"), "asking");
  $("why").replaceChildren();
  try {
    const answer = await ask("/api/v1/why" + (isAll ? "" : "?" + new URLSearchParams({ filter: view.why })));
    write($("why-note"), `${whole(answer.matched)} that match, ${whole(answer.rest)} others${answer.place ? " of " + shown(answer.place) : ""}${answer.note ? ": " + shown(answer.note) : ""}`);
    const bar = (part) => {
      const fill = el("i");
      fill.style.width = 100 * part + "%";
      return el("div", { class: "meter" }, el("span", {}, share(part, 1)), el("div", {}, fill));
    };
    const cell = (name, label, ...inside) => el("td", { role: "cell", class: name, "data-label": label }, ...inside);
    const line = (it, before) => el("tr", { role: "row" }, cell("fact", "", before + shown(it.fact)), cell("", "", el("bdi", {}, shown(it.value))),
      cell("wide", "of them", bar(it.matched_share)), cell("wide", "of the others", bar(it.rest_share)),
      cell("number", "of such, match", it.risk == null ? "follows from it" : share(it.risk, 1)));
    $("why").append(...answer.differences.flatMap((it) => [line(it, ""), ...it.within.map((inner) => line(inner, "and there "))]),
      ...answer.symptoms.map((it) => line(it, "")));
  } catch (error) {
    write($("why-note"), shown(error.message));
  }
}
