"""Protobuf ↔ values that several services share, both ways: times, timeframes, ticks, bars.

What one service alone converts stays in its own `wire`. The rule is the same: only `wire`, `servicer`,
`consumers` and `adapters` of a service import this.
"""
