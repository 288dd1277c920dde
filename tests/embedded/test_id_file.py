"""The file of ids: what it keeps, and that nothing that is wrong with it does more than cost what it keeps."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import re
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from waiting import LONG, until

from kafka_sr_retry.registry.alone import _locks, alone
from kafka_sr_retry.registry.idfile import Change, IdFile, Row, network_volume
from trials import killed

ROOT = Path(__file__).parents[2]
SPAWN = multiprocessing.get_context("spawn")


def put(file: IdFile, *rows: Row) -> bool:
    return file.put(lambda: Change([*rows]))


def row(number: int, at: float = 1000.0) -> Row:
    key = hashlib.sha256(str(number).encode()).digest()
    return Row(key, "http://sr:8081", f"s{number}", number, None, 1, at, '{"more": "é"}')


class Files:
    """Opens one file, and hears of trouble."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.troubles: list[str] = []

    def open(self, most: int = 1000, mounts: str = "/proc/self/mountinfo") -> IdFile:
        return IdFile(str(self.path), most, lambda kind, detail: self.troubles.append(f"{kind}: {detail}"), mounts)

    @property
    def kinds(self) -> list[str]:
        return [trouble.partition(":")[0] for trouble in self.troubles]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "ids")


def test_what_is_written_is_there_for_whoever_opens_the_file(files: Files) -> None:
    assert files.open().get(row(1).key) is None
    assert not files.path.exists(), "a look makes no file"
    assert put(files.open(), row(1), row(2))
    assert [files.open().get(row(number).key) for number in (1, 2, 3)] == [row(1), row(2), None]
    assert stat.S_IMODE(files.path.stat().st_mode) == 0o600
    assert files.troubles == []


def descriptors_of(path: Path) -> list[int]:
    found = []
    for each in range(4096):
        with suppress(OSError):
            if os.path.samestat(os.fstat(each), path.stat()):
                found.append(each)
    return found


def test_between_its_uses_it_holds_no_descriptor_and_leaves_no_file_beside(files: Files) -> None:
    file = files.open()
    assert put(file, row(1))
    assert file.get(row(1).key)
    assert not descriptors_of(files.path)
    assert [path.name for path in files.path.parent.iterdir()] == ["ids"]


def test_a_newer_answer_takes_the_olds_place(files: Files) -> None:
    assert put(files.open(), row(1))
    assert put(files.open(), row(1, at=2000.0))
    assert files.open().get(row(1).key) == row(1, at=2000.0)


def test_what_a_registry_said_can_be_dropped(files: Files) -> None:
    assert put(files.open(), row(1))
    assert files.open().put(lambda: Change(drop="http://other:8081"))
    assert files.open().get(row(1).key)
    assert files.open().put(lambda: Change([row(2)], "http://sr:8081"))
    assert [files.open().get(row(number).key) for number in (1, 2)] == [None, row(2)]


def test_the_oldest_go_where_there_are_too_many(files: Files) -> None:
    assert put(files.open(most=10), *[row(number, at=float(number)) for number in range(1, 31)])
    kept = [number for number in range(1, 31) if files.open().get(row(number).key)]
    assert kept == list(range(21, 31))


# -- many at once --------------------------------------------------------------------------------


