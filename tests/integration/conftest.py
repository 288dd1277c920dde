"""The real stack of the integration tests: the one that the environment names, else one for the session."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from typing import TypeVar

import pytest
import stack

from kafka_sr_retry.testing import SchemaRegistryServer

IN_CI = os.environ.get("CI") == "true"
OWN_STACK = all(os.environ.get(name) for name in stack.VARIABLES)

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.fixture(scope="session")
def stack_environment() -> Iterator[Mapping[str, str]]:
    if OWN_STACK:
        yield os.environ
        return
    try:
        with stack.running() as environment:
            yield environment
    except stack.StackError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="session")
def kafka_bootstrap_servers(stack_environment: Mapping[str, str]) -> str:
    return stack_environment["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.fixture(scope="session")
def registry_url(stack_environment: Mapping[str, str]) -> str:
    return stack_environment["SCHEMA_REGISTRY_URL"].partition(",")[0].rstrip("/")


@pytest.fixture
def proxy(registry_url: str) -> Iterator[SchemaRegistryServer]:
    """The registry, behind a door where faults can be put."""
    with SchemaRegistryServer(upstream=registry_url) as server:
        yield server


def pytest_runtest_setup(item: pytest.Function) -> None:
    """Skip here and not in the fixture: skips of one place are one line of the summary."""
    if "stack_environment" in item.fixturenames and not OWN_STACK and (missing := stack.missing_programs()):
        pytest.skip(f"the real stack needs {' and '.join(missing)} on the PATH")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _fail_if_skipped_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _fail_if_skipped_in_ci((yield))


def _fail_if_skipped_in_ci(report: Report) -> Report:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        assert isinstance(report.longrepr, tuple)
        report.outcome = "failed"
        report.longrepr = f"CI=true allows no skip. {report.longrepr[2]}"
    return report
