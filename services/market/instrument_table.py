"""The rows behind `instruments`: what differs from pair to pair.

Price bands: lowest and highest trade since 2000 widened by about a fifth, rounded (EURUSD 0.8230 in 2000 and
1.6038 in 2008 give 0.68 to 1.95). Margin rates: the minimum of the ESMA product intervention for retail
clients (2018): 3.33 % for pairs of USD EUR JPY GBP CAD CHF, 5 % for other pairs and gold, 10 % for silver.
Price age: EURUSD was once silent for 387 s of open market in nine days of OANDA ticks (May 2014), so ten
minutes for majors and fifteen for crosses flag a frozen price, not a quiet one. Spread: the same ticks reach
15 pips at the week's open. Jump: the largest move between two of those ticks was 15 ten-thousandths.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InstrumentKind:
    """What a class of instruments shares. Sizes are raw at two decimals (100 = one unit of base)."""

    digits: int
    size_step: int
    size_min: int
    size_max: int
    lot_units: int
    max_jump_bp: int
    calendar: str


CURRENCY_PAIR = InstrumentKind(5, 100, 100, 50_000_000_00, 100_000, 50, "fx")
GOLD = InstrumentKind(3, 1, 1, 10_000_00, 100, 100, "metals")
SILVER = InstrumentKind(5, 1, 1, 500_000_00, 5_000, 200, "metals")


@dataclass(frozen=True, slots=True)
class Row:
    """One instrument: plausible band as decimal text, spread limit in pips, price age in seconds."""

    symbol: str
    low: str
    high: str
    margin_rate: str
    max_spread_pips: int
    max_price_age_s: int
    value_date_lag: int = 2
    kind: InstrumentKind = CURRENCY_PAIR


_MAJOR, _MINOR, _SILVER = "0.0333", "0.05", "0.10"

ROWS = (
    Row("EURUSD", "0.68", "1.95", _MAJOR, 10, 600),
    Row("GBPUSD", "0.86", "2.50", _MAJOR, 12, 600),
    Row("AUDUSD", "0.39", "1.32", _MINOR, 12, 600),
    Row("NZDUSD", "0.32", "1.06", _MINOR, 15, 600),
    Row("USDJPY", "62", "200", _MAJOR, 12, 600),
    Row("USDCHF", "0.55", "2.20", _MAJOR, 15, 600),
    Row("USDCAD", "0.75", "1.95", _MAJOR, 15, 600, value_date_lag=1),
    Row("EURGBP", "0.47", "1.18", _MAJOR, 15, 900),
    Row("EURJPY", "73", "230", _MAJOR, 20, 900),
    Row("EURCHF", "0.65", "2.02", _MAJOR, 20, 900),
    Row("EURAUD", "0.96", "2.55", _MINOR, 25, 900),
    Row("EURNZD", "1.15", "3.10", _MINOR, 35, 900),
    Row("EURCAD", "1.00", "2.12", _MAJOR, 25, 900),
    Row("GBPJPY", "96", "302", _MAJOR, 25, 900),
    Row("GBPCHF", "0.80", "3.30", _MAJOR, 25, 900),
    Row("GBPAUD", "1.18", "3.65", _MINOR, 35, 900),
    Row("GBPNZD", "1.38", "4.55", _MINOR, 45, 900),
    Row("GBPCAD", "1.10", "3.00", _MAJOR, 30, 900),
    Row("AUDJPY", "45", "135", _MINOR, 20, 900),
    Row("AUDCHF", "0.40", "1.32", _MINOR, 25, 900),
    Row("AUDCAD", "0.58", "1.32", _MINOR, 25, 900),
    Row("AUDNZD", "0.80", "1.68", _MINOR, 25, 900),
    Row("NZDJPY", "34", "122", _MINOR, 25, 900),
    Row("NZDCHF", "0.36", "1.18", _MINOR, 30, 900),
    Row("NZDCAD", "0.47", "1.22", _MINOR, 30, 900),
    Row("CADJPY", "54", "152", _MAJOR, 25, 900),
    Row("CADCHF", "0.45", "1.50", _MAJOR, 30, 900),
    Row("CHFJPY", "47", "250", _MAJOR, 30, 900),
    Row("XAUUSD", "200", "12000", _MINOR, 500, 600, kind=GOLD),
    Row("XAGUSD", "3.2", "400", _SILVER, 3000, 900, kind=SILVER),
)
