"""Two nodes of one embedded Schema Registry: a leader, and a follower that forwards to it what it may not write."""

from __future__ import annotations

import threading
import time

from .faults import Exchange, Fault
from .registry import SchemaRegistryServer

_LOOK = 0.01
"""Seconds between looks at whether a held write has ended."""


class SchemaRegistryCluster:
    """Two nodes with the same schemas, whose leader can be paused.

    As two nodes of Confluent's version 7.9.9 on Kafka 3.9.1 were seen to behave:

    * a paused leader takes connections and answers nothing until it resumes;
    * the follower holds what has to be written, until the leader resumes or the client leaves; it answers all else;
    * it takes over once nothing has been written there for ``takes_over_after`` seconds since the pause.

    ::

        with SchemaRegistryCluster() as cluster:
            client = SchemaRegistryClient({"url": cluster.url})
            cluster.pause_leader()

    :param takes_over_after: seconds.
    """

    def __init__(self, *, takes_over_after: float = 12.9) -> None:
        self.leader = SchemaRegistryServer()
        self.follower = SchemaRegistryServer()
        self.follower._share(self.leader)
        self.took_over: float | None = None
        """When the follower took over, by ``time.monotonic()``."""
        self._takes_over_after = takes_over_after
        self._lock = threading.Lock()
        self._paused = False
        self._held = 0
        self._quiet_since = 0.0

    def __enter__(self) -> SchemaRegistryCluster:
        self.leader.start()
        self.follower.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.follower.close()
        self.leader.close()

    @property
    def url(self) -> str:
        """Of both nodes, the leader's first."""
        return f"{self.leader.url},{self.follower.url}"

    def pause_leader(self) -> None:
        """As SIGSTOP does."""
        self.leader.lose_leader()
        self._paused, self._quiet_since, self.took_over = True, time.monotonic(), None
        self.leader.fail_always(Fault("paused", self._wait))
        self.follower.fail_always(Fault("without its leader", self._hold))

    def resume_leader(self) -> None:
        """As SIGCONT does: what waits is answered."""
        self.leader.elect_leader()
        self._paused = False
        self.leader.recover()
        self.follower.recover()

    def _wait(self, exchange: Exchange) -> None:
        while self._paused and not exchange.left() and not exchange.wait(_LOOK):
            pass
        if exchange.left():
            exchange.connection.end()
        else:
            exchange.send(exchange.real_answer())

    def _hold(self, exchange: Exchange) -> None:
        with self._lock:
            self._take_over_in_time()
            answer = exchange.real_answer()
            holds = answer.status == 500
            self._held += holds
        if not holds:
            exchange.send(answer)
            return
        self._wait(exchange)
        with self._lock:
            self._held -= 1
            self._quiet_since = time.monotonic()

    def _take_over_in_time(self) -> None:
        at = self._quiet_since + self._takes_over_after
        if self._paused and not self._held and self.took_over is None and time.monotonic() >= at:
            self.took_over = at
            self.follower.elect_leader()
