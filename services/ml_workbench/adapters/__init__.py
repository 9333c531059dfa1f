"""Implementations of the ports: SQLite `store`, `artifacts` folder, LightGBM `trainer`, pipeline `peers`."""
