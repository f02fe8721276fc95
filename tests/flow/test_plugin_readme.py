"""A stranger follows plugins/README.md: its code, its commands and its configs, in a folder of his own, with the header that is installed."""

import re
import shutil
import subprocess

import pytest
from harness import App, eventually, reply
from harness.weir import BINARY, REPOSITORY
from stories import is_hit, metrics, named, total

README = (REPOSITORY / "plugins/README.md").read_text()

pytestmark = pytest.mark.skipif(not shutil.which("cc") or not shutil.which("pkg-config"), reason="no C compiler, or no pkg-config")


def block(language, name):
    found = re.search(f"^```{language} {name}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no {language} block {name}"
    return found[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """/opt/plugins of the README, with what it tells to build."""
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copytree(REPOSITORY / "proxy/include", folder / "usr/include")
    (folder / "weir-plugin.pc").write_text(f"Name: weir-plugin\nDescription: header\nVersion: 1\nCflags: -I{folder}/usr/include\n")
    for name in ("fresh", "lag", "sticky", "every"):
        (folder / f"{name}.c").write_text(block("c", f"{name}.c"))
        command = block("sh", "fresh.c").replace("fresh", name)
        subprocess.run(["sh", "-eu", "-c", command], cwd=folder, env={"PATH": "/usr/bin:/bin", "PKG_CONFIG_PATH": str(folder)}, check=True, timeout=60)
    return folder


@pytest.fixture
def start(start_weir, folder):
    """start(name, answers): weir with the README's config of that name, in front of apps that answer so, in the order of its servers."""
    apps = []

    def start(name, answers):
        text = block("yaml", f"{name}.yaml").replace("/opt/plugins", str(folder))
        for index, answer in enumerate(answers):
            apps.append(App(answer))
            text = text.replace(f"127.0.0.1:{3000 + index}", apps[-1].address)
        weir = start_weir(upstreams={"app": {"primary": ["127.0.0.1:1"]}})  # for its address; the README's config comes by a reload
        kept = "listen: [127.0.0.1:0]\nadmin: {}:{}\nworkers: 1\n".format(*weir.admin)
        weir.file.write_text(kept + text)
        weir.apps = apps
        done = subprocess.run([BINARY, "reload", "--admin", f"{weir.admin[0]}:{weir.admin[1]}"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done
        return weir

    yield start
    for app in apps:
        app.close()


def get(weir, target, *fields, method="GET"):
    with weir.wire() as wire:
        wire.request(method, target, *fields, body=b"{}" if method == "POST" else None)
        answer = wire.reply(method)
    assert answer.status == 200, answer
    return answer


def who(weir, target, *fields, method="GET"):
    return get(weir, target, *fields, method=method)["x-app"]


def test_fresh_reads_from_the_primary_below_its_path(start):
    weir = start("fresh", [named("primary"), named("replica")])
    assert {who(weir, "/account/balance") for _ in range(5)} == {"primary"}
    assert {who(weir, "/items") for _ in range(5)} == {"replica"}, "rw_split has the rest"
    assert who(weir, "/items", method="POST") == "primary"
    assert who(weir, "/%61ccount/balance") == who(weir, "/./account/balance") == "replica", "a path is compared as it was sent"


def test_lag_reads_from_the_replica_that_is_close_enough(start):
    lags = {"primary": 0, "near": 20, "far": 90000}

    def answer(name):
        return lambda request: reply(200, b"x", f"X-App: {name}", "Cache-Control: no-store", f"X-Lag-Ms: {lags[name]}")

    weir = start("lag", [answer("primary"), answer("near"), answer("far")])
    eventually(lambda: who(weir, "/x") == "near", why="the first health checks come")
    assert {who(weir, "/x") for _ in range(10)} == {"near"}
    assert who(weir, "/x", method="POST") == "primary"
    lags["near"] = 5000
    eventually(lambda: who(weir, "/x") == "primary")
    assert total(metrics(weir), "weir_plugin_events_total", upstream="app", event="all_lag") >= 1
    lags["far"] = 0
    eventually(lambda: who(weir, "/x") == "far")


def test_sticky_reads_from_the_replica_that_served_this_client(start):
    def answer(name):
        return lambda request: reply(200, b"x", f"X-App: {name}", "Set-Cookie: theme=dark", "Cache-Control: no-store")

    names = ["primary", "replica1", "replica2"]
    weir = start("sticky", [answer(name) for name in names])
    marks = {}

    def comes():
        first = get(weir, "/x")
        app_s, ours = [line.split(";")[0] for line in first.all("set-cookie")]
        assert app_s == "theme=dark"
        marks[first["x-app"]] = ours
        return len(marks) == 2

    eventually(comes, why="clients without the cookie are balanced")
    assert set(marks) == {"replica1", "replica2"}
    for name, mark in marks.items():
        again = [get(weir, "/x", f"Cookie: a=b; {mark}") for _ in range(5)]
        assert {one["x-app"] for one in again} == {name} and all(one.all("set-cookie") == ["theme=dark"] for one in again), "it knows"
        assert who(weir, "/x", f"Cookie: {mark}", method="POST") == "primary"
    weir.apps[names.index("replica1")].close()
    moved = get(weir, "/x", f"Cookie: {marks['replica1']}")
    assert moved["x-app"] == "replica2" and moved.all("set-cookie")[-1].startswith(marks["replica2"] + ";")


def test_every_hook_doing_nothing_is_no_opinion(start_weir, start_app, folder):
    app = start_app(reply(200, b"x", "Cache-Control: max-age=60", "X-App: app"))
    upstream = {"primary": [app.address], "health": {"interval": "100ms"}, "plugins": [{"name": "every"}]}
    weir = start_weir(plugins=[str(folder)], upstreams={"app": upstream})
    assert who(weir, "/item") == "app" and is_hit(weir.get("/item"))
    assert who(weir, "/item", method="POST") == "app"
    assert total(metrics(weir), "weir_plugin_calls_total", plugin="every") >= 10


def test_all_fields_of_the_header_are_explained():
    """Who writes a plugin from the README alone has to find them there."""
    header = re.sub(r"/\*.*?\*/", "", (REPOSITORY / "proxy/include/weir/plugin.h").read_text(), flags=re.DOTALL)
    for name, fields in re.findall(r"^struct (weir_\w+) \{\n(.*?)^\};", header, re.MULTILINE | re.DOTALL):
        for one in re.findall(r"[^;]+;", fields):
            field = (re.search(r"\(\*(\w+)\)\(", one) or re.search(r"(\w+)(?:\[\d+\])?\s*;$", one))[1]
            short = field.replace("config_", "_")
            assert re.search(rf"\b{field}\b", README) or f"`{short}`" in README, f"{name}.{field}"


@pytest.mark.parametrize("name, keys, sentence", [
    ("fresh", "bellow: /account/", "plugin \"fresh\" refuses its keys: unknown key bellow, allowed is below"),
    ("fresh", "below: account", "below must be a path"), ("lag", "max: soon", "max must be a duration"), ("lag", "min: 1s", "unknown key min"),
    ("sticky", "cookie: served by", "cookie must be a cookie's name"), ("sticky", "cooky: served_by", "unknown key cooky")])
def test_mistakes_read_as_the_readme_shows(tmp_path, folder, name, keys, sentence):
    text = block("yaml", f"{name}.yaml").replace("/opt/plugins", str(folder))
    text = re.sub(r"\{name: " + name + ", [^}]*", f"{{name: {name}, {keys}", text)
    (tmp_path / "weir.yaml").write_text(text)
    done = subprocess.run([BINARY, "check", "-c", "weir.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and sentence in done.stderr, done
    if "bellow" in keys:
        assert done.stderr in README


@pytest.mark.parametrize("name", ["fresh", "lag", "sticky", "shard", "rw_split"])
def test_the_configs_are_right(tmp_path, folder, name):
    (tmp_path / "weir.yaml").write_text(block("yaml", f"{name}.yaml").replace("/opt/plugins", str(folder)))
    done = subprocess.run([BINARY, "check", "-c", tmp_path / "weir.yaml"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or "built with libpq" in done.stderr, done
