"""Which rules a request gets: by host, path and method; the longest path wins."""

import threading

import pytest
from harness import App, reply
from stories import echo


@pytest.fixture(scope="module")
def apps():
    apps = {name: App(lambda request, name=name: echo(request).replace(b"\r\n\r\n", f"\r\nX-App: {name}\r\n\r\n".encode(), 1))
            for name in ("main", "deep", "one", "checkout", "any", "shop")}
    yield apps
    for app in apps.values():
        app.close()


@pytest.fixture(scope="module")
def weir(module_weirs, apps):
    return module_weirs.start(
        upstreams={name: {"primary": [app.address]} for name, app in apps.items()},
        versions={"from": [{"path": "/{version}/"}], "default": "v1", "known": {"v1": {"upstream": "main"}}},
        routes=[{"name": "any", "path": "/a/**", "upstream": "any"},
                {"name": "one", "path": "/a/*/c", "upstream": "one"},
                {"name": "deep", "path": "/a/b/**", "upstream": "deep"},
                {"name": "checkout", "path": "/checkout", "methods": ["POST"], "upstream": "checkout"},
                {"name": "shop", "host": "shop.example.com", "path": "/**", "upstream": "shop"}])


def app_of(weir, target, method="GET", host="test"):
    with weir.wire() as wire:
        wire.request(method, target, host=host, body=b"" if method == "POST" else None)
        answer = wire.reply(method)
    assert answer.status == 200, answer
    return answer["x-app"]


def test_the_longest_path_wins(weir):
    assert app_of(weir, "/a/x") == "any"
    assert app_of(weir, "/a/b/x") == "deep"
    assert app_of(weir, "/a/b/x/y/z") == "deep"


def test_a_star_is_one_segment(weir):
    assert app_of(weir, "/a/x/c") == "one"
    assert app_of(weir, "/a/x/y/c") == "any"
    assert app_of(weir, "/a/x/c/d") == "any"


def test_two_stars_are_the_rest_and_the_query_is_not_part_of_it(weir):
    assert app_of(weir, "/a/x?y=/a/b/c") == "any"
    assert app_of(weir, "/ab") == "main"
    assert app_of(weir, "/x?/a/b") == "main"


def test_methods_narrow_a_route(weir):
    assert app_of(weir, "/checkout", "POST") == "checkout"
    assert app_of(weir, "/checkout") == "main"


def test_a_host_narrows_a_route(weir):
    assert app_of(weir, "/x", host="shop.example.com") == "shop"
    assert app_of(weir, "/x", host="SHOP.example.com:80") == "shop"
    assert app_of(weir, "/x", host="other.example.com") == "main"


def test_what_no_route_names_goes_to_the_versions_upstream(weir):
    assert app_of(weir, "/") == "main"


def test_routes_see_paths_without_the_version_but_the_app_sees_all_of_it(weir):
    with weir.wire() as wire:
        wire.request("GET", "/v1/a/b/x")
        answer = wire.reply()
    assert answer["x-app"] == "deep"
    assert answer.json()["target"] == "/v1/a/b/x"


def test_the_path_is_compared_as_it_was_sent(weir):
    assert app_of(weir, "/%61/b/x") == "main"
    assert app_of(weir, "/x/../a/b/x") == "main"


def test_a_routes_time_is_its_own(start_weir, start_app):
    over = threading.Event()

    def answer(request):
        if request.target == "/slow":
            over.wait(30)
        return reply(200, b"x")

    weir = start_weir(start_app(answer), routes=[{"path": "/slow", "timeouts": {"first_byte": "200ms"}}])
    weir.get("/slow").is_problem(504, "first-byte-timeout")
    over.set()
    assert weir.get("/other").status == 200


def test_the_access_log_names_the_route(weir):
    weir.get("/a/b/logged")
    assert weir.access(target="/a/b/logged")["route"] == "deep"
