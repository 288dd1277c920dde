"""``kafka-sr-retry demo``: real readings through Kafka while the registry fails on purpose.

readings.py    the rows, their schema, and whether what came back is what was sent
servers.py     the broker, and the registry that fails on purpose
journey.py     there and back: our serializer to Kafka, an independent decoder from it
naive.py       the same schema sent by a loop that makes the mistake
screen.py      all that is shown
run.py         the demo from beginning to end
election.py    the other one: a registry's leader is killed, and what each client gets
"""

from __future__ import annotations

import logging
from typing import Annotated

import typer


def demo(
    rows: Annotated[int | None, typer.Option(min=1, help="Send only the first rows.", show_default="all")] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(metavar="HOST:PORT,...", help="A real Kafka, together with --registry-url.")
    ] = None,
    registry_url: Annotated[
        str | None, typer.Option(metavar="URL", help="A real Schema Registry, together with --bootstrap-servers.")
    ] = None,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Kill the leader of two registry nodes, and show what each client gets."),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(metavar="S", min=0, help="How long the --cluster has no leader then.", show_default="10.25"),
    ] = None,
) -> None:
    """Send a year of hourly temperatures through Kafka while the Schema Registry fails on purpose.

    Without options it brings its own broker and registry.
    With real servers it leaves a new topic and its subject behind, and says which.
    Exit code 1 if a single row is missing or differs; with --cluster, if a single message of ours is lost.
    """
    # our log would run through the tables, which say the same
    logging.getLogger("kafka_sr_retry").setLevel(logging.CRITICAL)
    if cluster:
        if (rows, bootstrap_servers, registry_url) != (None, None, None):
            raise typer.BadParameter("--cluster goes with --seconds alone: it brings its own nodes, and no rows")
        from . import election

        raise typer.Exit(election.run(seconds))
    if seconds is not None:
        raise typer.BadParameter("--seconds goes with --cluster")
    if (bootstrap_servers is None) != (registry_url is None):
        raise typer.BadParameter("--bootstrap-servers and --registry-url come together: give both, or neither")
    from .run import run

    raise typer.Exit(run(rows, bootstrap_servers, registry_url))
