"""The commands, one module each; what a command needs beyond typer and rich is imported when it runs."""

from __future__ import annotations

import typer

from .check import check
from .config import config
from .demo import demo
from .source import source

app = typer.Typer(
    name="kafka-sr-retry",
    help="Avro for Kafka producers, with Schema Registry retries that carry the whole request.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(config)
app.command()(check)
app.command()(source)
