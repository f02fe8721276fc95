"""RFC 9111, 4.4: what a write makes go, and what it leaves alone."""

import threading

import pytest
from harness import patience
from stories import OUTDATED, Site, cache_status, is_hit

KEPT = "Cache-Control: max-age=60"
ACME, OTHER = "acme.api.example.com", "other.api.example.com"


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start) as site:
        yield site


@pytest.fixture
def page(site):
    return site.page().says(KEPT)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "M-SEARCH", "BREW", "MOVE"])
@pytest.mark.parametrize("code", [200, 201, 204, 302, 303])
def test_4_4_a_write_that_succeeded_ends_its_target(page, method, code):
    page.get()
    page.says(KEPT, status=code)
    assert page.ask(method, body=b"new").status == code
    page.says(KEPT)
    assert not page.is_reused()
    assert page.is_reused(), "and what was fetched after it is stored again"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "M-SEARCH"])
@pytest.mark.parametrize("code", [400, 404, 409, 500, 503, 599])
def test_4_4_a_write_that_failed_changes_nothing(page, method, code):
    page.get()
    page.says(status=code)
    page.ask(method, body=b"new")
    assert page.is_reused()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
def test_4_4_methods_that_are_known_to_be_safe_change_nothing(page, method):
    page.get()
    page.ask(method)
    assert page.is_reused()


def test_4_4_all_variants_go(page):
    page.says(KEPT, "Vary: Foo")
    for number in range(3):
        page.get(f"Foo: {number}")
    page.ask("POST", body=b"")
    assert not any(page.is_reused(f"Foo: {number}") for number in range(3))


def test_4_4_parts_and_heads_go_too(page):
    page.says(KEPT, "ETag: \"1\"", "Content-Range: bytes 0-3/10", status=206, body=b"0123")
    page.get("Range: bytes=0-3")
    page.says(KEPT)
    page.ask("POST", body=b"")
    assert not page.is_reused("Range: bytes=0-3")


def test_4_4_other_targets_stay(page):
    page.get(tail="?a")
    page.get(tail="/below")
    page.ask("POST", body=b"")
    assert page.is_reused(tail="?a") and page.is_reused(tail="/below")


def test_4_4_what_a_write_brought_is_not_stored_for_a_get(page):
    page.says("Cache-Control: max-age=60", "Content-Location: " + page.path)
    page.ask("POST", body=b"")
    assert not page.is_reused()


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("form", ["{path}/b", "http://test{path}/b", "http://TEST:80{path}/b", "//test{path}/b", "{path}/c/../b", "{path}/b#part",
                                  "b/../{last}/b"])
def test_4_4_location_and_content_location_end_what_they_name(page, field, form):
    page.get(tail="/b")
    page.get(tail="/c")
    page.says(f"{field}: " + form.format(path=page.path, last=page.path[1:]))
    page.ask("POST", body=b"")
    page.says(KEPT)
    assert not page.is_reused(tail="/b")
    assert page.is_reused(tail="/c")


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "M-SEARCH"])
def test_4_4_so_after_every_unsafe_method(page, field, method):
    page.get(tail="?b")
    page.says(f"{field}: ?b")
    page.ask(method, body=b"")
    page.says(KEPT)
    assert not page.is_reused(tail="?b")


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("form", ["http://other.example.com{path}/b", "https://test{path}/b", "http://test:8080{path}/b",
                                  "//other.example.com{path}/b",
                                  "http://test@other.example.com{path}/b", "http://test.evil.example{path}/b", "mailto:{path}/b", "http:///{path}/b"])
def test_4_4_another_origin_can_not_be_ended(page, field, form):
    """9111 4.4: MUST NOT ... if the origin differs: else one site could empty another's cache."""
    page.get(tail="/b")
    page.get(tail="/b", host="other.example.com")
    page.says(f"{field}: " + form.format(path=page.path))
    page.ask("POST", body=b"")
    page.says(KEPT)
    assert page.is_reused(tail="/b")
    assert page.is_reused(tail="/b", host="other.example.com")


