"""The access log: one JSON line a request, with what was decided and how long each stage took; and that it never holds anyone up."""

import json
import os
import signal
import threading

import pytest
from harness import App, eventually, patience, reply
from stories import Load, metrics, named

FIELDS = {"time", "request_id", "client", "status", "outcome", "bytes", "seconds", "method", "host", "target", "stages"}


@pytest.fixture(scope="module")
def app():
    app = App(lambda request: reply(200, b"12345", "Cache-Control: max-age=60" if request.target.startswith("/kept") else "Cache-Control: no-store"))
    yield app
    app.close()


def lines_of(path):
    """The whole lines: a reader may come in the middle of a write, and see its first page alone."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def wait_for_lines(path, count):
    return eventually(lambda: path.exists() and path.read_text().count("\n") >= count and lines_of(path))


def test_a_line_says_what_was_asked_and_what_was_decided(start_weir, app):
    weir = start_weir(app, routes=[{"name": "items", "path": "/items/**"}], tenants={"from": [{"header": "X-Tenant", "believe": "any"}]},
                      versions={"from": [{"header": "V"}], "default": "v1", "known": {"v1": {}}})
    answer = weir.get("/items/1?x=\"y", "X-Tenant: acme")
    line = weir.access(target="/items/1?x=\"y")
    assert FIELDS <= set(line)
    assert line["request_id"] == answer["x-request-id"]
    assert (line["method"], line["status"], line["bytes"], line["host"], line["client"]) == ("GET", 200, 5, "test", "127.0.0.1")
    assert (line["tenant"], line["version"], line["route"]) == ("acme", "v1", "items")
    assert (line["upstream"], line["server"], line["role"], line["attempts"]) == ("app", app.address, "primary", 1)
    assert line["outcome"] in ("miss", "pass") and line["cache"] == "uri-miss"
    assert 0 < line["seconds"] < 30 and abs(line["time"] - os.stat(weir.stderr).st_mtime) < 60
    assert {"head", "admit", "lookup", "first_byte", "write"} <= set(line["stages"])
    assert all(0 <= seconds <= line["seconds"] * 1.5 + 0.001 for seconds in line["stages"].values())


def test_a_hit_says_so_and_names_no_server(start_weir, app):
    weir = start_weir(app)
    weir.get("/kept")
    weir.get("/kept")
    eventually(lambda: len(weir.accesses()) == 2)
    miss, hit = weir.accesses()
    assert (miss["outcome"], miss["cache"], miss["stored"]) == ("miss", "uri-miss", True)
    assert (hit["outcome"], hit["cache"]) == ("hit", "hit") and "server" not in hit


@pytest.mark.parametrize("raw, status, reason", [
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-host"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "bad-content-length"),
    (b"nonsense\r\n\r\n", 400, "bad-request-line")])
def test_what_is_refused_is_logged_with_its_reason(start_weir, app, raw, status, reason):
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send(raw)
        assert wire.reply().status == status
    line = weir.access(reason=reason)
    assert line["status"] == status and line["outcome"] == "refused"


def test_the_apps_failure_has_its_reason(start_weir, start_app):
    weir = start_weir(start_app(lambda request: None), upstream={"retries": {"attempts": 0}})
    weir.get("/x")
    line = weir.access(target="/x")
    assert (line["status"], line["reason"], line["outcome"]) == (502, "upstream-closed", "failed")


def test_what_clients_send_stays_within_its_line(start_weir, app):
    weir = start_weir(app)
    target = "/" + "a" * 3000 + "%0A%22%7D"
    weir.get(target)
    with weir.wire() as wire:
        wire.request("X" * 200, "/method")
        wire.reply()
    eventually(lambda: len(weir.accesses()) == 2)
    lines = weir.accesses()
    assert all(set(line) >= FIELDS for line in lines)
    assert lines[0]["target"].startswith("/aaa") and len(lines[0]["target"]) <= 3010


def test_secrets_are_not_logged(start_weir, app):
    weir = start_weir(app)
    weir.get("/x", "Authorization: Bearer the-secret", "Cookie: session=the-secret")
    weir.access(target="/x")
    assert "the-secret" not in weir.log()


def test_off_is_off(start_weir, app):
    weir = start_weir(app, log={"access": "off"})
    weir.get("/x")
    weir.process.send_signal(signal.SIGTERM)
    weir.is_asked_to_stop = True
    assert weir.process.wait(patience(20)) == 0
    assert weir.accesses() == []


def test_each_request_is_one_line_also_under_load(start_weir, app, tmp_path):
    path = tmp_path / "access.log"
    weir = start_weir(app, workers=2, log={"path": str(path)})
    with Load(weir, clients=8, target="/load") as load:
        load.wait_for(1000)
    assert not load.failures
    lines = wait_for_lines(path, load.answers)
    assert len(lines) == load.answers
    assert len({line["request_id"] for line in lines}) == load.answers


@pytest.mark.parametrize("how", ["SIGUSR1", "SIGHUP"])
def test_a_rotated_file_is_opened_anew_and_no_line_is_lost(start_weir, app, tmp_path, how):
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    weir = start_weir(app, workers=2, log={"path": str(path)})
    with Load(weir, clients=4, target="/load") as load:
        load.wait_for(200)
        path.rename(old)
        weir.process.send_signal(getattr(signal, how))
        eventually(path.exists)
        load.wait_for(200)
    assert not load.failures
    eventually(lambda: len(lines_of(old)) + len(lines_of(path)) >= load.answers)
    assert len(lines_of(old)) >= 1 and len(lines_of(path)) >= 1
    ids = [line["request_id"] for line in lines_of(old) + lines_of(path)]
    assert len(set(ids)) == len(ids) == load.answers


def test_a_full_pipe_loses_lines_and_no_requests(start_weir, app, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        weir = start_weir(app, log={"path": str(path)})
        with Load(weir, clients=8, target="/kept/" + "x" * 900) as load:
            load.wait_for(4000)  # some 5 MB of lines; a pipe holds 64 KiB, a worker's ring a little more
        assert not load.failures, load.failures[:3]
        assert weir.get("/x").status == 200
        assert len(os.read(reader, 1 << 20)) > 0
    finally:
        os.close(reader)


def test_a_reader_that_went_away_is_nobodys_failure(start_weir, app, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    weir = start_weir(app, log={"path": str(path)})
    weir.get("/x")
    os.close(reader)
    with Load(weir, clients=4, target="/x") as load:
        load.wait_for(500)
    assert not load.failures, load.failures[:3]
    assert weir.is_running()


def test_a_disk_that_is_full_is_nobodys_failure(start_weir, app):
    weir = start_weir(app, log={"path": "/dev/full"})
    with Load(weir, clients=4, target="/x") as load:
        load.wait_for(500)
    assert not load.failures, load.failures[:3]
    assert metrics(weir)


def test_a_log_that_cannot_be_opened_is_named_at_the_start(start_weir, app, tmp_path):
    with pytest.raises(AssertionError) as error:
        start_weir(app, log={"path": f"{tmp_path}/no/such/folder/access.log"})
    assert "no/such/folder/access.log" in str(error.value)


def test_an_aborted_request_is_logged_as_such(start_weir, start_app):
    held, go = threading.Event(), threading.Event()

    def answer(request):
        held.set()
        go.wait(patience(30))
        return named("late")(request)

    weir = start_weir(start_app(answer))
    wire = weir.wire()
    wire.request("GET", "/gone")
    assert held.wait(patience(10))
    wire.reset()
    line = weir.access(target="/gone")
    go.set()
    assert line["outcome"] == "aborted"


# --- weir's own log ---


def news(weir):
    return [line for line in weir.log().splitlines() if " upstream app: " in line]


def test_a_server_that_goes_out_and_comes_back_is_a_line_each(start_weir, start_app):
    app = start_app(reply(200, b"well"))
    weir = start_weir(app, upstream={"health": {"path": "/healthz", "interval": "100ms", "rise": 1, "fall": 2}})
    eventually(lambda: len(app.requests) > 2)
    assert news(weir) == []
    app.answer = reply(503, b"ill")
    eventually(lambda: news(weir))
    assert f" warn upstream app: primary {app.address} is out: its health check says 503" in news(weir)[0]
    app.answer = reply(200, b"well")
    eventually(lambda: len(news(weir)) > 1)
    assert f" info upstream app: primary {app.address} is back after " in news(weir)[1]


def test_a_server_that_traffic_takes_out_is_a_line(start_weir, start_app):
    """And the last one of its role, which stays in, is as well."""
    app = start_app()
    app.close()
    weir = start_weir(app, upstream={"retries": {"attempts": 0}})
    for _ in range(8):
        assert weir.get().status == 502
    eventually(lambda: news(weir))
    assert "fails, and stays in for want of another: 3 requests in a row failed, the last one with connect-refused" in news(weir)[0]
    assert len(news(weir)) == 1


def test_a_name_that_cannot_be_resolved_is_a_line(start_weir):
    name = "a" * 70 + ".invalid:80"  # a label that is too long: no name server is asked
    weir = start_weir(upstreams={"app": {"primary": [name]}})
    eventually(lambda: news(weir))
    assert f" warn upstream app: {name}: this name cannot be resolved" in news(weir)[0]


def test_warnings_of_the_config_are_in_the_log(start_weir, app):
    weir = start_weir(upstreams={"app": {"primary": [app.address], "replicas": [app.address.replace("127.0.0.1", "127.0.0.9")]},
                                 "old": {"primary": [app.address]}}, routes=[{"path": "/**", "upstream": "app"}])
    eventually(lambda: "upstream old has no rw_split" in weir.log())
