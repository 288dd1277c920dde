"""TLS settings, as values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a key as a text, in place of a file."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom the client trusts, and as whom it shows itself.

    Attributes:
        ca: file, folder or text of CA certificates; ``False`` trusts anyone; ``None`` or ``True`` the system.
        certificate, private_key, password: for mutual TLS.
        system_too: whether the system is trusted beside ``ca``.
        prefix: how the keys begin that set it, for errors.
    """

    ca: str | Pem | bool | None = None
    certificate: str | Pem | None = None
    private_key: str | Pem | None = None
    password: str | None = field(default=None, repr=False)
    system_too: bool = False
    prefix: str = "ssl."

    @property
    def verify(self) -> bool:
        return self.ca is not False

    @property
    def trusts_system(self) -> bool:
        return self.verify and (self.system_too or not isinstance(self.ca, str | Pem))
