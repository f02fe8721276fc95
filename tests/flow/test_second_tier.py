"""The second tier: what one weir stored, another finds in Redis. Redis may be slow, dead, full, empty or lie: no client notices."""

import random
import subprocess
import threading
import time

import pytest
from fleets import Fleet, fleet_state, joined, sharing, tier_count
from harness import SANITIZED, eventually, patience, reply
from harness.redis import Liar, Redis
from harness.weir import BINARY
from stories import cache_status, is_hit, metrics, status, total

KEPT = "Cache-Control: max-age=600"
MIB = 1 << 20
TENANTS = {"from": [{"host": "{tenant}.api.example.com"}], "unknown": "default"}
ACME, OTHER = "acme.api.example.com", "other.api.example.com"


@pytest.fixture(scope="module")
def redis():
    with Redis() as redis:
        yield redis


@pytest.fixture(scope="module")
def fleet(module_weirs, redis):
    with Fleet(module_weirs.start, redis) as fleet:
        yield fleet


@pytest.fixture
def page(fleet):
    """A page that nobody else uses; the fleet's first weir is asked."""
    return fleet.at(0).page()


def fill(fleet, page, count=1, **options):
    """The first weir stores it, and `count` keys stand in Redis then."""
    answer = fleet.at(0).get(page, **options)
    assert answer.status == 200
    return fleet.stored(count, page)


# --- filled by one, found by another ---


def test_what_one_weir_stored_another_finds(fleet, page):
    page.says(KEPT, "ETag: \"1\"", "Content-Type: text/x-kept", "X-Own: a, b", "X-Own: c", body=b"the whole")
    before = tier_count(fleet.weirs[1], "hit")
    fill(fleet, page)
    found = fleet.at(1).get(page)
    assert (found.status, found.body) == (200, b"the whole")
    assert is_hit(found) and 590 <= int(cache_status(found)["ttl"]) <= 600 and 0 <= int(found["age"]) <= 10
    assert found["etag"] == "\"1\"" and found["content-type"] == "text/x-kept" and found.all("x-own") == ["a, b", "c"]
    assert found["via"] == "1.1 weir" and found["date"]
    assert len(page.requests) == 1 and tier_count(fleet.weirs[1], "hit") == before + 1
    assert is_hit(page.get()) and tier_count(fleet.weirs[1], "hit") == before + 1, "now it is in memory"


def test_a_condition_a_head_and_a_range_are_served_of_what_was_found(fleet, page):
    page.says(KEPT, "ETag: \"1\"", body=b"0123456789")
    fill(fleet, page)
    fleet.at(1)
    assert page.get("If-None-Match: \"1\"").status == 304
    head = page.ask("HEAD")
    assert is_hit(head) and head["content-length"] == "10"
    part = page.get("Range: bytes=2-4")
    assert part.status == 206 and part.body == b"234"
    assert len(page.requests) == 1


def test_variants_are_found_by_who_asks_for_them(fleet, page):
    page.answer = lambda request: reply(200, (request["accept-language"] or "-").encode(), KEPT, "Vary: Accept-Language")
    for language in ("de", "en"):
        page.get(f"Accept-Language: {language}")
    fleet.stored(3, page)  # two, and what they vary by
    fleet.at(1)
    for language in ("en", "de"):
        found = page.get(f"Accept-Language: {language}")
        assert is_hit(found) and found.body.decode() == language
    assert len(page.requests) == 2
    other = page.get("Accept-Language: fr")
    assert not is_hit(other) and other.body == b"fr" and len(page.requests) == 3
    fleet.stored(4, page)
    assert is_hit(fleet.at(0).get(page, "Accept-Language: fr")) and len(page.requests) == 3


@pytest.mark.parametrize("status", [200, 203, 301, 404, 410])
def test_every_status_that_is_stored(fleet, page, status):
    page.says(KEPT, "Location: /elsewhere", status=status)
    page.get()
    fleet.stored(1, page)
    found = fleet.at(1).get(page)
    assert found.status == status and is_hit(found) and found["location"] == "/elsewhere"


@pytest.mark.parametrize("fields, low, high", [
    (["Cache-Control: max-age=100"], 90, 100), (["Cache-Control: max-age=100", "Age: 40"], 50, 60),
    (["Cache-Control: max-age=100, stale-while-revalidate=50"], 140, 150), (["Cache-Control: max-age=100, stale-if-error=70"], 160, 170),
    (["Cache-Control: max-age=100, must-revalidate, stale-while-revalidate=50"], 90, 100), (["Cache-Control: max-age=9000000"], 3590, 3600)])
