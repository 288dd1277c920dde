"""Through each kind of producer, records reach Kafka whole, and Confluent's deserializer gives them back."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer, SerializingProducer
from confluent_kafka.aio import AIOProducer, AsyncSerializingProducer
from confluent_kafka.error import KeySerializationError, ValueSerializationError
from confluent_kafka.schema_registry import AsyncSchemaRegistryClient as ConfluentAsyncClient
from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentClient
from confluent_kafka.schema_registry import header_schema_id_serializer as confluents_header
from confluent_kafka.schema_registry.avro import AsyncAvroSerializer as ConfluentAsyncSerializer
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.error import SchemaRegistryError as ConfluentError
from confluent_kafka.serialization import MessageField, SerializationContext, StringSerializer
from topics import messages_of

from kafka_sr_retry import (
    AsyncAvroSerializer,
    AsyncAvroSerializerBuilder,
    AvroEncodingError,
    AvroSerializer,
    AvroSerializerBuilder,
    ConfigurationError,
    IncompatibleSchemaError,
    RegistryUnavailableError,
    SchemaRegistryClient,
    header_schema_id_serializer,
)
from kafka_sr_retry.testing import (
    Exchange,
    Fault,
    KafkaMockCluster,
    SchemaRegistryServer,
    error,
    no_leader,
    retry_after,
)

KEY = {"type": "record", "name": "OrderKey", "fields": [{"name": "customer", "type": "string"}]}
ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "prices", "type": {"type": "array", "items": "double"}},
    ],
}
ORDERS = [
    {"id": 1, "note": None, "prices": []},
    {"id": 2, "note": "grüße", "prices": [1.5, -0.0]},
    {"id": -(2**63), "note": "", "prices": [float(i) for i in range(100)]},
]
MISFIT = {"id": "x", "note": None, "prices": []}


class Kafka:
    """The cluster, and a topic of this test's own."""

    def __init__(self, cluster: KafkaMockCluster, registry: SchemaRegistryServer) -> None:
        self.servers = cluster.bootstrap_servers
        self.topic = f"orders-{uuid.uuid4().hex}"
        self.registry = registry

    def conf(self, **more: Any) -> dict[str, Any]:
        return {"bootstrap.servers": self.servers, "schema.registry.url": self.registry.url, **more}

    def raw(self) -> list[Any]:
        return messages_of(self.servers, self.topic)

    def values(self) -> list[Any]:
        return [value for _, value in self.records()]

    def records(self) -> list[tuple[Any, Any]]:
        """(key, value) as Confluent's deserializer reads them."""
        with ConfluentClient({"url": self.registry.url}) as client:
            read = AvroDeserializer(client)

            def decoded(data: Any, field: MessageField, headers: Any) -> Any:
                return read(data, SerializationContext(self.topic, field, headers))

            records = [
                (decoded(m.key(), MessageField.KEY, m.headers()), decoded(m.value(), MessageField.VALUE, m.headers()))
                for m in self.raw()
            ]
        return sorted(records, key=lambda record: [order["id"] for order in ORDERS].index(record[1]["id"]))


@pytest.fixture
def kafka(kafka_cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer) -> Kafka:
    return Kafka(kafka_cluster, schema_registry)


def builder(**more: Any) -> AvroSerializerBuilder:
    return AvroSerializerBuilder(schema=ORDER, **more)


# -- SerializingProducer, ready-made -----------------------------------------------------------


def test_serializing_producer_with_ready_made_serializers(kafka: Kafka) -> None:
    with SchemaRegistryClient({"url": kafka.registry.url}) as client:
        producer = SerializingProducer(
            {
                "bootstrap.servers": kafka.servers,
                "key.serializer": AvroSerializer(client, KEY),
                "value.serializer": AvroSerializer(client, ORDER),
            }
        )
        for order in ORDERS:
            producer.produce(kafka.topic, key={"customer": "a"}, value=order)
        assert producer.flush(30) == 0
    assert kafka.records() == [({"customer": "a"}, order) for order in ORDERS]


def test_a_tombstone_stays_one(kafka: Kafka) -> None:
    with SerializingProducer(kafka.conf(**{"value.serializer.builder": builder()})) as producer:
        producer.produce(kafka.topic, key="gone", value=None)
    (message,) = kafka.raw()
    assert (message.key(), message.value()) == (b"gone", None)
    assert kafka.registry.requests == []


