"""RFC 5861 and RFC 9111, 4.2.4: when an answer that is stale is better than none, or than waiting."""

import threading

import pytest
from harness import Broken, eventually, patience, reply
from stories import OUTDATED, Site, cache_status, http_date, is_hit, metrics, tell, together, total

NO_RETRY = {"retries": {"attempts": 0}}
SWR = "Cache-Control: max-age=100, stale-while-revalidate=600"
SIE = "Cache-Control: max-age=100, stale-if-error=600"
AGED = "Age: 100"


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start, upstream={**NO_RETRY, "timeouts": {"first_byte": "300ms"}}) as site:
        yield site


@pytest.fixture
def page(site):
    return site.page()


def ruled(start_weir, rule, **config):
    return Site(start_weir, routes=[{"name": "ruled", "path": "/**", "cache": rule}], upstream=NO_RETRY, **config)


# --- 3: stale-while-revalidate ---


def test_3_a_stale_answer_is_handed_out_and_revalidated_behind(page):
    page.says(SWR, AGED)
    page.get()
    page.says("Cache-Control: max-age=60")
    answer = page.get()
    assert is_hit(answer) and answer.body == b"1"
    assert int(cache_status(answer)["ttl"]) <= 0, "it says that it is stale"
    assert int(answer["age"]) >= 100
    assert eventually(lambda: page.get().body == b"2")
    assert len(page.requests) == 2 and is_hit(page.get())


def test_3_the_revalidation_sends_validators_and_its_304_is_enough(page):
    page.holds(SWR, AGED, etag="\"one\"", last_modified="Mon, 01 Jan 2001 00:00:00 GMT", renewed=["Cache-Control: max-age=60", "X-New: 1"])
    page.get()
    assert is_hit(page.get())
    eventually(lambda: page.get()["x-new"])
    assert page.last["if-none-match"] == "\"one\"" and page.last["if-modified-since"] == "Mon, 01 Jan 2001 00:00:00 GMT"
    assert len(page.requests) == 2 and page.get().body == b"the whole"


def test_3_nobody_waits_and_the_app_is_asked_once(page):
    go = threading.Event()
    page.says(SWR, AGED)
    page.get()

    def held(request):
        go.wait(0.25)  # the site's app has 300 ms
        return reply(200, b"new", "Cache-Control: max-age=60")

    page.answer = held
    answers = together(20, lambda _: page.get())
    assert {answer.body for answer in answers} <= {b"1", b"new"} and all(is_hit(answer) for answer in answers)
    go.set()
    eventually(lambda: page.get().body == b"new")
    assert len(page.requests) == 2, "one fetch for all of them"


@pytest.mark.parametrize("workers", [2])
def test_3_one_fetch_across_workers(start_weir, workers):
    go = threading.Event()
    with Site(start_weir, workers=workers) as site:
        page = site.page().says(SWR, AGED)
        page.get()

        def held(request):
            go.wait(patience(20))
            return reply(200, b"new", "Cache-Control: max-age=60")

        page.answer = held
        answers = together(30, lambda _: page.get())
        assert all(is_hit(answer) and answer.body == b"1" for answer in answers)
        assert eventually(lambda: len(page.requests) >= 2), "the renewal may be on its way to the app still"
        assert len(page.requests) == 2
        go.set()
        eventually(lambda: page.get().body == b"new")
        assert len(page.requests) == 2
        assert total(metrics(site.weir), "weir_cache_stale_total") >= 30


def test_3_after_its_window_the_client_waits(page):
    page.says(SWR, "Age: 800")
    page.get()
    answer = page.get()
    assert answer.body == b"2" and cache_status(answer)["fwd"] != "uri-miss"


@pytest.mark.parametrize("value", ["must-revalidate, ", "proxy-revalidate, ", "no-cache, ", "s-maxage=100, must-revalidate, "])
def test_3_what_must_be_validated_is_not_handed_out(page, value):
    page.says(f"Cache-Control: {value}max-age=100, stale-while-revalidate=600", AGED, "ETag: \"1\"")
    page.get()
    assert not page.is_reused()


@pytest.mark.parametrize("value", ["stale-while-revalidate=x", "stale-while-revalidate=-600", "stale-while-revalidate", "stale-while-revalidate=0"])
def test_3_a_window_that_is_none(page, value):
    page.says(f"Cache-Control: max-age=100, {value}", AGED, "ETag: \"1\"")
    page.get()
    assert not page.is_reused()


