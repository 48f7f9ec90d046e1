"""The built wheels, each in its own environment: `make test-dist`."""
