"""Writes that break off half-way, replies that come over a failover, stored answers that stand in: what their clients read afterwards."""

import socket
import time

import pytest
from harness import eventually, patience, reply
from stories import cache_status, is_hit
from test_rw_split_positions import Later, ask, readers, start, token_of, write  # noqa: F401 (a fixture)

STORED = ["Cache-Control: max-age=600"]


def slow_writes(seconds):
    def before(trio):
        trio.primary.other = lambda request: time.sleep(seconds) if request.method == "POST" else None

    return before


# --- a write that was sent and not answered may have happened ---


@pytest.mark.parametrize("consistency", ["window", "position"])
@pytest.mark.parametrize("limit", ["total", "first_byte"])
def test_a_write_that_took_too_long_leaves_a_token(start, consistency, limit):
    weir = start(slow_writes(patience(1.5)), consistency=consistency, upstream={"timeouts": {limit: "300ms"}})
    answer = ask(weir, "POST")
    assert answer.status == 504 and answer["weir-position"], answer
    if consistency == "window":
        assert readers(weir, f"Weir-Position: {answer['weir-position']}", count=4) == {"primary"}


def test_a_write_that_no_server_got_leaves_none(start):
    weir = start(upstream={"timeouts": {"total": "300ms"}})
    weir.trio.primary.app.close()
    answer = ask(weir, "POST")
    assert answer.status in (502, 503, 504) and not answer["weir-position"], answer


