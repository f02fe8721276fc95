"""What is measured: one row for each kind of work, and how one measurement is taken.

A round measures every contender of a group once, one after the other; contenders are compared
within a round only, so that what drifts on the machine drifts for all of them. A group is the
limit, weir and at most two peers: more processes at a time would share caches and memory.
"""

import contextlib
import json
import os
import subprocess
import time
from dataclasses import dataclass, field, replace

from . import cold, machine
from .contenders import Haproxy, LimitRelay, LimitResponder, Nginx, Varnish, Weir
from .machine import Problem, say

HOST = "acme.bench.test"
WARM_S = 0.3
KIB, MIB = 1024, 1024 * 1024
MILLION = 1000000
BROWSER = ("Accept-Encoding: gzip, deflate, br, zstd",
           "Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7")


@dataclass
class Row:
    name: str
    title: str
    make: dict                  # contender name -> function of the world
    groups: list                # of lists of peers
    target: str = "/v2/hit/1k"
    connections: int = 64
    size: int = KIB
    keys: int = 0
    digits: int = 5             # of a key in the target
    skew: float = 1.0           # of the choice of keys; 0: all alike
    headers: tuple = ()         # sent with every request
    memory: int = 0             # bytes that must be available, or the row is left out
    stored: bool = True         # answers must come from the cache
    discard: bool = False       # the load leaves bodies in the kernel
    kind: str = "load"          # load | idle | log | cold
    rounds_max: int = 1000      # fewer than were asked for, where a round is long or quiet
    beside: list = field(default_factory=list)      # always measured, whoever the peers are
    asked: dict = field(default_factory=dict)       # contender name -> what differs for it
    baseline: str = None        # the contender, one of `beside`, that weir is held against
    baseline_title: str = None
    counts_payload: bool = False    # resident memory over the bytes stored
    # weir against the best peer and against the limit
    peer_cost: float = None
    peer_rate: float = None
    limit_cost: float = None
    idle_kib: float = None
    log_cost: float = None
    baseline_cost: float = None
    payload_share: float = None
    cold_time: float = None

    def of(self, name):
        """The row as this contender is asked."""
        return replace(self, **self.asked.get(name, {}))


def proxies(**others):
    make = {"weir": Weir, "nginx": Nginx, "haproxy": Haproxy, "varnish": Varnish}
    make.update(others)
    return make


