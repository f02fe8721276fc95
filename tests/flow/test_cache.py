"""What is stored, for whom, for how long, and that one fetch feeds everyone who waits for it."""

import itertools
import threading

import pytest
from harness import SANITIZED, Broken, chunked, eventually, patience, reply
from stories import ask, cache_status, is_hit, metrics, status, tell, together, total

KEPT = "Cache-Control: max-age=60"


class Counted:
    """An app that numbers its answers, so that a stored one can be told from a new one."""

    def __init__(self, *fields, code=200):
        self.numbers = itertools.count(1)
        self.fields = fields
        self.code = code

    def __call__(self, request):
        return reply(self.code, b"%d" % next(self.numbers), *self.fields)


def get(weir, target="/x", *fields, method="GET", host="test", body=None):
    with weir.wire() as wire:
        wire.request(method, target, *fields, host=host, body=body)
        return wire.reply(method)


def bodies(weir, count=2, target="/x", *fields):
    return [get(weir, target, *fields).body.decode() for _ in range(count)]


@pytest.fixture
def start(start_weir, start_app):
    """start(answer, **config): weir in front of an app; weir.app is the app."""

    def start(answer, script=None, **config):
        app = start_app(answer, script)
        weir = start_weir(app, **config)
        weir.app = app
        return weir

    return start


def route(**rule):
    return [{"name": "kept", "path": "/**", "cache": rule}]


# --- explicit freshness ---


def test_a_miss_is_stored_and_the_next_is_a_hit_with_its_age(start):
    weir = start(reply(200, b"kept", KEPT, "ETag: \"1\""))
    miss = get(weir)
    assert cache_status(miss) == {"fwd": "uri-miss", "stored": True, **({"ttl": cache_status(miss)["ttl"]} if "ttl" in cache_status(miss) else {})}
    assert "age" not in miss
    hit = get(weir)
    assert (hit.status, hit.body) == (200, b"kept")
    assert cache_status(hit)["hit"] is True
    assert 55 <= int(cache_status(hit)["ttl"]) <= 60
    assert 0 <= int(hit["age"]) <= 5
    assert hit["via"] == "1.1 weir" and hit["date"] and hit["etag"] == "\"1\"" and hit["cache-control"] == "max-age=60"
    assert hit["x-request-id"] != miss["x-request-id"]
    assert len(weir.app.requests) == 1


def test_an_answer_that_was_stored_before_comes_with_its_age(start):
    weir = start(reply(200, b"x", KEPT, "Age: 50"))
    assert int(get(weir)["age"]) >= 50
    hit = get(weir)
    assert 50 <= int(hit["age"]) <= 55 and int(cache_status(hit)["ttl"]) <= 10


@pytest.mark.parametrize("fields", [
    ["Cache-Control: s-maxage=60"], ["Cache-Control: public, max-age=60"], ["Cache-Control: max-age=0, s-maxage=60"],
    ["Cache-Control: max-age=60, must-revalidate"], ["Expires: Fri, 01 Jan 2100 00:00:00 GMT"]])
def test_freshness_of_its_own_is_stored(start, fields):
    assert bodies(start(Counted(*fields))) == ["1", "1"]


@pytest.mark.parametrize("fields", [
    [], ["Cache-Control: no-store"], ["Cache-Control: private, max-age=60"], ["Cache-Control: max-age=60, no-store"],
    ["Cache-Control: max-age=60, s-maxage=0"], ["Cache-Control: max-age=banana"], ["Expires: 0"], ["Expires: Mon, 01 Jan 2001 00:00:00 GMT"],
    ["Cache-Control: max-age=60", "Vary: *"], ["Cache-Control: max-age=60", "Set-Cookie: a=b"], ["Cache-Control: max-age=60", "Age: 60"],
    ["Cache-Control: no-cache, max-age=60"]])
def test_what_must_not_be_reused_is_not(start, fields):
    assert bodies(start(Counted(*fields))) == ["1", "2"]


def test_a_shared_cache_goes_by_s_maxage(start):
    assert bodies(start(Counted("Cache-Control: max-age=60, s-maxage=0"))) == ["1", "2"]
    assert bodies(start(Counted("Cache-Control: private=\"set-cookie\", s-maxage=60"))) in (["1", "1"], ["1", "2"])


