"""What weir adds, keeps and removes: fields of one hop stay on it, nobody but trusted peers says who a client is, and every message can
be followed by its id."""

import re

import pytest

from harness import App, reply

TENANTS = {"from": [{"header": "X-Tenant", "believe": "trusted"}, {"host": "{tenant}.example.com"}], "unknown": "default"}


@pytest.fixture(scope="module")
def app():
    app = App()
    yield app
    app.close()


@pytest.fixture(scope="module")
def street(module_weirs, app):
    """Towards a client that nobody trusts."""
    return module_weirs.start(app, tenants=TENANTS)


@pytest.fixture(scope="module")
def trusting(module_weirs, app):
    """127.0.0.0/8 is trusted."""
    return module_weirs.start(app, tenants=TENANTS, trusted_peers=["127.0.0.0/8"])


def seen(app, weir, *lines, method="GET", target="/", host="test"):
    """(what the app got, what the client got)"""
    app.forget()
    with weir.wire() as wire:
        wire.request(method, target, *lines, host=host)
        got = wire.reply(to=method)
    return app.requests[0], got


HOP_BY_HOP = ["Connection: x-a, keep-alive", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers",
              "Proxy-Authorization: Basic eDp5", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]


@pytest.mark.parametrize("line", HOP_BY_HOP)
def test_a_request_loses_its_hop_by_hop_fields(app, street, line):
    request, _ = seen(app, street, line, "X-Kept: 1")
    assert line.split(":")[0] not in request
    assert request["x-kept"] == "1"


@pytest.mark.parametrize("line", ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Upgrade: h2c", "TE: trailers",
                                  "Proxy-Authorization: Basic eDp5"])
def test_a_reply_loses_its_hop_by_hop_fields(start_app, start_weir, line):
    got = start_weir(start_app(reply(200, b"hello", line, "X-Kept: 1"))).get()
    assert line.split(":")[0] not in got
    assert got["x-kept"] == "1"


def test_fields_named_in_connection_are_removed_from_a_request(app, street):
    request, _ = seen(app, street, "Connection: X-A , x-b", "x-a: 1", "X-B: 2", "X-C: 3", "Connection: x-d", "X-D: 4")
    assert [name for name in ("X-A", "X-B", "X-D", "Connection") if name in request] == []
    assert request["x-c"] == "3"


def test_fields_named_in_connection_are_removed_from_a_reply(start_app, start_weir):
    weir = start_weir(start_app(reply(200, b"hello", "Connection: X-A, keep-alive", "X-A: 1", "X-B: 2")))
    got = weir.get()
    assert "x-a" not in got and "connection" not in got and got["x-b"] == "2"


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "X-Forwarded-For", "Weir-Tenant", "Via", "Cookie2", "Authorization"])
def test_connection_can_not_name_away_what_framing_and_trust_rest_on(app, street, name):
    """Framing and Host are weir's own; the rest goes, but what weir itself sets is still there."""
    app.forget()
    with street.wire() as wire:
        wire.request("POST", "/", f"Connection: {name}", body=b"hello")
        assert wire.reply().status == 200
    request = app.requests[0]
    assert request.body == b"hello"
    assert request["host"] == "test"
    assert request["x-forwarded-for"] == "127.0.0.1" and request["via"] == "1.1 weir" and request["weir-tenant"] == "default"


def test_everything_else_passes_untouched_and_in_order(app, street):
    lines = ["X-B: 2", "x-a: one", "X-A: two", "Accept: */*", "User-Agent: flow/1", "Authorization: Bearer abc", "X-Empty:", "Cookie: a=b; c=d",
             "If-None-Match: \"x\"", "Range: bytes=0-1", "Accept-Encoding: gzip", "Cache-Control: no-cache", "Origin: http://x"]
    request, _ = seen(app, street, *lines)
    for line in lines:
        name, value = line.split(":", 1)
        assert value.strip() in request.all(name), f"{line} is missing in {request}"
    passed = [field for field in request.fields if field[0] in ("X-B", "x-a", "X-A")]
    assert passed == [("X-B", "2"), ("x-a", "one"), ("X-A", "two")]


