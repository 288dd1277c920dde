"""``kafka-sr-retry check``: what it finds, what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from servers import Proxy, TokenServer
from typer.testing import CliRunner, Result
from waiting import DEAF

from kafka_sr_retry.cli.app import app
from kafka_sr_retry.cli.check import problems
from kafka_sr_retry.cli.check.certificate import not_after
from kafka_sr_retry.registry.policy import TABLE
from kafka_sr_retry.testing import (
    Fault,
    RecordedRequest,
    SchemaRegistryServer,
    answer,
    close_connection,
    drip,
    drop_body,
    error,
    hang,
    html,
    no_leader,
    redirect,
    reset,
    retry_after,
    swallow,
    truncate,
)

NOW = datetime.now(timezone.utc)
ANYONE = "ssl.ca.location=false"
"""Loading the machine's certificates takes time, and most of these registries have no TLS."""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SCHEMA_REGISTRY_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def registry() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer() as server:
        yield server


@pytest.fixture
def other() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer() as server:
        yield server


def run(*args: str, columns: int = 80, **given: Any) -> Result:
    env = {"COLUMNS": str(columns), **given.pop("env", {})}
    result = CliRunner().invoke(app, ["check", *args], env=env, **given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def found(*args: str, exit_code: int | None = None, **given: Any) -> Any:
    """The JSON document, which alone is on the standard output."""
    result = run("--json", "-X", ANYONE, *args, **given)
    assert not result.stderr
    document = json.loads(result.stdout)
    assert result.exit_code == {"errors": 1, "reads_well": 3}.get(document["verdict"], 0)
    assert exit_code in (None, result.exit_code)
    return document


def endpoint(*args: str, **given: Any) -> Any:
    (one,) = found(*args, **given)["endpoints"]
    return one


def codes(document: Any) -> list[str]:
    return [f"{problem['level']} {problem['code']}" for problem in document["problems"]]


def on(path: str, method: str | None = None) -> Callable[[RecordedRequest], bool]:
    return lambda request: path in request.path and method in (None, request.method)


def subjects(registry: SchemaRegistryServer) -> Any:
    """All that are there, soft-deleted ones too."""
    with registry._schemas() as store:
        return store.subjects(deleted=True)


# -- all well ------------------------------------------------------------------------------------


def test_a_registry_that_is_well(registry: SchemaRegistryServer) -> None:
    document = found(registry.url, exit_code=3)

    assert (document["verdict"], document["wrote"], document["problems"]) == ("reads_well", False, [])
    assert document["one_cluster"] is None  # there is nothing to compare
    (told,) = document["endpoints"]
    assert told.pop("latency_ms") > 0
    assert told.pop("scratch_subject").startswith("kafka-sr-retry-check-")
    assert told == {
        "url": registry.url,
        "reachable": True,
        "ready": None,
        "tls": None,
        "credentials": "not_needed",
        "cluster": {"kafka-cluster": "embedded", "schema-registry-cluster": "schema-registry"},
        "version": "7.9.9",
        "mode": "READWRITE",
        "compatibility": "BACKWARD",
        "body": "arrives",
        "register": "expected",
        "leader": "yes",
        "redirected_to": None,
        "scratch_left": False,
        "requests": len(registry.requests),
        "failed_requests": 0,
    }


PAGE = (Path(__file__).parents[2] / "docs/check.md").read_text(encoding="utf-8")


def test_the_page_shows_a_real_screen(registry: SchemaRegistryServer, other: SchemaRegistryServer) -> None:
    def timeless(text: str) -> str:
        return re.sub(r"\b\d+\.\d (?=m?s\b)", "", "\n".join(line.rstrip() for line in text.strip().splitlines()))

    itself = (
        '{"scope":{"path":[],"clusters":{"kafka-cluster":"%s","schema-registry-cluster":"schema-registry"}},"id":""}'
    )
    for server in (registry, other):
        server.fail_always(answer(200, itself % "MkU3OEVBNTcwNTJENDM2Qg"), on("/v1/metadata/id"))
    other.fail_always(drop_body(), matching=on("", "POST"))
    command, _, screen = PAGE.partition("```console\n$ kafka-sr-retry ")[2].partition("```")[0].partition("\n")
    real = {"http://localhost:8081": registry.url, "http://localhost:8082": other.url}
    args = command.split()
    args[1] = ",".join(real[url] for url in args[1].split(","))
    shown = CliRunner().invoke(app, args, env={"COLUMNS": "80"}).stdout
    for named, url in real.items():
        shown = shown.replace(url, named)

    assert timeless(shown) == timeless(screen)


def test_the_page_has_every_field_of_the_document(registry: SchemaRegistryServer) -> None:
    table = PAGE.partition("| field | content |")[2].partition("\n\n")[0]
    shown = {name for row in table.splitlines() for name in re.findall(r"`\W*([\w.\[\]]+)`", row[: row.find("|", 1)])}
    document = found(registry.url)
    (told,) = document.pop("endpoints")
    problem = {"level", "code", "endpoint", "what", "advice"}
    registry.fail_always(error(500))
    assert set(found(registry.url)["problems"][0]) == problem
    assert shown == {*document, *told} - {"problems", "url"} | {"problems[]", "endpoints[].url"}
    assert all(f"`{name}`" in table for name in problem)


def test_the_page_has_every_code() -> None:
    listed = PAGE.partition("Codes of errors: ")[2]
    shown = set(re.findall(r"`(\w+)`", listed))
    tree = ast.parse(Path(problems.__file__).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem"]
    own = {"different_clusters", "not_permitted"}  # of all endpoints together; of a mode
    own |= {call.args[1].value for call in calls if isinstance(call.args[1], ast.Constant)}
    of_others = {"success", "absent", "not_found", "token_expired", "stale_connection", "unauthorized", "connection"}
    of_answers = {row.name for row in TABLE} - of_others
    assert shown == own | of_answers | set(problems._ADVICE) | set(problems._BROKE.values())


def test_a_dry_run_writes_nothing(registry: SchemaRegistryServer) -> None:
    found(registry.url, exit_code=3)

    assert {request.method for request in registry.requests} == {"GET", "POST"}
    looked_up, asked = [request for request in registry.requests if request.method == "POST"]
    assert looked_up.path.startswith("/subjects/kafka-sr-retry-check-")
    assert asked.path == looked_up.path + "/versions"
    assert (json.loads(asked.body)["version"], asked.answer) == (2**31 - 1, 422)
    assert subjects(registry) == []


@pytest.mark.parametrize(
    ("version", "asked"),
    [("7.4.0", True), ("7.9.9-ccs", True), ("8.0.0", True), ("10.1.0", True), ("7.3.15", False), ("6.2.15", False),
     ("v24.1.1", False), ("", False), ("main", False)],
)  # fmt: skip
def test_the_leader_is_asked_where_it_refuses_for_two_reasons(
    registry: SchemaRegistryServer, version: str, asked: bool
) -> None:
    registry.fail_always(answer(200, json.dumps({"version": version})), on("/v1/metadata/version"))
    told = endpoint(registry.url, exit_code=3)

    assert (told["register"], len(registry.registrations)) == (("expected", 1) if asked else ("not_tried", 0))


def test_what_a_registry_should_not_take_is_removed_and_told(registry: SchemaRegistryServer) -> None:
    def takes(exchange: Any) -> None:
        subject = unquote(exchange.request.path.split("/")[2])
        with registry._schemas() as store:
            version = store.register(subject, {"schema": '"string"'})
        exchange.send(replace(exchange.real_answer(), status=200, body=json.dumps({"id": version.schema.id}).encode()))

    registry.fail_next(Fault("takes all", takes), matching=on("/versions"))
    shown = run(registry.url, "-X", ANYONE)

    assert "ok registering a schema was registered, and removed again" in " ".join(shown.stdout.split())
    assert subjects(registry) == []


def test_write_registers_under_a_new_subject_each_time_and_leaves_nothing(registry: SchemaRegistryServer) -> None:
    registry.register("mine", '"string"')
    for _ in range(2):
        told = endpoint(registry.url, "--write", exit_code=0)
        assert (told["register"], told["leader"], told["scratch_left"]) == ("yes", "yes", False)

    first, second = (request.path for request in registry.registrations)
    assert first != second
    assert subjects(registry) == ["mine"]
    removals = [request for request in registry.requests if request.method == "DELETE"]
    assert [request.path.partition("?")[2] for request in removals] == ["", "permanent=true"] * 2


def test_the_subjects_prefix_and_context_are_the_users(registry: SchemaRegistryServer) -> None:
    told = endpoint(registry.url, "--write", "--subject", "orders/ü", "-X", "context=.shop", exit_code=0)

    assert told["scratch_subject"].startswith(":.shop:orders/ü-")
    assert told["scratch_subject"] == unquote(registry.registrations[0].path.split("/")[2])
    assert subjects(registry) == []


def test_what_a_registry_tells_besides_is_told(registry: SchemaRegistryServer) -> None:
    registry.fail_always(answer(200, '{"version":"7.9.9","commitId":"1"}'), on("/v1/metadata/version"))
    registry.fail_always(answer(200, "", "text/plain"), on("/status/ready"))
    registry.fail_always(answer(200, '{"master_available":true}'), on("/master_available"))
    told = endpoint(registry.url, exit_code=3)

    assert (told["version"], told["ready"], told["leader"]) == ("7.9.9", True, "yes")


@pytest.mark.parametrize("fault", [html(404), error(404, 0), answer(404, "Not Found"), error(405), html(501)], ids=str)
def test_a_path_that_a_registry_does_not_have_is_no_failure(registry: SchemaRegistryServer, fault: Fault) -> None:
    for path in ("/status/ready", "/master_available", "/v1/metadata/", "/mode"):
        registry.fail_always(fault, on(path))
    told = endpoint(registry.url, exit_code=3)

    assert [told[name] for name in ("ready", "leader", "cluster", "version", "mode")] == [None, "not_tried"] + [
        None
    ] * 3
    assert "not told" in run(registry.url, "-X", ANYONE).stdout


# -- what is wrong with the answers ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "reachable"),
    [
        (error(500), "server_error", True),
        (error(500, 50002), "store", True),
        (html(502), "server_error", True),
        (no_leader(), "no_leader", True),
        (retry_after(30), "rate_limited", True),
        (retry_after(30, 503), "unavailable", True),
        (error(401), "credentials_missing", True),
        (html(401), "credentials_missing", True),
        (error(403), "forbidden", True),
        (html(404), "not_a_registry", True),
        (error(404, 404, "HTTP 404 Not Found"), "wrong_path", True),
        (error(404, 0, "Could not find resource for full path"), "wrong_path", True),
        (html(200), "not_a_registry", True),
        (answer(200, "{}"), "not_a_registry", True),
        (answer(200, "null"), "not_a_registry", True),
        (close_connection(), "broken_connection", False),
        (reset(), "broken_connection", False),
        (swallow(), "broken_connection", False),
        (truncate(), "broken_connection", False),
        (hang(), "timeout", False),
        (drip(0.5), "timeout", False),
        (drip(0.5, head=True), "timeout", False),
        (redirect("ftp://example.org/"), "bad_redirect", False),
    ],
    ids=str,
)
def test_a_fault_of_every_answer_is_named_with_advice(
    registry: SchemaRegistryServer, fault: Fault, code: str, reachable: bool
) -> None:
    registry.fail_always(fault)
    document = found(registry.url, "-X", "request.timeout.ms=300", exit_code=1)

    assert codes(document) == [f"error {code}"]
    (told,) = document["endpoints"]
    assert told["reachable"] is reachable
    assert told["register"] != "yes"
    (problem,) = document["problems"]
    assert problem["endpoint"] == registry.url
    assert problem["what"]
    assert problem["advice"]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        *(
            (path, fault)
            for path in ("/config", "/subjects/", "/mode")
            for fault in (error(500), html(502), truncate())
        ),
        ("/config", close_connection()),
        ("/config", reset()),
    ],
    ids=str,
)
def test_a_fault_that_does_not_come_again_is_a_warning(registry: SchemaRegistryServer, path: str, fault: Fault) -> None:
    registry.fail_next(fault, matching=on(path))
    document = found(registry.url, exit_code=3)

    assert (document["verdict"], codes(document)) == ("reads_well", ["warning unsteady"])
    (told,) = document["endpoints"]
    assert told["failed_requests"] == 1
    assert (told["mode"], told["compatibility"], told["body"]) == ("READWRITE", "BACKWARD", "arrives")


