"""Which version of the API is asked for, what its clients are told about its end, and canaries."""

import datetime
import re

import pytest
from harness import App, reply
from stories import Load, ask, echo, generation, status, tell

FROM = [{"path": "/{version}/"}, {"header": "API-Version"}, {"accept": "application/vnd.*.{version}+json"}, {"query": "api-version"}]


def day(offset):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)).strftime("%Y-%m-%d")


def midnight(text):
    return datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.timezone.utc)


YESTERDAY, TOMORROW, NEXT_YEAR = day(-1), day(1), day(365)


def named(name):
    """An app that says its name, and what it was asked."""

    def answer(request):
        return echo(request).replace(b"\r\n\r\n", f"\r\nX-App: {name}\r\n\r\n".encode(), 1)

    return answer


@pytest.fixture(scope="module")
def apps():
    apps = {name: App(named(name)) for name in ("old", "new", "next")}
    yield apps
    for app in apps.values():
        app.close()


def upstreams(apps):
    return {name: {"primary": [app.address]} for name, app in apps.items()}


@pytest.fixture(scope="module")
def weir(module_weirs, apps):
    return module_weirs.start(upstreams=upstreams(apps), versions={
        "from": FROM, "default": "v2",
        "known": {"v0": {"upstream": "old", "sunset": YESTERDAY, "after_sunset": "gone", "link": "https://example.com/v0"},
                  "v1": {"upstream": "old", "deprecated": YESTERDAY, "sunset": NEXT_YEAR, "link": "https://example.com/v1-sunset"},
                  "v2": {"upstream": "new"}}})


def app_of(answer):
    assert answer.status == 200, answer
    return answer["x-app"]


def test_the_path_names_it(weir):
    answer = weir.get("/v1/items?x=1")
    assert app_of(answer) == "old"
    assert answer.json()["target"] == "/v1/items?x=1"
    assert answer.json()["fields"]["weir-version"] == "v1"


def test_a_header_names_it(weir):
    assert app_of(weir.get("/items", "API-Version: v1")) == "old"
    assert app_of(weir.get("/items", "API-Version: v2")) == "new"


def test_a_media_type_names_it(weir):
    assert app_of(weir.get("/items", "Accept: application/vnd.acme.v1+json")) == "old"
    assert app_of(weir.get("/items", "Accept: text/html, application/vnd.acme.v1+json;q=0.9")) == "old"
    assert app_of(weir.get("/items", "Accept: application/json")) == "new"


def test_a_query_names_it(weir):
    assert app_of(weir.get("/items?api-version=v1&x=1")) == "old"
    assert app_of(weir.get("/items?xapi-version=v1")) == "new"


def test_the_first_source_that_names_one_wins(weir):
    assert app_of(weir.get("/v1/items?api-version=v2", "API-Version: v2")) == "old"
    assert app_of(weir.get("/items?api-version=v1", "API-Version: v2")) == "new"


def test_no_name_is_the_default(weir):
    assert app_of(weir.get("/items")) == "new"
    assert weir.get("/items").json()["fields"]["weir-version"] == "v2"


def test_a_clients_word_about_its_version_is_taken_off(weir):
    assert weir.get("/items", "Weir-Version: v1").json()["fields"]["weir-version"] == "v2"


def test_a_path_segment_that_is_no_version_is_just_a_path(weir):
    assert app_of(weir.get("/v9/items")) == "new"
    assert weir.get("/v9/items").json()["target"] == "/v9/items"


@pytest.mark.parametrize("target, fields", [("/items", ["API-Version: v9"]), ("/items", ["Accept: application/vnd.acme.v9+json"]),
                                            ("/items?api-version=v9", [])])
def test_an_unknown_version_by_name_is_refused(weir, target, fields):
    weir.get(target, *fields).is_problem(400, "unknown-version")


def assert_says_its_end(answer):
    assert answer["deprecation"] == f"@{int(midnight(YESTERDAY).timestamp())}"
    assert answer["sunset"] == midnight(NEXT_YEAR).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert re.search(r'<https://example.com/v1-sunset>; ?rel="?(deprecation|sunset)', answer["link"])