@pytest.mark.parametrize("write", [header_schema_id_serializer, confluents_header])
def test_ids_in_headers_reach_the_consumer(kafka_cluster: KafkaMockCluster, write: Any) -> None:
    with SchemaRegistryServer(full_answers=True) as registry:
        kafka = Kafka(kafka_cluster, registry)
        conf = kafka.conf(**{"value.schema.id.serializer": write, "value.serializer.builder": builder()})
        with SerializingProducer(conf) as producer:
            for order in ORDERS[1:]:  # Confluent's deserializer refuses payloads under six bytes
                producer.produce(kafka.topic, value=order, headers=[])
        assert kafka.values() == ORDERS[1:]
        assert {tuple(name for name, _ in message.headers()) for message in kafka.raw()} == {("__value_schema_id",)}


# -- SerializingProducer, builders -------------------------------------------------------------


def test_builders_for_key_and_value_read_one_dict(kafka: Kafka) -> None:
    conf = kafka.conf(
        **{
            "key.subject.name.strategy.type": "RECORD",
            "value.subject.name.strategy.type": "TOPIC_RECORD",
            "schema.registry.max.retries": 3,
            "auto.register.schemas": True,
            "key.serializer.builder": AvroSerializerBuilder(schema=KEY),
            "value.serializer.builder": builder(),
        }
    )
    given = dict(conf)
    with SerializingProducer(conf) as producer:
        for order in ORDERS:
            producer.produce(kafka.topic, key={"customer": "a"}, value=order)
    assert conf == given
    paths = [request.path for request in kafka.registry.registrations]
    assert kafka.records() == [({"customer": "a"}, order) for order in ORDERS]
    assert paths == ["/subjects/OrderKey/versions", f"/subjects/{kafka.topic}-shop.Order/versions"]


def test_a_builder_beside_a_serializer_of_another_kind(kafka: Kafka) -> None:
    conf = kafka.conf(**{"key.serializer": StringSerializer(), "value.serializer.builder": builder()})
    with SerializingProducer(conf) as producer:
        producer.produce(kafka.topic, key="a", value=ORDERS[0])
    assert [message.key() for message in kafka.raw()] == [b"a"]


def test_what_the_builder_was_given_goes_before_the_dict(kafka: Kafka) -> None:
    conf = kafka.conf(
        **{
            "schema.registry.url": "http://127.0.0.1:1",
            "subject.name.strategy.type": "TOPIC",
            "value.serializer.builder": builder(
                schema_registry_config={"url": kafka.registry.url},
                serializer_config={"subject.name.strategy.type": "RECORD"},
            ),
        }
    )
    with SerializingProducer(conf) as producer:
        producer.produce(kafka.topic, value=ORDERS[0])
    (request,) = kafka.registry.requests
    assert request.path == "/subjects/shop.Order/versions"


def test_the_builders_setters_chain(kafka: Kafka) -> None:
    chained = (
        AvroSerializerBuilder()
        .set_schema_registry_config({"url": kafka.registry.url})
        .set_schema(json.dumps(ORDER))
        .set_to_dict(lambda number, ctx: ORDERS[number])
        .set_serializer_config({"subject.name.strategy.type": "RECORD"})
    )
    with SerializingProducer({"bootstrap.servers": kafka.servers, "value.serializer.builder": chained}) as producer:
        producer.produce(kafka.topic, value=1)
    assert kafka.values() == [ORDERS[1]]


def test_builders_can_share_a_client_that_stays_open(kafka: Kafka) -> None:
    with SchemaRegistryClient({"url": kafka.registry.url}) as client:
        shared = AvroSerializerBuilder().set_schema_registry_client(client).set_schema(ORDER)
        for _ in range(2):
            with SerializingProducer(
                {"bootstrap.servers": kafka.servers, "value.serializer.builder": shared}
            ) as producer:
                producer.produce(kafka.topic, value=ORDERS[0])
        assert len(kafka.registry.requests) == 1
        assert client.get_latest_version(f"{kafka.topic}-value").schema_id == 1


