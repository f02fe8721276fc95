"""Bodies pass as they are, framed anew; what was broken off is never made whole."""

import hashlib
import threading

import pytest

from harness import App, Broken, chunked, eventually, reply
from harness.patience import patience

LARGE = 1 << 20


@pytest.fixture(scope="module")
def street(module_weirs):
    """An app that answers with a digest of what it got; /echo gives it back, chunked for chunked."""

    def answer(request):
        if request.target.startswith("/echo"):
            if "transfer-encoding" in request:
                return b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*([request.body] if request.body else []))
            return reply(200, request.body)
        return reply(200, hashlib.sha256(request.body).hexdigest().encode())

    app = App(answer)
    yield app, module_weirs.start(app)
    app.close()


def pattern(size):
    return bytes(range(251)) * (size // 251) + bytes(size % 251)


def post_head(target, *lines, version="1.1", method="POST"):
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: test", *lines]).encode() + b"\r\n\r\n"


SIZES = [0, 1, 65535, 65536, 65537, LARGE, 3 * LARGE + 7]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_with_a_length_goes_up_and_down(street, size):
    app, weir = street
    body = pattern(size)
    with weir.wire() as wire:
        wire.request("POST", "/echo", body=body)
        got = wire.reply()
    assert got.body == body
    assert app.requests[-1]["content-length"] == str(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [7, 4096, LARGE])
def test_a_chunked_body_goes_up_and_down(street, size, piece):
    app, weir = street
    body = pattern(size)
    if size > 4096 * 7 and piece == 7:
        body = body[: 4096 * 7]
    with weir.wire() as wire:
        wire.send(post_head("/echo", "Transfer-Encoding: chunked"), chunked(*(body[at : at + piece] for at in range(0, len(body), piece))))
        got = wire.reply()
        assert got.body == body
        wire.request("GET", "/next")
        assert wire.reply().status == 200
    assert app.requests[-2].is_whole


def test_a_small_chunked_body_reaches_the_app_with_its_length(street):
    """It was read whole before a server was taken, so its length is known."""
    app, weir = street
    with weir.wire() as wire:
        wire.send(post_head("/", "Transfer-Encoding: chunked"), chunked(b"hel", b"lo"))
        wire.reply()
    assert app.requests[-1]["content-length"] == "5"
    assert app.requests[-1].body == b"hello"


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PROPFIND"])
def test_methods_other_than_post_may_have_bodies(street, method):
    app, weir = street
    with weir.wire() as wire:
        wire.request(method, "/echo", body=b"hello")
        assert wire.reply().body == b"hello"


def test_a_reply_in_chunks_comes_as_it_is_made(start_app, start_weir):
    """Server-sent events and the like: each piece goes on at once."""
    steps = [threading.Event() for _ in range(3)]

    def script(peer):
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Fine\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for step in steps:
            assert step.wait(patience(10))
            peer.send(b"6\r\nevent\n\r\n")
        peer.send(b"0\r\n\r\n")
        peer.wait_for_end()

    weir = start_weir(start_app(script=script))
    with weir.wire() as wire:
        wire.request("GET", "/events")
        assert wire.reply_head().framing == "chunked"
        for step in steps:
            assert wire.is_silent(0.02)
            step.set()
            assert wire.chunk() == b"event\n"
        assert wire.chunk() == b""


def test_trailers_of_a_reply_are_passed_on_but_for_what_has_no_business_there(start_app, start_weir):
    trailers = b"X-Sum: 123\r\nContent-Length: 7\r\nTransfer-Encoding: x\r\nSet-Cookie: a=b\r\nWeir-Position: 5\r\nConnection: close\r\nX-More: 4\r\n"
    weir = start_weir(start_app(b"HTTP/1.1 200 Fine\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello", trailers=trailers)))
    with weir.wire() as wire:
        wire.request("GET", "/", "TE: trailers")
        got = wire.reply()
    assert got.body == b"hello"
    assert got.trailers.fields == [("X-Sum", "123"), ("X-More", "4")]


