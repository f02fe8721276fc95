"""Reading and writing with real PostgreSQL behind the app: a primary, two streaming replicas, and what happens to them."""

import threading
import time

import pytest
from harness import eventually, patience, postgres
from stories import generation, is_hit, metrics, status, total

from history.town import HAS_TOOLS, Town

pytestmark = pytest.mark.skipif(not postgres.IS_THERE or not HAS_TOOLS, reason="needs PostgreSQL's server and libpq")

LONG = "30s"  # a test that waits so long has failed


@pytest.fixture
def town(tmp_path):
    with Town(tmp_path) as town:
        yield town


def ask(weir, method, target, *fields, body=None):
    with weir.wire(timeout=patience(40)) as wire:
        wire.request(method, target, *fields, body=body)
        return wire.reply(method)


class Client:
    """One that keeps its token."""

    def __init__(self, weir, tenant="acme"):
        self.weir = weir
        self.fields = [f"X-Tenant: {tenant}"]
        self.token = None

    def ask(self, method, target, *fields, body=None):
        token = [f"Weir-Position: {self.token}"] if self.token else []
        answer = ask(self.weir, method, target, *self.fields, *token, *fields, body=body)
        self.token = answer["weir-position"] or self.token
        return answer

    def write(self, key, op="op", method="PUT"):
        return self.ask(method, f"/kv/{key}", f"X-Op: {op}", body=b"value")

    def read(self, key):
        answer = self.ask("GET", f"/kv/{key}")
        assert answer.status == 200, answer
        return answer

    def version(self, key):
        return int(self.read(key).body.split()[0])


class Later:
    """A request that is on its way: its reply is had in the end."""

    def __init__(self, ask, *arguments, **options):
        self.began = time.monotonic()
        self.took = self.answer = None
        self.thread = threading.Thread(target=self._run, args=(ask, arguments, options), daemon=True)
        self.thread.start()

    def _run(self, ask, arguments, options):
        self.answer = ask(*arguments, **options)
        self.took = time.monotonic() - self.began

    def is_here(self):
        return self.took is not None

    def result(self):
        self.thread.join(patience(40))
        assert self.answer is not None, "no answer came"
        return self.answer


def known(weir, server, **wanted):
    """Until status says that of the server."""

    def look():
        rows = {one["address"]: one for one in status(weir)["upstreams"][0]["servers"]}
        return all(rows[weir.town.app_of(server).address].get(key) == value for key, value in wanted.items())

    eventually(look, within=patience(10), why=f"{server} is not {wanted}: {status(weir)['upstreams'][0]['servers']}")


@pytest.fixture
def start(start_weir, town):
    """start(key=value of the plugin, ...): a weir before the town whose probe has seen all servers."""

    def start(upstream=None, probes=None, **plugin):
        # in turn: a story shall see every replica, also one that was slower once
        weir = start_weir(**town.config(upstream={"balance": "round_robin", **(upstream or {})}, probes=probes, **plugin))
        weir.town = town
        weir.cluster = town.cluster
        client = Client(weir)
        assert client.write("first").status == 200
        town.cluster.wait_for_replay()
        eventually(lambda: client.read("first")["x-app"] != "one", why="the probe does not see that replicas have it")
        return weir

    yield start


def apps(answers):
    return {answer["x-app"] for answer in answers}


def readers(client, key="k1", count=8):
    return apps(client.read(key) for _ in range(count))


def in_database(server, key):
    return int(server.value(f"select coalesce(max(version), 0) from kv where tenant = 'acme' and key = '{key}'"))


def freeze_replay(cluster):
    for replica in cluster.replicas:
        replica.pause()


def resume_replay(cluster):
    for replica in cluster.replicas:
        replica.resume()


# --- who wrote reads it ---


def test_reads_are_the_replicas_and_writes_the_primarys(start):
    weir = start()
    client = Client(weir)
    assert readers(client) <= {"two", "three"}
    eventually(lambda: {Client(weir).read("k1")["x-app"] for _ in range(20)} == {"two", "three"})
    assert client.write("k1")["x-app"] == "one"


