"""``kafka-sr-retry register``: subjects, references, their order, what it says, what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from waiting import DEAF, LONG

from kafka_sr_retry.cli.app import app
from kafka_sr_retry.testing import (
    Fault,
    RecordedRequest,
    SchemaRegistryCluster,
    SchemaRegistryServer,
    answer,
    error,
    hang,
    html,
    no_leader,
    reset,
    truncate,
)

ANYONE = "ssl.ca.location=false"
"""Loading the machine's certificates takes time, and these registries have no TLS."""

RECORDS = ("-X", "subject.name.strategy.type=RECORD")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("SCHEMA_REGISTRY_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer(check_compatibility=True) as server:
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", server.url)
        monkeypatch.setenv("SCHEMA_REGISTRY_SSL_CA_LOCATION", "false")
        yield server


def run(*args: str, columns: int = 80, exit_code: int | None = 0, **given: Any) -> Result:
    result = CliRunner().invoke(app, ["register", *args], env={"COLUMNS": str(columns)}, **given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert exit_code in (None, result.exit_code), result.output
    return result


def lines(*args: str, **given: Any) -> list[str]:
    """Without the times."""
    return [line.rsplit(" (", 1)[0].rstrip() for line in run(*args, **given).stdout.splitlines()]


def document(*args: str, **given: Any) -> Any:
    return json.loads(run("--json", *args, **given).stdout)


def results(*args: str, **given: Any) -> dict[str, str]:
    return {file["file"]: file["result"] for file in document(*args, **given)["files"]}


def whys(*args: str, **given: Any) -> dict[str, str]:
    return {file["file"]: file["why"] for file in document(*args, **given)["files"]}


def record(name: str, *fields: Any, **other: Any) -> dict[str, Any]:
    named = [{"name": f"f{n}", "type": of} if not isinstance(of, tuple) else of[0] for n, of in enumerate(fields)]
    return {"type": "record", "name": name, "fields": named, **other}


def write(path: str, schema: Any) -> str:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(schema if isinstance(schema, bytes) else json.dumps(schema).encode())
    return path


MONEY = record("Money", "long", namespace="shop")
ORDER = record("Order", "long", "Money", namespace="shop")


def shop() -> str:
    write("schemas/order.avsc", ORDER)
    write("schemas/types/money.avsc", MONEY)
    return "schemas"


def held(registry: SchemaRegistryServer, subject: str) -> list[Any]:
    with registry._schemas() as store:
        return [dict(version.schema.fields) for version in store.versions(subject)]


def subjects(registry: SchemaRegistryServer) -> list[str]:
    with registry._schemas() as store:
        return store.subjects()


def on(part: str) -> Any:
    return lambda request: part in request.path


# -- what is registered --------------------------------------------------------------------------


def test_a_folder_is_registered_with_its_references(registry: SchemaRegistryServer) -> None:
    shop()
    assert lines("--topic", "orders", "schemas") == [
        "new subject   schemas/types/money.avsc -> shop.Money, version 1, id 1",
        "new subject   schemas/order.avsc -> orders-value, version 1, id 2",
        "2 files: 2 new subjects.",
    ]
    (order,) = held(registry, "orders-value")
    assert order["references"] == [{"name": "shop.Money", "subject": "shop.Money", "version": 1}]
    registered = len(registry.registrations)
    assert lines("--topic", "orders", "schemas") == [
        "unchanged     schemas/types/money.avsc -> shop.Money, version 1, id 1",
        "unchanged     schemas/order.avsc -> orders-value, version 1, id 2",
        "2 files: 2 unchanged.",
    ]
    assert len(registry.registrations) == registered


def test_a_new_version_of_a_type_is_referred_to(registry: SchemaRegistryServer) -> None:
    shop()
    run("--topic", "orders", "schemas")
    write("schemas/types/money.avsc", {**MONEY, "doc": "an amount"})
    assert results("--topic", "orders", "schemas") == {
        "schemas/types/money.avsc": "new_version",
        "schemas/order.avsc": "new_version",
    }
    assert [order["references"][0]["version"] for order in held(registry, "orders-value")] == [1, 2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--topic", "t"), "t-value"),
        (("--topic", "t", "--key"), "t-key"),
        (("--subject", "a/b c:é%2F"), "a/b c:é%2F"),
        (RECORDS, "shop.Order"),
        (("--topic", "t", "-X", "subject.name.strategy.type=TOPIC_RECORD"), "t-shop.Order"),
        (("--topic", "t", "-X", "context=:.ci:"), ":.ci:t-value"),
        (("--topic", "t", "-X", "key.subject.name.strategy.type=RECORD"), "t-value"),
    ],
)
def test_subjects(registry: SchemaRegistryServer, options: tuple[str, ...], expected: str) -> None:
    run(*options, shop())
    name = ":.ci:shop.Money" if "context=:.ci:" in options else "shop.Money"
    assert subjects(registry) == sorted([expected, name])


def test_a_producers_own_configuration_may_be_given(registry: SchemaRegistryServer, monkeypatch: Any) -> None:
    monkeypatch.delenv("SCHEMA_REGISTRY_URL")
    conf = f"bootstrap.servers=k:9092\nschema.registry.url={registry.url}\nvalue.subject.name.strategy.type=RECORD\n"
    run("--config", "-", write("order.avsc", record("Order")), input=conf)
    assert subjects(registry) == ["Order"]


def test_what_no_file_defines_is_looked_for_in_the_registry(registry: SchemaRegistryServer) -> None:
    shop()
    run(*RECORDS, "schemas/types/money.avsc")
    assert results("--topic", "orders", "--dry-run", "schemas/order.avsc") == {"schemas/order.avsc": "new_subject"}
    run("--topic", "orders", "schemas/order.avsc")
    assert held(registry, "orders-value")[0]["references"] == [
        {"name": "shop.Money", "subject": "shop.Money", "version": 1}
    ]


def test_files_are_registered_side_by_side_and_each_after_what_it_refers_to(registry: SchemaRegistryServer) -> None:
    for number in range(40):
        write(f"many/m{number}.avsc", record(f"M{number}", *([f"M{number - 1}"] if number % 4 else [])))
    assert set(results(*RECORDS, "many").values()) == {"new_subject"}
    order = [request.path.split("/")[2] for request in registry.registrations]
    assert all(order.index(f"M{number - 1}") < order.index(f"M{number}") for number in range(40) if number % 4)


def test_a_type_within_another_file_is_referred_to_by_that_file(registry: SchemaRegistryServer) -> None:
    write("a.avsc", record("Outer", record("Inner", "int")))
    write("b.avsc", record("User", "Inner", "Outer", ["null", "Inner"]))
    run(*RECORDS, "b.avsc", "a.avsc")
    assert held(registry, "User")[0]["references"] == [{"name": "Outer", "subject": "Outer", "version": 1}]


def test_the_text_is_registered_as_it_stands_without_a_mark_of_byte_order(registry: SchemaRegistryServer) -> None:
    text = '{"type": "record",\r\n "name": "Ä", "namespace": "x", "fields": []}\r\n'
    run(*RECORDS, write("a.avsc", b"\xef\xbb\xbf" + text.replace("Ä", "A").encode()))
    assert json.loads(registry.registrations[0].body)["schema"] == text.replace("Ä", "A")


# -- what is refused -----------------------------------------------------------------------------


def test_an_incompatible_change_is_told_with_field_rule_and_advice(registry: SchemaRegistryServer) -> None:
    item = record("Item", "string", namespace="shop")
    write("order.avsc", record("Order", {"type": "array", "items": item}, namespace="shop"))
    run("--topic", "orders", "order.avsc")
    item["fields"].append({"name": "price", "type": "int"})
    write("order.avsc", record("Order", {"type": "array", "items": item}, namespace="shop"))
    told = [
        "incompatible  order.avsc -> orders-value",
        "    BACKWARD: With it, messages of version 1 cannot be read.",
        "      Order.f0[].price  READER_FIELD_MISSING_DEFAULT_VALUE",
        "        The field is not in version 1, and has no default.",
        "        -> Give it a default, with which older messages are read.",
    ]
    assert lines("--topic", "orders", "order.avsc", exit_code=1) == [*told, "1 file: 1 incompatible."]
    assert lines("--topic", "orders", "--dry-run", "order.avsc", exit_code=1, columns=120) == [
        *told,
        "1 file: 1 incompatible. Nothing was registered: this was a dry run.",
    ]
    (file,) = document("--topic", "orders", "order.avsc", exit_code=1)["files"]
    assert file["findings"] == [
        {
            "version": 1,
            "cannot_read": "new",
            "path": "Order.f0[].price",
            "rule": "READER_FIELD_MISSING_DEFAULT_VALUE",
            "what": "The field is not in version 1, and has no default.",
            "advice": "Give it a default, with which older messages are read.",
        }
    ]
    assert file["compatibility"] == "BACKWARD"


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_transitive_level_tells_of_all_versions(registry: SchemaRegistryServer, dry: tuple[str, ...]) -> None:
    with registry._schemas() as store:
        store.set_config(None, {"compatibility": "NONE"})
    for kind in ("int", "string", "double"):
        registry.register("t-value", json.dumps(record("R", kind)))
    with registry._schemas() as store:
        store.delete_version("t-value", "2")
        store.set_config("t-value", {"compatibility": "FORWARD_TRANSITIVE"})
    (file,) = document("--topic", "t", *dry, write("r.avsc", record("R", "float")), exit_code=1)["files"]
    assert [(f["version"], f["cannot_read"], f["rule"]) for f in file["findings"]] == [(1, "old", "TYPE_MISMATCH")]


def test_a_change_in_a_type_is_found_in_what_refers_to_it(registry: SchemaRegistryServer) -> None:
    with registry._schemas() as store:
        store.set_config("shop.Money", {"compatibility": "NONE"})
    run("--topic", "orders", shop())
    write("schemas/types/money.avsc", record("Money", "string", namespace="shop"))
    expected = {"schemas/types/money.avsc": "new_version", "schemas/order.avsc": "incompatible"}
    assert results("--topic", "orders", "--dry-run", "schemas", exit_code=1) == expected
    assert results("--topic", "orders", "schemas", exit_code=1) == expected


def test_words_of_a_registry_that_our_rules_do_not_explain_are_told(registry: SchemaRegistryServer) -> None:
    registry.register("t-value", '"int"')
    registry.incompatible("t-value")
    told = " ".join(lines("--topic", "t", write("a.avsc", "long"), exit_code=1))
    assert "incompatible  a.avsc -> t-value" in told
    assert "as the test asked for" in told


def test_nothing_stops_at_the_first_failure_save_what_refers_to_it(registry: SchemaRegistryServer) -> None:
    registry.incompatible("Bad")
    for name in ("Bad", "Good"):
        write(f"{name}.avsc", record(name, "int"))
        write(f"{name}User.avsc", record(f"{name}User", name))
        write(f"{name}UsersUser.avsc", record(f"{name}UsersUser", f"{name}User"))
    assert results(*RECORDS, ".", exit_code=1) == {
        "./Bad.avsc": "incompatible",
        "./Good.avsc": "new_subject",
        "./BadUser.avsc": "not_tried",
        "./GoodUser.avsc": "new_subject",
        "./BadUsersUser.avsc": "not_tried",
        "./GoodUsersUser.avsc": "new_subject",
    }
    assert not any("BadUser" in request.path for request in registry.requests)


DEEP = b'{"type":"array","items":' * 3000 + b'"int"' + b"}" * 3000
ODD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b'{"type":\r\n', "no JSON: Expecting value, line 2, column 1"),
    "UTF-16": ('"int"'.encode("utf-16"), "its text is not UTF-8"),
    "empty": (b" \n", "the file is empty"),
    "too deep": (DEEP, "it is nested too deep"),
    "no name": (b'{"type":"record","fields":[]}', "the record's name is missing or no text"),
    "no fields": (b'{"type":"record","name":"R"}', "'fields' is missing"),
    "no type": (b'{"type":"array","items":1}', "1 is no type"),
    "a number for fields": (b'{"type":"record","name":"R","fields":5}', "a part of it is of the wrong type"),
    "unknown": (
        b'{"type":"record","name":"R","fields":[{"name":"a","type":"integer"}]}',
        "it refers to integer, which",
    ),
    "invalid": (b'{"type":"enum","name":"E","symbols":["a-b"]}', "Invalid schema"),
    "an escape": (b'"\\u001b[31m"', "it refers to"),
}


