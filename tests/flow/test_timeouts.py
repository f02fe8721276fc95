"""Every wait has an end, and every end its own word."""

import threading
import time

import pytest

from harness import Broken, eventually, reply
from harness.patience import patience

LARGE = 1 << 20


def stuck(peer):
    """Reads, and never answers."""
    while peer.read_head():
        pass


def took(began, least, most=None):
    """It ended after `least` seconds; how much later is the machine's load."""
    seconds = time.monotonic() - began
    assert seconds >= least * 0.9, f"too early, after {seconds:.3f} s"
    assert seconds < (most or patience(least)), f"too late, after {seconds:.3f} s"


# --- the client's side ---


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\n", b"G", b"GET / HTTP/1.1\r\nHost: test\r\n\r"])
def test_a_head_that_does_not_end_is_408_head_timeout(start_app, start_weir, begun):
    app = start_app()
    weir = start_weir(app, clients={"head_time": "200ms"})
    with weir.wire() as wire:
        began = time.monotonic()
        wire.send(begun)
        got = wire.reply()
        took(began, 0.2)
        got.is_problem(408, "head-timeout")
        assert got["connection"] == "close" and wire.is_at_end()
    assert app.has_seen_nothing()


def test_a_head_in_drops_has_one_deadline(start_app, start_weir):
    """Each byte does not start the time anew."""
    weir = start_weir(start_app(), clients={"head_time": "300ms"})
    with weir.wire() as wire:
        began = time.monotonic()
        for byte in b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: " + b"x" * 1000:
            wire.send_while_taken(bytes([byte]))
            if not wire.is_silent(0.02):
                break
        wire.reply().is_problem(408, "head-timeout")
        took(began, 0.3, 3)


def test_a_client_that_says_nothing_is_closed_without_a_word(start_app, start_weir):
    weir = start_weir(start_app(), clients={"head_time": "200ms"})
    with weir.wire() as wire:
        began = time.monotonic()
        assert wire.is_at_end()
        took(began, 0.2)


def test_an_idle_kept_connection_is_closed_after_keepalive(start_app, start_weir):
    weir = start_weir(start_app(), clients={"keepalive": "200ms"})
    with weir.wire() as wire:
        wire.request()
        wire.reply()
        began = time.monotonic()
        assert wire.is_at_end()
        took(began, 0.2)


def test_the_second_head_has_its_own_deadline(start_app, start_weir):
    weir = start_weir(start_app(), clients={"head_time": "200ms", "keepalive": "30s"})
    with weir.wire() as wire:
        wire.request()
        wire.reply()
        wire.send(b"GET /second HT")
        wire.reply().is_problem(408, "head-timeout")


@pytest.mark.parametrize("sent", [0, 1000, 200000], ids=["nothing", "little", "more than is kept"])
def test_a_body_that_stops_is_408_body_timeout(start_app, start_weir, sent):
    app = start_app()
    weir = start_weir(app, clients={"body_idle": "200ms", "rate_min": "1KiB/s"})
    with weir.wire() as wire:
        began = time.monotonic()
        wire.send(b"POST /stops HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n" + b"x" * sent)
        got = wire.reply()
        took(began, 0.2)
        got.is_problem(408, "body-timeout")
        assert got["connection"] == "close"
    for request in app.requests:
        assert request.peer.ended.wait(10) and request.peer.was_reset and not request.is_whole


def test_a_body_slower_than_rate_min_is_408_body_too_slow(start_app, start_weir):
    weir = start_weir(start_app(), clients={"body_idle": "300ms", "rate_min": "1MiB/s"})
    with weir.wire() as wire:
        wire.send(b"POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(200):
            wire.send_while_taken(b"x" * 100)
            if not wire.is_silent(0.02):
                break
        wire.reply().is_problem(408, "body-too-slow")


def stalling_reply(peer):
    while peer.read_head():
        peer.send(reply(200, b"", f"Content-Length: {64 * LARGE}", "Cache-Control: no-store", length=False))
        for _ in range(64):
            peer.send(bytes(LARGE))


def test_a_client_that_stops_reading_is_cut_client_stalled(start_app, start_weir):
    weir = start_weir(start_app(script=stalling_reply), clients={"write_stall": "300ms"})
    with weir.wire(receive_buffer=4096) as wire:
        wire.request("GET", "/stalled")
        wire.exactly(100)
        line = weir.access(target="/stalled")
        assert line["reason"] == "client-stalled" and line["seconds"] >= 0.25
        with pytest.raises((Broken, ConnectionError)):
            wire.exactly(64 * LARGE)


def test_a_client_that_reads_drops_is_cut_client_too_slow(start_app, start_weir):
    weir = start_weir(start_app(script=stalling_reply), clients={"write_stall": "500ms", "rate_min": "100MiB/s"})
    stop = threading.Event()
    with weir.wire(receive_buffer=4096) as wire:
        wire.request("GET", "/drops")

        def sip():
            try:
                while not stop.wait(0.005) and wire.socket.recv(32768):
                    pass
            except OSError:
                pass

        reader = threading.Thread(target=sip, daemon=True)
        reader.start()
        try:
            assert weir.access(target="/drops")["reason"] in ("client-too-slow", "client-stalled")
        finally:
            stop.set()
            reader.join(patience(2))


def test_a_slow_reader_that_keeps_its_rate_is_served(start_app, start_weir):
    body = bytes(2 * LARGE)
    weir = start_weir(start_app(reply(200, body, "Cache-Control: no-store")), clients={"write_stall": "500ms", "rate_min": "1KiB/s"})
    with weir.wire(receive_buffer=4096) as wire:
        wire.request("GET", "/")
        head = wire.reply_head()
        for _ in range(15):  # longer than write_stall in all
            time.sleep(0.05)
            wire.more()
        assert wire.skip_body(head) == len(body)


# --- the app's side ---


def test_an_app_that_does_not_answer_is_504_first_byte_timeout(start_app, start_weir):
    app = start_app(script=stuck)
    weir = start_weir(app, upstream={"timeouts": {"first_byte": "200ms"}})
    with weir.wire() as wire:
        began = time.monotonic()
        wire.request("GET", "/never")
        wire.reply().is_problem(504, "first-byte-timeout")
        took(began, 0.2)
        app.wait_until_ended()
        # The client did nothing wrong.
        wire.request("GET", "/never")
        wire.reply().is_problem(504, "first-byte-timeout")
    assert len(app.requests) == 2, "a request that may be at work is not sent again"


def test_first_byte_counts_from_the_requests_last_byte(start_app, start_weir):
    """A long upload is not the app's delay."""
    weir = start_weir(start_app(lambda request: reply(200, str(len(request.body)).encode())), upstream={"timeouts": {"first_byte": "300ms"}})
    with weir.wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100000)
        for _ in range(10):
            time.sleep(0.06)
            wire.send(b"x" * 10000)
        assert wire.reply().body == b"200000"


