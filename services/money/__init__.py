"""Exact money: prices, sizes and amounts as scaled integers, strict decimal text, rounding, conversion.

Pure values without clock or I/O. No float enters or leaves this package. Reading order: `decimals`,
`rounding`, `currencies`, `values`, `conversion`.
"""

from services.money.conversion import Conversion, ExactAmount, Leg, RateQuote, Way, convert
from services.money.currencies import CURRENCIES, Currency, currency
from services.money.decimals import format_decimal, format_trimmed, parse_decimal
from services.money.rounding import (
    Rounding,
    divide,
    on_step,
    quantise,
    rescale,
    rescale_exact,
    round_fraction,
)
from services.money.values import Money, Pair, Price, Size

__all__ = [
    "CURRENCIES",
    "Conversion",
    "Currency",
    "ExactAmount",
    "Leg",
    "Money",
    "Pair",
    "Price",
    "RateQuote",
    "Rounding",
    "Size",
    "Way",
    "convert",
    "currency",
    "divide",
    "format_decimal",
    "format_trimmed",
    "on_step",
    "parse_decimal",
    "quantise",
    "rescale",
    "rescale_exact",
    "round_fraction",
]
