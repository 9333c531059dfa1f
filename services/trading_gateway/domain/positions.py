"""A position of an account in a symbol: exact units, exact cost, exact realised profit.

A netting account has one a symbol, a hedging account one for each order that opened one: its position id is
that order's id, and all fills of the order go there, as do those of orders that name it.

Rule. A fill in the direction of the position adds size × price to the cost. A fill against it releases the
share `cost × closed / size` of the cost, rounded half-even at the last digit the numbers have (seven decimals
for EURUSD), and what was rounded off stays in the cost of what is still open; closing all of it releases all
of the cost. The part of a fill that goes beyond flat opens at its own price. Hence, to the last digit and
whatever the order of the fills:

    cost - realised_quote  ==  sum over all fills of signed size × price
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.money.rounding import divide


@dataclass(frozen=True, slots=True)
class Position:
    """Signed size and cost of what is open; realised so far, exact in the quote currency and as posted."""

    account_id: str
    symbol: str
    size: int = 0
    cost: int = 0
    realised_quote: int = 0
    """At the scale of the cost, quote currency."""
    realised: int = 0
    """Minor units of the account currency, as posted."""
    updated_ns: int = 0
    revision: int = 0
    financing: int = 0
    """Minor units of the account currency received for keeping it overnight, below zero paid."""
    position_id: str = ""
    """Of a hedging account; empty for the one position of a symbol that a netting account has."""
    opened_ns: int = 0
    """When it was last opened or turned; 0 where a release that did not keep it opened it."""
    number: int = 0
    """Of the order that opened it first, by which older positions are told from younger ones."""

    @property
    def name(self) -> str:
        """What tells it from the others of its account."""
        return f"{self.symbol} {self.position_id}" if self.position_id else self.symbol

    @property
    def flat(self) -> bool:
        """True without an open position."""
        return self.size == 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fill did: size closed (0 for an opening fill), profit realised on it, exact in the quote
    currency.
    """

    position: Position
    closed: int
    realised: int


def filled(position: Position, signed_size: int, price: int, time_ns: int) -> Effect:
    """The position after a fill of `signed_size` (positive bought) at `price`."""
    closing = _closing_part(position.size, signed_size)
    released = divide(position.cost * abs(closing), abs(position.size)) if closing else 0
    realised = -closing * price - released
    opens = position.size == -closing and signed_size != closing
    after = replace(
        position,
        size=position.size + signed_size,
        cost=position.cost - released + (signed_size - closing) * price,
        realised_quote=position.realised_quote + realised,
        updated_ns=max(position.updated_ns, time_ns),
        revision=position.revision + 1,
        opened_ns=time_ns if opens else position.opened_ns,
    )
    return Effect(after, abs(closing), realised)


def reduces(position_size: int, signed_size: int) -> bool:
    """True when a trade of `signed_size` only brings the position nearer to flat."""
    return position_size * signed_size < 0 and abs(signed_size) <= abs(position_size)


def _closing_part(position_size: int, signed_size: int) -> int:
    """The signed part of a trade that goes against the position."""
    if position_size * signed_size >= 0:
        return 0
    return signed_size if abs(signed_size) <= abs(position_size) else -position_size