@pytest.mark.parametrize("fault", [close_connection(), reset()], ids=str)
def test_a_kept_alive_connection_that_was_closed_counts_against_nobody(
    registry: SchemaRegistryServer, fault: Fault
) -> None:
    registry.fail_next(fault, matching=on("/mode"))
    document = found(registry.url, exit_code=3)

    assert document["problems"] == []
    assert document["endpoints"][0]["mode"] == "READWRITE"


def test_what_takes_its_whole_time_is_asked_once(registry: SchemaRegistryServer) -> None:
    registry.fail_always(hang())
    found(registry.url, "-X", "request.timeout.ms=200", exit_code=1)

    assert len(registry.requests) == 1


def test_bodies_that_get_lost_are_found_without_a_write(registry: SchemaRegistryServer) -> None:
    registry.fail_always(drop_body())
    document = found(registry.url, "--write", exit_code=1)

    assert codes(document) == ["error body_lost"]
    (told,) = document["endpoints"]
    assert (told["body"], told["register"]) == ("lost", "no")
    assert "drops request bodies" in document["problems"][0]["advice"]
    assert not registry.registrations


def test_a_redirect_is_told_with_where_it_leads(registry: SchemaRegistryServer, other: SchemaRegistryServer) -> None:
    registry.fail_always(redirect(other.url))
    document = found(registry.url, exit_code=3)

    assert codes(document) == ["warning redirected"]
    (told,) = document["endpoints"]
    assert (told["redirected_to"], told["body"]) == (other.url, "arrives")
    assert other.url in document["problems"][0]["advice"]


def test_credentials_that_a_redirect_leaves_behind_are_explained(registry: SchemaRegistryServer) -> None:
    with SchemaRegistryServer(authorize=lambda headers: "Authorization" in headers) as home:
        registry.fail_always(redirect(f"{home.url}/config?token=secret"))
        document = found(registry.url.replace("//", "//me:pa55-word@"), exit_code=1)

    assert codes(document) == ["error credentials_refused", "warning redirected"]
    assert f"give {home.url} as the URL" in document["problems"][0]["advice"]
    assert "secret" not in json.dumps(document)


@pytest.mark.parametrize("status", [500, 503])
def test_a_node_that_says_it_is_not_ready(registry: SchemaRegistryServer, status: int) -> None:
    registry.fail_always(error(status), on("/status/ready"))
    document = found(registry.url, exit_code=1)

    assert codes(document) == ["error not_ready"]
    assert document["endpoints"][0]["ready"] is False


@pytest.mark.parametrize("mode", ["READONLY", "READONLY_OVERRIDE", "IMPORT"])
def test_a_registry_that_is_read_only_refuses_new_schemas(registry: SchemaRegistryServer, mode: str) -> None:
    with registry._schemas() as store:
        store.set_mode(None, mode)
    document = found(registry.url, exit_code=1)

    assert codes(document) == ["error not_permitted" if mode == "IMPORT" else "error read_only"]
    assert (document["endpoints"][0]["mode"], document["endpoints"][0]["register"]) == (mode, "no")
    assert not registry.registrations


def test_a_producer_that_only_looks_up_needs_neither_mode_nor_leader(registry: SchemaRegistryServer) -> None:
    with registry._schemas() as store:
        store.set_mode(None, "READONLY")
    registry.fail_always(answer(200, '{"master_available":false}'), on("/master_available"))
    document = found(registry.url, "-X", "auto.register.schemas=false", exit_code=0)

    assert document["problems"] == []
    assert [document["endpoints"][0][name] for name in ("register", "leader")] == ["not_needed"] * 2
    shown = run(registry.url, "-X", ANYONE, "-X", "auto.register.schemas=False").stdout
    for name in ("registering  ", "leader       "):
        assert f"   -  {name}  not needed: auto.register.schemas=false" in shown
    assert "  ok  mode           READONLY" in shown