@pytest.mark.parametrize("code, is_stored", [(200, True), (203, True), (301, True), (404, True), (410, True), (500, False), (503, False)])
def test_other_codes_with_explicit_freshness(start, code, is_stored):
    found = bodies(start(Counted(KEPT, code=code)))
    assert found in ([["1", "1"]] if is_stored else [["1", "1"], ["1", "2"]])


def test_set_cookie_is_stored_where_the_config_says_so(start):
    weir = start(Counted(KEPT, "Set-Cookie: a=b"), cache={"set_cookie": "store"})
    assert bodies(weir) == ["1", "1"]
    assert get(weir)["set-cookie"] == "a=b"


def test_memory_zero_turns_it_off(start):
    weir = start(Counted(KEPT), cache={"memory": "0"})
    assert bodies(weir) == ["1", "2"]
    assert "cache-status" not in get(weir)


def test_an_authorized_request_is_only_answered_from_what_allows_it(start):
    weir = start(Counted(KEPT))
    assert bodies(weir, 2, "/x", "Authorization: Basic YTpi") == ["1", "2"]
    assert bodies(weir) == ["3", "3"]
    assert bodies(weir, 1, "/x", "Authorization: Basic YTpi") == ["4"]
    public = start(Counted("Cache-Control: public, max-age=60"))
    assert bodies(public, 2, "/x", "Authorization: Basic YTpi") == ["1", "1"]


def test_a_request_may_ask_not_to_be_stored_or_for_a_new_answer(start):
    weir = start(Counted(KEPT))
    assert bodies(weir, 1, "/x", "Cache-Control: no-store") == ["1"]
    assert bodies(weir) == ["2", "2"]
    assert bodies(weir, 1, "/x", "Cache-Control: no-cache") == ["3"]
    assert bodies(weir) == ["3", "3"], "the new answer took its place"
    assert bodies(weir, 1, "/x", "Pragma: no-cache") == ["4"]


def test_only_if_cached_asks_nobody(start):
    weir = start(Counted(KEPT))
    get(weir, "/x", "Cache-Control: only-if-cached").is_problem(504, "only-if-cached")
    get(weir)
    assert get(weir, "/x", "Cache-Control: only-if-cached").body == b"1"
    assert len(weir.app.requests) == 1


def test_a_request_with_a_body_passes_by(start):
    weir = start(Counted(KEPT))
    assert [get(weir, body=b"q").body for _ in range(2)] == [b"1", b"2"]


def test_queries_hosts_and_targets_are_told_apart_to_the_byte(start):
    weir = start(Counted(KEPT))
    targets = ["/x", "/x?", "/x?a=1&b=2", "/x?b=2&a=1", "/X", "/%78", "/x/"]
    first = [get(weir, target).body for target in targets]
    assert len(set(first)) == len(targets)
    assert [get(weir, target).body for target in targets] == first
    assert get(weir, "/x", host="other.example.com").body not in first
    assert get(weir, "/x", host="TEST:80").body == first[0], "the same authority, normalised"


# --- the route's ttl, and who may share what it stores ---


def test_a_ttl_stores_what_says_nothing_and_ends(start):
    weir = start(Counted(), routes=route(ttl="1s"))
    assert bodies(weir) == ["1", "1"]
    eventually(lambda: get(weir).body == b"2", why="it should have become stale")


def test_a_ttl_does_not_override_the_apps_own_word(start):
    assert bodies(start(Counted("Cache-Control: no-store"), routes=route(ttl="60s"))) == ["1", "2"]
    assert bodies(start(Counted("Cache-Control: private"), routes=route(ttl="60s"))) == ["1", "2"]
    assert bodies(start(Counted("Cache-Control: max-age=0"), routes=route(ttl="60s"))) == ["1", "2"]


def test_a_ttl_stores_no_errors(start):
    assert bodies(start(Counted(code=500), routes=route(ttl="60s"))) == ["1", "2"]


CREDENTIALS = ["Authorization: Basic YTpi", "Cookie: session=1"]


@pytest.mark.parametrize("share", ["public", "tenant"])
@pytest.mark.parametrize("field", CREDENTIALS)
def test_who_brings_credentials_passes_by_what_a_ttl_stored(start, share, field):
    weir = start(Counted(), routes=route(ttl="60s", share=share))
    assert bodies(weir) == ["1", "1"]
    passed = get(weir, "/x", field)
    assert passed.body == b"2" and "hit" not in cache_status(passed)
    assert bodies(weir) == ["1", "1"], "and leaves it alone"


