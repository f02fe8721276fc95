"""Upstreams are untrusted too: a reply that breaks the rules becomes a 502, or breaks visibly when its head has gone out. It is never
made whole, never stored, and its connection is not used again."""

import threading
import time

import pytest

from harness import App, Broken, chunked, reply
from harness.patience import patience

FRESH = "Cache-Control: max-age=60"


class Scripted:
    """One app and one weir for the file; each test sets what the app says. A piece may be a number: a pause before what follows."""

    def __init__(self, weirs):
        self.pieces = []
        self.then = "close"
        self.app = App(script=self.script)
        self.weir = weirs.start(self.app, workers=2)

    def script(self, peer):
        while request := peer.read_head():
            peer.read_body(request)
            for piece in self.pieces:
                if isinstance(piece, bytes):
                    peer.send(piece)
                else:
                    time.sleep(piece)
            if self.then == "close":
                peer.close()
                peer.wait_for_end()
                return
            if self.then == "reset":
                peer.reset()
                return
            # "stay": weir has to end it, or to use it again

    def says(self, *pieces, then="stay"):
        self.pieces, self.then = pieces, then
        self.app.forget()


@pytest.fixture(scope="module")
def street(module_weirs):
    scripted = Scripted(module_weirs)
    yield scripted
    scripted.app.close()


def head(*lines, status=b"HTTP/1.1 200 Fine"):
    return b"\r\n".join([status, b"Cache-Control: max-age=60", *lines]) + b"\r\n\r\n"


LENGTHS = {
    "differing": b"Content-Length: 5\r\nContent-Length: 6", "the same twice": b"Content-Length: 5\r\nContent-Length: 5", "list": b"Content-Length: 5, 5",
    "plus": b"Content-Length: +5", "minus": b"Content-Length: -5", "hexadecimal": b"Content-Length: 0x5", "empty": b"Content-Length:",
    "letters": b"Content-Length: five", "over 2^63": b"Content-Length: 9223372036854775808", "over 2^64": b"Content-Length: 18446744073709551621",
    "with coding": b"Content-Length: 5\r\nTransfer-Encoding: chunked", "coding with it": b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    "space before the colon": b"Content-Length : 5", "folded": b"Content-Length:\r\n 5",
}

