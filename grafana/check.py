#!/usr/bin/env python3
"""Checks the dashboards: `check.py [PROMETHEUS_URL [JAEGER_URL [FILE...]]]`.

Without an address: every query parses, names only metrics and labels that docs/metrics.md promises, panels keep to Grafana's
schema and do not overlap. With the address of a Prometheus that scraped a real run, it also runs every query of every panel,
variable and annotation, with the dashboard's variables filled in, and fails where one is refused or returns nothing. With the
address of the Jaeger of that run too, every exemplar that Prometheus stored must open a trace there. Files are dashboards besides
those of this folder, such as what `sightglass generate grafana` has printed."""

import glob
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import promql_parser as promql

HERE = os.path.dirname(os.path.abspath(__file__))
METRICS = os.path.join(HERE, "..", "docs", "metrics.md")

# Panels that a healthy run may leave empty, each with the reason. A panel is named as it is titled.
MAY_BE_EMPTY = {
    "Streams and tunnels": "there is none unless a client opens one",
    "Retry budget exhausted": "only a failing upstream under load uses the budget up",
    "Reloads": "nothing was reloaded",
    "Dropped": "nothing was dropped",
}
# What Grafana reads and writes but its published schema leaves out.
BEYOND_SCHEMA = {f".annotations.list[{number}].{key}" for number in (0, 1) for key in ("step", "titleFormat", "textFormat")}
# What Prometheus itself says of each scrape.
OF_PROMETHEUS = ("scrape_duration_seconds", "scrape_samples_scraped")
# Labels that scraping adds, and what PromQL makes.
ALWAYS = {"instance", "job", "le", "__name__"}
INTERVAL = "15s"


class Complaints(list):
    def add(self, where, what):
        self.append(f"{where}: {what}")


def promised():
    """Metric -> labels, from the tables of docs/metrics.md; histograms also as their three series."""
    known = {name: ALWAYS for name in OF_PROMETHEUS}
    row = re.compile(r"^\| `([a-z_:0-9]+)` \| (histogram|counter|gauge) \| ([^|]*)\|")
    with open(METRICS, encoding="utf-8") as file:
        for name, kind, labels in (found.groups() for found in map(row.match, file) if found):
            labels = set(re.findall(r"`([a-z_]+)`", labels)) | ALWAYS
            for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
                known[name + suffix] = labels
    if len(known) == len(OF_PROMETHEUS):
        sys.exit(f"{METRICS} has no metric in it")
    return known


def walk(node):
    """A syntax tree of PromQL, node by node."""
    yield node
    for name in ("expr", "lhs", "rhs", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None and not isinstance(child, (str, int, float)):
            yield from walk(child)
    for argument in getattr(node, "args", None) or []:
        yield from walk(argument)


def check_names(query, where, known, complaints):
    """That it parses and uses only what is promised; returns whether it parsed."""
    try:
        tree = promql.parse(query)
    except Exception as error:  # the parser's own errors are plain ValueErrors with a message
        complaints.add(where, f"does not parse: {error}: {query}")
        return False
    reached = set()
    for node in walk(tree):
        if not isinstance(node, promql.VectorSelector):
            continue
        matchers = list(node.matchers.matchers)
        if node.name not in known:
            complaints.add(where, f"no such metric: {node.name}")
            continue
        reached |= known[node.name]
        for matcher in matchers:
            if matcher.name not in known[node.name]:
                complaints.add(where, f"{node.name} has no label {matcher.name}")
    grouped = re.findall(r"\b(?:by|on|without|group_left)\s*\(([^)]*)\)", query)
    for label in {label.strip() for group in grouped for label in group.split(",")} - {""}:
        if label not in reached:
            complaints.add(where, f"groups by {label}, which none of its metrics has")
    return True


def filled(query):
    """The query as Grafana would send it with "All" chosen."""
    for name, value in (("$__rate_interval", INTERVAL), ("$__interval", INTERVAL), ("$__range", "5m")):
        query = query.replace(name, value)
    query = re.sub(r"\$\{?(instance|listener|route|upstream)(?::[a-z]+)?\}?", ".*", query)
    left = re.search(r"\$\{?\w+", query)
    return query, left and left.group(0)


def ask(base, path, **arguments):
    url = f"{base.rstrip('/')}{path}?{urllib.parse.urlencode(arguments)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise ValueError(json.load(error).get("error", str(error))) from error


def run_query(base, query, where, complaints, may_be_empty):
    try:
        result = ask(base, "/api/v1/query", query=query)["result"]
    except (ValueError, OSError) as error:
        complaints.add(where, f"is refused: {error}: {query}")
        return
    values = [sample["value"][1] for sample in result if "value" in sample]
    if (not values or all(value == "NaN" for value in values)) and not may_be_empty:
        complaints.add(where, f"returns {'only NaN' if values else 'nothing'}: {query}")


def run_variable(base, definition, where, complaints):
    found = re.fullmatch(r"label_values\((?:(.+),\s*)?(\w+)\)", definition)
    if not found:
        complaints.add(where, f"is no label_values(): {definition}")
        return
    arguments = {"match[]": found.group(1)} if found.group(1) else {}
    try:
        if not ask(base, f"/api/v1/label/{found.group(2)}/values", **arguments):
            complaints.add(where, f"has no values: {definition}")
    except (ValueError, OSError) as error:
        complaints.add(where, f"is refused: {error}: {definition}")


def check_exemplars(base, jaeger, complaints):
    """Each exemplar of the latency histogram names a trace that Jaeger has; exports take a moment to arrive."""
    now = time.time()
    found = ask(base, "/api/v1/query_exemplars", query="http_server_request_duration_seconds_bucket", start=now - 300, end=now)
    traces = {one["labels"].get("trace_id") for series in found for one in series["exemplars"]}
    if not traces:
        complaints.add("exemplars", "Prometheus has none of http_server_request_duration_seconds")
    deadline = time.monotonic() + 15
    while traces:
        traces = {trace for trace in traces if not in_jaeger(jaeger, trace)}
        if not traces or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    for trace in traces:
        complaints.add("exemplars", f"Jaeger has no trace {trace}")


def in_jaeger(jaeger, trace):
    try:
        with urllib.request.urlopen(f"{jaeger.rstrip('/')}/api/traces/{trace}", timeout=10) as answer:
            return bool(json.load(answer).get("data"))
    except (urllib.error.HTTPError, ValueError):
        return False


def check_layout(dashboard, name, complaints):
    """Panels have unique titles, ids and places; units are set."""
    taken, titles, ids = {}, set(), set()
    for panel in dashboard["panels"]:
        title, place = panel["title"], panel["gridPos"]
        if title in titles or panel["id"] in ids:
            complaints.add(name, f"two panels share the title or id of {title!r}")
        titles.add(title)
        ids.add(panel["id"])
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if place["x"] + place["w"] > 24 or cells & taken.keys():
            complaints.add(name, f"{title!r} leaves the grid or lies on another panel")
        taken.update(dict.fromkeys(cells, title))
        if panel["type"] != "row" and not panel.get("description"):
            complaints.add(name, f"{title!r} has no description")
    return titles


def check_schema(dashboard, name, complaints):
    """What Grafana's own types read and write again unchanged is what Grafana knows."""
    try:
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.cog.plugins import register_default_plugins
        from grafana_foundation_sdk.models.dashboard import Dashboard
    except ImportError:
        if os.environ.get("SIGHTGLASS_REQUIRE_PARTNERS") == "1":
            complaints.add(name, "grafana-foundation-sdk is missing")
        else:
            print("grafana-foundation-sdk is not here: the schema is not checked")
        return
    register_default_plugins()
    back = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))
    for path in set(lost(dashboard, back, "")) - BEYOND_SCHEMA:
        complaints.add(name, f"unknown to Grafana's schema: {path}")


