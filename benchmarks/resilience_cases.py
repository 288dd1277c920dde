"""The registry's bad days, one function each: what a contender made of it, in numbers.

A number whose name ends in ``_s`` is in seconds; infinity is what a contender did not reach within its limit, and
``nan`` what there was none of.
"""

from __future__ import annotations

import contextlib
import errno
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from resilience_cluster import A_SECOND, WHOSE, crash_it_again, crash_the_leader
from resilience_driver import Contender, Done, Driver

from kafka_sr_retry.testing import (
    Exchange,
    Fault,
    RecordedRequest,
    SchemaRegistryCluster,
    SchemaRegistryServer,
    faults,
)

FIRST_ID = 100
"""Of the scripted registry; so an id of 1 is a wrong one."""

REDIRECTS = (301, 302, 307, 308)
RUBBISH = {"{}": "{}", "null": "null", "true": '{"id":true}', "2^32": '{"id":4294967296}', "HTML": "<html></html>"}

Numbers = Mapping[str, float | str]
Measure = Callable[[Driver, Contender], Numbers]


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        shown: the numbers in words, with their names in braces.
        reached: whether numbers reach the goal.
        ratio: the number whose ratio between the clients tells most, if one does.
        short: whether it is measured in several rounds.
    """

    name: str
    about: str
    goal: str
    measure: Measure
    shown: str
    reached: Callable[[Mapping[str, Any]], bool]
    ratio: str = ""
    short: bool = False


class _Spell:
    """Something bad that begins with ``start`` and lasts for ``seconds``."""

    def __init__(self, seconds: float, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self._seconds, self._begin, self._end = seconds, begin, end
        self.over = math.inf

    def start(self) -> None:
        self._begin()
        self.over = time.monotonic() + self._seconds
        timer = threading.Timer(self._seconds, self._end)
        timer.daemon = True
        timer.start()


@contextlib.contextmanager
def _registry(*, delay: float = 0.0, full_answers: bool = False) -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer(delay=delay, full_answers=full_answers, first_id=FIRST_ID) as registry:
        yield registry


@contextlib.contextmanager
def _silent_port() -> Iterator[str]:
    """The URL of a port whose queue is full: who connects hears nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as stack:
        for _ in range(16):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            assert filler.connect_ex(server.getsockname()) in (0, errno.EINPROGRESS)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _about(topic: str) -> Callable[[RecordedRequest], bool]:
    return lambda request: f"/subjects/{topic}-value/" in unquote(request.path)


def _times(registry: SchemaRegistryServer, topic: str) -> list[float]:
    """When it was asked about this topic."""
    return [request.time for request in registry.requests if _about(topic)(request)]


def _urls(*registries: SchemaRegistryServer | str) -> dict[str, str]:
    return {"url": ",".join(one if isinstance(one, str) else one.url for one in registries)}


def _lanes(threads: int, topics: int) -> list[list[tuple[float, str]]]:
    """``topics`` dealt out to ``threads``."""
    return [[(0.0, f"topic-{number}") for number in range(thread, topics, threads)] for thread in range(threads)]


def _of(done: Sequence[Done], topic: str) -> Done:
    return next(one for one in done if one.topic == topic)


def _all_seconds(done: Sequence[Done]) -> float:
    return max(one.ended for one in done) - min(one.began for one in done)


def _lost(done: Sequence[Done]) -> int:
    """Messages that failed, or were still waiting when the contender's limit was over."""
    return sum(one.schema_id is None for one in done)


def _errors(done: Sequence[Done]) -> str:
    counted = Counter(one.error for one in done if one.error)
    return "; ".join(f"{number} x {error}" for error, number in counted.most_common(3))


# -- more than one URL ----------------------------------------------------------------------------


def first_refuses(driver: Driver, contender: Contender) -> Numbers:
    """Two subjects while nobody listens at the first URL; a third when somebody does again."""
    with _registry() as first, _registry() as second:
        first.close()
        lane = [(0.0, "one"), (0.0, "two"), (0.5, "three")]
        done = driver.drive(
            contender,
            _urls(first, second),
            [lane],
            heard=lambda one: first.start() if one.topic == "two" else None,
        )
        asked = {
            topic: [request.time for request in second.registrations if _about(topic)(request)] for _, topic in lane
        }
    return {
        "first_s": min(asked["one"], default=math.inf) - _of(done, "one").began,
        "again_s": min(asked["two"], default=math.inf) - _of(done, "two").began,
        "id_s": _of(done, "one").seconds,
        "next": "good" if asked["three"] else "failed",
    }