def test_credentials_keep_answers_apart(start):
    weir = start(lambda request: reply(200, (request["cookie"] or request["authorization"] or "nobody").encode()),
                 routes=route(ttl="60s", share="credential"))
    for field in ("Cookie: session=1", "Cookie: session=2", "Authorization: Basic YTpi", "X-None: 0"):
        first, again = get(weir, "/x", field), get(weir, "/x", field)
        assert first.body == again.body and is_hit(again)
        assert first.body.decode() in (field.split(": ")[1], "nobody")
    assert len(weir.app.requests) == 4


def test_only_the_named_cookies_count(start):
    weir = start(Counted(), routes=route(ttl="60s", cookies=["session"]))
    assert bodies(weir, 2, "/x", "Cookie: theme=dark") == ["1", "1"]
    assert bodies(weir, 1, "/x", "Cookie: theme=light; lang=en") == ["1"]
    assert bodies(weir, 1, "/x", "Cookie: theme=dark; session=1") == ["2"]


@pytest.mark.parametrize("target", ["/a/../x", "/./x", "/x/..", "//x", "/x//y", "/x;a=b", "/%2e%2e/x", "/a/%2E/x", "/a%2fx", "/a%5Cx", "/%2e/x"])
def test_a_path_that_may_mean_another_gets_no_ttl(start, target):
    weir = start(Counted(), routes=route(ttl="60s"))
    assert bodies(weir, 2, target) == ["1", "2"]


def test_a_suffix_that_looks_like_a_file_makes_nothing_cacheable(start):
    assert bodies(start(Counted()), 2, "/account/logo.css") == ["1", "2"]


# --- Vary ---


def test_variants_are_kept_beside_each_other(start):
    weir = start(lambda request: reply(200, (request["accept-language"] or "-").encode(), KEPT, "Vary: Accept-Language"))
    for language in ("de", "en", "de", "en"):
        assert get(weir, "/x", f"Accept-Language: {language}").body.decode() == language
    assert get(weir).body == b"-"
    assert len(weir.app.requests) == 3
    assert is_hit(get(weir, "/x", "Accept-Language: de"))
    assert cache_status(get(weir, "/x", "Accept-Language: fr"))["fwd"] == "vary-miss"


def test_variants_by_two_fields(start):
    weir = start(lambda request: reply(200, f"{request['a']}-{request['b']}".encode(), KEPT, "Vary: A", "Vary: B"))
    for pair in ("11", "12", "21", "11", "12", "21"):
        assert get(weir, "/x", f"A: {pair[0]}", f"B: {pair[1]}").body.decode() == f"{pair[0]}-{pair[1]}"
    assert len(weir.app.requests) == 3


# --- validation, conditions, ranges, HEAD ---


def validating(validator, fresh_after="max-age=60"):
    """Answers with a 304 what still matches; the 304 makes it fresh again."""
    name, value = validator.split(": ", 1)
    condition = "if-none-match" if name == "ETag" else "if-modified-since"

    def answer(request):
        if request[condition] == value:
            return reply(304, b"", validator, f"Cache-Control: {fresh_after}", "X-Renewed: yes", length=False)
        return reply(200, b"the whole", validator, "Cache-Control: max-age=0", "Content-Type: text/x-kept")

    return answer


@pytest.mark.parametrize("validator", ["ETag: \"one\"", "ETag: W/\"one\"", "Last-Modified: Mon, 01 Jan 2001 00:00:00 GMT"])
def test_a_stale_answer_is_asked_about_and_renewed(start, validator):
    weir = start(validating(validator))
    assert get(weir).body == b"the whole"
    renewed = get(weir)
    assert (renewed.status, renewed.body) == (200, b"the whole")
    assert cache_status(renewed)["fwd"] == "stale" and cache_status(renewed)["fwd-status"] == "304"
    assert renewed["x-renewed"] == "yes" and renewed["content-type"] == "text/x-kept" and renewed["cache-control"] == "max-age=60"
    again = get(weir)
    assert is_hit(again) and again["x-renewed"] == "yes" and again.body == b"the whole"
    assert len(weir.app.requests) == 2


