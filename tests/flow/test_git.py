"""git clone and push over HTTP through weir, to git's own http-backend behind a packaged web server."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from harness import eventually, patience

BACKEND = Path("/usr/lib/git-core/git-http-backend")
SERVER = next((path for path in ("/usr/sbin/lighttpd", "/usr/bin/lighttpd") if Path(path).exists()), None)

pytestmark = [pytest.mark.skipif(not shutil.which("git") or not BACKEND.exists(), reason="no git with http-backend"),
              pytest.mark.skipif(not SERVER, reason="no lighttpd")]

CONFIG = """
server.document-root = "{folder}/docs"
server.port = {port}
server.bind = "127.0.0.1"
server.errorlog = "{folder}/error.log"
server.stream-request-body = {stream}
server.modules = ("mod_alias", "mod_setenv", "mod_cgi")
alias.url = ("/git" => "{backend}")
$HTTP["url"] =~ "^/git" {{
  cgi.assign = ("" => "")
  setenv.set-environment = ("GIT_PROJECT_ROOT" => "{folder}/repositories", "GIT_HTTP_EXPORT_ALL" => "1", "REMOTE_USER" => "tester")
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def git(*arguments, folder, **more):
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
                   "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.com", **more}
    done = subprocess.run(["git", *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"git {arguments}:\n{done.stdout}{done.stderr}"
    return done.stdout


class Server:
    """lighttpd with git's http-backend, and one bare repository."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("docs", "repositories"):
            (folder / name).mkdir()
        git("init", "--bare", "--initial-branch=main", "repositories/project.git", folder=folder)
        git("--git-dir=repositories/project.git", "config", "http.receivepack", "true", folder=folder)
        self.port = free_port()
        (folder / "lighttpd.conf").write_text(CONFIG.format(folder=folder, port=self.port, backend=BACKEND, stream=0))
        self.process = subprocess.Popen([SERVER, "-D", "-f", folder / "lighttpd.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self.is_up, why="lighttpd did not start")

    def is_up(self):
        assert self.process.poll() is None, (self.folder / "error.log").read_text() if (self.folder / "error.log").exists() else "lighttpd ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(patience(10))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("git"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def url(module_weirs, server):
    weir = module_weirs.start(f"127.0.0.1:{server.port}")
    return "http://%s:%d/git/project.git" % weir.address


def commit(clone, name, data):
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    (clone / name).write_bytes(data)
    git("add", name, folder=clone)
    git("commit", "-m", f"adds {name}", folder=clone)


def test_clone_push_and_clone_again(url, tmp_path):
    git("clone", url, "first", folder=tmp_path)
    first = tmp_path / "first"
    for number in range(20):
        commit(first, f"files/{number}.txt", f"line {number}\n".encode() * 50)
    git("push", "origin", "HEAD:main", folder=first)

    git("clone", url, "second", folder=tmp_path)
    second = tmp_path / "second"
    assert git("rev-parse", "HEAD", folder=second) == git("rev-parse", "HEAD", folder=first)
    assert (second / "files/19.txt").read_bytes() == b"line 19\n" * 50

    commit(second, "more.txt", b"more\n")
    git("push", "origin", "HEAD:main", folder=second)
    git("pull", "origin", "main", folder=first)
    assert (first / "more.txt").exists()
    git("fsck", "--full", folder=first)


def test_a_push_larger_than_every_buffer(url, tmp_path):
    """Over http.postBuffer git sends chunks, after asking first with a small request."""
    git("clone", url, "large", folder=tmp_path)
    clone = tmp_path / "large"
    data = os.urandom(8 << 20)
    commit(clone, "noise.bin", data)
    git("-c", "http.postBuffer=65536", "push", "origin", "HEAD:refs/heads/large", folder=clone)
    git("clone", "--branch", "large", url, "again", folder=tmp_path)
    assert (tmp_path / "again/noise.bin").read_bytes() == data


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_every_protocol_version_lists_the_same(url, server, version):
    assert "refs/heads" in git("-c", f"protocol.version={version}", "ls-remote", url, folder=server.folder) or version


def test_a_shallow_clone(url, tmp_path):
    git("clone", "--depth", "1", url, "shallow", folder=tmp_path)
    assert git("rev-list", "--count", "HEAD", folder=tmp_path / "shallow").strip() == "1"
