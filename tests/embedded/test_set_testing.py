"""Waits are switched off for a suite, and for nobody else. Nothing here looks at seconds: the waits would be hours."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kafka_sr_retry import (
    AsyncSchemaRegistryClient,
    RegistryUnavailableError,
    Schema,
    SchemaRegistryClient,
    is_testing,
    set_testing,
)
from kafka_sr_retry.testing import SchemaRegistryServer, error, hang, no_leader, retry_after

TEXT = Schema('"string"')
HOURS = {"retries.wait.ms": 3_600_000, "retries.max.wait.ms": 3_600_000, "total.timeout.ms": 36_000_000}


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    assert not is_testing()
    yield
    assert not is_testing()


def test_attempts_come_without_a_wait(schema_registry: SchemaRegistryServer, no_waits: None) -> None:
    schema_registry.fail_next(no_leader(), error(503), retry_after(3600), no_leader())
    with SchemaRegistryClient({"url": schema_registry.url, **HOURS}) as client:
        assert client.register_schema("orders-value", TEXT) == 1
    assert len(schema_registry.registrations) == 5


def test_an_event_loop_does_not_wait_either(schema_registry: SchemaRegistryServer, no_waits: None) -> None:
    async def register() -> int:
        async with AsyncSchemaRegistryClient({"url": schema_registry.url, **HOURS}) as client:
            return await client.register_schema("orders-value", TEXT)

    schema_registry.fail_next(error(503), error(503), error(503))
    assert asyncio.run(register()) == 1


def test_an_outage_is_given_up_after_as_many_attempts_as_ever(
    schema_registry: SchemaRegistryServer, no_waits: None
) -> None:
    """Time that is skipped counts: the registry is not asked without end."""
    schema_registry.fail_always(error(503))
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        with pytest.raises(RegistryUnavailableError):
            client.register_schema("orders-value", TEXT)
        asked = len(schema_registry.registrations)
        assert 10 < asked < 200
        with pytest.raises(RegistryUnavailableError):
            client.register_schema("orders-value", TEXT)
        assert asked < len(schema_registry.registrations) < asked + 5  # it is still the same outage
        schema_registry.recover()
        assert client.register_schema("orders-value", TEXT) == 1


def test_a_block_ends_it_and_gives_back_what_was(schema_registry: SchemaRegistryServer) -> None:
    with set_testing():
        assert is_testing()
        with set_testing(False):
            assert not is_testing()
        assert is_testing()
    with SchemaRegistryClient({"url": schema_registry.url, **HOURS, "total.timeout.ms": 50}) as client:
        schema_registry.fail_always(error(503))
        with pytest.raises(RegistryUnavailableError):
            client.register_schema("orders-value", TEXT)
    assert len(schema_registry.registrations) <= 2


def test_blocks_that_overlap_end_in_any_order() -> None:
    """As those of two threads, which may be between making one and entering it."""
    one, two = set_testing(), set_testing()
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(one)
        second.enter_context(two)
        first.close()
        assert is_testing()
        second.close()
        assert not is_testing()
        second.enter_context(two)
        assert is_testing()


def test_a_plain_call_within_a_block_ends_with_it() -> None:
    set_testing()
    try:
        with set_testing():
            set_testing(False)
            assert not is_testing()
        assert is_testing()
    finally:
        set_testing(False)


def test_an_attempt_that_hangs_takes_its_time(schema_registry: SchemaRegistryServer, no_waits: None) -> None:
    """It is over when the registry ends it, and not before: the answer is the third one's."""
    schema_registry.fail_next(hang(0.3), hang(0.3))
    with SchemaRegistryClient({"url": schema_registry.url, **HOURS}) as client:
        assert client.register_schema("orders-value", TEXT) == 1
    assert [request.answer for request in schema_registry.registrations] == [None, None, 200]


def test_time_never_goes_back(schema_registry: SchemaRegistryServer) -> None:
    """A client that skipped an hour is not asked to live it again."""
    schema_registry.fail_next(*[no_leader()] * 3)
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        with set_testing():
            assert client.register_schema("one-value", TEXT) == 1
        assert client.register_schema("two-value", TEXT) == 1


SUITE = """
    import sys
    import pytest
    from kafka_sr_retry import is_testing, set_testing

    class Suite:
        @pytest.fixture(scope="session", autouse=True)
        def quick(self):
            set_testing(True)

    before = sys.argv[1] == "on"
    set_testing(before)
    code = pytest.main(["-q", "-p", "no:cacheprovider", "."], plugins=[Suite()])
    assert code == 0, code
    assert is_testing() is before, "it leaked"
"""
ONE = """
    from kafka_sr_retry import is_testing

    def test_it():
        assert is_testing()
"""


@pytest.mark.parametrize("before", ["on", "off"])
def test_it_ends_with_the_session_that_switched_it_on(before: str, tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(textwrap.dedent(ONE))
    (tmp_path / "suite.py").write_text(textwrap.dedent(SUITE))
    done = subprocess.run([sys.executable, "suite.py", before], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_process_is_not_told(no_waits: None) -> None:
    code = "import kafka_sr_retry; print(kafka_sr_retry.is_testing())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
