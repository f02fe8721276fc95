"""Who has to wait for servers, and for how long: at start, while nobody is primary, while nothing is known of a replica, with thousands that wait as well."""

import socket
import threading
import time

import pytest
from fleets import sharing
from harness import Wire, eventually, patience, postgres, reply
from harness.redis import Redis
from stories import is_hit, metrics, total
from test_rw_split_positions import Later, Trio, ask, events, readers, start, token_of, write  # noqa: F401

from history.town import HAS_TOOLS, Town

needs_postgres = pytest.mark.skipif(not postgres.IS_THERE or not HAS_TOOLS, reason="needs PostgreSQL's server and libpq")

KEY = "0123456789abcdef"


@pytest.fixture
def trio():
    trio = Trio()
    yield trio
    trio.close()


def upstream_of(trio, health=None, **plugin):
    upstream = {"primary": [trio.primary.address], "replicas": [one.address for one in trio.replicas],
                "plugins": [{"name": "rw_split", "consistency": "position", **plugin}]}
    return {**upstream, "health": health} if health else upstream


# --- what only replies tell ---


def test_replicas_are_found_out_by_replies_alone(trio, start_weir):
    """No health path, no probe, and every client has a token: somebody must ask a replica first, or none is ever asked again."""
    weir = start_weir(upstreams={"app": upstream_of(trio, primary_read_share="100%")})
    token = write(weir)
    trio.catch_up()
    began = time.monotonic()
    answers = []
    for _ in range(40):
        answers.append(ask(weir, "GET", "/x", token))
        token = token_of(answers[-1]) if answers[-1]["weir-position"] else token
    took = time.monotonic() - began
    assert {answer.status for answer in answers} == {200}
    assert all(answer.body.endswith(b" 110") for answer in answers), "his own write, whoever was tried first"
    assert sum(answer["x-app"] == "primary" for answer in answers) <= 10, [answer["x-app"] for answer in answers]
    assert took < patience(2), "and nobody waits for one that has said nothing"


def test_a_replica_that_is_tried_answers_nobody(trio, start_weir):
    """It is asked so that it tells; its rows may be from before what it tells, so that its answer is not used."""
    weir = start_weir(upstreams={"app": upstream_of(trio, wait="0s", primary_read_share="100%")})
    token = write(weir)
    trio.each(fields=["Cache-Control: max-age=600"])
    for replica in trio.replicas:
        replica.before_reply = lambda replica=replica: setattr(replica, "at", 500)  # its row is older than what it says
    first = ask(weir, "GET", "/item", token)
    assert first["x-app"] == "primary" and first.body == b"primary 110"
    assert sum(len(replica.asked()) for replica in trio.replicas) == 1 and events(weir, "read_trial") == 1
    again = ask(weir, "GET", "/item")
    assert is_hit(again) and again.body == first.body, "nor is it stored"


# --- by the clock ---


def test_by_the_window_too_who_lags_too_far_is_not_asked(start):
    weir = start(consistency="window", lag_max="500ms")
    behind, ahead = weir.trio.replicas
    over = threading.Event()

    def move_on():
        while not over.wait(0.02):
            weir.trio.primary.at += 1
            ahead.at = weir.trio.primary.at

    threading.Thread(target=move_on, daemon=True).start()
    try:
        eventually(lambda: readers(weir) == {"replica2"}, why="replica1 stands still")
        assert readers(weir, count=20) == {"replica2"}
        behind.at = 1 << 40
        eventually(lambda: "replica1" in readers(weir))
    finally:
        over.set()


# --- strict, in a fleet ---


def test_strict_in_a_fleet_before_anybody_said_a_position(trio, start_weir):
    """Another weir's write of a moment ago is known to the primary alone."""
    with Redis() as redis:
        weir = start_weir(upstreams={"app": upstream_of(trio, consistency="strict")}, cache=sharing(redis))
        trio.each(says="nowhere", fields=["Cache-Control: max-age=600"])
        answers = [ask(weir, "GET", "/item") for _ in range(10)]
        assert {answer["x-app"] for answer in answers} == {"primary"} and not any(is_hit(answer) for answer in answers)


# --- while nobody is primary ---


def test_what_a_replica_hands_on_is_held_like_any_write(start):
    weir = start(write_hold="1s", read=["POST /search"])
    for replica in weir.trio.replicas:
        replica.other = lambda request: reply(409, b"", "Weir-Replay: primary") if request.method == "POST" else None
    weir.trio.primary.app.close()
    for target in ("/plain", "/search"):
        began = time.monotonic()
        answer = ask(weir, "POST", target)
        assert answer.is_problem(503, "write-held"), (target, answer)
        assert time.monotonic() - began > 0.8, target


def test_where_nobody_is_up_what_is_stored_does_not_wait(start):
    def before(trio):
        trio.each(fields=["Cache-Control: max-age=1, stale-if-error=60"])

    weir = start(before, write_hold="20s")
    assert ask(weir, "GET", "/item").status == 200
    for server in weir.trio.all:
        server.app.close()
    time.sleep(1.5)
    began = time.monotonic()
    answer = ask(weir, "GET", "/item")
    assert answer.status == 200 and "stale-if-error" in answer["cache-status"], answer
    assert time.monotonic() - began < patience(3)


