"""At a limit, requests wait in a bounded line or are refused with a word and a time: 429 when a tenant spent its own share, 503 when the
service is full."""

import re
import threading
import time

import pytest

from harness import App, eventually, reply
from harness.patience import patience

TENANTS = {"from": [{"host": "{tenant}.example.com"}], "unknown": "default"}


class Held:
    """An app that answers when it is told to, and knows how many requests it has at once."""

    def __init__(self, start_app):
        self.gates = {}
        self.lock = threading.Lock()
        self.inside = 0
        self.most = 0
        self.app = start_app(self.answer)

    def gate(self, target):
        with self.lock:
            return self.gates.setdefault(target, threading.Event())

    def answer(self, request):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.gate(request.target).wait(patience(20))
        with self.lock:
            self.inside -= 1
        return reply(200, request.target.encode())

    def open(self, *targets):
        for target in targets:
            self.gate(target).set()


def ask(weir, target, host="test", method="POST"):
    """A POST, so that the cache has no part in it; the wire to read its reply from."""
    wire = weir.wire()
    wire.request(method, target, host=host, body=b"")
    return wire


def retry_after(got):
    assert re.fullmatch("[1-9][0-9]*", got["retry-after"]), got
    return int(got["retry-after"])


# --- the upstream's limit ---


def test_no_more_requests_than_concurrency_are_with_the_app(start_app, start_weir):
    held = Held(start_app)
    weir = start_weir(held.app, workers=2, upstream={"limit": {"concurrency": 3, "queue": 100, "queue_time": "60s"}})
    wires = [ask(weir, f"/{number}") for number in range(20)]
    held.app.wait_for_requests(3)
    assert wires[-1].is_silent(0.1) and len(held.app.requests) == 3
    held.open(*(f"/{number}" for number in range(20)))
    for number, wire in enumerate(wires):
        assert wire.reply().body == f"/{number}".encode()
        wire.close()
    assert held.most == 3


def test_a_full_queue_is_503_queue_full_at_once(start_app, start_weir):
    held = Held(start_app)
    weir = start_weir(held.app, upstream={"limit": {"concurrency": 1, "queue": 2, "queue_time": "60s"}})
    inside = ask(weir, "/inside")
    held.app.wait_for_requests(1)
    waiting = [ask(weir, f"/waiting{number}") for number in range(2)]
    assert all(wire.is_silent(0.1) for wire in waiting)
    with ask(weir, "/refused") as wire:
        got = wire.reply()
        got.is_problem(503, "queue-full")
        retry_after(got)
    held.open("/inside", "/waiting0", "/waiting1")
    for wire in [inside, *waiting]:
        assert wire.reply().status == 200
        wire.close()
    assert "/refused" not in held.app.targets()


def test_a_place_in_the_line_is_lost_after_queue_time(start_app, start_weir):
    held = Held(start_app)
    weir = start_weir(held.app, upstream={"limit": {"concurrency": 1, "queue": 10, "queue_time": "200ms"}})
    inside = ask(weir, "/inside")
    held.app.wait_for_requests(1)
    began = time.monotonic()
    with ask(weir, "/late") as wire:
        got = wire.reply()
        assert time.monotonic() - began >= 0.18
        got.is_problem(503, "queue-timeout")
        retry_after(got)
        # Its connection goes on, and its place is free.
        held.open("/inside", "/again")
        assert inside.reply().status == 200
        wire.request("POST", "/again", body=b"")
        assert wire.reply().status == 200
    inside.close()
    assert "/late" not in held.app.targets()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_the_queue_frees_its_place(start_app, start_weir, how):
    held = Held(start_app)
    weir = start_weir(held.app, upstream={"limit": {"concurrency": 1, "queue": 1, "queue_time": "60s"}})
    inside = ask(weir, "/inside")
    held.app.wait_for_requests(1)
    left = ask(weir, "/left")
    assert left.is_silent(0.05)
    left.reset() if how == "reset" else left.close()
    if how == "close":
        # A FIN is no farewell: half-closed clients get their replies. It still has its place, and its turn comes.
        held.open("/left")
    else:
        weir.access(target="/left")
        second = ask(weir, "/second")
        assert second.is_silent(0.1), "the place was not freed"
        held.open("/second")
    held.open("/inside")
    assert inside.reply().status == 200
    if how == "reset":
        assert second.reply().status == 200
        second.close()
        assert held.app.targets() == ["/inside", "/second"]
    inside.close()


def test_a_client_that_leaves_while_it_is_served_frees_its_place(start_app, start_weir):
    held = Held(start_app)
    weir = start_weir(held.app, upstream={"limit": {"concurrency": 1, "queue": 1, "queue_time": "60s"}})
    first = ask(weir, "/first")
    held.app.wait_for_requests(1)
    second = ask(weir, "/second")
    held.open("/second")
    assert second.is_silent(0.05)
    first.reset()
    assert second.reply().body == b"/second"
    second.close()
    held.open("/first")


