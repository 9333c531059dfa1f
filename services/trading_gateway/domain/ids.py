"""Ids that follow from what a thing is, so that the same input makes the same ids in every run."""

from __future__ import annotations

import base64
import hashlib
import re

_HASH_CHARS = 26  # 130 bits: no two of 10**15 orders meet

_LONGEST = 64


def order_id(account_id: str, client_order_id: str) -> str:
    """Our id of the order that an account placed under a key."""
    return f"o-{_hash(account_id, client_order_id)}"


def execution_id(order: str, number: int) -> str:
    """Id of the `number`-th fill (from 1) of an order at the paper venue."""
    return f"{order}-{number}"


def outside_execution_id(order: str, venue_id: str) -> str:
    """Id of a fill of an order at a venue outside, whose own id need not be unique beyond the order."""
    if venue_id.startswith(order) and len(venue_id) <= _LONGEST:
        return venue_id
    plain = len(order) + len(venue_id) < _LONGEST and re.fullmatch(r"[A-Za-z0-9_-]+", venue_id)
    return f"{order}-{venue_id if plain else _hash(venue_id)}"


def bust_id(execution: str) -> str:
    """Id of the fill that takes an execution back; no venue's execution has one like it."""
    return f"b-{_hash(execution)}"


def signal_client_order_id(signal_id: str, position_id: str = "") -> str:
    """The key under which an account trades a signal: one order per signal for ever, and one for each
    position that is closed for it.
    """
    return f"s-{_hash(signal_id, position_id) if position_id else _hash(signal_id)}"


def stop_loss_client_order_id(order: str) -> str:
    """The key of the stop that protects what an order filled."""
    return f"p-{order}"


def take_profit_client_order_id(order: str) -> str:
    """The key of the limit order that takes the profit of what an order filled."""
    return f"t-{order}"


def stop_out_client_order_id(account_id: str, number: int) -> str:
    """The key of the order that closes a position of an account below its stop-out level; `number` is the
    order's own.
    """
    return f"m-{_hash(account_id, str(number))}"


def flatten_client_order_id(request_id: str, symbol: str, position_id: str) -> str:
    """The key of the order that closes a position when its account is flattened."""
    return f"f-{_hash(request_id, symbol, position_id)}"


def replay_account_id(session_id: str) -> str:
    """The account of a replay."""
    return f"replay-{session_id}"


def fingerprint(*parts: object) -> str:
    """Short text that differs when any part does: what a request id was used for."""
    return _hash(*(repr(part) for part in parts))


def _hash(*parts: str) -> str:
    # The length keeps ("a", "bc") apart from ("ab", "c").
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:_HASH_CHARS]
