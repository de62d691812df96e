// What telemetry says of itself, and what the process is.
"use strict";

function drawBooks({ signals }) {
  $("books").replaceChildren(...signals.map((signal) => {
    const dropped = Object.entries(signal.dropped), lost = dropped.reduce((sum, [, count]) => sum + count, 0);
    const why = dropped.map(([reason, count]) => `${whole(count)} ${reason}`).join(", ");
    const last = signal.last_error;
    return el("li", {}, el("strong", {}, signal.signal), ` ${whole(signal.created)} created = ${whole(signal.exported)} exported + `,
      el("span", lost > 0 ? { class: "bad" } : {}, `${whole(lost)} dropped${why ? ` (${why})` : ""}`), ` + ${whole(signal.queued)} queued`,
      last ? el("span", { class: "dim" }, ` · last error at ${clock(new Date(last.at_unix_seconds * 1000))} UTC: ${shown(last.what)}`) : null);
  }));
}

function drawProcess(process) {
  links = process.links;
  const at = process.listeners.map(({ listener, address }) => `${listener} ${address}`).join(", ");
  write($("process"), `${at} · up ${ago(process.uptime_seconds)} · configuration ${process.config_generation} (${process.config_hash}) · ${process.version}`);
  write($("state"), process.ready ? "serving" : process.reasons[0].split(":")[0]);
  $("state").className = "state " + (process.ready ? "good" : "bad");
  const tries = process.listeners.map(({ address }) => `curl -i http://${address.replace(/^0\.0\.0\.0|^\[::\]/, "127.0.0.1")}/`);
  write($("try"), tries.join("\n"));
}
