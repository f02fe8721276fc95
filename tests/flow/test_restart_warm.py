"""A weir that starts anew is warm: what it has forgotten stands in Redis, and the app does not notice the restart."""

import pytest
from fleets import Fleet, joined, tier_count
from harness import SANITIZED, Wire, eventually, patience, reply
from harness.redis import Redis
from stories import Site, cache_status, is_hit, status, tell, together

KEPT = "Cache-Control: max-age=600"
COUNT = 200 if SANITIZED else 900
CLIENTS = {"keepalive_requests": 100000}


@pytest.fixture(scope="module")
def redis():
    with Redis() as redis:
        yield redis


def numbered(page, *fields):
    """Each object says its number."""
    page.answer = lambda request: reply(200, request.target.partition("?")[2].encode(), KEPT, *fields)
    return page


def ask_for_all(site, page):
    """Every object once; returns how many requests that cost the app."""
    before = len(page.requests)
    with site.weir.wire() as wire:
        for number in range(COUNT):
            wire.request("GET", f"{page.path}?{number}", "Accept-Language: de")
            answer = wire.reply()
            assert (answer.status, answer.body) == (200, b"%d" % number), answer
    return len(page.requests) - before


def restart(site, is_joined=True):
    """The same config, and nothing in memory."""
    site.weir.stop()
    site.weir = site.start(site.app, **site.config)
    assert status(site.weir)["cache"]["objects"] == 0
    return joined(site.weir) if is_joined else site.weir


@pytest.mark.parametrize("fields", [[], ["Vary: Accept-Language"], ["Cache-Tag: a, b", "ETag: \"1\""]], ids=["plain", "varying", "tagged"])
def test_the_first_pass_after_a_restart_costs_the_app_nothing(start_weir, redis, fields):
    with Fleet(start_weir, redis, 1, clients=CLIENTS) as site:
        page = numbered(site.page(), *fields)
        assert ask_for_all(site, page) == COUNT
        eventually(lambda: len(site.values()) >= COUNT * (2 if "Vary" in str(fields) else 1))
        restart(site)
        assert ask_for_all(site, page) == 0
        assert tier_count(site.weir, "hit") == COUNT
        assert ask_for_all(site, page) == 0 and tier_count(site.weir, "hit") == COUNT, "and now they are in memory"


def test_without_redis_it_costs_all_of_them(start_weir):
    """So the story above can fail."""
    with Site(start_weir, clients=CLIENTS) as site:
        site.start, site.config = start_weir, {"clients": CLIENTS}
        page = numbered(site.page())
        assert ask_for_all(site, page) == COUNT and ask_for_all(site, page) == 0
        restart(site, is_joined=False)
        assert ask_for_all(site, page) == COUNT


def test_nobody_has_to_wait_for_it_to_join(start_weir, redis):
    """Who comes in the very moment that it is ready is answered; what he asks for may come from the app."""
    with Fleet(start_weir, redis, 1) as site:
        page = numbered(site.page())
        page.get(tail="?1")
        site.stored(1, page)
        restart(site, is_joined=False)
        assert page.get(tail="?1").body == b"1"


@pytest.mark.parametrize("workers", [1, 2])
def test_fifty_clients_after_a_restart_are_no_stampede(start_weir, redis, workers):
    with Fleet(start_weir, redis, 1, workers=workers) as site:
        page = numbered(site.page())
        page.get(tail="?7")
        site.stored(1, page)
        restart(site)
        wires = [Wire(site.weir.address, timeout=patience(10)) for _ in range(50)]

        def ask_one(index):
            wires[index].request("GET", f"{page.path}?7")
            return wires[index].reply()

        try:
            answers = together(50, ask_one)
        finally:
            for wire in wires:
                wire.close()
        assert {answer.body for answer in answers} == {b"7"}
        assert all(is_hit(answer) or "collapsed" in cache_status(answer) for answer in answers)
        assert len(page.requests) == 1, "the one from before"
        assert tier_count(site.weir, "hit") <= 5, "nor one for Redis"


def test_what_was_purged_or_written_before_the_restart_stays_away(start_weir, redis):
    with Fleet(start_weir, redis, 1) as site:
        purged, written = numbered(site.page(), "Cache-Tag: gone"), numbered(site.page())
        purged.get(tail="?1")
        written.get(tail="?1")
        kept = [(key, redis.ask("GET", key)) for key in site.stored(1, purged) + site.stored(1, written)]
        assert tell(site.weir, "/api/purge", {"tenant": "default", "tag": "gone"})["nodes"] == 1
        assert written.ask("POST", tail="?1", body=b"").status == 200
        eventually(lambda: any(key.endswith(b":t") for key in redis.keys(f"{site.prefix}:1:*")))
        restart(site)
        for key, value in kept:
            redis.ask("SET", key, value)
        before = len(purged.requests), len(written.requests)
        purged.get(tail="?1")
        written.get(tail="?1")
        assert (len(purged.requests), len(written.requests)) == (before[0] + 1, before[1] + 1)


def test_a_restart_of_both_forgets_all_and_nothing_breaks(start_weir):
    with Redis() as redis, Fleet(start_weir, redis, 1, clients=CLIENTS) as site:
        page = numbered(site.page())
        page.get(tail="?1")
        site.stored(1, page)
        redis.kill()
        redis.start()
        restart(site)
        assert page.get(tail="?1").body == b"1" and len(page.requests) == 2
        site.stored(1, page)
