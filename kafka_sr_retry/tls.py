"""TLS settings, and the contexts built from their files as these are now."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .errors import ConfigurationError

_log = logging.getLogger("kafka_sr_retry")


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom the client trusts, and as whom it shows itself.

    Attributes:
        ca: file or folder of CA certificates, then the only ones trusted; ``False`` trusts anyone; ``None`` or ``True``
            the system.
        certificate, private_key, password: for mutual TLS.
    """

    ca: str | bool | None = None
    certificate: str | None = None
    private_key: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def verify(self) -> bool:
        return self.ca is not False

    def stamp(self) -> tuple[Any, ...]:
        """Differs once one of the files, or what a link to it names, has been replaced or written to."""
        ca = self.ca if isinstance(self.ca, str) else ssl.get_default_verify_paths().cafile if self.verify else None
        paths = [path for path in (ca, self.certificate, self.private_key) if path]
        if ca and os.path.isdir(ca):
            with suppress(OSError):
                paths += (os.path.join(ca, name) for name in sorted(os.listdir(ca)))
        return tuple(map(_stamp, paths))

    def contexts(self) -> Contexts:
        """New ones.

        Raises:
            ConfigurationError: a file that cannot be read as what it should be, or a wrong password.
        """
        stamp = self.stamp()
        home = self.context()
        return Contexts(stamp, home, self.context(client_certificate=False) if self.certificate else home)

    def context(self, client_certificate: bool = True) -> ssl.SSLContext:
        """A new context from the files as they are now; raises like ``contexts``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif isinstance(self.ca, str):
            try:
                folder = os.path.isdir(self.ca)
                context.load_verify_locations(None if folder else self.ca, self.ca if folder else None)
            except OSError as error:
                raise ConfigurationError(
                    f"ssl.ca.location {self.ca!r} holds no CA certificates (PEM): {error}", "ssl.ca.location"
                ) from None
        else:
            context.load_default_certs()
            paths = ssl.get_default_verify_paths()
            if not context.cert_store_stats()["x509_ca"] and not (paths.cafile or paths.capath):
                import certifi  # comes with requests; for containers that ship no CA certificates

                context.load_verify_locations(certifi.where())
        if client_certificate and self.certificate:
            try:
                # without a password OpenSSL would ask for one on the terminal
                context.load_cert_chain(self.certificate, self.private_key, lambda: self.password or "")
            except OSError as error:
                raise ConfigurationError(
                    f"ssl.certificate.location {self.certificate!r} and ssl.key.location {self.private_key!r} "
                    f"cannot be loaded (a wrong ssl.key.password, or a key of another certificate): {error}",
                    "ssl.certificate.location",
                ) from None
        return context


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@dataclass(frozen=True, eq=False, slots=True)
class Contexts:
    """What connections are made with.

    Attributes:
        stamp: of the files they were built from.
        home: shows the client's certificate.
        away: trusts the same, and shows no certificate: for proxies, and other origins after a redirect.
    """

    stamp: tuple[Any, ...]
    home: ssl.SSLContext
    away: ssl.SSLContext


class RotatingTls:
    """The contexts of the files as they are now, so that rotated ones need no restart.

    While new files cannot be used, because they are half written or wrong, the contexts before them serve on.
    """

    def __init__(self, tls: Tls, contexts: Contexts) -> None:
        self._tls = tls
        self._contexts = contexts
        self._seen = contexts.stamp
        self._lock = threading.Lock()

    def current(self) -> Contexts:
        """The same object as long as the files are the same."""
        with self._lock:
            stamp = self._tls.stamp()
            if stamp != self._seen:
                self._seen = stamp
                try:
                    self._contexts = self._tls.contexts()
                except ConfigurationError as error:
                    _log.warning("TLS files have changed and cannot be used; what was read before serves on: %s", error)
            return self._contexts
