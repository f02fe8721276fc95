"""Tenants over shards: each has its own upstream, with servers, replicas and plugins of its own, and all weirs agree on which."""

import itertools
import json
import subprocess

import pytest
from harness import App, reply
from harness.weir import BINARY
from stories import ask, cache_status, is_hit, metrics, named, status, total

MASK = (1 << 64) - 1
TENANTS = [f"tenant-{number}" for number in range(60)]
BY_HEADER = {"from": [{"header": "X-Tenant", "believe": "any"}]}


def mix(number):
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & MASK
    return number ^ (number >> 31)


def hash_of(name):
    number = 0xCBF29CE484222325
    for byte in name.encode():
        number = (number ^ byte) * 0x100000001B3 & MASK
    return mix(number)


def home(tenant, shards):
    """The tenant's shard, computed as plugins/README.md says and not as the plugin does."""
    weights = shards if isinstance(shards, dict) else dict.fromkeys(shards, 1)
    points = [(mix((hash_of(name) + number * 0x9E3779B97F4A7C15) & MASK), name) for name, weight in weights.items() for number in range(1, weight + 1)]
    return max((mix(hash_of(tenant) ^ point), name) for point, name in points)[1]


class Shards:
    """Up to four shards, each a primary and a replica; servers answer with their names."""

    def __init__(self, answer=named, window="1h"):
        self.window = window
        self.primaries = {f"s{number}": App(answer(f"s{number}-primary")) for number in range(1, 5)}
        self.replicas = {f"s{number}": App(answer(f"s{number}-replica")) for number in range(1, 5)}

    def config(self, names, keys, has_domains=True):
        front = {"primary": ["127.0.0.1:1"], "plugins": [{"name": "shard", **keys}]}
        rows = {name: {"primary": [self.primaries[name].address], "replicas": [self.replicas[name].address],
                       "plugins": [{"name": "rw_split", "window": self.window}], **({"domain": name} if has_domains else {})} for name in names}
        return {"tenants": BY_HEADER, "upstreams": {"front": front, **rows}, "routes": [{"path": "/**", "upstream": "front"}]}

    def close(self):
        for app in [*self.primaries.values(), *self.replicas.values()]:
            app.close()


@pytest.fixture
def shards():
    shards = Shards()
    yield shards
    shards.close()


@pytest.fixture
def start(start_weir, shards):
    """start(names, **the plugin's keys): weir in front of these shards."""

    def start(names=("s1", "s2", "s3"), **keys):
        return start_weir(**shards.config(names, {"shards": list(names), **keys}))

    return start


def reload(weir, config):
    """The same weir with another config; True if it took it."""
    whole = json.loads(weir.file.read_text())
    weir.file.write_text(json.dumps({**whole, **config}))
    return ask(weir, "POST", "/api/reload", body={})


def send(weir, tenant, target="/x", *fields, method="GET"):
    with weir.wire() as wire:
        wire.request(method, target, f"X-Tenant: {tenant}", *fields, body=b"{}" if method == "POST" else None)
        return wire.reply(method)


def who(weir, tenant, *fields, method="GET"):
    """(shard, role) of the server that answered."""
    answer = send(weir, tenant, "/x", *fields, method=method)
    assert answer.status == 200, answer
    return tuple(answer["x-app"].split("-"))


def homes(weir, tenants=tuple(TENANTS)):
    return {tenant: who(weir, tenant)[0] for tenant in tenants}


def check(tmp_path, config):
    file = tmp_path / "weir.yaml"
    file.write_text(json.dumps(config, indent=1))
    return subprocess.run([BINARY, "check", "-c", file], capture_output=True, text=True, timeout=60, check=False)


def test_tenants_are_where_the_readme_says(start):
    found = homes(start())
    assert found == {tenant: home(tenant, ["s1", "s2", "s3"]) for tenant in TENANTS}
    assert set(found.values()) == {"s1", "s2", "s3"}


def test_all_weirs_and_restarts_agree(start):
    first, second = start(), start(shards=["s3", "s1", "s2"])
    assert homes(first, TENANTS[:20]) == homes(second, TENANTS[:20])