def test_a_deprecated_version_says_so(weir):
    assert_says_its_end(weir.get("/v1/items"))
    answer = weir.get("/v2/items")
    assert not {"deprecation", "sunset", "link"} & set(answer.names())


def test_a_stored_answer_says_so_too(start_weir, start_app):
    weir = start_weir(start_app(reply(200, b"x", "Cache-Control: max-age=60")),
                      versions={"from": FROM, "default": "v1", "known": {"v1": {
                          "deprecated": YESTERDAY, "sunset": NEXT_YEAR, "link": "https://example.com/v1-sunset"}}})
    assert_says_its_end(weir.get("/x"))
    again = weir.get("/x")
    assert "hit" in again["cache-status"]
    assert_says_its_end(again)


def test_errors_that_weir_makes_say_so_too(start_weir, start_app):
    app = start_app()
    app.close()
    weir = start_weir(app, versions={"from": FROM, "default": "v1", "known": {"v1": {
        "deprecated": YESTERDAY, "sunset": NEXT_YEAR, "link": "https://example.com/v1-sunset"}}})
    answer = weir.get("/v1/items")
    assert answer.status in (502, 503), answer
    assert_says_its_end(answer)


def test_what_will_be_deprecated_does_not_say_so_yet_or_with_its_date(start_weir, start_app):
    weir = start_weir(start_app(), versions={"from": FROM, "default": "v1", "known": {"v1": {"deprecated": TOMORROW}}})
    assert weir.get("/")["deprecation"] in (None, f"@{int(midnight(TOMORROW).timestamp())}")


def test_after_its_sunset_it_is_gone_and_says_where_to_go(weir, apps):
    for app in apps.values():
        app.forget()
    answer = weir.get("/v0/items")
    answer.is_problem(410, "version-gone")
    assert answer["sunset"] == midnight(YESTERDAY).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert "https://example.com/v0" in answer["link"]
    assert all(app.has_seen_nothing() for app in apps.values())


def test_after_its_sunset_it_goes_on_if_nobody_said_gone(start_weir, start_app):
    weir = start_weir(start_app(), versions={"from": FROM, "default": "v1", "known": {"v1": {"sunset": YESTERDAY}}})
    assert weir.get("/v1/items").status == 200


def test_strip_takes_the_version_off_what_the_app_sees(start_weir, apps):
    weir = start_weir(upstreams=upstreams(apps), versions={"from": [{"path": "/{version}/", "strip": True}], "default": "v1",
                                                          "known": {"v1": {"upstream": "old"}, "v2": {"upstream": "new"}}})
    assert weir.get("/v2/items?x=1").json()["target"] == "/items?x=1"
    assert weir.get("/v2").json()["target"] in ("/", "/v2")
    assert weir.get("/items").json()["target"] == "/items"


def test_strip_behind_a_tenants_path(start_weir, apps):
    weir = start_weir(upstreams=upstreams(apps), tenants={"from": [{"path": "/t/{tenant}/"}]},
                      versions={"from": [{"path": "/{version}/", "strip": True}], "default": "v1",
                                "known": {"v1": {"upstream": "old"}, "v2": {"upstream": "new"}}})
    answer = weir.get("/t/acme/v2/items")
    assert (app_of(answer), answer.json()["target"]) == ("new", "/t/acme/items")


def test_without_a_default_who_names_none_is_refused(start_weir, apps):
    weir = start_weir(upstreams=upstreams(apps), versions={"from": FROM, "known": {"v1": {"upstream": "old"}, "v2": {"upstream": "new"}}})
    weir.get("/items").is_problem(400, "unknown-version")
    assert app_of(weir.get("/v1/items")) == "old"


def test_a_tenant_may_have_a_version_of_its_own(start_weir, apps):
    weir = start_weir(upstreams=upstreams(apps),
                      tenants={"from": [{"header": "X-Tenant", "believe": "any"}], "named": {"acme": {"version": "v1"}}},
                      versions={"from": FROM, "default": "v2", "known": {"v1": {"upstream": "old"}, "v2": {"upstream": "new"}}})
    assert app_of(weir.get("/items", "X-Tenant: acme")) == "old"
    assert app_of(weir.get("/items", "X-Tenant: other")) == "new"


# --- canaries ---

