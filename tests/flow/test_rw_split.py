"""Reads on replicas, writes on the primary, and who has just written reads what he wrote."""

import itertools
import threading

import pytest
from harness import App, eventually, patience, reply
from stories import cache_status, is_hit, named, status, tell

PLUGIN = {"name": "rw_split", "window": "1h"}


class Trio:
    """A primary and two replicas; each answers with its name."""

    def __init__(self, answer=named):
        self.primary = App(answer("primary"))
        self.replicas = [App(answer(f"replica{number}")) for number in (1, 2)]
        self.all = [self.primary, *self.replicas]

    def config(self, *plugins, **more):
        upstream = {"primary": [self.primary.address], "replicas": [replica.address for replica in self.replicas], **more}
        if plugins:
            upstream["plugins"] = list(plugins)
        return {"upstreams": {"app": upstream}}

    def close(self):
        for app in self.all:
            app.close()


@pytest.fixture
def start(start_weir):
    """start(*plugins, answer=..., upstream={}, **config): weir in front of a trio, which is weir.trio."""
    trios = []

    def start(*plugins, answer=named, upstream=None, **config):
        trio = Trio(answer)
        trios.append(trio)
        weir = start_weir(**trio.config(*plugins, **(upstream or {})), **config)
        weir.trio = trio
        return weir

    yield start
    for trio in trios:
        trio.close()


def get(weir, target="/x", *fields, method="GET"):
    with weir.wire() as wire:
        wire.request(method, target, *fields, body=b"{}" if method in ("POST", "PUT", "PATCH") else None)
        return wire.reply(method)


def who(weir, *fields, method="GET"):
    answer = get(weir, "/x", *fields, method=method)
    assert answer.status == 200, answer
    return answer["x-app"]


def readers(weir, *fields, count=20):
    return {who(weir, *fields) for _ in range(count)}


def write(weir, *fields, method="POST"):
    """A write; returns what its client must send to be believed: (header, cookie)."""
    answer = get(weir, "/x", *fields, method=method)
    assert answer.status == 200 and answer["x-app"] == "primary", answer
    token = answer["weir-position"]
    cookie = answer["set-cookie"]
    assert token and cookie.startswith(f"weir_position={token};"), answer
    return f"Weir-Position: {token}", f"Cookie: {cookie.split(';')[0]}"


def test_reads_go_to_replicas_and_all_of_them_read(start):
    weir = start(PLUGIN)
    assert readers(weir) == {"replica1", "replica2"}
    assert who(weir, method="HEAD") in ("replica1", "replica2")
    assert who(weir, method="OPTIONS") in ("replica1", "replica2")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_all_else_goes_to_the_primary(start, method):
    weir = start(PLUGIN)
    assert {who(weir, method=method) for _ in range(5)} == {"primary"}


def test_an_upstream_with_replicas_gets_it_by_itself(start):
    weir = start()
    assert readers(weir) == {"replica1", "replica2"}
    assert who(weir, method="POST") == "primary"
    header, _ = write(weir)
    assert readers(weir, header, count=5) == {"primary"}


def test_a_write_is_read_back_by_header_and_by_cookie(start):
    weir = start(PLUGIN)
    header, cookie = write(weir)
    assert readers(weir, header) == {"primary"}
    assert readers(weir, cookie) == {"primary"}
    assert readers(weir, f"{cookie}; theme=dark") == {"primary"}
    assert "primary" not in readers(weir), "others go on reading from replicas"


