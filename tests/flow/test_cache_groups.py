"""RFC 9875: answers in groups, and writes that end a group."""

import pytest
from stories import Site

KEPT = "Cache-Control: max-age=60"


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start) as site:
        yield site


def member(site, *lines):
    page = site.page().says(KEPT, *(f"Cache-Groups: {line}" for line in lines))
    page.get()
    assert page.is_reused()
    return page


def write(site, *lines, method="POST", status=200, host="test"):
    """A write elsewhere whose reply ends groups."""
    page = site.page().says(*(f"Cache-Group-Invalidation: {line}" for line in lines), status=status)
    return page.ask(method, body=b"", host=host)


def test_2_1_a_write_ends_all_of_a_group_and_nobody_else(site):
    one, two = member(site, "\"t2a\""), member(site, "\"t2a\", \"t2b\"")
    other, none = member(site, "\"t2b\""), site.page().says(KEPT)
    none.get()
    write(site, "\"t2a\"")
    assert not one.is_reused() and not two.is_reused()
    assert other.is_reused() and none.is_reused()


def test_2_2_several_groups_in_one_or_more_lines(site):
    pages = [member(site, f"\"m{number}\"") for number in range(4)]
    write(site, "\"m0\", \"m1\"", "\"m2\"")
    assert [page.is_reused() for page in pages] == [False, False, False, True]


def test_2_2_groups_are_named_in_several_lines(site):
    page = member(site, "\"l0\"", "\"l1\"")
    write(site, "\"l1\"")
    assert not page.is_reused()


def test_2_1_names_are_case_sensitive_and_whole(site):
    pages = [member(site, name) for name in ("\"Case\"", "\"case2\"", "\"cas\"", "\"case \"")]
    write(site, "\"case\"")
    assert all(page.is_reused() for page in pages)


def test_2_1_names_may_hold_commas_spaces_quotes_and_backslashes(site):
    name = "\"a, \\\"b\\\" \\\\ c\""
    page, other = member(site, name), member(site, "\"a\"")
    write(site, "\"a, \\\"b\\\" \\\\ c\"")
    assert not page.is_reused() and other.is_reused()


def test_2_parameters_are_ignored(site):
    page = member(site, "\"param\";x=1")
    write(site, "\"param\";y")
    assert not page.is_reused()


@pytest.mark.parametrize("line", ["bad", "\"bad", "\"bad\" \"bad\"", "\"bad\",", "bad, \"bad\"", "(\"bad\")", "1", "\"bad\"=1",
                                  "\"b\xe4d\", \"bad\""])
def test_2_a_malformed_list_is_ignored(site, line):
    page = member(site, "\"bad\"")
    write(site, line)
    assert page.is_reused()


@pytest.mark.parametrize("line", ["bad2", "\"bad2", "bad2, \"bad2\"", "(\"bad2\")"])
def test_2_an_answer_with_a_malformed_list_is_in_no_group(site, line):
    page = member(site, line)
    write(site, "\"bad2\"")
    assert page.is_reused()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_3_safe_methods_end_no_group(site, method):
    page = member(site, "\"safe\"")
    write(site, "\"safe\"", method=method)
    assert page.is_reused()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_3_unsafe_methods_do(site, method):
    page = member(site, f"\"unsafe-{method}\"")
    write(site, f"\"unsafe-{method}\"", method=method)
    assert not page.is_reused()


@pytest.mark.parametrize("host", ["other.example.com", "test:8080", "sub.test"])
def test_2_groups_are_of_one_origin(site, host):
    page = member(site, "\"origin\"")
    write(site, "\"origin\"", host=host)
    assert page.is_reused()


def test_groups_and_tags_are_not_the_same(site):
    page = site.page().says(KEPT, "Cache-Tag: tag-or-group")
    page.get()
    write(site, "\"tag-or-group\"")
    assert page.is_reused()
    group = member(site, "\"group-or-tag\"")
    site.page().says("Weir-Purge: group-or-tag").ask("POST", body=b"")
    assert group.is_reused()


def test_both_fields_are_passed_on(site):
    page = member(site, "\"passed\"")
    assert page.get()["cache-groups"] == "\"passed\""
    assert write(site, "\"passed\"")["cache-group-invalidation"] == "\"passed\""


def test_2_1_a_write_does_not_end_its_own_groups_unless_it_says_so(site):
    page = member(site, "\"own\"")
    site.page().says("Cache-Groups: \"own\"").ask("POST", body=b"")
    assert page.is_reused()


def test_tenants_do_not_share_groups(start_weir):
    with Site(start_weir, tenants={"from": [{"path": "/t/{tenant}/"}], "unknown": "default"}) as site:
        acme, other = site.page("/t/acme/x"), site.page("/t/other/x")
        for page in (acme, other):
            page.says(KEPT, "Cache-Groups: \"g\"").get()
        site.page("/t/acme/write").says("Cache-Group-Invalidation: \"g\"").ask("POST", body=b"")
        assert not acme.is_reused() and other.is_reused()


def test_at_least_32_groups_of_32_characters_are_kept(site):
    """2.1 asks for that much."""
    names = [f"\"{'g' * 29}{number:03}\"" for number in range(32)]
    page = member(site, ", ".join(names))
    write(site, names[31])
    assert not page.is_reused()
    page = member(site, *names)
    write(site, ", ".join(f"\"none{number}\"" for number in range(31)) + ", " + names[0])
    assert not page.is_reused()


def test_absurdly_many_groups_do_no_harm(site):
    page = site.page().says(KEPT, *("Cache-Groups: " + ", ".join(f"\"x{line}-{number}\"" for number in range(50)) for line in range(10)))
    assert page.get().status == 200
    write(site, "\"x0-0\"")
    assert not page.is_reused() or page.get().body == b"1", "kept with what it says, or not kept"


def test_a_group_can_be_purged_by_an_answer_that_is_stale(site):
    page = site.page().says("Cache-Control: max-age=100, stale-if-error=600", "Age: 100", "Cache-Groups: \"old\"")
    page.get()
    write(site, "\"old\"")
    page.says("Cache-Control: no-store", status=503)
    assert page.get().status == 503, "it may not stand in any more"
