"""Our serializer and Confluent's side by side: the same bytes and questions, or a difference that is listed."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import functools
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import confluent_kafka.schema_registry as confluent
import pytest
from confluent_kafka.schema_registry.avro import AvroSerializer as ConfluentsSerializer
from confluent_kafka.schema_registry.common.serde import SubjectNameStrategyType
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

from kafka_sr_retry import AvroEncodingError, AvroSerializer, RegisteredSchema, Schema, SchemaRegistryClient
from kafka_sr_retry.testing import SchemaRegistryServer, faults

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.comparison.side_by_side import KNOWN, Comparison, SideBySide  # noqa: E402


@pytest.fixture(scope="module")
def sides() -> Iterator[SideBySide]:
    with SideBySide() as made:
        yield made


def explained(comparison: Comparison) -> Comparison:
    assert not comparison.unexplained, "\n".join(map(str, comparison.unexplained))
    assert comparison.known <= set(KNOWN)
    return comparison


def record(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields.items()]}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapping(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


# -- schemas -----------------------------------------------------------------------------------

_UTC = datetime.timezone.utc
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_NAMES = st.sampled_from(["A", "B", "C", "Order", "_x1"])
_SPACES = st.sampled_from([None, "", "shop", "shop.eu", "a.b"])
_MOMENTS = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1))
_AWARE = _MOMENTS.map(lambda moment: moment.replace(tzinfo=_UTC))


def _logical(base: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": name, **more}


def _days() -> st.SearchStrategy[Any]:
    return st.dates() | st.integers(-(2**31), 2**31 - 1) | st.just("2024-02-29")


# a primitive or logical type, and what fits it
_LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.floats(width=32) | st.integers(-100, 100)),
    ("double", st.floats() | st.integers(-100, 100)),
    ("bytes", st.binary(max_size=4) | st.binary(max_size=4).map(bytearray)),
    ("string", _TEXT),
    ({"type": "string", "avro.java.string": "String"}, _TEXT),
    ({"type": "long"}, st.integers(-5, 5)),
    (_logical("int", "date"), _days()),
    (_logical("int", "time-millis"), st.times() | st.integers(0, 86_399_999)),
    (_logical("long", "time-micros"), st.times()),
    (_logical("long", "timestamp-millis"), _MOMENTS | _AWARE),
    (_logical("long", "timestamp-micros"), _AWARE | st.integers(0, 9)),
    (_logical("long", "local-timestamp-millis"), _MOMENTS),
    (_logical("long", "local-timestamp-micros"), _MOMENTS),
    (_logical("string", "uuid"), st.uuids() | st.uuids().map(str)),
    (_logical("bytes", "decimal", precision=9, scale=2), st.decimals(-9999, 9999, places=2) | st.binary(max_size=3)),
    (_logical("string", "unheard-of"), _TEXT),
]


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> Any:
    """Avro schemas, and now and then what is none: a name that is taken or missing, a default that does not fit."""
    known: list[str] = []

    def full(name: str, space: str | None, around: str) -> str:
        space = around if space is None else space
        return f"{space}.{name}" if space and "." not in name else name

    def leaf() -> Any:
        return draw(st.sampled_from(_LEAVES))[0]

    def named(kind: str, around: str, depth: int) -> Any:
        base, space = draw(_NAMES), draw(_SPACES)
        name = f"{base}{len(known)}" if draw(st.integers(0, 60)) else base
        schema: dict[str, Any] = {"type": kind, "name": name}
        if space is not None:
            schema["namespace"] = space
        known.append(full(name, space, around))
        inside = known[-1].rpartition(".")[0]
        if draw(st.integers(0, 3)) == 0:
            schema |= {"doc": draw(_TEXT), "aliases": ["Old"]}
        if kind == "enum":
            return schema | {"symbols": ["RED", "green", "_3"]}
        if kind == "fixed":
            size = draw(st.sampled_from([1, 4, 12]))
            return schema | {"size": size} | ({"logicalType": "duration"} if size == 12 else {})
        count = draw(st.integers(0, 4))
        return schema | {"fields": [field(f"f{i}", inside, depth - 1) for i in range(count)]}

    def field(name: str, around: str, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"name": name, "type": any_type(around, depth)}
        default = _default(made["type"])
        if default is not ... and draw(st.integers(0, 2)) == 0:
            made["default"] = default if draw(st.integers(0, 30)) else {"no": "default"}
        if draw(st.integers(0, 5)) == 0:
            made |= {"doc": "ü", "aliases": ["was"], "order": "ignore"}
        return made

    def union(around: str, depth: int) -> Any:
        branches, kinds = [], set()
        for _ in range(draw(st.integers(1, 4))):
            branch = any_type(around, depth - 1, unions=False)
            kind = branch if isinstance(branch, str) else branch.get("name", branch["type"])
            if kind not in kinds:
                kinds.add(kind)
                branches.append(branch)
        return branches

    def any_type(around: str, depth: int, unions: bool = True) -> Any:
        kinds = ["leaf", "leaf", "leaf"]
        if known:
            kinds.append("again")
        if depth > 0:
            kinds += ["record", "record", "enum", "fixed", "array", "map"] + (["union", "optional"] if unions else [])
        kind = draw(st.sampled_from(kinds))
        if kind == "leaf":
            return leaf()
        if kind == "again":
            return draw(st.sampled_from(known)) if draw(st.integers(0, 60)) else "Missing"
        if kind == "array":
            return {"type": "array", "items": any_type(around, depth - 1)}
        if kind == "map":
            return {"type": "map", "values": any_type(around, depth - 1)}
        if kind == "union":
            return union(around, depth)
        if kind == "optional":
            inner = any_type(around, depth - 1, unions=False)
            return ["null", inner] if inner != "null" else inner
        return named(kind, around, depth)

    return any_type("", depth)


def _default(schema: Any) -> Any:
    """One that fits, or ``...``."""
    simple = {"null": None, "boolean": True, "int": 1, "long": 2, "double": 1.5, "string": "ü", "bytes": "\u00ff"}
    if isinstance(schema, list):
        return _default(schema[0]) if schema else ...
    if isinstance(schema, str):
        return simple.get(schema, ...)
    return {"array": [], "map": {}, "enum": "RED"}.get(schema["type"], ...)


# -- objects -----------------------------------------------------------------------------------


def fitting(schema: Any) -> st.SearchStrategy[Any]:
    """Objects that fit, as far as the schema is one."""
    named: dict[str, Any] = {}
    _collect(schema, "", named)
    return _objects(schema, "", named, 4)


def _collect(schema: Any, around: str, named: dict[str, Any]) -> None:
    if isinstance(schema, list):
        for branch in schema:
            _collect(branch, around, named)
    elif isinstance(schema, dict) and "name" in schema:
        space = schema.get("namespace", around)
        name = f"{space}.{schema['name']}" if space else schema["name"]
        named[name] = (schema, space)
        for one in schema.get("fields", ()):
            _collect(one["type"], space, named)
    elif isinstance(schema, dict):
        _collect(schema.get("items", schema.get("values")), around, named)


def _objects(schema: Any, around: str, named: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        branches = [(branch, _objects(branch, around, named, depth - 1)) for branch in schema]
        if depth <= 0 and "null" in schema:
            return st.none()
        return st.one_of([st.none(), *(_in_union(branch, objects, around) for branch, objects in branches)])
    for leaf, objects in _LEAVES:
        if leaf == schema:
            return objects
    if isinstance(schema, str):
        if schema not in named or depth <= 0:
            return st.none()
        schema, around = named[schema][0], named[schema][1] if "." in schema else around
    if depth <= -3:
        return st.none()
    kind = schema["type"]
    if kind == "array":
        return st.lists(_objects(schema["items"], around, named, depth - 1), max_size=3)
    if kind == "map":
        return st.dictionaries(_TEXT, _objects(schema["values"], around, named, depth - 1), max_size=3)
    if kind == "enum":
        return st.sampled_from(schema["symbols"])
    if kind == "fixed":
        return st.binary(min_size=schema["size"], max_size=schema["size"])
    space = schema.get("namespace", around)
    fields = {one["name"]: _objects(one["type"], space, named, depth - 1) for one in schema["fields"]}
    optional = {one["name"] for one in schema["fields"] if "default" in one}
    return st.fixed_dictionaries(
        {name: objects for name, objects in fields.items() if name not in optional},
        optional={name: fields[name] for name in optional},
    )


def _in_union(branch: Any, objects: st.SearchStrategy[Any], around: str) -> st.SearchStrategy[Any]:
    """A branch's objects bare, in tuple notation, and for records with a ``-type``."""
    if isinstance(branch, str):
        name = branch
    else:
        space = branch.get("namespace", around)
        name = f"{space}.{branch['name']}" if "name" in branch and space else branch.get("name", branch["type"])
    hinted = objects.map(lambda one: {"-type": name, **one} if isinstance(one, dict) else one)
    return objects | objects.map(lambda one: (name, one)) | hinted


