"""Implementations of the ports: DuckDB (`duck` and the stores on it), uploads, publisher, inference."""
