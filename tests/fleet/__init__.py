"""Tests of parts on several hosts, apart from `make test`: `make test-fleet`."""
