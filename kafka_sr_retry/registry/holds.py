"""Which endpoints hold what is written.

While its leader hangs, a follower of Confluent's holds each registration that it is sent, and takes over only once
nobody has written to it for 12.9 s (7.9.9). So nothing is written for a while to an endpoint where a registration hung,
and others that wait there are ended. Readers are answered meanwhile: they tell nothing, and are not concerned.
"""

from __future__ import annotations

from dataclasses import dataclass

HANGS_AFTER = 3.0
"""Seconds after which a registration is taken to hang where another has."""

QUIET = 13.5
"""Seconds for which nothing is written to an endpoint, at most."""


@dataclass(slots=True)
class _Endpoint:
    """What registrations have found there.

    Attributes:
        silent: whether the last attempt of any kind had no answer in time.
        quiet: until when nothing is written there.
        for_all: whether that holds for questions too that never failed there.
        answered: when the last one was answered.
    """

    silent: bool = False
    quiet: float = 0.0
    for_all: bool = False
    answered: float = 0.0


class Holds:
    """Of the endpoints of one cluster.

    Attributes:
        hanging: where registrations under way should end that have waited so many seconds. Who ends them empties it.
    """

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._endpoints = {url: _Endpoint() for url in urls}
        self.hanging: dict[str, float] = {}

    def heard(self, url: str, now: float, *, silent: bool) -> bool:
        """After each attempt; whether somebody may wait for less now."""
        self._endpoints[url].silent = silent
        return not silent and any(each.quiet > now for each in self._endpoints.values())

    def answered(self, url: str, now: float) -> None:
        """A registration was, and well."""
        endpoint = self._endpoints[url]
        endpoint.quiet, endpoint.answered = 0.0, now

    def failed(self, url: str, now: float, began: float, *, hung: bool, is_open: bool, own: bool) -> bool:
        """A registration that ``began`` then has failed; whether others should end.

        Args:
            hung: whether it waited long enough, and in vain.
            is_open: whether the endpoint's outage is known to last.
            own: whether others were well there, so that it tells of its question alone.
        """
        endpoint = self._endpoints[url]
        endpoint.for_all = is_open
        if not hung or len(self._endpoints) == 1:
            endpoint.quiet = endpoint.quiet if endpoint.silent else 0.0
            return False
        endpoint.quiet = max(endpoint.quiet, now + min(now - began, QUIET))
        if own or endpoint.answered >= began:
            return False
        self.hanging[url] = 0.0 if is_open else HANGS_AFTER
        return True

    def until(self, url: str, *, failed: bool) -> float:
        """When it may be written to; ``failed``: by a question that has failed there."""
        endpoint = self._endpoints[url]
        return endpoint.quiet if failed or endpoint.for_all else 0.0

    def is_silent(self, url: str) -> bool:
        return self._endpoints[url].silent
