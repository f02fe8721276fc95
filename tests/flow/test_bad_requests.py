"""Refuse, do not repair: a request that could be read in two ways gets one right answer, nothing of it reaches the app, and its
connection ends."""

import pytest

from harness import App, Broken

CRLF = b"\r\n"


@pytest.fixture(scope="module")
def street(module_weirs):
    app = App()
    yield app, module_weirs.start(app, workers=2)
    app.close()


def get(*lines, target=b"/", method=b"GET", version=b"HTTP/1.1", host=b"Host: test"):
    head = [method + b" " + target + b" " + version] + ([host] if host else []) + list(lines)
    return CRLF.join(head) + CRLF + CRLF


def post(*lines, body=b"", **options):
    return get(*lines, method=b"POST", **options) + body


def chunks(body, *lines):
    return post(b"Transfer-Encoding: chunked", *lines, body=body)


LENGTHS = {
    "plus": b"+5", "minus": b"-5", "hexadecimal": b"0x5", "fraction": b"5.0", "quoted": b'"5"', "underscore": b"5_0", "empty": b"",
    "over 2^63": b"9223372036854775808", "over 2^64": b"18446744073709551621", "forty digits": b"1" * 40, "list": b"5, 5",
    "list of others": b"5, 6", "inner space": b"5 5", "letters": b"five", "comma": b"5,", "arabic digit": "٥".encode(),
    "vertical tab inside": b"5\x0b", "form feed before": b"\x0c5", "no-break space": b"\xa05", "semicolon": b"5;",
}
LENGTH_WORDS = {"vertical tab inside": "bad-field", "form feed before": "bad-field"}

CODINGS = {
    "chunked not last": (b"chunked, gzip", "bad-transfer-coding"),
    "chunked twice": (b"chunked, chunked", "bad-transfer-coding"),
    "gzip alone": (b"gzip", "bad-transfer-coding"),
    "parameter": (b"chunked;q=1", "bad-transfer-coding"),
    "quotes": (b'"chunked"', "bad-transfer-coding"),
    "empty": (b"", "bad-transfer-coding"),
    "comma before": (b",chunked", "bad-transfer-coding"),
    "comma behind": (b"chunked,", "bad-transfer-coding"),
    "inner space": (b"chun ked", "bad-transfer-coding"),
    "no-break space before": (b"\xa0chunked", "bad-transfer-coding"),
    "vertical tab before": (b"\x0bchunked", "bad-field"),
    "form feed behind": (b"chunked\x0c", "bad-field"),
    "nul behind": (b"chunked\x00", "bad-field"),
    "gzip then chunked": (b"gzip, chunked", "unknown-transfer-coding"),
    "bare CR inside": (b"chun\rked", "bad-field"),
}

HOSTS = {
    "space": b"a b", "comma": b"a,b", "slash": b"a/b", "userinfo": b"user@a", "userinfo with password": b"user:pw@a", "fragment": b"a#b",
    "query": b"a?b", "backslash": b"a\\b", "port with letters": b"a:8o", "port over 65535": b"a:65536", "negative port": b"a:-1",
    "two ports": b"a:80:80", "open bracket": b"[::1", "bracket inside": b"a[b", "closed bracket": b"::1]", "IPv6 without brackets": b"::1",
    "scheme": b"http://a", "percent": b"a%zz", "high byte": b"a\xffb", "quote": b'"a"', "angle": b"<a>", "only a port": b":80",
    "tab inside": b"a\tb",
}