def test_it_leaves_redis_when_it_is_of_no_more_use(start_weir, redis, fields, low, high):
    with Fleet(start_weir, redis, 1, cache={"stale_if_error": "0s"}) as fleet:
        page = fleet.page().says(*fields)
        key, = fill(fleet, page)
        assert low * 1000 <= redis.ask("PTTL", key) <= high * 1000


def test_it_stays_while_it_may_stand_in_for_an_error(start_weir, redis):
    with Fleet(start_weir, redis, cache={"stale_if_error": "30m"}, upstream={"retries": {"attempts": 0}}) as fleet:
        page = fleet.page().says("Cache-Control: max-age=100", "Age: 100", "ETag: \"1\"")
        key, = fill(fleet, page)
        assert 1790 * 1000 <= redis.ask("PTTL", key) <= 1800 * 1000
        page.says("Cache-Control: no-store", status=503)
        assert fleet.at(1).get(page).body == b"1"


def test_a_stale_one_is_used_as_one_in_memory(fleet, page):
    page.says("Cache-Control: max-age=100, stale-while-revalidate=600", "Age: 100")
    fill(fleet, page)
    page.says(KEPT, body=b"new")
    found = fleet.at(1).get(page)
    assert found.body == b"1" and is_hit(found) and int(cache_status(found)["ttl"]) <= 0
    eventually(lambda: page.get().body == b"new")


def test_what_was_renewed_is_told_on(fleet, page):
    page.holds("Cache-Control: max-age=100", "Age: 100", etag="\"1\"", renewed=[KEPT])
    page.get()
    assert page.get().status == 200 and page.last["if-none-match"] == "\"1\""
    fleet.stored(1, page)
    found = fleet.at(1).get(page)
    assert is_hit(found) and found.body == b"the whole" and len(page.requests) == 2


def test_who_insists_on_the_app_gets_it(fleet, page):
    page.says(KEPT)
    fill(fleet, page)
    fleet.at(1)
    for number, field in enumerate(["no-cache", "no-store", "max-age=0"], 2):
        assert page.get(f"Cache-Control: {field}").body == b"%d" % number


def test_only_if_cached_is_answered_of_it(fleet, page):
    page.says(KEPT)
    fill(fleet, page)
    assert fleet.at(1).get(page, "Cache-Control: only-if-cached").body == b"1"
    assert len(page.requests) == 1


def test_fifty_who_ask_for_one_thing_ask_redis_once_or_so(fleet, page):
    page.says(KEPT)
    fill(fleet, page)
    weir = fleet.weirs[1]
    fleet.at(1)
    wires = [weir.wire() for _ in range(50)]
    try:
        before = tier_count(weir, "hit")
        for wire in wires:
            wire.request("GET", page.path)
        assert {wire.reply().body for wire in wires} == {b"1"}
    finally:
        for wire in wires:
            wire.close()
    assert len(page.requests) == 1 and tier_count(weir, "hit") <= before + 2


@pytest.mark.parametrize("size", [0, 1, 65536, 1000000])
def test_bodies_up_to_a_mebibyte(fleet, page, size):
    body = random.Random(size).randbytes(size)
    page.says(KEPT, body=body)
    fill(fleet, page)
    assert fleet.at(1).get(page).body == body
    assert len(page.requests) == 1


@pytest.mark.parametrize("size", [MIB, 7 * MIB])
def test_a_larger_one_would_not_come_within_the_budget(fleet, page, size):
    body = random.Random(size).randbytes(size)
    page.says(KEPT, body=body)
    page.get()
    sign = fleet.page().says(KEPT)
    sign.get()
    fleet.stored(1, page, sign)
    for number in (0, 1):
        assert fleet.at(number).get(page).body == body
    assert len(page.requests) == 2


def test_a_body_in_many_small_pieces(fleet, page):
    pieces = [b"%05d" % number for number in range(3000)]
    page.answer = lambda request: (b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                   b"".join(b"5\r\n%s\r\n" % piece for piece in pieces) + b"0\r\n\r\n")
    fill(fleet, page)
    assert fleet.at(1).get(page).body == b"".join(pieces)
    assert len(page.requests) == 1


def test_larger_ones_than_object_max_are_not_in_it(start_weir, redis):
    with Fleet(start_weir, redis, 1, cache={"object_max": "64KiB"}) as fleet:
        small, large = fleet.page().says(KEPT, body=b"." * 40000), fleet.page().says(KEPT, body=b"." * 70000)
        large.get()
        small.get()
        fleet.stored(1)


