"""What was published and what came of it: a history of events, and whether it keeps the promise of the bus.

The promise: every acknowledged event has exactly one effect at each consumer, in the order of its key. An
event whose publishing was not acknowledged may have happened or not, but never twice and never out of order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_AROUND = 3  # events shown before and after the one at fault
_SHOWN = 20  # faults written out; the others are counted


@dataclass(frozen=True, slots=True)
class Counterexample:
    """One broken promise. `kind`: lost, doubled, reordered, invented, or moved (to another key)."""

    kind: str
    consumer: str
    key: str
    id: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.consumer}: {self.id} of key {self.key}\n{self.detail}"


@dataclass(slots=True)
class History:
    """Filled in while things happen, in the order in which they happen; judged at the end."""

    consumers: Sequence[str] = ()
    """Who must have had every event, also those of whom nothing was heard."""
    _sent: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _key_of: dict[str, str] = field(default_factory=dict)
    _acknowledged: set[str] = field(default_factory=set)
    _effects: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def sent(self, key: str, id: str) -> None:  # noqa: A002 the field's name
        """An event is about to be published. Sending it again, as one does on a time-out, changes nothing."""
        if id not in self._key_of:
            self._key_of[id] = key
            self._sent[key].append(id)

    def acknowledged(self, id: str) -> None:  # noqa: A002 as above
        """Its publisher was told that it is stored."""
        assert id in self._key_of, f"{id} was never sent"
        self._acknowledged.add(id)

    def published(self, key: str, *ids: str) -> None:
        """Sent and acknowledged, in this order."""
        for each in ids:
            self.sent(key, each)
            self.acknowledged(each)

    def effected(self, consumer: str, key: str, *ids: str) -> None:
        """A consumer committed the effects of these events, in this order."""
        self._effects[consumer] += [(key, each) for each in ids]

    @property
    def size(self) -> tuple[int, int]:
        """Events acknowledged, effects seen."""
        return len(self._acknowledged), sum(map(len, self._effects.values()))

    def awaited(self, effected: Iterable[str]) -> set[str]:
        """Acknowledged events that are not among those effected so far."""
        return self._acknowledged.difference(effected)

    def faults(self) -> list[Counterexample]:
        """Every broken promise; empty for a good history."""
        return [fault for each in sorted({*self.consumers, *self._effects}) for fault in self._judged(each)]

    def check(self) -> None:
        """Fails with the counterexamples, when there are some."""
        if faults := self.faults():
            raise AssertionError(report(faults))

    def _judged(self, consumer: str) -> Iterator[Counterexample]:
        effects: dict[str, list[str]] = defaultdict(list)
        for key, each in self._effects[consumer]:
            known = self._key_of.get(each)
            if known is None:
                yield Counterexample("invented", consumer, key, each, "  nobody published it")
            elif known != key:
                yield Counterexample("moved", consumer, key, each, f"  it was published under {known}")
            else:
                effects[key].append(each)
        for key, sent in self._sent.items():
            yield from self._judged_key(consumer, key, sent, effects[key])

    def _judged_key(
        self, consumer: str, key: str, sent: list[str], effects: list[str]
    ) -> Iterator[Counterexample]:
        def fault(kind: str, id: str) -> Counterexample:  # noqa: A002 as above
            shown = f"  published: {_around(sent, id)}\n  effected:  {_around(effects, id)}"
            return Counterexample(kind, consumer, key, id, shown)

        once = list(dict.fromkeys(effects))
        have = set(once)
        yield from (fault("lost", each) for each in sent if each in self._acknowledged and each not in have)
        yield from (fault("doubled", each) for each in once if effects.count(each) > 1)
        place = {each: number for number, each in enumerate(sent)}
        yield from (
            fault("reordered", later) for before, later in pairwise(once) if place[later] < place[before]
        )


def report(faults: Sequence[Counterexample]) -> str:
    """The counterexamples in words."""
    text = "\n".join(str(each) for each in faults[:_SHOWN])
    more = f"\nand {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return f"{len(faults)} broken promises\n{text}{more}"


def _around(ids: Sequence[str], id: str) -> str:  # noqa: A002 as above
    """The neighbourhood of an event, itself in brackets: `… e3 e4 [e5] e6 …`."""
    places = [number for number, each in enumerate(ids) if each == id]
    if not places:
        return f"{' '.join(ids[:_AROUND])} … {' '.join(ids[-_AROUND:])} ({len(ids)} in all, it is not there)"
    windows = (range(max(0, at - _AROUND), min(len(ids), at + _AROUND + 1)) for at in places)
    return " … ".join(_window(ids, window, id) for window in windows)


def _window(ids: Sequence[str], window: Iterable[int], id: str) -> str:  # noqa: A002 as above
    return " ".join(f"[{ids[at]}]" if ids[at] == id else ids[at] for at in window)
