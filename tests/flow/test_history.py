"""Many clients, lagging replicas, a cache, a promotion in the middle: what each client saw is judged afterwards.

The judge itself is tried first, with histories that are wrong in one way each, and in the end with a weir that promises nothing.
"""

import random
import threading
import time

import pytest
from harness import SANITIZED, eventually, patience
from harness import postgres
from stories import metrics, total

from history.checker import Operation, Written, judge, read_history
from history.policies import Sample, Samples, shares
from history.town import HAS_TOOLS, Sampler, Town

needs_postgres = pytest.mark.skipif(not postgres.IS_THERE or not HAS_TOOLS, reason="needs PostgreSQL's server and libpq")

OPERATIONS = 5_000 if SANITIZED else 20_000
OPERATIONS_MEASURED = 200_000
LAGGING = 0.7  # of what is asked while replicas lag for seconds must be answered


# --- the judge ---


def done(client, at, kind, version, op="-", key="k1", tenant="acme", **more):
    values = dict(client=client, tenant=tenant, told_tenant=tenant, start_us=at * 1000, end_us=at * 1000 + 500, is_write=kind == "W", key=key,
                  version=version, op=op, status=200, is_hit=False, app="one", role="primary", reason="-")
    return Operation(**{**values, **more})


WRITES = [Written("a", "acme", "k1", 1), Written("b", "acme", "k1", 2)]


def found(operations, written=None):
    judgement = judge(operations, WRITES if written is None else written)
    return {rule: judgement.count(rule) for rule in judgement.violations if judgement.count(rule)}


def test_the_judge_is_content_with_what_is_right():
    history = [done(1, 1, "W", 1, "a"), done(1, 2, "R", 1, "a"), done(2, 3, "W", 2, "b"), done(1, 4, "R", 1, "a"), done(1, 5, "R", 2, "b"),
               done(3, 6, "R", 1, "a"), done(3, 7, "R", 0, key="k2"), done(3, 8, "W", -1, "c", status=503, reason="write-held")]
    assert found(history) == {}


@pytest.mark.parametrize("rule, history, written", [
    ("read-your-writes", [done(1, 1, "W", 2, "b"), done(1, 2, "R", 1, "a")], None),
    ("monotonic-reads", [done(1, 1, "R", 2, "b"), done(1, 2, "R", 1, "a")], None),
    ("monotonic-reads", [done(1, 1, "R", 2, "b"), done(1, 2, "R", 1, "a", is_hit=True)], None),
    ("lost-write", [done(1, 1, "W", 3, "c")], None),
    ("lost-write", [done(1, 1, "W", 2, "c")], None),
    ("doubled-write", [done(1, 1, "W", 1, "a")], [*WRITES, Written("a", "acme", "k1", 3)]),
    ("doubled-write", [done(1, 1, "W", 1, "a")], [*WRITES, Written("c", "acme", "k1", 2)]),
    ("foreign-answer", [done(1, 1, "R", 0, told_tenant="globex")], None),
    ("invented-answer", [done(1, 1, "R", 3, "c")], None),
    ("invented-answer", [done(1, 1, "R", 1, "b")], None),
    ("invented-answer", [done(1, 1, "R", 1, "a", reason="garbled")], None),
    ("504", [done(1, 1, "R", -1, status=504, reason="first-byte-timeout")], None),
])
def test_the_judge_finds_what_is_wrong(rule, history, written):
    assert found(history, written) == {rule: 1}


def test_the_judge_asks_each_client_and_each_key_on_its_own():
    other = [*WRITES, Written("d", "globex", "k1", 1)]
    history = [done(1, 1, "W", 2, "b"), done(2, 2, "R", 1, "a"), done(1, 3, "R", 0, key="k2"), done(1, 4, "R", 1, "d", tenant="globex")]
    assert found(history, other) == {}


def test_a_write_of_which_nothing_was_heard_may_be_there_or_not():
    history = [done(1, 1, "W", -1, "b", status=0), done(1, 2, "W", -1, "c", status=503), done(1, 3, "R", 1, "a")]
    assert found(history) == {}