def test_a_changed_answer_takes_the_old_ones_place(start):
    numbers = itertools.count(1)
    weir = start(lambda request: reply(200, b"%d" % next(numbers), f"ETag: \"{len(request.fields)}\"", "Cache-Control: no-cache"))
    assert bodies(weir, 3) == ["1", "2", "3"]
    assert weir.app.requests[1]["if-none-match"]


def test_a_304_without_a_new_lifetime_is_asked_again(start):
    weir = start(validating("ETag: \"one\"", fresh_after="max-age=0"))
    assert [get(weir).status for _ in range(3)] == [200, 200, 200]
    assert len(weir.app.requests) == 3


def test_a_clients_own_condition_is_not_lost_on_a_miss(start):
    weir = start(validating("ETag: \"one\""))
    answer = get(weir, "/x", "If-None-Match: \"one\"")
    assert answer.status in (200, 304)
    if answer.status == 304:
        assert answer.body == b"" and answer["etag"] == "\"one\""


def test_conditions_are_answered_from_what_is_stored(start):
    weir = start(reply(200, b"kept", KEPT, "ETag: \"one\"", "Last-Modified: Mon, 01 Jan 2001 00:00:00 GMT"))
    get(weir)
    for field in ("If-None-Match: \"one\"", "If-None-Match: W/\"one\"", "If-None-Match: \"zero\", \"one\"", "If-None-Match: *",
                  "If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT", "If-Modified-Since: Tue, 02 Jan 2001 00:00:00 GMT"):
        answer = get(weir, "/x", field)
        assert (answer.status, answer.body) == (304, b""), (field, answer)
        assert answer["etag"] == "\"one\"" and is_hit(answer) and "content-length" not in answer
    for field in ("If-None-Match: \"other\"", "If-Modified-Since: Sun, 31 Dec 2000 00:00:00 GMT", "If-Modified-Since: banana"):
        assert get(weir, "/x", field).status == 200, field
    assert len(weir.app.requests) == 1


def test_ranges_are_cut_from_a_complete_entry(start):
    whole = bytes(range(256)) * 40
    weir = start(reply(200, whole, KEPT, "ETag: \"one\"", "Content-Type: text/x-kept"))
    get(weir)
    for asked, start_at, end_at in (("0-0", 0, 1), ("5-99", 5, 100), ("10000-", 10000, 10240), ("-5", 10235, 10240), ("10239-99999", 10239, 10240)):
        part = get(weir, "/x", f"Range: bytes={asked}")
        assert part.status == 206, part
        assert part.body == whole[start_at:end_at]
        assert part["content-range"] == f"bytes {start_at}-{end_at - 1}/10240" and part["content-type"] == "text/x-kept"
    beyond = get(weir, "/x", "Range: bytes=10240-")
    assert beyond.status == 416 and beyond["content-range"] == "bytes */10240"
    assert get(weir, "/x", "Range: bytes=0-4", "If-Range: \"one\"").status == 206
    assert get(weir, "/x", "Range: bytes=0-4", "If-Range: \"two\"").body == whole
    assert get(weir, "/x", "Range: rows=0-4").body == whole
    assert get(weir, "/x", "Range: bytes=4-0").body == whole
    assert len(weir.app.requests) == 1


def test_a_range_that_misses_is_the_apps_and_is_not_stored(start):
    weir = start(lambda request: reply(206, b"p", KEPT, "Content-Range: bytes 0-0/9") if request["range"] else reply(200, b"123456789", KEPT))
    assert get(weir, "/x", "Range: bytes=0-0").status == 206
    assert get(weir).body == b"123456789"


def test_head_is_answered_from_a_stored_get_and_stores_nothing(start):
    weir = start(lambda request: reply(200, b"", KEPT, "Content-Length: 7", length=False) if request.method == "HEAD" else reply(200, b"the get", KEPT))
    first = get(weir, method="HEAD")
    assert (first.status, first["content-length"], first.body) == (200, "7", b"")
    assert get(weir).body == b"the get", "a HEAD brought no body to store"
    head = get(weir, method="HEAD")
    assert is_hit(head) and head["content-length"] == "7" and head.body == b""
    assert [request.method for request in weir.app.requests] == ["HEAD", "GET"]