def first_drops(driver: Driver, contender: Contender) -> Numbers:
    """Two subjects while the first URL gives no sign of life."""
    with _silent_port() as silent, _registry() as second:
        done = driver.drive(contender, _urls(silent, second), [[(0.0, "one"), (0.0, "two")]])
    return {"first_s": _of(done, "one").seconds, "again_s": _of(done, "two").seconds, "lost": _lost(done)}


# -- many threads, many messages ------------------------------------------------------------------


def parallel(driver: Driver, contender: Contender) -> Numbers:
    with _registry(delay=0.05) as registry:
        done = driver.drive(contender, _urls(registry), _lanes(8, 16))
    return {"all_s": _all_seconds(done), "lost": _lost(done)}


def refused_subject(driver: Driver, contender: Contender) -> Numbers:
    with _registry(delay=0.05) as registry:
        registry.incompatible("topic-0-value")
        done = driver.drive(contender, _urls(registry), [[(0.0, "topic-0")]] * 32)
        return {"requests": len(registry.requests), "all_s": _all_seconds(done), "errors": _errors(done)}


def poison_schema(driver: Driver, contender: Contender) -> Numbers:
    with _registry() as registry:
        registry.incompatible("topic-0-value")
        done = driver.drive(contender, _urls(registry), [[(0.0, "topic-0")] * 300])
        return {"requests": len(registry.requests), "all_s": _all_seconds(done), "errors": _errors(done)}


def known_subject(driver: Driver, contender: Contender) -> Numbers:
    """20 messages of a known subject within a second, while another subject's answer takes two."""
    with _registry() as registry:
        registry.fail_next(faults.hang(2), matching=_about("new"))
        lanes = [[(0.0, "new")], [(0.05, "known")] * 20]
        done = driver.drive(contender, _urls(registry), lanes, known=["known"])
    return {"worst_s": max(one.seconds for one in done if one.topic == "known"), "lost": _lost(done)}


# -- outages --------------------------------------------------------------------------------------


def outage(driver: Driver, contender: Contender) -> Numbers:
    with _registry() as registry:
        spell = _Spell(10, lambda: registry.fail_always(faults.error(503)), registry.recover)
        done = driver.drive(contender, _urls(registry), _lanes(32, 32), start=spell.start)
        middle = [request for request in registry.requests if spell.over - 7 <= request.time < spell.over - 1]
        requests = sum(request.time < spell.over for request in registry.requests)
    return {
        "last_s": max(one.seconds for one in done),
        "a_second": len(middle) / 6,
        "requests": requests,
        "after_s": max(one.ended for one in done) - spell.over,
        "lost": _lost(done),
        "errors": _errors(done),
    }


def long_outage(driver: Driver, contender: Contender) -> Numbers:
    with _registry() as registry:
        registry.fail_always(faults.error(503))
        done = driver.drive(contender, _urls(registry), _lanes(32, 32))
        return {"last_s": max(one.seconds for one in done), "requests": len(registry.requests), "errors": _errors(done)}


def no_leader(driver: Driver, contender: Contender) -> Numbers:
    """Five producers, each a process with one new schema, for as long as a real election takes."""
    with _registry(delay=0.02) as registry:
        spell = _Spell(10.25, registry.lose_leader, registry.elect_leader)
        done = driver.drive(contender, _urls(registry), _lanes(5, 5), spread=True, start=spell.start)
    return {
        "lost": _lost(done),
        "gave_up_s": min((one.seconds for one in done if one.schema_id is None), default=math.nan),
        "after_s": max((one.ended for one in done if one.schema_id), default=math.nan) - spell.over,
        "errors": _errors(done),
    }


def no_leader_twice(driver: Driver, contender: Contender) -> Numbers:
    with _registry() as registry:
        registry.fail_next(faults.no_leader(), faults.no_leader())
        done = driver.drive(contender, _urls(registry), _lanes(1, 1))
        return {"id_s": done[0].seconds, "requests": len(registry.requests), "lost": _lost(done)}


def retry_after(driver: Driver, contender: Contender) -> Numbers:
    """How long the registry is left alone after a 429."""

    def date(exchange: Exchange) -> None:
        faults.retry_after(formatdate(time.time() + 2, usegmt=True)).play(exchange)

    with _registry() as registry:
        registry.fail_next(faults.retry_after(2), matching=_about("seconds"))
        registry.fail_next(Fault("a date two seconds ahead", date), matching=_about("date"))
        done = driver.drive(contender, _urls(registry), [[(0.0, "seconds"), (0.0, "date")]])

        def rest(topic: str) -> float:
            times = _times(registry, topic)
            return times[1] - times[0] if len(times) > 1 else math.inf

        return {"seconds_s": rest("seconds"), "date_s": rest("date"), "lost": _lost(done)}


