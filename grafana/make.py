#!/usr/bin/env python3
"""Writes dashboards/sightglass.json: `make.py`, or `make.py --check` to see whether it is what this file makes.

A dashboard of Grafana is thousands of lines of which a few hundred mean something: these. Metrics and labels are those of
docs/metrics.md; check.py proves it and runs every query against a real Prometheus."""

import json
import os
import sys

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dashboards", "sightglass.json")
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "[$__rate_interval]"

# What every query is narrowed by.
I = 'instance=~"$instance"'
R = f'{I},route=~"$route"'
U = f'{I},upstream=~"$upstream"'
L = f'{I},listener=~"$listener"'

SERVER = "http_server_request_duration_seconds"
CLIENT = "http_client_request_duration_seconds"
# Ended badly after the head was out: the status says nothing of it. What the client did or asked for wrongly is not in here.
CUT = "connection_terminated|connection_read_timeout|http_response_incomplete|http_response_timeout|http_protocol_error|proxy_internal_error"


def rate(name, where, by=""):
    return f"sum{f' by ({by})' if by else ''} (rate({name}{{{where}}}{RATE}))"


def or_zero(expression, everything):
    """The series of `everything` that `expression` lacks, as 0: a series exists only once it was seen."""
    return f"({expression} or 0 * {everything})"


def failing(name, where, by=""):
    """Requests or attempts a second that the service answered with 5xx or that were cut off."""
    everything = rate(f"{name}_count", where, by)
    bad = rate(f"{name}_count", f'{where},http_response_status_code=~"5.."', by)
    cut = rate(f"{name}_count", f'{where},http_response_status_code!~"5..",outcome=~"{CUT}"', by)
    return f"({or_zero(bad, everything)} + {or_zero(cut, everything)})"


def share(part, whole):
    return f"{part} / ({whole} > 0)"


def quantile(q, name, where, by=""):
    return f"histogram_quantile({q}, {rate(f'{name}_bucket', where, f'le, {by}' if by else 'le')})"


# --- panels -------------------------------------------------------------------------------------------------------------

GREEN, YELLOW, RED, BLUE = "#2f9e6e", "#e0a800", "#d1495b", "#3d7ec8"


def steps(*pairs):
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in pairs]}


def q(expression, legend="", **more):
    return {"expr": expression, "legendFormat": legend or "__auto", **more}


def panel(kind, title, queries, unit, description, width, height, options, custom=None, **defaults):
    targets = []
    for number, query in enumerate(queries):
        targets.append({"refId": chr(ord("A") + number), "datasource": SOURCE, "editorMode": "code", "range": kind in ("timeseries", "heatmap"),
                        "instant": kind not in ("timeseries", "heatmap"), **query})
    field = {"unit": unit, **defaults}
    if custom:
        field["custom"] = custom
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": targets,
            "gridPos": {"w": width, "h": height, "x": 0, "y": 0}, "fieldConfig": {"defaults": field, "overrides": []}, "options": options}


def series(title, queries, unit, description, width=8, height=8, stack=False, **defaults):
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stack else 6, "showPoints": "never", "spanNulls": False,
              "stacking": {"mode": "normal" if stack else "none", "group": "A"}}
    options = {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True, "sortBy": "Max", "sortDesc": True},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    defaults.setdefault("min", 0)
    return panel("timeseries", title, queries, unit, description, width, height, options, custom, **defaults)


def stat(title, expression, unit, description, width=4, thresholds=None, **defaults):
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value", "graphMode": "area",
               "justifyMode": "auto", "orientation": "auto", "textMode": "auto"}
    made = panel("stat", title, [q(expression, instant=False, range=True)], unit, description, width, 4, options,
                 thresholds=thresholds or steps((None, BLUE)), **defaults)
    return made


def column(name, unit=None, width=None, colour=None):
    """How one column of a table looks."""
    properties = []
    if unit:
        properties.append({"id": "unit", "value": unit})
    if width:
        properties.append({"id": "custom.width", "value": width})
    if colour:
        properties += [{"id": "thresholds", "value": colour}, {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}}]
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def table(title, keys, columns, description, width=24, height=9, sort=None):
    """One row a combination of `keys`; `columns` are (name, expression, unit, thresholds)."""
    queries = [q(expression, format="table") for _, expression, _, _ in columns]
    names = {f"Value #{chr(ord('A') + i)}": column_of[0] for i, column_of in enumerate(columns)}
    names |= {"Value": columns[0][0]} if len(columns) == 1 else {}
    order = {name: i for i, name in enumerate([*keys, *names])}
    made = panel("table", title, queries, "short", description, width, height,
                 {"cellHeight": "sm", "showHeader": True, "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
                  "sortBy": [{"displayName": sort, "desc": True}] if sort else []},
                 {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True})
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}},
    ]
    made["fieldConfig"]["overrides"] = [column(name, unit, None, colour) for name, _, unit, colour in columns]
    return made


