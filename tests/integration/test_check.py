"""``kafka-sr-retry check`` before a real registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from stack import StackError, missing_programs, process, registries
from typer.testing import CliRunner

from kafka_sr_retry.cli.app import app
from kafka_sr_retry.cli.check import questions
from kafka_sr_retry.testing import SchemaRegistryServer, drop_body


def check(*args: str) -> Any:
    return CliRunner().invoke(app, ["check", *args], env={"COLUMNS": "80"})


def found(*args: str) -> Any:
    document = json.loads(check("--json", *args).stdout)
    return document, document["endpoints"][0]


def test_a_real_registry_is_well(registry_url: str) -> None:
    document, told = found(registry_url)

    assert (document["verdict"], document["problems"]) == ("reads_well", [])
    assert (told["reachable"], told["body"]) == (True, "arrives")
    assert told["register"] in ("not_tried", "expected")  # Apicurio is not asked
    assert told["mode"] in (None, "READWRITE")  # Apicurio tells none
    assert told["latency_ms"] > 0
    assert check(registry_url).exit_code == 3


def test_it_registers_in_a_real_registry_and_leaves_nothing(registry_url: str) -> None:
    before = requests.get(f"{registry_url}/subjects?deleted=true", timeout=30).json()
    document, told = found(registry_url, "--write")

    assert (document["verdict"], document["problems"]) == ("well", [])
    assert (told["register"], told["leader"], told["scratch_left"]) == ("yes", "yes", False)
    assert told["scratch_subject"] not in before
    assert requests.get(f"{registry_url}/subjects?deleted=true", timeout=30).json() == before


def test_a_real_registry_refuses_what_no_registry_takes(registry_url: str) -> None:
    """What Confluent's leader is asked. Another registry is not, and would refuse it too."""
    asked = questions.ask_leader("kafka-sr-retry-check-refused")
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    answer = requests.post(registry_url + asked.path, data=asked.body, headers=headers, timeout=30)

    assert (answer.status_code, answer.json()["error_code"]) == (422, 42201)
    assert (
        "kafka-sr-retry-check-refused" not in requests.get(f"{registry_url}/subjects?deleted=true", timeout=30).json()
    )


def test_a_real_registry_behind_what_drops_bodies(registry_url: str) -> None:
    with SchemaRegistryServer(upstream=registry_url) as gateway:
        gateway.fail_always(drop_body(), matching=lambda request: request.method == "POST")
        document, told = found(gateway.url, "--write")

    assert ([problem["code"] for problem in document["problems"]], told["body"]) == (["body_lost"], "lost")


@pytest.fixture
def on_kafka() -> Iterator[registries.OnKafka]:
    """A registry that may be lost with its Kafka, whatever servers the environment names."""
    if missing := missing_programs():
        pytest.skip(f"a registry of its own needs {' and '.join(missing)} on the PATH")
    try:
        with registries.apicurio_on_kafka(registries.APICURIO[-1]) as servers:
            yield servers
    except StackError as wrong:
        raise pytest.fail.Exception(str(wrong), pytrace=False) from None


def test_a_real_registry_whose_kafka_is_paused_or_dead_and_that_is_paused_and_dead_itself(
    on_kafka: registries.OnKafka,
) -> None:
    def told(*args: str) -> tuple[int, str]:
        result = check(on_kafka.url, "-X", "request.timeout.ms=6000", *args)
        return result.exit_code, " ".join(result.stdout.split())

    hangs = "Registering: no whole answer in"
    exit_code, said = told("--write")
    assert (exit_code, "All well." in said) == (0, True)
    process.pause(on_kafka.kafka)
    exit_code, said = told()
    assert (exit_code, "Reads well; writes not tried: use --write." in said) == (3, True)
    exit_code, said = told("--write")
    assert (exit_code, hangs in said, "Messages with a new schema would be lost." in said) == (1, True, True)
    process.resume(on_kafka.kafka)
    process.kill(on_kafka.kafka)
    exit_code, said = told("--write")
    assert (exit_code, hangs in said, "the Kafka or database behind it" in said) == (1, True, True)
    process.pause(on_kafka.registry)
    exit_code, said = told()
    assert (exit_code, "FAIL No whole answer in" in said, "Messages would be lost." in said) == (1, True, True)
    process.resume(on_kafka.registry)
    process.kill(on_kafka.registry)
    exit_code, said = told()
    assert (exit_code, "Connection refused" in said, "Check that the registry runs" in said) == (1, True, True)


@pytest.mark.parametrize("path", ["/apis/ccompat", "/nothing/here"])
def test_a_wrong_path_in_the_url_is_told(registry_url: str, path: str) -> None:
    root = "/".join(registry_url.split("/")[:3])
    document, _ = found(root + path)

    # Apicurio from 3.0 on and Karapace send no JSON there
    assert [problem["code"] for problem in document["problems"]] in (["wrong_path"], ["not_a_registry"])
