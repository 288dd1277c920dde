"""What cannot work is said when the client or serializer is made, before any network."""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import confluent_kafka.schema_registry as confluent
import pytest

from kafka_sr_retry import (
    AvroSerializer,
    AvroSerializerBuilder,
    ConfigurationError,
    RegisteredSchema,
    Schema,
    SchemaReference,
    SchemaRegistryClient,
)
from kafka_sr_retry.config import PREFIX, ClientSettings, SerializerSettings, keys, parse, split
from kafka_sr_retry.testing import SchemaRegistryServer

URL = {"url": "http://localhost:8081"}
SECRET = "hunter2"
LONG = '{"type":"long"}'


def refused(conf: Mapping[str, Any], settings: type = ClientSettings) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        parse(settings, conf)
    return caught.value


def client(**conf: Any) -> ClientSettings:
    return parse(ClientSettings, URL | conf)


def credentials_of(conf: Mapping[str, Any]) -> tuple[str, str] | None:
    return parse(ClientSettings, conf).basic_credentials


# -- the declaration ---------------------------------------------------------------------------


def test_the_defaults_are_the_documented_ones() -> None:
    shown = {name: key.default for name, key in (keys(ClientSettings) | keys(SerializerSettings)).items()}
    documented = {
        "url.randomize": "false",
        "max.retries": "-",
        "retries.wait.ms": "100",
        "retries.max.wait.ms": "20000",
        "connect.timeout.ms": "2000",
        "request.timeout.ms": "14000",
        "total.timeout.ms": "30000",
        "max.in.flight": "64",
        "cache.capacity": "100000",
        "cache.path": "-",
        "cache.mode": "fallback",
        "cache.id.ttl.sec": "86400",
        "auto.register.schemas": "true",
        "normalize.schemas": "false",
        "validate.strict": "false",
        "validate.strict.allow.default": "false",
    }
    assert {name: shown[name] for name in documented} == documented


def test_every_key_is_declared_with_what_it_takes_and_means() -> None:
    for key in (keys(ClientSettings) | keys(SerializerSettings)).values():
        assert key.name
        assert key.takes
        assert key.default
        assert key.meaning.endswith("."), key.name


def test_times_are_seconds_in_the_settings() -> None:
    settings = client(
        **{"retries.wait.ms": 5, "retries.max.wait.ms": 6, "connect.timeout.ms": 7, "total.timeout.ms": 8.5}
    )
    assert (settings.retries_wait, settings.retries_max_wait) == (0.005, 0.006)
    assert (settings.connect_timeout, settings.total_timeout) == (0.007, 0.0085)


def test_confluents_timeout_is_the_request_timeout_in_seconds() -> None:
    assert client(timeout=3).request_timeout == 3
    assert client(**{"request.timeout.ms": 4000}).request_timeout == 4


@pytest.mark.parametrize("settings", [ClientSettings, SerializerSettings])
def test_an_empty_text_stands_for_the_default(settings: type) -> None:
    given = URL if settings is ClientSettings else {}
    for key in keys(settings).keys() - {"url", "proxy"}:
        assert parse(settings, {**given, key: ""}) == parse(settings, given)


def test_an_empty_proxy_is_none_and_an_empty_url_is_refused() -> None:
    assert parse(ClientSettings, URL | {"proxy": ""}).proxy == ""
    assert refused({"url": ""}).key == "url"


def test_none_stands_for_the_default() -> None:
    assert client(**{"max.retries": None, "total.timeout.ms": None}) == client()


# -- values and types --------------------------------------------------------------------------

_TIMES = ["retries.wait.ms", "retries.max.wait.ms", "connect.timeout.ms", "request.timeout.ms", "total.timeout.ms"]
_WRONG_TIMES = [0, -1, "100", True, float("nan"), float("inf"), [1]]

