"""The admin address: probes, metrics, status, latency, changes, and whom it lets in."""

import json
import re
import subprocess
import threading

import pytest
from harness import App, Wire, eventually, patience, reply
from harness.weir import BINARY
from stories import ask, metrics, status, tell, total


@pytest.fixture(scope="module")
def app():
    app = App(lambda request: reply(404 if request.target == "/none" else 200, b"x", "Cache-Control: max-age=60" if request.target == "/kept" else
                                    "Cache-Control: no-store"))
    yield app
    app.close()


@pytest.fixture(scope="module")
def weir(module_weirs, app):
    return module_weirs.start(app, routes=[{"name": "items", "path": "/items/**"}],
                              tenants={"from": [{"header": "X-Tenant", "believe": "any"}], "unknown": "default"})


# --- probes ---


def test_it_lives_and_is_ready(weir):
    assert ask(weir, "GET", "/livez").status == 200
    assert ask(weir, "GET", "/readyz").status == 200
    assert ask(weir, "HEAD", "/readyz").status == 200


def test_without_a_usable_upstream_it_lives_but_is_not_ready(start_weir, start_app):
    ill = start_app(reply(500, b"ill"))
    weir = start_weir(ill, upstream={"health": {"path": "/healthz", "interval": "100ms", "rise": 1, "fall": 1}})
    eventually(lambda: ask(weir, "GET", "/readyz").status == 503)
    assert ask(weir, "GET", "/livez").status == 200
    ill.answer = reply(200, b"well")
    eventually(lambda: ask(weir, "GET", "/readyz").status == 200)


def test_while_draining_it_is_not_ready(start_weir, start_app):
    held, go = threading.Event(), threading.Event()

    def answer(_request):
        held.set()
        go.wait(patience(30))
        return reply(200, b"x")

    weir = start_weir(start_app(answer))
    with weir.wire() as wire:
        wire.request()
        assert held.wait(patience(10))
        tell(weir, "/api/drain", {})
        eventually(lambda: ask(weir, "GET", "/readyz").status == 503)
        assert ask(weir, "GET", "/livez").status == 200
        go.set()
        assert wire.reply().status == 200


# --- metrics ---

FAMILIES = """weir_requests_total weir_request_seconds weir_stage_seconds weir_overhead_seconds weir_cache_hits_total weir_cache_misses_total
weir_cache_stale_total weir_cache_collapsed_total weir_cache_stored_total weir_cache_evicted_total weir_cache_purged_total weir_cache_bytes
weir_cache_expired_total weir_cache_invalidated_total weir_cache_revalidated_total weir_cache_refreshed_total weir_cache_stood_in_total
weir_leak_checks_total weir_second_tier_total weir_second_tier_usable weir_fleet_connected weir_fleet_trusted weir_fleet_nodes weir_fleet_sequence
weir_fleet_pending weir_fleet_distrusts_total
weir_upstream_requests_total weir_upstream_inflight weir_upstream_limit weir_upstream_queued weir_shed_total weir_replica_lag_seconds
weir_connections""".split()


def test_every_type_is_there_from_the_start(start_weir, app):
    text = ask(start_weir(app), "GET", "/metrics")
    assert text["content-type"].startswith("text/plain")
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text.body.decode(), re.M))
    assert set(FAMILIES) <= set(types)
    assert types["weir_requests_total"] == "counter" and types["weir_request_seconds"] == "histogram" and types["weir_connections"] == "gauge"


def test_the_text_is_in_prometheus_form(weir):
    weir.get("/items/1")
    text = ask(weir, "GET", "/metrics").body.decode()
    assert text.endswith("\n")
    seen, declared = set(), None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            declared = line.split()[2]
            assert declared not in seen, "each family once"
            seen.add(declared)
        elif not line.startswith("#"):
            assert re.match(rf"{declared}(_bucket|_sum|_count)?[{{ ]", line), line
    metrics(weir)


def test_counters_move_with_the_requests(weir):
    before = metrics(weir)
    for target in ("/items/1", "/kept", "/kept", "/none"):
        weir.get(target, "X-Tenant: mover")
    after = before

    def moved(name, **labels):
        return total(after, name, **labels) - total(before, name, **labels)

    def all_are_counted():  # a request is counted when it is over, which may be after its answer is here
        nonlocal after
        after = metrics(weir)
        return moved("weir_requests_total", tenant="mover") >= 4

    eventually(all_are_counted)
    assert moved("weir_requests_total", tenant="mover") == 4
    assert moved("weir_requests_total", tenant="mover", route="items") == 1
    assert moved("weir_requests_total", tenant="mover", code="404") == 1
    assert moved("weir_requests_total", tenant="mover", outcome="hit") == 1
    assert moved("weir_request_seconds_count") >= 4
    assert moved("weir_cache_hits_total") == 1
    assert moved("weir_upstream_requests_total", upstream="app", role="primary") == 3
    assert total(after, "weir_connections") >= 0


