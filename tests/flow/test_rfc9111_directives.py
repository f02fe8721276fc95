"""RFC 9111, 5.2.1, 5.2.2 and 5.4: each directive of requests and of replies."""

import pytest
from stories import OUTDATED, Site, cache_status, http_date, is_hit

KEPT = "Cache-Control: max-age=3600"
AGED = ("Cache-Control: max-age=3600", "Age: 1800")


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start) as site:
        yield site


@pytest.fixture
def page(site):
    return site.page()


# --- 5.2.1: requests ---


@pytest.mark.parametrize("asked, is_reused", [
    ("max-age=0", False), ("max-age=600", False), ("max-age=1799", False), ("max-age=2400", True), ("MAX-AGE=0", False), ("max-age=\"600\"", False),
    ("max-age=99999999999", True), ("foo, max-age=600", False)])
def test_5_2_1_1_max_age_asks_for_what_is_younger(page, asked, is_reused):
    page.says(*AGED)
    page.get()
    assert page.is_reused(f"Cache-Control: {asked}") == is_reused


def test_5_2_1_1_a_reload_is_a_validation(page):
    page.holds(KEPT, etag="\"one\"")
    page.get()
    answer = page.get("Cache-Control: max-age=0")
    assert answer.body == b"the whole" and page.last["if-none-match"] == "\"one\""
    assert cache_status(answer)["fwd"] == "request" and cache_status(answer)["fwd-status"] == "304"


@pytest.mark.parametrize("asked, age, is_reused", [
    ("max-stale=1000", 3700, True), ("max-stale=50", 3700, False), ("max-stale", 100000, True), ("max-stale=x", 3700, False),
    ("max-age=4000, max-stale=1000", 3700, True),
    ("max-age=3000, max-stale=10", 3700, False), ("max-stale=0", 3700, False)])
def test_5_2_1_2_max_stale_takes_what_is_stale(page, asked, age, is_reused):
    page.says(KEPT, f"Age: {age}", "ETag: \"1\"")
    page.get()
    assert page.is_reused(f"Cache-Control: {asked}") == is_reused


@pytest.mark.parametrize("value", ["must-revalidate, max-age=100", "proxy-revalidate, max-age=100", "s-maxage=100", "no-cache, max-age=200"])
def test_5_2_1_2_max_stale_does_not_override_the_app(page, value):
    page.says(f"Cache-Control: {value}", "Age: 100", "ETag: \"1\"")
    page.get()
    assert not page.is_reused("Cache-Control: max-stale=1000")


@pytest.mark.parametrize("asked, is_reused", [("min-fresh=2000", False), ("min-fresh=1700", True), ("min-fresh=0", True), ("min-fresh=1801", False),
                                              ("min-fresh=99999999999", False)])
def test_5_2_1_3_min_fresh_asks_for_what_stays_fresh(page, asked, is_reused):
    page.says(*AGED)
    page.get()
    assert page.is_reused(f"Cache-Control: {asked}") == is_reused


@pytest.mark.parametrize("asked", ["no-cache", "No-Cache", "foo, no-cache", "no-cache, max-stale", "max-age=100000,no-cache"])
def test_5_2_1_4_no_cache_asks_the_app(page, asked):
    page.says(KEPT)
    page.get()
    assert not page.is_reused(f"Cache-Control: {asked}")
    assert page.get().body == b"2", "and what it brought is stored"


def test_5_2_1_4_no_cache_validates(page):
    page.holds(KEPT, etag="\"one\"", last_modified="Mon, 01 Jan 2001 00:00:00 GMT")
    page.get()
    page.get("Cache-Control: no-cache")
    assert page.last["if-none-match"] == "\"one\""


def test_5_2_1_5_no_store_keeps_nothing_and_is_not_answered_from_the_store(page):
    page.says(KEPT)
    page.get("Cache-Control: no-store")
    assert not page.is_reused(), "nothing was stored"
    assert page.is_reused()
    page.get("Cache-Control: no-store")
    assert page.get().body == b"2", "and it left alone what was"


def test_5_2_1_6_no_transform_is_kept_anyway(page):
    page.says(KEPT)
    assert page.is_kept("Cache-Control: no-transform")


def test_5_2_1_7_only_if_cached_asks_nobody(page):
    page.says(KEPT)
    answer = page.get("Cache-Control: only-if-cached")
    assert answer.status == 504 and not page.requests
    page.get()
    assert page.is_reused("Cache-Control: only-if-cached")


def test_5_2_1_7_only_if_cached_is_not_satisfied_by_what_is_stale(page):
    page.says(*OUTDATED, "ETag: \"1\"")
    page.get()
    assert page.get("Cache-Control: only-if-cached").status == 504
    assert page.is_reused("Cache-Control: only-if-cached, max-stale")
    assert len(page.requests) == 1


def test_5_2_1_directives_that_nobody_knows_mean_nothing(page):
    page.says(KEPT)
    page.get()
    assert page.is_reused("Cache-Control: foo, bar=1, baz=\"no-cache\", no-cachex")


@pytest.mark.parametrize("word, asked", [("no-cache", "no-cache"), ("no-store", "no-store"), ("max-age", "max-age=0"),
                                         ("min-fresh", "min-fresh=100000"),
                                         ("only-if-cached", "only-if-cached")])
