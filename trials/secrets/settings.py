"""Configurations that cannot work, with a credential in them: what is told of them?"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from kafka_sr_retry import AvroSerializer, AvroSerializerBuilder, SchemaRegistryClient, confluent
from kafka_sr_retry.config import PREFIX, ClientSettings, SerializerSettings, keys

from .credentials import KINDS, Way
from .places import ORDER, Told, of_error

WAY = Way("127.0.0.1:1", "http://127.0.0.1:1/token")

SECRET_KEYS = (
    "url",
    "proxy",
    "user.info",
    "token",
    "client.secret",
    "key.password",
    ".pem",
    "headers",
    "config",
    "issuer",
)
"""How those keys end or what is in them that take a credential; what others were given as a text may be told."""

TYPES: dict[str, Callable[[str], Any]] = {
    "a text": str,
    "bytes": lambda secret: secret.encode(),
    "a list": lambda secret: [secret],
    "a list of lists": lambda secret: [[secret]],
    "a tuple": lambda secret: (secret, secret),
    "a set": lambda secret: {secret},
    "a dict": lambda secret: {"secret": secret},
    "a dict of bytes": lambda secret: {"X-Api-Key": secret.encode()},
    "a header in a line": lambda secret: {f"Authorization: Bearer {secret}": ""},
    "a header with a line break": lambda secret: {"X-Api-Key": f"{secret}\n"},
    "a header of each message": lambda secret: {"Host": secret},
    "an object": lambda secret: Shown(secret),
}

URLS = (
    "htp://me:{}@127.0.0.1:8081",
    "http//me:{}@127.0.0.1:8081",
    "http:/me:{}@127.0.0.1:8081",
    "me:{}@127.0.0.1:8081",
    "//me:{}@127.0.0.1:8081",
    "http://me:{}@",
    "http://me:{}@:8081",
    "http://me:{}@127.0.0.1:no",
    "http://me:{}@127.0.0.1:99999",
    "http://me:{}@[::1",
    "http://me:{}/x@127.0.0.1:8081",
    "http://me:{}#x@127.0.0.1:8081",
    "http://me:{}?x@127.0.0.1:8081",
    "http://me:80/{}@127.0.0.1:8081",
    "http://me:a,{}@127.0.0.1:8081",
    "http://127.0.0.1:8081,http://me:{}@127.0.0.1:x",
    "http://127.0.0.1:8081/?key={}",
    "http://127.0.0.1:8081/#{}",
    "mock://me:{}@host",
    "ftp://me:{}@host",
    "http://me:{}@127.0.0.1:8081,http://you:{}x@127.0.0.1:8082",
    "http://me:{}@ho st:8081",
    "http://me:{}@127.0.0.1:8081\n",
)


class Shown:
    """An object that shows itself."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Shown({self.secret!r})"


@dataclass(frozen=True)
class Wrong:
    """A configuration, of the client's keys; ``at`` as in ``MADE``."""

    name: str
    conf: Callable[[str], dict[str, Any]]