@pytest.mark.parametrize("name", ["weir_request_seconds", "weir_overhead_seconds", "weir_stage_seconds"])
def test_histograms_add_up(weir, name):
    for _ in range(10):
        weir.get("/items/1")
    found = metrics(weir)
    labels = {"stage": "lookup"} if name == "weir_stage_seconds" else {}
    buckets = sorted((float(dict(has)["le"].replace("+Inf", "inf")), value) for (key, has), value in found.items()
                     if key == name + "_bucket" and set(labels.items()) <= set(has))
    counts = [value for _, value in buckets]
    assert counts == sorted(counts) and buckets[-1][0] == float("inf")
    assert counts[-1] == total(found, name + "_count", **labels) >= 10
    assert 0 < total(found, name + "_sum", **labels) < 60


def test_labels_are_bounded(start_weir, app):
    weir = start_weir(app, tenants={"from": [{"header": "X-Tenant", "believe": "any"}]})
    with weir.wire() as wire:
        for number in range(300):
            wire.request("GET", "/", f"X-Tenant: t{number}")
            assert wire.reply().status == 200
    found = metrics(weir)
    tenants = {dict(labels)["tenant"] for (name, labels) in found if name == "weir_requests_total"}
    assert len(tenants) <= 110 and "_other" in tenants
    assert total(found, "weir_requests_total") == 300, "nobody is lost"


def test_a_shed_request_is_counted(start_weir, app):
    weir = start_weir(app, tenants={"from": [{"header": "X-Tenant", "believe": "any"}], "named": {"tiny": {"rate": "1/m", "burst": 1}}})
    for _ in range(3):
        weir.get("/", "X-Tenant: tiny")
    assert eventually(lambda: total(metrics(weir), "weir_shed_total", tenant="tiny", reason="tenant-rate") == 2)


# --- latency ---


def rows(weir, query=""):
    answer = ask(weir, "GET", f"/api/latency{query}")
    assert answer.status == 200, answer
    return answer.json()["rows"]


def test_latency_rows_are_within_sane_bounds(start_weir, start_app):
    pause = threading.Event()

    def answer(request):
        if request.target == "/items/slow":
            pause.wait(0.2)  # what is measured here is time itself
        return reply(200, b"x")

    weir = start_weir(start_app(answer), routes=[{"name": "items", "path": "/items/**"}])
    for _ in range(20):
        weir.get("/items/fast")
    for _ in range(3):
        weir.get("/items/slow")
    found = [row for row in rows(weir, "?route=items") if row["count"]]
    assert len(found) == 1, found
    row = found[0]
    assert set(row) >= {"tenant", "version", "route", "stage", "count", "p50", "p90", "p99", "p999", "max"}
    assert (row["route"], row["stage"], row["tenant"], row["count"]) == ("items", "total", "default", 23)
    assert 0 < row["p50"] <= row["p90"] <= row["p99"] <= row["p999"] <= row["max"] * 1.011
    assert row["p50"] < 0.15 and 0.19 <= row["max"] < 20


def test_stages_are_rows_of_their_own_and_less_than_the_whole(weir):
    for _ in range(5):
        weir.get("/items/1", "X-Tenant: staged")
    whole = next(row for row in rows(weir, "?tenant=staged&route=items") if row["count"])
    for stage in ("head", "admit", "lookup", "first_byte", "write"):
        found = [row for row in rows(weir, f"?tenant=staged&route=items&stage={stage}") if row["count"]]
        assert found and found[0]["stage"] == stage, stage
        assert 0 <= found[0]["p50"] <= whole["max"] * 1.011


def test_latency_of_nobody_is_empty(weir):
    assert rows(weir, "?tenant=nobody-of-that-name") == []


# --- status ---


def test_status_says_what_runs(weir, app):
    found = status(weir)
    assert found["config"]["generation"] >= 1
    assert found["config"]["file"] == str(weir.file)
    assert re.match(r"\d{4}-\d\d-\d\dT", found["config"]["loaded_at"])
    assert found["upstreams"][0]["name"] == "app"
    assert found["upstreams"][0]["servers"][0]["address"] == app.address
    assert found["overrides"] == []


def test_status_of_a_tenant(weir):
    weir.get("/items/1", "X-Tenant: asked")
    answer = ask(weir, "GET", "/api/tenants/asked")
    assert answer.status == 200 and json.loads(answer.body)
    assert ask(weir, "GET", "/api/tenants/nobody-of-that-name").status in (200, 404)


# --- changes ---


