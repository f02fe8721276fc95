"""RFC 9111, 2 and 3: what is a key, what is stored, and what of it is kept back."""

import pytest
from harness import chunked, reply
from stories import Site, cache_status, http_date, is_hit

KEPT = "Cache-Control: max-age=60"


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start) as site:
        yield site


@pytest.fixture
def page(site):
    return site.page()


# --- 2: the key ---


def test_2_the_key_is_the_exact_target(page):
    page.says(KEPT)
    tails = ["", "?", "?a=1", "?a=1&b=2", "?b=2&a=1", "?a=%31", "?A=1"]
    first = [page.get(tail=tail).body for tail in tails]
    assert len(set(first)) == len(tails)
    assert [page.get(tail=tail).body for tail in tails] == first


def test_2_a_fragment_is_no_part_of_a_target(page):
    page.says(KEPT)
    assert page.get(tail="#x").status == 400, "no client may send one: RFC 9112 3.2"


@pytest.mark.parametrize("query", ["exact", "sorted"])
def test_2_a_route_may_sort_the_query_for_the_key_alone(start_weir, query):
    with Site(start_weir, routes=[{"path": "/**", "cache": {"query": query}}]) as site:
        page = site.page().says(KEPT)
        page.get(tail="?b=2&a=1&b=1")
        assert page.last.target.endswith("?b=2&a=1&b=1"), "the app sees what the client sent"
        assert page.is_reused(tail="?b=2&a=1&b=1")
        assert page.is_reused(tail="?a=1&b=2&b=1") == (query == "sorted")
        assert not page.is_reused(tail="?a=1&b=1&b=2"), "the order of two values of one name may mean something"
        assert not page.is_reused(tail="?a=1&b=2")


# --- 3: may it be stored? ---


FINAL = [200, 201, 202, 203, 204, 226, 299, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 451, 499, 500, 501, 502, 503, 504, 599]


@pytest.mark.parametrize("code", FINAL)
def test_3_any_final_status_with_explicit_freshness_is_stored(page, code):
    assert page.says(KEPT, status=code).is_kept()


@pytest.mark.parametrize("code", [200, 204, 302, 404, 500, 599])
def test_3_no_status_without_freshness_is_stored(page, code):
    assert not page.says(status=code).is_kept()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "BREW", "QUERY"])
def test_3_methods_that_are_not_understood_are_never_answered_from_the_store(page, method):
    page.says(KEPT)
    assert [page.ask(method).body for _ in range(2)] == [b"1", b"2"]
    assert cache_status(page.ask(method))["fwd"] == "method"
    assert page.get().body == b"4", "and a GET is not answered with what they brought"


def test_3_methods_are_case_sensitive(page):
    page.says(KEPT)
    page.get()
    assert not is_hit(page.ask("get"))


@pytest.mark.parametrize("value", ["no-store", "no-store, max-age=60", "max-age=60, No-Store", "public, no-store", "no-store, immutable, s-maxage=60",
                                   "private", "private, max-age=60", "max-age=60,private", "s-maxage=60, private", "PRIVATE, public, max-age=60"])
def test_3_no_store_and_private_are_never_stored(page, value):
    assert not page.says(f"Cache-Control: {value}", "ETag: \"1\"", f"Expires: {http_date(600)}").is_kept()
    assert "if-none-match" not in page.last, "not even to ask about it"


def test_3_an_older_answer_does_not_come_back_behind_a_no_store(page):
    page.says(KEPT)
    page.get()
    page.says("Cache-Control: no-store")
    page.get("Cache-Control: no-cache")
    answer = page.get()
    assert answer.body in (b"1", b"3"), "the old one was valid for its time; a new one is fine as well"


@pytest.mark.parametrize("fields, is_kept", [
    (["Cache-Control: max-age=60"], True), (["Cache-Control: s-maxage=60"], True), ([f"Expires: {http_date(600)}"], True),
    (["Cache-Control: public"], False),
    ([], False), (["ETag: \"1\""], False)])
def test_3_explicit_freshness_is_what_it_takes(page, fields, is_kept):
    assert page.says(*fields).is_kept() == is_kept


def test_3_public_makes_an_answer_cacheable_whose_status_is_not(page):
    modified = f"Last-Modified: {http_date(-100000)}"
    assert not page.says(modified, status=599).is_kept()
    assert page.says(modified, "Cache-Control: public", status=599).is_kept()


def test_3_a_route_may_store_set_cookie_where_the_config_says_so(start_weir):
    with Site(start_weir, cache={"set_cookie": "store"}) as site:
        page = site.page()
        assert page.says(KEPT, "Set-Cookie: a=b").is_kept()
        assert page.get()["set-cookie"] == "a=b"
        assert not site.page().says("Set-Cookie: a=b", f"Last-Modified: {http_date(-100000)}").is_kept(), "a guess is no explicit freshness"


