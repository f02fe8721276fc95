"""SIGTERM under load: whoever has asked is answered, and then weir is gone."""

import signal
import threading
import time

import pytest
from harness import App, Broken, eventually, patience, reply
from stories import Load, named, tell


@pytest.fixture(scope="module")
def app():
    app = App(named("one"))
    yield app
    app.close()


def stop(weir, how=signal.SIGTERM):
    weir.is_asked_to_stop = True
    weir.process.send_signal(how)


def wait_for_drain(weir):
    """Until the worker knows: new connections are told to close, or nobody takes them any more."""

    def is_draining():
        try:
            return weir.get("/probe")["connection"] == "close"
        except (OSError, Broken):
            return True

    eventually(is_draining, why="it does not drain")


def ends(weir):
    return weir.process.wait(patience(40))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_every_request_that_was_sent_gets_its_answer(start_weir, app, how):
    weir = start_weir(app, workers=2)
    load = Load(weir, clients=16, may_be_refused=True)
    load.wait_for(200)
    stop(weir, how)
    assert ends(weir) == 0
    load.stop()
    assert not load.failures, load.failures[:3]


def test_a_drain_by_the_admin_address_is_the_same(start_weir, app):
    weir = start_weir(app, workers=2)
    load = Load(weir, clients=8, may_be_refused=True)
    load.wait_for(100)
    weir.is_asked_to_stop = True
    tell(weir, "/api/drain", {})
    assert ends(weir) == 0
    load.stop()
    assert not load.failures, load.failures[:3]


def test_a_slow_answer_is_waited_for(start_weir, start_app):
    held, go = threading.Event(), threading.Event()

    def slow(request):
        if request.target == "/probe":
            return named("probe")(request)
        held.set()
        go.wait(patience(30))
        return reply(200, b"late, but whole")

    weir = start_weir(start_app(slow))
    with weir.wire() as wire:
        wire.request()
        assert held.wait(patience(10))
        stop(weir)
        wait_for_drain(weir)
        go.set()
        answer = wire.reply()
        assert answer.body == b"late, but whole"
        assert answer["connection"] == "close"
        assert wire.is_at_end()
    assert ends(weir) == 0


def test_a_body_under_way_is_carried_to_its_end(start_weir, start_app):
    begun, go = threading.Event(), threading.Event()

    def script(peer):
        if peer.read_head().target == "/probe":
            return
        peer.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 200000\r\n\r\n" + b"a" * 100000)
        begun.set()
        go.wait(patience(30))
        peer.send(b"b" * 100000)

    weir = start_weir(start_app(None, script))
    with weir.wire() as wire:
        wire.request()
        assert begun.wait(patience(10))
        assert wire.reply_head().status == 200
        stop(weir)
        wait_for_drain(weir)
        go.set()
        assert wire.exactly(200000) == b"a" * 100000 + b"b" * 100000
    assert ends(weir) == 0


def test_an_upload_under_way_is_carried_to_its_end(start_weir, start_app):
    app = start_app()
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n" + b"a" * 100000)
        app.wait_for_requests(1)
        stop(weir)
        wait_for_drain(weir)
        wire.send(b"b" * 100000)
        assert wire.reply().status == 200
    assert app.requests[0].body == b"a" * 100000 + b"b" * 100000
    assert ends(weir) == 0


def test_idle_connections_do_not_hold_it_up(start_weir, app):
    weir = start_weir(app)
    wires = [weir.wire() for _ in range(20)]
    for wire in wires[:10]:
        wire.request()
        assert wire.reply().status == 200
    began = time.monotonic()
    stop(weir)
    assert ends(weir) == 0
    assert time.monotonic() - began < patience(5), "they have nothing to wait for"
    for wire in wires:
        assert wire.is_at_end()
        wire.close()


def test_who_asks_on_a_kept_connection_is_told_to_close(start_weir, app):
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.request()
        assert wire.reply()["connection"] != "close"
        stop(weir)
        wait_for_drain(weir)
        try:
            wire.request()
            answer = wire.reply()
        except (OSError, Broken):
            pytest.skip("this machine is so slow that the idle connection was over by then")
        assert answer.status == 200 and answer["connection"] == "close"
    assert ends(weir) == 0


def test_afterwards_nobody_listens(start_weir, app):
    weir = start_weir(app)
    stop(weir)
    assert ends(weir) == 0
    with pytest.raises(ConnectionRefusedError):
        weir.wire()


def test_a_second_signal_ends_it_at_once(start_weir, start_app):
    held, go = threading.Event(), threading.Event()

    def slow(request):
        if request.target == "/probe":
            return named("probe")(request)
        held.set()
        go.wait(patience(60))
        return reply(200, b"too late")

    weir = start_weir(start_app(slow))
    with weir.wire() as wire:
        wire.request()
        assert held.wait(patience(10))
        stop(weir)
        wait_for_drain(weir)
        assert weir.is_running()
        weir.process.send_signal(signal.SIGTERM)
        assert weir.process.wait(patience(10)) is not None
        with pytest.raises((Broken, OSError)):
            wire.reply()
    go.set()


def test_a_hangup_while_draining_is_no_way_back(start_weir, start_app):
    held, go = threading.Event(), threading.Event()

    def slow(request):
        if request.target == "/probe":
            return named("probe")(request)
        held.set()
        go.wait(patience(30))
        return reply(200, b"x")

    weir = start_weir(start_app(slow))
    with weir.wire() as wire:
        wire.request()
        assert held.wait(patience(10))
        stop(weir)
        weir.process.send_signal(signal.SIGHUP)
        wait_for_drain(weir)
        go.set()
        assert wire.reply().status == 200
    assert ends(weir) == 0
