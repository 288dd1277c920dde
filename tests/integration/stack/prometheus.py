"""A real Prometheus that scrapes processes of this machine, and promtool."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from . import process
from .process import StackError
from .services import free_ports

READY_SECONDS = 30
INTERVAL = "500ms"

_CONFIG = """\
global: {{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}
rule_files: [rules.yml]
scrape_configs:
"""
_JOB = "  - {{job_name: {job}, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n"


def required(program: str) -> str:
    """The path of ``prometheus`` or ``promtool``."""
    found = shutil.which(program)
    if found is None:
        raise StackError(f"{program} is not on the PATH: install Prometheus, 2.42 or later (apt install prometheus)")
    return found


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What promtool says; its standard output and error are one."""
    command = [required("promtool"), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextmanager
def running(folder: Path, rules: str, ports: Mapping[str, int]) -> Iterator[str]:
    """A Prometheus with ``rules`` for the time of the ``with`` block; yields its URL.

    Args:
        folder: for its config, log and data.
        ports: of each job's one process, on 127.0.0.1.
    """
    program = required("prometheus")
    folder.mkdir(parents=True)
    jobs = "".join(_JOB.format(job=job, port=port) for job, port in ports.items())
    (folder / "prometheus.yml").write_text(_CONFIG.format(interval=INTERVAL) + jobs)
    (folder / "rules.yml").write_text(rules)
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    flags = f"--config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address=127.0.0.1:{port}"
    try:
        process.start(folder, f"exec {program} {flags} --log.level=warn")
        process.await_ready(folder, partial(_is_ready, url), READY_SECONDS)
        yield url
    finally:
        process.stop(folder)


def alerts(url: str) -> list[dict[str, Any]]:
    """The alerts that are pending or firing."""
    return list(_get(f"{url}/api/v1/alerts")["data"]["alerts"])


def query(url: str, expression: str) -> list[dict[str, Any]]:
    """The series that an expression gives now."""
    return list(_get(f"{url}/api/v1/query?{urlencode({'query': expression})}")["data"]["result"])


def targets(url: str) -> dict[str, str]:
    """The health of each job's process, as its last scrape found it: up, down or unknown."""
    return {each["labels"]["job"]: each["health"] for each in _get(f"{url}/api/v1/targets")["data"]["activeTargets"]}


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _is_ready(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
    except OSError:
        return False
    return True
