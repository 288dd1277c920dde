"""The rules as data: what each answer means, and who is asked when. tests/spec/README.md tells how to read the files.

The walk is the real one, moved on by ``Play`` on a clock of its own, without threads.
"""

from __future__ import annotations

import heapq
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.config import ClientSettings, parse
from kafka_sr_retry.errors import Failure
from kafka_sr_retry.events import Event
from kafka_sr_retry.registry import answers
from kafka_sr_retry.registry.access import Access, Fixed
from kafka_sr_retry.registry.asking import Asking
from kafka_sr_retry.registry.attempts import Question
from kafka_sr_retry.registry.call import Answered, Attempt, Done, Need, Until, Walk, World
from kafka_sr_retry.registry.outages import Outages
from kafka_sr_retry.registry.policy import TABLE, TOKENS, Action, Blame, Break, Outcome, Row, decide
from kafka_sr_retry.registry.request import RegistryRequest, Reply
from kafka_sr_retry.registry.tokens import Tokens, credentials
from tests.spec import HOME, ORDER, SUBJECT, WORDS, body_of, cases, written

SCHEMA = Schema(ORDER)
IDP = "http://idp/token"
TOKEN = {"source": "OAUTHBEARER", "client.id": "id", "client.secret": "secret", "issuer.endpoint.url": IDP}
ASKS: dict[str, Callable[[Any, str], Any]] = {
    "register": lambda client, name: client.register_schema_full_response(name, SCHEMA),
    "look_up": lambda client, name: client.lookup_schema(name, SCHEMA),
    "get_version": lambda client, name: client.get_version(name, 1),
    "get_latest": lambda client, name: client.get_latest_version(name),
    "get_schema": lambda client, name: client.get_registered(1),
    "associations": lambda client, name: client.get_associated_subjects("orders", "cluster", "value"),
    "compatibility": lambda client, name: client.test_compatibility(name, SCHEMA),
}


def tokens() -> Tokens:
    given = {f"bearer.auth.{name}".replace("auth.source", "auth.credentials.source"): v for name, v in TOKEN.items()}
    settings = parse(ClientSettings, {"url": "http://a", **given})
    shown = credentials(settings, lambda event: None, lambda event: False)
    assert isinstance(shown, Tokens)
    return shown


def request_for(ask: str, name: str = SUBJECT) -> RegistryRequest[Any]:
    """What the client would ask."""
    with mock.patch.object(Asking, "ask", lambda self, request, *args, **more: request):
        client = SchemaRegistryClient({"url": "http://a", "ssl.ca.location": False})
        request: RegistryRequest[Any] = ASKS[ask](client, name)
        return request


def reply_of(answer: dict[str, Any]) -> Reply:
    if "broke" in answer:
        return Reply("http://a", Break[answer["broke"].upper()], answer["broke"])
    headers = {name.lower(): value for name, value in answer.get("headers", {}).items()}
    return Reply("http://a", status=answer["status"], headers=headers, body=body_of(answer))


def told(value: Any) -> Any:
    """A result, as the files have it."""
    value = getattr(value, "schema_id", value)
    value = getattr(value, "access", value)
    if isinstance(value, Access):
        return value.headers["Authorization"]
    return list(value) if isinstance(value, tuple) else value


# -- answers ---------------------------------------------------------------------------------------

ANSWERS = list(cases("answers"))
TTL = 30
MOST_ATTEMPTS = 500


class Renewed(Fixed):
    renewable = True

    def at_hand(self, now: float, denied: Access | None) -> Access:
        return Access()


ASKED = {ask: request_for(ask) for ask in ASKS}
TOKENS_WORLD, ASKED["token"] = (question := tokens().question).world, question.request


def read(case: dict[str, Any]) -> tuple[Outcome, tuple[Row, ...]]:
    """The outcome that a case's answer stands for, and the table that decides on it."""
    reads, table = (TOKENS_WORLD.read, TOKENS) if case["ask"] == "token" else (answers.read, TABLE)
    return reads(reply_of(case["answer"]), ASKED[case["ask"]], renewable=case.get("renewable", False)), table


