"""A primary and two streaming replicas of the tests' own: real PostgreSQL, and what can happen to it.

Nothing of it is a service of the machine: each server is a process with a folder and a port of its own, under Debian's user postgres where
the tests run as root (it refuses to be root). Nothing is ever flushed to a disk, so a machine that crashes loses it all; a server that is
killed does not. A write is acknowledged when one replica has it too (synchronous_standby_names), and replayed there when it pleases: reads on
replicas lag, and yet a promotion loses nothing.
"""

import glob
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from .patience import eventually, patience

TOOLS = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))[-1:]
IS_THERE = bool(TOOLS) and bool(shutil.which("psql"))
AS_USER = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
DATABASE = "kv"

SETTINGS = """
fsync = off
full_page_writes = off
synchronous_commit = on
synchronous_standby_names = '{standbys}'
wal_level = replica
wal_log_hints = off
wal_keep_size = 256MB
wal_receiver_status_interval = 1
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
wal_retrieve_retry_interval = 100ms
hot_standby = on
max_standby_streaming_delay = -1
max_connections = 60
max_wal_senders = 8
shared_buffers = 32MB
autovacuum = off
jit = off
checkpoint_timeout = 1h
logging_collector = off
log_min_messages = warning
cluster_name = '{name}'
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tool(name):
    return f"{TOOLS[0]}/{name}"


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, cwd="/", timeout=patience(60), **AS_USER)
    assert done.returncode == 0, f"{words[0]}: {done.stdout}{done.stderr}"
    return done.stdout


class Refused(Exception):
    """The database answered with an error."""


class Session:
    """One connection that is kept: session("select 1") gives the lines of the answer, columns with | between. Not for several threads."""

    def __init__(self, dsn):
        self.numbers = itertools.count(1)
        self.process = subprocess.Popen(["psql", "-XAtq", "-d", dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, bufsize=1)

    def __call__(self, query):
        mark = f"-- {next(self.numbers)}"
        try:
            self.process.stdin.write(f"{query};\n\\echo {mark}\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Refused("the connection is gone") from error
        lines = []
        while (line := self.process.stdout.readline().rstrip("\n")) != mark:
            lines.append(line)
            if self.process.poll() is not None and not line:
                raise Refused("\n".join(lines))
        bad = [line for line in lines if re.match(r"(psql: )?(ERROR|FATAL|error|server closed|connection to server)", line)]
        if bad:
            raise Refused("\n".join(lines))
        return lines

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Server:
    """One PostgreSQL. ask() is any thread's."""

    def __init__(self, cluster, name, folder):
        self.cluster = cluster
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.process = None
        self.sessions = threading.local()
        self.is_hanging = False

    def __repr__(self):
        return f"<{self.name}>"

    @property
    def dsn(self):
        """By its socket: the fastest way."""
        return f"host={self.cluster.folder} port={self.port} user=postgres dbname={DATABASE} connect_timeout=2"

    @property
    def tcp_dsn(self):
        return self.dsn_through(self.port)

    @staticmethod
    def dsn_through(port):
        return f"host=127.0.0.1 port={port} user=postgres dbname={DATABASE} connect_timeout=2"

    # --- life ---

    def start(self):
        options = ["-D", self.folder, "-p", self.port, "-k", self.cluster.folder, "-h", "127.0.0.1"]
        with (self.cluster.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen([tool("postgres"), *map(str, options)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                            **AS_USER)
        eventually(self.is_there, within=patience(10), why=f"{self.name} did not come up: {self.log()}")
        return self

    def is_there(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.ask("select 1") == ["1"]
        except Refused:
            return False

    def log(self):
        return (self.cluster.folder / f"{self.name}.log").read_text(errors="replace")[-3000:]

    def stop(self, how=signal.SIGINT):
        """Ends it: SIGINT in order, SIGQUIT as a crash does."""
        if self.process and self.process.poll() is None:
            self.thaw()
            self.process.send_signal(how)
            self.process.wait(patience(20))
        self.forget()

    def kill(self):
        self.stop(signal.SIGQUIT)

    def processes(self):
        """The server's own processes, the first of them first."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def freeze(self):
        """It hangs, with all its connections; those who try to connect hang too."""
        self.is_hanging = True
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        if self.is_hanging:
            self.is_hanging = False
            for pid in self.processes():
                os.kill(pid, signal.SIGCONT)

    # --- asking ---

    def ask(self, query):
        """Lines, on this thread's own connection; it is made again when it broke."""
        session = getattr(self.sessions, "session", None)
        if session is None:
            session = self.sessions.session = Session(self.dsn)
            self.cluster.sessions.append(session)
        try:
            return session(query)
        except Refused:
            self.forget()
            raise

    def forget(self):
        session = getattr(self.sessions, "session", None)
        if session:
            session.close()
        self.sessions.session = None

    def value(self, query):
        lines = self.ask(query)
        return lines[0] if lines else None

    def is_replica(self):
        return self.value("select pg_is_in_recovery()") == "t"

    def position(self):
        """How far it has come, as a number."""
        return number_of(self.value("select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end"))

    def received(self):
        return number_of(self.value("select pg_last_wal_receive_lsn()"))

    # --- lag ---

    def delay(self, milliseconds):
        """From now on commits are replayed so much later than they were made."""
        self.ask(f"alter system set recovery_min_apply_delay = '{milliseconds}ms'")
        self.ask("select pg_reload_conf()")
        wanted = str(milliseconds)
        eventually(lambda: self.value("select setting from pg_settings where name = 'recovery_min_apply_delay'") == wanted)

    def pause(self):
        """Nothing is replayed until resume(): it goes on receiving."""
        self.ask("select pg_wal_replay_pause()")
        eventually(lambda: self.value("select pg_get_wal_replay_pause_state()") == "paused")

    def resume(self):
        self.ask("select pg_wal_replay_resume()")

    # --- roles ---

    def promote(self):
        """Makes a primary of a replica, without telling anybody."""
        # not waiting there: a statement that waits holds a snapshot, and what must be replayed first may wait for that
        assert self.value("select pg_promote(false)") == "t", self.log()
        eventually(lambda: not self.is_replica(), within=patience(10), why=f"{self} is not promoted: {self.log()}")

    def stand_alone(self):
        """Once promoted it waits for no replica: it will have none."""
        self.ask("alter system set synchronous_standby_names = ''")
        self.ask("select pg_reload_conf()")
        eventually(lambda: self.value("select setting from pg_settings where name = 'synchronous_standby_names'") == "")

    def follow(self, primary):
        self.ask(f"alter system set primary_conninfo = '{primary.conninfo_for(self)}'")
        self.ask("select pg_reload_conf()")

    def conninfo_for(self, replica):
        return f"host={self.cluster.folder} port={self.port} user=postgres application_name={replica.name}"


def number_of(lsn):
    """16/B374D848 as a number; 0: not known."""
    if not lsn:
        return 0
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Cluster:
    """A running primary with `replicas`; schema is SQL that all of them have from the start."""

    def __init__(self, schema="", replicas=2):
        self.kept = tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        self.folder = Path(self.kept.name)
        self.sessions = []
        if AS_USER:
            shutil.chown(self.folder, "postgres", "postgres")
        names = ["one", *("two three four".split()[:replicas])]
        self.servers = [Server(self, name, self.folder / name) for name in names]
        self.primary, self.replicas = self.servers[0], self.servers[1:]
        self.numbers = itertools.count(1)
        try:
            self._make(schema)
        except BaseException:
            self.close()
            raise

    def _make(self, schema):
        """One is made, and the others are copies of it while it is down: faster than a backup, and no less a replica."""
        first = self.primary
        run(tool("initdb"), "-D", str(first.folder), "-U", "postgres", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8", "--no-instructions")
        self._configure(first, standbys="")
        self._once(first, schema)
        for replica in self.replicas:
            run("cp", "-a", str(first.folder), str(replica.folder))
            self._configure(replica)
            self._write(replica.folder / "postgresql.auto.conf", f"primary_conninfo = '{first.conninfo_for(replica)}'\n")
            self._write(replica.folder / "standby.signal", "")
        self._configure(first)
        first.start()
        for replica in self.replicas:
            replica.start()
        self.wait_for_streams()

    def _once(self, server, schema):
        """Starts it, and stops it with a database and all that is in it."""
        options = f"-p {server.port} -k {self.folder} -h ''"
        run(tool("pg_ctl"), "-D", str(server.folder), "-w", "-l", str(self.folder / "first.log"), "-o", options, "start")
        try:
            where = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(server.port), "-U", "postgres"]
            run(*where, "-d", "postgres", "-c", f"create database {DATABASE}")
            if schema:
                run(*where, "-d", DATABASE, "-c", schema)
        finally:
            run(tool("pg_ctl"), "-D", str(server.folder), "-w", "-m", "fast", "stop")

    def _write(self, path, text):
        path.write_text(text)
        if AS_USER:
            shutil.chown(path, "postgres", "postgres")

    def _configure(self, server, standbys="ANY 1 (*)"):
        self._write(server.folder / "postgresql.conf", SETTINGS.format(name=server.name, standbys=standbys))

    # --- what can happen ---

    def wait_for_streams(self):
        """Until every replica streams from the primary."""
        names = {replica.name for replica in self.replicas}

        def look():
            return set(self.primary.ask("select application_name from pg_stat_replication where state = 'streaming'")) >= names

        eventually(look, within=patience(10), why=f"replicas do not stream: {[replica.log() for replica in self.replicas]}")

    def wait_for_replay(self, *replicas):
        """Until replicas have all that the primary has now."""
        wanted = self.primary.position()
        for replica in replicas or self.replicas:
            eventually(lambda replica=replica: replica.position() >= wanted, within=patience(10), why=f"{replica} does not catch up")

    def fail_over(self):
        """The primary is dead: the replica that has most is promoted, the others follow it. Returns the new primary."""
        chosen = max(self.replicas, key=lambda replica: replica.received())
        chosen.resume()
        chosen.delay(0)  # what it has received it must replay first
        chosen.promote()
        self.replicas.remove(chosen)
        self.primary = chosen
        for replica in self.replicas:
            replica.follow(chosen)
        return chosen

    def rejoin(self, server):
        """A server that was primary once comes back as a replica, from a copy of the primary's data."""
        shutil.rmtree(server.folder)
        run(tool("pg_basebackup"), "-D", str(server.folder), "-h", str(self.folder), "-p", str(self.primary.port), "-U", "postgres", "-c", "fast",
            "-X", "stream", "--no-sync")
        self._configure(server)
        self._write(server.folder / "postgresql.auto.conf", f"primary_conninfo = '{self.primary.conninfo_for(server)}'\n")
        self._write(server.folder / "standby.signal", "")
        server.start()
        self.replicas.append(server)
        self.wait_for_streams()

    def heal(self):
        """No delay and no pause anywhere."""
        for replica in self.replicas:
            replica.thaw()
            replica.resume()
            replica.delay(0)

    def close(self):
        for session in self.sessions:
            session.close()
        for server in self.servers:
            server.kill()
        self.kept.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


__all__ = ["Cluster", "IS_THERE", "Refused", "Server", "Session", "number_of"]
