"""``kafka-sr-retry serve``: a broker and a registry for programs in other processes, and a clean end."""

from __future__ import annotations

import http.client
import io
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fastavro
import pytest
from confluent_kafka import Producer
from waiting import LONG, until

from kafka_sr_retry import RegistryUnavailableError, Schema, SchemaRegistryClient
from kafka_sr_retry.cli.serve.faults import FaultError, Switch, plan, planned
from kafka_sr_retry.cli.serve.ports import opened
from kafka_sr_retry.cli.serve.show import Tail, TopicError, as_json, checked, dropped, line
from kafka_sr_retry.testing import KafkaMockCluster, SchemaRegistryCluster, SchemaRegistryServer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
SERVE = [sys.executable, "-m", "kafka_sr_retry.cli", "serve"]
ANY = ["--kafka-port", "0", "--registry-port", "0"]


class Server:
    """The command in a process of its own, and what it has told."""

    def __init__(self, *words: str, command: Sequence[str] = SERVE, env: Mapping[str, str] = os.environ) -> None:
        self.process = subprocess.Popen(
            [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        assert self.process.stdout is not None
        self.lines = self.process.stdout
        told = [self.lines.readline() for _ in range(2)]
        assert all(told), self.process.communicate()
        self.environment = dict(each.removeprefix("export ").rstrip().split("=", 1) for each in told)
        self.urls = self.environment["SCHEMA_REGISTRY_URL"].split(",")

    def ended(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=LONG)
        return self.process.returncode, out, err


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[Server] = []

    def start(*words: str, **how: Any) -> Server:
        made.append(Server(*words, **how))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.communicate(timeout=LONG)


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def post(url: str, words: str, method: str = "POST") -> tuple[int, str]:
    """As ``curl -d`` does."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=LONG)
    connection.request(method, "/faults", words, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    told = answer.status, answer.read().decode().strip()
    connection.close()
    return told


# -- two terminals -------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Of a shell that has the command, and this Python as its own."""
    for name, words in (("python", ""), ("kafka-sr-retry", "-m kafka_sr_retry.cli ")):
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
        (tmp_path / name).chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


IN_THE_FIRST = "kafka-sr-retry serve --faults 50003:3,503 --show orders"
IN_THE_SECOND = [
    "python examples/config_dict_producer.py",
    "curl -d 50003:3,hang=5 $SCHEMA_REGISTRY_URL/faults",
    "curl -d recover $SCHEMA_REGISTRY_URL/faults",
]


def test_the_readmes_first_example_runs_in_two_terminals(serve: Serve, path: str) -> None:
    commands = re.findall(r"^\$ (.*)\n((?:[^`$\n].*\n)*)", PAGE, re.MULTILINE)
    assert [command for command, _ in commands] == [IN_THE_FIRST, *IN_THE_SECOND]
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1"}
    server = serve(command=["bash", "-c", f"exec {IN_THE_FIRST}"], env=environment)
    told = ""
    for command, shown in commands[1:]:
        if command.startswith("curl") and not shutil.which("curl") and not os.environ.get("CI"):
            continue  # the same is asked below, without it
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env={**environment, **server.environment}, capture_output=True, text=True
        )
        assert done.stdout == shown, done.stderr
        told += done.stderr
    assert "(no_leader)" in told
    assert "(server_error)" in told
    shown = server.lines.readline()
    assert re.fullmatch(r'orders\[\d\]@0 id 1 orders-value \{"id": 1\}\n', shown)
    assert re.sub(r"\[\d\]", "[1]", shown) in PAGE
    code, out, err = server.ended()
    assert (code, out) == (0, "")
    assert re.fullmatch(r"(kafka-sr-retry serve: port \d+ is taken: the \w+ has another\n)*", err)
    assert all(refuses(int(each.rpartition(":")[2])) for each in server.environment.values())


def test_after_a_sigkill_it_is_back_on_the_same_ports(serve: Serve) -> None:
    first = serve(*ANY)
    ports = [each.rpartition(":")[2] for each in first.environment.values()]
    producer = Producer({"bootstrap.servers": first.environment["KAFKA_BOOTSTRAP_SERVERS"], "log_level": 0})
    producer.produce("restarted", b"1")
    assert producer.flush(LONG) == 0
    with SchemaRegistryClient({"url": first.urls[0]}) as client:
        client.register_schema("held-value", Schema('"string"'))  # its connection is kept alive
        first.ended(signal.SIGKILL)
        second = serve("--kafka-port", ports[0], "--registry-port", ports[1])
        assert second.environment == first.environment
        producer.produce("restarted", b"2")
        assert producer.flush(LONG) == 0
        assert client.register_schema("again-value", Schema('"string"')) == 1


# -- ports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "off", "words"),
    [
        ("--kafka-port", 0, []),
        ("--registry-port", 0, []),
        ("--registry-port", -1, ["--nodes", "2"]),
    ],
)
def test_a_port_that_is_taken_is_told(option: str, off: int, words: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1] + off)
        done = subprocess.run([*SERVE, option, port, *words], capture_output=True, text=True, timeout=LONG)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {port} " in done.stderr
    assert f"is taken: give another with {option}, or 0 for any\n" in done.stderr


