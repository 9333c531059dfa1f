"""`python -m services.market_data`."""

from services.market_data.compose import compose
from services.market_data.config import Settings
from services.runtime.run import run

if __name__ == "__main__":
    run("fxmesh.marketdata.v1.MarketDataService", Settings, compose)
