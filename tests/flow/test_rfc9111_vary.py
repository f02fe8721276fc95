"""RFC 9111, 4.1: which of several stored answers is for whom."""

import pytest
from stories import OUTDATED, Site, cache_status, http_date, is_hit

KEPT = "Cache-Control: max-age=60"


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start) as site:
        yield site


@pytest.fixture
def page(site):
    return site.page()


@pytest.mark.parametrize("vary", ["Foo", "foo", "FOO", "Foo, foo", ", Foo ,", "Foo,Bar"])
def test_4_1_the_same_fields_select_the_same_answer(page, vary):
    page.says(KEPT, f"Vary: {vary}")
    assert page.is_kept("Foo: 1", "Other: 1")
    assert page.is_reused("fOO: 1", "Other: 2"), "what Vary does not name does not matter, nor does the case of names"


@pytest.mark.parametrize("fields", [["Foo: 2"], [], ["Foo:"], ["Foo: 1", "Foo: 1"], ["Foo: 1, 2"], ["Foo: 1;q=1"]])
def test_4_1_other_fields_select_another_answer(page, fields):
    page.says(KEPT, "Vary: Foo")
    page.get("Foo: 1")
    answer = page.get(*fields)
    assert answer.body == b"2" and cache_status(answer)["fwd"] == "vary-miss"
    assert page.is_reused(*fields) and page.is_reused("Foo: 1"), "both are stored"


def test_4_1_an_absent_field_matches_an_absent_one_only(page):
    page.says(KEPT, "Vary: Foo, Bar")
    assert page.is_kept("Foo: 1")
    assert page.is_reused("Foo: 1")
    assert not page.is_reused("Foo: 1", "Bar: 1")
    assert not page.is_reused()
    assert not page.is_reused("Bar: 1")


def test_4_1_an_empty_field_is_not_an_absent_one(page):
    page.says(KEPT, "Vary: Foo")
    page.get()
    assert not page.is_reused("Foo:")


def test_4_1_the_order_of_vary_does_not_matter(page):
    page.says(KEPT, "Vary: Foo, Bar")
    page.get("Foo: 1", "Bar: 2")
    assert not page.is_reused("Foo: 2", "Bar: 1"), "values stay with their names"
    page.says(KEPT, "Vary: Bar", "Vary: Foo")
    assert page.is_reused("Bar: 2", "Foo: 1")


@pytest.mark.parametrize("stored, asked", [
    (["Foo: 1,2"], ["Foo:  1, 2 "]), (["Foo: 1, 2"], ["Foo: 1", "Foo: 2"]), (["Foo: 1", "Foo: 2"], ["Foo: 1 ,\t2"]), (["Foo: 1,,2"], ["Foo: 1, 2"]),
    (["Accept-Language: en, de"], ["Accept-Language: de, en"]), (["Accept-Language: en-GB"], ["Accept-Language: EN-gb"]),
    (["Accept-Encoding: gzip, br"], ["Accept-Encoding: br,gzip"]), (["Accept-Encoding: GZIP"], ["Accept-Encoding: gzip"]),
    (["Accept: text/html, */*;q=0.1"], ["Accept: */*; q=0.1, text/html"]), (["Accept-Language: de;q=0.5, en"], ["Accept-Language: en, de ; Q=0.5"])])
def test_4_1_fields_that_mean_the_same_select_the_same(page, stored, asked):
    page.says(KEPT, "Vary: Foo, Accept, Accept-Language, Accept-Encoding")
    page.get(*stored)
    assert page.is_reused(*asked)


@pytest.mark.parametrize("stored, asked", [
    ("Foo: a, b", "Foo: b, a"), ("Foo: A", "Foo: a"), ("Foo: a b", "Foo: a  b"), ("Foo: a, b", "Foo: ab"), ("Foo: \"a, b\"", "Foo: \"a,b\""),
    ("Foo: \"a,b\"", "Foo: \"a\",b"), ("Accept-Language: de;q=0.5, en", "Accept-Language: de, en;q=0.5"),
    ("Accept-Encoding: gzip", "Accept-Encoding: gzip;q=0"),
    ("Accept: text/html;q=0.5", "Accept: text/html")])
def test_4_1_fields_that_may_mean_something_else_do_not(page, stored, asked):
    page.says(KEPT, "Vary: Foo, Accept, Accept-Language, Accept-Encoding")
    page.get(stored)
    assert not page.is_reused(asked)


@pytest.mark.parametrize("vary", [["*"], ["*, *"], ["*", "*"], [", *"], ["", "*"], ["*, Foo"], ["Foo, *"], ["Foo", "*"], ["Foo,*"]])
def test_4_1_a_star_never_matches(page, vary):
    page.says(KEPT, *(f"Vary: {value}" for value in vary))
    assert not page.is_kept("Foo: 1", "*: 1")


