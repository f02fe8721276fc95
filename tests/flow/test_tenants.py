"""Whose request is it? Sources in order, whom they believe, and that tenants never meet."""

import threading

import pytest
from harness import App, reply
from stories import cache_status, echo, is_hit, together

SOURCES = {"from": [{"host": "{tenant}.api.example.com"}, {"header": "X-Tenant", "believe": "trusted"}, {"path": "/t/{tenant}/"}]}
TRUSTED = ["127.0.0.2/32"]


def seen_by_app(weir, target="/", *fields, host="test", source=None):
    """What the app was asked: a dict with method, target and fields."""
    with weir.wire(source=source) as wire:
        wire.request("GET", target, *fields, host=host)
        answer = wire.reply()
    assert answer.status == 200, answer
    return answer.json()


def tenant_of(weir, *arguments, **options):
    return seen_by_app(weir, *arguments, **options)["fields"].get("weir-tenant")


def refusal(weir, target="/", *fields, host="test", source=None):
    with weir.wire(source=source) as wire:
        wire.request("GET", target, *fields, host=host)
        return wire.reply()


@pytest.fixture(scope="module")
def app():
    app = App(echo)
    yield app
    app.close()


@pytest.fixture(scope="module")
def weir(module_weirs, app):
    return module_weirs.start(app, tenants=SOURCES, trusted_peers=TRUSTED)


def test_the_host_names_it(weir):
    assert tenant_of(weir, host="acme.api.example.com") == "acme"
    assert tenant_of(weir, host="acme.api.example.com:8080") == "acme"


def test_the_path_names_it_and_the_app_sees_the_path_as_it_was(weir):
    seen = seen_by_app(weir, "/t/acme/items?x=1")
    assert seen["fields"]["weir-tenant"] == "acme"
    assert seen["target"] == "/t/acme/items?x=1"


def test_a_header_is_believed_from_trusted_peers_only(weir):
    assert tenant_of(weir, "/", "X-Tenant: acme", source="127.0.0.2") == "acme"
    refusal(weir, "/", "X-Tenant: acme").is_problem(404, "no-tenant")


def test_a_header_from_somebody_else_is_taken_off(weir):
    seen = seen_by_app(weir, "/", "X-Tenant: acme", "Weir-Tenant: acme", host="other.api.example.com")
    assert seen["fields"]["weir-tenant"] == "other"
    assert "x-tenant" not in seen["fields"]


def test_the_first_source_that_names_one_wins(weir):
    assert tenant_of(weir, "/t/third/", "X-Tenant: second", host="first.api.example.com", source="127.0.0.2") == "first"
    assert tenant_of(weir, "/t/third/", "X-Tenant: second", source="127.0.0.2") == "second"
    assert tenant_of(weir, "/t/third/") == "third"


def test_one_label_is_one_label(weir):
    refusal(weir, host="a.b.api.example.com").is_problem(404, "no-tenant")
    refusal(weir, host="api.example.com").is_problem(404, "no-tenant")


def test_names_are_lower_cased(weir):
    assert tenant_of(weir, host="ACME.api.Example.com") == "acme"
    assert tenant_of(weir, "/t/AcMe/x") == "acme"
    assert tenant_of(weir, "/", "X-Tenant: ACME", source="127.0.0.2") == "acme"


@pytest.mark.parametrize("name", ["a%20b", "a.b", "a+b", "x" * 64, "a%2fb", "ümlaut".encode().decode("latin-1")])
def test_a_name_that_is_none_is_refused(weir, name):
    answer = refusal(weir, f"/t/{name}/")
    assert answer.status in (400, 404), answer
    assert answer.json()["reason"] in ("bad-tenant", "no-tenant", "bad-target")


def test_a_name_in_a_header_that_is_none_is_refused(weir):
    refusal(weir, "/", "X-Tenant: no such name", source="127.0.0.2").is_problem(400, "bad-tenant")


def test_a_path_without_a_name_names_nobody(weir):
    refusal(weir, "/t//x").is_problem(404, "no-tenant")


def test_no_name_is_refused_and_says_so(weir):
    answer = refusal(weir, "/items")
    answer.is_problem(404, "no-tenant")
    assert answer["x-request-id"]


def test_what_is_refused_never_reaches_the_app(weir, app):
    app.forget()
    refusal(weir, "/items")
    refusal(weir, "/items", "X-Tenant: acme")
    assert app.has_seen_nothing()


def test_believe_any_believes_everyone(start_weir, app):
    weir = start_weir(app, tenants={"from": [{"header": "X-Tenant", "believe": "any"}]})
    assert tenant_of(weir, "/", "X-Tenant: acme") == "acme"


def test_two_values_of_a_believed_header_are_no_name(start_weir, app):
    weir = start_weir(app, tenants={"from": [{"header": "X-Tenant", "believe": "any"}]})
    answer = refusal(weir, "/", "X-Tenant: one", "X-Tenant: two")
    assert answer.status == 400, answer


