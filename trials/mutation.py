"""What ``mutmut run`` has found: counts for each file, and each mutant that lives beside trials/survivors.md.

``python -m trials.mutation`` ends with 1 where less than nine in ten die, or one lives whose reason is not listed.
``--write`` lists those that live anew, and keeps the reasons.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files

LIST = Path(__file__).with_name("survivors.md")
KILLED = ("killed", "timeout", "segfault", "suspicious")
LIVES = ("survived", "no tests")
NO_REASON = "no reason yet"
WORDS = "only words for people differ"
TEXT = re.compile(r'"[^"]*"')

Key = tuple[str, str, str]
"""File, function, and the changed lines."""


def changed_lines(name: str, path: Path) -> str:
    lines = get_diff_for_mutant(name, path=path).splitlines()[3:]
    return "\n".join(line for line in lines if line[:1] in "+-")


def function(name: str) -> str:
    return name.rpartition(".")[2].rpartition("__mutmut_")[0].removeprefix("xǁ").removeprefix("x_").replace("ǁ", ".")


def differs_in_words(lines: str) -> bool:
    """mutmut changes a text's letters, and puts XX around it."""
    before, after = (
        [line[1:].casefold().replace("xx", "") for line in lines.splitlines() if line[0] == sign] for sign in "-+"
    )
    texts = [text.strip('"') for line in before for text in TEXT.findall(line)]
    return before == after and any(" " in text for text in texts)


def found() -> Iterator[tuple[str, str, str]]:
    """(path, mutant, its status)"""
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            yield str(path), name, status_by_exit_code[code]


def listed() -> dict[Key, str]:
    """The reasons in the list."""
    if not LIST.exists():
        return {}
    parts = re.findall(r"^### (\S+) (\S*)\n\n([^\n]+)\n\n```diff\n(.*?)\n```$", LIST.read_text("utf-8"), re.M | re.S)
    return {(path, where, lines): reason for path, where, reason, lines in parts}


def written(reasons: dict[Key, str]) -> str:
    head = "# Mutants that live\n\nAnd why. Written by `python -m trials.mutation --write`; the reasons are by hand.\n"
    parts = [f"### {path} {where}\n\n{why}\n\n```diff\n{lines}\n```\n" for (path, where, lines), why in reasons.items()]
    return "\n".join([head, *parts])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="list those that live anew")
    write = parser.parse_args().write
    counts: dict[str, Counter[str]] = {}
    living: dict[Key, str] = {}
    before = listed()
    for path, name, status in found():
        count = counts.setdefault(path, Counter())
        kind = "killed" if status in KILLED else "lives" if status in LIVES else status
        count[kind] += 1
        if kind == "lives":
            key = path, function(name), changed_lines(name, Path(path))
            is_text = differs_in_words(key[2])
            count["words"] += is_text
            living[key] = before.get(key, WORDS if is_text else NO_REASON)
    total = sum(counts.values(), Counter())
    print(f"{'file':34}{'mutants':>8}{'types':>7}{'killed':>8}{'live':>6}{'words':>7}{'share':>8}")
    for path, count in [*counts.items(), ("all", total)]:
        tested = count["killed"] + count["lives"]
        share = f"{count['killed'] / tested:.1%}" if tested else "-"
        mutants, refused = count.total() - count["words"], count["caught by type check"]
        print(
            f"{path.removeprefix('kafka_sr_retry/'):34}{mutants:8}{refused:7}"
            f"{count['killed']:8}{count['lives']:6}{count['words']:7}{share:>8}"
        )
    if write:
        LIST.write_text(written(living), encoding="utf-8")
    fresh = [key for key, why in living.items() if why == NO_REASON]
    for path, where, lines in fresh:
        print(f"\nlives without a reason: {path} {where}\n{lines}")
    for path, where, lines in before.keys() - living.keys():
        print(f"\ndies now: {path} {where}\n{lines}")
    unchecked = total.total() - total["words"] - total["caught by type check"] - total["killed"] - total["lives"]
    if unchecked:
        print(f"\n{unchecked} have not been tried yet: run again.")
    tried = total["killed"] + total["lives"]
    return int(bool(fresh) or bool(unchecked) or total["killed"] < 0.9 * tried)


if __name__ == "__main__":
    sys.exit(main())
