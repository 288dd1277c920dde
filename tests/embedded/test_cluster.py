"""The client and the serializer on two nodes of a registry, on a leader's bad days: nothing is lost.

What the nodes themselves do: ``test_cluster_nodes.py``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka.serialization import MessageField, SerializationContext
from waiting import until

from kafka_sr_retry import AvroSerializer, RegistryUnavailableError, Schema, SchemaNotFoundError, SchemaRegistryClient
from kafka_sr_retry.events import AttemptEvent, Event
from kafka_sr_retry.testing import SchemaRegistryCluster, SchemaRegistryServer, faults

SCHEMA = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'
ORDER = Schema(SCHEMA)


def schema(number: int) -> Schema:
    """One of its own for each number."""
    return Schema(SCHEMA.replace("Order", f"Order{number}"))


def wait_until(moment: float) -> None:
    while time.monotonic() < moment:
        time.sleep(0.01)


def pause(seconds: float) -> None:
    wait_until(time.monotonic() + seconds)


# -- a leader that is gone, and Kafka -------------------------------------------------------------


def kill(cluster: SchemaRegistryCluster) -> None:
    cluster.kill_leader()


def terminate(cluster: SchemaRegistryCluster) -> None:
    cluster.terminate_leader()


def kill_each_in_turn(cluster: SchemaRegistryCluster) -> None:
    for node in cluster.nodes:
        cluster.kill(node)
        until(lambda: cluster.has_leader)
        cluster.restart(node, lag=0.2)
        pause(0.6)


def kill_both(cluster: SchemaRegistryCluster) -> None:
    for node in cluster.nodes:
        cluster.kill(node)
    pause(0.5)
    cluster.restart(cluster.nodes[1])


def slow_kafka(cluster: SchemaRegistryCluster) -> None:
    cluster.pause_kafka()
    pause(0.5)
    cluster.start_kafka()


def dead_kafka(cluster: SchemaRegistryCluster) -> None:
    cluster.stop_kafka()
    pause(0.5)
    cluster.start_kafka()


DAYS = (kill, terminate, kill_each_in_turn, kill_both, slow_kafka, dead_kafka)


def bad_days() -> SchemaRegistryCluster:
    return SchemaRegistryCluster(
        after_kill=0.6, after_terminate=0.4, after_return=0.3, election=0.2, kafka_timeout=0.05
    )


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("leader_first", [True, False])
def test_each_new_subject_gets_its_own_id(day: Callable[[SchemaRegistryCluster], None], leader_first: bool) -> None:
    subjects = {f"subject-{number}": schema(number) for number in range(12)}
    with bad_days() as cluster, ThreadPoolExecutor(16) as threads:
        nodes = cluster.nodes if leader_first else cluster.nodes[::-1]
        with SchemaRegistryClient({"url": [node.url for node in nodes]}) as client:
            assert client.register_schema("before", ORDER) == 1
            over = threads.submit(day, cluster)
            asked = {}
            for subject, its_schema in subjects.items():
                asked[subject] = threads.submit(client.register_schema, subject, its_schema)
                pause(0.05)
            told = {subject: future.result(60) for subject, future in asked.items()}
            over.result(60)
        survivor = cluster.leader
        assert told == {subject: survivor.register(subject, its.schema_str) for subject, its in subjects.items()}
        assert sorted(told.values()) == list(range(2, 14)), "each was registered once"
        sent = {(request.path, request.body) for node in cluster.nodes for request in node.registrations}
        assert {path: json.loads(body)["schema"] for path, body in sent} == {
            "/subjects/before/versions": SCHEMA,
            **{f"/subjects/{subject}/versions": its.schema_str for subject, its in subjects.items()},
        }
        assert len(sent) == 13, "each request carried the whole body"


def test_known_schemas_need_no_leader() -> None:
    with SchemaRegistryCluster() as cluster:
        first, second = cluster.nodes
        first.register("orders-value", SCHEMA)
        cluster.kill_leader()
        serializer = AvroSerializer({"url": cluster.url}, SCHEMA)
        for number in range(3):
            message = serializer({"id": number}, SerializationContext("orders", MessageField.VALUE))
            assert message == b"\0\0\0\0\1" + bytes([2 * number])
        serializer.close()
        assert [request.answer for request in second.requests] == [200]


def test_what_timed_out_is_registered_once() -> None:
    with SchemaRegistryCluster(kafka_timeout=0.01) as cluster, ThreadPoolExecutor() as threads:
        leader = cluster.leader
        cluster.pause_kafka()
        with SchemaRegistryClient({"url": cluster.url}) as client:
            asked = threads.submit(client.register_schema, "orders", ORDER)
            until(lambda: len(leader.registrations) >= 2)
            cluster.start_kafka()
            assert asked.result(60) == 1
            assert client.get_latest_version("orders").version == 1
        assert len({request.body for node in cluster.nodes for request in node.registrations}) == 1


def test_a_reader_asks_the_neighbour_of_a_node_that_catches_up() -> None:
    with SchemaRegistryCluster(after_kill=0.0, after_return=0.0) as cluster:
        first, second = cluster.nodes
        cluster.kill_leader()
        second.register("orders", SCHEMA)
        cluster.restart(first, lag=3600)
        with SchemaRegistryClient({"url": cluster.url}) as client:
            assert client.get_latest_version("orders").schema_id == 1
            assert client.lookup_schema("orders", ORDER).schema_id == 1
            with pytest.raises(SchemaNotFoundError):
                client.get_latest_version("nothing")
        assert [request.answer for request in first.requests] == [404, 404]
        assert [request.answer for request in second.requests] == [200, 200, 404], "the one that knew is asked first"


# -- a leader that hangs --------------------------------------------------------------------------


@pytest.mark.parametrize("leader_first", [True, False])
@pytest.mark.parametrize("subjects", [1, 12])
def test_a_paused_leader_costs_no_message(leader_first: bool, subjects: int) -> None:
    events: list[Event] = []
    with SchemaRegistryCluster(takes_over_after=0.8) as cluster:
        nodes = cluster.nodes if leader_first else cluster.nodes[::-1]
        conf = {"url": [node.url for node in nodes], "request.timeout.ms": 2000, "total.timeout.ms": 30_000}
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
            until(lambda: len(first.requests) >= 4)
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