# --- unsafe methods ---


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_what_may_change_it_makes_it_go(start, method):
    weir = start(Counted(KEPT))
    assert bodies(weir) == ["1", "1"]
    passed = get(weir, method=method, body=b"new")
    assert passed.body == b"2" and cache_status(passed)["fwd"] == "method"
    assert bodies(weir, 1) == ["3"]
    assert eventually(lambda: is_hit(get(weir))), "and what is fetched after it is stored again"


def test_what_failed_changes_nothing(start):
    weir = start(lambda request: reply(200, b"kept", KEPT) if request.method == "GET" else reply(500, b"no"))
    get(weir)
    assert get(weir, method="POST", body=b"").status == 500
    assert is_hit(get(weir))


def test_an_answer_that_was_under_way_when_it_changed_is_not_kept(start):
    asked, go = threading.Event(), threading.Event()
    numbers = itertools.count(1)

    def answer(request):
        number = next(numbers)
        if number == 1:
            asked.set()
            go.wait(patience(20))
        return reply(200, b"%d" % number, KEPT)

    weir = start(answer)
    with weir.wire() as wire:
        wire.request("GET", "/x")
        assert asked.wait(patience(10))
        assert get(weir, method="POST", body=b"").body == b"2"
        go.set()
        assert wire.reply().body == b"1"
    assert get(weir).body == b"3", "what was fetched before the write must not be handed on after it"


# --- one fetch for all who wait ---


def read_piece(wire, piece):
    """The data of a chunk that is `piece`; the line end behind it may come with the next one."""
    assert int(wire.line(), 16) == len(piece)
    assert wire.exactly(len(piece)) == piece


def read_rest(wire):
    """What comes behind read_piece(), to the end."""
    assert wire.exactly(2) == b"\r\n"
    rest = b""
    while piece := wire.chunk():
        rest += piece
    return rest


class Session:
    """One client that asks on a kept connection, and on the next one when weir has closed it."""

    def __init__(self, weir):
        self.weir = weir
        self.wire = None

    def __call__(self, target):
        self.wire = self.wire or self.weir.wire()
        self.wire.request("GET", target)
        answer = self.wire.reply()
        assert answer.status == 200, answer
        if answer["connection"] == "close":
            self.close()
        return answer

    def close(self):
        self.wire.close()
        self.wire = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.wire:
            self.close()


class Gate:
    """An app that answers /ping at once and holds everything else: first before the head, then in the middle of the body."""

    def __init__(self, head, first=b"first;", rest=b"rest"):
        self.head = head
        self.first = first
        self.rest = rest
        self.may_begin = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, peer):
        while request := peer.read_head():
            peer.read_body(request)
            if request.target == "/ping":
                peer.send(reply(200, b"", "Cache-Control: no-store"))
                continue
            self.may_begin.wait(patience(30))
            peer.send(b"HTTP/1.1 200 Fine\r\n%s\r\nTransfer-Encoding: chunked\r\n\r\n" % self.head)
            peer.send(b"%x\r\n%s\r\n" % (len(self.first), self.first))
            self.may_end.wait(patience(30))
            peer.send(chunked(self.rest))

    @property
    def whole(self):
        return self.first + self.rest


def fetches(weir):
    return [request for request in weir.app.requests if request.target != "/ping"]


def join(weir, wire, target="/x"):
    """Asks, and comes back when the one worker has taken it in: it answers in the order it reads."""
    wire.request("GET", "/ping")
    wire.request("GET", target)
    assert wire.reply().status == 200
    assert get(weir, "/ping").status == 200


def test_two_hundred_clients_are_one_fetch_and_its_first_byte_wakes_them_all(start):
    gate = Gate(b"Cache-Control: max-age=60")
    weir = start(None, gate, workers=2)
    count = 200
    wires = [weir.wire(timeout=patience(30)) for _ in range(count)]
    for wire in wires:
        wire.request("GET", "/x")
    weir.app.wait_for_requests(1)
    gate.may_begin.set()
    for wire in wires:
        head = wire.reply_head()
        assert head.status == 200 and head.framing == "chunked"
        read_piece(wire, gate.first)  # before the app has sent the rest
    assert not gate.may_end.is_set()
    gate.may_end.set()
    for wire in wires:
        assert read_rest(wire) == gate.rest
        wire.close()
    assert len(fetches(weir)) == 1
    assert is_hit(get(weir))
    found = metrics(weir)
    assert total(found, "weir_cache_stored_total") == 1
    assert total(found, "weir_cache_collapsed_total") >= 1


