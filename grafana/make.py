#!/usr/bin/env python3
"""Writes dashboards/*.json: `make.py`, or `make.py --check` to see whether they are what this file makes.

A dashboard of Grafana is thousands of lines of which a few hundred mean something: these. Metrics and labels are those of
docs/metrics.md; check.py proves it and runs every query against a real Prometheus. `sightglass generate grafana` has the files that
are made here inside and fits their panels to a configuration: a query is written once, here."""

import json
import os
import sys

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dashboards")
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


def of_objective(result, window):
    """Events of objectives in a window; the increase of counters that were there from the start."""
    where = f'{R},result="{result}"' if result else R
    return f"sum by (route, slo) (increase(sightglass_slo_events_total{{{where}}}[{window}]))"


def promised():
    return f"max by (route, slo) (sightglass_slo_objective_ratio{{{R}}})"


def burn(window):
    return f"{of_objective('bad', window)} / ({of_objective('', window)} > 0) / (1 - {promised()})"


def objectives():
    fast = steps((None, "transparent"), (14.4, RED))
    left = f"1 - {burn('$__range')}"
    return [
        table("Objectives", ["route", "slo"], [
            ("promised", promised(), "percentunit", None),
            ("kept", f"{of_objective('good', '$__range')} / ({of_objective('', '$__range')} > 0)", "percentunit", None),
            ("budget left", left, "percentunit", steps((None, RED), (0, YELLOW), (0.25, GREEN))),
            ("burn rate, 1h", burn("1h"), "none", steps((None, "transparent"), (1, YELLOW), (14.4, RED))),
            ("events", of_objective("", "$__range"), "short", None),
        ], "Over the time shown, as if it were the budget's window. What counts as good and bad: docs/observability.md.", sort="burn rate, 1h", height=8),
        series("Burn rate, 5m and 1h", [q(burn("5m"), "{{route}} {{slo}} 5m"), q(burn("1h"), "{{route}} {{slo}} 1h")], "none",
               "Both above 14.4: a page. At 14.4 an hour costs 2 % of a budget of 30 days.", width=8, thresholds=fast),
        series("Burn rate, 30m and 6h", [q(burn("30m"), "{{route}} {{slo}} 30m"), q(burn("6h"), "{{route}} {{slo}} 6h")], "none", "Both above 6: a page.", width=8,
               thresholds=steps((None, "transparent"), (6, RED))),
        series("Burn rate, 6h and 3d", [q(burn("6h"), "{{route}} {{slo}} 6h"), q(burn("3d"), "{{route}} {{slo}} 3d")], "none", "Both above 1: a ticket.", width=8,
               thresholds=steps((None, "transparent"), (1, RED))),
        series("Bad events", [q(rate("sightglass_slo_events_total", f'{R},result="bad"', "route, slo"), "{{route}} {{slo}}")], "cps", "What spends the budget.", width=8),
        series("Events", [q(rate("sightglass_slo_events_total", R, "route, slo, result"), "{{route}} {{slo}} {{result}}")], "cps",
               "Good and bad. Fewer than 20 in a window raise no alert.", width=8, stack=True),
        series("Budget left, as the process knows it", [q(f"min by (route, slo) (sightglass_slo_error_budget_remaining_ratio{{{R}}})", "{{route}} {{slo}}")], "percentunit",
               "Of the instance that has the least left, as far as it has lived. Below 0 is overspent.", width=8, min=None, max=1),
    ]


