"""The service's numbers, for Prometheus."""
