"""What users can reach: names, their types' attributes, and what an import costs."""

from __future__ import annotations

import ast
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import confluent_kafka.schema_registry
import pytest

import kafka_sr_retry
from kafka_sr_retry import (
    AsyncAvroSerializer,
    AsyncSchemaRegistryClient,
    AvroSerializer,
    AvroSerializerBuilder,
    SchemaRegistryClient,
)

ATTRIBUTES: dict[type, str] = {
    SchemaRegistryClient: """
        clear_caches close config get_associated_subjects get_latest_version get_latest_with_metadata get_registered
        get_schema get_version lookup_schema register_schema register_schema_full_response state test_compatibility
    """,
    AsyncSchemaRegistryClient: """
        aclose clear_caches config get_associated_subjects get_latest_version get_latest_with_metadata get_registered
        get_schema get_version lookup_schema register_schema register_schema_full_response state test_compatibility
    """,
    AvroSerializer: "bind close encoder from_config knows set_cluster_id_resolver warm_up",
    AsyncAvroSerializer: """
        aclose bind close encoder from_config knows set_async_cluster_id_resolver set_cluster_id_resolver warm_up
    """,
    AvroSerializerBuilder: """
        build set_schema set_schema_registry_client set_schema_registry_config set_serializer_config set_to_dict
    """,
}
"""All of them, so that a new one is a decision."""


def made(kind: type) -> Any:
    client = SchemaRegistryClient({"url": "http://localhost:1"})
    if kind is AvroSerializerBuilder:
        return AvroSerializerBuilder(schema='"string"')
    if kind is AsyncSchemaRegistryClient:
        return AsyncSchemaRegistryClient(client.config())
    return client if kind is SchemaRegistryClient else kind(client, '"string"')


@pytest.mark.parametrize("kind", ATTRIBUTES, ids=lambda kind: kind.__name__)
def test_attributes(kind: type) -> None:
    if kind is AvroSerializerBuilder and not hasattr(confluent_kafka.serialization, "SerializerBuilder"):
        pytest.skip("this confluent-kafka knows no builders")
    public = {name for name in dir(made(kind)) if not name.startswith("_")}
    assert public == set(ATTRIBUTES[kind].split())


def test_names() -> None:
    everything: dict[str, Any] = {}
    exec("from kafka_sr_retry import *", everything)
    names = set(kafka_sr_retry.__all__)
    assert everything.keys() - {"__builtins__"} == names <= set(dir(kafka_sr_retry))
    assert sorted(kafka_sr_retry.__all__) == kafka_sr_retry.__all__
    for name in names - {"__version__"}:
        assert everything[name].__name__ == name
        assert pickle.loads(pickle.dumps(everything[name])) is everything[name]
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = kafka_sr_retry.Nothing


def test_checkers_are_told_the_same_names() -> None:
    tree = ast.parse(Path(kafka_sr_retry.__file__).read_text())
    told = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert set(kafka_sr_retry.__all__) <= told


def loaded(code: str) -> set[str]:
    """The modules that a fresh process has after it."""
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(json.loads(told.splitlines()[-1]))


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "kafka_sr_retry"}


HEAVY = {"requests", "urllib3", "fastavro", "confluent_kafka"}


def test_the_import_loads_nothing_but_names() -> None:
    modules = loaded("import kafka_sr_retry; dir(kafka_sr_retry)")
    assert ours(modules) == {"kafka_sr_retry", "kafka_sr_retry.version"}
    assert not modules & HEAVY


@pytest.mark.parametrize(
    ("code", "never"),
    [
        ("from kafka_sr_retry import Schema, RegistryUnavailableError", HEAVY - {"confluent_kafka"}),
        ("from kafka_sr_retry import SchemaRegistryClient", {"requests", "urllib3", "fastavro", "httpx"}),
        ("from kafka_sr_retry import AvroSerializer, AvroSerializerBuilder", {"requests", "urllib3", "httpx"}),
        ("import kafka_sr_retry.events, kafka_sr_retry.errors", HEAVY - {"confluent_kafka"}),
    ],
)
def test_a_name_loads_what_it_needs(code: str, never: set[str]) -> None:
    modules = loaded(code)
    assert not modules & never
    wings = {name for name in ours(modules) if name.startswith(("kafka_sr_retry.avro", "kafka_sr_retry.registry"))}
    assert bool(wings) == ("Client" in code or "Avro" in code)


PLUGIN = """
import sys

def loaded():
    return sorted(name for name in sys.modules if name.partition(".")[0] == "kafka_sr_retry")

def test_without():
    plugin = ["kafka_sr_retry", "kafka_sr_retry.testing", "kafka_sr_retry.testing.pytest_plugin"]
    assert loaded() == [*plugin, "kafka_sr_retry.version"]

def test_with(schema_registry):
    assert "kafka_sr_retry.testing.registry" in loaded()
    assert "kafka_sr_retry.serializer" not in loaded()
"""


def test_the_pytest_plugin_loads_nothing_until_a_fixture_is_used(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_every_question_takes_its_own_time() -> None:
    asks_nobody = {"clear_caches", "close", "config", "state"}
    for name in set(ATTRIBUTES[SchemaRegistryClient].split()) - asks_nobody:
        parameters = inspect.signature(getattr(SchemaRegistryClient, name)).parameters
        assert parameters["timeout"].kind is inspect.Parameter.KEYWORD_ONLY, name


def test_a_question_has_confluents_parameters() -> None:
    ours_alone = {"get_associated_subjects", "get_registered", "state"}
    left_out = {("test_compatibility", "normalize"), ("test_compatibility", "verbose")}
    for name in set(ATTRIBUTES[SchemaRegistryClient].split()) - ours_alone:
        parameters, theirs = (
            [(each.name, each.default) for each in inspect.signature(getattr(kind, name)).parameters.values()]
            for kind in (SchemaRegistryClient, confluent_kafka.schema_registry.SchemaRegistryClient)
        )
        given = [each for each in parameters if each[0] != "timeout"]
        assert given == [each for each in theirs if (name, each[0]) not in left_out], name
