"""python -m trials.native_fuzz: see the package."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from .case import allocated, counts, play


def seeds(folder: Path, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for each in range(number):
        draw = Random(each)
        (folder / f"seed-{each}").write_bytes(draw.randbytes(draw.choice((24, 64, 160, 400))))


def files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.iterdir()) if path.is_dir() else [path]


def replay(paths: list[Path]) -> int:
    faulthandler.enable()
    faults, played, began = 0, 0, time.monotonic()
    if allocated is None:
        print("no AddressSanitizer here: memory is not looked at")
    for path in files(paths):
        try:
            play(path.read_bytes())
        except Exception as error:  # noqa: BLE001 told
            faults += 1
            print(f"{path}: {type(error).__name__}: {error}")
        played += 1
    print(f"{played:,} cases in {time.monotonic() - began:,.0f} s, {faults} faults: {dict(counts)}")
    return 1 if faults else 0


def fuzz(options: list[str]) -> None:
    import atheris

    left = 0

    def one(data: bytes) -> None:
        nonlocal left
        left += 1
        if left % 500 == 0:
            gc.collect()
        play(data)

    def changed(data: bytes, most: int, seed: int) -> bytes:
        """What depends on values alone reaches nothing new, so libFuzzer does not come nearer to it by itself."""
        draw = Random(seed)
        how = draw.randrange(4)
        if how > 1 or len(data) < 2:
            return atheris.Mutate(data, most)
        kept = data[: 2 + data[1] % 64] if how else b""  # the schema
        return kept + draw.randbytes(draw.choice((24, 64, 160)))

    gc.collect()
    gc.freeze()
    gc.disable()
    atheris.Setup([sys.argv[0], *options], one, custom_mutator=changed)
    atheris.Fuzz()


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m trials.native_fuzz", description=__doc__)
    arguments.add_argument("--seeds", type=Path, help="write 300 files of random bytes there")
    arguments.add_argument("--replay", type=Path, nargs="+", help="files, or folders of them, played once")
    given, options = arguments.parse_known_args()
    if given.seeds:
        seeds(given.seeds, 300)
    elif given.replay:
        return replay(given.replay)
    else:
        fuzz(options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