@pytest.mark.parametrize("case", ODD)
def test_files_that_hold_no_schema(registry: SchemaRegistryServer, case: str) -> None:
    content, words = ODD[case]
    write("good.avsc", record("Good"))
    found = whys("--subject", "s", write("odd.avsc", content), exit_code=1)
    assert words in found["odd.avsc"]
    assert "\x1b" not in run("--subject", "s", "odd.avsc", exit_code=1).stdout
    assert results(*RECORDS, "odd.avsc", "good.avsc", exit_code=1)["good.avsc"] == "new_subject"


def test_paths_that_are_no_files(registry: SchemaRegistryServer) -> None:
    Path("nothing").mkdir()
    Path("loop").mkdir()
    Path("loop/again").symlink_to("..")
    os.mkfifo("pipe")
    write("loop/readme.md", {})
    write("loop/a.avsc", record("A"))
    found = whys(*RECORDS, "missing.avsc", "nothing", "pipe", "-", "loop", "loop/a.avsc", exit_code=1)
    assert found == {
        "missing.avsc": "it cannot be read: No such file or directory",
        "nothing": "the folder holds no .avsc file",
        "pipe": "this is no regular file",
        "-": "it cannot be read: No such file or directory",
        "loop/a.avsc": None,
    }


def test_circles_and_doubles_are_refused(registry: SchemaRegistryServer) -> None:
    write("a.avsc", record("A", "B"))
    write("b.avsc", record("B", "A"))
    write("c.avsc", record("C", "A"))
    write("d.avsc", record("D"))
    write("e/d.avsc", record("D"))
    write("f.avsc", record("F", "D"))
    write("g.avsc", record("G", "G"))
    found = whys(*RECORDS, ".", exit_code=1)
    assert found.pop("./g.avsc") is None
    circle = "the files refer to each other in a circle: ./a.avsc -> ./b.avsc -> ./a.avsc"
    assert found == {
        "./a.avsc": circle,
        "./b.avsc": circle,
        "./c.avsc": "it refers to A, in ./a.avsc, which has failed",
        "./d.avsc": "./e/d.avsc has the same subject, D: which of them is it?",
        "./e/d.avsc": "./d.avsc has the same subject, D: which of them is it?",
        "./f.avsc": "it refers to D, which more than one file defines: ./d.avsc and ./e/d.avsc",
    }
    assert subjects(registry) == ["G"]