WRONG = [
    *((key, value) for key in _TIMES for value in _WRONG_TIMES),
    *(("max.retries", value) for value in (-1, "20", 2.5, True)),
    *(("max.in.flight", value) for value in (0, "64", 1.5)),
    *(("cache.capacity", value) for value in (0, -1, "100")),
    *(("timeout", value) for value in (0, -1, "10", False)),
    *(("url.randomize", value) for value in ("true", 1)),
    *(("http.headers", value) for value in ("X: y", {"X": 1}, {"X": "a\r\nb"}, {"X\n": "a"}, [("X", "y")])),
    *(("http.auth", value) for value in ("user:password", ("user", "password"))),
    *(("event_cb", value) for value in ("print", 1)),
    *(("basic.auth.credentials.source", value) for value in ("FILE", "user_info", 1)),
    *(("basic.auth.user.info", value) for value in ("nocolon", 1, ("user", "password"))),
    *(("ssl.ca.location", value) for value in ("no/such/file", 1, b"")),
    ("ssl.certificate.location", "no/such/file"),
    ("ssl.key.location", "no/such/file"),
    *(("ssl.key.pem", value) for value in ("client.key", 1, b"\xff")),
    *(("cache.path", value) for value in (1, b"ids", ".", "a\0b")),
    *(("cache.mode", value) for value in ("last", True)),
    *(("cache.id.ttl.sec", value) for value in (0, "1", True)),
    ("proxy", 1),
    ("context", 1),
    *(("url", value) for value in (5, {}, ["http://a", 5], b"http://a")),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_value_is_refused_under_its_key(key: str, value: Any) -> None:
    error = refused(URL | {key: value})
    assert error.key == key
    assert key in str(error)


SERIALIZER_BOOLEANS = [
    "auto.register.schemas",
    "normalize.schemas",
    "validate.strict",
    "validate.strict.allow.default",
]


@pytest.mark.parametrize("key", SERIALIZER_BOOLEANS)
@pytest.mark.parametrize("value", ["false", 0, 1, []])
def test_a_switch_takes_only_true_and_false(key: str, value: Any) -> None:
    assert refused({key: value}, SerializerSettings).key == key


@pytest.mark.parametrize("key", ["subject.name.strategy", "schema.id.serializer"])
def test_a_strategy_must_be_callable(key: str) -> None:
    assert refused({key: "topic_subject_name_strategy"}, SerializerSettings).key == key


def test_a_strategy_type_must_be_a_known_one() -> None:
    error = refused({"subject.name.strategy.type": "TOPICS"}, SerializerSettings)
    assert error.key == "subject.name.strategy.type"
    assert "TOPIC_RECORD" in str(error)


@pytest.mark.parametrize(
    "good",
    [
        {"max.retries": 0},
        {"max.retries": 20},
        {"url.randomize": True},
        {"http.headers": {"X-Tenant": "a"}},
        {"event_cb": print},
        {"proxy": "http://proxy:3128"},
        {"max.in.flight": 1},
        {"cache.capacity": 1},
        {"cache.path": "ids"},
        {"cache.path": Path("ids"), "cache.mode": "first"},
        {"cache.id.ttl.sec": 1},
        {"ssl.ca.location": False},
    ],
)
def test_a_good_value_is_taken(good: dict[str, Any]) -> None:
    client(**good)


def test_a_context_is_taken_with_and_without_its_colons() -> None:
    assert {client(context=name).context for name in ("lab", ".lab", ":.lab:")} == {":.lab:"}


def test_a_path_object_names_a_file(tmp_path: Path) -> None:
    certificate = tmp_path / "client.pem"
    certificate.touch()
    assert client(**{"ssl.certificate.location": certificate}).certificate == str(certificate)


# -- unknown keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("max.retrys", "max.retries"),
        ("retry.wait.ms", "retries.wait.ms"),
        ("total.timeout", "total.timeout.ms"),
        ("urls", "url"),
        ("http.header", "http.headers"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(typed: str, meant: str) -> None:
    error = refused(URL | {typed: 1})
    assert error.key == typed
    assert f"did you mean {meant}?" in str(error)


def test_a_key_like_no_other_lists_the_known_ones() -> None:
    assert "total.timeout.ms" in str(refused(URL | {"zzz": 1}))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (f"basic.auth.user.info=me:{SECRET}", "basic.auth.user.info...: did you mean basic.auth.user.info?"),
        (f"http://me:{SECRET}@host?x", "unknown configuration key ...: "),
        (f"{SECRET}==", "unknown configuration key ...: "),
    ],
)
def test_a_line_that_stands_where_a_key_should_is_not_told(typed: str, told: str) -> None:
    error = refused(URL | {typed: ""})
    assert told in str(error)
    assert SECRET not in f"{error!r} {error.key}"


def test_a_line_that_stands_where_a_strategys_key_should_is_not_told() -> None:
    conf = {"subject.name.strategy.type": "ASSOCIATED"}
    typed = refused(conf | {"subject.name.strategy.conf": {"subject.name.strategy.clusterid": "a"}}, SerializerSettings)
    assert "holds the unknown key subject.name.strategy.clusterid; known: " in str(typed)
    line = refused(conf | {"subject.name.strategy.conf": {f"Authorization: {SECRET}": "a"}}, SerializerSettings)
    assert "holds the unknown key ...; known: " in str(line)
    assert SECRET not in f"{line!r}"


