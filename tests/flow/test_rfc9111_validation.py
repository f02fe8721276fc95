"""RFC 9111, 4.3 and 3.2: asking whether a stored answer is still good, and answering those who ask."""

import threading

import pytest
from harness import patience, reply
from stories import OUTDATED, Site, cache_status, http_date, is_hit, together

KEPT = "Cache-Control: max-age=60"
ONCE = "Mon, 01 Jan 2001 00:00:00 GMT"
LATER = "Tue, 02 Jan 2001 00:00:00 GMT"
BEFORE = "Sun, 31 Dec 2000 00:00:00 GMT"
NO_FAULTS = {"upstream": {"retries": {"attempts": 0}}}


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start, **NO_FAULTS) as site:
        yield site


@pytest.fixture
def page(site):
    return site.page()


# --- 4.3.1: what is sent ---


@pytest.mark.parametrize("etag", ["\"one\"", "W/\"one\"", "\"\"", "\"a,b\"", "\"a\\\"", "\"caf\xe9\""])
def test_4_3_1_the_stored_etag_is_sent(page, etag):
    page.says(*OUTDATED, f"ETag: {etag}")
    page.get()
    page.get()
    assert page.last["if-none-match"] == etag
    assert "if-modified-since" not in page.last


def test_4_3_1_the_stored_last_modified_is_sent(page):
    page.says(*OUTDATED, f"Last-Modified: {ONCE}")
    page.get()
    page.get()
    assert page.last["if-modified-since"] == ONCE and "if-none-match" not in page.last


def test_4_3_1_both_validators_are_sent(page):
    page.says(*OUTDATED, "ETag: \"one\"", f"Last-Modified: {ONCE}")
    page.get()
    page.get()
    assert page.last["if-none-match"] == "\"one\"" and page.last["if-modified-since"] == ONCE


def test_4_3_1_what_has_no_validator_is_simply_asked_for(page):
    page.says(*OUTDATED)
    assert page.get().body != page.get().body
    assert "if-none-match" not in page.last and "if-modified-since" not in page.last


def test_4_3_1_a_date_is_no_last_modified(page):
    page.says(*OUTDATED, f"Date: {http_date()}", "Cache-Control: stale-if-error=60")
    page.get()
    page.get()
    assert "if-modified-since" not in page.last


def test_4_3_1_validation_sends_the_clients_other_fields_as_they_are(page):
    page.holds(*OUTDATED, etag="\"one\"")
    page.get()
    page.get("User-Agent: x", "Accept: text/plain", "X-Other: 1")
    assert [page.last[name] for name in ("user-agent", "accept", "x-other")] == ["x", "text/plain", "1"]
    assert page.last.target == page.path and page.last["host"] == "test"


@pytest.mark.parametrize("value", ["no-cache, max-age=60", "max-age=60, no-cache", "no-cache"])
def test_4_3_1_no_cache_is_stored_and_asked_about_each_time(page, value):
    page.holds(f"Cache-Control: {value}", etag="\"one\"")
    for _ in range(3):
        answer = page.get()
        assert (answer.status, answer.body) == (200, b"the whole") and not is_hit(answer)
    assert [request["if-none-match"] for request in page.requests] == [None, "\"one\"", "\"one\""]


# --- 4.3.3 and 4.3.4: what the answer does ---


def test_4_3_3_a_304_makes_it_fresh_again(page):
    page.holds(*OUTDATED, "X-Old: 1", etag="\"one\"", renewed=[KEPT, "X-New: 1"])
    page.get()
    renewed = page.get()
    assert (renewed.status, renewed.body, renewed["x-old"], renewed["x-new"]) == (200, b"the whole", "1", "1")
    assert cache_status(renewed)["fwd"] == "stale" and cache_status(renewed)["fwd-status"] == "304"
    again = page.get()
    assert is_hit(again) and (again.body, again["x-old"], again["x-new"]) == (b"the whole", "1", "1")
    assert int(again["age"]) <= 30, "its age counts from the 304"
    assert len(page.requests) == 2


