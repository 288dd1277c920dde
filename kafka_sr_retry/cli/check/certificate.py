"""What a TLS handshake shows, noted on the connections that the transport makes: through the same proxy, with the same
trust and the same certificate as a producer's."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime, timezone

_UTC_TIME, _VERSION = 0x17, 0xA0


@dataclass(frozen=True, slots=True)
class Handshake:
    """One of them.

    Attributes:
        host: whom the connection was for.
        version: of TLS, empty where the certificate was not trusted.
        ends: when the server's certificate does, ``None`` where it was not seen.
        why: the certificate is not trusted, in OpenSSL's words; empty where it is.
    """

    host: str
    version: str = ""
    ends: datetime | None = None
    why: str = ""


def note(context: ssl.SSLContext, seen: list[Handshake], *, hang_up: bool = False) -> ssl.SSLContext:
    """Lets the context's connections note their handshakes; ``hang_up``: before anything is sent."""

    class Noting(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            host = (self.server_hostname or "").strip("[]").lower()
            try:
                super().do_handshake(block)
            except ssl.SSLCertVerificationError as error:
                seen.append(Handshake(host, why=error.verify_message))
                raise
            seen.append(Handshake(host, self.version() or "", _ends(self.getpeercert(binary_form=True))))
            if hang_up:
                raise ssl.SSLError("only looked at")

    context.sslsocket_class = Noting
    return context


def _ends(der: bytes | None) -> datetime | None:
    try:
        return not_after(der) if der else None
    except (ValueError, IndexError):
        return None


def not_after(der: bytes) -> datetime:
    """When an X.509 certificate ends (RFC 5280, section 4.1). The ssl module tells it of verified ones only."""
    _, at, _ = _element(der, 0)  # Certificate
    _, at, _ = _element(der, at)  # TBSCertificate
    if der[at] == _VERSION:
        at = _element(der, at)[2]
    for _ in ("serialNumber", "signature", "issuer"):
        at = _element(der, at)[2]
    _, at, _ = _element(der, at)  # Validity
    tag, start, end = _element(der, _element(der, at)[2])
    text = der[start:end].decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, and where the content begins and ends."""
    size = der[at + 1]
    start = at + 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[at + 2 : start], "big")
    return der[at], start, start + size
