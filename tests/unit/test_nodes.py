"""Which node of a registry leads, by the nodes' logs; and a cluster that is killed by commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from kafka_sr_retry.testing import SchemaRegistryCluster
from tests.integration.stack import nodes
from tests.integration.stack.process import StackError

ONE, TWO = "sr-1-5f0c0d6e-4b8a-4a53-9d0e-0f8d1f6a7b01", "sr-1-a2b7c9d4-1e3f-4c5d-8a6b-7c8d9e0f1a02"


def joined(member: str, generation: int) -> str:
    return (
        "[2026-11-26 10:11:12,345] INFO [Schema registry clientId=sr-1, groupId=schema-registry] Successfully synced "
        f"group in generation Generation{{generationId={generation}, memberId='{member}', protocol='v0'}} "
        "(io.confluent.kafka.schemaregistry.leaderelector.kafka.SchemaRegistryCoordinator)\n"
    )


def elected(member: str | None, host: str = "sr-1") -> str:
    leader = "null" if member is None else f"'{member}'"
    identity = f"version=1,host={host},port=8081,scheme=http,leaderEligibility=true,isLeader=false"
    return (
        "[2026-11-26 10:11:12,347] INFO Finished rebalance with leader election result: Assignment{version=2, error=0, "
        f"leader={leader}, leaderIdentity={identity if member else 'null'}}} "
        "(io.confluent.kafka.schemaregistry.leaderelector.kafka.KafkaGroupLeaderElector)\n"
    )


BOTH_UP = [joined(ONE, 1) + elected(ONE), joined(TWO, 1) + elected(ONE)]


@pytest.mark.parametrize(
    ("logs", "leads"),
    [
        (BOTH_UP, 1),
        (BOTH_UP[::-1], 2),
        ([BOTH_UP[0], BOTH_UP[1] + joined(TWO, 2) + elected(TWO)], None),
        (
            [
                joined(ONE, 1) + elected(ONE) + joined("new", 3) + elected(TWO),
                BOTH_UP[1] + joined(TWO, 3) + elected(TWO),
            ],
            2,
        ),
        ([log.replace("leader election", "master election").replace("leader='", "master='") for log in BOTH_UP], 1),
        ([BOTH_UP[0] + elected(None), BOTH_UP[1] + elected(None)], None),
        ([elected(ONE), elected(ONE)], None),
        (["", ""], None),
    ],
    ids=["the first", "the second", "not agreed", "after a return", "an old version", "nobody", "no members", "empty"],
)
def test_the_leader_by_the_logs(logs: list[str], leads: int | None) -> None:
    assert nodes.leader(logs) == leads


def test_what_kills_a_cluster_is_given_whole_or_not_at_all() -> None:
    commands = dict.fromkeys(nodes.COMMANDS, "true")
    two = {nodes.URLS: "http://a:1, http://b:1"}
    assert not nodes.are_real(two)
    assert nodes.are_real({**two, **commands})
    for wrong in (commands, {**two, nodes.COMMANDS[1]: "true"}, {**commands, nodes.URLS: "http://a:1"}):
        with pytest.raises(StackError, match="needs two URLs"):
            nodes.are_real(wrong)


def test_the_node_that_leads_is_killed_and_brought_back_by_its_command(tmp_path: Path) -> None:
    for number, log in enumerate(BOTH_UP[::-1], 1):
        (tmp_path / f"{number}.log").write_text(log)
    with SchemaRegistryCluster() as cluster:
        environment = {
            "PATH": "/usr/bin:/bin",
            nodes.URLS: cluster.url,
            nodes.COMMANDS[0]: f"cat {tmp_path}/$NODE.log",
            nodes.COMMANDS[1]: f"echo kill $NODE >> {tmp_path}/done",
            nodes.COMMANDS[2]: f"echo restart $NODE >> {tmp_path}/done",
        }
        with nodes.running(environment) as real:
            killed = real.kill_leader()
            real.bring_back(killed)
        assert (tmp_path / "done").read_text() == "kill 2\nrestart 2\n"
        environment[nodes.COMMANDS[1]] = "false"
        with nodes.running(environment) as real, pytest.raises(subprocess.CalledProcessError):
            real.kill_leader()
