"""`python -m services.trading_gateway`."""

from services.runtime.run import run
from services.trading_gateway.compose import compose
from services.trading_gateway.config import Settings

if __name__ == "__main__":
    run("fxmesh.trading.v1.TradingService", Settings, compose)
