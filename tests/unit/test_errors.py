"""The errors' classes, attributes and texts."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import types

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.serialization import SerializationError

import kafka_sr_retry
from kafka_sr_retry import (
    AvroEncodingError,
    ConfigurationError,
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegistryAuthError,
    RegistryUnavailableError,
    SchemaNotFoundError,
    SchemaRegistryError,
)
from kafka_sr_retry.errors import Failure

OF_THE_REGISTRY = [
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegistryAuthError,
    RegistryUnavailableError,
    SchemaNotFoundError,
    SchemaRegistryError,
]
CONFLUENTS = "confluent_kafka.schema_registry.error"
ALL = [AvroEncodingError, ConfigurationError, *OF_THE_REGISTRY]


@pytest.mark.parametrize("error", ALL)
def test_code_that_catches_confluents_serialization_error_keeps_working(error: type[Exception]) -> None:
    assert issubclass(error, SerializationError)
    assert issubclass(error, KafkaException)


@pytest.mark.parametrize("error", OF_THE_REGISTRY)
def test_the_registrys_errors_have_one_base(error: type[Exception]) -> None:
    assert issubclass(error, SchemaRegistryError)
    assert not issubclass(error, ValueError)


def test_wrong_settings_and_wrong_objects_are_value_errors() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(AvroEncodingError, ValueError)
    assert issubclass(AvroEncodingError, TypeError)
    assert not issubclass(ConfigurationError, SchemaRegistryError)
    assert not issubclass(AvroEncodingError, SchemaRegistryError)


def test_the_package_exports_them_all() -> None:
    assert {error.__name__ for error in ALL} <= set(kafka_sr_retry.__all__)


@pytest.mark.parametrize("confluents", [True, False])
@pytest.mark.parametrize("error", OF_THE_REGISTRY)
def test_a_registrys_error_survives_pickling_and_copying(
    error: type[SchemaRegistryError], confluents: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, TheirError if confluents else None)
    given = error(
        "text",
        http_status_code=500,
        error_code=50003,
        error_message="no leader",
        url="http://a:8081",
        attempts=7,
        retriable=True,
        retry_after=1.5,
    )
    given.add_note("note") if hasattr(given, "add_note") else None
    for one in pickle.loads(pickle.dumps(given)), copy.copy(given), copy.deepcopy(given):
        assert type(one) is type(given)
        assert (str(one), repr(one)) == ("text", f"{error.__name__}('text')")
        assert vars(one) == vars(given)
        assert (one.http_status_code, one.error_code, one.error_message) == (500, 50003, "no leader")
        assert (one.url, one.attempts, one.retriable, one.retry_after) == ("http://a:8081", 7, True, 1.5)


class TheirError(Exception):
    """Confluent's, as it is since 2.3.0."""

    def __init__(self, http_status_code: int, error_code: int, error_message: str) -> None:
        self.http_status_code = http_status_code

    def __str__(self) -> str:
        return "theirs"

    __repr__ = __str__


def load(monkeypatch: pytest.MonkeyPatch, theirs: object) -> None:
    """Confluent's error module with this class, or without any."""
    module = types.ModuleType(CONFLUENTS)
    if theirs is not None:
        vars(module)["SchemaRegistryError"] = theirs
    monkeypatch.setitem(sys.modules, CONFLUENTS, module)


@pytest.mark.parametrize("error", OF_THE_REGISTRY)
def test_a_registrys_error_is_confluents_too_once_that_is_loaded(
    error: type[SchemaRegistryError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, CONFLUENTS, raising=False)
    before = error("text", http_status_code=409)
    load(monkeypatch, TheirError)
    after, copied = error("text", http_status_code=409), pickle.loads(pickle.dumps(before))
    assert type(before) is error
    for one in after, copied:
        assert isinstance(one, error)
        assert isinstance(one, TheirError)
        assert (str(one), one.http_status_code, type(one).__name__) == ("text", 409, error.__name__)
        assert type(one).__module__ == "kafka_sr_retry.errors"
        assert not isinstance(one, (ValueError, TypeError))
    assert type(after) is type(copied)
    given = pickle.dumps(after)
    monkeypatch.delitem(sys.modules, CONFLUENTS)
    assert type(pickle.loads(given)) is error


def with_a_property() -> type:
    return type("Other", (Exception,), {"http_status_code": property(lambda self: 1)})


@pytest.mark.parametrize("theirs", [None, "half-way", KafkaException, with_a_property(), ConnectionError])
def test_what_does_not_fit_to_confluents_class_is_ours_alone(theirs: object, monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, theirs)
    one = IncompatibleSchemaError("text", http_status_code=409)
    assert type(one) is IncompatibleSchemaError
    assert (str(one), one.http_status_code) == ("text", 409)


def test_an_error_of_ones_own_is_confluents_too(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, TheirError)
    one = OwnError("text", 7)
    back = pickle.loads(pickle.dumps(one))
    for error in one, back:
        assert isinstance(error, OwnError)
        assert isinstance(error, TheirError)
        assert (str(error), error.more) == ("text", 7)


class OwnError(RegistryUnavailableError):
    def __init__(self, message: str, more: int = 0) -> None:
        super().__init__(message)
        self.more = more


def test_our_package_alone_loads_nothing_of_confluents_client() -> None:
    loads = f"import sys, kafka_sr_retry; sys.exit({CONFLUENTS!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loads], check=False).returncode == 0


def test_the_other_errors_survive_pickling() -> None:
    misfit = pickle.loads(pickle.dumps(AvroEncodingError("text", "items[3].price", "double", "str")))
    assert (str(misfit), misfit.field_path, misfit.expected, misfit.actual) == (
        "text",
        "items[3].price",
        "double",
        "str",
    )
    wrong = pickle.loads(pickle.dumps(ConfigurationError("text", "max.retries")))
    assert (str(wrong), wrong.key) == ("text", "max.retries")


FAILURE = Failure(
    error=IncompatibleSchemaError,
    asked="register a schema under subject 'orders-value'",
    answers=(("http://a:8081", "refused"), ("http://b:8081", "409 incompatible")),
    attempts=2,
    seconds=1.25,
    advice="Make it compatible.",
    http_status_code=409,
    error_code=409,
    error_message="incompatible",
    url="http://b:8081",
)


def test_a_failures_text_says_what_was_asked_who_answered_what_the_effort_and_what_to_do() -> None:
    text = str(FAILURE.exception())
    for part in (
        FAILURE.asked,
        "http://a:8081",
        "refused",
        "http://b:8081",
        "409 incompatible",
        "2 attempts",
        "1.25 s",
    ):
        assert part in text
    assert text.endswith("Make it compatible.")


def test_each_caller_gets_an_exception_of_its_own() -> None:
    first, second = FAILURE.exception(), FAILURE.exception()
    assert first is not second
    assert vars(first) == vars(second)
    assert isinstance(first, IncompatibleSchemaError)
    assert (first.http_status_code, first.url, first.attempts, first.retriable) == (409, "http://b:8081", 2, False)


def test_a_remembered_refusal_says_so() -> None:
    assert "not asked again" in str(FAILURE.exception(remembered_seconds=3.0))
    assert "not asked again" not in str(FAILURE.exception())