@pytest.mark.parametrize("weights", [{"s1": "1", "s2": "4", "s3": "1"}, {"s1": 1, "s2": 4, "s3": 1}], ids=["quoted", "plain"])
def test_weights(start, weights):
    found = homes(start(shards=weights))
    assert found == {tenant: home(tenant, {name: int(weight) for name, weight in weights.items()}) for tenant in TENANTS}
    assert list(found.values()).count("s2") > 30


def test_a_pinned_tenant_is_an_exception_and_moves_nobody_else(start):
    away = next(name for name in ("s1", "s2") if name != home("acme", ["s1", "s2", "s3"]))
    weir = start(pinned={"acme": away, "big": "s2"})
    assert who(weir, "acme")[0] == away and who(weir, "big")[0] == "s2"
    assert homes(weir) == {tenant: home(tenant, ["s1", "s2", "s3"]) for tenant in TENANTS}
    found = metrics(weir)
    assert total(found, "weir_plugin_events_total", upstream="front", event="shard_pinned") == 2
    assert total(found, "weir_plugin_events_total", upstream="front", event="shard_hashed") == len(TENANTS)


def test_a_pinned_tenant_may_have_a_shard_that_no_other_has(start_weir, shards):
    weir = start_weir(**shards.config(["s1", "s2", "s4"], {"shards": ["s1", "s2"], "pinned": {"acme": "s4"}}))
    assert who(weir, "acme")[0] == "s4"
    assert set(homes(weir).values()) == {"s1", "s2"}


def test_a_shard_may_carry_the_plugin_itself(start_weir, shards):
    config = shards.config(["s1", "s2", "s3"], {"shards": ["s1", "s2", "s3"]})
    plugins = config["upstreams"].pop("front")["plugins"]
    config["upstreams"]["s1"]["plugins"] = [*plugins, {"name": "rw_split"}]
    config["routes"] = [{"path": "/**", "upstream": "s1"}]
    weir = start_weir(**config)
    assert homes(weir) == {tenant: home(tenant, ["s1", "s2", "s3"]) for tenant in TENANTS}
    of_s1 = next(tenant for tenant in TENANTS if home(tenant, ["s1", "s2", "s3"]) == "s1")
    assert who(weir, of_s1) == ("s1", "replica") and who(weir, of_s1, method="POST") == ("s1", "primary")


# --- each shard is an upstream like any other ---


def test_reads_and_writes_are_split_among_the_shards_own_servers(start):
    weir = start()
    for tenant in TENANTS[:12]:
        shard = home(tenant, ["s1", "s2", "s3"])
        assert who(weir, tenant) == (shard, "replica")
        assert who(weir, tenant, method="POST") == (shard, "primary")


def test_who_has_written_reads_his_shards_primary(start):
    weir = start()
    for tenant in TENANTS[:6]:
        shard = home(tenant, ["s1", "s2", "s3"])
        token = f"Weir-Position: {send(weir, tenant, method='POST')['weir-position']}"
        assert {who(weir, tenant, token) for _ in range(4)} == {(shard, "primary")}
        other = next(one for one in TENANTS if one != tenant and home(one, ["s1", "s2", "s3"]) == shard)
        assert who(weir, other, token) == (shard, "replica"), "another tenant's token"


def test_a_token_of_one_shard_says_nothing_on_another(start, shards):
    weir = start(pinned={"acme": "s1"})
    token = f"Weir-Position: {send(weir, 'acme', method='POST')['weir-position']}"
    assert who(weir, "acme", token) == ("s1", "primary")
    keys = {"shards": ["s1", "s2", "s3"], "pinned": {"acme": "s2"}}
    assert reload(weir, shards.config(["s1", "s2", "s3"], keys)).status == 200
    assert who(weir, "acme", token) == ("s2", "replica"), "the domain is the shard's: this is another database"


