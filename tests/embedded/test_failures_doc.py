"""docs/failures.md shows what is really written, counted and raised: each of its blocks beside the failure, provoked.

A block belongs to the scenario with its section's anchor. Each of its lines must be told by that failure, and each line
of INFO and above and each error that the failure tells must stand in the block. ``PLACEHOLDERS`` stand for what differs
each time; a line that is indented continues the one before.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from errno import EINPROGRESS
from pathlib import Path
from typing import Any

import pytest
import trustme
from clocks import StandingClock
from prometheus_client import CollectorRegistry, generate_latest
from servers import Proxy, TokenServer

from kafka_sr_retry import Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.events import (
    AttemptStartEvent,
    CacheFileEvent,
    Event,
    GiveUpEvent,
    IdChangedEvent,
    StaleEvent,
    StoredIdEvent,
    SuccessEvent,
)
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
from kafka_sr_retry.registry.policy import TABLE, TOKENS
from kafka_sr_retry.testing import (
    Fault,
    SchemaRegistryServer,
    answer,
    drop_body,
    error,
    hang,
    html,
    no_leader,
    redirect,
    reset,
    retry_after,
    truncate,
)

DOCUMENT = (Path(__file__).parents[2] / "docs/failures.md").read_text()
ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
SUBJECT = "orders-value"
GUARD = 20.0
PLACEHOLDERS = {
    "<asked>": f"register a schema under subject '{SUBJECT}'",
    "<url>": r"https?://\S+",
    "<n>": r"\d+",
    "<s>": r"\d+\.\d+",
    "<id>": r"[0-9a-f-]{36}",
    "<text>": ".+",
}

GAUGE = re.compile("kafka_sr_retry_(breaker_open|endpoint_up|known_ids|calls_waiting)")

OAUTH = {
    "bearer.auth.credentials.source": "OAUTHBEARER",
    "bearer.auth.client.id": TokenServer.ID,
    "bearer.auth.client.secret": TokenServer.SECRET,
}


class World:
    """Two registries, and all that a producer's operator sees, under the names that the document uses."""

    def __init__(self, stack: ExitStack, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.folder = folder
        self._caplog = caplog
        self.clock = StandingClock()
        self.metrics = CollectorRegistry()
        self.raised: list[str] = []
        self.heard: defaultdict[type[Event], threading.Event] = defaultdict(threading.Event)
        self._stack = stack
        self._names: dict[str, str] = {}
        self.a = self.serve(SchemaRegistryServer(), "sr-1:8081")
        self.b = self.serve(SchemaRegistryServer(), "sr-2:8081")

    def serve(self, server: Any, name: str) -> Any:
        self._stack.enter_context(server)
        self.call_it(server.address if isinstance(server, Proxy) else f"127.0.0.1:{server.port}", name)
        return server

    def call_it(self, address: str, name: str) -> None:
        self._names[address] = name

    def client(self, *urls: str, **conf: Any) -> SchemaRegistryClient:
        given = {
            "url": list(urls) or [self.a.url],
            "event_cb": [PrometheusInstrumentation(self.metrics), self._hear],
            "ssl.ca.location": False,
            **{name.replace("_", "."): value for name, value in conf.items() if name != "event_cb"},
        }
        given["event_cb"] += conf.get("event_cb", [])
        return self._stack.enter_context(SchemaRegistryClient(given, clock=self.clock))

    def register(self, *urls: str, **conf: Any) -> SchemaRegistryClient:
        client = self.client(*urls, **conf)
        self.ask(lambda: client.register_schema(SUBJECT, ORDER))
        return client

    def ask(self, call: Callable[[], object]) -> None:
        try:
            call()
        except SchemaRegistryError as failed:
            self.raised.append(f"raises {type(failed).__name__}: {failed}")

    def _hear(self, event: Event) -> None:
        self.heard[type(event)].set()

    def forget(self) -> None:
        """What was logged and raised so far; the metrics stay."""
        self._caplog.clear()
        self.raised.clear()

    def told(self) -> list[str]:
        """Everything, as the document writes it."""
        lines = [f"{r.levelname} {r.getMessage()}" for r in self._caplog.records if r.name == "kafka_sr_retry"]
        for line in generate_latest(self.metrics).decode().splitlines():
            series, _, value = line.rpartition(" ")
            if not line.startswith("#") and (GAUGE.match(series) or float(value)):
                lines.append(f"metric {series} {value.removesuffix('.0')}")
        lines += self.raised
        for address, name in self._names.items():
            lines = [line.replace(address, name) for line in lines]
        return lines


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.DEBUG, "kafka_sr_retry")
    with ExitStack() as stack:
        yield World(stack, tmp_path, caplog)