def bad_subject(driver: Driver, contender: Contender) -> Numbers:
    """One subject is answered 500 for ever; ten new ones, one each 0.2 s, are well."""
    with _registry() as registry:
        registry.fail_always(faults.error(500), matching=_about("bad"))
        well = [(1.0 if number == 0 else 0.2, f"well-{number}") for number in range(10)]
        done = driver.drive(contender, _urls(registry), [[(0.0, "bad")], [(0.0, "bad")], well])
        good = [one for one in done if one.topic != "bad"]
        asked = [len(_times(registry, one.topic)) for one in good]
    return {"lost": _lost(good), "worst_s": max(one.seconds for one in good), "most": max(asked)}


def _in_vain(driver: Driver, contender: Contender, fault: Fault) -> Numbers:
    """Five messages of a new subject, one after another."""
    with _registry() as registry:
        registry.fail_always(fault)
        done = driver.drive(contender, _urls(registry), [[(0.0, "topic")] * 5])
        requests = len(registry.requests)
    return {"first_s": done[0].seconds, "next_s": max(one.seconds for one in done[1:]), "requests": requests}


def failing_fast(driver: Driver, contender: Contender) -> Numbers:
    return _in_vain(driver, contender, faults.error(503))


def hung_registry(driver: Driver, contender: Contender) -> Numbers:
    return _in_vain(driver, contender, faults.hang())


def paused_leader(driver: Driver, contender: Contender) -> Numbers:
    """The leader of two nodes is paused for a minute, while 4 new subjects a second come; once with each node first."""
    worst: dict[str, float | str] = {"lost": 0, "after_s": -math.inf, "slowest_s": 0.0, "errors": ""}
    for leader_first in (True, False):
        with SchemaRegistryCluster() as cluster:
            nodes = (cluster.leader, cluster.follower) if leader_first else (cluster.follower, cluster.leader)
            spell = _Spell(60, cluster.pause_leader, cluster.resume_leader)
            lanes = [[(number / A_SECOND, f"topic-{number}")] for number in range(69)]
            done = driver.drive(contender, _urls(*nodes), lanes, known=["known"], start=spell.start)
            first = min((one.ended for one in done if one.schema_id), default=math.inf)
            after = first - (cluster.took_over or math.nan)
        worst["lost"] = float(worst["lost"]) + _lost(done)
        worst["after_s"] = max(float(worst["after_s"]), after)
        worst["slowest_s"] = max(float(worst["slowest_s"]), *(one.seconds for one in done))
        worst["errors"] = worst["errors"] or _errors(done)
    return worst


def fork_without_hooks(driver: Driver, contender: Contender) -> Numbers:
    """Four children forked in C after the client has asked once; each topic's id is its number."""

    def its_number(exchange: Exchange) -> None:
        exchange.wait(0.03)
        number = unquote(exchange.request.path).removeprefix("/subjects/topic-").partition("-")[0]
        faults.answer(200, f'{{"id":{number}}}').play(exchange)

    with _registry() as registry:
        registry.fail_always(Fault("its number", its_number))
        lanes = [[(0.0, f"topic-{1000 * child + number}") for number in range(15)] for child in range(1, 5)]
        done = driver.fork(contender, _urls(registry), ["topic-1"], lanes)
    wrong = sum(one.schema_id is not None and f"topic-{one.schema_id}" != one.topic for one in done)
    return {"wrong_ids": wrong, "lost": _lost(done), "errors": _errors(done)}


# -- answers that are none ------------------------------------------------------------------------


def never_answers(driver: Driver, contender: Contender) -> Numbers:
    """First it is alone, then another URL stands behind it."""
    with _registry() as hung, _registry() as second:
        hung.fail_always(faults.hang())
        alone = driver.drive(contender, _urls(hung), _lanes(1, 1))
        done = driver.drive(contender, _urls(hung, second), [[(0.0, "one"), (0.0, "two")]])
    return {
        "error_s": alone[0].seconds,
        "second_s": _of(done, "one").seconds,
        "again_s": _of(done, "two").seconds,
        "errors": _errors(alone),
    }


