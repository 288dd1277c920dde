"""Confluent's client, serializers and admin calls over this transport, with faults between them."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import confluent_kafka.schema_registry as confluent
import confluent_kafka.serialization
import pytest
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from servers import RawServer

import kafka_sr_retry
from kafka_sr_retry import ConfigurationError, SchemaRegistryError, errors
from kafka_sr_retry.confluent import SchemaRegistryClient
from kafka_sr_retry.testing import Fault, SchemaRegistryServer, answer, error, html, no_leader, reset, truncate

AVRO = '{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"}]}'
JSON = '{"type":"object","title":"Order","properties":{"id":{"type":"integer"}},"required":["id"]}'
ONE = {"id": 1}
TOPIC = {"subject.name.strategy": confluent.topic_subject_name_strategy}
"""By default newer ones ask for the topic's associations first."""
ORDERS = SerializationContext("orders", MessageField.VALUE)

HAS_RULES = hasattr(confluent, "RuleSet")
needs_rules = pytest.mark.skipif(not HAS_RULES, reason="this confluent-kafka knows no rules")

FAULTS: dict[str, list[Fault]] = {
    "no leader twice": [no_leader(), no_leader()],
    "unavailable twice": [error(503), error(503)],
    "a page and a reset": [html(502), reset()],
    "cut off, and not JSON": [truncate(), answer(200, "<html>welcome</html>", "text/html")],
}


@pytest.fixture(params=FAULTS)
def faults(request: pytest.FixtureRequest) -> list[Fault]:
    return FAULTS[request.param]


@pytest.fixture
def client(schema_registry: SchemaRegistryServer) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": schema_registry.url, "retries.wait.ms": 5}) as made:
        yield made


def avro(text: str = AVRO, **more: Any) -> Any:
    return confluent.Schema(text, "AVRO", **more)


def protobuf_order() -> Any:
    """The class of ``message Order { int64 id = 1; }``, compiled here."""
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    field = file.message_type.add(name="Order").field.add(name="id", number=1)
    field.type, field.label = field.TYPE_INT64, field.LABEL_OPTIONAL
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


def condition(expression: str) -> Any:
    """A rule that records must fulfil when they are written."""
    rule = confluent.Rule(
        name="check",
        doc=None,
        kind=confluent.RuleKind.CONDITION,
        mode=confluent.RuleMode.WRITE,
        type="CEL",
        tags=None,
        params=None,
        expr=expression,
        on_success=None,
        on_failure=None,
        disabled=False,
    )
    return confluent.RuleSet(migration_rules=None, domain_rules=[rule])


def assert_whole(registry: SchemaRegistryServer, sent: int) -> None:
    """The same request went out so often, with the same whole body."""
    first, *again = registry.requests
    assert len(again) == sent - 1
    assert {(r.method, r.path, r.body) for r in again} <= {(first.method, first.path, first.body)}
    if first.method in ("POST", "PUT"):
        assert json.loads(first.body)
        assert all(r.headers["Content-Length"] == str(len(first.body)) for r in registry.requests)


# -- serializers ---------------------------------------------------------------------------------


def avro_deserializer(client: SchemaRegistryClient) -> AvroDeserializer:
    return AvroDeserializer(client, conf=TOPIC) if HAS_RULES else AvroDeserializer(client)


def json_case(client: SchemaRegistryClient) -> tuple[Any, Any, Any]:
    return JSONSerializer(JSON, client, conf=TOPIC), JSONDeserializer(JSON), ONE


def avro_case(client: SchemaRegistryClient) -> tuple[Any, Any, Any]:
    return AvroSerializer(client, AVRO, conf=TOPIC), avro_deserializer(client), ONE


def protobuf_case(client: SchemaRegistryClient) -> tuple[Any, Any, Any]:
    order = protobuf_order()
    conf = {"use.deprecated.format": False}
    return ProtobufSerializer(order, client, TOPIC | conf), ProtobufDeserializer(order, conf), order(id=1)


