"""How far a service is with the ticks of a session: what it says when it is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeedProgress:
    """One symbol of a session. `sequence`: the last tick whose effects are durable; 0 before the first.
    `ended`: it also handled that no tick follows.
    """

    symbol: str
    sequence: int
    ended: bool
