"""The same schema sent by a loop that makes the mistake: its attempts share one reader of the body."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

from kafka_sr_retry import Schema

from .readings import SCHEMA


@dataclass(frozen=True)
class Answer:
    """What an attempt got, ``waited`` seconds after the one before it."""

    status: int
    text: str
    waited: float


def naive_loop(url: str, subject: str) -> Iterator[Answer]:
    """Register the schema, and again after each 5xx."""
    body = io.BytesIO(json.dumps(Schema(SCHEMA).to_dict()).encode())
    for attempt in range(10):
        wait = 0.1 * attempt
        time.sleep(wait)
        connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
        # the first attempt reads the body to its end; the next ones send what is left of it: nothing
        headers = {
            "Content-Type": "application/vnd.schemaregistry.v1+json",
            "Content-Length": str(len(body.getbuffer()) - body.tell()),
        }
        connection.request("POST", f"/subjects/{subject}/versions", body, headers)
        response = connection.getresponse()
        answer = Answer(response.status, _words(response.status, response.read()), wait)
        connection.close()
        yield answer
        if answer.status < 500:
            return


def _words(status: int, content: bytes) -> str:
    try:
        error = json.loads(content)
        code = f"{status}" if error["error_code"] == status else f"{status}/{error['error_code']}"
        return f"{code} {error['message']}"
    except (ValueError, KeyError):
        return f"{status} {content[:100].decode(errors='replace')}"
