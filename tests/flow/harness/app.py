"""The app behind weir: a threaded server that does what the test says, and remembers every byte it was sent."""

import socket
import struct
import threading

from .patience import eventually, patience
from .wire import Broken, Fields

KEPT_BYTES = 1 << 22  # of what one connection received


def reply(status=200, body=b"", *fields, length=True, version="1.1", reason="Fine"):
    """The bytes of a plain reply."""
    lines = [f"HTTP/{version} {status} {reason}", *fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*pieces, trailers=b""):
    """A body in chunks, with the last one."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


class Request(Fields):
    def __init__(self, peer, head, method, target, version, fields):
        super().__init__(fields)
        self.peer = peer
        self.head = head  # as it came
        self.method = method
        self.target = target
        self.version = version
        self.body = b""
        self.trailers = Fields([])
        self.is_whole = False  # its declared end has come

    def __repr__(self):
        return f"<{self.method} {self.target} {self.fields} {self.body[:200]!r}>"


class Peer:
    """One connection from weir, as the app's script sees it."""

    def __init__(self, app, connection):
        self.app = app
        self.socket = connection
        self.received = bytearray()
        self.received_bytes = 0
        self.held = b""
        self.ended = threading.Event()  # weir closed its side, or reset it
        self.was_reset = False
        connection.settimeout(patience(60))

    def _more(self):
        try:
            piece = self.socket.recv(262144)
        except ConnectionError as error:
            self.was_reset = True
            self.ended.set()
            raise Broken("reset") from error
        if not piece:
            self.ended.set()
            raise Broken("ended")
        self.received_bytes += len(piece)
        if len(self.received) < KEPT_BYTES:
            self.received += piece
        return piece

    def exactly(self, count):
        while len(self.held) < count:
            self.held += self._more()
        taken, self.held = self.held[:count], self.held[count:]
        return taken

    def line(self):
        while b"\r\n" not in self.held:
            self.held += self._more()
        line, self.held = self.held.split(b"\r\n", 1)
        return line

    def read_head(self):
        """The next request's head, or None when weir has ended the connection."""
        try:
            while b"\r\n\r\n" not in self.held:
                self.held += self._more()
        except Broken:
            return None
        head, self.held = self.held.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        request = Request(self, head, method, target, version, fields)
        self.app.note(request)
        return request

    def read_body(self, request):
        """Reads what belongs to the request. Broken, and request.is_whole stays False, if it does not come to its end."""
        if "transfer-encoding" in request:
            assert request["transfer-encoding"] == "chunked" and "content-length" not in request, request
            while True:
                size = int(self.line(), 16)
                if size == 0:
                    break
                request.body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            trailers = []
            while line := self.line():
                name, value = line.decode("latin-1").split(":", 1)
                trailers.append((name, value.strip()))
            request.trailers = Fields(trailers)
        elif "content-length" in request:
            request.body = self.exactly(int(request["content-length"]))
        request.is_whole = True

    def skip_body(self, request):
        """Reads a body with a Content-Length without keeping it; returns how many bytes came."""
        left = int(request["content-length"]) - len(self.held)
        total = len(self.held)
        self.held = b""
        while left > 0:
            piece = self._more()
            left -= len(piece)
            total += len(piece)
        request.is_whole = left == 0
        return total

    def send(self, data):
        self.socket.sendall(data)

    def wait_for_end(self):
        """Until weir closes or resets; True if it was without another byte."""
        try:
            self.held += self._more()
            return False
        except Broken:
            return True

    def close(self):
        """Says no more, by a FIN, whatever is still unread."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class App:
    """`answer` gives each request's reply: bytes, or a function from Request to bytes (None: close the connection). `script` takes a
    connection over instead: a function from Peer to anything."""

    def __init__(self, answer=None, script=None, tls=None, port=0, receive_buffer=None):
        self.answer = answer if answer is not None else reply(200, b"hello")
        self.script = script or self._serve
        self.tls = tls
        self.peers = []
        self.requests = []
        self.errors = []
        self.changed = threading.Condition()
        self.is_closed = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(4096)
        self.port = self.socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                connection.settimeout(patience(5))
                connection = self.tls.wrap_socket(connection, server_side=True)
            peer = Peer(self, connection)
            with self.changed:
                self.peers.append(peer)
                self.changed.notify_all()
            self.script(peer)
        except (OSError, Broken) as error:
            if not self.is_closed:
                self.errors.append(error)
        finally:
            connection.close()

    def _serve(self, peer):
        while request := peer.read_head():
            peer.read_body(request)
            answer = self.answer(request) if callable(self.answer) else self.answer
            if answer is None:
                return
            peer.send(answer)

    def note(self, request):
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()

    def wait_for_requests(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= count, patience(10)), f"{len(self.requests)} of {count} requests came"
        return self.requests[count - 1]

    def wait_for_peers(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.peers) >= count, patience(10)), f"{len(self.peers)} of {count} connections came"
        return self.peers[count - 1]

    def has_seen_nothing(self):
        return not any(peer.received for peer in self.peers)

    def forget(self):
        """For an app that several tests share: what came before is not this test's."""
        self.requests.clear()
        for peer in self.peers:
            peer.received.clear()

    def targets(self):
        return [request.target for request in self.requests]

    def close(self):
        if self.is_closed:
            return
        self.is_closed = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        for peer in list(self.peers):
            try:
                peer.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.acceptor.join(patience(2))

    def wait_until_ended(self, index=0):
        return eventually(lambda: len(self.peers) > index and self.peers[index].ended.is_set())