_JUNK: list[Any] = [
    *(None, True, 0, -1, 2**31, 2**63, 2**70, 1.5, float("nan"), "", "x", "RED", b"", b"\0" * 12, [], [1], ["x"]),
    *({}, {"f0": 1}, {5: 5}, {"-type": "A"}, (), ("A", 1), ("string", 5), object(), set(), {"a"}, complex(1, 1)),
    *(datetime.date(2024, 2, 29), datetime.time(1), datetime.datetime(2024, 2, 29), datetime.timedelta(1)),
    *(decimal.Decimal("1.23"), decimal.Decimal("1.234567"), decimal.Decimal("NaN"), uuid.UUID(int=1)),
]


@st.composite
def spoiled(draw: st.DrawFn, objects: st.SearchStrategy[Any]) -> Any:
    """An object with junk somewhere in it, a field less or a field more."""

    def spoil(one: Any) -> Any:
        if isinstance(one, dict) and one and draw(st.booleans()):
            key = draw(st.sampled_from(sorted(one, key=repr)))
            if draw(st.integers(0, 3)) == 0:
                return {name: item for name, item in one.items() if name != key}
            return {**one, key: spoil(one[key])}
        if isinstance(one, dict) and draw(st.booleans()):
            return {**one, "additional": 1}
        if isinstance(one, list) and one and draw(st.booleans()):
            at = draw(st.integers(0, len(one) - 1))
            return [*one[:at], spoil(one[at]), *one[at + 1 :]]
        if isinstance(one, tuple) and len(one) == 2 and draw(st.booleans()):
            return (one[0], spoil(one[1]))
        return draw(st.sampled_from(_JUNK))

    return spoil(draw(objects))