@pytest.mark.parametrize("head", [b"Cache-Control: private, max-age=60", b"Cache-Control: no-store", b"Cache-Control: max-age=60\r\nSet-Cookie: a=b",
                                  b"Vary: *\r\nCache-Control: max-age=60"])
def test_an_answer_for_one_releases_each_waiter_to_its_own(start, head):
    count = 20
    numbers = itertools.count(1)
    began = threading.Event()

    def script(peer):
        while request := peer.read_head():
            peer.read_body(request)
            if request.target != "/ping":
                began.wait(patience(30))
            peer.send(reply(200, b"%d" % next(numbers), *head.decode().split("\r\n")))

    weir = start(None, script, workers=2)
    wires = [weir.wire(timeout=patience(30)) for _ in range(count)]
    for wire in wires:
        wire.request("GET", "/x")
    weir.app.wait_for_requests(1)
    began.set()
    answers = [wire.reply() for wire in wires]
    for wire in wires:
        wire.close()
    assert len({answer.body for answer in answers}) == count, "nobody got what was another's"
    assert len(fetches(weir)) == count


def test_an_uncacheable_key_is_remembered_and_nobody_waits_for_another(start):
    go = threading.Event()

    def answer(request):
        if request["x-held"]:
            go.wait(patience(30))
        return reply(200, b"x", "Cache-Control: no-store")

    weir = start(answer)
    get(weir)
    with weir.wire() as one, weir.wire() as two:
        one.request("GET", "/x", "X-Held: yes")
        two.request("GET", "/x", "X-Held: yes")
        weir.app.wait_for_requests(3)
        go.set()
        assert one.reply().status == two.reply().status == 200


def test_variants_do_not_wait_for_each_other_for_ever(start):
    weir = start(lambda request: reply(200, request["accept-language"].encode(), KEPT, "Vary: Accept-Language"), workers=2)
    languages = ["de", "en", "fr", "it"] * 10
    answers = together(len(languages), lambda index: get(weir, "/x", f"Accept-Language: {languages[index]}"))
    assert [answer.body.decode() for answer in answers] == languages


def test_a_leader_that_leaves_before_the_head_does_not_take_the_others_along(start):
    gate = Gate(b"Cache-Control: max-age=60")
    weir = start(None, gate)
    leader, follower = weir.wire(), weir.wire()
    join(weir, leader)
    eventually(lambda: len(fetches(weir)) == 1)
    join(weir, follower)
    leader.reset()
    assert get(weir, "/ping").status == 200
    gate.may_begin.set()
    gate.may_end.set()
    assert follower.reply().body == gate.whole
    follower.close()
    assert len(fetches(weir)) == 1


def test_a_leader_that_leaves_in_the_body_does_not_take_the_others_along(start):
    gate = Gate(b"Cache-Control: max-age=60")
    weir = start(None, gate)
    leader, follower = weir.wire(), weir.wire()
    join(weir, leader)
    join(weir, follower)
    gate.may_begin.set()
    for wire in (leader, follower):
        wire.reply_head()
        read_piece(wire, gate.first)
    leader.reset()
    assert get(weir, "/ping").status == 200
    gate.may_end.set()
    assert read_rest(follower) == gate.rest
    follower.close()
    assert is_hit(get(weir)) and get(weir).body == gate.whole
    assert len(fetches(weir)) == 1


def test_a_follower_that_leaves_changes_nothing(start):
    gate = Gate(b"Cache-Control: max-age=60")
    weir = start(None, gate)
    leader, follower = weir.wire(), weir.wire()
    join(weir, leader)
    join(weir, follower)
    follower.reset()
    assert get(weir, "/ping").status == 200
    gate.may_begin.set()
    gate.may_end.set()
    assert leader.reply().body == gate.whole
    leader.close()


def test_everybody_left_and_weir_goes_on(start):
    gate = Gate(b"Cache-Control: max-age=60")
    weir = start(None, gate)
    wires = [weir.wire() for _ in range(5)]
    for wire in wires:
        join(weir, wire)
    for wire in wires:
        wire.reset()
    assert get(weir, "/ping").status == 200
    gate.may_begin.set()
    gate.may_end.set()
    assert get(weir).body == gate.whole


