"""Readers' English is a second language: the terms of the field, and no words that they would have to look up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ODD = re.compile(r"\b(mend(s|ed|ing)?|drip(s|ped|ping)?|stands? without it|nobody has served)\b", re.IGNORECASE)
PAGES = [
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    *(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/**/*.md")),
]


@pytest.mark.parametrize("page", sorted({*PAGES} - {"docs/promises.md"}))
def test_a_page_uses_plain_words(page: str) -> None:
    prose = re.sub(r"^ *```.*?^ *```$|`[^`\n]*`", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    assert [line for line in prose.splitlines() if ODD.search(line)] == []


def texts(path: Path) -> Iterator[str]:
    """What a module may print or raise: its strings but the docstrings."""
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_errors_and_screens_use_plain_words() -> None:
    found = [text for path in ROOT.glob("kafka_sr_retry/**/*.py") for text in texts(path)]
    odd = [text for text in found if " " in text and ODD.search(text)]
    assert odd == []
