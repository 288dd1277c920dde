"""Asking the registry behind a proxy."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from ._messages import Answer, RecordedRequest

# They belong to one connection, or are computed anew.
_OWN_TO_A_HOP = {"connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding"}


def forward(upstream: str, request: RecordedRequest) -> Answer:
    """Ask ``upstream`` (a URL whose path, if any, goes before the request's) and return its answer, or a 502.

    What is not own to a connection stays as it is, both ways.
    """
    url = urlsplit(upstream)
    connection = (HTTPSConnection if url.scheme == "https" else HTTPConnection)(url.netloc, timeout=60)
    try:
        connection.putrequest(request.method, url.path.rstrip("/") + request.path, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() not in _OWN_TO_A_HOP:
                connection.putheader(name, value)
        if request.body or request.method in ("POST", "PUT"):
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body or None)
        answer = connection.getresponse()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _OWN_TO_A_HOP]
        return Answer(answer.status, answer.read(), tuple(headers), answer.reason)
    except (OSError, HTTPException) as error:
        return Answer(502, f"{upstream}: {error!r}".encode(), (("Content-Type", "text/plain"),))
    finally:
        connection.close()
