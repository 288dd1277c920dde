"""``python -m tests.spec.record URL``: asks a real Apicurio Registry, and writes its answers to answers/apicurio.json.

URL is that of its Confluent-compatible API, as ``python -m tests.integration.stack up`` prints it. The registry should
be empty. What each answer means is written by hand, and stays.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import urlsplit

import requests

from . import HOME, ORDER, SUBJECT, written

_FILE = HOME / "answers" / "apicurio.json"
_JSON = "application/vnd.schemaregistry.v1+json"
_HEADERS = ("Content-Type", "Retry-After", "Location", "Allow")

_VERSIONS = f"/subjects/{SUBJECT}/versions"
_OTHER = '{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}'
_LOST = {"schema": ORDER, "references": [{"name": "Item", "subject": "lost", "version": 1}]}


def _body(schema: str, **more: Any) -> str:
    return json.dumps({"schema": schema, **more})


_ASKED: tuple[tuple[str, str, str, str, str | None], ...] = (
    ("", "", "PUT", "/config", json.dumps({"compatibility": "BACKWARD"})),
    ("a new schema", "register", "POST", _VERSIONS, _body(ORDER)),
    ("a known schema", "register", "POST", _VERSIONS, _body(ORDER)),
    ("an empty body", "register", "POST", _VERSIONS, ""),
    ("the body null", "register", "POST", _VERSIONS, "null"),
    ("the body {}", "register", "POST", _VERSIONS, "{}"),
    ("the body {} for an unknown subject", "register", "POST", "/subjects/new-value/versions", "{}"),
    ("half a body", "register", "POST", _VERSIONS, _body(ORDER)[:20]),
    ("an invalid schema", "register", "POST", _VERSIONS, _body('{"type":"nonsense"}')),
    ("an incompatible schema", "register", "POST", _VERSIONS, _body(_OTHER)),
    ("a reference to an unknown subject", "register", "POST", _VERSIONS, json.dumps(_LOST)),
    ("a schema of an unknown type", "register", "POST", _VERSIONS, _body(ORDER, schemaType="XML")),
    ("a look-up of a schema that is there", "look_up", "POST", f"/subjects/{SUBJECT}", _body(ORDER)),
    ("a look-up of a schema that is not there", "look_up", "POST", f"/subjects/{SUBJECT}", _body('"long"')),
    ("a look-up under an unknown subject", "look_up", "POST", "/subjects/lost", _body(ORDER)),
    ("a version", "get_version", "GET", f"{_VERSIONS}/1", None),
    ("an unknown version", "get_version", "GET", f"{_VERSIONS}/77", None),
    ("a version of an unknown subject", "get_version", "GET", "/subjects/lost/versions/1", None),
    ("a schema by its id", "get_schema", "GET", "/schemas/ids/1", None),
    ("an unknown id", "get_schema", "GET", "/schemas/ids/77777", None),
    ("a compatibility check", "compatibility", "POST", f"/compatibility{_VERSIONS}/latest", _body(ORDER)),
    ("a compatibility check that fails", "compatibility", "POST", f"/compatibility{_VERSIONS}/latest", _body(_OTHER)),
    ("associations", "associations", "GET", "/associations/resources/c/orders?resourceType=topic", None),
    ("a wrong path", "register", "POST", "/nowhere", _body(ORDER)),
    ("a method that the path does not take", "register", "PATCH", _VERSIONS, _body(ORDER)),
    ("a URL without the API's path", "register", "POST", "^" + _VERSIONS, _body(ORDER)),
)
"""Name (none for a preparation), question, method, path (with ``^`` from the server's root), body."""


def main(url: str) -> None:
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}"
    version = requests.get(f"{root}/apis/registry/v2/system/info", timeout=30).json()["version"]
    before = json.loads(_FILE.read_text(encoding="utf-8")) if _FILE.exists() else {"cases": []}
    means = {case["name"]: case.get("means", {}) for case in before["cases"]}
    cases = []
    for name, ask, method, path, body in _ASKED:
        target = root + path[1:] if path.startswith("^") else url + path
        answer = requests.request(method, target, data=body, headers={"Content-Type": _JSON}, timeout=30)
        if name:
            told = json.loads(json.dumps(_told(answer)).replace(root, "http://localhost:8080"))
            cases.append({"name": name, "ask": ask, "answer": told, "means": means.get(name, {})})
    content = {
        "about": "Apicurio Registry, by its Confluent-compatible API v7.",
        "source": f"recorded from Apicurio Registry {version} by python -m tests.spec.record",
        "cases": cases,
    }
    _FILE.write_text(written(content) + "\n", encoding="utf-8")


def _told(answer: requests.Response) -> dict[str, Any]:
    told: dict[str, Any] = {"status": answer.status_code}
    headers = {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
    if headers:
        told["headers"] = headers
    try:
        return {**told, "json": answer.json()}
    except ValueError:
        return {**told, "text": answer.text} if answer.text else told


if __name__ == "__main__":
    main(sys.argv[1])