@pytest.mark.parametrize(
    ("file", "args", "registers"),
    [
        ("", ["value.auto.register.schemas=false"], False),
        ("", ["key.auto.register.schemas=false"], True),
        ("value.auto.register.schemas=false", [], False),
        ("bootstrap.servers=b:1\nauto.register.schemas=false", [], False),
        ("value.auto.register.schemas=true", ["auto.register.schemas=false"], False),
        ("value.auto.register.schemas=false", ["key.auto.register.schemas=true"], False),
    ],
)
def test_whether_a_producer_only_looks_up_is_told_by_the_keys_of_its_values(
    registry: SchemaRegistryServer, file: str, args: list[str], registers: bool
) -> None:
    with registry._schemas() as store:
        store.set_mode(None, "READONLY")
    options = [option for assignment in args for option in ("-X", assignment)]
    document = found(registry.url, *options, "--config", "-", input=file)

    assert codes(document) == (["error read_only"] if registers else [])


def test_karapace_tells_without_a_write_that_there_is_no_leader(registry: SchemaRegistryServer) -> None:
    registry.fail_always(answer(200, '{"master_available":false}'), on("/master_available"))
    registry.fail_always(error(404, 404), on("/v1/metadata"))
    document = found(registry.url, exit_code=3)

    assert (codes(document), document["endpoints"][0]["leader"]) == (["warning no_leader"], "no")
    assert not registry.registrations


# -- a registry's own words -----------------------------------------------------------------------

STRANGE = "\x1b[31mRED\x1b]0;title\x07\x9b31m\u202e\u2028\nFORGED All well\r\n"


def says(content: Callable[[str], Any], status: int = 200, text: str = STRANGE, flood: str = "") -> Fault:
    """Answers with ``text``, the Authorization that the request showed, and ``flood``."""

    def play(exchange: Any) -> None:
        shown = text + exchange.request.headers.get("Authorization", "") + flood
        exchange.send(replace(exchange.real_answer(), status=status, body=json.dumps(content(shown)).encode()))

    return Fault("says", play)


def texts(document: Any) -> Iterator[str]:
    """All in a JSON document, names too."""
    if isinstance(document, dict):
        yield from (text for pair in document.items() for each in pair for text in texts(each))
    elif isinstance(document, list):
        yield from (text for each in document for text in texts(each))
    elif isinstance(document, str):
        yield document


@pytest.mark.parametrize("flood", ["", "W" * 30_000], ids=["short", "long"])
def test_a_registrys_words_are_told_on_one_printable_line_without_secrets(
    registry: SchemaRegistryServer, other: SchemaRegistryServer, flood: str
) -> None:
    def clusters(text: str) -> Any:
        return {"scope": {"clusters": {text + str(number): text for number in range(20)} | {"kafka-cluster": text}}}

    for server, extra in ((registry, ""), (other, "other")):
        text = extra + STRANGE
        server.fail_always(says(lambda text: {"mode": text}, text=text, flood=flood), on("/mode"))
        server.fail_always(says(lambda text: {"compatibilityLevel": text}, text=text, flood=flood), on("/config"))
        server.fail_always(says(lambda text: {"version": text}, text=text, flood=flood), on("/v1/metadata/version"))
        server.fail_always(says(clusters, text=text, flood=flood), on("/v1/metadata/id"))
        server.fail_always(says(lambda text: {"message": text}, 503, text=text, flood=flood), on("/status/ready"))
    args = f"{registry.url},{other.url}".replace("//", f"//me:{SECRET}@"), "-X", ANYONE
    document = found(*args, exit_code=1)
    shown = run(*args)

    assert {"read_only", "not_ready", "different_clusters"} <= {problem["code"] for problem in document["problems"]}
    for endpoint in document["endpoints"]:
        for name in ("mode", "compatibility", "version"):
            assert "RED" in endpoint[name]
            assert len(endpoint[name]) <= 200
        assert len(endpoint["cluster"]) <= 8
        assert all(len(text) <= 200 for text in texts(endpoint["cluster"]))
    assert all(text.isprintable() and len(text) < 1000 for text in texts(document))
    assert all(line.isprintable() and len(line) <= 80 for line in shown.stdout.splitlines())
    assert len(shown.stdout) < 12_000
    assert not [line for line in shown.stdout.splitlines() if line.startswith("FORGED")]
    for secret in (SECRET, BASIC.split()[1]):
        assert secret not in "".join(texts(document)) + "".join(shown.stdout.split())


def test_where_a_redirect_leads_is_told_in_printable_words_without_secrets(
    registry: SchemaRegistryServer, other: SchemaRegistryServer
) -> None:
    def play(exchange: Any) -> None:
        showed = exchange.request.headers.get("Authorization", "")
        there = f"{other.url}/\x1b[31m/{quote(showed)}/{showed.replace(' ', '/')}/{'W' * 9000}"
        exchange.send(replace(exchange.real_answer(), status=307, headers=(("Location", there),), body=b""))

    for path in ("/config", "/mode"):
        registry.fail_always(Fault("leads astray", play), on(path))
    document = found(registry.url.replace("//", "//us:pa55%2Fword=@"))

    (told,) = document["endpoints"]
    assert told["redirected_to"].startswith(f"{other.url}/")
    assert "31m/***/Basic/***/WW" in told["redirected_to"]
    assert len(told["redirected_to"]) <= 200
    assert all(text.isprintable() and len(text) < 500 for text in texts(document))
    token = base64.b64encode(b"us:pa55/word=").decode()
    assert not [text for text in texts(document) if token in text or quote(token) in text]


def test_a_headers_scheme_hides_its_secret_no_less(registry: SchemaRegistryServer) -> None:
    registry.fail_always(says(lambda text: {"version": text.rpartition(" ")[2]}), on("/v1/metadata/version"))
    told = endpoint(registry.url, "-X", f'http.headers={{"Authorization": "Bearer {SECRET}"}}', exit_code=3)

    assert told["version"] == "***"


@pytest.mark.parametrize("password", ["W", "READ"])
def test_a_short_password_makes_no_mode_unreadable(registry: SchemaRegistryServer, password: str) -> None:
    told = endpoint(registry.url.replace("//", f"//me:{password}@"), exit_code=3)

    assert (told["mode"], told["compatibility"]) == ("READWRITE", "BACKWARD")


def test_words_that_cannot_be_seen_are_not_told(registry: SchemaRegistryServer) -> None:
    registry.fail_always(says(lambda _: {"mode": "\u202e\x1b"}), on("/mode"))
    registry.fail_always(says(lambda _: {"scope": {"clusters": {"k": "\u200b"}}}), on("/v1/metadata/id"))
    told = endpoint(registry.url, exit_code=3)

    assert (told["mode"], told["cluster"]) == (None, None)


# -- writing --------------------------------------------------------------------------------------


def test_a_cluster_without_a_leader_is_found_by_writing(registry: SchemaRegistryServer) -> None:
    registry.fail_always(error(404, 404), on("/v1/metadata"))  # as where nobody knows how to ask the leader else
    registry.lose_leader()
    assert found(registry.url, exit_code=3)["endpoints"][0]["leader"] == "not_tried"
    document = found(registry.url, "--write", exit_code=3)

    assert codes(document) == ["warning no_leader", "warning may_be_left"]
    (told,) = document["endpoints"]
    assert (told["register"], told["leader"], told["scratch_left"]) == ("waits", "no", None)
    assert told["scratch_subject"] in document["problems"][1]["what"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (error(403), "forbidden"),
        (error(422, 42205), "read_only"),
        (error(422, 42201), "invalid"),
        (error(409), "incompatible"),
        (drop_body(), "body_lost"),
        (error(401), "credentials_missing"),
    ],
    ids=str,
)
def test_a_registration_that_is_refused(registry: SchemaRegistryServer, fault: Fault, code: str) -> None:
    registry.fail_always(fault, on("/versions"))
    document = found(registry.url, "--write", exit_code=1)

    assert codes(document) == [f"error {code}"]
    assert (document["endpoints"][0]["register"], document["endpoints"][0]["scratch_left"]) == ("no", False)
    assert not [request for request in registry.requests if request.method == "DELETE"]


