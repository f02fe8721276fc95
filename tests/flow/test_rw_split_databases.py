"""What rw_split makes of databases that contradict each other, go and come back: played ones, which say what the story wants.

With real ones, and data in them: test_rw_split_postgres.py.
"""

import json
import threading
import time

import pytest
from harness import App, eventually, patience, reply
from harness.database import Database
from stories import generation, status, tell

LONG = "30s"  # a test that waits so long has failed


class Server:
    """An app that says its name, unless it needs its database and that is down, and its database."""

    def __init__(self, name, is_primary=False):
        self.name = name
        self.database = Database(is_primary=is_primary)
        self.says = None  # Weir-Position
        self.needs_database = False
        self.app = App(self._answer)

    def _answer(self, request):
        fields = [f"X-App: {self.name}", "Cache-Control: no-store"] + ([f"Weir-Position: {self.says}"] if self.says else [])
        return reply(200 if self.database.is_up or not self.needs_database else 500, self.name.encode(), *fields)

    def writes(self):
        return len([request for request in self.app.requests if request.method == "POST"])

    @property
    def address(self):
        return self.app.address


class World:
    """Before `start` nobody was asked: `old` is the configured primary."""

    def __init__(self, start_weir):
        self.start_weir = start_weir
        self.old, self.new, self.third = self.all = [Server("old", is_primary=True), Server("new"), Server("third")]
        self.weir = None

    def start(self, knows=True, databases=None, **plugin):
        """databases: for this weir, others than the servers' own."""
        dsns = {server.address: (databases or {}).get(server, server.database).dsn for server in self.all}
        plugin = {"name": "rw_split", "consistency": "position", "keys": ["0123456789abcdef"], "primary_read_share": "100%", "wait": "0s",
                  "positions": {"postgres": dsns}, **plugin}
        self.weir = self.start_weir(upstreams={"app": {"primary": [self.old.address], "replicas": [self.new.address, self.third.address],
                                                       "balance": "round_robin", "plugins": [plugin]}})
        if knows:
            eventually(lambda: None not in self.roles().values())
            for server in self.all:
                self.heard(server)
        return self

    def reload(self, **plugin):
        """With other keys: another instance, which asks the databases anew."""
        file = json.loads(self.weir.file.read_text())
        file["upstreams"]["app"]["plugins"][0].update(plugin)
        self.weir.file.write_text(json.dumps(file))
        before = generation(self.weir)
        tell(self.weir, "/api/reload", {})
        eventually(lambda: generation(self.weir) > before)

    def heard(self, *servers):
        """Until weir has asked them twice more: the second answer was begun after what went before."""
        for server in servers or self.all:
            wanted = server.database.answers + 2
            eventually(lambda server=server, wanted=wanted: server.database.answers >= wanted, why=f"{server.name}'s database is not asked")

    def rows(self):
        rows = {row["address"]: row for row in status(self.weir)["upstreams"][0]["servers"]}
        return {server.name: rows[server.address] for server in self.all}

    def roles(self):
        return {name: row.get("role") for name, row in self.rows().items()}

    def fail_over(self):
        """`new` is promoted, `old` lives on and knows nothing of it."""
        self.new.database.promote(timeline=2, at=150)
        self.third.database.timeline = 2
        self.third.database.at = 150

    def ask(self, method="GET", token=None):
        with self.weir.wire(timeout=patience(40)) as wire:
            wire.request(method, "/x", *([f"Weir-Position: {token}"] if token else []), body=b"{}" if method == "POST" else None)
            return wire.reply(method)

    def write(self):
        answer = self.ask("POST")
        assert answer.status == 200, answer
        return answer

    def writers(self, count=5):
        return {self.write()["x-app"] for _ in range(count)}

    def readers(self, token=None, count=8):
        answers = [self.ask(token=token) for _ in range(count)]
        assert {answer.status for answer in answers} == {200}, answers
        return {answer["x-app"] for answer in answers}

    def close(self):
        for server in self.all:
            server.database.go_on()
            server.database.close()
            server.app.close()