def texts(schema: Any) -> st.SearchStrategy[str]:
    return st.sampled_from([json.dumps(schema), json.dumps(schema, indent=1), json.dumps(schema, ensure_ascii=False)])


def some_of(schema: Any) -> st.SearchStrategy[list[Any]]:
    objects = fitting(schema)
    return st.lists(objects | spoiled(objects), min_size=1, max_size=5)


relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck))

# -- whatever the schema, whatever the object --------------------------------------------------


@settings(relaxed, max_examples=250)
@given(st.data())
def test_the_same_bytes_and_the_same_questions(sides: SideBySide, data: st.DataObject) -> None:
    schema = data.draw(schemas())
    comparison = explained(sides.compare(data.draw(texts(schema)), data.draw(some_of(schema))))
    event("messages" if comparison.written else "no message")
    event("refusals" if comparison.refusals else "no refusal")


@settings(relaxed, max_examples=150)
@given(st.data())
def test_the_same_with_every_key(sides: SideBySide, data: st.DataObject) -> None:
    schema = data.draw(schemas(depth=2))
    text = json.dumps({"type": schema} if isinstance(schema, str) else schema)  # one form, as a real registry has it
    topic = sides.topic()
    there = data.draw(st.booleans())
    conf = data.draw(st.sampled_from(CONFS))

    def before(registry: SchemaRegistryServer) -> None:
        if there:
            try:
                registry.register(f"{topic}-value", text)
            except ValueError:
                event("the registry refuses it")

    given = None if conf.get("use.latest.version") and data.draw(st.booleans()) else text
    comparison = explained(sides.compare(given, data.draw(some_of(schema)), conf, topic=topic, before=before))
    event("messages" if comparison.written else "no message")


