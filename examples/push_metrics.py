"""Metrics of a short job, pushed at its end to a Prometheus Pushgateway: ``python examples/push_metrics.py``.

A job that is over within a scrape interval is never scraped. Needs ``pip install 'kafka-sr-retry[prometheus]'``, a
Kafka broker, a Schema Registry and a Pushgateway; say where with KAFKA_BOOTSTRAP_SERVERS, SCHEMA_REGISTRY_URL and
PUSHGATEWAY_URL (http://localhost:9091). The third order does not fit the schema, so that there is something to see.
"""

import os
import sys

from confluent_kafka import SerializingProducer
from confluent_kafka.error import ValueSerializationError
from prometheus_client import CollectorRegistry, push_to_gateway

from kafka_sr_retry import AvroSerializerBuilder
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}

metrics = CollectorRegistry()  # its own, so that nothing of the process is pushed with it
failed, outcomes = [], []
conf = {
    "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
    "schema.registry.url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081"),
    "schema.registry.event_cb": PrometheusInstrumentation(metrics),
    "schema.registry.total.timeout.ms": 5_000,
    "delivery.timeout.ms": 10_000,
    "on_delivery": lambda error, message: outcomes.append(error and error.str()),
    "value.serializer.builder": AvroSerializerBuilder(schema=ORDER),
}
try:
    with SerializingProducer(conf) as producer:
        for number in (1, 2, "three"):
            try:
                producer.produce("orders", value={"id": number})
            except ValueSerializationError as error:
                failed.append(str(error.exception))
finally:  # also of a job that failed: those are the metrics that matter
    gateway = os.environ.get("PUSHGATEWAY_URL", "http://localhost:9091")
    try:  # push_to_gateway replaces what the job's last run pushed
        push_to_gateway(gateway, job="orders", registry=metrics, timeout=5)
    except OSError as error:
        print(f"the metrics were not pushed: {error}", file=sys.stderr)
if outcomes != [None] * 2:
    sys.exit(f"not all delivered: {outcomes}")
print(f"delivered {outcomes.count(None)} orders, failed: {failed}")
