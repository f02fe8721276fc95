"""The walls of the cache: tenants and users who try to read each other's answers, and clients who try to poison everybody's."""

import itertools
import json
import random
import threading

import pytest
from harness import reply
from stories import Site, is_hit, tell, together

KEPT = "Cache-Control: max-age=600"
TENANTS = {"from": [{"host": "{tenant}.api.example.com"}, {"header": "X-Tenant", "believe": "trusted"}, {"path": "/t/{tenant}/"}],
           "unknown": "default"}
ACME, OTHER = "acme.api.example.com", "other.api.example.com"
ALICE, BOB = "Cookie: session=alice", "Cookie: session=bob"
ALICE_BASIC, BOB_BASIC = "Authorization: Basic YWxpY2U6eA==", "Authorization: Basic Ym9iOng="


def who(request):
    """What an app says that believes whatever it is told: who asks, and where."""
    return "|".join(str(request[name]) for name in ("weir-tenant", "host", "cookie", "authorization")).encode()


def site_of(start, rule=None, app=None, fields=(), **config):
    """A site where every page under / says who asked for it, or what app(request) says."""
    if rule is not None:
        config["routes"] = [{"name": "walled", "path": "/**", "cache": rule}]
    site = Site(start, **config)
    page = site.page("/x")
    page.answer = app or (lambda request: reply(200, who(request), *fields))
    site.x = page
    return site


# --- two tenants ---


RULES = [None, {"ttl": "60s"}, {"ttl": "60s", "share": "tenant"}, {"ttl": "60s", "share": "credential"}, {"ttl": "60s", "cookies": ["session"]},
         {"ttl": "60s", "query": "sorted"}, {"stale_while_revalidate": "60s", "stale_if_error": "60s"}]


@pytest.mark.parametrize("rule", RULES, ids=[str(rule) for rule in RULES])
@pytest.mark.parametrize("fields", [[KEPT], ["Cache-Control: public, max-age=600"], ["Cache-Control: s-maxage=600"], [KEPT, "Vary: Accept"],
                                    ["Cache-Control: max-age=100", "Age: 100", "ETag: \"1\""]])
def test_two_tenants_never_read_each_other(start_weir, rule, fields):
    with site_of(start_weir, rule, fields=fields, tenants=TENANTS, trusted_peers=["127.0.0.2/32"]) as site:
        for _ in range(2):
            for host, name in ((ACME, b"acme"), (OTHER, b"other")):
                assert site.x.get(host=host).body.startswith(name + b"|")
        for _ in range(2):
            for name in (b"acme", b"other"):  # the same URL, and only the header tells them apart
                answer = site.ask("GET", "/x", f"X-Tenant: {name.decode()}", source="127.0.0.2")
                assert answer.body.startswith(name + b"|")


def test_a_client_can_not_choose_its_tenant_by_a_header(start_weir):
    with site_of(start_weir, fields=[KEPT], tenants=TENANTS, trusted_peers=["127.0.0.2/32"]) as site:
        assert site.ask("GET", "/x", "X-Tenant: acme", source="127.0.0.2").body.startswith(b"acme|")
        answer = site.x.get("X-Tenant: acme", "Weir-Tenant: acme")
        assert answer.body.startswith(b"default|"), "nobody believes it, and it reads nothing of acme"


def test_the_same_path_behind_two_tenants_paths(start_weir):
    tenants = {"from": [{"path": "/t/{tenant}/", "strip": True}]}
    with site_of(start_weir, fields=[KEPT], tenants=tenants) as site:
        for _ in range(2):
            for name in ("acme", "other"):
                assert site.ask("GET", f"/t/{name}/x").body.startswith(name.encode())
        assert len(site.x.requests) == 2, "what the app sees is one target, what weir stores are two"


def test_tenants_whose_names_run_into_each_other(start_weir):
    """Keys are parts, not one long text: no name and path may be read as another name and path."""
    tenants = {"from": [{"path": "/{tenant}/"}]}
    with Site(start_weir, tenants=tenants) as site:
        pages = [site.page(path).says(KEPT, body=path.encode()) for path in ("/a/b", "/ab/", "/a/", "/a-b/c", "/a/-b/c", "/a_b/c")]
        for _ in range(2):
            for page in pages:
                assert page.get().body == page.path.encode()