def test_4_3_3_a_full_answer_takes_its_place(page):
    page.says(*OUTDATED, "ETag: \"one\"", "X-Old: 1")
    page.get()
    page.says(KEPT, "ETag: \"two\"")
    answer = page.get()
    assert answer.body == b"2" and answer["etag"] == "\"two\"" and "x-old" not in answer
    again = page.get()
    assert is_hit(again) and again.body == b"2" and "x-old" not in again


@pytest.mark.parametrize("code", [404, 410, 302])
def test_4_3_3_so_does_a_full_answer_of_another_status(page, code):
    page.says(*OUTDATED, "ETag: \"one\"")
    page.get()
    page.says(KEPT, status=code)
    assert page.get().status == code
    assert page.is_reused() and page.get().status == code


@pytest.mark.parametrize("code", [404, 410])
def test_4_3_3_what_is_gone_is_not_brought_back(page, code):
    page.says(*OUTDATED, "ETag: \"one\"")
    page.get()
    page.says("Cache-Control: no-store", status=code)
    assert page.get().status == code
    assert page.get().status == code, "an error of the app's own kind: nothing old stands in for it"


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_4_3_3_a_5xx_is_the_old_answer_or_itself(page, code):
    page.holds(*OUTDATED, etag="\"one\"")
    page.get()
    page.says("Cache-Control: no-store", status=code)
    answer = page.get()
    assert (answer.status, answer.body) == (200, b"the whole"), "stale-if-error is an hour by default"
    assert page.last["if-none-match"] == "\"one\"", "it was asked"


def test_4_3_3_a_5xx_is_passed_on_where_stale_is_forbidden(page):
    page.holds("Cache-Control: max-age=100, must-revalidate", "Age: 100", etag="\"one\"")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    assert page.get().status == 503
    page.holds(KEPT, etag="\"one\"")
    assert page.get().body == b"the whole"


def test_4_3_4_a_304_updates_all_fields_but_those_of_the_body(page):
    """3.2: each field of the 304 takes the place of all of its name, but for those that the stored body depends on."""
    first = ["X-Test: a", "X-Test: b", "X-Only-Old: 1", "Content-Foo: a", "Content-Type: text/plain", "Content-Encoding: x-a", "Content-Language: de",
             "Content-Location: /a", "Content-Security-Policy: default-src 'self'", "X-Frame-Options: deny", "Set-Cookie2: a=b", "Content-MD5: a"]
    renewed = [KEPT, "X-Test: c", "X-Only-New: 1", "Content-Foo: b", "Content-Type: text/html", "Content-Encoding: x-b", "Content-Language: en",
               "Content-Location: /b", "Content-Security-Policy: default-src cdn", "X-Frame-Options: sameorigin", "Set-Cookie2: a=c",
               "Content-MD5: b", "Content-Range: bytes 0-1/2"]
    page.holds(*OUTDATED, *first, etag="\"one\"", renewed=renewed)
    page.get()
    for answer in (page.get(), page.get()):
        assert (answer.status, answer.body) == (200, b"the whole")
        assert answer.all("x-test") == ["c"] and answer["x-only-old"] == "1" and answer["x-only-new"] == "1"
        updated = ("content-foo", "content-language", "content-location", "content-md5", "content-security-policy", "x-frame-options", "set-cookie2")
        assert [answer[name] for name in updated] == ["b", "en", "/b", "b", "default-src cdn", "sameorigin", "a=c"]
        assert answer["content-type"] == "text/plain" and answer["content-encoding"] == "x-a"
        assert "content-range" not in answer and answer["content-length"] == "9" and answer["cache-control"] == "max-age=60"


def test_4_3_4_a_304s_own_length_does_not_change_the_bodys(page):
    plain = page.holds(*OUTDATED, etag="\"one\"").answer

    def answer(request):
        if request["if-none-match"]:
            return reply(304, b"", KEPT, "ETag: \"one\"", "Content-Length: 1234", length=False)
        return plain(request)

    page.answer = answer
    page.get()
    for answer in (page.get(), page.get()):
        assert (answer.status, answer.body, answer["content-length"]) == (200, b"the whole", "9")
    assert page.is_reused()