def heatmap(title, expression, description, width=12, height=9):
    options = {"calculate": False, "cellGap": 1, "yAxis": {"unit": "s", "axisPlacement": "left"}, "legend": {"show": False},
               "color": {"mode": "scheme", "scheme": "Blues", "steps": 64, "scale": "exponential", "exponent": 0.5, "reverse": False, "fill": BLUE},
               "exemplars": {"color": RED}, "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": False}, "filterValues": {"le": 1e-9},
               "rowsFrame": {"layout": "auto"}, "showValue": "never"}
    return panel("heatmap", title, [q(expression, "{{le}}", format="heatmap", exemplar=True)], "s", description, width, height, options)


SHARE = steps((None, GREEN), (0.001, YELLOW), (0.01, RED))
HEALTH = {"mappings": [{"type": "value", "options": {"1": {"text": "healthy", "color": GREEN, "index": 0}, "0": {"text": "unhealthy", "color": RED, "index": 1}}}]}


def overview():
    total = rate(f"{SERVER}_count", R)
    by_route = rate(f"{SERVER}_count", R, "route")
    return [
        stat("Requests", total, "reqps", "Finished exchanges a second, the proxy's own replies included."),
        stat("Failing", share(failing(SERVER, R), total), "percentunit",
             "Share answered with 5xx or cut off after the head was out. What clients did wrongly (4xx, aborts, rate limits) is not in it.", thresholds=SHARE, decimals=2),
        stat("p99", quantile(0.99, SERVER, R), "s", "From the first byte of the request until the last byte of the answer was handed on."),
        stat("In flight", f"sum(http_server_active_requests{{{R}}})", "short", "Exchanges now in the proxy."),
        stat("Unhealthy endpoints", f"count(sightglass_endpoint_healthy{{{U}}} == 0) or vector(0)", "short", "Endpoints that take no traffic because of their health.",
             thresholds=steps((None, GREEN), (1, RED))),
        stat("Telemetry dropped", f'sum(rate(sightglass_telemetry_items_total{{{I},state="dropped"}}{RATE})) or vector(0)', "cps",
             "Spans, log lines and other items that were made and then dropped: what you do not see.", thresholds=steps((None, GREEN), (0.001, YELLOW), (10, RED))),
        series("Requests by route", [q(by_route, "{{route}}")], "reqps", "Finished exchanges a second. `_unmatched` is what no route took."),
        series("Failing share by route", [q(share(failing(SERVER, R, "route"), by_route), "{{route}}")], "percentunit", "5xx or cut off, of all of the route.", max=1),
        series("Latency", [q(quantile(p / 100, SERVER, R), f"p{p}", exemplar=p == 99) for p in (50, 95, 99)], "s",
               "Of the chosen routes. A dot is an exemplar: one request whose trace was kept; it opens in Jaeger."),
        series("p99 by route", [q(quantile(0.99, SERVER, R, "route"), "{{route}}", exemplar=True)], "s", "Which route is slow. Dots are exemplars."),
        series("In flight by route", [q(f"sum by (route) (http_server_active_requests{{{R}}})", "{{route}}")], "short",
               "Rises before latency does when an upstream stalls."),
        heatmap("Latency, all of it", f"sum by (le) (increase({SERVER}_bucket{{{R}}}{RATE}))", "How many exchanges took how long; two bands are two kinds of request, or two kinds of endpoint.", width=8, height=8),
    ]


def routes():
    count = rate(f"{SERVER}_count", R, "route")
    return [
        table("Routes, the failing first", ["route"], [
            ("requests/s", count, "reqps", None),
            ("failing", share(failing(SERVER, R, "route"), count), "percentunit", SHARE),
            ("p50", quantile(0.5, SERVER, R, "route"), "s", None),
            ("p95", quantile(0.95, SERVER, R, "route"), "s", None),
            ("p99", quantile(0.99, SERVER, R, "route"), "s", None),
            ("in flight", f"sum by (route) (http_server_active_requests{{{R}}})", "short", None),
        ], "Sorted by the share that fails.", sort="failing", height=8),
        series("Answers by status", [q(rate(f"{SERVER}_count", R, "http_response_status_code"), "{{http_response_status_code}}")], "reqps", "`_OTHER` is a status outside the registered ones.", stack=True),
        series("By path pattern", [q(f"topk(10, {rate(f'{SERVER}_count', R, 'route, http_route')})", "{{route}} {{http_route}}")], "reqps", "The ten busiest patterns: the match of the route, never the client's path."),
        series("Bodies", [q(rate("http_server_request_body_size_bytes_sum", R), "in"), q(rate("http_server_response_body_size_bytes_sum", R), "out")], "Bps", "Bytes of request bodies (in) and response bodies (out) a second."),
    ]


