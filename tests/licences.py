"""``python -m tests.licences``: writes docs/licences.md, under which licences one has what the package needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

PAGE = Path(__file__).parents[1] / "docs/licences.md"
PACKAGE = "kafka-sr-retry"
EXTRAS = ("", "cli", "demo", "opentelemetry", "prometheus", "socks")

TAKEN = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "PSF-2.0", "Zlib"),
    "MPL-2.0",  # binds its own files alone
}
"""What users of a package under Apache-2.0 can take along: no licence here reaches beyond the part that is under it."""

_NAMES = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

_HEAD = """\
# Licences

<!-- written by python -m tests.licences -->

What comes with the package and with its extras, in the versions that `requirements/dev.txt` pins for Linux and Python
3.11, and under which licence, as each says itself. None reaches beyond the part that is under it; a test refuses any
other. confluent-kafka's wheels hold librdkafka (BSD-2-Clause) and what that is linked with: their licences lie in the
wheel.

| package | licence | comes with |
| --- | --- | --- |
"""


class Needed(NamedTuple):
    """A package, under which licence, and with which extras it comes."""

    name: str
    licence: str
    extras: tuple[str, ...]


def needed() -> list[Needed]:
    """All that is needed here, by name."""
    found: dict[str, list[str]] = {}
    for extra in EXTRAS:
        for name in dict.fromkeys(_below(PACKAGE, frozenset({extra, ""}), set())):
            found.setdefault(name, []).append(extra)
    return [Needed(name, licence(distribution(name)), tuple(found[name])) for name in sorted(found)]


def installed_with(name: str, *extras: str) -> set[str]:
    """The distributions that come when a package is installed, itself too."""
    return {name, *_below(name, frozenset({*extras, ""}), set())}


def _below(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> Iterator[str]:
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in extras):
            continue
        needs = (re.sub(r"[-_.]+", "-", requirement.name).lower(), frozenset({*requirement.extras, ""}))
        if needs not in seen:
            seen.add(needs)
            if needs[0] != PACKAGE:
                yield needs[0]
            yield from _below(*needs, seen)


def licence(of: Distribution) -> str:
    """As SPDX writes it, where it tells that."""
    told = of.metadata
    classified = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or () if line.startswith("License")]
    stated = told.get("License-Expression") or " AND ".join(_NAMES.get(name, name) for name in classified)
    return str(stated or told.get("License") or "none told")


def is_taken(expression: str) -> bool:
    """Whether each part of an expression offers a licence that is taken; what cannot be read is not."""
    parts = expression.replace("(", "").replace(")", "").split(" AND ")
    return all(any(each.strip() in TAKEN for each in part.split(" OR ")) for part in parts)


def written(rows: list[Needed]) -> str:
    lines = (
        f"| {row.name} | {row.licence} | {'the package' if '' in row.extras else ', '.join(row.extras)} |\n"
        for row in rows
    )
    return _HEAD + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(written(needed()), encoding="utf-8")