ROWS = [
    Row("hit-1k", "hit, 1 KiB, 64 connections",
        proxies(limit=LimitResponder), [["haproxy", "nginx"], ["varnish"]],
        peer_cost=0.82, peer_rate=1.2, limit_cost=1.30),
    Row("hit-keys", "hit, 10,000 keys Zipf, 64 connections",
        proxies(limit=lambda world: LimitResponder(world, keys=10000)), [["haproxy", "nginx"]],
        target="/v2/k/", keys=10000, peer_cost=0.78, limit_cost=1.30),
    Row("hit-100k", "hit, 100 KiB, 64 connections",
        proxies(limit=lambda world: LimitResponder(world, size=100 * KIB)),
        [["nginx", "varnish"], ["haproxy"]],
        target="/v2/hit/100k", size=100 * KIB, peer_cost=0.78, limit_cost=1.15),
    Row("pass-1k", "pass-through 1 KiB, 64 connections",
        proxies(limit=LimitRelay), [["haproxy", "nginx"]],
        target="/v2/pass/1k", stored=False, peer_cost=0.95, limit_cost=1.22),
    Row("pass-split", "pass-through 1 KiB, reads split off to a replica",
        {"weir": lambda world: Weir(world, splits=True), "weir+plain": Weir}, [[]],
        target="/v2/pass/1k", stored=False, beside=["weir+plain"],
        baseline="weir+plain", baseline_title="the same without a replica", baseline_cost=1.03),
    Row("pass-1m", "pass-through 1 MiB, 16 connections",
        proxies(limit=LimitRelay), [["haproxy", "nginx"]],
        target="/v2/pass/1m", size=MIB, connections=16, stored=False,
        discard=True, peer_cost=1.00),
    Row("idle", "10,000 idle kept-alive connections",
        proxies(), [["haproxy", "nginx"]], connections=10000, kind="idle", rounds_max=3,
        idle_kib=0.8),
    Row("hit-1k-log", "hit, 1 KiB, access log on (a file on tmpfs)",
        {"weir": Weir, "weir+log": lambda world: Weir(world, access="json")}, [["weir+log"]],
        kind="log", log_cost=1.10),
    Row("hit-vary", "hit, 1 KiB, Vary: Accept-Encoding, Accept-Language",
        proxies(**{"weir+plain": Weir}), [["nginx", "varnish"]],
        target="/v2/hit/1k-vary", headers=BROWSER, beside=["weir+plain"],
        asked={"weir+plain": {"target": "/v2/hit/1k", "headers": ()}},
        baseline="weir+plain", baseline_title="the same without Vary and those fields",
        baseline_cost=1.15),
    Row("cold-key", "10,000 connections ask for one cold key", proxies(), [["nginx", "varnish"]],
        target="/v2/hit/1k", connections=10000, kind="cold", rounds_max=5,
        cold_time=1.5),
    Row("hit-million", "hit, 1,000,000 keys uniformly, 64 connections",
        {"weir": lambda world: Weir(world, memory="2GiB"), "weir+10k": Weir,
         "limit": lambda world: LimitResponder(world, keys=MILLION, digits=7),
         "limit+10k": lambda world: LimitResponder(world, keys=10000, digits=7)},
        [[]], target="/v2/k/", keys=MILLION, digits=7, skew=0, memory=5 << 30,
        rounds_max=5,
        beside=["weir+10k", "limit+10k"],
        asked={"weir+10k": {"keys": 10000}, "limit+10k": {"keys": 10000}},
        baseline="weir+10k", baseline_title="the same with 10,000 keys",
        baseline_cost=1.15, counts_payload=True, payload_share=1.25),
]


