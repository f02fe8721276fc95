"""The leak sentinel: an answer that weir shares by its own rule, and that is not the same for everybody, is found and shared no more."""

import itertools
import json
import re
import threading

import pytest
from harness import eventually, patience, reply
from stories import Site, ask, is_hit, metrics, status, tell, total

ALICE, BOB = "User-Agent: alice", "User-Agent: bob"
RULE = {"ttl": "60s", "share": "public"}
KINDS = ("same", "changed", "inconclusive", "leak")


def watched(start, rule=None, sample=1, **config):
    return Site(start, cache={"leak_sample": sample}, routes=[{"name": "watched", "path": "/w/**", "cache": rule or RULE}], **config)


def checks(site):
    found = metrics(site.weir)
    return {kind: int(total(found, "weir_leak_checks_total", result=kind)) for kind in KINDS}


def found(site, **wanted):
    """Waits until so many checks ended so; returns all."""

    def is_there():
        now = checks(site)
        return all(now[kind] >= count for kind, count in wanted.items()) and now

    return eventually(is_there, why=f"{checks(site)}, not {wanted}")


def quarantined(site):
    return [row["route"] for row in status(site.weir)["cache"]["quarantined"]]


def personal(request):
    """An app that greets by name, and says nothing about it."""
    return reply(200, f"hello {request['user-agent']}".encode())


def leaked(site, page):
    """Two clients, and the sentinel has seen that they get different pages."""
    page.answer = personal
    assert page.get(ALICE).body == b"hello alice"
    assert page.get(BOB).body == b"hello alice", "that is the leak: it was stored"
    found(site, leak=1)
    eventually(lambda: quarantined(site) == ["watched"])


def test_a_page_that_greets_by_name_is_quarantined(start_weir):
    with watched(start_weir) as site:
        page = site.page("/w/page")
        leaked(site, page)
        row, = status(site.weir)["cache"]["quarantined"]
        line = eventually(lambda: next((line for line in site.weir.log().splitlines() if "quarantined" in line), None))
        digests = re.findall(r"\b[0-9a-f]{16}\b", line)
        assert len(digests) >= 2 and len(set(digests)) == 2, line
        assert "watched" in line and "/w/page" in line and "hello" not in line
        assert {digest for digest in digests if digest in str(row)} == set(digests), (row, line)
        assert total(metrics(site.weir), "weir_quarantined_routes") == 1
        for client in (ALICE, BOB, ALICE, BOB):
            answer = page.get(client)
            assert answer.body.decode() == client.replace("User-Agent:", "hello") and not is_hit(answer)
        other = site.page("/w/other")
        other.answer = personal
        assert [other.get(client).body for client in (ALICE, BOB)] == [b"hello alice", b"hello bob"], "the whole route"


def test_an_address_may_leak_as_well(start_weir):
    with watched(start_weir) as site:
        page = site.page("/w/page")
        page.answer = lambda request: reply(200, request["x-forwarded-for"].encode())
        page.get(source="127.0.0.2")
        assert page.get(source="127.0.0.3").body == b"127.0.0.2"
        found(site, leak=1)
        assert page.get(source="127.0.0.3").body == b"127.0.0.3"


def test_so_may_an_address_that_a_trusted_peer_says(start_weir):
    with watched(start_weir, trusted_peers=["127.0.0.1/32"]) as site:
        page = site.page("/w/page")
        page.answer = lambda request: reply(200, request["x-forwarded-for"].encode())
        page.get("X-Forwarded-For: 192.0.2.1")
        assert b"192.0.2.1" in page.get("X-Forwarded-For: 192.0.2.2").body
        found(site, leak=1)
        assert b"192.0.2.2" in page.get("X-Forwarded-For: 192.0.2.2").body


@pytest.mark.parametrize("field", ["Accept-Language", "X-Own", "Accept"])
def test_whatever_field_it_goes_by(start_weir, field):
    with watched(start_weir) as site:
        page = site.page("/w/page")
        page.answer = lambda request: reply(200, (request[field] or "-").encode())
        page.get(f"{field}: a")
        page.get(f"{field}: b")
        found(site, leak=1)