def test_a_shard_that_is_down_fails_its_own_tenants_only(start, shards):
    weir = start()
    shards.primaries["s2"].close()
    shards.replicas["s2"].close()
    for tenant in TENANTS[:20]:
        answer = send(weir, tenant)
        if home(tenant, ["s1", "s2", "s3"]) == "s2":
            assert answer.status in (502, 503), answer
        else:
            assert answer.status == 200, answer


# --- the cache ---


@pytest.fixture
def counting(start_weir):
    """A weir whose servers say who they are and how often they were asked; replies may be stored."""

    def answer(name):
        numbers = itertools.count(1)
        return lambda request: reply(200, f"{name} for {request['weir-tenant']}: {next(numbers)}".encode(), "Cache-Control: max-age=600", f"X-App: {name}")

    # What replicas say is stored once weir runs for longer than they may be behind.
    shards = Shards(answer, window="0s")
    weir = start_weir(**shards.config(["s1", "s2", "s3"], {"shards": ["s1", "s2", "s3"]}))
    weir.shards = shards
    yield weir
    shards.close()


def test_a_tenants_stored_replies_are_its_own(counting):
    first = {tenant: send(counting, tenant, "/item").body for tenant in TENANTS[:12]}
    assert len(set(first.values())) == 12
    for tenant, body in first.items():
        again = send(counting, tenant, "/item")
        assert is_hit(again) and again.body == body and f"for {tenant}:".encode() in body


def test_a_reload_that_adds_a_shard_moves_its_part_and_leaves_the_rest_with_their_cache(counting):
    before = {tenant: send(counting, tenant, "/item") for tenant in TENANTS}
    names = ["s1", "s2", "s3", "s4"]
    assert reload(counting, counting.shards.config(names, {"shards": names})).status == 200
    moved = []
    for tenant in TENANTS:
        answer = send(counting, tenant, "/item")
        was, now = before[tenant]["x-app"].split("-")[0], answer["x-app"].split("-")[0]
        assert now == home(tenant, names) and was == home(tenant, names[:3])
        if was == now:
            assert is_hit(answer) and answer.body == before[tenant].body
        else:
            moved.append(tenant)
            assert now == "s4" and not is_hit(answer), "nobody moves between the old ones, and who moves starts anew"
            assert "miss" in cache_status(answer)["fwd"]
    assert 6 <= len(moved) <= 26, "about a quarter"


def test_a_reload_back_moves_them_back(start, shards):
    weir = start()
    before = homes(weir)
    names = ["s1", "s2", "s3", "s4"]
    assert reload(weir, shards.config(names, {"shards": names})).status == 200
    assert "s4" in homes(weir).values()
    assert reload(weir, shards.config(names[:3], {"shards": names[:3]})).status == 200
    assert homes(weir) == before


def test_a_reload_that_takes_a_named_shard_away_is_refused(start, shards):
    weir = start()
    answer = reload(weir, shards.config(["s1", "s2"], {"shards": ["s1", "s2", "s3"]}))
    assert answer.status == 422 and "there is no upstream s3, did you mean s" in str(answer.json()["mistakes"])
    assert homes(weir, TENANTS[:10]) == {tenant: home(tenant, ["s1", "s2", "s3"]) for tenant in TENANTS[:10]}


def test_requests_go_on_while_shards_come_and_go(start, shards):
    weir = start()
    names = ["s1", "s2", "s3", "s4"]
    for count in (4, 3, 4, 3):
        assert reload(weir, shards.config(names, {"shards": names[:count]})).status == 200
        assert homes(weir, TENANTS[:20]) == {tenant: home(tenant, names[:count]) for tenant in TENANTS[:20]}


# --- what operators see ---


def test_check_shows_the_shards(tmp_path, shards):
    done = check(tmp_path, shards.config(["s1", "s2", "s3"], {"shards": ["s1", "s2", "s3"], "pinned": {"acme": "s2"}}))
    assert done.returncode == 0, done
    for word in ("shard", "s1", "s2", "s3", "acme"):
        assert word in done.stdout