def wrongs() -> Iterator[Wrong]:
    """All of them."""
    for key in keys(ClientSettings):
        for name, form in TYPES.items():
            if key == "url" and name in ("a text", "a list", "a tuple"):
                continue  # a URL without credentials, which is told
            if name != "a text" or any(part in key for part in SECRET_KEYS):
                yield Wrong(f"{key}: {name}", lambda s, key=key, form=form: {"url": "http://127.0.0.1:1", key: form(s)})
        if any(part in key for part in SECRET_KEYS):
            for typo, name in (("missing", key[1:]), ("doubled", key + key[-1]), ("in capitals", key.upper())):
                yield Wrong(f"{key}: a letter {typo}", lambda s, name=name: {"url": "http://127.0.0.1:1", name: s})
            yield Wrong(f"{key}: prefixed twice", lambda s, key=key: {"url": "http://127.0.0.1:1", PREFIX + key: s})
    for url in URLS:
        for name, written in (("", str), (", quoted", lambda text: quote(text, safe=""))):
            yield Wrong(f"url: {url}{name}", lambda s, url=url, w=written: {"url": url.replace("{}", w(s))})
            yield Wrong(f"url: [{url}]{name}", lambda s, url=url, w=written: {"url": [url.replace("{}", w(s))]})
            yield Wrong(f"proxy: {url}{name}", lambda s, url=url, w=written: {**_URL, "proxy": url.replace("{}", w(s))})
            yield Wrong(
                f"issuer: {url}{name}",
                lambda s, url=url, w=written: {
                    **_URL,
                    "bearer.auth.credentials.source": "OAUTHBEARER",
                    "bearer.auth.client.id": "me",
                    "bearer.auth.client.secret": s,
                    "bearer.auth.issuer.endpoint.url": url.replace("{}", w(s)),
                },
            )
    for name in ("", "x", "no.such.key", "basic.auth.user.info:", "basic.auth"):
        yield Wrong(f"unknown key {name!r}", lambda s, name=name: {**_URL, name: s})
    for line in ("basic.auth.user.info=me:{}", "basic.auth.user.info: {}", "http://me:{}@host?x", '"token": "{}"'):
        yield Wrong(f"a line as a key: {line}", lambda s, line=line: {**_URL, line.replace("{}", s): ""})
    for one in KINDS:
        for other in KINDS:
            yield Wrong(
                f"{one.name} and {other.name}",
                lambda s, one=one, other=other: {**one.conf(s, WAY), **other.conf(s, WAY)},
            )
        for source in ("USER_INFO", "URL", "SASL_INHERIT", "{}"):
            yield Wrong(
                f"{one.name} as {source}",
                lambda s, one=one, source=source: {
                    **one.conf(s, WAY),
                    "basic.auth.credentials.source": source.replace("{}", s),
                },
            )
        for key in ("max.retries", "request.timeout.ms", "no.such.key", "ssl.key.location", "ssl.ca.location"):
            yield Wrong(f"{one.name} beside {key}", lambda s, one=one, key=key: {**one.conf(s, WAY), key: "/no/such"})
    pem = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"
    for key in ("ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem", "ssl.ca.location", "ssl.key.location"):
        yield Wrong(f"{key}: a broken PEM", lambda s, key=key: {**_URL, key: pem.replace("{}", s)})
    yield Wrong(
        "a broken key beside its certificate",
        lambda s: {
            **_URL,
            "ssl.certificate.pem": pem.replace("{}", s),
            "ssl.key.pem": pem.replace("{}", s),
            "ssl.key.password": s,
        },
    )
    for key in keys(SerializerSettings):
        for name, form in TYPES.items():
            if name != "a text":
                yield Wrong(f"value.{key}: {name}", lambda s, key=key, form=form: {**_URL, f"={key}": form(s)})


_URL = {"url": "http://127.0.0.1:1"}


def _flat(conf: dict[str, Any]) -> dict[str, Any]:
    """As a producer's; ``=`` is before a serializer's key."""
    flat = {}
    for name, value in conf.items():
        own = name.startswith(("sasl.", "="))
        flat[name.removeprefix("=") if own else PREFIX + name] = value
    return {"bootstrap.servers": "127.0.0.1:1", **flat}


def _ours(conf: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in conf.items() if not name.startswith(("sasl.", "="))}


MADE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "client": lambda conf: SchemaRegistryClient(_ours(conf)),
    "from_config": lambda conf: AvroSerializer.from_config(_flat(conf), ORDER),
    "serializer": lambda conf: AvroSerializer(
        _ours(conf), ORDER, None, {name[1:]: value for name, value in conf.items() if name.startswith("=")}
    ),
    "builder": lambda conf: AvroSerializerBuilder(schema=ORDER).build(_flat(conf), False),
    "builder beside a client": lambda conf: AvroSerializerBuilder(
        schema=ORDER, schema_registry_client=SchemaRegistryClient(_URL)
    ).build(_flat(conf), False),
    "builder's own": lambda conf: AvroSerializerBuilder(_ours(conf), schema=ORDER).build(_flat(conf), True),
    "confluent": lambda conf: confluent.SchemaRegistryClient(_ours(conf)),
    "serializer's own": lambda conf: AvroSerializer(_URL, ORDER, None, _ours(conf)),
    "a schema": lambda conf: AvroSerializer(_URL, _ours(conf)),
}
"""By what a configuration is read."""


def made(wrong: Wrong, by: str, secret: str) -> Told:
    """What is told when something is made of a configuration. The frames that hold it are not searched for variables:
    the frame of the caller, who gave it, is one of them."""
    try:
        thing = MADE[by](wrong.conf(secret))
    except Exception as error:  # noqa: BLE001 a TypeError would be a finding of another trial
        told = of_error(error)
        return told | {"traceback": "".join(traceback.format_exception(error))}
    things = thing if isinstance(thing, tuple) else (thing,)
    return {"objects": "\n".join(f"{each!r}" for each in things if not isinstance(each, dict))}
