"""TLS on both sides: the right certificate by name, nothing below 1.2, tickets, client certificates, and servers that must prove who
they are."""

import socket
import ssl
import threading
import time
import warnings

import pytest

from harness import App, Authority, Broken, Wire, reply
from harness.patience import patience


@pytest.fixture(scope="module")
def certificates(authority):
    return {"api": authority.issue("api.example.com", "127.0.0.1"), "shop": authority.issue("shop.example.com"),
            "any": authority.issue("*.any.example.com")}


def pair(certificate):
    return {"certificate": str(certificate[0]), "key": str(certificate[1])}


@pytest.fixture(scope="module")
def street(module_weirs, certificates):
    app = App(lambda request: reply(200, f"{request['x-forwarded-proto']} {request['host']} {len(request.body)}".encode()))
    weir = module_weirs.start(app, workers=2, listen=[{"address": "127.0.0.1:0", "tls": [pair(certificates[name]) for name in ("api", "shop", "any")]},
                                                      {"address": "127.0.0.2:0"}])
    yield app, weir
    app.close()


def client(authority, version=None, ciphers=None, alpn=("http/1.1",)):
    context = ssl.create_default_context(cafile=authority.certificate)
    if version:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def names(wire):
    return {value for kind, value in wire.socket.getpeercert()["subjectAltName"]}


def test_requests_pass_over_tls(street, authority):
    app, weir = street
    with weir.wire(tls=client(authority), server_name="api.example.com") as wire:
        for _ in range(3):
            wire.request("POST", "/", host="api.example.com", body=bytes(200000))
            assert wire.reply().body == b"https api.example.com 200000"
    assert app.requests[-1]["forwarded"].endswith("proto=https")


def test_pipelined_and_cut_into_records_it_is_all_the_same(street, authority):
    _, weir = street
    with weir.wire(tls=client(authority), server_name="api.example.com") as wire:
        data = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * 10
        for at in range(0, len(data), 7):
            wire.send(data[at : at + 7])
        for _ in range(10):
            assert wire.reply().body == b"https test 0"


def test_two_listeners_on_ports_of_the_kernels_choice(start_app, start_weir, authority, certificates):
    """The same words in the config are two sockets: one with TLS, one without."""
    weir = start_weir(start_app(), listen=[{"address": "127.0.0.1:0", "tls": [pair(certificates["api"])]}, {"address": "127.0.0.1:0"}])
    assert len(set(weir.addresses)) == 2
    with weir.wire(listener=1) as wire:
        wire.request()
        assert wire.reply().status == 200
    with weir.wire(tls=client(authority), server_name="api.example.com") as wire:
        wire.request()
        assert wire.reply().status == 200


@pytest.mark.parametrize("name, wanted", [
    ("api.example.com", "api.example.com"), ("shop.example.com", "shop.example.com"), ("SHOP.example.com", "shop.example.com"),
    ("one.any.example.com", "*.any.example.com"),
])
def test_the_name_asked_for_picks_the_certificate(street, authority, name, wanted):
    _, weir = street
    with weir.wire(tls=client(authority), server_name=name) as wire:
        assert wanted in names(wire)


@pytest.mark.parametrize("name", [None, "other.example.com", "two.labels.any.example.com", "any.example.com"])
def test_the_first_certificate_is_the_default(street, authority, name):
    _, weir = street
    context = client(authority)
    context.check_hostname = False
    with weir.wire(tls=context, server_name=name) as wire:
        assert "api.example.com" in names(wire)


