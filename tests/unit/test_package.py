"""What is built: a native wheel where that can be, else a pure one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from kafka_sr_retry import __version__

ROOT = Path(__file__).parents[2]


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
