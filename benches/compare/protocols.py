#!/usr/bin/env python3
"""sightglass beside nginx, HAProxy, Envoy, Traefik and Caddy over TLS, HTTP/2 and gRPC; rounds interleaved.

Prints CPU microseconds a request (or a handshake) and what follows from it for one core, and the memory of an idle TLS
connection. Telemetry is off for all, as in `compare.py --variant bare`; README.md beside this file tells the method."""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import measure
import peers
from compare import ROOT, machine, progress, spread, table
from measure import Failed

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
EVERYONE = [peer.name for peer in peers.PEERS]


class Scenario:
    """What is spoken on both sides, and the load. `unit` is what one of its answers is called."""

    def __init__(self, name, front, back, load, unit="request", without=()):
        self.name, self.front, self.back, self.load, self.unit, self.without = name, front, back, load, unit, without


def h2load(streams, scheme="http", path="/small", more=()):
    def load(port, options, _files):
        argv = ["h2load", "-D", str(options.seconds), "--warm-up-time=0", "-c", str(options.connections if streams == 1 else 8),
                "-m", str(streams), "-t1", *more, f"{scheme}://127.0.0.1:{port}{path}"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=options.seconds + 60, check=False)
        total = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", done.stdout)
        if done.returncode != 0 or not total:
            raise Failed(f"h2load ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
        succeeded, failed = int(total.group(3)), int(total.group(4))
        if failed or not succeeded:
            raise Failed(f"h2load counted {failed} failed, {succeeded} succeeded")
        return succeeded
    return load


def handshakes(mode):
    def load(port, options, files):
        return tls_load(files, mode, port, 400 * options.seconds, 4)
    return load


def tls_load(files, mode, port, count, parallel):
    argv = [files["tls_load"], mode, str(port), files["certificate"], str(count), str(parallel)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise Failed(f"tls_load {mode}: {done.stderr.strip()[-300:]}")
    return count


def wrk(port, options, _files):
    return measure.wrk(f"https://127.0.0.1:{port}/1m", options.connections, 1, options.seconds)["requests"]


def grpc(port, options, files):
    more = ["-d", files["message"], "-H", "content-type: application/grpc", "-H", "te: trailers"]
    return h2load(files["streams"], path=EXPORT, more=more)(port, options, files)


# nginx speaks no HTTP/2 to upstreams but gRPC's.
SCENARIOS = [
    Scenario("tls-full", "tls", "http1", handshakes("full"), "handshake"),
    Scenario("tls-resumed", "tls", "http1", handshakes("resumed"), "handshake"),
    Scenario("tls-bulk", "tls", "http1", wrk, "1 MiB"),
    Scenario("h2-h1-1", "http2", "http1", h2load(1)),
    Scenario("h2-h1-100", "http2", "http1", h2load(100)),
    Scenario("h2-h2-1", "http2", "http2", h2load(1), without=("nginx",)),
    Scenario("h2-h2-100", "http2", "http2", h2load(100), without=("nginx",)),
    Scenario("grpc-1", "http2", "grpc", lambda *args: grpc(args[0], args[1], {**args[2], "streams": 1})),
    Scenario("grpc-100", "http2", "grpc", lambda *args: grpc(args[0], args[1], {**args[2], "streams": 100})),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [scenario.name for scenario in SCENARIOS] + ["tls-idle"]
    parser.add_argument("--only", default=",".join(EVERYONE), metavar="NAMES", help="these, by comma: " + ",".join(EVERYONE))
    parser.add_argument("--scenario", default=",".join(names), metavar="NAMES", help="of " + ",".join(names))
    parser.add_argument("--rounds", type=int, default=9, help="rounds (default 9; fewer are for trying the script)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a round's load (default 2; 400 handshakes for each)")
    parser.add_argument("--connections", type=int, default=64, help="connections of the load with one stream each, and of 1 MiB (default 64)")
    parser.add_argument("--held", type=int, default=2000, help="idle TLS connections whose memory is measured (default 2000)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with configurations and logs")
    options = parser.parse_args()
    options.only, options.scenario = options.only.split(","), options.scenario.split(",")
    return options


def certificate(folder):
    """A P-256 certificate for localhost; its key beside it, and both in one file, as HAProxy wants them."""
    path = os.path.join(folder, "site.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
                    "-keyout", path + ".key", "-out", path], check=True, capture_output=True)
    with open(path + ".both", "wb") as both:
        for part in (path, path + ".key"):
            with open(part, "rb") as file:
                both.write(file.read())
    for name in (path + ".key", path + ".both"):
        os.chmod(name, 0o644)
    return path


class Running:
    """One proxy in one scenario."""

    def __init__(self, peer, scenario, folder, upstream, files):
        self.name, self.rounds, self.failed = peer.name, [], None
        here = os.path.join(folder, f"{scenario.name}-{peer.name}")
        os.mkdir(here)
        self.port = measure.free_port()
        setting = peers.Setting("bare", here, self.port, upstream, 1, peer.binary(ROOT), scenario.front, scenario.back, files["certificate"])
        start = peer.start(setting)
        self.process = measure.Process(peer.name, start.argv, here, start.env, start.stdout)

    def measure(self, scenario, options, files):
        before = measure.Cpu(self.process.tree())
        count = scenario.load(self.port, options, files)
        measure.settle(self.process)
        user, system = measure.Cpu(self.process.tree()).since(before)
        return (user + system) / count / 1000


def start_all(scenario, options, folder, files, upstream, started):
    running = []
    for peer in peers.PEERS:
        if peer.name not in options.only or peer.name in scenario.without or scenario.front not in peer.fronts or not peer.binary(ROOT):
            continue
        one = Running(peer, scenario, folder, upstream, files)
        started.append(one.process)
        running.append(one)
        try:
            one.process.wait_for_port(one.port)
        except Failed as error:
            one.failed = str(error)
    return running


def run_scenario(scenario, options, folder, files, upstreams):
    started = []
    try:
        running = start_all(scenario, options, folder, files, upstreams[scenario.back], started)
        for number in range(-1, options.rounds):
            shift = number % max(1, len(running))
            for one in running[shift:] + running[:shift]:
                if one.failed:
                    continue
                try:
                    cost = one.measure(scenario, options, files)
                    if number >= 0:  # the first is for warming up
                        one.rounds.append(cost)
                except (Failed, subprocess.TimeoutExpired) as error:
                    one.failed = str(error)
            progress(f"{scenario.name}: round {number + 1} of {options.rounds}")
        report(scenario, running, options)
    finally:
        for process in reversed(started):
            process.end()


def ratio(one, other):
    values = [a / b for a, b in zip(one.rounds, other.rounds)] if other and other.rounds and not other.failed else []
    return f"{statistics.median(values):.2f}" if values else ""


def report(scenario, running, options):
    by_name = {one.name: one for one in running}
    print(f"\n{scenario.name}: {scenario.front} to {scenario.back}; median (quartiles) of {options.rounds} rounds\n")
    head = ["proxy", f"CPU µs a {scenario.unit}", "a second and core", "× nginx", "× HAProxy", "× Envoy"]
    rows = []
    for one in running:
        if one.failed or not one.rounds:
            continue
        rows.append([one.name, spread(one.rounds), f"{1e6 / statistics.median(one.rounds):.0f}", *(ratio(one, by_name.get(name)) for name in ("nginx", "haproxy", "envoy"))])
    table(head, rows)
    for one in running:
        if one.failed:
            print(f"  not reported: {one.name}: {one.failed}")


def idle_memory(options, folder, files, upstream):
    scenario = Scenario("tls-idle", "tls", "http1", None)
    started, rows = [], []
    try:
        for one in start_all(scenario, options, folder, files, upstream, started):
            try:
                if one.failed:
                    raise Failed(one.failed)
                tls_load(files, "full", one.port, 200, 4)
                measure.settle(one.process)
                before = measure.resident_bytes(one.process.tree())
                argv = [files["tls_load"], "hold", str(one.port), files["certificate"], str(options.held), "8"]
                with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as holder:
                    said = holder.stderr.readline()
                    if "connections in" not in said:
                        raise Failed(f"tls_load hold: {said}")
                    measure.settle(one.process)
                    after = measure.resident_bytes(one.process.tree())
                    holder.stdin.close()
                rows.append((one.name, (after - before) / options.held / 1024))
            except Failed as error:
                print(f"  not reported: {one.name}: {error}")
    finally:
        for process in reversed(started):
            process.end()
    haproxy = next((size for name, size in rows if name == "haproxy"), None)
    print(f"\ntls-idle: memory of each of {options.held} idle TLS connections that had one request (RSS, kernel's own left out)\n")
    table(["proxy", "KiB a connection", "× HAProxy"], [[name, f"{size:.1f}", f"{size / haproxy:.2f}" if haproxy else ""] for name, size in rows])


def run(options, folder):
    started = []
    here = {name: os.path.join(folder, name) for name in ("http1", "http2", "grpc")}
    files = {"certificate": certificate(folder), "message": os.path.join(folder, "message"),
             "tls_load": os.path.join(ROOT, "target", "release", "examples", "tls_load")}
    with open(files["message"], "wb") as message:
        message.write(bytes(5))  # an empty message of gRPC: not compressed, no bytes
    sink = os.path.join(ROOT, "target", "release", "examples", "otlp_sink")
    try:
        ports = {}
        for name, path in here.items():
            os.mkdir(path)
            ports[name] = measure.free_port()
            argv = [sink, str(ports[name])] if name == "grpc" else peers.upstream(path, ports[name], name)
            started.append(measure.Process(f"upstream {name}", argv, path))
            started[-1].wait_for_port(ports[name])
        for scenario in SCENARIOS:
            if scenario.name in options.scenario:
                run_scenario(scenario, options, folder, files, ports)
        if "tls-idle" in options.scenario:
            idle_memory(options, folder, files, ports["http1"])
    finally:
        for process in reversed(started):
            process.end()


def main():
    options = arguments()
    measure.on_termination()
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for needed in ("wrk", "h2load", "nginx", "openssl"):
        if not shutil.which(needed):
            print(f"{needed} is missing", file=sys.stderr)
            return 2
    print(machine())
    folder = tempfile.mkdtemp(prefix="sightglass-protocols-")
    os.chmod(folder, 0o755)
    try:
        run(options, folder)
        return 0
    except (Failed, subprocess.CalledProcessError) as error:
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
