"""The kinds that ask: a client, a question, a server that answers oddly, and then well."""

from __future__ import annotations

import json
import logging
import pickle
import re
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from confluent_kafka.serialization import SerializationError

from kafka_sr_retry.errors import AvroEncodingError, ConfigurationError, RegistryUnavailableError, SchemaRegistryError

from . import contents, questions, wire
from .questions import RIGHT, WRONG, Question, anothers, answered
from .server import Pause, Play, Request, Script, Server, wait_until
from .wire import PAIR, SECRET, chunked, reply

SECONDS = 0.6
"""A call's, while it is answered oddly."""

FAR = 20.0
"""Seconds in which the next call must have come to its right answer, and within which any call must have ended beyond
its time: far from both, as the machine may be busy."""

LONGEST_TOLD = 20_000
"""Characters of an error or of a line of the log."""

NOT_FOUND = reply(b'{"error_code":40401,"message":"not found"}', b"404 Not Found")


class Fault(Exception):  # noqa: N818
    """What a case has found."""


class Ear(logging.Handler):
    """Hears what all loggers say."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage() + (self.format(record) if record.exc_info else ""))


class World:
    """What the cases of one process share.

    Attributes:
        late: seconds by which the last case's calls were late at most.
        rested: how many cases ended with an endpoint that is left alone as long as it asked.
        refused: how many first calls ended in an error.
    """

    def __init__(self) -> None:
        self.server, self.other = Server(), Server()
        self.ear = Ear()
        self.late = 0.0
        self.rested = self.calls = self.refused = 0
        wire.make_ready()
        logging.getLogger().addHandler(self.ear)
        logging.getLogger().setLevel(logging.DEBUG)


@dataclass
class Exam:
    """One case: who is asked, and what is told.

    Attributes:
        hostile: gives the play for a request; ``None`` for the right answer.
        told: texts in which no secret may stand.
        secrets: those.
        brief: whether the registry tells an id alone where a schema is registered.
    """

    world: World
    draw: Random
    hostile: Callable[[Request], Play | None] | None
    secrets: list[str] = field(default_factory=lambda: [SECRET])
    told: list[str] = field(default_factory=list)
    brief: bool = False
    faults: list[str] = field(default_factory=list)
    script: Script = field(init=False)

    def __post_init__(self) -> None:
        self.mark = RIGHT + self.draw.randrange(1_000_000)
        self.wrong = WRONG + self.draw.randrange(1_000_000)
        self.brief = self.draw.random() < 0.5
        self.script = Script(self.answer, away=self.world.other.url)
        self.away = Script(self.right, away=self.world.other.url)
        self.world.ear.lines.clear()
        self.world.late = 0.0

    def answer(self, request: Request) -> Play:
        hostile = self.hostile
        try:
            play = None if hostile is None else hostile(request)
            return self.right(request) if play is None else play
        except Exception:
            self.faults.append(f"the trial itself: {traceback.format_exc()}")
            raise

    def right(self, request: Request) -> Play:
        body = self.body(request)
        return [NOT_FOUND if body is None else reply(body)]

    def body(self, request: Request) -> bytes | None:
        content = answered(request)
        if self.brief and request.method == "POST" and request.path.split("?")[0].endswith("/versions"):
            content = {"id": content["id"]} if content and "id" in content else content
        return None if content is None else json.dumps(content).encode()

    def conf(self, **more: Any) -> dict[str, Any]:
        shown = self.draw.choice(
            [
                {"basic.auth.user.info": f"fuzz:{SECRET}"},
                {"http.headers": {"X-Api-Key": SECRET}},
                {"bearer.auth.credentials.source": "STATIC_TOKEN", "bearer.auth.token": SECRET},
            ]
        )
        if "basic.auth.user.info" in shown:
            self.secrets.append(PAIR)
        conf = {
            "url": self.world.server.url,
            "ssl.ca.location": False,
            "request.timeout.ms": 150,
            "total.timeout.ms": int(SECONDS * 1000),
            "retries.wait.ms": 1,
            "retries.max.wait.ms": 20,
            "event_cb": lambda event: self.told.append(repr(event)),
            **shown,
        }
        retries = self.draw.choice([None, None, 0, 1])
        return {**conf, **({} if retries is None else {"max.retries": retries}), **more}

    # -- calls -------------------------------------------------------------------------------------

    def ask(self, question: Question, opened: Any, mark: int, seconds: float, *, exactly: bool) -> BaseException | None:
        """One call; its error, if it ends in a documented one."""
        began = time.monotonic()
        error: BaseException | None = None
        try:
            value = question.ask(opened, mark, seconds)
        except BaseException as raised:  # noqa: BLE001
            error = raised
        late = time.monotonic() - began - seconds
        self.world.calls += 1
        self.world.late = max(self.world.late, late)
        if late > FAR:
            self.faults.append(f"{question.name}: late by {late:.1f} s")
        if error is None:
            fault = question.fault(mark, value, exactly=exactly)
            if fault:
                self.faults.append(f"{question.name}: {fault}")
            return None
        self.world.refused += 1
        self.judge(question, error)
        return error

    def judge(self, question: Question, error: BaseException) -> None:
        documented: tuple[type[BaseException], ...] = (SchemaRegistryError, ConfigurationError)
        if question.name.startswith("serializer"):
            documented += (AvroEncodingError,)
        if not isinstance(error, documented) and not (
            type(error) is SerializationError and question.name == "serializer associated"
        ):
            shown = "".join(traceback.format_exception(error))[-1500:]
            self.faults.append(f"{question.name}: no documented error:\n{shown}")
            return
        if not str(error).isprintable() or len(str(error)) > LONGEST_TOLD:
            self.faults.append(f"{question.name}: an error of no printable line, or too long: {str(error)[:300]!r}")
        self.tell(error)

    def tell(self, error: BaseException) -> None:
        try:
            again = pickle.dumps(pickle.loads(pickle.dumps(error)))
        except Exception as bad:  # noqa: BLE001
            self.faults.append(f"an error that cannot be pickled: {error!r}: {bad!r}")
            again = b""
        self.told += [str(error), repr(error), repr(vars(error)), again.decode("latin-1")]
        self.told.append("".join(traceback.format_exception(error)))

    def next_call(self, question: Question, opened: Any, mark: int) -> None:
        """The server answers well now: so must the client, once an outage that it has met is over for it."""
        self.hostile = None
        until = time.monotonic() + FAR
        opened.clear_caches()
        while True:
            before = len(self.faults)
            error = self.ask(question, opened, mark, FAR if question.patient else SECONDS, exactly=True)
            if error is None or len(self.faults) > before:
                return
            if isinstance(error, RegistryUnavailableError) and (error.retry_after or 0) > 0.5:
                self.world.rested += 1
                return
            if time.monotonic() > until:
                self.faults.append(f"{question.name}: the next call does not work: {error}")
                return
            time.sleep(0.01)
            opened.clear_caches()

    # -- the end -----------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises what was found."""
        self.world.server.end()
        self.world.other.end()
        if not wait_until(lambda: not _threads(), FAR):
            self.faults.append(f"threads are left: {_threads()}")
        for line in self.world.ear.lines:
            if len(line) > LONGEST_TOLD or not line.replace("\n", "").isprintable():
                self.faults.append(f"a line of the log that is not printable, or too long: {line[:300]!r}")
        for text in (*self.told, *self.world.ear.lines):
            for secret in self.secrets:
                if secret in text:
                    at = text.index(secret)
                    self.faults.append(f"a secret is told: {text[max(0, at - 200) : at + 100]!r}")
        if any(SECRET.encode() in request.head.partition(b"\n")[2] for request in self.away.requests):
            self.faults.append("another origin was shown the credentials")
        if self.faults:
            raise Fault("\n".join(self.faults[:5]))

    def begin(self) -> None:
        self.world.server.begin(self.script)
        self.world.other.begin(self.away)


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kafka-sr-retry")]


