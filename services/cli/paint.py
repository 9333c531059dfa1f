"""Colours of cells on a terminal, by what they say. Nothing is said by colour alone, and none is printed
elsewhere.
"""

from __future__ import annotations

_SIDES = {"buy": "green", "long": "green", "sell": "red", "short": "red"}
_STATES = {
    "active": "green",
    "filled": "green",
    "ORDERED": "green",
    "reducing": "yellow",
    "unknown": "yellow",
    "partially filled": "yellow",
    "pending cancel": "yellow",
    "pending amend": "yellow",
    "halted": "red",
    "rejected": "red",
}


def side(text: str) -> str:
    """Green for what gains when the price rises, red for what gains when it falls."""
    return _SIDES.get(text, "")


def gain(text: str) -> str:
    """Green above zero, red below; nothing for zero and for what is no number."""
    if text.startswith("-"):
        return "red"
    return "green" if any(digit in "123456789" for digit in text) and text[:1].isdigit() else ""


def state(text: str) -> str:
    """Green where all goes well, yellow on the way, red where somebody said no."""
    return _STATES.get(text, "")


def level(text: str) -> str:
    """A margin level in percent: red below what is held, yellow below twice of that."""
    share = text.removesuffix(" %")
    try:
        percent = float(share)
    except ValueError:
        return ""
    return "red" if percent < 100 else "yellow" if percent < 200 else "green"