def test_failures_give_their_places_back(start_app, start_weir):
    app = start_app(script=lambda peer: (peer.read_head(), peer.reset()))
    weir = start_weir(app, upstream={"limit": {"concurrency": 2, "queue": 1}, "retries": {"attempts": 0}})
    for _ in range(20):
        with ask(weir, "/") as wire:
            wire.reply().is_problem(502, "upstream-closed")


def test_a_slow_client_does_not_hold_a_place(start_app, start_weir):
    """Permits end with the exchange: what the app has answered is the client's affair, as far as the buffer goes."""
    app = start_app(reply(200, bytes(200000), "Cache-Control: no-store"))
    weir = start_weir(app, upstream={"limit": {"concurrency": 1, "queue": 1, "queue_time": "10s"}})
    slow = [weir.wire(receive_buffer=4096) for _ in range(5)]
    for wire in slow:
        wire.request("GET", "/slow")
        wire.exactly(100)
    assert len(weir.get("/quick").body) == 200000
    for wire in slow:
        wire.reset()


def test_a_stored_answer_needs_no_place(start_app, start_weir):
    held = Held(start_app)
    held.open("/stored")
    answer = held.app.answer
    held.app.answer = lambda request: answer(request).replace(b"Fine\r\n", b"Fine\r\nCache-Control: max-age=60\r\n")
    weir = start_weir(held.app, upstream={"limit": {"concurrency": 1, "queue": 1, "queue_time": "100ms"}})
    assert weir.get("/stored").status == 200
    inside = ask(weir, "/inside")
    held.app.wait_for_requests(2)
    for _ in range(5):
        got = weir.get("/stored")
        assert got.status == 200 and "hit" in got["cache-status"]
    held.open("/inside")
    assert inside.reply().status == 200
    inside.close()


def test_a_route_of_high_priority_goes_first(start_app, start_weir):
    held = Held(start_app)
    weir = start_weir(held.app, upstream={"limit": {"concurrency": 1, "queue": 10, "queue_time": "60s"}},
                      routes=[{"path": "/high/**", "priority": "high"}, {"path": "/low/**", "priority": "low"}])
    inside = ask(weir, "/inside")
    held.app.wait_for_requests(1)
    wires = []
    for target in ("/low/1", "/normal", "/high/1", "/high/2"):
        wires.append(ask(weir, target))
        assert wires[-1].is_silent(0.05)
        held.open(target)
    held.open("/inside")
    for wire in [inside, *wires]:
        assert wire.reply().status == 200
        wire.close()
    assert held.app.targets() == ["/inside", "/high/1", "/high/2", "/normal", "/low/1"]


def test_tenants_share_the_line_by_weight(start_app, start_weir):
    """One with 30 waiting does not keep another with 3 from its turn."""
    held = Held(start_app)
    weir = start_weir(held.app, tenants=TENANTS, upstream={"limit": {"concurrency": 1, "queue": 100, "queue_time": "60s"}})
    inside = ask(weir, "/inside")
    held.app.wait_for_requests(1)
    wires = [ask(weir, f"/greedy/{number}", host="greedy.example.com") for number in range(30)]
    eventually(lambda: all(wire.is_silent(0) for wire in wires))
    time.sleep(0.1)  # until they stand in line; no event tells
    wires += [ask(weir, f"/modest/{number}", host="modest.example.com") for number in range(3)]
    assert wires[-1].is_silent(0.1)
    held.open("/inside", *(f"/greedy/{number}" for number in range(30)), *(f"/modest/{number}" for number in range(3)))
    for wire in [inside, *wires]:
        assert wire.reply().status == 200
        wire.close()
    modest = [at for at, target in enumerate(held.app.targets()) if target.startswith("/modest")]
    assert modest[-1] < 12, f"it had to wait behind the others: {held.app.targets()}"


# --- a tenant's own limits ---


def test_a_tenants_rate_is_429_with_the_time_to_come_back(start_app, start_weir):
    weir = start_weir(start_app(), tenants={**TENANTS, "named": {"tiny": {"rate": "1/s", "burst": 3}}})
    with weir.wire() as wire:
        for left in (2, 1, 0):
            wire.request("GET", "/", host="tiny.example.com")
            got = wire.reply()
            assert got.status == 200
            assert got["ratelimit-policy"].startswith('"tenant";q=')
            assert re.match(rf'"tenant";r={left}\b', got["ratelimit"]), got
        wire.request("GET", "/", host="tiny.example.com")
        got = wire.reply()
        got.is_problem(429, "tenant-rate")
        assert retry_after(got) <= 2
        assert re.match(r'"tenant";r=0\b', got["ratelimit"])
        assert "connection" not in got


def test_a_tenants_rate_comes_back_with_time(start_app, start_weir):
    weir = start_weir(start_app(), tenants={**TENANTS, "named": {"tiny": {"rate": "10/s", "burst": 1}}})

    def status():
        with weir.wire() as wire:
            wire.request("GET", "/", host="tiny.example.com")
            return wire.reply().status

    assert status() == 200
    eventually(lambda: status() == 429)
    eventually(lambda: status() == 200)


