"""The trading gateway: accounts, orders, fills, positions, risk, the paper venue, auto-trading.

Calls market data (StreamTicks, AcknowledgeTicks, ListQuotes, ListOrderBooks) and analysis (ListSignals,
ListIndicators). Consumes SignalGenerated and ModelDriftDetected. Publishes the life of orders, fills,
positions and accounts through an outbox. Reading order: domain/ (its docstring says in which order), ports,
handlers/ (desk first), wire, servicer, consumers, adapters/, compose, config.
"""