def test_the_producer_closes_the_client_that_the_builder_made(kafka: Kafka) -> None:
    built: list[AvroSerializer] = []

    class Watched(AvroSerializerBuilder):
        def build(self, conf: Any, is_key: bool) -> Any:
            serializer, rest = super().build(conf, is_key)
            built.append(serializer)
            return serializer, rest

    conf = kafka.conf(**{"value.serializer.builder": Watched(schema=ORDER)})
    with SerializingProducer(conf) as producer:
        producer.produce(kafka.topic, value=ORDERS[0])
    with pytest.raises(RegistryUnavailableError, match="closed"):
        built[0](ORDERS[0], SerializationContext("other", MessageField.VALUE))


@pytest.mark.parametrize(
    ("given", "named"),
    [({"schema.registry.max.retrys": 1}, "max.retries"), ({"schema.registry.url": "localhost:8081"}, "http://")],
)
def test_a_producer_with_wrong_settings_is_not_made(given: dict[str, Any], named: str, kafka: Kafka) -> None:
    with pytest.raises(ConfigurationError, match=named):
        SerializingProducer(kafka.conf(**{"value.serializer.builder": builder()}, **given) | given)
    assert kafka.registry.requests == []


OLDER = """
import sys
import confluent_kafka.serialization
del confluent_kafka.serialization.SerializerBuilder
import kafka_sr_retry
from confluent_kafka import Producer
from confluent_kafka.serialization import SerializationContext
try:
    kafka_sr_retry.AvroSerializerBuilder(schema='"long"')
except kafka_sr_retry.ConfigurationError as error:
    assert "from_config" in str(error), error
else:
    sys.exit("no error")
conf = {"bootstrap.servers": sys.argv[1], "schema.registry.url": sys.argv[2]}
serializer, rest = kafka_sr_retry.AvroSerializer.from_config(conf, '"long"')
producer = Producer(rest)
producer.produce(sys.argv[3], serializer(21, SerializationContext(sys.argv[3], "value")))
sys.exit(producer.flush(30))
"""


def in_a_process(code: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], timeout=120, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_an_older_confluent_kafka_has_no_builders_and_all_the_rest(kafka: Kafka) -> None:
    in_a_process(OLDER, kafka.servers, kafka.registry.url, kafka.topic)
    assert [message.value() for message in kafka.raw()] == [b"\0\0\0\0\1\x2a"]


# -- Producer ----------------------------------------------------------------------------------


def test_plain_producer_from_one_dict(kafka: Kafka) -> None:
    conf = kafka.conf(**{"value.normalize.schemas": True, "linger.ms": 1})
    with SchemaRegistryClient({"url": kafka.registry.url}) as client:
        make_key, rest = AvroSerializer.from_config(conf, KEY, is_key=True, schema_registry_client=client)
        make_value, same = AvroSerializer.from_config(conf, ORDER, schema_registry_client=client)
        assert rest == same == {"bootstrap.servers": kafka.servers, "linger.ms": 1}
        producer = Producer(rest)
        for order in ORDERS:
            key = make_key({"customer": "a"}, SerializationContext(kafka.topic, MessageField.KEY))
            value = make_value(order, SerializationContext(kafka.topic, MessageField.VALUE))
            producer.produce(kafka.topic, key=key, value=value)
        assert producer.flush(30) == 0
    paths = [request.path for request in kafka.registry.registrations]
    assert kafka.records() == [({"customer": "a"}, order) for order in ORDERS]
    assert paths == [f"/subjects/{kafka.topic}-key/versions", f"/subjects/{kafka.topic}-value/versions?normalize=true"]


def test_from_config_owns_the_client_it_makes(kafka: Kafka) -> None:
    serializer, _ = AvroSerializer.from_config(kafka.conf(), ORDER)
    serializer.close()
    with pytest.raises(RegistryUnavailableError, match="closed"):
        serializer(ORDERS[0], SerializationContext(kafka.topic, MessageField.VALUE))


# -- kafka-python and aiokafka -----------------------------------------------------------------