@pytest.mark.parametrize("ending", ["broken chunk", "too large"])
def test_a_write_whose_body_broke_half_way_leaves_a_token(start, ending):
    weir = start(upstream={"buffer": {"request": "1KiB"}}, config={"clients": {"body_max": "64KiB"}})
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    with socket.create_connection(weir.address, timeout=patience(10)) as sock:
        sock.sendall(b"POST /x HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
        eventually(lambda: is_under_way(weir), why="no server was given its beginning")
        try:
            for _ in range(1 if ending == "broken chunk" else 40):
                sock.sendall(b"ZZZ\r\n" if ending == "broken chunk" else chunk)
        except OSError:
            pass
        got = sock.recv(65536)
    assert got.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")) and b"\r\nWeir-Position: v1." in got, got


def is_under_way(weir):
    return any(peer.received_bytes > 0x1000 for peer in weir.trio.primary.app.peers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("consistency", ["window", "position"])
def test_a_write_that_a_server_may_have_begun_is_not_sent_again(start, consistency, method):
    seen = []

    def break_off(request):
        if request.method == method:
            seen.append(request)
            raise OSError("the app ends the connection")

    def before(trio):
        trio.primary.other = break_off

    weir = start(before, consistency=consistency)
    answer = ask(weir, method)
    assert answer.status == 502 and answer["weir-position"], answer
    assert len(seen) == 1, "PUT is idempotent for one client; with another's write in between it is not"


def test_a_read_is_still_sent_again(start):
    weir = start()
    seen = []

    def break_off(request):
        seen.append(request)
        raise OSError("the app ends the connection")

    weir.trio.replicas[0].other = break_off
    assert {ask(weir, "GET").status for _ in range(8)} == {200}
    assert seen, "the replica that breaks off was asked, and another one answered"


@pytest.mark.parametrize("method, statuses", [("GET", {200}), ("PUT", {504})])
def test_a_read_that_a_server_does_not_answer_goes_to_another_and_a_write_does_not(start, method, statuses):
    """A replica that was stopped (SIGSTOP, a dead machine) takes requests and says nothing."""

    def stand_still(request):
        time.sleep(patience(2))

    weir = start(consistency="window", upstream={"timeouts": {"first_byte": "300ms"}})
    weir.trio.replicas[0].other = stand_still
    weir.trio.primary.other = lambda request: stand_still(request) if request.method == "PUT" else None
    answers = [ask(weir, method) for _ in range(4 if method == "GET" else 1)]
    assert {answer.status for answer in answers} == statuses, answers
    assert len([one for one in weir.trio.primary.asked() if one.method == "PUT"]) == (method == "PUT")


def test_a_replayed_write_is_held_as_others_are(start):
    weir = start(write_hold="1s", read=["POST /search"])
    for replica in weir.trio.replicas:
        replica.other = lambda request: reply(409, b"", "Weir-Replay: primary") if request.method == "POST" else None
    weir.trio.primary.app.close()
    eventually(lambda: ask(weir, "POST", "/plain").json()["reason"] == "write-held")
    later = Later(ask, weir, "POST", "/search")
    answer = later.result()
    assert answer.status == 503 and answer.json()["reason"] == "write-held" and later.took > 0.9, (answer, later.took)


# --- the store ---


def test_a_head_without_validators_does_not_make_an_old_body_new(start):
    """As long is not the same: `old!` and `new!`."""
    bodies = {}

    def before(trio):
        for server in trio.all:
            bodies[server.name] = b"old!"
            server.other = lambda request, server=server: item(server, request) if request.target == "/item" else None

    def item(server, request):
        body = b"" if request.method == "HEAD" else bodies[server.name]
        return reply(200, body, *STORED, f"X-App: {server.name}", f"Weir-Position: {server.position}", "Content-Length: 4", length=False)

    weir = start(before, wait="0s", primary_read_share="100%")
    assert ask(weir, "GET", "/item").body == b"old!"
    token = write(weir, target="/items")
    weir.trio.catch_up()
    bodies.update({name: b"new!" for name in bodies})
    eventually(lambda: "replica1" in readers(weir, token), why="the replicas are not known to have caught up")
    assert ask(weir, "HEAD", "/item", "Cache-Control: no-cache").status == 200
    assert ask(weir, "GET", "/item", token).body == b"new!"


def test_misses_while_replicas_are_behind_do_not_queue_up(start):
    """What a lagging replica says is not stored, so there is nothing to wait for: each asks at once."""
    pause = 0.3

    def before(trio):
        trio.each(fields=STORED)
        for server in trio.all:
            server.other = lambda request: time.sleep(pause) if (request.method, request.target) == ("GET", "/item") else None

    weir = start(before, consistency="window", window="10s")
    ask(weir, "POST", "/item")
    readers_now = [Later(ask, weir, "GET", "/item") for _ in range(12)]
    assert {one.result().status for one in readers_now} == {200}
    # The first round may have been waited for; four of them may not.
    assert max(one.took for one in readers_now) < 3 * pause + patience(0.3)


def test_what_stands_in_for_an_error_moves_its_client_on(start):
    """Who was shown the newer state, by a stale answer, does not go back to a replica that has not come so far."""

    def before(trio):
        trio.each(fields=["Cache-Control: max-age=1, stale-if-error=600"])

    weir = start(before, wait="0s", primary_read_share="100%", write_hold="0s")
    trio = weir.trio
    trio.primary.at = 200
    trio.catch_up(trio.replicas[0])
    writer = write(weir, target="/other")
    trio.catch_up(trio.replicas[0])
    first = ask(weir, "GET", "/item", writer)  # stored: the newest state
    assert first.status == 200, first
    eventually(lambda: not is_hit(ask(weir, "GET", "/item", "Cache-Control: only-if-cached, max-stale=0")), why="it does not get stale")
    for server in trio.all:
        server.other = lambda request: reply(503, b"down")
    shown = ask(weir, "GET", "/item")
    assert shown.status == 200 and cache_status(shown).get("detail") == "stale-if-error", shown
    assert shown["weir-position"], "what it has seen is nothing to go back from"
    for server in trio.all:
        server.other = None
        server.fields = ["Cache-Control: no-store"]
    assert "replica2" not in readers(weir, token_of(shown)), "replica2 is where it was before"


# --- a primary that takes no connections and does not refuse them either ---


class BlackHole:
    """Its queue of connections is full: SYNs are dropped, as by a machine that is gone."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(self.listener.getsockname())
            self.waiting.append(one)

    def close(self):
        for one in [*self.waiting, self.listener]:
            one.close()


def test_a_write_is_held_and_never_goes_to_a_replica(start_weir, start_app):
    hole = BlackHole()
    replica = start_app(reply(200, b"replica"))
    weir = start_weir(upstreams={"app": {"primary": [hole.address], "replicas": [replica.address], "timeouts": {"connect": "200ms"},
                                         "plugins": [{"name": "rw_split", "consistency": "window", "write_hold": "1s"}]}})
    answer = ask(weir, "POST")
    assert answer.is_problem(503, "write-held"), answer
    assert not replica.requests, "a replica does not write"
    hole.close()