@pytest.mark.parametrize("keys, sentence", [
    ({"shards": ["s1", "s22", "s3"]}, "shards: there is no upstream s22, did you mean s2?"),
    ({"shards": ["s1", "elsewhere"]}, "shards: there is no upstream \"elsewhere\""), ({"shards": []}, "shards is empty"), ({}, "shards is empty"),
    ({"shards": ["s1", "s1"]}, "s1 is here twice"), ({"shards": "s1"}, "shards must be a list of upstreams"),
    ({"shards": {"s1": "0"}}, "the weight of s1 must be a whole number from 1 to 100"), ({"shrads": ["s1"]}, "unknown key shrads, did you mean shards?"),
    ({"shards": ["s1"], "pinned": {"acme": "s11"}}, "pinned: acme: there is no upstream s11, did you mean s1?"),
    ({"shards": ["s1"], "pinned": ["acme"]}, "pinned must be a mapping of tenant: upstream"),
    ({"shards": ["s1"], "pinned": {"acme corp": "s1"}}, "no tenant is called \"acme corp\"")])
def test_mistakes_are_named_in_one_sentence(tmp_path, shards, keys, sentence):
    done = check(tmp_path, shards.config(["s1", "s2", "s3"], keys))
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done
    assert "plugin \"shard\" refuses its keys: " in done.stderr and sentence in done.stderr


def test_explain_names_the_tenants_shard(tmp_path, shards):
    file = tmp_path / "weir.yaml"
    file.write_text(json.dumps(shards.config(["s1", "s2", "s3"], {"shards": ["s1", "s2", "s3"], "pinned": {"acme": "s2"}})))
    for tenant in ["acme", *TENANTS[:6]]:
        done = subprocess.run([BINARY, "explain", "-c", file, "GET", "/x", "-H", f"X-Tenant: {tenant}"], capture_output=True, text=True, timeout=60,
                              check=False)
        assert done.returncode == 0, done
        shard = "s2" if tenant == "acme" else home(tenant, ["s1", "s2", "s3"])
        assert f"upstream   {shard}, as plugin shard of front says for tenant {tenant}\n           primary {shards.primaries[shard].address}, " in done.stdout
        assert "as the route says\nupstream " in done.stdout and done.stdout.count("  primary ") == 1, "the front's servers are not asked"
        assert "; plugins rw_split\nkind       read\n" in done.stdout, "and then the shard's own plugins are"


def test_the_log_and_the_status_say_which_upstream_it_was(start):
    weir = start()
    shard = home("acme", ["s1", "s2", "s3"])
    assert who(weir, "acme")[0] == shard
    assert weir.access(tenant="acme")["upstream"] == shard
    assert {"front", "s1", "s2", "s3"} <= {row["name"] for row in status(weir)["upstreams"]}


def test_the_log_and_the_trace_have_the_plugins_word_for_its_choice(start_weir, shards):
    weir = start_weir(**shards.config(["s1", "s2", "s3"], {"shards": ["s1", "s2", "s3"]}), trusted_peers=["127.0.0.0/8"])
    told = send(weir, "acme", "/read", "Weir-Trace: 1")["weir-trace"]
    assert '; role=replica; why="read"; ' in told, told
    assert weir.access(target="/read")["why"] == "read"
    token = f"Weir-Position: {send(weir, 'acme', '/written', method='POST')['weir-position']}"
    assert weir.access(target="/written")["why"] == "write"
    send(weir, "acme", "/own", token)
    assert weir.access(target="/own")["why"] == "own-write"


def test_where_no_plugin_chose_the_log_has_no_word(start_weir, shards):
    config = shards.config(["s1", "s2", "s3"], {"shards": ["s1", "s2", "s3"]})
    for name in ("s1", "s2", "s3"):
        del config["upstreams"][name]["plugins"], config["upstreams"][name]["replicas"]
    weir = start_weir(**config, trusted_peers=["127.0.0.0/8"])
    assert "why" not in send(weir, "acme", "/plain", "Weir-Trace: 1")["weir-trace"]
    assert "why" not in weir.access(target="/plain")