def judged(case: dict[str, Any], outcome: Outcome, row: Row) -> dict[str, Any]:
    """What a row makes of a case's answer."""
    found: dict[str, Any] = {"row": row.name, "action": row.action.name.lower()}
    if row.blame is not Blame.NOBODY:
        found["blame"] = row.blame.name.lower()
    if row.action is Action.REST and outcome.retry_after is not None:
        found["wait"] = outcome.retry_after
    if row.look_up:
        found["look_up"] = True
    if row.remembered_for:
        found["remembered"] = row.remembered_for * TTL
    words = case["means"].get("advice", "")
    return found | ({"advice": words} if words and words in row.advice else {})


def ends(case: dict[str, Any]) -> dict[str, Any]:
    """What a caller gets if the only node answers so each time."""
    question = tokens().question if case["ask"] == "token" else None
    shown = Renewed(Access()) if case.get("renewable") else Fixed(Access())
    play = Play(["http://a"], lambda *_: case["answer"], credentials=shown, token=question)
    play.ask("it", question.request if question else request_for(case["ask"]))
    (end,) = play.ends()
    return {"error": end["fails"]} if "fails" in end else {"gives": end["gets"]}


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case["id"])
def test_an_answer_means(case: dict[str, Any]) -> None:
    outcome, table = read(case)

    assert judged(case, outcome, decide(outcome, table)) | ends(case) == case["means"]


def test_each_row_of_both_tables_is_met() -> None:
    met = {id(decide(*read(case))) for case in ANSWERS}

    assert [row for row in (*TABLE, *TOKENS) if id(row) not in met] == []


def test_where_each_case_comes_from_is_told() -> None:
    told_from = ("recorded from ", "observed on ", "written from ")

    assert [case["id"] for case in [*ANSWERS, *TRANSCRIPTS] if not case["source"].startswith(told_from)] == []
    assert len(ANSWERS) >= 120
    assert len(TRANSCRIPTS) >= 30
    assert len({case["id"] for case in [*ANSWERS, *TRANSCRIPTS]}) == len(ANSWERS) + len(TRANSCRIPTS)


@pytest.mark.parametrize("path", sorted(HOME.rglob("*.json")), ids=lambda path: path.stem)
def test_a_file_is_laid_out_to_be_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert text == written(json.loads(text)) + "\n"


# -- transcripts -----------------------------------------------------------------------------------

TRANSCRIPTS = list(cases("transcripts"))


def plain_wait(failures: int, age: float, longest: float = 0.0) -> float:
    """Without chance, and the same whatever the real waits are tuned to."""
    return max(min(0.1 * 2.0 ** (failures - 1), 1.0), min(age / 10, 20.0))


class _Run:
    """A walk under way."""

    def __init__(self, name: str, question: Question, now: float, tell: Callable[[Event], None]) -> None:
        self.name, self.question = name, question
        self.walk = Walk(question.request, question.world, now, tell)
        self.steps = self.walk.steps(now)
        self.at: Any = None
        self.callers: list[Callable[[Any], object]] = []


