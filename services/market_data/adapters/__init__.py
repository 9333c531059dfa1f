"""Implementations of the ports: `publisher` over the bus, `files` and `sessions` over folders."""
