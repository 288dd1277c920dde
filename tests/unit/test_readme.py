"""The README says what the project does, in code that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kafka_sr_retry.config import ClientSettings, SerializerSettings, keys

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TESTED = (ROOT / "docs/tested.md").read_text()


def test_the_minimal_producer_is_the_tested_example() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert (ROOT / "examples/config_dict_producer.py").read_text().endswith(code)


PROJECT = (ROOT / "pyproject.toml").read_text()
(REPOSITORY,) = re.findall(r'^Repository = "(.+)"$', PROJECT, re.MULTILINE)
FILES = f"{REPOSITORY}/blob/main/"


def test_every_link_of_the_readme_is_absolute_and_leads_to_a_file() -> None:
    """A package index shows the README, and has no files."""
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert [link for link in links if not link.startswith("https://")] == []
    ours = [link.removeprefix(FILES) for link in links if link.startswith(REPOSITORY)]
    assert len(ours) > 30
    lost = []
    for link in ours:
        path, _, section = link.partition("#")
        text = (ROOT / path).read_text() if (ROOT / path).is_file() else None
        if text is None or (section and section not in anchors(text)):
            lost.append(link)
    assert lost == []


def anchors(text: str) -> set[str]:
    """As GitHub makes them, and those that stand in the text."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    made = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="(.*?)"></a>', text))


PAGES = ["CONTRIBUTING.md", "SECURITY.md", *(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("document", PAGES)
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

    assert len(shown) == 7
    assert shown == {name: real[name] for name in shown}


def test_the_extras_are_those_of_the_package() -> None:
    (extras,) = re.findall(r"^\[project.optional-dependencies\]\n(.*?)^\[", PROJECT, re.DOTALL | re.MULTILINE)
    told = README.partition("Other extras are ")[2].partition(". ")[0]
    shown = re.findall(r"pip install '\.\[(\w+)\]'", README)
    assert {*re.findall("`(.*?)`", told), *shown, "dev"} == {*re.findall(r"^([a-z]+) = \[", extras, re.MULTILINE)}


def test_the_range_that_is_told_begins_where_the_packages_begins() -> None:
    dependencies = re.search(r"^dependencies = \[(.*?)\]", PROJECT, re.DOTALL | re.MULTILINE)
    assert dependencies
    told = TESTED.partition("The core at both ends of its range: ")[2].partition(" on Python")[0]
    assert re.findall(r"([a-z0-9-]+) (\d[\d.]+)", told) == re.findall(r'"([\w-]+)>=([\d.]+)"', dependencies[1])


def test_the_servers_that_are_told_are_those_of_the_integration_tests() -> None:
    versions = re.findall(
        r"<version>([\d.]+?)(?:\.Final)?</version>", (ROOT / "tests/integration/stack/pom.xml").read_text()
    )
    kafka, registry = re.findall(r"Apache Kafka\s+([\d.]*\d).*?Apicurio Registry ([\d.]*\d)", TESTED, re.DOTALL)[0]
    assert any(version.startswith(f"{kafka}.") for version in versions)
    assert registry in versions
