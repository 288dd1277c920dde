"""Callers who ask the same thing at the same time share one flight, and each leaves when it wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kafka_sr_retry import SchemaRegistryClient
from kafka_sr_retry.errors import IncompatibleSchemaError, RegistryUnavailableError, SchemaRegistryError
from kafka_sr_retry.events import AttemptEvent, Event, RetryEvent
from kafka_sr_retry.registry.clock import Clock
from kafka_sr_retry.registry.flights import Flight, Flights, Overdue
from kafka_sr_retry.schema import Schema
from kafka_sr_retry.testing import Exchange, Fault, SchemaRegistryServer, error

GUARD = 10.0


class ShiftedClock(Clock):
    """The real clock, which a test can put forward."""

    shift = 0.0

    def now(self) -> float:
        return super().now() + self.shift


class Caller(threading.Thread):
    """Calls, and keeps what came of it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.call()
        except BaseException as error:  # noqa: BLE001 it is what is tested
            self.error = error

    def done(self) -> Caller:
        self.join(GUARD)
        assert not self.is_alive(), "a caller still waits"
        return self


class Work:
    """Work that ends when it is let go."""

    def __init__(self, result: Any = 7) -> None:
        self.flights: list[Flight[Any]] = []
        self.began = threading.Event()
        self.go = threading.Event()
        self.result = result

    def __call__(self, flight: Flight[Any]) -> Any:
        self.flights.append(flight)
        self.thread = threading.current_thread()
        self.began.set()
        assert self.go.wait(GUARD)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.go.set()


@pytest.fixture
def flights() -> Flights[Any]:
    return Flights(Clock())


def far() -> float:
    return Clock().now() + GUARD