# --- whose it is ---


@pytest.fixture(scope="module")
def tenants(module_weirs, redis):
    with Fleet(module_weirs.start, redis, tenants=TENANTS) as tenants:
        yield tenants


def tell_tenant(request):
    return reply(200, (request["weir-tenant"] or "-").encode(), KEPT)


def test_two_tenants_never_meet(tenants):
    page = tenants.page()
    page.answer = tell_tenant
    for number in (0, 1):
        tenants.at(number)
        assert page.get(host=ACME).body == b"acme" and page.get(host=OTHER).body == b"other"
        tenants.stored(2, page)
    assert len(page.requests) == 2
    names = sorted(key.split(b"{")[1].split(b"/")[0] for key in tenants.values(page))
    assert names == [b"acme", b"other"] and all(key.startswith(b"%s:1:{" % tenants.prefix.encode()) for key in tenants.values(page))


def test_another_tenants_answer_put_under_ones_key_is_refused(tenants):
    page = tenants.page()
    page.answer = tell_tenant
    tenants.at(0)
    for host in (ACME, OTHER):
        page.get(host=host)
    keys = {key.split(b"{")[1].split(b"/")[0]: key for key in tenants.stored(2, page)}
    theirs = tenants.redis.ask("GET", keys[b"other"])
    tenants.redis.ask("SET", keys[b"acme"], theirs)
    before = tier_count(tenants.weirs[1], "refused")
    answer = tenants.at(1).get(page, host=ACME)
    assert answer.body == b"acme" and not is_hit(answer)
    assert tier_count(tenants.weirs[1], "refused") == before + 1
    assert is_hit(page.get(host=OTHER)), "its own is still good"


def test_what_is_kept_apart_by_credentials_stays_in_memory(start_weir, redis):
    routes = [{"path": "/apart/**", "cache": {"ttl": "60s", "share": "credential"}}]
    with Fleet(start_weir, redis, routes=routes) as fleet:
        page = fleet.page("/apart/page")
        page.answer = lambda request: reply(200, (request["cookie"] or "nobody").encode())
        for cookie in ("session=alice", "session=bob"):
            assert page.get(f"Cookie: {cookie}").body.decode() == cookie
            assert is_hit(page.get(f"Cookie: {cookie}"))
        page.get()
        sign = fleet.page().says(KEPT)
        sign.get()
        fleet.stored(1)
        fleet.at(1)
        for cookie in ("session=bob", "session=alice"):
            assert page.get(f"Cookie: {cookie}").body.decode() == cookie
        assert not any(b"alice" in redis.text(key) for key in fleet.values())


def test_a_route_s_ttl_is_still_for_those_it_is_for(start_weir, redis):
    with Fleet(start_weir, redis, routes=[{"path": "/**", "cache": {"ttl": "60s"}}]) as fleet:
        page = fleet.page().says()
        fill(fleet, page)
        fleet.at(1)
        assert page.get("Cookie: session=1").body == b"2" and page.get("Authorization: Basic YTpi").body == b"3"
        assert page.get().body == b"1"


def test_another_prefix_is_another_fleet(start_weir, redis):
    with Fleet(start_weir, redis, 1) as fleet:
        page = fleet.page().says(KEPT)
        fill(fleet, page)
        fleet.config["cache"] = sharing(redis, prefix=fleet.prefix + "b")
        assert fleet.at(fleet.add()).get(page).body == b"2"
        assert fleet_state(fleet.weir)["nodes"] == 1


@pytest.mark.parametrize("length", [32, 63])
def test_a_prefix_may_be_as_long_as_the_config_says(start_weir, redis, length):
    prefix = f"{length}" + "p" * (length - 2)
    with Fleet(start_weir, redis, settings={"prefix": prefix}) as fleet:
        page = fleet.page().says(KEPT)
        page.get()
        eventually(lambda: redis.values(prefix))
        assert is_hit(fleet.at(1).get(page))


@pytest.mark.parametrize("fields", [
    ["Set-Cookie: session=secret"], [KEPT, "Set-Cookie: session=secret"], ["Cache-Control: public, max-age=60", "Set-Cookie: session=secret"],
    ["Cache-Control: private, max-age=60"], ["Cache-Control: max-age=60, private"], ["Cache-Control: no-store"],
    ["Cache-Control: max-age=60, no-store"], ["Cache-Control: max-age=60", "Vary: *"], ["Cache-Control: s-maxage=0, max-age=60"]])
