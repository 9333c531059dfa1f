"""Market Data: instruments, feed sessions, the market clock, quotes, order books, replay.

Calls nobody but itself: of several instances one leads and runs the feeds, the others mirror it. Publishes
PriceTickReceived, OrderBookUpdated, MarketDataUpdated; consumes nothing.
Reading order: domain/ (quotes, sessions, history, replays, lockstep, synthetic), ports, handlers/ (feed
first, roles and mirror last), wire/, servicer, adapters/, compose.
"""