def test_a_failed_fetch_is_told_to_all_and_not_remembered_for_long(start):
    is_broken = threading.Event()
    is_broken.set()
    go = threading.Event()

    def script(peer):
        while request := peer.read_head():
            peer.read_body(request)
            if request.target == "/x":
                go.wait(patience(30))
                if is_broken.is_set():
                    return
            peer.send(reply(200, b"whole", KEPT))

    weir = start(None, script, upstream={"retries": {"attempts": 0}})
    wires = [weir.wire() for _ in range(5)]
    for wire in wires:
        join(weir, wire)
    go.set()
    for wire in wires:
        wire.reply().is_problem(502, "upstream-closed")
        wire.close()
    is_broken.clear()
    assert get(weir).body == b"whole"


def test_a_growing_object_is_read_by_who_comes_early_and_late(start):
    pieces = [bytes([65 + number % 26]) * 3000 for number in range(40)]
    steps = [threading.Event() for _ in pieces]

    def script(peer):
        while request := peer.read_head():
            peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n")
            for step, piece in zip(steps, pieces):
                step.wait(patience(30))
                peer.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            peer.send(b"0\r\n\r\n")

    weir = start(None, script, workers=2)
    results = []

    def read(wire):
        results.append(wire.reply())
        wire.close()

    readers = []
    for number, step in enumerate(steps):
        if number % 2 == 0:
            wire = weir.wire(timeout=patience(30))
            wire.request("GET", "/x")
            readers.append(threading.Thread(target=read, args=(wire,), daemon=True))
            readers[-1].start()
        step.set()
    for reader in readers:
        reader.join(patience(30))
    assert len(results) == 20
    assert all(answer.body == b"".join(pieces) for answer in results)
    assert len(weir.app.requests) == 1


def test_an_object_over_object_max_still_reaches_all_who_wait(start):
    piece = b"0123456789abcdef" * 2048  # 32 KiB
    gate = Gate(b"Cache-Control: max-age=60", first=piece, rest=piece * 40)
    weir = start(None, gate, cache={"object_max": "64KiB"})
    wires = [weir.wire(timeout=patience(30)) for _ in range(5)]
    for wire in wires:
        join(weir, wire)
    gate.may_begin.set()
    for wire in wires:
        wire.reply_head()
    gate.may_end.set()
    sizes = [0] * len(wires)

    def read(index):
        body = b""
        while more := wires[index].chunk():
            body += more
        assert body == gate.whole
        sizes[index] = len(body)

    together(len(wires), read)
    for wire in wires:
        wire.close()
    assert sizes == [len(gate.whole)] * 5
    assert len(fetches(weir)) == 1, "one fetch fed them all"
    assert not is_hit(get(weir)), "and nothing of it was kept"


def test_a_declared_length_over_object_max_is_passed_on(start):
    body = b"x" * 200_000
    weir = start(reply(200, body, KEPT), cache={"object_max": "64KiB"})
    assert get(weir).body == body
    assert not is_hit(get(weir))
    assert status(weir)["cache"]["objects"] == 0


# --- what must never be stored ---


def test_a_broken_reply_is_never_stored(start):
    is_whole = threading.Event()

    def script(peer):
        while request := peer.read_head():
            if request.target == "/length":
                peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n12345")
            else:
                peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n")
            if not is_whole.is_set():
                return
            peer.send(b"67890" if request.target == "/length" else b"5\r\n67890\r\n0\r\n\r\n")

    weir = start(None, script)
    for target in ("/length", "/chunked"):
        with weir.wire() as wire, pytest.raises(Broken):
            wire.request("GET", target)
            wire.reply()
    is_whole.set()
    for target in ("/length", "/chunked"):
        assert get(weir, target).body == b"1234567890"
        assert get(weir, target).body == b"1234567890"


def test_a_reply_that_ends_with_its_connection_is_not_stored(start):
    def script(peer):
        if peer.read_head():
            peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\n\r\nuntil the end")

    weir = start(None, script)
    for _ in range(2):
        assert get(weir).body == b"until the end"
    assert status(weir)["cache"]["objects"] in (0, 1)


