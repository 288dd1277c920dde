"""What is wrong with an endpoint, why, and what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kafka_sr_retry.registry.policy import Break

from .findings import EndpointFindings
from .seen import Answer, Seen, Trace

WARN_DAYS = 30
"""Days before a certificate's end from which on it is warned about."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, or will be.

    Attributes:
        level: an error loses messages, or would if the other endpoints failed too.
        code: of what kind; stays the same between versions.
        endpoint: its URL, ``None`` for all together.
        what: in words.
        advice: what to do.
    """

    level: Literal["error", "warning"]
    code: str
    endpoint: str | None
    what: str
    advice: str


_BROKE = {
    Break.NAME: "name",
    Break.REFUSED: "connect",
    Break.CONNECT_TIMEOUT: "connect",
    Break.TIMEOUT: "timeout",
    Break.RESET: "broken_connection",
    Break.STALE: "broken_connection",
    Break.TLS: "tls",
    Break.BAD_ANSWER: "not_a_registry",
    Break.BAD_REDIRECT: "bad_redirect",
    Break.UNSENDABLE: "unsendable",
    Break.CLIENT_CERTIFICATE: "tls",
}
_ADVICE = {
    "name": "Check the host's name in the URL, and that this machine's DNS knows it.",
    "connect": "Check that the registry runs and listens on this port, and that no firewall is between.",
    "timeout": "Something takes the connection and does not answer: look into the registry's log, at its load, and at "
    "proxies on the way.",
    "broken_connection": "Something ends the connection: look into the logs of the registry and of proxies on the way.",
    "not_a_registry": "This does not look like a Schema Registry: check the URL and its path.",
    "wrong_path": "The server knows no such path: check the URL's (Apicurio's ends in /apis/ccompat/v7).",
    "bad_redirect": "Give the URL that it redirects to, or correct the redirect.",
    "unsendable": "Check the host's name in the URL, http.headers, proxy, and where the URL redirects to.",
    "server_error": "Look into the registry's log; a gateway's page means that the registry behind it is away.",
    "unavailable": "It asks to be left alone for a while: check again then.",
    "rate_limited": "It takes no more requests for now: check its limits, or check again later.",
    "bad_answer": "This does not look like a Schema Registry: check the URL and its path.",
    "no_leader": "An election takes some ten seconds: check again. If it stays so, messages with a new schema fail "
    "after that time: look at the nodes that may lead (leader.eligibility) and at the registry's Kafka.",
    "store": "The registry cannot write to its Kafka: look at the brokers, the topic _schemas and the registry's log. "
    "Messages whose schema is known go out; those with a new one fail if it stays so.",
    "credentials_missing": "Set basic.auth.user.info or bearer.auth.*, in --config or in the environment.",
    "credentials_refused": "Check basic.auth.user.info or bearer.auth.*: they are known and not accepted.",
    "forbidden": "Give the caller the right to read and to write subjects. Where rights go by prefix, give one that is "
    "allowed: --subject PREFIX.",
    "read_only": "New schemas will be refused: set the mode to READWRITE, or register them elsewhere and set "
    "auto.register.schemas=false.",
    "not_permitted": "A schema comes with its id now, as a migration brings it (Schema Linking, Replicator). Once that "
    "has ended set the mode to READWRITE; or register elsewhere and set auto.register.schemas=false.",
}
_CERTIFICATE = (
    ("expired", "Renew the server's certificate."),
    ("mismatch", "Use a host name in the URL that the certificate has, or have one issued for this name."),
    ("not yet valid", "Check the clocks of both machines."),
    ("self", "Set ssl.ca.location to the CA that the server's certificate comes from."),
    ("issuer", "Set ssl.ca.location to the CA that the server's certificate comes from, or let the server send the "
     "certificates between."),
)  # fmt: skip
_TLS = (
    (r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST", "There seems to be no TLS on this port: try http://."),
    (r"ALERT.*CERTIFICATE|HANDSHAKE_FAILURE|ALERT_UNKNOWN_CA", "The server may want a certificate of yours: set "
     "ssl.certificate.location and ssl.key.location."),
    (r"PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL", "Both sides share no version of TLS: the server's is too old."),
    (r"", "Check the server's TLS settings, and proxies on the way."),
)  # fmt: skip
_FIRST_OF_ALL = {
    "http": "If this port speaks TLS, give https://.",
    "https": "If the server wants a certificate of yours, set ssl.certificate.location and ssl.key.location.",
}
"""What a connection that breaks with the first request may mean."""

_OWN_MODE = (
    "That is not the registry's own mode, which is {}, but one of the subject or its context: ask "
    "/mode/SUBJECT?defaultToGlobal=true, and set that to READWRITE; or give another --subject PREFIX."
)
_OWN_SCHEMA = (
    "The schema is the check's own, and valid: a rule of the registry's or of a gateway's refuses it. Give --subject "
    "PREFIX for which it does not hold."
)
_HANGS = (
    "Reads are answered and registrations are not: the leader, or the Kafka or database behind it, hangs or is away. "
    "Messages whose schema is known go out; those with a new one wait. Look at these; end a leader that hangs, so that "
    "another takes over."
)

_SAID = {
    "config": "",
    "look_up": "looking a schema up: ",
    "register": "registering: ",
    "leader": "registering an invalid schema: ",
}


def problems(seen: Seen, found: EndpointFindings, *, needs_writes: bool, patience: str) -> Iterator[Problem]:
    """All of an endpoint, each once."""
    codes: set[str] = set()
    errors = 0
    for problem in (*_of_answers(seen, found, needs_writes), *_of_facts(seen, found, needs_writes, patience)):
        if problem.code not in codes:
            codes.add(problem.code)
            errors += problem.level == "error"
            yield problem
    if seen.failures and not errors and "no_leader" not in codes:
        yield Problem(
            "warning",
            "unsteady",
            seen.url,
            f"{len(seen.failures)} of {seen.requests} requests failed: {_short(seen.failures[-1])}.",
            "The client repeats such requests. If it stays so, look into the logs of the registry and of proxies.",
        )


def _of_answers(seen: Seen, found: EndpointFindings, needs_writes: bool) -> Iterator[Problem]:
    if seen.no_token:
        advice = (
            "Check that the token server answers; then bearer.auth.*: client.id, client.secret, scope and "
            "issuer.endpoint.url."
        )
        yield Problem("error", "token", seen.url, f"No access token could be had: {_short(seen.no_token)}.", advice)
        return
    if "config" not in seen.answers:
        yield Problem("error", "timeout", seen.url, "The time was over before anything was asked.", "Raise --timeout.")
    for name, said in _SAID.items():
        answer = seen.answers.get(name)
        if answer is None or answer.kind in ("success", "not_found", "token_expired"):
            continue
        if (name == "leader" and answer.kind == "invalid") or (answer.kind == "no_leader" and found.reads):
            continue  # as it should be; told once, by the facts
        if answer.kind in ("read_only", "not_permitted") and found.mode not in (None, "READWRITE"):
            continue  # told by the mode
        if (
            answer.kind in ("forbidden", "no_leader", "read_only", "not_permitted")
            and not needs_writes
            and name == "register"
        ):
            continue
        if answer.kind == "wrong_path" and name == "config":
            continue  # the look-up's answer tells whether it is a registry
        if answer.kind == "forbidden" and (name == "config" or found.register == "yes"):
            continue  # not every caller may read the registry's own settings
        yield _of_answer(seen, found, answer, said)


def _of_answer(seen: Seen, found: EndpointFindings, answer: Answer, said: str) -> Problem:
    outcome = answer.outcome
    code = answer.kind if outcome.broke is None else _BROKE.get(outcome.broke, answer.kind)
    if outcome.broke is None and outcome.error_code in (50001, 50002):
        code = "store"
    if code == "unauthorized":
        code = "credentials_refused" if seen.shows_credentials else "credentials_missing"
    what = _words(answer)
    pages = answer.row.advice if code == "not_a_registry" else ""
    advice = pages or _ADVICE.get(code) or answer.row.advice
    if code in ("read_only", "not_permitted") and found.mode:
        advice = _OWN_MODE.format(found.mode)
    if code in ("invalid", "incompatible"):
        advice = _OWN_SCHEMA
    if code == "timeout" and found.reads:
        advice = _HANGS
    if code == "tls":
        what, advice = _tls_trouble(seen, what)
    if code == "broken_connection" and len(seen.answers) == 1:
        advice += f" {_FIRST_OF_ALL[seen.url.partition(':')[0]]}"
    if answer.redirected_to and code in ("credentials_missing", "credentials_refused", "forbidden"):
        advice = f"Credentials do not follow a redirect to another server: give {answer.redirected_to} as the URL."
    return Problem("error", code, seen.url, _sentence(said + what), advice)


def _words(answer: Answer) -> str:
    outcome = answer.outcome
    if outcome.broke is None and outcome.message.startswith("<"):
        return f"{outcome.status}, with a web page in place of a registry's JSON"
    return _short(outcome.detail)


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _tls_trouble(seen: Seen, detail: str) -> tuple[str, str]:
    why = seen.handshake.why if seen.handshake else ""
    if not why:
        bare = re.sub(r" \(_ssl\.c:\d+\)", "", detail)
        return bare, next(advice for pattern, advice in _TLS if re.search(pattern, detail))
    ends = seen.handshake.ends if seen.handshake else None
    until = f" (it ends {ends:%Y-%m-%d})" if ends and "expired" not in why else f" ({ends:%Y-%m-%d})" if ends else ""
    advice = next((advice for word, advice in _CERTIFICATE if word in why.lower()), _CERTIFICATE[-1][1])
    return f"the server's certificate is not trusted: {why.rstrip('.')}{until}", advice


def _of_facts(seen: Seen, found: EndpointFindings, needs_writes: bool, patience: str) -> Iterator[Problem]:
    url, tls = seen.url, found.tls
    if tls is not None and tls.days is not None and tls.ends is not None and "tls" not in _codes(seen):
        renew = "Have the server's certificate renewed in time."
        if tls.days < 0:
            what = f"The server's certificate ended on {tls.ends:%Y-%m-%d}."
            yield Problem("error", "certificate_ended", url, what, "Renew the server's certificate.")
        elif tls.days < WARN_DAYS:
            what = f"The server's certificate ends in {days_in_words(tls.days)}, on {tls.ends:%Y-%m-%d}."
            yield Problem("warning", "certificate_ends", url, what, renew)
    if tls is not None and not seen.verifies:
        advice = "Set ssl.ca.location to the CA that the server's certificate comes from."
        yield Problem("warning", "not_verified", url, "Any server is trusted: ssl.ca.location is false.", advice)
    if found.ready is False:
        detail = _words(seen.answers["ready"])
        advice = "Wait until it has started; if it stays so, look into its log."
        yield Problem("error", "not_ready", url, f"It says that it is not ready: {detail}.", advice)
    if needs_writes and found.mode not in (None, "READWRITE"):
        code = "not_permitted" if found.mode in ("IMPORT", "FORWARD") else "read_only"
        yield Problem("error", code, url, f"The registry's mode is {found.mode}.", _ADVICE[code])
    if needs_writes and found.leader == "no":
        what = f"The cluster has no leader now: messages with a new schema wait for one, {patience}."
        yield Problem("warning" if found.reads else "error", "no_leader", url, what, _ADVICE["no_leader"])
    if found.redirected_to:
        advice = f"Give {found.redirected_to} as the URL: each request takes two now."
        yield Problem("warning", "redirected", url, f"It redirects to {found.redirected_to}.", advice)
    if found.trace is Trace.LEFT:
        what = f"Subject {seen.subject} was written and could not be removed: {_short(seen.trace_why)}."
        yield Problem("error", "left_behind", url, what, "Remove it by hand: soft first, then with permanent=true.")
    if found.trace is Trace.UNKNOWN:
        what = f"Subject {seen.subject} is not there, but the registration that failed can still take effect."
        if seen.trace_why:
            what = f"Whether subject {seen.subject} was written could not be found out: {_short(seen.trace_why)}."
        yield Problem("warning", "may_be_left", url, what, "If it is there later, remove it by hand.")


def _codes(seen: Seen) -> set[str]:
    return {answer.kind for answer in seen.answers.values()}


def days_in_words(days: int) -> str:
    return "less than a day" if days == 0 else "1 day" if days == 1 else f"{days} days"
