"""Dates and times of day from their ISO 8601 texts to Avro's numbers; nothing is rounded, and no zone is guessed."""

from __future__ import annotations

import re
from datetime import date

_EPOCH = date(1970, 1, 1).toordinal()

LOGICAL = {
    "date": 1,
    "time-millis": 1000,
    "time-micros": 1_000_000,
    **{
        f"{local}timestamp-{unit}": scale
        for local in ("", "local-")
        for unit, scale in (("millis", 1000), ("micros", 1_000_000), ("nanos", 1_000_000_000))
    },
}
"""Logical types that a text may stand for, and what one second (for a date: one day) is."""

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
_ZONE = r" ?(Z|z|[+-]\d\d(?::?\d\d)?)?"
_IS_DATE = re.compile(_DATE, re.ASCII)
_IS_TIME = re.compile(_TIME, re.ASCII)
_IS_TIMESTAMP = re.compile(f"{_DATE}[Tt ]{_TIME}{_ZONE}", re.ASCII)


def bounds(logical: str) -> tuple[int, int]:
    """The numbers that a logical type has: a time of one day, a date or moment of the years 1 to 9999."""
    scale = LOGICAL[logical]
    if logical.startswith("time-"):
        return 0, 86_400 * scale - 1
    first, last = 1 - _EPOCH, date.max.toordinal() - _EPOCH
    if logical == "date":
        return first, last
    return max(first * 86_400 * scale, -(2**63)), min((last + 1) * 86_400 * scale - 1, 2**63 - 1)


def number(logical: str, text: str, *, assume_utc: bool) -> int:
    """What Avro writes for it.

    Args:
        assume_utc: a timestamp without a zone is UTC, and not refused.

    Raises:
        ValueError: what is wrong with it, in words.
    """
    if logical == "date":
        found = _IS_DATE.fullmatch(text)
        if found is None:
            raise ValueError("a text that is no date such as 2026-11-27")
        return _day(*found.groups())
    scale = LOGICAL[logical]
    if logical.startswith("time-"):
        found = _IS_TIME.fullmatch(text)
        if found is None:
            raise ValueError("a text that is no time such as 09:30:00.5")
        return _of_day(found.groups(), scale)
    found = _IS_TIMESTAMP.fullmatch(text)
    if found is None:
        raise ValueError("a text that is no timestamp such as 2026-11-27T09:30:00Z")
    *parts, zone = found.groups()
    if logical.startswith("local-") and zone:
        raise ValueError("a timestamp with a zone, which a local one has not")
    if not logical.startswith("local-") and not zone and not assume_utc:
        raise ValueError("a timestamp without a zone (Z, +01:00; --utc takes it as UTC)")
    total = (_day(*parts[:3]) * 86_400 - _offset(zone)) * scale + _of_day(parts[3:], scale)
    low, high = bounds(logical)
    if not low <= total <= high:
        raise ValueError(f"a timestamp out of the range of {logical}")
    return total


def _day(year: str, month: str, day: str) -> int:
    try:
        return date(int(year), int(month), int(day)).toordinal() - _EPOCH
    except ValueError as error:
        raise ValueError(f"a text that is no date: {error}") from None


def _of_day(parts: list[str] | tuple[str, ...], scale: int) -> int:
    hour, minute, second, fraction = int(parts[0]), int(parts[1]), int(parts[2] or 0), parts[3] or ""
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("a text that is no time of a day: 00:00:00 to 23:59:59 are")
    nanos = int(fraction.ljust(9, "0"))
    part, lost = divmod(nanos * scale, 1_000_000_000)
    if lost:
        raise ValueError("a time with more digits after the point than its type holds")
    return ((hour * 60 + minute) * 60 + second) * scale + part


def _offset(zone: str | None) -> int:
    """Seconds east of UTC."""
    if not zone or zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 18 or minutes > 59:
        raise ValueError("a timestamp with a zone that is none")
    return (hours * 60 + minutes) * (-60 if zone[0] == "-" else 60)
