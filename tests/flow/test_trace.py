"""Weir-Trace: a request's own path and timings, for a trusted peer that asks for it."""

import re

import pytest
from harness import App, reply

ROUTES = [{"name": "items", "path": "/items/**", "cache": {"ttl": "60s"}}]


@pytest.fixture(scope="module")
def app():
    app = App(reply(200, b"x"))
    yield app
    app.close()


@pytest.fixture(scope="module")
def trusting(module_weirs, app):
    return module_weirs.start(app, routes=ROUTES, trusted_peers=["127.0.0.0/8"])


@pytest.fixture(scope="module")
def wary(module_weirs, app):
    return module_weirs.start(app, routes=ROUTES)


def trace(weir, target, *lines):
    answer = weir.get(target, *lines)
    return answer["weir-trace"] if "weir-trace" in answer.names() else None


def test_a_trusted_peer_gets_the_path_and_the_times(trusting, app):
    told = trace(trusting, "/items/1", "Weir-Trace: 1")
    assert 'route="items"' in told and "upstream=app" in told and f"server={app.address}" in told
    assert {"head", "admit", "lookup", "connect", "first_byte", "total"} <= set(re.findall(r"; ([a-z_]+)=[0-9.]+", told))


def test_a_stored_answer_went_to_no_server(trusting):
    trace(trusting, "/items/2", "Weir-Trace: 1")
    told = trace(trusting, "/items/2", "Weir-Trace: 1")
    assert "lookup=" in told and "server=" not in told


def test_who_does_not_ask_or_is_not_trusted_gets_none(trusting, wary):
    assert trace(trusting, "/items/3") is None
    assert trace(wary, "/items/3", "Weir-Trace: 1") is None


def test_the_app_sees_nothing_of_it(wary, app):
    app.forget()
    wary.get("/seen", "Weir-Trace: 1")
    assert "weir-trace" not in {name.lower() for name, _ in app.requests[0].fields}