@pytest.mark.parametrize("asked", ["max-age=50", "no-cache", "min-fresh=1"])
def test_3_who_asks_for_something_fresher_waits(page, asked):
    page.says(SWR, AGED)
    page.get()
    assert not page.is_reused(f"Cache-Control: {asked}")


def test_3_a_failed_revalidation_leaves_the_old_answer(page):
    page.says(SWR, AGED)
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert is_hit(page.get())
    eventually(lambda: len(page.requests) >= 2)
    assert page.get().body == b"1"


def test_3_a_revalidation_that_finds_it_gone_ends_it(page):
    page.says(SWR, AGED)
    page.get()
    page.says("Cache-Control: no-store", status=404)
    assert page.get().body == b"1"
    assert eventually(lambda: page.get().status == 404, within=2)


def test_3_a_revalidation_that_may_not_be_stored_ends_it_too(page):
    page.says(SWR, AGED)
    page.get()
    page.says("Cache-Control: private")
    assert page.get().body == b"1"
    eventually(lambda: page.get().body != b"1", within=2)


@pytest.mark.parametrize("fields", [["Range: bytes=0-0"], ["If-None-Match: \"x\""], [f"If-Modified-Since: {http_date()}"], ["Cookie: a=b"],
                                    ["Authorization: Basic YTpi"],
                                    ["Range: bytes=0-0", "If-None-Match: \"x\""], ["If-Range: \"x\"", "Range: bytes=0-0"]],
                         ids=["range", "etag", "date", "cookie", "authorization", "range-etag", "if-range"])
def test_3_the_revalidation_is_not_the_clients_own_request(page, fields):
    """What it brings is stored for all: conditions and ranges of whoever came by stay out of it, and whoever came by may set it off."""
    page.holds("Cache-Control: public, max-age=100, stale-while-revalidate=600", AGED, etag="\"one\"")
    page.get()
    page.holds("Cache-Control: public, max-age=60", etag="\"two\"", body=b"second")
    assert is_hit(page.get(*fields))
    eventually(lambda: len(page.requests) >= 2, within=1, why="nobody asked the app")
    eventually(lambda: page.get().body == b"second", within=1)
    asked = page.requests[1]
    assert "range" not in asked and "if-range" not in asked and asked["if-none-match"] == "\"one\"" and "if-modified-since" not in asked
    assert len(page.requests) == 2


def test_3_a_head_may_set_it_off_too(page):
    page.says(SWR, AGED)
    page.get()
    page.says("Cache-Control: max-age=60")
    assert is_hit(page.ask("HEAD"))
    eventually(lambda: len(page.requests) >= 2, within=1, why="nobody asked the app")
    eventually(lambda: page.get().body == b"2", within=1)


def test_3_a_client_that_leaves_does_not_call_it_off(page):
    page.says(SWR, AGED)
    page.get()
    page.says("Cache-Control: max-age=60")
    with page.site.weir.wire() as wire:
        wire.request("GET", page.path)
        wire.reply_head()
    eventually(lambda: page.get().body == b"2")


@pytest.mark.parametrize("how", ["purge", "write"])
def test_3_a_revalidation_that_was_under_way_does_not_bring_back_what_went(page, how):
    asked, go = threading.Event(), threading.Event()
    page.holds(SWR, AGED, etag="\"1\"", renewed=["Cache-Control: max-age=60"])
    page.get()
    plain = page.answer

    def held(request):
        if request["if-none-match"]:
            asked.set()
            go.wait(0.2)
        return plain(request)

    page.answer = held
    assert is_hit(page.get())
    assert asked.wait(patience(5))
    if how == "purge":
        tell(page.site.weir, "/api/purge", {"tenant": "default", "url": f"http://test{page.path}"})
    else:
        page.ask("POST", body=b"")
    go.set()
    page.says("Cache-Control: max-age=60", body=b"new")
    for _ in range(5):
        assert page.get().body == b"new"


def test_3_many_pages_are_revalidated_at_once(site):
    pages = [site.page().says(SWR, AGED) for _ in range(100)]
    for page in pages:
        page.get()
        page.says("Cache-Control: max-age=60")
    together(20, lambda index: [page.get() for page in pages[index * 5:index * 5 + 5]])
    eventually(lambda: all(page.get().body == b"2" for page in pages))


# --- 4: stale-if-error ---


def break_off(request):
    return None