def outcomes():
    return [
        series("Not served", [q(rate(f"{SERVER}_count", f'{R},outcome!="served"', "outcome"), "{{outcome}}")], "reqps",
               "How exchanges ended that were not served whole. docs/errors.md has cause and cure of each word.", width=12, stack=True),
        table("Outcomes by route", ["route", "outcome"], [
            ("exchanges", f"sum by (route, outcome) (increase({SERVER}_count{{{R}}}[$__range])) > 0", "short", None),
        ], "Over the time shown.", width=12, height=8, sort="exchanges"),
        series("gRPC calls by status", [q(rate("sightglass_grpc_requests_total", R, "route, grpc_status"), "{{route}} {{grpc_status}}")], "reqps",
               "A call that its service ended with a status of its own is `served`, whichever it is.", width=24, height=7, stack=True),
    ]


def phases():
    seconds = rate("sightglass_phase_duration_seconds_sum", R, "phase")
    return [
        series("Where the time goes", [q(f"{seconds} / scalar({rate(f'{SERVER}_count', R)} > 0)", "{{phase}}")], "s",
               "Mean time of an exchange in each phase. Phases partition the time of an exchange: the height is the mean latency.", width=12, stack=True),
        series("p99 by phase", [q(quantile(0.99, "sightglass_phase_duration_seconds", R, "phase"), "{{phase}}")], "s",
               "`wait` is the upstream thinking, `body_client` a client that reads slowly, `pick` a wait for a connection. At most eight buckets: coarse.", width=12),
    ]


def upstreams():
    count = rate(f"{CLIENT}_count", U, "upstream")
    return [
        table("Upstreams, the failing first", ["upstream"], [
            ("attempts/s", count, "reqps", None),
            ("failing", share(failing(CLIENT, U, "upstream"), count), "percentunit", SHARE),
            ("p50", quantile(0.5, CLIENT, U, "upstream"), "s", None),
            ("p99", quantile(0.99, CLIENT, U, "upstream"), "s", None),
            ("healthy endpoints", f"sum by (upstream) (sightglass_endpoint_healthy{{{U}}})", "short", None),
            ("connections", f"sum by (upstream) (sightglass_upstream_active_connections{{{U}}})", "short", None),
        ], "One sample an attempt: retries count here and not above.", sort="failing", height=7),
        series("Attempts by outcome", [q(rate(f"{CLIENT}_count", U, "upstream, outcome"), "{{upstream}} {{outcome}}")], "reqps", "An attempt that got any answer whole is `served`, a 503 too.", stack=True),
        series("p99 by upstream", [q(quantile(0.99, CLIENT, U, "upstream"), "{{upstream}}", exemplar=True)], "s", "Attempts, not exchanges."),
        series("Connections", [q(f"sum by (upstream, state) (sightglass_upstream_active_connections{{{U}}})", "{{upstream}} {{state}}"),
                               q(rate("sightglass_upstream_connections_opened_total", U, "upstream"), "{{upstream}} opened/s")], "short",
               "Many opened a second means that connections are not kept: look at the upstream's keep-alive."),
    ]