@pytest.mark.filterwarnings("ignore:MessageFactory class:UserWarning")  # in confluent-kafka before 2.6
@pytest.mark.parametrize("case", [json_case, avro_case, protobuf_case])
def test_a_serializer_registers_through_faults(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, faults: list[Fault], case: Callable[..., Any]
) -> None:
    serializer, deserializer, order = case(client)
    schema_registry.fail_next(*faults)
    message = serializer(order, ORDERS)
    assert_whole(schema_registry, sent=3)
    assert schema_registry.requests[0].path.startswith("/subjects/orders-value/versions")
    assert message[:5] == b"\0\0\0\0\1"
    assert deserializer(message, ORDERS) == order
    asked = len(schema_registry.requests)
    assert serializer(order, ORDERS) == message
    assert len(schema_registry.requests) == asked


@pytest.mark.parametrize("conf", [{}, {"use.latest.version": True}])
def test_a_serializer_that_may_not_register_looks_up_through_faults(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, faults: list[Fault], conf: dict[str, Any]
) -> None:
    schema_registry.register("orders-value", AVRO)
    serializer = AvroSerializer(client, AVRO, conf=TOPIC | {"auto.register.schemas": False} | conf)
    schema_registry.fail_next(*faults)
    assert serializer(ONE, ORDERS) == b"\0\0\0\0\1\2"
    assert_whole(schema_registry, sent=3)


def test_the_deserializer_reads_our_messages_through_faults(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, faults: list[Fault]
) -> None:
    with kafka_sr_retry.AvroSerializer({"url": schema_registry.url}, AVRO) as ours:
        message = ours(ONE, ORDERS)
    schema_registry.clear_requests()
    schema_registry.fail_next(*faults)
    assert avro_deserializer(client)(message, ORDERS) == ONE
    assert_whole(schema_registry, sent=3)


@needs_rules
def test_rules_are_fetched_through_faults_and_applied(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, faults: list[Fault]
) -> None:
    from confluent_kafka.schema_registry.rules.cel.cel_executor import CelExecutor

    CelExecutor.register()
    client.register_schema("orders-value", avro(rule_set=condition("message.id > 0")))
    schema_registry.clear_requests()
    serializer = AvroSerializer(client, conf=TOPIC | {"auto.register.schemas": False, "use.latest.version": True})
    schema_registry.fail_next(*faults)
    assert serializer(ONE, ORDERS) == b"\0\0\0\0\1\2"
    assert_whole(schema_registry, sent=3)
    with pytest.raises(SerializationError) as caught:
        serializer({"id": -1}, ORDERS)
    assert "message.id > 0" in str(caught.value.__cause__)


@needs_rules
def test_a_schema_with_rules_is_registered_whole(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, faults: list[Fault]
) -> None:
    schema_registry.fail_next(*faults)
    client.register_schema("orders-value", avro(rule_set=condition("true")))
    assert_whole(schema_registry, sent=3)
    (rule,) = json.loads(schema_registry.requests[-1].body)["ruleSet"]["domainRules"]
    assert rule["expr"] == "true"


@needs_rules
def test_use_schema_id_through_faults(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, faults: list[Fault]
) -> None:
    schema_registry.check_compatibility = False
    known = schema_registry.register("orders-value", AVRO)
    schema_registry.register("orders-value", '"string"')
    conf = TOPIC | {"auto.register.schemas": False, "use.schema.id": known}
    try:
        serializer = AvroSerializer(client, conf=conf)
    except ValueError:
        pytest.skip("this confluent-kafka knows no use.schema.id")
    schema_registry.fail_next(*faults)
    assert serializer(ONE, ORDERS) == b"\0\0\0\0\1\2"
    paths = [request.path.partition("?")[0] for request in schema_registry.requests]
    assert paths[:3] == ["/schemas/ids/1"] * 3
    asked = len(paths)
    assert serializer(ONE, ORDERS) == b"\0\0\0\0\1\2"
    assert len(schema_registry.requests) == asked


# -- admin calls ---------------------------------------------------------------------------------