def too_late(request):
    threading.Event().wait(0.6)
    return reply(200, b"too late", "Cache-Control: max-age=60")



def no_http(request):
    return b"SSH-2.0-OpenSSH\r\n\r\n"


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_4_an_error_of_the_app_is_replaced(page, code):
    page.says(SIE, AGED, "X-Old: 1")
    page.get()
    page.says("Cache-Control: no-store", status=code)
    answer = page.get()
    assert (answer.status, answer.body, answer["x-old"]) == (200, b"1", "1")
    assert not is_hit(answer) or int(cache_status(answer)["ttl"]) <= 0
    assert int(answer["age"]) >= 100


@pytest.mark.parametrize("failure", [break_off, too_late, no_http], ids=["closed", "timeout", "no-http"])
def test_4_so_is_silence(page, failure):
    page.says(SIE, AGED)
    page.get()
    page.answer = failure
    answer = page.get()
    assert (answer.status, answer.body) == (200, b"1")


def test_4_so_is_an_app_that_is_not_there(start_weir, start_app):
    app = start_app(reply(200, b"old", SIE, AGED))
    weir = start_weir(app, upstream=NO_RETRY)
    weir.get("/x")
    app.close()
    for _ in range(3):
        answer = weir.get("/x")
        assert (answer.status, answer.body) == (200, b"old")
    assert weir.get("/other").status in (502, 503)


@pytest.mark.parametrize("code", [400, 403, 404, 410, 501, 505, 599])
def test_4_other_errors_are_passed_on(page, code):
    page.says(SIE, AGED)
    page.get()
    page.says("Cache-Control: no-store", status=code)
    assert page.get().status == code


def test_4_after_its_window_the_error_is_passed_on(page):
    page.says(SIE, "Age: 800", "ETag: \"1\"")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert page.get().status == 503


def test_4_zero_forbids_it(page):
    page.says("Cache-Control: max-age=100, stale-if-error=0", "Age: 101", "ETag: \"1\"")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert page.get().status == 503


@pytest.mark.parametrize("value", ["must-revalidate", "proxy-revalidate", "no-cache"])
@pytest.mark.parametrize("failure", [break_off, None], ids=["closed", "503"])
def test_4_what_must_be_validated_does_not_stand_in(page, value, failure):
    page.says(f"Cache-Control: max-age=100, stale-if-error=600, {value}", AGED, "ETag: \"1\"")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    page.answer = failure or page.answer
    assert page.get().status in ((503,) if not failure else (502, 504))


def test_4_an_hour_is_the_default_for_what_says_nothing(page, site):
    for age, code in ((3600, 200), (3800, 503)):
        here = site.page().says("Cache-Control: max-age=100", f"Age: {age}", "ETag: \"1\"")
        here.get()
        here.says("Cache-Control: no-store", status=503)
        assert here.get().status == code


def test_4_the_default_is_the_configs(start_weir):
    with Site(start_weir, upstream=NO_RETRY, cache={"stale_if_error": "0s"}) as site:
        page = site.page().says("Cache-Control: max-age=100", "Age: 101", "ETag: \"1\"")
        page.get()
        page.says("Cache-Control: no-store", status=503)
        assert page.get().status == 503


@pytest.mark.parametrize("mine, theirs, code", [(600, 0, 200), (0, 600, 503), (50, 600, 503)])
def test_4_a_request_may_say_how_stale_is_stale_enough(page, mine, theirs, code):
    page.says(f"Cache-Control: max-age=100, stale-if-error={theirs}", "Age: 200", "ETag: \"1\"")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert page.get(f"Cache-Control: stale-if-error={mine}").status == code


def test_4_who_asked_for_a_fresh_one_is_told_the_truth(page):
    page.says("Cache-Control: max-age=3600")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert page.get("Cache-Control: no-cache").status in (200, 503)
    assert page.get().body == b"1", "either way what is stored stays"


def test_4_it_recovers(page):
    page.says(SIE, AGED)
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert page.get().body == b"1"
    page.says("Cache-Control: max-age=60", body=b"back")
    assert eventually(lambda: page.get().body == b"back")


def test_4_an_error_with_freshness_of_its_own_does_not_take_the_place(page):
    page.says(SIE, AGED)
    page.get()
    page.says("Cache-Control: max-age=60", status=503)
    assert page.get().status == 200


