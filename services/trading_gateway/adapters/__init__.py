"""Implementations of the ports: SQLite store with outbox, peers over the mesh, metrics."""