def drips(driver: Driver, contender: Contender) -> Numbers:
    """An answer of some 200 bytes, one each half second, before a second URL."""
    with _registry(full_answers=True) as dripping, _registry() as second:
        dripping.fail_always(faults.drip(0.5))
        done = driver.drive(contender, _urls(dripping, second), _lanes(1, 1))
    return {"id_s": done[0].seconds, "lost": _lost(done)}


def redirects(driver: Driver, contender: Contender) -> Numbers:
    """Each kind of redirect, to the same origin and to another one, with credentials in the configuration."""
    with _registry() as home, _registry() as away:
        for status in REDIRECTS:
            home.fail_next(faults.redirect(home.url, status), matching=_about(f"home-{status}"))
            home.fail_next(faults.redirect(away.url, status), matching=_about(f"away-{status}"))
        conf = {**_urls(home), "basic.auth.user.info": "user:password"}
        lane = [(0.0, f"{where}-{status}") for status in REDIRECTS for where in ("home", "away")]
        done = driver.drive(contender, conf, [lane])
        arrived = [request for request in away.requests if request.method == "POST" and request.body]
        told = sum("Authorization" in request.headers for request in away.requests)
    return {
        "answered": sum(one.schema_id is not None and one.schema_id >= FIRST_ID for one in done),
        "arrived": len(arrived),
        "told": told,
        "errors": _errors(done),
    }


def rubbish(driver: Driver, contender: Contender) -> Numbers:
    """Each kind of rubbish once, for a subject of its own."""
    with _registry() as registry:
        for topic, body in RUBBISH.items():
            registry.fail_next(faults.answer(200, body), matching=_about(topic))
        done = driver.drive(contender, _urls(registry), [[(0.0, topic) for topic in RUBBISH]])
        requests = len(registry.requests)
    return {
        "right": sum(one.schema_id == FIRST_ID for one in done),
        "wrong_ids": sum(one.schema_id not in (None, FIRST_ID) for one in done),
        "requests": requests,
        "outcomes": ", ".join(f"{one.topic}: {_outcome(one)}" for one in done),
    }


def _outcome(one: Done) -> str:
    if one.schema_id is None:
        return one.error.partition(":")[0]
    return "right id" if one.schema_id == FIRST_ID else f"id {one.schema_id}"


# -- the table ------------------------------------------------------------------------------------

