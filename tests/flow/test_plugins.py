"""Plugins are loaded by their bare name, and what is wrong with one is said in one sentence at `weir check`."""

import shutil
import subprocess

import pytest
import stories
from harness import reply
from harness.weir import BINARY, REPOSITORY

FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-shared", "-fPIC", "-fvisibility=hidden"]

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of plugins, built from the public header alone."""
    folder = tmp_path_factory.mktemp("plugins")
    shutil.copytree(REPOSITORY / "proxy/include/weir", folder / "include/weir")
    sources = [*sorted((REPOSITORY / "tests/plugins/bad").glob("*.c")), REPOSITORY / "plugins/template/template.c"]
    for source in sources:
        subprocess.run(["cc", *FLAGS, f"-I{folder}/include", source, "-o", folder / f"{source.stem}.so"], check=True, timeout=60)
    (folder / "no_library.so").write_text("this is text\n")
    (folder / "folder").mkdir()
    shutil.copy(folder / "template.so", folder / "folder/template.so")
    return folder


@pytest.fixture
def check(tmp_path, folder):
    """check(plugins, folders): what `weir check` says about an upstream with these plugins."""

    def check(plugins, folders=None):
        file = tmp_path / "weir.yaml"
        file.write_text(f"plugins: [{', '.join(str(one) for one in folders or [folder])}]\n"
                        "upstreams:\n  app:\n    primary: [127.0.0.1:1]\n    replicas: [127.0.0.1:2]\n"
                        f"    plugins: {plugins}\n")
        return subprocess.run([BINARY, "check", "-c", file], capture_output=True, text=True, timeout=60, check=False)

    return check


def refusal(done):
    """The one line that check said, which must name its place."""
    assert done.returncode == 1, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    place, sentence = lines[0].split(": ", 1)
    assert place.split("weir.yaml:")[1].split(":")[0] == "6", lines
    return sentence


@pytest.mark.parametrize("name, words", [
    ("nowhere", ["nowhere", "not found"]),
    ("no_library", ["no_library"]),
    ("no_symbol", ["weir_plugin"]),
    ("other_major", ["other_major", "ABI"]),
    ("newer_minor", ["newer_minor", "ABI"]),
    ("other_name", ["other_name"]),
    ("too_small", ["too_small"]),
    ("no_configure", ["no_configure", "configure"]),
    ("refuses", ["this plugin refuses every config"]),
])
def test_what_does_not_load_is_named_in_one_sentence(check, name, words):
    sentence = refusal(check(f"[{{name: {name}}}]"))
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("keys, words", [
    ("windows: 2s", ["windows", "window"]), ("window: soon", ["window"]), ("window: 2h", ["window"]), ("window: -1s", ["window"]),
    ("consistency: eventual", ["consistency"]), ("keys: [\"\"]", ["keys"]), ("keys: [short]", ["keys", "16"]), ("keys: 7", ["keys"])])
def test_rw_split_refuses_keys_in_its_own_words(check, keys, words):
    sentence = refusal(check(f"[{{name: rw_split, {keys}}}]"))
    assert all(word in sentence for word in ["rw_split", *words]), sentence


def test_rw_split_takes_what_it_knows(check):
    done = check("[{name: rw_split, window: 5s, consistency: window, keys: [0123456789abcdef]}]")
    assert done.returncode == 0, done.stderr


def test_the_template_loads_and_refuses_keys_it_does_not_know(check):
    assert check("[{name: template}]").returncode == 0
    assert "unknown" in refusal(check("[{name: template, unknown: 1}]"))


def test_the_template_of_the_build_is_found_without_a_folder(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("upstreams: {app: {primary: [127.0.0.1:1], plugins: [{name: template}, {name: rw_split}]}}\n")
    done = subprocess.run([BINARY, "check", "-c", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_plugin_in_a_folder_of_its_own_is_found(check, folder):
    subfolder = folder / "nested"
    (subfolder / "template").mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "template.so", subfolder / "template/template.so")
    assert check("[{name: template}]", [subfolder]).returncode == 0


@pytest.mark.parametrize("name", ["../plugins/template", "/etc/passwd", "template.so", "folder/template", "\"\""])
def test_a_name_is_no_path(check, name):
    done = check(f"[{{name: {name}}}]")
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done


def test_what_others_may_write_to_is_not_loaded(check, tmp_path, folder):
    loose = tmp_path / "loose"
    loose.mkdir()
    shutil.copy(folder / "template.so", loose / "template.so")
    loose.chmod(0o777)
    assert "written to by others" in refusal(check("[{name: template}]", [loose]))
    loose.chmod(0o755)
    (loose / "template.so").chmod(0o666)
    assert "written to by others" in refusal(check("[{name: template}]", [loose]))


def test_running_weir_is_refused_a_reload_by_a_broken_plugin_and_goes_on(start_weir, start_app, folder):
    app = start_app(reply(200, b"x"))
    weir = start_weir(plugins=[str(folder)], upstreams={"app": {"primary": [app.address], "plugins": [{"name": "template"}]}})
    assert weir.get().status == 200
    text = weir.file.read_text()
    weir.file.write_text(text.replace('"template"', '"other_major"'))
    answer = stories.ask(weir, "POST", "/api/reload", body={})
    assert answer.status == 422 and "ABI" in str(answer.json()["mistakes"])
    assert weir.get().status == 200
    weir.file.write_text(text)
    assert stories.ask(weir, "POST", "/api/reload", body={}).status == 200
    assert weir.get().status == 200
