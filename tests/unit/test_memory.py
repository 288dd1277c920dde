"""What is remembered is bounded, and threads that change it do not meet."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from kafka_sr_retry import AvroSerializer, SchemaRegistryClient
from kafka_sr_retry.registry.living import Living
from kafka_sr_retry.registry.memory import Memory


def test_the_oldest_entry_goes_first() -> None:
    memory: Memory[int, str] = Memory(3)
    for number in range(5):
        memory.remember(number, "x")

    assert list(memory.entries) == [2, 3, 4]


def test_entries_are_bounded_by_their_weight_too() -> None:
    memory: Memory[int, str] = Memory(10**6, most=1000)
    heaviest = 0
    for number in range(500):
        memory.remember(number, "x", weight=100 if number % 2 else 0)
        heaviest = max(heaviest, sum(map(memory.weight, memory.entries)))

    assert 500 <= heaviest <= 1125
    assert 499 in memory.entries
    assert set(memory._weights) <= set(memory.entries)


def test_an_entry_that_is_replaced_weighs_once() -> None:
    memory: Memory[int, str] = Memory(10, most=1000)
    memory.remember(1, "kept", weight=300)
    for _ in range(100):
        memory.remember(2, "x", weight=300)

    assert memory.get(1) == "kept"


def test_an_entry_that_is_too_heavy_alone_is_not_kept() -> None:
    memory: Memory[int, str] = Memory(10, most=1000)
    memory.remember(1, "x", weight=5000)

    assert len(memory) == 0


class Thing:
    pass


def test_a_set_of_the_living_keeps_nothing_alive() -> None:
    living: Living[Thing] = Living()
    kept = Thing()
    living.add(kept)
    living.add(Thing())
    gc.collect()

    assert list(living) == [kept]


@pytest.fixture
def often() -> Iterator[None]:
    """Threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(rounds: int, *works: Callable[[], object]) -> list[BaseException]:
    """What the works raised, each on a thread of its own."""
    raised: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        start.wait()
        try:
            for _ in range(rounds):
                work()
        except BaseException as error:  # noqa: BLE001 it is what is tested
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_the_living_can_be_walked_through_while_others_come_and_go(often: None) -> None:
    living: Living[Thing] = Living()
    kept = [Thing() for _ in range(500)]
    for each in kept:
        living.add(each)

    assert together(3000, *[lambda: living.add(Thing())] * 3, lambda: list(living)) == []
    assert set(kept) == set(living)


def test_caches_can_be_cleared_while_serializers_are_made(often: None) -> None:
    with SchemaRegistryClient({"url": "http://localhost:1"}) as client:
        made = lambda: AvroSerializer(client, '"string"')  # noqa: E731
        assert together(300, made, made, client.clear_caches) == []


def test_a_memory_can_be_cleared_while_others_remember(often: None) -> None:
    memory: Memory[object, str] = Memory(50, most=1000)
    remember = lambda: memory.remember(object(), "x", weight=30)  # noqa: E731

    assert together(3000, remember, remember, memory.clear) == []
    memory.clear()
    memory.remember(1, "x", weight=30)
    assert len(memory) == 1
