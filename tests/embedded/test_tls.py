"""HTTPS: whom the client trusts, as whom it shows itself, and that a wrong certificate is asked about once."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from servers import RawServer

from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.errors import ConfigurationError, RegistryUnavailableError, SchemaRegistryError
from kafka_sr_retry.events import AttemptEvent
from kafka_sr_retry.testing import SchemaRegistryServer, drip, error, hang, redirect

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')


@pytest.fixture(scope="module")
def ours() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def theirs() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ours: trustme.CA, theirs: trustme.CA) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    ours.cert_pem.write_to_path(str(folder / "ours.pem"))
    theirs.cert_pem.write_to_path(str(folder / "theirs.pem"))
    mine = ours.issue_cert("client@example.org")
    mine.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    mine.private_key_pem.write_to_path(str(folder / "client.key"))
    key = load_pem_private_key(mine.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pa55-word"))
    (folder / "locked.key").write_bytes(locked)
    return folder


class Network:
    """Registries with certificates of all kinds, and what their client told."""

    def __init__(self, ours: trustme.CA, folder: Path, stack: ExitStack) -> None:
        self.ours = ours
        self.folder = folder
        self.stack = stack
        self.events: list[Any] = []

    def registry(
        self, ca: trustme.CA | None = None, host: str = "127.0.0.1", *, asks_client: bool = False, **cert: Any
    ) -> SchemaRegistryServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (ca or self.ours).issue_cert(host, **cert).configure_cert(context)
        if asks_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 can lose the refusal behind a request on its way
            self.ours.configure_trust(context)
        return self.stack.enter_context(SchemaRegistryServer(ssl_context=context))

    def client(self, *urls: str, **conf: Any) -> SchemaRegistryClient:
        given = {key.replace("_", "."): str(value) if isinstance(value, Path) else value for key, value in conf.items()}
        common = {"url": list(urls), "event_cb": self.events.append, "ssl.ca.location": str(self.folder / "ours.pem")}
        common["total.timeout.ms"] = 10_000
        return self.stack.enter_context(SchemaRegistryClient(common | given))

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.events if isinstance(event, AttemptEvent)]


@pytest.fixture
def network(ours: trustme.CA, folder: Path) -> Iterator[Network]:
    with ExitStack() as stack:
        yield Network(ours, folder, stack)


def test_a_private_ca_is_trusted(network: Network) -> None:
    registry = network.registry()
    registry.fail_next(error(503))
    client = network.client(registry.url)

    assert [client.register_schema(name, ORDER) for name in "st"] == [1, 1]
    assert network.outcomes() == ["server_error", "success", "success"]


def test_the_given_ca_is_the_only_one_trusted(
    network: Network, theirs: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that the machine, or the bundle that comes with requests, trusts."""
    bundle = str(network.folder / "theirs.pem")
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", bundle)
    monkeypatch.setattr("certifi.where", lambda: bundle)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, bundle)
    registry = network.registry(theirs)

    with pytest.raises(SchemaRegistryError, match="TLS failed"):
        network.client(registry.url).register_schema("s", ORDER)
    assert not registry.requests


def wrong_certificate(kind: str, network: Network, theirs: trustme.CA) -> SchemaRegistryServer:
    return {
        "wrong CA": lambda: network.registry(theirs),
        "wrong host": lambda: network.registry(host="elsewhere.example.org"),
        "expired": lambda: network.registry(not_after=datetime(2020, 1, 1, tzinfo=timezone.utc)),
        "client certificate asked": lambda: network.registry(asks_client=True),
    }[kind]()


WRONG = ["wrong CA", "wrong host", "expired", "client certificate asked"]


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_certificate_is_final_for_its_endpoint_and_the_other_serves(
    network: Network, theirs: trustme.CA, kind: str
) -> None:
    wrong, right = wrong_certificate(kind, network, theirs), network.registry()
    right.fail_next(error(503), error(503))

    assert network.client(wrong.url, right.url).register_schema("s", ORDER) == 1
    assert network.outcomes() == ["tls", "server_error", "server_error", "success"]
    assert not wrong.requests


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_certificates_everywhere_end_the_call_after_one_attempt_each(
    network: Network, theirs: trustme.CA, kind: str
) -> None:
    urls = [wrong_certificate(kind, network, theirs).url for _ in range(2)]
    key = "certificate" if kind == "client certificate asked" else "ca"
    with pytest.raises(SchemaRegistryError, match=rf"[Cc]heck ssl\.{key}\.location") as caught:
        network.client(*urls).register_schema("s", ORDER)

    assert not isinstance(caught.value, RegistryUnavailableError)
    assert (caught.value.attempts, network.outcomes()) == (2, ["tls", "tls"])