def test_4_1_a_vary_that_names_nothing_is_none(page):
    assert page.says(KEPT, "Vary:").is_kept("Foo: 1")
    assert page.is_reused("Foo: 2")


def test_4_1_many_variants_are_kept_beside_each_other(page):
    page.says(KEPT, "Vary: Foo")
    for number in range(10):
        page.get(f"Foo: {number}")
    assert all(page.is_reused(f"Foo: {number}") for number in range(10))


def test_4_1_more_variants_than_are_kept_are_fetched_not_confused(page):
    answer = page.says(KEPT, "Vary: Foo")
    for number in range(100):
        assert page.get(f"Foo: {number}").body == b"%d" % (number + 1)
    assert page.is_reused("Foo: 99"), "the newest stays"
    assert answer.get("Foo: 99").body == b"100"


def test_4_1_when_vary_changes_each_stored_answer_goes_by_its_own(page):
    page.says(KEPT, "Vary: Foo")
    page.get("Foo: 1", "Bar: 1")
    page.says(KEPT, "Vary: Bar")
    page.get("Foo: 2", "Bar: 2")
    assert page.get("Foo: 3", "Bar: 2").body == b"2"
    assert page.get("Foo: 1", "Bar: 3").body == b"1"
    assert not page.is_reused("Foo: 3", "Bar: 3")


def test_4_1_of_two_that_match_the_newer_is_used(page):
    page.says(KEPT, "Vary: Foo", f"Date: {http_date(-30)}")
    page.get("Foo: 1", "Bar: 1")
    page.says(KEPT, "Vary: Bar", f"Date: {http_date()}")
    page.get("Foo: 2", "Bar: 1")
    assert page.get("Foo: 1", "Bar: 1").body == b"2"


def test_4_1_an_answer_without_vary_takes_the_place_of_those_with_it(page):
    page.says(KEPT, "Vary: Foo")
    page.get("Foo: 1")
    page.says(KEPT)
    page.get("Foo: 2")
    answer = page.get("Foo: 1")
    assert is_hit(answer) and answer.body in (b"1", b"2")
    assert page.get("Foo: 3").body == b"2"


def test_4_1_vary_is_handed_out_with_a_hit(page):
    page.says(KEPT, "Vary: Foo", "Vary: Bar")
    page.get()
    assert page.get()["vary"] == "Foo, Bar"


def test_4_1_vary_by_cookie_keeps_cookies_apart(page):
    page.says(KEPT, "Vary: Cookie")
    assert page.is_kept("Cookie: a=1")
    assert not page.is_reused("Cookie: a=2")
    assert not page.is_reused()


def test_4_1_vary_by_authorization_does_not_replace_3_5(page):
    page.says(KEPT, "Vary: Authorization")
    assert not page.is_kept("Authorization: Basic YTpi")


def test_4_1_vary_by_host_changes_nothing_for_one_host(page):
    page.says(KEPT, "Vary: Host, Accept-Encoding")
    assert page.is_kept("Accept-Encoding: gzip")
    assert not page.is_reused("Accept-Encoding: br")


def test_4_1_a_long_field_is_not_confused_with_its_beginning(page):
    page.says(KEPT, "Vary: Foo")
    long = "x" * 4000
    assert page.get(f"Foo: {long}1").body != page.get(f"Foo: {long}2").body
    page.get("Foo: x")
    assert not page.is_reused(f"Foo: {long}")


def test_4_1_the_validators_of_all_variants_may_be_asked_about(page):
    """4.3.1: If-None-Match of a variant that was not selected may go along: its 304 then says which one it is."""
    page.says(*OUTDATED, "Vary: Foo", "ETag: \"one\"")
    page.get("Foo: 1")
    page.says(KEPT, "Vary: Foo", "ETag: \"two\"")
    assert page.get("Foo: 2").body == b"2"
    assert page.get("Foo: 1").body == b"3"
    assert page.last["foo"] == "1"
    assert "\"one\"" in page.last["if-none-match"]


def test_4_1_the_validation_of_a_variant_sends_what_selected_it(page):
    page.holds(*OUTDATED, "Vary: Foo", etag="\"one\"")
    page.get("Foo: 1")
    assert page.get("Foo: 1").status == 200
    assert page.last["foo"] == "1" and page.last["if-none-match"] == "\"one\""


def test_4_1_hundreds_of_fields_in_vary_are_either_kept_right_or_not_at_all(page):
    names = [f"Field-{number}" for number in range(300)]
    page.says(KEPT, f"Vary: {', '.join(names)}")
    page.get("Field-7: 1")
    assert not page.is_reused("Field-7: 2")
    assert not page.is_reused("Field-299: 1")
