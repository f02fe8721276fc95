"""Fixtures of the flow tests.

They run under /usr/bin/python3 with Debian's packages: python3-pytest, python3-websockets, openssl.
WEIR_BIN names the binary (default: build/proxy/weir of this repository; plugins are found beside it), WEIR_SANITIZED=1 says that it was
built with sanitizers, so that memory is not measured and bodies are smaller.
"""

import itertools
import re
import resource

import pytest

from harness import App, Authority, Weir


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than half a minute")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16384 if hard == resource.RLIM_INFINITY else min(16384, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Weirs:
    """Starts weirs. Each is asked to stop when its test is over, and all of a module are judged together: draining takes a second."""

    def __init__(self, folder):
        self.folder = folder
        self.numbers = itertools.count(1)
        self.running = []
        self.stopping = []

    def start(self, app=None, name="weir", **sections):
        """A weir in front of `app` (one App, or a list of them). Sections of the config come as they are; `upstream` goes into the one
        upstream, `listen` may be left out."""
        config = dict(sections)
        upstream = config.pop("upstream", {})
        environment = config.pop("environment", None)
        config.setdefault("listen", [{"address": "127.0.0.1:0"}])
        config.setdefault("admin", "127.0.0.1:0")
        config.setdefault("workers", 1)
        if app is not None:
            apps = app if isinstance(app, list) else [app]
            config.setdefault("upstreams", {"app": {"primary": [one if isinstance(one, str) else one.address for one in apps], **upstream}})
        started = Weir(config, self.folder / f"{name}-{next(self.numbers)}", environment)
        self.running.append(started)
        return started

    def ask_to_stop(self):
        for weir in self.running:
            weir.ask_to_stop()
        self.stopping += self.running
        self.running = []

    def stop(self):
        self.ask_to_stop()
        bad = []
        for weir in self.stopping:
            try:
                weir.stop()
            except AssertionError as error:
                bad.append(str(error))
        assert not bad, "\n\n".join(bad)


@pytest.fixture(scope="module")
def module_weirs(tmp_path_factory):
    weirs = Weirs(tmp_path_factory.mktemp("weirs"))
    yield weirs
    weirs.stop()


@pytest.fixture
def start_weir(module_weirs, request):
    """start_weir(app, **config): a weir for this test alone."""

    def start(app=None, **sections):
        return module_weirs.start(app, name=re.sub(r"[^\w-]+", "-", request.node.name)[:80], **sections)

    kept, module_weirs.running = module_weirs.running, []
    yield start
    module_weirs.ask_to_stop()
    module_weirs.running = kept


@pytest.fixture
def start_app():
    """start_app(...): an App for this test alone."""
    apps = []

    def start(*arguments, **options):
        app = App(*arguments, **options)
        apps.append(app)
        return app

    yield start
    for app in apps:
        app.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))
