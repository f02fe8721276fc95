"""RFC 9111, 4.2, 5.1 and 5.3: how long an answer is fresh, and how old it says it is."""

import time

import pytest
from harness import eventually
from stories import Site, cache_status, http_date, is_hit

DAY = 24 * 3600


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start) as site:
        yield site


@pytest.fixture
def page(site):
    return site.page()


# --- 4.2: Cache-Control ---


FRESH = ["max-age=3600", "MaX-aGe=3600", "max-age=003600", "max-age=2147483647", "max-age=2147483648", "max-age=99999999999",
         "max-age=99999999999999999999999999", "foobar, max-age=3600", "max-age=3600, foobar", "foobar=\"x, no-store\", max-age=3600",
         "max-age=3600, foobar=1;x", ", , max-age=3600 ,,", "max-age=3600,must-revalidate", "max-age=3600 , proxy-revalidate",
         "extension=\"max-age=0\", max-age=3600", "max-age=3600, immutable", "s-maxage=3600", "s-maxage=3600, max-age=0", "max-age=0,s-maxage=3600",
         "max-age=3600\t,\tpublic", "max-age=3600, max-age=3600", "max-age=3600, no-transform", "max-age=3600, extension=\"a\\\"b, no-store\""]
STALE = ["max-age=0", "max-age=3600, s-maxage=0", "s-maxage=0, max-age=3600", "max-age=-3600", "max-age=a3600", "max-age=3600a", "max-age='3600'",
         "max-age=", "max-age", "max-age=\"\"", "max-age=\"3600", "max-age=1 2", "max-age=0x10", "max-age=+3600", "max-age =3600", "max-age= 3600",
         "max-age=3600.5", "max-age=\"-1\"", "extension=\"max-age=3600\", max-age=0", "max-age=0, extension=\"max-age=3600\"",
         "extension=\"max-age=3600\"", "max-agee=3600", "xmax-age=3600", "max-age=0, immutable", "s-maxage=x, max-age=3600",
         "no-cache, max-age=3600", "max-age=3600, NO-CACHE", "max-age=3600;no-cache"]


@pytest.mark.parametrize("value", FRESH)
def test_4_2_1_explicit_freshness(page, value):
    assert page.says(f"Cache-Control: {value}").is_kept()


@pytest.mark.parametrize("value", STALE)
def test_4_2_1_no_freshness_or_none_that_can_be_read(page, value):
    assert not page.says(f"Cache-Control: {value}").is_kept()


def test_4_2_1_quoted_digits_are_digits(page):
    """5.2: a recipient ought to accept both the token and the quoted form."""
    assert page.says("Cache-Control: max-age=\"3600\"").is_kept()


def test_4_2_1_several_lines_are_one_list(page):
    assert page.says("Cache-Control: public", "Cache-Control: max-age=60").is_kept()
    assert not page.says("Cache-Control: max-age=60", "X-Between: 1", "Cache-Control: no-store").is_kept("Cache-Control: no-cache")


def test_4_2_1_of_two_values_the_first_counts_or_none(page):
    page.says("Cache-Control: max-age=0, max-age=3600")
    assert not page.is_kept()


@pytest.mark.parametrize("first, second", [("max-age=3600", "no-store"), ("public, max-age=3600", "private"), ("max-age=3600", "no-cache")])
def test_4_2_1_of_two_that_conflict_the_most_restrictive_counts(page, first, second):
    assert not page.says(f"Cache-Control: {first}", f"Cache-Control: {second}").is_kept()


def test_4_2_1_s_maxage_wins_over_max_age_and_expires(page):
    assert page.says("Cache-Control: max-age=1, s-maxage=3600", f"Expires: {http_date(-60)}").is_kept()
    assert int(cache_status(page.get())["ttl"]) > 3000


def test_4_2_1_max_age_wins_over_expires(page, site):
    assert page.says("Cache-Control: max-age=3600", f"Expires: {http_date(-60)}", f"Date: {http_date()}").is_kept()
    assert site.page().says("Cache-Control: max-age=3600", "Expires: 0").is_kept()
    assert not site.page().says("Cache-Control: max-age=0", f"Expires: {http_date(3600)}").is_kept()
    assert not site.page().says("Cache-Control: max-age=x", f"Expires: {http_date(3600)}").is_kept(), "unreadable is stale, 4.2.1"


# --- 5.3: Expires ---


@pytest.mark.parametrize("value", [http_date(3600), "Thu, 18 Aug 2050 02:01:18 GMT", "Thursday, 18-Aug-50 02:01:18 GMT", "Thu Aug 18 02:01:18 2050"])
def test_5_3_expires_in_each_form_of_a_date(page, value):
    assert page.says(f"Expires: {value}", f"Date: {http_date()}").is_kept()