class Bench:
    """Everything that lasts for the whole run."""

    def __init__(self, world, origin, load_core, options):
        self.world, self.origin, self.load_core, self.options = world, origin, load_core, options
        self.failures = {}      # contender -> why it could not be measured
        self.warnings = {}      # text -> {where: how often}

    def warn(self, where, text):
        times = self.warnings.setdefault(text, {})
        if where not in times:
            say(f"warning: {where}: {text}")
        times[where] = times.get(where, 0) + 1

    def leave_out(self, row, name, problem):
        reasons = self.failures.setdefault(name, [])
        if str(problem) not in reasons:
            reasons.append(str(problem))
        say(f"{row.name}: leaving out {name}: {problem}")

    def load_command(self, row, contender, seconds, *more):
        command = ["taskset", "-c", str(self.load_core), str(self.world.programs["load"]),
                   "--port", str(contender.port), "--target", row.target, "--host", HOST,
                   "--seconds", str(seconds)]
        for header in [*row.headers, *self.options.header]:
            command += ["--header", header]
        return command + [str(word) for word in more]

    @staticmethod
    def keys_of(row):
        return ["--keys", row.keys, "--digits", row.digits] if row.keys else []

    def load(self, row, contender, seconds, *more):
        command = self.load_command(row, contender, seconds, "--expect-bytes", row.size, *more)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=seconds + 30, check=False)
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError:
            raise Problem(f"the load program failed: {done.stdout.strip()}") from None

    def wrk(self, row, contender, seconds):
        command = ["taskset", "-c", str(self.load_core), "wrk", "-t1", f"-c{row.connections}",
                   f"-d{max(1, round(seconds))}s", "-H", f"Host: {HOST}"]
        for header in row.headers:
            command += ["-H", header]
        command += [f"http://127.0.0.1:{contender.port}{row.target}"]
        text = machine.run_quietly(command, "wrk")
        before = [line.split() for line in text.splitlines()]
        requests = next(int(words[0]) for words in before if words[1:3] == ["requests", "in"])
        rate = next(float(words[1]) for words in before if words[:1] == ["Requests/sec:"])
        errors = sum(1 for words in before if words[:1] in (["Non-2xx"], ["Socket"]))
        return {"requests": requests, "rps": rate, "seconds": requests / rate, "errors": errors,
                "first_error": "see wrk"}

    def fill(self, row, contender):
        """Everything that will be asked for is asked for once, so that it is stored."""
        if row.keys:
            result = self.load(row, contender, 60 + row.keys // 5000, *self.keys_of(row),
                               "--sequence", "--requests", row.keys,
                               "--connections", 8 if row.keys <= 10000 else 64)
        else:
            result = self.load(row, contender, 10, "--requests", 200, "--connections", 4)
        if result["errors"]:
            raise Problem(f"{contender.name} answers wrongly: {result['first_error']}")

    def measure(self, row, contender, seconds):
        shape = ["--connections", row.connections, *self.keys_of(row)]
        if row.keys:
            shape += ["--skew", row.skew]
        if row.discard:
            shape += ["--discard"]
        use_wrk = self.options.client == "wrk" and not row.keys
        self.load(row, contender, WARM_S, *shape)
        pids = contender.pids()
        asked = self.origin.count()
        ticks = machine.user_system_ticks(pids)
        cores = [machine.core_ticks(core) for core in (contender.core, self.load_core)]
        cpu = machine.cpu_ns(pids)
        start = time.monotonic()
        result = (self.wrk(row, contender, seconds) if use_wrk
                  else self.load(row, contender, seconds, *shape))
        wall = time.monotonic() - start
        cpu = machine.cpu_ns(pids) - cpu
        busy = [share_busy(before, machine.core_ticks(core))
                for before, core in zip(cores, (contender.core, self.load_core))]
        ticks = [b - a for a, b in zip(ticks, machine.user_system_ticks(pids))]
        if not result["requests"]:
            raise Problem(f"{contender.name} answered nothing: {result['first_error']}")
        result.update(
            cpu_us=cpu / 1000 / result["requests"], user_share=ticks[0] / max(1, sum(ticks)),
            server_core_busy=busy[0], load_core_busy=busy[1], own_share=cpu / 1e9 / wall,
            asked_of_origin=self.origin.count() - asked)
        if row.counts_payload:
            one = self.origin.reply_bytes(row.target + "0" * row.digits)
            result["resident"] = machine.resident_bytes(pids)
            result["payload_share"] = result["resident"] / (row.keys * one)
        self.check(row, contender, result)
        return result

    def check(self, row, contender, result):
        where = f"{row.name} {contender.name}"
        if result["errors"]:
            self.warn(where, f"wrong answers ({result['first_error']})")
        if row.stored and result["asked_of_origin"] > result["requests"] / 1000:
            self.warn(where, "more than one answer in a thousand did not come from the cache")
        if not row.stored and result["asked_of_origin"] < result["requests"]:
            self.warn(where, "some answers came from a cache")
        if result["load_core_busy"] > 0.97 and result["server_core_busy"] < 0.95:
            self.warn(where, "the load side was full before the server was: the requests/s are a "
                             "lower bound")
        if result["server_core_busy"] - result["own_share"] > 0.10:
            self.warn(where, "something else used the server's core as well")


def share_busy(before, after):
    busy, whole = after[0] - before[0], after[1] - before[1]
    return min(1.0, busy / whole) if whole else 0.0


# ---- rows ----------------------------------------------------------------------------------

def start_all(bench, row, names):
    """Starts them; who does not start is left out and remembered."""
    running = {}
    for name in names:
        contender = None
        try:
            contender = row.make[name](bench.world)
            running[name] = contender.start()
            if row.kind != "idle" and row.stored and not is_limit(name):
                bench.fill(row.of(name), contender)
        except (Problem, OSError) as problem:
            running.pop(name, None)
            if contender:
                contender.stop()
            bench.leave_out(row, name, problem)
    return running


def is_limit(name):
    return name.startswith("limit")


def rotated(names, by):
    by %= max(1, len(names))
    return names[by:] + names[:by]


