"""An upgrade to WebSocket becomes a tunnel, once the app has said 101 and not before; every other upgrade is dropped."""

import asyncio
import base64
import hashlib
import os
import struct
import threading
import time

import pytest

from harness import App, eventually, reply
from harness.patience import patience

websockets = pytest.importorskip("websockets")

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ASK = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]


def accept_key(key):
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def switching(request, *lines):
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket",
                        f"Sec-WebSocket-Accept: {accept_key(request['sec-websocket-key'])}", *lines]).encode() + b"\r\n\r\n"


def frame(opcode, payload, mask=None):
    """RFC 6455 5.2, one final frame."""
    size = len(payload)
    head = struct.pack("!BB", 0x80 | opcode, (0x80 if mask else 0) | (size if size < 126 else 126 if size < 65536 else 127))
    if size >= 65536:
        head += struct.pack("!Q", size)
    elif size >= 126:
        head += struct.pack("!H", size)
    if not mask:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def read_frame(read):
    head = read(2)
    size = head[1] & 0x7F
    if size == 126:
        size = struct.unpack("!H", read(2))[0]
    elif size == 127:
        size = struct.unpack("!Q", read(8))[0]
    mask = read(4) if head[1] & 0x80 else None
    payload = read(size)
    if mask:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head[0] & 0x0F, payload


def echo(peer):
    """Upgrades if asked, and then sends every frame back until a close."""
    while request := peer.read_head():
        if "upgrade" in request:
            break
        peer.send(reply(200, b"plain"))
    else:
        return
    peer.send(switching(request))
    while True:
        opcode, payload = read_frame(peer.exactly)
        peer.send(frame(opcode, payload))
        if opcode == 8:
            return


@pytest.fixture(scope="module")
def street(module_weirs):
    app = App(script=echo)
    yield app, module_weirs.start(app, routes=[{"path": "/none/**", "upgrade": "none"}])
    app.close()


def upgraded(weir, *lines, target="/chat"):
    wire = weir.wire()
    wire.request("GET", target, *ASK, *lines)
    got = wire.reply_head()
    assert got.status == 101, got
    return wire, got


def test_the_handshake_passes_both_ways(street):
    app, weir = street
    app.forget()
    wire, got = upgraded(weir, "Sec-WebSocket-Protocol: chat", "Origin: http://test", "Cookie: a=b")
    with wire:
        assert got["upgrade"] == "websocket" and got["connection"] == "Upgrade"
        assert got["sec-websocket-accept"] == accept_key(KEY)
        assert "content-length" not in got and "transfer-encoding" not in got
        request = app.requests[0]
        assert request["upgrade"] == "websocket" and request["connection"].lower() == "upgrade"
        assert (request["sec-websocket-key"], request["sec-websocket-protocol"], request["cookie"]) == (KEY, "chat", "a=b")
        assert request["x-forwarded-for"] == "127.0.0.1"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300000])
def test_frames_pass_both_ways(street, size):
    _, weir = street
    wire, _ = upgraded(weir)
    with wire:
        for _ in range(3):
            payload = os.urandom(size)
            wire.send(frame(2, payload, mask=b"mask"))
            assert read_frame(wire.exactly) == (2, payload)


def test_what_the_app_sends_right_behind_its_101_arrives(start_app, start_weir):
    def script(peer):
        peer.send(switching(peer.read_head()) + frame(1, b"hello"))
        peer.wait_for_end()

    weir = start_weir(start_app(script=script))
    wire, _ = upgraded(weir)
    with wire:
        assert read_frame(wire.exactly) == (1, b"hello")


def test_bytes_behind_the_request_are_not_relayed_before_the_101(start_app, start_weir):
    """To an app that does not upgrade, they would be a request that nobody looked at."""
    go_on = threading.Event()

    def script(peer):
        request = peer.read_head()
        assert go_on.wait(patience(10))
        assert not peer.held
        peer.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.socket.recv(1)
        peer.socket.setblocking(True)
        peer.send(switching(request))
        peer.app.told = peer.exactly(len(frame(1, b"early", mask=b"mask")))
        peer.send(frame(1, b"well"))
        peer.wait_for_end()

    app = start_app(script=script)
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send("\r\n".join(["GET /chat HTTP/1.1", "Host: test", *ASK]).encode() + b"\r\n\r\n" + frame(1, b"early", mask=b"mask"))
        app.wait_for_requests(1)
        assert wire.is_silent(0.1)
        go_on.set()
        assert wire.reply_head().status == 101
        assert read_frame(wire.exactly) == (1, b"well")
    assert app.told == frame(1, b"early", mask=b"mask")
    assert not app.errors


def test_an_app_that_does_not_upgrade_answers_as_to_any_request(start_app, start_weir):
    """The bytes behind are the next request then, judged like any other."""
    app = start_app(lambda request: reply(426 if request.target == "/chat" else 200, request.target.encode()))
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send("\r\n".join(["GET /chat HTTP/1.1", "Host: test", *ASK]).encode() + b"\r\n\r\n", b"GET /next HTTP/1.1\r\nHost: test\r\n\r\n")
        first = wire.reply()
        assert (first.status, first.body) == (426, b"/chat")
        assert wire.reply().body == b"/next"
    assert app.targets() == ["/chat", "/next"]


def test_an_apps_refusal_of_the_upgrade_leaves_the_smuggled_bytes_behind(start_app, start_weir):
    app = start_app(lambda request: reply(403, b"no"))
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send("\r\n".join(["GET /chat HTTP/1.1", "Host: test", *ASK]).encode() + b"\r\n\r\n", frame(1, b"GET /smuggled", mask=b"mask"))
        assert wire.reply().status == 403
        wire.reply().is_problem(400, "bad-request-line")
    assert app.targets() == ["/chat"]