def places(schema: Any, one: Any, around: str, named: Mapping[str, Any], path: str = "") -> Iterator[Place]:
    """Where something else would be a misfit that only one field can be blamed for."""
    if isinstance(schema, str) and schema in named:
        schema, around = named[schema][0], named[schema][1]
    if isinstance(schema, list):
        if len(schema) == 2 and schema[0] == "null" and one is not None and not isinstance(one, tuple):
            yield from places(schema[1], one, around, named, path)
        return
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind not in ("null", "boolean"):  # of which fastavro takes anything
        yield path, lambda junk: junk
    inner: list[tuple[Any, Any, str]] = []
    if kind == "record" and isinstance(one, dict):
        around = schema.get("namespace", around)
        dot = "." if path else ""
        inner = [(f["type"], f["name"], f"{path}{dot}{f['name']}") for f in schema["fields"] if f["name"] in one]
    elif kind == "array":
        inner = [(schema["items"], i, f"{path}[{i}]") for i in range(len(one))]
    elif kind == "map":
        inner = [(schema["values"], key, f"{path}[{key!r}]") for key in one]
    for deeper, key, step in inner:
        for found, put in places(deeper, one[key], around, named, step):
            yield found, functools.partial(_put, one, key, put)


Place = tuple[str, Callable[[Any], Any]]


def _put(one: Any, key: Any, put: Callable[[Any], Any], junk: Any) -> Any:
    changed = one.copy()
    changed[key] = put(junk)
    return changed


@settings(relaxed, max_examples=120)
@given(st.data())
def test_a_misfit_at_any_depth_is_blamed_where_it_is(data: st.DataObject) -> None:
    schema = record("Root", first=array(data.draw(schemas())), second=mapping(["null", "Root"]))
    one = data.draw(fitting(schema))
    known = RegisteredSchema(7, None, None, None, Schema(json.dumps(schema)))
    try:
        serializer = AvroSerializer({"url": "http://127.0.0.1:1"}, known, None, {})
        serializer(one, SerializationContext("orders", MessageField.VALUE))
    except SerializationError:
        reject()
    named: dict[str, Any] = {}
    _collect(schema, "", named)
    found = sorted(places(schema, one, "", named), key=lambda place: -len(place[0]))  # the deepest are drawn first
    path, put = data.draw(st.sampled_from(found))
    with pytest.raises(AvroEncodingError) as caught:
        serializer(put(object()), SerializationContext("orders", MessageField.VALUE))
    assert caught.value.field_path == path
    event(f"depth {path.count('.') + path.count('[')}")


LOOK_UP = {"auto.register.schemas": False}
CONFS: list[dict[str, Any]] = [
    {},
    LOOK_UP,
    {"auto.register.schemas": True, "normalize.schemas": True},
    LOOK_UP | {"normalize.schemas": True},
    LOOK_UP | {"use.latest.version": True},
    LOOK_UP | {"use.latest.version": True, "normalize.schemas": True},
    {"use.latest.with.metadata": {"owner": "me"}},
    {"validate.strict": True},
    {"validate.strict.allow.default": True},
    {"validate.strict": True, "validate.strict.allow.default": True},
    {"validate.strict": False, "validate.strict.allow.default": False},
    {"subject.name.strategy": lambda ctx, name: f"{ctx.topic}.{ctx.field}.{name}"},
    {"subject.name.strategy": confluent.topic_subject_name_strategy, "subject.name.strategy.type": "RECORD"},
    {"subject.name.strategy.type": "topic"},
    {"subject.name.strategy.type": SubjectNameStrategyType.TOPIC},
    {"subject.name.strategy.type": "ASSOCIATED"},
    {"subject.name.strategy.type": "ASSOCIATED", "subject.name.strategy.conf": {}},
    {"schema.id.serializer": confluent.header_schema_id_serializer},
    {"schema.id.serializer": lambda payload, ctx, known: payload + known.guid_to_bytes() + known.id_to_bytes()},
]


