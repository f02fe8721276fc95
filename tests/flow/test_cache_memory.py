"""`cache.memory` is what the cache takes, whatever is thrown at it; and a tenant who scans costs the others next to nothing."""

import random

import pytest
from harness import SANITIZED, reply
from stories import Site, is_hit, metrics, status, tell, total

KEPT = "Cache-Control: max-age=600"
MIB = 1 << 20
TENANTS = {"from": [{"host": "{tenant}.api.example.com"}], "default": {"cache_share": "50%"}}
BUSY = {"keepalive_requests": 1000000}
DATA = random.Random(1).randbytes(MIB)


class Asker:
    """A client on one connection."""

    def __init__(self, site, host="test"):
        self.wire = site.weir.wire()
        self.host = host

    def __call__(self, target, *fields):
        self.wire.request("GET", target, *fields, host=self.host)
        answer = self.wire.reply()
        assert answer.status == 200 or fields, answer
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()


def sized(request):
    """An app whose pages are as long as their last part says."""
    return reply(200, DATA[: int(request.target.rpartition("/")[2])], KEPT, "Cache-Tag: " + request.target.split("/")[2])


def cached(site):
    return status(site.weir)["cache"]


def small_constant(memory):
    """What is not the cache: connections, threads, allocator. The rest is within 5 % of what the config says."""
    return memory * 1.05 + 10 * MIB


# --- resident memory ---


SHAPES = {
    "small": lambda dice: dice.randrange(100, 2000),
    "middling": lambda dice: dice.randrange(4000, 60000),
    "large": lambda dice: dice.randrange(200000, MIB),
    "all": lambda dice: int(2 ** dice.uniform(6, 20)),
}


@pytest.mark.skipif(SANITIZED, reason="memory is measured without sanitizers")
@pytest.mark.needs_release
@pytest.mark.parametrize("shape", SHAPES)
def test_ten_times_the_cache_stays_within_it(start_weir, shape):
    memory = 64 * MIB
    with Site(start_weir, cache={"memory": "64MiB", "object_max": "2MiB"}, clients=BUSY) as site:
        site.page("/m").answer = sized
        dice = random.Random(shape)
        with Asker(site) as ask_for:
            ask_for("/m/warm/10")
            before = site.weir.rss()
            sent = requests = 0
            # small ones are many: as many as can be asked for in a few seconds, which is still more than once the cache
            while sent < 10 * memory and requests < 40000:
                size = SHAPES[shape](dice)
                ask_for(f"/m/{requests % 50}/{requests}/{size}")
                sent += size
                requests += 1
        found = cached(site)
        assert found["bytes"] <= memory and site.weir.rss_peak() - before <= small_constant(memory), (found, site.weir.rss_peak() - before)
        if sent >= 2 * memory:
            assert found["evicted"] > 0 and found["bytes"] >= 0.8 * memory, found


