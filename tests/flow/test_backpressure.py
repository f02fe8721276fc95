"""What does not flow is held back at its source: memory stays bounded, however large the body and however slow its reader."""

import threading

import pytest

from harness import SANITIZED, App, Wire, eventually, reply
from harness.patience import patience

MIB = 1 << 20
HUGE = 64 * MIB if SANITIZED else 2048 * MIB
RSS_MAX = 30 * MIB

PIECE = bytes(1 << 18)


def small_enough(weir):
    """Sanitizers keep freed memory back, so it is not measured under them."""
    peak = weir.rss_peak()
    assert SANITIZED or peak < RSS_MAX, f"{peak / MIB:.1f} MiB"


def send_zeros(send, size):
    for _ in range(size // len(PIECE)):
        send(PIECE)
    send(PIECE[: size % len(PIECE)])


def test_a_huge_upload_needs_little_memory(start_app, start_weir):
    def script(peer):
        request = peer.read_head()
        peer.send(reply(200, str(peer.skip_body(request)).encode()))
        peer.wait_for_end()

    weir = start_weir(start_app(script=script))
    with weir.wire(timeout=patience(60)) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % HUGE)
        send_zeros(wire.send, HUGE)
        assert wire.reply().body == str(HUGE).encode()
    small_enough(weir)


@pytest.mark.parametrize("fields", [["Cache-Control: no-store"], ["Cache-Control: max-age=60"]], ids=["passed through", "storable but too large"])
def test_a_huge_download_needs_little_memory(start_app, start_weir, fields):
    size = HUGE if "no-store" in fields[0] else HUGE // 8

    def script(peer):
        while peer.read_head():
            peer.send(reply(200, b"", f"Content-Length: {size}", *fields, length=False))
            send_zeros(peer.send, size)

    weir = start_weir(start_app(script=script), cache={"memory": "4MiB", "object_max": "1MiB"})
    with weir.wire(timeout=patience(60)) as wire:
        wire.request("GET", "/")
        assert wire.skip_body(wire.reply_head()) == size
    small_enough(weir)


def test_a_chunked_download_of_unknown_length_needs_little_memory(start_app, start_weir):
    size = HUGE // 8
    chunk = b"40000\r\n" + PIECE + b"\r\n"

    def script(peer):
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // len(PIECE)):
            peer.send(chunk)
        peer.send(b"0\r\n\r\n")
        peer.wait_for_end()

    weir = start_weir(start_app(script=script), cache={"memory": "4MiB", "object_max": "1MiB"})
    total = 0
    with weir.wire(timeout=patience(60)) as wire:
        wire.request("GET", "/")
        wire.reply_head()
        while piece := wire.chunk():
            total += len(piece)
    assert total == size
    small_enough(weir)


class Fountain:
    """An app that sends as much as is taken, and says how much that was."""

    def __init__(self, start_app, size, fields):
        self.size = size
        self.sent = 0
        self.lock = threading.Lock()
        self.fields = fields
        self.app = start_app(script=self.script)

    def script(self, peer):
        if not peer.read_head():
            return
        peer.send(reply(200, b"", f"Content-Length: {self.size}", *self.fields, length=False))
        for _ in range(self.size // 65536):
            peer.send(PIECE[:65536])
            with self.lock:
                self.sent += 65536
        peer.wait_for_end()

    def wait_until_it_stands(self):
        """Until nothing more is taken for a while."""
        last = [-1, 0]

        def stands():
            last[1] = last[1] + 1 if self.sent == last[0] else 0
            last[0] = self.sent
            return last[1] > 100  # half a second

        eventually(stands, within=60)
        return self.sent


def test_a_reader_that_stalls_stops_the_app(start_app, start_weir):
    fountain = Fountain(start_app, 200 * MIB, ["Cache-Control: no-store"])
    weir = start_weir(fountain.app)
    with weir.wire(receive_buffer=4096) as wire:
        wire.request("GET", "/")
        wire.exactly(1000)
        sent = fountain.wait_until_it_stands()
        assert 0 < sent < 32 * MIB, "the app was not held back"
    small_enough(weir)


def test_an_app_that_stalls_stops_the_uploader(start_app, start_weir):
    app = start_app(script=lambda peer: (peer.read_head(), gate.wait(patience(60))), receive_buffer=65536)
    gate = threading.Event()
    weir = start_weir(app)
    with weir.wire() as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (200 * MIB))
        wire.socket.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 100 * MIB:
                sent += wire.socket.send(PIECE)
        assert sent < 32 * MIB
    gate.set()
    small_enough(weir)