ADMIN: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "get_subjects": (lambda c: c.get_subjects(), ["orders-value"]),
    "get_versions": (lambda c: c.get_versions("orders-value"), [1]),
    "get_version": (lambda c: c.get_version("orders-value", 1).schema_id, 1),
    "get_latest_version": (lambda c: c.get_latest_version("orders-value").version, 1),
    "get_latest_with_metadata": (lambda c: c.get_latest_with_metadata("orders-value", {}).version, 1),
    "lookup_schema": (lambda c: c.lookup_schema("orders-value", avro()).version, 1),
    "get_schema": (lambda c: c.get_schema(1).schema_str, AVRO),
    "get_schema_types": (lambda c: c.get_schema_types(), ["JSON", "PROTOBUF", "AVRO"]),
    "get_subjects_by_schema_id": (lambda c: c.get_subjects_by_schema_id(1), ["orders-value"]),
    "get_schema_versions": (lambda c: [v.version for v in c.get_schema_versions(1)], [1]),
    "get_referenced_by": (lambda c: c.get_referenced_by("orders-value", 1), []),
    "get_compatibility": (lambda c: c.get_compatibility(), "BACKWARD"),
    "set_compatibility": (lambda c: c.set_compatibility("orders-value", "full"), {"compatibility": "FULL"}),
    "get_config": (lambda c: c.get_config().compatibility_level.value, "BACKWARD"),
    "test_compatibility": (lambda c: c.test_compatibility("orders-value", avro()), True),
    "test_compatibility_all_versions": (lambda c: c.test_compatibility_all_versions("orders-value", avro()), True),
    "get_global_mode": (lambda c: c.get_global_mode(), "READWRITE"),
    "update_global_mode": (lambda c: c.update_global_mode("READONLY"), "READONLY"),
    "update_mode": (lambda c: c.update_mode("orders-value", "READONLY"), "READONLY"),
    "get_contexts": (lambda c: c.get_contexts(), ["."]),
    "delete_version": (lambda c: c.delete_version("orders-value", 1), 1),
    "delete_subject": (lambda c: c.delete_subject("orders-value"), [1]),
}


@pytest.fixture
def admin(client: SchemaRegistryClient, request: pytest.FixtureRequest) -> tuple[Callable[[], Any], Any]:
    name = request.param
    if not hasattr(client, name):
        pytest.skip(f"this confluent-kafka has no {name}")
    call, expected = ADMIN[name]
    return lambda: call(client), expected


@pytest.mark.parametrize("admin", ADMIN, indirect=True)
@pytest.mark.parametrize("fault", [no_leader(), error(503), reset()], ids=str)
def test_an_admin_call_gets_through(
    schema_registry: SchemaRegistryServer, admin: tuple[Callable[[], Any], Any], fault: Fault
) -> None:
    schema_registry.register("orders-value", AVRO)
    schema_registry.fail_next(fault, fault)
    call, expected = admin
    assert call() == expected
    assert_whole(schema_registry, sent=3)


NEVER = ["<html>welcome</html>", "", "null", "5", '"text"']
ODD = ['{"other":1}', '["x",5]']
"""What no administrator's call is answered, and what may be the answer of some: over it
Confluent's client must raise no error of its own."""


@pytest.mark.parametrize("admin", [name for name in ADMIN if "delete" not in name], indirect=True)
@pytest.mark.parametrize("bad", [*NEVER, *ODD])
def test_an_answer_of_another_shape_is_asked_again(
    schema_registry: SchemaRegistryServer,
    admin: tuple[Callable[[], Any], Any],
    bad: str,
) -> None:
    schema_registry.register("orders-value", AVRO)
    schema_registry.fail_next(answer(200, bad))
    call, expected = admin
    assert call() in ([expected] if bad in NEVER else [expected, json.loads(bad)])


@pytest.mark.parametrize(
    ("call", "good"),
    [
        (lambda c: c.delete_config("s").compatibility_level.value, {"compatibilityLevel": "FULL"}),
        (lambda c: c.get_config("s").compatibility_level.value, {"compatibilityLevel": "FULL"}),
        (lambda c: c.delete_mode("s"), {"mode": "READWRITE"}),
        (lambda c: c.get_mode("s"), {"mode": "READWRITE"}),
        (lambda c: c.get_associations_by_resource_name("t", "-")[0].subject, [{"subject": "s"}]),
    ],
    ids=["delete config", "config", "delete mode", "mode", "associations"],
)
@pytest.mark.parametrize("bad", ["5", "null", '[["x"]]', '{"compatibilityLevel":"?","mode":5}'])
def test_the_same_for_calls_that_not_all_versions_have(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, call: Callable[[Any], Any], good: Any, bad: str
) -> None:
    if not hasattr(client, "delete_mode") or not hasattr(client, "get_associations_by_resource_name"):
        pytest.skip("this confluent-kafka has no delete_mode, or no get_associations_by_resource_name")
    schema_registry.fail_next(answer(200, bad), answer(200, json.dumps(good)))
    assert call(client) in ("FULL", "READWRITE", "s")