@pytest.mark.parametrize("fault", [swallow(), truncate(), drip(0.2)], ids=str)
def test_a_registration_whose_answer_is_lost_is_removed_too(registry: SchemaRegistryServer, fault: Fault) -> None:
    registry.fail_always(fault, on("/versions"))
    document = found(registry.url, "--write", "-X", "request.timeout.ms=300", exit_code=1)

    assert subjects(registry) == []
    assert len(document["problems"]) == 1
    assert (document["endpoints"][0]["register"], document["endpoints"][0]["scratch_left"]) == ("no", False)


def test_a_registration_that_was_refused_only_the_second_time_is_removed(registry: SchemaRegistryServer) -> None:
    registry.fail_next(swallow(), error(403), matching=on("/versions"))
    registry.fail_next(error(403, message=f"not for {SECRET}"), matching=on("", "DELETE"))
    document = found(registry.url, "-X", f'http.headers={{"X-Key": "{SECRET}"}}', "--write", exit_code=1)
    assert codes(document) == ["error forbidden", "error left_behind"]
    assert SECRET not in json.dumps(document)

    registry.fail_next(swallow(), error(403), matching=on("/versions"))
    found(registry.url, "--write", exit_code=1)
    assert subjects(registry) == [document["endpoints"][0]["scratch_subject"]]


@pytest.mark.parametrize("fault", [hang(), reset(), answer(200, "{}")], ids=str)
def test_a_registration_that_may_come_later_is_told_by_its_name(registry: SchemaRegistryServer, fault: Fault) -> None:
    registry.fail_always(fault, on("/versions"))
    document = found(registry.url, "--write", "-X", "request.timeout.ms=300", exit_code=1)

    assert codes(document)[1:] == ["warning may_be_left"]
    (told,) = document["endpoints"]
    assert told["scratch_left"] is None
    assert told["scratch_subject"] in document["problems"][1]["what"]


@pytest.mark.parametrize("fault", [no_leader(), reset(), error(503), swallow()], ids=str)
@pytest.mark.parametrize("times", [1, 2])
def test_the_removal_is_repeated_like_any_request(registry: SchemaRegistryServer, fault: Fault, times: int) -> None:
    registry.fail_next(*[fault] * times, matching=lambda request: request.method == "DELETE")
    told = endpoint(registry.url, "--write", exit_code=0)

    assert subjects(registry) == []
    assert told["scratch_left"] is False


def test_the_removal_waits_for_a_node_that_has_not_read_of_the_subject_yet(registry: SchemaRegistryServer) -> None:
    registry.fail_next(error(404, 40401), matching=on("", "DELETE"))
    told = endpoint(registry.url, "--write", exit_code=0)

    assert subjects(registry) == []
    assert told["scratch_left"] is False


def test_the_removal_has_time_of_its_own(registry: SchemaRegistryServer) -> None:
    registry.fail_always(hang(), on("/mode"))
    told = endpoint(registry.url, "--write", "--timeout", "8")

    assert (told["register"], told["scratch_left"]) == ("yes", False)
    assert subjects(registry) == []


@pytest.mark.parametrize(
    ("which", "fault"),
    [("", error(403)), ("", error(404, 40401)), ("", error(422, 42206)), ("permanent=true", error(403))],
    ids=str,
)
def test_a_subject_that_cannot_be_removed_is_told_by_its_name(
    registry: SchemaRegistryServer, which: str, fault: Fault
) -> None:
    registry.fail_always(fault, on(which, "DELETE"))
    document = found(registry.url, "--write", exit_code=1)

    assert codes(document) == ["error left_behind"]
    (told,) = document["endpoints"]
    assert (told["register"], told["scratch_left"]) == ("yes", True)
    assert subjects(registry) == [told["scratch_subject"]]
    shown = run(registry.url, "--write", "-X", ANYONE)
    assert "Messages would go out." in shown.stdout
    assert any(subject in shown.stdout for subject in subjects(registry) if subject != told["scratch_subject"])


def started(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kafka_sr_retry.cli", "check", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


class _Arrived:
    """Says when a request has come, holds it until it may go on, and notes whether somebody still waits for it then."""

    def __init__(self, registry: SchemaRegistryServer, path: str, method: str) -> None:
        self.came, self.goes_on = threading.Event(), threading.Event()
        self.awaited = False

        def play(exchange: Any) -> None:
            self.came.set()
            assert self.goes_on.wait(30)
            try:
                exchange.connection.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                self.awaited = True
            exchange.send(exchange.real_answer())

        registry.fail_next(Fault("held", play), matching=on(path, method))


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("path", "method"), [("/versions", "POST"), ("/subjects/", "DELETE")])
def test_an_interrupted_write_is_removed(
    registry: SchemaRegistryServer, number: signal.Signals, exit_code: int, path: str, method: str
) -> None:
    held = _Arrived(registry, path, method)
    process = started(registry.url, "--write", "--json")
    assert held.came.wait(30)
    process.send_signal(number)
    assert process.stderr is not None
    assert process.stderr.readline() == "kafka-sr-retry check: interrupted, removing what was written\n"
    process.send_signal(number)  # impatience breaks nothing
    held.goes_on.set()
    stdout, stderr = process.communicate(timeout=30)

    assert held.awaited
    assert (process.returncode, stdout) == (exit_code, "")
    assert stderr == "kafka-sr-retry check: what was written is removed\n"
    assert len(registry.registrations) == 1
    assert subjects(registry) == []


def test_an_interrupted_write_that_cannot_be_removed_is_told_by_its_name(registry: SchemaRegistryServer) -> None:
    registry.fail_always(error(403), on("", "DELETE"))
    held = _Arrived(registry, "/versions", "POST")
    process = started(registry.url, "--write")
    assert held.came.wait(30)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    process.stderr.readline()
    held.goes_on.set()
    _, stderr = process.communicate(timeout=30)

    (left,) = subjects(registry)
    assert process.returncode == 143
    assert left in stderr
    assert "could not be removed" in stderr


def as_options(conf: dict[str, str]) -> list[str]:
    return [argument for name, value in conf.items() for argument in ("-X", f"{name}={value}")]


def oauth(issuer: TokenServer) -> dict[str, str]:
    return {
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": TokenServer.ID,
        "bearer.auth.client.secret": TokenServer.SECRET,
        "bearer.auth.issuer.endpoint.url": issuer.endpoint,
    }


@pytest.mark.parametrize("when", ["registering", "waiting for the removal's token"])
def test_an_interrupted_write_whose_token_has_run_out_is_removed(when: str) -> None:
    with (
        TokenServer(lifetime=0) as issuer,
        SchemaRegistryServer(authorize=lambda headers: "Authorization" in headers) as registry,
    ):
        if when == "registering":
            held = _Arrived(registry, "/versions", "POST")
        else:
            issuer.fail_next(Fault("nothing", lambda exchange: exchange.send(exchange.real_answer())))
            held = _Arrived(issuer, "/oauth/token", "POST")
        process = started(registry.url, "--write", *as_options(oauth(issuer)))
        assert held.came.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline() == "kafka-sr-retry check: interrupted, removing what was written\n"
        held.goes_on.set()
        _, stderr = process.communicate(timeout=30)

        assert (process.returncode, stderr) == (130, "kafka-sr-retry check: what was written is removed\n")
        assert len(registry.registrations) == 1
        assert subjects(registry) == []


