"""Many slow clients cost little memory, hold nothing up, and are cut in time; one address does not take every place."""

import resource
import time

import pytest

from harness import SANITIZED, eventually, reply
from harness.patience import patience

COUNT = 500 if SANITIZED else 2000


def open_many(weir, count, data):
    wires = []
    for _ in range(count):
        wire = weir.wire()
        wire.send(data)
        wires.append(wire)
    return wires


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < COUNT * 2 + 200:
        pytest.skip("not enough descriptors allowed")


SLOW = {"per_address": 100000, "head_time": "600s", "body_idle": "600s", "keepalive": "600s"}

# name: (what each client has sent, bytes a connection may cost). The last two have sent 1 KiB and 4 KiB that weir must hold.
CASES = {
    "connected": (b"", 2048),
    "slow heads": (b"GET / HTTP/1.1\r\nHost: test\r\n", 4096),
    "slow heads of 1 KiB": (b"GET / HTTP/1.1\r\nHost: test\r\nX-Fill: " + b"x" * 1000, 6144),
    "slow bodies": (b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\nhello", 16384),
    "slow bodies of 4 KiB": (b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 4096, 24576),
}


@pytest.mark.parametrize("case", CASES.keys())
def test_many_slow_clients_cost_little_memory_each(start_app, start_weir, case):
    data, bytes_max = CASES[case]
    app = start_app()
    weir = start_weir(app, clients=SLOW, log={"access": "off"})
    assert weir.get("/").status == 200
    before, descriptors = weir.rss(), weir.descriptors()
    wires = open_many(weir, COUNT, data)
    eventually(lambda: weir.descriptors() >= descriptors + COUNT - 1, within=20)
    # A request answered after all of them is proof that they were looked at.
    assert weir.get("/").status == 200
    time.sleep(0.2)  # their last bytes; no event tells
    each = (weir.rss() - before) / COUNT
    assert SANITIZED or each < bytes_max, f"{each:.0f} bytes a connection"
    for wire in wires:
        wire.close()
    eventually(lambda: weir.descriptors() <= descriptors + 2, within=20)
    assert weir.get("/").status == 200


def test_idle_kept_connections_cost_little_memory_each(start_app, start_weir):
    """Between two requests a connection holds no buffer."""
    weir = start_weir(start_app(reply(200, b"hello", "Cache-Control: max-age=600")), clients=SLOW, log={"access": "off"})
    assert weir.get("/").status == 200
    before = weir.rss()
    wires = open_many(weir, COUNT, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    for wire in wires:
        assert wire.reply().body == b"hello"
    each = (weir.rss() - before) / COUNT
    assert SANITIZED or each < 2048, f"{each:.0f} bytes a connection"
    for wire in wires:
        wire.close()


def test_slow_heads_are_all_cut_in_time(start_app, start_weir):
    app = start_app()
    weir = start_weir(app, clients={"per_address": 100000, "head_time": "1s"}, log={"access": "off"})
    count = COUNT // 4
    wires = open_many(weir, count, b"GET / HTTP/1.1\r\nHost: test\r\n")
    for wire in wires:
        wire.reply().is_problem(408, "head-timeout")
        assert wire.is_at_end()
        wire.close()
    assert app.requests == []


def test_slow_clients_do_not_hold_up_a_quick_one(start_app, start_weir):
    weir = start_weir(start_app(), clients=SLOW, log={"access": "off"})
    wires = open_many(weir, COUNT // 2, b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
    began = time.monotonic()
    with weir.wire() as quick:
        for _ in range(50):
            quick.request()
            assert quick.reply().status == 200
    assert time.monotonic() - began < patience(1)
    for wire in wires:
        wire.close()


def test_a_slow_body_that_fits_the_buffer_takes_no_server(start_app, start_weir):
    """It is read whole first: slow uploads don't occupy the app."""
    app = start_app(lambda request: reply(200, request.body))
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhel")
        assert wire.is_silent(0.1)
        assert app.peers == []
        wire.send(b"lo")
        assert wire.reply().body == b"hello"


def test_one_address_has_so_many_connections_and_no_more(start_app, start_weir):
    weir = start_weir(start_app(), clients={"per_address": 10})
    wires = [weir.wire() for _ in range(10)]
    for wire in wires:
        wire.request()
        assert wire.reply().status == 200
    with weir.wire() as eleventh:
        assert eleventh.is_at_end()
    with weir.wire(source="127.0.0.2") as other:
        other.request()
        assert other.reply().status == 200
    wires[0].close()

    def is_let_in():
        with weir.wire() as wire:
            try:
                wire.request()
                return wire.reply().status == 200
            except Exception:
                return False

    eventually(is_let_in)
    for wire in wires[1:]:
        wire.close()


def test_trusted_peers_have_no_limit_of_connections(start_app, start_weir):
    weir = start_weir(start_app(), clients={"per_address": 2}, trusted_peers=["127.0.0.0/8"])
    wires = [weir.wire() for _ in range(10)]
    for wire in wires:
        wire.request()
        assert wire.reply().status == 200
        wire.close()


def test_connections_of_all_are_bounded(start_app, start_weir):
    """Who comes too late waits or is closed; who is inside is served."""
    weir = start_weir(start_app(), clients={"connections": 20, "per_address": 1000})
    wires = [weir.wire() for _ in range(20)]
    for wire in wires:
        wire.request()
        assert wire.reply().status == 200
    late = weir.wire(timeout=1)
    try:
        late.request()
        served = late.reply().status == 200
    except Exception:
        served = False
    assert not served
    late.close()
    for wire in wires[1:]:
        wire.request()
        assert wire.reply().status == 200
    wires[0].close()

    def is_let_in():
        with weir.wire(timeout=2) as wire:
            try:
                wire.request()
                return wire.reply().status == 200
            except Exception:
                return False

    eventually(is_let_in, within=20)
    for wire in wires[1:]:
        wire.close()


def test_running_out_of_descriptors_costs_neither_cpu_nor_what_is_open(start_app, start_weir):
    """weir stops accepting for a moment instead of spinning."""
    weir = start_weir(start_app(reply(200, b"hello", "Cache-Control: max-age=600")), clients={"per_address": 100000, "connections": 100000},
                      log={"access": "off"})
    with weir.wire() as inside:
        inside.request()
        assert inside.reply().status == 200
        limit = weir.descriptors() + 20
        resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        wires = [weir.wire() for _ in range(60)]
        eventually(lambda: weir.descriptors() >= limit - 1)
        before = weir.cpu_seconds()
        began = time.monotonic()
        time.sleep(0.5)  # the rule is about time passing
        used = (weir.cpu_seconds() - before) / (time.monotonic() - began)
        assert SANITIZED or used < 0.2, f"{used:.0%} of a core"
        inside.request()
        assert inside.reply().body == b"hello"
        for wire in wires:
            wire.close()
        eventually(lambda: weir.get("/").body == b"hello")
    assert 1 <= len([line for line in weir.log().split("\n") if "descriptor" in line or "Too many open files" in line]) <= 5
