"""Tests of the benchmark itself. No figures."""