@pytest.mark.parametrize(
    ("before", "path", "told"),
    [
        (None, "/config", []),
        (error(403), "/mode", []),
        (None, "/mode", ["what was written is removed"]),
    ],
    ids=["nothing was written yet", "the registration was refused", "what was written is removed already"],
)
def test_an_interrupt_promises_no_removal_where_there_is_none_to_do(
    registry: SchemaRegistryServer, before: Fault | None, path: str, told: list[str]
) -> None:
    if before:
        registry.fail_always(before, on("/versions"))
    held = _Arrived(registry, path, "GET")
    process = started(registry.url, "--write")
    assert held.came.wait(30)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    held.goes_on.set()

    assert process.returncode == 130
    assert stderr.splitlines() == [f"kafka-sr-retry check: {line}" for line in ["interrupted", *told]]


def test_an_interrupt_ends_a_wait_for_a_token() -> None:
    with TokenServer() as issuer, SchemaRegistryServer() as registry:
        held = _Arrived(issuer, "/oauth/token", "POST")
        patient = oauth(issuer) | {"request.timeout.ms": "3600000", "total.timeout.ms": "3600000"}
        process = started(registry.url, "--write", *as_options(patient))
        assert held.came.wait(30)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        held.goes_on.set()

    assert (process.returncode, stderr) == (130, "kafka-sr-retry check: interrupted\n")


def test_an_interrupted_question_ends_at_once(registry: SchemaRegistryServer) -> None:
    held = _Arrived(registry, "/config", "GET")
    process = started(registry.url, "--timeout", "3600", "-X", "request.timeout.ms=3600000")
    assert held.came.wait(30)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    held.goes_on.set()

    assert (process.returncode, stdout, stderr) == (130, "", "kafka-sr-retry check: interrupted\n")


# -- several endpoints ------------------------------------------------------------------------------


def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_each_endpoint_is_asked_for_itself(registry: SchemaRegistryServer, other: SchemaRegistryServer) -> None:
    gone = closed()
    document = found(f"{registry.url},{gone},http://no-such-host.invalid,{other.url}", exit_code=1)

    assert [told["reachable"] for told in document["endpoints"]] == [True, False, False, True]
    assert [(problem["code"], problem["endpoint"]) for problem in document["problems"]] == [
        ("connect", gone),
        ("name", "http://no-such-host.invalid"),
    ]
    assert document["one_cluster"] is None
    assert len(other.requests) == len(registry.requests) > 5


def test_urls_can_stand_apart(guarded: SchemaRegistryServer, other: SchemaRegistryServer) -> None:
    document = found(guarded.url, other.url.replace("//", f"//me:{SECRET}@"), exit_code=3)

    assert [told["url"] for told in document["endpoints"]] == [guarded.url, other.url]


def test_endpoints_that_hang_hang_at_the_same_time(registry: SchemaRegistryServer, other: SchemaRegistryServer) -> None:
    both = threading.Barrier(2)

    def meet(exchange: Any) -> None:
        both.wait(20)
        exchange.send(exchange.real_answer())

    for server in (registry, other):
        server.fail_next(Fault("meets", meet))

    assert found(f"{registry.url},{other.url}", exit_code=3)["one_cluster"] is True


def test_endpoints_of_different_clusters_are_an_error(
    registry: SchemaRegistryServer, other: SchemaRegistryServer
) -> None:
    its_own = (
        '{"scope":{"path":[],"clusters":{"kafka-cluster":"k2","schema-registry-cluster":"schema-registry"}},"id":""}'
    )
    other.fail_always(answer(200, its_own), on("/v1/metadata/id"))
    document = found(f"{registry.url},{other.url}", exit_code=1)

    assert (codes(document), document["one_cluster"]) == (["error different_clusters"], False)
    assert document["endpoints"][1]["cluster"]["kafka-cluster"] == "k2"
    assert document["problems"][0]["endpoint"] is None


@pytest.mark.parametrize("content", ["{}", "[]", '{"scope":{}}', '{"scope":{"clusters":{}},"id":7}', "<html>"])
def test_a_cluster_that_is_not_told_is_not_known(
    registry: SchemaRegistryServer, other: SchemaRegistryServer, content: str
) -> None:
    other.fail_always(answer(200, content), on("/v1/metadata/id"))

    assert found(f"{registry.url},{other.url}", exit_code=3)["one_cluster"] is None


# -- TLS --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return f"ssl.ca.location={path}"


@pytest.fixture
def https(ca: trustme.CA) -> Iterator[Callable[..., SchemaRegistryServer]]:
    with ExitStack() as stack:

        def serve(
            host: str = "127.0.0.1", *, asks_client: ssl.TLSVersion | None = None, **cert: Any
        ) -> SchemaRegistryServer:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ca.issue_cert(host, **cert).configure_cert(context)
            if asks_client:
                context.verify_mode = ssl.CERT_REQUIRED
                context.minimum_version = context.maximum_version = asks_client
                ca.configure_trust(context)
            return stack.enter_context(SchemaRegistryServer(ssl_context=context))

        yield serve


Https = Callable[..., SchemaRegistryServer]


def test_a_certificate_that_lasts_is_well(https: Https, trusted: str) -> None:
    ends = (NOW + timedelta(days=90, hours=1)).replace(microsecond=0)
    registry = https(not_after=ends)
    told = endpoint(registry.url, "-X", trusted, exit_code=3)

    assert told["tls"] == {
        "version": "TLSv1.3",
        "trusted": True,
        "certificate_ends": ends.isoformat(),
        "certificate_days": 90,
    }


@pytest.mark.parametrize(("days", "warned"), [(0, True), (29, True), (30, False)])
def test_a_certificate_that_ends_soon_is_warned_about(https: Https, trusted: str, days: int, warned: bool) -> None:
    registry = https(not_after=NOW + timedelta(days=days, hours=1))
    document = found(registry.url, "-X", trusted, exit_code=3)

    assert document["endpoints"][0]["tls"]["certificate_days"] == days
    assert codes(document) == (["warning certificate_ends"] if warned else [])


@pytest.mark.parametrize(
    ("cert", "why", "advice"),
    [
        ({"not_after": NOW - timedelta(days=2, hours=1)}, "expired", "Renew"),
        ({"host": "elsewhere.example.org"}, "mismatch", "host name"),
    ],
    ids=["expired", "other name"],
)
def test_a_certificate_that_is_not_trusted_is_told_with_why_and_its_end(
    https: Https, trusted: str, cert: dict[str, Any], why: str, advice: str
) -> None:
    registry = https(**cert)
    document = found(registry.url, "-X", trusted, exit_code=1)

    assert codes(document) == ["error tls"]
    assert why in document["problems"][0]["what"]
    assert advice in document["problems"][0]["advice"]
    (told,) = document["endpoints"]
    assert (told["reachable"], told["tls"]["trusted"]) == (False, False)
    assert told["tls"]["certificate_days"] == (-3 if why == "expired" else told["tls"]["certificate_days"])
    assert told["tls"]["certificate_ends"] is not None
    assert not registry.requests