def test_scope_all_tenants_is_the_only_way_to_share(start_weir):
    with site_of(start_weir, {"ttl": "60s", "scope": "all_tenants"}, fields=[], tenants=TENANTS) as site:
        first = site.ask("GET", "/x", "X-None: 1", host=ACME)
        assert site.ask("GET", "/x", host=OTHER).body != first.body, "another authority is another URL even then"
        assert len(site.x.requests) == 2
    with Site(start_weir, tenants={"from": [{"header": "X-Tenant", "believe": "any"}]},
              routes=[{"path": "/**", "cache": {"ttl": "60s", "scope": "all_tenants"}}]) as site:
        page = site.page().says()
        page.get("X-Tenant: acme")
        assert page.is_reused("X-Tenant: other")
        assert not page.is_reused("X-Tenant: other", "Cookie: a=b"), "but not with credentials"


def test_a_tenants_credential_is_no_key_to_another(start_weir):
    with site_of(start_weir, {"ttl": "60s", "share": "credential"}, tenants=TENANTS) as site:
        for host, name in ((ACME, b"acme"), (OTHER, b"other")) * 2:
            assert site.x.get(ALICE, host=host).body.startswith(name)


def test_coalesced_requests_of_two_tenants_are_two_fetches(start_weir):
    with site_of(start_weir, fields=[KEPT], tenants=TENANTS, workers=2) as site:
        answers = together(20, lambda index: site.x.get(host=(ACME, OTHER)[index % 2]))
        assert all(answer.body.startswith((b"acme", b"other")[index % 2]) for index, answer in enumerate(answers))


# --- two users ---


@pytest.mark.parametrize("rule", RULES, ids=[str(rule) for rule in RULES])
@pytest.mark.parametrize("fields", [[], ["Cache-Control: private, max-age=600"], ["Cache-Control: no-store"],
                                    ["Cache-Control: max-age=600", "Set-Cookie: session=x"], ["Vary: Cookie, Authorization"],
                                    ["Last-Modified: Mon, 01 Jan 2001 00:00:00 GMT"], ["Cache-Control: no-cache", "ETag: \"1\""]],
                         ids=["silent", "private", "no-store", "set-cookie", "vary", "guess", "no-cache"])
def test_two_users_never_read_each_other(start_weir, rule, fields):
    """Whatever a route says: an answer that the app did not call public stays with who asked for it."""
    users = [(ALICE,), (BOB,), (ALICE_BASIC,), (BOB_BASIC,), (ALICE, ALICE_BASIC), (BOB, ALICE_BASIC), (ALICE, BOB_BASIC), ()]
    with site_of(start_weir, rule, fields=fields) as site:
        for user in itertools.chain(users, users, reversed(users)):
            cookie = next((field.split(": ")[1] for field in user if field.startswith("Cookie")), None)
            basic = next((field.split(": ")[1] for field in user if field.startswith("Authorization")), None)
            assert site.x.get(*user).body == f"default|test|{cookie}|{basic}".encode(), user


@pytest.mark.parametrize("rule", RULES, ids=[str(rule) for rule in RULES])
def test_what_a_user_was_told_is_never_told_to_who_is_none(start_weir, rule):
    with site_of(start_weir, rule, fields=[KEPT]) as site:
        assert b"YWxpY2" in site.x.get(ALICE_BASIC).body
        assert b"YWxpY2" not in site.x.get().body
        assert b"YWxpY2" in site.x.get(ALICE_BASIC).body, "nor the other way round"


@pytest.mark.parametrize("share", ["public", "tenant"])
def test_users_in_a_hurry_are_not_coalesced(start_weir, share):
    with site_of(start_weir, {"ttl": "60s", "share": share}, workers=2) as site:
        answers = together(20, lambda index: site.x.get(f"Cookie: session={index}"))
        assert [answer.body for answer in answers] == [f"default|test|session={index}|None".encode() for index in range(20)]


def test_users_in_a_hurry_share_only_with_themselves(start_weir):
    with site_of(start_weir, {"ttl": "60s", "share": "credential"}, workers=2) as site:
        answers = together(30, lambda index: site.x.get(f"Cookie: session={index % 3}"))
        assert [answer.body for answer in answers] == [f"default|test|session={index % 3}|None".encode() for index in range(30)]
        assert len(site.x.requests) == 3