def test_a_server_without_tls_is_final_for_its_endpoint(network: Network) -> None:
    plain = network.stack.enter_context(SchemaRegistryServer())
    right = network.registry()

    assert network.client(plain.url.replace("http:", "https:"), right.url).register_schema("s", ORDER) == 1
    assert network.outcomes() == ["tls", "success"]


def test_false_trusts_anyone(network: Network, theirs: trustme.CA) -> None:
    registry = network.registry(theirs, host="elsewhere.example.org")

    assert network.client(registry.url, ssl_ca_location=False).register_schema("s", ORDER) == 1


@pytest.mark.parametrize("key", ["client.key", "locked.key"])
def test_the_client_shows_its_certificate(network: Network, key: str) -> None:
    registry = network.registry(asks_client=True)
    client = network.client(
        registry.url,
        ssl_certificate_location=network.folder / "client.pem",
        ssl_key_location=network.folder / key,
        **({"ssl_key_password": "pa55-word"} if key == "locked.key" else {}),
    )

    assert client.register_schema("s", ORDER) == 1


def test_the_key_may_stand_in_the_certificates_file(network: Network, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes((network.folder / "client.key").read_bytes() + (network.folder / "client.pem").read_bytes())
    client = network.client(network.registry(asks_client=True).url, ssl_certificate_location=both)

    assert client.register_schema("s", ORDER) == 1


def name_hash(ca: trustme.CA) -> str:
    """Of the CA's name in OpenSSL's canonical form: small letters, and no outer sequence."""
    subject = x509.load_pem_x509_certificate(ca.cert_pem.bytes()).subject
    der = x509.Name([x509.NameAttribute(part.oid, str(part.value).lower()) for part in subject]).public_bytes()
    digest = hashlib.sha1(der[2 if der[1] < 128 else 3 :]).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def test_a_folder_of_authorities_is_trusted(network: Network, theirs: trustme.CA, tmp_path: Path) -> None:
    for ca in (theirs, network.ours):
        (tmp_path / f"{name_hash(ca)}.0").write_bytes(ca.cert_pem.bytes())
    client = network.client(network.registry().url, ssl_ca_location=tmp_path)

    assert client.register_schema("s", ORDER) == 1


@pytest.mark.parametrize(
    "conf",
    [
        {"ssl_key_location": "locked.key", "ssl_key_password": "wr0ng-word"},
        {"ssl_key_location": "locked.key"},
        {"ssl_key_location": "ours.pem"},
        {},
        {"ssl_certificate_location": "client.key"},
        {"ssl_ca_location": "client.key"},
    ],
    ids=str,
)
def test_files_that_cannot_work_are_an_error_at_construction(folder: Path, conf: dict[str, str]) -> None:
    files = {"ssl_certificate_location": "client.pem", **conf}
    given = {key.replace("_", "."): value if "password" in key else str(folder / value) for key, value in files.items()}
    with pytest.raises(ConfigurationError) as caught:
        SchemaRegistryClient({"url": "https://registry", **given})

    assert (caught.value.key or "").startswith("ssl.")
    assert "wr0ng-word" not in str(caught.value)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["none", "a stranger's"])
def test_a_server_that_does_not_take_the_clients_certificate_is_told_of_at_once(
    network: Network, theirs: trustme.CA, version: ssl.TLSVersion, shown: str, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    network.ours.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    network.ours.configure_trust(context)
    registry = network.stack.enter_context(SchemaRegistryServer(ssl_context=context))
    strange = theirs.issue_cert("client@example.org")
    strange.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "strange.pem"))
    conf = {} if shown == "none" else {"ssl_certificate_location": tmp_path / "strange.pem"}
    with pytest.raises(SchemaRegistryError, match=r"check ssl\.certificate\.location and ssl\.key\.location"):
        network.client(registry.url, **conf).register_schema("s", ORDER)

    assert network.outcomes() == ["tls"]


def test_a_connection_that_tls_1_3_loses_without_a_word_hints_at_the_certificate(network: Network) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    network.ours.issue_cert("127.0.0.1").configure_cert(context)
    server = RawServer(lambda *_: [], ssl_context=context)
    network.stack.callback(server.close)
    server._converse = lambda connection, _: connection.recv(1)  # type: ignore[method-assign]
    with pytest.raises(RegistryUnavailableError, match=r"ssl\.certificate\.location"):
        network.client(server.url, max_retries=1).register_schema("s", ORDER)

    assert network.outcomes() == ["connection"] * 2


