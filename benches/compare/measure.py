"""What is measured and how: processes started and ended by pid, their CPU and memory from /proc, one round of wrk."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_LIBC = ctypes.CDLL(None)


def _die_with_parent():
    """PR_SET_PDEATHSIG: even if this script is killed outright, what it started ends."""
    _LIBC.prctl(1, signal.SIGTERM)


class Process:
    """A started program and its children: ended by pid, children included."""

    def __init__(self, name, argv, cwd, env=None, stdout=None):
        self.name, self.log = name, os.path.join(cwd, "stderr.log")
        with open(self.log, "ab") as log, open(stdout or os.devnull, "ab") as out:
            self.popen = subprocess.Popen(
                argv, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                start_new_session=True, preexec_fn=_die_with_parent)
        self.tree_seen = {self.popen.pid}

    def tree(self):
        """The pids of the process and of all that descend from it."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = _stat(int(entry))
                if fields:
                    children.setdefault(int(fields[1]), []).append(int(entry))
        found, queue = [], [self.popen.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += children.get(pid, [])
        self.tree_seen.update(found)
        return found

    def said(self):
        try:
            with open(self.log, "rb") as log:
                return log.read()[-2000:].decode("utf-8", "replace")
        except OSError:
            return ""

    def wait_for_port(self, port, seconds=20.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                raise Failed(f"{self.name} ended with {self.popen.returncode}: {self.said()}")
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failed(f"{self.name} does not listen on port {port} after {seconds:.0f} s: {self.said()}")

    def end(self):
        self.tree()
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(5)
        for pid in self.tree_seen - {self.popen.pid}:
            # A pid may have been given to another since: only what is still in the session that we opened.
            try:
                if os.getsid(pid) == self.popen.pid:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


class Failed(Exception):
    """Something did not start or did not answer as it must."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _stat(pid):
    """Fields of /proc/PID/stat from `state` on, or None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


class Cpu:
    """CPU time that a process tree has used so far, in nanoseconds.

    `user` and `system` are /proc/PID/stat's; `total` is the scheduler's own count (/proc/PID/task/TID/schedstat), which has no
    ticks to round to, where the kernel keeps it."""

    def __init__(self, pids):
        self.user = self.system = self.exact = 0
        self.tasks = set()
        for pid in pids:
            fields = _stat(pid)
            if not fields:
                continue
            self.user += int(fields[11]) * TICK_NS
            self.system += int(fields[12]) * TICK_NS
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat", "rb") as file:
                        self.exact += int(file.read().split()[0])
                    self.tasks.add(int(task))
            except (OSError, IndexError, ValueError):
                self.exact = None
                return

    def since(self, before):
        """(user, system) in nanoseconds, used since `before`."""
        user, system = self.user - before.user, self.system - before.system
        ticks = user + system
        if self.exact is None or before.exact is None or not before.tasks <= self.tasks or ticks == 0:
            return user, system
        exact = self.exact - before.exact
        return exact * user / ticks, exact * system / ticks


def resident_bytes(pids):
    """The sum of VmRSS: pages that processes share count once for each."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                total += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            pass
    return total


def settle(process, limit=3.0):
    """Waits until the tree does next to nothing: work put off until after a round is still that round's."""
    end, quiet = time.monotonic() + limit, 0
    last = Cpu(process.tree())
    while time.monotonic() < end:
        time.sleep(0.1)
        now = Cpu(process.tree())
        quiet = quiet + 1 if sum(now.since(last)) < 3_000_000 else 0
        if quiet == 2:
            return
        last = now


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def _seconds(text):
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s|m)", text).groups()
    return float(number) * _UNITS[unit]


def wrk(url, connections, threads, seconds, script=None):
    """One run of wrk, its requests made by a `script` if there is one: requests, requests/s, p50, p99; `Failed` if a single request failed."""
    argv = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s", "--latency", url]
    argv += ["-s", script] if script else []
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 60, check=False)
    text = done.stdout
    if done.returncode != 0:
        raise Failed(f"wrk ended with {done.returncode}: {done.stderr.strip() or text.strip()}")
    for complaint in re.findall(r"^\s*((?:Non-2xx|Socket errors).*)$", text, re.M):
        raise Failed(f"wrk counted errors: {complaint}")
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    if requests == 0:
        raise Failed("wrk got no answer at all")
    latency = dict(re.findall(r"^\s+(50|99)%\s+(\S+)$", text, re.M))
    return {
        "requests": requests,
        "rate": float(re.search(r"Requests/sec:\s+([0-9.]+)", text).group(1)),
        "p50": _seconds(latency["50"]),
        "p99": _seconds(latency["99"]),
    }


def on_termination():
    """SIGTERM unwinds like Ctrl-C, so that `finally` ends what was started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