@pytest.mark.parametrize("field", ["Cache-Control: no-store", "Cache-Control: max-age=60"], ids=["passed through", "storable but too large"])
def test_fifty_stalled_readers_of_a_large_reply_need_little_memory(start_app, start_weir, field):
    """30 MB each: weir holds buffer.reply of it (256 KiB), and what one more read brought. What the kernel's sockets hold is not weir's."""
    fountain = Fountain(start_app, 30 * 1000 * 1000, [field])
    weir = start_weir(fountain.app, cache={"memory": "4MiB", "object_max": "1MiB"})
    before = weir.rss()
    wires = [weir.wire(receive_buffer=4096) for _ in range(50)]
    for wire in wires:
        wire.request("GET", "/")
    for wire in wires:
        wire.exactly(200)
    fountain.wait_until_it_stands()
    grown = weir.rss_peak() - before
    assert SANITIZED or grown < 50 * 768 * 1024, f"{grown / MIB:.1f} MiB"
    for wire in wires:
        wire.reset()


def test_fifty_stalled_readers_of_a_stored_reply_share_it(start_app, start_weir):
    body = bytes(6 * MIB)
    app = start_app(reply(200, body, "Cache-Control: max-age=60"))
    weir = start_weir(app)
    assert len(weir.get("/").body) == len(body)
    before = weir.rss_peak()
    wires = [weir.wire(receive_buffer=4096) for _ in range(50)]
    for wire in wires:
        wire.request("GET", "/")
    for wire in wires:
        wire.exactly(200)
    with weir.wire() as other:
        other.request("GET", "/")
        assert len(other.reply().body) == len(body)
    assert SANITIZED or weir.rss_peak() - before < 8 * MIB
    assert len(app.requests) == 1
    for wire in wires:
        wire.reset()


def test_a_stalled_reader_does_not_hold_up_the_others(start_app, start_weir):
    fountain = Fountain(start_app, 100 * MIB, ["Cache-Control: no-store"])
    app = App(reply(200, b"quick"))
    weir = start_weir(upstreams={"slow": {"primary": [fountain.app.address]}, "app": {"primary": [app.address]}},
                      routes=[{"path": "/slow", "upstream": "slow"}, {"path": "/**", "upstream": "app"}])
    with weir.wire(receive_buffer=4096) as wire:
        wire.request("GET", "/slow")
        wire.exactly(100)
        fountain.wait_until_it_stands()
        for _ in range(20):
            assert weir.get("/quick").body == b"quick"
    app.close()


def test_pipelined_requests_are_not_read_ahead_without_bounds(start_app, start_weir):
    gate = threading.Event()

    def answer(_):
        gate.wait(patience(60))
        return reply(200, b"hello")

    weir = start_weir(start_app(answer))
    head = b"GET / HTTP/1.1\r\nHost: test\r\nX-Fill: " + b"x" * 4000 + b"\r\n\r\n"
    with weir.wire() as wire:
        wire.socket.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 200 * MIB:
                sent += wire.socket.send(head * 64)
        assert sent < 32 * MIB
        small_enough(weir)
        gate.set()


def test_a_tunnel_is_held_back_too(start_app, start_weir):
    """Bytes to a WebSocket client that does not read stay with the app."""
    sent = [0]

    def script(peer):
        peer.read_head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while sent[0] < 200 * MIB:
            peer.send(PIECE)
            sent[0] += len(PIECE)

    weir = start_weir(start_app(script=script))
    with Wire(weir.address, receive_buffer=4096) as wire:
        wire.request("GET", "/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        assert wire.reply_head().status == 101
        last = [-1, 0]

        def stands():
            last[1] = last[1] + 1 if sent[0] == last[0] else 0
            last[0] = sent[0]
            return last[1] > 100

        eventually(stands, within=60)
        assert sent[0] < 32 * MIB
    small_enough(weir)
