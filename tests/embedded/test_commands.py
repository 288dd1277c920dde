"""Every command that a page shows is run by a test, by CI, or begins as it should."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from kafka_sr_retry.testing import SchemaRegistryServer
from tests.commands import CI, HERE, INSTALLS, LONG, PAGES, ROOT, RUN_BY, SHOWN, WHOLE, run_by

ALL = list(dict.fromkeys(command for page, shown in SHOWN.items() if page not in WHOLE for command in shown))
READING = {
    "type": "record",
    "name": "Reading",
    "fields": [{"name": "station", "type": "string"}, {"name": "count", "type": "long"}],
}


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """A folder with what the pages speak of, and the sources' own files."""
    (tmp_path / "reading.avsc").write_text(json.dumps(READING))
    for name in ("Makefile", ".ci", "pyproject.toml", "requirements", "trials", "tests", "kafka_sr_retry"):
        (tmp_path / name).symlink_to(ROOT / name)
    bin_ = tmp_path / ".venv/bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (bin_ / "kafka-sr-retry").write_text(f'#!/bin/sh\nexec {sys.executable} -m kafka_sr_retry.cli "$@"\n')
    for each in bin_.iterdir():
        each.chmod(0o755)
    return tmp_path


def shell(command: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    path = f"{folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    python = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={**environment, "PATH": path, "PYTHONPATH": python, "COLUMNS": "80", **more},
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page_is_run_by_somebody(page: str) -> None:
    """Told in tests/commands.py."""
    assert [command for command in SHOWN[page] if run_by(command, page) is None] == []


def test_nobody_runs_what_no_page_shows() -> None:
    assert set(RUN_BY) - set(ALL) == set()


@pytest.mark.parametrize("command", [each for each in ALL if run_by(each) == HERE])
def test_it_runs(command: str, sandbox: Path, schema_registry: SchemaRegistryServer) -> None:
    done = shell(command, sandbox, http_proxy=schema_registry.url)
    reads_only = command.startswith("kafka-sr-retry check ") and "--write" not in command
    assert done.returncode == (3 if reads_only else 0), done.stdout + done.stderr


def test_ci_runs_its_own() -> None:
    lines = [re.sub(r"^beside |\s+# .*$", "", line) for line in (ROOT / CI).read_text().splitlines()]
    assert [each for each in RUN_BY if RUN_BY[each] == CI and each not in lines and each != f"bash {CI}"] == []


def test_the_package_script_runs_all_that_install() -> None:
    assert "-m tests.commands pip install" in (ROOT / INSTALLS).read_text()


@pytest.mark.parametrize("command", [each for each in ALL if run_by(each) == LONG])
def test_it_would_begin(command: str, sandbox: Path) -> None:
    """make knows its target, and the module that it then runs has its options."""
    lines = [command]
    if "make " in command:
        plan = shell(command.replace("make ", "make --dry-run --assume-old=.venv/.dev "), sandbox)
        assert plan.returncode == 0, plan.stderr
        lines = plan.stdout.splitlines()
    for line in lines:
        words = shlex.split(line)
        options = {word for word in words if word.startswith("--")}
        if module := re.search(r"python -m ([\w.]+)", line):
            source = source_of(module[1])
            assert {option for option in options if f'"{option}"' not in source} == set()
        elif words[:2] == ["docker", "compose"] and "--profile" in options:
            profile = words[words.index("--profile") + 1]
            assert f"profiles: [{profile}]" in (ROOT / "docker-compose.yml").read_text()


def source_of(module: str) -> str:
    path = ROOT / module.replace(".", "/")
    files = [*path.glob("*.py")] if path.is_dir() else [path.with_suffix(".py")]
    return "".join(file.read_text() for file in files)


@pytest.mark.parametrize("page", [page for page in WHOLE if page in PAGES])
def test_a_test_reads_the_page_whose_commands_it_runs(page: str) -> None:
    path, _, name = WHOLE[page].partition("::")
    source = (ROOT / path).read_text()
    assert Path(page).name in source
    assert f"def {name}(" in source