def test_credentials_are_compared_whole(start_weir):
    pairs = ["Cookie: a=1; b=2", "Cookie: a=1", "Cookie: a=1; b=2x", "Cookie: a=", "Cookie: a", "Cookie:", "Authorization: a", "Authorization: A",
             "X-None: 1"]
    with site_of(start_weir, {"ttl": "60s", "share": "credential"}) as site:
        for pair in pairs * 2:
            name, value = pair.split(":")
            value = value.strip()
            body = site.x.get(pair).body.decode().split("|")
            seen = body[2] if name == "Cookie" else body[3] if name == "Authorization" else "None"
            assert seen == (value if name != "X-None" else "None") or (value == "" and seen in ("", "None")), (pair, body)


def test_the_cookies_that_count_are_the_credential_and_others_are_not(start_weir):
    with site_of(start_weir, {"ttl": "60s", "share": "credential", "cookies": ["session"]}) as site:
        first = site.x.get("Cookie: theme=dark; session=1")
        assert site.x.get("Cookie: session=1; theme=light").body == first.body
        assert site.x.get("Cookie: theme=dark; session=2").body != first.body
        assert site.x.get("Cookie: theme=dark").body != first.body
        assert site.x.get("Cookie: Session=1").body != first.body, "names of cookies have a case"
        assert site.x.get("Cookie: xsession=1").body != first.body


def test_set_cookie_is_not_handed_to_another_even_where_it_may_be_stored(start_weir):
    """set_cookie: store is for explicit freshness, and private still wins."""
    with Site(start_weir, cache={"set_cookie": "store"}, routes=[{"path": "/**", "cache": {"ttl": "60s"}}]) as site:
        page = site.page().says("Set-Cookie: session=alice")
        assert not page.is_kept(), "a ttl is no explicit freshness"
        page = site.page().says("Set-Cookie: session=alice", "Cache-Control: private, max-age=60")
        assert not page.is_kept()


def test_a_range_or_a_condition_is_no_way_around(start_weir):
    with site_of(start_weir, {"ttl": "60s", "share": "credential"}, app=lambda request: reply(200, who(request), "ETag: \"same\"")) as site:
        alice = site.x.get(ALICE).body
        part = site.x.get(BOB, "Range: bytes=0-999")
        assert part.body != alice[:1000]
        assert site.x.get("If-None-Match: \"same\"", "Range: bytes=0-3").body != alice[:4] or alice[:4] == b"defa"
        for user in (ALICE, BOB):
            assert user.split("=")[1].encode() in site.x.get(user).body


def test_stale_answers_of_one_user_do_not_stand_in_for_another(start_weir):
    rule = {"ttl": "60s", "share": "credential", "stale_if_error": "10m"}
    with site_of(start_weir, rule, upstream={"retries": {"attempts": 0}}) as site:
        site.x.get(ALICE)
        tell(site.weir, "/api/purge", {"all": True, "soft": True})
        site.x.says("Cache-Control: no-store", status=503)
        assert site.x.get(BOB).status == 503 and site.x.get().status == 503
        assert b"alice" in site.x.get(ALICE).body


def test_a_background_fetch_for_one_user_is_not_stored_for_all(start_weir):
    """stale-while-revalidate on a public answer: the revalidation that a user set off must not bring the user's own page to everybody."""

    def answer(request):
        if request["cookie"] or request["authorization"]:
            return reply(200, who(request), "Cache-Control: private")
        return reply(200, who(request), "Cache-Control: public, max-age=100, stale-while-revalidate=600", "Age: 100")

    with site_of(start_weir, app=answer) as site:
        site.x.get()
        for user in (ALICE, BOB_BASIC):
            site.x.get(user)
        for _ in range(5):
            assert b"alice" not in site.x.get().body and b"Basic" not in site.x.get().body


# --- everything at once ---


