"""``kafka-sr-retry check``: would a producer get on with this registry, and if not, why.

given.py         command line, environment and file as the client's settings
questions.py     what an endpoint is asked
probe.py         asks one endpoint, through the client's own transport, credentials and policy
certificate.py   what the TLS handshakes of these requests show
seen.py          what the questions brought
findings.py      what that means; problems.py: what is wrong, why, and what to do
screen.py        how it is shown
run.py           all endpoints at once, and the clean end when interrupted
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Annotated, NoReturn, TextIO

import typer

from kafka_sr_retry.errors import ConfigurationError


def check(
    url: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="URL...",
            show_default="SCHEMA_REGISTRY_URL",
            help="The registry's endpoints, with blanks or commas between them.",
        ),
    ] = None,
    config: Annotated[
        typer.FileText | None,
        typer.Option(
            metavar="FILE",
            encoding="utf-8",
            help="The client's keys, or a whole producer's configuration: lines of key=value, or JSON. - is the "
            "standard input.",
        ),
    ] = None,
    assignment: Annotated[
        list[str] | None,
        typer.Option("-X", metavar="KEY=VALUE", help="One of the client's keys (kafka-sr-retry config lists them)."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=3600,
            metavar="SECONDS",
            help="For each endpoint, all its questions together.",
            show_default="30, or total.timeout.ms",
        ),
    ] = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Also register a schema under a new subject, and remove it again."),
    ] = False,
    subject: Annotated[
        str, typer.Option(metavar="PREFIX", help="What the name of that subject begins with.")
    ] = "kafka-sr-retry-check",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Check whether a producer would get on with a Schema Registry.

    Each endpoint is asked for itself: name, connection, TLS, certificate,
    credentials, whether a body arrives, mode, cluster. Says what is wrong and
    what to do. Nothing is written without --write.

    Credentials on a command line are seen by others on the machine: give them
    in FILE, or in the environment, where SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO is
    the key basic.auth.user.info, and so on for every key. The command line goes
    before the environment, and the environment before FILE.

    Exit codes: 0 all well, or warnings only. 1 something is wrong. 2 a wrong
    option or key, or no way to write the report. 130 and 143 ended by Ctrl-C and
    SIGTERM; what --write wrote is removed before. 141 the report's reader left.
    """
    from . import given, run, screen
    from .seen import Trace

    def say(text: str) -> None:
        try:
            typer.echo(f"kafka-sr-retry check: {text}", err=True)
        except OSError:  # nobody hears it: the exit code still tells
            _write_no_more(sys.stderr)

    def wrong(error: Exception) -> NoReturn:
        say(" ".join(str(error).split()))
        raise typer.Exit(2)

    if sys.stdout is None:
        say("the standard output is closed")
        raise typer.Exit(2)

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a registry's words, on a terminal that has not all letters
    warnings.filterwarnings("ignore", "Unverified HTTPS request")  # the report says it once
    try:
        text = config.read() if config else ""
        known = given.read(url or [], text, assignment or [], os.environ, timeout)
        checked = run.check(
            known,
            write=write,
            subject=subject,
            on_interrupt=lambda written: say("interrupted" + (", removing what was written" if written else "")),
        )
    except (ConfigurationError, OSError, UnicodeError) as error:
        wrong(error)
    if checked.interrupted:
        for problem in checked.report.problems:
            if problem.code in ("left_behind", "may_be_left"):
                say(problem.what)
        if any(endpoint.trace is Trace.REMOVED for endpoint in checked.report.endpoints):
            say("what was written is removed")
        raise typer.Exit(128 + checked.interrupted)
    try:
        if as_json:
            sys.stdout.write(screen.as_json(checked.report) + "\n")
        else:
            screen.show(checked.report)
        sys.stdout.flush()
    except OSError as error:
        _write_no_more(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(128 + _SIGPIPE) from None
        say(f"the report could not be written: {error.strerror}")
        raise typer.Exit(2) from None
    raise typer.Exit(1 if checked.report.of("error") else 0)


_SIGPIPE = 13
"""POSIX's number, on a system without this signal too."""


def _write_no_more(stream: TextIO) -> None:
    """What is buffered cannot be written, and Python would try once more at its end."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
