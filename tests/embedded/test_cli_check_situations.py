"""What ``kafka-sr-retry check`` says in each situation: the table of docs/check.md, each row provoked on the wire."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme
from servers import Proxy, TokenServer
from typer.testing import CliRunner

from kafka_sr_retry.cli.app import app
from kafka_sr_retry.testing import (
    RecordedRequest,
    SchemaRegistryCluster,
    SchemaRegistryServer,
    answer,
    drip,
    drop_body,
    error,
    hang,
    html,
    redirect,
    reset,
    retry_after,
    truncate,
)

NOW = datetime.now(timezone.utc)
ANYONE = ("-X", "ssl.ca.location=false")
SHORT = ("-X", "request.timeout.ms=400")


class Place:
    """Servers for one situation, which end with it."""

    def __init__(self, stack: ExitStack, ca: trustme.CA, folder: Path) -> None:
        self._stack = stack
        self._ca = ca
        self._folder = folder

    def registry(self, **server: Any) -> SchemaRegistryServer:
        return self._stack.enter_context(SchemaRegistryServer(**server))

    def cluster(self, **behaviour: Any) -> SchemaRegistryCluster:
        return self._stack.enter_context(SchemaRegistryCluster(**behaviour))

    def tokens(self) -> TokenServer:
        return self._stack.enter_context(TokenServer())

    def proxy(self) -> Proxy:
        return self._stack.enter_context(Proxy(user_info="me:pa55"))

    def https(self, host: str = "127.0.0.1", *, asks_client: bool = False, **cert: Any) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(host, **cert).configure_cert(context)
        if asks_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            self._ca.configure_trust(context)
        return self.registry(ssl_context=context).url

    def trusting(self, ca: trustme.CA | None = None) -> tuple[str, str]:
        path = self._folder / "ca.pem"
        (ca or self._ca).cert_pem.write_to_path(str(path))
        return "-X", f"ssl.ca.location={path}"


Set = Callable[[Place], tuple[str, ...]]


@dataclass(frozen=True)
class Situation:
    """One row. ``arrange`` brings it about, and gives the command's arguments.

    ``verdict``, ``cause`` and ``advice`` stand in the screen, in these words.
    """

    name: str
    exit_code: int
    verdict: str
    cause: str
    advice: str
    arrange: Set


SITUATIONS: list[Situation] = []


def situation(name: str, exit_code: int, verdict: str, cause: str, advice: str = "") -> Callable[[Set], Set]:
    def add(arrange: Set) -> Set:
        SITUATIONS.append(Situation(name, exit_code, verdict, cause, advice, arrange))
        return arrange

    return add


READS = "Reads well; writes not tried: use --write."
LOST = "1 error. Messages would be lost."
NEW_LOST = "1 error. Messages with a new schema would be lost."
WAITS = "Reads well, and 1 warning; new schemas wait for a leader."


def on(path: str, method: str | None = None) -> Callable[[RecordedRequest], bool]:
    return lambda request: path in request.path and method in (None, request.method)


# -- well -----------------------------------------------------------------------------------------


@situation("all is well", 3, READS, "there is one: it refused an invalid schema")
def _(at: Place) -> tuple[str, ...]:
    return (at.registry().url, *ANYONE)


@situation("all is well, `--write`", 0, "All well.", "a schema was registered, and removed again")
def _(at: Place) -> tuple[str, ...]:
    return (at.registry().url, "--write", *ANYONE)


@situation("the producer only looks schemas up", 0, "All well.", "not needed: auto.register.schemas=false")
def _(at: Place) -> tuple[str, ...]:
    return (at.registry().url, *ANYONE, "-X", "auto.register.schemas=false")


@situation("not Confluent's, such as Apicurio", 3, READS, "leader not tried: use --write")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(error(404, 0), on("/v1/metadata"))
    registry.fail_always(error(404, 0), on("/mode"))
    return (registry.url, *ANYONE)


@situation("slow, within the time", 3, READS, "answers in ")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.delay = 0.02
    return (registry.url, *ANYONE)


@situation(
    "one request fails, and works the second time",
    *(3, "Reads well, and 1 warning; writes not tried: use --write."),
    *("1 of 12 requests failed", "The client repeats such requests."),
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_next(truncate(), matching=on("/config"))
    return (registry.url, *ANYONE)


@situation("429 that asks for a second, once", 3, "Reads well, and 1 warning;", "requests failed: GET /config: 429")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_next(retry_after(1))
    return (registry.url, *ANYONE)


# -- the leader and Kafka --------------------------------------------------------------------------


@situation(
    "the leader was killed, an election is under way",
    *(3, WAITS),
    *("messages with a new schema wait for one, up to 30 s (total.timeout.ms)", "An election takes some ten seconds"),
)
def _(at: Place) -> tuple[str, ...]:
    cluster = at.cluster(after_kill=3600)
    cluster.kill_leader()
    return (cluster.follower.url, *ANYONE)


@situation(
    "the same, `--write`, with time for a minute",
    *(3, "Reads well, and 2 warnings; new schemas wait for a leader."),
    *("wait for one, up to 60 s (total.timeout.ms)", "If it is there later, remove it by hand."),
)
def _(at: Place) -> tuple[str, ...]:
    cluster = at.cluster(after_kill=3600)
    cluster.kill_leader()
    return (cluster.follower.url, "--write", "-X", "total.timeout.ms=60000", *ANYONE)


@situation("no node may lead (50004)", 3, WAITS, "The cluster has no leader now", "look at the nodes that may lead")
def _(at: Place) -> tuple[str, ...]:
    cluster = at.cluster(after_kill=0, follower_eligible=False)
    cluster.kill_leader()
    return (cluster.follower.url, *ANYONE)


@situation("Karapace without a leader", 3, WAITS, "The cluster has no leader now", "An election takes some ten seconds")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(error(404, 404), on("/v1/metadata"))
    registry.fail_always(answer(200, '{"master_available":false}'), on("/master_available"))
    return (registry.url, *ANYONE)


@situation(
    "one node of two is dead, the other has no leader yet",
    *(1, "1 error, and 1 warning. 1 of 2 endpoints fails."),
    *("The cluster has no leader now", "Check that the registry runs and listens on this port"),
)
def _(at: Place) -> tuple[str, ...]:
    cluster = at.cluster(after_kill=3600)
    cluster.kill_leader()
    return (cluster.url, *ANYONE)


@situation(
    "the leader is paused: its follower",
    *(1, NEW_LOST),
    *(
        "Registering an invalid schema: no whole answer in",
        "the leader, or the Kafka or database behind it, hangs or is away",
    ),
)
def _(at: Place) -> tuple[str, ...]:
    cluster = at.cluster()
    cluster.pause_leader()
    return (cluster.follower.url, *SHORT, *ANYONE)


@situation(
    "the leader is paused: both nodes",
    *(1, "2 errors. Messages with a new schema would be lost."),
    *("No whole answer in", "Something takes the connection and does not answer"),
)
def _(at: Place) -> tuple[str, ...]:
    cluster = at.cluster()
    cluster.pause_leader()
    return (cluster.url, *SHORT, *ANYONE)


@situation("Kafka is dead (50001)", 1, NEW_LOST, "500/50001", "The registry cannot write to its Kafka")
def _(at: Place) -> tuple[str, ...]:
    cluster = at.cluster()
    cluster.stop_kafka()
    return (cluster.leader.url, *ANYONE)


@situation("Kafka is slow (50002)", 1, NEW_LOST, "500/50002", "look at the brokers, the topic _schemas")
def _(at: Place) -> tuple[str, ...]:
    cluster = at.cluster(kafka_timeout=0)
    cluster.pause_kafka()
    return (cluster.leader.url, *ANYONE)


# -- the way there ---------------------------------------------------------------------------------


@situation("nobody listens on the port", 1, LOST, "Connection refused", "Check that the registry runs and listens")
def _(_at: Place) -> tuple[str, ...]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return (f"http://127.0.0.1:{port}", *ANYONE)


@situation("no such host", 1, LOST, "its name is not known", "Check the host's name in the URL")
def _(_at: Place) -> tuple[str, ...]:
    return ("http://no-such-host.invalid", *ANYONE)


@situation(
    "takes the connection and hangs", 1, LOST, "No whole answer in", "does not answer: look into the registry's log"
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(hang())
    return (registry.url, *SHORT, *ANYONE)


@situation(
    "an answer that comes byte by byte", 1, LOST, "No whole answer in", "does not answer: look into the registry's log"
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(drip(1))
    return (registry.url, *SHORT, *ANYONE)


@situation("connections are reset", 1, LOST, "Connection reset", "Something ends the connection")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(reset())
    return (registry.url, *ANYONE)


@situation(
    "a wrong path in the URL", 1, LOST, "404 HTTP 404 Not Found", "The server knows no such path: check the URL's"
)
def _(at: Place) -> tuple[str, ...]:
    return (f"{at.registry().url}/apis/ccompat/v7", *ANYONE)


@situation(
    "a gateway's page, 502",
    1,
    LOST,
    "502, with a web page in place of a registry's JSON",
    "the registry behind it is away",
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(html(502))
    return (registry.url, *ANYONE)


@situation(
    "another server's page, 200",
    1,
    LOST,
    "200, but there is no compatibilityLevel in it",
    "This does not look like a Schema Registry",
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(html(200))
    return (registry.url, *ANYONE)


@situation(
    "bodies get lost on the way",
    1,
    LOST,
    "must not be null (was null)",
    "proxy or gateway on the way drops request bodies",
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(drop_body(), matching=on("", "POST"))
    return (registry.url, *ANYONE)


@situation("a redirect", 3, "Reads well, and 1 warning;", "It redirects to", "as the URL: each request takes two now.")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(redirect(at.registry().url))
    return (registry.url, *ANYONE)


@situation("a proxy that wants a password", 1, LOST, "407", "Give the proxy's user and password")
def _(at: Place) -> tuple[str, ...]:
    return (at.registry().url, *ANYONE, "-X", f"proxy={at.proxy().url.replace('me:pa55@', '')}")


@situation("429 that asks for an hour", 1, LOST, "429", "It takes no more requests for now")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(retry_after(3600))
    return (registry.url, *ANYONE)


@situation("the time is over before all is asked", 1, LOST, "No whole answer in", "does not answer")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(hang())
    return (registry.url, "--timeout", "0.3", *ANYONE)


# -- TLS -------------------------------------------------------------------------------------------


@situation(
    "a CA that is not known",
    1,
    LOST,
    "server's certificate is not trusted: unable to get local issuer certificate",
    "Set ssl.ca.location to the CA",
)
def _(at: Place) -> tuple[str, ...]:
    return (at.https(), *at.trusting(trustme.CA()))


@situation("the certificate has expired", 1, LOST, "certificate has expired", "Renew the server's certificate.")
def _(at: Place) -> tuple[str, ...]:
    return (at.https(not_after=NOW - timedelta(days=2)), *at.trusting())


@situation(
    "the certificate is for another host", 1, LOST, "mismatch", "Use a host name in the URL that the certificate has"
)
def _(at: Place) -> tuple[str, ...]:
    return (at.https("elsewhere.example.org"), *at.trusting())


@situation("a clock is wrong", 1, LOST, "certificate is not yet valid", "Check the clocks of both machines.")
def _(at: Place) -> tuple[str, ...]:
    return (at.https(not_before=NOW + timedelta(days=1)), *at.trusting())


@situation(
    "the certificate ends soon",
    *(3, "Reads well, and 1 warning;"),
    *("The server's certificate ends in 12 days", "Have the server's certificate renewed in time."),
)
def _(at: Place) -> tuple[str, ...]:
    return (at.https(not_after=NOW + timedelta(days=12, hours=1)), *at.trusting())


@situation(
    "https:// where no TLS is", 1, LOST, "WRONG_VERSION_NUMBER", "There seems to be no TLS on this port: try http://."
)
def _(at: Place) -> tuple[str, ...]:
    return (at.registry().url.replace("http:", "https:"), *ANYONE)


@situation("http:// where TLS is", 1, LOST, "reachable no answer", "If this port speaks TLS, give https://.")
def _(at: Place) -> tuple[str, ...]:
    return (at.https().replace("https:", "http:"), *ANYONE)


@situation("a certificate of yours is wanted", 1, LOST, "no TLS connection", "ssl.certificate.location")
def _(at: Place) -> tuple[str, ...]:
    return (at.https(asks_client=True), *at.trusting())


# -- rights ----------------------------------------------------------------------------------------


def guarded(at: Place) -> str:
    return at.registry(authorize=lambda headers: headers.get("Authorization") == "Basic bWU6cGE1NQ==").url


@situation(
    "401, no credentials given", 1, LOST, "needed, and none are given", "Set basic.auth.user.info or bearer.auth.*"
)
def _(at: Place) -> tuple[str, ...]:
    return (guarded(at), *ANYONE)


@situation("401, wrong credentials", 1, LOST, "credentials refused", "they are known and not accepted")
def _(at: Place) -> tuple[str, ...]:
    return (guarded(at), *ANYONE, "-X", "basic.auth.user.info=me:wrong")


@situation("the token server is down", 1, LOST, "No access token could be had", "Check that the token server answers")
def _(at: Place) -> tuple[str, ...]:
    issuer = at.tokens()
    issuer.fail_always(error(503))
    conf = {
        "credentials.source": "OAUTHBEARER",
        "client.id": issuer.ID,
        "client.secret": issuer.SECRET,
        "issuer.endpoint.url": issuer.endpoint,
    }
    given = [word for name, value in conf.items() for word in ("-X", f"bearer.auth.{name}={value}")]
    return (guarded(at), *ANYONE, *given, "--timeout", "1")


@situation("403 to all", 1, LOST, "403", "Give the caller the right to read and to write subjects.")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(error(403))
    return (registry.url, *ANYONE)


@situation(
    "403 to registrations",
    1,
    NEW_LOST,
    "Registering an invalid schema: 403",
    "give one that is allowed: --subject PREFIX.",
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(error(403), on("/versions"))
    return (registry.url, *ANYONE)


# -- what a registry does not take -----------------------------------------------------------------


@situation("mode READONLY", 1, NEW_LOST, "The registry's mode is READONLY.", "set the mode to READWRITE")
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    with registry._schemas() as store:
        store.set_mode(None, "READONLY")
    return (registry.url, *ANYONE)


@situation(
    "mode IMPORT",
    1,
    NEW_LOST,
    "The registry's mode is IMPORT.",
    "A schema comes with its id now, as a migration brings it",
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    with registry._schemas() as store:
        store.set_mode(None, "IMPORT")
    return (registry.url, *ANYONE)


@situation(
    "42205 though the mode is READWRITE",
    *(1, NEW_LOST),
    *(
        "422/42205 Subject orders in context .prod is in read-only mode",
        "not the registry's own mode, which is READWRITE",
    ),
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(error(422, 42205, "Subject orders in context .prod is in read-only mode"), on("/versions"))
    return (registry.url, *ANYONE)


@situation(
    "42205 though the mode is READWRITE: IMPORT below",
    *(1, NEW_LOST),
    *("422/42205 Subject orders is not in read-write mode", "one of the subject or its context"),
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(error(422, 42205, "Subject orders is not in read-write mode"), on("/versions"))
    return (registry.url, *ANYONE)


@situation(
    "42201 to a valid schema, `--write`",
    1,
    NEW_LOST,
    "Registering: 422/42201",
    "The schema is the check's own, and valid",
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(error(422, 42201, "owner is missing"), on("/versions"))
    return (registry.url, "--write", *ANYONE)


@situation(
    "a node that says it is not ready",
    1,
    "1 error. Messages may be lost.",
    "It says that it is not ready",
    "Wait until it has started",
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(error(503), on("/status/ready"))
    return (registry.url, *ANYONE)


@situation(
    "what was written cannot be removed, `--write`",
    *(1, "1 error. Messages would go out."),
    *("was written and could not be removed: 403", "Remove it by hand"),
)
def _(at: Place) -> tuple[str, ...]:
    registry = at.registry()
    registry.fail_always(error(403), on("", "DELETE"))
    return (registry.url, "--write", *ANYONE)


# -- several nodes ---------------------------------------------------------------------------------


@situation(
    "one node of two is sick",
    1,
    "1 error. 1 of 2 endpoints fails.",
    "500 Internal Server Error",
    "Look into the registry's log",
)
def _(at: Place) -> tuple[str, ...]:
    sick = at.registry()
    sick.fail_always(error(500))
    return (f"{at.registry().url},{sick.url}", *ANYONE)


@situation(
    "the nodes are of two clusters",
    *(1, "1 error. Messages would name wrong schemas."),
    *("The endpoints are not of one cluster", "give the URLs of one cluster."),
)
def _(at: Place) -> tuple[str, ...]:
    other = at.registry()
    itself = (
        '{"scope":{"path":[],"clusters":{"kafka-cluster":"k2","schema-registry-cluster":"schema-registry"}},"id":""}'
    )
    other.fail_always(answer(200, itself), on("/v1/metadata/id"))
    return (f"{at.registry().url},{other.url}", *ANYONE)


# -- the tests -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def place(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in list(os.environ):
        if name.startswith("SCHEMA_REGISTRY_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with ExitStack() as stack:
        yield Place(stack, ca, tmp_path)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_the_check_tells_the_truth(place: Place, situation: Situation) -> None:
    result = CliRunner().invoke(app, ["check", *situation.arrange(place)], env={"COLUMNS": "80"})
    words = " ".join(result.stdout.split())
    last = " ".join(result.stdout.rpartition("\n\n")[2].split())

    assert last.startswith(situation.verdict), result.output
    assert result.exit_code == situation.exit_code
    assert situation.cause in words, result.output
    assert situation.advice in words, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert ("All well" in last) is (situation.exit_code == 0)


def test_the_page_has_the_same_table() -> None:
    page = (Path(__file__).parents[2] / "docs/check.md").read_text(encoding="utf-8")
    head = "| situation | exit code | last line | what it says | what it advises |\n| --- | ---: | --- | --- | --- |\n"
    rows = [
        f"| {each.name} | {each.exit_code} | {each.verdict} | {each.cause.strip()} | {each.advice} |".replace("  ", " ")
        for each in SITUATIONS
    ]
    expected = head + "\n".join(rows) + "\n"

    assert head in page, expected
    assert page.partition(head)[2].partition("\n\n")[0].strip("\n").splitlines() == rows, expected


def test_there_are_enough_of_them() -> None:
    assert len({situation.name for situation in SITUATIONS}) == len(SITUATIONS) >= 25
