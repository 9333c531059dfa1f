"""Monitoring and Alerting: health and metrics of all services, alert rules, alerts.

Scrapes /health and /metrics of every instance in the registry; consumes the events of trading, the pipeline,
inference and the workbench; publishes nothing. Reading order: domain/ (series, rules, alerts), ports,
handlers/ (watching first), wire, servicer, consumers, adapters/, compose.
"""
