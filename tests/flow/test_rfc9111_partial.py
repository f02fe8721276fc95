"""RFC 9111, 3.3 and 3.4, RFC 9110, 14: parts that are stored, put together and cut."""

import pytest
from harness import reply
from stories import OUTDATED, Site, is_hit

KEPT = "Cache-Control: max-age=60"
WHOLE = bytes(range(65, 91)) * 40  # 1040 bytes
ONCE = "Mon, 01 Jan 2001 00:00:00 GMT"
STRONG = "ETag: \"one\""


@pytest.fixture(scope="module")
def site(module_weirs):
    with Site(module_weirs.start) as site:
        yield site


class Parts:
    """A page of which the app gives out parts; `sent` are the bytes of its bodies so far."""

    def __init__(self, page, *fields, whole=WHOLE):
        self.page = page
        self.fields = fields or (KEPT, STRONG)
        self.whole = whole
        self.sent = 0
        self.has_ranges = True
        page.answer = self.answer

    @property
    def etag(self):
        return next((field.split(": ", 1)[1] for field in self.fields if field.startswith("ETag")), None)

    def answer(self, request):
        if request["if-none-match"] and request["if-none-match"] == self.etag:
            return reply(304, b"", *self.fields, length=False)
        asked = request["range"] if self.has_ranges else None
        if request["if-range"] and request["if-range"] != self.etag and request["if-range"] != ONCE:
            asked = None
        if not asked:
            self.sent += len(self.whole)
            return reply(200, self.whole, *self.fields)
        first, last = asked.removeprefix("bytes=").split("-")
        start = int(first) if first else len(self.whole) - int(last)
        end = min(int(last), len(self.whole) - 1) if first and last else len(self.whole) - 1
        self.sent += end + 1 - start
        return reply(206, self.whole[start:end + 1], *self.fields, f"Content-Range: bytes {start}-{end}/{len(self.whole)}")

    def ask(self, asked, *fields):
        return self.page.get(*([f"Range: bytes={asked}"] if asked else []), *fields)

    def check(self, asked, start, end):
        """Asks and compares; true if it came from the store."""
        answer = self.ask(asked)
        assert answer.status == 206, answer
        assert answer.body == self.whole[start:end]
        assert answer["content-range"] == f"bytes {start}-{end - 1}/{len(self.whole)}"
        return is_hit(answer)


@pytest.fixture
def parts(site):
    return Parts(site.page())


# --- 3.3: a part is stored ---


@pytest.mark.parametrize("asked, start, end", [("0-99", 0, 100), ("100-199", 100, 200), ("-50", 990, 1040), ("1000-", 1000, 1040), ("0-", 0, 1040)])
def test_3_3_a_part_is_stored_and_answers_the_same_range(parts, asked, start, end):
    assert not parts.check(asked, start, end)
    assert parts.check(asked, start, end)
    assert len(parts.page.requests) == 1


@pytest.mark.parametrize("asked, start, end", [("600-699", 600, 700), ("500-500", 500, 501), ("550-", 550, 1040), ("-1", 1039, 1040),
                                               ("1039-5000", 1039, 1040)])
def test_3_3_a_part_answers_ranges_inside_of_it(parts, asked, start, end):
    parts.check("500-", 500, 1040)
    assert parts.check(asked, start, end)


@pytest.mark.parametrize("asked, start, end", [("0-99", 0, 100), ("499-600", 499, 601), ("-1", 1039, 1040), ("550-", 550, 1040),
                                               ("590-700", 590, 701)])
def test_3_3_a_part_does_not_answer_what_is_not_in_it(parts, asked, start, end):
    parts.check("500-599", 500, 600)
    assert not parts.check(asked, start, end)


def test_3_3_a_part_is_never_handed_out_as_the_whole(parts):
    parts.check("0-99", 0, 100)
    answer = parts.ask(None)
    assert (answer.status, answer.body) == (200, WHOLE)


def test_3_3_a_part_without_a_validator_may_answer_ranges_but_is_not_put_together(site):
    parts = Parts(site.page(), KEPT)
    parts.check("0-99", 0, 100)
    parts.check("0-99", 0, 100)
    parts.check("100-199", 100, 200)
    answer = parts.ask(None)
    assert (answer.status, answer.body) == (200, WHOLE)
    assert "range" not in parts.page.last, "what it has can't be told to belong to it"


@pytest.mark.parametrize("fields", [["Cache-Control: no-store", STRONG], ["Cache-Control: private, max-age=60", STRONG], [STRONG],
                                    [KEPT, "Set-Cookie: a=b"], [KEPT, "Vary: *"]])
def test_3_3_a_part_is_stored_by_the_same_rules_as_a_whole(site, fields):
    parts = Parts(site.page(), *fields)
    parts.check("0-99", 0, 100)
    assert not parts.check("0-99", 0, 100)


@pytest.mark.parametrize("content_range", ["bytes 0-9", "bytes 5-3/10", "bytes 0-10/10", "rows 0-9/10", "bytes 0-9/5", "bytes */10", "bytes 0-4/10",
                                           "", "bytes 0-9/ten", "bytes -1-9/10"])