def test_reply_fields_pass_untouched_and_in_order(start_app, start_weir):
    lines = ["X-B: 2", "x-a: one", "X-A: two", "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d", "Server: app/1", "ETag: W/\"x\"",
             "Date: Sun, 06 Nov 1994 08:49:37 GMT",
             "WWW-Authenticate: Basic realm=\"a, b\""]
    got = start_weir(start_app(reply(401, b"hello", *lines, reason="Not You"))).get()
    assert got.status == 401 and got.reason == "Not You"
    names = {line.split(":")[0] for line in lines}
    assert [f"{name}: {value}" for name, value in got.fields if name in names] == lines


def test_host_and_target_are_passed_unchanged(app, street):
    request, _ = seen(app, street, target="/A%2fb//c/../d;e?q=%20&&#".rstrip("#"), host="Shop.Example.com:8080")
    assert request["host"] == "Shop.Example.com:8080"
    assert request.target == "/A%2fb//c/../d;e?q=%20&&"


def test_via_names_weir_on_both_sides(app, street):
    request, got = seen(app, street)
    assert request["via"] == "1.1 weir" and got["via"] == "1.1 weir"


def test_via_is_added_behind_the_ones_before(app, street):
    request, _ = seen(app, street, "Via: 1.0 other")
    assert request["via"] == "1.0 other, 1.1 weir"


