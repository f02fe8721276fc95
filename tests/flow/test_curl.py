"""curl as the client: what people try first."""

import gzip
import hashlib
import shutil
import subprocess

import pytest
from harness import App, chunked, reply
from stories import echo

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="no curl")

LARGE = bytes(range(256)) * 4096  # 1 MiB


def answer(request):
    if request.target == "/gzip":
        if "gzip" in (request["accept-encoding"] or ""):
            return reply(200, gzip.compress(b"plain text" * 100), "Content-Encoding: gzip", "Vary: Accept-Encoding", "Cache-Control: max-age=60")
        return reply(200, b"plain text" * 100, "Vary: Accept-Encoding", "Cache-Control: max-age=60")
    if request.target == "/large":
        return reply(200, LARGE, "Cache-Control: max-age=60", "ETag: \"large\"", "Last-Modified: Mon, 01 Jan 2001 00:00:00 GMT")
    if request.target == "/chunked":
        return b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + chunked(b"one,", b"two", trailers=b"X-Sum: 7\r\n")
    if request.target == "/moved":
        return reply(302, b"", "Location: /echo")
    if request.target == "/digest":
        return reply(200, hashlib.sha256(request.body).hexdigest().encode())
    return echo(request)


@pytest.fixture(scope="module")
def app():
    app = App(answer)
    yield app
    app.close()


@pytest.fixture(scope="module")
def weir(module_weirs, app):
    return module_weirs.start(app)


@pytest.fixture
def curl(weir, tmp_path):
    """curl(options..., path): its body; fails the test if curl does."""

    def curl(*arguments, code=0):
        *options, path = arguments
        done = subprocess.run(["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60", *map(str, options),
                               "http://%s:%d%s" % (*weir.address, path)], capture_output=True, timeout=90, check=False, cwd=tmp_path)
        assert done.returncode == code, done
        return done.stdout

    return curl


def test_compressed(curl):
    plain = b"plain text" * 100
    assert curl("--compressed", "/gzip") == plain
    assert curl("/gzip") == plain, "each gets its own variant"
    assert curl("--compressed", "/gzip") == plain
    assert gzip.decompress(curl("-H", "Accept-Encoding: gzip", "/gzip")) == plain


def test_upload_of_a_file(curl, tmp_path):
    (tmp_path / "file").write_bytes(LARGE * 3)
    assert curl("-T", "file", "/digest").decode() == hashlib.sha256(LARGE * 3).hexdigest()


def test_upload_in_chunks_from_a_pipe(curl, tmp_path):
    (tmp_path / "file").write_bytes(LARGE)
    assert curl("-T", "file", "-H", "Transfer-Encoding: chunked", "/digest").decode() == hashlib.sha256(LARGE).hexdigest()


def test_upload_that_waits_for_the_go_ahead(curl, tmp_path):
    (tmp_path / "file").write_bytes(LARGE)
    assert curl("-T", "file", "-H", "Expect: 100-continue", "/digest").decode() == hashlib.sha256(LARGE).hexdigest()


def test_forms(curl, tmp_path):
    (tmp_path / "file").write_text("in the file")
    assert b"a=1&b=2" in curl("-d", "a=1", "-d", "b=2", "/echo")
    assert b"in the file" in curl("-F", "upload=@file", "/echo")


def test_ranges(curl):
    curl("-o", "whole", "/large")
    assert curl("--range", "10-19", "/large") == LARGE[10:20]
    assert curl("--range", "-7", "/large") == LARGE[-7:]
    assert curl("--range", "1048000-", "/large") == LARGE[1048000:]


def test_a_download_is_continued(curl, tmp_path):
    (tmp_path / "part").write_bytes(LARGE[:500000])
    curl("-C", "-", "-o", "part", "/large")
    assert (tmp_path / "part").read_bytes() == LARGE


def test_what_is_not_newer_is_not_sent_again(curl, tmp_path):
    curl("/large")
    assert curl("-z", "Tue, 02 Jan 2001 00:00:00 GMT", "-w", "%{http_code}", "/large") == b"304"
    curl("--etag-save", "etag", "-o", "/dev/null", "/large")
    assert (tmp_path / "etag").read_text().strip() == "\"large\""
    assert curl("--etag-compare", "etag", "-w", "%{http_code}", "/large") == b"304"


def test_http_1_0(curl):
    assert curl("--http1.0", "/large") == LARGE
    assert curl("--http1.0", "/chunked") == b"one,two", "it cannot read chunks"
    assert curl("--http1.0", "-H", "Connection: keep-alive", "/large", ) == LARGE


def test_head(curl):
    head = curl("--head", "/large").decode()
    assert "Content-Length: 1048576" in head and "200" in head.split("\r\n", maxsplit=1)[0]


def test_chunks_and_trailers(curl):
    assert curl("/chunked") == b"one,two"


def test_redirects_are_the_clients(curl):
    assert b"/echo" in curl("--location", "/moved")


def test_path_as_is(curl, app):
    app.forget()
    curl("--path-as-is", "/a/../b/./c")
    assert app.targets() == ["/a/../b/./c"]


def test_retry_of_a_503_waits_as_it_was_told(start_weir, start_app, tmp_path):
    answers = iter([reply(503, b"not yet", "Retry-After: 1"), reply(200, b"now")])
    weir = start_weir(start_app(lambda request: next(answers)))
    done = subprocess.run(["curl", "--silent", "--show-error", "--noproxy", "*", "--retry", "3", "--max-time", "60", "http://%s:%d/" % weir.address],
                          capture_output=True, timeout=90, check=False, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.endswith(b"now"), done


def test_many_at_once(weir, tmp_path):
    address = "http://%s:%d" % weir.address
    done = subprocess.run(["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--parallel", "--parallel-max", "20",
                           "-o", "#1", f"{address}/echo?[1-100]"], capture_output=True, timeout=90, check=False, cwd=tmp_path)
    assert done.returncode == 0, done
    assert len([path for path in tmp_path.iterdir() if path.name.isdigit()]) == 100


def test_methods_of_their_own(curl):
    for method in ("DELETE", "PATCH", "OPTIONS", "PROPFIND", "BREW"):
        assert f'"method": "{method}"'.encode() in curl("-X", method, "/echo")