def test_a_ca_that_is_not_known_is_told(https: Https, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.pem"
    trustme.CA().cert_pem.write_to_path(str(theirs))
    registry = https()
    document = found(registry.url.replace("//", "//me:pa55-word@"), "-X", f"ssl.ca.location={theirs}", exit_code=1)

    assert codes(document) == ["error tls"]
    assert "ssl.ca.location" in document["problems"][0]["advice"]
    assert document["endpoints"][0]["tls"]["certificate_ends"] is not None
    assert not registry.requests


def test_trusting_anyone_is_warned_about_once_and_an_end_is_told_all_the_same(https: Https) -> None:
    registry = https(not_after=NOW - timedelta(days=2, hours=1))
    document = found(registry.url, exit_code=1)

    assert codes(document) == ["error certificate_ended", "warning not_verified"]
    assert document["endpoints"][0]["tls"]["certificate_days"] == -3
    assert document["endpoints"][0]["body"] == "arrives"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_asks_for_a_certificate_is_told(https: Https, trusted: str, version: ssl.TLSVersion) -> None:
    document = found(https(asks_client=version).url, "-X", trusted, exit_code=1)

    assert len(document["problems"]) == 1  # in 1.3 the refusal comes behind the request, and can be lost in a reset
    assert "ssl.certificate.location" in document["problems"][0]["advice"]


def test_a_port_without_tls_is_told(registry: SchemaRegistryServer) -> None:
    document = found(registry.url.replace("http:", "https:"), exit_code=1)

    assert codes(document) == ["error tls"]
    assert "http://" in document["problems"][0]["advice"]


def test_a_port_with_tls_is_told(https: Https) -> None:
    document = found(https().url.replace("https:", "http:"), exit_code=1)

    assert codes(document) == ["error broken_connection"]
    assert "https://" in document["problems"][0]["advice"]


def test_through_a_proxy_the_servers_own_certificate_is_seen(https: Https, trusted: str) -> None:
    registry = https(not_after=NOW + timedelta(days=12, hours=1))
    with Proxy() as proxy:
        told = endpoint(registry.url, "-X", trusted, "-X", f"proxy={proxy.url}", exit_code=3)

    assert told["tls"]["certificate_days"] == 12
    assert proxy.heads


def test_a_tls_proxys_certificate_is_not_taken_for_the_servers(https: Https, ca: trustme.CA, trusted: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", not_after=NOW + timedelta(days=12)).configure_cert(context)
    registry = https()
    with Proxy(ssl_context=context) as proxy:
        there = proxy.url.replace("127.0.0.1", "localhost")
        args = registry.url, "-X", trusted, "-X", f"proxy={there}"
        told = endpoint(*args)
        shown = run(*args).stdout

    assert (told["reachable"], told["tls"]) == (True, None)
    assert "TLS            not seen through the proxy's own" in shown


@pytest.mark.parametrize("year", [1999, 2030, 2049, 2050, 2999])
def test_a_certificates_end_is_read_as_another_library_reads_it(ca: trustme.CA, year: int) -> None:
    ends = datetime(year, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
    pem = ca.issue_cert("a.example.org", not_before=ends - timedelta(days=1), not_after=ends)
    certificate = x509.load_pem_x509_certificate(pem.cert_chain_pems[0].bytes())

    assert not_after(certificate.public_bytes(Encoding.DER)) == certificate.not_valid_after_utc
    assert certificate.not_valid_after_utc.year == year


# -- credentials and configuration ------------------------------------------------------------------

SECRET = "pa55-word"
BASIC = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.fixture
def guarded() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer(authorize=lambda headers: headers.get("Authorization") == BASIC) as server:
        yield server


GIVEN: dict[str, Callable[[str, Path], tuple[list[str], dict[str, Any]]]] = {
    "URL": lambda url, _: ([url.replace("//", f"//me:{SECRET}@")], {}),
    "-X": lambda url, _: ([url, "-X", f"basic.auth.user.info=me:{SECRET}"], {}),
    "-X, with prefix": lambda url, _: ([url, "-X", f"schema.registry.basic.auth.user.info=me:{SECRET}"], {}),
    "environment": lambda url, _: (
        [],
        {"env": {"SCHEMA_REGISTRY_URL": url, "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO": f"me:{SECRET}"}},
    ),
    "properties": lambda url, path: (
        ["--config", wrote(path, f"# a client's\n! keys\n\nurl = {url}\nbasic.auth.user.info: me:{SECRET}\n")],
        {},
    ),
    "a producer's properties": lambda url, path: (
        [
            "--config",
            wrote(
                path,
                f"bootstrap.servers=b:1\nssl.ca.location=/no/such/file\nvalue.subject.name.strategy=x.Y\n"
                f"schema.registry.url={url}\nschema.registry.basic.auth.credentials.source=SASL_INHERIT\n"
                f"sasl.username=me\nsasl.password={SECRET}\n",
            ),
        ],
        {},
    ),
    "a producer's properties without a key of the registry's": lambda url, path: (
        [
            *(url, "-X", "basic.auth.credentials.source=SASL_INHERIT", "--config"),
            wrote(
                path,
                f"bootstrap.servers=b:1\nssl.ca.location=/no/such/file\nacks=all\nsasl.username=me\n"
                f"sasl.password={SECRET}\n",
            ),
        ],
        {},
    ),
    "properties with a byte order mark": lambda url, path: (
        ["--config", wrote(path, f"\ufeffurl={url}\nbasic.auth.user.info=me:{SECRET}\n")],
        {},
    ),
    "JSON with a byte order mark": lambda url, path: (
        ["--config", wrote(path, "\ufeff" + json.dumps({"url": url, "basic.auth.user.info": f"me:{SECRET}"}))],
        {},
    ),
    "standard input with a byte order mark": lambda url, _: (
        [url, "--config", "-"],
        {"input": f"\ufeffbasic.auth.user.info=me:{SECRET}"},
    ),
    "JSON": lambda url, path: (
        ["--config", wrote(path, json.dumps({"url": [url], "basic.auth.user.info": f"me:{SECRET}"}))],
        {},
    ),
    "standard input": lambda url, _: ([url, "--config", "-"], {"input": f"basic.auth.user.info=me:{SECRET}"}),
    "a header": lambda url, _: ([url, "-X", f'http.headers={{"Authorization": "{BASIC}"}}'], {}),
}


def wrote(folder: Path, text: str) -> str:
    path = folder / "client"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("way", GIVEN)
def test_credentials_are_taken_from_where_people_keep_them(
    guarded: SchemaRegistryServer, tmp_path: Path, way: str
) -> None:
    args, given = GIVEN[way](guarded.url, tmp_path)

    assert endpoint(*args, exit_code=3, **given)["credentials"] == "accepted"


@pytest.mark.parametrize(
    "host", ["[::1]", "a_b", "1.2.3.4", "a.example.", "b\xfccher.invalid", "xn--bcher-kva.invalid"]
)
def test_a_host_that_can_be_is_asked_for(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    document = found(f"http://{host}:{port}", "-X", "proxy=http://no-such-proxy.invalid:1", exit_code=1)

    assert codes(document) == ["error name"]


def test_credentials_that_are_wrong_or_missing(guarded: SchemaRegistryServer) -> None:
    missing = found(guarded.url, exit_code=1)
    refused = found(guarded.url.replace("//", "//me:wrong@"), exit_code=1)

    assert (codes(missing), missing["endpoints"][0]["credentials"]) == (["error credentials_missing"], "missing")
    assert (codes(refused), refused["endpoints"][0]["credentials"]) == (["error credentials_refused"], "refused")


def test_credentials_that_nobody_asks_for_are_told(registry: SchemaRegistryServer) -> None:
    assert endpoint(registry.url.replace("//", "//me:wrong@"), exit_code=3)["credentials"] == "not_needed"


def test_who_may_not_read_the_settings_may_still_be_well(registry: SchemaRegistryServer) -> None:
    for path in ("/config", "/mode"):
        registry.fail_always(error(403), on(path))
    url = registry.url.replace("//", "//me:right@")
    assert found(url, exit_code=3)["problems"] == []
    document = found(url, "--write", exit_code=0)

    (told,) = document["endpoints"]
    assert document["problems"] == []
    assert (told["credentials"], told["register"], told["compatibility"], told["mode"]) == (
        "accepted",
        "yes",
        None,
        None,
    )


def test_who_may_write_and_not_look_up_is_well_once_it_is_tried(registry: SchemaRegistryServer) -> None:
    registry.fail_always(error(403), lambda request: request.method == "POST" and "/versions" not in request.path)

    assert codes(found(registry.url, exit_code=1)) == ["error forbidden"]
    assert found(registry.url, "--write", exit_code=0)["problems"] == []


def test_a_token_is_had_once_for_all_endpoints() -> None:
    with (
        TokenServer() as issuer,
        SchemaRegistryServer(authorize=lambda headers: headers.get("Authorization") == "Bearer token-1") as registry,
        SchemaRegistryServer(authorize=lambda headers: headers.get("Authorization") == "Bearer token-1") as other,
    ):
        conf = oauth(issuer)
        urls = f"{registry.url},{other.url}"
        document = found(urls, "--write", "--config", "-", input=json.dumps(conf), exit_code=0)
        assert [told["credentials"] for told in document["endpoints"]] == ["accepted", "accepted"]
        assert len(issuer.requests) == 1

        conf["bearer.auth.client.secret"] = SECRET
        document = found(urls, "--config", "-", input=json.dumps(conf), exit_code=1)
        assert codes(document) == ["error token", "error token"]
        assert "unknown client" in document["problems"][0]["what"]
        assert SECRET not in json.dumps(document)

        issuer.fail_always(answer(400, json.dumps({"error": f"{STRANGE}{SECRET}{'W' * 9000}"})))
        document = found(registry.url, "--config", "-", input=json.dumps(conf), exit_code=1)
        (problem,) = document["problems"]
        assert (problem["code"], problem["what"].isprintable()) == ("token", True)
        assert len(problem["what"]) < 300
        assert SECRET not in problem["what"]


def test_the_command_line_goes_before_the_environment_and_the_environment_before_the_file(
    registry: SchemaRegistryServer, other: SchemaRegistryServer, tmp_path: Path
) -> None:
    file = ["--config", wrote(tmp_path, f"url={closed()}\nrequest.timeout.ms=5000")]

    assert endpoint(*file, env={"SCHEMA_REGISTRY_URL": registry.url})["url"] == registry.url
    assert endpoint(other.url, *file, env={"SCHEMA_REGISTRY_URL": registry.url})["url"] == other.url
    assert endpoint("-X", f"url={other.url}", *file, env={"SCHEMA_REGISTRY_URL": registry.url})["url"] == other.url


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "fault", [None, error(401, message=f"no {SECRET} s3cret-key"), html(502), reset(), error(403), hang()]
)
def test_no_credential_is_ever_shown(registry: SchemaRegistryServer, form: list[str], fault: Fault | None) -> None:
    if fault:
        registry.fail_always(fault)
    token = base64.b64encode(f"me:{SECRET}".encode()).decode()
    time = 300 if fault and fault.name.startswith("hang") else 5000
    shown = run(
        registry.url.replace("//", f"//me:{SECRET}@"), "-X", 'http.headers={"X-Key": "s3cret-key"}',
        "-X", f"request.timeout.ms={time}", "-X", ANYONE, *form, columns=200,
    )  # fmt: skip

    assert registry.requests[0].headers["X-Key"] == "s3cret-key"
    assert not [secret for secret in (SECRET, token, "s3cret-key") if secret in shown.output]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ([], "no URL"),
        (["registry:8081"], "http://"),
        (["mock://"], "mock"),
        (["http://a:1", "-X", "max.retry=3"], "did you mean max.retries?"),
        (["http://a:1", "-X", "max.retries=many"], "max.retries must be a number"),
        (["http://a:1", "-X", f"{SECRET}"], "key=value"),
        (["http://a:1", "-X", f"{SECRET.upper()}=="], "key=value"),
        (["http://a:1", "-X", f"http://me:{SECRET}@a:1/?x=y"], "key=value"),
        (["http://a:1", "-X", f"basic.auth.user.info={SECRET}"], "user:password"),
        ([f"http://me:{SECRET}@a:1", "-X", f"basic.auth.user.info=me:{SECRET}"], "contradict"),
        (["http://a:1", "-X", "ssl.ca.location=/no/such/file"], "/no/such/file"),
        (["http://a:1", "-X", f"ssl.ca.location={__file__}"], "holds no CA certificates"),
        (["http://a:1", "-X", "event_cb=print"], "event_cb"),
        (["http://a:1", "--config", __file__], "line 1"),
        (["http://a:1", "-X", "http.headers=" + '{"a":' * 50_000], "http.headers must be a dict"),
        (["http://a:1", "-X", "max.retries=" + "[" * 50_000], "max.retries must be a number"),
        (["http://a:1", f"basic.auth.user.info=me:{SECRET}"], "argument 2"),
        (["http://a:1", "", "http://b:1"], "argument 2"),
        (["http://a b/"], "'a b' cannot be a host's name: ' ' is in it"),
        ([f"http://a:1,http://me:{SECRET}@a b:1/"], "'a b' cannot be"),
        (["-X", "url=http://a;http://b"], "';' is in it"),
        (["http://*.example.org"], "'*' is in it"),
        (["http://a\\b"], "'\\\\' is in it"),
        (["http://a\u202eb"], "'\\u202e' is in it"),
        (["http://a..b"], "between its dots"),
        (["http://.a"], "between its dots"),
        ([f"http://{'a' * 64}"], "63"),
        ([f"http://{'a.' * 130}a"], "253"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_no_request(args: list[str], word: str) -> None:
    wrong = run(*args)

    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("kafka-sr-retry check: ")
    assert wrong.stderr.count("\n") == 1
    assert word in wrong.stderr
    assert SECRET not in wrong.stderr


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SCHEMA_REGISTRY_BASIC_AUTH_USERINFO", "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"),
        ("SCHEMA_REGISTRY_URLS", "SCHEMA_REGISTRY_URL"),
        ("SCHEMA_REGISTRY_SSL_CA_LOCATOIN", "SCHEMA_REGISTRY_SSL_CA_LOCATION"),
        ("SCHEMA_REGISTRY_MAX_RETRY", "SCHEMA_REGISTRY_MAX_RETRIES"),
        ("SCHEMA_REGISTY_URL", "SCHEMA_REGISTRY_URL"),
        ("SCHEMAREGISTRY_URL", "SCHEMA_REGISTRY_URL"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(variable: str, meant: str) -> None:
    wrong = run("http://a:1", env={variable: SECRET})

    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr == f"kafka-sr-retry check: unknown environment variable {variable}: did you mean {meant}?\n"


@pytest.mark.parametrize(
    "variable",
    # Kubernetes, for a service named schema-registry; a registry's own container; other tools
    ["SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_8081_TCP", "PORT_8081_TCP_ADDR", "HOST_NAME", "LISTENERS",
     "KAFKASTORE_BOOTSTRAP_SERVERS", "SSL_KEYSTORE_LOCATION", "SSL_KEYSTORE_PASSWORD", "SSL_TRUSTSTORE_LOCATION",
     "HEAP_OPTS", "SCHEMA_COMPATIBILITY_LEVEL", "GROUP_ID", "API_KEY", "API_SECRET", "USER", "PASSWORD", "HOST"],
)  # fmt: skip
def test_others_variables_are_no_misspellings(registry: SchemaRegistryServer, variable: str) -> None:
    found(registry.url, env={f"SCHEMA_REGISTRY_{variable}": "tcp://10.0.0.1:8081", "KAFKA_SCHEMA_REGISTRY_URL": "x"})


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("schema.registry.ulr", "url"),
        ("schema.registry.max.retry", "max.retries"),
        ("basic.auth.user.inf", "schema.registry.basic.auth.user.info"),
        ("basic.auth.user.info", "schema.registry.basic.auth.user.info"),
        ("ssl.ca.locatoin", "ssl.ca.location"),
        ("auto.register.schema", "auto.register.schemas"),
    ],
)
def test_a_misspelt_key_of_a_producers_file_is_refused_with_the_nearest_name(key: str, meant: str) -> None:
    wrong = run("http://a:1", "--config", "-", input=f"bootstrap.servers=b:1\n{key}={SECRET}")

    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert f"did you mean {meant}?" in wrong.stderr.replace("schema.registry.ssl", "ssl")
    assert SECRET not in wrong.stderr


def test_the_keys_of_librdkafka_and_of_confluents_client_are_no_misspellings(registry: SchemaRegistryServer) -> None:
    kafka = ["security.protocol=SASL_SSL", "sasl.mechanisms=PLAIN", "acks=all", "client.id=me", "linger.ms=5"]
    confluents = ["cache.capacity=10", "cache.latest.ttl.sec=5", "max.retries=2", "retries.wait.ms=1", "timeout=3"]
    java = ["key.serializer=org.example.Keys", "max.block.ms=60000", "delivery.timeout.ms=120000"]

    found(registry.url, *[word for assignment in kafka + confluents for word in ("-X", assignment)])
    found(registry.url, "--config", "-", input="\n".join([*kafka, *confluents]))
    producers = [f"schema.registry.{line}" for line in confluents]
    found(registry.url, "--config", "-", input="\n".join(["bootstrap.servers=b:1", *kafka, *java, *producers]))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"bearer.auth.token=\\\n  {SECRET}==\n", 1),
        (f"ssl.key.pem=-----BEGIN PRIVATE KEY-----\n{SECRET.upper()}==\n", 2),
        (f'"bearer.auth.token": "{SECRET}"\n', 1),
    ],
)
def test_a_value_that_goes_on_in_another_line_is_not_told(text: str, line: int) -> None:
    wrong = run("--config", "-", "http://a:1", input=text)

    assert wrong.exit_code == 2
    assert f"--config, line {line}: " in wrong.stderr
    assert SECRET.lower() not in wrong.output.lower()


