"""docker-compose.yml is valid and means what it says; each check is also shown a broken copy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"
REGISTRIES = {"schema-registry-1": 8081, "schema-registry-2": 8082}
MONITORING = {"prometheus": 9090, "grafana": 3000}

Services = dict[str, Any]


def services(text: str) -> Services:
    return dict(YAML(typ="safe", pure=True).load(text)["services"])


def listeners(setting: str) -> dict[str, str]:
    """Kafka's `NAME://host:port,...` as {name: "host:port"}."""
    return dict(listener.split("://") for listener in setting.split(","))


def mounted(service: dict[str, Any]) -> dict[str, Path]:
    """The mounted files by their paths in the container."""
    return {path: COMPOSE_FILE.parent / source for source, path, _ in (each.split(":") for each in service["volumes"])}


def parsed(file: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(file.read_text()))


def has_two_registries_that_can_lead(services: Services) -> None:
    found = {name for name, service in services.items() if "schema-registry" in service["image"]}
    assert found == set(REGISTRIES)
    for name in found:
        assert services[name]["environment"]["SCHEMA_REGISTRY_LEADER_ELIGIBILITY"] == "true"


def registries_can_forward_to_each_other(services: Services) -> None:
    for name in REGISTRIES:
        environment = services[name]["environment"]
        assert environment["SCHEMA_REGISTRY_HOST_NAME"] == name
        assert environment["SCHEMA_REGISTRY_LISTENERS"] == "http://0.0.0.0:8081"


def publishes_on_loopback_only(services: Services) -> None:
    assert {name: service["ports"] for name, service in services.items()} == {
        "kafka": ["127.0.0.1:9092:9092"],
        **{name: [f"127.0.0.1:{port}:8081"] for name, port in REGISTRIES.items()},
        **{name: [f"127.0.0.1:{port}:{port}"] for name, port in MONITORING.items()},
    }


def pins_every_image(services: Services) -> None:
    for service in services.values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])


def checks_every_health(services: Services) -> None:
    for service in services.values():
        check = service["healthcheck"]
        assert check["test"][0] == "CMD"
        assert check["retries"] > 1


def waits_for_healthy_services_that_exist(services: Services) -> None:
    for name in REGISTRIES:
        assert "kafka" in services[name]["depends_on"]
    for service in services.values():
        for target, how in service.get("depends_on", {}).items():
            assert target in services
            assert how["condition"] == "service_healthy"


def kafka_is_reached_from_both_sides(services: Services) -> None:
    kafka = services["kafka"]
    environment = kafka["environment"]
    advertised = listeners(environment["KAFKA_ADVERTISED_LISTENERS"])
    bound = listeners(environment["KAFKA_LISTENERS"])
    [(_, host_port, container_port)] = [port.split(":") for port in kafka["ports"]]
    assert advertised == {"HOST": f"localhost:{host_port}", "INTERNAL": "kafka:19092"}
    assert bound == {"HOST": f":{container_port}", "INTERNAL": ":19092", "CONTROLLER": "localhost:9093"}
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"1@{bound['CONTROLLER']}"
    protocols = environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    assert set(protocols) == {f"{name}:PLAINTEXT" for name in bound}
    for name in REGISTRIES:
        bootstrap = services[name]["environment"]["SCHEMA_REGISTRY_KAFKASTORE_BOOTSTRAP_SERVERS"]
        assert bootstrap == advertised["INTERNAL"]


def monitoring_is_a_profile_of_its_own(services: Services) -> None:
    assert {name: service["profiles"] for name, service in services.items() if "profiles" in service} == {
        name: ["monitoring"] for name in MONITORING
    }


def mounts_files_that_exist(services: Services) -> None:
    for name in MONITORING:
        for source, _, mode in (volume.split(":") for volume in services[name]["volumes"]):
            assert (COMPOSE_FILE.parent / source).is_file(), source
            assert mode == "ro"


def prometheus_finds_its_rules_and_a_producer_on_the_host(services: Services) -> None:
    prometheus = services["prometheus"]
    files = mounted(prometheus)
    config = parsed(files["/etc/prometheus/prometheus.yml"])
    assert [f"/etc/prometheus/{name}" for name in config["rule_files"]] == ["/etc/prometheus/rules.yml"]
    assert files["/etc/prometheus/rules.yml"].name == "rules.yml"
    (host,) = {
        target.partition(":")[0]
        for job in config["scrape_configs"]
        for each in job["static_configs"]
        for target in each["targets"]
    }
    assert f"{host}:host-gateway" in prometheus["extra_hosts"]