def test_one_tenants_rate_is_not_anothers(start_app, start_weir):
    app = start_app()
    weir = start_weir(app, tenants={**TENANTS, "named": {"tiny": {"rate": "1/m", "burst": 1}}})
    answers = {"tiny": [], "other": []}
    for _ in range(5):
        for tenant, statuses in answers.items():
            with weir.wire() as wire:
                wire.request("GET", "/", host=f"{tenant}.example.com")
                got = wire.reply()
                statuses.append(got.status)
                assert ("ratelimit" in got) == (tenant == "tiny")
    assert answers == {"tiny": [200, 429, 429, 429, 429], "other": [200] * 5}
    assert len(app.requests) == 6


def test_a_tenants_rate_counts_over_all_workers_and_hits(start_app, start_weir):
    """It is a promise to everyone, so a stored answer counts too."""
    weir = start_weir(start_app(reply(200, b"hello", "Cache-Control: max-age=60")), workers=2,
                      tenants={**TENANTS, "named": {"tiny": {"rate": "1/m", "burst": 10}}})
    statuses = []
    for _ in range(15):
        with weir.wire() as wire:
            wire.request("GET", "/", host="tiny.example.com")
            statuses.append(wire.reply().status)
    assert statuses == [200] * 10 + [429] * 5


def test_a_tenants_concurrency_is_429(start_app, start_weir):
    held = Held(start_app)
    weir = start_weir(held.app, workers=2, tenants={**TENANTS, "named": {"acme": {"concurrency": 2}}})
    wires = [ask(weir, f"/{number}", host="acme.example.com") for number in range(2)]
    held.app.wait_for_requests(2)
    for _ in range(3):
        with ask(weir, "/more", host="acme.example.com") as wire:
            got = wire.reply()
            got.is_problem(429, "tenant-concurrency")
            retry_after(got)
    held.open("/other")
    with ask(weir, "/other", host="other.example.com") as wire:
        assert wire.reply().status == 200
    held.open("/0", "/1", "/again")
    for wire in wires:
        assert wire.reply().status == 200
        wire.close()
    with ask(weir, "/again", host="acme.example.com") as wire:
        assert wire.reply().status == 200
    assert "/more" not in held.app.targets()


def test_a_tenants_place_is_given_back_when_its_client_leaves(start_app, start_weir):
    held = Held(start_app)
    weir = start_weir(held.app, tenants={**TENANTS, "named": {"acme": {"concurrency": 1}}})
    held.open("/after")
    for number in range(5):
        wire = ask(weir, f"/left{number}", host="acme.example.com")
        held.app.wait_for_requests(number + 1)
        wire.reset()
        weir.access(target=f"/left{number}")
    with ask(weir, "/after", host="acme.example.com") as wire:
        assert wire.reply().status == 200
    held.open(*(f"/left{number}" for number in range(5)))


def test_an_address_has_a_rate_too(start_app, start_weir):
    weir = start_weir(start_app(), clients={"rate": "5/m"})
    statuses = []
    with weir.wire() as wire:
        for _ in range(10):
            wire.request()
            got = wire.reply()
            statuses.append(got.status)
            if got.status == 429:
                got.is_problem(429, "address-rate")
                retry_after(got)
    assert statuses.count(200) in (1, 2, 3, 4, 5) and statuses[-1] == 429
    with weir.wire(source="127.0.0.2") as wire:
        wire.request()
        assert wire.reply().status == 200


def test_refused_requests_are_counted_as_shed_in_the_access_log(start_app, start_weir):
    weir = start_weir(start_app(), tenants={**TENANTS, "named": {"tiny": {"rate": "1/m", "burst": 1}}})
    for _ in range(2):
        with weir.wire() as wire:
            wire.request("GET", "/", host="tiny.example.com")
            wire.reply()
    line = weir.access(status=429)
    assert (line["reason"], line["outcome"], line["tenant"]) == ("tenant-rate", "shed", "tiny")


def test_a_request_without_a_tenant_is_refused_where_one_is_needed(start_app, start_weir):
    app = start_app()
    weir = start_weir(app, tenants={"from": [{"host": "{tenant}.example.com"}], "unlisted": "refuse", "named": {"acme": {}}})
    for host in ("test", "other.example.com", "a.b.example.com"):
        with weir.wire() as wire:
            wire.request("GET", "/", host=host)
            wire.reply().is_problem(404, "no-tenant")
    with weir.wire() as wire:
        wire.request("GET", "/", host="acme.example.com")
        assert wire.reply().status == 200
    assert len(app.requests) == 1


def test_an_unnamed_limit_is_the_defaults(start_app, start_weir):
    app = App()
    weir = start_weir(app, tenants={**TENANTS, "default": {"rate": "1/m", "burst": 2}})
    statuses = []
    for tenant in ("one", "one", "one", "two", "two", "two"):
        with weir.wire() as wire:
            wire.request("GET", "/", host=f"{tenant}.example.com")
            statuses.append(wire.reply().status)
    assert statuses == [200, 200, 429, 200, 200, 429]
    app.close()