def test_the_last_port_is_for_one_node() -> None:
    """It may be another program's: then that is told, and not that there is no such port."""
    with socket.socket() as other:
        with suppress(OSError):
            other.bind(("127.0.0.1", 65535))
            other.listen()
        for nodes, told in (("1", "port 65535 is taken"), ("2", "has no next port for the second node")):
            command = [*SERVE, "--kafka-port", "0", "--registry-port", "65535", "--nodes", nodes]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONG)
            assert (done.returncode, done.stdout) == (2, "")
            assert told in done.stderr


def test_where_the_usual_port_is_taken_there_is_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        made, told = opened(lambda port: SchemaRegistryServer(port=port).start(), "registry", None, usual=taken)
        with made:
            assert made.port != taken
            assert told == f"port {taken} is taken: the registry has another"


# -- how it ends ---------------------------------------------------------------------------------


def test_two_signals_end_it_too(serve: Serve) -> None:
    server = serve(*ANY, "--show", "*")
    os.kill(server.process.pid, signal.SIGSTOP)  # so that both are there when it goes on
    os.kill(server.process.pid, signal.SIGTERM)
    os.kill(server.process.pid, signal.SIGINT)
    os.kill(server.process.pid, signal.SIGCONT)
    server.process.communicate(timeout=LONG)
    assert server.process.returncode in (0, -signal.SIGINT, -signal.SIGTERM)


def test_a_reader_that_left_ends_it(serve: Serve) -> None:
    server = serve(*ANY)
    server.lines.close()
    assert server.process.wait(timeout=LONG) == 141
    assert server.process.stderr is not None
    assert server.process.stderr.read() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_a_full_disk_is_told() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*SERVE, *ANY], stdout=full, stderr=subprocess.PIPE, text=True, timeout=LONG)
    assert (done.returncode, done.stderr) == (2, "kafka-sr-retry serve: cannot go on: No space left on device\n")


def test_on_a_terminal_it_says_what_to_do_and_nothing_is_wider(serve: Serve) -> None:
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [*SERVE, *ANY, "--faults", "hang=2:3"], stdout=terminal, stderr=terminal, env={**os.environ, "NO_COLOR": "1"}
    )
    os.close(terminal)
    told = b""

    def shown() -> bool:
        nonlocal told
        told += os.read(screen, 65_536)
        return b"More faults" in told

    try:
        until(shown)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=LONG) == 0
    finally:
        process.kill()
        os.close(screen)
    text = told.decode()
    assert "The next registrations meet: hang=2:3." in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 80


