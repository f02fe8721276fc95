"""Positions that the app itself tells: who may be asked, who waits, what the cache may answer. No database: servers come as far as the test says."""

import json
import threading
import time

import pytest
from harness import App, eventually, patience, reply
from stories import cache_status, is_hit, metrics, status, total

HEALTH = {"path": "/healthz", "interval": "100ms", "timeout": "2s", "rise": 1, "fall": 3}
NEVER = "30s"  # a test that waits so long has failed


class Server:
    """An app that is told how far it has come, and tells it on."""

    def __init__(self, name, is_primary=False):
        self.name = name
        self.is_primary = is_primary
        self.at = 100
        self.epoch = ""
        self.says = "both"  # where it tells: both (fields of all replies), json (a member of the health reply), nowhere
        self.fields = ["Cache-Control: no-store"]
        self.other = None  # answers in its place what is not health
        self.before_reply = None
        self.app = App(self._answer)

    @property
    def address(self):
        return self.app.address

    @property
    def position(self):
        return f"{self.epoch}{self.at >> 32:X}/{self.at & 0xffffffff:X}"

    def _told(self):
        return [f"Weir-Position: {self.position}"] if self.says == "both" else []

    def _answer(self, request):
        if request.target == "/healthz":
            body = b'{"replication": {"position": "%s"}}' % self.position.encode() if self.says == "json" else b"fine"
            return reply(200, body, *self._told(), "Content-Type: application/json")
        said = self.other(request) if self.other else None
        if said:
            return said
        at = self.at
        if self.before_reply:
            self.before_reply()
        if self.is_primary and request.method not in ("GET", "HEAD"):
            self.at += 10
        return reply(200, f"{self.name} {at}".encode(), f"X-App: {self.name}", *self.fields, *self._told())

    def asked(self):
        """What came, without health checks."""
        return [request for request in self.app.requests if request.target != "/healthz"]


class Trio:
    def __init__(self):
        self.primary = Server("primary", is_primary=True)
        self.replicas = [Server("replica1"), Server("replica2")]
        self.all = [self.primary, *self.replicas]

    def each(self, **values):
        for server in self.all:
            for key, value in values.items():
                setattr(server, key, value)

    def catch_up(self, *replicas):
        for replica in replicas or self.replicas:
            replica.at = max(replica.at, self.primary.at)
            replica.epoch = self.primary.epoch

    def close(self):
        for server in self.all:
            server.app.close()


@pytest.fixture
def start(start_weir):
    """start(key=value of the plugin, ..., upstream=, config=): a weir before a trio, weir.trio, that knows how far each has come."""
    trios = []

    def start(before=None, upstream=None, config=None, knows=True, **plugin):
        trio = Trio()
        trios.append(trio)
        if before:
            before(trio)
        upstream = {"primary": [trio.primary.address], "replicas": [one.address for one in trio.replicas], "health": HEALTH,
                    "plugins": [{"name": "rw_split", "consistency": "position", **plugin}], **(upstream or {})}
        weir = start_weir(upstreams={"app": upstream}, trusted_peers=["127.0.0.0/8"], **(config or {}))
        weir.trio = trio
        if knows:
            for server in trio.all:
                eventually(lambda server=server: len(server.app.requests) >= 2, why="no health check came")
        return weir

    yield start
    for trio in trios:
        trio.close()


def ask(weir, method="GET", target="/x", *fields, body=None):
    with weir.wire() as wire:
        wire.request(method, target, *fields, body=body if body is not None or method in ("GET", "HEAD") else b"{}")
        return wire.reply(method)


def token_of(answer):
    assert answer.status == 200 and answer["weir-position"], answer
    return f"Weir-Position: {answer['weir-position']}"


def write(weir, *fields, target="/x"):
    return token_of(ask(weir, "POST", target, *fields))


def readers(weir, *fields, count=8):
    answers = [ask(weir, "GET", "/x", *fields) for _ in range(count)]
    assert {answer.status for answer in answers} == {200}, answers
    return {answer["x-app"] for answer in answers}


def events(weir, event):
    return total(metrics(weir), "weir_plugin_events_total", event=event)


class Later:
    """A request that is on its way: its reply is had in the end."""

    def __init__(self, ask, *arguments, **options):
        self.began = time.monotonic()
        self.took = None
        self.answer = None
        self.thread = threading.Thread(target=self._run, args=(ask, arguments, options), daemon=True)
        self.thread.start()

    def _run(self, ask, arguments, options):
        self.answer = ask(*arguments, **options)
        self.took = time.monotonic() - self.began

    def is_here(self):
        return self.took is not None

    def result(self):
        self.thread.join(patience(20))
        assert self.answer is not None, "no answer came"
        return self.answer


