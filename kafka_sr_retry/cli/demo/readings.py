"""The rows, their schema, and whether what came back is what was sent."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from importlib.metadata import distribution
from itertools import islice

SOURCE = "hourly temperatures in Seattle in 2010, by NOAA (seattle-temps.csv of vega_datasets)"

SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "Reading",
        "namespace": "gov.noaa.seattle",
        "fields": [
            {"name": "time", "type": "string", "doc": "local, as in the csv: 2010/01/01 00:00"},
            {"name": "fahrenheit", "type": "double"},
        ],
    }
)


@dataclass(frozen=True)
class Reading:
    """A row of the csv."""

    time: str
    fahrenheit: float

    @property
    def day(self) -> str:
        """The message's key."""
        return self.time[:10]


def load(rows: int | None) -> list[Reading]:
    """The first ``rows`` of the csv, or all."""
    # not through vega_datasets' own loader: that needs pandas and a second to import it
    path = distribution("vega_datasets").locate_file("vega_datasets/_data/seattle-temps.csv")
    with open(str(path), encoding="utf-8", newline="") as file:
        return [Reading(row["date"], float(row["temp"])) for row in islice(csv.DictReader(file), rows)]


@dataclass(frozen=True)
class Comparison:
    """What was sent against what was read back."""

    sent: int
    received: int
    equal: int
    differences: tuple[str, ...]


def compare(sent: Iterable[Reading], received: Iterable[tuple[str, Reading]]) -> Comparison:
    """Holds the rows of each key against each other, in order: each must be there once, and the same.

    Args:
        received: (key, reading) in the order of their offsets; Kafka keeps the order within a key.
    """
    expected = _grouped((reading.day, reading) for reading in sent)
    found = _grouped(received)
    equal, differences = 0, []
    for day in sorted(expected.keys() | found.keys()):
        ours, theirs = expected.get(day, []), found.get(day, [])
        for tag, i, j, k, m in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
            if tag == "equal":
                equal += j - i
            else:
                differences.append(f"key {day}: sent {_words(ours[i:j])}, read back {_words(theirs[k:m])}")
    counts = [sum(map(len, groups.values())) for groups in (expected, found)]
    return Comparison(counts[0], counts[1], equal, tuple(differences))


def _grouped(keyed: Iterable[tuple[str, Reading]]) -> Mapping[str, list[Reading]]:
    groups = defaultdict(list)
    for key, reading in keyed:
        groups[key].append(reading)
    return groups


def _words(readings: list[Reading]) -> str:
    return ", ".join(f"{reading.time} {reading.fahrenheit}" for reading in readings) or "nothing"