def test_what_is_read_with_two_types_of_one_name_is_refused(registry: SchemaRegistryServer) -> None:
    """Each may be registered, but not what refers to both."""
    inner = record("M", "int", namespace="n1")
    write("a.avsc", record("A", inner))
    write("b.avsc", record("B", record("M", "string", namespace="n1")))
    write("c.avsc", record("C", "A", "B"))
    write("d.avsc", record("D", "A", record("M", "long", namespace="n1")))
    write("e.avsc", record("E", {**inner, "doc": "the same"}))
    write("f.avsc", record("F", "A", "E"))
    write("g.avsc", record("G", "C"))
    write("h.avsc", record("H", "M", namespace="n1"))
    found = whys(*RECORDS, ".", exit_code=1)
    assert found.pop("./g.avsc")
    assert found == {
        "./a.avsc": None,
        "./b.avsc": None,
        "./c.avsc": "it is read with two types n1.M, which differ: ./a.avsc and ./b.avsc",
        "./d.avsc": "it is read with two types n1.M, which differ: ./a.avsc and ./d.avsc",
        "./e.avsc": None,
        "./f.avsc": None,
        "./h.avsc": "it refers to n1.M, which more than one file defines: ./a.avsc and ./b.avsc",
    }
    assert subjects(registry) == ["A", "B", "E", "F"]


