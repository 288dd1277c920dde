"""Two nodes whose leader is paused: what the embedded cluster does, and that nothing is lost in it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection

import pytest

from kafka_sr_retry import RegistryUnavailableError, Schema, SchemaRegistryClient
from kafka_sr_retry.events import AttemptEvent, Event
from kafka_sr_retry.testing import SchemaRegistryCluster, SchemaRegistryServer, faults

SCHEMA = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'
ORDER = Schema(SCHEMA)


@pytest.fixture
def cluster() -> Iterator[SchemaRegistryCluster]:
    with SchemaRegistryCluster(takes_over_after=0.2) as cluster:
        yield cluster


def ask(node: SchemaRegistryServer, subject: str, *, until: float = 60.0) -> int | None:
    """The status of a registration, ``None`` where no answer came until then."""
    with closing(HTTPConnection("127.0.0.1", node.port, timeout=until)) as connection, suppress(TimeoutError):
        connection.request("POST", f"/subjects/{subject}/versions", json.dumps({"schema": SCHEMA}))
        return connection.getresponse().status
    return None


def wait_until(moment: float) -> None:
    while time.monotonic() < moment:
        time.sleep(0.01)


def waits_until_the_leader_resumes(cluster: SchemaRegistryCluster, node: SchemaRegistryServer) -> None:
    before = len(node.requests)
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(ask, node, "new")
        while len(node.requests) == before:
            time.sleep(0.01)
        assert not asked.done()
        cluster.resume_leader()
        assert asked.result(60) == 200


def test_both_nodes_have_the_same_schemas(cluster: SchemaRegistryCluster) -> None:
    assert [ask(cluster.leader, "one"), ask(cluster.follower, "two")] == [200, 200]
    assert cluster.leader.register("two", SCHEMA) == cluster.follower.register("one", SCHEMA) == 1


def test_a_paused_leader_takes_connections_and_answers_when_it_resumes(cluster: SchemaRegistryCluster) -> None:
    cluster.pause_leader()
    socket.create_connection(("127.0.0.1", cluster.leader.port)).close()
    assert ask(cluster.leader, "orders", until=0.1) is None
    waits_until_the_leader_resumes(cluster, cluster.leader)


def test_a_follower_answers_what_it_knows_and_holds_what_is_new(cluster: SchemaRegistryCluster) -> None:
    cluster.leader.register("known", SCHEMA)
    cluster.pause_leader()
    assert ask(cluster.follower, "known") == 200
    waits_until_the_leader_resumes(cluster, cluster.follower)
    assert cluster.took_over is None


def test_a_follower_takes_over_where_nobody_writes(cluster: SchemaRegistryCluster) -> None:
    cluster.pause_leader()
    wait_until(time.monotonic() + 0.2)
    assert ask(cluster.follower, "orders") == 200
    assert cluster.took_over is not None


def test_a_held_write_keeps_a_follower_from_taking_over(cluster: SchemaRegistryCluster) -> None:
    cluster.pause_leader()
    with ThreadPoolExecutor() as threads:
        held = threads.submit(ask, cluster.follower, "held", until=1.0)
        while not cluster.follower.requests:
            time.sleep(0.01)
        wait_until(time.monotonic() + 0.3)
        assert ask(cluster.follower, "other", until=0.1) is None
        assert cluster.took_over is None
        assert held.result(60) is None
    left = time.monotonic()
    while ask(cluster.follower, "orders", until=0.1) is None:
        wait_until(time.monotonic() + 0.3)
    assert cluster.took_over is not None
    assert cluster.took_over > left


@pytest.mark.parametrize("leader_first", [True, False])
@pytest.mark.parametrize("subjects", [1, 12])
def test_a_paused_leader_costs_no_message(leader_first: bool, subjects: int) -> None:
    events: list[Event] = []
    with SchemaRegistryCluster(takes_over_after=0.8) as cluster:
        nodes = (cluster.leader, cluster.follower) if leader_first else (cluster.follower, cluster.leader)
        conf = {"url": [node.url for node in nodes], "request.timeout.ms": 1000, "total.timeout.ms": 30_000}
        with SchemaRegistryClient({**conf, "event_cb": events.append}) as client, ThreadPoolExecutor(16) as threads:
            assert client.register_schema("before", ORDER) == 1
            cluster.pause_leader()
            asked = []
            for number in range(subjects):
                asked.append(threads.submit(client.register_schema, f"subject-{number}", ORDER))
                wait_until(time.monotonic() + 0.1)
            assert {future.result(60) for future in asked} == {1}
            assert cluster.took_over is not None
    ended = [event for event in events if isinstance(event, AttemptEvent) and "nor to others" in event.detail]
    assert bool(ended) == (subjects > 1), "once one has hung, the others there are asked elsewhere"


def test_readers_and_who_has_no_time_left_are_not_sent_elsewhere() -> None:
    events: list[Event] = []
    with SchemaRegistryServer() as first, SchemaRegistryServer() as second, ThreadPoolExecutor(8) as threads:
        second.register("known", SCHEMA)
        first.fail_always(faults.hang())
        conf = {"url": [first.url, second.url], "request.timeout.ms": 2000, "event_cb": events.append}
        with SchemaRegistryClient(conf) as client:
            asked = [threads.submit(client.register_schema, f"subject-{number}", ORDER) for number in range(4)]
            while len(first.requests) < 4:
                time.sleep(0.01)
            wait_until(time.monotonic() + 0.2)
            reader = threads.submit(client.get_latest_version, "known")
            late = threads.submit(client.register_schema, "late", ORDER, timeout=2.2)
            more = threads.submit(client.register_schema, "more", ORDER)
            assert {future.result(60) for future in [*asked, more]} == {1}
            assert reader.result(60).schema_id == 1
            assert isinstance(late.exception(60), (RegistryUnavailableError, type(None)))
    ended = {event.asked for event in events if isinstance(event, AttemptEvent) and "nor to others" in event.detail}
    assert "register a schema under subject 'more'" in ended
    assert not ended & {"get version latest of subject 'known'", "register a schema under subject 'late'"}
