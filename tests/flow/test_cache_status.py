"""RFC 9211: Cache-Status says what the cache did, and why."""

import re
import threading

import pytest
from harness import eventually, patience, reply
from stories import OUTDATED, Site, cache_status, is_hit, together

KEPT = "Cache-Control: max-age=60"
FORWARDED = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}
VALUE = r"-?[0-9]{1,15}|\?[01]|\"(?:[ !#-\[\]-~]|\\[\"\\])*\"|[A-Za-z*][!#$%&'*+.^_`|~:/0-9A-Za-z-]*"  # RFC 9651: integer, boolean, string, token
PARAMETER = f"(?P<name>[a-z*][a-z0-9_.*-]*)(?:=(?P<value>{VALUE}))?"
MEMBER = re.compile(r"weir(?:; *" + PARAMETER.replace("?P<name>", "").replace("?P<value>", "") + ")*")


def parsed(answer):
    """The parameters, each of the type that RFC 9211 gives it; asserts that the field is well-formed."""
    assert len(answer.all("cache-status")) == 1, answer
    text = answer["cache-status"]
    assert MEMBER.fullmatch(text), text
    found = {match["name"]: match["value"] for match in re.finditer("; *" + PARAMETER, text)}
    assert len(found) == text.count(";") - sum(value.count(";") for value in found.values() if value), text
    assert not ("hit" in found and "fwd" in found), f"never both (2.1): {text}"
    assert found.get("fwd", "miss") in FORWARDED, text
    for name in ("hit", "stored", "collapsed"):
        assert found.get(name) is None, f"booleans that are true have no value: {text}"
    if "fwd-status" in found:
        assert "fwd" in found and 100 <= int(found["fwd-status"]) <= 599
    if "ttl" in found:
        int(found["ttl"])
    assert "fwd" in found or "stored" not in found
    assert "fwd" in found or "collapsed" not in found, text
    return found


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start, upstream={"retries": {"attempts": 0}}) as site:
        yield site


@pytest.fixture
def page(site):
    return site.page()


def test_2_1_a_hit_and_its_ttl(page):
    page.says("Cache-Control: max-age=3600", "Age: 100")
    page.get()
    found = parsed(page.get())
    assert set(found) == {"hit", "ttl"} and 3400 <= int(found["ttl"]) <= 3500


def test_2_2_a_miss_that_is_stored(page):
    found = parsed(page.says(KEPT).get())
    assert found["fwd"] == "uri-miss" and "stored" in found


@pytest.mark.parametrize("field", ["Cache-Control: no-store", "Cache-Control: private", "Vary: *", "X-None: 1"])
def test_2_2_a_miss_that_is_not_stored(page, field):
    found = parsed(page.says(field).get())
    assert found["fwd"] == "uri-miss" and "stored" not in found


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_2_2_method(page, method):
    found = parsed(page.says(KEPT).ask(method, body=b""))
    assert found["fwd"] == "method" and "stored" not in found


def test_2_2_vary_miss(page):
    page.says(KEPT, "Vary: Foo")
    page.get("Foo: 1")
    found = parsed(page.get("Foo: 2"))
    assert found["fwd"] == "vary-miss" and "stored" in found


def test_2_2_stale(page):
    page.says(*OUTDATED, "ETag: \"1\"")
    page.get()
    page.says(KEPT)
    found = parsed(page.get())
    assert found["fwd"] == "stale" and "stored" in found


@pytest.mark.parametrize("asked", ["no-cache", "max-age=0", "min-fresh=1000", "no-store"])
def test_2_2_request(page, asked):
    page.says(KEPT)
    page.get()
    assert parsed(page.get(f"Cache-Control: {asked}"))["fwd"] in (("request",) if asked != "no-store" else ("request", "bypass"))


def test_2_2_bypass(page):
    page.says(KEPT)
    assert parsed(page.get(body=b"x"))["fwd"] == "bypass"


def test_2_2_bypass_of_a_route_for_credentials(start_weir):
    with Site(start_weir, routes=[{"path": "/**", "cache": {"ttl": "60s"}}]) as site:
        page = site.page().says()
        page.get()
        found = parsed(page.get("Cookie: session=1"))
        assert found["fwd"] in ("bypass", "request") and "stored" not in found


def test_2_2_partial(page):
    page.answer = lambda request: (reply(206, b"01234", KEPT, "ETag: \"1\"", "Content-Range: bytes 0-4/10") if request["range"] == "bytes=0-4" else
                                   reply(206, b"56789", KEPT, "ETag: \"1\"", "Content-Range: bytes 5-9/10") if request["range"] else
                                   reply(200, b"0123456789", KEPT, "ETag: \"1\""))
    page.get("Range: bytes=0-4")
    found = parsed(page.get())
    assert found["fwd"] == "partial"


def test_2_3_fwd_status_where_it_is_not_what_the_client_sees(page):
    page.holds(*OUTDATED, etag="\"1\"", renewed=[KEPT])
    page.get()
    answer = page.get()
    assert answer.status == 200 and parsed(answer)["fwd-status"] == "304"


