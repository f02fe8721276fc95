"""Plugins that were built for an older minor of the ABI go on working, and weir does not look where they end."""

import hashlib
import itertools
import json
import shutil
import subprocess

import pytest
from harness import App, eventually, reply
from harness.weir import BINARY, REPOSITORY
from stories import cache_status, is_hit, named

OLD = REPOSITORY / "tests/plugins/abi_1_0"
FLAGS = ["-std=gnu11", "-Werror", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-shared", "-fPIC", "-fvisibility=hidden"]

# Its assign keeps something with the request; where it is asked next, as another instance, there must be nothing.
KEEPER = r"""
#include <weir/plugin.h>
#include <stdlib.h>
struct keeper { const struct weir_host *host; bool assigns; };
static void *configure(const struct weir_host *host, const struct weir_config *config, char *error, size_t size)
{
    struct keeper *self = calloc(1, sizeof *self);
    self->host = host;
    host->config_bool(config, "assigns", &self->assigns);
    return self;
}
static void destroy(void *self) { free(self); }
static struct weir_str assign(void *arg, struct weir_request *request)
{
    struct keeper *self = arg;
    if (!self->assigns)
        return (struct weir_str){0};
    self->host->set(request, self);
    return (struct weir_str){"back", 4};
}
static void answered(void *arg, struct weir_request *request, const struct weir_answer *answer, struct weir_verdict *out)
{
    struct keeper *self = arg;
    bool is_clean = !self->host->get(request);
    out->token = is_clean ? (struct weir_str){"clean", 5} : (struct weir_str){"kept", 4};
}
WEIR_EXPORT const struct weir_plugin weir_plugin = {
    .size = sizeof(struct weir_plugin), .abi_major = WEIR_PLUGIN_ABI_MAJOR, .abi_minor = WEIR_PLUGIN_ABI_MINOR, .name = "keeper", .version = "1",
    .configure = configure, .destroy = destroy, .answered = answered, .assign = assign,
};
"""

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The plugins, each built from the one header it is for."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "keeper.c").write_text(KEEPER)
    for header, source in [(OLD / "weir", OLD / "abi_1_0.c"), (REPOSITORY / "proxy/include/weir", OLD / "truncated.c"),
                           (REPOSITORY / "proxy/include/weir", folder / "keeper.c")]:
        include = folder / f"include-{source.stem}"
        shutil.copytree(header, include / "weir")
        subprocess.run(["cc", *FLAGS, f"-I{include}", shutil.copy(source, include), "-o", folder / f"{source.stem}.so"], check=True, timeout=60)
    return folder


class Trio:
    def __init__(self, answer=named):
        self.apps = [App(answer(f"app{number}")) for number in range(3)]

    def upstream(self, *plugins, **more):
        addresses = [app.address for app in self.apps]
        return {"primary": addresses[:1], "replicas": addresses[1:], "plugins": list(plugins), **more}

    def close(self):
        for app in self.apps:
            app.close()


@pytest.fixture
def trio():
    trio = Trio()
    yield trio
    trio.close()


def get(weir, target="/x", *fields, method="GET"):
    with weir.wire() as wire:
        wire.request(method, target, *fields, body=b"{}" if method == "POST" else None)
        return wire.reply(method)


def test_the_header_of_1_0_is_as_it_was():
    digest = hashlib.sha256((OLD / "weir/plugin.h").read_bytes()).hexdigest()
    assert digest == "2e32329c28b0e849151c2408b0e127f6c4b02150fed194766f78b2d04c6c4f11", "plugins were built against it: it is never edited"


@pytest.fixture
def old(start_weir, folder, trio):
    """old(index): a weir whose plugin of 1.0 sends all to that server."""

    def old(index, **config):
        plugin = {"name": "abi_1_0", "server": trio.apps[index].address}
        return start_weir(plugins=[str(folder)], upstreams={"app": trio.upstream(plugin)}, **config)

    return old


@pytest.mark.parametrize("index, role", [(0, "primary"), (1, "replica"), (2, "replica")])
def test_an_old_plugin_finds_the_candidates_although_they_lie_further_apart(old, index, role):
    weir = old(index)
    for method in ("GET", "POST"):
        answer = get(weir, method=method)
        assert answer.status == 200 and answer["x-app"] == f"app{index}"
        words = answer["weir-position"].split("-")
        assert words[:6] == [method, "200", str(index), role, "1", "1"], "one inspect, one choose, and what they kept came to answered"
        assert f"weir_position={answer['weir-position']};" in answer["set-cookie"] and "Max-Age=60" in answer["set-cookie"]


def test_an_old_plugin_refuses_in_known_words(old, trio):
    weir = old(1)
    trio.apps[1].close()
    answer = get(weir)
    assert answer.status == 503 and answer["retry-after"] == "7" and answer.is_problem(503, "write-held"), answer
    assert trio.apps[0].has_seen_nothing() and trio.apps[2].has_seen_nothing()


def test_an_old_plugin_ticks_and_hears_the_end_of_requests(old):
    weir = old(2)
    for _ in range(5):
        get(weir)
    eventually(lambda: "abi_1_0: tick" in weir.log() and "finished 5" in weir.log())


def test_an_old_plugin_compares_positions(start_weir, folder):
    numbers = itertools.count(1)
    app = App(lambda request: reply(200, b"x", "Cache-Control: max-age=600", f"X-Version: {next(numbers)}"))
    try:
        upstream = {"primary": [app.address], "plugins": [{"name": "abi_1_0", "server": app.address}]}
        weir = start_weir(plugins=[str(folder)], upstreams={"app": upstream})
        assert get(weir, "/item")["x-version"] == "1"
        assert is_hit(get(weir, "/item")) and is_hit(get(weir, "/item", "X-Want: 1"))
        newer = get(weir, "/item", "X-Want: 2")
        assert not is_hit(newer) and newer["x-version"] == "2" and cache_status(newer)["detail"] == "read-your-writes"
        assert is_hit(get(weir, "/item", "X-Want: 2"))
    finally:
        app.close()


def test_an_old_plugin_survives_reloads(old):
    weir = old(0)
    config = json.loads(weir.file.read_text())
    for workers in ("1s", "2s", "3s"):
        config["upstreams"]["app"]["timeouts"] = {"connect": workers}
        weir.file.write_text(json.dumps(config))
        assert subprocess.run([BINARY, "reload", "--admin", f"{weir.admin[0]}:{weir.admin[1]}"], capture_output=True, timeout=60, check=False).returncode == 0
        assert get(weir)["x-app"] == "app0"


def test_what_lies_behind_a_plugins_size_is_not_called(start_weir, folder):
    trio = Trio(lambda name: reply(200, b"x", "Cache-Control: max-age=600", f"X-App: {name}"))
    try:
        upstream = trio.upstream({"name": "truncated"}, health={"path": "/healthz", "interval": "100ms"})
        weir = start_weir(plugins=[str(folder)], upstreams={"app": upstream})
        assert get(weir, "/one")["x-app"] == "app2", "its choose is called, and sees what is new in candidates"
        assert is_hit(get(weir, "/one")), "served would have aborted"
        for app in trio.apps:
            eventually(lambda app=app: app.targets().count("/healthz") >= 2, why="checked would have aborted")
        assert weir.is_running()
    finally:
        trio.close()


def test_what_assign_keeps_stays_with_its_own_instance(start_weir, folder, trio):
    front = {"primary": ["127.0.0.1:1"], "plugins": [{"name": "keeper", "assigns": True}]}
    weir = start_weir(plugins=[str(folder)], upstreams={"front": front, "back": trio.upstream({"name": "keeper"})},
                      routes=[{"path": "/**", "upstream": "front"}])
    answer = get(weir)
    assert answer.status == 200 and answer["weir-position"] == "clean"
