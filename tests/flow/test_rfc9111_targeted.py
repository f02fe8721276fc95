"""RFC 9213: cache fields for weir alone, and for caches like it."""

import pytest
from stories import Site, cache_status, http_date, is_hit


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start) as site:
        yield site


@pytest.fixture
def page(site):
    return site.page()


BOTH = pytest.mark.parametrize("name", ["Weir-Cache-Control", "CDN-Cache-Control"])
PLAIN = ("Cache-Control: no-store",)


@BOTH
@pytest.mark.parametrize("value", ["max-age=3600", "max-age=2147483648", "max-age=99999999999", "foobar, max-age=3600", "max-age=3600, foobar",
                                   "max-age=3600;x=1",
                                   "a=(1 2), max-age=3600", "a=\"x, no-store\", max-age=3600", "s-maxage=3600", "max-age=0, max-age=3600",
                                   "a=1.5, b=:YQ==:, c=?0, max-age=60",
                                   "max-age=3600, public", "max-age=3600 ,must-revalidate", "d=@1659578233, max-age=60"])
def test_2_1_a_targeted_field_is_used_instead_of_cache_control(page, name, value):
    assert page.says(*PLAIN, f"{name}: {value}").is_kept()


@BOTH
@pytest.mark.parametrize("value", ["max-age=0", "no-store", "private", "no-cache", "max-age=3600, no-store", "max-age=3600, private",
                                   "max-age=3600, max-age=0", "foobar", "public"])
def test_2_1_a_targeted_field_forbids_what_cache_control_allows(page, name, value):
    assert not page.says("Cache-Control: max-age=10000", f"Expires: {http_date(10000)}", f"{name}: {value}").is_kept()


@BOTH
@pytest.mark.parametrize("value", ["max-age=10000, &&&&&", "max-age =100", "max-age= 100", "max-age=100,", ", max-age=100", "max-age=100 foo",
                                   "MAX-AGE=100", "max-age=\"100",
                                   "max-age=(1 2", "max-age=100;", "max-age=1.", "=100", "max-age='100'", "max-age=9999999999999999",
                                   "a=:***:, max-age=100"])
def test_2_1_a_malformed_field_is_ignored_as_a_whole(page, name, value, site):
    assert not page.says("Cache-Control: no-store", f"{name}: {value}").is_kept()
    assert site.page().says("Cache-Control: max-age=100", f"{name}: {value}").is_kept()


@BOTH
@pytest.mark.parametrize("value", ["max-age=\"10000\"", "max-age=1.5", "max-age=?1", "max-age=-1", "max-age=abc", "max-age"])
def test_2_1_a_value_of_the_wrong_type_gives_no_freshness(page, name, value):
    assert not page.says("Cache-Control: no-store", f"{name}: {value}").is_kept()


@BOTH
def test_2_1_an_empty_field_is_none(page, name, site):
    assert page.says("Cache-Control: max-age=100", f"{name}:").is_kept()
    assert not site.page().says("Cache-Control: no-store", f"{name}:").is_kept()


@BOTH
def test_2_1_several_lines_are_one_dictionary(page, name, site):
    assert page.says(*PLAIN, f"{name}: foo", f"{name}: max-age=100").is_kept()
    assert not site.page().says("Cache-Control: max-age=100", f"{name}: max-age=100", f"{name}: no-store").is_kept()


@BOTH
def test_2_1_expires_and_pragma_are_ignored_beside_it(page, name, site):
    assert page.says("Expires: 0", "Pragma: no-cache", f"Date: {http_date()}", f"{name}: max-age=3600").is_kept()
    assert not site.page().says(f"Expires: {http_date(3600)}", f"{name}: max-age=0").is_kept()


@BOTH
def test_2_1_nothing_is_guessed_beside_what_it_forbids(page, name):
    for value in ("max-age=0", "no-cache", "private", "max-age=x"):
        assert not page.says(f"Last-Modified: {http_date(-100000)}", f"{name}: {value}").is_kept("Cache-Control: no-cache")


@BOTH
def test_2_1_age_counts_against_it(page, name):
    assert not page.says(f"{name}: max-age=3600", "Age: 7200").is_kept()


def test_2_2_weirs_own_field_goes_before_that_of_all_cdns(page, site):
    assert page.says("Weir-Cache-Control: max-age=100", "CDN-Cache-Control: no-store", *PLAIN).is_kept()
    assert not site.page().says("Weir-Cache-Control: no-store", "CDN-Cache-Control: max-age=100", "Cache-Control: max-age=100").is_kept()
    assert site.page().says("Weir-Cache-Control: &&&", "CDN-Cache-Control: max-age=100", *PLAIN).is_kept()


def test_2_2_its_lifetime_is_what_counts(page):
    page.says("Cache-Control: max-age=10", "CDN-Cache-Control: max-age=1000", "Weir-Cache-Control: max-age=100").is_kept()
    assert 80 <= int(cache_status(page.get())["ttl"]) <= 100


@pytest.mark.parametrize("name", ["Surrogate-Control", "Akamai-Cache-Control", "Edge-Control"])
def test_2_2_fields_for_others_are_passed_on_and_mean_nothing(page, name):
    answer = page.says(*PLAIN, f"{name}: max-age=100").get()
    assert answer[name] == "max-age=100"
    assert not page.is_kept()


def test_3_1_what_is_for_weir_ends_here_and_what_is_for_all_goes_on(page):
    page.says("Cache-Control: max-age=10", "CDN-Cache-Control: max-age=1000", "Weir-Cache-Control: max-age=100")
    for answer in (page.get(), page.get()):
        assert "weir-cache-control" not in answer
        assert answer["cdn-cache-control"] == "max-age=1000" and answer["cache-control"] == "max-age=10"


def test_a_clients_targeted_fields_mean_nothing(page):
    page.says("Cache-Control: max-age=60")
    page.get("CDN-Cache-Control: no-store", "Weir-Cache-Control: no-store")
    assert page.is_reused("CDN-Cache-Control: no-cache", "Weir-Cache-Control: no-cache")


@BOTH
def test_stale_directives_of_a_targeted_field_count(page, name):
    page.says("Cache-Control: must-revalidate, max-age=0", f"{name}: max-age=100, stale-if-error=600", "Age: 100")
    page.get()
    page.says("Cache-Control: no-store", status=503)
    answer = page.get()
    assert (answer.status, answer.body) == (200, b"1") and not is_hit(answer)


@BOTH
def test_authorized_requests_go_by_the_targeted_field(page, name, site):
    assert page.says("Cache-Control: no-store", f"{name}: max-age=100, public").is_kept("Authorization: Basic YTpi")
    assert not site.page().says("Cache-Control: public", f"{name}: max-age=100").is_kept("Authorization: Basic YTpi")