# name: (bytes, status, word)
ROWS = {
    "length with coding": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400, "bad-framing"),
    "coding with length": (post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"), 400, "bad-framing"),
    "coding in other case with length": (post(b"TRANSFER-ENCODING: CHUNKED", b"content-length: 5", body=b"0\r\n\r\n"), 400, "bad-framing"),
    "two lengths, differing": (post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!"), 400, "bad-content-length"),
    "two lengths, the same": (post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400, "bad-content-length"),
    "two lengths, other case": (post(b"Content-Length: 5", b"content-LENGTH: 0", body=b"hello"), 400, "bad-content-length"),
    **{f"length: {name}": (post(b"Content-Length: " + value, body=b"hello"), 400, LENGTH_WORDS.get(name, "bad-content-length"))
       for name, value in LENGTHS.items()},
    **{f"coding: {name}": (post(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n"), 501 if "unknown" in word else 400, word)
       for name, (value, word) in CODINGS.items()},
    "coding on two lines": (post(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400, "bad-transfer-coding"),
    "coding: chunked on two lines": (
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400, "bad-transfer-coding"),
    "coding: unknown": (post(b"Transfer-Encoding: rot13, chunked", body=b"0\r\n\r\n"), 501, "unknown-transfer-coding"),
    "coding: unknown alone": (post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 501, "unknown-transfer-coding"),
    "coding: identity": (post(b"Transfer-Encoding: identity", body=b"hello"), 501, "unknown-transfer-coding"),
    "coding in HTTP/1.0": (post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"HTTP/1.0"), 400, "bad-framing"),
    "coding in HTTP/1.0, kept": (
        post(b"Connection: keep-alive", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"HTTP/1.0"), 400, "bad-framing"),
    "space before the colon": (get(b"Name : v"), 400, "bad-field"),
    "tab before the colon": (get(b"Name\t: v"), 400, "bad-field"),
    "space before the colon of a length": (post(b"Content-Length : 5", body=b"hello"), 400, "bad-field"),
    "space before the colon of a coding": (post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400, "bad-field"),
    "space before the colon of Host": (get(host=b"Host : test"), 400, "bad-field"),
    "space inside a name": (get(b"Na me: v"), 400, "bad-field"),
    "space before the first field": (b"GET / HTTP/1.1\r\n Host: test\r\n\r\n", 400, "bad-field"),
    "tab before the first field": (b"GET / HTTP/1.1\r\n\tHost: test\r\nHost: test\r\n\r\n", 400, "bad-field"),
    "folded line": (get(b"Name: v", b" more"), 400, "bad-field"),
    "folded line by tab": (get(b"Name: v", b"\tmore"), 400, "bad-field"),
    "folded length": (post(b"Content-Length:", b" 5", body=b"hello"), 400, "bad-field"),
    "folded coding": (post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"), 400, "bad-field"),
    "bare LF behind the request line": (b"GET / HTTP/1.1\nHost: test\r\n\r\n", 400, "bad-request-line"),
    "bare LF behind a field": (b"GET / HTTP/1.1\r\nHost: test\nName: v\r\n\r\n", 400, "bad-field"),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: test\r\n\n", 400, "bad-field"),
    "LF LF": (b"GET / HTTP/1.1\nHost: test\n\n", 400, "bad-request-line"),
    "bare CR in the request line": (b"GET / HTTP/1.1\rHost: test\r\n\r\n", 400, "bad-request-line"),
    "bare CR in a value": (get(b"Name: a\rb"), 400, "bad-field"),
    "bare CR behind a field": (b"GET / HTTP/1.1\r\nHost: test\rName: v\r\n\r\n", 400, "bad-field"),
    "CRLF CR X": (b"GET / HTTP/1.1\r\nHost: test\r\n\rX", 400, "bad-field"),
    "CR CR LF": (b"GET / HTTP/1.1\r\nHost: test\r\r\n\r\n", 400, "bad-field"),
    "bare CR before the request": (b"\rGET / HTTP/1.1\r\nHost: test\r\n\r\n", 400, "bad-request-line"),
    "bare LF before the request": (b"\nGET / HTTP/1.1\r\nHost: test\r\n\r\n", 400, "bad-request-line"),
    **{f"byte {byte:02x} in a value": (get(b"Name: a" + bytes([byte]) + b"b"), 400, "bad-field")
       for byte in [*range(0, 9), 11, 12, *range(14, 32), 127]},
    **{f"byte {byte:02x} in a name": (get(b"Na" + bytes([byte]) + b"me: v"), 400, "bad-field")
       for byte in [0, 1, 9, 11, 12, 27, 127, 128, 255, *b'"(),/;<=>?@[\\]{}']},
    "no name": (get(b": v"), 400, "bad-field"),
    "no colon": (get(b"Name"), 400, "bad-field"),
    "no Host": (get(host=None), 400, "bad-host"),
    "two Hosts, differing": (get(b"Host: other"), 400, "bad-host"),
    "two Hosts, the same": (get(b"Host: test"), 400, "bad-host"),
    **{f"host: {name}": (get(host=b"Host: " + value), 400, "bad-host") for name, value in HOSTS.items()},
    "HTTP/1.0 with two Hosts": (get(b"Host: test", version=b"HTTP/1.0"), 400, "bad-host"),
    "absolute-form against Host": (get(target=b"http://other/"), 400, "bad-host"),
    "absolute-form with userinfo": (get(target=b"http://user@test/"), 400, "bad-host"),
    "absolute-form with another port": (get(target=b"http://test:8080/"), 400, "bad-host"),
    "absolute-form without authority": (get(target=b"http:///x"), 400, "bad-host"),
    "absolute-form of another scheme": (get(target=b"ftp://test/"), 400, "bad-target"),
    "target without slash": (get(target=b"x"), 400, "bad-target"),
    "target authority-form": (get(target=b"test:80"), 400, "bad-target"),
    "asterisk with GET": (get(target=b"*"), 400, "bad-target"),
    "fragment in the target": (get(target=b"/a#b"), 400, "bad-target"),
    "tab in the target": (get(target=b"/a\tb"), 400, "bad-target"),
    "high byte in the target": (get(target=b"/a\xffb"), 400, "bad-target"),
    "space in the target": (get(target=b"/a b"), 400, "bad-request-line"),
    "NUL in the target": (get(target=b"/a\x00b"), 400, "bad-request-line"),
    "DEL in the target": (get(target=b"/a\x7fb"), 400, "bad-request-line"),
    "no target": (b"GET HTTP/1.1\r\nHost: test\r\n\r\n", 400, None),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: test\r\n\r\n", 400, "bad-request-line"),
    "space behind the version": (b"GET / HTTP/1.1 \r\nHost: test\r\n\r\n", 400, "bad-request-line"),
    "tab for space": (b"GET\t/ HTTP/1.1\r\nHost: test\r\n\r\n", 400, "bad-request-line"),
    "space before the method": (b" GET / HTTP/1.1\r\nHost: test\r\n\r\n", 400, "bad-request-line"),
    "method is no token": (get(method=b"G(T"), 400, "bad-request-line"),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400, "bad-request-line"),
    "HTTP/1.2": (get(version=b"HTTP/1.2"), 505, "bad-http-version"),
    "HTTP/2.0": (get(version=b"HTTP/2.0"), 505, "bad-http-version"),
    "HTTP/9.9": (get(version=b"HTTP/9.9"), 505, "bad-http-version"),
    "HTTP/1.10": (get(version=b"HTTP/1.10"), 400, "bad-request-line"),
    "HTTP/01.1": (get(version=b"HTTP/01.1"), 400, "bad-request-line"),
    "http/1.1": (get(version=b"http/1.1"), 400, "bad-request-line"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None, None),
    "CONNECT": (get(method=b"CONNECT", target=b"test:443", host=b"Host: test:443"), 405, "method-refused"),
    "unknown expectation": (post(b"Expect: 200-ok", b"Content-Length: 5", body=b"hello"), 417, "bad-expectation"),
    "not HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 64, 400, "bad-request-line"),
    "random letters": (b"hello weir\r\n\r\n", 400, "bad-request-line"),
    "target over 8 KiB": (get(target=b"/" + b"x" * 8192), 414, "target-too-long"),
    "method without an end": (b"G" * 9000, 414, "target-too-long"),
    "one line over 8 KiB": (get(b"Name: " + b"x" * 8192), 431, "head-too-large"),
    "head over 16 KiB": (get(*[b"Name-%d: %s" % (i, b"x" * 1000) for i in range(17)]), 431, "head-too-large"),
    "head without an end": (b"GET / HTTP/1.1\r\nHost: test\r\n" + b"".join(b"Name-%d: %s\r\n" % (i, b"x" * 1000) for i in range(20)), 431, "head-too-large"),
    "101 fields": (get(*[b"N%d: v" % i for i in range(100)]), 431, "too-many-fields"),
}

CHUNKED = {
    "size 0x5": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size +5": b"+5\r\nhello\r\n0\r\n\r\n",
    "size -5": b"-5\r\nhello\r\n0\r\n\r\n",
    "blank size": b"\r\nhello\r\n0\r\n\r\n",
    "space for a size": b" \r\nhello\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "16 digits over 2^63": b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "letter behind the size": b"5g\r\nhello\r\n0\r\n\r\n",
    "CR X behind the size": b"5\rX\nhello\r\n0\r\n\r\n",
    "bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "no CRLF behind the chunk": b"5\r\nhelloXX0\r\n\r\n",
    "LF behind the chunk": b"5\r\nhello\n0\r\n\r\n",
    "chunk longer than its size": b"5\r\nhello!\r\n0\r\n\r\n",
    "bare LF in an extension": b"5;a=b\nc\r\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a=b\rc\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "control byte in an extension": b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
    "extension over 4 KiB": b"5;a=" + b"x" * 4200 + b"\r\nhello\r\n0\r\n\r\n",
    "extensions over 4 KiB in all": b"".join(b"1;a=" + b"x" * 500 + b"\r\nh\r\n" for _ in range(9)) + b"0\r\n\r\n",
    "last chunk ends with LF": b"5\r\nhello\r\n0\n\r\n",
    "bare LF for the end": b"5\r\nhello\r\n0\r\n\n",
    "CR X for the end": b"5\r\nhello\r\n0\r\n\rX",
    "trailer without colon": b"5\r\nhello\r\n0\r\nTrailer\r\n\r\n",
    "trailer with space before the colon": b"5\r\nhello\r\n0\r\nName : v\r\n\r\n",
    "folded trailer": b"5\r\nhello\r\n0\r\nName: v\r\n more\r\n\r\n",
    "NUL in a trailer": b"5\r\nhello\r\n0\r\nName: \x00\r\n\r\n",
    "bare LF in trailers": b"5\r\nhello\r\n0\r\nName: v\nOther: v\r\n\r\n",
}


def refused(weir, data, tail=b""):
    """Sends it, asserts that one reply comes and then the end; the reply."""
    with weir.wire() as wire:
        wire.send_while_taken(data + tail)
        reply = wire.reply()
        assert reply["connection"] == "close", reply
        assert wire.is_at_end(), "more came behind the refusal"
        return reply


def check(street, data, status, word, tail=b""):
    app, weir = street
    app.forget()
    reply = refused(weir, data, tail)
    assert reply.status == status or (status is None and 400 <= reply.status < 600), reply
    reply.is_problem(reply.status, word or reply.json()["reason"])
    assert app.has_seen_nothing(), f"the app saw {[bytes(peer.received) for peer in app.peers]}"
    assert app.requests == []


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_one_right_answer_and_the_app_sees_nothing(street, row):
    check(street, *row)


# A second request behind the refused one must not be read as one: that is what smuggling is made of.
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_what_follows_a_refused_request_is_no_request(street, row):
    check(street, *row, tail=b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n")


@pytest.mark.parametrize("body", CHUNKED.values(), ids=CHUNKED.keys())
def test_a_bad_chunked_body_is_refused(street, body):
    """The body is small enough to be read whole before the app is asked: so it never is."""
    word = "bad-field" if body.startswith((b"5\r\nhello\r\n0\r\nT", b"5\r\nhello\r\n0\r\nN")) else None
    app, weir = street
    app.forget()
    reply = refused(weir, chunks(body), b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n")
    reply.is_problem(400, word or reply.json()["reason"])
    assert reply.json()["reason"] in ("bad-chunk", "bad-field"), reply
    assert app.has_seen_nothing()


@pytest.mark.parametrize("body", CHUNKED.values(), ids=CHUNKED.keys())
def test_a_body_that_turns_bad_on_its_way_never_completes_at_the_app(street, body):
    """More than the buffer went out before the doubt: the app's connection breaks, and no last chunk is made up."""
    app, weir = street
    app.forget()
    before = len(app.peers)
    good = b"".join(b"8000\r\n" + b"x" * 0x8000 + b"\r\n" for _ in range(8))
    reply = refused(weir, chunks(good + body))
    assert reply.status == 400, reply
    request = app.wait_for_requests(1)
    app.wait_until_ended(app.peers.index(request.peer))
    assert not request.is_whole
    assert b"\r\n0\r\n" not in request.peer.received
    assert request.peer.was_reset, "a FIN could pass for the end"
    assert "/smuggled" not in app.targets() and len(app.peers) <= before + 1


GOOD = b"GET /good HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.mark.parametrize("garbage", [
    b"garbage\r\n\r\n", b"\x00\x01\x02\x03", b"GET / HTTP/1.1\r\nHost : test\r\n\r\n", b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    b"GET /x HTTP/1.1\nHost: test\n\n", b"HTTP/1.1 200 OK\r\n\r\n",
], ids=["words", "bytes", "bad field", "chunk", "bare LF", "a reply"])
def test_garbage_behind_a_good_request_is_refused_alone(street, garbage):
    app, weir = street
    app.forget()
    with weir.wire() as wire:
        wire.send(GOOD + garbage)
        first = wire.reply()
        assert (first.status, first.body) == (200, b"hello")
        second = wire.reply()
        second.is_problem(400, second.json()["reason"])
        assert second["connection"] == "close"
        assert wire.is_at_end()
    assert app.targets() == ["/good"]


def test_bytes_behind_connection_close_are_no_request(street):
    app, weir = street
    app.forget()
    with weir.wire() as wire:
        wire.send(b"GET /last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n")
        assert wire.reply().status == 200
        assert wire.is_at_end()
    assert app.targets() == ["/last"]


def test_bytes_behind_an_http_1_0_request_are_no_request(street):
    app, weir = street
    app.forget()
    with weir.wire() as wire:
        wire.send(b"GET /last HTTP/1.0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n")
        assert wire.reply().status == 200
        assert wire.is_at_end()
    assert app.targets() == ["/last"]


@pytest.mark.parametrize("data", [b"\r\n" + GOOD, b"\r\n\r\n" + GOOD], ids=["one", "two"])
def test_empty_lines_before_a_request_are_skipped(street, data):
    _, weir = street
    with weir.wire() as wire:
        wire.send(data)
        assert wire.reply().status == 200


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_how_the_bytes_are_cut_changes_nothing(street, size):
    app, weir = street
    app.forget()
    data = GOOD + b"POST /chunks HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nName: v\r\n\r\n" + GOOD
    with weir.wire() as wire:
        for at in range(0, len(data), size):
            wire.send(data[at : at + size])
        assert [wire.reply().status for _ in range(3)] == [200, 200, 200]
    assert app.targets() == ["/good", "/chunks", "/good"]
    assert app.requests[1].body == b"hello"


@pytest.mark.parametrize("row", ["length with coding", "folded coding", "bare CR behind a field", "CRLF CR X", "no Host"])
def test_a_bad_request_in_single_bytes_is_refused_the_same(street, row):
    app, weir = street
    app.forget()
    data, status, word = ROWS[row]
    with weir.wire() as wire:
        for byte in data:
            wire.send_while_taken(bytes([byte]))
        try:
            reply = wire.reply()
        except Broken as error:
            pytest.fail(f"no answer: {error}")
        reply.is_problem(status, word)
    assert app.has_seen_nothing()


GOOD_ROWS = {
    "field value with high bytes": (get(b"Name: caf\xc3\xa9"), "/"),
    "empty value": (get(b"Name:"), "/"),
    "tabs and spaces around a value": (get(b"Name: \t v \t"), "/"),
    "absolute-form that agrees": (get(target=b"http://test/abs"), "/abs"),
    "absolute-form in other case and with the default port": (get(target=b"http://TEST:80/abs"), "/abs"),
    "absolute-form without a path": (get(target=b"http://test"), "/"),
    "HTTP/1.0 without Host": (get(host=None, version=b"HTTP/1.0"), "/"),
    "Host with a port": (get(host=b"Host: test:8080"), "/"),
    "Host with an IPv6 address": (get(host=b"Host: [::1]:8080"), "/"),
    "unknown method": (get(method=b"PROPFIND"), "/"),
    "asterisk with OPTIONS": (get(method=b"OPTIONS", target=b"*"), "*"),
    "exact target bytes": (get(target=b"/a/../b//c;d?e=%2f&&"), "/a/../b//c;d?e=%2f&&"),
    "upper case coding": (chunks(b"5\r\nhello\r\n0\r\n\r\n").replace(b": chunked", b": Chunked"), "/"),
    "chunk extensions": (chunks(b"5;a;b=c;d=\"e;f\"\r\nhello\r\n0;x\r\n\r\n"), "/"),
    "leading zeros in a chunk size": (chunks(b"0005\r\nhello\r\n000\r\n\r\n"), "/"),
    "zero length": (post(b"Content-Length: 0"), "/"),
    "100 fields": (get(*[b"N%d: v" % i for i in range(99)]), "/"),
}


@pytest.mark.parametrize("row", GOOD_ROWS.values(), ids=GOOD_ROWS.keys())
def test_what_is_unusual_but_right_is_passed_on(street, row):
    app, weir = street
    app.forget()
    data, target = row
    with weir.wire() as wire:
        wire.send(data)
        reply = wire.reply()
        assert reply.status == 200, reply
        wire.send(GOOD.replace(b"/good", b"/next"))
        if not data.split(CRLF)[0].endswith(b"1.0"):
            assert wire.reply().status == 200
    assert app.targets()[0] == target


def test_a_refusal_is_in_the_access_log_with_its_word(street):
    _, weir = street
    reply = refused(weir, get(host=None, target=b"/for-the-log"))
    line = weir.access(request_id=reply["x-request-id"])
    assert (line["status"], line["reason"], line["outcome"]) == (400, "bad-host", "refused")
