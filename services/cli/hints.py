"""What a person can do about a refusal, by its reason (names of the enum `fxmesh.errors.v1.Reason`)."""

from __future__ import annotations

from collections.abc import Mapping

_STATUS = "See `fxmesh status`, and `fxmesh logs` for why."
_BUSY = "It takes on no more than it can do: try again in a moment."
_BARS = "Import bars with `fxmesh import FILE`, or let the platform run a while."
_CREDENTIALS = "The platform's folder (--home) holds the operator's token; FXMESH_KEY takes an API key."
HINTS: Mapping[str, str] = {
    "ACCOUNT_EXISTS": "See `fxmesh accounts`.",
    "ALERT_RESOLVED": "See `fxmesh alerts --all`.",
    "BULKHEAD_FULL": _BUSY,
    "BUS_UNAVAILABLE": _STATUS,
    "DATE_REQUIRED": "Replay or import the folder that holds SYMBOL/YYYY/MM/DD, or a .zip of it.",
    "DEADLINE_EXCEEDED": "The machine may be busy: see `fxmesh status`.",
    "DUPLICATE_CLIENT_ORDER_ID": "Leave --client-order-id out to have a new one made.",
    "CREDENTIALS_MISSING": _CREDENTIALS,
    "CREDENTIALS_REVOKED": _CREDENTIALS,
    "FAULT_INJECTED": "FXMESH_DRILLS and FXMESH_FAULTS say which calls fail.",
    "FEED_STALE": "See `fxmesh quotes`: prices have stopped coming.",
    "INTERNAL": "That is a defect: the correlation id finds it in `fxmesh logs`.",
    "KEY_EXPIRED": "`fxmesh keys rotate NAME` gives a new one.",
    "KEY_INVALID": _CREDENTIALS,
    "MARKET_CLOSED": "`fxmesh instruments` shows when the market opens.",
    "NOT_ENOUGH_BARS": _BARS,
    "NO_BOOK": "No depth has come for it yet: see `fxmesh status`.",
    "NO_CONVERSION_RATE": "A pair that leads to the account currency needs a quote: see `fxmesh quotes`.",
    "NO_DATA": _BARS,
    "NO_MODEL": "Train one with `fxmesh train --deploy`.",
    "NO_QUOTE": "No price has come for it yet: start a feed, or replay a file with `fxmesh replay FILE`.",
    "ORDER_FINAL": "See what became of it with `fxmesh orders`.",
    "OUTBOX_BACKLOG": _STATUS,
    "OVERLOADED": _BUSY,
    "STREAM_FULL": _STATUS,
    "PEER_UNAVAILABLE": _STATUS,
    "RATE_LIMITED": "`fxmesh policy show METHOD` shows what a call costs and how much a caller has.",
    "REPLAY_ACTIVE": "`fxmesh replays` shows it; end it with `fxmesh replays --stop ID`.",
    "REQUEST_ID_REUSED": "Leave the id out to have a new one made.",
    "SCOPE_MISSING": "`fxmesh keys list` shows what each key may.",
    "SHUTTING_DOWN": _STATUS,
    "STORE_UNAVAILABLE": _STATUS,
    "SYMBOL_REQUIRED": "Name it with --symbol.",
    "TOKEN_EXPIRED": _CREDENTIALS,
    "TOKEN_INVALID": _CREDENTIALS,
    "TIMEFRAME_REQUIRED": "Name it with --timeframe.",
    "TRADING_HALTED": "Trade again with `fxmesh resume`.",
    "TRADING_REDUCING": "Trade again with `fxmesh resume`.",
    "TRAINING_DATA_TOO_SMALL": _BARS,
    "UNKNOWN_ACCOUNT": "See `fxmesh accounts`.",
    "UNKNOWN_ALERT": "See `fxmesh alerts --all`.",
    "UNKNOWN_ENDPOINT": "See `fxmesh models`.",
    "UNKNOWN_FORMAT": "If it is of a known format, name that with --format.",
    "UNKNOWN_METRIC": "`fxmesh metrics` lists them.",
    "UNKNOWN_MODEL": "See `fxmesh models`.",
    "UNKNOWN_ORDER": "See `fxmesh orders`.",
    "UNKNOWN_REPLAY": "See `fxmesh replays`.",
    "UNKNOWN_RULE": "See `fxmesh alerts rules`.",
    "UNKNOWN_SYMBOL": "`fxmesh instruments` lists them.",
    "UNKNOWN_VERSION": "See `fxmesh models NAME`.",
    "UPLOAD_MISMATCH": "Did the file change while it was sent?",
    "WRONG_SYMBOL": "Name the symbol that the lines name, or leave --symbol out.",
}