def test_his_own_write_is_there_at_once(start):
    weir = start(wait="0s", primary_read_share="100%")
    freeze_replay(weir.cluster)
    client = Client(weir)
    for number in range(1, 4):
        assert client.write("k1").status == 200
        assert [in_database(replica, "k1") for replica in weir.cluster.replicas] == [0, 0], "replicas are behind"
        assert client.version("k1") == number
    assert Client(weir).version("k1") == 0, "who does not know of it may read what is old"
    resume_replay(weir.cluster)
    weir.cluster.wait_for_replay()
    eventually(lambda: client.read("k1")["x-app"] != "one")
    assert {client.version("k1") for _ in range(8)} == {3}


def test_only_the_replica_that_has_it_is_asked(start):
    weir = start(wait=LONG)
    two, three = weir.cluster.replicas
    two.pause()
    client = Client(weir)
    client.write("k1")
    weir.cluster.wait_for_replay(three)
    assert readers(client) == {"three"}
    assert in_database(two, "k1") == 0 and client.version("k1") == 1


def test_what_the_cache_has_is_refused_him(start):
    weir = start(wait="0s", primary_read_share="100%")
    client = Client(weir)
    assert Client(weir).version("k2") == 0 and is_hit(Client(weir).read("k2"))
    freeze_replay(weir.cluster)
    client.write("k4")
    answer = client.read("k2")
    assert not is_hit(answer) and answer["x-app"] == "one"


def test_a_read_waits_for_replay(start):
    weir = start(wait=LONG)
    freeze_replay(weir.cluster)
    client = Client(weir)
    client.write("k1")
    reading = Later(client.read, "k1")
    time.sleep(0.3)
    assert not reading.is_here()
    resume_replay(weir.cluster)
    assert reading.result()["x-app"] != "one" and reading.answer.body.startswith(b"1 ")
    assert reading.took < patience(5)


def test_it_waits_no_longer_than_it_may(start):
    weir = start(wait="300ms")
    freeze_replay(weir.cluster)
    client = Client(weir)
    client.write("k1")
    reading = Later(client.read, "k1")
    assert reading.result()["x-app"] == "one" and reading.answer.body.startswith(b"1 ")
    assert 0.25 < reading.took < patience(3)


def test_a_commit_that_is_not_written_yet(start):
    """synchronous_commit=off: everybody on the primary sees it, and its record is in no file yet."""
    weir = start(wait="50ms", primary_read_share="100%")
    weir.cluster.primary.ask("alter system set synchronous_commit = 'off'")
    weir.cluster.primary.ask("alter system set wal_writer_delay = '2s'")
    weir.cluster.primary.ask("select pg_reload_conf()")
    eventually(lambda: weir.cluster.primary.value("select setting from pg_settings where name = 'wal_writer_delay'") == "2000")
    client = Client(weir)
    for number in range(1, 11):
        assert client.write("k1").status == 200
        time.sleep(0.1)  # the probe has looked at all of them since
        assert client.version("k1") == number


# --- lag ---


def test_a_replica_that_lags_too_far_is_not_asked(start):
    weir = start(lag_max="500ms", wait="0s", primary_read_share="100%")
    two, three = weir.cluster.replicas
    two.pause()
    writer, reader = Client(weir), Client(weir)
    is_over = threading.Event()

    def write():
        while not is_over.wait(0.05):
            writer.write("busy")

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        eventually(lambda: readers(Client(weir)) == {"three"})
        three.pause()
        eventually(lambda: readers(Client(weir)) == {"one"})
        resume_replay(weir.cluster)
        eventually(lambda: {Client(weir).read("k1")["x-app"] for _ in range(8)} == {"two", "three"})
        assert reader.read("k1")["x-app"] != "one"
    finally:
        is_over.set()
        thread.join()


def test_replicas_of_a_quiet_database_do_not_lag(start):
    """Nothing has been replayed for long, because there was nothing."""
    weir = start(lag_max="300ms")
    time.sleep(1)
    assert readers(Client(weir), count=20) <= {"two", "three"}


# --- failover ---


def test_a_write_during_a_failover_goes_through_without_a_reload(start):
    weir = start(write_hold=LONG)
    client = Client(weir)
    client.write("k1", "before")
    before = generation(weir)
    weir.town.kill_primary()
    writing = Later(client.write, "k1", "during")
    time.sleep(0.5)
    assert not writing.is_here()
    assert Client(weir).read("k1").status == 200, "reads go on"
    chosen = weir.cluster.fail_over()
    assert writing.result().status == 200 and writing.answer["x-app"] == chosen.name
    assert writing.answer.body.startswith(b"2 ")
    assert generation(weir) == before
    known(weir, chosen, role="primary")
    assert client.version("k1") == 2
    assert sorted(row.op for row in weir.town.written() if row.key == "k1") == ["before", "during"]


