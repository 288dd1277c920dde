"""``kafka-sr-retry source``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from kafka_sr_retry.avro.encoder import ENCODER
from kafka_sr_retry.cli.app import app


@pytest.fixture(autouse=True)
def python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENCODER, "python")


@pytest.fixture
def source(tmp_path: Path) -> Any:
    def run(schema: Any, *references: Any) -> Result:
        arguments = []
        for number, reference in enumerate(references):
            (tmp_path / f"{number}.avsc").write_text(json.dumps(reference), encoding="utf-8")
            arguments += ["--reference", str(tmp_path / f"{number}.avsc")]
        text = schema if isinstance(schema, str) else json.dumps(schema)
        (tmp_path / "order.avsc").write_text(text, encoding="utf-8")
        return CliRunner().invoke(app, ["source", str(tmp_path / "order.avsc"), *arguments])

    return run


ITEM = {"type": "record", "name": "shop.Item", "fields": [{"name": "sku", "type": "string"}]}
ORDER = {
    "type": "record",
    "name": "shop.Order",
    "fields": [{"name": "items", "type": {"type": "array", "items": "shop.Item"}}],
}


def test_it_prints_the_function(source: Any) -> None:
    result = source(ITEM)
    assert result.exit_code == 0
    assert result.output.startswith("def write(value, ctx):\n")
    assert "value['sku']" in result.output
    compile(result.output, "x", "exec")


def test_it_says_where_native_code_serves_instead(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kafka_sr_retry.avro._native", reason="not built here: it needs a C compiler")
    assert "native" not in source(ITEM).stderr
    monkeypatch.setenv(ENCODER, "native")
    result = source(ITEM)
    assert (result.exit_code, result.stdout[:10]) == (0, "def write(")
    assert result.stderr.endswith("order.avsc: native code writes these records here, not this function\n")


def test_references_are_read(source: Any) -> None:
    result = source(ORDER, ITEM)
    assert (result.exit_code, "['sku']" in result.output) == (0, True)


def test_what_is_left_to_fastavro_is_said(source: Any) -> None:
    result = source({**ITEM, "fields": [{"name": "n", "type": ["int", "long"]}]})
    assert result.exit_code == 1
    assert "order.avsc: fastavro writes these records: a union that no exact type decides\n" in result.output


def test_what_cpython_does_not_compile_is_said(source: Any) -> None:
    kind: Any = "long"
    for _ in range(60):
        kind = {"type": "array", "items": kind}
    result = source(kind)
    assert (result.exit_code, "fastavro writes these records" in result.output) == (1, True)


@pytest.mark.parametrize(("schema", "error"), [(ORDER, "unknown type 'shop.Item'"), ("{", "not an Avro schema")])
def test_a_schema_of_no_use_is_an_error(source: Any, schema: Any, error: str) -> None:
    result = source(schema)
    assert result.exit_code == 2
    assert error in result.output


def test_the_documentation_shows_what_is_printed(source: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "encoding.md").read_text(encoding="utf-8")
    shown = page.partition("$ kafka-sr-retry source reading.avsc\n")[2].partition("```")[0]
    fields = [{"name": "station", "type": "string"}, {"name": "count", "type": "long"}]
    assert source({"type": "record", "name": "Reading", "fields": fields}).output == shown