TENANTS = {"from": [{"header": "X-Tenant", "believe": "any"}]}


def canary_config(apps, percent, **more):
    return {"upstreams": upstreams(apps), "tenants": TENANTS, "workers": 2,
            "versions": {"from": FROM, "default": "v2",
                         "known": {"v2": {"upstream": "new", "canary": {"upstream": "next", "percent": percent, **more}}}}}


def in_canary(weir, count=200):
    found = set()
    with weir.wire() as wire:
        for index in range(count):
            wire.request("GET", "/", f"X-Tenant: t{index}")
            if app_of(wire.reply()) == "next":
                found.add(index)
    return found


def test_a_canary_takes_its_share_of_the_tenants_and_the_same_ones_again(start_weir, apps):
    weir = start_weir(**canary_config(apps, 20))
    first = in_canary(weir)
    assert 15 <= len(first) <= 70, "20 % of 200 tenants"
    assert in_canary(weir) == first, "sticky"


def test_a_named_tenant_is_always_in_it(start_weir, apps):
    weir = start_weir(**canary_config(apps, 0, tenants=["acme"]))
    assert app_of(weir.get("/", "X-Tenant: acme")) == "next"
    assert in_canary(weir, 50) == set()


def test_a_larger_share_keeps_who_was_in_it(start_weir, apps):
    weir = start_weir(**canary_config(apps, 20))
    first = in_canary(weir)
    tell(weir, "/api/versions/v2", {"canary": {"percent": 60}})
    assert first <= in_canary(weir)


def test_the_canary_is_changed_at_once_under_traffic(start_weir, apps):
    weir = start_weir(**canary_config(apps, 0))
    with Load(weir, clients=8, fields=["X-Tenant: acme"]) as load:
        for percent, app in [(100, "next"), (0, "new")] * 10:
            load.wait_for(20)
            assert tell(weir, "/api/versions/v2", {"canary": {"percent": percent}})
            assert app_of(weir.get("/", "X-Tenant: acme")) == app, "the very next request"
    assert not load.failures, load.failures[:3]


def test_a_canarys_stored_answers_go_with_it(start_weir, start_app):
    pair = {name: start_app(reply(200, name.encode(), "Cache-Control: max-age=60")) for name in ("new", "next")}
    weir = start_weir(**canary_config(pair, 100))
    assert weir.get("/x", "X-Tenant: acme").body == b"next"
    tell(weir, "/api/versions/v2", {"canary": {"percent": 0}})
    assert weir.get("/x", "X-Tenant: acme").body == b"new"
    assert weir.get("/x", "X-Tenant: acme").body == b"new"


def test_what_was_changed_survives_a_reload_until_the_file_says_otherwise(start_weir, apps):
    config = canary_config(apps, 0)
    weir = start_weir(**config)
    tell(weir, "/api/versions/v2", {"canary": {"percent": 100}})
    assert any(row.get("version") == "v2" for row in status(weir)["overrides"])

    tell(weir, "/api/reload", {})
    assert app_of(weir.get("/", "X-Tenant: acme")) == "next"

    text = weir.file.read_text()
    assert text.count('"percent": 0') == 1
    weir.file.write_text(text.replace('"percent": 0', '"percent": 0.5'))
    before = generation(weir)
    tell(weir, "/api/reload", {})
    assert generation(weir) > before
    assert in_canary(weir, 40) != set(range(40))
    assert status(weir)["overrides"] == []


@pytest.mark.parametrize("path, body, code", [
    ("/api/versions/v9", {"canary": {"percent": 1}}, 404),
    ("/api/versions/v2", {"canary": {"percent": 101}}, 400),
    ("/api/versions/v2", {"canary": {"percent": "many"}}, 400),
    ("/api/versions/v2", {"canary": {"percentage": 5}}, 400),
    ("/api/versions/v2", {"canary": {"percent": 5, "upstream": "nowhere"}}, 400),
    ("/api/versions/v2", {}, 400)])
def test_a_change_that_makes_no_sense_is_refused_and_changes_nothing(weir, path, body, code):
    answer = ask(weir, "POST", path, body=body)
    assert answer.status == code, answer
    assert app_of(weir.get("/")) == "new"
