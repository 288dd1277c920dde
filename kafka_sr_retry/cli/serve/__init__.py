"""``kafka-sr-retry serve``: the embedded broker and registry, for programs in other processes.

faults.py   what is to go wrong, in words, at the start and while it runs
ports.py    which ports, and a fixed one before the mock broker
show.py     messages decoded as they come, one line each
run.py      everything from beginning to end
"""

from __future__ import annotations

from typing import Annotated

import typer

from kafka_sr_retry.cli.terminal import begin


def serve(
    faults: Annotated[
        str | None,
        typer.Option(metavar="FAULT,...", help="What the next registrations meet, such as 50003:3,503 or hang=5."),
    ] = None,
    show: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="Print this topic's messages, decoded; may be repeated; '*' is all."),
    ] = None,
    nodes: Annotated[
        int, typer.Option(min=1, max=2, help="Registry nodes; of 2, one leads, and the other forwards to it.")
    ] = 1,
    kafka_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="0: any.", show_default="9092, or any if it is taken"),
    ] = None,
    registry_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="0: any. The second node has the next.",
            show_default="8081, or any if it is taken",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document a line instead.")] = False,
) -> None:
    """Run a Kafka broker and a Schema Registry until Ctrl-C, without Docker.

    Prints the two export lines that programs in another terminal need. All is in
    memory, and on 127.0.0.1 alone.

    A fault is NAME, NAME=VALUE, NAME:TIMES or NAME=VALUE:TIMES. Names: a status
    (503), an error code (50003), no_leader, hang, reset, close_connection,
    swallow, truncate, drip, drop_body, html, and pass for no fault. TIMES may be
    always. While it runs: curl -d 50003:3 $SCHEMA_REGISTRY_URL/faults

    Exit codes: 0 ended by Ctrl-C or SIGTERM. 1 the broker did not start. 2 a
    wrong option, a port that is taken, or no way to write. 130 and 143 ended by a
    second Ctrl-C or SIGTERM. 141 the output's reader left.
    """
    from .faults import FaultError, planned
    from .run import Wanted, run
    from .show import TopicError, checked

    say = begin("serve")
    try:
        wanted = Wanted(planned(faults or ""), checked(show or []), nodes, kafka_port, registry_port, as_json)
    except (FaultError, TopicError) as error:
        say(str(error))
        raise typer.Exit(2) from None
    if nodes == 2 and registry_port == 65535:
        say("--registry-port 65535 has no next port for the second node")
        raise typer.Exit(2)
    raise typer.Exit(run(wanted))
