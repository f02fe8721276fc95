"""One fetch for all who wait: whoever leads, wherever the others are, whatever comes of it."""

import itertools
import threading

import pytest
from harness import chunked, eventually, patience, reply
from stories import OUTDATED, Site, cache_status, is_hit, metrics, tell, together, total

KEPT = "Cache-Control: max-age=60"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class Held:
    """An app that answers /ping at once, and each other request step by step: its head when `begin` is set, its end with `end`."""

    def __init__(self, *fields, first=b"first;", rest=b"rest"):
        self.head = b"".join(field.encode() + b"\r\n" for field in fields)
        self.first, self.rest = first, rest
        self.begin, self.end = threading.Event(), threading.Event()
        self.numbers = itertools.count(1)
        self.aborted = set()  # targets whose replies break off in the middle

    def __call__(self, peer):
        while request := peer.read_head():
            peer.read_body(request)
            if request.target == "/ping":
                peer.send(reply(200, b"", "Cache-Control: no-store"))
                continue
            self.begin.wait(patience(30))
            piece = self.first if self.first else b"%d;" % next(self.numbers)
            peer.send(b"HTTP/1.1 200 Fine\r\n" + self.head + CHUNKED + b"%x\r\n%s\r\n" % (len(piece), piece))
            self.end.wait(patience(30))
            if request.target in self.aborted:
                return
            peer.send(chunked(self.rest))

    def let_go(self):
        self.begin.set()
        self.end.set()

    @property
    def whole(self):
        return self.first + self.rest


@pytest.fixture
def start(start_weir, start_app):
    def start(script, **config):
        app = start_app(None, script)
        weir = start_weir(app, **config)
        weir.app = app
        return weir

    return start


def fetches(weir):
    return [request for request in weir.app.requests if request.target != "/ping"]


def ping(weir):
    assert weir.get("/ping").status == 200


def join(weir, count=1, *fields, target="/x", method="GET"):
    """So many clients who wait. With one worker they are in when this returns: it answers in the order it reads."""
    wires = []
    for _ in range(count):
        wire = weir.wire(timeout=patience(30))
        wire.request("GET", "/ping")
        assert wire.reply().status == 200
        wire.request(method, target, *fields)
        wires.append(wire)
    ping(weir)
    return wires


def piece(wire, data):
    assert int(wire.line(), 16) == len(data)
    assert wire.exactly(len(data)) == data


def rest(wire):
    assert wire.exactly(2) == b"\r\n"
    found = b""
    while more := wire.chunk():
        found += more
    return found


def all_whole(wires, whole):
    for wire in wires:
        answer = wire.reply()
        assert (answer.status, answer.body) == (200, whole), answer
        wire.close()


# --- streaming ---


@pytest.mark.parametrize("workers", [1, 2])
def test_all_who_wait_read_the_first_bytes_as_they_come(start, workers):
    app = Held(KEPT)
    weir = start(app, workers=workers)
    wires = join(weir, 24)
    eventually(lambda: fetches(weir))
    app.begin.set()
    for wire in wires:
        assert wire.reply_head().status == 200
        piece(wire, app.first)
    assert not app.end.is_set()
    app.end.set()
    assert [rest(wire) for wire in wires] == [app.rest] * 24
    for wire in wires:
        wire.close()
    assert len(fetches(weir)) == 1
    assert is_hit(weir.get("/x"))
    eventually(lambda: total(metrics(weir), "weir_cache_collapsed_total") >= 20)


def test_who_comes_in_the_middle_reads_from_the_beginning(start):
    app = Held(KEPT)
    weir = start(app, workers=2)
    wires = join(weir)
    app.begin.set()
    wires[0].reply_head()
    piece(wires[0], app.first)
    late = join(weir, 8)
    for wire in late:
        assert wire.reply_head().status == 200
        piece(wire, app.first)
    app.end.set()
    for wire in (*wires, *late):
        assert rest(wire) == app.rest
        wire.close()
    assert len(fetches(weir)) == 1


def test_a_slow_reader_does_not_hold_up_the_others(start):
    app = Held(KEPT, first=b"x" * 100_000, rest=b"y" * 2_000_000)
    weir = start(app)
    wires = join(weir, 3)
    slow = weir.wire(receive_buffer=4096)
    slow.request("GET", "/x")
    ping(weir)
    app.let_go()
    all_whole(wires, app.whole)
    answer = slow.reply()
    assert answer.body == app.whole
    slow.close()
    assert len(fetches(weir)) == 1