# --- who may be asked ---


def test_who_wrote_nothing_reads_from_any_replica(start):
    weir = start()
    assert readers(weir) == {"replica1", "replica2"}


def test_who_wrote_reads_from_the_primary_while_replicas_are_behind(start):
    weir = start(wait="0s", primary_read_share="100%")
    token = write(weir)
    assert readers(weir, token) == {"primary"}
    assert readers(weir) == {"replica1", "replica2"}, "others go on reading from replicas"


def test_who_wrote_reads_from_the_replica_that_has_his_write(start):
    weir = start(wait=NEVER)
    token = write(weir)
    weir.trio.catch_up(weir.trio.replicas[1])
    assert readers(weir, token) == {"replica2"}
    weir.trio.catch_up()
    eventually(lambda: "replica1" in readers(weir, token))


def test_it_is_no_matter_of_time(start):
    """A write of long ago is as new as ever, while no replica has it."""
    weir = start(wait="0s", window="1ms", primary_read_share="100%")
    token = write(weir)
    time.sleep(0.3)
    assert readers(weir, token) == {"primary"}


def test_a_health_replys_member_tells(start):
    weir = start(lambda trio: trio.each(says="json"), position_field="replication.position", wait="0s", primary_read_share="100%")
    token = write(weir)
    assert readers(weir, token) == {"primary"}, "nobody said where the write landed: at the primary's next figure at the latest"
    weir.trio.catch_up()
    eventually(lambda: "primary" not in readers(weir, token), why="both replicas have it")


@pytest.mark.parametrize("forms", [("{:d}", "{:d}"), ("3:{:d}", "3:{:d}"), ("0/{:X}", "0/{:x}")])
def test_forms_of_a_position(start, forms, monkeypatch):
    monkeypatch.setattr(Server, "position", property(lambda self: forms[not self.is_primary].format(self.at)))
    weir = start(wait="0s", primary_read_share="100%")
    token = write(weir)
    assert readers(weir, token) == {"primary"}
    weir.trio.catch_up()
    eventually(lambda: "primary" not in readers(weir, token))


@pytest.mark.parametrize("word", ["nonsense", "", "-1", "18446744073709551616", "1/2/3", "0/100000000", "1:2:3", pytest.param("x" * 4000, id="long")])
def test_what_is_no_position_says_nothing(start, word, monkeypatch):
    monkeypatch.setattr(Server, "position", property(lambda self: word))
    weir = start(window="1h", wait="0s", primary_read_share="100%")
    assert readers(weir) == {"replica1", "replica2"}
    token = write(weir)
    assert readers(weir, token, count=4) == {"primary"}, "as with a window: nothing is known"


def test_a_route_may_want_less(start):
    weir = start(wait="0s", primary_read_share="100%", config={"routes": [{"path": "/loose/**", "consistency": "none"}]})
    token = write(weir)
    assert readers(weir, token, count=4) == {"primary"}
    assert all(ask(weir, "GET", "/loose/x", token)["x-app"] != "primary" for _ in range(6))


# --- monotonic reads ---


def test_a_clients_reads_never_go_back(start):
    weir = start(wait=NEVER)
    ahead, behind = weir.trio.replicas
    ahead.at = 500
    answers = [ask(weir) for _ in range(10)]
    tokens = {answer["x-app"]: token_of(answer) for answer in answers}
    assert set(tokens) == {"replica1", "replica2"}
    eventually(lambda: readers(weir, tokens["replica1"]) == {"replica1"})
    assert "replica2" in readers(weir, tokens["replica2"]), "who saw less may read where less is"
    behind.at = 500
    eventually(lambda: "replica2" in readers(weir, tokens["replica1"]))


def test_who_was_answered_by_the_primary_does_not_go_back_either(start):
    weir = start(wait="0s", primary_read_share="100%")
    token = write(weir)
    weir.trio.primary.at = 900
    answer = ask(weir, "GET", "/x", token)
    assert answer["x-app"] == "primary"
    later = token_of(answer)
    for replica in weir.trio.replicas:
        replica.at = 110
    eventually(lambda: "primary" not in readers(weir, token), why="replicas have the write")
    assert readers(weir, later) == {"primary"}, "but not what this client has read since"


# --- waiting ---