# Nothing of these may reach the client: 502.
REFUSED = {
    **{f"length: {name}": head(lines) + b"hello" for name, lines in LENGTHS.items()},
    "coding in HTTP/1.0": head(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 Fine") + chunked(b"hello"),
    "coding with a parameter": head(b"Transfer-Encoding: chunked;q=1") + chunked(b"hello"),
    "coding that is no token": head(b'Transfer-Encoding: "chunked"') + chunked(b"hello"),
    "bare LF behind the status line": b"HTTP/1.1 200 Fine\nContent-Length: 5\r\n\r\nhello",
    "bare LF behind a field": b"HTTP/1.1 200 Fine\r\nName: v\nContent-Length: 5\r\n\r\nhello",
    "bare LF for the end": b"HTTP/1.1 200 Fine\r\nContent-Length: 5\r\n\nhello",
    "bare CR in a value": head(b"Name: a\rb", b"Content-Length: 5") + b"hello",
    "NUL in a value": head(b"Name: a\x00b", b"Content-Length: 5") + b"hello",
    "control byte in a value": head(b"Name: a\x01b", b"Content-Length: 5") + b"hello",
    "NUL in the reason": head(b"Content-Length: 5", status=b"HTTP/1.1 200 Fi\x00ne") + b"hello",
    "bare CR in the reason": head(b"Content-Length: 5", status=b"HTTP/1.1 200 Fi\rne") + b"hello",
    "space in a name": head(b"Na me: v", b"Content-Length: 5") + b"hello",
    "no name": head(b": v", b"Content-Length: 5") + b"hello",
    "no colon": head(b"Name", b"Content-Length: 5") + b"hello",
    "folded line": head(b"Name: v", b" more", b"Content-Length: 5") + b"hello",
    "space before the first field": b"HTTP/1.1 200 Fine\r\n Name: v\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/0.9": b"hello, this is the page\r\n\r\n",
    "HTTP/2.0": head(b"Content-Length: 5", status=b"HTTP/2.0 200 Fine") + b"hello",
    "HTTP/1.2": head(b"Content-Length: 5", status=b"HTTP/1.2 200 Fine") + b"hello",
    "lower case version": head(b"Content-Length: 5", status=b"http/1.1 200 Fine") + b"hello",
    "status of two digits": head(b"Content-Length: 5", status=b"HTTP/1.1 20 Fine") + b"hello",
    "status of four digits": head(b"Content-Length: 5", status=b"HTTP/1.1 2000 Fine") + b"hello",
    "status 000": head(b"Content-Length: 5", status=b"HTTP/1.1 000 Fine") + b"hello",
    "status 600": head(b"Content-Length: 5", status=b"HTTP/1.1 600 Fine") + b"hello",
    "status with letters": head(b"Content-Length: 5", status=b"HTTP/1.1 2xx Fine") + b"hello",
    "no status": b"HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    "two spaces before the status": head(b"Content-Length: 5", status=b"HTTP/1.1  200 Fine") + b"hello",
    "empty line first": b"\r\n" + head(b"Content-Length: 5") + b"hello",
    "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "head over the limit": head(*[b"Name-%d: %s" % (i, b"x" * 1000) for i in range(100)], b"Content-Length: 5") + b"hello",
    "line over the limit": head(b"Name: " + b"x" * 70000, b"Content-Length: 5") + b"hello",
    "too many fields": head(*[b"N%d: v" % i for i in range(1000)], b"Content-Length: 5") + b"hello",
    "17 interim replies": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + head(b"Content-Length: 5") + b"hello",
    "only interim replies, for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_a_reply_that_breaks_the_rules_is_a_502(street, data):
    street.says(data)
    first = len(street.app.peers)
    with street.weir.wire() as wire:
        wire.request("GET", "/bad")
        got = wire.reply()
        got.is_problem(502, "upstream-bad-reply")
        assert b"hello" not in got.body
        assert "hit" not in (got["cache-status"] or "")
        for peer in street.app.peers[first:]:
            assert peer.ended.wait(10), "weir kept the connection"
        # The client did nothing wrong: its connection goes on. Nothing was stored.
        street.says(reply(200, b"well"))
        wire.request("GET", "/bad")
        assert wire.reply().body == b"well"
    assert len(street.app.requests) == 1


@pytest.mark.parametrize("data, then", [
    (b"", "close"), (b"", "reset"),
    (b"HTTP/1.1 200", "close"), (head(b"Content-Length: 5")[:-2], "close"), (head(b"Content-Length: 5")[:-2], "reset"),
    (b"HTTP/1.1 100 Continue\r\n\r\n", "close"),
], ids=["closed", "reset", "half a status line", "half a head", "half a head, reset", "interim only"])
def test_no_whole_head_is_a_502(street, data, then):
    street.says(data, then=then)
    with street.weir.wire() as wire:
        wire.request("POST", "/none", body=b"")
        got = wire.reply()
        got.is_problem(502, got.json()["reason"])
        assert got.json()["reason"] == ("upstream-cut" if data else "upstream-closed"), got


CUT = {
    "length, short of one": ([head(b"Content-Length: 10"), b"123456789"], "close"),
    "length, nothing of it": ([head(b"Content-Length: 10")], "close"),
    "length, reset": ([head(b"Content-Length: 10"), b"12345"], "reset"),
    "chunked without the last chunk": ([head(b"Transfer-Encoding: chunked"), b"5\r\nhello\r\n"], "close"),
    "chunked in a chunk": ([head(b"Transfer-Encoding: chunked"), b"5\r\nhel"], "close"),
    "chunked in a size": ([head(b"Transfer-Encoding: chunked"), b"5\r\nhello\r\n1"], "close"),
    "chunked before the final line": ([head(b"Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\n"], "close"),
    "chunked in the final line": ([head(b"Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\n\r"], "close"),
    "chunked in trailers": ([head(b"Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\nName: v\r\n"], "close"),
    "bad chunk size": ([head(b"Transfer-Encoding: chunked"), b"5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n"], "stay"),
    "bad chunk end": ([head(b"Transfer-Encoding: chunked"), b"5\r\nhelloXX0\r\n\r\n"], "stay"),
    "LF in chunk lines": ([head(b"Transfer-Encoding: chunked"), b"5\nhello\n0\n\n"], "stay"),
    "NUL in trailers": ([head(b"Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\nName: \x00\r\n\r\n"], "stay"),
    "until the close, but reset": ([head(), b"hello"], "reset"),
    "unknown coding, reset": ([head(b"Transfer-Encoding: gzip"), b"hello"], "reset"),
}


def broken_or_502(weir, target, version=b"1.1"):
    """Asks, and asserts that what comes can't be taken for a whole reply."""
    with weir.wire() as wire:
        wire.send(b"GET %s HTTP/%s\r\nHost: test\r\n\r\n" % (target.encode(), version))
        try:
            got = wire.reply()
        except Broken:
            return "broken"
        assert got.status == 502, f"a cut reply looks whole: {got}"
        got.is_problem(502, got.json()["reason"])
        return got.json()["reason"]


@pytest.mark.parametrize("stored", [True, False], ids=["storable", "passed through"])
@pytest.mark.parametrize("pause", [0, 0.05], ids=["at once", "head first"])
@pytest.mark.parametrize("cut", CUT.values(), ids=CUT.keys())
def test_a_cut_reply_never_looks_whole_and_is_never_stored(street, cut, pause, stored):
    (start, *rest), then = cut
    if not stored:
        start = start.replace(b"max-age=60", b"no-store")
    street.says(start, pause, *rest, *([pause] if then == "reset" else []), then=then)
    first = len(street.app.peers)
    answer = broken_or_502(street.weir, "/cut")
    assert answer in ("broken", "upstream-cut", "upstream-bad-reply")
    if pause and not stored:
        assert answer == "broken", "its head has gone out"
    for peer in street.app.peers[first:]:
        if then == "stay":
            assert peer.ended.wait(10), "weir kept the connection"
    street.says(reply(200, b"well"))
    assert street.weir.get("/cut").body == b"well"


@pytest.mark.parametrize("cut", ["length, short of one", "chunked without the last chunk", "until the close, but reset"])
def test_a_cut_reply_to_an_http_1_0_client_ends_with_a_reset(street, cut):
    """Its end is the close: only a reset shows that it is not whole."""
    (start, *rest), then = CUT[cut]
    street.says(start.replace(b"max-age=60", b"no-store"), 0.05, *rest, 0.05, then=then)
    assert broken_or_502(street.weir, "/cut10", version=b"1.0") == "broken"


@pytest.mark.parametrize("begun", [
    b"HTTP/1.1 200 Fi", head(b"Content-Length: 10") + b"123", head(b"Transfer-Encoding: chunked") + b"5\r\nhe", head() + b"until the close",
], ids=["half a head", "length", "chunked", "until the close"])
def test_a_reset_right_behind_half_a_reply_is_noticed(start_app, start_weir, begun):
    """Both are there when weir looks; nothing else will ever come."""
    go_on, done = threading.Event(), threading.Event()

    def script(peer):
        peer.read_head()
        assert go_on.wait(patience(10))
        peer.send(begun)
        peer.reset()
        done.set()

    app = start_app(script=script)
    weir = start_weir(app)
    with weir.wire(timeout=patience(1)) as wire:
        wire.request("POST", "/", body=b"")
        app.wait_for_requests(1)
        weir.freeze()
        go_on.set()
        assert done.wait(patience(10))
        weir.thaw()
        try:
            assert wire.reply().status == 502
        except Broken:
            pass


def test_a_cut_is_in_the_access_log_with_its_word(street):
    street.says(head(b"Content-Length: 10").replace(b"max-age=60", b"no-store"), 0.05, b"123", then="close")
    assert broken_or_502(street.weir, "/cut-for-the-log") == "broken"
    line = street.weir.access(target="/cut-for-the-log")
    assert (line["reason"], line["outcome"]) == ("upstream-cut", "failed")


BODILESS = {
    "204": (b"HTTP/1.1 204 No Content\r\n", "GET"),
    "304": (b"HTTP/1.1 304 Not Modified\r\n", "GET"),
    "HEAD": (b"HTTP/1.1 200 Fine\r\n", "HEAD"),
}


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""], ids=["length", "chunked", "none"])
@pytest.mark.parametrize("kind", BODILESS.keys())
def test_body_bytes_where_none_may_be_end_the_connection(street, kind, framing):
    """The client's reply ends at the head; what came behind it is no other reply."""
    status, method = BODILESS[kind]
    body = chunked(b"hello") if b"chunked" in framing else b"hello"
    street.says(status + framing + b"\r\n" + body)
    first = len(street.app.peers)
    with street.weir.wire() as wire:
        wire.request(method, "/bodiless")
        got = wire.reply(to=method)
        assert got.status == int(status[9:12])
        street.says(reply(200, b"well"))
        wire.request("GET", "/next")
        assert wire.reply().body == b"well"
    assert all(peer.ended.wait(10) for peer in street.app.peers[first:-1]), "weir kept the connection"
    assert street.app.requests[-1].peer is not street.app.peers[first] or len(street.app.peers) == first + 1


def test_bytes_behind_a_whole_reply_are_no_reply_to_the_next_request(street):
    street.says(reply(200, b"first") + reply(200, b"smuggled"))
    with street.weir.wire() as wire:
        wire.request("GET", "/one")
        assert wire.reply().body == b"first"
        street.says(reply(200, b"second"))
        wire.request("GET", "/two")
        assert wire.reply().body == b"second"


def test_bytes_that_arrive_late_are_no_reply_to_the_next_request(street):
    street.says(reply(200, b"first"), 0.05, reply(200, b"late"))
    with street.weir.wire() as wire:
        wire.request("GET", "/one")
        assert wire.reply().body == b"first"
        peer = street.app.requests[-1].peer
        assert peer.ended.wait(10), "an idle connection that becomes readable is closed"
        street.says(reply(200, b"second"))
        wire.request("GET", "/two")
        assert wire.reply().body == b"second"


def test_an_unknown_coding_is_read_to_the_close_and_not_stored(street):
    street.says(head(b"Transfer-Encoding: gzip"), b"hello", then="close")
    for _ in range(2):
        got = street.weir.get("/gzip")
        assert (got.status, got.body) == (200, b"hello")
        assert "transfer-encoding" not in got or got["transfer-encoding"] == "chunked"
    assert len(street.app.requests) == 2


@pytest.mark.parametrize("count", [1, 16])
def test_interim_replies_are_passed_on(street, count):
    street.says(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-private\r\nX-Private: 1\r\n\r\n" * count, 0.02, reply(200, b"hello"))
    got = street.weir.get("/hints")
    assert got.body == b"hello"
    assert [interim.status for interim in got.interim] == [103] * count
    assert got.interim[0]["link"] == "</a.css>; rel=preload"
    assert "x-private" not in got.interim[0] and "connection" not in got.interim[0]


def test_an_http_1_0_client_gets_no_interim_reply(street):
    street.says(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n", 0.02, reply(200, b"hello"))
    with street.weir.wire() as wire:
        wire.send(b"GET /hints HTTP/1.0\r\nHost: test\r\n\r\n")
        got = wire.reply()
        assert got.interim == [] and got.body == b"hello"


def test_a_100_that_nobody_waits_for_is_not_passed_on(street):
    street.says(b"HTTP/1.1 100 Continue\r\n\r\n", 0.02, reply(200, b"hello"))
    got = street.weir.get("/continue")
    assert got.interim == [] and got.body == b"hello"


RIGHT = {
    "no reason": (b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "no reason and no space": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "unknown status": (b"HTTP/1.1 299 Odd\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "upper case coding": (b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: CHUNKED\r\n\r\n" + chunked(b"hel", b"lo"), b"hello"),
    "chunk extensions": (b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
    "zero length": (b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n", b""),
    "HTTP/1.0 with a length": (b"HTTP/1.0 200 Fine\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "high bytes in a value": (b"HTTP/1.1 200 Fine\r\nName: caf\xc3\xa9\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
}


@pytest.mark.parametrize("row", RIGHT.values(), ids=RIGHT.keys())
def test_what_is_unusual_but_right_is_passed_on(street, row):
    data, body = row
    street.says(data)
    got = street.weir.get("/right")
    assert got.status < 300 and got.body == body


def test_a_reply_until_the_close_is_whole_when_the_close_is_clean(street):
    street.says(b"HTTP/1.1 200 Fine\r\n\r\n", b"hello", 0.02, b" world", then="close")
    got = street.weir.get("/close")
    assert got.body == b"hello world"
    assert got.framing == "chunked"
