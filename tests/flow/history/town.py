"""The whole of it: a cluster, an app beside each of its servers, a weir before them, and load."""

import os
import select
import subprocess
import threading
import time
from pathlib import Path

from harness import Wire, patience
from harness.postgres import Cluster, Refused
from harness.weir import BINARY

from .checker import Written
from .policies import Sample

HERE = Path(__file__).resolve().parent
SOURCES = {"kv_app": ("kv_app.c", "database.c", "talk.c"), "kv_load": ("kv_load.c", "talk.c")}
LIBRARIES = {"kv_app": ["-lpq", "-lpthread"], "kv_load": ["-lpthread", "-lm"]}
BUILD = Path(os.environ.get("WEIR_BUILD", BINARY.parents[1]))
HAS_TOOLS = Path("/usr/include/postgresql/libpq-fe.h").exists() or (BUILD / "tests/flow/history/kv_app").exists()


def program(name, folder):
    """The build's own, or one that is compiled here: a binary of weir alone is enough for these stories."""
    built = BUILD / "tests/flow/history" / name
    if built.exists():
        return built
    made = Path(folder) / name
    if not made.exists():
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-I/usr/include/postgresql",
                        *(HERE / source for source in SOURCES[name]), "-o", made, *LIBRARIES[name]], check=True)
    return made


class KvApp:
    """A kv_app. It may be killed and started again where it was."""

    def __init__(self, binary, server, *options):
        self.binary = binary
        self.server = server
        self.options = options
        self.port = 0
        self.start()

    def start(self):
        words = [self.binary, "--dsn", self.server.dsn, "--name", self.server.name, "--listen", str(self.port), *self.options]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert select.select([self.process.stdout], [], [], patience(5))[0], "kv_app was not ready in time"
        line = self.process.stdout.readline().split()
        assert line[:1] == [b"ready"], "kv_app ended"
        self.port = int(line[1].split(b":")[1])

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def ask(self, method, target, *fields, body=None):
        """Past weir."""
        with Wire(("127.0.0.1", self.port)) as wire:
            wire.request(method, target, *fields, body=body)
            return wire.reply(method)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Town:
    """`app_options` are kv_app's; `config` are weir's sections, `plugin` rw_split's keys."""

    def __init__(self, folder, app_options=()):
        self.folder = Path(folder)
        self.cluster = Cluster((HERE / "schema.sql").read_text())
        self.apps = {}
        try:
            binary = program("kv_app", self.folder)
            for server in self.cluster.servers:
                self.apps[server.name] = KvApp(binary, server, *app_options)
        except BaseException:
            self.close()
            raise

    def app_of(self, server):
        return self.apps[server.name]

    def config(self, upstream=None, probes=None, **plugin):
        """Sections for a weir before it. `probes` are other DSNs than the servers' own, {server's name: DSN}; {}: no probe at all."""
        primary, replicas = self.cluster.primary, self.cluster.replicas
        keys = {"name": "rw_split", "consistency": "position", **plugin}
        if probes is None:
            probes = {server.name: server.dsn for server in self.cluster.servers}
        if probes:
            keys["positions"] = {"postgres": {self.apps[name].address: dsn for name, dsn in probes.items()}}
        return {
            "trusted_peers": ["127.0.0.0/8"],
            "tenants": {"from": [{"header": "X-Tenant", "believe": "any"}], "unknown": "default"},
            "upstreams": {"app": {"primary": [self.app_of(primary).address], "replicas": [self.app_of(one).address for one in replicas],
                                  "plugins": [keys], **(upstream or {})}},
        }

    def load(self, weir, name="history", **options):
        """Starts kv_load on a weir; the process, and the path of what it will have written when it ended."""
        history = self.folder / f"{name}.tsv"
        words = [program("kv_load", self.folder), "--to", str(weir.address[1]), "--history", history]
        for key, value in options.items():
            words += [f"--{key.replace('_', '-')}"] if value is True else [f"--{key.replace('_', '-')}", str(value)]
        return subprocess.Popen(words), history

    def written(self):
        """Every write that the database holds now."""
        rows = self.cluster.primary.ask("select op, tenant, key, version from written")
        return [Written(op, tenant, key, int(version)) for op, tenant, key, version in (row.split("|") for row in rows)]

    def kill_primary(self):
        """As a machine dies: the app and its database."""
        self.app_of(self.cluster.primary).kill()
        self.cluster.primary.kill()

    def close(self):
        for app in self.apps.values():
            app.kill()
        self.cluster.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Sampler:
    """Looks every few milliseconds how far each server has come, until it is stopped."""

    def __init__(self, cluster, every_s=0.01):
        self.cluster = cluster
        self.every_s = every_s
        self.samples = []
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.is_over.wait(self.every_s):
            try:
                # what is known at at_us was true before it; replicas first, so that they never seem too far
                positions = {server.name: server.position() for server in [*self.cluster.replicas, self.cluster.primary]}
            except (Refused, AssertionError):
                continue
            self.samples.append(Sample(time.monotonic_ns() // 1000, positions))

    def stop(self):
        self.is_over.set()
        self.thread.join()
        return self.samples


__all__ = ["HAS_TOOLS", "KvApp", "Sampler", "Town", "program"]
