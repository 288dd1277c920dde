"""Each example runs as its docstring says, and its messages are in Kafka."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fastavro
import pytest
import requests
import trustme
from confluent_kafka import Message, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from prometheus_client.parser import text_string_to_metric_families
from servers import TokenServer
from topics import messages_of
from waiting import until

from kafka_sr_retry.testing import Fault, KafkaMockCluster, SchemaRegistryServer, error, no_leader, retry_after

EXAMPLES = Path(__file__).parents[2] / "examples"
ENGINES = {"dask_bag.py", "ray_tasks.py", "spark_foreach_batch.py", "spark_foreach_partition.py"}
"""Those that need more than the dev extra: tests/integration/test_engines.py, docs/scale.md."""
SERVER = "fastapi_service.py"

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Read = Callable[[str], list[tuple[Any, Any]]]


@pytest.fixture
def cluster() -> Iterator[KafkaMockCluster]:
    """A cluster of this test's own, because examples share topics."""
    with KafkaMockCluster() as made:
        yield made


def begun(name: str, *words: str, servers: str, url: str, **more: str) -> subprocess.Popen[str]:
    where = {"KAFKA_BOOTSTRAP_SERVERS": servers, "SCHEMA_REGISTRY_URL": url, "METRICS_PORT": "0"}
    return subprocess.Popen(
        [sys.executable, EXAMPLES / name, *words],
        env={**os.environ, **where, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(name: str, servers: str, url: str, **more: str) -> subprocess.CompletedProcess[str]:
    with begun(name, servers=servers, url=url, **more) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def run(cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer) -> Run:
    """Runs an example against the embedded pair."""

    def example(
        name: str, url: str = schema_registry.url, code: int = 0, **more: str
    ) -> subprocess.CompletedProcess[str]:
        done = ran(name, cluster.bootstrap_servers, url, **more)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return example


@pytest.fixture
def read(cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer) -> Iterator[Read]:
    """All messages of a topic as (key, value), decoded by Confluent's deserializer."""
    client = SchemaRegistryClient({"url": schema_registry.url})
    decode = AvroDeserializer(client)

    def messages(topic: str) -> list[tuple[Any, Any]]:
        fields = SerializationContext(topic, MessageField.KEY), SerializationContext(topic, MessageField.VALUE)
        return [
            (decode(message.key(), fields[0]), decode(message.value(), fields[1]))
            for message in messages_of(cluster.bootstrap_servers, topic)
        ]

    yield messages
    client.__exit__(None, None, None)


def values(found: list[tuple[Any, Any]]) -> list[Any]:
    return sorted((value for _, value in found), key=repr)


@pytest.fixture
def dead_url() -> Iterator[str]:
    """A port on which nobody listens, held so that nobody comes to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def test_every_example_is_tested_and_says_how_to_run_it() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    here = Path(__file__).read_text(encoding="utf-8")
    for name in names:
        assert f'run("{name}"' in here or f'EXAMPLES / "{name}"' in here or name in {*ENGINES, SERVER}, name
        assert f"python examples/{name}" in (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(names) == 20 + len(ENGINES)


def test_the_config_dict_producer(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader(), no_leader())
    assert "delivered one order" in run("config_dict_producer.py").stdout
    assert read("orders") == [(None, {"id": 1})]
    assert len(schema_registry.registrations) == 3


def test_without_a_broker_every_example_says_that_nothing_was_delivered(schema_registry: SchemaRegistryServer) -> None:
    """One registry for all, as a newcomer has it: no example's schema keeps out that of another."""
    names = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name not in {*ENGINES, SERVER})
    with socket.socket() as held, ThreadPoolExecutor(len(names)) as pool:  # each waits for 10 s
        held.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{held.getsockname()[1]}"
        for name, done in zip(names, pool.map(lambda name: ran(name, nobody, schema_registry.url), names), strict=True):
            assert done.returncode == 1, name
            assert re.search(r"not (all )?delivered: |^delivered: \[\]$", done.stdout + done.stderr, re.M), name
            assert not re.search("Traceback|^(sent|delivered) [^:]+$", done.stdout + done.stderr, re.M), name


def test_the_config_dict_producer_is_short() -> None:
    assert len((EXAMPLES / "config_dict_producer.py").read_text(encoding="utf-8").splitlines()) < 32


def test_the_plain_producer(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    assert "delivered 2 orders" in run("plain_producer.py").stdout
    assert sorted(read("orders"), key=repr) == [({"number": 1}, {"id": 7}), ({"number": 2}, {"id": 8})]
    assert [request.path for request in schema_registry.registrations] == [
        "/subjects/Customer/versions",
        "/subjects/orders-value/versions",
    ]


def test_the_kafka_python_producer(run: Run, read: Read) -> None:
    assert "delivered one reading" in run("kafka_python_producer.py").stdout
    assert read("readings") == [(None, {"celsius": 21.5})]


def test_the_process_pool(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader(), no_leader())
    assert "delivered 1000 orders" in run("process_pool.py").stdout
    assert values(read("orders")) == sorted(({"id": number} for number in range(1000)), key=repr)
    answers = [request.answer for request in schema_registry.registrations]
    assert answers.count(500) == 2
    assert answers.count(200) <= 2  # processes


def test_aio_producer(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader(), no_leader())
    assert "delivered 3 orders" in run("aio_producer.py").stdout
    assert values(read("orders")) == [{"id": 1}, {"id": 2}, {"id": 3}]
    assert len(schema_registry.registrations) == 3


def test_async_serializing_producer(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader(), no_leader())
    assert "delivered one order" in run("async_serializing_producer.py").stdout
    assert values(read("orders")) == [{"id": 1}]
    assert len(schema_registry.registrations) == 3


def test_the_aiokafka_producer(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader(), no_leader())
    assert "delivered one reading" in run("aiokafka_producer.py").stdout
    assert values(read("readings")) == [{"celsius": 21.5}]
    assert len(schema_registry.registrations) == 3


def test_the_aiokafka_producer_says_what_the_warm_up_met(run: Run, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.incompatible("readings-value")
    assert "not delivered: " in run("aiokafka_producer.py", code=1).stderr


ONE = 'broker.publish(Order(id=1), "orders")'
TWO = 'broker.publish_batch(Order(id=1), Order(id=2), topic="orders")'
OVER_AIOKAFKA = [("faststream.confluent", "faststream.kafka"), ('    config={"delivery.timeout.ms": 10_000},\n', "")]


@pytest.mark.parametrize("over", [[], OVER_AIOKAFKA], ids=["confluent", "aiokafka"])
@pytest.mark.parametrize("batch", [False, True])
def test_the_faststream_service(
    over: list[tuple[str, str]],
    batch: bool,
    run: Run,
    read: Read,
    schema_registry: SchemaRegistryServer,
    tmp_path: Path,
) -> None:
    text = (EXAMPLES / "faststream_service.py").read_text(encoding="utf-8")
    for old, new in [*over, *([(ONE, TWO)] if batch else [])]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path / "faststream_service.py"
    path.write_text(text, encoding="utf-8")
    schema_registry.fail_next(no_leader(), no_leader())
    assert "delivered one order" in run(str(path)).stdout
    expected = [{"id": 1}, {"id": 2}]
    assert values(read("orders")) == expected[: 1 + batch]
    assert len(schema_registry.registrations) == 3


@pytest.fixture
def service(cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer) -> Iterator[str]:
    """The URL of the FastAPI service, which was started while there is no leader."""
    schema_registry.fail_always(no_leader())
    with begun(SERVER, servers=cluster.bootstrap_servers, url=schema_registry.url, PORT="0") as process:
        try:
            assert process.stderr is not None
            told: list[str] = []
            for line in process.stderr:
                told.append(line)
                if found := re.search(r"running on (http://\S+)", line):
                    break
            assert found, told
            yield found[1]
            process.terminate()
            process.communicate(timeout=60)
        finally:
            process.kill()


def test_the_fastapi_service(service: str, read: Read, schema_registry: SchemaRegistryServer) -> None:
    """In the outage it is not ready, and the requests that need no registry are answered."""
    with ThreadPoolExecutor(5) as pool:
        orders = [
            pool.submit(requests.post, f"{service}/orders", json={"id": number}, timeout=120) for number in range(5)
        ]
        assert [requests.get(f"{service}/ready", timeout=120).status_code for _ in range(20)] == [503] * 20
        assert requests.get(f"{service}/openapi.json", timeout=120).ok
        assert not any(order.done() for order in orders)
        schema_registry.recover()
        assert [order.result().status_code for order in orders] == [201] * 5
    assert requests.get(f"{service}/ready", timeout=120).ok
    assert values(read("orders")) == [{"id": number} for number in range(5)]


def test_the_consumer(run: Run, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader(), error(503))
    assert run("consumer.py").stdout == "read {'id': 1}\n"


def test_json_schema_and_protobuf(run: Run, cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader(), error(503))
    assert "delivered one message of each format" in run("json_schema_and_protobuf.py").stdout
    for topic, end in (("json-orders", b'{"id":1}'), ("protobuf-names", b"\x0a\x03tea")):
        (message,) = messages_of(cluster.bootstrap_servers, topic)
        assert (message.value() or b"").endswith(end)
    kinds = {json.loads(request.body).get("schemaType") for request in schema_registry.registrations}
    assert kinds == {"JSON", "PROTOBUF"}


def test_transactions(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader(), error(503))
    assert "delivered 2 orders in one transaction" in run("transactions.py").stdout
    assert [read("orders"), read("audit")] == [[(None, {"id": 1})]] * 2


def test_confluent_cloud(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    """The registry's half. The mock cluster knows no SASL: its half is librdkafka's, with plain text in its place."""
    schema_registry.fail_next(no_leader())
    keys = {"KAFKA_API_KEY": "K", "KAFKA_API_SECRET": "k", "SR_API_KEY": "S", "SR_API_SECRET": "s:1"}
    assert "delivered one order" in run("confluent_cloud.py", KAFKA_SECURITY_PROTOCOL="PLAINTEXT", **keys).stdout
    assert read("orders") == [(None, {"id": 1})]
    basic = base64.b64encode(b"S:s:1").decode()
    assert {request.headers["Authorization"] for request in schema_registry.registrations} == {f"Basic {basic}"}


def test_tls_and_oauth(run: Run, cluster: KafkaMockCluster, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with (
        TokenServer(ssl_context=context) as tokens,
        SchemaRegistryServer(
            ssl_context=context, authorize=lambda headers: headers.get("Authorization") == "Bearer token-1"
        ) as registry,
    ):
        client = {"CLIENT_ID": tokens.ID, "CLIENT_SECRET": tokens.SECRET, "TOKEN_URL": tokens.endpoint}
        done = run("tls_and_oauth.py", url=registry.url, CA_FILE=str(tmp_path / "ca.pem"), **client)
        assert "delivered one order" in done.stdout
        assert len(registry.registrations) == 1
    assert len(messages_of(cluster.bootstrap_servers, "orders")) == 1


def test_two_registries(run: Run, read: Read, schema_registry: SchemaRegistryServer, dead_url: str) -> None:
    shown = run("two_registries.py", url=f"{dead_url},{schema_registry.url}").stdout
    assert f"failover from {dead_url} to {schema_registry.url}" in shown
    assert "delivered 3 orders" in shown
    assert values(read("orders")) == [{"id": 1}, {"id": 2}, {"id": 3}]
    assert len(schema_registry.registrations) == 1


def test_request_signing(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader(), error(503))
    assert "delivered one reading" in run("request_signing.py").stdout
    assert read("signed-readings") == [(None, {"celsius": 21.5})]
    assert len({request.headers["Authorization"] for request in schema_registry.registrations}) == 3


def test_metrics_and_traces(run: Run, read: Read, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(no_leader())
    shown = run("metrics_and_traces.py").stdout.splitlines()
    assert values(read("orders")) == [{"id": 1}, {"id": 2}, {"id": 3}]
    spans = [found.groups() for line in shown if (found := re.fullmatch(r"span (\w+), parent (\w+): (.*)", line))]
    call, order = spans[2][0], spans[3][0]
    assert [(parent, told) for _, parent, told in spans] == [
        (call, "POST: no_leader"),
        (call, "POST: success"),
        (order, "kafka_sr_retry register: success"),
        *(("none", f"order {number}: done") for number in (1, 2, 3)),
    ]
    labels = f'endpoint="{schema_registry.url}",error_code="50003",outcome="no_leader",status="500"'
    assert f"kafka_sr_retry_attempts_total{{{labels}}} 1.0" in shown
    assert shown[-2:] == ["kafka_sr_retry_known_ids 1.0", "delivered 3 orders"]


class Pushed(BaseHTTPRequestHandler):
    """As a Pushgateway takes what is pushed: https://github.com/prometheus/pushgateway#api."""

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        families = {each.name: each for each in text_string_to_metric_families(body.decode())}
        self.server.pushed.append((self.path, self.headers["Content-Type"], families))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_push_metrics(
    cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pushed) as gateway:
        gateway.pushed = []  # type: ignore[attr-defined]
        threading.Thread(target=gateway.serve_forever, args=[0.01], daemon=True).start()
        monkeypatch.setenv("PUSHGATEWAY_URL", f"http://127.0.0.1:{gateway.server_port}")
        schema_registry.fail_next(no_leader())
        shown = run("push_metrics.py").stdout
        gateway.shutdown()
    ((path, kind, families),) = gateway.pushed  # type: ignore[attr-defined]
    samples = {
        (sample.name, *sample.labels.values()): sample.value for each in families.values() for sample in each.samples
    }

    assert shown.startswith("delivered 2 orders, failed: ['field id does not fit the schema: expected long, got str")
    assert (path, kind.partition(";")[0]) == ("/metrics/job/orders", "text/plain")
    assert samples["kafka_sr_retry_failed_messages_total", "misfit"] == 1
    assert samples["kafka_sr_retry_retries_total", "no_leader"] == 1
    assert not [name for name, *_ in samples if name.startswith(("python_", "process_"))]


def test_push_metrics_without_a_gateway_still_produces(
    run: Run, dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUSHGATEWAY_URL", dead_url)
    done = run("push_metrics.py")

    assert done.stdout.startswith("delivered 2 orders")
    assert done.stderr.startswith("the metrics were not pushed: ")


def test_error_handling_skips_what_does_not_fit(run: Run, read: Read) -> None:
    shown = run("error_handling.py").stdout
    assert "skip: id should be long, not str" in shown
    *_, later, delivered = shown.splitlines()
    assert later == "to be sent later: []"
    assert delivered.count("'id'") == 2
    assert values(read("orders")) == [{"id": 1}, {"id": 3}]


def test_error_handling_keeps_what_an_outage_stopped(
    run: Run, read: Read, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_always(retry_after(3600), matching=lambda request: request.method == "POST")
    shown = run("error_handling.py", code=1).stdout
    assert "later: the registry did not serve" in shown
    assert "to be sent later: [{'id': 1}, {'id': 'two'}, {'id': 3}]" in shown
    assert read("orders") == []


def test_given_up_fills_and_writes_what_it_has_filled(run: Run, cluster: KafkaMockCluster) -> None:
    assert run("given_up.py").stdout == "delivered 24 orders\n"
    assert len(messages_of(cluster.bootstrap_servers, "customer-orders")) == 24


CUSTOMERS = ("Ann", "Bob", "Eve")


def bring_orders(servers: str, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": servers})
    producer.list_topics("orders-dead-letters", timeout=20)  # makes it
    for number in numbers:
        for customer in CUSTOMERS:
            producer.produce("raw-orders", json.dumps({"customer": customer, "number": number}), customer)
    assert producer.flush(20) == 0


def given_up(way: str) -> list[Message]:
    """Orders are given up, the program is ended, more come, the registry is back; gives the dead letters."""
    with KafkaMockCluster() as cluster, SchemaRegistryServer() as registry:
        servers = cluster.bootstrap_servers

        def begin() -> subprocess.Popen[str]:
            more = {"REGISTRY_TIMEOUT_MS": "1000", "KEEP_AT_MOST": "120"}
            return begun("given_up.py", way, servers=servers, url=registry.url, **more)

        def calls() -> int:
            """Each begins when the one before it was given up."""
            return sum(each.headers["Kafka-Sr-Retry-Attempt"] == "1" for each in registry.registrations)

        bring_orders(servers, range(60))
        registry.fail_always(error(503))
        with begin() as process:
            until(lambda: calls() >= 3)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        assert ("kept: reads no more" in out) == (way == "keep")
        bring_orders(servers, range(60, 120))
        letters = messages_of(servers, "orders-dead-letters")
        registry.recover()
        with begin() as process:
            out, err = process.communicate(timeout=60)
        assert out.endswith("delivered 360 orders\n"), out + err
        schema = fastavro.parse_schema(json.loads(json.loads(registry.registrations[0].body)["schema"]))
        orders = [message.value() or b"" for message in messages_of(servers, "customer-orders")]
        written = [fastavro.schemaless_reader(io.BytesIO(order[5:]), schema, None) for order in orders]
        for customer in CUSTOMERS:
            assert [each["number"] for each in written if each["customer"] == customer] == list(range(120))
        return letters


def test_given_up_loses_no_order_and_keeps_each_keys_order() -> None:
    ways = ("keep", "pause", "dead-letter")
    with ThreadPoolExecutor(len(ways)) as pool:
        *others, letters = pool.map(given_up, ways)
    assert (others, len(letters) > 100) == ([[], []], True)
    for letter in letters:
        headers = {name: content.decode() for name, content in letter.headers() or []}
        assert headers["source.topic"] == "raw-orders"
        assert headers["error.class"] == "RegistryUnavailableError"
        assert "503" in headers["error.message"]
        assert json.loads(letter.value() or b"")["customer"] == (letter.key() or b"").decode()


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (error(409), "compatibility rule"),
        (error(422, 42201), "does not take the schema"),
        (error(404, 40401), "not registered"),
        (error(401), "credentials"),
        (error(400), "answered 400"),
    ],
)
def test_error_handling_stops_at_a_refusal(
    fault: Fault, advice: str, run: Run, read: Read, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_always(fault, matching=lambda request: request.method == "POST")
    shown = run("error_handling.py", code=1).stdout
    assert advice in shown
    assert shown.endswith("delivered: []\n")
    assert read("orders") == []


def test_error_handling_names_the_configuration_key(run: Run, schema_registry: SchemaRegistryServer) -> None:
    assert "schema.registry.url" in run("error_handling.py", url="localhost:8081", code=2).stdout
    assert schema_registry.requests == []
