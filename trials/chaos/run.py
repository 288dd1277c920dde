"""One run: start, chaos, calm, and what is to be said of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from kafka_sr_retry import SchemaRegistryClient

from .footprint import Footprint, footprint, settled
from .judge import Arrived, Fault, Sent, judge
from .producers import DELIVERY_MS, SHARED_SECONDS, WELL_AGAIN_SECONDS, Sender
from .reader import read
from .schedule import Change
from .stand import Stand

TOPICS = [f"topic-{number}" for number in range(12)]
THREADS, SHARING = 4, 2
LATEST = 2.0
"""Seconds beyond its deadline from which a call is a fault.

A well call ends within milliseconds of it. Here two JVMs start on the cores that the caller needs to see that its time
is over: ten times the 0.2 s that one may hope for are no fault of the code. What has lost its deadline ends with
something else, such as a request after 14 s, or never.
"""

JOIN_SECONDS = 2 * (WELL_AGAIN_SECONDS + DELIVERY_MS / 1000)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run has shown.

    Attributes:
        sent: all messages that were given to a producer.
        arrived: all that were read.
        subjects: how many a schema was asked for.
        before: threads and files before the senders began.
        delayed: how many seconds the latest change came after its time.
        faults: what must not be.
    """

    sent: list[Sent]
    arrived: list[Arrived]
    subjects: int
    before: Footprint
    delayed: float
    faults: list[Fault]


def run(seed: int, changes: Sequence[Change], stand: Stand) -> Result:
    logging.basicConfig(filename=stand.folder / "client.log", level=logging.INFO, format="%(asctime)s %(message)s")
    stand.create_topics(TOPICS)
    first = Sender("first", seed, stand, TOPICS)
    first.start()
    faults = _calm([first], stand)  # what is imported or begun only once has been
    before = footprint()
    client = SchemaRegistryClient({"url": stand.registry_url, "total.timeout.ms": SHARED_SECONDS * 1000})
    senders = [Sender(f"shared{number}", seed, stand, TOPICS, client) for number in range(SHARING)]
    senders += [Sender(f"own{number}", seed, stand, TOPICS) for number in range(THREADS - SHARING)]
    for sender in senders:
        sender.start()
    delayed = stand.play(changes)
    faults += _calm(senders, stand)
    client.close()
    faults += [Fault("left behind", what, "is still there after all was closed") for what in settled(before)]
    arrived = read(stand.bootstrap_servers, TOPICS, stand.direct_registry_url)
    sent = [message for sender in (first, *senders) for message in sender.sent]
    faults += judge(sent, arrived, LATEST)
    return Result(sent, arrived, first.subjects + sum(sender.subjects for sender in senders), before, delayed, faults)


def _calm(senders: Sequence[Sender], stand: Stand) -> list[Fault]:
    """Let all be well again, and wait until each sender has seen that and closed what it had."""
    faults = []
    for sender in senders:
        sender.end.set()
    stand.heal()
    for sender in senders:
        sender.healed.set()
    for sender in senders:
        sender.join(JOIN_SECONDS)
        if sender.is_alive():
            faults.append(Fault("hung", sender.name, f"this thread does not end within {JOIN_SECONDS:.0f} s"))
        elif sender.broke is not None:
            faults.append(Fault("broken", sender.name, f"this thread ended with {sender.broke!r}"))
        elif not sender.recovered:
            faults.append(Fault("not well again", sender.name, f"no message in {WELL_AGAIN_SECONDS} s without faults"))
    return faults
