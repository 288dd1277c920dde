"""``kafka-sr-retry check``: would a producer get on with this registry, and if not, why.

given.py         what was given, as the client's settings
questions.py     what an endpoint is asked
probe.py         asks one endpoint, through the client's own transport, credentials and policy
certificate.py   what the TLS handshakes of these requests show
seen.py          what the questions brought
findings.py      what that means; problems.py: what is wrong, why, and what to do
screen.py        how it is shown
run.py           all endpoints at once, and the clean end when interrupted
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, NoReturn

import typer

from kafka_sr_retry.cli.options import AsDocument, Assignments, ConfigFile
from kafka_sr_retry.cli.terminal import SIGPIPE, begin, write_no_more
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
    config: ConfigFile = None,
    assignment: Assignments = None,
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
    as_json: AsDocument = False,
) -> None:
    """Check whether a producer would get on with a Schema Registry.

    Each endpoint is asked for itself: name, connection, TLS, certificate,
    credentials, whether a body arrives, mode, cluster. Says what is wrong and
    what to do. Nothing is written without --write: then "All well" is not said,
    as only a write shows that new schemas are taken.

    Credentials on a command line are seen by others on the machine: give them
    in FILE, or in the environment, where SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO is
    the key basic.auth.user.info, and so on for every key. The command line goes
    before the environment, and the environment before FILE.

    Exit codes: 0 all well, or warnings only. 1 something is wrong. 2 a wrong
    option or key, or no way to write the report. 3 it reads well; writes were not
    tried, or wait for a leader. 130 and 143 ended by Ctrl-C and SIGTERM; what
    --write wrote is removed before. 141 the report's reader left.
    """
    from . import given, run, screen
    from .seen import Trace

    say = begin("check")

    def wrong(error: Exception) -> NoReturn:
        say(" ".join(str(error).split()))
        raise typer.Exit(2)

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
        write_no_more(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(128 + SIGPIPE) from None
        say(f"the report could not be written: {error.strerror}")
        raise typer.Exit(2) from None
    raise typer.Exit({"errors": 1, "reads_well": 3}.get(checked.report.verdict, 0))
