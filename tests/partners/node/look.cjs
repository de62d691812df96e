// Looks at pages in a Chromium that listens for its DevTools, one view after the other: waits until they are drawn, clicks
// where it is told to, asks axe-core for what people with a disability would stumble over, takes a picture. Called as
//   node look.cjs ws://127.0.0.1:PORT/devtools/browser/... plan.json
// where the plan is [{name, url, width, height, dark, wait, clicks: [{on, wait}], keys, also, picture}], `also` an expression
// whose value is told too; prints what it saw as JSON.
"use strict";
const fs = require("fs"), WebSocket = require("ws");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [, , devtools, file] = process.argv;
const views = JSON.parse(fs.readFileSync(file, "utf8"));

const socket = new WebSocket(devtools, { perMessageDeflate: false });
const waiting = new Map();
let last = 0, session, seen = { console: [], hosts: [] };

function send(method, params = {}) {
  const id = ++last;
  socket.send(JSON.stringify({ id, method, params, ...(session ? { sessionId: session } : {}) }));
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject, method }));
}
socket.on("message", (data) => {
  const { id, method, params, result, error } = JSON.parse(data);
  if (id) {
    const { resolve, reject, method: asked } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(asked + ": " + error.message)); else resolve(result);
  }
  if (method === "Runtime.exceptionThrown") seen.console.push(params.exceptionDetails.exception?.description || params.exceptionDetails.text);
  if (method === "Log.entryAdded" && params.entry.level === "error") seen.console.push(params.entry.text + " " + (params.entry.url || ""));
  if (method === "Network.requestWillBeSent") seen.hosts.push(new URL(params.request.url).host);
});
socket.on("error", (error) => { console.error(error); process.exit(1); });

async function evaluate(expression) {
  const { result, exceptionDetails: wrong } = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  if (wrong) throw new Error(wrong.exception?.description || wrong.text);
  return result.value;
}

// An element that can do something, where there should be only text: of the page's own all scripts and images are outside.
const isLive = `function isLive(it) {
  const inside = it.closest("main, dialog") && it.matches("img, iframe, object, embed, script, style, link, meta, base, details, input[name=token]");
  return Boolean(inside) || [...it.attributes].some(({ name, value }) => name.startsWith("on") || name === "srcdoc" || /^\\s*javascript:/i.test(value));
}`;

async function holds(wait) {
  for (let tries = 0; tries < 600; tries++) {
    if (await evaluate(`document.readyState === "complete" && Boolean(${wait})`).catch(() => false)) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

async function look({ name, url, width, height, dark, wait, clicks, keys, also, picture }) {
  await send("Page.navigate", { url: "about:blank" });
  seen = { console: [], hosts: [] };
  await send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  await send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
  await send("Page.navigate", { url });
  let isThere = await holds(wait);
  for (const click of clicks || []) {
    if (!isThere) break;
    await evaluate(`document.querySelector(${JSON.stringify(click.on)}).click()`);
    isThere = await holds(click.wait);
  }
  const focused = [];
  for (let presses = 0; presses < (keys || 0); presses++) {
    for (const type of ["keyDown", "keyUp"]) await send("Input.dispatchKeyEvent", { type, key: "Tab", code: "Tab", windowsVirtualKeyCode: 9 });
    focused.push(await evaluate(`document.activeElement.id || document.activeElement.textContent.trim()`));
  }
  if (!isThere) throw new Error(`${name} is not drawn: ${seen.console.join("; ")} ${await evaluate("document.body.innerText")}`);
  await evaluate(axe + ";0");
  await evaluate(isLive + ";0");
  const violations = await evaluate(`axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] })
    .then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")))`);
  const [overflow, text, paint, live] = await evaluate(`[document.documentElement.scrollWidth - innerWidth, document.body.innerText,
    Math.round(performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1),
    [...document.querySelectorAll("*")].filter((it) => isLive(it)).length]`);
  const more = also ? await evaluate(also) : null;
  const { data } = await send("Page.captureScreenshot", { format: "png" });
  if (picture) fs.writeFileSync(picture, Buffer.from(data, "base64"));
  return { name, isThere, violations, overflow, text, paint, live, focused, also: more, console: seen.console, hosts: [...new Set(seen.hosts)] };
}

socket.on("open", async () => {
  try {
    const { targetId } = await send("Target.createTarget", { url: "about:blank" });
    session = (await send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Network", "Log"]) await send(domain + ".enable");
    const all = [];
    for (const view of views) all.push(await look(view));
    // A pipe takes 64 KiB at a time: the end waits for the last of it.
    process.stdout.write(JSON.stringify(all), () => process.exit(0));
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
});
