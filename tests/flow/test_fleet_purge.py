"""Purges that reach every weir of a fleet: who was told that it is done never sees what was purged, whatever Redis does meanwhile."""

import random
import threading
import time

import pytest
from fleets import Fleet, fleet_state, joined
from harness import Broken, Wire, eventually, patience, reply
from harness.redis import Redis, Relay
from stories import ask, cache_status, is_hit, metrics, tell, together, total

KEPT = "Cache-Control: max-age=600"
TENANTS = {"from": [{"host": "{tenant}.api.example.com"}], "unknown": "default"}
ACME, OTHER = "acme.api.example.com", "other.api.example.com"
NODES = 3


@pytest.fixture(scope="module")
def fleet(module_weirs):
    with Redis() as redis, Fleet(module_weirs.start, redis, NODES, tenants=TENANTS) as fleet:
        yield fleet


def warm(fleet, page, host="test", fields=()):
    """Every weir has it in memory."""
    page.says(KEPT, *fields)
    for number in range(len(fleet.weirs)):
        fleet.at(number)
        page.get(host=host)
        assert is_hit(page.get(host=host))
    return page


def purge(fleet, number, **way):
    answer = tell(fleet.weirs[number], "/api/purge", way)
    assert answer["nodes"] == len(fleet.weirs), answer
    return answer["purged"]


def still_served(fleet, page, host="test"):
    """How many of the weirs hand out what the first fetch brought."""
    return sum(fleet.at(number).get(page, host=host).body == b"1" for number in range(len(fleet.weirs)))


# --- every way, from every weir ---


WAYS = {"url": lambda page: {"tenant": "acme", "url": f"http://{ACME}{page.path}"}, "tag": lambda page: {"tenant": "acme", "tag": "t"},
        "prefix": lambda page: {"tenant": "acme", "prefix": page.path}, "tenant": lambda page: {"tenant": "acme", "all": True},
        "all": lambda page: {"all": True}}


@pytest.mark.parametrize("poster", range(NODES))
@pytest.mark.parametrize("way", WAYS)
def test_a_purge_reaches_all(fleet, way, poster):
    page = warm(fleet, fleet.page(), ACME, ["Cache-Tag: t"])
    assert purge(fleet, poster, **WAYS[way](page)) >= 1
    assert still_served(fleet, page, ACME) == 0


@pytest.mark.parametrize("way", [way for way in WAYS if way != "all"])
def test_another_tenants_stays_everywhere(fleet, way):
    mine, theirs = fleet.page(), fleet.page()
    warm(fleet, mine, ACME, ["Cache-Tag: t"])
    warm(fleet, theirs, OTHER, ["Cache-Tag: t"])
    purge(fleet, 1, **WAYS[way](mine))
    assert all(is_hit(fleet.at(number).get(theirs, host=OTHER)) for number in range(NODES))
    assert still_served(fleet, mine, ACME) == 0


@pytest.mark.parametrize("way", ["url", "tag"])
def test_a_soft_purge_makes_stale_everywhere(fleet, way):
    page = fleet.page()
    for number in range(NODES):
        fleet.at(number)
        page.holds(KEPT, "Cache-Tag: t", etag="\"1\"")
        page.get(host=ACME)
        assert is_hit(page.get(host=ACME))
    purge(fleet, 0, soft=True, **WAYS[way](page))
    before = len(page.requests)
    for number in range(NODES):
        fleet.at(number)
        answer = page.get(host=ACME)
        assert answer.body == b"the whole" and int(page.last["if-none-match"] == "\"1\"")
    assert len(page.requests) > before
    first = fleet.at(0).get(page, host=ACME)
    assert is_hit(first) and cache_status(first)["ttl"] != "0"


def test_a_purge_that_finds_nothing_is_told_as_well(fleet):
    assert tell(fleet.weirs[0], "/api/purge", {"tenant": "acme", "url": f"http://{ACME}/nowhere"}) == {
        "purged": 0, "soft": False, "nodes": NODES}


def test_purges_are_quick_and_many_at_once_too(fleet):
    page = fleet.page()
    began = time.monotonic()
    answers = together(30, lambda number: tell(fleet.weirs[number % NODES], "/api/purge", {"tenant": "acme", "tag": f"quick{number}"}))
    assert {answer["nodes"] for answer in answers} == {NODES}
    assert time.monotonic() - began < patience(1)
    assert page.says(KEPT).get().status == 200


def test_what_was_fetched_before_a_purge_does_not_come_in_by_redis(fleet):
    """One weir fetches, another purges; the reply comes after that, and is told to nobody."""
    page = fleet.page()
    asked, go = threading.Event(), threading.Event()

    def slow(request):
        asked.set()
        go.wait(patience(20))
        return reply(200, b"1", KEPT)

    page.answer = slow
    with fleet.weirs[0].wire() as wire:
        wire.request("GET", page.path, host=ACME)
        assert asked.wait(patience(10))
        purge(fleet, 1, **WAYS["url"](page))
        go.set()
        assert wire.reply().body == b"1"
    page.answer = lambda request: reply(200, b"2", KEPT)
    assert still_served(fleet, page, ACME) == 0