def test_json_begins_with_the_addresses() -> None:
    with subprocess.Popen([*SERVE, *ANY, "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.terminate()
        assert process.wait(timeout=LONG) == 0
    assert set(told) == {"bootstrap.servers", "schema.registry.url"}


# -- faults in words -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        ("50003:2,503", ["answer(500, 50003)"] * 2 + ["answer(503, 503)"]),
        ("hang=5, reset ,close-connection", ["hang(5.0)", "reset()", "close_connection()"]),
        ("truncate=3,drip=0.1,html=502", ["truncate(3)", "drip(0.1, head=False)", "html"]),
        ("pass:2,drop_body,swallow,no_leader", ["pass", "pass", "drop_body()", "swallow()", "answer(500, 50003)"]),
    ],
)
def test_faults_in_words(words: str, faults: list[str]) -> None:
    names = [each.fault.name for each in planned(words) for _ in range(each.times or 1)]
    short = [re.sub(r"b'{\"error_code\":(\d+).*'", r"\1", name) for name in names]
    assert ["html" if "html" in name else name for name in short] == faults


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("hagn", "did you mean hang?"),
        ("x", "known are statuses, error codes, no_leader, hang,"),
        ("recover", "is for a server that runs: curl -d recover $SCHEMA_REGISTRY_URL/faults"),
        ("lose_leader", "needs --nodes 1 and is for a server that runs: curl -d lose_leader"),
        ("kill-leader", "needs --nodes 2 and is for a server that runs: curl -d kill_leader"),
        ("503:0", "how often, 1 to 10000"),
        ("503:99999999999999999999", "how often, 1 to 10000"),
        ("503:000001999999", "how often, 1 to 10000"),
        ("503:", "how often, 1 to 10000"),
        ("200", "neither an HTTP status from 400 to 599"),
        ("50003=1", "takes no value"),
        ("reset=1", "takes no value"),
        ("hang=nan", "no number from 0 to a million"),
        ("truncate=1.5", "no number from 0 to a million"),
    ],
)
def test_words_that_name_no_fault_are_refused(words: str, told: str) -> None:
    with pytest.raises(FaultError, match=re.escape(told)):
        planned(f"503,{words}")


def test_a_wrong_option_is_told_before_anything_starts() -> None:
    for words, told in ((["--faults", "hagn\x1b[31m"], "hang"), (["--show", "a b"], "no topic has this name")):
        done = subprocess.run([*SERVE, *words], capture_output=True, text=True, timeout=LONG)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert "\x1b" not in done.stderr
    with pytest.raises(TopicError):
        checked(["orders", ""])


def test_faults_meet_registrations_alone_and_are_switched_while_it_runs(schema_registry: SchemaRegistryServer) -> None:
    Switch(schema_registry, None)
    plan(schema_registry, planned("503"))
    conf = {"url": schema_registry.url, "max.retries": 0}
    with SchemaRegistryClient({"url": schema_registry.url, "retries.wait.ms": 1}) as client:
        assert schema_registry.get("/subjects") == []
        assert client.register_schema("one-value", Schema('"string"')) == 1
    assert [request.answer for request in schema_registry.registrations] == [503, 200]
    assert post(schema_registry.url, "503:always") == (200, "503:always: done")
    with SchemaRegistryClient(conf) as client:
        with pytest.raises(RegistryUnavailableError):
            client.register_schema("two-value", Schema('"string"'))
        assert client.get_latest_version("one-value").schema_id == 1
    assert post(schema_registry.url, "recover") == (200, "recover: done")
    assert post(schema_registry.url, "lose-leader")[0] == 200  # after recover it is still there
    with SchemaRegistryClient(conf) as client, pytest.raises(RegistryUnavailableError, match="50003"):
        client.register_schema("two-value", Schema('"string"'))
    assert post(schema_registry.url, "elect_leader")[0] == 200
    with SchemaRegistryClient(conf) as client:
        assert client.register_schema("two-value", Schema('"long"')) == 2
    assert post(schema_registry.url, "hagn") == (400, "'hagn': did you mean hang?")
    assert post(schema_registry.url, "")[0] == 400
    assert post(schema_registry.url, "", "DELETE")[0] == 400