WRONG = [
    ((), "which subject? Give --topic or --subject"),
    (("--topic", "t", "--subject", "s"), "give one"),
    (("--subject", "s", "--key"), "--key goes with --topic"),
    (("--topic", ".."), "cannot be a subject's name"),
    (("--topic", "t", "-X", "subject.name.strategy.type=RECORD"), "leave --topic out"),
    (("-X", "subject.name.strategy.type=ASSOCIATED"), "give --subject"),
    (("--topic", "t", "-X", "max.retrys=3"), "did you mean max.retries?"),
    (("--topic", "t", "--against", "."), "--against goes with --offline"),
    (("--topic", "t", "--compatibility", "FULL"), "--compatibility goes with --offline"),
    (("--topic", "t", "--offline"), "--offline needs --against FOLDER"),
    (("--topic", "t", "--offline", "--dry-run", "--against", "."), "it needs no --dry-run"),
    (("--topic", "t", "--offline", "--against", "nowhere"), "takes a folder"),
    (("--topic", "t", "--offline", "--against", ".", "--compatibility", "SIDEWAYS"), "NONE, BACKWARD"),
    (("--topic", "t", "other.avsc"), "2 files that no other file refers to"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_wrong_usage_asks_nobody(registry: SchemaRegistryServer, options: tuple[str, ...], words: str) -> None:
    write("other.avsc", record("Other"))
    result = run(*options, write("a.avsc", record("A")), exit_code=2)
    assert words in result.stderr
    assert not registry.requests


def test_without_a_registry_it_says_how_to_name_one() -> None:
    assert "SCHEMA_REGISTRY_URL" in run("--topic", "t", write("a.avsc", record("A")), exit_code=2).stderr


# -- a dry run -----------------------------------------------------------------------------------


def test_a_dry_run_registers_nothing(registry: SchemaRegistryServer) -> None:
    shop()
    told = lines("--topic", "orders", "--dry-run", "schemas", columns=120)
    assert told == [
        "new subject   schemas/types/money.avsc -> shop.Money, version 1",
        "new subject   schemas/order.avsc -> orders-value, version 1",
        "2 files: 2 new subjects. Nothing was registered: this was a dry run.",
    ]
    run("--topic", "orders", "schemas")
    write("schemas/types/money.avsc", {**MONEY, "doc": "an amount"})
    expected = {"schemas/types/money.avsc": "new_version", "schemas/order.avsc": "new_version"}
    registry.clear_requests()
    assert results("--topic", "orders", "--dry-run", "schemas") == expected
    assert not registry.registrations


NONE: dict[str, Any] = {
    "a default of another type": record("G", ({"name": "a", "type": "int", "default": "x"},)),
    "a symbol twice": {"type": "enum", "name": "E", "symbols": ["A", "A"]},
    "a default that is no symbol": {"type": "enum", "name": "E", "symbols": ["A"], "default": "B"},
    "a branch twice": ["int", "int"],
    "a field twice": record("G", ({"name": "a", "type": "int"},), ({"name": "a", "type": "int"},)),
    "a field's name": record("G", ({"name": "a b", "type": "int"},)),
    "a type's name": record("E/../x"),
    "a size": {"type": "fixed", "name": "F", "size": -1},
}


@pytest.mark.parametrize("case", NONE)
def test_what_the_registry_refuses_is_refused_without_it(registry: SchemaRegistryServer, case: str) -> None:
    Path("old").mkdir()
    write("a.avsc", NONE[case])
    for way in (("--dry-run",), ("--offline", "--against", "old"), ()):
        assert results("--subject", "s", *way, "a.avsc", exit_code=1) == {"a.avsc": "failed"}, way
    assert "422" in str(document("--subject", "s", "a.avsc", exit_code=1)["files"][0]["why"])
    assert not subjects(registry)


def test_what_is_well_is_not_red(registry: SchemaRegistryServer) -> None:
    write("a.avsc", record("A"))
    colours = {"env": {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}}
    red, command = "\x1b[1;31m", ["register", "--topic", "t", "--dry-run", "a.avsc"]
    told = CliRunner().invoke(app, command, **colours).stdout
    assert "1 new subject." in told
    assert "\x1b[" in told
    assert red not in told
    write("a.avsc", record("A", "nope"))
    assert red in CliRunner().invoke(app, command, **colours).stdout


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_json_tells_what_was_done(registry: SchemaRegistryServer, dry: tuple[str, ...]) -> None:
    told = document("--topic", "t", *dry, write("a.avsc", record("A")))
    assert (told["verdict"], told["kind"]) == ("well", "dry_run" if dry else "register")
    assert told["summary"] == {
        "new_subject": 1,
        "new_version": 0,
        "unchanged": 0,
        "incompatible": 0,
        "failed": 0,
        "not_tried": 0,
    }


# -- without a registry --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("BACKWARD", "new_version"),
        ("backward_transitive", "incompatible"),
        ("FORWARD", "incompatible"),
        ("NONE", "new_version"),
    ],
)
def test_offline_judges_against_a_folder_of_versions(level: str, expected: str) -> None:
    """2.avsc comes before 10.avsc."""
    write("old/t-value/2.avsc", record("R", "string"))
    write("old/t-value/10.avsc", record("R", "int"))
    new = write("r.avsc", record("R", "long"))
    options = ("--offline", "--against", "old", "--compatibility", level, "--topic", "t", new)
    (file,) = document(*options, exit_code=None)["files"]
    assert file["result"] == expected
    if level == "backward_transitive":
        assert [f["version"] for f in file["findings"]] == ["old/t-value/2.avsc"]
    if expected == "new_version":
        assert file["version"] == 3


