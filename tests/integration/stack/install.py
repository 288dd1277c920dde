"""Gets the programs of the stack through Maven, whose cache and checksums serve for the downloads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .process import StackError

POM = Path(__file__).with_name("pom.xml")


def missing_programs() -> list[str]:
    """What the stack needs and this machine lacks."""
    return [program for program in ("java", "mvn") if shutil.which(program) is None]


def install(folder: Path) -> None:
    """Make `folder` hold what the pom asks for; it is renamed into place when complete."""
    if missing := missing_programs():
        raise StackError(f"the real stack needs {' and '.join(missing)} on the PATH")
    pom = folder / POM.name
    if pom.exists() and pom.read_bytes() == POM.read_bytes():
        return
    partial = folder.with_suffix(".partial")
    for old in (folder, partial):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.copy(POM, partial)
    command = ["mvn", "--batch-mode", "--quiet", "generate-resources"]
    maven = subprocess.run(
        command, cwd=partial, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if maven.returncode:
        raise StackError(f"Maven could not get the stack's programs:\n{maven.stdout[-3000:]}")
    partial.rename(folder)
