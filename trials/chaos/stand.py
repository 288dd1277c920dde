"""The parts of a run: a registry and a Kafka that can die, each behind a proxy that can be spoilt."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from tests.integration import stack
from tests.integration.stack import process, services, toxiproxy
from tests.integration.stack.toxiproxy import Toxiproxy

from .schedule import DOWN, KILL, PARTS, Change

READY_SECONDS = 120

_Event = tuple[float, Callable[[], object]]
"""When, and what to do."""


class Stand:
    """Kafka, the registry and Toxiproxy, running.

    Attributes:
        folder: all logs.
        bootstrap_servers: Kafka, through its proxy.
        registry_url: the registry, through its proxy.
        direct_registry_url: the registry itself.
    """

    def __init__(self, folder: Path, proxies: Toxiproxy) -> None:
        self.folder = folder
        self._proxies = proxies
        kafka, controller, registry, kafka_proxy, registry_proxy = services.free_ports(5)
        self.bootstrap_servers = f"127.0.0.1:{kafka_proxy}"
        self._kafka = partial(
            services.start_kafka, folder / "kafka", stack.LIBS, kafka, controller, advertised_port=kafka_proxy
        )
        self._registry = partial(
            services.start_registry, folder / "registry", stack.LIBS, registry, flags=services.IN_A_FILE
        )
        direct_servers, self.direct_registry_url = self._kafka(), self._registry()
        self.registry_url = self.direct_registry_url.replace(f":{registry}/", f":{registry_proxy}/")
        self._start = {"kafka": self._kafka, "registry": self._registry}
        self._is_ready = {
            "kafka": partial(services.kafka_is_ready, direct_servers),
            "registry": partial(services.registry_is_ready, self.direct_registry_url),
        }
        proxies.create("kafka", kafka_proxy, kafka)
        proxies.create("registry", registry_proxy, registry)
        self.await_ready()

    def await_ready(self) -> None:
        for part in PARTS:
            process.await_ready(self.folder / part, self._is_ready[part], READY_SECONDS)

    def create_topics(self, topics: Sequence[str]) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        for made in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
            made.result(60)

    def play(self, changes: Sequence[Change]) -> float:
        """Make all changes at their times, and put each right again; returns how late the latest was, in seconds.

        Each stream of a proxy is seen to by a thread of its own: Toxiproxy may take seconds to put a toxic off.
        """
        begin = time.monotonic()
        lanes: dict[tuple[str, str, bool], list[_Event]] = defaultdict(list)
        for number, change in enumerate(changes):
            put, put_right = self._both(f"{number}", change)
            lane = lanes[change.part, change.stream, change.action == KILL]
            lane += [(change.at, put), (change.at + change.lasts, put_right)]
        with ThreadPoolExecutor(len(lanes)) as pool:
            return max(pool.map(partial(_play, begin), lanes.values()))

    def heal(self) -> None:
        """All well again, and both parts ready."""
        self._proxies.heal()
        self.await_ready()

    def _both(self, name: str, change: Change) -> tuple[Callable[[], object], Callable[[], object]]:
        part, proxies = change.part, self._proxies
        if change.action == KILL:
            return partial(process.kill, self.folder / part), self._start[part]
        if change.action == DOWN:
            return partial(proxies.enable, part, False), partial(proxies.enable, part, True)
        put = partial(proxies.add, part, name, change.action, change.stream, change.attributes)
        return put, partial(proxies.remove, part, name)


def _play(begin: float, events: list[_Event]) -> float:
    latest = 0.0
    for at, do in sorted(events, key=itemgetter(0)):
        late = time.monotonic() - begin - at
        time.sleep(max(0, -late))
        latest = max(latest, late)
        do()
    return latest


@contextmanager
def running() -> Iterator[Stand]:
    """A stand for the time of the ``with`` block; its logs stay until the next run."""
    program = toxiproxy.install(stack.HOME)
    with stack.own_folder() as folder, toxiproxy.running(folder / "toxiproxy", program) as proxies:
        yield Stand(folder, proxies)