def test_3_3_a_part_that_does_not_say_what_it_is_is_not_stored(site, content_range):
    page = site.page()
    page.says(KEPT, STRONG, f"Content-Range: {content_range}", status=206, body=b"0123456789")
    for _ in range(2):
        page.get("Range: bytes=0-9")
    assert len(page.requests) == 2
    page.says(KEPT, STRONG, body=b"whole")
    assert page.get().body == b"whole"


def test_3_3_a_part_that_nobody_asked_for_is_not_taken_for_the_whole(site):
    page = site.page()
    page.says(KEPT, STRONG, "Content-Range: bytes 0-3/10", status=206, body=b"0123")
    page.get()
    page.says(KEPT, STRONG, body=b"0123456789")
    answer = page.get()
    assert (answer.status, answer.body) in ((200, b"0123456789"),)


def test_3_3_several_parts_in_one_are_passed_on_and_not_stored(site):
    page = site.page()
    page.says(KEPT, STRONG, "Content-Type: multipart/byteranges; boundary=x", status=206, body=b"--x\r\n\r\n--x--")
    assert [page.get("Range: bytes=0-1,5-6").status for _ in range(2)] == [206, 206]
    assert len(page.requests) == 2


def test_3_3_an_app_that_ignores_ranges_fills_the_store_with_the_whole(parts):
    parts.has_ranges = False
    answer = parts.ask("0-9")
    assert (answer.status, answer.body) in ((200, WHOLE), (206, WHOLE[:10]))
    again = parts.ask(None)
    assert again.body == WHOLE and is_hit(again)


def test_3_3_an_unsatisfiable_range_is_not_remembered_as_the_answer(site):
    page = site.page()
    page.says(KEPT, "Content-Range: bytes */10", status=416, body=b"")
    assert page.get("Range: bytes=100-").status == 416
    page.says(KEPT, body=b"0123456789")
    assert page.get().body == b"0123456789"


def test_3_3_a_part_that_became_stale_is_asked_about_or_fetched_anew(site):
    parts = Parts(site.page(), *OUTDATED, STRONG)
    parts.check("0-99", 0, 100)
    assert not parts.check("0-99", 0, 100)


# --- 3.4: parts are put together ---


@pytest.mark.parametrize("ranges", [["0-499", "500-"], ["500-", "0-499"], ["0-599", "400-"], ["0-299", "300-699", "700-"],
                                    ["700-", "300-699", "0-299"], ["0-", "3-5"]])
def test_3_4_parts_of_one_strong_validator_become_the_whole(parts, ranges):
    for asked in ranges:
        parts.ask(asked)
    before = len(parts.page.requests)
    answer = parts.ask(None)
    assert (answer.status, answer.body, answer["content-length"]) == (200, WHOLE, "1040") and "content-range" not in answer
    assert is_hit(answer) and len(parts.page.requests) == before


def test_3_4_parts_that_touch_answer_ranges_over_both(parts):
    parts.ask("100-199")
    parts.ask("200-299")
    assert parts.check("150-249", 150, 250)


def test_3_4_parts_with_a_hole_between_them_are_right_whatever_is_kept_of_them(parts):
    for asked in ("700-", "0-299", "300-699"):
        parts.ask(asked)
    answer = parts.ask(None)
    assert (answer.status, answer.body) == (200, WHOLE)
    assert parts.ask(None).body == WHOLE and is_hit(parts.ask(None))


def test_3_4_parts_that_do_not_touch_are_not_one(parts):
    parts.ask("100-199")
    parts.ask("300-399")
    assert not parts.check("150-349", 150, 350)


@pytest.mark.parametrize("before, after", [("ETag: \"one\"", "ETag: \"two\""), ("ETag: W/\"one\"", "ETag: W/\"one\""),
                                           ("ETag: \"one\"", "ETag: W/\"one\""),
                                           ("ETag: \"one\"", "X-None: 1"),
                                           (f"Last-Modified: {ONCE}", "Last-Modified: Tue, 02 Jan 2001 00:00:00 GMT")])
def test_3_4_parts_of_two_representations_are_never_put_together(site, before, after):
    parts = Parts(site.page(), KEPT, before)
    parts.ask("0-499")
    parts.fields, parts.whole = (KEPT, after), WHOLE[::-1]
    parts.ask("500-")
    answer = parts.ask(None)
    assert (answer.status, answer.body) == (200, WHOLE[::-1])


def test_3_4_parts_of_two_lengths_are_never_put_together(parts):
    parts.ask("0-499")
    parts.whole = WHOLE + b"more"
    parts.ask("500-")
    assert parts.ask(None).body == parts.whole


def test_3_4_a_stored_part_is_completed_by_what_is_missing(parts):
    parts.ask("0-499")
    answer = parts.ask(None)
    assert (answer.status, answer.body) == (200, WHOLE)
    assert parts.page.last["range"] in ("bytes=500-", "bytes=500-1039")
    assert parts.page.last["if-range"] == "\"one\""
    assert parts.sent == len(WHOLE), "not a byte came twice"
    again = parts.ask(None)
    assert is_hit(again) and again.body == WHOLE