def test_a_file_that_is_nested_too_deep_is_told() -> None:
    wrong = run("http://a:1", "--config", "-", input='{"http.headers": ' + "[" * 1_000_000)

    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr == "kafka-sr-retry check: --config holds JSON that cannot be read: it is nested too deep\n"


@pytest.mark.parametrize("text", ["{", '{"url": }', "a line without a sign", "url=http://a:1\n=x"])
def test_a_file_that_cannot_be_read_is_told_with_its_line(text: str) -> None:
    wrong = run("--config", "-", input=text)

    assert wrong.exit_code == 2
    assert "line" in wrong.stderr


@pytest.mark.parametrize("args", [["--timeout", "0"], ["--timeout", "soon"], ["--config", "/no/such/file"], ["--nope"]])
def test_a_wrong_option_is_a_usage_error(args: list[str]) -> None:
    wrong = run("http://a:1", *args)

    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert args[0] in wrong.stderr


def test_the_timeout_bounds_all_questions_of_an_endpoint(registry: SchemaRegistryServer) -> None:
    """Each answer comes within request.timeout.ms; all together do not within the time given."""
    registry.delay = 0.3
    told = endpoint(registry.url, "--timeout", "1")

    assert told["reachable"] is True
    assert told["mode"] is None
    assert len(registry.requests) < 6


