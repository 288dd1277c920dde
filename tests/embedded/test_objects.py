"""Objects that are no dicts: ``to_dict``, dataclasses, attrs and pydantic, and what names a union's branch."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import types
import uuid
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Optional

import attrs
import pydantic
import pydantic.dataclasses
import pydantic.v1
import pytest
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroEncodingError, AvroSerializer, RegisteredSchema, Schema

VALUE = SerializationContext("orders", MessageField.VALUE)
PREFIX = b"\0\0\0\0\7"


def record(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields.items()]}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapping(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def serializer(schema: Any, to_dict: Any = None, **conf: Any) -> AvroSerializer:
    """One that knows its id, and asks nobody."""
    known = RegisteredSchema(7, None, None, None, Schema(json.dumps(schema)))
    return AvroSerializer({"url": "http://127.0.0.1:1"}, known, to_dict, conf)


def written(schema: Any, one: Any, **conf: Any) -> bytes:
    message = serializer(schema, **conf)(one, VALUE)
    assert message is not None
    assert message[:5] == PREFIX
    return message[5:]


def misfit(schema: Any, one: Any, **conf: Any) -> AvroEncodingError:
    with pytest.raises(AvroEncodingError) as caught:
        serializer(schema, **conf)(one, VALUE)
    return caught.value


# -- one shape in every kind of class ----------------------------------------------------------

ADDRESS = record("Address", street="string", zip=["null", "string"])
ITEM = record("Item", sku="string", price="double")
ORDER = record(
    "Order",
    id="long",
    to=ADDRESS,
    bill_to=["null", "Address"],
    items=array(ITEM),
    by_name=mapping("Item"),
    rows=array(mapping(["null", "Item"])),
)


class Plain:
    """Dicts, for comparison."""

    @staticmethod
    def Address(street: str, zip: str | None) -> dict[str, Any]:  # noqa: N802, A002
        return {"street": street, "zip": zip}

    @staticmethod
    def Item(sku: str, price: float) -> dict[str, Any]:  # noqa: N802
        return {"sku": sku, "price": price}

    @staticmethod
    def Order(**fields: Any) -> dict[str, Any]:  # noqa: N802
        return fields


class Dataclasses:
    @dataclasses.dataclass
    class Address:
        street: str
        zip: str | None

    @dataclasses.dataclass(frozen=True, slots=True)
    class Item:
        sku: str
        price: float

    @dataclasses.dataclass(kw_only=True)
    class Order:
        by_name: Any  # in another order than the schema's
        id: int
        to: Any
        bill_to: Any
        items: Any
        rows: Any


class Attrs:
    @attrs.define
    class Address:
        street: str
        zip: str | None

    @attrs.frozen
    class Item:
        sku: str
        price: float

    @attrs.define(slots=False, kw_only=True)
    class Order:
        id: int
        to: Any
        bill_to: Any
        items: Any
        by_name: Any
        rows: Any


class Pydantic:
    class Address(pydantic.BaseModel):
        street: str
        zip: Optional[str] = None  # noqa: UP045

        def __init__(self, street: str, zip: str | None) -> None:  # noqa: A002
            super().__init__(street=street, zip=zip)

    class Item(pydantic.BaseModel, frozen=True):
        sku: str
        price: float

        def __init__(self, sku: str, price: float) -> None:
            super().__init__(sku=sku, price=price)

    class Order(pydantic.BaseModel):
        id: int
        to: Any
        bill_to: Any = pydantic.Field(alias="billTo")
        items: Any
        by_name: Any
        rows: Any

        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields, billTo=fields["bill_to"])


class PydanticDataclasses(Dataclasses):
    @pydantic.dataclasses.dataclass
    class Item:
        sku: str
        price: float


class Mixed:
    Address = Attrs.Address
    Item = Pydantic.Item
    Order = Dataclasses.Order


KINDS: list[Any] = [Dataclasses, Attrs, Pydantic, PydanticDataclasses, Mixed]


def order(kind: Any, price: Any = 1.5) -> Any:
    item = kind.Item("tea", 2.5)
    return kind.Order(
        id=1,
        to=kind.Address("Elm St", None),
        bill_to=kind.Address("Oak St", "12"),
        items=[item, kind.Item("pot", 9)],
        by_name={"a": item, "b": kind.Item("ü", price)},
        rows=[{"x": None}, {"y": item}, {}],
    )


EXPECTED = written(ORDER, order(Plain))


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_written_by_their_fields_names(kind: Any) -> None:
    assert written(ORDER, order(kind)) == EXPECTED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strict", ["validate.strict", "validate.strict.allow.default"])
def test_objects_may_be_strict_too(kind: Any, strict: str) -> None:
    assert written(ORDER, order(kind), **{strict: True}) == EXPECTED
    narrow = record("Item", sku="string")
    assert written(narrow, kind.Item("a", 1.0)) == b"\2a"
    assert misfit(narrow, kind.Item("a", 1.0), **{strict: True}).field_path == "price"


@pytest.mark.parametrize("kind", KINDS)
def test_objects_stand_at_the_top_of_anything(kind: Any) -> None:
    item = kind.Item("a", 0.0)
    bytes_of_one = written(ITEM, Plain.Item("a", 0.0))
    assert written(ITEM, item) == bytes_of_one
    assert written(["null", ITEM], item) == b"\2" + bytes_of_one
    assert written(array(ITEM), [item]) == b"\2" + bytes_of_one + b"\0"
    assert written(array(ITEM), (item, item)) == b"\4" + 2 * bytes_of_one + b"\0"
    assert written(mapping(ITEM), {"k": item}) == b"\2\2k" + bytes_of_one + b"\0"
    assert written(mapping(ITEM), types.MappingProxyType({"k": item})) == b"\2\2k" + bytes_of_one + b"\0"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("spoil", "path"),
    [
        (lambda given, kind: {"id": "x"}, "id"),
        (lambda given, kind: {"to": None}, "to"),
        (lambda given, kind: {"items": [given.items[0], 5]}, "items[1]"),
        (lambda given, kind: {"items": [given.items[0], None]}, "items[1]"),
        (lambda given, kind: {"rows": [{}, {"y": 5}]}, "rows[1]['y']"),
        (lambda given, kind: {"by_name": {"b": Loose("a", "x")}}, "by_name['b'].price"),
        (lambda given, kind: {"items": [given.items[0], Loose("a", "x")]}, "items[1].price"),
        (lambda given, kind: {"bill_to": Home(5, None)}, "bill_to.street"),
        (lambda given, kind: {"to": Home("a", 5)}, "to.zip"),
    ],
)
def test_an_object_that_does_not_fit_names_the_field(spoil: Callable[[Any, Any], Any], path: str, kind: Any) -> None:
    given = order(kind)
    for name, one in spoil(given, kind).items():
        setattr(given, name, one)
    error = misfit(ORDER, given)
    assert path in error.field_path
    assert "Elm St" not in str(error)


@dataclasses.dataclass
class Loose:
    sku: Any
    price: Any


@dataclasses.dataclass
class Home:
    street: Any
    zip: Any


def test_objects_among_dicts_and_dicts_among_objects() -> None:
    given = order(Plain) | {"items": [Attrs.Item("tea", 2.5), {"sku": "pot", "price": 9}]}
    given["to"] = Dataclasses.Address("Elm St", None)
    given["by_name"] = collections.OrderedDict(a=Pydantic.Item("tea", 2.5), b=Dataclasses.Item("ü", 1.5))
    assert written(ORDER, given) == EXPECTED


def test_the_object_is_left_as_it_was() -> None:
    item = Dataclasses.Item("tea", 2.5)
    given = {"items": [item], "more": {"k": item}}
    written(record("R", items=array(ITEM), more=mapping("Item")), given)
    assert given == {"items": [item], "more": {"k": item}}


# -- more of each kind -------------------------------------------------------------------------


def test_fields_of_every_sort() -> None:
    @dataclasses.dataclass
    class Base:
        id: int

    @dataclasses.dataclass
    class Derived(Base):
        note: str = "none"
        kind: dataclasses.KW_ONLY = dataclasses.field(default=None, repr=False)  # type: ignore[assignment]
        computed: int = dataclasses.field(init=False, default=4)
        seed: dataclasses.InitVar[int] = 0

    assert written(record("R", id="long", note="string", computed="int"), Derived(1)) == b"\2\x08none\x08"


def test_pydantics_own_serializers_are_not_asked() -> None:
    class Order(pydantic.BaseModel):
        id: int

        @pydantic.field_serializer("id")
        def told(self, number: int) -> int:
            return number + 1

        @pydantic.model_serializer
        def whole(self) -> dict[str, int]:
            return {"id": 9}

    assert written(record("R", id="long"), Order(id=1)) == b"\2"


def test_attrs_private_fields_keep_their_names() -> None:
    @attrs.define
    class Hidden:
        _id: int

    assert written(record("R", _id="long"), Hidden(id=1)) == b"\2"


def test_a_model_without_fields_is_an_empty_record_and_warns_of_nothing() -> None:
    class Nothing(pydantic.BaseModel):
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert written(record("R"), Nothing()) == b""
        assert misfit(record("R", id="long"), Nothing()).field_path == "id"


class Extra(pydantic.BaseModel, extra="allow"):
    name: str


class Computed(pydantic.BaseModel):
    name: str

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def age(self) -> int:
        return 7


class ComputedAlias(pydantic.BaseModel):
    name: str

    @pydantic.computed_field(alias="age")  # type: ignore[prop-decorator]
    @property
    def years(self) -> int:
        return 7


class Aliased(pydantic.BaseModel):
    name: str
    years: int = pydantic.Field(alias="age")


class WrittenAs(pydantic.BaseModel):
    name: str
    years: int = pydantic.Field(serialization_alias="age")


class Generated(pydantic.BaseModel, alias_generator=str.lower, populate_by_name=True):
    NAME: str
    AGE: int


class Swapped(pydantic.BaseModel, populate_by_name=True):
    """A field's own name goes before another's alias."""

    name: str
    age: int = pydantic.Field(default=7, alias="years")
    other: int = pydantic.Field(default=0, serialization_alias="age")


@dataclasses.dataclass
class WithProperty:
    name: str

    @property
    def age(self) -> int:
        return 7


@dataclasses.dataclass
class SetLater:
    name: str

    def __post_init__(self) -> None:
        self.age = 7


@attrs.define
class Inherited(WithProperty):
    name: str


@dataclasses.dataclass
class OfClass:
    age: ClassVar[int] = 7
    name: str


@attrs.define
class OfParent(OfClass):
    name: str


class OfModel(pydantic.BaseModel):
    age: ClassVar[int] = 7
    name: str


class Old(pydantic.v1.BaseModel):
    name: str
    years: int = pydantic.v1.Field(alias="age")


class OldExtra(pydantic.v1.BaseModel, extra="allow"):
    name: str


@pydantic.dataclasses.dataclass
class AliasedDataclass:
    name: str
    years: int = pydantic.Field(default=7, serialization_alias="age")


PERSON = record("Person", name="string", age=["null", "int"])
SEVEN = b"\2x\2\x0e"


@pytest.mark.parametrize(
    "person",
    [
        Extra(name="x", age=7), Computed(name="x"), ComputedAlias(name="x"), Aliased(name="x", age=7),
        WrittenAs(name="x", years=7), Generated(NAME="x", AGE=7), Swapped(name="x"), WithProperty("x"), SetLater("x"),
        Inherited("x"), OfClass("x"), OfParent("x"), OfModel(name="x"),
        AliasedDataclass("x"), Old(name="x", age=7), OldExtra(name="x", age=7),
    ],
    ids=lambda person: type(person).__name__,
)  # fmt: skip
@pytest.mark.parametrize("strict", [{}, {"validate.strict": True}], ids=["", "strict"])
def test_a_field_is_found_wherever_the_object_has_it(person: Any, strict: Any) -> None:
    if strict and isinstance(person, Swapped):
        assert misfit(PERSON, person, **strict).field_path == "other"
        return
    assert written(PERSON, person, **strict) == SEVEN
    assert written(array(PERSON), iter([person]), **strict) == b"\2" + SEVEN + b"\0"
    assert written(["null", CARD, PERSON], person, **strict) == b"\4" + SEVEN


@dataclasses.dataclass
class Nameless:
    name: str
    age: Any = None


@pytest.mark.parametrize("kind", ["long", ["null", "long"], "null"])
def test_a_field_that_an_object_lacks_is_missing_also_where_null_would_do(kind: Any) -> None:
    schema = record("R", name="string", agee=kind)
    for whole, one, path in (
        (schema, Nameless("x"), "agee"),
        (record("O", rows=array(schema)), {"rows": [Nameless("x")]}, "rows[0].agee"),
        (record("O", rows=array(schema)), {"rows": (Nameless(n) for n in "ab")}, "rows[0].agee"),
        (record("O", u=["null", schema]), {"u": Nameless("x")}, "u.agee"),
        (record("O", m=mapping(schema)), {"m": {"k": Nameless("x")}}, "m['k'].agee"),
    ):
        error = misfit(whole, one)
        assert (error.field_path, error.actual) == (path, "nothing: the field is missing")


def test_a_field_that_an_object_lacks_has_the_schemas_default() -> None:
    schema = record("R", name="string", n="int")
    schema["fields"][1]["default"] = 3
    assert written(schema, Nameless("x")) == b"\2x\6"
    assert misfit(schema, Nameless("x"), **{"validate.strict": True}).field_path == "n"
    assert written(record("R", name="string", age=["null", "int"]), Nameless("x")) == b"\2x\0"  # it has it: None


def test_methods_are_no_fields() -> None:
    assert misfit(record("R", name="string", json=["null", "string"]), Computed(name="x")).field_path == "json"


@dataclasses.dataclass
class Methods:
    name: str

    def plain(self) -> None:
        raise AssertionError

    @classmethod
    def of_class(cls) -> None:
        raise AssertionError

    @staticmethod
    def static() -> None:
        raise AssertionError

    class Inner:
        pass


@pytest.mark.parametrize("field", ["plain", "of_class", "static", "Inner"])
def test_nor_is_what_else_a_class_has(field: str) -> None:
    error = misfit(record("R", name="string", **{field: ["null", "string"]}), Methods("x"))
    assert (error.field_path, error.actual) == (field, "nothing: the field is missing")


@pytest.mark.parametrize("kind", [Extra, OldExtra])
def test_an_extra_field_is_one_of_the_objects_own(kind: Any) -> None:
    one = kind(name="x", more="y")
    assert written(mapping("string"), one) == b"\4\x08name\2x\x08more\2y\0"
    assert misfit(record("R", name="string"), one, **{"validate.strict": True}).field_path == "more"


def test_an_extra_field_is_no_method_of_its_name() -> None:
    class Loose(pydantic.BaseModel, extra="allow"):
        name: str

    schema = record("R", name="string", copy="boolean")
    assert written(schema, Loose(name="x", copy=False)) == b"\2x\0"
    assert written(mapping("string"), Loose(name="x", copy="y")) == b"\4\x08name\2x\x08copy\2y\0"


def test_what_its_class_keeps_or_computes_is_no_default() -> None:
    class Slotted:
        __slots__ = ("age",)

    @dataclasses.dataclass(slots=True)
    class Person(Slotted):
        name: str

    class Column:
        def __get__(self, instance: Any, owner: Any) -> int:
            return 7

        def __set__(self, instance: Any, value: int) -> None:
            raise AssertionError

    @dataclasses.dataclass
    class Row:
        name: str
        age = Column()

    schema = record("R", name="string", age=["null", "int"])
    schema["fields"][1]["default"] = None
    person = Person("x")
    assert "AttributeError" in misfit(schema, person).actual
    person.age = 7
    assert written(schema, person) == written(schema, Row("x")) == SEVEN


def test_a_root_model_is_what_it_holds() -> None:
    class Tags(pydantic.RootModel[list[str]]):
        pass

    assert written(record("R", tags=array("string")), {"tags": Tags(["a"])}) == b"\2\2a\0"
    assert written(array("string"), pydantic.RootModel[Tags](Tags(["a"]))) == b"\2\2a\0"


def test_logical_types_in_objects() -> None:
    @dataclasses.dataclass
    class Moment:
        day: datetime.date
        at: datetime.datetime
        key: uuid.UUID
        amount: decimal.Decimal

    schema = record(
        "Moment",
        day={"type": "int", "logicalType": "date"},
        at={"type": "long", "logicalType": "timestamp-millis"},
        key={"type": "string", "logicalType": "uuid"},
        amount={"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2},
    )
    utc = datetime.timezone.utc
    moment = Moment(
        datetime.date(1970, 1, 2),
        datetime.datetime(1970, 1, 1, tzinfo=utc),
        uuid.UUID(int=0),
        decimal.Decimal("1.00"),
    )
    assert written(schema, moment) == written(schema, dataclasses.asdict(moment))


def test_symbols_from_an_enum_of_texts() -> None:
    class Suit(str, enum.Enum):
        HEARTS = "HEARTS"

    schema = record("Card", suit={"type": "enum", "name": "Suit", "symbols": ["SPADES", "HEARTS"]})
    assert written(schema, {"suit": Suit.HEARTS}) == b"\2"


def test_a_recursive_object() -> None:
    @dataclasses.dataclass
    class Node:
        value: int
        next: Any = None

    schema = record("Node", value="long", next=["null", "Node"])
    assert written(schema, Node(1, Node(2, Node(3)))) == b"\2\2\4\2\6\0"
    assert misfit(schema, Node(1, Node(2, Node("x")))).field_path == "next.next.value"  # type: ignore[arg-type]


def test_an_object_that_holds_itself_is_a_misfit() -> None:
    @dataclasses.dataclass
    class Node:
        value: int
        next: Any = None

    node = Node(1)
    node.next = node
    assert "at most 100" in misfit(record("Node", value="long", next=["null", "Node"]), node).expected


class Bare:
    """No fields that anyone could know of."""

    def __init__(self) -> None:
        self.id = 1


class Pair(NamedTuple):
    id: int
    note: str


@pytest.mark.parametrize("given", [Bare(), Pair(1, "a"), types.SimpleNamespace(id=1), enum.Enum("E", "A").A, Loose])
def test_other_objects_are_not_guessed_at(given: Any) -> None:
    error = misfit(record("R", id="long"), given)
    assert error.field_path == ""
    assert type(given).__name__ in error.actual


def test_an_object_whose_attribute_raises_is_a_misfit() -> None:
    @attrs.define
    class Late:
        id: int = attrs.field(init=False)

    error = misfit(record("R", id="long"), Late())
    assert (error.field_path, error.expected, error.actual) == ("id", "long", "Late, which raised AttributeError")


class HasGet(pydantic.BaseModel):
    id: int


@dataclasses.dataclass
class Repository:
    """Not a mapping, whatever its methods are called."""

    id: int

    def get(self, name: str, default: Any = None) -> Any:
        raise AssertionError(name)

    def keys(self) -> Any:
        raise AssertionError

    def __contains__(self, name: object) -> bool:
        raise AssertionError(name)


def test_an_objects_own_methods_are_not_taken_for_a_dicts() -> None:
    assert written(record("R", id="long"), Repository(1)) == b"\2"
    assert written(["null", record("R", id="long")], Repository(1)) == b"\2\2"


# -- unions ------------------------------------------------------------------------------------

CARD, CASH = record("Card", number="string"), record("Cash", cents="long") | {"namespace": "shop"}
PAYMENT = record("Payment", by=["null", CARD, CASH, "string", array("long")])


@dataclasses.dataclass
class Card:
    number: str


@attrs.define
class Cash:
    cents: int


class Payment(pydantic.BaseModel):
    by: Any


MODEL = Payment
BRANCHES: list[tuple[Any, bytes]] = [
    (None, b"\0"),
    ({"number": "1"}, b"\2\2" + b"1"),
    (Card("1"), b"\2\2" + b"1"),
    (("Card", {"number": "1"}), b"\2\2" + b"1"),
    (("Card", Card("1")), b"\2\2" + b"1"),
    ({"-type": "Card", "number": "1"}, b"\2\2" + b"1"),
    ({"cents": 1}, b"\4\2"),
    (Cash(1), b"\4\2"),
    (("shop.Cash", {"cents": 1}), b"\4\2"),
    (("shop.Cash", Cash(1)), b"\4\2"),
    ({"-type": "shop.Cash", "cents": 1}, b"\4\2"),
    ("1", b"\6\2" + b"1"),
    (("string", "1"), b"\6\2" + b"1"),
    ([1], b"\x08\2\2\0"),
    (("array", [1]), b"\x08\2\2\0"),
]


@pytest.mark.parametrize(("by", "expected"), BRANCHES)
@pytest.mark.parametrize("wrap", [lambda by: {"by": by}, lambda by: Payment(by=by)], ids=["dict", "object"])
def test_a_unions_branch_is_found_or_named(wrap: Any, by: Any, expected: bytes) -> None:
    assert written(PAYMENT, wrap(by)) == expected


@pytest.mark.parametrize("by", [("Nope", {"number": "1"}), {"-type": "Nope", "number": "1"}])
def test_a_hint_that_names_no_branch_is_said_to_do_so(by: Any) -> None:
    error = misfit(PAYMENT, {"by": by})
    assert "Card" in error.expected
    assert "names none" in error.actual


TWINS = [record("A", n="long"), record("B", n="long")]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        ({"n": 1}, b"\0\2"),
        (("B", {"n": 1}), b"\2\2"),
        ({"-type": "B", "n": 1}, b"\2\2"),
        (("A", {"n": 1}), b"\0\2"),
        (("B", Cash(1)), None),
    ],
)
def test_what_fits_two_branches_goes_to_the_one_that_is_named(one: Any, expected: bytes | None) -> None:
    for schema, wrapped in ((TWINS, one), (record("R", u=TWINS), {"u": one}), (array(TWINS), [one])):
        if expected is None:
            assert "n" in misfit(schema, wrapped).field_path
        else:
            assert expected in written(schema, wrapped)


@pytest.mark.parametrize(
    ("by", "path"),
    [
        (("Card", {"number": 5}), "by.number"),
        (("Card", Card(5)), "by.number"),  # type: ignore[arg-type]
        ({"-type": "shop.Cash", "cents": "x"}, "by.cents"),
        (("shop.Cash", Cash("x")), "by.cents"),  # type: ignore[arg-type]
        (("Nope", {"number": "1"}), "by"),
        ({"-type": "Nope", "number": "1"}, "by"),
        (5, "by"),
        ([1, "x"], "by[1]"),
    ],
)
def test_a_misfit_in_a_named_branch_or_in_none(by: Any, path: str) -> None:
    assert misfit(PAYMENT, {"by": by}).field_path == path
    assert misfit(PAYMENT, Payment(by=by)).field_path == path


# -- to_dict -----------------------------------------------------------------------------------


def test_to_dict_goes_before_the_objects_own_fields() -> None:
    seen: list[Any] = []

    def to_dict(one: Any, ctx: Any) -> Mapping[str, Any]:
        seen.append((one, ctx))
        return {"number": one.number.upper()}

    card = Card("ab")
    assert serializer(CARD, to_dict)(card, VALUE) == PREFIX + b"\4AB"
    assert seen == [(card, VALUE)]


@pytest.mark.parametrize(
    "given", [{"by": Card("1")}, Payment(by=Card("1")), MODEL(by=("Card", Card("1")))], ids=["dict", "model", "hint"]
)
def test_to_dict_may_give_objects(given: Any) -> None:
    assert serializer(PAYMENT, lambda one, ctx: given)(object(), VALUE) == PREFIX + b"\2\2" + b"1"


@pytest.mark.parametrize(
    "to_dict", [dataclasses.asdict, attrs.asdict, lambda one: one.model_dump()], ids=["dataclass", "attrs", "pydantic"]
)
def test_the_libraries_own_functions_serve_as_to_dict(to_dict: Any) -> None:
    kind = {dataclasses.asdict: Dataclasses, attrs.asdict: Attrs}.get(to_dict, Pydantic)
    assert serializer(ORDER, lambda one, ctx: to_dict(one))(order(kind), VALUE) == PREFIX + EXPECTED


def test_what_to_dict_gives_must_fit() -> None:
    with pytest.raises(AvroEncodingError) as caught:
        serializer(CARD, lambda one, ctx: {"number": 5})(Card("1"), VALUE)
    assert caught.value.field_path == "number"
    with pytest.raises(AvroEncodingError):
        serializer(CARD, lambda one, ctx: None)(Card("1"), VALUE)


def test_a_to_dict_that_raises_is_heard() -> None:
    with pytest.raises(ZeroDivisionError):
        serializer(CARD, lambda one, ctx: 1 / 0)(Card("1"), VALUE)


def test_to_dict_for_other_schemas() -> None:
    assert serializer("string", lambda one, ctx: one.number)(Card("1"), VALUE) == PREFIX + b"\2" + b"1"
    assert serializer("bytes", lambda one, ctx: one.number.encode())(Card("1"), VALUE) == PREFIX + b"1"
    assert serializer([CARD, CASH], lambda one, ctx: ("shop.Cash", one))(Cash(1), VALUE) == PREFIX + b"\2\2"


class AllEqual(type):
    """Of classes that say they are one."""

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, AllEqual)

    def __hash__(cls) -> int:
        return 1


def test_classes_that_say_they_are_equal_are_told_apart() -> None:
    @dataclasses.dataclass
    class Sold(metaclass=AllEqual):
        sku: str

    class Stranger(metaclass=AllEqual):
        def __init__(self) -> None:
            self.sku = "tea"

    assert written(record("Sale", sku="string"), Sold("tea")) == b"\x06tea"
    assert misfit(record("Sale", sku="string"), Stranger()).actual == "Stranger"
