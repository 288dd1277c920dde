"""Builds the native encoder where there is a compiler for it; elsewhere the wheel is pure Python, and says so."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "kafka_sr_retry.avro._native"
SOURCE = Path("kafka_sr_retry/avro/_native.c")
PURE = "KAFKA_SR_RETRY_PURE"
"""Set by whoever wants a wheel for all platforms."""

OLDEST = (3, 10)
"""Of the stable ABI that the source asks for."""


class NativeBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        why_not = self._why_not()
        if not why_not:
            try:
                built = self._built()
            except (Exception, SystemExit) as error:  # noqa: BLE001 compilers fail in many ways
                why_not = f"{type(error).__name__}: {error}"
        if why_not:
            self.app.display_warning(f"without the native encoder: {why_not}")
            return
        path = SOURCE.with_name(built.name).as_posix()
        if version == "editable":
            Path(self.root, path).unlink(missing_ok=True)  # it may be in use
            Path(self.root, path).write_bytes(built.read_bytes())
            return
        platform = re.sub(r"\W", "_", sysconfig.get_platform())
        build_data["force_include"][str(built)] = path
        build_data["pure_python"] = False
        build_data["tag"] = f"cp{OLDEST[0]}{OLDEST[1]}-abi3-{platform}"

    def _why_not(self) -> str:
        if os.environ.get(PURE):
            return f"{PURE} is set"
        if sys.implementation.name != "cpython":
            return f"it is for CPython, and this is {sys.implementation.name}"
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            return "a free-threaded Python has no stable ABI"
        return ""

    def _built(self) -> Path:
        from setuptools import Distribution, Extension

        work = TemporaryDirectory()
        self._work = work  # until the wheel is made
        extension = Extension(NAME, [str(Path(self.root) / SOURCE)], py_limited_api=True)
        if os.name == "posix":
            extension.extra_compile_args = ["-O3", "-g0"]
        if sys.platform == "linux":  # it mostly calls the interpreter: 5 % less time without a stub for each call
            extension.extra_compile_args.append("-fno-plt")
        command = Distribution({"name": "kafka_sr_retry", "ext_modules": [extension]}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = work.name, f"{work.name}/temp"
        command.ensure_finalized()
        command.run()
        (built,) = Path(work.name, SOURCE.parent).glob("_native*")
        return built
