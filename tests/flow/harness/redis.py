"""A Redis of the tests' own, what can happen to it, and what only pretends to be one.

Nothing of it is a service of the machine: each is a process with a port, a socket and a folder of its own, without a disk behind it.
"""

import itertools
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from .patience import eventually, patience

SERVER = "redis-server"


class Refused(Exception):
    """Redis answered with an error."""


def command_bytes(*words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def bulk(data):
    """A string as Redis answers it; None: nothing."""
    return b"$-1\r\n" if data is None else b"$%d\r\n%s\r\n" % (len(data), data)


class Talk:
    """One connection to a Redis: talk("GET", "key")."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(patience(5))
        self.held = b""
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise

    def __call__(self, *words):
        self.socket.sendall(command_bytes(*words))
        return self.answer()

    def _until(self, count=None):
        while (b"\r\n" not in self.held) if count is None else (len(self.held) < count):
            piece = self.socket.recv(262144)
            if not piece:
                raise ConnectionError("Redis closed the connection")
            self.held += piece
        end = self.held.index(b"\r\n") if count is None else count
        taken, self.held = self.held[:end], self.held[end:]
        return taken

    def answer(self):
        line = self._until()
        self.held = self.held[2:]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise Refused(rest.decode())
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._until(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        assert kind == b"*", line
        return [self.answer() for _ in range(int(rest))]

    def close(self):
        self.socket.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    """A running redis-server; `options` are lines of its config: "maxmemory 4mb"."""

    def __init__(self, *options, is_sentinel=False):
        self.kept = tempfile.TemporaryDirectory(prefix="redis-")
        self.folder = Path(self.kept.name)
        self.options = options
        self.is_sentinel = is_sentinel
        self.port = free_port()
        self.socket_path = str(self.folder / "socket")
        self.process = None
        self.talks = threading.local()
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        """Starts it, or starts it again where it was, empty."""
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", "daemonize no", "logfile \"\""]
        if not self.is_sentinel:
            lines += [f"unixsocket {self.socket_path}", "save \"\"", "appendonly no", "hz 50"]
        config = self.folder / "redis.conf"
        config.write_text("\n".join([*lines, *self.options]) + "\n")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([SERVER, config, *(["--sentinel"] if self.is_sentinel else [])], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        eventually(self.is_there, why="redis-server did not come up: " + (self.folder / "log").read_text(errors="replace")[-2000:])

    def is_there(self):
        assert self.process.poll() is None, (self.folder / "log").read_text(errors="replace")[-2000:]
        try:
            talk = Talk(("127.0.0.1", self.port))
        except OSError:
            return False
        try:
            return talk("PING") == "PONG"
        except Refused:
            return True  # it wants a password, or is loading
        except OSError:
            return False
        finally:
            talk.close()

    def ask(self, *words, auth=()):
        """One command, on a connection that is kept."""
        talk = getattr(self.talks, "talk", None)
        try:
            if talk:
                return talk(*words)
        except OSError:
            talk.close()
        self.talks.talk = talk = Talk(("127.0.0.1", self.port))
        if auth:
            talk("AUTH", *auth)
        return talk(*words)

    def keys(self, pattern="*"):
        return sorted(self.ask("KEYS", pattern))

    def values(self, prefix="weir"):
        """The keys of stored answers (not of what was invalidated, and not the bus's)."""
        return [key for key in self.keys(f"{prefix}:1:*") if not key.endswith(b":t")]

    def text(self, key):
        """What a key holds, if it is a string."""
        try:
            return self.ask("GET", key) or b""
        except Refused:
            return b""

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/stat")
        eventually(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """As a crash does."""
        self.process.kill()
        self.process.wait(patience(5))

    def close(self):
        if self.process.poll() is None:
            self.resume()
            self.kill()
        self.kept.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Server:
    """Listens, and gives each connection a thread of serve(connection)."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(128)
        self.port = self.socket.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.connections = []
        self.is_closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def serve(self, connection):
        raise NotImplementedError

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            self.serve(connection)
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    def cut(self):
        """Ends all connections."""
        taken, self.connections = self.connections, []
        for connection in taken:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.is_closed = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Relay(Server):
    """What stands between a weir and its Redis: it may hold back every byte for a while, in both directions."""

    def __init__(self, redis):
        self.redis = redis
        self.may_pass = threading.Event()
        self.may_pass.set()
        super().__init__()

    def pause(self):
        self.may_pass.clear()

    def resume(self):
        self.may_pass.set()

    def serve(self, connection):
        with socket.create_connection(("127.0.0.1", self.redis.port)) as onward:
            self.connections.append(onward)
            back = threading.Thread(target=self._pump, args=(onward, connection), daemon=True)
            back.start()
            self._pump(connection, onward)
            back.join()

    def _pump(self, source, sink):
        try:
            while piece := source.recv(65536):
                self.may_pass.wait()
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Liar(Server):
    """Greets like a Redis, and then answers what answer(words) says: bytes, an iterable of them (until the other side is fed up), None:
    nothing at all, ever."""

    GREETINGS = {b"PING": b"+PONG\r\n", b"AUTH": b"+OK\r\n", b"SELECT": b"+OK\r\n", b"SET": b"+OK\r\n"}

    def __init__(self, answer, greets=True):
        self.answer = answer
        self.greets = greets
        self.numbers = itertools.count(1)
        self.asked = []
        super().__init__()

    def serve(self, connection):
        file = connection.makefile("rb")
        while line := file.readline():
            count = int(line[1:])
            words = []
            for _ in range(count):
                size = int(file.readline()[1:])
                words.append(file.read(size + 2)[:-2])
            self.asked.append(words)
            greeting = self.GREETINGS.get(words[0].upper()) if self.greets else None
            said = greeting or self.answer(words)
            if said is None:
                continue
            for piece in [said] if isinstance(said, bytes) else said:
                connection.sendall(piece)


__all__ = ["Liar", "Redis", "Refused", "Relay", "Talk", "bulk", "command_bytes"]
