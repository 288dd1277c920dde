"""Which subject each file has, what each refers to, and in which order they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from kafka_sr_retry.errors import ConfigurationError, one_line
from kafka_sr_retry.schema import is_subject

from .files import SchemaFile, by_name


@dataclass(frozen=True, slots=True)
class Reference:
    """What a file refers to.

    Attributes:
        name: of the type.
        file: that defines it, by its number; ``None`` where only the registry can have it.
        names: under which the registry may have it.
    """

    name: str
    file: int | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be done for a file.

    Attributes:
        number: its place in the plan.
        wrong: why nothing can be done for it, or empty.
    """

    number: int
    file: SchemaFile
    subject: str | None
    references: tuple[Reference, ...] = ()
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Subjects:
    """How subjects are called.

    Attributes:
        strategy: ``TOPIC``, ``RECORD`` or ``TOPIC_RECORD``.
        fixed: ``--subject``.
    """

    strategy: str
    topic: str | None = None
    is_key: bool = False
    fixed: str | None = None

    @property
    def is_one(self) -> bool:
        """Whether there is one subject, whatever the file."""
        return self.fixed is not None or self.strategy == "TOPIC"

    def of(self, name: str | None) -> str | None:
        """Of a file that no other refers to; ``None`` where its schema needs a name and has none."""
        if self.fixed is not None:
            return self.fixed
        if self.strategy == "TOPIC":
            return f"{self.topic}-{'key' if self.is_key else 'value'}"
        return name if self.strategy == "RECORD" or not name else f"{self.topic}-{name}"


@dataclass(slots=True)
class _Draft:
    file: SchemaFile
    references: list[Reference] = field(default_factory=list)
    wrong: str = ""


def plan(files: Sequence[SchemaFile], subjects: Subjects) -> list[Planned]:
    """All files, each after those that it refers to.

    Raises:
        ConfigurationError: one subject is given for several files.
    """
    drafts = [_Draft(file, wrong=file.wrong) for file in files]
    _refer(drafts)
    used = {reference.file for draft in drafts for reference in draft.references}
    roots = [number for number, draft in enumerate(drafts) if number not in used and not draft.file.wrong]
    if subjects.is_one and len(roots) > 1:
        named = ", ".join(drafts[number].file.path for number in roots[:4]) + (", ..." if len(roots) > 4 else "")
        raise ConfigurationError(
            f"there is one subject, {subjects.of(None)}, and {len(roots)} files that no other file refers to: {named}. "
            "Register them one by one, or each under its own subject: -X subject.name.strategy.type=RECORD, or "
            "TOPIC_RECORD with --topic"
        )
    named_after = [
        draft.file.name if number in used else subjects.of(draft.file.name) for number, draft in enumerate(drafts)
    ]
    for draft, subject in zip(drafts, named_after, strict=True):
        if subject is None and not draft.wrong:
            draft.wrong = "the schema has no name to call its subject by: give --subject, or --topic alone"
        elif subject is not None and not is_subject(subject):
            draft.wrong = draft.wrong or one_line(f"{subject!r} cannot be a subject's name", 300)
    _refuse_equals(drafts, named_after)
    _refuse_doubles(drafts)
    return _ordered(drafts, named_after)


def _refer(drafts: list[_Draft]) -> None:
    known = by_name(draft.file for draft in drafts)
    numbers = {id(draft.file): number for number, draft in enumerate(drafts)}
    for draft in drafts:
        taken: set[int] = set()
        for names in draft.file.uses:
            name = next((name for name in names if name in known), None)
            if name is None:
                draft.references.append(Reference(names[0], None, names))
                continue
            definers = known[name]
            if len(definers) > 1:
                both = " and ".join(definer.path for definer in definers[:2])
                draft.wrong = draft.wrong or f"it refers to {name}, which more than one file defines: {both}"
                continue
            number = numbers[id(definers[0])]
            if number not in taken:  # the whole of it is read, once
                taken.add(number)
                draft.references.append(Reference(definers[0].name or name, number, names))


def _refuse_equals(drafts: list[_Draft], subjects: Sequence[str | None]) -> None:
    count = Counter(subject for draft, subject in zip(drafts, subjects, strict=True) if not draft.file.wrong)
    for draft, subject in zip(drafts, subjects, strict=True):
        if subject is not None and count[subject] > 1 and not draft.wrong:
            others = [d.file.path for d, s in zip(drafts, subjects, strict=True) if s == subject and d is not draft]
            draft.wrong = f"{others[0]} has the same subject, {subject}: which of them is it?"


def _refuse_doubles(drafts: list[_Draft]) -> None:
    """What a file refers to is read with it, and has one meaning for each name."""
    definers: dict[str, list[int]] = {}
    for number, draft in enumerate(drafts):
        for name in draft.file.defines:
            definers.setdefault(name, []).append(number)
    doubles = {
        name: numbers
        for name, numbers in definers.items()
        if any(drafts[n].file.defines[name] != drafts[numbers[0]].file.defines[name] for n in numbers)
    }
    for number, draft in enumerate(drafts if doubles else ()):
        read, left = {number}, [number]
        while left:
            more = {r.file for r in drafts[left.pop()].references if r.file is not None} - read
            read |= more
            left += more
        for name, numbers in doubles.items():
            first, *others = [n for n in numbers if n in read] or [number]
            for other in others:
                if drafts[other].file.defines[name] != drafts[first].file.defines[name] and not draft.wrong:
                    both = f"{drafts[first].file.path} and {drafts[other].file.path}"
                    draft.wrong = f"it is read with two types {name}, which differ: {both}"


def _ordered(drafts: list[_Draft], subjects: Sequence[str | None]) -> list[Planned]:
    graph = {n: {r.file for r in d.references if r.file is not None} for n, d in enumerate(drafts)}
    while True:
        try:
            order = list(TopologicalSorter(graph).static_order())
            break
        except CycleError as circle:
            members: list[int] = circle.args[1]
            way = " -> ".join(drafts[number].file.path for number in reversed(members))
            for number in members:
                drafts[number].wrong = drafts[number].wrong or f"the files refer to each other in a circle: {way}"
                graph[number] -= set(members)
    # TopologicalSorter gives one level after the other: within it, as the files were given
    depth: dict[int, int] = {}
    for number in order:
        depth[number] = max((depth[other] + 1 for other in graph[number]), default=0)
    order.sort(key=lambda number: (depth[number], number))
    place = {number: at for at, number in enumerate(order)}
    return [
        Planned(
            place[number],
            drafts[number].file,
            subjects[number],
            tuple(
                Reference(r.name, None if r.file is None else place[r.file], r.names) for r in drafts[number].references
            ),
            drafts[number].wrong,
        )
        for number in order
    ]


def beneath(planned: Planned, plan: Sequence[Planned]) -> list[Planned]:
    """All that a file refers to, each after those that it refers to itself."""
    found: set[int] = set()
    left = [planned]
    while left:
        more = {r.file for r in left.pop().references if r.file is not None} - found
        found |= more
        left += [plan[number] for number in more]
    return [plan[number] for number in sorted(found)]