# -- the failures ---------------------------------------------------------------------------------


def unused() -> str:
    """Address of a port on which nobody listens."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{held.getsockname()[1]}"


def always(fault: Fault, **conf: Any) -> Callable[[World], None]:
    def scenario(world: World) -> None:
        world.a.fail_always(fault)
        world.register(**conf)

    return scenario


def no_right_to_write(fault: Fault) -> Callable[[World], None]:
    def scenario(world: World) -> None:
        world.a.fail_always(fault, matching=lambda request: request.path.endswith("/versions"))
        world.register()

    return scenario


def connection_refused(world: World) -> None:
    nobody = unused()
    world.call_it(nobody, "sr-1:8081")
    world.register(f"http://{nobody}")


def name_not_found(world: World) -> None:
    world.register("http://sr.invalid:8081", max_retries=0)


def connect_timeout(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        address = full.getsockname()
        for _ in range(16):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            assert filler.connect_ex(address) in (0, EINPROGRESS)
        world.call_it("{}:{}".format(*address), "sr-1:8081")
        world.register("http://{}:{}".format(*address), connect_timeout_ms=50, total_timeout_ms=6000)


def stale_connection(world: World) -> None:
    client = world.client()
    world.ask(lambda: client.register_schema("first", ORDER))
    world.a.fail_next(reset())
    world.ask(lambda: client.register_schema(SUBJECT, ORDER))


def tls_failure(world: World) -> None:
    server, strange = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.issue_cert("127.0.0.1").configure_cert(context)
    strange.cert_pem.write_to_path(str(world.folder / "ca.pem"))
    registry = world.serve(SchemaRegistryServer(ssl_context=context), "sr-1:8081")
    world.register(registry.url, ssl_ca_location=str(world.folder / "ca.pem"))


def proxy_refused(world: World) -> None:
    proxy = world.serve(Proxy("me:right"), "proxy:3128")
    world.register(proxy=proxy.url)


def request_not_built(world: World) -> None:
    def sign(request: Any) -> Any:
        raise LookupError("no key")

    world.register(http_auth=sign)


def token_expired(world: World) -> None:
    tokens = world.serve(TokenServer(), "idp:8080")
    accepted: list[str] = []
    registry = world.serve(
        SchemaRegistryServer(authorize=lambda headers: headers["Authorization"] in accepted), "sr-1:8081"
    )
    accepted.append("Bearer token-2")
    world.register(registry.url, **OAUTH, bearer_auth_issuer_endpoint_url=tokens.endpoint)


def token_server_refuses(world: World) -> None:
    tokens = world.serve(TokenServer(), "idp:8080")
    wrong = OAUTH | {"bearer.auth.client.secret": "wrong"}
    world.register(**wrong, bearer_auth_issuer_endpoint_url=tokens.endpoint)


def token_server_down(world: World) -> None:
    tokens = world.serve(TokenServer(), "idp:8080")
    tokens.fail_always(error(503))
    world.register(**OAUTH, bearer_auth_issuer_endpoint_url=tokens.endpoint)


def token_function_fails(world: World) -> None:
    def function(_: Any) -> str:
        raise OSError("vault is sealed")

    source = {"bearer.auth.credentials.source": "CUSTOM", "bearer.auth.custom.provider.function": function}
    world.register(**source)


def not_found(world: World) -> None:
    client = world.client()
    world.ask(lambda: client.lookup_schema(SUBJECT, ORDER))


def absent(world: World) -> None:
    client = world.client()
    world.ask(lambda: client.get_associated_subjects("orders", "cluster", "value"))


def answered_by_a_look_up(world: World) -> None:
    world.a.register(SUBJECT, ORDER.schema_str)
    no_right_to_write(error(403))(world)


def failover(world: World) -> None:
    world.a.fail_next(error(503))
    world.register(world.a.url, world.b.url)


def breaker_open(world: World) -> None:
    world.a.fail_next(*[error(503)] * 4)
    world.register()


def failing_fast(world: World) -> None:
    world.a.fail_always(error(503))
    client = world.client()
    world.ask(lambda: client.register_schema(SUBJECT, ORDER))
    world.forget()
    world.ask(lambda: client.register_schema(SUBJECT, ORDER))


def remembered_refusal(world: World) -> None:
    world.a.incompatible(SUBJECT)
    client = world.register()
    world.forget()
    world.clock.later(3)
    world.ask(lambda: client.register_schema(SUBJECT, ORDER))


def calls_given_up(world: World) -> None:
    world.a.fail_always(error(503))
    client = world.client()
    world.ask(lambda: client.get_schema(1))


def stale_version(world: World) -> None:
    world.a.register(SUBJECT, ORDER.schema_str)
    client = world.client(**{"cache.latest.ttl.sec": 300})
    client.get_latest_version(SUBJECT)
    world.a.fail_always(error(503))
    world.clock.later(301)
    world.ask(lambda: client.get_latest_version(SUBJECT))
    assert world.heard[StaleEvent].wait(GUARD)


def from_the_file(world: World) -> None:
    path = {"cache_path": str(world.folder / "ids")}
    world.register(**path).close()
    world.forget()
    world.a.fail_always(error(503))
    world.register(**path)
    assert world.heard[GiveUpEvent].wait(GUARD)
    assert world.heard[StoredIdEvent].wait(GUARD)


def changed_id(world: World) -> None:
    client = world.register()
    world.a.fail_next(answer(200, b'{"id": 99}'))
    world.clock.later(86_400)
    world.ask(lambda: client.register_schema(SUBJECT, ORDER))
    assert world.heard[IdChangedEvent].wait(GUARD)


def cache_file(world: World) -> None:
    world.register(cache_path=str(world.folder / "no" / "such" / "folder"))
    assert world.heard[CacheFileEvent].wait(GUARD)


def listener_raised(world: World) -> None:
    def listener(event: Event) -> None:
        if isinstance(event, AttemptStartEvent):
            raise RuntimeError("boom")

    world.register(event_cb=[listener])


def listener_that_waits(world: World) -> None:
    clients: list[SchemaRegistryClient] = []

    def listener(event: Event) -> None:
        if isinstance(event, AttemptStartEvent):
            clients[0].register_schema(SUBJECT, ORDER)

    clients.append(world.client(event_cb=[listener], total_timeout_ms=200))
    world.ask(lambda: clients[0].register_schema(SUBJECT, ORDER))
    assert world.heard[SuccessEvent].wait(GUARD)


def closed_client(world: World) -> None:
    client = world.client()
    client.close()
    world.ask(lambda: client.register_schema(SUBJECT, ORDER))


SCENARIOS: dict[str, Callable[[World], None]] = {
    "connection-refused": connection_refused,
    "name-not-found": name_not_found,
    "connect-timeout": connect_timeout,
    "no-answer-in-time": always(hang(), request_timeout_ms=100, total_timeout_ms=6000),
    "connection-broken": always(reset()),
    "stale-connection": stale_connection,
    "tls-failure": tls_failure,
    "proxy-refused": proxy_refused,
    "request-not-built": request_not_built,
    "no-leader": always(no_leader()),
    "unavailable": always(retry_after(20, 503)),
    "rate-limited": always(retry_after(60)),
    "server-error": always(html(502)),
    "bad-answer": always(html(200)),
    "truncated": always(truncate()),
    "bad-redirect": always(redirect("ftp://elsewhere/")),
    "not-a-registry": always(html(404)),
    "unauthorized": always(error(401)),
    "token-expired": token_expired,
    "token-refused": token_server_refuses,
    "token-server-down": token_server_down,
    "token-function": token_function_fails,
    "forbidden": no_right_to_write(error(403)),
    "not-found": not_found,
    "absent": absent,
    "incompatible": always(error(409)),
    "invalid": always(error(422, 42201)),
    "read-only": no_right_to_write(error(422, 42205)),
    "not-permitted": no_right_to_write(error(422, 42205, "Subject orders-value is in import mode")),
    "lost-bodies": always(drop_body()),
    "too-large": always(html(413)),
    "refused": always(error(400)),
    "answered-by-a-look-up": answered_by_a_look_up,
    "failover": failover,
    "breaker-open": breaker_open,
    "calls-given-up": calls_given_up,
    "failing-fast": failing_fast,
    "remembered-refusal": remembered_refusal,
    "stale-version": stale_version,
    "from-the-file": from_the_file,
    "changed-id": changed_id,
    "cache-file": cache_file,
    "listener-raised": listener_raised,
    "listener-that-waits": listener_that_waits,
    "closed-client": closed_client,
}


# -- the document ---------------------------------------------------------------------------------


def anchor(heading: str) -> str:
    """Its own, or as GitHub makes it."""
    if own := re.match(r'<a id="(.*?)">', heading):
        return own[1]
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


SECTIONS = {anchor(part.partition("\n")[0]): part for part in re.split(r"^#+ ", DOCUMENT, flags=re.MULTILINE)}


def block(section: str) -> list[str]:
    """The lines of a section's block."""
    found = re.findall(r"^```text\n(.*?)^```", SECTIONS[section], re.DOTALL | re.MULTILINE)
    (text,) = found or [""]
    return [" ".join(line.split()) for line in re.sub(r"\n +", " ", text).splitlines()]