def test_a_drained_server_finishes_and_gets_nothing_new(start_weir, start_app):
    held, go = threading.Event(), threading.Event()

    def slow(_request):
        held.set()
        go.wait(patience(30))
        return reply(200, b"slow")

    one, two = start_app(slow), start_app(reply(200, b"two"))
    weir = start_weir([one, two], upstream={"balance": "round_robin"})
    tell(weir, f"/api/upstreams/app/servers/{two.address}", {"state": "down"})
    with weir.wire() as wire:
        wire.request()
        assert held.wait(patience(10))
        tell(weir, f"/api/upstreams/app/servers/{two.address}", {"state": "up"})
        tell(weir, f"/api/upstreams/app/servers/{one.address}", {"state": "drain"})
        assert [weir.get(f"/{number}").body for number in range(5)] == [b"two"] * 5
        go.set()
        assert wire.reply().body == b"slow"
    assert any(row.get("server") == one.address and row["state"] == "drain" for row in status(weir)["overrides"])
    tell(weir, "/api/reload", {})
    assert [weir.get().body for _ in range(5)] == [b"two"] * 5, "it survives a reload"
    tell(weir, f"/api/upstreams/app/servers/{one.address}", {"state": "up"})
    assert status(weir)["overrides"] == []


def test_the_cache_is_in_the_status(weir):
    weir.get("/kept")
    cache = status(weir)["cache"]
    assert cache["memory"] > 0 and cache["objects"] >= 1 and 0 < cache["bytes"] <= cache["memory"]
    assert {"hits", "misses", "stale", "stood_in", "revalidated", "refreshed", "purged", "expired", "invalidated"} <= set(cache)
    assert cache["redis"] is None and cache["quarantined"] == []


def test_a_purge_says_how_many_went(weir):
    weir.get("/kept", "X-Tenant: buyer")
    url = {"tenant": "buyer", "url": "http://test/kept"}
    assert tell(weir, "/api/purge", url) == {"purged": 1, "soft": False}
    assert tell(weir, "/api/purge", url) == {"purged": 0, "soft": False}
    weir.get("/kept", "X-Tenant: buyer")
    assert tell(weir, "/api/purge", {"prefix": "/ke", "tenant": "buyer", "soft": True}) == {"purged": 1, "soft": True}
    assert tell(weir, "/api/purge", {"all": True, "tenant": "buyer"}) == {"purged": 1, "soft": False}
    assert "admin: purged 1 (soft): below /ke of buyer" in weir.log()


@pytest.mark.parametrize("body", [
    {"all": True, "tag": "a"}, {"tag": ""}, {"tag": "a b"}, {"tag": "x" * 257}, {"prefix": "items"}, {"prefix": "ftp://a/"}, {"url": "http://a/x"},
    {"all": True, "soft": "yes"}, {"all": True, "hard": True}, {"all": True, "tenant": "a b"}, {"soft": True}])
def test_a_purge_that_makes_no_sense_is_400(weir, body):
    answer = ask(weir, "POST", "/api/purge", body=body)
    assert answer.status == 400 and answer.json()["detail"], answer


@pytest.mark.parametrize("path, body, code", [
    ("/api/upstreams/none/servers/127.0.0.1:1", {"state": "up"}, 404), ("/api/upstreams/app/servers/127.0.0.1:1", {"state": "up"}, 404),
    ("/api/nothing", {}, 404), ("/api/status", {}, 405), ("/api/purge", b"{", 400), ("/api/purge", b"[]", 400), ("/api/purge", b"", 400)])
def test_what_makes_no_sense_is_a_problem(weir, path, body, code):
    answer = ask(weir, "POST", path, body=body)
    assert answer.status == code, answer
    assert answer["content-type"] == "application/problem+json" and answer.json()["status"] == code


def test_a_reload_by_post_says_the_mistakes(start_weir, app):
    weir = start_weir(app)
    assert tell(weir, "/api/reload", {}) == {"generation": 2, "warnings": []}
    weir.file.write_text("upstream: {}\n")
    answer = ask(weir, "POST", "/api/reload", body={})
    assert answer.status == 422
    assert any(":1:1: " in mistake for mistake in answer.json()["mistakes"])
    assert status(weir)["config"]["generation"] == 2 and weir.get().status == 200


