"""apt-get update and download through weir, from a small repository made here."""

import email.utils
import gzip
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from harness import App, reply

pytestmark = pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("dpkg-deb"), reason="no apt")

PACKAGES = 5


def make_package(folder, name, size):
    tree = folder / "build" / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share" / name).mkdir(parents=True)
    (tree / "usr/share" / name / "data").write_bytes(os.urandom(size))
    control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.com>\nDescription: a test\n"
    (tree / "DEBIAN/control").write_text(control)
    file = folder / "repository/pool" / f"{name}_1.0_all.deb"
    file.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, file], check=True, capture_output=True, timeout=60)
    data = file.read_bytes()
    return f"{control}Filename: pool/{file.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"


def make_repository(folder):
    rows = [make_package(folder, f"weir-test-{number}", 1000 + number * 300_000) for number in range(PACKAGES)]
    dist = folder / "repository/dists/stable"
    binary = dist / "main/binary-all"
    binary.mkdir(parents=True)
    packages = "\n".join(rows).encode()
    (binary / "Packages").write_bytes(packages)
    (binary / "Packages.gz").write_bytes(gzip.compress(packages))
    lines = []
    for name in ("Packages", "Packages.gz"):
        data = (binary / name).read_bytes()
        lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-all/{name}")
    (dist / "Release").write_text("Origin: test\nLabel: test\nSuite: stable\nCodename: stable\nArchitectures: all\nComponents: main\n"
                                  f"Date: {email.utils.formatdate(usegmt=True)}\nSHA256:\n" + "\n".join(lines) + "\n")
    return folder / "repository"


class Files:
    """A plain file server: validators, ranges, and freshness for what never changes."""

    def __init__(self, root):
        self.root = root

    def __call__(self, request):
        path = self.root / request.target.split("?")[0].lstrip("/")
        if ".." in request.target or not path.is_file():
            return reply(404, b"not here")
        data = path.read_bytes()
        modified = email.utils.formatdate(path.stat().st_mtime, usegmt=True)
        fields = [f"Last-Modified: {modified}", f"ETag: \"{hashlib.sha256(data).hexdigest()[:16]}\"", "Accept-Ranges: bytes",
                  "Cache-Control: max-age=3600" if path.suffix == ".deb" else "Cache-Control: no-cache"]
        if request["if-modified-since"] == modified:
            return reply(304, b"", *fields, length=False)
        return reply(200, data, *fields)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("apt"))


@pytest.fixture(scope="module")
def app(repository):
    app = App(Files(repository))
    yield app
    app.close()


@pytest.fixture(scope="module")
def weir(module_weirs, app):
    return module_weirs.start(app)


class Apt:
    """apt-get with folders of its own: nothing of this machine's is read or written."""

    def __init__(self, folder, url):
        self.folder = folder
        for name in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/trusted.gpg.d", "log", "here"):
            (folder / name).mkdir(parents=True)
        (folder / "status").write_text("")
        (folder / "etc/sources.list").write_text(f"deb [trusted=yes arch=all] {url} stable main\n")
        self.config = folder / "apt.conf"
        self.config.write_text(f"""
Dir::State "{folder}/state"; Dir::State::status "{folder}/status"; Dir::Cache "{folder}/cache"; Dir::Etc "{folder}/etc"; Dir::Log "{folder}/log";
Dir::Etc::sourcelist "{folder}/etc/sources.list"; Dir::Etc::sourceparts "-"; APT::Architecture "all"; APT::Architectures {{ "all"; }};
Acquire::Languages "none"; Acquire::Retries "0"; Acquire::http::Timeout "60"; APT::Sandbox::User "root"; Acquire::http::Proxy "false";
""")

    def __call__(self, *arguments):
        environment = {"PATH": os.environ["PATH"], "APT_CONFIG": str(self.config), "LC_ALL": "C", "HOME": str(self.folder)}
        done = subprocess.run(["apt-get", "--yes", *arguments], cwd=self.folder / "here", env=environment, capture_output=True, text=True,
                              timeout=120, check=False)
        assert done.returncode == 0, f"apt-get {arguments}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def apt(tmp_path, weir):
    return Apt(tmp_path, "http://%s:%d" % weir.address)


def downloaded(apt):
    return {file.name: file.read_bytes() for file in (apt.folder / "here").glob("*.deb")}


def test_update_and_download(apt, repository):
    said = apt("update")
    assert "Err" not in said and "W:" not in said, said
    apt("download", *[f"weir-test-{number}" for number in range(PACKAGES)])
    assert downloaded(apt) == {file.name: file.read_bytes() for file in (repository / "pool").iterdir()}


def test_the_second_machine_is_served_from_the_cache(apt, app, repository):
    apt("update")
    apt("download", "weir-test-1", "weir-test-2")
    app.forget()
    for file in (apt.folder / "here").glob("*.deb"):
        file.unlink()
    apt("download", "weir-test-1", "weir-test-2")
    assert downloaded(apt)["weir-test-1_1.0_all.deb"] == (repository / "pool/weir-test-1_1.0_all.deb").read_bytes()
    assert not [target for target in app.targets() if target.endswith(".deb")]


def test_an_update_without_news_moves_nothing(apt, app):
    apt("update")
    app.forget()
    said = apt("update")
    assert "Hit:" in said, said
    assert not [target for target in app.targets() if "Packages" in target]


def test_a_changed_release_is_seen_at_once(apt, repository):
    apt("update")
    release = repository / "dists/stable/Release"
    release.write_text("Description: changed\n" + release.read_text())
    later = time.time() + 10
    os.utime(release, (later, later))
    said = apt("update")
    assert "Get:" in said, said
    assert any("Description: changed" in Path(file).read_text() for file in (apt.folder / "state/lists").glob("*Release"))
