"""A client that sends exactly the bytes it is told to, and reads replies by the letter of RFC 9112."""

import json
import re
import select
import socket
import struct

from .patience import patience

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)")
FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t \x21-\x7e\x80-\xff]*?)[ \t]*")
SIZE_LINE = re.compile(rb"[0-9A-Fa-f]{1,16}")


class Broken(Exception):
    """A reply that ended before its end, or one that is no HTTP."""


class Fields:
    """A list of fields that is asked by name, in any case."""

    def __init__(self, fields):
        self.fields = fields

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def __getitem__(self, name):
        values = self.all(name)
        return ", ".join(values) if values else None

    def __contains__(self, name):
        return bool(self.all(name))

    def names(self):
        return [name.lower() for name, _ in self.fields]


class Reply(Fields):
    def __init__(self, status, reason, fields):
        super().__init__(fields)
        self.status = status
        self.reason = reason
        self.body = b""
        self.trailers = Fields([])
        self.interim = []  # the 1xx that came before
        self.framing = None  # length, chunked, close or none

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.fields} {self.body[:200]!r}>"

    def json(self):
        return json.loads(self.body)

    def is_problem(self, status, word):
        """Asserts that this is weir's own error: RFC 9457, with the word for it."""
        assert self.status == status, self
        assert self["content-type"] == "application/problem+json", self
        problem = self.json()
        assert problem["reason"] == word, self
        assert problem["status"] == status
        assert problem["title"] and problem["type"]
        assert problem["request_id"] == self["x-request-id"]
        return True


class Wire:
    """One connection. Reading waits for `timeout` at most."""

    def __init__(self, address, tls=None, server_name=None, timeout=None, receive_buffer=None, source=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout or patience(10))
        self.held = b""
        try:
            if receive_buffer:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                self.socket.bind((source, 0))
            self.socket.connect(address)
            if family != socket.AF_UNIX:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Leaves with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    # --- sending ---

    def send(self, *pieces):
        self.socket.sendall(b"".join(pieces))

    def send_while_taken(self, data):
        """Sends what the other side takes; it may well close the connection meanwhile."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, BrokenPipeError):
            pass

    def request(self, method="GET", target="/", *fields, body=None, host="test"):
        head = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(head).encode("latin-1"), b"\r\n\r\n", body or b"")

    # --- reading ---

    def more(self, size=65536):
        """Holds what the next read brings."""
        piece = self.socket.recv(size)
        if not piece:
            raise Broken(f"the connection ended behind {self.held[-200:]!r}")
        self.held += piece

    def exactly(self, count):
        while len(self.held) < count:
            self.more()
        taken, self.held = self.held[:count], self.held[count:]
        return taken

    def line(self):
        while b"\r\n" not in self.held:
            if len(self.held) > 65536:
                raise Broken("a line without an end")
            self.more()
        line, self.held = self.held.split(b"\r\n", 1)
        if b"\r" in line or b"\n" in line:
            raise Broken(f"a bare CR or LF in {line!r}")
        return line

    def until_end(self):
        """All that still comes; an end by reset counts as Broken."""
        try:
            while True:
                piece = self.socket.recv(65536)
                if not piece:
                    taken, self.held = self.held, b""
                    return taken
                self.held += piece
        except ConnectionResetError as error:
            raise Broken("the connection was reset") from error

    def is_at_end(self):
        """Waits for the end: true if nothing more came before it, by FIN or RST."""
        try:
            return not self.held and self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def is_silent(self, seconds):
        """True if nothing comes, the end neither, for that long. For what must NOT happen there is no event."""
        return not self.held and not select.select([self.socket], [], [], seconds)[0]

    def _fields(self):
        fields = []
        while True:
            line = self.line()
            if not line:
                return fields
            match = FIELD_LINE.fullmatch(line)
            if not match:
                raise Broken(f"no field: {line!r}")
            fields.append((match[1].decode(), match[2].decode("latin-1")))

    def head(self):
        """One head, of whatever status."""
        line = self.line()
        match = STATUS_LINE.fullmatch(line)
        if not match:
            raise Broken(f"no status line: {line!r}")
        return Reply(int(match[1]), match[2].decode("latin-1"), self._fields())

    def _frame(self, reply, to):
        lengths, codings = reply.all("content-length"), reply.all("transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise Broken(f"more than one framing field: {reply}")
        if reply.status < 200 or reply.status in (204, 304) or to == "HEAD":
            return "none"
        if codings:
            if codings != ["chunked"]:
                raise Broken(f"a coding nobody asked for: {codings}")
            return "chunked"
        if lengths:
            if not re.fullmatch("[0-9]+", lengths[0]):
                raise Broken(f"no length: {lengths}")
            return "length"
        return "close"

    def chunk(self):
        """The next chunk's bytes; empty at the last one (whose trailers are not read yet)."""
        line = self.line()
        if not SIZE_LINE.fullmatch(line):
            raise Broken(f"no chunk size: {line!r}")
        size = int(line, 16)
        data = self.exactly(size) if size else b""
        if size and self.exactly(2) != b"\r\n":
            raise Broken("no line end behind a chunk")
        return data

    def reply_head(self, to="GET"):
        """The final head; the interim ones before it are in `interim`."""
        interim = []
        while True:
            reply = self.head()
            if reply.status >= 200 or reply.status == 101:
                reply.interim = interim
                reply.framing = self._frame(reply, to)
                return reply
            interim.append(reply)

    def reply(self, to="GET"):
        """One whole reply; Broken if it is none."""
        try:
            reply = self.reply_head(to)
            if reply.framing == "length":
                reply.body = self.exactly(int(reply["content-length"]))
            elif reply.framing == "close":
                reply.body = self.until_end()
            elif reply.framing == "chunked":
                pieces = []
                while piece := self.chunk():
                    pieces.append(piece)
                reply.body = b"".join(pieces)
                reply.trailers = Fields(self._fields())
            return reply
        except ConnectionError as error:
            raise Broken(f"{error}") from error

    def skip_body(self, reply, on_bytes=None):
        """Reads the body of a reply_head() without keeping it; returns how many bytes it had."""
        total = 0
        buffer = bytearray(1 << 20)
        left = int(reply["content-length"])
        total += len(self.held)
        left -= len(self.held)
        self.held = b""
        while left > 0:
            count = self.socket.recv_into(buffer, min(left, len(buffer)))
            if not count:
                raise Broken(f"{left} bytes are missing")
            left -= count
            total += count
            if on_bytes:
                on_bytes(total)
        return total
