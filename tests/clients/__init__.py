"""Real clients, unchanged but for address and key, against a running gateway: `make test-clients`."""
