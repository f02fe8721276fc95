"""Who is measured: how each one is configured, started, watched and stopped.

Every proxy gets what a careful operator would give it for this work: one worker on one core,
access log off, connections to the app kept, the cache in memory, and no cache look-up for the
paths that are known not to be stored. All listen on loopback only.
"""

import http.client
import os
import re
import signal
import socket
import subprocess
import time

from . import machine
from .machine import Problem

FILES_SPARE = 800           # of a contender, for all that is no client's connection
READY_MAX_S = 20
STOP_MAX_S = 10


class World:
    """What contenders need to know about where they run."""

    def __init__(self, scratch, programs, origin_port, port_first, files_max, server_core,
                 weir=None, weir_config="full"):
        self.scratch, self.programs, self.origin_port = scratch, programs, origin_port
        self.port_next, self.files_max, self.server_core = port_first, files_max, server_core
        self.weir, self.weir_config = weir, weir_config

    def port(self):
        self.port_next += 1
        return self.port_next

    @property
    def clients_max(self):
        return min(16000, self.files_max - FILES_SPARE)


class Contender:
    """One server process family. `ready_path` must be answered with 200 once it is up."""

    name = ""
    ready_path = "/healthz"

    def __init__(self, world, core=None):
        self.world = world
        self.core = world.server_core if core is None else core
        self.port = world.port()
        self.folder = world.scratch / f"{self.name}-{self.port}"
        self.folder.mkdir()
        self.process = None
        self.log = self.folder / "output"

    def command(self):
        """Writes what config is needed; returns the arguments to start it with."""
        raise NotImplementedError

    def start(self):
        # Should this script be killed, its servers go too.
        command = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(self.core)
                   ] + [str(word) for word in self.command()]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.folder, start_new_session=True)
        deadline = time.monotonic() + READY_MAX_S
        while not self.is_answering():
            if self.process.poll() is not None:
                raise Problem(f"{self.name} did not start (exit {self.process.returncode}): "
                              + self.last_words())
            if time.monotonic() > deadline:
                self.stop()
                raise Problem(f"{self.name} did not answer within {READY_MAX_S} s: "
                              + self.last_words())
            time.sleep(0.05)
        return self

    def is_answering(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", self.ready_path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def last_words(self):
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-4:]) or "it said nothing"

    def pids(self):
        return machine.family(self.process.pid)

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_MAX_S)
            except subprocess.TimeoutExpired:
                pass
        try:                    # its workers, should they have outlived it
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    @classmethod
    def version(cls, world):
        return None


class Origin(Contender):
    name = "origin"

    def command(self):
        return [self.world.programs["origin"], "--port", self.port]

    def reply_bytes(self, target):
        """Head and body of a reply, as they come over the wire."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
            plain.sendall(f"GET {target} HTTP/1.1\r\nHost: app\r\n\r\n".encode())
            reply = b""
            while True:
                head, found, body = reply.partition(b"\r\n\r\n")
                length = re.search(rb"\r\nContent-Length: (\d+)", head) if found else None
                if length and len(body) >= int(length[1]):
                    return len(reply)
                more = plain.recv(65536)
                if not more:
                    raise Problem("the app closed within a reply")
                reply += more

    def count(self):
        """How many requests have come through to the app."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/count")
            return int(connection.getresponse().read())
        finally:
            connection.close()


class LimitResponder(Contender):
    name = "limit"

    def __init__(self, world, size=1024, keys=0, digits=5):
        super().__init__(world)
        self.size, self.keys, self.digits = size, keys, digits
        self.ready_path = "/k/" + "0" * digits if keys else "/"

    def command(self):
        return [self.world.programs["limit_responder"], "--port", self.port, "--size", self.size
                ] + (["--keys", self.keys, "--digits", self.digits] if self.keys else [])


class LimitRelay(Contender):
    name = "limit"

    def command(self):
        return [self.world.programs["limit_relay"], "--port", self.port,
                "--to", self.world.origin_port]


class Nginx(Contender):
    name = "nginx"
    # What measured best: without sendfile, which costs more than it saves on small files and
    # on files in memory; a whole stored reply in one buffer; what is not stored unbuffered,
    # in pieces of 256 KiB like the bare relay's.
    config = """
daemon off; worker_processes 1; worker_rlimit_nofile {files}; user root;
pid {folder}/pid; error_log stderr crit;
events {{ worker_connections {connections}; multi_accept on; use epoll; }}
http {{
    access_log off; server_tokens off; default_type text/plain;
    keepalive_timeout 300s; keepalive_requests 1000000000; reset_timedout_connection on;
    sendfile off; output_buffers 1 128k; tcp_nodelay on;
    open_file_cache max=20000 inactive=1h; open_file_cache_valid 1h; open_file_cache_min_uses 1;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp; uwsgi_temp_path {folder}/temp; scgi_temp_path {folder}/temp;
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=c:32m max_size=512m inactive=1h
        use_temp_path=off;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    upstream app {{
        server 127.0.0.1:{origin};
        keepalive 128; keepalive_requests 1000000000; keepalive_timeout 300s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://app;
            proxy_cache c; proxy_cache_lock on; proxy_cache_key $host$request_uri;
        }}
        location /v2/pass/ {{
            proxy_pass http://app;
            proxy_buffering off; proxy_buffer_size 256k; proxy_buffers 3 256k;
            proxy_busy_buffers_size 256k;
        }}
    }}
}}
"""

    def command(self):
        path = self.write("nginx.conf", self.config.format(
            files=self.world.files_max, connections=self.world.clients_max, folder=self.folder,
            origin=self.world.origin_port, port=self.port))
        for name in ("cache", "temp", "body"):
            (self.folder / name).mkdir(exist_ok=True)
        return ["nginx", "-p", self.folder, "-c", path, "-e", "stderr"]

    @classmethod
    def version(cls, world):
        return first_line(["nginx", "-v"])