def test_what_the_app_declares_is_shared_in_quarantine_too(start_weir):
    with watched(start_weir) as site:
        leaked(site, site.page("/w/page"))
        own = site.page("/w/own").says("Cache-Control: max-age=60")
        assert [own.get(client).body for client in (ALICE, BOB)] == [b"1", b"1"]
        outside = site.page("/outside").says("Cache-Control: max-age=60")
        assert [outside.get(client).body for client in (ALICE, BOB)] == [b"1", b"1"]


def test_an_operator_lifts_it(start_weir):
    with watched(start_weir) as site:
        page = site.page("/w/page")
        leaked(site, page)
        assert ask(site.weir, "POST", "/api/routes/watched", body={"quarantine": True}).status == 400
        assert ask(site.weir, "POST", "/api/routes/nobody", body={"quarantine": False}).status == 404
        assert quarantined(site) == ["watched"]
        tell(site.weir, "/api/routes/watched", {"quarantine": False})
        assert quarantined(site) == [] and total(metrics(site.weir), "weir_quarantined_routes") == 0
        mended = site.page("/w/mended").says(body=b"equal")
        mended.get(ALICE)
        assert is_hit(mended.get(BOB))
        found(site, same=1)
        assert page.get(ALICE).status == 200
        eventually(lambda: page.get(BOB) and checks(site)["leak"] == 2)  # one check at a time: Alice's may be under way
        assert eventually(lambda: quarantined(site) == ["watched"]), "it does not forget how"


# --- what is no leak ---


def test_an_equal_answer_is_the_same(start_weir):
    with watched(start_weir) as site:
        page = site.page("/w/page").says(body=b"for everybody")
        for client in (ALICE, BOB, BOB):
            assert page.get(client).body == b"for everybody"
        found(site, same=1)
        assert checks(site)["leak"] == 0 and quarantined(site) == []
        assert is_hit(page.get(BOB))


def test_content_that_changed_is_no_leak(start_weir):
    with watched(start_weir) as site:
        page = site.page("/w/page").says(body=b"morning")
        page.get(ALICE)
        page.says(body=b"evening")
        assert page.get(BOB).body == b"morning"
        found(site, changed=1)
        assert quarantined(site) == [] and checks(site)["leak"] == 0
        assert is_hit(page.get(BOB))


def test_a_page_that_is_never_the_same_says_nothing(start_weir):
    with watched(start_weir) as site:
        nonces = itertools.count(1)
        page = site.page("/w/page")
        page.answer = lambda request: reply(200, b"nonce %d" % next(nonces))
        page.get(ALICE)
        page.get(BOB)
        found(site, inconclusive=1)
        assert quarantined(site) == [] and checks(site)["leak"] == 0
        assert is_hit(page.get(BOB))


def test_an_app_that_fails_meanwhile_says_nothing(start_weir):
    with watched(start_weir, upstream={"retries": {"attempts": 0}}) as site:
        page = site.page("/w/page").says(body=b"stored")
        page.get(ALICE)
        page.says(status=503)
        assert page.get(BOB).body == b"stored"
        found(site, inconclusive=1)
        assert quarantined(site) == []


def test_an_app_that_is_gone_meanwhile_says_nothing(start_weir):
    with watched(start_weir, upstream={"retries": {"attempts": 0}}) as site:
        page = site.page("/w/page").says(body=b"stored")
        page.get(ALICE)
        page.answer = lambda request: None
        assert page.get(BOB).body == b"stored"
        found(site, inconclusive=1)
        assert quarantined(site) == []


def test_what_the_app_says_itself_is_never_checked(start_weir):
    with watched(start_weir) as site:
        for fields in (["Cache-Control: max-age=60"], ["Cache-Control: public, s-maxage=60"], ["Expires: Fri, 01 Jan 2100 00:00:00 GMT"]):
            page = site.page(f"/w/{abs(hash(str(fields)))}")
            page.answer = lambda request, fields=fields: reply(200, request["user-agent"].encode(), *fields)
            assert [page.get(client).body for client in (ALICE, BOB, BOB)] == [b"alice"] * 3
            assert len(page.requests) == 1
        assert checks(site) == dict.fromkeys(KINDS, 0)


def test_what_varies_as_it_says_is_no_leak(start_weir):
    with watched(start_weir) as site:
        page = site.page("/w/page")
        page.answer = lambda request: reply(200, request["user-agent"].encode(), "Vary: User-Agent")
        for client in (ALICE, BOB, ALICE, BOB):
            assert page.get(client).body.decode() == client.split()[1]
        found(site, same=1)
        assert checks(site)["leak"] == 0