class Play:
    """Moves walks on, as the driver does.

    Args:
        answers: (name of the question, attempt, time) -> what the node answers; ``takes``: in seconds.
        random: of the waits; without it they are ``plain_wait``'s.
    """

    def __init__(
        self,
        nodes: list[str],
        answers: Callable[[str, Attempt, float], dict[str, Any]],
        *,
        random: float | None = None,
        credentials: Any = None,
        token: Question | None = None,
        total: float = 30.0,
        request: float = 10.0,
        max_retries: int | None = None,
    ) -> None:
        self._random = random
        self.now = 0.0
        self.attempts = 0
        self.log: list[dict[str, Any]] = []
        self.events: list[Event] = []
        self.results: list[Any] = []
        self.token = token
        self.answers = answers
        self.total = total
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._runs: dict[Any, _Run] = {}
        self.world = World(
            outages=self._outages(tuple(nodes), max_retries),
            credentials=credentials or Fixed(Access()),
            request_timeout=request,
            total_timeout=total,
        )
        self._seen = 0
        if token is not None:
            outages = self._outages(token.world.outages.urls)
            world = replace(token.world, outages=outages, request_timeout=request, total_timeout=total)
            self.token = replace(token, world=world)
            if credentials is None or not credentials.renewable:
                self.world = world

    def _outages(self, urls: tuple[str, ...], max_retries: int | None = None) -> Outages:
        given = self._random
        made = Outages(urls, random=lambda: given or 0.0, base=0.1, cap=20.0, max_retries=max_retries)
        if given is None:
            made._wait = plain_wait
        return made

    def at(self, time: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (time, next(self._numbers), what))

    def ask(self, name: str, request: RegistryRequest[Any], seconds: float | None = None) -> None:
        """A caller's call, who waits so long."""
        until = self.now + (self.total if seconds is None else seconds)
        waits = {True}

        def deliver(result: Any) -> None:
            if waits:
                waits.clear()
                self._tell(name, result)

        self.at(until, lambda: deliver(run.walk.so_far(self.now, self.now - run.walk.began, "")))
        question: Any = mock.Mock(request=request, world=self.world, settle=lambda result, now: result)
        run = self._join(name, question, until, deliver)

    def close(self) -> None:
        self.world.outages.close()
        for run in [run for run in self._runs.values() if isinstance(run.at, Attempt)]:
            self._go(run, Done(Outcome(broke=Break.RESET, detail="the client was closed"), "", self.now, self.now, 0.0))

    def ends(self) -> list[dict[str, Any]]:
        """Plays until nothing is left to do; gives what the callers got."""
        while self._agenda:
            time, _, what = heapq.heappop(self._agenda)
            self.now = max(self.now, time)
            what()
            while self.world.outages.stirred != self._seen:
                self._seen = self.world.outages.stirred
                for run in list(self._runs.values()):
                    if isinstance(run.at, Until) and run.question.world is self.world:
                        self._go(run)
        assert not self._runs, "somebody waits for ever"
        return [line for line in self.log if "gets" in line or "fails" in line]

    def _join(self, name: str, question: Any, until: float, deliver: Callable[[Any], object]) -> _Run:
        run = self._runs.get(question.request)
        if run is None:
            run = self._runs[question.request] = _Run(name, question, self.now, self.events.append)
        run.callers.append(deliver)
        run.walk.last_until(until)
        if run.at is None:
            self._go(run)
        return run

    def _go(self, run: _Run, value: Any = None) -> None:
        while True:
            try:
                step = run.steps.send(None if run.at is None else (self.now, value))
            except StopIteration as end:
                run.at = end
                del self._runs[run.question.request]
                result = run.question.settle(end.value, self.now)
                for deliver in run.callers:
                    deliver(result)
                return
            run.at, value = step, None
            if isinstance(step, Until):
                self._later(min(step.at, run.walk.deadline), run)
                return
            if isinstance(step, Attempt):
                done = self._attempt(run, step)
                self._later(done.ended, run, done)
                return
            if isinstance(step, Need):
                self._need(run, step)
                if step.waits:
                    return

    def _later(self, time: float, run: _Run, value: Any = None) -> None:
        """Unless it has gone on by then."""
        step = run.at
        self.at(time, lambda: run.at is step and self._go(run, value))

    def _attempt(self, run: _Run, step: Attempt) -> Done:
        seconds = min(step.seconds, run.walk.deadline - self.now)
        assert seconds > 0
        self.attempts += 1
        assert self.attempts < MOST_ATTEMPTS, "it asks for ever"
        answer = self.answers(run.name, step, self.now)
        takes = answer.get("takes", seconds if answer.get("broke") == "timeout" else 0.0)
        answer = answer if takes < seconds else {"broke": "timeout"}
        outcome = step.read(reply_of(answer), step.request, renewable=step.renewable, secrets=step.access.secrets)
        return Done(outcome, "", self.now, self.now + min(takes, seconds), seconds)

    def _need(self, run: _Run, need: Need) -> None:
        token = self.token
        assert token is not None
        at_hand = self.world.credentials.at_hand(self.now, need.denied)
        if need.waits and at_hand is not None:
            self._later(self.now, run, at_hand)
        elif need.waits or token.request not in self._runs:
            until = run.walk.deadline if need.waits else self.now + self.total
            self._join("token", token, until, lambda value: need.waits and run.at is need and self._go(run, value))

    def _tell(self, name: str, result: Any) -> None:
        self.results.append(result)
        line: dict[str, Any] = {"at": self.now, "of": name}
        if isinstance(result, Failure):
            line |= {"fails": result.error.__name__, "reason": result.reason, "attempts": result.attempts}
            if result.retry_after is not None:
                line["retry_after"] = result.retry_after
        else:
            line["gets"] = told(result.value if isinstance(result, Answered) else result)
        self.log.append(line)


