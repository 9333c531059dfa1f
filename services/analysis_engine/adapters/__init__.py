"""Implementations of the ports: `publisher` over the bus, `peers` over channels, `store` over SQLite."""