@pytest.mark.parametrize("value", ["0", "-1", "", "never", http_date(-3600), "Thu, 18 Aug 2050 02:01:18 UTC", "Thu, 18 Aug 2050 02:01:18 +0000",
                                   "Thu, 18 Aug 50 02:01:18 GMT", "Thu 18 Aug 2050 02:01:18 GMT", "Thu, 18 Aug 2050 02:01 GMT",
                                   "Thu, 18 Aug 2050 2:01:18 GMT",
                                   "Thu, 18 Aug 2050 02.01.18 GMT", "Thu, 38 Aug 2050 02:01:18 GMT", "Thu, 18 Xxx 2050 02:01:18 GMT",
                                   "2050-08-18T02:01:18Z", "Thu, 18 Aug 2050 25:01:18 GMT", "Thu, 18 Aug 2050 02:01:18 GMT, x"])
def test_5_3_expires_that_is_over_or_no_date(page, value):
    assert not page.says(f"Expires: {value}", f"Date: {http_date()}",
                         f"Last-Modified: {http_date(-100000)}").is_kept(), "and nothing is guessed beside it"


def test_5_3_expires_counts_from_date_not_from_here(page, site):
    assert not page.says(f"Expires: {http_date(300)}", f"Date: {http_date(400)}").is_kept()
    assert not site.page().says(f"Date: {(now := http_date())}", f"Expires: {now}").is_kept(), "0 seconds"
    slow = site.page()
    assert slow.says(f"Date: {http_date(-50)}", f"Expires: {http_date(50)}").is_kept()
    assert 40 <= int(cache_status(slow.get())["ttl"]) <= 51, "100 s, of which 50 are gone"


def test_5_3_expires_without_a_date_that_can_be_read_counts_from_its_arrival(page):
    assert page.says("Date: foo", f"Expires: {http_date(100)}").is_kept()


def test_5_3_two_expires_are_the_first_or_stale(page, site):
    assert not page.says(f"Expires: {http_date(-100)}", f"Expires: {http_date(1000)}").is_kept()
    site.page().says(f"Expires: {http_date(1000)}", f"Expires: {http_date(-100)}").is_kept()  # either is right


# --- 4.2.3 and 5.1: Age ---


@pytest.mark.parametrize("age, is_kept", [
    ("0", True), ("3599", False), ("3600", False), ("7200", False), ("99999999999999999999999", False), ("2147483648", False),
    ("7200, 0", False), ("0, 7200", True), ("007200", False), ("abc", True), ("-7200", True), ("7200.0", True), ("", True), ("\"7200\"", True)])
def test_4_2_3_age_of_the_reply_counts(page, age, is_kept):
    """5.1: of several the first counts, and what is no number is ignored."""
    value = "3600" if age != "3599" else "3599"
    assert page.says(f"Date: {http_date()}", f"Cache-Control: max-age={value}", f"Age: {age}").is_kept() == is_kept


def test_4_2_3_of_two_lines_of_age_the_first_counts(page, site):
    assert not page.says("Cache-Control: max-age=3600", "Age: 7200", "Age: 0").is_kept()
    assert site.page().says("Cache-Control: max-age=3600", "Age: 0", "Age: 7200").is_kept()


def test_4_2_3_an_old_date_makes_it_old(page, site):
    assert not page.says(f"Date: {http_date(-3700)}", "Cache-Control: max-age=3600").is_kept()
    aged = site.page()
    assert aged.says(f"Date: {http_date(-1000)}", "Cache-Control: max-age=3600").is_kept()
    assert 995 <= int(aged.get()["age"]) <= 1030


def test_4_2_3_the_larger_of_age_and_apparent_age_counts(page, site):
    page.says(f"Date: {http_date(-1000)}", "Cache-Control: max-age=3600", "Age: 500").is_kept()
    assert 995 <= int(page.get()["age"]) <= 1030
    other = site.page()
    other.says(f"Date: {http_date(-500)}", "Cache-Control: max-age=3600", "Age: 1000").is_kept()
    assert 1000 <= int(other.get()["age"]) <= 1030


def test_4_2_3_a_date_that_is_still_to_come_makes_nothing_younger(page):
    page.says(f"Date: {http_date(1000)}", "Cache-Control: max-age=3600", "Age: 100").is_kept()
    assert 100 <= int(page.get()["age"]) <= 130


@pytest.mark.parametrize("date, expires, age", [(-10, 10, 25), (10, 20, 15)])
def test_4_2_3_age_against_expires_minus_date(page, date, expires, age):
    assert not page.says(f"Date: {http_date(date)}", f"Expires: {http_date(expires)}", f"Age: {age}").is_kept()


def test_4_2_3_the_time_that_the_app_took_counts(page):
    """corrected_age_value = age_value + response_delay: whole seconds that it took are age."""
    plain = page.says("Cache-Control: max-age=3600", "Age: 100").answer

    def slow(request):
        time.sleep(1.1)
        return plain(request)

    page.answer = slow
    page.get()
    assert 101 <= int(page.get()["age"]) <= 130


