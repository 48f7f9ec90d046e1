"""Protocols of hosts that serve models of several families, as bases of those families' adapters."""