def test_3_set_cookie_is_not_stored_by_default(page):
    assert not page.says(KEPT, "Set-Cookie: a=b").is_kept()


@pytest.mark.parametrize("value", ["no-cache=\"set-cookie\"", "private=\"Set-Cookie\""])
def test_3_set_cookie_that_is_named_as_kept_out_does_not_forbid_the_rest(page, value):
    page.says(f"Cache-Control: max-age=60, {value}", "Set-Cookie: a=b")
    assert page.get()["set-cookie"] == "a=b", "who asked first gets his own"
    hit = page.get()
    assert is_hit(hit) and "set-cookie" not in hit


def test_3_clients_with_cookies_are_served_what_the_app_said_is_cacheable(page):
    page.says(KEPT)
    page.get()
    assert page.is_reused("Cookie: a=b")


@pytest.mark.parametrize("code", [102, 103])
def test_3_interim_replies_pass_and_the_final_one_is_stored(page, code):
    final = page.says(KEPT).answer
    page.answer = lambda request: b"HTTP/1.1 %d Wait\r\nLink: </a>; rel=preload\r\nCache-Control: max-age=600\r\n\r\n" % code + final(request)
    first = page.get()
    assert [interim.status for interim in first.interim] == [code]
    hit = page.get()
    assert is_hit(hit) and not hit.interim and "link" not in hit and hit["cache-control"] == "max-age=60"


def test_3_a_get_with_a_body_passes_by(page):
    page.says(KEPT)
    assert page.get(body=b"q").body == b"1"
    assert page.get().body == b"2", "what it brought is not for others"
    assert page.get(body=b"q").body == b"3", "and it is not answered from the store"
    assert cache_status(page.get(body=b"q"))["fwd"] == "bypass"
    assert page.is_reused()


def test_3_a_get_with_an_empty_body_is_a_plain_get(page):
    page.says(KEPT)
    page.get()
    assert page.is_reused(body=b"")


