#!/usr/bin/env python3
"""sightglass beside nginx, HAProxy, Envoy, Traefik and Caddy: one upstream, one load, rounds interleaved.

Prints requests/s, CPU microseconds a request, p50, p99 and memory, medians with their spread, and ratios within the run.
Everything is on loopback; what it starts it ends, also on Ctrl-C. README.md beside this file tells the method."""

import argparse
import http.client
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import measure
import peers
from measure import Failed

SIZES = {"small": 100, "64k": 64 << 10, "1m": 1 << 20}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIGURES = ("rate", "cpu", "user", "system", "p50", "p99", "rss")


def arguments():
    def names(known):
        def read(text):
            unknown = [name for name in text.split(",") if name not in known]
            if unknown:
                raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
            return text.split(",")
        return read
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everyone = [peer.name for peer in peers.PEERS]
    parser.add_argument("--only", type=names(everyone), metavar="NAMES", help="these, by comma: " + ",".join(everyone))
    parser.add_argument("--variant", type=names(peers.ALL), default=list(peers.ALL), metavar="NAMES", help="of " + ",".join(peers.ALL).replace("%", "%%") + " (default: all)")
    parser.add_argument("--size", type=names(list(SIZES)), default=list(SIZES), metavar="NAMES", help="of small,64k,1m (default: all)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds (default 9; fewer are for trying the script)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a round's load (default 2)")
    parser.add_argument("--connections", type=int, default=64, help="connections of the load (default 64)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the load (default 1)")
    parser.add_argument("--sink", metavar="PROGRAM", help="the OTLP sink (default: target/release/examples/otlp_sink)")
    parser.add_argument("--before", metavar="PROGRAM", help="another build of sightglass, which takes part as `before`: what a change costs is its ratio")
    parser.add_argument("--json", metavar="OUT", help="write every round's figures there")
    parser.add_argument("--keep", action="store_true", help="keep the folder with configurations and logs")
    options = parser.parse_args()
    if options.before:
        peers.PEERS.insert(0, peers.Peer("before", peers.sightglass, peers.ALL, "", built=os.path.abspath(options.before)))
        options.only = options.only and [*options.only, "before"]
    return options


class Contestant:
    """One proxy in one variant, running."""

    def __init__(self, peer, variant, binary):
        self.peer, self.variant, self.binary = peer, variant, binary
        self.name, self.process, self.failed = f"{peer.name} {variant}", None, {}
        self.rounds = {}

    def start(self, folder, upstream, sink):
        here = os.path.join(folder, self.name.replace(" ", "-"))
        os.mkdir(here)
        self.port = measure.free_port()
        setting = peers.Setting(self.variant, here, self.port, upstream, sink, self.binary)
        start = self.peer.start(setting)
        self.access_log = setting.access_log
        self.process = measure.Process(self.name, start.argv, here, start.env, start.stdout)
        self.process.wait_for_port(self.port)

    def answers_rightly(self, size):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            # A port that listens may belong to a proxy that has not read its routes yet.
            for attempt in range(40):
                connection.request("GET", f"/{size}")
                answer = connection.getresponse()
                length = len(answer.read())
                if (answer.status, length) == (200, SIZES[size]):
                    return
                time.sleep(0.1)
            raise Failed(f"answers {answer.status} with {length} bytes, not 200 with {SIZES[size]}")
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"does not answer: {error}") from error
        finally:
            connection.close()

    def round(self, size, options, sink):
        """One round: load, then the wait until nothing more is done for it."""
        counted = sink.count() if self.variant in peers.TRACED and sink else None
        before = measure.Cpu(self.process.tree())
        result = measure.wrk(f"http://127.0.0.1:{self.port}/{size}", options.connections, options.threads, options.seconds)
        measure.settle(self.process)
        tree = self.process.tree()
        user, system = measure.Cpu(tree).since(before)
        requests = result["requests"]
        result.update(user=user / requests / 1000, system=system / requests / 1000, cpu=(user + system) / requests / 1000,
                      rss=measure.resident_bytes(tree))
        if self.variant in peers.LOGGED:
            result["lines"] = self.drain_log() / requests
            if counted:
                now = sink.count()
                # What came compressed the sink does not open.
                if now["compressed"] == counted["compressed"]:
                    result["spans"] = (now["spans"] - counted["spans"]) / requests
        return result

    def drain_log(self):
        """Lines of the access log since the last time; the file is cut, so that the disk does not fill."""
        try:
            with open(self.access_log, "rb") as log:
                lines = sum(block.count(b"\n") for block in iter(lambda: log.read(1 << 20), b""))
            os.truncate(self.access_log, 0)
            return lines
        except OSError:
            return 0