def test_via_of_an_http_1_0_request_says_so(app, street):
    app.forget()
    with street.wire() as wire:
        wire.send(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n")
        wire.reply()
    assert app.requests[0]["via"] == "1.0 weir"
    assert app.requests[0].version == "HTTP/1.1"


def test_a_reply_has_a_date(app, street):
    _, got = seen(app, street)
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", got["date"])


# --- who the client is ---


def test_the_app_is_told_who_asked(app, street):
    request, _ = seen(app, street, host="shop.example.com:8080")
    assert request["x-forwarded-for"] == "127.0.0.1"
    assert request["x-forwarded-proto"] == "http"
    assert request["x-forwarded-host"] == "shop.example.com:8080"
    assert request["forwarded"] == 'for=127.0.0.1;host="shop.example.com:8080";proto=http'


SPOOFED = ["X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Forwarded-Port: 443", "Forwarded: for=9.9.9.9;host=evil",
           "X-Forwarded-Prefix: /evil", "X-Forwarded-Scheme: https", "X-Forwarded-Server: evil", "X-Forwarded-Ssl: on", "X-Host: evil",
           "X-HTTP-Method: DELETE", "X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE", "X-Original-Host: evil", "X-Original-URL: /evil",
           "X-Real-IP: 9.9.9.9", "X-Rewrite-URL: /evil", "Weir-Tenant: evil", "Weir-Version: evil", "Weir-Trace: 1", "X-Request-Id: evil",
           "X-Tenant: evil", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: evil=1"]


@pytest.mark.parametrize("line", SPOOFED)
def test_an_untrusted_client_can_not_say_who_it_is(app, street, line):
    name, value = line.split(": ", 1)
    request, got = seen(app, street, line)
    assert value not in request.all(name), request
    assert b"evil" not in request.head and b"9.9.9.9" not in request.head and b"0af7651916cd43dd8448eb211c80319c" not in request.head
    assert request["weir-tenant"] == "default"
    assert "weir-trace" not in got and got["x-request-id"] != "evil"


@pytest.mark.parametrize("line", SPOOFED)
def test_an_untrusted_client_can_not_say_it_in_other_spellings_either(app, street, line):
    """Apps behind CGI-like gateways read X_Forwarded_For and X-Forwarded-For as one name."""
    name, value = line.split(": ", 1)
    for spelling in (name.replace("-", "_"), name.replace("-", "_").upper(), name.replace("-", ".")):
        if spelling.lower() == name.lower():
            continue
        request, _ = seen(app, street, f"{spelling}: {value}")
        assert b"evil" not in request.head and spelling not in request, request


@pytest.mark.parametrize("name", ["Content_Length", "Transfer_Encoding", "TRANSFER_ENCODING", "content.length"])
def test_ambiguous_spellings_of_framing_never_reach_the_app(app, street, name):
    request, _ = seen(app, street, f"{name}: 5")
    assert name not in request


def test_other_names_with_underscores_pass(app, street):
    request, _ = seen(app, street, "my_own_name: 1")
    assert request["my_own_name"] == "1"


def test_a_trusted_peer_is_believed(app, trusting):
    request, got = seen(app, trusting, "X-Forwarded-For: 9.9.9.9, 8.8.8.8", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example.com",
                        "Forwarded: for=9.9.9.9;proto=https", "X-Request-Id: abc-123", "X-Tenant: acme", "X-Real-IP: 9.9.9.9",
                        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=1")
    assert request["x-forwarded-for"] == "9.9.9.9, 8.8.8.8, 127.0.0.1"
    assert request["x-forwarded-proto"] == "https"
    assert request["x-forwarded-host"] == "shop.example.com"
    assert request["forwarded"].startswith("for=9.9.9.9;proto=https, for=127.0.0.1;")
    assert request["x-request-id"] == "abc-123" and got["x-request-id"] == "abc-123"
    assert request["weir-tenant"] == "acme"
    assert request["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert request["tracestate"] == "a=1"


def test_even_a_trusted_peer_does_not_set_weirs_own_fields(app, trusting):
    request, _ = seen(app, trusting, "Weir-Tenant: evil", "Weir-Version: evil", "X-Tenant: acme")
    assert request.all("weir-tenant") == ["acme"] and "weir-version" not in request


@pytest.mark.parametrize("value", ["a" * 300, "with space", "quote\"", "ütf", "semi;colon,"])
def test_an_odd_request_id_of_a_trusted_peer_is_not_passed_on_as_it_is(app, trusting, value):
    """It goes into logs and JSON."""
    request, got = seen(app, trusting, f"X-Request-Id: {value}")
    assert request["x-request-id"] == got["x-request-id"]
    assert re.fullmatch(r"[!-~]{1,128}", got["x-request-id"]), got
    assert '"' not in got["x-request-id"]


# --- ids ---


def test_every_request_has_an_id_of_its_own(app, street):
    ids = set()
    for _ in range(20):
        request, got = seen(app, street)
        assert request["x-request-id"] == got["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", got["x-request-id"])
        ids.add(got["x-request-id"])
    assert len(ids) == 20


def test_the_id_is_in_the_access_log(app, street):
    _, got = seen(app, street, target="/logged")
    assert street.access(request_id=got["x-request-id"])["target"] == "/logged"


def test_the_app_gets_a_traceparent(app, street):
    first, _ = seen(app, street)
    second, _ = seen(app, street)
    for request in (first, second):
        assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]", request["traceparent"])
    assert first["traceparent"] != second["traceparent"]


def test_an_apps_own_request_id_does_not_replace_weirs(start_app, start_weir):
    got = start_weir(start_app(reply(200, b"hello", "X-Request-Id: from-the-app"))).get()
    assert got.all("x-request-id") != ["from-the-app"] and len(got.all("x-request-id")) == 1


# --- what is between app and weir only ---


@pytest.mark.parametrize("line", ["Weir-Position: 5", "Weir-Purge: a b", "Weir-Replay: no", "Cache-Tag: a", "Surrogate-Key: a"])
def test_what_the_app_tells_weir_does_not_reach_the_client(start_app, start_weir, line):
    name, value = line.split(": ")
    got = start_weir(start_app(reply(200, b"hello", line))).get()
    assert got.body == b"hello"
    assert value not in got.all(name)


def test_weirs_cookie_does_not_reach_the_app(app, street):
    request, _ = seen(app, street, "Cookie: a=b; weir_position=xyz; c=d")
    assert request["cookie"] == "a=b; c=d"
    request, _ = seen(app, street, "Cookie: weir_position=xyz")
    assert "cookie" not in request


def test_the_tenant_header_of_a_trusted_peer_names_the_tenant(app, trusting, street):
    assert seen(app, trusting, "X-Tenant: acme")[0]["weir-tenant"] == "acme"
    assert seen(app, street, "X-Tenant: acme")[0]["weir-tenant"] == "default"
    assert seen(app, street, "X-Tenant: evil", host="acme.example.com")[0]["weir-tenant"] == "acme"


def test_an_ipv6_client_is_quoted_in_forwarded(start_app, start_weir):
    app = start_app()
    weir = start_weir(app, listen=[{"address": "[::1]:0"}])
    assert weir.get().status == 200
    assert app.requests[0]["x-forwarded-for"] == "::1"
    assert app.requests[0]["forwarded"] == 'for="[::1]";host="test";proto=http'


def test_a_reply_head_near_the_limit_still_gets_weirs_fields(start_app, start_weir):
    lines = [f"X-Name-{number}: {'x' * 1000}" for number in range(14)]
    got = start_weir(start_app(reply(200, b"hello", *lines))).get()
    assert got.status == 200 and got.body == b"hello"
    assert len([name for name in got.names() if name.startswith("x-name-")]) == 14
    assert got["via"] == "1.1 weir"
