"""Technical indicators over TA-Lib: a catalogue, a text form ("macd(12,26,9)"), values at a bar's close.

Two ways to compute. `compute` gives the value at the last bar from that indicator's own fixed window, so that
live, restarted and replayed platforms agree to the bit as soon as they hold that many bars. `compute_series`
gives the values at every bar in one pass, for charts and research; where an indicator remembers for ever the
two differ by what is left of its start (`SETTLED`).
Reading order: `definition`, `catalogue`, `spec`, `compute`.
"""

from services.quant.indicators.catalogue import CATALOGUE
from services.quant.indicators.compute import DEFAULT_SERIES, IndicatorSet, compute, compute_series
from services.quant.indicators.definition import SETTLED, Indicator, Parameter, Unit
from services.quant.indicators.spec import IndicatorSpec, indicator_spec, parse_spec

__all__ = [
    "CATALOGUE",
    "DEFAULT_SERIES",
    "SETTLED",
    "Indicator",
    "IndicatorSet",
    "IndicatorSpec",
    "Parameter",
    "Unit",
    "compute",
    "compute_series",
    "indicator_spec",
    "parse_spec",
]