@pytest.mark.parametrize("lines", [
    ["Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"],
    ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"],
    ["Connection: Upgrade", "Upgrade: TLS/1.0"],
    ["Connection: Upgrade", "Upgrade: websocket, h2c", f"Sec-WebSocket-Key: {KEY}"],
    ["Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}"],
    ["Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}"],
], ids=["h2c", "h2c, named", "TLS", "a list", "two lines", "not named in Connection"])
def test_other_upgrades_are_dropped(street, lines):
    app, weir = street
    app.forget()
    with weir.wire() as wire:
        wire.request("GET", "/", *lines)
        got = wire.reply()
        assert (got.status, got.body) == (200, b"plain")
    assert [name for name in ("upgrade", "connection", "http2-settings") if name in app.requests[0]] == []


@pytest.mark.parametrize("request_line, body", [("POST /chat HTTP/1.1", b""), ("GET /chat HTTP/1.0", b""), ("GET /chat HTTP/1.1", b"hello")],
                         ids=["POST", "HTTP/1.0", "with a body"])
def test_only_a_get_of_http_1_1_without_a_body_upgrades(start_app, start_weir, request_line, body):
    app = start_app(reply(200, b"plain"))
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send("\r\n".join([request_line, "Host: test", *ASK, f"Content-Length: {len(body)}"]).encode() + b"\r\n\r\n" + body)
        assert wire.reply().body == b"plain"
    assert "upgrade" not in app.requests[0]


def test_a_route_may_refuse_upgrades(street):
    app, weir = street
    app.forget()
    with weir.wire() as wire:
        wire.request("GET", "/none/chat", *ASK)
        assert wire.reply().body == b"plain"
    assert "upgrade" not in app.requests[0]


def test_a_101_to_a_refused_upgrade_is_a_502(start_app, start_weir):
    app = start_app(script=lambda peer: (peer.send(switching(peer.read_head())), peer.wait_for_end()))
    weir = start_weir(app, routes=[{"path": "/**", "upgrade": "none"}])
    with weir.wire() as wire:
        wire.request("GET", "/chat", *ASK)
        wire.reply().is_problem(502, "upstream-bad-reply")
    app.wait_until_ended()


def test_the_end_of_one_side_ends_the_other(street):
    app, weir = street
    app.forget()
    wire, _ = upgraded(weir)
    with wire:
        wire.send(frame(8, b"\x03\xe8", mask=b"mask"))
        assert read_frame(wire.exactly) == (8, b"\x03\xe8")
        assert wire.is_at_end()
    assert weir.access(target="/chat", bytes=4), "what the app sent through the tunnel counts"


def test_a_client_that_leaves_ends_the_apps_side(start_app, start_weir):
    def script(peer):
        peer.send(switching(peer.read_head()))
        peer.wait_for_end()

    app = start_app(script=script)
    weir = start_weir(app)
    wire, _ = upgraded(weir)
    wire.reset()
    app.wait_until_ended()
    assert weir.access(target="/chat")["status"] == 101


def test_a_half_closed_side_may_still_be_told(start_app, start_weir):
    def script(peer):
        peer.send(switching(peer.read_head()))
        assert peer.wait_for_end()
        peer.send(frame(1, b"last words"))

    weir = start_weir(start_app(script=script))
    wire, _ = upgraded(weir)
    with wire:
        wire.half_close()
        assert read_frame(wire.exactly) == (1, b"last words")
        assert wire.is_at_end()


def test_a_tunnel_outlives_the_waits_of_requests(start_app, start_weir):
    weir = start_weir(start_app(script=echo), clients={"keepalive": "100ms", "head_time": "100ms", "body_idle": "100ms", "write_stall": "100ms"},
                      upstream={"timeouts": {"first_byte": "100ms", "idle": "100ms"}})
    wire, _ = upgraded(weir)
    with wire:
        time.sleep(0.5)  # the rule is about time passing
        wire.send(frame(1, b"still here", mask=b"mask"))
        assert read_frame(wire.exactly) == (1, b"still here")


def test_weir_stops_in_the_middle_of_a_tunnel(start_app, start_weir):
    """A tunnel has no last reply to wait for: it must not hold up the drain for its minute."""
    weir = start_weir(start_app(script=echo))
    wire, _ = upgraded(weir)
    with wire:
        wire.send(frame(1, b"hello", mask=b"mask"))
        assert read_frame(wire.exactly) == (1, b"hello")
        weir.ask_to_stop()
        wire.socket.settimeout(20)
        began = time.monotonic()
        wire.half_close()
        wire.is_at_end()
        eventually(lambda: not weir.is_running(), within=20)
        assert time.monotonic() - began < 20


def test_a_library_talks_through_weir(module_weirs):
    """python3-websockets on both sides."""

    async def talk():
        async def serve(connection, *_):
            async for message in connection:
                await connection.send(message[::-1])

        async with websockets.serve(serve, "127.0.0.1", 0, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            weir = module_weirs.start(f"127.0.0.1:{port}")
            async with websockets.connect(f"ws://127.0.0.1:{weir.address[1]}/chat", max_size=None) as connection:
                for message in ["hello", "x" * 100000, b"bytes", "y" * 3000000]:
                    await connection.send(message)
                    assert await asyncio.wait_for(connection.recv(), patience(20)) == message[::-1]
                await asyncio.wait_for(await connection.ping(), patience(10))

    asyncio.run(talk())
