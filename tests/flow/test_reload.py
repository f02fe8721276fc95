"""A reload swaps the config in one step: nobody notices but those who asked for it."""

import json
import signal
import socket
import threading

import pytest
from harness import SANITIZED, App, eventually, reply
from stories import Load, ask, generation, named, status, tell


@pytest.fixture(scope="module")
def app():
    app = App(named("one"))
    yield app
    app.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def hang_up(weir):
    """SIGHUP, and until it is done."""
    before = generation(weir)
    weir.process.send_signal(signal.SIGHUP)
    eventually(lambda: generation(weir) > before, why="the reload did not come")


def change(weir, **sections):
    """Writes the file anew with other sections."""
    config = json.loads(weir.file.read_text())
    config.update(sections)
    weir.file.write_text(json.dumps(config))


def test_no_request_is_lost_over_twenty_reloads(start_weir, start_app):
    one, two = start_app(named("one")), start_app(named("two"))
    weir = start_weir(one, workers=2)
    with Load(weir, clients=8) as load:
        for number in range(20):
            change(weir, upstreams={"app": {"primary": [(one, two)[number % 2].address]}})
            hang_up(weir)
            load.wait_for(20)
    assert not load.failures, load.failures[:3]
    assert load.reused > load.answers * 0.8, "kept connections stayed"
    assert one.requests and two.requests


def test_a_kept_connection_gets_the_new_config_with_its_next_request(start_weir, start_app):
    one, two = start_app(named("one")), start_app(named("two"))
    weir = start_weir(one)
    with weir.wire() as wire:
        wire.request()
        assert wire.reply().body == b"one"
        change(weir, upstreams={"app": {"primary": [two.address]}})
        hang_up(weir)

        def ask_again():
            wire.request()
            return wire.reply().body

        assert eventually(lambda: ask_again() == b"two", why="on the same connection, once its worker has heard of it")


def test_a_request_under_way_ends_as_it_began(start_weir, start_app):
    held, go = threading.Event(), threading.Event()

    def slow(request):
        if request.target == "/slow":
            held.set()
            go.wait(60)
        return reply(200, b"from the old one", "Cache-Control: no-store")

    old, new = start_app(slow), start_app(named("new"))
    weir = start_weir(old)
    with weir.wire() as wire:
        wire.request("GET", "/slow")
        assert held.wait(60)
        change(weir, upstreams={"other": {"primary": [new.address]}})
        hang_up(weir)
        eventually(lambda: weir.get("/other").body == b"new")
        go.set()
        assert wire.reply().body == b"from the old one"


@pytest.mark.parametrize("text", ["upstream: {}\n", "upstreams: [\n", "", "upstreams: {app: {primary: [127.0.0.1:1], plugins: [{name: nowhere}]}}\n",
                                  "upstreams: {app: {primary: [127.0.0.1:1]}}\nlisten: [{address: 203.0.113.1:1}]\n"])
def test_a_broken_file_changes_nothing_and_says_why(start_weir, app, text):
    weir = start_weir(app)
    before = generation(weir)
    weir.file.write_text(text)
    weir.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the old one stays" in weir.log() and "weir.yaml:" in weir.log())
    assert generation(weir) == before
    assert weir.get().body == b"one"
    answer = ask(weir, "POST", "/api/reload", body={})
    assert answer.status == 422 and answer.json()["mistakes"]


def test_after_a_broken_file_a_right_one_is_taken(start_weir, app):
    weir = start_weir(app)
    text = weir.file.read_text()
    weir.file.write_text("broken: [\n")
    weir.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the old one stays" in weir.log())
    weir.file.write_text(text)
    hang_up(weir)
    assert weir.get().body == b"one"


