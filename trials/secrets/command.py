"""What ``kafka-sr-retry check`` and ``source`` tell, however they are given their configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from kafka_sr_retry.cli.app import app
from kafka_sr_retry.config import PREFIX

from .places import Told, of_error

Given = tuple[list[str], dict[str, str], str | None]
"""Arguments, environment, standard input."""


def _properties(conf: dict[str, Any]) -> str:
    return "".join(f"{name}={_text(value)}\n" for name, value in conf.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _producers(conf: dict[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in conf.items() if name.startswith("sasl.")}
    flat = {PREFIX + name: value for name, value in conf.items() if name not in own}
    return {"bootstrap.servers": "127.0.0.1:1", **flat, **own}


def _environment(conf: dict[str, Any]) -> Given:
    named = {f"SCHEMA_REGISTRY_{name.replace('.', '_').upper()}": _text(value) for name, value in conf.items()}
    return [], named, None


def _assigned(conf: dict[str, Any]) -> Given:
    rest = {name: value for name, value in conf.items() if name != "url"}
    return [str(conf["url"]), *(f"-X{name}={_text(value)}" for name, value in rest.items())], {}, None


GIVEN: dict[str, Callable[[dict[str, Any]], Given]] = {
    "lines": lambda conf: (["--config", "-"], {}, _properties(conf)),
    "a producer's lines": lambda conf: (["--config", "-"], {}, _properties(_producers(conf))),
    "JSON": lambda conf: (["--config", "-"], {}, json.dumps(conf)),
    "a producer's JSON": lambda conf: (["--config", "-"], {}, json.dumps(_producers(conf))),
    "the environment": _environment,
    "the command line": _assigned,
}
"""How a configuration is given."""

LOOKS = ((), ("--json",), ("--write",), ("--write", "--json"))


def check(given: Given, look: tuple[str, ...], environment: dict[str, str]) -> Told:
    """What it tells."""
    arguments, own, stdin = given
    before = {name: None for name in os.environ if name.startswith("SCHEMA_REGISTRY_")}
    env = {"COLUMNS": "80", **before, **environment, **own}
    every = ["check", *look, "-X", "ssl.ca.location=false", "--timeout", "1", *arguments]
    result = CliRunner().invoke(app, every, env=env, input=stdin)
    told = {"check": result.stdout, "check's errors": result.stderr}
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        told |= of_error(result.exception)
    return told


def misuses(secret: str) -> Iterator[tuple[str, list[str], str | None]]:
    """Wrong command lines and files, with a credential in them: name, arguments, standard input."""
    url = "http://127.0.0.1:1"
    yield "an unknown option", ["check", f"--basic.auth.user.info=me:{secret}", url], None
    yield "an option without -X", ["check", f"basic.auth.user.info=me:{secret}", url], None
    yield "-X without =", ["check", "-X", f"me:{secret}", url], None
    yield "-X with a URL", ["check", "-X", f"http://me:{secret}@host?a=b", url], None
    yield "-X with base64", ["check", "-X", f"{secret}==", url], None
    yield "-X in quotes", ["check", "-X", f'"basic.auth.user.info=me:{secret}"', url], None
    yield "-X twice", ["check", "-X", f"-X=basic.auth.user.info=me:{secret}", url], None
    yield "a key twice", ["check", "-X", f"basic.auth.user.info=me:{secret}", "-X", "bearer.auth.token=x", url], None
    yield "an argument of no use", ["check", url, f"me:{secret}"], None
    yield "a host of no use", ["check", f"http://me:{secret}@a b/"], None
    yield "an odd host", ["check", f"http://me:{secret}@a_^b:80/"], None
    yield "two users", ["check", f"http://me:{secret}@127.0.0.1:1", f"http://you:{secret}x@127.0.0.1:1"], None
    files = {
        "a line without =": f"basic.auth.user.info me:{secret}\n",
        "a continued line": f"bearer.auth.token=\\\n  {secret}==\n",
        "a continued line with a colon": f"basic.auth.user.info=\\\n  me:{secret}\n",
        "a PEM in lines": f"ssl.key.pem=-----BEGIN PRIVATE KEY-----\n{secret}==\n-----END PRIVATE KEY-----\n",
        "broken JSON": f'{{"basic.auth.user.info": "me:{secret}", }}',
        "cut JSON": f'{{"basic.auth.user.info": "me:{secret}',
        "JSON in lines": f'"url": "http://me:{secret}@127.0.0.1:1",\n"bearer.auth.token": "{secret}"\n',
        "nested JSON": json.dumps({"schema.registry": {"basic.auth.user.info": f"me:{secret}"}}),
        "YAML": f"url: {url}\nbasic.auth.user.info:\n  - me:{secret}\n",
        "INI": f"[default]\nbasic.auth.user.info = me:{secret}\n",
        "a wrong type": json.dumps({"url": url, "basic.auth.user.info": {"me": secret}}),
        "a wrong header": json.dumps({"url": url, "http.headers": {f"Authorization: {secret}": ""}}),
        "a misspelt key": json.dumps({"url": url, "basic.auth.user.inf": f"me:{secret}"}),
        "NUL": f"basic.auth.user.info=me:{secret}\0\n",
    }
    for name, text in files.items():
        yield f"--config: {name}", ["check", "--config", "-", url], text


def misused(arguments: list[str], stdin: str | None) -> Told:
    """What a wrong command line tells."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"}, input=stdin)
    told = {"check": result.stdout, "check's errors": result.stderr}
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        told |= of_error(result.exception)
    return told


def source(text: str, folder: Path) -> Told:
    """What ``source`` tells of a file that is no schema but a configuration."""
    path = folder / "producer.json"
    path.write_text(text, encoding="utf-8")
    return misused(["source", str(path)], None)