@pytest.mark.skipif(SANITIZED, reason="memory is measured without sanitizers")
@pytest.mark.needs_release
def test_a_change_of_sizes_costs_no_memory(start_weir):
    """Small ones, then large, then small again: what the allocator kept for one must be there for the other."""
    memory = 64 * MIB
    with Site(start_weir, cache={"memory": "64MiB", "object_max": "2MiB"}, clients=BUSY) as site:
        site.page("/m").answer = sized
        with Asker(site) as ask_for:
            ask_for("/m/warm/10")
            before = site.weir.rss()
            for turn, size in enumerate((3000, 700000, 20000, 1000000, 1500, 300000)):
                for number in range(max(min(2 * memory // size, 12000), 1)):
                    ask_for(f"/m/t/{turn}-{number}/{size}")
        assert site.weir.rss_peak() - before <= small_constant(memory), (cached(site), site.weir.rss_peak() - before)


@pytest.mark.skipif(SANITIZED, reason="memory is measured without sanitizers")
@pytest.mark.needs_release
def test_purging_and_filling_again_costs_no_memory(start_weir):
    memory = 64 * MIB
    with Site(start_weir, cache={"memory": "64MiB"}, clients=BUSY) as site:
        site.page("/m").answer = sized
        with Asker(site) as ask_for:
            ask_for("/m/warm/10")
            before = site.weir.rss()
            for turn in range(5):
                for number in range(1200):
                    ask_for(f"/m/tag{number % 7}/{turn}-{number}/{20000 + 13 * number}")
                tell(site.weir, "/api/purge", {"all": True} if turn % 2 else {"tenant": "default", "tag": f"tag{turn}"})
        assert site.weir.rss_peak() - before <= small_constant(memory), (cached(site), site.weir.rss_peak() - before)


def test_the_counted_bytes_stay_within_the_budget(start_weir):
    memory = 4 * MIB
    with Site(start_weir, cache={"memory": "4MiB", "object_max": "512KiB"}, clients=BUSY) as site:
        site.page("/m").answer = sized
        dice = random.Random(5)
        with Asker(site) as ask_for:
            for number in range(600):
                ask_for(f"/m/{number % 9}/{number}/{SHAPES['all'](dice) // 2}", f"X-Own: {number}")
                if number % 50 == 0:
                    assert cached(site)["bytes"] <= memory and total(metrics(site.weir), "weir_cache_bytes") <= memory
        assert cached(site)["evicted"] > 0


# --- tenants ---


def warm_set(asker, count):
    """Fills and asks again until all are hits; returns the targets."""
    targets = [f"/m/warm/{number}/8000" for number in range(count)]
    for _ in range(4):
        for target in targets:
            asker(target)
    return targets


def hits(asker, targets):
    return sum(is_hit(asker(target)) for target in targets)


@pytest.mark.parametrize("workers", [1, 2])
def test_who_scans_ten_times_the_cache_costs_the_other_at_most_a_tenth(start_weir, workers):
    memory = 8 * MIB
    with Site(start_weir, cache={"memory": "8MiB"}, tenants=TENANTS, clients=BUSY, workers=workers) as site:
        site.page("/m").answer = sized
        with Asker(site, "acme.api.example.com") as acme, Asker(site, "scan.api.example.com") as scan:
            targets = warm_set(acme, 250)  # 2 MB of the 4 MB that are acme's
            before = hits(acme, targets)
            assert before >= 0.98 * len(targets)
            sent = number = 0
            while sent < 10 * memory:
                scan(f"/m/scan/{number}/16000")
                sent += 16000
                number += 1
            after = hits(acme, targets)
        assert after >= 0.9 * before, (before, after)
        assert cached(site)["evicted"] > 1000


def test_a_tenant_alone_may_have_what_nobody_needs_but_not_more_than_its_share_for_long(start_weir):
    """A share is a promise to the others: who comes later gets his."""
    with Site(start_weir, cache={"memory": "8MiB"}, tenants=TENANTS, clients=BUSY) as site:
        site.page("/m").answer = sized
        with Asker(site, "first.api.example.com") as first, Asker(site, "late.api.example.com") as late:
            for number in range(1000):
                first(f"/m/f/{number}/16000")
            targets = warm_set(late, 200)
            assert hits(late, targets) >= 0.9 * len(targets)


def test_a_tiny_share_is_all_that_is_left_when_others_need_theirs(start_weir):
    """What nobody needs may be borrowed; in need it is given back."""
    tenants = {**TENANTS, "named": {"tiny": {"cache_share": "5%"}, "big": {"cache_share": "95%"}}}
    memory = 8 * MIB
    with Site(start_weir, cache={"memory": "8MiB"}, tenants=tenants, clients=BUSY) as site:
        site.page("/m").answer = sized
        with Asker(site, "tiny.api.example.com") as tiny, Asker(site, "big.api.example.com") as big:
            recent = [f"/m/tiny/{number}/8000" for number in range(500)]
            for _ in range(2):
                for target in recent:
                    tiny(target)
            assert hits(tiny, recent) == len(recent), "there is room"
            warm_set(big, 2 * memory // 8000)
            left = sum(tiny(target, "Cache-Control: only-if-cached").status == 200 for target in recent)
            assert left <= 1.5 * 0.05 * memory / 8000, "and it was needed"
