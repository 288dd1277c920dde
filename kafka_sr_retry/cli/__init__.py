"""The command line: ``kafka-sr-retry demo | config | check | register | source | produce | serve``."""

from __future__ import annotations

import sys

_EXTRAS = {"rich": "cli", "typer": "cli", "avro": "demo", "vega_datasets": "demo"}


def main() -> None:
    """Entry point of ``kafka-sr-retry``."""
    try:
        from .app import app

        app()
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        hint = " (or 'kafka-sr-retry[demo]', for the demo too)" if _EXTRAS[package] == "cli" else ""
        sys.stderr.write(f"kafka-sr-retry: needs {package}: pip install 'kafka-sr-retry[{_EXTRAS[package]}]'{hint}\n")
        sys.exit(2)