def test_who_is_kept_apart_is_not_checked(start_weir):
    with watched(start_weir, {"ttl": "60s", "share": "credential"}) as site:
        page = site.page("/w/page")
        page.answer = lambda request: reply(200, (request["cookie"] or "-").encode())
        for cookie in ("a", "b", "a", "b"):
            assert page.get(f"Cookie: {cookie}=1").body.decode() == f"{cookie}=1"
        assert checks(site) == dict.fromkeys(KINDS, 0)


# --- how it asks ---


def test_its_questions_reach_the_app_as_the_clients_own_did(start_weir):
    with watched(start_weir) as site:
        page = site.page("/w/page")
        page.answer = personal
        page.get(ALICE, "X-Own: a", source="127.0.0.2")
        page.get(BOB, "X-Own: b", source="127.0.0.3")
        found(site, leak=1)
        asked = [(request["user-agent"], request["x-own"], request.method) for request in page.requests]
        assert asked[0] == ("alice", "a", "GET")
        assert sorted(asked[1:]) == [("alice", "a", "GET")] * 2 + [("bob", "b", "GET")] * 2
        assert {request["if-none-match"] for request in page.requests} == {None}


def test_the_client_does_not_wait_for_it(start_weir):
    go = threading.Event()
    with watched(start_weir) as site:
        page = site.page("/w/page").says(body=b"stored")
        page.get(ALICE)

        def slow(request):
            go.wait(patience(20))
            return reply(200, b"stored")

        page.answer = slow
        assert page.get(BOB).body == b"stored"
        assert page.get(BOB).body == b"stored"
        go.set()
        found(site, same=1)


def test_only_every_nth_hit_is_looked_at(start_weir):
    with watched(start_weir, sample=10) as site:
        page = site.page("/w/page").says(body=b"the same")
        page.get(ALICE)
        for _ in range(25):
            page.get(BOB)
        found(site, same=2)
        assert len(page.requests) == 3


def test_off_is_off(start_weir):
    with watched(start_weir, sample="off") as site:
        page = site.page("/w/page")
        page.answer = personal
        for client in (ALICE, BOB, BOB):
            assert page.get(client).body == b"hello alice"
        assert len(page.requests) == 1 and checks(site) == dict.fromkeys(KINDS, 0)


# --- reloads ---


def reload(site, rule, name="watched"):
    """The file says that rule from now on."""
    config = json.loads(site.weir.file.read_text())
    config["routes"] = [{"name": name, "path": "/w/**", "cache": rule}]
    site.weir.file.write_text(json.dumps(config))
    tell(site.weir, "/api/reload", {})


def test_it_outlives_a_reload_with_the_same_rule(start_weir):
    with watched(start_weir) as site:
        page = site.page("/w/page")
        leaked(site, page)
        reload(site, RULE)
        assert quarantined(site) == ["watched"]
        assert page.get(BOB).body == b"hello bob" and page.get(ALICE).body == b"hello alice"
        reload(site, {**RULE, "tags": ["watched"]})
        assert quarantined(site) == ["watched"], "that says nothing about who may share"


@pytest.mark.parametrize("rule", [{"ttl": "60s", "share": "credential"}, {"ttl": "30s", "share": "public"}, {"ttl": "60s", "cookies": ["session"]}])
def test_another_rule_ends_it(start_weir, rule):
    with watched(start_weir) as site:
        leaked(site, site.page("/w/page"))
        reload(site, rule)
        assert quarantined(site) == []


def test_a_leak_of_what_is_guessed_fresh_is_found_too(start_weir):
    """No ttl of a route: heuristic freshness is weir's own word as well."""
    with Site(start_weir, cache={"leak_sample": 1}) as site:
        page = site.page("/plain")
        page.answer = lambda request: reply(200, request["user-agent"].encode(), "Last-Modified: Mon, 01 Jan 2001 00:00:00 GMT")
        page.get(ALICE)
        if not is_hit(page.get(BOB)):
            pytest.skip("this weir guesses nothing")
        found(site, leak=1)
        assert page.get(BOB).body == b"bob"
