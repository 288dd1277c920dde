"""How outcomes look: for people, a line a file as it ends, and as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

from rich.padding import Padding
from rich.status import Status
from rich.text import Text

from kafka_sr_retry.cli.terminal import Console, printable
from kafka_sr_retry.errors import one_line

from .outcome import INTERRUPTED, RESULTS, Outcome, Report
from .words import direction, told

_STYLES = {
    "new subject": "green",
    "new version": "green",
    "unchanged": "dim",
    "incompatible": "bold red",
    "failed": "bold red",
    "not tried": "yellow",
}
_ENDINGS = {
    "register": "",
    "dry run": "Nothing was registered: this was a dry run.",
    "offline": "By Avro's rules alone: no registry was asked.",
}


class Screen:
    """The standard output. Progress is shown where the standard error is a terminal, below the lines.

    What cannot be written any more does not stop the work: ``lost`` says why.

    Args:
        total: how many files there are.
        shows: lines for people; else all is for ``finish``.
    """

    def __init__(self, total: int, *, shows: bool) -> None:
        self.lost: OSError | None = None
        self._shows, self._total, self._ended = shows, total, 0
        self._console = Console(highlight=False)
        self._status: Status | None = None
        if sys.stderr is not None and sys.stderr.isatty():
            shown_on = self._console if sys.stdout.isatty() else Console(stderr=True)
            self._status = Status(self._progress(), console=shown_on)
            self._status.start()

    def _progress(self) -> str:
        return f"{self._ended} of {self._total} files"

    def add(self, outcome: Outcome) -> None:
        self._ended += 1
        if self._status is not None:
            self._status.update(self._progress())
        if self._shows and outcome.why != INTERRUPTED:  # the summary counts them
            self._write(lambda: self._line(outcome))

    def end_progress(self) -> None:
        if self._status is not None:
            self._status.stop()

    def finish(self, report: Report, *, as_document: bool) -> None:
        if as_document:
            self._write(lambda: sys.stdout.write(as_json(report) + "\n"))
        else:
            self._write(lambda: self._summary(report))
        self._write(sys.stdout.flush)

    def _write(self, write: Any) -> None:
        if self.lost is None:
            try:
                write()
            except OSError as error:
                self.lost = error

    def _line(self, outcome: Outcome) -> None:
        line = Text(overflow="fold")
        line.append(f"{outcome.result:<14}", _STYLES[outcome.result])
        line.append(outcome.planned.file.path)
        place = [] if outcome.planned.subject is None else [one_line(outcome.planned.subject, 300)]
        place += [] if outcome.version is None else [f"version {outcome.version}"]
        place += [] if outcome.schema_id is None else [f"id {outcome.schema_id}"]
        if place:
            line.append(f" -> {', '.join(place)}")
        self._console.print(line)
        if outcome.why and not outcome.clashes:
            self._indented(Text(printable(outcome.why)), 4)
        for clash in outcome.clashes:
            self._indented(Text(f"{outcome.level}: {direction(clash)}"), 4)
            for finding, what, advice in told(clash):
                self._indented(Text.assemble((printable(finding.path), "bold"), (f"  {finding.rule}", "dim")), 6)
                self._indented(Text(what), 8)
                self._indented(Text(f"-> {advice}", "cyan"), 8)
        self._console.file.flush()

    def _indented(self, text: Text, columns: int) -> None:
        text.overflow = "fold"
        self._console.print(Padding(text, (0, 0, 0, columns), expand=False))

    def _summary(self, report: Report) -> None:
        count = Counter(outcome.result for outcome in report.outcomes)
        parts = [_counted(count[result], result) for result in RESULTS if count[result]]
        files = f"{len(report.outcomes)} file{'' if len(report.outcomes) == 1 else 's'}"
        begin = "Interrupted. " if report.interrupted else ""
        line = Text.assemble((begin, "bold red"))
        line.append(f"{files}: {', '.join(parts)}.", "bold green" if report.is_good else "bold red")
        if _ENDINGS[report.kind]:
            line.append(f" {_ENDINGS[report.kind]}")
        line.append(f" ({report.seconds:.1f} s)", "dim")
        self._console.print(line)


def _counted(number: int, result: str) -> str:
    return f"{number} {result}{'s' if number > 1 and result.startswith('new') else ''}"


def as_json(report: Report) -> str:
    """One document. Fields are added between versions, and none goes or changes its meaning."""
    count = Counter(outcome.result for outcome in report.outcomes)
    return json.dumps(
        {
            "verdict": "interrupted" if report.interrupted else "well" if report.is_good else "errors",
            "kind": report.kind.replace(" ", "_"),
            "seconds": round(report.seconds, 3),
            "summary": {result.replace(" ", "_"): count[result] for result in RESULTS},
            "files": [_file(outcome) for outcome in report.outcomes],
        },
        indent=2,
    )


def _file(outcome: Outcome) -> dict[str, Any]:
    return {
        "file": outcome.planned.file.path,
        "subject": outcome.planned.subject,
        "result": outcome.result.replace(" ", "_"),
        "version": outcome.version,
        "id": outcome.schema_id,
        "refers_to": [reference.name for reference in outcome.planned.references],
        "compatibility": outcome.level,
        "why": outcome.why or None,
        "findings": [
            {
                "version": clash.version,
                "cannot_read": "new" if clash.new_reads else "old",
                "path": finding.path,
                "rule": finding.rule,
                "what": what,
                "advice": advice,
            }
            for clash in outcome.clashes
            for finding, what, advice in told(clash)
        ],
    }