def test_a_read_waits_for_a_replica_and_is_woken(start):
    weir = start(wait="30s")
    token = write(weir)
    waiting = Later(ask, weir, "GET", "/x", token)
    time.sleep(0.2)
    assert not waiting.is_here()
    assert weir.trio.primary.asked()[-1].method == "POST"
    weir.trio.catch_up(weir.trio.replicas[0])
    assert waiting.result()["x-app"] == "replica1"
    assert waiting.took < patience(5)


def test_a_read_waits_no_longer_than_it_may(start):
    weir = start(wait="300ms")
    token = write(weir)
    waiting = Later(ask, weir, "GET", "/x", token)
    assert waiting.result()["x-app"] == "primary"
    assert 0.25 < waiting.took < patience(2)


def test_beyond_its_share_of_the_primary_a_read_is_refused(start):
    weir = start(wait="0s", primary_read_share="1%")
    token = write(weir)
    answers = [ask(weir, "GET", "/x", token) for _ in range(200)]
    good = [answer for answer in answers if answer.status == 200]
    bad = [answer for answer in answers if answer.status != 200]
    assert good and {answer["x-app"] for answer in good} == {"primary"}
    assert bad, "lag must not turn into an outage of the primary"
    for answer in bad:
        assert answer.is_problem(503, "position-behind") and 1 <= int(answer["retry-after"]) <= 3600
    assert readers(weir) == {"replica1", "replica2"}, "who waits for nothing is not refused"
    assert ask(weir, "POST").status == 200
    weir.trio.catch_up()
    eventually(lambda: ask(weir, "GET", "/x", token)["x-app"] in ("replica1", "replica2"))


# --- the cache ---


def cacheable(trio):
    trio.each(fields=["Cache-Control: max-age=600"])


def test_the_cache_does_not_answer_with_what_is_older_than_his_write(start):
    weir = start(cacheable, wait="0s", primary_read_share="100%")
    ask(weir, "GET", "/item")
    assert is_hit(ask(weir, "GET", "/item"))
    token = write(weir, target="/other")
    own = ask(weir, "GET", "/item", token)
    assert not is_hit(own) and own["x-app"] == "primary"
    assert cache_status(own) == {**cache_status(own), "fwd": "request", "detail": "read-your-writes"}


def test_what_is_new_enough_is_answered_from_the_cache(start):
    weir = start(cacheable, wait=NEVER)
    token = write(weir, target="/other")
    weir.trio.catch_up()
    first = ask(weir, "GET", "/item", token)
    assert first["x-app"] != "primary" and not is_hit(first)
    eventually(lambda: is_hit(ask(weir, "GET", "/item", token)))
    assert is_hit(ask(weir, "GET", "/item"))


def test_a_hit_moves_a_client_forward(start):
    """What the cache told it, a replica must not take back."""
    weir = start(cacheable, wait=NEVER)
    ahead, behind = weir.trio.replicas
    behind.fields = ["Cache-Control: no-store"]
    ahead.at = 500
    eventually(lambda: ask(weir, "GET", "/fresh")["x-app"] == "replica1")
    answer = ask(weir, "GET", "/fresh")
    assert is_hit(answer)
    assert readers(weir, token_of(answer)) == {"replica1"}


def test_an_answer_is_as_old_as_its_question(start):
    """The app says how far its server had come when it answers; the row was read before that."""
    weir = start(cacheable, wait="0s", primary_read_share="100%")
    replica = weir.trio.replicas[0]
    weir.trio.replicas[1].app.close()
    came, go_on = threading.Event(), threading.Event()

    def hang():
        came.set()
        assert go_on.wait(patience(10))

    replica.before_reply = hang
    reader = Later(ask, weir, "GET", "/item")
    assert came.wait(patience(5))
    replica.before_reply = None
    token = write(weir, target="/other")
    weir.trio.catch_up()
    go_on.set()
    assert reader.result()["x-app"] == "replica1" and reader.result().body == b"replica1 100"
    own = ask(weir, "GET", "/item", token)
    assert own.body != b"replica1 100" and not is_hit(own), "it was read before the write"


def test_what_a_replica_that_is_behind_says_is_not_stored(start):
    """The stale-fill guard: others may read it, nobody is told it later."""
    weir = start(cacheable, wait="0s", primary_read_share="100%")
    ask(weir, "GET", "/item")
    write(weir, target="/item")
    for _ in range(6):
        answer = ask(weir, "GET", "/item")
        assert answer.status == 200 and not is_hit(answer), "the replica does not have what made it invalid"
    weir.trio.catch_up()
    eventually(lambda: is_hit(ask(weir, "GET", "/item")))
    assert ask(weir, "GET", "/item").body.endswith(b" 110")


