"""The commands of docs/tutorial.md, one after another in two terminals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.commands import ROOT, commands

INSTALL, SERVE, *REST = [*commands("docs/tutorial.md")][2:]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """This interpreter and the sources, under the names that an installation has."""
    for name, words in (("python", '"$@"'), ("kafka-sr-retry", '-m kafka_sr_retry.cli "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\nexec {sys.executable} {words}\n")
        (tmp_path / name).chmod(0o755)
    python = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": python, "no_proxy": "*"}


def test_the_tutorial_runs(environment: dict[str, str], tmp_path: Path) -> None:
    assert INSTALL.startswith("pip install ")  # .ci/package
    with subprocess.Popen(
        ["bash", "-c", f"exec {SERVE}"], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout
            exports = [server.stdout.readline() for _ in range(2)]
            assert [line.split("=")[0] for line in exports] == [
                "export KAFKA_BOOTSTRAP_SERVERS",
                "export SCHEMA_REGISTRY_URL",
            ]
            with (
                (tmp_path / "out").open("w") as out,
                (tmp_path / "err").open("w") as err,
                subprocess.Popen(
                    ["bash", "-e"], env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=err, text=True
                ) as terminal,
            ):
                assert terminal.stdin
                for line in [*exports, *REST]:
                    terminal.stdin.write(line.rstrip() + "\n")
                    terminal.stdin.flush()
                    if line.endswith("&"):
                        until(lambda: "leader" in (tmp_path / "err").read_text())
            assert terminal.returncode == 0, (tmp_path / "err").read_text()
            assert (tmp_path / "out").read_text().count("delivered one order\n") == 2
            shown = [server.stdout.readline() for _ in range(2)]
            assert all('{"id": 1}' in line for line in shown), shown
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
