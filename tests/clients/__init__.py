"""Real clients, unchanged except for address and key, against a running gateway: `make test-clients`."""
