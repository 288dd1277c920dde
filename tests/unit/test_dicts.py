"""Objects as dicts, which the compiled function takes: what is made of them, and what is left to others."""

from __future__ import annotations

import gc
import json
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from typing import Any

import attrs
import pydantic
import pytest
from fastavro import parse_schema, schemaless_writer

from kafka_sr_retry import AvroEncodingError, ConfigurationError
from kafka_sr_retry.avro.compiler import compiled
from kafka_sr_retry.avro.dicts import MOST, by_dicts, maker
from kafka_sr_retry.avro.encoder import ENCODER, AvroSchema

PREFIX, BY_ANOTHER = b"\0\0\0\0\7", b"by another"


def record(called: str, **fields: Any) -> Any:
    return {"type": "record", "name": called, "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}


def listed(items: Any) -> Any:
    return {"type": "array", "items": items}


class Taken(list[Any]):
    """Values that came to whoever writes what the compiled function does not."""

    def __call__(self, value: Any, prefix: bytes) -> bytes:
        self.append(value)
        return BY_ANOTHER


def writer(schema: Any) -> tuple[Callable[[Any], bytes], Taken]:
    named: dict[str, Any] = {}
    parsed, taken = parse_schema(schema, named_schemas=named), Taken()
    write = compiled(parsed, named).writer
    made = write(PREFIX, by_dicts(write, maker(parsed, named), taken))
    return lambda value: made(value, None), taken


def by_fastavro(schema: Any, value: Any) -> bytes:
    out = BytesIO()
    schemaless_writer(out, parse_schema(json.loads(json.dumps(schema))), value)
    return PREFIX + out.getvalue()


@dataclass
class Item:
    sku: str
    count: int
    unknown: object = None


@attrs.define
class Leaf:
    name: str
    inner: Any = None


class Order(pydantic.BaseModel):
    id: str
    items: list[Any]
    by_name: dict[str, Any]
    first: Any
    leaf: Any


ITEM = record("Item", sku="string", count="long")
LEAF = record("Leaf", inner=["null", "Leaf"], name="string")
ORDER = record(
    "Order",
    id="string",
    items=listed(ITEM),
    by_name={"type": "map", "values": listed("Item")},
    first=["null", "string", "Item"],
    leaf=LEAF,
)


def order(item: Callable[..., Any], leaf: Callable[..., Any], whole: Callable[..., Any], first: bool = True) -> Any:
    one = item(sku="a", count=1)
    inner = leaf(name="x", inner=leaf(name="y", inner=None))
    return whole(id="7", items=[one, one], by_name={"k": [one]}, first=one if first else "none", leaf=inner)


@pytest.mark.parametrize("first", [True, False])
def test_objects_are_written_by_the_compiled_function_wherever_they_stand(first: bool) -> None:
    write, taken = writer(ORDER)
    assert write(order(Item, Leaf, Order, first)) == by_fastavro(ORDER, order(dict, dict, dict, first))
    assert not taken
    in_union, taken = writer(["null", ORDER])
    assert in_union(order(Item, Leaf, Order)) == by_fastavro(["null", ORDER], order(dict, dict, dict))
    assert not taken
    in_array, taken = writer(listed(ITEM))
    assert in_array([Item("a", 1)]) == by_fastavro(listed(ITEM), [{"sku": "a", "count": 1}])
    assert not taken


def test_each_attribute_is_read_once() -> None:
    read = list[str]()

    @dataclass
    class Counted:
        sku: str = "a"
        count: int = 1

        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("__"):
                read.append(name)
            return super().__getattribute__(name)

    write, _ = writer(listed(ITEM))
    assert write([Counted()]) == by_fastavro(listed(ITEM), [{"sku": "a", "count": 1}])
    assert read == ["sku", "count"]


@dataclass
class Lacks:
    sku: str


@dataclass
class HasNone:
    sku: str
    count: int = field(init=False)


class Aliased(pydantic.BaseModel):
    sku: str
    amount: int = pydantic.Field(alias="count")


@dataclass
class Listed(list):  # type: ignore[type-arg]
    sku: str = "a"
    count: int = 1


@pytest.mark.parametrize("value", [Lacks("a"), HasNone("a"), Aliased(sku="a", count=1), Listed(), 5, {"sku": "a"}])
def test_what_is_not_sure_is_anothers_as_it_was(value: Any) -> None:
    write, taken = writer(ITEM)
    assert write(value) == BY_ANOTHER
    assert taken[0] is value


class Late(Exception):  # noqa: N818
    """As a signal handler raises it."""


@pytest.mark.parametrize("error", [Late, LookupError, KeyboardInterrupt])
def test_what_is_raised_meanwhile_is_lost_only_where_the_value_may_be_at_fault(error: type[BaseException]) -> None:
    raises = [error]

    @dataclass
    class Interrupted:
        sku: str = "a"
        count: int = 1

        def __getattribute__(self, name: str) -> Any:
            if name == "count" and raises:
                raise raises.pop()
            return super().__getattribute__(name)

    write, taken = writer(ITEM)
    if error is LookupError:
        assert write(Interrupted()) == BY_ANOTHER
    else:
        with pytest.raises(error):
            write(Interrupted())
    assert len(taken) == (error is not KeyboardInterrupt)


def test_an_attribute_that_always_raises_is_a_misfit_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Broken:
        sku: str = "a"
        count: int = 1

        def __getattribute__(self, name: str) -> Any:
            if name == "count":
                raise Late
            return super().__getattribute__(name)

    monkeypatch.setenv(ENCODER, "python")
    with pytest.raises(AvroEncodingError) as refused:
        AvroSchema(json.dumps(listed(ITEM))).writer(PREFIX)([Item("a", 1), Broken()], None)
    assert refused.value.field_path == "[1].count"


def test_a_name_with_a_point_is_one_attribute() -> None:
    dotted = pydantic.create_model("Dotted", **{"a.b": (int, ...), "a": (int, ...)})  # type: ignore[call-overload]
    names = record("D", **{"a.b": "long", "a": "long"})
    write, taken = writer(names)
    assert write(dotted(**{"a.b": 1, "a": 2})) == by_fastavro(names, {"a.b": 1, "a": 2})
    assert not taken


def test_a_list_is_taken_as_it_is_when_its_first_item_is_read() -> None:
    items: list[Any] = []

    @dataclass
    class Shortens:
        sku: str
        count: int

        def __getattribute__(self, name: str) -> Any:
            if name == "count" and len(items) > 3:
                items.pop(0)
            return super().__getattribute__(name)

    items += [Shortens(str(number), number) for number in range(6)]
    write, taken = writer(listed(ITEM))
    expected = [{"sku": str(number), "count": number} for number in range(6)]
    assert write(items) == by_fastavro(listed(ITEM), expected)
    assert not taken


class Fickle(str):
    """A text whose hash and equality change."""

    same = False

    def __hash__(self) -> int:
        return 1 if Fickle.same else super().__hash__()

    def __eq__(self, other: object) -> bool:
        return Fickle.same or self is other


def test_no_key_of_a_map_becomes_that_of_another() -> None:
    given = {Fickle("a"): Item("x", 1), Fickle("b"): Item("y", 2)}
    Fickle.same = True
    try:
        write, taken = writer({"type": "map", "values": ITEM})
        assert write(given) == BY_ANOTHER
        assert len(taken[0]) == 2
    finally:
        Fickle.same = False


@dataclass
class Has:
    a: Any


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (record("Has", a=["null", {"type": "map", "values": "long"}]), Has(("map", {"k": 1})), {"a": {"k": 1}}),
        (record("Has", a=["null", record("R", x="long")]), Has({"-type": "R", "x": 1}), {"a": {"x": 1}}),
        (record("Has", a=["null", "Has"]), Has(Has({"-type": "Has", "a": None})), {"a": {"a": {"a": None}}}),
        (record("Has", a="double"), Has(Fraction(1, 2)), {"a": 0.5}),
    ],
)
def test_an_object_whose_dict_is_not_taken_is_written_as_what_it_was(
    schema: Any, value: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENCODER, "python")
    union = ["null", schema]
    assert AvroSchema(json.dumps(union)).writer(PREFIX)(value, None) == by_fastavro(union, expected)