KAFKA_PYTHON = """
import json, sys
from contextlib import closing
from kafka_sr_retry import AvroEncodingError, AvroSerializer, ConfigurationError
from confluent_kafka.serialization import MessageField
servers, url, topic, key_schema, schema, orders = sys.argv[1:]
with AvroSerializer({"url": url}, schema) as values, AvroSerializer({"url": url}, key_schema) as keys:
    of_one, of_each = values.bind(topic), keys.bind(field=MessageField.KEY)
    import kafka
    made = kafka.KafkaProducer(
        bootstrap_servers=servers, api_version=(2, 3), value_serializer=of_one, key_serializer=of_each
    )
    with closing(made) as producer:
        for order in json.loads(orders):
            producer.send(topic, key={"customer": "a"}, value=order).get(timeout=30)
        for topic, key, value, expected in (
            (topic + "2", {"customer": "a"}, order, ConfigurationError),
            (topic, {"customer": 5}, order, AvroEncodingError),
            (topic, {"customer": "a"}, {}, AvroEncodingError),
        ):
            try:
                producer.send(topic, key=key, value=value)
            except expected as error:
                print(error)
            else:
                sys.exit(f"{value} was sent to {topic}")
"""


def test_kafka_python_through_bind(kafka: Kafka) -> None:
    # In a process of its own: kafka-python is not free of the warnings that are errors here.
    texts = [json.dumps(each) for each in (KEY, ORDER, ORDERS)]
    in_a_process(KAFKA_PYTHON, kafka.servers, kafka.registry.url, kafka.topic, *texts)
    assert kafka.records() == [({"customer": "a"}, order) for order in ORDERS]
    subjects = [request.path.split("/")[2].removeprefix(kafka.topic) for request in kafka.registry.registrations]
    assert subjects == ["-key", "-value", "2-key"]


def test_aiokafka_through_bind(kafka: Kafka) -> None:
    async def send(orders: Sequence[dict[str, Any]], serializer: AvroSerializer) -> None:
        async with AIOKafkaProducer(
            bootstrap_servers=kafka.servers, value_serializer=serializer.bind(kafka.topic)
        ) as producer:
            with pytest.raises(AvroEncodingError):
                await producer.send_and_wait(kafka.topic, MISFIT)
            for order in orders:
                await producer.send_and_wait(kafka.topic, order)

    with AvroSerializer({"url": kafka.registry.url}, ORDER) as serializer:
        asyncio.run(send(ORDERS, serializer))
    assert kafka.values() == ORDERS


FASTSTREAM = """
import asyncio, sys
servers, topic = sys.argv[1:]
from faststream.kafka import KafkaBroker
seen = []
def serializer(value):
    seen.append(value)
    return value
async def main():
    async with KafkaBroker(servers, value_serializer=serializer) as broker:
        await broker.publish({"id": 1}, topic)
asyncio.run(main())
if seen != [b'{"id":1}']:
    sys.exit(f"{seen}")
"""


def test_faststream_has_written_json_before_a_value_serializer_is_called(kafka: Kafka) -> None:
    in_a_process(FASTSTREAM, kafka.servers, kafka.topic)


# -- failures ----------------------------------------------------------------------------------


@pytest.fixture
def producer(kafka: Kafka) -> Iterator[SerializingProducer]:
    conf = kafka.conf(**{"schema.registry.max.retries": 3, "value.serializer.builder": builder()})
    with SerializingProducer(conf) as made:
        yield made


def test_no_leader_twice_and_the_message_is_in_kafka(kafka: Kafka, producer: SerializingProducer) -> None:
    kafka.registry.fail_next(no_leader(), no_leader())
    producer.produce(kafka.topic, value=ORDERS[0])
    assert producer.flush(30) == 0
    bodies = [request.body for request in kafka.registry.requests]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert kafka.values() == ORDERS[:1]


def test_an_object_that_does_not_fit_never_reaches_kafka(kafka: Kafka, producer: SerializingProducer) -> None:
    with pytest.raises(ValueSerializationError) as caught:
        producer.produce(kafka.topic, value=MISFIT)
    misfit = caught.value.exception
    assert isinstance(misfit, AvroEncodingError)
    assert misfit.field_path == "id"
    producer.produce(kafka.topic, value=ORDERS[0])
    assert producer.flush(30) == 0
    assert kafka.values() == ORDERS[:1]


