"""The lines that a producer writes about its registry."""

from __future__ import annotations

import logging
import queue
from typing import Any

import pytest
from clocks import SkippingClock

from kafka_sr_retry import Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.events import AttemptStartEvent, BreakerEvent, FailoverEvent, RetryEvent, SuccessEvent
from kafka_sr_retry.registry.clock import Clock
from kafka_sr_retry.registry.log import LINES, PERIOD, Log
from kafka_sr_retry.testing import SchemaRegistryServer, answer, drop_body, error, no_leader, reset

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
    assert text.startswith(f"{ASKED}recovered, {schema_registry.url} has answered attempt 2 after ")


def test_retries_after_the_first_warn_and_an_outage_and_its_end_are_a_line_each(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    schema_registry.fail_next(*[no_leader()] * 4)
    register(schema_registry.url)
    told = lines(caplog)
    assert [level for level, _ in told] == ["WARNING"] * 4 + ["INFO"]
    assert told[0][1].startswith(f"{ASKED}nobody has served (no_leader), retry 2 comes in ")
    assert told[1][1].startswith(f"{ASKED}the cluster has no leader for writes, 3 failures in ")
    assert told[2][1].startswith(f"{ASKED}nobody has served (no_leader), retry 3 comes in ")
    assert told[4][1].startswith(f"{ASKED}recovered, the cluster has no leader for writes is over after 4 failures in ")


def test_a_failover_warns(schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture) -> None:
    with SchemaRegistryServer() as other:
        schema_registry.fail_next(reset())
        register([schema_registry.url, other.url])
        (level, text), _ = lines(caplog)
    assert level == "WARNING"
    assert text == f"{ASKED}{schema_registry.url} does not serve (connection), {other.url} is asked next"


def test_a_lost_body_says_what_to_mend(schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture) -> None:
    schema_registry.fail_always(drop_body())
    with pytest.raises(SchemaRegistryError):
        register(schema_registry.url)
    (level, text), (level2, text2) = lines(caplog)
    assert (level, level2) == ("WARNING", "ERROR")
    assert "drops request bodies, mend or bypass it" in text
    assert schema_registry.requests[0].headers["X-Request-ID"] in text
    answered = "(body_lost, HTTP 422, error_code 422)"
    assert text2 == f"{ASKED}refused for good by {schema_registry.url} {answered}, the caller has the error"


def test_a_give_up_is_an_error(schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture) -> None:
    schema_registry.fail_always(error(503))
    with pytest.raises(SchemaRegistryError):
        register(schema_registry.url, max_retries=1)
    ((level, text),) = lines(caplog)
    assert level == "ERROR"
    assert text.startswith(f"{ASKED}gave up after 2 attempts in ")
    assert text.endswith(" s (server_error)")


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
            if "serves on" in record.getMessage():
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
    retry = RetryEvent(call=1, operation="register", asked="ask", round=2, wait=1, reason="timeout")
    failover = FailoverEvent(call=1, operation="register", asked="ask", failed="a", next="b", reason="timeout")
    for _ in range(LINES + 990):
        log(retry)
    log(failover)
    assert len(lines(caplog)) == LINES + 1

    clock.time += PERIOD
    for _ in range(2):
        log(retry)
    told = [text for _, text in lines(caplog)][LINES + 1 :]
    line = "ask: nobody has served (timeout), retry 2 comes in 1.0 s"
    assert told == [f"{line} (990 more lines like this one were left out)", line]


def test_the_end_of_an_outage_is_told_though_its_beginnings_were_many(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(StillClock())
    common: dict[str, Any] = {"call": 1, "operation": "register", "asked": "ask", "failures": 3, "seconds": 1}
    for _ in range(LINES + 5):
        log(BreakerEvent(**common, endpoint="a", open=True))
    log(BreakerEvent(**common, endpoint="a", open=False))
    assert [level for level, _ in lines(caplog)] == ["WARNING"] * LINES + ["INFO"]


def test_an_outage_that_ends_amid_a_call_does_not_hide_the_calls_own_recovery(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log(StillClock())
    common: dict[str, Any] = {"call": 1, "operation": "register", "asked": "ask"}
    start: dict[str, Any] = {"method": "POST", "url": "u", "endpoint": "a", "number": 2, "request_id": "r"}
    log(BreakerEvent(**common, endpoint="a", open=False, failures=3, seconds=1))
    log(AttemptStartEvent(**common, **start, headers={}))
    log(SuccessEvent(**common, endpoint="a", attempts=2, seconds=1))
    assert [level for level, _ in lines(caplog)] == ["INFO", "INFO"]