@pytest.fixture
def world(start_weir):
    world = World(start_weir)
    yield world
    world.close()


class Later:
    def __init__(self, ask, *arguments):
        self.answer = None
        self.thread = threading.Thread(target=self._run, args=(ask, arguments), daemon=True)
        self.thread.start()

    def _run(self, ask, arguments):
        self.answer = ask(*arguments)

    def is_here(self):
        return self.answer is not None

    def result(self):
        self.thread.join(patience(40))
        assert self.answer, "no answer came"
        return self.answer


def for_a_while(look, seconds=1.0):
    """It is so all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert look()


# --- who is primary ---


TOO_MANY = ("53300", "sorry, too many clients already")
STARTS = ("57P03", "the database system is starting up")


def test_a_blip_of_the_new_primarys_database_does_not_bring_the_old_one_back(world):
    world.start(write_hold=LONG)
    assert world.writers() == {"old"}
    world.fail_over()
    eventually(lambda: world.roles()["new"] == "primary")
    assert world.writers() == {"new"}
    world.new.database.refusal = TOO_MANY  # or a password that was changed: it is there, only not for the probe
    world.new.database.end_sessions()
    for_a_while(lambda: world.writers(1) == {"new"})
    assert world.roles() == {"old": "replica", "new": "primary", "third": "replica"}
    assert "old" not in world.readers(), "it follows nobody"
    world.new.database.refusal = None
    world.heard(world.new)
    assert world.writers() == {"new"}


def test_an_old_primary_gets_no_writes_when_the_new_one_follows_somebody(world):
    world.start(write_hold="300ms")
    world.fail_over()
    eventually(lambda: world.roles()["new"] == "primary")
    world.new.database.is_primary = False
    eventually(lambda: world.roles()["new"] == "replica")
    assert world.ask("POST").is_problem(503, "write-held")
    assert world.readers() == {"new", "third"}
    world.third.database.promote(timeline=3, at=160)
    eventually(lambda: world.roles()["third"] == "primary")
    assert world.writers() == {"third"}


def test_of_two_on_one_timeline_a_failing_probe_chooses_none(world):
    world.start(write_hold="100ms")
    world.new.database.promote(timeline=1)
    eventually(lambda: set(world.roles().values()) == {"replica"})
    world.old.database.stop()
    for_a_while(lambda: world.ask("POST").is_problem(503, "write-held"))
    world.old.database.is_primary = False
    world.old.database.start()
    eventually(lambda: world.roles()["new"] == "primary", why="the other one says that it is none")
    assert world.writers() == {"new"}


# --- the primary's database is gone, its app is not: it would answer 500 ---


def gone(world, server, why="Connection refused"):
    """Until weir has found out: not that its session ended, but that it gets no other."""

    def said():
        lines = [line for line in world.weir.log().split("\n") if f"the database of {server.address} " in line]
        return lines and "does not answer" in lines[-1] and why in lines[-1]

    eventually(said)


def test_writes_wait_while_the_primarys_database_is_gone_and_go_to_who_is_promoted(world):
    world.start(write_hold=LONG)
    world.old.needs_database = True
    token = world.write()["weir-position"]
    world.heard()
    writes = world.old.writes()
    world.old.database.stop()
    gone(world, world.old)
    write = Later(world.ask, "POST")
    for_a_while(lambda: not write.is_here() and world.readers(token, 2) <= {"new", "third"}, 0.5)
    world.fail_over()
    assert write.result().status == 200 and write.answer["x-app"] == "new"
    assert world.old.writes() == writes


def test_writes_wait_while_the_primarys_database_starts_again(world):
    world.start(write_hold=LONG)
    world.old.database.refusal = STARTS
    world.old.database.end_sessions()
    gone(world, world.old, "57P03: the database system is starting up")
    write = Later(world.ask, "POST")
    for_a_while(lambda: not write.is_here(), 0.5)
    world.old.database.refusal = None
    assert write.result().status == 200 and write.answer["x-app"] == "old"


def test_no_read_falls_back_to_a_primary_without_a_database(world):
    world.start(write_hold=LONG)
    token = world.write()["weir-position"]
    world.heard()
    for replica in (world.new, world.third):
        replica.database.at = 100
    world.old.database.at = 120
    world.heard()
    token = world.write()["weir-position"]  # nobody else has it
    world.heard()
    world.old.database.stop()
    gone(world, world.old)
    read = Later(world.ask, "GET", token)
    for_a_while(lambda: not read.is_here(), 0.3)
    world.third.database.at = 120
    assert read.result().status == 200 and read.answer["x-app"] == "third"


def test_a_primary_whose_database_stays_away_is_asked_as_before_in_the_end(world):
    """The probe may not be right, and there is nobody else."""
    world.start(write_hold="700ms")
    world.old.needs_database = True
    world.old.database.stop()
    gone(world, world.old)
    eventually(lambda: world.ask("POST").status == 500)
    world.old.database.start()
    eventually(lambda: world.ask("POST").status == 200)
    world.old.database.stop()
    gone(world, world.old)
    eventually(lambda: world.ask("POST").status == 500, why="each loss has its own time")


# --- a weir that is started after a failover; its config names the old primary ---


def test_at_start_writes_wait_until_every_database_was_heard(world):
    world.fail_over()
    world.new.database.hang()
    world.start(knows=False, write_hold=LONG)
    world.heard(world.old, world.third)
    write = Later(world.ask, "POST")
    for_a_while(lambda: not write.is_here(), 0.5)
    world.new.database.go_on()
    assert write.result().status == 200 and write.answer["x-app"] == "new"
    assert world.roles() == {"old": "replica", "new": "primary", "third": "replica"}
    assert not [request for request in world.old.app.requests if request.method == "POST"]


def test_at_start_that_wait_is_bounded(world):
    world.new.database.hang()
    world.start(knows=False, write_hold="300ms")
    assert world.ask("POST").is_problem(503, "write-held")
    world.new.database.go_on()
    eventually(lambda: world.ask("POST").status == 200)


def test_at_start_a_database_that_refuses_was_heard(world):
    for server in world.all:
        server.database.stop()
    world.start(knows=False, write_hold=LONG)
    assert world.writers() == {"old"}, "as configured: nobody says more"


def test_at_start_a_replica_that_knows_of_a_newer_timeline_is_enough(world):
    world.fail_over()
    world.new.database.stop()
    world.start(knows=False, write_hold=LONG)
    write = Later(world.ask, "POST")
    world.heard(world.old, world.third)
    for_a_while(lambda: not write.is_here(), 0.5)
    world.new.database.start()
    assert write.result().status == 200 and write.answer["x-app"] == "new"


def test_at_start_a_token_of_the_new_timeline_is_not_answered_by_the_old_primary(world):
    world.fail_over()
    world.start(write_hold=LONG)
    eventually(lambda: world.roles()["new"] == "primary")
    token = world.write()["weir-position"]
    world.heard()
    token = world.ask(token=token)["weir-position"] or token
    first = world.weir
    world.new.database.hang()
    world.third.database.at = 100  # nobody shows it but the new primary
    world.third.database.timeline = 1
    world.start(knows=False, write_hold=LONG)
    assert world.weir is not first
    world.heard(world.old, world.third)
    read = Later(world.ask, "GET", token)
    for_a_while(lambda: not read.is_here(), 0.5)
    world.new.database.go_on()
    assert read.result().status == 200 and read.answer["x-app"] == "new"


# --- a reload that makes a new instance ---


def test_after_a_reload_the_old_primary_gets_no_writes_while_the_new_one_is_not_heard(world):
    world.start(write_hold=LONG)
    world.fail_over()
    eventually(lambda: world.roles()["new"] == "primary")
    assert world.writers() == {"new"}
    world.third.database.timeline = 1  # a probe without pg_monitor: nobody but the new primary says that there is a newer one
    world.heard(world.third)
    before = world.old.writes()
    world.new.database.refusal = TOO_MANY
    world.new.database.end_sessions()
    world.reload(wait="41ms")
    world.heard(world.old, world.third)
    for_a_while(lambda: world.writers(1) == {"new"})
    assert world.roles() == {"old": "replica", "new": "primary", "third": "replica"}
    world.new.database.refusal = None
    world.heard(world.new)
    assert world.writers() == {"new"}
    assert world.old.writes() == before


def test_after_a_reload_no_write_waits_for_a_replicas_database_that_hangs(world):
    world.start(write_hold=LONG)
    world.third.database.hang()
    eventually(lambda: world.writers(1) == {"old"})
    began = time.monotonic()
    world.reload(wait="41ms")
    assert world.writers() == {"old"}
    assert time.monotonic() - began < patience(1)


# --- what they show ---


def test_a_replica_that_comes_back_further_back_is_not_believed_to_be_where_it_was(world):
    world.start()
    for server in world.all:
        server.database.at = 200
    world.heard()
    token = world.write()["weir-position"]
    world.heard()
    eventually(lambda: "new" in world.readers(token))
    world.new.database.stop()  # a crash
    world.third.database.at = 150
    eventually(lambda: world.readers(token) == {"old"}, why="nobody knows where it is")
    assert "new" in eventually(lambda: [world.readers()])[0], "whoever has seen nothing may read there"
    world.new.database.at = 150
    world.new.database.start()
    for_a_while(lambda: world.readers(token, 4) == {"old"})
    world.new.database.at = 200
    eventually(lambda: "new" in world.readers(token))


def test_replicas_that_are_far_behind_at_start_are_not_fresh(world):
    world.old.database.at = 1_000_000_000
    for server in (world.new, world.third):
        server.database.at = 50
        server.database.lag_ms = 3_600_000
    world.start(lag_max="1s")
    eventually(lambda: (world.rows()["new"].get("lag") or 0) >= 3600)
    assert world.readers() == {"old"}


def test_replicas_word_counts_while_the_primarys_database_is_silent(world):
    world.start(lag_max="1s")
    world.old.database.stop()
    for server in (world.new, world.third):
        server.database.lag_ms = 5000
    eventually(lambda: world.readers() == {"old"}, why="they say that they do not replay")
    assert world.rows()["new"]["lag"] == 5
    for server in (world.new, world.third):
        server.database.lag_ms = None
    eventually(lambda: world.readers() == {"new", "third"}, why="who cannot say it goes on")


# --- an app's word has no epoch of its own ---


def test_what_a_promoted_primarys_app_says_is_not_taken_for_the_old_epochs(world):
    """A weir that has not heard of the failover yet hands out the token; one that has heard of it is shown it."""
    old, new = Database(is_primary=True), Database()
    try:
        world.start()
        knowing = world.weir
        world.start(databases={world.old: old, world.new: new})
        unknowing = world.weir
        assert knowing is not unknowing
        old.hang()
        new.hang()
        world.weir = knowing
        world.fail_over()
        eventually(lambda: world.roles()["new"] == "primary")
        world.new.database.at = 200
        world.new.says = "0/C8"
        world.heard()
        world.weir = unknowing
        answer = eventually(lambda: next((one for one in [world.ask()] if one["x-app"] == "new"), None))
        token = answer["weir-position"]
        assert token
        world.weir = knowing
        assert world.readers(token) == {"new"}, "the other replica is on the new timeline, and not that far"
        world.third.database.at = 200
        eventually(lambda: "third" in world.readers(token))
    finally:
        for database in (old, new):
            database.go_on()
            database.close()
