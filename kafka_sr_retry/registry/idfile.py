"""Ids on disk, in an SQLite file that processes share and leave to those after them.

Nothing of it fails a message: what goes wrong is told, and the file is done without. Each use opens the file and closes
it again, so an idle client holds no descriptor, and a fork meets no open connection.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import astuple, dataclass, field
from functools import partial
from typing import Any, TypeVar

from kafka_sr_retry.events import CacheTrouble

from .alone import BUSY, Wrong, alone, is_inside

_T = TypeVar("_T")
_Troubles = list[tuple[CacheTrouble, str]]

_held: dict[tuple[str, bool], tuple[float, float]] = {}
"""For a file and whether it is to be written: since when another process has held it, and when that was seen last. All
who come together wait once."""

_PAUSES = (0.001, 0.02)
"""Seconds between tries, at first and at most."""

FORMAT, _APPLICATION = 1, 0x6B737272
_TABLE = (
    "CREATE TABLE ids (key BLOB PRIMARY KEY, registry TEXT NOT NULL, subject TEXT, id INTEGER NOT NULL, guid TEXT, "
    "version INTEGER, at REAL NOT NULL, schema TEXT NOT NULL, sum BLOB NOT NULL)"
)
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Row:
    """What a registry answered to a question.

    Attributes:
        key: of the question; ``registry``: that was asked, in words too.
        at: when, in seconds since 1970.
        schema: JSON of what the answer says of a schema, beyond what the question does.
    """

    key: bytes
    registry: str
    subject: str | None
    schema_id: int
    guid: str | None
    version: int | None
    at: float
    schema: str

    def sum(self) -> bytes:
        """SQLite notices no flipped bit, and an id must never be wrong."""
        return hashlib.sha256(repr(astuple(self)).encode(errors="replace")).digest()[:16]


@dataclass(slots=True)
class Change:
    """What is to be written.

    Attributes:
        drop: a registry, all of whose rows go first.
    """

    rows: list[Row] = field(default_factory=list)
    drop: str | None = None

    def __bool__(self) -> bool:
        return bool(self.rows or self.drop)


class IdFile:
    """The file, which is made when something is first written.

    Args:
        path: of the file.
        most: rows that it keeps; the oldest go first.
        tell: is told once of each kind of trouble, with what is known of it.
        mounts: the system's table of mounted volumes.
    """

    def __init__(
        self, path: str, most: int, tell: Callable[[CacheTrouble, str], object], mounts: str = "/proc/self/mountinfo"
    ) -> None:
        self._path, self._most, self._tell, self._mounts = path, most, tell, mounts
        self._told: set[CacheTrouble] = set()
        self._written = 0

    def get(self, key: bytes) -> Row | None:
        """The row of a question, if there is a whole one."""

        def read(db: sqlite3.Connection) -> Any:
            return db.execute("SELECT * FROM ids WHERE key = ?", (key,)).fetchone()

        found = self._use(lambda troubles: self._worked(read, False, troubles), False)
        if found is None:
            return None
        *columns, checksum = found
        row = Row(*columns)
        return row if row.key == key and checksum == row.sum() else None

    def put(self, take: Callable[[], Change]) -> bool:
        """Writes what ``take`` gives; it is called for each try, while nobody else in the process is at any file.

        Returns:
            Whether it is in the file; not where another process holds that, where it is of no use, or in a signal
            handler that has interrupted another use.
        """

        def write(troubles: _Troubles) -> bool | None:
            change = take()
            if not change:
                return True
            done = self._worked(partial(self._write, change), True, troubles)
            if done is None and troubles and troubles[0][0] in _SET_ASIDE:
                done = self._worked(partial(self._write, change), True, troubles)  # in a new one
            if done is None and change.drop and troubles and troubles[0][0] == "unusable":
                self._remove(troubles)
            return done

        return not is_inside() and bool(self._use(write, True))

    def _write(self, change: Change, db: sqlite3.Connection) -> bool:
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM ids WHERE registry = ?", (change.drop,))
        db.executemany(
            "INSERT OR REPLACE INTO ids VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*astuple(row), row.sum()) for row in change.rows],
        )
        if self._written % 64 == 0 and db.execute("SELECT ifnull(max(rowid), 0) FROM ids").fetchone()[0] > self._most:
            oldest = "SELECT key FROM ids ORDER BY at DESC LIMIT -1 OFFSET ?"
            db.execute(f"DELETE FROM ids WHERE key IN ({oldest})", (self._most,))
        db.execute("COMMIT")
        self._written += 1
        return True

    # -- one use ------------------------------------------------------------------------------

    def _use(self, work: Callable[[_Troubles], _T | None], writes: bool) -> _T | None:
        """What ``work`` gives; ``None`` where there is no file yet, others are at it, or it is of no use now."""
        troubles: _Troubles = []
        done: _T | None = None
        held, (pause, longest) = (self._path, writes), _PAUSES
        try:
            while True:
                try:
                    done = alone(partial(work, troubles))
                    break
                except _Busy:
                    now = time.monotonic()
                    since, last = _held.get(held, (now, now))
                    since = since if now - last < BUSY else now
                    _held[held] = since, now
                    if is_inside() or now - since >= BUSY:
                        raise Wrong("busy", f"another process holds {self._path}") from None
                time.sleep(pause)  # not alone: readers need not wait for a writer
                pause = min(2 * pause, longest)
        except Wrong as wrong:
            troubles.append((wrong.kind, wrong.detail))
        except (OSError, sqlite3.Error, ValueError) as error:
            troubles.append(("unusable", f"{self._path}: {_words(error)}"))
        for kind, detail in troubles:  # not before: a handler of the log may be foreign code
            if kind not in self._told:
                self._told.add(kind)
                self._tell(kind, detail)
        return done

    def _worked(self, work: Callable[[sqlite3.Connection], _T], writes: bool, troubles: _Troubles) -> _T | None:
        seen = None
        try:
            seen = self._seen(make=writes)
            if seen is None:
                return None
            with closing(self._connected(writes)) as db:
                done = work(db) if self._is_ready(db, writes, troubles) else None
            _held.pop((self._path, writes), None)
            return done
        except Wrong as wrong:
            troubles.insert(0, (wrong.kind, wrong.detail))
        except sqlite3.OperationalError as error:
            if "lock" in str(error):  # "database is locked", "locking protocol"
                raise _Busy from None
            troubles.insert(0, ("unusable", f"{self._path}: {_words(error)}"))
            if not writes:
                return self._read_full(work)
        except (OSError, sqlite3.Error, ValueError) as error:
            # SQLITE_CORRUPT, SQLITE_NOTADB
            kind: CacheTrouble = "damaged" if type(error) is sqlite3.DatabaseError else "unusable"
            troubles.insert(0, (kind, f"{self._path}: {_words(error)}"))
        if seen is not None and troubles[0][0] in _SET_ASIDE:
            self._set_aside(seen)
        return None

    def _read_full(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """On a full disk, where SQLite finds no room for what it has beside a file; if that was closed in order."""
        wal = self._path + "-wal"
        if os.path.exists(wal) and os.path.getsize(wal):
            return None
        with suppress(sqlite3.Error, Wrong), closing(self._connected(False, "immutable=1")) as db:
            return work(db) if self._is_ready(db, False, []) else None
        return None

    def _seen(self, make: bool) -> os.stat_result | None:
        """The file, as far as it may be used."""
        if make:
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            seen = os.lstat(self._path)
        except FileNotFoundError:
            return None
        for suffix in ("", *_BESIDE):
            with suppress(FileNotFoundError):
                self._check(self._path + suffix)
        return seen

    def _check(self, path: str) -> None:
        """SQLite follows links, and takes back what stands in a journal beside the file."""
        seen = os.lstat(path)
        if not stat.S_ISREG(seen.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(seen.st_mode) else "no regular file"
            raise Wrong("refused", f"{path} is {kind}")
        if not hasattr(os, "geteuid"):
            return
        if seen.st_uid != os.geteuid():
            raise Wrong("refused", f"{path} belongs to user {seen.st_uid}, not to {os.geteuid()}")
        if seen.st_mode & 0o022:
            raise Wrong("refused", f"others may write to {path}: chmod 600")
        if seen.st_mode & 0o077:
            os.chmod(path, 0o600)

    def _connected(self, writes: bool, options: str = "mode=rw") -> sqlite3.Connection:
        folder = os.path.dirname(os.path.abspath(self._path))
        if not os.access(folder, os.W_OK):
            if writes:
                raise Wrong("unusable", f"{folder} cannot be written to")
            options = "immutable=1"  # SQLite's own files cannot be made, and are not needed
        name = "file:" + re.sub("[%?#]", lambda found: f"%{ord(found[0]):02x}", os.path.abspath(self._path))
        db = sqlite3.connect(f"{name}?{options}", timeout=0, isolation_level=None, uri=True)
        db.text_factory = lambda text: text.decode(errors="replace")
        return db

    def _is_ready(self, db: sqlite3.Connection, writes: bool, troubles: _Troubles) -> bool:
        """Whether the table is there; raises where it is another's."""
        db.execute("BEGIN")  # another process may be making the table
        application, version = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        tables = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        db.execute("COMMIT")
        if (tables or version) and application != _APPLICATION:
            raise Wrong("foreign", f"{self._path} is a database of something else")
        if version > FORMAT:
            raise Wrong("newer", f"{self._path} was written by a newer version, in format {version}")
        if tables and tables != [_TABLE]:
            raise Wrong("damaged", f"{self._path} holds other tables than it should")
        if not writes and not tables:
            return False
        if writes:
            self._choose_journal(db, troubles)
        if not tables:
            db.execute("BEGIN IMMEDIATE")
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
            db.execute(_TABLE.replace("TABLE", "TABLE IF NOT EXISTS"))
            db.execute("COMMIT")
        return True

    def _choose_journal(self, db: sqlite3.Connection, troubles: _Troubles) -> None:
        """WAL, whose readers wait for no writer; it needs memory that all processes share, and so one machine."""
        shared = network_volume(self._path, self._mounts)
        now, wanted = db.execute("PRAGMA journal_mode").fetchone()[0], "delete" if shared else "wal"
        if now != wanted:
            now = db.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0]
        if now == "wal":
            db.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last rows, and nothing else
        else:
            why = f"a network volume ({shared})" if shared else "a volume on which SQLite can have no WAL"
            troubles.append(("no_wal", f"{self._path} is on {why}: it has a rollback journal"))

    def _remove(self, troubles: _Troubles) -> None:
        """With the ids in it that are wrong; a full disk has room for that."""
        with suppress(FileNotFoundError):
            if os.path.getsize(self._path):
                try:
                    for suffix in (*_BESIDE, ""):
                        with suppress(FileNotFoundError):
                            os.unlink(self._path + suffix)
                except OSError:  # the folder cannot be written to
                    os.truncate(self._path, 0)
                troubles.append(("removed", f"{self._path} holds ids that may be wrong, and could not be written to"))

    def _set_aside(self, seen: os.stat_result) -> None:
        """Where another process has not done so already; one alone is kept."""
        now = os.lstat(self._path)
        if (now.st_dev, now.st_ino) == (seen.st_dev, seen.st_ino):
            aside = f"{self._path}.aside"
            for suffix in (*_BESIDE, ""):
                with suppress(FileNotFoundError):
                    os.replace(self._path + suffix, aside + suffix)


_SET_ASIDE = ("damaged", "foreign", "newer")


class _Busy(Exception):  # noqa: N818
    pass


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


_SHARED = re.compile(
    r"(nfs|cifs|smb|9p|v9fs|afs|ceph|lustre|gpfs|beegfs|gluster|ocfs|gfs2|virtiofs|vboxsf|fuse|ncp|coda).*"
)


def network_volume(path: str, mounts: str) -> str:
    """Its kind where another machine may have it too, as Linux tells; empty otherwise."""
    folder = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    kind, longest = "", 0
    with suppress(OSError), open(mounts, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            left, _, right = line.partition(" - ")
            place = "".join(left.split(" ")[4:5])
            at = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), place) if right else ""
            if at and len(at) >= longest and (folder + "/").startswith(at.rstrip("/") + "/"):
                kind, longest = right.split()[0], len(at)
    return kind if _SHARED.fullmatch(kind) else ""
