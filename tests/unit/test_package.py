"""What is released: a version in one place, metadata, and sources that are whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

from kafka_sr_retry import __version__

ROOT = Path(__file__).parents[2]
IGNORED = {line.strip("/\n") for line in (ROOT / ".gitignore").read_text().splitlines()}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tarfile.TarFile:
    """The sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    assert path.name == f"kafka_sr_retry-{__version__}.tar.gz"
    return tarfile.open(path)


@pytest.fixture(scope="module")
def metadata(sources: tarfile.TarFile) -> Message:
    (name,) = (name for name in sources.getnames() if name.endswith("/PKG-INFO"))
    file = sources.extractfile(name)
    assert file
    return message_from_bytes(file.read())


def here(folder: Path = ROOT) -> set[str]:
    """All files of the repository that .gitignore does not name."""
    found = set()
    for path in folder.iterdir():
        if path.name in IGNORED or path.name.startswith(".git") or path.suffix in {".egg-info", ".pyc", ".so"}:
            continue
        if path.is_dir():
            if not path.is_symlink():
                found |= here(path)
        else:
            found.add(path.relative_to(ROOT).as_posix())
    return found


def test_the_sources_are_whole(sources: tarfile.TarFile) -> None:
    held = {name.partition("/")[2] for name in sources.getnames()}
    assert sorted(here() - held - {"PKG-INFO"}) == []
    assert {"Makefile", ".ci/run", "docs/failures.md", "requirements/dev.txt", "docker-compose.yml"} <= held


def test_the_sources_hold_nothing_that_was_made(sources: tarfile.TarFile) -> None:
    parts = {part for name in sources.getnames() for part in name.split("/")[1:]}
    assert parts & (IGNORED - {""}) == set()


@pytest.mark.parametrize(
    ("environment", "tag"),
    [
        ({}, r"cp310-abi3-\w+"),
        ({"KAFKA_SR_RETRY_PURE": "1"}, "py3-none-any"),
        ({"CC": "false"}, "py3-none-any"),
    ],
    ids=["native", "asked to be pure", "no compiler"],
)
def test_the_wheel_is_native_where_there_is_a_compiler(environment: dict[str, str], tag: str, tmp_path: Path) -> None:
    if not environment and not shutil.which(os.environ.get("CC", "cc")):
        assert not os.environ.get("CI"), "CI has a C compiler"
        pytest.skip("there is no C compiler here")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True)
    (wheel,) = tmp_path.iterdir()
    assert re.fullmatch(rf"kafka_sr_retry-{__version__}-{tag}.whl", wheel.name)
    native = [name for name in ZipFile(wheel).namelist() if Path(name).stem.startswith("_native") and ".py" not in name]
    assert len(native) == (tag != "py3-none-any")
    assert ("without the native encoder: " in built.stdout + built.stderr) == (tag == "py3-none-any")


def test_the_version_stands_in_one_place_and_in_the_changelog(metadata: Message) -> None:
    assert metadata["Version"] == __version__
    assert "version =" not in (ROOT / "pyproject.toml").read_text().partition("[project.urls]")[0]
    releases = re.findall(r"^## (?!Unreleased)(.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(__version__)} - \d{{4}}-\d\d-\d\d", releases[0])


def test_an_index_shows_who_made_it_and_where(metadata: Message) -> None:
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL", []))
    assert set(urls) == {"Repository", "Documentation", "Changelog", "Issues"}
    assert {name for name, url in urls.items() if not url.startswith("https://")} == set()
    assert metadata["Author"]
    assert "Framework :: Pytest" in metadata.get_all("Classifier", [])
    assert metadata["License-Expression"] == "Apache-2.0"
