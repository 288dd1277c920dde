"""A process that writes ids to its file, killed with SIGKILL while it does: does the file open, and is every id right?

    python -m trials.killed [--kills 200] [--seed 1]

Each time a new process writes, two threads at once, and is killed after a time that is drawn with the seed. Then the
file is read: what a thread was told is written is there with its id, and nothing has another id than its own. All write
to one file, so each process opens what the one before was killed over.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from kafka_sr_retry.registry.idfile import Change, IdFile, Row

_MOST = 1_000_000


def row(number: int) -> Row:
    """Whose key and id belong together."""
    key = hashlib.sha256(str(number).encode()).digest()
    return Row(key, "http://sr:8081", f"s{number}", number, None, 1, time.time(), "{}")


def write(path: str, first: int) -> None:
    """For ever; says each number once it is told that its row is written."""
    file = IdFile(path, _MOST, lambda kind, detail: print(f"trouble {kind}: {detail}", flush=True))

    def threads_part(start: int) -> None:
        for number in range(start, start + _MOST, 2):
            while not file.put(partial(Change, [row(number)])):
                pass
            print(number, flush=True)

    for part in (0, 1):
        threading.Thread(target=threads_part, args=(first + part,)).start()


def run(kills: int, seed: int, folder: Path) -> list[str]:
    """The faults that were found."""
    chance, path = random.Random(seed), str(folder / "ids")
    faults: list[str] = []
    file = IdFile(path, _MOST, lambda kind, detail: faults.append(f"{kind}: {detail}"))
    told: set[int] = set()
    first = 1
    for kill in range(kills):
        command = [sys.executable, "-m", "trials.killed", "--write", path, "--first", str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline()]  # it writes: not before is it killed
            time.sleep(chance.uniform(0, 0.3))
            writer.send_signal(signal.SIGKILL)
            said += writer.stdout.readlines()
        faults += [f"kill {kill}: {line.strip()}" for line in said if not line.strip().isdigit()]
        now = {int(line) for line in said if line.strip().isdigit()}
        told |= now
        for number in sorted(now) + chance.sample(sorted(told), min(50, len(told))):
            found = file.get(row(number).key)
            if found is None or found.schema_id != number:
                faults.append(f"kill {kill}: {number} was written, and {found and found.schema_id} is there")
        first = max(now, default=first) + 2
        for number in range(first, first + 4):  # what it was at
            found = file.get(row(number).key)
            if found is not None and found.schema_id != number:
                faults.append(f"kill {kill}: {number} has id {found.schema_id}")
        first += 4
    print(f"seed {seed}: {kills} kills, {len(told)} ids written, {len(faults)} faults")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(given.write, given.first)
        return
    with tempfile.TemporaryDirectory() as folder:
        faults = run(given.kills, given.seed, Path(folder))
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
