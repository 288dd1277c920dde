"""As whom the client shows itself, and by which way it goes: tokens, basic auth, signatures, rotated files, proxies."""

from __future__ import annotations

import base64
import importlib.util
import json
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka.schema_registry as confluent
import pytest
import requests
import trustme
from clocks import ShiftedClock
from confluent_kafka.serialization import MessageField, SerializationContext
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from servers import Proxy, RawServer, SocksProxy, TokenServer
from waiting import until

from kafka_sr_retry import AvroSerializer, AvroSerializerBuilder, ConfigurationError, Schema, SchemaRegistryClient
from kafka_sr_retry.errors import RegistryAuthError, RegistryUnavailableError, SchemaRegistryError
from kafka_sr_retry.events import AttemptEvent, BreakerEvent, GiveUpEvent, RefusalEvent, SuccessEvent
from kafka_sr_retry.testing import (
    Fault,
    SchemaRegistryServer,
    answer,
    drip,
    error,
    hang,
    html,
    redirect,
    reset,
    retry_after,
)

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
PASSWORD = "pa55-word"
SECRET = TokenServer.SECRET
GUARD = 20.0
URL = {"url": "http://localhost:8081"}
OAUTH = {
    "bearer.auth.credentials.source": "OAUTHBEARER",
    "bearer.auth.client.id": TokenServer.ID,
    "bearer.auth.client.secret": SECRET,
    "bearer.auth.scope": "schemas read",
}


class World:
    """A registry that asks for a bearer token, a token server, a client, and what it told."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.clock = ShiftedClock()
        self.events: list[Any] = []
        self.accepts: Callable[[str], bool] = lambda token: token.startswith("token-")
        self.tokens = self.serve(TokenServer())
        self.registry = self.serve(SchemaRegistryServer(first_id=100, authorize=self.authorize))

    def serve(self, server: Any) -> Any:
        return self.stack.enter_context(server)

    def authorize(self, headers: Mapping[str, str]) -> bool:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and self.accepts(token)

    def client(self, *urls: str, **conf: Any) -> SchemaRegistryClient:
        listen = conf.pop("listen", self.events.append)
        given = {key.replace("_", "."): value for key, value in conf.items()}
        common = {
            "url": list(urls) or [self.registry.url],
            "event_cb": listen,
            "ssl.ca.location": False,
            "total.timeout.ms": 10_000,
            "retries.wait.ms": 5,
        }
        return self.stack.enter_context(SchemaRegistryClient(common | given, clock=self.clock))

    def oauth(self, *urls: str, **conf: Any) -> SchemaRegistryClient:
        return self.client(*urls, **{**OAUTH, "bearer.auth.issuer.endpoint.url": self.tokens.endpoint, **conf})

    @property
    def counts(self) -> tuple[int, int]:
        """Requests to the registry, and for tokens."""
        return len(self.registry.requests), len(self.tokens.requests)

    def sent(self) -> list[str]:
        """The tokens that the registry was shown."""
        return [request.headers["Authorization"].removeprefix("Bearer ") for request in self.registry.requests]

    def outcomes(self, server: Any = None) -> list[str]:
        return [
            event.outcome
            for event in self.events
            if isinstance(event, AttemptEvent) and event.endpoint.startswith("" if server is None else server.url)
        ]

    def told(self, *more: object) -> str:
        return f"{self.events} {more} {[vars(each) for each in more if isinstance(each, Exception)]}"


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


def failed(call: Callable[[], object]) -> SchemaRegistryError:
    with pytest.raises(SchemaRegistryError) as caught:
        call()
    return caught.value


def at_once(count: int, call: Callable[[int], object]) -> list[Any]:
    """What ``count`` threads got that began together."""
    gate, found = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        gate.wait(GUARD)
        try:
            found[number] = call(number)
        except Exception as error:  # noqa: BLE001 it is what is tested
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
        assert not thread.is_alive()
    return found


@contextmanager
def closed() -> Iterator[str]:
    """A port on which nobody listens, held so that nobody comes to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


# -- configuration -------------------------------------------------------------------------------

ISSUER = {"bearer.auth.issuer.endpoint.url": "https://idp/token"}
STATIC = {"bearer.auth.credentials.source": "STATIC_TOKEN", "bearer.auth.token": "t0ken"}
AZURE = {"bearer.auth.credentials.source": "OAUTHBEARER_AZURE_IMDS"}
CUSTOM = {"bearer.auth.credentials.source": "CUSTOM"}