def one_route():
    """What the overview tells of all routes, of one."""
    total = rate(f"{SERVER}_count", R)
    return [
        stat("Requests", total, "reqps", "Finished exchanges a second.", width=6),
        stat("Failing", share(failing(SERVER, R), total), "percentunit", "Share answered with 5xx or cut off.", width=6, thresholds=SHARE, decimals=2),
        stat("p99", quantile(0.99, SERVER, R), "s", "From the first byte of the request until the last byte of the answer was handed on.", width=6),
        stat("In flight", f"sum(http_server_active_requests{{{R}}})", "short", "Exchanges now in the proxy.", width=6),
        series("Latency", [q(quantile(p / 100, SERVER, R), f"p{p}", exemplar=p == 99) for p in (50, 95, 99)], "s",
               "A dot is an exemplar: one request whose trace was kept; it opens in Jaeger.", width=12),
        heatmap("Latency, all of it", f"sum by (le) (increase({SERVER}_bucket{{{R}}}{RATE}))", "How many exchanges took how long.", width=12, height=8),
    ]


def one_upstream():
    states = f"sum by (state) (sightglass_upstream_active_connections{{{U}}})"
    return [
        stat("Attempts", rate(f"{CLIENT}_count", U), "reqps", "Attempts a second, retries included.", width=6),
        stat("Failing attempts", share(failing(CLIENT, U), rate(f"{CLIENT}_count", U)), "percentunit", "Answered with 5xx or not served whole.", width=6, thresholds=SHARE, decimals=2),
        stat("p99 of attempts", quantile(0.99, CLIENT, U), "s", "Of attempts, as the proxy sees them.", width=6),
        stat("Unhealthy endpoints", f"count(sightglass_endpoint_healthy{{{U}}} == 0) or vector(0)", "short", "Endpoints that take no traffic because of their health.", width=6,
             thresholds=steps((None, GREEN), (1, RED))),
        series("Attempts by outcome", [q(rate(f"{CLIENT}_count", U, "outcome"), "{{outcome}}")], "reqps", "`served` is an answer that went through whole, a 503 too.", width=8, stack=True),
        series("Answers of the upstream", [q(rate(f"{CLIENT}_count", U, "http_response_status_code"), "{{http_response_status_code}}")], "reqps", "Empty where there was no answer.", width=8, stack=True),
        series("Connections", [q(states, "{{state}}")], "short", "Idle ones wait in a pool, active ones carry requests.", width=8),
    ]


def health():
    """What telemetry says of itself, beyond the ledger."""
    def lost(signal):
        dropped = f'sum by (instance) (rate(sightglass_telemetry_items_total{{{I},signal="{signal}",state="dropped"}}{RATE}))'
        made = f'sum by (instance) (rate(sightglass_telemetry_items_total{{{I},signal="{signal}",state="created"}}{RATE}))'
        return or_zero(dropped, made)

    exported = f'sum by (instance) (rate(sightglass_telemetry_items_total{{{I},signal="spans",state="exported"}}{RATE}))'
    return [
        series("Spans that the collector acknowledged", [q(exported, "{{instance}}")], "cps", "0 while spans are made: the collector takes none. Exemplars are shown only of what it took.", width=8),
        series("Log lines lost", [q(lost("logs"), "{{instance}}")], "cps", "A full disk, or a log folder that is gone, costs counted lines and never a request.", width=8),
        series("Records that the recorder did not get", [q(lost("records"), "{{instance}}")], "cps", "The telemetry thread is too slow: what the recorder, the log and the traces say has gaps; metrics have none.", width=8),
        series("Scrape duration", [q(f"scrape_duration_seconds{{{I}}}", "{{instance}}")], "s", "As Prometheus sees it.", width=8),
        series("Samples of a scrape", [q(f"scrape_samples_scraped{{{I}}}", "{{instance}}")], "short", "Series that the process shows.", width=8),
        series("Control runtime", [q(rate("tokio_worker_busy_seconds_total", f'{I},runtime="control"', "instance"), "{{instance}}")], "percentunit",
               "It scrapes, exports and reloads; workers do not wait for it.", width=8),
    ]


def lay_out(rows):
    """Panels left to right, twenty-four columns a line."""
    panels, y = [], 0
    for title, make, collapsed in rows:
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


def variable(name, label, query, multi=True):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE,
            "query": {"query": query, "refId": name, "qryType": 1}, "refresh": 2, "sort": 1, "multi": multi, "includeAll": multi, "allValue": ".*" if multi else None,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]} if multi else {}, "options": [], "hide": 0, "regex": "", "skipUrlSync": False}