def test_a_line_that_stands_where_a_producers_key_should_is_not_told() -> None:
    conf = {"schema.registry.url": URL["url"], "schema.registri.basic.auth.user.info=me:pw": ""}
    with pytest.raises(ConfigurationError) as caught:
        AvroSerializer.from_config(conf, '{"type":"long"}')
    assert "unknown configuration key ...: did you mean schema.registry.basic.auth.user.info?" in str(caught.value)
    assert "me:pw" not in f"{caught.value!r} {caught.value.key}"


def test_a_header_in_one_line_is_not_told() -> None:
    error = refused(URL | {"http.headers": {"X-Team": "a", f"Authorization: Bearer {SECRET}": ""}})
    assert "'Authorization' with more behind it" in str(error)
    assert SECRET not in f"{error!r}"


def test_an_unknown_serializer_key_names_the_nearest_known_one() -> None:
    error = refused({"auto.register.schema": False}, SerializerSettings)
    assert "did you mean auto.register.schemas?" in str(error)


def test_in_a_producer_dict_the_message_names_the_key_as_it_was_written() -> None:
    with pytest.raises(ConfigurationError) as caught:
        AvroSerializer.from_config(
            {"schema.registry.url": URL["url"], "schema.registry.max.retrys": 1}, '{"type":"long"}'
        )
    assert caught.value.key == "schema.registry.max.retrys"
    assert "did you mean schema.registry.max.retries?" in str(caught.value)


def test_in_a_producer_dict_a_wrong_value_names_the_key_as_it_was_written() -> None:
    conf = {"schema.registry.url": URL["url"], "schema.registry.max.retries": "many"}
    with pytest.raises(ConfigurationError, match=r"^schema\.registry\.max\.retries"):
        AvroSerializerBuilder(schema='{"type":"long"}').build(conf, False)


def test_a_serializer_key_after_the_clients_prefix_is_explained() -> None:
    conf = {"schema.registry.url": URL["url"], "schema.registry.auto.register.schemas": False}
    with pytest.raises(ConfigurationError, match=r"a serializer's key is written without schema\.registry\."):
        AvroSerializer.from_config(conf, LONG)


def test_a_prefix_where_none_belongs_is_explained() -> None:
    error = refused({"schema.registry.url": URL["url"]})
    assert error.key == "schema.registry.url"
    assert "without schema.registry." in str(error)


@pytest.mark.parametrize(
    "key", ["validation.rules.execution", "validation.rules.fail.fast", "validation.rules.executor"]
)
def test_a_key_of_confluents_that_is_not_supported_says_what_to_use(key: str) -> None:
    error = refused({key: "x"}, SerializerSettings)
    assert error.key == key
    assert "kafka_sr_retry.confluent.SchemaRegistryClient" in str(error)


# -- urls --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        "http://a:8081,http://b:8081",
        " http://a:8081 , http://b:8081/ ",
        "http://a:8081,,http://b:8081,",
        ["http://a:8081", "http://b:8081"],
        ("http://a:8081/", "http://b:8081/"),
        "http://a:8081,http://b:8081,http://a:8081",
    ],
)
def test_urls_come_as_a_list_or_with_commas(given: Any) -> None:
    assert client(url=given).urls.urls == ("http://a:8081", "http://b:8081")


def test_a_path_is_kept() -> None:
    assert client(url="https://gateway/apis/ccompat/v7/").urls.urls == ("https://gateway/apis/ccompat/v7",)


@pytest.mark.parametrize("given", ["", " , ", []])
def test_no_url_is_refused(given: Any) -> None:
    error = refused({"url": given})
    assert error.key == "url"
    assert "http://localhost:8081" in str(error)


def test_a_url_is_required() -> None:
    assert refused({}).key == "url"


@pytest.mark.parametrize(
    "url", ["localhost:8081", "sr-1", "//sr-1:8081", "ftp://sr-1", "http://", "http:sr-1:8081", "http://:8081"]
)
def test_a_url_without_scheme_or_host_is_refused(url: str) -> None:
    error = refused({"url": url})
    assert error.key == "url"
    assert "http://" in str(error)


@pytest.mark.parametrize("url", ["http://a:port", "http://a:99999", "http://a:0", "http://[::1", "http://a/?x=1"])
def test_a_url_that_cannot_be_asked_is_refused(url: str) -> None:
    assert refused({"url": url}).key == "url"


