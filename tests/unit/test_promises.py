"""docs/promises.md names, for each promise of the documents, a test or benchmark that exists.

A document falls into paragraphs, list items, table rows and Python code. Each of them is quoted in a row of its
document, or in the list of what promises nothing. Words of a table's head stand for all its rows. What begins with
**You** is what the reader does. Of docs/trials.md the beginning alone is read so; its sections name their commands.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from posixpath import normpath

import pytest

ROOT = Path(__file__).parents[2]
TRIALS = "docs/trials.md"
PAGE = "docs/promises.md"
DOCUMENTS = sorted({"README.md", "SECURITY.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))} - {PAGE})
NOTHING = "What promises nothing"
CASES = {
    "benchmarks/resilience.py": ("benchmarks/resilience_cases.py", "CASES"),
    "benchmarks/encoding.py": ("benchmarks/encoding_shapes.py", "SHAPES"),
}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


# -- the page -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    document: str
    quote: str
    shown_by: tuple[str, ...]


def plain(markdown: str) -> str:
    """The words alone, without links, marks, a table's lines and line ends."""
    without_links = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", markdown)
    return " ".join(re.sub(r"[*`]", "", without_links).replace("|", " ").split())


def page() -> Iterator[Row]:
    for section in re.split(r"^## ", (ROOT / PAGE).read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        for first, second in re.findall(r"^\| (.+) \| (.+) \|$", text.partition("| --- | --- |")[2], re.MULTILINE):
            if title == NOTHING:
                yield Row(linked(first), plain(second), ())
            else:
                yield Row(linked(title), plain(first), tuple(references(second)))


def linked(text: str) -> str:
    return "".join(normpath(f"docs/{path}") for path in re.findall(r"\]\((.+?)\)", text))


def references(cell: str) -> Iterator[str]:
    """Whole ones: ``::name`` is in the file of the one before."""
    path = ""
    for reference in re.split(r"`,? ?`?", cell.strip("`")):
        path = reference.partition("::")[0] or path
        yield path + "::" + reference[2:] if reference.startswith("::") else reference


ROWS = list(page())


# -- the documents --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    words: str
    head: str
    """Of its table."""


@cache
def blocks(document: str) -> list[Block]:
    text = re.sub(r"<!--.*?-->", "", (ROOT / document).read_text(), flags=re.DOTALL)
    if document == TRIALS:
        text = text.partition("\n## ")[0]
    found = [Block(plain(code), "") for code in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for part in re.split(r"\n\s*\n|^#.*$|\n(?= *(?:[*-]|\d+\.) )", prose, flags=re.MULTILINE):
        if part.lstrip().startswith("|"):
            rows = [plain(row) for row in part.strip().splitlines()]
            found += [Block(row, rows[0]) for row in rows if not re.fullmatch("[-: ]+", row)]
        elif part.strip() and not part.startswith("**You**"):
            found.append(Block(plain(part), ""))
    return found


# -- what a row names -----------------------------------------------------------------------------


@cache
def names(path: str) -> set[str]:
    """What may stand behind ``::``."""
    tree = ast.parse((ROOT / path).read_text())
    found = {name for name in functions(tree) if "test_" in name or not path.startswith("tests/")}
    if path in CASES:
        file, table = CASES[path]
        for node in ast.parse((ROOT / file).read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == table:
                assert isinstance(node.value, ast.Tuple)
                found |= {ast.literal_eval(case.args[0]) for case in node.value.elts if isinstance(case, ast.Call)}
    return found


def functions(node: ast.Module | ast.ClassDef) -> Iterator[str]:
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner.name
        elif isinstance(inner, ast.ClassDef):
            yield from (f"{inner.name}::{name}" for name in functions(inner))


def exists(reference: str) -> bool:
    if reference.startswith("make "):
        return reference.removeprefix("make ") in TARGETS
    path, _, name = reference.partition("::")
    if not re.match("(tests|benchmarks|trials)/", path) or not (ROOT / path).exists():
        return False
    return name in names(path) if name else not path.startswith("tests/")


# -- the tests ------------------------------------------------------------------------------------


def test_each_document_has_its_section() -> None:
    assert sorted({row.document for row in ROWS}) == DOCUMENTS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_quoted_stands_once_in_its_document(document: str) -> None:
    found = {
        row.quote: sum(row.quote in block.words for block in blocks(document))
        for row in ROWS
        if row.document == document
    }
    assert {quote: times for quote, times in found.items() if times != 1} == {}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_shows_a_promise_exists(document: str) -> None:
    named = [(row.quote, each) for row in ROWS if row.document == document for each in row.shown_by]
    assert [(quote, each) for quote, each in named if not exists(each)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_words_of_a_document_are_forgotten(document: str) -> None:
    quotes = [row.quote for row in ROWS if row.document == document]
    forgotten = [
        block.words
        for block in blocks(document)
        if not any(quote in block.words or quote in block.head for quote in quotes)
    ]
    # A table's head promises nothing by itself.
    heads = {block.head for block in blocks(document)}
    assert [words for words in forgotten if words not in heads] == []


def test_each_trial_names_a_command_that_exists() -> None:
    lost = []
    for section in re.split(r"^## ", (ROOT / TRIALS).read_text(), flags=re.MULTILINE)[1:]:
        trials = re.findall(r"python -m trials\.(\w+)", section)
        targets = re.findall(r"make ([a-z-]+)", section)
        if not TARGETS.intersection(targets) and not any([*ROOT.glob(f"trials/{trial}*")] for trial in trials):
            lost.append(section.partition("\n")[0])
    assert lost == []