def test_hop_by_hop_fields_and_weirs_own_are_not_stored(start):
    weir = start(reply(200, b"x", KEPT, "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "X-Request-Id: from-the-app", "X-Kept: 1"))
    for answer in (get(weir), get(weir)):
        assert "x-hop" not in answer and "keep-alive" not in answer and answer["x-kept"] == "1"
        assert answer["x-request-id"] != "from-the-app"


def test_errors_that_weir_makes_are_never_stored(start):
    weir = start(lambda request: None, upstream={"retries": {"attempts": 0}}, routes=route(ttl="60s"))
    assert get(weir).status == 502
    weir.app.answer = reply(200, b"back")
    assert eventually(lambda: get(weir).status == 200)


# --- the budget ---


def test_what_is_stored_stays_within_its_budget(start):
    memory = 1 << 20
    weir = start(lambda request: reply(200, request.target.encode().ljust(8000, b"."), KEPT), cache={"memory": "1MiB"})
    with Session(weir) as ask_for:
        for number in range(500):
            ask_for(f"/{number}")
            if number % 50 == 0:
                assert status(weir)["cache"]["bytes"] <= memory
    found = status(weir)["cache"]
    assert memory / 2 <= found["bytes"] <= memory
    assert found["evicted"] >= 300 and found["objects"] + found["evicted"] >= 400
    assert total(metrics(weir), "weir_cache_bytes") <= memory
    assert get(weir, "/499").body.startswith(b"/499.")


def test_a_scan_does_not_throw_out_what_is_read_often(start):
    weir = start(lambda request: reply(200, b"." * 8000, KEPT), cache={"memory": "1MiB"})
    with Session(weir) as ask_for:
        for _ in range(4):
            for number in range(20):
                ask_for(f"/often/{number}")
        for number in range(1000):
            ask_for(f"/once/{number}")
        kept = sum(is_hit(ask_for(f"/often/{number}")) for number in range(20))
    assert kept >= 15, f"{kept} of 20 that were read four times outlived a scan"


@pytest.mark.skipif(SANITIZED, reason="memory is measured without sanitizers")
@pytest.mark.needs_release
def test_the_budget_holds_for_resident_memory(start):
    weir = start(lambda request: reply(200, b"." * 20000, KEPT), cache={"memory": "32MiB"})
    with Session(weir) as ask_for:
        for number in range(4000):
            ask_for(f"/{number}")
    assert status(weir)["cache"]["evicted"] > 1000
    assert weir.rss() <= 32 * (1 << 20) + 24 * (1 << 20)


# --- purge ---


def test_purge_takes_one_url_of_one_tenant(start):
    weir = start(Counted(KEPT))
    assert bodies(weir, 2, "/a") == ["1", "1"]
    assert bodies(weir, 2, "/b") == ["2", "2"]
    assert tell(weir, "/api/purge", {"tenant": "default", "url": "http://test/a"})["purged"] == 1
    assert bodies(weir, 1, "/a") == ["3"]
    assert bodies(weir, 1, "/b") == ["2"]
    assert tell(weir, "/api/purge", {"tenant": "default", "url": "http://test/nothing"}) ["purged"] == 0


def test_purge_all_takes_all(start):
    weir = start(Counted(KEPT))
    assert bodies(weir, 1, "/a") + bodies(weir, 1, "/b") == ["1", "2"]
    assert tell(weir, "/api/purge", {"all": True})["purged"] == 2
    assert bodies(weir, 1, "/a") + bodies(weir, 1, "/b") == ["3", "4"]


def test_a_purge_that_says_nothing_or_two_things_is_refused(start):
    weir = start(Counted(KEPT))
    for body in ({}, {"url": "http://test/a", "all": True}, {"url": "/a"}, {"wrong": 1}, {"all": "yes"}):
        assert ask(weir, "POST", "/api/purge", body=body).status == 400, body


def test_purge_while_it_is_being_fetched(start):
    gate = Gate(b"Cache-Control: max-age=60")
    weir = start(None, gate)
    with weir.wire() as wire:
        join(weir, wire)
        tell(weir, "/api/purge", {"all": True})
        gate.may_begin.set()
        gate.may_end.set()
        assert wire.reply().body == gate.whole
    assert not is_hit(get(weir)), "fetched before the purge, not to be handed on after it"
