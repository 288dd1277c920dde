"""What two nodes of a registry answer when one is killed, ended, paused or back: raw HTTP, on a clock that stands."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection
from typing import Any, NamedTuple

import pytest
from waiting import until

from kafka_sr_retry.testing import SchemaRegistryCluster, SchemaRegistryServer, faults

SCHEMA = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'
OTHER = SCHEMA.replace("long", "string")


class Clock:
    """It stands until it is told how much later it is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(clock: Clock) -> Iterator[SchemaRegistryCluster]:
    with SchemaRegistryCluster(clock=clock, kafka_timeout=0.01) as cluster:
        yield cluster


class Answer(NamedTuple):
    status: int
    reason: str
    body: Any

    @property
    def error(self) -> tuple[int, int, str]:
        return self.status, self.body["error_code"], self.body["message"]


def send(node: SchemaRegistryServer, method: str, path: str, body: str | None, until: float = 60.0) -> Answer | None:
    """``None`` where no answer came until then."""
    with closing(HTTPConnection("127.0.0.1", node.port, timeout=until)) as connection, suppress(TimeoutError):
        connection.request(method, path, body)
        answer = connection.getresponse()
        return Answer(answer.status, answer.reason, json.loads(answer.read()))
    return None


def register(node: SchemaRegistryServer, subject: str, schema: str = SCHEMA) -> Answer:
    answer = send(node, "POST", f"/subjects/{subject}/versions", json.dumps({"schema": schema}))
    assert answer is not None
    return answer


def look_up(node: SchemaRegistryServer, subject: str, schema: str = SCHEMA) -> Answer:
    answer = send(node, "POST", f"/subjects/{subject}", json.dumps({"schema": schema}))
    assert answer is not None
    return answer


def get(node: SchemaRegistryServer, path: str) -> Answer:
    answer = send(node, "GET", path, None)
    assert answer is not None
    return answer


def hears_nothing(node: SchemaRegistryServer, subject: str) -> bool:
    return send(node, "POST", f"/subjects/{subject}/versions", json.dumps({"schema": SCHEMA}), until=0.1) is None


NO_LEADER = 500, 50003, "Error while forwarding register schema request to the leader"
LEADER_UNKNOWN = 500, 50004, "Leader not known."
KAFKA_DEAD = 500, 50001, "Register schema operation failed while writing to the Kafka store"
KAFKA_SLOW = 500, 50002, "Register operation timed out"


# -- forwarding -----------------------------------------------------------------------------------


def test_both_nodes_have_the_same_schemas(cluster: SchemaRegistryCluster) -> None:
    leader, follower = cluster.nodes
    assert [register(leader, "one").body, register(follower, "two").body] == [{"id": 1}, {"id": 1}]
    assert leader.register("two", SCHEMA) == follower.register("one", SCHEMA) == 1
    assert get(leader, "/subjects").body == get(follower, "/subjects").body == ["one", "two"]
    assert cluster.url == f"{leader.url},{follower.url}"


def test_what_a_follower_forwards_is_counted_where_it_was_asked(cluster: SchemaRegistryCluster) -> None:
    register(cluster.follower, "orders")
    assert [len(node.registrations) for node in cluster.nodes] == [0, 1]


def refused(node: SchemaRegistryServer, cluster: SchemaRegistryCluster) -> Answer:
    register(cluster.leader, "refusing")
    cluster.leader.incompatible("refusing")
    return register(node, "refusing", OTHER)


def invalid(node: SchemaRegistryServer, cluster: SchemaRegistryCluster) -> Answer:
    return register(node, "orders", '{"type": "ü\\nn"}')


@pytest.mark.parametrize(("provoke", "status", "code"), [(refused, 409, 409), (invalid, 422, 42201)])
def test_a_forwarded_error_ends_in_its_code(
    cluster: SchemaRegistryCluster, provoke: Any, status: int, code: int
) -> None:
    own, forwarded = provoke(cluster.leader, cluster), provoke(cluster.follower, cluster)
    assert own.error[:2] == forwarded.error[:2] == (status, code)
    assert forwarded.body["message"] == f"{own.body['message']}; error code: {code}"