# -- each key with one schema ------------------------------------------------------------------

ORDER = record("Order", id="long", note=["null", "string"]) | {"namespace": "shop"}
ORDERS = [{"id": 1}, {"id": 2, "note": "ü"}, {"id": "x"}, {"id": 3, "more": 1}, {}, None]
TEXT = json.dumps(ORDER)


@pytest.mark.parametrize("kind", ["TOPIC", "RECORD", "TOPIC_RECORD", "record", SubjectNameStrategyType.RECORD])
@pytest.mark.parametrize("schema", [TEXT, '{"type":"string"}', '{"type":"array","items":"long"}', '["null","long"]'])
def test_subjects_are_named_alike(kind: Any, schema: str, sides: SideBySide) -> None:
    explained(sides.compare(schema, [{"id": 1}, "a", [1], 1], {"subject.name.strategy.type": kind}))


@pytest.mark.parametrize("strategy", [confluent.record_subject_name_strategy, lambda ctx, name: f"own-{name}"])
def test_callables_name_subjects_alike(strategy: Any, sides: SideBySide) -> None:
    assert explained(sides.compare(TEXT, ORDERS, {"subject.name.strategy": strategy})).written == 3


def test_a_bare_primitive_has_the_same_name(sides: SideBySide) -> None:
    conf = {"subject.name.strategy.type": "RECORD"}
    comparison = explained(sides.compare('"string"', ["a"], conf))
    assert comparison.written == 1
    assert comparison.known == {"a primitive's text"}


def test_keys_are_subjects_of_their_own_alike(sides: SideBySide) -> None:
    topic = sides.topic()
    contexts = [SerializationContext(topic, field) for field in (MessageField.KEY, MessageField.VALUE)]
    assert explained(sides.compare(TEXT, 2 * ORDERS[:1], contexts=contexts)).written == 2


@pytest.mark.parametrize("fallback", [None, "TOPIC", "RECORD", "topic_record", "NONE", SubjectNameStrategyType.RECORD])
@pytest.mark.parametrize("cluster", [None, "lkc-1"])
def test_without_associations_the_same_fallback_decides(fallback: Any, cluster: Any, sides: SideBySide) -> None:
    conf = {"fallback.type": fallback, "kafka.cluster.id": cluster}
    given = {f"subject.name.strategy.{name}": value for name, value in conf.items() if value is not None}
    keys = {"subject.name.strategy.type": "ASSOCIATED", "subject.name.strategy.conf": given}
    comparison = explained(sides.compare(TEXT, ORDERS[:2], keys))
    assert comparison.written == (0 if fallback == "NONE" else 2)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_associations_are_followed_alike(count: int, sides: SideBySide) -> None:
    topic = sides.topic()
    found = [{"subject": f"{topic}-theirs-{i}", "resourceName": topic} for i in range(count)]

    def before(registry: SchemaRegistryServer) -> None:
        associated = faults.answer(200, json.dumps(found))
        registry.fail_next(associated, associated, matching=lambda request: "/associations/" in request.path)

    keys = {"subject.name.strategy.type": "ASSOCIATED"}
    comparison = explained(sides.compare(TEXT, ORDERS[:1], keys, topic=topic, before=before))
    for registry in sides.registries:
        registry.recover()
    assert comparison.written == (count < 2)


