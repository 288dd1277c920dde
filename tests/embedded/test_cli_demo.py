"""``kafka-sr-retry demo``, on embedded servers and before ones that it takes for real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from kafka_sr_retry.cli.demo import run as demo
from kafka_sr_retry.cli.demo.journey import read_back
from kafka_sr_retry.cli.demo.readings import Reading, compare, load
from kafka_sr_retry.cli.demo.servers import Servers
from kafka_sr_retry.testing import KafkaMockCluster, SchemaRegistryServer

Keyed = tuple[str, Reading]


def command(*args: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kafka_sr_retry.cli", "demo", *args],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        env=os.environ | {"COLUMNS": str(columns), "HTTP_PROXY": "http://127.0.0.1:1"},
    )


def table_row(name: str, output: str) -> str | None:
    found = re.search(rf"│ {name} +│ +(\S+)", output)
    return found and found[1]


def test_all_rows_come_back_while_the_naive_loop_gets_its_422() -> None:
    shown = command("--rows", "100", columns=120)
    assert shown.returncode == 0, shown.stderr
    assert "422 register.request must not be null (was null)" in shown.stdout
    assert "500/50003" in shown.stdout
    for name in ("sent", "read back", "equal to the csv, once and in order"):
        assert table_row(name, shown.stdout) == "100"
    assert "All 100 rows came back equal" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_every_request_of_ours_is_whole_and_the_naive_loops_are_empty_from_the_second_on() -> None:
    shown = command("--rows", "1")
    cells = [re.findall(r"[^│ ]+", line) for line in shown.stdout.splitlines() if re.match(r"│ +\d ", line)]
    assert [row[0] for row in cells] == ["1", "2", "3", "4"]
    length = cells[0][1]
    assert int(length) > 0
    assert [row[1:5] for row in cells] == [[length, length, "B", status] for status in ("500", "500", "503", "200")]
    assert [row[6] for row in cells] == [length, "0", "0", "0"]
    assert cells[-1][-1] == "422"


def test_it_fits_80_columns_and_no_log_line_runs_through_it() -> None:
    shown = command("--rows", "3")
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert shown.stderr == ""


def test_before_given_servers_the_faults_come_from_a_proxy(
    kafka_cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer
) -> None:
    shown = command(
        "--rows", "50", "--bootstrap-servers", kafka_cluster.bootstrap_servers, "--registry-url", schema_registry.url,
        columns=200,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert table_row("equal to the csv, once and in order", shown.stdout) == "50"
    left = re.search(r"leaves behind: topic (\S+), subject (\S+)\.", shown.stdout)
    assert left
    assert left[2] == f"{left[1]}-value"
    accepted = [request.path for request in schema_registry.registrations if request.answer == 200]
    assert accepted == [f"/subjects/{left[2]}/versions"]


@pytest.mark.parametrize("option", ["--bootstrap-servers", "--registry-url"])
def test_one_server_without_the_other_is_an_error(option: str) -> None:
    wrong = command(option, "http://localhost:1")
    assert wrong.returncode == 2
    assert "come together" in wrong.stderr


@pytest.mark.parametrize("args", [["--nonsense"], ["--rows", "0"], ["--rows", "many"]])
def test_a_wrong_option_is_an_error(args: list[str]) -> None:
    wrong = command(*args)
    assert wrong.returncode == 2
    assert args[0] in wrong.stderr


def test_kafka_out_of_reach_is_said(schema_registry: SchemaRegistryServer) -> None:
    failed = command("--bootstrap-servers", "127.0.0.1:1", "--registry-url", schema_registry.url)
    assert failed.returncode == 1
    assert failed.stderr.startswith("The demo failed: Kafka at 127.0.0.1:1:")
    assert "Traceback" not in failed.stderr


def test_a_registry_out_of_reach_is_said(kafka_cluster: KafkaMockCluster) -> None:
    failed = command("--bootstrap-servers", kafka_cluster.bootstrap_servers, "--registry-url", "http://127.0.0.1:1")
    assert failed.returncode == 1
    assert failed.stderr.startswith("The demo failed: the registry did not answer GET http://127.0.0.1:1")


@pytest.mark.parametrize("url", ["mock://", "http://user:secret@localhost:1", "http://a:1,http://b:1"])
def test_a_registry_url_that_cannot_serve_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.run(1, "127.0.0.1:1", url) == 1
    failure = capsys.readouterr().err
    assert failure.startswith("The demo failed:")
    assert "secret" not in failure


def loses(rows: list[Keyed]) -> list[Keyed]:
    return rows[:3] + rows[4:]


def doubles(rows: list[Keyed]) -> list[Keyed]:
    return rows[:4] + rows[3:]


def changes(rows: list[Keyed]) -> list[Keyed]:
    key, reading = rows[3]
    return [*rows[:3], (key, Reading(reading.time, reading.fahrenheit + 0.1)), *rows[4:]]


def swaps(rows: list[Keyed]) -> list[Keyed]:
    return [*rows[:3], rows[4], rows[3], *rows[5:]]


def mislays(rows: list[Keyed]) -> list[Keyed]:
    return [*rows[:3], ("another day", rows[3][1]), *rows[4:]]


def test_the_data_are_all_there() -> None:
    readings = load(None)
    assert len(readings) == 8759
    assert readings[0] == Reading("2010/01/01 00:00", 39.4)
    assert readings[-1] == Reading("2010/12/31 23:00", 39.6)


def test_equal_rows_compare_equal_in_whatever_order_their_keys_come() -> None:
    readings = load(72)
    result = compare(readings, sorted(((r.day, r) for r in readings), key=lambda row: row[0], reverse=True))
    assert (result.sent, result.received, result.equal, result.differences) == (72, 72, 72, ())


@pytest.mark.parametrize("tamper", [loses, doubles, changes, swaps, mislays])
def test_a_single_row_that_is_not_as_sent_is_found(tamper: Callable[[list[Keyed]], list[Keyed]]) -> None:
    readings = load(72)
    result = compare(readings, tamper([(reading.day, reading) for reading in readings]))
    assert result.differences
    assert all(re.search(r"2010/01/01 0[34]:00", difference) for difference in result.differences)
    assert result.equal in (71, 72)


def test_the_demo_fails_if_a_single_row_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lossy(servers: Servers, topic: str) -> list[Keyed]:
        return loses(list(read_back(servers, topic)))

    monkeypatch.setattr(demo, "read_back", lossy)
    assert demo.run(24, None, None) == 1
    shown = capsys.readouterr()
    assert "missing or differ" in shown.err
    assert "2010/01/01 03:00" in shown.out


# -- a registry's leader is killed ------------------------------------------------------------------


def python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True, encoding="utf-8", timeout=120, env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip


def scores(output: str, name: str) -> list[str]:
    (row,) = re.findall(rf"^│ {name} +│(.*)│$", output, re.MULTILINE)
    return [cell.strip() for cell in row.split("│")]


def test_nothing_of_ours_is_lost_when_a_leader_is_killed() -> None:
    shown = command("--cluster", "--seconds", "0.5")
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    happened = re.findall(r"^[\d.]+ s +(\S+) +(.*?) *$", shown.stdout, re.MULTILINE)
    assert "leads, and is killed" in happened[0][1]
    order = [topic for topic, _ in happened]
    assert sorted(order) == ["-", "-", *(f"{name}-{n}" for name in ("confluent", "ours") for n in range(1, 6))]
    (elected,) = (place for place, (_, what) in enumerate(happened) if what.endswith(" leads"))
    assert all(order.index(f"ours-{number}") > elected for number in range(1, 6))
    assert {what for topic, what in happened if topic.startswith("ours-")} == {"id 1"}
    assert scores(shown.stdout, "messages") == ["5", "5"]
    assert scores(shown.stdout, "lost")[0] == "0"
    assert int(scores(shown.stdout, "requests")[0]) >= 10
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "\x1b" not in shown.stdout


WITHOUT_CONFLUENT = """
import sys
sys.modules["confluent_kafka.schema_registry"] = None
from kafka_sr_retry.cli import main
main()
"""


def test_without_confluents_client_it_says_how_to_install_it() -> None:
    shown = python(WITHOUT_CONFLUENT, "demo", "--cluster", "--seconds", "0.2")
    assert shown.returncode == 0, shown.stderr
    assert "pip install 'confluent-kafka[avro,schemaregistry]'" in shown.stdout
    assert scores(shown.stdout, "lost") == ["0"]


IMPATIENT = """
from kafka_sr_retry import AvroSerializer
from kafka_sr_retry.cli.app import app
from kafka_sr_retry.cli.demo import election

def ours(url, stack):
    conf = {"url": url, "total.timeout.ms": 200, "request.timeout.ms": 200}
    serializers = [stack.enter_context(AvroSerializer(conf, election.SCHEMA)) for _ in range(election.PRODUCERS)]
    return election.Client("ours", "AvroSerializer", serializers)

election._ours = ours
app(["demo", "--cluster", "--seconds", "2"])
"""


def test_a_single_lost_message_fails_the_demo() -> None:
    shown = python(IMPATIENT)
    assert shown.returncode == 1
    assert shown.stderr.startswith("AvroSerializer lost 5 of 5 messages")
    assert "RegistryUnavailableError" in shown.stdout


@pytest.mark.parametrize("args", [["--cluster", "--rows", "3"], ["--seconds", "3"], ["--cluster", "--seconds", "-1"]])
def test_options_of_the_cluster_go_together(args: list[str]) -> None:
    wrong = command(*args)
    assert wrong.returncode == 2
    assert "--seconds" in wrong.stderr