def test_an_app_that_stops_in_its_head_is_504_upstream_idle(start_app, start_weir):
    weir = start_weir(start_app(script=lambda peer: (peer.read_head(), peer.send(b"HTTP/1.1 200 Fi"), peer.wait_for_end())),
                      upstream={"timeouts": {"idle": "200ms"}})
    began = time.monotonic()
    weir.get("/half").is_problem(504, "upstream-idle")
    took(began, 0.2)


@pytest.mark.parametrize("field", ["Cache-Control: no-store", "Cache-Control: max-age=60"], ids=["passed through", "stored"])
def test_an_app_that_stops_in_its_body_breaks_the_reply(start_app, start_weir, field):
    def script(peer):
        peer.read_head()
        peer.send(reply(200, b"", "Content-Length: 100", field, length=False) + b"hello")
        peer.wait_for_end()

    app = start_app(script=script)
    weir = start_weir(app, upstream={"timeouts": {"idle": "200ms"}})
    with weir.wire() as wire:
        began = time.monotonic()
        wire.request("GET", "/stops")
        assert wire.reply_head().status == 200
        with pytest.raises((Broken, ConnectionError)):
            wire.exactly(100)
        took(began, 0.2)
    app.wait_until_ended()
    line = weir.access(target="/stops")
    assert line["outcome"] == "failed"
    assert line["reason"] in ("upstream-idle", "upstream-cut")


def test_a_body_in_pieces_may_take_longer_than_idle(start_app, start_weir):
    def script(peer):
        peer.read_head()
        peer.send(reply(200, b"", "Content-Length: 8", length=False))
        for _ in range(8):
            time.sleep(0.08)
            peer.send(b"x")
        peer.wait_for_end()

    weir = start_weir(start_app(script=script), upstream={"timeouts": {"idle": "300ms", "first_byte": "300ms"}})
    assert weir.get("/").body == b"x" * 8


@pytest.mark.parametrize("stage", ["before the head", "in the body"])
def test_the_whole_exchange_has_a_deadline(start_app, start_weir, stage):
    def script(peer):
        peer.read_head()
        if stage == "in the body":
            peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(400):
                time.sleep(0.02)
                if stage == "in the body":
                    peer.send(b"1\r\nx\r\n")
        except OSError:
            pass

    weir = start_weir(start_app(script=script), upstream={"timeouts": {"total": "300ms"}})
    with weir.wire() as wire:
        began = time.monotonic()
        wire.request("GET", "/total")
        if stage == "in the body":
            assert wire.reply_head().status == 200
            with pytest.raises((Broken, ConnectionError)):
                while wire.chunk():
                    pass
        else:
            wire.reply().is_problem(504, "total-timeout")
        took(began, 0.3, 5)
    assert weir.access(target="/total")["reason"] == "total-timeout"


def test_a_server_that_does_not_accept_is_504_connect_timeout(start_weir):
    """A full backlog: the kernel drops what comes."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        weir = start_weir(f"127.0.0.1:{address[1]}", upstream={"timeouts": {"connect": "300ms"}, "retries": {"attempts": 0}})
        began = time.monotonic()
        weir.get("/full").is_problem(504, "connect-timeout")
        took(began, 0.3)
        for filler in fillers:
            filler.close()


def test_a_route_may_have_waits_of_its_own(start_app, start_weir):
    weir = start_weir(start_app(script=stuck), upstream={"timeouts": {"first_byte": "60s"}},
                      routes=[{"path": "/short", "timeouts": {"first_byte": "200ms"}}])
    weir.get("/short").is_problem(504, "first-byte-timeout")


def test_a_timeout_is_counted_with_its_word_in_the_access_log(start_app, start_weir):
    weir = start_weir(start_app(script=stuck), upstream={"timeouts": {"first_byte": "100ms"}})
    got = weir.get("/logged")
    line = weir.access(request_id=got["x-request-id"])
    assert (line["status"], line["reason"], line["outcome"]) == (504, "first-byte-timeout", "failed")


def test_weir_is_quiet_again_after_all_that(start_app, start_weir):
    """No connection of a timed-out exchange stays behind."""
    weir = start_weir(start_app(script=stuck), upstream={"timeouts": {"first_byte": "100ms"}}, clients={"keepalive": "100ms"})
    weir.get("/")
    before = weir.descriptors()
    for _ in range(20):
        weir.get("/")
    eventually(lambda: weir.descriptors() <= before)