def test_a_database_that_is_gone_while_its_app_is_not(start):
    """The app would answer 503; the probe knows better than to ask it."""
    weir = start(write_hold=LONG)
    client = Client(weir)
    weir.cluster.primary.kill()
    chosen = weir.cluster.fail_over()
    known(weir, chosen, role="primary")
    for number in range(3):
        answer = client.write("k1", f"op{number}")
        assert answer.status == 200 and answer["x-app"] == chosen.name
    assert client.version("k1") == 3


def without_database(weir, server):
    """Until weir knows: its session has ended, and there is no other."""

    def said():
        lines = [line for line in weir.log().split("\n") if f"the database of {weir.town.app_of(server).address} " in line]
        return lines and any(why in lines[-1] for why in ("Connection refused", "No such file", "57P03"))

    eventually(said, why="the probe has not noticed")


def test_a_write_while_the_primarys_database_is_gone_waits_for_the_promotion(start):
    """Its app is up, and would answer 500."""
    weir = start(write_hold=LONG, wait=LONG)
    client = Client(weir)
    client.write("k1", "before")
    weir.cluster.wait_for_replay()
    eventually(lambda: client.read("k1")["x-app"] != "one")
    gone = weir.cluster.primary
    gone.kill()
    without_database(weir, gone)
    writing = Later(client.write, "k1", "during")
    for _ in range(20):
        assert client.read("k1")["x-app"] in {"two", "three"}, "reads go on"
        time.sleep(0.02)
    assert not writing.is_here()
    chosen = weir.cluster.fail_over()
    assert writing.result().status == 200 and writing.answer["x-app"] == chosen.name
    assert client.version("k1") == 2
    assert [row.op for row in weir.town.written() if row.key == "k1"] == ["before", "during"]


def test_a_write_while_the_primarys_database_restarts_goes_through(start):
    weir = start(write_hold=LONG)
    client = Client(weir)
    one = weir.cluster.primary
    one.stop()
    without_database(weir, one)
    assert weir.town.app_of(one).ask("GET", "/kv/k1", "X-Tenant: acme").status == 503, "it has to find out, too"
    writing = Later(client.write, "k1")
    time.sleep(0.3)
    assert not writing.is_here()
    one.start()
    assert writing.result().status == 200 and writing.answer["x-app"] == "one"
    assert client.version("k1") == 1


def test_without_a_promotion_the_write_is_refused_in_the_end(start):
    weir = start(write_hold="700ms")
    weir.town.kill_primary()
    writing = Later(Client(weir).write, "k1")
    answer = writing.result()
    assert answer.is_problem(503, "write-held") and int(answer["retry-after"]) >= 1
    assert writing.took > 0.4


def test_of_two_primaries_the_one_of_the_higher_timeline_wins(start):
    weir = start(write_hold=LONG)
    two = weir.cluster.replicas[0]
    two.stand_alone()
    two.promote()
    known(weir, two, role="primary")
    assert {Client(weir).write("k1", f"op{number}")["x-app"] for number in range(4)} == {"two"}
    assert weir.cluster.primary.value("select count(*) from written where key = 'k1'") == "0"


def test_of_two_primaries_of_one_timeline_none_is_asked(start):
    weir = start(write_hold="500ms")
    weir.town.kill_primary()
    for replica in weir.cluster.replicas:
        replica.stand_alone()
        replica.promote()
    eventually(lambda: [one["role"] for one in status(weir)["upstreams"][0]["servers"]].count("primary") == 0
               or Client(weir).write("k1").status == 503)
    time.sleep(0.5)
    assert Client(weir).write("k1").is_problem(503, "write-held")
    assert Client(weir).read("k1").status == 200, "reads go on"
    counts = [replica.value("select count(*) from written where key = 'k1'") for replica in weir.cluster.replicas]
    weir.cluster.replicas[1].kill()
    # not at once: that one does not answer the probe is no reason to write to the other
    eventually(lambda: Client(weir).write("k1", "after").status == 200, within=patience(30), why="one is left, and it is the primary")
    assert int(weir.cluster.replicas[0].value("select count(*) from written where op = 'after'")) == 1, counts


