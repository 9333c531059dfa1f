"""Two running counts over the last ten seconds, in steps of one second: cheap to add to, cheap to read."""

from __future__ import annotations

SECONDS = 10


class Window:
    """What `first` and `second` count is the owner's business. `now` is in seconds on any clock that does not
    go back.
    """

    __slots__ = ("_firsts", "_latest", "_new_firsts", "_new_seconds", "_seconds", "first", "second")

    def __init__(self) -> None:
        self.clear(0.0)

    def clear(self, now: float) -> None:
        """Forget everything."""
        self._latest = int(now)
        # Of the seconds before the latest, each in its slot.
        self._firsts = [0] * SECONDS
        self._seconds = [0] * SECONDS
        self._new_firsts = self._new_seconds = 0
        self.first = self.second = 0

    def add(self, now: float) -> None:
        """Count one of the first at `now`."""
        if int(now) != self._latest:
            self.roll(now)
        self._new_firsts += 1
        self.first += 1

    def add_second(self, now: float) -> None:
        """Count one of the second at `now`."""
        self.roll(now)
        self._new_seconds += 1
        self.second += 1

    def roll(self, now: float) -> None:
        """Drop what is older than ten seconds; `first` and `second` are then what is left."""
        latest = int(now)
        if latest == self._latest:
            return
        slot = self._latest % SECONDS
        self._firsts[slot], self._seconds[slot] = self._new_firsts, self._new_seconds
        self._new_firsts = self._new_seconds = 0
        for passed in range(self._latest + 1, min(latest, self._latest + SECONDS) + 1):
            slot = passed % SECONDS
            self.first -= self._firsts[slot]
            self.second -= self._seconds[slot]
            self._firsts[slot] = self._seconds[slot] = 0
        self._latest = latest
