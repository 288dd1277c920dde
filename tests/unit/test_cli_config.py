"""``kafka-sr-retry config`` and what holds for all commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from kafka_sr_retry.config import ClientSettings, SerializerSettings, keys
from kafka_sr_retry.version import __version__

ROOT = Path(__file__).parents[2]


def command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kafka_sr_retry.cli", *args],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env=os.environ | environment,
    )


def test_the_committed_reference_is_up_to_date() -> None:
    committed = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert committed == command("config", "--markdown").stdout, (
        "run: kafka-sr-retry config --markdown > docs/configuration.md"
    )


def on_a_terminal(*args: str, columns: int, **environment: str) -> str:
    """What a terminal of so many columns is sent."""
    ours, theirs = os.openpty()
    env = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"} | environment
    with subprocess.Popen(
        [sys.executable, "-m", "kafka_sr_retry", *args], stdout=theirs, stdin=theirs, stderr=subprocess.STDOUT, env=env
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError), os.fdopen(ours, "rb", buffering=0) as screen:
            while part := screen.read(4096):
                shown += part
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 120])
def test_the_tables_show_every_key_on_a_terminal(columns: int) -> None:
    shown = on_a_terminal("config", columns=columns)
    lines = re.sub("\x1b\\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= columns
    first_words = [line.split()[0] for line in lines if line.strip() and not line.startswith(" ")]
    for name in [*keys(ClientSettings), *keys(SerializerSettings)]:
        assert first_words.count(name) == 1, name
    assert "\x1b[36m" in shown
    if columns == 80:
        assert "\x1b[36m" not in on_a_terminal("config", columns=columns, NO_COLOR="1")


def test_in_a_pipe_each_key_is_one_whole_line() -> None:
    lines = [line.split("\t") for line in command("config").stdout.splitlines()]
    every = [*keys(ClientSettings).values(), *keys(SerializerSettings).values()]
    assert lines == [[key.name, key.default, key.takes, key.meaning] for key in every]


def test_the_version_is_that_of_the_package() -> None:
    started = [sys.executable, "-m", "kafka_sr_retry", "--version"]
    shown = subprocess.run(started, capture_output=True, encoding="utf-8")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"kafka-sr-retry {__version__}\n", "")


def test_the_package_alone_imports_no_command_line() -> None:
    asked = (
        "import sys, kafka_sr_retry; kafka_sr_retry.AvroSerializer; print({'typer', 'rich', 'click'} & {*sys.modules})"
    )
    shown = subprocess.run([sys.executable, "-c", asked], capture_output=True, encoding="utf-8", check=True)
    assert shown.stdout == "set()\n"


@pytest.mark.parametrize(
    ("shell", "typed", "expected"),
    [
        ("bash", {"COMP_WORDS": "kafka-sr-retry ch", "COMP_CWORD": "1"}, "check"),
        ("bash", {"COMP_WORDS": "kafka-sr-retry check --wr", "COMP_CWORD": "2"}, "--write"),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "kafka-sr-retry check --wr"}, "--write"),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "kafka-sr-retry check --wr", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
            "--write",
        ),
    ],
)
def test_a_shell_completes_commands_and_options(shell: str, typed: dict[str, str], expected: str) -> None:
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv[0] = 'kafka-sr-retry'; from kafka_sr_retry.cli import main; main()",
        ],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"_KAFKA_SR_RETRY_COMPLETE": f"complete_{shell}"} | typed,
    )
    assert (shown.returncode, expected in shown.stdout) == (0, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_for_a_shell_is_printed(shell: str) -> None:
    shown = command("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert shown.returncode == 0
    assert f"complete_{shell}" in shown.stdout


COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
SHOWN = [
    line.strip() for block in re.findall(r"```console\n(.*?)```", COMMANDS, re.DOTALL) for line in block.splitlines()
]


@pytest.mark.parametrize("line", [line for line in SHOWN if line])
def test_a_command_that_the_page_shows_works_as_it_stands(line: str, tmp_path: Path) -> None:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    shown = subprocess.run(["bash", "-c", f"{line}; exit $?"], capture_output=True, encoding="utf-8", env=env)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout
    assert ("--install" in line) is (tmp_path / ".bash_completions" / "kafka-sr-retry.sh").exists()


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
