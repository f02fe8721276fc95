"""weir without a file: an upstream on the command line, and good defaults."""

import os
import select
import signal
import socket
import subprocess

import pytest
from harness import Weir, patience, reply
from harness.weir import BINARY, REPOSITORY
from stories import is_hit, named, status


class Quick(Weir):
    """A weir started with options instead of a file."""

    def __init__(self, folder, *options):  # pylint: disable=super-init-not-called
        self.file = folder / "none.yaml"
        self.stderr = folder / "stderr.log"
        self.has_ended_well = None
        self.is_asked_to_stop = False
        variables = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}
        with self.stderr.open("wb") as errors:
            self.process = subprocess.Popen([BINARY, *options], stdout=subprocess.PIPE, stderr=errors, env=variables, cwd=folder)
        self._read_ready()


@pytest.fixture
def quick(tmp_path):
    """quick(options...): a weir without a file on ports of the kernel's choice."""
    started = []

    def quick(*options):
        started.append(Quick(tmp_path, *options, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"))
        return started[-1]

    yield quick
    for weir in started:
        weir.stop()


def test_one_option_is_enough(quick, start_app):
    app = start_app(reply(200, b"kept", "Cache-Control: max-age=60"))
    weir = quick("--upstream", app.address)
    assert weir.get("/x").body == b"kept"
    assert is_hit(weir.get("/x"))
    found = status(weir)
    assert found["upstreams"][0]["servers"][0]["address"] == app.address
    assert found["cache"]["memory"] == 256 << 20
    assert found["workers"] == len(os.sched_getaffinity(0))


def test_host_and_target_reach_the_app_unchanged(quick, start_app):
    app = start_app()
    weir = quick("--upstream", app.address)
    with weir.wire() as wire:
        wire.request("GET", "/a/../b?c=%64", host="shop.example.com:8080")
        assert wire.reply().status == 200
    assert app.requests[0].target == "/a/../b?c=%64"
    assert app.requests[0]["host"] == "shop.example.com:8080"


def test_replicas_turn_rw_split_on(quick, start_app):
    apps = {name: start_app(named(name)) for name in ("primary", "one", "two")}
    weir = quick("--upstream", apps["primary"].address, "--replica", apps["one"].address, "--replica", apps["two"].address)
    assert {weir.get("/")["x-app"] for _ in range(20)} == {"one", "two"}
    with weir.wire() as wire:
        wire.request("POST", "/", body=b"{}")
        answer = wire.reply()
    assert answer["x-app"] == "primary"
    assert weir.get("/", f"Weir-Position: {answer['weir-position']}")["x-app"] == "primary"


def test_the_cache_has_the_size_it_was_given(quick, start_app):
    assert status(quick("--upstream", start_app().address, "--cache", "1MiB"))["cache"]["memory"] == 1 << 20


def test_a_wrong_value_is_named(tmp_path):
    done = subprocess.run([BINARY, "--upstream", "nowhere", "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=60, check=False,
                          cwd=tmp_path)
    assert done.returncode == 1 and "nowhere" in done.stderr
    done = subprocess.run([BINARY, "--upstream", "127.0.0.1:1", "--cache", "lots"], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 1 and "lots" in done.stderr


def test_a_hangup_is_no_end(quick, start_app):
    weir = quick("--upstream", start_app().address)
    weir.process.send_signal(signal.SIGHUP)
    assert weir.get("/").status == 200
    assert weir.is_running()


def test_it_listens_where_nothing_was_said(tmp_path, start_app):
    """Only where the default ports are free: somebody may use them on this machine."""
    for port in (8080, 9900):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"somebody listens on port {port} here")
    options = [BINARY, "--upstream", start_app().address]
    with subprocess.Popen(options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert select.select([process.stdout], [], [], patience(10))[0]
            assert process.stdout.readline().split() == ["ready:", "http://127.0.0.1:8080", "admin", "http://127.0.0.1:9900"]
        finally:
            process.terminate()
            assert process.wait(60) == 0


# --- the tour, which is the first thing that anybody runs ---


@pytest.mark.needs_release  # it looks at times, and at how many requests fit into a second
def test_the_tour_keeps_its_promises():
    build = BINARY.parent.parent
    done = subprocess.run([REPOSITORY / "conf/quickstart", "--exit", "--build", build], capture_output=True, text=True, timeout=patience(60), check=False)
    assert done.returncode == 0 and "NOT AS PROMISED" not in done.stdout, done.stdout + done.stderr
