"""A user's code, for the type checkers alone: what they must let pass."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from aiokafka import AIOKafkaProducer  # pyright: ignore[reportMissingTypeStubs]
from confluent_kafka import Producer, SerializingProducer
from confluent_kafka.aio import AIOProducer, AsyncSerializingProducer
from confluent_kafka.schema_registry import RegisteredSchema as ConfluentsRegisteredSchema
from confluent_kafka.schema_registry import Schema as ConfluentsSchema
from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentsClient
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from kafka import KafkaProducer

import kafka_sr_retry.confluent
from kafka_sr_retry import (
    AsyncAvroSerializer,
    AsyncAvroSerializerBuilder,
    AsyncSchemaRegistryClient,
    AvroEncodingError,
    AvroSerializer,
    AvroSerializerBuilder,
    ConfigurationError,
    Encoder,
    IncompatibleSchemaError,
    InvalidSchemaError,
    Metadata,
    RegisteredSchema,
    RegistryAuthError,
    RegistryUnavailableError,
    RuleSet,
    Schema,
    SchemaNotFoundError,
    SchemaReference,
    SchemaRegistryClient,
    SchemaRegistryError,
    __version__,
    header_schema_id_serializer,
    prefix_schema_id_serializer,
    record_subject_name_strategy,
    topic_record_subject_name_strategy,
    topic_subject_name_strategy,
)
from kafka_sr_retry.events import AttemptEvent, AttemptStartEvent, Event, GiveUpEvent, RefusalEvent, RetryEvent
from kafka_sr_retry.instrumentation.opentelemetry import OpenTelemetryInstrumentation
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
from kafka_sr_retry.testing import (
    Fault,
    KafkaMockCluster,
    RecordedRequest,
    SchemaRegistryCluster,
    SchemaRegistryServer,
    answer,
    error,
    hang,
    no_leader,
)
from kafka_sr_retry.warming import WarmedTopic, WarmUp

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
URL = {"url": "http://localhost:8081"}
ITEM = SchemaReference("shop.Item", "items-value", 1)
VALUE = SerializationContext("orders", MessageField.VALUE)


@dataclass
class Order:
    id: int


# -- schemas --------------------------------------------------------------------------------------

TEXT = json.dumps(ORDER)
WITH_A_LIST = Schema(TEXT, "AVRO", [ITEM])
WITH_A_TUPLE = Schema(TEXT, references=(ITEM,))
WITH_ALL = Schema(
    TEXT,
    "AVRO",
    None,
    Metadata(tags={"**.mail": ["PII"]}, properties={"owner": "shop"}, sensitive=["owner"]),
    RuleSet(migration_rules=[{"name": "up", "mode": "UPGRADE"}], domain_rules=[]),
)
AS_JSON = Schema(TEXT, metadata={"properties": {"owner": "shop"}}, rule_set={"domainRules": []})
REGISTERED = RegisteredSchema(7, None, "orders-value", 1, WITH_A_LIST)


def parts(schema: Schema) -> tuple[str, str, tuple[SchemaReference, ...], dict[str, Any]]:
    owner: str | None = None
    if schema.metadata is not None and schema.metadata.properties is not None:
        owner = schema.metadata.properties.get("owner")
    at: str | None = None if schema.rule_set is None else schema.rule_set.enable_at
    assert owner or at
    return schema.schema_str, schema.schema_type, schema.references, schema.to_dict()


# -- serializers ----------------------------------------------------------------------------------


def to_dict(order: Order, ctx: SerializationContext | None) -> dict[str, Any]:
    return {"id": order.id}


def strategy(ctx: SerializationContext | None, record_name: str | None) -> str:
    return record_name or "none"


def serializers(client: SchemaRegistryClient) -> Iterator[AvroSerializer]:
    yield AvroSerializer(client, TEXT)
    yield AvroSerializer(client, ORDER, to_dict)
    yield AvroSerializer(client, ["null", ORDER], None, {"normalize.schemas": True})
    yield AvroSerializer(client, Path("order.avsc"), conf={"validate.strict": True})
    yield AvroSerializer(client, WITH_A_LIST, to_dict=lambda order, ctx: {"id": order.id})
    yield AvroSerializer(client, REGISTERED)
    yield AvroSerializer(client, ConfluentsSchema(TEXT, "AVRO"))
    yield AvroSerializer(URL, TEXT)
    yield AvroSerializer(schema_registry_client=URL, conf={"use.latest.version": True, "auto.register.schemas": False})
    for chosen in (
        strategy,
        topic_subject_name_strategy,
        record_subject_name_strategy,
        topic_record_subject_name_strategy,
    ):
        yield AvroSerializer(client, TEXT, conf={"subject.name.strategy": chosen})
    for framing in (prefix_schema_id_serializer, header_schema_id_serializer):
        yield AvroSerializer(client, TEXT, conf={"schema.id.serializer": framing})


def confluents(schema: ConfluentsRegisteredSchema) -> bytes | None:
    with kafka_sr_retry.confluent.SchemaRegistryClient(URL) as client:
        names: list[str] = client.get_subjects()
        theirs: ConfluentsClient = client
        AvroSerializer(client, schema)
        AvroSerializerBuilder(schema_registry_client=client)
        serializer, _ = AvroSerializer.from_config({}, TEXT, schema_registry_client=client)
        return serializer({"names": names, "theirs": theirs}, VALUE)


def messages(conf: dict[str, str | int], either: Order | None) -> None:
    serializer, kafka_conf = AvroSerializer.from_config(conf, ORDER, is_key=True)
    rest: dict[str, Any] = kafka_conf
    message: bytes = serializer({"id": 1}, VALUE)
    without_context: bytes = serializer(Order(1))
    tombstone: None = serializer(None)
    maybe: bytes | None = serializer(either, VALUE)
    producer = Producer(rest)
    producer.produce("orders", maybe or tombstone or message or without_context)
    serializer.set_cluster_id_resolver(lambda: "cluster")
    with serializer as same:
        same.close()


def producers(serializer: AvroSerializer) -> None:
    SerializingProducer({"bootstrap.servers": "localhost:9092", "value.serializer": serializer})
    builder = (
        AvroSerializerBuilder(schema=ORDER, to_dict=to_dict, serializer_config={"normalize.schemas": True})
        .set_schema_registry_config({"url": ["http://a:8081", "http://b:8081"], "event_cb": hear})
        .set_schema(WITH_A_LIST)
        .set_to_dict(to_dict)
        .set_serializer_config({})
        .set_schema_registry_client(SchemaRegistryClient(URL))
    )
    SerializingProducer({"schema.registry.url": "http://localhost:8081", "value.serializer.builder": builder})
    built, rest = builder.build({"linger.ms": 5}, False)
    assert isinstance(built, AvroSerializer)
    assert rest["linger.ms"]

    KafkaProducer(value_serializer=serializer.bind("orders"), key_serializer=serializer.bind(None, MessageField.KEY))
    bound: bytes = serializer.bind()({"id": 1})
    for_a_topic: bytes | None = serializer.bind().serialize("orders", {"id": 1})
    assert bound == for_a_topic


async def aio(either: Order | None) -> None:
    async with AsyncAvroSerializer(URL, ORDER, to_dict, {"normalize.schemas": True}) as serializer:
        message: bytes = await serializer({"id": 1}, VALUE)
        maybe: bytes | None = await serializer(either, VALUE)
        await AIOProducer({"bootstrap.servers": "localhost:9092"}).produce("orders", maybe or message)
        await serializer(None)
        warmed: WarmUp = await serializer.warm_up(["orders"], field=MessageField.KEY, timeout=5, on_progress=progress)
        failed: tuple[WarmedTopic, ...] = warmed.failed
        ready: bool = serializer.knows("orders")
        bound: bytes = serializer.bind("orders")({"id": 1})
        print(failed, ready, bound)
    made = await AsyncAvroSerializer(AsyncSchemaRegistryClient(URL), ORDER)
    await asyncio.wait_for(AIOKafkaProducer(value_serializer=made.bind("orders")).start(), 10)
    await made.aclose()
    builder = AsyncAvroSerializerBuilder(schema=ORDER).set_schema_registry_client(SchemaRegistryClient(URL))
    AsyncSerializingProducer({"value.serializer.builder": builder})
    built, rest = await AsyncAvroSerializerBuilder(schema=ORDER).build({"schema.registry.url": "http://a"}, False)
    value: bytes = await built(Order(1), VALUE)
    print(rest["linger.ms"], value)


def progress(outcome: WarmedTopic, done: int, total: int) -> None:
    error: Exception | None = outcome.error
    subject: str | None = outcome.subject
    print(outcome.topic, subject, error, done / total)


def warm(serializer: AvroSerializer) -> list[str]:
    warmed: WarmUp = serializer.warm_up(iter(["orders"]), on_progress=progress)
    known: bool = serializer.knows("orders", MessageField.KEY)
    encoder: Encoder | None = serializer.encoder("orders", MessageField.KEY)
    kind: Literal["native", "python", "fastavro"] | None = encoder.kind if encoder else None
    print(kind, encoder.why if encoder else "")
    return [outcome.topic for outcome in warmed.outcomes if known]


async def awaited_questions() -> None:
    async with AsyncSchemaRegistryClient(URL) as client:
        schema_id: int = await client.register_schema("orders-value", WITH_A_LIST, timeout=2.5)
        latest: RegisteredSchema = await client.get_latest_version("orders-value")
        schema: Schema = await client.get_schema(schema_id)
        fits: bool = await client.test_compatibility("orders-value", schema, "latest")
        known: int = client.state().known
        print(latest, fits, known)


# -- the client -----------------------------------------------------------------------------------


def questions() -> None:
    with SchemaRegistryClient({**URL, "total.timeout.ms": 5000}) as client:
        schema_id: int = client.register_schema("orders-value", WITH_A_LIST, timeout=2.5)
        registered: RegisteredSchema = client.register_schema_full_response("orders-value", WITH_ALL, True)
        found: RegisteredSchema = client.lookup_schema("orders-value", AS_JSON, deleted=True)
        schema: Schema = client.get_schema(schema_id, subject_name="orders-value")
        latest: RegisteredSchema = client.get_latest_version("orders-value", timeout=1)
        with_metadata: RegisteredSchema = client.get_latest_with_metadata("orders-value", {"owner": "shop"})
        second: RegisteredSchema = client.get_version("orders-value", 2)
        newest: RegisteredSchema = client.get_version("orders-value", "latest")
        fits: bool = client.test_compatibility("orders-value", WITH_A_TUPLE, "latest")
        by_id: RegisteredSchema = client.get_registered(7)
        subjects: tuple[str, ...] = client.get_associated_subjects("orders", "-", "value")
        version: int | None = registered.version
        guid: str | None = latest.guid
        subject: str | None = found.subject
        conf: dict[str, Any] = client.config()
        state = client.state()
        known: int = state.known
        waiting: int = state.waiting
        for endpoint in state.endpoints:
            print(endpoint, schema, with_metadata, second, newest, fits, by_id, subjects, version, guid, subject)
        print(conf, known, waiting, __version__)
        client.clear_caches()
        client.close()


# -- events ---------------------------------------------------------------------------------------


def hear(event: Event) -> None:
    call: int = event.call
    if isinstance(event, AttemptStartEvent):
        event.headers["traceparent"] = "00-1"
    elif isinstance(event, AttemptEvent):
        status: int | None = event.status
        took: float = event.seconds
        print(call, event.operation, event.asked, status, took, event.body_sha256)
    elif isinstance(event, RetryEvent):
        print(event.round, event.wait)
    elif isinstance(event, RefusalEvent | GiveUpEvent):
        print(event.reason, event.attempts)


LISTENING = SchemaRegistryClient(
    {**URL, "event_cb": [hear, print, PrometheusInstrumentation(), OpenTelemetryInstrumentation()]}
)

# -- errors ---------------------------------------------------------------------------------------


def judge(serializer: AvroSerializer) -> str | float | None:
    try:
        serializer({"id": "one"}, VALUE)
    except AvroEncodingError as bad:
        return bad.field_path + bad.expected + bad.actual
    except RegistryUnavailableError as away:
        seconds: float | None = away.retry_after
        return seconds
    except (IncompatibleSchemaError, InvalidSchemaError, SchemaNotFoundError, RegistryAuthError) as refused:
        status: int | None = refused.http_status_code
        code: int = refused.error_code
        return f"{status} {code} {refused.error_message} {refused.url}"
    except SchemaRegistryError as other:
        again: bool = other.retriable
        attempts: int = other.attempts
        return f"{again} {attempts}"
    except ConfigurationError as wrong:
        key: str | None = wrong.key
        return key
    except SerializationError as any_other:
        return str(any_other)
    return None


# -- tests of one's own ---------------------------------------------------------------------------


@pytest.fixture
def registry() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer() as server:
        yield server


def test_an_outage(registry: SchemaRegistryServer, kafka_cluster: KafkaMockCluster) -> None:
    fault: Fault = no_leader()
    registry.fail_next(fault, error(503), hang(1), answer(200, "<html>", "text/html"))
    requests: list[RecordedRequest] = registry.requests
    body: bytes = requests[0].body
    assert kafka_cluster.bootstrap_servers
    assert (registry.url, body) == (requests[0].path, b"")


def test_a_leaders_death(now: float) -> None:
    with SchemaRegistryCluster(after_kill=1, follower_eligible=False, clock=lambda: now) as cluster:
        first, _ = cluster.nodes
        dead: SchemaRegistryServer = cluster.kill_leader()
        cluster.restart(dead, lag=0.5)
        took_over: float | None = cluster.took_over
        assert (first.url, took_over, cluster.leader.requests) == (cluster.url, None, [])