def test_2_3_fwd_status_of_an_error_that_was_replaced(page):
    page.says("Cache-Control: max-age=100, stale-if-error=600", "Age: 100")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    answer = page.get()
    found = parsed(answer)
    assert answer.status == 200 and found["fwd"] == "stale" and found["fwd-status"] == "503" and int(found["ttl"]) <= 0


def test_2_4_ttl_is_negative_for_what_is_stale(page):
    page.says("Cache-Control: max-age=100, stale-while-revalidate=600", "Age: 150")
    page.get()
    assert -80 <= int(parsed(page.get())["ttl"]) <= -50


def test_2_6_collapsed_requests_say_so(start_weir):
    go = threading.Event()
    with Site(start_weir) as site:
        page = site.page()
        plain = page.says(KEPT).answer

        def held(request):
            go.wait(patience(20))
            return plain(request)

        page.answer = held

        def ask(index):
            if index == 0:
                eventually(lambda: page.requests)
                go.set()
                return None
            return page.get()

        answers = together(11, ask)[1:]
    assert len(page.requests) == 1
    said = [parsed(answer) for answer in answers]
    assert sum("stored" in one for one in said) == 1, "the one that fetched"
    assert all("collapsed" in one or "hit" in one or "stored" in one for one in said)


def test_2_7_the_key_is_for_trusted_peers_alone(start_weir, page):
    page.says(KEPT)
    for fields in ([], ["Weir-Trace: 1"]):
        page.get(*fields)
        assert "key" not in parsed(page.get(*fields))
    with Site(start_weir, trusted_peers=["127.0.0.2/32"]) as site:
        there = site.page().says(KEPT)
        there.get()
        found = parsed(there.get("Weir-Trace: 1", source="127.0.0.2"))
        assert found["key"].startswith("\"") and there.path in found["key"]
        assert "key" not in parsed(there.get("Weir-Trace: 1"))


def test_2_7_the_key_holds_no_credential(start_weir):
    with Site(start_weir, trusted_peers=["127.0.0.0/8"], routes=[{"path": "/**", "cache": {"ttl": "60s", "share": "credential"}}]) as site:
        page = site.page().says()
        for _ in range(2):
            answer = page.get("Weir-Trace: 1", "Authorization: Basic c2VjcmV0", "Cookie: session=secret")
            assert "c2VjcmV0" not in answer["cache-status"] and "secret" not in answer["cache-status"]


def test_2_8_detail_says_why(page):
    page.says("Cache-Control: no-store")
    page.get()
    found = parsed(page.get())
    assert re.fullmatch("\"?[a-z-]+\"?", found.get("detail") or "none")


def test_3_what_others_said_before_us_stays_in_front(page):
    page.says(KEPT, "Cache-Status: Origin; hit; ttl=10")
    for answer in (page.get(), page.get()):
        assert re.match(r"Origin; ?hit; ?ttl=10, ?weir; ?", answer["cache-status"]), answer["cache-status"]


def test_3_a_hit_does_not_repeat_what_we_said_when_it_was_stored(page):
    page.says(KEPT)
    page.get()
    assert page.get()["cache-status"].count("weir") == 1


def test_conditional_and_partial_hits_are_hits(page):
    page.says(KEPT, "ETag: \"1\"", body=b"0123456789")
    page.get()
    assert "hit" in parsed(page.get("If-None-Match: \"1\""))
    assert "hit" in parsed(page.get("Range: bytes=0-1"))
    assert "hit" in parsed(page.get("Range: bytes=100-"))
    assert "hit" in parsed(page.ask("HEAD"))


def test_errors_of_weir_say_what_the_cache_did_with_them(page):
    page.answer = lambda request: None
    answer = page.get()
    assert answer.status == 502
    if answer["cache-status"]:
        found = parsed(answer)
        assert found["fwd"] == "uri-miss" and "stored" not in found and "fwd-status" not in found


def test_only_if_cached_was_not_forwarded(page):
    answer = page.get("Cache-Control: only-if-cached")
    assert answer.status == 504
    assert not answer["cache-status"] or "fwd" not in answer["cache-status"]


def test_a_clients_own_cache_status_means_nothing(page):
    page.says(KEPT)
    page.get("Cache-Status: weir; hit")
    assert cache_status(page.get("Cache-Status: x"))["hit"] is True


def test_without_a_cache_nothing_is_said(start_weir):
    with Site(start_weir, cache={"memory": 0}) as site:
        assert "cache-status" not in site.page().says(KEPT).get()


def test_errands_leave_no_trace_in_what_clients_see(page):
    page.says("Cache-Control: max-age=100, stale-while-revalidate=600", "Age: 100")
    page.get()
    page.says(KEPT)
    page.get()
    eventually(lambda: len(page.requests) == 2)
    eventually(lambda: page.get().body == b"2")
    assert is_hit(page.get()) and set(parsed(page.get())) == {"hit", "ttl"}