class Shop:
    """An app with numbered items of several tenants, each kind with its own word about caching. A write makes an item's version grow. Some
    reads fail."""

    KINDS = {"plain": [KEPT], "private": ["Cache-Control: private, max-age=600"], "silent": [], "language": [KEPT, "Vary: X-Language"],
             "validated": ["Cache-Control: no-cache"], "behind": ["Cache-Control: max-age=100, stale-while-revalidate=600", "Age: 100"],
             "tagged": [KEPT, "Cache-Tag: item"], "no-store": ["Cache-Control: no-store"], "cookie": [KEPT, "Set-Cookie: seen=1"],
             "by-cookie": [KEPT, "Vary: Cookie"]}
    PERSONAL = ("private", "silent", "no-store", "cookie", "by-cookie")

    def __init__(self, seed):
        self.lock = threading.Lock()
        self.versions = {}
        self.chance = random.Random(seed)

    def __call__(self, request):
        kind = request.target.split("/")[2]
        luck = self.chance.random()
        if request.method != "POST" and luck < 0.04:
            return None if luck < 0.02 else reply(503, b"no", "Cache-Control: no-store")
        with self.lock:
            key = (request["weir-tenant"], request.target)
            if request.method == "POST":
                self.versions[key] = self.versions.get(key, 0) + 1
            version = self.versions.get(key, 0)
        said = {"tenant": request["weir-tenant"], "user": request["cookie"], "language": request["x-language"], "version": version}
        etag = f"ETag: \"{request['weir-tenant']}-{version}\""
        if request.method == "POST":
            return reply(200, json.dumps(said).encode(), "Weir-Purge: item")
        if kind == "validated" and request["if-none-match"] == etag.split(": ")[1]:
            return reply(304, b"", etag, *self.KINDS[kind], length=False)
        fields = [*self.KINDS[kind], *[etag] * (kind == "validated")]
        body = json.dumps(said).encode()
        if request.method == "HEAD":
            return reply(200, b"", *fields, f"Content-Length: {len(body)}", length=False)
        return reply(200, body, *fields)


@pytest.mark.parametrize("rule", [None, {"ttl": "60s", "share": "credential"}, {"ttl": "60s"}], ids=["plain", "credential", "public"])
def test_whatever_happens_at_once_nobody_reads_what_is_not_his_or_older_than_his_own_write(start_weir, rule):
    """Readers, writers and purges of two tenants and several users on two workers; some leave early, some answers fail. Who was told that his
    write is done never reads less than it."""
    seed = random.randrange(1 << 32)
    shop = Shop(seed)
    acked = {}
    with site_of(start_weir, rule, tenants=TENANTS, workers=2) as site:
        site.pages = {"/shop": shop}

        def live(index):
            chance = random.Random(seed + index)
            tenant, user = ("acme", "other")[index % 2], f"session=user{index}"
            for _ in range(60):
                kind = chance.choice(sorted(shop.KINDS))
                target, host = f"/shop/{kind}/{chance.randrange(2)}", f"{tenant}.api.example.com"
                at_least = acked.get((tenant, target), 0)
                if chance.random() < 0.15:
                    said = site.ask("POST", target, f"Cookie: {user}", host=host, body=b"").json()
                    acked[tenant, target] = max(acked.get((tenant, target), 0), said["version"])
                    continue
                if chance.random() < 0.05:
                    tell(site.weir, "/api/purge", chance.choice([{"tag": "item"}, {"all": True, "soft": True}, {"prefix": "/shop/plain"}]))
                language = chance.choice([None, "de", "en"])
                is_known = chance.random() < 0.7
                fields = [f"Cookie: {user}"] * is_known + [f"X-Language: {language}"] * bool(language)
                whim = chance.random()
                if whim < 0.06:
                    with site.weir.wire() as wire:
                        wire.request("GET", target, *fields, host=host)
                        wire.reset()
                    continue
                if whim < 0.12:
                    assert site.ask("HEAD", target, *fields, host=host).status in (200, 502, 503)
                    continue
                answer = site.ask("GET", target, *fields, *["Range: bytes=0-9999"] * (whim > 0.9), host=host)
                if answer.status in (502, 503):
                    continue
                said = answer.json()
                why = f"seed {seed}: {target} of {tenant} for {user if is_known else None} at least {at_least}: {answer}"
                assert said["tenant"] == tenant, why
                assert said["version"] >= at_least, why
                if kind in shop.PERSONAL:
                    assert said["user"] == (user if is_known else None), why
                if kind == "language":
                    assert said["language"] == language, why

        together(8, live)


# --- poisoning ---