CASES = (
    Case(
        "leader-killed",
        f"{WHOSE}: leader killed, 5 producers with a new schema at once",
        "none lost; last id < 1.1 s after the election",
        crash_the_leader,
        "{lost} of 5 lost; last id after the election: {after_s}",
        lambda n: n["lost"] == 0 and n["after_s"] <= 1.1,
    ),
    Case(
        "rolling-crash",
        f"{WHOSE}: leader killed and brought back, twice, 4 new subjects a second",
        "none lost",
        crash_it_again,
        "{lost} of {sent} lost; slowest {slowest_s}",
        lambda n: n["lost"] == 0,
    ),
    Case(
        "no-leader",
        "50003 for 10.25 s, 5 producers with a new schema",
        "none lost; last id < 1.1 s after the election",
        no_leader,
        "{lost} of 5 lost; last id after the election: {after_s}",
        lambda n: n["lost"] == 0 and n["after_s"] <= 1.1,
    ),
    Case(
        "no-leader-twice",
        "50003 twice, then 200",
        "sooner",
        no_leader_twice,
        "{id_s}",
        lambda n: n["lost"] == 0,
        ratio="id_s",
        short=True,
    ),
    Case(
        "first-refuses",
        "first of two URLs refuses",
        "< 50 ms, remembered",
        first_refuses,
        "second asked after {first_s}, next subject {again_s}; the {next} one first when both are up",
        lambda n: n["first_s"] < 0.05 and n["again_s"] < 0.05 and n["next"] == "good",
        ratio="first_s",
        short=True,
    ),
    Case(
        "first-drops",
        "first of two URLs drops packets",
        "connect timeout (2 s) once",
        first_drops,
        "id after {first_s}, next subject {again_s}",
        lambda n: n["lost"] == 0 and n["first_s"] < 2.5 and n["again_s"] < 0.05,
        ratio="first_s",
    ),
    Case(
        "parallel",
        "16 subjects, 8 threads, 50 ms an answer",
        "< 0.13 s",
        parallel,
        "{all_s}",
        lambda n: n["lost"] == 0 and n["all_s"] < 0.13,
        ratio="all_s",
        short=True,
    ),
    Case(
        "refused-subject",
        "32 threads, one new subject, 409",
        "1 request",
        refused_subject,
        "requests: {requests}; all told after {all_s}",
        lambda n: n["requests"] == 1,
        ratio="requests",
        short=True,
    ),
    Case(
        "poison-schema",
        "300 messages, incompatible schema",
        "1 request",
        poison_schema,
        "requests: {requests}; all told after {all_s}",
        lambda n: n["requests"] == 1,
        ratio="requests",
        short=True,
    ),
    Case(
        "known-subject",
        "a known subject while another hangs",
        "no delay",
        known_subject,
        "slowest of 20: {worst_s}",
        lambda n: n["lost"] == 0 and n["worst_s"] < 0.01,
        short=True,
    ),
    Case(
        "outage",
        "503 for 10 s, 32 threads, 32 subjects",
        "none lost; <= 2 requests/s; all 1.5 s after recovery",
        outage,
        "{lost} of 32 lost; {a_second} requests/s ({requests} in all); last {after_s} after recovery",
        lambda n: n["lost"] == 0 and n["last_s"] <= 30 and n["a_second"] <= 2 and n["after_s"] <= 1.5,
    ),
    Case(
        "long-outage",
        "503 without end, 32 threads, 32 subjects",
        "all end within total timeout (30 s)",
        long_outage,
        "last error after {last_s}; requests: {requests}",
        lambda n: n["last_s"] < 30.5,
    ),
    Case(
        "bad-subject",
        "one subject gets 500 for ever, 10 new ones are well",
        "none lost, each with its first request",
        bad_subject,
        "{lost} of 10 lost; slowest {worst_s}; at most {most} requests for one",
        lambda n: n["lost"] == 0 and n["most"] == 1,
        ratio="worst_s",
    ),
    Case(
        "failing-fast",
        "503 without end, 5 messages one after another",
        "total timeout (30 s) once, then < 50 ms",
        failing_fast,
        "first error after {first_s}, the others after {next_s} at most; requests: {requests}",
        lambda n: n["first_s"] < 30.5 and n["next_s"] < 0.05,
    ),
    Case(
        "paused-leader",
        "leader of two nodes paused for 60 s, 4 new subjects a second, each node first",
        "none lost, first < 3 s after the new leader",
        paused_leader,
        "{lost} of 138 lost; first after the new leader: {after_s}; slowest {slowest_s}",
        lambda n: n["lost"] == 0 and n["after_s"] < 3,
    ),
    Case(
        "fork-without-hooks",
        "4 children forked in C, as uWSGI does, 15 new subjects each",
        "no wrong id, none lost",
        fork_without_hooks,
        "{wrong_ids} wrong ids, {lost} of 60 lost",
        lambda n: n["wrong_ids"] == 0 and n["lost"] == 0,
    ),
    Case(
        "hung-registry",
        "never answers, 5 messages one after another",
        "total timeout (30 s) once, then < 50 ms",
        hung_registry,
        "first error after {first_s}, the others after {next_s} at most; requests: {requests}",
        lambda n: n["first_s"] < 30.5 and n["next_s"] < 0.05,
    ),
    Case(
        "retry-after",
        "429, Retry-After 2 s / as a date",
        ">= 2 s, within the deadline",
        retry_after,
        "asked again after {seconds_s} / {date_s}",
        lambda n: n["lost"] == 0 and 2 <= n["seconds_s"] < 5 and 2 <= n["date_s"] < 5,
        short=True,
    ),
    Case(
        "never-answers",
        "accepts, never answers: alone / before a second URL",
        "total (30 s) / request timeout (14 s)",
        never_answers,
        "error after {error_s} / id after {second_s}, next subject {again_s}",
        lambda n: n["error_s"] < 30.5 and n["second_s"] < 14.5 and n["again_s"] < 0.05,
    ),
    Case(
        "drips",
        "answer drips, a byte each 0.5 s",
        "request timeout (14 s)",
        drips,
        "id after {id_s}",
        lambda n: n["lost"] == 0 and n["id_s"] < 14.5,
        ratio="id_s",
    ),
    Case(
        "redirects",
        "301, 302, 307, 308: same origin, other origin",
        "followed; no credentials elsewhere",
        redirects,
        "{answered} of 8 answered; credentials told elsewhere: {told}",
        lambda n: n["answered"] == 8 and n["arrived"] == 4 and n["told"] == 0,
    ),
    Case(
        "rubbish",
        "200 with {}, null, true, 2^32, HTML",
        "asked again, never a wrong id",
        rubbish,
        "{outcomes}",
        lambda n: n["right"] == len(RUBBISH) and n["wrong_ids"] == 0,
    ),
)
