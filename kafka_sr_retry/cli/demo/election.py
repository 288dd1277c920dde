"""The leader of a registry is killed: what each client gets from its two nodes, side by side."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Thread
from typing import Any

from confluent_kafka import __version__
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer
from kafka_sr_retry.testing import SchemaRegistryCluster, SchemaRegistryServer

from .readings import SCHEMA
from .screen import Outcome, Score, Screen
from .servers import reach_loopback

PRODUCERS = 5

_TICK = 0.05


@dataclass(frozen=True)
class Client:
    """A kind of client, and the serializer of each of its producers; ``name`` stands before their topics."""

    name: str
    title: str
    serializers: Sequence[Callable[[Any, SerializationContext], bytes | None]]

    def send(self, number: int, topic: str, killed: float = 0.0) -> Outcome:
        """What a producer makes of a message; ``killed``: when the leader was."""
        reading = {"time": "2010/01/01 00:00", "fahrenheit": 39.4}
        began = time.monotonic()
        try:
            message = self.serializers[number](reading, SerializationContext(topic, MessageField.VALUE)) or b""
        except Exception as error:  # noqa: BLE001 what comes out of a client is what is shown
            schema_id, told = None, f"{type(error).__name__}: {error}"
        else:
            schema_id, told = int.from_bytes(message[1:5], "big"), ""
        ended = time.monotonic()
        return Outcome(self.name, topic, ended - killed, ended - began, schema_id, told)


def run(seconds: float | None) -> int:
    """Show everything; the exit code. ``seconds``: how long there is no leader, by default as long as was seen."""
    screen = Screen()
    reach_loopback()
    nodes = SchemaRegistryCluster() if seconds is None else SchemaRegistryCluster(after_kill=seconds)
    with nodes as cluster, ExitStack() as stack:
        first, second = map(_address, cluster.nodes)
        screen.say(
            f"Two registry nodes in this process, {first} and {second}, behave as two of Confluent's version 7.9.9 on "
            "Kafka 3.9.1 were seen to. Each client is given both URLs, and its defaults."
        )
        clients = [_ours(cluster.url, stack)]
        try:
            clients.append(_confluent(cluster.url, stack))
        except ImportError:
            screen.say("To see Confluent's: pip install 'confluent-kafka[avro,schemaregistry]'", "yellow")
        return _run(screen, cluster, clients)


def _ours(url: str, stack: ExitStack) -> Client:
    serializers = [stack.enter_context(AvroSerializer({"url": url}, SCHEMA)) for _ in range(PRODUCERS)]
    return Client("ours", "AvroSerializer", serializers)


def _confluent(url: str, stack: ExitStack) -> Client:
    from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
    from confluent_kafka.schema_registry.avro import AvroSerializer

    # its default strategy asks the registry for the subject's name
    conf = {"subject.name.strategy": topic_subject_name_strategy}
    clients = [stack.enter_context(SchemaRegistryClient({"url": url})) for _ in range(PRODUCERS)]
    serializers = [AvroSerializer(client, SCHEMA, conf=conf) for client in clients]
    return Client("confluent", f"Confluent's, {__version__}", serializers)


def _run(screen: Screen, cluster: SchemaRegistryCluster, clients: Sequence[Client]) -> int:
    for client in clients:
        for number in range(PRODUCERS):
            client.send(number, "known")
    leader, follower = cluster.nodes
    for node in cluster.nodes:
        node.clear_requests()

    screen.title(f"The leader is killed, and {PRODUCERS} producers of each client have a new topic")
    cluster.kill_leader()
    killed = time.monotonic()
    screen.outcomes()
    screen.happened(0.0, f"{_address(leader)} leads, and is killed (SIGKILL)")
    outcomes = []
    elected = False
    for outcome in _outcomes(clients, killed):
        if cluster.took_over and not elected:
            elected = True
            screen.happened(cluster.took_over - killed, f"{_address(follower)} leads")
        if outcome:
            outcomes.append(outcome)
            screen.outcome(outcome)

    screen.title("Result")
    requests = [request.path for node in cluster.nodes for request in node.requests]
    ours, *others = [_score(client, outcomes, requests) for client in clients]
    screen.scores([ours, *others])
    wrong = {o.topic for o in outcomes if o.schema_id not in (None, follower.register(f"{o.topic}-value", SCHEMA))}
    if ours.lost or wrong:
        screen.fail(
            f"AvroSerializer lost {ours.lost} of {ours.messages} messages; wrong ids: {sorted(wrong) or 'none'}."
        )
        return 1
    screen.say(f"AvroSerializer lost none of {ours.messages} messages.", "bold")
    return 0


def _outcomes(clients: Sequence[Client], killed: float) -> Iterator[Outcome | None]:
    """What becomes of each message, as it ends, and ``None`` while nothing does."""
    ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def produce(client: Client, number: int) -> None:
        ended.put(client.send(number, f"{client.name}-{number + 1}", killed))

    producers = [(client, number) for number in range(PRODUCERS) for client in clients]
    for producer in producers:
        Thread(target=produce, args=producer, daemon=True).start()
    missing = len(producers)
    while missing:
        try:
            yield ended.get(timeout=_TICK)
            missing -= 1
        except queue.Empty:
            yield None


def _score(client: Client, outcomes: Sequence[Outcome], requests: Sequence[str]) -> Score:
    mine = [outcome for outcome in outcomes if outcome.client == client.name]
    return Score(
        client.title,
        messages=len(mine),
        lost=sum(outcome.schema_id is None for outcome in mine),
        slowest=max(outcome.seconds for outcome in mine),
        requests=sum(path.startswith(f"/subjects/{client.name}-") for path in requests),
    )


def _address(node: SchemaRegistryServer) -> str:
    return node.url.partition("://")[2]
