"""What failed before a byte of an answer came is tried once more, if its method allows; a POST is never sent twice."""

import socket
import threading
import time

import pytest

from harness import eventually, reply
from harness.patience import patience


class Racing:
    """An app that closes a kept connection at the very moment the next request arrives on it."""

    def __init__(self, start_app, how="close"):
        self.how = how
        self.app = start_app(script=self.script)

    def script(self, peer):
        first = peer.read_head()
        if not first:
            return
        peer.read_body(first)
        peer.send(reply(200, b"first" if peer is self.app.peers[0] else b"saved"))
        if peer is not self.app.peers[0]:
            peer.wait_for_end()
            return
        # The next request is read and thrown away, as by a server whose idle timer has just run out.
        if peer.read_head():
            if self.how == "reset":
                peer.reset()
            else:
                peer.close()
                peer.socket.close()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_kept_connection_that_closes_in_the_race_is_no_error_for_idempotent_requests(start_app, start_weir, method, how):
    racing = Racing(start_app, how)
    weir = start_weir(racing.app, upstream={"retries": {"attempts": 0}})
    body = b"hello" if method == "PUT" else None
    with weir.wire() as wire:
        wire.request("GET", "/first")
        assert wire.reply().body == b"first"
        wire.request(method, "/second", body=body)
        got = wire.reply(to=method)
        assert got.status == 200 and got.body == (b"" if method == "HEAD" else b"saved")
    assert racing.app.targets() == ["/first", "/second", "/second"]
    assert racing.app.requests[2].body == (body or b"")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
def test_other_requests_are_never_sent_twice(start_app, start_weir, method, how):
    racing = Racing(start_app, how)
    weir = start_weir(racing.app)
    with weir.wire() as wire:
        wire.request("GET", "/first")
        assert wire.reply().body == b"first"
        wire.request(method, "/second", body=b"hello")
        wire.reply().is_problem(502, "upstream-closed")
    assert racing.app.targets() == ["/first", "/second"]


def test_a_put_with_a_body_over_the_buffer_is_not_sent_twice(start_app, start_weir):
    """It is idempotent, but its body is gone."""
    app = start_app(script=lambda peer: (peer.read_head(), peer.exactly(100000), peer.reset()))
    weir = start_weir(app, upstream={"retries": {"attempts": 3}})
    with weir.wire() as wire:
        wire.request("PUT", "/large", body=bytes(100000))
        wire.reply().is_problem(502, "upstream-closed")
    assert len(app.requests) == 1


def test_an_idle_connection_that_was_closed_before_is_not_used_at_all(start_app, start_weir):
    """A POST comes through, since weir looks first."""

    def script(peer):
        request = peer.read_head()
        peer.read_body(request)
        peer.send(reply(200, request.method.encode()))
        peer.close()

    app = start_app(script=script)
    weir = start_weir(app)
    with weir.wire() as wire:
        for _ in range(20):
            wire.request("POST", "/", body=b"hello")
            assert wire.reply().body == b"POST"
            peer = app.requests[-1].peer
            eventually(lambda: peer.socket.fileno() == -1)
    assert len(app.peers) == 20 == len(app.requests)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bytes_that_came_on_an_idle_connection_are_no_reply_to_the_next_request(start_app, start_weir, method):
    """Both are there when weir looks: the next request, and behind it the app's bytes that answer nothing."""
    late = threading.Event()
    sent = threading.Event()

    def script(peer):
        while request := peer.read_head():
            peer.read_body(request)
            peer.send(reply(200, b"right"))
            if peer is app.peers[0] and request.target == "/first":
                assert late.wait(patience(10))
                peer.send(reply(200, b"wrong"))
                sent.set()

    app = start_app(script=script)
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.request("GET", "/first")
        assert wire.reply().body == b"right"
        weir.freeze()
        try:
            wire.request(method, "/second", body=b"" if method == "POST" else None)
            late.set()
            assert sent.wait(patience(10))
        finally:
            weir.thaw()
        assert wire.reply().body == b"right"


def fails(times, how="close"):
    """An app whose first connections end without an answer."""
    count = [0]
    lock = threading.Lock()

    def script(peer):
        with lock:
            count[0] += 1
            number = count[0]
        while request := peer.read_head():
            peer.read_body(request)
            if number <= times:
                if how == "reset":
                    peer.reset()
                return
            peer.send(reply(200, b"well"))

    return script


def test_a_get_is_tried_once_more_on_a_new_connection(start_app, start_weir):
    app = start_app(script=fails(1))
    weir = start_weir(app)
    assert weir.get("/").body == b"well"
    assert len(app.requests) == 2


def test_attempts_is_the_most_that_is_tried(start_app, start_weir):
    app = start_app(script=fails(10))
    weir = start_weir(app)
    weir.get("/").is_problem(502, "upstream-closed")
    assert len(app.requests) == 2


def test_more_attempts_may_be_allowed(start_app, start_weir):
    app = start_app(script=fails(3))
    weir = start_weir(app, upstream={"retries": {"attempts": 3, "budget": "100%"}})
    assert weir.get("/").body == b"well"
    assert len(app.requests) == 4


def test_no_attempts_is_none(start_app, start_weir):
    app = start_app(script=fails(1))
    weir = start_weir(app, upstream={"retries": {"attempts": 0}})
    weir.get("/").is_problem(502, "upstream-closed")
    assert len(app.requests) == 1