def test_4_3_4_a_304s_hop_by_hop_fields_are_not_stored(page):
    page.holds(*OUTDATED, "X-Hop: old", etag="\"one\"", renewed=[KEPT, "Connection: X-Hop", "X-Hop: new", "Keep-Alive: timeout=5"])
    page.get()
    page.get()
    hit = page.get()
    assert is_hit(hit) and "keep-alive" not in hit and hit["x-hop"] in (None, "old")


def test_4_3_4_a_304_may_change_the_lifetime_by_expires(page):
    page.holds(f"Expires: {http_date(-10)}", last_modified=ONCE, renewed=[f"Expires: {http_date(100)}", f"Date: {http_date()}"])
    page.get()
    page.get()
    assert page.is_reused() and 60 <= int(cache_status(page.get())["ttl"]) <= 100


def test_4_3_4_a_304_without_a_lifetime_keeps_the_stored_one(page):
    page.holds("Cache-Control: max-age=60", "Age: 60", etag="\"one\"", renewed=["X-New: 1"])
    page.get()
    assert page.get()["x-new"] == "1"
    assert page.get()["cache-control"] == "max-age=60"
    assert page.is_reused(), "Age was the old reply's, the 304 has none"


def test_4_3_4_a_304_that_forbids_storing_ends_it(page):
    page.holds(*OUTDATED, etag="\"one\"", renewed=["Cache-Control: no-store"])
    page.get()
    assert (page.get().status, page.get().status) == (200, 200)
    assert not page.is_reused()


def test_4_3_4_a_304_that_does_not_fit_is_not_believed(page):
    """A strong validator in the 304 that is not the stored one's names another representation."""
    page.says(*OUTDATED, "ETag: \"one\"")
    page.get()
    page.answer = lambda request: (reply(304, b"", KEPT, "ETag: \"two\"", length=False) if request["if-none-match"] else
                                   reply(200, b"new", KEPT, "ETag: \"two\""))
    answer = page.get()
    assert (answer.status, answer.body) == (200, b"new"), "asked again, without the condition"
    assert page.get().body == b"new"


def test_4_3_4_a_304_without_validators_is_for_what_was_asked_about(page):
    page.says(*OUTDATED, "ETag: \"one\"")
    page.get()
    page.answer = lambda request: reply(304, b"", KEPT, length=False)
    answer = page.get()
    assert (answer.status, answer.body) == (200, b"1") and page.is_reused()


def test_4_3_4_a_weak_304_is_for_a_weak_answer(page):
    page.says(*OUTDATED, "ETag: W/\"one\"")
    page.get()
    page.answer = lambda request: reply(304, b"", KEPT, "ETag: W/\"one\"", length=False)
    assert page.get().body == b"1" and page.is_reused()


def test_4_3_a_304_that_nobody_asked_for_is_no_answer(page):
    page.answer = lambda request: reply(304, b"", KEPT, length=False)
    assert page.get().status in (304, 502)
    page.says(KEPT)
    answer = page.get()
    assert (answer.status, answer.body) == (200, b"2"), "and nothing of it is stored"


def test_4_3_one_validation_for_all_who_wait(page):
    is_asked, go = threading.Event(), threading.Event()
    plain = page.holds(*OUTDATED, etag="\"one\"", renewed=[KEPT]).answer
    page.get()

    def held(request):
        is_asked.set()
        go.wait(patience(20))
        return plain(request)

    page.answer = held

    def ask(index):
        if index == 0:
            assert is_asked.wait(patience(10))
            go.set()
            return None
        return page.get()

    answers = together(11, ask)[1:]
    assert all((answer.status, answer.body) == (200, b"the whole") for answer in answers)
    assert len(page.requests) <= 3, "one for the first, one for all who waited; who came before the flight was seen may ask too"


# --- 4.3.2: those who ask us ---


