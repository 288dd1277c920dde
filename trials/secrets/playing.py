"""The cases, which are drawn, and what one process plays of them."""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from unittest import mock

from . import command, settings
from .credentials import KINDS, SHAPES, Kind
from .faults import Fault, Stage, faults
from .places import WAYS, Measures, Told, Watch, call
from .searching import Word

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


@dataclass(frozen=True)
class Case:
    """One credential, one thing that goes wrong.

    Attributes:
        play: (secret) -> what is told.
    """

    name: str
    kind: Kind | None
    shape: str
    play: Callable[[str], Told]


KINDS_EACH, PLACES_EACH, MAKERS_EACH = 6, 2, 2
"""How many are drawn: kinds for each answer in which nothing is repeated, faults for each kind and form of what is
repeated, and ways to read a configuration."""

METRICS_EACH = 49
"""After so many calls the metrics are looked at. Odd, so that with two or four processes each comes to it."""


def calls(stage: Stage, measures: Measures, chance: random.Random) -> Iterator[Case]:
    """Each kind, as it may be written, in each form in which it may be repeated; and what else goes wrong."""
    for number, (kind, shape, fault) in enumerate(_pairs(chance)):
        play = partial(_call, stage, measures, kind, fault, chance.choice(WAYS), metrics=number % METRICS_EACH == 0)
        yield Case(f"{kind.name}, {shape} | {fault.name}", kind, shape, play)


def _pairs(chance: random.Random) -> Iterator[tuple[Kind, str, Fault]]:
    forms: dict[str, list[Fault]] = {}
    for fault in faults():
        forms.setdefault(f"{fault.at} {fault.form}" if fault.form else fault.name, []).append(fault)
    for alike in forms.values():
        kinds = [kind for kind in KINDS if any(fault.fits(kind) for fault in alike)]
        if not alike[0].form:
            kinds = chance.sample(kinds, min(KINDS_EACH, len(kinds)))
        for kind in kinds:
            fitting = [fault for fault in alike if fault.fits(kind)]
            for shape in kind.shapes if alike[0].form else (chance.choice(kind.shapes),):
                for fault in chance.sample(fitting, min(PLACES_EACH, len(fitting))):
                    yield kind, shape, fault


def _call(stage: Stage, measures: Measures, kind: Kind, fault: Fault, by: str, secret: str, *, metrics: bool) -> Told:
    way = stage.play(fault, kind, secret)
    with mock.patch.dict(os.environ, kind.environment(secret, way)):
        told = call(kind.conf(secret, way), fault.ask, by, measures) | measures.told(metrics=metrics)
    return {place: text for place, text in told.items() if place not in kind.held_by}


def checks(stage: Stage, chance: random.Random) -> Iterator[Case]:
    """``check`` with each kind that can be written down."""
    for kind, shape, fault in _pairs(chance):
        slow = fault.wire is not None and ("hang" in fault.wire.name or "drip" in fault.wire.name)
        if kind.written and fault.ask == "register" and not slow and chance.randrange(4) == 0:
            name, look = chance.choice([*command.GIVEN]), chance.choice(command.LOOKS)
            play = partial(_check, stage, kind, fault, name, look)
            yield Case(f"{' '.join(('check', *look))}, {name} | {kind.name}, {shape} | {fault.name}", kind, shape, play)


def _check(stage: Stage, kind: Kind, fault: Fault, by: str, look: tuple[str, ...], secret: str) -> Told:
    way = stage.play(fault, kind, secret)
    given = command.GIVEN[by](kind.conf(secret, way))
    return command.check(given, look, dict(kind.environment(secret, way)))


def configurations(chance: random.Random) -> Iterator[Case]:
    """Those that cannot work, and wrong command lines."""
    for wrong in settings.wrongs():
        for by in chance.sample([*settings.MADE], MAKERS_EACH):
            shape = chance.choice(("plain", "special"))
            yield Case(f"{by} | {wrong.name}, {shape}", None, shape, partial(settings.made, wrong, by))
    for shape in ("plain", "special", "foreign"):
        for name, *_ in command.misuses(""):
            yield Case(f"command | {name}, {shape}", None, shape, partial(_misuse, name))
        for name in ("JSON", "lines", "cut JSON"):
            yield Case(f"source | {name}, {shape}", None, shape, partial(_source, name))


def _misuse(name: str, secret: str) -> Told:
    arguments, stdin = next((args, text) for known, args, text in command.misuses(secret) if known == name)
    return command.misused(arguments, stdin)


def _source(name: str, secret: str) -> Told:
    whole = json.dumps({"sasl.password": secret, "basic.auth.user.info": f"me:{secret}"})
    text = {"JSON": whole, "cut JSON": whole[:-1], "lines": f"sasl.password={secret}\n"}[name]
    with tempfile.TemporaryDirectory() as folder:
        return command.source(text, Path(folder))


def trial(given: argparse.Namespace, part: int) -> tuple[int, int, int, int]:
    """One process's cases: how many there are and were played, the searches, and what was found."""
    seed, only = given.seed, given.only
    screen = os.fdopen(os.dup(1), "w")
    chance = random.Random(seed)
    word = "Z" + "".join(chance.choice(LETTERS) for _ in range(12))
    began = time.monotonic()
    played = searched = found = 0
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("SCHEMA_REGISTRY_")]:
        del os.environ[name]
    with screen, ExitStack() as stack:
        stage = Stage(stack)
        watch = stack.enter_context(Watch().on())
        every = [*calls(stage, Measures(), chance), *checks(stage, chance), *configurations(chance)]
        chosen = [case for case in every if only in case.name and (only or chance.randrange(given.share) == 0)]
        mine = chosen[part :: given.processes]
        with suppress(KeyboardInterrupt):
            for case in mine:
                secret, marks = case.kind.secret(word, case.shape) if case.kind else (SHAPES[case.shape](word), (word,))
                told = case.play(secret) | watch.taken()
                looked_for = Word(*marks)
                played += 1
                searched += len(told)
                for place, text in told.items():
                    if form := looked_for.form_in(text):
                        found += 1
                        screen.write(f"\nTOLD {form} in {place}: {case.name}\n")
                        screen.write(f"  python -m trials.secrets --seed {seed} --verbose --only {quote(case.name)}\n")
                        if given.verbose:
                            lines = [line for line in text.splitlines() if looked_for.form_in(line)]
                            screen.write("".join(f"  {line[:1000]}\n" for line in lines[:3] or [text]))
                if played % 200 == 0:
                    screen.write(f"process {part + 1}: {played} of {len(mine)}, {time.monotonic() - began:.0f} s\n")
                screen.flush()
    return len(mine), played, searched, found