def test_heads_and_ranges_and_conditions_wait_with_the_others(start):
    app = Held(KEPT, "ETag: \"1\"")
    weir = start(app)
    leader, = join(weir)
    head, = join(weir, 1, method="HEAD")
    condition, = join(weir, 1, "If-None-Match: \"1\"")
    app.let_go()
    assert leader.reply().body == app.whole
    assert head.reply("HEAD").status == 200
    answer = condition.reply()
    assert answer.status == 304 or answer.body == app.whole
    for wire in (leader, head, condition):
        wire.close()
    assert is_hit(weir.get("/x"))


# --- leaders and followers who leave ---


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("is_begun", [False, True], ids=["before-the-head", "in-the-body"])
def test_a_leader_that_leaves_takes_nobody_along(start, workers, is_begun):
    app = Held(KEPT)
    weir = start(app, workers=workers)
    leader, = join(weir)
    eventually(lambda: len(fetches(weir)) == 1)
    wires = join(weir, 8)
    if is_begun:
        app.begin.set()
        leader.reply_head()
    leader.reset()
    ping(weir)
    app.let_go()
    all_whole(wires, app.whole)
    assert len(fetches(weir)) == 1, "its fetch goes on"
    assert weir.get("/x").body == app.whole


def test_one_leader_after_the_other_leaves(start):
    app = Held(KEPT)
    weir = start(app)
    wires = join(weir, 10)
    for wire in wires[:-1]:
        wire.reset()
        ping(weir)
    app.let_go()
    all_whole(wires[-1:], app.whole)
    assert len(fetches(weir)) <= 2


def test_followers_that_leave_change_nothing(start):
    app = Held(KEPT)
    weir = start(app, workers=2)
    leader, = join(weir)
    eventually(lambda: len(fetches(weir)) == 1)
    for wire in join(weir, 10):
        wire.reset()
    ping(weir)
    app.let_go()
    all_whole([leader], app.whole)
    assert len(fetches(weir)) == 1


def test_when_all_have_left_the_next_one_is_served(start):
    app = Held(KEPT)
    weir = start(app)
    for wire in join(weir, 5):
        wire.reset()
    ping(weir)
    app.let_go()
    assert weir.get("/x").body == app.whole


# --- what may not be shared ---


RELEASING = [["Cache-Control: private, max-age=60"], ["Cache-Control: no-store"], [KEPT, "Set-Cookie: a=b"], [KEPT, "Vary: *"], ["X-None: 1"],
             ["Cache-Control: max-age=0"]]


@pytest.mark.parametrize("fields", RELEASING, ids=[";".join(fields) for fields in RELEASING])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_answer_for_one_releases_each_to_its_own(start, fields, workers):
    app = Held(*fields, first=b"")
    weir = start(app, workers=workers)
    wires = join(weir, 12)
    app.let_go()
    bodies = [wire.reply().body for wire in wires]
    for wire in wires:
        wire.close()
    assert len(set(bodies)) == 12, "nobody got what was another's"
    assert len(fetches(weir)) == 12


def test_those_released_do_not_go_one_behind_the_other(start):
    app = Held("Cache-Control: private", first=b"")
    weir = start(app)
    wires = join(weir, 6)
    app.begin.set()
    eventually(lambda: len(fetches(weir)) == 6, why="all should be with the app at once, though none has ended")
    assert not app.end.is_set()
    app.end.set()
    assert len({wire.reply().body for wire in wires}) == 6
    for wire in wires:
        wire.close()


def test_hit_for_miss_a_hot_key_that_can_not_be_stored_is_not_serialised(start):
    app = Held("Cache-Control: no-store", first=b"")
    weir = start(app)
    app.let_go()
    weir.get("/x")
    app.begin.clear()
    wires = join(weir, 10)
    eventually(lambda: len(fetches(weir)) == 11, why="nobody should wait for another")
    app.begin.set()
    assert len({wire.reply().body for wire in wires}) == 10
    for wire in wires:
        wire.close()


def test_hit_for_miss_ends_when_it_can_be_stored_again(start_weir):
    with Site(start_weir) as site:
        page = site.page().says("Cache-Control: no-store")
        for _ in range(3):
            page.get()
        page.says(KEPT)
        page.get()
        assert page.is_reused()


def test_users_are_not_made_to_wait_for_each_other(start):
    """Requests with Authorization whose answers are not known to be public: alone from the start or released, but each with its own."""
    app = Held(KEPT, first=b"")
    weir = start(app, workers=2)
    wires = [join(weir, 1, f"Authorization: Basic {number}")[0] for number in range(6)]
    app.let_go()
    assert len({wire.reply().body for wire in wires}) == 6
    for wire in wires:
        wire.close()


def test_a_request_that_is_not_to_be_stored_waits_for_nobody(start):
    app = Held(KEPT)
    weir = start(app)
    wires = join(weir) + join(weir, 3, "Cache-Control: no-store")
    eventually(lambda: len(fetches(weir)) == 4)
    app.let_go()
    all_whole(wires, app.whole)


