"""The pins in requirements/ fit pyproject.toml, and what users get is under licences that they can take."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import licences

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
LOCKS = {path.stem: path.read_text() for path in sorted(ROOT.glob("requirements/*.txt"))}
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


class Pin(NamedTuple):
    name: str
    version: str
    marker: Marker | None
    hashes: int


def pins(text: str) -> Iterator[Pin]:
    for entry in re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n?", "", text, flags=re.MULTILINE).strip()):
        first, *hashes = entry.replace("\\\n", "\n").splitlines()
        requirement = Requirement(first)
        ((operator, version),) = [(each.operator, each.version) for each in requirement.specifier]
        assert operator == "=="
        yield Pin(
            named(requirement.name), version, requirement.marker, sum("--hash=sha256:" in line for line in hashes)
        )


def named(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(lock: str) -> list[str]:
    """The lines of pyproject.toml that a lock is made of."""
    groups: dict[str, list[Any]] = PROJECT["dependency-groups"]
    if lock == "tools":
        return [*groups["build"], *(line for line in groups["tools"] if isinstance(line, str))]
    if lock == "docs":
        return [str(line) for line in groups["docs"]]
    core: list[str] = PROJECT["project"]["dependencies"]
    if lock == "engines":
        return [*core, *groups["engines"]]
    extras = [name for name in EXTRAS if name != "dev"] if lock == "extras" else list(EXTRAS)
    lines = [line for name in extras for line in EXTRAS[name] if named(Requirement(line).name) != licences.PACKAGE]
    return [*core, *lines, *(groups["build"] if lock == "dev" else [])]


def here(marker: Marker | None, python: str) -> bool:
    full = {"python_version": python, "python_full_version": f"{python}.9", "extra": ""}
    return marker is None or marker.evaluate({**default_environment(), "sys_platform": "linux", **full})


def test_there_is_a_lock_for_each_use() -> None:
    assert list(LOCKS) == ["dev", "docs", "engines", "extras", "tools"]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_what_is_asked_for_is_pinned_where_it_fits(lock: str, python: str) -> None:
    pinned: dict[str, list[str]] = {}
    for pin in pins(LOCKS[lock]):
        if here(pin.marker, python):
            pinned.setdefault(pin.name, []).append(pin.version)
    wanted = [each for each in map(Requirement, asked(lock)) if here(each.marker, python)]

    unfit = [
        str(each)
        for each in wanted
        if not all(each.specifier.contains(version) for version in pinned.get(named(each.name), ["none"]))
    ]
    assert unfit == [], "make lock"
    assert [name for name, versions in pinned.items() if len(versions) != 1] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_and_names_no_place(lock: str) -> None:
    assert [pin.name for pin in pins(LOCKS[lock]) if not pin.hashes] == []
    options = {line.split()[0].split("=")[0] for line in LOCKS[lock].splitlines() if line.strip().startswith("-")}
    assert options == {"--hash"}
    assert "://" not in LOCKS[lock]


def test_the_locks_agree() -> None:
    dev = {(pin.name, pin.version) for pin in pins(LOCKS["dev"])}

    assert {(pin.name, pin.version) for pin in pins(LOCKS["extras"])} <= dev


def test_users_can_take_every_licence() -> None:
    assert [each for each in licences.needed() if not licences.is_taken(each.licence)] == []


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        ("MIT", True),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", True),
        ("MIT AND AGPL-3.0-only", False),
        ("LGPL-2.1-or-later", False),
        ("none told", False),
        ("", False),
    ],
)
def test_a_licence_that_reaches_further_is_refused(expression: str, taken: bool) -> None:
    assert licences.is_taken(expression) is taken


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the page is of Python 3.11")
def test_every_licence_is_listed() -> None:
    page = licences.PAGE.read_text(encoding="utf-8")

    assert [row for row in licences.written(licences.needed()).splitlines() if row not in page] == [], (
        "python -m tests.licences"
    )


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="README counts on Python 3.11")
def test_what_installs_is_what_the_readme_counts() -> None:
    told = re.findall(r"(\d+) distributions with this package, against (\d+) for", (ROOT / "README.md").read_text())
    ours = licences.installed_with("kafka-sr-retry")
    confluents = licences.installed_with("confluent-kafka", "avro", "schemaregistry")
    assert told == [(str(len(ours)), str(len(confluents)))]