@pytest.mark.parametrize(("size", "read"), [(15, True), (17, False)])
def test_a_list_may_be_longer_than_what_a_serializer_asks_for(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, size: int, read: bool
) -> None:
    name = "x" * (size * 1024 * 1024)
    schema_registry.fail_next(answer(200, json.dumps([name])))
    assert client.get_subjects() == ([name] if read else [])


def test_a_deletion_without_content_ends_its_connection() -> None:
    """What comes behind a 204 would be the next answer."""

    def answers(head: bytes, _: bytes) -> bytes:
        if head.startswith(b"DELETE"):
            return b"HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n"
        return b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n["mine"]'

    server = RawServer(answers)
    with closing(server), SchemaRegistryClient({"url": server.url}) as client:
        for _ in range(2):
            client.delete_subject("s")
            assert client.get_subjects() == ["mine"]
    assert server.connections == 3


def test_schemas_by_guid(faults: list[Fault]) -> None:
    if not hasattr(SchemaRegistryClient, "get_schema_by_guid"):
        pytest.skip("this confluent-kafka knows no guids")
    with SchemaRegistryServer(full_answers=True) as registry, SchemaRegistryClient({"url": registry.url}) as client:
        guid = client.register_schema_full_response("orders-value", avro()).guid
        client.clear_caches()
        registry.clear_requests()
        registry.fail_next(*faults)
        assert client.get_schema_by_guid(guid, "").schema_str == AVRO
        assert_whole(registry, sent=3)


@pytest.mark.parametrize("status", [200, 204])
def test_an_empty_answer_to_a_deletion_is_none(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, status: int
) -> None:
    schema_registry.fail_next(error(503), answer(status, ""))
    assert client._rest_client.delete("associations/resources/1", {"cascadeLifecycle": True}) is None
    assert [r.path for r in schema_registry.requests] == ["/associations/resources/1?cascadeLifecycle=true"] * 2