def test_trailers_of_a_request_are_passed_on_but_for_what_has_no_business_there(street):
    app, weir = street
    trailers = (b"X-Sum: 123\r\nHost: other\r\nContent-Length: 7\r\nTransfer-Encoding: gzip\r\nAuthorization: Basic eDp5\r\nX-Forwarded-For: 9.9.9.9\r\n"
                b"Weir-Tenant: other\r\nContent_Length: 8\r\nX-More: 4\r\n")
    with weir.wire() as wire:
        wire.send(post_head("/", "Transfer-Encoding: chunked"), chunked(pattern(LARGE), trailers=trailers))
        assert wire.reply().status == 200
    assert app.requests[-1].trailers.fields == [("X-Sum", "123"), ("X-More", "4")]
    assert b"other" not in app.requests[-1].head


def test_chunk_extensions_are_not_passed_on(street):
    app, weir = street
    with weir.wire() as wire:
        wire.send(post_head("/", "Transfer-Encoding: chunked"), b"8000;secret=1\r\n" + b"x" * 0x8000 + b"\r\n", b"8000\r\n" + b"x" * 0x8000 + b"\r\n",
                  b"8000\r\n" + b"x" * 0x8000 + b"\r\n", b"0;secret=2\r\n\r\n")
        assert wire.reply().status == 200
    assert b"secret" not in bytes(app.requests[-1].peer.received)


# --- Expect: 100-continue ---


def test_expect_with_a_small_body_is_answered_by_weir(street):
    app, weir = street
    with weir.wire() as wire:
        wire.send(post_head("/echo", "Content-Length: 5", "Expect: 100-continue"))
        assert wire.head().status == 100
        wire.send(b"hello")
        assert wire.reply().body == b"hello"
    assert "expect" not in app.requests[-1]


def test_expect_with_a_large_body_asks_the_app(start_app, start_weir):
    seen = threading.Event()

    def script(peer):
        request = peer.read_head()
        assert request["expect"] == "100-continue"
        assert seen.wait(patience(10))
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.read_body(request)
        peer.send(reply(200, str(len(request.body)).encode()))
        peer.wait_for_end()

    app = start_app(script=script)
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send(post_head("/", f"Content-Length: {LARGE}", "Expect: 100-continue"))
        app.wait_for_requests(1)
        assert wire.is_silent(0.05), "the app has not said it yet"
        seen.set()
        assert wire.head().status == 100
        wire.send(pattern(LARGE))
        assert wire.reply().body == str(LARGE).encode()


def test_expect_is_refused_by_the_app_before_the_body(start_app, start_weir):
    """The final answer instead of a 100: no byte of the body was sent, and neither connection is used again."""
    app = start_app(script=lambda peer: (peer.read_head(), peer.send(reply(401, b"no")), peer.wait_for_end()))
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send(post_head("/", f"Content-Length: {LARGE}", "Expect: 100-continue"))
        got = wire.reply()
        assert (got.status, got.body, got.interim) == (401, b"no", [])
        assert got["connection"] == "close"
        assert wire.is_at_end()
    app.wait_until_ended()
    assert not app.requests[0].is_whole
    assert app.peers[0].received_bytes == len(app.requests[0].head) + 4


def test_an_app_that_ignores_expect_gets_the_body_after_a_second(start_app, start_weir):
    weir = start_weir(start_app(lambda request: reply(200, str(len(request.body)).encode())))
    with weir.wire() as wire:
        wire.send(post_head("/", f"Content-Length: {LARGE}", "Expect: 100-continue"))
        assert wire.head().status == 100
        wire.send(pattern(LARGE))
        assert wire.reply().body == str(LARGE).encode()


def test_expect_and_a_body_that_does_not_wait(street):
    _, weir = street
    with weir.wire() as wire:
        wire.send(post_head("/echo", "Content-Length: 5", "Expect: 100-continue"), b"hello")
        got = wire.reply()
        assert got.body == b"hello"
        wire.request("GET", "/next")
        assert wire.reply().status == 200


def test_expect_of_an_http_1_0_client_is_ignored(street):
    _, weir = street
    with weir.wire() as wire:
        wire.send(post_head("/echo", "Content-Length: 5", "Expect: 100-continue", version="1.0"), b"hello")
        got = wire.reply()
        assert got.interim == [] and got.body == b"hello"


