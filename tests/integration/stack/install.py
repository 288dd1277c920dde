"""Gets the programs of the stack through Maven, whose cache and checksums serve for the downloads."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .process import StackError

POM = Path(__file__).with_name("pom.xml")
_UNPACK = "org.apache.maven.plugins:maven-dependency-plugin:2.10:unpack"
"""Later ones also read the artifact's pom, and the parent of Apicurio 3.0.9's is not to be found."""


def missing_programs() -> list[str]:
    """What the stack needs and this machine lacks."""
    return [program for program in ("java", "mvn") if shutil.which(program) is None]


def install(folder: Path) -> None:
    """Make `folder` hold what the pom asks for."""
    pom = folder / POM.name
    if not (pom.exists() and pom.read_bytes() == POM.read_bytes()):
        with _made(folder) as partial:
            shutil.copy(POM, partial)
            _maven(partial, "generate-resources")


def install_apicurio(folder: Path, version: str) -> None:
    """Make `folder` hold this Apicurio Registry, laid out like the stack's own."""
    if not folder.exists():
        artifact = f"io.apicurio:apicurio-registry-app:{version}:tar.gz:all"
        with _made(folder) as partial:
            _maven(partial, _UNPACK, f"-Dartifact={artifact}", f"-DoutputDirectory={partial / 'registry'}")


@contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """An empty folder, which is renamed into place when the block has filled it."""
    if missing := missing_programs():
        raise StackError(f"the real stack needs {' and '.join(missing)} on the PATH")
    partial = folder.with_name(f"{folder.name}.partial")
    for old in (folder, partial):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    partial.rename(folder)


def _maven(folder: Path, *arguments: str) -> None:
    command = ["mvn", "--batch-mode", "--quiet", *arguments]
    maven = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if maven.returncode:
        raise StackError(f"Maven could not get the stack's programs:\n{maven.stdout[-3000:]}")