UNKEYED = ["X-Forwarded-Host: evil.example.com", "X-Forwarded-Proto: https", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Prefix: /evil",
           "X-Forwarded-Port: 1", "X-Forwarded-Scheme: https",
           "X-Forwarded-Server: evil", "X-Forwarded-Ssl: on", "X-Host: evil.example.com", "X-Original-URL: /evil", "X-Rewrite-URL: /evil",
           "X-Original-Host: evil.example.com",
           "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE", "Forwarded: host=evil.example.com",
           "X-Real-IP: 1.2.3.4",
           "Weir-Tenant: evil", "Weir-Version: evil", "X-Request-Id: evil", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]
PERSONAL = ("X-Forwarded-For", "X-Real-IP", "X-Request-Id", "traceparent")  # a trusted peer sends them with each request: who asks, not what for


@pytest.mark.parametrize("rule", [None, {"ttl": "60s"}], ids=["plain", "ttl"])
@pytest.mark.parametrize("field", UNKEYED)
@pytest.mark.parametrize("trusted", [False, True], ids=["stranger", "trusted"])
def test_what_is_in_no_key_never_changes_what_others_get(walled, rule, field, trusted):
    """The app of this test repeats what it is told: nobody else may ever read it. From a stranger such fields are taken off; a trusted peer may
    mean them, but then the answer is not for others."""
    site = walled[bool(rule)]
    name, value = field.split(": ", 1)
    if trusted and name in PERSONAL:
        return
    page = site.page()
    page.answer = lambda request: reply(200, (request[name] or "").encode(), *([] if rule else [KEPT]))
    site.ask("GET", page.path, field, source="127.0.0.2" if trusted else "127.0.0.1")
    for source in ("127.0.0.1", "127.0.0.2"):
        answer = site.ask("GET", page.path, source=source)
        assert value.encode() not in answer.body, answer
        assert b"evil" not in answer.body


@pytest.fixture(scope="module")
def walled(module_weirs):
    sites = [Site(module_weirs.start, trusted_peers=["127.0.0.2/32"]),
             Site(module_weirs.start, trusted_peers=["127.0.0.2/32"], routes=[{"path": "/**", "cache": {"ttl": "60s"}}])]
    yield sites
    for site in sites:
        site.close()


@pytest.mark.parametrize("field", ["X-HTTP-Method-Override: DELETE", "X-HTTP-Method: POST", "X-Method-Override: PUT"])
def test_an_override_of_the_method_is_no_read(walled, field):
    page = walled[0].page().says(KEPT)
    page.get()
    answer = walled[0].ask("GET", page.path, field, source="127.0.0.2")
    assert not is_hit(answer), "what the app does with it may be a write"
    assert page.is_reused()


def test_the_forwarded_host_of_a_trusted_peer_is_part_of_the_key(walled):
    page = walled[0].page()
    page.answer = lambda request: reply(200, (request["x-forwarded-host"] or request["host"]).encode(), KEPT)
    for host in ("one.example.com", "two.example.com") * 2:
        answer = walled[0].ask("GET", page.path, f"X-Forwarded-Host: {host}", source="127.0.0.2")
        assert host.encode() in answer.body
    assert len(page.requests) == 2, "each is stored by that name, whatever its Host"
    assert page.get().body == b"test"


def test_an_absolute_target_and_its_host_are_one_key(walled):
    page = walled[0].page()
    page.answer = lambda request: reply(200, request["host"].encode(), KEPT)
    with walled[0].weir.wire() as wire:
        wire.request("GET", f"http://one.example.com{page.path}", host="one.example.com")
        assert wire.reply().body == b"one.example.com"
        wire.request("GET", f"http://two.example.com{page.path}", host="one.example.com")
        answer = wire.reply()
        assert answer.status == 400 or answer.body == b"two.example.com", "RFC 9112 3.2.2: the target's authority counts"
        wire.close()
    assert page.get(host="one.example.com").body == b"one.example.com"


@pytest.mark.parametrize("host", ["test", "TEST", "test:80", "Test:80"])
def test_hosts_that_are_the_same_are_one_key(walled, host):
    page = walled[0].page().says(KEPT)
    page.get()
    assert page.is_reused(host=host)


