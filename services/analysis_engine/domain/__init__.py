"""Analysis without I/O: `windows` holds bars, `strategies` and `edges` judge them, `feed` puts one symbol
together.
"""
