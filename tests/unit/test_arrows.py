"""Who imports whom: one way, as ``docs/architecture.md`` draws it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import kafka_sr_retry

ROOT = Path(kafka_sr_retry.__file__).parent
DOC = ROOT.parent / "docs" / "architecture.md"
WINGS = ("avro", "registry")
SHARED = ("config", "schema", "errors", "events", "version")
BESIDE = ("__main__", "cli", "instrumentation", "testing")

FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
FILES = {name.removesuffix("__init__").rstrip(".") or "__init__": path for name, path in FILES.items()}
CORE = {name: path for name, path in FILES.items() if not name.startswith(BESIDE)}


def imported(name: str) -> Iterator[str]:
    """The files that a file imports, at its top or on the way, or for types alone."""
    here = FILES[name].relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            parents, names = "", [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["kafka_sr_retry", *here][: len(here) + 2 - node.level] if node.level else []
            parents = ".".join([*base, *([node.module] if node.module else [])])
            names = [alias.name for alias in node.names]
        else:
            continue
        for each in names:
            for whole in (f"{parents}.{each}".strip("."), parents):
                found = whole.removeprefix("kafka_sr_retry").lstrip(".") or "__init__"
                if whole.startswith("kafka_sr_retry") and found in FILES:
                    yield found
                    break


ARROWS = {name: set(imported(name)) for name in FILES}


def room(name: str) -> str:
    """Where a file stands: a wing, ``shared``, ``beside``, or the ``front``."""
    first = name.partition(".")[0]
    return first if first in WINGS else "shared" if first in SHARED else "beside" if first in BESIDE else "front"


def test_arrows_run_one_way() -> None:
    may = {
        "front": {"front", *WINGS, "shared"},
        "avro": {"avro", "shared"},
        "registry": {"registry", "shared"},
        "shared": {"shared"},
        "beside": {"front", *WINGS, "shared", "beside"},
    }
    wrong = [f"{a} -> {b}" for a, others in ARROWS.items() for b in others if room(b) not in may[room(a)]]
    assert not wrong


def test_what_is_for_tests_knows_nothing_of_the_client() -> None:
    testing = {name: others for name, others in ARROWS.items() if name.startswith("testing")}
    of_the_client = {b for others in testing.values() for b in others if not b.startswith("testing")}
    # what every user may import, and Avro's rules, whoever applies them
    assert of_the_client == {"__init__", "avro.compatibility"}
    assert "__init__" not in {b for name, others in testing.items() if name != "testing.pytest_plugin" for b in others}
    assert ARROWS["avro.compatibility"] == set()
    assert len(testing) > 5


def test_no_files_import_each_other() -> None:
    list(TopologicalSorter(ARROWS).static_order())  # raises for a circle, and names it


def test_the_drawing_shows_every_file_of_the_core_in_its_place() -> None:
    drawing = DOC.read_text().split("```")[1]
    drawn: list[str] = []
    folder, depth = "", -1
    for line in filter(str.strip, drawing.splitlines()):
        indent = len(line) - len(line.lstrip())
        if indent <= depth:
            folder, depth = "", -1
        if opened := re.match(r"\s*(\w+)/", line):
            folder, depth = f"{opened[1]}.", indent
        drawn += [folder + name for name in re.findall(r"\b(\w+)\.py\b", line)]
    assert sorted(drawn) == sorted(name for name in CORE if CORE[name].name != "__init__.py")


def test_no_file_of_the_core_is_too_long_to_read() -> None:
    long = {name: lines for name, path in CORE.items() if (lines := len(path.read_text().splitlines())) > 450}
    assert not long
