"""What the client makes of each registry: those that Maven has, or the one that the environment names."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import SerializingProducer
from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentClient
from confluent_kafka.serialization import MessageField, SerializationContext
from conftest import OWN_STACK
from stack import StackError, registries
from test_produce import ORDERS, order_schema, read_back
from typer.testing import CliRunner

from kafka_sr_retry import (
    AvroSerializer,
    IncompatibleSchemaError,
    InvalidSchemaError,
    Schema,
    SchemaNotFoundError,
    SchemaReference,
    SchemaRegistryClient,
)
from kafka_sr_retry.cli.app import app
from kafka_sr_retry.testing import SchemaRegistryServer, drop_body, no_leader

ITEM = Schema('{"type":"record","name":"Item","namespace":"shop","fields":[{"name":"id","type":"long"}]}')
OTHER_ITEM = Schema(ITEM.schema_str.replace("long", "string"))
NEXT_ITEM = Schema(ITEM.schema_str.replace("]}", ',{"name":"price","type":"double","default":0}]}'))
LIST = '{"type":"record","name":"List","namespace":"shop","fields":[{"name":"item","type":"shop.Item"}]}'


@pytest.fixture(scope="module", params=["stack", *(() if OWN_STACK else registries.APICURIO)])
def registry_url(request: pytest.FixtureRequest, registry_url: str) -> Iterator[str]:
    if request.param == "stack":
        yield registry_url
        return
    try:
        with registries.apicurio(request.param) as url:
            yield url
    except StackError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture
def client(registry_url: str) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry_url}) as made:
        yield made


@pytest.fixture
def subject(client: SchemaRegistryClient) -> str:
    name = f"items-{uuid.uuid4()}-value"
    with ConfluentClient(client.config()) as admin:
        admin.set_compatibility(name, "BACKWARD")
    return name


def refused(error: pytest.ExceptionInfo[SchemaNotFoundError]) -> tuple[int | None, int | None]:
    return error.value.http_status_code, error.value.error_code


def same(one: Schema, other: Schema) -> bool:
    return bool(json.loads(one.schema_str) == json.loads(other.schema_str))


def test_a_schema_has_one_id_however_often_it_is_registered(
    client: SchemaRegistryClient, registry_url: str, subject: str
) -> None:
    given = client.register_schema(subject, ITEM)

    with SchemaRegistryClient({"url": registry_url}) as another:
        assert another.register_schema(subject, ITEM) == given
        assert same(another.get_schema(given), ITEM)


def test_a_look_up_tells_where_a_schema_is(client: SchemaRegistryClient, subject: str) -> None:
    given = client.register_schema(subject, ITEM)
    found = client.lookup_schema(subject, ITEM)

    assert (found.subject, found.version, found.schema_id) == (subject, 1, given)


def test_versions_follow_each_other(client: SchemaRegistryClient, subject: str) -> None:
    first, second = (client.register_schema(subject, schema) for schema in (ITEM, NEXT_ITEM))
    latest = client.get_latest_version(subject)

    assert first != second
    assert client.get_version(subject, 1).schema_id == first
    assert (latest.version, latest.schema_id) == (2, second)
    assert latest.schema is not None
    assert same(latest.schema, NEXT_ITEM)


def test_an_incompatible_schema_is_refused(client: SchemaRegistryClient, subject: str) -> None:
    client.register_schema(subject, ITEM)

    assert client.test_compatibility(subject, NEXT_ITEM)
    assert not client.test_compatibility(subject, OTHER_ITEM)
    with pytest.raises(IncompatibleSchemaError) as caught:
        client.register_schema(subject, OTHER_ITEM)
    assert caught.value.http_status_code == 409


def test_an_invalid_schema_is_refused(client: SchemaRegistryClient, subject: str) -> None:
    with pytest.raises(InvalidSchemaError) as caught:
        client.register_schema(subject, Schema('{"type":"nonsense"}'))
    assert (caught.value.http_status_code, caught.value.error_code) == (422, 42201)


def test_what_is_not_there_is_told(client: SchemaRegistryClient, subject: str) -> None:
    client.register_schema(subject, ITEM)

    with pytest.raises(SchemaNotFoundError) as caught:
        client.lookup_schema("nobody-value", ITEM)
    assert refused(caught) == (404, 40401)
    with pytest.raises(SchemaNotFoundError) as caught:
        client.get_latest_version("nobody-value")
    assert refused(caught) == (404, 40401)
    with pytest.raises(SchemaNotFoundError) as caught:
        client.get_version(subject, 77)
    assert refused(caught) == (404, 40402)
    for ask in (lambda: client.lookup_schema(subject, OTHER_ITEM), lambda: client.get_schema(2**31 - 1)):
        with pytest.raises(SchemaNotFoundError) as caught:
            ask()
        assert refused(caught) == (404, 40403)


def test_a_wrong_path_is_told(registry_url: str) -> None:
    with SchemaRegistryClient({"url": f"{registry_url}/nowhere"}) as lost, pytest.raises(SchemaNotFoundError) as caught:
        lost.register_schema("items-value", ITEM)
    assert caught.value.http_status_code == 404


def test_a_schema_may_refer_to_another(client: SchemaRegistryClient, subject: str) -> None:
    client.register_schema(subject, ITEM)
    schema = Schema(LIST, references=[SchemaReference("shop.Item", subject, 1)])
    given = client.register_schema(f"list-{subject}", schema)

    assert client.lookup_schema(f"list-{subject}", schema).schema_id == given
    assert list(client.get_schema(given).references) == list(schema.references)
    message = AvroSerializer(client, schema)({"item": {"id": 1}}, SerializationContext(f"list-{subject}"[:-6], "value"))
    assert message == b"\0" + given.to_bytes(4, "big") + b"\2"
    with pytest.raises(InvalidSchemaError):
        client.register_schema(subject, Schema(LIST, references=[SchemaReference("shop.Item", "nobody", 1)]))


def test_no_associations_are_no_subjects(client: SchemaRegistryClient) -> None:
    assert client.get_associated_subjects("items", "cluster", "value") == ()


def test_a_schema_that_is_there_is_used(client: SchemaRegistryClient, subject: str) -> None:
    given = client.register_schema(subject, ITEM)
    context = SerializationContext(subject.removesuffix("-value"), MessageField.VALUE)

    for conf in ({}, {"use.latest.version": True}, {"use.schema.id": given}):
        serializer = AvroSerializer(client, None if conf else ITEM, conf={"auto.register.schemas": False, **conf})
        assert serializer({"id": 1}, context) == b"\0" + given.to_bytes(4, "big") + b"\2"


def test_a_lost_body_is_seen_and_the_next_url_asked(
    proxy: SchemaRegistryServer, registry_url: str, client: SchemaRegistryClient, subject: str
) -> None:
    proxy.fail_always(drop_body())
    with SchemaRegistryClient({"url": [proxy.url, registry_url]}) as through:
        given = through.register_schema(subject, ITEM)
    assert client.register_schema(subject, ITEM) == given
    assert len(proxy.requests) == 1
    with (
        SchemaRegistryClient({"url": proxy.url}) as alone,
        pytest.raises(InvalidSchemaError, match="drops request bod"),
    ):
        alone.register_schema(subject, ITEM)


def test_messages_arrive_that_met_no_leader(
    kafka_bootstrap_servers: str, proxy: SchemaRegistryServer, registry_url: str
) -> None:
    topic = f"orders-{uuid.uuid4().hex[:8]}"
    proxy.fail_next(no_leader())
    producer = SerializingProducer(
        {
            "bootstrap.servers": kafka_bootstrap_servers,
            "key.serializer": AvroSerializer({"url": proxy.url}, '"string"'),
            "value.serializer": AvroSerializer({"url": proxy.url}, order_schema()),
        }
    )
    for order in ORDERS:
        producer.produce(topic, order["id"], order)
    assert producer.flush(30) == 0

    assert read_back(kafka_bootstrap_servers, registry_url, topic, len(ORDERS)) == [(o["id"], o) for o in ORDERS]
    assert len(proxy.registrations) == 3


def test_check_finds_it_well(registry_url: str) -> None:
    result = CliRunner().invoke(app, ["check", "--json", "--write", registry_url])

    assert json.loads(result.stdout)["problems"] == []