def test_strip_takes_the_prefix_off_what_the_app_sees(start_weir, app):
    weir = start_weir(app, tenants={"from": [{"path": "/t/{tenant}/", "strip": True}]})
    assert seen_by_app(weir, "/t/acme/items?x=1")["target"] == "/items?x=1"
    assert seen_by_app(weir, "/t/acme/")["target"] == "/"
    assert seen_by_app(weir, "/t/acme/items")["fields"]["weir-tenant"] == "acme"


def test_unknown_default_makes_everyone_else_the_default_tenant(start_weir, app):
    weir = start_weir(app, tenants={**SOURCES, "unknown": "default"})
    assert tenant_of(weir, "/items") == "default"
    assert tenant_of(weir, host="acme.api.example.com") == "acme"


def test_unlisted_refuse_knows_only_who_is_listed(start_weir, app):
    weir = start_weir(app, tenants={**SOURCES, "unlisted": "refuse", "named": {"acme": {"weight": 2}}})
    assert tenant_of(weir, host="acme.api.example.com") == "acme"
    refusal(weir, host="other.api.example.com").is_problem(404, "no-tenant")


def test_without_tenants_there_is_one_named_default(start_weir, app):
    weir = start_weir(app)
    assert tenant_of(weir, "/", "Weir-Tenant: somebody") == "default"


def test_a_spent_rate_is_told_and_others_do_not_pay_for_it(start_weir, app):
    weir = start_weir(app, tenants={**SOURCES, "named": {"tiny": {"rate": "1/m", "burst": 2}}})
    answers = [refusal(weir, "/t/tiny/") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    answers[2].is_problem(429, "tenant-rate")
    assert 1 <= int(answers[2]["retry-after"]) <= 60
    assert answers[0]["ratelimit-policy"].startswith('"tenant";q=')
    assert '"tenant";r=' in answers[0]["ratelimit"]
    assert '"tenant";r=0' in answers[2]["ratelimit"]
    assert refusal(weir, "/t/other/").status == 200


def test_the_rate_is_asked_before_the_cache(start_weir, start_app):
    weir = start_weir(start_app(reply(200, b"kept", "Cache-Control: max-age=60")),
                      tenants={**SOURCES, "named": {"tiny": {"rate": "1/m", "burst": 2}}})
    answers = [refusal(weir, "/t/tiny/same") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert is_hit(answers[1])


def test_concurrency_is_a_tenants_own_and_a_hit_does_not_need_it(start_weir, start_app):
    held, go = threading.Event(), threading.Event()

    def answer(request):
        if request.target.endswith("/slow"):
            held.set()
            go.wait(30)
        return reply(200, b"x", "Cache-Control: max-age=60" if request.target.endswith("/kept") else "Cache-Control: no-store")

    weir = start_weir(start_app(answer), tenants={**SOURCES, "named": {"tiny": {"concurrency": 1}}})
    assert refusal(weir, "/t/tiny/kept").status == 200
    with weir.wire() as slow:
        slow.request("GET", "/t/tiny/slow")
        assert held.wait(30)
        full = refusal(weir, "/t/tiny/other")
        full.is_problem(429, "tenant-concurrency")
        assert int(full["retry-after"]) >= 1
        assert refusal(weir, "/t/tiny/kept").status == 200
        assert refusal(weir, "/t/large/other").status == 200
        go.set()
        assert slow.reply().status == 200
    assert refusal(weir, "/t/tiny/other").status == 200, "its place came back"


def test_two_tenants_never_share_a_stored_answer(start_weir, start_app):
    app = start_app(lambda request: reply(200, request["weir-tenant"].encode(), "Cache-Control: public, max-age=60"))
    weir = start_weir(app, workers=2, tenants={"from": [{"header": "X-Tenant", "believe": "any"}]})

    def get(tenant):
        answer = refusal(weir, "/same", f"X-Tenant: {tenant}", host="one.example.com")
        assert answer.status == 200
        assert answer.body.decode() == tenant, f"{tenant} was handed what is {answer.body}'s"
        return answer

    tenants = [f"tenant-{index % 8}" for index in range(64)]
    together(len(tenants), lambda index: get(tenants[index]))
    assert len(app.requests) == 8
    assert all(is_hit(get(tenant)) for tenant in tenants)


def test_all_tenants_is_the_only_way_to_share(start_weir, start_app):
    app = start_app(lambda request: reply(200, request["weir-tenant"].encode()))
    weir = start_weir(app, tenants={"from": [{"header": "X-Tenant", "believe": "any"}]},
                      routes=[{"path": "/logo/**", "cache": {"ttl": "60s", "scope": "all_tenants"}},
                              {"path": "/**", "cache": {"ttl": "60s"}}])
    assert refusal(weir, "/logo/a", "X-Tenant: one").body == b"one"
    shared = refusal(weir, "/logo/a", "X-Tenant: two")
    assert (shared.body, is_hit(shared)) == (b"one", True)
    assert refusal(weir, "/page", "X-Tenant: one").body == b"one"
    assert refusal(weir, "/page", "X-Tenant: two").body == b"two"
    assert cache_status(refusal(weir, "/page", "X-Tenant: three"))["fwd"] == "uri-miss"
