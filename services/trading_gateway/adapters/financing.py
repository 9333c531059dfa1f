"""The table of overnight financing from a file, or the one that ships."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from services.trading_gateway.domain.financing_table import FinancingTable, parse_table

NONE = "none"


def read_table(path: str) -> FinancingTable:
    """The table of a file; empty: the one that ships, "none": no financing.

    Raises ValueError with the line at fault, or for a file that cannot be read.
    """
    if path == NONE:
        return FinancingTable()
    shipped = files("services.trading_gateway") / "financing.csv"
    try:
        text = Path(path).read_text("utf-8") if path else shipped.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise ValueError(f"cannot read {path}: {failure}") from failure
    try:
        return parse_table(text.splitlines())
    except ValueError as failure:
        raise ValueError(f"{path or 'financing.csv'}, {failure}") from failure
