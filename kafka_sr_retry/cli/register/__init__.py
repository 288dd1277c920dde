"""``kafka-sr-retry register``: the step of a deployment that registers schemas from files.

files.py     schemas in files, what they define and use
plan.py      which subject each has, what it refers to, in which order they go
run.py       all of them, as many at once as there can be, and the clean end when interrupted
deploy.py    one of them at a registry, or a dry run of it
offline.py   one of them against a folder of earlier versions
judging.py   what these two have in common
outcome.py   what came of it
words.py     an incompatibility in words; screen.py: how all is shown
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Annotated, NoReturn

import typer

from kafka_sr_retry.cli.options import AsDocument, Assignments, ConfigFile
from kafka_sr_retry.cli.terminal import SIGPIPE, begin, write_no_more
from kafka_sr_retry.errors import ConfigurationError


def register(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="Schemas in Avro's JSON, and folders, of which all .avsc files are taken."),
    ],
    topic: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="The subject is TOPIC-value, or what the strategy makes of it.")
    ] = None,
    subject: Annotated[str | None, typer.Option(metavar="SUBJECT", help="The subject itself.")] = None,
    key: Annotated[bool, typer.Option("--key", help="The subject is TOPIC-key.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Register nothing: say what would change, and test compatibility.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no registry: judge by Avro's rules. Needs --against.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Earlier versions: SUBJECT/*.avsc in the order of their names, or SUBJECT.avsc, or a file of the same "
            "path.",
        ),
    ] = None,
    compatibility: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="For --offline, such as FULL.", show_default="BACKWARD")
    ] = None,
    config: ConfigFile = None,
    assignment: Assignments = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=3600, metavar="SECONDS", help="For each question.", show_default="30, or total.timeout.ms"
        ),
    ] = None,
    as_json: AsDocument = False,
) -> None:
    """Register schemas from files, as a step of a deployment.

    Types that one file defines and others use become references; files go in
    that order, 16 at once. A file that another one refers to has its type's full
    name as its subject. What no file defines is looked for in the registry, under
    that name. What is there already is left alone. Nothing stops at the first
    failure, save what refers to it.

    The registry is named by SCHEMA_REGISTRY_URL, -X url=..., or in --config FILE;
    likewise all keys of the client. Other subjects for several files:
    -X subject.name.strategy.type=RECORD, or TOPIC_RECORD with --topic.

    Exit codes: 0 all is registered, or could be. 1 a file is incompatible, has
    failed or was not tried. 2 a wrong option or key. 130 and 143 ended by Ctrl-C
    and SIGTERM, after a report of what was done. 141 the report's reader left.
    """
    from . import files as schema_files
    from . import plan, run
    from .job import Job
    from .outcome import Report
    from .screen import Screen

    say = begin("register")

    def wrong(error: Exception) -> NoReturn:
        say(" ".join(str(error).split()))
        raise typer.Exit(2)

    logging.getLogger("kafka_sr_retry").addHandler(logging.NullHandler())  # the report tells it
    began = time.monotonic()
    try:
        job = Job(
            config.read() if config else "",
            assignment or [],
            os.environ,
            topic=topic,
            subject=subject,
            is_key=key,
            offline=offline,
            dry_run=dry_run,
            against=against,
            level=compatibility,
            seconds=timeout,
        )
        planned = plan.plan(schema_files.read(files), job.subjects)
        work, stop = job.start(planned)
    except (ConfigurationError, OSError, UnicodeError) as error:
        wrong(error)
    screen = Screen(len(planned), shows=not as_json)
    try:
        outcomes, interrupted = run.each(planned, work, screen.add, stop)
    finally:
        stop()
        screen.end_progress()
    report = Report(outcomes, job.kind, time.monotonic() - began, interrupted)
    screen.finish(report, as_document=as_json)
    if screen.lost is not None:
        write_no_more(sys.stdout)
        if not isinstance(screen.lost, BrokenPipeError):
            say(f"the report could not be written: {screen.lost.strerror}")
    if interrupted:
        raise typer.Exit(128 + interrupted)
    if not report.is_good:
        raise typer.Exit(1)
    if screen.lost is not None:
        raise typer.Exit(128 + SIGPIPE if isinstance(screen.lost, BrokenPipeError) else 2)
    raise typer.Exit(0)