def test_the_latest_version_with_metadata_alike(sides: SideBySide) -> None:
    topic = sides.topic()
    metadata = confluent.Metadata(None, confluent.MetadataProperties({"o": "me"}), None)
    owned = confluent.Schema(TEXT, "AVRO", [], metadata)

    def before(registry: SchemaRegistryServer) -> None:
        registry.register(f"{topic}-value", TEXT)
        with confluent.SchemaRegistryClient({"url": registry.url}) as client:
            client.register_schema(f"{topic}-value", owned)

    for schema in (TEXT, None):
        conf = {"use.latest.with.metadata": {"o": "me"}}
        comparison = explained(sides.compare(schema, ORDERS, conf, topic=topic, before=before))
        assert comparison.written == 3


def test_a_fixed_id_writes_alike_and_asks_less(sides: SideBySide) -> None:
    topic = sides.topic()
    ids = []
    comparison = sides.compare(
        None, [], before=lambda registry: ids.append(registry.register(f"{topic}-value", TEXT)), topic=topic
    )
    assert ids[0] == ids[1]
    comparison = explained(sides.compare(None, ORDERS, {"use.schema.id": ids[0]}, topic=topic))
    assert comparison.written == 3
    assert comparison.known == {"use.schema.id"}


@pytest.mark.parametrize(
    "conf",
    [
        {"auto.register.schemas": "yes"},
        {"normalize.schemas": 1},
        {"use.schema.id": "7"},
        {"use.latest.version": True},
        {"use.latest.with.metadata": "owner"},
        {"subject.name.strategy": "TOPIC"},
        {"subject.name.strategy.type": "NONE"},
        {"subject.name.strategy.type": "topics"},
        {"schema.id.serializer": "prefix"},
        {"validate.strict": "true"},
        {"validate.strict.allow.default": 0},
        {"auto.register": False},
    ],
)
def test_what_confluents_refuses_at_construction_is_refused(conf: dict[str, Any], sides: SideBySide) -> None:
    comparison = explained(sides.compare(TEXT, ORDERS, conf))
    assert comparison.written == 0
    assert next(iter(conf)) in comparison.refusals[0]
    assert all(not registry.requests for registry in sides.registries)


# -- references --------------------------------------------------------------------------------

CENTS = record("Money", cents="long") | {"namespace": "shop"}
ITEM = record("Item", price="Money") | {"namespace": "shop"}
GIFT = record("Gift", worth="shop.Money") | {"namespace": "gifts"}
BASKET = record("Basket", item="shop.Item", gift="gifts.Gift", paid=["null", "shop.Money"])


def reference(name: str) -> confluent.SchemaReference:
    return confluent.SchemaReference(name, f"ref-{name}", 1)


def test_references_are_asked_for_and_written_alike(sides: SideBySide) -> None:
    def before(registry: SchemaRegistryServer) -> None:
        money = [{"name": "shop.Money", "subject": "ref-shop.Money", "version": 1}]
        registry.register("ref-shop.Money", json.dumps(CENTS))
        registry.register("ref-shop.Item", json.dumps(ITEM), money)
        registry.register("ref-gifts.Gift", json.dumps(GIFT), money)

    schema = confluent.Schema(json.dumps(BASKET), "AVRO", [*map(reference, ("shop.Item", "gifts.Gift", "shop.Money"))])
    baskets = [
        {"item": {"price": {"cents": 1}}, "gift": {"worth": {"cents": 2}}, "paid": {"cents": 3}},
        {"item": {"price": {"cents": 1}}, "gift": {"worth": {"cents": "x"}}},
    ]
    comparison = explained(sides.compare(schema, baskets, before=before))
    assert comparison.written == 1
    assert comparison.known == {"references are resolved later"}
    latest = explained(sides.compare(None, baskets, LOOK_UP | {"use.latest.version": True}, topic="none"))
    assert latest.written == 0


