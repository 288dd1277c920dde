"""Produce Avro from FastAPI: ``pip install fastapi uvicorn aiokafka`` and ``python examples/fastapi_service.py``.

It starts while the registry is away, and says that it is ready once a message would ask nobody. A request that needs
the registry waits for it, and the others go on. Needs a Kafka broker and a Schema Registry; say where with
KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL. It listens on PORT, by default 8000.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from aiokafka import AIOKafkaProducer
from confluent_kafka.serialization import MessageField, SerializationContext
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from kafka_sr_retry import AsyncAvroSerializer, RegistryUnavailableError

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
serializer = AsyncAvroSerializer({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")}, ORDER)


class Order(BaseModel):
    id: int


async def warm_up() -> None:
    while (await serializer.warm_up(["orders"])).failed:
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.producer = AIOKafkaProducer(bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"))
    async with serializer, app.state.producer:
        warming = asyncio.create_task(warm_up())
        yield
        warming.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/ready")
async def ready() -> None:
    if not serializer.knows("orders"):
        raise HTTPException(503, "the schema is not known yet")


@app.post("/orders", status_code=201)
async def take(order: Order) -> None:
    try:
        value = await serializer(order, SerializationContext("orders", MessageField.VALUE))
    except RegistryUnavailableError as away:
        raise HTTPException(503, str(away), {"Retry-After": f"{away.retry_after or 1:.0f}"}) from away
    await app.state.producer.send_and_wait("orders", value)


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