class Haproxy(Contender):
    name = "haproxy"
    # What measured best: its default buffers, and large replies spliced through wide pipes.
    config = """
global
    nbthread 1
    maxconn {connections}
    no strict-limits
    tune.pipesize 262144
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
    option http-keep-alive
    http-reuse always
cache c
    total-max-size 512
    max-object-size 2000000
    max-age 3600
frontend f
    bind 127.0.0.1:{port} backlog 4096
    default_backend app
backend app
    option splice-response
    http-request cache-use c unless {{ path_beg /v2/pass/ }}
    http-response cache-store c
    server app 127.0.0.1:{origin} pool-max-conn -1 pool-purge-delay 300s
"""

    def command(self):
        path = self.write("haproxy.cfg", self.config.format(
            connections=self.world.clients_max, port=self.port,
            origin=self.world.origin_port))
        return ["haproxy", "-db", "-f", path]

    @classmethod
    def version(cls, world):
        return first_line(["haproxy", "-v"])


class Varnish(Contender):
    name = "varnish"
    config = """
vcl 4.1;
backend app {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_recv {{
    if (req.url ~ "^/v2/pass/") {{ return (pass); }}
    return (hash);
}}
"""
    tags = """Begin End Link SessOpen SessClose Timestamp ReqStart ReqMethod ReqURL ReqProtocol
        ReqHeader ReqUnset ReqAcct RespProtocol RespStatus RespReason RespHeader RespUnset
        VCL_call VCL_return VCL_use Hit HitMiss HitPass Length Filters TTL Storage Gzip
        BereqMethod BereqURL BereqProtocol BereqHeader BereqUnset BereqAcct BerespProtocol
        BerespStatus BerespReason BerespHeader BerespUnset BackendOpen BackendClose
        BackendStart Fetch_Body"""

    def command(self):
        path = self.write("bench.vcl", self.config.format(origin=self.world.origin_port))
        # Its shared-memory log is its access log: off, as everybody's. It can only be
        # turned off record by record.
        silent = ",".join("-" + tag for tag in self.tags.split())
        # It drops who would queue behind 20 others; a crowd shall be served.
        settings = ("thread_pools=1 thread_pool_min=80 thread_pool_max=400 "
                    "thread_queue_limit=20000 timeout_idle=300 ban_lurker_sleep=0 "
                    f"vsl_mask={silent}").split()
        return ["varnishd", "-F", "-j", "none", "-n", self.folder / "state", "-T", "none",
                "-a", f"127.0.0.1:{self.port}", "-f", path, "-s", "malloc,512m"
                ] + [word for setting in settings for word in ("-p", setting)]

    @classmethod
    def version(cls, world):
        return first_line(["varnishd", "-V"])


class Weir(Contender):
    name = "weir"
    ready_path = "/v2/healthz"
    plain = """
listen: [{{address: "127.0.0.1:{port}"}}]
admin: 127.0.0.1:{admin}
workers: 1
upstreams:
  app: {{primary: ["127.0.0.1:{origin}"]{replicas}}}
clients: {{keepalive: 5m, keepalive_requests: 1000000000, per_address: {connections}}}
cache: {{memory: {memory}}}
log: {{access: {access}, path: {log}}}
"""
    # What counts is a weir with everything on: it knows the tenant by its host name and the
    # version by its path, and the requests go by named routes.
    full = plain + """
tenants:
  from:
    - {{host: "{{tenant}}.bench.test"}}
    - {{header: X-Tenant, believe: any}}
  unknown: default
  named:
    acme: {{concurrency: 20000}}
    tiny: {{rate: 5/s, burst: 5}}
versions:
  from: [{{path: "/{{version}}/", strip: false}}, {{header: API-Version}}]
  default: v2
  known:
    v1: {{upstream: app}}
    v2: {{upstream: app}}
routes:
  - {{name: keys, path: /k/**, cache: {{ttl: 1h}}}}
  - {{name: hits, path: /hit/**, cache: {{ttl: 1h}}}}
  - {{name: routes, path: /route/**, cache: {{ttl: 1h}}}}
  - {{name: pass, path: /pass/**}}
  - {{name: checkout, path: /checkout, methods: [POST]}}
"""

    def __init__(self, world, access="off", memory="512MiB", splits=False):
        if not world.weir:
            raise Problem("weir is not there: build it, or name it with --weir")
        super().__init__(world)
        self.access, self.memory = access, memory
        # The same application by another name: what is measured is the choice, not the servers.
        self.replicas = (f', replicas: ["localhost:{world.origin_port}"], '
                         'plugins: [{name: rw_split}]') if splits else ""
        self.access_log = self.folder / "access.log"

    def command(self):
        template = {"full": self.full, "plain": self.plain}.get(self.world.weir_config)
        if template is None:
            with open(self.world.weir_config, encoding="utf-8") as file:
                template = file.read()
        path = self.write("weir.yaml", template.format(
            port=self.port, admin=self.world.port(), origin=self.world.origin_port,
            connections=self.world.clients_max, access=self.access, memory=self.memory,
            replicas=self.replicas,
            log=self.access_log if self.access != "off" else "stderr"))
        return [self.world.weir, "-c", path]

    @classmethod
    def version(cls, world):
        return first_line([str(world.weir), "--version"]) if world.weir else None


def first_line(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None


PEERS = {"nginx": Nginx, "haproxy": Haproxy, "varnish": Varnish}
