"""What a client's tokens promise when several of them are on their way: requests that overtake each other, tenants, upstreams and lines beside each other."""

import json
import time

import pytest
from harness import eventually, reply
from stories import is_hit, tell
from test_rw_split_positions import HEALTH, Later, Trio, ask, readers, start  # noqa: F401

RIGHT = {"wait": "0s", "primary_read_share": "100%"}
TENANTS = {"tenants": {"from": [{"header": "X-Tenant", "believe": "any"}]}}


class Jar:
    """A browser's: the last Set-Cookie of a name wins, whatever was asked for first."""

    def __init__(self):
        self.cookies = {}

    def take(self, answer):
        for name, value in answer.fields:
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.split(";")[0]
        return answer

    def field(self):
        return "Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items())


def token(answer):
    assert answer["weir-position"], answer
    return answer["weir-position"]


# --- one browser, several requests ---


def slowly(server, seconds=0.6):
    server.other = lambda request: time.sleep(seconds) if request.target == "/slow" else None


def test_a_slow_read_does_not_take_a_browsers_write_away(start):
    weir = start(**RIGHT)
    for replica in weir.trio.replicas:
        slowly(replica)
    jar = Jar()
    read = Later(ask, weir, "GET", "/slow")  # it has no cookie yet
    time.sleep(0.2)
    jar.take(ask(weir, "POST"))
    jar.take(read.result())
    assert len(jar.cookies) == 2, jar.cookies
    assert readers(weir, jar.field(), count=6) == {"primary"}, "no replica has replayed the write"
    weir.trio.catch_up()
    eventually(lambda: "primary" not in readers(weir, jar.field(), count=4))


def test_of_two_writes_the_slower_ones_token_says_as_much(start):
    weir = start(**RIGHT)
    primary = weir.trio.primary

    def slow(request):
        if request.target == "/slow":
            primary.at += 10
            landed = primary.position
            time.sleep(0.6)
            return reply(200, b"", f"Weir-Position: {landed}")

    primary.other = slow
    jar = Jar()
    first = Later(ask, weir, "POST", "/slow")
    time.sleep(0.2)
    jar.take(ask(weir, "POST"))
    jar.take(first.result())
    for replica in weir.trio.replicas:
        replica.at = 110  # the first write, and not the second
    time.sleep(0.5)
    assert readers(weir, jar.field(), count=6) == {"primary"}


# --- one browser, several cookies and tenants ---


@pytest.mark.parametrize("fields", [
    ["Cookie: weir_position=junk; weir_position={t}"],
    ["Cookie: weir_position={t}; weir_position=junk"],
    ["Cookie: weir_position={t}", "Cookie: weir_position=junk"],
    ["Cookie: weir_position=junk~junk~junk", "Cookie: theme=dark; weir_wrote={t}"],
    ["Weir-Position: junk", "Weir-Position: {t}"],
    ["Weir-Position: {t}", "Weir-Position: junk", "Cookie: weir_position=junk"],
    ["Weir-Position: " + "junk," * 40 + "{t}"],
])
def test_no_other_cookie_or_line_hides_a_token(start, fields):
    weir = start(consistency="window", window="1h")
    t = token(ask(weir, "POST"))
    assert readers(weir, *(field.format(t=t) for field in fields), count=4) == {"primary"}


def test_a_browser_at_two_tenants_of_one_host_keeps_both_tokens(start):
    weir = start(**RIGHT, config=TENANTS)
    jar = Jar()
    jar.take(ask(weir, "POST", "/x", "X-Tenant: acme"))
    jar.take(ask(weir, "POST", "/x", "X-Tenant: beta", jar.field()))
    for _ in range(3):
        jar.take(ask(weir, "GET", "/x", "X-Tenant: beta", jar.field()))
    assert readers(weir, "X-Tenant: acme", jar.field(), count=4) == {"primary"}
    assert readers(weir, "X-Tenant: beta", jar.field(), count=4) == {"primary"}
    weir.trio.catch_up()
    eventually(lambda: "primary" not in readers(weir, "X-Tenant: acme", jar.field(), count=4))


# --- reading is not writing ---


def test_on_routes_of_a_window_who_only_reads_reads_from_replicas_and_the_cache(start):
    def before(trio):
        trio.each(fields=["Cache-Control: max-age=600"])

    weir = start(before, **RIGHT, window="1s", config={"routes": [{"path": "/window/**", "consistency": "window"}]})
    eventually(lambda: is_hit(ask(weir, "GET", "/window/x")), why="a window after the start replicas' replies are stored")
    read = token(ask(weir, "GET", "/by-position"))
    answer = ask(weir, "GET", "/window/x", f"Weir-Position: {read}")
    assert is_hit(answer), answer
    assert ask(weir, "GET", "/window/y", f"Weir-Position: {read}")["x-app"] != "primary"

    wrote = token(ask(weir, "POST", "/elsewhere"))
    weir.trio.primary.at += 10
    read = token(ask(weir, "GET", "/by-position-too", f"Weir-Position: {wrote}"))
    assert read != wrote
    answer = ask(weir, "GET", "/window/x", f"Weir-Position: {read}")
    assert not is_hit(answer) and answer["x-app"] == "primary", "a write stays one, however much is read since"


