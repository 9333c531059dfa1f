"""What was found lately, and the live streams of it.

Streams show what is stored on the bus, and bars too short for the bus once the findings of their ticks are.
Signals can be asked for a moment earlier: whoever hears of one from the bus may ask for it before we hear
that the bus has it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence

from services.analysis_engine.domain.signals import ClosedBar, Finding, FoundPattern, Signal, Snapshot
from services.broadcast import Broadcast
from services.quant.bars import Bar

KEPT = 5_000
"""Patterns and signals that can be listed, of all sessions and symbols."""


class Record:
    """Bounded memory of findings."""

    def __init__(self) -> None:
        self.bars: Broadcast[tuple[str, Bar]] = Broadcast()
        """(session id, bar) of every timeframe."""
        self.snapshots: Broadcast[Snapshot] = Broadcast()
        self.patterns: Broadcast[FoundPattern] = Broadcast()
        self.signals: Broadcast[Signal] = Broadcast()
        self.recent_patterns: deque[FoundPattern] = deque(maxlen=KEPT)
        self.recent_signals: OrderedDict[str, Signal] = OrderedDict()
        self.bars_by_timeframe: Counter[str] = Counter()
        self.signals_by_kind: Counter[tuple[str, str]] = Counter()
        """(strategy, prediction status)."""

    def expect(self, findings: Sequence[Finding]) -> None:
        """Findings that are about to be published. The same ones again change nothing."""
        for finding in findings:
            if isinstance(finding, Signal):
                self._keep(finding)

    def show(self, findings: Sequence[Finding]) -> None:
        """Findings that are published, in order."""
        for finding in findings:
            match finding:
                case ClosedBar():
                    self.bars_by_timeframe[finding.bar.timeframe.text] += 1
                    self.bars.publish((finding.session_id, finding.bar))
                case Snapshot():
                    self.snapshots.publish(finding)
                case FoundPattern():
                    self.recent_patterns.append(finding)
                    self.patterns.publish(finding)
                case Signal():
                    self.signals_by_kind[finding.strategy, finding.prediction.status.value] += 1
                    self.signals.publish(finding)

    def show_short(self, session_id: str, bars: Sequence[Bar]) -> None:
        """Bars that closed and are not published, in order."""
        if len(self.bars):  # a batch closes many, and hardly ever does anybody watch
            for bar in bars:
                self.bars.publish((session_id, bar))

    def _keep(self, signal: Signal) -> None:
        self.recent_signals[signal.signal_id] = signal
        if len(self.recent_signals) > KEPT:
            self.recent_signals.popitem(last=False)

    def recover(self, signals: Sequence[Signal]) -> None:
        """Signals of former processes, oldest first."""
        for signal in signals:
            self._keep(signal)

    def close(self) -> None:
        """End the streams."""
        for each in (self.bars, self.snapshots, self.patterns, self.signals):
            each.close()
