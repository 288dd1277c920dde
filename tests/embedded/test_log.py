"""The lines that a producer writes about its registry."""

from __future__ import annotations

import itertools
import logging
import queue
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from clocks import SkippingClock

from kafka_sr_retry import Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.events import BreakerEvent, FailoverEvent, RetryEvent, SuccessEvent
from kafka_sr_retry.registry.clock import Clock
from kafka_sr_retry.registry.log import LINES, PERIOD, Log
from kafka_sr_retry.testing import (
    SchemaRegistryCluster,
    SchemaRegistryServer,
    answer,
    drop_body,
    error,
    no_leader,
    reset,
)

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"card_number","type":"long"}]}')
ASKED = "register a schema under subject 's': "


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kafka_sr_retry")


@pytest.fixture(autouse=True)
def _long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait must be longer than the machine takes from one attempt to the next."""
    monkeypatch.setattr("random.SystemRandom.random", lambda _: 0.9)


def register(registry: str | list[str], **conf: Any) -> None:
    named = {name.replace("_", "."): value for name, value in conf.items()}
    with SchemaRegistryClient({"url": registry, "total.timeout.ms": 600_000, **named}, clock=SkippingClock()) as client:
        client.register_schema("s", ORDER)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "kafka_sr_retry"]


def test_a_good_day_is_silent(schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture) -> None:
    register(schema_registry.url)
    assert lines(caplog) == []


def test_a_recovery_after_one_retry_is_one_line(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    schema_registry.fail_next(no_leader())
    register(schema_registry.url)
    ((level, text),) = lines(caplog)
    assert level == "INFO"
    assert text.startswith(f"{ASKED}recovered, {schema_registry.url} has answered with id 1 after 2 attempts in ")


def test_a_wait_is_told_once_with_the_registrys_words_and_so_is_its_end(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    schema_registry.fail_next(*[no_leader()] * 9)
    register(schema_registry.url)
    (level, began), (level2, ended) = lines(caplog)
    assert (level, level2) == ("WARNING", "INFO")
    words = "500/50003 Error while forwarding register schema request to the leader"
    again = "no endpoint has served it (no_leader), retrying"
    assert began == f"{ASKED}{again}: {schema_registry.url} answered {words}"
    assert ended.startswith(f"{ASKED}recovered, {schema_registry.url} has answered with id 1 after 10 attempts in ")
    assert "; the time without a leader for writes is over after 9 failures in " in ended


def test_a_wait_whose_reason_changes_again_and_again_says_so_once(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    schema_registry.fail_next(*[no_leader(), no_leader(), error(502), error(502), reset(), error(503)] * 2)
    register(schema_registry.url)
    told = lines(caplog)
    assert [level for level, _ in told] == ["WARNING", "WARNING", "INFO"]
    assert told[1][1].startswith(f"{ASKED}still no endpoint has served it (server_error), the reason has changed: ")
    assert f"{schema_registry.url} answered 502" in told[1][1]


@pytest.mark.parametrize("messages", [1, 8])
def test_an_election_writes_at_most_four_lines_for_a_message(messages: int, caplog: pytest.LogCaptureFixture) -> None:
    """On real nodes: the leader is killed, and the other one is elected."""
    with SchemaRegistryCluster(after_kill=1.5) as cluster, SchemaRegistryClient({"url": cluster.url}) as client:
        cluster.kill_leader()
        with ThreadPoolExecutor(messages) as threads:
            list(threads.map(lambda number: client.register_schema(f"s{number}", ORDER), range(messages)))
    by_subject = Counter(text.partition(": ")[0] for _, text in lines(caplog))
    assert by_subject
    assert set(by_subject) <= {f"register a schema under subject 's{number}'" for number in range(messages)}
    assert max(by_subject.values()) <= 4
    assert {level for level, text in lines(caplog) if "recovered" not in text} <= {"WARNING"}
    assert "500/50003" in caplog.text


def test_a_failover_warns(schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture) -> None:
    with SchemaRegistryServer() as other:
        schema_registry.fail_next(reset())
        register([schema_registry.url, other.url])
        (level, text), _ = lines(caplog)
    assert level == "WARNING"
    wait = f"{schema_registry.url} does not serve (connection), {other.url} is asked next"
    assert text.startswith(f"{ASKED}{wait}: the connection broke")


def test_a_lost_body_says_what_to_mend(schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture) -> None:
    schema_registry.fail_always(drop_body())
    with pytest.raises(SchemaRegistryError):
        register(schema_registry.url)
    (level, text), (level2, text2) = lines(caplog)
    assert (level, level2) == ("WARNING", "ERROR")
    assert "drops request bodies, repair or bypass it" in text
    assert schema_registry.requests[0].headers["X-Request-ID"] in text
    assert text2.startswith(f"{ASKED}refused for good by {schema_registry.url} (body_lost) after 1 attempt in ")
    words = f"{schema_registry.url} answered 422 register.request must not be null (was null)"
    told = f"{words} (X-Request-ID {schema_registry.requests[0].headers['X-Request-ID']})"
    assert text2.endswith(f"the message was not sent: {told}")


def test_a_give_up_is_an_error(schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture) -> None:
    schema_registry.fail_always(error(503))
    with pytest.raises(SchemaRegistryError):
        register(schema_registry.url, max_retries=1)
    ((level, text),) = lines(caplog)
    assert level == "ERROR"
    assert text.startswith(f"{ASKED}gave up after 2 attempts in ")
    assert f" s (server_error): {schema_registry.url} answered 503 Service Unavailable (X-Request-ID " in text


def test_a_registration_that_a_look_up_saves_is_no_error(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    schema_registry.register("s", ORDER.schema_str)
    schema_registry.fail_next(error(403))
    register(schema_registry.url)
    assert lines(caplog) == []


def test_a_question_that_is_answered_with_no_is_the_callers_matter(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    with SchemaRegistryClient({"url": schema_registry.url}) as client, pytest.raises(SchemaRegistryError):
        client.get_schema(99)
    assert lines(caplog) == []


def test_a_stale_version_warns(schema_registry: SchemaRegistryServer) -> None:
    told: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "no newer one" in record.getMessage():
                told.put(record)

    logger, handler = logging.getLogger("kafka_sr_retry"), Told()
    logger.addHandler(handler)
    try:
        schema_registry.register("s", ORDER.schema_str)
        conf = {"url": schema_registry.url, "cache.latest.ttl.sec": 0.001, "max.retries": 0}
        with SchemaRegistryClient(conf, clock=SkippingClock()) as client:
            client.get_latest_version("s")
            schema_registry.fail_always(error(503))
            while client.state().waiting == 0 and told.empty():
                client.get_latest_version("s")
            record = told.get(timeout=30)
    finally:
        logger.removeHandler(handler)
    level, text = record.levelname, record.getMessage()
    assert level == "WARNING"
    assert text.startswith("get version latest of subject 's': version 1 of ")


def test_debug_tells_each_attempt(schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kafka_sr_retry")
    schema_registry.fail_next(no_leader())
    register(schema_registry.url)
    attempts = [text for level, text in lines(caplog) if level == "DEBUG"]
    url = f"{schema_registry.url}/subjects/s/versions"
    assert [text.partition(": ")[0] for text in attempts] == [ASKED.rstrip(": ")] * 2
    assert f"attempt 1, POST {url}: no_leader (500/50003 " in attempts[0]
    assert f"attempt 2, POST {url}: success" in attempts[1]


def test_no_line_holds_a_credential_or_the_schema(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "kafka_sr_retry")
    schema_registry.fail_always(
        answer(503, b'{"error_code":50301,"message":"you said pa55word and dXNlcjpwYTU1d29yZA=="}')
    )
    with pytest.raises(SchemaRegistryError):
        register(schema_registry.url.replace("//", "//user:pa55word@"), max_retries=3)
    told = str(lines(caplog))
    assert "server_error (503/50301 you said *** and ***)" in told
    assert not [secret for secret in ("pa55word", "dXNlcjpwYTU1d29yZA", "card_number") if secret in told]


def test_a_registrys_words_can_neither_forge_nor_flood_a_line(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "kafka_sr_retry")
    words = b"\\nERROR forged \\u001b[31m" + b"x" * 100_000
    schema_registry.fail_next(answer(503, b'{"error_code":50301,"message":"' + words + b'"}'))
    register(schema_registry.url)
    told = [text for _, text in lines(caplog)]
    assert "forged" in str(told)
    assert all(text.isprintable() and len(text) < 2500 for text in told)


class StillClock(Clock):
    time = 1000.0

    def now(self) -> float:
        return self.time


def test_an_outage_writes_ten_lines_of_a_kind_in_a_minute_and_counts_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = StillClock()
    log = Log(clock)
    retry = RetryEvent(call=1, operation="register", asked="ask", round=2, wait=1, reason="timeout", detail="a: late")
    failover = FailoverEvent(call=1, operation="register", asked="ask", failed="a", next="b", reason="timeout")
    numbers = itertools.count(2)
    for _ in range(LINES + 990):
        number = next(numbers)
        log(replace(retry, call=number))
    log(failover)
    assert len(lines(caplog)) == LINES + 1

    clock.time += PERIOD
    for _ in range(2):
        log(replace(retry, call=next(numbers)))
    told = [text for _, text in lines(caplog)][LINES + 1 :]
    line = "ask: no endpoint has served it (timeout), retrying: a: late"
    assert told == [f"{line} (990 more lines like this one were left out)", line]


def test_the_end_of_an_outage_is_told_though_its_beginnings_were_many(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(StillClock())
    common: dict[str, Any] = {"operation": "register", "asked": "ask"}
    outage: dict[str, Any] = {**common, "endpoint": "a", "failures": 3, "seconds": 1}
    for call in range(LINES + 5):
        log(BreakerEvent(**outage, call=call, open=True))
    log(BreakerEvent(**outage, call=99, open=False))
    answered = SuccessEvent(**common, call=99, endpoint="a", attempts=1, seconds=1)
    assert log.wants(answered)
    log(answered)
    told = lines(caplog)
    assert [level for level, _ in told] == ["WARNING"] * LINES + ["INFO"]
    assert (
        told[-1][1]
        == "ask: recovered, a has answered after 1 attempt in 1.0 s; outage of a is over after 3 failures in 1.0 s"
    )


def test_a_call_that_has_ended_leaves_nothing_behind(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    schema_registry.fail_next(*[no_leader()] * 5, error(409))
    with SchemaRegistryClient({"url": schema_registry.url}, clock=SkippingClock()) as client:
        with pytest.raises(SchemaRegistryError):
            client.register_schema("s", ORDER)
        schema_registry.fail_next(*[no_leader()] * 5)
        client.register_schema("t", ORDER)
        schema_registry.fail_always(error(503))
        with pytest.raises(SchemaRegistryError):
            client.register_schema("u", ORDER)
        assert client._asking._log._calls == {}
    assert [level for level, _ in lines(caplog)] == ["WARNING", "ERROR", "WARNING", "INFO", "WARNING", "ERROR"]