def write_many(path: str, first: int) -> None:
    file = IdFile(path, 10_000, lambda kind, detail: None)

    def one(start: int) -> None:
        for number in range(start, start + 10):
            while not put(file, row(number)):  # busy for longer than it waits, on a machine that is
                pass

    threads = [threading.Thread(target=one, args=(first + 100 * each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)


def test_processes_and_threads_write_at_once(files: Files) -> None:
    writers = [SPAWN.Process(target=write_many, args=(str(files.path), 1000 * each)) for each in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(2 * LONG)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    for process in (1000, 2000, 3000):
        for thread in (0, 100, 200, 300):
            for number in range(process + thread, process + thread + 10):
                assert files.open().get(row(number).key) == row(number)
    assert files.troubles == []
    assert [path.name for path in files.path.parent.iterdir()] == ["ids"]


def test_a_file_that_another_writes_to_is_read_all_the_same(files: Files) -> None:
    assert put(files.open(), row(1))
    other = sqlite3.connect(files.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert files.open().get(row(1).key) == row(1)
    assert not put(files.open(), row(2))
    other.execute("ROLLBACK")
    other.close()
    assert put(files.open(), row(2))
    assert files.kinds == ["busy"]


class Held:
    """The file, which another writes to; and a thread here that waits for it."""

    def __init__(self, files: Files) -> None:
        assert put(files.open(), row(1))
        self.other = sqlite3.connect(files.path, isolation_level=None, check_same_thread=False)
        self.other.execute("BEGIN IMMEDIATE")
        self.tries = 0
        self.thread = threading.Thread(target=files.open().put, args=(self.take,))
        self.thread.start()
        until(lambda: self.tries)

    def take(self) -> Change:
        self.tries += 1
        return Change([row(2)])

    def let_go(self) -> None:
        self.other.close()
        self.thread.join(LONG)


def test_a_thread_that_waits_to_write_holds_no_reader_up(files: Files) -> None:
    held = Held(files)
    assert files.open().get(row(1).key) == row(1)
    held.let_go()
    assert files.open().get(row(2).key) == row(2)
    assert files.troubles == []


def test_all_who_wait_for_another_process_wait_once(files: Files) -> None:
    held = Held(files)
    held.thread.join(LONG)
    before, held.tries = held.tries, 0
    assert not files.open().put(held.take)
    assert before > 10
    assert held.tries == 1
    held.let_go()
    assert files.open().put(held.take)


def test_many_who_come_at_once_wait_for_each_other(files: Files) -> None:
    assert put(files.open(), row(1))
    found: list[Row | None] = []
    come, leave = threading.Event(), threading.Event()
    inside = [threading.Thread(target=alone, args=(lambda: come.set() or leave.wait(0.2),)) for _ in range(15)]
    for thread in inside:
        thread.start()
    assert come.wait(LONG)
    reader = threading.Thread(target=lambda: found.append(files.open().get(row(1).key)))
    reader.start()
    for thread in (*inside, reader):
        thread.join(LONG)
    assert found == [row(1)]


def test_a_thread_whose_disk_hangs_is_not_waited_for(files: Files) -> None:
    assert put(files.open(), row(1))
    come, leave = threading.Event(), threading.Event()
    hangs = threading.Thread(target=alone, args=(lambda: come.set() or leave.wait(),))
    hangs.start()
    assert come.wait(LONG)
    assert files.open().get(row(1).key) is None
    assert files.kinds == ["busy"]
    leave.set()
    hangs.join(LONG)


# -- signals ---------------------------------------------------------------------------------------


class Struck(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("after", ["acquire", "release"])
def test_a_signal_handler_that_raises_leaves_no_lock(files: Files, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    class Lock(type(threading.RLock())):  # type: ignore[misc]
        strikes = True

        def _did(self, what: str, result: Any) -> Any:
            if self.strikes and what == after:
                self.strikes = False
                raise Struck
            return result

        def acquire(self, *args: Any, **keys: Any) -> Any:
            return self._did("acquire", super().acquire(*args, **keys))

        def release(self) -> Any:
            return self._did("release", super().release())

    monkeypatch.setitem(_locks, os.getpid(), Lock())
    with pytest.raises(Struck):
        files.open().get(row(1).key)
    written: list[bool] = []
    other = threading.Thread(target=lambda: written.append(put(files.open(), row(1))))
    other.start()
    other.join(LONG)
    assert written == [True]


def test_a_signal_handler_within_a_use_may_read_and_does_not_wait_for_itself(files: Files) -> None:
    assert put(files.open(), row(1))
    tries: list[None] = []

    def take() -> Change:
        tries.append(None)
        return Change([row(2)])

    assert alone(lambda: [files.open().put(take), files.open().get(row(1).key)]) == [False, row(1)]
    assert tries == []
    assert files.troubles == []


# -- processes that end, badly or by a fork ----------------------------------------------------------


def test_killed_while_it_writes_no_id_is_wrong(tmp_path: Path) -> None:
    assert killed.run(5, 1, tmp_path) == []


FORKS = """
    import os, sys, threading, time
    from kafka_sr_retry.registry.idfile import IdFile
    from test_id_file import put, row
    troubles = []
    file = IdFile(sys.argv[1], 10_000, lambda kind, detail: troubles.append(kind))
    stop = threading.Event()

    def ever(use):  # others may be at it for longer than it waits
        while not (done := use()) and not troubles:
            time.sleep(0.05)
        return bool(done)

    def write(number):
        while not stop.is_set():
            put(file, row(number))
            number += 2
            time.sleep(0.002)  # or on a busy machine the one that forks gets no turn within its second

    writers = [threading.Thread(target=write, args=(first,)) for first in (1, 2)]
    for writer in writers:
        writer.start()
    for child in range(20):
        pid = os.fork()
        if not pid:
            mine = row(10_000 + child)
            done = ever(lambda: put(file, mine)) and ever(lambda: file.get(mine.key))
            os._exit(0 if done else 2 if troubles == ["fork"] else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), *troubles, flush=True)
    stop.set()
"""
# A thread that waits for the interpreter's lock would break it in the child: this one waits for something else.
FORK_WITHOUT_HOOKS = """
    import os, sys, threading
    from forking import fork
    from kafka_sr_retry.registry.alone import alone
    from kafka_sr_retry.registry.idfile import IdFile
    from test_id_file import put, row
    troubles = []
    file = IdFile(sys.argv[1], 10_000, lambda kind, detail: troubles.append(kind))
    put(file, row(1))
    inside, leave = threading.Event(), threading.Event()
    stays = threading.Thread(target=alone, args=(lambda: inside.set() or leave.wait(),))
    stays.start()
    inside.wait()
    pid = fork()
    if not pid:
        os._exit(2 if not put(file, row(3)) and file.get(row(1).key) is None and troubles == ["fork"] else 1)
    leave.set()
    stays.join()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file.get(row(1).key) == row(1), troubles)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_waits_until_nobody_is_in_sqlite(files: Files) -> None:
    ended = run(FORKS, str(files.path)).split()
    assert len(ended) == 20
    assert {*ended} <= {"0", "2"}
    assert ended.count("0") > 10  # the others have waited for as long as it does


FORK_WHILE_ONE_WAITS = """
    import os, sys
    from pathlib import Path
    from test_id_file import Files, Held, row
    files = Files(Path(sys.argv[1]))
    held = Held(files)
    pid = os.fork()
    if not pid:
        os._exit(0 if files.open().get(row(1).key) == row(1) and not files.troubles else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    held.let_go()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_a_thread_waits_to_write_leaves_the_child_its_file(files: Files) -> None:
    assert run(FORK_WHILE_ONE_WAITS, str(files.path)) == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_of_a_fork_without_hooks_does_without_the_file_if_somebody_was_in_sqlite(files: Files) -> None:
    assert run(FORK_WITHOUT_HOOKS, str(files.path)) == "2 True []"


# -- files that are not what they should be ------------------------------------------------------


def overwrite(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def another_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE ids (key BLOB)")
    db.close()


def with_sql(sql: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute(sql)
        db.close()

    return change


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda path: path.write_bytes(b"no database at all" * 1000), "damaged"),
        (lambda path: overwrite(path, 100, b"\xff" * 4000), "damaged"),
        (lambda path: overwrite(path, 0, b"SQLite format 4"), "damaged"),
        (lambda path: os.truncate(path, 5000), "damaged"),
        (another_database, "foreign"),
        (with_sql("PRAGMA application_id = 7"), "foreign"),
        (with_sql("PRAGMA user_version = 2"), "newer"),
        (with_sql("CREATE TRIGGER more AFTER INSERT ON ids BEGIN UPDATE ids SET id = 1; END"), "damaged"),
        (with_sql("ALTER TABLE ids ADD COLUMN more"), "damaged"),
    ],
)
def test_a_file_that_is_none_of_ours_is_set_aside(files: Files, change: Callable[[Path], None], kind: str) -> None:
    assert put(files.open(), *[row(number) for number in range(1, 30)])
    change(files.path)
    changed = files.path.read_bytes()

    file = files.open()
    assert put(file, row(1000))
    assert file.get(row(1000).key) == row(1000)
    assert files.kinds == [kind]
    aside = files.path.with_name("ids.aside")
    assert aside.read_bytes() == changed
    assert files.open().get(row(1).key) is None
    assert files.kinds == [kind]


def test_a_look_sets_it_aside_too(files: Files) -> None:
    files.path.write_bytes(b"no database at all" * 1000)
    files.path.chmod(0o600)
    assert files.open().get(row(1).key) is None
    assert files.kinds == ["damaged"]
    assert not files.path.exists()


def test_an_empty_file_is_a_new_one(files: Files) -> None:
    files.path.touch()
    assert files.open().get(row(1).key) is None
    assert put(files.open(), row(1))
    assert files.open().get(row(1).key) == row(1)
    assert files.troubles == []


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits_make_no_id_wrong(files: Files, seed: int) -> None:
    assert put(files.open(), *[row(number) for number in range(1, 30)])
    whole, chance = files.path.read_bytes(), random.Random(seed)
    for at in chance.sample(range(len(whole)), 10):
        overwrite(files.path, at, bytes([whole[at] ^ 1 << chance.randrange(8)]))

    found = {number: files.open().get(row(number).key) for number in range(1, 30)}
    assert {number: got for number, got in found.items() if got not in (None, row(number))} == {}


@pytest.mark.parametrize("changed", ["id = id + 1", "guid = '7'", "version = 2", "at = at + 1", "schema = '{}'"])
def test_a_row_that_was_changed_is_none(files: Files, changed: str) -> None:
    assert put(files.open(), row(1))
    with_sql(f"UPDATE ids SET {changed}")(files.path)
    assert files.open().get(row(1).key) is None


# -- files that must not be used -----------------------------------------------------------------


def test_a_symbolic_link_is_refused(files: Files) -> None:
    target = files.path.with_name("target")
    target.write_bytes(b"precious")
    files.path.symlink_to(target)
    assert not put(files.open(), row(1))
    assert files.open().get(row(1).key) is None
    assert set(files.kinds) == {"refused"}
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("beside", ["-wal", "-journal", "-shm"])
def test_a_link_where_sqlite_writes_is_refused(files: Files, beside: str) -> None:
    assert put(files.open(), row(1))
    target = files.path.with_name("target")
    target.write_bytes(b"precious")
    files.path.with_name(f"ids{beside}").symlink_to(target)
    assert files.open().get(row(1).key) is None
    assert not put(files.open(), row(1))
    assert set(files.kinds) == {"refused"}
    assert target.read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner on this system")
def test_anothers_file_is_refused(files: Files) -> None:
    if os.geteuid() == 0:
        assert put(files.open(), row(1))
        os.chown(files.path, 12345, -1)
    else:
        files.path = Path("/etc/passwd")
    before = files.path.read_bytes()
    assert files.open().get(row(1).key) is None
    assert not put(files.open(), row(1))
    assert set(files.kinds) == {"refused"}
    assert files.path.read_bytes() == before


def test_a_file_that_others_may_write_to_is_refused_and_one_that_they_may_read_is_closed(files: Files) -> None:
    assert put(files.open(), row(1))
    files.path.chmod(0o644)
    assert files.open().get(row(1).key) == row(1)
    assert stat.S_IMODE(files.path.stat().st_mode) == 0o600
    files.path.chmod(0o622)
    assert files.open().get(row(1).key) is None
    assert files.kinds == ["refused"]


@pytest.mark.parametrize("name", ["no/such/folder/ids", "folder", "a" * 300])
def test_a_place_where_no_file_can_be_is_told_once(files: Files, name: str) -> None:
    files.path.with_name("folder").mkdir()
    files.path = files.path.with_name("folder") if name == "folder" else files.path.parent / name
    file = files.open()
    assert [put(file, row(1)), put(file, row(1)), file.get(row(1).key)] == [False, False, None]
    assert files.kinds == ["refused" if name == "folder" else "unusable"]


# -- disks ---------------------------------------------------------------------------------------

AS_ANOTHER = """
    import os, sys
    from kafka_sr_retry.registry.idfile import Change, IdFile
    from test_id_file import put, row
    folder = sys.argv[1]
    if os.geteuid() == 0:
        for path in (folder, folder + "/ids"):
            os.chown(path, 12345, 12345)
        os.setgroups([])
        os.setgid(12345)
        os.setuid(12345)
    os.chmod(folder, 0o555)
    troubles = []
    file = IdFile(folder + "/ids", 1000, lambda kind, detail: troubles.append(kind))
    print(file.get(row(1).key) == row(1), [*troubles], put(file, row(2)), [*troubles])
    print(file.put(lambda: Change(drop=row(1).registry)), file.get(row(1).key), troubles)
    os.chmod(folder, 0o755)
"""

FULL = """
    import resource, sys
    from kafka_sr_retry.registry.idfile import IdFile
    from test_id_file import put, row
    troubles = []
    file = IdFile(sys.argv[1] + "/ids", 100_000, lambda kind, detail: troubles.append(kind))
    assert put(file, row(1))
    if sys.argv[2] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    written = put(file, *[row(number) for number in range(2, 2000)])
    print(written, troubles, file.get(row(1).key) == row(1), file.get(row(2).key), put(file, row(2)))
"""


def run(code: str, *arguments: str, before: tuple[str, ...] = ()) -> str:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/embedded")])
    done = subprocess.run(
        [*before, sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=LONG,
        env={**os.environ, "PYTHONPATH": path},
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no modes on this system")
def test_from_a_folder_that_cannot_be_written_to_it_is_read() -> None:
    with tempfile.TemporaryDirectory() as folder:  # which others can reach
        assert put(Files(Path(folder, "ids")).open(), row(1))
        read, dropped = run(AS_ANOTHER, folder).splitlines()
        assert read == "True [] False ['unusable']"
        assert dropped == "False None ['unusable', 'removed']", "what is wrong is not read"


def test_a_full_disk_costs_what_did_not_fit(tmp_path: Path) -> None:
    assert run(FULL, str(tmp_path), "limit") == "False ['unusable'] True None True"


DROP_ON_A_FULL_DISK = """
    import os, resource, sys
    from kafka_sr_retry.registry.idfile import Change, IdFile
    from test_id_file import put, row
    troubles = []
    file = IdFile(sys.argv[1], 1000, lambda kind, detail: troubles.append(kind))
    assert put(file, row(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    assert file.get(row(1).key) == row(1)
    print(file.put(lambda: Change([row(2)], row(1).registry)), os.path.exists(sys.argv[1]), troubles)
"""


def test_ids_that_may_be_wrong_do_not_stay_on_a_full_disk(files: Files) -> None:
    assert run(DROP_ON_A_FULL_DISK, str(files.path)) == "False False ['unusable', 'removed']"
    assert files.open().get(row(1).key) is None


def test_a_full_volume_costs_what_did_not_fit(tmp_path: Path) -> None:
    mount = (
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs -o size=160k t "$0" && exec "$@"',
    )
    try:
        subprocess.run([*mount, str(tmp_path), "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("no volume can be mounted here")
    assert run(FULL, str(tmp_path), "volume", before=(*mount, str(tmp_path))) == "False ['unusable'] True None True"


MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 21 0:30 / {folder} rw,relatime shared:2 master:1 - {kind} server:/export rw
31 21 0:31 / /elsewhere\\040far rw - nfs4 server:/export rw
not a line of the table
"""


def test_on_a_network_volume_it_has_a_rollback_journal_and_says_so(files: Files, tmp_path: Path) -> None:
    assert put(files.open(), row(1))
    assert files.path.read_bytes()[18] == 2, "WAL, as SQLite's header has it"
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(folder=tmp_path.resolve(), kind="nfs4"))
    file = files.open(mounts=str(mounts))
    assert put(file, row(2))
    assert [file.get(row(number).key) for number in (1, 2)] == [row(1), row(2)]
    assert files.path.read_bytes()[18] == 1
    assert files.kinds == ["no_wal"]
    assert "nfs4" in files.troubles[0]


@pytest.mark.parametrize(
    ("kind", "shared"),
    [
        ("ext4", ""),
        ("tmpfs", ""),
        ("overlay", ""),
        ("nfs", "nfs"),
        ("cifs", "cifs"),
        ("fuse.sshfs", "fuse.sshfs"),
        ("9p", "9p"),
    ],
)
def test_what_is_a_network_volume(tmp_path: Path, kind: str, shared: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(folder="/data/of/others", kind=kind))
    assert network_volume("/data/of/others/deep/ids", str(mounts)) == shared
    assert network_volume("/data/of/ids", str(mounts)) == ""
    assert network_volume("/elsewhere far/ids", str(mounts)) == "nfs4"
    assert network_volume("/data/of/others/ids", str(tmp_path / "none")) == ""


def test_a_name_may_hold_what_a_uri_does_not(files: Files) -> None:
    files.path = files.path.with_name("a b?mode=memory#%41 é")
    assert put(files.open(), row(1))
    assert files.open().get(row(1).key) == row(1)
    assert [re.sub("a b", "", path.name) for path in files.path.parent.iterdir()] == ["?mode=memory#%41 é"]
