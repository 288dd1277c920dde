"""Which answers are kept on disk, under which key, and what a row of the file says."""

from __future__ import annotations

import atexit
import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kafka_sr_retry.config import ClientSettings
from kafka_sr_retry.events import CacheTrouble
from kafka_sr_retry.schema import RegisteredSchema

from .clock import Clock
from .idfile import Change, IdFile, Row
from .living import Living
from .masking import names_credentials
from .questions import look_up_path
from .request import RegistryRequest

_DROP = b""
"""In place of a key: what came before it is to go."""

ROWS = 1_000_000
"""In a file, which clients of any ``cache.capacity`` share."""

_KEPT = ("register", "look_up", "get_schema", "get_version")


@dataclass(frozen=True, slots=True)
class Found:
    """What the file has for a question.

    Attributes:
        age: seconds since the registry said so.
    """

    value: RegisteredSchema
    age: float


class Stored:
    """The part of a client's memory that outlives its process.

    A row is trusted for no more than a registry's answer is: the question reads it.

    Args:
        settings: with a ``cache_path``.
        tell: is told of trouble with the file.

    Attributes:
        looks: at the disk, so far.
    """

    def __init__(self, settings: ClientSettings, clock: Clock, tell: Callable[[CacheTrouble, str], object]) -> None:
        assert settings.cache_path is not None
        self._clock = clock
        self._file = IdFile(settings.cache_path, ROWS, tell)
        self._registry = _registry(settings)
        self._most = settings.cache_capacity
        self._waiting: dict[bytes, tuple[int, Row | None]] = {}
        self._number = itertools.count(1).__next__
        self.looks = 0
        _all.add(self)

    def find(self, request: RegistryRequest[Any]) -> Found | None:
        """Takes a look at the disk."""
        if not request.keep or request.operation not in _KEPT or _DROP in self._waiting:
            return None
        self.looks += 1
        row = self._file.get(self._key(request))
        if row is None:
            return None
        try:
            answer = json.loads(row.schema)
            answer |= {"id": row.schema_id, "guid": row.guid, "subject": row.subject, "version": row.version}
            value: RegisteredSchema = request.expects(answer)
            # one that the clock has not come to yet is as doubtful as one as old
            return Found(value, abs(self._clock.wall() - row.at))
        except Exception:  # noqa: BLE001 as of a registry, what cannot be read is none
            return None

    def keep(self, request: RegistryRequest[Any], value: object) -> bool:
        """Takes it in for the next ``write``; whether there is anything to write."""
        if request.keep and request.operation in _KEPT and isinstance(value, RegisteredSchema):
            asked = json.loads(request.body or b"{}")
            more = {name: each for name, each in value.schema.to_dict().items() if asked.get(name) != each}
            row = Row(
                key=self._key(request),
                registry=self._registry,
                subject=value.subject,
                schema_id=value.schema_id,
                guid=value.guid,
                version=value.version,
                at=self._clock.wall(),
                schema=json.dumps(more),
            )
            if len(self._waiting) < self._most:  # else the disk has long been of no use
                self._waiting[row.key] = self._number(), row
        return bool(self._waiting)

    def write(self) -> None:
        """Puts what waits on disk; what fails waits for the next time."""
        taken: dict[bytes, tuple[int, Row | None]] = {}

        def take() -> Change:
            nonlocal taken
            taken = self._waiting.copy()
            dropped, _ = taken.get(_DROP, (0, None))
            rows = [row for number, row in taken.values() if row is not None and number > dropped]
            return Change(rows, self._registry if dropped else None)

        if self._file.put(take):
            for key, one in taken.items():
                now = self._waiting.pop(key, one)
                if now is not one:  # it came meanwhile
                    self._waiting.setdefault(key, now)

    def drop(self) -> None:
        """Forgets what this registry said: on disk with the next ``write``."""
        self._waiting[_DROP] = self._number(), None

    def _key(self, request: RegistryRequest[Any]) -> bytes:
        """A registration's is that of the look-up that could answer in its place."""
        parts = (self._registry, request.method, look_up_path(request), (request.body or b"").decode("ascii"))
        return hashlib.sha256(json.dumps(parts).encode()).digest()


_all: Living[Stored] = Living()


@atexit.register
def _write_all() -> None:
    """What a process has learned just before its end."""
    for stored in _all:
        stored.write()


def _registry(settings: ClientSettings) -> str:
    """All URLs of a cluster stand for one registry. What answers there may depend on who asks, so a digest of that is
    in it, without what may be a credential: passwords, tokens, a user without a password, headers with such names."""
    user, password = settings.basic_credentials or ("", "")
    headers = {name.lower(): value for name, value in settings.http_headers.items() if not names_credentials(name)}
    headers.pop("user-agent", None)  # it may tell a version
    who = [user if password else "", settings.bearer_client_id, settings.bearer_cluster, sorted(headers.items())]
    digest = hashlib.sha256(json.dumps(who).encode()).hexdigest()[:16]
    return f"{','.join(sorted(set(settings.urls.urls)))} {digest}"
