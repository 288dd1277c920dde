"""Our rules of compatibility beside a real registry's; trials/compatibility.py is the whole."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from stack import LIBS
from typer.testing import CliRunner

from kafka_sr_retry.avro.compatibility import LEVELS
from kafka_sr_retry.cli.app import app
from trials import compatibility


def test_our_rules_and_a_registrys_agree(registry_url: str) -> None:
    drawn = compatibility.histories(seed=7, pairs=8)
    count, differ = compatibility.beside_registry(registry_url, drawn, LEVELS, f"compatibility-{uuid.uuid4()}")
    assert differ == []
    assert min(count["taken"], count["refused"]) > 5


def test_our_findings_are_those_of_java(registry_url: str) -> None:
    jars = LIBS / "registry" / "lib"
    if not jars.exists():
        pytest.skip("the stack is not the tests' own, and brings no jars of Avro")
    count, differ = compatibility.beside_java(f"{jars}/*", compatibility.histories(seed=7, pairs=100))
    assert differ == []
    assert count["unread"] > 50


def test_register_explains_what_a_real_registry_refuses(
    registry_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", registry_url)
    space = f"x{uuid.uuid4().hex}"
    money = {"type": "record", "name": "Money", "namespace": space, "fields": [{"name": "amount", "type": "long"}]}
    order = {"type": "record", "name": "Order", "namespace": space, "fields": [{"name": "price", "type": "Money"}]}

    def register(*options: str) -> dict[str, dict[str, object]]:
        for name, schema in (("money", money), ("order", order)):
            Path(f"{name}.avsc").write_text(json.dumps(schema))
        ran = CliRunner().invoke(app, ["register", "--json", "--topic", space, *options, "."])
        return {file["file"]: file for file in json.loads(ran.stdout)["files"]}

    def results(*options: str) -> list[object]:
        return [file["result"] for file in register(*options).values()]

    assert results("--dry-run") == ["new_subject", "new_subject"]
    assert results() == ["new_subject", "new_subject"]
    assert results() == results("--dry-run") == ["unchanged", "unchanged"]
    compatibility.set_level(registry_url, f"{space}-value", "BACKWARD")
    order["fields"].append({"name": "note", "type": "string"})  # type: ignore[attr-defined]
    for options in (("--dry-run",), ()):
        refused = register(*options)["./order.avsc"]
        assert refused["result"] == "incompatible", refused["why"]
        (finding,) = refused["findings"]  # type: ignore[misc]
        assert (finding["path"], finding["version"]) == ("Order.note", 1)
    order["fields"][-1]["default"] = ""  # type: ignore[index]
    assert results("--dry-run") == ["unchanged", "new_version"]
    assert results() == ["unchanged", "new_version"]