def texts(folder: Path, key: str) -> dict[str, Any]:
    return {
        "ssl_ca_location": "",
        "ssl_ca_pem": (folder / "ours.pem").read_text(),
        "ssl_certificate_pem": (folder / "client.pem").read_text(),
        "ssl_key_pem": (folder / key).read_text(),
    }


@pytest.mark.parametrize("key", ["client.key", "locked.key"])
def test_certificates_and_keys_come_as_texts_too(
    network: Network, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    registry = network.registry(asks_client=True)
    password = {"ssl_key_password": "pa55-word"} if key == "locked.key" else {}
    client = network.client(registry.url, **texts(network.folder, key), **password)

    assert client.register_schema("s", ORDER) == 1
    assert list(tmp_path.iterdir()) == []
    again = pickle.loads(pickle.dumps(client))
    assert again.register_schema("t", ORDER) == 1
    again.close()


@pytest.mark.parametrize(
    ("conf", "named"),
    [
        ({"ssl_key_pem": "-----BEGIN PRIVATE KEY-----\nzq-hidden\n-----END PRIVATE KEY-----\n"}, "ssl.certificate"),
        ({"ssl_ca_pem": "-----BEGIN CERTIFICATE-----\nzq-hidden\n-----END CERTIFICATE-----\n"}, "ssl.ca.pem"),
        ({"ssl_ca_pem": "-----BEGIN CERTIFICATE-----\nzq-hidden€\n-----END CERTIFICATE-----\n"}, "ssl.ca.pem"),
        ({"ssl_key_pem": "zq-hidden"}, "ssl.key.pem"),
        ({"ssl_key_location": "zq-hidden-----BEGIN"}, "ssl.key.location"),
        ({"ssl_certificate_location": "client.pem"}, "ssl.certificate.pem"),
        ({"ssl_certificate_pem": None}, "ssl.key.pem"),
    ],
)
def test_a_text_that_cannot_work_is_refused_and_not_shown(
    network: Network, conf: dict[str, Any], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given = {**texts(network.folder, "client.key"), **conf}
    if conf.get("ssl_certificate_location"):
        given["ssl_certificate_location"] = network.folder / "client.pem"
    with pytest.raises(ConfigurationError, match=re.escape(named)) as caught:
        network.client("https://registry", **given)

    for text in ("zq-hidden", "BEGIN CERT", *(network.folder / "client.key").read_text().splitlines()[1:2]):
        assert text not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_a_text_is_in_a_file_of_its_users_for_no_longer_than_openssl_reads_it(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    modes = []

    def look(frame: object, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ == "load_cert_chain":
            modes.extend(path.stat().st_mode & 0o777 for path in tmp_path.rglob("*"))

    before, profiler = os.umask(0), sys.getprofile()
    try:
        sys.setprofile(look)
        network.client("https://registry", **texts(network.folder, "client.key"))
    finally:
        sys.setprofile(profiler)
        os.umask(before)
    assert set(modes) == {0o600, 0o700}
    assert list(tmp_path.iterdir()) == []


def test_no_text_of_a_key_stands_in_the_settings(network: Network) -> None:
    client = network.client("https://registry", **texts(network.folder, "client.key"))
    settings = client._settings
    assert "BEGIN" not in f"{client!r} {settings!r} {settings.tls!r} {settings.private_key_pem!r}"


def test_an_intermediate_and_a_servers_own_certificate_are_anchors(network: Network, tmp_path: Path) -> None:
    middle = network.ours.create_child_ca()
    leaf = middle.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    registry = network.stack.enter_context(SchemaRegistryServer(ssl_context=context))
    for name, pem in (("middle", middle.cert_pem), ("leaf", leaf.cert_chain_pems[0])):
        pem.write_to_path(str(tmp_path / name))
        network.client(registry.url, ssl_ca_location=tmp_path / name).register_schema(name, ORDER)


def test_a_folder_whose_files_openssl_does_not_find_is_refused(network: Network, tmp_path: Path) -> None:
    (tmp_path / "ours.pem").write_bytes(network.ours.cert_pem.bytes())
    with pytest.raises(ConfigurationError, match="openssl rehash"):
        network.client("https://registry", ssl_ca_location=tmp_path)


@pytest.mark.parametrize("folders", ["{empty}", "{empty}:{missing}", "{missing}"])
def test_a_system_without_certificates_falls_back_on_those_of_requests(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/README").touch()
    names = {name: str(tmp_path / name) for name in ("empty", "missing")}
    monkeypatch.setenv("SSL_CERT_DIR", folders.format(**names))
    monkeypatch.setenv("SSL_CERT_FILE", names["missing"])
    monkeypatch.setattr("certifi.where", lambda: str(network.folder / "ours.pem"))

    assert network.client(network.registry().url, ssl_ca_location="").register_schema("s", ORDER) == 1


def test_a_systems_folder_with_certificates_is_the_only_trust(
    network: Network, theirs: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "0123abcd.0").write_bytes(theirs.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'missing'}:{tmp_path}")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setattr("certifi.where", lambda: str(network.folder / "ours.pem"))
    with pytest.raises(SchemaRegistryError, match="TLS failed"):
        network.client(network.registry().url, ssl_ca_location="").register_schema("s", ORDER)


def test_a_redirect_never_leaves_https(network: Network) -> None:
    registry = network.registry()
    plain = network.stack.enter_context(SchemaRegistryServer())
    other = network.registry()
    registry.fail_next(redirect(plain.url))

    assert network.client(registry.url, other.url).register_schema("s", ORDER) == 1
    assert not plain.requests
    assert network.outcomes() == ["bad_answer", "success"]


def test_a_redirect_to_another_origin_shows_no_client_certificate(network: Network) -> None:
    home, away = network.registry(asks_client=True), network.registry(asks_client=True)
    home.fail_always(redirect(away.url))
    client = network.client(
        home.url,
        ssl_certificate_location=network.folder / "client.pem",
        ssl_key_location=network.folder / "client.key",
    )
    with pytest.raises(SchemaRegistryError, match="TLS failed"):
        client.register_schema("s", ORDER)

    assert not away.requests


def test_a_redirect_to_another_origin_trusts_the_same_ca(network: Network) -> None:
    home, away = network.registry(), network.registry()
    home.fail_next(redirect(away.url))

    assert network.client(home.url).register_schema("s", ORDER) == 1
    assert len(away.requests) == 1


@pytest.mark.parametrize("fault", [hang(), drip(0.5), drip(0.1, head=True)], ids=lambda fault: fault.name)
def test_the_request_timeout_bounds_an_exchange_over_tls(network: Network, fault: Any) -> None:
    slow, right = network.registry(), network.registry()
    slow.fail_always(fault)

    assert network.client(slow.url, right.url, request_timeout_ms=2000).register_schema("s", ORDER) == 1
    assert network.outcomes() == ["timeout", "success"]


@pytest.mark.parametrize("drips", [False, True])
def test_a_handshake_that_does_not_end_is_a_connect_timeout(network: Network, drips: bool) -> None:
    right = network.registry()
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                head = b"\x16\x03\x03\x40\x00"  # a record of 16 KiB, byte by byte
                for number in range(10_000):
                    try:
                        if drips:
                            connection.sendall(head[number : number + 1] or b"\x02")
                    except OSError:
                        break
                    if ended.wait(0.03):
                        break

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        client = network.client(url, right.url, connect_timeout_ms=300)
        assert client.register_schema("s", ORDER) == 1
        ended.set()
        thread.join(10)

    assert network.outcomes() == ["timeout", "success"]
    assert "connect.timeout.ms" in next(e.detail for e in network.events if isinstance(e, AttemptEvent))


@contextmanager
def tunnel() -> Iterator[tuple[str, list[bytes]]]:
    """The URL of an HTTP proxy that knows CONNECT, and the heads it was sent."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pump(source: socket.socket, target: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    target.sendall(data)
            except OSError:
                pass
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                heads.append(connection.recv(65536))
                host, _, port = heads[-1].split()[1].partition(b":")
                upstream = socket.create_connection((host.decode(), int(port)))
                connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                back = threading.Thread(target=pump, args=(upstream, connection), daemon=True)
                back.start()
                pump(connection, upstream)
                back.join(10)
                connection.close()
                upstream.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heads
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_through_a_proxy_the_private_ca_and_the_client_certificate_hold(network: Network) -> None:
    registry = network.registry(asks_client=True)
    with tunnel() as (proxy, heads):
        client = network.client(
            registry.url,
            proxy=proxy,
            ssl_certificate_location=network.folder / "client.pem",
            ssl_key_location=network.folder / "client.key",
            max_retries=0,
            basic_auth_user_info="me:secret",
        )
        assert client.register_schema("s", ORDER) == 1
        client.close()

    assert heads[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"Authorization" not in heads[0]


def test_through_a_proxy_the_given_ca_is_the_only_one_trusted(
    network: Network, theirs: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = str(network.folder / "theirs.pem")
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", bundle)
    registry = network.registry(theirs)
    with tunnel() as (proxy, _):
        client = network.client(registry.url, proxy=proxy)
        with pytest.raises(SchemaRegistryError, match="TLS failed"):
            client.register_schema("s", ORDER)
        client.close()

    assert not registry.requests