@pytest.mark.parametrize("framing", [b"Content-Length: 10\r\n\r\n12345", b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"])
def test_3_3_an_incomplete_answer_is_not_handed_out_as_a_complete_one(start_weir, start_app, framing):
    def script(peer):
        while peer.read_head():
            if len(app.requests) == 1:
                peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\n" + framing)
                return
            peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nContent-Length: 10\r\n\r\n1234567890")

    app = start_app(None, script)
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.request("GET", "/x")
        head = wire.reply_head()
        assert head.status == 200
        with pytest.raises(Exception):
            if head.framing == "chunked":
                while wire.chunk():
                    pass
            else:
                wire.exactly(10)
    assert weir.get("/x").body == b"1234567890"


def test_3_a_chunked_answer_is_handed_out_with_its_length_to_all_kinds_of_clients(start_weir, start_app):
    def script(peer):
        while peer.read_head():
            peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=60\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n")
            peer.send(chunked(b"first;", b"rest", trailers=b"X-Sum: 1\r\n"))

    app = start_app(None, script)
    weir = start_weir(app)
    assert weir.get("/x").body == b"first;rest"
    hit = weir.get("/x")
    assert is_hit(hit) and hit.body == b"first;rest"
    with weir.wire() as wire:
        wire.send(b"GET /x HTTP/1.0\r\nHost: test\r\n\r\n")
        old = wire.reply()
        assert is_hit(old) and old.body == b"first;rest" and old.framing != "chunked"
    with weir.wire() as wire:
        wire.request("GET", "/x", "Connection: close")
        assert wire.reply().body == b"first;rest" and wire.is_at_end()
    assert len(app.requests) == 1


def test_3_an_old_apps_answer_is_stored_by_the_same_rules(start_weir, start_app):
    def script(peer):
        if peer.read_head():
            peer.send(reply(200, b"old", f"Expires: {http_date(60)}", version="1.0"))

    app = start_app(None, script)
    weir = start_weir(app)
    assert [weir.get("/x").body for _ in range(3)] == [b"old"] * 3
    assert len(app.requests) == 1


def test_3_hits_and_misses_in_one_pipeline_keep_their_order(site):
    kept, passed = site.page().says(KEPT, body=b"kept"), site.page().says("Cache-Control: no-store", body=b"passed")
    kept.get()
    order = [kept, passed, kept, kept, passed, passed, kept]
    with site.weir.wire() as wire:
        for page in order:
            wire.request("GET", page.path)
        for page in order:
            assert wire.reply().body == (b"kept" if page is kept else b"passed")


def test_3_an_empty_body_is_stored_too(page):
    assert page.says(KEPT, body=b"").is_kept()
    assert page.get()["content-length"] == "0"


# --- 3.1: which fields ---


HOP_BY_HOP = ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authenticate: Basic", "Proxy-Authentication-Info: x",
              "Proxy-Authorization: x", "TE: trailers", "Upgrade: h2c"]


@pytest.mark.parametrize("field", HOP_BY_HOP)
def test_3_1_fields_of_the_connection_are_not_stored(page, field):
    assert page.says(KEPT, field, "X-Kept: 1").is_kept()
    hit = page.get()
    assert field.split(":")[0].lower() not in hit.names() and hit["x-kept"] == "1"


def test_3_1_fields_that_connection_lists_are_not_stored(page):
    page.says(KEPT, "Connection: A, b", "A: 1", "B: 2", "C: 3")
    for answer in (page.get(), page.get()):
        assert "a" not in answer and "b" not in answer and answer["c"] == "3"


@pytest.mark.parametrize("directive", ["no-cache", "private"])
@pytest.mark.parametrize("listed, missing", [("\"a\"", "a"), ("\"a, b\"", "ab"), ("\"A,B\"", "ab"), ("\" b , a\"", "ab"), ("\"nothing\"", "")])
def test_3_1_fields_named_by_no_cache_or_private_are_left_out(page, directive, listed, missing):
    page.says(f"Cache-Control: {directive}={listed}", "A: 1", "B: 2", "C: 3", "Cache-Control: max-age=3600")
    first, hit = page.get(), page.get()
    assert [first[name] for name in "abc"] == ["1", "2", "3"], "who asked is given all"
    assert is_hit(hit)
    assert {name for name in "abc" if name not in hit} == set(missing)


@pytest.mark.parametrize("value", ["no-cache=\"\"", "private=\"\"", "no-cache=", "private=", "no-cache=\"a b\"", "private=\"a"])
def test_3_1_a_list_that_is_none_counts_as_no_list(page, value):
    page.says(f"Cache-Control: max-age=60, {value}", "ETag: \"1\"")
    page.get()
    assert not page.is_reused()


@pytest.mark.parametrize("field", ["X-Test: 1", "Content-Type: text/x-kept", "Content-Language: de", "Strict-Transport-Security: max-age=1",
                                   "X-Frame-Options: deny",
                                   "Clear-Site-Data: \"cookies\"", "WWW-Authenticate: Basic", "Content-Disposition: attachment",
                                   "Link: </a>; rel=next",
                                   "Content-Security-Policy: default-src 'self'", "Surrogate-Control: max-age=5", "CDN-Cache-Control: max-age=60",
                                   "Pragma: no-cache"])
def test_3_1_all_other_fields_are_stored_known_or_not(page, field):
    name, value = field.split(": ", 1)
    assert page.says(KEPT, field).is_kept()
    assert page.get()[name] == value


def test_3_1_fields_come_back_in_their_order_and_number(page):
    page.says(KEPT, "X-A: 1", "X-B: 2", "X-A: 3", "Link: </a>", "Link: </b>")
    page.get()
    hit = page.get()
    assert hit.all("x-a") == ["1", "3"] and hit.all("link") == ["</a>", "</b>"]


def test_3_1_obs_text_comes_back_to_the_byte(page):
    page.says(KEPT, "X-Text: caf\xe9 \xff", "ETag: \"\xfc\"")
    page.get()
    hit = page.get()
    assert is_hit(hit) and hit["x-text"] == "caf\xe9 \xff" and hit["etag"] == "\"\xfc\""


# --- 3.5: requests with Authorization ---


BASIC = "Authorization: Basic YTpi"


@pytest.mark.parametrize("value, is_shared", [
    ("max-age=60", False), ("public, max-age=60", True), ("must-revalidate, max-age=60", True), ("s-maxage=60", True),
    ("max-age=60, s-maxage=60", True),
    ("proxy-revalidate, max-age=60", False), ("private, max-age=60", False), ("no-store, public", False), ("immutable, max-age=60", False)])
def test_3_5_an_answer_to_an_authorized_request_is_shared_only_where_it_says_so(page, value, is_shared):
    page.says(f"Cache-Control: {value}")
    assert page.is_kept(BASIC) == is_shared
    assert page.is_reused() == is_shared, "nor is it handed to anybody else"


def test_3_5_an_authorized_request_is_not_answered_with_what_is_not_for_all(page):
    page.says(KEPT)
    assert page.is_kept()
    assert not page.is_reused(BASIC)
    assert page.is_reused(), "and it leaves what is stored alone"


def test_3_5_an_answer_without_freshness_is_not_stored_by_public_alone(page):
    assert not page.says("Cache-Control: public").is_kept(BASIC)


def test_3_5_a_guess_is_not_for_authorized_requests(page):
    page.says(f"Last-Modified: {http_date(-100000)}", "Cache-Control: public")
    assert not page.is_kept(BASIC)


def test_3_5_what_a_proxy_is_authorized_with_is_not_the_apps(page):
    """Proxy-Authorization is for a proxy, and goes no further than the first one."""
    page.says(KEPT)
    page.get("Proxy-Authorization: Basic YTpi")
    assert "proxy-authorization" not in page.last