# -- the listed differences, each once ---------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "objects", "name"),
    [
        ('"long"', [1], "a primitive's text"),
        ('"bytes"', [b"raw", "text"], "a primitive's text"),
        ('\n{"type":"long"} ', [1], "white space around the text"),
        ('{"type":"bytes"}', [bytearray(b"raw"), memoryview(b"raw")], "bytes-like objects"),
    ],
)
def test_a_listed_difference(schema: str, objects: list[Any], name: str, sides: SideBySide) -> None:
    assert explained(sides.compare(schema, objects)).known == {name}


def test_to_dict_without_a_context(sides: SideBySide) -> None:
    conf = {"subject.name.strategy.type": "RECORD"}
    comparison = sides.compare(TEXT, ORDERS[:1], conf, to_dict=lambda one, ctx: one, contexts=[None])
    assert explained(comparison).known == {"to_dict without a context"}


@dataclasses.dataclass
class Note:
    id: int
    note: str | None = None


def test_objects_that_are_no_dicts(sides: SideBySide) -> None:
    assert explained(sides.compare(TEXT, [Note(1), Note(2, "ü")])).known == {"objects that are no dicts"}


def test_a_schema_from_the_registry_without_a_context(sides: SideBySide) -> None:
    longer = json.dumps(ORDER | {"fields": [*ORDER["fields"], {"name": "more", "type": "long", "default": 5}]})
    conf = LOOK_UP | {"use.latest.version": True, "subject.name.strategy": lambda ctx, name: topic}
    topic = sides.topic()

    def before(registry: SchemaRegistryServer) -> None:
        registry.register(topic, longer)

    comparison = explained(sides.compare(TEXT, ORDERS[:1], conf, before=before, contexts=[None]))
    assert comparison.known == {"a schema from the registry without a context"}
    (difference,) = comparison.differences
    assert difference.ours == f"{difference.theirs} 0a"  # its id, and the bytes of the schema that was given


def test_one_serializer_for_several_subjects() -> None:
    assert "one serializer for several subjects" in KNOWN
    conf = {"subject.name.strategy.type": "TOPIC"}
    ids = []
    for theirs in (False, True):
        with SchemaRegistryServer() as registry:
            for number, topic in enumerate("ab", 11):
                answer = faults.answer(200, json.dumps({"id": number}))
                registry.fail_next(answer, matching=lambda request, topic=topic: f"/{topic}-value/" in request.path)
            client: Any = confluent.SchemaRegistryClient if theirs else SchemaRegistryClient
            kind: Any = ConfluentsSerializer if theirs else AvroSerializer
            with client({"url": registry.url}) as made:
                serializer = kind(made, TEXT, None, conf)
                messages = [serializer(ORDERS[0], SerializationContext(topic, MessageField.VALUE)) for topic in "aba"]
        ids.append([message[4] for message in messages])
    assert ids == [[11, 12, 11], [11, 12, 12]]


def test_keys_that_contradict_each_other(sides: SideBySide) -> None:
    topic = sides.topic()
    ids = [registry.register(topic, TEXT) for registry in sides.registries]
    conf = {"use.schema.id": ids[0], "use.latest.with.metadata": {"a": "b"}}
    conf["subject.name.strategy"] = lambda ctx, name: topic
    assert explained(sides.compare(TEXT, ORDERS[:1], conf)).known == {"keys that contradict each other"}


def test_associations_that_may_not_be_read(sides: SideBySide) -> None:
    def before(registry: SchemaRegistryServer) -> None:
        registry.fail_next(faults.error(403), matching=lambda request: "/associations/" in request.path)

    comparison = explained(sides.compare(TEXT, ORDERS[:1], {"subject.name.strategy.type": "ASSOCIATED"}, before=before))
    for registry in sides.registries:
        registry.recover()
    assert comparison.known == {"associations that may not be read"}