# --- strict ---


def settle(weir, *fields):
    """What was acknowledged before this weir's start it cannot know: until it sees that replicas are past that, all of it counts."""
    eventually(lambda: "primary" not in readers(weir, *fields, count=4))


def test_strict_everybody_sees_what_was_acknowledged(start):
    weir = start(consistency="strict", wait="0s", primary_read_share="100%")
    settle(weir)
    write(weir)
    assert readers(weir, count=4) == {"primary"}
    weir.trio.catch_up()
    eventually(lambda: "primary" not in readers(weir, count=2))


def test_strict_is_each_tenants_own(start):
    weir = start(consistency="strict", wait="0s", primary_read_share="100%", config={"tenants": {"from": [{"header": "X-Tenant", "believe": "any"}]}})
    settle(weir, "X-Tenant: two")
    write(weir, "X-Tenant: one")
    assert readers(weir, "X-Tenant: one", count=4) == {"primary"}
    assert "primary" not in readers(weir, "X-Tenant: two", count=4)


def test_strict_the_cache_too(start):
    weir = start(cacheable, consistency="strict", wait="0s", primary_read_share="100%")
    settle(weir)
    eventually(lambda: is_hit(ask(weir, "GET", "/item")))
    write(weir, target="/other")
    assert not is_hit(ask(weir, "GET", "/item"))


# --- epochs ---


def test_after_a_failover_an_old_token_does_not_block(start):
    """The old primary had come further than the new one: its numbers mean nothing any more."""
    weir = start(lambda trio: trio.each(epoch="1:"), wait="0s", primary_read_share="1%")
    weir.trio.primary.at = 90000
    token = write(weir)
    weir.trio.each(epoch="2:", at=200)
    eventually(lambda: ask(weir, "GET", "/x", token)["x-app"] in ("replica1", "replica2"), why="every server is past all of the old epoch")
    eventually(lambda: [ask(weir, "GET", "/x", token)["x-app"] for _ in range(4)].count("primary") == 0)
    eventually(lambda: readers(weir, token, count=30) == {"replica1", "replica2"})


def test_after_a_failover_a_server_of_the_old_epoch_has_nothing_new(start):
    weir = start(lambda trio: trio.each(epoch="1:"), wait=NEVER)
    weir.trio.replicas[0].at = 90000
    weir.trio.primary.epoch = weir.trio.replicas[1].epoch = "2:"
    token = write(weir)
    weir.trio.catch_up(weir.trio.replicas[1])
    assert readers(weir, token) == {"replica2"}, "the other one follows a dead timeline, as far as it has come"


# --- replay ---


REPLAY = ["Weir-Replay: primary"]


def refusing(weir, *fields, status=409, also_primary=False):
    """From now on replicas refuse what is not a GET, in these words."""
    said = lambda request: reply(status, b"a replica", "Cache-Control: no-store", *fields) if request.method != "GET" else None
    for server in weir.trio.replicas + [weir.trio.primary] * also_primary:
        server.other = said


@pytest.mark.parametrize("fields, keys", [
    (REPLAY, {}), (["fly-replay: instance=00bb33ff"], {}), (["X-Read-Only: 1"], {"read_only_status": 409, "read_only_header": "X-Read-Only"})])
def test_a_replica_that_cannot_sends_it_on(start, fields, keys):
    weir = start(read=["POST /search"], **keys)
    refusing(weir, *fields)
    answer = ask(weir, "POST", "/search", body=b"what I look for")
    assert answer.status == 200 and answer["x-app"] == "primary"
    assert not {"weir-replay", "fly-replay"} & set(answer.names())
    assert [request.body for request in weir.trio.primary.asked()] == [b"what I look for"], "once"
    assert sum(len(replica.asked()) for replica in weir.trio.replicas) == 1
    assert answer["weir-position"], "it may have written"


def test_an_error_that_only_looks_like_it_is_passed_on(start):
    weir = start(read=["POST /search"], read_only_status=409, read_only_header="X-Read-Only")
    refusing(weir)
    assert ask(weir, "POST", "/search").status == 409
    refusing(weir, "X-Read-Only: 1", status=400)
    assert ask(weir, "POST", "/search").status == 400
    assert weir.trio.primary.asked() == []


def test_a_primary_that_sends_it_on_is_a_loop(start):
    weir = start(read=["POST /search"])
    refusing(weir, *REPLAY, also_primary=True)
    assert ask(weir, "POST", "/search").is_problem(502, "replay-loop")
    assert len(weir.trio.primary.asked()) == 1


