"""Asks one endpoint, through the client's own transport, credentials and policy."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from kafka_sr_retry.config import ClientSettings, Tls
from kafka_sr_retry.errors import Failure, SchemaNotFoundError
from kafka_sr_retry.registry import answers
from kafka_sr_retry.registry.access import Access
from kafka_sr_retry.registry.attempts import Question
from kafka_sr_retry.registry.call import Credentials, World
from kafka_sr_retry.registry.clock import Clock
from kafka_sr_retry.registry.driver import Driver
from kafka_sr_retry.registry.outages import Outages
from kafka_sr_retry.registry.policy import Action, Break, Outcome, decide
from kafka_sr_retry.registry.request import RegistryRequest, Reply
from kafka_sr_retry.registry.tls import Contexts, RotatingTls, context_of, contexts_of, stamp
from kafka_sr_retry.registry.tokens import Tokens, credentials
from kafka_sr_retry.registry.transport import Transport

from . import questions
from .certificate import Handshake, note
from .seen import Answer, Seen, Trace

_TIMED = 3
"""How often the latency is taken."""

_REMOVAL = 10.0
"""Seconds for the removal of the scratch subject, beyond the endpoint's own."""

_POINTLESS = ("tls", "timeout", "connection", "unsendable", "bad_answer", "not_a_registry", "unauthorized",
              "proxy_refused")  # fmt: skip
"""What the first answer can be, after which the next ones tell nothing new."""


