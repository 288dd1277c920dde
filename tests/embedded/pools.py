"""A pool of processes whose tasks each get the same serializer: ``python pools.py URL KIND TASKS TOPIC...``.

Prints for each task its process and the ids that its messages had.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer

PROCESSES = 2

Task = tuple[AvroSerializer, list[str], bool]


def written(task: Task) -> tuple[int, list[int]]:
    serializer, topics, closes = task
    messages = [serializer(1, SerializationContext(topic, MessageField.VALUE)) for topic in topics]
    if closes:
        serializer.close()
    return os.getpid(), [int.from_bytes(message[1:5], "big") for message in messages]


def main(url: str, kind: str, count: int, topics: list[str]) -> None:
    serializer = AvroSerializer({"url": url}, '"long"')
    tasks: list[Task] = [(serializer, topics, bool(number % 2)) for number in range(count)]
    if kind == "executor":
        with ProcessPoolExecutor(PROCESSES) as executor:
            done = [*executor.map(written, tasks)]
    else:
        with multiprocessing.get_context(kind).Pool(PROCESSES) as pool:
            done = pool.map(written, tasks, chunksize=1)
    print(json.dumps(done))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