@pytest.mark.parametrize("answer", [b"H", b"HTTP/1.1 200 Fine\r\nContent-Length: 5\r\n"], ids=["one byte", "half a head"])
def test_nothing_is_tried_again_once_a_byte_has_come(start_app, start_weir, answer):
    def script(peer):
        peer.read_head()
        peer.send(answer)
        peer.close()

    app = start_app(script=script)
    weir = start_weir(app, upstream={"retries": {"attempts": 3}})
    got = weir.get("/")
    got.is_problem(502, "upstream-cut")
    assert len(app.requests) == 1


def test_an_error_the_app_answers_with_is_an_answer(start_app, start_weir):
    app = start_app(reply(503, b"busy"))
    weir = start_weir(app, upstream={"retries": {"attempts": 3}})
    assert weir.get("/").body == b"busy"
    assert len(app.requests) == 1


def test_retries_stay_within_the_budget(start_app, start_weir):
    """An app that is down is not asked twice as much: a fifth of the requests, and a small reserve (10 a second, 100 at once)."""
    app = start_app(script=fails(10**6))
    weir = start_weir(app, upstream={"retries": {"attempts": 1, "budget": "20%"}})
    count = 600
    began = time.monotonic()
    with weir.wire() as wire:
        for number in range(count):
            wire.request("GET", f"/{number}")
            assert wire.reply().status in (502, 503)
    reserve = 100 + 10 * (time.monotonic() - began) + 10
    assert count <= len(app.requests) <= count * 1.2 + reserve, len(app.requests)


def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_a_server_that_refuses_is_502_connect_refused(start_weir):
    start_weir(f"127.0.0.1:{closed_port()}").get("/").is_problem(502, "connect-refused")


def test_a_post_is_tried_on_another_server_only_if_nothing_was_sent(start_app, start_weir):
    """A refused connection has taken nothing: but a POST is never sent twice, so it is weir's to say 502 or to go elsewhere."""
    app = start_app(lambda request: reply(200, request.body))
    weir = start_weir([f"127.0.0.1:{closed_port()}", app], upstream={"balance": "round_robin"})
    answers = []
    for number in range(10):
        with weir.wire() as wire:
            wire.request("POST", f"/{number}", body=b"hello")
            answers.append(wire.reply().status)
    assert set(answers) <= {200, 502}
    targets = app.targets()
    assert len(targets) == len(set(targets)), "a POST was sent twice"
    assert len(targets) == answers.count(200)


def test_a_get_goes_to_another_server_when_one_is_down(start_app, start_weir):
    app = start_app()
    weir = start_weir([f"127.0.0.1:{closed_port()}", app], upstream={"balance": "round_robin"})
    for _ in range(20):
        assert weir.get("/").body == b"hello"
    assert len(app.requests) == 20


def test_a_server_that_keeps_failing_is_left_out(start_app, start_weir):
    """Traffic shows it: no health checks are configured."""
    bad = start_app(script=fails(10**6))
    good = start_app()
    weir = start_weir([bad, good], upstream={"balance": "round_robin", "retries": {"attempts": 1, "budget": "100%"}})
    for number in range(60):
        assert weir.get(f"/{number}").body == b"hello"
    assert len(bad.requests) < 25, f"{len(bad.requests)} of 60 still went to the bad one"


def test_the_last_server_is_never_left_out_by_traffic(start_app, start_weir):
    app = start_app(script=fails(30))
    weir = start_weir(app, upstream={"retries": {"attempts": 0}})
    for _ in range(30):
        assert weir.get("/").status == 502
    assert weir.get("/").body == b"well"


def test_health_checks_take_a_server_out_and_in_again(start_app, start_weir):
    healthy = threading.Event()
    healthy.set()

    def checked(request):
        if request.target == "/healthz":
            return reply(200 if healthy.is_set() else 503, b"")
        return reply(200, b"one")

    one = start_app(checked)
    two = start_app(lambda request: reply(200, b"" if request.target == "/healthz" else b"two"))
    health = {"path": "/healthz", "interval": "100ms", "timeout": "2s", "rise": 2, "fall": 2}
    weir = start_weir([one, two], upstream={"balance": "round_robin", "health": health})

    def bodies():
        return {weir.get(f"/{number}").body for number in range(8)}

    eventually(lambda: bodies() == {b"one", b"two"})
    healthy.clear()
    eventually(lambda: bodies() == {b"two"})
    healthy.set()
    eventually(lambda: bodies() == {b"one", b"two"})


def test_a_request_is_not_retried_for_a_client_that_left(start_app, start_weir):
    held = threading.Event()

    def script(peer):
        peer.read_head()
        held.wait(patience(10))
        peer.reset()

    app = start_app(script=script)
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.request("DELETE", "/left")
        app.wait_for_requests(1)
        wire.reset()
    weir.access(target="/left")
    held.set()
    assert len(app.requests) == 1


def test_a_server_that_comes_back_is_used_again(start_weir, start_app):
    port = closed_port()
    weir = start_weir(f"127.0.0.1:{port}")
    weir.get("/").is_problem(502, "connect-refused")
    start_app(port=port)
    eventually(lambda: weir.get("/").status == 200)