def endpoints():
    count = rate("sightglass_endpoint_requests_total", U, "upstream, endpoint")
    bad = rate("sightglass_endpoint_failures_total", U, "upstream, endpoint")
    latency = f"max by (upstream, endpoint) (sightglass_endpoint_latency_ewma_seconds{{{U}}})"
    odd = f"{latency} / on (upstream) group_left () (quantile by (upstream) (0.5, {latency}) > 0)"
    failed = share(or_zero(bad, count), count)
    return [
        table("Endpoints, the odd one first", ["upstream", "endpoint"], [
            ("× median of its peers", odd, "short", steps((None, "transparent"), (2, YELLOW), (4, RED))),
            ("failing", failed, "percentunit", SHARE),
            ("latency", latency, "s", None),
            ("attempts/s", count, "reqps", None),
            ("active", f"sum by (upstream, endpoint) (sightglass_endpoint_active_requests{{{U}}})", "short", None),
            ("healthy", f"min by (upstream, endpoint) (sightglass_endpoint_healthy{{{U}}})", "short", steps((None, RED), (1, "transparent"))),
        ], "Latency beside the median of the same upstream's endpoints: 1 is like the others. One bad among ten is the row on top, coloured.", sort="× median of its peers", height=10),
        series("Latency beside its peers", [q(odd, "{{upstream}} {{endpoint}}")], "short", "Each endpoint's moving latency over the median of its upstream: healthy ones lie near 1.",
               thresholds=steps((None, "transparent"), (4, RED))),
        series("Failing share by endpoint", [q(failed, "{{upstream}} {{endpoint}}")], "percentunit", "Attempts that the endpoint answered with 5xx or did not serve whole.", max=1),
        series("Attempts by endpoint", [q(count, "{{upstream}} {{endpoint}}")], "reqps", "Even but for weights, and for what balancing takes away from the slow."),
    ]


def limits():
    everything = rate(f"{SERVER}_count", R)
    return [
        series("Retries", [q(rate("sightglass_retries_total", R, "route, reason"), "{{route}} {{reason}}")], "cps", "Second and further attempts: failures that clients may not have seen.", width=6),
        series("Retry budget exhausted", [q(rate("sightglass_retry_budget_exhausted_total", R, "route, reason"), "{{route}} {{reason}}")], "cps",
               "Retries that were wanted and not made, so that a failing upstream is not hit harder.", width=6),
        series("Refused by limits", [q(rate("sightglass_rate_limited_total", R, "route, limiter"), "{{route}} rate {{limiter}}"),
                                     q(rate("sightglass_overloaded_total", R, "route, upstream, limiter"), "{{route}} {{upstream}} overloaded {{limiter}}")], "reqps",
               "Rate limits (429) and concurrency or circuit limits (503).", width=6),
        series("Attempts an exchange", [q(f"{rate(f'{CLIENT}_count', U)} / ({everything} > 0)", "attempts an exchange")], "short",
               "Near 1. A rise is a retry storm in the making.", width=6),
    ]


def connections():
    worker = f"sum by (instance, worker) (sightglass_worker_connections{{{I}}})"
    return [
        series("Client connections", [q(f"sum by (listener) (sightglass_active_connections{{{L}}})", "{{listener}}")], "short", "Open now.", width=6),
        series("New connections", [q(rate("sightglass_connections_total", L, "listener"), "{{listener}}")], "cps", "Accepted a second.", width=6),
        series("Connection errors", [q(rate("sightglass_connection_errors_total", L, "listener, reason"), "{{listener}} {{reason}}")], "cps",
               "Among them what the HTTP parser refused, which is no exchange.", width=6),
        series("Connections by worker", [q(worker, "{{instance}} worker {{worker}}")], "short", "New connections are spread by load.", width=6),
        series("Streams and tunnels", [q(quantile(0.5, "sightglass_stream_duration_seconds", R, "route"), "{{route}} p50")], "s", "Whole length of tunnels and event streams.", width=6),
        series("CPU", [q(rate("process_cpu_seconds_total", I, "instance"), "{{instance}}")], "short", "Cores in use.", width=6),
        series("Workers busy", [q(rate("tokio_worker_busy_seconds_total", I, "instance, runtime"), "{{instance}} {{runtime}}")], "percentunit",
               "Share of time that each runtime's thread works. One near 100 % while others idle: connections are unevenly spread.", width=6),
        series("Memory", [q(f"process_resident_memory_bytes{{{I}}}", "{{instance}}")], "bytes", "Resident.", width=6),
        series("File descriptors", [q(f"process_open_fds{{{I}}}", "{{instance}} open"), q(f"process_max_fds{{{I}}}", "{{instance}} limit")], "short", "Two for each exchange in flight, and those kept idle.", width=24, height=6),
    ]


def config():
    return [
        series("Configuration generation", [q(f"sightglass_config_generation{{{I}}}", "{{instance}}")], "none", "Rises by one with each reload that took.", width=6, height=7),
        series("Reloads", [q(f"sum by (result) (increase(sightglass_config_reloads_total{{{I}}}{RATE}))", "{{result}}")], "short", "A failed one leaves the old configuration in force.", width=6, height=7),
        series("Last reload", [q(f"sightglass_config_last_reload_success{{{I}}}", "{{instance}}")], "none", "1: what the file says is in force. 0: it is not.", width=6, height=7, max=1),
        table("What runs", ["instance", "version", "hash"], [
            ("build", f"sightglass_build_info{{{I}}}", "none", None),
            ("configuration", f"sightglass_config_info{{{I}}}", "none", None),
        ], "One row for the build and one for the hash of the configuration: instances that should be alike are alike.", width=6, height=7),
    ]