def times(count: int | None, give: Callable[[Request], Play | None]) -> Callable[[Request], Play | None]:
    """The first so many plays, or all."""
    left = [10**9 if count is None else count]

    def play(request: Request) -> Play | None:
        left[0] -= 1
        return give(request) if left[0] >= 0 else None

    return play


def one_question(
    world: World, draw: Random, give: Callable[[Exam, Request], Play | None], among: Sequence[Question]
) -> None:
    """A client asks, is answered oddly so many times, and asks again."""
    exam = Exam(world, draw, None)
    exam.hostile = times(draw.choice([1, 1, 2, None]), lambda request: give(exam, request))
    question = draw.choice(among)
    conf = exam.conf()
    exam.begin()
    with question.opens(conf) as opened:
        exam.ask(question, opened, exam.mark, SECONDS, exactly=False)
        exam.next_call(question, opened, exam.mark)
    exam.check()


def on_the_wire(kind: wire.Kind) -> Callable[[World, Random], None]:
    def give(exam: Exam, request: Request) -> Play | None:
        body = exam.body(request)
        return None if body is None else kind(exam.draw, body, anothers(body, exam.wrong))

    return lambda world, draw: one_question(world, draw, give, questions.ALL)


def well(world: World, draw: Random) -> None:
    """Right answers, written as a server may write them: each is taken, and nothing is asked twice."""
    exam = Exam(world, draw, None)

    def give(request: Request) -> Play | None:
        body = exam.body(request)
        return None if body is None else wire.well(draw, body)

    exam.hostile = give
    question = draw.choice(questions.ALL)
    patient = int(FAR * 1000)
    exam.begin()
    with question.opens(exam.conf(**{"request.timeout.ms": patient, "total.timeout.ms": patient})) as opened:
        error = exam.ask(question, opened, exam.mark, FAR, exactly=True)
        if error is not None:
            exam.faults.append(f"{question.name}: a good answer was refused: {error}")
        asked = [(request.method, request.path, request.body) for request in exam.script.requests]
        if len(asked) > len(set(asked)):
            exam.faults.append(f"{question.name}: asked again after a good answer: {asked}")
        exam.next_call(question, opened, exam.mark)
    exam.check()


