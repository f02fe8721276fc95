"""weir check, explain, --version and --help: exit codes, and mistakes as FILE:LINE:COL."""

import json
import re
import subprocess

import pytest
from harness import App
from harness.weir import BINARY, REPOSITORY
from stories import ask

PLACE = re.compile(r"(\S+):(\d+):(\d+): (.+)")


def weir(*arguments, env=None, folder=None):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=30, check=False, env=env, cwd=folder)


@pytest.fixture
def check(tmp_path):
    def check(text):
        file = tmp_path / "weir.yaml"
        file.write_text(text)
        return weir("check", "-c", file)

    return check


def mistakes(done):
    """[(line, column, sentence)] of what check said; it must have said nothing else."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    found = []
    for line in done.stderr.splitlines():
        match = PLACE.fullmatch(line)
        assert match, f"not FILE:LINE:COL: sentence: {line!r}"
        assert match[1].endswith("weir.yaml")
        found.append((int(match[2]), int(match[3]), match[4]))
    return found


@pytest.fixture(scope="module")
def running(module_weirs):
    app = App()
    yield module_weirs.start(app)
    app.close()


APP = "upstreams: {app: {primary: [127.0.0.1:3000]}}\n"


def test_a_right_file_is_summed_up_on_stdout(check):
    done = check(APP + "routes:\n  - {name: items, path: /items/**, cache: {ttl: 10s}}\n")
    assert done.returncode == 0, done
    assert done.stderr == ""
    assert "127.0.0.1:3000" in done.stdout and "items" in done.stdout


def test_a_password_of_redis_is_not_shown(check):
    done = check(APP + "cache: {redis: {url: \"redis://app:sesame@cache.internal:6380/2\"}}\n")
    assert done.returncode == 0, done
    assert "cache.internal:6380/2" in done.stdout and "sesame" not in done.stdout
    done = check(APP + "cache: {redis: {url: \"ftp://app:sesame@cache.internal\"}}\n")
    assert done.returncode == 1 and "sesame" not in done.stderr


def test_the_annotated_example_is_right():
    done = weir("check", "-c", REPOSITORY / "conf/weir.yaml")
    assert done.returncode == 0, done.stderr
    assert "warning: " not in done.stderr, done


def test_what_is_allowed_and_not_meant_is_a_warning_with_its_place(check):
    done = check("listen: 0.0.0.0:8080\nupstreams:\n  app: {primary: [127.0.0.1:8080], replicas: [127.0.0.1:3001]}\n"
                 "  old: {primary: [127.0.0.1:3010]}\nroutes: [{path: /**, upstream: app}]\n")
    assert done.returncode == 0 and "127.0.0.1:8080" in done.stdout, done
    assert "weir.yaml:3:19: warning: upstream app: 127.0.0.1:8080 is weir itself" in done.stderr, done
    assert "weir.yaml:4:3: warning: upstream old has no rw_split, and shares the domain" in done.stderr, done


def test_a_log_that_could_not_be_opened_is_a_mistake(check, tmp_path):
    (_, _, sentence), = mistakes(check(APP + f"log: {{path: {tmp_path}/none/access.log}}\n"))
    assert "none/access.log" in sentence and "No such file or directory" in sentence
    done = check(APP + f"log: {{path: {tmp_path}/access.log}}\n")
    assert done.returncode == 0 and not (tmp_path / "access.log").exists(), done
    done = check(APP + f"log: {{access: off, path: {tmp_path}/none/access.log}}\n")
    assert done.returncode == 0, done


def test_a_mistyped_plugin_gets_what_there_is(check):
    (_, _, sentence), = mistakes(check("upstreams: {app: {primary: [127.0.0.1:1], plugins: [{name: rw_splt}]}}\n"))
    assert '"rw_splt" was not found' in sentence and 'did you mean "rw_split"?' in sentence


def test_a_plugin_lists_all_that_is_allowed(check):
    (_, _, sentence), = mistakes(check("upstreams: {app: {primary: [127.0.0.1:1], plugins: [{name: rw_split, zzzzzz: 2s}]}}\n"))
    assert sentence.startswith('plugin "rw_split" refuses its keys') and sentence.endswith("probe_interval")


@pytest.mark.parametrize("arguments, words", [
    (["--upstream", "127.0.0.1"], ['--upstream: "127.0.0.1" is wrong; allowed: host:port']),
    (["--upstream", "127.0.0.1:99999"], ["--upstream: ", "a port is at most 65535"]),
    (["--upstream", "127.0.0.1:1", "--cache", "1XB"], ['--cache: "1XB" is wrong; allowed: a size']),
    (["--upstream", "127.0.0.1:1", "--admin", "0.0.0.0:99"], ["--admin: 0.0.0.0:99 can be reached by others"]),
    (["--upstream", "127.0.0.1:1", "--replica", "127.0.0.1:2", "--replica", "b"], ['--replica: "b" is wrong']),
    (["--upstream", "127.0.0.1:1", "--listen", "8080"], ['--listen: "8080" is wrong', "127.0.0.1:8080"])])
def test_a_wrong_option_is_told_by_its_name(arguments, words):
    done = weir(*arguments)
    assert done.returncode == 1 and done.stdout == "", done
    assert all(word in done.stderr for word in words) and "(command line)" not in done.stderr, done
    assert not re.search(r":\d+:\d+: ", done.stderr), done


@pytest.mark.parametrize("text, line, column, words", [
    ("upstream: {}\n", 1, 1, ["upstream", "upstreams"]),
    (APP + "listen:\n  - adress: 127.0.0.1:8080\n", 3, 5, ["adress", "address"]),
    (APP + "cache: {memory: lots}\n", 2, 17, ["lots", "64KiB"]),
    (APP + "cache:\n  object_max: -1\n", 3, 15, ["-1"]),
    (APP + "routes:\n  - {path: /x, upstream: ap}\n", 3, 26, ["ap", "app"]),
    (APP + "versions: {default: v2, known: {v1: {}}}\n", 2, 21, ["v2", "versions.known"]),
    (APP + "log: {access: yaml}\n", 2, 15, ["yaml", "json", "off"]),
    (APP + "clients: {head_time: 5 minutes}\n", 2, 22, ["5 minutes"]),
    (APP + "trusted_peers: [300.0.0.1/8]\n", 2, 17, ["300.0.0.1/8"]),
    (APP + "tenants: {from: [{jwt: {claim: org, keys: a.pem}}]}\n", 2, 19, ["jwt"]),
    (APP + "cache: {redis: {budget: 5ms}}\n", 2, 9, ["redis", "url"]),
    (APP + "cache: {redis: {url: \"http://127.0.0.1/0\"}}\n", 2, 22, ["redis://", "redis+sentinel", "unix"]),
    (APP + "cache: {leak_sample: some}\n", 2, 22, ["some", "off"]),
    (APP + "routes:\n  - {path: /a, cache: {ignore: [no-cash]}}\n", 3, None, ["no-cash", "no-cache"]),
    (APP + "routes:\n  - {path: /a, cache: {query: any}}\n", 3, None, ["any", "exact, sorted"]),
    (APP + "routes:\n  - {path: /a, cache: {stale_while_revalidate: 5}}\n", 3, None, ["5s"]),
    (APP + "admin: 0.0.0.0:9900\n", 2, 8, ["token"]),
    (APP + "routes:\n  - {path: /a, cache: {ttl: 1s, scope: all_tenants, share: tenant}}\n", 3, None, ["all_tenants"]),
])
def test_a_mistake_has_its_place_and_what_is_allowed(check, text, line, column, words):
    found = mistakes(check(text))
    here = [(row, sentence) for row in found for sentence in [row[2]] if row[0] == line and column in (None, row[1])]
    assert here, found
    assert all(any(word in sentence for _, sentence in here) for word in words), found


def test_every_mistake_is_named_at_once(check):
    found = mistakes(check("listen:\n  - adress: x\ncache: {memory: lots}\nupstreams: {app: {primary: [nowhere]}}\n"))
    assert len(found) >= 3 and [row[0] for row in found] == sorted(row[0] for row in found)


@pytest.mark.parametrize("text", ["upstreams: [\n", "\tupstreams: {}\n", "a: b: c\n", "upstreams: {app: {primary: [127.0.0.1:1]}}\nupstreams: {}\n",
                                  "[]\n", "just words\n", "\xff\n", "", "&a [*a]\n"])
def test_what_is_no_config_is_told_with_its_place(check, text):
    assert mistakes(check(text))


def test_a_file_that_is_not_there(tmp_path):
    done = weir("check", "-c", tmp_path / "none.yaml")
    assert done.returncode == 1 and "none.yaml" in done.stderr and done.stdout == ""


def test_variables_come_from_the_environment(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("upstreams: {app: {primary: [\"${APP_ADDRESS}\", \"${OTHER:-127.0.0.1:3001}\"]}}\n")
    assert weir("check", "-c", file, env={"APP_ADDRESS": "127.0.0.1:3000"}).returncode == 0
    unset = weir("check", "-c", file, env={})
    assert unset.returncode == 1 and "APP_ADDRESS" in unset.stderr and ":1:" in unset.stderr


def test_the_schema_is_json_and_the_one_in_the_repository():
    done = weir("check", "--schema")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((REPOSITORY / "conf/weir.schema.json").read_text())


def test_running_a_wrong_file_says_the_same_and_is_1(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("upstream: {}\n")
    for arguments in (("-c", file), ("run", "-c", file)):
        done = weir(*arguments)
        assert done.returncode == 1 and "weir.yaml:1:1: " in done.stderr


def test_version_names_weir_the_abi_and_each_library():
    done = weir("--version")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"weir \d+\.\d+\.\d+\S*", lines[0])
    assert re.search(r"plugin ABI \d+\.\d+", done.stdout)
    for library in ("libevent 2.", "OpenSSL 3.", "http-parser 2.", "libyaml", "jansson"):
        assert library in done.stdout


@pytest.mark.parametrize("command", [[], ["check"], ["explain"], ["run"], ["status"], ["top"], ["purge"], ["reload"], ["drain"]])
def test_help_goes_to_stdout_and_is_0(command):
    done = weir(*command, "--help")
    assert done.returncode == 0, done
    assert done.stdout.strip() and done.stderr == ""
    assert "weir" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["check"], ["check", "--nonsense"], ["explain"], ["explain", "-c"], ["-c"], ["--upstream"],
                                       ["--nonsense"], ["-c", "a.yaml", "--upstream", "127.0.0.1:1"], ["purge", "--nonsense"]])
def test_wrong_usage_is_2_and_says_so_on_stderr(arguments):
    done = weir(*arguments)
    assert done.returncode == 2, done
    assert done.stdout == "" and done.stderr.strip()


def test_a_taken_port_is_3(tmp_path, start_app):
    taken = start_app()
    done = weir("--upstream", "127.0.0.1:1", "--listen", taken.address, "--admin", f"unix:{tmp_path}/admin.sock")
    assert done.returncode == 3, done
    assert taken.address in done.stderr


def test_a_port_that_another_weir_has_is_taken(running, tmp_path):
    """Sockets of one user may share a port, and then half of the requests would go to the wrong weir."""
    address = "%s:%d" % running.address
    done = weir("--upstream", "127.0.0.1:1", "--listen", address, "--admin", f"unix:{tmp_path}/admin.sock")
    assert done.returncode == 3 and address in done.stderr, done


def test_a_taken_admin_port_is_3(start_app):
    taken = start_app()
    done = weir("--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", taken.address)
    assert done.returncode == 3 and taken.address in done.stderr


# --- explain ---

EXPLAINED = """
trusted_peers: [10.0.0.0/8]
tenants:
  from: [{host: "{tenant}.api.example.com"}, {header: X-Tenant, believe: trusted}]
  named: {acme: {rate: 500/s, concurrency: 7}}