def test_the_field_at_fault_is_the_first_where_the_object_was_made_a_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENCODER, "python")
    lacks = dataclass(type("Lacks", (), {"__annotations__": {"a": int}}))
    inner = record("Inner", a="long", b=["null", "long"])
    two = dataclass(type("Two", (), {"__annotations__": {"count": Any, "inner": Any}}))
    schema = ["null", record("Two", count="long", inner=inner)]
    with pytest.raises(AvroEncodingError) as refused:
        AvroSchema(json.dumps(schema)).writer(PREFIX)(two("x", lacks(1)), None)
    assert refused.value.field_path == "count"


@pytest.mark.parametrize("records", [30, 90])
def test_a_schema_too_deep_for_its_objects_is_none_for_its_dicts(records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever on the stack it is compiled."""
    monkeypatch.setenv(ENCODER, "python")
    kind: Any = "long"
    for number in range(records):
        kind = record(f"N{number}", x=kind)
    text = json.dumps(kind)
    schemas = [AvroSchema(text) for _ in range(0, sys.getrecursionlimit() - 150, 10)]

    def below(depth: int, schema: AvroSchema) -> Any:
        return schema.writer(PREFIX) if depth == 0 else below(depth - 1, schema)

    for number, schema in enumerate(schemas):
        with suppress(ConfigurationError):  # nothing follows it there
            assert callable(below(10 * number, schema))


@dataclass
class Node:
    x: Any
    left: Any
    right: Any


def test_objects_that_share_others_are_not_written_out_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENCODER, "python")
    schema = AvroSchema(json.dumps(record("Node", x="long", left=["null", "Node"], right=["null", "Node"])))
    read = list[None]()

    @dataclass
    class Counted(Node):
        def __getattribute__(self, name: str) -> Any:
            if name == "x":
                read.append(None)
            return super().__getattribute__(name)

    value: Any = Counted("bad", None, None)
    for _ in range(60):
        value = Counted(1, value, value)
    with pytest.raises(AvroEncodingError):
        schema.writer(PREFIX)(value, None)
    assert len(read) < 2 * MOST


def test_more_objects_than_are_made_dicts_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENCODER, "python")
    expected = by_fastavro(listed(ITEM), [{"sku": "a", "count": 1}] * (MOST + 1))
    assert AvroSchema(json.dumps(listed(ITEM))).writer(PREFIX)([Item("a", 1)] * (MOST + 1), None) == expected


def test_an_extra_field_is_not_hidden_by_a_declared_one_of_its_name() -> None:
    class Hiding(pydantic.BaseModel, extra="allow"):
        amount: int = pydantic.Field(validation_alias="count")

    class Open(pydantic.BaseModel, extra="allow"):
        amount: int

    hiding = Hiding(count=1, amount=5)  # type: ignore[call-arg]
    assert hiding.model_dump() == {"amount": 5}
    schema = record("R", amount="long")
    write, taken = writer(schema)
    assert (write(hiding), taken) == (BY_ANOTHER, [hiding])
    assert write(Open(amount=7)) == by_fastavro(schema, {"amount": 7})
    assert AvroSchema(json.dumps(schema)).writer(PREFIX)(hiding, None) == by_fastavro(schema, {"amount": 5})


@pytest.mark.parametrize("encoder", ["native", "python", "fastavro"])
def test_a_field_that_looks_like_a_hint_is_one_in_a_union(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENCODER, encoder)
    hinting = pydantic.create_model("Hinting", **{"-type": (str, ...), "a": (int, ...)})  # type: ignore[call-overload]
    schema = record("R", **{"-type": "string", "a": "long"})
    write = AvroSchema(json.dumps(["null", schema])).writer(PREFIX)
    with pytest.raises(AvroEncodingError):
        write(hinting(**{"-type": "Q", "a": 1}), None)
    fields = {"-type": "R", "a": 1}
    assert write(hinting(**fields), None) == by_fastavro(["null", schema], fields)


class Local:
    """What a caller's frame holds."""


def test_no_error_holds_the_frames_that_it_has_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they, and what they hold, would stay until a collection of garbage, which may be far or off."""

    @dataclass
    class Interrupted:
        sku: str
        count: int
        left: int = 1

        def __getattribute__(self, name: str) -> Any:
            if name == "count" and vars(self)["left"]:
                vars(self)["left"] -= 1
                raise Late
            return super().__getattribute__(name)

    def values() -> list[Any]:
        return [{"sku": 5, "count": 1}, {"sku": "a"}, 7, Lacks("a"), Item("a", "b"),  # type: ignore[arg-type]
                Interrupted("a", 1), Interrupted("a", 1, 9), {"sku": "a", "count": Fraction(1, 2)}]  # fmt: skip

    def held(write: Any, value: Any) -> weakref.ref[Local]:
        local = Local()
        with suppress(AvroEncodingError, Late):
            write(value, None)
        return weakref.ref(local)

    gc.collect()
    gc.disable()
    try:
        for encoder in ("native", "python", "fastavro"):
            monkeypatch.setenv(ENCODER, encoder)
            for schema in (ITEM, ["null", ITEM]):
                write = AvroSchema(json.dumps(schema)).writer(PREFIX)
                for value in values():
                    assert held(write, value)() is None, (encoder, value)
    finally:
        gc.enable()
