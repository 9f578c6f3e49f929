"""Grafana dashboards, generated from Python: one module a dashboard, one function a panel."""
