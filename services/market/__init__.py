"""Market facts as pure values: instruments, calendars, the market clock, tick batches, sequence tracking.

Reads no clock, file or network; times are nanoseconds since 1970 UTC handed in by the caller. Reading order:
`instruments`, `calendar`, `settlement`, `ticks`, `quality`, `dedupe`, `clock`, `timers`, `freshness`;
`formats/` reads files.
"""