def test_a_change_waits_for_the_leader(client: SchemaRegistryClient, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_always(no_leader())
    with SchemaRegistryClient({"url": schema_registry.url, "total.timeout.ms": 700}) as impatient:
        with pytest.raises(kafka_sr_retry.RegistryUnavailableError):
            impatient.set_compatibility("orders-value", "FULL")
        assert len(schema_registry.requests) < 10


# -- ids -----------------------------------------------------------------------------------------

BAD_ANSWERS = {
    "nothing": "",
    "null": "null",
    "empty object": "{}",
    "list": "[1]",
    "no id": '{"subject":"orders-value","version":1}',
    "id null": '{"id":null}',
    "id 0": '{"id":0}',
    "negative": '{"id":-1}',
    "text": '{"id":"1"}',
    "true": '{"id":true}',
    "fraction": '{"id":1.5}',
    "too large": '{"id":2147483648}',
    "other schema": json.dumps({"id": 7, "subject": "orders-value", "schema": '"string"'}),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
@pytest.mark.parametrize("call", ["register_schema", "lookup_schema"])
def test_a_bad_answer_is_no_id(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, call: str, bad: str
) -> None:
    schema_registry.register("other", '"int"')
    schema_registry.register("orders-value", AVRO)
    schema_registry.fail_next(answer(200, bad))
    found = getattr(client, call)("orders-value", avro())
    assert getattr(found, "schema_id", found) == 2


def test_an_alias_is_answered_with_the_real_subject(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.alias("orders-value", "shop-order")
    serializer = AvroSerializer(client, AVRO, conf=TOPIC)
    assert serializer(ONE, ORDERS) == b"\0\0\0\0\1\2"
    assert client.lookup_schema("orders-value", avro()).subject == "shop-order"
    assert client.get_latest_version("orders-value").subject == "shop-order"
    assert len(schema_registry.requests) <= 3


@pytest.mark.skipif(not hasattr(confluent.RegisteredSchema, "from_dict"), reason="this confluent-kafka reads less")
@pytest.mark.parametrize(
    "odd",
    [
        *({"metadata": odd} for odd in (5, [], {"properties": 5}, {"tags": 5})),
        *(
            {"ruleSet": odd}
            for odd in (5, [], {"domainRules": 5}, {"migrationRules": ["x"]}, {"domainRules": [{"expr": {}}]})
        ),
        *({"references": odd} for odd in (5, "x", [[]], {"a": 1})),
        *({"guid": odd} for odd in ({}, [])),
        {"version": {}},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.lookup_schema("orders-value", avro()).schema_id,
        lambda client: client.register_schema("orders-value", avro()),
        lambda client: client.get_version("orders-value", 1).schema_id,
    ],
    ids=["look up", "register", "version"],
)
def test_an_odd_answer_is_asked_again(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, ask: Callable[[Any], Any], odd: dict[str, Any]
) -> None:
    schema_registry.register("orders-value", AVRO)
    stored = {"id": 7, "subject": "orders-value", "version": 1, "schema": AVRO}
    schema_registry.fail_next(answer(200, json.dumps(stored | odd)))
    assert ask(client) == 1
    assert len(schema_registry.requests) == 2


@pytest.mark.parametrize("bad", ["{}", '{"id":1}', '{"schema":null}', '{"schema":{}}', '"text"'])
def test_a_schema_by_id_is_a_schema(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, bad: str
) -> None:
    schema_registry.register("orders-value", AVRO)
    schema_registry.fail_next(answer(200, bad))
    assert client.get_schema(1).schema_str == AVRO


@pytest.mark.parametrize("call", ["get_latest_version", "get_version", "get_latest_with_metadata"])
@pytest.mark.parametrize("bad", ["{}", '{"subject":"orders-value","version":1,"id":0,"schema":"\\"string\\""}'])
def test_a_version_has_an_id(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, call: str, bad: str
) -> None:
    if not hasattr(client, call):
        pytest.skip(f"this confluent-kafka has no {call}")
    schema_registry.register("orders-value", AVRO)
    schema_registry.fail_next(answer(200, bad))
    more: dict[str, list[Any]] = {"get_version": [1], "get_latest_with_metadata": [{}]}
    assert getattr(client, call)("orders-value", *more.get(call, [])).schema_id == 1


@pytest.mark.parametrize("bad", ["{}", '{"is_compatible":null}', '{"is_compatible":"false"}'])
def test_compatibility_is_true_or_false(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, bad: str
) -> None:
    schema_registry.register("orders-value", AVRO)
    schema_registry.fail_next(answer(200, bad))
    assert client.test_compatibility("orders-value", avro()) is True


def test_who_may_only_read_gets_the_id_of_what_is_there(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.register("orders-value", AVRO)
    schema_registry.fail_next(error(403))
    assert client.register_schema("orders-value", avro()) == 1
    assert [r.path.partition("?")[0] for r in schema_registry.requests] == [
        "/subjects/orders-value/versions",
        "/subjects/orders-value",
    ]


# -- errors --------------------------------------------------------------------------------------


def test_a_final_409_is_ours_and_confluents(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, faults: list[Fault]
) -> None:
    schema_registry.register("orders-value", '"string"')
    schema_registry.incompatible("orders-value")
    schema_registry.fail_next(*faults)
    with pytest.raises(confluent.SchemaRegistryError) as caught:
        AvroSerializer(client, AVRO, conf=TOPIC)(ONE, ORDERS)
    refusal = caught.value
    assert isinstance(refusal, kafka_sr_retry.IncompatibleSchemaError)
    assert isinstance(refusal, SerializationError)
    assert (refusal.http_status_code, refusal.error_code, refusal.attempts) == (409, 409, 3)
    assert refusal.error_message.startswith("Schema being registered is incompatible")
    assert "could not POST /subjects/orders-value/versions" in str(refusal)


def test_a_final_404_is_ours_and_confluents(client: SchemaRegistryClient) -> None:
    with pytest.raises(confluent.SchemaRegistryError) as caught:
        client.get_versions("nothing")
    assert isinstance(caught.value, kafka_sr_retry.SchemaNotFoundError)
    assert (caught.value.http_status_code, caught.value.error_code) == (404, 40401)
    assert caught.value.error_message == "Subject 'nothing' not found."


def test_an_outage_is_ours_and_confluents(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_always(error(503))
    with (
        SchemaRegistryClient({"url": schema_registry.url, "max.retries": 2, "retries.wait.ms": 5}) as client,
        pytest.raises(confluent.SchemaRegistryError) as caught,
    ):
        client.register_schema("orders-value", avro())
    assert isinstance(caught.value, kafka_sr_retry.RegistryUnavailableError)
    assert (caught.value.http_status_code, caught.value.retriable) == (503, True)


@pytest.mark.parametrize(
    "ours", [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, SchemaRegistryError)]
)
def test_every_error_is_both_and_can_be_pickled(
    schema_registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch, ours: type[SchemaRegistryError]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ours("no", http_status_code=418, error_code=41801, error_message="tea", attempts=2, retry_after=1.5)

    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        monkeypatch.setattr(client._ours, "_ask", fail)
        with pytest.raises(ours) as caught:
            client.get_subjects()
    for copy in caught.value, pickle.loads(pickle.dumps(caught.value)):
        assert isinstance(copy, confluent.SchemaRegistryError)
        assert isinstance(copy, ours)
        assert (str(copy), copy.http_status_code, copy.error_code, copy.error_message) == ("no", 418, 41801, "tea")
        assert (copy.attempts, copy.retry_after, copy.retriable) == (2, 1.5, False)
        assert repr(copy) == f"{ours.__name__}('no')"


def test_confluents_strategy_falls_back_where_there_are_no_associations(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, faults: list[Fault]
) -> None:
    if not hasattr(client, "get_associations_by_resource_name"):
        pytest.skip("this confluent-kafka knows no associations")
    serializer = AvroSerializer(client, AVRO, conf={"subject.name.strategy.type": "ASSOCIATED"})
    schema_registry.fail_next(*faults)
    assert serializer(ONE, ORDERS) == b"\0\0\0\0\1\2"
    paths = [r.path.partition("?")[0] for r in schema_registry.requests]
    assert paths == ["/associations/resources/-/orders"] * 3 + ["/subjects/orders-value/versions"]


def test_a_registry_without_associations_is_no_sick_one(schema_registry: SchemaRegistryServer) -> None:
    events: list[Any] = []
    schema_registry.fail_always(html(404), matching=lambda request: request.path.startswith("/associations"))
    with SchemaRegistryClient({"url": schema_registry.url, "event_cb": events.append}) as client:
        if not hasattr(client, "get_associations_by_resource_name"):
            pytest.skip("this confluent-kafka knows no associations")
        for topic in range(4):
            with pytest.raises(kafka_sr_retry.SchemaNotFoundError):
                client.get_associations_by_resource_name(f"orders-{topic}", "-")
        assert client.register_schema("orders-value", avro()) == 1
    assert len(schema_registry.requests) == 5
    assert not [event for event in events if type(event).__name__ == "BreakerEvent"]


def test_no_credential_is_in_an_error_or_event(schema_registry: SchemaRegistryServer) -> None:
    events: list[Any] = []
    conf = {
        "url": schema_registry.url.replace("http://", "http://me:hush%21@"),
        "event_cb": events.append,
        "http.headers": {"X-Key": "hush!"},
    }
    with SchemaRegistryClient(conf) as client, pytest.raises(SchemaRegistryError) as caught:
        client.get_versions("nothing")
    assert schema_registry.requests[0].headers["Authorization"].startswith("Basic ")
    assert "hush" not in f"{caught.value} {caught.value!r} {vars(caught.value)} {events}"


# -- one way to the registry ---------------------------------------------------------------------


def test_calls_fail_over(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryServer() as sick:
        sick.fail_always(error(503))
        with SchemaRegistryClient({"url": [sick.url, schema_registry.url]}) as client:
            assert client.register_schema("orders-value", avro()) == 1
            assert client.get_subjects() == ["orders-value"]
    assert len(sick.requests) == 1


def test_calls_have_events(schema_registry: SchemaRegistryServer) -> None:
    events: list[Any] = []
    schema_registry.fail_next(no_leader())
    with SchemaRegistryClient({"url": schema_registry.url, "event_cb": events.append}) as client:
        client.register_schema("orders-value", avro())
    attempt = ["AttemptStartEvent", "AttemptEvent"]
    assert [type(event).__name__ for event in events] == [
        *("CallStartEvent", *attempt, "RetryEvent", *attempt, "SuccessEvent")
    ]
    assert events[-1].asked == "POST /subjects/orders-value/versions"


def test_a_refused_schema_is_not_asked_for_with_each_message(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.incompatible("orders-value")
    serializer = AvroSerializer(client, AVRO, conf=TOPIC)
    for _ in range(3):
        with pytest.raises(kafka_sr_retry.IncompatibleSchemaError):
            serializer(ONE, ORDERS)
    assert len(schema_registry.requests) == 1
    if hasattr(confluent.SchemaRegistryClient, "clear_caches"):
        client.clear_caches()
        with pytest.raises(kafka_sr_retry.IncompatibleSchemaError):
            serializer(ONE, ORDERS)
        assert len(schema_registry.requests) == 2


def test_a_refusal_is_forgotten_after_a_change(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer
) -> None:
    with pytest.raises(kafka_sr_retry.SchemaNotFoundError):
        client.lookup_schema("orders-value", avro())
    client.register_schema("orders-value", avro())
    assert client.lookup_schema("orders-value", avro()).version == 1
    schema_registry.fail_next(error(409))
    with pytest.raises(kafka_sr_retry.IncompatibleSchemaError):
        client.register_schema("orders-value", avro('"string"'))
    client.set_compatibility("orders-value", "NONE")
    assert client.register_schema("orders-value", avro('"string"')) == 2


def test_a_deletion_is_asked_anew_each_time(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer
) -> None:
    with pytest.raises(kafka_sr_retry.SchemaNotFoundError):
        client.delete_subject("orders-value")
    schema_registry.register("orders-value", AVRO)
    assert client.delete_subject("orders-value") == [1]


def test_a_context_stands_before_every_path(schema_registry: SchemaRegistryServer) -> None:
    found = {"id": 5, "version": 1, "subject": ":.eu:orders-value", "schema": AVRO}
    schema_registry.fail_next(answer(200, json.dumps(found)), answer(200, "[]"))
    with SchemaRegistryClient({"url": schema_registry.url, "context": "eu"}) as client:
        assert client.lookup_schema("orders-value", avro()).subject == "orders-value"
        assert client.get_subjects() == []
    paths = [r.path.partition("?")[0] for r in schema_registry.requests]
    assert paths == ["/contexts/:.eu:/subjects/orders-value", "/contexts/:.eu:/subjects"]


def test_closing_ends_calls(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        assert client.get_subjects() == []
    client.close()
    with pytest.raises(confluent.SchemaRegistryError, match="closed"):
        client.get_subjects()


# -- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conf", [{}, {"url": "mock://"}, {"url": "http://x", "ulr": 1}, {"url": "http://x", "proxy": 1}]
)
def test_configuration_is_checked_like_ours(conf: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SchemaRegistryClient(conf)


def test_confluents_caches_are_configured(schema_registry: SchemaRegistryServer) -> None:
    conf = {"url": schema_registry.url, "cache.capacity": 1, "cache.latest.ttl.sec": 60}
    if not HAS_RULES:
        with pytest.raises(ConfigurationError, match=r"confluent-kafka .* does not fit .*cache\.capacity"):
            SchemaRegistryClient(conf)
        return
    with SchemaRegistryClient(conf) as client:
        for name in ("a", "b"):
            schema_registry.register(name, AVRO)
        for name in ("a", "a", "b", "b", "a"):
            client.get_latest_version(name)
    assert [r.path.split("/")[2] for r in schema_registry.requests] == ["a", "b", "a"]


def test_config_is_what_confluents_http_client_understands(schema_registry: SchemaRegistryServer) -> None:
    conf = {
        "url": ["http://me:secret@sr-1:8081", "http://sr-2:8081"],
        "total.timeout.ms": 5000,
        "request.timeout.ms": 2000,
        "max.retries": 4,
        "retries.wait.ms": 20,
        "http.headers": {"X-Tenant": "a"},
        "event_cb": print,
        "cache.capacity": None,
    }
    client = SchemaRegistryClient(conf)
    assert client.config() == {
        "url": "http://me:secret@sr-1:8081,http://sr-2:8081",
        "timeout": 2.0,
        "max.retries": 4,
        "retries.wait.ms": 20,
    }


@needs_rules
def test_field_encryption_asks_for_keys_with_confluents_http_client(schema_registry: SchemaRegistryServer) -> None:
    """What the module's documentation says of it; fails when Confluent's key client begins to use the given one."""
    from confluent_kafka.schema_registry.rules.encryption.encrypt_executor import FieldEncryptionExecutor

    events: list[Any] = []
    conf = {
        "url": schema_registry.url,
        "event_cb": events.append,
        "http.headers": {"X-Tenant": "a"},
        "request.timeout.ms": 2000,
        "max.retries": 3,
        "retries.wait.ms": 1,
    }
    executor = FieldEncryptionExecutor()
    with SchemaRegistryClient(conf) as client:
        executor.configure(client.config(), {})
        keys = executor.executor.client if hasattr(executor, "executor") else executor.client
        with keys:
            schema_registry.fail_next(error(503), error(503))
            with pytest.raises(confluent.SchemaRegistryError) as caught:
                keys.get_kek("kek")
    assert type(caught.value) is confluent.SchemaRegistryError
    assert caught.value.http_status_code == 404
    assert [r.path.partition("?")[0] for r in schema_registry.requests] == ["/dek-registry/v1/keks/kek"] * 3
    assert not any(r.headers["User-Agent"].startswith("kafka-sr-retry") for r in schema_registry.requests)
    assert not any("X-Tenant" in r.headers for r in schema_registry.requests)
    assert events == []


# -- a confluent-kafka that does not fit ---------------------------------------------------------


def test_a_client_without_the_private_attribute_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confluent.SchemaRegistryClient, "__init__", lambda self, conf: None)
    with pytest.raises(ConfigurationError, match=r"confluent-kafka \d.* does not fit .*_rest_client"):
        SchemaRegistryClient({"url": "http://localhost:1"})


def test_a_rest_layer_of_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(self: Any, conf: Any) -> None:
        self._rest_client = object()

    monkeypatch.setattr(confluent.SchemaRegistryClient, "__init__", init)
    with pytest.raises(ConfigurationError, match=r"confluent-kafka \d.* does not fit .*'get'"):
        SchemaRegistryClient({"url": "http://localhost:1"})


def test_without_confluents_extra_the_import_names_it() -> None:
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['httpx', 'httpx2', 'attrs', 'attr', 'cachetools', 'authlib']))\n"
        "sys.modules['confluent_kafka.schema_registry.schema_registry_client'] = None\n"
        "import kafka_sr_retry\n"
        "try:\n"
        "    import kafka_sr_retry.confluent\n"
        "except kafka_sr_retry.ConfigurationError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "pip install 'confluent-kafka[schemaregistry]'" in run.stdout, run.stderr


def test_our_serializer_takes_it(client: SchemaRegistryClient, schema_registry: SchemaRegistryServer) -> None:
    made = [
        kafka_sr_retry.AvroSerializer(client, AVRO),
        kafka_sr_retry.AvroSerializer.from_config({}, AVRO, schema_registry_client=client)[0],
    ]
    if hasattr(confluent_kafka.serialization, "SerializerBuilder"):
        build = kafka_sr_retry.AvroSerializerBuilder
        made += [
            build(schema_registry_client=client, schema=AVRO).build({}, False)[0],
            build(schema=AVRO).set_schema_registry_client(client).build({}, False)[0],
        ]

    assert {serializer(ONE, ORDERS) for serializer in made} == {b"\0\0\0\0\1\2"}
    assert len(schema_registry.requests) == 1
    for serializer in made:
        serializer.close()
    assert client.get_subjects() == ["orders-value"]


def test_a_deletion_makes_our_serializer_register_again(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer
) -> None:
    serializer = kafka_sr_retry.AvroSerializer(client, AVRO)
    serializer(ONE, ORDERS)
    client.delete_subject("orders-value")

    serializer(ONE, ORDERS)

    assert [request.method for request in schema_registry.requests] == ["POST", "DELETE", "POST"]


def test_confluents_own_client_cannot_stand_in(schema_registry: SchemaRegistryServer) -> None:
    own = confluent.SchemaRegistryClient({"url": schema_registry.url})
    for make in (
        lambda: kafka_sr_retry.AvroSerializer(own, AVRO),  # type: ignore[arg-type]
        lambda: kafka_sr_retry.AvroSerializer.from_config({}, AVRO, schema_registry_client=own),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match="kafka_sr_retry") as failure:
            make()
        assert failure.value.key == "schema_registry_client"
