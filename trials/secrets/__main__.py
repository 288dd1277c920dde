"""``python -m trials.secrets``: see the package."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import suppress

from .playing import trial


def main() -> int:
    """Runs it; the exit code is 1 where a credential was told."""
    options = argparse.ArgumentParser(prog="python -m trials.secrets", description="Is a credential told anywhere?")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="default: drawn")
    options.add_argument("--share", type=int, default=1, help="run one case in so many, drawn with the seed")
    options.add_argument("--only", default="", help="run the cases in whose name this text stands")
    options.add_argument("--verbose", action="store_true", help="show what was told where a word was found")
    options.add_argument("--processes", type=int, default=2 * (os.cpu_count() or 1), help="default: two for each core")
    given = options.parse_args()
    print(f"seed {given.seed}: each replay begins with it", flush=True)
    began = time.monotonic()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.processes, spawn) as pool, suppress(KeyboardInterrupt):
        parts = [pool.submit(trial, given, part) for part in range(given.processes)]
        wait(parts)
    chosen, played, searched, found = map(sum, zip(*(part.result() for part in parts), strict=True))
    print(
        f"{played} of {chosen} cases in {time.monotonic() - began:.0f} s,\n"
        f"{searched} searches (credential x fault x place): {found or 'none'} found"
    )
    return 1 if found or not played or played < chosen else 0


if __name__ == "__main__":
    sys.exit(main())