def answers(world: World, draw: Random) -> None:
    """Well-formed answers with odd contents."""
    among = draw.choice([questions.OURS, questions.SERIALIZERS, questions.CONFLUENTS])
    question = draw.choice(among)
    lie = draw.choice(question.lies) if question.lies and draw.random() < 0.15 else None
    same = draw.random() < 0.5
    kept: list[Any] = []

    def give(exam: Exam, request: Request) -> Play | None:
        content = answered(request)
        if lie is not None:
            odd = lie(exam.mark, exam.wrong)
        elif same and kept:
            odd = kept[0]
        else:
            odd = contents.odd_content(draw, content, exam.wrong)
            kept.append(odd)
        try:
            body = json.dumps(odd).encode()
        except UnicodeEncodeError:
            body = json.dumps(odd).encode("utf-8", "surrogatepass")
        return [reply(body)]

    one_question(world, draw, give, [question])


def texts(world: World, draw: Random) -> None:
    """Well-formed answers whose JSON is odd."""

    def give(exam: Exam, request: Request) -> Play | None:
        content = answered(request)
        return None if content is None else [reply(contents.odd_text(draw, content, 1 << 20))]

    one_question(world, draw, give, questions.ALL)


# -- connections ---------------------------------------------------------------------------------


def strays(world: World, draw: Random) -> None:
    """Behind an answer, or later on its connection, another one comes that nobody asked for."""
    exam = Exam(world, draw, None)
    stained: set[int] = set()
    rest = b""

    def give(request: Request) -> Play | None:
        nonlocal rest
        body = exam.body(request)
        if body is None:
            return None
        if request.connection in stained and rest:
            return [rest, *exam.right(request)]
        stained.add(request.connection)
        other = anothers(body, exam.wrong)
        done = [
            *[reply(body), chunked(body)] * 3, wire.gzipped(body), b"HTTP/1.1 103 Early\r\n\r\n" + reply(body),
            reply(body).replace(b"1.1", b"1.0").replace(b"OK", b"OK\r\nConnection: keep-alive"),
            reply(body, b"200 OK", b"Connection: keep-alive", b"Keep-Alive: timeout=60"),
            reply(body, b"200 OK", b"Content-Length: %d" % len(body)), chunked(body, 4, b"0\r\nX: y\r\n\r\n"),
            chunked(body, 4, b"00\r\n\r\n"),
        ]  # fmt: skip
        later = draw.random() < 0.5 and question.name not in ("serializer reference", "serializer associated")
        again = [
            NOT_FOUND, b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 X\r\n\r\n", reply(b"["), reply(b"<p>"),
            reply(b'{"error_code":50003,"message":"no"}', b"500 Oh"), reply(b"", b"307 T", b"Location: @PATH@"),
            reply(b""), reply(b"x", b"401 No"), reply(b'{"error_code":409,"message":"no"}', b"409 Conflict"),
            reply(b'"%d"' % exam.wrong)[:-1], reply(b'{"error_code":42201,"message":"no"}', b"422 "), reply(b"",
                b"503 X"),
        ]  # fmt: skip
        first = draw.choice(done if later else done + again)
        stray = draw.choice([reply(other)] * 4 + [chunked(other), b"\r\n" + reply(other), wire.gzipped(other), other,
                                                  b"HTTP/1.1 100 C\r\n\r\n" + reply(other), b"0\r\n\r\n" + reply(other),
                                                  reply(other) * 3, b" ", b"\r\n"])  # fmt: skip
        at = len(stray) if draw.random() < 0.7 else draw.randrange(1, len(stray) + 1)
        rest = stray[at:] + draw.choice([b"", reply(other)])
        # what comes later than the client asks again on this connection is no stray, but the answer
        return [first, Pause(draw.choice([0, 0.001, 0.01])), stray[:at]] if later else [first + stray[:at]]

    question = draw.choice(questions.ALL)
    exam.hostile = give
    group = next(group for group in (questions.OURS, questions.SERIALIZERS, questions.CONFLUENTS) if question in group)
    others = [question] if group is questions.SERIALIZERS else group
    exam.begin()
    with question.opens(exam.conf()) as opened:
        for number in range(draw.choice([2, 3])):
            asked = question if number == 0 else draw.choice(others)
            exam.ask(asked, opened, RIGHT + draw.randrange(1_000_000), SECONDS, exactly=False)
            wait_until(lambda: exam.script.is_quiet, FAR)
        exam.next_call(question, opened, exam.mark)
    exam.check()


def crowds(world: World, draw: Random) -> None:
    """Four threads with one client, whose answers come by any of the oddities of the wire."""
    exam = Exam(world, draw, None)
    seed = draw.random()
    kinds = [kind for name, kind in wire.KINDS.items() if name not in ("drips", "breaks")]

    def give(request: Request) -> Play | None:
        body = exam.body(request)
        own = Random(f"{seed} {request.path} {request.method}")
        if body is None or own.random() < 0.4:
            return None
        return own.choice(kinds)(own, body, anothers(body, exam.wrong))

    exam.hostile = give
    marks = [[RIGHT + draw.randrange(1_000_000) for _ in range(3)] for _ in range(4)]
    asked = [[draw.choice(questions.OURS) for _ in range(3)] for _ in range(4)]
    exam.begin()

    def work(opened: Any, number: int) -> None:
        for question, mark in zip(asked[number], marks[number], strict=True):
            exam.ask(question, opened, mark, SECONDS, exactly=False)

    with asked[0][0].opens(exam.conf()) as opened:
        workers = [threading.Thread(target=work, args=(opened, number)) for number in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(4 * FAR)
        exam.next_call(asked[0][0], opened, exam.mark)
    exam.check()


# -- tokens ----------------------------------------------------------------------------------------

_TOKEN = re.compile(rb"authorization: bearer (\S+)", re.IGNORECASE)


def tokens(world: World, draw: Random) -> None:
    """A token's server that answers oddly; the registry takes only tokens that were given for good."""
    exam = Exam(world, draw, None)
    token = f"tok-{exam.mark}-zqHiddenT0ken"
    exam.secrets = [SECRET, PAIR, token]
    denies = [draw.choice([0, 0, 1])]
    good = {"access_token": token, "token_type": draw.choice(["Bearer", "bearer"]), "expires_in": 3600}
    kind = draw.choice([None, None, *wire.KINDS.values()])
    odd_first = times(draw.choice([1, 1, 2, None]), lambda request: odd(request))

    def odd(request: Request) -> Play:
        body = json.dumps(good).encode()
        if kind is not None:
            return kind(draw, body, anothers(body, exam.wrong))
        if draw.random() < 0.3:
            return [reply(contents.odd_text(draw, good, 1 << 20))]
        changed = dict(good)
        name = draw.choice(["access_token", "token_type", "expires_in", "expires_on", "scope", "error"])
        no_token = [f"wr ong-{exam.wrong}", f"x\r\nX: {exam.wrong}", f"é{exam.wrong}", [f"t{exam.wrong}"], exam.wrong,
                    {"a": exam.wrong}, None, "", "\ud800", True, f"t{exam.wrong}\0"]  # fmt: skip
        changed[name] = draw.choice(no_token) if name == "access_token" else contents.odd(draw)
        if draw.random() < 0.1:
            changed = contents.odd(draw)
        return [reply(json.dumps(changed).encode())]

    def gives(request: Request) -> Play:
        play = None if exam.hostile is None else odd_first(request)
        return [reply(json.dumps(good).encode())] if play is None else play

    def registry(request: Request) -> Play:
        shown = _TOKEN.search(request.head)
        if shown is None or shown[1] != token.encode():
            exam.faults.append(f"shown with {shown[1] if shown else None!r}, which nobody gave")
        denies[0] -= 1
        if denies[0] >= 0:
            return [reply(b'{"error_code":40101,"message":"no"}', b"401 Unauthorized")]
        return exam.right(request)

    exam.hostile = lambda request: None
    exam.script.answer = registry
    exam.away.answer = gives
    conf = exam.conf()
    for key in ("basic.auth.user.info", "http.headers", "bearer.auth.token"):
        conf.pop(key, None)
    conf |= {
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": "fuzz",
        "bearer.auth.client.secret": SECRET,
        "bearer.auth.scope": "all",
        "bearer.auth.issuer.endpoint.url": f"{world.other.url}/token",
        "bearer.auth.logical.cluster": "lsrc-1",
        "bearer.auth.identity.pool.id": "pool-1",
    }
    question = draw.choice(questions.OURS)
    exam.begin()
    with question.opens(conf) as opened:
        exam.ask(question, opened, exam.mark, SECONDS, exactly=False)
        exam.next_call(question, opened, exam.mark)
    exam.away.requests.clear()  # it is shown the client's secret
    exam.check()


KINDS: dict[str, Callable[[World, Random], None]] = {
    **{name: on_the_wire(kind) for name, kind in wire.KINDS.items()},
    "well": well,
    "answers": answers,
    "texts": texts,
    "strays": strays,
    "crowds": crowds,
    "tokens": tokens,
}