def test_one_bad_url_in_a_list_is_refused() -> None:
    assert refused({"url": "http://a:8081,b:8081"}).key == "url"


def test_mock_urls_are_told_of_the_embedded_registry() -> None:
    assert "kafka_sr_retry.testing" in str(refused({"url": f"mock://user:{SECRET}@x"}))


# -- credentials -------------------------------------------------------------------------------


def test_credentials_in_a_url_are_taken_out_and_decoded() -> None:
    settings = client(url="http://user%40corp:p%3Ass@a:8081/path")
    assert settings.urls.urls == ("http://a:8081/path",)
    assert settings.basic_credentials == ("user@corp", "p:ss")


def test_one_url_may_carry_the_credentials_for_all() -> None:
    settings = client(url="http://user:password@a:1,http://b:2,http://user:password@c:3")
    assert settings.urls.urls == ("http://a:1", "http://b:2", "http://c:3")
    assert settings.basic_credentials == ("user", "password")


def test_urls_with_differing_credentials_are_refused() -> None:
    error = refused({"url": f"http://user:{SECRET}@a,http://user:other{SECRET}@b"})
    assert error.key == "url"
    assert SECRET not in str(error)


def test_a_password_may_hold_colons() -> None:
    assert credentials_of(URL | {"basic.auth.user.info": "user:a:b:"}) == ("user", "a:b:")


@pytest.mark.parametrize(
    "conf",
    [
        {"url": f"user:{SECRET}@host:8081"},
        {"url": f"http//user:{SECRET}@host:8081"},
        {"url": f"http:user:{SECRET}@host:8081"},
        {"url": f"//user:{SECRET}@host:8081"},
        {"url": f"ftp://user:{SECRET}@host:8081"},
        {"url": f"mock://user:{SECRET}@host"},
        {"url": f"http://user:{SECRET}@host:port"},
        {"url": f"http://user:{SECRET}/x@host:8081"},
        {"url": f"http://user:{SECRET}#x@host:8081"},
        {"url": f"http://user:{SECRET}?x@host:8081"},
        {"url": f"http://user:{SECRET}@host:8081?x=1"},
        {"url": f"http://host:8081?token={SECRET}"},
        {"url": [f"http://user:{SECRET}@host:8081", 5]},
        {"url": f"http://user:{SECRET}@host", "basic.auth.user.info": f"user:{SECRET}"},
        URL | {"basic.auth.user.info": SECRET},
        URL | {"basic.auth.credentials.source": SECRET},
        URL | {"proxy": [f"http://user:{SECRET}@proxy"]},
        URL | {"http.headers": {"Authorization": SECRET, "X": 1}},
        URL | {"http.headers": f"Authorization: {SECRET}"},
        URL | {"http.auth": ("user", SECRET)},
        URL | {"ssl.key.password": SECRET},
        URL | {"ssl.key.location": f"-----BEGIN PRIVATE KEY-----{SECRET}"},
        {"urls": f"http://user:{SECRET}@host"},
        URL | {"event_cb": [print, SECRET]},
    ],
)
def test_no_error_shows_a_credential(conf: dict[str, Any]) -> None:
    error = refused(conf)
    shown = f"{error} {error!r} {error.args} {error.key}"
    assert SECRET not in shown
    assert error.__context__ is None or error.__suppress_context__ or SECRET not in repr(error.__context__)


@pytest.mark.parametrize(
    "conf",
    [
        {"url": f"http://user:{SECRET}@host:8081"},
        URL | {"basic.auth.user.info": f"user:{SECRET}"},
        URL | {"http.headers": {"Authorization": f"Bearer {SECRET}"}},
        URL | {"proxy": f"http://user:{SECRET}@proxy:3128"},
    ],
)
def test_the_settings_show_no_credential(conf: dict[str, Any]) -> None:
    settings = parse(ClientSettings, conf)
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_a_client_and_a_serializer_show_no_credential() -> None:
    with AvroSerializer({"url": f"http://user:{SECRET}@host:8081"}, '{"type":"long"}') as serializer:
        assert SECRET not in repr(serializer)
    with SchemaRegistryClient({"url": f"http://user:{SECRET}@host:8081"}) as registry:
        assert SECRET not in repr(registry)


