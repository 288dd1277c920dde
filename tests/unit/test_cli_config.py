"""``kafka-sr-retry config`` and what holds for all commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kafka_sr_retry.config import ClientSettings, SerializerSettings, keys

ROOT = Path(__file__).parents[2]


def command(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kafka_sr_retry.cli", *args], capture_output=True, encoding="utf-8", timeout=60
    )


def test_the_committed_reference_is_up_to_date() -> None:
    committed = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert committed == command("config", "--markdown").stdout, (
        "run: kafka-sr-retry config --markdown > docs/configuration.md"
    )


def test_the_tables_show_every_key_in_80_columns() -> None:
    shown = command("config")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    first_words = [line.split()[0] for line in lines if line.strip() and not line.startswith(" ")]
    for name in [*keys(ClientSettings), *keys(SerializerSettings)]:
        assert first_words.count(name) == 1, name


def test_an_unknown_command_is_an_error() -> None:
    wrong = command("nonsense")
    assert wrong.returncode == 2
    assert "No such command" in wrong.stderr


@pytest.mark.parametrize(("missing", "extra"), [("typer", "cli"), ("rich", "cli"), ("avro", "demo")])
def test_a_missing_extra_is_one_line_that_says_what_to_install(missing: str, extra: str) -> None:
    without = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['kafka-sr-retry', 'demo']\n"
        "from kafka_sr_retry.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", without], capture_output=True, encoding="utf-8", timeout=60)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert f"needs {missing}: pip install 'kafka-sr-retry[{extra}]'" in result.stderr
