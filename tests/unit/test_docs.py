"""The documents for operators: links, alerts and settings."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AsyncAvroSerializer, Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.config import ClientSettings, SerializerSettings, keys, parse, split
from kafka_sr_retry.testing import SchemaRegistryCluster, SchemaRegistryServer, error, no_leader

ROOT = Path(__file__).parents[2]
DOCUMENTS = {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}
OPERATIONS = DOCUMENTS["operations.md"]
RULES = (ROOT / "examples/monitoring/rules.yml").read_text()
ORDER = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'


def anchors(text: str) -> set[str]:
    """As GitHub makes them, and those that stand in the text."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    made = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="(.*?)"></a>', text))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_to_a_section_leads_to_one(name: str) -> None:
    links = re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", DOCUMENTS[name])

    lost = [(file, section) for file, section in links if section not in anchors(DOCUMENTS[file or name])]
    assert lost == []


def test_every_alert_has_its_section() -> None:
    runbooks = re.findall(r"- alert: (\w+).*?runbook_url: https://\S+/docs/failures\.md#([\w-]+)", RULES, re.DOTALL)
    by_alert = DOCUMENTS["failures.md"].partition("### By alert")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| \[.*?\]\(#([\w-]+)\)", by_alert, re.MULTILINE)

    assert len(runbooks) == RULES.count("- alert:")
    assert sorted(rows) == sorted(runbooks)
    assert {section for _, section in runbooks} <= anchors(DOCUMENTS["failures.md"])


SITUATIONS = ["One URL behind a load balancer", "Several URLs", "Batch jobs", "Latency-bound services"]


def code(heading: str) -> str:
    """The first Python block of a section."""
    section = re.split(r"^#+ ", OPERATIONS.partition(f" {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    (found, *_) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(found)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_settings_for_each_situation_are_valid_and_go_to_the_registry_alone(situation: str) -> None:
    parts = split(ast.literal_eval(code(situation)), is_key=False)
    settings = parse(ClientSettings, parts.client)

    assert parse(SerializerSettings, parts.serializer)
    assert parts.kafka == {}
    assert settings.connect_timeout < settings.request_timeout < settings.total_timeout


def test_the_settings_for_a_restart_are_valid() -> None:
    client = split(ast.literal_eval(code("A restart while the registry is away")), is_key=False).client
    assert parse(ClientSettings, client).cache_mode == "fallback"


TAKES_OVER_AFTER = signature(SchemaRegistryCluster).parameters["takes_over_after"].default


def test_the_rule_for_several_urls_is_kept_by_its_settings() -> None:
    settings = parse(ClientSettings, split(ast.literal_eval(code("Several URLs")), is_key=False).client)

    assert settings.request_timeout > TAKES_OVER_AFTER
    assert settings.total_timeout >= 2 * settings.request_timeout + 1


def test_the_worst_waits_that_are_told_are_those_of_the_settings() -> None:
    waits = re.findall(r"^\| \[[^|]*\| (\d+) s \|", OPERATIONS, re.MULTILINE)
    settings = [parse(ClientSettings, split(ast.literal_eval(code(each)), is_key=False).client) for each in SITUATIONS]

    assert [float(wait) for wait in waits] == [each.total_timeout for each in settings]


def test_each_setting_whose_cost_is_told_exists() -> None:
    table = OPERATIONS.partition("## What the settings cost")[2].partition("\n\n**Memory")[0]
    told = re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)

    assert len(told) > 8
    assert set(told) <= set(keys(ClientSettings))


@pytest.mark.parametrize("heading", ["Shutdown", "Prometheus", "OpenTelemetry", "Health checks", "Before a deployment"])
def test_the_code_compiles(heading: str) -> None:
    assert compile(code(heading), "operations.md", "exec")


def test_the_health_check_tells_of_endpoints_and_of_the_leader(schema_registry: SchemaRegistryServer) -> None:
    names: dict[str, object] = {}
    exec(code("Health checks"), names)
    trouble = names["trouble"]
    assert callable(trouble)
    conf = {"url": schema_registry.url, "max.retries": 3, "retries.wait.ms": 1}
    with SchemaRegistryClient(conf) as client:
        assert trouble(client) == ""
        for fault, told in ((no_leader(), "no leader"), (error(503), "no endpoint")):
            schema_registry.recover()
            schema_registry.fail_always(fault)
            with pytest.raises(SchemaRegistryError):
                client.register_schema("orders-value", Schema(ORDER))
            assert told in trouble(client)


def test_the_deployment_registers_or_stops(schema_registry: SchemaRegistryServer, tmp_path: Path) -> None:
    names: dict[str, object] = {}
    exec(code("Before a deployment"), names)
    deploy = names["deploy"]
    assert callable(deploy)
    path = tmp_path / "order.avsc"
    path.write_text(ORDER)

    assert deploy(schema_registry.url, "orders-value", path) == 1
    schema_registry.incompatible("refusing-value")
    with pytest.raises(SystemExit, match="incompatible"):
        deploy(schema_registry.url, "refusing-value", path)


TESTING = re.findall(r"```python\n(.*?)```", DOCUMENTS["testing.md"], re.DOTALL)


def ran(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    for number, shown in enumerate(TESTING):
        name = re.match(r"# (\w+\.py)\n", shown)
        (folder / (name[1] if name else f"test_shown_{number}.py")).write_text(shown)
    return subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True)


def test_the_tests_that_are_shown_pass(tmp_path: Path) -> None:
    run = ran(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", ".")
    assert run.returncode == 0, run.stdout
    assert f"{sum('def test_' in shown for shown in TESTING)} passed" in run.stdout


def test_unittest_runs_what_is_shown_for_it(tmp_path: Path) -> None:
    (number,) = [number for number, shown in enumerate(TESTING) if "import unittest" in shown]
    run = ran(tmp_path, "unittest", f"test_shown_{number}")
    assert run.returncode == 0, run.stderr
    assert "Ran 1 test " in run.stderr


def test_a_suite_without_waits_is_configured_as_shown(tmp_path: Path) -> None:
    (ini,) = re.findall(r"```ini\n(.*?)```", DOCUMENTS["testing.md"], re.DOTALL)
    (tmp_path / "pytest.ini").write_text(ini)
    asked = "from kafka_sr_retry import is_testing\n\ndef test_it():\n    assert is_testing()\n"
    (tmp_path / "test_asked.py").write_text(asked)
    run = ran(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "test_asked.py", "test_shown_0.py")
    assert run.returncode == 0, run.stdout


def test_what_a_cluster_can_do_is_told_with_its_times() -> None:
    told = DOCUMENTS["testing.md"].partition("## A leader's death")[2]
    defaults = {name: each.default for name, each in signature(SchemaRegistryCluster).parameters.items()}
    for name in ("after_kill", "after_terminate", "after_return", "takes_over_after", "kafka_timeout"):
        assert f" {defaults[name]} s" in told
    methods = {name for name, each in vars(SchemaRegistryCluster).items() if callable(each) and name[0] != "_"}
    assert {name for name in methods if f"`{name}(" not in told} == set()


def test_the_code_for_moving_over_runs(schema_registry: SchemaRegistryServer) -> None:
    moving, producing, both, asynchronous, _ = (
        re.sub(r'"http://[^"]*"', repr(schema_registry.url), each)
        for each in re.findall(r"```python\n(.*?)```", DOCUMENTS["migration.md"], re.DOTALL)
    )
    sent: list[bytes] = []
    names = {
        "schema_str": ORDER,
        "order": 7,
        "to_dict": lambda order, ctx: {"id": order},
        "producer": SimpleNamespace(produce=lambda topic, value: sent.append(value)),
        "SerializationContext": SerializationContext,
        "MessageField": MessageField,
    }
    schema_registry.register("orders-value", ORDER)
    exec(moving, names)
    exec(producing, names)
    assert sent == [b"\0\0\0\0\1\x0e"]
    exec(both, names)
    assert schema_registry.requests[-1].body == b'{"compatibility": "FULL"}'
    exec(asynchronous, names)
    assert names["AsyncAvroSerializer"] is AsyncAvroSerializer


def test_the_code_for_asyncio_runs(schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[tuple[str, bytes]] = []

    class Producer:
        async def send_and_wait(self, topic: str, value: bytes) -> None:
            sent.append((topic, value))

    names: dict[str, Any] = {"SerializationContext": SerializationContext, "MessageField": MessageField}
    for block in re.findall(r"```python\n(.*?)```", DOCUMENTS["asyncio.md"], re.DOTALL):
        exec(block, names)
    schema_registry.incompatible("refusing-value")

    async def main() -> list[str]:
        async with AsyncAvroSerializer({"url": schema_registry.url}, ORDER) as serializer:
            await names["produce"](Producer(), serializer, {"id": 7})
            failed: list[str] = await names["start"](serializer, ["orders", "refusing"])
            return failed

    caplog.set_level("INFO")
    assert asyncio.run(main()) == ["refusing"]
    assert sent == [("orders", b"\0\0\0\0\1\x0e")]
    assert "1 of 2: orders: known" in caplog.text