# -- contradictions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conf", "key"),
    [
        ({"url": "http://u:p@a", "basic.auth.user.info": "v:q"}, "basic.auth.user.info"),
        (URL | {"basic.auth.credentials.source": "USER_INFO"}, "basic.auth.user.info"),
        (URL | {"basic.auth.credentials.source": "SASL_INHERIT"}, "basic.auth.credentials.source"),
        (URL | {"basic.auth.credentials.source": "URL", "basic.auth.user.info": "v:q"}, "basic.auth"),
        (URL | {"http.auth": print, "basic.auth.user.info": "v:q"}, "http.auth"),
        ({"url": "http://u:p@a", "http.auth": print}, "http.auth"),
        (URL | {"ssl.key.location": __file__}, "ssl.key.location"),
        (URL | {"ssl.key.password": "x"}, "ssl.key.password"),
        (URL | {"cache.mode": "first"}, "cache.mode"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(conf: dict[str, Any], key: str) -> None:
    error = refused(conf)
    assert key in str(error)
    assert error.key is not None
    assert error.key.startswith(key)


# -- a producer's flat dict --------------------------------------------------------------------

FLAT = {
    "bootstrap.servers": "localhost:9092",
    "key.serializer": len,
    "sasl.username": "user",
    "sasl.password": SECRET,
    "compression.type": "zstd",
    "schema.registry.url": "http://localhost:8081",
    "schema.registry.max.retries": 3,
    "auto.register.schemas": False,
    "key.auto.register.schemas": True,
    "value.normalize.schemas": True,
    "subject.name.strategy.type": "TOPIC",
    "value.subject.name.strategy.type": "RECORD",
}


@pytest.mark.parametrize("is_key", [True, False])
def test_the_rest_has_none_of_our_keys_whatever_the_field(is_key: bool) -> None:
    given = dict(FLAT)
    assert split(given, is_key=is_key).kafka == {
        "bootstrap.servers": "localhost:9092",
        "key.serializer": len,
        "sasl.username": "user",
        "sasl.password": SECRET,
        "compression.type": "zstd",
    }
    assert given == FLAT


@pytest.mark.parametrize("field", ["key.", "value."])
@pytest.mark.parametrize("name", sorted(keys(SerializerSettings)))
@pytest.mark.parametrize("is_key", [True, False])
def test_every_serializer_key_is_taken_from_the_dict(field: str, name: str, is_key: bool) -> None:
    parts = split({name: 1, field + name: 2}, is_key=is_key)
    assert parts.kafka == {}
    assert parts.serializer == {name: 2 if (field == "key.") is is_key else 1}


@pytest.mark.parametrize("turn", [dict, lambda conf: dict(reversed(conf.items()))])
def test_a_fields_own_key_goes_before_the_bare_one_in_any_order(turn: Callable[[Any], dict[str, Any]]) -> None:
    flat = turn(FLAT)
    assert split(flat, is_key=True).serializer == {
        "auto.register.schemas": True,
        "subject.name.strategy.type": "TOPIC",
    }
    assert split(flat, is_key=False).serializer == {
        "auto.register.schemas": False,
        "normalize.schemas": True,
        "subject.name.strategy.type": "RECORD",
    }


def test_the_clients_keys_lose_their_prefix() -> None:
    assert split(FLAT, is_key=False).client == {"url": "http://localhost:8081", "max.retries": 3}


def test_sasl_inherit_takes_the_producers_credentials_and_leaves_them_there() -> None:
    parts = split(FLAT | {"schema.registry.basic.auth.credentials.source": "SASL_INHERIT"}, is_key=False)
    assert credentials_of(parts.client) == ("user", SECRET)
    assert (parts.kafka["sasl.username"], parts.kafka["sasl.password"]) == ("user", SECRET)


def test_sasl_inherit_without_a_sasl_user_is_refused() -> None:
    conf = {"schema.registry.url": URL["url"], "schema.registry.basic.auth.credentials.source": "SASL_INHERIT"}
    error = refused(split(conf, is_key=False).client)
    assert "sasl.username" in str(error)


def test_an_unsupported_key_with_a_fields_prefix_is_refused_too() -> None:
    parts = split({"value.validation.rules.execution": "x"}, is_key=False)
    assert "kafka_sr_retry.confluent" in str(refused(parts.serializer, SerializerSettings))


# -- a key that is nearly one of ours ----------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("auto.register.schema", "auto.register.schemas"),
        ("key.auto.register.schema", "key.auto.register.schemas"),
        ("value.normalise.schemas", "value.normalize.schemas"),
        ("auto_register_schemas", "auto.register.schemas"),
        ("Use.Latest.Version", "use.latest.version"),
        ("schema.registery.url", "schema.registry.url"),
        ("value.schema.registry.url", "schema.registry.url"),
        ("schema_registry.basic.auth.user.info", "schema.registry.basic.auth.user.info"),
        ("total.timeout.ms", "schema.registry.total.timeout.ms"),
        ("url", "schema.registry.url"),
        ("basic.auth.user.inf", "schema.registry.basic.auth.user.info"),
    ],
)
@pytest.mark.parametrize("is_key", [True, False])
def test_a_misspelt_key_in_a_producer_dict_names_the_nearest_of_ours(typed: str, meant: str, is_key: bool) -> None:
    with pytest.raises(ConfigurationError, match=f"did you mean {re.escape(meant)}") as caught:
        split({"bootstrap.servers": "localhost:9092", typed: SECRET}, is_key=is_key)
    assert caught.value.key == typed
    assert SECRET not in str(caught.value)


