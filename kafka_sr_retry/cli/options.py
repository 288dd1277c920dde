"""Options that commands share: the same name and meaning in each."""

from __future__ import annotations

from typing import Annotated

import typer

ConfigFile = Annotated[
    typer.FileText | None,
    typer.Option(
        metavar="FILE",
        encoding="utf-8",
        help="The client's keys, or a whole producer's configuration: lines of key=value, or JSON. - is the "
        "standard input.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("-X", metavar="KEY=VALUE", help="One of the client's keys (kafka-sr-retry config lists them)."),
]
AsDocument = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