def test_a_key_that_does_not_fit_never_reaches_kafka(kafka: Kafka) -> None:
    conf = kafka.conf(
        **{"key.serializer.builder": AvroSerializerBuilder(schema=KEY), "value.serializer.builder": builder()}
    )
    with SerializingProducer(conf) as producer:
        with pytest.raises(KeySerializationError) as caught:
            producer.produce(kafka.topic, key={"customer": 5}, value=ORDERS[0])
        assert isinstance(caught.value.exception, AvroEncodingError)
        assert caught.value.exception.field_path == "customer"
        assert len(producer) == 0
    assert kafka.raw() == []


def test_an_outage_is_told_with_the_time_to_ask_again(kafka: Kafka, producer: SerializingProducer) -> None:
    order = json.loads(json.dumps(ORDERS[1]))
    kafka.registry.fail_next(retry_after(3600))
    with pytest.raises(ValueSerializationError) as caught:
        producer.produce(kafka.topic, value=order)
    unavailable = caught.value.exception
    assert isinstance(unavailable, RegistryUnavailableError)
    assert unavailable.retriable
    assert unavailable.retry_after is not None
    assert unavailable.retry_after > 3000
    assert order == ORDERS[1]
    assert len(producer) == 0


def test_after_a_refusal_the_same_object_goes_through(kafka: Kafka, producer: SerializingProducer) -> None:
    order = json.loads(json.dumps(ORDERS[1]))
    kafka.registry.fail_next(error(401))
    with pytest.raises(ValueSerializationError, match="401"):
        producer.produce(kafka.topic, value=order)
    assert order == ORDERS[1]
    producer.produce(kafka.topic, value=order)
    assert producer.flush(30) == 0
    assert kafka.values() == [order]


def test_after_an_outage_the_same_object_goes_through(kafka: Kafka) -> None:
    order = json.loads(json.dumps(ORDERS[1]))
    conf = kafka.conf(**{"schema.registry.max.retries": 0, "value.serializer.builder": builder()})
    with SerializingProducer(conf) as producer:
        kafka.registry.close()
        with pytest.raises(ValueSerializationError) as caught:
            producer.produce(kafka.topic, value=order)
        assert isinstance(caught.value.exception, RegistryUnavailableError)
        assert order == ORDERS[1]
        assert len(producer) == 0
        kafka.registry.start()
        producer.produce(kafka.topic, value=order)
    assert kafka.values() == [order]


def test_the_wrapped_error_is_confluents_too(kafka: Kafka, producer: SerializingProducer) -> None:
    kafka.registry.incompatible(f"{kafka.topic}-value")
    for _ in range(2):  # the second is a remembered refusal
        with pytest.raises(ValueSerializationError) as caught:
            producer.produce(kafka.topic, value=ORDERS[0])
        refusal = caught.value.exception
        assert isinstance(refusal, ConfluentError)
        assert (refusal.http_status_code, refusal.error_code) == (409, 409)
        assert not isinstance(refusal, (ValueError, TypeError))


def test_the_wrapped_error_is_ours_whole(kafka: Kafka, producer: SerializingProducer) -> None:
    kafka.registry.incompatible(f"{kafka.topic}-value")
    with pytest.raises(ValueSerializationError) as caught:
        producer.produce(kafka.topic, value=ORDERS[0])
    refusal = caught.value.exception
    assert isinstance(refusal, IncompatibleSchemaError)
    assert (refusal.http_status_code, refusal.error_code, refusal.attempts) == (409, 409, 1)
    assert not refusal.retriable
    assert refusal.url == kafka.registry.url
    assert "incompatible" in refusal.error_message
    assert f"{kafka.topic}-value" in str(refusal)


def test_confluents_producers_for_an_event_loop(
    schema_registry: SchemaRegistryServer, kafka_cluster: KafkaMockCluster
) -> None:
    async def main() -> None:
        brokers = {"bootstrap.servers": kafka_cluster.bootstrap_servers}
        serializer = AsyncAvroSerializer({"url": schema_registry.url}, '"string"')
        async with serializer:
            producer = AIOProducer(brokers)
            sent = await producer.produce(
                "aio", await serializer("tea", SerializationContext("aio", MessageField.VALUE))
            )
            await producer.flush()
            assert (await sent).value() == b"\0\0\0\0\1\6tea"
            await producer.close()
        builder = AsyncAvroSerializerBuilder(schema='"string"')
        both = await AsyncSerializingProducer(
            {
                **brokers,
                **{f"schema.registry.{key}": value for key, value in {"url": schema_registry.url}.items()},
                "key.serializer.builder": builder,
                "value.serializer.builder": builder,
            }
        )
        sent = await both.produce("aio", key="k", value="tea")
        await both.flush()
        message = await sent
        assert (message.key(), message.value()) == (b"\0\0\0\0\1\2k", b"\0\0\0\0\1\6tea")
        await both.close()

    asyncio.run(asyncio.wait_for(main(), 60))
    assert [request.path for request in schema_registry.requests] == [
        f"/subjects/aio-{field}/versions" for field in ("value", "key", "value")
    ]