LIBRDKAFKAS = (
    *("client.id", "linger.ms", "ssl.ca.location", "acks", "log_level", "partitioner", "request.timeout.ms"),
    *("message.timeout.ms", "max.in.flight", "error_cb", "on_delivery", "logger", "default.topic.config"),
)
SERIALIZING_PRODUCERS = ("key.serializer", "value.serializer", "key.serializer.builder", "value.serializer.builder")


def test_every_other_key_is_left_to_the_producer() -> None:
    conf: dict[Any, Any] = dict.fromkeys([*LIBRDKAFKAS, *SERIALIZING_PRODUCERS, "like.no.key.at.all", 5], len)
    assert split(conf, is_key=False).kafka == conf


@pytest.mark.parametrize("name", LIBRDKAFKAS)
def test_a_key_of_librdkafkas_is_never_refused_however_near_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difflib, "get_close_matches", lambda *args, **options: ["auto.register.schemas"])
    threads = {*threading.enumerate()}
    assert split({name: 1}, is_key=False).kafka == {name: 1}
    with pytest.raises(ConfigurationError):
        split({"no.such": 1}, is_key=False)
    assert {*threading.enumerate()} <= threads


def test_beside_a_plugin_that_may_have_keys_of_its_own_nothing_is_refused() -> None:
    conf = {"plugin.library.paths": "monitoring-interceptor", "auto.register.schema": 1}
    assert split(conf, is_key=False).kafka == conf


# -- a client beside a dict that describes one -------------------------------------------------

DESCRIBED: dict[str, Any] = {
    "url": "http://user:hunter2@a:8081,http://b:8081/",
    "timeout": 5,
    "request.timeout.ms": 7000,
    "http.headers": {"X-Tenant": "a"},
    "event_cb": print,
    "max.retries": None,
}

SAME: list[dict[str, Any]] = [
    {},
    DESCRIBED,
    {"url": ["http://a:8081", "http://b:8081"]},
    {"url": DESCRIBED["url"], "basic.auth.credentials.source": "URL"},
    {"basic.auth.user.info": "user:hunter2", "basic.auth.credentials.source": "USER_INFO"},
    {"request.timeout.ms": 5000.0, "event_cb": [print], "total.timeout.ms": 30000},
]

OTHER: list[tuple[str, Any]] = [
    ("url", "http://a:8081"),
    ("url", "http://user:hunter3@a:8081,http://b:8081"),
    ("basic.auth.user.info", "user:hunter3"),
    ("bearer.auth.token", "hunter3"),
    ("request.timeout.ms", 7000),
    ("timeout", 7),
    ("max.retries", 3),
    ("http.headers", {"X-Tenant": "hunter3"}),
    ("event_cb", [print, print]),
]


def beside(client: SchemaRegistryClient, conf: dict[str, Any], how: str) -> Any:
    flat = {f"{PREFIX}{name}": value for name, value in conf.items()} | {"linger.ms": 1}
    if how == "from_config":
        return AvroSerializer.from_config(flat, LONG, schema_registry_client=client)
    return AvroSerializerBuilder(schema_registry_client=client, schema=LONG).build(flat, False)


@pytest.fixture
def described() -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient(DESCRIBED) as made:
        yield made


HOW = pytest.mark.parametrize("how", ["from_config", "builder"])


@HOW
@pytest.mark.parametrize("conf", SAME)
def test_a_dict_may_describe_the_client_that_is_given(
    conf: dict[str, Any], how: str, described: SchemaRegistryClient
) -> None:
    serializer, rest = beside(described, conf, how)
    assert rest == {"linger.ms": 1}
    serializer.close()
    assert not described._asking._closed