@pytest.mark.parametrize(
    ("conf", "key", "words"),
    [
        ({"bearer.auth.credentials.source": "OAUTH"}, "bearer.auth.credentials.source", "OAUTHBEARER_AZURE_IMDS"),
        ({"bearer.auth.token": "t0ken"}, "bearer.auth.token", "bearer.auth.credentials.source"),
        ({"bearer.auth.credentials.source": "STATIC_TOKEN"}, "bearer.auth.token", "STATIC_TOKEN"),
        (STATIC | {"bearer.auth.token": "t0ken\n"}, "bearer.auth.token", "line breaks"),
        (STATIC | {"bearer.auth.token": b"t0ken"}, "bearer.auth.token", "text"),
        (STATIC | {"bearer.auth.scope": "x"}, "bearer.auth.scope", "no use"),
        (STATIC | {"bearer.auth.logical.cluster": "a\nb"}, "bearer.auth.logical.cluster", "line breaks"),
        (STATIC | {"bearer.auth.logical.cluster": 1}, "bearer.auth.logical.cluster", "text"),
        (STATIC | {"bearer.auth.identity.pool.id": ["a", 1]}, "bearer.auth.identity.pool.id", "text"),
        (STATIC | {"bearer.auth.identity.pool.id": []}, "bearer.auth.identity.pool.id", "list"),
        (STATIC | {"basic.auth.user.info": "u:p"}, "bearer.auth.credentials.source", "basic credentials"),
        (STATIC | {"url": "http://u:p@a"}, "bearer.auth.credentials.source", "basic credentials"),
        (STATIC | {"http.auth": print}, "bearer.auth.credentials.source", "http.auth"),
        (STATIC | {"http.headers": {"authorization": "x"}}, "bearer.auth.credentials.source", "http.headers"),
        (OAUTH, "bearer.auth.issuer.endpoint.url", "OAUTHBEARER needs"),
        (
            {"bearer.auth.credentials.source": "OAUTHBEARER"} | ISSUER,
            "bearer.auth.client.id",
            "needs bearer.auth.client.id, bearer.auth.client.secret",
        ),
        (OAUTH | ISSUER | {"bearer.auth.issuer.endpoint.query": "a=b"}, "bearer.auth.issuer.endpoint.query", "no use"),
        *(
            (OAUTH | {"bearer.auth.issuer.endpoint.url": url}, "bearer.auth.issuer.endpoint.url", "http")
            for url in ("idp/token", "ftp://idp", "https://", f"https://id:{SECRET}@idp", "http://a:b", "https://a/#b")
        ),
        (AZURE, "bearer.auth.issuer.endpoint.query", "needs"),
        (CUSTOM, "bearer.auth.custom.provider.function", "needs"),
        (CUSTOM | {"bearer.auth.custom.provider.function": "f"}, "bearer.auth.custom.provider.function", "callable"),
        (CUSTOM | {"bearer.auth.custom.provider.config": "c"}, "bearer.auth.custom.provider.config", "dict"),
        ({"proxy": f"ftp://u:{PASSWORD}@proxy"}, "proxy", "http://host:port"),
        ({"proxy": f"http://u:{PASSWORD}@"}, "proxy", "http://host:port"),
        ({"proxy": f"http://u:{PASSWORD}@proxy:port"}, "proxy", "http://host:port"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_under_its_key(conf: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SchemaRegistryClient(URL | conf)

    assert caught.value.key == key
    assert words in str(caught.value)
    assert not [secret for secret in (SECRET, PASSWORD, "t0ken") if secret in f"{caught.value!r} {caught.value}"]


@pytest.mark.parametrize("proxy", ["proxy:3128", "http://u:p%40@proxy:3128", "https://proxy", "socks5h://proxy:1080"])
def test_a_proxy_is_named_by_url_or_by_host_and_port(proxy: str) -> None:
    SchemaRegistryClient(URL | {"proxy": proxy, "ssl.ca.location": False}).close()


# -- Confluent's meanings ------------------------------------------------------------------------

CLUSTER = {"bearer.auth.logical.cluster": "lsrc-1", "bearer.auth.identity.pool.id": ["pool-1", "pool-2"]}
GIVEN = {"bearer.auth.token": "token-9", "bearer.auth.logical.cluster": "lsrc-9", "bearer.auth.identity.pool.id": "p"}


@pytest.mark.parametrize(
    ("conf", "more"),
    [
        (STATIC | CLUSTER | {"bearer.auth.token": "token-7"}, {}),
        (OAUTH | CLUSTER, {}),
        (AZURE | CLUSTER | {"bearer.auth.issuer.endpoint.query": "resource=a&api-version=b"}, {"expires_on": 4e9}),
        (CUSTOM | {"bearer.auth.custom.provider.config": {"a": 1}}, {}),
    ],
    ids=["STATIC_TOKEN", "OAUTHBEARER", "OAUTHBEARER_AZURE_IMDS", "CUSTOM"],
)
def test_each_source_shows_what_confluents_client_shows(
    world: World, conf: dict[str, Any], more: dict[str, Any]
) -> None:
    asked: list[Any] = []

    def provider(config: Any) -> dict[str, str]:
        asked.append(config)
        return GIVEN

    shown = []
    for theirs in (False, True):
        world.tokens = world.serve(TokenServer(more=more))
        world.registry.clear_requests()
        given = dict(conf)
        if conf["bearer.auth.credentials.source"].startswith("OAUTH"):
            given["bearer.auth.issuer.endpoint.url"] = world.tokens.endpoint
        if conf["bearer.auth.credentials.source"] == "CUSTOM":
            given["bearer.auth.custom.provider.function"] = provider
        if theirs:
            with confluent.SchemaRegistryClient({"url": world.registry.url, **given}) as client:
                assert client.register_schema("s", confluent.Schema(ORDER.schema_str, "AVRO")) == 100
                if hasattr(client._rest_client.bearer_field_provider, "client"):
                    client._rest_client.bearer_field_provider.client.close()
        else:
            assert world.client(**given).register_schema("s", ORDER) == 100
        names = ("Authorization", "target-sr-cluster", "Confluent-Identity-Pool-Id")
        shown.append(
            (
                [[request.headers[name] for name in names] for request in world.registry.requests],
                [(r.method, r.path, r.headers.get("Authorization"), r.body) for r in world.tokens.requests],
            )
        )

    assert shown[0] == shown[1]
    assert len(shown[0][0]) == 1
    assert asked in ([], [{"a": 1}] * 2)


@pytest.mark.parametrize("given", ["pool-1,pool-2", ["pool-1", "pool-2"]], ids=["a text", "a list"])
def test_identity_pools_are_given_in_both_forms(world: World, given: Any) -> None:
    world.client(
        **STATIC | CLUSTER | {"bearer.auth.token": "token-7", "bearer.auth.identity.pool.id": given}
    ).register_schema("s", ORDER)
    assert world.registry.requests[0].headers["Confluent-Identity-Pool-Id"] == "pool-1,pool-2"


def test_without_confluents_cloud_no_cluster_need_be_named(world: World) -> None:
    assert world.client(**STATIC | {"bearer.auth.token": "token-1"}).register_schema("s", ORDER) == 100
    assert not {"target-sr-cluster", "Confluent-Identity-Pool-Id"} & set(world.registry.requests[0].headers)


def test_a_static_token_is_asked_with_once_and_not_told(world: World) -> None:
    world.registry.fail_always(answer(401, '{"error_code": 401, "message": "who is t0ken?"}'))
    refused = failed(lambda: world.client(**STATIC).register_schema("s", ORDER))

    assert isinstance(refused, RegistryAuthError)
    assert len(world.registry.requests) == 1
    assert "who is ***?" in str(refused)
    assert "t0ken" not in world.told(refused)


# -- OAuth: when a token is fetched ---------------------------------------------------------------


def test_one_token_serves_many_requests(world: World) -> None:
    client = world.oauth()
    for name in "abc":
        client.register_schema(name, ORDER)

    assert world.counts == (3, 1)
    assert world.sent() == ["token-1"] * 3
    assert len({event.call for event in world.events if isinstance(event, SuccessEvent)}) == 4


def test_one_request_fetches_the_token_for_all_threads(world: World) -> None:
    world.tokens.delay = 0.2
    client = world.oauth()

    assert at_once(20, lambda number: client.register_schema(f"s{number}", ORDER)) == [100] * 20
    assert world.counts == (20, 1)


@pytest.mark.parametrize("more", [{}, {"expires_in": "100"}, {"expires_in": 100.0}])
def test_a_token_is_renewed_at_four_fifths_of_its_life_while_it_serves_on(world: World, more: dict[str, Any]) -> None:
    world.tokens.lifetime, world.tokens.more = (None if more else 100), more
    client = world.oauth()
    client.register_schema("a", ORDER)
    world.clock.later(75)
    client.register_schema("b", ORDER)
    assert world.counts == (2, 1)

    world.clock.later(6)
    client.register_schema("c", ORDER)
    until(lambda: len(world.tokens.requests) == 2 and not client.state().waiting)
    client.register_schema("d", ORDER)

    assert world.sent() == ["token-1"] * 3 + ["token-2"]
    assert world.counts == (4, 2)


def test_a_token_that_cannot_be_renewed_serves_to_its_end(world: World) -> None:
    world.tokens.lifetime = 100
    client = world.oauth()
    client.register_schema("a", ORDER)
    world.tokens.fail_always(error(500))
    world.clock.later(90)
    client.register_schema("b", ORDER)
    until(lambda: len(world.tokens.requests) > 1)
    client.register_schema("c", ORDER)
    assert world.sent() == ["token-1"] * 3

    world.clock.later(11)
    assert isinstance(failed(lambda: client.lookup_schema("d", ORDER, timeout=0.3)), RegistryUnavailableError)
    assert len(world.registry.requests) == 3


@pytest.mark.parametrize("lifetime", [100, "100"])
def test_after_its_life_the_next_request_waits_for_a_new_one(world: World, lifetime: Any) -> None:
    world.tokens.lifetime = lifetime
    client = world.oauth()
    client.register_schema("a", ORDER)
    world.clock.later(101)
    client.register_schema("b", ORDER)

    assert world.sent() == ["token-1", "token-2"]


def test_azures_moment_of_expiry_counts_where_no_lifetime_is_told(world: World) -> None:
    world.tokens.lifetime = None
    world.tokens.more = {"expires_on": str(int(time.time()) + 100)}
    client = world.oauth()
    client.register_schema("a", ORDER)
    world.clock.later(70)
    client.register_schema("b", ORDER)
    world.clock.later(40)
    client.register_schema("c", ORDER)

    assert world.sent() == ["token-1", "token-1", "token-2"]


@pytest.mark.parametrize("lifetime", [None, "soon", -1, True, [1], 1e999])
def test_a_token_without_a_known_life_serves_until_a_401(world: World, lifetime: Any) -> None:
    world.tokens.lifetime = lifetime
    client = world.oauth()
    client.register_schema("a", ORDER)
    world.clock.later(60_000)
    client.register_schema("b", ORDER)
    assert world.counts == (2, 1)

    world.accepts = lambda token: token == "token-2"
    assert client.register_schema("c", ORDER) == 100
    assert world.counts == (4, 2)


def test_a_token_of_no_life_serves_one_request(world: World) -> None:
    world.tokens.lifetime = 0
    client = world.oauth()
    for name in "abc":
        client.register_schema(name, ORDER)

    assert world.sent() == ["token-1", "token-2", "token-3"]


# -- OAuth: a 401 ---------------------------------------------------------------------------------


def test_a_401_renews_the_token_and_asks_the_same_endpoint_again(world: World) -> None:
    world.accepts = lambda token: token == "token-2"
    other = world.serve(SchemaRegistryServer())
    client = world.oauth(world.registry.url, other.url, max_retries=0)

    assert client.register_schema("s", ORDER) == 100
    assert world.sent() == ["token-1", "token-2"]
    assert world.outcomes(world.registry) == ["token_expired", "success"]
    assert not other.requests
    assert not [event for event in world.events if isinstance(event, BreakerEvent)]


def test_a_second_401_is_final(world: World) -> None:
    world.accepts = lambda token: False
    refused = failed(lambda: world.oauth().register_schema("s", ORDER))

    assert isinstance(refused, RegistryAuthError)
    assert (refused.url, refused.http_status_code) == (world.registry.url, 401)
    assert world.counts == (2, 2)
    assert "token-" not in world.told(refused)


def test_one_request_renews_the_token_for_all_threads(world: World) -> None:
    client = world.oauth()
    client.register_schema("s", ORDER)
    world.accepts = lambda token: token == "token-2"
    world.registry.delay = 0.2  # all are refused before the first can renew

    assert at_once(20, lambda number: client.register_schema(f"s{number}", ORDER)) == [100] * 20
    assert world.counts == (1 + 20 + 20, 2)


def test_a_renewal_that_fails_says_what_both_answered(world: World) -> None:
    client = world.oauth()
    client.register_schema("s", ORDER)
    world.accepts = lambda token: False
    world.tokens.fail_always(html(502))
    lost = failed(lambda: client.register_schema("t", ORDER, timeout=3))

    assert isinstance(lost, RegistryUnavailableError)
    for words in (f"{world.registry.url} answered 401", f"{world.tokens.endpoint} answered 502"):
        assert words in str(lost)
    assert len(world.registry.requests) == 2


# -- OAuth: a token server that fails -------------------------------------------------------------

PASSING = [
    error(500),
    error(503),
    html(502),
    html(200),
    html(404),
    reset(),
    answer(200, "{}"),
    answer(200, '{"access_token": ""}'),
    answer(200, '{"access_token": "a\\nb"}'),
    answer(200, '{"access_token": 5}'),
    answer(200, "[]"),
    answer(200, '{"access_token": "secret-token", "token_type": "mac"}'),
    answer(204, ""),
    drip(0.05),
    drip(0.05, head=True),
    hang(),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
def test_a_failure_of_the_token_server_is_retried_and_counts_against_no_registry(world: World, fault: Fault) -> None:
    world.tokens.fail_next(fault, fault, fault, fault)
    other = world.serve(SchemaRegistryServer(first_id=200))
    client = world.oauth(world.registry.url, other.url, request_timeout_ms=1000)

    assert client.register_schema("s", ORDER) == 100
    assert world.counts == (1, 5)
    assert not other.requests
    assert world.outcomes()[4:] == ["success", "success"]
    broken = {event.endpoint for event in world.events if isinstance(event, BreakerEvent)}
    assert broken == {world.tokens.endpoint}
    assert "secret-token" not in world.told()


def test_a_failover_needs_no_other_token(world: World) -> None:
    with closed() as nobody:
        assert world.oauth(f"http://{nobody}", world.registry.url).register_schema("s", ORDER) == 100

    assert world.counts == (1, 1)


LASTING = [
    (error(500), "500", RegistryUnavailableError),
    (html(404), "404", RegistryUnavailableError),
    (html(200), "200, but it is not a JSON object", RegistryUnavailableError),
    (answer(200, '{"id_token": "secret-token"}'), "200, but there is no access_token", RegistryUnavailableError),
    (answer(200, '{"access_token": "secret-token", "token_type": "mac"}'), "not Bearer", RegistryUnavailableError),
    (retry_after(3600), "429", RegistryUnavailableError),
    (reset(), "the connection broke", RegistryUnavailableError),
    (hang(), "request.timeout.ms", RegistryUnavailableError),
    (drip(0.05), "request.timeout.ms", RegistryUnavailableError),
    (drip(0.05, head=True), "request.timeout.ms", RegistryUnavailableError),
    (html(401), "401", RegistryAuthError),
    (html(403), "403", RegistryAuthError),
    (
        answer(400, json.dumps({"error": "invalid_scope", "error_description": f"not for {SECRET}"})),
        "400 invalid_scope: not for ***",
        RegistryAuthError,
    ),
    (answer(404, '{"error": "invalid_request"}'), "404 invalid_request", RegistryAuthError),
]


@pytest.mark.parametrize(("fault", "words", "kind"), LASTING, ids=lambda value: getattr(value, "name", None))
def test_a_token_server_that_never_serves_ends_the_call_and_is_quoted(
    world: World, fault: Fault, words: str, kind: type
) -> None:
    world.tokens.fail_always(fault)
    client = world.oauth(
        request_timeout_ms=600, max_retries=2, total_timeout_ms=20_000
    )  # the last attempt is not cut off by time
    lost = failed(lambda: client.register_schema("orders-value", ORDER))

    assert type(lost).__name__ == kind.__name__
    assert lost.retriable == (kind is RegistryUnavailableError)
    assert words in str(lost)
    assert "orders-value" in str(lost)
    assert lost.url == world.tokens.endpoint
    assert lost.attempts == len(world.tokens.requests) >= 1
    assert not world.registry.requests
    assert all(endpoint.up for endpoint in client.state().endpoints)
    assert not [secret for secret in (SECRET, "secret-token", "s3cret") if secret in world.told(lost)]
    if kind is RegistryAuthError:
        assert len(world.tokens.requests) == lost.attempts == 1
        assert "bearer.auth" in str(lost)
    ends = [event for event in world.events if isinstance(event, (GiveUpEvent, RefusalEvent))]
    assert ends[-1].reason == "credentials"
    assert ends[-1].asked.endswith("'orders-value'")

    world.tokens.recover()
    world.clock.later(4000)
    assert client.register_schema("orders-value", ORDER, timeout=10) == 100
    assert world.outcomes(world.registry) == ["success"]
    assert not [e for e in world.events if isinstance(e, BreakerEvent) and e.endpoint == world.registry.url]


def test_nobody_there_to_give_a_token(world: World) -> None:
    with closed() as nobody:
        url = f"http://{nobody}/token"
        lost = failed(
            lambda: world.oauth(**{"bearer.auth.issuer.endpoint.url": url}).register_schema("s", ORDER, timeout=2.0)
        )

    assert f"{url}: the connection was refused" in str(lost)


def test_a_wrong_secret_is_asked_about_once(world: World) -> None:
    lost = failed(lambda: world.oauth(**{"bearer.auth.client.secret": "wr0ng"}).register_schema("s", ORDER))

    assert isinstance(lost, RegistryAuthError)
    assert "401 invalid_client: unknown client or secret" in str(lost)
    assert world.counts == (0, 1)
    assert "wr0ng" not in world.told(lost)


def test_a_token_in_a_refusal_is_not_told(world: World) -> None:
    world.tokens.fail_always(answer(500, '{"access_token":"secret-token"}'))
    lost = failed(lambda: world.oauth(max_retries=0).register_schema("s", ORDER))

    assert "there may be a token" in str(lost)
    assert "secret-token" not in world.told(lost)


def test_each_caller_leaves_in_its_own_time_and_hears_of_the_token_server(world: World) -> None:
    world.tokens.fail_next(error(500))
    world.tokens.fail_always(hang())
    client = world.oauth()
    times = [2.0, 2.5, 3.0]
    lost = at_once(3, lambda number: client.lookup_schema(f"s{number}", ORDER, timeout=times[number]))

    for each in lost:
        assert isinstance(each, RegistryUnavailableError)
        assert world.tokens.endpoint in str(each)
    assert not world.registry.requests


def test_a_caller_with_more_time_goes_on_where_one_with_less_has_left(world: World) -> None:
    world.tokens.fail_always(hang())
    client = world.oauth(request_timeout_ms=400)

    def call(number: int) -> int:
        if number:
            until(lambda: world.tokens.requests)
        return client.register_schema(f"s{number}", ORDER, timeout=20 if number else 0.3)

    def recover(number: int) -> Any:
        if number < 2:
            return call(number)
        until(lambda: [e for e in world.events if isinstance(e, GiveUpEvent)])
        return world.tokens.recover()

    short, long, _ = at_once(3, recover)
    assert isinstance(short, RegistryUnavailableError)
    assert long == 100


def test_once_a_call_has_waited_in_vain_the_next_are_told_at_once(world: World) -> None:
    world.tokens.fail_always(retry_after(3600))
    client = world.oauth(total_timeout_ms=300)
    lost = [failed(lambda: client.register_schema("s", ORDER)) for _ in range(3)]

    assert all(each.retry_after and each.retry_after > 3000 for each in lost)
    assert all("429" in str(each) for each in lost)
    assert world.counts == (0, 1)


def test_max_retries_bounds_the_requests_for_a_token_too(world: World) -> None:
    world.tokens.fail_always(error(500))
    failed(lambda: world.oauth(max_retries=2).register_schema("s", ORDER))

    assert world.counts == (0, 3)


def test_a_token_that_fails_after_its_call_has_ended_changes_nothing(world: World) -> None:
    """Its end is told by a slow listener, while the call's own is told by another, and its caller still waits."""
    ended = threading.Event()

    def listen(event: Any) -> None:
        if isinstance(event, GiveUpEvent):
            if event.operation == "token":
                ended.wait(1)
            else:
                ended.set()
                time.sleep(0.02)

    world.tokens.fail_always(hang())
    for _ in range(3):
        ended.clear()
        lost = failed(lambda: world.oauth(listen=listen, total_timeout_ms=1000).register_schema("s", ORDER))
        assert isinstance(lost, RegistryUnavailableError)


def test_closing_the_client_ends_the_wait_for_a_token(world: World) -> None:
    world.tokens.fail_always(hang())
    before = set(threading.enumerate())
    client = world.oauth(total_timeout_ms=60_000, request_timeout_ms=60_000)

    def call(number: int) -> Any:
        if number:
            until(lambda: world.tokens.requests)
            return client.close()
        return client.register_schema("s", ORDER)

    lost, _ = at_once(2, call)
    assert isinstance(lost, RegistryUnavailableError)
    assert "closed" in str(lost)
    until(lambda: not any(thread.name.startswith("kafka-sr-retry") for thread in {*threading.enumerate()} - before))


def test_a_token_servers_redirect_to_another_origin_gets_no_secret(world: World) -> None:
    elsewhere = world.serve(TokenServer())
    world.tokens.fail_always(redirect(elsewhere.endpoint))
    failed(lambda: world.oauth().register_schema("s", ORDER, timeout=2))

    assert elsewhere.requests
    assert not any("Authorization" in request.headers for request in elsewhere.requests)


def test_what_is_meant_for_the_registry_is_not_sent_for_a_token(world: World) -> None:
    world.oauth(**{"http.headers": {"X-Tenant": "a"}}).register_schema("s", ORDER)

    assert "X-Tenant" in world.registry.requests[0].headers
    assert "X-Tenant" not in world.tokens.requests[0].headers


def test_another_origin_gets_no_token(world: World) -> None:
    away = world.serve(SchemaRegistryServer())
    world.registry.fail_next(redirect(away.url))
    world.oauth(**CLUSTER).register_schema("s", ORDER)

    assert not {"Authorization", "target-sr-cluster", "Confluent-Identity-Pool-Id"} & set(away.requests[0].headers)


# -- Azure --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "query", "path"),
    [
        ("/metadata?a=b", None, "/metadata?a=b"),
        ("/metadata", "resource=https%3A%2F%2Fx&api-version=1", "/metadata?resource=https%3A%2F%2Fx&api-version=1"),
        ("/metadata?a=b", "c=d", "/metadata?c=d"),
    ],
)
def test_azures_query_goes_before_that_of_the_url(world: World, url: str, query: str | None, path: str) -> None:
    conf = AZURE | {"bearer.auth.issuer.endpoint.url": world.tokens.url + url}
    conf |= {} if query is None else {"bearer.auth.issuer.endpoint.query": query}
    assert world.client(**conf).register_schema("s", ORDER) == 100

    (request,) = world.tokens.requests
    assert (request.method, request.path, request.headers["Metadata"]) == ("GET", path, "true")
    assert "Authorization" not in request.headers


def test_azures_own_service_is_asked_unless_another_is_named() -> None:
    client = SchemaRegistryClient(URL | AZURE | {"bearer.auth.issuer.endpoint.query": "a=b", "ssl.ca.location": False})
    question = client._asking._here().access

    assert question.world.outages.urls == ("http://169.254.169.254/metadata/identity/oauth2/token",)
    assert question.request.path == "?a=b"
    client.close()


# -- a function of the user's ---------------------------------------------------------------------


def custom(function: Callable[[Any], Any], **conf: Any) -> dict[str, Any]:
    return CUSTOM | {"bearer.auth.custom.provider.function": function} | conf


def test_the_function_is_called_for_each_request_and_gives_a_dict_or_a_token(world: World) -> None:
    given = iter(
        [{"bearer.auth.token": "token-1"}, "token-2", GIVEN, {**GIVEN, "bearer.auth.identity.pool.id": ["p", "q"]}]
    )
    client = world.client(**custom(lambda config: next(given)), **{"bearer.auth.logical.cluster": "lsrc-0"})
    for name in "abcd":
        client.register_schema(name, ORDER)

    assert world.sent() == ["token-1", "token-2", "token-9", "token-9"]
    assert [r.headers["target-sr-cluster"] for r in world.registry.requests] == ["lsrc-0", "lsrc-0", "lsrc-9", "lsrc-9"]
    assert [r.headers.get("Confluent-Identity-Pool-Id") for r in world.registry.requests] == [None, None, "p", "p,q"]


def test_after_a_401_the_function_is_called_once_more(world: World) -> None:
    given = iter(["token-1", "token-2", "token-3"])
    world.accepts = lambda token: token == "token-2"

    assert world.client(**custom(lambda _: next(given))).register_schema("s", ORDER) == 100
    assert world.sent() == ["token-1", "token-2"]


def raises(_: Any) -> Any:
    raise LookupError("s3cret of the vault")


def exits(_: Any) -> Any:
    raise SystemExit("s3cret of the vault")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (raises, "LookupError (test_access.py, line"),
        (exits, "SystemExit (test_access.py, line"),
        (lambda _: None, "NoneType"),
        (lambda _: {}, "no bearer.auth.token"),
        (lambda _: {"token": "s3cret"}, "no bearer.auth.token"),
        (lambda _: {"bearer.auth.token": "s3cret\n"}, "line breaks"),
        (lambda _: {"bearer.auth.token": b"s3cret"}, "text"),
        (lambda _: {**GIVEN, "bearer.auth.logical.cluster": 5}, "bearer.auth.logical.cluster"),
        (lambda _: "s3cret\n", "line breaks"),
        (lambda _: threading.Event().wait(GUARD), "within request.timeout.ms"),
    ],
)
def test_a_function_that_gives_no_token_ends_the_call_in_its_time(
    world: World, function: Callable[[Any], Any], words: str
) -> None:
    lost = failed(lambda: world.client(**custom(function)).register_schema("s", ORDER, timeout=2.0))

    assert isinstance(lost, RegistryUnavailableError)
    assert "bearer.auth.custom.provider.function" in str(lost)
    assert words in str(lost)
    assert "s3cret" not in world.told(lost)
    assert not world.registry.requests


def test_a_function_that_fails_or_hangs_is_called_again(world: World) -> None:
    calls = iter([raises, lambda _: threading.Event().wait(GUARD), lambda _: None, lambda _: "token-1"])
    client = world.client(**custom(lambda config: next(calls)(config)), request_timeout_ms=2000)

    assert client.register_schema("s", ORDER) == 100
    assert world.outcomes() == ["credentials", "timeout", "credentials", "success", "success"]


# -- basic auth -----------------------------------------------------------------------------------


def basic(user_info: str) -> str:
    return "Basic " + base64.b64encode(user_info.encode()).decode()


def accepts(expected: str) -> Callable[[Mapping[str, str]], bool]:
    return lambda headers: headers.get("Authorization") == expected


@pytest.mark.parametrize("source", [None, "USER_INFO", "URL"])
def test_basic_credentials_from_each_source(world: World, source: str | None) -> None:
    registry = world.serve(SchemaRegistryServer(authorize=accepts(basic("mé:p:a@ss"))))
    conf: dict[str, Any] = {} if source is None else {"basic.auth.credentials.source": source}
    if source == "URL":
        client = world.client(registry.url.replace("//", "//m%C3%A9:p%3Aa%40ss@"), **conf)
    else:
        client = world.client(registry.url, **conf, **{"basic.auth.user.info": "mé:p:a@ss"})

    assert client.register_schema("s", ORDER) == 1


def test_a_wrong_password_is_final(world: World) -> None:
    registry = world.serve(SchemaRegistryServer(authorize=accepts(basic("me:right"))))
    refused = failed(lambda: world.client(registry.url, basic_auth_user_info=f"me:{PASSWORD}").get_schema(1))

    assert isinstance(refused, RegistryAuthError)
    assert "basic.auth" in str(refused)
    assert len(registry.requests) == 1
    assert PASSWORD not in world.told(refused)


PRODUCER = {"bootstrap.servers": "localhost:9092", "sasl.username": "me", "sasl.password": f"{PASSWORD}:"}


@pytest.mark.parametrize("builder", [False, True])
def test_sasl_inherit_takes_the_producers_user_and_password(world: World, builder: bool) -> None:
    registry = world.serve(SchemaRegistryServer(authorize=accepts(basic(f"me:{PASSWORD}:"))))
    keys = {"url": registry.url, "basic.auth.credentials.source": "SASL_INHERIT"}
    conf = PRODUCER | {f"schema.registry.{key}": value for key, value in keys.items()}
    if builder:
        serializer, kafka = AvroSerializerBuilder(schema=ORDER.schema_str).build(conf, False)
    else:
        serializer, kafka = AvroSerializer.from_config(conf, ORDER.schema_str)
    with serializer:
        serializer({"id": 1}, SerializationContext("orders", MessageField.VALUE))

    assert kafka == PRODUCER
    assert len(registry.requests) == 1


@pytest.mark.parametrize(
    "conf",
    [
        {"bootstrap.servers": "localhost:9092"},
        PRODUCER | {"schema.registry.basic.auth.user.info": f"you:{PASSWORD}"},
        PRODUCER | {f"schema.registry.{key}": value for key, value in STATIC.items()},
    ],
)
def test_sasl_inherit_with_nothing_to_inherit_or_with_a_rival_is_refused(conf: dict[str, Any]) -> None:
    more = {"schema.registry.url": URL["url"], "schema.registry.basic.auth.credentials.source": "SASL_INHERIT"}
    with pytest.raises(ConfigurationError) as caught:
        AvroSerializer.from_config(conf | more, ORDER.schema_str)

    assert "SASL_INHERIT" in str(caught.value) or "contradict" in str(caught.value)
    assert PASSWORD not in repr(caught.value)


# -- signatures -----------------------------------------------------------------------------------

EXAMPLE = Path(__file__).parents[2] / "examples" / "request_signing.py"


@pytest.fixture(scope="module")
def signing() -> Any:
    spec = importlib.util.spec_from_file_location("request_signing", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def signed_registry(signing: Any, secret: bytes) -> SchemaRegistryServer:
    """A registry that computes each request's signature and compares."""

    def verify(headers: Mapping[str, str]) -> bool:
        (request,) = [request for request in registry.requests if request.headers is headers]
        expected = signing.signature(secret, request.method, request.path, headers["X-Date"], request.body)
        return headers["Authorization"] == f"HMAC-SHA256 demo:{expected}"

    registry = SchemaRegistryServer(authorize=verify)
    return registry


def test_each_attempt_is_signed_afresh(world: World, signing: Any) -> None:
    registry = world.serve(signed_registry(signing, b"key"))
    registry.fail_next(error(503), reset(), redirect(registry.url))
    client = world.client(registry.url, http_auth=signing.SignedRequests("demo", b"key"))
    assert client.register_schema("s/ü", ORDER, normalize_schemas=True) == 1
    assert client.get_schema(1).schema_str == ORDER.schema_str

    assert len(registry.requests) == 5
    assert len({request.headers["Authorization"] for request in registry.requests}) == 5


def test_an_auth_that_answers_a_challenge_gets_through_on_one_connection(world: World) -> None:
    def answers(head: bytes, _: bytes) -> bytes:
        if b"Authorization: Digest" in head:
            return b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"id":7}'
        challenge = b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n'
        return b"HTTP/1.1 401 Unauthorized\r\n" + challenge + b"Content-Length: 4\r\n\r\nwho?"

    server = RawServer(answers)
    world.stack.callback(server.close)
    client = world.client(server.url, http_auth=requests.auth.HTTPDigestAuth("me", PASSWORD))
    assert [client.register_schema(name, ORDER) for name in "ab"] == [7, 7]
    assert server.connections == 1


class AsksTwice(requests.auth.AuthBase):
    """Asks again after a 401, as digest authentication does, once ``turn`` has been told of it."""

    def __init__(self, turn: Callable[[str], object] = lambda url: None) -> None:
        self._turn = turn

    def __call__(self, request: Any) -> Any:
        request.register_hook("response", self._again)
        return request

    def _again(self, response: Any, **options: Any) -> Any:
        assert response.content
        if response.status_code != 401:
            return response
        self._turn(response.url)
        request = response.request.copy()
        request.headers["X-Again"] = "yes"
        return response.connection.send(request, **options)


UNKNOWN = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?"
SEVEN = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"id":7}'


def test_an_auth_may_read_the_answer(world: World) -> None:
    registry = world.serve(SchemaRegistryServer(first_id=7))
    assert world.client(registry.url, http_auth=AsksTwice()).register_schema("s", ORDER) == 7
    assert len(registry.requests) == 1


def test_an_attempt_that_asks_twice_ends_its_own_connection_and_no_others(world: World) -> None:
    """Each of two has asked once, and asks again on the connection that the other one had."""
    long_asked, short_back, long_back, short_sent, long_sent, short_over = (threading.Event() for _ in range(6))

    def turn(url: str) -> None:
        if "/short/" in url:
            short_back.set()
            assert long_back.wait(GUARD)
        else:
            long_back.set()
            assert short_sent.wait(GUARD)

    def answers(head: bytes, _: bytes) -> bytes:
        if b"X-Again" not in head:
            if b"/long/" in head:
                long_asked.set()
            assert (long_asked if b"/short/" in head else short_back).wait(GUARD)
            return UNKNOWN
        if b"/short/" in head:
            short_sent.set()
            assert short_over.wait(GUARD)
        else:
            long_sent.set()
            assert short_over.wait(GUARD)
        return SEVEN

    server = RawServer(answers)
    world.stack.callback(server.close)
    client = world.client(server.url, http_auth=AsksTwice(turn))
    with ThreadPoolExecutor(2) as threads:
        short = threads.submit(client.register_schema, "short", ORDER, timeout=300)
        until(lambda: server.heads)
        long = threads.submit(client.register_schema, "long", ORDER, timeout=10_000)
        assert long_sent.wait(GUARD)
        world.clock.later(400)
        assert isinstance(short.exception(GUARD), RegistryUnavailableError)
        until(world.outcomes)
        short_over.set()
        assert long.result(GUARD) == 7
    assert len([head for head in server.heads if b"/long/" in head]) == 2


def test_a_wrong_key_is_refused(world: World, signing: Any) -> None:
    registry = world.serve(signed_registry(signing, b"key"))
    client = world.client(registry.url, http_auth=signing.SignedRequests("demo", b"other"))

    assert isinstance(failed(lambda: client.register_schema("s", ORDER)), RegistryAuthError)
    assert len(registry.requests) == 1


# -- TLS: rotated files ---------------------------------------------------------------------------


class Files:
    """PEM files, and who issues what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.old, self.new = trustme.CA(), trustme.CA()
        self.ca = folder / "ca.pem"
        self.certificate = folder / "client.pem"
        self.key = folder / "client.key"

    def trust(self, ca: trustme.CA) -> None:
        self.ca.write_bytes(ca.cert_pem.bytes())

    def show(self, ca: trustme.CA, password: bytes = PASSWORD.encode()) -> None:
        leaf = ca.issue_cert("client@example.org")
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        self.certificate.write_bytes(leaf.cert_chain_pems[0].bytes())
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)))

    def server(self, ca: trustme.CA, clients: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 can lose the refusal behind a request on its way
            clients.configure_trust(context)
        return context

    def conf(self, *, mutual: bool = False) -> dict[str, Any]:
        files = {"ssl.ca.location": str(self.ca)}
        if mutual:
            files |= {"ssl.certificate.location": str(self.certificate), "ssl.key.location": str(self.key)}
            files["ssl.key.password"] = PASSWORD
        return files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_rotated_ca_is_picked_up(world: World, files: Files) -> None:
    context = files.server(files.old)
    registry = world.serve(SchemaRegistryServer(ssl_context=context))
    files.trust(files.old)
    client = world.client(registry.url, **files.conf())
    client.register_schema("a", ORDER)

    files.new.issue_cert("127.0.0.1").configure_cert(context)
    files.trust(files.new)
    client.register_schema("b", ORDER)
    assert world.outcomes() == ["success"] * 2

    files.trust(files.old)
    assert "TLS failed" in str(failed(lambda: client.register_schema("c", ORDER)))


@pytest.mark.parametrize("link", [False, True], ids=["written", "linked"])
def test_a_rotated_certificate_and_key_are_picked_up(world: World, files: Files, link: bool) -> None:
    """Written over, or behind a link that is turned, as Kubernetes does."""
    first = world.serve(SchemaRegistryServer(first_id=100, ssl_context=files.server(files.old, files.old)))
    second = world.serve(SchemaRegistryServer(first_id=200, ssl_context=files.server(files.old, files.new)))
    if link:
        for name, ca in (("1", files.old), ("2", files.new)):
            (files.folder / name).mkdir()
            version = Files(files.folder / name)
            version.show(ca)
        (files.folder / "data").symlink_to("1")
        for path in (files.certificate, files.key):
            path.symlink_to(Path("data") / path.name)
    else:
        files.show(files.old)
    files.trust(files.old)
    client = world.client(first.url, second.url, **files.conf(mutual=True))
    assert client.register_schema("a", ORDER) == 100

    if link:
        (files.folder / "next").symlink_to("2")
        os.replace(files.folder / "next", files.folder / "data")
    else:
        files.show(files.new)
    assert client.register_schema("b", ORDER) == 200
    assert world.outcomes() == ["success", "tls", "success"]


@pytest.mark.parametrize("broken", ["half written", "wrong password", "gone", "half rotated", "no CA"])
def test_files_that_cannot_be_used_leave_the_old_ones_in_place_and_are_logged_once(
    world: World, files: Files, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = world.serve(SchemaRegistryServer(first_id=100, ssl_context=files.server(files.old, files.old)))
    second = world.serve(SchemaRegistryServer(first_id=200, ssl_context=files.server(files.old, files.new)))
    files.trust(files.old)
    files.show(files.old)
    client = world.client(first.url, second.url, **files.conf(mutual=True))
    client.register_schema("a", ORDER)
    if broken == "half written":
        files.certificate.write_bytes(files.certificate.read_bytes()[:300])
    elif broken == "wrong password":
        files.show(files.new, b"other")
    elif broken == "gone":
        files.key.unlink()
    elif broken == "half rotated":
        key = files.key.read_bytes()
        files.show(files.new)
        files.key.write_bytes(key)
    else:
        files.ca.write_text("not a certificate")
    with caplog.at_level(logging.WARNING, "kafka_sr_retry"):
        for name in "bcd":
            client._asking._here().transport.forget_connections()
            assert client.register_schema(name, ORDER) == 100

    (record,) = caplog.records
    assert record.name == "kafka_sr_retry"
    assert str(files.ca if broken == "no CA" else files.certificate) in record.getMessage()
    assert PASSWORD not in record.getMessage()

    files.trust(files.old)
    files.show(files.new)
    assert client.register_schema("e", ORDER) == 200


def test_only_changed_files_cost_a_connection(world: World, files: Files) -> None:
    registry = world.serve(SchemaRegistryServer(ssl_context=files.server(files.old, files.old)))
    proxy = world.serve(Proxy())
    files.trust(files.old)
    files.show(files.old)
    client = world.client(registry.url, proxy=proxy.url, **files.conf(mutual=True))
    for name in "abc":
        client.register_schema(name, ORDER)
    assert len(proxy.heads) == 1

    files.show(files.old)
    for name in "def":
        client.register_schema(name, ORDER)
    assert len(proxy.heads) == 2


def test_the_token_server_has_a_certificate_shown_that_is_for_it_alone(world: World, files: Files) -> None:
    files.trust(files.old)
    files.show(files.old)
    context = files.server(files.old, files.old)
    world.tokens = world.serve(TokenServer(ssl_context=context))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.maximum_version = version
        lost = failed(lambda: world.oauth(**files.conf(mutual=True)).register_schema("s", ORDER))
        assert "bearer.auth.ssl.certificate.location" in str(lost)
    own = {key.replace("ssl.", "bearer.auth.ssl."): value for key, value in files.conf(mutual=True).items()}
    assert world.oauth(**own).register_schema("s", ORDER) == 100


def test_the_token_server_is_judged_by_the_system_and_by_the_registrys_authority(
    world: World, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = files.folder / "system.pem"
    system.write_bytes(files.new.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    files.trust(files.old)
    public = world.serve(TokenServer(ssl_context=files.server(files.new)))
    private = world.serve(TokenServer(ssl_context=files.server(files.old)))

    def ask(tokens: TokenServer, **more: Any) -> int:
        conf = files.conf() | {"bearer.auth.issuer.endpoint.url": tokens.endpoint} | more
        return world.oauth(**conf).register_schema("s", ORDER)

    assert ask(public) == ask(private) == 100
    only = {"bearer.auth.ssl.ca.location": str(system)}
    assert ask(public, **only) == 100
    assert "bearer.auth.ssl.ca.location" in str(failed(lambda: ask(private, **only)))


def test_a_token_server_of_a_strange_authority_is_not_asked(world: World, files: Files) -> None:
    files.trust(files.old)
    untrusted = world.serve(TokenServer(ssl_context=files.server(files.new)))
    lost = failed(
        lambda: world.oauth(**files.conf(), **{"bearer.auth.issuer.endpoint.url": untrusted.endpoint}).register_schema(
            "s", ORDER
        )
    )
    assert f"{untrusted.endpoint}: TLS failed" in str(lost)
    assert "ssl.ca.location" in str(lost)
    assert not untrusted.requests


def test_false_trusts_any_token_server_too(world: World, files: Files) -> None:
    world.tokens = world.serve(TokenServer(ssl_context=files.server(files.new)))
    assert world.oauth(**{"ssl.ca.location": False}).register_schema("s", ORDER) == 100


def test_the_token_servers_rotated_ca_is_picked_up(world: World, files: Files) -> None:
    context = files.server(files.old)
    world.tokens = world.serve(TokenServer(lifetime=0, ssl_context=context))
    files.trust(files.old)
    client = world.oauth(**files.conf())
    client.register_schema("a", ORDER)
    files.new.issue_cert("127.0.0.1").configure_cert(context)
    files.trust(files.new)
    client.register_schema("b", ORDER)

    assert world.counts == (2, 2)


# -- proxies --------------------------------------------------------------------------------------

NO_PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NO_PROXY:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def registries(world: World, files: Files) -> dict[str, SchemaRegistryServer]:
    files.trust(files.old)
    contexts = {"http": None, "https": files.server(files.old)}
    me = accepts(basic("me:mine"))
    return {
        scheme: world.serve(SchemaRegistryServer(authorize=me, ssl_context=context))
        for scheme, context in contexts.items()
    }


SCHEMES = pytest.mark.parametrize("scheme", ["http", "https"])


def first_line(registry: SchemaRegistryServer, scheme: str) -> bytes:
    address = registry.url.partition("//")[2]
    return (f"CONNECT {address} " if scheme == "https" else f"POST {registry.url}/subjects/s/versions ").encode()


@SCHEMES
@pytest.mark.parametrize("asks", [False, True], ids=["open", "asks for a password"])
def test_requests_go_through_the_proxy(world: World, files: Files, registries: Any, scheme: str, asks: bool) -> None:
    registry = registries[scheme]
    registry.fail_next(error(503))
    proxy = world.serve(Proxy(f"us%er:{PASSWORD}/@" if asks else None))
    url = proxy.url.replace("//", f"//us%25er:{PASSWORD}%2F%40@") if asks else proxy.url
    client = world.client(registry.url, proxy=url, basic_auth_user_info="me:mine", **files.conf())

    assert client.register_schema("s", ORDER) == 1
    assert len(registry.requests) == 2
    assert all(head.startswith(first_line(registry, scheme)) for head in proxy.heads)
    assert not any("Proxy-Authorization" in request.headers for request in registry.requests)
    if scheme == "https":
        assert not any(b"\r\nAuthorization" in head for head in proxy.heads)


@SCHEMES
@pytest.mark.parametrize("user_info", [None, f"me:{PASSWORD}"])
def test_a_proxy_that_refuses_is_final_and_said_without_the_password(
    world: World, files: Files, registries: Any, scheme: str, user_info: str | None
) -> None:
    proxy = world.serve(Proxy("me:right"))
    url = proxy.url.replace("//", f"//{user_info}@") if user_info else proxy.url
    refused = failed(
        lambda: world.client(registries[scheme].url, proxy=url, **files.conf()).register_schema("s", ORDER)
    )

    assert isinstance(refused, RegistryAuthError)
    assert refused.http_status_code == 407
    assert "proxy" in str(refused)
    assert len(proxy.heads) == 1
    assert PASSWORD not in world.told(refused)


def test_a_proxy_that_is_not_there_is_named_without_the_password(world: World, files: Files, registries: Any) -> None:
    with closed() as nobody:
        proxy = f"http://me:{PASSWORD}@{nobody}"
        client = world.client(registries["https"].url, proxy=proxy, max_retries=0, **files.conf())
        lost = failed(lambda: client.register_schema("s", ORDER))

    assert f"proxy {nobody}" in str(lost)
    assert PASSWORD not in world.told(lost)
    proxy = f"http://me:{PASSWORD}@proxy.invalid:3128"
    lost = failed(
        lambda: world.client(registries["https"].url, proxy=proxy, max_retries=0, **files.conf()).get_schema(1)
    )
    assert "proxy proxy.invalid:3128" in str(lost)
    assert PASSWORD not in world.told(lost)


@SCHEMES
def test_the_proxys_own_tls_trusts_the_same_ca(world: World, files: Files, registries: Any, scheme: str) -> None:
    registry = registries[scheme]
    proxy = world.serve(Proxy(ssl_context=files.server(files.old)))
    client = world.client(registry.url, proxy=proxy.url, basic_auth_user_info="me:mine", **files.conf())
    assert client.register_schema("s", ORDER) == 1
    assert len(proxy.heads) == 1
    assert client.register_schema("again", ORDER) == 1
    assert len(proxy.heads) == 1 + (scheme == "http"), "the tunnel is kept alive"

    wrong = world.serve(Proxy(ssl_context=files.server(files.new)))
    client = world.client(registry.url, proxy=wrong.url, basic_auth_user_info="me:mine", **files.conf())
    assert "TLS failed" in str(failed(lambda: client.register_schema("t", ORDER)))
    assert not wrong.heads


@SCHEMES
def test_the_environments_proxy_is_used_where_none_is_given(
    world: World, files: Files, registries: Any, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, configured = world.serve(Proxy("me:right")), world.serve(Proxy())
    conf = {"basic.auth.user.info": "me:mine", **files.conf()}
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.url.replace("//", "//me:right@"))

    def ask(**more: Any) -> tuple[int, int]:
        world.client(registries[scheme].url, **conf, **more).register_schema("s", ORDER)
        return len(proxy.heads), len(configured.heads)

    assert ask() == (1, 0)
    assert ask(proxy=configured.url) == (1, 1)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert ask() == (1, 1)
    assert ask(proxy=configured.url) == (1, 2)


def test_an_empty_proxy_goes_directly_whatever_the_environment_says(
    world: World, files: Files, registries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed() as nobody:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{nobody}")
        for registry in registries.values():
            client = world.client(registry.url, proxy="", basic_auth_user_info="me:mine", **files.conf())
            assert client.register_schema("s", ORDER) == 1


@pytest.mark.parametrize(
    ("status", "outcomes"),
    [("403", ["proxy_refused"]), ("405", ["proxy_refused"]), ("502", ["connection"] * 3), ("429", ["connection"] * 3)],
)
def test_a_proxy_that_refuses_the_tunnel_is_asked_again_only_where_that_may_help(
    world: World, status: str, outcomes: list[str]
) -> None:
    proxy = RawServer(lambda *_: f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    world.stack.callback(proxy.close)
    client = world.client("https://sr.example:8081", proxy=proxy.url, **{"max.retries": 2})
    lost = failed(lambda: client.get_schema(1))

    assert world.outcomes() == outcomes
    assert f"the proxy {proxy.address} answered {status} to CONNECT sr.example" in str(lost)
    assert ("NO_PROXY" in str(lost)) == (len(outcomes) == 1)


@pytest.mark.parametrize("page", [html(404), html(502), html(200)], ids=lambda fault: fault.name)
def test_a_proxy_that_may_have_answered_in_the_registrys_place_is_named(world: World, page: Fault) -> None:
    proxy = world.serve(Proxy())
    world.registry.fail_always(page)
    lost = failed(lambda: world.client(proxy=proxy.url, **{"max.retries": 0}).register_schema("s", ORDER))
    assert f"from the proxy {proxy.address}" in str(lost)

    world.registry.recover()
    world.registry.fail_always(error(409))
    lost = failed(lambda: world.client(proxy=proxy.url).register_schema("s", ORDER))
    assert "proxy" not in str(lost)


@SCHEMES
@pytest.mark.parametrize("proxy_scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("asks", [False, True], ids=["open", "asks for a password"])
def test_requests_go_through_a_socks_proxy(
    world: World, files: Files, registries: Any, scheme: str, proxy_scheme: str, asks: bool
) -> None:
    registry = registries[scheme]
    registry.fail_next(error(503))
    proxy = world.serve(SocksProxy(f"us%er:{PASSWORD}/@" if asks else None))
    user = f"us%25er:{PASSWORD}%2F%40@" if asks else ""
    host = "127.0.0.1" if scheme == "https" or proxy_scheme == "socks5" else "registry.invalid"
    client = world.client(
        registry.url.replace("127.0.0.1", host),
        proxy=f"{proxy_scheme}://{user}{proxy.address}",
        basic_auth_user_info="me:mine",
        **files.conf(),
    )
    assert client.register_schema("s", ORDER) == 1
    assert client.register_schema("t", ORDER) == 2 or len(registry.requests) == 3
    assert proxy.heads == [f"{host}:{registry.port}".encode()], "the connection is kept alive"


def test_a_socks_proxy_that_is_not_there_or_refuses_is_named_without_the_password(world: World) -> None:
    proxy = world.serve(SocksProxy("me:right"))
    for address in ("127.0.0.1:1", proxy.address):
        client = world.client(proxy=f"socks5://me:{PASSWORD}@{address}", **{"max.retries": 0})
        lost = failed(lambda client=client: client.get_schema(1))
        assert f"proxy {address}" in str(lost)
        assert PASSWORD not in world.told(lost)
    assert set(world.outcomes()) == {"connection"}


def test_without_its_extra_a_socks_proxy_is_refused_with_the_extras_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafka_sr_retry.config.values.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"kafka-sr-retry\[socks\]") as caught:
        SchemaRegistryClient(URL | {"proxy": f"socks5://me:{PASSWORD}@proxy"})
    assert PASSWORD not in str(caught.value)

    monkeypatch.setenv("ALL_PROXY", f"socks5://me:{PASSWORD}@proxy:1080")
    lost = failed(lambda: world.client().get_schema(1))
    assert "kafka-sr-retry[socks]" in str(lost)
    assert PASSWORD not in world.told(lost)
    assert world.outcomes() == ["unsendable"]


def test_a_token_is_fetched_through_the_proxy_but_azures_is_not(world: World) -> None:
    proxy = world.serve(Proxy())
    world.oauth(proxy=proxy.url).register_schema("s", ORDER)
    assert [head.split()[1].partition(b"/sub")[0].decode() for head in proxy.heads] == [
        world.tokens.endpoint,
        world.registry.url,
    ]

    proxy.heads.clear()
    conf = AZURE | {"bearer.auth.issuer.endpoint.url": world.tokens.endpoint}
    world.client(proxy=proxy.url, **conf).register_schema("t", ORDER)
    assert [head.split()[1].decode() for head in proxy.heads] == [f"{world.registry.url}/subjects/t/versions"]


# -- what the environment must not change ---------------------------------------------------------


def test_neither_netrc_nor_ca_bundles_of_the_environment_change_what_was_configured(
    world: World, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.trust(files.old)
    others = files.folder / "others.pem"
    others.write_bytes(files.new.cert_pem.bytes())
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(others))
    netrc = files.folder / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login someone password {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    context = files.server(files.old)
    world.tokens = world.serve(TokenServer(ssl_context=context))
    world.registry = world.serve(SchemaRegistryServer(first_id=100, authorize=world.authorize, ssl_context=context))

    assert world.oauth(**files.conf()).register_schema("s", ORDER) == 100
    assert world.counts == (1, 1)

    nobody = world.serve(SchemaRegistryServer(ssl_context=context))
    assert world.client(nobody.url, **files.conf()).register_schema("s", ORDER) == 1
    assert "Authorization" not in nobody.requests[0].headers


def test_the_query_of_a_token_server_is_told_nowhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kafka_sr_retry")
    world.tokens.fail_always(error(503))
    url = f"{world.tokens.endpoint}?code=s3cretkey"
    client = world.oauth(**{"bearer.auth.issuer.endpoint.url": url, "max.retries": 4})
    lost = failed(lambda: client.register_schema("s", ORDER))
    assert world.tokens.requests[0].path.endswith("?code=s3cretkey")
    assert "no endpoint has served it" in caplog.text
    assert "s3cretkey" not in f"{lost} {caplog.text} {world.events}"


def test_a_refusal_is_told_though_the_look_up_in_its_place_has_no_token(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_the_next_token(event: Any) -> None:
        world.events.append(event)
        if isinstance(event, AttemptEvent) and event.outcome == "forbidden":
            world.clock.later(3600)
            world.tokens.fail_always(error(401))

    world.registry.fail_always(error(403))
    client = world.oauth(listen=refuse_the_next_token, total_timeout_ms=86_000_000)
    with pytest.raises(RegistryAuthError, match="403"):
        client.register_schema("s", ORDER)
    refusals = [event for event in world.events if isinstance(event, RefusalEvent) and event.operation == "register"]
    assert [(event.reason, event.look_up) for event in refusals] == [("forbidden", True), ("forbidden", False)]
    assert "register a schema under subject 's': refused for good by" in caplog.text
