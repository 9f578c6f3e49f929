"""The exporter: asks agents how they are and workflow engines how runs go, and tells Prometheus and people."""