def test_a_word_that_this_node_does_not_take_is_told_with_what_it_needs(schema_registry: SchemaRegistryServer) -> None:
    Switch(schema_registry, None)
    for word in ("kill_leader", "terminate-leader", "restart", "stop_kafka"):
        assert post(schema_registry.url, word) == (400, f"'{word}': needs --nodes 2")
    assert post(schema_registry.url, "recover,503") == (400, "'recover': stands alone")
    assert post(schema_registry.url, "elect_laeder") == (400, "'elect_laeder': did you mean elect_leader?")
    assert post(schema_registry.url, "x")[1].endswith(", html, pass, recover, lose_leader, elect_leader")
    with SchemaRegistryCluster() as cluster:
        Switch(cluster.nodes[0], cluster)
        assert post(cluster.nodes[0].url, "lose_leader") == (400, "'lose_leader': needs --nodes 1")
        known = post(cluster.nodes[0].url, "x")[1]
    assert all(word in known for word in (" recover,", " restart,", " kill_leader,", " start_kafka,"))


def test_of_two_nodes_the_leader_is_killed_and_brought_back() -> None:
    with SchemaRegistryCluster(after_kill=0.2) as cluster:
        for node in cluster.nodes:
            Switch(node, cluster)
        first, second = cluster.nodes
        assert post(first.url, "kill_leader") == (200, "kill_leader: done")
        until(lambda: refuses(first.port))
        with SchemaRegistryClient({"url": cluster.url}) as client:
            assert client.register_schema("orders-value", Schema('"string"')) == 1
        assert post(second.url, "restart")[0] == 200
        assert cluster.leader is first
        assert post(second.url, "pause_leader")[0] == 200
        assert post(second.url, "resume_leader")[0] == 200


def test_two_nodes_in_a_process_of_their_own(serve: Serve) -> None:
    server = serve(*ANY, "--nodes", "2")
    assert len(server.urls) == 2
    with SchemaRegistryClient({"url": server.urls[1]}) as client:
        assert client.register_schema("orders-value", Schema('"string"')) == 1
    assert server.ended(signal.SIGTERM) == (0, "", "")


# -- messages as lines ---------------------------------------------------------------------------


def shown(cluster: KafkaMockCluster, topics: list[str], registry: SchemaRegistryServer, count: int) -> list[list[str]]:
    """Each message for people and for programs."""
    tail = Tail(cluster.bootstrap_servers, checked(topics), registry)
    found: list[list[str]] = []
    end = time.monotonic() + LONG
    while len(found) < count and time.monotonic() < end:
        for message in tail.batch(0.1):
            assert not isinstance(message, str), message
            found.append([line(message), as_json(message)])
    tail.close()
    return found


