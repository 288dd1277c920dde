"""The embedded registry answers like a real one: each test is a row of what real registries answer."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
from confluent_kafka.schema_registry import (
    Metadata,
    MetadataProperties,
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    SchemaRegistryError,
    ServerConfig,
)

import kafka_sr_retry.testing
from kafka_sr_retry.testing import Exchange, Fault, SchemaRegistryServer, error

JSON_TYPE = "application/vnd.schemaregistry.v1+json"
ORDER = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'
ORDER_2 = ORDER.replace("long", "double")
OTHER_ORDER = ORDER.replace("long", "string")


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Http:
    """A plain client with one kept-alive connection."""

    def __init__(self, server: SchemaRegistryServer, context: ssl.SSLContext | None = None) -> None:
        host = f"localhost:{server.port}"
        self.connection = (
            http.client.HTTPSConnection(host, context=context, timeout=10)
            if context
            else http.client.HTTPConnection(host, timeout=10)
        )

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, data, {"Content-Type": JSON_TYPE, **fields})
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.reason, answer.headers, answer.read())


@pytest.fixture
def ask(schema_registry: SchemaRegistryServer) -> Iterator[Http]:
    client = Http(schema_registry)
    yield client
    client.connection.close()


@pytest.fixture
def confluent(schema_registry: SchemaRegistryServer) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": schema_registry.url, "max.retries": 0}) as client:
        yield client


# -- one row each -----------------------------------------------------------------------------------


def test_a_registration_is_answered_with_the_id_alone(ask: Http) -> None:
    answer = ask("POST", "/subjects/x/versions", {"schema": ORDER}, X_Request_ID="mine")
    assert (answer.status, answer.reason, answer.body) == (200, "OK", b'{"id":1}')
    assert dict(answer.headers) == {
        "Content-Type": JSON_TYPE,
        "Date": answer.headers["Date"],
        "X-Request-ID": "mine",
        "Content-Length": "8",
    }


def test_a_request_id_is_made_up_for_a_request_without_one(ask: Http) -> None:
    ids = {ask("GET", "/subjects").headers["X-Request-ID"] for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize("body", [b"", b" \r\n", b"null", iter([b""])])
@pytest.mark.parametrize("content_type", [JSON_TYPE, "text/plain"])
def test_an_empty_body_is_a_422_with_an_empty_reason(ask: Http, body: Any, content_type: str) -> None:
    answer = ask("POST", "/subjects/x/versions", body, Content_Type=content_type)
    assert (answer.status, answer.reason) == (422, "")
    assert answer.body == b'{"error_code":422,"message":"register.request must not be null (was null)"}'


@pytest.mark.parametrize("body", [b"{}", b'{"schema":""}'])
def test_an_empty_schema_means_the_latest_one(ask: Http, schema_registry: SchemaRegistryServer, body: bytes) -> None:
    schema_registry.register("x", ORDER)
    schema_registry.register("x", ORDER_2)
    answer = ask("POST", "/subjects/x/versions", body)
    assert (answer.status, answer.json) == (200, {"id": 2})
    answer = ask("POST", "/subjects/new/versions", body)
    assert (answer.status, answer.json) == (422, {"error_code": 42201, "message": "Empty schema"})


@pytest.mark.parametrize("body", [b'{"schema": "{', b"[]", b'{"schema": 3}', b"\xff"])
def test_what_is_not_a_request_in_json_is_a_400(ask: Http, body: bytes) -> None:
    answer = ask("POST", "/subjects/x/versions", body)
    assert (answer.status, answer.json["error_code"]) == (400, 400)


def test_an_incompatible_schema_is_a_409(ask: Http, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register("x", ORDER)
    schema_registry.incompatible("x")
    assert ask("POST", "/subjects/x/versions", {"schema": ORDER}).json == {"id": 1}
    answer = ask("POST", "/subjects/x/versions", {"schema": ORDER_2})
    assert (answer.status, answer.json["error_code"]) == (409, 409)
    assert answer.json["message"].startswith(
        'Schema being registered is incompatible with an earlier schema for subject "x", details: ['
    )
    assert ask("POST", "/subjects/y/versions", {"schema": ORDER_2}).status == 200


NOT_READ = (
    "{errorType:'TYPE_MISMATCH', description:'The type (path '/fields/0/type') of a field in the new schema does not "
    "match with the old schema', additionalInfo:'reader type: STRING not compatible with writer type: LONG'}"
)
OLD = ["{oldSchemaVersion: 1}", f"{{oldSchema: '{ORDER}'}}"]


def test_what_is_incompatible_is_refused_in_confluents_words(ask: Http, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register("x", ORDER)
    answer = ask("POST", "/subjects/x/versions", {"schema": OTHER_ORDER})
    told = [NOT_READ, *OLD, "{validateFields: 'false', compatibility: 'BACKWARD'}"]
    assert (answer.status, answer.json) == (
        409,
        {
            "error_code": 409,
            "message": "Schema being registered is incompatible with an earlier schema for subject "
            f'"x", details: [{", ".join(told)}]',
        },
    )
    for path in ("/latest", "/1", ""):
        path = f"/compatibility/subjects/x/versions{path}"
        assert ask("POST", path, {"schema": OTHER_ORDER}).json == {"is_compatible": False}
        answer = ask("POST", f"{path}?verbose=true", {"schema": OTHER_ORDER})
        assert answer.json == {"is_compatible": False, "messages": told}
        assert ask("POST", f"{path}?verbose=true", {"schema": ORDER_2}).json == {"is_compatible": True}
    with pytest.raises(ValueError, match="incompatible"):
        schema_registry.register("x", OTHER_ORDER)
    assert ask("GET", "/subjects/x/versions").json == [1]


@pytest.mark.parametrize(
    ("level", "refused"),
    [
        ("NONE", set()),
        ("BACKWARD", {"string"}),
        ("BACKWARD_TRANSITIVE", {"string"}),
        ("FORWARD", {"string", "double"}),
        ("FORWARD_TRANSITIVE", {"string", "double", "float"}),
        ("FULL", {"string", "double"}),
        ("FULL_TRANSITIVE", {"string", "double", "float"}),
    ],
)
@pytest.mark.parametrize("path", ["/config", "/config/x"])
def test_the_level_decides_which_versions_are_compared(
    ask: Http, schema_registry: SchemaRegistryServer, level: str, refused: set[str], path: str
) -> None:
    """Versions long and float: a float is read by a long's reader under no level, and a double by no float's."""
    schema_registry.register("x", '"long"')
    schema_registry.register("x", '"float"')
    ask("PUT", path, {"compatibility": level})
    test = "/compatibility/subjects/x/versions"
    kinds = ("float", "double", "string")
    assert {kind for kind in kinds if not ask("POST", test, {"schema": f'"{kind}"'}).json["is_compatible"]} == refused
    assert ask("POST", "/subjects/x/versions", {"schema": '"string"'}).status == (200 if level == "NONE" else 409)


def test_a_subjects_own_level_goes_before_the_global_one(ask: Http, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register("x", ORDER)
    ask("PUT", "/config", {"compatibility": "NONE"})
    ask("PUT", "/config/x", {"compatibility": "FULL"})
    told = ask("POST", "/compatibility/subjects/x/versions/1?verbose=true", {"schema": ORDER_2}).json["messages"]
    assert len(told) == 2  # the old one cannot read it: Confluent's tells no old schema with that
    assert "in the old schema does not match with the new schema" in told[0]
    ask("DELETE", "/config/x")
    assert ask("POST", "/subjects/x/versions", {"schema": OTHER_ORDER}).status == 200


def test_a_deleted_version_is_compared_with_nothing(ask: Http, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register("x", ORDER)
    ask("DELETE", "/subjects/x")
    assert ask("POST", "/subjects/x/versions", {"schema": OTHER_ORDER}).status == 200


def test_what_schemas_refer_to_is_compared(ask: Http, schema_registry: SchemaRegistryServer) -> None:
    text = '{"type":"record","name":"List","fields":[{"name":"order","type":"Order"}]}'
    for kind in ("long", "double", "string"):
        schema_registry.check_compatibility = False
        schema_registry.register("order", ORDER.replace("long", kind))
    schema_registry.check_compatibility = True
    answers = [
        ask(
            "POST",
            "/subjects/list/versions",
            {"schema": text, "references": [{"name": "Order", "subject": "order", "version": version}]},
        ).status
        for version in (1, 2, 3)
    ]
    assert answers == [200, 200, 409]


def test_compatibility_can_be_switched_off(ask: Http) -> None:
    with SchemaRegistryServer(check_compatibility=False) as registry:
        registry.register("x", ORDER)
        assert registry.register("x", OTHER_ORDER) == 2
        registry.incompatible("x")
        with pytest.raises(ValueError, match="as the test asked for"):
            registry.register("x", ORDER_2)


def test_another_kind_of_schema_is_incompatible(ask: Http, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register("x", ORDER)
    answer = ask("POST", "/subjects/x/versions", {"schema": "{}", "schemaType": "JSON"})
    assert answer.status == 409
    assert "different schema type" in answer.json["message"]


@pytest.mark.parametrize(
    "schema", ["nope", '"nope"', "{}", '{"type":"record","name":"R","fields":[{"name":"a"}]}', "3"]
)
def test_an_invalid_schema_is_a_42201(ask: Http, schema: str) -> None:
    answer = ask("POST", "/subjects/x/versions", {"schema": schema})
    assert (answer.status, answer.reason, answer.json["error_code"]) == (422, "", 42201)
    assert answer.json["message"].startswith("Invalid schema {")


@pytest.mark.parametrize(
    ("method", "path", "error_code"),
    [
        ("GET", "/subjects/none/versions", 40401),
        ("GET", "/subjects/none/versions/latest", 40401),
        ("POST", "/subjects/none", 40401),
        ("DELETE", "/subjects/none", 40401),
        ("GET", "/subjects/x/versions/2", 40402),
        ("DELETE", "/subjects/x/versions/2", 40402),
        ("POST", "/subjects/x", 40403),
        ("GET", "/schemas/ids/9", 40403),
        ("GET", "/schemas/ids/9/versions", 40403),
        ("GET", "/schemas/guids/none", 40403),
        ("DELETE", "/subjects/x?permanent=true", 40405),
        ("DELETE", "/subjects/x/versions/1?permanent=true", 40407),
        ("GET", "/config/x", 40408),
        ("GET", "/mode/x", 40409),
    ],
)
def test_what_is_not_there_has_its_error_code(
    ask: Http, schema_registry: SchemaRegistryServer, method: str, path: str, error_code: int
) -> None:
    schema_registry.register("x", ORDER)
    answer = ask(method, path, {"schema": ORDER_2} if method == "POST" else None)
    assert (answer.status, answer.json["error_code"]) == (404, error_code)


def test_an_unknown_path_is_a_404_without_a_content_type(ask: Http) -> None:
    for path in ("/nowhere", "/associations/resources/-/topic", "/subjects/x/versions/1/2"):
        answer = ask("GET", path)
        assert (answer.status, answer.json["error_code"]) == (404, 404)
        assert "Content-Type" not in answer.headers


def test_another_method_is_a_405_and_plain_text_a_415(ask: Http) -> None:
    assert ask("DELETE", "/subjects").status == 405
    assert ask("POST", "/subjects/x/versions", {"schema": ORDER}, Content_Type="text/plain").status == 415
    accepted = ask("POST", "/subjects/x/versions", {"schema": ORDER}, Content_Type="application/json; a=b")
    assert accepted.status == 200


def test_without_a_leader_only_what_the_subject_has_is_registered(
    ask: Http, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.register("x", ORDER)
    with schema_registry.leaderless():
        assert ask("POST", "/subjects/x/versions", {"schema": ORDER}).json == {"id": 1}
        assert ask("GET", "/subjects/x/versions/latest").status == 200
        for subject, schema in (("y", ORDER), ("x", ORDER_2)):
            answer = ask("POST", f"/subjects/{subject}/versions", {"schema": schema})
            assert answer.status == 500
            assert answer.json == {
                "error_code": 50003,
                "message": "Error while forwarding register schema request to the leader",
            }
    assert ask("POST", "/subjects/y/versions", {"schema": ORDER}).json == {"id": 1}


def test_a_read_only_subject_takes_no_new_schema(ask: Http, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register("x", ORDER)
    assert ask("PUT", "/mode/x", {"mode": "READONLY"}).json == {"mode": "READONLY"}
    answer = ask("POST", "/subjects/x/versions", {"schema": ORDER_2})
    assert (answer.status, answer.json["error_code"]) == (422, 42205)
    assert ask("POST", "/subjects/x/versions", {"schema": ORDER}).json == {"id": 1}
    assert ask("POST", "/subjects/y/versions", {"schema": ORDER_2}).status == 200


def test_values_out_of_range_have_their_error_codes(ask: Http) -> None:
    assert ask("GET", "/subjects/x/versions/zero").json["error_code"] == 42202
    assert ask("PUT", "/config", {"compatibility": "SIDEWAYS"}).json["error_code"] == 42203
    assert ask("PUT", "/mode", {"mode": "SIDEWAYS"}).json["error_code"] == 42204


# -- ids --------------------------------------------------------------------------------------------


def test_equal_schemas_have_one_id_and_a_version_in_each_subject() -> None:
    with SchemaRegistryServer(first_id=100, check_compatibility=False) as registry:
        assert registry.register("x", ORDER_2) == 100
        assert registry.register("x", ORDER) == 101
        assert registry.register("y", json.dumps(json.loads(ORDER), indent=2)) == 101
        reordered = '{"fields":[{"type":"long","name":"id"}],"name":"Order","type":"record"}'
        assert registry.register("y", reordered) == 101
        ask = Http(registry)
        assert ask("GET", "/schemas/ids/101/versions").json == [
            {"subject": "x", "version": 2},
            {"subject": "y", "version": 1},
        ]
        ask.connection.close()


def test_metadata_and_references_make_another_schema(ask: Http) -> None:
    ask("POST", "/subjects/id/versions", {"schema": '{"type":"fixed","name":"Id","size":16}'})
    bodies: list[dict[str, Any]] = [
        {"schema": ORDER},
        {"schema": ORDER, "metadata": {"properties": {"owner": "me"}}},
        {"schema": ORDER, "references": [{"name": "Id", "subject": "id", "version": 1}]},
    ]
    ids = [ask("POST", "/subjects/x/versions", body).json["id"] for body in bodies]
    assert ids == [2, 3, 4]
    assert ids == [ask("POST", "/subjects/x/versions", body).json["id"] for body in bodies]
    plain = {"schema": ORDER, "schemaType": "AVRO", "references": [], "metadata": None}
    assert ask("POST", "/subjects/y/versions", plain).json["id"] == 2


def test_a_reference_is_resolved_or_the_schema_is_invalid(schema_registry: SchemaRegistryServer) -> None:
    uses_id = '{"type":"record","name":"R","fields":[{"name":"id","type":"Id"}]}'
    with pytest.raises(ValueError, match="Invalid schema"):
        schema_registry.register("r", uses_id)
    reference = {"name": "Id", "subject": "id", "version": 1}
    with pytest.raises(ValueError, match="No schema reference found"):
        schema_registry.register("r", uses_id, [reference])
    schema_registry.register("id", '{"type":"fixed","name":"Id","size":16}')
    assert schema_registry.register("r", uses_id, [reference]) == 2


def test_full_answers_carry_version_guid_and_schema() -> None:
    answers = []
    for _ in range(2):
        with SchemaRegistryServer(full_answers=True) as registry:
            ask = Http(registry)
            answers.append(ask("POST", "/subjects/x/versions", {"schema": ORDER}).json)
            ask.connection.close()
    assert answers[0] == answers[1]
    assert answers[0] == {"id": 1, "version": 1, "schema": ORDER, "guid": answers[0]["guid"]}


# -- Confluent's client -----------------------------------------------------------------------------


def test_confluents_client_registers_and_reads(
    confluent: SchemaRegistryClient, schema_registry: SchemaRegistryServer
) -> None:
    owner = Metadata(None, MetadataProperties({"owner": "me"}), None)
    first = confluent.register_schema("orders/value", Schema(ORDER, metadata=owner))
    second = confluent.register_schema(
        "orders/value", Schema(ORDER_2, references=[SchemaReference("O", "orders/value", 1)])
    )
    confluent.register_schema(":.ctx:other", Schema(ORDER_2))
    confluent.clear_caches()

    assert confluent.get_subjects() == [":.ctx:other", "orders/value"]
    assert confluent.get_subjects(subject_prefix="orders") == ["orders/value"]
    assert confluent.get_subjects(limit=1, offset=1) == ["orders/value"]
    assert confluent.get_contexts() == [".", ".ctx"]
    assert confluent.get_versions("orders/value") == [1, 2]
    assert confluent.get_schema(first).schema_str == ORDER
    assert confluent.get_subjects_by_schema_id(second) == ["orders/value"]
    assert [(v.subject, v.version) for v in confluent.get_schema_versions(first)] == [("orders/value", 1)]
    assert confluent.get_schema_types() == ["JSON", "PROTOBUF", "AVRO"]
    latest = confluent.get_latest_version("orders/value")
    assert (latest.schema_id, latest.version, latest.subject) == (second, 2, "orders/value")
    assert confluent.get_version("orders/value", 1).schema_id == first
    assert confluent.get_latest_with_metadata("orders/value", {"owner": "me"}).version == 1
    assert confluent.lookup_schema("orders/value", Schema(ORDER, metadata=owner)).version == 1
    assert confluent.get_referenced_by("orders/value", 1) == [second]
    assert schema_registry.requests[-1].answer == 200


def test_confluents_client_gets_a_schema_by_its_guid() -> None:
    with (
        SchemaRegistryServer(full_answers=True) as registry,
        SchemaRegistryClient({"url": registry.url}) as client,
    ):
        registered = client.register_schema_full_response("x", Schema(ORDER))
        assert registered.version == 1
        client.clear_caches()
        assert client.get_schema_by_guid(registered.guid).schema_str == ORDER


@pytest.mark.parametrize("schema_type", ["JSON", "PROTOBUF"])
def test_other_schema_types_are_kept_as_they_are(confluent: SchemaRegistryClient, schema_type: str) -> None:
    schema_id = confluent.register_schema("x", Schema('syntax = "proto3";', schema_type))
    confluent.clear_caches()
    schema = confluent.get_schema(schema_id)
    assert (schema.schema_str, schema.schema_type) == ('syntax = "proto3";', schema_type)


def test_confluents_client_deletes_softly_before_it_deletes_for_good(confluent: SchemaRegistryClient) -> None:
    for schema in (ORDER, ORDER_2):
        confluent.register_schema("x", Schema(schema))
    assert confluent.delete_version("x", 1) == 1
    assert (confluent.get_versions("x"), confluent.get_versions("x", deleted=True)) == ([2], [1, 2])
    with pytest.raises(SchemaRegistryError, match="40406"):
        confluent.delete_version("x", 1)
    assert confluent.delete_version("x", 1, permanent=True) == 1
    confluent.clear_caches()
    with pytest.raises(SchemaRegistryError, match="40403"):
        confluent.get_schema(1)

    assert confluent.delete_subject("x") == [2]
    assert (confluent.get_subjects(), confluent.get_subjects(deleted=True)) == ([], ["x"])
    with pytest.raises(SchemaRegistryError, match="40404"):
        confluent.delete_subject("x")
    assert confluent.delete_subject("x", permanent=True) == [2]
    assert confluent.get_subjects(deleted=True) == []


def test_a_schema_that_others_refer_to_is_not_deleted(
    confluent: SchemaRegistryClient, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.register("id", '{"type":"fixed","name":"Id","size":16}')
    schema_registry.register("x", ORDER, [{"name": "Id", "subject": "id", "version": 1}])
    with pytest.raises(SchemaRegistryError, match="42206"):
        confluent.delete_subject("id")


def test_a_schema_that_was_deleted_comes_back_under_its_id(confluent: SchemaRegistryClient) -> None:
    schema_id = confluent.register_schema("x", Schema(ORDER))
    confluent.delete_subject("x")
    confluent.clear_caches()
    assert confluent.register_schema("x", Schema(ORDER)) == schema_id
    assert confluent.get_versions("x") == [2]


def test_confluents_client_tests_compatibility(
    confluent: SchemaRegistryClient, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.register("x", ORDER)
    assert confluent.test_compatibility("x", Schema(ORDER_2))
    assert confluent.test_compatibility("none", Schema(ORDER_2))
    schema_registry.incompatible("x")
    assert not confluent.test_compatibility("x", Schema(ORDER_2), 1, verbose=True)
    assert not confluent.test_compatibility_all_versions("x", Schema(ORDER_2))
    assert confluent.test_compatibility("x", Schema(ORDER))
    with pytest.raises(SchemaRegistryError, match="40402"):
        confluent.test_compatibility("x", Schema(ORDER), 7)


def test_confluents_client_changes_configuration_and_modes(confluent: SchemaRegistryClient) -> None:
    assert confluent.get_compatibility() == "BACKWARD"
    confluent.set_compatibility("x", "full")
    assert (confluent.get_compatibility("x"), confluent.get_compatibility()) == ("FULL", "BACKWARD")
    confluent.set_config("x", ServerConfig(compatibility_group="v1"))
    config = confluent.get_config("x")
    assert (config.compatibility_level, config.compatibility_group) == ("FULL", "v1")
    assert confluent.delete_config("x").compatibility_level == "FULL"
    with pytest.raises(SchemaRegistryError, match="40408"):
        confluent.get_config("x")

    assert confluent.get_global_mode() == "READWRITE"
    assert confluent.update_mode("x", "READONLY") == "READONLY"
    assert (confluent.get_mode("x"), confluent.delete_mode("x")) == ("READONLY", "READONLY")
    assert confluent.update_global_mode("READONLY") == "READONLY"
    with pytest.raises(SchemaRegistryError, match="42205"):
        confluent.register_schema("x", Schema(ORDER))


# -- the server -------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["method", "config"])
def test_an_alias_is_answered_for_the_subject_that_it_stands_for(
    ask: Http, schema_registry: SchemaRegistryServer, by: str
) -> None:
    if by == "method":
        schema_registry.alias("eu.orders-value", "shop-order")
    else:
        assert ask("PUT", "/config/eu.orders-value", {"alias": "shop-order"}).status == 200
    request = {"schema": '"string"'}
    assert ask("POST", "/subjects/eu.orders-value/versions", request).json == {"id": 1}
    for answer in (
        ask("POST", "/subjects/eu.orders-value", request).json,
        ask("GET", "/subjects/eu.orders-value/versions/latest").json,
    ):
        assert (answer["subject"], answer["version"]) == ("shop-order", 1)
    assert ask("GET", "/subjects").json == ["shop-order"]


def test_requests_are_recorded_as_they_came(ask: Http, schema_registry: SchemaRegistryServer) -> None:
    body = json.dumps({"schema": ORDER}).encode()
    ask("POST", "/subjects/a%2Fb/versions?normalize=true", iter([body[:9], body[9:]]), X_Mine="1")
    ask("GET", "/subjects/none/versions")
    first, second = schema_registry.requests
    assert (first.method, first.path) == ("POST", "/subjects/a%2Fb/versions?normalize=true")
    assert (first.body, first.headers["x-mine"], first.answer) == (body, "1", 200)
    assert (second.body, second.answer) == (b"", 404)
    assert first.time <= second.time
    assert schema_registry.registrations == [first]
    schema_registry.clear_requests()
    assert schema_registry.requests == []
    assert ask("GET", "/subjects").json == ["a/b"]


def test_a_closed_server_comes_back_on_its_port_with_its_schemas() -> None:
    with SchemaRegistryServer() as registry:
        registry.register("x", ORDER)
        url = registry.url
    gone = Http(registry)
    with pytest.raises(ConnectionRefusedError):
        gone("GET", "/subjects")
    gone.connection.close()
    with registry:
        assert registry.url == url
        back = Http(registry)
        assert back("GET", "/subjects").json == ["x"]
        back.connection.close()


def test_close_ends_connections_that_are_kept_alive() -> None:
    with SchemaRegistryServer() as registry:
        ask = Http(registry)
        ask("GET", "/subjects")
        sock = ask.connection.sock
    assert sock.recv(1) == b""
    ask.connection.close()


def test_https() -> None:
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server_side)
    with SchemaRegistryServer(ssl_context=server_side) as registry:
        assert registry.url.startswith("https://")
        distrustful = Http(registry, client_side)
        with pytest.raises(ssl.SSLCertVerificationError):
            distrustful("GET", "/subjects")
        authority.configure_trust(client_side)
        ask = Http(registry, client_side)
        assert ask("POST", "/subjects/x/versions", {"schema": ORDER}).json == {"id": 1}
        ask.connection.close()


def test_without_authorization_the_answer_is_a_401() -> None:
    with SchemaRegistryServer(authorize=lambda headers: headers.get("authorization") == "Bearer t") as registry:
        ask = Http(registry)
        refused = ask("POST", "/subjects/x/versions", {"schema": ORDER})
        assert (refused.status, refused.json) == (401, {"error_code": 401, "message": "Unauthorized"})
        assert ask("GET", "/subjects", Authorization="Bearer t").json == []
        ask.connection.close()


def test_a_proxy_passes_everything_on_but_its_faults(
    schema_registry: SchemaRegistryServer,
) -> None:
    with SchemaRegistryServer(upstream=schema_registry.url) as proxy:
        ask = Http(proxy)
        proxy.fail_next(error(500, 50001))
        assert ask("POST", "/subjects/x/versions", {"schema": ORDER}).json["error_code"] == 50001
        assert schema_registry.requests == []

        answer = ask("POST", "/subjects/x/versions?normalize=true", {"schema": ORDER}, X_Request_ID="mine")
        assert (answer.status, answer.json, answer.headers["X-Request-ID"]) == (200, {"id": 1}, "mine")
        behind, before = schema_registry.requests[-1], proxy.requests[-1]
        assert (behind.path, behind.body, behind.answer) == (before.path, before.body, before.answer)
        host = {"Host": f"127.0.0.1:{schema_registry.port}"}
        assert dict(behind.headers) == {**before.headers, **host}
        assert len(answer.headers) == 4

        empty = ask("POST", "/subjects/x/versions", b"")
        assert (empty.status, empty.reason) == (422, "")
        assert "Content-Type" not in ask("GET", "/nowhere").headers
        with pytest.raises(RuntimeError, match="stands before"):
            proxy.register("x", ORDER)
        ask.connection.close()


def test_a_proxy_keeps_a_reason_and_computes_the_framing(schema_registry: SchemaRegistryServer) -> None:
    def play(exchange: Exchange) -> None:
        head = b"HTTP/1.1 422 Forwarded; error code: 422\r\nTransfer-Encoding: chunked\r\nX-Mine: 1\r\n\r\n"
        exchange.connection.write(head + b"2\r\n{}\r\n0\r\n\r\n")

    schema_registry.fail_next(Fault("a forwarded 422", play))
    with SchemaRegistryServer(upstream=schema_registry.url) as proxy:
        ask = Http(proxy)
        answer = ask("GET", "/subjects")
        assert (answer.status, answer.reason, answer.body) == (422, "Forwarded; error code: 422", b"{}")
        assert (answer.headers["X-Mine"], answer.headers["Content-Length"]) == ("1", "2")
        assert "Transfer-Encoding" not in answer.headers
        ask.connection.close()


def test_a_proxy_keeps_the_path_of_its_upstream(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryServer(upstream=f"{schema_registry.url}/subjects/") as proxy:
        schema_registry.register("x", ORDER)
        ask = Http(proxy)
        assert ask("GET", "/x/versions").json == [1]
        ask.connection.close()


def test_a_proxy_whose_upstream_is_gone_answers_502(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.close()
    with SchemaRegistryServer(upstream=schema_registry.url) as proxy:
        ask = Http(proxy)
        assert ask("GET", "/subjects").status == 502
        ask.connection.close()


@pytest.mark.parametrize("name", kafka_sr_retry.testing.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    found = getattr(kafka_sr_retry.testing, name)
    assert found.__doc__
    assert not found.__module__.endswith("_api")


def test_the_plugin_loads_nothing_before_a_fixture_is_used() -> None:
    check = (
        "import sys, kafka_sr_retry.testing.pytest_plugin as _\n"
        "print(*sorted(m for m in sys.modules if m.startswith('kafka_sr_retry.testing')))"
    )
    loaded = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == ["kafka_sr_retry.testing", "kafka_sr_retry.testing.pytest_plugin"]


@pytest.mark.parametrize("wrong", [kafka_sr_retry.testing.no_leader, 503, "no_leader", None])
def test_what_is_no_fault_is_refused_when_it_is_planned(wrong: Any, schema_registry: SchemaRegistryServer) -> None:
    """Else a test would pass that meant to try it."""
    for plan in (schema_registry.fail_next, schema_registry.fail_always):
        with pytest.raises(TypeError, match=r"a fault is what no_leader\(\) or error\(503\) gives"):
            plan(error(503), wrong) if plan is schema_registry.fail_next else plan(wrong)
    ask = Http(schema_registry)
    assert ask("GET", "/subjects").status == 200
    ask.connection.close()