@pytest.mark.parametrize("place", ["t-value.avsc", "types/r.avsc", "t-value/v1.avsc"])
def test_offline_layouts(place: str) -> None:
    write(f"old/{place}", record("R", "string"))
    write("new/types/r.avsc", record("R", "int"))
    options = ("--offline", "--against", "old", "--topic", "t", "new")
    assert results(*options, exit_code=1) == {"new/types/r.avsc": "incompatible"}
    write("new/types/r.avsc", json.dumps(record("R", "string"), indent=2).encode())
    assert results(*options) == {"new/types/r.avsc": "unchanged"}


def test_offline_a_subject_with_slashes_is_a_folder_of_its_quoted_name() -> None:
    write("old/a%2Fb/1.avsc", "string")
    assert results("--offline", "--against", "old", "--subject", "a/b", write("a.avsc", "int"), exit_code=1) == {
        "a.avsc": "incompatible"
    }


def test_offline_earlier_versions_are_read_with_what_they_refer_to() -> None:
    write("old/orders-value/1.avsc", ORDER)
    write("old/shop.Money/1.avsc", MONEY)
    shop()
    options = ("--offline", "--against", "old", "--topic", "orders", "schemas")
    assert set(results(*options).values()) == {"unchanged"}
    write("schemas/types/money.avsc", record("Money", "string", namespace="shop"))
    write("schemas/order.avsc", {**ORDER, "doc": "an order"})
    assert results(*options, exit_code=1) == {
        "schemas/types/money.avsc": "incompatible",
        "schemas/order.avsc": "not_tried",
    }
    assert results("--offline", "--against", "old", "--topic", "orders", "schemas/order.avsc") == {
        "schemas/order.avsc": "new_version"
    }


