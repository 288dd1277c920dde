"""``kafka-sr-retry source``: the function that writes a schema's records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kafka_sr_retry.avro.encoder import AvroSchema
from kafka_sr_retry.avro.types import Unsuitable
from kafka_sr_retry.errors import ConfigurationError

_File = Annotated[Path, typer.Argument(help="The schema's file (.avsc).", exists=True, dir_okay=False)]
_References = Annotated[
    list[Path] | None,
    typer.Option("--reference", help="A schema that it uses; each after those that it uses itself.", exists=True),
]


def source(schema: _File, reference: _References = None) -> None:
    """Print the Python function that writes a schema's records; exit with 1 where there is none."""
    try:
        texts = [path.read_text(encoding="utf-8") for path in (*(reference or ()), schema)]
        parsed = AvroSchema(texts[-1], texts[:-1])
        is_native = parsed.encoder().kind == "native"
        typer.echo(parsed.source(), nl=False)
    except (ConfigurationError, OSError, UnicodeDecodeError) as error:
        typer.echo(f"{schema}: {error}", err=True)
        raise typer.Exit(2) from None
    except Unsuitable as error:
        typer.echo(f"{schema}: {'native code' if is_native else 'fastavro'} writes these records: {error}", err=True)
        raise typer.Exit(1) from None
    if is_native:
        typer.echo(f"{schema}: native code writes these records here, not this function", err=True)
