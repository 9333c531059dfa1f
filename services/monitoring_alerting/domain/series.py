"""Samples of metrics over the last while, by name and labels."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series as scraped."""

    metric: str
    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric's type ("counter", "gauge", "histogram") and help text."""

    metric: str
    type: str
    help: str


@dataclass(slots=True)
class Series:
    """Times (wall seconds) and values, oldest first."""

    metric: str
    labels: Mapping[str, str]
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, time_s: float, value: float, keep_s: float) -> None:
        """Add a point; points older than `keep_s` go, a whole batch at a time."""
        self.times.append(time_s)
        self.values.append(value)
        old = bisect_left(self.times, time_s - keep_s)
        if old > 64:
            del self.times[:old], self.values[:old]

    def since(self, time_s: float) -> list[tuple[float, float]]:
        """Points from a time on."""
        start = bisect_left(self.times, time_s)
        return list(zip(self.times[start:], self.values[start:], strict=True))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True when these labels are among the series' own."""
        return all(self.labels.get(name) == value for name, value in labels.items())


class SeriesStore:
    """All series of the platform."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._series: dict[str, dict[Labels, Series]] = {}
        self._definitions: dict[str, Definition] = {}

    def define(self, definitions: Iterable[Definition]) -> None:
        """Remember what metrics mean."""
        self._definitions.update((each.metric, each) for each in definitions)

    def add(self, samples: Iterable[Sample], time_s: float) -> None:
        """Add one scrape's samples."""
        for sample in samples:
            by_labels = self._series.setdefault(sample.metric, {})
            series = by_labels.get(sample.labels)
            if series is None:
                series = by_labels[sample.labels] = Series(sample.metric, dict(sample.labels))
            series.add(time_s, sample.value, self._keep_s)

    def find(self, metric: str, labels: Mapping[str, str] | None = None) -> Iterator[Series]:
        """Series of a metric whose labels contain these."""
        for series in self._series.get(metric, {}).values():
            if series.matches(labels or {}):
                yield series

    def definitions(self, prefix: str) -> list[Definition]:
        """What metrics there are, by name."""
        return [self._definitions[name] for name in sorted(self._definitions) if name.startswith(prefix)]

    def forget_silent(self, time_s: float) -> None:
        """Drop series that no scrape has brought for the whole window (instances that are gone)."""
        for by_labels in self._series.values():
            for labels in [
                each for each, series in by_labels.items() if series.times[-1] < time_s - self._keep_s
            ]:
                del by_labels[labels]
