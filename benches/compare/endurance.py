#!/usr/bin/env python3
"""What lasts: memory over many exchanges with everything on, and what scrapes of a large page do to others.

`memory` sends exchanges (default: ten million) through one sightglass with metrics, recorder, log and every request
traced, and prints its resident memory on the way. `scrape` fills `/metrics` with many series, times a scrape, and
measures p99 in rounds with a scrape each second and without in turn. `viewers` measures requests/s and the proxy's CPU a
request in rounds without viewers, with ten of the dashboard, with ten of `sightglass tail`, and while one exchange is looked through, in turn.
Everything is on loopback; what it starts it ends."""

import argparse
import http.client
import os
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time

import measure
import peers
from compare import ROOT, Sink

ROUTES = 780


def configuration(folder, port, admin, upstream, silent, sink, routes):
    """`routes` of them, each with a path of its own, and the rest; `/silent` is never answered."""
    named = "".join(f"  - {{name: r{i}, match: {{path: {{prefix: /r{i}/}}}}, upstream: u}}\n" for i in range(routes))
    path = os.path.join(folder, "sightglass.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""listeners:
  - {{name: public, address: "127.0.0.1:{port}"}}
routes:
{named}  - {{name: silent, match: {{path: {{prefix: /silent}}}}, upstream: silent}}
  - {{name: all, match: {{path: {{prefix: /}}}}, upstream: u}}
upstreams:
  - {{name: u, endpoints: [{{address: "127.0.0.1:{upstream}"}}]}}
  - {{name: silent, endpoints: [{{address: "127.0.0.1:{silent}"}}]}}
telemetry:
  traces:
    otlp: {{endpoint: "http://127.0.0.1:{sink}", protocol: grpc}}
    sample: 100%
  access_log: {{output: {{file: {folder}/access.log}}, format: json, sample: 100%}}
admin:
  address: 127.0.0.1:{admin}
runtime:
  workers: {peers.WORKERS}
""")
    return path


class Bench:
    """An upstream, a sink and the proxy between."""

    def __init__(self, folder, routes):
        self.started, self.folder = [], folder
        upstream, self.port, self.admin = (measure.free_port() for _ in range(3))
        back = os.path.join(folder, "upstream")
        os.mkdir(back)
        argv = peers.upstream(back, upstream)
        # Whatever the path is, the small answer.
        conf = os.path.join(back, "nginx.conf")
        with open(conf, encoding="utf-8") as file:
            text = file.read().replace("location / { }", f'location / {{ return 200 "{"x" * 99}\\n"; }}')
        with open(conf, "w", encoding="utf-8") as file:
            file.write(text)
        self.start("upstream", argv, back, upstream)
        self.sink = Sink(os.path.join(ROOT, "target", "release", "examples", "otlp_sink"), folder)
        self.started.append(self.sink.process)
        self.silent = socket.create_server(("127.0.0.1", 0))
        here = os.path.join(folder, "proxy")
        os.mkdir(here)
        path = configuration(here, self.port, self.admin, upstream, self.silent.getsockname()[1], self.sink.port, routes)
        self.log = os.path.join(here, "access.log")
        program = os.path.join(ROOT, "target", "release", "sightglass")
        self.proxy = self.start("sightglass", [program, "run", "--config", path], here, self.port)

    def start(self, name, argv, here, port):
        process = measure.Process(name, argv, here)
        self.started.append(process)
        process.wait_for_port(port)
        return process

    def end(self):
        for process in reversed(self.started):
            process.end()

    def memory(self):
        return measure.resident_bytes(self.proxy.tree()) / (1 << 20)

    def scrape(self):
        """One scrape: seconds, and lines that are samples."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        try:
            began = time.monotonic()
            connection.request("GET", "/metrics")
            page = connection.getresponse().read()
            took = time.monotonic() - began
            return took, sum(1 for line in page.splitlines() if line and not line.startswith(b"#"))
        finally:
            connection.close()


def memory(bench, options):
    done, step = 0, options.exchanges // 10
    told = 0
    print(f"before the first: {bench.memory():.0f} MiB")
    while done < options.exchanges:
        done += measure.wrk(f"http://127.0.0.1:{bench.port}/small", 64, 1, 5)["requests"]
        os.truncate(bench.log, 0)
        if done // step > told:
            told = done // step
            print(f"after {done / 1e6:5.1f} million: {bench.memory():.0f} MiB", flush=True)
    spans = bench.sink.count()["spans"]
    print(f"{done} exchanges, {spans} spans exported")


def scrape(bench, options):
    script = os.path.join(bench.folder, "paths.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f'local i = 0\nrequest = function() i = (i + 1) % {ROUTES}; return wrk.format("GET", "/r" .. i .. "/") end\n')
    url = f"http://127.0.0.1:{bench.port}/"
    measure.wrk(url, 64, 1, 2, script)
    times = [bench.scrape() for _ in range(15)]
    lines = times[-1][1]
    print(f"{lines} series: a scrape of the quiet proxy takes {statistics.median(t for t, _ in times) * 1e3:.1f} ms (median of 15), at most {max(t for t, _ in times) * 1e3:.1f}")
    found = {True: [], False: []}
    busy = []
    for number in range(options.rounds * 2):
        is_scraped = number % 2 == 0
        stop = threading.Event()

        def scraping():
            while not stop.wait(1.0):
                busy.append(bench.scrape()[0])
        scraper = threading.Thread(target=scraping)
        if is_scraped:
            scraper.start()
        found[is_scraped].append(measure.wrk(url, 64, 1, 3, script))
        stop.set()
        if is_scraped:
            scraper.join()
        os.truncate(bench.log, 0)
    for is_scraped, name in ((False, "without"), (True, "with a scrape each second")):
        rounds = found[is_scraped]
        print(f"{name}: p99 {statistics.median(r['p99'] for r in rounds) * 1e3:.2f} ms, {statistics.median(r['rate'] for r in rounds):.0f} requests/s (medians of {len(rounds)} rounds)")
    ratios = [a["p99"] / b["p99"] for a, b in zip(found[True], found[False])]
    print(f"p99 with / without, median of the ratios of neighbours: {statistics.median(ratios):.2f}; under load a scrape took {statistics.median(busy) * 1e3:.0f} ms")


class Viewers:
    """So many that ask the admin port this and read the answer as fast as it comes, until they are closed."""

    def __init__(self, admin, asked, count):
        self.sockets = [socket.create_connection(("127.0.0.1", admin)) for _ in range(count)]
        self.read = 0
        for viewer in self.sockets:
            viewer.sendall(asked.encode())
        self.threads = [threading.Thread(target=self.follow, args=(viewer,)) for viewer in self.sockets]
        for thread in self.threads:
            thread.start()

    def follow(self, viewer):
        piece = bytearray(1 << 20)
        try:
            while count := viewer.recv_into(piece):
                self.read += count
        except OSError:
            pass

    def close(self):
        for viewer in self.sockets:
            viewer.shutdown(socket.SHUT_RDWR)
            viewer.close()
        for thread in self.threads:
            thread.join()
        return self.read


def viewers(bench, options):
    url = f"http://127.0.0.1:{bench.port}/small"
    measure.wrk(url, 64, 1, 2)
    look = f'{{"url": "http://127.0.0.1:{bench.port}/silent"}}'
    kinds = {"no viewer": None,
             "ten of the dashboard": ("GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n", 10),
             "ten of tail": ("GET /api/v1/tail HTTP/1.1\r\nhost: localhost\r\n\r\n", 10),
             "one exchange looked through": (f"POST /api/v1/xray HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(look)}\r\n\r\n{look}", 1)}
    found = {name: [] for name in kinds}
    for _ in range(options.rounds):
        for name, asked in kinds.items():
            looking = asked and Viewers(bench.admin, *asked)
            before = measure.Cpu(bench.proxy.tree())
            told = measure.wrk(url, 64, 1, 3)
            told["cpu"] = sum(measure.Cpu(bench.proxy.tree()).since(before)) / 1e3 / told["requests"]
            told["read"] = looking.close() / 3e6 if looking else 0
            found[name].append(told)
            os.truncate(bench.log, 0)
    base = found["no viewer"]
    for name, rounds in found.items():
        median = {of: statistics.median(it[of] for it in rounds) for of in ("rate", "cpu", "p99", "read")}
        ratio = {of: statistics.median(it[of] / other[of] for it, other in zip(rounds, base)) for of in ("rate", "cpu", "p99")}
        print(f"{name}: {median['rate']:.0f} requests/s (x {ratio['rate']:.3f}), {median['cpu']:.1f} us CPU a request (x {ratio['cpu']:.3f}), "
              f"p99 {median['p99'] * 1e3:.2f} ms (x {ratio['p99']:.2f}), viewers read {median['read']:.2f} MB/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "scrape", "viewers"))
    parser.add_argument("--exchanges", type=int, default=10_000_000, help="how many (memory; default ten million)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each kind (scrape, viewers; default 9)")
    options = parser.parse_args()
    measure.on_termination()
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    folder = tempfile.mkdtemp(prefix="sightglass-endurance-")
    os.chmod(folder, 0o755)
    bench = None
    try:
        bench = Bench(folder, ROUTES if options.what == "scrape" else 0)
        {"memory": memory, "scrape": scrape, "viewers": viewers}[options.what](bench, options)
    finally:
        if bench:
            bench.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
