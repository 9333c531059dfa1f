"""Files of one-hour bars of a seeded random walk, of every hour: what they teach does not matter."""

import random
from datetime import UTC, datetime, timedelta

_BEGIN = datetime(2015, 1, 5, tzinfo=UTC)
_COLUMNS = [f"{side}_{part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close")]


def bar_file(count: int, seed: int = 7) -> str:
    """Bid and ask bars, CSV with a header."""
    chance, price = random.Random(seed), 150_000
    lines = [",".join(("timestamp", *_COLUMNS))]
    for number in range(count):
        close = price + chance.randint(-120, 120)
        bid = (price, max(price, close) + 15, min(price, close) - 15, close)
        prices = [f"{value / 100_000:.5f}" for value in (*bid, *(each + 20 for each in bid))]
        lines.append(",".join((f"{_BEGIN + timedelta(hours=number):%Y-%m-%dT%H:%M:%SZ}", *prices)))
        price = close
    return "\n".join((*lines, ""))
