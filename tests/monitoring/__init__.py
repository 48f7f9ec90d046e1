"""Tests of what `deploy/monitoring` ships, by Prometheus's own promtool."""