# --- strict: one domain, several upstreams ---


def versions(trio):
    upstream = {"primary": [trio.primary.address], "replicas": [one.address for one in trio.replicas], "health": HEALTH,
                "plugins": [{"name": "rw_split", "consistency": "strict", **RIGHT}]}
    return {"upstreams": {"one": upstream, "two": upstream},
            "versions": {"from": [{"path": "/{version}/", "strip": True}], "default": "v1", "known": {"v1": {"upstream": "one"}, "v2": {"upstream": "two"}}}}


@pytest.fixture
def trio():
    trio = Trio()
    yield trio
    trio.close()


def readers_of(weir, version):
    return {ask(weir, "GET", f"/{version}/x")["x-app"] for _ in range(4)}


def test_strict_shows_what_was_written_through_another_version(start_weir, trio):
    weir = start_weir(**versions(trio))
    for version in ("v1", "v2"):
        eventually(lambda version=version: "primary" not in readers_of(weir, version))
    assert ask(weir, "POST", "/v1/x").status == 200
    assert readers_of(weir, "v2") == {"primary"}
    assert readers_of(weir, "v1") == {"primary"}
    trio.catch_up()
    eventually(lambda: "primary" not in readers_of(weir, "v2"))


def test_strict_shows_a_write_that_was_on_its_way_over_a_reload(start_weir, trio):
    config = versions(trio)
    slowly(trio.primary, 2)
    weir = start_weir(**config)
    eventually(lambda: "primary" not in readers_of(weir, "v1"))
    written = Later(ask, weir, "POST", "/v1/slow")
    time.sleep(0.3)
    config["upstreams"]["one"]["plugins"][0]["window"] = "7s"  # other keys: another instance
    file = json.loads(weir.file.read_text())
    weir.file.write_text(json.dumps({**file, "upstreams": config["upstreams"]}))
    tell(weir, "/api/reload", {})
    eventually(lambda: "primary" not in readers_of(weir, "v1"))
    assert not written.is_here(), "the machine is too slow for this story"
    assert written.result().status == 200
    assert readers_of(weir, "v1") == {"primary"}


# --- what the primary said is as old as its question ---


@pytest.mark.parametrize("consistency", ["position", "strict"])
def test_a_primarys_reply_that_was_stored_before_a_write_was_acknowledged_is_not_the_writers(start, consistency):
    """A commit stands in the primary's log before anybody can see it: a reply may show less than the position that the primary had reached."""

    def before(trio):
        trio.each(fields=["Cache-Control: max-age=600"])

    weir = start(before, consistency=consistency, **RIGHT)
    primary = weir.trio.primary
    primary.at = 200
    eventually(lambda: ask(weir, "POST", "/x")["weir-position"])  # what is read now is read there
    someone = token(ask(weir, "POST", "/x"))
    time.sleep(0.3)
    assert ask(weir, "GET", "/hot", f"Weir-Position: {someone}")["x-app"] == "primary"
    primary.other = lambda request: reply(200, b"", "Weir-Position: 0/96") if request.target == "/waits" else None  # 150: it was written long ago
    writer = token(ask(weir, "POST", "/waits"))
    answer = ask(weir, "GET", "/hot", f"Weir-Position: {writer}")
    assert not is_hit(answer), answer


# --- a method by another name ---


def test_a_get_that_is_to_be_a_delete_writes(start):
    weir = start(**RIGHT)
    answer = ask(weir, "GET", "/x", "X-HTTP-Method-Override: DELETE")
    assert answer["x-app"] == "primary" and answer["weir-position"]
    assert ask(weir, "GET", "/x", "X-HTTP-Method-Override: GET")["x-app"] != "primary"


# --- Fly's word ---


@pytest.mark.parametrize("word, is_primarys", [("region=iad", True), ("instance=00bb33ff;state=x", True), ("app=billing", False), ("elsewhere=true", False)])
def test_fly_replay_of_a_place_is_the_primarys(start, word, is_primarys):
    weir = start(**RIGHT)
    for replica in weir.trio.replicas:
        replica.other = lambda request: reply(409, b"", f"fly-replay: {word}")
    assert ask(weir, "GET", "/x").status == (200 if is_primarys else 409)