def test_writes_are_never_collapsed(start):
    app = Held(KEPT)
    weir = start(app)
    wires = join(weir, 4, "Content-Length: 0", method="POST")
    eventually(lambda: len(fetches(weir)) == 4)
    app.let_go()
    all_whole(wires, app.whole)


# --- varying answers ---


def varying(go):
    def answer(request):
        go.wait(patience(30))
        return reply(200, (request["accept-language"] or "-").encode(), KEPT, "Vary: Accept-Language")

    return answer


@pytest.mark.parametrize("workers", [1, 2])
def test_waiters_of_a_varying_answer_get_their_own_variant(start_weir, workers):
    go = threading.Event()
    with Site(start_weir, workers=workers) as site:
        page = site.page()
        page.answer = varying(go)
        languages = ["de", "en", "fr"] * 8

        def ask(index):
            if index == len(languages):
                eventually(lambda: page.requests)
                go.set()
                return None
            return page.get(f"Accept-Language: {languages[index]}")

        answers = together(len(languages) + 1, ask)[:-1]
        assert [answer.body.decode() for answer in answers] == languages
        assert len(page.requests) <= 12, "about one fetch for each variant, not for each client"
        assert all(page.is_reused(f"Accept-Language: {language}") for language in ("de", "en", "fr"))


def test_many_variants_at_once_all_end(start_weir):
    go = threading.Event()
    go.set()
    with Site(start_weir, workers=2) as site:
        page = site.page()
        page.answer = varying(go)
        answers = together(40, lambda index: page.get(f"Accept-Language: x{index}"))
        assert [answer.body.decode() for answer in answers] == [f"x{index}" for index in range(40)]


# --- failures ---


def failing(held, what):
    """A script: `held` until go, then what the name says."""

    def script(peer):
        while request := peer.read_head():
            if request.target == "/ping":
                peer.send(reply(200, b"", "Cache-Control: no-store"))
                continue
            held.wait(patience(30))
            if what == "closes":
                return
            if what == "503":
                peer.send(reply(503, b"no", "Cache-Control: no-store"))
            else:
                peer.send(b"garbage\r\n\r\n")
                return

    return script


@pytest.mark.parametrize("what, code", [("closes", 502), ("503", 503), ("garbage", 502)])
def test_a_failure_is_told_to_all_who_wait(start, what, code):
    go = threading.Event()
    weir = start(failing(go, what), upstream={"retries": {"attempts": 0}})
    wires = join(weir, 8)
    go.set()
    assert [wire.reply().status for wire in wires] == [code] * 8
    for wire in wires:
        wire.close()
    if what != "503":
        assert len(fetches(weir)) < 8, "they did not all run into it one after the other"


def test_a_timeout_is_told_to_all_who_wait_at_once(start):
    go = threading.Event()
    weir = start(failing(go, "closes"), upstream={"retries": {"attempts": 0}, "timeouts": {"first_byte": "300ms"}})
    wires = join(weir, 5)
    assert [wire.reply().status for wire in wires] == [504] * 5
    for wire in wires:
        wire.close()
    go.set()


def test_a_reply_that_breaks_off_breaks_off_for_all_and_is_not_kept(start):
    app = Held(KEPT)
    app.aborted.add("/x")
    weir = start(app, workers=2)
    wires = join(weir, 6)
    app.begin.set()
    for wire in wires:
        wire.reply_head()
        piece(wire, app.first)
    app.end.set()
    for wire in wires:
        with pytest.raises(Exception):
            rest(wire)
        wire.close()
    app.aborted.clear()
    assert weir.get("/x").body == app.whole


def test_a_failure_is_not_remembered(start):
    app = Held(KEPT)
    app.let_go()
    is_broken = threading.Event()
    is_broken.set()

    def script(peer):
        if is_broken.is_set():
            peer.read_head()
            return
        app(peer)

    weir = start(script, upstream={"retries": {"attempts": 0}})
    assert weir.get("/x").status == 502
    is_broken.clear()
    assert eventually(lambda: weir.get("/x").status == 200)


# --- validation and size ---


@pytest.mark.parametrize("workers", [1, 2])
def test_one_validation_for_all_who_wait(start_weir, workers):
    asked, go = threading.Event(), threading.Event()
    with Site(start_weir, workers=workers) as site:
        page = site.page()
        plain = page.holds(*OUTDATED, etag="\"1\"", renewed=[KEPT]).answer
        page.get()

        def held(request):
            asked.set()
            go.wait(patience(20))
            return plain(request)

        page.answer = held
        with site.weir.wire(timeout=patience(20)) as leader:
            leader.request("GET", page.path)
            assert asked.wait(patience(10))
            wires = [site.weir.wire(timeout=patience(20)) for _ in range(10)]
            for wire in wires:
                wire.request("GET", page.path)
            go.set()
            for wire in (leader, *wires):
                answer = wire.reply()
                assert (answer.status, answer.body) == (200, b"the whole")
            for wire in wires:
                wire.close()
        assert len(page.requests) == 2
        assert page.last["if-none-match"] == "\"1\""