@pytest.mark.parametrize("host", ["test:8080", "test.evil.example", "est"])
def test_hosts_that_are_not_the_same_are_not(walled, host):
    page = walled[0].page().says(KEPT)
    page.get()
    assert not page.is_reused(host=host)


@pytest.mark.parametrize("tail", ["/../x", "/%2e%2e/x", ";x", "/x;jsessionid=1.css", "//x", "/x%00.css", "/x%0a", "/%2fx", "\\x"])
def test_a_ttl_is_not_for_paths_that_the_app_may_read_otherwise(walled, tail):
    page = walled[1].page()
    page.says()
    answers = [page.get(tail=tail) for _ in range(2)]
    assert all(answer.status == 400 for answer in answers) or not is_hit(answers[1]) or tail in ("/x%00.css", "/x%0a")


def test_deception_by_a_suffix_needs_the_app_to_say_so(walled):
    """/account/x.css answered with the account's page: nothing makes it cacheable but the app, and a ttl only for who brings no credential."""
    page = walled[1].page()
    page.answer = lambda request: reply(200, who(request), "Content-Type: text/html")
    page.get(ALICE, tail="/x.css")
    assert b"alice" not in page.get(tail="/x.css").body
    assert b"alice" not in page.get(BOB, tail="/x.css").body


def test_an_error_that_one_client_provoked_is_not_everybodys(walled):
    """A request that the app refuses for its own fields' sake: without explicit freshness the refusal is not stored."""
    for number, site in enumerate(walled):
        page = site.page()
        page.answer = lambda request: reply(400, b"bad") if request["x-bad"] else reply(200, b"good", KEPT)
        assert page.get("X-Bad: 1").status == 400
        assert page.get().status == 200, number


def test_two_bodies_in_one_reply_poison_nothing(start_weir, start_app):
    """What an app sends behind its reply is not the next one's answer."""

    def script(peer):
        while request := peer.read_head():
            body = request.target.encode()
            extra = b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nevil" if request.target == "/first" else b""
            peer.send(reply(200, body, KEPT) + extra)

    app = start_app(None, script)
    weir = start_weir(app)
    with weir.wire() as wire:
        for target in ("/first", "/second", "/third", "/second"):
            wire.request("GET", target)
            answer = wire.reply()
            assert answer.body == target.encode()
    assert weir.get("/second").body == b"/second"


def test_fields_with_line_ends_in_them_are_never_stored(start_weir, start_app):
    def script(peer):
        while peer.read_head():
            peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: max-age=600\r\nX-Bad: a\nSet-Cookie: evil=1\r\nContent-Length: 1\r\n\r\nx")

    app = start_app(None, script)
    weir = start_weir(app, upstream={"retries": {"attempts": 0}})
    for _ in range(2):
        answer = weir.get("/x")
        assert answer.status == 502 and "set-cookie" not in answer


def test_versions_and_canaries_are_apart(start_weir, start_app):
    old, new = start_app(reply(200, b"old", KEPT)), start_app(reply(200, b"new", KEPT))
    weir = start_weir(None, upstreams={"old": {"primary": [old.address]}, "new": {"primary": [new.address]}},
                      versions={"from": [{"header": "API-Version"}], "default": "v1",
                                "known": {"v1": {"upstream": "old"}, "v2": {"upstream": "new"}}})
    for _ in range(2):
        assert weir.get("/x", "API-Version: v1").body == b"old"
        assert weir.get("/x", "API-Version: v2").body == b"new"
        assert weir.get("/x").body == b"old"
    assert len(old.requests) == len(new.requests) == 1


def test_two_routes_rules_do_not_share_what_they_should_not(start_weir):
    """A request that its route stores apart by credential never meets what another route's rule stored."""
    routes = [{"name": "apart", "path": "/x", "methods": ["GET"], "host": "one.example.com", "cache": {"ttl": "60s", "share": "credential"}},
              {"name": "open", "path": "/x", "cache": {"ttl": "60s"}}]
    with Site(start_weir, routes=routes) as site:
        page = site.page("/x")
        page.answer = lambda request: reply(200, who(request))
        assert b"alice" in page.get(ALICE, host="one.example.com").body
        assert b"alice" not in page.get(host="one.example.com").body
        assert b"alice" not in page.get(BOB, host="one.example.com").body
        assert b"alice" not in page.get().body