def test_what_stands_in_redis_is_not_used_after_a_purge(fleet):
    page = fleet.page().says(KEPT, "Cache-Tag: t")
    fleet.at(0).get(page, host=ACME)
    key, = fleet.stored(1, page)
    value = fleet.redis.ask("GET", key)
    purge(fleet, 1, **WAYS["tag"](page))
    fleet.redis.ask("SET", key, value)  # as a weir would that was slow to write it
    assert still_served(fleet, page, ACME) == 0


def test_a_new_weir_does_not_bring_back_what_was_purged_before_it_came(module_weirs):
    with Redis() as redis, Fleet(module_weirs.start, redis, 2) as fleet:
        page = fleet.page().says(KEPT)
        page.get()
        key, = fleet.stored(1, page)
        value = redis.ask("GET", key)
        purge(fleet, 1, tenant="default", url=f"http://test{page.path}")
        redis.ask("SET", key, value)
        assert fleet.at(fleet.add()).get(page).body == b"2"


# --- by the app ---


def test_the_apps_own_purge_reaches_all(fleet):
    page = warm(fleet, fleet.page(), ACME, ["Cache-Tag: mine"])
    other = warm(fleet, fleet.page(), OTHER, ["Cache-Tag: mine"])
    write = fleet.page().says("Weir-Purge: mine")
    assert fleet.at(0).post(write, host=ACME).status == 200
    assert fleet.at(0).get(page, host=ACME).body == b"2", "here at once"
    eventually(lambda: still_served(fleet, page, ACME) == 0)
    assert all(is_hit(fleet.at(number).get(other, host=OTHER)) for number in range(NODES))


def test_a_groups_end_reaches_all(fleet):
    page = warm(fleet, fleet.page(), ACME, ["Cache-Groups: \"one\", \"two\""])
    write = fleet.page().says("Cache-Group-Invalidation: \"two\"")
    assert fleet.at(1).post(write, host=ACME).status == 200
    eventually(lambda: still_served(fleet, page, ACME) == 0)


def test_what_a_write_names_ends_everywhere(fleet):
    page = warm(fleet, fleet.page(), ACME)
    write = fleet.page().says(f"Location: {page.path}", status=201)
    assert fleet.at(2).post(write, host=ACME).status == 201
    eventually(lambda: still_served(fleet, page, ACME) == 0)


# --- who is cut off ---


@pytest.fixture
def cut_off(start_weir):
    """A fleet of two whose second weir hears Redis by a relay."""
    with Redis() as redis, Relay(redis) as relay, Fleet(start_weir, redis, 1) as fleet:
        fleet.relay = relay
        fleet.config["cache"] = {"redis": {**fleet.config["cache"]["redis"], "url": relay.url, "budget": "20ms"}}
        fleet.add()
        for weir in fleet.weirs:
            joined(weir, 2)
        yield fleet


@pytest.mark.parametrize("way", ["held", "broken"])
def test_who_was_cut_off_trusts_nothing_until_it_has_caught_up(cut_off, way):
    fleet = cut_off
    page = fleet.page()
    page.holds(KEPT, etag="\"1\"", body=b"old")
    for number in (0, 1):
        fleet.at(number)
        page.get()
        assert is_hit(page.get())
    fleet.relay.pause()
    if way == "broken":
        fleet.relay.cut()
    page.holds(KEPT, etag="\"2\"", body=b"new")
    eventually(lambda: not fleet_state(fleet.weirs[1])["connected"])
    # posted until the other's lease is over: then it is done, and one node did it
    answer = eventually(lambda: (said := ask(fleet.weirs[0], "POST", "/api/purge", body={"all": True})).status == 200 and said)
    assert answer.json()["nodes"] == 1
    assert fleet.at(0).get(page).body == b"new"
    assert fleet.at(1).get(page).body == b"old", "it goes on with what it has"
    assert ask(fleet.weirs[1], "POST", "/api/purge", body={"tenant": "default", "tag": "x"}).status == 503
    fleet.relay.resume()
    joined(fleet.weirs[1], 2)
    assert fleet.at(1).get(page).body == b"new"
    assert tell(fleet.weirs[1], "/api/purge", {"tenant": "default", "tag": "x"})["nodes"] == 2