def test_async_serializing_producer_with_ready_made_serializers(kafka: Kafka) -> None:
    async def main() -> None:
        async with AsyncAvroSerializer({"url": kafka.registry.url}, ORDER) as serializer:
            producer = await AsyncSerializingProducer(
                {"bootstrap.servers": kafka.servers, "value.serializer": serializer}
            )
            async with producer:
                for order in ORDERS:
                    await producer.produce(kafka.topic, value=order)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert kafka.values() == ORDERS


# -- beside Confluent's on an event loop -------------------------------------------------------


@asynccontextmanager
async def mine(url: str) -> AsyncIterator[Any]:
    async with AsyncAvroSerializer({"url": url}, ORDER) as serializer:
        yield serializer


@asynccontextmanager
async def confluents(url: str) -> AsyncIterator[Any]:
    async with ConfluentAsyncClient({"url": url}) as client:
        conf = {"subject.name.strategy.type": "TOPIC"}
        yield await ConfluentAsyncSerializer(client, json.dumps(ORDER), conf=conf)


@pytest.mark.parametrize(("make", "together"), [(mine, 5), (confluents, 1)])
def test_new_subjects_are_asked_for_together_and_by_confluents_one_after_another(
    schema_registry: SchemaRegistryServer, make: Any, together: int
) -> None:
    here, most = threading.Condition(), [0, 0]

    def play(exchange: Exchange) -> None:
        with here:
            most[:] = most[0] + 1, max(most[1], most[0] + 1)
            here.notify_all()
            here.wait_for(lambda: most[1] >= together, 60)
        exchange.send(exchange.real_answer())
        with here:
            most[0] -= 1

    schema_registry.fail_always(Fault("crowd", play))

    async def main() -> None:
        topics = [SerializationContext(f"orders-{n}", MessageField.VALUE) for n in range(5)]
        async with make(schema_registry.url) as serializer:
            await asyncio.gather(*(serializer(ORDERS[0], topic) for topic in topics))

    asyncio.run(asyncio.wait_for(main(), 120))
    assert most[1] == together
    assert len(schema_registry.requests) == 5


@pytest.mark.parametrize(("make", "requests"), [(mine, 1), (confluents, 2)])
def test_a_request_outlives_the_task_that_is_cancelled_and_not_with_confluents(
    schema_registry: SchemaRegistryServer, make: Any, requests: int
) -> None:
    come = threading.Event()

    def play(exchange: Exchange) -> None:
        assert come.wait(60)
        exchange.send(exchange.real_answer())

    schema_registry.fail_next(Fault("held", play))

    async def main() -> None:
        ctx = SerializationContext("orders", MessageField.VALUE)
        async with make(schema_registry.url) as serializer:
            message = asyncio.ensure_future(serializer(ORDERS[0], ctx))
            while not schema_registry.requests:
                await asyncio.sleep(0.01)
            message.cancel()
            await asyncio.wait([message])
            come.set()
            await serializer(ORDERS[0], ctx)

    asyncio.run(asyncio.wait_for(main(), 120))
    assert len(schema_registry.requests) == requests


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_from_avro_producer_the_bytes_stay(
    schema_registry: SchemaRegistryServer, kafka_cluster: KafkaMockCluster
) -> None:
    page = (Path(__file__).parents[2] / "docs/migration.md").read_text()
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def before" in each)
    names: dict[str, Any] = {}
    schema = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'
    exec(code, names)
    for way in ("before", "after"):
        names[way](kafka_cluster.bootstrap_servers, schema_registry.url, schema, {"id": 7})
    first, second = messages_of(kafka_cluster.bootstrap_servers, "orders")
    assert first.value() == second.value() == b"\0\0\0\0\1\x0e"