def test_offline_what_is_no_schema_is_told() -> None:
    Path("old").mkdir()
    (why,) = whys(
        "--offline", "--against", "old", "--topic", "t", write("r.avsc", record("R", "nope")), exit_code=1
    ).values()
    assert why.startswith("no Avro schema")


def test_offline_a_schema_that_is_none_stops_no_other() -> None:
    """An earlier version is read as strictly as a new one: what is compared later must be there."""
    colour = {"type": "enum", "name": "Colour", "symbols": ["RED"]}
    write("old/Aliased/1.avsc", record("Aliased", ({"name": "a", "type": "int", "aliases": 1},)))
    write("old/Colour/1.avsc", {**colour, "symbols": [1, 2]})
    write("new/aliased.avsc", record("Aliased", "int"))
    write("new/colour.avsc", colour)
    write("new/good.avsc", record("Good"))
    write("new/odd.avsc", record("R\ud800"))
    write("new/half.avsc", record("Good", namespace="\ud800"))
    options = ("--offline", "--against", "old", "--compatibility", "FULL", *RECORDS, "new")
    assert whys(*options, exit_code=1) == {
        "new/aliased.avsc": "an earlier version cannot be read: aliases is no list",
        "new/colour.avsc": "an earlier version cannot be read: 1 is no text",
        "new/good.avsc": None,
        "new/half.avsc": "'\\ud800.Good' cannot be a subject's name",
        "new/odd.avsc": "'R\\ud800' cannot be a subject's name",
    }
    assert "5 files: 1 new subject, 4 failed." in run(*options, exit_code=1).stdout
    (why,) = whys("--offline", "--against", "old", "--subject", "s", "new/odd.avsc", exit_code=1).values()
    assert why.startswith("no Avro schema: 'R\\ud800' is no name")


