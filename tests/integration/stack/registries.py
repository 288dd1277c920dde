"""Registries beside the stack's own. Each runs for its tests alone, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from . import HOME, READY_SECONDS, _locked, own_folder, process, services
from .install import install_apicurio

APICURIO = ("2.6.13.Final", "3.0.9")
"""The newest of their lines that Java 17 runs."""


@contextmanager
def apicurio(version: str) -> Iterator[str]:
    """An Apicurio Registry for the time of the `with` block; yields its URL."""
    libs = HOME / f"apicurio-{version}"
    with own_folder() as own:
        with _locked(HOME / "lock"):
            install_apicurio(libs, version)
        folder = own / "registry"
        (port,) = services.free_ports(1)
        url = services.start_registry(folder, libs, port)
        process.await_ready(folder, partial(services.registry_is_ready, url), READY_SECONDS)
        yield url
