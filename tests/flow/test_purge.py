"""Purge: by URL, prefix, tag, tenant and all; at the admin address, by command, and by the app itself when it writes."""

import subprocess
import threading

import pytest
from harness import eventually, patience
from harness.weir import BINARY
from stories import OUTDATED, Site, cache_status, is_hit, metrics, tell, together, total

KEPT = "Cache-Control: max-age=600"
TENANTS = {"from": [{"host": "{tenant}.api.example.com"}], "unknown": "default"}
ACME, OTHER = "acme.api.example.com", "other.api.example.com"


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start) as site:
        yield site


@pytest.fixture(scope="module")
def tenants(module_weirs):
    with Site(module_weirs.start, tenants=TENANTS) as site:
        yield site


def purge(site, **way):
    """Purges, and returns how many objects went."""
    answer = tell(site.weir, "/api/purge", way)
    assert answer["soft"] == way.get("soft", False)
    return answer["purged"]


def filled(page, *fields, **options):
    """The page, when what it says is stored."""
    page.says(KEPT, *fields)
    page.get(**options)
    assert page.is_reused(**options)
    return page


def command(site, *arguments):
    host, port = site.weir.admin
    return subprocess.run([BINARY, "purge", "--admin", f"{host}:{port}", *arguments], capture_output=True, text=True, timeout=30, check=False)


# --- by URL ---


def test_a_url_is_one_target_with_all_its_variants(site):
    page = site.page().says(KEPT, "Vary: Foo")
    for number in range(3):
        page.get(f"Foo: {number}")
    filled(page, tail="?q")
    assert purge(site, tenant="default", url=f"http://test{page.path}") == 3
    assert not page.is_reused("Foo: 0") and page.is_reused(tail="?q")
    assert purge(site, tenant="default", url=f"http://test{page.path}?q") == 1


@pytest.mark.parametrize("form", ["http://TEST{path}", "http://test:80{path}", "HTTP://test{path}"])
def test_a_url_is_normalised_as_requests_are(site, form):
    page = filled(site.page())
    assert purge(site, tenant="default", url=form.format(path=page.path)) == 1
    assert not page.is_reused()


@pytest.mark.parametrize("form", ["https://test{path}", "http://other{path}", "http://test:81{path}", "http://test{path}/", "http://test{path}?",
                                  "http://test/%70{rest}"])
def test_another_url_is_another(site, form):
    page = filled(site.page())
    assert purge(site, tenant="default", url=form.format(path=page.path, rest=page.path[2:])) == 0
    assert page.is_reused()


def test_stored_parts_go_with_their_url(site):
    page = site.page().says(KEPT, "ETag: \"1\"", "Content-Range: bytes 0-3/10", status=206, body=b"0123")
    page.get("Range: bytes=0-3")
    purge(site, tenant="default", url=f"http://test{page.path}")
    assert not page.is_reused("Range: bytes=0-3")


# --- by prefix ---


def test_a_prefix_is_all_below_a_path(site):
    page = site.page()
    for tail in ("", "/a", "/a/b", "?q"):
        filled(page, tail=tail)
    near = filled(site.page(page.path + "x"))
    assert purge(site, tenant="default", prefix=page.path + "/") == 2
    assert [page.is_reused(tail=tail) for tail in ("", "/a", "/a/b", "?q")] == [True, False, False, True]
    assert near.is_reused()
    assert purge(site, tenant="default", prefix=page.path) == 5, "bytes, not segments"
    assert not near.is_reused()


def test_a_prefix_may_be_of_one_origin(site):
    page = site.page()
    for host in ("one.example.com", "two.example.com"):
        filled(page, host=host)
    assert purge(site, tenant="default", prefix=f"http://one.example.com{page.path}") == 1
    assert not page.is_reused(host="one.example.com") and page.is_reused(host="two.example.com")
    assert purge(site, tenant="default", prefix=page.path) == 2, "a path is below every origin"


# --- by tag ---