VARIABLES = {
    "instance": ("Instance", "label_values(sightglass_build_info, instance)"),
    "listener": ("Listener", "label_values(sightglass_connections_total, listener)"),
    "route": ("Route", f"label_values({SERVER}_count, route)"),
    "upstream": ("Upstream", f"label_values({CLIENT}_count, upstream)"),
}
# Name of the file: title, description, rows, variables; of those with a ! one value is chosen.
DASHBOARDS = {
    "sightglass": ("sightglass", "Every exchange that went through sightglass: rates, failures, latency, where the time went, which endpoint is odd, and whether telemetry itself is whole.",
                   ROWS, ["instance", "listener", "route", "upstream"]),
    "sightglass-route": ("sightglass: one route", "One route: how much, how well, how fast, where the time goes, and what it promises.",
                         [("Route", one_route, False), ("Outcomes", outcomes, False), ("Phases", phases, False), ("Retries and limits", limits, False), ("What is promised", objectives, False)],
                         ["instance", "route!", "upstream"]),
    "sightglass-upstream": ("sightglass: one upstream", "One upstream: its attempts, its endpoints beside each other, its connections.",
                            [("Upstream", one_upstream, False), ("Endpoints", endpoints, False)], ["instance", "upstream!"]),
    "sightglass-slo": ("sightglass: objectives", "What each route promises, what is left of its error budget, and how fast that burns.",
                       [("What is promised", objectives, False)], ["instance", "route"]),
    "sightglass-telemetry": ("sightglass: telemetry health", "Whether what you see is all there is: what was made, told, lost and waits, and what scraping costs.",
                             [("Books", telemetry, False), ("Signals", health, False)], ["instance"]),
}


def annotation(name, expr, title, text, color):
    return {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": color, "expr": expr,
            "step": "1m", "titleFormat": title, "textFormat": text, "useValueForTime": False}


def dashboard(uid):
    title, description, rows, variables = DASHBOARDS[uid]
    names = [name.rstrip("!") for name in variables]
    annotations = [annotation("configuration reloads", f"changes(sightglass_config_generation{{{I}}}[1m]) > 0", "configuration reloaded", "{{instance}}", YELLOW)]
    if "upstream" in names:
        annotations.append(annotation("endpoints in and out", f"changes(sightglass_endpoint_healthy{{{U}}}[1m]) > 0", "health of an endpoint changed", "{{upstream}} {{endpoint}}", RED))
    return {
        "uid": uid, "title": title, "tags": ["sightglass", "proxy"], "schemaVersion": 41, "version": 1, "editable": True, "graphTooltip": 1,
        "description": description,
        "time": {"from": "now-30m", "to": "now"}, "timepicker": {}, "timezone": "browser", "refresh": "10s", "fiscalYearStartMonth": 0, "liveNow": False, "weekStart": "",
        "links": [{"title": "sightglass", "type": "dashboards", "tags": ["sightglass"], "asDropdown": True, "includeVars": True, "keepTime": True, "targetBlank": False,
                   "icon": "external link", "tooltip": "", "url": ""}],
        "annotations": {"list": annotations},
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}, "options": [], "hide": 0, "refresh": 1, "regex": "",
             "multi": False, "includeAll": False, "skipUrlSync": False},
            *(variable(name.rstrip("!"), *VARIABLES[name.rstrip("!")], multi=not name.endswith("!")) for name in variables),
        ]},
        "panels": lay_out(rows),
    }


def main():
    for uid in DASHBOARDS:
        path = os.path.join(OUT, f"{uid}.json")
        text = json.dumps(dashboard(uid), indent=1, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv[1:]:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            continue
        with open(path, encoding="utf-8") as file:
            if file.read() != text:
                sys.exit(f"{path} is not what grafana/make.py makes: run grafana/make.py")


if __name__ == "__main__":
    main()
