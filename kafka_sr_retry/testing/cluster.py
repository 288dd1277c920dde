"""Two nodes of one embedded Schema Registry: a leader, a follower that forwards to it, and the leader's death."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from . import _api
from ._messages import Answer, RecordedRequest, compact
from ._store import NO_LEADER, SchemaStore, WriteFailure
from .faults import Exchange
from .registry import SchemaRegistryServer

_LEADER_UNKNOWN = WriteFailure(50004, "Leader not known.")
_KAFKA_DEAD = WriteFailure(50001, "Register schema operation failed while writing to the Kafka store", of_known=True)
_KAFKA_SLOW = WriteFailure(50002, "Register operation timed out")

_FAILED_FORWARD = 0.02
"""Seconds that a 50003 or 50004 takes: 8 to 33 ms, as seen on version 7.9.9."""

_LOOK = 0.01
"""Seconds between looks at whether what is held may go on."""


class SchemaRegistryCluster:
    """Two nodes with the same schemas, one of which leads; it can be killed, ended, paused and brought back.

    ::

        with SchemaRegistryCluster() as cluster:
            client = SchemaRegistryClient({"url": cluster.url})
            dead = cluster.kill_leader()  # new schemas are answered 50003, for 10.25 seconds
            cluster.restart(dead)

    The nodes behave, and the defaults are, as seen on two nodes of Confluent's version 7.9.9 on Kafka 3.9.1:

    * A follower answers what it knows, and forwards what has to be written. The message of an error that was forwarded
      ends in ``; error code: N``; a forwarded 422 has it as its reason phrase too.
    * Without a leader a schema that its subject has already is still answered 200, and so is all that is read. A new
      schema, or a known one under a new subject, is not.
    * A node that lost its leader answers 50003, for as long as ``after_kill`` and its neighbours say. While none is
      elected, or none may be, it answers 50004.
    * A paused leader takes connections and answers nothing; its follower holds what has to be written.

    The leader does not count what is forwarded to it among its ``requests``. Faults of a node's own (`fail_next`) come
    before all this.

    :param after_kill: seconds of 50003 after the leader was killed: the session of Kafka's group has to end.
    :param after_terminate: seconds of 50003 after the leader was ended by SIGTERM.
    :param after_return: seconds of 50003 at the node that led meanwhile, when the old leader is back.
    :param election: seconds of 50004 after that, before another leads. They were seen; how long was not recorded.
    :param takes_over_after: seconds in which nothing is written at the follower of a paused leader before it leads.
    :param kafka_timeout: seconds that a 50002 takes, while Kafka is paused.
    :param follower_eligible: whether the second node may lead (``leader.eligibility``). If not, it answers 50004 while
        the first is away.
    :param ports: of the two nodes; 0 takes a free one.
    :param clock: what all these seconds are counted by, save that of ``kafka_timeout``.
    """

    def __init__(
        self,
        *,
        after_kill: float = 10.25,
        after_terminate: float = 2.6,
        after_return: float = 1.75,
        election: float = 0.0,
        takes_over_after: float = 12.9,
        kafka_timeout: float = 0.5,
        follower_eligible: bool = True,
        ports: tuple[int, int] = (0, 0),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._after_kill = after_kill
        self._after_terminate = after_terminate
        self._after_return = after_return
        self._election = election
        self._takes_over_after = takes_over_after
        self._kafka_timeout = kafka_timeout
        self._clock = clock
        self._lock = threading.RLock()
        self._store = SchemaStore()
        self._nodes = _Node(self, True, ports[0]), _Node(self, follower_eligible, ports[1])
        self._leader: _Node | None = self._nodes[0]
        self._last_leader = self._nodes[0]
        self._elections: list[_Election] = []
        self._took_over: float | None = None
        self._paused: _Node | None = None
        self._held = 0
        self._quiet_since = 0.0
        self._kafka: WriteFailure | None = None
        self._late: list[RecordedRequest] = []

    def __enter__(self) -> SchemaRegistryCluster:
        try:
            for node in self._nodes:
                node.start()
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in reversed(self._nodes):
            node.close()

    # -- who is there -----------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[SchemaRegistryServer, SchemaRegistryServer]:
        """Both, always in the same order; the first leads at first."""
        return self._nodes

    @property
    def url(self) -> str:
        """Of both nodes, in their order."""
        return ",".join(node.url for node in self._nodes)

    @property
    def has_leader(self) -> bool:
        """Whether one leads now; a paused one does until another has taken over."""
        with self._lock:
            self._elect()
            return self._leader is not None

    @property
    def leader(self) -> SchemaRegistryServer:
        """The node that leads, or that led last."""
        with self._lock:
            self._elect()
            return self._last_leader

    @property
    def follower(self) -> SchemaRegistryServer:
        """The node that is not the `leader`."""
        return self._other(self.leader)

    @property
    def took_over(self) -> float | None:
        """When the node that leads took over from the other, by the clock; ``None`` if it has led all along, or none
        leads."""
        with self._lock:
            self._elect()
            return self._took_over

    # -- what happens to them ---------------------------------------------------------------------

    def kill_leader(self) -> SchemaRegistryServer:
        """As SIGKILL does; returns the node, for `restart`."""
        return self.kill(self.leader)

    def terminate_leader(self) -> SchemaRegistryServer:
        """As SIGTERM does; returns the node, for `restart`."""
        return self.terminate(self.leader)

    def kill(self, node: SchemaRegistryServer) -> SchemaRegistryServer:
        """As SIGKILL does: its connections are reset, and its port refuses from now on."""
        node.kill()
        self._lose(self._own(node), self._after_kill)
        return node

    def terminate(self, node: SchemaRegistryServer) -> SchemaRegistryServer:
        """As SIGTERM does: its connections are closed, and the group of the nodes knows at once that it left."""
        node.close()
        self._lose(self._own(node), self._after_terminate)
        return node

    def restart(self, node: SchemaRegistryServer, *, lag: float = 0.0) -> None:
        """Bring back a node that was killed or ended, on the same port, and let it lead again if it may.

        That the old leader leads again was seen on 7.9.9; a real cluster may elect the other.

        :param lag: seconds that it takes to catch up. Until then it knows what it knew when it ended, answers 404 with
            40401 or 40403 to what is newer, and follows. Real nodes do that for a while after their start.
        """
        with self._lock:
            self._elect()
            own = self._own(node)
            if not own.up:
                own.up = True
                own.caught_up = self._clock() + lag
                own.cut_off_until = 0.0
                if own.eligible:
                    self._elections.append(_Election(own.caught_up, own, deposes=True))
        node.start()

    def pause_leader(self) -> SchemaRegistryServer:
        """As SIGSTOP does; returns the node."""
        with self._lock:
            self._elect()
            if self._leader is None:
                raise RuntimeError("there is no leader to pause")
            self._paused, self._quiet_since, self._took_over = self._leader, self._clock(), None
            return self._leader

    def resume_leader(self) -> None:
        """As SIGCONT does, to the node that was paused: what waits is answered, and it leads, again if need be."""
        with self._lock:
            self._elect()
            if self._paused and self._paused is not self._leader:
                self._elections.append(_Election(self._clock(), self._paused, deposes=True))
            self._paused = None

    def stop_kafka(self) -> None:
        """Every registration is answered 50001, and all is read well."""
        with self._lock:
            self._kafka = _KAFKA_DEAD

    def pause_kafka(self) -> None:
        """What has to be written is answered 50002, and takes effect when Kafka answers again."""
        with self._lock:
            self._kafka = _KAFKA_SLOW

    def start_kafka(self) -> None:
        """End what `stop_kafka` or `pause_kafka` began."""
        with self._lock:
            self._kafka, late, self._late = None, self._late, []
            for request in late:
                _api.answer(self._store, request)

    # -- elections --------------------------------------------------------------------------------

    def _own(self, node: SchemaRegistryServer) -> _Node:
        return next(own for own in self._nodes if own is node)

    def _other(self, node: SchemaRegistryServer) -> _Node:
        return next(own for own in self._nodes if own is not node)

    def _lose(self, node: _Node, seconds: float) -> None:
        """``node`` has just ended; its group learns that after ``seconds``."""
        with self._lock:
            self._elect()
            if not node.up:
                return
            node.up, node.known = False, self._store.snapshot()
            self._elections = [election for election in self._elections if election.node is not node]
            if self._paused is node:
                self._paused = None
            if self._leader is node:
                self._leader = self._took_over = None
                other, gone = self._other(node), self._clock() + seconds
                other.cut_off_until = gone
                if other.up and other.eligible:
                    at = max(gone + self._election, other.caught_up)
                    self._elections.append(_Election(at, other, deposes=False))

    def _elect(self) -> None:
        """Let happen what was due until now."""
        now = self._clock()
        if self._paused and self._paused is self._leader and not self._held:
            other, at = self._other(self._paused), self._quiet_since + self._takes_over_after
            if other.up and other.eligible and now >= at:
                self._lead(other, at)
        for election in sorted(self._elections, key=lambda election: election.at):
            if now >= election.at:
                self._elections.remove(election)
                if election.deposes or self._leader is None:
                    self._lead(election.node, election.at)

    def _lead(self, node: _Node, at: float) -> None:
        if self._leader is node:
            return
        other = self._other(node)
        node.cut_off_until = 0.0
        other.cut_off_until = at + self._after_return if self._leader else 0.0
        self._took_over = None if self._last_leader is node else at
        self._leader = self._last_leader = node

    # -- answers ----------------------------------------------------------------------------------

    def _play(self, node: _Node, exchange: Exchange) -> None:
        if not self._outlasts_pause(node, exchange):
            exchange.connection.end()
            return
        answer = exchange.real_answer()
        if answer.status == 500:
            exchange.wait(self._kafka_timeout if self._kafka is _KAFKA_SLOW else _FAILED_FORWARD)
        exchange.send(answer)

    def _outlasts_pause(self, node: _Node, exchange: Exchange) -> bool:
        """Wait where a leader is paused that has to answer; whether the client did too."""
        with self._lock:
            self._elect()
            paused = self._paused
            held = paused is not None and paused is self._leader and self._local(node, exchange.request) is None
            if paused is None or not (held or node is paused):
                return True
            self._held += node is not paused
        while self._paused is paused and not exchange.left() and not exchange.wait(_LOOK):
            pass
        if node is not paused:
            with self._lock:
                self._held -= 1
                self._quiet_since = self._clock()
        return not exchange.left() and not exchange.closing.is_set()

    def _local(self, node: _Node, request: RecordedRequest) -> Answer | None:
        """What ``node`` answers by itself; ``None`` for what only a leader can."""
        dead = self._kafka if self._kafka is _KAFKA_DEAD else None
        answer = _api.answer(self._known(node).failing(dead or NO_LEADER), request)
        return answer if dead or answer.status != 500 else None

    def _answer(self, node: _Node, request: RecordedRequest) -> Answer:
        with self._lock:
            self._elect()
            if node is self._leader:
                return self._write(request)
            answer = self._local(node, request)
            if answer is not None:
                return answer
            if self._clock() < node.cut_off_until:
                return _api.answer(self._known(node).failing(NO_LEADER), request)
            if self._leader is None:
                return _api.answer(self._known(node).failing(_LEADER_UNKNOWN), request)
            return _forwarded(self._write(request))

    def _known(self, node: _Node) -> SchemaStore:
        return node.known if node.known and self._clock() < node.caught_up else self._store

    def _write(self, request: RecordedRequest) -> Answer:
        answer = _api.answer(self._store.failing(self._kafka), request)
        if self._kafka is _KAFKA_SLOW and answer.status == 500:
            self._late.append(request)
        return answer


class _Election(NamedTuple):
    """``deposes``: also one that leads by then."""

    at: float
    node: _Node
    deposes: bool


class _Node(SchemaRegistryServer):
    """One of the two, and how it stands in the cluster.

    ``known``: what it had when it ended, which it answers from until it has ``caught_up``. ``cut_off_until``: when it
    stops asking a leader that is none any more.
    """

    def __init__(self, cluster: SchemaRegistryCluster, eligible: bool, port: int) -> None:
        super().__init__(port=port)
        self._cluster = cluster
        self._store, self._lock = cluster._store, cluster._lock
        self.eligible = eligible
        self.up = True
        self.known: SchemaStore | None = None
        self.caught_up = 0.0
        self.cut_off_until = 0.0

    def _play(self, exchange: Exchange) -> None:
        self._cluster._play(self, exchange)

    def _answer(self, request: RecordedRequest) -> Answer:
        return self._cluster._answer(self, request)


def _forwarded(answer: Answer) -> Answer:
    """A leader's answer as its follower gives it."""
    if answer.status < 400:
        return answer
    error = json.loads(answer.body)
    told = f"{error['message']}; error code: {error['error_code']}"
    reason = " ".join(told.split()).encode("latin-1", "replace").decode("latin-1") if answer.status == 422 else None
    return replace(answer, body=compact({**error, "message": told}).encode(), reason=reason)