NOT_MODIFIED = [
    ["If-None-Match: \"one\""], ["If-None-Match: W/\"one\""], ["If-None-Match: \"zero\", \"one\", \"two\""], ["If-None-Match: \"zero\",W/\"one\""],
    ["If-None-Match: *"],
    ["If-None-Match: \"zero\"", "If-None-Match: \"one\""], [f"If-Modified-Since: {ONCE}"], [f"If-Modified-Since: {LATER}"],
    ["If-Modified-Since: Monday, 01-Jan-01 00:00:00 GMT"], ["If-Modified-Since: Mon Jan  1 00:00:00 2001"],
    ["If-None-Match: \"one\"", f"If-Modified-Since: {BEFORE}"], ["If-None-Match: \"a\\b\", \"one\""]]
MODIFIED = [
    ["If-None-Match: \"other\""], ["If-None-Match: one"], ["If-None-Match: \"One\""], ["If-None-Match: \"on\", \"e\""],
    [f"If-Modified-Since: {BEFORE}"],
    ["If-Modified-Since: banana"], ["If-None-Match: \"other\"", f"If-Modified-Since: {LATER}"], ["If-None-Match: \"other, \"one"],
    [f"If-Modified-Since: {ONCE}", f"If-Modified-Since: {BEFORE}"]]


@pytest.mark.parametrize("fields", NOT_MODIFIED)
def test_4_3_2_conditions_are_answered_from_the_store(page, fields):
    page.says(KEPT, "ETag: \"one\"", f"Last-Modified: {ONCE}", "Content-Location: /x", "Vary: Foo", "X-Test: 1")
    page.get()
    answer = page.get(*fields)
    assert (answer.status, answer.body) == (304, b"") and is_hit(answer)
    assert "content-length" not in answer
    assert answer["etag"] == "\"one\"" and answer["cache-control"] == "max-age=60" and answer["content-location"] == "/x" and answer["vary"] == "Foo"
    assert answer["date"] and answer["age"]
    assert len(page.requests) == 1


@pytest.mark.parametrize("fields", MODIFIED)
def test_4_3_2_conditions_that_do_not_hold_get_the_whole(page, fields):
    page.says(KEPT, "ETag: \"one\"", f"Last-Modified: {ONCE}")
    page.get()
    answer = page.get(*fields)
    assert (answer.status, answer.body) == (200, b"1") and is_hit(answer)


@pytest.mark.parametrize("fields", [["If-None-Match: W/\"one\""], ["If-None-Match: \"one\""], ["If-None-Match: *"]])
def test_4_3_2_comparison_is_weak(page, fields):
    page.says(KEPT, "ETag: W/\"one\"")
    page.get()
    answer = page.get(*fields)
    assert answer.status == 304 and answer["etag"] == "W/\"one\""


def test_4_3_2_without_last_modified_date_stands_in(page):
    page.says(KEPT, f"Date: {http_date(-30)}")
    page.get()
    assert page.get(f"If-Modified-Since: {http_date(-10)}").status == 304
    assert page.get(f"If-Modified-Since: {http_date(-3000)}").status == 200


def test_4_3_2_an_if_none_match_without_a_stored_etag_is_judged_by_nothing_else(page):
    page.says(KEPT, f"Last-Modified: {ONCE}")
    page.get()
    assert page.get("If-None-Match: \"one\"", f"If-Modified-Since: {LATER}").status == 200
    assert page.get("If-None-Match: *").status == 304


@pytest.mark.parametrize("code", [404, 301])
def test_4_3_2_conditions_are_about_200_alone(page, code):
    """RFC 9110 13.2.1: conditions are ignored where the answer without them would not be a 2xx."""
    page.says(KEPT, "ETag: \"one\"", status=code)
    page.get()
    assert page.get("If-None-Match: \"one\"").status == code
    assert page.get("If-None-Match: *").status == code


@pytest.mark.parametrize("field", ["If-Match: \"one\"", "If-Match: *", "If-Match: \"other\"", f"If-Unmodified-Since: {ONCE}",
                                   f"If-Unmodified-Since: {BEFORE}"])
def test_4_3_2_conditions_of_the_origin_are_the_apps(page, field):
    page.says(KEPT, "ETag: \"one\"", f"Last-Modified: {ONCE}")
    page.get()
    page.get(field)
    assert len(page.requests) == 2 and page.last[field.split(":")[0]] == field.split(": ")[1]


