"""Numbers from ticks, pure: bars, indicators, candlestick patterns, model features and labels.

One code for the live platform, replay and training, so that a model meets the same values where it learns and
where it predicts. Prices are scaled integers up to the bar; from `series` on they are float64 arrays, which
never reach an order, fill or balance. Reads no clock, file or network. Reading order: `timeframes`, `bars`,
`ladder`, `resample`, `series`, `indicators/`, `patterns`, `features`, `labels`, `splits`.
"""
