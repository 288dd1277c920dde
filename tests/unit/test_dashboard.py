"""The dashboard and the rules of examples/monitoring ask only for what PrometheusInstrumentation exports."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.errors import SchemaRegistryError
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
from kafka_sr_retry.testing import SchemaRegistryServer, close_connection, drop_body, error, no_leader

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/kafka-sr-retry/kafka-sr-retry"
MONITORING = ROOT / "examples/monitoring"
BY_PROMETHEUS = ("job", "instance")
OF_ALERTS = ("alertname", "alertstate", "severity", "endpoint", "reason", "operation")

Exported = dict[str, dict[str, set[str]]]
"""The values of each label of each metric."""


@pytest.fixture(scope="module")
def exported() -> Exported:
    """By a client whose calls have each of the ends that the queries name."""
    registry = CollectorRegistry()
    schema = Schema('"string"')
    conf = {"event_cb": PrometheusInstrumentation(registry), "max.retries": 0, "refusal.cache.ttl.ms": 0}
    with (
        SchemaRegistryServer() as one,
        SchemaRegistryServer() as two,
        SchemaRegistryClient({"url": [one.url, two.url], **conf}) as client,
    ):
        client.register_schema("served", schema)
        faults = (drop_body(), no_leader(), close_connection(), error(422, 42201), error(422, 42205))
        for number, fault in enumerate(faults):
            one.fail_always(fault)
            two.fail_always(fault)
            for ask in (client.register_schema, client.lookup_schema):
                with pytest.raises(SchemaRegistryError):
                    ask(f"not-served-{number}", schema)
            one.recover()
            two.recover()
        families = list(registry.collect())
    found: Exported = {}
    for sample in itertools.chain.from_iterable(family.samples for family in families):
        labels = found.setdefault(sample.name, {label: set() for label in BY_PROMETHEUS})
        for label, value in sample.labels.items():
            labels.setdefault(label, set()).add(value)
    return found


def dashboard() -> dict[str, Any]:
    return dict(json.loads((MONITORING / "dashboard.json").read_text()))


def rules(file: str = "rules.yml") -> list[dict[str, Any]]:
    (group,) = YAML(typ="safe", pure=True).load((MONITORING / file).read_text())["groups"]
    return list(group["rules"])


def rule_tests() -> list[dict[str, Any]]:
    return list(YAML(typ="safe", pure=True).load((MONITORING / "rules_test.yml").read_text())["tests"])


def made_by_rules() -> Exported:
    """The labels of ALERTS, and of each recorded metric: those are the first part of its name."""
    names = [rule["record"] for rule in rules() if "record" in rule]
    labels = {name: name.partition(":")[0].split("_") for name in names}
    labels["ALERTS"] = [*BY_PROMETHEUS, *OF_ALERTS]
    return {name: {label: set() for label in labels[name]} for name in labels}


def panels() -> list[dict[str, Any]]:
    return list(dashboard()["panels"])


def queries() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", []))
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["query"]["query"] == variable["definition"]
            label_values = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"])
            assert label_values is not None
            yield f"count by ({label_values[2]}) ({label_values[1]})"
    yield from (rule["expr"] for rule in rules())
    for test in rule_tests():
        yield from (series["series"] for series in test["input_series"])
        yield from (expression["expr"] for expression in test.get("promql_expr_test", []))


SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")
WORDS = {"and", "or", "unless", "offset", "bool"}


def used(query: str) -> tuple[dict[str, list[tuple[str, str, str]]], set[str]]:
    """The matchers of each metric of a query, and the labels that it groups by."""
    groups = {label.strip() for _, labels in GROUPING.findall(query) for label in labels.split(",") if label.strip()}
    rest = re.sub(r"\[[^\]]*\]|\$__\w+|\boffset\s+\w+", " ", GROUPING.sub(" ", query))
    metrics: dict[str, list[tuple[str, str, str]]] = {}
    for found in SELECTOR.finditer(rest):
        called = rest[found.end() :].lstrip().startswith("(")
        if found[1] in WORDS or called or rest[: found.start()][-1:].isdigit():
            continue
        metrics.setdefault(found[1], []).extend(MATCHER.findall(found[2] or ""))
    return metrics, groups


def unknown(query: str, known: Exported) -> list[str]:
    """What a query asks for that nobody exports."""
    metrics, groups = used(query)
    faults = [f"no metric in {query}"] if not metrics else []
    labels_of_all = {label for name in metrics for label in known.get(name, {})}
    faults += [f"label {label} in {query}" for label in groups - labels_of_all]
    for name, matchers in metrics.items():
        if name not in known:
            faults.append(f"metric {name}")
        for label, operator, value in matchers:
            values = known.get(name, {}).get(label)
            fits = re.fullmatch if "~" in operator else str.__eq__
            if values is None:
                faults.append(f"label {label} of {name}")
            elif values and "://" not in value and not any(fits(value, each) for each in values):
                faults.append(f'{label}="{value}" of {name}')
    return faults


def test_every_metric_label_and_value_of_a_query_is_exported(exported: Exported) -> None:
    asked = list(queries())
    assert len(asked) > 100
    assert [fault for query in asked for fault in unknown(query, exported | made_by_rules())] == []


@pytest.mark.parametrize(
    "query",
    [
        "sum(kafka_sr_retry_retry_total)",
        "sum by (cause) (kafka_sr_retry_retries_total)",
        'kafka_sr_retry_retries_total{outcome="no_leader"}',
        'kafka_sr_retry_attempts_total{status="200 OK"}',
        'kafka_sr_retry_attempts_total{status=~"3.."}',
        'rate(kafka_sr_retry_call_duration_seconds_count{result="gave_up"}[$__rate_interval])',
        'kafka_sr_retry_breaker_open{endpoint="write"}',
        "job_endpoint:kafka_sr_retry_lost_bodies:increase5m > 0",
        'job_endpoint:kafka_sr_retry_lost_bodies:increase10m{reason="invalid"}',
        'kafka_sr_retry_call_duration_seconds_bucket{le="3.0"}',
        "vector(1)",
    ],
)
def test_a_query_for_what_nobody_exports_is_found(query: str, exported: Exported) -> None:
    assert unknown(query, exported | made_by_rules()) != []


def test_every_exported_metric_is_on_the_dashboard(exported: Exported) -> None:
    shown = {name for panel in panels() for target in panel.get("targets", []) for name in used(target["expr"])[0]}
    by_name = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    while inner := {name for rule in shown & set(by_name) for name in used(by_name[rule])[0]} - shown:
        shown |= inner
    names = {name for name in exported if not name.endswith(("_count", "_sum", "_created"))}
    assert names - shown == set()


def test_panels_do_not_overlap_and_stay_on_the_grid() -> None:
    cells: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert cell not in cells, f"{panel['title']} covers {cells[cell]}"
            cells[cell] = panel["title"]


def test_panels_have_ids_titles_and_explanations_of_their_own() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    titles = [(panel["type"] == "row", panel["type"], panel["title"]) for panel in panels()]
    assert len(set(titles)) == len(titles)
    assert [panel["title"] for panel in panels() if panel["type"] != "row" and not panel.get("description")] == []


def test_every_panel_reads_the_chosen_data_source_and_job() -> None:
    names = [variable["name"] for variable in dashboard()["templating"]["list"]]
    assert names == ["datasource", "job"]
    for panel in panels():
        for target in panel.get("targets", []):
            assert panel["datasource"] == target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            asked = [matcher for matchers in used(target["expr"])[0].values() for matcher in matchers]
            assert ("job", "=~", "$job") in asked
            assert target["expr"].count('job=~"$job"') == len(re.findall(r"kafka_sr_retry_\w+", target["expr"]))


def test_references_of_a_panels_queries_are_its_own() -> None:
    for panel in panels():
        references = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(references)) == len(references), panel["title"]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def test_every_alert_has_a_severity_and_tells_what_to_do() -> None:
    assert len({alert["alert"] for alert in alerts()}) == len(alerts()) == 10
    for alert in alerts():
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}


def anchors(document: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document, re.MULTILINE)
    made = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="(.*?)"></a>', document))


def test_every_runbook_is_a_section_of_the_documentation() -> None:
    named = re.findall('^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(named) <= {REPOSITORY}
    for alert in alerts():
        url, _, section = alert["annotations"]["runbook_url"].partition("#")
        path = url.removeprefix(f"{REPOSITORY}/blob/main/")
        assert path != url
        assert section in anchors((ROOT / path).read_text()), alert["alert"]


@pytest.mark.parametrize(
    "fires",
    [lambda each: bool(each["exp_alerts"]), lambda each: not each["exp_alerts"]],
    ids=["fires", "does not fire"],
)
def test_every_alert_has_a_test_in_which_it(fires: Callable[[dict[str, Any]], bool]) -> None:
    tested = [each for test in rule_tests() for each in test.get("alert_rule_test", []) if fires(each)]
    assert {each["alertname"] for each in tested} == {alert["alert"] for alert in alerts()}
