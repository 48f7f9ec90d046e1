"""Checks of `deploy/`: rendering, linters, and comparison with the gateway's own names. Nothing is started."""