@pytest.mark.parametrize("how", ["write", "purge", "soft", "tag"])
@pytest.mark.parametrize("workers", [1, 2])
def test_who_waited_for_a_validation_looks_again_when_it_was_taken_away(start_weir, how, workers):
    asked, go = threading.Event(), threading.Event()
    with Site(start_weir, workers=workers) as site:
        page = site.page()
        plain = page.holds(*OUTDATED, "Cache-Tag: here", etag="\"1\"", renewed=[KEPT]).answer
        page.get()

        def held(request):
            if request.method == "GET":
                asked.set()
                go.wait(patience(20))
            return plain(request)

        page.answer = held
        wires = [site.weir.wire(timeout=patience(20)) for _ in range(8)]
        for wire in wires:
            wire.request("GET", page.path)
        assert asked.wait(patience(10))
        for _ in range(4):
            site.ask("GET", "/nothing")  # the others have been read by now
        if how == "write":
            page.ask("POST", body=b"")
        else:
            way = {"purge": {"url": f"http://test{page.path}"}, "soft": {"url": f"http://test{page.path}", "soft": True}, "tag": {"tag": "here"}}[how]
            tell(site.weir, "/api/purge", {"tenant": "default", **way})
        go.set()
        for wire in wires:
            answer = wire.reply()
            assert (answer.status, answer.body) == (200, b"the whole")
            wire.close()
        assert page.get().body == b"the whole"


def test_an_answer_that_is_too_large_to_keep_still_feeds_all(start):
    app = Held(KEPT, first=b"x" * 50_000, rest=b"y" * 500_000)
    weir = start(app, workers=2, cache={"object_max": "64KiB"})
    wires = join(weir, 6)
    app.let_go()
    answers = together(6, lambda index: wires[index].reply())
    assert all(answer.body == app.whole for answer in answers)
    for wire in wires:
        wire.close()
    assert not is_hit(weir.get("/x"))


def test_followers_of_an_answer_for_an_old_client_are_served_as_they_are(start):
    """HTTP/1.0 leads: what it can't be told (chunks) is told to the others."""
    app = Held(KEPT)
    weir = start(app)
    with weir.wire(timeout=patience(20)) as old:
        old.send(b"GET /x HTTP/1.0\r\nHost: test\r\n\r\n")
        ping(weir)
        wires = join(weir, 4)
        app.let_go()
        all_whole(wires, app.whole)
        answer = old.reply()
        assert answer.body == app.whole and answer.framing != "chunked"
    assert len(fetches(weir)) == 1


def test_without_a_cache_nobody_waits(start):
    app = Held(KEPT)
    weir = start(app, cache={"memory": 0})
    wires = join(weir, 5)
    eventually(lambda: len(fetches(weir)) == 5)
    app.let_go()
    all_whole(wires, app.whole)


def test_two_keys_do_not_wait_for_each_other(start):
    app = Held(KEPT)
    weir = start(app)
    wires = [join(weir, 1, target=f"/{number}")[0] for number in range(5)]
    eventually(lambda: len(fetches(weir)) == 5)
    app.let_go()
    all_whole(wires, app.whole)


def test_twenty_keys_and_two_hundred_clients(start_weir):
    with Site(start_weir, workers=2) as site:
        pages = [site.page().says(KEPT, body=b"%d" % number) for number in range(20)]
        answers = together(200, lambda index: pages[index % 20].get())
        assert all(answer.body == b"%d" % (index % 20) for index, answer in enumerate(answers))
        assert all(len(page.requests) == 1 for page in pages)
        assert all(cache_status(answer).get("hit") or "stored" in cache_status(answer) or "collapsed" in cache_status(answer) for answer in answers)


def test_an_app_that_asks_weir_for_the_same_page_does_not_wait_for_itself_for_ever(start_weir):
    """A loop that the app made: each round is a request of its own, and some limit of the app or of Via ends it; weir must answer in the end."""
    with Site(start_weir, upstream={"retries": {"attempts": 0}, "timeouts": {"first_byte": "400ms"}}) as site:
        page = site.page()

        def ask_again(request):
            if "x-round" not in request:
                page.get("X-Round: 1")
            return reply(200, b"round", KEPT)

        page.answer = ask_again
        assert page.get().status in (200, 504)