def test_5_2_1_a_route_may_ignore_what_clients_ask(start_weir, word, asked):
    with Site(start_weir, routes=[{"path": "/**", "cache": {"ignore": [word]}}]) as site:
        page = site.page().says(KEPT)
        assert page.get(f"Cache-Control: {asked}").status == 200
        assert page.is_reused(f"Cache-Control: {asked}")
        if word == "no-cache":
            assert page.is_reused("Pragma: no-cache")
        else:
            assert not page.is_reused("Cache-Control: no-cache")


def test_5_2_1_a_route_may_ignore_max_stale(start_weir):
    with Site(start_weir, routes=[{"path": "/**", "cache": {"ignore": ["max-stale"]}}]) as site:
        page = site.page().says(*OUTDATED, "ETag: \"1\"")
        page.get()
        assert not page.is_reused("Cache-Control: max-stale")


# --- 5.4: Pragma ---


def test_5_4_pragma_no_cache_is_cache_control_no_cache_where_there_is_none(page):
    page.says(KEPT)
    page.get()
    assert not page.is_reused("Pragma: no-cache")
    assert not page.is_reused("Pragma: foo, No-Cache")
    assert page.is_reused("Pragma: no-cache", "Cache-Control: max-age=10000")
    assert page.is_reused("Pragma: foo")


def test_5_4_a_replys_pragma_means_nothing(page, site):
    assert page.says(KEPT, "Pragma: no-cache").is_kept()
    assert site.page().says("Pragma: no-cache", f"Last-Modified: {http_date(-100000)}").is_kept()


# --- 5.2.2: replies ---


def test_5_2_2_1_max_age_is_seen_by_the_next_cache_too(page):
    page.says(KEPT, "Age: 10")
    page.get()
    hit = page.get()
    assert hit["cache-control"] == "max-age=3600" and int(hit["age"]) >= 10


@pytest.mark.parametrize("value", ["must-revalidate, max-age=100", "max-age=100,proxy-revalidate", "s-maxage=100", "max-age=100, MUST-REVALIDATE"])
def test_5_2_2_2_must_revalidate_is_used_fresh_and_never_stale(page, value, site):
    assert page.says(f"Cache-Control: {value}", "ETag: \"1\"").is_kept()
    stale = site.page().says(f"Cache-Control: {value}", "Age: 100", "ETag: \"1\"")
    assert not stale.is_kept()
    stale.says("Cache-Control: no-store", status=503)
    assert stale.get().status == 503


def test_5_2_2_2_must_revalidate_with_no_app_is_a_504(start_weir):
    with Site(start_weir, upstream={"retries": {"attempts": 0}}) as site:
        page = site.page().says("Cache-Control: max-age=100, must-revalidate", "Age: 100", "ETag: \"1\"")
        page.get()
        page.answer = lambda request: None
        assert page.get().status in (502, 504), "5.2.2.2: an error, 504 if nothing else fits"


@pytest.mark.parametrize("value, code, is_kept", [
    ("must-understand, no-store, max-age=60", 200, True), ("no-store, max-age=60, must-understand", 404, True),
    ("must-understand, max-age=60", 200, True),
    ("must-understand, no-store, max-age=60", 599, False), ("must-understand, max-age=60", 599, False), ("must-understand, max-age=60", 299, False),
    ("must-understand, no-store", 200, False), ("must-understand, private, no-store, max-age=60", 200, False)])
def test_5_2_2_3_must_understand(page, value, code, is_kept):
    assert page.says(f"Cache-Control: {value}", status=code).is_kept() == is_kept


def test_5_2_2_4_no_cache_alone_is_worth_storing_only_with_a_validator(page, site):
    assert not page.says("Cache-Control: no-cache, max-age=60").is_kept()
    assert "if-none-match" not in page.last
    validated = site.page().says("Cache-Control: no-cache", "ETag: \"1\"")
    assert not validated.is_kept()
    assert validated.last["if-none-match"] == "\"1\""


@pytest.mark.parametrize("value", ["no-store", "NO-STORE", "no-store, no-cache", "max-age=100, no-store=\"x\"", "\tno-store"])
def test_5_2_2_5_no_store(page, value):
    assert not page.says(f"Cache-Control: {value}", "Expires: Fri, 01 Jan 2100 00:00:00 GMT").is_kept()


def test_5_2_2_6_no_transform_bodies_come_as_they_were(page):
    body = bytes(range(256)) * 10
    page.says("Cache-Control: max-age=60, no-transform", "Content-Encoding: x-test", body=body)
    page.get()
    hit = page.get("Accept-Encoding: gzip")
    assert is_hit(hit) and hit.body == body and hit["content-encoding"] == "x-test"


def test_5_2_2_9_public_does_not_lengthen_anything(page):
    assert not page.says("Cache-Control: public, max-age=0").is_kept()


def test_5_2_2_10_s_maxage_implies_proxy_revalidate(page):
    page.says("Cache-Control: s-maxage=100", "Age: 100", "ETag: \"1\"")
    page.get()
    page.says("Cache-Control: no-store", status=500)
    assert page.get().status == 500


def test_5_2_3_unknown_directives_mean_nothing(page):
    assert page.says("Cache-Control: community=\"UCI\", max-age=60, x=y=z").is_kept()


@pytest.mark.parametrize("value", ["max-age=3600, immutable", "immutable, max-age=3600"])
def test_rfc8246_immutable_is_still_reloaded_for_who_insists(page, value):
    page.says(f"Cache-Control: {value}")
    assert page.is_kept()
    assert not page.is_reused("Cache-Control: no-cache")