# -- a registry that is not well -----------------------------------------------------------------


def test_a_deploy_during_an_election_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shop()
    with SchemaRegistryCluster(after_kill=0.6) as cluster:
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", cluster.url)
        cluster.kill_leader()
        assert set(results("-X", ANYONE, "--topic", "orders", "schemas").values()) == {"new_subject"}
        assert 500 in [request.answer for request in cluster.nodes[1].registrations]


@pytest.mark.parametrize("fault", [no_leader(), reset(), truncate(), html(502), error(500, 50002, "timed out")])
def test_faults_on_the_way_are_retried_with_the_whole_body(registry: SchemaRegistryServer, fault: Any) -> None:
    registry.fail_next(fault, fault, matching=lambda request: request.path.endswith("/versions"))
    assert set(results("--topic", "orders", shop()).values()) == {"new_subject"}
    bodies = [request.body for request in registry.registrations if "shop.Money" in request.path]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1


def test_a_registry_that_is_away_fails_within_the_time_given() -> None:
    told = run("--topic", "t", "-X", "url=http://127.0.0.1:1", "-X", ANYONE, "--timeout", "0.2", shop(), exit_code=1)
    assert "the connection was refused" in " ".join(told.stdout.split())
    assert "produce" not in told.stdout
    assert "2 files: 1 failed, 1 not tried." in told.stdout
    assert not told.stderr


HOSTILE: list[tuple[str, Any]] = [
    ("/versions/latest", {"subject": "t-value", "version": 2**31 - 1, "id": 1, "schema": "[[[["}),
    ("/versions/latest", {"subject": "t-value", "version": 7, "id": 1, "schema": '{"type":"array","items":' * 5000}),
    ("/config/", {"compatibilityLevel": ["\x1b[31m"]}),
    ("/config/", {"compatibilityLevel": "SIDEWAYS"}),
]


@pytest.mark.parametrize(("path", "says"), HOSTILE)
def test_a_registry_that_says_odd_things_of_what_it_has(registry: SchemaRegistryServer, path: str, says: Any) -> None:
    registry.register("t-value", '"int"')
    registry.fail_always(
        error(409, 409, "no \x1b[31mway\nout"), lambda request: request.path.endswith("/t-value/versions")
    )
    registry.fail_always(answer(200, json.dumps(says)), on(path))
    told = run("--topic", "t", "--timeout", "0.5", write("a.avsc", "string"), exit_code=1).stdout
    assert told.startswith("incompatible  a.avsc -> t-value")
    assert "no [31mway out" in told
    assert "\x1b" not in told
    assert len(registry.requests) < 20


@pytest.mark.parametrize("references", [1, 300])
def test_a_registry_whose_schemas_refer_to_each_other_without_end(
    registry: SchemaRegistryServer, references: int
) -> None:
    registry.register("t-value", '"int"')
    registry.fail_always(error(409, 409, "no"), lambda request: request.path.endswith("/versions"))

    def play(exchange: Any) -> None:
        subject = exchange.request.path.split("/")[2]
        more = [{"name": f"x{n}", "subject": f"s{n}", "version": 1} for n in range(references)]
        schema = {"subject": subject, "version": 1, "id": 1, "schema": '"int"', "references": more}
        exchange.send(replace(exchange.real_answer(), status=200, body=json.dumps(schema).encode()))

    registry.fail_always(
        Fault("refers", play), lambda request: request.method == "GET" and "/versions/" in request.path
    )
    assert results("--topic", "t", write("a.avsc", "string"), exit_code=1) == {"a.avsc": "incompatible"}
    assert len(registry.requests) < 120


def test_a_level_that_is_not_told_lets_nothing_be_judged(registry: SchemaRegistryServer) -> None:
    run("--topic", "orders", shop())
    write("schemas/types/money.avsc", {**MONEY, "doc": "an amount"})
    registry.fail_always(error(403, 40301, "not yours"), on("/config/"))
    told = whys("--topic", "orders", "--dry-run", "schemas", exit_code=1)
    assert told["schemas/order.avsc"] == "the registry does not tell the subject's level of compatibility"


