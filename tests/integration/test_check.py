"""``kafka-sr-retry check`` before a real registry."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from kafka_sr_retry.cli.app import app
from kafka_sr_retry.testing import SchemaRegistryServer, drop_body


def check(*args: str) -> Any:
    return CliRunner().invoke(app, ["check", *args], env={"COLUMNS": "80"})


def found(*args: str) -> Any:
    document = json.loads(check("--json", *args).stdout)
    return document, document["endpoints"][0]


def test_a_real_registry_is_well(registry_url: str) -> None:
    document, told = found(registry_url)

    assert (document["verdict"], document["problems"]) == ("well", [])
    assert (told["reachable"], told["body"], told["register"]) == (True, "arrives", "not_tried")
    assert told["mode"] in (None, "READWRITE")  # Apicurio tells none
    assert told["latency_ms"] > 0
    assert check(registry_url).exit_code == 0


def test_it_registers_in_a_real_registry_and_leaves_nothing(registry_url: str) -> None:
    before = requests.get(f"{registry_url}/subjects?deleted=true", timeout=30).json()
    document, told = found(registry_url, "--write")

    assert (document["verdict"], document["problems"]) == ("well", [])
    assert (told["register"], told["leader"], told["scratch_left"]) == ("yes", "yes", False)
    assert told["scratch_subject"] not in before
    assert requests.get(f"{registry_url}/subjects?deleted=true", timeout=30).json() == before


def test_a_real_registry_behind_what_drops_bodies(registry_url: str) -> None:
    with SchemaRegistryServer(upstream=registry_url) as gateway:
        gateway.fail_always(drop_body(), matching=lambda request: request.method == "POST")
        document, told = found(gateway.url, "--write")

    assert ([problem["code"] for problem in document["problems"]], told["body"]) == (["body_lost"], "lost")


@pytest.mark.parametrize("path", ["/apis/ccompat", "/nothing/here"])
def test_a_wrong_path_in_the_url_is_told(registry_url: str, path: str) -> None:
    root = "/".join(registry_url.split("/")[:3])
    document, _ = found(root + path)

    # Apicurio from 3.0 on and Karapace send no JSON there
    assert [problem["code"] for problem in document["problems"]] in (["wrong_path"], ["not_a_registry"])
