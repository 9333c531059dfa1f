"""The currencies that accounts and instruments may use, with the scale that their cash is posted at.

Scales are the minor units of ISO 4217 (list one). ISO gives none to the metals; they get three here, a
thousandth of a troy ounce, the smallest holding that bullion accounts commonly state. CNH is the market's
code for renminbi traded offshore and follows CNY.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from services.errors import VALIDATION_FAILED, invalid_field


@dataclass(frozen=True, slots=True)
class Currency:
    """`digits`: decimals of the minor unit; 2 for cents, 0 for yen. `metal`: no account is kept in it."""

    code: str
    digits: int
    name: str
    metal: bool = False


_TABLE = (
    Currency("USD", 2, "US dollar"),
    Currency("EUR", 2, "Euro"),
    Currency("GBP", 2, "Pound sterling"),
    Currency("JPY", 0, "Yen"),
    Currency("CHF", 2, "Swiss franc"),
    Currency("AUD", 2, "Australian dollar"),
    Currency("NZD", 2, "New Zealand dollar"),
    Currency("CAD", 2, "Canadian dollar"),
    Currency("SEK", 2, "Swedish krona"),
    Currency("NOK", 2, "Norwegian krone"),
    Currency("DKK", 2, "Danish krone"),
    Currency("PLN", 2, "Zloty"),
    Currency("CZK", 2, "Czech koruna"),
    Currency("HUF", 2, "Forint"),
    Currency("TRY", 2, "Turkish lira"),
    Currency("ZAR", 2, "Rand"),
    Currency("MXN", 2, "Mexican peso"),
    Currency("SGD", 2, "Singapore dollar"),
    Currency("HKD", 2, "Hong Kong dollar"),
    Currency("CNH", 2, "Renminbi, offshore"),
    Currency("KRW", 0, "Won"),
    Currency("KWD", 3, "Kuwaiti dinar"),
    Currency("XAU", 3, "Gold, troy ounce", metal=True),
    Currency("XAG", 3, "Silver, troy ounce", metal=True),
)

CURRENCIES: Mapping[str, Currency] = MappingProxyType({each.code: each for each in _TABLE})


def currency(code: str, field: str = "currency") -> Currency:
    """The currency `code`. Raises FxError INVALID_ARGUMENT `VALIDATION_FAILED`, naming `field`."""
    return among(tuple(CURRENCIES), code, field)


def among(known: tuple[str, ...], code: str, field: str) -> Currency:
    """One of some currencies. Raises FxError as `currency`."""
    if code not in known:
        detail = f"must be one of {', '.join(known)}, not {code[:20]!a}"
        raise invalid_field(VALIDATION_FAILED, field, detail)
    return CURRENCIES[code]