class Sink:
    """The OTLP collector that swallows and counts."""

    def __init__(self, program, folder):
        self.port = measure.free_port()
        here = os.path.join(folder, "sink")
        os.mkdir(here)
        self.process = measure.Process("OTLP sink", [program, str(self.port)], here)
        self.process.wait_for_port(self.port)

    def count(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/count")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def contestants(options):
    chosen = []
    for peer in peers.PEERS:
        # Bare nginx is what all are compared with: it takes part in any case.
        if options.only and peer.name not in options.only and peer.name != "nginx":
            continue
        binary = peer.binary(ROOT)
        if not binary:
            print(f"{peer.name} is not here, and left out ({peer.install})")
            continue
        for variant in peer.variants:
            reference = peer.name == "nginx" and variant == "bare"
            wanted = variant in options.variant and (not options.only or peer.name in options.only)
            if wanted or reference:
                chosen.append(Contestant(peer, variant, binary))
    return chosen


def run(options, folder):
    """Everything between the first start and the last end; returns contestants with their rounds."""
    started, all_of_them = [], contestants(options)
    try:
        upstream = measure.free_port()
        here = os.path.join(folder, "upstream")
        os.mkdir(here)
        started.append(measure.Process("upstream", peers.upstream(here, upstream), here))
        started[-1].wait_for_port(upstream)
        sink, sink_port = None, measure.free_port()
        program = options.sink or os.path.join(ROOT, "target", "release", "examples", "otlp_sink")
        if any(one.variant != "bare" for one in all_of_them):
            if os.access(program, os.X_OK):
                sink = Sink(program, folder)
                started.append(sink.process)
                sink_port = sink.port
            else:
                print(f"{program} is not built (cargo build --release --example otlp_sink): all but bare are left out")
                all_of_them = [one for one in all_of_them if one.variant == "bare"]
        running = []
        for one in all_of_them:
            try:
                one.start(folder, upstream, sink_port)
                running.append(one)
            except Failed as error:
                one.failed[None] = str(error)
                print(f"{one.name}: {error}", file=sys.stderr)
            finally:
                if one.process:
                    started.append(one.process)
        for size in options.size:
            measure_size(size, running, options, sink)
        return all_of_them
    finally:
        for process in reversed(started):
            process.end()


def measure_size(size, running, options, sink):
    for one in running:
        try:
            one.answers_rightly(size)
            measure.wrk(f"http://127.0.0.1:{one.port}/{size}", options.connections, options.threads, 1)
            measure.settle(one.process)
            one.drain_log()
        except (Failed, subprocess.TimeoutExpired) as error:
            one.failed[size] = str(error)
    for number in range(options.rounds):
        # Each round starts with another one, so that none always follows the same neighbour's heat.
        shift = number % max(1, len(running))
        for one in running[shift:] + running[:shift]:
            if size in one.failed:
                continue
            try:
                one.rounds.setdefault(size, []).append(one.round(size, options, sink))
            except (Failed, subprocess.TimeoutExpired) as error:
                one.failed[size] = f"round {number + 1}: {error}"
        progress(f"{size}: round {number + 1} of {options.rounds}")


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text}   ", end="", file=sys.stderr, flush=True)