def grafana_finds_prometheus_and_the_dashboard(services: Services) -> None:
    grafana = services["grafana"]
    files = mounted(grafana)
    (source,) = parsed(files["/etc/grafana/provisioning/datasources/prometheus.yml"])["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in grafana["depends_on"]
    (provider,) = parsed(files["/etc/grafana/provisioning/dashboards/kafka-sr-retry.yml"])["providers"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.rpartition("/")[0] == provider["options"]["path"]
    assert files[home].name == "dashboard.json"


CHECKS = [
    has_two_registries_that_can_lead,
    registries_can_forward_to_each_other,
    publishes_on_loopback_only,
    pins_every_image,
    checks_every_health,
    waits_for_healthy_services_that_exist,
    kafka_is_reached_from_both_sides,
    monitoring_is_a_profile_of_its_own,
    mounts_files_that_exist,
    prometheus_finds_its_rules_and_a_producer_on_the_host,
    grafana_finds_prometheus_and_the_dashboard,
]

MUTATIONS = [
    (has_two_registries_that_can_lead, 'LEADER_ELIGIBILITY: "true"', 'LEADER_ELIGIBILITY: "false"'),
    (has_two_registries_that_can_lead, "  schema-registry-2:\n", "  schema-registry-3:\n"),
    (registries_can_forward_to_each_other, "HOST_NAME: schema-registry-2", "HOST_NAME: localhost"),
    (registries_can_forward_to_each_other, "http://0.0.0.0:8081", "http://0.0.0.0:8082"),
    (publishes_on_loopback_only, '"127.0.0.1:9092:9092"', '"9092:9092"'),
    (publishes_on_loopback_only, '"127.0.0.1:8082:8081"', '"0.0.0.0:8082:8081"'),
    (pins_every_image, "apache/kafka:3.9.1", "apache/kafka:latest"),
    (pins_every_image, "cp-schema-registry:7.9.2", "cp-schema-registry"),
    (checks_every_health, "healthcheck:", "x-healthcheck:"),
    (checks_every_health, '"CMD", "curl"', '"NONE", "curl"'),
    (waits_for_healthy_services_that_exist, "    kafka:\n      condition", "    broker:\n      condition"),
    (waits_for_healthy_services_that_exist, "service_healthy", "service_started"),
    (kafka_is_reached_from_both_sides, "BOOTSTRAP_SERVERS: kafka:19092", "BOOTSTRAP_SERVERS: kafka:9092"),
    (kafka_is_reached_from_both_sides, "HOST://localhost:9092", "HOST://kafka:9092"),
    (kafka_is_reached_from_both_sides, "INTERNAL://:19092", "INTERNAL://:19093"),
    (kafka_is_reached_from_both_sides, "HOST:PLAINTEXT,", ""),
    (kafka_is_reached_from_both_sides, "1@localhost:9093", "1@localhost:9094"),
    (publishes_on_loopback_only, '"127.0.0.1:3000:3000"', '"3000:3000"'),
    (pins_every_image, "grafana/grafana:11.6.0", "grafana/grafana:11"),
    (monitoring_is_a_profile_of_its_own, "    profiles: [monitoring]\n", ""),
    (monitoring_is_a_profile_of_its_own, "[monitoring]", "[metrics]"),
    (mounts_files_that_exist, "monitoring/rules.yml:", "monitoring/alerts.yml:"),
    (mounts_files_that_exist, "kafka-sr-retry.json:ro", "kafka-sr-retry.json:rw"),
    (prometheus_finds_its_rules_and_a_producer_on_the_host, "/etc/prometheus/rules.yml", "/etc/rules.yml"),
    (prometheus_finds_its_rules_and_a_producer_on_the_host, "./examples/monitoring/rules.yml", "./Makefile"),
    (prometheus_finds_its_rules_and_a_producer_on_the_host, "internal:host-gateway", "internal:127.0.0.1"),
    (grafana_finds_prometheus_and_the_dashboard, "provisioning/datasources", "provisioning/datasource"),
    (grafana_finds_prometheus_and_the_dashboard, "      prometheus:\n", "      kafka:\n"),
    (grafana_finds_prometheus_and_the_dashboard, "DASHBOARD_PATH: /var/lib/grafana/", "DASHBOARD_PATH: /etc/grafana/"),
]


@pytest.fixture(scope="module")
def text() -> str:
    return COMPOSE_FILE.read_text()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_compose_file(text: str, check: Callable[[Services], None]) -> None:
    check(services(text))


@pytest.mark.parametrize(("check", "old", "new"), MUTATIONS)
def test_check_finds_a_mutation(text: str, check: Callable[[Services], None], old: str, new: str) -> None:
    assert old in text
    with pytest.raises((AssertionError, KeyError)):
        check(services(text.replace(old, new)))


def test_every_check_has_a_mutation() -> None:
    assert {check for check, _, _ in MUTATIONS} == set(CHECKS)


@pytest.mark.parametrize(
    ("old", "new", "valid"),
    [("", "", True), ("interval:", "intervall:", False), ('"127.0.0.1:9092:9092"', "true", False)],
    ids=["as it is", "unknown key", "wrong type"],
)
def test_syntax_is_compose(text: str, tmp_path: Path, old: str, new: str, valid: bool) -> None:
    copy = tmp_path / COMPOSE_FILE.name
    copy.write_text(text.replace(old, new))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(copy)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert (checked.returncode == 0) == valid, checked.stdout
