"""What judges a trial: that it can find a fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from trials import soak

SECONDS = 1800.0
FLAT = [soak.Sample(float(at), 54.0, 15, 6 + at % 3, 100 * at, 40) for at in range(int(SECONDS))]


def test_a_soak_that_is_flat_is_well() -> None:
    assert soak.judge(FLAT, SECONDS) == []


def test_growth_before_a_soak_is_warm_is_no_fault() -> None:
    samples = [replace(each, rss=min(each.at, 54.0)) for each in FLAT]
    assert soak.judge(samples, SECONDS) == []


@pytest.mark.parametrize(
    ("grown", "word"),
    [
        (lambda each: replace(each, rss=each.rss + each.at / 90), "memory"),
        (lambda each: replace(each, threads=each.threads + int(each.at / 30)), "threads"),
        (lambda each: replace(each, sockets=each.sockets + int(each.at / 30)), "sockets"),
        (lambda each: replace(each, delivered=0), "delivered"),
    ],
)
def test_a_soak_tells_what_is_not_flat(grown: Callable[[soak.Sample], soak.Sample], word: str) -> None:
    (found,) = soak.judge([grown(each) for each in FLAT], SECONDS)
    assert word in found


@pytest.mark.parametrize("seed", range(20))
def test_a_soak_ends_well_and_each_of_its_faults_has_an_end(seed: int) -> None:
    phases = soak.schedule(seed, SECONDS)
    assert [bool(phase.fault) for phase in phases] == [number % 2 == 1 for number in range(len(phases))]
    assert phases[-1].fault is None
    assert SECONDS - phases[-1].begins > 2 * soak.TOTAL_TIMEOUT
    assert phases == soak.schedule(seed, SECONDS) != soak.schedule(seed + 1, SECONDS)


def test_a_fuzzed_case_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kafka_sr_retry.avro._native", reason="not built here: it needs a C compiler")
    from trials.native_fuzz import case

    def cases() -> None:
        for seed in range(100):
            case.once(Random(seed).randbytes(160))

    cases()
    with monkeypatch.context() as patch:
        patch.setattr(case, "by_fastavro", lambda schema, value: b"")
        with pytest.raises(case.Fault, match="fastavro"):
            cases()
    kept: list[bytes] = []
    monkeypatch.setattr(case, "once", lambda data: kept.append(case.OTHER))
    with pytest.raises(case.Fault, match=r"\+1 references to b'by another'"):
        case.play(b"\0" * 4)