def test_what_was_purged_alone_is_told_when_redis_is_back(cut_off):
    fleet = cut_off
    page = fleet.page().says(KEPT)
    for number in (0, 1):
        fleet.at(number)
        page.get()
        assert is_hit(page.get())
    fleet.relay.pause()
    eventually(lambda: not fleet_state(fleet.weirs[1])["connected"])
    answer = ask(fleet.weirs[1], "POST", "/api/purge", body={"tenant": "default", "url": f"http://test{page.path}"})
    assert (answer.status, answer.json()["reason"], answer.json()["purged"]) == (503, "fleet-unreachable", 1), "here it is done"
    assert is_hit(fleet.at(0).get(page))
    fleet.relay.resume()
    eventually(lambda: fleet.at(0).get(page).body != b"1")


def test_without_redis_a_purge_is_done_here_and_says_so(start_weir):
    with Redis() as redis, Fleet(start_weir, redis, 2) as fleet:
        page = fleet.page().says(KEPT)
        page.get()
        redis.kill()
        eventually(lambda: not fleet_state(fleet.weir)["connected"])
        began = time.monotonic()
        answer = ask(fleet.weir, "POST", "/api/purge", body={"all": True})
        assert (answer.status, answer.json()["reason"]) == (503, "fleet-unreachable")
        assert answer.json()["purged"] >= 1 and time.monotonic() - began < patience(4)
        assert page.get().body == b"2"


@pytest.mark.parametrize("what", ["journal", "nodes"])
def test_a_bus_whose_keys_are_garbage_or_gone_recovers(start_weir, what):
    with Redis() as redis, Fleet(start_weir, redis, 2) as fleet:
        page = fleet.page()
        page.holds(KEPT, etag="\"1\"")
        for number in (0, 1):
            fleet.at(number)
            page.get()
        keys = [key for key in redis.keys(f"{fleet.prefix}:{{bus}}:*") if what.encode() in key]
        assert keys, redis.keys()
        for key in keys:
            redis.ask("SET", key, "garbage")
        answer = ask(fleet.weirs[0], "POST", "/api/purge", body={"tenant": "default", "tag": "x"})
        assert answer.status in (200, 503)
        for key in keys:
            redis.ask("DEL", key)
        for weir in fleet.weirs:
            joined(weir, 2)
        assert eventually(lambda: ask(fleet.weirs[0], "POST", "/api/purge", body={"all": True}).status == 200)
        assert fleet.at(1).get(page).status == 200
        assert all(weir.is_running() for weir in fleet.weirs)


def test_garbage_on_the_channel_is_counted_and_skipped(start_weir):
    with Redis() as redis, Fleet(start_weir, redis, 2) as fleet:
        page = fleet.page().says(KEPT)
        page.get()
        for words in ("", "N", "N x y", "A 1", "N 99999999999999999999 1", "H" + "." * 100000, "\0" * 50, "N 1 1", "A 1 1 99"):
            redis.ask("PUBLISH", f"{fleet.prefix}:{{bus}}:news", words)
        for weir in fleet.weirs:
            joined(weir, 2)
        assert tell(fleet.weirs[0], "/api/purge", {"all": True})["nodes"] == 2
        assert page.get().body == b"2"


# --- the promise, under load and through the death of Redis ---


class Versions:
    """Pages whose versions only grow. What was said to be purged is a floor under what may be read from then on."""

    def __init__(self, count):
        self.count = count
        self.now = [1] * count
        self.floor = [0] * count
        self.locks = [threading.Lock() for _ in range(count)]
        self.asked = 0

    def __call__(self, request):
        self.asked += 1
        return reply(200, b"%d" % self.now[int(request.target.rpartition("/")[2])], KEPT, f"Cache-Tag: tag{request.target.rpartition('/')[2]}")

    def grow(self, number):
        with self.locks[number]:
            self.now[number] += 1
            return self.now[number]

    def purged(self, number, version):
        with self.locks[number]:
            self.floor[number] = max(self.floor[number], version)


class Kept:
    """A connection that is made anew when it has to be."""

    def __init__(self, address):
        self.address = address
        self.wire = None

    def ask(self, method, target, *fields, body=None, host="test"):
        for is_last in (False, True):
            try:
                self.wire = self.wire or Wire(self.address, timeout=patience(15))
                self.wire.request(method, target, *fields, body=body, host=host)
                answer = self.wire.reply(method)
            except (OSError, Broken):
                self.close()
                if is_last:
                    raise
                continue
            if (answer["connection"] or "").lower() == "close":
                self.close()
            return answer

    def close(self):
        if self.wire:
            self.wire.close()
        self.wire = None