def test_a_reload_says_what_takes_a_restart(start_weir, app):
    weir = start_weir(app)
    config = json.loads(weir.file.read_text())
    weir.file.write_text(json.dumps(config | {"workers": 7, "admin": "127.0.0.1:1"}))
    for generation in (2, 3):  # as long as it is so
        answer = tell(weir, "/api/reload", {})
        assert answer["generation"] == generation
        assert any("workers: 7 takes a restart" in line for line in answer["warnings"]), answer
        assert any("admin: another address takes a restart" in line for line in answer["warnings"]), answer
    assert "warn" in weir.log() and "workers: 7 takes a restart" in weir.log()
    admin = weir.admin if isinstance(weir.admin, str) else "%s:%d" % weir.admin
    done = subprocess.run([BINARY, "reload", "--admin", admin], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and "generation 4" in done.stdout and "workers: 7 takes a restart" in done.stderr, done


def luminance(color):
    parts = [int(color[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_words_on_the_dashboard_can_be_read(weir):
    """WCAG 2.2, 1.4.3: 4.5 to 1, on a browser's white and on its black."""
    light, dark = (dict(re.findall(r"--(\w+): (#[0-9a-f]+);", rules))
                   for rules in re.findall(r":root \{(.*?)\}", ask(weir, "GET", "/").body.decode())[:2])
    for colors, page in ((light, "#ffffff"), (dark, "#1c1b22")):
        for name in ("soft", "good", "bad", "warm"):
            low, high = sorted((luminance(colors[name]), luminance(page)))
            assert len(colors[name]) == 7 and (high + 0.05) / (low + 0.05) >= 4.5, f"--{name}: {colors[name]} on {page}"


# --- whom it lets in ---


@pytest.mark.parametrize("host", ["localhost", "localhost:9900", "127.0.0.1", "127.0.0.1:1", "[::1]:9900", "10.1.2.3"])
def test_literal_hosts_are_let_in(weir, host):
    assert ask(weir, "GET", "/api/status", host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example.com", "localhost.evil.example.com", "127.0.0.1.evil.example.com"])
def test_other_hosts_are_not(weir, host):
    for method, path, body in (("GET", "/api/status", None), ("GET", "/metrics", None), ("POST", "/api/purge", {"all": True})):
        answer = ask(weir, method, path, body=body, host=host)
        assert answer.status in (400, 403, 421), answer


def test_a_post_needs_json_and_no_foreign_origin(weir):
    def post(*fields, body=b'{"all": true}'):
        with Wire(weir.admin) as wire:
            wire.request("POST", "/api/purge", *fields, body=body, host="127.0.0.1")
            return wire.reply().status

    assert post("Content-Type: application/json") == 200
    assert post("Content-Type: application/json; charset=utf-8") == 200
    assert post() in (400, 403, 415)
    assert post("Content-Type: text/plain") in (400, 403, 415)
    assert post("Content-Type: application/x-www-form-urlencoded") in (400, 403, 415)
    assert post("Content-Type: application/json", "Origin: http://evil.example.com") == 403
    assert post("Content-Type: application/json", "Origin: null") == 403
    assert post("Content-Type: application/json", "Origin: http://127.0.0.1") == 200


def test_a_token_is_asked_for_but_not_by_probes(start_weir, app):
    weir = start_weir(app, admin={"address": "127.0.0.1:0", "token": "a very long secret token"})
    for path in ("/livez", "/readyz"):
        assert ask(weir, "GET", path).status == 200
    for path in ("/metrics", "/api/status", "/api/latency"):
        refused = ask(weir, "GET", path)
        assert refused.status == 401 and "Bearer" in refused["www-authenticate"]
        assert ask(weir, "GET", path, "Authorization: Bearer wrong").status == 401
        assert ask(weir, "GET", path, "Authorization: Bearer a very long secret token").status == 200
    assert ask(weir, "POST", "/api/purge", body={"all": True}).status == 401
    assert ask(weir, "POST", "/api/purge", "Authorization: Bearer a very long secret token", body={"all": True}).status == 200
    assert "a very long secret token" not in weir.log()


def test_the_admin_address_may_be_a_socket_file(start_weir, app, tmp_path):
    weir = start_weir(app, admin=f"unix:{tmp_path}/admin.sock")
    weir.admin = str(tmp_path / "admin.sock")
    assert ask(weir, "GET", "/readyz").status == 200
    assert (tmp_path / "admin.sock").stat().st_mode & 0o022 == 0, "not for everyone"


def test_bad_bytes_do_not_hurt_it(weir):
    for junk in (b"\r\n\r\n", b"GET /livez\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"A" * 70000,
                 b"POST /api/purge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
                 b"POST /api/purge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
        with Wire(weir.admin) as wire:
            wire.send_while_taken(junk)
            wire.half_close()
            try:
                while wire.socket.recv(65536):
                    pass
            except ConnectionError:
                pass
    assert ask(weir, "GET", "/livez").status == 200


def test_the_dashboard_is_one_page_that_loads_nothing_from_elsewhere(weir):
    page = ask(weir, "GET", "/")
    assert page.status == 200 and page["content-type"].startswith("text/html")
    assert not re.search(rb"(src|href)=[\"']?(https?:)?//", page.body)
    assert "content-security-policy" in page
