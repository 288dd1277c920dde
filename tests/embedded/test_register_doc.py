"""docs/register.md: its commands run as they stand there, and print what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli_register import document, record, write

from kafka_sr_retry.testing import SchemaRegistryServer

PAGE = (Path(__file__).parents[2] / "docs" / "register.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:`(schemas/[\w.]+)`[^\n]*:\n\n)?```(\w+)\n(.*?)```", PAGE, re.DOTALL)
GIT = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def shell(command: str, folder: Path, registry: SchemaRegistryServer) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCHEMA_REGISTRY_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment |= {"COLUMNS": "80", "SCHEMA_REGISTRY_URL": registry.url, **GIT}
    ran = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    return ran.returncode, plain(ran.stdout)


def plain(screen: str) -> str:
    return re.sub(r"\(\d+\.\d s\)|[ ]+$", "", screen, flags=re.MULTILINE)


def test_the_commands_print_what_is_shown(schema_registry: SchemaRegistryServer, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    commands = code = 0
    for path, kind, content in BLOCKS:
        if kind == "json":
            (tmp_path / path).write_text(content)
            continue
        for shown in content.split("$ ")[1:] if kind == "console" else []:
            command, _, output = shown.partition("\n")
            if command == "echo $?":  # of the command before
                assert output == f"{code}\n"
                continue
            code, told = shell(command, tmp_path, schema_registry)
            assert told == plain(output), command
            commands += "kafka-sr-retry" in command
    assert commands == 5


def test_the_steps_of_ci_run(schema_registry: SchemaRegistryServer, tmp_path: Path) -> None:
    files = {path: content for path, kind, content in BLOCKS if kind == "json"}
    (yaml,) = (content for _, kind, content in BLOCKS if kind == "yaml")
    (install, *steps) = re.findall(r"- run: (.+)", yaml)
    assert install == "pip install 'kafka-sr-retry[cli]'"
    home, work = tmp_path / "home", tmp_path / "work"
    (home / "schemas").mkdir(parents=True)
    for path, content in files.items():
        (home / path).write_text(content)
    begin = "git init -q -b main && git add . && git commit -qm x && git clone -q --depth=1 file://$PWD ../work"
    assert shell(begin, home, schema_registry)[0] == 0
    told = [shell(step, work, schema_registry) for step in steps]
    assert [code for code, _ in told] == [0] * len(steps), told
    assert "2 unchanged. By Avro's rules alone" in told[-2][1]
    assert "2 new subjects" in told[-1][1]
    write(str(work / "schemas" / "order.avsc"), record("Order", "int", "Money", namespace="shop"))
    assert shell(steps[-2], work, schema_registry)[0] == 1


def test_the_table_of_subjects(
    schema_registry: SchemaRegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", schema_registry.url)
    monkeypatch.setenv("SCHEMA_REGISTRY_SSL_CA_LOCATION", "false")
    write("order.avsc", record("Order", namespace="shop"))
    table = PAGE.partition("## Which subject")[2].partition("* ")[0]
    rows = re.findall(r"^\| `(.+?)` \| (.*) \|$", table, re.MULTILINE)
    for options, told in rows:
        (file,) = document("--dry-run", *options.split(), "order.avsc")["files"]
        assert f"`{file['subject']}`" in told
    assert len(rows) == 4
