"""As whom the client shows itself to the registry."""

from __future__ import annotations

import base64
from collections.abc import Mapping


class CredentialsError(Exception):
    """No credentials could be had."""


class Credentials:
    """Headers that name the caller: HTTP basic (RFC 7617), or none."""

    def __init__(self, basic: tuple[str, str] | None) -> None:
        self._headers: dict[str, str] = {}
        if basic is not None:
            token = base64.b64encode(":".join(basic).encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"

    def headers(self) -> Mapping[str, str]:
        """For one request."""
        return self._headers