def test_what_is_not_for_all_never_goes_there(fleet, page, fields):
    page.says(*fields)
    page.get()
    sign = fleet.page().says(KEPT)
    sign.get()  # stored after it, on the same connection
    fleet.stored(1, page, sign)
    assert not is_hit(fleet.at(1).get(page))


@pytest.mark.parametrize("field, is_there", [("Authorization: Basic YTpi", False), ("Cache-Control: no-store", False), ("Range: bytes=0-0", True),
                                             ("X-Plain: 1", True)])
def test_what_was_asked_for_like_this_goes_there_or_not(fleet, page, field, is_there):
    page.says(KEPT)
    page.get(field)
    sign = fleet.page().says(KEPT)
    sign.get()
    fleet.stored(1 + is_there, page, sign)


def test_a_set_cookie_that_memory_may_store_is_not_in_redis(start_weir, redis):
    with Fleet(start_weir, redis, 1, cache={"set_cookie": "store"}) as fleet:
        page = fleet.page().says(KEPT, "Set-Cookie: session=secret")
        page.get()
        assert page.get()["set-cookie"] == "session=secret"
        fleet.page().says(KEPT).get()
        eventually(fleet.values)
        assert not any(b"set-cookie" in redis.ask("GET", key).lower() for key in fleet.values())


# --- writes ---


def test_a_write_ends_it_in_every_memory_and_in_redis(fleet, page):
    page.says(KEPT)
    fill(fleet, page)
    assert is_hit(fleet.at(1).get(page))
    assert fleet.at(0).post(page).status == 200
    fleet.at(1)
    eventually(lambda: page.get().body == b"3", why="the other weir still has it in memory")
    # a third one has nothing but Redis
    assert int(fleet.at(fleet.add()).get(page).body) >= 3


def test_a_failed_write_ends_nothing(fleet, page):
    page.says(KEPT)
    fill(fleet, page)
    page.says(status=500)
    fleet.at(0).post(page)
    assert fleet.at(1).get(page).body == b"1"


def test_a_writers_own_read_of_another_weir_is_not_older_for_long(fleet, page):
    """What a write made old may be put there by whoever fetched it before: it is judged by when it was fetched."""
    page.says(KEPT)
    go, asked = threading.Event(), threading.Event()

    def slow(request):
        if request.method == "GET":
            asked.set()
            go.wait(patience(20))
            return reply(200, b"old", KEPT)
        return reply(204, b"", length=False)

    page.answer = slow
    weir = fleet.weirs[1]
    with weir.wire() as wire:
        wire.request("GET", page.path)
        assert asked.wait(patience(10))
        assert fleet.at(0).post(page).status == 204
        eventually(lambda: any(key.endswith(b":t") for key in fleet.redis.keys(f"{fleet.prefix}:1:*")))
        go.set()
        wire.reply()
    page.answer = lambda request: reply(200, b"new", KEPT)
    assert fleet.at(0).get(page).body == b"new"


# --- Redis, slow ---