def test_the_other_policies_are_computed_as_they_would_decide():
    samples = Samples([Sample(at * 1000, {"one": at, "two": max(0, at - 100)}) for at in range(0, 5000, 10)])
    history = [done(1, 1000, "R", 0), done(1, 1010, "W", 1), done(1, 1050, "R", 1, role="replica"), done(1, 1200, "R", 1, role="replica"),
               done(1, 3200, "R", 1, role="replica", is_hit=True)]
    found_shares = shares(history, samples, "one", ["two"])
    assert found_shares == {"weir": (3 / 4, 2 / 3), "rails": (2 / 4, 1 / 3), "fast": (3 / 4, 2 / 3)}


# --- the real thing ---


class Weather:
    """Replicas that lag between nothing and two seconds, at random, each in its own way; until it is over."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.lock = threading.Lock()  # who holds it may change who is primary
        self.is_over = threading.Event()
        self.errors = []
        self.threads = [threading.Thread(target=self._run, args=(server, random.Random(seed * 100 + number)), daemon=True)
                        for number, server in enumerate(cluster.servers)]
        for thread in self.threads:
            thread.start()

    def _run(self, server, chance):
        try:
            while not self.is_over.wait(chance.uniform(0, 0.3)):
                what = chance.choice(["pause", "delay", "calm"])
                if what == "pause":
                    self._tell(server, server.delay, 0)
                    self._tell(server, server.pause)
                    self.is_over.wait(chance.uniform(0.05, 2))
                    self._tell(server, server.resume)
                else:
                    self._tell(server, server.delay, chance.randrange(2000) if what == "delay" else 0)
                    self.is_over.wait(chance.uniform(0.05, 1))
        except (AssertionError, OSError, postgres.Refused) as error:
            self.errors.append(error)

    def _tell(self, server, what, *arguments):
        with self.lock:
            if server in self.cluster.replicas:
                what(*arguments)

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(patience(10))
        assert not self.errors, self.errors


@pytest.fixture
def town(tmp_path):
    with Town(tmp_path) as town:
        yield town


def answered(weir):
    return total(metrics(weir), "weir_requests_total")


def fail_over(town, weather):
    with weather.lock:
        gone = town.cluster.primary
        town.kill_primary()
        town.cluster.fail_over()
    return gone


def rejoin(town, weather, server):
    with weather.lock:
        town.cluster.rejoin(server)
        town.app_of(server).start()


def live_through(town, weir, operations, seed, promotes=True, **load):
    """Load, weather and a promotion in the middle. What the clients saw, and the judgement."""
    weather = Weather(town.cluster, seed)
    process, path = town.load(weir, operations=operations, seed=seed, seconds=600, **load)
    try:
        if promotes:
            eventually(lambda: answered(weir) > operations * 0.4 or process.poll() is not None, within=400)
            gone = fail_over(town, weather)
            eventually(lambda: answered(weir) > operations * 0.6 or process.poll() is not None, within=400)
            rejoin(town, weather, gone)
        assert process.wait(600) == 0
    finally:
        process.kill()
        process.wait()
        weather.stop()
    history = read_history(path)
    judgement = judge(history, town.written())
    report(history, judgement, seed)
    return history, judgement


def report(history, judgement, seed):
    seconds = (max(one.end_us for one in history) - min(one.start_us for one in history)) / 1e6
    reads = [one for one in history if not one.is_write]
    roles = {role: sum(one.role == role and not one.is_hit for one in reads) for role in ("replica", "primary")}
    longest = sorted((one.end_us - one.start_us) / 1000 for one in history)
    print(f"\n{len(history)} operations of {len({one.client for one in history})} clients in {seconds:.0f} s (seed {seed}): "
          f"{len(history) - len(reads)} writes, {len(reads)} reads, of them {sum(one.is_hit for one in reads)} from the cache, "
          f"{roles['replica']} of replicas, {roles['primary']} of the primary; "
          f"p50 {longest[len(longest) // 2]:.1f} ms, p99 {longest[len(longest) * 99 // 100]:.1f} ms, longest {longest[-1]:.0f} ms")
    print(judgement)
    for (status, reason), count in judgement.refusals.most_common():
        print(f"{count:7} answered {status} {reason}")


def assert_most_were_answered(history, share=0.98):
    """The others were refused: replicas lag for seconds in this weather, and the primary takes its share of reads and no more."""
    good = sum(one.status == 200 for one in history)
    assert good >= share * len(history), f"only {good} of {len(history)} were answered"


@needs_postgres
def test_a_history_with_lag_and_a_promotion(town, start_weir):
    weir = start_weir(**town.config(), workers=2)
    history, judgement = live_through(town, weir, OPERATIONS, seed=1, clients=60, think=60, keys=60)
    assert judgement.is_clean, judgement
    assert len(history) >= OPERATIONS
    assert_most_were_answered(history, LAGGING)


@needs_postgres
def test_a_history_where_the_app_tells_positions(tmp_path, start_weir):
    """No probe: all that is known comes from the app's own replies, and from its health."""
    with Town(tmp_path, ["--positions"]) as town:
        weir = start_weir(**town.config(probes={}, upstream={"health": {"path": "/healthz", "interval": "100ms"}}), workers=2)
        history, judgement = live_through(town, weir, OPERATIONS // 2, seed=2, promotes=False, clients=60, think=60, keys=60)
    assert judgement.is_clean, judgement
    assert_most_were_answered(history, LAGGING)
    assert any(one.role == "replica" and not one.is_hit for one in history)


@needs_postgres
def test_a_history_where_only_replies_tell(tmp_path, start_weir):
    """Neither a probe nor a health path: a replica is known by what it answers, and somebody must ask it first."""
    with Town(tmp_path, ["--positions"]) as town:
        weir = start_weir(**town.config(probes={}), workers=2)
        history, judgement = live_through(town, weir, OPERATIONS // 2, seed=6, promotes=False, clients=60, think=60, keys=60)
        tried = total(metrics(weir), "weir_plugin_events_total", event="read_trial")
    assert judgement.is_clean, judgement
    assert_most_were_answered(history, LAGGING)
    assert tried > 0
    assert sum(one.role == "replica" and not one.is_hit for one in history) > len(history) / 10


@needs_postgres
def test_a_history_where_both_tell(tmp_path, start_weir):
    """The probe knows timelines, the app's own positions do not say them."""
    with Town(tmp_path, ["--positions"]) as town:
        weir = start_weir(**town.config(), workers=2)
        _, judgement = live_through(town, weir, OPERATIONS // 2, seed=3, clients=60, think=60, keys=60)
    assert judgement.is_clean, judgement


@needs_postgres
def test_who_promises_nothing_is_found_out(town, start_weir):
    weir = start_weir(**town.config(consistency="none"), workers=2)
    history, judgement = live_through(town, weir, 8_000, seed=4, promotes=False, clients=40, think=40, keys=30)
    assert judgement.count("read-your-writes") > 10, judgement
    assert judgement.count("monotonic-reads") > 10, judgement
    assert judgement.count("lost-write") == judgement.count("doubled-write") == judgement.count("foreign-answer") == 0, judgement
    assert_most_were_answered(history)


@needs_postgres
@pytest.mark.needs_release
@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="measured without sanitizers")
def test_two_hundred_thousand_operations(town, start_weir):
    weir = start_weir(**town.config(), workers=2, log={"access": "off"})
    history, judgement = live_through(town, weir, OPERATIONS_MEASURED, seed=int(time.time()), clients=200, think=100)
    assert judgement.is_clean, judgement
    assert len(history) >= OPERATIONS_MEASURED
    assert_most_were_answered(history, LAGGING)


@needs_postgres
@pytest.mark.needs_release
@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="measured without sanitizers")
def test_the_share_of_reads_kept_off_the_primary(town, start_weir):
    """At a lag of 100 ms and with one write in ten, beside what others would have made of the same history."""
    for replica in town.cluster.replicas:
        replica.delay(100)
    weir = start_weir(**town.config(), workers=2, log={"access": "off"})
    sampler = Sampler(town.cluster)
    process, path = town.load(weir, operations=30_000, seconds=300, clients=200, think=200, seed=5)
    assert process.wait(400) == 0
    samples = Samples(sampler.stop())
    history = read_history(path)
    judgement = judge(history, town.written())
    report(history, judgement, 5)
    found_shares = shares(history, samples, town.cluster.primary.name, [one.name for one in town.cluster.replicas])
    print("reads kept off the primary:                         of all  of those that no cache answered")
    for who, words in (("weir", "weir, position"), ("fast", "MaxScale's fast, computed (no monotonic reads)"), ("rails", "Rails, 2 s window, computed")):
        print(f"  {words:46} {found_shares[who][0]:10.1%} {found_shares[who][1]:10.1%}")
    assert judgement.is_clean, judgement
    assert_most_were_answered(history)
    assert found_shares["weir"][0] >= 0.85, found_shares