@pytest.mark.parametrize("field", ["Cache-Tag: t1, t2 ,t3", "Surrogate-Key: t1 t2  t3", "cache-tag: t1,,t2,t3,", "Cache-Tag: t1\r\nCache-Tag: t2, t3",
                                   "Surrogate-Key: t1\r\nCache-Tag: t2,t3"])
@pytest.mark.parametrize("tag", ["t1", "t2", "t3"])
def test_a_tag_names_answers_across_urls(site, field, tag):
    names = {f"t{number}": f"t{number}-{abs(hash((field, tag)))}" for number in (1, 2, 3)}
    for short, name in names.items():
        field = field.replace(short, name)
    pages = [filled(site.page(), *field.split("\r\n")) for _ in range(3)]
    other = filled(site.page(), "Cache-Tag: t9")
    assert purge(site, tenant="default", tag=names[tag]) == 3
    assert not any(page.is_reused() for page in pages)
    assert other.is_reused()


def test_tags_are_taken_off_before_clients_see_them(site):
    page = site.page().says(KEPT, "Cache-Tag: a", "Surrogate-Key: b", "Weir-Purge: c")
    for answer in (page.get(), page.get(), page.ask("HEAD"), page.get("Cache-Control: no-store"), page.ask("POST", body=b"")):
        assert {"cache-tag", "surrogate-key", "weir-purge"}.isdisjoint(answer.names())
    page.says("Cache-Control: no-store", "Cache-Tag: a", "Surrogate-Key: b")
    assert {"cache-tag", "surrogate-key"}.isdisjoint(site.page("/tags/off").says("Cache-Control: no-store", "Cache-Tag: a").get().names())


@pytest.mark.parametrize("tag", ["Tag-Case", "tag-cas", "tag-case2", "tag"])
def test_tags_are_whole_and_case_sensitive(site, tag):
    page = filled(site.page(), "Cache-Tag: tag-case")
    assert purge(site, tenant="default", tag=tag) == 0
    assert page.is_reused()


def test_tags_may_hold_what_urls_hold(site):
    page = filled(site.page(), "Cache-Tag: item:42/a?b=c;d, \xe4")
    assert purge(site, tenant="default", tag="item:42/a?b=c;d") == 1
    assert not page.is_reused()


def test_a_purge_of_one_tag_leaves_the_others_purgeable(site):
    """Elsewhere purging one key removed other keys' tags, which then could not be purged for a year."""
    one, two = filled(site.page(), "Cache-Tag: left-a, left-b"), filled(site.page(), "Cache-Tag: left-b")
    assert purge(site, tenant="default", tag="left-a") == 1
    assert not one.is_reused() and two.is_reused()
    assert purge(site, tenant="default", tag="left-b") == 2
    assert not one.is_reused() and not two.is_reused()


def test_a_304_may_rename_tags(site):
    page = site.page()
    page.holds(*OUTDATED, "Cache-Tag: before", etag="\"1\"", renewed=[KEPT, "Cache-Tag: after"])
    page.get()
    page.get()
    assert page.is_reused()
    assert purge(site, tenant="default", tag="before") == 0
    assert purge(site, tenant="default", tag="after") == 1
    assert not page.is_reused()


def test_a_304_without_tags_keeps_them(site):
    page = site.page()
    page.holds(*OUTDATED, "Cache-Tag: stays", etag="\"1\"", renewed=[KEPT])
    page.get()
    page.get()
    assert purge(site, tenant="default", tag="stays") == 1


def test_answers_without_tags_are_found_by_none(site):
    page = filled(site.page(), "Cache-Tag:", "Surrogate-Key:")
    for tag in ("a", "-"):
        purge(site, tenant="default", tag=tag)
    assert page.is_reused()