def test_a_redis_that_stands_still_costs_the_budget_and_then_nothing(start_weir):
    budget = 0.2
    with Redis() as redis, Fleet(start_weir, redis, 1, settings={"budget": "200ms"}) as fleet:
        page = fleet.page().says(KEPT)
        redis.pause()
        try:
            took = []
            for number in range(30):
                began = time.monotonic()
                answer = page.get(tail=f"?{number}")
                took.append(time.monotonic() - began)
                assert answer.status == 200 and not is_hit(answer)
            assert len(page.requests) == 30
            assert max(took) < budget + patience(0.1) / 5, took
            assert 5 <= tier_count(fleet.weir, "timeout") <= 10, "then it is left in peace"
            assert tier_count(fleet.weir, "skipped") >= 15
            late = sorted(took[10:])
            assert late[len(late) // 2] < budget / 2, took
            assert fleet_state(fleet.weir)["state"] == "down" and is_hit(page.get(tail="?3")), "memory goes on"
        finally:
            redis.resume()
        eventually(lambda: page.get(tail=f"?again{time.monotonic()}") and fleet_state(fleet.weir)["state"] == "up", 15)
        answered = len(fleet.values())
        page.get(tail="?after")
        eventually(lambda: len(fleet.values()) > answered)


def test_many_at_once_all_get_their_answer_within_the_budget(start_weir):
    with Redis() as redis, Fleet(start_weir, redis, 1, settings={"budget": "300ms"}) as fleet:
        page = fleet.page().says(KEPT)
        redis.pause()
        wires = [fleet.weir.wire() for _ in range(40)]
        try:
            began = time.monotonic()
            for number, wire in enumerate(wires):
                wire.request("GET", f"{page.path}?{number}")
            assert {wire.reply().status for wire in wires} == {200}
            assert time.monotonic() - began < 0.3 + patience(0.5) / 3
        finally:
            for wire in wires:
                wire.close()
            redis.resume()


# --- Redis, gone and back ---


def test_a_redis_that_dies_and_comes_back_empty(start_weir):
    with Redis() as redis, Fleet(start_weir, redis) as fleet:
        page = fleet.page().says(KEPT)
        fill(fleet, page)
        redis.kill()
        for number in range(10):
            assert page.get(tail=f"?{number}").status == 200
        assert fleet.at(1).get(page).body == b"12", "memory never had it"
        assert is_hit(page.get()), "and memory goes on"
        skipped = tier_count(fleet.weir, "skipped") + tier_count(fleet.weir, "error")
        assert skipped >= 1
        redis.start()
        for weir in fleet.weirs:
            joined(weir, 2)
        again = fleet.page().says(KEPT)
        again.get()
        fleet.stored(1, again)
        assert is_hit(fleet.at(0).get(again)) and len(again.requests) == 1


def test_a_weir_starts_without_its_redis_and_finds_it_later(start_weir):
    with Redis() as redis:
        redis.kill()
        with Fleet(start_weir, redis, 1, is_joined=False) as fleet:
            page = fleet.page().says(KEPT)
            assert page.get().body == b"1" and is_hit(page.get())
            assert fleet_state(fleet.weir)["state"] == "down"
            redis.start()
            joined(fleet.weir)
            fleet.page().says(KEPT).get()
            fleet.stored(1)


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
def test_a_flushed_redis_is_filled_again(start_weir, command):
    with Redis() as redis, Fleet(start_weir, redis) as fleet:
        page = fleet.page()
        page.holds(KEPT, etag="\"1\"")
        fill(fleet, page)
        redis.ask(command)
        eventually(lambda: total(metrics(fleet.weir), "weir_fleet_distrusts_total") >= 1, why="purges may have been lost with it")
        for weir in fleet.weirs:
            joined(weir, 2)
        answer = page.get()
        assert answer.status == 200 and page.last["if-none-match"] == "\"1\"", "what was stored is validated first"
        assert is_hit(page.get())
        fleet.stored(1)
        assert is_hit(fleet.at(1).get(page)) and len(page.requests) == 2


@pytest.mark.parametrize("is_new", [False, True], ids=["", "started later"])
def test_what_came_from_a_redis_that_was_lost_is_validated_too(start_weir, is_new):
    """The second weir never fetched it: what vouched for it is gone with the journal."""
    with Redis() as redis, Fleet(start_weir, redis) as fleet:
        page = fleet.page()
        page.holds(KEPT, etag="\"1\"")
        fill(fleet, page)
        fleet.at(fleet.add() if is_new else 1)
        assert is_hit(page.get()) and len(page.requests) == 1
        redis.kill()
        redis.start()
        eventually(lambda: total(metrics(fleet.weir), "weir_fleet_distrusts_total") >= 1)
        joined(fleet.weir, 2)
        assert page.get().status == 200 and len(page.requests) == 2 and page.last["if-none-match"] == "\"1\""
        assert is_hit(page.get())


def test_a_full_redis_is_read_and_not_written(start_weir):
    with Redis("maxmemory-policy noeviction") as redis, Fleet(start_weir, redis) as fleet:
        before = fleet.page().says(KEPT)
        fill(fleet, before)
        redis.ask("CONFIG", "SET", "maxmemory", "1")
        page = fleet.page().says(KEPT)
        for number in range(10):
            assert page.get(tail=f"?{number}").status == 200
        fleet.stored(1, before)
        assert is_hit(fleet.at(1).get(before)), "what it holds is still good"
        redis.ask("CONFIG", "SET", "maxmemory", "0")
        for weir in fleet.weirs:
            joined(weir, 2)
        eventually(lambda: page.get(tail=f"?later{time.monotonic()}") and len(fleet.values()) > 1, 15, "it is not written to again")


def test_a_read_only_replica_costs_no_client_anything(start_weir):
    with Redis() as redis, Redis("repl-diskless-sync-delay 0") as master, Fleet(start_weir, redis) as fleet:
        page = fleet.page().says(KEPT)
        fill(fleet, page)
        redis.ask("REPLICAOF", "127.0.0.1", master.port)
        eventually(lambda: b"master_link_status:up" in redis.ask("INFO", "replication"), 20)
        for number in range(10):
            assert page.get(tail=f"?{number}").status == 200
        assert is_hit(page.get())
        redis.ask("REPLICAOF", "NO", "ONE")
        for weir in fleet.weirs:
            joined(weir, 2)
        eventually(lambda: page.get(tail=f"?later{time.monotonic()}") and fleet.values(), 15, "it is not written to again")


# --- where it is ---


@pytest.fixture(scope="module")
def locked():
    """A Redis with passwords."""
    with Redis("requirepass sesame", "user app on >p%40ss:w/rd ~* &* +@all") as redis:
        yield redis


@pytest.mark.parametrize("form, db", [("redis://:sesame@127.0.0.1:{port}", 0), ("redis://default:sesame@localhost:{port}/3", 3),
                                      ("redis://app:p%2540ss%3Aw%2Frd@127.0.0.1:{port}/5", 5)])
def test_passwords_users_and_databases(start_weir, locked, form, db):
    url = form.format(port=locked.port)
    with Fleet(start_weir, url) as fleet:
        page = fleet.page().says(KEPT)
        page.get()

        def keys():
            locked.ask("SELECT", db, auth=["sesame"])
            return locked.values(fleet.prefix)

        eventually(keys, why="it is not in that database")
        assert is_hit(fleet.at(1).get(page))
        for weir in fleet.weirs:
            assert "sesame" not in weir.log() and "p@ss" not in weir.log() and "p%40ss" not in weir.log()


@pytest.mark.parametrize("form", ["unix://{path}", "unix://{path}?db=2", "redis+unix://{path}?db=4"])
def test_a_unix_socket(start_weir, redis, form):
    with Fleet(start_weir, form.format(path=redis.socket_path)) as fleet:
        page = fleet.page().says(KEPT)
        page.get()
        fleet.redis = redis
        redis.ask("SELECT", form.partition("db=")[2] or 0)
        try:
            eventually(fleet.values)
        finally:
            redis.ask("SELECT", 0)
        assert is_hit(fleet.at(1).get(page))


@pytest.mark.parametrize("form", ["redis://127.0.0.1:{port}", "redis://:wrong@127.0.0.1:{port}", "redis://nobody:sesame@127.0.0.1:{port}"])
def test_a_wrong_password_is_said_and_costs_no_client_anything(start_weir, locked, form):
    with Fleet(start_weir, form.format(port=locked.port), 1, is_joined=False) as fleet:
        page = fleet.page().says(KEPT)
        assert page.get().body == b"1" and is_hit(page.get())
        said = eventually(lambda: [line for line in fleet.weir.log().splitlines() if "second tier" in line.lower()])
        assert "sesame" not in fleet.weir.log() and "wrong@" not in fleet.weir.log()
        assert any("password" in line.lower() or "auth" in line.lower() or "user" in line.lower() for line in said), said
        assert fleet_state(fleet.weir)["state"] == "down"


def test_the_rights_that_the_headers_name_are_enough(start_weir):
    rights = ("user weir on >sesame resetkeys resetchannels ~weir:1:* ~weir:{bus}:* &weir:{bus}:news -@all +mget +set +eval +time +info +xadd "
              "+xrange +xrevrange +hget +hset +hdel +hgetall +del +publish +subscribe +ping")
    with Redis(rights) as redis, Fleet(start_weir, f"redis://weir:sesame@127.0.0.1:{redis.port}", settings={"prefix": "weir"}) as fleet:
        page = fleet.page().says(KEPT)
        page.get()
        eventually(lambda: redis.values("weir"))
        assert is_hit(fleet.at(1).get(page))


def test_the_master_that_a_sentinel_names(start_weir):
    with Redis() as redis, Redis(f"sentinel monitor main 127.0.0.1 {redis.port} 1", is_sentinel=True) as sentinel:
        with Fleet(start_weir, f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0") as fleet:
            page = fleet.page().says(KEPT)
            page.get()
            eventually(lambda: redis.values(fleet.prefix))
            assert is_hit(fleet.at(1).get(page))


@pytest.mark.parametrize("url", [
    "", "redis://", "redis:///0", "redis://host:0", "redis://host:65536", "redis://host:x", "redis://host/zero", "redis://host/65536",
    "redis://host/-1", "redis://host/0/1", "redis://user@host", "redis://@host", "redis://user:@host", "redis://user:%zz@host", "redis://a b",
    "redis://host?db=1&x=1", "redis://host?x", "redis://[::1", "redis://h1,h2/0", "unix://", "unix://relative", "unix:///a?x=1", "unix:/path",
    "unix:///" + "p" * 120, "redis+sentinel://host:1", "redis+sentinel:///main", "redis+sentinel://host/main/x", "rediss://host", "http://host",
    "redis+sentinel://" + ",".join(f"h{number}" for number in range(9)) + "/main", "host:6379", "REDIS//host"])
def test_a_bad_url_is_a_mistake_of_the_config(tmp_path, url):
    file = tmp_path / "weir.yaml"
    file.write_text(f"upstreams: {{app: {{primary: [127.0.0.1:3000]}}}}\ncache: {{redis: {{url: \"{url}\"}}}}\n")
    done = subprocess.run([BINARY, "check", "-c", file], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1, done
    assert f"{file}:2:" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


# --- wrong things in it ---


def spoil(redis, key, way):
    value = redis.ask("GET", key)
    redis.ask("DEL", key)
    if way == "list":
        redis.ask("RPUSH", key, value)
    elif way == "hash":
        redis.ask("HSET", key, "field", value)
    elif way == "stream":
        redis.ask("XADD", key, "*", "p", value)
    else:
        redis.ask("SET", key, {"empty": b"", "text": b"HTTP/1.1 200 OK\r\n\r\nhello", "zeros": bytes(len(value)), "noise": random.Random(1).randbytes(
            4096), "truncated": value[:-1], "half": value[:len(value) // 2], "head": value[:40], "longer": value + b".", "twice": value + value,
            "huge": b"." * (9 * MIB)}[way])


WAYS = ["list", "hash", "stream", "empty", "text", "zeros", "noise", "truncated", "half", "head", "longer", "twice", "huge"]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_ours_is_a_miss(fleet, page, way):
    page.says(KEPT, body=b"the whole")
    key, = fill(fleet, page)
    spoil(fleet.redis, key, way)
    weir = fleet.weirs[1]
    joined(weir)
    before = {result: tier_count(weir, result) for result in ("hit", "miss", "refused", "error")}
    answer = fleet.at(1).get(page)
    assert answer.status == 200 and answer.body == b"the whole" and not is_hit(answer) and len(page.requests) == 2
    after = {result: tier_count(weir, result) for result in before}
    assert sum(after.values()) == sum(before.values()) + 1 and after["hit"] == before["hit"]
    if way not in ("list", "hash", "stream", "huge"):
        assert after["refused"] == before["refused"] + 1
    joined(weir)


def test_a_single_wrong_bit_is_found(fleet, page):
    count = 60
    page.says(KEPT, "ETag: \"1\"", "Cache-Tag: a, b", "Last-Modified: Mon, 01 Jan 2001 00:00:00 GMT", body=b"the whole")
    for number in range(count):
        page.get(tail=f"?{number}")
    keys = fleet.stored(count, page)
    dice = random.Random(4)
    for number, key in enumerate(keys):
        value = bytearray(fleet.redis.ask("GET", key))
        place = number if number < 30 else dice.randrange(len(value))
        value[place] ^= 1 << dice.randrange(8)
        fleet.redis.ask("SET", key, bytes(value))
    before = tier_count(fleet.weirs[1], "refused")
    fleet.at(1)
    for number in range(count):
        answer = page.get(tail=f"?{number}")
        assert answer.body == b"the whole" and not is_hit(answer), number
    assert tier_count(fleet.weirs[1], "refused") == before + count


def test_another_keys_answer_is_refused(fleet, page):
    page.answer = lambda request: reply(200, request.target.encode(), KEPT)
    a = fill(fleet, page, tail="?a")[0]
    b, = set(fill(fleet, page, 2, tail="?b")) - {a}
    value_a, value_b = fleet.redis.ask("GET", a), fleet.redis.ask("GET", b)
    fleet.redis.ask("SET", a, value_b)
    fleet.redis.ask("SET", b, value_a)
    fleet.at(1)
    for tail in ("?a", "?b"):
        assert page.get(tail=tail).body.decode().endswith(tail)
    assert len(page.requests) == 4


def test_a_variants_answer_under_another_variant_is_refused(fleet, page):
    page.answer = lambda request: reply(200, (request["accept-language"] or "-").encode(), KEPT, "Vary: Accept-Language")
    for language in ("de", "en"):
        page.get(f"Accept-Language: {language}")
    keys = fleet.stored(3, page)
    signpost = min(keys, key=len)
    a, b = (key for key in keys if key != signpost)
    value_a, value_b = fleet.redis.ask("GET", a), fleet.redis.ask("GET", b)
    fleet.redis.ask("SET", a, value_b)
    fleet.redis.ask("SET", b, value_a)
    fleet.at(1)
    for language in ("de", "en"):
        assert page.get(f"Accept-Language: {language}").body.decode() == language
    # and a variant where its signpost stands, and a signpost where a variant stands
    fleet.redis.ask("SET", signpost, value_a)
    fleet.redis.ask("SET", a, fleet.redis.ask("GET", signpost))
    fleet.at(fleet.add())
    for language in ("de", "en", "fr"):
        assert page.get(f"Accept-Language: {language}").body.decode() == language


@pytest.mark.parametrize("tomb", [b"soon", b"", b"-1", b"99999999999999999999999", b"1" * 5000], ids=["word", "empty", "negative", "large", "long"])
def test_a_tombstone_that_is_none_makes_a_miss(fleet, page, tomb):
    page.says(KEPT)
    key, = fill(fleet, page)
    fleet.redis.ask("SET", key.rpartition(b":")[0] + b":t", tomb)
    try:
        answer = fleet.at(1).get(page)
        assert answer.status == 200 and answer.body == b"2"
    finally:
        fleet.redis.ask("DEL", key.rpartition(b":")[0] + b":t")


# --- what only pretends to be Redis ---


def endless(piece):
    while True:
        yield piece


LIES = {
    "garbage": bytes(range(256)) * 4,
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "512 MB, and nothing of it": b"*2\r\n$536870912\r\n",
    "512 MB, and some of it": lambda: endless(b"." * 65536),
    "a long array": b"*1000000000\r\n",
    "an array without an end": lambda: endless(b"$1\r\na\r\n"),
    "arrays in arrays": b"*1\r\n" * 5000,
    "a line without an end": lambda: endless(b"a" * 65536),
    "a negative length": b"$-5\r\n",
    "a number too large": b":99999999999999999999999\r\n",
    "another type": b":5\r\n",
    "fewer": b"*1\r\n$1\r\na\r\n",
    "more": b"*3\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n",
    "nested": b"*2\r\n*1\r\n$1\r\na\r\n$-1\r\n",
    "two answers": b"*2\r\n$-1\r\n$-1\r\n" * 2,
    "nothing ever": None,
    "half": b"*2\r\n$10\r\nabc",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "moved to itself": lambda: [b"-MOVED 0 127.0.0.1:1\r\n"],
    "no rights": b"-NOPERM this user has no permissions\r\n",
}
PREFIXES = {"512 MB, and some of it": b"*2\r\n$536870912\r\n", "an array without an end": b"*1000000000\r\n", "a line without an end": b"+"}


def lie_of(name):
    def answer(_):
        said = LIES[name]
        if not callable(said):
            return said
        return (piece for pieces in ([PREFIXES.get(name, b"")], said()) for piece in pieces)

    return answer


@pytest.mark.parametrize("greets", [True, False], ids=["greets", "not even that"])
@pytest.mark.parametrize("name", LIES)
def test_a_liar_costs_no_client_anything(start_weir, name, greets):
    with Liar(lie_of(name), greets) as liar, Fleet(start_weir, liar, 1, settings={"budget": "50ms"}, is_joined=False) as fleet:
        page = fleet.page().says(KEPT)
        eventually(lambda: liar.asked)
        for number in range(12):
            began = time.monotonic()
            answer = page.get(tail=f"?{number}")
            assert answer.status == 200 and not is_hit(answer)
            assert time.monotonic() - began < 0.05 + patience(0.5) / 3
        assert len(page.requests) == 12 and page.get(tail="?0").status == 200
        assert tier_count(fleet.weir, "hit") == 0
        assert SANITIZED or fleet.weir.rss_peak() < 64 * MIB
        assert fleet.weir.is_running()


def test_a_redis_that_still_loads_is_waited_for(start_weir):
    with Redis() as redis:
        for number in range(40):
            redis.ask("SET", f"filler{number}", random.Random(number).randbytes(100000))
        redis.ask("CONFIG", "SET", "save", "")
        redis.ask("SAVE")
        redis.kill()
        redis.options = ("key-load-delay 50000", "loading-process-events-interval-bytes 1024")
        with Fleet(start_weir, redis, 1, is_joined=False) as fleet:
            starting = threading.Thread(target=redis.start)
            starting.start()
            page = fleet.page().says(KEPT)
            for number in range(20):
                assert page.get(tail=f"?{number}").status == 200
            starting.join()
            joined(fleet.weir)
            page.get(tail="?after")
            fleet.stored(1)