@HOW
@pytest.mark.parametrize(("name", "given"), OTHER)
def test_a_dict_that_describes_another_client_names_the_key(
    name: str, given: Any, how: str, described: SchemaRegistryClient
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(PREFIX + name)) as caught:
        beside(described, {name: given}, how)
    assert caught.value.key == PREFIX + name
    assert "hunter" not in str(caught.value)


@HOW
@pytest.mark.parametrize(("name", "given"), [("max.retrys", 3), ("max.retries", "3"), ("url", "a:8081")])
def test_a_dict_beside_a_client_is_checked_like_any(
    name: str, given: Any, how: str, described: SchemaRegistryClient
) -> None:
    with pytest.raises(ConfigurationError, match=r"schema\.registry\.max\.retries|http://"):
        beside(described, {name: given}, how)


def test_inherited_credentials_may_describe_the_client_too(described: SchemaRegistryClient) -> None:
    conf = {"schema.registry.basic.auth.credentials.source": "SASL_INHERIT", "sasl.username": "user"}
    for password, fits in (("hunter2", True), ("hunter3", False)):
        flat = conf | {"sasl.password": password}
        if fits:
            AvroSerializer.from_config(flat, LONG, schema_registry_client=described)
        else:
            with pytest.raises(ConfigurationError, match=r"basic\.auth\.user\.info"):
                AvroSerializer.from_config(flat, LONG, schema_registry_client=described)


# -- at construction, before any network -------------------------------------------------------

Make = Callable[[str], object]


def record(kind: str, default: object) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": "a", "type": kind, "default": default}]}


ENDLESS = record("long", 0)
ENDLESS["fields"].append({"name": "b", "type": ENDLESS})

AT_CONSTRUCTION: dict[str, Make] = {
    "unknown client key": lambda url: SchemaRegistryClient({"url": url, "max.retrys": 1}),
    "unknown serializer key": lambda url: AvroSerializer({"url": url}, LONG, None, {"normalize": True}),
    "unknown key of a serializer's own client": lambda url: AvroSerializer({"url": url, "max.retrys": 1}, LONG),
    "unknown key in a producer dict": lambda url: AvroSerializer.from_config(
        {"schema.registry.url": url, "schema.registry.x": 1}, LONG
    ),
    "unknown key for the builder": lambda url: AvroSerializerBuilder({"url": url, "x": 1}, schema=LONG).build(
        {}, False
    ),
    "no scheme": lambda url: SchemaRegistryClient({"url": f"{url},localhost:8081"}),
    "no url": lambda url: AvroSerializer.from_config({"bootstrap.servers": url}, LONG),
    "not Avro": lambda url: AvroSerializer({"url": url}, "syntax = 'proto3';"),
    "no schema": lambda url: AvroSerializer({"url": url}),
    "a schema of no known shape": lambda url: AvroSerializer({"url": url}, 5),  # type: ignore[arg-type]
    "an .avsc that is not there": lambda url: AvroSerializer({"url": url}, Path("no/such.avsc")),
    "a schema of bytes": lambda url: AvroSerializer({"url": url}, record("bytes", b"x")),
    "a schema of a set": lambda url: AvroSerializer({"url": url}, {"type": "enum", "name": "E", "symbols": {"A"}}),
    "a schema with a number that JSON has not": lambda url: AvroSerializer(
        {"url": url}, record("double", float("nan"))
    ),
    "a schema that holds itself": lambda url: AvroSerializer({"url": url}, ENDLESS),
    "a schema nested too deep": lambda url: AvroSerializer({"url": url}, "[" * 100_000),
    "a Schema of a dict": lambda url: AvroSerializer({"url": url}, Schema({})),  # type: ignore[arg-type]
    "a Schema of no text": lambda url: AvroSerializer({"url": url}, confluent.Schema(None, "AVRO")),
    "a Schema whose references are none": lambda url: AvroSerializer({"url": url}, Schema(LONG, "AVRO", ({},))),  # type: ignore[arg-type]
    "a reference to no subject": lambda url: AvroSerializer(
        {"url": url}, Schema(LONG, "AVRO", (SchemaReference("A", "", 1),))
    ),
    "text that is no JSON beside references": lambda url: AvroSerializer(
        {"url": url}, Schema("{", "AVRO", (SchemaReference("A", "a", 1),))
    ),
    "rules of no shape": lambda url: AvroSerializer({"url": url}, Schema(LONG, rule_set={"domainRules": [5]})),
    "metadata that JSON cannot hold": lambda url: AvroSerializer({"url": url}, Schema(LONG, metadata={"a": {1}})),
    "a guid that is none": lambda url: AvroSerializer({"url": url}, RegisteredSchema(1, "x", None, None, Schema(LONG))),
    "an id without a schema": lambda url: AvroSerializer(
        {"url": url},
        RegisteredSchema(1, None, None, None, None),  # type: ignore[arg-type]
    ),
    "serializer keys that are no dict": lambda url: AvroSerializer({"url": url}, LONG, None, 5),  # type: ignore[arg-type]
    "a producer's keys that are no dict": lambda url: AvroSerializer.from_config([url], LONG),  # type: ignore[arg-type]
    "a builder's keys that are no dict": lambda url: AvroSerializerBuilder(
        {"url": url},
        schema=LONG,
        serializer_config="normalize.schemas",  # type: ignore[arg-type]
    ).build({}, False),
    "a dict in place of a shared client": lambda url: AvroSerializer.from_config(
        {"linger.ms": 1},
        LONG,
        schema_registry_client={"url": url},  # type: ignore[arg-type]
    ),
    "to_dict that cannot be called": lambda url: AvroSerializer({"url": url}, LONG, {}),  # type: ignore[arg-type]
    "record names for a schema without one": lambda url: AvroSerializer(
        {"url": url}, '["null","long"]', None, {"subject.name.strategy.type": "RECORD"}
    ),
    "builder with a client and its configuration": lambda url: AvroSerializerBuilder(
        {"url": url}, SchemaRegistryClient({"url": url}), LONG
    ).build({}, False),
    "a URL instead of a dict": lambda url: SchemaRegistryClient(url),  # type: ignore[arg-type]
    "a URL instead of a client": lambda url: AvroSerializer(url, LONG),  # type: ignore[arg-type]
    "no client": lambda url: AvroSerializer(None, LONG),  # type: ignore[arg-type]
    "Confluent's client": lambda url: AvroSerializer(
        confluent.SchemaRegistryClient({"url": url}),  # type: ignore[arg-type]
        LONG,
    ),
    "a ca that is no certificate": lambda url: SchemaRegistryClient({"url": url, "ssl.ca.location": __file__}),
    "a certificate that is none": lambda url: SchemaRegistryClient({"url": url, "ssl.certificate.location": __file__}),
}


