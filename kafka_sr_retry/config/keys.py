"""What a configuration key is, and how the settings' dataclasses declare theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PREFIX = "schema.registry."
"""Before a client's key in a producer's configuration."""

Parse = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Key:
    """A configuration key.

    Attributes:
        name: as users write it, without a prefix.
        parse: (name, given value) -> the setting; raises ``ConfigurationError``.
        default: in the words of the documentation.
        takes: what it may be given, with the unit.
        meaning: one line.
    """

    name: str
    parse: Parse
    default: str
    takes: str
    meaning: str


def setting(name: str, parse: Parse, takes: str, default: Any, meaning: str, *, shown: str | None = None) -> Any:
    """A dataclass field that is set by a key; a default is parsed like a given value, unless it is ``None``."""
    if shown is None:
        shown = "-" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
    key = Key(name, parse, shown, takes, meaning)
    initial = default if default is None else parse(name, default)
    return dataclasses.field(default_factory=lambda: initial, metadata={"key": key})


def keys(settings: type) -> dict[str, Key]:
    """The keys of ``ClientSettings`` or ``SerializerSettings``, by name."""
    fields = [f.metadata["key"] for f in dataclasses.fields(settings) if "key" in f.metadata]
    return {key.name: key for key in fields}
