"""TLS settings and the contexts built from them."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field

from .errors import ConfigurationError


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

    def context(self, client_certificate: bool = True) -> ssl.SSLContext:
        """A new context from the files as they are now.

        Raises:
            ConfigurationError: a file that cannot be read as what it should be, or a wrong password.
        """
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
