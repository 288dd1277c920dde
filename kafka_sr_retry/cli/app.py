"""The commands, one module each; what a command needs beyond typer and rich is imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from kafka_sr_retry.version import __version__

from .check import check
from .config import config
from .demo import demo
from .produce import produce
from .register import register
from .serve import serve
from .source import source

app = typer.Typer(
    name="kafka-sr-retry",
    help="Avro for Kafka producers, with Schema Registry retries that carry the whole request.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kafka-sr-retry {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(demo)
app.command()(config)
app.command()(check)
app.command()(register)
app.command()(source)
app.command()(produce)
app.command()(serve)
