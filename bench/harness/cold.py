"""The row in which a crowd asks for one key that nobody has stored.

All connections stand open and have asked before. Twice they ask at the same moment: for a stored
reply, and for one that the app gives only 0.75 s after it was asked, when all of them wait for it. What
the second takes is counted from the moment the app sends it, by the clock that all processes
share; so neither the app's time nor the requests' arrival is in it.
"""

import http.client
import json
import subprocess

from . import machine
from .machine import Problem, say

SPARE_MS = 100              # between the last request's sending and the app's answer


class Crowd:
    """The load program holding its connections."""

    def __init__(self, bench, row, contender):
        self.count, self.pids = row.connections, contender.pids()
        self.holder = subprocess.Popen(
            bench.load_command(row, contender, 60, "--connections", row.connections,
                               "--expect-bytes", row.size, "--idle"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            opened = self.line()
            if opened["open"] < self.count:
                raise Problem(f"{contender.name} kept {opened['open']} of {self.count} "
                              f"connections: {opened['first_error']}")
        except BaseException:
            self.stop()
            raise

    def line(self):
        try:
            return json.loads(self.holder.stdout.readline())
        except json.JSONDecodeError:
            raise Problem("the load program ended") from None

    def ask(self, target):
        """All of them at once. What the load says of it, and the server's CPU time in `cpu_us`."""
        cpu = machine.cpu_ns(self.pids)
        self.holder.stdin.write(target + "\n")
        self.holder.stdin.flush()
        result = self.line()
        if result["errors"] or result["requests"] < self.count:
            raise Problem(f"{result['requests']} of {self.count} were answered rightly: "
                          f"{result['first_error'] or 'no reply'}")
        result["cpu_us"] = (machine.cpu_ns(self.pids) - cpu) / 1000 / self.count
        return result

    def stop(self):
        self.holder.kill()
        self.holder.communicate()


def cold_sent_ns(origin):
    connection = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=5)
    try:
        connection.request("GET", "/cold-at")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def measure(bench, row, contender, key):
    where = f"{row.name} {contender.name}"
    crowd = Crowd(bench, row, contender)
    try:
        before = bench.origin.count()
        stored = crowd.ask(row.target)
        if bench.origin.count() != before:
            bench.warn(where, "some of the plain hits did not come from the cache")
        before = bench.origin.count()
        cold = crowd.ask(f"/v2/hit/cold-{key}")
        reached = bench.origin.count() - before
    finally:
        crowd.stop()
    sent_ns = cold_sent_ns(bench.origin)
    if (sent_ns - cold["sent_ns"]) / 1e6 < SPARE_MS:
        bench.warn(where, "the app answered before all requests had time to arrive: the machine "
                          "is too busy for this row")
    waited = (sent_ns - cold["start_ns"]) / 1e6
    took = {at: value - waited for at, value in cold["took_ms"].items()}
    return {"reached": reached, "cold_ms": took, "stored_ms": stored["took_ms"],
            "time_ratio": took["max"] / stored["took_ms"]["max"],
            "cpu_us": cold["cpu_us"], "stored_cpu_us": stored["cpu_us"]}


def run_group(bench, row, running, rounds, results):
    """Adds {contender: result} to the results for each round."""
    for number in range(rounds):
        this_round = {}
        for name, contender in list(running.items()):
            try:
                this_round[name] = measure(bench, row, contender, f"{name}-{number}")
            except (Problem, OSError) as problem:
                bench.leave_out(row, name, problem)
                del running[name]
        results.append(this_round)
        say(f"{row.name} round {number + 1}/{rounds}: " + ", ".join(
            f"{name} {result['reached']} to the app, {result['cold_ms']['max']:.0f} ms "
            f"(stored {result['stored_ms']['max']:.0f} ms)"
            for name, result in sorted(this_round.items())))