def until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread is about to do."""
    pause = threading.Event()
    for _ in range(int(GUARD / 0.002)):
        if condition():
            return
        pause.wait(0.002)
    raise AssertionError("it never happened")


def test_callers_with_the_same_question_share_one_flight(flights: Flights[Any], work: Work) -> None:
    deadlines = [far() + later for later in range(8)]
    callers = [Caller(lambda at=at: flights.join("q", work, at)) for at in deadlines]
    work.began.wait(GUARD)
    until(lambda: work.flights[0].deadline == deadlines[-1])
    work.go.set()

    assert [caller.done().result for caller in callers] == [7] * 8
    assert len(work.flights) == 1


def test_different_questions_fly_side_by_side(flights: Flights[Any], work: Work) -> None:
    other = Work(8)
    first, second = (Caller(lambda q=q, w=w: flights.join(q, w, far())) for q, w in (("a", work), ("b", other)))
    assert work.began.wait(GUARD)
    assert other.began.wait(GUARD)
    other.go.set()
    assert second.done().result == 8
    assert first.is_alive()
    work.go.set()
    assert first.done().result == 7


def test_a_caller_with_an_earlier_deadline_leaves_alone(flights: Flights[Any], work: Work) -> None:
    patient = Caller(lambda: flights.join("q", work, far()))
    work.began.wait(GUARD)
    hasty = Caller(lambda: flights.join("q", work, Clock().now() + 0.02))

    assert isinstance(hasty.done().error, Overdue)
    assert patient.is_alive()
    work.go.set()
    assert patient.done().result == 7
    assert len(work.flights) == 1


def test_a_flight_goes_on_without_its_first_caller(flights: Flights[Any], work: Work) -> None:
    hasty = Caller(lambda: flights.join("q", work, Clock().now() + 0.02))
    assert isinstance(hasty.done().error, Overdue)
    patient = Caller(lambda: flights.join("q", Work(8), far()))
    until(lambda: work.flights[0].deadline > Clock().now() + 1)
    work.go.set()

    assert patient.done().result == 7


def test_a_later_deadline_extends_the_flight_and_an_earlier_one_does_not_shorten_it(
    flights: Flights[Any], work: Work
) -> None:
    start = far()
    callers = [Caller(lambda: flights.join("q", work, start))]
    work.began.wait(GUARD)
    callers += [Caller(lambda at=at: flights.join("q", work, at)) for at in (start + 5, start - 1)]
    until(lambda: work.flights[0].deadline == start + 5)
    work.go.set()

    assert [caller.done().result for caller in callers] == [7, 7, 7]
    assert work.flights[0].deadline == start + 5


@pytest.mark.parametrize("raised", [ValueError("broken"), TimeoutError("inner"), SystemExit(3)], ids=repr)
def test_work_that_raises_ends_all_its_callers_and_the_next_begins_anew(
    flights: Flights[Any], raised: BaseException
) -> None:
    work = Work(raised)
    callers = [Caller(lambda: flights.join("q", work, far()))]
    work.began.wait(GUARD)
    callers.append(Caller(lambda: flights.join("q", work, far() + 1)))
    until(lambda: work.flights[0].deadline > far())
    work.go.set()

    assert all(type(caller.done().error) is type(raised) for caller in callers)
    assert flights.join("q", lambda _: 8, far()) == 8


def test_a_question_answered_before_is_a_new_flight(flights: Flights[Any]) -> None:
    assert [flights.join("q", lambda _, n=n: n, far()) for n in (1, 2)] == [1, 2]


def test_end_all_releases_every_caller_and_later_ones_begin_anew(flights: Flights[Any], work: Work) -> None:
    other = Work(8)
    callers = [Caller(lambda q=q, w=w: flights.join(q, w, far())) for q, w in (("a", work), ("b", other))]
    work.began.wait(GUARD)
    other.began.wait(GUARD)
    flights.end_all(lambda question, so_far: "ended")

    assert [caller.done().result for caller in callers] == ["ended", "ended"]
    assert flights.join("a", lambda _: 9, far()) == 9
    work.go.set()
    other.go.set()


def test_the_end_of_a_flight_that_end_all_cut_leaves_a_newer_one_alone(flights: Flights[Any], work: Work) -> None:
    Caller(lambda: flights.join("q", work, far()))
    work.began.wait(GUARD)
    flights.end_all(lambda question, so_far: "ended")
    newer = Work(8)
    caller = Caller(lambda: flights.join("q", newer, far()))
    newer.began.wait(GUARD)
    work.go.set()
    work.thread.join(GUARD)
    joiner = Caller(lambda: flights.join("q", Work(9), far() + 1))
    until(lambda: newer.flights[0].deadline > far())
    newer.go.set()

    assert (caller.done().result, joiner.done().result) == (8, 8)


def test_a_thread_that_cannot_start_leaves_no_dead_flight(
    flights: Flights[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            flights.join("q", lambda _: 7, far())
    assert flights.join("q", lambda _: 8, far()) == 8


def held_back(let_go: threading.Event, fault: Fault) -> Fault:
    def play(exchange: Exchange) -> None:
        let_go.wait(GUARD)
        fault.play(exchange)

    return Fault("held_back", play)


def joined(client: SchemaRegistryClient, count: int) -> Callable[[], bool]:
    """Whether so many threads wait for a flight."""
    return lambda: sum(len(f.future._condition._waiters) for f in client._flights._under_way.values()) >= count


def test_thirty_threads_with_one_refused_schema_make_one_request_and_each_has_its_own_exception(
    schema_registry: SchemaRegistryServer,
) -> None:
    let_go = threading.Event()
    schema_registry.fail_next(held_back(let_go, error(409)))
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        callers = [Caller(lambda: client.register_schema("s", Schema('"string"'))) for _ in range(30)]
        until(joined(client, 30))
        let_go.set()
        errors = [caller.done().error for caller in callers]

    assert all(isinstance(e, IncompatibleSchemaError) for e in errors)
    assert len({id(e) for e in errors}) == 30
    assert len(schema_registry.requests) == 1


def test_the_same_schema_under_another_subject_or_with_normalization_is_another_question(
    schema_registry: SchemaRegistryServer,
) -> None:
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        for _ in range(2):
            client.register_schema("a", Schema('"string"'))
            client.register_schema("b", Schema('"string"'))
            client.register_schema("a", Schema('"string"'), normalize_schemas=True)
            client.register_schema("a", Schema('"long"'))

    assert len(schema_registry.requests) == 4


def test_close_ends_all_waits_with_a_clear_error(schema_registry: SchemaRegistryServer) -> None:
    let_go = threading.Event()
    schema_registry.fail_always(held_back(let_go, error(409)))
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        callers = [Caller(lambda n=n: client.register_schema(f"s{n % 4}", Schema('"string"'))) for n in range(12)]
        until(joined(client, 12))
        client.close()
        errors = [caller.done().error for caller in callers]
    let_go.set()

    assert all(isinstance(e, RegistryUnavailableError) and "closed" in str(e) for e in errors)
    assert len({id(e) for e in errors}) == 12


def test_a_closed_client_asks_nobody_and_still_knows_what_it_knew(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url})
    known = client.register_schema("s", Schema('"string"'))
    client.close()

    assert client.register_schema("s", Schema('"string"')) == known
    with pytest.raises(RegistryUnavailableError, match="closed"):
        client.register_schema("other", Schema('"string"'))
    assert len(schema_registry.requests) == 1


# -- a caller who leaves before its call ends ------------------------------------------------------


RESTING = error(503, 50001, headers={"Retry-After": "60"})


class Waiting:
    """A client, a call of it that goes on, and what is told to who leaves at once."""

    def __init__(self, kind: type[Event], fault: Fault | None, **conf: Any) -> None:
        self.heard = threading.Event()
        self.let_go = threading.Event()
        self.kind = kind
        self.conf = {"event_cb": self.hear, **conf}
        self.fault = fault
        self.block = False

    def hear(self, event: Event) -> None:
        if isinstance(event, self.kind):
            self.heard.set()
            if self.block:
                self.let_go.wait(GUARD)

    def leave(self, registry: SchemaRegistryServer, how: Callable[[SchemaRegistryClient], Any]) -> SchemaRegistryError:
        if self.fault is not None:
            registry.fail_always(self.fault)
        with SchemaRegistryClient({"url": registry.url, **self.conf}) as client:
            first = Caller(lambda: client.register_schema("s", Schema('"string"'), timeout=600))
            assert self.heard.wait(GUARD)
            error = how(client) or first.done().error
            self.let_go.set()
        assert isinstance(error, RegistryUnavailableError)
        return error


def at_once(client: SchemaRegistryClient) -> object:
    return Caller(lambda: client.register_schema("s", Schema('"string"'), timeout=0)).done().error


def closing(client: SchemaRegistryClient) -> object:
    client.close()
    return None


@pytest.mark.parametrize("how", [at_once, closing])
def test_who_leaves_hears_what_was_answered_so_far(schema_registry: SchemaRegistryServer, how: Any) -> None:
    waiting = Waiting(RetryEvent, RESTING)
    told = waiting.leave(schema_registry, how)

    assert (told.http_status_code, told.error_code, told.retriable) == (503, 50001, True)
    assert told.attempts == len(schema_registry.requests) == 1
    assert told.url == schema_registry.url
    assert "answered 503/50001" in str(told)
    assert ("closed" in str(told)) is (how is closing)
    assert "could not register a schema under subject 's'" in str(told)
    if how is at_once:
        assert told.retry_after is not None
        assert 50 < told.retry_after < 61
        assert "(1 attempt in 0." in str(told)


def test_a_listener_that_blocks_hides_no_answer(schema_registry: SchemaRegistryServer) -> None:
    waiting = Waiting(AttemptEvent, error(500, 50001))
    waiting.block = True

    assert waiting.leave(schema_registry, at_once).error_code == 50001


def test_who_leaves_during_an_attempt_hears_that_it_was_made(schema_registry: SchemaRegistryServer) -> None:
    asked = threading.Event()

    def play(exchange: Exchange) -> None:
        asked.set()
        exchange.wait(GUARD)

    schema_registry.fail_always(Fault("hangs", play))
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        Caller(lambda: client.register_schema("s", Schema('"string"')))
        assert asked.wait(GUARD)
        told = at_once(client)

    assert isinstance(told, RegistryUnavailableError)
    assert f"{schema_registry.url} answered nothing yet (1 attempt in 0." in str(told)


def test_who_leaves_during_the_look_up_hears_of_the_registration(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(error(403))
    waiting = Waiting(RetryEvent, RESTING)
    told = waiting.leave(schema_registry, at_once)

    assert (told.http_status_code, told.error_code) == (403, 403)
    assert told.attempts == len(schema_registry.requests)


@pytest.mark.parametrize("how", [at_once, closing])
def test_who_leaves_while_no_token_can_be_had_hears_of_the_tokens_server(
    schema_registry: SchemaRegistryServer, how: Any
) -> None:
    conf = {
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": "us",
        "bearer.auth.client.secret": "secret",
    }
    with SchemaRegistryServer() as tokens:
        tokens.fail_always(RESTING)
        endpoint = {"bearer.auth.issuer.endpoint.url": f"{tokens.url}/token"}
        told = Waiting(RetryEvent, None, **conf, **endpoint).leave(schema_registry, how)

        assert (told.http_status_code, told.attempts) == (503, len(tokens.requests))
        assert f"{tokens.url}/token answered 503" in str(told)
        assert "No access token" in str(told)
    assert schema_registry.requests == []


def test_each_caller_is_told_its_own_time(schema_registry: SchemaRegistryServer) -> None:
    clock = ShiftedClock()
    let_go, asked = threading.Event(), threading.Event()

    def play(exchange: Exchange) -> None:
        asked.set()
        let_go.wait(GUARD)
        error(409).play(exchange)

    schema_registry.fail_always(Fault("late", play))
    with SchemaRegistryClient({"url": schema_registry.url, "total.timeout.ms": 10**7}, clock=clock) as client:
        first = Caller(lambda: client.register_schema("s", Schema('"string"')))
        assert asked.wait(GUARD)
        clock.shift = 1000
        second = Caller(lambda: client.register_schema("s", Schema('"string"')))
        until(joined(client, 2))
        clock.shift = 1100
        let_go.set()
        times = [str(caller.done().error) for caller in (first, second)]

    assert ["attempt in 11" in times[0], "attempt in 10" in times[1]] == [True, True], times