@pytest.mark.parametrize("code", [404, 500])
def test_4_4_a_write_that_failed_ends_no_location_either(page, code):
    page.get(tail="/b")
    page.says(f"Location: {page.path}/b", status=code)
    page.ask("POST", body=b"")
    assert page.is_reused(tail="/b")


def test_4_4_a_gets_location_ends_nothing(page):
    page.get(tail="/b")
    page.says(f"Location: {page.path}/b", f"Content-Location: {page.path}/b", "Cache-Control: no-store", status=302)
    page.get()
    assert page.is_reused(tail="/b")


@pytest.mark.parametrize("value", ["", "http://", "http://[", "//", "\x80", "?" * 5000, "/" + "../" * 1000, "http://test:99999999/x", "%", "/%zz"])
def test_4_4_a_location_that_is_none_does_no_harm(page, value):
    page.says(f"Location: {value}", status=201)
    assert page.ask("POST", body=b"").status == 201
    page.says(KEPT)
    assert not page.is_reused() and page.is_reused()


def test_4_4_what_was_under_way_when_it_changed_is_not_kept(page):
    asked, go = threading.Event(), threading.Event()
    plain = page.answer

    def held(request):
        if request.method == "GET" and not asked.is_set():
            asked.set()
            go.wait(patience(20))
        return plain(request)

    page.answer = held
    with page.site.weir.wire() as wire:
        wire.request("GET", page.path)
        assert asked.wait(patience(10))
        assert page.ask("POST", body=b"").status == 200
        go.set()
        assert wire.reply().status == 200
    assert not page.is_reused(), "it was fetched before the write"


def test_4_4_a_validation_that_was_under_way_does_not_bring_it_back(page):
    asked, go = threading.Event(), threading.Event()
    page.holds(*OUTDATED, etag="\"one\"", renewed=[KEPT])
    page.get()
    plain = page.answer

    def held(request):
        if request["if-none-match"]:
            asked.set()
            go.wait(patience(20))
        return plain(request)

    page.answer = held
    with page.site.weir.wire() as wire:
        wire.request("GET", page.path)
        assert asked.wait(patience(10))
        page.ask("POST", body=b"")
        go.set()
        assert wire.reply().body == b"the whole"
    page.says(KEPT, body=b"written")
    assert page.get().body == b"written"


def test_4_4_what_was_ended_is_not_even_asked_about(page):
    page.says(KEPT, "ETag: \"one\"")
    page.get()
    page.ask("POST", body=b"")
    page.get()
    assert "if-none-match" not in page.last


def test_4_4_it_does_not_stand_in_for_an_error_any_more(page):
    page.says("Cache-Control: max-age=100, stale-if-error=600", "Age: 100", "ETag: \"one\"")
    page.get()
    page.ask("POST", body=b"")
    page.says(status=503)
    assert page.get().status == 503


def test_4_4_a_write_of_one_tenant_leaves_the_others_alone(start_weir):
    with Site(start_weir, tenants={"from": [{"host": "{tenant}.api.example.com"}, {"path": "/t/{tenant}/"}]}) as site:
        page = site.page("/t/x/y").says(KEPT)
        mine = site.page("/x").says(KEPT)
        for host in (ACME, OTHER):
            mine.get(host=host)
        mine.ask("POST", body=b"", host=ACME)
        assert not mine.is_reused(host=ACME)
        assert mine.is_reused(host=OTHER)
        mine.says(f"Location: http://{OTHER}/x")
        mine.ask("POST", body=b"", host=ACME)
        assert mine.is_reused(host=OTHER), "not through Location either"
        page.get()
        site.page("/t/z/y").says("Location: /t/x/y").ask("POST", body=b"")
        assert page.is_reused(), "one origin, two tenants by path: a Location is the tenant's own"


def test_4_4_a_write_that_weir_refuses_ends_nothing(start_weir):
    with Site(start_weir, clients={"body_max": "10"}) as site:
        page = site.page().says(KEPT)
        page.get()
        assert page.ask("POST", body=b"x" * 11).status == 413
        assert page.is_reused()


def test_4_4_a_write_says_so_in_cache_status(page):
    page.get()
    answer = page.ask("POST", body=b"")
    assert cache_status(answer)["fwd"] == "method" and not is_hit(answer) and "stored" not in cache_status(answer)
