"""Pure market data: quotes and books, what is held for late readers, feed sessions, replays, the synthetic
feed.
"""
