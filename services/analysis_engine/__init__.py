"""Analysis: exact bars from ticks, indicators, candlestick patterns, and signals of rule strategies.

Calls inference (a signal's probability), the pipeline (stored bars to warm up) and market data (lockstep
replays). Consumes PriceTickReceived, MarketDataUpdated, OrderBookUpdated; publishes BarClosed,
IndicatorCalculated, PatternDetected, SignalGenerated. Reading order: domain/ (signals, strategies, edges,
windows, feed), ports, handlers/ (ticks first), wire, servicer, consumers, adapters/, compose.
"""