@pytest.mark.parametrize("tags", [", ".join(f"many{number}" for number in range(200)), "x" * 300], ids=["many", "long"])
def test_more_tags_than_can_be_kept_are_not_silently_dropped(site, tags):
    """What could not be purged afterwards is not stored at all."""
    page = site.page().says(KEPT, f"Cache-Tag: {tags}")
    page.get()
    purge(site, tenant="default", tag=tags.split(", ")[-1][:256])
    assert not page.is_reused()


def test_a_route_adds_tags_of_its_own(start_weir):
    with Site(start_weir, routes=[{"path": "/items/**", "cache": {"ttl": "60s", "tags": ["items", "all"]}}]) as site:
        one, two = site.page("/items/1").says(), site.page("/items/2").says(KEPT, "Cache-Tag: two")
        other = filled(site.page("/other"))
        for page in (one, two):
            page.get()
        assert purge(site, tenant="default", tag="two") == 1
        two.get()
        assert purge(site, tenant="default", tag="items") == 2
        assert not one.is_reused() and not two.is_reused() and other.is_reused()


# --- soft ---


def test_a_soft_purge_makes_stale(site):
    page = site.page()
    page.holds(KEPT, etag="\"1\"")
    page.get()
    assert purge(site, tenant="default", url=f"http://test{page.path}", soft=True) == 1
    answer = page.get()
    assert cache_status(answer)["fwd"] == "stale" and page.last["if-none-match"] == "\"1\"" and answer.body == b"the whole"
    assert page.is_reused(), "a 304 makes it fresh again"


@pytest.mark.parametrize("way", ["tag", "prefix", "all"])
def test_every_way_can_be_soft(start_weir, way):
    with Site(start_weir) as site:
        page = site.page().says(KEPT, "Cache-Tag: soft", "ETag: \"1\"")
        page.get()
        what = {"tag": {"tag": "soft"}, "prefix": {"prefix": "/"}, "all": {"all": True}}[way]
        assert purge(site, tenant="default", soft=True, **what) == 1
        answer = page.get()
        assert cache_status(answer)["fwd"] == "stale" and page.last["if-none-match"] == "\"1\""


def test_a_soft_purge_leaves_stale_while_revalidate_its_window(site):
    page = site.page().says("Cache-Control: max-age=600, stale-while-revalidate=600")
    page.get()
    purge(site, tenant="default", url=f"http://test{page.path}", soft=True)
    answer = page.get()
    assert is_hit(answer) and answer.body == b"1"
    eventually(lambda: page.get().body == b"2")


def test_a_hard_purge_leaves_nothing_to_stand_in(site):
    page = site.page().says("Cache-Control: max-age=600, stale-if-error=600", "ETag: \"1\"")
    page.get()
    purge(site, tenant="default", url=f"http://test{page.path}")
    page.says("Cache-Control: no-store", status=503)
    assert page.get().status == 503
    assert "if-none-match" not in page.last


# --- tenants ---


@pytest.mark.parametrize("way", ["url", "tag", "prefix", "all"])
def test_a_purge_is_of_one_tenant(tenants, way):
    page = tenants.page()
    tag = f"shared-{way}"
    for host in (ACME, OTHER):
        filled(page, f"Cache-Tag: {tag}", host=host)
    what = {"url": {"url": f"http://{ACME}{page.path}"}, "tag": {"tag": tag}, "prefix": {"prefix": page.path}, "all": {"all": True}}[way]
    assert purge(tenants, tenant="acme", **what) >= 1
    assert not page.is_reused(host=ACME) and page.is_reused(host=OTHER)


def test_a_url_of_one_tenant_is_not_anothers(tenants):
    page = filled(tenants.page(), host=OTHER)
    assert purge(tenants, tenant="acme", url=f"http://{OTHER}{page.path}") == 0
    assert page.is_reused(host=OTHER)


@pytest.mark.parametrize("way", ["tag", "prefix", "all"])
def test_without_a_tenant_it_is_of_all(start_weir, way):
    with Site(start_weir, tenants=TENANTS) as site:
        page = site.page()
        for host in (ACME, OTHER):
            filled(page, "Cache-Tag: every", host=host)
        what = {"tag": {"tag": "every"}, "prefix": {"prefix": page.path}, "all": {"all": True}}[way]
        assert purge(site, **what) == 2
        assert not page.is_reused(host=ACME) and not page.is_reused(host=OTHER)