def test_the_cookie_is_a_careful_one(start):
    answer = get(start(PLUGIN), method="POST")
    words = {word.strip().lower() for word in answer["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= words
    assert "secure" not in words, "this was plain HTTP"


def test_the_window_ends(start):
    weir = start({"name": "rw_split", "window": "1s"})
    header, _ = write(weir)
    assert who(weir, header) == "primary"
    assert eventually(lambda: who(weir, header) != "primary")


def test_reads_carry_no_token(start):
    answer = get(start(PLUGIN))
    assert "weir-position" not in answer and "set-cookie" not in answer


def test_the_app_never_sees_the_token(start):
    weir = start(PLUGIN)
    header, cookie = write(weir)
    get(weir, "/x", header, f"{cookie}; theme=dark")
    get(weir, "/x", header, cookie)
    for app in weir.trio.all:
        for request in app.requests:
            assert b"weir_position" not in request.head and b"Weir-Position" not in request.head, request
    assert any(request["cookie"] == "theme=dark" for request in weir.trio.primary.requests)


def test_the_apps_own_position_is_not_for_clients(start):
    weir = start(PLUGIN, answer=lambda name: reply(200, b"x", f"X-App: {name}", "Weir-Position: 16/B374D848"))
    assert "16/B374D848" not in (get(weir, method="POST")["weir-position"] or "")
    assert "weir-position" not in get(weir)


@pytest.mark.parametrize("change", [
    lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"), lambda token: ("A" if token[0] != "A" else "B") + token[1:], lambda token: token[:-4],
    lambda token: token + "x", lambda token: "9" * len(token), lambda token: "", lambda token: token * 50])
def test_a_forged_token_is_ignored(start, change):
    weir = start(PLUGIN)
    token = change(write(weir)[0].split(": ")[1])
    assert "primary" not in readers(weir, f"Weir-Position: {token}", count=4)
    assert "primary" not in readers(weir, f"Cookie: weir_position={token}", count=4)


def test_another_tenants_token_is_ignored(start):
    weir = start(PLUGIN, tenants={"from": [{"header": "X-Tenant", "believe": "any"}]})
    header, cookie = write(weir, "X-Tenant: one")
    assert readers(weir, "X-Tenant: one", header, count=4) == {"primary"}
    assert "primary" not in readers(weir, "X-Tenant: two", header, count=4)
    assert "primary" not in readers(weir, "X-Tenant: two", cookie, count=4)


def test_tokens_of_shared_keys_are_believed_by_every_weir(start, start_weir):
    keyed = {**PLUGIN, "keys": ["a secret of sixteen bytes and more"]}
    one = start(keyed)
    header, _ = write(one)
    assert readers(start(keyed), header, count=4) == {"primary"}
    assert "primary" not in readers(start({**PLUGIN, "keys": ["another secret of sixteen bytes"]}), header, count=4)


def test_a_token_outlives_a_reload(start):
    weir = start(PLUGIN)
    header, _ = write(weir)
    tell(weir, "/api/reload", {})
    assert readers(weir, header, count=4) == {"primary"}


def test_a_failed_write_may_have_happened(start):
    weir = start(PLUGIN, answer=lambda name: reply(500, b"x", f"X-App: {name}"))
    assert get(weir, method="POST")["weir-position"]


# --- the cache must not hand out what is older than the write ---


def numbered(name):
    numbers = itertools.count(1)
    return lambda request: reply(200, f"{name} {next(numbers)}".encode(), "Cache-Control: max-age=60", f"X-App: {name}")


def filled(start, window="1s"):
    """A weir that has stored /item. A replica's reply may be a window old, and what was written before weir's start nobody knows."""
    weir = start({**PLUGIN, "window": window}, answer=numbered)
    eventually(lambda: is_hit(get(weir, "/item")), why="it is never stored")
    return weir


def test_the_cache_refuses_who_has_written_what_is_older_than_his_write(start):
    weir = filled(start)
    assert get(weir, "/item")["x-app"].startswith("replica")
    answer = get(weir, "/other", method="POST")
    header = f"Weir-Position: {answer['weir-position']}"
    own = get(weir, "/item", header)
    assert own["x-app"] == "primary" and not is_hit(own)
    assert cache_status(own).get("detail") == "read-your-writes"


def test_others_go_on_being_answered_from_the_cache(start):
    weir = filled(start)
    get(weir, "/other", method="POST")
    assert is_hit(get(weir, "/item"))


def test_a_writers_reply_is_not_stored_with_his_token(start):
    weir = start(PLUGIN, answer=numbered)
    header = f"Weir-Position: {get(weir, '/other', method='POST')['weir-position']}"
    get(weir, "/item", header)
    for answer in (get(weir, "/item"), get(weir, "/item")):
        assert "weir-position" not in answer and "set-cookie" not in answer


def test_weirs_cookie_is_no_credential(start):
    weir = start({"name": "rw_split", "window": "0s"}, answer=lambda name: reply(200, name.encode(), f"X-App: {name}"),
                 routes=[{"path": "/**", "cache": {"ttl": "60s"}}])
    answer = get(weir, "/other", method="POST")
    cookie = f"Cookie: {answer['set-cookie'].split(';')[0]}"
    assert eventually(lambda: is_hit(get(weir, "/item", cookie))), "stored, although a cookie came along"
    assert is_hit(get(weir, "/item"))


# --- servers that are gone ---


def test_a_replica_that_is_down_costs_no_read(start):
    weir = start(PLUGIN)
    weir.trio.replicas[0].close()
    assert readers(weir) == {"replica2"}
    assert {get(weir).status for _ in range(20)} == {200}


def test_without_replicas_the_primary_reads(start):
    weir = start(PLUGIN)
    for replica in weir.trio.replicas:
        replica.close()
    eventually(lambda: get(weir).status == 200, why="the first ones may find out, the others may not pay for it")
    answers = [get(weir) for _ in range(20)]
    assert [answer.status for answer in answers] == [200] * 20
    assert {answer["x-app"] for answer in answers} == {"primary"}


def test_without_a_primary_reads_go_on_and_writes_say_so(start):
    weir = start(PLUGIN)
    weir.trio.primary.close()
    assert readers(weir, count=10) == {"replica1", "replica2"}
    answer = get(weir, method="POST")
    assert answer.status in (502, 503), answer
    assert all(request.method == "GET" for replica in weir.trio.replicas for request in replica.requests)


def test_who_has_written_gets_an_error_rather_than_a_read_without_his_write(start):
    weir = start(PLUGIN)
    header, _ = write(weir)
    weir.trio.primary.close()
    assert get(weir, "/x", header).status in (502, 503)


def test_what_servers_tell_weir_is_not_for_clients(start):
    weir = start(PLUGIN, answer=lambda name: reply(200, b"x", "Weir-Replay: primary", "Weir-Purge: a b", "Weir-Position: 1"))
    assert not {"weir-replay", "weir-purge", "weir-position"} & set(get(weir).names())


def test_a_drained_replica_gets_nothing_new(start):
    weir = start(PLUGIN)
    gone = weir.trio.replicas[0]
    tell(weir, f"/api/upstreams/app/servers/{gone.address}", {"state": "drain"})
    gone.forget()
    assert readers(weir) == {"replica2"}
    assert gone.requests == []
    tell(weir, f"/api/upstreams/app/servers/{gone.address}", {"state": "up"})
    assert eventually(lambda: "replica1" in readers(weir, count=4))


def test_health_checks_take_a_replica_out_and_in_again(start):
    is_ill = threading.Event()

    def answer(name):
        def healthy(request):
            if request.target == "/healthz" and name == "replica1" and is_ill.is_set():
                return reply(500, b"ill")
            return named(name)(request)

        return healthy

    weir = start(PLUGIN, answer=answer, upstream={"health": {"path": "/healthz", "interval": "100ms", "timeout": "2s", "rise": 1, "fall": 2}})
    ill = weir.trio.replicas[0].address

    def is_usable():
        servers = status(weir)["upstreams"][0]["servers"]
        return next(server["usable"] for server in servers if server["address"] == ill)

    eventually(is_usable)
    is_ill.set()
    eventually(lambda: not is_usable(), within=patience(5))
    assert readers(weir, count=10) == {"replica2"}
    is_ill.clear()
    eventually(is_usable, within=patience(5))
    assert eventually(lambda: "replica1" in readers(weir, count=4))


def test_the_log_says_which_role_answered(start):
    weir = start(PLUGIN)
    get(weir, "/read")
    get(weir, "/write", method="POST")
    assert weir.access(target="/read")["role"] == "replica"
    assert weir.access(target="/write")["role"] == "primary"