@pytest.mark.parametrize("make", AT_CONSTRUCTION.values(), ids=AT_CONSTRUCTION.keys())
def test_what_cannot_work_is_refused_before_any_request(make: Make, schema_registry: SchemaRegistryServer) -> None:
    with pytest.raises(ConfigurationError):
        make(schema_registry.url)
    assert schema_registry.requests == []


def test_construction_needs_no_registry() -> None:
    with AvroSerializer({"url": "http://127.0.0.1:1"}, LONG) as serializer:
        assert serializer(None) is None


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@\u2100.com", "http://user:hunter2@[::1", "http://user:hunter/2@a"]
)
def test_a_url_that_cannot_be_read_shows_no_credentials_in_the_errors_context_either(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(ClientSettings, {"url": url})
    assert "hunter" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("make", "told", "key"),
    [
        (lambda: AvroSerializer.from_config({"linger.ms": 5}, LONG), "url is required", "schema.registry.url"),
        (
            lambda: AvroSerializer.from_config(
                {"schema.registry.url": "http://a", "schema.registry.cache.mode": "first"}, LONG
            ),
            "cache.mode needs cache.path",
            "schema.registry.cache.mode",
        ),
    ],
)
def test_what_a_producers_dict_lacks_is_named_as_it_is_written_there(make: Any, told: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"in this dict such keys begin with schema\.registry\.$") as caught:
        make()
    assert told in str(caught.value)
    assert caught.value.key == key
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["auto.register.schemas", "use.latest.version", "normalize.schemas"])
def test_a_serializers_key_in_the_clients_dict_is_told_from_a_misspelt_one(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"unknown configuration key {name}: it is a serializer's"):
        SchemaRegistryClient({"url": "http://a", name: True})


def test_a_files_name_is_no_schema() -> None:
    with pytest.raises(ConfigurationError, match=r"schema_str .*'user.avsc'.*: for a file give its pathlib.Path$"):
        AvroSerializer({"url": "http://a"}, "user.avsc")


def test_a_method_that_only_confluents_client_has_is_pointed_to() -> None:
    client = SchemaRegistryClient({"url": "http://a"})
    with pytest.raises(AttributeError, match=r"no attribute 'get_subjects': kafka_sr_retry.confluent.SchemaRegistry"):
        client.get_subjects()  # type: ignore[attr-defined]
    assert not hasattr(client, "_of_nobody")
