"""An indicator with its parameters set, and its text form: "ema(20)", "macd(12,26,9)", "obv"."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from services.errors import FxError, invalid_field
from services.quant.indicators.catalogue import CATALOGUE
from services.quant.indicators.definition import Formula, Indicator, Parameter, Values

_TEXT: Final = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(?:\(([^()]*)\))?\s*", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class IndicatorSpec:
    """One series that can be computed. Make it with `indicator_spec` or `parse_spec`, which check."""

    indicator: Indicator
    values: Values
    text: str
    """Canonical: the same series has the same text, whatever was typed."""
    lookback: int
    """Bars before the first value: the value exists from bar `lookback` (counted from 0) on."""
    window: int | None
    """Bars that `compute` looks at, once there are as many; None for all that there are."""
    formula: Formula = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the values, e.g. macd, signal, histogram."""
        return self.indicator.outputs


def indicator_spec(name: str, *values: float) -> IndicatorSpec:
    """The indicator `name` with these parameters, or with its defaults when none is given.

    Raises FxError INVALID_ARGUMENT `UNKNOWN_INDICATOR`, `BAD_PARAMETER` (wrong number, out of range).
    """
    indicator = CATALOGUE.get(name)
    if indicator is None:
        near = get_close_matches(name, CATALOGUE, n=1)
        hint = f", did you mean {near[0]}?" if near else f"; known are {', '.join(CATALOGUE)}"
        raise invalid_field("UNKNOWN_INDICATOR", "indicator", f"there is no {name[:40]!a}{hint}")
    given = values or tuple(each.default for each in indicator.parameters)
    if len(given) != len(indicator.parameters):
        wanted = f"{indicator.name}({','.join(each.name for each in indicator.parameters)})"
        raise _bad_parameter(
            f"{wanted} takes {len(indicator.parameters)} parameters or none, not {len(given)}"
        )
    checked = tuple(
        _checked(indicator, parameter, value)
        for parameter, value in zip(indicator.parameters, given, strict=True)
    )
    wrong = indicator.check(checked)
    if wrong is not None:
        raise _bad_parameter(f"{indicator.name}: {wrong}")
    return _bound(indicator, checked)


@lru_cache(maxsize=1_024)
def parse_spec(text: str) -> IndicatorSpec:
    """From its text; spaces are ignored, and a name alone means its defaults.

    Raises FxError INVALID_ARGUMENT `UNKNOWN_INDICATOR`, `BAD_PARAMETER`.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise _bad_parameter(f"{text[:40]!a} is not of the form name or name(number,number)")
    name, inside = match.groups()
    if inside is None:
        return indicator_spec(name)
    if not inside.strip():
        raise _bad_parameter(f"{text[:40]!a} has empty brackets: leave them out for the defaults")
    return indicator_spec(name, *(_number(part.strip()) for part in inside.split(",")))


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise _bad_parameter(f"{text[:20]!a} is not a plain number")
    return float(text) if "." in text else int(text)


def _checked(indicator: Indicator, parameter: Parameter, value: float) -> int | float:
    where = f"{indicator.name}: {parameter.name}"
    if parameter.whole and value != int(value):
        raise _bad_parameter(f"{where} is a whole number, not {value}")
    if not parameter.minimum <= value <= parameter.maximum:
        raise _bad_parameter(f"{where} lies between {parameter.minimum} and {parameter.maximum}, not {value}")
    return int(value) if parameter.whole else float(value)


@lru_cache(maxsize=1_024)
def _bound(indicator: Indicator, values: Values) -> IndicatorSpec:
    written = ",".join(str(int(value)) if value == int(value) else repr(value) for value in values)
    memory = indicator.memory(values)
    lookback = indicator.method.lookback(values)
    return IndicatorSpec(
        indicator=indicator,
        values=values,
        text=f"{indicator.name}({written})" if values else indicator.name,
        lookback=lookback,
        window=None if memory is None else lookback + 1 + memory,
        formula=indicator.method.bind(values),
    )


def _bad_parameter(description: str) -> FxError:
    return invalid_field("BAD_PARAMETER", "indicator", description)