def lost(ours, theirs, path):
    """Paths of what is in `ours` and did not come back; empty values may be left out."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key not in theirs:
                if value not in (None, {}, [], "", False):
                    yield f"{path}.{key}"
            else:
                yield from lost(value, theirs[key], f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{path}[]"
        for number, (one, other) in enumerate(zip(ours, theirs)):
            yield from lost(one, other, f"{path}[{number}]")
    elif ours != theirs:
        yield f"{path} ({ours!r} became {theirs!r})"


def check_dashboard(path, base, known, complaints, titles):
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    name, count = os.path.basename(path), 0
    titles |= check_layout(dashboard, name, complaints)
    check_schema(dashboard, name, complaints)
    queries = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]
    queries += [(f"annotation {one['name']}", one["expr"]) for one in dashboard["annotations"]["list"]]
    for title, expression in queries:
        where, count = f"{name}, {title!r}", count + 1
        query, left = filled(expression)
        if left:
            complaints.add(where, f"a variable is left: {left}")
        elif check_names(query, where, known, complaints) and base:
            run_query(base, query, where, complaints, title in MAY_BE_EMPTY or title.startswith("annotation"))
    for one in dashboard["templating"]["list"]:
        if one["type"] == "query":
            count += 1
            definition = one["query"]["query"]
            metric = re.match(r"label_values\((\w+),\s*(\w+)\)", definition)
            where = f"{name}, variable {one['name']}"
            if not metric or metric.group(1) not in known or metric.group(2) not in known[metric.group(1)]:
                complaints.add(where, f"asks for what no metric has: {definition}")
            elif base:
                run_variable(base, definition, where, complaints)
    return count


def main():
    base = sys.argv[1] if len(sys.argv) > 1 else None
    known, complaints = promised(), Complaints()
    paths = sorted(glob.glob(os.path.join(HERE, "dashboards", "*.json"))) + sys.argv[3:]
    titles = set()
    count = sum(check_dashboard(path, base, known, complaints, titles) for path in paths)
    for unused in MAY_BE_EMPTY.keys() - titles:
        complaints.add("check.py", f"MAY_BE_EMPTY names {unused!r}, which is no panel")
    if len(sys.argv) > 2:
        check_exemplars(base, sys.argv[2], complaints)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print(f"{len(paths)} dashboards, {count} queries {'run' if base else 'parsed'}, {len(complaints)} complaints")
    return 1 if complaints or not count else 0


if __name__ == "__main__":
    sys.exit(main())