def fits(documented: str, told: str) -> bool:
    pattern = re.escape(documented)
    for placeholder, meaning in PLACEHOLDERS.items():
        pattern = pattern.replace(re.escape(placeholder), meaning)
    return re.fullmatch(pattern, told) is not None


@pytest.mark.parametrize("section", SCENARIOS)
def test_a_section_shows_what_its_failure_really_tells(world: World, section: str) -> None:
    SCENARIOS[section](world)
    told, documented = world.told(), block(section)

    assert documented
    assert [line for line in documented if not any(fits(line, each) for each in told)] == []
    must = [each for each in told if not each.startswith(("DEBUG", "metric"))]
    assert [each for each in must if not any(fits(line, each) for line in documented)] == []


def test_a_heading_that_carries_an_errors_text_has_it_from_its_block() -> None:
    """People search for what they see."""
    told = dict(re.findall(r'^### <a id="(.*?)"></a>[^:\n]*: (.*)$', DOCUMENT, re.MULTILINE))

    assert len(told) > 25
    assert [section for section, text in told.items() if text not in " ".join(block(section))] == []


def test_every_block_is_checked() -> None:
    assert {section for section in SECTIONS if block(section)} == set(SCENARIOS)


def test_the_index_leads_to_a_section_for_each_outcome_and_reason() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .*?\[.*?\]\(#([\w-]+)\)", SECTIONS["by-outcome"], re.MULTILINE))

    assert set(rows) == {row.name for row in (*TABLE, *TOKENS)} - {"success"} | {"outage"}
    assert set(rows.values()) <= set(SECTIONS)


def test_the_index_leads_to_a_section_for_each_error() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .*?\[.*?\]\(#([\w-]+)\)", SECTIONS["by-error"], re.MULTILINE))

    assert set(rows) == {
        SchemaRegistryError.__name__,
        *(kind.__name__ for kind in SchemaRegistryError.__subclasses__()),
    }


def test_the_index_knows_each_line_that_is_shown() -> None:
    known = re.findall(r"^\| `(.+?)` \|", SECTIONS["by-log-line"], re.MULTILINE)
    shown = {line for section in SCENARIOS for line in block(section) if re.match("INFO|WARNING|ERROR", line)}

    assert [line for line in shown if not any(part in line for part in known)] == []
    assert [part for part in known if not any(part in line for line in shown)] == []


def test_each_metric_is_explained() -> None:
    explained = set(re.findall(r"^\| `(kafka_sr_retry_\w+)", SECTIONS["by-metric"], re.MULTILINE))
    registry = CollectorRegistry()
    PrometheusInstrumentation(registry)
    families = {family.name + ("_total" if family.type == "counter" else "") for family in registry.collect()}

    assert explained == families