class Probe:
    """One endpoint's check; ``look`` runs on a thread of its own.

    Args:
        settings: the client's; ``total_timeout`` bounds the questions together.
        url: the endpoint.
        subject: the scratch subject.
        credentials: what shows the client.
        asks: whose close ends the questions.
        write: whether to register there, and to remove it again.
        ask_leader: whether to ask the leader what leaves nothing.

    Attributes:
        writes: whether something is, or may be, there to be removed.
    """

    def __init__(
        self,
        settings: ClientSettings,
        url: str,
        credentials: Credentials,
        asks: Driver,
        clock: Clock,
        *,
        subject: str,
        write: bool,
        ask_leader: bool,
    ) -> None:
        self.writes = False
        self._settings = settings
        self._url = url
        self._credentials = credentials
        self._lasting = _Lasting(credentials, settings)
        self._clock = clock
        self._subject = f"{settings.context}{subject}" if settings.context else subject
        self._write = write
        self._asks_leader = ask_leader
        self._stopped = threading.Event()
        self._handshakes: list[Handshake] = []
        tls = settings.tls
        contexts = contexts_of(tls)
        note(contexts.home, self._handshakes)
        self._tls = RotatingTls(tls, contexts)
        self._asks = asks
        self._writing = Driver(clock, 1, settings.connect_timeout)  # no interrupt ends it: nothing is left half-done
        self._transport = Transport(settings, self._tls)
        self._anonymous = Transport(replace(settings, http_headers=_unauthorized(settings.http_headers)), self._tls)
        self._deadline = 0.0
        self._access = Access()
        self._answers: dict[str, Answer] = {}
        self._requests = 0
        self._failures: list[str] = []
        self._latencies: list[float] = []

    def stop(self) -> None:
        """The questions are at an end; what was written is still removed."""
        self._stopped.set()

    def look(self) -> Seen:
        """Asks everything, within the time."""
        began = self._clock.now()
        self._deadline = began + self._settings.total_timeout
        access = self._token()
        if isinstance(access, Access):
            self._access = access
        headers = self._settings.http_headers
        shows = bool(self._access.headers) or _unauthorized(headers) != headers
        trace, why = Trace.NEVER_THERE, ""
        first = self._ask("config", questions.CONFIG)
        if first is not None and first.row.name not in _POINTLESS:
            if shows and first.row.action is Action.ACCEPT:
                self._ask("anonymous", questions.CONFIG, self._anonymous, Access())
            trace, why = self._ask_on()
        self._writing.close()
        for transport in (self._transport, self._anonymous):
            transport.close()
        return Seen(
            url=self._url,
            written=self._write,
            subject=self._subject,
            answers=self._answers,
            latencies=tuple(self._latencies),
            requests=self._requests,
            failures=tuple(self._failures),
            handshake=self._handshake(),
            verifies=self._settings.tls.verify,
            shows_credentials=shows or isinstance(access, Failure),
            no_token="; ".join(f"{url}: {text}" for url, text in access.answers) if isinstance(access, Failure) else "",
            trace=trace,
            trace_why=why,
        )

    def _ask_on(self) -> tuple[Trace, str]:
        trace, why = Trace.NEVER_THERE, ""
        found = self._ask("look_up", questions.look_up(self._subject))
        if self._write and found is not None and found.row.name != "body_lost":
            trace, why = self._register()
        for number in range(_TIMED):
            timed = self._ask(f"timed {number}", questions.CONFIG)
            if timed is not None and timed.outcome.status is not None:
                self._latencies.append(timed.seconds)
        self._ask("mode", questions.MODE)
        self._ask("cluster", questions.CLUSTER)
        self._ask("version", questions.VERSION)
        self._ask("ready", questions.READY)
        self._ask("master", questions.MASTER)
        if self._asks_leader and found is not None and found.row.name != "body_lost":
            trace, why = self._ask_leader()
        return trace, why

    def _ask_leader(self) -> tuple[Trace, str]:
        cluster, version, mode = map(self._value, ("cluster", "version", "mode"))
        if not questions.has_leader_to_ask(cluster, version) or mode not in (None, "READWRITE"):
            return Trace.NEVER_THERE, ""
        asked = self._ask("leader", questions.ask_leader(self._subject))
        if asked is None or asked.row.action is not Action.ACCEPT:
            return Trace.NEVER_THERE, ""
        return self._remove(registered=True)  # a registry that takes what none should

    def _value(self, name: str) -> Any:
        answer = self._answers.get(name)
        return answer.outcome.value if answer is not None and answer.row.action is Action.ACCEPT else None

    def _ask(
        self,
        name: str,
        request: RegistryRequest[Any],
        transport: Transport | None = None,
        access: Access | None = None,
        *,
        writes: bool = False,
    ) -> Answer | None:
        """Once, and once more after what a producer would repeat on the same endpoint."""
        if self._stopped.is_set():
            return None
        for repeated in (False, True):
            began = self._clock.now()
            seconds = min(self._settings.request_timeout, self._deadline - began)
            if seconds <= 0:
                break
            shown = self._access if access is None else access
            driver = self._writing if writes else self._asks
            reply = driver.attempt(
                transport or self._transport,
                request,
                self._url,
                shown.headers,
                request_id=str(uuid.uuid4()),
                seconds=seconds,
            )
            if self._stopped.is_set() and reply.broke is not None and not writes:
                return None
            outcome = self._read(reply, request, secrets=shown.secrets)
            reply.done(outcome.understood)
            if outcome.broke in (Break.TIMEOUT, Break.CONNECT_TIMEOUT):
                place = reply.detail.rpartition("(")[2].rstrip(")")
                outcome = replace(outcome, detail=f"no whole answer in {self._clock.now() - began:.1f} s ({place})")
            row = decide(outcome)
            self._requests += 1
            self._answers[name] = Answer(
                row, outcome, self._clock.now() - began, self._elsewhere(reply.url, request.path)
            )
            if row.action in (Action.NEXT, Action.REST, Action.NO_LEADER):
                self._failures.append(f"{request.method} {request.path.partition('?')[0]}: {outcome.detail}")
            again = row.action in (Action.AGAIN, Action.NEXT) and outcome.broke not in _HOPELESS
            rest = 0.0
            if row.action is Action.REST and outcome.retry_after is not None:
                rest = outcome.retry_after
                again = self._clock.now() + rest < self._deadline
            if repeated or not again or self._stopped.wait(rest):
                break
        return self._answers.get(name)

    def _register(self) -> tuple[Trace, str]:
        self.writes = True
        try:
            return self._register_and_remove()
        finally:
            self.writes = False

    def _register_and_remove(self) -> tuple[Trace, str]:
        before = self._requests
        registered = self._ask("register", questions.register(self._subject), writes=True)
        if registered is None:
            return Trace.NEVER_THERE, ""
        refused = registered.outcome.broke is None and registered.outcome.status in _REFUSALS
        if refused and self._requests == before + 1:
            return Trace.NEVER_THERE, ""
        return self._remove(registered.row.action is Action.ACCEPT)

    def _remove(self, registered: bool) -> tuple[Trace, str]:
        """With the client's own retries. A registration that failed can have taken effect, or can do so later."""
        until = self._clock.now() + _REMOVAL
        if not registered:
            found = self._send(questions.look_up(self._subject), until)
            if isinstance(found, Failure):
                gone = issubclass(found.error, SchemaNotFoundError)
                return Trace.UNKNOWN, "" if gone else _told(found)
        for permanent in (False, True):
            failed = self._send(questions.remove(self._subject, permanent=permanent), until)
            for _ in range(2):  # a node that has not read of the subject yet
                if not permanent and failed is not None and failed.error_code == 40401:
                    threading.Event().wait(0.3)
                    failed = self._send(questions.remove(self._subject, permanent=False), until)
            repeated = failed is not None and failed.attempts > 1
            gone = failed is not None and issubclass(failed.error, SchemaNotFoundError)
            if failed is not None and not (gone and (permanent or repeated or failed.error_code == 40404)):
                return Trace.LEFT, _told(failed)
        return Trace.REMOVED, ""

    def _send(self, request: RegistryRequest[Any], until: float) -> Failure | None:
        settings, lasting = self._settings, self._lasting
        outages = Outages((self._url,), random=random.random, base=settings.retries_wait, cap=settings.retries_max_wait)
        question = Question(
            request=request,
            world=World(
                outages=outages,
                credentials=lasting,
                request_timeout=settings.request_timeout,
                total_timeout=settings.total_timeout,
                read=self._read,
            ),
            transport=self._transport,
            emit=lambda _: None,
            wants=lambda _: False,
            known=lambda _: None,
            settle=lambda result, _: result,
            access=lasting.question,
        )
        sent = self._writing.ask(question, until)
        return sent if isinstance(sent, Failure) else None

    def _token(self) -> Access | Failure:
        """What shows the client, asked for if need be."""
        access = self._credentials.at_hand(self._clock.now(), None)
        if access is None and isinstance(self._credentials, Tokens):
            asked: Access | Failure = self._asks.ask(self._credentials.question, self._deadline)
            return asked
        return access or Access()

    def _read(
        self, reply: Reply, request: RegistryRequest[Any], *, renewable: bool = False, secrets: Sequence[str] = ()
    ) -> Outcome:
        outcome = answers.read(reply, request, renewable=renewable, secrets=secrets)
        return replace(outcome, value=questions.as_told(outcome.value, (*secrets, *reply.secrets)))

    def _elsewhere(self, answered: str, path: str) -> str | None:
        """The endpoint that answered, where it is not the one that was asked; a query may hold secrets."""
        if not answered or answered == self._url + path:
            return None
        bare = urlunsplit(urlsplit(answered)._replace(query="", fragment=""))
        return answers.told(bare.removesuffix(path.partition("?")[0]).rstrip("/"), (), questions.LONGEST)

    def _handshake(self) -> Handshake | None:
        """With the endpoint. A certificate that is not trusted is looked at once more for its end, with no trust in it:
        the connection is closed before anything is sent."""
        parts = urlsplit(self._url)
        if parts.scheme != "https":
            return None
        host = (parts.hostname or "").lower()
        seen = [handshake for handshake in self._handshakes if handshake.host == host]
        if not seen or not seen[0].why or self._stopped.is_set():
            return seen[0] if seen else None
        looked: list[Handshake] = []
        tls = Tls(ca=False)
        context = note(context_of(tls), looked, hang_up=True)
        settings = replace(
            self._settings,
            ca=False,
            ca_pem=None,
            certificate=None,
            certificate_pem=None,
            private_key=None,
            private_key_pem=None,
            key_password=None,
            http_headers={},
        )
        transport = Transport(settings, RotatingTls(tls, Contexts(stamp(tls), context, context)))
        seconds = min(settings.connect_timeout, max(0.1, self._deadline - self._clock.now()))
        self._asks.attempt(transport, questions.CONFIG, self._url, {}, request_id="", seconds=seconds)
        ends = next((handshake.ends for handshake in looked if handshake.host == host), None)
        return replace(seen[0], ends=ends)


_HOPELESS = (Break.NAME, Break.REFUSED, Break.CONNECT_TIMEOUT, Break.TIMEOUT, Break.BAD_REDIRECT)
"""What a second try a moment later does not change, or what has used up its time."""

_REFUSALS = set(range(400, 500)) - {408}
"""Answers after which nothing has been registered, nor will be."""


def _told(failure: Failure) -> str:
    return "; ".join(text for _, text in failure.answers) or failure.advice


def _unauthorized(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "authorization"}


class _Lasting:
    """The questions' credentials, and others where these have run out: an interrupt ends the questions for theirs.

    Attributes:
        question: for others.
    """

    def __init__(self, first: Credentials, settings: ClientSettings) -> None:
        self.renewable = first.renewable
        self._first = first
        self._then = credentials(settings, lambda _: None, lambda _: False)
        self.question = self._then.question if isinstance(self._then, Tokens) else None

    def at_hand(self, now: float, denied: Access | None) -> Access | None:
        found = self._first.at_hand(now, denied)
        return None if found is denied else found or self._then.at_hand(now, denied)

    def renews(self, now: float) -> bool:
        return False
