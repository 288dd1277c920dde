"""Files judged by Avro's own rules against a folder of earlier versions; no registry is asked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from kafka_sr_retry.avro.compatibility import Type, clashes, parse
from kafka_sr_retry.errors import ConfigurationError, one_line

from .files import SchemaFile, read
from .judging import guarded, new_schema
from .outcome import Outcome
from .plan import Planned, beneath


class Offline:
    """A folder of earlier versions.

    Args:
        folder: has ``SUBJECT/*.avsc``, all versions in the order of their names; or ``SUBJECT.avsc``, or a file of the
            same path as the new one: the version before it.

    Raises:
        ConfigurationError: the folder cannot be read.
    """

    def __init__(self, folder: str, plan: Sequence[Planned], level: str) -> None:
        if not os.path.isdir(folder):
            raise ConfigurationError(f"--against takes a folder with earlier versions, which {folder!r} is not")
        self._plan, self._level = plan, level
        self._earlier = {
            file.within: file for file in sorted(read([folder]), key=lambda file: _natural(file.within)) if file.within
        }
        self._defines: dict[str, str] = {}
        """Texts, by the names of what they define: new ones, and before them those of the folder, the newest."""
        for file in (*(planned.file for planned in plan), *self._earlier.values()):
            self._defines |= dict.fromkeys(file.defines, file.text)
        self._uses = {file.text: file.uses for file in (*(p.file for p in plan), *self._earlier.values())}

    def judge(self, planned: Planned, _done: Mapping[int, Outcome]) -> Outcome:
        return guarded(planned, partial(self._judge, planned))

    def _judge(self, planned: Planned) -> Outcome:
        texts = [*self._only_earlier(planned), *(each.file.text for each in beneath(planned, self._plan))]
        text = planned.file.text
        try:
            new = new_schema(text, texts)
        except ValueError as error:
            return Outcome(planned, "failed", why=f"no Avro schema: {one_line(str(error), 300)}")
        versions = self._versions(planned)
        for number, version in enumerate(versions, 1):
            if not version.wrong and json.loads(version.text) == json.loads(text):
                return Outcome(planned, "unchanged", number, level=self._level)
        if not versions:
            return Outcome(planned, "new subject", 1, level=self._level)
        try:
            found = list(clashes(new, [(version.path, self._parsed(version)) for version in versions], self._level))
        except ValueError as error:
            return Outcome(planned, "failed", why=f"an earlier version cannot be read: {one_line(str(error), 300)}")
        if found:
            return Outcome(planned, "incompatible", why="it may not follow", level=self._level, clashes=found)
        return Outcome(planned, "new version", len(versions) + 1, level=self._level)

    def _versions(self, planned: Planned) -> list[SchemaFile]:
        """The oldest first."""
        for name in dict.fromkeys((str(planned.subject), quote(str(planned.subject), safe=""))):
            found = [file for within, file in self._earlier.items() if os.path.dirname(within) == name]
            if not found and f"{name}.avsc" in self._earlier:
                found = [self._earlier[f"{name}.avsc"]]
            if found:
                return found
        within = planned.file.within
        return [self._earlier[within]] if within in self._earlier else []

    def _only_earlier(self, planned: Planned) -> list[str]:
        uses = [
            reference.names
            for each in (*beneath(planned, self._plan), planned)
            for reference in each.references
            if reference.file is None
        ]
        return self._texts(uses)

    def _texts(self, uses: Sequence[Sequence[str]]) -> list[str]:
        """Of all that is used, each after those that it uses itself; what nobody defines is for the parser to say."""
        found: dict[str, None] = {}
        under_way: set[str] = set()

        def add(uses: Sequence[Sequence[str]]) -> None:
            for names in uses:
                text = next((self._defines[name] for name in names if name in self._defines), None)
                if text is not None and text not in under_way:
                    under_way.add(text)
                    add(self._uses[text])
                    found[text] = None

        add(uses)
        return list(found)

    def _parsed(self, version: SchemaFile) -> Type:
        if version.wrong:
            raise ValueError(f"{version.path}: {version.wrong}")
        return parse(version.text, self._texts(version.uses))


def _natural(path: str) -> list[Any]:
    """2.avsc before 10.avsc."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path)]
