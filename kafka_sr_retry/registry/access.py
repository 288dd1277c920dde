"""As whom a request shows the client."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from .masking import of_pair

_FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """What shows a caller to a server.

    Attributes:
        headers: for one request.
        secrets: what of them must not be told.
        renew_at, expires_at: in the clock's seconds.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    renew_at: float = _FOR_EVER
    expires_at: float = _FOR_EVER


class Fixed:
    """The same for each request: HTTP basic (RFC 7617), a static bearer token (RFC 6750), or nothing."""

    renewable = False

    def __init__(self, access: Access) -> None:
        self._access = access

    def at_hand(self, now: float, denied: Access | None) -> Access:
        return self._access

    def renews(self, now: float) -> bool:
        return False


def basic(user: str, password: str) -> Access:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Access({"Authorization": f"Basic {token}"}, (token, *filter(None, [of_pair(user, password)])))


def bearer(token: str, headers: Mapping[str, str]) -> Access:
    return Access({"Authorization": f"Bearer {token}", **headers}, (token,))