def test_an_old_token_after_a_failover(start):
    weir = start(wait="2s", primary_read_share="1%", write_hold=LONG)
    client, untold = Client(weir), Client(weir)
    client.write("k1")
    untold.write("k3")
    weir.town.kill_primary()  # where those writes landed the probe may not have seen any more
    chosen = weir.cluster.fail_over()
    known(weir, chosen, role="primary")
    left = weir.cluster.replicas[0]
    old = client.token
    weir.cluster.wait_for_replay()
    eventually(lambda: client.read("k1")["x-app"] == left.name, why="it has the write and more")
    for _ in range(60):  # more than a share of 1% would let through to the primary
        client.token = old
        assert client.version("k1") == 1
        assert untold.version("k3") == 1
    left.pause()
    client.write("k1")
    assert client.version("k1") == 2, "and a new one is not mistaken for it"


def test_a_former_primary_comes_back_as_a_replica(start):
    weir = start(write_hold=LONG, wait=LONG)
    gone = weir.cluster.primary
    weir.town.kill_primary()
    weir.cluster.fail_over()
    client = Client(weir)
    assert client.write("k1").status == 200
    weir.cluster.rejoin(gone)
    weir.town.app_of(gone).start()
    known(weir, gone, role="replica")
    eventually(lambda: "one" in {Client(weir).read("k1")["x-app"] for _ in range(4)})
    assert client.write("k1")["x-app"] != "one"
    assert client.version("k1") == 2


# --- the probe ---


def test_a_probe_that_hangs_delays_nothing(start):
    weir = start(wait="0s", primary_read_share="100%")
    two, three = weir.cluster.replicas
    two.freeze()
    try:
        for _ in range(5):
            client = Client(weir)
            began = time.monotonic()
            assert client.write("k1").status == 200
            weir.cluster.wait_for_replay(three)
            eventually(lambda client=client: client.read("k1")["x-app"] == "three", why="the other's figures are still new")
            assert time.monotonic() - began < patience(2)
    finally:
        two.thaw()
    eventually(lambda: "two" in readers(client))


def test_a_replica_that_restarts_is_asked_again(start):
    weir = start(wait=LONG)
    two = weir.cluster.replicas[0]
    two.stop()
    client = Client(weir)
    client.write("k1")
    weir.cluster.wait_for_replay(weir.cluster.replicas[1])
    assert readers(client) == {"three"}
    two.start()
    eventually(lambda: "two" in readers(client))
    assert client.version("k1") == 1


@pytest.mark.parametrize("dsn", ["host=127.0.0.1 port=1 user=postgres dbname=kv", "host=127.0.0.1 user=nobody dbname=none connect_timeout=1"])
def test_a_database_that_cannot_be_asked_is_as_one_that_says_nothing(start_weir, town, dsn):
    weir = start_weir(**town.config(probes={server.name: dsn for server in town.cluster.servers}, window=LONG, write_hold="1s"))
    client = Client(weir)
    assert apps(Client(weir).read("k1") for _ in range(8)) <= {"one", "two", "three"}
    answer = client.write("k1")
    if answer.status == 200:
        freeze_replay(town.cluster)
        assert client.version("k1") == 1
    else:
        assert answer.is_problem(503, "write-held")


def test_reads_that_write_are_sent_on_to_the_primary(tmp_path, start_weir):
    """What a route calls a read and the database a write: the app says so, and weir asks the primary."""
    with Town(tmp_path, ["--replay", "weir"]) as town:
        weir = start_weir(**town.config(read=["POST /kv/*"]))
        client = Client(weir)
        answer = client.write("k1", "once", method="POST")
        assert answer.status == 200 and answer["x-app"] == "one"
        assert [row.op for row in town.written()] == ["once"]
        assert client.version("k1") == 1


def test_what_it_did_is_counted(start):
    weir = start(wait="0s", primary_read_share="100%")
    freeze_replay(weir.cluster)
    client = Client(weir)
    client.write("k1")
    client.read("k1")
    found = metrics(weir)
    for event in ("write", "read_replica", "read_primary_fallback"):
        assert total(found, "weir_plugin_events_total", event=event) >= 1, event
    lags = [value for (name, _), value in found.items() if name == "weir_replica_lag_seconds"]
    assert len(lags) >= 2
