"""What an indicator is: parameters with their ranges, inputs, outputs, unit, and how long it remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import ceil, log
from typing import Any, Final, Protocol

import talib
from talib import abstract

from services.quant.series import FloatArray, PriceSeries

SETTLED: Final = 1e-4
"""Weight that the start of a window may still have in a value that remembers for ever (EMA and its kin)."""

_ABSTRACT: Final[Any] = abstract  # its stub knows the functions, not the class that makes them

Values = tuple[int | float, ...]
"""Parameter values in the order of `Indicator.parameters`."""

Formula = Callable[[PriceSeries, int], tuple[FloatArray, ...]]
"""Outputs over the last `count` bars of a series: an array of that length each, nan while warming up."""


class Unit(Enum):
    """What the outputs are measured in."""

    PRICE = "price"
    """Quote currency per unit of base, or a difference of such prices."""
    INDEX = "index"
    """0 to 100 by construction (Williams' %R: -100 to 0)."""
    PERCENT = "percent"
    """Of a price, without bounds."""
    NUMBER = "number"
    """A pure number without bounds."""
    TICKS = "ticks"
    """Of tick volume."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; whole numbers where `default` is an int."""

    name: str
    default: int | float
    minimum: int | float
    maximum: int | float

    @property
    def whole(self) -> bool:
        """True where only whole numbers make sense (counts of bars)."""
        return isinstance(self.default, int)


class Method(Protocol):
    """How an indicator is computed."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of a series that go in."""
        ...

    def lookback(self, values: Values) -> int:
        """Bars before the first value."""
        ...

    def bind(self, values: Values) -> Formula:
        """The formula with its parameters set."""
        ...


@dataclass(frozen=True, slots=True)
class Talib:
    """One TA-Lib function. `names` are its parameters in the order of ours, `fixed` those we do not offer,
    `copies` those that take the value of ours at an index too; `order` brings its outputs into our order.
    """

    function: str
    inputs: tuple[str, ...]
    names: tuple[str, ...] = ()
    fixed: tuple[tuple[str, int], ...] = ()
    copies: tuple[tuple[str, int], ...] = ()
    order: tuple[int, ...] = ()

    def lookback(self, values: Values) -> int:
        """As TA-Lib itself says."""
        return int(_ABSTRACT.Function(self.function, **self._arguments(values)).lookback)

    def bind(self, values: Values) -> Formula:
        """The formula with its parameters set."""
        function: Callable[..., Any] = getattr(talib, self.function)
        arguments, inputs, order = self._arguments(values), self.inputs, self.order

        def formula(series: PriceSeries, count: int) -> tuple[FloatArray, ...]:
            outputs = function(*[getattr(series, name)[-count:] for name in inputs], **arguments)
            if not isinstance(outputs, tuple):
                return (outputs,)
            return tuple(outputs[index] for index in order) if order else outputs

        return formula

    def _arguments(self, values: Values) -> dict[str, int | float]:
        copied = {name: values[index] for name, index in self.copies}
        return {**dict(zip(self.names, values, strict=True)), **dict(self.fixed), **copied}


@dataclass(frozen=True, slots=True)
class Indicator:
    """One entry of the catalogue.

    `memory` says how many bars beyond the look-back still matter (down to `SETTLED`) at given parameters: 0
    for a finite formula, None for one that counts from the first bar it sees. `check` is a rule between
    parameters: what is wrong, or None. The output of a single-valued indicator bears its own name.
    """

    name: str
    description: str
    unit: Unit
    method: Method
    parameters: tuple[Parameter, ...] = ()
    outputs: tuple[str, ...] = ()
    memory: Callable[[Values], int | None] = lambda _values: 0
    check: Callable[[Values], str | None] = lambda _values: None


def exponential_memory(weight: float, stages: int = 1) -> int:
    """Bars until a start has less than `SETTLED` of a say in an exponential average.

    The average gives `weight` to the newest bar, and is one of `stages` taken of each other.
    """
    return stages * ceil(log(SETTLED) / log(1 - weight))
