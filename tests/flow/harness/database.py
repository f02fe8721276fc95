"""A database that says of itself what the test wants: to rw_split's probe it is PostgreSQL, and it has no data.

It speaks as much of PostgreSQL's protocol 3.0 as a client without TLS and password needs, and takes every query for the probe's question.
"""

import socket
import struct
import threading

COLUMNS = 5  # recovers, position, timeline, that of the last checkpoint, lag in ms
TEXT = 25


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


class Gone(Exception):
    """The other side closed, or was closed."""


class Database:
    """Change its members at any time: the next answer says so."""

    def __init__(self, is_primary=False, at=100, timeline=1):
        self.is_primary = is_primary
        self.at = at
        self.timeline = timeline
        self.lag_ms = 0
        self.answers = 0
        self.refusal = None  # (SQLSTATE, why): it takes no more sessions
        self.may_answer = threading.Event()  # cleared: it hangs
        self.may_answer.set()
        self.connections = set()
        self.listener = None
        self.port = 0
        self.start()

    @property
    def dsn(self):
        return f"host=127.0.0.1 port={self.port} user=probe dbname=kv sslmode=disable gssencmode=disable connect_timeout=20"

    # --- life ---

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=16, reuse_port=False)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    @property
    def is_up(self):
        return self.listener is not None

    def stop(self):
        """As a crash does: connections break, and new ones are refused until start()."""
        listener, self.listener = self.listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.end_sessions()

    def end_sessions(self):
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def hang(self):
        self.may_answer.clear()

    def go_on(self):
        self.may_answer.set()

    def promote(self, timeline, at=None):
        self.at = at or self.at
        self.timeline = timeline
        self.is_primary = True

    close = stop

    # --- conversation ---

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                self._talk(connection)
        except (OSError, Gone):
            pass
        finally:
            self.connections.discard(connection)

    @staticmethod
    def _take(connection, count):
        taken = b""
        while len(taken) < count:
            more = connection.recv(count - len(taken))
            if not more:
                raise Gone
            taken += more
        return taken

    def _talk(self, connection):
        self.may_answer.wait()
        (size,) = struct.unpack("!i", self._take(connection, 4))
        self._take(connection, size - 4)  # who it is, and to which database
        if self.refusal:
            state, why = self.refusal
            fields = f"SFATAL\0VFATAL\0C{state}\0M{why}\0\0"
            connection.sendall(message(b"E", fields.encode()))
            return
        connection.sendall(message(b"R", struct.pack("!i", 0)) + message(b"Z", b"I"))
        while True:
            kind, size = struct.unpack("!ci", self._take(connection, 5))
            self._take(connection, size - 4)
            if kind == b"X":
                return
            self.may_answer.wait()
            connection.sendall(self._answer())
            self.answers += 1

    def _answer(self):
        position = f"{self.at >> 32:X}/{self.at & 0xFFFFFFFF:X}"
        timeline = f"{self.timeline:08X}"
        values = ["f" if self.is_primary else "t", position, timeline, timeline, None if self.lag_ms is None else str(self.lag_ms)]
        row = struct.pack("!h", COLUMNS)
        for value in values:
            row += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value.encode()
        column = b"\0" + struct.pack("!ihihih", 0, 0, TEXT, -1, -1, 0)
        return (message(b"T", struct.pack("!h", COLUMNS) + column * COLUMNS) + message(b"D", row) + message(b"C", b"SELECT 1\0") +
                message(b"Z", b"I"))


__all__ = ["Database"]
