"""A user's mistakes, for the type checkers alone: what they must refuse. Each needs its ``type: ignore``."""

from kafka_sr_retry import (
    AsyncAvroSerializer,
    AvroSerializer,
    AvroSerializerBuilder,
    Metadata,
    RegisteredSchema,
    RuleSet,
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    SchemaRegistryError,
)
from kafka_sr_retry.events import AttemptEvent, Event
from kafka_sr_retry.testing import SchemaRegistryCluster, SchemaRegistryServer

TEXT = '"string"'
ITEM = SchemaReference("shop.Item", "items-value", 1)
CLIENT = SchemaRegistryClient({"url": "http://localhost:8081"})
SERIALIZER = AvroSerializer(CLIENT, TEXT)

# -- schemas --------------------------------------------------------------------------------------

Schema(b'"string"')  # type: ignore[arg-type]
Schema(TEXT, "AVRO", ITEM)  # type: ignore[arg-type]
Schema(TEXT, "AVRO", ["shop.Item"])  # type: ignore[list-item]
Schema(TEXT, metadata="owner")  # type: ignore[arg-type]
Schema(TEXT).schema_str = TEXT  # type: ignore[misc]
Metadata(properties={"owner": 1})  # type: ignore[dict-item]
Metadata(owner="shop")  # type: ignore[call-arg]
RuleSet(domain_rules=5)  # type: ignore[arg-type]
SchemaReference("shop.Item", "items-value", "1")  # type: ignore[arg-type]
RegisteredSchema(7, None, "orders-value", 1, TEXT)  # type: ignore[arg-type]

# -- serializers ----------------------------------------------------------------------------------

AvroSerializer("http://localhost:8081", TEXT)  # type: ignore[arg-type]
AvroSerializer(TEXT, CLIENT)  # type: ignore[arg-type]
AvroSerializer(CLIENT, 5)  # type: ignore[arg-type]
AvroSerializer(CLIENT, TEXT, "to_dict")  # type: ignore[arg-type]
AvroSerializer(CLIENT, TEXT, lambda order: {})  # type: ignore[arg-type, misc]
AvroSerializer(CLIENT, TEXT, None, ["normalize.schemas"])  # type: ignore[arg-type]
AvroSerializer.from_config({}, TEXT, None, True)  # type: ignore[call-arg]
AvroSerializer.from_config({}, 5)  # type: ignore[arg-type]
AvroSerializerBuilder(schema_str=TEXT)  # type: ignore[call-arg]
AvroSerializerBuilder(schema=5)  # type: ignore[arg-type]
AvroSerializerBuilder().set_schema_registry_client({"url": "http://localhost:8081"})  # type: ignore[arg-type]
SERIALIZER.bind(5)  # type: ignore[arg-type]
SERIALIZER.warm_up("orders", "value")  # type: ignore[call-arg,arg-type]
NOT_AWAITED: bytes = AsyncAvroSerializer(CLIENT, TEXT)({"id": 1})  # type: ignore[assignment]
MESSAGE: str = SERIALIZER({"id": 1})  # type: ignore[assignment]

# -- the client -----------------------------------------------------------------------------------

CLIENT.register_schema("orders-value", TEXT)  # type: ignore[arg-type]
CLIENT.register_schema("orders-value", Schema(TEXT), False, 5)  # type: ignore[call-arg]
CLIENT.get_version("orders-value", "newest")  # type: ignore[arg-type]
CLIENT.get_schema("7")  # type: ignore[arg-type]
CLIENT.get_latest_with_metadata("orders-value", {"owner": 1})  # type: ignore[dict-item]
CLIENT.memory  # type: ignore[attr-defined]
CLIENT.clock  # type: ignore[attr-defined]
VERSION: int = CLIENT.get_latest_version("orders-value").version  # type: ignore[assignment]

# -- events, errors, tests ------------------------------------------------------------------------


def hear(event: Event) -> None:
    print(event.status)  # type: ignore[attr-defined]
    event.call = 2  # type: ignore[misc]
    if isinstance(event, AttemptEvent):
        status: int = event.status  # type: ignore[assignment]
        print(status)


def judge(error: SchemaRegistryError) -> None:
    status: int = error.http_status_code  # type: ignore[assignment]
    print(status, error.field_path)  # type: ignore[attr-defined]


SchemaRegistryServer().fail_next("503")  # type: ignore[arg-type]
SchemaRegistryCluster().restart(1)  # type: ignore[arg-type]