def test_4_everyone_who_waits_gets_it(start_weir):
    go = threading.Event()
    with Site(start_weir, upstream=NO_RETRY) as site:
        page = site.page().says(SIE, AGED)
        page.get()

        def held(request):
            go.wait(patience(20))

        page.answer = held

        def ask(index):
            if index == 0:
                eventually(lambda: len(page.requests) >= 2)
                go.set()
                return None
            return page.get()

        answers = together(11, ask)[1:]
        assert all((answer.status, answer.body) == (200, b"1") for answer in answers)


def test_4_conditions_and_ranges_are_answered_from_it(page):
    page.says(SIE, AGED, "ETag: \"one\"", body=b"0123456789")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert page.get("If-None-Match: \"one\"").status == 304
    part = page.get("Range: bytes=2-4")
    assert part.status in (206, 503) and (part.status == 503 or part.body == b"234")


def test_4_head_too(page):
    page.says(SIE, AGED, body=b"0123456789")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    head = page.ask("HEAD")
    assert (head.status, head["content-length"], head.body) == (200, "10", b"")


def test_4_a_write_is_never_answered_with_it(page):
    page.says(SIE, AGED)
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert page.ask("POST", body=b"").status == 503


def test_4_an_answer_that_breaks_off_in_its_body_is_not_mended(start_weir, start_app):
    def script(peer):
        while peer.read_head():
            if len(app.requests) == 1:
                peer.send(reply(200, b"old", SIE, AGED))
                continue
            peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n12345")
            return

    app = start_app(None, script)
    weir = start_weir(app, upstream=NO_RETRY)
    weir.get("/x")
    with weir.wire() as wire:
        wire.request("GET", "/x")
        try:
            assert wire.reply().body == b"old"
        except Broken:
            pass  # its head was out already: what is cut must look cut
    assert wire.held != b"1234567890"


def test_s_maxage_forbids_stale_use_that_is_not_said_beside_it(site):
    """RFC 9111 5.2.2.10 gives it the meaning of proxy-revalidate; who writes a window next to it means the window, and that one alone."""
    for value, is_handed_out, stands_in in (("s-maxage=100", False, False), ("s-maxage=100, stale-while-revalidate=600", True, False),
                                            ("s-maxage=100, stale-if-error=600", False, True)):
        page = site.page().says(f"Cache-Control: {value}", AGED, "ETag: \"1\"")
        page.get()
        page.says("Cache-Control: no-store", status=503)
        answer = page.get()
        assert is_hit(answer) == is_handed_out and answer.status == (200 if is_handed_out or stands_in else 503), value


def test_both_together(page):
    """A recipe that is often broken elsewhere: revalidate behind at first, later stand in for errors."""
    both = "Cache-Control: max-age=100, stale-while-revalidate=100, stale-if-error=1000"
    page.says(both, "Age: 150")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert is_hit(page.get()), "within the first window nobody waits"
    later = page.site.page().says(both, "Age: 500")
    later.get()
    later.says("Cache-Control: no-store", status=503)
    assert later.get().status == 200, "after it the second one counts"
    last = page.site.page().says(both, "Age: 1200", "ETag: \"1\"")
    last.get()
    last.says("Cache-Control: no-store", status=503)
    assert last.get().status == 503


# --- what a route adds ---


def test_a_routes_windows_are_for_what_says_nothing_itself(start_weir):
    with ruled(start_weir, {"ttl": "1s", "stale_while_revalidate": "10m", "stale_if_error": "20m"}) as site:
        page = site.page().says()
        page.get()
        eventually(lambda: page.get().body == b"2", within=4, why="stale after a second, revalidated behind")
        said = site.page().says("Cache-Control: max-age=100", AGED, "ETag: \"1\"")
        said.get()
        assert is_hit(said.get()), "the window also serves who has a lifetime but said nothing of stale use"


def test_the_replys_own_windows_go_before_the_routes(start_weir):
    with ruled(start_weir, {"stale_while_revalidate": "10m", "stale_if_error": "10m"}) as site:
        page = site.page().says("Cache-Control: max-age=100, stale-while-revalidate=0, stale-if-error=0", "Age: 101", "ETag: \"1\"")
        page.get()
        assert not page.is_reused()
        page.says("Cache-Control: no-store", status=503)
        assert page.get().status == 503


