"""Greenlets as callers, with gevent's patches made before all else or after the client."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

from kafka_sr_retry.testing import SchemaRegistryServer
from kafka_sr_retry.testing.faults import Exchange, Fault

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None and os.environ.get("CI") != "true", reason="gevent is needed"
)

PATCH = "import gevent.monkey; gevent.monkey.patch_all()"
PROGRAM = """
    import sys, threading, time, warnings
    warnings.simplefilter("ignore")
    {early}
    from confluent_kafka.serialization import MessageField, SerializationContext
    from kafka_sr_retry import AvroSerializer
    from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
    conf = {{"url": sys.argv[1], "total.timeout.ms": 8000, "event_cb": PrometheusInstrumentation()}}
    serializer = AvroSerializer(conf, '"string"')

    def produce(topic):
        return serializer("x", SerializationContext(topic, MessageField.VALUE))
    {before}
    {late}
    import gevent
    ticks = []
    def tick():
        while True:
            ticks.append(time.monotonic())
            gevent.sleep(0.01)
    ticking = gevent.spawn(tick)
    greenlets = [gevent.spawn(produce, f"t{{n % 20}}") for n in range(40)]
    gevent.joinall(greenlets, timeout=20)
    ticking.kill()
    print(sum(bool(one.value) for one in greenlets), len(ticks) > 5)
    serializer.close()
"""
BEFORE = {
    "nothing": "",
    "a question": 'produce("before")',
    "questions under way": 'threading.Thread(target=produce, args=("before",), daemon=True).start(); time.sleep(0.1)',
}


def answer_slowly(exchange: Exchange) -> None:
    exchange.wait(0.2)
    exchange.send(exchange.real_answer())


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("when", ["early", "late"])
def test_greenlets_get_their_answers(schema_registry: SchemaRegistryServer, when: str, before: str) -> None:
    given = {"early": "", "late": "", "before": BEFORE[before], when: PATCH}
    program = textwrap.dedent(PROGRAM).format(**given)
    schema_registry.fail_always(Fault("slow", answer_slowly))
    command = [sys.executable, "-c", program, schema_registry.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "40 True\n", done.stderr
    questions = {request.path for request in schema_registry.requests}
    assert len(questions) == 20 + (before != "nothing")
