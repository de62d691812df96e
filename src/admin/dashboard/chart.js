// Charts over time: lines and areas with both axes, read at the pointer.
"use strict";

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