def test_3_4_a_whole_that_changed_meanwhile_is_the_new_one(parts):
    parts.ask("0-499")
    parts.fields, parts.whole = (KEPT, "ETag: \"two\""), WHOLE[::-1]
    answer = parts.ask(None)
    assert (answer.status, answer.body, answer["etag"]) == (200, WHOLE[::-1], "\"two\"")
    assert parts.ask(None).body == WHOLE[::-1]


def test_3_4_a_whole_takes_the_place_of_parts(parts):
    parts.ask("0-499")
    parts.fields, parts.whole = (KEPT, "ETag: \"two\""), WHOLE[::-1]
    parts.ask(None, "Cache-Control: no-cache")
    assert parts.check("0-99", 0, 100)


# --- cutting a whole ---


@pytest.mark.parametrize("asked, start, end", [("0-0", 0, 1), ("5-99", 5, 100), ("1039-", 1039, 1040), ("-1", 1039, 1040), ("-5000", 0, 1040),
                                               ("0-5000", 0, 1040), ("0-", 0, 1040)])
def test_14_ranges_are_cut_from_a_stored_whole(parts, asked, start, end):
    parts.ask(None)
    assert parts.check(asked, start, end)


@pytest.mark.parametrize("asked", ["1040-", "5000-6000", "-0"])
def test_14_a_range_outside_is_not_satisfiable(parts, asked):
    parts.ask(None)
    answer = parts.ask(asked)
    assert answer.status == 416 and answer["content-range"] == "bytes */1040"
    assert len(parts.page.requests) == 1


@pytest.mark.parametrize("field", ["Range: rows=0-4", "Range: bytes=4-0", "Range: bytes", "Range: bytes=", "Range: bytes=a-b", "Range: bytes=1",
                                   "Range: bytes=--1"])
def test_14_a_range_that_is_none_is_ignored(parts, field):
    parts.ask(None)
    answer = parts.page.get(field)
    assert (answer.status, answer.body) == (200, WHOLE)


def test_14_several_ranges_get_several_parts_or_the_whole(parts):
    parts.ask(None)
    answer = parts.ask("0-1,5-6")
    assert answer.status in (200, 206)
    if answer.status == 206:
        assert answer["content-type"].startswith("multipart/byteranges; boundary=")
    else:
        assert answer.body == WHOLE


@pytest.mark.parametrize("if_range, code", [
    ("\"one\"", 206), ("\"two\"", 200), ("W/\"one\"", 200), ("one", 200), (ONCE, 206), ("Mon, 01 Jan 2001 00:00:01 GMT", 200), ("*", 200)])
def test_14_if_range_is_compared_strongly(site, if_range, code):
    parts = Parts(site.page(), KEPT, STRONG, f"Last-Modified: {ONCE}")
    parts.ask(None)
    answer = parts.ask("0-9", f"If-Range: {if_range}")
    assert answer.status == code and is_hit(answer)


def test_14_if_range_never_matches_a_weak_etag(site):
    parts = Parts(site.page(), KEPT, "ETag: W/\"one\"")
    parts.ask(None)
    assert parts.ask("0-9", "If-Range: W/\"one\"").status == 200


def test_14_conditions_go_before_ranges(parts):
    parts.ask(None)
    assert parts.ask("0-9", "If-None-Match: \"one\"").status == 304
    assert parts.ask("0-9", "If-None-Match: \"two\"").status == 206


def test_14_a_range_of_what_is_stale_is_validated_first(site):
    parts = Parts(site.page(), *OUTDATED, STRONG)
    parts.ask(None)
    answer = parts.ask("5-9")
    assert (answer.status, answer.body) == (206, WHOLE[5:10]) and not is_hit(answer)
    parts.fields, parts.whole = (KEPT, "ETag: \"two\""), WHOLE[::-1]
    answer = parts.ask("5-9")
    assert (answer.status, answer.body, answer["etag"]) == (206, WHOLE[::-1][5:10], "\"two\"")
    assert parts.ask(None).body == WHOLE[::-1], "never the beginning of one and the end of the other"


def test_14_a_part_of_an_empty_or_a_tiny_body(site):
    page = site.page().says(KEPT, STRONG, body=b"")
    page.get()
    assert page.get("Range: bytes=0-0").status in (200, 416)
    page = site.page().says(KEPT, STRONG, body=b"x")
    page.get()
    assert page.get("Range: bytes=0-0").body == b"x" and page.get("Range: bytes=-1").body == b"x"


def test_14_a_range_of_a_head_is_ignored(parts):
    parts.ask(None)
    answer = parts.page.ask("HEAD", "Range: bytes=0-9")
    assert (answer.status, answer["content-length"]) == (200, "1040")


def test_14_a_range_of_a_stored_error_is_ignored(site):
    page = site.page().says(KEPT, status=404, body=b"not here")
    page.get()
    answer = page.get("Range: bytes=0-2")
    assert (answer.status, answer.body) == (404, b"not here")