class Storm:
    """Posters who purge what they changed, readers who look at all three weirs, until so many purges are posted."""

    def __init__(self, fleet, versions, purges, posters=16, readers=9):
        self.fleet = fleet
        self.versions = versions
        self.left = purges
        self.lock = threading.Lock()
        self.done = self.refused = self.reads = self.hits = 0
        self.violations = []
        self.errors = []
        self.is_over = threading.Event()
        self.posters = [threading.Thread(target=self._guard, args=(self._post, number), daemon=True) for number in range(posters)]
        self.readers = [threading.Thread(target=self._guard, args=(self._read, number), daemon=True) for number in range(readers)]
        for thread in self.posters + self.readers:
            thread.start()

    def _guard(self, run, number):
        try:
            run(number)
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(repr(error))

    def _take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def _post(self, seed):
        dice = random.Random(seed)
        admins = [Kept(weir.admin) for weir in self.fleet.weirs]
        wires = [Kept(weir.address) for weir in self.fleet.weirs]
        while self._take():
            number = dice.randrange(self.versions.count)
            version = self.versions.grow(number)
            way = {"url": f"http://test/v/{number}"} if dice.random() < 0.7 else {"tag": f"tag{number}"}
            body = ('{"tenant": "default", "%s": "%s"}' % (*way, *way.values())).encode()
            answer = dice.choice(admins).ask("POST", "/api/purge", "Content-Type: application/json", body=body, host="127.0.0.1")
            if answer.status == 200:
                self.versions.purged(number, version)
                self._look(number, dice.randrange(len(wires)), wires)
            assert answer.status in (200, 503), answer
            with self.lock:
                self.done += answer.status == 200
                self.refused += answer.status == 503
            if answer.status == 503:
                time.sleep(0.05)  # Redis is away: what is posted now proves nothing
        for kept in admins + wires:
            kept.close()

    def _look(self, number, at, wires):
        """One read, which must not get what was purged before it began."""
        floor = self.versions.floor[number]
        answer = wires[at].ask("GET", f"/v/{number}")
        assert answer.status == 200, answer
        if int(answer.body) < floor:
            self.violations.append(f"weir {at} said {answer.body} of {number} where {floor} was purged: {answer['cache-status']}")
        with self.lock:
            self.reads += 1
            self.hits += is_hit(answer)

    def _read(self, seed):
        dice = random.Random(1000 + seed)
        wires = [Kept(weir.address) for weir in self.fleet.weirs]
        while not self.is_over.is_set():
            self._look(dice.randrange(self.versions.count), dice.randrange(len(wires)), wires)
        for wire in wires:
            wire.close()

    def wait_until(self, share, purges, within=60):
        """Until that share of the purges is posted."""
        eventually(lambda: self.errors or self.left <= purges * (1 - share), within)

    def stop(self, within=60):
        end = time.monotonic() + patience(within)
        for thread in self.posters:
            thread.join(max(end - time.monotonic(), 0.1))
        self.is_over.set()
        for thread in self.readers:
            thread.join(max(end - time.monotonic(), patience(5)))
        assert not self.errors, self.errors[:5]
        assert not any(thread.is_alive() for thread in self.posters + self.readers), "a purge or a read never got its answer"


@pytest.mark.needs_release
def test_ten_thousand_purges_through_the_death_of_redis(start_weir):
    purges_through_the_death_of_redis(start_weir, 10000)


def test_purges_through_the_death_of_redis(start_weir):
    purges_through_the_death_of_redis(start_weir, 800)


def purges_through_the_death_of_redis(start_weir, purges):
    """Whoever starts to read after a 200 to a purge never gets what was there before it was posted."""
    with Redis() as redis, Fleet(start_weir, redis, NODES, settings={"budget": "100ms"}, workers=2) as fleet:
        versions = Versions(60)
        page = fleet.page("/v")
        page.answer = versions
        storm = Storm(fleet, versions, purges)
        try:
            storm.wait_until(0.5, purges)
            redis.kill()
            time.sleep(0.3)
            redis.start()
        finally:
            storm.stop()
        assert not storm.violations, (len(storm.violations), storm.violations[:5])
        assert storm.done >= 0.5 * purges and storm.done + storm.refused == purges, (storm.done, storm.refused)
        assert storm.reads > 500 and storm.hits > 0.2 * storm.reads, (storm.reads, storm.hits)
        for weir in fleet.weirs:
            joined(weir, NODES)
            assert total(metrics(weir), "weir_fleet_distrusts_total") >= 1


def test_no_purge_is_lost_while_a_weir_comes_and_goes(start_weir):
    purges = 300
    with Redis() as redis, Fleet(start_weir, redis, NODES, settings={"budget": "100ms"}, workers=2) as fleet:
        versions = Versions(20)
        fleet.page("/v").answer = versions
        storm = Storm(fleet, versions, purges, posters=6, readers=6)
        try:
            storm.wait_until(0.2, purges)
            fleet.weirs[2].freeze()
            time.sleep(0.4)
            fleet.weirs[2].thaw()
        finally:
            storm.stop()
        assert not storm.violations, (len(storm.violations), storm.violations[:5])
        assert storm.done > 0.5 * purges