def test_5_1_a_hit_has_one_age_in_whole_seconds_which_grows(page):
    page.says("Cache-Control: max-age=3600", "Age: 30")
    page.get()
    hit = page.get()
    assert len(hit.all("age")) == 1 and hit["age"].isdigit() and 30 <= int(hit["age"]) <= 60
    eventually(lambda: int(page.get()["age"]) > int(hit["age"]), within=3)


def test_5_1_what_comes_from_the_app_has_no_age_of_ours(page):
    page.says("Cache-Control: max-age=3600")
    assert "age" not in page.get()


def test_5_1_the_apps_own_age_is_passed_on(page):
    assert int(page.says("Cache-Control: no-store", "Age: 30").get()["age"]) >= 30


def test_4_date_is_not_made_new_by_storing_it(page):
    date = http_date(-40)
    page.says("Cache-Control: max-age=3600", f"Date: {date}")
    assert page.get()["date"] == date and page.get()["date"] == date


def test_4_date_is_added_to_what_has_none(page):
    page.says("Cache-Control: max-age=3600")
    first = page.get()["date"]
    assert first and page.get()["date"] == first


def test_4_2_freshness_ends(page):
    page.says("Cache-Control: max-age=2", "Age: 1")
    page.get()
    eventually(lambda: page.get().body != b"1", within=3, why="it should have become stale after a second")


@pytest.mark.parametrize("age", [100, 200])
def test_4_2_what_came_stale_is_not_handed_out(page, age):
    assert not page.says("Cache-Control: max-age=100", f"Age: {age}", "ETag: \"1\"").is_kept()


# --- 4.2.2: guesses ---


def old(age_s):
    return f"Last-Modified: {http_date(-age_s)}"


@pytest.mark.parametrize("code, is_kept", [
    (200, True), (203, True), (204, True), (300, True), (301, True), (308, True), (404, True), (405, True), (410, True), (414, True), (501, True),
    (201, False), (202, False), (302, False), (303, False), (307, False), (400, False), (403, False), (500, False), (502, False), (503, False),
    (504, False),
    (599, False)])
def test_4_2_2_which_statuses_may_be_guessed_about(page, code, is_kept):
    assert page.says(old(DAY), status=code).is_kept() == is_kept


def test_4_2_2_a_guess_is_a_tenth_of_the_time_since_it_was_modified(page, site):
    assert page.says(old(36000)).is_kept()
    assert 3500 <= int(cache_status(page.get())["ttl"]) <= 3600
    aged = site.page()
    aged.says(f"Date: {http_date(-36000)}", old(72000)).is_kept()
    assert not aged.is_reused(), "a tenth of Date - Last-Modified, and it is older than that"


def test_4_2_2_a_guess_ends_after_a_day(page):
    assert page.says(old(1000 * DAY)).is_kept()
    assert DAY - 100 <= int(cache_status(page.get())["ttl"]) <= DAY


@pytest.mark.parametrize("field", ["Cache-Control: max-age=x", "Expires: 0", "Cache-Control: no-cache", "Cache-Control: private",
                                   "Cache-Control: no-store", "Cache-Control: s-maxage=0", "Vary: *", "Set-Cookie: a=b"])
def test_4_2_2_nothing_is_guessed_beside_what_was_said(page, field):
    assert not page.says(old(DAY), field).is_kept()


@pytest.mark.parametrize("modified", ["yesterday", "0", http_date(3600)])
def test_4_2_2_nothing_is_guessed_from_what_is_no_date_or_yet_to_come(page, modified):
    assert not page.says(f"Last-Modified: {modified}").is_kept()


@pytest.mark.parametrize("field", ["Cookie: a=b", "Authorization: Basic YTpi"])
def test_4_2_2_guesses_are_for_requests_without_credentials(page, field):
    page.says(old(DAY))
    assert not page.is_kept(field)
    assert page.is_kept("X-None: 1")
    assert not page.is_reused(field)


def test_4_2_2_a_route_may_forbid_guesses(start_weir):
    with Site(start_weir, routes=[{"path": "/**", "cache": {"heuristic": False}}]) as site:
        assert not site.page().says(old(DAY)).is_kept()
        assert site.page().says("Cache-Control: max-age=60").is_kept()


def test_4_2_2_a_routes_ttl_goes_before_a_guess(start_weir):
    with Site(start_weir, routes=[{"path": "/**", "cache": {"ttl": "50s"}}]) as site:
        page = site.page().says(old(10 * DAY))
        assert page.is_kept()
        assert int(cache_status(page.get())["ttl"]) <= 50


def test_4_of_several_stored_answers_the_newest_date_is_used(page):
    page.says(f"Date: {http_date(-100)}", "Cache-Control: max-age=3600")
    page.get()
    page.says(f"Date: {http_date(-50)}", "Cache-Control: max-age=3600")
    page.get("Cache-Control: no-cache")
    assert page.get().body == b"2"


def test_4_a_stored_answer_keeps_its_status_and_its_body(page):
    page.says("Cache-Control: max-age=60", status=404, body=b"not here")
    page.get()
    hit = page.get()
    assert is_hit(hit) and (hit.status, hit.body) == (404, b"not here")