def run_load_group(bench, row, names, rounds, results):
    """Adds {contender: result} to the results for each round."""
    with contextlib.ExitStack() as stack:
        running = start_all(bench, row, names)
        for contender in running.values():
            stack.callback(contender.stop)
        if all(is_limit(name) for name in running):
            rounds = 0          # nobody to hold against it
        if row.kind == "cold":
            cold.run_group(bench, row, running, rounds, results)
            return
        for number in range(rounds):
            this_round = {}
            for name in rotated(list(running), number):
                contender = running[name]
                try:
                    this_round[name] = bench.measure(row.of(name), contender,
                                                     bench.options.seconds)
                except Problem as problem:
                    bench.warn(f"{row.name} {name}", str(problem))
                    if not contender.is_alive():
                        bench.warn(f"{row.name} {name}", "it ended: " + contender.last_words())
                        del running[name]
                if row.kind == "log" and getattr(contender, "access_log", None):
                    with contextlib.suppress(OSError):
                        this_round[name]["log_bytes"] = contender.access_log.stat().st_size
                        os.truncate(contender.access_log, 0)
            results.append(this_round)
            say(f"{row.name} round {number + 1}/{rounds}: " + ", ".join(
                f"{name} {result['cpu_us']:.2f} us {result['rps']:.0f}/s "
                f"(load core {result['load_core_busy']:.0%})"
                for name, result in sorted(this_round.items())))


def measure_idle(bench, row, name):
    """Resident bytes for each idle connection, in a process that has served before."""
    contender = row.make[name](bench.world)
    count = min(row.connections, bench.world.clients_max * 3 // 4)
    holder = None
    try:
        contender.start()
        bench.fill(row, contender)
        bench.load(row, contender, 1, "--connections", 64)
        time.sleep(0.5)
        before = machine.resident_bytes(contender.pids())
        holder = subprocess.Popen(
            bench.load_command(row, contender, 60, "--connections", count, "--idle"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        opened = json.loads(holder.stdout.readline() or '{"open": 0, "first_error": "none opened"}')
        if opened["open"] < count:
            raise Problem(f"{name} kept {opened['open']} of {count} connections: "
                          f"{opened['first_error']}")
        time.sleep(2)           # for those who give memory back when a connection rests
        after = machine.resident_bytes(contender.pids())
        ended = json.loads(holder.communicate(timeout=30)[0])
        if ended["closed_idle"]:
            bench.warn(f"{row.name} {name}", f"it closed idle connections of the {count}")
        return {"kib": (after - before) / KIB / count, "connections": count,
                "resident_before": before, "resident_after": after}
    finally:
        if holder and holder.poll() is None:
            holder.kill()
            holder.wait()
        contender.stop()


def run_idle_group(bench, row, names, rounds, results):
    skip = set()
    for number in range(rounds):
        this_round = {}
        for name in rotated(names, number):
            if name in skip:
                continue
            try:
                this_round[name] = measure_idle(bench, row, name)
            except (Problem, OSError) as problem:
                skip.add(name)
                bench.leave_out(row, name, problem)
        results.append(this_round)
        say(f"{row.name} round {number + 1}: " + ", ".join(
            f"{name} {result['kib']:.2f} KiB" for name, result in sorted(this_round.items())))


def impossible(bench, row):
    """Why this machine cannot do the row, or None."""
    if row.memory > machine.available_bytes():
        return f"it needs {row.memory >> 30} GiB of memory"
    if row.kind == "cold" and bench.world.clients_max < row.connections:
        return (f"it needs {row.connections} connections, so as many descriptors and some more in "
                f"each process; {bench.world.files_max} are allowed (ulimit -n)")
    return None


def run_row(bench, row, rounds, results):
    """Adds the rounds of all groups to one list."""
    reason = impossible(bench, row)
    if reason:
        bench.leave_out(row, row.name, reason)
        return
    groups = row.groups
    if bench.options.peers and any(groups) and row.kind != "log":
        groups = [bench.options.peers[i:i + 2] for i in range(0, len(bench.options.peers), 2)]
    for peers in groups:
        names = [name for name in ("limit", "weir") if name in row.make] + row.beside + peers
        run = run_idle_group if row.kind == "idle" else run_load_group
        run(bench, row, names, min(rounds, row.rounds_max), results)
