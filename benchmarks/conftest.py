"""Prints ratios beside pytest-benchmark's table: seconds mean little on a noisy machine, ratios of one run do."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    groups: dict[str, dict[str, float]] = {}
    for bench in session.benchmarks if session else ():
        groups.setdefault(bench.group, {})[bench.name.partition("[")[0].removeprefix("test_")] = bench.stats.median
    for group, medians in groups.items():
        ours = medians.pop("ours", None)
        if ours is None:
            continue
        terminalreporter.section(group)
        terminalreporter.line(f"ours: {_shown(ours)} at the median")
        for peer, median in medians.items():
            terminalreporter.line(f"ours / {peer}: {ours / median:.2f} ({_shown(median)})")


def _shown(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} us" if seconds < 1e-3 else f"{seconds:.3f} s"
