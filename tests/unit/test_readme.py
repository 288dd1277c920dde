"""The README says what the project does, in code that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kafka_sr_retry.config import ClientSettings, SerializerSettings, keys

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_minimal_producer_is_the_tested_example() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert (ROOT / "examples/config_dict_producer.py").read_text().endswith(code)


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
)
def test_every_link_to_a_file_leads_to_one(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("command", re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
def test_every_make_command_exists(command: str) -> None:
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_keys_that_people_set_have_their_real_defaults() -> None:
    table = README.partition("| key | default | meaning |")[2].partition("\n\n")[0]
    shown = dict(re.findall(r"^\| `(?:schema\.registry\.)?([\w.]+)` \| (\S+) \|", table, re.MULTILINE))
    real = {name: key.default for name, key in (keys(ClientSettings) | keys(SerializerSettings)).items()}

    assert len(shown) == 6
    assert shown == {name: real[name] for name in shown}