@pytest.mark.parametrize("version, word", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_tls_1_2_and_1_3_are_spoken(street, authority, version, word):
    _, weir = street
    with weir.wire(tls=client(authority, version), server_name="api.example.com") as wire:
        assert wire.socket.version() == word
        assert wire.socket.compression() is None
        wire.request()
        assert wire.reply().status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_not(street, authority, version):
    _, weir = street
    context = client(authority, version, ciphers="ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        weir.wire(tls=context, server_name="api.example.com")


@pytest.mark.parametrize("ciphers", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA"])
def test_ciphers_without_forward_secrecy_or_authentication_are_not(street, authority, ciphers):
    _, weir = street
    context = client(authority, ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        weir.wire(tls=context, server_name="api.example.com")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_resume_a_session(street, authority, version):
    """On any worker: the keys are shared."""
    _, weir = street
    context = client(authority, version)

    def connect(session=None):
        raw = socket.create_connection(weir.address, patience(10))
        wrapped = context.wrap_socket(raw, server_hostname="api.example.com", session=session)
        wrapped.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        while wrapped.recv(65536):
            pass
        with wrapped:
            return wrapped.session_reused, wrapped.session

    reused, session = connect()
    assert not reused
    for _ in range(6):
        reused, session = connect(session)
        assert reused


def test_alpn_says_http_1_1(street, authority):
    _, weir = street
    with weir.wire(tls=client(authority, alpn=["h2", "http/1.1"]), server_name="api.example.com") as wire:
        assert wire.socket.selected_alpn_protocol() == "http/1.1"
    with weir.wire(tls=client(authority, alpn=None), server_name="api.example.com") as wire:
        assert wire.socket.selected_alpn_protocol() is None
        wire.request()
        assert wire.reply().status == 200


def test_a_client_of_another_protocol_is_refused_by_alpn(street, authority):
    _, weir = street
    with pytest.raises((ssl.SSLError, ConnectionError)):
        weir.wire(tls=client(authority, alpn=["imap"]), server_name="api.example.com")


def test_plain_bytes_to_a_tls_port_get_no_reply_and_reach_nobody(street):
    app, weir = street
    app.forget()
    with weir.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        try:
            said = wire.until_end()
        except Broken:
            said = b""
        assert b"HTTP/1.1 200" not in said
    assert app.requests == []


def test_tls_bytes_to_a_plain_port_are_refused(street, authority):
    app, weir = street
    app.forget()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        weir.wire(listener=1, tls=client(authority), server_name="api.example.com")
    assert app.requests == []


def test_a_handshake_that_does_not_end_is_closed_within_5_s(street):
    _, weir = street
    with weir.wire(timeout=patience(15)) as wire:
        began = time.monotonic()
        wire.send(b"\x16\x03\x01")
        assert wire.is_at_end()
        assert 4 < time.monotonic() - began < 9


def test_a_client_that_cuts_tls_without_saying_so_does_not_complete_its_upload(street, authority):
    """A FIN without close_notify may be anybody's."""
    app, weir = street
    app.forget()
    with weir.wire(tls=client(authority), server_name="api.example.com") as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n" + bytes(200000))
        request = app.wait_for_requests(1)
        raw = socket.socket(fileno=socket.dup(wire.socket.fileno()))
        raw.shutdown(socket.SHUT_RDWR)
        raw.close()
        assert request.peer.ended.wait(patience(10))
    assert not request.is_whole and request.peer.was_reset


def test_a_reply_over_tls_ends_with_close_notify(street, authority):
    _, weir = street
    context = client(authority)
    with weir.wire(tls=context, server_name="api.example.com") as wire:
        wire.socket.suppress_ragged_eofs = False
        wire.request("GET", "/", "Connection: close")
        assert wire.reply().status == 200
        assert wire.until_end() == b""


def test_a_cut_reply_over_tls_does_not_end_with_close_notify(start_app, start_weir, authority, certificates):
    """An HTTP/1.0 client knows a body's end by the close alone."""

    def script(peer):
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: no-store\r\nContent-Length: 100\r\n\r\nhello")
        go_on.wait(patience(10))
        peer.reset()

    go_on = threading.Event()
    weir = start_weir(start_app(script=script), listen=[{"address": "127.0.0.1:0", "tls": [pair(certificates["api"])]}])
    with Wire(weir.address, tls=client(authority), server_name="api.example.com") as wire:
        wire.socket.suppress_ragged_eofs = False
        wire.send(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n")
        assert wire.exactly(8) == b"HTTP/1.1"
        go_on.set()
        with pytest.raises((ssl.SSLError, Broken, ConnectionError)):
            wire.until_end()


def test_a_large_reply_over_tls_arrives_whole_at_a_slow_reader(start_app, start_weir, authority, certificates):
    body = bytes(range(256)) * 20000
    weir = start_weir(start_app(reply(200, body, "Cache-Control: no-store")), listen=[{"address": "127.0.0.1:0", "tls": [pair(certificates["api"])]}])
    with Wire(weir.address, tls=client(authority), server_name="api.example.com", receive_buffer=4096) as wire:
        wire.request()
        assert wire.reply().body == body


# --- client certificates ---


@pytest.fixture(scope="module")
def guarded(module_weirs, certificates, authority):
    app = App()
    weir = module_weirs.start(app, listen=[{"address": "127.0.0.1:0", "tls": [pair(certificates["api"])], "client_ca": str(authority.certificate)}])
    yield app, weir
    app.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_with_the_right_certificate_is_let_in(guarded, authority, version):
    _, weir = guarded
    context = client(authority, version)
    context.load_cert_chain(*authority.issue("client.example.com"))
    with weir.wire(tls=context, server_name="api.example.com") as wire:
        wire.request()
        assert wire.reply().body == b"hello"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("which", ["none", "of another authority"])
def test_a_client_without_it_is_not(guarded, authority, tmp_path, version, which):
    app, weir = guarded
    app.forget()
    context = client(authority, version)
    if which != "none":
        context.load_cert_chain(*Authority(tmp_path, "Other CA").issue("client.example.com"))
    with pytest.raises((ssl.SSLError, ConnectionError, Broken)):
        with weir.wire(tls=context, server_name="api.example.com") as wire:
            wire.request()
            wire.reply()
    assert app.requests == []


# --- towards the app ---


def server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_weir_speaks_tls_to_an_app_that_proves_its_name(start_app, start_weir, authority, certificates):
    app = start_app(lambda request: reply(200, str(len(request.body)).encode()), tls=server(certificates["shop"]))
    weir = start_weir(app, upstream={"tls": {"ca": str(authority.certificate), "server_name": "shop.example.com"}})
    with weir.wire() as wire:
        for _ in range(3):
            wire.request("POST", "/", body=bytes(300000))
            got = wire.reply()
            assert got.body == b"300000"
            assert "connection" not in got, "the whole body was read: the client's connection goes on"
    assert len(app.peers) == 1, "the app's connection is kept"


def test_the_address_is_the_name_when_none_is_given(start_app, start_weir, authority, certificates):
    app = start_app(tls=server(certificates["api"]))
    assert start_weir(app, upstream={"tls": {"ca": str(authority.certificate)}}).get("/").body == b"hello"


@pytest.mark.parametrize("case", ["another name", "another authority", "address not in it", "not TLS at all"])
def test_an_app_that_can_not_prove_its_name_is_502_upstream_tls(start_app, start_weir, authority, certificates, tmp_path, case):
    tls = {"ca": str(authority.certificate), "server_name": "shop.example.com"}
    shown = {"another name": lambda: certificates["api"], "another authority": lambda: Authority(tmp_path, "Other CA").issue("shop.example.com")}
    if case == "address not in it":
        del tls["server_name"]
    if case == "not TLS at all":
        app = start_app(script=lambda peer: (peer.send(b"220 hello, this is no TLS\r\n"), peer.wait_for_end()))
    else:
        app = start_app(tls=server(shown.get(case, lambda: certificates["shop"])()))
    weir = start_weir(app, upstream={"tls": tls})
    weir.get("/secret").is_problem(502, "upstream-tls")
    with weir.wire() as wire:
        wire.request("POST", "/secret", body=b"hello")
        wire.reply().is_problem(502, "upstream-tls")
    assert app.requests == [] and not any(b"secret" in bytes(peer.received) for peer in app.peers)


def test_an_app_that_cuts_tls_without_saying_so_does_not_complete_a_reply_until_the_close(start_app, start_weir, authority, certificates):
    def script(peer):
        peer.read_head()
        peer.send(b"HTTP/1.1 200 Fine\r\nCache-Control: no-store\r\n\r\nhello")
        raw = socket.socket(fileno=socket.dup(peer.socket.fileno()))
        raw.shutdown(socket.SHUT_RDWR)
        raw.close()

    weir = start_weir(start_app(script=script, tls=server(certificates["shop"])),
                      upstream={"tls": {"ca": str(authority.certificate), "server_name": "shop.example.com"}})
    with weir.wire() as wire:
        wire.request("GET", "/cut")
        try:
            got = wire.reply()
        except (Broken, ConnectionError):
            return
        assert got.status == 502, f"a cut reply looks whole: {got}"


def test_an_app_that_does_not_finish_the_handshake_is_504_connect_timeout(start_weir):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        weir = start_weir(f"127.0.0.1:{listener.getsockname()[1]}", upstream={"tls": {"server_name": "shop.example.com"}, "timeouts": {"connect": "200ms"},
                                                                                 "retries": {"attempts": 0}})
        weir.get("/").is_problem(504, "connect-timeout")