# --- many that wait ---


def calls(weir):
    return total(metrics(weir), "weir_plugin_calls_total")


def test_progress_that_helps_nobody_wakes_nobody(start):
    """What one reply costs must not grow with those who wait for something else."""
    weir = start(wait="1m")
    weir.trio.primary.at = 10_000_000
    token = write(weir)
    waiting, count = [], 300
    try:
        for _ in range(count):
            one = socket.create_connection(weir.address)
            one.sendall(f"GET /x HTTP/1.1\r\nHost: test\r\n{token}\r\n\r\n".encode())
            waiting.append(one)
        eventually(lambda: events(weir, "read_waited") == count)
        before, began = calls(weir), time.monotonic()
        with weir.wire() as wire:
            for _ in range(300):
                for replica in weir.trio.replicas:
                    replica.at += 1
                wire.request("GET", "/x")
                assert wire.reply("GET").status == 200
        looked = (time.monotonic() - began) * 10 * count  # those who wait look for themselves ten times a second
        assert calls(weir) - before < 300 * 20 + 2 * looked
        weir.trio.catch_up(weir.trio.replicas[0])
        for one in waiting:
            one.settimeout(patience(10))
            assert one.recv(65536).startswith(b"HTTP/1.1 200")
    finally:
        for one in waiting:
            one.close()


# --- at start, beside PostgreSQL ---


class Gate:
    """A way to a database that may be slow to open, or shut."""

    def __init__(self, server):
        self.server = server
        self.delay_s = 0
        self.is_shut = False
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def dsn(self):
        return self.server.dsn_through(self.port)

    def _run(self):
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(one,), daemon=True).start()

    def _carry(self, one):
        time.sleep(self.delay_s)
        try:
            if self.is_shut:
                return
            with socket.create_connection(("127.0.0.1", self.server.port)) as other:
                threading.Thread(target=self._pass, args=(other, one), daemon=True).start()
                self._pass(one, other)
        except OSError:
            pass
        finally:
            one.close()

    @staticmethod
    def _pass(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.socket.close()


@pytest.fixture
def split(tmp_path):
    """A town after a failover that nobody told weir's config of, and whose old primary is up again, alone: config(), gates by name."""

    class Split:
        def __init__(self, town):
            self.town = town
            self.gates = {server.name: Gate(server) for server in town.cluster.servers}
            self.config = town.config(probes={name: gate.dsn for name, gate in self.gates.items()}, keys=[KEY], write_hold="20s")
            self.old = town.cluster.primary

        def happens(self):
            self.town.kill_primary()
            self.new = self.town.cluster.fail_over()
            self.old.start()
            self.old.stand_alone()
            self.town.app_of(self.old).start()
            address = self.town.app_of(self.old).address
            assert address in self.config["upstreams"]["app"]["primary"], "the config names it still, and finds it there"

    with Town(tmp_path) as town:
        split = Split(town)
        yield split
        for gate in split.gates.values():
            gate.close()


def put(weir, key="k1", *fields):
    with weir.wire(timeout=patience(40)) as wire:
        wire.request("PUT", f"/kv/{key}", "X-Tenant: acme", "X-Op: op", *fields, body=b"value")
        return wire.reply("PUT")


def written_by(server):
    return int(server.value("select count(*) from written"))


@needs_postgres
def test_a_weir_that_starts_after_a_failover_asks_all_before_it_writes(split, start_weir):
    split.happens()
    split.gates[split.new.name].delay_s = 0.7
    before = written_by(split.old)
    weir = start_weir(**split.config)
    writing = Later(put, weir)
    with weir.wire(timeout=patience(10)) as wire:  # who has written nothing need not wait for that
        wire.request("GET", "/kv/k1", "X-Tenant: acme")
        assert wire.reply("GET")["x-app"] != split.old.name
    assert not writing.is_here()
    assert writing.result().status == 200 and writing.answer["x-app"] == split.new.name
    assert written_by(split.old) == before


@needs_postgres
def test_who_comes_from_a_later_epoch_is_not_sent_back(split, start_weir):
    """This weir cannot ask the new primary's database, but the client's token says that there is one."""
    split.happens()
    weir = start_weir(**split.config)
    first = put(weir)
    assert first.status == 200 and first["x-app"] == split.new.name
    token = f"Weir-Position: {first['weir-position']}"
    weir.stop()
    before = written_by(split.old)
    split.gates[split.new.name].is_shut = True
    split.config["upstreams"]["app"]["plugins"][0].update(write_hold="1s", wait="0s")
    other = start_weir(**split.config)
    assert put(other, "k1", token).is_problem(503, "write-held")
    with Wire(other.address, timeout=patience(20)) as wire:
        wire.request("GET", "/kv/k1", "X-Tenant: acme", token)
        answer = wire.reply("GET")
    assert answer.is_problem(503, "position-behind") or answer["x-app"] != split.old.name, answer
    assert written_by(split.old) == before
    split.gates[split.new.name].is_shut = False
    eventually(lambda: put(other, "k1", token).status == 200, within=patience(10))
    assert written_by(split.old) == before
