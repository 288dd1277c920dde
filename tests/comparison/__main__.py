"""``python -m tests.comparison DIR``: our serializer beside Confluent's, with records of every schema in a folder."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastavro.schema import parse_schema
from fastavro.utils import generate_many

from .side_by_side import Comparison, SideBySide


@dataclass(frozen=True)
class Compared:
    """What came of one schema: ``note`` says why there were no records, if so."""

    path: Path
    records: int
    comparison: Comparison
    note: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each schema and a summary; gives 1 where something differs and nothing explains it."""
    parser = argparse.ArgumentParser(prog="python -m tests.comparison", description=__doc__)
    parser.add_argument("folder", type=Path, help="with .avsc files, at any depth")
    parser.add_argument("--records", type=int, default=20, help="of each schema (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the records (default: %(default)s)")
    given = parser.parse_args(arguments)
    paths = sorted(given.folder.rglob("*.avsc"))
    if not paths:
        print(f"no .avsc file in {given.folder}", file=sys.stderr)  # noqa: T201
        return 2
    random.seed(given.seed)
    with SideBySide() as sides:
        results = [_compare(sides, path, given.records) for path in paths]
    for result in results:
        _print(result, given.folder)
    differing = sum(bool(result.comparison.unexplained) for result in results)
    records = sum(result.comparison.written for result in results)
    verdict = f"{differing} differ" if differing else "the same bytes and the same questions"
    print(f"{len(results)} schemas, {records} messages: {verdict}")  # noqa: T201
    return 1 if differing else 0


def _compare(sides: SideBySide, path: Path, count: int) -> Compared:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        return Compared(path, 0, Comparison((), 0, ()), f"cannot be read: {error}")
    try:
        records = _records(text, count)
        note = ""
    except Exception as error:  # noqa: BLE001 then both serializers are asked all the same
        records, note = [], f"no records can be made ({type(error).__name__}: {error})"
    return Compared(path, len(records), sides.compare(text, records or [None]), note)


def _records(text: str, count: int) -> list[Any]:
    return list(generate_many(parse_schema(json.loads(text)), count))


def _print(result: Compared, folder: Path) -> None:
    comparison = result.comparison
    verdict = "differs" if comparison.unexplained else "same"
    notes = [f"known: {name}" for name in sorted(comparison.known)]
    notes += [f"both refuse: {text:.120}" for text in comparison.refusals[:1] if not comparison.unexplained]
    notes += [result.note] if result.note else []
    tail = f"  ({'; '.join(notes)})" if notes else ""
    count = f"{comparison.written} of {result.records} records"
    print(f"{verdict:8}{count:18}{result.path.relative_to(folder)}{tail}")  # noqa: T201
    for one in comparison.unexplained:
        print(f"  {one}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