# --- early replies ---


def test_an_early_reply_is_passed_on_and_both_connections_end(start_app, start_weir):
    def script(peer):
        peer.read_head()
        peer.send(reply(413, b"too much"))
        peer.wait_for_end()
        while peer.wait_for_end() is False:
            pass

    app = start_app(script=script)
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send(post_head("/", f"Content-Length: {64 * LARGE}"), pattern(LARGE))
        got = wire.reply()
        assert (got.status, got.body, got["connection"]) == (413, b"too much", "close")
        assert wire.is_at_end()
    app.wait_until_ended()
    assert app.peers[0].received_bytes < 64 * LARGE


def test_an_early_reply_of_an_app_that_closes_at_once_still_arrives(start_app, start_weir):
    def script(peer):
        peer.read_head()
        peer.send(reply(403, b"no", "Connection: close"))
        peer.close()
        peer.wait_for_end()

    weir = start_weir(start_app(script=script))
    with weir.wire() as wire:
        wire.send_while_taken(post_head("/", f"Content-Length: {8 * LARGE}") + pattern(8 * LARGE))
        got = wire.reply()
        assert (got.status, got.body) == (403, b"no")


def test_a_body_of_weirs_own_refusal_is_read_in_bounds(start_weir, start_app):
    """No route for it: the client may send on for a while and still reads its 404."""
    app = start_app()
    weir = start_weir(app, tenants={"from": [{"host": "{tenant}.example.com"}], "unknown": "refuse"})
    with weir.wire() as wire:
        wire.send_while_taken(post_head("/", f"Content-Length: {LARGE}") + pattern(LARGE // 8))
        wire.reply().is_problem(404, "no-tenant")
    assert app.has_seen_nothing()


def test_a_small_body_behind_a_refusal_does_not_cost_the_connection(start_weir, start_app):
    app = start_app()
    weir = start_weir(app, tenants={"from": [{"host": "{tenant}.example.com"}], "unknown": "refuse"})
    with weir.wire() as wire:
        wire.request("POST", "/", body=pattern(1000))
        wire.reply().is_problem(404, "no-tenant")
        wire.request("GET", "/", host="acme.example.com")
        assert wire.reply().body == b"hello"
    assert app.targets() == ["/"]


# --- no body ---


def test_head_has_the_fields_but_no_body(start_app, start_weir):
    weir = start_weir(start_app(b"HTTP/1.1 200 Fine\r\nContent-Length: 1234\r\nX-Name: v\r\n\r\n"))
    with weir.wire() as wire:
        for _ in range(3):
            wire.request("HEAD", "/")
            got = wire.reply(to="HEAD")
            assert (got.status, got["content-length"], got["x-name"]) == (200, "1234", "v")


def test_head_of_a_chunked_reply_has_no_body(start_app, start_weir):
    weir = start_weir(start_app(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"))
    with weir.wire() as wire:
        for _ in range(3):
            wire.request("HEAD", "/")
            assert wire.reply(to="HEAD").status == 200


def test_weirs_own_error_to_a_head_request_has_no_body(start_weir):
    weir = start_weir("127.0.0.1:1")
    with weir.wire() as wire:
        for _ in range(2):
            wire.request("HEAD", "/")
            got = wire.reply(to="HEAD")
            assert got.status == 502 and int(got["content-length"]) > 0


@pytest.mark.parametrize("status", [204, 304])
def test_204_and_304_have_neither_body_nor_length(start_app, start_weir, status):
    weir = start_weir(start_app(f"HTTP/1.1 {status} None\r\nETag: \"a\"\r\n\r\n".encode()))
    with weir.wire() as wire:
        for _ in range(3):
            wire.request("GET", "/")
            got = wire.reply()
            assert (got.status, got["etag"], got.body) == (status, '"a"', b"")
            assert "content-length" not in got and "transfer-encoding" not in got


# --- HTTP/1.0 clients ---


def test_an_http_1_0_client_gets_an_unknown_length_until_the_close(start_app, start_weir):
    weir = start_weir(start_app(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hel", b"lo", trailers=b"X-Sum: 1\r\n")))
    with weir.wire() as wire:
        wire.send(post_head("/", "Connection: keep-alive", version="1.0", method="GET"))
        got = wire.reply()
        assert got.body == b"hello" and got.framing == "close" and got["connection"] == "close"


def test_an_http_1_0_client_may_send_a_body(street):
    _, weir = street
    with weir.wire() as wire:
        wire.send(post_head("/echo", "Content-Length: 5", "Connection: keep-alive", version="1.0"), b"hello")
        assert wire.reply().body == b"hello"
        wire.send(post_head("/echo", "Content-Length: 3", version="1.0"), b"bye")
        assert wire.reply().body == b"bye"
        assert wire.is_at_end()


# --- ends in the middle ---


def test_a_half_closed_client_gets_its_reply(start_app, start_weir):
    gate = threading.Event()

    def answer(_):
        assert gate.wait(patience(10))
        return reply(200, pattern(LARGE))

    app = start_app(answer)
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.request("POST", "/", body=b"hello")
        wire.half_close()
        app.wait_for_requests(1)
        gate.set()
        assert wire.reply().body == pattern(LARGE)
        assert wire.is_at_end()


def test_a_half_closed_client_gets_the_replies_to_all_it_asked(street):
    _, weir = street
    with weir.wire() as wire:
        wire.send(b"".join(post_head(f"/echo/{number}", "Content-Length: 2") + b"%02d" % number for number in range(20)))
        wire.half_close()
        for number in range(20):
            assert wire.reply().body == b"%02d" % number
        assert wire.is_at_end()


UPLOADS = {
    "length": (["Content-Length: 100000"], pattern(99999)),
    "length, early": (["Content-Length: 10000000"], pattern(100000)),
    "chunked": (["Transfer-Encoding: chunked"], b"186a0\r\n" + pattern(100000) + b"\r\n"),
    "in a chunk": (["Transfer-Encoding: chunked"], b"186a0\r\n" + pattern(99999)),
    "in a size": (["Transfer-Encoding: chunked"], b"186a0\r\n" + pattern(100000) + b"\r\n1"),
    "before the final line": (["Transfer-Encoding: chunked"], b"186a0\r\n" + pattern(100000) + b"\r\n0\r\n"),
}


@pytest.mark.parametrize("how", ["half close", "close", "reset"])
@pytest.mark.parametrize("upload", UPLOADS.values(), ids=UPLOADS.keys())
def test_an_upload_that_is_broken_off_never_completes_at_the_app(street, upload, how):
    """Over the buffer, so that the app has seen its beginning."""
    app, weir = street
    app.forget()
    lines, body = upload
    with weir.wire() as wire:
        wire.send(post_head("/broken", *lines), body)
        request = app.wait_for_requests(1)
        if how == "half close":
            wire.half_close()
            got = wire.reply()
            got.is_problem(400, "client-abort")
        elif how == "close":
            wire.close()
        else:
            wire.reset()
    assert request.peer.ended.wait(patience(10))
    assert not request.is_whole
    assert request.peer.was_reset, "a FIN could pass for the end"
    assert b"\r\n0\r\n" not in bytes(request.peer.received[-40:]) or how == ""


def test_a_reset_right_behind_the_bytes_is_noticed(start_app, start_weir):
    """Both are there when weir looks; nothing else will ever come."""
    app = start_app()
    weir = start_weir(app, clients={"head_time": "600s", "body_idle": "600s"})
    for number, begun in enumerate([b"GET /half HTTP/1.1\r\nHost: te", post_head("/reset/1", "Content-Length: 10") + b"123",
                                    post_head("/reset/2", "Content-Length: 1000000") + bytes(100000)]):
        wire = weir.wire()
        wire.request("GET", "/")
        assert wire.reply().status == 200
        before = weir.descriptors()
        weir.freeze()
        wire.send(begun)
        wire.reset()
        weir.thaw()
        eventually(lambda: weir.descriptors() < before, why=f"case {number}: the connection is still open")


@pytest.mark.parametrize("how", ["half close", "close", "reset"])
@pytest.mark.parametrize("lines, body", [
    (["Content-Length: 10"], b"123456789"), (["Transfer-Encoding: chunked"], b"5\r\nhello\r\n"),
], ids=["length", "chunked"])
def test_a_small_upload_that_is_broken_off_is_not_sent_at_all(street, lines, body, how):
    app, weir = street
    app.forget()
    target = f"/small-{how.replace(' ', '-')}-{len(body)}"
    with weir.wire() as wire:
        wire.send(post_head(target, *lines), body)
        if how == "half close":
            wire.half_close()
            wire.reply().is_problem(400, "client-abort")
        elif how == "close":
            wire.close()
        else:
            wire.reset()
    weir.access(target=target)
    assert app.requests == []


# --- the limit of bodies ---


@pytest.fixture(scope="module")
def limited(module_weirs):
    app = App(lambda request: reply(200, str(len(request.body)).encode()))
    yield app, module_weirs.start(app, clients={"body_max": "100KiB"})
    app.close()


def test_a_declared_body_over_body_max_is_413_at_once(limited):
    app, weir = limited
    app.forget()
    with weir.wire() as wire:
        wire.send(post_head("/", "Content-Length: 102401"))
        got = wire.reply()
        got.is_problem(413, "body-too-large")
        assert got["connection"] == "close"
    assert app.requests == []


def test_expect_with_a_body_over_body_max_is_413_without_100(limited):
    _, weir = limited
    with weir.wire() as wire:
        wire.send(post_head("/", "Content-Length: 102401", "Expect: 100-continue"))
        got = wire.reply()
        assert got.interim == []
        got.is_problem(413, "body-too-large")


def test_a_chunked_body_that_grows_over_body_max_is_413_and_never_completes(limited):
    app, weir = limited
    app.forget()
    with weir.wire() as wire:
        wire.send_while_taken(post_head("/", "Transfer-Encoding: chunked") + chunked(*[pattern(10000)] * 20))
        wire.reply().is_problem(413, "body-too-large")
    for request in app.requests:
        assert request.peer.ended.wait(patience(10)) and not request.is_whole


@pytest.mark.parametrize("size", [102399, 102400])
def test_a_body_of_body_max_passes(limited, size):
    _, weir = limited
    with weir.wire() as wire:
        wire.request("POST", "/", body=pattern(size))
        assert wire.reply().body == str(size).encode()
        wire.send(post_head("/", "Transfer-Encoding: chunked"), chunked(pattern(size)))
        assert wire.reply().body == str(size).encode()


# --- what the reply's receiver does ---


def test_a_client_that_reads_slowly_gets_every_byte(start_app, start_weir):
    body = pattern(8 * LARGE)
    weir = start_weir(start_app(reply(200, body, "Cache-Control: no-store")))
    with weir.wire(receive_buffer=4096) as wire:
        wire.request("GET", "/")
        assert hashlib.sha256(wire.reply().body).digest() == hashlib.sha256(body).digest()


def test_a_client_that_leaves_in_a_reply_ends_the_apps_connection(start_app, start_weir):
    def script(peer):
        peer.read_head()
        try:
            peer.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 1000000000\r\nCache-Control: no-store\r\n\r\n")
            while True:
                peer.send(pattern(65536))
        except OSError:
            peer.ended.set()

    app = start_app(script=script)
    weir = start_weir(app)
    with weir.wire(receive_buffer=4096) as wire:
        wire.request("GET", "/left")
        wire.exactly(1000)
    app.wait_until_ended()
    eventually(lambda: any(line["outcome"] == "aborted" for line in weir.accesses()))


def test_two_clients_of_one_growing_answer_both_see_the_cut(start_app, start_weir):
    """The second one joined while it was stored: it must not take what there is for the whole."""
    go_on = threading.Event()

    def script(peer):
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)
        assert go_on.wait(patience(10))
        peer.reset()

    app = start_app(script=script)
    weir = start_weir(app, workers=2)
    wires = [weir.wire() for _ in range(6)]
    for wire in wires:
        wire.request("GET", "/growing")
    heads = [wire.reply_head() for wire in wires]
    assert all(head.status == 200 for head in heads)
    assert len(app.requests) == 1, "they were not collapsed"
    go_on.set()
    for wire in wires:
        with pytest.raises((Broken, ConnectionError)):
            wire.exactly(1000)
        wire.close()
