"""The errors' classes, attributes and texts."""

from __future__ import annotations

import pickle

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


@pytest.mark.parametrize("error", OF_THE_REGISTRY)
def test_a_registrys_error_survives_pickling(error: type[SchemaRegistryError]) -> None:
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
    copy = pickle.loads(pickle.dumps(given))
    assert type(copy) is error
    assert str(copy) == "text"
    assert vars(copy) == vars(given)
    assert (copy.http_status_code, copy.error_code, copy.error_message) == (500, 50003, "no leader")
    assert (copy.url, copy.attempts, copy.retriable, copy.retry_after) == ("http://a:8081", 7, True, 1.5)


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
    assert type(first) is IncompatibleSchemaError
    assert (first.http_status_code, first.url, first.attempts, first.retriable) == (409, "http://b:8081", 2, False)


def test_a_remembered_refusal_says_so() -> None:
    assert "not asked again" in str(FAILURE.exception(remembered_seconds=3.0))
    assert "not asked again" not in str(FAILURE.exception())