def test_each_message_is_one_line(schema_registry: SchemaRegistryServer) -> None:
    schema = {
        "type": "record",
        "name": "Reading",
        "fields": [
            {"name": "text", "type": "string"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "raw", "type": "bytes"},
            {"name": "far", "type": "double"},
        ],
    }
    schema_registry.register("readings-value", json.dumps(schema))
    evil = "tea\n\x1b[2J\u202e\x9b"
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, {"text": evil, "at": 0, "raw": b"\xff\0", "far": float("inf")})
    record = b"\0\0\0\0\1" + out.getvalue()
    sent = [record, b"\0\0\0\0\7\6tea", b"\0\0\0\0\1\6", b"plain\x1b[2J", b"\xff\xfe", None, b"", record[:-1]]
    with KafkaMockCluster() as cluster:
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
        for value in sent:
            producer.produce("readings", value, b"\x1b]0;k\x07", partition=0)
        producer.produce("other", b"x", partition=0)
        assert producer.flush(LONG) == 0
        found = shown(cluster, ["readings"], schema_registry, len(sent))
    lines = [each for each, _ in found]
    assert all(each.isprintable() for each in lines)
    keys = [each.partition(" value ")[0] for each in lines]
    assert keys == [f"readings[0]@{offset} key 6 bytes 0x1b5d303b6b07" for offset in range(len(sent))]
    values = [each.partition(" value ")[2] for each in lines]
    assert values[0] == (
        'id 1 readings-value {"text": "tea\\n\\u001b[2J\\u202e\\u009b", "at": "1970-01-01T00:00:00+00:00", '
        '"raw": "\xff\\u0000", "far": "inf"}'
    )
    assert re.fullmatch(r"9 bytes 0x000000000706746561 \(its schema: .*40403.*\)", values[1])
    assert values[3:7] == ["9 bytes 0x706c61696e1b5b324a", "2 bytes 0xfffe", "null", "0 bytes 0x"]
    assert "(not of its schema: " in values[2]
    assert "(not of its schema: " in values[7]
    programs = [json.loads(each) for _, each in found]
    assert programs[0]["value"]["record"]["text"] == evil
    assert programs[0]["value"]["subject"] == "readings-value"
    assert programs[3]["value"] == {"hex": b"plain\x1b[2J".hex()}
    assert programs[5]["value"] is None
    assert "problem" in programs[7]["value"]
    assert all(each.isascii() for _, each in found)


def test_what_the_broker_dropped_before_it_was_shown_is_counted(schema_registry: SchemaRegistryServer) -> None:
    with KafkaMockCluster() as cluster:
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "batch.num.messages": 10})
        for number in range(70):
            producer.produce("large", bytes(100_000), str(number), partition=0)
        assert producer.flush(LONG) == 0
        tail = Tail(cluster.bootstrap_servers, checked(["large"]), schema_registry)
        found: list[Any] = []
        until(lambda: found.extend(tail.batch(0.1)) or (len(found) > 1 and found[-1].offset == 69))
        tail.close()
    assert found[0] == f"large[0]: the broker has dropped {found[1].offset} messages before they could be shown"
    assert 0 < found[1].offset < 69
    assert len(found) == 1 + 70 - found[1].offset
    assert len(line(found[-1])) < 10_000
    assert len(json.loads(as_json(found[-1]))["value"]["hex"]) == 200_000


def test_what_transactions_leave_is_not_counted_as_dropped(schema_registry: SchemaRegistryServer) -> None:
    with KafkaMockCluster() as cluster:
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": "t"})
        producer.init_transactions(LONG)
        for value in (b"one", b"two"):
            producer.begin_transaction()
            producer.produce("orders", value, partition=0)
            producer.commit_transaction(LONG)
        (first, _), (second, _) = shown(cluster, ["orders"], schema_registry, 2)
    assert first == 'orders[0]@0 3 bytes "one"'
    assert second.endswith(' 3 bytes "two"')


@pytest.mark.parametrize(
    ("low", "told"),
    [
        (0, ""),
        (4, ""),
        (5, "the broker has dropped 1 message before it could be shown"),
        (6, "the broker has dropped 2 messages before they could be shown"),
        (9_000, "the broker has dropped 3 messages before they could be shown"),
    ],
)
def test_only_what_lies_below_the_low_watermark_is_counted_as_dropped(low: int, told: str) -> None:
    assert dropped(4, 7, low) == told


def test_topics_that_come_later_are_shown_too(serve: Serve) -> None:
    server = serve(*ANY, "--show", "*")
    producer = Producer({"bootstrap.servers": server.environment["KAFKA_BOOTSTRAP_SERVERS"]})
    for topic in ("one", "two"):
        producer.produce(topic, b"x", partition=0)
        assert producer.flush(LONG) == 0
        assert server.lines.readline() == f'{topic}[0]@0 1 bytes "x"\n'
    assert server.ended() == (0, "", "")
