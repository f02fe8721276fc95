"""The image of docker/Dockerfile: it builds, and what it holds runs as it says.

No Docker engine is needed: buildah builds it, with vfs storage and chroot isolation, from a base that debootstrap makes of the same
package mirror as this machine's.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BASE = "docker.io/library/debian:12-slim"


def missing():
    """Why this can't run here; empty if it can."""
    if os.geteuid() != 0:
        return "building an image with chroot isolation needs root"
    tools = [tool for tool in ("buildah", "debootstrap") if not shutil.which(tool)]
    return f"not installed: {', '.join(tools)}" if tools else ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]


def run(*command, **options):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=330, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout[-4000:]}"
    return done.stdout


def apt_sources():
    """This machine's sources of Debian itself, as (URI, suite); the release proper first."""
    rows = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(SUITE) $(CODENAME) $(COMPONENT)", "Created-By: Packages")
    found = []
    for row in rows.splitlines():
        parts = row.split()
        if len(parts) == 5 and parts[0] == "Debian" and parts[4] == "main" and (parts[1], parts[3]) not in found:
            found.append((parts[1], parts[3]))
    found.sort(key=lambda source: source[1] != "bookworm")
    if not found or found[0][1] != "bookworm":
        pytest.skip("apt knows no mirror of Debian 12 (bookworm)")
    return found


class Storage:
    """buildah with a store of its own, so that nothing stays on the machine."""

    def __init__(self, folder):
        self.folder = folder
        self.options = ["--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]

    def __call__(self, *arguments):
        return run("buildah", *self.options, *map(str, arguments), env={**os.environ, "TMPDIR": str(self.folder)}).strip()


def make_base(storage, folder):
    """debian:12-slim, or what comes close to it: debootstrap's smallest variant."""
    root = folder / "base"
    sources = apt_sources()
    run("debootstrap", "--variant=minbase", "bookworm", root, sources[0][0])
    lines = [f"deb {uri} {suite} main\n" for uri, suite in sources]
    (root / "etc/apt/sources.list").write_text("".join(lines))
    # Proxies and the like.
    kept = ("Acquire::http::", "Acquire::https::", "Acquire::Check-")
    settings = [line + "\n" for line in run("apt-config", "dump").splitlines() if line.startswith(kept)]
    (root / "etc/apt/apt.conf.d/99host").write_text("".join(settings))
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)

    container = storage("from", "scratch")
    storage("add", "--quiet", container, root, "/")
    storage("commit", "--quiet", "--format", "docker", "--rm", container, BASE)
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    storage = Storage(folder)
    try:
        make_base(storage, folder)
        storage("bud", "--isolation", "chroot", "--format", "docker", "--pull-never", "--layers=false",
                "--ignorefile", REPOSITORY / "docker/Dockerfile.dockerignore",
                "-f", REPOSITORY / "docker/Dockerfile", "-t", "weir", REPOSITORY)
        yield storage
    finally:
        subprocess.run(["buildah", *storage.options, "rm", "--all"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def image(storage):
    return json.loads(storage("inspect", "--type", "image", "weir"))["Docker"]["config"]


@pytest.fixture(scope="module")
def root(storage):
    root = Path(storage("mount", storage("from", "--pull-never", "weir")))
    run("mount", "-t", "proc", "proc", root / "proc")  # as a container has it
    yield root
    run("umount", root / "proc")


class App(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


@pytest.fixture
def app():
    server = HTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def within(root, *command, env=None):
    """The command as the image's user, in its root."""
    return ["chroot", "--userspec=weir:weir", str(root), "/usr/bin/env", "-i", "PATH=/usr/bin:/bin",
            *[f"{name}={value}" for name, value in (env or {}).items()], *command]


def wait_until(is_so, seconds=10):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_runs_as_a_user_of_its_own_and_checks_its_health(image):
    assert image["User"] == "weir"
    assert image["Entrypoint"] == ["weir"]
    assert image["Healthcheck"]["Test"] == ["CMD", "healthcheck", "127.0.0.1:9900", "/livez"]
    assert "8080/tcp" in image["ExposedPorts"]


def test_holds_no_compiler_and_nothing_a_user_could_change(root):
    assert not (root / "usr/bin/gcc").exists()
    for path in ("usr/bin/weir", "usr/lib/weir/plugins/rw_split.so", "etc/weir/weir.yaml"):
        state = (root / path).stat()
        assert state.st_uid == 0
        assert state.st_mode & 0o022 == 0, path


def test_finds_its_plugins_and_names_a_missing_setting(root):
    (root / "tmp/weir.yaml").write_text("upstreams:\n  app: {primary: [127.0.0.1:1], plugins: [{name: rw_split, window: 3s}]}\n")
    run(*within(root, "weir", "check", "-c", "/tmp/weir.yaml"))

    unset = subprocess.run(within(root, "weir", "check", "-c", "/etc/weir/weir.yaml"), capture_output=True, text=True, check=False)
    assert unset.returncode == 1
    assert "WEIR_UPSTREAM" in unset.stderr


def test_weir_from_the_image_serves_is_healthy_and_drains(root, app):
    listen, admin = free_address(), free_address()
    env = {"WEIR_UPSTREAM": app, "WEIR_LISTEN": listen, "WEIR_ADMIN": admin}
    weir = subprocess.Popen(within(root, "weir", "-c", "/etc/weir/weir.yaml", env=env), stderr=subprocess.PIPE, text=True)
    healthcheck = within(root, "healthcheck", admin, "/livez")
    try:
        wait_until(lambda: subprocess.run(healthcheck, capture_output=True, check=False).returncode == 0)
        with urllib.request.urlopen(f"http://{listen}/", timeout=5) as reply:
            assert reply.read() == b"hello"
            assert "weir" in reply.headers["Via"]
        weir.send_signal(signal.SIGTERM)
        assert weir.wait(timeout=10) == 0
        assert subprocess.run(healthcheck, capture_output=True, check=False).returncode != 0
    finally:
        weir.kill()
        print(weir.communicate()[1])