# -- fastavro's leniencies, which are kept -------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "one", "expected"),
    [
        ("int", 2**31, "80 80 80 80 10"),
        ("int", 1.5, "02"),
        ({"type": "int", "logicalType": "date"}, 1.5, "02"),
        ("boolean", "no", "01"),
        ("null", "anything", ""),
        (["null", "long"], ..., "00"),
        ("float", 1, "00 00 80 3f"),
        ([record("A", n="long"), record("B", n="long")], {"n": 1}, "00 02"),
        ([record("A", n="long"), record("B", n="long", m=["null", "long"])], {"n": 1, "m": 1}, "02 02 02 02"),
        ({"type": "record", "name": "I", "aliases": ["R"], "fields": []}, {}, ""),
    ],
)
def test_what_fastavro_lets_pass_is_passed(kind: Any, one: Any, expected: str, sides: SideBySide) -> None:
    known = RegisteredSchema(7, None, None, None, Schema(json.dumps(record("R", f=kind))))
    given = {"more": 1} if one is ... else {"f": one, "more": 1}
    with AvroSerializer({"url": "http://127.0.0.1:1"}, known) as serializer:
        message = serializer(given, SerializationContext("orders", MessageField.VALUE))
    assert message is not None
    assert message[5:].hex(" ") == expected
    assert explained(sides.compare(known.schema.schema_str, [given])).written == 1


def test_an_empty_union_is_left_to_the_registry(sides: SideBySide) -> None:
    assert explained(sides.compare("[]", ["x"])).written == 0
    assert sides.registries[0].registrations


def test_every_known_difference_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8").lower()
    assert [name for name in KNOWN if f"### {name}\n" not in page] == []


# -- python -m tests.comparison ----------------------------------------------------------------

FOLDER = ROOT / "tests" / "comparison" / "schemas"


def compared(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.comparison", str(folder), "--records", "8"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)


def test_the_command_compares_every_schema_of_a_folder() -> None:
    done = compared(FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, summary = done.stdout.splitlines()
    names = [path.name for path in sorted(FOLDER.glob("*.avsc"))]
    assert len(names) >= 12
    assert len(lines) == len(names)
    for line, name in zip(lines, names, strict=True):
        assert line.startswith("same")
        assert name in line
        assert "0 of" not in line
    assert f"{len(names)} schemas" in summary


def test_the_command_says_what_both_refuse(tmp_path: Path) -> None:
    (tmp_path / "lost.avsc").write_text('{"type":"record","name":"R","fields":[{"name":"a","type":"Missing"}]}')
    (tmp_path / "binary.avsc").write_bytes(b"\xff")
    done = compared(tmp_path)
    assert done.returncode == 0
    assert "Missing" in done.stdout
    assert "cannot be read" in done.stdout


def test_the_command_needs_schemas(tmp_path: Path) -> None:
    done = compared(tmp_path)
    assert done.returncode == 2
    assert "no .avsc file" in done.stderr


# -- the suite itself --------------------------------------------------------------------------


def test_a_difference_is_seen(sides: SideBySide, monkeypatch: pytest.MonkeyPatch) -> None:
    from kafka_sr_retry import learning, serializer
    from kafka_sr_retry.registry.questions import Questions

    class Wrong(learning.AvroSchema):
        of = classmethod(lambda cls, text, references=(): cls(text, references))

        def writer(self, prefix: bytes, **options: bool) -> Any:
            write = super().writer(prefix, **options)
            return lambda value, ctx: write(value, ctx) + b"\0"

    monkeypatch.setattr(learning, "AvroSchema", Wrong)
    assert len(sides.compare(TEXT, ORDERS).unexplained) == 3
    monkeypatch.undo()
    monkeypatch.setattr(Questions, "_subject", lambda self, name: f"{name}-other")
    assert [one.what for one in sides.compare(TEXT, ORDERS).unexplained] == ["what is asked"]
    monkeypatch.undo()
    monkeypatch.setattr(serializer.AvroSerializer, "_find", lambda self, ctx: 1 / 0)
    assert any("no class of ours" in one.what for one in sides.compare(TEXT, ORDERS[:2]).unexplained)