# -- what people see --------------------------------------------------------------------------------


def test_help_tells_the_exit_codes_and_where_credentials_belong() -> None:
    shown = " ".join(run("--help", columns=80).stdout.split())

    for words in ("0 all well", "1 something is wrong", "2 a wrong", "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"):
        assert words in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_the_last_line_is_the_verdict(registry: SchemaRegistryServer, columns: int) -> None:
    well = run(registry.url, "-X", ANYONE, columns=columns)
    registry.fail_next(error(500))
    warned = run(registry.url, "-X", ANYONE, columns=columns)
    registry.fail_always(html(502))
    failed = run(registry.url, "-X", ANYONE, columns=columns)

    assert (well.exit_code, warned.exit_code, failed.exit_code) == (3, 3, 1)
    last = [" ".join(shown.stdout.rpartition("\n\n")[2].split()) for shown in (well, warned, failed)]
    assert last[0].startswith("Reads well; writes not tried: use --write. (11 requests in ")
    assert last[1].startswith("Reads well, and 1 warning; writes not tried: use --write. (")
    assert last[2].startswith("1 error. Messages would be lost. (")


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_cut_off_and_no_line_is_too_long(
    registry: SchemaRegistryServer, https: Https, trusted: str, columns: int
) -> None:
    soon = https(not_after=NOW + timedelta(days=12, hours=1))
    cluster = "k" * 130
    itself = '{"scope":{"path":[],"clusters":{"kafka-cluster":"%s"}},"id":""}'
    for server in (registry, soon):
        server.fail_always(answer(200, itself % cluster), on("/v1/metadata/id"))
    registry.fail_always(drop_body())
    long = "http://a-host-with-a-long-name.in-a-far.region-of-a-cloud.example.invalid:8081/apis/ccompat/v7"
    shown = run(f"{registry.url},{soon.url},{long}", "-X", trusted, columns=columns).stdout

    assert max(map(len, shown.splitlines())) <= columns
    joined, words = "".join(shown.split()), " ".join(shown.split())
    assert joined.count(long) == 2
    assert cluster in joined
    for text in (
        "FAIL reachable its name is not known",
        "FAIL body something on the way drops it",
        "The body was sent whole: a proxy or gateway on the way drops request bodies.",
        "warn TLS TLSv1.3; the certificate ends in 12 days, on ",
        "ok compatibility BACKWARD",
        "2 of 3 endpoints fail.",
    ):
        assert text in words
    assert "…" not in shown


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_the_marks_are_words_so_that_colour_is_not_needed(registry: SchemaRegistryServer, env: dict[str, str]) -> None:
    registry.fail_always(error(403))
    shown = run(registry.url, "-X", ANYONE, env=env).stdout

    assert "\x1b[3" not in shown
    assert "FAIL  registering    would fail" in re.sub("\x1b\\[[0-9;]*m", "", shown)


def test_all_can_be_shown_where_only_ascii_can_be(registry: SchemaRegistryServer) -> None:
    registry.fail_always(error(500, message="¡ay, ñandú!"))
    shown = subprocess.run(
        [sys.executable, "-m", "kafka_sr_retry.cli", "check", registry.url],
        capture_output=True,
        timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
    )

    assert (shown.returncode, shown.stderr) == (1, b"")
    assert b"FAIL" in shown.stdout


# -- where the report cannot go -----------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "kafka_sr_retry.cli", "check"]
FORMS = pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python tries to write what is still in its buffer once more at its end."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


@FORMS
@pytest.mark.usefixtures("buffering")
def test_a_reader_that_has_left_is_no_failure_of_the_registry(registry: SchemaRegistryServer, form: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        done = subprocess.run([*COMMAND, registry.url, *form], stdout=stdout, stderr=subprocess.PIPE, timeout=60)

    assert (done.returncode, done.stderr) == (141, b"")


@FORMS
@pytest.mark.usefixtures("buffering")
def test_a_reader_of_one_line_gets_the_exit_code(registry: SchemaRegistryServer, form: list[str]) -> None:
    with subprocess.Popen([*COMMAND, registry.url, *form], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""

    assert process.returncode == 3


@FORMS
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full device")
@pytest.mark.usefixtures("buffering")
def test_a_report_that_cannot_be_written_is_told(registry: SchemaRegistryServer, form: list[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([*COMMAND, registry.url, *form], stdout=full, stderr=subprocess.PIPE, timeout=60)

    assert done.returncode == 2
    assert done.stderr == b"kafka-sr-retry check: the report could not be written: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell closes it")
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
@pytest.mark.usefixtures("buffering")
def test_a_standard_output_that_is_closed_is_told_before_anything_is_asked(
    registry: SchemaRegistryServer, closed: str
) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, registry.url, "--write"], stderr=subprocess.PIPE, timeout=60
    )

    assert done.returncode == 2
    told = b"kafka-sr-retry check: the standard output is closed\n"
    assert done.stderr == (b"" if "2>&-" in closed else told)
    assert not registry.requests


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell ignores it")
def test_a_signal_that_it_was_started_to_ignore_ends_nothing(registry: SchemaRegistryServer) -> None:
    held = _Arrived(registry, "/versions", "POST")
    process = subprocess.Popen([*DEAF, *COMMAND, registry.url, "--write"], stdout=subprocess.DEVNULL)
    assert held.came.wait(30)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    held.goes_on.set()

    assert process.wait(30) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full device")
@pytest.mark.usefixtures("buffering")
def test_an_interrupt_that_cannot_be_told_is_removed_all_the_same(registry: SchemaRegistryServer) -> None:
    held = _Arrived(registry, "/versions", "POST")
    with open("/dev/full", "w", encoding="utf-8") as full:
        process = subprocess.Popen([*COMMAND, registry.url, "--write"], stdout=subprocess.DEVNULL, stderr=full)
    assert held.came.wait(30)
    process.send_signal(signal.SIGINT)
    held.goes_on.set()

    assert process.wait(30) == 130
    assert subjects(registry) == []