versions:
  from: [{path: "/{version}/"}]
  default: v2
  known: {v1: {upstream: old, sunset: 2001-01-01, after_sunset: gone}, v2: {upstream: app, deprecated: 2001-01-01}}
upstreams:
  app: {primary: [127.0.0.1:3000], replicas: [127.0.0.1:3001]}
  old: {primary: [127.0.0.1:3010]}
routes:
  - {name: items, path: /items/**, cache: {ttl: 10s, share: tenant}}
  - {name: shop, path: /shop/**, cache: {stale_while_revalidate: 31s, brownout: 11m, tags: [goods, sale], heuristic: false,
                                         ignore: [no-cache, no-store], query: sorted, refresh_ahead: false}}
cache: {stale_if_error: 2h, redis: {url: "redis://:sesame@127.0.0.1:6379/0", budget: 7ms}}
"""


@pytest.fixture
def explain(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text(EXPLAINED)

    def explain(*arguments):
        return weir("explain", "-c", file, *arguments)

    return explain


def test_explain_says_what_a_request_would_get(explain):
    done = explain("GET", "http://acme.api.example.com/v2/items/1")
    assert done.returncode == 0, done
    for word in ("acme", "v2", "items", "app", "10", "500", "7"):
        assert word in done.stdout, (word, done.stdout)


def test_explain_says_what_the_cache_would_do_by_the_rule(explain):
    done = explain("GET", "http://acme.api.example.com/v2/shop/1?b=1&a=2", "-H", "Cache-Control: no-store, no-cache")
    assert done.returncode == 0, done
    for word in ("31 s", "as the reply says, else 7200 s", "660 s (brownout)", "goods, sale", "heuristic: false", "no-cache, no-store (ignore)",
                 "query: sorted", "refresh_ahead: false", "second tier (redis)", "7 ms"):
        assert word in done.stdout, (word, done.stdout)
    assert "passed by" not in done.stdout and "sesame" not in done.stdout
    done = explain("GET", "http://acme.api.example.com/v2/items/1", "-H", "Cache-Control: no-store")
    assert "passed by: the request says no-store" in done.stdout


def test_explain_takes_headers_and_a_peer(explain):
    arguments = ("GET", "http://api.example.com/x", "-H", "X-Tenant: somebody")
    believed = explain(*arguments, "--peer", "10.1.2.3")
    assert believed.returncode == 0 and "somebody" in believed.stdout
    assert explain(*arguments).returncode == 1


@pytest.mark.parametrize("url, word", [("http://nobody.example.com/", "no-tenant"), ("http://acme.api.example.com/v1/x", "version-gone")])
def test_explain_of_what_would_be_refused_is_1_with_its_reason(explain, url, word):
    done = explain("GET", url)
    assert done.returncode == 1, done
    assert word in done.stdout + done.stderr


SPLIT = """
upstreams:
  app: {primary: [127.0.0.1:3000], replicas: [127.0.0.1:3001],
        plugins: [{name: rw_split, keys: [0123456789abcdef0123456789abcdef], read: [POST /search], write: [GET /vote], graphql: [/graphql]}]}
routes: [{path: /strict/**, consistency: strict}]
"""


@pytest.mark.parametrize("words, lines", [
    (("GET", "/x"), "kind       read\ncache "), (("PUT", "/strict/x"), "kind       write\n           consistency strict, as the route says\ncache "),
    (("POST", "/search"), "kind       read\n"), (("GET", "/vote"), "kind       write\ncache      passed by: a plugin takes it for a write\n"),
    (("POST", "/graphql", "-H", "Content-Length: 20"), "kind       write, unless its body says otherwise\n")])
def test_explain_asks_the_plugins_what_it_is(tmp_path, words, lines):
    file = tmp_path / "weir.yaml"
    file.write_text(SPLIT)
    done = weir("explain", "-c", file, *words)
    assert done.returncode == 0 and lines in done.stdout, done


def test_explain_of_a_plugin_that_does_not_load_is_1_with_the_place(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text(SPLIT.replace("rw_split", "rw_splat"))
    done = weir("explain", "-c", file, "GET", "/")
    assert done.returncode == 1 and "weir.yaml:4:19: " in done.stderr and '"rw_splat" was not found' in done.stderr, done


def test_explain_of_a_wrong_file_is_1_with_the_place(tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("upstream: {}\n")
    done = weir("explain", "-c", file, "GET", "/")
    assert done.returncode == 1 and "weir.yaml:1:1: " in done.stderr


# --- what speaks to a running weir ---


def remote(running, *arguments):
    return weir(*arguments, "--admin", "%s:%d" % running.admin)


def test_status_and_reload_and_purge(running):
    done = remote(running, "status")
    assert done.returncode == 0 and "app" in done.stdout, done
    assert remote(running, "reload").returncode == 0
    done = remote(running, "purge", "--all")
    assert done.returncode == 0, done
    assert re.fullmatch(r"purged \d+ objects?\n", done.stdout), done


@pytest.mark.parametrize("how", [("--url", "http://a.example.com/x"), ("--tag", "items"), ("--prefix", "/items/"), ("--all", "--tenant", "default"),
                                 ("--tag", "items", "--soft", "--tenant", "acme"), ("--prefix", "https://a.example.com/", "--soft")])
def test_purge_takes_every_way(running, how):
    done = remote(running, "purge", *how)
    assert done.returncode == 0 and done.stderr == "", done
    assert done.stdout == "purged 0 objects%s\n" % (" (stale from now on)" if "--soft" in how else ""), done


@pytest.mark.parametrize("how, code", [((), 2), (("--all", "--tag", "a"), 2), (("--tag",), 2), (("--tag", "a b"), 1), (("--prefix", "items"), 1),
                                       (("--url", "/items"), 1), (("--all", "--tenant", "a b"), 1)])
def test_purge_of_what_makes_no_sense(running, how, code):
    done = remote(running, "purge", *how)
    assert done.returncode == code and done.stderr and not done.stdout, done


def test_purge_help_names_every_way(running):
    text = weir("purge", "--help").stdout
    assert all(option in text for option in ("--all", "--url", "--tag", "--prefix", "--tenant", "--soft")) and "not built" not in text


def test_a_reload_of_a_broken_file_is_1_with_the_mistakes(running):
    text = running.file.read_text()
    running.file.write_text("upstream: {}\n")
    try:
        done = remote(running, "reload")
        assert done.returncode == 1 and "weir.yaml:1:1: " in done.stderr, done
    finally:
        running.file.write_text(text)


def test_nobody_there_is_3(start_app):
    gone = start_app()
    gone.close()
    done = weir("status", "--admin", gone.address)
    assert done.returncode == 3 and gone.address in done.stderr


def test_drain_stops_it(start_weir, start_app):
    started = start_weir(start_app())
    assert ask(started, "GET", "/readyz").status == 200
    assert remote(started, "drain").returncode == 0
    assert started.process.wait(60) == 0