def test_a_forwarded_422_says_it_in_the_reason_phrase(cluster: SchemaRegistryCluster) -> None:
    assert invalid(cluster.leader, cluster).reason == ""
    answer = invalid(cluster.follower, cluster)
    assert answer.reason == " ".join(answer.body["message"].split())
    assert refused(cluster.follower, cluster).reason == "Conflict"


def test_what_a_follower_refuses_by_itself_has_no_code_at_its_end(cluster: SchemaRegistryCluster) -> None:
    empty = send(cluster.follower, "POST", "/subjects/orders/versions", "")
    assert empty is not None
    assert empty.reason == ""
    assert empty.error == (422, 422, "register.request must not be null (was null)")
    assert look_up(cluster.follower, "orders").error == (404, 40401, "Subject 'orders' not found.")


# -- a leader that is gone ------------------------------------------------------------------------


def ask_and_hang(node: SchemaRegistryServer) -> socket.socket:
    """A connection whose request is under way."""
    before = len(node.requests)
    node.fail_next(faults.hang())
    connection = socket.create_connection(("127.0.0.1", node.port))
    connection.sendall(b"GET /subjects HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: len(node.requests) > before)
    return connection


def test_a_killed_node_resets_its_connections_and_refuses_until_it_is_back(cluster: SchemaRegistryCluster) -> None:
    leader = cluster.leader
    url = leader.url
    idle = HTTPConnection("127.0.0.1", leader.port, timeout=60)
    idle.request("GET", "/subjects")
    idle.getresponse().read()
    busy = ask_and_hang(leader)
    busy.settimeout(60)

    assert cluster.kill_leader() is leader
    for connection in (idle.sock, busy):
        with closing(connection), pytest.raises(ConnectionResetError):
            connection.recv(1)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            get(leader, "/subjects")
    cluster.restart(leader)
    assert leader.url == url
    assert get(leader, "/subjects").status == 200


def test_a_terminated_node_closes_its_connections_and_refuses(cluster: SchemaRegistryCluster) -> None:
    busy = ask_and_hang(cluster.leader)
    busy.settimeout(60)
    leader = cluster.terminate_leader()
    with closing(busy):
        assert busy.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        get(leader, "/subjects")
    cluster.restart(leader)
    assert get(leader, "/subjects").status == 200


DEATHS = [(SchemaRegistryCluster.kill_leader, 10.25), (SchemaRegistryCluster.terminate_leader, 2.6)]


@pytest.mark.parametrize(("end", "seconds"), DEATHS)
def test_the_follower_has_no_leader_until_it_leads(
    cluster: SchemaRegistryCluster, clock: Clock, end: Any, seconds: float
) -> None:
    first, second = cluster.nodes
    end(cluster)
    died = clock()
    for _ in range(2):
        assert register(second, "orders").error == NO_LEADER
        assert not cluster.has_leader
        assert (cluster.leader, cluster.follower, cluster.took_over) == (first, second, None)
        clock.later(seconds - 0.01 - (clock() - died))
    clock.later(0.02)
    assert register(second, "orders").body == {"id": 1}
    assert cluster.has_leader
    assert (cluster.leader, cluster.follower, cluster.took_over) == (second, first, died + seconds)


def test_without_a_leader_a_subjects_own_schema_is_answered_and_all_is_read(cluster: SchemaRegistryCluster) -> None:
    cluster.leader.register("known", SCHEMA)
    cluster.kill_leader()
    node = cluster.follower
    assert register(node, "known").body == {"id": 1}
    assert look_up(node, "known").body["id"] == 1
    assert get(node, "/subjects/known/versions/latest").body["id"] == 1
    assert get(node, "/schemas/ids/1").body == {"schema": SCHEMA}
    assert register(node, "known", OTHER).error == NO_LEADER
    assert register(node, "new").error == NO_LEADER


def test_the_node_that_led_meanwhile_has_no_leader_when_the_old_one_is_back(
    cluster: SchemaRegistryCluster, clock: Clock
) -> None:
    first, second = cluster.nodes
    cluster.kill_leader()
    clock.later(11)
    assert register(second, "one").status == 200
    cluster.restart(first)
    assert register(first, "two").status == 200
    for _ in range(2):
        assert register(second, "three").error == NO_LEADER
        assert register(second, "two").status == 200
        clock.later(1.74)
    assert register(second, "three").status == 200
    assert cluster.leader is first
    assert invalid(second, cluster).body["message"].endswith("; error code: 42201")


def test_an_election_under_way_is_a_50004(clock: Clock) -> None:
    with SchemaRegistryCluster(clock=clock, election=0.5) as cluster:
        cluster.kill_leader()
        node = cluster.follower
        assert register(node, "orders").error == NO_LEADER
        clock.later(10.26)
        assert register(node, "orders").error == LEADER_UNKNOWN
        clock.later(0.5)
        assert register(node, "orders").status == 200


def test_a_node_that_may_not_lead_knows_no_leader_for_ever(clock: Clock) -> None:
    with SchemaRegistryCluster(clock=clock, follower_eligible=False) as cluster:
        first, second = cluster.nodes
        second.register("known", SCHEMA)
        cluster.kill_leader()
        assert register(second, "orders").error == NO_LEADER
        clock.later(10.26)
        for _ in range(2):
            assert register(second, "orders").error == LEADER_UNKNOWN
            assert register(second, "known").status == get(second, "/subjects").status == 200
            clock.later(1e6)
        cluster.restart(first)
        assert register(second, "orders").status == 200


def test_a_follower_that_ends_costs_nothing(cluster: SchemaRegistryCluster) -> None:
    cluster.kill(cluster.follower)
    assert register(cluster.leader, "orders").status == 200
    cluster.restart(cluster.follower)
    assert register(cluster.leader, "more").status == 200


def test_a_node_alone_leads_as_soon_as_it_is_back(cluster: SchemaRegistryCluster, clock: Clock) -> None:
    first, second = cluster.nodes
    first.register("orders", SCHEMA)
    for node in (first, second):
        cluster.kill(node)
    clock.later(60)
    assert not cluster.has_leader
    cluster.restart(second)
    assert register(second, "more").body == {"id": 1}
    assert cluster.leader is second


def test_a_leader_that_is_back_before_another_leads_goes_on(cluster: SchemaRegistryCluster, clock: Clock) -> None:
    cluster.restart(cluster.kill_leader())
    for node in cluster.nodes:
        assert register(node, f"at-{node.port}").status == 200
    clock.later(60)
    assert cluster.leader is cluster.nodes[0]
    assert cluster.took_over is None


def test_a_node_that_catches_up_does_not_know_what_its_neighbour_knows(
    cluster: SchemaRegistryCluster, clock: Clock
) -> None:
    first, second = cluster.nodes
    first.check_compatibility = False
    first.register("old", SCHEMA)
    cluster.kill_leader()
    clock.later(11)
    second.register("new", OTHER)
    second.register("old", OTHER)

    cluster.restart(first, lag=2.0)
    assert look_up(first, "new", OTHER).error[:2] == (404, 40401)
    assert look_up(first, "old", OTHER).error[:2] == (404, 40403)
    assert get(first, "/schemas/ids/2").error[:2] == (404, 40403)
    assert get(first, "/subjects").body == ["old"]
    assert register(first, "new", OTHER).body == {"id": 2}, "it asks the leader"
    assert cluster.leader is second
    assert look_up(second, "new", OTHER).status == 200

    clock.later(2.1)
    assert look_up(first, "new", OTHER).body["id"] == 2
    assert cluster.leader is first


# -- Kafka ----------------------------------------------------------------------------------------


def test_what_timed_out_takes_effect_later(cluster: SchemaRegistryCluster) -> None:
    leader, follower = cluster.nodes
    leader.register("known", SCHEMA)
    cluster.pause_kafka()
    assert register(leader, "orders", OTHER).error == KAFKA_SLOW
    assert register(follower, "orders", OTHER).error == (500, 50002, f"{KAFKA_SLOW[2]}; error code: 50002")
    assert register(follower, "known").status == 200
    assert look_up(leader, "orders", OTHER).status == 404

    cluster.start_kafka()
    assert get(follower, "/subjects/orders/versions").body == [1]
    assert look_up(leader, "orders", OTHER).body["id"] == register(follower, "orders", OTHER).body["id"] == 2


def test_without_kafka_every_registration_fails_and_all_is_read(cluster: SchemaRegistryCluster) -> None:
    cluster.leader.register("known", SCHEMA)
    cluster.stop_kafka()
    for node in cluster.nodes:
        assert register(node, "known").error == register(node, "new").error == KAFKA_DEAD
        assert look_up(node, "known").body["id"] == 1
        assert get(node, "/schemas/ids/1").status == get(node, "/subjects/known/versions/latest").status == 200
    cluster.start_kafka()
    assert [register(node, "new").body for node in cluster.nodes] == [{"id": 1}] * 2


# -- a leader that is paused ----------------------------------------------------------------------


def waits_until_the_leader_resumes(cluster: SchemaRegistryCluster, node: SchemaRegistryServer) -> None:
    before = len(node.requests)
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(register, node, "new")
        until(lambda: len(node.requests) > before)
        assert not asked.done()
        cluster.resume_leader()
        assert asked.result(60).status == 200


def test_a_paused_leader_takes_connections_and_answers_when_it_resumes(cluster: SchemaRegistryCluster) -> None:
    leader = cluster.pause_leader()
    socket.create_connection(("127.0.0.1", leader.port)).close()
    assert hears_nothing(leader, "orders")
    waits_until_the_leader_resumes(cluster, leader)


def test_a_follower_answers_what_it_knows_and_holds_what_is_new(cluster: SchemaRegistryCluster) -> None:
    cluster.leader.register("known", SCHEMA)
    cluster.pause_leader()
    assert register(cluster.follower, "known").status == 200
    waits_until_the_leader_resumes(cluster, cluster.follower)
    assert cluster.took_over is None


def test_a_follower_takes_over_where_nobody_writes(cluster: SchemaRegistryCluster, clock: Clock) -> None:
    leader, follower = cluster.nodes
    paused = clock()
    cluster.pause_leader()
    clock.later(12.8)
    assert cluster.leader is leader
    clock.later(0.2)
    assert register(follower, "orders").status == 200
    assert cluster.leader is follower
    assert cluster.took_over == pytest.approx(paused + 12.9)


def test_a_held_write_keeps_a_follower_from_taking_over(cluster: SchemaRegistryCluster, clock: Clock) -> None:
    _, follower = cluster.nodes
    cluster.pause_leader()
    with closing(HTTPConnection("127.0.0.1", follower.port)) as held:
        held.request("POST", "/subjects/held/versions", json.dumps({"schema": SCHEMA}))
        until(lambda: follower.requests)
        until(lambda: cluster._held)
        clock.later(60)
        assert hears_nothing(follower, "other")
        until(lambda: cluster._held == 1)
        assert cluster.took_over is None
    until(lambda: not cluster._held)
    assert cluster.took_over is None
    clock.later(12.8)
    assert hears_nothing(follower, "orders")
    until(lambda: not cluster._held)
    clock.later(13)
    assert register(follower, "orders").status == 200


def test_a_leader_that_resumes_when_another_leads_leads_again(cluster: SchemaRegistryCluster, clock: Clock) -> None:
    leader, follower = cluster.nodes
    cluster.pause_leader()
    clock.later(13)
    assert register(follower, "one").status == 200
    cluster.resume_leader()
    assert register(leader, "two").status == 200
    assert register(follower, "three").error == NO_LEADER
    clock.later(1.8)
    assert register(follower, "three").status == 200


def test_what_is_held_is_told_when_the_paused_leader_is_killed(cluster: SchemaRegistryCluster) -> None:
    _, follower = cluster.nodes
    cluster.pause_leader()
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(register, follower, "orders")
        until(lambda: cluster._held)
        cluster.kill_leader()
        assert asked.result(60).error == NO_LEADER


def test_nobody_can_be_paused_where_nobody_leads(cluster: SchemaRegistryCluster) -> None:
    cluster.kill_leader()
    with pytest.raises(RuntimeError, match="no leader"):
        cluster.pause_leader()
