"""Sends what was made, and waits where Kafka's client has enough."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from kafka_sr_retry.errors import SchemaRegistryError

from .account import Account, Failure, Token
from .messages import Failed, Maker, Message
from .reading import LONGEST, Batch

OURS: dict[str, Any] = {"delivery.report.only.error": True}
"""Goes before what the user gives: the account is made for it."""

DEFAULTS: dict[str, Any] = {"queue.buffering.max.kbytes": 65536, "linger.ms": 20}

_NOT_QUICK = object()


class Sender:
    """Sends batches.

    Args:
        go_on: asked while the queue is full, and after each batch.
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        maker: Maker,
        account: Account,
        go_on: Callable[[], bool],
        *,
        partition: int = -1,
        keeps_blanks: bool = False,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._maker = maker
        self._account = account
        self._go_on = go_on
        self._partition = partition
        self._keeps_blanks = keeps_blanks

    def send(self, batch: Batch) -> bool:
        """Whether to go on."""
        failures: list[Failure] = []
        token = Token(failures, self._account.stop)
        count, blanks = self._lines(batch, token, failures)
        self._account.take(batch, count, blanks, failures, token)
        del token
        self._producer.poll(0)
        self._account.settle()
        return self._go_on()

    def _lines(self, batch: Batch, token: Token, failures: list[Failure]) -> tuple[int, int]:
        alone, produce = self._maker.alone, self._producer.produce
        topic, partition = self._topic, self._partition
        rows, keeps_blanks = batch.rows, self._keeps_blanks
        blanks = index = 0
        for index, raw in enumerate(batch.raws):
            value: Any = _NOT_QUICK
            if alone is not None and len(raw) <= LONGEST:
                try:
                    value = alone(raw)
                except SchemaRegistryError as error:
                    return self._ended(index, str(error), failures), blanks
                except Exception:  # noqa: BLE001 whatever it is, the exact way tells
                    value = _NOT_QUICK
            if value is not _NOT_QUICK:
                try:
                    produce(topic, value, None, partition, partial(token, index))
                    continue
                except (BufferError, KafkaException):  # once more, with care
                    value = _NOT_QUICK
            if not (keeps_blanks or raw.strip()) if rows is None else not rows[index]:
                blanks += 1
                continue
            try:
                message = self._maker.of_line(raw) if rows is None else self._maker.of_row(rows[index])
            except Failed as failed:
                failures.append(Failure(index, str(failed), failed.path))
                continue
            except SchemaRegistryError as error:
                return self._ended(index, str(error), failures), blanks
            except Exception as error:  # noqa: BLE001 an account has no holes
                failures.append(Failure(index, f"it raised {type(error).__name__}"))
                continue
            try:
                if not self._produce(message, partial(token, index)):
                    return index, blanks
            except KafkaException as error:
                told = error.args[0]
                if told.code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    return self._ended(index, f"Kafka: {told.str()}", failures), blanks
                failures.append(Failure(index, f"Kafka: {told.str()}"))
        return index + 1, blanks

    def _ended(self, index: int, why: str, failures: list[Failure]) -> int:
        """By a failure that the next item would have too."""
        failures.append(Failure(index, why, is_own=False))
        self._account.stop(why)
        return index + 1

    def _produce(self, message: Message, told: Callable[..., None]) -> bool:
        """Whether it was taken; not, if the command ends while there is no room for it."""
        rest: dict[str, Any] = {} if message.headers is None else {"headers": message.headers}
        if message.timestamp:
            rest["timestamp"] = message.timestamp
        while True:
            try:
                self._producer.produce(self._topic, message.value, message.key, self._partition, told, **rest)
                return True
            except BufferError:
                self._producer.poll(0.05)
                self._account.settle()
                if not self._go_on():
                    return False

    def finish(self, at_once: Callable[[], bool], tick: Callable[[], object]) -> None:
        """Waits for all reports; ``at_once`` ends the waiting, and what waits then is reported as failed."""
        purged = False
        while len(self._producer):
            if at_once() and not purged:
                self._producer.purge()
                purged = True
            self._producer.poll(0.05)
            tick()
        self._producer.poll(0)
        self._account.settle(all_told=True)