def played(case: dict[str, Any], answers: Callable[[Play, str, Attempt], dict[str, Any]]) -> list[dict[str, Any]]:
    """The log of a transcript, in which ``answers`` tell what the nodes answer, and log the attempts."""
    urls = [f"http://{node}" for node in case["nodes"]]
    shown = tokens() if case.get("token") else None
    token = shown.question if shown else None
    world = case.get("world", {})
    play = Play(urls, lambda name, attempt, now: answers(play, name, attempt), credentials=shown, token=token, **world)
    for line in case["play"]:
        if "close" in line:
            play.at(line["at"], lambda line=line: (play.log.append(line), play.close()))  # type: ignore[misc]
        elif "call" in line:
            request = request_for(line.get("ask", "register"), line["call"])

            def call(line: Any = line, request: Any = request) -> None:
                play.log.append(line)
                play.ask(line["call"], request, line.get("for"))

            play.at(line["at"], call)
    play.ends()
    return play.log


def node_of(attempt: Attempt) -> str:
    return "idp" if attempt.request.operation == "token" else attempt.endpoint.removeprefix("http://")


def replayed(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The log, with the answers that the transcript has."""
    left = [dict(line) for line in case["play"] if "to" in line]
    logged: dict[int, dict[str, Any]] = {}

    def answers(play: Play, name: str, attempt: Attempt) -> dict[str, Any]:
        node = node_of(attempt)
        for place, line in enumerate(left):
            nodes = line["to"].split(" ")
            mine = logged.get(place)
            count = mine.get("times", 1) if mine else 0
            instead = attempt.request.operation == "register" and not attempt.request.registers
            asked = line["of"] == name and line.get("look_up", False) == instead
            if asked and count < line.get("times", 1) and nodes[count % len(nodes)] == node:
                break
        else:
            raise AssertionError(f"at {play.now:.3f} {name!r} asks {node}, which the transcript has not: {play.log}")
        if mine is None:
            mine = logged[place] = {**line, "at": play.now}
            mine.pop("times", None)
            mine.pop("until", None)
            play.log.append(mine)
        else:
            mine |= {"times": count + 1, "until": play.now}
        answer = line["answer"]
        answer = dict(WORDS[answer]) if isinstance(answer, str) else dict(answer)
        return answer | ({"takes": line["takes"]} if "takes" in line else {})

    return played(case, answers)


@pytest.mark.parametrize("case", TRANSCRIPTS, ids=lambda case: case["id"])
def test_a_transcript_is_what_happens(case: dict[str, Any]) -> None:
    log = replayed(case)

    assert [rounded(line) for line in log] == [rounded(line) for line in case["play"]]


def rounded(line: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in line.items()}