def test_4_3_2_a_condition_met_by_a_stale_answer_is_answered_after_validation(page):
    page.holds(*OUTDATED, etag="\"one\"", renewed=[KEPT])
    page.get()
    answer = page.get("If-None-Match: \"one\"")
    assert (answer.status, answer.body, answer["etag"]) == (304, b"", "\"one\"")
    assert page.last["if-none-match"] == "\"one\""
    assert page.is_reused(), "and the 304 was for the stored answer too"


def test_4_3_2_a_condition_of_another_etag_is_not_lost_in_validation(page):
    """The client has "two" already, the store "one"; the app has "two" now."""
    page.says(*OUTDATED, "ETag: \"one\"")
    page.get()
    page.holds(KEPT, etag="\"two\"", body=b"second")
    answer = page.get("If-None-Match: \"two\"")
    assert answer.status in (200, 304) and (answer.status == 304 or answer.body == b"second")
    assert answer["etag"] == "\"two\""
    assert page.get().body == b"second"
    assert page.get("If-None-Match: \"one\"").body == b"second"


def test_4_3_2_a_conditional_miss_fills_the_store_or_is_passed_on(page):
    page.holds(KEPT, etag="\"one\"")
    answer = page.get("If-None-Match: \"one\"")
    assert answer.status in (200, 304)
    assert answer["etag"] == "\"one\""
    assert page.get().body == b"the whole"
    assert page.is_reused()


def test_4_3_2_conditions_with_no_cache_are_answered_after_asking(page):
    page.holds(KEPT, etag="\"one\"")
    page.get()
    assert page.get("Cache-Control: no-cache", "If-None-Match: \"one\"").status == 304
    assert len(page.requests) == 2


# --- 4.3.5: HEAD ---


def test_4_3_5_a_head_is_answered_from_a_stored_get(page):
    page.says(KEPT, "ETag: \"one\"", body=b"the get")
    page.get()
    head = page.ask("HEAD")
    assert is_hit(head) and (head.status, head.body, head["content-length"], head["etag"]) == (200, b"", "7", "\"one\"")
    assert page.ask("HEAD", "If-None-Match: \"one\"").status == 304
    assert len(page.requests) == 1


def test_4_3_5_a_head_alone_answers_no_get(page):
    page.says(KEPT, body=b"the get")
    page.ask("HEAD")
    assert page.get().body == b"the get"


def test_4_3_5_a_head_freshens_what_is_stored(page):
    page.holds(*OUTDATED, "X-Old: 1", "X-Test: a", etag="\"one\"")
    page.get()
    page.holds(KEPT, "X-Test: b", etag="\"one\"")
    page.ask("HEAD")
    assert page.last.method == "HEAD"
    answer = page.get()
    assert is_hit(answer) and (answer.body, answer["x-test"], answer["x-old"], answer["content-length"]) == (b"the whole", "b", "1", "9")


@pytest.mark.parametrize("before, change", [({"etag": "\"one\""}, {"etag": "\"two\""}), ({}, {"body": b"longer than it was"}),
                                            ({"last_modified": ONCE}, {"last_modified": LATER})],
                         ids=["etag", "length", "date"])
def test_4_3_5_a_head_that_shows_a_change_ends_what_is_stored(page, before, change):
    page.holds("Cache-Control: max-age=3600", "Age: 10", **before)
    page.get()
    page.holds(KEPT, **change)
    page.ask("HEAD", "Cache-Control: no-cache")
    assert not page.is_reused()
    assert page.get().body == change.get("body", b"the whole")


@pytest.mark.parametrize("code", [404, 410, 500])
def test_4_3_5_a_head_of_another_status_updates_nothing(page, code):
    page.holds(KEPT, "X-Test: a", etag="\"one\"")
    page.get()
    page.says(KEPT, "X-Test: b", status=code)
    page.ask("HEAD", "Cache-Control: no-cache")
    page.holds(KEPT, "X-Test: a", etag="\"one\"")
    answer = page.get()
    assert (answer.status, answer["x-test"]) == (200, "a")