@pytest.mark.parametrize("value", ["must-revalidate, max-age=100", "no-cache", "s-maxage=100"])
def test_a_route_can_not_allow_what_the_app_forbids(start_weir, value):
    with ruled(start_weir, {"stale_while_revalidate": "10m", "stale_if_error": "10m"}) as site:
        page = site.page().says(f"Cache-Control: {value}", AGED, "ETag: \"1\"")
        page.get()
        assert not page.is_reused()
        page.says("Cache-Control: no-store", status=503)
        assert page.get().status == 503


class Jam:
    """An app that holds /jam until it is told otherwise: with a limit of one, nobody else gets in."""

    def __init__(self, site):
        self.go = threading.Event()
        self.page = site.page("/jam")
        self.page.answer = self._held
        self.wire = site.weir.wire(timeout=patience(30))
        self.wire.request("GET", "/jam")
        eventually(lambda: self.page.requests)

    def _held(self, request):
        self.go.wait(patience(30))
        return reply(200, b"", "Cache-Control: no-store")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go.set()
        self.wire.reply()
        self.wire.close()


@pytest.mark.parametrize("age, code", [(150, 200), (900, 503)])
def test_brownout_hands_out_stale_answers_when_the_app_is_full(start_weir, age, code):
    with Site(start_weir, upstream={**NO_RETRY, "limit": {"concurrency": 1, "queue": 0}},
              routes=[{"path": "/**", "cache": {"brownout": "10m", "stale_if_error": "0s"}}]) as site:
        page = site.page().says("Cache-Control: max-age=100", f"Age: {age}", "ETag: \"1\"")
        page.get()
        with Jam(site):
            answer = page.get()
            assert answer.status == code
            if code == 200:
                assert answer.body == b"1" and "brownout" in answer["cache-status"]
        assert page.get().body == b"2", "with room the app is asked"


def test_brownout_is_off_by_default(start_weir):
    with Site(start_weir, upstream={**NO_RETRY, "limit": {"concurrency": 1, "queue": 0}}, cache={"stale_if_error": "0s"}) as site:
        page = site.page().says("Cache-Control: max-age=100", "Age: 150", "ETag: \"1\"")
        page.get()
        with Jam(site):
            assert page.get().status == 503


@pytest.mark.parametrize("value", ["must-revalidate", "no-cache"])
def test_brownout_does_not_override_the_app(start_weir, value):
    with Site(start_weir, upstream={**NO_RETRY, "limit": {"concurrency": 1, "queue": 0}},
              routes=[{"path": "/**", "cache": {"brownout": "10m"}}]) as site:
        page = site.page().says(f"Cache-Control: max-age=100, {value}", "Age: 150", "ETag: \"1\"")
        page.get()
        with Jam(site):
            assert page.get().status == 503


def test_a_purge_that_is_soft_leaves_something_to_stand_in(page):
    page.says("Cache-Control: max-age=3600")
    page.get()
    tell(page.site.weir, "/api/purge", {"tenant": "default", "url": f"http://test{page.path}", "soft": True})
    page.says("Cache-Control: no-store", status=503)
    assert page.get().body == b"1"


def test_stale_guesses_may_stand_in_as_well(page):
    page.says(f"Last-Modified: {http_date(-2000)}", f"Date: {http_date(-1000)}")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert page.get().status in (200, 503)


def test_what_stood_in_is_counted(page):
    found = metrics(page.site.weir)
    before = total(found, "weir_cache_stood_in_total")
    page.says(SIE, AGED)
    page.get()
    page.says("Cache-Control: no-store", status=503)
    page.get()
    eventually(lambda: total(metrics(page.site.weir), "weir_cache_stood_in_total") > before)


@pytest.mark.parametrize("rule, is_refreshed", [({}, True), ({"refresh_ahead": False}, False)], ids=["default", "off"])
def test_what_is_hot_is_refreshed_before_anybody_has_to_wait(start_weir, rule, is_refreshed):
    with ruled(start_weir, {"ttl": "60s", **rule}) as site:
        page = site.page().says("Cache-Control: max-age=100", "Age: 97")  # 3 seconds left
        page.get()
        page.says("Cache-Control: max-age=60")
        for _ in range(8):
            assert is_hit(page.get())
        if is_refreshed:
            eventually(lambda: page.get().body == b"2", within=1)
        else:
            assert page.get().body == b"1"
        assert len(page.requests) == (2 if is_refreshed else 1)


def test_outdated_answers_without_a_window_or_validator_are_not_kept_around(page):
    page.says(*OUTDATED)
    page.get()
    assert page.get().body == b"2"
