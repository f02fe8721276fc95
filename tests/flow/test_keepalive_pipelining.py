"""Connections are kept on both sides, requests may come ahead of their turn, and each reply belongs to its request."""

import threading
import time

import pytest

from harness import App, chunked, reply
from harness.patience import patience


@pytest.fixture(scope="module")
def street(module_weirs):
    def answer(request):
        return reply(200, f"{request.method} {request.target} {request.body.decode()}".encode())

    app = App(answer)
    yield app, module_weirs.start(app)
    app.close()


def get(target, *lines, version="1.1"):
    return "\r\n".join([f"GET {target} HTTP/{version}", "Host: test", *lines]).encode() + b"\r\n\r\n"


def post(target, body, *lines):
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *lines]).encode() + b"\r\n\r\n" + body


def test_a_connection_serves_many_requests(street):
    _, weir = street
    with weir.wire() as wire:
        for number in range(200):
            wire.request("GET", f"/{number}")
            got = wire.reply()
            assert got.body == f"GET /{number} ".encode()
            assert "connection" not in got


def test_pipelined_requests_are_answered_in_order(street):
    _, weir = street
    with weir.wire() as wire:
        wire.send(b"".join(get(f"/{number}") for number in range(100)))
        for number in range(100):
            assert wire.reply().body == f"GET /{number} ".encode()


def test_pipelined_bodies_stay_with_their_requests(street):
    _, weir = street
    with weir.wire() as wire:
        wire.send(b"".join(
            post(f"/{number}", b"x" * number) if number % 2 else
            b"POST /%d HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" % number + chunked(b"c" * (number + 1)) for number in range(40)))
        for number in range(40):
            body = "x" * number if number % 2 else "c" * (number + 1)
            assert wire.reply().body == f"POST /{number} {body}".encode()


def test_more_than_can_be_held_may_be_pipelined(street):
    """900 requests of 1 KiB are far over what weir reads ahead: the rest waits in the socket."""
    _, weir = street
    count = 900
    with weir.wire() as wire:
        data = b"".join(get(f"/{number}", "Name: " + "x" * 1000) for number in range(count))
        sender = threading.Thread(target=wire.send, args=(data,), daemon=True)
        sender.start()
        for number in range(count):
            assert wire.reply().body == f"GET /{number} ".encode()
        sender.join(patience(5))


def test_a_slow_reply_holds_back_the_fast_one_behind_it(start_app, start_weir):
    gate = threading.Event()

    def answer(request):
        if request.target == "/slow":
            assert gate.wait(patience(10))
        return reply(200, request.target.encode())

    weir = start_weir(start_app(answer))
    with weir.wire() as wire:
        wire.send(get("/slow") + get("/fast"))
        assert wire.is_silent(0.1)
        gate.set()
        assert wire.reply().body == b"/slow"
        assert wire.reply().body == b"/fast"


def test_connection_close_ends_the_connection_behind_its_reply(street):
    _, weir = street
    with weir.wire() as wire:
        wire.send(get("/a") + get("/b", "Connection: close"))
        assert "connection" not in wire.reply()
        got = wire.reply()
        assert got.body == b"GET /b " and got["connection"] == "close"
        assert wire.is_at_end()


def test_http_1_0_ends_the_connection_unless_asked(street):
    _, weir = street
    with weir.wire() as wire:
        wire.send(get("/a", version="1.0"))
        got = wire.reply()
        assert got.body == b"GET /a " and got["connection"] == "close"
        assert wire.is_at_end()


def test_http_1_0_with_keep_alive_keeps_the_connection(street):
    _, weir = street
    with weir.wire() as wire:
        for target in ("/a", "/b"):
            wire.send(get(target, "Connection: keep-alive", version="1.0"))
            got = wire.reply()
            assert got.body == f"GET {target} ".encode() and got["connection"] == "keep-alive"


def test_keepalive_requests_limits_a_connection(start_app, start_weir):
    weir = start_weir(start_app(), clients={"keepalive_requests": 3})
    with weir.wire() as wire:
        wire.send(get("/") * 5)
        assert [wire.reply()["connection"] for _ in range(3)] == [None, None, "close"]
        assert wire.is_at_end()


def test_trusted_peers_have_no_limit_of_requests(start_app, start_weir):
    weir = start_weir(start_app(), clients={"keepalive_requests": 3}, trusted_peers=["127.0.0.0/8"])
    with weir.wire() as wire:
        for _ in range(10):
            wire.request()
            assert wire.reply()["connection"] is None


def test_the_apps_connection_is_used_again(street):
    app, weir = street
    app.forget()
    for _ in range(5):
        weir.get("/")
    assert len({request.peer for request in app.requests}) == 1


@pytest.mark.parametrize("answer", [
    reply(200, b"hello", "Connection: close"),
    b"HTTP/1.0 200 Fine\r\nContent-Length: 5\r\n\r\nhello",
], ids=["Connection: close", "HTTP/1.0"])
def test_the_apps_connection_is_not_used_again_when_it_says_so(start_app, start_weir, answer):
    app = start_app(answer)
    weir = start_weir(app)
    for _ in range(3):
        assert weir.get("/").body == b"hello"
    assert len(app.peers) == 3
    assert app.peers[0].ended.wait(10) and app.peers[1].ended.wait(10)


def test_connection_close_is_between_two_neighbours_only(start_app, start_weir):
    """The app's close does not end the client's connection, and the client's not the app's."""
    app = start_app(lambda request: reply(200, b"hello", *(["Connection: close"] if request.target == "/app" else [])))
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send(get("/app") + get("/client", "Connection: close"))
        assert "connection" not in wire.reply()
        assert wire.reply()["connection"] == "close"
    assert "connection" not in app.requests[1]
    weir.get("/again")
    assert app.requests[2].peer is app.requests[1].peer


def test_requests_at_once_take_connections_of_their_own(start_app, start_weir):
    gate = threading.Event()

    def answer(_):
        assert gate.wait(patience(10))
        return reply(200, b"hello")

    app = start_app(answer)
    weir = start_weir(app)
    wires = [weir.wire() for _ in range(10)]
    for number, wire in enumerate(wires):
        wire.request("GET", f"/{number}")
    app.wait_for_requests(10)
    assert len(app.peers) == 10
    gate.set()
    for wire in wires:
        assert wire.reply().body == b"hello"
        wire.close()


def test_a_client_that_leaves_takes_its_request_along(start_app, start_weir):
    """Nobody waits for the answer: the app's connection is closed, and not given to another."""
    app = start_app(script=lambda peer: (peer.read_head(), peer.wait_for_end()))
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.request("POST", "/left", body=b"")
        app.wait_for_requests(1)
        wire.reset()
    app.wait_until_ended()
    assert weir.access(target="/left")["outcome"] == "aborted"


def test_pipelined_requests_of_a_client_that_left_are_not_started(start_app, start_weir):
    app = start_app(script=lambda peer: (peer.read_head(), peer.wait_for_end()))
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send(post("/first", b"") + get("/second"))
        app.wait_for_requests(1)
        wire.reset()
    app.wait_until_ended()
    assert weir.access(target="/first")["outcome"] == "aborted"
    assert app.targets() == ["/first"]


def test_an_idle_client_costs_no_cpu(street):
    _, weir = street
    wires = [weir.wire() for _ in range(20)]
    for wire in wires:
        wire.request()
        wire.reply()
    before = weir.cpu_seconds()
    time.sleep(0.5)  # the rule is about time passing
    assert weir.cpu_seconds() - before < 0.1
    for wire in wires:
        wire.close()