def spread(values, scale=1.0, digits=1):
    """Median and, in brackets, first and third quartile."""
    values = sorted(value * scale for value in values)
    if len(values) < 3:
        low, high = values[0], values[-1]
    else:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def ratio(one, other, size, figure):
    """The median of the ratios round by round: what both saw of the machine's moods falls out."""
    if not other or size in one.failed or size in other.failed:
        return None
    pairs = list(zip(one.rounds.get(size, []), other.rounds.get(size, [])))
    values = [a[figure] / b[figure] for a, b in pairs if b[figure]]
    return statistics.median(values) if values else None


def report(all_of_them, options):
    by_name = {one.name: one for one in all_of_them}
    for size in options.size:
        print(f"\n{size} ({SIZES[size]} bytes), {options.connections} connections, {options.rounds} rounds of {options.seconds} s; median (quartiles)\n")
        head = ["proxy", "variant", "requests/s", "CPU µs/request", "user", "system", "p50 ms", "p99 ms", "RSS MiB",
                "CPU × nginx bare", "CPU × Envoy same", "CPU × HAProxy bare", "p99 × HAProxy bare", "spans, lines a request"]
        rows = []
        for one in all_of_them:
            rounds = one.rounds.get(size)
            if one.failed.get(None) or one.failed.get(size) or not rounds:
                continue
            column = {figure: [a_round[figure] for a_round in rounds] for figure in FIGURES}
            told = [f"{statistics.median(r[key] for r in rounds):.2f}" if all(key in r for r in rounds) else "?"
                    for key, variants in (("spans", peers.TRACED), ("lines", peers.LOGGED)) if one.variant in variants]
            ratios = [(by_name.get("nginx bare"), "cpu"), (by_name.get(f"envoy {one.variant}"), "cpu"),
                      (by_name.get("haproxy bare"), "cpu"), (by_name.get("haproxy bare"), "p99")]
            values = [ratio(one, other, size, figure) for other, figure in ratios]
            rows.append([one.peer.name, one.variant, spread(column["rate"], digits=0), spread(column["cpu"]),
                         spread(column["user"]), spread(column["system"]), spread(column["p50"], 1e3, 2), spread(column["p99"], 1e3, 2),
                         f"{statistics.median(column['rss']) / (1 << 20):.0f}", *(f"{value:.2f}" if value else "" for value in values), ", ".join(told)])
        table(head, rows)
        for one in all_of_them:
            before = by_name.get(f"before {one.variant}")
            costs = ratio(one, before, size, "cpu") if one.peer.name == "sightglass" else None
            if costs:
                print(f"\nsightglass {one.variant}: {costs:.3f} × the CPU a request of the build before, {ratio(one, before, size, 'rate'):.3f} × its requests/s")
    complaints = [f"{one.name}{f', {size}' if size else ''}: {text}" for one in all_of_them for size, text in one.failed.items()]
    if complaints:
        print("\nNot reported, because something failed:")
        print("\n".join(f"  {text}" for text in complaints))
    if options.rounds < 9:
        print("\nFewer than nine rounds: these figures are for trying the script, not for quoting.")
    return 1 if complaints else 0


def table(head, rows):
    width = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * w for w in width], *rows]:
        print("| " + " | ".join(text.ljust(w) for text, w in zip(row, width)) + " |")


def machine():
    model = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        pass
    return f"{os.cpu_count()} cores {model}, {platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f} at the start"


def main():
    options = arguments()
    measure.on_termination()
    for needed in ("wrk", "nginx"):
        if not shutil.which(needed, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            print(f"{needed} is missing: the load is wrk's, the upstream nginx's", file=sys.stderr)
            return 2
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    print(machine())
    folder = tempfile.mkdtemp(prefix="sightglass-compare-")
    try:
        # A path that nothing forbids to read: workers of a proxy may run as another user.
        os.chmod(folder, 0o755)
        all_of_them = run(options, folder)
        code = report(all_of_them, options)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump({"machine": machine(), "rounds": options.rounds, "seconds": options.seconds, "connections": options.connections,
                           "results": [{"proxy": one.peer.name, "variant": one.variant, "failed": {str(k): v for k, v in one.failed.items()},
                                        "rounds": one.rounds} for one in all_of_them]}, file, indent=1)
        return code
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    finally:
        if options.keep:
            print(f"configurations and logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