@pytest.mark.parametrize("name", ["compatibilityLevel", "compatibility"])
def test_apicurio_tells_the_level_under_either_name(registry: SchemaRegistryServer, name: str) -> None:
    registry.register("t-value", '"int"')
    registry.fail_always(error(409, 409, "RuleViolationException"), lambda request: request.path.endswith("/versions"))
    registry.fail_always(answer(200, json.dumps({name: "FORWARD"})), on("/config/"))
    (file,) = document("--topic", "t", write("a.avsc", "string"), exit_code=1)["files"]
    assert (file["compatibility"], file["findings"][0]["cannot_read"]) == ("FORWARD", "old")


def test_what_cannot_be_written_any_more_stops_nothing(registry: SchemaRegistryServer) -> None:
    for number in range(30):
        write(f"many/m{number}.avsc", record(f"M{number}"))
    command = [sys.executable, "-m", "kafka_sr_retry.cli", "register", *RECORDS, "many"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(60)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (141, b"")
    assert len(subjects(registry)) == 30


def test_what_a_file_says_does_not_move_the_terminal(registry: SchemaRegistryServer) -> None:
    write("a.avsc", record("A\x1b[2J"))
    write("b.avsc", record("B", "A\x1b[2J"))
    registry.fail_always(error(422, 42201))
    printed = run(*RECORDS, "a.avsc", "b.avsc", columns=200, exit_code=1).stdout
    assert r"it refers to A\u001b[2J, in a.avsc, which has failed" in printed
    assert "\x1b" not in printed


def test_progress_is_no_part_of_a_file(registry: SchemaRegistryServer) -> None:
    import pty

    screen, terminal = pty.openpty()
    write("a.avsc", record("A"))
    command = [sys.executable, "-m", "kafka_sr_retry.cli", "register", *RECORDS, "a.avsc"]
    with open("out", "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=terminal, env={**os.environ, "FORCE_COLOR": "1"})
    os.close(terminal)
    told = b""
    while block := read(screen):
        told += block
    os.close(screen)
    assert process.wait(60) == 0
    assert b" of 1 files" in told
    assert b" of 1 files" not in Path("out").read_bytes()


def read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_it_with_a_report(registry: SchemaRegistryServer, number: int) -> None:
    write("a.avsc", record("A"))
    for count in range(20):
        write(f"b/{count}.avsc", record(f"B{count}", "A"))

    def is_b(request: RecordedRequest) -> bool:
        return request.path.startswith("/subjects/B")

    registry.fail_always(hang(), is_b)
    patient = ("--timeout", "600", "-X", "request.timeout.ms=600000")  # nothing but the signal ends it
    command = [sys.executable, "-m", "kafka_sr_retry.cli", "register", *RECORDS, *patient, "a.avsc", "b"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        while len([request for request in registry.requests if is_b(request)]) < 16:
            assert process.poll() is None
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert first.startswith("new subject   a.avsc")
    assert process.returncode == 128 + number
    assert rest.splitlines()[-1].startswith("Interrupted. 21 files: 1 new subject, 16 failed, 4 not tried.")


def test_a_signal_that_it_was_started_to_ignore_ends_nothing(registry: SchemaRegistryServer) -> None:
    came, goes_on = threading.Event(), threading.Event()

    def held(exchange: Any) -> None:
        came.set()
        assert goes_on.wait(LONG)
        exchange.send(exchange.real_answer())

    registry.fail_next(Fault("held", held))
    command = [*DEAF, sys.executable, "-m", "kafka_sr_retry.cli", "register", *RECORDS, write("a.avsc", record("A"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert came.wait(LONG)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        goes_on.set()
        told, _ = process.communicate(timeout=LONG)
    assert process.returncode == 0
    assert told.startswith("new subject   a.avsc")


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_wider_than_the_screen(registry: SchemaRegistryServer, columns: int) -> None:
    registry.register("t-value", json.dumps(record("R", "int")))
    write("a" * 60 + "/" + "b" * 60 + ".avsc", record("R", ["string", record("N" * 90)]))
    told = run("--topic", "t", "a" * 60, exit_code=1, columns=columns).stdout
    assert max(map(len, told.splitlines())) <= columns
