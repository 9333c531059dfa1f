"""Implementations of the ports: HTTP `scraper`, registry `directory`, SQLite `store`."""
