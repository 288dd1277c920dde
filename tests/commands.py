"""Every command that a page shows, and who runs it as it stands there: ``python -m tests.commands pip`` lists some."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "tests/spec/*.md")
    for path in ROOT.glob(pattern)
)

HERE = "tests/embedded/test_commands.py"
"""A shell runs it beside an embedded registry, which also answers for hosts that only the page has."""

LONG = "long"
"""Too long for a test, or it needs Docker or the reader's servers: what it would run is tested, and its options."""

INSTALLS = ".ci/package"
"""In an empty environment each, in which the package is found as on an index. All that begin with pip are run there."""

CI = ".ci/run"
"""A line there."""

WHOLE = {
    "docs/commands.md": "tests/unit/test_cli_config.py::test_a_command_that_the_page_shows_works_as_it_stands",
    "docs/produce.md": "tests/embedded/test_cli_produce.py::test_every_command_of_the_page_prints_what_stands_there",
    "docs/register.md": "tests/embedded/test_register_doc.py::test_the_commands_print_what_is_shown",
    "docs/serve.md": "tests/embedded/test_cli_serve.py::test_the_readmes_first_example_runs_in_two_terminals",
    "docs/tutorial.md": "tests/embedded/test_tutorial.py::test_the_tutorial_runs",
}
"""Pages all of whose commands are run, one after another, by a test that reads the page."""

RUN_BY = {
    "bash .ci/run": CI,
    "make test": CI,
    "make integration": CI,
    "make secrets SHARE=10 SEED=1": CI,
    "make docs": CI,
    "make release": CI,
    "make help": HERE,
    "make demo": LONG,
    "make engines": LONG,
    "make lock": LONG,
    "make mutate": LONG,
    "make chaos": LONG,
    "make chaos SEED=1 SECONDS=600": LONG,
    "make secrets": LONG,
    "make fuzz": LONG,
    "make fuzz CASES=4000 SEED=7": LONG,
    "make native": CI,
    "make native VALUES=250000 SEED=2": LONG,
    "make native-fuzz": LONG,
    "make native-fuzz SECONDS=3600 JOBS=2": LONG,
    "make native-fuzz REPLAY=build/native-fuzz/faults": LONG,
    "make native-fuzz COVERAGE=1": LONG,
    "make sanitize": LONG,
    "make soak": LONG,
    "make killed": LONG,
    "make killed KILLS=20 SEED=7": LONG,
    "make compare SCHEMAS=path/to/avsc/files": LONG,
    "KAFKA_BOOTSTRAP_SERVERS=localhost:9092 SCHEMA_REGISTRY_URL=http://localhost:8081 make integration": LONG,
    '.venv/bin/mutmut run "*.outages.*"': LONG,
    "docker compose --profile monitoring up --detach --wait": LONG,
    "export SCHEMA_REGISTRY_URL=http://localhost:8081,http://localhost:8082": HERE,
    "export REGISTRY_LOG_COMMAND='docker compose logs schema-registry-$NODE'": HERE,
    "export REGISTRY_KILL_COMMAND='docker compose kill schema-registry-$NODE'": HERE,
    "export REGISTRY_RESTART_COMMAND='docker compose start schema-registry-$NODE'": HERE,
    "kafka-sr-retry demo --cluster": HERE,
    "kafka-sr-retry source reading.avsc": HERE,
    "kafka-sr-retry check http://localhost:8081,http://localhost:8082": HERE,
    "kafka-sr-retry check http://sr-1.example.com:8081,http://sr-2.example.com:8081": HERE,
}


def commands(page: str) -> Iterator[str]:
    """Those in the blocks of a page that are marked as a shell's; where a block has prompts, what follows them."""
    blocks = re.findall(r"^( *)```(?:sh|bash|shell|console)\n(.*?)^\1```$", (ROOT / page).read_text(), re.S | re.M)
    for indent, block in blocks:
        lines = [line.removeprefix(indent) for line in block.replace("\\\n", "").splitlines()]
        if any(line.startswith("$ ") for line in lines):
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        for line in lines:
            if command := re.sub(r"(^|\s+)# .*$", "", line).strip():
                yield re.sub(r"\s+", " ", command)


SHOWN = {page: list(dict.fromkeys(commands(page))) for page in PAGES}


def run_by(command: str, page: str = "") -> str | None:
    if page in WHOLE:
        return WHOLE[page]
    if command.startswith("pip install "):
        return INSTALLS
    if re.match(r"(\.venv/bin/)?python -m trials\.", command):
        return LONG
    return RUN_BY.get(command)


if __name__ == "__main__":
    found = [command for shown in SHOWN.values() for command in shown if command.startswith(" ".join(sys.argv[1:]))]
    print(*dict.fromkeys(found), sep="\n")  # noqa: T201 a command's output