def test_a_body_that_was_too_large_to_keep_cannot_be_sent_again(start):
    weir = start(read=["POST /search"], replay_body_max="100KiB")
    refusing(weir, *REPLAY)
    assert ask(weir, "POST", "/search", body=b"x" * 90_000)["x-app"] == "primary"
    assert ask(weir, "POST", "/search", body=b"x" * 300_000).is_problem(413, "replay-too-large")
    assert len(weir.trio.primary.asked()) == 1


# --- kinds ---


def test_what_reads_and_what_writes_can_be_said(start):
    weir = start(read=["POST /search/*"], write=["GET /export/**"])
    assert ask(weir, "POST", "/search/x")["x-app"] != "primary"
    assert ask(weir, "POST", "/search/x/y")["x-app"] == "primary"
    assert ask(weir, "GET", "/export/a/b")["x-app"] == "primary"
    assert ask(weir, "POST", "/x", "Weir-Kind: read")["x-app"] != "primary"
    assert ask(weir, "GET", "/x", "Weir-Kind: write")["x-app"] == "primary"


@pytest.mark.parametrize("document, reads", [
    ("{ item { name } }", True), ("query A { a } query B { b }", True), ("mutation { buy }", False), ("subscription { news }", False),
    ("query A { a } mutation B { b }", False), ("# mutation\n{ a(text: \"mutation {\") }", True), ("{ a", False), ("", False)])
def test_a_graphql_document_of_queries_reads(start, document, reads):
    weir = start(graphql=["/graphql"])
    answer = ask(weir, "POST", "/graphql", "Content-Type: application/json", body=json.dumps({"query": document}).encode())
    assert (answer["x-app"] != "primary") == reads


# --- a primary that is gone ---


def restart(server):
    server.app = App(server._answer, port=int(server.app.address.rsplit(":", 1)[1]))


def test_a_write_is_held_until_the_primary_is_back(start):
    weir = start(write_hold="30s")
    weir.trio.primary.app.close()
    eventually(lambda: not usable(weir, weir.trio.primary))
    writing = Later(ask, weir, "POST")
    time.sleep(0.3)
    assert not writing.is_here()
    assert readers(weir, count=4) == {"replica1", "replica2"}, "reads go on"
    restart(weir.trio.primary)
    assert writing.result().status == 200 and writing.answer["x-app"] == "primary"
    assert len(weir.trio.primary.asked()) == 1
    assert not any(replica.asked()[-1].method == "POST" for replica in weir.trio.replicas)


def usable(weir, server):
    return next(one["usable"] for one in status(weir)["upstreams"][0]["servers"] if one["address"] == server.address)


def test_a_write_is_not_held_for_ever(start):
    weir = start(write_hold="500ms")
    weir.trio.primary.app.close()
    writing = Later(ask, weir, "POST")
    answer = writing.result()
    assert answer.is_problem(503, "write-held") and int(answer["retry-after"]) >= 1
    assert 0.3 < writing.took < patience(3)


def test_a_write_that_was_sent_is_never_sent_again(start):
    """The primary dies over it: nobody knows whether it happened."""
    weir = start(write_hold="5s")
    died = []

    def die(request):
        if request.method == "POST":
            died.append(request)
            request.peer.reset()
        return None

    weir.trio.primary.other = die
    answer = ask(weir, "POST")
    assert answer.status in (502, 503) and len(died) == 1
    assert answer["weir-position"], "something may have happened"
    assert not any(request.method == "POST" for replica in weir.trio.replicas for request in replica.asked())


# --- tokens ---


def test_what_is_wrong_with_a_token_is_counted(start):
    weir = start(wait="0s", primary_read_share="100%", config={"tenants": {"from": [{"header": "X-Tenant", "believe": "any"}]}})
    token = write(weir, "X-Tenant: one")
    bad = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert "primary" not in readers(weir, "X-Tenant: one", bad, count=2)
    assert events(weir, "token_forged") >= 2
    assert "primary" not in readers(weir, "X-Tenant: two", token, count=2)
    assert events(weir, "token_forged") + events(weir, "token_foreign") >= 4


def test_a_weir_of_the_same_keys_believes_it_without_having_seen_anything(start):
    keys = {"keys": ["a secret of sixteen bytes and more"], "wait": "0s", "primary_read_share": "100%"}
    one, other = start(**keys), start(**keys)
    token = write(one)
    assert readers(other, token) == {"primary"}, "its own trio is at 100, too"
    for server in other.trio.all:
        server.at = 110
    eventually(lambda: "primary" not in readers(other, token))