def test_an_address_to_listen_on_comes_and_goes(start_weir, app):
    weir = start_weir(app, workers=2)
    first = json.loads(weir.file.read_text())["listen"][0]
    second = ("127.0.0.1", free_port())
    change(weir, listen=[first, {"address": "%s:%d" % second}])
    with Load(weir, clients=4) as load:
        hang_up(weir)
        weir.addresses.append(second)
        with weir.wire(1) as wire:
            wire.request()
            assert wire.reply().body == b"one"
        with Load(weir, clients=4, listener=1) as other:
            other.wait_for(50)
        assert not other.failures, other.failures[:3]

        with weir.wire(1) as kept:
            kept.request()
            assert kept.reply().status == 200
            change(weir, listen=[first])
            hang_up(weir)
            kept.request()
            assert kept.reply().status == 200, "who is connected stays so"

        def is_closed():
            try:
                weir.wire(1).close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(is_closed, why="nobody should listen there any more")
        load.wait_for(50)
    assert not load.failures, load.failures[:3]


def test_what_is_stored_and_counted_survives(start_weir, start_app):
    app = start_app(reply(200, b"kept", "Cache-Control: max-age=60"))
    weir = start_weir(app)
    weir.get("/kept")
    before = status(weir)["requests"]
    hang_up(weir)
    assert weir.get("/kept").body == b"kept"
    assert len(app.requests) == 1
    assert eventually(lambda: status(weir)["requests"] > before)


def test_a_spent_bucket_is_not_filled_by_a_reload(start_weir, app):
    weir = start_weir(app, tenants={"from": [{"header": "T", "believe": "any"}], "unknown": "default", "default": {"rate": "1/m", "burst": 2}})
    assert [weir.get().status for _ in range(3)] == [200, 200, 429]
    hang_up(weir)
    assert weir.get().status == 429


def test_a_new_limit_holds_at_once(start_weir, app):
    tenants = {"from": [{"header": "T", "believe": "any"}], "unknown": "default"}
    weir = start_weir(app, tenants=tenants)
    assert [weir.get().status for _ in range(5)] == [200] * 5
    change(weir, tenants={**tenants, "default": {"rate": "1/m", "burst": 1}})
    hang_up(weir)
    assert eventually(lambda: weir.get().status == 429)


def test_the_cache_shrinks_to_its_new_size(start_weir, start_app):
    weir = start_weir(start_app(reply(200, b"." * 20000, "Cache-Control: max-age=60")), cache={"memory": "8MiB"})
    for number in range(100):
        weir.get(f"/{number}")
    assert status(weir)["cache"]["bytes"] > 1 << 20
    change(weir, cache={"memory": "1MiB"})
    hang_up(weir)
    eventually(lambda: weir.get("/more").status == 200 and status(weir)["cache"]["bytes"] <= 1 << 20)


def test_what_takes_a_restart_is_told(start_weir, app):
    weir = start_weir(app)
    change(weir, workers=2, admin=f"127.0.0.1:{free_port()}")
    hang_up(weir)
    eventually(lambda: "restart" in weir.log())
    assert weir.get().status == 200


def test_a_hundred_reloads_leak_nothing(start_weir, app):
    weir = start_weir(app, workers=2, routes=[{"path": "/x", "cache": {"ttl": "1s"}}])

    def reload_ten():
        for _ in range(10):
            tell(weir, "/api/reload", {})
            assert weir.get().status == 200

    for _ in range(2):
        reload_ten()
    descriptors, resident = weir.descriptors(), weir.rss()
    for _ in range(10):
        reload_ten()
    eventually(lambda: weir.descriptors() <= descriptors + 4, why=f"{weir.descriptors()} descriptors after {descriptors}")
    if not SANITIZED:
        assert weir.rss() <= resident + (4 << 20)


def test_reloads_all_at_once_are_one_after_the_other(start_weir, app):
    weir = start_weir(app, workers=2)
    with Load(weir, clients=4) as load:
        for _ in range(50):
            weir.process.send_signal(signal.SIGHUP)
        load.wait_for(100)
    assert not load.failures, load.failures[:3]
    hang_up(weir)
