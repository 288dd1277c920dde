"""TLS contexts, built from the files as these are now."""

from __future__ import annotations

import logging
import os
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from kafka_sr_retry.config import Pem, Tls
from kafka_sr_retry.errors import ConfigurationError

_log = logging.getLogger("kafka_sr_retry")


def stamp(tls: Tls) -> tuple[Any, ...]:
    """Differs once one of the files, or what a link to it names, has been replaced or written to."""
    system = ssl.get_default_verify_paths().cafile if tls.trusts_system else None
    given = (tls.ca, system, tls.certificate, tls.private_key)
    paths = [path for path in given if isinstance(path, str)]
    if isinstance(tls.ca, str) and os.path.isdir(tls.ca):
        with suppress(OSError):
            paths += (os.path.join(tls.ca, name) for name in sorted(os.listdir(tls.ca)))
    return tuple(map(_stamp, paths))


def contexts_of(tls: Tls) -> Contexts:
    """New ones.

    Raises:
        ConfigurationError: a file that cannot be read as what it should be, or a wrong password.
    """
    before = stamp(tls)
    home = context_of(tls)
    return Contexts(before, home, context_of(tls, client_certificate=False) if tls.certificate else home)


def context_of(tls: Tls, client_certificate: bool = True) -> ssl.SSLContext:
    """A new context from the files as they are now; raises like ``contexts_of``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # an intermediate or a server's own certificate is trusted where it is given, as by Python 3.13's own default
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if isinstance(tls.ca, str | Pem):
        _trust(tls, context, tls.ca)
    if tls.trusts_system:
        _trust_system(context)
    if client_certificate and tls.certificate:
        try:
            with _as_file(tls.certificate) as certificate, _as_file(tls.private_key) as key:
                # without a password OpenSSL would ask for one on the terminal
                context.load_cert_chain(str(certificate), key, lambda: tls.password or "")
        except OSError as error:
            raise ConfigurationError(
                f"{tls.prefix}certificate.location {tls.certificate!r} and {tls.prefix}key.location "
                f"{tls.private_key!r} cannot be loaded (a wrong {tls.prefix}key.password, or a key of another "
                f"certificate): {error}",
                f"{tls.prefix}certificate.location",
            ) from None
    return context


def _trust(tls: Tls, context: ssl.SSLContext, ca: str | Pem) -> None:
    key = f"{tls.prefix}ca.{'pem' if isinstance(ca, Pem) else 'location'}"
    try:
        if isinstance(ca, Pem):
            context.load_verify_locations(cadata=ca.text)
        elif os.path.isdir(ca):
            if not _holds_certificates(ca):
                raise OSError("a folder's files must be named by their hashes, see openssl rehash")
            context.load_verify_locations(capath=ca)
        else:
            context.load_verify_locations(ca)
    except (OSError, TypeError) as error:
        raise ConfigurationError(f"{key} {ca!r} holds no CA certificates (PEM): {error}", key) from None


def _trust_system(context: ssl.SSLContext) -> None:
    """Whom the machine trusts; on one without CA certificates, such as a slim image, those that come with requests."""
    context.load_default_certs()
    folder = ssl.get_default_verify_paths().capath
    folders = [folder] if folder else os.environ.get("SSL_CERT_DIR", "").split(os.pathsep)
    if not context.cert_store_stats()["x509"] and not any(map(_holds_certificates, folders)):
        import certifi

        context.load_verify_locations(certifi.where())


def _holds_certificates(folder: str) -> bool:
    """Whether a folder holds certificates as OpenSSL looks for them."""
    try:
        return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", name) for name in os.listdir(folder or os.devnull))
    except OSError:
        return False


@contextmanager
def _as_file(part: str | Pem | None) -> Iterator[str | None]:
    """The path of a file with it; one of a text is gone afterwards."""
    if not isinstance(part, Pem):
        yield part
        return
    with TemporaryDirectory() as folder:  # for nobody else
        path = os.path.join(folder, "pem")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(part.text)
        yield path


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

    def __init__(self, tls: Tls, contexts: Contexts | None = None) -> None:
        self._tls = tls
        self._contexts = contexts or contexts_of(tls)
        self._seen = self._contexts.stamp
        self._lock = threading.Lock()

    @property
    def verify(self) -> bool:
        return self._tls.verify

    def current(self) -> Contexts:
        """The same object as long as the files are the same."""
        with self._lock:
            stamp_now = stamp(self._tls)
            if stamp_now != self._seen:
                self._seen = stamp_now
                try:
                    self._contexts = contexts_of(self._tls)
                except ConfigurationError as error:
                    _log.warning("TLS files have changed and cannot be used; what was read before serves on: %s", error)
            return self._contexts