def telemetry():
    items = f"sightglass_telemetry_items_total{{{I}}}"
    by = "sum by (signal)"
    queued = f"{by} (sightglass_telemetry_queued_items{{{I}}})"
    done = f'{by} (sightglass_telemetry_items_total{{{I},state=~"exported|dropped"}})'
    created = f'{by} (sightglass_telemetry_items_total{{{I},state="created"}})'
    return [
        series("Ledger", [q(f"sum by (signal, state) (rate({items}{RATE}))", "{{signal}} {{state}}")], "cps", "created = exported (acknowledged by the receiver) + dropped + queued.", width=6),
        series("Dropped", [q(f'sum by (signal, reason) (rate(sightglass_telemetry_items_total{{{I},state="dropped"}}{RATE}))', "{{signal}} {{reason}}")], "cps",
               "By reason. A collector that is down or slow costs spans, never requests.", width=6),
        series("Queued", [q(queued, "{{signal}}")], "short", "Bounded. One that stays full is about to drop.", width=6),
        series("Unaccounted for", [q(f"{created} - {done} - ({queued} or 0 * {created})", "{{signal}}")], "short",
               "created - exported - dropped - queued. Anything but 0 for longer than a scrape is a bug of ours.", width=6, min=None),
    ]


ROWS = [("Overview", overview, False), ("Endpoints", endpoints, False), ("Routes", routes, False), ("Outcomes", outcomes, False), ("Phases", phases, False),
        ("Upstreams", upstreams, False), ("Retries and limits", limits, False), ("Connections, workers, process", connections, False),
        ("Configuration", config, False), ("Telemetry health", telemetry, False)]


def lay_out():
    """Panels left to right, twenty-four columns a line."""
    panels, y = [], 0
    for title, make, collapsed in ROWS:
        panels.append({"type": "row", "title": title, "collapsed": collapsed, "panels": [], "gridPos": {"w": 24, "h": 1, "x": 0, "y": y}})
        y, x, height = y + 1, 0, 0
        for made in make():
            place = made["gridPos"]
            if x + place["w"] > 24:
                y, x, height = y + height, 0, 0
            place["x"], place["y"] = x, y
            x, height = x + place["w"], max(height, place["h"])
            panels.append(made)
        y += height
    for number, made in enumerate(panels, 1):
        made["id"] = number
    return panels


def variable(name, label, query):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE,
            "query": {"query": query, "refId": name, "qryType": 1}, "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": [], "hide": 0, "regex": "", "skipUrlSync": False}


def dashboard():
    return {
        "uid": "sightglass", "title": "sightglass", "tags": ["sightglass", "proxy"], "schemaVersion": 41, "version": 1, "editable": True, "graphTooltip": 1,
        "description": "Every exchange that went through sightglass: rates, failures, latency, where the time went, which endpoint is odd, and whether telemetry itself is whole.",
        "time": {"from": "now-30m", "to": "now"}, "timepicker": {}, "timezone": "browser", "refresh": "10s", "fiscalYearStartMonth": 0, "liveNow": False, "weekStart": "",
        "links": [],
        "annotations": {"list": [{
            "name": "configuration reloads", "datasource": SOURCE, "enable": True, "hide": False, "iconColor": YELLOW, "expr": f"changes(sightglass_config_generation{{{I}}}[1m]) > 0",
            "step": "1m", "titleFormat": "configuration reloaded", "textFormat": "{{instance}}", "useValueForTime": False}]},
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}, "options": [], "hide": 0, "refresh": 1, "regex": "",
             "multi": False, "includeAll": False, "skipUrlSync": False},
            variable("instance", "Instance", "label_values(sightglass_build_info, instance)"),
            variable("listener", "Listener", "label_values(sightglass_connections_total, listener)"),
            variable("route", "Route", f"label_values({SERVER}_count, route)"),
            variable("upstream", "Upstream", f"label_values({CLIENT}_count, upstream)"),
        ]},
        "panels": lay_out(),
    }


def main():
    text = json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        with open(OUT, encoding="utf-8") as file:
            if file.read() != text:
                sys.exit("grafana/dashboards/sightglass.json is not what grafana/make.py makes: run grafana/make.py")
        return
    with open(OUT, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