def test_what_all_tenants_share_can_be_purged(start_weir):
    with Site(start_weir, tenants=TENANTS, routes=[{"path": "/**", "cache": {"ttl": "60s", "scope": "all_tenants"}}]) as site:
        page = site.page().says("Cache-Tag: shared")
        page.get(host=ACME)
        purge(site, tag="shared")
        assert not page.is_reused(host=ACME)
        purge(site, all=True)
        assert not page.is_reused(host=ACME)


# --- by the app: Weir-Purge on a write ---


def test_a_write_ends_the_tags_it_names(site):
    one, two, three = (filled(site.page(), f"Cache-Tag: written{number}") for number in (1, 2, 3))
    write = site.page().says("Weir-Purge: written1  written2")
    answer = write.ask("POST", body=b"")
    assert answer.status == 200 and "weir-purge" not in answer
    assert [page.is_reused() for page in (one, two, three)] == [False, False, True]


def test_a_writes_tags_are_its_tenants(tenants):
    page = tenants.page()
    for host in (ACME, OTHER):
        filled(page, "Cache-Tag: mine", host=host)
    tenants.page("/write").says("Weir-Purge: mine").ask("POST", body=b"", host=ACME)
    assert not page.is_reused(host=ACME) and page.is_reused(host=OTHER)


def test_a_read_ends_no_tags(site):
    page = filled(site.page(), "Cache-Tag: read")
    assert "weir-purge" not in site.page().says(KEPT, "Weir-Purge: read").get()
    assert page.is_reused()


def test_a_clients_weir_purge_is_nothing(site):
    page = filled(site.page(), "Cache-Tag: clients")
    write = site.page().says("Cache-Control: no-store")
    write.ask("POST", "Weir-Purge: clients", "Cache-Tag: clients", body=b"")
    assert page.is_reused()


def test_tags_that_were_written_keep_out_what_was_being_fetched(site):
    asked, go = threading.Event(), threading.Event()
    page = site.page()
    plain = page.says(KEPT, "Cache-Tag: racing").answer

    def held(request):
        if not asked.is_set():
            asked.set()
            go.wait(patience(20))
        return plain(request)

    page.answer = held
    with site.weir.wire() as wire:
        wire.request("GET", page.path)
        assert asked.wait(patience(10))
        site.page().says("Weir-Purge: racing").ask("POST", body=b"")
        go.set()
        wire.reply()
    assert not page.is_reused()


# --- while things happen ---


@pytest.mark.parametrize("way", ["url", "tag", "prefix", "tenant"])
def test_what_was_being_fetched_does_not_come_in_after_a_purge(site, way):
    asked, go = threading.Event(), threading.Event()
    page = site.page()
    plain = page.says(KEPT, f"Cache-Tag: under-way-{way}").answer

    def held(request):
        if not asked.is_set():
            asked.set()
            go.wait(patience(20))
        return plain(request)

    page.answer = held
    with site.weir.wire() as wire:
        wire.request("GET", page.path)
        assert asked.wait(patience(10))
        purge(site, tenant="default", **{"url": {"url": f"http://test{page.path}"}, "tag": {"tag": f"under-way-{way}"},
                                         "prefix": {"prefix": page.path}, "tenant": {"all": True}}[way])
        go.set()
        assert wire.reply().status == 200
    assert not page.is_reused(), "it was fetched before the purge"
    assert page.is_reused()


@pytest.mark.parametrize("way", ["url", "tag", "prefix", "tenant"])
def test_what_was_being_validated_does_not_come_back_after_a_purge(site, way):
    asked, go = threading.Event(), threading.Event()
    page = site.page()
    page.holds(*OUTDATED, f"Cache-Tag: validating-{way}", etag="\"1\"", renewed=[KEPT])
    page.get()
    plain = page.answer

    def held(request):
        asked.set()
        go.wait(patience(20))
        return plain(request)

    page.answer = held
    with site.weir.wire() as wire:
        wire.request("GET", page.path)
        assert asked.wait(patience(10))
        purge(site, tenant="default", **{"url": {"url": f"http://test{page.path}"}, "tag": {"tag": f"validating-{way}"},
                                         "prefix": {"prefix": page.path}, "tenant": {"all": True}}[way])
        go.set()
        assert wire.reply().body == b"the whole"
    page.says(KEPT, body=b"new")
    assert page.get().body == b"new"


def test_who_reads_while_it_is_purged_reads_to_the_end(start_weir):
    body = b"0123456789abcdef" * 200_000  # 3.2 MB: more than the sockets hold
    with Site(start_weir) as site:
        page = site.page().says(KEPT, "Cache-Tag: reading", body=body)
        page.get()
        with site.weir.wire(receive_buffer=4096) as wire:
            wire.request("GET", page.path)
            head = wire.reply_head()
            assert is_hit(head)
            assert purge(site, tag="reading") == 1
            assert wire.exactly(len(body)) == body
        assert not page.is_reused()


def test_purges_and_reads_at_once_never_hand_out_what_was_purged(start_weir):
    """The app's answer is a number that only grows; after a purge that was told done nobody reads less than what it was then."""
    with Site(start_weir, workers=2) as site:
        page = site.page().says(KEPT, "Cache-Tag: racing")
        page.get()
        is_over = threading.Event()

        def run(index):
            try:
                for _ in range(50):
                    if index == 0:
                        purge(site, tenant="default", tag="racing")
                        continue
                    before = len(page.requests)
                    if index == 1:
                        purge(site, tenant="default", tag="racing")
                        before += 1
                        assert int(page.get().body) >= before, "handed out after its purge"
                    else:
                        assert int(page.get().body) >= 1
            finally:
                is_over.set()

        together(6, run)
        assert is_over.is_set()


def test_what_was_purged_is_counted(start_weir):
    with Site(start_weir) as site:
        page = filled(site.page(), "Cache-Tag: counted")
        purge(site, tag="counted", soft=True)
        page.get("Cache-Control: max-stale")
        purge(site, tag="counted")
        assert not page.is_reused()
        assert total(metrics(site.weir), "weir_cache_purged_total") in (1, 2), "a soft one and a hard one of the same object"


# --- the command ---


@pytest.mark.parametrize("way", ["url", "tag", "prefix", "all"])
@pytest.mark.parametrize("soft", [False, True])
def test_the_command_does_the_same(start_weir, way, soft):
    with Site(start_weir) as site:
        page = filled(site.page(), "Cache-Tag: by-command", "ETag: \"1\"")
        words = {"url": ["--tenant", "default", "--url", f"http://test{page.path}"], "tag": ["--tag", "by-command"],
                 "prefix": ["--prefix", page.path], "all": ["--all"]}[way]
        done = command(site, *words, *(["--soft"] if soft else []))
        assert (done.returncode, done.stderr) == (0, ""), done
        assert done.stdout.startswith("purged 1")
        assert not page.is_reused()
        assert page.last["if-none-match"] == ("\"1\"" if soft else None)


@pytest.mark.parametrize("words", [[], ["--all", "--tag", "a"], ["--tag"], ["--url", "/a", "--prefix", "/b"], ["--soft"],
                                   ["--soft", "--tenant", "a"]])
def test_a_command_that_says_nothing_or_too_much_is_refused(site, words):
    assert command(site, *words).returncode == 2


def test_a_command_without_a_weir_fails(site, start_app):
    app = start_app()
    port = app.port
    app.close()
    done = subprocess.run([BINARY, "purge", "--admin", f"127.0.0.1:{port}", "--all"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 3 and done.stderr
